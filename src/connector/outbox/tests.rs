//! Outboxes on a paused clock, against a service that does what the test says.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use tokio::runtime::Runtime;

use super::*;
use crate::connector::replay::writer_context;

/// A key and a number.
type Record = (i64, i64);
type Script = dyn Fn(usize, &[Record]) -> Sent<Record> + Send + Sync;

/// A service: what it takes is noted, request by request.
struct Service {
    script: Box<Script>,
    calls: Mutex<usize>,
    taken: Mutex<Vec<Vec<Record>>>,
}

impl Post for Service {
    type Record = Record;

    fn table(&self) -> &str {
        "o"
    }

    fn send(self: Arc<Self>, records: Vec<Record>) -> BoxFuture<Sent<Record>> {
        Box::pin(async move {
            // A request takes a while.
            tokio::time::sleep(Duration::from_millis(10)).await;
            let call = std::mem::replace(&mut *self.calls.lock(), 0) + 1;
            *self.calls.lock() = call;
            let sent = (self.script)(call, &records);
            let left: &[Record] = sent.as_ref().err().map_or(&[], |(left, _)| left);
            let taken = records.into_iter().filter(|r| !left.contains(r)).collect::<Vec<_>>();
            if !taken.is_empty() {
                self.taken.lock().push(taken);
            }
            sent
        })
    }

    fn describe(&self, record: &Record) -> String {
        format!("{record:?}")
    }
}

struct Keys(bool);

impl Packer for Keys {
    type Record = Record;

    fn pack(&mut self, chunk: &Chunk) -> Result<Vec<Packed<Record>>> {
        let column = |at: usize| chunk.batch.column(at).as_primitive::<Int64Type>().clone();
        let (keys, numbers) = (column(0), column(1));
        if numbers.values().iter().any(|n| *n < 0) {
            return Err(Error::decode("a number below 0 has no form"));
        }
        let rows = keys.values().iter().zip(numbers.values());
        let key = |k: i64| self.0.then(|| (k as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Ok(rows.map(|(k, n)| Packed { record: (*k, *n), key: key(*k), bytes: 10 }).collect())
    }
}

struct Rig {
    runtime: Runtime,
    service: Arc<Service>,
    outbox: Outbox<Service, Keys>,
}

impl Rig {
    fn new(
        pairs: &[(&str, &str)],
        keyed: bool,
        script: impl Fn(usize, &[Record]) -> Sent<Record> + Send + Sync + 'static,
    ) -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        let mut options = Options::default();
        pairs.iter().for_each(|(k, v)| options.set(k, v, Default::default()));
        let service =
            Arc::new(Service { script: Box::new(script), calls: Mutex::default(), taken: Mutex::default() });
        let context = WriterContext { runtime: runtime.handle().clone(), ..writer_context(0, 1) };
        let bounds = Bounds::of(&options, 4).unwrap();
        let outbox = Outbox::new(service.clone(), Keys(keyed), keyed, bounds, context);
        Self { runtime, service, outbox }
    }

    fn write(&mut self, records: &[Record]) {
        self.try_write(records).unwrap();
    }

    fn try_write(&mut self, records: &[Record]) -> Result<()> {
        let column = |of: fn(&Record) -> i64| -> ArrayRef {
            Arc::new(records.iter().map(of).collect::<Vec<_>>().into_iter().map(Some).collect::<Int64Array>())
        };
        let batch = RecordBatch::try_from_iter([("k", column(|r| r.0)), ("n", column(|r| r.1))]).unwrap();
        self.outbox.write(&Chunk::append(batch, Instant::now()))
    }

    /// Lets time pass.
    fn pass(&mut self, millis: u64) -> Result<()> {
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(millis)).await });
        self.outbox.wake()
    }

    fn finish(&mut self) -> Result<()> {
        for _ in 0..10_000 {
            if self.outbox.finish()?.is_ready() {
                return Ok(());
            }
            self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(100)).await });
        }
        panic!("it does not end");
    }

    fn taken(&self) -> Vec<Vec<Record>> {
        self.service.taken.lock().clone()
    }
}

fn passes(left: Vec<Record>) -> Sent<Record> {
    Err((left, Failure::new(FailureKind::Timeout, "no answer").retryable()))
}

#[test]
fn records_of_a_key_keep_their_order_whatever_is_tried_again() {
    // Most requests fail, some after a part of them was taken.
    let script = |call: usize, records: &[Record]| match call % 4 {
        0 => Ok(()),
        1 => passes(records.to_vec()),
        _ => passes(records[records.len() / 2..].to_vec()),
    };
    let mut rig = Rig::new(&[("sink.max-retries", "1000")], true, script);
    for n in 0..50 {
        rig.write(&[(n % 7, n), (n % 3 + 10, n)]);
        if n % 10 == 0 {
            rig.pass(15).unwrap();
        }
    }
    rig.finish().unwrap();
    let mut by_key: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    rig.taken().into_iter().flatten().for_each(|(k, n)| by_key.entry(k).or_default().push(n));
    assert_eq!(by_key.values().map(Vec::len).sum::<usize>(), 100);
    assert!(by_key.values().all(|numbers| numbers.is_sorted()), "{by_key:?}");
}

#[test]
fn a_barrier_waits_for_what_lies_before_it_and_rows_go_on() {
    let mut rig = Rig::new(
        &[("sink.flush-buffer.timeout", "1 h"), ("sink.requests.max-inflight", "1")],
        false,
        |_, _| Ok(()),
    );
    rig.write(&[(0, 1), (0, 2)]);
    // There is room in the request, and an hour to fill it.
    rig.outbox.flush().unwrap();
    rig.pass(1000).unwrap();
    assert!(rig.taken().is_empty() && rig.outbox.deadline().is_some());
    assert!(rig.outbox.pre_commit(7, false).unwrap().is_pending());
    rig.write(&[(0, 3)]);
    assert!(rig.outbox.pre_commit(7, false).unwrap().is_pending());
    rig.pass(1000).unwrap();
    assert!(rig.outbox.pre_commit(7, false).unwrap().is_ready());
    assert_eq!(rig.taken(), [[(0, 1), (0, 2)]]);
    // What came behind it waits for the next one, or for its hour.
    assert!(rig.outbox.pre_commit(8, true).unwrap().is_pending());
    rig.pass(1000).unwrap();
    assert!(rig.outbox.pre_commit(8, true).unwrap().is_ready());
    assert_eq!(rig.taken().len(), 2);
    // Full requests do not wait.
    rig.write(&[(0, 4), (0, 5), (0, 6), (0, 7), (0, 8)]);
    rig.pass(1000).unwrap();
    assert_eq!(rig.taken().last().unwrap().len(), 4);
}

#[test]
fn a_task_reads_no_more_while_too_much_waits() {
    let mut rig = Rig::new(&[("sink.requests.max-buffered", "3")], false, |_, _| Ok(()));
    rig.write(&[(0, 1), (0, 2)]);
    assert!(rig.outbox.room());
    rig.write(&[(0, 3)]);
    assert!(!rig.outbox.room());
    rig.pass(100).unwrap();
    assert!(rig.outbox.room());
    assert_eq!(rig.taken().concat(), [(0, 1), (0, 2), (0, 3)]);
}

#[test]
fn a_refused_record_fails_the_job_or_is_skipped_alone() {
    let refuses = |_: usize, records: &[Record]| match records.contains(&(0, 3)) {
        true => Err((records.to_vec(), Failure::new(FailureKind::Status(422), "no".to_string()))),
        false => Ok(()),
    };
    let mut rig = Rig::new(&[("sink.on-error", "drop")], false, refuses);
    rig.write(&[(0, 1), (0, 2), (0, 3), (0, 4)]);
    rig.finish().unwrap();
    assert_eq!(rig.taken().concat(), [(0, 1), (0, 2), (0, 4)]);
    let mut rig = Rig::new(&[], false, refuses);
    rig.write(&[(0, 1), (0, 2), (0, 3), (0, 4)]);
    let error = rig.finish().unwrap_err();
    assert_eq!((error.message(), error.detail()), ("table 'o': no", Some("the record: (0, 3)")));
    assert!(!error.may_pass());
    // A login that is refused is no fault of a record, and a fault that passes is tried so often.
    let login = |_: usize, records: &[Record]| {
        Err((records.to_vec(), Failure::new(FailureKind::Status(401), "who?".to_string())))
    };
    let mut rig = Rig::new(&[("sink.on-error", "drop")], false, login);
    rig.write(&[(0, 1), (0, 2)]);
    assert_eq!(rig.finish().unwrap_err().message(), "table 'o': who?");
    let mut rig = Rig::new(&[("sink.max-retries", "2")], false, |_, records| passes(records.to_vec()));
    rig.write(&[(0, 1)]);
    let error = rig.finish().unwrap_err();
    assert!(error.may_pass() && error.detail().is_some_and(|d| d.contains("tried 3 times")), "{error}");
    assert_eq!(*rig.service.calls.lock(), 3);
}

#[test]
fn a_row_that_cannot_be_packed_fails_the_job_or_is_left_out_alone() {
    let rows = [(0, 1), (0, -2), (0, 3), (0, -4), (0, 5)];
    let mut rig = Rig::new(&[], false, |_, _| Ok(()));
    let error = rig.try_write(&rows).unwrap_err();
    assert_eq!(error.message(), "table 'o': a number below 0 has no form");
    assert!(error.hint().is_some_and(|hint| hint.contains("'sink.on-error' = 'drop'")));
    let mut rig = Rig::new(&[("sink.on-error", "drop")], false, |_, _| Ok(()));
    rig.write(&rows);
    rig.finish().unwrap();
    assert_eq!(rig.taken().concat(), [(0, 1), (0, 3), (0, 5)]);
    assert_eq!(rig.outbox.dropped.load(Ordering::Relaxed), 2);
}

#[test]
fn failures_of_the_service_drop_no_record() {
    use FailureKind as Kind;
    let own = [Kind::Key, Kind::TooLarge, Kind::Status(400), Kind::Status(413), Kind::Status(422)];
    assert!(own.into_iter().all(is_of_record));
    let others = [Kind::Connection, Kind::Timeout, Kind::Limit, Kind::Decode, Kind::Other, Kind::Status(404)];
    for kind in others {
        assert!(!is_of_record(kind), "{kind:?}");
        let refuses =
            move |_: usize, records: &[Record]| Err((records.to_vec(), Failure::new(kind, "no".to_string())));
        let mut rig = Rig::new(&[("sink.on-error", "drop")], false, refuses);
        rig.write(&[(0, 1), (0, 2)]);
        assert_eq!(rig.finish().unwrap_err().message(), "table 'o': no");
        // It is not cut to records, either.
        assert_eq!(*rig.service.calls.lock(), 1);
    }
}
