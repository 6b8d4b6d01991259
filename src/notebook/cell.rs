//! Runs the statements of a cell.
//!
//! A cell is a script: `${NAME}` is replaced, all statements are parsed before the first one runs, so that
//! nothing of a cell with a mistake in its syntax is executed, and the first error ends it. A SELECT is
//! shown until it ends or the user interrupts it; an INSERT leaves a job that goes on after the cell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jupyter_protocol::ErrorOutput;
use parking_lot::Mutex;

use super::directive::{self, DIRECTIVES, Directives, MARK};
use super::html;
use super::jobs::{JobLine, failure};
use super::live::{End, Live};
use super::output::{CellOutput, Picture};
use super::rows;
use crate::catalog::options::parse_bool;
use crate::config::RESULT_MODE;
use crate::console::diagnostic;
use crate::console::interrupt::Interrupts;
use crate::console::render::visible;
use crate::console::stream::rekind;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::JobState;
use crate::session::{QueryResult, Response, Session};
use crate::sql::variables::{Script, Variables};
use crate::sql::{SourceText, Statement, StatementKind, parse_script_lossy};

/// `table.dml-sync`
const DML_SYNC: &str = "table.dml-sync";

/// Text of HELP, before the directives.
const HELP: &str = "\
A cell holds one or several statements, separated by semicolons:
  CREATE TABLE, CREATE VIEW, DROP, INSERT INTO, EXECUTE STATEMENT SET, SELECT, EXPLAIN
  SHOW CACHES, DESCRIBE | CLEAR CACHE t, WARM CACHE t FROM (query), EXPLAIN LOOKUP t FOR (key)
  SHOW TABLES | VIEWS | FUNCTIONS | COLUMNS FROM t | CREATE TABLE t | JOBS, DESCRIBE t
  SET; lists the settings, SET 'key' = 'value'; changes one, RESET 'key'; undoes it
  STOP JOB 'id'; stops a job

The button Interrupt ends the query of the running cell; its rows stay.
Jobs of INSERT go on after their cell; SET 'table.dml-sync' = 'true'; waits for them.

Directives, in comments before a statement:";

/// How a cell ended.
#[derive(Debug)]
pub enum Outcome {
    /// All statements were executed, the last query perhaps until the user stopped it.
    Done,
    /// An error, or an interruption that left statements out.
    Failed(ErrorOutput),
}

/// Runs the cells of one notebook, one after the other.
#[derive(Debug)]
pub struct Cells {
    session: Arc<Session>,
    /// From the command line and from earlier cells.
    variables: Mutex<Variables>,
    interrupts: Arc<Interrupts>,
    /// Displays so far, for their ids.
    displays: AtomicU64,
    /// Tells the displays of this kernel from those of another that the notebook had before.
    kernel: String,
}

/// Whether the next statement follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Next,
    /// The user has interrupted it.
    Interrupted,
}

/// A cell that is being run.
struct Cell<'a> {
    cells: &'a Cells,
    script: Arc<Script>,
    output: &'a CellOutput,
}

impl Cells {
    /// Of a session.
    pub fn new(session: Arc<Session>, variables: Variables, interrupts: Arc<Interrupts>) -> Self {
        let kernel = uuid::Uuid::new_v4().simple().to_string();
        Self { session, variables: Mutex::new(variables), interrupts, displays: AtomicU64::new(0), kernel }
    }

    /// Runs a cell; what it shows goes to `output`. `name` is the cell's name in messages.
    pub fn run(&self, name: &str, code: &str, output: &CellOutput) -> Outcome {
        // An interruption of an earlier cell is not one of this.
        self.interrupts.statement();
        self.interrupts.idle();
        let written = SourceText::new(name, code);
        let expanded = directive::variables(code).and_then(|set| {
            let mut variables = self.variables.lock();
            set.iter().for_each(|(name, value)| variables.set(name, value));
            variables.expand(written.clone())
        });
        let script = match expanded {
            Ok(script) => Arc::new(script),
            Err(e) => {
                let e = match e.message().ends_with("has no value") {
                    true => {
                        e.with_hint("set it in a cell: --%var NAME=value, or in the environment of Jupyter")
                    }
                    false => e,
                };
                return Outcome::Failed(report(&[e], &Script::plain(written), None));
            }
        };
        let (statements, errors): (Vec<_>, Vec<_>) =
            parse_script_lossy(&script.expanded).into_iter().partition(|s| s.is_ok());
        let errors: Vec<Error> = errors.into_iter().filter_map(Result::err).collect();
        if !errors.is_empty() {
            return Outcome::Failed(report(&errors, &script, None));
        }
        let statements: Vec<Statement> = statements.into_iter().filter_map(Result::ok).collect();
        let directives = match directive::read(&script.expanded.text, &statements) {
            Ok(directives) => directives,
            Err(e) => return Outcome::Failed(report(&[e], &script, None)),
        };
        let cell = Cell { cells: self, script: script.clone(), output };
        for (i, (statement, directives)) in statements.iter().zip(&directives).enumerate() {
            self.interrupts.statement();
            let step = cell.statement(statement, directives);
            self.interrupts.idle();
            let left = statements.len() - i - 1;
            match step {
                Ok(Step::Next) if !self.interrupts.requested() => {}
                Ok(_) if left == 0 => {}
                Ok(_) => return Outcome::Failed(interrupted(left)),
                Err(e) if e.kind() == ErrorKind::Cancelled => return Outcome::Failed(interrupted(left)),
                Err(e) => {
                    let which = (statements.len() > 1).then(|| which(i, &statements, &script));
                    return Outcome::Failed(report(&[e], &script, which));
                }
            }
        }
        Outcome::Done
    }

    /// Whether the user has interrupted the cell that ran last.
    pub fn was_interrupted(&self) -> bool {
        self.interrupts.requested()
    }

    fn display_id(&self) -> String {
        format!("affluent-{}-{}", self.kernel, self.displays.fetch_add(1, Ordering::Relaxed))
    }
}

impl Cell<'_> {
    fn statement(&self, statement: &Statement, directives: &Directives) -> Result<Step> {
        let session = &self.cells.session;
        if let (Some(span), false) = (directives.span, matches!(statement.kind, StatementKind::Query(_))) {
            return Err(
                Error::plan("directives are for queries: this statement has no rows to show").at(span)
            );
        }
        let starts_job = match &statement.kind {
            StatementKind::Insert(_) | StatementKind::StatementSet(_) => true,
            StatementKind::CreateTable(table) => table.query.is_some(),
            _ => false,
        };
        // The cell itself waits for the job: it shows how far it is.
        let wait = starts_job && parse_bool(&session.setting(DML_SYNC))?;
        if wait {
            session.set(DML_SYNC, "false")?;
        }
        let response = session.execute(statement);
        if wait {
            session.set(DML_SYNC, "true")?;
        }
        match response? {
            Response::Done(text) => {
                if !text.is_empty() {
                    self.output.line(&visible::lines(&text));
                }
            }
            Response::Text(text) => {
                let text = visible::lines(&text);
                self.output.show(Picture::text(text.trim_end().to_string()));
            }
            Response::Table(batch) => {
                let (html, text) = rows::whole(&batch)?;
                self.output.show(Picture::html(text, html));
            }
            Response::Job(job) => {
                self.warn(job.warnings());
                let line =
                    JobLine::new(job, self.script.clone(), self.output.clone(), self.cells.display_id());
                if wait {
                    let state = line.follow().map_err(rekind)?;
                    return Ok(if state == JobState::Cancelled { Step::Interrupted } else { Step::Next });
                }
                line.follow_in_background()?;
            }
            Response::Query(query) => return self.query(query, directives),
            Response::Help => self.output.line(&help()),
            Response::Clear => self.output.clear(),
            Response::Quit => {
                return Err(Error::unsupported("a cell cannot end its kernel")
                    .with_hint("the menu Kernel has Shut Down and Restart")
                    .at(statement.span));
            }
        }
        Ok(Step::Next)
    }

    fn query(&self, query: QueryResult, directives: &Directives) -> Result<Step> {
        let changelog = self.cells.session.setting(RESULT_MODE).eq_ignore_ascii_case("changelog");
        let job = query.job().clone();
        self.warn(job.warnings());
        let id = self.cells.display_id();
        let mut live = Live::new(query, directives, changelog, self.output.clone(), id)?;
        if let (true, Some((_, span))) = (directives.background, &directives.variable) {
            return Err(Error::plan("a query in the background cannot set a variable").at(*span));
        }
        if directives.background {
            live.set_note(format!("STOP JOB '{}'; stops it", live.job()));
            let (script, output) = (self.script.clone(), self.output.clone());
            let error_id = self.cells.display_id();
            std::thread::Builder::new().name(format!("affluent-show-{}", live.job())).spawn(move || {
                if let Err(e) = live.show(&|| false) {
                    let message = failure(&rekind(e), &script);
                    output.show_as(&error_id, Picture::html(message.clone(), html::message(&message)));
                }
            })?;
            return Ok(Step::Next);
        }
        self.cells.interrupts.query(&job);
        let interrupts = &self.cells.interrupts;
        match live.show(&|| interrupts.count() > 1) {
            Ok((End::Finished, value)) => {
                if let (Some(value), Some((name, _))) = (value, &directives.variable) {
                    self.cells.variables.lock().set(name, &value);
                }
                Ok(Step::Next)
            }
            // By STOP JOB from another place, or by the user's interrupt.
            Ok((End::Stopped, _)) if interrupts.requested() => Ok(Step::Interrupted),
            Ok((End::Stopped, _)) => Ok(Step::Next),
            Err(e) => Err(rekind(e)),
        }
    }

    fn warn(&self, warnings: &[String]) {
        for warning in warnings {
            self.output.warning(&format!("warning: {}", visible::lines(warning)));
        }
    }
}

fn help() -> String {
    let directives = DIRECTIVES.iter().map(|(name, arguments, doc)| {
        let space = if arguments.is_empty() { "" } else { " " };
        format!("\n  {MARK}{name}{space}{arguments}\n      {doc}")
    });
    HELP.to_string() + &directives.collect::<String>()
}

/// Characters of a statement that an error names it by.
const NAMED: usize = 60;

/// Names a statement of a cell that has several.
fn which(index: usize, statements: &[Statement], script: &Script) -> String {
    let text =
        statements.get(index).and_then(|s| script.expanded.text.get(s.range.clone())).unwrap_or_default();
    // Values of variables may be secrets.
    let words = crate::secret::redact(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown: String = words.chars().take(NAMED).collect();
    if words.chars().count() > NAMED {
        shown.push_str("...");
    }
    let done = match index {
        0 => String::new(),
        1 => "; the one before it was executed".to_string(),
        n => format!("; the {n} before it were executed"),
    };
    visible::lines(&format!("statement {} of {} failed: {shown}{done}", index + 1, statements.len()))
}

/// Errors as a notebook shows them.
fn report(errors: &[Error], script: &Script, which: Option<String>) -> ErrorOutput {
    let traceback = which.into_iter().chain(errors.iter().flat_map(|e| {
        let text = diagnostic::text(e, script, true);
        text.lines().map(str::to_string).collect::<Vec<_>>()
    }));
    let first =
        errors.first().map_or(("Error", String::new()), |e| (name(e.kind()), e.message().to_string()));
    ErrorOutput {
        ename: first.0.to_string(),
        evalue: visible::lines(&first.1),
        traceback: traceback.collect(),
    }
}

/// The message about statements that an interruption left out.
fn interrupted(left: usize) -> ErrorOutput {
    let value = match left {
        0 => "the statement was interrupted".to_string(),
        1 => "1 statement of the cell was not executed".to_string(),
        n => format!("{n} statements of the cell were not executed"),
    };
    ErrorOutput {
        ename: name(ErrorKind::Cancelled).to_string(),
        traceback: vec![format!("interrupted: {value}")],
        evalue: value,
    }
}

/// An error that is no one's statement's.
pub fn internal(message: &str) -> ErrorOutput {
    report(&[Error::internal(message)], &Script::plain(SourceText::new("cell", "")), None)
}

fn name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Syntax => "SyntaxError",
        ErrorKind::Plan => "PlanError",
        ErrorKind::Option => "OptionError",
        ErrorKind::Unsupported => "UnsupportedError",
        ErrorKind::Io => "IoError",
        ErrorKind::Decode => "DecodeError",
        ErrorKind::Lookup => "LookupError",
        ErrorKind::Execution => "ExecutionError",
        ErrorKind::Cancelled => "Interrupted",
        ErrorKind::Internal => "InternalError",
    }
}

#[cfg(test)]
mod tests;
