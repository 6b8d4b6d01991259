//! What a user function is: its signature and where its code is, from the statement that creates it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlparser::ast;

use super::javascript::{self, Limits};
use crate::catalog::ddl::{plain_name, redacted};
use crate::catalog::options::{OptionDef, OptionKind, Options};
use crate::error::{Error, Position, Result, Span};
use crate::sql::{CreateFunction, FunctionBody, FunctionReturns, SqlExpression, SqlType};

/// Options of functions.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::new("timeout", OptionKind::Duration, "1 s", "for one row of a function that runs inline"),
    OptionDef::new("memory-limit", OptionKind::Size, "64 mb", "memory of one instance; each task has one"),
    OptionDef::new(
        "bigint",
        OptionKind::Choice(&["number", "bigint"]),
        "number",
        "what JavaScript gets for BIGINT",
    ),
    OptionDef::new(
        "lookup.on-error",
        OptionKind::Choice(&["fail", "null"]),
        "fail",
        "what a failed call does: ends the job, or gives NULL and is counted",
    ),
    OptionDef::new(
        "async",
        OptionKind::Bool,
        "",
        "whether the function is asynchronous; checked against the code",
    ),
    OptionDef::new("batch", OptionKind::Integer, "1", "rows in a call; more than 1 is not supported yet"),
];

/// A parameter.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Name; `$1`, `$2`, ... where none is given.
    pub name: String,
    /// Type.
    pub data_type: SqlType,
    /// The value where a call leaves it out.
    pub default: Option<SqlExpression>,
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
    /// JavaScript.
    JavaScript(Arc<javascript::Library>),
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
    failures: AtomicU64,
}

impl UserFunction {
    /// From its statement. Code is parsed now: a mistake in it is an error of the statement.
    pub fn new(statement: &CreateFunction, folder: &Path) -> Result<Self> {
        let name = plain_name(&statement.name)?.to_string();
        let options = Options::from_entries(&statement.options)?;
        options.validate(&format!("function '{name}'"), &OPTIONS.iter().collect::<Vec<_>>())?;
        if options.integer("batch")?.is_some_and(|n| n != 1) {
            return Err(Error::unsupported("functions with 'batch' above 1 are not supported yet")
                .with_hint("leave the option out: the function is called row by row")
                .at(options.span("batch")));
        }
        let parameters = parameters(statement)?;
        let returns = match &statement.returns {
            Some(FunctionReturns::Value(t)) => Some(Returns::Value(t.clone())),
            Some(FunctionReturns::Rows(columns)) => {
                Some(Returns::Rows(columns.iter().map(|(n, t)| (n.value.clone(), t.clone())).collect()))
            }
            None => None,
        };
        let returns = returns.ok_or_else(|| {
            Error::plan(format!("what function '{name}' returns is not known"))
                .with_hint("write RETURNS and a type behind the parameters")
                .at(statement.name.span())
        })?;
        let limits = Limits {
            time: options.duration("timeout")?.unwrap_or(Duration::from_secs(1)),
            memory: options.size("memory-limit")?.unwrap_or(64 << 20) as usize,
            big_integers: options.choice("bigint", &["number", "bigint"])? == Some("bigint"),
        };
        let on_error = match options.choice("lookup.on-error", &["fail", "null"])? {
            Some("null") => OnError::Null,
            _ => OnError::Fail,
        };
        let implementation = implementation(statement, &name, &parameters, &returns, limits, folder)?;
        if let (Implementation::Sql(_), false) = (&implementation, statement.options.is_empty()) {
            return Err(Error::option("functions in SQL have no options").at(statement
                .options
                .first()
                .map(|o| o.key.span)
                .unwrap_or_default()));
        }
        if let Some(declared) = options.bool("async")?
            && declared
        {
            return Err(Error::option(format!("function '{name}' is declared async, its code is not"))
                .with_hint("write async function in the code, or leave the option out")
                .at(options.span("async")));
        }
        Ok(Self {
            name,
            parameters,
            returns,
            aggregate: statement.aggregate,
            deterministic: statement.deterministic,
            strict: statement.strict.unwrap_or(false),
            on_error,
            system: statement.system,
            implementation,
            statement: statement.clone(),
            folder: folder.to_path_buf(),
            failures: AtomicU64::new(0),
        })
    }

    /// The same function, its files read anew.
    pub fn reloaded(&self) -> Result<Self> {
        Self::new(&self.statement, &self.folder)
    }

    /// `name(a INT, b STRING DEFAULT 'x') -> DOUBLE`
    pub fn signature(&self) -> String {
        let parameters = self.parameters.iter().map(|p| match &p.default {
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
        match self.implementation {
            Implementation::Sql(_) => "SQL",
            Implementation::JavaScript(_) => "JAVASCRIPT",
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

    /// The statement that would make this function again; secrets redacted.
    pub fn show_create(&self) -> String {
        let s = &self.statement;
        let mut text = String::from("CREATE ");
        for (set, word) in [(s.temporary, "TEMPORARY "), (s.system, "SYSTEM "), (s.aggregate, "AGGREGATE ")] {
            text.push_str(if set { word } else { "" });
        }
        let parameters = self.parameters.iter().enumerate().map(|(i, p)| {
            let name = s.parameters.as_ref().and_then(|all| all.get(i)).and_then(|p| p.name.as_ref());
            let name = name.map(|n| format!("{} ", quoted(&n.value))).unwrap_or_default();
            let default = p.default.as_ref().map(|d| format!(" DEFAULT {}", d.text)).unwrap_or_default();
            format!("{name}{}{default}", p.data_type)
        });
        let parameters = parameters.collect::<Vec<_>>().join(", ");
        text.push_str(&format!("FUNCTION {}({parameters})", quoted(&self.name)));
        match &self.returns {
            Returns::Value(t) => text.push_str(&format!("\nRETURNS {t}")),
            Returns::Rows(columns) => {
                let columns = columns.iter().map(|(n, t)| format!("{} {t}", quoted(n)));
                text.push_str(&format!("\nRETURNS TABLE ({})", columns.collect::<Vec<_>>().join(", ")));
            }
        }
        text.push_str(&format!("\nLANGUAGE {}", self.language()));
        match s.deterministic {
            Some(true) => text.push_str("\nDETERMINISTIC"),
            Some(false) => text.push_str("\nNOT DETERMINISTIC"),
            None => {}
        }
        if self.strict {
            text.push_str("\nRETURNS NULL ON NULL INPUT");
        }
        if let Some(comment) = &s.comment {
            text.push_str(&format!("\nCOMMENT {}", literal(comment)));
        }
        let files = s.using.iter().map(|(kind, path)| format!("{} {}", kind.value, literal(&path.value)));
        let files = files.collect::<Vec<_>>().join(", ");
        if !files.is_empty() {
            text.push_str(&format!("\nUSING {files}"));
        }
        if !s.options.is_empty() {
            let options = s.options.iter().map(|o| {
                format!(
                    "{} = {}",
                    literal(&o.key.value),
                    literal(&redacted(&o.key.value, o.written.as_ref().unwrap_or(&o.value.value)))
                )
            });
            text.push_str(&format!("\nWITH ({})", options.collect::<Vec<_>>().join(", ")));
        }
        match &s.body {
            Some(FunctionBody::Identifier(name)) => text.push_str(&format!("\nAS {}", literal(&name.value))),
            Some(FunctionBody::Code { text: code, .. }) => {
                let tag = match code.contains("$$") {
                    true => "$code$",
                    false => "$$",
                };
                text.push_str(&format!("\nAS {tag}{code}{tag}"));
            }
            Some(FunctionBody::Expression(expression)) => {
                text.push_str(&format!("\nRETURN {}", expression.text))
            }
            Some(FunctionBody::Query { text: query, .. }) => text.push_str(&format!("\nRETURN {query}")),
            None => {}
        }
        text
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
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

fn implementation(
    statement: &CreateFunction,
    name: &str,
    parameters: &[Parameter],
    returns: &Returns,
    limits: Limits,
    folder: &Path,
) -> Result<Implementation> {
    let place = statement.name.span();
    let language = statement.language.as_ref().map(|l| l.value.to_ascii_uppercase());
    let returned = matches!(&statement.body, Some(FunctionBody::Expression(_) | FunctionBody::Query { .. }));
    match language.as_deref() {
        None | Some("SQL") if returned => sql(statement, name, returns),
        Some("SQL") => Err(Error::plan(format!("function '{name}' has no expression"))
            .with_hint("write RETURN and an expression: CREATE FUNCTION f(c DOUBLE) RETURNS DOUBLE RETURN c * 1.8 + 32")
            .at(place)),
        Some(_) if returned => {
            Err(Error::plan("RETURN belongs to functions in SQL; code of other languages follows AS").at(place))
        }
        Some("JAVASCRIPT" | "JS") => {
            let source = javascript_source(statement, name, parameters, folder)?;
            let library = javascript::load(source, name, statement.aggregate, returns, limits)?;
            Ok(Implementation::JavaScript(Arc::new(library)))
        }
        Some(other @ ("JAVA" | "SCALA")) => Err(refused(statement, other)
            .with_hint("there is no JVM in this process: write it in JavaScript or SQL, or call a service with 'connector' = 'http'")),
        Some(other @ ("PYTHON" | "WASM" | "RUST")) => Err(refused(statement, other).with_hint(
            "functions in SQL and JAVASCRIPT are supported; a Rust program registers its own with Session::register_function",
        )),
        None if statement.using.iter().any(|(kind, _)| kind.value == "JAR") || !returned && is_identifier(statement) => {
            Err(Error::unsupported("functions in Java are not supported, and no other LANGUAGE is given")
                .with_hint("write LANGUAGE JAVASCRIPT behind the code, or RETURN and an expression in SQL")
                .at(place))
        }
        None => Err(Error::plan(format!("the language of function '{name}' is not known"))
            .with_hint("write LANGUAGE JAVASCRIPT, or RETURN and an expression in SQL")
            .at(place)),
        Some(other) => {
            let error = refused(statement, other);
            Err(match crate::nearest::nearest(other, ["SQL", "JAVASCRIPT"].into_iter()) {
                Some(near) => error.with_hint(format!("did you mean {near}?")),
                None => error.with_hint("the languages are SQL and JAVASCRIPT"),
            })
        }
    }
}

fn is_identifier(statement: &CreateFunction) -> bool {
    matches!(statement.body, Some(FunctionBody::Identifier(_)))
}

fn refused(statement: &CreateFunction, language: &str) -> Error {
    let span = statement.language.as_ref().map_or_else(|| statement.name.span(), |l| l.span);
    Error::unsupported(format!("functions in {language} are not supported")).at(span)
}

fn sql(statement: &CreateFunction, name: &str, returns: &Returns) -> Result<Implementation> {
    let place = statement.name.span();
    if statement.aggregate {
        return Err(Error::unsupported("aggregate functions in SQL are not supported")
            .with_hint("LANGUAGE JAVASCRIPT has them")
            .at(place));
    }
    if let Some((_, file)) = statement.using.first() {
        return Err(Error::plan("functions in SQL use no files").at(file.span));
    }
    match (&statement.body, returns) {
        (Some(FunctionBody::Expression(expression)), Returns::Value(_)) => {
            Ok(Implementation::Sql(expression.clone()))
        }
        (Some(FunctionBody::Query { .. }), _) | (_, Returns::Rows(_)) => {
            Err(Error::unsupported(format!("function '{name}' returns a query, which is not supported yet"))
                .with_hint("a view holds a query without parameters; RETURN takes an expression")
                .at(place))
        }
        _ => Err(Error::internal("a function in SQL without an expression")),
    }
}

/// The code with its place: in the statement, or in the file that USING names.
fn javascript_source(
    statement: &CreateFunction,
    name: &str,
    parameters: &[Parameter],
    folder: &Path,
) -> Result<javascript::Source> {
    let names: Vec<String> = parameters.iter().map(|p| p.name.clone()).collect();
    let place = statement.name.span();
    match (&statement.body, statement.using.as_slice()) {
        (Some(FunctionBody::Code { text, start }), []) => Ok(javascript::Source {
            file: None,
            text: text.clone(),
            start: *start,
            export: name.to_string(),
            names,
        }),
        (body, [(_, path)]) => {
            let export = match body {
                Some(FunctionBody::Identifier(export)) => export.value.clone(),
                None => name.to_string(),
                Some(_) => {
                    return Err(Error::plan("the code is given twice: behind AS and in a file").at(path.span));
                }
            };
            let file = folder.join(&path.value);
            let text = std::fs::read_to_string(&file).map_err(|e| {
                Error::option(format!("cannot read '{}'", file.display()))
                    .with_detail(e.to_string())
                    .with_hint("the path is relative to the file that holds the statement")
                    .at(path.span)
            })?;
            let start = Position { line: 1, column: 1 };
            Ok(javascript::Source { file: Some(file.display().to_string()), text, start, export, names })
        }
        (_, [_, (_, second), ..]) => Err(Error::unsupported("USING takes one file").at(second.span)),
        (Some(FunctionBody::Identifier(export)), []) => {
            Err(Error::plan("the identifier needs a file to be found in")
                .with_hint("write USING FILE 'functions.js', or the code itself: AS $$ ... $$")
                .at(export.span))
        }
        _ => Err(Error::plan(format!("function '{name}' has no code"))
            .with_hint("write AS $$ ... $$, or USING FILE 'path'")
            .at(place)),
    }
}

/// The place of a position in code that begins at `start` of the statement's text.
pub(super) fn place(start: Position, line: u32, column: u32) -> Span {
    let column = if line <= 1 { start.column + column.saturating_sub(1) } else { column };
    let line = start.line + line.saturating_sub(1);
    Span::new((line, column), (line, column + 1))
}
