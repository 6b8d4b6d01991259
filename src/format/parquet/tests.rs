#![allow(clippy::unwrap_used)]
use std::io;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use bytes::Bytes;
use parquet::data_type::{Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::flow::Chunk;
use crate::format::FileEncoder;

#[derive(Debug)]
struct Memory(Bytes);

impl RandomAccess for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let start = offset as usize;
        if start + length > self.0.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(self.0.slice(start..start + length))
    }
}

fn options(pairs: &[(&str, &str)]) -> ParquetOptions {
    let mut options = Options::default();
    pairs.iter().for_each(|(k, v)| options.set(k, v, Default::default()));
    ParquetOptions::from_options(&options).unwrap()
}

fn written(batch: &RecordBatch, options: &ParquetOptions, zone: &str) -> Vec<u8> {
    let mut writer = ParquetWriter::new(options, &batch.schema(), zone).unwrap();
    let mut bytes = Vec::new();
    writer.encode(&Chunk::append(batch.clone(), Instant::now()), &mut bytes).unwrap();
    writer.finish(&mut bytes).unwrap();
    bytes
}

fn read(bytes: Vec<u8>, schema: &SchemaRef, options: &ParquetOptions, zone: &str) -> Result<RecordBatch> {
    let file = ParquetFile::open(Arc::new(Memory(bytes.into())), schema, options, zone, 100, "file x")?;
    let mut batches = Vec::new();
    for group in 0..file.starts().len() {
        let mut rows = file.group(group, 0)?;
        while let Some(batch) = file.next(&mut rows)? {
            batches.push(batch);
        }
    }
    Ok(arrow::compute::concat_batches(schema, &batches)?)
}

fn sample() -> RecordBatch {
    let times =
        arrow::array::TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1_719_835_200_000_001)]);
    let moments = times.clone().with_timezone("Europe/Berlin");
    RecordBatch::try_from_iter_with_nullable([
        ("n", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(7)])) as ArrayRef, true),
        (
            "s",
            Arc::new(StringViewArray::from(vec![Some("a"), None, Some("a longer text than twelve")])),
            true,
        ),
        ("t", Arc::new(times), true),
        ("z", Arc::new(moments), true),
    ])
    .unwrap()
}

#[test]
fn what_was_written_is_read_with_all_codecs_and_zones() {
    let batch = sample();
    for codec in CODECS {
        for (utc, zone) in [("true", "UTC"), ("false", "Europe/Berlin")] {
            let options = options(&[(COMPRESSION, codec), (UTC, utc)]);
            let bytes = written(&batch, &options, zone);
            assert_eq!(read(bytes, &batch.schema(), &options, zone).unwrap(), batch, "{codec} {utc}");
        }
    }
    // In another unit, digits are gone.
    let millis = written(&batch, &options(&[(UNIT, "millis")]), "UTC");
    let back = read(millis, &batch.schema(), &options(&[]), "UTC").unwrap();
    let times = back.column(2).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.values().to_vec(), [-1_000, 0, 1_719_835_200_000_000]);
}

#[test]
fn columns_are_found_by_name_and_made_wider() {
    let narrow = RecordBatch::try_from_iter([
        ("b", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef),
        ("a", Arc::new(StringViewArray::from(vec!["x", "y"]))),
    ])
    .unwrap();
    let bytes = written(&narrow, &options(&[]), "UTC");
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let schema = Arc::new(Schema::new(vec![
        field("a", DataType::Utf8View),
        field("c", DataType::Utf8View),
        field("b", DataType::Int64),
    ]));
    let back = read(bytes.clone(), &schema, &options(&[]), "UTC").unwrap();
    assert_eq!(back.column(0).as_string_view().value(1), "y");
    assert_eq!(back.column(1).null_count(), 2);
    assert_eq!(back.column(2).as_primitive::<Int64Type>().values(), &[1, 2]);
    let text = Arc::new(Schema::new(vec![field("b", DataType::Utf8View)]));
    let e = read(bytes.clone(), &text, &options(&[]), "UTC").unwrap_err();
    assert_eq!(e.message(), "file x: column 'b' is INT, it is declared STRING");
    let tiny = Arc::new(Schema::new(vec![field("n", DataType::Int8)]));
    let e = read(written(&sample(), &options(&[]), "UTC"), &tiny, &options(&[]), "UTC").unwrap_err();
    assert!(e.message().starts_with("file x, column 'n': "), "{e}");
    let never = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let e = read(written(&sample(), &options(&[]), "UTC"), &never, &options(&[]), "UTC").unwrap_err();
    assert_eq!(e.message(), "file x: column 'n' is NULL, it is declared NOT NULL");
    let e = read(bytes, &never, &options(&[]), "UTC").unwrap_err();
    assert_eq!(e.message(), "file x has no column 'n'");
}

#[test]
fn moments_of_96_bits() {
    let schema = Arc::new(parse_message_type("message m { optional int96 t; }").unwrap());
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, schema, Arc::new(WriterProperties::default())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    // Noon of 2024-07-01, and of the last day of the year 9999.
    let noon = 12 * 3_600 * 1_000_000_000_u64;
    let at = |day: u32| {
        let mut value = Int96::new();
        value.set_data(noon as u32, (noon >> 32) as u32, day);
        value
    };
    column.typed::<Int96Type>().write_batch(&[at(2_460_493), at(5_373_484)], Some(&[1, 1]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let wanted = |zone: Option<&str>| {
        let data_type = DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        Arc::new(Schema::new(vec![Field::new("t", data_type, true)]))
    };
    let micros = |schema: &SchemaRef, utc: &str| {
        let batch = read(bytes.clone(), schema, &options(&[(UTC, utc)]), "Europe/Berlin").unwrap();
        batch.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec()
    };
    let noons = [1_719_835_200_000_000, 253_402_257_600_000_000];
    assert_eq!(micros(&wanted(None), "true"), noons);
    assert_eq!(micros(&wanted(Some("Europe/Berlin")), "true"), noons);
    assert_eq!(micros(&wanted(Some("Europe/Berlin")), "false"), noons);
    // Two hours and one hour later on the clocks of Berlin.
    assert_eq!(micros(&wanted(None), "false"), [noons[0] + 7_200_000_000, noons[1] + 3_600_000_000]);
}

#[test]
fn damaged_files_are_errors() {
    let batch = sample();
    let bytes = written(&batch, &options(&[]), "UTC");
    let mut errors = 0;
    for at in 0..bytes.len() {
        for change in [0xff, 0x01, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= change;
            // Whatever it is: not a panic.
            errors += usize::from(read(damaged, &batch.schema(), &options(&[]), "UTC").is_err());
        }
        let _ = read(bytes[..at].to_vec(), &batch.schema(), &options(&[]), "UTC").unwrap_err();
    }
    assert!(errors > 0);
}

#[test]
fn files_are_joined_once() {
    let file = |n: i64| -> (String, Arc<dyn RandomAccess>) {
        let batch =
            RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![n])) as ArrayRef)]).unwrap();
        (format!("file {n}"), Arc::new(Memory(written(&batch, &options(&[]), "UTC").into())))
    };
    let mut both = Vec::new();
    joined(&[file(1), file(2)], "p q", &mut both).unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    let rows = read(both.clone(), &schema, &options(&[]), "UTC").unwrap();
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &[1, 2]);
    let both: Arc<dyn RandomAccess> = Arc::new(Memory(both.into()));
    assert!(holds_parts(&both, "x", "p q").unwrap());
    assert!(!holds_parts(&both, "x", "p").unwrap());
    let other: Arc<dyn RandomAccess> = Arc::new(Memory(written(&sample(), &options(&[]), "UTC").into()));
    let e = joined(&[file(1), ("file o".into(), other)], "p", Vec::new()).unwrap_err();
    assert_eq!(e.message(), "rows of file o cannot be added to file 1: it has other columns");
}

#[test]
fn types_that_parquet_lacks_are_refused() {
    let interval = DataType::Interval(arrow::datatypes::IntervalUnit::YearMonth);
    let list = DataType::List(Arc::new(Field::new("item", interval, true)));
    let schema = Arc::new(Schema::new(vec![Field::new("v", list, true)]));
    let e = ParquetWriter::new(&options(&[]), &schema, "UTC").map(drop).unwrap_err();
    assert!(e.message().ends_with("which format 'parquet' has no type for"), "{e}");
    let mut wrong = Options::default();
    wrong.set(INT64, "false", Default::default());
    assert!(ParquetOptions::from_options(&wrong).is_err());
}
