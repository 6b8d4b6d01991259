//! Changes as values, and back: `TO_CHANGELOG` and `FROM_CHANGELOG`.
//!
//! ```text
//!   +I (1, a)                            ('INSERT',        1, a)
//!   -U (1, a)   ── TO_CHANGELOG ──>      ('UPDATE_BEFORE', 1, a)      all of them +I
//!   +U (1, b)   <── FROM_CHANGELOG ──    ('UPDATE_AFTER',  1, b)
//!   -D (1, b)                            ('DELETE',        1, b)
//! ```
//! Neither keeps state. A kind without a code is dropped on the way out; a code without a kind is bad input
//! on the way in, and the query says what becomes of it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringViewArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, SchemaRef};

use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds, Operator, Output};

/// Kinds by their number.
const KINDS: [Kind; 4] = [Kind::Insert, Kind::UpdateBefore, Kind::UpdateAfter, Kind::Delete];

/// The name of a kind in `op_mapping`.
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Insert => "INSERT",
        Kind::UpdateBefore => "UPDATE_BEFORE",
        Kind::UpdateAfter => "UPDATE_AFTER",
        Kind::Delete => "DELETE",
    }
}

/// The kind of a name in `op_mapping`.
pub fn kind_of_name(name: &str) -> Option<Kind> {
    KINDS.into_iter().find(|kind| kind_name(*kind) == name)
}

/// What `TO_CHANGELOG` is to do.
#[derive(Debug, Clone)]
pub struct ToChangelogSpec {
    /// The code of each kind, in the order of [`Kind`]; rows of a kind without one are dropped.
    pub codes: [Option<String>; 4],
    /// Output columns: a column of the input, or (`None`) the code, which is STRING.
    pub columns: Vec<Option<usize>>,
    /// Columns of the input that keep their values in `-D` rows; the others become NULL there. `None`:
    /// deleted rows stay as they are.
    pub deleted_columns: Option<Vec<usize>>,
    /// The output's schema.
    pub schema: SchemaRef,
}

/// Turns changes into rows that say which change they are.
#[derive(Debug)]
pub struct ToChangelog {
    spec: ToChangelogSpec,
    codes: StringViewArray,
}

impl ToChangelog {
    /// An operator for one task.
    pub fn new(spec: ToChangelogSpec) -> Self {
        let codes = spec.codes.iter().map(|code| Some(code.as_deref().unwrap_or_default())).collect();
        Self { spec, codes }
    }

    /// The rows that have a code, where some have none.
    fn coded(&self, chunk: Chunk) -> Result<Chunk> {
        let coded = |kind: Kind| self.spec.codes[kind as usize].is_some();
        let keep: UInt32Array = match &chunk.kinds {
            Kinds::Append if coded(Kind::Insert) => return Ok(chunk),
            Kinds::Append => return Ok(chunk.slice(0, 0)),
            Kinds::Changes(kinds) if kinds.iter().all(|k| coded(*k)) => return Ok(chunk),
            Kinds::Changes(kinds) => {
                (0..kinds.len() as u32).filter(|row| coded(kinds[*row as usize])).collect()
            }
        };
        chunk.take(&keep)
    }

    /// A column, NULL in deleted rows.
    fn without_deleted(column: &ArrayRef, kinds: &Kinds) -> Result<ArrayRef> {
        let Kinds::Changes(kinds) = kinds else { return Ok(column.clone()) };
        if !kinds.contains(&Kind::Delete) {
            return Ok(column.clone());
        }
        let rows: UInt32Array =
            kinds.iter().enumerate().map(|(row, k)| (*k != Kind::Delete).then_some(row as u32)).collect();
        Ok(take(column, &rows, None)?)
    }
}

impl Operator for ToChangelog {
    fn name(&self) -> &'static str {
        "ToChangelog"
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let chunk = self.coded(chunk)?;
        if chunk.is_empty() {
            return Ok(());
        }
        let rows = chunk.len();
        let mut columns = Vec::with_capacity(self.spec.columns.len());
        for column in &self.spec.columns {
            columns.push(match column {
                None => {
                    let kinds: UInt32Array = (0..rows).map(|row| Some(chunk.kinds.get(row) as u32)).collect();
                    take(&self.codes, &kinds, None)?
                }
                Some(i) => match &self.spec.deleted_columns {
                    Some(kept) if !kept.contains(i) => {
                        Self::without_deleted(chunk.batch.column(*i), &chunk.kinds)?
                    }
                    _ => chunk.batch.column(*i).clone(),
                },
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.spec.schema.clone(), columns, &options)?;
        out.chunk(Chunk::append(batch, chunk.ingest));
        Ok(())
    }
}

/// What becomes of a row whose code has no kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Default)]
pub enum InvalidOp {
    /// The query fails.
    #[default]
    Fail,
    /// The row is dropped, with a warning.
    Log,
    /// The row is dropped.
    Skip,
}

/// What `FROM_CHANGELOG` is to do.
#[derive(Debug, Clone)]
pub struct FromChangelogSpec {
    /// The input's column with the codes: text.
    pub op: usize,
    /// Codes and what they mean.
    pub codes: Vec<(String, Kind)>,
    /// What becomes of other codes, and of NULL.
    pub invalid: InvalidOp,
    /// Output columns, as columns of the input.
    pub columns: Vec<usize>,
    /// Whether `-U` rows are to be emitted.
    pub emit_before: bool,
    /// The output's schema.
    pub schema: SchemaRef,
}

/// Turns rows that say which change they are into changes.
#[derive(Debug)]
pub struct FromChangelog {
    spec: FromChangelogSpec,
}

impl FromChangelog {
    /// An operator for one task.
    pub fn new(spec: FromChangelogSpec) -> Self {
        Self { spec }
    }

    #[cold]
    fn invalid(&self, code: Option<&str>) -> Error {
        let message = match code {
            Some(code) => format!("FROM_CHANGELOG: the operation code '{code}' is not known"),
            None => "FROM_CHANGELOG: a row has NULL as its operation code".to_string(),
        };
        let known: Vec<String> =
            self.spec.codes.iter().map(|(code, kind)| format!("'{code}' ({})", kind_name(*kind))).collect();
        Error::execution(message).with_detail(format!("known codes are {}", known.join(", "))).with_hint(
            "map it with op_mapping => MAP[...], or drop such rows with invalid_op_handling => 'SKIP'",
        )
    }
}

impl Operator for FromChangelog {
    fn name(&self) -> &'static str {
        "FromChangelog"
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let codes = chunk.batch.column(self.spec.op);
        let codes = match codes.data_type() {
            DataType::Utf8View => codes.clone(),
            _ => cast(codes, &DataType::Utf8View)?,
        };
        let codes = codes.as_string_view();
        let mut kinds = Vec::with_capacity(chunk.len());
        let mut kept: Vec<u32> = Vec::with_capacity(chunk.len());
        let mut unknown = 0;
        for row in 0..chunk.len() {
            let code = codes.is_valid(row).then(|| codes.value(row));
            let kind = code.and_then(|code| self.spec.codes.iter().find(|(known, _)| known == code));
            match kind {
                Some((_, Kind::UpdateBefore)) if !self.spec.emit_before => {}
                Some((_, kind)) => {
                    kept.push(row as u32);
                    kinds.push(*kind);
                }
                None if self.spec.invalid == InvalidOp::Fail => return Err(self.invalid(code)),
                None => {
                    if unknown == 0 && self.spec.invalid == InvalidOp::Log {
                        log::warn!("{}; the row is dropped", self.invalid(code));
                    }
                    unknown += 1;
                }
            }
        }
        if unknown > 1 && self.spec.invalid == InvalidOp::Log {
            log::warn!("FROM_CHANGELOG: {} more rows with unknown operation codes are dropped", unknown - 1);
        }
        let all = kept.len() == chunk.len();
        let batch = if all { chunk.batch } else { chunk.take(&UInt32Array::from(kept))?.batch };
        let options = RecordBatchOptions::new().with_row_count(Some(kinds.len()));
        let columns = self.spec.columns.iter().map(|i| batch.column(*i).clone()).collect();
        let batch = RecordBatch::try_new_with_options(self.spec.schema.clone(), columns, &options)?;
        out.chunk(Chunk { batch, kinds: Kinds::Changes(Arc::from(kinds)), ingest: chunk.ingest });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
