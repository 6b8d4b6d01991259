//! `affluent check`: what is wrong with scripts, without running them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::json;

use crate::console::diagnostic::{self, USAGE};
use crate::console::fault::Fault;
use crate::console::output::Output;
use crate::console::render::OutputFormat;
use crate::console::script::origin;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::sql::variables::{Script, Variables};
use crate::sql::{Reading, SourceText, StatementKind, read_script};

/// Checks scripts one after the other; the exit status.
pub fn check(
    session: &Session,
    output: Output,
    variables: &Variables,
    sources: Vec<SourceText>,
    (connect, portable): (bool, bool),
) -> Result<u8> {
    let mut report = Report {
        output,
        connect,
        portable,
        ours: 0,
        errors: 0,
        warnings: 0,
        broken: BTreeMap::new(),
        astray: None,
        written: Vec::new(),
        filled: BTreeMap::new(),
    };
    let files = sources.len();
    let checked = sources.into_iter().try_for_each(|source| report.script(session, variables, source));
    match checked.and_then(|()| report.summary(files)) {
        Ok(()) | Err(Fault::Closed) => Ok(if report.errors > 0 { USAGE } else { 0 }),
        Err(Fault::Error(e)) => Err(e),
    }
}

struct Report {
    output: Output,
    /// Tables are asked whether they can be reached.
    connect: bool,
    /// Report each construct that Flink would refuse; otherwise only their number.
    portable: bool,
    /// How often Flink would refuse something.
    ours: usize,
    errors: usize,
    warnings: usize,
    /// Tables, views, functions and the like whose definition could not be checked, and why.
    broken: BTreeMap<String, String>,
    /// The last USE had an error: names are looked for in the wrong place since.
    astray: Option<String>,
    /// Paths that earlier statements write.
    written: Vec<String>,
    /// The same by the tables that they fill.
    filled: BTreeMap<String, String>,
}

impl Report {
    fn script(&mut self, session: &Session, variables: &Variables, source: SourceText) -> Result<(), Fault> {
        let script = match variables.expand_known(source.clone()) {
            Ok(script) => script,
            Err(e) => return self.error(&e, &Script::plain(source)),
        };
        let mut named = BTreeSet::new();
        for missing in script.missing().iter().filter(|m| named.insert(m.name.clone())) {
            let text = format!(
                "variable '{}' has no value here: give it with --var {0}=... or in the environment to run this",
                missing.name
            );
            self.tell("note", &Error::option(text).at(missing.span), &script)?;
        }
        // Files of functions and models are looked for beside the script.
        session.set_origin(origin(&script.written.name));
        for reading in read_script(&script.expanded) {
            self.statement(session, &reading, &script)?;
        }
        Ok(())
    }

    fn statement(&mut self, session: &Session, reading: &Reading, script: &Script) -> Result<(), Fault> {
        let checked = match &reading.parsed {
            Ok(statement) => {
                let checked = session.check(statement);
                if checked.is_ok() {
                    self.note_written(session, &statement.kind);
                }
                checked
            }
            Err(e) => Err(e.clone()),
        };
        let error = match checked {
            Ok(warnings) => {
                if let Some(name) = &reading.defines {
                    self.broken.remove(name);
                }
                if is_use(reading) {
                    self.astray = None;
                }
                for warning in warnings {
                    self.warnings += 1;
                    self.tell("warning", &Error::plan(warning).at(reading.span), script)?;
                }
                self.probe(session, reading, script)?;
                return self.portability(session, reading, script);
            }
            Err(e) => e,
        };
        let cause = self.cause(reading, script, &error);
        if let Some(name) = &reading.defines {
            let why = cause.clone().unwrap_or_else(|| format!("the definition of '{name}' has an error"));
            self.broken.insert(name.clone(), why);
        }
        if is_use(reading) {
            self.astray = Some("the USE before it has an error".to_string());
        }
        match cause {
            Some(cause) if reading.parsed.is_ok() => {
                let error = Error::plan(format!("not checked: {cause}")).at(reading.span);
                self.tell("note", &error, script)
            }
            _ => self.error(&error, script),
        }
    }

    /// Asks what a new table is connected to.
    fn probe(&mut self, session: &Session, reading: &Reading, script: &Script) -> Result<(), Fault> {
        let (true, Ok(statement)) = (self.connect, &reading.parsed) else { return Ok(()) };
        match session.probe(statement) {
            Ok(found) => {
                for text in found {
                    self.tell("note", &Error::plan(text).at(reading.span), script)?;
                }
                Ok(())
            }
            Err(e) => self.error(&e, script),
        }
    }

    /// What Flink would refuse of a statement that is right here.
    fn portability(&mut self, session: &Session, reading: &Reading, script: &Script) -> Result<(), Fault> {
        let Ok(statement) = &reading.parsed else { return Ok(()) };
        // An error of planning has been reported already.
        let found = session.portability(statement, &script.expanded).unwrap_or_default();
        self.ours += found.len();
        if self.portable {
            for error in found {
                let text = match error.hint() {
                    Some(hint) if !self.is_json() => format!("{}: {hint}", error.message()),
                    _ => error.message().to_string(),
                };
                let told = Error::plan(text).at(error.span().unwrap_or_default());
                let told = error.hint().into_iter().fold(told, |told, hint| told.with_hint(hint));
                self.tell("portable", &told, script)?;
            }
        }
        Ok(())
    }

    /// What is not there yet, and so no error of the statement itself.
    fn cause(&self, reading: &Reading, script: &Script, error: &Error) -> Option<String> {
        if let Some(why) = reading.words.iter().find_map(|word| self.broken.get(word)) {
            return Some(why.clone());
        }
        if let Some(why) = self.astray.as_ref().filter(|_| error.message().ends_with("is not known")) {
            return Some(why.clone());
        }
        let is_absent = error.message().contains("does not exist");
        // An error beside the variable's place is one whatever the value is, but for a setting: it has one value.
        let error = match &reading.parsed {
            Ok(statement) if matches!(statement.kind, StatementKind::Set { .. }) => {
                Error::plan("").at(reading.span)
            }
            _ => error.clone(),
        };
        let span = script.relocate(error.at(reading.span)).span().unwrap_or_default();
        let missing = script.missing().iter().find(|m| m.span.start >= span.start && m.span.end <= span.end);
        if let Some(missing) = missing {
            return Some(format!("variable '{}' has no value here", missing.name));
        }
        let reads = |path: &&String| {
            let folder = path.trim_end_matches('/');
            let inside = |s: &String| {
                s.strip_prefix(folder)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '*', '?']))
            };
            reading.strings.iter().any(inside) && !has_files(Path::new(folder))
        };
        // A table that an earlier statement fills, by its name.
        let filled = |name: &String| {
            let path = self.filled.get(name).filter(|_| is_absent)?;
            (!has_files(Path::new(path.trim_end_matches('/')))).then_some(path)
        };
        let written = match self.written.iter().find(reads) {
            Some(written) => written,
            None => reading.words.iter().find_map(filled)?,
        };
        Some(format!("'{written}' is written by a statement before this one and is not there yet"))
    }

    /// Remembers where a checked statement writes.
    fn note_written(&mut self, session: &Session, kind: &StatementKind) {
        let mut add = |table: &crate::sql::TableName| {
            let name = table.parts.last().map(|part| part.value.as_str()).unwrap_or_default();
            let options = session.options_of(name);
            let path = options.into_iter().find(|(key, _)| key == "path").map(|(_, path)| path);
            self.filled.extend(path.clone().map(|path| (name.to_string(), path)));
            self.written.extend(path);
        };
        match kind {
            StatementKind::Insert(insert) => add(&insert.table),
            StatementKind::StatementSet(inserts) => inserts.iter().for_each(|insert| add(&insert.table)),
            StatementKind::CreateTable(table) if table.query.is_some() => add(&table.name),
            _ => {}
        }
    }

    fn error(&mut self, error: &Error, script: &Script) -> Result<(), Fault> {
        self.errors += 1;
        if self.is_json() {
            return self.json("error", &script.relocate(error.clone()), script);
        }
        diagnostic::show(error, script, self.output.stderr_color);
        Ok(())
    }

    /// A line that is no error.
    fn tell(&mut self, severity: &str, what: &Error, script: &Script) -> Result<(), Fault> {
        // The position is in the text as it was written.
        let is_moved = script.missing().iter().any(|m| what.span() == Some(m.span));
        let place = if is_moved { what.clone() } else { script.relocate(what.clone()) };
        if self.is_json() {
            return self.json(severity, &place, script);
        }
        let start = place.span().unwrap_or_default().start;
        self.output.note(format_args!(
            "{severity}: {}:{}:{}: {}",
            script.written.name,
            start.line,
            start.column,
            place.message()
        ));
        Ok(())
    }

    fn is_json(&self) -> bool {
        self.output.target.format == OutputFormat::Json
    }

    fn json(&mut self, severity: &str, error: &Error, script: &Script) -> Result<(), Fault> {
        let place = error.span().unwrap_or_default();
        let object = json!({
            "file": script.written.name,
            "line": place.start.line,
            "column": place.start.column,
            "end_line": place.end.line,
            "end_column": place.end.column,
            "severity": severity,
            "message": error.message(),
            "detail": error.detail(),
            "hint": error.hint(),
        });
        self.output.line(&object.to_string())
    }

    fn summary(&mut self, files: usize) -> Result<(), Fault> {
        if self.is_json() || self.errors > 0 {
            return Ok(());
        }
        if self.ours > 0 && !self.portable {
            let text = format!(
                "Flink would refuse this in {} places: affluent check --portable lists them",
                self.ours
            );
            self.output.note(format_args!("note: {text}"));
        }
        let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let text = format!("{}: no errors, {}", plural(files, "file"), plural(self.warnings, "warning"));
        self.output.line(&text)
    }
}

fn is_use(reading: &Reading) -> bool {
    reading.words.first().is_some_and(|word| word.eq_ignore_ascii_case("USE"))
}

/// Whether a folder, or a file, is there and holds something.
fn has_files(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut entries) => {
            entries.any(|e| e.is_ok_and(|e| !e.file_name().to_string_lossy().starts_with('.')))
        }
        Err(_) => path.is_file(),
    }
}
