//! What the first answers of an API look like: a wrong URL or shape is all NULL otherwise, without a word.
//!
//! The first [`FIRST`] answers of each lookup are looked at. Declared columns that are in none of them are
//! reported once, with the names that the body does have and what to do; so is an answer for another key.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde_json::value::RawValue;

use crate::nearest::nearest;

/// Answers that are looked at.
const FIRST: u32 = 100;
/// Names that a message shows.
const SHOWN: usize = 8;

type Members<'a> = std::collections::HashMap<std::borrow::Cow<'a, str>, &'a RawValue>;

#[derive(Debug, Default)]
struct Seen {
    answers: u32,
    /// Names of the fields of all objects.
    names: BTreeSet<String>,
    /// Fields that hold an object or array with declared columns.
    wrappers: BTreeSet<String>,
}

/// Looks at the answers of one table.
#[derive(Debug)]
pub(super) struct Watch {
    table: String,
    /// Columns that the query reads.
    columns: Vec<String>,
    has_pointer: bool,
    done: AtomicBool,
    foreign: AtomicBool,
    seen: Mutex<Seen>,
}

impl Watch {
    pub(super) fn new(table: &str, columns: Vec<String>, has_pointer: bool) -> Self {
        Self {
            table: table.to_string(),
            columns,
            has_pointer,
            done: AtomicBool::new(false),
            foreign: AtomicBool::new(false),
            seen: Mutex::default(),
        }
    }

    /// Looks at the value that rows were decoded from.
    pub(super) fn look(&self, value: &[u8]) {
        if self.done.load(Ordering::Relaxed) {
            return;
        }
        let mut seen = self.seen.lock();
        seen.answers += 1;
        for object in objects(value) {
            let Ok(members) = serde_json::from_str::<Members<'_>>(object.get()) else { continue };
            for (name, value) in members {
                if objects(value.get().as_bytes()).into_iter().any(|inner| self.knows_some(inner)) {
                    seen.wrappers.insert(name.to_string());
                }
                if seen.names.len() < 1000 {
                    seen.names.insert(name.into_owned());
                }
            }
        }
        if seen.answers >= FIRST {
            self.judge(&seen);
        }
    }

    fn knows_some(&self, object: &RawValue) -> bool {
        serde_json::from_str::<Members<'_>>(object.get())
            .is_ok_and(|members| self.columns.iter().any(|c| members.contains_key(c.as_str())))
    }

    /// Says that an answer had rows of another key, once.
    pub(super) fn foreign(&self, asked: &str, found: &str, url: &str) {
        if !self.foreign.swap(true, Ordering::Relaxed) {
            log::warn!(
                "table '{}': asked for {asked}, the API also answered with {found}; rows of another key are left \
                 out ({url}). Does the url carry the whole key?",
                self.table
            );
        }
    }

    fn judge(&self, seen: &Seen) {
        if self.done.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(warning) = self.warning(seen) {
            log::warn!("{warning}");
        }
    }

    fn warning(&self, seen: &Seen) -> Option<String> {
        if seen.names.is_empty() {
            return None;
        }
        let missing: Vec<&str> =
            self.columns.iter().map(String::as_str).filter(|c| !seen.names.contains(*c)).collect();
        let names: Vec<String> = seen.names.iter().take(SHOWN).map(|n| format!("'{n}'")).collect();
        let more = if seen.names.len() > SHOWN { ", ..." } else { "" };
        let names = format!("{}{more}", names.join(", "));
        let count = match seen.answers {
            1 => "the first answer".to_string(),
            n => format!("the first {n} answers"),
        };
        let table = &self.table;
        // Without anything around the rows the names are what is wrong; only those that the query reads are known here.
        let framed = !seen.wrappers.is_empty() || self.has_pointer;
        if missing.len() == self.columns.len() && !missing.is_empty() && framed {
            let what = match seen.wrappers.iter().next() {
                Some(wrapper) if !self.has_pointer => {
                    format!("set 'http.source.lookup.result-pointer' = '/{wrapper}'")
                }
                _ => "check 'http.source.lookup.result-pointer' and the names".to_string(),
            };
            return Some(format!(
                "table '{table}': none of its columns is in {count}; the body has {names}: {what}"
            ));
        }
        if missing.is_empty() {
            return None;
        }
        let near = missing.iter().find_map(|m| {
            let others =
                seen.names.iter().map(String::as_str).filter(|n| !self.columns.iter().any(|c| c == n));
            Some(format!(" ('{m}' may be '{}')", nearest(m, others)?))
        });
        let missing: Vec<String> = missing.iter().map(|m| format!("'{m}'")).collect();
        let (column, is) = if missing.len() == 1 { ("column", "is") } else { ("columns", "are") };
        Some(format!(
            "table '{table}': {column} {} {is} in none of {count}, and so NULL; the body has {names}{}",
            missing.join(", "),
            near.unwrap_or_default()
        ))
    }
}

impl Watch {
    /// There are no more answers.
    pub(super) fn ended(&self) {
        let seen = std::mem::take(&mut *self.seen.lock());
        if seen.answers > 0 {
            self.judge(&seen);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended();
    }
}

/// The object, or the first objects of an array.
fn objects(value: &[u8]) -> Vec<&RawValue> {
    let value = value.trim_ascii();
    match value.first() {
        Some(b'{') => serde_json::from_slice(value).map(|object| vec![object]).unwrap_or_default(),
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_slice(value).unwrap_or_default();
            items.into_iter().filter(|item| item.get().starts_with('{')).take(20).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(columns: &[&str], answers: &[&str]) -> Option<String> {
        let watch = Watch::new("rates", columns.iter().map(ToString::to_string).collect(), false);
        answers.iter().for_each(|answer| watch.look(answer.as_bytes()));
        let seen = std::mem::take(&mut *watch.seen.lock());
        watch.warning(&seen)
    }

    #[test]
    fn a_wrapped_row_is_seen_with_its_remedy() {
        let found = warning(&["cur", "rate"], &[r#"{"data":{"cur":"EUR","rate":1},"meta":{}}"#]);
        assert_eq!(
            found.as_deref(),
            Some(
                "table 'rates': none of its columns is in the first answer; the body has 'data', 'meta': \
                 set 'http.source.lookup.result-pointer' = '/data'"
            )
        );
        let found = warning(&["cur"], &[r#"{"items":[{"cur":"EUR"}]}"#, "{}"]);
        assert!(found.is_some_and(|w| w.contains("result-pointer' = '/items'")));
    }

    #[test]
    fn a_misspelt_column_is_named() {
        let found = warning(&["cur", "raet"], &[r#"{"cur":"EUR","rate":1}"#, r#"[{"cur":"USD"}]"#]);
        assert_eq!(
            found.as_deref(),
            Some(
                "table 'rates': column 'raet' is in none of the first 2 answers, and so NULL; the body has \
                 'cur', 'rate' ('raet' may be 'rate')"
            )
        );
        // A query that reads one column says nothing of the others.
        let found = warning(&["nmae"], &[r#"{"id":1,"name":"n1"}"#]);
        assert!(found.is_some_and(|w| w.contains("column 'nmae' is in none of the first answer")
            && w.ends_with("('nmae' may be 'name')")));
        assert_eq!(warning(&["cur", "rate"], &[r#"{"cur":"EUR"}"#, r#"{"rate":1}"#]), None);
        assert_eq!(warning(&["cur"], &["not json", "7"]), None);
    }
}
