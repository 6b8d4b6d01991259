//! What a table's declaration promises of its rows, before any sink: no NULL in NOT NULL columns, and on request
//! texts and bytes of the declared length.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewBuilder, BooleanBufferBuilder, RecordBatch, StringViewBuilder,
    UInt32Array,
};

use crate::error::{Error, Result};
use crate::flow::{Chunk, Operator, Output};

/// The lengths that a type takes. Text is counted in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// The largest.
    pub most: usize,
    /// Shorter values are filled up: CHAR and BINARY.
    pub fixed: bool,
}

/// What is demanded of a column.
#[derive(Debug, Clone)]
pub struct Constraint {
    /// Its index.
    pub column: usize,
    /// Its name.
    pub name: String,
    /// Its type, for messages.
    pub declared: String,
    /// It takes no NULL.
    pub not_null: bool,
    /// Its length, if lengths are enforced.
    pub length: Option<Length>,
}

/// What is demanded of the rows of a table.
#[derive(Debug, Clone)]
pub struct Constraints {
    /// The table.
    pub table: String,
    /// Columns with demands.
    pub columns: Vec<Constraint>,
    /// Rows with NULL where it must not be are left out, instead of failing the job.
    pub drop_nulls: bool,
    /// Values of another length are cut and filled up, instead of failing the job.
    pub trim_and_pad: bool,
}

/// Checks or mends the rows on their way to a sink.
#[derive(Debug)]
pub struct ConstraintEnforcer {
    constraints: Arc<Constraints>,
    dropped: u64,
}

impl ConstraintEnforcer {
    /// An enforcer.
    pub fn new(constraints: Arc<Constraints>) -> Self {
        Self { constraints, dropped: 0 }
    }

    fn nulls(&mut self, chunk: Chunk) -> Result<Chunk> {
        let mut left_out: Option<BooleanBufferBuilder> = None;
        for constraint in self.constraints.columns.iter().filter(|c| c.not_null) {
            let Some(nulls) = chunk.batch.columns().get(constraint.column).and_then(|c| c.logical_nulls())
            else {
                continue;
            };
            if nulls.null_count() == 0 {
                continue;
            }
            if !self.constraints.drop_nulls {
                let row = (0..chunk.len()).find(|&row| nulls.is_null(row)).unwrap_or(0);
                return Err(self.null_in(constraint, &chunk, row));
            }
            let left_out = left_out.get_or_insert_with(|| {
                let mut none = BooleanBufferBuilder::new(chunk.len());
                none.append_n(chunk.len(), false);
                none
            });
            (0..chunk.len()).filter(|&row| nulls.is_null(row)).for_each(|row| left_out.set_bit(row, true));
        }
        let Some(mut left_out) = left_out else { return Ok(chunk) };
        let left_out = left_out.finish();
        if self.dropped == 0 {
            log::warn!(
                "table '{}': rows with NULL in a NOT NULL column are dropped ('table.exec.sink.not-null-enforcer' is DROP)",
                self.constraints.table
            );
        }
        self.dropped += left_out.count_set_bits() as u64;
        let kept: UInt32Array =
            (0..chunk.len()).filter(|&row| !left_out.value(row)).map(|row| row as u32).collect();
        chunk.take(&kept)
    }

    #[cold]
    fn null_in(&self, constraint: &Constraint, chunk: &Chunk, row: usize) -> Error {
        let Constraints { table, .. } = self.constraints.as_ref();
        let name = &constraint.name;
        Error::execution(format!("column '{name}' of table '{table}' is NOT NULL, and the query gave NULL"))
            .with_detail(format!("the row: {}", shown(chunk, row)))
            .with_hint(format!(
                "give a value (COALESCE({name}, ...)), or select the rows that have one \
                 (WHERE {name} IS NOT NULL), or declare the column without NOT NULL"
            ))
    }

    fn lengths(&self, mut chunk: Chunk) -> Result<Chunk> {
        for constraint in &self.constraints.columns {
            let Some(length) = constraint.length else { continue };
            let Some(column) = chunk.batch.columns().get(constraint.column) else { continue };
            let Some(row) = (0..column.len()).find(|&row| !column.is_null(row) && !fits(column, row, length))
            else {
                continue;
            };
            if !self.constraints.trim_and_pad {
                return Err(self.wrong_length(constraint, &chunk, row));
            }
            let mut columns = chunk.batch.columns().to_vec();
            columns[constraint.column] = mended(column, length);
            chunk = chunk.with_batch(RecordBatch::try_new(chunk.batch.schema(), columns)?);
        }
        Ok(chunk)
    }

    #[cold]
    fn wrong_length(&self, constraint: &Constraint, chunk: &Chunk, row: usize) -> Error {
        let Constraint { name, declared, .. } = constraint;
        Error::execution(format!(
            "column '{name}' of table '{}' is {declared}, and the query gave a value of another length",
            self.constraints.table
        ))
        .with_detail(format!("the row: {}", shown(chunk, row)))
        .with_hint(format!("cut it in the query (CAST({name} AS {declared})), or declare a longer column"))
    }
}

/// The start of a row.
fn shown(chunk: &Chunk, row: usize) -> String {
    const MOST: usize = 200;
    let style = crate::format::text::Style::Print;
    let mut text = Vec::new();
    for (field, column) in chunk.batch.schema().fields().iter().zip(chunk.batch.columns()) {
        if !text.is_empty() {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(field.name().as_bytes());
        text.push(b'=');
        let Ok(plain) = crate::format::text::plain(column) else { continue };
        if let Ok(cells) = crate::format::text::Cells::new(plain.as_ref()) {
            cells.write_or_null(row, &style, &mut text);
        }
    }
    let text = String::from_utf8_lossy(&text);
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}

fn fits(column: &ArrayRef, row: usize, length: Length) -> bool {
    let right = |n: usize| if length.fixed { n == length.most } else { n <= length.most };
    if let Some(texts) = column.as_string_view_opt() {
        let text = texts.value(row);
        // Characters are never more than bytes.
        return !length.fixed && text.len() <= length.most || right(text.chars().count());
    }
    column.as_binary_view_opt().is_none_or(|bytes| right(bytes.value(row).len()))
}

/// The column with values of the right length.
fn mended(column: &ArrayRef, length: Length) -> ArrayRef {
    let missing = |n: usize| if length.fixed { length.most.saturating_sub(n) } else { 0 };
    if let Some(texts) = column.as_string_view_opt() {
        let mut builder = StringViewBuilder::with_capacity(texts.len());
        for text in texts {
            builder.append_option(text.map(|text| {
                let end = text.char_indices().nth(length.most).map_or(text.len(), |(end, _)| end);
                let cut = &text[..end];
                match missing(cut.chars().count()) {
                    0 => Cow::Borrowed(cut),
                    n => Cow::Owned(format!("{cut}{}", " ".repeat(n))),
                }
            }));
        }
        return Arc::new(builder.finish());
    }
    let Some(values) = column.as_binary_view_opt() else { return column.clone() };
    let mut builder = BinaryViewBuilder::with_capacity(values.len());
    let mut filled = Vec::new();
    for value in values {
        let Some(value) = value else {
            builder.append_null();
            continue;
        };
        filled.clear();
        filled.extend_from_slice(&value[..value.len().min(length.most)]);
        filled.resize(filled.len() + missing(filled.len()), 0);
        builder.append_value(&filled);
    }
    Arc::new(builder.finish())
}

impl Operator for ConstraintEnforcer {
    fn name(&self) -> &'static str {
        "ConstraintEnforcer"
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let chunk = self.nulls(chunk)?;
        out.chunk(self.lengths(chunk)?);
        Ok(())
    }

    fn dropped_rows(&self) -> u64 {
        self.dropped
    }
}
