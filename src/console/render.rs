//! Results as text: a box that grows with the stream, JSON lines or CSV.

pub mod chart;
pub mod csv;
pub mod json;
pub mod layout;
pub mod live;
pub mod screen;
pub mod table;
pub mod tableau;
pub mod text;
pub mod vertical;
pub mod visible;

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::flow::Chunk;

pub use table::write_table;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// A box with a line per row, as Flink's SQL client draws it
    Tableau,
    /// The rows as they are now, changing in place; their last state when not on a terminal
    Table,
    /// A line per column, for rows that are wider than the terminal
    Vertical,
    /// One object per line
    Json,
    /// The rows as they are now, a line per column
    #[value(skip)]
    VerticalTable,
    /// RFC 4180 with a header line
    Csv,
    /// Nothing: run only
    None,
}

/// How a result ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All rows were shown.
    Complete,
    /// The user stopped it.
    Cancelled,
    /// The query failed; the error is shown elsewhere.
    Failed,
}

/// Writes the rows of one result as they come.
pub trait Renderer {
    /// Appends the rows of a chunk.
    fn chunk(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()>;

    /// No rows for the moment: appends what was held back.
    fn idle(&mut self, out: &mut Vec<u8>) -> Result<()>;

    /// When [`Renderer::idle`] wants to be called again although no rows come; `None`: it holds nothing back.
    fn due(&self) -> Option<Duration> {
        None
    }

    /// Whether it repaints in place and says itself how far the query is.
    fn is_live(&self) -> bool {
        false
    }

    /// Appends what follows the last row.
    fn end(&mut self, ending: Ending, out: &mut Vec<u8>) -> Result<()>;
}

/// Where results go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// How they are written.
    pub format: OutputFormat,
    /// To a terminal: nothing in the data may steer it.
    pub terminal: bool,
    /// Columns of the terminal.
    pub width: Option<usize>,
}

impl Target {
    /// A renderer for one result.
    pub fn renderer(&self, schema: SchemaRef) -> Result<Box<dyn Renderer>> {
        Ok(match self.format {
            OutputFormat::Tableau => Box::new(tableau::Tableau::new(schema, self.width)),
            OutputFormat::Table | OutputFormat::VerticalTable => {
                Box::new(live::Live::new(schema, *self, screen::terminal_size)?)
            }
            OutputFormat::Vertical => Box::new(vertical::Vertical::new(&schema, self.width)),
            OutputFormat::Json => Box::new(json::JsonLines::new(self.terminal)),
            OutputFormat::Csv => Box::new(csv::CsvLines::new(schema, self.terminal)),
            OutputFormat::None => Box::new(Nothing),
        })
    }

    /// Appends a small table: SHOW, DESCRIBE.
    pub fn table(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        match self.format {
            OutputFormat::Tableau | OutputFormat::Table => write_table(batch, self.width, out),
            OutputFormat::Vertical | OutputFormat::VerticalTable => {
                vertical::write_vertical(batch, self.width, out)
            }
            OutputFormat::Json => json::write_objects(batch, self.terminal, out),
            OutputFormat::Csv => csv::write_records(batch, self.terminal, out),
            OutputFormat::None => Ok(()),
        }
    }
}

struct Nothing;

impl Renderer for Nothing {
    fn chunk(&mut self, _chunk: &Chunk, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn idle(&mut self, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn end(&mut self, _ending: Ending, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }
}

/// `1 row`, `2 rows`.
pub fn rows(count: u64) -> String {
    format!("{count} row{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    pub(crate) use crate::operator::picture::named as chunk;

    /// All of a result.
    pub(crate) fn render(target: Target, chunks: &[Chunk], ending: Ending) -> String {
        let mut renderer = target.renderer(chunks[0].batch.schema()).unwrap();
        let mut out = Vec::new();
        for chunk in chunks {
            renderer.chunk(chunk, &mut out).unwrap();
        }
        renderer.end(ending, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }
}
