//! The box of Flink's SQL client, drawn while the rows come.
//!
//! Its lines are printed before later rows are known, so widths are settled with the first rows: what
//! the types need, narrowed to what was seen when the terminal is too narrow. The header waits for
//! these rows, or until the stream is idle.

use arrow::datatypes::SchemaRef;

use super::layout::{Frame, Wish, cell, fitting, stream_widths, write_left_out};
use super::text::TextColumn;
use super::{Ending, Renderer, rows, visible};
use crate::error::Result;
use crate::flow::Chunk;

/// So many rows are looked at for the widths.
const SAMPLE: usize = 100;

/// Columns of the terminal that `op` takes with its borders.
const OP: usize = 5;

/// Draws a result as a box.
#[derive(Debug)]
pub struct Tableau {
    schema: SchemaRef,
    terminal: Option<usize>,
    frame: Option<Frame>,
    /// Columns that fit.
    shown: usize,
    rows: u64,
    /// Rows that are drawn at most.
    cap: Option<u64>,
}

impl Tableau {
    /// A box for rows of this schema on a terminal of this width.
    pub fn new(schema: SchemaRef, terminal: Option<usize>) -> Self {
        Self { schema, terminal, frame: None, shown: 0, rows: 0, cap: None }
    }

    /// The same with at most this many rows; the end says how many there are.
    pub fn capped(self, rows: u64) -> Self {
        Self { cap: Some(rows), ..self }
    }

    /// Settles the widths and draws the header, unless that was done.
    fn begin(&mut self, sample: Option<&Chunk>, out: &mut Vec<u8>) -> Result<&mut Frame> {
        if self.frame.is_none() {
            let frame = self.draw_header(sample, out)?;
            self.frame = Some(frame);
        }
        self.frame.as_mut().ok_or_else(|| crate::error::Error::internal("a box without its frame"))
    }

    fn draw_header(&mut self, sample: Option<&Chunk>, out: &mut Vec<u8>) -> Result<Frame> {
        let mut wishes: Vec<Wish> =
            self.schema.fields().iter().map(|f| Wish::new(f.name(), f.data_type())).collect();
        if let Some(chunk) = sample {
            let mut scratch = Default::default();
            for (wish, array) in wishes.iter_mut().zip(chunk.batch.columns()) {
                let column = TextColumn::new(&**array)?;
                for row in 0..chunk.len().min(SAMPLE) {
                    wish.seen = wish.seen.max(visible::width(cell(&column, row, &mut scratch)?));
                }
            }
        }
        // The column `op` and its borders.
        let room = self.terminal.map(|t| t.saturating_sub(OP));
        self.shown = fitting(&stream_widths(&wishes, room), self.terminal, OP);
        wishes.truncate(self.shown);
        let mut widths = vec![2];
        widths.extend(stream_widths(&wishes, room));
        wishes.insert(0, Wish { name: 2, seen: 2, fixed: Some(2) });
        let mut frame = Frame::new(widths, &wishes);
        frame.rule(out);
        frame.header(&self.schema, true, false, out);
        frame.rule(out);
        Ok(frame)
    }
}

impl Renderer for Tableau {
    fn chunk(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()> {
        let columns: Vec<_> =
            chunk.batch.columns().iter().map(|c| TextColumn::new(&**c)).collect::<Result<_>>()?;
        self.begin(Some(chunk), out)?;
        let (shown, cap, before) = (self.shown, self.cap, self.rows);
        let frame = self.begin(None, out)?;
        let mut scratch = Default::default();
        let room = cap.map_or(u64::MAX, |cap| cap.saturating_sub(before));
        let drawn = usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len());
        for row in 0..drawn {
            frame.push(0, chunk.kinds.get(row).as_str(), false);
            for (i, column) in columns.iter().enumerate().take(shown) {
                frame.push(i + 1, cell(column, row, &mut scratch)?, false);
            }
            frame.finish(out);
        }
        self.rows += chunk.len() as u64;
        Ok(())
    }

    fn idle(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.begin(None, out).map(|_| ())
    }

    fn end(&mut self, ending: Ending, out: &mut Vec<u8>) -> Result<()> {
        let count = rows(self.rows);
        if ending == Ending::Failed && self.frame.is_none() {
            return Ok(());
        }
        self.begin(None, out)?.rule(out);
        write_left_out(&self.schema, self.shown, self.terminal, out);
        if let Some(frame) = &self.frame {
            frame.write_cut(self.terminal, out);
        }
        if let Some(cap) = self.cap.filter(|cap| *cap < self.rows) {
            let text = format!("the first {cap} of {count} are shown: LIMIT, \\o file, \\pager on");
            let mut line = String::new();
            visible::push_cut(&text, self.terminal.unwrap_or(usize::MAX), &mut line);
            line.push('\n');
            out.extend_from_slice(line.as_bytes());
        }
        let line = match ending {
            Ending::Complete => format!("Received a total of {count}\n"),
            Ending::Cancelled => format!("Query terminated, received a total of {count}\n"),
            Ending::Failed => format!("Query failed, received {count} before\n"),
        };
        out.extend_from_slice(line.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{chunk, render};
    use super::super::{OutputFormat, Target};
    use super::*;
    use crate::flow::Kind::{self, Delete, Insert, UpdateAfter, UpdateBefore};

    fn tableau(rows: &[(Kind, Option<i64>, Option<&str>)], width: Option<usize>, ending: Ending) -> String {
        let target = Target { format: OutputFormat::Tableau, terminal: width.is_some(), width };
        render(target, &[chunk(rows)], ending)
    }

    #[test]
    fn as_flink_draws_it() {
        let rows = [
            (Insert, Some(1), Some("Alice")),
            (UpdateBefore, Some(1), Some("Alice")),
            (UpdateAfter, Some(-9_223_372_036_854_775_808), None),
            (Delete, None, Some("a text of more than thirty characters")),
        ];
        let expected = "\
+----+----------------------+--------------------------------+
| op |                   id |                           name |
+----+----------------------+--------------------------------+
| +I |                    1 |                          Alice |
| -U |                    1 |                          Alice |
| +U | -9223372036854775808 |                         <NULL> |
| -D |               <NULL> | a text of more than thirty ... |
+----+----------------------+--------------------------------+
Received a total of 4 rows
";
        assert_eq!(tableau(&rows, None, Ending::Complete), expected);
    }

    #[test]
    fn capped() {
        let rows: Vec<_> = (0..5).map(|i| (Insert, Some(i), None)).collect();
        let chunk = chunk(&rows);
        let mut tableau = Tableau::new(chunk.batch.schema(), Some(100)).capped(3);
        let mut out = Vec::new();
        for _ in 0..2 {
            assert!(tableau.chunk(&chunk, &mut out).is_ok());
        }
        assert!(tableau.end(Ending::Complete, &mut out).is_ok());
        let text = String::from_utf8_lossy(&out);
        assert_eq!(text.matches("+I").count(), 3, "{text}");
        let end =
            "the first 3 of 10 rows are shown: LIMIT, \\o file, \\pager on\nReceived a total of 10 rows\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn a_wide_terminal_shows_the_whole_text() {
        let rows = [(Insert, Some(1), Some("a text of more than thirty characters"))];
        let out = tableau(&rows, Some(120), Ending::Complete);
        assert!(
            out.contains("| +I |                    1 | a text of more than thirty characters |"),
            "{out}"
        );
    }

    #[test]
    fn a_narrow_terminal() {
        let rows = [(Insert, Some(1), Some("Alexandria")), (Insert, Some(1_234_567), None)];
        let expected = "\
+----+--------+--------+
| op |     id |   name |
+----+--------+--------+
| +I |      1 | Ale... |
| +I | 1234567 | <NULL> |
+----+--------+--------+
\\x or -o vertical sho...
Query terminated, received a total of 2 rows
";
        let target = Target { format: OutputFormat::Tableau, terminal: true, width: Some(24) };
        let chunks = [chunk(&rows[..1]), chunk(&rows[1..])];
        assert_eq!(render(target, &chunks, Ending::Cancelled), expected, "numbers are never cut");
    }

    #[test]
    fn columns_that_do_not_fit_are_named() {
        let expected = "\
+----+--------+
| op |     id |
+----+--------+
| +I |      1 |
+----+--------+
1 of 2 columns fi...
left out: name
Received a total of 1 row
";
        let rows = [(Insert, Some(1), Some("Alexandria"))];
        assert_eq!(tableau(&rows, Some(20), Ending::Complete), expected);
    }

    #[test]
    fn wide_and_control_characters() {
        let rows = [
            (Insert, Some(1), Some("日本語テキスト日本語テキスト日本語テキスト")),
            (Insert, Some(2), Some("\u{1b}[2Jx\ny")),
        ];
        let expected = "\
+----+----------------------+--------------------------------+
| op |                   id |                           name |
+----+----------------------+--------------------------------+
| +I |                    1 |  日本語テキスト日本語テキス... |
| +I |                    2 |                        ␛[2Jx↵y |
+----+----------------------+--------------------------------+
Received a total of 2 rows
";
        assert_eq!(tableau(&rows, None, Ending::Complete), expected);
    }

    #[test]
    fn nothing_came() {
        let out = tableau(&[], None, Ending::Complete);
        assert!(out.starts_with("+----+-") && out.ends_with("Received a total of 0 rows\n"), "{out}");
        assert!(tableau(&[(Insert, None, None)], None, Ending::Failed).ends_with("received 1 row before\n"));
    }
}
