//! Reading a stream from an id on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use redis::{Value as Reply, cmd};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::{Id, METADATA, Settings, Start};
use crate::connector::inbox::{Guard, Inbox, InboxReader, Tracker};
use crate::connector::messages::{Layout, Message, Value};
use crate::connector::{Positions, Reader, ReaderContext, ScanRequest, Source, SourceChangelog};
use crate::error::{Error, Result};
use crate::lookup::redis::{Connection, address, failure};
use crate::lookup::retry::Backoff;

/// The name of the only position.
const SPLIT: &str = "stream";
/// The place of `fields` in the metadata.
const FIELDS: usize = 2;

/// A planned scan.
pub(super) struct StreamSource {
    settings: Settings,
    layout: Layout,
    batch_rows: usize,
    options: crate::catalog::Options,
    restored: Mutex<Option<Place>>,
}

/// How far the scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The last entry that became a row, or the one before the first.
    behind: Id,
    /// The last entry that is read.
    end: Option<Id>,
}

impl StreamSource {
    pub(super) fn new(request: &ScanRequest) -> Result<Self> {
        Ok(Self {
            settings: Settings::of(&request.table)?,
            layout: Layout::new(request, METADATA)?,
            batch_rows: request.batch_rows,
            options: request.table.options.clone(),
            restored: Mutex::default(),
        })
    }
}

impl Source for StreamSource {
    fn bounded(&self) -> bool {
        self.settings.bounded
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let inbox = Inbox::new(context.waker.clone());
        let place = Arc::new(Mutex::new(None));
        let scan = Scan {
            settings: self.settings.clone(),
            // One of its own: a request that waits for entries would keep others waiting.
            connection: Connection::new(address(&self.options)?),
            restored: *self.restored.lock(),
            place: place.clone(),
            shows_fields: self.layout.has_metadata(FIELDS),
        };
        let receiving = scan.receive(inbox.clone());
        let reader =
            InboxReader::new(inbox, &self.layout, StreamTracker { place, told: None }, self.batch_rows)?;
        Ok(Box::new(reader.receiving(&context, receiving)))
    }

    fn changelog(&self) -> SourceChangelog {
        self.layout.changelog()
    }

    fn describe(&self) -> String {
        let Settings { stream, shown, bounded, .. } = &self.settings;
        let end = if *bounded { ", bounded" } else { "" };
        format!("stream={stream}, uri={shown}, format={}{end}", self.layout.format_name())
    }

    fn replays(&self) -> bool {
        true
    }

    fn restore(&self, positions: &Positions, _runtime: &Handle) -> Result<()> {
        let parsed = positions.get(SPLIT).map(|position| {
            let id = |name: &str| position.get(name).and_then(serde_json::Value::as_str).and_then(Id::parse);
            let behind = id("behind").ok_or_else(|| {
                let stream = &self.settings.stream;
                Error::internal(format!("a checkpoint has no id for stream '{stream}': {position}"))
            })?;
            Ok::<_, Error>(Place { behind, end: id("end") })
        });
        *self.restored.lock() = parsed.transpose()?;
        Ok(())
    }
}

struct StreamTracker {
    place: Arc<Mutex<Option<Place>>>,
    told: Option<Place>,
}

impl Tracker<Arrived> for StreamTracker {
    fn passed(&mut self, messages: Vec<Arrived>, _rows: &[u32]) {
        if let (Some(last), Some(place)) = (messages.last(), &mut *self.place.lock()) {
            place.behind = last.id;
        }
    }

    fn ready(&self) -> bool {
        self.place.lock().is_some()
    }

    fn cut(&mut self, _epoch: u64) -> Positions {
        let place = *self.place.lock();
        let (Some(now), true) = (place, self.told != place) else { return Positions::new() };
        self.told = place;
        let behind = now.behind.to_string();
        let position = match now.end {
            Some(end) => json!({"behind": behind, "end": end.to_string()}),
            None => json!({"behind": behind}),
        };
        Positions::from([(SPLIT.to_string(), position)])
    }
}

/// An entry.
pub(super) struct Arrived {
    stream: Arc<str>,
    /// The name of the field with the record.
    field: Arc<str>,
    id: Id,
    text: String,
    value: Option<Vec<u8>>,
    fields: Vec<(String, String)>,
    /// Why it is no row.
    wrong: Option<String>,
}

impl Message for Arrived {
    fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    fn lacks(&self) -> Option<String> {
        if self.wrong.is_some() {
            return self.wrong.clone();
        }
        let names: Vec<&str> = self.fields.iter().map(|(name, _)| name.as_str()).take(8).collect();
        self.value.is_none().then(|| {
            format!("the entry has no field '{}' ('redis.field'), it has: {}", self.field, names.join(", "))
        })
    }

    fn metadata(&self, key: usize) -> Value<'_> {
        match key {
            0 => Value::Text(&self.text),
            1 => i64::try_from(self.id.0).map_or(Value::None, Value::Moment),
            FIELDS => Value::Map(&self.fields),
            _ => Value::None,
        }
    }

    fn place(&self) -> String {
        format!("stream '{}', entry {}", self.stream, self.text)
    }

    fn position(&self) -> String {
        format!("{}@{}", self.stream, self.text)
    }
}

struct Scan {
    settings: Settings,
    connection: Connection,
    restored: Option<Place>,
    place: Arc<Mutex<Option<Place>>>,
    /// The names of other fields are wanted.
    shows_fields: bool,
}

/// Why a scan does not go on as it is.
enum Halt {
    /// It may pass.
    Broken(String),
    Failed(Error),
    Ended,
}

impl Scan {
    async fn receive(self, inbox: Arc<Inbox<Arrived>>) {
        let guard = Guard(inbox);
        let (inbox, backoff) = (&guard.0, Backoff::default());
        let Settings { table, stream, .. } = &self.settings;
        let (mut failed, mut behind) = (0, None);
        loop {
            match self.run(inbox, &mut behind, &mut failed).await {
                Halt::Ended => return inbox.end(),
                Halt::Failed(e) => return inbox.fail(e.context(format!("table '{table}'"))),
                Halt::Broken(what) => {
                    failed += 1;
                    if failed == 1 || failed.is_multiple_of(20) {
                        log::warn!("table '{table}': reading stream '{stream}': {what}; it is tried again");
                    }
                    sleep(backoff.delay(failed, None)).await;
                }
            }
        }
    }

    async fn ask(&self, command: &redis::Cmd) -> Result<Reply, Halt> {
        let said = self.connection.one(command).await.and_then(Reply::extract_error);
        said.map_err(|e| {
            let problem = failure(self.connection.shown(), &e);
            if problem.retryable {
                return Halt::Broken(problem.message);
            }
            let error = Error::io(format!("reading stream '{}': {}", self.settings.stream, problem.message))
                .lasting();
            Halt::Failed(match e.to_string().contains("WRONGTYPE") {
                true => error.with_hint("under this key is something else than a stream"),
                false => error,
            })
        })
    }

    /// An answer that cannot be read, and is not shown: it may hold whole records.
    fn odd(&self, command: &str) -> Halt {
        let Settings { stream, shown, .. } = &self.settings;
        let what = format!("stream '{stream}' at {shown}: the answer to {command} is not what it should be");
        Halt::Failed(Error::io(what).lasting())
    }

    /// The first entry and the last id of the stream; `None`: there is none.
    async fn bounds(&self) -> Result<Option<(Option<Id>, Id)>, Halt> {
        let stream = &self.settings.stream;
        // XINFO refuses a key that is not there.
        let kind = self.ask(cmd("TYPE").arg(stream)).await?;
        if matches!(&kind, Reply::SimpleString(s) if s == "none") {
            return Ok(None);
        }
        let info = self.ask(cmd("XINFO").arg("STREAM").arg(stream)).await?;
        let info: HashMap<String, Reply> = redis::from_redis_value(info).map_err(|_| self.odd("XINFO"))?;
        let text = |reply: &Reply| redis::from_redis_value::<String>(reply.clone()).ok();
        let first = match info.get("first-entry") {
            Some(Reply::Array(entry)) => entry.first().and_then(text).and_then(|id| Id::parse(&id)),
            _ => None,
        };
        let last = info.get("last-generated-id").and_then(text).and_then(|id| Id::parse(&id));
        Ok(Some((first, last.unwrap_or(Id(0, 0)))))
    }

    /// Reads until something is wrong. `behind`: the last entry that was received.
    async fn run(&self, inbox: &Inbox<Arrived>, behind: &mut Option<Id>, failed: &mut u32) -> Halt {
        let Settings { table, stream, field, shown, start, bounded, fetch, block } = &self.settings;
        let bounds = match self.bounds().await {
            Ok(bounds) => bounds,
            Err(halt) => return halt,
        };
        let last = bounds.map_or(Id(0, 0), |(_, last)| last);
        let known = *self.place.lock();
        let place = known.or(self.restored).unwrap_or_else(|| Place {
            behind: match start {
                Start::Latest => last,
                Start::Behind(id) => *id,
            },
            end: bounded.then_some(last),
        });
        if known.is_none() {
            *self.place.lock() = Some(place);
            // A barrier may have waited for it.
            inbox.offer([]);
        }
        let from = behind.unwrap_or(place.behind);
        let goes_on = behind.is_some() || self.restored.is_some();
        if goes_on && from > last && from != Id(0, 0) {
            return Halt::Failed(
                Error::io(format!("stream '{stream}' at {shown} ends at {last}, before {from}"))
                    .with_detail("it was probably deleted and made anew, or the server has lost what it had")
                    .with_hint("run with --fresh to begin anew")
                    .lasting(),
            );
        }
        if goes_on
            && let Some((Some(first), _)) = bounds.filter(|(first, _)| first.is_some_and(|f| f > from))
            && from != Id(0, 0)
        {
            log::warn!(
                "table '{table}': stream '{stream}' at {shown} begins at {first}, after {from}: what was trimmed between them and not read is lost"
            );
        }
        let mut at = from;
        let end = place.end;
        let (name, wanted): (Arc<str>, Arc<str>) = (stream.as_str().into(), field.as_str().into());
        loop {
            if end.is_some_and(|end| at >= end) {
                return Halt::Ended;
            }
            let mut command = cmd("XREAD");
            command.arg("COUNT").arg(*fetch);
            if end.is_none() {
                command.arg("BLOCK").arg(*block);
            }
            command.arg("STREAMS").arg(stream).arg(at.to_string());
            let reply = match self.ask(&command).await {
                Ok(reply) => reply,
                Err(halt) => return halt,
            };
            if *failed > 0 {
                log::info!("table '{table}': {shown} is there again");
                *failed = 0;
            }
            if matches!(reply, Reply::Nil) {
                if end.is_some() {
                    // What lay before the end is read, deleted or trimmed.
                    return Halt::Ended;
                }
                continue;
            }
            let Some(read) = entries(reply) else { return self.odd("XREAD") };
            let mut arrived = Vec::new();
            for (text, content) in read {
                let Some(id) = Id::parse(&text) else { return self.odd("XREAD") };
                at = id;
                if end.is_some_and(|end| id > end) {
                    break;
                }
                let (mut value, mut fields, mut wrong) = (None, BTreeMap::new(), None);
                for (key, bytes) in content {
                    if key == field.as_bytes() {
                        value = Some(bytes);
                        continue;
                    }
                    let shown = String::from_utf8_lossy(&key).into_owned();
                    if self.shows_fields && std::str::from_utf8(&key).is_err() {
                        let what = "a field of the entry has a name that is not UTF-8";
                        wrong = Some(format!("{what} ('{shown}'), and the table reads 'fields'"));
                    }
                    fields.insert(shown, String::from_utf8_lossy(&bytes).into_owned());
                }
                let (stream, field, fields) = (name.clone(), wanted.clone(), fields.into_iter().collect());
                arrived.push(Arrived { stream, field, id, text, value, fields, wrong });
            }
            if let Some(last) = arrived.last() {
                let last = last.id;
                inbox.put(arrived).await;
                *behind = Some(last);
            }
        }
    }
}

/// An entry's id, and the names and contents of its fields.
type Entry = (String, Vec<(Vec<u8>, Vec<u8>)>);

/// The entries in an answer to XREAD of one stream; names of fields are bytes.
fn entries(reply: Reply) -> Option<Vec<Entry>> {
    let found = match reply {
        Reply::Array(mut streams) if streams.len() == 1 => match streams.pop()? {
            Reply::Array(mut stream) if stream.len() == 2 => stream.pop()?,
            _ => return None,
        },
        Reply::Map(mut streams) if streams.len() == 1 => streams.pop()?.1,
        _ => return None,
    };
    let Reply::Array(found) = found else { return None };
    found.into_iter().map(entry).collect()
}

fn entry(reply: Reply) -> Option<Entry> {
    let Reply::Array(mut entry) = reply else { return None };
    let (Some(Reply::Array(content)), Some(id), true) = (entry.pop(), entry.pop(), entry.is_empty()) else {
        return None;
    };
    let mut fields = Vec::with_capacity(content.len() / 2);
    let mut content = content.into_iter();
    while let Some(name) = content.next() {
        fields.push((bytes(name)?, bytes(content.next()?)?));
    }
    Some((String::from_utf8(bytes(id)?).ok()?, fields))
}

fn bytes(reply: Reply) -> Option<Vec<u8>> {
    match reply {
        Reply::BulkString(bytes) => Some(bytes),
        Reply::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_whatever_their_fields_are_called() {
        let text = |bytes: &[u8]| Reply::BulkString(bytes.to_vec());
        let fields = || Reply::Array(vec![text(b"value"), text(b"1"), text(b"\xff"), text(b"2")]);
        let stream = || Reply::Array(vec![Reply::Array(vec![text(b"1-0"), fields()])]);
        let expected: Entry =
            ("1-0".into(), vec![(b"value".to_vec(), b"1".to_vec()), (b"\xff".to_vec(), b"2".to_vec())]);
        let two = Reply::Array(vec![Reply::Array(vec![text(b"s"), stream()])]);
        assert_eq!(entries(two), Some(vec![expected.clone()]));
        assert_eq!(entries(Reply::Map(vec![(text(b"s"), stream())])), Some(vec![expected]));
        let odd = Reply::Array(vec![Reply::Array(vec![text(b"1-0"), Reply::Array(vec![text(b"value")])])]);
        assert_eq!(entries(Reply::Map(vec![(text(b"s"), odd)])), None);
        assert_eq!(entries(Reply::Okay), None);
    }
}
