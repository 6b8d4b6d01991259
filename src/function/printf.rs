//! PRINTF: Java's format strings, as far as they speak of text and numbers.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};

use super::scalar::{Call, some};
use crate::error::{Error, Result};

/// A piece of a format string.
enum Piece {
    Literal(String),
    Value { argument: usize, flags: String, width: usize, precision: Option<usize>, conversion: char },
}

fn wrong(format: &str, why: impl Into<String>) -> Error {
    Error::execution("a format of PRINTF is not valid").with_detail(format!("'{format}': {}", why.into()))
}

fn parse(format: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut chars = format.chars().peekable();
    let mut next = 0;
    while let Some(ch) = chars.next() {
        if ch != '%' {
            literal.push(ch);
            continue;
        }
        let mut flags = String::new();
        let mut digits = String::new();
        let mut position = None;
        loop {
            match chars.peek().copied() {
                Some(f @ ('-' | '+' | ' ' | '0' | ',' | '#' | '(')) if digits.is_empty() => flags.push(f),
                Some(d) if d.is_ascii_digit() => digits.push(d),
                Some('$') if position.is_none() => {
                    position = digits.parse::<usize>().ok().and_then(|p| p.checked_sub(1));
                    digits.clear();
                }
                _ => break,
            }
            chars.next();
        }
        let number = |digits: &str| match digits.parse::<usize>() {
            Ok(n) if n <= 10_000 => Ok(n),
            _ => Err(wrong(format, "width and precision go up to 10000")),
        };
        let width = if digits.is_empty() { 0 } else { number(&digits)? };
        let mut precision = None;
        if chars.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(d) = chars.next_if(char::is_ascii_digit) {
                digits.push(d);
            }
            precision = Some(number(&digits)?);
        }
        let conversion = chars.next().ok_or_else(|| wrong(format, "it ends inside of a conversion"))?;
        match conversion {
            '%' => literal.push('%'),
            'n' => literal.push('\n'),
            'g' | 'G' if flags.contains('#') => {
                return Err(wrong(format, "%g takes no '#'"));
            }
            's' | 'S' | 'd' | 'x' | 'X' | 'o' | 'f' | 'e' | 'E' | 'g' | 'G' | 'h' | 'H' | 'b' | 'B' | 'c' => {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                let argument = position.unwrap_or_else(|| {
                    next += 1;
                    next - 1
                });
                pieces.push(Piece::Value { argument, flags, width, precision, conversion });
            }
            other => return Err(wrong(format, format!("%{other} is not supported"))),
        }
    }
    pieces.push(Piece::Literal(literal));
    Ok(pieces)
}

fn grouped(digits: &str) -> String {
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut out = String::new();
    for (i, d) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(d);
    }
    out + rest
}

/// The hash code that Flink gives a text: Murmur 3 of its bytes in UTF-8, those behind the last four one by one.
fn text_hash(text: &str) -> i64 {
    let mix = |hash: u32, word: u32| {
        let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    };
    let (words, rest) = text.as_bytes().as_chunks::<4>();
    let hash = words.iter().fold(42, |hash, word| mix(hash, u32::from_le_bytes(*word)));
    // A byte is signed in Java.
    let hash = rest.iter().fold(hash, |hash, &b| mix(hash, i32::from(b.cast_signed()).cast_unsigned()));
    let hash = hash ^ text.len() as u32;
    let hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    let hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    i64::from(hash ^ (hash >> 16))
}

pub(crate) fn printf(c: &Call<'_>) -> Result<ArrayRef> {
    let format = c.text(0)?;
    // Numbers and text are read as such; what else there is, as CAST(... AS STRING) shows it.
    let mut arguments = Vec::with_capacity(c.args.len());
    // Hash codes of what is no number here.
    let mut hashes: Vec<Option<Int64Array>> = Vec::with_capacity(c.args.len());
    for arg in &c.args[1..] {
        let t = arg.array.data_type();
        // DECIMAL is no number of Java: it has a text and a hash code alone.
        if let Some(decimals) = arg.array.as_primitive_opt::<Decimal128Type>() {
            let codes =
                decimals.iter().map(|v| v.map(|v| decimal_hash(v, decimals.scale()))).collect::<Int64Array>();
            arguments.push((super::cast::to_text(&arg.array, &c.context.zone)?, arg.step, 0));
            hashes.push(Some(codes));
            continue;
        }
        hashes.push(match t {
            DataType::Utf8View => {
                Some(arg.array.as_string_view().iter().map(|v| v.map(text_hash)).collect::<Int64Array>())
            }
            _ => arg
                .array
                .as_boolean_opt()
                .map(|a| a.iter().map(|v| v.map(|v| if v { 1231 } else { 1237 })).collect::<Int64Array>()),
        });
        let array = if t.is_integer() {
            arrow::compute::cast(&arg.array, &DataType::Int64)?
        } else if t.is_numeric() {
            arrow::compute::cast(&arg.array, &DataType::Float64)?
        } else {
            super::cast::to_text(&arg.array, &c.context.zone)?
        };
        // Bits of the number in Java, which %x and %h show.
        let bits = match t {
            DataType::Int8 => 8,
            DataType::Int16 => 16,
            DataType::Int32 => 32,
            _ => 64,
        };
        arguments.push((array, arg.step, bits));
    }
    let constant = format.constant().then(|| format.get(0)).flatten().map(|f| parse(f).ok());
    // A format that is none, or that does not fit its arguments, is NULL, as Flink has it.
    c.texts(|row, out| {
        let format = some!(format.get(row));
        let parsed;
        let pieces = match &constant {
            Some(Some(p)) => p,
            Some(None) => return Ok(None),
            None => {
                let Ok(read) = parse(format) else { return Ok(None) };
                parsed = read;
                &parsed
            }
        };
        for piece in pieces {
            match piece {
                Piece::Literal(s) => out.push_str(s),
                Piece::Value { argument, flags, width, precision, conversion } => {
                    let Some((array, step, bits)) = arguments.get(*argument) else { return Ok(None) };
                    let hash = hashes.get(*argument).and_then(Option::as_ref);
                    if let ('h' | 'H', Some(hash)) = (conversion, hash)
                        && hash.is_valid(row * step)
                    {
                        let shown = format!("{:x}", hash.value(row * step) as u32);
                        let shown = if *conversion == 'H' { shown.to_uppercase() } else { shown };
                        pad(out, &shown, flags, *width);
                        continue;
                    }
                    let Ok(shown) = show(
                        format,
                        (array.as_ref(), *bits),
                        row * step,
                        flags,
                        *width,
                        *precision,
                        *conversion,
                    ) else {
                        return Ok(None);
                    };
                    pad(out, &shown, flags, *width);
                }
            }
        }
        Ok(Some(()))
    })
}

/// Writes a value in its width.
fn pad(out: &mut String, shown: &str, flags: &str, width: usize) {
    let padding = width.saturating_sub(shown.chars().count());
    let _ = match flags.contains('-') {
        true => write!(out, "{shown}{:padding$}", ""),
        false => write!(out, "{:padding$}{shown}", ""),
    };
}

/// The hash code that Java has of a decimal number.
fn decimal_hash(value: i128, scale: i8) -> i64 {
    let magnitude = value.unsigned_abs();
    // Numbers of 64 bits as such, longer ones by their words.
    let code = if magnitude <= i64::MAX as u128 {
        let low = magnitude as u32 as i32;
        ((magnitude >> 32) as u32 as i32).wrapping_mul(31).wrapping_add(low)
    } else {
        let words = [96, 64, 32, 0].map(|shift| (magnitude >> shift) as u32 as i32);
        words.iter().fold(0i32, |code, word| code.wrapping_mul(31).wrapping_add(*word))
    };
    let code = if value < 0 { code.wrapping_neg() } else { code };
    i64::from(code.wrapping_mul(31).wrapping_add(i32::from(scale)))
}

fn show(
    format: &str,
    (array, bits): (&dyn Array, u32),
    i: usize,
    flags: &str,
    width: usize,
    precision: Option<usize>,
    conversion: char,
) -> Result<String> {
    let null = array.is_null(i);
    let integer = array.as_primitive_opt::<Int64Type>().map(|a| a.value(i));
    let float = array.as_primitive_opt::<Float64Type>().map(|a| a.value(i));
    let mismatch = || wrong(format, format!("%{conversion} does not fit its argument"));
    let text = || match (integer, float) {
        (Some(v), _) => v.to_string(),
        (None, Some(v)) => super::cast::java_double(v),
        (None, None) => array.as_string_view_opt().map_or_else(String::new, |a| a.value(i).to_string()),
    };
    let mut sign = "";
    let mut digits = match conversion {
        's' | 'S' | 'b' | 'B' => {
            let mut s = match conversion {
                'b' | 'B' => (!null && text() != "FALSE").to_string(),
                _ if null => "null".to_string(),
                _ => text(),
            };
            if let Some(n) = precision {
                s.truncate(super::text::offset(&s, n as i64));
            }
            return Ok(if conversion.is_uppercase() { s.to_uppercase() } else { s });
        }
        _ if null => return Ok("null".to_string()),
        'c' => {
            let code = integer.and_then(|v| u32::try_from(v).ok()).and_then(char::from_u32);
            return code.map(String::from).ok_or_else(mismatch);
        }
        'd' => {
            let v = integer.ok_or_else(mismatch)?;
            sign = if v < 0 { "-" } else { "" };
            v.unsigned_abs().to_string()
        }
        'x' => format!("{:x}", as_bits(integer.ok_or_else(mismatch)?, bits)),
        'X' => format!("{:X}", as_bits(integer.ok_or_else(mismatch)?, bits)),
        'o' => format!("{:o}", as_bits(integer.ok_or_else(mismatch)?, bits)),
        'h' | 'H' => {
            let code = match (integer, float) {
                (Some(v), _) if bits < 64 => v as u32,
                (Some(v), _) => (v ^ (v as u64 >> 32) as i64) as u32,
                (None, Some(v)) => (v.to_bits() ^ (v.to_bits() >> 32)) as u32,
                (None, None) => return Err(mismatch()),
            };
            let shown = format!("{code:x}");
            return Ok(if conversion == 'H' { shown.to_uppercase() } else { shown });
        }
        _ => {
            let v = float.ok_or_else(mismatch)?;
            if !v.is_finite() {
                return Ok(super::cast::java_double(v));
            }
            sign = if v.is_sign_negative() { "-" } else { "" };
            let precision = precision.unwrap_or(6);
            if conversion == 'f' {
                round_half_up(v.abs(), precision)
            } else if matches!(conversion, 'g' | 'G') && plain_digits(v.abs(), precision).is_some() {
                round_half_up(v.abs(), plain_digits(v.abs(), precision).unwrap_or(0))
            } else {
                let general = matches!(conversion, 'g' | 'G');
                let precision = if general { precision.max(1) - 1 } else { precision };
                let shown = format!("{:.precision$e}", v.abs());
                let (mantissa, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
                let exponent: i32 = exponent.parse().unwrap_or(0);
                let e = if matches!(conversion, 'E' | 'G') { 'E' } else { 'e' };
                let direction = if exponent < 0 { '-' } else { '+' };
                format!("{mantissa}{e}{direction}{:02}", exponent.abs())
            }
        }
    };
    if flags.contains(',') {
        digits = grouped(&digits);
    }
    if sign.is_empty() {
        sign = if flags.contains('+') {
            "+"
        } else if flags.contains(' ') {
            " "
        } else {
            ""
        };
    }
    if sign == "-" && flags.contains('(') {
        let zeros = if flags.contains('0') { width.saturating_sub(digits.len() + 2) } else { 0 };
        return Ok(format!("({}{digits})", "0".repeat(zeros)));
    }
    let zeros = if flags.contains('0') { width.saturating_sub(digits.len() + sign.len()) } else { 0 };
    Ok(format!("{sign}{}{digits}", "0".repeat(zeros)))
}

/// A number as its bits.
fn as_bits(v: i64, bits: u32) -> u64 {
    if bits < 64 { v as u64 & ((1 << bits) - 1) } else { v as u64 }
}

/// How many digits %g shows behind the point; `None`: it shows an exponent. The precision counts all digits.
fn plain_digits(v: f64, precision: usize) -> Option<usize> {
    let precision = precision.max(1);
    if v == 0.0 {
        return Some(precision - 1);
    }
    let rounded: f64 = format!("{:.*e}", precision - 1, v).parse().ok()?;
    if rounded < 1e-4 || rounded >= 10f64.powi(precision as i32) {
        return None;
    }
    let exponent = rounded.log10().floor() as i64;
    usize::try_from(precision as i64 - 1 - exponent).ok()
}

/// Java rounds the shortest decimal form half up, not the binary value.
fn round_half_up(v: f64, precision: usize) -> String {
    let shown = format!("{v}");
    match shown.split_once('.') {
        Some((whole, fraction)) if fraction.len() > precision => {
            let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes().take(precision)).collect();
            if fraction.as_bytes()[precision] >= b'5' {
                let mut carry = true;
                for d in digits.iter_mut().rev() {
                    if *d == b'9' {
                        *d = b'0';
                    } else {
                        *d += 1;
                        carry = false;
                        break;
                    }
                }
                if carry {
                    digits.insert(0, b'1');
                }
            }
            let digits: String = digits.into_iter().map(char::from).collect();
            let (whole, fraction) = digits.split_at(digits.len() - precision);
            if precision == 0 { whole.to_string() } else { format!("{whole}.{fraction}") }
        }
        _ => format!("{v:.precision$}"),
    }
}
