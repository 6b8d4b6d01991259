//! Formats of a program, with the options of a table: what a session registers beside the built-in formats.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::{Decoder, Encoder, Origin, RecordFormat, RecordFormatRequest};
use crate::catalog::Options;
use crate::error::Result;

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
