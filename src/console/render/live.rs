//! A table that changes in place: the rows of a result as they are now.
//!
//! On a terminal it is repainted at most every 50 ms, as much of it as fits; when the query ends, the
//! whole table is printed once. Elsewhere only that last table is.

use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;

use super::super::keys;
use super::screen::{Screen, Size};
use super::vertical::write_vertical;
use super::{Ending, OutputFormat, Renderer, Target, rows, visible, write_table};
use crate::error::Result;
use crate::flow::Chunk;
use crate::session::Materialized;
use crate::session::figures::thousands;

/// Rows of a terminal whose height is not known.
const HEIGHT: usize = 24;

/// Shows the state of a result.
#[derive(Debug)]
pub struct Live {
    table: Materialized,
    columns: usize,
    target: Target,
    size: fn() -> Size,
    screen: Screen,
    changed: bool,
    changes: u64,
    begun: Instant,
}

impl Live {
    /// A table without rows; `size` returns the terminal's size now.
    pub fn new(schema: SchemaRef, target: Target, size: fn() -> Size) -> Result<Self> {
        Ok(Self {
            columns: schema.fields().len(),
            table: Materialized::new(schema)?,
            target,
            size,
            screen: Screen::default(),
            changed: true,
            changes: 0,
            begun: Instant::now(),
        })
    }

    /// Writes this many rows.
    fn write(&self, rows: usize, out: &mut Vec<u8>) -> Result<()> {
        let batch = self.table.batch(0, rows)?;
        match self.target.format {
            OutputFormat::VerticalTable => write_vertical(&batch, self.target.width, out),
            _ => write_table(&batch, self.target.width, out),
        }
    }

    fn paint(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let (width, height) = (self.size)();
        self.target.width = width.or(self.target.width);
        self.screen.wipe((width, height), out);
        let from = out.len();
        // The frame of the box, what it says of columns left out and values cut, its last line, and the line of the
        // cursor.
        let room = height.unwrap_or(HEIGHT).saturating_sub(9).max(1);
        let room = match self.target.format {
            OutputFormat::VerticalTable => (room / (self.columns + 1)).max(1),
            _ => room,
        };
        self.write(room, out)?;
        let shown = self.table.len().min(room);
        let text = if self.table.len() > shown {
            format!("{} of {}, {} changes\n", shown, rows(self.table.len() as u64), self.changes)
        } else {
            format!("{}, {} changes\n", rows(self.table.len() as u64), self.changes)
        };
        let seconds = self.begun.elapsed().as_secs_f64();
        let rate = if seconds >= 1.0 { (self.changes as f64 / seconds) as u64 } else { 0 };
        let stops = if keys::active() { "q or Ctrl-C stops" } else { "Ctrl-C stops" };
        let text = match rate {
            0 => format!("{}, {stops}", text.trim_end()),
            rate => format!("{}, {}/s, {stops}", text.trim_end(), thousands(rate)),
        };
        // The last line of the box says how many rows it has: this one knows better.
        if let Some(end) = out[from..].strip_suffix(b"\n").and_then(|t| t.iter().rposition(|&b| b == b'\n')) {
            out.truncate(from + end + 1);
        } else {
            out.truncate(from);
        }
        let mut line = String::new();
        visible::push_cut(text.trim_end(), self.target.width.unwrap_or(usize::MAX), &mut line);
        line.push('\n');
        out.extend_from_slice(line.as_bytes());
        self.screen.painted(&out[from..]);
        self.changed = false;
        Ok(())
    }
}

impl Renderer for Live {
    fn chunk(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()> {
        self.table.apply(chunk)?;
        self.changes += chunk.len() as u64;
        self.changed = true;
        if self.target.terminal && self.screen.is_due() {
            self.paint(out)?;
        }
        Ok(())
    }

    fn idle(&mut self, out: &mut Vec<u8>) -> Result<()> {
        match self.target.terminal && self.changed && self.screen.is_due() {
            true => self.paint(out),
            false => Ok(()),
        }
    }

    fn is_live(&self) -> bool {
        true
    }

    fn due(&self) -> Option<Duration> {
        (self.target.terminal && self.changed).then(|| self.screen.wait())
    }

    fn end(&mut self, ending: Ending, out: &mut Vec<u8>) -> Result<()> {
        if self.target.terminal {
            let size = (self.size)();
            self.target.width = size.0.or(self.target.width);
            self.screen.wipe(size, out);
        }
        self.write(usize::MAX, out)?;
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

    use super::super::Target;
    use super::super::tests::chunk;
    use super::*;
    use crate::flow::Kind::{Insert, UpdateAfter, UpdateBefore};

    fn live(terminal: bool, size: fn() -> Size) -> Live {
        let target = Target { format: OutputFormat::Table, terminal, width: Some(40) };
        Live::new(chunk(&[]).batch.schema(), target, size).unwrap()
    }

    fn tall() -> Size {
        (None, Some(24))
    }

    #[test]
    fn repaints_in_place() {
        let mut live = live(true, tall);
        let mut out = Vec::new();
        live.chunk(&chunk(&[(Insert, Some(1), Some("a"))]), &mut out).unwrap();
        live.chunk(
            &chunk(&[(UpdateBefore, Some(1), Some("a")), (UpdateAfter, Some(2), Some("b"))]),
            &mut out,
        )
        .unwrap();
        live.idle(&mut out).unwrap();
        assert!(live.due().is_some(), "not before its time");
        live.screen.hurry();
        live.idle(&mut out).unwrap();
        assert_eq!(live.due(), None);
        let expected = "\
+----+------+
| id | name |
+----+------+
|  1 | a    |
+----+------+
1 row, 1 changes, Ctrl-C stops
\r\x1b[6A\x1b[J\
+----+------+
| id | name |
+----+------+
|  2 | b    |
+----+------+
1 row, 3 changes, Ctrl-C stops
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn shows_what_fits_and_all_at_the_end() {
        let rows: Vec<_> = (0..9).map(|i| (Insert, Some(i), None)).collect();
        let mut live = live(true, || (None, Some(11)));
        let mut out = Vec::new();
        live.chunk(&chunk(&rows), &mut out).unwrap();
        assert!(String::from_utf8_lossy(&out).ends_with("2 of 9 rows, 9 changes, Ctrl-C stops\n"));
        out.clear();
        live.end(Ending::Complete, &mut out).unwrap();
        assert!(String::from_utf8_lossy(&out).ends_with("9 rows in set\n"));
    }

    #[test]
    fn elsewhere_only_the_end_is_written() {
        let mut live = live(false, tall);
        let mut out = Vec::new();
        live.chunk(&chunk(&[(Insert, Some(1), None)]), &mut out).unwrap();
        live.idle(&mut out).unwrap();
        assert!(out.is_empty());
        live.end(Ending::Cancelled, &mut out).unwrap();
        assert!(String::from_utf8_lossy(&out).ends_with("1 row in set\nQuery terminated\n"));
    }
}
