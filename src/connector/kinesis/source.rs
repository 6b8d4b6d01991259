//! Polling shards: a task of the runtime for each shard, one reader for all.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::aggregated;
use super::shards::{At, Listed, Shards};
use super::{METADATA, Scan};
use crate::clock::Clock;
use crate::connector::inbox::{Guard, Inbox, InboxReader, Tracker, WAITING_BYTES};
use crate::connector::messages::{Layout, Message, Value};
use crate::connector::{Positions, Reader, ReaderContext, ScanRequest, Source, SourceChangelog};
use crate::error::{Error, Result};
use crate::flow::{OpenSplits, Splits, StageMetrics};
use crate::lookup::Failure;
use crate::lookup::aws_json::{Api, Refused};
use crate::lookup::retry::Backoff;

/// A shard takes five requests a second.
const PACE: Duration = Duration::from_millis(205);
/// What a shard's first answer is expected to have; the next is expected to be as large as the last.
const ANSWER: u32 = 2 << 20;
/// No answer is expected to be smaller.
const SMALL: u32 = 64 << 10;
const RETENTION: &str = "the stream keeps records for a time";
const SKIP: &str =
    "'scan.on-missing' = 'skip' goes on without them; a longer retention of the stream keeps them longer";

/// A planned scan.
pub(super) struct KinesisSource {
    scan: Scan,
    api: Arc<Api>,
    layout: Layout,
    batch_rows: usize,
    restored: Mutex<Positions>,
}

impl KinesisSource {
    pub(super) fn new(request: &ScanRequest) -> Result<Self> {
        let scan = Scan::of(&request.table)?;
        Ok(Self {
            api: Arc::new(super::api(&request.table.options, &scan.stream)?),
            layout: Layout::new(request, METADATA)?,
            batch_rows: request.batch_rows,
            restored: Mutex::default(),
            scan,
        })
    }
}

impl Source for KinesisSource {
    fn bounded(&self) -> bool {
        false
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let inbox = Inbox::new(context.waker.clone());
        let shared = Arc::new(Shared {
            scan: self.scan.clone(),
            api: self.api.clone(),
            inbox: inbox.clone(),
            shards: Mutex::new(Shards::restored(&self.restored.lock())?),
            begun: Mutex::default(),
            look: Notify::new(),
            room: Semaphore::new(WAITING_BYTES),
            clock: context.clock.clone(),
            metrics: context.metrics.clone(),
        });
        let tracker =
            KinesisTracker { shared: shared.clone(), splits: OpenSplits::default(), open: HashSet::new() };
        let reader = InboxReader::new(inbox, &self.layout, tracker, self.batch_rows)?;
        Ok(Box::new(reader.receiving(&context, control(shared))))
    }

    fn changelog(&self) -> SourceChangelog {
        self.layout.changelog()
    }

    fn describe(&self) -> String {
        let Scan { stream, .. } = &self.scan;
        format!("stream={}, region={}, format={}", stream.name, stream.region, self.layout.format_name())
    }

    fn replays(&self) -> bool {
        true
    }

    fn restore(&self, positions: &Positions, _runtime: &Handle) -> Result<()> {
        Shards::restored(positions)?;
        positions.clone_into(&mut self.restored.lock());
        Ok(())
    }
}

/// What the tasks of a scan share.
struct Shared {
    scan: Scan,
    api: Arc<Api>,
    inbox: Arc<Inbox<Arrived>>,
    shards: Mutex<Shards>,
    /// Shards that are read from now on: event time waits for them.
    begun: Mutex<Vec<Arc<str>>>,
    /// A shard has ended: others may begin.
    look: Notify,
    /// Bytes of answers that may be on their way, of all shards.
    room: Semaphore,
    clock: Arc<dyn Clock>,
    metrics: Arc<StageMetrics>,
}

/// A record of a shard.
pub(super) struct Arrived {
    shard: Arc<str>,
    split: u64,
    sequence: Arc<str>,
    /// Its number among those that were put together.
    part: Option<u64>,
    data: Bytes,
    key: String,
    timestamp: i64,
}

impl Message for Arrived {
    fn value(&self) -> Option<&[u8]> {
        Some(&self.data)
    }

    fn metadata(&self, key: usize) -> Value<'_> {
        match key {
            0 => Value::Moment(self.timestamp),
            1 => Value::Text(&self.sequence),
            2 => Value::Text(&self.shard),
            3 => Value::Text(&self.key),
            _ => Value::None,
        }
    }

    fn place(&self) -> String {
        let part = self.part.map(|n| format!(", record {} in it", n + 1)).unwrap_or_default();
        format!("shard '{}', sequence number {}{part}", self.shard, self.sequence)
    }

    fn position(&self) -> String {
        match self.part {
            Some(part) => format!("{}@{}.{part}", self.shard, self.sequence),
            None => format!("{}@{}", self.shard, self.sequence),
        }
    }
}

/// A number that tells a shard from others, the same in every run.
fn id_of(shard: &str) -> u64 {
    // FNV-1a.
    shard.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

struct KinesisTracker {
    shared: Arc<Shared>,
    splits: OpenSplits,
    /// Shards that have begun and not ended.
    open: HashSet<Arc<str>>,
}

impl Tracker<Arrived> for KinesisTracker {
    fn passed(&mut self, messages: Vec<Arrived>, rows: &[u32]) {
        for row in rows {
            let Some(message) = messages.get(*row as usize) else { continue };
            match self.splits.rows.last_mut() {
                Some((split, count)) if *split == message.split => *count += 1,
                _ => self.splits.rows.push((message.split, 1)),
            }
        }
        let mut shards = self.shared.shards.lock();
        let mut from = 0;
        while let Some(first) = messages.get(from) {
            let run = messages[from..].iter().take_while(|m| m.split == first.split).count();
            if let Some(last) = messages.get(from + run - 1) {
                shards.passed(&last.shard, run as u64, At::Behind(last.sequence.to_string(), last.part));
            }
            from += run;
        }
    }

    fn ready(&self) -> bool {
        self.shared.shards.lock().is_found()
    }

    fn cut(&mut self, _epoch: u64) -> Positions {
        self.shared.shards.lock().told()
    }

    fn splits(&mut self) -> Splits {
        for shard in self.shared.begun.lock().drain(..) {
            self.splits.begun.push(id_of(&shard));
            self.open.insert(shard);
        }
        let shards = self.shared.shards.lock();
        let ended: Vec<Arc<str>> = self.open.iter().filter(|s| shards.is_through(s)).cloned().collect();
        for shard in ended {
            self.open.remove(&shard);
            self.splits.ended.push(id_of(&shard));
        }
        self.splits.pending = !shards.is_found();
        drop(shards);
        Splits::Many(std::mem::take(&mut self.splits))
    }
}

/// Finds shards and begins to read them.
async fn control(shared: Arc<Shared>) {
    let _guard = Guard(shared.inbox.clone());
    let Scan { table, stream, start, discovery, skips_ended, skips_missing, .. } = &shared.scan;
    let mut reading = JoinSet::new();
    let mut trouble = Trouble::new(&shared.scan, shared.api.shown());
    loop {
        match shards(&shared.scan, &shared.api).await {
            Ok(listed) => {
                trouble.over();
                let now = shared.clock.now_millis();
                let begun = {
                    let mut shards = shared.shards.lock();
                    while let Err(gone) = shards.list(&listed, *start, *skips_ended, now) {
                        let what = format!(
                            "table '{table}': shard '{gone}' of stream '{}' is not there any more, and it was not read to its end",
                            stream.name
                        );
                        if !skips_missing {
                            return shared
                                .inbox
                                .fail(Error::io(what).with_detail(RETENTION).with_hint(SKIP).lasting());
                        }
                        log::warn!("{what}: {RETENTION}; it goes on without it ('scan.on-missing' = 'skip')");
                        shards.give_up(&gone);
                    }
                    let begun = shards.begin();
                    shared.begun.lock().extend(begun.iter().map(|(id, _)| Arc::from(id.as_str())));
                    begun
                };
                for (shard, at) in begun {
                    reading.spawn(read(shared.clone(), shard, at));
                }
                // A barrier may have waited for them to be known.
                shared.inbox.offer([]);
            }
            Err(refused) if refused.failure.retryable => {
                trouble.wait(&refused.failure).await;
                continue;
            }
            Err(refused) => return shared.inbox.fail(lasting(&shared.scan, &refused)),
        }
        while let Some(ended) = reading.try_join_next() {
            if let Ok(Err(refused)) = ended {
                return shared.inbox.fail(lasting(&shared.scan, &refused));
            }
        }
        let _ = timeout(*discovery, shared.look.notified()).await;
    }
}

/// Whether the stream is there, for people.
pub(super) async fn look(scan: &Scan, api: &Api) -> Result<Vec<String>> {
    let listed = shards(scan, api).await.map_err(|refused| lasting(scan, &refused))?;
    let open = listed.iter().filter(|shard| !shard.closed).count();
    let (table, name) = (&scan.table, &scan.stream.name);
    Ok(vec![format!("table '{table}': stream '{name}' at {}: {open} open shards", api.shown())])
}

fn lasting(scan: &Scan, refused: &Refused) -> Error {
    let Scan { table, stream, .. } = scan;
    let what = format!("table '{table}': reading stream '{}': {}", stream.name, refused.failure.message);
    let error = Error::io(what).lasting();
    match refused.code.as_str() {
        "ResourceNotFoundException" => {
            error.with_hint(format!("is there a stream '{}' in region {}?", stream.name, stream.region))
        }
        "AccessDeniedException" | "AccessDenied" => error
            .with_hint("the role needs kinesis:ListShards, kinesis:GetShardIterator and kinesis:GetRecords"),
        _ => error,
    }
}

/// All shards of the stream.
async fn shards(scan: &Scan, api: &Api) -> Result<Vec<Listed>, Refused> {
    let stream = &scan.stream;
    let mut all = Vec::new();
    let mut request = stream.put_into(json!({"MaxResults": 1000}));
    loop {
        let answer = api.call("ListShards", &request).await?;
        let listed = answer.get("Shards").and_then(Json::as_array);
        all.extend(listed.into_iter().flatten().filter_map(Listed::of));
        match answer.get("NextToken").and_then(Json::as_str) {
            Some(token) if !token.is_empty() => request = json!({"NextToken": token}),
            _ => return Ok(all),
        }
    }
}

/// Faults that pass: told now and then, with a pause that grows.
struct Trouble {
    what: String,
    failed: u32,
    backoff: Backoff,
}

impl Trouble {
    fn new(scan: &Scan, endpoint: &str) -> Self {
        let what = format!("table '{}': stream '{}' at {endpoint}", scan.table, scan.stream.name);
        Self { what, failed: 0, backoff: Backoff::default() }
    }

    fn over(&mut self) {
        self.failed = 0;
    }

    async fn wait(&mut self, failure: &Failure) {
        self.failed += 1;
        if self.failed == 3 || self.failed.is_multiple_of(50) {
            log::warn!("{}: {}; it is tried again", self.what, failure.message);
        } else {
            log::debug!("{}: {}; it is tried again", self.what, failure.message);
        }
        sleep(self.backoff.delay(self.failed, failure.retry_after)).await;
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetRecords<'a> {
    #[serde(borrow, default)]
    records: Vec<Record<'a>>,
    next_shard_iterator: Option<String>,
    millis_behind_latest: Option<u64>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    #[serde(borrow)]
    data: std::borrow::Cow<'a, str>,
    sequence_number: String,
    partition_key: String,
    approximate_arrival_timestamp: Option<f64>,
}

/// Reads a shard to its end.
async fn read(shared: Arc<Shared>, shard: String, mut at: At) -> Result<(), Refused> {
    let Scan { stream, records: limit, empty, .. } = &shared.scan;
    let name: Arc<str> = shard.as_str().into();
    let split = id_of(&shard);
    let mut trouble = Trouble::new(&shared.scan, shared.api.shown());
    // An iterator lives for five minutes; `at` is what it was made of.
    let mut iterator: Option<String> = None;
    let mut first = true;
    let mut expected = ANSWER;
    loop {
        let current = match iterator.take() {
            Some(iterator) => iterator,
            None => {
                let mut request = stream.put_into(at.iterator());
                if let Some(request) = request.as_object_mut() {
                    request.insert("ShardId".into(), json!(shard));
                }
                // The end of the shard is asked for once: later it is behind what arrived meanwhile.
                if let At::Latest(begun) = at {
                    at = At::Moment(begun);
                }
                match shared.api.call("GetShardIterator", &request).await {
                    Ok(answer) => match answer.get("ShardIterator").and_then(Json::as_str) {
                        Some(iterator) => iterator.to_string(),
                        None => {
                            shared.shards.lock().received_all(&shard);
                            shared.look.notify_one();
                            return Ok(());
                        }
                    },
                    Err(refused) if refused.failure.retryable => {
                        trouble.wait(&refused.failure).await;
                        continue;
                    }
                    Err(refused) => return Err(stop(&shared, refused)),
                }
            }
        };
        // Held until the records are handed over, for the compute thread may be slower than all shards together.
        let Ok(place) = shared.room.acquire_many(expected.min(WAITING_BYTES as u32)).await else {
            return Ok(());
        };
        let began = Instant::now();
        let body = json!({"ShardIterator": current, "Limit": limit}).to_string();
        let answer = match shared.api.post("GetRecords", Bytes::from(body)).await {
            Ok(answer) => answer,
            Err(refused) if refused.code == "ExpiredIteratorException" => continue,
            Err(refused) if refused.failure.retryable => {
                iterator = Some(current);
                trouble.wait(&refused.failure).await;
                continue;
            }
            Err(refused) => return Err(stop(&shared, refused)),
        };
        let read: GetRecords<'_> = match serde_json::from_slice(&answer) {
            Ok(read) => read,
            Err(e) => return Err(stop(&shared, shared.api.undecoded("GetRecords", &e))),
        };
        trouble.over();
        expected = u32::try_from(answer.len()).unwrap_or(u32::MAX).max(SMALL);
        let mut arrived = Vec::with_capacity(read.records.len());
        for record in &read.records {
            let Ok(data) = STANDARD.decode(record.data.as_bytes()) else {
                let what = format!(
                    "shard '{shard}', sequence number {}: the data is not base64",
                    record.sequence_number
                );
                return Err(stop(&shared, Failure::other(what)));
            };
            let data = Bytes::from(data);
            let timestamp =
                record.approximate_arrival_timestamp.map_or(0, |seconds| (seconds * 1000.0) as i64);
            let sequence: Arc<str> = record.sequence_number.as_str().into();
            let one = |part: Option<u64>, data: Bytes, key: String| Arrived {
                shard: name.clone(),
                split,
                sequence: sequence.clone(),
                part,
                data,
                key,
                timestamp,
            };
            match aggregated::parts(&data) {
                None => arrived.push(one(None, data, record.partition_key.clone())),
                Some(parts) => {
                    // Those that were rows before.
                    let known = match &at {
                        At::Behind(of, Some(part)) if first && **of == *record.sequence_number => *part + 1,
                        _ => 0,
                    };
                    let count = parts.len() as u64;
                    for (number, part) in (0..).zip(parts).filter(|(number, _)| *number >= known) {
                        // Behind the last one is behind the record.
                        let number = (number + 1 < count).then_some(number);
                        arrived.push(one(number, part.data, part.key));
                    }
                }
            }
        }
        if let Some(last) = read.records.last() {
            at = At::Behind(last.sequence_number.clone(), None);
            first = false;
        }
        let count = arrived.len() as u64;
        if count > 0 {
            shared.shards.lock().received(&shard, count);
            shared.inbox.put(arrived).await;
        }
        drop(place);
        if let Some(behind) = read.millis_behind_latest {
            shared.metrics.note_behind(&shard, behind);
        }
        let Some(next) = read.next_shard_iterator.filter(|next| !next.is_empty()) else {
            shared.shards.lock().received_all(&shard);
            // The reader tells that the shard has ended; its children may begin.
            shared.inbox.offer([]);
            shared.look.notify_one();
            return Ok(());
        };
        iterator = Some(next);
        let caught_up = count == 0 && read.millis_behind_latest.unwrap_or(0) == 0;
        sleep_until(began + if caught_up { (*empty).max(PACE) } else { PACE }).await;
    }
}

/// The scan does not go on: control sees to it.
fn stop(shared: &Shared, refused: impl Into<Refused>) -> Refused {
    shared.look.notify_one();
    refused.into()
}
