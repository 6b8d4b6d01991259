//! Columns and dialect from a sample of CSV.

use std::collections::HashSet;

use csv::StringRecord;
use encoding_rs::UTF_8;

use super::dialect::{self, Dialect};
use super::{Guess, Inferred, empty};
use crate::catalog::Options;
use crate::error::{Error, Result};
use crate::format::csv::SKIP_LINES;
use crate::sql::SqlType;

/// Texts that stand for a missing value in files of the world.
const MISSING: &[&str] =
    &["NA", "N/A", "n/a", "#N/A", "NULL", "Null", "null", "None", "none", "\\N", "-", "?", "."];

const DELIMITER: &str = "csv.field-delimiter";

/// Numbers of lines in front of the header that are looked for.
const SKIPPED: [&str; 10] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];

/// What stands in front of the header.
struct Head {
    lines: usize,
    separator: Option<&'static str>,
}

impl Head {
    /// `sep=;`, which Excel writes and reads.
    fn separator(text: &str) -> Self {
        let line = text.lines().next().unwrap_or_default().trim_end();
        let named = line.get(..4).filter(|word| word.eq_ignore_ascii_case("sep=")).and(line.get(4..));
        let separator = match named {
            Some(";") => Some(";"),
            Some(",") => Some(","),
            Some("|") => Some("|"),
            Some("\t" | "") => Some("\\t"),
            _ => None,
        };
        Self { lines: usize::from(separator.is_some()), separator }
    }
}

/// A text without its first lines.
fn below(text: &str, lines: usize) -> &str {
    let mut rest = text;
    for _ in 0..lines {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    rest
}

/// Lines of titles: of one field, in front of records that all have several.
fn titles(dialect: &Dialect, text: &str, cut: bool) -> Result<usize> {
    let mut records = dialect.records(text, usize::MAX)?;
    if cut && records.len() > 1 {
        records.pop();
    }
    let count = records.iter().take_while(|r| r.len() == 1).count();
    let Some((header, rest)) = records.get(count..).and_then(<[_]>::split_first) else { return Ok(0) };
    let width = header.len();
    let line = header.position().map_or(1, csv::Position::line) as usize;
    if count == 0 || line > SKIPPED.len() || rest.is_empty() || rest.iter().any(|r| r.len() != width) {
        return Ok(0);
    }
    // Of two columns one may have no name.
    if width == 2 && count == 1 && !is_header(header, rest, &columns(rest, width, None), width, None) {
        return Ok(0);
    }
    Ok(line - 1)
}

/// Columns of a sample of CSV, and the options that read it: separator, quotes, characters, header, and the text
/// that means NULL, as far as `options` leave them open. Without a header, columns are `f0`, `f1`, ...
///
/// The first record is a header when it does not fit the types of what follows, or, where all is text, when it
/// looks like names and does not come again.
pub fn csv(sample: &[u8], cut: bool, options: &Options) -> Result<Inferred> {
    let encoding = match options.text("csv.charset") {
        Some(_) => crate::format::csv::CsvOptions::from_options(options)?.charset,
        None => dialect::charset(sample),
    };
    let text = encoding.decode(sample).0;
    let given = options.integer(SKIP_LINES)?;
    let mut options = std::borrow::Cow::Borrowed(options);
    let mut head = Head { lines: given.unwrap_or(0) as usize, separator: None };
    if given.is_none() {
        head = Head::separator(&text);
    }
    if let (Some(separator), false) = (head.separator, options.contains(DELIMITER)) {
        options.to_mut().set(DELIMITER, separator, crate::error::Span::default());
    }
    let options = options.as_ref();
    let mut text = below(&text, head.lines);
    let dialect = Dialect::of(text, cut, options)?;
    if given.is_none() {
        let titles = titles(&dialect, text, cut)?;
        text = below(text, titles);
        head.lines += titles;
    }
    let mut records = dialect.records(text, usize::MAX)?;
    if cut && records.len() > 1 {
        records.pop();
    }
    let mut added = dialect.options(options)?;
    if let (None, Some(lines)) = (given, head.lines.checked_sub(1).and_then(|n| SKIPPED.get(n))) {
        added.extend(head.separator.filter(|s| *s != ",").map(|separator| (DELIMITER, separator)));
        added.push((SKIP_LINES, *lines));
    }
    if encoding != UTF_8 && !options.contains("csv.charset") {
        added.push(("csv.charset", encoding.name()));
    }
    let Some((first, rest)) = records.split_first() else { return Err(empty()) };
    let width = match rest {
        [] => first.len(),
        _ => usual_width(first, rest),
    };
    let mut null = options.text("csv.null-literal").map(str::to_string);
    let mut guesses = columns(rest, width, null.as_deref());
    if null.is_none()
        && let Some((literal, better)) = missing_literal(rest, width, &guesses)
    {
        added.push(("csv.null-literal", literal));
        (null, guesses) = (Some(literal.to_string()), better);
    }
    let header = match options.bool("csv.skip-header")? {
        Some(given) => given,
        None => is_header(first, rest, &guesses, width, null.as_deref()),
    };
    if header && options.bool("csv.skip-header")?.is_none() {
        added.push(("csv.skip-header", "true"));
    }
    let names = if header {
        names(first, &guesses, width)
    } else {
        guesses = columns(&records, width, null.as_deref());
        (0..width).map(|i| format!("f{i}")).collect()
    };
    let ragged = rest.iter().position(|r| r.len() != width);
    if let (Some(at), false) = (ragged, options.bool("csv.ignore-parse-errors")?.unwrap_or(false)) {
        let record = &rest[at];
        let line = record.position().map_or(at as u64 + 2, csv::Position::line) + head.lines as u64;
        return Err(Error::decode(format!(
            "line {line} has {}, and {} of the {} lines that were read have {width}",
            counted(record.len()),
            records.iter().filter(|r| r.len() == width).count(),
            records.len(),
        ))
        .with_hint(
            "mend the line, or see that the separator and the quotes are the file's; a table or OPTIONS hint with \
             'csv.ignore-parse-errors' = 'true' pads short lines with NULL, and drops and counts longer ones",
        ));
    }
    let columns: Vec<(String, SqlType)> =
        names.into_iter().zip(&guesses).map(|(name, guess)| (name, guess.data_type())).collect();
    let doubt = (header && rest.is_empty() && options.bool("csv.skip-header")?.is_none())
        .then_some("its only line is taken for the names of columns; if it is a row, declare the columns");
    Ok(Inferred { columns, options: added, doubt, ..Inferred::default() })
}

/// How many fields most lines have; where numbers are equally frequent, what the first line has.
fn usual_width(first: &StringRecord, rest: &[StringRecord]) -> usize {
    let having = |width: usize| rest.iter().filter(|r| r.len() == width).count();
    let most = dialect::most_common(rest.iter().map(StringRecord::len));
    if having(first.len()) == having(most) { first.len() } else { most }
}

fn counted(fields: usize) -> String {
    format!("{fields} field{}", if fields == 1 { "" } else { "s" })
}

/// What the values of each column have in common.
fn columns(records: &[StringRecord], width: usize, null: Option<&str>) -> Vec<Guess> {
    let mut known = vec![Guess::Nothing; width];
    for record in records.iter().filter(|r| r.len() <= width) {
        for (known, field) in known.iter_mut().zip(record) {
            if Some(field) != null && *known != Guess::Text {
                *known = std::mem::take(known).widen(Guess::of_field(field));
            }
        }
    }
    known
}

/// The text that keeps most columns from being numbers, times or booleans, and the types without it.
fn missing_literal(
    records: &[StringRecord],
    width: usize,
    known: &[Guess],
) -> Option<(&'static str, Vec<Guess>)> {
    let gained = |better: &[Guess]| {
        let pairs = known.iter().zip(better);
        pairs.filter(|(k, b)| **k == Guess::Text && !matches!(b, Guess::Text | Guess::Nothing)).count()
    };
    let mut best: Option<(usize, &'static str, Vec<Guess>)> = None;
    for literal in MISSING {
        let better = columns(records, width, Some(literal));
        let gain = gained(&better);
        if gain > best.as_ref().map_or(0, |(most, ..)| *most) {
            best = Some((gain, *literal, better));
        }
    }
    best.map(|(_, literal, better)| (literal, better))
}

fn is_header(
    first: &StringRecord,
    rest: &[StringRecord],
    guesses: &[Guess],
    width: usize,
    null: Option<&str>,
) -> bool {
    // A line of names alone is what an export without rows looks like.
    if rest.is_empty() {
        let distinct: HashSet<&str> = first.iter().collect();
        return first.len() > 1
            && distinct.len() == first.len()
            && first.iter().all(|f| is_name(f) && Some(f) != null);
    }
    // R leaves the name of the first column out, some leave out that of the last one, which is empty.
    if !(first.len() == width || first.len() + 1 == width) {
        return false;
    }
    let shift = shift(first, guesses, width);
    let misfit = |(i, field): (usize, &str)| match guesses.get(i + shift) {
        None | Some(Guess::Text | Guess::Nothing) => false,
        Some(guess) => {
            let top = if Some(field) == null { Guess::Nothing } else { Guess::of_field(field) };
            top == Guess::Text && guess.clone().widen(top) == Guess::Text
        }
    };
    if first.iter().enumerate().any(misfit) {
        return true;
    }
    let texts = |f: &str| f.is_empty() || Guess::of_field(f) == Guess::Text;
    let named = |f: &str| f.chars().next().is_none_or(|c| c.is_alphabetic() || "_#$%\"'(".contains(c));
    let distinct: HashSet<&str> = first.iter().filter(|f| !f.is_empty()).collect();
    let filled = first.iter().filter(|f| !f.is_empty()).count();
    filled > 0
        && distinct.len() == filled
        && first.iter().all(|f| texts(f) && named(f))
        && guesses.iter().all(|g| matches!(g, Guess::Text | Guess::Nothing))
        && first
            .iter()
            .enumerate()
            .all(|(i, f)| f.is_empty() || rest.iter().all(|r| r.get(i + shift) != Some(f)))
}

/// Whether a field can be the name of a column: a few letters and digits, and neither a value nor a sentence.
fn is_name(field: &str) -> bool {
    let field = field.trim();
    Guess::of_field(field) == Guess::Text
        && field.chars().next().is_some_and(|c| c.is_alphabetic() || "_#$%".contains(c))
        && field.chars().count() <= 64
}

/// By how many columns the names stand too far to the left.
fn shift(first: &StringRecord, guesses: &[Guess], width: usize) -> usize {
    let trailing = guesses.last() == Some(&Guess::Nothing);
    usize::from(first.len() + 1 == width && !trailing)
}

/// The names of a header: those that are missing are named by their place, those that come again by their number.
fn names(first: &StringRecord, guesses: &[Guess], width: usize) -> Vec<String> {
    let shift = shift(first, guesses, width);
    let mut taken: HashSet<String> = HashSet::new();
    let mut names = Vec::with_capacity(width);
    for i in 0..width {
        let written = i.checked_sub(shift).and_then(|i| first.get(i)).unwrap_or_default().trim();
        let base = if written.is_empty() { format!("f{i}") } else { written.to_string() };
        let mut name = base.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{base}_{number}");
            number += 1;
        }
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sniffed(sample: &[u8]) -> (Vec<String>, Vec<(&'static str, &'static str)>) {
        let inferred = csv(sample, false, &Options::default()).unwrap();
        (inferred.columns.iter().map(|(n, t)| format!("{n} {t}")).collect(), inferred.options)
    }

    const HEADER: (&str, &str) = ("csv.skip-header", "true");

    #[test]
    fn a_header_is_found() {
        let (columns, options) = sniffed(b"id,city,phone\n1,Oslo,0047\n2,,\n");
        assert_eq!(columns, ["id BIGINT", "city STRING", "phone STRING"]);
        assert_eq!(options, [HEADER]);
        let (columns, options) = sniffed(b"1,a\n2,b\n");
        assert_eq!(columns, ["f0 BIGINT", "f1 STRING"]);
        assert!(options.is_empty());
        assert_eq!(sniffed(b"name,city\nAda,Oslo\nBob,Bonn\n").0, ["name STRING", "city STRING"]);
        assert_eq!(sniffed(b"Ada,Oslo\nBob,Bonn\nCy,Oslo\n").0, ["f0 STRING", "f1 STRING"]);
    }

    #[test]
    fn one_line_of_names_is_a_header() {
        let inferred = csv(b"id,name,day\n", false, &Options::default()).unwrap();
        assert_eq!((inferred.options, inferred.doubt.is_some()), (vec![HEADER], true));
        for row in ["1,a\n", "a,a\n", "alone\n", "2024-01-01,x\n"] {
            let inferred = csv(row.as_bytes(), false, &Options::default()).unwrap();
            assert_eq!((inferred.columns[0].0.as_str(), inferred.doubt), ("f0", None), "{row}");
        }
    }

    #[test]
    fn dialects_of_r_and_pandas_are_recognised() {
        let (columns, options) = sniffed(b"\"\",\"mpg\",\"am\"\n\"Mazda RX4\",21,TRUE\n\"Fiat\",NA,FALSE\n");
        assert_eq!(columns, ["f0 STRING", "mpg BIGINT", "am BOOLEAN"]);
        assert_eq!(options, [("csv.null-literal", "NA"), HEADER]);
        assert_eq!(sniffed(b",a,a\n0,1.5,\n1,2,x\n").0, ["f0 BIGINT", "a DOUBLE", "a_2 STRING"]);
        // write.table names one column less.
        assert_eq!(
            sniffed(b"mpg\tcyl\nMazda\t21\t6\nFiat\t22\t4\n").0,
            ["f0 STRING", "mpg BIGINT", "cyl BIGINT"]
        );
        assert_eq!(sniffed(b"a;b\n1;2;\n3;4;\n").0, ["a BIGINT", "b BIGINT", "f2 STRING"]);
    }

    #[test]
    fn separators_quotes_and_comments() {
        let semicolon = ("csv.field-delimiter", ";");
        let (columns, options) = sniffed(b"name;price\nA;1,5\nB;2,5\n");
        assert_eq!(
            (columns, options),
            (vec!["name STRING".into(), "price STRING".into()], vec![semicolon, HEADER])
        );
        let (columns, options) = sniffed(b"a|b\n1|x, y\n2|z\n");
        assert_eq!((columns[1].as_str(), options[0]), ("b STRING", ("csv.field-delimiter", "|")));
        let (columns, options) = sniffed(b"a\tb\n1\t\"x\ty\"\n");
        assert_eq!((columns[1].as_str(), options[0]), ("b STRING", ("csv.field-delimiter", "\\t")));
        let (columns, options) = sniffed(b"id,t\n1,'a, b'\n2,'c'\n");
        assert_eq!((columns[1].as_str(), options[0]), ("t STRING", ("csv.quote-character", "'")));
        let (_, options) = sniffed(b"id,t\n1,\"a \\\"b\\\", c\"\n2,c\n");
        assert_eq!(options[0], ("csv.escape-character", "\\"));
        let (columns, options) = sniffed(b"# made by hand\nid,t\n1,a\n2,b\n");
        assert_eq!((columns[0].as_str(), options[0]), ("id BIGINT", ("csv.allow-comments", "true")));
        // The first name may begin so.
        assert_eq!(sniffed(b"#chrom\tpos\nchr1\t5\n").0, ["#chrom STRING", "pos BIGINT"]);
        // Words do not make a header of a row of numbers.
        assert_eq!(sniffed(b"1.5e0 2.5e0\n1.6e0 2.6e0\n").0, ["f0 STRING"]);
        // One column has no separator.
        assert_eq!(sniffed(b"n\n1\n2\n").0, ["n BIGINT"]);
    }

    #[test]
    fn lines_in_front_of_the_header() {
        let (columns, options) = sniffed(b"sep=;\r\nid;v\r\n1;2\r\n3;4\r\n");
        assert_eq!(columns, ["id BIGINT", "v BIGINT"]);
        assert_eq!(options, [("csv.field-delimiter", ";"), ("csv.skip-lines", "1"), HEADER]);
        assert_eq!(sniffed(b"SEP=,\nid,v\n1,2\n").1, [("csv.skip-lines", "1"), HEADER]);
        let (columns, options) = sniffed(b"Report of 2024\n\nid,v\n1,2\n3,4\n");
        assert_eq!(
            (columns, options),
            (vec!["id BIGINT".into(), "v BIGINT".into()], vec![("csv.skip-lines", "1"), HEADER])
        );
        let (columns, options) = sniffed(b"Sales\nAll shops\n1,2,3\n4,5,6\n");
        assert_eq!((columns.len(), options), (3, vec![("csv.skip-lines", "2")]));
        // What has other lines of one field is no table with a title.
        assert!(csv(b"Report\nid,v,w\n1,2,3\nend\n", false, &Options::default()).is_err());
    }

    #[test]
    fn quotes_behind_a_backslash_count_wherever_they_are() {
        let mut text = String::from("id,t\n");
        for i in 0..1500 {
            text.push_str(&format!("{i},\"plain, text\"\n"));
        }
        text.push_str("1500,\"a \\\"b\\\", c\"\n");
        assert!(sniffed(text.as_bytes()).1.contains(&("csv.escape-character", "\\")));
        // A path that ends with a backslash is no such thing.
        let paths = b"id,p\n1,\"C:\\dir\\\"\n2,\"C:\\x, y\"\n";
        assert!(!sniffed(paths).1.iter().any(|(key, _)| *key == "csv.escape-character"));
    }

    #[test]
    fn characters_and_times() {
        let utf16: Vec<u8> =
            "\u{feff}id,name\n1,Zo\u{eb}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(
            sniffed(&utf16),
            (
                vec!["id BIGINT".into(), "name STRING".into()],
                vec![HEADER, ("csv.charset", "UTF-16LE")].into_iter().rev().collect()
            )
        );
        assert_eq!(sniffed(b"id,name\n1,Zo\xeb\n").1, [("csv.charset", "windows-1252"), HEADER]);
        assert_eq!(sniffed("\u{feff}id\n1\n".as_bytes()), (vec!["id BIGINT".into()], vec![HEADER]));
        let (columns, _) = sniffed(
            b"a,b,c,d\n2024-05-01T10:00:00,2024-05-01 10:00:00+02,2024-05-01T10:00:00.5Z,2024-05-01\n",
        );
        assert_eq!(columns, ["a TIMESTAMP(3)", "b TIMESTAMP_LTZ(3)", "c TIMESTAMP_LTZ(3)", "d DATE"]);
        let (columns, _) =
            sniffed(b"a,b\n2026-01-05 08:00,2026-01-05T08:00\n2026-01-06 09:30:15.5,2026-01-05\n");
        assert_eq!(columns, ["a TIMESTAMP(3)", "b TIMESTAMP(3)"]);
    }

    #[test]
    fn ragged_files_say_where() {
        let e = csv(b"a,b\n1,2\n3\n4,5\n", false, &Options::default()).unwrap_err();
        assert_eq!(e.message(), "line 3 has 1 field, and 3 of the 4 lines that were read have 2");
        // One line each: the header decides.
        let e = csv(b"a,b,c\n1,2,3\n4,5\n6,7,8,9\n", false, &Options::default()).unwrap_err();
        assert_eq!(e.message(), "line 3 has 2 fields, and 2 of the 4 lines that were read have 3");
    }
}
