#![allow(clippy::unwrap_used)]

use arrow::datatypes::{Field, Schema};
use datafusion_expr::Operator as Binary;
use datafusion_physical_expr::expressions::{BinaryExpr, Column};

use super::*;
use crate::operator::picture::schema;
use crate::operator::two_inputs::TwoInputs;

fn spec(load: LoadUntil) -> SnapshotJoinSpec {
    let inputs = [schema("k s n n"), schema("rk s rn n")];
    let fields: Vec<Field> =
        inputs.iter().flat_map(|s| s.fields().iter().map(|f| f.as_ref().clone())).collect();
    SnapshotJoinSpec {
        left_outer: true,
        keys: [vec![0], vec![0]],
        residual: None,
        output: vec![0, 1, 3],
        schema: Arc::new(Schema::new([0, 1, 3].map(|i: usize| fields[i].clone()).to_vec())),
        inputs,
        build_changes: true,
        load,
        idle_timeout: None,
        state_ttl: None,
    }
}

fn rig(spec: SnapshotJoinSpec) -> TwoInputs<SnapshotJoin> {
    let inputs = spec.inputs.clone();
    TwoInputs::new(SnapshotJoin::new(spec).unwrap(), inputs)
}

#[test]
fn probe_rows_and_their_watermarks_wait_until_the_build_side_has_loaded() {
    let mut rig = rig(spec(LoadUntil::Watermark(100)));
    assert_eq!(rig.sent(0, "a 1, b 2, NULL 3"), "");
    assert_eq!(rig.mark(0, 7), Vec::<String>::new());
    assert_eq!(rig.mark(0, 8), Vec::<String>::new());
    assert_eq!(rig.sent(0, "a 4"), "");
    assert_eq!(rig.sent(1, "+I a 10, -U a 10, +U a 11, +I a 12, +I b 1, -D b 1, +I NULL 5"), "");
    assert_eq!(rig.mark(1, 99), Vec::<String>::new());
    assert!(rig.operator.is_loading());
    assert_eq!(
        rig.mark(1, 100).join(", "),
        "+I a 1 11, +I a 1 12, +I b 2 NULL, +I NULL 3 NULL, w8, +I a 4 11, +I a 4 12"
    );
    // From now on at once, with what is there.
    assert_eq!(rig.sent(0, "b 5"), "+I b 5 NULL");
    assert_eq!(rig.sent(1, "+I b 6, -D a 11, -D a 99"), "");
    assert_eq!(rig.sent(0, "b 7, a 8"), "+I b 7 6, +I a 8 12");
    assert_eq!(rig.mark(0, 9).join(", "), "w9");
    assert_eq!(rig.end().join(", "), "wEND, end");
}

#[test]
fn loading_ends_with_the_build_side_or_when_it_is_quiet() {
    let mut ends = rig(spec(LoadUntil::End));
    assert_eq!(ends.sent(0, "a 1"), "");
    assert_eq!(ends.sent(1, "a 5"), "");
    assert_eq!(ends.call(|o, out| o.end_at(1, out)).join(", "), "+I a 1 5");
    let mut quiet = rig(SnapshotJoinSpec {
        idle_timeout: Some(Duration::from_secs(3600)),
        left_outer: false,
        ..spec(LoadUntil::End)
    });
    assert_eq!(quiet.sent(0, "a 1, b 1"), "");
    assert_eq!(quiet.sent(1, "a 5"), "");
    let deadline = quiet.operator.deadline().unwrap();
    let before = deadline - Duration::from_millis(1);
    assert_eq!(quiet.call(|o, out| o.timer(before, out)).join(", "), "");
    assert_eq!(quiet.call(|o, out| o.timer(deadline, out)).join(", "), "+I a 1 5");
    assert_eq!(quiet.operator.deadline(), None);
    let mut start = rig(spec(LoadUntil::Start));
    assert_eq!(start.sent(0, "a 1"), "+I a 1 NULL");
}

#[test]
fn any_condition_will_do() {
    let column = |name: &str, index| Arc::new(Column::new(name, index));
    let mut rig = rig(SnapshotJoinSpec {
        keys: [vec![], vec![]],
        residual: Some(Arc::new(BinaryExpr::new(column("n", 1), Binary::Lt, column("rn", 3)))),
        ..spec(LoadUntil::Start)
    });
    assert_eq!(rig.sent(1, "a 5, b 7"), "");
    assert_eq!(rig.sent(0, "x 4, y 6, z 7"), "+I x 4 5, +I x 4 7, +I y 6 7, +I z 7 NULL");
}

#[test]
fn old_rows_are_forgotten() {
    let mut rig =
        rig(SnapshotJoinSpec { state_ttl: Some(Duration::from_millis(100)), ..spec(LoadUntil::Start) });
    assert_eq!(rig.sent(1, "a 5"), "");
    rig.clock.advance(60);
    assert_eq!(rig.sent(1, "a 6"), "");
    rig.clock.advance(60);
    assert_eq!(rig.sent(0, "a 1"), "+I a 1 6");
    assert_eq!(rig.sent(1, "b 1, -D a 5"), "");
    assert_eq!(rig.operator.build.rows().len(), 2);
}

use proptest::prelude::*;

use crate::operator::two_inputs::{stories, survive, told};

#[test]
fn held_rows_are_restored() {
    let spec = spec(LoadUntil::Watermark(100));
    let mut rig = rig(spec.clone());
    let make = || SnapshotJoin::new(spec.clone()).unwrap();
    assert_eq!(rig.sent(0, "a 1, b 2"), "");
    rig.checkpoint();
    assert_eq!(rig.mark(0, 7), [""; 0]);
    assert_eq!(rig.sent(0, "a 3"), "");
    assert_eq!(rig.sent(1, "+I a 10, +I a 11, +I b 1, -D b 1"), "");
    assert_eq!(rig.mark(0, 9), [""; 0]);
    assert_eq!(rig.crash(make()), [""; 0]);
    assert!(rig.operator.is_loading());
    assert_eq!(
        rig.mark(1, 100).join(", "),
        "+I a 1 10, +I a 1 11, +I b 2 NULL, w7, +I a 3 10, +I a 3 11, w9"
    );
    // Loading is over for good.
    assert_eq!(rig.crash(make()), [""; 0]);
    assert_eq!(rig.sent(0, "a 4"), "+I a 4 10, +I a 4 11");
}

proptest! {
    #[test]
    fn it_survives(
        load in prop::sample::select(vec![LoadUntil::End, LoadUntil::Start, LoadUntil::Watermark(60)]),
        (outer, cross) in any::<(bool, bool)>(),
        ttl in prop::option::of(1u64..150),
        (most, steps) in (1usize..4, stories()),
    ) {
        let mut spec = spec(load);
        spec.left_outer = outer;
        spec.state_ttl = ttl.map(Duration::from_millis);
        if cross {
            spec.keys = [vec![], vec![]];
        }
        let inputs = spec.inputs.clone();
        let mut there: Vec<String> = Vec::new();
        let mut number = 0;
        let (events, faults) = told(&steps, most, 15, |input, acts, _| {
            let row = |&(act, k, v, which): &(u8, u8, u8, u8)| {
                let key = ["NULL", "a", "b", "c"][usize::from(k)];
                if input == 0 {
                    return format!("{key} {v}");
                }
                if act < 5 || there.is_empty() {
                    number += 1;
                    there.push(format!("{key} {number}"));
                    return format!("+I {key} {number}");
                }
                format!("-D {}", there.swap_remove(usize::from(which) % there.len()))
            };
            let rows: Vec<String> = acts.iter().map(row).collect();
            crate::operator::picture::chunk(&inputs[input], &rows.join(", "))
        });
        let (inputs, keys) = (spec.inputs.clone(), spec.keys.clone());
        survive(move || SnapshotJoin::new(spec.clone()).unwrap(), &inputs, &keys, &events, &faults);
    }
}
