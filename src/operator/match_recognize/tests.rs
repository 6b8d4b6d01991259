#![allow(clippy::unwrap_used)]

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_expr::Operator as Op;
use datafusion_physical_expr::expressions::{BinaryExpr, Column, lit};
use proptest::prelude::*;

use super::*;
use crate::operator::cuts;
use crate::operator::picture::{Rig, schema};

const INPUT: &str = "k s ts t v n";

fn element(variable: &str, least: u32, most: Option<u32>, reluctant: bool) -> PatternElement {
    PatternElement { variable: variable.into(), least, most, reluctant }
}

fn once(variable: &str) -> PatternElement {
    element(variable, 1, Some(1), false)
}

fn row(variable: Option<u8>, first: bool, offset: u32, column: usize) -> MatchValue {
    MatchValue::Row { variable, first, offset, column }
}

/// `X.v op n`
fn alone(variable: u8, op: Op, n: i64) -> MatchCondition {
    let over = |at: usize| Arc::new(BinaryExpr::new(Arc::new(Column::new("v", at)), op, lit(n))) as _;
    let whole = MatchExpression {
        values: vec![row(Some(variable), false, 0, 2)],
        schema: schema("v n"),
        expressions: vec![over(0)],
    };
    MatchCondition { row: Some(over(2)), rest: None, quick: None, whole }
}

/// `X.v > LAST(Y.v, n)`
fn above(variable: u8, other: u8, offset: u32) -> MatchCondition {
    let column = |name: &str, at| Arc::new(Column::new(name, at)) as _;
    let whole = MatchExpression {
        values: vec![row(Some(variable), false, 0, 2), row(Some(other), false, offset, 2)],
        schema: schema("v n o n"),
        expressions: vec![Arc::new(BinaryExpr::new(column("v", 0), Op::Gt, column("o", 1)))],
    };
    MatchCondition { row: None, rest: Some(whole.clone()), quick: None, whole }
}

/// The same, compared as numbers.
fn quick(variable: u8, other: u8, offset: u32) -> MatchCondition {
    let number =
        |variable, offset| QuickNumber::Row { variable: Some(variable), first: false, offset, column: 2 };
    let quick = QuickCondition::Compare(number(variable, 0), Comparison::Gt, number(other, offset));
    MatchCondition { quick: Some(quick), ..above(variable, other, offset) }
}

/// The first and the last value, and the time of the match.
fn spec(pattern: Vec<PatternElement>, conditions: Vec<Option<MatchCondition>>, skip: Skip) -> MatchSpec {
    let measures = MatchExpression {
        values: vec![
            row(None, true, 0, 2),
            row(None, false, 0, 2),
            MatchValue::RowTime(DataType::Timestamp(TimeUnit::Millisecond, None)),
        ],
        schema: schema("f n l n r t"),
        expressions: vec![
            Arc::new(Column::new("f", 0)),
            Arc::new(Column::new("l", 1)),
            Arc::new(Column::new("r", 2)),
        ],
    };
    MatchSpec {
        partition: vec![0],
        time: Some(1),
        keys: Vec::new(),
        pattern,
        conditions,
        within: None,
        skip,
        measures,
        input: schema(INPUT),
        schema: schema("k s f n l n r t"),
    }
}

fn rig(spec: MatchSpec) -> Rig<MatchRecognize> {
    Rig::new(MatchRecognize::new(spec).unwrap(), &schema(INPUT))
}

fn idle(rig: &Rig<MatchRecognize>) -> bool {
    let operator = &rig.operator;
    operator.keys.is_empty() && operator.paths.rows.is_empty() && operator.paths.used().is_empty()
}

#[test]
fn rows_of_each_partition_follow_each_other_by_time() {
    let pattern = vec![once("A"), element("B", 1, None, false), once("C")];
    let conditions = vec![Some(alone(0, Op::Eq, 1)), Some(alone(1, Op::Gt, 5)), Some(alone(2, Op::Eq, 2))];
    let mut rig = rig(spec(pattern, conditions, Skip::PastLastRow));
    assert_eq!(rig.sent("a 3 7, b 1 1, a 1 1, a 2 6, b 2 2"), "");
    assert_eq!(rig.marked(3), "");
    assert_eq!(rig.sent("a 2 9, a 4 2, b 4 1, b 5 8, b 6 2"), "");
    assert_eq!(rig.operator.late_rows(), 1);
    assert_eq!(rig.marked(9), "+I a 1 2 4, +I b 1 2 6");
    assert!(idle(&rig));
}

#[test]
fn a_condition_sees_the_match_so_far() {
    let pattern = vec![once("A"), element("B", 1, None, true), once("C")];
    let conditions = vec![None, Some(above(1, 0, 0)), Some(above(2, 1, 0))];
    let mut rig = rig(spec(pattern, conditions, Skip::PastLastRow));
    rig.sent("a 1 5, a 2 7, a 3 6, a 4 9, a 5 1");
    // 5 7 6 9: B takes as few as it can, 6 is not above 7.
    assert_eq!(rig.marked(9), "+I a 5 9 4");
}

#[test]
fn numbers_are_compared_as_any_values_are() {
    let pattern = vec![once("A"), element("B", 1, None, true), once("C")];
    for (b, c, d) in [(0, 0, 0), (1, 1, 1), (0, 1, 0), (1, 0, 2)] {
        let sent = |conditions: Vec<Option<MatchCondition>>| {
            let mut rig = rig(spec(pattern.clone(), conditions, Skip::ToNextRow));
            rig.sent("a 1 5, a 2 7, b 1 3, a 3 NULL, b 2 4, a 4 8, a 5 9, b 3 NULL, a 6 2, b 4 9, a 7 12");
            rig.marked(9)
        };
        let slow = sent(vec![None, Some(above(1, b, d)), Some(above(2, c, d))]);
        assert_eq!(sent(vec![None, Some(quick(1, b, d)), Some(quick(2, c, d))]), slow);
    }
}

#[test]
fn partial_matches_longer_than_within_are_dropped() {
    let pattern = vec![once("A"), element("B", 0, None, true), once("C")];
    let conditions = vec![Some(alone(0, Op::Eq, 1)), None, Some(alone(2, Op::Eq, 2))];
    let mut rig = rig(MatchSpec { within: Some(3), ..spec(pattern, conditions, Skip::PastLastRow) });
    rig.sent("a 1 1, a 3 7, a 4 2, b 1 1, b 3 2");
    assert_eq!(rig.marked(3), "+I b 1 2 3");
    assert!(!idle(&rig));
    assert_eq!(rig.marked(4), "");
    assert!(idle(&rig));
}

#[test]
fn skipping_to_where_a_match_began_is_an_error() {
    let pattern = vec![once("A"), element("B", 0, Some(1), false), once("C")];
    let conditions = vec![None, Some(alone(1, Op::Eq, 5)), Some(alone(2, Op::Eq, 2))];
    let mut first = rig(spec(pattern.clone(), conditions.clone(), Skip::ToFirst(0)));
    first.sent("a 1 1, a 2 2");
    let message = first.marked(9);
    assert!(message.contains("AFTER MATCH SKIP TO FIRST A goes to the row"), "{message}");
    let mut missing = rig(spec(pattern, conditions, Skip::ToLast(1)));
    missing.sent("a 1 1, a 2 2");
    let message = missing.marked(9);
    assert!(message.contains("AFTER MATCH SKIP TO LAST B: the match has no row of B"), "{message}");
}

#[test]
fn by_processing_time_nothing_waits() {
    let pattern = vec![once("A"), once("B")];
    let conditions = vec![Some(alone(0, Op::Eq, 1)), Some(alone(1, Op::Eq, 2))];
    let spec = MatchSpec { time: None, within: Some(10), ..spec(pattern, conditions, Skip::ToNextRow) };
    let mut rig = rig(spec);
    assert_eq!(rig.sent("a 1 1"), "");
    assert_eq!(rig.sent("a 1 2"), "+I a 1 2 1000000");
    rig.sent("a 1 1");
    rig.clock.advance(10);
    assert_eq!(rig.sent("a 1 2"), "");
    assert!(idle(&rig));
}

proptest! {
    #[test]
    fn begun_matches_survive(events in cuts::events(0..30, false), cuts in cuts::cuts(), which in 0usize..4, quickly in any::<bool>()) {
        let pattern = match which {
            0 => vec![once("A"), element("B", 1, None, false), once("C")],
            1 => vec![element("A", 1, None, true), element("B", 0, Some(2), true), once("C")],
            2 => vec![once("A"), element("B", 0, Some(1), false), element("C", 2, Some(2), false)],
            _ => vec![element("A", 1, Some(3), false), once("B"), element("C", 0, None, true)],
        };
        let last = if quickly { quick(2, 0, 0) } else { above(2, 0, 0) };
        let conditions = vec![None, Some(alone(1, Op::Lt, 3)), Some(last)];
        let skip = [Skip::ToNextRow, Skip::PastLastRow][which % 2];
        let within = [None, Some(9), Some(4), None][which];
        let make = || {
            let spec = spec(pattern.clone(), conditions.clone(), skip);
            MatchRecognize::new(MatchSpec { within, ..spec }).unwrap()
        };
        cuts::check(&make, (&schema(INPUT), &[0]), &events, &cuts);
    }
}
