//! Directives: comments before a statement that say how its result is shown.
//!
//! ```text
//! --%chart line x=ts y=temperature color=brand title='Temperature'
//! --%arrow temperatures.arrow
//! SELECT ts, temperature, brand FROM enriched;
//! ```
//!
//! They are comments, so a cell that is copied into a pipeline file runs there as it is. `--%` at another
//! place than before a statement is refused: a directive that is read and does nothing would be worse
//! than none.

use std::ops::Range;
use std::path::PathBuf;

use crate::error::{Error, Position, Result, Span};
use crate::nearest::nearest;
use crate::sql::Statement;
use crate::sql::scan::{PieceKind, pieces};

/// What a directive begins with.
pub const MARK: &str = "--%";

/// Rows that a table shows when the cell does not say.
pub const ROWS: usize = 50;

/// Rows that a table shows at most.
pub const MOST_ROWS: usize = 1_000;

/// Points of a chart when the cell does not say, and at most.
pub const POINTS: usize = 1_000;

/// Points of a chart at most.
pub const MOST_POINTS: usize = 10_000;

/// The directives: name, arguments, meaning. HELP, completion and inspection use this list.
pub const DIRECTIVES: &[(&str, &str, &str)] = &[
    (
        "chart",
        "line|bar|point|histogram x=column y=column [color=column] [title='...'] [sort=-y] [bins=20] [points=1000] [width=600] [height=300]",
        "draws the rows as a chart that follows the stream; a histogram has no y",
    ),
    ("arrow", "file.arrow", "also writes the rows into an Arrow IPC file, for pyarrow.ipc.open_file"),
    ("rows", "50", "shows this many rows, at most 1000"),
    ("background", "", "the query goes on after its cell, until STOP JOB"),
    (
        "var",
        "NAME=value | NAME",
        "sets ${NAME} for this cell and those that follow; without a value, before a query: its only value, for those that follow",
    ),
];

/// Sorts of charts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Values over time or another order.
    Line,
    /// A bar for each x.
    Bar,
    /// A point for each row.
    Point,
    /// How often values of x fall into each of some ranges.
    Histogram,
}

/// Names of the sorts.
pub const MARKS: &[(&str, Mark)] =
    &[("line", Mark::Line), ("bar", Mark::Bar), ("point", Mark::Point), ("histogram", Mark::Histogram)];

/// Arguments of `--%chart`.
pub const CHART_ARGUMENTS: &[&str] =
    &["x", "y", "color", "title", "sort", "bins", "points", "width", "height"];

/// `--%chart`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartRequest {
    /// What is drawn.
    pub mark: Mark,
    /// Column to the right.
    pub x: String,
    /// Column upwards; a histogram has none.
    pub y: Option<String>,
    /// Column of the colours.
    pub color: Option<String>,
    /// Above the chart.
    pub title: Option<String>,
    /// `x`, `-x`, `y` or `-y`.
    pub sort: Option<String>,
    /// Ranges of a histogram.
    pub bins: usize,
    /// Rows that are drawn: the newest.
    pub points: usize,
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// The directive's place.
    pub span: Span,
}

/// What the directives before a statement ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// A chart in place of the table.
    pub chart: Option<ChartRequest>,
    /// An Arrow file.
    pub arrow: Option<(PathBuf, Span)>,
    /// Rows of the table.
    pub rows: Option<usize>,
    /// The query goes on after its cell.
    pub background: bool,
    /// The variable that gets the query's only value.
    pub variable: Option<(String, Span)>,
    /// All of them; `None` without any.
    pub span: Option<Span>,
}

/// A directive in a text.
#[derive(Debug)]
struct Line<'a> {
    text: &'a str,
    range: Range<usize>,
    span: Span,
}

/// The directives of each statement of a cell.
pub fn read(text: &str, statements: &[Statement]) -> Result<Vec<Directives>> {
    let mut all = vec![Directives::default(); statements.len()];
    for line in lines(text).into_iter().filter(|line| assigned(line.text).is_none()) {
        // The first statement that does not end before the directive.
        let next = statements.iter().position(|s| s.range.end > line.range.start);
        match next.map(|i| (i, &statements[i])) {
            Some((i, statement)) if line.range.end <= statement.range.start => {
                all[i].add(&line).map_err(|e| if e.span().is_some() { e } else { e.at(line.span) })?;
            }
            Some(_) => {
                return Err(
                    Error::syntax("a directive belongs before its statement, not inside of it").at(line.span)
                );
            }
            None => return Err(Error::syntax("no statement follows this directive").at(line.span)),
        }
    }
    Ok(all)
}

/// `--%var NAME=value`
fn assigned(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix(MARK)?.strip_prefix("var")?;
    if !rest.starts_with(char::is_whitespace) {
        return None;
    }
    let (name, value) = rest.split_once('=')?;
    let value = value.trim();
    let inside = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\''));
    Some((name.trim(), inside.unwrap_or(value)))
}

fn check_name(name: &str) -> Result<()> {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(());
    }
    Err(Error::syntax(format!("'{name}' is no name of a variable"))
        .with_hint(format!("{MARK}var CITY=Berlin, and then ${{CITY}}")))
}

/// The variables that a cell sets to values, wherever the directives are in it.
pub fn variables(text: &str) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for line in lines(text) {
        if let Some((name, value)) = assigned(line.text) {
            check_name(name).map_err(|e| e.at(line.span))?;
            found.push((name.to_string(), value.to_string()));
        }
    }
    Ok(found)
}

fn lines(text: &str) -> Vec<Line<'_>> {
    if !text.contains(MARK) {
        return Vec::new();
    }
    let comments = pieces(text).into_iter().filter(|p| p.kind == PieceKind::Comment);
    let directives = comments.filter(|p| text[p.range.clone()].starts_with(MARK));
    let line = |range: Range<usize>| Line {
        text: text[range.clone()].trim_end(),
        span: Span { start: position(text, range.start), end: position(text, range.end) },
        range,
    };
    directives.map(|p| line(p.range)).collect()
}

/// Line and column of a byte.
fn position(text: &str, at: usize) -> Position {
    let before = &text[..at];
    let line = before.rfind('\n').map_or(0, |i| i + 1);
    Position {
        line: before.matches('\n').count() as u32 + 1,
        column: text[line..at].chars().count() as u32 + 1,
    }
}

impl Directives {
    fn add(&mut self, line: &Line<'_>) -> Result<()> {
        let body = &line.text[MARK.len()..];
        let (name, rest) = body.split_once(char::is_whitespace).unwrap_or((body, ""));
        let rest = rest.trim();
        let twice = || Error::syntax(format!("{MARK}{name} appears here twice"));
        match name {
            "chart" => {
                let chart = ChartRequest::parse(rest, line.span)?;
                if self.chart.replace(chart).is_some() {
                    return Err(twice());
                }
            }
            "arrow" => {
                let words = words(rest)?;
                let [Word { key: None, value }] = &words[..] else {
                    return Err(Error::syntax(format!("{MARK}arrow takes the name of a file"))
                        .with_hint(format!("{MARK}arrow result.arrow")));
                };
                if self.arrow.replace((PathBuf::from(value), line.span)).is_some() {
                    return Err(twice());
                }
            }
            "rows" => {
                if self.rows.replace(number("rows", rest, MOST_ROWS)?).is_some() {
                    return Err(twice());
                }
            }
            "background" => {
                if !rest.is_empty() {
                    return Err(Error::syntax(format!("{MARK}background takes nothing, found '{rest}'")));
                }
                self.background = true;
            }
            "var" => {
                check_name(rest)?;
                if self.variable.replace((rest.to_string(), line.span)).is_some() {
                    return Err(twice());
                }
            }
            other => {
                let error = Error::syntax(format!("directive '{MARK}{other}' is not known"));
                return Err(match nearest(other, DIRECTIVES.iter().map(|d| d.0)) {
                    Some(near) => error.with_hint(format!("did you mean '{MARK}{near}'?")),
                    None => error.with_hint(format!(
                        "there are: {}",
                        DIRECTIVES.iter().map(|d| d.0).collect::<Vec<_>>().join(", ")
                    )),
                });
            }
        }
        self.span = Some(self.span.map_or(line.span, |span| span.union(line.span)));
        Ok(())
    }
}

impl ChartRequest {
    fn parse(text: &str, span: Span) -> Result<Self> {
        const EXAMPLE: &str = "--%chart line x=ts y=temperature color=brand";
        let mut words = words(text)?.into_iter();
        let names = || MARKS.iter().map(|m| m.0);
        let mark = match words.next() {
            Some(Word { key: None, value }) => {
                let found = MARKS.iter().find(|(name, _)| *name == value).map(|m| m.1);
                found.ok_or_else(|| {
                    let error = Error::syntax(format!("chart '{value}' is not known"));
                    match nearest(&value, names()) {
                        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                        None => {
                            error.with_hint(format!("there are: {}", names().collect::<Vec<_>>().join(", ")))
                        }
                    }
                })?
            }
            _ => {
                return Err(Error::syntax("--%chart begins with the sort of the chart").with_hint(EXAMPLE));
            }
        };
        let (mut x, mut bins) = (None, None);
        let mut request = Self {
            mark,
            x: String::new(),
            y: None,
            color: None,
            title: None,
            sort: None,
            bins: 20,
            points: POINTS,
            width: 600,
            height: 300,
            span,
        };
        let mut given: Vec<String> = Vec::new();
        for word in words {
            let Some(key) = word.key else {
                return Err(
                    Error::syntax(format!("expected key=value, found '{}'", word.value)).with_hint(EXAMPLE)
                );
            };
            if given.contains(&key) {
                return Err(Error::syntax(format!("'{key}' is given twice")));
            }
            let value = word.value;
            match key.as_str() {
                "x" => x = Some(value),
                "y" => request.y = Some(value),
                "color" => request.color = Some(value),
                "title" => request.title = Some(value),
                "sort" if ["x", "-x", "y", "-y"].contains(&value.as_str()) => request.sort = Some(value),
                "sort" => {
                    return Err(Error::syntax(format!("sort is x, -x, y or -y, not '{value}'")));
                }
                "bins" => bins = Some(number("bins", &value, 200)?),
                "points" => request.points = number("points", &value, MOST_POINTS)?,
                "width" => request.width = number("width", &value, 4_000)?,
                "height" => request.height = number("height", &value, 4_000)?,
                other => {
                    let error = Error::syntax(format!("--%chart does not know '{other}'"));
                    return Err(match nearest(other, CHART_ARGUMENTS.iter().copied()) {
                        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                        None => error.with_hint(format!("there are: {}", CHART_ARGUMENTS.join(", "))),
                    });
                }
            }
            given.push(key);
        }
        request.x = x.ok_or_else(|| Error::syntax("--%chart needs x=column").with_hint(EXAMPLE))?;
        let histogram = mark == Mark::Histogram;
        match (&request.y, histogram) {
            (None, false) => return Err(Error::syntax("--%chart needs y=column").with_hint(EXAMPLE)),
            (Some(_), true) => {
                return Err(Error::syntax("a histogram has no y: its height is the number of rows"));
            }
            _ => {}
        }
        match (bins, histogram) {
            (Some(bins), true) => request.bins = bins,
            (Some(_), false) => return Err(Error::syntax("bins is for histograms")),
            _ => {}
        }
        match (&request.sort, mark) {
            (Some(_), Mark::Line | Mark::Point | Mark::Histogram) => Err(Error::syntax("sort is for bars")),
            _ => Ok(request),
        }
    }
}

fn number(what: &str, text: &str, most: usize) -> Result<usize> {
    match text.parse() {
        Ok(n) if (1..=most).contains(&n) => Ok(n),
        _ => Err(Error::syntax(format!("{what} is a number from 1 to {most}, not '{text}'"))),
    }
}

/// `value` or `key=value`.
#[derive(Debug, PartialEq, Eq)]
struct Word {
    key: Option<String>,
    value: String,
}

/// Cuts arguments at spaces; values may be quoted with ', " or `, a doubled quote stands for itself.
fn words(text: &str) -> Result<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let key_length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let key = match rest[key_length..].starts_with('=') && key_length > 0 {
            true => {
                let key = rest[..key_length].to_string();
                rest = &rest[key_length + 1..];
                Some(key)
            }
            false => None,
        };
        let (value, length) = match rest.chars().next() {
            Some(quote @ ('\'' | '"' | '`')) => quoted(rest, quote)?,
            _ => {
                let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest[..length].to_string(), length)
            }
        };
        if value.is_empty() {
            let what = key.as_deref().unwrap_or("a quoted word");
            return Err(Error::syntax(format!("{what} has no value")));
        }
        words.push(Word { key, value });
        rest = rest[length..].trim_start();
    }
    Ok(words)
}

/// The inside of a quoted word and the length of all of it.
fn quoted(text: &str, quote: char) -> Result<(String, usize)> {
    let mut value = String::new();
    let mut at = 1;
    loop {
        let Some(end) = text[at..].find(quote) else {
            return Err(Error::syntax(format!("the closing {quote} is missing")));
        };
        value.push_str(&text[at..at + end]);
        at += end + 1;
        if !text[at..].starts_with(quote) {
            return Ok((value, at));
        }
        value.push(quote);
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sql::{SourceText, parse_script};

    fn directives(text: &str) -> Result<Vec<Directives>> {
        read(text, &parse_script(&SourceText::new("cell", text)).unwrap())
    }

    fn message(text: &str) -> String {
        directives(text).unwrap_err().to_string().replace("\n  hint: ", " | ")
    }

    #[test]
    fn each_statement_has_its_own() {
        let text = "--%chart line x=ts y=`a b` color=\"c\" title='It''s hot' points=10\n--%rows 7\n\
                    SELECT 1;\nSELECT '--%nope'; -- plain\n--%arrow 'a b.arrow'\n--%background\nSELECT 2";
        let all = directives(text).unwrap();
        let chart = all[0].chart.as_ref().unwrap();
        assert_eq!((chart.mark, chart.x.as_str(), chart.y.as_deref()), (Mark::Line, "ts", Some("a b")));
        assert_eq!((chart.color.as_deref(), chart.title.as_deref()), (Some("c"), Some("It's hot")));
        assert_eq!((chart.points, all[0].rows), (10, Some(7)));
        assert_eq!(all[0].span, Some(Span::new((1, 1), (2, 10))));
        assert_eq!(all[1], Directives::default());
        assert_eq!(all[2].arrow.as_ref().unwrap().0, PathBuf::from("a b.arrow"));
        assert!(all[2].background);
    }

    #[test]
    fn mistakes_are_told() {
        for (text, expected) in [
            ("--%chrt line x=a\nSELECT 1", "directive '--%chrt' is not known | did you mean '--%chart'?"),
            ("--%chart lin x=a y=b\nSELECT 1", "chart 'lin' is not known | did you mean 'line'?"),
            ("--%chart line y=b\nSELECT 1", "--%chart needs x=column"),
            ("--%chart line x=a\nSELECT 1", "--%chart needs y=column"),
            ("--%chart histogram x=a y=b\nSELECT 1", "a histogram has no y"),
            ("--%chart bar x=a y=b colour=c\nSELECT 1", "'colour' | did you mean 'color'?"),
            ("--%chart bar x=a x=b\nSELECT 1", "'x' is given twice"),
            ("--%chart bar x= y=b\nSELECT 1", "x has no value"),
            ("--%chart bar x='a\nSELECT 1", "the closing ' is missing"),
            ("--%chart point x=a y=b bins=3\nSELECT 1", "bins is for histograms"),
            ("--%chart bar x=a y=b points=99999\nSELECT 1", "points is a number from 1 to 10000"),
            ("--%rows 0\nSELECT 1", "rows is a number from 1 to 1000, not '0'"),
            ("--%rows 5\n--%rows 6\nSELECT 1", "--%rows appears here twice"),
            ("--%arrow\nSELECT 1", "--%arrow takes the name of a file"),
            ("--%background now\nSELECT 1", "takes nothing"),
            ("SELECT 1;\n--%rows 5", "no statement follows this directive"),
            ("SELECT\n--%rows 5\n1", "not inside of it"),
            ("--%\nSELECT 1", "directive '--%' is not known | there are: chart, arrow, rows, background"),
        ] {
            assert!(message(text).contains(expected), "{text}: {}", message(text));
        }
        let e = directives("SELECT 'ä';\n  --%rows x\nSELECT 2").unwrap_err();
        assert_eq!(e.span(), Some(Span::new((2, 3), (2, 12))));
    }
}
