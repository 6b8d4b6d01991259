#![allow(clippy::unwrap_used)]

use datafusion_expr::Operator as Binary;
use datafusion_physical_expr::expressions::{BinaryExpr, Column};
use proptest::prelude::*;

use super::*;
use crate::operator::picture::schema;
use crate::operator::two_inputs::TwoInputs;

fn spec(kind: IntervalJoinKind, lower: i64, upper: i64) -> IntervalJoinSpec {
    let inputs = [schema("k s n n t t"), schema("rk s rn n rt t")];
    let columns = if kind.is_left_only() { 0..3 } else { 0..6 };
    let output: Vec<usize> = columns.collect();
    let all: Vec<Field> = inputs.iter().flat_map(|s| s.fields().iter().map(|f| f.as_ref().clone())).collect();
    let fields: Vec<Field> = output.iter().map(|&i| all[i].clone()).collect();
    IntervalJoinSpec {
        kind,
        keys: [vec![0], vec![0]],
        times: Some([2, 2]),
        lower,
        upper,
        residual: None,
        inputs,
        output,
        schema: Arc::new(Schema::new(fields)),
    }
}

/// `n <= rn`.
fn residual() -> Arc<dyn PhysicalExpr> {
    let column = |name: &str, index| Arc::new(Column::new(name, index));
    Arc::new(BinaryExpr::new(column("n", 1), Binary::LtEq, column("rn", 4)))
}

fn rig(spec: IntervalJoinSpec) -> TwoInputs<IntervalJoin> {
    let inputs = spec.inputs.clone();
    TwoInputs::new(IntervalJoin::new(spec).unwrap(), inputs)
}

use arrow::datatypes::{Field, Schema};

#[test]
fn rows_meet_within_the_bounds_and_are_padded_when_nobody_may_come() {
    let mut rig = rig(spec(IntervalJoinKind::Full, -5, 10));
    assert_eq!(rig.sent(0, "a 1 100, b 2 100, NULL 3 100"), "+I NULL 3 100 NULL NULL NULL");
    assert_eq!(rig.sent(1, "a 1 95, a 2 94, a 3 110, a 4 111"), "+I a 1 100 a 1 95, +I a 1 100 a 3 110");
    assert_eq!(rig.mark(0, 99), Vec::<String>::new());
    // Right rows wait until 5 after their time, left ones until 10; the watermark is 11 behind.
    assert_eq!(rig.mark(1, 120).join(", "), "w88");
    assert_eq!(rig.mark(0, 100).join(", "), "+I NULL NULL NULL a 2 94, w89");
    assert_eq!(rig.mark(0, 110).join(", "), "w99");
    assert_eq!(rig.mark(0, 111).join(", "), "+I b 2 100 NULL NULL NULL, w100");
    // A late row meets what is there; it is padded at once where nobody may come any more.
    assert_eq!(
        rig.sent(0, "a 9 104, a 8 90"),
        "+I a 9 104 a 3 110, +I a 9 104 a 4 111, +I a 8 90 NULL NULL NULL"
    );
    assert_eq!(rig.end().join(", "), "w109, wEND, end");
    assert!(rig.operator.keys.is_empty());
    assert!(rig.operator.sides.iter().all(|s| s.rows.is_empty()));
}

#[test]
fn bounds_that_nothing_meets_pad_at_once_and_extreme_times_do_not_overflow() {
    let mut none = rig(spec(IntervalJoinKind::Left, 5, 1));
    assert_eq!(none.sent(1, "a 1 3"), "");
    assert_eq!(none.sent(0, "a 1 1"), "+I a 1 1 NULL NULL NULL");
    let mut wide = rig(spec(IntervalJoinKind::Inner, i64::MIN, i64::MAX));
    let (least, most) = (i64::MIN + 1, i64::MAX);
    assert_eq!(wide.sent(0, &format!("a 1 {least}, a 2 {most}")), "");
    assert_eq!(wide.send(1, &format!("a 1 {least}, a 2 {most}")).len(), 2);
    assert_eq!(wide.marked(i64::MAX - 1), format!("w{}", -1));
    assert_eq!(wide.end().join(", "), "wEND, end");
}

#[test]
fn by_processing_time_rows_wait_by_the_clock() {
    let mut spec = spec(IntervalJoinKind::Left, -1000, 1000);
    spec.times = None;
    let mut rig = rig(spec);
    assert_eq!(rig.sent(0, "a 1 0, b 1 0"), "");
    rig.clock.advance(1000);
    assert_eq!(rig.sent(1, "a 2 0"), "+I a 1 0 a 2 0");
    assert_eq!(rig.marked(5), "w5");
    assert!(rig.operator.deadline().is_some());
    rig.clock.advance(1);
    let seen = rig.call(|operator, out| operator.timer(Instant::now(), out));
    assert_eq!(seen.join(", "), "+I b 1 0 NULL NULL NULL");
    assert_eq!(rig.sent(0, "a 7 0"), "+I a 7 0 a 2 0");
    assert_eq!(rig.sent(0, "c 1 NULL"), "");
    assert_eq!(rig.call(|operator, out| operator.end(out)).join(", "), "+I c 1 NULL NULL NULL NULL, end");
}

#[test]
fn a_null_time_is_an_error() {
    let mut rig = rig(spec(IntervalJoinKind::Inner, 0, 0));
    assert!(
        rig.sent(1, "a 1 NULL").starts_with("error: the event time of the right side of the interval join")
    );
}

/// Key (0: NULL), value, time.
type Row = (u8, i64, i64);

#[derive(Debug, Clone)]
enum Step {
    Rows(usize, Vec<Row>),
    Mark(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = (0usize..2, prop::collection::vec((0u8..4, 0i64..4, -20i64..60), 1..8));
    let step =
        prop_oneof![3 => rows.prop_map(|(i, r)| Step::Rows(i, r)), 1 => (-20i64..60).prop_map(Step::Mark)];
    prop::collection::vec(step, 1..30)
}

fn text(row: Row) -> String {
    let key = if row.0 == 0 { "NULL".to_string() } else { format!("k{}", row.0) };
    format!("{key} {} {}", row.1, row.2)
}

/// Row by row, with lists: the definition.
struct Naive {
    kind: IntervalJoinKind,
    lower: i64,
    upper: i64,
    filter: bool,
    kept: [Vec<(Row, bool)>; 2],
    now: i64,
    seen: Vec<String>,
}

impl Naive {
    fn matches(&self, l: Row, r: Row) -> bool {
        let close = r.2 >= l.2 + self.lower && r.2 <= l.2 + self.upper;
        l.0 != 0 && l.0 == r.0 && close && (!self.filter || l.1 <= r.1)
    }

    fn pad(&mut self, input: usize, row: Row) {
        let none = "NULL NULL NULL";
        match (input, self.kind) {
            (0, IntervalJoinKind::Anti) => self.seen.push(format!("+I {}", text(row))),
            (0, IntervalJoinKind::Left | IntervalJoinKind::Full) => {
                self.seen.push(format!("+I {} {none}", text(row)));
            }
            (1, IntervalJoinKind::Right | IntervalJoinKind::Full) => {
                self.seen.push(format!("+I {none} {}", text(row)));
            }
            _ => {}
        }
    }

    fn row(&mut self, input: usize, row: Row) {
        let mut matched = false;
        for i in 0..self.kept[1 - input].len() {
            let (other, met) = self.kept[1 - input][i];
            let (l, r) = if input == 0 { (row, other) } else { (other, row) };
            if !self.matches(l, r) {
                continue;
            }
            match self.kind {
                IntervalJoinKind::Anti => {}
                IntervalJoinKind::Semi => {
                    if !(if input == 0 { matched } else { met }) {
                        self.seen.push(format!("+I {}", text(l)));
                    }
                }
                _ => self.seen.push(format!("+I {} {}", text(l), text(r))),
            }
            matched = true;
            self.kept[1 - input][i].1 = true;
        }
        let reach = if input == 0 { self.upper } else { -self.lower };
        if row.0 != 0 && self.now < row.2.saturating_add(reach) {
            self.kept[input].push((row, matched));
        } else if !matched {
            self.pad(input, row);
        }
    }

    fn mark(&mut self, now: i64) {
        self.now = now;
        for input in 0..2 {
            let reach = if input == 0 { self.upper } else { -self.lower };
            let (gone, kept) =
                std::mem::take(&mut self.kept[input]).into_iter().partition(|(row, _)| row.2 + reach < now);
            self.kept[input] = kept;
            let gone: Vec<(Row, bool)> = gone;
            for (row, matched) in gone {
                if !matched {
                    self.pad(input, row);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn it_is_what_the_definition_says(
        kind in prop::sample::select(vec![
            IntervalJoinKind::Inner, IntervalJoinKind::Left, IntervalJoinKind::Right,
            IntervalJoinKind::Full, IntervalJoinKind::Semi, IntervalJoinKind::Anti,
        ]),
        lower in -15i64..5,
        width in 0i64..20,
        filter in any::<bool>(),
        steps in steps(),
    ) {
        let mut spec = spec(kind, lower, lower + width);
        spec.residual = filter.then(residual);
        let mut rig = rig(spec);
        let upper = lower + width;
        let mut naive =
            Naive { kind, lower, upper, filter, kept: Default::default(), now: i64::MIN, seen: vec![] };
        let mut seen = Vec::new();
        let mut rows: [Vec<Row>; 2] = Default::default();
        let (mut mark, mut late) = (i64::MIN, false);
        for step in steps {
            match step {
                Step::Rows(input, some) => {
                    let texts: Vec<String> = some.iter().map(|r| text(*r)).collect();
                    seen.extend(rig.send(input, &texts.join(", ")));
                    late |= some.iter().any(|r| r.2 <= mark);
                    rows[input].extend(&some);
                    some.into_iter().for_each(|r| naive.row(input, r));
                }
                Step::Mark(at) if at > mark => {
                    mark = at;
                    for input in 0..2 {
                        seen.extend(rig.mark(input, at));
                    }
                    naive.mark(at);
                }
                Step::Mark(_) => {}
            }
        }
        seen.extend(rig.end());
        naive.mark(i64::MAX);
        seen.retain(|s| s.starts_with('+'));
        seen.sort();
        naive.seen.sort();
        prop_assert_eq!(&seen, &naive.seen);
        prop_assert!(rig.operator.keys.is_empty());
        prop_assert!(rig.operator.sides.iter().all(|s| s.rows.is_empty()));
        // Without late rows, a batch join over all rows gives the same.
        if !late {
            let mut batch = Naive { seen: vec![], kept: Default::default(), now: i64::MIN, ..naive };
            rows[1].iter().for_each(|r| batch.row(1, *r));
            rows[0].iter().for_each(|r| batch.row(0, *r));
            batch.mark(i64::MAX);
            batch.seen.sort();
            prop_assert_eq!(seen, batch.seen);
        }
    }
}

use crate::operator::two_inputs::{stories, survive, told};

#[test]
fn a_crash_is_not_seen() {
    let spec = spec(IntervalJoinKind::Full, -5, 10);
    let mut rig = rig(spec.clone());
    let make = || IntervalJoin::new(spec.clone()).unwrap();
    assert_eq!(rig.sent(0, "a 1 100, b 2 100"), "");
    rig.checkpoint();
    assert_eq!(rig.sent(1, "a 1 95, a 2 94"), "+I a 1 100 a 1 95");
    assert_eq!(rig.crash(make()), [""; 0]);
    assert_eq!(rig.marked(100), "+I NULL NULL NULL a 2 94, w89");
    assert_eq!(rig.crash(make()), [""; 0]);
    // What is late stays late, also before the first watermark.
    assert_eq!(rig.sent(0, "a 8 50"), "+I a 8 50 NULL NULL NULL");
    assert_eq!(rig.marked(111), "+I b 2 100 NULL NULL NULL, w100");
}

proptest! {
    #[test]
    fn it_survives(
        kind in prop::sample::select(vec![
            IntervalJoinKind::Inner, IntervalJoinKind::Left, IntervalJoinKind::Right,
            IntervalJoinKind::Full, IntervalJoinKind::Semi, IntervalJoinKind::Anti,
        ]),
        (lower, width) in (-15i64..5, 0i64..20),
        (filter, by_clock) in any::<(bool, bool)>(),
        (most, steps) in (1usize..4, stories()),
    ) {
        let mut spec = spec(kind, lower, lower + width);
        spec.residual = filter.then(residual);
        if by_clock {
            (spec.times, spec.lower, spec.upper) = (None, lower * 5, (lower + width) * 5);
        }
        let inputs = spec.inputs.clone();
        let (events, faults) = told(&steps, most, 15, |input, acts, base| {
            let row = |&(_, k, v, which): &(u8, u8, u8, u8)| {
                let key = ["NULL", "a", "b", "c"][usize::from(k)];
                format!("{key} {v} {}", base + i64::from(which % 40) - 20)
            };
            let rows: Vec<String> = acts.iter().map(row).collect();
            crate::operator::picture::chunk(&inputs[input], &rows.join(", "))
        });
        let (inputs, keys) = (spec.inputs.clone(), spec.keys.clone());
        survive(move || IntervalJoin::new(spec.clone()).unwrap(), &inputs, &keys, &events, &faults);
    }
}
