//! The operators against what windows are by definition.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use datafusion_physical_expr::expressions::Column;
use proptest::prelude::*;

mod recovery;

use super::*;
use crate::clock::ManualClock;
use crate::flow::mailbox::Mailbox;
use crate::flow::message::WatermarkClock;
use crate::flow::{Chunk, Kind, Kinds, Message, Operator, OperatorContext, Output, Watermark};
use crate::operator::aggregate::AggregateCall;

fn stamp() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>()))
}

/// Key, value, time, kind.
type Row = (i64, i64, Option<i64>, Kind);

fn input() -> SchemaRef {
    schema(&[("k", DataType::Int64), ("v", DataType::Int64), ("ts", stamp())])
}

fn batch_of(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| Some(r.0)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| Some(r.1)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.2).collect::<TimestampMillisecondArray>()),
    ];
    RecordBatch::try_new(input(), columns).unwrap()
}

fn chunk_of(rows: &[Row]) -> Chunk {
    let kinds = match rows.iter().all(|r| r.3 == Kind::Insert) {
        true => Kinds::Append,
        false => Kinds::Changes(rows.iter().map(|r| r.3).collect()),
    };
    Chunk { batch: batch_of(rows), kinds, ingest: Instant::now() }
}

fn insert(k: i64, v: i64, ts: i64) -> Row {
    (k, v, Some(ts), Kind::Insert)
}

fn call(name: &str, column: Option<usize>) -> AggregateCall {
    let args = column.map(|c| Arc::new(Column::new("v", c)) as _).into_iter().collect();
    AggregateCall {
        function: crate::function::aggregate::aggregate(name).unwrap(),
        args,
        arg_types: column.map(|_| DataType::Int64).into_iter().collect(),
        filter: None,
        distinct: false,
        order_by: Vec::new(),
        ignore_nulls: None,
        data_type: DataType::Int64,
        display: name.into(),
    }
}

fn calls() -> Vec<AggregateCall> {
    vec![call("COUNT", None), call("SUM", Some(1)), call("MAX", Some(1))]
}

fn result_schema(keys: usize) -> SchemaRef {
    let mut columns = vec![("k", DataType::Int64); keys];
    columns.extend([("c", DataType::Int64), ("s", DataType::Int64), ("m", DataType::Int64)]);
    columns.extend([("window_start", stamp()), ("window_end", stamp()), ("window_time", stamp())]);
    schema(&columns)
}

const WINDOW: [WindowColumn; 3] = [WindowColumn::Start, WindowColumn::End, WindowColumn::Time];

fn windows(kind: WindowKind) -> WindowSpec {
    WindowSpec { kind, offset: 0, zone: None }
}

fn aggregate_spec(kind: WindowKind, changes: bool) -> WindowAggregateSpec {
    WindowAggregateSpec {
        keys: vec![0],
        calls: calls(),
        input: WindowInput::Assigned { windows: windows(kind), time: WindowTime::Event(2) },
        window: WINDOW.to_vec(),
        schema: result_schema(1),
        order: Vec::new(),
        input_changes: changes,
        metrics: Arc::default(),
    }
}

fn session_spec(gap: i64, changes: bool) -> SessionAggregateSpec {
    SessionAggregateSpec {
        keys: vec![0],
        calls: calls(),
        windows: windows(WindowKind::Session { gap }),
        time: WindowTime::Event(2),
        window: WINDOW.to_vec(),
        schema: result_schema(1),
        order: Vec::new(),
        input_changes: changes,
        metrics: Arc::default(),
    }
}

fn watermark(millis: i64) -> Watermark {
    match millis {
        i64::MAX => Watermark::END,
        millis => WatermarkClock::default().advance(millis).unwrap(),
    }
}

fn open(operator: &mut dyn Operator, clock: &Arc<ManualClock>) {
    let context = OperatorContext {
        task: 0,
        parallelism: 1,
        waker: Mailbox::new().waker(0),
        clock: clock.clone(),
        checkpointed: false,
        memory: crate::state::Memory::unlimited(),
    };
    operator.open(context).unwrap();
}

/// All columns of the rows as numbers, in order; the watermark that comes behind them.
fn drain(out: &mut Output) -> (Vec<Vec<i64>>, Option<i64>) {
    let (mut rows, mut passed) = (Vec::new(), None);
    for message in out.drain() {
        match message {
            Message::Data(chunk) => {
                assert_eq!(passed, None, "rows come before the watermark");
                for r in 0..chunk.len() {
                    let number = |c: &ArrayRef| match c.data_type() {
                        DataType::Int64 => c.as_primitive::<Int64Type>().value(r),
                        _ => c.as_primitive::<TimestampMillisecondType>().value(r),
                    };
                    rows.push(chunk.batch.columns().iter().map(number).collect());
                }
            }
            Message::Watermark(w) => passed = Some(w.millis()),
            _ => {}
        }
    }
    (rows, passed)
}

fn send(operator: &mut dyn Operator, rows: &[Row]) -> Vec<Vec<i64>> {
    let mut out = Output::default();
    operator.chunk(chunk_of(rows), &mut out).unwrap();
    drain(&mut out).0
}

fn pass(operator: &mut dyn Operator, millis: i64) -> Vec<Vec<i64>> {
    let mut out = Output::default();
    operator.watermark(watermark(millis), &mut out).unwrap();
    let (rows, passed) = drain(&mut out);
    assert_eq!(passed, Some(millis));
    rows
}

#[test]
fn a_window_is_given_out_when_its_last_millisecond_is_reached() {
    let mut tumble = WindowAggregate::new(aggregate_spec(WindowKind::Tumble { size: 10 }, false)).unwrap();
    send(&mut tumble, &[insert(1, 5, 3), insert(2, 7, 9), insert(1, 6, 0), insert(1, 1, 12)]);
    assert!(pass(&mut tumble, 8).is_empty());
    assert_eq!(pass(&mut tumble, 9), [[1, 2, 11, 6, 0, 10, 9], [2, 1, 7, 7, 0, 10, 9]]);
    // Late, and counted.
    send(&mut tumble, &[insert(1, 5, 9), insert(1, 2, 10)]);
    assert_eq!(tumble_late(&tumble), 1);
    assert_eq!(pass(&mut tumble, i64::MAX), [[1, 2, 3, 2, 10, 20, 19]]);
    assert_eq!(tumble.memory(), 0);
}

fn tumble_late(aggregate: &WindowAggregate) -> u64 {
    aggregate.metrics().late()
}

#[test]
fn a_row_that_is_late_for_some_windows_counts_for_the_others() {
    let mut hop =
        WindowAggregate::new(aggregate_spec(WindowKind::Hop { slide: 5, size: 15 }, false)).unwrap();
    send(&mut hop, &[insert(1, 1, 12)]);
    assert_eq!(pass(&mut hop, 15), [[1, 1, 1, 1, 0, 15, 14]]);
    send(&mut hop, &[insert(1, 10, 13), insert(1, 100, 4), insert(1, 1000, -10)]);
    assert_eq!(hop.metrics().late(), 2);
    assert_eq!(pass(&mut hop, i64::MAX), [[1, 2, 11, 10, 5, 20, 19], [1, 2, 11, 10, 10, 25, 24]]);

    let mut cumulate =
        WindowAggregate::new(aggregate_spec(WindowKind::Cumulate { step: 5, size: 15 }, false)).unwrap();
    send(&mut cumulate, &[insert(1, 1, 2)]);
    assert_eq!(pass(&mut cumulate, 4), [[1, 1, 1, 1, 0, 5, 4]]);
    send(&mut cumulate, &[insert(1, 10, 3), insert(2, 5, 11)]);
    assert_eq!(
        pass(&mut cumulate, i64::MAX),
        [[1, 2, 11, 10, 0, 10, 9], [1, 2, 11, 10, 0, 15, 14], [2, 1, 5, 5, 0, 15, 14]]
    );
    assert_eq!(cumulate.memory(), 0);
}

#[test]
fn rows_that_are_all_taken_back_leave_no_result() {
    let mut tumble = WindowAggregate::new(aggregate_spec(WindowKind::Tumble { size: 10 }, true)).unwrap();
    send(
        &mut tumble,
        &[
            insert(1, 5, 1),
            insert(2, 9, 1),
            insert(2, 3, 2),
            (1, 5, Some(1), Kind::Delete),
            (2, 9, Some(1), Kind::UpdateBefore),
            (2, 4, Some(1), Kind::UpdateAfter),
            // Was never added.
            (3, 1, Some(1), Kind::Delete),
        ],
    );
    assert_eq!(pass(&mut tumble, i64::MAX), [[2, 2, 7, 4, 0, 10, 9]]);
}

#[test]
fn without_keys_and_rows_there_is_no_result() {
    let spec = WindowAggregateSpec {
        keys: Vec::new(),
        schema: result_schema(0),
        ..aggregate_spec(WindowKind::Tumble { size: 10 }, false)
    };
    let mut tumble = WindowAggregate::new(spec).unwrap();
    assert!(pass(&mut tumble, 100).is_empty());
    send(&mut tumble, &[insert(1, 5, 103), insert(2, 6, 104)]);
    assert_eq!(pass(&mut tumble, i64::MAX), [[2, 11, 6, 100, 110, 109]]);
}

#[test]
fn columns_come_in_the_order_that_is_asked_for() {
    let schema = schema(&[
        ("window_end", stamp()),
        ("k", DataType::Int64),
        ("s", DataType::Int64),
        ("window_start", stamp()),
    ]);
    let spec = WindowAggregateSpec {
        calls: vec![call("SUM", Some(1))],
        window: vec![WindowColumn::Start, WindowColumn::End],
        schema,
        order: vec![3, 0, 1, 2],
        ..aggregate_spec(WindowKind::Tumble { size: 10 }, false)
    };
    let mut tumble = WindowAggregate::new(spec).unwrap();
    send(&mut tumble, &[insert(7, 5, 13)]);
    assert_eq!(pass(&mut tumble, i64::MAX), [[20, 7, 5, 10]]);
}

#[test]
fn rows_without_a_time_are_in_no_window() {
    let mut tumble = WindowAggregate::new(aggregate_spec(WindowKind::Tumble { size: 10 }, false)).unwrap();
    send(&mut tumble, &[(1, 5, None, Kind::Insert), insert(1, 7, -1)]);
    assert_eq!(tumble.metrics().without_time(), 1);
    assert_eq!(pass(&mut tumble, i64::MAX), [[1, 1, 7, 7, -10, 0, -1]]);
}

#[test]
fn times_at_the_end_of_time_are_an_error() {
    let mut tumble = WindowAggregate::new(aggregate_spec(WindowKind::Tumble { size: 10 }, false)).unwrap();
    let mut out = Output::default();
    let error = tumble.chunk(chunk_of(&[insert(1, 1, i64::MAX - 5)]), &mut out).unwrap_err();
    assert!(error.to_string().contains("out of the range"), "{error}");
    send(&mut tumble, &[insert(1, 1, 253_402_300_799_999)]);
    assert_eq!(pass(&mut tumble, i64::MAX).len(), 1);
}

#[test]
fn sessions_join_and_end() {
    let mut sessions = SessionAggregate::new(session_spec(10, false)).unwrap();
    send(&mut sessions, &[insert(1, 1, 0), insert(1, 2, 25), insert(2, 9, 3)]);
    // Touches both sessions of key 1.
    send(&mut sessions, &[insert(1, 4, 15), insert(1, 8, 5)]);
    assert_eq!(pass(&mut sessions, 12), [[2, 1, 9, 9, 3, 13, 12]]);
    // Joins a session that is open, although its own window is over; the other one is late.
    send(&mut sessions, &[insert(1, 16, 1), insert(2, 1, 0)]);
    assert_eq!(sessions.metrics().late(), 1);
    assert_eq!(pass(&mut sessions, i64::MAX), [[1, 5, 31, 16, 0, 35, 34]]);
}

#[test]
fn processing_time_closes_windows_by_the_clock() {
    let clock = ManualClock::new(1_003);
    let spec = WindowAggregateSpec {
        input: WindowInput::Assigned {
            windows: windows(WindowKind::Tumble { size: 10 }),
            time: WindowTime::Processing,
        },
        ..aggregate_spec(WindowKind::Tumble { size: 10 }, false)
    };
    let mut tumble = WindowAggregate::new(spec).unwrap();
    open(&mut tumble, &clock);
    assert_eq!(tumble.deadline(), None);
    assert!(send(&mut tumble, &[insert(1, 5, 0)]).is_empty());
    assert!(tumble.deadline().is_some());
    clock.advance(6);
    let mut out = Output::default();
    tumble.timer(Instant::now(), &mut out).unwrap();
    assert!(drain(&mut out).0.is_empty());
    assert!(tumble.deadline().is_some());
    clock.advance(1);
    tumble.timer(Instant::now(), &mut out).unwrap();
    assert_eq!(drain(&mut out).0, [[1, 1, 5, 5, 1_000, 1_010, 1_009]]);
    assert_eq!(tumble.deadline(), None);
    send(&mut tumble, &[insert(1, 6, 0)]);
    tumble.end(&mut out).unwrap();
    assert_eq!(drain(&mut out).0, [[1, 1, 6, 6, 1_010, 1_020, 1_019]]);
}

fn table_schema() -> SchemaRef {
    let mut columns = vec![("k", DataType::Int64), ("v", DataType::Int64), ("ts", stamp())];
    columns.extend([("window_start", stamp()), ("window_end", stamp()), ("window_time", stamp())]);
    schema(&columns)
}

fn table(kind: WindowKind) -> WindowTableFunction {
    WindowTableFunction::new(WindowTableSpec {
        windows: windows(kind),
        time: WindowTime::Event(2),
        schema: table_schema(),
        metrics: Arc::default(),
    })
    .unwrap()
}

#[test]
fn rows_come_with_their_windows() {
    let mut tumble = table(WindowKind::Tumble { size: 10 });
    assert_eq!(
        send(&mut tumble, &[insert(1, 1, 5), (2, 2, None, Kind::Insert), insert(3, 3, -5)]),
        [[1, 1, 5, 0, 10, 9], [3, 3, -5, -10, 0, -1]]
    );
    let mut hop = table(WindowKind::Hop { slide: 5, size: 10 });
    let mut out = Output::default();
    hop.chunk(chunk_of(&[(1, 1, Some(7), Kind::Delete)]), &mut out).unwrap();
    let Some(Message::Data(chunk)) = out.drain().next() else { panic!("no rows") };
    assert_eq!(chunk.kinds, Kinds::Changes(vec![Kind::Delete; 2].into()));
    assert_eq!(send(&mut hop, &[insert(1, 1, 7)]), [[1, 1, 7, 0, 10, 9], [1, 1, 7, 5, 15, 14]]);
}

#[test]
fn rows_of_a_session_come_when_it_is_over() {
    let mut sessions = SessionTableFunction::new(SessionTableSpec {
        keys: vec![0],
        windows: windows(WindowKind::Session { gap: 10 }),
        time: WindowTime::Event(2),
        schema: table_schema(),
        metrics: Arc::default(),
    })
    .unwrap();
    assert!(send(&mut sessions, &[insert(1, 1, 0), insert(2, 2, 1), insert(1, 3, 9)]).is_empty());
    assert_eq!(pass(&mut sessions, 10), [[2, 2, 1, 1, 11, 10]]);
    assert!(send(&mut sessions, &[insert(2, 4, 0)]).is_empty());
    assert_eq!(pass(&mut sessions, i64::MAX), [[1, 1, 0, 0, 19, 18], [1, 3, 9, 0, 19, 18]]);
    assert_eq!(sessions.metrics().late(), 1);
}

fn kinds() -> impl Strategy<Value = WindowKind> {
    prop_oneof![
        (1i64..40).prop_map(|size| WindowKind::Tumble { size }),
        (1i64..20, 1i64..60).prop_map(|(slide, size)| WindowKind::Hop { slide, size }),
        (1i64..20, 1i64..5).prop_map(|(step, n)| WindowKind::Cumulate { step, size: step * n }),
    ]
}

/// Windows of a moment by definition.
fn by_definition(kind: WindowKind, t: i64) -> Vec<(i64, i64)> {
    let mut found = Vec::new();
    for n in -300i64..300 {
        match kind {
            WindowKind::Tumble { size } => found.push((n * size, (n + 1) * size)),
            WindowKind::Hop { slide, size } => found.push((n * slide, n * slide + size)),
            WindowKind::Cumulate { step, size } => {
                found.extend((1..=size / step).map(|k| (n * size, n * size + k * step)));
            }
            WindowKind::Session { .. } => {}
        }
    }
    found.retain(|&(start, end)| start <= t && t < end);
    found
}

/// Steps of a stream: rows, and how far the watermark moves behind them.
/// Rows and the watermark behind them.
type Step = (Vec<(i64, i64, i64)>, i64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((prop::collection::vec((0i64..4, -9i64..9, -40i64..30), 0..12), 0i64..25), 1..14)
}

type Groups = BTreeMap<(i64, i64, i64), Vec<i64>>;

fn expected(groups: &Groups) -> Vec<Vec<i64>> {
    let mut rows: Vec<Vec<i64>> = groups
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(&(end, start, k), values)| {
            let sum = values.iter().sum();
            vec![k, values.len() as i64, sum, *values.iter().max().unwrap(), start, end, end - 1]
        })
        .collect();
    rows.sort();
    rows
}

proptest! {
    /// Every window has the rows that came before it closed, in order of window ends; a table function
    /// with an aggregation of its columns gives the same as the two in one.
    #[test]
    fn windows_hold_what_they_should(kind in kinds(), steps in steps(), changes in any::<bool>()) {
        let mut fused = WindowAggregate::new(aggregate_spec(kind, changes)).unwrap();
        let mut function = table(kind);
        let attached = WindowInput::Attached { windows: windows(kind), start: 3, end: 4, processing: false };
        let mut columns = WindowAggregate::new(WindowAggregateSpec {
            input: attached,
            ..aggregate_spec(kind, changes)
        }).unwrap();
        let mut groups = Groups::new();
        let (mut at, mut late) = (-100i64, 0);
        let (mut found, mut by_columns) = (pass(&mut fused, at), pass(&mut columns, at));
        for (rows, forward) in steps {
            let mut sent = Vec::new();
            for (i, &(k, v, d)) in rows.iter().enumerate() {
                sent.push(insert(k, v, at + d));
                let taken_back = changes && i % 3 == 0;
                if taken_back {
                    sent.push((k, v, Some(at + d), Kind::Delete));
                }
                let windows = by_definition(kind, at + d);
                let open: Vec<_> = windows.iter().filter(|w| w.1 - 1 > at).collect();
                if !windows.is_empty() && open.is_empty() {
                    late += 1 + u64::from(taken_back);
                }
                for &&(start, end) in &open {
                    let group = groups.entry((end, start, k)).or_default();
                    if !taken_back {
                        group.push(v);
                    }
                }
            }
            found.extend(send(&mut fused, &sent));
            let mut out = Output::default();
            function.chunk(chunk_of(&sent), &mut out).unwrap();
            for message in out.drain() {
                let Message::Data(chunk) = message else { continue };
                columns.chunk(chunk, &mut Output::default()).unwrap();
            }
            at += forward + 1;
            found.extend(pass(&mut fused, at));
            by_columns.extend(pass(&mut columns, at));
        }
        found.extend(pass(&mut fused, i64::MAX));
        by_columns.extend(pass(&mut columns, i64::MAX));
        prop_assert!(found.is_sorted_by_key(|row| row[5]));
        prop_assert_eq!(fused.memory(), 0);
        prop_assert_eq!(fused.metrics().late(), late);
        found.sort();
        by_columns.sort();
        prop_assert_eq!(&found, &by_columns);
        prop_assert_eq!(found, expected(&groups));
    }

    /// Without watermarks in between, sessions are those of the sorted rows; rows of the table function
    /// aggregated by its columns give the same.
    #[test]
    fn sessions_hold_what_they_should(gap in 1i64..25, steps in steps(), changes in any::<bool>()) {
        let mut fused = SessionAggregate::new(session_spec(gap, changes)).unwrap();
        let mut function = SessionTableFunction::new(SessionTableSpec {
            keys: vec![0],
            windows: windows(WindowKind::Session { gap }),
            time: WindowTime::Event(2),
            schema: table_schema(),
            metrics: Arc::default(),
        }).unwrap();
        let kind = WindowKind::Session { gap };
        let attached = WindowInput::Attached { windows: windows(kind), start: 3, end: 4, processing: false };
        let mut columns = WindowAggregate::new(WindowAggregateSpec {
            input: attached,
            ..aggregate_spec(kind, changes)
        }).unwrap();
        let mut all: Vec<(i64, i64, i64, bool)> = Vec::new();
        let mut at = 0;
        let (mut found, mut by_columns) = (Vec::new(), Vec::new());
        for (rows, forward) in steps {
            let mut sent = Vec::new();
            for (i, &(k, v, d)) in rows.iter().enumerate() {
                // Neither late nor next to a session that was given out.
                let t = at + d.abs() + 1;
                let taken_back = changes && i % 4 == 1;
                sent.push(insert(k, v, t));
                if taken_back {
                    sent.push((k, v, Some(t), Kind::Delete));
                }
                all.push((k, t, v, taken_back));
            }
            send(&mut fused, &sent);
            send(&mut function, &sent);
            at += forward;
            let mut out = Output::default();
            function.watermark(watermark(at - 1), &mut out).unwrap();
            for message in out.drain() {
                let Message::Data(chunk) = message else { continue };
                columns.chunk(chunk, &mut Output::default()).unwrap();
            }
            found.extend(pass(&mut fused, at - 1));
            by_columns.extend(pass(&mut columns, at - 1));
        }
        found.extend(pass(&mut fused, i64::MAX));
        let mut out = Output::default();
        function.watermark(Watermark::END, &mut out).unwrap();
        for message in out.drain() {
            let Message::Data(chunk) = message else { continue };
            columns.chunk(chunk, &mut Output::default()).unwrap();
        }
        by_columns.extend(pass(&mut columns, i64::MAX));
        all.sort_unstable();
        let mut sessions: Vec<(i64, i64, i64, Vec<i64>)> = Vec::new();
        for (k, t, v, taken_back) in all {
            let values = if taken_back { vec![] } else { vec![v] };
            match sessions.last_mut() {
                Some(s) if s.0 == k && t <= s.2 => {
                    s.2 = s.2.max(t + gap);
                    s.3.extend(values);
                }
                _ => sessions.push((k, t, t + gap, values)),
            }
        }
        let groups: Groups = sessions.into_iter().map(|(k, s, e, values)| ((e, s, k), values)).collect();
        found.sort();
        by_columns.sort();
        prop_assert_eq!(&found, &by_columns);
        prop_assert_eq!(found, expected(&groups));
    }
}
