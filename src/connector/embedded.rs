//! Tables of a program: record batches it has, a stream it feeds, a lookup it answers.
//!
//! ```text
//!  program ── rows(batches) ───────────────┐
//!          ── channel(schema) ─> Feeder ───┼──> Session::register_table(name, ...) ──> SQL
//!          ── lookup(schema, backend) ─────┘
//! ```
//! Columns take part by name; their types are those of SQL (texts as Arrow's views, for example), so values are
//! cast where they differ.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use parking_lot::{Condvar, Mutex};

use super::Connector;
use super::{Positions, Read, Reader, ReaderContext, ScanRequest, Source, position};
use crate::catalog::table::Own;
use crate::catalog::{Column, ColumnSource, OptionDef, Options, Table};
use crate::error::{Error, Result};
use crate::flow::Waker;
use crate::lookup::{Backend, LookupRequest};
use crate::sql::SqlType;

/// Batches that may wait in a channel before its [`Feeder`] does.
const WAITING: usize = 16;

/// The only split of a table of rows: the number of the next batch.
const ROWS: &str = "rows";

/// A table of a program.
#[derive(Clone)]
pub struct Embedded {
    schema: SchemaRef,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Rows(Arc<Vec<RecordBatch>>),
    Channel(Arc<Channel>),
    Lookup(Arc<dyn Backend>),
}

/// A table of these rows; it ends after the last.
pub fn rows(batches: Vec<RecordBatch>) -> Result<Embedded> {
    let Some(first) = batches.first() else {
        return Err(Error::option("a table of record batches needs one at least, for its columns")
            .with_hint("RecordBatch::new_empty(schema) is a batch without rows"));
    };
    let schema = first.schema();
    if batches.iter().any(|b| b.schema().fields() != schema.fields()) {
        return Err(Error::option("the record batches of a table must all have the same columns"));
    }
    Ok(Embedded { schema, kind: Kind::Rows(Arc::new(batches)) })
}

/// A table of the rows that are fed to it while queries run. Each row goes to one query; the table ends when
/// its feeder and all clones of it are dropped.
pub fn channel(schema: SchemaRef) -> (Feeder, Embedded) {
    let channel = Arc::new(Channel::default());
    let feeder = Feeder(Arc::new(Feed { schema: schema.clone(), channel: channel.clone() }));
    (feeder, Embedded { schema, kind: Kind::Channel(channel) })
}

/// A lookup table of these columns: `backend` answers for keys, with the same cache, limits and retries as any
/// other lookup.
pub fn lookup(schema: SchemaRef, backend: Arc<dyn Backend>) -> Embedded {
    Embedded { schema, kind: Kind::Lookup(backend) }
}

impl Embedded {
    /// Columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").field("schema", &self.schema).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<RecordBatch>,
    wakers: Vec<Waker>,
    ended: bool,
}

#[derive(Debug, Default)]
struct Channel {
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Debug)]
struct Feed {
    schema: SchemaRef,
    channel: Arc<Channel>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut state = self.channel.state.lock();
        state.ended = true;
        state.wakers.iter().for_each(Waker::wake);
    }
}

/// Feeds a [`channel`].
#[derive(Debug, Clone)]
pub struct Feeder(Arc<Feed>);

impl Feeder {
    /// Hands rows over; waits while 16 batches have not been read.
    pub fn send(&self, batch: RecordBatch) -> Result<()> {
        let Feed { schema, channel } = &*self.0;
        if batch.schema().fields() != schema.fields() {
            return Err(Error::option("a batch has other columns than the table that it is fed to"));
        }
        let mut state = channel.state.lock();
        if state.waiting.len() >= WAITING {
            state.wakers.iter().for_each(Waker::hurry);
        }
        channel.room.wait_while(&mut state, |state| state.waiting.len() >= WAITING);
        state.waiting.push_back(batch);
        state.wakers.iter().for_each(Waker::wake);
        Ok(())
    }
}

impl Table {
    /// A table of the program that embeds the session.
    pub fn embedded(name: &str, embedded: Embedded, primary_key: &[&str]) -> Result<Self> {
        let fields = embedded.schema().fields();
        let columns = fields.iter().map(|field| {
            let data_type = SqlType::from_arrow(field.data_type()).ok_or_else(|| {
                Error::unsupported(format!("column '{}' of table '{name}' has no SQL type", field.name()))
                    .with_detail(field.data_type().to_string())
            })?;
            let nullable = field.is_nullable() && !primary_key.contains(&field.name().as_str());
            let source = ColumnSource::Physical { data_type, nullable };
            Ok(Column { name: field.name().clone(), source, comment: None })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        if let Some(key) = primary_key.iter().find(|key| !columns.iter().any(|c| c.name == **key)) {
            return Err(Error::plan(format!("table '{name}' has no column '{key}' to be its key")));
        }
        let mut options = Options::default();
        options.set("connector", embedded.name(), Default::default());
        Ok(Self {
            name: name.to_string(),
            home: Default::default(),
            columns,
            watermark: None,
            primary_key: primary_key.iter().map(ToString::to_string).collect(),
            partitioned_by: Vec::new(),
            comment: None,
            options,
            temporary: true,
            own: Some(Own::new::<dyn Connector>(embedded.name(), Arc::new(embedded))),
        })
    }
}

impl Connector for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn doc(&self) -> &'static str {
        "a table of the program that embeds the session"
    }

    fn options(&self) -> &'static [OptionDef] {
        &[]
    }

    fn is_source(&self) -> bool {
        !matches!(self.kind, Kind::Lookup(_))
    }

    fn is_lookup(&self, _options: &Options) -> bool {
        matches!(self.kind, Kind::Lookup(_))
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(EmbeddedSource {
            kind: self.kind.clone(),
            schema: request.schema.clone(),
            from: Mutex::new(0),
        }))
    }

    fn lookup(&self, _request: &LookupRequest) -> Result<Arc<dyn Backend>> {
        match &self.kind {
            Kind::Lookup(backend) => Ok(backend.clone()),
            _ => Err(Error::internal("a table of rows is not looked up in")),
        }
    }
}

struct EmbeddedSource {
    kind: Kind,
    schema: SchemaRef,
    /// The batch to begin with.
    from: Mutex<usize>,
}

impl Source for EmbeddedSource {
    fn bounded(&self) -> bool {
        matches!(self.kind, Kind::Rows(_))
    }

    fn max_parallelism(&self) -> usize {
        1
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        Ok(match &self.kind {
            Kind::Rows(batches) => Box::new(RowsReader {
                batches: batches.clone(),
                schema: self.schema.clone(),
                next: *self.from.lock(),
            }),
            Kind::Channel(channel) => {
                channel.state.lock().wakers.push(context.waker);
                Box::new(ChannelReader { channel: channel.clone(), schema: self.schema.clone() })
            }
            Kind::Lookup(_) => return Err(Error::internal("a lookup table is not read as a whole")),
        })
    }

    fn replays(&self) -> bool {
        matches!(self.kind, Kind::Rows(_))
    }

    fn restore(&self, positions: &Positions, _runtime: &tokio::runtime::Handle) -> Result<()> {
        let batch = match position::only(positions, ROWS)? {
            None => 0,
            Some(position) => position.as_u64().ok_or_else(|| position::not_understood(ROWS, position))?,
        };
        *self.from.lock() = usize::try_from(batch).unwrap_or(usize::MAX);
        Ok(())
    }
}

/// The wanted columns, by name, as SQL has their types.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let column = |field: &arrow::datatypes::FieldRef| -> Result<ArrayRef> {
        let column = batch
            .column_by_name(field.name())
            .ok_or_else(|| Error::internal(format!("a batch lost its column '{}'", field.name())))?;
        Ok(if column.data_type() == field.data_type() {
            column.clone()
        } else {
            cast(column, field.data_type())?
        })
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

struct RowsReader {
    batches: Arc<Vec<RecordBatch>>,
    schema: SchemaRef,
    next: usize,
}

impl Reader for RowsReader {
    fn read(&mut self) -> Result<Read> {
        while let Some(batch) = self.batches.get(self.next) {
            self.next += 1;
            if batch.num_rows() > 0 {
                return Ok(Read::Batch(conform(batch, &self.schema)?));
            }
        }
        Ok(Read::End)
    }

    fn cut(&mut self, _epoch: u64) -> Result<Option<Positions>> {
        self.leave().map(Some)
    }

    fn leave(&mut self) -> Result<Positions> {
        Ok([(ROWS.to_string(), self.next.into())].into())
    }
}

struct ChannelReader {
    channel: Arc<Channel>,
    schema: SchemaRef,
}

impl Reader for ChannelReader {
    fn read(&mut self) -> Result<Read> {
        let mut state = self.channel.state.lock();
        while let Some(batch) = state.waiting.pop_front() {
            self.channel.room.notify_all();
            if batch.num_rows() > 0 {
                return Ok(Read::Batch(conform(&batch, &self.schema)?));
            }
        }
        Ok(if state.ended { Read::End } else { Read::Pending })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use arrow::array::{AsArray, Int32Array, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::session::{Response, Session};

    fn batch(ids: &[i32]) -> RecordBatch {
        let ids: ArrayRef = Arc::new(Int32Array::from(ids.to_vec()));
        let names: ArrayRef = Arc::new(StringArray::from(vec!["n"; ids.len()]));
        RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap()
    }

    fn count(session: &Session, sql: &str) -> Result<Vec<i64>> {
        let Response::Query(mut rows) = session.sql(sql)? else { panic!("{sql}") };
        let mut all = Vec::new();
        while let Some(chunk) = rows.next_chunk()? {
            all.extend_from_slice(chunk.batch.column(0).as_primitive::<Int64Type>().values());
        }
        Ok(all)
    }

    #[test]
    fn rows_are_read_as_often_as_one_likes_and_sessions_do_not_see_each_other() {
        let session = Session::new().unwrap();
        session.register_table("t", rows(vec![batch(&[1, 2]), batch(&[3])]).unwrap(), &["id"]).unwrap();
        for _ in 0..2 {
            let all = count(&session, "SELECT CAST(id AS BIGINT) * 2 AS d FROM t WHERE name = 'n'").unwrap();
            assert_eq!(all, [2, 4, 6]);
        }
        let again = session.register_table("t", rows(vec![batch(&[])]).unwrap(), &[]).unwrap_err();
        assert_eq!(again.message(), "table or view 't' exists already");
        let other = Session::new().unwrap();
        assert!(count(&other, "SELECT 1 FROM t").unwrap_err().message().contains("'t'"));
        assert!(rows(Vec::new()).is_err());
        assert!(session.register_table("u", rows(vec![batch(&[])]).unwrap(), &["nope"]).is_err());
    }

    #[test]
    fn a_channel_ends_with_its_feeder_and_knows_its_columns() {
        let session = Session::new().unwrap();
        let (feeder, table) = channel(batch(&[]).schema());
        session.register_table("t", table, &[]).unwrap();
        let Response::Query(mut rows) = session.sql("SELECT id FROM t").unwrap() else { panic!() };
        feeder.clone().send(batch(&[7])).unwrap();
        assert_eq!(rows.next_chunk().unwrap().unwrap().len(), 1);
        let narrow = batch(&[1]).project(&[0]).unwrap();
        assert!(feeder.send(narrow).is_err());
        drop(feeder);
        assert!(rows.next_chunk().unwrap().is_none());
    }
}
