//! A producer, and who waits for its acknowledgements.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, ProducerContext};
use rdkafka::statistics::Statistics;

use super::client::{self, Cluster, Said, log_line, note_error};
use super::encode::Outgoing;
use super::oauth;
use crate::error::{Error, Result};
use crate::flow::Waker;

/// Records of one writer that were handed over and are not acknowledged.
#[derive(Debug)]
pub(super) struct Slot {
    records: AtomicUsize,
    bytes: AtomicUsize,
    /// Wakes the writer when so few bytes and records are left.
    low: (usize, usize),
    /// The writer waits for room.
    full: AtomicBool,
    /// The writer waits for the last.
    draining: AtomicBool,
    waker: Waker,
}

impl Slot {
    pub(super) fn new(low: (usize, usize), waker: Waker) -> Arc<Self> {
        Arc::new(Self {
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            low,
            full: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            waker,
        })
    }

    pub(super) fn records(&self) -> usize {
        self.records.load(Ordering::Acquire)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// Whether all is acknowledged; else the writer is woken when it is.
    pub(super) fn is_drained(&self) -> bool {
        self.draining.store(true, Ordering::SeqCst);
        let drained = self.records() == 0;
        if drained {
            self.draining.store(false, Ordering::SeqCst);
        }
        drained
    }

    /// The writer is to be woken when there is room again.
    pub(super) fn wait_for_room(&self) {
        self.full.store(true, Ordering::SeqCst);
    }

    fn done(&self, bytes: usize) {
        let bytes = self.bytes.fetch_sub(bytes, Ordering::AcqRel) - bytes;
        let records = self.records.fetch_sub(1, Ordering::AcqRel) - 1;
        if records == 0 && self.draining.swap(false, Ordering::SeqCst) {
            self.waker.wake();
        }
        let low = bytes <= self.low.0 && records <= self.low.1;
        if low && self.full.load(Ordering::Relaxed) && self.full.swap(false, Ordering::SeqCst) {
            self.waker.wake();
        }
    }
}

/// What a producer tells.
pub(super) struct Deliveries {
    cluster: Cluster,
    pub(super) said: Said,
    failure: Mutex<Option<Error>>,
    /// Bytes of the largest record of batches that were too large.
    large: Mutex<usize>,
}

impl Deliveries {
    fn fail(&self, e: Error) {
        self.failure.lock().get_or_insert(e);
    }

    fn large(topic: &str, bytes: usize) -> Error {
        Error::io(format!("a record of {bytes} bytes, or the batch that it is the largest of, is too large for topic '{topic}'"))
            .with_hint(
                "the limits are 'max.message.bytes' of the topic ('message.max.bytes' of the broker), and \
                 'properties.max.request.size' of the table",
            )
            .lasting()
    }

    /// All records of a batch come back when it is too large: the largest one tells why.
    fn too_large(&self, topic: &str, bytes: usize) {
        let mut large = self.large.lock();
        if bytes <= *large {
            return;
        }
        let first = std::mem::replace(&mut *large, bytes) == 0;
        let mut failure = self.failure.lock();
        // Another failure that came first stays.
        if !first || failure.is_none() {
            *failure = Some(Self::large(topic, bytes));
        } else {
            *large = usize::MAX;
        }
    }

    /// What went wrong, if something did.
    pub(super) fn check(&self) -> Result<()> {
        self.failure.lock().clone().map_or(Ok(()), Err)
    }

    /// A record that could not be written.
    fn undelivered(&self, topic: &str, partition: i32, bytes: usize, code: Option<Code>) -> Error {
        let whole = match partition {
            p if p >= 0 => format!("writing to partition {p} of topic '{topic}'"),
            _ => format!("writing to topic '{topic}'"),
        };
        match code {
            Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge) => {
                Self::large(topic, bytes)
            }
            Some(Code::TopicAuthorizationFailed) => {
                Error::io(format!("{whole} in Kafka at '{}' is not allowed", self.cluster.servers()))
                    .with_hint(format!(
                        "an ACL for the user is missing: kafka-acls.sh --bootstrap-server ... --add --allow-principal User:... \
                         --operation Write --topic {topic}"
                    ))
                    .lasting()
            }
            Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
                Error::io(format!("topic '{topic}' does not exist in Kafka at '{}'", self.cluster.servers()))
                    .with_hint(format!("create it: kafka-topics.sh --bootstrap-server ... --create --topic {topic}"))
                    .lasting()
            }
            Some(Code::InvalidRecord | Code::InvalidDifferentRecord | Code::InvalidMessage) => {
                Error::io(format!("{whole}: the broker refuses the record"))
                    .with_hint("a topic with cleanup.policy=compact takes only records with a key: 'key.format', 'key.fields'")
                    .lasting()
            }
            code => self.cluster.error(&whole, code, &self.said),
        }
    }
}

impl ClientContext for Deliveries {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(self.cluster.properties(), level, facility, message);
    }

    fn stats(&self, _statistics: Statistics) {}

    fn error(&self, error: KafkaError, reason: &str) {
        note_error(&self.said, &error, reason);
    }

    fn generate_oauth_token(
        &self,
        _config: Option<&str>,
    ) -> std::result::Result<OAuthToken, Box<dyn std::error::Error>> {
        oauth::token(self.cluster.properties())
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Slot>;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Arc<Slot>) {
        let message = match result {
            Ok(message) => message,
            Err((e, message)) => {
                // What was given up by us is no failure.
                let code = client::code(e);
                let bytes = message.payload_len() + message.key_len();
                match code {
                    Some(Code::PurgeQueue | Code::PurgeInflight) => {}
                    Some(
                        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge,
                    ) => {
                        self.too_large(message.topic(), bytes);
                        slot.waker.wake();
                    }
                    code => {
                        self.fail(self.undelivered(message.topic(), message.partition(), bytes, code));
                        slot.waker.wake();
                    }
                }
                message
            }
        };
        slot.done(message.payload_len() + message.key_len());
    }
}

/// A producer with the thread that hears what became of its records.
pub(super) struct Producer {
    pub(super) inner: Arc<BaseProducer<Deliveries>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Producer {
    /// `more` wins over the user's properties.
    pub(super) fn new(cluster: &Cluster, more: &[(&str, &str)]) -> Result<Self> {
        let mut config = cluster.producer_config();
        more.iter().for_each(|(name, value)| {
            config.set(*name, *value);
        });
        let context = Deliveries {
            cluster: cluster.clone(),
            said: Said::default(),
            failure: Mutex::default(),
            large: Mutex::default(),
        };
        let inner: BaseProducer<Deliveries> =
            config.create_with_context(context).map_err(|e| cluster.unmade(&e))?;
        let (inner, over) = (Arc::new(inner), Arc::new(AtomicBool::new(false)));
        let (served, ends) = (inner.clone(), over.clone());
        let thread = std::thread::Builder::new().name("affluent-kafka-acks".into()).spawn(move || {
            while !ends.load(Ordering::Acquire) {
                served.poll(Duration::from_millis(50));
            }
        })?;
        Ok(Self { inner, over, thread: Some(thread) })
    }

    pub(super) fn context(&self) -> &Deliveries {
        use rdkafka::producer::Producer as _;
        self.inner.context()
    }

    /// Hands a record over. It is kept by the client until it is acknowledged, in its own memory.
    pub(super) fn send(
        &self,
        topic: &str,
        partition: Option<i32>,
        record: Outgoing<'_>,
        slot: &Arc<Slot>,
    ) -> Result<()> {
        let bytes = record.value.map_or(0, <[u8]>::len) + record.key.map_or(0, <[u8]>::len);
        let mut outgoing: BaseRecord<'_, [u8], [u8], Arc<Slot>> =
            BaseRecord::with_opaque_to(topic, slot.clone());
        outgoing.payload = record.value;
        outgoing.key = record.key;
        outgoing.partition = partition;
        outgoing.timestamp = record.timestamp;
        outgoing.headers = record.headers;
        slot.records.fetch_add(1, Ordering::AcqRel);
        slot.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.inner.send(outgoing).map_err(|(e, _)| {
            slot.done(bytes);
            self.context().undelivered(topic, partition.unwrap_or(-1), bytes, client::code(&e))
        })
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // No thread of the client is left when the process ends.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
