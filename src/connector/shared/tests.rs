#![allow(clippy::unwrap_used, clippy::panic)]
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use proptest::prelude::*;

use super::*;
use crate::catalog::{Column, ColumnSource, Options, Table};
use crate::connector::replay::Replay;
use crate::connector::values::ValuesSource;
use crate::connector::{ScanRequest, connector};
use crate::sql::SqlType;

const ROWS: i64 = 400;

fn table(options: Options) -> Table {
    let source = ColumnSource::Physical { data_type: SqlType::BigInt, nullable: false };
    Table {
        name: "t".into(),
        home: Default::default(),
        columns: vec![Column { name: "n".into(), source, comment: None }],
        watermark: None,
        primary_key: vec![],
        partitioned_by: vec![],
        comment: None,
        options,
        temporary: false,
        own: None,
    }
}

/// Numbers from 10,000 on, from several tasks or from one.
fn numbers(single: bool) -> Arc<dyn Source> {
    if single {
        let batch = |first: i64| {
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + 5));
            RecordBatch::try_from_iter([("n", numbers)]).unwrap()
        };
        return Arc::new(ValuesSource::new((0..ROWS / 5).map(|i| batch(10_000 + i * 5)).collect()));
    }
    let mut options = Options::default();
    for (key, value) in [
        ("connector", "datagen"),
        ("rows-per-second", "0"),
        ("number-of-rows", "400"),
        ("fields.n.kind", "sequence"),
        ("fields.n.start", "10000"),
        ("fields.n.end", "99999"),
    ] {
        options.set(key, value, Default::default());
    }
    let table = table(options);
    let field = arrow::datatypes::Field::new("n", arrow::datatypes::DataType::Int64, false);
    let request = ScanRequest {
        table: Arc::new(table),
        projection: vec![0],
        schema: Arc::new(arrow::datatypes::Schema::new(vec![field])),
        batch_rows: 5,
        zone: "UTC".into(),
    };
    connector("datagen").unwrap().source(&request).unwrap()
}

fn all() -> Vec<String> {
    (10_000..10_000 + ROWS).map(|n| n.to_string()).collect()
}

#[test]
fn positions_that_are_no_objects_come_back_as_they_were() {
    let own: Positions = [("rows".to_string(), json!(3)), ("gone".to_string(), Value::Null)].into();
    let stored = marked(own.clone(), 7);
    assert_eq!(stored["rows"], json!({ "@cut": 7, "@at": 3 }));
    assert_eq!((unmarked(&stored).into_owned(), epoch_of(&stored["rows"])), (own.clone(), 7));
    assert_eq!(*unmarked(&own), own);
}

/// One table of a program that two parts read: the newest position counts for both.
#[test]
fn a_table_of_rows_that_two_queries_read_is_restored_once() {
    let batch = |n: i64| {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![n]));
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    };
    let make = || {
        let rows = crate::connector::embedded::rows((0..6).map(batch).collect()).unwrap();
        let table = Table { own: None, ..table(Options::default()) };
        let field = arrow::datatypes::Field::new("n", arrow::datatypes::DataType::Int64, false);
        let schema = Arc::new(arrow::datatypes::Schema::new(vec![field]));
        let request = ScanRequest {
            table: Arc::new(table),
            projection: vec![0],
            schema,
            batch_rows: 5,
            zone: "UTC".into(),
        };
        share(crate::connector::Connector::source(&rows, &request).unwrap(), 2)
    };
    let mut replay = Replay::new(make(), 1);
    replay.read(0);
    replay.read(0);
    replay.checkpoint(|| 0);
    replay.leave(0);
    replay.read(1);
    replay.checkpoint(|| 0);
    replay.restart(Some(make()), 1);
    replay.read_until(usize::MAX);
    replay.checkpoint(|| 0);
    assert_eq!(replay.sorted(1), ["0", "1", "2", "3", "4", "5"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]
    #[test]
    fn every_part_has_every_row_once_whatever_happens(
        script in proptest::collection::vec(any::<u8>(), 0..120), single: bool, parts in 2usize..4,
    ) {
        let make = || share(numbers(single), parts);
        let mut replay = Replay::new(make(), 2);
        replay.play(&script, &make);
        for part in 0..parts {
            prop_assert_eq!(replay.sorted(part), all());
        }
    }

    #[test]
    fn a_part_that_leaves_early_does_not_hold_the_others(
        script in proptest::collection::vec(any::<u8>(), 0..40),
        rest in proptest::collection::vec(any::<u8>(), 0..60),
        single: bool,
    ) {
        // With one task a part, the second one is head 1.
        let make = || share(numbers(single), 2);
        let mut replay = Replay::new(make(), 1);
        let reads_only: Vec<u8> = script.iter().map(|b| if b % 8 == 0 { 3 } else { *b }).collect();
        for (i, act) in reads_only.iter().enumerate() {
            match act % 8 {
                1 | 2 => replay.checkpoint(|| usize::from(*act) + i),
                _ => replay.read(usize::from(*act)),
            }
        }
        replay.leave(1);
        replay.play(&rest, &make);
        prop_assert_eq!(replay.sorted(0), all());
    }
}
