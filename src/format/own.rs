//! Formats of a program: the contract of what a session registers beside the built-in formats.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::{Decoder, Encoder, Origin};
use crate::catalog::{OptionDef, Options};
use crate::error::{Error, Result};
use crate::flow::{SinkChangelog, SourceChangelog};

/// A format of a program, named in `'format' = '...'` (see [`crate::Session::register_format`]).
///
/// ```
#[doc = include_str!("../../tests/embedding/format.rs")]
/// ```
pub trait RecordFormat: Send + Sync {
    /// The value of `'format'`.
    fn name(&self) -> &'static str;

    /// One line for people.
    fn doc(&self) -> &'static str;

    /// Its options, their keys with its name in front: `pairs.separator`.
    fn options(&self) -> &'static [OptionDef] {
        &[]
    }

    /// Checks of options beyond their types, at CREATE TABLE.
    fn check(&self, _options: &Options) -> Result<()> {
        Ok(())
    }

    /// Whether a record starts after every newline, so that a file can be cut anywhere and read by several tasks.
    fn splittable(&self) -> bool {
        false
    }

    /// Which kinds of change its records have when they are read.
    fn source_changelog(&self) -> SourceChangelog {
        SourceChangelog::Append
    }

    /// Which kinds of change it can write.
    fn sink_changelog(&self) -> SinkChangelog {
        SinkChangelog::Append
    }

    /// A decoder of one stream of bytes, or of one message.
    fn decoder(&self, request: &RecordFormatRequest<'_>) -> Result<Box<dyn Decoder>>;

    /// An encoder for rows of the schema.
    fn encoder(&self, _options: &Options, _schema: &SchemaRef) -> Result<Box<dyn Encoder>> {
        Err(Error::unsupported(format!("format '{}' cannot be written", self.name())))
    }
}

/// What a decoder is made for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecordFormatRequest<'a> {
    /// The table's options.
    pub options: &'a Options,
    /// All physical columns of the table in order.
    pub declared: SchemaRef,
    /// The wanted ones of them, by name: what batches look like.
    pub schema: SchemaRef,
    /// Upper bound of rows in a batch.
    pub batch_rows: usize,
    /// Where the bytes come from, for messages.
    pub origin: Origin,
}

/// A format of a program with the options of a table.
#[derive(Clone)]
pub struct OwnFormat {
    format: Arc<dyn RecordFormat>,
    options: Options,
}

impl fmt::Debug for OwnFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnFormat").field(&self.format.name()).finish()
    }
}

impl OwnFormat {
    /// The format of that name that the options know.
    pub(super) fn find(options: &Options, name: &str) -> Result<Option<Self>> {
        let Some(format) = options.registered().find::<dyn RecordFormat>(name) else { return Ok(None) };
        format.check(options)?;
        Ok(Some(Self { format: format.clone(), options: options.clone() }))
    }

    /// The format.
    pub fn format(&self) -> &dyn RecordFormat {
        self.format.as_ref()
    }

    pub(super) fn decoder(
        &self,
        declared: &SchemaRef,
        schema: &SchemaRef,
        batch_rows: usize,
        origin: Origin,
    ) -> Result<Box<dyn Decoder>> {
        self.format.decoder(&RecordFormatRequest {
            options: &self.options,
            declared: declared.clone(),
            schema: schema.clone(),
            batch_rows,
            origin,
        })
    }

    pub(super) fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn Encoder>> {
        self.format.encoder(&self.options, schema)
    }
}
