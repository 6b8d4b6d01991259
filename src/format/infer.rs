//! Columns from a sample of records: what a table without declared columns is taken to have.
//!
//! Every value votes for the narrowest type that holds it, and types are widened until all agree:
//! BIGINT → DECIMAL → DOUBLE, DATE → TIMESTAMP, anything → STRING. Objects become ROW, arrays ARRAY. A field
//! that is NULL in the whole sample is STRING.

mod csv;
mod dialect;

pub use csv::csv;

use chrono::{NaiveDate, NaiveDateTime};
use indexmap::IndexMap;
use serde_json::Value;

use super::json::FAIL_ON_FRACTION;
use crate::error::{Error, Result};
use crate::sql::SqlType;

pub use crate::contract::connector::Inferred;

/// What the values of one field have in common.
#[derive(Debug, Clone, PartialEq, Default)]
enum Guess {
    #[default]
    Nothing,
    Boolean,
    /// Fits into 64 bits.
    Integer,
    /// A whole number of at most 38 digits.
    Decimal,
    Double,
    Date,
    /// `2024-05-01 10:00:00.123`: digits of the fraction.
    Sql(u8),
    /// `2024-05-01T10:00:00.123`: digits of the fraction, and whether a Z follows.
    Iso(u8, bool),
    Text,
    Array(Box<Guess>),
    Row(IndexMap<String, Guess>),
}

impl Guess {
    fn widen(self, other: Guess) -> Guess {
        use Guess::*;
        match (self, other) {
            (Nothing, g) | (g, Nothing) => g,
            (a, b) if a == b => a,
            (Integer, Decimal) | (Decimal, Integer) => Decimal,
            (Integer | Decimal, Double) | (Double, Integer | Decimal) => Double,
            (Sql(a), Sql(b)) => Sql(a.max(b)),
            (Iso(a, x), Iso(b, y)) if x == y => Iso(a.max(b), x),
            (Iso(a, false), Sql(b)) | (Sql(a), Iso(b, false)) => Sql(a.max(b)),
            (Date, Iso(p, false)) | (Iso(p, false), Date) => Sql(p),
            (Date, Sql(p)) | (Sql(p), Date) => Sql(p),
            (Array(a), Array(b)) => Array(Box::new(a.widen(*b))),
            (Row(mut a), Row(b)) => {
                for (name, guess) in b {
                    let known = a.entry(name).or_default();
                    *known = std::mem::take(known).widen(guess);
                }
                Row(a)
            }
            _ => Text,
        }
    }

    fn of_json(value: &Value) -> Guess {
        match value {
            Value::Null => Guess::Nothing,
            Value::Bool(_) => Guess::Boolean,
            Value::Number(n) => Guess::of_number(&n.to_string()),
            Value::String(s) => Guess::of_moment(s, false).unwrap_or(Guess::Text),
            Value::Array(items) => {
                let all = items.iter().map(Guess::of_json);
                Guess::Array(Box::new(all.fold(Guess::Nothing, Guess::widen)))
            }
            Value::Object(fields) => {
                Guess::Row(fields.iter().map(|(k, v)| (k.clone(), Guess::of_json(v))).collect())
            }
        }
    }

    fn of_number(text: &str) -> Guess {
        let digits = text.trim_start_matches('-');
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Guess::Double;
        }
        match (text.parse::<i64>(), digits.len()) {
            (Ok(_), _) => Guess::Integer,
            (Err(_), ..=38) => Guess::Decimal,
            _ => Guess::Double,
        }
    }

    /// Of values that have nothing else in common than their column.
    fn of_fields<'a>(fields: impl Iterator<Item = &'a str>) -> Guess {
        fields.map(Guess::of_field).fold(Guess::Nothing, Guess::widen)
    }

    /// With `minutes`, seconds may be missing after a space, too: spreadsheets write CSV so.
    fn of_moment(text: &str, minutes: bool) -> Option<Guess> {
        if !(10..=40).contains(&text.len()) || !text.is_ascii() {
            return None;
        }
        if NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok() {
            return Some(Guess::Date);
        }
        let digits = |t: &str| t.split_once('.').map_or(0, |(_, f)| f.len().min(9)) as u8;
        let reads = |t: &str, format| NaiveDateTime::parse_from_str(t, format).is_ok();
        let plain = without_zone(text);
        let zoned = plain != text;
        if reads(plain, "%Y-%m-%dT%H:%M:%S%.f") || reads(plain, "%Y-%m-%dT%H:%M") {
            return Some(Guess::Iso(digits(plain), zoned));
        }
        let guess = if zoned { Guess::Iso(digits(plain), true) } else { Guess::Sql(digits(text)) };
        let seconds = reads(plain, "%Y-%m-%d %H:%M:%S%.f");
        (seconds || minutes && reads(plain, "%Y-%m-%d %H:%M")).then_some(guess)
    }

    /// Of a field of CSV. White space around a value that is no text does not count.
    fn of_field(text: &str) -> Guess {
        let text = text.trim_ascii();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain =
            digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
        // Leading zeros and whole numbers with a plus are of codes and phone numbers.
        let number = !super::csv::value::is_code(text) && plain && text.parse::<f64>().is_ok();
        match text {
            "" => Guess::Nothing,
            "NaN" | "nan" => Guess::Double,
            _ if number => Guess::of_number(text),
            _ if ["true", "false"].iter().any(|word| text.eq_ignore_ascii_case(word)) => Guess::Boolean,
            // Both forms are read without an option.
            _ => match Guess::of_moment(text, true) {
                Some(Guess::Iso(digits, false)) => Guess::Sql(digits),
                Some(guess) => guess,
                None => Guess::Text,
            },
        }
    }

    /// Whether timestamps are written as in ISO 8601, or as in SQL, in this field.
    fn forms(&self, iso: &mut bool, sql: &mut bool) {
        match self {
            Guess::Iso(..) => *iso = true,
            Guess::Sql(_) => *sql = true,
            Guess::Array(element) => element.forms(iso, sql),
            Guess::Row(fields) => fields.values().for_each(|f| f.forms(iso, sql)),
            _ => {}
        }
    }

    /// Whether whole numbers are in this field.
    fn has_integers(&self) -> bool {
        match self {
            Guess::Integer => true,
            Guess::Array(element) => element.has_integers(),
            Guess::Row(fields) => fields.values().any(Guess::has_integers),
            _ => false,
        }
    }

    /// The type.
    fn data_type(&self) -> SqlType {
        // Milliseconds at least, so that the column can be a time attribute.
        let precision = |p: u8| if p <= 3 { 3 } else { p };
        match self {
            Guess::Boolean => SqlType::Boolean,
            Guess::Integer => SqlType::BigInt,
            Guess::Decimal => SqlType::Decimal(38, 0),
            Guess::Double => SqlType::Double,
            Guess::Date => SqlType::Date,
            Guess::Sql(p) | Guess::Iso(p, false) => SqlType::Timestamp(precision(*p)),
            Guess::Iso(p, true) => SqlType::TimestampLtz(precision(*p)),
            Guess::Nothing | Guess::Text => SqlType::String,
            Guess::Array(element) => SqlType::Array(Box::new(element.data_type())),
            Guess::Row(fields) if fields.is_empty() => SqlType::String,
            Guess::Row(fields) => {
                SqlType::Row(fields.iter().map(|(n, g)| (n.clone(), g.data_type())).collect())
            }
        }
    }
}

/// A text without the zone at its end: `Z`, `+02`, `+0200` or `+02:00`.
fn without_zone(text: &str) -> &str {
    if let Some(plain) = text.strip_suffix('Z') {
        return plain;
    }
    let Some(time) = text.get(11..) else { return text };
    let Some(at) = time.rfind(['+', '-']) else { return text };
    let offset = &time.as_bytes()[at + 1..];
    let two = |part: &[u8]| part.len() == 2 && part.iter().all(u8::is_ascii_digit);
    let valid = match offset.len() {
        2 => two(offset),
        4 => two(&offset[..2]) && two(&offset[2..]),
        5 => two(&offset[..2]) && offset[2] == b':' && two(&offset[3..]),
        _ => false,
    };
    if valid { &text[..11 + at] } else { text }
}

/// The type of a column of which these are the values, as texts.
pub fn of_texts<'a>(texts: impl Iterator<Item = &'a str>) -> SqlType {
    Guess::of_fields(texts).data_type()
}

/// Columns of a sample of JSON objects, one a line, in arrays, or over several lines; the last one may be cut off when
/// `cut`.
pub fn json(sample: &[u8], cut: bool) -> Result<Inferred> {
    let mut all = Guess::Nothing;
    let wrong = |line: u64, what: String| {
        Error::decode(format!("line {line}: {what}"))
            .with_hint("columns are found out from JSON objects; declare them otherwise")
    };
    let values = super::json::sample_values(sample, cut).map_err(|(line, what)| wrong(line, what))?;
    for (line, text) in values {
        match serde_json::from_str::<Value>(text) {
            Ok(value @ Value::Object(_)) => all = all.widen(Guess::of_json(&value)),
            Ok(_) => return Err(wrong(line, "expected a JSON object".into())),
            Err(e) => return Err(wrong(line, format!("not JSON: {e}"))),
        }
    }
    let Guess::Row(fields) = all else { return Err(empty()) };
    if fields.is_empty() {
        return Err(empty());
    }
    let (mut iso, mut sql) = (false, false);
    fields.values().for_each(|f| f.forms(&mut iso, &mut sql));
    // Both forms are read; the option says which one is written.
    let iso = iso && !sql;
    let mut options = Vec::new();
    if iso {
        options.push(("json.timestamp-format.standard", "ISO-8601"));
    }
    if fields.values().any(Guess::has_integers) {
        options.push((FAIL_ON_FRACTION, "true"));
    }
    Ok(Inferred {
        columns: fields.iter().map(|(name, guess)| (name.clone(), guess.data_type())).collect(),
        options,
        ..Inferred::default()
    })
}

fn empty() -> Error {
    Error::decode("there is no record to find the columns out from").with_hint("declare the columns")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn shown(inferred: &Inferred) -> Vec<String> {
        inferred.columns.iter().map(|(n, t)| format!("{n} {t}")).collect()
    }

    #[test]
    fn json_values_vote() {
        let sample = br#"{"id":1,"t":"2024-05-01 10:00:00","n":null,"o":{"a":1.5,"b":[1,2]},"d":"2024-05-01"}
{"id":12345678901234567890,"t":"2024-05-01 10:00:00.123456","o":{"c":true},"d":"soon"}
{"id":"#;
        let inferred = json(sample, true).unwrap();
        assert_eq!(
            shown(&inferred),
            [
                "id DECIMAL(38, 0)",
                "t TIMESTAMP(6)",
                "n STRING",
                "o ROW<`a` DOUBLE, `b` ARRAY<BIGINT>, `c` BOOLEAN>",
                "d STRING"
            ]
        );
        assert_eq!(inferred.options, [(FAIL_ON_FRACTION, "true")]);
    }

    #[test]
    fn iso_timestamps_set_the_option() {
        let inferred = json(br#"{"t":"2024-05-01T10:00:00Z","u":"2024-05-01T10:00:00.5"}"#, false).unwrap();
        assert_eq!(shown(&inferred), ["t TIMESTAMP_LTZ(3)", "u TIMESTAMP(3)"]);
        assert_eq!(inferred.options, [("json.timestamp-format.standard", "ISO-8601")]);
        let mixed = br#"{"t":"2024-05-01T10:00:00+01:00","u":"2024-05-01 10:00:00"}"#;
        assert_eq!(shown(&json(mixed, false).unwrap()), ["t TIMESTAMP_LTZ(3)", "u TIMESTAMP(3)"]);
    }

    #[test]
    fn whole_numbers_are_a_guess_and_times_have_many_digits() {
        let inferred = json(br#"{"a":{"b":[1]},"t":"2024-01-02T03:04:05.123456+00:00"}"#, false).unwrap();
        assert_eq!(shown(&inferred), ["a ROW<`b` ARRAY<BIGINT>>", "t TIMESTAMP_LTZ(6)"]);
        assert!(inferred.options.contains(&(FAIL_ON_FRACTION, "true")));
    }

    #[test]
    fn arrays_and_documents_hold_records() {
        for sample in [
            "[{\"a\":1},{\"a\":2.5}]\n",
            "[\n  {\"a\":1},\n  {\"a\":2.5}\n]\n",
            "{\n  \"a\": 1\n}\n{\n  \"a\": 2.5\n}",
            "{\"a\":1}\n[]\n[{\"a\":2.5}]",
        ] {
            assert_eq!(shown(&json(sample.as_bytes(), false).unwrap()), ["a DOUBLE"], "{sample}");
        }
        assert_eq!(shown(&json(b"[\n {\"a\":1},\n {\"a\":2.5", true).unwrap()), ["a BIGINT"]);
        assert_eq!(shown(&json(b"[{\"a\":1},{\"a\":2.5", true).unwrap()), ["a BIGINT"]);
    }

    #[test]
    fn unusable_samples_are_errors() {
        assert!(json(b"", false).is_err());
        assert!(json(b"{}", false).is_err());
        let e = json(b"{\"a\":1}\n[1]\n", false).unwrap_err();
        assert!(e.message().starts_with("line 2"), "{e}");
    }
}
