//! A file as a Flink cluster takes it: what becomes of each statement, and the text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::edit::Edits;
use super::functions::Functions;
use super::statements::title;
use super::target::Target;
use super::variables;
use crate::error::{Error, ErrorKind, Result, Span};
use crate::session::Session;
use crate::sql::variables::{Script, Variables};
use crate::sql::{Lexeme, Reading, SourceText, StatementKind, lex, read_script};

/// What becomes of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It goes as it is.
    Taken,
    /// Flink's SQL for it is another text.
    Translated,
    /// It cannot go.
    Refused,
}

/// What a note says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteKind {
    /// How it is translated, or what the cluster needs.
    How,
    /// What Flink does not have, and what follows from that.
    Lost,
    /// Why it cannot go.
    Refused,
}

/// Something about a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What sort.
    pub kind: NoteKind,
    /// What.
    pub text: String,
    /// The way out.
    pub hint: Option<String>,
    /// Where, in the text as written; that of the statement if nothing narrower is known.
    pub span: Span,
}

/// A statement and its fate.
#[derive(Debug, Clone)]
pub struct Part {
    /// `CREATE TABLE t`.
    pub title: String,
    /// Its place in the text as written.
    pub span: Span,
    /// What becomes of it.
    pub fate: Fate,
    /// Why and how.
    pub notes: Vec<Note>,
    /// Flink's SQL for it, without a semicolon; `None` where it is left out.
    pub sql: Option<String>,
    /// What it is.
    pub kind: StatementKind,
}

/// A file for Flink.
#[derive(Debug)]
pub struct Export {
    /// The file's name.
    pub name: String,
    /// Its statements.
    pub parts: Vec<Part>,
    /// The whole of it as Flink takes it.
    pub sql: String,
    /// Files that go beside it: their names and contents.
    pub files: BTreeMap<String, String>,
    /// What has to be in the cluster's `lib/`.
    pub jars: BTreeSet<String>,
    /// Variables that stay `${NAME}`.
    pub open: BTreeSet<String>,
    /// The text as written and as it is run.
    pub script: Script,
}

impl Export {
    /// How many statements have a fate.
    pub fn count(&self, fate: Fate) -> usize {
        self.parts.iter().filter(|part| part.fate == fate).count()
    }

    /// Why it cannot go, each with its place.
    pub fn refusals(&self) -> impl Iterator<Item = (&Part, &Note)> {
        let all = self.parts.iter().flat_map(|part| part.notes.iter().map(move |note| (part, note)));
        all.filter(|(_, note)| note.kind == NoteKind::Refused)
    }
}

/// How a file is exported.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Where it is to run.
    pub target: &'a Target,
    /// Values of variables.
    pub variables: &'a Variables,
    /// All variables get their values, for a submission; else what may be a secret stays `${NAME}`.
    pub filled: bool,
    /// Where relative paths of tables start.
    pub root: PathBuf,
}

/// Exports a file. Settings of the command line are those of the session already. A file that is wrong here is an error.
pub fn export(session: &Session, source: SourceText, request: &Request<'_>) -> Result<Export> {
    let variables = request.variables;
    let script = match request.filled {
        true => variables.expand(source)?,
        false => variables.expand_known(source)?,
    };
    let readings = read_script(&script.expanded);
    let work = Work {
        session,
        request,
        lexemes: lex(&script.expanded.text),
        edits: Edits::default(),
        parts: Vec::new(),
        declared: BTreeMap::new(),
        kept: super::queries::kept_as_they_are(&readings),
        proc_time: super::queries::free_name(&script.expanded.text),
        functions: Functions::default(),
        jars: BTreeSet::new(),
        strategy: None,
        script: &script,
    };
    let (parts, sql, files, jars, open) = work.run(&readings)?;
    Ok(Export { name: script.written.name.to_string(), parts, sql, files, jars, open, script })
}

/// A table that the file declares.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    /// Index of its statement.
    pub part: usize,
    /// Byte of the expanded text behind its last column or constraint, and whether these stand on lines of their own.
    pub end: usize,
    pub lines: bool,
    /// It has got the column of processing time.
    pub has_proc_time: bool,
}

/// An export under way.
pub(super) struct Work<'a> {
    pub session: &'a Session,
    pub request: &'a Request<'a>,
    pub script: &'a Script,
    /// Of the expanded text.
    pub lexemes: Vec<Lexeme>,
    /// Of the text as written.
    pub edits: Edits,
    pub parts: Vec<Part>,
    pub declared: BTreeMap<String, Declared>,
    /// Tables whose columns must stay as they are: `SELECT *` reads them.
    pub kept: BTreeSet<String>,
    /// Name of the column of processing time.
    pub proc_time: &'static str,
    pub functions: Functions,
    pub jars: BTreeSet<String>,
    /// `enrichment.strategy`.
    pub strategy: Option<String>,
}

fn starts_job(kind: &StatementKind) -> bool {
    matches!(kind, StatementKind::Query(_) | StatementKind::Insert(_) | StatementKind::StatementSet(_))
}

type Done = (Vec<Part>, String, BTreeMap<String, String>, BTreeSet<String>, BTreeSet<String>);

impl Work<'_> {
    fn run(mut self, readings: &[Reading]) -> Result<Done> {
        let strategy = self.session.setting("enrichment.strategy");
        self.strategy = (!strategy.is_empty()).then_some(strategy);
        for reading in readings {
            let statement = reading.parsed.clone().map_err(|e| self.script.relocate(e))?;
            let unplanned = match self.session.check(&statement) {
                Ok(_) => None,
                // Its files may be on the cluster alone.
                Err(e) if e.kind() == ErrorKind::Io && starts_job(&statement.kind) => {
                    Some(e.message().to_string())
                }
                Err(e) => return Err(self.failed(e.at(statement.span))),
            };
            let span = self.written(statement.span);
            self.parts.push(Part {
                title: title(&statement),
                span,
                fate: Fate::Taken,
                notes: Vec::new(),
                sql: None,
                kind: statement.kind.clone(),
            });
            if let Some(why) = unplanned {
                self.how(format!("only its text was looked at: {why}"));
            }
            self.statement(&statement)?;
        }
        let ranges: Vec<_> = readings.iter().map(|r| self.script.expanded.range(r.span)).collect();
        let written: Vec<_> = ranges.into_iter().map(|r| self.script.written_bytes(r)).collect();
        self.leave_unread_out(readings, &written);
        let text = self.script.written.text.clone();
        let mut open = BTreeSet::new();
        let made = self.functions.statements();
        let first = self.functions.first();
        for (index, range) in written.iter().enumerate() {
            let changed = !self.edits.is_unchanged(range);
            let part = &mut self.parts[index];
            let refused = part.notes.iter().any(|n| n.kind == NoteKind::Refused);
            part.fate = match (refused, changed || part.notes.iter().any(|n| n.kind == NoteKind::Lost)) {
                (true, _) => Fate::Refused,
                (false, true) => Fate::Translated,
                (false, false) => Fate::Taken,
            };
            let sql = self.edits.apply(&text, range.clone());
            let sql = variables::settle(&sql, self.request, &mut open);
            let is_code = sql.lines().any(|l| !l.trim().is_empty() && !l.trim_start().starts_with("--"));
            part.sql = is_code.then_some(sql);
        }
        let mut all = String::new();
        let mut at = 0;
        for (index, range) in written.iter().enumerate() {
            all.push_str(text.get(at..range.start).unwrap_or_default());
            if first == Some(index) {
                made.iter().for_each(|line| all.push_str(&format!("{line};\n")));
            }
            let sql = variables::settle(&self.edits.apply(&text, range.clone()), self.request, &mut open);
            all.push_str(&sql);
            at = range.end;
            if self.parts[index].sql.is_none() {
                // Its semicolon goes with it.
                let behind = text.get(at..).unwrap_or_default();
                let spaces = behind.len() - behind.trim_start().len();
                at += if behind.trim_start().starts_with(';') { spaces + 1 } else { 0 };
            }
        }
        all.push_str(text.get(at..).unwrap_or_default());
        let sql = format!("{}{}", self.head(&open), all);
        let files = self.functions.files(self.request)?;
        Ok((self.parts, sql, files, self.jars, open))
    }

    /// A table that cannot go and that no other statement names is in nobody's way.
    fn leave_unread_out(&mut self, readings: &[Reading], written: &[std::ops::Range<usize>]) {
        for (index, part) in self.parts.iter_mut().enumerate() {
            let StatementKind::CreateTable(table) = &part.kind else { continue };
            let Some(name) = table.name.parts.last().map(|n| &n.value) else { continue };
            let Some(why) = part.notes.iter().find(|n| n.kind == NoteKind::Refused).map(|n| n.text.clone())
            else {
                continue;
            };
            let named = |(at, reading): (usize, &Reading)| at != index && reading.words.contains(name);
            if readings.iter().enumerate().any(named) {
                continue;
            }
            let text = format!("left out: no other statement names it, and it cannot go: {why}");
            self.edits.replace(written[index].clone(), format!("-- {}: {text}", part.title));
            part.notes = vec![Note { kind: NoteKind::How, text, hint: None, span: part.span }];
        }
    }

    /// What stands in front of the text.
    fn head(&self, open: &BTreeSet<String>) -> String {
        let name = &self.script.written.name;
        let mut head =
            format!("-- {name} for Flink {}, by affluent flink export.\n", self.request.target.version);
        if !self.jars.is_empty() {
            let jars: Vec<&str> = self.jars.iter().map(String::as_str).collect();
            head.push_str(&format!("-- lib/ of the cluster needs: {}.\n", jars.join("; ")));
        }
        if !open.is_empty() {
            let names: Vec<String> = open.iter().map(|name| format!("${{{name}}}")).collect();
            head.push_str(&format!(
                "-- To be put in before it runs, as envsubst does: {}.\n",
                names.join(", ")
            ));
        }
        for part in &self.parts {
            for note in part.notes.iter().filter(|n| n.kind == NoteKind::Lost) {
                head.push_str(&format!("-- Lost in {}: {}.\n", part.title, note.text.replace('\n', " ")));
            }
        }
        head.push('\n');
        head
    }

    /// A place in the text as written.
    pub fn written(&self, span: Span) -> Span {
        self.script.relocate(Error::plan("").at(span)).span().unwrap_or(span)
    }

    /// An error of the statement itself, in the text as written. One that a variable without a value leads to says so.
    fn failed(&self, error: Error) -> Error {
        let error = self.script.relocate(error);
        let missing = self.script.missing().first().map(|m| m.name.clone());
        match missing {
            Some(name) if error.kind() != ErrorKind::Syntax => {
                error.with_hint(format!("variable '{name}' has no value here: give it with --var {name}=..."))
            }
            _ => error,
        }
    }

    /// The bytes as written of bytes of the expanded text.
    pub fn bytes(&self, expanded: std::ops::Range<usize>) -> std::ops::Range<usize> {
        self.script.written_bytes(expanded)
    }

    /// The text as written of a place.
    pub fn source(&self, expanded: std::ops::Range<usize>) -> &str {
        self.script.written.text.get(self.bytes(expanded)).unwrap_or_default()
    }

    /// Notes something about the statement at hand.
    pub fn note(&mut self, kind: NoteKind, text: impl Into<String>, hint: Option<String>, span: Span) {
        let place = self.written(span);
        let Some(part) = self.parts.last_mut() else { return };
        let span = if span == Span::default() { part.span } else { place };
        let note = Note { kind, text: text.into(), hint, span };
        if !part.notes.iter().any(|n| n.text == note.text && n.kind == note.kind) {
            part.notes.push(note);
        }
    }

    /// How something is translated.
    pub fn how(&mut self, text: impl Into<String>) {
        self.note(NoteKind::How, text, None, Span::default());
    }

    /// Why it cannot go, and the way out.
    pub fn refuse(&mut self, text: impl Into<String>, hint: impl Into<String>, span: Span) {
        let hint = hint.into();
        self.note(NoteKind::Refused, text, (!hint.is_empty()).then_some(hint), span);
    }

    /// Whether a connector, format or the like is on the cluster; its jar is needed then.
    pub fn needs(&mut self, what: &str, name: &str, span: Span) -> bool {
        match self.request.target.takes(what, name) {
            Ok(jar) => {
                self.jars.extend(jar.map(str::to_string));
                true
            }
            Err((text, hint)) => {
                self.refuse(text, hint, span);
                false
            }
        }
    }
}
