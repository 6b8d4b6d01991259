//! JSON: one object a line in streams, and whole documents as lookup services answer.
//!
//! | room | what lives there |
//! |---|---|
//! | `options` | the format's options |
//! | `scan` | tokens of the text |
//! | `convert` | text to and from numbers, decimals, dates and times |
//! | `column` | values into columns, written by row number |
//! | `object` | objects by predicted shape, and the general way |
//! | `decoder` | streams and documents, messages |
//! | `encoder`, `cell` | chunks to text |

mod cell;
mod column;
pub(crate) mod convert;
mod decoder;
mod encoder;
mod object;
mod options;
mod scan;

pub use decoder::{JsonDecoder, JsonDocuments, decode_rows};
pub use encoder::JsonEncoder;
pub use options::{JsonOptions, OPTIONS, TimestampFormat};

#[cfg(test)]
mod tests;
