#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::clock::ManualClock;
use crate::session::Session;

fn recorder(folder: &std::path::Path, limit: u64) -> Arc<Recorder> {
    Recorder::begin(folder, limit, "UTC", ManualClock::new(1000)).unwrap()
}

#[test]
fn a_folder_with_files_and_another_version_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r");
    recorder(&path, 1 << 20).finish().unwrap();
    let e = Recorder::begin(&path, 1, "UTC", ManualClock::new(0)).unwrap_err().to_string();
    assert!(e.contains("is not empty"), "{e}");
    assert!(Recording::open(&path).is_ok());
    let manifest = std::fs::read_to_string(path.join(MANIFEST)).unwrap();
    std::fs::write(path.join(MANIFEST), manifest.replace("\"format\": 1", "\"format\": 7")).unwrap();
    let e = Recording::open(&path).unwrap_err().to_string();
    assert!(e.contains("version 7, and this program reads version 1"), "{e}");
    let e = Recording::open(folder.path()).unwrap_err().to_string();
    assert!(e.contains("there is no recording"), "{e}");
}

#[test]
fn retracted_rows_are_not_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r");
    let recorder = recorder(&path, 1 << 20);
    let session = Session::new().unwrap();
    let rows = session.query("SELECT n FROM (VALUES (1), (2), (3)) AS t (n)").unwrap().collect().unwrap();
    let mut fields = super::rows::plain_fields(&rows.schema());
    use arrow::array::{Int64Array, UInt8Array, UInt32Array, UInt64Array};
    use arrow::datatypes::{DataType, Field, Schema};
    fields.extend([
        Field::new(AT, DataType::Int64, false),
        Field::new(PIECE, DataType::UInt64, false),
        Field::new(ATTEMPT, DataType::UInt32, false),
        Field::new(TASK, DataType::UInt32, false),
        Field::new(KIND, DataType::UInt8, false),
    ]);
    let schema = Arc::new(Schema::new(fields));
    let number = recorder.open(Holds::Source, "t", false, schema.clone()).unwrap();
    let add = |from: usize, count: usize, attempt: u32| {
        let mut columns = super::rows::plain_columns(&rows.slice(from, count)).unwrap();
        columns.push(Arc::new(Int64Array::from(vec![1000; count])));
        columns.push(Arc::new(UInt64Array::from(vec![recorder.piece(); count])));
        columns.push(Arc::new(UInt32Array::from(vec![attempt; count])));
        columns.push(Arc::new(UInt32Array::from(vec![0; count])));
        columns.push(Arc::new(UInt8Array::from(vec![0; count])));
        recorder.add(number, arrow::array::RecordBatch::try_new(schema.clone(), columns).unwrap());
    };
    add(0, 1, 1);
    add(1, 1, 1);
    // Only the first piece belongs to the checkpoint.
    recorder.went_back(number, Back { attempt: 2, marks: BTreeMap::from([(0, (1, 0))]) });
    add(1, 2, 2);
    assert_eq!(recorder.finish().unwrap().rows, 4);
    let recording = Recording::open(&path).unwrap();
    let scan = &recording.scans["t"];
    let batches: Vec<_> = scan.events.iter().map(|e| e.batch.num_rows()).collect();
    assert_eq!((scan.rows, batches), (3, vec![1, 2]));
}

/// A run, its recording, and what is in it.
#[test]
fn a_run_is_recorded_within_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session::new().unwrap();
    let path = folder.path().join("r");
    let recorder = session.record(&path, 200_000).unwrap();
    session
        .sql(
            "SET 'table.dml-sync' = 'true'; SET 'parallelism.default' = '1';
             CREATE TABLE n (n BIGINT, text STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '100000');
             CREATE TABLE gone (n BIGINT) WITH ('connector' = 'blackhole');
             INSERT INTO gone SELECT n FROM n",
        )
        .unwrap();
    let summary = recorder.finish().unwrap();
    assert!(summary.cut && summary.rows > 0 && summary.rows < 100_000, "{summary:?}");
    let recording = Recording::open(&path).unwrap();
    let scan = &recording.scans["n"];
    assert_eq!(scan.rows, summary.rows);
    let schema = scan.schema.clone().unwrap();
    assert!(schema.field_with_name("text").is_ok(), "columns that the query does not read, too");
    assert!(recording.manifest.cut && scan.ended.is_some());
}
