#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashSet;

use arrow::array::{Array, AsArray, StructArray};
use arrow::datatypes::{Field, Int32Type, Int64Type, Schema, TimestampMillisecondType};

use super::*;
use crate::catalog::Column as TableColumn;
use crate::connector::replay::context;
use crate::flow::Mailbox;
use crate::sql::SqlType;

const ROWS: [(&str, &[(&str, char)]); 3] = [
    (
        "person",
        &[
            ("id", 'n'),
            ("name", 's'),
            ("emailAddress", 's'),
            ("creditCard", 's'),
            ("city", 's'),
            ("state", 's'),
            ("dateTime", 't'),
            ("extra", 's'),
        ],
    ),
    (
        "auction",
        &[
            ("id", 'n'),
            ("itemName", 's'),
            ("description", 's'),
            ("initialBid", 'n'),
            ("reserve", 'n'),
            ("dateTime", 't'),
            ("expires", 't'),
            ("seller", 'n'),
            ("category", 'n'),
            ("extra", 's'),
        ],
    ),
    (
        "bid",
        &[
            ("auction", 'n'),
            ("bidder", 'n'),
            ("price", 'n'),
            ("channel", 's'),
            ("url", 's'),
            ("dateTime", 't'),
            ("extra", 's'),
        ],
    ),
];

fn table(pairs: &[(&str, &str)]) -> Table {
    let mut options = Options::default();
    options.set("connector", "nexmark", Default::default());
    pairs.iter().for_each(|(k, v)| options.set(k, v, Default::default()));
    let column = |name: &str, data_type: SqlType| TableColumn {
        name: name.into(),
        source: ColumnSource::Physical { data_type, nullable: true },
        comment: None,
    };
    let mut columns = vec![column("event_type", SqlType::Int)];
    for (name, fields) in ROWS {
        let fields = fields.iter().map(|(field, t)| {
            let t = match t {
                'n' => SqlType::BigInt,
                's' => SqlType::String,
                _ => SqlType::Timestamp(3),
            };
            (field.to_string(), t)
        });
        columns.push(column(name, SqlType::Row(fields.collect())));
    }
    Table {
        name: "events".into(),
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

fn request(table: Table, projection: Vec<usize>, batch_rows: usize) -> ScanRequest {
    let fields: Vec<Field> = projection
        .iter()
        .map(|i| {
            let column = &table.columns[*i];
            let (data_type, nullable) = column.declared().unwrap();
            Field::new(&column.name, data_type.to_arrow("UTC"), nullable)
        })
        .collect();
    let schema = Arc::new(Schema::new(fields));
    ScanRequest { table: Arc::new(table), projection, schema, batch_rows, zone: "UTC".into() }
}

fn all(pairs: &[(&str, &str)], batch_rows: usize) -> RecordBatch {
    let table = table(pairs);
    super::super::registry::validate(&table).unwrap();
    let request = request(table, vec![0, 1, 2, 3], batch_rows);
    let source = Nexmark.source(&request).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let of = |task| context(task, 2, Mailbox::new().waker(0), runtime.handle().clone());
    // Two tasks take turns.
    let mut readers = [source.reader(of(0)).unwrap(), source.reader(of(1)).unwrap()];
    let mut batches = Vec::new();
    loop {
        let turn = batches.len() % 2;
        match readers[turn].read().unwrap() {
            Read::Batch(batch) => batches.push(batch),
            Read::End => break,
            other => panic!("{other:?}"),
        }
    }
    arrow::compute::concat_batches(&request.schema, &batches).unwrap()
}

fn numbers(row: &StructArray, field: &str) -> Vec<i64> {
    row.column_by_name(field).unwrap().as_primitive::<Int64Type>().iter().flatten().collect()
}

fn texts(row: &StructArray, field: &str) -> Vec<String> {
    let column = row.column_by_name(field).unwrap().as_string_view();
    column.iter().flatten().map(str::to_string).collect()
}

fn times(row: &StructArray, field: &str) -> Vec<i64> {
    row.column_by_name(field).unwrap().as_primitive::<TimestampMillisecondType>().iter().flatten().collect()
}

#[test]
fn proportions_ids_and_times() {
    let events = all(&[("events.num", "50000")], 700);
    assert_eq!(events.num_rows(), 50_000);
    let kinds = events.column(0).as_primitive::<Int32Type>();
    let count = |kind: i32| kinds.values().iter().filter(|k| **k == kind).count();
    assert_eq!((count(0), count(1), count(2)), (1000, 3000, 46_000));
    let row = |i: usize| events.column(i).as_struct();
    for (i, kind) in [(1, 0), (2, 1), (3, 2)] {
        assert!((0..50_000).all(|n| row(i).is_valid(n) == (kinds.value(n) == kind)));
        // Fields of other events are NULL too.
        assert!(row(i).columns().iter().all(|c| c.logical_null_count() == 50_000 - count(kind)));
    }
    assert_eq!(numbers(row(1), "id"), (1000..2000).collect::<Vec<_>>());
    assert_eq!(numbers(row(2), "id"), (1000..4000).collect::<Vec<_>>());
    // 10,000 events a second.
    let base = 1_436_918_400_000;
    assert_eq!(times(row(1), "dateTime")[..3], [base, base + 5, base + 10]);
    assert_eq!(times(row(3), "dateTime").last(), Some(&(base + 4_999)));
    let (begun, ends) = (times(row(2), "dateTime"), times(row(2), "expires"));
    let lengths: Vec<i64> = begun.iter().zip(&ends).map(|(b, e)| e - b).collect();
    assert!(lengths.iter().all(|l| (1..=334).contains(l)), "{lengths:?}");
    assert!(lengths.iter().max() > Some(&300));
    // Half of the bids go to the hot auction, and nobody bids for what is far away.
    let (bid_for, last) = (numbers(row(3), "auction"), 3999);
    assert!(bid_for.iter().all(|a| (1000..=last + 10).contains(a)));
    let hot = bid_for.iter().filter(|a| **a % 100 == 0).count() as f64 / 46_000.0;
    assert!((0.49..0.52).contains(&hot), "{hot}");
    let hot = numbers(row(3), "bidder").iter().filter(|b| **b % 100 == 1).count() as f64 / 46_000.0;
    assert!((0.74..0.77).contains(&hot), "{hot}");
    let hot = numbers(row(2), "seller").iter().filter(|b| **b % 100 == 0).count() as f64 / 3_000.0;
    assert!((0.72..0.79).contains(&hot), "{hot}");
    let categories: HashSet<i64> = numbers(row(2), "category").into_iter().collect();
    assert_eq!(categories, (10..15).collect());
    // Prices are spread evenly over six orders of magnitude.
    let prices = numbers(row(3), "price");
    assert!(prices.iter().all(|p| (100..=100_000_000).contains(p)));
    let low = prices.iter().filter(|p| **p < 100_000).count() as f64 / 46_000.0;
    assert!((0.49..0.51).contains(&low), "{low}");
    assert!(numbers(row(2), "initialBid").iter().zip(numbers(row(2), "reserve")).all(|(i, r)| *i < r));
}

#[test]
fn texts_look_as_published() {
    let events = all(&[("events.num", "20000")], 8192);
    let (person, auction, bid) =
        (events.column(1).as_struct(), events.column(2).as_struct(), events.column(3).as_struct());
    assert!(texts(person, "name").iter().all(|n| n.split(' ').count() == 2));
    assert!(texts(person, "emailAddress").iter().all(|e| e.contains('@') && e.ends_with(".com")));
    assert!(texts(person, "creditCard").iter().all(|c| c.len() == 19));
    assert!(texts(person, "state").contains(&"OR".to_string()));
    assert!(texts(auction, "itemName").iter().all(|n| n.len() < 20 && n.trim() == n));
    assert!(texts(auction, "description").iter().any(|n| n.len() > 80));
    let channels = texts(bid, "channel");
    let hot = channels.iter().filter(|c| !c.starts_with("channel-")).count() as f64 / channels.len() as f64;
    assert!((0.48..0.52).contains(&hot), "{hot}");
    let urls = texts(bid, "url");
    assert!(urls.iter().all(|u| u.starts_with("https://www.nexmark.com/") && u.split('/').count() == 7));
    let known = urls.iter().filter(|u| u.contains("&channel_id=")).count() as f64 / urls.len() as f64;
    assert!((0.43..0.47).contains(&known), "{known}");
    // Sizes are met on average.
    let average =
        |texts: Vec<String>| texts.iter().map(String::len).sum::<usize>() as f64 / texts.len() as f64;
    let size = 32.0 + average(texts(bid, "extra"));
    assert!((95.0..105.0).contains(&size), "{size}");
    let size = 48.0
        + average(texts(auction, "extra"))
        + average(texts(auction, "itemName"))
        + average(texts(auction, "description"));
    assert!((480.0..520.0).contains(&size), "{size}");
}

#[test]
fn events_are_the_same_in_every_run() {
    let first = all(&[("events.num", "3000")], 8192);
    assert_eq!(first, all(&[("events.num", "3000")], 7));
    assert_eq!(first.slice(0, 1000), all(&[("stop-at", "1000")], 100));
    assert_ne!(first, all(&[("events.num", "3000"), ("affluent.nexmark.seed", "1")], 8192));
}

#[test]
fn unread_columns_are_not_generated() {
    let source = Nexmark.source(&request(table(&[("events.num", "10")]), vec![], 100)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let context = context(0, 1, Mailbox::new().waker(0), runtime.handle().clone());
    let Read::Batch(batch) = source.reader(context).unwrap().read().unwrap() else { panic!() };
    assert_eq!((batch.num_columns(), batch.num_rows()), (0, 10));
}

#[test]
fn odd_proportions() {
    let only = |persons: &str, auctions: &str, bids: &str| {
        let options = [
            ("events.num", "500"),
            ("person.proportion", persons),
            ("auction.proportion", auctions),
            ("bid.proportion", bids),
            ("bid.avg-size", "0 b"),
        ];
        let events = all(&options, 8192);
        [1, 2, 3].map(|i| events.column(i).len() - events.column(i).null_count())
    };
    assert_eq!(only("1", "0", "0"), [500, 0, 0]);
    assert_eq!(only("0", "1", "0"), [0, 500, 0]);
    assert_eq!(only("0", "0", "1"), [0, 0, 500]);
    assert_eq!(only("2", "3", "0"), [200, 300, 0]);
}

#[test]
fn rates_change() {
    let model = |pairs: &[(&str, &str)]| Model::new(Plan::new(&table(pairs).options).unwrap().settings);
    let square = model(&[("first-event.rate", "10"), ("next-event.rate", "100"), ("rate.period", "20 s")]);
    // 10 s at 10 a second, 10 s at 100 a second, and so on.
    assert_eq!(square.offset_millis(99), 9_900);
    assert_eq!(square.offset_millis(100), 10_000);
    assert_eq!(square.offset_millis(101), 10_010);
    assert_eq!(square.offset_millis(1100), 20_000);
    assert_eq!(square.offset_millis(1101), 20_100);
    let sine = model(&[
        ("first-event.rate", "10"),
        ("next-event.rate", "100"),
        ("rate.period", "10 s"),
        ("rate.shape", "sine"),
    ]);
    assert!((0..5000u64).map(|n| sine.offset_millis(n)).is_sorted());
    assert_eq!((sine.offset_millis(1), sine.settings.rates[5]), (100, 100));
}

#[test]
fn paced_events_come_when_they_happen() {
    let table = table(&[("rate.limited", "true"), ("first-event.rate", "10"), ("events.num", "7")]);
    let plan = Plan::new(&table.options).unwrap();
    let model = Model::new(plan.settings.clone());
    let mut counter = Counter::default();
    let start = Instant::now();
    let after = |ms: u64| start + Duration::from_millis(ms);
    assert_eq!(counter.take(&plan, &model, 100, after(0)), Due::Events(0..1));
    assert_eq!(counter.take(&plan, &model, 100, after(50)), Due::At(after(100)));
    assert_eq!(counter.take(&plan, &model, 100, after(350)), Due::Events(1..4));
    assert_eq!(counter.take(&plan, &model, 2, after(9999)), Due::Events(4..6));
    assert_eq!(counter.take(&plan, &model, 2, after(9999)), Due::Events(6..7));
    assert_eq!(counter.take(&plan, &model, 2, after(9999)), Due::End);
}

#[test]
fn mistakes_are_told() {
    let wrong = |pairs: &[(&str, &str)]| super::super::registry::validate(&table(pairs)).unwrap_err();
    assert!(wrong(&[("bid.hot-ratio.auctions", "0")]).message().contains("from 1"));
    assert!(wrong(&[("first-event.rate", "0")]).message().contains("first-event.rate"));
    assert!(wrong(&[("affluent.nexmark.base-time", "now")]).hint().is_some());
    let zero = [("bid.proportion", "0"), ("auction.proportion", "0"), ("person.proportion", "0")];
    assert!(wrong(&zero).message().contains("all 0"));
    let mut other = table(&[]);
    other.columns[3].name = "bids".into();
    let e = Nexmark.check(&other).unwrap_err();
    assert_eq!(e.message(), "connector 'nexmark' has no column 'bids'");
    assert_eq!(e.hint(), Some("did you mean 'bid'?"));
    let mut other = table(&[]);
    other.columns[1].source =
        ColumnSource::Physical { data_type: SqlType::Row(vec![("id".into(), SqlType::Int)]), nullable: true };
    assert_eq!(Nexmark.check(&other).unwrap_err().message(), "field 'id' of column 'person' is BIGINT");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(40))]
    #[test]
    fn any_schedule_of_cuts_and_crashes_gives_every_event_once(
        script in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60),
    ) {
        let make = || {
            let request = request(table(&[("events.num", "500")]), vec![0, 3], 11);
            vec![Nexmark.source(&request).unwrap()]
        };
        let mut replay = crate::connector::replay::Replay::new(make(), 2);
        replay.play(&script, &make);
        let request = request(table(&[("events.num", "500")]), vec![0, 3], 500);
        let mut whole = crate::connector::replay::Replay::new(vec![Nexmark.source(&request).unwrap()], 1);
        whole.play(&[], &make);
        proptest::prop_assert_eq!(replay.sorted(0), whole.sorted(0));
    }
}

#[test]
fn a_paced_stream_goes_on_at_its_pace() {
    let plan = Plan::new(&table(&[("rate.limited", "true"), ("first-event.rate", "10")]).options).unwrap();
    let model = Model::new(plan.settings.clone());
    let mut counter = Counter { next: 40, ..Counter::default() };
    let start = Instant::now();
    let after = |millis| start + Duration::from_millis(millis);
    assert_eq!(counter.take(&plan, &model, 100, after(0)), Due::Events(40..41));
    assert_eq!(counter.take(&plan, &model, 100, after(50)), Due::At(after(100)));
    assert_eq!(counter.take(&plan, &model, 100, after(200)), Due::Events(41..43));
}
