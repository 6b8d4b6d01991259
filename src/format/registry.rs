//! Finds formats by name.

use arrow::datatypes::SchemaRef;

use super::csv::{CsvDecoder, CsvEncoder, CsvOptions};
use super::json;
use super::raw::{RawDecoder, RawEncoder};
use super::{Decoder, Encoder, Origin};
use crate::catalog::Options;
use crate::catalog::options::OptionDef;
use crate::catalog::table::nearest;
use crate::error::{Error, Result};

/// Names of the formats.
pub const FORMAT_NAMES: &[&str] = &["json", "csv", "raw"];

/// A format with its options, as a table declares it.
#[derive(Debug, Clone)]
pub enum Format {
    /// One JSON object a line.
    Json(json::JsonOptions),
    /// RFC 4180.
    Csv(CsvOptions),
    /// One column, one record a line.
    Raw,
}

impl Format {
    /// From `'format'` and the options that start with its name.
    pub fn from_options(options: &Options) -> Result<Self> {
        options
            .required("format")
            .map_err(|e| e.with_hint(format!("'format' is one of {}", FORMAT_NAMES.join(", "))))?;
        Self::from_options_or(options, "")
    }

    /// As [`Format::from_options`], with the name of the format where `'format'` is not given.
    pub fn from_options_or(options: &Options, default: &str) -> Result<Self> {
        let name = options.text("format").unwrap_or(default);
        match name {
            "json" => json::JsonOptions::from_options(options).map(Self::Json),
            "csv" => CsvOptions::from_options(options).map(Self::Csv),
            "raw" => super::raw::check_options(options).map(|()| Self::Raw),
            _ => {
                let error = Error::option(format!("format '{name}' is not known")).at(options.span("format"));
                Err(match nearest(name, FORMAT_NAMES.iter().copied()) {
                    Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                    None => error.with_hint(format!("there are: {}", FORMAT_NAMES.join(", "))),
                })
            }
        }
    }

    /// Its name, as in `'format'`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Json(_) => "json",
            Self::Csv(_) => "csv",
            Self::Raw => "raw",
        }
    }

    /// Whether a record starts behind every newline, so that a file can be cut anywhere.
    pub fn splittable(&self) -> bool {
        match self {
            Self::Json(_) | Self::Raw => true,
            Self::Csv(options) => options.quote.is_none(),
        }
    }

    /// The same format for bytes that do not stand at the start of a file: no header line.
    pub(crate) fn without_header(&self) -> Self {
        let mut format = self.clone();
        if let Self::Csv(options) = &mut format {
            options.skip_header = false;
            options.write_header = false;
        }
        format
    }

    /// Option definitions of the named format, keys with their prefix (`json.ignore-parse-errors`).
    pub fn definitions(name: &str) -> &'static [OptionDef] {
        match name {
            "json" => json::OPTIONS,
            "csv" => super::csv::OPTIONS,
            "raw" => super::raw::OPTIONS,
            _ => &[],
        }
    }

    /// A decoder that fills exactly `schema` (a projection of the record's fields, by name), at most
    /// `batch_rows` rows a batch; TIMESTAMP_LTZ columns carry the session's zone in their type.
    /// `declared` names all physical columns of the table in order, which positional formats (csv) need.
    pub fn decoder(
        &self,
        declared: &SchemaRef,
        schema: &SchemaRef,
        batch_rows: usize,
        origin: Origin,
    ) -> Result<Box<dyn Decoder>> {
        Ok(match self {
            Self::Json(options) => {
                Box::new(json::JsonDecoder::new(*options, schema.clone(), batch_rows, origin)?)
            }
            Self::Csv(options) => {
                Box::new(CsvDecoder::new(options.clone(), declared, schema, batch_rows, origin)?)
            }
            Self::Raw => Box::new(RawDecoder::new(declared, schema, batch_rows, origin)?),
        })
    }

    /// An encoder for rows of `schema`.
    pub fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn Encoder>> {
        Ok(match self {
            Self::Json(options) => Box::new(json::JsonEncoder::new(*options, schema.clone())?),
            Self::Csv(options) => Box::new(CsvEncoder::new(options.clone(), schema)?),
            Self::Raw => Box::new(RawEncoder::new(schema)?),
        })
    }
}
