//! Reads a split, whatever its file is made of: records one after the other, or columns.

use std::sync::Arc;

use arrow::array::RecordBatch;

#[cfg(feature = "parquet")]
use super::columns::ColumnReader;
use super::files::FileInfo;
use super::input::Split;
use super::layout::{Kept, Layout, Place, Reached, RecordReader};
use super::pump::Pump;
use crate::error::Result;
use crate::flow::{Kinds, Waker};

/// What a reader has.
pub(super) enum Next {
    Rows(RecordBatch, Kinds),
    /// Nothing, until the task is woken.
    Wait,
    /// It is at the end (of a followed file: for now).
    End,
}

/// Decodes a split.
pub(super) enum SplitReader {
    /// Of a file of records.
    Records(Box<RecordReader>),
    /// Of a file of columns.
    #[cfg(feature = "parquet")]
    Columns(Box<ColumnReader>),
    /// On another thread.
    Pumped(Box<Pump>),
}

/// Does the same with a reader of each kind.
macro_rules! either {
    ($self:expr, $reader:ident => $do:expr) => {
        match $self {
            Self::Records($reader) => $do,
            #[cfg(feature = "parquet")]
            Self::Columns($reader) => $do,
            Self::Pumped($reader) => $do,
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

    /// Opens the file for a task, which must not wait: what comes over the network is read on another thread.
    pub(super) fn open_for(
        layout: &Arc<Layout>,
        split: &Split,
        (runtime, waker): (&tokio::runtime::Handle, &Waker),
    ) -> Result<Self> {
        match split.file.object {
            Some(_) => Ok(Self::Pumped(Box::new(Pump::new(layout, split.clone(), runtime, waker.clone())))),
            None => Self::open(layout, split),
        }
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
        match self {
            Self::Records(reader) => reader.is_listed(),
            #[cfg(feature = "parquet")]
            Self::Columns(reader) => reader.is_listed(),
            Self::Pumped(_) => true,
        }
    }

    /// The file was rewritten while it was read.
    pub(super) fn torn(&self) -> bool {
        match self {
            Self::Records(reader) => reader.torn(),
            #[cfg(feature = "parquet")]
            Self::Columns(_) => false,
            Self::Pumped(_) => false,
        }
    }

    /// The file still begins with what was read of it: so many bytes with this checksum.
    pub(super) fn holds(&mut self, read: Option<(u64, u32)>) -> Result<bool> {
        match self {
            Self::Records(reader) => reader.holds(read),
            #[cfg(feature = "parquet")]
            Self::Columns(_) => Ok(true),
            Self::Pumped(_) => Ok(true),
        }
    }

    /// How far it is, for a checkpoint.
    pub(super) fn reached(&mut self, done: bool) -> Result<Reached> {
        match self {
            Self::Records(reader) => reader.reached(done),
            #[cfg(feature = "parquet")]
            Self::Columns(reader) => reader.reached(done),
            Self::Pumped(reader) => Ok(reader.reached(done)),
        }
    }

    /// The next batch with the kinds of its rows.
    pub(super) fn next(&mut self) -> Result<Next> {
        let next = match self {
            Self::Records(reader) => reader.next()?,
            #[cfg(feature = "parquet")]
            Self::Columns(reader) => reader.next()?.map(|batch| (batch, Kinds::Append)),
            Self::Pumped(reader) => return reader.next(),
        };
        Ok(next.map_or(Next::End, |(batch, kinds)| Next::Rows(batch, kinds)))
    }

    /// Followed: where to go on, how much of the file was seen, and the decoder if it must be kept.
    pub(super) fn park(self) -> (Place, u64, Option<Kept>) {
        match self {
            Self::Records(reader) => reader.park(),
            #[cfg(feature = "parquet")]
            Self::Columns(reader) => (reader.place(), reader.split().file.size, None),
            Self::Pumped(reader) => (reader.reached(false).place, reader.split().file.size, None),
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
            Self::Pumped(reader) => reader.skipped(),
        }
    }
}
