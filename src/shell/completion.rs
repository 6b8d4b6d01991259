//! What Tab offers.

use std::collections::BTreeSet;

use super::command::COMMANDS;
use super::highlight::{KEYWORDS, is_keyword};
use crate::catalog::options::OptionKind;
use crate::cli::scan::{Piece, PieceKind, pieces};
use crate::config::SETTINGS;
use crate::session::Session;

/// The names that can be completed.
pub trait Names {
    /// Tables and views.
    fn tables(&self) -> Vec<String>;
    /// Columns of a table.
    fn columns(&self, table: &str) -> Vec<String>;
    /// Functions, upper case.
    fn functions(&self) -> Vec<String>;
}

impl Names for Session {
    fn tables(&self) -> Vec<String> {
        self.table_names()
    }

    fn columns(&self, table: &str) -> Vec<String> {
        self.column_names(table)
    }

    fn functions(&self) -> Vec<String> {
        self.function_names()
    }
}

/// Where the completed word starts, and what it can be. `text` ends at the cursor.
pub fn complete(text: &str, names: &dyn Names) -> (usize, Vec<String>) {
    if text.starts_with('\\') {
        return complete_command(text, names);
    }
    let all = pieces(text);
    // The statement that the cursor is in.
    let begin = all.iter().rposition(|p| &text[p.range.clone()] == ";").map_or(0, |i| i + 1);
    let pieces = &all[begin..];
    let code: Vec<&Piece> =
        pieces.iter().filter(|p| !matches!(p.kind, PieceKind::Space | PieceKind::Comment)).collect();
    let word = |p: &Piece| text[p.range.clone()].to_ascii_uppercase();
    match pieces.last() {
        Some(last) if last.kind == PieceKind::Comment => (text.len(), Vec::new()),
        Some(last) if last.kind == PieceKind::String && !last.closed => {
            let start = last.range.start + 1;
            let before: Vec<String> = code[..code.len() - 1].iter().map(|p| word(p)).collect();
            (start, complete_setting(&before, &text[start..]))
        }
        Some(last) if last.kind == PieceKind::Quoted && !last.closed => {
            let prefix = &text[last.range.start + 1..];
            let found = identifiers(text, &code[..code.len() - 1], names)
                .into_iter()
                .filter(|name| name.starts_with(prefix))
                .map(|name| quoted(&name));
            (last.range.start, found.collect())
        }
        Some(last) if last.kind == PieceKind::Word => {
            complete_word(text, last.range.start, &code[..code.len() - 1], names)
        }
        _ => complete_word(text, text.len(), &code, names),
    }
}

fn complete_command(text: &str, names: &dyn Names) -> (usize, Vec<String>) {
    match text.split_once(' ') {
        None => (0, starting(COMMANDS.iter().map(|c| (*c).to_string()), text)),
        Some(("\\d", prefix)) => (text.len() - prefix.len(), starting(names.tables().into_iter(), prefix)),
        Some(_) => (text.len(), Vec::new()),
    }
}

/// `SET 'key` and `SET 'key' = 'value`; `before` is upper case.
fn complete_setting(before: &[String], prefix: &str) -> Vec<String> {
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    match before[..] {
        ["SET" | "RESET"] => starting(SETTINGS.iter().map(|s| s.key.to_string()), prefix),
        ["SET", key, "="] => {
            let key = key.trim_matches('\'').to_ascii_lowercase();
            let values = match SETTINGS.iter().find(|s| s.key == key).map(|s| s.kind) {
                Some(OptionKind::Choice(values)) => values,
                Some(OptionKind::Bool) => &["true", "false"],
                _ => &[],
            };
            starting(values.iter().map(|v| (*v).to_string()), prefix)
        }
        _ => Vec::new(),
    }
}

fn complete_word(text: &str, start: usize, before: &[&Piece], names: &dyn Names) -> (usize, Vec<String>) {
    let prefix = &text[start..];
    let part = |p: &Piece| &text[p.range.clone()];
    let last = before.last().map(|p| part(p));
    if last == Some(".") {
        let columns = match before.len().checked_sub(2).map(|i| unquoted(part(before[i]))) {
            Some(table) if !names.columns(&table).is_empty() => names.columns(&table),
            _ => mentioned_columns(text, before, names),
        };
        return (start, starting(columns.into_iter().map(|c| bare(&c)), prefix));
    }
    let wants_table = last.is_some_and(|word| {
        ["FROM", "JOIN", "INTO", "DESCRIBE", "TABLE", "VIEW", "UPDATE"]
            .iter()
            .any(|k| word.eq_ignore_ascii_case(k))
    });
    if wants_table {
        return (start, starting(names.tables().into_iter().map(|t| bare(&t)), prefix));
    }
    if prefix.is_empty() {
        return (start, Vec::new());
    }
    let lower = prefix.chars().all(|c| !c.is_uppercase());
    let cased = |word: &str| if lower { word.to_ascii_lowercase() } else { word.to_string() };
    let mut found: Vec<String> =
        starting(identifiers(text, before, names).into_iter().map(|n| bare(&n)), prefix);
    found.extend(starting(KEYWORDS.iter().map(|k| cased(k)), prefix));
    found.extend(starting(names.functions().iter().map(|f| cased(f)), prefix));
    let mut seen = BTreeSet::new();
    found.retain(|word| seen.insert(word.clone()));
    (start, found)
}

/// Tables, and the columns of those that the statement mentions.
fn identifiers(text: &str, code: &[&Piece], names: &dyn Names) -> Vec<String> {
    let mut found = mentioned_columns(text, code, names);
    found.extend(names.tables());
    found
}

fn mentioned_columns(text: &str, code: &[&Piece], names: &dyn Names) -> Vec<String> {
    let words: BTreeSet<String> = code
        .iter()
        .filter(|p| matches!(p.kind, PieceKind::Word | PieceKind::Quoted))
        .map(|p| unquoted(&text[p.range.clone()]))
        .collect();
    let mentioned: Vec<String> = names.tables().into_iter().filter(|t| words.contains(t)).collect();
    // SELECT stands before FROM: without any table yet, the columns of all are offered.
    let tables = if mentioned.is_empty() { names.tables() } else { mentioned };
    let columns: BTreeSet<String> = tables.iter().flat_map(|t| names.columns(t)).collect();
    columns.into_iter().collect()
}

fn starting(words: impl Iterator<Item = String>, prefix: &str) -> Vec<String> {
    let prefix = prefix.to_lowercase();
    words.filter(|w| w.trim_start_matches('`').to_lowercase().starts_with(&prefix)).collect()
}

fn unquoted(word: &str) -> String {
    match word.strip_prefix('`').and_then(|w| w.strip_suffix('`')) {
        Some(inside) => inside.replace("``", "`"),
        None => word.to_string(),
    }
}

/// A name as it is written in SQL: quoted where it must be.
fn bare(name: &str) -> String {
    let simple = name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if simple && !is_keyword(name) { name.to_string() } else { quoted(name) }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture;

    impl Names for Fixture {
        fn tables(&self) -> Vec<String> {
            vec!["sensor_info".into(), "temperatures".into()]
        }

        fn columns(&self, table: &str) -> Vec<String> {
            let columns: &[&str] = match table {
                "sensor_info" => &["id", "brand"],
                "temperatures" => &["sensorId", "timestamp", "a b"],
                _ => &[],
            };
            columns.iter().map(|c| (*c).to_string()).collect()
        }

        fn functions(&self) -> Vec<String> {
            vec!["SUBSTRING".into(), "SUM".into()]
        }
    }

    fn offered(text: &str) -> (usize, Vec<String>) {
        complete(text, &Fixture)
    }

    #[test]
    fn words() {
        assert_eq!(offered("sel"), (0, vec!["select".into()]));
        assert_eq!(offered("SELECT 1; SEL"), (10, vec!["SELECT".into()]));
        assert_eq!(offered("SELECT su"), (7, vec!["substring".into(), "sum".into()]));
        assert_eq!(offered("SELECT * FROM "), (14, vec!["sensor_info".into(), "temperatures".into()]));
        assert_eq!(offered("SELECT * FROM t"), (14, vec!["temperatures".into()]));
        assert_eq!(offered("SELECT "), (7, vec![]));
        assert_eq!(offered("-- sel"), (6, vec![]));
        assert_eq!(offered("SELECT 'sel"), (8, vec![]));
    }

    #[test]
    fn columns() {
        assert_eq!(offered("SELECT sensori"), (7, vec!["sensorId".into()]), "case is kept");
        assert_eq!(offered("SELECT sensor_info."), (19, vec!["id".into(), "brand".into()]));
        assert_eq!(
            offered("SELECT * FROM temperatures t WHERE t."),
            (37, vec!["`a b`".into(), "sensorId".into(), "`timestamp`".into()])
        );
        assert_eq!(offered("SELECT `a"), (7, vec!["`a b`".into()]));
    }

    #[test]
    fn settings() {
        assert_eq!(offered("SET 'enr"), (5, vec!["enrichment.strategy".into()]));
        assert_eq!(offered("RESET 'enr"), (7, vec!["enrichment.strategy".into()]));
        assert_eq!(offered("SET 'enrichment.strategy' = 'c"), (29, vec!["CACHED".into()]));
        assert_eq!(offered("SET 'table.dml-sync' = '").1, ["true", "false"]);
    }

    #[test]
    fn commands() {
        assert_eq!(offered("\\t"), (0, vec!["\\timing".into()]));
        assert_eq!(offered("\\d se"), (3, vec!["sensor_info".into()]));
    }
}
