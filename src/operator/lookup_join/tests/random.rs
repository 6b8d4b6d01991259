//! Random schedules: every row leaves once, in its epoch.

use super::*;

/// What every key has, so that an answer can be foretold: `key % 3` rows.
pub(super) fn rows_of(key: u8) -> Vec<&'static str> {
    match key % 3 {
        0 => vec![],
        1 => vec!["x one 1"],
        _ => vec!["x one 1", "x two 2"],
    }
}

#[derive(Debug, Clone)]
enum Act {
    Rows(Vec<Option<u8>>),
    Mark,
    /// Answers one of the open calls.
    Answer(u8),
    /// One of the open calls fails and is tried again.
    Fail(u8),
    Settle,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => prop::collection::vec(prop::option::weighted(0.9, 0u8..8), 1..7).prop_map(Act::Rows),
        1 => Just(Act::Mark),
        6 => any::<u8>().prop_map(Act::Answer),
        1 => any::<u8>().prop_map(Act::Fail),
        2 => Just(Act::Settle),
    ]
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) cached: bool,
    pub(super) ordered: bool,
    pub(super) left_outer: bool,
    pub(super) filtered: bool,
    pub(super) capacity: usize,
}

pub(super) fn shape() -> impl Strategy<Value = Shape> {
    (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 1usize..6).prop_map(
        |(cached, ordered, left_outer, filtered, capacity)| Shape {
            cached,
            ordered,
            left_outer,
            filtered,
            capacity,
        },
    )
}

pub(super) fn answer_one(script: &Script, which: u8, fail: bool) {
    let flying = script.flying();
    if flying.is_empty() {
        return;
    }
    let key = &flying[which as usize % flying.len()];
    let number = key.trim_start_matches('k').parse().unwrap();
    script.reply(key, if fail { failure(true, None) } else { rows(&rows_of(number)) });
}

/// Plays a script of events; what came out by epoch, and what should have.
async fn play(shape: Shape, acts: Vec<Act>) -> (Vec<Vec<String>>, Vec<Vec<String>>) {
    let script = Script::new();
    let config = LookupConfig {
        cache: if shape.cached { partial() } else { CacheConfig::None },
        output_mode: if shape.ordered { OutputMode::Ordered } else { OutputMode::Unordered },
        capacity: shape.capacity,
        max_retries: 1000,
        ..config()
    };
    let lookup = lookup(LookupConfig { timeout: Duration::from_secs(1_000_000), ..config }, &script);
    let mut rig = Rig::new(LookupJoinSpec {
        left_outer: shape.left_outer,
        residual: shape.filtered.then(|| more_than(column("weight", 3), 1)),
        ..spec(lookup)
    });
    let mut expected = vec![vec![]];
    let (mut number, mut mark) = (0, 0);
    for act in acts {
        match act {
            Act::Rows(keys) if rig.operator.room() > 0 => {
                let mut lines = vec![];
                for key in keys {
                    number += 1;
                    let name = key.map_or("NULL".to_string(), |k| format!("k{k}"));
                    lines.push(format!("{name} {number}"));
                    let found = key.map(rows_of).unwrap_or_default();
                    let found = found.iter().filter_map(|row| row.strip_prefix("x "));
                    let mut found: Vec<_> =
                        found.filter(|row| !shape.filtered || row.ends_with('2')).collect();
                    if found.is_empty() && shape.left_outer {
                        found.push("NULL NULL");
                    }
                    let epoch = expected.last_mut().unwrap();
                    epoch.extend(found.iter().map(|row| format!("{name} {number} {row}")));
                }
                rig.send(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            }
            Act::Rows(_) | Act::Settle => rig.settle().await,
            Act::Mark => {
                mark += 1;
                rig.mark(mark);
                expected.push(vec![]);
            }
            Act::Answer(which) => answer_one(&script, which, false),
            Act::Fail(which) => answer_one(&script, which, true),
        }
        assert!(script.most() <= shape.capacity);
    }
    rig.end();
    for _ in 0..1_000 {
        if rig.seen.iter().any(|item| item == "End") {
            break;
        }
        answer_one(&script, 0, false);
        rig.pass(10_000).await;
    }
    assert_eq!(rig.seen.last().map(String::as_str), Some("End"));
    assert!(rig.failed.is_none());
    assert_eq!(rig.operator.room(), HELD_ROWS);
    assert!(rig.operator.by_key.is_empty() && rig.operator.pending.iter().all(Option::is_none));
    let mut seen = vec![vec![]];
    for item in rig.take() {
        if item.starts_with('W') {
            seen.push(vec![]);
        } else if item != "End" {
            seen.last_mut().unwrap().extend(item.split(", ").map(String::from));
        }
    }
    if !shape.ordered {
        seen.iter_mut().chain(&mut expected).for_each(|epoch| epoch.sort());
    }
    (seen, expected)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_row_comes_out_once_in_its_epoch(
        shape in shape(),
        acts in prop::collection::vec(act(), 0..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let (seen, expected) = runtime.unwrap().block_on(play(shape, acts));
        prop_assert_eq!(seen, expected);
    }
}
