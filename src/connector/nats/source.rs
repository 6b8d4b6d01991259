//! Reading a stream from a sequence on.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::stream::Stream;
use futures::StreamExt;
use parking_lot::Mutex;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::client::root;
use super::{METADATA, Settings, Start};
use crate::connector::inbox::{Guard, Inbox, InboxReader, Tracker};
use crate::connector::messages::{Layout, Message, Value};
use crate::connector::{Positions, Reader, ReaderContext, ScanRequest, Source, SourceChangelog};
use crate::error::{Error, Result};
use crate::lookup::retry::Backoff;

/// The name of the only position.
const SPLIT: &str = "stream";

/// A planned scan.
pub(super) struct NatsSource {
    settings: Settings,
    layout: Layout,
    batch_rows: usize,
    /// The next sequence, of a job that comes back, and where it ends.
    restored: Mutex<Option<(u64, Option<u64>)>>,
}

impl NatsSource {
    pub(super) fn new(request: &ScanRequest) -> Result<Self> {
        Ok(Self {
            settings: Settings::of(&request.table)?,
            layout: Layout::new(request, METADATA)?,
            batch_rows: request.batch_rows,
            restored: Mutex::default(),
        })
    }
}

impl Source for NatsSource {
    fn bounded(&self) -> bool {
        self.settings.bounded
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let inbox = Inbox::new(context.waker.clone());
        let place = Arc::new(Mutex::new(Place::default()));
        let scan = Scan {
            settings: self.settings.clone(),
            restored: *self.restored.lock(),
            place: place.clone(),
            metrics: context.metrics.clone(),
        };
        let receiving = scan.receive(inbox.clone());
        let tracker = NatsTracker { place, told: None };
        let reader = InboxReader::new(inbox, &self.layout, tracker, self.batch_rows)?;
        Ok(Box::new(reader.receiving(&context, receiving)))
    }

    fn changelog(&self) -> SourceChangelog {
        self.layout.changelog()
    }

    fn describe(&self) -> String {
        let end = if self.settings.bounded { ", bounded" } else { "" };
        format!("{}, format={}{end}", self.settings.describe(), self.layout.format_name())
    }

    fn replays(&self) -> bool {
        true
    }

    fn restore(&self, positions: &Positions, _runtime: &Handle) -> Result<()> {
        let restored = match positions.get(SPLIT) {
            None => None,
            Some(position) => {
                let field = |name: &str| position.get(name).and_then(serde_json::Value::as_u64);
                let next = field("next").ok_or_else(|| {
                    Error::internal(format!(
                        "a checkpoint has no sequence for {}: {position}",
                        self.settings.name()
                    ))
                })?;
                Some((next, field("end")))
            }
        };
        *self.restored.lock() = restored;
        Ok(())
    }
}

/// How far the scan is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// It is known where the scan begins.
    found: bool,
    /// The next sequence that becomes a row; `None`: where it began.
    next: Option<u64>,
    /// The first sequence that is not read.
    end: Option<u64>,
}

struct NatsTracker {
    place: Arc<Mutex<Place>>,
    told: Option<Place>,
}

impl Tracker<Arrived> for NatsTracker {
    fn passed(&mut self, messages: Vec<Arrived>, _rows: &[u32]) {
        if let Some(last) = messages.last() {
            self.place.lock().next = Some(last.sequence + 1);
        }
    }

    fn ready(&self) -> bool {
        self.place.lock().found
    }

    fn cut(&mut self, _epoch: u64) -> Positions {
        let place = *self.place.lock();
        let (Some(next), true) = (place.next, self.told != Some(place)) else { return Positions::new() };
        self.told = Some(place);
        let position = match place.end {
            Some(end) => json!({"next": next, "end": end}),
            None => json!({"next": next}),
        };
        Positions::from([(SPLIT.to_string(), position)])
    }
}

/// A message of the stream.
pub(super) struct Arrived {
    message: async_nats::Message,
    stream: Arc<str>,
    sequence: u64,
    timestamp: i64,
    headers: Vec<(String, String)>,
}

impl Message for Arrived {
    fn value(&self) -> Option<&[u8]> {
        Some(&self.message.payload)
    }

    fn metadata(&self, key: usize) -> Value<'_> {
        match key {
            0 => Value::Text(self.message.subject.as_str()),
            1 => Value::Text(&self.stream),
            2 => i64::try_from(self.sequence).map_or(Value::None, Value::Number),
            3 => Value::Moment(self.timestamp),
            4 => Value::Map(&self.headers),
            _ => Value::None,
        }
    }

    fn place(&self) -> String {
        format!("stream '{}', sequence {}", self.stream, self.sequence)
    }

    fn position(&self) -> String {
        format!("{}@{}", self.stream, self.sequence)
    }
}

struct Scan {
    settings: Settings,
    restored: Option<(u64, Option<u64>)>,
    place: Arc<Mutex<Place>>,
    metrics: Arc<crate::flow::StageMetrics>,
}

/// How often it is looked at whether a stream has given up what did not come: streams of which somebody has deleted many
/// messages are full of gaps. And where only some of its subjects are read, which is a gap at each of the others.
const LOOK: Duration = Duration::from_millis(100);
const LOOK_AT_SOME: Duration = Duration::from_secs(10);

/// What is known of messages that did not come.
#[derive(Default)]
struct Gaps {
    /// All messages of the stream are read.
    whole: bool,
    looked: Option<Instant>,
    /// The first one of those that were not looked at.
    doubt: Option<u64>,
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
        let Settings { table, server, .. } = &self.settings;
        let (mut failed, mut next) = (0, self.restored.map(|(next, _)| next));
        loop {
            let halt = self.run(inbox, &mut next, &mut failed).await;
            match halt {
                Halt::Ended => return inbox.end(),
                Halt::Failed(e) => return inbox.fail(e.context(format!("table '{table}'"))),
                Halt::Broken(what) => {
                    failed += 1;
                    let name = self.settings.name();
                    if failed == 1 || failed.is_multiple_of(20) {
                        log::warn!("table '{table}': reading {name} at {server}: {what}; it is tried again");
                    }
                    sleep(backoff.delay(failed, None)).await;
                }
            }
        }
    }

    /// Connects and reads. `next`: the next sequence to be received.
    async fn run(&self, inbox: &Inbox<Arrived>, next: &mut Option<u64>, failed: &mut u32) -> Halt {
        let settings = &self.settings;
        let client = match settings.server.connect(&settings.table).await {
            Ok(client) => client,
            Err(failure) if failure.retryable => return Halt::Broken(failure.message),
            Err(failure) => return Halt::Failed(Error::io(failure.message).lasting()),
        };
        let context = jetstream::new(client);
        let name = match self.stream_name(&context).await {
            Ok(name) => name,
            Err(halt) => return halt,
        };
        let shown: Arc<str> = name.as_str().into();
        let stream = match context.get_stream(&name).await {
            Ok(stream) => stream,
            Err(e) => return self.missing(&e),
        };
        let state = stream.cached_info().state.clone();
        let behind = state.last_sequence + 1;
        let mut place = *self.place.lock();
        if !place.found {
            // A beginning and a time lead to the same message tomorrow; the end of the stream does not.
            let begins = match settings.start {
                Start::Latest => Some(behind),
                Start::Sequence(sequence) => Some(sequence),
                Start::Earliest | Start::At(_) => None,
            };
            *next = (*next).or(begins);
            let end = match self.restored {
                Some((_, end)) => end,
                None => settings.bounded.then_some(behind),
            };
            place = Place { found: true, next: *next, end };
            *self.place.lock() = place;
        }
        let subjects = &stream.cached_info().config.subjects;
        let whole = settings
            .subject
            .as_ref()
            .is_none_or(|filter| !subjects.is_empty() && subjects.iter().all(|s| covers(filter, s.as_str())));
        if let Some(wanted) = next {
            if let Err(halt) = self.check(&name, *wanted, state.first_sequence, behind, whole) {
                return halt;
            }
            // What is missing was told.
            *wanted = (*wanted).max(state.first_sequence);
        }
        let policy = match (*next, settings.start) {
            (Some(start_sequence), _) => {
                DeliverPolicy::ByStartSequence { start_sequence: start_sequence.max(1) }
            }
            (None, Start::At(millis)) => {
                let time = chrono::DateTime::from_timestamp_millis(millis).map(|t| t.to_rfc3339());
                let time = time.and_then(|text| async_nats::datetime::parse_rfc3339(&text).ok());
                match time {
                    Some(start_time) => DeliverPolicy::ByStartTime { start_time },
                    None => {
                        let error =
                            Error::option(format!("'scan.startup.timestamp-millis' = '{millis}' is no time"));
                        return Halt::Failed(error);
                    }
                }
            }
            (None, _) => DeliverPolicy::All,
        };
        let config = pull::OrderedConfig {
            deliver_policy: policy,
            filter_subject: settings.subject.clone().unwrap_or_default(),
            max_batch: 1000,
            ..pull::OrderedConfig::default()
        };
        let consumer = match stream.create_consumer(config).await {
            Ok(consumer) => consumer,
            Err(e) => return self.refused(&e),
        };
        let end = place.end;
        if end.is_some() && consumer.cached_info().num_pending == 0 {
            return Halt::Ended;
        }
        let mut messages = match consumer.messages().await {
            Ok(messages) => messages,
            Err(e) => return Halt::Broken(root(&e)),
        };
        if *failed > 0 {
            log::info!("table '{}': {} is there again", settings.table, settings.server);
        }
        // Where a stream keeps so many messages of each subject, older ones give way to newer ones everywhere in it.
        let per_subject = stream.cached_info().config.max_messages_per_subject > 0;
        let mut gaps = Gaps { whole, ..Gaps::default() };
        while let Some(message) = messages.next().await {
            let message = match message {
                Ok(message) => message,
                Err(e) => return Halt::Broken(root(&e)),
            };
            *failed = 0;
            let Ok(info) = message.info() else {
                return Halt::Failed(Error::internal("a message of a stream without its place"));
            };
            let (sequence, pending) = (info.stream_sequence, info.pending);
            if end.is_some_and(|end| sequence >= end) {
                return Halt::Ended;
            }
            if let Some(wanted) = next.filter(|next| *next < sequence && !per_subject)
                && let Err(halt) = self.gap(&stream, &name, wanted..sequence, &mut gaps).await
            {
                return halt;
            }
            let timestamp =
                i64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
            let headers = message.headers.as_ref().map_or_else(Vec::new, |headers| {
                let first = |values: &Vec<async_nats::HeaderValue>| {
                    values.last().map(|v| v.as_str().to_string()).unwrap_or_default()
                };
                let mut all: Vec<(String, String)> =
                    headers.iter().map(|(name, values)| (name.to_string(), first(values))).collect();
                all.sort();
                all
            });
            let message = message.split().0;
            let arrived = Arrived { message, stream: shown.clone(), sequence, timestamp, headers };
            self.metrics.note_behind(SPLIT, pending);
            inbox.put([arrived]).await;
            *next = Some(sequence + 1);
            if end.is_some_and(|end| pending == 0 || sequence + 1 >= end) {
                return Halt::Ended;
            }
        }
        Halt::Broken("the stream of messages ended".into())
    }

    async fn stream_name(&self, context: &jetstream::Context) -> Result<String, Halt> {
        use jetstream::context::GetStreamByNameErrorKind as Kind;
        let Settings { stream, subject, server, .. } = &self.settings;
        if let Some(stream) = stream {
            return Ok(stream.clone());
        }
        let subject = subject.clone().unwrap_or_default();
        context.stream_by_subject(subject.as_str()).await.map_err(|e| match e.kind() {
            Kind::NotFound => Halt::Failed(
                Error::io(format!("no stream of {server} has subject '{subject}'"))
                    .with_hint(format!("nats stream add NAME --subjects '{subject}' keeps its messages"))
                    .lasting(),
            ),
            Kind::JetStream(e) => self.judged(&e),
            _ => Halt::Broken(root(&e)),
        })
    }

    /// What JetStream says: a cluster that chooses its leader, or has too few of its servers, will be there again.
    fn judged(&self, e: &jetstream::Error) -> Halt {
        match passes(e) {
            true => Halt::Broken(format!("JetStream: {e}")),
            false => Halt::Failed(no_jetstream(&self.settings.server, &e.to_string())),
        }
    }

    fn missing(&self, e: &jetstream::context::GetStreamError) -> Halt {
        use jetstream::context::GetStreamErrorKind as Kind;
        let server = &self.settings.server;
        match e.kind() {
            Kind::JetStream(e) if e.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND => Halt::Failed(
                Error::io(format!("{} does not exist at {server}", self.settings.name()))
                    .with_hint("`nats stream ls` lists the streams")
                    .lasting(),
            ),
            Kind::JetStream(e) => self.judged(&e),
            _ => Halt::Broken(root(e)),
        }
    }

    fn refused(&self, e: &jetstream::stream::ConsumerError) -> Halt {
        use jetstream::stream::ConsumerErrorKind as Kind;
        match e.kind() {
            Kind::TimedOut | Kind::Request => Halt::Broken(root(e)),
            Kind::JetStream(e) if passes(&e) => Halt::Broken(format!("JetStream: {e}")),
            _ => Halt::Failed(
                Error::io(format!(
                    "{} at {} cannot be read: {}",
                    self.settings.name(),
                    self.settings.server,
                    root(e)
                ))
                .with_hint(
                    "a work queue gives each message away once: read a stream with the retention 'limits'",
                )
                .lasting(),
            ),
        }
    }

    /// Messages that were to come have not: whether the stream has given them up, or somebody has deleted them one by one.
    async fn gap(
        &self,
        stream: &Stream,
        name: &str,
        missed: Range<u64>,
        gaps: &mut Gaps,
    ) -> Result<(), Halt> {
        let pause = if gaps.whole { LOOK } else { LOOK_AT_SOME };
        if gaps.looked.is_some_and(|looked| looked.elapsed() < pause) {
            gaps.doubt.get_or_insert(missed.start);
            return Ok(());
        }
        let state = stream.get_info().await.map_err(|e| Halt::Broken(root(&e)))?.state;
        gaps.looked = Some(Instant::now());
        let (first, doubt) = (state.first_sequence, gaps.doubt.take());
        if first > missed.start {
            return self.check(
                name,
                missed.start,
                first.min(missed.end),
                state.last_sequence + 1,
                gaps.whole,
            );
        }
        if let Some(from) = doubt.filter(|from| *from < first) {
            let Settings { table, server, .. } = &self.settings;
            log::warn!(
                "table '{table}': messages of stream '{name}' at {server} from {from} on were deleted, or are gone before they were read: the stream begins at {first} now"
            );
        }
        Ok(())
    }

    /// Whether what is to be read next is there, or may come. `whole`: all messages of the stream are read.
    fn check(&self, name: &str, wanted: u64, first: u64, behind: u64, whole: bool) -> Result<(), Halt> {
        let Settings { server, skips_missing, table, .. } = &self.settings;
        let what = if wanted > behind {
            format!("stream '{name}' at {server} ends at sequence {}, before {wanted}", behind - 1)
        } else if wanted > 0 && wanted < first {
            format!("messages {wanted} to {} of stream '{name}' at {server} are gone", first - 1)
        } else {
            return Ok(());
        };
        if wanted <= behind && !whole {
            // A subject that was quiet since has lost nothing, and the stream does not tell.
            let subject = self.settings.subject.as_deref().unwrap_or_default();
            log::warn!(
                "table '{table}': {what}; whether some of them had subject '{subject}' is not known; it goes on behind them"
            );
            return Ok(());
        }
        let why = match wanted > behind {
            true => "the stream was probably deleted and made anew",
            false => "the stream keeps messages for a time or up to a size",
        };
        if *skips_missing && wanted <= behind {
            log::warn!(
                "table '{table}': {what}; {why}; it continues after them ('scan.on-missing' = 'skip')"
            );
            return Ok(());
        }
        let hint = match wanted > behind {
            true => "run with --fresh to begin anew",
            false => {
                "'scan.on-missing' = 'skip' goes on without them; 'max_age' of the stream keeps messages longer"
            }
        };
        Err(Halt::Failed(Error::io(what).with_detail(why).with_hint(hint).lasting()))
    }
}

/// Whether a filter takes all that a subject of a stream takes.
fn covers(filter: &str, subject: &str) -> bool {
    let (mut filter, mut subject) = (filter.split('.'), subject.split('.'));
    loop {
        match (filter.next(), subject.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(word)) if word != ">" => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

/// Whether the stream is there, for people.
pub(super) async fn look(settings: &Settings) -> Result<Vec<String>> {
    let table = format!("table '{}'", settings.table);
    let scan = Scan {
        settings: settings.clone(),
        restored: None,
        place: Arc::default(),
        metrics: Arc::new(crate::flow::StageMetrics::new(0, "Source", String::new(), 1)),
    };
    let found = async {
        let client = settings.server.connect(&settings.table).await;
        let client = client.map_err(|failure| Halt::Failed(Error::io(failure.message)))?;
        let context = jetstream::new(client);
        let name = scan.stream_name(&context).await?;
        let stream = context.get_stream(&name).await.map_err(|e| scan.missing(&e))?;
        Ok(format!(
            "stream '{name}' at {}: {} messages",
            settings.server,
            stream.cached_info().state.messages
        ))
    };
    match found.await {
        Ok(said) => Ok(vec![format!("{table}: {said}")]),
        Err(Halt::Failed(e)) => Err(e.context(table)),
        Err(Halt::Broken(what)) => {
            Err(Error::io(format!("{table}: {} at {}: {what}", settings.name(), settings.server)))
        }
        Err(Halt::Ended) => Ok(Vec::new()),
    }
}

/// Whether a refusal may pass by itself.
fn passes(e: &jetstream::Error) -> bool {
    use jetstream::ErrorCode as Code;
    let without = [Code::JETSTREAM_NOT_ENABLED, Code::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT];
    e.code() >= 500 && !without.contains(&e.error_code())
}

fn no_jetstream(server: &super::client::Server, what: &str) -> Error {
    Error::io(format!("JetStream of {server}: {what}"))
        .with_hint("the server runs with -js, and the account may use it")
        .lasting()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_cluster_without_a_leader_is_waited_for() {
        let of = |code: u64, number: u64| {
            let said = format!("{{\"code\": {code}, \"err_code\": {number}, \"description\": \"d\"}}");
            passes(&serde_json::from_str(&said).unwrap())
        };
        // Temporarily unavailable, not the leader, offline, out of resources.
        assert!(of(503, 10008) && of(500, 10009) && of(500, 10118) && of(503, 10023));
        // Not enabled, not for this account, a bad request, a work queue.
        assert!(!of(503, 10076) && !of(503, 10039) && !of(400, 10003) && !of(400, 10099));
    }

    #[test]
    fn filters_cover_subjects() {
        for (filter, subject) in [(">", "a.b"), ("a.>", "a.*.c"), ("a.>", "a.>"), ("*.b", "a.b"), ("a", "a")]
        {
            assert!(covers(filter, subject), "{filter} {subject}");
        }
        for (filter, subject) in
            [("a.b", "a.*"), ("a.*", "a.>"), ("a.b.>", "a.>"), ("a", "a.b"), ("a.>", "a")]
        {
            assert!(!covers(filter, subject), "{filter} {subject}");
        }
    }
}
