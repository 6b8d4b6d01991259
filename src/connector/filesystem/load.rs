//! Files as a lookup table: everything is loaded into a FULL cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use super::files::{Empty, Location};
use super::input::Split;
use super::layout::Layout;
use super::reader::{Next, SplitReader};
use crate::error::{Error, Result};
use crate::lookup::{Answers, Backend, BoxFuture, Failure};

/// All rows of the files that a path matches.
pub(super) struct FileBackend {
    layout: Arc<Layout>,
    location: Location,
    schema: SchemaRef,
    /// The last copy had rows.
    had_rows: Arc<AtomicBool>,
}

impl FileBackend {
    /// Checks that there is something to load.
    pub(super) fn new(layout: Layout, location: Location, schema: SchemaRef) -> Result<Self> {
        layout.check()?;
        location.list(Empty::Refused)?;
        Ok(Self { layout: Arc::new(layout), location, schema, had_rows: Arc::default() })
    }
}

fn load(
    layout: &Arc<Layout>,
    location: &Location,
    schema: &SchemaRef,
    had_rows: &AtomicBool,
) -> Result<RecordBatch> {
    let mut batches = Vec::new();
    let mut skipped = 0;
    let files = location.list(Empty::Refused)?;
    if had_rows.load(Ordering::Relaxed) && files.iter().all(|file| file.size == 0) {
        return Err(Error::io(format!("'{}' is empty now, and was not before", location.text())).with_hint(
            "a file that is written in its place is empty for a moment: write it beside and rename it",
        ));
    }
    for file in files {
        let mut reader = SplitReader::open(layout, &Split::whole(Arc::new(file)))?;
        while let Next::Rows(batch, _) = reader.next()? {
            batches.push(batch);
        }
        skipped += reader.skipped();
    }
    if skipped > 0 {
        log::warn!(
            "lookup table in '{}': {skipped} {} could not be decoded and {} left out \
             ('{}.ignore-parse-errors')",
            location.text(),
            if skipped == 1 { "record" } else { "records or fields" },
            if skipped == 1 { "was" } else { "were" },
            layout.format.name()
        );
    }
    let rows = concat_batches(schema, &batches)?;
    had_rows.store(rows.num_rows() > 0, Ordering::Relaxed);
    Ok(rows)
}

impl Backend for FileBackend {
    fn lookup(&self, _keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        let failure = Failure::other(format!("{}: files cannot be asked for single keys", self.describe()));
        Box::pin(async move { Err(failure) })
    }

    fn can_lookup(&self) -> bool {
        false
    }

    fn can_load(&self) -> bool {
        true
    }

    fn load(&self) -> BoxFuture<Result<RecordBatch>> {
        let (layout, location, schema) = (self.layout.clone(), self.location.clone(), self.schema.clone());
        let had_rows = self.had_rows.clone();
        Box::pin(async move {
            tokio::task::spawn_blocking(move || load(&layout, &location, &schema, &had_rows))
                .await
                .unwrap_or_else(|e| Err(Error::internal(format!("loading files: {e}"))))
        })
    }

    fn describe(&self) -> String {
        format!("path={}, format={}", self.location.text(), self.layout.format.name())
    }
}
