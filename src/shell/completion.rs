//! What Tab offers.
//!
//! Whatever the number of tables, the work is a look at the names once: what is offered is what is cloned.

mod options;

use std::collections::BTreeSet;

use super::command::COMMANDS;
use super::highlight::{KEYWORDS, is_keyword};
use crate::catalog::Registered;
use crate::catalog::options::{OptionDef, OptionKind};
use crate::config::SETTINGS;
use crate::session::Session;
use crate::sql::scan::{Piece, PieceKind, pieces};

/// The names that can be completed.
pub trait Names {
    /// Tables and views.
    fn tables(&self) -> Vec<String>;
    /// Columns of a table.
    fn columns(&self, table: &str) -> Vec<String>;
    /// Functions, upper case.
    fn functions(&self) -> Vec<String>;

    /// Columns of all tables that start so, in any case, each once.
    fn columns_starting(&self, prefix: &str) -> Vec<String> {
        let columns: BTreeSet<String> = self.tables().iter().flat_map(|t| self.columns(t)).collect();
        columns.into_iter().filter(|column| starts(column, prefix)).collect()
    }

    /// The options that a table was created with.
    fn table_options(&self, _table: &str) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Ids of jobs.
    fn job_ids(&self) -> Vec<String> {
        Vec::new()
    }

    /// Connectors and formats of the program.
    fn registered(&self) -> Registered {
        Registered::default()
    }
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

    fn columns_starting(&self, prefix: &str) -> Vec<String> {
        self.columns_where(|column| starts(column, prefix))
    }

    fn table_options(&self, table: &str) -> Vec<(String, String)> {
        self.options_of(table)
    }

    fn job_ids(&self) -> Vec<String> {
        self.jobs().iter().map(|job| job.id.to_string()).collect()
    }

    fn registered(&self) -> Registered {
        self.catalog().registered().clone()
    }
}

fn starts(word: &str, prefix: &str) -> bool {
    let mut word = word.chars().flat_map(char::to_lowercase);
    prefix.chars().flat_map(char::to_lowercase).all(|c| word.next() == Some(c))
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
            let (start, before) = (last.range.start + 1, &code[..code.len() - 1]);
            if is_path(text, before) {
                return paths(text, start);
            }
            if let Some(place) = options::place(text, before) {
                return (start, starting(place.words(names).into_iter(), &text[start..]));
            }
            let before: Vec<String> = before.iter().map(|p| word(p)).collect();
            (start, complete_setting(&before, &text[start..], names))
        }
        Some(last) if last.kind == PieceKind::Quoted && !last.closed => {
            let prefix = &text[last.range.start + 1..];
            let found = identifiers(text, &code[..code.len() - 1], names, prefix)
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

/// Whether the string that is being typed names a file: the value of a path, what FROM, JOIN, DESCRIBE or TO name.
fn is_path(text: &str, before: &[&Piece]) -> bool {
    let word = |p: &&Piece| text.get(p.range.clone()).unwrap_or_default().to_ascii_uppercase();
    match before {
        [.., key, equals] if word(equals) == "=" => word(key) == "'PATH'",
        [.., last] => ["FROM", "JOIN", "DESCRIBE", "DESC", "SUMMARIZE", "TO"].contains(&word(last).as_str()),
        [] => false,
    }
}

/// Files and folders that begin as the text from `start` does; the last part of the path is what is completed.
pub(crate) fn paths(text: &str, start: usize) -> (usize, Vec<String>) {
    let typed = text.get(start..).unwrap_or_default();
    let (folder, prefix) = typed.rsplit_once('/').map_or(("", typed), |(folder, prefix)| (folder, prefix));
    let place = match (folder, typed.starts_with('/')) {
        ("", true) => "/".to_string(),
        ("", false) => ".".to_string(),
        (folder, _) => match (folder.strip_prefix("~"), std::env::var("HOME")) {
            (Some(rest), Ok(home)) => format!("{home}{rest}"),
            _ => folder.to_string(),
        },
    };
    let Ok(entries) = std::fs::read_dir(place) else { return (text.len(), Vec::new()) };
    let mut found: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let mut name = entry.file_name().into_string().ok()?;
            // Hidden files are offered to those who ask for them.
            if !name.starts_with(prefix) || (name.starts_with('.') && !prefix.starts_with('.')) {
                return None;
            }
            if entry.path().is_dir() {
                name.push('/');
            }
            Some(name)
        })
        .collect();
    found.sort();
    (text.len() - prefix.len(), found)
}

fn complete_command(text: &str, names: &dyn Names) -> (usize, Vec<String>) {
    match text.split_once(' ') {
        Some(("\\i" | "\\o", _)) => paths(text, text.find(' ').map_or(text.len(), |at| at + 1)),
        None => (0, starting(COMMANDS.iter().map(|c| (*c).to_string()), text)),
        Some(("\\d", prefix)) => (text.len() - prefix.len(), starting(names.tables().into_iter(), prefix)),
        Some(("\\jobs", prefix)) => {
            (text.len() - prefix.len(), starting(names.job_ids().into_iter(), prefix))
        }
        Some(("\\x" | "\\pager", prefix)) => (text.len() - prefix.len(), words(&["on", "off"], prefix)),
        Some(("\\plot", rest)) => {
            let prefix = rest.rsplit(' ').next().unwrap_or_default();
            let first = rest.len() == prefix.len();
            let kinds = if first { words(&["bar", "line", "hist"], prefix) } else { Vec::new() };
            let columns = if first { Vec::new() } else { names.columns_starting(prefix) };
            (text.len() - prefix.len(), kinds.into_iter().chain(columns.iter().map(|c| bare(c))).collect())
        }
        Some(_) => (text.len(), Vec::new()),
    }
}

fn words(words: &[&str], prefix: &str) -> Vec<String> {
    starting(words.iter().map(|w| (*w).to_string()), prefix)
}

/// The values that an option of a kind can have, or else its default.
fn values(definition: &OptionDef) -> Vec<&'static str> {
    match definition.kind {
        OptionKind::Choice(words) => words.to_vec(),
        OptionKind::Bool => vec!["true", "false"],
        _ if definition.default.is_empty() => Vec::new(),
        _ => vec![definition.default],
    }
}

/// `SET 'key` and `SET 'key' = 'value`, `STOP JOB 'id`; `before` is upper case.
fn complete_setting(before: &[String], prefix: &str, names: &dyn Names) -> Vec<String> {
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    match before[..] {
        ["SET" | "RESET"] => starting(SETTINGS.iter().map(|s| s.key.to_string()), prefix),
        ["SET", key, "="] => {
            let key = key.trim_matches('\'').to_ascii_lowercase();
            words(&SETTINGS.iter().find(|s| s.key == key).map(values).unwrap_or_default(), prefix)
        }
        ["STOP" | "DESCRIBE" | "DESC", "JOB"] => starting(names.job_ids().into_iter(), prefix),
        _ => Vec::new(),
    }
}

fn complete_word(text: &str, start: usize, before: &[&Piece], names: &dyn Names) -> (usize, Vec<String>) {
    let prefix = &text[start..];
    let part = |p: &Piece| &text[p.range.clone()];
    let last = before.last().map(|p| part(p));
    if let Some(place) = options::place(text, before) {
        let found = starting(place.words(names).into_iter(), prefix);
        return (start, found.into_iter().map(|word| format!("'{}'", word.replace('\'', "''"))).collect());
    }
    if last == Some(".") {
        let columns = match before.len().checked_sub(2).map(|i| unquoted(part(before[i]))) {
            Some(table) if !names.columns(&table).is_empty() => names.columns(&table),
            _ => mentioned_columns(text, before, names, prefix),
        };
        return (start, starting(columns.into_iter().map(|c| bare(&c)), prefix));
    }
    let wants_table = last.is_some_and(|word| {
        ["FROM", "JOIN", "INTO", "DESCRIBE", "SUMMARIZE", "TABLE", "VIEW", "UPDATE", "CACHE", "LOOKUP"]
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
        starting(identifiers(text, before, names, prefix).into_iter().map(|n| bare(&n)), prefix);
    found.extend(starting(KEYWORDS.iter().map(|k| cased(k)), prefix));
    found.extend(starting(names.functions().iter().map(|f| cased(f)), prefix));
    let mut seen = BTreeSet::new();
    found.retain(|word| seen.insert(word.clone()));
    (start, found)
}

/// Tables, and the columns of those that the statement mentions.
fn identifiers(text: &str, code: &[&Piece], names: &dyn Names, prefix: &str) -> Vec<String> {
    let mut found = mentioned_columns(text, code, names, prefix);
    found.extend(names.tables());
    found
}

fn mentioned_columns(text: &str, code: &[&Piece], names: &dyn Names, prefix: &str) -> Vec<String> {
    let words: BTreeSet<String> = code
        .iter()
        .filter(|p| matches!(p.kind, PieceKind::Word | PieceKind::Quoted))
        .map(|p| unquoted(&text[p.range.clone()]))
        .collect();
    let mentioned: Vec<String> = names.tables().into_iter().filter(|t| words.contains(t)).collect();
    // SELECT comes before FROM: without any table yet, the columns of all are offered.
    if mentioned.is_empty() {
        return names.columns_starting(prefix);
    }
    let columns: BTreeSet<String> = mentioned.iter().flat_map(|t| names.columns(t)).collect();
    columns.into_iter().collect()
}

fn starting(words: impl Iterator<Item = String>, prefix: &str) -> Vec<String> {
    words.filter(|word| starts(word.trim_start_matches('`'), prefix)).collect()
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
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::format::FORMAT_NAMES;

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

        fn table_options(&self, table: &str) -> Vec<(String, String)> {
            let options: &[(&str, &str)] = match table {
                "sensor_info" => &[("connector", "http"), ("format", "json")],
                _ => &[],
            };
            options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
        }

        fn job_ids(&self) -> Vec<String> {
            vec!["1".into(), "12".into()]
        }
    }

    fn offered(text: &str) -> (usize, Vec<String>) {
        complete(text, &Fixture)
    }

    #[test]
    fn words() {
        assert_eq!(offered("sel"), (0, vec!["select".into()]));
        assert_eq!(offered("SELECT 1; SEL"), (10, vec!["SELECT".into()]));
        assert_eq!(offered("SELECT su"), (7, vec!["summarize".into(), "substring".into(), "sum".into()]));
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
    fn options_of_connectors() {
        let with = |text: &str| offered(&format!("CREATE TABLE t (id INT) WITH ({text}")).1;
        assert_eq!(with(""), ["'connector'"]);
        assert_eq!(with("'con"), ["connector"]);
        assert_eq!(with("'connector' = 'data"), ["datagen"]);
        assert_eq!(with("'connector' = 'http', 'form"), ["format"]);
        assert_eq!(with("'connector' = 'filesystem', 'format' = '"), FORMAT_NAMES);
        assert_eq!(
            with("'connector' = 'filesystem', 'format' = 'json', 'json.ig"),
            ["json.ignore-parse-errors"]
        );
        assert_eq!(with("'connector' = 'http', 'lookup.cache' = 'p"), ["PARTIAL"]);
        assert_eq!(with("'connector' = 'http', 'lookup.cache' = "), ["'NONE'", "'PARTIAL'", "'FULL'"]);
        assert_eq!(with("'connector' = 'http', 'asy"), ["asyncPolling", "async"]);
        assert!(with("'connector' = 'datagen', 'lookup").is_empty());
        assert!(with("'connector' = 'http', 'connector").is_empty(), "given already");
        assert!(with("'connector' 'x").is_empty(), "no place for a word");
        assert_eq!(with("'connector' = 'http', 'lookup.max-retries' = '"), ["3"], "the default");
        // WITH of a query is another one.
        assert_eq!(offered("WITH (").1, Vec::<String>::new());
    }

    #[test]
    fn options_in_hints() {
        let hint = |text: &str| offered(&format!("SELECT * FROM sensor_info /*+ OPTIONS({text}")).1;
        assert_eq!(hint("'lookup.on-error.t"), ["lookup.on-error.timeout"]);
        assert_eq!(hint("'lookup.on-error' = '"), ["fail", "null", "drop", "stale", "dead-letter"]);
        assert!(hint("'conn").is_empty(), "the connector stays");
        let lookup = |text: &str| offered(&format!("SELECT /*+ LOOKUP({text}")).1;
        assert_eq!(lookup("'out"), ["output-mode"]);
        assert_eq!(lookup("'table' = 'sen"), ["sensor_info"]);
        assert_eq!(lookup("'table' = 'x', 'output-mode' = 'a"), ["allow_unordered"]);
        let ttl = offered("SELECT /*+ STATE_TTL('temp").1;
        assert_eq!(ttl, ["temperatures"]);
        assert!(offered("SELECT * FROM t /*+ OPTIONS('a' = 'b') */ WHERE ('con").1.is_empty());
    }

    #[test]
    fn jobs() {
        assert_eq!(offered("STOP JOB '1"), (10, vec!["1".into(), "12".into()]));
        assert_eq!(offered("DESCRIBE JOB '12").1, ["12"]);
        assert_eq!(offered("CLEAR CACHE sen").1, ["sensor_info"]);
        assert_eq!(offered("EXPLAIN LOOKUP sen").1, ["sensor_info"]);
        assert_eq!(offered("\\jobs "), (6, vec!["1".into(), "12".into()]));
    }

    /// A thousand tables of twenty columns; counts what is asked of them.
    #[derive(Default)]
    struct Many {
        asked: std::cell::Cell<(usize, usize, usize)>,
    }

    impl Names for Many {
        fn tables(&self) -> Vec<String> {
            let (tables, columns, all) = self.asked.get();
            self.asked.set((tables + 1, columns, all));
            (0..1000).map(|i| format!("table_{i}")).collect()
        }

        fn columns(&self, table: &str) -> Vec<String> {
            let (tables, columns, all) = self.asked.get();
            self.asked.set((tables, columns + 1, all));
            let count = if table.starts_with("table_") { 20 } else { 0 };
            (0..count).map(|i| format!("{table}_column_{i}")).collect()
        }

        fn functions(&self) -> Vec<String> {
            Vec::new()
        }

        fn columns_starting(&self, prefix: &str) -> Vec<String> {
            let (tables, columns, all) = self.asked.get();
            self.asked.set((tables, columns, all + 1));
            vec![format!("{prefix}x")]
        }
    }

    #[test]
    fn many_tables_are_looked_at_a_fixed_number_of_times() {
        for (text, most) in [
            ("SELECT tab", (2, 0, 1)),
            ("SELECT * FROM ", (1, 0, 0)),
            ("SELECT * FROM table_7 WHERE tab", (2, 1, 0)),
            ("SELECT t.", (1, 1, 1)),
            ("SELECT table_7.table_7_c", (1, 2, 0)),
            ("SELECT * FROM table_7 /*+ OPTIONS('", (0, 0, 0)),
            ("SELECT * FROM `tab", (2, 0, 1)),
            ("CREATE TABLE t WITH ('connector' = '", (0, 0, 0)),
        ] {
            let names = Many::default();
            let (_, found) = complete(text, &names);
            assert!(found.len() <= 1100, "{text}");
            let (tables, columns, all) = names.asked.get();
            assert!(
                tables <= most.0 && columns <= most.1 && all <= most.2,
                "{text}: {:?}",
                names.asked.get()
            );
        }
    }

    #[test]
    fn paths_of_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rows.json"), "").unwrap();
        std::fs::write(folder.path().join(".hidden"), "").unwrap();
        std::fs::create_dir(folder.path().join("rest")).unwrap();
        let at = folder.path().display().to_string();
        let session = Session::new().unwrap();
        for text in [
            format!("CREATE TABLE t WITH ('connector' = 'filesystem', 'path' = '{at}/r"),
            format!("SELECT * FROM '{at}/r"),
            format!("\\i {at}/r"),
        ] {
            let (start, found) = complete(&text, &session);
            assert_eq!(
                (&text[start..], found),
                ("r", vec!["rest/".to_string(), "rows.json".to_string()]),
                "{text}"
            );
        }
    }

    #[test]
    fn commands() {
        assert_eq!(offered("\\t"), (0, vec!["\\timing".into()]));
        assert_eq!(offered("\\x o"), (3, vec!["on".into(), "off".into()]));
        assert_eq!(offered("\\plot h"), (6, vec!["hist".into()]));
        assert_eq!(offered("\\plot bar bra"), (10, vec!["brand".into()]));
        assert_eq!(offered("\\d se"), (3, vec!["sensor_info".into()]));
    }
}
