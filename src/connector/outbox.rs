//! A writer that sends records in requests, several on their way at a time, and keeps the order of each key.
//!
//! ```text
//!  rows ── Packer ──> records ──┬─ lane 0 ─ [r r r] ──> request ──> service
//!                   by key      ├─ lane 1 ─ [r]      ──> ...          │ refused, throttled: again, with back-off,
//!                               └─ ...                                │ before the lane's next request
//! ```
//! Records with one key have one lane, and a lane has one request on its way: they arrive in their order whatever is
//! tried again. Records without keys share a lane with as many requests as there may be.
//!
//! A request takes what waits in its lane when it may leave: alone when the stream is idle, filled when requests are
//! on their way. With a linger it waits for more, but not beyond a barrier.
//!
//! A barrier waits until all that lies before it has arrived; rows go on meanwhile. So it is at-least-once: what came
//! after the last checkpoint is sent again by a job that comes back.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::row::{RowConverter, SortField};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinSet;

use super::{Writer, WriterContext};
use crate::catalog::Options;
use crate::catalog::options::{OptionDef, OptionKind};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::Chunk;
use crate::lookup::retry::Backoff;
use crate::lookup::{BoxFuture, Failure, FailureKind};

/// `sink.batch.max-size`
pub(super) const BATCH: &str = "sink.batch.max-size";
/// `sink.requests.max-inflight`
pub(super) const IN_FLIGHT: &str = "sink.requests.max-inflight";
/// `sink.requests.max-buffered`
pub(super) const BUFFERED: &str = "sink.requests.max-buffered";
/// `sink.flush-buffer.timeout`
pub(super) const LINGER: &str = "sink.flush-buffer.timeout";
/// `sink.flush-buffer.size`
pub(super) const SIZE: &str = "sink.flush-buffer.size";
/// `sink.max-retries`
pub(super) const RETRIES: &str = "sink.max-retries";
/// `sink.on-error`
pub(super) const ON_ERROR: &str = "sink.on-error";

/// What `sink.on-error` can be.
pub(super) const ON_ERRORS: OptionKind = OptionKind::Choice(&["fail", "drop"]);

/// Options that outboxes share; how many records a request takes is a matter of the connector.
const fn options() -> [OptionDef; COUNT] {
    [
        OptionDef::new(
            IN_FLIGHT,
            OptionKind::Integer,
            "16",
            "sink: requests of a task that may be on their way; records with one key have one",
        ),
        OptionDef::new(
            BUFFERED,
            OptionKind::Integer,
            "10000",
            "sink: records of a task that may wait or be on their way before it reads no more",
        ),
        OptionDef::new(
            LINGER,
            OptionKind::Duration,
            "0 ms",
            "sink: how long records may wait for a request to fill; 0: they leave as soon as a request may",
        ),
        OptionDef::new(SIZE, OptionKind::Size, "5 mb", "sink: bytes of records in a request"),
        OptionDef::new(
            RETRIES,
            OptionKind::Integer,
            "10",
            "sink: further attempts after a fault that may pass, with back-off; then the job fails",
        ),
        OptionDef::new(
            ON_ERROR,
            ON_ERRORS,
            "fail",
            "sink: what becomes of a row that the format cannot write or that is refused for its own sake: the job fails, or the row is dropped, counted and logged",
        ),
    ]
}

/// Options and others behind them.
pub(super) const fn chained<const N: usize>(own: &[OptionDef], more: &[OptionDef]) -> [OptionDef; N] {
    let mut all = [own[0]; N];
    let mut i = 0;
    while i < N {
        all[i] = if i < own.len() { own[i] } else { more[i - own.len()] };
        i += 1;
    }
    all
}

/// How many there are.
pub(super) const COUNT: usize = 6;

/// A connector's own options and these.
pub(super) const fn with_options<const N: usize>(own: &[OptionDef]) -> [OptionDef; N] {
    chained(own, &options())
}

/// Bounds of an outbox.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) batch: usize,
    pub(super) in_flight: usize,
    pub(super) buffered: usize,
    pub(super) linger: Duration,
    pub(super) bytes: usize,
    pub(super) retries: u32,
    pub(super) drops: bool,
}

impl Bounds {
    /// As the options say; `batch`: records of a request where they say nothing.
    pub(super) fn of(options: &Options, batch: usize) -> Result<Self> {
        let number = |key: &'static str, default: usize| -> Result<usize> {
            match options.integer(key)? {
                Some(0) => {
                    Err(Error::option(format!("option '{key}' must be at least 1")).at(options.span(key)))
                }
                Some(n) => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
                None => Ok(default),
            }
        };
        let bytes = options.size(SIZE)?.map_or(5 << 20, |n| usize::try_from(n).unwrap_or(usize::MAX));
        Ok(Self {
            batch: number(BATCH, batch)?,
            in_flight: number(IN_FLIGHT, 16)?.min(4096),
            buffered: number(BUFFERED, 10_000)?,
            linger: options.duration(LINGER)?.unwrap_or_default(),
            bytes: bytes.max(1),
            retries: u32::try_from(options.integer(RETRIES)?.unwrap_or(10)).unwrap_or(u32::MAX),
            drops: options.choice(ON_ERROR, &["fail", "drop"])? == Some("drop"),
        })
    }
}

/// What became of a request: the records that have not arrived, and why.
pub(super) type Sent<R> = Result<(), (Vec<R>, Failure)>;

/// Where records go.
pub(super) trait Post: Send + Sync + 'static {
    type Record: Send + 'static;

    /// The table's name.
    fn table(&self) -> &str;

    /// One attempt. What comes back has not arrived, or may not have.
    fn send(self: Arc<Self>, records: Vec<Self::Record>) -> BoxFuture<Sent<Self::Record>>;

    /// Whether a request that is refused may be so for one of its records: it is then sent by halves.
    fn splits(&self) -> bool {
        true
    }

    /// Whether a failure may be the fault of this record, so that it may be dropped. Faults of the service never are.
    fn blames(&self, failure: &Failure, _record: &Self::Record) -> bool {
        is_of_record(failure.kind)
    }

    /// A record for people.
    fn describe(&self, record: &Self::Record) -> String;
}

/// A record with its key's number and its bytes.
pub(super) struct Packed<R> {
    pub(super) record: R,
    /// Records with one number keep their order.
    pub(super) key: Option<u64>,
    pub(super) bytes: usize,
}

/// Makes records of rows, on the compute thread.
pub(super) trait Packer: Send {
    type Record;

    /// All of them or none: where one of several rows cannot be packed they are packed again by halves.
    fn pack(&mut self, chunk: &Chunk) -> Result<Vec<Packed<Self::Record>>>;
}

/// Numbers of keys: equal for equal keys, for as long as it lives.
pub(super) struct KeyNumbers {
    columns: Vec<usize>,
    converter: RowConverter,
    hasher: foldhash::fast::FixedState,
}

impl KeyNumbers {
    /// By these columns of the rows; `None` without columns.
    pub(super) fn new(schema: &arrow::datatypes::Schema, columns: &[usize]) -> Result<Option<Self>> {
        if columns.is_empty() {
            return Ok(None);
        }
        let fields = columns.iter().map(|i| SortField::new(schema.field(*i).data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let hasher = foldhash::fast::FixedState::with_seed(0x5eed);
        Ok(Some(Self { columns: columns.to_vec(), converter, hasher }))
    }

    pub(super) fn of(&self, batch: &RecordBatch) -> Result<Vec<u64>> {
        use std::hash::BuildHasher;
        let columns: Vec<ArrayRef> = self.columns.iter().map(|i| batch.column(*i).clone()).collect();
        let rows = self.converter.convert_columns(&columns)?;
        Ok(rows.iter().map(|row| self.hasher.hash_one(row.data())).collect())
    }
}

struct Waiting<R> {
    record: R,
    bytes: usize,
    /// Before or behind the barrier that passes.
    turn: usize,
}

struct Lane<R> {
    waiting: VecDeque<Waiting<R>>,
    flights: usize,
    /// Records by turn.
    by_turn: [usize; 2],
}

/// A request that has ended.
struct Arrived {
    lane: usize,
    records: [usize; 2],
    bytes: usize,
    result: Result<()>,
}

/// Writes to a [`Post`].
pub(super) struct Outbox<P: Post, K: Packer<Record = P::Record>> {
    post: Arc<P>,
    packer: K,
    bounds: Bounds,
    context: WriterContext,
    lanes: Vec<Lane<P::Record>>,
    /// Requests of a lane.
    a_lane: usize,
    /// The lane that is looked at first.
    first: usize,
    flights: usize,
    turn: usize,
    /// Records that have not arrived, by turn.
    outstanding: [usize; 2],
    bytes: usize,
    barrier: Option<u64>,
    /// When the oldest record began to wait.
    since: Option<Instant>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    /// Requests end with their writer: one of a job that has failed must not come after those of the next.
    requests: JoinSet<()>,
    dropped: Arc<AtomicU64>,
    backoff: Backoff,
    ending: bool,
}

impl<P: Post, K: Packer<Record = P::Record>> Outbox<P, K> {
    /// `keyed`: records have keys.
    pub(super) fn new(post: Arc<P>, packer: K, keyed: bool, bounds: Bounds, context: WriterContext) -> Self {
        let (lanes, a_lane) = if keyed { (bounds.in_flight, 1) } else { (1, bounds.in_flight) };
        let lane = || Lane { waiting: VecDeque::new(), flights: 0, by_turn: [0; 2] };
        Self {
            post,
            packer,
            context,
            lanes: std::iter::repeat_with(lane).take(lanes).collect(),
            a_lane,
            first: 0,
            flights: 0,
            turn: 0,
            outstanding: [0; 2],
            bytes: 0,
            barrier: None,
            since: None,
            arrived: Arc::default(),
            requests: JoinSet::new(),
            dropped: Arc::default(),
            backoff: Backoff::default(),
            ending: false,
            bounds,
        }
    }

    /// Takes in what has ended.
    fn settle(&mut self) -> Result<()> {
        while self.requests.try_join_next().is_some() {}
        let arrived = std::mem::take(&mut *self.arrived.lock());
        for Arrived { lane, records, bytes, result } in arrived {
            self.flights -= 1;
            self.bytes -= bytes;
            if let Some(lane) = self.lanes.get_mut(lane) {
                lane.flights -= 1;
            }
            for (outstanding, ended) in self.outstanding.iter_mut().zip(records) {
                *outstanding -= ended;
            }
            result?;
        }
        Ok(())
    }

    /// Sends what may leave. `all`: also requests that are not full.
    fn advance(&mut self, all: bool) -> Result<()> {
        self.settle()?;
        let all = all || self.ending || self.records() >= self.bounds.buffered;
        let before = self.barrier.map(|_| self.turn ^ 1);
        let (count, first) = (self.lanes.len(), self.first);
        for at in (0..count).map(|i| (first + i) % count) {
            loop {
                if self.flights >= self.bounds.in_flight {
                    self.first = at;
                    return Ok(());
                }
                let Some(lane) = self.lanes.get(at) else { break };
                let is_full = lane.waiting.len() >= self.bounds.batch;
                let holds_up = before.is_some_and(|turn| lane.by_turn[turn] > 0);
                let may = lane.flights < self.a_lane && !lane.waiting.is_empty();
                if !may || !(all || is_full || holds_up) {
                    break;
                }
                self.begin(at);
            }
        }
        if self.lanes.iter().all(|lane| lane.waiting.is_empty()) {
            self.since = None;
        }
        Ok(())
    }

    /// A request of what waits in a lane.
    fn begin(&mut self, at: usize) {
        let Some(lane) = self.lanes.get_mut(at) else { return };
        let (mut records, mut counts, mut bytes) = (Vec::new(), [0; 2], 0);
        while records.len() < self.bounds.batch
            && let Some(next) = lane.waiting.front()
            && (records.is_empty() || bytes + next.bytes <= self.bounds.bytes)
            && let Some(next) = lane.waiting.pop_front()
        {
            bytes += next.bytes;
            counts[next.turn] += 1;
            lane.by_turn[next.turn] -= 1;
            records.push(next.record);
        }
        lane.flights += 1;
        self.flights += 1;
        let (post, backoff, bounds) = (self.post.clone(), self.backoff.clone(), self.bounds.clone());
        let (arrived, dropped) = (self.arrived.clone(), self.dropped.clone());
        // However it ends, be it by a panic: the writer does not wait for ever.
        let ending = Ending {
            arrived,
            waker: self.context.waker.clone(),
            what: Some(Arrived {
                lane: at,
                records: counts,
                bytes,
                result: Err(Error::internal(format!(
                    "table '{}': a request ended unexpectedly",
                    post.table()
                ))),
            }),
        };
        let request = async move {
            let mut ending = ending;
            let result = deliver(&post, records, &backoff, &bounds, &dropped).await;
            if let Some(what) = &mut ending.what {
                what.result = result;
            }
        };
        self.requests.spawn_on(request, &self.context.runtime);
    }

    fn records(&self) -> usize {
        self.outstanding[0] + self.outstanding[1]
    }

    /// Packs rows. One that cannot be is refused for its own sake, as the service would.
    fn pack(&mut self, chunk: &Chunk, packed: &mut Vec<Packed<P::Record>>) -> Result<()> {
        let e = match self.packer.pack(chunk) {
            Ok(records) => {
                packed.extend(records);
                return Ok(());
            }
            Err(e) => e,
        };
        let of_row = matches!(e.kind(), ErrorKind::Decode | ErrorKind::Execution);
        if !of_row || !self.bounds.drops {
            let hint = format!("'{ON_ERROR}' = 'drop' leaves out such a row, and counts it");
            let e = if of_row && e.hint().is_none() { e.with_hint(hint) } else { e };
            return Err(e.context(format!("table '{}'", self.post.table())));
        }
        if chunk.len() > 1 {
            let half = chunk.len() / 2;
            self.pack(&chunk.slice(0, half), packed)?;
            return self.pack(&chunk.slice(half, chunk.len() - half), packed);
        }
        let table = self.post.table();
        match self.dropped.fetch_add(1, Ordering::Relaxed) {
            0 => log::warn!("table '{table}': a row is dropped ('{ON_ERROR}' = 'drop'): {e}"),
            _ => log::debug!("table '{table}': a row is dropped: {e}"),
        }
        Ok(())
    }
}

struct Ending {
    arrived: Arc<Mutex<Vec<Arrived>>>,
    waker: crate::flow::Waker,
    what: Option<Arrived>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.arrived.lock().extend(self.what.take());
        self.waker.wake();
    }
}

/// Whether a failure may be the fault of a record: what is not named here is the service's, and drops nothing.
pub(super) fn is_of_record(kind: FailureKind) -> bool {
    use FailureKind::{Key, Status, TooLarge};
    matches!(kind, Key | TooLarge | Status(400 | 409 | 413 | 414 | 422))
}

/// Sends records until they have arrived, or are refused.
async fn deliver<P: Post>(
    post: &Arc<P>,
    records: Vec<P::Record>,
    backoff: &Backoff,
    bounds: &Bounds,
    dropped: &AtomicU64,
) -> Result<()> {
    // What is left, the first in front.
    let mut parts = vec![records];
    let mut failed = 0;
    while let Some(records) = parts.pop() {
        let count = records.len();
        let Err((mut left, failure)) = post.clone().send(records).await else {
            failed = 0;
            continue;
        };
        if failure.retryable {
            // Where some have arrived the service is there: it is asked again soon.
            failed = if left.len() < count { 1 } else { failed + 1 };
            if failed > bounds.retries {
                let error = Error::io(format!("table '{}': {}", post.table(), failure.message));
                return Err(error.with_detail(format!("tried {failed} times ('{RETRIES}')")));
            }
            log::debug!("table '{}': {}; it is sent again", post.table(), failure.message);
            parts.push(left);
            tokio::time::sleep(backoff.delay(failed, failure.retry_after)).await;
            continue;
        }
        let of_record = left.first().is_some_and(|record| post.blames(&failure, record));
        if left.len() > 1 && post.splits() && of_record {
            let behind = left.split_off(left.len() / 2);
            parts.push(behind);
            parts.push(left);
            continue;
        }
        let what = left.first().map_or_else(String::new, |record| post.describe(record));
        if !bounds.drops || !of_record {
            let error = Error::io(format!("table '{}': {}", post.table(), failure.message));
            let error =
                if what.is_empty() { error } else { error.with_detail(format!("the record: {what}")) };
            return Err(match of_record {
                true => error
                    .with_hint(format!("'{ON_ERROR}' = 'drop' leaves out what is refused, and counts it")),
                false => error,
            }
            .lasting());
        }
        let before = dropped.fetch_add(left.len() as u64, Ordering::Relaxed);
        if before == 0 {
            log::warn!(
                "table '{}': a record is refused and dropped ('{ON_ERROR}' = 'drop'): {}; the record: {what}",
                post.table(),
                failure.message
            );
        } else {
            log::debug!("table '{}': dropped: {}; the record: {what}", post.table(), failure.message);
        }
    }
    Ok(())
}

impl<P: Post, K: Packer<Record = P::Record>> Drop for Outbox<P, K> {
    fn drop(&mut self) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 1 {
            log::warn!("table '{}': {dropped} rows were refused and dropped", self.post.table());
        }
    }
}

impl<P: Post, K: Packer<Record = P::Record>> Writer for Outbox<P, K> {
    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        let mut packed = Vec::with_capacity(chunk.len());
        self.pack(chunk, &mut packed)?;
        let (turn, lanes) = (self.turn, self.lanes.len() as u64);
        for Packed { record, key, bytes } in packed {
            // The high bits: low ones may have been used to deal rows to tasks.
            let lane = key.map_or(0, |key| ((u128::from(key) * u128::from(lanes)) >> 64) as usize);
            if let Some(lane) = self.lanes.get_mut(lane) {
                lane.waiting.push_back(Waiting { record, bytes, turn });
                lane.by_turn[turn] += 1;
                self.outstanding[turn] += 1;
                self.bytes += bytes;
            }
        }
        if self.since.is_none() {
            self.since = Some(Instant::now());
        }
        self.advance(false)
    }

    fn room(&self) -> bool {
        // Requests that have ended wake the task, which settles them before it asks.
        self.records() < self.bounds.buffered
            && self.bytes < self.bounds.bytes.saturating_mul(16).max(16 << 20)
    }

    fn wake(&mut self) -> Result<()> {
        // What gathered while requests were on their way goes with the next.
        self.advance(self.bounds.linger.is_zero())
    }

    fn deadline(&self) -> Option<Instant> {
        if self.bounds.linger.is_zero() {
            return None;
        }
        // While no request may leave, the end of one wakes the task.
        let may = self.flights < self.bounds.in_flight
            && self.lanes.iter().any(|lane| lane.flights < self.a_lane && !lane.waiting.is_empty());
        self.since?.checked_add(self.bounds.linger).filter(|_| may)
    }

    fn timer(&mut self, now: Instant) -> Result<()> {
        let is_due =
            self.since.and_then(|since| since.checked_add(self.bounds.linger)).is_some_and(|due| due <= now);
        self.advance(is_due)
    }

    fn flush(&mut self) -> Result<()> {
        self.advance(self.bounds.linger.is_zero())
    }

    fn pre_commit(&mut self, epoch: u64, _last: bool) -> Result<Poll<Vec<Value>>> {
        self.settle()?;
        if self.barrier != Some(epoch) {
            self.barrier = Some(epoch);
            self.turn ^= 1;
        }
        self.advance(false)?;
        if self.outstanding[self.turn ^ 1] > 0 {
            return Ok(Poll::Pending);
        }
        self.barrier = None;
        Ok(Poll::Ready(Vec::new()))
    }

    fn finish(&mut self) -> Result<Poll<()>> {
        self.ending = true;
        self.advance(true)?;
        Ok(if self.records() == 0 { Poll::Ready(()) } else { Poll::Pending })
    }
}
