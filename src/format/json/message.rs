//! Messages about a record that cannot be read.

use memchr::memchr;

use super::scan::{Fault, Text};
use crate::error::Error;

/// Characters of a record or value that messages show.
pub(super) const EXCERPT: usize = 80;

/// Advice that loses nothing.
const FIELD_HINT: &str =
    "a column of type STRING takes any value; a source's 'scan.dead-letter' keeps such records in a table";
const RECORD_HINT: &str = "a source's 'scan.dead-letter' keeps such records in a table";

/// An error with its place, what was found and what to do.
#[cold]
pub(super) fn describe(fault: &Fault, text: Text<'_>, start: usize, place: &str, format: &str) -> Error {
    let mut field = String::new();
    for name in fault.path.iter().rev() {
        if !field.is_empty() && !name.starts_with('[') {
            field.push('.');
        }
        field.push_str(name);
    }
    let field = if field.is_empty() { field } else { format!(", field '{field}'") };
    let line_end = |from: usize| {
        memchr(b'\n', text.bytes().get(from..).unwrap_or_default()).map_or(text.bytes().len(), |n| from + n)
    };
    let found = match fault.found {
        Some(words) => words.to_string(),
        None if fault.at >= text.bytes().len() => "the end".to_string(),
        None if text.peek(fault.at) == b'\n' => "the end of the line".to_string(),
        None => excerpt(text.part(fault.at, fault.end.unwrap_or_else(|| line_end(fault.at)))),
    };
    Error::decode(format!("{place}{field}: expected {}, found {found}", fault.expected))
        .with_detail(format!("the record: {}", excerpt(text.part(start, line_end(start)).trim_end())))
        .with_hint(match fault.hint {
            Some(hint) => hint.to_string(),
            None if format != "json" => {
                format!("'{format}.ignore-parse-errors' = 'true' leaves such records out, and counts them")
            }
            None if fault.path.is_empty() => RECORD_HINT.to_string(),
            None => FIELD_HINT.to_string(),
        })
}

/// The first characters of a text.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}
