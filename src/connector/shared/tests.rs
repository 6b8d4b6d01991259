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
    let source = ColumnSource::Physical { data_type: SqlType::BigInt, nullable: false };
    let table = Table {
        name: "t".into(),
        columns: vec![Column { name: "n".into(), source, comment: None }],
        watermark: None,
        primary_key: vec![],
        partitioned_by: vec![],
        comment: None,
        options,
        temporary: false,
        embedded: None,
    };
    let field = arrow::datatypes::Field::new("n", arrow::datatypes::DataType::Int64, false);
    let request = ScanRequest {
        table: Arc::new(table),
        projection: vec![0],
        schema: Arc::new(arrow::datatypes::Schema::new(vec![field])),
        batch_rows: 5,
    };
    connector("datagen").unwrap().source(&request).unwrap()
}

fn all() -> Vec<String> {
    (10_000..10_000 + ROWS).map(|n| n.to_string()).collect()
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
