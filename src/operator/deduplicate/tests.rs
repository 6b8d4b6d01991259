#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::operator::cuts;
use crate::operator::picture::{Rig, apply, schema};

fn rig(keep: Keep, by_time: bool) -> Rig<Deduplicate> {
    rig_of(spec(keep, by_time))
}

fn spec(keep: Keep, by_time: bool) -> DeduplicateSpec {
    DeduplicateSpec {
        keys: vec![0],
        rowtime: by_time.then_some(1),
        keep,
        emit_before: true,
        state_ttl: None,
        schema: schema("k s ts t v n"),
    }
}

fn rig_of(spec: DeduplicateSpec) -> Rig<Deduplicate> {
    let schema = spec.schema.clone();
    Rig::new(Deduplicate::new(spec).unwrap(), &schema)
}

#[test]
fn first_by_arrival() {
    let mut first = rig(Keep::First, false);
    assert_eq!(first.sent("a 1 1, a 2 2, b 3 3"), "+I a 1 1, +I b 3 3");
    assert_eq!(first.sent("a 0 4"), "");
    assert_eq!(first.sent("NULL 0 5, NULL 0 6"), "+I NULL 0 5");
}

#[test]
fn last_by_arrival() {
    let mut last = rig(Keep::Last, false);
    assert_eq!(last.sent("a 1 1, a 2 2, b 3 3"), "+I a 2 2, +I b 3 3");
    assert_eq!(last.sent("b 3 3, a 0 4"), "-U a 2 2, +U a 0 4");
    assert_eq!(last.sent("b 3 3"), "");
    let mut last = rig_of(DeduplicateSpec { emit_before: false, ..spec(Keep::Last, false) });
    assert_eq!(last.sent("a 1 1"), "+I a 1 1");
    assert_eq!(last.sent("a 1 2"), "+U a 1 2");
}

#[test]
fn last_by_time_is_not_older() {
    let mut last = rig(Keep::Last, true);
    assert_eq!(last.sent("a 5 1, a 3 2"), "+I a 5 1");
    assert_eq!(last.sent("a 4 3"), "");
    assert_eq!(last.sent("a 5 4"), "-U a 5 1, +U a 5 4");
    assert_eq!(last.sent("a -9 5, b -9 6"), "+I b -9 6");
}

#[test]
fn first_by_time_waits() {
    let mut first = rig(Keep::First, true);
    assert_eq!(first.sent("a 5 1, a 3 2, a 3 3, b 9 4"), "");
    assert_eq!(first.marked(2), "");
    assert_eq!(first.sent("a 2 5"), "");
    assert_eq!(first.marked(3), "+I a 2 5");
    // Late rows and rows of a key that was emitted are dropped; a row at the watermark is in time.
    assert_eq!(first.sent("a 1 6, b 2 7, b 3 8, a 4 9, c 2 0"), "");
    assert_eq!(first.marked(4), "+I b 3 8");
    assert_eq!(first.operator.late_rows(), 3);
    assert_eq!(first.marked(i64::MAX), "");
    assert!(first.operator.rows.is_empty());
}

#[test]
fn a_missing_time_is_an_error() {
    let mut first = rig(Keep::First, true);
    assert_eq!(first.sent("a NULL 1"), "error: the event time of a deduplication is NULL");
}

#[test]
fn keys_expire() {
    let ttl = Some(Duration::from_millis(100));
    let mut first = rig_of(DeduplicateSpec { state_ttl: ttl, ..spec(Keep::First, false) });
    assert_eq!(first.sent("a 1 1"), "+I a 1 1");
    first.clock.advance(60);
    assert_eq!(first.sent("a 1 2"), "");
    first.clock.advance(60);
    // Duplicates do not refresh what is remembered of the first.
    assert_eq!(first.sent("a 1 3"), "+I a 1 3");
    let mut last = rig_of(DeduplicateSpec { state_ttl: ttl, ..spec(Keep::Last, false) });
    assert_eq!(last.sent("a 1 1"), "+I a 1 1");
    last.clock.advance(60);
    assert_eq!(last.sent("a 1 1"), "-U a 1 1, +U a 1 1");
    last.clock.advance(100);
    assert_eq!(last.sent("a 1 1"), "+I a 1 1");
    last.clock.advance(100);
    assert_eq!(last.sent("b 1 1"), "+I b 1 1");
    assert_eq!(last.operator.keys.len(), 1);
}

proptest! {
    #[test]
    fn equals_the_naive_evaluation(
        steps in prop::collection::vec(prop::collection::vec((0u8..4, -5i64..10, 0i64..100), 1..9), 1..20),
        last: bool,
        by_time: bool,
    ) {
        let mut rig = rig(if last { Keep::Last } else { Keep::First }, by_time);
        let (mut rows, mut table) = (Vec::new(), Vec::new());
        for step in steps {
            rows.extend(step.iter().copied());
            let sent: Vec<String> = step.iter().map(|(k, t, v)| format!("k{k} {t} {v}")).collect();
            apply(&mut table, &rig.send(&sent.join(", ")));
        }
        apply(&mut table, &rig.watermark(i64::MAX));
        let mut expected = Vec::new();
        for key in 0..4u8 {
            let mut of_key: Vec<_> = rows.iter().filter(|r| r.0 == key).collect();
            if by_time {
                of_key.sort_by_key(|r| r.1);
            }
            let kept = if last { of_key.last() } else { of_key.first() };
            expected.extend(kept.map(|(k, t, v)| format!("k{k} {t} {v}")));
        }
        table.sort();
        expected.sort();
        prop_assert_eq!(table, expected);
    }
}

proptest! {
    #[test]
    fn any_cut_changes_nothing(
        events in cuts::events(0..9, false),
        cuts in cuts::cuts(),
        (first, by_time, expires, alone) in any::<(bool, bool, bool, bool)>(),
    ) {
        let keep = if first { Keep::First } else { Keep::Last };
        let spec = DeduplicateSpec {
            state_ttl: expires.then_some(Duration::from_millis(80)),
            keys: if alone { vec![] } else { vec![0] },
            ..spec(keep, by_time)
        };
        let (input, keys) = (spec.schema.clone(), spec.keys.clone());
        cuts::check(&|| Deduplicate::new(spec.clone()).unwrap(), (&input, &keys), &events, &cuts);
    }
}
