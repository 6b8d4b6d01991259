//! Lines of braille dots, two by four in a character.

use super::scale::{Axis, Range, number};
use super::{letter, push_colored, push_line, visible};

/// A drawing of lines.
#[derive(Debug, Clone, Copy)]
pub struct Lines {
    /// What is below.
    pub axis: Axis,
    /// Number of series; 0 where there is only one without a name.
    pub series: usize,
    /// Columns of the terminal.
    pub width: usize,
    /// Lines of the drawing, without the axis below.
    pub height: usize,
    /// Series have colours; otherwise letters.
    pub color: bool,
}

/// A grid of characters with dots in them.
struct Canvas {
    columns: usize,
    rows: usize,
    dots: Vec<u8>,
    /// Who drew into a character last.
    series: Vec<u32>,
}

impl Canvas {
    fn new(columns: usize, rows: usize) -> Self {
        Self { columns, rows, dots: vec![0; columns * rows], series: vec![0; columns * rows] }
    }

    fn dot(&mut self, x: i64, y: i64, series: u32) {
        /// Bits of the dots of a character, by column and row.
        const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x / 2 >= self.columns || y / 4 >= self.rows {
            return;
        }
        let at = y / 4 * self.columns + x / 2;
        self.dots[at] |= BITS[x % 2][y % 4];
        self.series[at] = series;
    }

    /// A line between two dots (Bresenham).
    fn line(&mut self, from: (i64, i64), to: (i64, i64), series: u32) {
        let ((mut x, mut y), (dx, dy)) = (from, ((to.0 - from.0).abs(), -(to.1 - from.1).abs()));
        let (sx, sy) = ((to.0 - from.0).signum(), (to.1 - from.1).signum());
        let mut error = dx + dy;
        loop {
            self.dot(x, y, series);
            if (x, y) == to {
                return;
            }
            let twice = 2 * error;
            if twice >= dy {
                error += dy;
                x += sx;
            }
            if twice <= dx {
                error += dx;
                y += sy;
            }
        }
    }
}

impl Lines {
    /// Draws points (series, x, y), each series connected in the order of its positions.
    pub fn draw(&self, points: impl Iterator<Item = (u32, f64, f64)>, text: &mut String) {
        let mut sorted: Vec<(u32, f64, f64)> = points.collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let (Some(xs), Some(ys)) =
            (Range::of(sorted.iter().map(|p| p.1)), Range::of(sorted.iter().map(|p| p.2)))
        else {
            return;
        };
        let marks = [ys.max, ys.at(0.5), ys.min].map(number);
        let margin = marks.iter().map(String::len).max().unwrap_or(0);
        // Where there is no room for both, the drawing goes before its marks.
        let margin = if margin + 9 > self.width { 0 } else { margin };
        let columns = self.width.saturating_sub(margin + 2).max(2);
        let mut canvas = Canvas::new(columns, self.height);
        let dot = |x: f64, y: f64| {
            let across = xs.place(x) * (columns * 2 - 1) as f64;
            let down = (1.0 - ys.place(y)) * (self.height * 4 - 1) as f64;
            (across.round() as i64, down.round() as i64)
        };
        for series in sorted.chunk_by(|a, b| a.0 == b.0) {
            let mut last = None;
            for (number, x, y) in series {
                let here = dot(*x, *y);
                canvas.line(last.unwrap_or(here), here, *number);
                last = Some(here);
            }
        }
        let letters = self.series > 1 && !self.color;
        for row in 0..self.height {
            let mark = match row {
                0 => marks[0].as_str(),
                r if r == self.height - 1 => marks[2].as_str(),
                r if r == self.height / 2 && self.height > 4 => marks[1].as_str(),
                _ => "",
            };
            if margin > 0 {
                text.push_str(&format!("{mark:>margin$} "));
            }
            text.push(if mark.is_empty() || margin == 0 { '│' } else { '┤' });
            for column in 0..columns {
                let at = row * columns + column;
                let (dots, series) = (canvas.dots[at], canvas.series[at]);
                if dots == 0 {
                    text.push(' ');
                } else if letters {
                    text.push(letter(series));
                } else {
                    let braille = char::from_u32(0x2800 + u32::from(dots)).unwrap_or('*');
                    push_colored(braille.encode_utf8(&mut [0; 4]), series, self.color, text);
                }
            }
            let blank = text.len() - text.trim_end_matches(' ').len();
            text.truncate(text.len() - blank);
            text.push('\n');
        }
        self.axis_below(xs, margin, columns, text);
    }

    fn axis_below(&self, xs: Range, margin: usize, columns: usize, text: &mut String) {
        let lead = if margin > 0 { margin + 1 } else { 0 };
        text.push_str(&format!("{}└{}\n", " ".repeat(lead), "─".repeat(columns)));
        let span = xs.max - xs.min;
        let [first, middle, last] = [xs.min, xs.at(0.5), xs.max].map(|x| self.axis.text(x, span));
        let (f, m, l) = (first.len(), middle.len(), last.len());
        let mut line = " ".repeat(lead + 1);
        if f + m + l + 4 <= columns {
            let before = (columns - m) / 2 - f;
            let behind = columns - f - before - m - l;
            line.push_str(&format!("{first}{}{middle}{}{last}", " ".repeat(before), " ".repeat(behind)));
        } else if f + l < columns {
            line.push_str(&format!("{first}{}{last}", " ".repeat(columns - f - l)));
        } else {
            visible::push_cut(&first, columns, &mut line);
        }
        push_line(&line, self.width, text);
    }
}
