//! Charts of a result: bars, lines and histograms that are redrawn while the rows come.
//!
//! ```text
//!  rows ──> columns x, y, color ──> points (changes applied) ──> at most 20 times a second: a drawing
//! ```
//! A result that changes is drawn as it is now: retracted rows leave the chart. Of a stream that only
//! grows, the latest rows are kept.

mod bars;
mod lines;
mod points;
mod scale;

use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef, TimeUnit};

use super::screen::{Screen, Size};
use super::text::TextColumn;
use super::{Ending, Renderer, Target, rows, visible};
use crate::error::{Error, Result};
use crate::flow::Chunk;
use crate::nearest::nearest;
use points::{Point, Points};
use scale::Axis;

/// Lines of a drawing, if the terminal has so many.
const HEIGHT: usize = 20;
/// Columns of a drawing where the terminal's width is not known.
const WIDTH: usize = 80;

/// Kinds of charts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChartKind {
    /// A bar for each row.
    Bar,
    /// A line through the rows.
    Line,
    /// How often values fall into ranges.
    Histogram,
}

impl ChartKind {
    /// The kind that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "bar" | "bars" => Some(Self::Bar),
            "line" | "lines" => Some(Self::Line),
            "hist" | "histogram" => Some(Self::Histogram),
            _ => None,
        }
    }
}

/// What is to be drawn; what is left out is found out from the columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChartSpec {
    /// The kind.
    pub kind: Option<ChartKind>,
    /// Column along the axis: labels of bars, positions of a line, values of a histogram.
    pub x: Option<String>,
    /// Column of the heights.
    pub y: Option<String>,
    /// Column that parts the rows into series.
    pub color: Option<String>,
}

/// The columns of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Columns {
    kind: ChartKind,
    /// `None`: the number of the row.
    x: Option<usize>,
    /// `None`: rows are counted.
    y: Option<usize>,
    color: Option<usize>,
}

/// What a column's values are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Number,
    Time,
    Label,
}

fn role(data_type: &DataType) -> Role {
    match data_type {
        t if t.is_numeric() => Role::Number,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Role::Time,
        DataType::Dictionary(_, values) => role(values),
        _ => Role::Label,
    }
}

/// Draws a result as a chart.
pub struct Chart {
    schema: SchemaRef,
    columns: Columns,
    points: Points,
    /// The zone of the times on the axis.
    zone: Option<arrow::array::timezone::Tz>,
    target: Target,
    color: bool,
    size: fn() -> Size,
    screen: Screen,
    changed: bool,
}

impl std::fmt::Debug for Chart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chart").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Chart {
    /// A chart of rows of this schema; `size` returns the terminal's size now. A column that is not there, or
    /// has no numbers where numbers are needed, is an error.
    pub fn new(
        schema: SchemaRef,
        spec: &ChartSpec,
        target: Target,
        color: bool,
        size: fn() -> Size,
    ) -> Result<Self> {
        let columns = resolve(&schema, spec)?;
        let zone = columns.x.and_then(|x| match schema.field(x).data_type() {
            DataType::Timestamp(_, Some(zone)) => zone.parse().ok(),
            _ => None,
        });
        Ok(Self {
            schema,
            columns,
            points: Points::default(),
            zone,
            target,
            color,
            size,
            screen: Screen::default(),
            changed: true,
        })
    }

    fn name(&self, column: usize) -> String {
        let mut name = String::new();
        visible::push_text(self.schema.field(column).name(), &mut name);
        name
    }

    fn title(&self) -> String {
        let Columns { kind, x, y, color } = &self.columns;
        let by = x.map_or_else(|| "row".to_string(), |x| self.name(x));
        let what = match (kind, y) {
            (ChartKind::Histogram, _) => format!("distribution of {by}"),
            (_, Some(y)) => format!("{} by {by}", self.name(*y)),
            (_, None) => format!("rows by {by}"),
        };
        let mut title = match color {
            Some(color) => format!("{what}, {}", self.name(*color)),
            None => what,
        };
        title.push_str(&format!(" · {}", rows(self.points.len() as u64)));
        if self.points.forgotten() > 0 {
            title.push_str(" (the latest)");
        }
        if self.points.left_out() > 0 {
            title.push_str(&format!(" · {} left out: NULL, NaN or infinite", self.points.left_out()));
        }
        title
    }

    /// The drawing, for a terminal of this size.
    fn draw(&self, width: usize, height: usize) -> String {
        let color = self.color && self.target.terminal;
        let mut text = String::new();
        let mut title = String::new();
        visible::push_cut(&self.title(), width, &mut title);
        text.push_str(&title);
        text.push('\n');
        if self.points.is_empty() {
            text.push_str("nothing to draw yet\n");
            return text;
        }
        let height = height.saturating_sub(3).clamp(3, HEIGHT);
        let series = self.points.series();
        match (self.columns.kind, self.columns.y) {
            (ChartKind::Histogram, _) => {
                let values: Vec<f64> = self.points.iter().map(|p| p.x).collect();
                let bars = bars::histogram(&values, height);
                bars::draw(&bars, bars.len(), width, color, &mut text);
            }
            (_, None) => {
                let counted = bars::count(self.points.iter());
                bars::draw(&counted, height, width, color, &mut text);
            }
            (ChartKind::Bar, _) => {
                // Of rows that only come, the latest; of rows that change, the first.
                let skip = match self.points.changes() {
                    true => 0,
                    false => self.points.len().saturating_sub(height),
                };
                let bars: Vec<bars::Bar> = self
                    .points
                    .iter()
                    .skip(skip)
                    .map(|p| bars::Bar {
                        label: p.label.as_deref().unwrap_or_default().to_string(),
                        value: p.y,
                        series: p.series,
                    })
                    .collect();
                bars::draw(&bars, height, width, color, &mut text);
                if skip > 0 {
                    push_line(&format!("{} before", rows(skip as u64)), width, &mut text);
                }
            }
            (ChartKind::Line, Some(_)) => {
                let axis = match self.columns.x.map(|x| role(self.schema.field(x).data_type())) {
                    Some(Role::Time) => Axis::Time(self.zone),
                    _ => Axis::Number,
                };
                let lines = lines::Lines { axis, series: series.len(), width, height, color };
                match self.columns.x {
                    Some(_) => lines.draw(self.points.iter().map(|p| (p.series, p.x, p.y)), &mut text),
                    None => {
                        let first = self.points.forgotten();
                        let numbered = self.points.iter().enumerate();
                        let number = |i: usize| (first + i as u64 + 1) as f64;
                        lines.draw(numbered.map(|(i, p)| (p.series, number(i), p.y)), &mut text);
                    }
                }
            }
        }
        if self.columns.color.is_some() {
            push_legend(series, self.columns.kind, color, width, &mut text);
        }
        text
    }

    fn paint(&mut self, out: &mut Vec<u8>) {
        let size = (self.size)();
        self.screen.wipe(size, out);
        let width = size.0.or(self.target.width).unwrap_or(WIDTH);
        let text = self.draw(width.max(8), size.1.unwrap_or(HEIGHT + 4).saturating_sub(2));
        out.extend_from_slice(text.as_bytes());
        self.screen.painted(text.as_bytes());
        self.changed = false;
    }
}

/// A line that is cut at the terminal's width.
fn push_line(line: &str, width: usize, text: &mut String) {
    visible::push_cut(line, width, text);
    text.push('\n');
}

/// The colours of series.
const COLORS: &[u8] = &[36, 33, 35, 32, 34, 31];

/// Text in the colour of a series.
fn push_colored(part: &str, series: u32, color: bool, text: &mut String) {
    if color {
        let code = COLORS[series as usize % COLORS.len()];
        text.push_str(&format!("\x1b[{code}m{part}\x1b[0m"));
    } else {
        text.push_str(part);
    }
}

/// The sign of a series where there are no colours.
fn letter(series: u32) -> char {
    char::from(b'A' + (series % 26) as u8)
}

fn push_legend(series: &[String], kind: ChartKind, color: bool, width: usize, text: &mut String) {
    let mut used = 0;
    for (i, name) in series.iter().enumerate() {
        let sign = match (color, kind) {
            (false, ChartKind::Line) => letter(i as u32),
            _ => '■',
        };
        let mut shown = String::new();
        visible::push_text(name, &mut shown);
        let entry = visible::width(&shown) + 4;
        if used + entry > width && used > 0 {
            let more = format!("+{}", series.len() - i);
            if used + more.len() <= width {
                text.push_str(&more);
            }
            break;
        }
        let mut cut = String::new();
        let columns = visible::push_cut(&shown, width.saturating_sub(4), &mut cut);
        push_colored(&sign.to_string(), i as u32, color, text);
        text.push_str(&format!(" {cut}  "));
        used += columns + 4;
    }
    text.push('\n');
}

/// Finds the columns that are to be drawn.
fn resolve(schema: &SchemaRef, spec: &ChartSpec) -> Result<Columns> {
    let find = |name: &String| -> Result<usize> {
        let fields = schema.fields();
        let exact = fields.iter().position(|f| f.name() == name);
        let found = exact.or_else(|| fields.iter().position(|f| f.name().eq_ignore_ascii_case(name)));
        found.ok_or_else(|| {
            let error = Error::plan(format!("the result has no column '{name}'"));
            match nearest(name, fields.iter().map(|f| f.name().as_str())) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => {
                    let names: Vec<&str> = fields.iter().map(|f| f.name().as_str()).take(20).collect();
                    error.with_hint(format!("it has: {}", names.join(", ")))
                }
            }
        })
    };
    let roles: Vec<Role> = schema.fields().iter().map(|f| role(f.data_type())).collect();
    let first = |wanted: Role, not: Option<usize>| {
        roles.iter().enumerate().position(|(i, r)| *r == wanted && Some(i) != not)
    };
    let x = spec.x.as_ref().map(find).transpose()?;
    let y = spec.y.as_ref().map(find).transpose()?;
    let color = spec.color.as_ref().map(find).transpose()?;
    let kind = spec.kind.unwrap_or_else(|| {
        let numbers = roles.iter().filter(|r| **r == Role::Number).count();
        match x.map(|x| roles[x]) {
            Some(Role::Time) => ChartKind::Line,
            Some(Role::Label) => ChartKind::Bar,
            Some(Role::Number) if y.is_some() => ChartKind::Line,
            Some(Role::Number) => ChartKind::Histogram,
            None if first(Role::Time, None).is_some() && numbers > 0 => ChartKind::Line,
            None if first(Role::Label, None).is_some() => ChartKind::Bar,
            None if numbers == 1 => ChartKind::Histogram,
            None if numbers > 1 => ChartKind::Line,
            None => ChartKind::Bar,
        }
    });
    let nothing = || {
        Error::plan("the result has no column of numbers to draw")
            .with_hint("\\plot bar x counts the rows of each x")
    };
    let columns = match kind {
        ChartKind::Histogram => {
            if let Some(more) = &spec.y {
                return Err(Error::plan(format!("a histogram has one column, '{more}' is a second one"))
                    .with_hint("\\plot hist x"));
            }
            let x = x.or_else(|| first(Role::Number, None)).ok_or_else(nothing)?;
            Columns { kind, x: Some(x), y: None, color: None }
        }
        ChartKind::Bar => {
            let other =
                || first(Role::Label, y).or_else(|| first(Role::Time, y)).or((y != Some(0)).then_some(0));
            let x = x.or_else(other).filter(|&x| x < roles.len()).ok_or_else(nothing)?;
            let y = y.or_else(|| if spec.x.is_some() { None } else { first(Role::Number, Some(x)) });
            Columns { kind, x: Some(x), y, color }
        }
        ChartKind::Line => {
            let y_or = |x: Option<usize>| y.or_else(|| first(Role::Number, x));
            let x = x.or_else(|| first(Role::Time, y)).or_else(|| {
                let number = first(Role::Number, y)?;
                // A single column of numbers is drawn against the number of its row.
                y_or(Some(number)).map(|_| number)
            });
            let y = y_or(x).ok_or_else(nothing)?;
            Columns { kind, x, y: Some(y), color }
        }
    };
    let numbers = match kind {
        ChartKind::Bar => [columns.y, None],
        ChartKind::Line | ChartKind::Histogram => [columns.y, columns.x],
    };
    for (axis, column) in numbers.into_iter().enumerate() {
        let Some(column) = column else { continue };
        let fits = match roles[column] {
            Role::Number => true,
            Role::Time => axis == 1 && kind == ChartKind::Line,
            Role::Label => false,
        };
        if !fits {
            return Err(Error::plan(format!("column '{}' has no numbers", schema.field(column).name()))
                .with_hint("CAST(... AS DOUBLE) makes numbers of texts; \\plot bar x y takes texts as x"));
        }
    }
    Ok(columns)
}

/// Values as numbers; times in milliseconds. `None` for NULL.
fn numbers(array: &dyn Array) -> Result<Vec<Option<f64>>> {
    let array = match array.data_type() {
        DataType::Dictionary(_, values) => cast(array, values)?,
        _ => arrow::array::make_array(array.to_data()),
    };
    Ok(match array.data_type() {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            let millis = cast(&array, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
            let millis = cast(&millis, &DataType::Int64)?;
            millis.as_primitive::<Int64Type>().iter().map(|v| v.map(|v| v as f64)).collect()
        }
        _ => cast(&array, &DataType::Float64)?.as_primitive::<Float64Type>().iter().collect(),
    })
}

/// Values as text that is safe to show.
fn labels(array: &dyn Array) -> Result<Vec<Box<str>>> {
    let column = TextColumn::new(array)?;
    let mut scratch = Default::default();
    (0..array.len()).map(|row| Ok(super::layout::cell(&column, row, &mut scratch)?.into())).collect()
}

impl Renderer for Chart {
    fn chunk(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()> {
        let column = |i: usize| chunk.batch.column(i).as_ref();
        let Columns { kind, x, y, color } = self.columns.clone();
        let y_values = y.map(|y| numbers(column(y))).transpose()?;
        let x_labels = match (kind, x) {
            (ChartKind::Bar, Some(x)) => Some(labels(column(x))?),
            _ => None,
        };
        let x_values = match (kind, x) {
            (ChartKind::Line | ChartKind::Histogram, Some(x)) => Some(numbers(column(x))?),
            _ => None,
        };
        let series = color.map(|c| labels(column(c))).transpose()?;
        let mut x_labels = x_labels.map(Vec::into_iter);
        for row in 0..chunk.len() {
            let point = Point {
                x: match &x_values {
                    Some(values) => values[row].unwrap_or(f64::NAN),
                    // A row's number is no part of what tells it from others.
                    None => 0.0,
                },
                y: y_values.as_ref().map_or(0.0, |values| values[row].unwrap_or(f64::NAN)),
                label: x_labels.as_mut().and_then(Iterator::next),
                series: series.as_ref().map_or(0, |names| self.points.series_of(&names[row])),
            };
            self.points.apply(chunk.kinds.get(row), point);
        }
        self.points.trim();
        self.changed = true;
        if self.target.terminal && self.screen.is_due() {
            self.paint(out);
        }
        Ok(())
    }

    fn idle(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.target.terminal && self.changed && self.screen.is_due() {
            self.paint(out);
        }
        Ok(())
    }

    fn due(&self) -> Option<Duration> {
        (self.target.terminal && self.changed).then(|| self.screen.wait())
    }

    fn end(&mut self, ending: Ending, out: &mut Vec<u8>) -> Result<()> {
        match self.target.terminal {
            true => self.paint(out),
            false => {
                let text = self.draw(self.target.width.unwrap_or(WIDTH).max(8), HEIGHT + 3);
                out.extend_from_slice(text.as_bytes());
            }
        }
        match ending {
            Ending::Complete => {}
            Ending::Cancelled => out.extend_from_slice(b"Query terminated\n"),
            Ending::Failed => out.extend_from_slice(b"Query failed, this is what it had given\n"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
