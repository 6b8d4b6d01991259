//! Encodings, hashes, URLs.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::array::{Array, ArrayRef, StringViewBuilder};
use arrow::datatypes::{DataType, Int64Type};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use md5::{Digest, Md5};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::scalar::{Call, Definition, Kind, Returns, define, some};
use crate::error::{Error, Result};

use Kind::{Int, Text, TextOrBytes, TextOrNumber};

pub(crate) static FUNCTIONS: &[Definition] = &[
    define(&["TO_BASE64"], &[TextOrBytes], Returns::Text, to_base64),
    define(&["FROM_BASE64"], &[Text], Returns::Text, from_base64),
    define(&["INET_ATON"], &[Text], Returns::Long, inet_aton),
    define(&["INET_NTOA"], &[Int], Returns::Text, inet_ntoa),
    define(&["HEX"], &[TextOrNumber], Returns::Text, hex_text),
    define(&["UNHEX"], &[Text], Returns::Bytes, unhex),
    define(&["ENCODE"], &[Text, Text], Returns::Bytes, encode),
    define(&["DECODE"], &[Kind::Any, Text], Returns::Text, decode),
    define(&["URL_ENCODE"], &[Text], Returns::Text, url_encode),
    define(&["URL_DECODE"], &[Text], Returns::Text, url_decode),
    define(&["PARSE_URL"], &[Text, Text, Text], Returns::Text, parse_url).optional(1),
    define(&["MD5"], &[TextOrBytes], Returns::Text, |c| digest(c, hash::<Md5>)),
    define(&["SHA1"], &[TextOrBytes], Returns::Text, |c| digest(c, hash::<Sha1>)),
    define(&["SHA224"], &[TextOrBytes], Returns::Text, |c| digest(c, hash::<Sha224>)),
    define(&["SHA256"], &[TextOrBytes], Returns::Text, |c| digest(c, hash::<Sha256>)),
    define(&["SHA384"], &[TextOrBytes], Returns::Text, |c| digest(c, hash::<Sha384>)),
    define(&["SHA512"], &[TextOrBytes], Returns::Text, |c| digest(c, hash::<Sha512>)),
    define(&["SHA2"], &[TextOrBytes, Int], Returns::Text, sha2_of),
];

/// The bytes of a row.
type Octets<'a> = Box<dyn Fn(usize) -> Option<&'a [u8]> + 'a>;

/// An argument of strings or bytes, as bytes.
fn octets<'a>(c: &'a Call<'_>, i: usize) -> Result<Octets<'a>> {
    Ok(match c.kind(i) {
        DataType::Utf8View => {
            let s = c.text(i)?;
            Box::new(move |row| s.get(row).map(str::as_bytes))
        }
        _ => {
            let s = c.bytes(i)?;
            Box::new(move |row| s.get(row))
        }
    })
}

fn push_hex(bytes: &[u8], upper: bool, out: &mut String) {
    let digits: &[u8; 16] = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    for b in bytes {
        out.push(char::from(digits[usize::from(b >> 4)]));
        out.push(char::from(digits[usize::from(b & 15)]));
    }
}

fn hash<D: Digest>(bytes: &[u8], out: &mut String) {
    push_hex(&D::digest(bytes), false, out);
}

fn digest(c: &Call<'_>, f: fn(&[u8], &mut String)) -> Result<ArrayRef> {
    let s = octets(c, 0)?;
    c.texts(|row, out| {
        f(some!(s(row)), out);
        Ok(Some(()))
    })
}

fn sha2_of(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, bits) = (octets(c, 0)?, c.int(1)?);
    c.texts(|row, out| {
        let (s, bits) = (some!(s(row)), some!(bits.get(row)));
        match bits {
            224 => hash::<Sha224>(s, out),
            256 => hash::<Sha256>(s, out),
            384 => hash::<Sha384>(s, out),
            512 => hash::<Sha512>(s, out),
            _ => {
                return Err(Error::execution(format!("SHA2 has no length of {bits} bits"))
                    .with_hint("use 224, 256, 384 or 512"));
            }
        }
        Ok(Some(()))
    })
}

fn to_base64(c: &Call<'_>) -> Result<ArrayRef> {
    let s = octets(c, 0)?;
    c.texts(|row, out| {
        STANDARD.encode_string(some!(s(row)), out);
        Ok(Some(()))
    })
}

/// As Java decodes: the padding at the end may be missing, and bits that nothing needs may be set.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

fn from_base64(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    let mut bytes = Vec::new();
    c.texts(|row, out| {
        let s = some!(s.get(row));
        bytes.clear();
        LENIENT.decode_vec(s, &mut bytes).map_err(|e| {
            Error::execution("FROM_BASE64 got text that is not base64").with_detail(format!("'{s}': {e}"))
        })?;
        out.push_str(&String::from_utf8_lossy(&bytes));
        Ok(Some(()))
    })
}

fn hex_text(c: &Call<'_>) -> Result<ArrayRef> {
    use std::fmt::Write as _;
    match c.kind(0) {
        DataType::Utf8View => {
            let s = c.text(0)?;
            c.texts(|row, out| {
                push_hex(some!(s.get(row)).as_bytes(), true, out);
                Ok(Some(()))
            })
        }
        DataType::Int64 => {
            let n = c.int(0)?;
            c.texts(|row, out| {
                let _ = write!(out, "{:X}", some!(n.get(row)));
                Ok(Some(()))
            })
        }
        _ => Err(Error::plan("HEX takes an integer or a string")),
    }
}

fn unhex(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    c.blobs(|row, out| {
        let s = some!(s.get(row)).as_bytes();
        let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
        let (first, rest) = s.split_at(s.len() % 2);
        // The first of an odd number of digits is read as zero, as Flink does, but it must be one.
        for first in first {
            some!(digit(*first));
            out.push(0);
        }
        for pair in rest.chunks_exact(2) {
            out.push(some!(digit(pair[0])) << 4 | some!(digit(pair[1])));
        }
        Ok(Some(()))
    })
}

#[derive(Clone, Copy)]
enum Charset {
    Ascii,
    Latin1,
    Utf8,
    Utf16Be,
    Utf16Le,
    Utf16,
}

fn charset(name: &str) -> Result<Charset> {
    Ok(match name.to_ascii_uppercase().as_str() {
        "US-ASCII" => Charset::Ascii,
        "ISO-8859-1" => Charset::Latin1,
        "UTF-8" => Charset::Utf8,
        "UTF-16BE" => Charset::Utf16Be,
        "UTF-16LE" => Charset::Utf16Le,
        "UTF-16" => Charset::Utf16,
        _ => {
            return Err(Error::execution(format!("character set '{name}' is not known"))
                .with_hint("use US-ASCII, ISO-8859-1, UTF-8, UTF-16BE, UTF-16LE or UTF-16"));
        }
    })
}

fn encode(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, name) = (c.text(0)?, c.text(1)?);
    c.blobs(|row, out| {
        let (s, name) = (some!(s.get(row)), some!(name.get(row)));
        let limit = |max: u32| move |ch: char| if u32::from(ch) <= max { ch as u8 } else { b'?' };
        match charset(name)? {
            Charset::Utf8 => out.extend_from_slice(s.as_bytes()),
            Charset::Ascii => out.extend(s.chars().map(limit(0x7F))),
            Charset::Latin1 => out.extend(s.chars().map(limit(0xFF))),
            Charset::Utf16Be => s.encode_utf16().for_each(|u| out.extend(u.to_be_bytes())),
            Charset::Utf16Le => s.encode_utf16().for_each(|u| out.extend(u.to_le_bytes())),
            // Of nothing there is no mark.
            Charset::Utf16 if s.is_empty() => {}
            Charset::Utf16 => {
                out.extend([0xFE, 0xFF]);
                s.encode_utf16().for_each(|u| out.extend(u.to_be_bytes()));
            }
        }
        Ok(Some(()))
    })
}

fn decode(c: &Call<'_>) -> Result<ArrayRef> {
    if !matches!(c.kind(0), DataType::BinaryView | DataType::Null) {
        return Err(Error::plan("DECODE takes BYTES and the name of a character set"));
    }
    if *c.kind(0) == DataType::Null {
        return Ok(c.nulls());
    }
    let (bytes, name) = (c.bytes(0)?, c.text(1)?);
    let wide = |bytes: &[u8], little: bool, out: &mut String| {
        let units = bytes.chunks(2).map(|p| match p {
            [a, b] if little => u16::from_le_bytes([*a, *b]),
            [a, b] => u16::from_be_bytes([*a, *b]),
            _ => 0xFFFD,
        });
        out.extend(char::decode_utf16(units).map(|r| r.unwrap_or(char::REPLACEMENT_CHARACTER)));
    };
    c.texts(|row, out| {
        let (bytes, name) = (some!(bytes.get(row)), some!(name.get(row)));
        match charset(name)? {
            Charset::Utf8 => out.push_str(&String::from_utf8_lossy(bytes)),
            Charset::Ascii => {
                out.extend(
                    bytes
                        .iter()
                        .map(|b| if b.is_ascii() { char::from(*b) } else { char::REPLACEMENT_CHARACTER }),
                );
            }
            Charset::Latin1 => out.extend(bytes.iter().map(|b| char::from(*b))),
            Charset::Utf16Be => wide(bytes, false, out),
            Charset::Utf16Le => wide(bytes, true, out),
            Charset::Utf16 => match bytes {
                [0xFF, 0xFE, rest @ ..] => wide(rest, true, out),
                [0xFE, 0xFF, rest @ ..] | rest => wide(rest, false, out),
            },
        }
        Ok(Some(()))
    })
}

/// What `application/x-www-form-urlencoded` leaves alone, but for the space.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'*').remove(b'_').remove(b' ');

fn url_encode(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    c.texts(|row, out| {
        for piece in percent_encoding::utf8_percent_encode(some!(s.get(row)), FORM) {
            out.extend(piece.chars().map(|ch| if ch == ' ' { '+' } else { ch }));
        }
        Ok(Some(()))
    })
}

/// Form decoding; `None` for a broken escape.
fn form_decode(s: &str, out: &mut String) -> Option<()> {
    let mut bytes = Vec::with_capacity(s.len());
    let mut rest = s.bytes();
    while let Some(b) = rest.next() {
        bytes.push(match b {
            b'+' => b' ',
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                (high << 4 | low) as u8
            }
            _ => b,
        });
    }
    out.push_str(&String::from_utf8_lossy(&bytes));
    Some(())
}

fn url_decode(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    c.texts(|row, out| Ok(form_decode(some!(s.get(row)), out)))
}

fn parse_url(c: &Call<'_>) -> Result<ArrayRef> {
    let (s, part) = (c.text(0)?, c.text(1)?);
    let key = if c.has(2) { Some(c.text(2)?) } else { None };
    c.slices(|row| {
        let (s, part) = (some!(s.get(row)), some!(part.get(row)));
        // Cut by hand: the parts are to be shown as they were written, not normalized.
        let (scheme, rest) = some!(s.split_once(':'));
        if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
            return Ok(None);
        }
        let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(r, f)| (r, Some(f)));
        let (front, query) = rest.split_once('?').map_or((rest, None), |(r, q)| (r, Some(q)));
        let (authority, path) = match front.strip_prefix("//") {
            Some(a) => a.split_at(a.find('/').unwrap_or(a.len())),
            None => ("", front),
        };
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
        let host = match host.rfind(':') {
            Some(colon) if host[colon..].find(']').is_none() => &host[..colon],
            _ => host,
        };
        if let Some(key) = &key {
            let key = some!(key.get(row));
            if part != "QUERY" {
                return Ok(None);
            }
            return Ok(query
                .and_then(|q| q.split('&').filter_map(|p| p.split_once('=')).find(|(k, _)| *k == key))
                .map(|(_, v)| v));
        }
        Ok(match part {
            "PROTOCOL" => Some(scheme),
            "HOST" => Some(host),
            "PATH" => Some(path),
            "QUERY" => query,
            "REF" => fragment,
            "FILE" => {
                let start = s.len() - fragment.map_or(0, |f| f.len() + 1);
                let begin = scheme.len() + 1 + (front.len() - path.len());
                s.get(begin..start)
            }
            "AUTHORITY" => (!authority.is_empty()).then_some(authority),
            "USERINFO" => user,
            _ => None,
        })
    })
}

/// BIN: the two's complement of a BIGINT.
pub(crate) fn bin(c: &Call<'_>) -> Result<ArrayRef> {
    use std::fmt::Write as _;
    let n = c.args[0].array.as_primitive_opt::<Int64Type>();
    let Some(n) = n else { return Ok(c.nulls()) };
    let mut builder = StringViewBuilder::with_capacity(c.rows);
    let mut buffer = String::new();
    for row in 0..c.rows {
        let i = row * c.args[0].step;
        if n.is_null(i) {
            builder.append_null();
            continue;
        }
        buffer.clear();
        let _ = write!(buffer, "{:b}", n.value(i));
        builder.append_value(&buffer);
    }
    Ok(Arc::new(builder.finish()))
}

/// An IPv4 address as a number; of fewer than four parts the last is the last byte. What is none is NULL.
fn inet_aton(c: &Call<'_>) -> Result<ArrayRef> {
    let s = c.text(0)?;
    c.numbers::<arrow::datatypes::Int64Type>(|row| {
        let parts: Vec<&str> = some!(s.get(row)).split('.').collect();
        if parts.len() > 4 {
            return Ok(None);
        }
        let mut address = 0_i64;
        for (i, part) in parts.iter().enumerate() {
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            let Some(byte) = digits.then(|| part.parse::<u8>().ok()).flatten() else { return Ok(None) };
            let place = if i + 1 == parts.len() { 0 } else { 3 - i };
            address |= i64::from(byte) << (8 * place);
        }
        Ok(Some(address))
    })
}

/// A number as IPv4 address.
fn inet_ntoa(c: &Call<'_>) -> Result<ArrayRef> {
    let n = c.int(0)?;
    c.texts(|row, out| {
        let Ok(address) = u32::try_from(some!(n.get(row))) else { return Ok(None) };
        out.push_str(&std::net::Ipv4Addr::from(address).to_string());
        Ok(Some(()))
    })
}
