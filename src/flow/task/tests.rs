//! Fragments with scripted sources: what operators are told, and how tasks end.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::VecDeque;
use std::task::Poll;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use parking_lot::Mutex;

use super::*;
use crate::clock::ManualClock;
use crate::connector::replay::writer_context;
use crate::connector::{Sink, Source, WriterContext};
use crate::error::ErrorKind;
use crate::flow::Waker;
use crate::flow::fragment::{Head, Port, Stage, Tail};
use crate::flow::message::{Kind, Kinds, Watermark, WatermarkClock};
use crate::flow::source::ReaderContext;

type Log = Arc<Mutex<Vec<String>>>;

fn at(millis: i64) -> Watermark {
    WatermarkClock::default().advance(millis).unwrap()
}

fn batch(values: &[i64]) -> RecordBatch {
    let column: arrow::array::ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("n", column, true)]).unwrap()
}

fn values(chunk: &Chunk) -> Vec<i64> {
    chunk.batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

/// What a scripted source does, one step a read.
#[derive(Clone, Debug)]
enum Act {
    Rows(Vec<i64>),
    Updates(Vec<i64>),
    /// Nothing until somebody wakes it.
    Wait,
    Fail,
    Panic,
}

struct Script {
    acts: Mutex<VecDeque<Act>>,
    bounded: bool,
    waker: Arc<Mutex<Option<Waker>>>,
}

fn source(acts: &[Act]) -> Arc<Script> {
    Arc::new(Script { acts: Mutex::new(acts.to_vec().into()), bounded: true, waker: Arc::default() })
}

struct ScriptReader(VecDeque<Act>, bool);

impl Source for Script {
    fn bounded(&self) -> bool {
        self.bounded
    }
    fn max_parallelism(&self) -> usize {
        usize::MAX
    }
    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        *self.waker.lock() = Some(context.waker);
        // What one takes, no other sees.
        Ok(Box::new(ScriptReader(std::mem::take(&mut self.acts.lock()), self.bounded)))
    }
}

impl Reader for ScriptReader {
    fn read(&mut self) -> Result<Read> {
        Ok(match self.0.pop_front() {
            Some(Act::Rows(rows)) => Read::Batch(batch(&rows)),
            Some(Act::Updates(rows)) => {
                Read::Changes(batch(&rows), Kinds::Changes(vec![Kind::UpdateAfter; rows.len()].into()))
            }
            Some(Act::Wait) => Read::Pending,
            Some(Act::Fail) => return Err(Error::io("the source is broken")),
            Some(Act::Panic) => panic!("on purpose"),
            None if self.1 => Read::End,
            None => Read::Pending,
        })
    }
}

/// Notes what it is told and passes it on.
struct Probe {
    name: &'static str,
    log: Log,
    /// Emits the values of rows as watermarks behind them; negative ones mean idle.
    marks: bool,
    room: Arc<Mutex<usize>>,
}

impl Probe {
    fn note(&self, what: String) {
        self.log.lock().push(format!("{} {what}", self.name));
    }
}

fn show(watermark: Watermark) -> String {
    if watermark == Watermark::END { "END".into() } else { format!("@{}", watermark.millis()) }
}

impl Operator for Probe {
    fn name(&self) -> &'static str {
        self.name
    }
    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        self.chunk_at(0, chunk, out)
    }
    fn chunk_at(&mut self, input: usize, chunk: Chunk, out: &mut Output) -> Result<()> {
        self.note(format!("{input}:{:?}", values(&chunk)));
        let marks = values(&chunk);
        out.chunk(chunk);
        for mark in marks.into_iter().filter(|_| self.marks) {
            if mark < 0 {
                out.push(Message::Status(Status::Idle));
            } else {
                out.push(Message::Status(Status::Active));
                out.push(Message::Watermark(at(mark)));
            }
        }
        Ok(())
    }
    fn watermark_at(&mut self, input: usize, watermark: Watermark, _out: &mut Output) -> Result<()> {
        self.note(format!("{input}:{}", show(watermark)));
        Ok(())
    }
    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        self.note(show(watermark));
        out.push(Message::Watermark(watermark));
        Ok(())
    }
    fn status(&mut self, status: Status, out: &mut Output) -> Result<()> {
        self.note(format!("{status:?}"));
        out.push(Message::Status(status));
        Ok(())
    }
    fn end_at(&mut self, input: usize, _out: &mut Output) -> Result<()> {
        self.note(format!("{input}:End"));
        Ok(())
    }
    fn end(&mut self, out: &mut Output) -> Result<()> {
        self.note("End".into());
        out.push(Message::End);
        Ok(())
    }
    fn room(&self) -> usize {
        *self.room.lock()
    }
}

fn stage(name: &'static str, log: &Log, marks: bool, to: (usize, usize)) -> Stage {
    let log = log.clone();
    let build: BuildOperator = Arc::new(move || {
        let room = Arc::new(Mutex::new(usize::MAX));
        Ok(Box::new(Probe { name, log: log.clone(), marks, room }))
    });
    Stage {
        id: name.to_string(),
        name,
        detail: String::new(),
        lookup: None,
        build,
        to: Port { operator: to.0, input: to.1 },
    }
}

/// A stage that has as much room as it is given, before a sink or another one.
fn narrow(log: &Log, room: &Arc<Mutex<usize>>) -> Stage {
    let mut stage = stage("narrow", log, false, (1, 0));
    let (log, room) = (log.clone(), room.clone());
    stage.build = Arc::new(move || {
        Ok(Box::new(Probe { name: "narrow", log: log.clone(), marks: false, room: room.clone() }))
    });
    stage
}

/// Keeps the rows that are written.
#[derive(Default)]
struct Rows(Arc<Mutex<Vec<i64>>>, Arc<Mutex<Vec<&'static str>>>);

impl Sink for Rows {
    fn writer(&self, _context: WriterContext) -> Result<Box<dyn Writer>> {
        Ok(Box::new(RowsWriter(self.0.clone(), self.1.clone())))
    }
}

struct RowsWriter(Arc<Mutex<Vec<i64>>>, Arc<Mutex<Vec<&'static str>>>);

impl Writer for RowsWriter {
    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        self.0.lock().extend(values(chunk));
        Ok(())
    }
    fn flush(&mut self) -> Result<()> {
        self.1.lock().push("flush");
        Ok(())
    }
    fn finish(&mut self) -> Result<Poll<()>> {
        self.1.lock().push("finish");
        Ok(Poll::Ready(()))
    }
}

struct Rig {
    sink: Arc<Rows>,
    log: Log,
    mailbox: Mailbox,
    runtime: tokio::runtime::Runtime,
    exchanges: Arc<HashMap<usize, Exchange>>,
}

impl Rig {
    fn new() -> Self {
        Self {
            sink: Arc::default(),
            log: Log::default(),
            mailbox: Mailbox::new(),
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            exchanges: Arc::default(),
        }
    }

    fn plan(&self, heads: Vec<(Head, (usize, usize))>, operators: Vec<Stage>, endless: bool) -> TaskPlan {
        let heads: Vec<_> =
            heads.into_iter().map(|(h, (operator, input))| (h, Port { operator, input })).collect();
        let stages = (0..heads.len() + operators.len() + 1)
            .map(|_| Arc::new(StageMetrics::new(0, "stage", String::new(), 1)))
            .collect();
        let fragment =
            Fragment { parallelism: 1, heads, operators, tail: Tail::Sink(self.sink.clone(), "sink".into()) };
        TaskPlan {
            fragment: Arc::new(fragment),
            task: 0,
            tail: TaskTail::Writer(self.sink.writer(writer_context(0, 1)).unwrap()),
            exchanges: self.exchanges.clone(),
            endless,
            stages,
            restored: None,
        }
    }

    fn context(&self) -> TaskContext {
        TaskContext {
            mailbox: self.mailbox.clone(),
            clock: ManualClock::new(0),
            runtime: self.runtime.handle().clone(),
            metrics: Arc::default(),
            reporter: None,
            memory: Memory::unlimited(),
            gather: Duration::ZERO,
        }
    }

    fn run(&self, heads: Vec<(Head, (usize, usize))>, operators: Vec<Stage>) -> Result<()> {
        run(self.plan(heads, operators, false), self.context())
    }
}

fn read(acts: &[Act]) -> Head {
    Head::Source(source(acts), "source".into())
}

#[test]
fn heads_take_turns_and_inputs_are_told_apart() {
    let rig = Rig::new();
    let heads = vec![
        (read(&[Act::Rows(vec![1]), Act::Rows(vec![2]), Act::Rows(vec![3])]), (0, 0)),
        (read(&[Act::Rows(vec![10]), Act::Updates(vec![11])]), (0, 1)),
    ];
    rig.run(heads, vec![stage("join", &rig.log, false, (1, 0))]).unwrap();
    let log = rig.log.lock();
    assert_eq!(
        *log,
        [
            "join 0:[1]",
            "join 1:[10]",
            "join 0:[2]",
            "join 1:[11]",
            "join 0:[3]",
            "join 1:END",
            "join 1:End",
            "join 0:END",
            "join END",
            "join 0:End",
            "join End",
        ]
    );
    assert_eq!(*rig.sink.0.lock(), [1, 10, 2, 11, 3]);
    assert_eq!(*rig.sink.1.lock(), ["finish"]);
}

#[test]
fn watermarks_of_a_union_are_the_least() {
    let rig = Rig::new();
    let heads = vec![
        (read(&[Act::Rows(vec![5]), Act::Rows(vec![6]), Act::Rows(vec![20])]), (0, 0)),
        (read(&[Act::Rows(vec![3]), Act::Rows(vec![9]), Act::Rows(vec![-1]), Act::Rows(vec![30])]), (1, 0)),
    ];
    let operators = vec![
        stage("a", &rig.log, true, (2, 0)),
        stage("b", &rig.log, true, (2, 0)),
        stage("all", &rig.log, false, (3, 0)),
    ];
    rig.run(heads, operators).unwrap();
    let log: Vec<String> =
        rig.log.lock().iter().filter_map(|l| l.strip_prefix("all ").map(Into::into)).collect();
    assert_eq!(
        log,
        [
            "0:[5]", "0:[3]", "0:@3", "@3", "0:[6]", "0:[9]", "0:@6", "@6", "0:[20]", "0:@9", "@9",
            // The second one becomes idle, and the first one ends: nobody is left who counts.
            "0:[-1]", "0:@20", "@20", "Idle", "0:[30]", "Active", "0:@30", "@30", "0:END", "END", "0:End",
            "End",
        ]
    );
}

#[test]
fn rows_may_go_straight_to_the_sink() {
    let rig = Rig::new();
    let heads = vec![(read(&[Act::Rows(vec![1])]), (0, 0)), (read(&[Act::Rows(vec![2])]), (0, 0))];
    rig.run(heads, vec![]).unwrap();
    assert_eq!(*rig.sink.0.lock(), [1, 2]);
}

#[test]
fn an_operator_that_ends_early_ends_what_leads_to_it() {
    let rig = Rig::new();
    let endless = Arc::new(Script {
        acts: Mutex::new(vec![Act::Rows(vec![1, 2]), Act::Rows(vec![3])].into()),
        bounded: false,
        waker: Arc::default(),
    });
    let limit: BuildOperator = Arc::new(|| {
        Ok(Box::new(crate::operator::limit::Limit::new(crate::operator::limit::Budget::new(0, 2))))
    });
    let limit = Stage {
        id: "Limit".into(),
        name: "Limit",
        detail: String::new(),
        lookup: None,
        build: limit,
        to: Port { operator: 1, input: 0 },
    };
    let heads = vec![
        (Head::Source(endless, "source".into()), (0, 0)),
        (read(&[Act::Rows(vec![7]), Act::Rows(vec![8])]), (1, 1)),
    ];
    rig.run(heads, vec![limit, stage("join", &rig.log, false, (2, 0))]).unwrap();
    assert_eq!(*rig.sink.0.lock(), [1, 2, 7, 8]);
}

#[test]
fn cancelling_keeps_what_an_endless_stream_has_written() {
    for endless in [true, false] {
        let rig = Rig::new();
        let waiting = Arc::new(Script {
            acts: Mutex::new(vec![Act::Rows(vec![1]), Act::Wait].into()),
            bounded: false,
            waker: Arc::default(),
        });
        let plan = rig.plan(vec![(Head::Source(waiting, "source".into()), (0, 0))], vec![], endless);
        let context = rig.context();
        let task = std::thread::spawn(move || run(plan, context));
        while rig.sink.1.lock().is_empty() {
            std::thread::yield_now();
        }
        rig.mailbox.cancel();
        assert_eq!(task.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(rig.sink.1.lock().last() == Some(&"finish"), endless);
    }
}

#[test]
fn an_operator_without_room_holds_back_its_own_heads_only() {
    let rig = Rig::new();
    let room = Arc::new(Mutex::new(0));
    let narrow = narrow(&rig.log, &room);
    let other = source(&[Act::Rows(vec![7]), Act::Rows(vec![8]), Act::Wait]);
    let heads =
        vec![(read(&[Act::Rows(vec![1])]), (0, 0)), (Head::Source(other.clone(), "source".into()), (1, 1))];
    let plan = rig.plan(heads, vec![narrow, stage("join", &rig.log, false, (2, 0))], false);
    let context = rig.context();
    let task = std::thread::spawn(move || run(plan, context));
    while rig.sink.1.lock().is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(*rig.sink.0.lock(), [7, 8]);
    *room.lock() = 5;
    other.waker.lock().take().unwrap().wake();
    task.join().unwrap().unwrap();
    assert_eq!(*rig.sink.0.lock(), [7, 8, 1]);
}

/// Has no room until it is woken.
struct Door(&'static str, Log, Arc<Mutex<usize>>);

impl Operator for Door {
    fn name(&self) -> &'static str {
        self.0
    }
    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        out.chunk(chunk);
        Ok(())
    }
    fn wake(&mut self, _out: &mut Output) -> Result<()> {
        self.1.lock().push(self.0.to_string());
        *self.2.lock() = 9;
        Ok(())
    }
    fn room(&self) -> usize {
        *self.2.lock()
    }
}

#[test]
fn an_operator_woken_with_the_next_one_gets_its_turn() {
    let rig = Rig::new();
    let door = |name: &'static str, to: usize| {
        let (log, room) = (rig.log.clone(), Arc::new(Mutex::new(0)));
        let build: BuildOperator = Arc::new(move || Ok(Box::new(Door(name, log.clone(), room.clone()))));
        Stage { build, ..stage(name, &rig.log, false, (to, 0)) }
    };
    let plan = rig.plan(vec![(read(&[Act::Wait]), (0, 0))], vec![door("front", 1), door("back", 2)], false);
    let mut task = Task::open(plan, rig.context()).unwrap();
    assert!(settle(&mut task));
    // In one round: the front one cannot continue before the back one has room, and is not woken a second time.
    rig.mailbox.waker(0).wake();
    rig.mailbox.waker(1).wake();
    assert!(settle(&mut task));
    assert_eq!(*rig.log.lock(), ["back", "front"]);
}

/// Two fragments: sources with their watermarks, and one that receives them.
fn two_fragments(rig: &mut Rig, acts: &[Act], receivers: usize) -> (TaskPlan, Vec<TaskPlan>) {
    rig.exchanges = Arc::new(HashMap::from([(0, Exchange::new(1, receivers))]));
    let mut first = rig.plan(vec![(read(acts), (0, 0))], vec![stage("marks", &rig.log, true, (1, 0))], false);
    first.tail = TaskTail::Sender(0);
    Arc::get_mut(&mut first.fragment).unwrap().tail = Tail::Exchange { number: 0, keys: vec![0] };
    let second = (0..receivers).map(|task| {
        let mut plan =
            rig.plan(vec![(Head::Exchange(0), (0, 0))], vec![stage("in", &rig.log, false, (1, 0))], false);
        plan.task = task;
        Arc::get_mut(&mut plan.fragment).unwrap().parallelism = receivers;
        plan
    });
    let second = second.collect();
    (first, second)
}

#[test]
fn rows_gather_behind_others_of_an_endless_source() {
    let rig = Rig::new();
    let acts = [Act::Rows(vec![1]), Act::Rows(vec![2]), Act::Wait, Act::Rows(vec![3]), Act::Wait];
    let acts = [&acts[..], &[Act::Rows(vec![4]), Act::Wait, Act::Rows(vec![5])]].concat();
    let script = Script { acts: Mutex::new(acts.into()), bounded: false, waker: Arc::default() };
    let waker = script.waker.clone();
    let plan = rig.plan(vec![(Head::Source(Arc::new(script), "source".into()), (0, 0))], vec![], true);
    let day = Duration::from_secs(86_400);
    let mut task = Task::open(plan, TaskContext { gather: day, ..rig.context() }).unwrap();
    let waker = waker.lock().clone().unwrap();
    let mut park = || loop {
        match task.step().unwrap() {
            Stepped::Worked => {}
            Stepped::Parked(due) => break due,
            Stepped::Ended => panic!("it ended"),
        }
    };
    // What is at hand goes at once.
    assert_eq!(park(), None);
    assert_eq!(*rig.sink.0.lock(), [1, 2]);
    // What comes after it waits for its time, or until it hurries.
    waker.wake();
    assert!(park().is_some_and(|due| due > Instant::now()));
    assert_eq!(*rig.sink.0.lock(), [1, 2]);
    waker.hurry();
    assert_eq!(park(), None);
    assert_eq!(*rig.sink.0.lock(), [1, 2, 3]);
    // Up to a barrier nothing waits.
    waker.wake();
    assert!(park().is_some());
    assert_eq!(*rig.sink.0.lock(), [1, 2, 3]);
}

#[test]
fn rows_go_through_an_exchange() {
    let mut rig = Rig::new();
    let many: Vec<Act> = (0..50).map(|i| Act::Rows((i * 1000..(i + 1) * 1000).collect())).collect();
    let (first, second) = two_fragments(&mut rig, &many, 3);
    let mut tasks = Vec::new();
    for plan in second.into_iter().chain([first]) {
        let context = TaskContext { mailbox: Mailbox::new(), ..rig.context() };
        tasks.push(std::thread::spawn(move || run(plan, context)));
    }
    tasks.into_iter().for_each(|t| t.join().unwrap().unwrap());
    let mut rows = rig.sink.0.lock().clone();
    rows.sort_unstable();
    assert_eq!(rows, (0..50_000).collect::<Vec<_>>());
    let log = rig.log.lock();
    for last in ["in END", "in End"] {
        assert_eq!(log.iter().filter(|l| *l == last).count(), 3);
    }
}

#[test]
fn a_sender_without_receivers_stops_and_a_full_one_can_be_cancelled() {
    let mut rig = Rig::new();
    let many: Vec<Act> = (0..50).map(|_| Act::Rows(vec![1; 8192])).collect();
    let (first, second) = two_fragments(&mut rig, &many, 1);
    // Nobody takes anything: it fills the channel and parks.
    let mailbox = Mailbox::new();
    let context = TaskContext { mailbox: mailbox.clone(), ..rig.context() };
    let metrics = context.metrics.clone();
    let task = std::thread::spawn(move || run(first, context));
    let rows_in = || metrics.rows_in.load(std::sync::atomic::Ordering::Relaxed);
    while rows_in() == 0 {
        std::thread::yield_now();
    }
    mailbox.cancel();
    assert_eq!(task.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(rows_in() <= 2 * 8192, "{}", rows_in());
    drop(second);

    let (first, second) = two_fragments(&mut rig, &many, 1);
    drop(rig.exchanges[&0].receiver(0, Mailbox::new().waker(0)));
    run(first, rig.context()).unwrap();
    drop(second);
}

#[test]
fn errors_end_the_task() {
    let rig = Rig::new();
    let e = rig.run(vec![(read(&[Act::Rows(vec![1]), Act::Fail]), (0, 0))], vec![]).unwrap_err();
    assert_eq!(e.message(), "the source is broken");
    let panics = rig.plan(vec![(read(&[Act::Panic]), (0, 0))], vec![], false);
    let context = rig.context();
    assert!(std::thread::spawn(move || run(panics, context)).join().is_err());
    let e = rig.run(vec![(read(&[]), (1, 0))], vec![stage("a", &rig.log, false, (1, 0))]).unwrap_err();
    assert_eq!(e.message(), "an input of an operator has no sender");
    let e = rig.run(vec![(read(&[]), (0, 0))], vec![stage("a", &rig.log, false, (0, 0))]).unwrap_err();
    assert!(e.message().contains("which does not follow"), "{e}");
}

/// A service that takes rows and does not answer until it is made to; it takes two at a time.
#[derive(Default)]
struct Service {
    sent: Vec<i64>,
    answered: usize,
    waker: Option<Waker>,
}

impl Service {
    fn answers(&mut self) {
        self.answered = self.sent.len();
        self.waker.iter().for_each(Waker::wake);
    }
}

/// Sends rows to a service, and keeps what that does not take.
struct Requests {
    service: Arc<Mutex<Service>>,
    kept: VecDeque<i64>,
    /// What a checkpoint waits for.
    asked: Option<(u64, usize)>,
}

impl Requests {
    fn send(&mut self) {
        let mut service = self.service.lock();
        while service.sent.len() - service.answered < 2
            && let Some(row) = self.kept.pop_front()
        {
            service.sent.push(row);
        }
    }
}

impl Writer for Requests {
    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        self.kept.extend(values(chunk));
        self.send();
        Ok(())
    }
    fn room(&self) -> bool {
        self.kept.len() < 2
    }
    fn wake(&mut self) -> Result<()> {
        self.send();
        Ok(())
    }
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
    fn pre_commit(&mut self, epoch: u64, _last: bool) -> Result<Poll<Vec<serde_json::Value>>> {
        let service = self.service.lock();
        let now = (epoch, service.sent.len() + self.kept.len());
        let (_, rows) = *self.asked.get_or_insert(now);
        if service.answered < rows {
            return Ok(Poll::Pending);
        }
        self.asked = None;
        Ok(Poll::Ready(vec![rows.into()]))
    }
    fn finish(&mut self) -> Result<Poll<()>> {
        let service = self.service.lock();
        let done = self.kept.is_empty() && service.answered == service.sent.len();
        Ok(if done { Poll::Ready(()) } else { Poll::Pending })
    }
}

/// Steps until there is nothing to do; false when the task has ended.
fn settle(task: &mut Task) -> bool {
    loop {
        match task.step().unwrap() {
            Stepped::Worked => {}
            Stepped::Parked(_) => return true,
            Stepped::Ended => return false,
        }
    }
}

#[test]
fn a_service_that_stalls_delays_neither_barriers_nor_others_nor_takes_more_and_more() {
    let (sender, reports) = crossbeam_channel::unbounded();
    let clock = ManualClock::new(0);
    let make = |rig: &Rig, index: usize, rows: i64, writer: Option<Box<dyn Writer>>| {
        let acts: Vec<Act> = (0..rows).map(|n| Act::Rows(vec![n])).chain([Act::Wait]).collect();
        let head = (Head::Source(source(&acts), format!("source-{index}")), (0, 0));
        let mut plan = rig.plan(vec![head], Vec::new(), true);
        if let Some(writer) = writer {
            plan.tail = TaskTail::Writer(writer);
        }
        let reporter = Some(Reporter { index, reports: sender.clone() });
        Task::open(plan, TaskContext { clock: clock.clone(), reporter, ..rig.context() }).unwrap()
    };
    let (slow, fast) = (Rig::new(), Rig::new());
    let service =
        Arc::new(Mutex::new(Service { waker: Some(slow.mailbox.waker(TAIL)), ..Service::default() }));
    let writer = Requests { service: service.clone(), kept: VecDeque::new(), asked: None };
    let mut stalled = make(&slow, 0, 9, Some(Box::new(writer)));
    let mut other = make(&fast, 1, 5, None);
    assert!(settle(&mut stalled) && settle(&mut other));
    assert_eq!(service.lock().sent, [0, 1], "two requests, two rows kept, and nothing is read for it");
    assert_eq!(*fast.sink.0.lock(), [0, 1, 2, 3, 4]);
    for rig in [&slow, &fast] {
        rig.mailbox.checkpoint(Barrier { epoch: 1, last: false });
    }
    assert!(settle(&mut stalled) && settle(&mut other));
    assert_eq!((stalled.passed, other.passed), (1, 1), "the barrier has passed both");
    assert_eq!(reports.try_iter().map(|r| r.index).collect::<Vec<_>>(), [1], "one waits for its requests");
    clock.advance(60_000);
    assert!(settle(&mut stalled));
    assert!(reports.is_empty() && service.lock().sent.len() == 2, "a minute changes nothing");
    // The service comes back. What lay before the barrier is told; rows behind it went on meanwhile.
    for _ in 0..2 {
        service.lock().answers();
        assert!(settle(&mut stalled));
    }
    let report = reports.try_recv().unwrap();
    assert_eq!((report.epoch, report.pending), (Some(1), Some(("sink".into(), vec![4.into()]))));
    assert!(service.lock().sent.len() > 4, "rows behind the barrier");
    // At the end it is waited for as well, and the end is reported once.
    slow.mailbox.drain();
    let mut turns = 0;
    while settle(&mut stalled) {
        service.lock().answers();
        turns += 1;
        assert!(turns < 20, "it does not end");
    }
    assert_eq!(reports.try_iter().map(|r| r.epoch).collect::<Vec<_>>(), [None]);
}

fn endless(acts: Vec<Act>) -> Arc<Script> {
    Arc::new(Script { acts: Mutex::new(acts.into()), bounded: false, waker: Arc::default() })
}

/// Two branches read one source, and what is behind one of them takes nothing.
#[test]
fn a_branch_without_room_is_cut_at_once_and_takes_no_more_and_more() {
    let acts: Vec<Act> = (0..40).map(|n| Act::Rows((n * 100..(n + 1) * 100).collect())).collect();
    let parts = crate::connector::shared::share(endless(acts), 2);
    let (sender, reports) = crossbeam_channel::unbounded();
    let (slow, fast) = (Rig::new(), Rig::new());
    let (none, all) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(usize::MAX)));
    let open = |index: usize, rig: &Rig, room: &Arc<Mutex<usize>>| {
        let head = (Head::Source(parts[index].clone(), "source".into()), (0, 0));
        let plan = rig.plan(vec![head], vec![narrow(&rig.log, room)], true);
        let reporter = Some(Reporter { index, reports: sender.clone() });
        Task::open(plan, TaskContext { reporter, ..rig.context() }).unwrap()
    };
    let (mut behind, mut ahead) = (open(0, &slow, &none), open(1, &fast, &all));
    let read = |rig: &Rig| rig.sink.0.lock().len();
    assert!(settle(&mut ahead) && settle(&mut behind));
    assert_eq!((read(&slow), read(&fast)), (0, 500), "the one waits for the other");
    // Whichever hears of the checkpoint first.
    for epoch in 1..7 {
        for rig in [&slow, &fast] {
            rig.mailbox.checkpoint(Barrier { epoch, last: epoch == 6 });
        }
        let (first, second) = match epoch % 2 {
            0 => (&mut ahead, &mut behind),
            _ => (&mut behind, &mut ahead),
        };
        assert!(settle(first) && settle(second));
        assert_eq!((behind.passed, ahead.passed), (epoch, epoch), "the barrier has passed both");
        assert_eq!(reports.try_iter().filter(|r| r.epoch == Some(epoch)).count(), 2);
        assert_eq!(read(&slow), read(&fast), "they are cut at one row");
        if epoch < 5 {
            assert_eq!(read(&slow), 500, "no more without room");
        } else {
            assert_eq!(read(&slow), 4000);
        }
        if epoch == 4 {
            *none.lock() = usize::MAX;
            while read(&slow) < 4000 || read(&fast) < 4000 {
                let before = read(&slow) + read(&fast);
                assert!(settle(&mut behind) && settle(&mut ahead));
                assert!(read(&slow) + read(&fast) > before, "it goes on");
            }
        }
    }
}

/// The same behind an exchange.
#[test]
fn a_receiver_without_room_takes_no_more_and_more() {
    let acts: Vec<Act> = (0..40).map(|n| Act::Rows(vec![n; 4096])).collect();
    let mut rig = Rig::new();
    rig.exchanges = Arc::new(HashMap::from([(0, Exchange::new(1, 1))]));
    let room = Arc::new(Mutex::new(0));
    let (reports, _reports) = crossbeam_channel::unbounded();
    let head = (Head::Source(endless(acts), "source".into()), (0, 0));
    let mut first = rig.plan(vec![head], Vec::new(), true);
    first.tail = TaskTail::Sender(0);
    Arc::get_mut(&mut first.fragment).unwrap().tail = Tail::Exchange { number: 0, keys: vec![0] };
    let second = rig.plan(vec![(Head::Exchange(0), (0, 0))], vec![narrow(&rig.log, &room)], true);
    let mut mailboxes = Vec::new();
    let mut open = |index, plan| {
        let reporter = Some(Reporter { index, reports: reports.clone() });
        mailboxes.push(Mailbox::new());
        let mailbox = mailboxes[index].clone();
        Task::open(plan, TaskContext { mailbox, reporter, ..rig.context() }).unwrap()
    };
    let (mut from, mut to) = (open(0, first), open(1, second));
    let read = || rig.sink.0.lock().len();
    for epoch in 1..5 {
        assert!(settle(&mut from) && settle(&mut to));
        mailboxes.iter().for_each(|mailbox| mailbox.checkpoint(Barrier { epoch, last: false }));
        assert!(settle(&mut from) && settle(&mut to));
        assert_eq!((from.passed, to.passed), (epoch, epoch), "the barrier has passed both");
        assert_eq!(read(), 4 * 4096, "what the channel holds, once");
    }
    *room.lock() = usize::MAX;
    while read() < 40 * 4096 {
        let before = read();
        assert!(settle(&mut to) && settle(&mut from) && settle(&mut to));
        assert!(read() > before, "it goes on");
    }
}
