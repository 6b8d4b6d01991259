//! Windows that come back out of checkpoints.

use super::*;
use crate::flow::Output;
use crate::operator::picture::{self, Cut, Event, Rig, Tasks, cuts};
use crate::state::Snapshot;

/// Rows of `k v ts`, with late ones, and watermarks that follow them.
fn events(changes: bool) -> impl Strategy<Value = Vec<Event>> {
    let row = (0i64..4, 0i64..50, -30i64..15, any::<prop::sample::Index>(), 0u8..4);
    let chunk = (prop::collection::vec(row, 1..8), -5i64..30);
    prop::collection::vec(chunk, 1..16).prop_map(move |chunks| {
        let (mut now, mut events, mut there) = (100i64, Vec::new(), Vec::new());
        for (rows, progress) in chunks {
            let mut lines = Vec::new();
            for (k, v, t, index, choice) in rows {
                if changes && choice == 0 && !there.is_empty() {
                    let gone: String = there.swap_remove(index.index(there.len()));
                    lines.push(format!("-D {gone}"));
                    continue;
                }
                let row = format!("{k} {v} {}", now + t);
                lines.push(row.clone());
                there.push(row);
            }
            events.push(Event::Rows(lines.join(", ")));
            if progress > 0 {
                now += progress;
                events.push(Event::Watermark(now));
            }
        }
        events.push(Event::Watermark(i64::MAX));
        events
    })
}

fn kinds() -> impl Strategy<Value = WindowKind> {
    prop::sample::select(vec![
        WindowKind::Tumble { size: 10 },
        WindowKind::Hop { slide: 5, size: 15 },
        WindowKind::Hop { slide: 10, size: 4 },
        WindowKind::Cumulate { step: 5, size: 20 },
    ])
}

/// What comes out of each event, in an order of its own: keys get other slots behind a crash.
fn sorted(mut given: Vec<Vec<String>>) -> Vec<Vec<String>> {
    given.iter_mut().for_each(|rows| rows.sort());
    given
}

fn check<O: Operator + 'static>(
    make: impl Fn() -> O + Clone + 'static,
    input: &SchemaRef,
    keys: &[usize],
    events: &[Event],
    (cuts, scales): (&[Cut], &[usize]),
) -> Rig<O> {
    let wanted = sorted(Rig::durable(make.clone(), input).run(events, &[]));
    let mut rig = Rig::durable(make.clone(), input);
    assert_eq!(sorted(rig.run(events, cuts)), wanted);
    let tasks = Tasks::new(make, input, keys).run(events, scales);
    assert_eq!(tasks, wanted[..events.len()]);
    rig.checkpoint();
    rig
}

fn input() -> SchemaRef {
    picture::schema("k n v n ts t")
}

fn scales() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1usize..4, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn windows_come_back(
        kind in kinds(),
        (changes, events) in any::<bool>().prop_flat_map(|c| (Just(c), events(c))),
        cuts in cuts(),
        scales in scales(),
    ) {
        let make = move || WindowAggregate::new(aggregate_spec(kind, changes)).unwrap();
        let rig = check(make, &input(), &[0], &events, (&cuts, &scales));
        for table in ["slices", "periods", "windows"] {
            prop_assert_eq!(rig.ledger.rows(table), 0, "{} is empty in the end", table);
        }
    }

    #[test]
    fn windows_that_rows_name_come_back(events in events(false), cuts in cuts(), scales in scales()) {
        // `v` as the start and `ts` as the end.
        let input = picture::schema("k n v n start t end t");
        let events: Vec<Event> = events
            .into_iter()
            .map(|event| match event {
                Event::Rows(rows) => {
                    let row = |row: &str| {
                        let words: Vec<&str> = row.split_whitespace().collect();
                        let end = words[2].parse::<i64>().unwrap().div_euclid(10) * 10;
                        format!("{} {} {} {end}", words[0], words[1], end - 10)
                    };
                    Event::Rows(rows.split(", ").map(row).collect::<Vec<_>>().join(", "))
                }
                other => other,
            })
            .collect();
        let make = || {
            let windows = windows(WindowKind::Tumble { size: 10 });
            let attached = WindowInput::Attached { windows, start: 2, end: 3, processing: false };
            let spec = aggregate_spec(WindowKind::Tumble { size: 10 }, false);
            WindowAggregate::new(WindowAggregateSpec { input: attached, ..spec }).unwrap()
        };
        let rig = check(make, &input, &[0, 2, 3], &events, (&cuts, &scales));
        prop_assert_eq!(rig.ledger.rows("windows"), 0);
    }

    #[test]
    fn sessions_come_back(
        gap in 1i64..15,
        (changes, events) in any::<bool>().prop_flat_map(|c| (Just(c), events(c))),
        cuts in cuts(),
        scales in scales(),
    ) {
        let make = move || {
            let mut spec = session_spec(gap, changes);
            spec.calls.push(call("FIRST_VALUE", Some(1)));
            spec.calls.push(call("LAST_VALUE", Some(1)));
            let mut columns = vec![("k", DataType::Int64)];
            columns.extend(["c", "s", "m", "first", "last"].map(|name| (name, DataType::Int64)));
            columns.extend([("window_start", stamp()), ("window_end", stamp()), ("window_time", stamp())]);
            spec.schema = schema(&columns);
            SessionAggregate::new(spec).unwrap()
        };
        let rig = check(make, &input(), &[0], &events, (&cuts, &scales));
        prop_assert_eq!(rig.ledger.rows("sessions"), 0);
    }

    #[test]
    fn rows_that_wait_for_their_session_come_back(
        gap in 1i64..15,
        (_, events) in any::<bool>().prop_flat_map(|c| (Just(c), events(c))),
        cuts in cuts(),
        scales in scales(),
    ) {
        let make = move || {
            SessionTableFunction::new(SessionTableSpec {
                keys: vec![0],
                windows: windows(WindowKind::Session { gap }),
                time: WindowTime::Event(2),
                schema: table_schema(),
                metrics: Arc::default(),
            })
            .unwrap()
        };
        let rig = check(make, &input(), &[0], &events, (&cuts, &scales));
        prop_assert_eq!(rig.ledger.rows("rows"), 0);
    }
}

/// Rows of a session come in order of arrival, also those of sessions that were joined, and crash or not.
#[test]
fn rows_of_a_session_are_in_order_of_arrival() {
    let make = || {
        SessionTableFunction::new(SessionTableSpec {
            keys: vec![0],
            windows: windows(WindowKind::Session { gap: 10 }),
            time: WindowTime::Event(2),
            schema: table_schema(),
            metrics: Arc::default(),
        })
        .unwrap()
    };
    let mut rig = Rig::durable(make, &input());
    rig.send("1 1 0, 1 2 25, 1 3 26");
    rig.checkpoint();
    rig.send("1 4 1, 1 5 15");
    rig.send("-D 1 4 1, 1 6 8");
    rig.checkpoint();
    rig.crash();
    let rows = rig.watermark(i64::MAX);
    let order: Vec<&str> = rows.iter().map(|row| row.split(' ').nth(2).unwrap()).collect();
    assert_eq!(order, ["1", "2", "3", "4", "5", "4", "6"]);
    assert!(rows[5].starts_with("-D"), "{rows:?}");
}

/// What a window aggregate writes: ids, and ranges that are gone.
fn written(rig: &mut Rig<WindowAggregate>) -> (Vec<u64>, Vec<std::ops::Range<u64>>) {
    let mut snapshot = Snapshot::new(false);
    rig.operator.snapshot(&mut snapshot).unwrap();
    let delta = snapshot.into_parts().0.remove(0);
    (delta.ids, delta.removed)
}

#[test]
fn only_groups_that_changed_are_written() {
    let make = || WindowAggregate::new(aggregate_spec(WindowKind::Tumble { size: 10 }, false)).unwrap();
    let mut rig = Rig::durable(make, &input());
    rig.send("1 1 0, 2 1 1, 3 1 2, 1 1 10, 2 1 11");
    rig.checkpoint();
    rig.send("3 1 3, 1 1 25");
    let pane = |number: u64, group: u64| number << 32 | group;
    assert_eq!(written(&mut rig), (vec![pane(0, 2), pane(2, 0)], vec![]));
    assert_eq!(written(&mut rig), (vec![], vec![]));
    rig.watermark(19);
    // The number of a pane that is gone is used again.
    rig.send("7 1 30");
    assert_eq!(written(&mut rig), (vec![pane(1, 0)], vec![pane(0, 0)..pane(1, 0), pane(1, 0)..pane(2, 0)]));
    // A pane that comes and goes between two checkpoints leaves no trace.
    rig.send("7 1 40");
    rig.watermark(49);
    assert_eq!(written(&mut rig).1, [pane(2, 0)..pane(3, 0), pane(1, 0)..pane(2, 0)]);
}

#[test]
fn a_chunk_with_many_rows_a_group_marks_them_all() {
    let make = || WindowAggregate::new(aggregate_spec(WindowKind::Tumble { size: 10 }, false)).unwrap();
    let mut rig = Rig::durable(make, &input());
    rig.send("1 1 0, 2 1 0, 3 1 0");
    rig.checkpoint();
    rig.send(&vec!["1 1 1"; 24].join(", "));
    assert_eq!(written(&mut rig).0, [0, 1, 2]);
    rig.send(&vec!["1 1 1"; 23].join(", "));
    assert_eq!(written(&mut rig).0, [0]);
}

#[test]
fn state_of_windows_is_readable() {
    let mut operator =
        WindowAggregate::new(aggregate_spec(WindowKind::Cumulate { step: 5, size: 15 }, false)).unwrap();
    send(&mut operator, &[insert(1, 7, 2), insert(1, 8, 6)]);
    pass(&mut operator, 4);
    let mut snapshot = Snapshot::new(true);
    operator.snapshot(&mut snapshot).unwrap();
    let (tables, values) = snapshot.into_parts();
    assert_eq!(values["done"], 5);
    let shown = tables.iter().map(|t| {
        let column = |(f, c): (&Arc<Field>, &ArrayRef)| {
            format!("{} {}", f.name(), arrow::util::display::array_value_to_string(c, 0).unwrap())
        };
        let columns: Vec<String> =
            t.rows.schema_ref().fields().iter().zip(t.rows.columns()).map(column).collect();
        format!("{}: {}", t.table, columns.join(", ").replace("1970-01-01T00:00:", ""))
    });
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            "slices: slice_start 00.005, slice_end 00.010, k 1, COUNT 1, SUM total 8, SUM count 1, MAX 8",
            "periods: period_start 00, period_end 00.015, k 1, COUNT 1, SUM total 7, SUM count 1, MAX 7",
        ]
    );
}

#[test]
fn windows_of_processing_time_come_back_and_close() {
    let make = || {
        let windows = windows(WindowKind::Tumble { size: 10 });
        let time = WindowInput::Assigned { windows, time: WindowTime::Processing };
        let spec = aggregate_spec(WindowKind::Tumble { size: 10 }, false);
        WindowAggregate::new(WindowAggregateSpec { input: time, ..spec }).unwrap()
    };
    let mut rig = Rig::durable(make, &input());
    rig.send("1 5 0, 2 6 0");
    rig.checkpoint();
    rig.crash();
    assert!(rig.operator.deadline().is_some());
    assert_eq!(rig.sent("1 7 0"), "");
    rig.clock.advance(10);
    let rows = rig.call(|operator, out: &mut Output| operator.timer(Instant::now(), out));
    assert_eq!(rows, ["+I 1 2 12 7 1000000 1000010 1000009", "+I 2 1 6 6 1000000 1000010 1000009"]);
    assert_eq!(rig.operator.deadline(), None);
    rig.send("1 1 0");
    assert_eq!(rig.end().len(), 1);
    // What was given out at the end is not given out at a second one.
    rig.checkpoint();
    rig.crash();
    assert!(rig.end().is_empty());
}

#[test]
fn sessions_of_processing_time_come_back_and_close() {
    let make = || {
        let spec = SessionAggregateSpec { time: WindowTime::Processing, ..session_spec(10, false) };
        SessionAggregate::new(spec).unwrap()
    };
    let mut rig = Rig::durable(make, &input());
    rig.send("1 5 0");
    rig.clock.advance(5);
    rig.send("1 6 0");
    rig.checkpoint();
    rig.crash();
    assert!(rig.operator.deadline().is_some());
    rig.clock.advance(9);
    let rows = rig.call(|operator, out: &mut Output| operator.timer(Instant::now(), out));
    assert!(rows.is_empty());
    rig.clock.advance(1);
    let rows = rig.call(|operator, out: &mut Output| operator.timer(Instant::now(), out));
    assert_eq!(rows, ["+I 1 2 11 6 1000000 1000015 1000014"]);
    let table = || {
        SessionTableFunction::new(SessionTableSpec {
            keys: vec![0],
            windows: windows(WindowKind::Session { gap: 10 }),
            time: WindowTime::Processing,
            schema: table_schema(),
            metrics: Arc::default(),
        })
        .unwrap()
    };
    let mut rig = Rig::durable(table, &input());
    rig.send("1 5 0");
    rig.clock.advance(5);
    rig.send("1 6 0");
    rig.checkpoint();
    rig.crash();
    assert!(rig.operator.deadline().is_some());
    let rows = rig.end();
    let window = "1000000 1000015 1000014";
    assert_eq!(rows, [format!("+I 1 5 0 {window}"), format!("+I 1 6 0 {window}")]);
    rig.checkpoint();
    rig.crash();
    assert!(rig.end().is_empty());
}
