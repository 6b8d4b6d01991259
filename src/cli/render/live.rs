//! A table that changes in place: the rows of a result as they are now.
//!
//! On a terminal it is repainted at most every 50 ms, as much of it as fits; when the query ends, the
//! whole table is printed once. Elsewhere only that last table is.

use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;

use super::{Ending, Renderer, Target, rows, write_table};
use crate::error::Result;
use crate::flow::Chunk;
use crate::session::Materialized;

/// Least time between two repaints.
const FRAME: Duration = Duration::from_millis(50);

/// Rows of a terminal whose height is not known.
const HEIGHT: usize = 24;

/// Shows the state of a result.
#[derive(Debug)]
pub struct Live {
    table: Materialized,
    target: Target,
    height: usize,
    /// Lines on the screen that belong to the last painting.
    lines: usize,
    painted: Option<Instant>,
    changed: bool,
    changes: u64,
}

impl Live {
    /// A table without rows.
    pub fn new(schema: SchemaRef, target: Target, height: Option<usize>) -> Result<Self> {
        Ok(Self {
            table: Materialized::new(schema)?,
            target,
            height: height.unwrap_or(HEIGHT),
            lines: 0,
            painted: None,
            changed: true,
            changes: 0,
        })
    }

    /// Wipes the last painting: the cursor goes to where it began.
    fn wipe(&mut self, out: &mut Vec<u8>) {
        if self.lines > 0 {
            out.extend_from_slice(format!("\r\x1b[{}A\x1b[J", self.lines).as_bytes());
            self.lines = 0;
        }
    }

    fn paint(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.wipe(out);
        let from = out.len();
        // The frame of the box, its last line, and the line of the cursor.
        let room = self.height.saturating_sub(6).max(1);
        write_table(&self.table.batch(0, room)?, self.target.width, out)?;
        let shown = self.table.len().min(room);
        let text = if self.table.len() > shown {
            format!("{} of {}, {} changes\n", shown, rows(self.table.len() as u64), self.changes)
        } else {
            format!("{}, {} changes\n", rows(self.table.len() as u64), self.changes)
        };
        // The last line of the box says how many rows it has: this one knows better.
        if let Some(end) = out[from..].strip_suffix(b"\n").and_then(|t| t.iter().rposition(|&b| b == b'\n')) {
            out.truncate(from + end + 1);
        } else {
            out.truncate(from);
        }
        out.extend_from_slice(text.as_bytes());
        self.lines = out[from..].iter().filter(|&&b| b == b'\n').count();
        self.painted = Some(Instant::now());
        self.changed = false;
        Ok(())
    }
}

impl Renderer for Live {
    fn chunk(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()> {
        self.table.apply(chunk)?;
        self.changes += chunk.len() as u64;
        self.changed = true;
        if self.target.terminal && self.painted.is_none_or(|at| at.elapsed() >= FRAME) {
            self.paint(out)?;
        }
        Ok(())
    }

    fn idle(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.target.terminal && self.changed { self.paint(out) } else { Ok(()) }
    }

    fn end(&mut self, ending: Ending, out: &mut Vec<u8>) -> Result<()> {
        self.wipe(out);
        write_table(&self.table.batch(0, usize::MAX)?, self.target.width, out)?;
        match ending {
            Ending::Complete => {}
            Ending::Cancelled => out.extend_from_slice(b"Query terminated\n"),
            Ending::Failed => out.extend_from_slice(b"Query failed, this is what it had given\n"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::tests::chunk;
    use super::super::{OutputFormat, Target};
    use super::*;
    use crate::flow::Kind::{Insert, UpdateAfter, UpdateBefore};

    fn live(terminal: bool, height: usize) -> Live {
        let target = Target { format: OutputFormat::Table, terminal, width: Some(40) };
        Live::new(chunk(&[]).batch.schema(), target, Some(height)).unwrap()
    }

    #[test]
    fn repaints_in_place() {
        let mut live = live(true, 24);
        let mut out = Vec::new();
        live.chunk(&chunk(&[(Insert, Some(1), Some("a"))]), &mut out).unwrap();
        live.chunk(
            &chunk(&[(UpdateBefore, Some(1), Some("a")), (UpdateAfter, Some(2), Some("b"))]),
            &mut out,
        )
        .unwrap();
        live.idle(&mut out).unwrap();
        let expected = "\
+----+------+
| id | name |
+----+------+
|  1 | a    |
+----+------+
1 row, 1 changes
\r\x1b[6A\x1b[J\
+----+------+
| id | name |
+----+------+
|  2 | b    |
+----+------+
1 row, 3 changes
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn shows_what_fits_and_all_at_the_end() {
        let rows: Vec<_> = (0..9).map(|i| (Insert, Some(i), None)).collect();
        let mut live = live(true, 8);
        let mut out = Vec::new();
        live.chunk(&chunk(&rows), &mut out).unwrap();
        assert!(String::from_utf8_lossy(&out).ends_with("2 of 9 rows, 9 changes\n"));
        out.clear();
        live.end(Ending::Complete, &mut out).unwrap();
        assert!(String::from_utf8_lossy(&out).ends_with("9 rows in set\n"));
    }

    #[test]
    fn elsewhere_only_the_end_is_written() {
        let mut live = live(false, 24);
        let mut out = Vec::new();
        live.chunk(&chunk(&[(Insert, Some(1), None)]), &mut out).unwrap();
        live.idle(&mut out).unwrap();
        assert!(out.is_empty());
        live.end(Ending::Cancelled, &mut out).unwrap();
        assert!(String::from_utf8_lossy(&out).ends_with("1 row in set\nQuery terminated\n"));
    }
}
