#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::collections::BTreeSet;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Field, Int32Type, Int64Type, Schema};

use super::*;
use crate::catalog::{Column, Options};
use crate::connector::replay::context;
use crate::flow::Mailbox;
use crate::sql::SqlType;

fn table(columns: &[(&str, SqlType)], pairs: &[(&str, &str)]) -> Table {
    let mut options = Options::default();
    pairs.iter().for_each(|(k, v)| options.set(k, v, Default::default()));
    let columns = columns
        .iter()
        .map(|(name, t)| Column {
            name: name.to_string(),
            source: ColumnSource::Physical { data_type: t.clone(), nullable: true },
            comment: None,
        })
        .collect();
    Table {
        name: "t".into(),
        home: Default::default(),
        columns,
        watermark: None,
        primary_key: vec![],
        partitioned_by: vec![],
        comment: None,
        options,
        temporary: false,
        own: None,
    }
}

fn source(table: Table, batch_rows: usize) -> Result<DatagenSource> {
    Datagen.check(&table)?;
    let fields: Vec<_> = table
        .columns
        .iter()
        .map(|c| Field::new(&c.name, c.declared().unwrap().0.to_arrow("UTC"), true))
        .collect();
    DatagenSource::new(&ScanRequest {
        projection: (0..table.columns.len()).collect(),
        schema: Arc::new(Schema::new(fields)),
        batch_rows,
        zone: "UTC".into(),
        table: Arc::new(table),
    })
}

fn readers(source: &DatagenSource, tasks: usize) -> (tokio::runtime::Runtime, Mailbox, Vec<Box<dyn Reader>>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let mailbox = Mailbox::new();
    let readers = (0..tasks)
        .map(|task| {
            let context = context(task, tasks, mailbox.waker(task), runtime.handle().clone());
            source.reader(context).unwrap()
        })
        .collect();
    (runtime, mailbox, readers)
}

/// All batches of all tasks, which take turns.
fn run(source: &DatagenSource, tasks: usize) -> Vec<RecordBatch> {
    let (_runtime, mailbox, mut readers) = readers(source, tasks);
    let mut batches = Vec::new();
    while !readers.is_empty() {
        let mut pending = 0;
        readers.retain_mut(|reader| match reader.read().unwrap() {
            Read::Batch(batch) | Read::Changes(batch, _) => {
                batches.push(batch);
                true
            }
            Read::Pending => {
                pending += 1;
                true
            }
            Read::End => false,
        });
        if pending > 0 && pending == readers.len() {
            let due = readers.iter().filter_map(|reader| reader.deadline()).min();
            mailbox.wait(due);
        }
    }
    batches
}

const FAST: (&str, &str) = ("rows-per-second", "0");

#[test]
fn sequences_are_split_without_gap_or_overlap() {
    let columns = [("i", SqlType::BigInt), ("s", SqlType::String)];
    let options = [
        FAST,
        ("fields.i.kind", "sequence"),
        ("fields.i.start", "-5"),
        ("fields.i.end", "1000"),
        ("fields.s.kind", "sequence"),
        ("fields.s.start", "1"),
        ("fields.s.end", "900"),
    ];
    let source = source(table(&columns, &options), 64).unwrap();
    assert!(source.bounded());
    let seen: Vec<i64> = run(&source, 3)
        .iter()
        .flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect();
    // The shorter sequence ends it.
    assert_eq!(seen.len(), 900);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), (-5..895).collect());
}

#[test]
fn a_seed_makes_the_same_rows_whatever_the_batches() {
    let columns = [
        ("b", SqlType::Boolean),
        ("i", SqlType::Int),
        ("d", SqlType::Double),
        ("s", SqlType::Varchar(10)),
        ("l", SqlType::Array(Box::new(SqlType::SmallInt))),
        ("m", SqlType::Map(Box::new(SqlType::String), Box::new(SqlType::Decimal(5, 2)))),
        ("r", SqlType::Row(vec![("x".into(), SqlType::Bytes), ("y".into(), SqlType::Char(3))])),
    ];
    let options = [
        FAST,
        ("number-of-rows", "300"),
        ("affluent.datagen.seed", "7"),
        ("fields.i.min", "10"),
        ("fields.i.max", "12"),
        ("fields.s.null-rate", "0.5"),
        ("fields.s.var-len", "true"),
        ("fields.l.length", "2"),
        ("fields.r.x.length", "1"),
    ];
    let one = |rows| {
        let source = source(table(&columns, &options), rows).unwrap();
        let batches = run(&source, 1);
        arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
    };
    let (small, large) = (one(7), one(8192));
    assert_eq!(small, large);
    let ints = small.column(1).as_primitive::<Int32Type>();
    assert_eq!(ints.values().iter().copied().collect::<BTreeSet<_>>(), [10, 11, 12].into());
    let texts = small.column(3).as_string_view();
    assert!((100..200).contains(&texts.null_count()), "{}", texts.null_count());
    assert!(texts.iter().flatten().all(|t| (1..=10).contains(&t.len())));
    assert_eq!(small.column(4).as_list::<i32>().value_length(0), 2);
}

#[test]
fn every_type_can_be_made() {
    use SqlType::*;
    let all = [
        Boolean,
        TinyInt,
        SmallInt,
        Int,
        BigInt,
        Float,
        Double,
        Decimal(38, 10),
        Char(3),
        Varchar(5),
        String,
        Binary(3),
        Varbinary(4),
        Bytes,
        Date,
        Time(3),
        Timestamp(0),
        Timestamp(3),
        Timestamp(6),
        Timestamp(9),
        TimestampLtz(3),
        IntervalYearMonth,
        IntervalDayTime,
        Array(Box::new(Row(vec![("a".into(), Int)]))),
        Map(Box::new(Int), Box::new(Array(Box::new(String)))),
        Multiset(Box::new(String)),
    ];
    let names: Vec<_> = (0..all.len()).map(|i| format!("c{i}")).collect();
    let columns: Vec<_> = names.iter().map(|n| n.as_str()).zip(all).collect();
    let source = source(table(&columns, &[FAST, ("number-of-rows", "20")]), 8).unwrap();
    assert_eq!(run(&source, 2).iter().map(RecordBatch::num_rows).sum::<usize>(), 20);
}

#[test]
fn wrong_options_name_the_option() {
    let one = |pairs: &[(&str, &str)]| {
        source(table(&[("i", SqlType::TinyInt)], pairs), 8).err().map(|e| e.message().to_string())
    };
    assert_eq!(one(&[("fields.i.max", "200")]).unwrap(), "option 'fields.i.max': 200 does not fit TINYINT");
    assert_eq!(one(&[("fields.i.maxx", "2")]).unwrap(), "option 'fields.i.maxx' fits no column");
    assert_eq!(one(&[("fields.j.max", "2")]).unwrap(), "option 'fields.j.max' fits no column");
    assert_eq!(
        one(&[("fields.i.kind", "sequence")]).unwrap(),
        "option 'fields.i.kind': a sequence needs 'start' and 'end'"
    );
    assert!(one(&[("fields.i.min", "3"), ("fields.i.max", "2")]).is_some());
    assert!(one(&[("fields.i.length", "3")]).is_some());
    assert_eq!(one(&[]), None);
}

#[test]
fn rows_are_due_at_their_rate() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut pace = Pace { rate: Some(1000), rows: Some(5000), taken: 0, origin: None, last: None };
    assert_eq!(pace.take(at(0), 100, Duration::ZERO), Due::Rows(0..1));
    assert_eq!(pace.take(at(0), 100, Duration::ZERO), Due::At(at(1)));
    assert_eq!(pace.take(at(10), 100, Duration::ZERO), Due::Rows(1..11));
    assert_eq!(pace.take(at(10), 100, Duration::ZERO), Due::At(at(11)));
    assert_eq!(pace.take(at(500), 100, Duration::ZERO), Due::Rows(11..111));
    // Held up for a minute: a second's rows at once, and then the rate again.
    let mut caught_up = 0;
    let next = loop {
        match pace.take(at(60_000), 400, Duration::ZERO) {
            Due::Rows(rows) => caught_up += rows.end - rows.start,
            Due::At(next) => break next,
            Due::End => panic!("there are more"),
        }
    };
    assert!((1000..=1400).contains(&caught_up), "{caught_up}");
    assert!(next > at(60_000));
    let mut fast = Pace { rate: None, rows: Some(10), taken: 0, origin: None, last: None };
    assert_eq!(fast.take(at(0), 8, Duration::ZERO), Due::Rows(0..8));
    assert_eq!(fast.take(at(0), 8, Duration::ZERO), Due::Rows(8..10));
    assert_eq!(fast.take(at(0), 8, Duration::ZERO), Due::End);
}

#[test]
fn rows_gather_but_for_the_first() {
    let start = Instant::now();
    let at = |micros| start + Duration::from_micros(micros);
    let gather = Duration::from_millis(1);
    let mut pace = Pace { rate: Some(100_000), rows: Some(300), taken: 0, origin: None, last: None };
    assert_eq!(pace.take(at(0), 100, gather), Due::Rows(0..1));
    assert_eq!(pace.take(at(50), 100, gather), Due::At(at(1000)));
    // A full batch does not wait.
    assert_eq!(pace.take(at(990), 50, gather), Due::Rows(1..51));
    assert_eq!(pace.take(at(1000), 100, gather), Due::At(at(1990)));
    assert_eq!(pace.take(at(1990), 150, gather), Due::Rows(51..200));
    assert_eq!(pace.take(at(2990), 150, gather), Due::Rows(200..300));
    assert_eq!(pace.take(at(2990), 150, gather), Due::End);
    // A row after a pause goes when it is due.
    let mut slow = Pace { rate: Some(100), rows: None, taken: 0, origin: None, last: None };
    assert_eq!(slow.take(at(0), 100, gather), Due::Rows(0..1));
    assert_eq!(slow.take(at(0), 100, gather), Due::At(at(10_000)));
    assert_eq!(slow.take(at(10_000), 100, gather), Due::Rows(1..2));
}

#[test]
fn a_task_is_woken_when_rows_are_due() {
    let options = [("rows-per-second", "500"), ("number-of-rows", "20")];
    let source = source(table(&[("i", SqlType::Int)], &options), 8).unwrap();
    assert_eq!(run(&source, 2).iter().map(RecordBatch::num_rows).sum::<usize>(), 20);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(60))]
    #[test]
    fn any_schedule_of_cuts_and_crashes_gives_every_row_once(
        script in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60),
    ) {
        let columns = [("i", SqlType::BigInt), ("s", SqlType::String)];
        let options = [FAST, ("number-of-rows", "300"), ("fields.i.kind", "sequence"), ("fields.i.start", "1000"),
            ("fields.i.end", "9999"), ("fields.s.length", "5")];
        let first: Arc<dyn Source> = Arc::new(source(table(&columns, &options), 7).unwrap());
        let mut replay = crate::connector::replay::Replay::new(vec![first], 2);
        // A new source has another seed.
        replay.play(&script, &|| vec![Arc::new(source(table(&columns, &options), 7).unwrap())]);
        let rows = replay.sorted(0);
        proptest::prop_assert_eq!(rows.len(), 300);
        let numbers: Vec<String> = rows.iter().map(|r| r.split('|').next().unwrap().to_string()).collect();
        proptest::prop_assert_eq!(numbers, (1000..1300).map(|n| n.to_string()).collect::<Vec<_>>());
        // The texts are those of the seed in the checkpoint.
        let seed = replay.positions[0]["rows"]["seed"].to_string();
        let fixed: Vec<_> = options.into_iter().chain([("affluent.datagen.seed", seed.as_str())]).collect();
        let again = run(&source(table(&columns, &fixed), 300).unwrap(), 1);
        proptest::prop_assert_eq!(crate::connector::replay::rows(&again[0]), rows);
    }
}

#[test]
fn a_position_of_another_source_is_refused() {
    let source = source(table(&[("i", SqlType::BigInt)], &[FAST]), 7).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (name, position) in [("rows", json!({ "next": -1, "seed": 1 })), ("a.txt@0", json!({}))] {
        let positions = [(name.to_string(), position)].into();
        let e = source.restore(&positions, runtime.handle()).unwrap_err();
        assert!(e.message().contains("is not one of this source"), "{e}");
    }
}
