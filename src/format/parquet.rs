//! Parquet: files of columns, with their schema and their groups of rows in a footer at the end.
//!
//! A file is read from its footer on, group by group, and only the columns that a query wants are decoded. It is
//! complete with its last bytes, so that what is written has to be closed before it counts: at every checkpoint.
//!
//! TIMESTAMP is written as INT64 that is not adjusted to UTC, TIMESTAMP_LTZ as one that is;
//! INT96, which Flink writes unless it is told otherwise, is read.

mod read;
mod types;
mod write;

#[cfg(test)]
mod tests;

pub use read::{ParquetFile, ParquetRows, RandomAccess};
pub use write::{ParquetWriter, holds_parts, joined};

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::datatypes::TimeUnit;
use chrono_tz::Tz;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;

use super::infer::Inferred;
use crate::catalog::Options;
use crate::catalog::options::{OptionDef, OptionKind};
use crate::error::{Error, Result};

/// The value of `'format'`.
pub const NAME: &str = "parquet";

/// What a file begins and ends with.
pub const MAGIC: &[u8] = b"PAR1";

const UTC: &str = "parquet.utc-timezone";
const UNIT: &str = "parquet.timestamp.time.unit";
const INT64: &str = "parquet.write.int64.timestamp";
const COMPRESSION: &str = "parquet.compression";
const ZSTD_LEVEL: &str = "parquet.compression.codec.zstd.level";
const BLOCK: &str = "parquet.block.size";
const PAGE: &str = "parquet.page.size";
const DICTIONARY: &str = "parquet.enable.dictionary";
const UNITS: &[&str] = &["nanos", "micros", "millis"];
const CODECS: &[&str] = &["UNCOMPRESSED", "SNAPPY", "GZIP", "LZ4", "LZ4_RAW", "ZSTD"];

/// Definitions of the format's options.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::new(
        UTC,
        OptionKind::Bool,
        "true",
        "moments (INT96, or adjusted to UTC) and TIMESTAMP are converted into each other in UTC; 'false': in the session's time zone",
    ),
    OptionDef::new(
        UNIT,
        OptionKind::Choice(UNITS),
        "",
        "unit of written timestamps; without it, that of the column: millis up to 3 digits, micros up to 6, nanos",
    ),
    OptionDef::new(
        INT64,
        OptionKind::Bool,
        "true",
        "write timestamps as INT64; INT96 ('false') is read and not written",
    ),
    OptionDef::new(COMPRESSION, OptionKind::Choice(CODECS), "SNAPPY", "how written pages are packed"),
    OptionDef::new(ZSTD_LEVEL, OptionKind::Integer, "3", "1 (fast) to 22 (small)"),
    OptionDef::new(BLOCK, OptionKind::Size, "128 mb", "a group of rows is written when it has this size"),
    OptionDef::new(PAGE, OptionKind::Size, "1 mb", "size of a page of a column"),
    OptionDef::new(DICTIONARY, OptionKind::Bool, "true", "values that repeat are written once"),
];

/// The options of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct ParquetOptions {
    /// Moments and local times are converted in UTC.
    pub utc: bool,
    unit: Option<TimeUnit>,
    compression: Compression,
    block: usize,
    page: usize,
    dictionary: bool,
}

impl ParquetOptions {
    /// From a table's options.
    pub fn from_options(options: &Options) -> Result<Self> {
        if options.bool(INT64)? == Some(false) {
            return Err(Error::unsupported(format!("option '{INT64}' = 'false': INT96 is not written"))
                .at(options.span(INT64))
                .with_hint(
                    "leave the option out; INT64 is what Parquet has for timestamps, and Flink reads it",
                ));
        }
        let level = options.integer(ZSTD_LEVEL)?;
        let zstd = i32::try_from(level.unwrap_or(3)).ok().and_then(|l| ZstdLevel::try_new(l).ok());
        let zstd = zstd.ok_or_else(|| {
            Error::option(format!("option '{ZSTD_LEVEL}' must be from 1 to 22")).at(options.span(ZSTD_LEVEL))
        })?;
        let compression = match options.choice(COMPRESSION, CODECS)? {
            Some("UNCOMPRESSED") => Compression::UNCOMPRESSED,
            Some("GZIP") => Compression::GZIP(GzipLevel::default()),
            Some("LZ4" | "LZ4_RAW") => Compression::LZ4_RAW,
            Some("ZSTD") => Compression::ZSTD(zstd),
            _ => Compression::SNAPPY,
        };
        if level.is_some() && !matches!(compression, Compression::ZSTD(_)) {
            return Err(Error::option(format!("option '{ZSTD_LEVEL}' needs '{COMPRESSION}' = 'ZSTD'"))
                .at(options.span(ZSTD_LEVEL)));
        }
        let size = |key: &str, default: u64| -> Result<usize> {
            let size = options.size(key)?.unwrap_or(default).max(1 << 10);
            Ok(usize::try_from(size).unwrap_or(usize::MAX))
        };
        Ok(Self {
            utc: options.bool(UTC)?.unwrap_or(true),
            unit: options.choice(UNIT, UNITS)?.map(|unit| match unit {
                "nanos" => TimeUnit::Nanosecond,
                "micros" => TimeUnit::Microsecond,
                _ => TimeUnit::Millisecond,
            }),
            compression,
            block: size(BLOCK, 128 << 20)?,
            page: size(PAGE, 1 << 20)?,
            dictionary: options.bool(DICTIONARY)?.unwrap_or(true),
        })
    }

    /// The zone of conversions between moments and local times.
    fn zone(&self, session: &str) -> Result<types::Zone> {
        if self.utc {
            return Ok(None);
        }
        let parsed: std::result::Result<Tz, _> = session.parse();
        parsed.map(Some).map_err(|_| {
            Error::unsupported(format!("option '{UTC}' = 'false': the session's time zone is '{session}'"))
                .with_hint("SET 'table.local-time-zone' = 'Europe/Berlin': a name of the time zone database")
        })
    }
}

/// Columns of a file for a table that declares none.
pub fn infer(file: std::sync::Arc<dyn RandomAccess>, name: &str) -> Result<Inferred> {
    let (columns, without) = read::columns(file, name)?;
    if !without.is_empty() {
        log::warn!("{name}: columns of types that SQL has not are left out: {}", without.join(", "));
    }
    if columns.is_empty() {
        return Err(Error::decode(format!("{name}: there is no column to read")));
    }
    Ok(Inferred { columns, ..Inferred::default() })
}

/// Runs a piece of the library. Damaged files may make it panic.
fn guarded<T>(name: &str, work: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|e| failed(name, &e)),
        Err(_) => Err(Error::decode(format!("{name} is damaged: its parts contradict each other"))),
    }
}

/// What went wrong: the reading, or what was read.
fn failed(name: &str, e: &ParquetError) -> Error {
    if let ParquetError::External(source) = e
        && let Some(io) = source.downcast_ref::<std::io::Error>()
    {
        return Error::io(format!("{name} could not be read: {io}")).lasting_if(io.kind());
    }
    let text = e.to_string();
    if let Some((_, codec)) = text.split_once("Disabled feature at compile time: ") {
        return Error::unsupported(format!(
            "{name}: its pages are packed with {codec}, which is not supported"
        ))
        .with_hint("write the file with zstd, snappy, lz4 or gzip");
    }
    let text = ["Parquet error: ", "Parquet argument error: ", "External: ", "Arrow: ", "EOF: "]
        .iter()
        .fold(text.as_str(), |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
    Error::decode(format!("{name} is damaged: {}", crate::error::wording::plain(text)))
        .with_hint("write the file again, or leave it out: 'source.path.regex-pattern'")
}
