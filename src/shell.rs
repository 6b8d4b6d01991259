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

use crate::cli::diagnostic;
use crate::cli::interrupt::{Interrupts, Scope};
use crate::cli::output::{Fault, Output};
use crate::cli::progress::{self, Progress};
use crate::cli::render::visible;
use crate::cli::script;
use crate::cli::stream::{self, Shown};
use crate::cli::variables::{Script, Variables};
use crate::config::RESULT_MODE;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::{Job, JobState};
use crate::session::{Response, Session};
use crate::sql::SourceText;
use command::ShellCommand;
use editor::Editor;

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
    /// Jobs whose end was not told yet.
    jobs: Vec<(Arc<Job>, Arc<Script>)>,
}

/// Whether the shell goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Next,
    Leave,
}

impl Shell {
    /// A shell on this terminal.
    pub fn new(session: Session, output: Output, variables: Variables) -> Self {
        let session = Arc::new(session);
        let interrupts = Interrupts::listen(session.clone(), Scope::Shell);
        Self { session, output, interrupts, variables, timing: false, jobs: Vec::new() }
    }

    /// Reads and executes until the user leaves; gives the exit status.
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
            ShellCommand::Help => return self.output.line(command::HELP).map(|()| Step::Next),
            ShellCommand::Clear => {
                if self.output.target.terminal {
                    self.output.buffer().extend_from_slice(b"\x1b[H\x1b[2J\x1b[3J");
                    self.output.flush()?;
                }
                return Ok(Step::Next);
            }
            ShellCommand::Timing => {
                self.timing = !self.timing;
                let state = if self.timing { "on" } else { "off" };
                return self.output.line(&format!("Timing is {state}.")).map(|()| Step::Next);
            }
            ShellCommand::Include(path) => return self.include(Path::new(&path)),
            ShellCommand::Tables => "SHOW TABLES".to_string(),
            ShellCommand::Describe(table) => format!("DESCRIBE {table}"),
        };
        self.script(&Arc::new(Script::plain(SourceText::new(TYPED, &sql))))
    }

    fn include(&mut self, path: &Path) -> Result<Step, Fault> {
        let source = script::read(path)?;
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
            Response::Done(text) | Response::Text(text) => {
                let text = if self.output.target.terminal { visible::lines(&text) } else { text };
                self.output.line(&text)?;
            }
            Response::Table(batch) => {
                let target = self.output.target;
                target.table(&batch, self.output.buffer())?;
                self.output.flush()?;
            }
            Response::Job(job) => {
                let running = job.state() == JobState::Running;
                self.jobs.push((job.clone(), script.clone()));
                if running {
                    let hint = format!("SHOW JOBS; shows it, STOP JOB '{}'; stops it", job.id);
                    self.output.line(&format!("Job {} runs in the background. {hint}.", job.id))?;
                }
            }
            Response::Query(mut query) => {
                self.output.set_result_mode(&self.session.setting(RESULT_MODE));
                let mut progress = Progress::new(&self.output, self.output.target.terminal);
                let shown = stream::show(&mut query, &mut self.output, &self.interrupts, &mut progress);
                progress.clear();
                if shown? == Shown::Cancelled {
                    // Dropping it cancels the job; its tasks are gone before the prompt is back, unless
                    // the user does not want to wait.
                    while query.job().wait_for(Duration::from_millis(200)).is_none() {
                        if self.interrupts.count() > 1 {
                            self.output.note(format_args!("job {} is still stopping", query.job().id));
                            break;
                        }
                    }
                }
            }
            Response::Quit => return Ok(Step::Leave),
            Response::Clear => return self.command(ShellCommand::Clear),
            Response::Help => return self.command(ShellCommand::Help),
        }
        Ok(Step::Next)
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
