//! The other way: a file of Flink's as it runs here.
//!
//! Each statement is read and checked. One that runs stays as it is; options and names that only Flink's connectors have are
//! translated; one that cannot run here is put into a comment with the reason. What has another effect here is listed.

use super::edit::Edits;
use super::export::{Fate, Note, NoteKind, Part};
use super::options::literal;
use super::statements::title;
use crate::catalog::Options;
use crate::connector::registry;
use crate::error::{Error, Span};
use crate::session::Session;
use crate::sql::{
    CreateTable, OptionEntry, Reading, SourceText, Statement, StatementKind, parse_script, read_script,
};

/// A file of Flink's, for this program.
#[derive(Debug)]
pub struct Import {
    /// The file's name.
    pub name: String,
    /// Its statements.
    pub parts: Vec<Part>,
    /// The text that runs here.
    pub sql: String,
}

impl Import {
    /// How many statements have a fate.
    pub fn count(&self, fate: Fate) -> usize {
        self.parts.iter().filter(|part| part.fate == fate).count()
    }
}

/// Imports a file.
pub fn import(session: &Session, source: &SourceText) -> Import {
    let text = source.text.to_string();
    let mut edits = Edits::default();
    let mut parts = Vec::new();
    for reading in read_script(source) {
        let range = source.range(reading.span);
        let mut part = Part {
            title: String::new(),
            span: reading.span,
            fate: Fate::Taken,
            notes: Vec::new(),
            sql: None,
            kind: StatementKind::Help,
        };
        statement(session, source, &reading, &mut part, &mut edits);
        if part.fate == Fate::Refused {
            let why: Vec<&str> = part.notes.iter().map(|n| n.text.as_str()).collect();
            let lines = text.get(range.clone()).unwrap_or_default().lines().map(|line| format!("-- {line}"));
            let lines = lines.collect::<Vec<_>>().join("\n");
            // A comment takes the semicolon with it.
            let behind = text.get(range.end..).unwrap_or_default();
            let spaces = behind.len() - behind.trim_start().len();
            let end = if behind.trim_start().starts_with(';') { range.end + spaces + 1 } else { range.end };
            edits.replace(
                range.start..end,
                format!("-- Not here: {}\n{lines};", why.join("; ").replace('\n', " ")),
            );
        } else if !edits.is_unchanged(&range) {
            part.fate = Fate::Translated;
        }
        part.sql = Some(edits.apply(&text, range)).filter(|_| part.fate != Fate::Refused);
        parts.push(part);
    }
    let whole = edits.apply(&text, 0..text.len());
    Import {
        name: source.name.to_string(),
        parts,
        sql: format!("-- {} for Affluent, by affluent flink import.\n\n{whole}", source.name),
    }
}

fn note(part: &mut Part, kind: NoteKind, text: impl Into<String>, hint: Option<&str>, span: Span) {
    let span = if span == Span::default() { part.span } else { span };
    part.notes.push(Note { kind, text: text.into(), hint: hint.map(str::to_string), span });
}

fn refuse(part: &mut Part, error: &Error) {
    part.fate = Fate::Refused;
    note(part, NoteKind::Refused, error.message(), error.hint(), error.span().unwrap_or_default());
}

/// What Flink's client reads and this program does not, with what takes its place.
fn of_the_client(words: &str) -> Option<&'static str> {
    let upper = words.to_ascii_uppercase();
    let first: Vec<&str> = upper.split_whitespace().take(3).collect();
    Some(match first.as_slice() {
        ["ADD" | "REMOVE", "JAR", ..] => "connectors and functions are in the program: there are no jars",
        ["LOAD" | "UNLOAD" | "USE", "MODULE" | "MODULES", ..] => {
            "functions are built in: there are no modules"
        }
        ["CALL", ..] => "there are no procedures",
        ["ANALYZE", ..] => "plans are made without statistics",
        ["COMPILE" | "EXECUTE", "PLAN", ..] | ["COMPILE", "AND", ..] => {
            "plans are not kept: a job goes on from its checkpoint by what it computes"
        }
        _ => return None,
    })
}

fn statement(session: &Session, source: &SourceText, reading: &Reading, part: &mut Part, edits: &mut Edits) {
    let range = source.range(reading.span);
    let written = source.text.get(range).unwrap_or_default();
    let statement = match &reading.parsed {
        Ok(statement) => statement.clone(),
        Err(e) => {
            let words: Vec<&str> = written.split_whitespace().take(4).collect();
            part.title = words.join(" ");
            match of_the_client(written) {
                Some(why) => {
                    part.fate = Fate::Refused;
                    note(part, NoteKind::Refused, why, None, Span::default());
                }
                None => refuse(part, e),
            }
            return;
        }
    };
    part.title = title(&statement);
    part.kind = statement.kind.clone();
    let checked = match &statement.kind {
        StatementKind::CreateTable(table) => {
            let wanted = options(table, part);
            let same = wanted.len() == table.options.len()
                && wanted
                    .iter()
                    .zip(&table.options)
                    .all(|((k, v), e)| *k == e.key.value && *v == e.value.value);
            if same {
                session.check(&statement)
            } else {
                // Checked as it will be written.
                let list: Vec<String> =
                    wanted.iter().map(|(k, v)| format!("{} = {}", literal(k), literal(v))).collect();
                if let (Some(first), Some(last)) = (table.options.first(), table.options.last()) {
                    let at = source.range(first.key.span.union(last.value.span));
                    edits.replace(at, list.join(", "));
                }
                let text = edits.apply(&source.text, source.range(statement.span));
                again(session, &text, statement.span)
            }
        }
        _ => session.check(&statement),
    };
    match checked {
        Ok(warnings) => {
            for warning in warnings {
                note(part, NoteKind::Lost, warning, None, Span::default());
            }
        }
        Err(e) => refuse(part, &e.at(statement.span)),
    }
}

/// Checks a statement that was edited. Its places are those of the statement as a whole.
fn again(session: &Session, text: &str, span: Span) -> Result<Vec<String>, Error> {
    let statements: Vec<Statement> = parse_script(&SourceText::new("import", text))?;
    let mut found = Vec::new();
    for statement in &statements {
        let checked = session.check(statement).map_err(|e| {
            let plain = Error::new(e.kind(), e.message());
            let plain = e.hint().into_iter().fold(plain, |plain, hint| plain.with_hint(hint));
            plain.at(span)
        })?;
        found.extend(checked);
    }
    Ok(found)
}

/// Prefix of the options of the older HTTP connector.
const GID: &str = "gid.connector.";

/// The options of a table as they are here.
fn options(table: &CreateTable, part: &mut Part) -> Vec<(String, String)> {
    let text = |key: &str| table.options.iter().find(|o| o.key.value == key).map(|o| o.value.value.clone());
    let connector = text("connector").unwrap_or_default();
    let older = connector == "rest-lookup";
    let mut found: Vec<(String, String, Span)> = Vec::new();
    for OptionEntry { key, value, .. } in &table.options {
        let plain = key.value.strip_prefix(GID).unwrap_or(&key.value).to_string();
        let value = match plain.as_str() {
            "connector" if older => {
                note(part, NoteKind::How, "'rest-lookup' is 'http' here", None, key.span);
                "http".to_string()
            }
            "http.source.lookup.query-creator" if older => format!("http-{}", value.value),
            // The older connector has single braces, and a place of its own for each column.
            "url" if older => inserts(&value.value, text(&format!("{GID}http.request.url-map")).as_deref()),
            "http.request.url-map" if older => continue,
            _ => value.value.clone(),
        };
        found.push((plain, value, key.span));
    }
    let entries: Vec<OptionEntry> = found
        .iter()
        .map(|(key, value, span)| OptionEntry {
            key: crate::sql::Name { value: key.clone(), span: *span },
            value: crate::sql::Name { value: value.clone(), span: *span },
            written: None,
        })
        .collect();
    let known = match Options::from_entries(&entries) {
        Ok(options) if registry::named(&options).is_ok() => registry::definitions(&options),
        _ => return found.into_iter().map(|(key, value, _)| (key, value)).collect(),
    };
    let is_known = |key: &str| {
        known.iter().any(|d| match d.key.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => d.key == key,
        })
    };
    let mut kept = Vec::new();
    for (key, value, span) in found {
        if is_known(&key) {
            kept.push((key, value));
        } else {
            note(
                part,
                NoteKind::Lost,
                format!("option '{key}' is left out: it is not known here"),
                None,
                span,
            );
        }
    }
    kept
}

/// `{insert}` of the older connector as `{column}`.
fn inserts(url: &str, map: Option<&str>) -> String {
    let mut url = url.to_string();
    for pair in map.unwrap_or_default().split(',') {
        if let Some((column, insert)) = pair.trim().split_once(':') {
            url = url.replace(&format!("{{{}}}", insert.trim()), &format!("{{{}}}", column.trim()));
        }
    }
    url
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn imported(text: &str) -> Import {
        import(&Session::new().unwrap(), &SourceText::new("flink.sql", text))
    }

    #[test]
    fn a_file_of_flink() {
        let made = imported(
            "ADD JAR '/x.jar';
CREATE TABLE t (id STRING, p AS PROCTIME()) WITH ('connector' = 'datagen', 'scan.parallelism-of-flink' = '2');
CREATE TABLE d (id STRING, name STRING) WITH ('connector' = 'rest-lookup', 'url' = 'http://127.0.0.1:1/{key}',
  'gid.connector.http.request.url-map' = 'id:key', 'gid.connector.http.source.lookup.query-creator' = 'generic-json-url',
  'format' = 'json', 'asyncPolling' = 'true');
CREATE FUNCTION f AS 'com.example.F';
SELECT t.id, d.name FROM t JOIN d FOR SYSTEM_TIME AS OF t.p ON t.id = d.id;
",
        );
        let fates: Vec<Fate> = made.parts.iter().map(|p| p.fate).collect();
        assert_eq!(
            fates,
            [Fate::Refused, Fate::Translated, Fate::Translated, Fate::Refused, Fate::Taken],
            "{made:#?}"
        );
        assert!(made.sql.contains("-- Not here: connectors and functions are in the program: there are no jars\n-- ADD JAR '/x.jar';\n"), "{}", made.sql);
        assert!(
            made.sql.contains("WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:1/{id}', 'http.source.lookup.query-creator' = 'http-generic-json-url', 'format' = 'json', 'asyncPolling' = 'true')"),
            "{}",
            made.sql
        );
        // What was written runs.
        let session = Session::new().unwrap();
        for statement in parse_script(&SourceText::new("out.sql", &made.sql)).unwrap() {
            session.check(&statement).unwrap();
        }
    }

    #[test]
    fn settings_without_effect_are_listed() {
        let made = imported("SET 'table.exec.mini-batch.size' = '10';\nSELECT 1 AS x");
        assert_eq!(made.parts[0].fate, Fate::Taken);
        assert!(made.parts[0].notes[0].text.contains("has no effect"), "{:?}", made.parts[0]);
    }
}
