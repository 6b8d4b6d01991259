#![allow(clippy::unwrap_used)]

use arrow::datatypes::{Field, Schema};
use datafusion_expr::Operator as Binary;
use datafusion_physical_expr::expressions::{BinaryExpr, Column};
use proptest::prelude::*;

use super::*;
use crate::operator::picture::schema;
use crate::operator::two_inputs::TwoInputs;

fn spec(left_outer: bool) -> TemporalJoinSpec {
    let inputs = [schema("k s n n t t"), schema("rk s rn n rt t")];
    let fields: Vec<Field> =
        inputs.iter().flat_map(|s| s.fields().iter().map(|f| f.as_ref().clone())).collect();
    TemporalJoinSpec {
        left_outer,
        keys: [vec![0], vec![0]],
        times: [2, 2],
        residual: None,
        output: vec![0, 1, 2, 4],
        schema: Arc::new(Schema::new([0, 1, 2, 4].map(|i: usize| fields[i].clone()).to_vec())),
        inputs,
        state_ttl: None,
    }
}

fn residual() -> Arc<dyn PhysicalExpr> {
    let column = |name: &str, index| Arc::new(Column::new(name, index));
    Arc::new(BinaryExpr::new(column("n", 1), Binary::LtEq, column("rn", 4)))
}

fn rig(spec: TemporalJoinSpec) -> TwoInputs<TemporalJoin> {
    let inputs = spec.inputs.clone();
    TwoInputs::new(TemporalJoin::new(spec).unwrap(), inputs)
}

#[test]
fn rows_meet_the_version_of_their_time() {
    let mut rig = rig(spec(true));
    assert_eq!(rig.sent(0, "a 1 15, a 2 5, a 3 25, a 4 35, NULL 5 12"), "");
    assert_eq!(rig.sent(1, "+I a 10 10, -U a 10 20, +U a 20 20, -D a 20 30"), "");
    assert_eq!(rig.mark(0, 40), Vec::<String>::new());
    assert_eq!(
        rig.mark(1, 25).join(", "),
        "+I a 1 15 10, +I a 2 5 NULL, +I a 3 25 20, +I NULL 5 12 NULL, w25"
    );
    assert_eq!(rig.operator.versions[rig.operator.slots[0] as usize].len(), 2);
    // Late rows are dropped, also those that would be padded; a late version counts if it is the newest.
    assert_eq!(rig.sent(0, "a 9 25"), "");
    assert_eq!(rig.operator.late_rows(), 1);
    assert_eq!(rig.sent(1, "b 7 11, a 99 12"), "");
    assert_eq!(rig.sent(0, "b 6 26, a 7 29"), "");
    assert_eq!(rig.mark(1, 50).join(", "), "+I a 4 35 NULL, +I b 6 26 7, +I a 7 29 20, w40");
    assert_eq!(rig.end().join(", "), "w50, wEND, end");
    assert!(rig.operator.left.is_empty());
}

#[test]
fn left_changes_keep_their_kind() {
    let mut rig = rig(spec(false));
    assert_eq!(rig.sent(1, "a 10 10, a 20 20, b 30 5"), "");
    assert_eq!(rig.sent(0, "+I a 1 15, -U a 1 15, +U a 2 21, -D b 5 6, +I c 1 7"), "");
    assert_eq!(rig.marked(30), "+I a 1 15 10, -U a 1 15 10, +U a 2 21 20, -D b 5 6 30, w30");
}

#[test]
fn state_that_nobody_touches_is_forgotten() {
    let mut spec = spec(true);
    spec.state_ttl = Some(Duration::from_millis(100));
    let mut rig = rig(spec);
    assert_eq!(rig.sent(1, "a 10 10, b 20 10"), "");
    rig.clock.advance(60);
    assert_eq!(rig.sent(0, "a 1 15"), "");
    rig.clock.advance(60);
    assert_eq!(rig.sent(0, "a 2 16, b 2 16"), "");
    assert_eq!(rig.marked(20), "+I a 1 15 10, +I a 2 16 10, +I b 2 16 NULL, w20");
}

#[derive(Debug, Clone)]
enum Step {
    Left(Vec<(u8, i64, i64)>),
    Right(Vec<(u8, i64, i64, bool)>),
    Mark(usize, i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let left = prop::collection::vec((0u8..4, 0i64..9, -10i64..60), 1..8).prop_map(Step::Left);
    let right = prop::collection::vec((0u8..4, 0i64..9, -10i64..60, prop::bool::weighted(0.2)), 1..6)
        .prop_map(Step::Right);
    let mark = (0usize..2, -10i64..60).prop_map(|(i, t)| Step::Mark(i, t));
    prop::collection::vec(prop_oneof![2 => left, 2 => right, 2 => mark], 1..40)
}

fn key(k: u8) -> String {
    if k == 0 { "NULL".into() } else { format!("k{k}") }
}

proptest! {
    /// Against: all versions that ever came, looked through when the watermark passes a left row.
    #[test]
    fn it_is_what_the_definition_says(outer in any::<bool>(), filter in any::<bool>(), steps in steps()) {
        let mut spec = spec(outer);
        spec.residual = filter.then(residual);
        let mut rig = rig(spec);
        let mut versions: Vec<(u8, i64, i64, bool)> = Vec::new();
        let mut waiting: Vec<(u8, i64, i64)> = Vec::new();
        let mut marks = [i64::MIN; 2];
        let (mut seen, mut expected) = (Vec::new(), Vec::new());
        let mut settle = |waiting: &mut Vec<(u8, i64, i64)>, versions: &Vec<(u8, i64, i64, bool)>, now: i64| {
            let (due, rest): (Vec<_>, Vec<_>) = waiting.drain(..).partition(|r| r.2 <= now);
            *waiting = rest;
            for (k, n, t) in due {
                // The newest version that is not newer; of several of a time the last to come.
                let best = versions.iter().filter(|v| k != 0 && v.0 == k && v.2 <= t)
                    .fold(None::<&(u8, i64, i64, bool)>, |best, v| {
                        if best.is_none_or(|b| b.2 <= v.2) { Some(v) } else { best }
                    });
                let found = best.filter(|v| !v.3 && (!filter || n <= v.1)).map(|v| v.1.to_string());
                if let Some(value) = found.or(outer.then(|| "NULL".to_string())) {
                    expected.push(format!("+I {} {n} {t} {value}", key(k)));
                }
            }
        };
        for step in steps {
            let now = marks[0].min(marks[1]);
            match step {
                Step::Left(rows) => {
                    let texts: Vec<String> =
                        rows.iter().map(|(k, n, t)| format!("{} {n} {t}", key(*k))).collect();
                    seen.extend(rig.send(0, &texts.join(", ")));
                    waiting.extend(rows.into_iter().filter(|r| r.2 > now));
                }
                Step::Right(rows) => {
                    let texts: Vec<String> = rows
                        .iter()
                        .map(|(k, n, t, deleted)| {
                            format!("{} {} {n} {t}", if *deleted { "-D" } else { "+U" }, key(*k))
                        })
                        .collect();
                    seen.extend(rig.send(1, &texts.join(", ")));
                    versions.extend(rows);
                }
                Step::Mark(input, at) => {
                    seen.extend(rig.mark(input, at));
                    marks[input] = marks[input].max(at);
                    settle(&mut waiting, &versions, marks[0].min(marks[1]));
                }
            }
        }
        seen.extend(rig.end());
        // The left side ends first.
        settle(&mut waiting, &versions, marks[1]);
        settle(&mut waiting, &versions, i64::MAX);
        seen.retain(|s| !s.starts_with('w') && s != "end");
        prop_assert_eq!(seen, expected);
        prop_assert!(rig.operator.left.is_empty());
        // Behind the end one version a key is left, or the mark that it is deleted.
        prop_assert!(rig.operator.versions.iter().all(|v| v.len() <= 1));
    }
}

use crate::operator::two_inputs::{stories, survive, told};

#[test]
fn a_crash_is_not_seen() {
    let spec = spec(true);
    let mut rig = rig(spec.clone());
    let make = || TemporalJoin::new(spec.clone()).unwrap();
    assert_eq!(rig.sent(1, "+I a 10 10, +U a 20 20, -D a 20 30"), "");
    assert_eq!(rig.sent(0, "a 1 15, a 2 25, -D a 2 25, a 3 35, NULL 4 35"), "");
    rig.checkpoint();
    assert_eq!(rig.marked(15), "+I a 1 15 10, w15");
    assert_eq!(rig.crash(make()), [""; 0]);
    assert_eq!(rig.sent(0, "a 9 15"), "");
    assert_eq!(rig.operator.late_rows(), 1);
    assert_eq!(rig.marked(40), "+I a 2 25 20, -D a 2 25 20, +I a 3 35 NULL, +I NULL 4 35 NULL, w40");
    assert_eq!(rig.crash(make()), [""; 0]);
    // A deletion stays a deletion.
    assert_eq!(rig.sent(1, "a 5 25"), "");
    assert_eq!(rig.sent(0, "a 6 41"), "");
    assert_eq!(rig.marked(41), "+I a 6 41 NULL, w41");
}

proptest! {
    #[test]
    fn it_survives(
        (outer, filter) in any::<(bool, bool)>(),
        ttl in prop::option::of(1u64..150),
        (most, steps) in (1usize..4, stories()),
    ) {
        let mut spec = spec(outer);
        spec.residual = filter.then(residual);
        spec.state_ttl = ttl.map(Duration::from_millis);
        let inputs = spec.inputs.clone();
        let (events, faults) = told(&steps, most, 15, |input, acts, base| {
            let row = |&(act, k, v, which): &(u8, u8, u8, u8)| {
                let kind = ["+I", "+I", "+I", "+U", "+U", "-U", "-D", "-D"][usize::from(act)];
                let key = ["NULL", "a", "b", "c"][usize::from(k)];
                format!("{kind} {key} {v} {}", base + i64::from(which % 60) - 20)
            };
            let rows: Vec<String> = acts.iter().map(row).collect();
            crate::operator::picture::chunk(&inputs[input], &rows.join(", "))
        });
        let (inputs, keys) = (spec.inputs.clone(), spec.keys.clone());
        survive(move || TemporalJoin::new(spec.clone()).unwrap(), &inputs, &keys, &events, &faults);
    }
}
