//! Writing to a table of a database.
//!
//! ```text
//!  without checkpoints, or at-least-once   rows ──> one transaction a batch ──> target
//!  exactly-once                            rows ──> stage      checkpoint n durable ──> stage to target, and n
//! ```
//! With a PRIMARY KEY rows take the place of those with the same key, the last of a batch for each; deletes are by key.
//! A batch is what has gathered while the one before was written.
//!
//! Exactly once: rows lie in a table of ours, with the task and the batch that they came in. When a checkpoint is
//! durable, one transaction moves those that it holds and notes its number; what lies behind it when a job comes back is
//! removed. A number of attempts keeps a run that was taken for dead from committing after another has taken over.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int16Array, Int32Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::connector::{Guarantee, Sink, SinkChangelog, SinkRequest, Writer, WriterContext};
use crate::database::write::{CHECKPOINTS, STAGE_COLUMNS, create_checkpoints};
use crate::database::{
    Database, Fault, FaultKind, JdbcUrl, Session, System, Target, database, parts, quoted_table, spelled,
};
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds};

/// Rows that may wait while a batch is written.
const WAITING: usize = 1 << 16;
/// Seconds that a finished sink is remembered.
const REMEMBERED: i64 = 7 * 86_400;

struct Shared {
    table: String,
    database: Arc<dyn Database>,
    system: System,
    target: Target,
    max_rows: usize,
    interval: Duration,
    retries: u32,
    staged: bool,
    attempt: Mutex<Option<Attempt>>,
    /// For what the job's own threads do.
    committing: Mutex<Option<Committing>>,
}

/// One run of a sink that stages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempt {
    sink: String,
    number: i64,
}

/// What a writer leaves in a checkpoint: its batches up to this one are staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Staged {
    sink: String,
    #[serde(default)]
    attempt: i64,
    #[serde(default)]
    task: usize,
    batch: Option<u64>,
}

struct Committing {
    runtime: Runtime,
    session: Option<Box<dyn Session>>,
}

/// A planned sink.
pub(super) struct JdbcSink {
    shared: Arc<Shared>,
}

impl JdbcSink {
    pub(super) fn new(request: &SinkRequest) -> Result<Self> {
        let SinkRequest { table, .. } = request;
        let options = &table.options;
        let exactly = options.choice("sink.delivery-guarantee", &["at-least-once", "exactly-once"])?;
        let rows = options.integer("sink.buffer-flush.max-rows")?.unwrap_or(100);
        let target = Target {
            table: options.required("table-name")?.to_string(),
            schema: request.schema.clone(),
            key: request.key.clone(),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                table: table.name.clone(),
                database: database(table)?,
                system: JdbcUrl::of(&table.options)?.system,
                target,
                max_rows: usize::try_from(rows).unwrap_or(usize::MAX).clamp(1, WAITING),
                interval: options.duration("sink.buffer-flush.interval")?.unwrap_or(Duration::from_secs(1)),
                retries: u32::try_from(options.integer("sink.max-retries")?.unwrap_or(3)).unwrap_or(u32::MAX),
                staged: request.checkpoints && exactly != Some("at-least-once"),
                attempt: Mutex::default(),
                committing: Mutex::default(),
            }),
        })
    }
}

impl Staged {
    fn read(pending: &[serde_json::Value]) -> Result<Vec<Self>> {
        let read = |value: &serde_json::Value| {
            serde_json::from_value(value.clone()).map_err(|e| {
                Error::io("the checkpoint has values of another sink").with_detail(e.to_string())
            })
        };
        pending.iter().map(read).collect()
    }
}

/// The rows that a checkpoint holds.
fn condition(staged: &[Staged]) -> Option<String> {
    let [attempt, task, batch, ..] = STAGE_COLUMNS;
    let each = staged.iter().filter_map(|s| {
        let upto = s.batch?;
        Some(format!("({attempt} = {} AND {task} = {} AND {batch} <= {upto})", s.attempt, s.task))
    });
    let all: Vec<_> = each.collect();
    (!all.is_empty()).then(|| format!("({})", all.join(" OR ")))
}

impl Shared {
    fn failed(&self, e: impl Into<Error>) -> Error {
        e.into().context(format!("table '{}'", self.table))
    }

    /// A table of ours beside the target.
    fn beside(&self, name: &str) -> String {
        let mut parts = parts(&self.target.table);
        parts.pop();
        parts.push(name.to_string());
        spelled(&parts)
    }

    fn stage(&self, sink: &str) -> String {
        self.beside(&format!("affluent_stage_{sink}"))
    }

    fn checkpoints(&self) -> String {
        quoted_table(self.system, &self.beside(CHECKPOINTS))
    }

    /// Does something on a connection of the job's threads; again after faults that pass.
    fn settle<T>(&self, work: impl AsyncFn(&Self, &mut dyn Session) -> Result<T, Fault>) -> Result<T> {
        let mut committing = self.committing.lock();
        let committing = match &mut *committing {
            Some(there) => there,
            none => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(|e| Error::io(format!("a runtime could not be made: {e}")))?;
                none.insert(Committing { runtime, session: None })
            }
        };
        let Committing { runtime, session } = committing;
        runtime.block_on(async {
            let mut failed = 0;
            loop {
                let done = async {
                    let mut open = match session.take() {
                        Some(open) => open,
                        None => self.database.clone().session().await?,
                    };
                    let done = work(self, open.as_mut()).await?;
                    *session = Some(open);
                    Ok::<_, Fault>(done)
                };
                let fault = match done.await {
                    Ok(done) => return Ok(done),
                    Err(fault) => fault,
                };
                failed += 1;
                if !fault.passes() || failed > self.retries {
                    return Err(self.failed(fault));
                }
                tokio::time::sleep(Duration::from_secs(1) * failed).await;
            }
        })
    }

    /// The attempt that is noted, locked until the end of the transaction.
    async fn noted(&self, session: &mut dyn Session, sink: &str) -> Result<Option<i64>, Fault> {
        let lock = if self.system == System::Sqlite { "" } else { " FOR UPDATE" };
        session
            .number(&format!("SELECT attempt FROM {} WHERE sink = '{sink}'{lock}", self.checkpoints()))
            .await
    }

    async fn recover(
        &self,
        session: &mut dyn Session,
        sink: &str,
        staged: &[Staged],
    ) -> Result<Attempt, Fault> {
        let created = session.execute(&create_checkpoints(self.system, &self.beside(CHECKPOINTS))).await;
        // Two that make it at once may get in each other's way.
        if created.is_err() {
            session.execute(&create_checkpoints(self.system, &self.beside(CHECKPOINTS))).await?;
        }
        let stage = self.stage(sink);
        session.execute(&self.target.create_stage(self.system, &stage)).await?;
        session.execute("BEGIN").await?;
        let noted = self.noted(session, sink).await?;
        let condition = condition(staged);
        let number = match noted {
            Some(before) => {
                if let Some(condition) = &condition {
                    for statement in self.target.apply(self.system, &stage, condition) {
                        session.execute(&statement).await?;
                    }
                }
                session.execute(&format!("DELETE FROM {}", quoted_table(self.system, &stage))).await?;
                let number = before + 1;
                let note = format!(
                    "UPDATE {} SET attempt = {number}, finished = 0 WHERE sink = '{sink}'",
                    self.checkpoints()
                );
                session.execute(&note).await?;
                number
            }
            None if condition.is_some() => {
                return Err(Fault::new(
                    FaultKind::Other,
                    format!("{} knows nothing of sink '{sink}', whose rows a checkpoint needs", self.checkpoints()),
                )
                .with_hint("was it dropped, or is it another database? start the job without its checkpoints (--fresh)"));
            }
            None => {
                let table = self.target.table.replace('\'', "''");
                let note = format!(
                    "INSERT INTO {} (sink, attempt, epoch, finished, target) VALUES ('{sink}', 1, 0, 0, '{table}')",
                    self.checkpoints()
                );
                session.execute(&note).await?;
                1
            }
        };
        session.execute("COMMIT").await?;
        Ok(Attempt { sink: sink.to_string(), number })
    }

    async fn commit_staged(
        &self,
        session: &mut dyn Session,
        attempt: &Attempt,
        epoch: u64,
        staged: &[Staged],
    ) -> Result<(), Fault> {
        let sink = &attempt.sink;
        session.execute("BEGIN").await?;
        let noted = self.noted(session, sink).await?;
        if noted != Some(attempt.number) {
            return Err(Fault::new(FaultKind::Other, "another run of this job has taken over the table"));
        }
        if let Some(condition) = condition(staged) {
            for statement in self.target.apply(self.system, &self.stage(sink), &condition) {
                session.execute(&statement).await?;
            }
        }
        let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
        let note = format!(
            "UPDATE {} SET epoch = {epoch}, changed = CURRENT_TIMESTAMP WHERE sink = '{sink}'",
            self.checkpoints()
        );
        session.execute(&note).await?;
        session.execute("COMMIT").await?;
        Ok(())
    }

    /// Nothing will be staged any more. That the sink has finished is remembered for a while: should the process end
    /// before the checkpoints are deleted, the job comes back once more.
    async fn finish(&self, session: &mut dyn Session, sink: &str) -> Result<(), Fault> {
        let checkpoints = self.checkpoints();
        session.execute(&format!("UPDATE {checkpoints} SET finished = 1 WHERE sink = '{sink}'")).await?;
        session
            .execute(&format!("DROP TABLE IF EXISTS {}", quoted_table(self.system, &self.stage(sink))))
            .await?;
        let old = match self.system {
            System::Postgres => format!("changed < CURRENT_TIMESTAMP - INTERVAL '{REMEMBERED}' SECOND"),
            System::MySql => format!("changed < CURRENT_TIMESTAMP - INTERVAL {REMEMBERED} SECOND"),
            System::Sqlite => format!("changed < datetime('now', '-{REMEMBERED} seconds')"),
        };
        session.execute(&format!("DELETE FROM {checkpoints} WHERE finished = 1 AND {old}")).await?;
        Ok(())
    }
}

impl Sink for JdbcSink {
    fn changelog(&self) -> SinkChangelog {
        if self.shared.target.key.is_empty() { SinkChangelog::Append } else { SinkChangelog::Upsert }
    }

    fn guarantee(&self) -> Guarantee {
        if self.shared.staged { Guarantee::ExactlyOnce } else { Guarantee::AtLeastOnce }
    }

    fn recover(&self, pending: &[serde_json::Value]) -> Result<()> {
        let shared = &self.shared;
        if !shared.staged {
            return Ok(());
        }
        let staged = Staged::read(pending)?;
        let former = staged.first().map(|s| s.sink.clone());
        let former = former.or_else(|| shared.attempt.lock().as_ref().map(|a| a.sink.clone()));
        let sink = former.unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string()[..16].to_string());
        let attempt = shared.settle(async |shared, session| shared.recover(session, &sink, &staged).await)?;
        *shared.attempt.lock() = Some(attempt);
        Ok(())
    }

    fn begun(&self) -> Vec<serde_json::Value> {
        let attempt = self.shared.attempt.lock();
        let staged = attempt.as_ref().map(|a| Staged {
            sink: a.sink.clone(),
            attempt: a.number,
            task: 0,
            batch: None,
        });
        staged.and_then(|staged| serde_json::to_value(staged).ok()).into_iter().collect()
    }

    fn commit_epoch(&self, epoch: u64, pending: &[serde_json::Value]) -> Result<()> {
        let shared = &self.shared;
        let Some(attempt) = shared.attempt.lock().clone() else { return Ok(()) };
        let staged = Staged::read(pending)?;
        shared.settle(async |shared, session| shared.commit_staged(session, &attempt, epoch, &staged).await)
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>> {
        let attempt = self.shared.attempt.lock().clone();
        if self.shared.staged && attempt.is_none() {
            return Err(Error::internal("a sink with checkpoints was not recovered"));
        }
        Ok(Box::new(JdbcWriter {
            shared: self.shared.clone(),
            staging: Staging::new(&self.shared.target, attempt)?,
            context,
            buffer: Vec::new(),
            rows: 0,
            since: None,
            sealed: VecDeque::new(),
            flight: None,
            session: None,
            begun: 0,
            done: 0,
            cut: None,
            ending: false,
        }))
    }

    fn commit(&self) -> Result<()> {
        let shared = &self.shared;
        let Some(attempt) = shared.attempt.lock().clone() else { return Ok(()) };
        shared.settle(async |shared, session| shared.finish(session, &attempt.sink).await)
    }
}

/// How rows become batches.
struct Staging {
    attempt: Option<Attempt>,
    schema: SchemaRef,
    key: Vec<usize>,
    keys: Option<RowConverter>,
    /// Of the stage.
    staged: SchemaRef,
}

/// What is sent in one transaction.
struct Batch {
    /// Into the stage, or the rows that are there afterwards.
    rows: RecordBatch,
    /// Keys of rows that are gone.
    deleted: Option<RecordBatch>,
    /// The stage, and which rows of it an earlier attempt may have left.
    stage: Option<(Target, String)>,
}

impl Staging {
    fn new(target: &Target, attempt: Option<Attempt>) -> Result<Self> {
        let keys = match target.key.as_slice() {
            [] => None,
            key => {
                let fields = key.iter().map(|k| SortField::new(target.schema.field(*k).data_type().clone()));
                Some(RowConverter::new(fields.collect())?)
            }
        };
        let types = [DataType::Int64, DataType::Int32, DataType::Int64, DataType::Int64, DataType::Int16];
        let ours = STAGE_COLUMNS.iter().zip(types).map(|(name, t)| Field::new(*name, t, false));
        let fields: Vec<Field> =
            ours.chain(target.schema.fields().iter().map(|f| f.as_ref().clone())).collect();
        Ok(Self {
            attempt,
            schema: target.schema.clone(),
            key: target.key.clone(),
            keys,
            staged: Arc::new(Schema::new(fields)),
        })
    }

    /// The last row of each key, and whether it is one that goes.
    fn last(&self, chunks: &[Chunk]) -> Result<(RecordBatch, Vec<bool>)> {
        let rows = concat_batches(&self.schema, chunks.iter().map(|c| &c.batch))?;
        let Some(keys) = &self.keys else {
            let count = rows.num_rows();
            return Ok((rows, vec![false; count]));
        };
        let kinds = |i: usize, kinds: &Kinds| kinds.get(i);
        let kinds: Vec<Kind> =
            chunks.iter().flat_map(|c| (0..c.len()).map(move |i| kinds(i, &c.kinds))).collect();
        let columns: Vec<ArrayRef> = self.key.iter().map(|k| rows.column(*k).clone()).collect();
        let encoded = keys.convert_columns(&columns)?;
        let mut last: HashMap<&[u8], u32> = HashMap::with_capacity(rows.num_rows());
        for i in 0..kinds.len() {
            last.insert(encoded.row(i).data(), i as u32);
        }
        let mut kept: Vec<u32> = last.into_values().collect();
        kept.sort_unstable();
        // A `-U` that nothing follows is of a row that a filter has left out.
        let goes = |kind: Kind| matches!(kind, Kind::Delete | Kind::UpdateBefore);
        let gone = kept.iter().map(|i| goes(kinds[*i as usize])).collect();
        if kept.len() == rows.num_rows() {
            return Ok((rows, gone));
        }
        Ok((take_record_batch(&rows, &UInt32Array::from(kept))?, gone))
    }

    fn batch(&self, shared: &Shared, task: usize, number: u64, chunks: &[Chunk]) -> Result<Batch> {
        let (rows, gone) = self.last(chunks)?;
        let count = rows.num_rows();
        let Some(attempt) = &self.attempt else {
            if !gone.contains(&true) {
                return Ok(Batch { rows, deleted: None, stage: None });
            }
            let of = |wanted: bool| -> UInt32Array {
                gone.iter().enumerate().filter(|(_, gone)| **gone == wanted).map(|(i, _)| i as u32).collect()
            };
            let deleted = take_record_batch(&rows, &of(true))?.project(&self.key)?;
            return Ok(Batch {
                rows: take_record_batch(&rows, &of(false))?,
                deleted: Some(deleted),
                stage: None,
            });
        };
        let wide = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value; count])) };
        let [attempts, tasks, batches, ..] = STAGE_COLUMNS;
        let (task, no) = (i32::try_from(task).unwrap_or(i32::MAX), i64::try_from(number).unwrap_or(i64::MAX));
        let ours: [ArrayRef; 5] = [
            wide(attempt.number),
            Arc::new(Int32Array::from(vec![task; count])),
            wide(no),
            Arc::new((0..count as i64).collect::<Int64Array>()),
            Arc::new(gone.iter().map(|gone| Some(i16::from(*gone))).collect::<Int16Array>()),
        ];
        let columns = ours.into_iter().chain(rows.columns().iter().cloned()).collect();
        let stage = shared.stage(&attempt.sink);
        let left = format!(
            "DELETE FROM {} WHERE {attempts} = {} AND {tasks} = {task} AND {batches} = {no}",
            quoted_table(shared.system, &stage),
            attempt.number
        );
        let target = Target { table: stage, schema: self.staged.clone(), key: Vec::new() };
        Ok(Batch {
            rows: RecordBatch::try_new(self.staged.clone(), columns)?,
            deleted: None,
            stage: Some((target, left)),
        })
    }
}

/// How a batch ended, and the connection to go on with.
type Landed = (Option<Box<dyn Session>>, Result<(), Fault>);

struct JdbcWriter {
    shared: Arc<Shared>,
    staging: Staging,
    context: WriterContext,
    buffer: Vec<Chunk>,
    rows: usize,
    /// When the oldest row of the buffer came.
    since: Option<Instant>,
    /// What lies before a barrier, and was not sent yet.
    sealed: VecDeque<Vec<Chunk>>,
    flight: Option<Arc<Mutex<Option<Landed>>>>,
    session: Option<Box<dyn Session>>,
    /// Batches that were sent, and that have arrived.
    begun: u64,
    done: u64,
    /// The barrier that passes, and how many batches lie before it.
    cut: Option<(u64, u64)>,
    ending: bool,
}

impl JdbcWriter {
    fn seal(&mut self) {
        if !self.buffer.is_empty() {
            self.sealed.push_back(std::mem::take(&mut self.buffer));
            self.rows = 0;
            self.since = None;
        }
    }

    /// Sends what waits, if nothing is on its way.
    fn send(&mut self) -> Result<()> {
        if self.flight.is_some() {
            return Ok(());
        }
        let Some(chunks) = self.sealed.pop_front() else { return Ok(()) };
        let batch = self.staging.batch(&self.shared, self.context.task, self.begun, &chunks);
        let batch = batch.map_err(|e| self.shared.failed(e))?;
        self.begun += 1;
        let flight: Arc<Mutex<Option<Landed>>> = Arc::default();
        self.flight = Some(flight.clone());
        let (shared, session, waker) = (self.shared.clone(), self.session.take(), self.context.waker.clone());
        self.context.runtime.spawn(async move {
            let landed = write(&shared, session, &batch).await;
            *flight.lock() = Some(landed);
            waker.wake();
        });
        Ok(())
    }

    /// Takes in what has arrived, and goes on.
    fn advance(&mut self) -> Result<()> {
        let landed = self.flight.as_ref().and_then(|flight| flight.lock().take());
        if let Some((session, ended)) = landed {
            self.flight = None;
            self.session = session;
            ended.map_err(|fault| self.shared.failed(fault))?;
            self.done += 1;
        }
        if self.sealed.is_empty() && (self.rows >= self.shared.max_rows || self.ending) {
            self.seal();
        }
        self.send()
    }
}

/// One batch in one transaction; again after faults that pass.
async fn write(shared: &Shared, mut session: Option<Box<dyn Session>>, batch: &Batch) -> Landed {
    let mut failed = 0;
    loop {
        let written = async {
            let mut open = match session.take() {
                Some(open) => open,
                None => shared.database.clone().session().await?,
            };
            once(shared, open.as_mut(), batch, failed > 0).await?;
            Ok::<_, Fault>(open)
        };
        let fault = match written.await {
            Ok(open) => return (Some(open), Ok(())),
            Err(fault) => fault,
        };
        failed += 1;
        if !fault.passes() || failed > shared.retries {
            return (None, Err(fault));
        }
        log::warn!("table '{}': a batch is written again: {}", shared.table, fault.message);
        tokio::time::sleep(Duration::from_secs(1) * failed).await;
    }
}

async fn once(shared: &Shared, session: &mut dyn Session, batch: &Batch, again: bool) -> Result<(), Fault> {
    session.execute("BEGIN").await?;
    match &batch.stage {
        Some((stage, left)) => {
            if again {
                // The transaction before may have been committed when the connection broke.
                session.execute(left).await?;
            }
            session.insert(stage, &batch.rows, false).await?;
        }
        None => {
            if let Some(keys) = &batch.deleted {
                session.delete(&shared.target, keys).await?;
            }
            if batch.rows.num_rows() > 0 {
                session.insert(&shared.target, &batch.rows, !shared.target.key.is_empty()).await?;
            }
        }
    }
    session.execute("COMMIT").await?;
    Ok(())
}

impl Writer for JdbcWriter {
    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.rows += chunk.len();
        self.since.get_or_insert_with(Instant::now);
        self.buffer.push(chunk.clone());
        self.advance()
    }

    fn room(&self) -> bool {
        self.rows < WAITING && self.sealed.len() < 2
    }

    fn wake(&mut self) -> Result<()> {
        self.advance()
    }

    fn deadline(&self) -> Option<Instant> {
        // What waits behind a batch goes when that one has arrived.
        self.since.filter(|_| self.flight.is_none()).map(|since| since + self.shared.interval)
    }

    fn timer(&mut self, now: Instant) -> Result<()> {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.seal();
        }
        self.send()
    }

    fn flush(&mut self) -> Result<()> {
        if self.shared.interval.is_zero() && self.flight.is_none() {
            self.seal();
        }
        self.send()
    }

    fn pre_commit(&mut self, epoch: u64, _last: bool) -> Result<Poll<Vec<serde_json::Value>>> {
        if self.cut.is_none_or(|(of, _)| of != epoch) {
            self.seal();
            self.cut = Some((epoch, self.begun + self.sealed.len() as u64));
        }
        self.advance()?;
        let before = self.cut.map_or(0, |(_, before)| before);
        if self.done < before {
            return Ok(Poll::Pending);
        }
        let Some(attempt) = &self.staging.attempt else { return Ok(Poll::Ready(Vec::new())) };
        let staged = Staged {
            sink: attempt.sink.clone(),
            attempt: attempt.number,
            task: self.context.task,
            batch: before.checked_sub(1),
        };
        let value = serde_json::to_value(staged).map_err(|e| Error::internal(e.to_string()))?;
        Ok(Poll::Ready(vec![value]))
    }

    fn finish(&mut self) -> Result<Poll<()>> {
        self.ending = true;
        self.advance()?;
        let through = self.flight.is_none() && self.sealed.is_empty() && self.buffer.is_empty();
        Ok(if through { Poll::Ready(()) } else { Poll::Pending })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_checkpoint_holds_the_batches_of_its_tasks() {
        let staged = |task, batch| Staged { sink: "s".into(), attempt: 3, task, batch };
        assert_eq!(condition(&[staged(0, None)]), None);
        assert_eq!(
            condition(&[staged(0, Some(4)), staged(1, None), staged(2, Some(0))]).unwrap(),
            "((affluent_attempt = 3 AND affluent_task = 0 AND affluent_batch <= 4) OR \
             (affluent_attempt = 3 AND affluent_task = 2 AND affluent_batch <= 0))"
        );
    }

    #[test]
    fn the_last_change_of_a_key_counts() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("v", DataType::Int64, true),
        ]));
        let target = Target { table: "t".into(), schema: schema.clone(), key: vec![0] };
        let staging = Staging::new(&target, None).unwrap();
        let column = |values: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
        let batch =
            RecordBatch::try_new(schema, vec![column(&[1, 2, 1, 1, 2, 3]), column(&[1, 2, 1, 5, 2, 3])]);
        let kinds =
            [Kind::Insert, Kind::Insert, Kind::UpdateBefore, Kind::UpdateAfter, Kind::Delete, Kind::Insert];
        let chunk =
            Chunk { kinds: Kinds::Changes(kinds.into()), ..Chunk::append(batch.unwrap(), Instant::now()) };
        let (rows, gone) = staging.last(&[chunk]).unwrap();
        assert_eq!(gone, [false, true, false]);
        let values = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(rows.column(1));
        assert_eq!(values.values(), &[5, 2, 3]);
    }
}
