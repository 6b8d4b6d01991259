//! Values as the server prints them to columns: what logical replication sends. They become what they are in binary, so
//! that both are read the same way.

use super::super::wire::{EPOCH_DAYS, Wire};
use super::{Column, Make, Rows};
use tokio_postgres::types::{Kind, Type};

/// How the texts of a column are read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Printed {
    wire: Wire,
    as_text: AsText,
}

/// What becomes of a text where a text is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AsText {
    Same,
    /// The padding of CHAR is left out, as a cast does.
    Trimmed,
    /// `t` is `true`, as a cast has it.
    Truth,
}

impl Printed {
    /// How values of a type are read into a type of ours; `None` where they are not.
    pub(crate) fn of(t: &Type, to: &arrow::datatypes::DataType) -> Option<Self> {
        let wire = Wire::of(t);
        if wire.reads_into(to) {
            return Some(Self { wire, as_text: AsText::Same });
        }
        let base = match t.kind() {
            Kind::Domain(inner) => inner,
            _ => t,
        };
        let as_text = match *base {
            Type::BPCHAR => AsText::Trimmed,
            Type::BOOL => AsText::Truth,
            _ => AsText::Same,
        };
        (*to == arrow::datatypes::DataType::Utf8View).then_some(Self { wire: Wire::Text, as_text })
    }

    fn text<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        match self.as_text {
            AsText::Same => text,
            AsText::Trimmed => text.trim_ascii_end_spaces(),
            AsText::Truth => match text {
                b"t" => b"true",
                b"f" => b"false",
                other => other,
            },
        }
    }
}

trait TrimEnd {
    fn trim_ascii_end_spaces(&self) -> &[u8];
}

impl TrimEnd for [u8] {
    fn trim_ascii_end_spaces(&self) -> &[u8] {
        let end = self.iter().rposition(|b| *b != b' ').map_or(0, |last| last + 1);
        &self[..end]
    }
}

impl Rows {
    /// Rows whose values come as texts.
    pub(crate) fn printed(schema: &arrow::datatypes::SchemaRef, printed: &[Printed]) -> Self {
        let columns = schema.fields().iter().zip(printed).map(|(field, p)| Column::new(field, &p.wire));
        Self { columns: columns.collect(), count: 0 }
    }

    /// The value of one column of the row that is coming, as a text.
    pub(crate) fn push_text(
        &mut self,
        column: usize,
        printed: &Printed,
        text: Option<&[u8]>,
    ) -> Result<(), String> {
        let Some(column) = self.columns.get_mut(column) else {
            return Err("a row has more columns than were asked for".into());
        };
        match text {
            None => column.push_null(),
            Some(text) => column.push_text(printed.text(text))?,
        }
        Ok(())
    }
}

impl Column {
    fn push_text(&mut self, text: &[u8]) -> Result<(), String> {
        let mut room = [0; 16];
        match (&mut self.make, &self.wire) {
            (Make::Text(b), _) => match simdutf8::basic::from_utf8(text) {
                Ok(text) => {
                    b.append_value(text);
                    Ok(())
                }
                Err(_) => Err(self.wrong("a text that is not UTF-8")),
            },
            (Make::List { .. }, _) => self.push_printed_list(text),
            (Make::Bytes(b), Wire::Bytes) => {
                let bytes = text.strip_prefix(b"\\x").and_then(unhex);
                match bytes {
                    Some(bytes) => {
                        b.append_value(bytes);
                        Ok(())
                    }
                    None => Err(self.wrong("a text that is no bytes")),
                }
            }
            (Make::Decimal(_, _, scale), Wire::Numeric) => {
                let scale = *scale;
                let value = decimal(text, scale.into()).map_err(|what| self.wrong(what))?;
                self.append_decimal(value)
            }
            (_, Wire::Numeric) => {
                let value = decimal(text, 0).map_err(|what| self.wrong(what))?;
                let value = i64::try_from(value).map_err(|_| self.wrong(value))?;
                self.append_whole(value)
            }
            (_, wire) => match binary(wire, text, &mut room) {
                Some(length) => self.push(Some(&room[..length])),
                None => Err(self.wrong(format_args!("'{}'", String::from_utf8_lossy(text)))),
            },
        }
    }

    /// `{1,NULL,"a \"b\""}`
    fn push_printed_list(&mut self, text: &[u8]) -> Result<(), String> {
        // `[0:1]={1,2}`: where the first element is, which is of no account.
        let body = match text.first() {
            Some(b'[') => text.iter().position(|b| *b == b'=').map_or(text, |at| &text[at + 1..]),
            _ => text,
        };
        let wrong = "a text that is no array";
        let Some(body) = body.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")) else {
            return Err(self.wrong(wrong));
        };
        let mut elements: Vec<Option<Vec<u8>>> = Vec::new();
        let mut at = 0;
        while at < body.len() {
            let mut element = Vec::new();
            match body[at] {
                b'{' => return Err(self.wrong("an array of several dimensions")),
                b'"' => {
                    at += 1;
                    loop {
                        match body.get(at) {
                            Some(b'"') => break,
                            Some(b'\\') => {
                                at += 1;
                                element.push(*body.get(at).ok_or_else(|| self.wrong(wrong))?);
                            }
                            Some(byte) => element.push(*byte),
                            None => return Err(self.wrong(wrong)),
                        }
                        at += 1;
                    }
                    at += 1;
                    elements.push(Some(element));
                }
                _ => {
                    let end = body[at..].iter().position(|b| *b == b',').map_or(body.len(), |n| at + n);
                    let plain = &body[at..end];
                    elements.push(if plain == b"NULL" { None } else { Some(plain.to_vec()) });
                    at = end;
                }
            }
            match body.get(at) {
                None => {}
                Some(b',') if at + 1 < body.len() => at += 1,
                Some(_) => return Err(self.wrong(wrong)),
            }
        }
        let Make::List { item, offsets, nulls, .. } = &mut self.make else { return Ok(()) };
        for element in &elements {
            match element {
                None => item.push_null(),
                Some(text) => item.push_text(text)?,
            }
        }
        let before = offsets.last().copied().unwrap_or_default();
        let after = i32::try_from(elements.len()).ok().and_then(|n| before.checked_add(n));
        offsets.push(after.ok_or("arrays with too many elements")?);
        nulls.append_non_null();
        Ok(())
    }
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// What a value is in binary, in `room`, and its length.
fn binary(wire: &Wire, text: &[u8], room: &mut [u8; 16]) -> Option<usize> {
    fn put<const N: usize>(room: &mut [u8; 16], bytes: [u8; N]) -> Option<usize> {
        room.get_mut(..N)?.copy_from_slice(&bytes);
        Some(N)
    }
    let text = std::str::from_utf8(text).ok()?;
    match wire {
        Wire::Bool => put(room, [u8::from(text == "t")]),
        Wire::Int2 => put(room, text.parse::<i16>().ok()?.to_be_bytes()),
        Wire::Int4 => put(room, text.parse::<i32>().ok()?.to_be_bytes()),
        Wire::Int8 => put(room, text.parse::<i64>().ok()?.to_be_bytes()),
        Wire::Float4 => put(room, text.parse::<f32>().ok()?.to_be_bytes()),
        Wire::Float8 => put(room, text.parse::<f64>().ok()?.to_be_bytes()),
        Wire::Uuid => put(room, *uuid::Uuid::parse_str(text).ok()?.as_bytes()),
        Wire::Date => put(room, date(text)?.to_be_bytes()),
        Wire::Time => put(room, time(text)?.to_be_bytes()),
        Wire::Timestamp | Wire::TimestampTz => put(room, timestamp(text)?.to_be_bytes()),
        _ => None,
    }
}

/// Days since 2000-01-01 of `2026-01-05`, `0044-03-15 BC` or `infinity`.
fn date(text: &str) -> Option<i32> {
    match text {
        "infinity" => return Some(i32::MAX),
        "-infinity" => return Some(i32::MIN),
        _ => {}
    }
    let (text, before) = match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let year = year.parse::<i64>().ok()?;
    let (month, day) = (month.parse::<i64>().ok()?, day.parse::<i64>().ok()?);
    let year = if before { 1 - year } else { year };
    // Days of the civil calendar, whose years begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    i32::try_from(days - i64::from(EPOCH_DAYS)).ok()
}

/// Microseconds of `10:11:12.5`.
fn time(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let mut micros = 0;
    for place in 0..6 {
        let digit = fraction.as_bytes().get(place).map_or(Some(0), |b| (*b as char).to_digit(10))?;
        micros = micros * 10 + i64::from(digit);
    }
    let whole = |text: &str| text.parse::<i64>().ok();
    Some(((whole(hours)? * 60 + whole(minutes)?) * 60 + whole(seconds)?) * 1_000_000 + micros)
}

/// Microseconds since 2000-01-01 of `2026-01-05 08:00:00.5`, with `+00` where the zone is part of it.
fn timestamp(text: &str) -> Option<i64> {
    match text {
        "infinity" => return Some(i64::MAX),
        "-infinity" => return Some(i64::MIN),
        _ => {}
    }
    let (text, era) = match text.strip_suffix(" BC") {
        Some(text) => (text, " BC"),
        None => (text, ""),
    };
    let (day, clock) = text.split_once(' ')?;
    let clock = clock.strip_suffix("+00").unwrap_or(clock);
    let days = if era.is_empty() { date(day)? } else { date(&format!("{day}{era}"))? };
    i64::from(days).checked_mul(86_400_000_000)?.checked_add(time(clock)?)
}

/// A number as an integer with this many decimal places.
fn decimal(text: &[u8], scale: i32) -> Result<i128, &'static str> {
    let (large, small) = ("a number with more digits", "a number with more decimal places");
    let (negative, digits) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        _ => (false, text),
    };
    if !digits.first().is_some_and(u8::is_ascii_digit) {
        return Err("a number that is not finite");
    }
    let mut value = 0_i128;
    let mut places: Option<i32> = None;
    for byte in digits {
        match byte {
            b'.' => places = Some(0),
            b'0'..=b'9' => {
                let digit = i128::from(byte - b'0');
                match &mut places {
                    Some(places) if *places == scale => {
                        if digit != 0 {
                            return Err(small);
                        }
                        continue;
                    }
                    Some(places) => *places += 1,
                    None => {}
                }
                value = value.checked_mul(10).and_then(|v| v.checked_add(digit)).ok_or(large)?;
            }
            _ => return Err("a text that is no number"),
        }
    }
    for _ in places.unwrap_or(0)..scale {
        value = value.checked_mul(10).ok_or(large)?;
    }
    Ok(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};

    use super::*;

    fn read(t: &Type, to: DataType, text: &str) -> Result<String, String> {
        let printed = Printed::of(t, &to).ok_or("no")?;
        let schema = Arc::new(Schema::new(vec![Field::new("c", to, true)]));
        let mut rows = Rows::printed(&schema, std::slice::from_ref(&printed));
        rows.push_text(0, &printed, Some(text.as_bytes()))?;
        rows.count = 1;
        let batch = rows.finish(&schema)?;
        Ok(arrow::util::display::array_value_to_string(batch.column(0), 0).unwrap())
    }

    #[test]
    fn texts_are_read_as_binary_values_are() {
        let stamp = DataType::Timestamp(TimeUnit::Microsecond, None);
        let zoned = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let list = |t: DataType| DataType::List(Arc::new(Field::new_list_field(t, true)));
        for (t, to, text, wanted) in [
            (Type::BOOL, DataType::Boolean, "t", "true"),
            (Type::BOOL, DataType::Utf8View, "f", "false"),
            (Type::INT4, DataType::Int64, "-5", "-5"),
            (Type::INT8, DataType::Decimal128(20, 2), "9007199254740993", "9007199254740993.00"),
            (Type::NUMERIC, DataType::Decimal128(12, 3), "-0.05", "-0.050"),
            (Type::NUMERIC, DataType::Int32, "17.00", "17"),
            (Type::FLOAT8, DataType::Float64, "-Infinity", "-inf"),
            (Type::FLOAT4, DataType::Float64, "1.5", "1.5"),
            (Type::BPCHAR, DataType::Utf8View, "ab  ", "ab"),
            (Type::TEXT, DataType::Utf8View, "ab  ", "ab  "),
            (Type::DATE, DataType::Date32, "0001-01-01", "0001-01-01"),
            (Type::DATE, DataType::Date32, "2024-02-29", "2024-02-29"),
            (Type::TIME, DataType::Time32(TimeUnit::Millisecond), "10:11:12.5", "10:11:12.500"),
            (Type::TIMESTAMP, stamp.clone(), "1969-12-31 23:59:59.5", "1969-12-31T23:59:59.500"),
            (Type::TIMESTAMPTZ, zoned.clone(), "2026-01-05 07:00:00.123+00", "2026-01-05T07:00:00.123Z"),
            (Type::BYTEA, DataType::BinaryView, "\\x00fF", "00ff"),
            (Type::INT8_ARRAY, list(DataType::Int64), "{1,NULL,-3}", "[1, , -3]"),
            (Type::INT8_ARRAY, list(DataType::Int64), "[0:1]={1,2}", "[1, 2]"),
            (Type::TEXT_ARRAY, list(DataType::Utf8View), "{}", "[]"),
            (
                Type::TEXT_ARRAY,
                list(DataType::Utf8View),
                r#"{x,"NULL","a \"b\",\\c"}"#,
                r#"[x, NULL, a "b",\c]"#,
            ),
            (Type::INET, DataType::Utf8View, "10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(read(&t, to, text).as_deref(), Ok(wanted), "{t} {text}");
        }
        for (t, to, text) in [
            (Type::INT4, DataType::Int8, "300"),
            (Type::INT4, DataType::Int32, "x"),
            (Type::NUMERIC, DataType::Decimal128(5, 1), "1.25"),
            (Type::NUMERIC, DataType::Decimal128(38, 0), "NaN"),
            (Type::DATE, DataType::Date32, "infinity"),
            (Type::TIMESTAMPTZ, zoned, "2026-01-05 07:00:00.1234+00"),
            (Type::TIMESTAMP, stamp, "x"),
            (Type::TIME, DataType::Time32(TimeUnit::Second), "24:00:00"),
            (Type::BYTEA, DataType::BinaryView, "\\x0"),
            (Type::INT8_ARRAY, list(DataType::Int64), "{{1},{2}}"),
            (Type::INT8_ARRAY, list(DataType::Int64), "{1,2"),
            (Type::TEXT_ARRAY, list(DataType::Utf8View), "{\"a}"),
            (Type::TEXT, DataType::Int32, "1"),
        ] {
            assert!(read(&t, to, text).is_err(), "{t} {text}");
        }
    }

    #[test]
    fn days_are_counted_over_all_eras() {
        assert_eq!(date("2000-01-01"), Some(0));
        assert_eq!(date("1999-12-31"), Some(-1));
        assert_eq!(date("2000-03-01"), Some(60));
        // As `date '0044-03-15 BC' - date '2000-01-01'` is there.
        assert_eq!(date("0044-03-15 BC"), Some(-746_117));
        assert_eq!(timestamp("2000-01-02 00:00:00.000001+00"), Some(86_400_000_001));
        let schema = Arc::new(Schema::new(vec![Field::new("c", DataType::Int64, true)]));
        let printed = Printed::of(&Type::INT8, &DataType::Int64).unwrap();
        let mut rows = Rows::printed(&schema, std::slice::from_ref(&printed));
        rows.push_text(0, &printed, None).unwrap();
        rows.push_text(0, &printed, Some(b"7")).unwrap();
        rows.count = 2;
        let batch = rows.finish(&schema).unwrap();
        let column = batch.column(0).as_primitive::<Int64Type>();
        assert_eq!(column.iter().collect::<Vec<_>>(), [None, Some(7)]);
    }
}
