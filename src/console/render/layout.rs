//! Widths of columns on a terminal, and the lines of a box.

use arrow::datatypes::{DataType, SchemaRef};

use super::text::TextColumn;
use super::visible;
use crate::error::Result;
use crate::sql::SqlType;

/// Shown for NULL, as Flink's SQL client does.
pub const NULL: &str = "<NULL>";

/// Strings are given so many columns when nothing better is known, as in Flink's SQL client.
const TEXT_WIDTH: usize = 30;

/// Narrowest width to which a column of text is pressed.
const LEAST_WIDTH: usize = 6;

/// What is known of one column's width.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// The name's width.
    pub name: usize,
    /// The widest value seen so far.
    pub seen: usize,
    /// The width that is enough for all values of the type; `None` for text, which may be cut.
    pub fixed: Option<usize>,
}

impl Wish {
    /// From a column's name and type.
    pub fn new(name: &str, data_type: &DataType) -> Self {
        Self { name: visible::width(name), seen: 0, fixed: type_width(data_type) }
    }
}

/// Columns that the longest value of a type takes; `None` where there is no such.
fn type_width(data_type: &DataType) -> Option<usize> {
    let precise = |p: u8| if p == 0 { 0 } else { 1 + usize::from(p) };
    Some(match SqlType::from_arrow(data_type)? {
        SqlType::Boolean => 6,
        SqlType::TinyInt => 4,
        SqlType::SmallInt => 6,
        SqlType::Int => 11,
        SqlType::BigInt => 20,
        SqlType::Float => 14,
        SqlType::Double => 22,
        SqlType::Decimal(p, _) => usize::from(p) + 2,
        SqlType::Date => 10,
        SqlType::Time(_) => 12,
        SqlType::Timestamp(p) | SqlType::TimestampLtz(p) => 19 + precise(p),
        SqlType::IntervalYearMonth => 12,
        SqlType::IntervalDayTime => 24,
        _ => return None,
    })
}

/// Widths of the columns of a stream whose first rows were seen. `terminal` is the width of a line, and
/// each column takes three columns more than its width, the last border one.
pub fn stream_widths(wishes: &[Wish], terminal: Option<usize>) -> Vec<usize> {
    let wide = |w: &Wish| w.fixed.unwrap_or(TEXT_WIDTH).max(w.name).max(NULL.len());
    let mut widths: Vec<usize> = wishes.iter().map(wide).collect();
    let Some(terminal) = terminal else { return widths };
    let room = terminal.saturating_sub(1 + 3 * wishes.len());
    let total = |widths: &[usize]| widths.iter().sum::<usize>();

    if total(&widths) > room {
        // First the columns whose type could hold more than what is seen.
        for (width, wish) in widths.iter_mut().zip(wishes) {
            if wish.fixed.is_some() {
                *width = wish.name.max(wish.seen).max(NULL.len()).min(*width);
            }
        }
        // Then the widest texts.
        press(&mut widths, room, |i| match wishes[i].fixed {
            Some(_) => None,
            None => Some(LEAST_WIDTH),
        });
    }
    // What is left goes to texts that were cut.
    let mut spare = room.saturating_sub(total(&widths));
    for (width, wish) in widths.iter_mut().zip(wishes) {
        let more = wish.seen.saturating_sub(*width).min(spare);
        *width += more;
        spare -= more;
    }
    widths
}

/// Widths of the columns of a table of which all rows are known.
pub fn table_widths(wishes: &[Wish], terminal: Option<usize>) -> Vec<usize> {
    let mut widths: Vec<usize> = wishes.iter().map(|w| w.name.max(w.seen)).collect();
    if let Some(terminal) = terminal {
        let room = terminal.saturating_sub(1 + 3 * wishes.len());
        press(&mut widths, room, |i| match wishes[i].fixed {
            Some(_) => None,
            None => Some(wishes[i].name.max(LEAST_WIDTH)),
        });
    }
    widths
}

/// How many columns fit on a line, from the first one; one is always shown. `taken` columns of the terminal
/// are taken by others.
pub fn fitting(widths: &[usize], terminal: Option<usize>, taken: usize) -> usize {
    let Some(terminal) = terminal else { return widths.len() };
    let mut line = 1 + taken;
    let fits = widths.iter().take_while(|width| {
        line += **width + 3;
        line <= terminal
    });
    fits.count().max(1).min(widths.len())
}

/// Names the columns that are not shown because they do not fit: two lines that do.
pub fn write_left_out(schema: &SchemaRef, shown: usize, terminal: Option<usize>, out: &mut Vec<u8>) {
    let all = schema.fields().len();
    if shown >= all {
        return;
    }
    let mut names = String::from("left out: ");
    for (i, field) in schema.fields().iter().enumerate().skip(shown) {
        if i > shown {
            names.push_str(", ");
        }
        visible::push_text(field.name(), &mut names);
        if names.len() > 1024 {
            break;
        }
    }
    for text in [format!("{shown} of {all} columns fit, \\x or -o vertical shows all"), names] {
        let mut line = String::new();
        visible::push_cut(&text, terminal.unwrap_or(usize::MAX), &mut line);
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
}

/// Takes columns from the widest until all fit, none below its least width.
fn press(widths: &mut [usize], room: usize, least: impl Fn(usize) -> Option<usize>) {
    let mut total: usize = widths.iter().sum();
    while total > room {
        let widest = (0..widths.len())
            .filter(|&i| least(i).is_some_and(|least| widths[i] > least))
            .max_by_key(|&i| (widths[i], std::cmp::Reverse(i)));
        let Some(i) = widest else { return };
        widths[i] -= 1;
        total -= 1;
    }
}

/// A value as it is shown, in `scratch`.
pub fn cell<'a>(column: &TextColumn<'_>, row: usize, scratch: &'a mut [String; 2]) -> Result<&'a str> {
    let [raw, shown] = scratch;
    if column.is_null(row) {
        return Ok(NULL);
    }
    raw.clear();
    shown.clear();
    column.write_named(row, raw)?;
    visible::push_text(raw, shown);
    Ok(shown)
}

/// The lines of a box.
#[derive(Debug)]
pub struct Frame {
    widths: Vec<usize>,
    /// Whether a column's values may be cut.
    cut: Vec<bool>,
    line: String,
    /// A value was cut.
    was_cut: bool,
}

impl Frame {
    /// A box with columns of these widths.
    pub fn new(widths: Vec<usize>, wishes: &[Wish]) -> Self {
        let cut = wishes.iter().map(|w| w.fixed.is_none()).collect();
        Self { widths, cut, line: String::new(), was_cut: false }
    }

    /// `+----+----+`
    pub fn rule(&self, out: &mut Vec<u8>) {
        for width in &self.widths {
            out.push(b'+');
            out.resize(out.len() + width + 2, b'-');
        }
        out.extend_from_slice(b"+\n");
    }

    /// `| name |    id |` with names cut where the column was pressed.
    pub fn header(&mut self, schema: &SchemaRef, op: bool, left: bool, out: &mut Vec<u8>) {
        let mut shown = String::new();
        let shift = usize::from(op);
        if op {
            self.push(0, "op", true);
        }
        for (i, field) in schema.fields().iter().enumerate().take(self.widths.len() - shift) {
            shown.clear();
            visible::push_text(field.name(), &mut shown);
            self.push_cell(i + shift, &shown, left, true);
        }
        self.finish(out);
    }

    /// Adds a cell to the line. A value that must not be cut makes the line longer instead.
    pub fn push(&mut self, column: usize, text: &str, left: bool) {
        self.was_cut |= self.cut[column] && visible::width(text) > self.widths[column];
        self.push_cell(column, text, left, self.cut[column]);
    }

    /// Says how values that were cut on a terminal are seen whole.
    pub fn write_cut(&self, terminal: Option<usize>, out: &mut Vec<u8>) {
        let Some(terminal) = terminal.filter(|_| self.was_cut) else { return };
        let mut line = String::new();
        visible::push_cut("\\x or -o vertical shows values that are cut (...) whole", terminal, &mut line);
        line.push('\n');
        out.extend_from_slice(line.as_bytes());
    }

    fn push_cell(&mut self, column: usize, text: &str, left: bool, cut: bool) {
        let width = if cut { self.widths[column] } else { usize::MAX };
        self.line.push_str("| ");
        let start = self.line.len();
        let used = visible::push_cut(text, width, &mut self.line);
        let padding = " ".repeat(self.widths[column].saturating_sub(used));
        self.line.insert_str(if left { self.line.len() } else { start }, &padding);
        self.line.push(' ');
    }

    /// Ends the line.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.line.push_str("|\n");
        out.extend_from_slice(self.line.as_bytes());
        self.line.clear();
    }
}
