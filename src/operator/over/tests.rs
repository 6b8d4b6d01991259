#![allow(clippy::unwrap_used, clippy::panic)]

use arrow::datatypes::DataType;
use datafusion_physical_expr::expressions::{Column, lit};
use proptest::prelude::*;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::function::aggregate::aggregate;
use crate::operator::cuts;
use crate::operator::picture::{Rig, apply, schema};

fn call(name: &str) -> OverCall {
    OverCall::Aggregate(AggregateCall {
        function: aggregate(name).unwrap(),
        args: vec![Arc::new(Column::new("v", 2))],
        arg_types: vec![DataType::Int64],
        filter: None,
        distinct: false,
        order_by: vec![],
        ignore_nulls: None,
        data_type: DataType::Int64,
        display: format!("{name}(v)"),
    })
}

fn lag(offset: usize, default: Option<i64>) -> OverCall {
    OverCall::Lag {
        value: Arc::new(Column::new("v", 2)),
        offset,
        default: default.map(lit),
        ignore_nulls: false,
    }
}

fn spec(order: OverOrder, frame: Frame, calls: Vec<OverCall>) -> OverSpec {
    let columns: String = (0..calls.len()).map(|i| format!(" c{i} n")).collect();
    OverSpec {
        partition: vec![0],
        order,
        frame,
        calls,
        input_changes: false,
        emit_before: true,
        at_end: false,
        state_ttl: None,
        input: schema("k s ts t v n"),
        schema: schema(&format!("k s ts t v n{columns}")),
    }
}

fn rig(order: OverOrder, frame: Frame, calls: Vec<OverCall>) -> Rig<OverAggregate> {
    let spec = spec(order, frame, calls);
    let input = spec.input.clone();
    Rig::new(OverAggregate::new(spec).unwrap(), &input)
}

const TIME: OverOrder = OverOrder::EventTime(1);

#[test]
fn the_previous_value_of_a_partition() {
    let mut over = rig(TIME, Frame::UnboundedRange, vec![lag(1, None), lag(2, Some(-1))]);
    assert_eq!(over.sent("a 3 30, a 1 10, b 2 20"), "");
    assert_eq!(over.marked(2), "+I a 1 10 NULL -1, +I b 2 20 NULL -1");
    assert_eq!(over.sent("a 2 99, a 4 40, a 5 50"), "");
    assert_eq!(over.operator.late_rows(), 1);
    assert_eq!(over.marked(4), "+I a 3 30 10 -1, +I a 4 40 30 10");
    assert_eq!(over.marked(i64::MAX), "+I a 5 50 40 30");
    assert!(over.operator.rows.is_empty());
}

#[test]
fn peers_see_each_other() {
    let mut over = rig(
        TIME,
        Frame::UnboundedRange,
        vec![call("sum"), lag(1, None), OverCall::RowNumber, OverCall::Rank, OverCall::DenseRank],
    );
    over.sent("a 1 1, a 2 2, a 2 3, a 3 4");
    assert_eq!(
        over.marked(9),
        "+I a 1 1 1 NULL 1 1 1, +I a 2 2 6 2 2 2 2, +I a 2 3 6 2 3 2 2, +I a 3 4 10 3 4 4 3"
    );
    let mut over = rig(TIME, Frame::UnboundedRows, vec![call("sum")]);
    over.sent("a 1 1, a 2 2, a 2 3");
    assert_eq!(over.marked(9), "+I a 1 1 1, +I a 2 2 3, +I a 2 3 6");
}

#[test]
fn frames_slide() {
    let mut over = rig(TIME, Frame::Rows(1), vec![call("sum"), call("count")]);
    over.sent("a 1 1, a 2 2, b 2 9, a 3 NULL");
    assert_eq!(over.marked(3), "+I a 1 1 1 1, +I a 2 2 3 2, +I b 2 9 9 1, +I a 3 NULL 2 1");
    over.sent("a 4 4, a 5 5");
    assert_eq!(over.marked(5), "+I a 4 4 4 1, +I a 5 5 9 2");

    let mut over = rig(TIME, Frame::Range(10), vec![call("sum"), call("max")]);
    over.sent("a 0 5, a 10 1, a 11 2, a 11 1");
    assert_eq!(over.marked(11), "+I a 0 5 5 5, +I a 10 1 6 5, +I a 11 2 4 2, +I a 11 1 4 2");
    // Half an interval after the last row nothing is left.
    assert_eq!(over.marked(27), "");
    assert!(over.operator.keys.is_empty() && over.operator.timers.as_ref().unwrap().is_empty());
    over.sent("a 30 7");
    assert_eq!(over.marked(40), "+I a 30 7 7 7");
}

#[test]
fn extreme_times() {
    let mut over = rig(TIME, Frame::Range(i64::MAX), vec![call("count")]);
    over.sent(&format!("a {} 1, a {} 2, a -5 3", i64::MIN, i64::MAX));
    let out = over.marked(i64::MAX);
    assert_eq!(out, format!("+I a {} 1 1, +I a -5 3 2, +I a {} 2 3", i64::MIN, i64::MAX));
}

#[test]
fn a_row_behind_the_watermark_may_still_be_taken_by_a_bounded_frame() {
    let mut over = rig(TIME, Frame::Rows(5), vec![call("sum")]);
    over.sent("a 1 1");
    assert_eq!(over.marked(10), "+I a 1 1 1");
    over.sent("a 1 9, a 5 2, b 3 3");
    assert_eq!(over.operator.late_rows(), 1);
    assert_eq!(over.marked(11), "+I b 3 3 3, +I a 5 2 3");
}

#[test]
fn a_timer_that_another_one_replaced_makes_rows_late() {
    // Planned at 1 + 15 + 1, and behind that at 12 + 15 + 1.
    let mut over = rig(TIME, Frame::Range(10), vec![call("sum")]);
    over.sent("a 1 1, a 12 2");
    assert_eq!(over.marked(20), "+I a 1 1 1, +I a 12 2 2");
    over.sent("a 17 4, a 18 8");
    assert_eq!(over.operator.late_rows(), 1);
    assert_eq!(over.marked(28), "+I a 18 8 10");
    // The one of 12 has gone off as well, and 18 has planned one at 18 + 15 + 1.
    over.sent("a 28 1, a 29 16");
    assert_eq!(over.operator.late_rows(), 2);
    assert_eq!(over.marked(i64::MAX), "+I a 29 16 16");
}

#[test]
fn an_expired_partition_says_nothing_about_late_rows() {
    let ttl = Some(Duration::from_millis(80));
    let spec = OverSpec { state_ttl: ttl, ..spec(TIME, Frame::Rows(1), vec![call("sum")]) };
    let mut over = Rig::new(OverAggregate::new(spec).unwrap(), &schema("k s ts t v n"));
    over.sent("a 4 1");
    assert_eq!(over.marked(4), "+I a 4 1 1");
    over.clock.advance(79);
    over.sent("a 3 2");
    assert_eq!(over.operator.late_rows(), 1);
    // No other row has had it looked through.
    over.clock.advance(1);
    over.sent("a 3 4");
    assert_eq!(over.marked(5), "+I a 3 4 4");
}

#[test]
fn arrival_orders_without_waiting() {
    let mut over = rig(OverOrder::ProcessingTime, Frame::UnboundedRows, vec![call("sum"), lag(1, Some(0))]);
    assert_eq!(over.sent("a 9 1, b 1 2, a 3 3"), "+I a 9 1 1 0, +I b 1 2 2 0, +I a 3 3 4 1");
    assert_eq!(over.sent("a 9 1"), "+I a 9 1 5 3");
    let mut over = rig(OverOrder::ProcessingTime, Frame::Range(100), vec![call("sum")]);
    assert_eq!(over.sent("a 0 1"), "+I a 0 1 1");
    over.clock.advance(100);
    assert_eq!(over.sent("a 0 2"), "+I a 0 2 3");
    over.clock.advance(50);
    assert_eq!(over.sent("a 0 3"), "+I a 0 3 5");
    over.clock.advance(1000);
    assert_eq!(over.sent("b 0 3"), "+I b 0 3 3");
    assert_eq!(over.operator.keys.len(), 1);
}

#[test]
fn partitions_expire() {
    let ttl = Some(Duration::from_millis(100));
    let spec = OverSpec {
        state_ttl: ttl,
        ..spec(OverOrder::ProcessingTime, Frame::UnboundedRows, vec![call("sum"), lag(1, None)])
    };
    let mut over = Rig::new(OverAggregate::new(spec).unwrap(), &schema("k s ts t v n"));
    assert_eq!(over.sent("a 0 1"), "+I a 0 1 1 NULL");
    over.clock.advance(60);
    assert_eq!(over.sent("a 0 2"), "+I a 0 2 3 1");
    over.clock.advance(100);
    assert_eq!(over.sent("a 0 4"), "+I a 0 4 4 NULL");
    over.clock.advance(100);
    assert_eq!(over.sent("b 0 4"), "+I b 0 4 4 NULL");
    assert_eq!(over.operator.keys.len(), 1);
}

fn ordered(frame: Frame, calls: Vec<OverCall>) -> Rig<OrderedOver> {
    let order = OverOrder::Columns(vec![SortColumn { column: 1, descending: false, nulls_first: true }]);
    let spec = OverSpec { input_changes: true, ..spec(order, frame, calls) };
    let input = spec.input.clone();
    Rig::new(OrderedOver::new(spec).unwrap(), &input)
}

#[test]
fn a_row_in_between_changes_those_behind_it() {
    let mut over = ordered(Frame::UnboundedRows, vec![call("sum"), OverCall::RowNumber]);
    assert_eq!(over.sent("a 1 5, a 4 1"), "+I a 1 5 5 1, +I a 4 1 6 2");
    assert_eq!(over.sent("a 2 7"), "+I a 2 7 12 2, -U a 4 1 6 2, +U a 4 1 13 3");
    assert_eq!(
        over.sent("-D a 1 5"),
        "-D a 1 5 5 1, -U a 2 7 12 2, +U a 2 7 7 1, -U a 4 1 13 3, +U a 4 1 8 2"
    );
    assert_eq!(over.sent("-D a 2 7, -D a 4 1"), "-D a 2 7 7 1, -D a 4 1 8 2");
    assert_eq!((over.operator.keys.len(), over.operator.results.len()), (0, 0));
}

type Row = (u8, i64, Option<i64>);

fn text(row: &Row) -> String {
    format!("k{} {} {}", row.0, row.1, row.2.map_or("NULL".into(), |v| v.to_string()))
}

/// What OVER gives for rows in the order of their arrival: sum, count and the value before.
fn naive(rows: &[Row], frame: Frame) -> Vec<String> {
    let mut sorted = rows.to_vec();
    sorted.sort_by_key(|r| r.1);
    let peers = matches!(frame, Frame::UnboundedRange | Frame::Range(_));
    let mut out = Vec::new();
    for (i, row) in sorted.iter().enumerate() {
        let mut seen: Vec<&Row> = Vec::new();
        for (j, other) in sorted.iter().enumerate() {
            let before = if peers { other.1 <= row.1 } else { j <= i };
            if other.0 == row.0 && before {
                seen.push(other);
            }
        }
        let lag = seen
            .len()
            .checked_sub(2)
            .map_or("NULL".into(), |at| seen[at].2.map_or("NULL".into(), |v| v.to_string()));
        match frame {
            Frame::Rows(n) => drop(seen.drain(..seen.len().saturating_sub(n as usize + 1))),
            Frame::Range(ms) => seen.retain(|r| r.1 >= row.1 - ms),
            _ => {}
        }
        let values: Vec<i64> = seen.iter().filter_map(|r| r.2).collect();
        let sum = if values.is_empty() { "NULL".into() } else { values.iter().sum::<i64>().to_string() };
        out.push(format!("{} {sum} {} {lag}", text(row), values.len()));
    }
    out.sort();
    out
}

fn frames() -> impl Strategy<Value = Frame> {
    prop_oneof![
        Just(Frame::UnboundedRows),
        Just(Frame::UnboundedRange),
        (0u64..4).prop_map(Frame::Rows),
        (0i64..6).prop_map(Frame::Range),
    ]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((0u8..3, -10i64..20, prop::option::of(-5i64..5)), 0..10)
}

proptest! {
    #[test]
    fn event_time_equals_the_naive_evaluation(
        steps in prop::collection::vec((rows(), -12i64..25), 1..12),
        frame in frames(),
    ) {
        let unbounded = matches!(frame, Frame::UnboundedRows | Frame::UnboundedRange);
        let mut calls = vec![call("sum"), call("count")];
        if unbounded {
            calls.push(lag(1, None));
        }
        let mut over = rig(TIME, frame, calls);
        let (mut all, mut out, mut mark) = (Vec::new(), Vec::new(), i64::MIN);
        for (rows, watermark) in steps {
            let timely: Vec<Row> = rows.into_iter().filter(|r| r.1 > mark).collect();
            let sent: Vec<String> = timely.iter().map(text).collect();
            out.extend(over.send(&sent.join(", ")));
            out.extend(over.watermark(watermark));
            mark = mark.max(watermark);
            all.extend(timely);
        }
        out.extend(over.watermark(i64::MAX));
        let mut out: Vec<String> = out.iter().map(|r| r.strip_prefix("+I ").unwrap().to_string()).collect();
        out.sort();
        let mut expected = naive(&all, frame);
        if !unbounded {
            expected.iter_mut().for_each(|row| row.truncate(row.rfind(' ').unwrap()));
            expected.sort();
        }
        prop_assert_eq!(out, expected);
        prop_assert_eq!(over.operator.late_rows(), 0);
    }

    #[test]
    fn any_order_equals_the_naive_evaluation(
        steps in prop::collection::vec(prop::collection::vec((any::<bool>(), 0u8..3, 0i64..6, prop::option::of(-5i64..5), any::<prop::sample::Index>()), 1..6), 1..12),
        by_rows: bool,
    ) {
        let frame = if by_rows { Frame::UnboundedRows } else { Frame::UnboundedRange };
        let mut over = ordered(frame, vec![call("sum"), call("count"), lag(1, None)]);
        let (mut all, mut table): (Vec<Row>, Vec<String>) = (Vec::new(), Vec::new());
        for step in steps {
            let mut sent = Vec::new();
            for (delete, key, time, value, which) in step {
                if delete && !all.is_empty() {
                    let row = all[which.index(all.len())];
                    let first = all.iter().position(|r| *r == row).unwrap();
                    all.remove(first);
                    sent.push(format!("-D {}", text(&row)));
                } else {
                    all.push((key, time, value));
                    sent.push(text(&(key, time, value)));
                }
            }
            apply(&mut table, &over.send(&sent.join(", ")));
            table.sort();
            prop_assert_eq!(&table, &naive(&all, frame));
        }
    }
}

/// A partition of an interval frame as Flink keeps it, timer by timer.
#[derive(Default)]
struct Model {
    rows: BTreeMap<i64, Vec<Option<i64>>>,
    timers: BTreeSet<i64>,
    last: Option<i64>,
    forget: Option<i64>,
}

impl Model {
    /// Whether a row is taken.
    fn row(&mut self, time: i64, value: Option<i64>, range: i64) -> bool {
        if self.last.is_some_and(|last| time <= last) {
            return false;
        }
        self.rows.entry(time).or_default().push(value);
        self.timers.insert(time);
        if self.forget.is_none_or(|planned| planned < time + range + 1) {
            let moment = time + range + range / 2 + 1;
            self.timers.insert(moment);
            self.forget = Some(moment);
        }
        true
    }

    fn watermark(&mut self, key: u8, watermark: i64, range: i64, out: &mut Vec<String>) {
        while let Some(time) = self.timers.first().copied().filter(|&time| time <= watermark) {
            self.timers.pop_first();
            if self.forget.is_some_and(|moment| moment <= time) {
                (self.last, self.forget) = (None, None);
                self.rows.clear();
                continue;
            }
            self.rows.retain(|&other, _| time - other <= range);
            let seen = self.rows.range(..=time).flat_map(|(_, values)| values);
            let values: Vec<i64> = seen.filter_map(|value| *value).collect();
            let sum = if values.is_empty() { "NULL".into() } else { values.iter().sum::<i64>().to_string() };
            for value in self.rows.get(&time).into_iter().flatten() {
                out.push(format!("+I {} {sum} {}", text(&(key, time, *value)), values.len()));
            }
            self.last = Some(time);
        }
    }
}

proptest! {
    #[test]
    fn late_rows_of_an_interval_frame(
        steps in prop::collection::vec((rows(), prop::option::weighted(0.6, -12i64..60)), 1..20),
        range in 0i64..9,
        cut in 0usize..20,
    ) {
        let spec = spec(TIME, Frame::Range(range), vec![call("sum"), call("count")]);
        let input = spec.input.clone();
        let mut over = Rig::durable(move || OverAggregate::new(spec.clone()).unwrap(), &input);
        let (mut models, mut late, mut mark) = (BTreeMap::<u8, Model>::new(), 0, i64::MIN);
        for (step, (rows, watermark)) in steps.into_iter().enumerate() {
            if step == cut {
                over.checkpoint();
                late -= over.operator.late_rows();
                over.crash();
            }
            for &(key, time, value) in &rows {
                late += u64::from(!models.entry(key).or_default().row(time, value, range));
            }
            over.send(&rows.iter().map(text).collect::<Vec<_>>().join(", "));
            let Some(watermark) = watermark.filter(|&watermark| watermark > mark) else { continue };
            mark = watermark;
            let mut expected = Vec::new();
            models.iter_mut().for_each(|(&key, model)| model.watermark(key, mark, range, &mut expected));
            let mut out = over.watermark(mark);
            out.sort();
            expected.sort();
            prop_assert_eq!(out, expected);
            prop_assert_eq!(over.operator.late_rows(), late);
        }
    }

    #[test]
    fn any_cut_changes_nothing(
        events in cuts::events(0..12, false),
        cuts in cuts::cuts(),
        frame in frames(),
        (by_time, expires, alone) in any::<(bool, bool, bool)>(),
    ) {
        let unbounded = matches!(frame, Frame::UnboundedRows | Frame::UnboundedRange);
        let mut calls = vec![call("sum"), call("max"), call("count"), call("avg")];
        if unbounded {
            calls.extend([lag(1, None), lag(2, Some(7)), OverCall::RowNumber, OverCall::Rank, OverCall::DenseRank]);
        }
        let order = if by_time { TIME } else { OverOrder::ProcessingTime };
        let spec = OverSpec {
            state_ttl: expires.then_some(Duration::from_millis(80)),
            partition: if alone { vec![] } else { vec![0] },
            ..spec(order, frame, calls)
        };
        let (input, keys) = (spec.input.clone(), spec.partition.clone());
        cuts::check(&|| OverAggregate::new(spec.clone()).unwrap(), (&input, &keys), &events, &cuts);
    }

    #[test]
    fn any_cut_changes_nothing_in_any_order(
        events in cuts::events(0..6, true),
        cuts in cuts::cuts(),
        (by_rows, expires, alone) in any::<(bool, bool, bool)>(),
    ) {
        let frame = if by_rows { Frame::UnboundedRows } else { Frame::UnboundedRange };
        let column = SortColumn { column: 1, descending: false, nulls_first: true };
        let calls = vec![call("sum"), call("count"), lag(1, None), OverCall::RowNumber];
        let spec = OverSpec {
            input_changes: true,
            state_ttl: expires.then_some(Duration::from_millis(80)),
            partition: if alone { vec![] } else { vec![0] },
            ..spec(OverOrder::Columns(vec![column]), frame, calls)
        };
        let (input, keys) = (spec.input.clone(), spec.partition.clone());
        cuts::check(&|| OrderedOver::new(spec.clone()).unwrap(), (&input, &keys), &events, &cuts);
    }
}
