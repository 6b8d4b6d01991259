//! The line editor: several lines, colours, completion, history.
//!
//! A statement is edited as a whole until it is complete, so that its first line can still be changed.
//! The editor knows no prompt for further lines; Enter puts a mark of blanks of an unusual kind at
//! their start, which is drawn as that prompt and taken out of what is read.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{
    Behavior, CharSearch, Cmd, ColorMode, CompletionType, ConditionalEventHandler, Config, Context, Event,
    EventContext, EventHandler, Helper, KeyCode, KeyEvent, Modifiers, Movement, RepeatCount,
};

use super::{completion, highlight, history};
use crate::session::Session;
use crate::sql::scan::is_complete;

/// The prompt.
const PROMPT: &str = "affluent> ";
/// The prompt of further lines, as wide.
const CONTINUED: &str = "       -> ";
/// Figure spaces: blank, and never typed.
const MARK: &str = "\u{2007}\u{2007}\u{2007}\u{2007}\u{2007}\u{2007}\u{2007}\u{2007}\u{2007}\u{2007}";

/// Statements that are remembered.
const REMEMBERED: usize = 2_000;

/// Reads statements.
pub struct Editor {
    editor: rustyline::Editor<SqlHelper, FileHistory>,
    history: Option<PathBuf>,
    prompt: (String, String),
}

impl Editor {
    /// An editor with the history of earlier shells. Where standard output is no terminal, it talks to
    /// the terminal beside it.
    pub fn new(session: Arc<Session>, color: bool, stdout_terminal: bool) -> rustyline::Result<Self> {
        let config = Config::builder()
            .max_history_size(REMEMBERED)?
            .history_ignore_dups(true)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .color_mode(if color { ColorMode::Forced } else { ColorMode::Disabled })
            .auto_add_history(false)
            .behavior(if stdout_terminal { Behavior::Stdio } else { Behavior::PreferTerm })
            .build();
        let mut editor = rustyline::Editor::with_config(config)?;
        editor.set_helper(Some(SqlHelper { session }));
        let newline = || EventHandler::Conditional(Box::new(Newline));
        editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::NONE), newline());
        editor.bind_sequence(KeyEvent::ctrl('J'), newline());
        let backspace = EventHandler::Conditional(Box::new(Backspace));
        editor.bind_sequence(KeyEvent(KeyCode::Backspace, Modifiers::NONE), backspace);
        let history = history::file();
        if let Some(path) = &history
            && let Err(e) = editor.load_history(path)
        {
            log::debug!("history is not read: {e}");
        }
        let styled = format!("\u{1b}[1;36m{PROMPT}\u{1b}[0m");
        Ok(Self { editor, history, prompt: (PROMPT.to_string(), styled) })
    }

    /// The next input: complete statements, or a command.
    pub fn read(&mut self) -> rustyline::Result<String> {
        // Keys that were typed while a result was shown.
        let ahead = crate::console::keys::typed_ahead();
        let read = match ahead.trim().is_empty() {
            true => self.editor.readline(&self.prompt),
            false => self.editor.readline_with_initial(&self.prompt, (&ahead, "")),
        };
        read.map(|text| without_marks(&text))
    }

    /// Adds to the history, in this shell and for later ones.
    pub fn remember(&mut self, text: &str) {
        let text = text.trim_end();
        let added = self.editor.add_history_entry(text);
        if let (Ok(true), Some(path)) = (added, &self.history)
            && let Err(e) = self.editor.append_history(path)
        {
            log::debug!("history is not written: {e}");
        }
    }
}

/// Text without the marks at the start of its lines.
fn without_marks(text: &str) -> String {
    text.replace(&format!("\n{MARK}"), "\n")
}

/// Enter: submits what is complete, else begins a new line.
struct Newline;

impl ConditionalEventHandler for Newline {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        (!is_complete(&without_marks(context.line()))).then(|| Cmd::Insert(1, format!("\n{MARK}")))
    }
}

/// Backspace at the start of a continued line joins it with the line before.
struct Backspace;

impl ConditionalEventHandler for Backspace {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        let before = context.line().get(..context.pos())?;
        let joined = before.strip_suffix(MARK).is_some_and(|rest| rest.ends_with('\n'));
        // Not so many characters back: the editor puts the key's own count, 1, in their place.
        joined.then_some(Cmd::Kill(Movement::ViCharSearch(1, CharSearch::Backward('\n'))))
    }
}

struct SqlHelper {
    session: Arc<Session>,
}

impl Helper for SqlHelper {}

impl Hinter for SqlHelper {
    type Hint = String;
}

impl Validator for SqlHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match is_complete(&without_marks(context.input())) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Highlighter for SqlHelper {
    fn highlight<'l>(&self, line: &'l str, _pos: usize) -> Cow<'l, str> {
        Cow::Owned(highlight::colored(line, MARK, CONTINUED))
    }

    fn highlight_char(&self, _line: &str, _pos: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

impl Completer for SqlHelper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let file = line.strip_prefix("\\i ").or_else(|| line.strip_prefix("\\o "));
        if let Some(rest) = file.filter(|rest| !rest.trim_start().starts_with('|')) {
            let shift = line.len() - rest.len();
            let (start, files) = rustyline::completion::FilenameCompleter::new()
                .complete_path(rest, pos.saturating_sub(shift))?;
            return Ok((start + shift, files));
        }
        let (start, words) = completion::complete(line.get(..pos).unwrap_or(line), &*self.session);
        let pair = |word: String| Pair { display: word.clone(), replacement: word };
        Ok((start, words.into_iter().map(pair).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_as_wide_as_the_prompts_and_taken_out() {
        assert_eq!(MARK.chars().count(), PROMPT.len());
        assert_eq!(CONTINUED.len(), PROMPT.len());
        assert_eq!(without_marks(&format!("SELECT\n{MARK}1,\n{MARK}\n  2;")), "SELECT\n1,\n\n  2;");
    }
}
