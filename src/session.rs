//! The public API: a session executes statements and owns catalog, settings and jobs.
//!
//! Its state is behind one lock that is not held while something outside is waited for; planners work on a copy of what they
//! need. What each statement does is in `statements`, how jobs begin in `start`, what they continue from in `recovery`.

mod alter;
mod analyze;
mod asynchronous;
mod caches;
mod catalogs;
mod check;
mod claims;
mod collect;
pub(crate) mod figures;
pub(crate) mod functions;
mod materialized;
mod planned;
pub(crate) mod portable;
mod query_result;
mod recovery;
#[cfg(test)]
mod registered_tests;
mod rehearsal;
mod show;
mod start;
mod statements;
pub(crate) mod stepped;
mod summarize;

pub use materialized::Materialized;
pub use query_result::{Batches, Next, QueryResult};
pub(crate) use start::Output;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion_expr::{AggregateUDF, ScalarUDF};
use parking_lot::Mutex;

use crate::catalog::names::of_key;
use crate::catalog::{Catalog, Entry, OptionDef, Table};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::connector::embedded::Embedded;
use crate::connector::{Connector, LookupTables};
use crate::error::{Error, Result};
use crate::flow::Job;
use crate::format::{FORMAT_NAMES, RecordFormat};
use crate::function::user::UserFunctions;
use crate::function::{FunctionContext, Functions};
use crate::lookup::shared::Lookups;
use crate::lookup::{Backend, LookupRequest};
use crate::plan::Planner;
use crate::plan::provider::PlannerState;
use crate::secret::{redact, redacted};
use crate::sql::{SourceText, Statement, StatementKind};

/// The result of a statement.
#[derive(Debug)]
#[non_exhaustive]
pub enum Response {
    /// Done; a line to show, possibly empty.
    Done(String),
    /// A small table: SHOW, DESCRIBE, SET.
    Table(RecordBatch),
    /// Text: EXPLAIN, SHOW CREATE.
    Text(String),
    /// INSERT: a job that runs in the background (already ended with `table.dml-sync`).
    Job(Arc<Job>),
    /// SELECT: rows as they come.
    Query(QueryResult),
    /// QUIT.
    Quit,
    /// CLEAR.
    Clear,
    /// HELP.
    Help,
}

impl Response {
    /// The rows of a SELECT; an error for other statements.
    pub fn query(self) -> Result<QueryResult> {
        match self {
            Self::Query(rows) => Ok(rows),
            _ => Err(Error::option("the last statement is no query").with_hint("write a SELECT")),
        }
    }

    /// The same, with `${NAME}` in place of the values of variables. Rows of a query are data and stay.
    fn without_secrets(self) -> Result<Self> {
        Ok(match self {
            Self::Text(text) => Self::Text(redacted(text)),
            Self::Done(text) => Self::Done(redacted(text)),
            Self::Table(batch) => {
                let shown = |column: &ArrayRef| match column.as_string_opt::<i32>() {
                    Some(texts) => {
                        let shown = texts.iter().map(|text| text.map(redact));
                        Arc::new(shown.collect::<StringArray>()) as ArrayRef
                    }
                    None => column.clone(),
                };
                Self::Table(RecordBatch::try_new(
                    batch.schema(),
                    batch.columns().iter().map(shown).collect(),
                )?)
            }
            other => other,
        })
    }
}

/// Bytes of stack for a statement: expressions that nest deeply are planned by functions that call themselves.
const STACK: usize = 32 << 20;

/// Executes statements. A clone is the same session; sessions that were made apart do not see each other.
///
/// It can be made, used and dropped anywhere. Methods that execute statements wait for planning, and with
/// `table.dml-sync` for jobs; in asynchronous programs use [`Session::sql_async`] and its like, which wait without
/// blocking a thread of the program's runtime. What a session itself waits for runs on its own runtime.
#[derive(Clone)]
pub struct Session {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
    /// What lookups of its queries share; dropped before the runtime.
    lookups: Arc<Lookups>,
    /// The last that goes: jobs end with it.
    runtime: Arc<Io>,
}

/// The runtime for what waits. Jobs do not outlive it.
struct Io {
    runtime: Option<tokio::runtime::Runtime>,
    handle: tokio::runtime::Handle,
    state: Arc<Mutex<State>>,
}

impl Io {
    fn new(runtime: tokio::runtime::Runtime, state: Arc<Mutex<State>>) -> Arc<Self> {
        Arc::new(Self { handle: runtime.handle().clone(), runtime: Some(runtime), state })
    }

    fn handle(&self) -> &tokio::runtime::Handle {
        &self.handle
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        let jobs = std::mem::take(&mut self.state.lock().jobs);
        jobs.iter().for_each(|job| job.cancel());
        let runtime = self.runtime.take();
        let end = move || {
            for job in jobs.iter().filter(|job| job.is_durable()) {
                let _ = job.wait_for(recovery::PATIENCE);
            }
            drop(runtime);
        };
        // A thread of a runtime must not be blocked, and tokio panics where a runtime is dropped on one.
        match tokio::runtime::Handle::try_current() {
            Err(_) => end(),
            Ok(_) => {
                let ending = std::thread::Builder::new().name("affluent-end".into()).spawn(end);
                if let Err(e) = ending {
                    log::warn!("the session's jobs are not waited for: {e}");
                }
            }
        }
    }
}

/// What statements change.
#[derive(Default)]
struct State {
    catalog: Arc<Catalog>,
    config: Config,
    jobs: Vec<Arc<Job>>,
    /// Functions of the program.
    functions: Vec<Arc<ScalarUDF>>,
    /// Functions that statements made.
    user_functions: UserFunctions,
    aggregates: Vec<Arc<AggregateUDF>>,
    /// The file whose statements are executed.
    origin: Option<String>,
    /// Names of the jobs that a script is known to start.
    ahead: Arc<[String]>,
    /// What is executed if that is no file: statements of a command line, for example.
    scope: Option<String>,
    /// What the state of the jobs that run may take.
    memory: std::sync::Weak<crate::state::Memory>,
    /// Of a session of `affluent test`.
    stand_in: Option<Arc<dyn crate::plan::stand_in::StandIn>>,
    /// What takes down what its jobs read and are answered.
    recorder: Option<Arc<crate::recording::Recorder>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// A session with an empty catalog.
    pub fn new() -> Result<Self> {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// A session whose processing time comes from `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Result<Self> {
        // Much of what plans and connects takes it for granted.
        if std::time::SystemTime::now() < std::time::UNIX_EPOCH {
            return Err(Error::option("the clock of this machine shows a time before 1970")
                .with_hint("set it: time zones, certificates and signatures depend on it"));
        }
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(cores.min(4))
            .thread_name("affluent-io")
            .enable_all()
            .build()?;
        let state = Arc::<Mutex<State>>::default();
        Ok(Self { runtime: Io::new(runtime, state.clone()), state, clock, lookups: Arc::default() })
    }

    /// Cuts a script into statements.
    pub fn parse(&self, source: &SourceText) -> Result<Vec<Statement>> {
        crate::sql::parse_script(source)
    }

    /// Executes one statement. A query or job is started, not awaited (but see `table.dml-sync`).
    pub fn execute(&self, statement: &Statement) -> Result<Response> {
        let executed = stacker::maybe_grow(STACK / 2, STACK, || self.execute_kind(&statement.kind));
        let response = executed.map_err(|e| match e.kind().is_usage() {
            true => e.at(statement.span),
            false => e,
        })?;
        // The place of a savepoint is for programs.
        let is_place = matches!(statement.kind, StatementKind::StopJob { .. });
        if is_place { Ok(response) } else { response.without_secrets() }
    }

    /// Parses and executes statements one after the other; returns the result of the last one.
    ///
    /// ```
    /// use affluent::session::{Response, Session};
    ///
    /// let session = Session::new()?;
    /// let Response::Query(mut rows) = session.sql("SELECT UPPER('a') AS letter")? else { panic!() };
    /// let mut count = 0;
    /// while let Some(chunk) = rows.next_chunk()? {
    ///     count += chunk.len();
    /// }
    /// assert_eq!(count, 1);
    /// # Ok::<(), affluent::error::Error>(())
    /// ```
    pub fn sql(&self, text: &str) -> Result<Response> {
        let mut last = Response::Done(String::new());
        for statement in self.parse(&SourceText::new("<sql>", text))? {
            last = self.execute(&statement)?;
        }
        Ok(last)
    }

    /// Executes a SELECT: its rows as they come.
    ///
    /// ```
    /// let session = affluent::Session::new()?;
    /// let rows = session.query("SELECT n * n AS square FROM (VALUES (1), (2), (3)) AS t (n)")?.collect()?;
    /// assert_eq!(rows.num_rows(), 3);
    /// # Ok::<(), affluent::Error>(())
    /// ```
    pub fn query(&self, text: &str) -> Result<QueryResult> {
        self.sql(text)?.query()
    }

    /// Makes a table of the program known (see [`crate::connector::embedded`]); statements use it like any other.
    /// An event time and computed columns are declared on top of it:
    /// `CREATE TABLE timed (WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) LIKE readings`.
    pub fn register_table(&self, name: &str, table: Embedded, primary_key: &[&str]) -> Result<()> {
        let table = Table::embedded(name, table, primary_key)?;
        let mut state = self.state.lock();
        if state.catalog.get(name).is_some() {
            return Err(Error::plan(format!("table or view '{name}' exists already")));
        }
        Arc::make_mut(&mut state.catalog).insert(name.to_string(), Entry::Table(Arc::new(table)));
        Ok(())
    }

    /// Makes a connector of the program known: tables name it in `'connector' = '...'` like a built-in one. One that reads:
    ///
    /// ```
    #[doc = include_str!("../tests/embedding/source.rs")]
    /// ```
    /// One that writes:
    ///
    /// ```
    #[doc = include_str!("../tests/embedding/sink.rs")]
    /// ```
    pub fn register_connector(&self, connector: Arc<dyn Connector>) -> Result<()> {
        let name = connector.name();
        let built_in = crate::connector::connector_names().any(|known| known == name);
        self.register("connector", name, built_in, connector)
    }

    /// Makes a format of the program known: tables name it in `'format' = '...'` like a built-in one.
    ///
    /// ```
    #[doc = include_str!("../tests/embedding/format.rs")]
    /// ```
    pub fn register_format(&self, format: Arc<dyn RecordFormat>) -> Result<()> {
        let name = format.name();
        self.register("format", name, FORMAT_NAMES.contains(&name), format)
    }

    /// Makes lookup tables of the program known: those that name them in `'connector' = '...'`. `make` is asked for the
    /// backend of a table once a query; `options` are those that the tables may have, beside the ones of all lookups.
    ///
    /// ```
    #[doc = include_str!("../tests/embedding/lookup.rs")]
    /// ```
    pub fn register_lookup(
        &self,
        name: &'static str,
        options: &'static [OptionDef],
        make: impl Fn(&LookupRequest) -> Result<Arc<dyn Backend>> + Send + Sync + 'static,
    ) -> Result<()> {
        self.register_connector(Arc::new(LookupTables::new(name, options, Box::new(make))))
    }

    /// Adds what is found by its kind and name.
    fn register<T: ?Sized + Send + Sync + 'static>(
        &self,
        kind: &str,
        name: &str,
        built_in: bool,
        thing: Arc<T>,
    ) -> Result<()> {
        let mut state = self.state.lock();
        if built_in || state.catalog.registered().find::<T>(name).is_some() {
            return Err(Error::option(format!("{kind} '{name}' exists already")));
        }
        Arc::make_mut(&mut state.catalog).registered_mut().add(name, thing);
        Ok(())
    }

    /// Makes an aggregate function of the program known, under its name in any case. [`Session::add_function`] takes
    /// closures instead.
    ///
    /// ```
    #[doc = include_str!("../tests/embedding/aggregate.rs")]
    /// ```
    pub fn register_aggregate(&self, function: AggregateUDF) {
        self.state.lock().aggregates.push(Arc::new(function));
    }

    /// Makes a scalar function of the program known, under its name in any case. [`Session::add_function`] takes
    /// closures instead.
    ///
    /// ```
    #[doc = include_str!("../tests/embedding/scalar.rs")]
    /// ```
    pub fn register_function(&self, function: ScalarUDF) {
        self.state.lock().functions.push(Arc::new(function));
    }

    /// Sets a setting, as SET does.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        self.state.lock().config.set(key, value)
    }

    /// Names the file whose statements are executed from now on: its jobs find their checkpoints by it when it is
    /// run again.
    pub fn set_origin(&self, file: Option<String>) {
        self.state.lock().origin = file;
    }

    /// Says what is executed from now on if it stands in no file, such as the text of a command: jobs of one name find
    /// their checkpoints by it. Without it they are those of the working directory.
    pub fn set_scope(&self, scope: Option<String>) {
        self.state.lock().scope = scope;
    }

    /// Value of a setting now (the default where it was not set).
    pub fn setting(&self, key: &str) -> String {
        self.state.lock().config.get(key).to_string()
    }

    /// Jobs in order of their numbers.
    pub fn jobs(&self) -> Vec<Arc<Job>> {
        self.state.lock().jobs.clone()
    }

    /// Names of tables and views.
    pub fn table_names(&self) -> Vec<String> {
        let catalog = self.catalog();
        let current = catalog.current().clone();
        let shown = |key: &str| {
            let (home, name) = of_key(key);
            if home == current { name.to_string() } else { home.shown(name) }
        };
        catalog.iter().map(|(key, _)| shown(key)).collect()
    }

    /// Column names of a table (of a view: none); empty when it is not known.
    pub fn column_names(&self, table: &str) -> Vec<String> {
        match self.catalog().get(table) {
            Some(Entry::Table(table)) => table.columns.iter().map(|c| c.name.clone()).collect(),
            Some(Entry::View(view)) => view.columns.clone(),
            None => Vec::new(),
        }
    }

    /// Arguments and result of a function, in one line; `None` when it is not known.
    pub fn function_help(&self, name: &str) -> Option<String> {
        let upper = name.to_ascii_uppercase();
        if let Some(function) = self.state.lock().user_functions.made(name) {
            return Some(function.signature());
        }
        crate::function::signature(&upper)
            .or_else(|| self.function_names().contains(&upper).then(|| format!("{upper}(...)")))
    }

    /// Names of the columns of all tables and views that are wanted, each once.
    pub fn columns_where(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let catalog = self.catalog();
        let mut found = std::collections::BTreeSet::new();
        for (_, entry) in catalog.iter() {
            match entry {
                Entry::Table(t) => {
                    found.extend(t.columns.iter().map(|c| c.name.as_str()).filter(|c| wanted(c)))
                }
                Entry::View(v) => found.extend(v.columns.iter().map(String::as_str).filter(|c| wanted(c))),
            }
        }
        found.into_iter().map(str::to_string).collect()
    }

    /// The options of a table as they were written; none of a view, or when it is not known.
    pub fn options_of(&self, table: &str) -> Vec<(String, String)> {
        match self.catalog().get(table) {
            Some(Entry::Table(table)) => {
                table.options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Names of functions, the built-in ones in upper case.
    pub fn function_names(&self) -> Vec<String> {
        self.planner().function_names()
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.state.lock().catalog.clone()
    }

    /// A planner over the state as it is now.
    pub(crate) fn planner(&self) -> Planner {
        let (catalog, config, own, aggregates, mut user, stand_in, recorder) = {
            let state = self.state.lock();
            (
                state.catalog.clone(),
                state.config.clone(),
                state.functions.clone(),
                state.aggregates.clone(),
                state.user_functions.clone(),
                state.stand_in.clone(),
                state.recorder.clone(),
            )
        };
        user.search(config.functions_path());
        user.set_environment(crate::function::user::Environment {
            python: config.text_if_set("python.executable").map(str::to_string),
            python_files: config.text_if_set("python.files").map(str::to_string),
        });
        let zone = config.zone();
        let mut functions = Functions::new(FunctionContext { zone: zone.clone(), clock: self.clock.clone() });
        own.into_iter().for_each(|function| functions.add(function));
        functions.set_user(user);
        aggregates.into_iter().for_each(|function| functions.add_aggregate(function));
        Planner::new(PlannerState {
            catalog,
            config,
            functions: Arc::new(functions),
            zone,
            clock: self.clock.clone(),
            runtime: self.runtime.handle().clone(),
            lookups: self.lookups.clone(),
            expanding: Default::default(),
            sources: Default::default(),
            expanded: Default::default(),
            used: Default::default(),
            letters: Default::default(),
            common: Default::default(),
            doubts: Default::default(),
            stand_in,
            recorder,
            types_asked: Default::default(),
            watermarks_asked: Default::default(),
        })
    }
}
