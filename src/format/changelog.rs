//! Changes as records: an envelope around one or two rows says what kind of change they are.
//!
//! Envelopes are decoded like any record, the rows in them as nested columns. What is left to do here is done
//! by column: the kinds are read off, and the rows picked from the nested columns in the order of the changes.
//!
//! ```text
//!  before    after    op            pick       kind
//!  ─────────────────────────────────────────────────
//!  NULL      (1, a)   c      ->     after[0]   +I
//!  (1, a)    (1, b)   u      ->     before[1]  -U
//!                                   after[1]   +U
//!  (1, b)    NULL     d      ->     before[2]  -D
//! ```

use std::ops::ControlFlow;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray, StructArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{interleave, take};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;

use super::json::{JsonDecoder, batch_of};
use super::{Decoder, Origin};
use crate::error::{Error, Result};
use crate::flow::{Kind, Kinds};

/// How rows are kept in their envelopes.
#[derive(Debug, Clone)]
pub enum Envelope {
    /// `before`, `after` and `op`, as columns or as those of the one column `payload`.
    Debezium {
        /// In a `payload`.
        payload: bool,
    },
    /// The first column is the kind (`+I`, `-U`, `+U`, `-D`), the others are the row.
    Kind {
        /// The name of the kind's field.
        field: Box<str>,
    },
}

/// Decodes envelopes into rows with kinds.
#[derive(Debug)]
pub struct ChangelogDecoder {
    inner: JsonDecoder,
    envelope: Envelope,
    schema: SchemaRef,
    ignore_errors: bool,
    origin: Origin,
    /// Envelopes after a bad one, and their lines; its error is reported first.
    rest: Option<(RecordBatch, Vec<u64>)>,
    deferred: Option<Error>,
    kinds: Kinds,
    skipped: u64,
}

/// The rows to take of a batch of envelopes.
#[derive(Default)]
struct Picks {
    /// Which of the columns of rows, and which row of it.
    places: Vec<(usize, usize)>,
    kinds: Vec<Kind>,
}

impl Picks {
    fn push(&mut self, side: usize, row: usize, kind: Kind) {
        self.places.push((side, row));
        self.kinds.push(kind);
    }
}

/// What is wrong with an envelope.
struct Bad {
    message: String,
    hint: Option<&'static str>,
}

impl Bad {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }
}

const BEFORE: usize = 0;
const AFTER: usize = 1;

impl ChangelogDecoder {
    /// `inner` returns batches of envelopes and keeps their lines; `schema` is that of the rows.
    pub(super) fn new(
        inner: JsonDecoder,
        envelope: Envelope,
        schema: SchemaRef,
        ignore_errors: bool,
        origin: Origin,
    ) -> Self {
        Self {
            inner,
            envelope,
            schema,
            ignore_errors,
            origin,
            rest: None,
            deferred: None,
            kinds: Kinds::Append,
            skipped: 0,
        }
    }

    /// Decides on each envelope; the number of those that were dealt with before an error.
    fn pick(
        &mut self,
        envelopes: usize,
        lines: &[u64],
        mut open: impl FnMut(usize, &mut Picks) -> Result<(), Bad>,
    ) -> (Picks, ControlFlow<usize>) {
        let mut picks = Picks::default();
        for row in 0..envelopes {
            let Err(bad) = open(row, &mut picks) else { continue };
            if self.ignore_errors {
                self.skipped += 1;
                continue;
            }
            let line = lines.get(row).copied().unwrap_or_default();
            let error = Error::decode(format!("{}, line {line}: {}", self.origin, bad.message));
            self.deferred = Some(match bad.hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            });
            return (picks, ControlFlow::Break(row));
        }
        (picks, ControlFlow::Continue(()))
    }

    fn rows(&self, columns: Vec<ArrayRef>, kinds: Vec<Kind>) -> Result<(RecordBatch, Kinds)> {
        let batch = batch_of(&self.schema, columns, kinds.len())?;
        let append = kinds.iter().all(|k| *k == Kind::Insert);
        Ok((batch, if append { Kinds::Append } else { Kinds::Changes(kinds.into()) }))
    }

    fn debezium(
        &mut self,
        envelopes: &RecordBatch,
        payload: bool,
        lines: &[u64],
    ) -> Result<(RecordBatch, Kinds, ControlFlow<usize>)> {
        let (columns, wrapper): (&[ArrayRef], Option<&NullBuffer>) = if payload {
            let payload = struct_of(envelopes.columns(), 0)?;
            (payload.columns(), payload.nulls())
        } else {
            (envelopes.columns(), None)
        };
        let sides = [struct_of(columns, BEFORE)?, struct_of(columns, AFTER)?];
        let ops = text_of(columns, 2)?;
        let (picks, end) = self.pick(envelopes.num_rows(), lines, |row, picks| {
            if wrapper.is_some_and(|nulls| nulls.is_null(row)) {
                // A tombstone with a schema.
                return Ok(());
            }
            let need = |side: usize, name: &str| match sides[side].is_valid(row) {
                true => Ok(()),
                false => Err(Bad {
                    message: format!("a change of op '{}' without '{name}'", ops.value(row)),
                    hint: (side == BEFORE)
                        .then_some("for PostgreSQL, set REPLICA IDENTITY FULL on the table"),
                }),
            };
            match if ops.is_valid(row) { ops.value(row) } else { "" } {
                "c" | "r" => {
                    need(AFTER, "after")?;
                    picks.push(AFTER, row, Kind::Insert);
                }
                "u" => {
                    need(BEFORE, "before").and(need(AFTER, "after"))?;
                    picks.push(BEFORE, row, Kind::UpdateBefore);
                    picks.push(AFTER, row, Kind::UpdateAfter);
                }
                "d" => {
                    need(BEFORE, "before")?;
                    picks.push(BEFORE, row, Kind::Delete);
                }
                "" => return Err(Bad::new("field 'op': expected one of c, r, u, d, found nothing")),
                other => {
                    return Err(Bad::new(format!(
                        "field 'op': expected one of c, r, u, d, found '{}'",
                        other.chars().take(20).collect::<String>()
                    )));
                }
            }
            Ok(())
        });
        let all_after = picks.places.len() == envelopes.num_rows()
            && picks.places.iter().all(|(side, _)| *side == AFTER)
            && sides[AFTER].null_count() == 0;
        let columns = if all_after {
            sides[AFTER].columns().to_vec()
        } else {
            let column = |i: usize| {
                interleave(
                    &[sides[BEFORE].column(i).as_ref(), sides[AFTER].column(i).as_ref()],
                    &picks.places,
                )
            };
            (0..self.schema.fields().len()).map(column).collect::<Result<_, _>>()?
        };
        let (batch, kinds) = self.rows(columns, picks.kinds)?;
        Ok((batch, kinds, end))
    }

    fn kind(
        &mut self,
        envelopes: &RecordBatch,
        field: &str,
        lines: &[u64],
    ) -> Result<(RecordBatch, Kinds, ControlFlow<usize>)> {
        let texts = text_of(envelopes.columns(), 0)?;
        let (picks, end) = self.pick(envelopes.num_rows(), lines, |row, picks| {
            let kind = match if texts.is_valid(row) { texts.value(row) } else { "" } {
                "+I" => Kind::Insert,
                "-U" => Kind::UpdateBefore,
                "+U" => Kind::UpdateAfter,
                "-D" => Kind::Delete,
                other => {
                    let found = match other {
                        "" => "nothing".to_string(),
                        other => format!("'{}'", other.chars().take(20).collect::<String>()),
                    };
                    return Err(Bad::new(format!(
                        "field '{field}': expected one of +I, -U, +U, -D, found {found}"
                    )));
                }
            };
            picks.push(AFTER, row, kind);
            Ok(())
        });
        let mut columns = envelopes.columns().iter().skip(1);
        let columns = if picks.places.len() == envelopes.num_rows() {
            columns.cloned().collect()
        } else {
            let indices: UInt32Array = picks.places.iter().map(|(_, row)| *row as u32).collect();
            columns.by_ref().map(|c| take(c, &indices, None)).collect::<Result<_, _>>()?
        };
        let (batch, kinds) = self.rows(columns, picks.kinds)?;
        Ok((batch, kinds, end))
    }
}

fn struct_of(columns: &[ArrayRef], index: usize) -> Result<&StructArray> {
    columns
        .get(index)
        .and_then(|c| c.as_struct_opt())
        .ok_or_else(|| Error::internal("an envelope without its rows"))
}

fn text_of(columns: &[ArrayRef], index: usize) -> Result<&StringViewArray> {
    columns
        .get(index)
        .and_then(|c| c.as_string_view_opt())
        .ok_or_else(|| Error::internal("an envelope without its kind"))
}

impl Decoder for ChangelogDecoder {
    fn feed(&mut self, bytes: Bytes) -> Result<()> {
        self.inner.feed(bytes)
    }

    /// As with plain records, the rows in front of a bad one are handed out before its error.
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(error) = self.deferred.take() {
                return Err(error);
            }
            let (envelopes, lines) = match self.rest.take() {
                Some(rest) => rest,
                None => match self.inner.next_batch()? {
                    Some(envelopes) => (envelopes, self.inner.lines().to_vec()),
                    None => return Ok(None),
                },
            };
            let (batch, kinds, end) = match self.envelope.clone() {
                Envelope::Debezium { payload } => self.debezium(&envelopes, payload, &lines)?,
                Envelope::Kind { field } => self.kind(&envelopes, &field, &lines)?,
            };
            if let ControlFlow::Break(row) = end
                && row + 1 < envelopes.num_rows()
            {
                let behind = envelopes.slice(row + 1, envelopes.num_rows() - row - 1);
                self.rest = Some((behind, lines.get(row + 1..).unwrap_or_default().to_vec()));
            }
            if batch.num_rows() > 0 {
                self.kinds = kinds;
                return Ok(Some(batch));
            }
        }
    }

    fn kinds(&mut self) -> Kinds {
        std::mem::replace(&mut self.kinds, Kinds::Append)
    }

    fn finish(&mut self) -> Result<()> {
        self.inner.finish()
    }

    fn skipped(&self) -> u64 {
        self.inner.skipped() + self.skipped
    }
}
