//! Help while a cell is written: completion, inspection, and whether the text is complete.
//!
//! Places in a cell are counted in characters by the notebook and in bytes here.

use crate::catalog::options::OptionDef;
use crate::config::SETTINGS;
use crate::connector::registry::{connector, connector_names};
use crate::session::{Response, Session};
use crate::shell::completion::{self, Names};
use crate::sql::scan::{PieceKind, pieces};

use super::directive::{CHART_ARGUMENTS, DIRECTIVES, MARK, MARKS};
use super::rows;

/// What is possible at a place, and which characters it replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The words.
    pub matches: Vec<String>,
    /// First replaced character.
    pub start: usize,
    /// Behind the last one.
    pub end: usize,
}

/// The byte of a character; the end where there are not so many.
fn byte_of(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(i, _)| i)
}

/// What is possible at the cursor.
pub fn complete(code: &str, cursor: usize, names: &dyn Names) -> Completion {
    let before = &code[..byte_of(code, cursor)];
    let (start, matches) = match directive_line(before) {
        Some(line) => complete_directive(before, line),
        // What begins with a backslash is a command in the shell, and nothing here.
        None if before.starts_with('\\') => (before.len(), Vec::new()),
        None => completion::complete(before, names),
    };
    Completion { matches, start: before[..start].chars().count(), end: before.chars().count() }
}

/// Where the directive begins that a text ends in.
fn directive_line(text: &str) -> Option<usize> {
    let last = pieces(text).pop()?;
    let inside = last.kind == PieceKind::Comment && text[last.range.clone()].starts_with(MARK);
    inside.then_some(last.range.start)
}

fn complete_directive(text: &str, line: usize) -> (usize, Vec<String>) {
    let body = &text[line + MARK.len()..];
    let start = text.rfind(char::is_whitespace).map_or(0, |i| i + 1).max(line + MARK.len());
    let prefix = &text[start..];
    let starting = |words: &mut dyn Iterator<Item = String>| -> Vec<String> {
        words.filter(|w| w.starts_with(prefix)).collect()
    };
    let words: Vec<&str> = body[..start - line - MARK.len()].split_whitespace().collect();
    let matches = match words[..] {
        [] => starting(&mut DIRECTIVES.iter().map(|d| d.0.to_string())),
        ["chart"] => starting(&mut MARKS.iter().map(|m| m.0.to_string())),
        ["arrow"] => return completion::paths(text, start),
        ["chart", _, ..] => {
            let given = |key: &str| words.iter().any(|w| w.split('=').next() == Some(key));
            starting(&mut CHART_ARGUMENTS.iter().filter(|a| !given(a)).map(|a| format!("{a}=")))
        }
        _ => Vec::new(),
    };
    (start, matches)
}

/// What there is to know of the word at the cursor: as text and, for tables, as HTML.
pub fn inspect(code: &str, cursor: usize, session: &Session) -> Option<(String, Option<String>)> {
    let at = byte_of(code, cursor);
    let pieces = pieces(code);
    let named =
        |kind| matches!(kind, PieceKind::Word | PieceKind::Quoted | PieceKind::String | PieceKind::Comment);
    // The word that the cursor is in, or just after.
    let piece =
        pieces.iter().find(|p| named(p.kind) && p.range.start <= at && at < p.range.end).or_else(|| {
            pieces.iter().rev().find(|p| named(p.kind) && p.range.start <= at && at <= p.range.end)
        })?;
    let text = &code[piece.range.clone()];
    match piece.kind {
        PieceKind::Comment => {
            let name = text.strip_prefix(MARK)?.split_whitespace().next()?;
            let (name, arguments, doc) = DIRECTIVES.iter().find(|d| d.0 == name)?;
            Some((format!("{MARK}{name} {arguments}\n{doc}"), None))
        }
        PieceKind::String => option_help(text.trim_matches('\'')).map(|help| (help, None)),
        PieceKind::Quoted => {
            let quote = text.chars().next()?;
            let inside = text.trim_matches(quote);
            name_help(&inside.replace(&format!("{quote}{quote}"), &quote.to_string()), session)
        }
        _ => name_help(text, session),
    }
}

/// What a setting or an option of a table means.
fn option_help(key: &str) -> Option<String> {
    let line = |what: &str, option: &OptionDef| {
        let default =
            if option.default.is_empty() { String::new() } else { format!(", default {}", option.default) };
        format!("{} ({what}{default})\n{}", option.key, option.doc)
    };
    if let Some(setting) = SETTINGS.iter().find(|s| s.key.eq_ignore_ascii_case(key)) {
        return Some(line("setting", setting));
    }
    if let Ok(found) = connector(key) {
        return Some(format!("connector '{}': {}", found.name(), found.doc()));
    }
    let connectors = connector_names().filter_map(|name| connector(name).ok());
    let lines: Vec<String> = connectors
        .flat_map(|c| c.options().iter().filter(|o| o.key == key).map(move |o| (c.name(), o)))
        .map(|(name, option)| line(&format!("option of connector '{name}'"), option))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn name_help(name: &str, session: &Session) -> Option<(String, Option<String>)> {
    let quoted = name.replace('`', "``");
    if session.table_names().iter().any(|t| t == name) {
        let Ok(Response::Table(columns)) = session.sql(&format!("DESCRIBE `{quoted}`")) else { return None };
        let (html, text) = rows::whole(&columns).ok()?;
        return Some((text, Some(html)));
    }
    if let Some(help) = session.function_help(name) {
        return Some((help, None));
    }
    let tables: Vec<String> = session
        .table_names()
        .into_iter()
        .filter(|t| session.column_names(t).iter().any(|c| c == name))
        .collect();
    (!tables.is_empty()).then(|| (format!("{name}: column of {}", tables.join(", ")), None))
}

/// Whether Enter runs a text in a console.
pub fn is_complete(code: &str) -> bool {
    let mut pieces = pieces(code).into_iter();
    crate::sql::is_complete(code) || pieces.all(|p| matches!(p.kind, PieceKind::Space | PieceKind::Comment))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn session() -> Session {
        let session = Session::new().unwrap();
        session
            .sql("CREATE TABLE `größe` (id INT, `näme` STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '1')")
            .unwrap();
        session
    }

    #[test]
    fn places_are_characters() {
        let session = session();
        let code = "SELECT 'größe', nä FROM `größe`";
        let found = complete(code, 18, &session);
        assert_eq!(found, Completion { matches: vec!["näme".into()], start: 16, end: 18 });
        assert_eq!(complete("SEL", 99, &session).matches, ["SELECT"]);
        assert_eq!(complete("\\d", 2, &session).matches, [""; 0]);
    }

    #[test]
    fn directives_are_completed() {
        let session = session();
        let matches = |code: &str| complete(code, code.chars().count(), &session).matches;
        assert_eq!(matches("--%ch"), ["chart"]);
        assert_eq!(matches("SELECT 1;\n--%chart l"), ["line"]);
        assert_eq!(matches("--%chart line x=a c"), ["color="]);
        assert_eq!(matches("--%chart line x=a y"), ["y="]);
        assert_eq!(complete("--%chart line x=ä ti", 20, &session).start, 18);
        assert_eq!(matches("-- ch"), [""; 0]);
    }

    #[test]
    fn the_word_at_the_cursor_is_found() {
        let session = session();
        let text = |code: &str, at: usize| inspect(code, at, &session).map(|found| found.0);
        assert_eq!(text("SELECT left(x)", 9).as_deref(), Some("LEFT(STRING, an integer) -> STRING"));
        assert!(text("SELECT COUNT(*)", 12).unwrap().starts_with("COUNT("));
        let (table, html) = inspect("DESCRIBE `größe`", 12, &session).unwrap();
        assert!(table.contains("näme") && html.unwrap().contains("<table"), "{table}");
        assert_eq!(text("SELECT `näme`", 13).as_deref(), Some("näme: column of größe"));
        assert!(text("SET 'pipeline.name' = ''", 8).unwrap().starts_with("pipeline.name (setting)\n"));
        assert!(text("WITH ('rows-per-second' = '1')", 10).unwrap().contains("connector 'datagen', default"));
        assert!(text("WITH ('connector' = 'http')", 22).unwrap().starts_with("connector 'http': "));
        assert!(text("--%chart line", 5).unwrap().starts_with("--%chart line|bar"));
        assert_eq!(text("SELECT nothing_known", 10), None);
        assert_eq!(text("", 3), None);
    }

    #[test]
    fn complete_texts() {
        assert!(is_complete("SELECT 1;") && is_complete("  -- a\n") && is_complete(""));
        assert!(!is_complete("SELECT 1") && !is_complete("SELECT ';"));
    }
}
