//! What each statement does.
//!
//! A statement that starts a job is planned whole before anything outside changes, and its sinks are made last: nothing is
//! created when a later part of it is wrong. It is planned once more where the checkpoints of the job know a table by
//! another name, or state in another order.

use std::sync::Arc;

use super::collect::Collect;
use super::recovery::{self, Durability};
use super::show::{found_out, text_table};
use super::start::{Output, Start, start};
use super::{QueryResult, Response, Session};
use crate::catalog::names::{Database, of_key};
use crate::catalog::{Catalog, Entry, Table, View};
use crate::connector::{SinkJob, SinkRequest};
use crate::error::{Error, Result};
use crate::flow::coordinator::Then;
use crate::flow::restart::RestartStrategy;
use crate::flow::{Job, JobState};
use crate::plan::explain::{Details, Explained, explain};
use crate::plan::explore;
use crate::plan::remembered::Remembered;
use crate::plan::share::share_sources;
use crate::plan::{Node, Planner};
use crate::sql::{
    CatalogStatement, CreateTable, CreateView, Drop, Insert, SqlType, Statement, StatementKind, TableName,
};
use crate::state::Memory;

/// What the sinks of a job have to know of it.
pub(super) struct OfJob {
    checkpoints: bool,
    shared: SinkJob,
}

/// The parts of a name.
fn parts_of(name: &TableName) -> Vec<&str> {
    name.parts.iter().map(|p| p.value.as_str()).collect()
}

impl Session {
    pub(super) fn execute_kind(&self, kind: &StatementKind) -> Result<Response> {
        let done = |text: &str| Ok(Response::Done(text.to_string()));
        match kind {
            StatementKind::CreateTable(statement) => self.create_table(statement),
            StatementKind::CreateView(statement) => self.create_view(statement),
            StatementKind::Drop(statement) => self.drop_entry(statement),
            StatementKind::CreateFunction(statement) => self.create_function(statement),
            StatementKind::DropFunction(statement) => self.drop_function(statement),
            StatementKind::ReloadFunction(name) => self.reload_function(name),
            StatementKind::DescribeFunction { name, extended } => self.describe_function(name, *extended),
            StatementKind::Alter(alter) => self.alter(alter),
            StatementKind::Catalog(statement) => self.execute_catalog(statement),
            StatementKind::DescribeCatalog { name, extended } => self.describe_catalog(name, *extended),
            StatementKind::DescribeDatabase { name, extended } => self.describe_database(name, *extended),
            StatementKind::UseCatalog(name) => self.use_catalog(name),
            StatementKind::Use(name) => {
                let home = self.catalog().database(name)?;
                Ok(self.use_home(home))
            }
            StatementKind::Set { key, value } => {
                self.set(&key.value, value).map_err(|e| e.at(key.span))?;
                if let Some(note) = crate::config::Config::idle(&key.value) {
                    log::info!(target: crate::NOTICE, "{note}");
                }
                done("")
            }
            StatementKind::Summarize(query) => self.summarize(query),
            StatementKind::Copy { to, .. } => Err(Error::unsupported(
                "COPY writes a file for people only: on the command line, in files and in the shell",
            )
            .with_hint("INSERT INTO a table with 'connector' = 'filesystem' writes files everywhere")
            .at(to.span)),
            StatementKind::ShowSettings => self.show_settings(),
            StatementKind::Reset(key) => {
                let mut state = self.state.lock();
                match key {
                    Some(key) => state.config.reset(Some(&key.value)).map_err(|e| e.at(key.span))?,
                    None => state.config.reset(None)?,
                }
                done("")
            }
            StatementKind::Show(show) => self.show(show),
            StatementKind::Describe(name) => self.describe_named(name),
            StatementKind::DescribeExtended(name) => self.describe_extended(name),
            StatementKind::DescribeFile(path) => {
                if let Some(found) = explore::listing(&path.value).map_err(|e| e.at(path.span))? {
                    return Ok(Response::Table(found));
                }
                let table = explore::file_table(&path.value, Vec::new(), path.span)?;
                let found = found_out(&table);
                self.describe(&Entry::Table(table), found)
            }
            StatementKind::Explain { details, statement } => self.explain(details, statement),
            StatementKind::ExplainAnalyze { statement, .. } => self.analyze(statement),
            StatementKind::Cache(statement) => self.cache_statement(statement),
            StatementKind::DescribeJob(id) => self.describe_job(&id.value).map_err(|e| e.at(id.span)),
            StatementKind::Insert(insert) => self.insert(std::slice::from_ref(insert)),
            StatementKind::StatementSet(inserts) => self.insert(inserts),
            StatementKind::Query(query) => self.select(query),
            StatementKind::StopJob { id, savepoint, drain } => {
                let then = match (savepoint, drain) {
                    (false, _) => None,
                    (true, false) => Some(Then::Stop),
                    (true, true) => Some(Then::Drain),
                };
                self.stop_job(&id.value, then).map_err(|e| e.at(id.span))
            }
            StatementKind::Quit => Ok(Response::Quit),
            StatementKind::Clear => Ok(Response::Clear),
            StatementKind::Help => Ok(Response::Help),
        }
    }

    /// Adds an entry under a free name.
    fn add(
        &self,
        name: &TableName,
        or_replace: bool,
        if_not_exists: bool,
        make: impl FnOnce(&Catalog) -> Result<Entry>,
    ) -> Result<Response> {
        let catalog = self.catalog();
        let key = catalog.key_of(name)?;
        let (home, plain) = of_key(&key);
        let plain = home.shown(plain);
        if catalog.get(&key).is_some() && !or_replace {
            if if_not_exists {
                return Ok(Response::Done(format!("'{plain}' exists already")));
            }
            return Err(Error::plan(format!("table or view '{plain}' exists already"))
                .with_hint(format!("write IF NOT EXISTS, or drop it first: DROP TABLE {plain}"))
                .at(name.span()));
        }
        let entry = make(&catalog)?;
        self.lookups.forget(&plain);
        self.change_catalog(&home.catalog, |catalog| {
            catalog.insert(key.clone(), entry);
            Ok(Response::Done(String::new()))
        })
    }

    pub(super) fn create_table(&self, statement: &CreateTable) -> Result<Response> {
        if statement.query.is_some() {
            return self.create_table_as(statement);
        }
        let catalog = self.catalog();
        let exists = catalog.get(&catalog.key_of(&statement.name)?).is_some() && !statement.or_replace;
        if !exists && let Some(whole) = explore::with_columns(statement, &catalog)? {
            self.create_table(&whole)?;
            let entry = self.catalog().find_name(&statement.name)?.clone();
            return Ok(match entry {
                Entry::Table(table) => Response::Text(table.show_create()),
                Entry::View(_) => Response::Done(String::new()),
            });
        }
        self.add(&statement.name, statement.or_replace, statement.if_not_exists, |catalog| {
            let table = Table::from_statement(statement, catalog)?;
            self.checked(table, statement).map(Entry::Table)
        })
    }

    /// Checks options and the expressions of a new table.
    pub(super) fn checked(&self, table: Table, statement: &CreateTable) -> Result<Arc<Table>> {
        crate::connector::registry::validate(&table)?;
        let table = Arc::new(table);
        let planner = self.planner();
        let reference = planner.table_ref(&table, Default::default(), None)?;
        if let Some(watermark) = &table.watermark {
            planner.check_watermark(&reference, watermark).map_err(|e| {
                e.at(statement.watermark.as_ref().map_or_else(|| statement.name.span(), |w| w.span))
            })?;
        }
        Ok(table)
    }

    /// A statement of the file of a catalog: what it makes is known then, unchecked, as when it was made.
    pub(super) fn load_statement(&self, catalog: &str, statement: &Statement) -> Result<()> {
        let span = statement.span;
        match &statement.kind {
            StatementKind::CreateFunction(function) => {
                let name = crate::catalog::ddl::plain_name(&function.name)?.to_string();
                if self.state.lock().user_functions.made(&name).is_none() {
                    self.create_function(function)?;
                }
                let mut state = self.state.lock();
                Arc::make_mut(&mut state.catalog).named_mut(catalog, span)?.functions.insert(name);
                Ok(())
            }
            StatementKind::Catalog(CatalogStatement::CreateDatabase {
                name, comment, properties, ..
            }) => {
                let [name] = name.parts.as_slice() else {
                    return Err(Error::plan("a database of the catalog is written without it").at(span));
                };
                let properties =
                    properties.iter().map(|p| (p.key.value.clone(), p.value.value.clone())).collect();
                let database = Database { comment: comment.clone(), properties };
                let mut state = self.state.lock();
                let named = Arc::make_mut(&mut state.catalog).named_mut(catalog, span)?;
                named.databases.insert(name.value.clone(), database);
                Ok(())
            }
            StatementKind::Use(name) => {
                let home = self.catalog().database(name)?;
                self.use_home(home);
                Ok(())
            }
            StatementKind::CreateTable(table) if table.query.is_none() => {
                let known = self.catalog();
                let made = Table::from_statement(table, &known)?;
                let key = known.key_of(&table.name)?;
                let entry = Entry::Table(Arc::new(made));
                Arc::make_mut(&mut self.state.lock().catalog).insert(key, entry);
                Ok(())
            }
            StatementKind::CreateView(view) => {
                let known = self.catalog();
                let (home, plain) = known.resolve(&parts_of(&view.name), span)?;
                let made = View {
                    name: home.shown(plain),
                    home: home.clone(),
                    columns: view.columns.iter().map(|c| c.value.clone()).collect(),
                    query: view.query.clone(),
                    text: view.text.clone(),
                    comment: view.comment.clone(),
                    temporary: false,
                };
                let entry = Entry::View(Arc::new(made));
                Arc::make_mut(&mut self.state.lock().catalog).insert(home.key(plain), entry);
                Ok(())
            }
            _ => Err(Error::unsupported(
                "the file of a catalog holds CREATE DATABASE, TABLE, VIEW, FUNCTION and USE alone",
            )
            .at(span)),
        }
    }

    /// CREATE TABLE ... AS SELECT: a table with the query's columns, then an INSERT.
    pub(super) fn split_table_as(&self, statement: &CreateTable) -> Result<(CreateTable, Insert)> {
        let mut statement = statement.clone();
        let Some(query) = statement.query.take() else {
            return Err(Error::internal("CREATE TABLE AS without a query"));
        };
        let plan = self.planner().query(&query)?;
        let mut columns = Vec::new();
        if !statement.columns.is_empty() {
            columns = self.merge_columns(&mut statement, plan.schema())?;
        } else {
            let fields: Vec<_> = plan.schema().fields().iter().collect();
            let listed = std::mem::take(&mut statement.listed);
            let mut ordered = fields.clone();
            if !listed.is_empty() {
                if listed.len() != fields.len() {
                    return Err(Error::plan(format!(
                        "the query returns {} columns, the list names {}",
                        fields.len(),
                        listed.len()
                    ))
                    .at(statement.name.span()));
                }
                let field = |name: &crate::sql::Name| {
                    fields.iter().find(|f| *f.name() == name.value).copied().ok_or_else(|| {
                        Error::plan(format!("the query returns no column '{}'", name.value))
                            .with_hint("the list orders the query's columns; AS in the query renames one")
                            .at(name.span)
                    })
                };
                ordered = listed.iter().map(field).collect::<Result<_>>()?;
                let name = |f: &&Arc<arrow::datatypes::Field>| crate::sql::Name {
                    value: f.name().clone(),
                    span: statement.name.span(),
                };
                columns = fields.iter().map(name).collect();
            }
            for field in ordered {
                let data_type = SqlType::from_arrow(field.data_type()).ok_or_else(|| {
                    Error::unsupported(format!("column '{}' has no SQL type", field.name()))
                })?;
                statement.columns.push(crate::sql::ColumnDef {
                    name: crate::sql::Name { value: field.name().clone(), span: statement.name.span() },
                    kind: crate::sql::ColumnKind::Physical { data_type, nullable: true },
                    comment: None,
                });
            }
        }
        let insert = Insert {
            table: statement.name.clone(),
            options: Vec::new(),
            overwrite: false,
            columns,
            partition: Vec::new(),
            query,
            conflict: None,
            span: statement.name.span(),
        };
        Ok((statement, insert))
    }

    /// Puts the query's columns behind those that CREATE TABLE ... AS declares; one of the same name is what is declared.
    /// The names of the query's columns.
    fn merge_columns(
        &self,
        statement: &mut CreateTable,
        query: &datafusion_common::DFSchema,
    ) -> Result<Vec<crate::sql::Name>> {
        use crate::sql::{ColumnDef, ColumnKind, Name};
        let mut names = Vec::new();
        for field in query.fields() {
            let name = Name { value: field.name().clone(), span: statement.name.span() };
            let declared = statement.columns.iter().find(|c| c.name.value == name.value);
            if let Some(ColumnDef { name, kind: ColumnKind::Computed { .. }, .. }) = declared {
                return Err(Error::plan(format!(
                    "column '{}' is computed, the query returns it",
                    name.value
                ))
                .with_hint("leave the column out of the query, or the expression out of the table")
                .at(name.span));
            }
            if declared.is_none() {
                let data_type = SqlType::from_arrow(field.data_type()).ok_or_else(|| {
                    Error::unsupported(format!("column '{}' has no SQL type", field.name()))
                })?;
                let kind = ColumnKind::Physical { data_type, nullable: true };
                statement.columns.push(ColumnDef { name: name.clone(), kind, comment: None });
            }
            names.push(name);
        }
        Ok(names)
    }

    fn create_table_as(&self, statement: &CreateTable) -> Result<Response> {
        let (table, insert) = self.split_table_as(statement)?;
        let catalog = self.catalog();
        let existed = catalog.get(&catalog.key_of(&table.name)?).is_some() && !table.or_replace;
        let response = self.create_table(&table)?;
        if existed { Ok(response) } else { self.insert(&[insert]) }
    }

    fn create_view(&self, statement: &CreateView) -> Result<Response> {
        self.add(&statement.name, statement.or_replace, statement.if_not_exists, |catalog| {
            let (home, plain) = catalog.resolve(&parts_of(&statement.name), statement.name.span())?;
            let view = View {
                name: home.shown(plain),
                home,
                columns: statement.columns.iter().map(|c| c.value.clone()).collect(),
                query: statement.query.clone(),
                text: statement.text.clone(),
                comment: statement.comment.clone(),
                temporary: statement.temporary,
            };
            // Planned now, so that a mistake shows where it was made.
            self.planner().view(&view)?;
            Ok(Entry::View(Arc::new(view)))
        })
    }

    fn drop_entry(&self, statement: &Drop) -> Result<Response> {
        let catalog = self.catalog();
        let key = catalog.key_of(&statement.name)?;
        let (home, plain) = of_key(&key);
        let plain = home.shown(plain);
        let what = if statement.view { "view" } else { "table" };
        let error = match catalog.get(&key) {
            None if statement.if_exists => {
                return Ok(Response::Done(format!("{what} '{plain}' does not exist")));
            }
            None => {
                return Err(catalog
                    .find(&key, statement.name.span())
                    .err()
                    .unwrap_or_else(|| Error::internal("found")));
            }
            Some(Entry::Table(t)) if !statement.view => (t.temporary, statement.temporary),
            Some(Entry::View(v)) if statement.view => (v.temporary, statement.temporary),
            Some(_) => {
                let other = if statement.view { "TABLE" } else { "VIEW" };
                return Err(Error::plan(format!("'{plain}' is not a {what}"))
                    .with_hint(format!("DROP {other} {plain}"))
                    .at(statement.name.span()));
            }
        };
        if let (false, true) = error {
            return Err(Error::plan(format!("{what} '{plain}' is not temporary")).at(statement.name.span()));
        }
        self.lookups.forget(&plain);
        self.change_catalog(&home.catalog, |catalog| {
            catalog.remove(&key);
            Ok(Response::Done(String::new()))
        })
    }

    pub(super) fn job(&self, id: &str) -> Result<Arc<Job>> {
        self.jobs().into_iter().find(|j| j.id.to_string() == id).ok_or_else(|| {
            Error::plan(format!("job '{id}' is not known")).with_hint("SHOW JOBS lists the jobs")
        })
    }

    fn stop_job(&self, id: &str, savepoint: Option<Then>) -> Result<Response> {
        let job = self.job(id)?;
        if job.state() != JobState::Running {
            return Err(
                Error::plan(format!("job '{id}' has ended already")).with_hint("SHOW JOBS lists the jobs")
            );
        }
        let Some(then) = savepoint else {
            job.cancel();
            job.wait();
            return Ok(Response::Done(format!("job {id} stopped")));
        };
        let config = self.state.lock().config.clone();
        let to = recovery::savepoint_store(&config, &job.name, self.runtime.handle())?;
        let place = job.savepoint(to, then)?;
        job.wait();
        text_table(&[("savepoint path", vec![Some(place)])])
    }

    /// The target table of an INSERT, its hints applied.
    fn target(&self, planner: &Planner, insert: &Insert) -> Result<Arc<Table>> {
        match self.catalog().find_name(&insert.table)? {
            Entry::View(view) => {
                Err(Error::plan(format!("'{}' is a view and cannot be inserted into", view.name))
                    .at(insert.table.span()))
            }
            Entry::Table(table) => {
                let hints = crate::sql::hints::TableHints {
                    options: insert.options.clone(),
                    span: insert.table.span(),
                    ..Default::default()
                };
                Ok(planner.table_ref(table, hints, None)?.table)
            }
        }
    }

    /// Plans INSERTs that run together: what they read is read once.
    pub(super) fn plan_inserts(
        &self,
        planner: &Planner,
        inserts: &[Insert],
    ) -> Result<Vec<(Node, Arc<Table>, datafusion_expr::LogicalPlan)>> {
        let tables = inserts.iter().map(|i| self.target(planner, i)).collect::<Result<Vec<_>>>()?;
        let plans = planner.inserts(&inserts.iter().zip(&tables).collect::<Vec<_>>())?;
        let nodes = planner.results(&plans)?;
        Ok(nodes
            .into_iter()
            .zip(plans)
            .zip(tables)
            .map(|((node, plan), table)| (node, table, plan))
            .collect())
    }

    /// What sinks have to know of a job that starts now; `durable`: it is one that can make checkpoints.
    pub(super) fn of_job(&self, durable: bool) -> Result<OfJob> {
        let checkpoints = durable && recovery::makes_checkpoints(&self.state.lock().config)?;
        Ok(OfJob { checkpoints, shared: SinkJob::default() })
    }

    /// A planned INSERT with its sink: the query as the sink can take it. Nothing is created yet.
    pub(super) fn output(
        &self,
        planner: &Planner,
        insert: &Insert,
        table: &Arc<Table>,
        node: Node,
        of: &OfJob,
    ) -> Result<Output> {
        let connector = table.connector()?;
        if insert.overwrite && !node.properties.bounded {
            return Err(
                Error::plan("INSERT OVERWRITE takes a query that ends, this one does not").at(insert.span)
            );
        }
        if insert.overwrite && !connector.overwrites() {
            return Err(Error::unsupported("INSERT OVERWRITE is not supported by this connector")
                .at(insert.span)
                .with_hint("INSERT INTO adds rows; connector 'filesystem' can be overwritten"));
        }
        let node = planner.enforce(node, table);
        let request = SinkRequest {
            changes: !node.properties.changes.is_append(),
            overwrite: insert.overwrite,
            bounded: node.properties.bounded,
            checkpoints: of.checkpoints,
            job: of.shared.clone(),
            ..SinkRequest::new(table, planner.zone())
        };
        let sink = connector.sink(&request).map_err(|e| e.at(insert.table.span()))?;
        let (node, before) =
            planner.check_sink(node, sink.as_ref(), table, insert.conflict).map_err(|e| e.at(insert.span))?;
        let id = format!("Sink-{}", table.name);
        let (name, place) = (Some(table.name.clone()), connector.place(table)?);
        Ok(Output { node, sink, id, table: name, place, before })
    }

    fn insert(&self, inserts: &[Insert]) -> Result<Response> {
        let (name, outputs, planner) = self.continued_outputs(inserts)?;
        let mut doubts: Vec<String> = inserts.iter().flat_map(super::check::doubtful_insert).collect();
        doubts.extend(planner.doubts());
        let job = self.start_job(name, outputs, true, Some(doubts))?;
        if self.state.lock().config.dml_sync() {
            job.result()?;
        }
        Ok(Response::Job(job))
    }

    /// Starts a job. `doubts` are its first warnings; without them, nothing is said of its plan.
    pub(super) fn start_job(
        &self,
        name: String,
        mut outputs: Vec<Output>,
        durable: bool,
        doubts: Option<Vec<String>>,
    ) -> Result<Arc<Job>> {
        share_sources(&mut outputs.iter_mut().map(|o| &mut o.node).collect::<Vec<_>>());
        let told = doubts.is_some();
        let mut warnings = doubts.unwrap_or_default();
        for output in &outputs {
            for warning in crate::plan::advice::warnings(&output.node) {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        let lookups = outputs.iter().flat_map(|o| o.node.all_lookups()).collect();
        // The lock is not held while a store is asked: other statements and signals find the job, and can stop it.
        let (job, same, config, origin, scope, ahead, memory) = {
            let mut state = self.state.lock();
            // The jobs of a session share it.
            let limit = state.config.memory_limit();
            let memory = state.memory.upgrade().filter(|memory| memory.limit() == limit);
            let memory = memory.unwrap_or_else(|| match state.config.is_set("affluent.state.memory-limit") {
                true => Memory::asked_for(limit),
                false => Memory::new(limit),
            });
            state.memory = Arc::downgrade(&memory);
            let named = state.config.get("pipeline.name");
            let name = if named.is_empty() { name } else { named.to_string() };
            let same = state.jobs.iter().filter(|job| job.name == name).count();
            let job = Job::new(state.jobs.last().map_or(1, |j| j.id + 1), name, lookups);
            state.jobs.push(job.clone());
            let (origin, scope) = (state.origin.clone(), state.scope.clone());
            (job, same, state.config.clone(), origin, scope, state.ahead.clone(), memory)
        };
        let started = (|| {
            // Rows that were shown to somebody are not retracted: a SELECT is not started again.
            let durability = match durable {
                true => {
                    // Jobs of one name in one session are distinguished by their order.
                    let own = if same == 0 { job.name.clone() } else { format!("{}-{}", job.name, same + 1) };
                    let waits = (self.runtime.handle(), self.clock.clone());
                    Durability::new(&config, &own, (origin.as_deref(), scope.as_deref()), ahead, waits)?
                }
                false => None,
            };
            let restart = match durable {
                true => recovery::restart_strategy(&config, durability.is_some())?,
                false => RestartStrategy::None,
            };
            if told {
                let delays = outputs.iter().filter_map(|o| o.sink.delay());
                delays.for_each(|delay| log::info!(target: crate::NOTICE, "{delay}"));
            }
            if durability.is_some() {
                warnings.extend(outputs.iter().flat_map(|o| recovery::unreplayed(&o.node)));
            }
            let how = Start {
                job: job.clone(),
                wanted: config.parallelism(),
                durability,
                restart,
                clock: self.clock.clone(),
                runtime: self.runtime.handle().clone(),
                memory,
                gather: config.buffer_timeout(),
            };
            start(how, outputs)
        })();
        if let Err(e) = started {
            self.state.lock().jobs.retain(|other| !Arc::ptr_eq(other, &job));
            job.end(JobState::Failed(e.clone()));
            return Err(e);
        }
        if told {
            warnings.iter().for_each(|warning| log::warn!("{warning}"));
            job.warn(warnings);
        }
        Ok(job)
    }

    fn select(&self, query: &sqlparser::ast::Query) -> Result<Response> {
        self.run_query(query, true)
    }

    /// Runs a query; `told`: says what it warns of.
    pub(super) fn run_query(&self, query: &sqlparser::ast::Query, told: bool) -> Result<Response> {
        let planner = self.planner();
        let node = planner.result(&planner.shared_query(query)?)?;
        let mut doubts = super::check::doubtful_query(query);
        doubts.extend(planner.doubts());
        let schema = node.arrow.clone();
        let (append, bounded) = (node.properties.changes.is_append(), node.properties.bounded);
        let (sink, chunks) = Collect::new();
        let output = Output { node, sink, id: "Sink".to_string(), table: None, place: None, before: true };
        let job = self.start_job("collect".to_string(), vec![output], false, told.then_some(doubts))?;
        Ok(Response::Query(QueryResult { schema, append, bounded, job, chunks }))
    }

    fn explain(&self, details: &[crate::sql::Name], statement: &StatementKind) -> Result<Response> {
        let mut wanted = Details::default();
        for detail in details {
            match detail.value.as_str() {
                "CHANGELOG_MODE" => wanted.changelog_mode = true,
                "PLAN_ADVICE" => wanted.advice = true,
                "ESTIMATED_COST" => wanted.cost = true,
                "JSON_EXECUTION_PLAN" => wanted.json = true,
                other => {
                    return Err(Error::unsupported(format!("EXPLAIN {other} is not supported"))
                        .with_hint("CHANGELOG_MODE and PLAN_ADVICE are")
                        .at(detail.span));
                }
            }
        }
        let planner = self.planner();
        let text = match statement {
            StatementKind::Query(query) => {
                let logical = &planner.shared_query(query)?;
                let node = &planner.result(logical)?;
                let plan = Explained { logical, node, sink: "Sink: collect", before: true };
                explain(plan, self.state.lock().config.parallelism(), wanted)
            }
            StatementKind::Insert(insert) => {
                self.explain_inserts(&planner, std::slice::from_ref(insert), wanted)?
            }
            StatementKind::StatementSet(inserts) => self.explain_inserts(&planner, inserts, wanted)?,
            _ => return Err(Error::plan("EXPLAIN takes a query, an INSERT or a statement set")),
        };
        Ok(Response::Text(text))
    }

    pub(super) fn insert_outputs(
        &self,
        planner: &Planner,
        inserts: &[Insert],
        durable: bool,
    ) -> Result<(String, Vec<Output>)> {
        let planned = self.plan_inserts(planner, inserts)?;
        let names: Vec<String> = planned.iter().map(|(_, table, _)| table.name.clone()).collect();
        // Sinks last: nothing is created when a later statement is wrong.
        let outputs = planned.into_iter().zip(inserts);
        let of = self.of_job(durable)?;
        let outputs =
            outputs.map(|((node, table, _), insert)| self.output(planner, insert, &table, node, &of));
        let mut outputs = outputs.collect::<Result<Vec<_>>>()?;
        outputs.extend(dead_letters(planner, &of)?);
        Ok((format!("insert-into_{}", names.join("_")), outputs))
    }

    /// The same, by the names and in the order that the job's checkpoints know.
    fn continued_outputs(&self, inserts: &[Insert]) -> Result<(String, Vec<Output>, Planner)> {
        let planner = self.planner();
        let (name, outputs) = self.insert_outputs(&planner, inserts, true)?;
        let remembered = self.remembered(&name, &outputs)?;
        if remembered.is_empty() {
            return Ok((name, outputs, planner));
        }
        for (now, before) in &remembered.tables {
            log::info!(
                target: crate::NOTICE,
                "table '{now}' is '{before}' of the checkpoints: it reads the same place"
            );
        }
        drop(outputs);
        let planner = self.planner().knowing(remembered);
        let (name, outputs) = self.insert_outputs(&planner, inserts, true)?;
        Ok((name, outputs, planner))
    }

    fn remembered(&self, name: &str, outputs: &[Output]) -> Result<Remembered> {
        let (own, config, origin, scope, ahead) = {
            let state = self.state.lock();
            let named = state.config.get("pipeline.name");
            let name = if named.is_empty() { name } else { named };
            let same = state.jobs.iter().filter(|job| job.name == name).count();
            let own = if same == 0 { name.to_string() } else { format!("{name}-{}", same + 1) };
            (own, state.config.clone(), state.origin.clone(), state.scope.clone(), state.ahead.clone())
        };
        let waits = (self.runtime.handle(), self.clock.clone());
        let origin = (origin.as_deref(), scope.as_deref());
        match Durability::new(&config, &own, origin, ahead, waits)? {
            Some(durability) => {
                durability.remembered(|| super::start::job_plan(&own, config.parallelism(), outputs))
            }
            None => Ok(Remembered::default()),
        }
    }

    fn explain_inserts(&self, planner: &Planner, inserts: &[Insert], details: Details) -> Result<String> {
        let parallelism = self.state.lock().config.parallelism();
        let of = self.of_job(true)?;
        let planned = self.plan_inserts(planner, inserts)?.into_iter().zip(inserts);
        let texts = planned.map(|((node, table, logical), insert)| {
            let Output { node, before, sink, .. } = self.output(planner, insert, &table, node, &of)?;
            let connector = table.options.text("connector").unwrap_or_default();
            // What it promises with checkpoints.
            let sink = format!("Sink: {} ({connector}, {})", table.name, sink.guarantee().as_str());
            let plan = Explained { logical: &logical, node: &node, sink: &sink, before };
            Ok(explain(plan, parallelism, details))
        });
        Ok(texts.collect::<Result<Vec<_>>>()?.join("\n"))
    }
}

/// Where the records go that sources of a planned statement cannot decode.
pub(super) fn dead_letters(planner: &Planner, of: &OfJob) -> Result<Vec<Output>> {
    let mut outputs = Vec::new();
    for (node, table) in planner.dead_letters()? {
        let request = SinkRequest {
            bounded: node.properties.bounded,
            checkpoints: of.checkpoints,
            job: of.shared.clone(),
            ..SinkRequest::new(&table, planner.zone())
        };
        let sink = table.connector()?.sink(&request)?;
        let (node, before) = planner.check_sink(node, sink.as_ref(), &table, None)?;
        let (id, place) = (format!("Sink-{}", table.name), table.connector()?.place(&table)?);
        outputs.push(Output { node, sink, id, table: Some(table.name.clone()), place, before });
    }
    Ok(outputs)
}
