//! Runs one test.

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
use crate::flow::stepped::{Incarnation, Opening};
use crate::flow::{Barrier, Kinds};
use crate::function::user::model;
use crate::lookup::{Failure, FailureKind, wire};
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
        "processing time when the test begins, in UTC",
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
    pipeline: Option<(PathBuf, Script, Vec<Statement>)>,
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
        let start = parse_time(clock).ok_or_else(|| {
            let error = Error::option(format!("option 'clock': '{clock}' is no time"));
            wrong(error.at(options.span("clock")).with_hint("write '2026-01-01 00:00:00'"))
        })?;
        let timeout = options.duration("timeout").map_err(wrong)?.unwrap_or(Duration::from_secs(30));
        options.bool("end").map_err(wrong)?;
        let scratch = Session::with_clock(ManualClock::new(start)).map_err(wrong)?;
        let mut run = Self {
            setup,
            stage: Stage::new(scratch),
            pipeline: None,
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
        };
        run.read_pipeline(&options)?;
        run.prepare()?;
        Ok(run)
    }

    fn read_pipeline(&mut self, options: &Options) -> Result<(), Problem> {
        let wrong = |e: Error| Self::wrong(self.setup, &e, self.setup.test.name.span);
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
        let source = crate::console::script::read(&path).map_err(wrong)?;
        let own = options.with_prefix("var.").map(|(name, value)| (name.to_string(), value.to_string()));
        let variables = Variables::new(self.setup.var.iter().cloned().chain(own));
        let script =
            variables.expand(source.clone()).map_err(|e| self.in_pipeline(&e, &Script::plain(source)))?;
        let statements =
            crate::sql::parse_script(&script.expanded).map_err(|e| self.in_pipeline(&e, &script))?;
        self.pipeline = Some((path, script, statements));
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

    /// Definitions, rows and mocks: everything that is computed before the test runs.
    fn prepare(&mut self) -> Result<(), Problem> {
        let setup = self.setup;
        for statement in self.statements() {
            let TestKind::Plain(plain) = &statement.kind else { continue };
            if let Some((kind, name)) = defines(&plain.kind) {
                self.defined.insert((kind, last(name).to_ascii_lowercase()));
            }
        }
        let scratch = self.stage.scratch.clone();
        self.settings(&scratch).map_err(|e| Self::wrong(setup, &e, setup.test.name.span))?;
        self.define(&scratch, true)?;
        // What a test says is computed at once, and leaves nothing behind.
        let quiet = [("table.dml-sync", "true"), ("execution.runtime-mode", "streaming")];
        for (key, value) in quiet {
            scratch.set(key, value).map_err(|e| Self::wrong(setup, &e, setup.test.name.span))?;
        }
        let mut begun = false;
        for statement in self.statements() {
            match &statement.kind {
                TestKind::Mock(mock) => {
                    if begun {
                        let error = Error::plan("a mock stands before the first step of its test").with_hint(
                            "it holds from the start; TIMES and the order of mocks say what changes",
                        );
                        return Err(Self::wrong(setup, &error, statement.span));
                    }
                    self.mock(mock, statement.span).map_err(|e| Self::wrong(setup, &e, statement.span))?;
                }
                TestKind::Plain(_) | TestKind::Rows { .. } => {}
                _ => begun = true,
            }
        }
        Ok(())
    }

    fn settings(&self, session: &Session) -> Result<()> {
        session.set("table.local-time-zone", "UTC")?;
        session.set("parallelism.default", "1")?;
        let own = self.setup.set.iter().filter(|(key, _)| !is_of_jobs(key));
        own.into_iter().try_for_each(|(key, value)| session.set(key, value).map_err(|e| e.context("--set")))
    }

    /// Executes what the test and the pipeline define; of the pipeline up to its first job, the rest by the caller.
    fn define(&self, session: &Session, scratch: bool) -> Result<(), Problem> {
        let origin = |path: &Path| std::fs::canonicalize(path).ok().map(|p| p.display().to_string());
        session.set_origin(origin(self.setup.path));
        for statement in self.statements() {
            let TestKind::Plain(plain) = &statement.kind else { continue };
            if scratch && is_elsewhere(&plain.kind) {
                continue;
            }
            session.execute(plain).map_err(|e| Self::wrong(self.setup, &e, statement.span))?;
        }
        let Some((path, _, statements)) = &self.pipeline else { return Ok(()) };
        session.set_origin(origin(path));
        if scratch {
            for statement in statements {
                let executed = match &statement.kind {
                    kind if is_elsewhere(kind) || self.is_replaced(kind) => continue,
                    StatementKind::CreateTable(table) if table.query.is_some() => {
                        session.create_target(&statement.kind)
                    }
                    kind if is_definition(kind) => session.execute(statement).map(drop),
                    _ => continue,
                };
                // It is told where the pipeline itself is run.
                if executed.is_err() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn is_replaced(&self, kind: &StatementKind) -> bool {
        defines(kind).is_some_and(|(of, name)| self.defined.contains(&(of, last(name).to_ascii_lowercase())))
    }

    /// The columns of a table that rows are given for.
    fn columns(table: &Table) -> Vec<Wanted> {
        let column = |c: &crate::catalog::Column| {
            let (data_type, nullable) = c.declared()?;
            Some(Wanted { name: c.name.clone(), data_type: data_type.clone(), nullable })
        };
        table.columns.iter().filter_map(column).collect()
    }

    fn table(&self, name: &TableName) -> Result<Arc<Table>> {
        match self.stage.scratch.tables().find_name(name)? {
            Entry::Table(table) => Ok(table.clone()),
            Entry::View(view) => {
                Err(Error::plan(format!("'{}' is a view, which computes its rows", view.name))
                    .at(name.span()))
            }
        }
    }

    fn mock(&self, mock: &Mock, span: Span) -> Result<()> {
        let scratch = &self.stage.scratch;
        let line = span.start.line;
        let optional = mock.optional || self.setup.common.iter().any(|c| c.span == span);
        let (target, all, default) = match &mock.target {
            MockTarget::Http { .. } => {
                let mut rule = HttpRule::new(&self.stage, mock, line)?;
                rule.optional = optional;
                self.stage.http.lock().push(Arc::new(rule));
                return Ok(());
            }
            MockTarget::Table(name) => {
                let table = self.table(name)?;
                let given = |w: Wanted| Wanted { nullable: true, ..w };
                let all: Vec<Wanted> = Self::columns(&table).into_iter().map(given).collect();
                let physical = |c: &Wanted| {
                    table
                        .columns
                        .iter()
                        .any(|t| t.name == c.name && matches!(t.source, ColumnSource::Physical { .. }))
                };
                let default: Vec<Wanted> = all.iter().filter(|c| physical(c)).cloned().collect();
                (table.name.clone(), all, default)
            }
            MockTarget::Function { name, model: is_model } => {
                let key = if *is_model { model::key(&name.value) } else { name.value.clone() };
                let planner = scratch.planner();
                let what = if *is_model { "model" } else { "function" };
                let function = planner.user_functions().find(&key)?.ok_or_else(|| {
                    Error::plan(format!("the pipeline has no {what} '{}'", name.value)).at(name.span)
                })?;
                if !function.waits() {
                    return Err(Error::plan(format!(
                        "'{}' computes its result, it does not wait for one",
                        name.value
                    ))
                    .at(name.span)
                    .with_hint("CREATE FUNCTION in the test takes its place"));
                }
                let parameter = |p: &crate::function::user::Parameter| Wanted {
                    name: p.name.clone(),
                    data_type: p.data_type.clone(),
                    nullable: true,
                };
                let mut all: Vec<Wanted> = function.parameters.iter().map(parameter).collect();
                let result = Wanted {
                    name: "result".to_string(),
                    data_type: function.returns.computed(),
                    nullable: true,
                };
                all.push(result.clone());
                (function.name.clone(), all, vec![result])
            }
        };
        let answer = match &mock.answer {
            MockAnswer::Returns { columns, query } => {
                let of = shown(&target);
                let wanted = if columns.is_empty() { default } else { rows::chosen(of, &all, columns)? };
                Answer::Rows(rows::computed(scratch, of, &wanted, query, span)?)
            }
            MockAnswer::Misses => Answer::Misses,
            MockAnswer::Hangs => Answer::Hangs,
            MockAnswer::Fails { kind, message, retry_after } => {
                let (kind, text) = failure(&kind.value);
                let message = message.clone().unwrap_or(text);
                let retryable = kind.may_pass();
                Answer::Fails(Failure { kind, message, retry_after: *retry_after, retryable })
            }
            MockAnswer::Responds { .. } => return Err(Error::internal("a response without HTTP")),
        };
        let (times, after, when) = (mock.times, mock.after, mock.when.clone());
        let used = Default::default();
        self.stage.rules.lock().push(Arc::new(Rule {
            target,
            line,
            optional,
            when,
            times,
            after,
            answer,
            used,
        }));
        Ok(())
    }

    /// Computes the rows of an INSERT.
    fn given(&self, statement: &TestStatement) -> Result<Option<Given>> {
        let TestKind::Rows { insert, changes } = &statement.kind else { return Ok(None) };
        let table = self.table(&insert.table)?;
        let all = Self::columns(&table);
        let virtual_column = |name: &str| {
            table.columns.iter().any(|c| {
                c.name == name && matches!(c.source, ColumnSource::Metadata { is_virtual: true, .. })
            })
        };
        let mut wanted = match insert.columns.is_empty() {
            true => all.iter().filter(|c| !virtual_column(&c.name)).cloned().collect(),
            false => rows::chosen(&format!("table '{}'", table.name), &all, &insert.columns)?,
        };
        if *changes {
            wanted.insert(0, Wanted { name: OP.to_string(), data_type: SqlType::String, nullable: false });
        }
        let batch = rows::computed(&self.stage.scratch, &table.name, &wanted, &insert.query, statement.span)?;
        let (batch, kinds) = match changes {
            true => rows::with_kinds(&batch, statement.span)?,
            false => (batch, Kinds::Append),
        };
        Ok(Some(Given { table: table.name.clone(), batch, kinds, changes: *changes }))
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
        session.set_stage(self.stage.clone());
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
        let Some((path, script, statements)) = self.pipeline.take() else { return Ok(()) };
        let mut done = Ok(());
        let mut queries = 0;
        if let Some(branches) = &self.branches {
            process.session.register_function(branches.function());
        }
        for statement in &statements {
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
                    queries += usize::from(matches!(kind, StatementKind::Query(_)));
                    self.open(process, kind, queries)
                }
                StatementKind::CreateTable(table) if table.query.is_some() => {
                    process.session.create_target(kind).and_then(|()| self.open(process, kind, queries))
                }
                kind if is_definition(kind) => process.session.execute(statement).map(drop),
                _ => Err(Error::unsupported("this statement cannot be run in a test")
                    .with_hint("CREATE, SET, INSERT, statement sets and queries can")),
            };
            if let Err(e) = executed {
                let e = if e.span().is_some() { e } else { e.at(statement.span) };
                self.broken = Some(e.clone());
                if !self.expects_error(&e) {
                    done = Err(self.in_pipeline(&e, &script));
                }
                break;
            }
        }
        self.pipeline = Some((path, script, statements));
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
        self.start()?;
        for feed in waiting {
            feed.push();
            self.settle()?;
        }
        self.settle()?;
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

    fn now(&mut self) -> i64 {
        if let Some(process) = &self.process
            && let Ok(runtime) = process.session.runtime()
        {
            let _entered = runtime.enter();
            self.now_millis = process.clock.now_millis();
        }
        self.now_millis
    }

    /// A test that takes too long.
    fn in_time(&self) -> Result<(), Problem> {
        if self.begun.elapsed() <= self.timeout {
            return Ok(());
        }
        Err(Problem {
            line: self.setup.test.name.span.start.line,
            title: format!("the test does not end within {} s", self.timeout.as_secs_f64()),
            lines: vec!["TEST '...' WITH ('timeout' = '2 min'); gives it longer".to_string()],
        })
    }

    /// Lets everything happen that needs no time.
    fn settle(&mut self) -> Result<(), Problem> {
        loop {
            self.in_time()?;
            let Some(process) = &mut self.process else { return Ok(()) };
            let Ok(runtime) = process.session.runtime() else { return Ok(()) };
            let handle = runtime.handle().clone();
            let mut worked = false;
            {
                let _entered = handle.enter();
                process.bell.take();
                for job in &mut process.jobs {
                    let Some(run) = &mut job.run else { continue };
                    let mut stepped = Ok(());
                    'tasks: for task in 0..run.tasks() {
                        for _ in 0..256 {
                            match run.step(task) {
                                Ok(true) => worked = true,
                                Ok(false) => break,
                                Err(e) => {
                                    stepped = Err(e);
                                    break 'tasks;
                                }
                            }
                        }
                    }
                    if let Err(e) = stepped {
                        job.failed = Some(e);
                        job.run = None;
                        worked = true;
                    }
                }
            }
            let (bell, gate) = (process.bell.clone(), process.gate.clone());
            runtime.block_on(async {
                for _ in 0..YIELDS {
                    tokio::task::yield_now().await;
                }
            });
            if worked || bell.take() {
                bell.take();
                continue;
            }
            if !gate.is_busy() {
                return Ok(());
            }
            runtime.block_on(async {
                let tick = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(20)));
                tokio::select! {
                    () = bell.rings() => {}
                    () = gate.idle() => {}
                    _ = tick => {}
                }
            });
        }
    }

    /// Lets time pass, up to so long, or until `done`.
    fn pass(&mut self, by: Duration, done: impl Fn(&Process) -> bool) -> Result<bool, Problem> {
        let target = {
            let Some(process) = &self.process else { return Ok(true) };
            let Ok(runtime) = process.session.runtime() else { return Ok(true) };
            let _entered = runtime.enter();
            tokio::time::Instant::now() + by
        };
        loop {
            self.settle()?;
            self.now();
            let Some(process) = &self.process else { return Ok(true) };
            let Ok(runtime) = process.session.runtime() else { return Ok(true) };
            if done(process) {
                return Ok(true);
            }
            let _entered = runtime.enter();
            let now = tokio::time::Instant::now();
            if now >= target {
                return Ok(false);
            }
            let due = process.jobs.iter().filter_map(|job| job.run.as_ref()?.due()).min();
            let due = due.map(tokio::time::Instant::from_std);
            let next = due.map_or(target, |due| due.max(now + Duration::from_millis(1)).min(target));
            let bell = process.bell.clone();
            drop(_entered);
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = bell.rings() => {}
                    () = tokio::time::sleep_until(next) => {}
                }
            });
        }
    }

    fn advance(&mut self, by: Duration) -> Result<(), Problem> {
        self.pass(by, |_| false)?;
        self.settle()
    }

    /// The input ends, and everything runs to its end.
    fn end(&mut self, span: Span) -> Result<(), Problem> {
        self.ended = true;
        self.stage.feeds().iter().for_each(|(_, feed)| feed.end());
        let over = |process: &Process| {
            process.jobs.iter().all(|job| job.run.as_ref().is_none_or(Incarnation::ended))
        };
        if self.pass(LAST_WAIT, over)? {
            return Ok(());
        }
        let waiting = self.process.iter().flat_map(|process| &process.jobs);
        let waiting = waiting.filter(|job| job.run.as_ref().is_some_and(|run| !run.ended()));
        let stands = |job: &JobRun| job.run.as_ref().map(Incarnation::describe).unwrap_or_default();
        let lines = waiting.map(|job| format!("job {}: {}", job.name, stands(job))).collect();
        Err(Problem {
            line: span.start.line,
            title: "the input has ended, and the pipeline does not end within a day of the test's clock"
                .into(),
            lines,
        })
    }

    fn checkpoint(&mut self, span: Span) -> Result<(), Problem> {
        let setup = self.setup;
        let wrong = |e: Error| Self::wrong(setup, &e, span);
        let jobs = self.process.as_ref().map_or(0, |process| process.jobs.len());
        for index in 0..jobs {
            let epoch = self.memoirs[index].epoch + 1;
            self.memoirs[index].epoch = epoch;
            if let Some(process) = &mut self.process
                && let Some(run) = &mut process.jobs[index].run
                && !run.ended()
            {
                run.announce(Barrier { epoch, last: false });
            }
        }
        self.settle()?;
        for index in 0..jobs {
            let Some(process) = &mut self.process else { continue };
            let job = &mut process.jobs[index];
            let Some(run) = &mut job.run else { continue };
            let memoir = &mut self.memoirs[index];
            let ended = run.ended();
            let cut = run.complete(memoir.epoch, ended).ok_or_else(|| {
                wrong(Error::execution(format!("the checkpoint of job {} does not complete", job.name)))
            })?;
            let pending = Durable { epoch: cut.epoch, sinks: cut.sinks.clone() };
            memoir.checkpoints.write(&run.plan, cut).map_err(wrong)?;
            commit(job.outputs.iter().map(|o| (&o.id, &o.sink)), &pending).map_err(wrong)?;
        }
        self.stage.mark();
        Ok(())
    }

    /// The process is gone; another one goes on from the last checkpoint.
    fn kill(&mut self) -> Result<(), Problem> {
        self.now();
        self.process = None;
        self.stage.cut();
        for (index, memoir) in self.memoirs.iter_mut().enumerate() {
            let store = self.store.under(&format!("job-{index}"));
            let found = Checkpoints::open(store, 1).and_then(|checkpoints| {
                let (latest, _) = checkpoints.latest()?;
                Ok((checkpoints, latest))
            });
            let (checkpoints, latest) =
                found.map_err(|e| Self::wrong(self.setup, &e, self.setup.test.name.span))?;
            memoir.epoch = memoir.epoch.max(latest.as_ref().map_or(0, Checkpoint::epoch));
            (memoir.checkpoints, memoir.last) = (checkpoints, latest);
        }
        self.start()?;
        self.settle()
    }

    /// What is expected, in words.
    fn problem(&mut self, span: Span, title: String, lines: Vec<String>) {
        self.outcome.problems.push(Problem { line: span.start.line, title, lines });
    }

    fn expect(&mut self, expect: &Expect, span: Span) -> Result<(), Problem> {
        let setup = self.setup;
        let wrong = |e: Error| Self::wrong(setup, &e, span);
        match expect {
            Expect::Rows { of, changes, rows } => {
                let (what, captured) = self.captured(of, span)?;
                let batch = match changes {
                    true => rows::changes(&captured),
                    false => rows::table(&captured),
                };
                let batch = batch.map_err(wrong)?;
                let what = if *changes { format!("changes of {what}") } else { format!("rows of {what}") };
                self.compare(&what, &batch, rows, *changes)
            }
            Expect::NoRows(of) => {
                let (what, captured) = self.captured(of, span)?;
                let batch = rows::table(&captured).map_err(wrong)?;
                if batch.num_rows() > 0 {
                    let lines = rows::json(&batch).map_err(wrong)?;
                    let title = format!("{what} has {} rows, none were expected", lines.len());
                    self.problem(span, title, lines.into_iter().map(|l| format!("+ {l}")).collect());
                }
                Ok(())
            }
            Expect::Count { of, calls, range } => {
                let (what, found) = self.calls(of).map_err(wrong)?;
                let count = found.len() as u64;
                if count != *calls {
                    let title = format!("{calls} calls of {what} were expected, and {count} came");
                    let lines = match found.first() {
                        Some(first) => {
                            let all = concat_batches(&first.schema(), &found);
                            rows::json(&all.map_err(|e| wrong(e.into()))?).map_err(wrong)?
                        }
                        None => Vec::new(),
                    };
                    if setup.update {
                        self.outcome.updates.push((range.clone(), count.to_string()));
                    }
                    self.problem(span, title, lines);
                }
                Ok(())
            }
            Expect::Calls { of, rows } => {
                let (what, found) = self.calls(of).map_err(wrong)?;
                let all = match (found.first(), of) {
                    (Some(first), _) => {
                        concat_batches(&first.schema(), &found).map_err(|e| wrong(e.into()))?
                    }
                    (None, Called::Http) => RecordBatch::new_empty(http::schema()),
                    (None, _) => {
                        self.problem(rows.span, format!("no call of {what} came"), Vec::new());
                        return Ok(());
                    }
                };
                // Of a request, its method and URL are what is asked for first.
                let all = match (of, rows.columns.is_empty()) {
                    (Called::Http, true) => all.project(&[0, 1]).map_err(|e| wrong(e.into()))?,
                    _ => all,
                };
                self.compare(&format!("calls of {what}"), &all, rows, false)
            }
            Expect::Error(part) => {
                let mut errors: Vec<String> = self.broken.iter().map(ToString::to_string).collect();
                if let Some(process) = &self.process {
                    errors
                        .extend(process.jobs.iter().filter_map(|job| Some(job.failed.as_ref()?.to_string())));
                }
                if errors.iter().any(|e| e.contains(&part.value)) {
                    self.expected_errors.push(part.value.clone());
                    return Ok(());
                }
                let title = match errors.is_empty() {
                    true => "an error was expected, and there is none".to_string(),
                    false => format!("no error contains '{}'", part.value),
                };
                self.expected_errors.push(String::new());
                let lines = errors.iter().flat_map(|error| error.lines().map(str::to_string)).collect();
                self.problem(span, title, lines);
                Ok(())
            }
        }
    }

    /// Compares rows, and notes what is different.
    fn compare(
        &mut self,
        what: &str,
        found: &RecordBatch,
        expected: &ExpectedRows,
        changes: bool,
    ) -> Result<(), Problem> {
        let setup = self.setup;
        let wrong = |e: Error| Self::wrong(setup, &e, expected.span);
        let zone = self.zone();
        let all = rows::columns_of(&found.schema()).map_err(wrong)?;
        let mut names = expected.columns.clone();
        if changes && !names.is_empty() && names[0].value != OP {
            names.insert(0, crate::sql::Name { value: OP.to_string(), span: expected.span });
        }
        let columns = rows::chosen(what, &all, &names).map_err(wrong)?;
        let wanted = rows::computed(&self.stage.scratch, what, &columns, &expected.query, expected.span);
        let wanted = rows::like(&wanted.map_err(wrong)?, &columns, &zone).map_err(wrong)?;
        let found = rows::like(found, &columns, &zone).map_err(wrong)?;
        let lines = (rows::json(&wanted).map_err(wrong)?, rows::json(&found).map_err(wrong)?);
        let Some(difference) = rows::difference(&lines.0, &lines.1, expected.ordered) else { return Ok(()) };
        if setup.update {
            let text = match found.num_rows() {
                0 => format!("SELECT {} WHERE FALSE", vec!["NULL"; found.num_columns()].join(", ")),
                _ => rows::values(&found).map_err(wrong)?,
            };
            self.outcome.updates.push((expected.range.clone(), text));
        }
        self.problem(expected.span, format!("{what} are not as expected"), difference);
        Ok(())
    }

    /// Calls so far.
    fn calls(&self, of: &Called) -> Result<(String, Vec<RecordBatch>)> {
        let Called::Table(name) = of else { return Ok(("HTTP".to_string(), self.stage.calls(""))) };
        let plain = last(name);
        let planner = self.stage.scratch.planner();
        let target = match self.table(name) {
            Ok(table) => table.name.clone(),
            Err(e) => {
                let of_model = model::key(plain);
                let function = planner.user_functions().find(plain)?;
                match function.or(planner.user_functions().find(&of_model)?) {
                    Some(function) => function.name.clone(),
                    None => return Err(e),
                }
            }
        };
        Ok((shown(&target).to_string(), self.stage.calls(&target)))
    }

    /// What was written into a table, or given by a query.
    fn captured(&mut self, of: &Place, span: Span) -> Result<(String, Arc<Captured>), Problem> {
        let setup = self.setup;
        let wrong = |e: Error| Self::wrong(setup, &e, span);
        let name = match of {
            Place::Result(nth) => result_name(*nth),
            Place::Table(name) => match self.table(name) {
                Ok(table) => table.name.clone(),
                Err(e) => return Err(wrong(e)),
            },
            Place::Query(query) => {
                return self.ask(query, span).map(|captured| ("the query".into(), captured));
            }
        };
        let what = match of {
            Place::Result(1) => "the result".to_string(),
            Place::Result(nth) => format!("result {nth}"),
            _ => name.clone(),
        };
        if let Some(captured) = self.stage.captured(&name) {
            return Ok((what, captured));
        }
        if let Some(broken) = &self.broken
            && let Some((_, script, _)) = &self.pipeline
        {
            return Err(self.in_pipeline(broken, script));
        }
        let names = self.stage.captured_names();
        let shown = |name: &String| match name.strip_prefix(RESULT) {
            Some("1") => "RESULT".to_string(),
            Some(nth) => format!("RESULT {nth}"),
            None => name.clone(),
        };
        let names: Vec<String> = names.iter().filter(|n| !n.starts_with("query ")).map(shown).collect();
        let error = match (&self.pipeline, names.is_empty()) {
            (None, _) => Error::plan("the test has no pipeline").with_hint(format!(
                "there is no {}; name one: TEST '...' WITH ('pipeline' = 'pipeline.sql')",
                beside(setup.path).display()
            )),
            (_, true) => Error::plan("the pipeline writes nothing, and has no query"),
            _ => Error::plan(match of {
                Place::Result(nth) => format!("the pipeline has no query {nth}"),
                _ => format!("the pipeline does not write {what}"),
            })
            .with_hint(format!("it gives: {}", names.join(", "))),
        };
        Err(wrong(error))
    }

    /// Runs a query of the test.
    fn ask(&mut self, query: &sqlparser::ast::Query, span: Span) -> Result<Arc<Captured>, Problem> {
        let setup = self.setup;
        let wrong = |e: Error| Self::wrong(setup, &e, span);
        let stage = self.stage.clone();
        let name = format!("query {}", span.start.line);
        let Some(process) = &mut self.process else {
            return Err(wrong(Error::internal("a query without a process")));
        };
        let opened = (|| -> Result<()> {
            let handle = process.session.runtime()?.handle().clone();
            let _entered = handle.enter();
            process.session.replace_tables(|table| staged(table, &stage))?;
            stage.ask(true);
            let result = |schema: &SchemaRef| -> Arc<dyn crate::connector::Sink> {
                let make = || Captured::new(schema.clone(), Vec::new(), SinkChangelog::All);
                Arc::new(CaptureSink(stage.sink(&name, make)))
            };
            let kind = StatementKind::Query(Box::new(query.clone()));
            let planned = process.session.plan_job(&kind, result);
            let (_, outputs) = planned?;
            let run = Self::incarnate(process, &outputs, None, false)?;
            process.jobs.push(JobRun { name: "of the query".into(), outputs, run: Some(run), failed: None });
            Ok(())
        })();
        stage.ask(false);
        opened.map_err(wrong)?;
        let at = self.process.as_ref().map_or(0, |process| process.jobs.len() - 1);
        let over = move |process: &Process| {
            process.jobs.get(at).is_none_or(|job| job.run.as_ref().is_none_or(Incarnation::ended))
        };
        let done = self.pass(LAST_WAIT, over)?;
        let job = self.process.as_mut().and_then(|process| process.jobs.pop());
        if let Some(failed) = job.and_then(|job| job.failed) {
            return Err(wrong(failed));
        }
        if !done {
            return Err(wrong(
                Error::plan("the query does not end").with_hint("END; ends the input before it"),
            ));
        }
        self.stage.captured(&name).ok_or_else(|| wrong(Error::internal("a query gave nothing")))
    }

    /// What the test did not ask about: failures, mocks that were not called, rows that nobody read.
    fn judge(&mut self) {
        let line = self.setup.test.name.span.start.line;
        let mut told = Vec::new();
        if let Some(process) = &self.process {
            for job in &process.jobs {
                let Some(failed) = &job.failed else { continue };
                let text = failed.to_string();
                if self.expected_errors.iter().any(|part| text.contains(part)) {
                    continue;
                }
                let mut lines = text.lines().skip(1).map(str::to_string).collect::<Vec<_>>();
                lines.retain(|l| !l.is_empty());
                told.push((format!("job {} failed: {}", job.name, failed.message()), lines));
            }
        }
        for complaint in self.stage.complaints() {
            if !told.iter().any(|(title, _)| title.contains(&complaint)) {
                told.push((complaint, Vec::new()));
            }
        }
        let clean = self.outcome.problems.is_empty() && told.is_empty();
        for (title, lines) in told {
            self.outcome.problems.push(Problem { line, title, lines });
        }
        // Behind another problem, calls that are missing say nothing new.
        if !clean || self.broken.is_some() {
            return;
        }
        let rules = self.stage.rules.lock().clone();
        let missing = rules.iter().filter_map(|rule| Some((rule.line, rule.complaint(shown(&rule.target))?)));
        let mut missing: Vec<(u32, String)> = missing.collect();
        let http = self.stage.http.lock().clone();
        missing.extend(http.iter().filter_map(|rule| Some((rule.line, rule.complaint()?))));
        let common = |table: &str| {
            self.setup.common.iter().any(|s| match &s.kind {
                TestKind::Rows { insert, .. } => last(&insert.table) == table,
                _ => false,
            })
        };
        for (table, feed) in self.stage.feeds() {
            if !feed.is_read() && !common(&table) {
                missing.push((line, format!("the test gives rows of '{table}', and nothing reads them")));
            }
        }
        for (line, title) in missing {
            self.outcome.problems.push(Problem { line, title, lines: Vec::new() });
        }
    }

    /// Which statements of the pipeline gave rows.
    fn cover(&mut self) {
        let Some((path, script, statements)) = &self.pipeline else { return };
        let mut queries = 0;
        for statement in statements {
            let tables: Vec<String> = match &statement.kind {
                StatementKind::Insert(insert) => vec![last(&insert.table).to_string()],
                StatementKind::StatementSet(inserts) => {
                    inserts.iter().map(|insert| last(&insert.table).to_string()).collect()
                }
                StatementKind::CreateTable(table) if table.query.is_some() => {
                    vec![last(&table.name).to_string()]
                }
                StatementKind::Query(_) => {
                    queries += 1;
                    vec![result_name(queries)]
                }
                _ => continue,
            };
            let gave = |name: &String| {
                self.stage
                    .captured(name)
                    .is_some_and(|captured| captured.rows().iter().any(|(batch, _)| batch.num_rows() > 0))
            };
            let error = script.relocate(Error::plan("").at(statement.span));
            let line = error.span().map_or(statement.span.start.line, |s| s.start.line);
            let (path, taken) = (path.clone(), tables.iter().all(gave));
            self.outcome.covered.push(Covered { path, line, column: 0, branch: None, taken });
        }
        for branch in self.branches.iter().flat_map(|branches| branches.all()) {
            let place = Span { start: branch.at, end: branch.at };
            let error = script.relocate(Error::plan("").at(place));
            let at = error.span().map_or(branch.at, |span| span.start);
            let (path, text) = (path.clone(), Some(branch.text));
            let (line, column, taken) = (at.line, at.column, branch.taken);
            self.outcome.covered.push(Covered { path, line, column, branch: text, taken });
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
