//! What a user function is: its signature and where its code is, from the statement that creates it.

mod code;
mod options;
mod python_code;
mod show;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlparser::ast;

use self::code::{implementation, is_identifier, onnx};
pub use self::options::OPTIONS;
use self::options::{PYTHON, RELOAD, SECRET, waits_only};
use self::python_code::{check_python, python_function, returned};
use super::caller::{CallContext, Callable, Caller};
use super::javascript::{self, Limits};
use super::model;
use super::native::{self, RustFunction};
use super::reload::Reloading;
use super::web::{self, Grants};
use crate::catalog::Table;
use crate::catalog::ddl::plain_name;
use crate::catalog::options::Options;
use crate::error::{Error, Position, Result, Span};
use crate::sql::{CreateFunction, FunctionReturns, SqlExpression, SqlType};

/// A parameter.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Name; `$1`, `$2`, ... where none is given.
    pub name: String,
    /// Type.
    pub data_type: SqlType,
    /// The value where a call leaves it out.
    pub default: Option<SqlExpression>,
    /// It takes values of any type: neither the statement nor the code says which.
    pub any: bool,
}

/// What functions take from the session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `python.executable`.
    pub python: Option<String>,
    /// `python.files`: folders where modules are looked for, with commas between.
    pub python_files: Option<String>,
}

/// What a function returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Returns {
    /// One value.
    Value(SqlType),
    /// Rows with these columns.
    Rows(Vec<(String, SqlType)>),
}

impl Returns {
    /// The type that a call computes: rows are an array of them.
    pub fn computed(&self) -> SqlType {
        match self {
            Self::Value(t) => t.clone(),
            Self::Rows(columns) => SqlType::Array(Box::new(SqlType::Row(columns.clone()))),
        }
    }
}

/// What a call that failed does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// It fails the job.
    Fail,
    /// It is NULL, and counted.
    Null,
}

/// How a function computes.
#[derive(Debug, Clone)]
pub enum Implementation {
    /// `RETURN expression`.
    Sql(Box<SqlExpression>),
    /// `RETURN SELECT ...`: its rows.
    SqlQuery(Box<ast::Query>),
    /// JavaScript.
    JavaScript(Arc<javascript::Library>),
    /// Something whose calls wait for their answers.
    Call(Arc<dyn Callable>),
    /// A model that a function of the session stands behind.
    Model,
    /// What computes columns: a closure of the program, a WebAssembly module.
    Inline(Arc<dyn native::Inline>),
    /// An aggregate of the program.
    RustAggregate(Arc<dyn native::Aggregate>),
}

/// A function of the user.
#[derive(Debug)]
pub struct UserFunction {
    /// Name, as written.
    pub name: String,
    /// Parameters in order.
    pub parameters: Vec<Parameter>,
    /// Result.
    pub returns: Returns,
    /// `AGGREGATE`.
    pub aggregate: bool,
    /// Equal arguments give equal results; `None`: as the body says.
    pub deterministic: Option<bool>,
    /// A NULL argument gives NULL without a call.
    pub strict: bool,
    /// What a failed call does.
    pub on_error: OnError,
    /// `SYSTEM`: stands in the place of a built-in function.
    pub system: bool,
    /// How it computes.
    pub implementation: Implementation,
    /// The statement, with its files' places as they were found.
    pub statement: CreateFunction,
    /// Folder that relative paths start from.
    pub folder: PathBuf,
    /// Rows that one call takes.
    pub batch: usize,
    /// What it may reach.
    grants: Grants,
    /// WITH.
    options: Options,
    environment: Environment,
    failures: AtomicU64,
}

impl UserFunction {
    /// From its statement. Code is parsed now: a mistake in it is an error of the statement.
    pub fn new(statement: &CreateFunction, folder: &Path, environment: &Environment) -> Result<Self> {
        Self::build(statement, folder, environment, None)
    }

    fn build(
        statement: &CreateFunction,
        folder: &Path,
        environment: &Environment,
        own: Option<RustFunction>,
    ) -> Result<Self> {
        let name = plain_name(&statement.name)?.to_string();
        let options = Options::from_entries(&statement.options)?;
        let is_model = statement.language.as_ref().is_some_and(|l| l.value == "MODEL");
        let definitions = if is_model { model::OPTIONS } else { OPTIONS };
        let what = if is_model { "model" } else { "function" };
        let known = definitions
            .iter()
            .chain(crate::lookup::config::OPTIONS.iter().filter(|o| o.key.starts_with("lookup.")));
        options.validate(&format!("{what} '{name}'"), &known.collect::<Vec<_>>())?;
        let batch = match options.integer("batch")? {
            Some(0) => {
                return Err(Error::option("option 'batch' must be at least 1").at(options.span("batch")));
            }
            n => n.map_or(1, |n| usize::try_from(n).unwrap_or(usize::MAX)),
        };
        if is_model {
            model::check_options(&name, &options)?;
        }
        let python = match statement.language.as_ref().map(|l| l.value.to_ascii_uppercase()).as_deref() {
            Some("PYTHON") => Some(python_function(statement, &name, folder, &options, environment)?),
            _ => None,
        };
        let mut parameters = parameters(statement)?;
        if let (Some(python), None) = (&python, &statement.parameters) {
            let found = python.about().parameters.iter();
            parameters = found
                .map(|(name, data_type)| Parameter {
                    name: name.clone(),
                    data_type: data_type.clone().unwrap_or(SqlType::String),
                    default: None,
                    any: data_type.is_none(),
                })
                .collect();
        }
        if let Some(own) = &own {
            let types = own.parameters.iter().enumerate();
            parameters = types
                .map(|(i, (data_type, _))| Parameter {
                    name: format!("${}", i + 1),
                    data_type: data_type.clone(),
                    default: None,
                    any: false,
                })
                .collect();
        }
        let returns = match &statement.returns {
            _ if own.is_some() => own.as_ref().map(|own| own.returns.clone()),
            Some(FunctionReturns::Value(t)) => Some(Returns::Value(t.clone())),
            Some(FunctionReturns::Rows(columns)) => {
                Some(Returns::Rows(columns.iter().map(|(n, t)| (n.value.clone(), t.clone())).collect()))
            }
            None => python.as_ref().and_then(|p| returned(p.about())),
        };
        let java = match statement.language.as_ref().map(|l| l.value.to_ascii_uppercase()).as_deref() {
            None => is_identifier(statement),
            language => matches!(language, Some("JAVA" | "SCALA")),
        };
        let returns = returns.ok_or_else(|| {
            if java {
                return Error::unsupported("functions in Java are not supported, and no other LANGUAGE is given")
                    .with_hint("write it in JavaScript, Python or SQL: CREATE FUNCTION f(x DOUBLE) RETURNS DOUBLE RETURN x * 2")
                    .at(statement.name.span());
            }
            Error::plan(format!("what function '{name}' returns is not known"))
                .with_hint("write RETURNS and a type after the parameters")
                .at(statement.name.span())
        })?;
        let limits = Limits {
            time: options.duration("timeout")?.unwrap_or(Duration::from_secs(1)),
            memory: options.size("memory-limit")?.unwrap_or(64 << 20) as usize,
            big_integers: options.choice("bigint", &["number", "bigint"])? == Some("bigint"),
        };
        let on_error = match options.text("lookup.on-error").map(str::to_ascii_lowercase).as_deref() {
            Some("null") => OnError::Null,
            _ => OnError::Fail,
        };
        let grants = if is_model { Grants::default() } else { Grants::from_options(&options)? };
        let aggregate = statement.aggregate || python.as_ref().is_some_and(|p| p.about().kind == "aggregate");
        let implementation = match python {
            _ if own.is_some() => match own.map(|own| own.code) {
                Some(native::Code::Inline(code)) => Implementation::Inline(code),
                Some(native::Code::Aggregate(code)) => Implementation::RustAggregate(code),
                Some(native::Code::Call(code)) => Implementation::Call(code),
                None => return Err(Error::internal("a function of the program without code")),
            },
            None if is_model && model::function_of(&options).is_some() => Implementation::Model,
            None if is_model && model::is_onnx(&options) => {
                onnx(&name, &options, &parameters, &returns, folder, statement.name.span())?
            }
            None if is_model => Implementation::Call(Arc::new(model::Model::new(
                &name,
                &options,
                &parameters,
                &returns,
                statement.name.span(),
            )?)),
            Some(python) => {
                check_python(statement, &name, &python, &parameters, &returns)?;
                Implementation::Call(Arc::new(python))
            }
            None => {
                let secrets = options.with_prefix(SECRET).map(|(name, v)| (name.to_string(), v.to_string()));
                let secrets = javascript::Secrets(secrets.collect());
                implementation(statement, &name, &parameters, &returns, (limits, secrets), folder)?
            }
        };
        if let (Some((key, _)), false) = (
            options.iter().find(|(key, _)| key.starts_with(SECRET)),
            matches!(implementation, Implementation::JavaScript(_)),
        ) {
            return Err(Error::option(format!("option '{key}' is of functions in JavaScript"))
                .with_hint("Python code finds its environment: 'env' names the variables")
                .at(options.span(key)));
        }
        let strict = statement.strict.unwrap_or(match &implementation {
            Implementation::Inline(code) => code.is_strict(),
            _ => false,
        });
        let waits = match &implementation {
            Implementation::JavaScript(library) => library.is_async(),
            Implementation::Call(_) => !aggregate,
            _ => false,
        };
        let is_python = matches!(&implementation, Implementation::Call(c) if c.language() == "PYTHON");
        if let (false, Some((key, _))) = (is_python, options.iter().find(|(key, _)| PYTHON.contains(key))) {
            return Err(
                Error::option(format!("option '{key}' is of functions in Python")).at(options.span(key))
            );
        }
        let foreign = |key: &str| {
            key == web::ALLOW_HOSTS
                || [web::HEADER, SECRET].iter().any(|p| key.starts_with(p))
                || key == "bigint"
        };
        let is_wasm = matches!(&implementation, Implementation::Inline(c) if c.language() == "WASM");
        if let (true, Some((key, _))) = (is_wasm, options.iter().find(|(key, _)| *key == "bigint")) {
            return Err(Error::option(format!("option '{key}' is of functions in JavaScript"))
                .with_hint("WebAssembly has BIGINT as i64")
                .at(options.span(key)));
        }
        if let (true, Some((key, _))) = (is_python, options.iter().find(|(key, _)| foreign(key))) {
            return Err(Error::option(format!("option '{key}' is of functions in JavaScript"))
                .with_hint("Python code is no sandbox: it asks whom it likes, with what 'env' passes to it")
                .at(options.span(key)));
        }
        if let (false, Some((key, _))) = (waits, options.iter().find(|(key, _)| waits_only(key)))
            && !matches!(implementation, Implementation::Sql(_) | Implementation::SqlQuery(_))
        {
            return Err(Error::option(format!(
                "option '{key}' is of functions that wait, '{name}' does not"
            ))
            .with_hint("an async function waits; one that computes needs neither cache nor hosts")
            .at(options.span(key)));
        }
        if let (false, Some(word)) = (waits, options.text("lookup.on-error"))
            && !["fail", "null"].iter().any(|w| w.eq_ignore_ascii_case(word))
        {
            return Err(Error::option(format!(
                "option 'lookup.on-error': '{word}' is of functions that wait"
            ))
            .with_hint("one that computes has fail and null")
            .at(options.span("lookup.on-error")));
        }
        if waits {
            crate::lookup::LookupConfig::of_function(&options, &crate::config::Config::default())?;
        }
        if let (Implementation::Sql(_) | Implementation::SqlQuery(_), false) =
            (&implementation, statement.options.is_empty())
        {
            return Err(Error::option("functions in SQL have no options").at(statement
                .options
                .first()
                .map(|o| o.key.span)
                .unwrap_or_default()));
        }
        if let Some(declared) = options.bool("async")?
            && declared != waits
            && !is_python
        {
            let (said, is) = if declared { ("async", "is not") } else { ("not async", "is") };
            return Err(Error::option(format!("function '{name}' is declared {said}, its code {is}"))
                .with_hint("write async function in the code, or leave the option out")
                .at(options.span("async")));
        }
        let function = Self {
            name,
            parameters,
            returns,
            aggregate,
            deterministic: statement.deterministic,
            strict,
            on_error,
            system: statement.system,
            implementation,
            statement: statement.clone(),
            folder: folder.to_path_buf(),
            batch,
            grants,
            options,
            environment: environment.clone(),
            failures: AtomicU64::new(0),
        };
        if function.is_reloaded() && function.files().is_empty() {
            let what =
                format!("option '{RELOAD}': function '{}' has no file that could change", function.name);
            return Err(Error::option(what)
                .with_hint("put the code into a file: USING FILE 'path'")
                .at(function.options.span(RELOAD)));
        }
        Ok(function)
    }

    /// Whether its calls wait for their answers.
    pub fn waits(&self) -> bool {
        match &self.implementation {
            Implementation::JavaScript(library) => library.is_async(),
            Implementation::Call(_) => !self.aggregate,
            _ => false,
        }
    }

    /// Whether equal arguments give equal results: what waits asks others, unless the statement says that it may be
    /// taken so.
    pub fn is_deterministic(&self) -> bool {
        // What new code gives is another thing than what the old one gave.
        !self.is_reloaded()
            && self.deterministic.unwrap_or(match &self.implementation {
                Implementation::Call(callable) => callable.is_deterministic(),
                Implementation::JavaScript(library) => !library.is_async(),
                _ => true,
            })
    }

    /// Something that makes its calls.
    pub fn caller(self: &Arc<Self>, context: &CallContext) -> Result<Arc<dyn Caller>> {
        let caller = self.plain_caller(context)?;
        Ok(match self.is_reloaded() {
            true => Arc::new(Reloading::new(caller, self.clone(), context.clone(), self.files())),
            false => caller,
        })
    }

    /// Whether running jobs follow its file.
    fn is_reloaded(&self) -> bool {
        self.options.text(RELOAD).is_some_and(|word| word.eq_ignore_ascii_case("on-change"))
    }

    /// The files that hold its code.
    fn files(&self) -> Vec<PathBuf> {
        match &self.implementation {
            Implementation::JavaScript(library) => library.files(),
            Implementation::Call(callable) => callable.files(),
            Implementation::Inline(code) => code.files(),
            _ => Vec::new(),
        }
    }

    /// The same, of the code as it is now.
    pub(super) fn plain_caller(self: &Arc<Self>, context: &CallContext) -> Result<Arc<dyn Caller>> {
        match &self.implementation {
            Implementation::JavaScript(library) => Ok(Arc::new(javascript::driver::JavaScriptCaller::new(
                library.clone(),
                self.clone(),
                web::Web::new(self.grants.clone()),
                context,
            ))),
            Implementation::Call(callable) => callable.caller(self, context),
            _ => Err(Error::internal("a function that does not wait")),
        }
    }

    /// Whether it is a model.
    pub fn is_model(&self) -> bool {
        self.statement.language.as_ref().is_some_and(|l| l.value == "MODEL")
    }

    /// Whether it takes an array of keys, and gives rows that are told apart by theirs.
    pub fn takes_keys(&self) -> bool {
        let [only] = self.parameters.as_slice() else { return false };
        self.batch > 1
            && matches!(only.data_type, SqlType::Array(_))
            && matches!(self.returns, Returns::Rows(_))
    }

    /// Rows that one call takes: with one, arguments are values, else arrays of them.
    pub fn rows_of_call(&self) -> usize {
        if self.takes_keys() { 1 } else { self.batch }
    }

    /// What its code is, as a digest; `None` where it is not known.
    pub fn digest(&self) -> Option<String> {
        let digest = match &self.implementation {
            Implementation::Sql(expression) => crate::digest::digest(&expression.text),
            Implementation::SqlQuery(query) => crate::digest::digest(&query.to_string()),
            Implementation::JavaScript(library) => library.digest(),
            Implementation::Call(callable) => callable.digest(),
            Implementation::Inline(code) => code.digest(),
            _ => String::new(),
        };
        Some(digest).filter(|d| !d.is_empty())
    }

    /// The same with other options on top.
    pub fn with_options(&self, options: Vec<crate::sql::OptionEntry>) -> Result<Self> {
        let mut statement = self.statement.clone();
        statement.options.retain(|old| !options.iter().any(|new| new.key.value == old.key.value));
        statement.options.extend(options);
        Self::new(&statement, &self.folder, &self.environment)
    }

    /// How its calls are made, by its options and the session's settings.
    pub fn call_config(&self, settings: &crate::config::Config) -> Result<crate::lookup::LookupConfig> {
        let mut config = crate::lookup::LookupConfig::of_function(&self.options, settings)?;
        let prefix = match self.returns {
            Returns::Value(_) => "table.exec.async-scalar",
            Returns::Rows(_) => "table.exec.async-table",
        };
        if let Some(capacity) = settings.integer_if_set(&format!("{prefix}.max-concurrent-operations")) {
            (config.capacity, config.capacity_given) = (capacity, true);
        }
        if let Some(timeout) = settings.duration_if_set(&format!("{prefix}.timeout")) {
            config.timeout = timeout;
        }
        if settings
            .text_if_set(&format!("{prefix}.retry-strategy"))
            .is_some_and(|s| s.eq_ignore_ascii_case("NO_RETRY"))
        {
            config.max_retries = 0;
        } else if let (Some(attempts), false) = (
            settings.integer_if_set(&format!("{prefix}.max-attempts")),
            self.options.contains("lookup.max-retries"),
        ) {
            config.max_retries = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        }
        if let Some(capacity) = self.options.integer("capacity")? {
            (config.capacity, config.capacity_given) =
                (usize::try_from(capacity).unwrap_or(usize::MAX).max(1), true);
        }
        let patience = match &self.implementation {
            Implementation::Call(callable) => callable.patience(),
            _ => None,
        };
        match (patience, self.options.duration("timeout")?) {
            (Some(patience), _) => config.timeout = config.timeout.max(patience),
            (None, Some(timeout)) => config.timeout = timeout,
            (None, None) => {}
        }
        match self.options.choice("output-mode", &["ordered", "allow_unordered"])? {
            Some("ordered") => config.output_mode = crate::lookup::OutputMode::Ordered,
            Some(_) => config.output_mode = crate::lookup::OutputMode::Unordered,
            None => {}
        }
        config.shares_calls = self.is_deterministic();
        Ok(config)
    }

    /// The pause between attempts, where the session sets one.
    pub fn retry_delay(&self, settings: &crate::config::Config) -> Option<Duration> {
        let prefix = match self.returns {
            Returns::Value(_) => "table.exec.async-scalar",
            Returns::Rows(_) => "table.exec.async-table",
        };
        settings.duration_if_set(&format!("{prefix}.retry-delay"))
    }

    /// The options of its statement.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// As the lookup engine sees it.
    pub fn as_table(&self) -> Table {
        Table {
            name: self.name.clone(),
            home: Default::default(),
            columns: Vec::new(),
            watermark: None,
            primary_key: Vec::new(),
            partitioned_by: Vec::new(),
            comment: None,
            options: self.options.clone(),
            temporary: true,
            own: None,
        }
    }

    /// A function of the program that embeds the session.
    pub fn of_program(function: RustFunction) -> Result<Self> {
        let span = Span::default();
        let named = |value: &str| crate::sql::Name { value: value.to_string(), span };
        let name = named(&function.name);
        let entries: Vec<crate::sql::OptionEntry> = function
            .options
            .iter()
            .map(|(key, value)| crate::sql::OptionEntry {
                key: named(key),
                value: named(value),
                written: None,
            })
            .collect();
        let statement = CreateFunction {
            name: crate::sql::TableName { parts: vec![name] },
            or_replace: false,
            temporary: true,
            system: false,
            aggregate: matches!(function.code, native::Code::Aggregate(_)),
            if_not_exists: false,
            parameters: None,
            returns: None,
            body: None,
            language: Some(named("RUST")),
            deterministic: Some(function.deterministic),
            strict: None,
            using: Vec::new(),
            comment: None,
            options: entries,
            span,
        };
        Self::build(&statement, Path::new(""), &Environment::default(), Some(function))
    }

    /// The same function, its files read anew.
    pub fn reloaded(&self) -> Result<Self> {
        if self.language() == "RUST" {
            return Err(Error::plan(format!(
                "function '{}' is of the program: there is nothing to read",
                self.name
            )));
        }
        Self::new(&self.statement, &self.folder, &self.environment)
    }

    /// `name(a INT, b STRING DEFAULT 'x') -> DOUBLE`
    pub fn signature(&self) -> String {
        let parameters = self.parameters.iter().map(|p| match &p.default {
            _ if p.any => format!("{} ANY", p.name),
            Some(default) => format!("{} {} DEFAULT {}", p.name, p.data_type, default.text),
            None => format!("{} {}", p.name, p.data_type),
        });
        let returns = match &self.returns {
            Returns::Value(t) => t.to_string(),
            Returns::Rows(columns) => {
                let columns = columns.iter().map(|(n, t)| format!("{n} {t}")).collect::<Vec<_>>();
                format!("TABLE ({})", columns.join(", "))
            }
        };
        format!("{}({}) -> {returns}", self.name, parameters.collect::<Vec<_>>().join(", "))
    }

    /// `SQL`, `JAVASCRIPT`.
    pub fn language(&self) -> &'static str {
        match &self.implementation {
            Implementation::Sql(_) | Implementation::SqlQuery(_) => "SQL",
            Implementation::JavaScript(_) => "JAVASCRIPT",
            Implementation::Call(callable) => callable.language(),
            Implementation::Inline(code) => code.language(),
            Implementation::RustAggregate(_) => "RUST",
            Implementation::Model => "MODEL",
        }
    }

    /// Counts a failed call that gives NULL, and tells of it: the first, the tenth, the hundredth, ...
    pub fn count_failure(&self, why: &Error) {
        let count = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let power =
            std::iter::successors(Some(1u64), |n| n.checked_mul(10)).take_while(|n| *n <= count).last();
        if power == Some(count) {
            let calls = if count == 1 { "call" } else { "calls" };
            log::warn!("function '{}': {count} failed {calls} returned NULL: {}", self.name, why.message());
        }
    }

    /// Calls that failed and gave NULL so far.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

fn parameters(statement: &CreateFunction) -> Result<Vec<Parameter>> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for (i, parameter) in statement.parameters.iter().flatten().enumerate() {
        if let (Some(before), None) = (parameters.last(), &parameter.default)
            && before.default.is_some()
        {
            let span = parameter.name.as_ref().map_or_else(|| statement.name.span(), |n| n.span);
            return Err(Error::plan("a parameter without a default follows one that has a default")
                .with_hint("put the parameters with defaults last")
                .at(span));
        }
        if let Some(default) = &parameter.default
            && !is_literal(&default.expr)
        {
            return Err(Error::plan("the default of a parameter is not a literal").at(default.span));
        }
        parameters.push(Parameter {
            name: parameter.name.as_ref().map_or_else(|| format!("${}", i + 1), |n| n.value.clone()),
            data_type: parameter.data_type.clone(),
            default: parameter.default.clone(),
            any: false,
        });
    }
    Ok(parameters)
}

/// A literal, or one that is signed or cast.
fn is_literal(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Value(_) | ast::Expr::TypedString(_) | ast::Expr::Interval(_) => true,
        ast::Expr::UnaryOp { expr, .. } | ast::Expr::Cast { expr, .. } | ast::Expr::Nested(expr) => {
            is_literal(expr)
        }
        _ => false,
    }
}

/// The place of a position in code that begins at `start` of the statement's text.
pub(super) fn place(start: Position, line: u32, column: u32) -> Span {
    let column = if line <= 1 { start.column + column.saturating_sub(1) } else { column };
    let line = start.line + line.saturating_sub(1);
    Span::new((line, column), (line, column + 1))
}
