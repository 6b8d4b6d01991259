//! A result that is shown while its query runs.
//!
//! The picture is painted when the first rows are there and replaced in place from then on: at most ten
//! times a second, a chart twice, and only when it would look different. Rows are taken from the query
//! as fast as they come, whatever the notebook does; a notebook that cannot keep up sees fewer
//! pictures, not later ones.

use std::time::{Duration, Instant};

use super::arrow_file::ArrowFile;
use super::chart::Chart;
use super::directive::{Directives, MOST_ROWS, ROWS};
use super::figures::{Figures, Phase};
use super::html;
use super::output::{CellOutput, Picture};
use super::rows::Rows;
use crate::error::{ErrorKind, Result, Span};
use crate::session::{Next, QueryResult};

/// Least time between two tables.
const FRAME: Duration = Duration::from_millis(100);

/// Least time between two charts: each is built anew by the browser.
const CHART_FRAME: Duration = Duration::from_millis(500);

/// So long the first picture waits for more rows: most results are complete by then.
const FIRST: Duration = Duration::from_millis(25);

/// After so long without rows the line under the result is looked at.
const IDLE: Duration = Duration::from_millis(500);

/// Rows of a table that stands for a chart that cannot be drawn.
const FALLBACK: usize = 10;

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All rows were shown.
    Finished,
    /// It was stopped.
    Stopped,
}

/// One query and its picture.
#[derive(Debug)]
pub struct Live {
    query: QueryResult,
    rows: Rows,
    /// Rows of a picture while the query runs, and at its end.
    limit: usize,
    last_limit: usize,
    chart: Option<Chart>,
    file: Option<ArrowFile>,
    /// The variable that takes its only value.
    variable: Option<(String, Span)>,
    figures: Figures,
    /// A note after the figures.
    note: Option<String>,
    output: CellOutput,
    id: String,
    /// When it was painted, and the line then.
    painted: Option<(Instant, String)>,
}

impl Live {
    /// A query that has just started. Nothing is shown yet.
    pub fn new(
        query: QueryResult,
        directives: &Directives,
        changelog: bool,
        output: CellOutput,
        id: String,
    ) -> Result<Self> {
        let chart = directives.chart.as_ref().map(|c| Chart::new(c, query.schema())).transpose()?;
        let file = match &directives.arrow {
            Some((path, span)) => Some(ArrowFile::create(path, query.schema()).map_err(|e| e.at(*span))?),
            None => None,
        };
        let limit = directives.rows.unwrap_or(ROWS);
        let last_limit = directives.rows.unwrap_or(MOST_ROWS);
        let keep = chart.as_ref().map_or(last_limit, |c| c.points().max(last_limit));
        // A chart of changes would draw what is no longer so.
        let rows = Rows::new(&query, keep, changelog && chart.is_none());
        let figures = Figures::new(query.job().clone());
        let variable = directives.variable.clone();
        Ok(Self {
            query,
            rows,
            limit,
            last_limit,
            chart,
            file,
            variable,
            figures,
            note: None,
            output,
            id,
            painted: None,
        })
    }

    /// Number of its job.
    pub fn job(&self) -> u64 {
        self.query.job().id
    }

    /// A note after the figures, such as how to stop it.
    pub fn set_note(&mut self, note: String) {
        self.note = Some(note);
    }

    /// Shows the rows until the query ends; the value that was asked for with `--%var`. `leave` says that nobody wants to wait for a query that was
    /// asked to stop and does not.
    pub fn show(mut self, leave: &dyn Fn() -> bool) -> Result<(End, Option<String>)> {
        let frame = if self.chart.is_some() { CHART_FRAME } else { FRAME };
        // When what has come is to be painted.
        let mut due: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if due.is_some_and(|due| due <= now) {
                self.paint(Phase::Running)?;
                due = None;
            }
            let wait = due.map_or(IDLE, |due| due.saturating_duration_since(now));
            match self.query.next_timeout(wait) {
                Ok(Next::Chunk(chunk)) => {
                    self.rows.apply(&chunk)?;
                    if self.rows.state().is_none()
                        && let Some(file) = &mut self.file
                    {
                        file.write(&chunk.batch)?;
                    }
                    let now = Instant::now();
                    due.get_or_insert_with(|| match &self.painted {
                        Some((last, _)) => (*last + frame).max(now),
                        None => now + FIRST,
                    });
                }
                Ok(Next::Pending) => {
                    if leave() {
                        return self.end(Phase::Stopped);
                    }
                    if due.is_none() {
                        self.paint_line()?;
                    }
                }
                Ok(Next::End) => return self.end(Phase::Finished),
                Err(e) if e.kind() == ErrorKind::Cancelled => return self.end(Phase::Stopped),
                Err(e) => {
                    self.note = None;
                    self.paint_last(Phase::Failed)?;
                    return Err(e);
                }
            }
        }
    }

    fn end(mut self, phase: Phase) -> Result<(End, Option<String>)> {
        self.note = match self.file.take() {
            Some(mut file) => {
                if let Some(table) = self.rows.state() {
                    file.write_state(table)?;
                }
                Some(file.finish()?)
            }
            None => None,
        };
        self.paint_last(phase)?;
        if phase != Phase::Finished {
            return Ok((End::Stopped, None));
        }
        let value = match &self.variable {
            Some((name, span)) => Some(self.rows.only_value(name).map_err(|e| e.at(*span))?),
            None => None,
        };
        Ok((End::Finished, value))
    }

    fn line(&mut self, phase: Phase) -> String {
        let count = self.rows.count();
        let mut line = self.figures.line(phase, Some(&count));
        if let Some(note) = &self.note {
            line.push_str(" · ");
            line.push_str(note);
        }
        line
    }

    /// Paints if the line alone has changed.
    fn paint_line(&mut self) -> Result<()> {
        let line = self.line(Phase::Running);
        match &self.painted {
            Some((_, last)) if *last == line => Ok(()),
            _ => self.paint_with(line, false),
        }
    }

    fn paint(&mut self, phase: Phase) -> Result<()> {
        let line = self.line(phase);
        self.paint_with(line, false)
    }

    fn paint_last(&mut self, phase: Phase) -> Result<()> {
        let line = self.line(phase);
        self.paint_with(line, true)
    }

    fn paint_with(&mut self, line: String, last: bool) -> Result<()> {
        if !last && self.painted.is_some() && self.output.is_congested() {
            return Ok(());
        }
        let first = self.painted.is_none();
        match &self.chart {
            None => {
                let shown = self.rows.shown(self.limit)?;
                let text = shown.text()? + &line;
                let html = match last {
                    true => self.rows.shown(self.last_limit)?.html(true)?,
                    false => shown.html(false)?,
                };
                let html = html + &html::line(&line);
                self.put(first, &self.id, Picture::html(text, html));
            }
            Some(chart) => {
                let shown = self.rows.shown(chart.points())?;
                let rows = shown.batch();
                let text =
                    format!("{}\n{}", chart.words(rows.num_rows()), self.rows.shown(FALLBACK)?.text()?);
                let picture = Picture { text, html: None, chart: Some(chart.spec(rows)?) };
                self.put(first, &self.id, picture);
                let below = Picture::html(line.clone(), html::line(&line));
                self.put(first, &format!("{}-line", self.id), below);
            }
        }
        self.painted = Some((Instant::now(), line));
        Ok(())
    }

    fn put(&self, first: bool, id: &str, picture: Picture) {
        match first {
            true => self.output.show_as(id, picture),
            false => self.output.replace(id, picture),
        }
    }
}
