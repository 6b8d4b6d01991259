//! The interactive shell: reads statements with a line editor, shows results as they arrive, and keeps
//! an eye on the jobs that run in the background.

pub mod command;
pub mod completion;
pub mod editor;
pub mod highlight;
pub mod history;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustyline::error::ReadlineError;

use crate::config::RESULT_MODE;
use crate::console::copy::Copying;
use crate::console::destination::Destination;
use crate::console::diagnostic;
use crate::console::fault::Fault;
use crate::console::interrupt::{Interrupts, Scope};
use crate::console::output::Output;
use crate::console::pager;
use crate::console::progress::{self, Progress};
use crate::console::render::chart::{Chart, ChartSpec};
use crate::console::render::tableau::Tableau;
use crate::console::render::{OutputFormat, Renderer, screen, visible};
use crate::console::script;
use crate::console::stream::{self, Shown};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::{Job, JobState};
use crate::session::{QueryResult, Response, Session};
use crate::sql::variables::{Script, Variables};
use crate::sql::{SourceText, Statement, StatementKind};
use command::ShellCommand;
use editor::Editor;

/// Rows of a result on a terminal without a pager.
const ROWS: u64 = 40;

/// Name of what is typed, in messages.
const TYPED: &str = "<shell>";

/// The shell.
#[derive(Debug)]
pub struct Shell {
    session: Arc<Session>,
    output: Output,
    interrupts: Arc<Interrupts>,
    variables: Variables,
    timing: bool,
    /// Long results go to a pager.
    paging: bool,
    /// The last statement that can be run again.
    last: Option<String>,
    /// Queries are drawn like this in place of being shown.
    plot: Option<ChartSpec>,
    /// Scripts that run before the first prompt.
    init: Vec<SourceText>,
    /// Jobs whose end was not reported yet.
    jobs: Vec<(Arc<Job>, Arc<Script>)>,
}

/// A statement as if it had been typed.
fn typed(sql: &str) -> Arc<Script> {
    Arc::new(Script::plain(SourceText::new(TYPED, sql)))
}

/// Whether a statement can be run again and again: it changes nothing.
fn repeatable(statement: &Statement) -> bool {
    use crate::sql::CacheStatement;
    use StatementKind::*;
    match &statement.kind {
        Query(_)
        | Show(_)
        | ShowSettings
        | Describe(_)
        | DescribeFile(_)
        | Summarize(_)
        | DescribeJob(_)
        | Cache(CacheStatement::Show | CacheStatement::Describe(_) | CacheStatement::ExplainLookup { .. })
        | Explain { .. } => true,
        ExplainAnalyze { statement, .. } => matches!(**statement, Query(_)),
        _ => false,
    }
}

/// Whether the shell goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Next,
    Leave,
}

impl Shell {
    /// A shell on this terminal that runs the scripts of `init` first.
    pub fn new(session: Session, output: Output, variables: Variables, init: Vec<SourceText>) -> Self {
        let session = Arc::new(session);
        let interrupts = Interrupts::listen(session.clone(), Scope::Shell);
        Self {
            session,
            output,
            interrupts,
            variables,
            timing: false,
            paging: true,
            last: None,
            plot: None,
            init,
            jobs: Vec::new(),
        }
    }

    /// Reads and executes until the user leaves; returns the exit status.
    pub fn run(mut self) -> Result<u8> {
        let failed = |e: ReadlineError| Error::io(format!("the line editor failed: {e}"));
        let mut editor =
            Editor::new(self.session.clone(), self.output.stdout_color, self.output.target.terminal)
                .map_err(failed)?;
        if !self.output.quiet && self.output.target.terminal {
            let banner = format!(
                "Affluent {}: SQL over streams. HELP; shows what there is, Ctrl-C stops a query, Ctrl-D leaves.",
                env!("CARGO_PKG_VERSION")
            );
            if self.output.line(&banner).is_err() {
                return Ok(0);
            }
        }
        for source in std::mem::take(&mut self.init) {
            match self.source(source) {
                Ok(Step::Next) => {}
                Ok(Step::Leave) | Err(Fault::Closed) => {
                    self.leave();
                    return Ok(0);
                }
                Err(Fault::Error(e)) => diagnostic::show_plain(&e, self.output.stderr_color),
            }
        }
        loop {
            self.tell_ended();
            let text = match editor.read() {
                Ok(text) => text,
                Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => continue,
                Err(ReadlineError::Eof) => break,
                Err(e) => return Err(failed(e)),
            };
            if text.trim().is_empty() {
                continue;
            }
            editor.remember(&text);
            let begun = Instant::now();
            self.output.refresh_width();
            match self.input(&text) {
                Ok(Step::Next) => {}
                Ok(Step::Leave) | Err(Fault::Closed) => break,
                Err(Fault::Error(e)) => diagnostic::show_plain(&e, self.output.stderr_color),
            }
            if self.timing {
                self.output.note(format_args!("Time: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3));
            }
        }
        self.leave();
        Ok(0)
    }

    fn input(&mut self, text: &str) -> Result<Step, Fault> {
        match ShellCommand::parse(text)? {
            Some(command) => self.command(command),
            None => self.script(&Arc::new(Script::plain(SourceText::new(TYPED, text)))),
        }
    }

    fn command(&mut self, command: ShellCommand) -> Result<Step, Fault> {
        let sql = match command {
            ShellCommand::Quit => return Ok(Step::Leave),
            ShellCommand::Help => {
                let pager = self.pager();
                return self.output.paged(pager, |output| output.line(command::HELP)).map(|()| Step::Next);
            }
            ShellCommand::Clear => {
                if self.output.target.terminal {
                    self.output.buffer().extend_from_slice(b"\x1b[H\x1b[2J\x1b[3J");
                    self.output.flush()?;
                }
                return Ok(Step::Next);
            }
            ShellCommand::Timing => {
                self.timing = !self.timing;
                return self.tell_switch("Timing", self.timing);
            }
            ShellCommand::Vertical(to) => {
                self.output.vertical = to.unwrap_or(!self.output.vertical);
                return self.tell_switch("A line per column", self.output.vertical);
            }
            ShellCommand::Pager(to) => {
                self.paging = to.unwrap_or(!self.paging);
                if self.paging && pager::command().is_none() {
                    self.output.note("there is no pager: neither AFFLUENT_PAGER nor PAGER, nor less");
                }
                return self.tell_switch("The pager", self.paging);
            }
            ShellCommand::Output(to) => {
                // The last one first: it may be the same file.
                self.output.send_results_to(None);
                if let Some(to) = to {
                    let destination = Destination::open(&to, self.output.asked())?;
                    self.output.note(format_args!("Results go to {}.", destination.name()));
                    self.output.send_results_to(Some(destination));
                }
                return Ok(Step::Next);
            }
            ShellCommand::Functions(None) => "SHOW FUNCTIONS".to_string(),
            ShellCommand::Functions(Some(pattern)) => {
                let pattern = if pattern.contains('%') { pattern } else { format!("%{pattern}%") };
                format!("SHOW FUNCTIONS ILIKE '{}'", pattern.replace('\'', "''"))
            }
            ShellCommand::Again => self.again(None, "\\g")?,
            ShellCommand::Edit => match self.edited()? {
                Some(text) => return self.input(&text),
                None => return Ok(Step::Next),
            },
            ShellCommand::Copy { query, to } => return self.copy(&query, &to),
            ShellCommand::Watch { every, statement } => return self.watch(every, statement),
            ShellCommand::Plot { spec, query } => {
                let query = self.again(query, "\\plot")?;
                self.plot = Some(spec);
                let shown = self.script(&typed(&query));
                self.plot = None;
                return shown;
            }
            ShellCommand::Include(path) => return self.include(Path::new(&path)),
            ShellCommand::Tables => "SHOW TABLES".to_string(),
            ShellCommand::Describe(table) => format!("DESCRIBE {table}"),
        };
        self.script(&typed(&sql))
    }

    /// The last statement as the user's editor leaves it; `None` when it is empty.
    fn edited(&mut self) -> Result<Option<String>> {
        let named = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let editor = named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".to_string());
        let path = std::env::temp_dir().join(format!("affluent-{}.sql", uuid::Uuid::new_v4().simple()));
        std::fs::write(&path, format!("{}\n", self.last.as_deref().unwrap_or("")))?;
        let command = format!("{editor} \"$1\"");
        let status = std::process::Command::new("sh").args(["-c", &command, "sh"]).arg(&path).status();
        let text = std::fs::read_to_string(&path);
        // A file that stays behind is no reason to fail.
        let _ = std::fs::remove_file(&path);
        let (status, text) = (status?, text?);
        if !status.success() {
            return Err(Error::option(format!("'{editor}' has failed: nothing is run"))
                .with_hint("set VISUAL or EDITOR to an editor"));
        }
        let text = text.trim().to_string();
        if !text.is_empty() {
            self.output.line(&visible::lines(&text)).map_err(|_| Error::cancelled())?;
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// The rows of a query in a file.
    fn copy(&mut self, query: &str, to: &str) -> Result<Step, Fault> {
        let ran = match Copying::begin(&mut self.output, to) {
            Ok(copying) => {
                let ran = self.statements(&typed(query));
                copying.finish(&mut self.output, ran, |_| true)
            }
            Err(e) => Err(Fault::Error(e)),
        };
        match ran {
            Err(Fault::Error(e)) => {
                diagnostic::show(&e, &typed(query), self.output.stderr_color);
                Ok(Step::Next)
            }
            other => other,
        }
    }

    fn tell_switch(&mut self, what: &str, on: bool) -> Result<Step, Fault> {
        let state = if on { "on" } else { "off" };
        self.output.line(&format!("{what} is {state}.")).map(|()| Step::Next)
    }

    /// The statement that a command names, or the last one; it must be a single one that can be run again.
    fn again(&self, statement: Option<String>, command: &str) -> Result<String> {
        let text = statement.or_else(|| self.last.clone()).ok_or_else(|| {
            Error::syntax("there is no statement yet that can be run again")
                .with_hint(format!("run a query first, or append it: {command} SELECT ..."))
        })?;
        let statements = self.session.parse(&SourceText::new(TYPED, &text))?;
        let fits = |s: &Statement| match command {
            "\\plot" => matches!(s.kind, StatementKind::Query(_)),
            _ => repeatable(s),
        };
        match statements.as_slice() {
            [statement] if fits(statement) => Ok(text),
            _ if command == "\\plot" => Err(Error::syntax("\\plot draws one query")
                .with_hint("run the query first, or append it: \\plot SELECT ...")),
            _ => Err(Error::syntax(format!("{command} takes one statement that changes nothing"))
                .with_hint("a query, SHOW, DESCRIBE or EXPLAIN")),
        }
    }

    /// Runs a statement again and again until the user stops it or it fails. On a terminal each run takes the
    /// place of the one before.
    fn watch(&mut self, every: Duration, statement: Option<String>) -> Result<Step, Fault> {
        let text = self.again(statement, "\\watch")?;
        let script = typed(&text);
        let mut first = true;
        loop {
            self.output.refresh_width();
            if self.output.results_on_terminal() {
                let clear: &[u8] = if first { b"\x1b[H\x1b[2J" } else { b"\x1b[H\x1b[J" };
                self.output.buffer().extend_from_slice(clear);
                let mut head = String::new();
                let title = format!("Every {} s: {}", every.as_secs_f64(), text.replace('\n', " "));
                visible::push_cut(&visible::lines(&title), self.output.target.width.unwrap_or(80), &mut head);
                head.push('\n');
                self.output.buffer().extend_from_slice(head.as_bytes());
            }
            first = false;
            let paging = std::mem::replace(&mut self.paging, false);
            let ran = self.statements(&script);
            self.paging = paging;
            match ran {
                Ok(Step::Next) if self.interrupts.requested() => return Ok(Step::Next),
                Ok(Step::Next) => {}
                Err(Fault::Error(e)) if e.kind() == ErrorKind::Cancelled => return Ok(Step::Next),
                Err(Fault::Error(e)) => {
                    diagnostic::show(&e, &script, self.output.stderr_color);
                    return Ok(Step::Next);
                }
                other => return other,
            }
            self.interrupts.statement();
            let stopped = self.interrupts.wait(every);
            self.interrupts.idle();
            if stopped {
                self.output.line("")?;
                return Ok(Step::Next);
            }
        }
    }

    fn pager(&self) -> Option<String> {
        if self.paging { pager::command() } else { None }
    }

    fn include(&mut self, path: &Path) -> Result<Step, Fault> {
        let source = script::read(path)?;
        self.source(source)
    }

    fn source(&mut self, source: SourceText) -> Result<Step, Fault> {
        match self.variables.expand(source.clone()) {
            Ok(script) => self.script(&Arc::new(script)),
            Err(e) => {
                diagnostic::show(&e, &Script::plain(source), self.output.stderr_color);
                Ok(Step::Next)
            }
        }
    }

    /// Executes statements in order; the first error ends them.
    fn script(&mut self, script: &Arc<Script>) -> Result<Step, Fault> {
        match self.statements(script) {
            Err(Fault::Error(e)) if e.kind() == ErrorKind::Cancelled => {
                self.output.line("Cancelled").map(|()| Step::Next)
            }
            Err(Fault::Error(e)) => {
                diagnostic::show(&e, script, self.output.stderr_color);
                Ok(Step::Next)
            }
            other => other,
        }
    }

    fn statements(&mut self, script: &Arc<Script>) -> Result<Step, Fault> {
        for statement in &self.session.parse(&script.expanded)? {
            self.interrupts.statement();
            let response = self.session.execute(statement);
            if response.is_ok() && repeatable(statement) {
                self.last = script.expanded.text.get(statement.range.clone()).map(str::to_string);
            }
            let shown = response.map_err(Fault::Error).and_then(|r| self.show(r, script));
            self.interrupts.idle();
            if shown? == Step::Leave {
                return Ok(Step::Leave);
            }
            if self.interrupts.requested() {
                break;
            }
        }
        Ok(Step::Next)
    }

    fn show(&mut self, response: Response, script: &Arc<Script>) -> Result<Step, Fault> {
        match response {
            Response::Done(text) if text.is_empty() => self.output.line("OK")?,
            Response::Done(text) => {
                self.output.line(&visible::lines(&text))?;
            }
            Response::Text(text) => {
                let pager = self.pager();
                self.output.paged(pager, |output| {
                    output.result(|output| {
                        let safe = output.target.terminal;
                        output.line(&if safe { visible::lines(&text) } else { text })
                    })
                })?;
            }
            Response::Table(batch) => {
                self.output.set_result_mode(&self.session.setting(RESULT_MODE));
                let pager = self.pager();
                self.output.paged(pager, |output| {
                    output.result(|output| {
                        let target = output.target;
                        target.table(&batch, output.buffer())?;
                        output.flush()
                    })
                })?;
            }
            Response::Job(job) => {
                let running = job.state() == JobState::Running;
                self.jobs.push((job.clone(), script.clone()));
                if running {
                    let hint = format!("SHOW JOBS; shows it, STOP JOB '{}'; stops it", job.id);
                    self.output.line(&format!("Job {} runs in the background. {hint}.", job.id))?;
                }
            }
            Response::Query(query) => self.query(query)?,
            Response::Quit => return Ok(Step::Leave),
            Response::Clear => return self.command(ShellCommand::Clear),
            Response::Help => return self.command(ShellCommand::Help),
        }
        Ok(Step::Next)
    }

    /// Shows the rows of a query, as a chart with [`Shell::plot`].
    fn query(&mut self, mut query: QueryResult) -> Result<(), Fault> {
        self.output.set_result_mode(&self.session.setting(RESULT_MODE));
        let lists = matches!(self.output.target.format, OutputFormat::Tableau | OutputFormat::Vertical);
        // A stream without end is watched, not read.
        let pager = self.pager().filter(|_| lists && self.plot.is_none() && query.is_bounded());
        let mut progress = Progress::new(&self.output, self.output.results_on_terminal());
        if pager.is_some() {
            progress.hide();
        }
        let (plot, interrupts) = (self.plot.clone(), self.interrupts.clone());
        // Where nothing pages it, a long result leaves the prompt in sight.
        let capped = pager.is_none()
            && query.is_bounded()
            && self.output.target.format == OutputFormat::Tableau
            && self.output.results_on_terminal();
        let mut cancelled = false;
        let shown = self.output.paged(pager, |output| {
            output.result(|output| {
                let renderer: Box<dyn Renderer> = match &plot {
                    Some(spec) => {
                        let (schema, color) = (query.schema().clone(), output.stdout_color);
                        Box::new(Chart::new(schema, spec, output.target, color, screen::terminal_size)?)
                    }
                    None if capped => {
                        let (schema, width) = (query.schema().clone(), output.target.width);
                        Box::new(Tableau::new(schema, width).capped(ROWS))
                    }
                    None => output.target.renderer(query.schema().clone())?,
                };
                let shown = stream::show_with(&mut query, renderer, output, &interrupts, &mut progress)?;
                cancelled = shown == Shown::Cancelled;
                Ok(())
            })
        });
        progress.clear();
        shown?;
        // Where the reader has gone, the rest is not wanted.
        query.job().cancel();
        // Its tasks are gone before the prompt is back, unless the user does not want to wait.
        while query.job().wait_for(Duration::from_millis(200)).is_none() {
            if self.interrupts.count() > u32::from(cancelled) {
                self.output.note(format_args!("job {} is still stopping", query.job().id));
                break;
            }
        }
        Ok(())
    }

    /// Tells of background jobs that have ended.
    fn tell_ended(&mut self) {
        let (output, color) = (&self.output, self.output.stderr_color);
        self.jobs.retain(|(job, script)| {
            match job.state() {
                JobState::Running => return true,
                JobState::Failed(e) => {
                    diagnostic::show(&e.context(format_args!("job {} failed", job.id)), script, color);
                }
                JobState::Finished | JobState::Cancelled => {}
            }
            output.note(progress::summary(job, job.started.elapsed()));
            false
        });
    }

    /// Cancels what still runs and waits for its end.
    fn leave(&mut self) {
        self.output.send_results_to(None);
        self.tell_ended();
        self.interrupts.statement();
        let running: Vec<_> =
            self.session.jobs().into_iter().filter(|job| job.state() == JobState::Running).collect();
        if running.is_empty() {
            return;
        }
        let count = running.len();
        self.output.note(match count {
            1 => format!("Job {} is still running: it is cancelled.", running[0].id),
            _ => format!("{count} jobs are still running: they are cancelled."),
        });
        running.iter().for_each(|job| job.cancel());
        for job in &running {
            while job.wait_for(Duration::from_millis(200)).is_none() {
                if self.interrupts.count() > 1 {
                    return;
                }
                job.cancel();
            }
        }
        self.tell_ended();
    }
}
