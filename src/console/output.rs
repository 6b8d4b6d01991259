//! Standard output and standard error, neither of which may make the program panic.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::destination::Destination;
use super::fault::Fault;
use super::pager::Pager;
use super::render::{OutputFormat, Target};
use super::terminal::{terminal_height, terminal_width};
use crate::secret::redact;

/// Written out at the latest when so much is waiting.
pub const BUFFER: usize = 64 * 1024;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What the arguments of a command ask of its output.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// How results are written; `None`: what suits standard output.
    pub format: Option<OutputFormat>,
    /// When to use colours.
    pub color: ColorChoice,
    /// Errors only.
    pub quiet: bool,
    /// More notes.
    pub verbose: bool,
    /// How often figures are written where standard error is no terminal; zero: never.
    pub report_every: std::time::Duration,
}

/// Where things are shown.
#[derive(Debug)]
pub struct Output {
    /// How results are written.
    pub target: Target,
    /// Whether standard error is a terminal.
    pub stderr_terminal: bool,
    /// Colours on standard error.
    pub stderr_color: bool,
    /// Colours on standard output.
    pub stdout_color: bool,
    /// Errors only.
    pub quiet: bool,
    /// More notes.
    pub verbose: bool,
    /// How often figures are written where standard error is no terminal; zero: never.
    pub report_every: std::time::Duration,
    /// A line per column in place of a box.
    pub vertical: bool,
    /// Rows go into a file by COPY: without `op` where none is taken back.
    pub copying: bool,
    /// The format that the arguments ask for, and what it is without them.
    asked: (Option<OutputFormat>, OutputFormat),
    buffer: Vec<u8>,
    /// Where results go instead.
    destination: Option<Destination>,
    /// What is written now is a result, for the destination.
    away: bool,
    pager: Option<Pager>,
}

impl Output {
    /// Looks at the terminal and the flags.
    pub fn new(look: Look) -> Self {
        let terminal = io::stdout().is_terminal();
        let stderr_terminal = io::stderr().is_terminal() && !logs_json();
        let default = if terminal { OutputFormat::Tableau } else { OutputFormat::Json };
        let color = |terminal| match look.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                terminal
                    && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
                    && std::env::var_os("TERM").is_none_or(|v| v != "dumb")
            }
        };
        Self {
            asked: (look.format, default),
            vertical: false,
            copying: false,
            target: Target {
                format: look.format.unwrap_or(default),
                terminal,
                width: if terminal { terminal_width(io::stdout()) } else { None },
            },
            stderr_terminal,
            stderr_color: color(stderr_terminal),
            stdout_color: color(terminal),
            quiet: look.quiet,
            verbose: look.verbose,
            report_every: look.report_every,
            buffer: Vec::new(),
            destination: None,
            away: false,
            pager: None,
        }
    }

    /// Where results go from now on; `None`: to standard output. What the command of the last one says
    /// about its end is noted.
    pub fn send_results_to(&mut self, destination: Option<Destination>) {
        let last = std::mem::replace(&mut self.destination, destination);
        if let Some(complaint) = last.and_then(Destination::close) {
            self.note(complaint);
        }
    }

    /// Takes the destination away without closing it.
    pub fn take_destination(&mut self) -> Option<Destination> {
        self.destination.take()
    }

    /// The format that the arguments ask for.
    pub fn asked(&self) -> Option<OutputFormat> {
        self.asked.0
    }

    /// Whether results go to standard output and that is a terminal.
    pub fn results_on_terminal(&self) -> bool {
        self.target.terminal && self.destination.is_none()
    }

    /// Shows a result where results go. A command that has gone takes its results with it: they go to standard
    /// output again.
    pub fn result(&mut self, show: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        let Some(destination) = &self.destination else { return show(self) };
        let target = std::mem::replace(&mut self.target, destination.target);
        self.away = true;
        let shown = show(self).and_then(|()| self.flush());
        self.buffer.clear();
        self.away = false;
        self.target = target;
        match (shown, &self.destination) {
            (Err(Fault::Closed), Some(destination)) => {
                let name = destination.name().to_string();
                self.note(format_args!("'{name}' reads no more: results are shown here again"));
                self.send_results_to(None);
                Ok(())
            }
            (shown, _) => shown,
        }
    }

    /// Shows a result that is longer than the terminal in a pager. That the user leaves it is its end.
    pub fn paged(
        &mut self,
        pager: Option<String>,
        show: impl FnOnce(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let height = if self.results_on_terminal() { terminal_height(io::stdout()) } else { None };
        self.pager = pager.zip(height).map(|(command, height)| Pager::new(command, height));
        let shown = show(self).and_then(|()| self.flush());
        let Some(pager) = self.pager.take() else { return shown };
        let left = pager.is_open() && matches!(shown, Err(Fault::Closed));
        pager.finish();
        if left {
            self.buffer.clear();
            return Ok(());
        }
        shown
    }

    /// What `sql-client.execution.result-mode` says goes before what the arguments say.
    pub fn set_result_mode(&mut self, mode: &str) {
        let format = match mode.to_ascii_lowercase().as_str() {
            "table" => OutputFormat::Table,
            "tableau" | "changelog" => OutputFormat::Tableau,
            _ => self.asked.0.unwrap_or(self.asked.1),
        };
        self.target.format = match format {
            OutputFormat::Tableau if self.vertical => OutputFormat::Vertical,
            OutputFormat::Table if self.vertical => OutputFormat::VerticalTable,
            format => format,
        };
    }

    /// The terminal may have another width now.
    pub fn refresh_width(&mut self) {
        if self.target.terminal {
            self.target.width = terminal_width(io::stdout());
        }
    }

    /// What is waiting to be written; append to it and call [`Output::write_when_full`] or
    /// [`Output::flush`].
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes what is waiting if it is much.
    pub fn write_when_full(&mut self) -> Result<(), Fault> {
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Writes all that is waiting.
    pub fn flush(&mut self) -> Result<(), Fault> {
        if let (Some(destination), true) = (&mut self.destination, self.away) {
            let written = destination.write(&self.buffer);
            self.buffer.clear();
            return written;
        }
        let bytes = match &mut self.pager {
            Some(pager) => match pager.take(&self.buffer) {
                Ok(rest) => rest,
                Err(fault) => {
                    self.buffer.clear();
                    return Err(fault);
                }
            },
            None => &self.buffer,
        };
        if bytes.is_empty() {
            self.buffer.clear();
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        self.buffer.clear();
        Ok(written?)
    }

    /// A line of text on standard output.
    pub fn line(&mut self, text: &str) -> Result<(), Fault> {
        self.buffer.extend_from_slice(text.as_bytes());
        if !text.ends_with('\n') {
            self.buffer.push(b'\n');
        }
        self.flush()
    }

    /// A line on standard error, unless quiet.
    pub fn note(&self, text: impl Display) {
        if !self.quiet {
            complain(text);
        }
    }
}

/// Whether the last thing on standard error is a line that will be rewritten.
static LINE: AtomicBool = AtomicBool::new(false);

/// Wipes the terminal's current line.
const WIPE: &str = "\r\u{1b}[2K";

/// A line on standard error; it need not be readable by anyone.
pub fn complain(text: impl Display) {
    let mut stderr = io::stderr().lock();
    if logs_json() {
        let _ = writeln!(stderr, "{}", json_line(&redact(&text.to_string())));
        return;
    }
    let wipe = if LINE.swap(false, Ordering::SeqCst) { WIPE } else { "" };
    let _ = writeln!(stderr, "{wipe}{}", redact(&text.to_string()));
}

static JSON: AtomicBool = AtomicBool::new(false);

/// From now on everything on standard error is a JSON object a line.
pub fn log_as_json() {
    JSON.store(true, Ordering::SeqCst);
}

/// Whether it is.
pub fn logs_json() -> bool {
    JSON.load(Ordering::SeqCst)
}

/// A line as an object: one of logfmt field by field, another one as its message.
fn json_line(text: &str) -> String {
    let fields = if text.starts_with("ts=") { logfmt_fields(text) } else { None };
    let fields = fields.unwrap_or_else(|| {
        let time = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let (level, message) = match text.split_once(": ") {
            Some(("error", rest)) => ("error", rest),
            Some(("warning" | "warn", rest)) => ("warn", rest),
            _ => ("info", text),
        };
        [("ts", time), ("level", level.to_string()), ("msg", message.to_string())]
            .into_iter()
            .map(|(key, value)| (key.to_string(), value.into()))
            .collect()
    });
    serde_json::Value::Object(fields).to_string()
}

/// The fields of a line of logfmt; `None` where it is none.
fn logfmt_fields(line: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    let mut fields = serde_json::Map::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=')?;
        let (value, next) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let (mut value, mut escaped, mut end) = (String::new(), false, None);
                for (at, c) in quoted.char_indices() {
                    match c {
                        '\\' if !escaped => escaped = true,
                        '"' if !escaped => {
                            end = Some(at);
                            break;
                        }
                        c => {
                            value.push(c);
                            escaped = false;
                        }
                    }
                }
                (serde_json::Value::from(value), &quoted[end? + 1..])
            }
            None => {
                let (word, next) = behind.split_at(behind.find(' ').unwrap_or(behind.len()));
                let number = serde_json::from_str::<serde_json::Number>(word).ok();
                (number.map_or_else(|| word.into(), serde_json::Value::Number), next)
            }
        };
        fields.insert(key.to_string(), value);
        rest = next.trim_start_matches(' ');
    }
    Some(fields)
}

/// Puts a line without an end on standard error, in place of the one before.
pub fn rewrite_line(line: &str) {
    let mut stderr = io::stderr().lock();
    LINE.store(true, Ordering::SeqCst);
    let _ = write!(stderr, "{WIPE}{}", redact(line));
}

/// Takes away what [`rewrite_line`] has written.
pub fn wipe_line() {
    let mut stderr = io::stderr().lock();
    if LINE.swap(false, Ordering::SeqCst) {
        let _ = write!(stderr, "{WIPE}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_logs_as_json() {
        let line = "ts=2020-01-01T12:00:03.200Z level=info job=7 name=\"insert \\\"x\\\" \\\\\" in_per_s=1.5 watermark=2020-01-01T00:00:00Z";
        assert_eq!(
            json_line(line),
            r#"{"ts":"2020-01-01T12:00:03.200Z","level":"info","job":7,"name":"insert \"x\" \\","in_per_s":1.5,"watermark":"2020-01-01T00:00:00Z"}"#
        );
        assert!(
            json_line("error: no such file\n  detail")
                .ends_with(r#""level":"error","msg":"no such file\n  detail"}"#)
        );
    }
}
