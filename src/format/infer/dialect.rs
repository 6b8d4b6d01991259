//! How a sample of CSV is written: its characters, separator, quotes and comments.
//!
//! Every way to read the sample is tried; the best one gives most records the same number of fields, more than
//! one.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::catalog::Options;
use crate::error::{Error, Result};

/// Records that are compared.
const RECORDS: usize = 1_000;

/// Separators, the likelier one first where several fit: in a file of `1,5;2,5` the comma is a decimal point.
const SEPARATORS: [u8; 4] = [b'\t', b';', b'|', b','];

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quote: Option<u8>,
    pub(super) escape: Option<u8>,
    pub(super) comments: bool,
}

impl Dialect {
    /// What options say, or their defaults.
    fn given(options: &Options) -> Result<Self> {
        let parsed = crate::format::csv::CsvOptions::from_options(options)?;
        Ok(Self {
            delimiter: parsed.delimiter,
            quote: parsed.quote,
            escape: parsed.escape,
            comments: parsed.comments,
        })
    }

    /// The dialect of a sample, as far as options leave it open.
    pub(super) fn of(sample: &str, cut: bool, options: &Options) -> Result<Self> {
        let given = Self::given(options)?;
        let mut ways = vec![given];
        let mut vary = |change: &dyn Fn(Self) -> Self| {
            let more: Vec<Self> = ways.iter().map(|way| change(*way)).collect();
            ways.extend(more);
        };
        let has = |byte: u8| memchr::memchr(byte, sample.as_bytes()).is_some();
        if !options.contains("csv.quote-character") && given.quote.is_some() {
            if has(b'\'') && !has(b'"') {
                vary(&|way| Self { quote: Some(b'\''), ..way });
            }
            if sample.contains("\\\"") && !options.contains("csv.escape-character") {
                vary(&|way| Self { escape: Some(b'\\'), ..way });
            }
        }
        if !options.contains("csv.allow-comments") && sample.lines().any(|line| line.starts_with('#')) {
            vary(&|way| Self { comments: true, ..way });
        }
        if !options.contains("csv.field-delimiter") {
            let separators = SEPARATORS.iter().filter(|s| has(**s));
            ways = separators
                .flat_map(|separator| ways.iter().map(|way| Self { delimiter: *separator, ..*way }))
                .collect();
        }
        let mut best = (0.0, given);
        for way in ways {
            let score = way.score(sample, cut)?;
            // What is less usual must be clearly better; a quote behind a backslash is rare, and one is enough.
            let margin = if way.escape == best.1.escape { 0.01 } else { 1e-9 };
            if score > best.0 + margin {
                best = (score, way);
            }
        }
        Ok(best.1)
    }

    /// The share of records that have as many fields as most; 0 if that is one.
    fn score(&self, sample: &str, cut: bool) -> Result<f64> {
        let most = if sample.contains("\\\"") { usize::MAX - 1 } else { RECORDS };
        let mut records = self.records(sample, most + 1)?;
        if (cut || records.len() > most) && records.len() > 1 {
            records.pop();
        }
        let quoted = |field: &str| {
            let field = field.as_bytes();
            let quote = self.quote.unwrap_or(b'"');
            // What was not taken as quotes, but looks like it.
            let other = if quote == b'"' { b'\'' } else { b'"' };
            field.len() > 1 && field.first() == Some(&other) && field.last() == Some(&other)
        };
        let width = most_common(records.iter().map(::csv::StringRecord::len));
        if width < 2 {
            return Ok(0.0);
        }
        let good = |r: &&::csv::StringRecord| r.len() == width && !r.iter().any(quoted);
        let same = records.iter().filter(good).count();
        Ok(same as f64 / records.len() as f64)
    }

    /// The records of a text, at most so many.
    pub(super) fn records(&self, text: &str, most: usize) -> Result<Vec<::csv::StringRecord>> {
        let mut builder = ::csv::ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(self.delimiter).escape(self.escape);
        match self.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        builder.comment(self.comments.then_some(b'#'));
        let mut reader = builder.from_reader(text.as_bytes());
        let records = reader.records().take(most).collect::<std::result::Result<Vec<_>, _>>();
        records.map_err(|e| Error::decode(format!("not CSV: {e}")))
    }

    /// The options that say so, where they do not yet.
    pub(super) fn options(&self, options: &Options) -> Result<Vec<(&'static str, &'static str)>> {
        let given = Self::given(options)?;
        let mut added = Vec::new();
        if self.delimiter != given.delimiter {
            let text = match self.delimiter {
                b'\t' => "\\t",
                b';' => ";",
                b'|' => "|",
                _ => ",",
            };
            added.push(("csv.field-delimiter", text));
        }
        if self.quote != given.quote {
            added.push(("csv.quote-character", "'"));
        }
        if self.escape != given.escape {
            added.push(("csv.escape-character", "\\"));
        }
        if self.comments != given.comments {
            added.push(("csv.allow-comments", "true"));
        }
        Ok(added)
    }
}

/// The number that comes most often; the larger one of two.
pub(super) fn most_common(numbers: impl Iterator<Item = usize>) -> usize {
    let mut counts = std::collections::BTreeMap::<usize, usize>::new();
    numbers.for_each(|n| *counts.entry(n).or_default() += 1);
    counts.into_iter().max_by_key(|(n, count)| (*count, *n)).map_or(0, |(n, _)| n)
}

/// The characters of a sample that may be cut anywhere.
pub(super) fn charset(sample: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(sample) {
        return encoding;
    }
    let start = &sample[..sample.len().min(4096) & !1];
    let zeros = |odd: usize| start.iter().skip(odd).step_by(2).filter(|b| **b == 0).count();
    let half = start.len() / 4;
    match simdutf8::compat::from_utf8(sample) {
        _ if half > 0 && zeros(1) > half && zeros(0) == 0 => UTF_16LE,
        _ if half > 0 && zeros(0) > half && zeros(1) == 0 => UTF_16BE,
        Ok(_) => UTF_8,
        // A character that was cut at the end.
        Err(e) if e.error_len().is_none() => UTF_8,
        Err(_) => WINDOWS_1252,
    }
}
