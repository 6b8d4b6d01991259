//! Durations, sizes, numbers and words as options and settings write them.

use std::time::Duration;

use crate::error::{Error, Result};

/// `true` or `false`, in any case.
pub fn parse_bool(text: &str) -> Result<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Error::option(format!("'{text}' is neither true nor false"))),
    }
}

/// A whole number from 0.
pub fn parse_integer(text: &str) -> Result<u64> {
    text.trim().parse().map_err(|_| Error::option(format!("'{text}' is not a whole number from 0")))
}

pub(crate) fn parse_number(text: &str) -> Result<f64> {
    match text.trim().parse::<f64>() {
        Ok(n) if n.is_finite() => Ok(n),
        _ => Err(Error::option(format!("'{text}' is not a number"))),
    }
}

pub(crate) fn parse_choice(text: &str, words: &[&'static str]) -> Result<&'static str> {
    let normal = text.trim().replace('-', "_");
    words
        .iter()
        .find(|w| w.replace('-', "_").eq_ignore_ascii_case(&normal))
        .copied()
        .ok_or_else(|| Error::option(format!("'{text}' is not one of {}", words.join(", "))))
}

fn split_unit(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, text[digits..].trim().to_ascii_lowercase()))
}

/// A duration: a whole number and a unit, `ms` when there is none.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let wrong = || {
        Error::option(format!("'{text}' is not a duration"))
            .with_hint("write a number and a unit: 500 ms, 1 s, 5 min, 1 h, 1 d")
    };
    let (n, unit) = split_unit(text).ok_or_else(wrong)?;
    let nanos_each: u64 = match unit.as_str() {
        "ns" | "nano" | "nanosecond" | "nanoseconds" => 1,
        "us" | "µs" | "micro" | "microsecond" | "microseconds" => 1_000,
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        _ => return Err(wrong()),
    };
    n.checked_mul(nanos_each).map(Duration::from_nanos).ok_or_else(wrong)
}

/// A size in bytes: a whole number and a unit, bytes when there is none.
pub fn parse_size(text: &str) -> Result<u64> {
    let wrong = || {
        Error::option(format!("'{text}' is not a size")).with_hint("write a number and a unit: 64 kb, 16 mb")
    };
    let (n, unit) = split_unit(text).ok_or_else(wrong)?;
    let each: u64 = match unit.as_str() {
        "" | "b" | "bytes" => 1,
        "k" | "kb" | "kibibytes" => 1 << 10,
        "m" | "mb" | "mebibytes" => 1 << 20,
        "g" | "gb" | "gibibytes" => 1 << 30,
        "t" | "tb" | "tebibytes" => 1 << 40,
        _ => return Err(wrong()),
    };
    n.checked_mul(each).ok_or_else(wrong)
}

/// A size in the largest unit that it is a whole number of: `64 mb`, `1500 bytes`.
pub fn shown_size(bytes: u64) -> String {
    let units = [("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10)];
    match units.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_flinks() {
        assert_eq!(parse_duration("500 ms").ok(), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("10s").ok(), Some(Duration::from_secs(10)));
        assert_eq!(parse_duration("3 min").ok(), Some(Duration::from_secs(180)));
        assert!(parse_duration("1 fortnight").is_err());
        assert!(parse_duration("-1 s").is_err());
        assert!(parse_duration("999999999999 d").is_err());
        assert_eq!(parse_size("16 mb").ok(), Some(16 << 20));
        assert_eq!([shown_size(16 << 20), shown_size(1500)], ["16 mb", "1500 bytes"]);
    }
}
