//! Options of tables and hints: which list of keys and values the cursor is in, and what is possible there.

use super::{Names, unquoted, values};
use crate::catalog::Options;
use crate::catalog::options::OptionDef;
use crate::connector::registry;
use crate::format::Format;
use crate::lookup::config::HINT_OPTIONS;
use crate::sql::scan::{Piece, PieceKind};

/// A list of `'key' = 'value'`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum List {
    /// `CREATE TABLE ... WITH (`; whether the table declares a watermark.
    With { watermark: bool },
    /// `t /*+ OPTIONS(`
    Options(String),
    /// `/*+ LOOKUP(`
    Lookup,
    /// `/*+ STATE_TTL(`
    StateTtl,
}

/// A place in a list where a word is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    list: List,
    /// What the list has so far.
    given: Vec<(String, String)>,
    /// The key whose value is missing; `None`: a key is.
    key: Option<String>,
}

/// The place behind `code`, if it is in such a list and a word is missing there.
pub fn place(text: &str, code: &[&Piece]) -> Option<Place> {
    let part = |i: usize| &text[code[i].range.clone()];
    let is = |i: usize, word: &str| part(i).eq_ignore_ascii_case(word);
    let mut depth = 0;
    let open = (0..code.len()).rev().find(|&i| {
        match part(i) {
            ")" => depth += 1,
            "(" if depth == 0 => return true,
            "(" => depth -= 1,
            _ => {}
        }
        false
    })?;
    let word = open.checked_sub(1)?;
    let hint = || (0..word).rev().find(|&i| part(i) == "/*+");
    let list = match part(word).to_ascii_uppercase().as_str() {
        "WITH" if is(0, "CREATE") => List::With { watermark: (0..word).any(|i| is(i, "WATERMARK")) },
        "OPTIONS" => List::Options(unquoted(part(hint()?.checked_sub(1)?))),
        "LOOKUP" if hint().is_some() => List::Lookup,
        "STATE_TTL" if hint().is_some() => List::StateTtl,
        _ => return None,
    };
    let string = |i: usize| {
        let inside = part(i).strip_prefix('\'')?.strip_suffix('\'')?;
        (code[i].kind == PieceKind::String).then(|| inside.replace("''", "'"))
    };
    let mut given = Vec::new();
    let mut from = open + 1;
    for comma in (open + 1..code.len()).filter(|&i| part(i) == ",") {
        if let (true, Some(key), Some(value)) = (comma == from + 3, string(from), string(comma - 1)) {
            given.push((key, value));
        }
        from = comma + 1;
    }
    let key = match code.len() - from {
        0 => None,
        2 if part(from + 1) == "=" => Some(string(from)?),
        _ => return None,
    };
    Some(Place { list, given, key })
}

impl Place {
    /// What is possible there.
    pub fn words(&self, names: &dyn Names) -> Vec<String> {
        let (definitions, fixed) = self.definitions(names);
        match &self.key {
            Some(key) => self.values(key, &definitions, names),
            None if self.list == List::StateTtl => names.tables(),
            None => {
                let free = |key: &&str| !fixed.contains(key) && !self.given.iter().any(|(k, _)| k == key);
                let keys = definitions.iter().map(|d| d.key.trim_end_matches('*')).filter(free);
                keys.map(str::to_string).collect()
            }
        }
    }

    /// The options that the list can have, and keys that it cannot change.
    fn definitions(&self, names: &dyn Names) -> (Vec<&'static OptionDef>, &'static [&'static str]) {
        let known = |pairs: &[(String, String)]| {
            let mut options = Options::default().with_registered(&names.registered());
            pairs.iter().for_each(|(key, value)| options.set(key, value, Default::default()));
            registry::definitions(&options)
        };
        match &self.list {
            List::With { watermark } => {
                let mut all = known(&self.given);
                all.retain(|d| *watermark || !d.key.starts_with("scan.watermark."));
                (all, &[])
            }
            List::Options(table) => {
                let mut pairs = names.table_options(table);
                pairs.extend(self.given.iter().cloned());
                (known(&pairs), &["connector"])
            }
            List::Lookup => (HINT_OPTIONS.iter().collect(), &[]),
            List::StateTtl => (Vec::new(), &[]),
        }
    }

    fn values(&self, key: &str, definitions: &[&'static OptionDef], names: &dyn Names) -> Vec<String> {
        let owned = |words: Vec<&str>| words.into_iter().map(str::to_string).collect();
        match (&self.list, key) {
            (List::Lookup, "table") => names.tables(),
            (List::With { .. }, "connector") => owned(registry::names_in(&names.registered())),
            (List::With { .. } | List::Options(_), "format") => {
                owned(Format::names_in(&Options::default().with_registered(&names.registered())))
            }
            _ => owned(definitions.iter().find(|d| d.key == key).map(|d| values(d)).unwrap_or_default()),
        }
    }
}
