//! Runs one test: reads it and its pipeline, starts the process, and plays step by step.

mod expect;
mod given;
mod played;
mod time;
mod verdict;

pub(crate) use played::{Replayed, replay};

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use super::coverage::Branches;
use super::fixture::CaptureSink;
use super::http::{self, HttpRule};
use super::rows::{self, OP, Wanted};
use super::stage::{Answer, Captured, Gate, Rule, Stage, shown};
use super::table::staged;
use crate::catalog::options::{OptionDef, OptionKind, Options};
use crate::catalog::{ColumnSource, Entry, Table};
use crate::clock::{self, Clock, ManualClock, PausedClock};
use crate::connector::SinkChangelog;
use crate::error::{Error, Result, Span};
use crate::flow::coordinator::{Durable, commit};
use crate::flow::mailbox::Bell;
use crate::flow::{Barrier, Kinds};
use crate::function::user::model;
use crate::lookup::{Failure, FailureKind, wire};
use crate::session::stepped::{Incarnation, Opening};
use crate::session::{Output, Session};
use crate::sql::test_file::{
    Called, Expect, ExpectedRows, Mock, MockAnswer, MockTarget, Place, Test, TestKind, TestStatement, defines,
};
use crate::sql::variables::{Script, Variables};
use crate::sql::{SourceText, SqlType, Statement, StatementKind, TableName};
use crate::state::Memory;
use crate::state::checkpoint::{Checkpoint, Checkpoints};
use crate::state::store::Store;
use crate::state::store::memory::MemoryStore;

/// Options of TEST.
pub(crate) const OPTIONS: &[OptionDef] = &[
    OptionDef::new(
        "pipeline",
        OptionKind::Text,
        "",
        "the file that is tested, beside the test file; `none`; default: NAME.sql for NAME.test.sql, if it is there",
    ),
    OptionDef::new(
        "clock",
        OptionKind::Text,
        "2026-01-01 00:00:00",
        "processing time when the test begins, in UTC; of a recording, when it began",
    ),
    OptionDef::new(
        "end",
        OptionKind::Bool,
        "true",
        "the input ends before the expectations at the test's end",
    ),
    OptionDef::new(
        "timeout",
        OptionKind::Duration,
        "30 s",
        "how long the test may take, by the machine's clock",
    ),
    OptionDef::new(
        "recording",
        OptionKind::Text,
        "",
        "a folder of `affluent run --record`, beside the test file: its rows come first, and its lookups answer where the test \
         has no mock; the clock begins when it did",
    ),
    OptionDef::new(
        "recording-missing",
        OptionKind::Choice(&["fail", "miss"]),
        "fail",
        "what is done with a key that the recording has no answer for",
    ),
    OptionDef::new("var.*", OptionKind::Text, "", "a value for ${...} in the pipeline, as --var gives"),
];

/// How far the clock is moved at the end, for rows that still wait.
const LAST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Yields in which everything that can go on without the clock has its turns.
const YIELDS: usize = 12;

/// What a test is run with.
pub(crate) struct Setup<'a> {
    pub(crate) file: &'a SourceText,
    pub(crate) path: &'a Path,
    pub(crate) common: &'a [TestStatement],
    pub(crate) test: &'a Test,
    /// `--set` and `--var`.
    pub(crate) set: &'a [(String, String)],
    pub(crate) var: &'a [(String, String)],
    /// Expectations that are not met are replaced by what was found.
    pub(crate) update: bool,
    /// Statements and branches that rows went through are noted.
    pub(crate) coverage: bool,
    /// Without a test: what is replayed, and the pipeline.
    pub(crate) replay: Option<&'a super::replay::Replay>,
    pub(crate) files: &'a [PathBuf],
}

/// What is wrong.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// Line of the test file.
    pub(crate) line: u32,
    /// What, in one line.
    pub(crate) title: String,
    /// More.
    pub(crate) lines: Vec<String>,
}

/// How a test ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) problems: Vec<Problem>,
    /// By the machine's clock.
    pub(crate) took: Duration,
    /// By the test's.
    pub(crate) mocked: Duration,
    /// Bytes of the file, and what is to stand there.
    pub(crate) updates: Vec<(Range<usize>, String)>,
    /// Places of the pipeline, and whether rows went through them.
    pub(crate) covered: Vec<Covered>,
    /// Of a replay: what came out.
    pub(crate) results: Vec<Replayed>,
}

/// A statement or branch of a pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Covered {
    pub(crate) path: PathBuf,
    pub(crate) line: u32,
    pub(crate) column: u32,
    /// `None`: a statement.
    pub(crate) branch: Option<String>,
    pub(crate) taken: bool,
}

/// Rows that a statement gives.
struct Given {
    table: String,
    batch: RecordBatch,
    kinds: Kinds,
    changes: bool,
}

/// A job of the pipeline.
struct JobRun {
    /// What it is called, for messages.
    name: String,
    outputs: Vec<Output>,
    /// `None` once it has ended or failed.
    run: Option<Incarnation>,
    failed: Option<Error>,
}

/// A process: what a KILL takes away.
struct Process {
    jobs: Vec<JobRun>,
    clock: Arc<dyn Clock>,
    bell: Arc<Bell>,
    gate: Arc<Gate>,
    /// The last that goes.
    session: Session,
}

/// What outlives it.
struct Memoir {
    checkpoints: Checkpoints,
    epoch: u64,
    last: Option<Checkpoint>,
}

pub(crate) struct Run<'a> {
    setup: &'a Setup<'a>,
    stage: Arc<Stage>,
    pipeline: Vec<(PathBuf, Script, Vec<Statement>)>,
    /// What the test defines.
    defined: HashSet<(&'static str, String)>,
    process: Option<Process>,
    store: MemoryStore,
    memoirs: Vec<Memoir>,
    begun: Instant,
    timeout: Duration,
    now_millis: i64,
    ended: bool,
    /// The pipeline cannot be planned.
    broken: Option<Error>,
    /// Failures that the test expects.
    expected_errors: Vec<String>,
    outcome: Outcome,
    /// It is run to find out which branches rows go through.
    branches: Option<Arc<Branches>>,
    /// What came out is wanted.
    keep: bool,
    /// Why some of the pipeline's definitions are not known to what the test says in SQL.
    incomplete: parking_lot::Mutex<Option<Problem>>,
}

fn parse_time(text: &str) -> Option<i64> {
    let text = text.trim().trim_end_matches('Z').replace('T', " ");
    let time = chrono::NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").ok().or_else(|| {
        chrono::NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok().and_then(|d| d.and_hms_opt(0, 0, 0))
    })?;
    Some(time.and_utc().timestamp_millis())
}

/// The pipeline of a test file by its name.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.strip_suffix(".test.sql").unwrap_or(&name);
    path.with_file_name(format!("{stem}.sql"))
}

/// Runs a test; never panics.
pub(crate) fn run(setup: &Setup<'_>) -> Outcome {
    let begun = Instant::now();
    let played = |branches: Option<Arc<Branches>>| {
        let play = || -> Result<Outcome, Problem> {
            let mut run = Run::new(setup)?;
            run.branches = branches;
            Ok(run.play())
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(play))
    };
    let ran = played(None);
    let mut outcome = match ran {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(problem)) => Outcome { problems: vec![problem], ..Outcome::default() },
        Err(_) => Outcome {
            problems: vec![Problem {
                line: setup.test.name.span.start.line,
                title: "the test panicked: a fault of this program".to_string(),
                lines: Vec::new(),
            }],
            ..Outcome::default()
        },
    };
    if setup.coverage
        && let Ok(Ok(again)) = played(Some(Arc::default()))
    {
        let of_branches = again.covered.into_iter().filter(|covered| covered.branch.is_some());
        outcome.covered.extend(of_branches);
    }
    outcome.took = begun.elapsed();
    outcome
}

impl<'a> Run<'a> {
    /// An error of the test file.
    fn wrong(setup: &Setup<'_>, error: &Error, span: Span) -> Problem {
        let error = if error.span().is_some() { error.clone() } else { error.clone().at(span) };
        let line = error.span().map_or(span.start.line, |s| s.start.line);
        let text = error.render(setup.file, false);
        Problem {
            line,
            title: error.message().to_string(),
            lines: text.lines().skip(1).map(str::to_string).collect(),
        }
    }

    fn new(setup: &'a Setup<'a>) -> Result<Self, Problem> {
        let name = setup.test.name.span;
        let wrong = |e: Error| Self::wrong(setup, &e, name);
        let options = Options::from_entries(&setup.test.options).map_err(wrong)?;
        let definitions: Vec<&OptionDef> = OPTIONS.iter().collect();
        options.validate("TEST", &definitions).map_err(wrong)?;
        let clock = options.text("clock").unwrap_or("2026-01-01 00:00:00");
        let mut start = parse_time(clock).ok_or_else(|| {
            let error = Error::option(format!("option 'clock': '{clock}' is no time"));
            wrong(error.at(options.span("clock")).with_hint("write '2026-01-01 00:00:00'"))
        })?;
        let replay = Self::replay(setup, &options).map_err(wrong)?;
        if let Some(replay) = replay.as_ref().filter(|_| !options.contains("clock")) {
            start = replay.recording.manifest.started;
        }
        let patience = if setup.replay.is_some() { Duration::MAX } else { Duration::from_secs(30) };
        let timeout = options.duration("timeout").map_err(wrong)?.unwrap_or(patience);
        options.bool("end").map_err(wrong)?;
        let scratch = Session::with_clock(ManualClock::new(start)).map_err(wrong)?;
        let mut run = Self {
            setup,
            stage: Stage::new(scratch),
            pipeline: Vec::new(),
            defined: HashSet::new(),
            process: None,
            store: MemoryStore::default(),
            memoirs: Vec::new(),
            begun: Instant::now(),
            timeout,
            now_millis: start,
            ended: false,
            broken: None,
            expected_errors: Vec::new(),
            outcome: Outcome::default(),
            branches: None,
            keep: false,
            incomplete: parking_lot::Mutex::default(),
        };
        if let Some(replay) = replay {
            run.stage.set_replay(replay);
        }
        run.read_pipeline(&options)?;
        run.prepare()?;
        Ok(run)
    }

    fn read_pipeline(&mut self, options: &Options) -> Result<(), Problem> {
        let wrong = |e: Error| Self::wrong(self.setup, &e, self.setup.test.name.span);
        if self.setup.replay.is_some() {
            return self.setup.files.iter().try_for_each(|path| self.read_file(path, options));
        }
        let path = match options.text("pipeline") {
            Some("none") => return Ok(()),
            Some(name) => self.setup.path.with_file_name("").join(name),
            None => beside(self.setup.path),
        };
        if !path.is_file() {
            return match options.text("pipeline") {
                Some(name) => {
                    let error = Error::option(format!("there is no pipeline '{name}' beside the test"));
                    Err(wrong(error.at(options.span("pipeline")).with_detail(path.display().to_string())))
                }
                None => Ok(()),
            };
        }
        self.read_file(&path, options)
    }

    fn read_file(&mut self, path: &Path, options: &Options) -> Result<(), Problem> {
        let wrong = |e: Error| Self::wrong(self.setup, &e, self.setup.test.name.span);
        let source = crate::console::script::read(path).map_err(wrong)?;
        let own = options.with_prefix("var.").map(|(name, value)| (name.to_string(), value.to_string()));
        let variables = Variables::new(self.setup.var.iter().cloned().chain(own));
        let script =
            variables.expand(source.clone()).map_err(|e| self.in_pipeline(&e, &Script::plain(source)))?;
        let statements =
            crate::sql::parse_script(&script.expanded).map_err(|e| self.in_pipeline(&e, &script))?;
        self.pipeline.push((path.to_path_buf(), script, statements));
        Ok(())
    }

    /// An error of the pipeline.
    fn in_pipeline(&self, error: &Error, script: &Script) -> Problem {
        let text = crate::console::diagnostic::text(error, script, false);
        Problem {
            line: self.setup.test.name.span.start.line,
            title: format!("the pipeline: {}", error.message()),
            lines: text.lines().skip(1).map(str::to_string).collect(),
        }
    }

    fn statements(&self) -> impl Iterator<Item = &'a TestStatement> + use<'a> {
        let setup = self.setup;
        setup.common.iter().chain(&setup.test.statements)
    }

    fn zone(&self) -> String {
        let zone = self.stage.scratch.setting("table.local-time-zone");
        if zone == "default" { "UTC".to_string() } else { zone }
    }

    /// Starts the process: plans the pipeline and opens its jobs.
    fn start(&mut self) -> Result<(), Problem> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.map_err(|e| Self::wrong(self.setup, &e.into(), self.setup.test.name.span))?;
        let handle = runtime.handle().clone();
        let entered = handle.enter();
        let clock: Arc<dyn Clock> = PausedClock::new(self.now_millis);
        let session = Session::planning(clock.clone(), runtime);
        let gate = Gate::new(handle.clone());
        self.stage.set_gate(gate.clone());
        let wrong = |e: Error| Self::wrong(self.setup, &e, self.setup.test.name.span);
        self.settings(&session).map_err(wrong)?;
        self.stage.set_clock(clock.clone());
        session.set_stand_in(self.stage.clone());
        self.define(&session, false)?;
        let bell = Arc::new(Bell::default());
        let mut process = Process { jobs: Vec::new(), clock, bell, gate, session };
        let planned = self.plan(&mut process);
        self.process = Some(process);
        drop(entered);
        planned
    }

    /// Executes the statements of the pipeline; those that start jobs are planned and opened.
    fn plan(&mut self, process: &mut Process) -> Result<(), Problem> {
        let parts = std::mem::take(&mut self.pipeline);
        let mut queries = 0;
        let planned = parts.iter().try_for_each(|part| self.plan_part(process, part, &mut queries));
        self.pipeline = parts;
        planned
    }

    fn plan_part(
        &mut self,
        process: &mut Process,
        (_, script, statements): &(PathBuf, Script, Vec<Statement>),
        queries: &mut usize,
    ) -> Result<(), Problem> {
        let mut done = Ok(());
        if self.broken.is_some() {
            return done;
        }
        if let Some(branches) = &self.branches {
            process.session.register_function(branches.function());
        }
        for statement in statements {
            let noted = match &self.branches {
                Some(branches) => branches.noted(&statement.kind),
                None => Ok(statement.kind.clone()),
            };
            let statement = match noted {
                Ok(kind) => &Statement { kind, ..statement.clone() },
                Err(_) => statement,
            };
            let kind = &statement.kind;
            if self.is_replaced(kind) || is_shown(kind) {
                continue;
            }
            if matches!(kind, StatementKind::Quit) {
                break;
            }
            let executed = match kind {
                StatementKind::Insert(_) | StatementKind::StatementSet(_) | StatementKind::Query(_) => {
                    *queries += usize::from(matches!(kind, StatementKind::Query(_)));
                    self.open(process, kind, *queries)
                }
                StatementKind::CreateTable(table) if table.query.is_some() => {
                    process.session.create_target(kind).and_then(|()| self.open(process, kind, *queries))
                }
                kind if is_definition(kind) => process.session.execute(statement).map(drop),
                _ => Err(Error::unsupported("this statement cannot be run in a test")
                    .with_hint("CREATE, SET, INSERT, statement sets and queries can")),
            };
            if let Err(e) = executed {
                let e = if e.span().is_some() { e } else { e.at(statement.span) };
                self.broken = Some(e.clone());
                if !self.expects_error(&e) {
                    done = Err(self.in_pipeline(&e, script));
                }
                break;
            }
        }
        done
    }

    /// Whether the test says that this happens.
    fn expects_error(&self, error: &Error) -> bool {
        let text = error.to_string();
        self.setup.test.statements.iter().any(|statement| match &statement.kind {
            TestKind::Expect(Expect::Error(part)) => text.contains(&part.value),
            _ => false,
        })
    }

    fn open(&mut self, process: &mut Process, kind: &StatementKind, nth: usize) -> Result<()> {
        let stage = self.stage.clone();
        process.session.replace_tables(|table| staged(table, &stage))?;
        let result = |schema: &SchemaRef| -> Arc<dyn crate::connector::Sink> {
            let make = || Captured::new(schema.clone(), Vec::new(), SinkChangelog::All);
            Arc::new(CaptureSink(stage.sink(&result_name(nth), make)))
        };
        let (name, outputs) = process.session.plan_job(kind, result)?;
        let index = process.jobs.len();
        if self.memoirs.len() <= index {
            let store = self.store.under(&format!("job-{index}"));
            self.memoirs.push(Memoir { checkpoints: Checkpoints::open(store, 1)?, epoch: 0, last: None });
        }
        let memoir = &mut self.memoirs[index];
        memoir.checkpoints.begin();
        let restored = memoir.last.take().map(Arc::new);
        if restored.as_ref().is_some_and(|checkpoint| checkpoint.ended()) {
            process.jobs.push(JobRun { name, outputs, run: None, failed: None });
            return Ok(());
        }
        let run = Self::incarnate(process, &outputs, restored, true)?;
        process.jobs.push(JobRun { name, outputs, run: Some(run), failed: None });
        Ok(())
    }

    fn incarnate(
        process: &Process,
        outputs: &[Output],
        restored: Option<Arc<Checkpoint>>,
        checkpointed: bool,
    ) -> Result<Incarnation> {
        let parallelism = process.session.setting("parallelism.default").parse().unwrap_or(1);
        let how = Opening {
            parallelism,
            checkpointed,
            memory: Memory::unlimited(),
            metrics: Arc::default(),
            bell: Some(process.bell.clone()),
        };
        let handle = process.session.runtime()?.handle().clone();
        Incarnation::open(outputs, how, restored, &process.clock, &handle)
    }

    /// Plays the test.
    fn play(mut self) -> Outcome {
        let wire: Arc<dyn wire::Wire> = self.stage.clone();
        let mocked = (clock::Mocked::begin(), wire::Mocked::by(wire));
        let begin = self.now_millis;
        if let Err(problem) = self.steps() {
            self.outcome.problems.push(problem);
        }
        self.judge();
        if self.keep {
            match self.results() {
                Ok(results) => self.outcome.results = results,
                Err(e) => {
                    let problem = Self::wrong(self.setup, &e, self.setup.test.name.span);
                    self.outcome.problems.push(problem);
                }
            }
        }
        self.cover();
        let passed = u64::try_from(self.now_millis - begin).unwrap_or(0);
        self.outcome.mocked = Duration::from_millis(passed);
        self.process = None;
        drop(mocked);
        self.outcome
    }

    fn steps(&mut self) -> Result<(), Problem> {
        let setup = self.setup;
        let all: Vec<&TestStatement> = self.statements().collect();
        let is_step = |s: &&TestStatement| {
            !matches!(s.kind, TestKind::Plain(_) | TestKind::Mock(_) | TestKind::Rows { .. })
        };
        let first = all.iter().position(is_step).unwrap_or(all.len());
        let (before, steps) = all.split_at(first);
        // Lookups find these rows from the start, sources get them one statement after the other.
        let mut waiting = Vec::new();
        for statement in before {
            let given = self.given(statement).map_err(|e| Self::wrong(setup, &e, statement.span))?;
            if let Some(given) = given {
                let feed = self.stage.feed_or(&given.table, given.changes);
                feed.stage(given.batch, given.kinds);
                waiting.push(feed);
            }
        }
        // Tables that get rows later are the test's from the start.
        for statement in steps {
            if let TestKind::Rows { insert, changes } = &statement.kind {
                let table = self.table(&insert.table).map_err(|e| Self::wrong(setup, &e, statement.span))?;
                self.stage.feed_or(&table.name, *changes);
            }
        }
        self.feeds_of_recording();
        self.start()?;
        for feed in waiting {
            feed.push();
            self.settle()?;
        }
        self.settle()?;
        self.play_recording()?;
        if setup.replay.is_some() {
            return Ok(());
        }
        let acts = |s: &&&TestStatement| !matches!(s.kind, TestKind::Expect(_));
        let last = steps.iter().rposition(|s| acts(&s)).map_or(0, |at| at + 1);
        let options = Options::from_entries(&setup.test.options).unwrap_or_default();
        let ends = options.bool("end").ok().flatten().unwrap_or(true);
        for (at, statement) in steps.iter().enumerate() {
            if at == last && ends && !self.ended {
                self.end(statement.span)?;
            }
            self.step(statement)?;
        }
        if ends && !self.ended {
            self.end(setup.test.name.span)?;
        }
        Ok(())
    }

    fn step(&mut self, statement: &TestStatement) -> Result<(), Problem> {
        let setup = self.setup;
        let wrong = |e: Error| Self::wrong(setup, &e, statement.span);
        match &statement.kind {
            TestKind::Plain(_) | TestKind::Mock(_) => Ok(()),
            TestKind::Rows { .. } => {
                if self.ended {
                    return Err(wrong(Error::plan("the input has ended, no row arrives any more")));
                }
                if let Some(given) = self.given(statement).map_err(wrong)? {
                    let feed = self.stage.feed_or(&given.table, given.changes);
                    feed.stage(given.batch, given.kinds);
                    feed.push();
                }
                self.settle()
            }
            TestKind::Advance(by) => self.advance(*by),
            TestKind::AdvanceTo(time) => {
                let to = parse_time(&time.value).ok_or_else(|| {
                    wrong(Error::plan(format!("'{}' is no time", time.value)).at(time.span))
                })?;
                let by = u64::try_from(to - self.now()).map_err(|_| {
                    wrong(
                        Error::plan(format!("'{}' is past: the clock does not go back", time.value))
                            .at(time.span),
                    )
                })?;
                self.advance(Duration::from_millis(by))
            }
            TestKind::Checkpoint => self.checkpoint(statement.span),
            TestKind::Kill => self.kill(),
            TestKind::End => self.end(statement.span),
            TestKind::Expect(expect) => self.expect(expect, statement.span),
        }
    }
}

/// Results of queries among what was written.
const RESULT: &str = "$result";

fn result_name(nth: usize) -> String {
    format!("{RESULT}{nth}")
}

fn last(name: &TableName) -> &str {
    name.parts.last().map_or("", |part| part.value.as_str())
}

/// Statements that make something known.
fn is_definition(kind: &StatementKind) -> bool {
    matches!(
        kind,
        StatementKind::CreateTable(_)
            | StatementKind::CreateView(_)
            | StatementKind::CreateFunction(_)
            | StatementKind::Drop(_)
            | StatementKind::DropFunction(_)
            | StatementKind::ReloadFunction(_)
            | StatementKind::Alter(_)
            | StatementKind::Catalog(_)
            | StatementKind::UseCatalog(_)
            | StatementKind::Use(_)
            | StatementKind::Set { .. }
            | StatementKind::Reset(_)
    )
}

/// Statements that only show something.
fn is_shown(kind: &StatementKind) -> bool {
    matches!(
        kind,
        StatementKind::ShowSettings
            | StatementKind::Show(_)
            | StatementKind::Describe(_)
            | StatementKind::DescribeExtended(_)
            | StatementKind::DescribeFile(_)
            | StatementKind::DescribeFunction { .. }
            | StatementKind::DescribeCatalog { .. }
            | StatementKind::DescribeDatabase { .. }
            | StatementKind::DescribeJob(_)
            | StatementKind::Explain { .. }
            | StatementKind::Summarize(_)
            | StatementKind::Clear
            | StatementKind::Help
    )
}

/// Settings of jobs, which what a test says in SQL must not have.
fn is_elsewhere(kind: &StatementKind) -> bool {
    matches!(kind, StatementKind::Set { key, .. } if is_of_jobs(&key.value))
}

/// A setting of jobs.
fn is_of_jobs(key: &str) -> bool {
    let of_jobs = ["execution.", "pipeline.", "restart-strategy", "table.dml-sync", "state."];
    of_jobs.iter().any(|prefix| key.starts_with(prefix))
}

/// A class of failures as a test writes it, and what its message is.
fn failure(kind: &str) -> (FailureKind, String) {
    match kind {
        "timeout" => (FailureKind::Timeout, "no answer in time".to_string()),
        "connect" => (FailureKind::Connection, "no connection".to_string()),
        "decode" => (FailureKind::Decode, "the answer does not fit the table".to_string()),
        "limit" => (FailureKind::Limit, "the limit is reached".to_string()),
        status => match status.parse() {
            Ok(status) => (FailureKind::Status(status), format!("answered {status}")),
            Err(_) => (FailureKind::Other, "failed".to_string()),
        },
    }
}
