//! Rows of events: split into values, and each value as a query would give it.

use mysql_async::Value as Cell;
use mysql_async::binlog::events::{OptionalMetadataField, RowsEventData, TableMapEvent};
use mysql_async::consts::ColumnType;

use super::{Declared, Facts};

/// A value in a row of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Image<'a> {
    /// The event does not have the column.
    Absent,
    Null,
    Value(&'a [u8]),
}

/// How a column is written.
#[derive(Debug, Clone, Copy)]
struct Written {
    t: ColumnType,
    meta: [u8; 2],
}

/// What an event has of rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The columns that are there, in rows as they were and as they are.
    before: Option<Vec<bool>>,
    after: Option<Vec<bool>>,
    rows: Vec<u8>,
}

impl Parts {
    pub(crate) fn new(event: &RowsEventData<'_>) -> Self {
        Self {
            before: event.columns_before_image().map(|b| b.iter().map(|bit| *bit).collect()),
            after: event.columns_after_image().map(|b| b.iter().map(|bit| *bit).collect()),
            rows: event.rows_data().to_vec(),
        }
    }

    /// Of MariaDB's compressed events, which have types from 166 on: those of inserts, updates and deletes, then the same
    /// in the second version.
    pub(crate) fn compressed(event_type: u8, mut data: &[u8]) -> Result<Self, String> {
        let rest = &mut data;
        let (second, what) = (event_type >= 169, (event_type.wrapping_sub(166)) % 3);
        take(rest, 8)?;
        if second {
            let more = little(take(rest, 2)?);
            take(rest, usize::try_from(more).map_err(|e| e.to_string())?.saturating_sub(2))?;
        }
        let first = take(rest, 1)?[0];
        let count = match first {
            0..=250 => u64::from(first),
            252 => little(take(rest, 2)?),
            253 => little(take(rest, 3)?),
            _ => return Err("a row of too many columns".into()),
        };
        let count = usize::try_from(count).map_err(|e| e.to_string())?;
        let mut bits = || -> Result<Vec<bool>, String> {
            let bytes = take(rest, count.div_ceil(8))?;
            Ok((0..count).map(|bit| bytes[bit / 8] >> (bit % 8) & 1 == 1).collect())
        };
        let columns = bits()?;
        let (before, after) = match what {
            0 => (None, Some(columns)),
            1 => (Some(columns), Some(bits()?)),
            _ => (Some(columns), None),
        };
        Ok(Self { before, after, rows: inflated(rest)? })
    }
}

/// What MariaDB has compressed: a byte that says how long its length is, its length, and the bytes.
pub(crate) fn inflated(raw: &[u8]) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let (head, rest) = raw.split_first().ok_or("nothing where something compressed should be")?;
    if head & 0xf0 != 0x80 {
        return Err("bytes that are compressed in an unknown way".into());
    }
    let (length, rest) = rest.split_at_checked(usize::from(head & 7)).ok_or("a length that is cut short")?;
    let length = big(length);
    if length > 1 << 30 {
        return Err(format!("{length} compressed bytes, which is too many"));
    }
    let mut found = Vec::new();
    let mut reader = flate2::read::ZlibDecoder::new(rest).take(length + 1);
    reader.read_to_end(&mut found).map_err(|e| e.to_string())?;
    if found.len() as u64 != length {
        return Err("compressed bytes whose length is wrong".into());
    }
    Ok(found)
}

/// Whether values of a column are written as a type. Of what is not known it is not said.
fn fits(kind: &str, t: ColumnType) -> bool {
    use ColumnType as T;
    match kind {
        "tinyint" => t == T::MYSQL_TYPE_TINY,
        "smallint" => t == T::MYSQL_TYPE_SHORT,
        "mediumint" => t == T::MYSQL_TYPE_INT24,
        "int" => t == T::MYSQL_TYPE_LONG,
        "bigint" => t == T::MYSQL_TYPE_LONGLONG,
        "float" => t == T::MYSQL_TYPE_FLOAT,
        "double" => t == T::MYSQL_TYPE_DOUBLE,
        "decimal" => t == T::MYSQL_TYPE_NEWDECIMAL,
        "year" => t == T::MYSQL_TYPE_YEAR,
        "date" => matches!(t, T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE),
        "time" => matches!(t, T::MYSQL_TYPE_TIME | T::MYSQL_TYPE_TIME2),
        "datetime" => matches!(t, T::MYSQL_TYPE_DATETIME | T::MYSQL_TYPE_DATETIME2),
        "timestamp" => matches!(t, T::MYSQL_TYPE_TIMESTAMP | T::MYSQL_TYPE_TIMESTAMP2),
        "bit" => t == T::MYSQL_TYPE_BIT,
        "enum" => t == T::MYSQL_TYPE_ENUM,
        "set" => t == T::MYSQL_TYPE_SET,
        "char" | "binary" => t == T::MYSQL_TYPE_STRING,
        "varchar" | "varbinary" => matches!(t, T::MYSQL_TYPE_VARCHAR | T::MYSQL_TYPE_VAR_STRING),
        "tinytext" | "text" | "mediumtext" | "longtext" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
            matches!(
                t,
                T::MYSQL_TYPE_TINY_BLOB
                    | T::MYSQL_TYPE_BLOB
                    | T::MYSQL_TYPE_MEDIUM_BLOB
                    | T::MYSQL_TYPE_LONG_BLOB
            )
        }
        _ => true,
    }
}

/// The rows of one event, one by one.
pub(crate) struct Images<'a> {
    written: Vec<Written>,
    /// Where the columns that are wanted stand in it.
    places: Vec<usize>,
    /// And those of the key.
    key: Vec<(usize, usize)>,
    facts: &'a Facts,
    before: Option<Vec<bool>>,
    after: Option<Vec<bool>>,
    rest: &'a [u8],
}

/// A row as it was and as it is.
pub(crate) type RowChange = (Option<Values>, Option<Values>);

/// A row that is read.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Values {
    pub(crate) cells: Vec<Cell>,
    /// The key by which the snapshot is ordered.
    pub(crate) key: Option<Vec<i128>>,
}

impl<'a> Images<'a> {
    /// The rows of an event of the table. Names that the server has logged count; otherwise the order.
    pub(crate) fn new(facts: &'a Facts, map: &TableMapEvent<'_>, parts: &'a Parts) -> Result<Self, String> {
        let count = usize::try_from(map.columns_count()).map_err(|e| e.to_string())?;
        let mut written = Vec::with_capacity(count);
        for i in 0..count {
            let t = map.get_column_type(i).map_err(|e| format!("column {}: {e}", i + 1))?;
            let meta = map.get_column_metadata(i).unwrap_or_default();
            let byte = |at: usize| meta.get(at).copied().unwrap_or(0);
            written.push(Written { t: t.ok_or("a column without type")?, meta: [byte(0), byte(1)] });
        }
        let names: Option<Vec<String>> = map.iter_optional_meta().find_map(|field| match field {
            Ok(OptionalMetadataField::ColumnName(names)) => {
                let names = names.iter_names().map(|name| name.ok().map(|n| n.name().into_owned()));
                names.collect::<Option<Vec<_>>>()
            }
            _ => None,
        });
        let place = |at: usize| -> Result<usize, String> {
            let name = &facts.columns[at].name;
            match &names {
                Some(names) => names.iter().position(|n| n.eq_ignore_ascii_case(name)).ok_or_else(|| {
                    format!(
                        "column '{name}' was dropped or renamed: the changes that follow have {}",
                        names.join(", ")
                    )
                }),
                None if count == facts.columns.len() => Ok(at),
                None => Err(format!(
                    "the changes have {count} columns and the table {}: it was altered in between, and the server does not log names of columns (binlog_row_metadata = FULL lets it)",
                    facts.columns.len()
                )),
            }
        };
        let places = facts.wanted.iter().map(|(at, _)| place(*at)).collect::<Result<Vec<usize>, _>>()?;
        for (place, (at, _)) in places.iter().zip(&facts.wanted) {
            let column = &facts.columns[*at];
            if let Some(written) = written.get(*place)
                && !fits(&column.kind, written.t)
            {
                return Err(format!(
                    "column '{}' is of type {}, and the changes have {:?} in its place: the table was altered in between",
                    column.name,
                    column.kind.to_ascii_uppercase(),
                    written.t
                ));
            }
        }
        let column = |name: &String| facts.columns.iter().position(|c| c.name == *name);
        let key = facts.order.iter().filter_map(column);
        let key = key.map(|at| Ok((place(at)?, at))).collect::<Result<_, String>>()?;
        let bits = |bits: &Option<Vec<bool>>| {
            bits.clone().map(|mut bits| {
                bits.truncate(count);
                bits
            })
        };
        Ok(Self {
            written,
            places,
            key,
            facts,
            before: bits(&parts.before),
            after: bits(&parts.after),
            rest: &parts.rows,
        })
    }

    /// The next row, as it was and as it is.
    pub(crate) fn next(&mut self) -> Result<Option<RowChange>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut image = |present: &Option<Vec<bool>>| -> Result<Option<Values>, String> {
            let Some(present) = present else { return Ok(None) };
            let images = images(&self.written, present, &mut self.rest)?;
            let of = |place: usize, column: usize| -> Result<Cell, String> {
                let declared = &self.facts.columns[column];
                let found = match images.get(place) {
                    Some(Image::Null) => Ok(Cell::NULL),
                    Some(Image::Value(raw)) => cell(declared, self.written[place], raw),
                    Some(Image::Absent) | None => {
                        Err("is not in the log: set the server's binlog_row_image to FULL".to_string())
                    }
                };
                found.map_err(|what| format!("column '{}' {what}", declared.name))
            };
            let cells =
                self.places.iter().zip(&self.facts.wanted).map(|(place, (column, _))| of(*place, *column));
            let cells = cells.collect::<Result<Vec<_>, _>>()?;
            let mut key = Vec::with_capacity(self.key.len());
            for (place, column) in &self.key {
                match of(*place, *column)? {
                    Cell::Int(n) => key.push(i128::from(n)),
                    Cell::UInt(n) => key.push(i128::from(n)),
                    _ => {}
                }
            }
            let key = (!key.is_empty() && key.len() == self.key.len()).then_some(key);
            Ok(Some(Values { cells, key }))
        };
        let before = image(&self.before)?;
        let after = image(&self.after)?;
        Ok(Some((before, after)))
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], String> {
    let (head, tail) = rest.split_at_checked(count).ok_or("a row that is cut short")?;
    *rest = tail;
    Ok(head)
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

fn big(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// Bytes of so many decimal digits.
const DIGITS: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// Splits a row into its values.
fn images<'a>(written: &[Written], present: &[bool], rest: &mut &'a [u8]) -> Result<Vec<Image<'a>>, String> {
    let count = present.iter().filter(|p| **p).count();
    let nulls = take(rest, count.div_ceil(8))?;
    let mut images = Vec::with_capacity(written.len());
    let mut bit = 0;
    for (at, column) in written.iter().enumerate() {
        if !present.get(at).copied().unwrap_or(false) {
            images.push(Image::Absent);
            continue;
        }
        let null = nulls.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1);
        bit += 1;
        images.push(match null {
            true => Image::Null,
            false => {
                let length = column.length(rest)?;
                Image::Value(take(rest, length)?)
            }
        });
    }
    Ok(images)
}

impl Written {
    /// The length of the value that comes, whose own length is taken off.
    fn length(self, rest: &mut &[u8]) -> Result<usize, String> {
        use ColumnType as T;
        let [a, b] = self.meta.map(usize::from);
        let fraction = a.div_ceil(2);
        let mut prefixed = |bytes: usize| -> Result<usize, String> {
            usize::try_from(little(take(rest, bytes)?)).map_err(|e| e.to_string())
        };
        Ok(match self.t {
            T::MYSQL_TYPE_TINY | T::MYSQL_TYPE_YEAR => 1,
            T::MYSQL_TYPE_SHORT => 2,
            T::MYSQL_TYPE_INT24 | T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE | T::MYSQL_TYPE_TIME => 3,
            T::MYSQL_TYPE_LONG | T::MYSQL_TYPE_FLOAT | T::MYSQL_TYPE_TIMESTAMP => 4,
            T::MYSQL_TYPE_LONGLONG | T::MYSQL_TYPE_DOUBLE | T::MYSQL_TYPE_DATETIME => 8,
            T::MYSQL_TYPE_TIME2 => 3 + fraction,
            T::MYSQL_TYPE_TIMESTAMP2 => 4 + fraction,
            T::MYSQL_TYPE_DATETIME2 => 5 + fraction,
            T::MYSQL_TYPE_NEWDECIMAL => {
                let whole = a.checked_sub(b).ok_or("a DECIMAL without digits")?;
                whole / 9 * 4 + DIGITS[whole % 9] + b / 9 * 4 + DIGITS[b % 9]
            }
            T::MYSQL_TYPE_VARCHAR | T::MYSQL_TYPE_VAR_STRING => {
                prefixed(if a | b << 8 < 256 { 1 } else { 2 })?
            }
            T::MYSQL_TYPE_STRING => {
                // The bits of a length above 255 are among those of the type.
                let most = if a & 0x30 == 0x30 { b } else { b | ((a & 0x30) ^ 0x30) << 4 };
                prefixed(if most < 256 { 1 } else { 2 })?
            }
            T::MYSQL_TYPE_ENUM | T::MYSQL_TYPE_SET => b,
            T::MYSQL_TYPE_BIT => (b * 8 + a).div_ceil(8),
            T::MYSQL_TYPE_TINY_BLOB
            | T::MYSQL_TYPE_BLOB
            | T::MYSQL_TYPE_MEDIUM_BLOB
            | T::MYSQL_TYPE_LONG_BLOB
            | T::MYSQL_TYPE_GEOMETRY
            | T::MYSQL_TYPE_JSON => prefixed(a.clamp(1, 4))?,
            other => return Err(format!("a value of type {other:?}, which is not known")),
        })
    }
}

/// A value as a query gives it.
fn cell(declared: &Declared, written: Written, raw: &[u8]) -> Result<Cell, String> {
    use ColumnType as T;
    let whole = |bits: u32| {
        let value = little(raw);
        match declared.unsigned {
            true => Cell::UInt(value),
            // The sign is the highest of its bits.
            false => Cell::Int((value << (64 - bits)).cast_signed() >> (64 - bits)),
        }
    };
    let digits = usize::from(written.meta[0]);
    let old = || Err("has times in an old format: ALTER TABLE ... FORCE writes them anew".to_string());
    Ok(match written.t {
        T::MYSQL_TYPE_TINY => whole(8),
        T::MYSQL_TYPE_SHORT => whole(16),
        T::MYSQL_TYPE_INT24 => whole(24),
        T::MYSQL_TYPE_LONG => whole(32),
        T::MYSQL_TYPE_LONGLONG => whole(64),
        T::MYSQL_TYPE_YEAR => Cell::Int(match raw.first() {
            Some(0) | None => 0,
            Some(year) => 1900 + i64::from(*year),
        }),
        T::MYSQL_TYPE_FLOAT => Cell::Float(f32::from_le_bytes(raw.try_into().map_err(|_| "is cut short")?)),
        T::MYSQL_TYPE_DOUBLE => Cell::Double(f64::from_le_bytes(raw.try_into().map_err(|_| "is cut short")?)),
        T::MYSQL_TYPE_NEWDECIMAL => {
            Cell::Bytes(decimal(raw, written.meta).ok_or("is no DECIMAL")?.into_bytes())
        }
        T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE => {
            let days = little(raw);
            Cell::Date((days >> 9) as u16, (days >> 5 & 15) as u8, (days & 31) as u8, 0, 0, 0, 0)
        }
        T::MYSQL_TYPE_DATETIME2 => {
            let (head, tail) = raw.split_at_checked(5).ok_or("is cut short")?;
            let packed = big(head) & 0x7f_ffff_ffff;
            let (days, clock) = (packed >> 17, packed & 0x1_ffff);
            let months = days >> 5;
            Cell::Date(
                (months / 13) as u16,
                (months % 13) as u8,
                (days & 31) as u8,
                (clock >> 12) as u8,
                (clock >> 6 & 63) as u8,
                (clock & 63) as u8,
                micros(tail, digits),
            )
        }
        T::MYSQL_TYPE_TIMESTAMP2 => {
            let (head, tail) = raw.split_at_checked(4).ok_or("is cut short")?;
            instant(big(head), micros(tail, digits)).ok_or("is no time")?
        }
        T::MYSQL_TYPE_TIME2 => time(raw, digits).ok_or("is no time")?,
        T::MYSQL_TYPE_TIME | T::MYSQL_TYPE_TIMESTAMP | T::MYSQL_TYPE_DATETIME => return old(),
        T::MYSQL_TYPE_ENUM => match usize::try_from(little(raw)).ok().and_then(|n| n.checked_sub(1)) {
            // What was no label when it was written.
            None => Cell::Bytes(Vec::new()),
            Some(label) => Cell::Bytes(
                declared.labels.get(label).ok_or("has a label that is not known")?.clone().into_bytes(),
            ),
        },
        T::MYSQL_TYPE_SET => {
            let bits = little(raw);
            let labels = declared.labels.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1);
            let labels: Vec<&str> = labels.map(|(_, label)| label.as_str()).collect();
            Cell::Bytes(labels.join(",").into_bytes())
        }
        T::MYSQL_TYPE_BIT => Cell::Bytes(raw.to_vec()),
        _ => {
            let mut bytes = match declared.charset.as_deref() {
                Some("latin1") => latin1(raw).into_bytes(),
                _ => raw.to_vec(),
            };
            // Zeros at its end are not logged.
            if declared.kind == "binary" && bytes.len() < declared.width {
                bytes.resize(declared.width, 0);
            }
            Cell::Bytes(bytes)
        }
    })
}

/// Microseconds of so many digits.
fn micros(raw: &[u8], digits: usize) -> u32 {
    let value = big(raw.get(..digits.div_ceil(2)).unwrap_or(raw));
    let factor = match digits.div_ceil(2) {
        1 => 10_000,
        2 => 100,
        _ => 1,
    };
    u32::try_from(value * factor).unwrap_or(0)
}

/// An instant as a session in UTC shows it.
fn instant(seconds: u64, micros: u32) -> Option<Cell> {
    use chrono::{Datelike, Timelike};
    if seconds == 0 && micros == 0 {
        return Some(Cell::Date(0, 0, 0, 0, 0, 0, 0));
    }
    let time = chrono::DateTime::from_timestamp(i64::try_from(seconds).ok()?, micros.checked_mul(1000)?)?;
    Some(Cell::Date(
        u16::try_from(time.year()).ok()?,
        time.month() as u8,
        time.day() as u8,
        time.hour() as u8,
        time.minute() as u8,
        time.second() as u8,
        micros,
    ))
}

/// A time, which may be negative or more than a day.
fn time(raw: &[u8], digits: usize) -> Option<Cell> {
    let (head, tail) = raw.split_at_checked(3)?;
    let mut whole = big(head).cast_signed() - 0x80_0000;
    let bytes = digits.div_ceil(2);
    let mut fraction = big(tail.get(..bytes)?).cast_signed();
    let factor = [1, 10_000, 100, 1].get(bytes).copied()?;
    // Of a negative one the fraction counts up from the next lower second.
    if whole < 0 && fraction != 0 {
        whole += 1;
        fraction -= 1 << (8 * bytes);
    }
    let packed = (whole << 24) + fraction * factor;
    let (negative, packed) = (packed < 0, packed.unsigned_abs());
    let (clock, micros) = (packed >> 24, packed & 0xff_ffff);
    let hours = clock >> 12 & 0x3ff;
    Some(Cell::Time(
        negative,
        u32::try_from(hours / 24).ok()?,
        (hours % 24) as u8,
        (clock >> 6 & 63) as u8,
        (clock & 63) as u8,
        u32::try_from(micros).ok()?,
    ))
}

/// The text of a DECIMAL.
fn decimal(raw: &[u8], [precision, scale]: [u8; 2]) -> Option<String> {
    let (precision, scale) = (usize::from(precision), usize::from(scale));
    let whole = precision.checked_sub(scale)?;
    let negative = raw.first()? & 0x80 == 0;
    let mut bytes: Vec<u8> = raw.iter().map(|b| if negative { !b } else { *b }).collect();
    *bytes.first_mut()? ^= 0x80;
    let mut rest = bytes.as_slice();
    let mut text = String::new();
    let mut group = |digits: usize, text: &mut String| -> Option<()> {
        let (head, tail) = rest.split_at_checked(DIGITS[digits])?;
        rest = tail;
        if digits > 0 {
            text.push_str(&format!("{:0digits$}", big(head)));
        }
        Some(())
    };
    group(whole % 9, &mut text)?;
    (0..whole / 9).try_for_each(|_| group(9, &mut text))?;
    let trimmed = text.trim_start_matches('0');
    let mut shown =
        format!("{}{}", if negative { "-" } else { "" }, if trimmed.is_empty() { "0" } else { trimmed });
    if scale > 0 {
        shown.push('.');
        (0..scale / 9).try_for_each(|_| group(9, &mut shown))?;
        group(scale % 9, &mut shown)?;
    }
    Some(shown)
}

/// What MySQL calls latin1 is Windows' 1252.
fn latin1(raw: &[u8]) -> String {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
        '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    let character = |byte: &u8| match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        other => char::from(*other),
    };
    raw.iter().map(character).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn declared(kind: &str) -> Declared {
        Declared {
            name: "c".into(),
            kind: kind.into(),
            unsigned: false,
            charset: None,
            labels: vec![],
            width: 0,
        }
    }

    #[test]
    fn values_of_the_log_are_those_of_a_query() {
        let written = |t, a, b| Written { t, meta: [a, b] };
        let read = |kind: &str, w: Written, raw: &[u8]| cell(&declared(kind), w, raw);
        use ColumnType as T;
        assert_eq!(read("tinyint", written(T::MYSQL_TYPE_TINY, 0, 0), &[0xff]), Ok(Cell::Int(-1)));
        assert_eq!(
            read("mediumint", written(T::MYSQL_TYPE_INT24, 0, 0), &[0xfe, 0xff, 0xff]),
            Ok(Cell::Int(-2))
        );
        // -1234567.89 as DECIMAL(10, 2): 0x80 0x12... with all bits turned.
        let positive = [0x80, 0x12, 0xd6, 0x87, 0x59];
        assert_eq!(decimal(&positive, [10, 2]).as_deref(), Some("1234567.89"));
        let negative: Vec<u8> = positive.iter().map(|b| !b).collect();
        assert_eq!(decimal(&negative, [10, 2]).as_deref(), Some("-1234567.89"));
        assert_eq!(decimal(&[0x80], [1, 0]).as_deref(), Some("0"));
        assert_eq!(decimal(&[], [1, 0]), None);
        // 2026-01-05 08:30:15.5 as DATETIME(1).
        let days: u64 = ((2026 * 13 + 1) << 5 | 5) << 17 | (8 << 12 | 30 << 6 | 15);
        let raw = (days | 0x80_0000_0000).to_be_bytes();
        let mut raw = raw[3..].to_vec();
        raw.push(50);
        assert_eq!(
            read("datetime", written(T::MYSQL_TYPE_DATETIME2, 1, 0), &raw),
            Ok(Cell::Date(2026, 1, 5, 8, 30, 15, 500_000))
        );
        // -00:00:00.5 as TIME(1), and 25:00:00.
        assert_eq!(time(&[0x7f, 0xff, 0xff, 0xce], 1), Some(Cell::Time(true, 0, 0, 0, 0, 500_000)));
        assert_eq!(time(&[0x81, 0x90, 0x00], 0), Some(Cell::Time(false, 1, 1, 0, 0, 0)));
        assert_eq!(latin1(b"\xc4\x80"), "Ä€");
    }

    #[test]
    fn compressed_rows_are_unpacked() {
        use std::io::Write;
        let mut packed = vec![0x81, 6];
        let mut encoder = flate2::write::ZlibEncoder::new(&mut packed, flate2::Compression::default());
        encoder.write_all(b"abcdef").unwrap();
        encoder.finish().unwrap();
        assert_eq!(inflated(&packed).unwrap(), b"abcdef");
        let head = [&[7, 0, 0, 0, 0, 0, 1, 0][..], &[2, 0], &[3, 0b111, 0b101]].concat();
        let event = [head, packed.clone()].concat();
        let parts = Parts::compressed(170, &event).unwrap();
        assert_eq!(parts.before, Some(vec![true, true, true]));
        assert_eq!((parts.after, parts.rows.as_slice()), (Some(vec![true, false, true]), &b"abcdef"[..]));
        for cut in 0..event.len() {
            assert!(Parts::compressed(170, &event[..cut]).is_err(), "{cut}");
        }
        packed[1] = 5;
        assert!(inflated(&packed).is_err());
        packed[0] = 0x91;
        assert!(inflated(&packed).is_err());
    }

    #[test]
    fn rows_are_split_and_not_read_beyond_their_end() {
        let written = [
            Written { t: ColumnType::MYSQL_TYPE_LONG, meta: [0, 0] },
            Written { t: ColumnType::MYSQL_TYPE_VARCHAR, meta: [40, 0] },
            Written { t: ColumnType::MYSQL_TYPE_TINY, meta: [0, 0] },
        ];
        let row = [0b10, 7, 0, 0, 0, 2, b'a', b'b'];
        let mut rest = &row[..];
        let found = images(&written, &[true, true, false], &mut rest);
        // The second bit is that of the second column that is there.
        assert_eq!(found.as_deref(), Ok(&[Image::Value(&[7, 0, 0, 0]), Image::Null, Image::Absent][..]));
        let mut row = row.to_vec();
        row[0] = 0;
        let mut rest = &row[..];
        let found = images(&written, &[true, true, false], &mut rest).unwrap();
        assert_eq!((found[1], rest.len()), (Image::Value(b"ab"), 0));
        for cut in 0..row.len() {
            assert!(images(&written, &[true, true, false], &mut &row[..cut]).is_err(), "{cut}");
        }
    }
}
