//! What libraries say, in our words: types and literals as SQL writes them, without the names of Rust and of the
//! library. Every message that comes from DataFusion or Arrow, and every text that prints their expressions (EXPLAIN,
//! warnings, the descriptions in checkpoints), passes here.

use std::borrow::Cow;

/// Types as the libraries write them, and as SQL does.
const TYPES: &[(&str, &str)] = &[
    ("Int8", "TINYINT"),
    ("Int16", "SMALLINT"),
    ("Int32", "INT"),
    ("Int64", "BIGINT"),
    ("UInt8", "SMALLINT"),
    ("UInt16", "INT"),
    ("UInt32", "BIGINT"),
    ("UInt64", "BIGINT"),
    ("Float32", "FLOAT"),
    ("Float64", "DOUBLE"),
    ("Utf8", "STRING"),
    ("Utf8View", "STRING"),
    ("LargeUtf8", "STRING"),
    ("Boolean", "BOOLEAN"),
    ("Binary", "BYTES"),
    ("BinaryView", "BYTES"),
    ("LargeBinary", "BYTES"),
    ("FixedSizeBinary", "BYTES"),
    ("Decimal128", "DECIMAL"),
    ("Decimal256", "DECIMAL"),
    ("Date32", "DATE"),
    ("Date64", "DATE"),
    ("Time32", "TIME"),
    ("Time64", "TIME"),
    ("Time32Second", "TIME"),
    ("Time32Millisecond", "TIME"),
    ("Time64Microsecond", "TIME"),
    ("Time64Nanosecond", "TIME"),
    ("Timestamp", "TIMESTAMP"),
    ("TimestampSecond", "TIMESTAMP"),
    ("TimestampMillisecond", "TIMESTAMP"),
    ("TimestampMicrosecond", "TIMESTAMP"),
    ("TimestampNanosecond", "TIMESTAMP"),
    ("Interval", "INTERVAL"),
    ("IntervalYearMonth", "INTERVAL"),
    ("IntervalDayTime", "INTERVAL"),
    ("IntervalMonthDayNano", "INTERVAL"),
];

/// A text with SQL's types and literals.
pub fn plain(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out: Option<String> = None;
    let (mut copied, mut at) = (0, 0);
    while at < bytes.len() {
        let Some(length) = word_length(text, at) else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        };
        let end = at + length;
        let word = &text[at..end];
        let known = TYPES.iter().find(|(name, _)| *name == word);
        let Some((name, sql)) = known else {
            at = end;
            continue;
        };
        let arguments = bytes.get(end).filter(|b| **b == b'(').and_then(|_| closing(text, end));
        let (replaced, next) = match arguments {
            Some(close) => (literal(name, sql, &text[end + 1..close]), close + 1),
            None => (Some((*sql).to_string()), end),
        };
        if let Some(replaced) = replaced {
            let out = out.get_or_insert_with(String::new);
            out.push_str(&text[copied..at]);
            out.push_str(&replaced);
            copied = next;
        }
        at = next;
    }
    match out {
        Some(mut out) => {
            out.push_str(&text[copied..]);
            Cow::Owned(out)
        }
        None => Cow::Borrowed(text),
    }
}

/// The length of the word that begins here; `None` inside of a word and where there is none.
fn word_length(text: &str, at: usize) -> Option<usize> {
    let in_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    if text[..at].chars().next_back().is_some_and(|c| in_word(c) || c == '`' || c == '.') {
        return None;
    }
    let rest = &text[at..];
    let length = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
    (length > 0).then_some(length)
}

/// Where the parenthesis that opens here is closed, strings skipped.
fn closing(text: &str, open: usize) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (i, byte) in text.bytes().enumerate().skip(open) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'(' => depth += 1,
            b')' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

/// A literal, or a type with arguments; `None` for what is neither.
fn literal(name: &str, sql: &str, inside: &str) -> Option<String> {
    if inside == "NULL" || inside == "None" {
        return Some("NULL".to_string());
    }
    let text = || serde_json::from_str::<String>(inside).ok();
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    Some(match name {
        "Utf8" | "Utf8View" | "LargeUtf8" => {
            quoted(&text().unwrap_or_else(|| inside.trim_matches('"').to_string()))
        }
        "Boolean" => inside.to_uppercase(),
        "Decimal128" | "Decimal256" => match inside.strip_prefix("Some(") {
            Some(rest) => decimal(rest)?,
            None => format!("DECIMAL({inside})"),
        },
        "Date32" | "Date64" => format!("DATE {}", quoted(&text().unwrap_or_else(|| inside.to_string()))),
        "Timestamp" => timestamp_type(inside)?,
        "TimestampSecond" => timestamp(inside, 1, 0)?,
        "TimestampMillisecond" => timestamp(inside, 1_000, 3)?,
        "TimestampMicrosecond" => timestamp(inside, 1_000_000, 6)?,
        "TimestampNanosecond" => timestamp(inside, 1_000_000_000, 9)?,
        "Interval" => "INTERVAL".to_string(),
        "IntervalMonthDayNano" => interval(inside)?,
        "IntervalYearMonth" => format!("INTERVAL '{}' MONTH", inside.trim_matches('"')),
        "Time32" | "Time64" => "TIME".to_string(),
        _ if name.starts_with("Time") => format!("TIME {}", quoted(inside.trim_matches('"'))),
        _ if sql == "BYTES" => return None,
        _ => inside.to_string(),
    })
}

/// `150),5,2` is 1.50.
fn decimal(rest: &str) -> Option<String> {
    let (digits, rest) = rest.split_once(')')?;
    let scale: usize = rest.rsplit(',').next()?.trim().parse().ok()?;
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    if scale == 0 {
        return Some(format!("{sign}{digits}"));
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    Some(format!("{sign}{whole}.{fraction}"))
}

/// `ms`, `ms, "UTC"`, `Millisecond, None`.
fn timestamp_type(inside: &str) -> Option<String> {
    let (unit, zone) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = match unit.trim() {
        "s" | "Second" => 0,
        "ms" | "Millisecond" => 3,
        "us" | "µs" | "Microsecond" => 6,
        "ns" | "Nanosecond" => 9,
        _ => return None,
    };
    let name = if matches!(zone.trim(), "" | "None") { "TIMESTAMP" } else { "TIMESTAMP_LTZ" };
    Some(format!("{name}({digits})"))
}

/// `1577836800000, None`.
fn timestamp(inside: &str, per_second: i64, digits: usize) -> Option<String> {
    let (ticks, zone) = inside.split_once(',')?;
    let ticks: i64 = ticks.trim().parse().ok()?;
    let nanos = u32::try_from(ticks.rem_euclid(per_second) * (1_000_000_000 / per_second)).ok()?;
    let time = chrono::DateTime::from_timestamp(ticks.div_euclid(per_second), nanos)?.naive_utc();
    let fraction = format!("{nanos:09}");
    let fraction = fraction.get(..digits)?.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    let name = if zone.trim() == "None" { "TIMESTAMP" } else { "TIMESTAMP_LTZ" };
    Some(format!("{name} '{}{dot}{fraction}'", time.format("%Y-%m-%d %H:%M:%S")))
}

/// `"IntervalMonthDayNano { months: 0, days: 1, nanoseconds: 0 }"`.
fn interval(inside: &str) -> Option<String> {
    let field = |name: &str| -> Option<i64> {
        let (_, rest) = inside.split_once(&format!("{name}: "))?;
        rest.split([',', ' ', '}', '"']).next()?.parse().ok()
    };
    let (months, days, nanos) = (field("months")?, field("days")?, field("nanoseconds")?);
    const UNITS: [(&str, i64); 3] =
        [("HOUR", 3_600_000_000_000), ("MINUTE", 60_000_000_000), ("SECOND", 1_000_000_000)];
    let mut parts = Vec::new();
    if months != 0 && months % 12 == 0 {
        parts.push(format!("INTERVAL '{}' YEAR", months / 12));
    } else if months != 0 {
        parts.push(format!("INTERVAL '{months}' MONTH"));
    }
    if days != 0 {
        parts.push(format!("INTERVAL '{days}' DAY"));
    }
    match UNITS.iter().find(|(_, unit)| nanos % unit == 0) {
        _ if nanos == 0 && !parts.is_empty() => {}
        _ if nanos == 0 => parts.push("INTERVAL '0' SECOND".to_string()),
        Some((name, unit)) => parts.push(format!("INTERVAL '{}' {name}", nanos / unit)),
        None => parts.push(format!("INTERVAL '{}' SECOND", nanos as f64 / 1e9)),
    }
    Some(parts.join(" + "))
}

/// What libraries put in front of a message, layer by layer.
const FRONTS: &[&str] = &[
    "Error during planning: ",
    "Execution error: ",
    "Internal error: ",
    "External error: ",
    "Arrow error: ",
    "Schema error: ",
    "SQL error: ",
    "This feature is not implemented: ",
    "Invalid argument error: ",
    "Cast error: ",
    "Parser error: ",
    "Compute error: ",
    "type_coercion\ncaused by\n",
];

/// Where a message turns to the library's developers, or lists what its users cannot know.
const TAILS: &[&str] = &[
    ".\nThis issue was likely caused by",
    "\nThis issue was likely caused by",
    " No function matches the given name",
    "\tCandidate functions:",
    "\n\tCandidate functions:",
    ", errors: ",
];

/// A message of a library, in our words.
pub fn message(text: &str) -> String {
    let mut text = text.trim();
    while let Some(rest) = FRONTS.iter().find_map(|front| text.strip_prefix(front)) {
        text = rest.trim_start();
    }
    if let Some(rest) = text.strip_prefix("Optimizer rule '").and_then(|rest| rest.split_once("caused by\n"))
    {
        return message(rest.1);
    }
    for tail in TAILS {
        text = text.split(tail).next().unwrap_or(text);
    }
    let text = text.trim().trim_end_matches('.');
    if let Some(function) = between(text, "Function '", "' failed to match any signature") {
        return format!("{} does not take these arguments", function.to_uppercase());
    }
    if let Some(function) = between(text, "Invalid function '", "'") {
        return format!("function '{function}' is not known");
    }
    if let Some((from, to)) =
        text.strip_prefix("Cannot automatically convert ").and_then(|rest| rest.split_once(" to "))
    {
        return format!("{} is not {} by itself: write CAST(... AS {1})", plain(from), plain(to));
    }
    if let Some(said) = rephrased(text) {
        return said;
    }
    let text = plain(text);
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        // Not an acronym or a name in capitals.
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            format!("{}{}", first.to_lowercase(), &text[first.len_utf8()..])
        }
        _ => text.into_owned(),
    }
}

/// Messages that name what a library does, and not what was written.
fn rephrased(text: &str) -> Option<String> {
    if let Some((value, to)) =
        text.strip_prefix("Cannot cast string '").and_then(|rest| rest.rsplit_once("' to value of "))
    {
        return Some(format!("'{value}' is not a value of {}", plain(to.trim_end_matches(" type"))));
    }
    if let Some(rest) = text.strip_prefix("Cannot get result type for temporal operation ") {
        return Some(format!("{} is not possible", plain(rest.split(": ").next()?)));
    }
    if let Some((predicate, is)) = text
        .strip_prefix("Cannot create filter with non-boolean predicate '")
        .and_then(|rest| rest.split_once("' returning "))
    {
        return Some(format!("a condition is BOOLEAN, and {} is {}", plain(predicate), plain(is)));
    }
    if let Some(rest) = text.strip_prefix("Cannot access field at argument ") {
        let of = between(rest.split_once(": type ")?.1, "", " is not")?;
        return Some(match of {
            _ if of.starts_with("List(") => {
                "an ARRAY has no fields: write x[1].field, or CROSS JOIN UNNEST(x) for all of them"
                    .to_string()
            }
            "Utf8" | "Utf8View" | "LargeUtf8" => {
                "a STRING has no fields: write JSON_VALUE(x, '$.field') if it holds JSON".to_string()
            }
            _ if of.starts_with("Map(") => "a MAP has no fields: write x['field']".to_string(),
            _ => format!("{} has no fields", plain(of)),
        });
    }
    if text == "TOP" {
        return Some("TOP is not supported: write LIMIT at the end".to_string());
    }
    let node = ["Unsupported ast node in sqltorel: ", "Unsupported ast node "];
    if let Some(node) = node.iter().find_map(|front| text.strip_prefix(front)) {
        let end = node.find(|c: char| !c.is_alphanumeric()).unwrap_or(node.len());
        return Some(format!("{} is not supported", node[..end].to_uppercase()));
    }
    if let Some((value, list)) = text
        .strip_prefix("expr type ")
        .and_then(|rest| rest.strip_suffix(" in InSubquery"))
        .and_then(|rest| rest.split_once(" can't cast to "))
    {
        let list = plain(list).replace("List(", "ARRAY<").replace(')', ">");
        return Some(format!("IN compares {} with {list}", plain(value)));
    }
    let named = text.strip_prefix("No field named ")?;
    let end = [". ", ".\n"].iter().filter_map(|end| named.find(end)).min().unwrap_or(named.len());
    Some(format!("column '{}' not found", named[..end].trim_matches(['"', '.'])))
}

/// The two types that an operator does not take together: `has type Utf8` and `has type List(Int64)`.
pub fn sides(left: &str, right: &str) -> Option<String> {
    let (left, right) = (left.strip_prefix("has type ")?, right.strip_prefix("has type ")?);
    Some(format!("types that do not meet: {} and {}", kind(left), kind(right)))
}

/// A type in SQL's words; one that holds others by its kind alone.
fn kind(of: &str) -> Cow<'_, str> {
    let kinds = [("List(", "ARRAY"), ("LargeList(", "ARRAY"), ("Map(", "MAP"), ("Struct(", "ROW")];
    let nested = kinds.iter().find(|(front, _)| of.starts_with(front));
    nested.map_or_else(|| plain(of), |(_, sql)| Cow::Borrowed(*sql))
}

/// The advice of a library, in our words.
pub fn help(text: &str) -> String {
    match text.strip_prefix("perhaps you need to cast ") {
        Some(operand) => format!("CAST({} AS ...) converts it", plain(operand)),
        None => plain(text).into_owned(),
    }
}

fn between<'a>(text: &'a str, front: &str, behind: &str) -> Option<&'a str> {
    text.strip_prefix(front)?.split_once(behind).map(|(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_types_are_those_of_sql() {
        for (text, expected) in [
            ("g.id % Int64(10)", "g.id % 10"),
            (r#"e.id != Utf8View("it's \"x\"")"#, r#"e.id != 'it''s "x"'"#),
            ("CAST(a AS Utf8View) = Utf8(NULL)", "CAST(a AS STRING) = NULL"),
            ("x > Decimal128(Some(-1505),10,3) AND Boolean(true)", "x > -1.505 AND TRUE"),
            (
                r#"ts + IntervalMonthDayNano("IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 60000000000 }")"#,
                "ts + INTERVAL '1' MINUTE",
            ),
            ("TimestampMillisecond(1577836800250, None)", "TIMESTAMP '2020-01-01 00:00:00.25'"),
            ("has type Timestamp(ms, \"Etc/UTC\")", "has type TIMESTAMP_LTZ(3)"),
            ("Date32(\"2020-01-01\")", "DATE '2020-01-01'"),
            ("Int64x `Int64` my_Int64 a.Int64", "Int64x `Int64` my_Int64 a.Int64"),
            ("Float64(1.5) ä Int32(", "1.5 ä INT("),
        ] {
            assert_eq!(plain(text), expected);
        }
    }

    #[test]
    fn advice_and_notes_speak_of_sql() {
        assert_eq!(help(r#"perhaps you need to cast Utf8("a")"#), "CAST('a' AS ...) converts it");
        assert_eq!(help("perhaps you need to cast t.a"), "CAST(t.a AS ...) converts it");
        let map =
            r#"has type Map("entries": non-null Struct("key": non-null Utf8, "value": Int64), unsorted)"#;
        assert_eq!(sides(map, "has type Int64").as_deref(), Some("types that do not meet: MAP and BIGINT"));
        assert_eq!(sides("Possible function 'sum'", "has type Int64"), None);
    }

    #[test]
    fn messages_speak_of_sql() {
        for (text, expected) in [
            (
                "Internal error: Function 'row_number' failed to match any signature, errors: Error during planning: x.\nThis issue was likely caused by a bug in DataFusion's code.",
                "ROW_NUMBER does not take these arguments",
            ),
            ("Error during planning: Invalid function 'nope'", "function 'nope' is not known"),
            (
                "Cannot automatically convert Int32 to Interval(MonthDayNano)",
                "INT is not INTERVAL by itself: write CAST(... AS INTERVAL)",
            ),
            ("Cannot cast string 'a' to value of Int32 type", "'a' is not a value of INT"),
            (
                "Cannot get result type for temporal operation Timestamp(ms) + Timestamp(ms): Invalid argument error: x",
                "TIMESTAMP(3) + TIMESTAMP(3) is not possible",
            ),
            (
                "Cannot create filter with non-boolean predicate 'g.id' returning Int64",
                "a condition is BOOLEAN, and g.id is BIGINT",
            ),
            ("No field named nope. Valid fields are g.id, g.s.", "column 'nope' not found"),
            ("expr type Int32 can't cast to List(Int32) in InSubquery", "IN compares INT with ARRAY<INT>"),
            ("LIMIT must be >= 0, '-1' was provided", "LIMIT must be >= 0, '-1' was provided"),
        ] {
            assert_eq!(message(text), expected);
        }
    }
}
