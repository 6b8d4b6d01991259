//! A shell in a pseudo-terminal.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use expectrl::process::unix::WaitStatus;
use expectrl::session::OsSession;
use expectrl::{ControlCode, Eof, Expect, Session};

pub const PROMPT: &str = "affluent> ";

/// A stream without end.
pub const ENDLESS: &str = "CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '50', \
     'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000000');";

/// A shell with its own, empty state folder, in a terminal of `columns` columns and 40 lines.
pub struct Terminal {
    pub session: OsSession,
    pub state: tempfile::TempDir,
}

impl Terminal {
    pub fn start(columns: u16, arguments: &[&str]) -> Self {
        Self::with_pager(columns, arguments, "")
    }

    /// The same with a pager; an empty one is none.
    pub fn with_pager(columns: u16, arguments: &[&str], pager: &str) -> Self {
        let state = tempfile::tempdir().expect("a folder for the history");
        let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
        command
            .args(arguments)
            .env("XDG_STATE_HOME", state.path())
            .env("TERM", "xterm")
            .env("TZ", "UTC")
            .env("PAGER", pager)
            .env_remove("AFFLUENT_PAGER")
            .env_remove("NO_COLOR");
        let mut session = Session::spawn(command).expect("the shell starts");
        session.get_process_mut().set_window_size(columns, 40).expect("a size");
        session.set_expect_timeout(Some(Duration::from_secs(90)));
        Self { session, state }
    }

    /// A shell without colours that has shown its first prompt.
    pub fn plain() -> Self {
        let mut terminal = Self::start(100, &["--color", "never"]);
        terminal.expect(PROMPT);
        terminal
    }

    /// A shell that knows the tables of a script.
    pub fn knowing(columns: u16, sql: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join("init.sql");
        std::fs::write(&script, sql).expect("a script");
        let mut terminal = Self::start(columns, &["--color", "never", "-i", &script.display().to_string()]);
        terminal.expect(PROMPT);
        terminal
    }

    /// A path in the shell's own folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }

    pub fn expect(&mut self, text: &str) {
        self.before(text);
    }

    /// Whether a text comes.
    pub fn sees(&mut self, text: &str) -> bool {
        self.session.expect(text).is_ok()
    }

    /// Waits for a text; what came before it.
    pub fn before(&mut self, text: &str) -> String {
        match self.session.expect(text) {
            Ok(found) => String::from_utf8_lossy(found.before()).into_owned(),
            Err(e) => panic!("{text:?} did not appear: {e}"),
        }
    }

    pub fn line(&mut self, text: &str) {
        self.session.send(text).expect("the shell reads");
        self.session.send("\r").expect("the shell reads");
    }

    /// A statement that shows nothing but that it was done. The prompt alone would not tell: it is drawn
    /// again while a long line is typed.
    pub fn statement(&mut self, text: &str) {
        self.line(text);
        self.expect("OK\r\n");
        self.expect(PROMPT);
    }

    pub fn key(&mut self, key: ControlCode) {
        self.session.send(key).expect("the shell reads");
    }

    /// Keys as they are.
    pub fn session_send(&mut self, text: &str) {
        self.session.send(text).expect("the shell reads");
    }

    /// Ctrl-C.
    pub fn interrupt(&mut self) {
        self.key(ControlCode::EndOfText);
    }

    /// A signal that comes not from the keyboard.
    pub fn signal(&self, name: &str) {
        let pid = self.session.get_process().pid().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill").success());
    }

    pub fn resize(&mut self, columns: u16, lines: u16) {
        self.session.get_process_mut().set_window_size(columns, lines).expect("a size");
    }

    /// Leaves, which must be possible.
    pub fn quit(mut self) {
        self.line("\\q");
        assert_eq!(self.end(), 0);
    }

    /// Waits for the end and gives the exit status.
    pub fn end(mut self) -> i32 {
        self.session.expect(Eof).expect("the end");
        match self.session.get_process().wait().expect("a status") {
            WaitStatus::Exited(_, status) => status,
            other => panic!("{other:?}"),
        }
    }
}

/// A file's text once it is there as a whole: what writes it may not be done.
pub fn content(path: &Path, complete: impl Fn(&str) -> bool) -> String {
    let patience = std::time::Instant::now();
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if complete(&text) {
            return text;
        }
        assert!(patience.elapsed() < Duration::from_secs(20), "{}: {text:?}", path.display());
        std::thread::yield_now();
    }
}
