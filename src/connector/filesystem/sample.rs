//! The first records of a table's files.

use std::sync::Arc;

use super::files::Location;
use super::input::{Input, Split};
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::format::infer::{self, Inferred};

/// Bytes that are looked at.
const SAMPLE: usize = 1 << 20;

/// Columns of the first file that has records; `None` for formats whose records have no names.
pub(super) fn infer(options: &Options) -> Result<Option<Inferred>> {
    let table = Table {
        name: String::new(),
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        comment: None,
        options: options.clone(),
        temporary: true,
        embedded: None,
    };
    let format = options.text("format").unwrap_or_default();
    if !matches!(format, "json" | "csv") {
        return Ok(None);
    }
    let files = Location::new(&table)?.list(false)?;
    let mut failure = Error::decode(format!("'{}' holds no records", options.required("path")?))
        .with_hint("declare the columns: CREATE TABLE t (name TYPE, ...) WITH (...)");
    for file in files {
        let path = file.path.display().to_string();
        let mut input = Input::open(&Split::whole(Arc::new(file)))?;
        let mut sample = Vec::new();
        let mut cut = false;
        while let Some(block) = input.block()? {
            sample.extend_from_slice(&block);
            if sample.len() >= SAMPLE {
                sample.truncate(SAMPLE);
                cut = true;
                break;
            }
        }
        if sample.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let inferred = match format {
            "json" => infer::json(&sample, cut),
            _ => infer::csv(&sample, cut, options),
        };
        match inferred {
            Ok(inferred) => return Ok(Some(inferred)),
            Err(e) => failure = e.context(format!("file {path}")),
        }
        break;
    }
    Err(failure)
}
