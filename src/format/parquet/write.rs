//! Writing: rows are gathered in a group, which is encoded column by column.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::read::{Chunks, RandomAccess};
use super::types::{self, Zone};
use super::{ParquetOptions, failed};
use crate::error::{Error, Result};
use crate::flow::Chunk;
use crate::format::FileEncoder;
use crate::sql::SqlType;

/// Where a joined file says which parts are in it.
const JOINED: &str = "affluent.parts";

const WRITTEN_BY: &str = concat!("affluent version ", env!("CARGO_PKG_VERSION"));

/// One file.
pub struct ParquetWriter {
    writer: ArrowWriter<Vec<u8>>,
    /// As it is written.
    schema: SchemaRef,
    zone: Zone,
}

/// The type that a column is written as.
fn written_as(data_type: &DataType, options: &ParquetOptions) -> std::result::Result<DataType, String> {
    let nested = |field: &Field| -> std::result::Result<Field, String> {
        Ok(field.clone().with_data_type(written_as(field.data_type(), options)?))
    };
    Ok(match data_type {
        DataType::Interval(_) => return Err("INTERVAL".into()),
        DataType::Timestamp(unit, zone) => {
            let unit = options.unit.unwrap_or(match unit {
                TimeUnit::Second => TimeUnit::Millisecond,
                unit => *unit,
            });
            let moment = zone.is_some() || !options.utc;
            DataType::Timestamp(unit, moment.then(|| "UTC".into()))
        }
        DataType::List(element) => DataType::List(Arc::new(nested(element)?)),
        DataType::Struct(fields) if fields.is_empty() => return Err("a ROW without fields".into()),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|f| nested(f)).collect::<std::result::Result<_, _>>()?)
        }
        DataType::Map(entries, sorted) => DataType::Map(Arc::new(nested(entries)?), *sorted),
        other => other.clone(),
    })
}

impl ParquetWriter {
    /// A file of rows of `schema`. `zone`: the session's.
    pub fn new(options: &ParquetOptions, schema: &SchemaRef, zone: &str) -> Result<Self> {
        let mut fields = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let written = written_as(field.data_type(), options).map_err(|what| {
                let shown = SqlType::from_arrow(field.data_type()).map_or(what, |t| t.to_string());
                Error::unsupported(format!(
                    "column '{}' is {shown}, which format 'parquet' has no type for",
                    field.name()
                ))
                .with_hint("CAST it to STRING, or to BIGINT")
            })?;
            fields.push(field.as_ref().clone().with_data_type(written));
        }
        let written = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_created_by(WRITTEN_BY.into())
            .set_compression(options.compression)
            .set_max_row_group_bytes(Some(options.block))
            .set_data_page_size_limit(options.page)
            .set_dictionary_enabled(options.dictionary)
            // Names inside of lists and maps as other readers expect them.
            .set_coerce_types(true)
            .build();
        // The types of Parquet say all: what Arrow could add is how this program holds them in memory.
        let how = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), written.clone(), how);
        Ok(Self { writer: writer.map_err(|e| wrong(&e))?, schema: written, zone: options.zone(zone)? })
    }

    fn hand_over(&mut self, out: &mut Vec<u8>) {
        out.append(self.writer.inner_mut());
    }
}

fn wrong(e: &parquet::errors::ParquetError) -> Error {
    Error::execution(format!(
        "rows could not be written as Parquet: {}",
        crate::error::wording::plain(&e.to_string())
    ))
}

impl FileEncoder for ParquetWriter {
    fn encode(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()> {
        let columns = self.schema.fields().iter().zip(chunk.batch.columns()).map(|(field, column)| {
            types::convert(column, field.data_type(), self.zone).map_err(|why| {
                Error::execution(format!("column '{}' cannot be written as Parquet: {why}", field.name()))
            })
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(chunk.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        self.writer.write(&batch).map_err(|e| wrong(&e))?;
        self.hand_over(out);
        Ok(())
    }

    fn held(&self) -> usize {
        self.writer.memory_size()
    }

    fn hold_less(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.writer.flush().map_err(|e| wrong(&e))?;
        self.hand_over(out);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.writer.finish().map_err(|e| wrong(&e))?;
        self.hand_over(out);
        Ok(())
    }
}

/// The names of the parts that are in a file, if it was joined by [`joined`].
fn parts_of(metadata: &ArrowReaderMetadata) -> Option<&str> {
    let known = metadata.metadata().file_metadata().key_value_metadata()?;
    known.iter().find(|pair| pair.key == JOINED)?.value.as_deref()
}

/// Whether a file says that it was joined of these parts.
pub fn holds_parts(file: &Arc<dyn RandomAccess>, name: &str, parts: &str) -> Result<bool> {
    let load = || ArrowReaderMetadata::load(&Chunks(file.clone()), Default::default());
    Ok(parts_of(&super::guarded(name, load)?) == Some(parts))
}

/// One file with the groups of rows of all of these, into `out`; their schemas are one. The file says that it holds
/// `parts`.
pub fn joined(
    files: &[(String, Arc<dyn RandomAccess>)],
    parts: &str,
    out: impl std::io::Write + Send,
) -> Result<()> {
    let mut footers = Vec::new();
    for (name, file) in files {
        let load = || ArrowReaderMetadata::load(&Chunks(file.clone()), Default::default());
        footers.push(super::guarded(name, load)?);
    }
    let (Some(first), Some((first_name, _))) = (footers.first(), files.first()) else { return Ok(()) };
    let schema = first.parquet_schema().root_schema();
    for ((name, _), footer) in files.iter().zip(&footers) {
        if footer.parquet_schema().root_schema().get_fields() != schema.get_fields() {
            return Err(Error::execution(format!(
                "rows of {name} cannot be added to {first_name}: it has other columns"
            ))
            .with_hint("write to another file, or replace it: INSERT OVERWRITE"));
        }
    }
    let note = KeyValue::new(JOINED.to_string(), parts.to_string());
    let properties = WriterProperties::builder()
        .set_created_by(WRITTEN_BY.into())
        .set_key_value_metadata(Some(vec![note]))
        .build();
    let schema = first.parquet_schema().root_schema_ptr();
    let mut writer = SerializedFileWriter::new(out, schema, Arc::new(properties)).map_err(|e| wrong(&e))?;
    for ((name, file), footer) in files.iter().zip(&footers) {
        let reader = Chunks(file.clone());
        for group in footer.metadata().row_groups() {
            let mut copy = || -> parquet::errors::Result<()> {
                let mut target = writer.next_row_group()?;
                for column in group.columns() {
                    let whole = ColumnCloseResult {
                        bytes_written: u64::try_from(column.compressed_size()).unwrap_or(0),
                        rows_written: u64::try_from(group.num_rows()).unwrap_or(0),
                        metadata: column.clone(),
                        bloom_filter: None,
                        column_index: None,
                        offset_index: None,
                    };
                    target.append_column(&reader, whole)?;
                }
                target.close().map(drop)
            };
            copy().map_err(|e| failed(name, &e))?;
        }
    }
    writer.close().map(drop).map_err(|e| wrong(&e))
}
