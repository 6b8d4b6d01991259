//! The rows of a result that are shown, while it grows and changes.
//!
//! A stream has no end and a notebook is a document: of rows that are only added, the newest are kept; of
//! rows that change, the state is kept, as in the shell's table mode, and its first rows are shown.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use super::html::{self, Around};
use crate::console::progress::thousands;
use crate::console::render::text::TextColumn;
use crate::console::render::write_table;
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind};
use crate::session::{Materialized, QueryResult};

/// Rows that are shown without a box that scrolls.
const SCROLLED: usize = 20;

/// Width of a text table, for readers without HTML.
const WIDTH: usize = 120;

/// The rows.
#[derive(Debug)]
pub enum Rows {
    /// The newest of rows that are only added.
    Newest(Newest),
    /// The state of rows that change.
    State(Box<Materialized>),
    /// The newest changes, where the state was not asked for or cannot be kept.
    Changes(Newest),
}

/// The newest rows.
#[derive(Debug)]
pub struct Newest {
    schema: SchemaRef,
    chunks: VecDeque<Chunk>,
    held: usize,
    keep: usize,
    total: u64,
}

impl Newest {
    fn new(schema: SchemaRef, keep: usize) -> Self {
        Self { schema, chunks: VecDeque::new(), held: 0, keep, total: 0 }
    }

    fn push(&mut self, chunk: &Chunk) {
        self.total += chunk.len() as u64;
        self.held += chunk.len();
        self.chunks.push_back(chunk.clone());
        while let Some(first) = self.chunks.front()
            && self.held - first.len() >= self.keep
        {
            self.held -= first.len();
            self.chunks.pop_front();
        }
    }

    /// The last `limit` rows and their kinds.
    fn last(&self, limit: usize) -> Result<(RecordBatch, Vec<Kind>)> {
        let mut wanted = limit.min(self.held);
        let mut parts = VecDeque::new();
        for chunk in self.chunks.iter().rev() {
            let take = chunk.len().min(wanted);
            parts.push_front(chunk.slice(chunk.len() - take, take));
            wanted -= take;
            if wanted == 0 {
                break;
            }
        }
        let kinds = parts.iter().flat_map(|c| (0..c.len()).map(|i| c.kinds.get(i))).collect();
        let batches: Vec<&RecordBatch> = parts.iter().map(|c| &c.batch).collect();
        Ok((concat_batches(&self.schema, batches)?, kinds))
    }
}

/// What is shown now.
#[derive(Debug)]
pub struct Shown {
    batch: RecordBatch,
    kinds: Option<Vec<Kind>>,
    above: Option<String>,
    below: Option<String>,
}

impl Rows {
    /// For a query of which at most `keep` rows are shown. `changelog` asks for the changes themselves.
    pub fn new(query: &QueryResult, keep: usize, changelog: bool) -> Self {
        let schema = query.schema().clone();
        if changelog {
            return Self::Changes(Newest::new(schema, keep));
        }
        if query.is_append() {
            return Self::Newest(Newest::new(schema, keep));
        }
        match Materialized::new(schema.clone()) {
            Ok(table) => Self::State(Box::new(table)),
            Err(_) => Self::Changes(Newest::new(schema, keep)),
        }
    }

    /// Adds what has come.
    pub fn apply(&mut self, chunk: &Chunk) -> Result<()> {
        match self {
            Self::Newest(newest) | Self::Changes(newest) => {
                newest.push(chunk);
                Ok(())
            }
            Self::State(table) => table.apply(chunk),
        }
    }

    /// `12 rows`, or `12 changes`.
    pub fn count(&self) -> String {
        let (n, what) = match self {
            Self::Newest(newest) => (newest.total, "row"),
            Self::Changes(newest) => (newest.total, "change"),
            Self::State(table) => (table.len() as u64, "row"),
        };
        format!("{} {what}{}", thousands(n), if n == 1 { "" } else { "s" })
    }

    /// At most `limit` rows for a table.
    pub fn shown(&self, limit: usize) -> Result<Shown> {
        let more = |n: u64, what: &str| (n > 0).then(|| format!("... {} {what}", thousands(n)));
        Ok(match self {
            Self::Newest(newest) => {
                let (batch, _) = newest.last(limit)?;
                let above = more(newest.total - batch.num_rows() as u64, "earlier");
                Shown { batch, kinds: None, above, below: None }
            }
            Self::Changes(newest) => {
                let (batch, kinds) = newest.last(limit)?;
                let above = more(newest.total - batch.num_rows() as u64, "earlier");
                Shown { batch, kinds: Some(kinds), above, below: None }
            }
            Self::State(table) => {
                let batch = table.batch(0, limit)?;
                let below = more((table.len() - batch.num_rows()) as u64, "more");
                Shown { batch, kinds: None, above: None, below }
            }
        })
    }

    /// The only value of a result of one row and one column.
    pub fn only_value(&self, name: &str) -> Result<String> {
        let batch = self.shown(2)?.batch;
        if matches!(self, Self::Changes(_)) || batch.num_rows() != 1 || batch.num_columns() != 1 {
            return Err(Error::execution(format!(
                "variable '{name}' takes one value, and the query returns {} of {} columns",
                self.count(),
                batch.num_columns()
            ))
            .with_hint("LIMIT 1 and one column in SELECT"));
        }
        let column = TextColumn::new(&**batch.column(0))?;
        if column.is_null(0) {
            return Err(Error::execution(format!("variable '{name}' cannot be NULL")));
        }
        let mut value = String::new();
        column.write(0, &mut value)?;
        Ok(value)
    }

    /// The state at the end, in pieces, where the rows change.
    pub fn state(&self) -> Option<&Materialized> {
        match self {
            Self::State(table) => Some(table),
            _ => None,
        }
    }
}

impl Shown {
    /// The rows.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// As HTML; the last picture of a result scrolls.
    pub fn html(&self, last: bool) -> Result<String> {
        let around = Around {
            kinds: self.kinds.as_deref(),
            above: self.above.clone(),
            below: self.below.clone(),
            scrolls: last && self.batch.num_rows() > SCROLLED,
        };
        html::table(&self.batch, &around)
    }

    /// As text.
    pub fn text(&self) -> Result<String> {
        let mut out = Vec::new();
        if let Some(above) = &self.above {
            out.extend_from_slice(format!("{above}\n").as_bytes());
        }
        match &self.kinds {
            Some(kinds) => write_table(&with_kinds(&self.batch, kinds)?, Some(WIDTH), &mut out)?,
            None => write_table(&html::first_columns(&self.batch)?, Some(WIDTH), &mut out)?,
        }
        // The number of rows is shown elsewhere.
        if let Some(last) = out.trim_ascii_end().iter().rposition(|b| *b == b'\n')
            && self.batch.num_rows() > 0
        {
            out.truncate(last + 1);
        }
        if self.batch.num_columns() > html::COLUMNS {
            let more = self.batch.num_columns() - html::COLUMNS;
            out.extend_from_slice(format!("... {more} more columns\n").as_bytes());
        }
        if let Some(below) = &self.below {
            out.extend_from_slice(format!("{below}\n").as_bytes());
        }
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}

/// The rows with their kinds as a first column.
fn with_kinds(batch: &RecordBatch, kinds: &[Kind]) -> Result<RecordBatch> {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    let shown = html::first_columns(batch)?;
    let op: ArrayRef = Arc::new(StringArray::from_iter_values(kinds.iter().map(|k| k.as_str())));
    let schema = shown.schema();
    let fields = std::iter::once(Arc::new(Field::new("op", DataType::Utf8, false)));
    let schema = Schema::new(fields.chain(schema.fields().iter().cloned()).collect::<Vec<_>>());
    let columns = std::iter::once(op).chain(shown.columns().iter().cloned()).collect();
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

/// A small table of which all rows are there: as HTML and as text.
pub fn whole(batch: &RecordBatch) -> Result<(String, String)> {
    let limit = super::directive::MOST_ROWS;
    let more = batch.num_rows().saturating_sub(limit);
    let shown = Shown {
        batch: batch.slice(0, batch.num_rows().min(limit)),
        kinds: None,
        above: None,
        below: (more > 0).then(|| format!("... {} more", thousands(more as u64))),
    };
    Ok((shown.html(true)?, shown.text()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::operator::picture::named as chunk;
    use crate::session::{Response, Session};
    use Kind::{Delete, Insert, UpdateAfter, UpdateBefore};

    fn schema() -> SchemaRef {
        chunk(&[]).batch.schema()
    }

    #[test]
    fn the_newest_rows_are_kept() {
        let mut rows = Rows::Newest(Newest::new(schema(), 4));
        assert_eq!((rows.count(), rows.shown(3).unwrap().batch.num_rows()), ("0 rows".into(), 0));
        for i in 0..10 {
            rows.apply(&chunk(&[(Insert, Some(2 * i), None), (Insert, Some(2 * i + 1), Some("x"))])).unwrap();
        }
        let shown = rows.shown(3).unwrap();
        let expected =
            [(Insert, Some(17), Some("x")), (Insert, Some(18), None), (Insert, Some(19), Some("x"))];
        assert_eq!(shown.batch, chunk(&expected).batch);
        assert_eq!(rows.count(), "20 rows");
        let Rows::Newest(newest) = &rows else { panic!() };
        assert_eq!((newest.held, newest.chunks.len()), (4, 2));
        assert!(shown.text().unwrap().starts_with("... 17 earlier\n+----+"), "{}", shown.text().unwrap());
        assert!(shown.html(false).unwrap().contains("<i>... 17 earlier</i>"));
    }

    #[test]
    fn changes_have_their_kind() {
        let mut rows = Rows::Changes(Newest::new(schema(), 2));
        rows.apply(&chunk(&[(UpdateBefore, Some(1), None), (UpdateAfter, Some(2), None)])).unwrap();
        rows.apply(&chunk(&[(Delete, Some(2), None)])).unwrap();
        let shown = rows.shown(2).unwrap();
        assert_eq!(shown.kinds, Some(vec![UpdateAfter, Delete]));
        assert!(shown.text().unwrap().contains("| -D |"), "{}", shown.text().unwrap());
        assert_eq!(rows.count(), "3 changes");
    }

    #[test]
    fn a_result_that_changes_is_a_table() {
        let session = Session::new().unwrap();
        let query = |sql: &str| match session.sql(sql).unwrap() {
            Response::Query(query) => query,
            other => panic!("{other:?}"),
        };
        let changing = query("SELECT COUNT(*) AS n FROM (VALUES (1), (2)) AS t(x)");
        assert!(matches!(Rows::new(&changing, 5, false), Rows::State(_)));
        assert!(matches!(Rows::new(&changing, 5, true), Rows::Changes(_)));
        assert!(matches!(Rows::new(&query("SELECT 1"), 5, false), Rows::Newest(_)));
        let mut rows = Rows::State(Box::new(Materialized::new(schema()).unwrap()));
        rows.apply(&chunk(&[(Insert, Some(1), None), (Insert, Some(2), None), (Insert, Some(3), None)]))
            .unwrap();
        rows.apply(&chunk(&[(UpdateBefore, Some(1), None), (UpdateAfter, Some(9), None)])).unwrap();
        let shown = rows.shown(2).unwrap();
        assert_eq!(shown.batch, chunk(&[(Insert, Some(9), None), (Insert, Some(2), None)]).batch);
        assert_eq!((shown.below.as_deref(), rows.count().as_str()), (Some("... 1 more"), "3 rows"));
    }
}
