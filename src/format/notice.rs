//! Hints about files that do not look like their table: each is given once.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::nearest::nearest;

/// Names that are listed.
const LISTED: usize = 8;

static GIVEN: Mutex<Option<HashSet<String>>> = Mutex::new(None);

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().take(LISTED).map(|n| format!("'{n}'")).collect();
    let more = if names.len() > LISTED { ", ..." } else { "" };
    format!("{}{more}", quoted.join(", "))
}

/// What is to be said about columns that no record has, if there are any. `others`: fields of the records that are
/// no columns.
pub(crate) fn about_absent(never: &[&str], others: &[&str], records: &str) -> Option<String> {
    if never.is_empty() {
        return None;
    }
    let (columns, are) = if never.len() == 1 { ("column", "is") } else { ("columns", "are") };
    let mut text = format!("{columns} {} {are} in none of the {records}", list(never));
    let near: Vec<&str> = never.iter().filter_map(|n| nearest(n, others.iter().copied())).collect();
    if !near.is_empty() {
        text.push_str(&format!("; did you mean {}?", list(&near)));
    } else if !others.is_empty() {
        text.push_str(&format!("; the records have {}", list(others)));
    }
    Some(text)
}

/// Warns of columns that none of the first records has.
pub(super) fn absent(origin: &str, never: &[&str], others: &[&str], records: u64) {
    let records = format!("first {records} record{}", if records == 1 { "" } else { "s" });
    if let Some(text) = about_absent(never, others, &records) {
        once(origin, text);
    }
}

/// The same of fields of objects in the records, by their path.
pub(super) fn absent_inside(origin: &str, never: &[String], others: &[String], records: u64) {
    let records = format!("first {records} record{}", if records == 1 { "" } else { "s" });
    let (never, others): (Vec<&str>, Vec<&str>) =
        (never.iter().map(String::as_str).collect(), others.iter().map(String::as_str).collect());
    if let Some(text) = about_absent(&never, &others, &records) {
        let text = text.replacen("columns '", "fields '", 1).replacen("column '", "field '", 1);
        once(origin, format!("{text}: NULL in all of them"));
    }
}

/// Warns of a field that nobody declared, where columns were found out.
pub(super) fn strange(place: &str, field: &str) {
    once(
        place,
        format!(
            "field '{field}' is in none of the records that the columns were found out from, and is not read: CREATE TABLE with all columns reads it"
        ),
    );
}

/// The same at the end of a file, with the number of objects that had it.
pub(super) fn strange_in_all(origin: &str, field: &str, objects: u64) {
    log::warn!("{origin}: field '{field}' was in {objects} records, and was not read");
}

/// Warns, unless it was said before of another file.
pub(super) fn once(origin: &str, text: String) {
    let mut given = GIVEN.lock();
    let given = given.get_or_insert_default();
    if given.len() < 1_000 && given.insert(text.clone()) {
        log::warn!("{origin}: {text}");
    }
}

/// What is to be said about a header whose names are in another order than the columns.
pub(crate) fn about_header(header: &[&str], declared: &[&str]) -> Option<String> {
    let same = |a: &str, b: &str| a.trim().eq_ignore_ascii_case(b);
    let moved = header.iter().enumerate().find(|(i, name)| {
        // A name that comes twice is two columns, one of which has another name.
        let once = header.iter().filter(|other| same(other, name.trim())).count() == 1;
        once && declared.get(*i).is_some_and(|d| !same(name, d)) && declared.iter().any(|d| same(name, d))
    });
    moved.map(|(i, name)| {
        format!(
            "the header has '{}' in place {}, the table declares '{}' there: columns are read by their place",
            name.trim(),
            i + 1,
            declared.get(i).copied().unwrap_or_default()
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn absent_columns_are_named_with_what_is_near() {
        let said = about_absent(&["temprature"], &["id", "temperature"], "first 100 records").unwrap();
        assert_eq!(
            said,
            "column 'temprature' is in none of the first 100 records; did you mean 'temperature'?"
        );
        let said = about_absent(&["a", "b"], &["data", "meta"], "first 2 records").unwrap();
        assert_eq!(
            said,
            "columns 'a', 'b' are in none of the first 2 records; the records have 'data', 'meta'"
        );
        assert_eq!(about_absent(&[], &["x"], "first 2 records"), None);
    }

    #[test]
    fn a_header_in_another_order() {
        assert!(about_header(&["b", "a"], &["a", "b"]).unwrap().contains("has 'b' in place 1"));
        assert_eq!(about_header(&["ID", "x"], &["id", "name"]), None);
        assert_eq!(about_header(&["id"], &["id", "name"]), None);
        assert_eq!(about_header(&["a", "a", "b"], &["a", "a_2", "b"]), None);
    }
}
