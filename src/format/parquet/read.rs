//! Reading: the footer, then one group of rows after the other.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::types::{self, Notes, Zone};
use super::{MAGIC, ParquetOptions, guarded};
use crate::error::{Error, Result};
use crate::format::notice;
use crate::sql::SqlType;

/// Bytes taken at once to find out what a page is.
const HEADER: usize = 8 << 10;

/// Bytes of a file, from anywhere in it.
pub trait RandomAccess: fmt::Debug + Send + Sync {
    /// How many there are.
    fn size(&self) -> u64;

    /// So many bytes from an offset on; fewer are an error.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes>;

    /// These ranges are read next, in this order: where each reading is a request, they are got together.
    fn prepare(&self, _ranges: &[Range<u64>]) -> io::Result<()> {
        Ok(())
    }
}

/// The same for the library.
#[derive(Clone)]
pub(super) struct Chunks(pub(super) Arc<dyn RandomAccess>);

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.0.size()
    }
}

impl ChunkReader for Chunks {
    type T = Sequence;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Sequence> {
        Ok(Sequence { file: self.0.clone(), at: start, block: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        // A length out of a damaged file is not to be allocated.
        if start.checked_add(length as u64).is_none_or(|end| end > self.0.size()) {
            let text = format!("{length} bytes at {start} are not in the file");
            return Err(parquet::errors::ParquetError::EOF(text));
        }
        Ok(self.0.read_at(start, length)?)
    }
}

/// Bytes from an offset on.
pub(super) struct Sequence {
    file: Arc<dyn RandomAccess>,
    at: u64,
    block: Bytes,
}

impl Read for Sequence {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.block.is_empty() {
            let left = usize::try_from(self.file.size().saturating_sub(self.at)).unwrap_or(usize::MAX);
            let most = left.min(HEADER.max(buffer.len()));
            if most == 0 {
                return Ok(0);
            }
            self.block = self.file.read_at(self.at, most)?;
            self.at += self.block.len() as u64;
        }
        let n = buffer.len().min(self.block.len());
        buffer[..n].copy_from_slice(&self.block.split_to(n));
        Ok(n)
    }
}

/// Where a wanted column comes from.
enum Source {
    /// This column of what is read.
    Read { at: usize, notes: Notes },
    /// The file has none: NULL.
    Absent,
}

/// A file, and how the columns that are wanted are made of it.
pub struct ParquetFile {
    file: Arc<dyn RandomAccess>,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    sources: Vec<Source>,
    wanted: SchemaRef,
    /// Columns of the file whose bytes are read.
    leaves: Vec<usize>,
    zone: Zone,
    batch_rows: usize,
    name: Arc<str>,
}

/// The footer of a file.
fn footer(file: &Arc<dyn RandomAccess>, name: &str) -> Result<ArrowReaderMetadata> {
    let size = file.size();
    let unreadable = |e: io::Error| Error::io(format!("{name} could not be read: {e}")).lasting_if(e.kind());
    let edge = usize::try_from(size).map_or(4, |s| s.min(4));
    let head = file.read_at(0, edge).map_err(unreadable)?;
    let tail = file.read_at(size - edge as u64, edge).map_err(unreadable)?;
    if tail.as_ref() == b"PARE" || head.as_ref() == b"PARE" {
        return Err(Error::unsupported(format!("{name} is encrypted, and cannot be read"))
            .with_hint("write it without encryption"));
    }
    if head != MAGIC {
        let seen = match head.first() {
            None => "it is empty".to_string(),
            Some(b'{' | b'[') => "it begins as JSON does".into(),
            Some(_) => format!("it begins with {:?}", String::from_utf8_lossy(&head)),
        };
        let error = Error::decode(format!("{name} is no Parquet file")).with_detail(seen);
        return Err(error.with_hint("check option 'format'; 'source.path.regex-pattern' leaves files out"));
    }
    if tail != MAGIC || size < 12 {
        return Err(Error::decode(format!("{name} is cut short: it has no footer"))
            .with_detail("a Parquet file ends with 'PAR1', and lists its columns before that")
            .with_hint("its writer has not finished: wait, or write it again"));
    }
    let options = || ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    guarded(name, || ArrowReaderMetadata::load(&Chunks(file.clone()), options()))
}

/// What is known of the file's columns, in their order.
fn notes(metadata: &ParquetMetaData) -> Vec<Notes> {
    let schema = metadata.file_metadata().schema_descr();
    schema.root_schema().get_fields().iter().map(|column| Notes::of(column)).collect()
}

/// Names and types of the columns, and names of those for which SQL has no type.
pub(super) type Columns = (Vec<(String, SqlType)>, Vec<String>);

/// The columns of a file.
pub(super) fn columns(file: Arc<dyn RandomAccess>, name: &str) -> Result<Columns> {
    let metadata = footer(&file, name)?;
    let (mut columns, mut without) = (Vec::new(), Vec::new());
    for (field, notes) in metadata.schema().fields().iter().zip(notes(metadata.metadata())) {
        match types::inferred(field.data_type(), notes) {
            Some(data_type) => columns.push((field.name().clone(), data_type)),
            None => without.push(field.name().clone()),
        }
    }
    Ok((columns, without))
}

impl ParquetFile {
    /// Reads the footer. `wanted`: columns by name. `zone`: the session's.
    pub fn open(
        file: Arc<dyn RandomAccess>,
        wanted: &SchemaRef,
        options: &ParquetOptions,
        zone: &str,
        batch_rows: usize,
        name: &str,
    ) -> Result<Self> {
        let natural = footer(&file, name)?;
        let notes = notes(natural.metadata());
        let mut fields: Vec<_> = natural.schema().fields().to_vec();
        let (mut sources, mut roots, mut absent) = (Vec::new(), Vec::new(), Vec::new());
        for column in wanted.fields() {
            let found = natural.schema().index_of(column.name()).ok();
            let Some((at, notes)) = found.and_then(|at| Some((at, *notes.get(at)?))) else {
                if !column.is_nullable() {
                    return Err(Error::decode(format!("{name} has no column '{}'", column.name()))
                        .with_hint("declare the column without NOT NULL to read NULL for it"));
                }
                absent.push(column.name().as_str());
                sources.push(Source::Absent);
                continue;
            };
            let have = fields[at].data_type().clone();
            let read = types::read_as(&have, Some(column.data_type()), notes);
            if !types::fits(&read, column.data_type(), notes) {
                let declared =
                    SqlType::from_arrow(column.data_type()).map_or_else(String::new, |t| t.to_string());
                let shown = types::shown(&have, notes);
                return Err(Error::decode(format!(
                    "{name}: column '{}' is {shown}, it is declared {declared}",
                    column.name()
                ))
                .with_hint(format!("declare it {shown}, and CAST it in the query")));
            }
            fields[at] = Arc::new(fields[at].as_ref().clone().with_data_type(read));
            roots.push(at);
            sources.push(Source::Read { at, notes });
        }
        if !absent.is_empty() {
            let others: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
            let others: Vec<&str> =
                others.into_iter().filter(|o| wanted.field_with_name(o).is_err()).collect();
            if let Some(text) = notice::about_absent(&absent, &others, "file's columns") {
                notice::once(name, text);
            }
        }
        let schema = Arc::new(Schema::new(fields));
        let metadata = guarded(name, || {
            let options = ArrowReaderOptions::new().with_schema(schema);
            ArrowReaderMetadata::try_new(natural.metadata().clone(), options)
        })?;
        let mask = ProjectionMask::roots(metadata.parquet_schema(), roots.iter().copied());
        let leaves = metadata.parquet_schema().num_columns();
        let leaves = (0..leaves).filter(|leaf| mask.leaf_included(*leaf)).collect();
        // What is read has the columns of the mask in the order of the file.
        let mut order = roots;
        order.sort_unstable();
        order.dedup();
        for source in &mut sources {
            if let Source::Read { at, .. } = source {
                *at = order.binary_search(at).unwrap_or_default();
            }
        }
        Ok(Self {
            zone: options.zone(zone)?,
            wanted: wanted.clone(),
            name: name.into(),
            file,
            metadata,
            mask,
            sources,
            leaves,
            batch_rows,
        })
    }

    /// Where each group of rows begins, ascending: its name in positions.
    pub fn starts(&self) -> Vec<u64> {
        let mut last = None;
        let groups = self.metadata.metadata().row_groups().iter();
        let starts = groups.map(|group| {
            // Bytes of a damaged file may not ascend.
            let start = group.columns().first().map_or(0, |column| {
                let data = column.data_page_offset();
                column.dictionary_page_offset().filter(|d| *d > 0 && *d < data).unwrap_or(data)
            });
            let start = u64::try_from(start).unwrap_or(0);
            let start = last.map_or(start, |last: u64| start.max(last.saturating_add(1)));
            last = Some(start);
            start
        });
        starts.collect()
    }

    /// Rows of a group.
    pub fn rows(&self, group: usize) -> u64 {
        let groups = self.metadata.metadata().row_groups();
        groups.get(group).map_or(0, |g| u64::try_from(g.num_rows()).unwrap_or(0))
    }

    /// Bytes of a group.
    pub fn bytes(&self, group: usize) -> u64 {
        let groups = self.metadata.metadata().row_groups();
        groups.get(group).map_or(0, |g| u64::try_from(g.compressed_size()).unwrap_or(0))
    }

    /// Rows of a group after the first `skip` ones.
    pub fn group(&self, group: usize, skip: u64) -> Result<ParquetRows> {
        let name = format!("{}, row group {group}", self.name);
        guarded(&name, || {
            let Some(parts) = self.metadata.metadata().row_groups().get(group) else {
                return Err(parquet::errors::ParquetError::General("there is no such group".into()));
            };
            let mut ranges = Vec::with_capacity(self.leaves.len());
            for leaf in &self.leaves {
                if let Some(column) = parts.columns().get(*leaf) {
                    let (start, length) = column.byte_range();
                    ranges.push(start..start.saturating_add(length).min(self.file.size()));
                }
            }
            self.file.prepare(&ranges)?;
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
                Chunks(self.file.clone()),
                self.metadata.clone(),
            );
            let builder = builder.with_projection(self.mask.clone()).with_batch_size(self.batch_rows);
            let skip = usize::try_from(skip).unwrap_or(usize::MAX);
            let rows = builder.with_row_groups(vec![group]).with_offset(skip).build()?;
            Ok(ParquetRows { rows })
        })
    }

    /// The next batch of a group; `None` at its end.
    pub fn next(&self, rows: &mut ParquetRows) -> Result<Option<RecordBatch>> {
        let read = guarded(&self.name, || Ok(rows.rows.next().transpose()?))?;
        read.map(|batch| self.assemble(&batch)).transpose()
    }

    fn assemble(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.sources.len());
        for (source, field) in self.sources.iter().zip(self.wanted.fields()) {
            columns.push(match source {
                Source::Absent => new_null_array(field.data_type(), batch.num_rows()),
                Source::Read { at, notes } => {
                    let column = batch.columns().get(*at);
                    let column = column.ok_or_else(|| {
                        Error::internal(format!("{}: column '{}' was not read", self.name, field.name()))
                    })?;
                    self.column(column, field, *notes)?
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.wanted.clone(), columns, &options)?)
    }

    fn column(&self, column: &ArrayRef, field: &arrow::datatypes::Field, notes: Notes) -> Result<ArrayRef> {
        let column = match (notes.int96, column.data_type()) {
            // A moment, whose zone the type does not say.
            (true, arrow::datatypes::DataType::Timestamp(unit, None)) if self.zone.is_some() => {
                let moment = arrow::datatypes::DataType::Timestamp(*unit, Some("UTC".into()));
                let data = column.to_data().into_builder().data_type(moment).build();
                arrow::array::make_array(data?)
            }
            _ => column.clone(),
        };
        let made = types::convert(&column, field.data_type(), self.zone).map_err(|why| {
            Error::decode(format!(
                "{}, column '{}': {}",
                self.name,
                field.name(),
                crate::error::wording::plain(&why)
            ))
        })?;
        if !field.is_nullable() && made.null_count() > 0 {
            return Err(Error::decode(format!(
                "{}: column '{}' is NULL, it is declared NOT NULL",
                self.name,
                field.name()
            )));
        }
        Ok(made)
    }
}

/// Rows of a group that are read.
pub struct ParquetRows {
    rows: ParquetRecordBatchReader,
}
