//! Whole jobs, simulated: any schedule of barriers, crashes and restores gives the output of the run without them.
//!
//! ```text
//!  SQL ─> planner ─> tasks ──┐  one thread, one seed
//!  rows that a seed made ────┤
//!                            ▼
//!   which task is next?  how many rows?  does a lookup answer?  does a checkpoint begin?  is it committed?
//!   does the clock move?  does the job crash, and with how many tasks does it come back, from which checkpoint?
//!   does a commit fail half-way?  a deletion, a listing, a read, a write?  is a write done whose answer is lost?
//!                            │
//!                            ▼
//!   what the sink shows at the end  ==  what it shows of the same rows without all that
//! ```
//! Tasks are stepped one at a time by a scheduler that a seed drives; processing time is a clock that it moves;
//! lookups answer when it says so, and their time is a paused clock; checkpoints go through their real encoding into
//! a store in memory; sinks commit in two phases and know what they have shown. A failing schedule is printed with
//! the command that runs it again.
//!
//! | variable | meaning |
//! |---|---|
//! | `SIM_SCHEDULES` | schedules for each query, instead of a few |
//! | `SIM_CASE` | queries whose names contain this |
//! | `SIM_SEED` | this schedule alone, with everything that happens in it |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cases;
mod data;
mod durable;
mod verdict;
pub(crate) mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::cases::Case;
use self::data::{Data, TABLES};
use self::durable::{Content, MemoryStore, is_edge};

use self::world::{Logs, World};
use super::Barrier;
use super::coordinator::{Durable, commit};
use crate::clock::{Clock, ManualClock};
use crate::error::Result;
use crate::session::stepped::{Incarnation, Opening};
use crate::session::{Output, Session};

use crate::state::Memory;
use crate::state::checkpoint::{Checkpoint, Checkpoints, Cut};
use crate::state::store::Store;

/// Schedules for each query, unless `SIM_SCHEDULES` says how many.
const SCHEDULES: u64 = 6;

/// Different rows for each query.
const DATA: u64 = 4;

/// Events after which a job that has not ended never will.
const EVENTS: usize = 400_000;

/// Turns without anything to do after which a job is stuck.
const STUCK: usize = 50;

/// What a schedule is like.
#[derive(Debug)]
struct Temper {
    /// Most rows that a source hands over at once.
    batch: usize,
    /// A checkpoint begins in one of so many events.
    checkpoint: u32,
    /// The job crashes in one of so many events.
    crash: u32,
    /// Crashes and stops that are left.
    falls: u32,
    /// It comes back with another number of tasks.
    rescales: bool,
    /// It comes back as another process would: planned again.
    replans: bool,
    /// Checkpoints that are kept.
    retained: usize,
    /// One request to the store, or to a sink that commits, in so many fails; 0: none.
    edges: u32,
    /// What state may take in memory, if that is limited.
    memory: Option<usize>,
}

/// A job, and everything around it.
struct Simulation {
    case: Case,
    temper: Temper,
    random: StdRng,
    clock: Arc<ManualClock>,
    world: Arc<World>,
    /// Before the session, whose runtime it uses.
    run: Option<Incarnation>,
    outputs: Vec<Output>,
    session: Session,
    parallelism: usize,
    store: MemoryStore,
    checkpoints: Checkpoints,
    epoch: u64,
    /// What was durable behind each checkpoint, and what sinks had, before it was committed.
    history: Vec<(u64, Content, Logs)>,
    /// The same of checkpoints of which the store did not say that they are durable.
    uncertain: Vec<(u64, Content, Logs)>,
    /// Written, and not committed yet.
    written: Option<Durable>,
    /// All that is left is to commit.
    over: bool,
    trace: Vec<String>,
}

/// A session that waits on this thread, and the job planned in it.
fn plan(case: &Case, parallelism: usize, clock: &Arc<ManualClock>) -> Result<(Session, Vec<Output>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let session = Session::planning(clock.clone(), runtime);
    session.set("table.local-time-zone", "UTC")?;
    session.set("parallelism.default", &parallelism.to_string())?;
    for setting in case.settings {
        let (key, value) = setting.split_once('=').expect("key=value");
        session.set(key, value)?;
    }
    let words: Vec<&str> = case.sql.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let mut script = String::new();
    for statement in TABLES.split_inclusive(';') {
        let name = statement.trim_start().split(' ').nth(2).unwrap_or_default();
        if words.contains(&name) {
            script.push_str(statement);
        }
    }
    if !case.sql.contains("INSERT INTO") {
        script.push_str("CREATE TABLE o WITH ('connector' = 'script') AS ");
    }
    script.push_str(case.sql);
    let guard = session.runtime().unwrap().enter();
    let outputs = session.plan_script(&script)?;
    drop(guard);
    Ok((session, outputs))
}

impl Simulation {
    fn new(case: Case, data: Data, seed: u64, limited: bool) -> Result<Self> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut temper = Temper {
            batch: [1, 3, 10, 50][random.random_range(0..4)],
            checkpoint: [4, 15, 60, 200][random.random_range(0..4)],
            crash: [20, 80, 300][random.random_range(0..3)],
            falls: random.random_range(0..7),
            rescales: random.random_bool(0.4),
            replans: random.random_bool(0.4),
            retained: random.random_range(1..4),
            edges: [0, 0, 60, 15][random.random_range(0..4)],
            memory: [None, None, Some(0), Some(8 << 10)][random.random_range(0..4)],
        };
        if limited {
            temper.memory = Some(0);
        }
        let parallelism = [1, 1, 2, 3][random.random_range(0..4)];
        let world = World::begin(data, seed, temper.batch);
        let clock = ManualClock::new(1_704_067_200_000);
        let (session, outputs) = plan(&case, parallelism, &clock)?;
        let store = MemoryStore::with(world.edges.clone());
        let checkpoints = Checkpoints::open(store.under("job"), temper.retained)?;
        let mut simulation = Self {
            case,
            random,
            clock,
            world,
            run: None,
            outputs,
            session,
            parallelism,
            checkpoints,
            store,
            epoch: 0,
            history: Vec::new(),
            uncertain: Vec::new(),
            written: None,
            over: false,
            trace: vec![format!("{temper:?}")],
            temper,
        };
        simulation.note(|s| format!("starts with {} tasks each", s.parallelism));
        simulation.open(None)?;
        simulation.world.edges.set(seed, simulation.temper.edges);
        Ok(simulation)
    }

    fn note(&mut self, text: impl FnOnce(&Self) -> String) {
        let text = text(self);
        self.trace.push(text);
    }

    fn one_in(&mut self, many: u32) -> bool {
        self.random.random_ratio(1, many.max(1))
    }

    fn open(&mut self, restored: Option<Checkpoint>) -> Result<()> {
        self.checkpoints.begin();
        let _guard = self.session.runtime().unwrap().enter();
        let runtime = self.session.runtime().unwrap().handle();
        let restored = restored.map(Arc::new);
        let memory = self.temper.memory.map_or_else(Memory::unlimited, Memory::new);
        let (metrics, bell) = (Arc::default(), None);
        let how = Opening { parallelism: self.parallelism, checkpointed: true, memory, metrics, bell };
        let clock: Arc<dyn Clock> = self.clock.clone();
        self.run = Some(Incarnation::open(&self.outputs, how, restored, &clock, runtime)?);
        Ok(())
    }

    /// Runs the job to its end.
    fn play(&mut self) -> Result<(), String> {
        let mut idle = 0;
        for _ in 0..EVENTS {
            if self.over && self.written.is_none() {
                return self.clear().map_err(|e| format!("{e:?}"));
            }
            let before = self.trace.len();
            let worked = self.event().map_err(|e| format!("{e:?}"))?;
            let moved = worked || self.trace.len() > before;
            idle = if moved { 0 } else { idle + 1 };
            if idle > 0 && idle % 20 == 0 {
                self.let_time_pass(30_000);
            }
            if idle > STUCK * 20 {
                let stands = self.run.as_ref().map(Incarnation::describe).unwrap_or_default();
                return Err(format!("the job is stuck: {stands}, open calls: {}", self.world.calls()));
            }
        }
        Err("the job does not end".into())
    }

    /// Something happens; whether it was anything.
    fn event(&mut self) -> Result<bool> {
        if self.written.is_some() && self.one_in(4) {
            self.commit()?;
            return Ok(true);
        }
        if self.temper.falls > 0 && self.one_in(self.temper.crash) {
            self.temper.falls -= 1;
            self.crash()?;
            return Ok(true);
        }
        self.complete()?;
        if self.over {
            return Ok(true);
        }
        if self.one_in(self.temper.checkpoint) && self.begin_checkpoint() {
            return Ok(true);
        }
        if self.one_in(40) {
            self.let_time_pass(700);
        }
        let calls = self.world.calls();
        if calls > 0 && self.one_in(4) {
            let nth = self.random.random_range(0..calls);
            let keys = self.world.answer(nth);
            self.trace.push(format!("answers {keys}"));
        }
        if self.one_in(3) {
            self.tick();
        }
        let Some(run) = &mut self.run else { return Ok(false) };
        let index = self.random.random_range(0..run.tasks());
        let _guard = self.session.runtime().unwrap().enter();
        run.step(index)
    }

    /// Lets what waits elsewhere run.
    fn tick(&mut self) {
        let turns = self.random.random_range(1..12);
        self.session.runtime().unwrap().block_on(async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        });
    }

    fn let_time_pass(&mut self, most: i64) {
        let millis = self.random.random_range(1..most);
        self.clock.advance(millis);
        self.tick();
    }

    fn begin_checkpoint(&mut self) -> bool {
        let last = self.temper.falls > 0 && self.random.random_ratio(1, 12);
        let Some(run) = &mut self.run else { return false };
        if run.barrier().is_some() || self.written.is_some() || run.ended() {
            return false;
        }
        self.epoch += 1;
        run.announce(Barrier { epoch: self.epoch, last });
        self.trace.push(format!("checkpoint {} begins{}", self.epoch, if last { ", to stop" } else { "" }));
        true
    }

    /// Writes the checkpoint that all tasks have given their part of.
    fn complete(&mut self) -> Result<()> {
        let Some(run) = &mut self.run else { return Ok(()) };
        if self.written.is_some() {
            return Ok(());
        }
        if let Some(barrier) = run.barrier() {
            let Some(cut) = run.complete(barrier.epoch, false) else { return Ok(()) };
            if !self.write(cut)? {
                return Ok(());
            }
            if barrier.last {
                if !self.commit()? {
                    return Ok(());
                }
                self.temper.falls = self.temper.falls.saturating_sub(1);
                self.come_back("stopped")?;
            }
        } else if run.ended() {
            self.epoch += 1;
            let Some(cut) = run.complete(self.epoch, true) else { return Ok(()) };
            // Written or not, the end may be durable: then the job has come back to it already.
            if self.write(cut)? {
                self.over = true;
            }
        }
        Ok(())
    }

    /// Writes a checkpoint; whether that went well.
    fn write(&mut self, cut: Cut) -> Result<bool> {
        let (epoch, sinks, ended) = (cut.epoch, cut.sinks.clone(), cut.ended);
        let Some(run) = &self.run else { return Ok(false) };
        let last = run.barrier().is_some_and(|barrier| barrier.last);
        let written = self.checkpoints.write(&run.plan, cut);
        let now = (epoch, self.store.content(), self.world.sinks.lock().clone());
        if let Err(e) = written {
            if !is_edge(&e) {
                return Err(e);
            }
            self.trace.push(format!("checkpoint {epoch} cannot be written: {}", e.message()));
            self.uncertain.push(now);
            // One may fail, if the job has rows to go on with.
            if ended || last || self.one_in(2) {
                self.come_back("failed")?;
            }
            return Ok(false);
        }
        self.uncertain.clear();
        self.history.push(now);
        self.written = Some(Durable { epoch, sinks });
        self.trace
            .push(format!("checkpoint {epoch} is written{}", if ended { ", the last one" } else { "" }));
        Ok(true)
    }

    /// Commits what is durable; whether that went well.
    fn commit(&mut self) -> Result<bool> {
        let Some(pending) = &self.written else { return Ok(true) };
        match commit(self.outputs.iter().map(|o| (&o.id, &o.sink)), pending) {
            Ok(()) => {
                self.written = None;
                self.trace.push("it is committed".into());
                Ok(true)
            }
            Err(e) if is_edge(&e) => {
                self.trace.push(format!("it cannot be committed: {}", e.message()));
                // The last one is tried again; before that the job is.
                if !self.over {
                    self.come_back("failed")?;
                }
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    /// The job is over: what it leaves behind does not count any more.
    fn clear(&mut self) -> Result<()> {
        let cleared = self.checkpoints.clear();
        self.world.edges.set(0, 0);
        match cleared {
            Ok(()) => {
                let next = Checkpoints::open(self.store.under("job"), self.temper.retained)?;
                assert!(next.latest()?.0.is_none(), "a job that is over does not come back");
            }
            Err(e) => assert!(is_edge(&e), "{e:?}"),
        }
        Ok(())
    }

    fn crash(&mut self) -> Result<()> {
        if self.history.len() > 1 && self.temper.retained > 1 && self.one_in(5) {
            self.history.pop();
            let (epoch, content, logs) = self.history.last().cloned().unwrap_or_default();
            self.store.reset(content);
            self.uncertain.clear();
            *self.world.sinks.lock() = logs;
            self.trace.push(format!("the newest checkpoint is lost, what counts is {epoch}"));
        }
        self.come_back("crashed")
    }

    /// Throws everything away that is not durable, and starts again, however often that takes.
    fn come_back(&mut self, why: &str) -> Result<()> {
        let before = self.parallelism;
        while let Err(e) = self.try_to_come_back(why, before) {
            if !is_edge(&e) {
                return Err(e);
            }
            self.trace.push(format!("{why}, and cannot come back: {}", e.message()));
        }
        Ok(())
    }

    fn try_to_come_back(&mut self, why: &str, before: usize) -> Result<()> {
        self.run = None;
        self.written = None;
        self.over = false;
        let planned = self.parallelism;
        if self.temper.rescales {
            self.parallelism = self.random.random_range(1..5);
        }
        self.checkpoints = Checkpoints::open(self.store.under("job"), self.temper.retained)?;
        let (latest, warnings) = self.checkpoints.latest()?;
        assert!(warnings.is_empty(), "nothing is damaged: {warnings:?}");
        // One of which nobody knew whether it is durable is.
        let found = latest.as_ref().map_or(0, Checkpoint::epoch);
        if let Some(at) = self.uncertain.iter().position(|(epoch, ..)| *epoch == found) {
            let certain = self.uncertain.swap_remove(at);
            self.history.push(certain);
            self.uncertain.clear();
        }
        let newest = self.history.last().map(|(epoch, ..)| *epoch);
        assert_eq!(latest.as_ref().map(Checkpoint::epoch), newest, "the newest checkpoint is found");
        self.epoch = newest.unwrap_or(0).max(self.epoch);
        self.trace.push(format!("{why}: comes back from {newest:?} with {} tasks each", self.parallelism));
        if self.temper.replans || self.parallelism != planned {
            self.outputs.clear();
            (self.session, self.outputs) = plan(&self.case, self.parallelism, &self.clock)?;
        }
        if let Some(ended) = latest.as_ref().filter(|checkpoint| checkpoint.ended()) {
            for output in &self.outputs {
                output.sink.recover(ended.sinks().get(&output.id).map_or(&[], Vec::as_slice))?;
            }
            self.over = true;
            return Ok(());
        }
        match self.open(latest.clone()) {
            // State that cannot be dealt to other tasks says so.
            Err(e) if self.parallelism != before && e.to_string().contains("cannot be given to") => {
                self.trace.push(format!("cannot: {e}"));
                self.parallelism = before;
                self.outputs.clear();
                (self.session, self.outputs) = plan(&self.case, self.parallelism, &self.clock)?;
                self.open(latest)
            }
            opened => opened,
        }
    }
}

/// What sinks show, as far as the case goes.
fn shown(case: &Case, world: &World) -> Result<BTreeMap<String, Vec<String>>, String> {
    let sinks = world.sinks.lock();
    sinks.iter().map(|(name, log)| Ok((name.clone(), case.check.essence(&log.visible)?))).collect()
}

/// The output without barriers and crashes.
fn reference(case: &Case, data: &Data) -> Result<BTreeMap<String, Vec<String>>, String> {
    let world = World::begin(data.clone(), 0, 0);
    let clock = ManualClock::new(1_704_067_200_000);
    let run = || -> Result<(), String> {
        let (session, outputs) = plan(case, 1, &clock).map_err(|e| format!("{e:?}"))?;
        let guard = session.runtime().unwrap().enter();
        let handle = session.runtime().unwrap().handle();
        let (memory, metrics, bell) = (Memory::unlimited(), Arc::default(), None);
        let how = Opening { parallelism: 1, checkpointed: false, memory, metrics, bell };
        let time: Arc<dyn Clock> = clock.clone();
        let mut run = Incarnation::open(&outputs, how, None, &time, handle).map_err(|e| format!("{e:?}"))?;
        for turn in 0..EVENTS {
            for index in 0..run.tasks() {
                run.step(index).map_err(|e| format!("{e:?}"))?;
            }
            if run.ended() {
                drop(run);
                drop(guard);
                return Ok(());
            }
            while world.calls() > 0 {
                world.answer(0);
            }
            session.runtime().unwrap().block_on(async {
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
            });
            if turn % 100 == 99 {
                clock.advance(10_000);
            }
        }
        Err(format!("the job does not end without barriers either: {}", run.describe()))
    };
    run()?;
    world.sinks.lock().values_mut().for_each(world::Log::commit_all);
    shown(case, &world)
}

/// Runs one schedule; what is wrong with it, and what happened.
fn schedule(
    case: Case,
    data: &Data,
    expected: &BTreeMap<String, Vec<String>>,
    seed: u64,
    limited: bool,
) -> (Option<String>, Vec<String>) {
    let mut trace = Vec::new();
    let played = std::panic::catch_unwind(AssertUnwindSafe(|| -> Result<(), String> {
        let mut simulation =
            Simulation::new(case, data.clone(), seed, limited).map_err(|e| format!("{e:?}"))?;
        let played = std::panic::catch_unwind(AssertUnwindSafe(|| simulation.play()));
        trace = std::mem::take(&mut simulation.trace);
        let world = simulation.world.clone();
        drop(simulation);
        played.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let found = shown(&case, &world)?;
        if found == *expected {
            return Ok(());
        }
        let mut wrong = String::from("the sink shows something else");
        for (sink, rows) in expected {
            let empty = Vec::new();
            let found = found.get(sink).unwrap_or(&empty);
            let missing = |from: &[String], other: &[String]| {
                let mut rest = other.to_vec();
                let lost = from.iter().filter(|row| match rest.iter().position(|r| r == *row) {
                    Some(at) => {
                        rest.swap_remove(at);
                        false
                    }
                    None => true,
                });
                lost.map(|row| format!("\n      {row}")).collect::<String>()
            };
            let _ = write!(
                wrong,
                "\n  sink {sink}: {} rows, {} expected\n    lost:{}\n    too much:{}",
                found.len(),
                rows.len(),
                missing(rows, found),
                missing(found, rows)
            );
        }
        Err(wrong)
    }));
    let wrong = match played {
        Ok(Ok(())) => None,
        Ok(Err(wrong)) => Some(wrong),
        Err(panic) => {
            let words = panic.downcast_ref::<&str>().map(|s| s.to_string());
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
            Some(format!("panicked: {}", words.unwrap_or_default()))
        }
    };
    (wrong, trace)
}

/// The number in a variable of the environment.
fn variable(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// Runs the cases on a thread with more stack than tests have: a debug build nests deeply.
fn run_cases(cases: &'static [Case]) {
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(|| run_all(cases)).unwrap();
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn run_all(cases: &[Case]) {
    let only = std::env::var("SIM_CASE").unwrap_or_default();
    let replayed = variable("SIM_SEED");
    let schedules = variable("SIM_SCHEDULES").unwrap_or(SCHEDULES);
    let mut report = String::new();
    for case in cases.iter().filter(|case| case.name.contains(&only)) {
        eprintln!("{}", case.name);
        let mut references: BTreeMap<u64, (Data, BTreeMap<String, Vec<String>>)> = BTreeMap::new();
        let (mut failed, mut shortest) = (0, None::<(usize, String)>);
        let seeds = replayed.map_or(0..schedules, |seed| seed..seed + 1);
        for seed in seeds {
            let number = seed % DATA;
            if let std::collections::btree_map::Entry::Vacant(place) = references.entry(number) {
                let data = Data::new(number);
                match reference(case, &data) {
                    Ok(expected) => drop(place.insert((data, expected))),
                    Err(wrong) => {
                        let _ = writeln!(report, "{}: no reference: {wrong}\n", case.name);
                        break;
                    }
                }
            }
            let (data, expected) = &references[&number];
            let (wrong, trace) = schedule(*case, data, expected, seed, false);
            if replayed.is_some() {
                println!("{}, seed {seed}:\n  {}", case.name, trace.join("\n  "));
            }
            let Some(wrong) = wrong else { continue };
            failed += 1;
            let events: Vec<&String> = trace.iter().filter(|event| !event.starts_with("answers")).collect();
            if shortest.as_ref().is_none_or(|(length, _)| events.len() < *length) {
                let last = &events[events.len().saturating_sub(12)..];
                let last: String = last.iter().map(|event| format!("\n    {event}")).collect();
                let text = format!(
                    "SIM_CASE={} SIM_SEED={seed} cargo test --lib simulation -- --nocapture\n  {wrong}\n  at last:{last}",
                    case.name
                );
                shortest = Some((events.len(), text));
            }
        }
        if let Some((_, text)) = shortest {
            let _ = writeln!(
                report,
                "{}: {failed} of {schedules} schedules fail, the shortest of them:\n{text}\n",
                case.name
            );
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

/// Every query with all of its keys on disk, as far as they can be, gives the rows that it gives without a limit.
#[test]
fn keys_on_disk_change_nothing() {
    let run = || {
        for case in [cases::AGGREGATES, cases::WINDOWS, cases::ORDERED, cases::JOINS, cases::LOOKUPS].concat()
        {
            let data = Data::new(1);
            let expected = reference(&case, &data).unwrap();
            for seed in 0..2 {
                let (wrong, trace) = schedule(case, &data, &expected, seed, true);
                assert!(
                    wrong.is_none(),
                    "{}, seed {seed}: {}\n{}",
                    case.name,
                    wrong.unwrap(),
                    trace.join("\n")
                );
            }
        }
        let moved = crate::flow::tiered::MOVED.lock();
        for name in [
            "ChangelogNormalize",
            "Deduplicate",
            "GroupAggregate",
            "IntervalJoin",
            "Join",
            "OverAggregate",
            "SetOperation",
            "SinkMaterializer",
            "SnapshotJoin",
            "TemporalJoin",
            "WindowAggregate",
            "WindowJoin",
        ] {
            assert!(moved.contains(name), "{name} has moved nothing: {moved:?}");
        }
    };
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(run).unwrap();
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn aggregates() {
    run_cases(cases::AGGREGATES);
}

#[test]
fn windows() {
    run_cases(cases::WINDOWS);
}

#[test]
fn over_ranks_and_order() {
    run_cases(cases::ORDERED);
}

#[test]
fn joins_sets_and_sinks() {
    run_cases(cases::JOINS);
}

#[test]
fn lookups() {
    run_cases(cases::LOOKUPS);
}
