//! The public API: a session executes statements and owns catalog, settings and jobs.

mod alter;
mod analyze;
mod check;
mod claims;
mod collect;
pub(crate) mod figures;
pub(crate) mod functions;
mod materialized;
mod recovery;
#[cfg(test)]
mod registered_tests;
mod rehearsal;
#[cfg(test)]
pub(crate) mod simulated;
mod start;
mod statements;

pub use materialized::Materialized;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use datafusion_expr::{AggregateUDF, ScalarUDF};
use parking_lot::Mutex;

use self::collect::{Found, Rows};
use crate::catalog::{Catalog, Entry, Table};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::connector::Connector;
use crate::connector::embedded::Embedded;
use crate::error::{Error, Result};
use crate::flow::{Chunk, Job};
use crate::function::user::UserFunctions;
use crate::function::{FunctionContext, Functions};
use crate::plan::Planner;
use crate::plan::provider::PlannerState;
use crate::secret::{redact, redacted};
use crate::sql::{SourceText, Statement, StatementKind};

/// What a statement gives.
#[derive(Debug)]
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

/// The rows of a SELECT as they come. Dropping it cancels the job.
#[derive(Debug)]
pub struct QueryResult {
    schema: SchemaRef,
    /// Rows are only added, never taken back.
    append: bool,
    bounded: bool,
    job: Arc<Job>,
    chunks: Rows,
}

/// What [`QueryResult::next_timeout`] found.
#[derive(Debug)]
pub enum Next {
    /// Rows.
    Chunk(Chunk),
    /// None yet.
    Pending,
    /// The query has ended well.
    End,
}

impl QueryResult {
    /// Columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether rows are only added: no updates, no deletes.
    pub fn is_append(&self) -> bool {
        self.append
    }

    /// Whether the rows end by themselves.
    pub fn is_bounded(&self) -> bool {
        self.bounded
    }

    /// The job behind it.
    pub fn job(&self) -> &Arc<Job> {
        &self.job
    }

    /// Waits for rows; `None` at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        match self.chunks.next(None) {
            Found::Chunk(chunk) => Ok(Some(chunk)),
            Found::Nothing | Found::Closed => self.job.result().map(|()| None),
        }
    }

    /// Waits for rows, at most so long.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Next> {
        match self.chunks.next(Some(timeout)) {
            Found::Chunk(chunk) => Ok(Next::Chunk(chunk)),
            Found::Nothing => Ok(Next::Pending),
            Found::Closed => self.job.result().map(|()| Next::End),
        }
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        self.job.cancel();
    }
}

/// Bytes of stack for a statement: expressions that nest deeply are planned by functions that call themselves.
const STACK: usize = 32 << 20;

/// Executes statements. Sessions do not see each other.
pub struct Session {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    runtime: tokio::runtime::Runtime,
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
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Drop for Session {
    /// Jobs do not outlive their session: what they wait for runs on its runtime.
    fn drop(&mut self) {
        let jobs = std::mem::take(&mut self.state.lock().jobs);
        jobs.iter().for_each(|job| job.cancel());
        for job in jobs.iter().filter(|job| job.is_durable()) {
            let _ = job.wait_for(recovery::PATIENCE);
        }
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
            return Err(Error::option("the clock of this machine stands before the year 1970")
                .with_hint("set it: time zones, certificates and signatures depend on it"));
        }
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(cores.min(4))
            .thread_name("affluent-io")
            .enable_all()
            .build()?;
        Ok(Self { state: Mutex::default(), clock, runtime })
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

    /// Parses and executes statements one after the other; what the last one gives.
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

    /// Makes a connector of the program known: tables name it in `'connector' = '...'` like a built-in one.
    pub fn register_connector(&self, connector: Arc<dyn Connector>) -> Result<()> {
        let name = connector.name();
        let mut state = self.state.lock();
        let known = state.catalog.connector(name).is_some() || crate::connector::connector(name).is_ok();
        if known {
            return Err(Error::option(format!("connector '{name}' exists already")));
        }
        Arc::make_mut(&mut state.catalog).add_connector(connector);
        Ok(())
    }

    /// Makes an aggregate function of the program known, under its name in any case.
    pub fn register_aggregate(&self, function: AggregateUDF) {
        self.state.lock().aggregates.push(Arc::new(function));
    }

    /// Makes a scalar function of the program known, under its name in any case.
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
        self.catalog().iter().map(|(name, _)| name.to_string()).collect()
    }

    /// Column names of a table (of a view: none); empty when it is not known.
    pub fn column_names(&self, table: &str) -> Vec<String> {
        match self.catalog().get(table) {
            Some(Entry::Table(table)) => table.columns.iter().map(|c| c.name.clone()).collect(),
            Some(Entry::View(view)) => view.columns.clone(),
            None => Vec::new(),
        }
    }

    /// What a function takes and gives, in one line; `None` when it is not known.
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

    fn catalog(&self) -> Arc<Catalog> {
        self.state.lock().catalog.clone()
    }

    /// A planner over the state as it is now.
    pub(crate) fn planner(&self) -> Planner {
        let (catalog, config, own, aggregates, mut user) = {
            let state = self.state.lock();
            (
                state.catalog.clone(),
                state.config.clone(),
                state.functions.clone(),
                state.aggregates.clone(),
                state.user_functions.clone(),
            )
        };
        user.search(config.functions_path());
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
            expanding: Default::default(),
            sources: Default::default(),
            expanded: Default::default(),
            common: Default::default(),
        })
    }
}
