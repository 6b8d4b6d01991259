//! The csv format: RFC 4180 with Flink's options.
//!
//! Columns are positional: the first field is the first declared column, whatever a header line says. What
//! differs from Flink, because files in the world have it: `csv.skip-header` and `csv.write-header`, and an
//! empty field of a column that is not text is NULL (Flink fails). Records are cut by [`csv_core`]; a
//! batch's fields lie in one buffer and are then parsed column by column.
//!
//! A quoted field may hold a newline, so that it cannot be known from the middle of a file where a record
//! starts: files are split over tasks only with `csv.disable-quote-character`.

mod decode;
mod encode;
#[cfg(test)]
mod tests;
pub(crate) mod value;

pub use decode::CsvDecoder;
pub use encode::CsvEncoder;

use encoding_rs::Encoding;

use crate::catalog::options::{OptionDef, OptionKind, Options};
use crate::error::{Error, Result};

/// Lines in front of the header.
pub const SKIP_LINES: &str = "csv.skip-lines";

/// Set where columns are found out: all of them are a guess then.
pub const STRICT: &str = "csv.strict";

/// The options of the format.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::new("csv.field-delimiter", OptionKind::Text, ",", "between fields; one character, or \\t"),
    OptionDef::new(
        "csv.quote-character",
        OptionKind::Text,
        "\"",
        "around fields that hold delimiters or newlines",
    ),
    OptionDef::new(
        "csv.disable-quote-character",
        OptionKind::Bool,
        "false",
        "quotes are text like any other",
    ),
    OptionDef::new("csv.escape-character", OptionKind::Text, "", "before a quote inside of quotes"),
    OptionDef::new("csv.allow-comments", OptionKind::Bool, "false", "lines that start with # are left out"),
    OptionDef::new(
        "csv.ignore-parse-errors",
        OptionKind::Bool,
        "false",
        "a field that does not fit its type is NULL, a line with too few fields is filled up with NULL, one with too many is left out",
    ),
    OptionDef::new(
        STRICT,
        OptionKind::Bool,
        "false",
        "a number with leading zeros or a plus, and a time with more digits than its column, are errors; true where columns were found out",
    ),
    OptionDef::new(
        "csv.array-element-delimiter",
        OptionKind::Text,
        ";",
        "between elements of an ARRAY or ROW",
    ),
    OptionDef::new("csv.null-literal", OptionKind::Text, "", "the text that means NULL"),
    OptionDef::new(
        "csv.charset",
        OptionKind::Text,
        "UTF-8",
        "reading: the characters of the file, such as UTF-16LE or ISO-8859-1",
    ),
    OptionDef::new(
        "csv.skip-header",
        OptionKind::Bool,
        "false",
        "reading: the first line of a file is left out",
    ),
    OptionDef::new(
        SKIP_LINES,
        OptionKind::Integer,
        "0",
        "reading: this many lines at the start of a file, such as titles, are left out before all others",
    ),
    OptionDef::new(
        "csv.write-header",
        OptionKind::Bool,
        "false",
        "writing: a file starts with the names of the columns",
    ),
];

/// The options, typed.
#[derive(Debug, Clone)]
pub struct CsvOptions {
    pub(crate) delimiter: u8,
    pub(crate) quote: Option<u8>,
    pub(crate) escape: Option<u8>,
    pub(crate) comments: bool,
    pub(crate) lenient: bool,
    pub(crate) strict: bool,
    pub(crate) element_delimiter: String,
    pub(crate) null_literal: Option<String>,
    pub(crate) charset: &'static Encoding,
    pub(crate) skip_header: bool,
    pub(crate) skip_lines: u64,
    pub(crate) write_header: bool,
    /// Quotes and decimals as Flink writes them.
    pub(crate) as_flink: bool,
}

impl CsvOptions {
    /// From WITH.
    pub fn from_options(options: &Options) -> Result<Self> {
        let flag = |key| options.bool(key).map(|v| v.unwrap_or(false));
        let quote = one_character(options, "csv.quote-character")?;
        let disabled = flag("csv.disable-quote-character")?;
        if disabled && quote.is_some() {
            return Err(Error::option(
                "'csv.quote-character' and 'csv.disable-quote-character' contradict each other",
            )
            .at(options.span("csv.disable-quote-character")));
        }
        let escape = one_character(options, "csv.escape-character")?;
        if disabled && escape.is_some() {
            return Err(Error::unsupported("'csv.escape-character' needs quotes: it is used inside of them")
                .at(options.span("csv.escape-character")));
        }
        let delimiter = one_character(options, "csv.field-delimiter")?.unwrap_or(b',');
        let quote = if disabled { None } else { Some(quote.unwrap_or(b'"')) };
        if quote == Some(delimiter) || matches!(delimiter, b'\n' | b'\r') {
            return Err(Error::option("option 'csv.field-delimiter' must differ from quotes and newlines")
                .at(options.span("csv.field-delimiter")));
        }
        let element_delimiter =
            options.text("csv.array-element-delimiter").map_or_else(|| ";".into(), unescaped);
        if element_delimiter.is_empty() {
            return Err(Error::option("option 'csv.array-element-delimiter' must not be empty")
                .at(options.span("csv.array-element-delimiter")));
        }
        Ok(Self {
            delimiter,
            quote,
            escape,
            comments: flag("csv.allow-comments")?,
            lenient: flag("csv.ignore-parse-errors")?,
            strict: flag(STRICT)?,
            element_delimiter,
            null_literal: options.text("csv.null-literal").map(str::to_string),
            charset: match options.text("csv.charset") {
                None => encoding_rs::UTF_8,
                Some(label) => Encoding::for_label_no_replacement(label.as_bytes()).ok_or_else(|| {
                    Error::option(format!("option 'csv.charset': '{label}' is no encoding that is known"))
                        .at(options.span("csv.charset"))
                        .with_hint("such as UTF-8, UTF-16LE, UTF-16BE, ISO-8859-1, windows-1252, Shift_JIS")
                })?,
            },
            skip_header: flag("csv.skip-header")?,
            skip_lines: options.integer(SKIP_LINES)?.unwrap_or(0),
            write_header: flag("csv.write-header")?,
            as_flink: true,
        })
    }
}

/// `\t` and the like, as they are written in SQL text.
fn unescaped(text: &str) -> String {
    match text {
        "\\t" => "\t".into(),
        "\\\\" => "\\".into(),
        "\\u0001" => "\u{1}".into(),
        other => other.into(),
    }
}

fn one_character(options: &Options, key: &str) -> Result<Option<u8>> {
    let Some(text) = options.text(key) else { return Ok(None) };
    match unescaped(text).as_bytes() {
        [byte] if byte.is_ascii() => Ok(Some(*byte)),
        _ => Err(Error::option(format!("option '{key}' must be one ASCII character, '{text}' is not"))
            .at(options.span(key))),
    }
}
