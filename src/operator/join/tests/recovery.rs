//! Joins that are cut anywhere and go on, also in other numbers of tasks.

use super::*;
use crate::operator::two_inputs::{TwoInputs, stories, survive, survive_in, told};

/// A join whose keys are not among its columns.
fn narrow(spec: &mut JoinSpec) {
    if spec.kind.is_filter() {
        return;
    }
    spec.output = vec![1, 3];
    spec.schema = schema(&["v", "w"]);
}

#[test]
fn a_crash_is_not_seen() {
    let inputs = [schema(&["k", "v"]), schema(&["k", "w"])];
    let make = || RegularJoin::new(spec(JoinKind::Full)).unwrap();
    let mut rig = TwoInputs::new(make(), inputs);
    assert_eq!(rig.sent(0, "1 10, 1 11"), "+I 1 10 NULL NULL, +I 1 11 NULL NULL");
    rig.checkpoint();
    assert_eq!(rig.sent(1, "1 5"), "-D 1 10 NULL NULL, -D 1 11 NULL NULL, +I 1 10 1 5, +I 1 11 1 5");
    rig.checkpoint();
    assert_eq!(rig.sent(0, "-D 1 11, 2 20"), "-D 1 11 1 5, +I 2 20 NULL NULL");
    assert_eq!(rig.crash(make()), [""; 0]);
    // The padding counts go on.
    assert_eq!(rig.sent(1, "-D 1 5"), "-D 1 10 1 5, +I 1 10 NULL NULL");
    assert_eq!(rig.crash(make()), [""; 0]);
    assert_eq!(rig.sent(1, "2 7"), "-D 2 20 NULL NULL, +I 2 20 2 7");
}

#[test]
fn one_row_of_a_heavy_key_is_written_alone() {
    let mut join = RegularJoin::new(spec(JoinKind::Inner)).unwrap();
    let context = OperatorContext {
        task: 0,
        parallelism: 1,
        waker: Mailbox::new().waker(0),
        clock: ManualClock::new(0),
        checkpointed: true,
        memory: crate::state::Memory::unlimited(),
    };
    join.open(context).unwrap();
    let mut out = Output::default();
    let rows: Vec<_> = (0..50_000).map(|i| (Kind::Insert, vec![Some(1), Some(i)])).collect();
    join.chunk_at(L, chunk_of(&schema(&["k", "v"]), &rows), &mut out).unwrap();
    let sizes = |join: &mut RegularJoin, full: bool| -> Vec<usize> {
        let mut snapshot = Snapshot::new(full);
        join.snapshot(&mut snapshot).unwrap();
        snapshot.into_parts().0.iter().map(|delta| delta.rows.num_rows()).collect()
    };
    assert_eq!(sizes(&mut join, true), [50_000, 0]);
    join.chunk_at(L, chunk_of(&schema(&["k", "v"]), &parse("+I 1 1\n-D 1 7")), &mut out).unwrap();
    assert_eq!(sizes(&mut join, false), [1, 0]);
    join.chunk_at(R, chunk_of(&schema(&["k", "w"]), &parse("+I 1 1")), &mut out).unwrap();
    assert_eq!(sizes(&mut join, false), [0, 1]);
    assert_eq!(sizes(&mut join, false), [0, 0]);
    assert!(join.state_bytes() > 50_000 * 16);
}

proptest! {
    #[test]
    fn joins_survive(
        kind in prop::sample::select(KINDS.to_vec()),
        (residual, null_equal, null_aware, is_narrow) in any::<(bool, bool, bool, bool)>(),
        append in any::<(bool, bool)>(),
        ttl in (prop::option::of(1u64..150), prop::option::of(1u64..150)),
        (most, steps) in (1usize..4, stories()),
    ) {
        let mut spec = spec(kind);
        spec.null_aware = null_aware && kind == JoinKind::Anti;
        spec.residual = (residual && !spec.null_aware).then(less);
        spec.null_equal = vec![null_equal && !spec.null_aware];
        (spec.left.changes, spec.right.changes) = (!append.0, !append.1);
        if !spec.null_aware {
            (spec.left.ttl, spec.right.ttl) =
                (ttl.0.map(Duration::from_millis), ttl.1.map(Duration::from_millis));
        }
        if is_narrow {
            narrow(&mut spec);
        }
        let inputs = [spec.left.schema.clone(), spec.right.schema.clone()];
        let keys = if spec.null_aware { [vec![], vec![]] } else { [vec![0], vec![0]] };
        let mut tables: [Vec<Row>; 2] = [vec![], vec![]];
        let (events, faults) = told(&steps, most, 0, |input, acts, _| {
            let append = if input == 0 { append.0 } else { append.1 };
            chunk_of(&inputs[input], &changes(&mut tables[input], acts, append))
        });
        // What NOT IN held back comes out key by key, and restored keys have another order.
        let ordered = !spec.null_aware;
        survive_in(ordered, move || RegularJoin::new(spec.clone()).unwrap(), &inputs, &keys, &events, &faults);
    }

    #[test]
    fn cross_joins_survive(
        kind in prop::sample::select(KINDS.to_vec()),
        (most, steps) in (1usize..3, stories()),
    ) {
        let mut spec = spec(kind);
        (spec.left.keys, spec.right.keys, spec.null_equal) = (vec![], vec![], vec![]);
        spec.residual = Some(less());
        let inputs = [spec.left.schema.clone(), spec.right.schema.clone()];
        let mut tables: [Vec<Row>; 2] = [vec![], vec![]];
        let (events, faults) = told(&steps, most, 0, |input, acts, _| {
            chunk_of(&inputs[input], &changes(&mut tables[input], acts, false))
        });
        survive(move || RegularJoin::new(spec.clone()).unwrap(), &inputs, &[vec![], vec![]], &events, &faults);
    }

    #[test]
    fn set_operations_survive(
        kind in prop::sample::select(vec![
            SetKind::Union, SetKind::Intersect, SetKind::IntersectAll, SetKind::Except, SetKind::ExceptAll,
        ]),
        ttl in prop::option::of(1u64..150),
        (most, steps) in (1usize..4, stories()),
    ) {
        let spec = SetSpec { kind, schema: schema(&["k", "v"]), ttl: ttl.map(Duration::from_millis) };
        let inputs = [spec.schema.clone(), spec.schema.clone()];
        let mut tables: [Vec<Row>; 2] = [vec![], vec![]];
        let (events, faults) = told(&steps, most, 0, |input, acts, _| {
            chunk_of(&inputs[input], &changes(&mut tables[input], acts, false))
        });
        let keys = [vec![0, 1], vec![0, 1]];
        survive(move || SetOperation::new(spec.clone()).unwrap(), &inputs, &keys, &events, &faults);
    }

    #[test]
    fn window_joins_survive(
        kind in prop::sample::select(KINDS.to_vec()),
        (residual, null_aware) in any::<(bool, bool)>(),
        (most, steps) in (1usize..4, stories()),
    ) {
        let mut inner = spec(kind);
        inner.null_aware = null_aware && kind == JoinKind::Anti;
        inner.residual = (residual && !inner.null_aware).then(less);
        let spec = window(inner);
        let inputs = [spec.join.left.schema.clone(), spec.join.right.schema.clone()];
        let keys = if spec.join.null_aware { vec![2] } else { vec![0, 2] };
        let (events, faults) = told(&steps, most, 15, |_, acts, base| {
            let value = |v: u8| (v > 0).then_some(i64::from(v));
            let row = |&(_, k, v, which): &(u8, u8, u8, u8)| {
                (vec![value(k), value(v)], base.div_euclid(10) * 10 + i64::from(which % 6) * 10 - 20)
            };
            window_chunk(&acts.iter().map(row).collect::<Vec<_>>())
        });
        survive(move || WindowJoin::new(spec.clone()).unwrap(), &inputs, &[keys.clone(), keys], &events, &faults);
    }
}
