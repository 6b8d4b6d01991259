//! Strings. Positions count characters from 1; results follow Flink's `SqlFunctionUtils`, checked
//! against Flink 2.3.

use arrow::array::{Array, ArrayRef, ListBuilder, MapBuilder, StringViewBuilder};
use arrow::datatypes::{DataType, Field, Int32Type};
use std::sync::Arc;

use super::matcher::compiled;
use super::scalar::{Call, Definition, Kind, Returns, Typing, define, some};
use crate::error::{Error, Result};

use Kind::{Any, Bool, Int, Text};

/// A call that would write more than this for one row is an error instead of an exhausted memory.
const LONGEST: usize = 256 << 20;

pub(crate) static FUNCTIONS: &[Definition] = &[
    define(&["UPPER"], &[Text], Returns::Text, upper),
    define(&["LOWER"], &[Text], Returns::Text, lower),
    define(&["INITCAP"], &[Text], Returns::Text, initcap),
    define(&["REVERSE"], &[Text], Returns::Text, reverse),
    define(&["CHAR_LENGTH", "CHARACTER_LENGTH"], &[Text], Returns::Int, char_length),
    define(&["ASCII"], &[Text], Returns::Int, ascii),
    define(&["CHR"], &[Int], Returns::Text, chr),
    define(&["CONCAT"], &[Text], Returns::Text, concat).variadic(),
    define(&["CONCAT_WS"], &[Text, Text], Returns::Text, concat_ws).optional(1).variadic(),
    define(&["SUBSTRING", "SUBSTR"], &[Text, Int, Int], Returns::Text, substring).optional(1),
    define(&["LEFT"], &[Text, Int], Returns::Text, left),
    define(&["RIGHT"], &[Text, Int], Returns::Text, right),
    define(&["LPAD"], &[Text, Int, Text], Returns::Text, lpad),
    define(&["RPAD"], &[Text, Int, Text], Returns::Text, rpad),
    define(&["REPEAT"], &[Text, Int], Returns::Text, repeat),
    define(&["REPLACE"], &[Text, Text, Text], Returns::Text, replace),
    define(&["TRANSLATE"], &[Text, Text, Text], Returns::Text, translate),
    define(&["OVERLAY"], &[Text, Text, Int, Int], Returns::Text, overlay).optional(1),
    define(&["TRIM"], &[Text, Text], Returns::Text, btrim).optional(1),
    define(&["BTRIM"], &[Text, Text], Returns::Text, btrim).optional(1),
    define(&["LTRIM"], &[Text, Text], Returns::Text, ltrim).optional(1),
    define(&["RTRIM"], &[Text, Text], Returns::Text, rtrim).optional(1),
    define(&["POSITION"], &[Text, Text], Returns::Int, locate),
    define(&["LOCATE"], &[Text, Text, Int], Returns::Int, locate).optional(1),
    define(&["INSTR"], &[Text, Text, Int, Int], Returns::Int, instr).optional(2),
    define(&["STARTSWITH"], &[Kind::TextOrBytes, Kind::TextOrBytes], Returns::Bool, starts_with),
    define(&["ENDSWITH"], &[Kind::TextOrBytes, Kind::TextOrBytes], Returns::Bool, ends_with),
    define(&["SPLIT_INDEX"], &[Text, Kind::TextOrNumber, Int], Returns::Text, split_index),
    define(&["SPLIT"], &[Text, Text], Returns::With(|_| Ok(list_of_text())), split),
    define(&["STR_TO_MAP"], &[Text, Text, Text], Returns::With(|_| Ok(map_of_text())), str_to_map)
        .optional(2),
    define(&["ELT"], &[Int, Kind::TextOrBytes], Returns::With(elt_type), elt).variadic(),
    define(&["IS_ALPHA"], &[Any], Returns::Bool, is_alpha),
    define(&["IS_DIGIT"], &[Any], Returns::Bool, is_digit),
    define(&["IS_DECIMAL"], &[Any], Returns::Bool, is_decimal),
    define(&["PRINTF"], &[Text, Any], Returns::Text, super::printf::printf).optional(1).variadic(),
    define(&["$LIKE_PATTERN"], &[Text, Text], Returns::Text, like_pattern).optional(1),
    define(&["$SIMILAR"], &[Text, Text, Text, Bool], Returns::Bool, super::regexp::similar).optional(2),
];

pub(crate) fn list_of_text() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true)))
}

fn map_of_text() -> DataType {
    let entries =
        vec![Field::new("key", DataType::Utf8View, false), Field::new("value", DataType::Utf8View, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries.into()), false)), false)
}

fn upper(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    c.texts(|row, out| {
        let s = some!(s.get(row));
        if s.is_ascii() {
            out.push_str(s);
            out.make_ascii_uppercase();
        } else {
            out.extend(s.chars().flat_map(char::to_uppercase));
        }
        Ok(Some(()))
    })
}

fn lower(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    c.texts(|row, out| {
        let s = some!(s.get(row));
        if s.is_ascii() {
            out.push_str(s);
            out.make_ascii_lowercase();
        } else {
            out.push_str(&s.to_lowercase());
        }
        Ok(Some(()))
    })
}

fn initcap(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    c.texts(|row, out| {
        let mut inside = false;
        for ch in some!(s.get(row)).chars() {
            if inside {
                out.extend(ch.to_lowercase());
            } else {
                out.extend(ch.to_uppercase());
            }
            inside = ch.is_alphanumeric();
        }
        Ok(Some(()))
    })
}

fn reverse(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    c.texts(|row, out| {
        out.extend(some!(s.get(row)).chars().rev());
        Ok(Some(()))
    })
}

/// Characters of a string, quickly if it is ASCII.
pub(crate) fn count(s: &str) -> i64 {
    if s.is_ascii() { s.len() as i64 } else { s.chars().count() as i64 }
}

/// The byte at which character `n` (from 0) begins, or the end.
pub(crate) fn offset(s: &str, n: i64) -> usize {
    if n <= 0 {
        return 0;
    }
    if s.is_ascii() {
        return s.len().min(usize::try_from(n).unwrap_or(usize::MAX));
    }
    s.char_indices().nth(usize::try_from(n).unwrap_or(usize::MAX)).map_or(s.len(), |(i, _)| i)
}

fn char_length(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    c.numbers::<Int32Type>(|row| Ok(s.get(row).map(|s| count(s) as i32)))
}

fn ascii(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    c.numbers::<Int32Type>(|row| {
        Ok(s.get(row).map(|s| s.as_bytes().first().map_or(0, |b| i32::from(*b as i8))))
    })
}

fn chr(c: &Call<'_>) -> Result<ArrayRef> {
    let n = c.int(0)?;
    c.texts(|row, out| {
        let n = some!(n.get(row));
        if n >= 0 {
            out.push(char::from((n & 0xFF) as u8));
        }
        Ok(Some(()))
    })
}

fn concat(c: &Call<'_>) -> Result<ArrayRef> {
    let parts = (0..c.args.len()).map(|i| c.text(i)).collect::<Result<Vec<_>>>()?;
    c.texts(|row, out| {
        for part in &parts {
            out.push_str(some!(part.get(row)));
        }
        Ok(Some(()))
    })
}

fn concat_ws(c: &Call<'_>) -> Result<ArrayRef> {
    let separator = c.text(0)?;
    let parts = (1..c.args.len()).map(|i| c.text(i)).collect::<Result<Vec<_>>>()?;
    c.texts(|row, out| {
        let separator = some!(separator.get(row));
        for (i, part) in parts.iter().filter_map(|p| p.get(row)).enumerate() {
            if i > 0 {
                out.push_str(separator);
            }
            out.push_str(part);
        }
        Ok(Some(()))
    })
}

fn substring(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, start) = (c.text(0)?, c.int(1)?);
    let length = if c.has(2) { Some(c.int(2)?) } else { None };
    c.slices(|row| {
        let (s, start) = (some!(s.get(row)), some!(start.get(row)));
        let length = match &length {
            Some(l) => some!(l.get(row)),
            None => i64::MAX,
        };
        if length < 0 {
            return Ok(None);
        }
        let first = match start {
            0 => 0,
            1.. => start - 1,
            _ => match count(s).checked_add(start) {
                Some(first) if first >= 0 => first,
                _ => return Ok(Some("")),
            },
        };
        let rest = &s[offset(s, first)..];
        Ok(Some(&rest[..offset(rest, length)]))
    })
}

fn left(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, n) = (c.text(0)?, c.int(1)?);
    c.slices(|row| {
        let (s, n) = (some!(s.get(row)), some!(n.get(row)));
        Ok(Some(&s[..offset(s, n)]))
    })
}

fn right(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, n) = (c.text(0)?, c.int(1)?);
    c.slices(|row| {
        let (s, n) = (some!(s.get(row)), some!(n.get(row)));
        if n <= 0 {
            return Ok(Some(""));
        }
        Ok(Some(&s[offset(s, count(s).saturating_sub(n))..]))
    })
}

fn pad(c: &Call<'_>, in_front: bool) -> Result<ArrayRef> {
    let (s, n, fill) = (c.text(0)?, c.int(1)?, c.text(2)?);
    c.texts(|row, out| {
        let (s, n, fill) = (some!(s.get(row)), some!(n.get(row)), some!(fill.get(row)));
        if n < 0 || fill.is_empty() {
            return Ok(None);
        }
        let have = count(s);
        if have >= n {
            out.push_str(&s[..offset(s, n)]);
            return Ok(Some(()));
        }
        let lacking = (n - have) as usize;
        if lacking > LONGEST {
            return Err(too_long(c.name()));
        }
        if !in_front {
            out.push_str(s);
        }
        out.extend(fill.chars().cycle().take(lacking));
        if in_front {
            out.push_str(s);
        }
        Ok(Some(()))
    })
}

fn too_long(name: &str) -> Error {
    Error::execution(format!("the result of {name} is longer than {} MiB", LONGEST >> 20))
}

fn lpad(c: &Call<'_>) -> Result<ArrayRef> {
    pad(c, true)
}
fn rpad(c: &Call<'_>) -> Result<ArrayRef> {
    pad(c, false)
}

fn repeat(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, n) = (c.text(0)?, c.int(1)?);
    c.texts(|row, out| {
        let (s, n) = (some!(s.get(row)), some!(n.get(row)));
        let n = usize::try_from(n).unwrap_or(0);
        if s.len().saturating_mul(n) > LONGEST {
            return Err(too_long(c.name()));
        }
        for _ in 0..if s.is_empty() { 0 } else { n } {
            out.push_str(s);
        }
        Ok(Some(()))
    })
}

fn replace(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, from, to) = (c.text(0)?, c.text(1)?, c.text(2)?);
    c.texts(|row, out| {
        let (s, from, to) = (some!(s.get(row)), some!(from.get(row)), some!(to.get(row)));
        let mut end = 0;
        for (start, found) in s.match_indices(from) {
            out.push_str(&s[end..start]);
            out.push_str(to);
            end = start + found.len();
        }
        out.push_str(&s[end..]);
        Ok(Some(()))
    })
}

fn translate(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, from, to) = (c.text(0)?, c.text(1)?, c.text(2)?);
    c.texts(|row, out| {
        let (s, from) = (some!(s.get(row)), from.get(row).unwrap_or(""));
        let to = to.get(row).unwrap_or("");
        for ch in s.chars() {
            match from.chars().position(|f| f == ch) {
                None => out.push(ch),
                Some(i) => out.extend(to.chars().nth(i)),
            }
        }
        Ok(Some(()))
    })
}

fn overlay(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, by, start) = (c.text(0)?, c.text(1)?, c.int(2)?);
    let length = if c.has(3) { Some(c.int(3)?) } else { None };
    c.texts(|row, out| {
        let (s, by, start) = (some!(s.get(row)), some!(by.get(row)), some!(start.get(row)));
        let length = match &length {
            Some(l) => some!(l.get(row)),
            None => count(by),
        };
        let n = count(s);
        if start <= 0 || start > n {
            out.push_str(s);
            return Ok(Some(()));
        }
        out.push_str(&s[..offset(s, start - 1)]);
        out.push_str(by);
        // Flink keeps nothing behind a replaced part of no length.
        if length > 0 && start.saturating_add(length) <= n {
            out.push_str(&s[offset(s, start - 1 + length)..]);
        }
        Ok(Some(()))
    })
}

fn trim(c: &Call<'_>, start: bool, end: bool) -> Result<ArrayRef> {
    let s = c.text(0)?;
    let set = if c.has(1) { Some(c.text(1)?) } else { None };
    c.slices(|row| {
        let mut s = some!(s.get(row));
        let set = match &set {
            Some(set) => some!(set.get(row)),
            None => " ",
        };
        if start {
            s = s.trim_start_matches(|ch| set.contains(ch));
        }
        if end {
            s = s.trim_end_matches(|ch| set.contains(ch));
        }
        Ok(Some(s))
    })
}
fn btrim(c: &Call<'_>) -> Result<ArrayRef> {
    trim(c, true, true)
}
fn ltrim(c: &Call<'_>) -> Result<ArrayRef> {
    trim(c, true, false)
}
fn rtrim(c: &Call<'_>) -> Result<ArrayRef> {
    trim(c, false, true)
}

/// Position from 1 of `part` in `s` at or behind position `from`, or 0.
fn find(s: &str, part: &str, from: i64) -> i64 {
    if part.is_empty() {
        return 1;
    }
    let start = offset(s, from.saturating_sub(1));
    s[start..].find(part).map_or(0, |i| count(&s[..start + i]) + 1)
}

fn locate(c: &Call<'_>) -> Result<ArrayRef> {
    let (part, s) = (c.text(0)?, c.text(1)?);
    let from = if c.has(2) { Some(c.int(2)?) } else { None };
    c.numbers::<Int32Type>(|row| {
        let (part, s) = (some!(part.get(row)), some!(s.get(row)));
        let from = match &from {
            Some(f) => some!(f.get(row)),
            None => 1,
        };
        Ok(Some(find(s, part, from) as i32))
    })
}

fn instr(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, part) = (c.text(0)?, c.text(1)?);
    let start = if c.has(2) { Some(c.int(2)?) } else { None };
    let nth = if c.has(3) { Some(c.int(3)?) } else { None };
    fn forward(s: &str, part: &str, mut from: i64, nth: i64) -> i64 {
        let mut found = 0;
        for _ in 0..nth {
            found = find(s, part, from);
            if found == 0 || part.is_empty() {
                return found;
            }
            from = found + 1;
        }
        found
    }
    c.numbers::<Int32Type>(|row| {
        let (s, part) = (some!(s.get(row)), some!(part.get(row)));
        let start = match &start {
            Some(v) => some!(v.get(row)),
            None => 1,
        };
        let nth = match &nth {
            Some(v) => some!(v.get(row)),
            None => 1,
        };
        if nth < 1 {
            return Err(Error::execution("INSTR counts occurrences from 1").with_detail(format!("got {nth}")));
        }
        Ok(Some(match start {
            0 => 0,
            1.. => forward(s, part, start, nth),
            _ => {
                let reversed = |s: &str| s.chars().rev().collect::<String>();
                match forward(&reversed(s), &reversed(part), start.saturating_neg(), nth) {
                    0 => 0,
                    found => count(s) + 2 - found - count(part),
                }
            }
        } as i32))
    })
}

fn starts_with(c: &Call<'_>) -> Result<ArrayRef> {
    affix(c, |s, part| s.starts_with(part), <[u8]>::starts_with)
}
fn ends_with(c: &Call<'_>) -> Result<ArrayRef> {
    affix(c, |s, part| s.ends_with(part), <[u8]>::ends_with)
}
fn affix(c: &Call<'_>, text: fn(&str, &str) -> bool, bytes: fn(&[u8], &[u8]) -> bool) -> Result<ArrayRef> {
    if [0, 1].iter().any(|&i| *c.kind(i) == DataType::BinaryView) {
        let null = |i: usize| c.args[i].array.null_count() == c.args[i].array.len();
        if null(0) || null(1) {
            return c.booleans(|_| Ok(None));
        }
        of_one_kind(c, &[0, 1])?;
        let (s, part) = (c.bytes(0)?, c.bytes(1)?);
        return c.booleans(|row| Ok(Some(bytes(some!(s.get(row)), some!(part.get(row))))));
    }
    let (s, part) = (c.text(0)?, c.text(1)?);
    c.booleans(|row| Ok(Some(text(some!(s.get(row)), some!(part.get(row))))))
}

fn split_index(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, index) = (c.text(0)?, c.int(2)?);
    // A number is the code of the separating character.
    let code = matches!(c.kind(1), DataType::Int64);
    let (separator, codes) = if code { (None, Some(c.int(1)?)) } else { (Some(c.text(1)?), None) };
    let mut buffer = String::new();
    c.slices(|row| {
        let (s, index) = (some!(s.get(row)), some!(index.get(row)));
        let separator = match (&separator, &codes) {
            (Some(v), _) => some!(v.get(row)),
            (None, Some(v)) => {
                let code = some!(v.get(row));
                if !(1..=255).contains(&code) {
                    return Ok(None);
                }
                buffer.clear();
                buffer.push(char::from(code as u8));
                buffer.as_str()
            }
            (None, None) => return Ok(None),
        };
        let Ok(index) = usize::try_from(index) else { return Ok(None) };
        if s.is_empty() {
            return Ok(None);
        }
        Ok(if separator.is_empty() {
            s.split(char::is_whitespace).nth(index)
        } else {
            s.split(separator).nth(index)
        })
    })
}

fn split(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, separator) = (c.text(0)?, c.text(1)?);
    let mut list = ListBuilder::new(StringViewBuilder::new());
    for row in 0..c.rows {
        let (Some(s), Some(separator)) = (s.get(row), separator.get(row)) else {
            list.append_null();
            continue;
        };
        if s.is_empty() {
        } else if separator.is_empty() {
            let mut utf8 = [0; 4];
            for ch in s.chars() {
                list.values().append_value(ch.encode_utf8(&mut utf8));
            }
        } else {
            for part in s.split(separator) {
                list.values().append_value(part);
            }
        }
        list.append(true);
    }
    Ok(Arc::new(list.finish()))
}

fn str_to_map(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    let pairs = if c.has(1) { Some(c.text(1)?) } else { None };
    let keys = if c.has(2) { Some(c.text(2)?) } else { None };
    let DataType::Map(entries, _) = map_of_text() else { return Err(Error::internal("STR_TO_MAP's type")) };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Error::internal("STR_TO_MAP's type"));
    };
    let names =
        arrow::array::MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    let mut map = MapBuilder::new(Some(names), StringViewBuilder::new(), StringViewBuilder::new())
        .with_keys_field(fields[0].clone())
        .with_values_field(fields[1].clone());
    let given = |v: &Option<super::scalar::Values<'_, arrow::array::StringViewArray>>, row, default| match v {
        Some(v) => v.get(row).map(str::to_string),
        None => Some(String::from(default)),
    };
    for row in 0..c.rows {
        let (Some(s), Some(pair), Some(key)) = (s.get(row), given(&pairs, row, ","), given(&keys, row, "="))
        else {
            map.append(false)?;
            continue;
        };
        // Both separators are regular expressions in Flink; a later key replaces an earlier one.
        let (pair, key) = (compiled(&pair)?, compiled(&key)?);
        let mut found = indexmap::IndexMap::new();
        for part in pair.split(s, usize::MAX)?.into_iter().filter(|_| !s.is_empty()) {
            let mut halves = key.split(part, 2)?.into_iter();
            found.insert(halves.next().unwrap_or(""), halves.next());
        }
        for (key, value) in found {
            map.keys().append_value(key);
            map.values().append_option(value);
        }
        map.append(true)?;
    }
    Ok(Arc::new(map.finish()))
}

/// Text and bytes are not mixed.
fn of_one_kind(c: &Call<'_>, arguments: &[usize]) -> Result<()> {
    match arguments.iter().all(|&i| *c.kind(i) == DataType::BinaryView) {
        true => Ok(()),
        false => Err(Error::plan(format!("{} takes STRING or BYTES, not both", c.name()))
            .with_hint("CAST one to the type of the other, or ENCODE the text")),
    }
}

fn elt_type(typing: &Typing<'_>) -> Result<DataType> {
    let bytes =
        typing.types.get(1).is_some_and(|t| t.is_binary() || matches!(t, DataType::FixedSizeBinary(_)));
    Ok(if bytes { DataType::BinaryView } else { DataType::Utf8View })
}

fn elt(c: &Call<'_>) -> Result<ArrayRef> {
    let index = c.int(0)?;
    let all: Vec<usize> = (1..c.args.len()).collect();
    if all.iter().any(|&i| *c.kind(i) == DataType::BinaryView) {
        of_one_kind(c, &all)?;
        let values = all.iter().map(|&i| c.bytes(i)).collect::<Result<Vec<_>>>()?;
        return c.blobs(|row, out| {
            let index = some!(index.get(row));
            let at = some!(usize::try_from(index).ok().and_then(|i| i.checked_sub(1)));
            out.extend_from_slice(some!(some!(values.get(at)).get(row)));
            Ok(Some(()))
        });
    }
    let values = (1..c.args.len()).map(|i| c.text(i)).collect::<Result<Vec<_>>>()?;
    c.slices(|row| {
        let index = some!(index.get(row));
        Ok(usize::try_from(index).ok().and_then(|i| values.get(i.checked_sub(1)?)).and_then(|v| v.get(row)))
    })
}

/// These three answer FALSE for NULL and TRUE or FALSE for numbers.
fn is_word(c: &Call<'_>, number: bool, test: fn(&str) -> bool) -> Result<ArrayRef> {
    if *c.kind(0) != DataType::Utf8View {
        let a = &c.args[0];
        let number = number && c.kind(0).is_numeric();
        return c.booleans(|row| Ok(Some(number && !a.array.is_null(row * a.step))));
    }
    let s = c.text(0)?;
    c.booleans(|row| Ok(Some(s.get(row).is_some_and(|s| !s.is_empty() && test(s)))))
}
fn is_alpha(c: &Call<'_>) -> Result<ArrayRef> {
    is_word(c, false, |s| s.chars().all(char::is_alphabetic))
}
fn is_digit(c: &Call<'_>) -> Result<ArrayRef> {
    is_word(c, true, |s| s.chars().all(char::is_numeric))
}
fn is_decimal(c: &Call<'_>) -> Result<ArrayRef> {
    is_word(c, true, |s| {
        // Infinity and NaN are words, not decimals.
        s.bytes().any(|b| b.is_ascii_digit()) && fast_float2::parse::<f64, _>(s.trim()).is_ok()
    })
}

/// A pattern of LIKE with the backslash as its escape character, from one with another, or with none.
fn like_pattern(c: &Call<'_>) -> Result<ArrayRef> {
    let pattern = c.text(0)?;
    let escape = if c.has(1) { c.constant_text(1)?.and_then(|e| e.chars().next()) } else { None };
    c.texts(|row, out| {
        let mut chars = some!(pattern.get(row)).chars();
        while let Some(ch) = chars.next() {
            if Some(ch) == escape {
                if let Some(next) = chars.next() {
                    out.extend(['\\', next]);
                }
            } else if ch == '\\' {
                out.push_str("\\\\");
            } else {
                out.push(ch);
            }
        }
        Ok(Some(()))
    })
}
