//! Finds formats by name.

use arrow::datatypes::SchemaRef;

use super::{Decoder, Encoder, Origin};
use crate::catalog::Options;
use crate::catalog::options::OptionDef;
use crate::error::{Error, Result};

/// Names of the formats.
pub const FORMAT_NAMES: &[&str] = &["json", "csv", "raw"];

/// A format with its options, as a table declares it.
#[derive(Debug, Clone)]
pub struct Format;

impl Format {
    /// From `'format'` and the options that start with its name.
    pub fn from_options(_options: &Options) -> Result<Self> {
        Err(Error::unsupported("formats"))
    }

    /// Option definitions of the named format, keys with their prefix (`json.ignore-parse-errors`).
    pub fn definitions(_name: &str) -> &'static [OptionDef] {
        &[]
    }

    /// A decoder that fills exactly `schema` (a projection of the record's fields, by name), at most
    /// `batch_rows` rows a batch; TIMESTAMP_LTZ columns carry the session's zone in their type.
    /// `declared` names all physical columns of the table in order, which positional formats (csv) need.
    pub fn decoder(
        &self,
        _declared: &SchemaRef,
        _schema: &SchemaRef,
        _batch_rows: usize,
        _origin: Origin,
    ) -> Result<Box<dyn Decoder>> {
        Err(Error::unsupported("formats"))
    }

    /// An encoder for rows of `schema`.
    pub fn encoder(&self, _schema: &SchemaRef) -> Result<Box<dyn Encoder>> {
        Err(Error::unsupported("formats"))
    }
}
