//! JSON: one object a line in streams, and whole documents as lookup services answer.
//!
//! | room | what lives there |
//! |---|---|
//! | `options` | the format's options |
//! | `scan` | tokens of the text |
//! | `convert` | text to and from numbers, decimals, dates and times |
//! | `column`, `store` | values into columns, written by row number |
//! | `object` | objects by predicted shape, and the general way |
//! | `decoder`, `document` | streams, whole documents |
//! | `sample` | the first values of a stream, to find its columns out |
//! | `message` | messages about a bad record |
//! | `encoder`, `cell` | chunks to text |

mod cell;
mod column;
pub(crate) mod convert;
mod decoder;
mod document;
mod encoder;
mod message;
mod object;
mod options;
mod sample;
mod scan;
mod store;

pub use decoder::JsonDecoder;
pub(super) use decoder::{batch as batch_of, begins_document};
pub use document::{JsonDocuments, decode_rows};
pub use encoder::JsonEncoder;
pub use options::{ChangelogField, FAIL_ON_FRACTION, JsonOptions, OPTIONS, STRICT, TimestampFormat};
pub(super) use sample::sample_values;

#[cfg(test)]
mod tests;
