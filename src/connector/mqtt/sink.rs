//! Writing to topics: one connection for all tasks, whose messages are there when the broker has acknowledged them.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, AsArray, BooleanArray, StringViewArray};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::client::{Address, Event, IN_FLIGHT};
use super::source::report;
use super::{Settings, is_filter};
use crate::connector::messages::{check_written, value_columns, written_column};
use crate::connector::outbox::{Bounds, Outbox, Packed, Packer, Post, Sent};
use crate::connector::{Sink, SinkChangelog, SinkRequest, Writer, WriterContext};
use crate::error::{Error, Result};
use crate::flow::Chunk;
use crate::format::Format;
use crate::format::message::MessageEncoder;
use crate::lookup::retry::Backoff;
use crate::lookup::{BoxFuture, Failure, FailureKind};

/// Messages of a topic that are on their way together.
pub(super) const BATCH: usize = 500;
/// Messages that wait for the library to send them: fewer than it takes.
const UNSENT: usize = 200;

/// A planned sink.
pub(super) struct MqttSink {
    shared: Arc<Shared>,
    bounds: Bounds,
}

struct Shared {
    settings: Settings,
    format: Format,
    schema: SchemaRef,
    value: Vec<usize>,
    topic: Option<usize>,
    retain: Option<usize>,
    retains: bool,
    publisher: Mutex<Option<Publisher>>,
}

impl MqttSink {
    pub(super) fn new(request: &SinkRequest) -> Result<Self> {
        let SinkRequest { table, schema, .. } = request;
        let settings = Settings::of(table)?;
        check_written(table, schema, &["topic", "retain"])?;
        let (topic, retain) =
            (written_column(table, schema, "topic"), written_column(table, schema, "retain"));
        let fixed = settings.topics.len() == 1 && !settings.topics[0].contains(['+', '#', '$']);
        if topic.is_none() && !fixed {
            return Err(Error::plan(format!(
                "'topic' = '{}' is not one topic, and rows do not say which",
                settings.topics.join(";")
            ))
            .with_hint("add a column: topic STRING METADATA"));
        }
        let value = value_columns(table, schema);
        let format = Format::from_options(&table.options)?;
        let values = nullable(&schema.project(&value)?);
        MessageEncoder::new(&format, &values)?;
        Ok(Self {
            bounds: Bounds::of(&table.options, BATCH)?,
            shared: Arc::new(Shared {
                settings,
                format,
                schema: values,
                value,
                topic,
                retain,
                retains: table.options.bool("sink.retain")?.unwrap_or(false),
                publisher: Mutex::default(),
            }),
        })
    }
}

/// Whether a column has a value is a matter of the rows: enforced before.
fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl Sink for MqttSink {
    fn changelog(&self) -> SinkChangelog {
        self.shared.format.sink_changelog()
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>> {
        let shared = &self.shared;
        let mut publisher = shared.publisher.lock();
        if publisher.as_ref().is_none_or(Publisher::is_over) {
            *publisher = Some(Publisher::start(&shared.settings, &context.runtime));
        }
        drop(publisher);
        let packer = MqttPacker {
            encoder: MessageEncoder::new(&shared.format, &shared.schema)?,
            fixed: shared.settings.topics.first().map(String::as_str).unwrap_or_default().into(),
            hasher: foldhash::fast::FixedState::with_seed(0x5eed),
            shared: shared.clone(),
        };
        Ok(Box::new(Outbox::new(shared.clone(), packer, true, self.bounds.clone(), context)))
    }
}

/// A message that is to be sent.
struct Record {
    topic: Arc<str>,
    payload: Bytes,
    retain: bool,
}

struct MqttPacker {
    shared: Arc<Shared>,
    encoder: MessageEncoder,
    fixed: Arc<str>,
    hasher: foldhash::fast::FixedState,
}

impl Packer for MqttPacker {
    type Record = Record;

    fn pack(&mut self, chunk: &Chunk) -> Result<Vec<Packed<Record>>> {
        let shared = &self.shared;
        let options = RecordBatchOptions::new().with_row_count(Some(chunk.len()));
        let columns = chunk.batch.project(&shared.value)?.columns().to_vec();
        let values = RecordBatch::try_new_with_options(shared.schema.clone(), columns, &options)?;
        let mut out = Vec::new();
        let values = Chunk { batch: values, kinds: chunk.kinds.clone(), ingest: chunk.ingest };
        let ranges = self.encoder.encode(&values, &mut out)?;
        let out = Bytes::from(out);
        let topics: Option<&StringViewArray> =
            shared.topic.and_then(|at| chunk.batch.column(at).as_string_view_opt());
        let retains: Option<&BooleanArray> =
            shared.retain.and_then(|at| chunk.batch.column(at).as_boolean_opt());
        let mut packed = Vec::with_capacity(ranges.len());
        for (row, range) in ranges.into_iter().enumerate() {
            let topic: Arc<str> = match topics {
                None => self.fixed.clone(),
                Some(topics) if topics.is_valid(row) => {
                    let topic = topics.value(row);
                    if topic.contains(['+', '#']) || !is_filter(topic) {
                        return Err(Error::execution(format!(
                            "'{topic}' is not a topic that can be written to"
                        ))
                        .with_hint("+ and # are for readers"));
                    }
                    topic.into()
                }
                Some(_) => return Err(Error::execution("a row names no topic: metadata 'topic' is NULL")),
            };
            let retain = retains.filter(|r| r.is_valid(row)).map_or(shared.retains, |r| r.value(row));
            let payload = range.filter(|r| r.end <= out.len()).map(|r| out.slice(r)).unwrap_or_default();
            let key = Some(self.hasher.hash_one(&*topic));
            let bytes = payload.len() + topic.len() + 32;
            packed.push(Packed { record: Record { topic, payload, retain }, key, bytes });
        }
        Ok(packed)
    }
}

impl Post for Shared {
    type Record = Record;

    fn table(&self) -> &str {
        &self.settings.table
    }

    fn send(self: Arc<Self>, records: Vec<Record>) -> BoxFuture<Sent<Record>> {
        Box::pin(async move {
            let orders = self.publisher.lock().as_ref().map(|p| p.orders.clone());
            let Some(orders) = orders else { return Err((records, gone())) };
            let mut answers = Vec::with_capacity(records.len());
            let broken = Arc::new(AtomicBool::new(false));
            for record in &records {
                let (answer, answered) = oneshot::channel();
                let order = Order {
                    topic: record.topic.clone(),
                    payload: record.payload.clone(),
                    retain: record.retain,
                    answer: Answer { to: answer, broken: broken.clone() },
                };
                // One that is gone answers nothing.
                let _ = orders.send(order).await;
                answers.push(answered);
            }
            let (mut left, mut failure) = (Vec::new(), None);
            for (record, answered) in records.into_iter().zip(answers) {
                if let Err(e) = answered.await.unwrap_or_else(|_| Err(gone())) {
                    left.push(record);
                    failure.get_or_insert(e);
                }
            }
            match failure {
                None => Ok(()),
                Some(failure) => Err((left, failure)),
            }
        })
    }

    fn describe(&self, record: &Record) -> String {
        let text: String = String::from_utf8_lossy(&record.payload).chars().take(200).collect();
        format!("topic '{}', {text}", record.topic)
    }
}

fn gone() -> Failure {
    Failure::new(FailureKind::Connection, "the connection has ended".to_string()).retryable()
}

struct Order {
    topic: Arc<str>,
    payload: Bytes,
    retain: bool,
    answer: Answer,
}

/// Where the fate of a message is told.
struct Answer {
    to: oneshot::Sender<Result<(), Failure>>,
    /// One of its request has failed: those that were not sent yet must not come before it.
    broken: Arc<AtomicBool>,
}

impl Answer {
    /// Who does not wait any more does not want to know.
    fn give(self, result: Result<(), Failure>) {
        if result.is_err() {
            self.broken.store(true, Ordering::SeqCst);
        }
        let _ = self.to.send(result);
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }
}

/// The connection of a sink.
struct Publisher {
    orders: mpsc::Sender<Order>,
    task: AbortHandle,
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Publisher {
    fn start(settings: &Settings, runtime: &tokio::runtime::Handle) -> Self {
        let (orders, receiver) = mpsc::channel(usize::from(IN_FLIGHT));
        let task = runtime.spawn(publish(settings.clone(), receiver)).abort_handle();
        Self { orders, task }
    }

    fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

/// The answers that a connection owes.
#[derive(Default)]
struct Owed {
    /// Handed to the library, in order.
    unsent: VecDeque<Answer>,
    /// Sent, by number.
    sent: HashMap<u16, Answer>,
}

impl Owed {
    fn fail(&mut self, failure: &Failure) {
        let all = self.unsent.drain(..).chain(self.sent.drain().map(|(_, answer)| answer));
        all.for_each(|answer| answer.give(Err(failure.clone())));
    }
}

async fn publish(settings: Settings, mut orders: mpsc::Receiver<Order>) {
    let (address, backoff) = (&settings.address, Backoff::default());
    // Not the session of a source of the same table.
    let number: u32 = rand::random();
    let client_id = format!("{}-sink-{number:08x}", address.client_id);
    let mut failed = 0;
    loop {
        let mut owed = Owed::default();
        let broken = connection(address, settings.qos, &client_id, &mut orders, &mut owed, &mut failed).await;
        let Some(broken) = broken else { return };
        let what = format!("writing to {address}: {}", broken.what);
        let mut failure = Failure::new(
            FailureKind::Connection,
            match broken.hint {
                Some(hint) => format!("{what} ({hint})"),
                None => what,
            },
        );
        failure.retryable = !broken.lasts;
        owed.fail(&failure);
        while let Ok(order) = orders.try_recv() {
            order.answer.give(Err(failure.clone()));
        }
        failed += 1;
        report(&settings.table, address, &broken.what, broken.hint, failed);
        sleep(backoff.delay(failed, None)).await;
    }
}

/// A message that the broker does not take: for its own sake, for what does not pass by itself, or for something that may.
fn refused(address: &impl std::fmt::Display, what: &str) -> Failure {
    let message = format!("{address} refuses a message: {what}");
    match what {
        "payload format invalid" | "topic name invalid" => Failure::new(FailureKind::Key, message),
        "not authorized" => Failure::new(FailureKind::Other, message),
        _ => Failure::new(FailureKind::Other, message).retryable(),
    }
}

/// One connection, until it breaks; `None`: no more orders come.
async fn connection(
    address: &Address,
    qos: u8,
    client_id: &str,
    orders: &mut mpsc::Receiver<Order>,
    owed: &mut Owed,
    failed: &mut u32,
) -> Option<super::client::Broken> {
    let (client, mut connection) = address.connection(client_id, None);
    // The library must not be interrupted while it sends: it is polled by a task of its own.
    let (events, mut happened) = mpsc::unbounded_channel();
    let mut polling = tokio::task::JoinSet::new();
    polling.spawn(async move {
        loop {
            let event = connection.next().await;
            let is_over = event.is_err();
            if events.send(event).is_err() || is_over {
                return;
            }
        }
    });
    let mut connected = false;
    loop {
        let may = connected
            && owed.unsent.len() < UNSENT
            && owed.unsent.len() + owed.sent.len() < usize::from(IN_FLIGHT);
        tokio::select! {
            event = happened.recv() => match event? {
                Ok(Event::Connected(_)) => (connected, *failed) = (true, 0),
                Ok(Event::Sent(number)) => {
                    if let Some(answer) = owed.unsent.pop_front() {
                        if number == 0 {
                            answer.give(Ok(()));
                        } else {
                            owed.sent.insert(number, answer);
                        }
                    }
                }
                Ok(Event::Acknowledged(number, result)) => {
                    if let Some(answer) = owed.sent.remove(&number) {
                        answer.give(result.map_err(|what| refused(address, &what)));
                    }
                }
                Ok(_) => {}
                Err(broken) => return Some(broken),
            },
            order = orders.recv(), if may => {
                let Some(order) = order else {
                    client.leave();
                    return None;
                };
                if order.answer.is_broken() {
                    order.answer.give(Err(gone()));
                    continue;
                }
                owed.unsent.push_back(order.answer);
                // It takes as many as are unsent.
                let _ = client.publish(&order.topic, qos, order.retain, order.payload).await;
            }
        }
    }
}
