//! A result as an Arrow IPC file, for Python: `pyarrow.ipc.open_file("result.arrow").read_all()`.
//!
//! Rows are written beside the file and take its name when they are complete, so that a reader finds the old
//! file or the new one and never a half. Views of strings become plain strings: older readers know only
//! those.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::writer::FileWriter;

use crate::error::{Error, Result};
use crate::session::Materialized;

/// Rows of a batch that is written from a state.
const BATCH: usize = 8_192;

/// A file that is being written.
pub struct ArrowFile {
    path: PathBuf,
    unfinished: PathBuf,
    schema: SchemaRef,
    writer: Option<FileWriter<BufWriter<File>>>,
    rows: u64,
}

impl std::fmt::Debug for ArrowFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArrowFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The type that is written for a column.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    }
}

impl ArrowFile {
    /// Begins a file for rows of these columns.
    pub fn create(path: &Path, schema: &SchemaRef) -> Result<Self> {
        let failed = |e: std::io::Error| {
            Error::io(format!("cannot write '{}'", path.display())).with_detail(e.to_string())
        };
        let name = path.file_name().ok_or_else(|| failed(std::io::ErrorKind::IsADirectory.into()))?;
        if path.is_dir() {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
        let unfinished =
            path.with_file_name(format!(".{}.{}", name.to_string_lossy(), uuid::Uuid::new_v4().simple()));
        // Metadata of fields is this program's own business.
        let fields = schema.fields().iter().map(|f| Field::new(f.name(), plain(f.data_type()), true));
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let file = File::create_new(&unfinished).map_err(failed)?;
        let writer = FileWriter::try_new(BufWriter::new(file), &schema);
        // From here on the unfinished file is removed when this is dropped.
        let mut this = Self { path: path.to_path_buf(), unfinished, schema, writer: None, rows: 0 };
        this.writer = Some(writer?);
        Ok(this)
    }

    /// Adds rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(array, field)| match array.data_type() == field.data_type() {
            true => Ok(array.clone()),
            false => cast(array, field.data_type()),
        });
        let batch = RecordBatch::try_new(self.schema.clone(), columns.collect::<Result<_, _>>()?)?;
        writer.write(&batch)?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Adds all rows of a state.
    pub fn write_state(&mut self, table: &Materialized) -> Result<()> {
        let mut from = 0;
        while from < table.len() {
            self.write(&table.batch(from, BATCH)?)?;
            from += BATCH;
        }
        Ok(())
    }

    /// Gives the file its name; what to say of it.
    pub fn finish(mut self) -> Result<String> {
        if let Some(mut writer) = self.writer.take() {
            writer.finish()?;
            writer.into_inner()?.into_inner().map_err(|e| Error::io(e.error().to_string()))?.sync_all()?;
        }
        std::fs::rename(&self.unfinished, &self.path)?;
        let rows = crate::console::render::rows(self.rows);
        Ok(format!("{rows} written to {}", self.path.display()))
    }
}

impl Drop for ArrowFile {
    fn drop(&mut self) {
        self.writer.take();
        // After `finish` it has another name.
        let _ = std::fs::remove_file(&self.unfinished);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::AsArray;
    use arrow::ipc::reader::FileReader;

    use super::*;
    use crate::flow::Kind::Insert;
    use crate::operator::picture::named as chunk;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.arrow");
        let rows = chunk(&[(Insert, Some(1), Some("é")), (Insert, None, None)]);
        let mut file = ArrowFile::create(&path, &rows.batch.schema()).unwrap();
        file.write(&rows.batch).unwrap();
        assert!(!path.exists());
        let mut state = Materialized::new(rows.batch.schema()).unwrap();
        state.apply(&rows).unwrap();
        file.write_state(&state).unwrap();
        let told = file.finish().unwrap();
        assert!(told.starts_with("4 rows written to ") && told.ends_with("r.arrow"), "{told}");
        let reader = FileReader::try_new(File::open(&path).unwrap(), None).unwrap();
        let batches: Vec<_> = reader.collect::<Result<_, _>>().unwrap();
        assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 4);
        assert_eq!(batches[0].column(1).as_string::<i32>().value(0), "é");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn unfinished_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let schema = chunk(&[]).batch.schema();
        drop(ArrowFile::create(&folder.path().join("r.arrow"), &schema).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let wrong = ArrowFile::create(&folder.path().join("no/r.arrow"), &schema).unwrap_err();
        assert!(wrong.to_string().starts_with("cannot write '"), "{wrong}");
        assert!(ArrowFile::create(folder.path(), &schema).is_err());
    }
}
