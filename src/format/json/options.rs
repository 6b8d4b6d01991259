//! Options of the format, with Flink's keys and defaults.

use arrow::datatypes::SchemaRef;

use crate::catalog::Options;
use crate::catalog::options::{OptionDef, OptionKind};
use crate::error::{Error, Result};

/// The written form of timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampFormat {
    /// `2020-01-01 10:15:30.123`, with a `Z` after it for TIMESTAMP_LTZ.
    #[default]
    Sql,
    /// `2020-01-01T10:15:30.123`, with a `Z` after it for TIMESTAMP_LTZ.
    Iso8601,
}

/// How records are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JsonOptions {
    /// A declared field that a record lacks is an error instead of NULL.
    pub fail_on_missing_field: bool,
    /// A field that does not fit its type becomes NULL, and a broken record is dropped.
    pub ignore_parse_errors: bool,
    /// A number with a fraction does not fit a whole number, instead of losing the fraction, as in Flink.
    pub fail_on_fraction: bool,
    /// A value that its type would change is an error, and fields that the table lacks are warned of.
    pub strict: bool,
    /// The written form of timestamps.
    pub timestamp_format: TimestampFormat,
    /// Tiny decimals as `0.0000001` instead of `1E-7`.
    pub decimal_as_plain_number: bool,
    /// Decimals without trailing zeros, as Flink writes them: 100 as `1E+2`.
    pub strip_decimals: bool,
    /// NULL fields of a record (nested ones too) are left out instead of written as `null`.
    pub ignore_null_fields: bool,
    /// The bytes are those of a file from its start on: a document over several lines is read as a whole.
    pub documents: bool,
}

const FAIL_ON_MISSING: &str = "json.fail-on-missing-field";
const IGNORE_ERRORS: &str = "json.ignore-parse-errors";
/// Set where columns are found out: whole numbers are a guess then.
pub const FAIL_ON_FRACTION: &str = "json.fail-on-fraction";
/// Set where columns are found out: all of them are a guess then.
pub const STRICT: &str = "json.strict";
const TIMESTAMP: &str = "json.timestamp-format.standard";
const PLAIN_DECIMAL: &str = "json.encode.decimal-as-plain-number";
const IGNORE_NULLS: &str = "json.encode.ignore-null-fields";
const CHANGELOG_FIELD: &str = "json.changelog-field";
const CHANGELOG_MODE: &str = "json.changelog-mode";
const CHANGELOG_MODES: &[&str] = &["all", "upsert"];
const TIMESTAMP_WORDS: &[&str] = &["SQL", "ISO-8601"];

/// Definitions of the format's options.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::new(
        FAIL_ON_MISSING,
        OptionKind::Bool,
        "false",
        "a declared field that a record lacks is an error instead of NULL",
    ),
    OptionDef::new(
        IGNORE_ERRORS,
        OptionKind::Bool,
        "false",
        "a field that does not fit its type becomes NULL, and a broken record is dropped",
    ),
    OptionDef::new(
        FAIL_ON_FRACTION,
        OptionKind::Bool,
        "false",
        "7.9 for an INT or BIGINT is an error instead of 7; true where columns were found out",
    ),
    OptionDef::new(
        STRICT,
        OptionKind::Bool,
        "false",
        "a text where a number is due, and a time with more digits than its column, are errors, and fields without a column are warned of; true where columns were found out",
    ),
    OptionDef::new(
        TIMESTAMP,
        OptionKind::Choice(TIMESTAMP_WORDS),
        "SQL",
        "form of timestamps: '2020-01-01 10:15:30.123' (SQL) or '2020-01-01T10:15:30.123' (ISO-8601)",
    ),
    OptionDef::new(
        PLAIN_DECIMAL,
        OptionKind::Bool,
        "false",
        "write decimals without an exponent: 0.0000001 instead of 1E-7, 100 instead of 1E+2",
    ),
    OptionDef::new(IGNORE_NULLS, OptionKind::Bool, "false", "leave NULL fields out of written records"),
    OptionDef::new(
        CHANGELOG_FIELD,
        OptionKind::Text,
        "",
        "the field that says what kind of change a record is: +I, -U, +U or -D",
    ),
    OptionDef::new(
        CHANGELOG_MODE,
        OptionKind::Choice(CHANGELOG_MODES),
        "all",
        "with 'json.changelog-field': records of all kinds, or +I, +U and -D by the PRIMARY KEY (upsert)",
    ),
];

impl JsonOptions {
    /// From a table's options.
    pub fn from_options(options: &Options) -> Result<Self> {
        let flag = |key| options.bool(key).map(|value| value.unwrap_or(false));
        let parsed = Self {
            fail_on_missing_field: flag(FAIL_ON_MISSING)?,
            ignore_parse_errors: flag(IGNORE_ERRORS)?,
            fail_on_fraction: flag(FAIL_ON_FRACTION)?,
            strict: flag(STRICT)?,
            timestamp_format: match options.choice(TIMESTAMP, TIMESTAMP_WORDS)? {
                Some("ISO-8601") => TimestampFormat::Iso8601,
                _ => TimestampFormat::Sql,
            },
            decimal_as_plain_number: flag(PLAIN_DECIMAL)?,
            strip_decimals: true,
            ignore_null_fields: flag(IGNORE_NULLS)?,
            documents: false,
        };
        if parsed.fail_on_missing_field && parsed.ignore_parse_errors {
            return Err(Error::option(format!("'{FAIL_ON_MISSING}' and '{IGNORE_ERRORS}' are both true"))
                .at(options.span(IGNORE_ERRORS))
                .with_hint("one asks for an error that the other hides: set only one of them"));
        }
        Ok(parsed)
    }
}

/// Records that are changes: each says in a field of its own what kind it is, as `affluent run -o json`
/// prints results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangelogField {
    /// The name of the field.
    pub name: Box<str>,
    /// A row takes the place of the one with its primary key; there is no `-U`.
    pub upsert: bool,
}

impl ChangelogField {
    /// From a table's options; `None` when its records are plain rows.
    pub fn from_options(options: &Options) -> Result<Option<Self>> {
        let upsert = options.choice(CHANGELOG_MODE, CHANGELOG_MODES)? == Some("upsert");
        match options.text(CHANGELOG_FIELD) {
            Some("") => Err(Error::option(format!("option '{CHANGELOG_FIELD}' is the name of a field"))
                .at(options.span(CHANGELOG_FIELD))),
            Some(name) => Ok(Some(Self { name: name.into(), upsert })),
            None if options.contains(CHANGELOG_MODE) => {
                Err(Error::option(format!("option '{CHANGELOG_MODE}' needs '{CHANGELOG_FIELD}'"))
                    .at(options.span(CHANGELOG_MODE))
                    .with_hint(format!("'{CHANGELOG_FIELD}' = 'op' is what `affluent run -o json` writes")))
            }
            None => Ok(None),
        }
    }

    /// A column of the same name would hide the kind.
    pub fn check(&self, declared: &SchemaRef) -> Result<()> {
        if declared.field_with_name(&self.name).is_ok() {
            return Err(Error::option(format!(
                "column '{}' has the name of the field that holds the kind of change",
                self.name
            ))
            .with_hint(format!(
                "name the field differently in '{CHANGELOG_FIELD}', or leave the option out"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::error::Span;

    fn options(pairs: &[(&str, &str)]) -> Result<JsonOptions> {
        let mut options = Options::default();
        for (key, value) in pairs {
            options.set(key, value, Span::default());
        }
        options.validate("format 'json'", &OPTIONS.iter().collect::<Vec<_>>())?;
        JsonOptions::from_options(&options)
    }

    #[test]
    fn defaults_are_flinks() {
        assert_eq!(options(&[]).unwrap(), JsonOptions { strip_decimals: true, ..JsonOptions::default() });
    }

    #[test]
    fn every_option_has_its_effect() {
        let all = options(&[
            ("json.fail-on-missing-field", "true"),
            ("json.timestamp-format.standard", "iso-8601"),
            ("json.encode.decimal-as-plain-number", "TRUE"),
            ("json.encode.ignore-null-fields", "true"),
        ]);
        let expected = JsonOptions {
            fail_on_missing_field: true,
            fail_on_fraction: false,
            strict: false,
            ignore_parse_errors: false,
            timestamp_format: TimestampFormat::Iso8601,
            decimal_as_plain_number: true,
            strip_decimals: true,
            ignore_null_fields: true,
            documents: false,
        };
        assert_eq!(all.unwrap(), expected);
    }

    #[test]
    fn contradictions_are_refused() {
        let both = options(&[("json.fail-on-missing-field", "true"), ("json.ignore-parse-errors", "true")]);
        assert!(both.unwrap_err().message().contains("both true"));
        assert!(options(&[("json.timestamp-format.standard", "unix")]).is_err());
    }
}
