//! Columns from a sample of records: what a table without declared columns is taken to have.
//!
//! Every value votes for the narrowest type that holds it, and types are widened until all agree:
//! BIGINT → DECIMAL → DOUBLE, DATE → TIMESTAMP, anything → STRING. Objects become ROW, arrays ARRAY. A field
//! that is NULL in the whole sample is STRING.

use chrono::{NaiveDate, NaiveDateTime};
use indexmap::IndexMap;
use serde_json::Value;

use crate::catalog::Options;
use crate::error::{Error, Result};
use crate::sql::SqlType;

/// What a sample looks like.
#[derive(Debug, Clone, PartialEq)]
pub struct Inferred {
    /// Names and types in order of their first appearance.
    pub columns: Vec<(String, SqlType)>,
    /// Options of the format that the types ask for.
    pub options: Vec<(&'static str, &'static str)>,
}

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
            Value::String(s) => Guess::of_moment(s).unwrap_or(Guess::Text),
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

    fn of_moment(text: &str) -> Option<Guess> {
        if !(10..=30).contains(&text.len()) || !text.is_ascii() {
            return None;
        }
        if NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok() {
            return Some(Guess::Date);
        }
        let digits = |t: &str| t.split_once('.').map_or(0, |(_, f)| f.len().min(9)) as u8;
        let reads = |t: &str, format| NaiveDateTime::parse_from_str(t, format).is_ok();
        let plain = text.strip_suffix('Z').unwrap_or(text);
        if reads(plain, "%Y-%m-%dT%H:%M:%S%.f") {
            return Some(Guess::Iso(digits(plain), plain != text));
        }
        reads(text, "%Y-%m-%d %H:%M:%S%.f").then(|| Guess::Sql(digits(text)))
    }

    fn of_field(text: &str) -> Guess {
        let digits = text.strip_prefix('-').unwrap_or(text);
        // Leading zeros are of codes and phone numbers.
        let code = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
        let number = !code && !text.starts_with('+') && text.parse::<f64>().is_ok_and(f64::is_finite);
        match text {
            "" => Guess::Nothing,
            "true" | "false" => Guess::Boolean,
            _ if number => Guess::of_number(text),
            // CSV has no option for ISO timestamps.
            _ => match Guess::of_moment(text) {
                Some(guess @ (Guess::Date | Guess::Sql(_))) => guess,
                _ => Guess::Text,
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

    /// The type; `iso` tells which form of timestamps the format reads.
    fn data_type(&self, iso: bool) -> SqlType {
        // Milliseconds at least, so that the column can be a time attribute.
        let precision = |p: u8| if p <= 3 { 3 } else { p };
        match self {
            Guess::Boolean => SqlType::Boolean,
            Guess::Integer => SqlType::BigInt,
            Guess::Decimal => SqlType::Decimal(38, 0),
            Guess::Double => SqlType::Double,
            Guess::Date => SqlType::Date,
            Guess::Sql(p) if !iso => SqlType::Timestamp(precision(*p)),
            Guess::Iso(p, false) if iso => SqlType::Timestamp(precision(*p)),
            Guess::Iso(p, true) if iso => SqlType::TimestampLtz(precision(*p)),
            Guess::Nothing | Guess::Text | Guess::Sql(_) | Guess::Iso(..) => SqlType::String,
            Guess::Array(element) => SqlType::Array(Box::new(element.data_type(iso))),
            Guess::Row(fields) if fields.is_empty() => SqlType::String,
            Guess::Row(fields) => {
                SqlType::Row(fields.iter().map(|(n, g)| (n.clone(), g.data_type(iso))).collect())
            }
        }
    }
}

/// Columns of a sample of JSON objects, one a line; the last line may be cut off when `cut`.
pub fn json(sample: &[u8], cut: bool) -> Result<Inferred> {
    let mut all = Guess::Nothing;
    let lines: Vec<&[u8]> = sample.split(|&b| b == b'\n').collect();
    let whole = if cut && lines.len() > 1 { lines.len() - 1 } else { lines.len() };
    for (number, line) in lines[..whole].iter().enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let wrong = |what: String| {
            Error::decode(format!("line {}: {what}", number + 1))
                .with_hint("columns are found out from JSON objects, one a line; declare them otherwise")
        };
        match serde_json::from_slice::<Value>(line) {
            Ok(value @ Value::Object(_)) => all = all.widen(Guess::of_json(&value)),
            Ok(_) => return Err(wrong("expected a JSON object".into())),
            Err(e) => return Err(wrong(format!("not JSON: {e}"))),
        }
    }
    let Guess::Row(fields) = all else { return Err(empty()) };
    if fields.is_empty() {
        return Err(empty());
    }
    let (mut iso, mut sql) = (false, false);
    fields.values().for_each(|f| f.forms(&mut iso, &mut sql));
    // A table reads one form: where both occur, the SQL form is the default and the other one text.
    let iso = iso && !sql;
    Ok(Inferred {
        columns: fields.iter().map(|(name, guess)| (name.clone(), guess.data_type(iso))).collect(),
        options: if iso { vec![("json.timestamp-format.standard", "ISO-8601")] } else { Vec::new() },
    })
}

fn empty() -> Error {
    Error::decode("there is no record to find the columns out from").with_hint("declare the columns")
}

/// Columns of a sample of CSV. The first line is a header when it alone is all text, or when
/// `csv.skip-header` says so; without one, columns are `f0`, `f1`, ...
pub fn csv(sample: &[u8], cut: bool, options: &Options) -> Result<Inferred> {
    let delimiter = match options.text("csv.field-delimiter") {
        None => b',',
        Some("\\t") => b'\t',
        Some(text) => *text.as_bytes().first().unwrap_or(&b','),
    };
    let quote = options.text("csv.quote-character").and_then(|q| q.bytes().next()).unwrap_or(b'"');
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .quote(quote)
        .quoting(!options.bool("csv.disable-quote-character")?.unwrap_or(false))
        .comment(options.bool("csv.allow-comments")?.unwrap_or(false).then_some(b'#'))
        .from_reader(sample);
    let mut records = Vec::new();
    for record in reader.records() {
        records.push(record.map_err(|e| Error::decode(format!("not CSV: {e}")))?);
    }
    if cut && records.len() > 1 {
        records.pop();
    }
    let null = options.text("csv.null-literal").unwrap_or_default();
    let guesses = |record: &::csv::StringRecord| -> Vec<Guess> {
        let guess = |f: &str| if f == null { Guess::Nothing } else { Guess::of_field(f) };
        record.iter().map(guess).collect()
    };
    let Some(first) = records.first() else { return Err(empty()) };
    let width = first.len();
    let mut rest = vec![Guess::Nothing; width];
    for record in &records[1..] {
        for (known, guess) in rest.iter_mut().zip(guesses(record)) {
            *known = std::mem::take(known).widen(guess);
        }
    }
    let top = guesses(first);
    let names_itself = top.iter().all(|g| *g == Guess::Text)
        && (rest.iter().any(|g| !matches!(g, Guess::Text | Guess::Nothing))
            || records.len() > 1 && unlike(&records));
    let header = match options.bool("csv.skip-header")? {
        Some(given) => given,
        None => names_itself,
    };
    let columns: Vec<(String, SqlType)> = (0..width)
        .map(|i| {
            let guess =
                if header { rest[i].clone() } else { std::mem::take(&mut rest[i]).widen(top[i].clone()) };
            let name = if header { first[i].trim().to_string() } else { format!("f{i}") };
            (name, guess.data_type(false))
        })
        .collect();
    let added = header && options.bool("csv.skip-header")?.is_none();
    Ok(Inferred { columns, options: if added { vec![("csv.skip-header", "true")] } else { Vec::new() } })
}

/// Whether no field of the first record occurs again below it in its column: then it holds names.
fn unlike(records: &[::csv::StringRecord]) -> bool {
    let Some((first, rest)) = records.split_first() else { return false };
    let named = first.iter().all(|f| {
        f.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && f.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-' || c == ' ')
    });
    named && first.iter().enumerate().all(|(i, f)| rest.iter().all(|r| r.get(i) != Some(f)))
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
        assert!(inferred.options.is_empty());
    }

    #[test]
    fn iso_timestamps_set_the_option() {
        let inferred = json(br#"{"t":"2024-05-01T10:00:00Z","u":"2024-05-01T10:00:00.5"}"#, false).unwrap();
        assert_eq!(shown(&inferred), ["t TIMESTAMP_LTZ(3)", "u TIMESTAMP(3)"]);
        assert_eq!(inferred.options, [("json.timestamp-format.standard", "ISO-8601")]);
        let mixed = br#"{"t":"2024-05-01T10:00:00Z","u":"2024-05-01 10:00:00"}"#;
        assert_eq!(shown(&json(mixed, false).unwrap()), ["t STRING", "u TIMESTAMP(3)"]);
    }

    #[test]
    fn a_header_is_found() {
        let options = Options::default();
        let with = csv(b"id,city,phone\n1,Oslo,0047\n2,,\n", false, &options).unwrap();
        assert_eq!(shown(&with), ["id BIGINT", "city STRING", "phone STRING"]);
        assert_eq!(with.options, [("csv.skip-header", "true")]);
        let without = csv(b"1,a\n2,b\n", false, &options).unwrap();
        assert_eq!(shown(&without), ["f0 BIGINT", "f1 STRING"]);
        let texts = csv(b"name,city\nAda,Oslo\nBob,Bonn\n", false, &options).unwrap();
        assert_eq!(shown(&texts), ["name STRING", "city STRING"]);
    }

    #[test]
    fn what_is_no_sample_is_told() {
        assert!(json(b"", false).is_err());
        assert!(json(b"{}", false).is_err());
        let e = json(b"{\"a\":1}\n[1]\n", false).unwrap_err();
        assert!(e.message().starts_with("line 2"), "{e}");
    }
}
