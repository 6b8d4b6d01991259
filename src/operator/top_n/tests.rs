#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::operator::cuts;
use crate::operator::picture::{Rig, apply, schema};

fn spec(rank_output: bool, to: u64) -> TopNSpec {
    let input = schema("k s v n id n");
    let output = if rank_output { schema("k s v n id n rank n") } else { input.clone() };
    TopNSpec {
        name: "Rank",
        partition: vec![0],
        sort: vec![SortColumn { column: 1, descending: true, nulls_first: false }],
        function: RankFunction::RowNumber,
        from: 1,
        to,
        rank_output,
        input_changes: false,
        emit_before: true,
        state_ttl: None,
        input,
        schema: output,
    }
}

fn rig(spec: TopNSpec) -> Rig<TopN> {
    let input = spec.input.clone();
    Rig::new(TopN::new(spec).unwrap(), &input)
}

#[test]
fn ranks_shift() {
    let mut top = rig(spec(true, 2));
    assert_eq!(top.sent("a 5 1, b 1 2"), "+I a 5 1 1, +I b 1 2 1");
    assert_eq!(top.sent("a 3 3"), "+I a 3 3 2");
    assert_eq!(top.sent("a 4 4"), "-U a 3 3 2, +U a 4 4 2");
    assert_eq!(top.sent("a 9 5"), "-U a 5 1 1, +U a 9 5 1, -U a 4 4 2, +U a 5 1 2");
    assert_eq!(top.sent("a 1 6"), "");
    // What comes and goes within a chunk is not seen.
    assert_eq!(top.sent("a 10 7, a 11 8, a 12 9"), "-U a 9 5 1, +U a 12 9 1, -U a 5 1 2, +U a 11 8 2");
    assert_eq!(top.operator.ranking.len(0), 2);
}

#[test]
fn without_the_rank_rows_enter_and_leave() {
    let mut top = rig(TopNSpec { emit_before: false, ..spec(false, 2) });
    assert_eq!(top.sent("a 5 1, a 3 2"), "+I a 5 1, +I a 3 2");
    assert_eq!(top.sent("a 9 3"), "-D a 3 2, +I a 9 3");
    assert_eq!(top.sent("a 5 4"), "");
    assert_eq!(top.sent("a NULL 5, b NULL 6"), "+I b NULL 6");
}

#[test]
fn updates_without_before() {
    let mut top = rig(TopNSpec { emit_before: false, ..spec(true, 1) });
    assert_eq!(top.sent("a 5 1"), "+I a 5 1 1");
    assert_eq!(top.sent("a 6 2"), "+U a 6 2 1");
}

#[test]
fn the_next_row_moves_up_when_one_is_taken_back() {
    let mut top = rig(TopNSpec { input_changes: true, ..spec(false, 1) });
    assert_eq!(top.sent("a 5 1, a 4 2"), "+I a 5 1");
    assert_eq!(top.sent("-D a 5 1"), "-U a 5 1, +U a 4 2");
    assert_eq!(top.sent("-U a 4 2, +U a 4 2"), "");
    assert_eq!(top.sent("-D a 7 7"), "");
    assert_eq!(top.sent("-D a 4 2"), "-D a 4 2");
    assert_eq!(top.operator.keys.len(), 0);
    assert_eq!(top.sent("a 1 1"), "+I a 1 1");
}

#[test]
fn a_limit_without_an_order_is_first_come_first_served() {
    let limit =
        TopNSpec { name: "Limit", partition: vec![], sort: vec![], input_changes: true, ..spec(false, 2) };
    let mut top = rig(limit);
    assert_eq!(top.sent("a 1 1, b 2 2, c 3 3"), "+I a 1 1, +I b 2 2");
    // An updated row goes to the end.
    assert_eq!(top.sent("-U a 1 1, +U a 5 1"), "-D a 1 1, +I c 3 3");
    assert_eq!(top.sent("-D b 2 2"), "-D b 2 2, +I a 5 1");
}

#[test]
fn an_offset_skips() {
    let mut top = rig(TopNSpec { from: 2, to: 3, partition: vec![], ..spec(false, 3) });
    assert_eq!(top.sent("a 1 1"), "");
    assert_eq!(top.sent("a 2 2"), "+I a 1 1");
    assert_eq!(top.sent("a 9 3"), "+I a 2 2");
    assert_eq!(top.sent("a 8 4"), "-D a 1 1, +I a 8 4");
}

#[test]
fn ties_share_a_rank() {
    let mut rank = rig(TopNSpec { function: RankFunction::Rank, ..spec(true, 2) });
    assert_eq!(rank.sent("a 5 1, a 5 2, a 4 3"), "+I a 5 1 1, +I a 5 2 1");
    let mut dense = rig(TopNSpec { function: RankFunction::DenseRank, ..spec(true, 2) });
    assert_eq!(dense.sent("a 5 1, a 5 2, a 4 3, a 3 4"), "+I a 5 1 1, +I a 5 2 1, +I a 4 3 2");
    assert_eq!(dense.sent("a 6 5"), "-D a 5 1 1, -D a 5 2 1, -D a 4 3 2, +I a 6 5 1, +I a 5 1 2, +I a 5 2 2");
}

#[test]
fn state_expires() {
    let mut top = rig(TopNSpec { state_ttl: Some(Duration::from_millis(100)), ..spec(false, 1) });
    assert_eq!(top.sent("a 5 1, b 5 2"), "+I a 5 1, +I b 5 2");
    top.clock.advance(60);
    assert_eq!(top.sent("a 4 3"), "");
    top.clock.advance(60);
    // a was written 60 ms ago, b 120 ms ago.
    assert_eq!(top.sent("a 4 4, b 4 5"), "+I b 4 5");
    top.clock.advance(200);
    assert_eq!(top.sent("c 1 1"), "+I c 1 1");
    assert_eq!(top.operator.keys.len(), 1);
}

/// The rows a Top-N shows, from the rows that are there in the order of their arrival.
fn naive(rows: &[(u8, Option<i64>, i64)], spec: &TopNSpec) -> Vec<String> {
    let mut shown = Vec::new();
    for key in 0..4u8 {
        let mut sorted: Vec<_> = rows.iter().filter(|r| r.0 == key).collect();
        // Descending, NULLs last.
        sorted.sort_by_key(|r| std::cmp::Reverse(r.1));
        for (i, row) in sorted.iter().enumerate() {
            let before = sorted.iter().filter(|r| r.1 > row.1);
            let rank = match spec.function {
                RankFunction::RowNumber => i as u64 + 1,
                RankFunction::Rank => before.count() as u64 + 1,
                RankFunction::DenseRank => {
                    before.map(|r| r.1).collect::<std::collections::BTreeSet<_>>().len() as u64 + 1
                }
            };
            if (spec.from..=spec.to).contains(&rank) {
                let value = row.1.map_or("NULL".to_string(), |v| v.to_string());
                let rank = if spec.rank_output { format!(" {rank}") } else { String::new() };
                shown.push(format!("k{} {value} {}{rank}", row.0, row.2));
            }
        }
    }
    shown.sort();
    shown
}

proptest! {
    #[test]
    fn equals_the_naive_evaluation(
        steps in prop::collection::vec(
            prop::collection::vec((any::<bool>(), 0u8..4, prop::option::of(0i64..6), 0i64..5, any::<prop::sample::Index>()), 1..9),
            1..25,
        ),
        changing: bool,
        rank_output: bool,
        function in 0usize..3,
        from in 1u64..3,
        more in 0u64..3,
    ) {
        let function = [RankFunction::RowNumber, RankFunction::Rank, RankFunction::DenseRank][function];
        let spec = TopNSpec {
            function, from, to: from + more, input_changes: changing, ..spec(rank_output, 1)
        };
        let mut top = rig(spec.clone());
        let (mut rows, mut table) = (Vec::new(), Vec::new());
        for step in steps {
            let mut sent = Vec::new();
            for (delete, key, value, id, which) in step {
                if changing && delete && !rows.is_empty() {
                    let row: (u8, Option<i64>, i64) = rows[which.index(rows.len())];
                    let first = rows.iter().position(|r| *r == row).unwrap();
                    rows.remove(first);
                    sent.push(("-D", row));
                } else {
                    rows.push((key, value, id));
                    sent.push(("+I", (key, value, id)));
                }
            }
            let sent: Vec<String> = sent.iter().map(|(kind, (key, value, id))| {
                format!("{kind} k{key} {} {id}", value.map_or("NULL".into(), |v| v.to_string()))
            }).collect();
            apply(&mut table, &top.send(&sent.join(", ")));
            table.sort();
            prop_assert_eq!(&table, &naive(&rows, &spec));
        }
    }
}

proptest! {
    #[test]
    fn any_cut_changes_nothing(
        (changing, events) in any::<bool>().prop_flat_map(|c| (Just(c), cuts::events(0..6, c))),
        cuts in cuts::cuts(),
        (rank_output, expires, alone) in any::<(bool, bool, bool)>(),
        function in 0usize..3,
        from in 1u64..3,
        more in 0u64..3,
    ) {
        let function = [RankFunction::RowNumber, RankFunction::Rank, RankFunction::DenseRank][function];
        let spec = TopNSpec {
            function,
            from,
            to: from + more,
            input_changes: changing,
            state_ttl: expires.then_some(Duration::from_millis(80)),
            partition: if alone { vec![] } else { vec![0] },
            ..spec(rank_output, 1)
        };
        let (input, keys) = (spec.input.clone(), spec.partition.clone());
        cuts::check(&|| TopN::new(spec.clone()).unwrap(), (&input, &keys), &events, &cuts);
    }
}
