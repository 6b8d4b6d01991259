//! Rows with a line per column, for results that are wider than the terminal.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::layout::cell;
use super::text::TextColumn;
use super::{Ending, Renderer, rows, visible};
use crate::error::Result;
use crate::flow::{Chunk, Kinds};

/// Width of a rule where the terminal's is not known.
const RULE: usize = 40;

/// Draws each row as a list of its columns.
#[derive(Debug)]
pub struct Vertical {
    names: Names,
    rows: u64,
}

/// The columns' names, as wide as the widest.
#[derive(Debug)]
struct Names {
    names: Vec<String>,
    terminal: Option<usize>,
}

impl Names {
    fn new(schema: &SchemaRef, terminal: Option<usize>) -> Self {
        let shown = |name: &String| {
            let mut shown = String::new();
            visible::push_text(name, &mut shown);
            shown
        };
        let mut names: Vec<String> = schema.fields().iter().map(|f| shown(f.name())).collect();
        let widest = names.iter().map(|n| visible::width(n)).max().unwrap_or(0);
        // A name may take half of the terminal.
        let widest = widest.min(terminal.map_or(usize::MAX, |t| (t / 2).max(4)));
        for name in &mut names {
            let mut cut = String::new();
            let used = visible::push_cut(name, widest, &mut cut);
            cut.push_str(&" ".repeat(widest - used));
            *name = cut;
        }
        Self { names, terminal }
    }

    fn write(
        &self,
        batch: &RecordBatch,
        kinds: Option<&Kinds>,
        before: u64,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let columns = batch.columns().iter().map(|c| TextColumn::new(&**c)).collect::<Result<Vec<_>>>()?;
        let mut scratch = Default::default();
        for row in 0..batch.num_rows() {
            let mut head = format!("-[ {}", before + row as u64 + 1);
            if let Some(kinds) = kinds {
                head.push_str(&format!(" {}", kinds.get(row).as_str()));
            }
            head.push_str(" ]");
            let rule = self.terminal.unwrap_or(RULE).min(RULE).saturating_sub(head.len());
            head.push_str(&"-".repeat(rule));
            head.push('\n');
            out.extend_from_slice(head.as_bytes());
            for (name, column) in self.names.iter().zip(&columns) {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b" | ");
                out.extend_from_slice(cell(column, row, &mut scratch)?.as_bytes());
                out.push(b'\n');
            }
        }
        Ok(())
    }
}

impl Vertical {
    /// For rows of this schema on a terminal of this width.
    pub fn new(schema: &SchemaRef, terminal: Option<usize>) -> Self {
        Self { names: Names::new(schema, terminal), rows: 0 }
    }
}

impl Renderer for Vertical {
    fn chunk(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()> {
        self.names.write(&chunk.batch, Some(&chunk.kinds), self.rows, out)?;
        self.rows += chunk.len() as u64;
        Ok(())
    }

    fn idle(&mut self, _out: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn end(&mut self, ending: Ending, out: &mut Vec<u8>) -> Result<()> {
        let count = rows(self.rows);
        let line = match ending {
            Ending::Complete => format!("Received a total of {count}\n"),
            Ending::Cancelled => format!("Query terminated, received a total of {count}\n"),
            Ending::Failed if self.rows == 0 => return Ok(()),
            Ending::Failed => format!("Query failed, received {count} before\n"),
        };
        out.extend_from_slice(line.as_bytes());
        Ok(())
    }
}

/// Appends a small table, without the kinds of its rows.
pub fn write_vertical(batch: &RecordBatch, terminal: Option<usize>, out: &mut Vec<u8>) -> Result<()> {
    if batch.num_rows() == 0 {
        out.extend_from_slice(b"Empty set\n");
        return Ok(());
    }
    Names::new(&batch.schema(), terminal).write(batch, None, 0, out)?;
    out.extend_from_slice(format!("{} in set\n", rows(batch.num_rows() as u64)).as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{chunk, render};
    use super::super::{OutputFormat, Target};
    use super::*;
    use crate::flow::Kind::{Delete, Insert};

    #[test]
    fn a_line_per_column() {
        let target = Target { format: OutputFormat::Vertical, terminal: true, width: Some(20) };
        let chunks = [
            chunk(&[(Insert, Some(1), Some("a\nb\u{1b}"))]),
            chunk(&[(Delete, None, Some("a text that is longer than the terminal"))]),
        ];
        let expected = "\
-[ 1 +I ]-----------
id   | 1
name | a↵b␛
-[ 2 -D ]-----------
id   | <NULL>
name | a text that is longer than the terminal
Received a total of 2 rows
";
        assert_eq!(render(target, &chunks, Ending::Complete), expected);
    }

    #[test]
    fn small_tables() {
        let mut out = Vec::new();
        let batch = chunk(&[(Insert, Some(1), None)]).batch;
        assert!(write_vertical(&batch, None, &mut out).is_ok());
        let expected = "-[ 1 ]----------------------------------\nid   | 1\nname | <NULL>\n1 row in set\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
