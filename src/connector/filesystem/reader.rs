//! Reads a split, whatever its file is made of: records one after the other, or columns.

use std::sync::Arc;

use arrow::array::RecordBatch;

#[cfg(feature = "parquet")]
use super::columns::ColumnReader;
use super::files::FileInfo;
use super::input::Split;
use super::layout::{Kept, Layout, Place, Reached, RecordReader};
use crate::error::Result;
use crate::flow::Kinds;

/// Decodes a split.
pub(super) enum SplitReader {
    /// Of a file of records.
    Records(Box<RecordReader>),
    /// Of a file of columns.
    #[cfg(feature = "parquet")]
    Columns(Box<ColumnReader>),
}

/// Does the same with a reader of each kind.
macro_rules! either {
    ($self:expr, $reader:ident => $do:expr) => {
        match $self {
            Self::Records($reader) => $do,
            #[cfg(feature = "parquet")]
            Self::Columns($reader) => $do,
        }
    };
}

/// Whether a file that says so itself is complete.
pub(super) fn is_complete(file: &FileInfo) -> Result<bool> {
    #[cfg(feature = "parquet")]
    return super::columns::is_complete(file);
    #[cfg(not(feature = "parquet"))]
    {
        let _ = file;
        Ok(true)
    }
}

impl SplitReader {
    /// Opens the file.
    pub(super) fn open(layout: &Arc<Layout>, split: &Split) -> Result<Self> {
        #[cfg(feature = "parquet")]
        if let crate::format::Format::Parquet(options) = &layout.format {
            return Ok(Self::Columns(Box::new(ColumnReader::open(layout, options, split)?)));
        }
        Ok(Self::Records(Box::new(RecordReader::open(layout, split)?)))
    }

    /// Opens a file of records that is followed; continues with the decoder that was kept, if one was.
    pub(super) fn follow(layout: &Arc<Layout>, split: &Split, kept: Option<Kept>) -> Result<Self> {
        Ok(Self::Records(Box::new(RecordReader::follow(layout, split, kept)?)))
    }

    pub(super) fn split(&self) -> &Split {
        either!(self, reader => reader.split())
    }

    /// It reads the file that was listed, and not another one of its name.
    pub(super) fn is_listed(&self) -> bool {
        either!(self, reader => reader.is_listed())
    }

    /// The file was rewritten while it was read.
    pub(super) fn torn(&self) -> bool {
        match self {
            Self::Records(reader) => reader.torn(),
            #[cfg(feature = "parquet")]
            Self::Columns(_) => false,
        }
    }

    /// The file still begins with what was read of it: so many bytes with this checksum.
    pub(super) fn holds(&mut self, read: Option<(u64, u32)>) -> Result<bool> {
        match self {
            Self::Records(reader) => reader.holds(read),
            #[cfg(feature = "parquet")]
            Self::Columns(_) => Ok(true),
        }
    }

    /// How far it is, for a checkpoint.
    pub(super) fn reached(&mut self, done: bool) -> Result<Reached> {
        either!(self, reader => reader.reached(done))
    }

    /// The next batch with the kinds of its rows; `None` at the end (of a followed file: for now).
    pub(super) fn next(&mut self) -> Result<Option<(RecordBatch, Kinds)>> {
        match self {
            Self::Records(reader) => reader.next(),
            #[cfg(feature = "parquet")]
            Self::Columns(reader) => Ok(reader.next()?.map(|batch| (batch, Kinds::Append))),
        }
    }

    /// Followed: where to go on, how much of the file was seen, and the decoder if it must be kept.
    pub(super) fn park(self) -> (Place, u64, Option<Kept>) {
        match self {
            Self::Records(reader) => reader.park(),
            #[cfg(feature = "parquet")]
            Self::Columns(reader) => (reader.place(), reader.split().file.size, None),
        }
    }

    /// Bytes of the file used up.
    pub(super) fn consumed(&self) -> u64 {
        either!(self, reader => reader.consumed())
    }

    /// Records left out.
    pub(super) fn skipped(&self) -> u64 {
        match self {
            Self::Records(reader) => reader.skipped(),
            #[cfg(feature = "parquet")]
            Self::Columns(_) => 0,
        }
    }
}
