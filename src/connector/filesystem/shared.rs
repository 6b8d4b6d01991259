//! What the writers of a table share.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use super::commit::{Attempt, Committer, Fuse};
use super::directories::Directories;
use super::part::Target;
use super::partition::Policy;
use crate::error::{Error, Result};
use crate::format::{FileEncoder, Format};

/// Where and how a table is written.
pub(super) struct Shared {
    pub(super) table: String,
    pub(super) target: Target,
    pub(super) format: Format,
    /// Columns of a record, and their positions in the rows.
    pub(super) schema: SchemaRef,
    pub(super) zone: String,
    pub(super) columns: Vec<usize>,
    pub(super) directories: Directories,
    pub(super) policy: Option<Policy>,
    pub(super) roll_size: u64,
    pub(super) roll_interval: Duration,
    pub(super) check_interval: Duration,
    /// The input never ends by itself.
    pub(super) unbounded: bool,
    pub(super) overwrite: bool,
    /// The attempt that runs: made by [`crate::connector::Sink::recover`], or by the first writer of a job without
    /// checkpoints.
    pub(super) attempt: Mutex<Option<Arc<Attempt>>>,
    pub(super) fuse: Fuse,
}

impl Shared {
    /// The attempt that runs.
    pub(super) fn attempt(&self) -> Arc<Attempt> {
        let mut attempt = self.attempt.lock();
        attempt.get_or_insert_with(|| Arc::new(Attempt::without_checkpoints())).clone()
    }

    /// The encoder of a file, for formats of files.
    pub(super) fn file_encoder(&self) -> Result<Option<Box<dyn FileEncoder>>> {
        self.format.file_encoder(&self.schema, &self.zone)
    }

    /// The end of the name of a part: of formats whose readers look for it.
    pub(super) fn suffix(&self) -> String {
        if self.format.is_of_files() { format!(".{}", self.format.name()) } else { String::new() }
    }

    /// A file without rows.
    pub(super) fn empty_file(&self) -> Result<Vec<u8>> {
        let Some(mut encoder) = self.file_encoder()? else { return self.header() };
        let mut whole = Vec::new();
        encoder.finish(&mut whole)?;
        Ok(whole)
    }

    /// The bytes at the start of a file.
    pub(super) fn header(&self) -> Result<Vec<u8>> {
        let mut header = Vec::new();
        if self.format.is_of_files() {
            return Ok(header);
        }
        self.format.encoder(&self.schema)?.header(&mut header)?;
        Ok(header)
    }

    /// Makes parts visible.
    pub(super) fn committer(&self) -> Result<Committer<'_>> {
        Ok(Committer {
            target: &self.target,
            partitioned: !self.directories.is_empty(),
            overwrite: self.overwrite,
            policy: self.policy.as_ref(),
            empty_file: self.empty_file()?,
            of_files: self.format.is_of_files(),
            fuse: &self.fuse,
        })
    }

    pub(super) fn failed(&self, e: Error) -> Error {
        e.context(format!("table '{}'", self.table))
    }

    /// Deletes what an attempt without checkpoints has left; the next one is new.
    pub(super) fn discard(&self) {
        let mut attempt = self.attempt.lock();
        if let Some(ended) = attempt.take_if(|attempt| !attempt.checkpoints)
            && let Ok(committer) = self.committer()
        {
            committer.discard(&ended);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.discard();
    }
}
