//! Java's date patterns (`yyyy-MM-dd HH:mm:ss`): translated once, then used to write and to read.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};
use hashbrown::HashMap;

use crate::error::{Error, Result};

/// A letter with its count, or text.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    Field(char, usize),
    Literal(String),
}

/// A translated pattern.
#[derive(Debug, PartialEq)]
pub(crate) struct Pattern {
    tokens: Vec<Token>,
}

/// What a moment is shown with: the zone's name and offset if it has one.
pub(crate) struct Moment<'a> {
    pub local: NaiveDateTime,
    pub zone: Option<(&'a str, FixedOffset)>,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Letters that are understood, those that can also be read, and what they mean.
const LETTERS: &str = "yuYMLdDEeecahHkKmsSnNAQqwWXxZzV";

thread_local! {
    static PATTERNS: RefCell<HashMap<String, Arc<Pattern>>> = RefCell::new(HashMap::new());
}

/// The translated pattern, from the thread's cache.
pub(crate) fn translated(text: &str) -> Result<Arc<Pattern>> {
    PATTERNS.with_borrow_mut(|patterns| {
        if let Some(pattern) = patterns.get(text) {
            return Ok(Arc::clone(pattern));
        }
        let pattern = Arc::new(Pattern::parse(text)?);
        if patterns.len() >= 256 {
            patterns.clear();
        }
        patterns.insert(text.to_string(), Arc::clone(&pattern));
        Ok(pattern)
    })
}

impl Pattern {
    fn parse(text: &str) -> Result<Self> {
        let mut tokens = Vec::new();
        let literal = |tokens: &mut Vec<Token>, ch: char| match tokens.last_mut() {
            Some(Token::Literal(s)) => s.push(ch),
            _ => tokens.push(Token::Literal(ch.into())),
        };
        let mut chars = text.chars().peekable();
        while let Some(ch) = chars.next() {
            match ch {
                '\'' if chars.next_if_eq(&'\'').is_some() => literal(&mut tokens, '\''),
                '\'' => loop {
                    match chars.next() {
                        Some('\'') if chars.next_if_eq(&'\'').is_some() => literal(&mut tokens, '\''),
                        Some('\'') => break,
                        Some(ch) => literal(&mut tokens, ch),
                        None => return Err(wrong(text, "a quote is not closed")),
                    }
                },
                'a'..='z' | 'A'..='Z' => {
                    let mut n = 1;
                    while chars.next_if_eq(&ch).is_some() {
                        n += 1;
                    }
                    if !LETTERS.contains(ch) {
                        return Err(wrong(text, format!("letter '{ch}' is not known")));
                    }
                    if n > 9 {
                        return Err(wrong(text, format!("too many letters '{ch}'")));
                    }
                    tokens.push(Token::Field(ch, n));
                }
                '[' | ']' | '{' | '}' | '#' => {
                    return Err(wrong(text, format!("character '{ch}' is reserved")));
                }
                _ => literal(&mut tokens, ch),
            }
        }
        Ok(Self { tokens })
    }

    /// Writes a moment.
    pub fn format(&self, m: &Moment<'_>, out: &mut String) -> Result<()> {
        let (date, time) = (m.local.date(), m.local.time());
        for token in &self.tokens {
            let (letter, n) = match token {
                Token::Literal(s) => {
                    out.push_str(s);
                    continue;
                }
                Token::Field(letter, n) => (*letter, *n),
            };
            let month = date.month0() as usize;
            let day = date.weekday().num_days_from_monday() as usize;
            let number = match letter {
                'y' | 'u' | 'Y' => {
                    let year = if letter == 'Y' { week_year(date).0 } else { date.year() };
                    if n == 2 {
                        let _ = write!(out, "{:02}", year.rem_euclid(100));
                    } else {
                        let _ = write!(out, "{year:0n$}");
                    }
                    continue;
                }
                'M' | 'L' if n >= 3 => {
                    out.push_str(part(MONTHS[month], n));
                    continue;
                }
                'E' | 'e' | 'c' if n >= 3 || letter == 'E' => {
                    out.push_str(part(DAYS[day], n));
                    continue;
                }
                'a' => {
                    out.push_str(if time.hour() < 12 { "AM" } else { "PM" });
                    continue;
                }
                'S' => {
                    let fraction = format!("{:09}", time.nanosecond() % 1_000_000_000);
                    out.push_str(&fraction[..n]);
                    continue;
                }
                'X' | 'x' | 'Z' | 'z' | 'V' => {
                    let Some((name, offset)) = m.zone else {
                        return Err(Error::execution(format!(
                            "a TIMESTAMP has no zone for letter '{letter}'"
                        ))
                        .with_hint("use TIMESTAMP_LTZ or leave the zone out of the pattern"));
                    };
                    zone(letter, n, name, offset, out);
                    continue;
                }
                'M' | 'L' => date.month(),
                'd' => date.day(),
                'D' => date.ordinal(),
                'e' | 'c' => date.weekday().num_days_from_sunday() + 1,
                'Q' | 'q' => date.month0() / 3 + 1,
                'w' => week_year(date).1,
                'W' => {
                    let first = date.with_day(1).map_or(0, |d| d.weekday().num_days_from_sunday());
                    (date.day() + first - 1) / 7 + 1
                }
                'h' => (time.hour() + 11) % 12 + 1,
                'H' => time.hour(),
                'k' => (time.hour() + 23) % 24 + 1,
                'K' => time.hour() % 12,
                'm' => time.minute(),
                's' => time.second(),
                'n' => time.nanosecond(),
                'A' => time.num_seconds_from_midnight() * 1000 + time.nanosecond() / 1_000_000,
                _ => {
                    let nanos = u64::from(time.num_seconds_from_midnight()) * 1_000_000_000
                        + u64::from(time.nanosecond());
                    let _ = write!(out, "{nanos:0n$}");
                    continue;
                }
            };
            let _ = write!(out, "{number:0n$}");
        }
        Ok(())
    }

    /// Reads a moment; `None` if the text does not have this form. What the pattern lacks is taken from
    /// 1970-01-01 00:00:00, a day behind the end of its month becomes the month's last day, as Java's
    /// smart resolver does it.
    pub fn read(&self, text: &str) -> Option<(NaiveDateTime, Option<FixedOffset>)> {
        let (read, rest) = self.read_start(text)?;
        rest.is_empty().then_some(read)
    }

    /// Reads a moment where a text begins, and gives the rest of the text.
    pub fn read_start<'t>(&self, text: &'t str) -> Option<((NaiveDateTime, Option<FixedOffset>), &'t str)> {
        let mut rest = text;
        let (mut year, mut month, mut day, mut ordinal) = (1970, 1, 1, None);
        let (mut hour, mut minute, mut second, mut nano) = (0, 0, 0, 0);
        let (mut half, mut twelve) = (None, None);
        let mut offset = None;
        for (i, token) in self.tokens.iter().enumerate() {
            let (letter, n) = match token {
                Token::Literal(s) => {
                    rest = rest.strip_prefix(s.as_str())?;
                    continue;
                }
                Token::Field(letter, n) => (*letter, *n),
            };
            // A number right before another number has exactly its letters' width.
            let adjacent = matches!(self.tokens.get(i + 1), Some(Token::Field(next, m))
                if !(matches!(next, 'a' | 'X' | 'x' | 'Z' | 'z' | 'V' | 'E') || *next == 'M' && *m >= 3));
            let mut digits = |least: usize, most: usize| -> Option<u32> {
                let len = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
                if len < least {
                    return None;
                }
                let (number, tail) = rest.split_at(len);
                rest = tail;
                number.parse().ok()
            };
            let mut number = |most: usize| {
                if n >= 2 || adjacent {
                    digits(n, n.max(if adjacent { n } else { 2 }))
                } else {
                    digits(1, most)
                }
            };
            match letter {
                'y' | 'u' if n == 2 => year = 2000 + number(2)? as i32,
                'y' | 'u' => {
                    year = if adjacent { digits(n, n)? } else { digits(n.min(4), 9)? } as i32;
                }
                'M' | 'L' if n >= 3 => {
                    let found = MONTHS.iter().position(|name| {
                        let name = part(name, n);
                        rest.get(..name.len()).is_some_and(|s| s.eq_ignore_ascii_case(name))
                    })?;
                    rest = &rest[part(MONTHS[found], n).len()..];
                    month = found as u32 + 1;
                }
                'M' | 'L' => month = number(2)?,
                'd' => day = number(2)?,
                'D' => ordinal = Some(digits(1, 3)?),
                'E' => {
                    let found = DAYS.iter().find(|name| {
                        let name = part(name, n);
                        rest.get(..name.len()).is_some_and(|s| s.eq_ignore_ascii_case(name))
                    })?;
                    rest = &rest[part(found, n).len()..];
                }
                'a' => {
                    let word = rest.get(..2)?;
                    half = Some(if word.eq_ignore_ascii_case("AM") {
                        0
                    } else if word.eq_ignore_ascii_case("PM") {
                        12
                    } else {
                        return None;
                    });
                    rest = &rest[2..];
                }
                'H' => hour = number(2)?,
                'k' => hour = number(2)? % 24,
                'h' => twelve = Some(number(2).filter(|h| (1..=12).contains(h))? % 12),
                'K' => twelve = Some(number(2).filter(|h| *h < 12)?),
                'm' => minute = number(2)?,
                's' => second = number(2)?,
                'S' => {
                    let len = rest.bytes().take(n).take_while(u8::is_ascii_digit).count();
                    if len != n {
                        return None;
                    }
                    nano = rest[..n].parse::<u32>().ok()? * 10_u32.pow(9 - n as u32);
                    rest = &rest[n..];
                }
                'X' | 'x' | 'Z' => {
                    let (found, tail) = read_offset(rest)?;
                    offset = Some(found);
                    rest = tail;
                }
                _ => return None,
            }
        }
        if let Some(twelve) = twelve {
            hour = twelve + half.unwrap_or(0);
        }
        let date = match ordinal {
            Some(ordinal) => NaiveDate::from_yo_opt(year, ordinal)?,
            None => clamped(year, month, day)?,
        };
        let time = NaiveTime::from_hms_nano_opt(hour, minute, second, nano)?;
        Some(((date.and_time(time), offset), rest))
    }
}

/// A date; day 29 to 31 becomes the last day of a shorter month.
pub(crate) fn clamped(year: i32, month: u32, day: u32) -> Option<NaiveDate> {
    if day > 31 {
        return None;
    }
    NaiveDate::from_ymd_opt(year, month, day)
        .or_else(|| (28..day).rev().find_map(|d| NaiveDate::from_ymd_opt(year, month, d)))
}

fn wrong(pattern: &str, why: impl Into<String>) -> Error {
    Error::execution("the date pattern is not valid")
        .with_detail(format!("'{pattern}': {}", why.into()))
        .with_hint("letters: y M d H h m s S a E D w Q ...; put other text in single quotes")
}

/// Three letters of a name, or the whole one.
fn part(name: &str, n: usize) -> &str {
    match n {
        5 => &name[..1],
        4 => name,
        _ => &name[..3],
    }
}

/// Year and week of the American calendar: weeks begin on Sunday, the first contains 1 January.
fn week_year(date: NaiveDate) -> (i32, u32) {
    let first_of = |year| NaiveDate::from_ymd_opt(year, 1, 1);
    if let Some(next) = first_of(date.year() + 1)
        && (next - date).num_days() <= i64::from(next.weekday().num_days_from_sunday())
    {
        return (date.year() + 1, 1);
    }
    let first = first_of(date.year()).map_or(Weekday::Sun, |d| d.weekday()).num_days_from_sunday();
    (date.year(), (date.ordinal0() + first) / 7 + 1)
}

fn zone(letter: char, n: usize, name: &str, offset: FixedOffset, out: &mut String) {
    let seconds = offset.local_minus_utc();
    if letter == 'V' || (letter == 'z' && seconds == 0) {
        out.push_str(if letter == 'z' { "UTC" } else { name });
        return;
    }
    if letter == 'z' {
        out.push_str(name);
        return;
    }
    if seconds == 0 && (letter == 'X' || (letter == 'Z' && n == 5)) {
        out.push('Z');
        return;
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
    let _ = match (letter, n) {
        ('X' | 'x', 1) if minutes == 0 => write!(out, "{sign}{hours:02}"),
        ('X' | 'x', 1 | 2) | ('Z', 1..=3) => write!(out, "{sign}{hours:02}{minutes:02}"),
        ('Z', 4) => write!(out, "GMT{sign}{hours:02}:{minutes:02}"),
        _ => write!(out, "{sign}{hours:02}:{minutes:02}"),
    };
}

fn read_offset(text: &str) -> Option<(FixedOffset, &str)> {
    if let Some(rest) = text.strip_prefix('Z') {
        return Some((FixedOffset::east_opt(0)?, rest));
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours: i32 = text.get(1..3)?.parse().ok()?;
    let mut rest = &text[3..];
    let behind = rest.strip_prefix(':').unwrap_or(rest);
    let mut minutes = 0;
    if let Some(two) = behind.get(..2).filter(|s| s.bytes().all(|b| b.is_ascii_digit())) {
        minutes = two.parse().ok()?;
        rest = &behind[2..];
    }
    Some((FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60))?, rest))
}
