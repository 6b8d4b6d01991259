//! Runs scripts: statements in order, jobs in the background, and at the end waits for all jobs.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::copy::Copying;
use super::diagnostic::{self, FAILED};
use super::fault::Fault;
use super::interrupt::{Interrupts, Scope};
use super::output::Output;
use super::progress::{self, Progress};
use super::stream::{self, Shown, rekind};
use super::terminal::reader_gone;
use crate::config::RESULT_MODE;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::{Job, JobState};
use crate::session::{Response, Session};
use crate::sql::variables::{Script, Variables};
use crate::sql::{SourceText, Statement, StatementKind};

/// The file that a script is in, wherever it is run from.
pub(crate) fn origin(name: &str) -> Option<String> {
    let path = std::fs::canonicalize(name).ok().filter(|path| path.is_file())?;
    Some(path.display().to_string())
}

/// Name of what comes from standard input.
const STDIN: &str = "<stdin>";

/// Reads a script; `-` is standard input.
pub fn read(path: &Path) -> Result<SourceText> {
    if path == Path::new("-") {
        return read_stdin();
    }
    let name = path.display().to_string();
    let bytes = std::fs::read(path)
        .map_err(|e| Error::option(format!("cannot read '{name}'")).with_detail(e.to_string()))?;
    text(&name, bytes)
}

/// Reads all of standard input.
pub fn read_stdin() -> Result<SourceText> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    text(STDIN, bytes)
}

fn text(name: &str, bytes: Vec<u8>) -> Result<SourceText> {
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Error::option(format!("'{name}' is not UTF-8 text")).with_detail(format!("byte {at} is not"))
    })?;
    Ok(SourceText::new(name, text.strip_prefix('\u{feff}').unwrap_or(&text)))
}

/// Runs scripts in a session.
#[derive(Debug)]
pub struct Runner {
    session: Arc<Session>,
    output: Output,
    interrupts: Arc<Interrupts>,
    variables: Variables,
    jobs: Vec<Running>,
    /// A table prints to this terminal: no progress line between its rows.
    prints: bool,
    status: u8,
    /// The message that the jobs stop was shown.
    stop_told: bool,
    /// QUIT, or a stop that was asked for: no statement follows.
    stopped: bool,
    /// A service manager knows that the jobs have started.
    ready: bool,
}

/// A job of the script.
#[derive(Debug)]
struct Running {
    job: Arc<Job>,
    script: Arc<Script>,
    /// Its end was reported.
    told: bool,
}

/// Whether the script continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Next,
    Stop,
}

impl Runner {
    /// A runner that listens for signals.
    pub fn new(session: Session, output: Output, variables: Variables) -> Self {
        let session = Arc::new(session);
        let interrupts = Interrupts::listen(session.clone(), Scope::Script);
        Self {
            session,
            output,
            interrupts,
            variables,
            jobs: Vec::new(),
            prints: false,
            status: 0,
            stop_told: false,
            stopped: false,
            ready: false,
        }
    }

    /// Answers for figures of the jobs while the scripts run.
    pub fn serve_metrics(&self, address: std::net::SocketAddr) -> Result<()> {
        let at = crate::metrics::server::serve(Arc::downgrade(&self.session), address)?;
        self.output.note(format_args!("metrics at http://{at}/metrics"));
        if !at.ip().is_loopback() {
            self.output
                .note("everybody who can connect to this machine can read the metrics: there is no login");
        }
        Ok(())
    }

    /// Sends figures and traces of the jobs while the scripts run, until what is returned is dropped.
    pub(crate) fn export(
        &self,
        config: crate::metrics::otlp::Config,
    ) -> Result<crate::metrics::otlp::Exporter> {
        crate::metrics::otlp::export(Arc::new(Arc::downgrade(&self.session)), config)
    }

    /// Says once to a service manager that the jobs have started.
    fn ready(&mut self) {
        if !std::mem::replace(&mut self.ready, true) {
            super::systemd::ready(&self.session);
        }
    }

    /// Runs scripts one after the other and returns the exit status. All are parsed before the first
    /// statement is executed.
    pub fn run(mut self, sources: Vec<SourceText>) -> u8 {
        let mut scripts = Vec::with_capacity(sources.len());
        for source in sources {
            let script = match self.variables.expand(source.clone()) {
                Ok(script) => Arc::new(script),
                Err(e) => {
                    diagnostic::show(&e, &Script::plain(source), self.output.stderr_color);
                    return diagnostic::status(&e);
                }
            };
            match self.session.parse(&script.expanded) {
                Ok(statements) => scripts.push((script, statements)),
                Err(e) => {
                    diagnostic::show(&e, &script, self.output.stderr_color);
                    return diagnostic::status(&e);
                }
            }
        }
        let all =
            || scripts.iter().flat_map(|(script, statements)| statements.iter().map(move |s| (script, s)));
        if let Err((e, script)) = self.rehearse(all()) {
            diagnostic::show(&e, &script, self.output.stderr_color);
            return diagnostic::status(&e);
        }
        if let Some(status) = self.statements(all()) {
            return status;
        }
        self.ended()
    }

    /// Runs scripts, and then the statements of standard input, each as soon as its semicolon is there.
    pub fn run_as_they_come(mut self, before: Vec<SourceText>) -> u8 {
        for source in before {
            if let Some(status) = self.piece(source) {
                return status;
            }
        }
        let (mut lines, mut text) = (std::io::stdin().lock(), String::new());
        // Empty lines in place of those before keep places true.
        let mut begun = 0;
        while !self.interrupts.requested() && !self.stopped {
            let mut bytes = Vec::new();
            let end = match std::io::BufRead::read_until(&mut lines, b'\n', &mut bytes) {
                Ok(read) => read == 0,
                Err(e) => {
                    diagnostic::show_plain(&e.into(), self.output.stderr_color);
                    self.cancel_jobs();
                    return FAILED;
                }
            };
            match String::from_utf8(bytes) {
                Ok(line) => text.push_str(line.strip_prefix('\u{feff}').unwrap_or(&line)),
                Err(_) => {
                    let e = Error::option("standard input is not UTF-8 text");
                    diagnostic::show_plain(&e, self.output.stderr_color);
                    self.cancel_jobs();
                    return diagnostic::status(&e);
                }
            }
            if !end && !crate::sql::is_complete(&text) {
                continue;
            }
            let placed = format!("{}{text}", "\n".repeat(begun));
            begun += text.matches('\n').count();
            text.clear();
            if let Some(status) = self.piece(SourceText::new(STDIN, &placed)) {
                return status;
            }
            if end {
                break;
            }
        }
        self.ended()
    }

    /// Runs a part of a script; the exit status when that is the end.
    fn piece(&mut self, source: SourceText) -> Option<u8> {
        let script = match self.variables.expand(source.clone()) {
            Ok(script) => Arc::new(script),
            Err(e) => return Some(self.refuse(&e, &Script::plain(source))),
        };
        match self.session.parse(&script.expanded) {
            Ok(statements) => self.statements(statements.iter().map(|s| (&script, s))),
            Err(e) => Some(self.refuse(&e, &script)),
        }
    }

    /// An error that ends everything; the exit status.
    fn refuse(&mut self, e: &Error, script: &Script) -> u8 {
        diagnostic::show(e, script, self.output.stderr_color);
        self.status = diagnostic::status(e);
        self.cancel_jobs();
        self.status
    }

    /// Runs statements in order; the exit status when one of them is the end.
    fn statements<'a>(&mut self, all: impl Iterator<Item = (&'a Arc<Script>, &'a Statement)>) -> Option<u8> {
        for (script, statement) in all {
            let file = origin(&script.written.name);
            self.session.set_scope(file.is_none().then(|| script.written.text.to_string()));
            self.session.set_origin(file);
            match self.statement(statement, script) {
                Ok(Step::Next) => {}
                Ok(Step::Stop) => {
                    self.stopped = true;
                    break;
                }
                Err(Fault::Closed) => {
                    self.cancel_jobs();
                    return Some(self.status);
                }
                // With `table.dml-sync` the interruption of a job is the statement's error.
                Err(Fault::Error(e)) if e.kind() == ErrorKind::Cancelled && self.interrupts.requested() => {
                    self.stopped = true;
                    break;
                }
                Err(Fault::Error(e)) => return Some(self.refuse(&e, script)),
            }
        }
        None
    }

    /// Waits for all jobs; the exit status.
    fn ended(&mut self) -> u8 {
        self.ready();
        self.wait();
        match (self.interrupts.requested(), self.status) {
            // A stop that lost something is no clean stop.
            (true, FAILED) => FAILED,
            (true, _) => self.interrupts.status(),
            (false, status) => status,
        }
    }

    /// With a savepoint: what a job would be refused for is refused before the first one starts.
    fn rehearse<'a>(
        &self,
        all: impl Iterator<Item = (&'a Arc<Script>, &'a Statement)>,
    ) -> Result<(), (Error, Arc<Script>)> {
        let mut last = None;
        let rehearse = || -> Result<()> {
            let Some(mut rehearsal) = self.session.rehearsal()? else { return Ok(()) };
            for (script, statement) in all {
                last = Some(script.clone());
                let file = origin(&script.written.name);
                let text = file.is_none().then(|| script.written.text.to_string());
                rehearsal.statement(statement, (file, text))?;
            }
            rehearsal.finish(&self.session)
        };
        let rehearsed = rehearse();
        match (rehearsed, last) {
            (Err(e), Some(script)) => Err((e, script)),
            (Err(e), None) => Err((e, Arc::new(Script::plain(SourceText::new("", ""))))),
            (Ok(()), _) => Ok(()),
        }
    }

    fn statement(&mut self, statement: &Statement, script: &Arc<Script>) -> Result<Step, Fault> {
        self.tell_failures();
        if self.interrupts.requested() {
            return Ok(Step::Stop);
        }
        if let StatementKind::CreateTable(table) = &statement.kind {
            self.prints |= table.options.iter().any(|o| {
                o.key.value == "connector"
                    && matches!(o.value.value.to_ascii_lowercase().as_str(), "print" | "stdio" | "stdout")
            });
        }
        if let StatementKind::Copy { query, to } = &statement.kind {
            let select = Statement { kind: StatementKind::Query(query.clone()), ..statement.clone() };
            return self.copy(&select, &to.value);
        }
        let before = self.session.jobs().last().map_or(0, |job| job.id);
        let response = self.session.execute(statement).map_err(|e| self.started_and_failed(e, before))?;
        match response {
            Response::Done(text) => {
                if !text.is_empty() && self.output.verbose {
                    self.output.note(text);
                }
            }
            Response::Table(batch) => {
                let target = self.output.target;
                target.table(&batch, self.output.buffer())?;
                self.output.flush()?;
            }
            Response::Text(text) => {
                let text =
                    if self.output.target.terminal { super::render::visible::lines(&text) } else { text };
                self.output.line(&text)?;
            }
            Response::Job(job) => {
                if self.interrupts.requested() {
                    job.cancel();
                }
                if self.output.verbose {
                    self.output.note(format_args!("job {} started", job.id));
                }
                self.jobs.push(Running { job, script: script.clone(), told: false });
            }
            Response::Query(mut query) => return self.query(&mut query),
            Response::Quit => return Ok(Step::Stop),
            Response::Clear | Response::Help => {}
        }
        Ok(Step::Next)
    }

    /// An error of a statement that started a job, as with `table.dml-sync`, is a failure of the job.
    fn started_and_failed(&self, e: Error, before: u64) -> Error {
        let started = self.session.jobs().last().is_some_and(|job| job.id > before);
        if started && e.kind().is_usage() { rekind(e) } else { e }
    }

    fn query(&mut self, query: &mut crate::session::QueryResult) -> Result<Step, Fault> {
        self.output.set_result_mode(&self.session.setting(RESULT_MODE));
        let mut progress = Progress::new(&self.output, self.output.target.terminal || self.prints);
        let job = query.job().clone();
        self.ready();
        let shown = stream::show(query, &mut self.output, &self.interrupts, &mut progress);
        let drawn = progress.is_drawn();
        progress.clear();
        if drawn || (self.output.verbose && !matches!(shown, Err(Fault::Closed))) {
            self.output.note(progress::summary(&job, job.started.elapsed()));
        } else if let (false, Some(left_out)) =
            (matches!(shown, Err(Fault::Closed)), progress::left_out(&job))
        {
            self.output.note(left_out);
        }
        match shown? {
            Shown::All => Ok(Step::Next),
            Shown::Cancelled if self.interrupts.requested() => Ok(Step::Stop),
            Shown::Cancelled => Ok(Step::Next),
        }
    }

    /// The rows of a query into a file.
    fn copy(&mut self, select: &Statement, to: &str) -> Result<Step, Fault> {
        let mut query = self.session.execute(select)?.query()?;
        let copying = Copying::begin(&mut self.output, to)?;
        let mut progress = Progress::new(&self.output, false);
        let mut shown = Shown::All;
        let interrupts = &self.interrupts;
        let ran = self.output.result(|output| {
            shown = stream::show(&mut query, output, interrupts, &mut progress)?;
            Ok(())
        });
        progress.clear();
        let job = query.job().clone();
        let ran = copying.finish(&mut self.output, ran.map(|()| shown), |shown| *shown == Shown::All);
        if let Some(left_out) = progress::left_out(&job) {
            self.output.note(left_out);
        }
        match ran? {
            Shown::Cancelled if self.interrupts.requested() => Ok(Step::Stop),
            Shown::All | Shown::Cancelled => Ok(Step::Next),
        }
    }

    /// Waits for all jobs; failures are reported when they happen.
    fn wait(&mut self) {
        let prints = self.prints && self.output.target.terminal;
        let mut progress = Progress::new(&self.output, prints);
        loop {
            if self.interrupts.requested() {
                self.interrupts.cancel();
                progress.clear();
                self.tell_stop();
            }
            let running: Vec<Arc<Job>> =
                self.jobs.iter().filter(|r| !r.told).map(|r| r.job.clone()).collect();
            let Some(first) = running.first() else { break };
            let ended = first.wait_for(progress.interval()).is_some();
            if ended || running.iter().any(|job| job.state() != JobState::Running) {
                progress.clear();
                self.tell_ended();
            } else {
                progress.tick(&running);
            }
        }
    }

    /// Tells that the jobs stop, and why.
    fn tell_stop(&mut self) {
        if std::mem::replace(&mut self.stop_told, true) {
            return;
        }
        let signal = self.interrupts.signal();
        for running in self.jobs.iter().filter(|r| !r.told) {
            let job = &running.job;
            let how = if job.makes_checkpoints() { "last-checkpoint" } else { "at-once" };
            if self.output.stderr_terminal {
                let last = if job.makes_checkpoints() { " after a last checkpoint" } else { "" };
                self.output.note(format_args!("{signal}: job {} stops{last}", job.id));
            } else {
                let more = [("signal", signal.to_string()), ("how", how.to_string())];
                self.output.note(progress::event(job, "stopping", &more));
            }
        }
    }

    fn tell_failures(&mut self) {
        if self.jobs.iter().any(|r| !r.told && matches!(r.job.state(), JobState::Failed(_))) {
            self.tell_ended();
        }
    }

    /// Tells of the jobs that have ended.
    fn tell_ended(&mut self) {
        if self.interrupts.requested() {
            self.tell_stop();
        }
        let tell = (self.output.stderr_terminal || self.output.verbose) && !self.output.quiet;
        for running in self.jobs.iter_mut().filter(|r| !r.told) {
            let state = running.job.state();
            if state == JobState::Running {
                continue;
            }
            running.told = true;
            if let JobState::Failed(e) = state {
                // A table that writes to standard output, and `head` behind it.
                if e.kind() == ErrorKind::Io && reader_gone(std::io::stdout()) {
                    continue;
                }
                let e = e.context(format_args!("job {} failed", running.job.id));
                diagnostic::show(&e, &running.script, self.output.stderr_color);
                self.status = FAILED;
            }
            if tell {
                self.output.note(progress::summary(&running.job, running.job.started.elapsed()));
            } else {
                if self.interrupts.requested() {
                    self.output.note(progress::ended(&running.job));
                }
                if let Some(left_out) = progress::left_out(&running.job) {
                    self.output.note(left_out);
                }
            }
        }
    }

    /// Stops the jobs of a script that cannot go on.
    fn cancel_jobs(&mut self) {
        for running in &self.jobs {
            if running.job.state() == JobState::Running {
                let (id, name) = (running.job.id, &running.job.name);
                super::output::complain(format_args!(
                    "job {id} ({name}) is cancelled: the script cannot go on"
                ));
            }
            running.job.cancel();
        }
        for running in &self.jobs {
            while running.job.wait_for(Duration::from_secs(1)).is_none() {
                running.job.cancel();
            }
        }
        let status = self.status;
        self.tell_ended();
        self.status = status;
    }
}
