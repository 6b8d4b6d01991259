//! Reading topics: one session, whose messages are acknowledged when they are safe.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{sleep, timeout};

use super::client::{Address, Client, Event, Incoming, SAME_NAME};
use super::{METADATA, Settings};
use crate::connector::acknowledging::Acknowledging;
use crate::connector::inbox::{Guard, Inbox, InboxReader, Tracker};
use crate::connector::messages::{Layout, Message, Value};
use crate::connector::{Positions, Reader, ReaderContext, ScanRequest, Source, SourceChangelog};
use crate::error::{Error, Result};
use crate::lookup::retry::Backoff;

/// A planned scan.
pub(super) struct MqttSource {
    settings: Settings,
    layout: Layout,
    batch_rows: usize,
    receipts: Arc<Acknowledging<Arc<Receipt>>>,
    session: Mutex<Option<(Arc<Session>, Receiving)>>,
    /// The broker held messages for the job before.
    restored: AtomicBool,
}

impl MqttSource {
    pub(super) fn new(request: &ScanRequest) -> Result<Self> {
        Ok(Self {
            settings: Settings::of(&request.table)?,
            layout: Layout::new(request, METADATA)?,
            batch_rows: request.batch_rows,
            receipts: Arc::default(),
            session: Mutex::default(),
            restored: AtomicBool::new(false),
        })
    }
}

impl Source for MqttSource {
    fn bounded(&self) -> bool {
        false
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let inbox = Inbox::new(context.waker.clone());
        let held = self.restored.load(Ordering::SeqCst) && self.settings.qos > 0;
        let state = State { held, ..State::default() };
        let session = Arc::new(Session::new(state, context.runtime.clone()));
        let tracker = MqttTracker {
            receipts: self.receipts.clone(),
            session: session.clone(),
            checkpoints: context.checkpoints,
        };
        let receiving = receive(self.settings.clone(), session.clone(), inbox.clone());
        let reader = InboxReader::new(inbox, &self.layout, tracker, self.batch_rows)?;
        let mut current = self.session.lock();
        // One connection at a time has the session's name.
        drop(current.take());
        *current = Some((session, Receiving(context.runtime.spawn(receiving).abort_handle())));
        Ok(Box::new(reader))
    }

    fn changelog(&self) -> SourceChangelog {
        self.layout.changelog()
    }

    fn describe(&self) -> String {
        format!("{}, format={}", self.settings.describe(), self.layout.format_name())
    }

    fn restore(&self, _positions: &Positions, _runtime: &Handle) -> Result<()> {
        // The broker has what was not acknowledged.
        self.receipts.clear();
        Ok(())
    }

    fn redelivers(&self) -> bool {
        self.settings.qos > 0
    }

    fn committed(&self, epoch: u64, _positions: &Positions) -> Result<()> {
        // Also of the checkpoint that a job comes back from.
        self.restored.store(true, Ordering::SeqCst);
        let receipts = self.receipts.durable(epoch);
        let session = self.session.lock().as_ref().map(|(session, _)| session.clone());
        if let Some(session) = session {
            session.acknowledge(receipts);
            if session.is_left() && self.receipts.len() == 0 {
                // Nothing follows, and the process may end: what is acknowledged now does not come again.
                session.part();
            }
        }
        Ok(())
    }
}

impl Drop for MqttSource {
    fn drop(&mut self) {
        if let Some((session, _receiving)) = self.session.get_mut().take() {
            session.part();
        }
    }
}

/// A message that is to be acknowledged.
#[derive(Debug)]
pub(super) struct Receipt {
    number: u16,
    /// The connection that it came by last.
    generation: AtomicU64,
    /// It is safe, and could not be acknowledged yet.
    safe: AtomicBool,
}

/// The session, over all of its connections.
pub(super) struct Session {
    state: Mutex<State>,
    runtime: Handle,
    /// Acknowledgements that are on their way to the connection.
    sending: Mutex<Vec<JoinHandle<()>>>,
    /// Nobody reads any more: messages are left to the broker.
    left: watch::Sender<bool>,
    /// The connection has ended after that.
    over: Mutex<bool>,
    parted: Condvar,
}

/// What receives; it outlives the reader, until what that has read is acknowledged.
struct Receiving(AbortHandle);

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How long the end of a job waits for the broker to hear of it.
const PARTING: Duration = Duration::from_secs(2);

#[derive(Default)]
struct State {
    generation: u64,
    /// The broker holds messages for this session, as far as we know.
    held: bool,
    client: Option<Client>,
    /// What was not acknowledged, by number: as long as it is not, the broker gives its number to no other message.
    open: HashMap<u16, (u64, Arc<Receipt>)>,
}

/// What becomes of a message.
enum Taken {
    New(Arc<Receipt>),
    /// It is in the job already.
    Known,
    /// It is safe already: it is to be acknowledged.
    Safe,
}

impl Taken {
    fn receipt(self) -> Option<Arc<Receipt>> {
        match self {
            Self::New(receipt) => Some(receipt),
            Self::Known | Self::Safe => None,
        }
    }
}

impl Session {
    fn new(state: State, runtime: Handle) -> Self {
        Self {
            state: Mutex::new(state),
            runtime,
            sending: Mutex::default(),
            left: watch::Sender::new(false),
            over: Mutex::new(false),
            parted: Condvar::new(),
        }
    }

    fn is_left(&self) -> bool {
        *self.left.borrow()
    }

    /// Hands acknowledgements to the connection, which takes them when it is polled.
    fn send(&self, client: Client, numbers: Vec<u16>) {
        let mut sending = self.sending.lock();
        sending.retain(|task| !task.is_finished());
        sending.push(self.runtime.spawn(async move {
            for number in numbers {
                if client.acknowledge(number).await.is_err() {
                    return;
                }
            }
        }));
    }

    /// Says good-bye behind all acknowledgements, and waits for it, though not for ever.
    fn part(&self) {
        if *self.over.lock() {
            return;
        }
        self.left.send_replace(true);
        let Some(client) = self.state.lock().client.clone() else { return };
        let sending = std::mem::take(&mut *self.sending.lock());
        self.runtime.spawn(async move {
            for task in sending {
                let _ = task.await;
            }
            // A connection that is gone hears nothing.
            let _ = client.depart().await;
        });
        let deadline = Instant::now() + PARTING;
        let mut over = self.over.lock();
        while !*over && !self.parted.wait_until(&mut over, deadline).timed_out() {}
    }

    /// The connection has ended, and no other follows.
    fn parted(&self) {
        *self.over.lock() = true;
        self.parted.notify_all();
    }

    /// A connection is there; whether the broker has lost what it held.
    fn connected(&self, client: &Client, known: bool) -> bool {
        let mut state = self.state.lock();
        state.generation += 1;
        state.client = Some(client.clone());
        if !known {
            // Numbers begin anew, and what was not acknowledged is forgotten over there.
            state.open.clear();
        }
        std::mem::replace(&mut state.held, true) && !known
    }

    fn disconnected(&self) {
        let mut state = self.state.lock();
        state.generation += 1;
        state.client = None;
    }

    fn taken(&self, message: &Incoming) -> Taken {
        let digest = BuildHasherDefault::<std::hash::DefaultHasher>::default()
            .hash_one((&message.topic, &message.payload[..]));
        let mut state = self.state.lock();
        let generation = state.generation;
        if message.duplicate
            && let Some((known, receipt)) = state.open.get(&message.number)
            && *known == digest
        {
            receipt.generation.store(generation, Ordering::SeqCst);
            if !receipt.safe.load(Ordering::SeqCst) {
                return Taken::Known;
            }
            state.open.remove(&message.number);
            return Taken::Safe;
        }
        let receipt = Arc::new(Receipt {
            number: message.number,
            generation: AtomicU64::new(generation),
            safe: AtomicBool::new(false),
        });
        state.open.insert(message.number, (digest, receipt.clone()));
        Taken::New(receipt)
    }

    /// They are safe. What came by a connection that is gone comes again.
    fn acknowledge(&self, receipts: impl IntoIterator<Item = Arc<Receipt>>) {
        let mut numbers = Vec::new();
        let mut state = self.state.lock();
        let generation = state.generation;
        for receipt in receipts {
            receipt.safe.store(true, Ordering::SeqCst);
            if state.client.is_some() && receipt.generation.load(Ordering::SeqCst) == generation {
                state.open.remove(&receipt.number);
                numbers.push(receipt.number);
            }
        }
        let client = state.client.clone();
        drop(state);
        if let Some(client) = client.filter(|_| !numbers.is_empty()) {
            self.send(client, numbers);
        }
    }
}

/// A message that became a row.
pub(super) struct Arrived {
    message: Incoming,
    receipt: Option<Arc<Receipt>>,
}

impl Message for Arrived {
    fn value(&self) -> Option<&[u8]> {
        Some(&self.message.payload)
    }

    fn metadata(&self, key: usize) -> Value<'_> {
        match key {
            0 => Value::Text(&self.message.topic),
            1 => Value::Number(self.message.qos.into()),
            2 => Value::Bool(self.message.retain),
            3 => Value::Bool(self.message.duplicate),
            4 => Value::Map(&self.message.properties),
            5 => self.message.content_type.as_deref().map_or(Value::None, Value::Text),
            _ => Value::None,
        }
    }

    fn place(&self) -> String {
        format!("a message of topic '{}'", self.message.topic)
    }

    fn position(&self) -> String {
        self.message.topic.clone()
    }
}

struct MqttTracker {
    receipts: Arc<Acknowledging<Arc<Receipt>>>,
    session: Arc<Session>,
    checkpoints: bool,
}

impl Drop for MqttTracker {
    fn drop(&mut self) {
        self.session.left.send_replace(true);
        // With others the checkpoint that holds them follows.
        if self.receipts.len() == 0 {
            self.session.part();
        }
    }
}

impl Tracker<Arrived> for MqttTracker {
    fn passed(&mut self, messages: Vec<Arrived>, _rows: &[u32]) {
        let receipts = messages.into_iter().filter_map(|m| m.receipt);
        match self.checkpoints {
            true => self.receipts.passed(receipts),
            false => self.session.acknowledge(receipts),
        }
    }

    fn cut(&mut self, epoch: u64) -> Positions {
        self.receipts.cut(epoch);
        Positions::new()
    }

    fn leave(&mut self) -> Positions {
        self.receipts.leave();
        Positions::new()
    }
}

/// How often in a row another client may take the session over: the process before may just be ending.
const TAKEN_OVER: u32 = 5;

/// Connects, again and again, and hands over what comes.
async fn receive(settings: Settings, session: Arc<Session>, inbox: Arc<Inbox<Arrived>>) {
    let guard = Guard(inbox);
    let (inbox, backoff) = (&guard.0, Backoff::default());
    let Settings { table, address, topics, qos, unacknowledged } = &settings;
    let fail = |what: &str, hint: Option<&'static str>| {
        let topics = topics.join(";");
        let error =
            Error::io(format!("table '{table}': reading topic '{topics}' of {address}: {what}")).lasting();
        inbox.fail(match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        });
    };
    let (mut failed, mut taken_over) = (0, 0);
    loop {
        let mut established = false;
        let (client, mut connection) = address.connection(&address.client_id, Some(*unacknowledged));
        let broken = loop {
            match connection.next().await {
                Ok(Event::Connected(known)) => {
                    established = true;
                    if failed > 0 {
                        log::info!("table '{table}': {address} is there again");
                    }
                    if session.connected(&client, known) && *qos > 0 {
                        log::warn!(
                            "table '{table}': {address} has lost the session '{}': messages that came while it was not connected, and \
                             those that were not acknowledged, are gone; the broker must keep sessions over its restarts (Mosquitto: \
                             persistence true), for longer than an outage lasts ('mqtt.session-expiry')",
                            address.client_id
                        );
                    }
                    // Also where the session is known: it may be older than the topics of the table.
                    if client.subscribe(topics, *qos).await.is_err() {
                        return fail("the connection is gone", None);
                    }
                }
                // It comes again, to who reads then.
                Ok(Event::Message(_)) if session.is_left() => {}
                Ok(Event::Message(message)) => {
                    failed = 0;
                    let taken = match message.qos {
                        0 => None,
                        _ => Some(session.taken(&message)),
                    };
                    let number = message.number;
                    match taken {
                        None | Some(Taken::New(_)) => {
                            let receipt = taken.and_then(Taken::receipt);
                            if !inbox.offer([Arrived { message, receipt }]) {
                                // The broker waits, too, but not without a sign of life.
                                let mut left = session.left.subscribe();
                                tokio::select! {
                                    _ = timeout(address.keep_alive / 2, inbox.room()) => {}
                                    _ = left.wait_for(|left| *left) => {}
                                }
                            }
                        }
                        Some(Taken::Known) => {}
                        Some(Taken::Safe) => session.send(client.clone(), vec![number]),
                    }
                }
                Ok(Event::Left) => {
                    session.parted();
                    return inbox.end();
                }
                Ok(Event::Refused(what)) => return fail(&what, Some("may the user read this topic?")),
                Ok(_) => {}
                Err(broken) => break broken,
            }
        };
        session.disconnected();
        if session.is_left() {
            session.parted();
            return inbox.end();
        }
        taken_over = if broken.taken_over { taken_over + 1 } else { 0 };
        if broken.lasts || taken_over == TAKEN_OVER {
            return fail(&broken.what, broken.hint);
        }
        failed += 1;
        // Many brokers close the connection of the older client without a word.
        let hint = broken.hint.or(established.then_some(SAME_NAME));
        report(table, address, &broken.what, hint, failed);
        sleep(backoff.delay(failed, None)).await;
    }
}

/// Tells of an outage, now and then.
pub(super) fn report(table: &str, address: &Address, what: &str, hint: Option<&str>, failed: u32) {
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    if failed == 1 || failed.is_multiple_of(20) {
        log::warn!("table '{table}': no connection to {address}: {what}{hint}; it is tried again");
    } else {
        log::debug!("table '{table}': no connection to {address}: {what}{hint}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use bytes::Bytes;

    use super::*;

    fn message(number: u16, payload: &'static str, duplicate: bool) -> Incoming {
        Incoming {
            topic: "t".into(),
            payload: Bytes::from_static(payload.as_bytes()),
            qos: 1,
            retain: false,
            duplicate,
            number,
            properties: Vec::new(),
            content_type: None,
        }
    }

    #[tokio::test]
    async fn what_comes_again_after_a_break_is_not_read_twice() {
        let session = Session::new(State::default(), Handle::current());
        let settings = super::super::Version::Three;
        let address = Address {
            version: settings,
            host: "h".into(),
            port: 1,
            tls: None,
            client_id: "c".into(),
            login: None,
            keep_alive: Duration::from_secs(30),
            session_expiry: Duration::ZERO,
            max_packet: 1000,
        };
        let (client, _connection) = address.connection("c", Some(10));
        assert!(!session.connected(&client, false), "nothing was held yet");
        let Taken::New(one) = session.taken(&message(1, "a", false)) else { panic!("new") };
        let Taken::New(two) = session.taken(&message(2, "b", false)) else { panic!("new") };
        session.disconnected();
        session.acknowledge([one]);
        assert!(!session.connected(&client, true));
        assert!(matches!(session.taken(&message(1, "a", true)), Taken::Safe));
        assert!(matches!(session.taken(&message(2, "b", true)), Taken::Known));
        session.acknowledge([two]);
        assert!(session.state.lock().open.is_empty());
        // The number of another message, and a session that the broker does not know.
        assert!(matches!(session.taken(&message(2, "c", true)), Taken::New(_)));
        assert!(session.connected(&client, false), "what the broker held is lost");
        assert!(matches!(session.taken(&message(2, "c", true)), Taken::New(_)));
    }
}
