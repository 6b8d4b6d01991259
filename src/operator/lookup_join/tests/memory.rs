//! Updating input: what is taken back is what was emitted.

use super::*;

fn remembering(spec: LookupJoinSpec) -> LookupJoinSpec {
    LookupJoinSpec { memory: Some(MemorySpec { state_ttl: None }), ..spec }
}

#[tokio::test(start_paused = true)]
async fn a_retraction_makes_no_call_and_takes_back_what_was_emitted() {
    let script = Script::new();
    let mut rig =
        Rig::new(remembering(LookupJoinSpec { left_outer: true, ..spec(lookup(config(), &script)) }));
    rig.send(&["+I a 1", "+I NULL 2", "-D a 1", "+I a 1"]);
    rig.settle().await;
    assert_eq!(script.flying(), ["a", "a"]);
    script.reply("a", rows(&["a A 1", "a AA 2"]));
    rig.settle().await;
    assert_eq!(rig.take(), ["a 1 A 1, a 1 AA 2, NULL 2 NULL NULL, -D a 1 A 1, -D a 1 AA 2"]);
    script.reply("a", rows(&["a B 3"]));
    rig.settle().await;
    assert_eq!(rig.take(), ["a 1 B 3"]);
    // The table's answer has changed again; nobody asks.
    rig.send(&["-U a 1", "+U b 1", "-D NULL 2", "-D x 9"]);
    rig.settle().await;
    assert_eq!(rig.take(), ["-U a 1 B 3"]);
    assert_eq!(script.flying(), ["b"]);
    script.reply("b", rows(&[]));
    rig.settle().await;
    assert_eq!(rig.take(), ["+U b 1 NULL NULL, -D NULL 2 NULL NULL"]);
    rig.send(&["-D b 1"]);
    assert_eq!(rig.take(), ["-D b 1 NULL NULL"]);
    assert_eq!(rig.operator.memory.as_ref().unwrap().len(), (0, 0));
    assert_eq!(script.calls().len(), 3);
}

#[derive(Debug, Clone)]
enum Act {
    Add(u8, u8),
    Remove(u8),
    Update(u8, u8),
    Send,
    Answer(u8, u8),
    Settle,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0u8..4, 0u8..3).prop_map(|(k, n)| Act::Add(k, n)),
        2 => any::<u8>().prop_map(Act::Remove),
        2 => (any::<u8>(), 0u8..4).prop_map(|(i, k)| Act::Update(i, k)),
        2 => Just(Act::Send),
        3 => (any::<u8>(), 0u8..4).prop_map(|(i, a)| Act::Answer(i, a)),
        2 => Just(Act::Settle),
    ]
}

/// Answers an open call, with rows that have nothing to do with those of the last time.
fn answer(script: &Script, which: u8, shape: u8) -> bool {
    let flying = script.flying();
    if flying.is_empty() {
        return false;
    }
    let answers: [&[&'static str]; 4] = [&[], &["x A 1"], &["x B 2", "x C 3"], &["x D 4", "x D 4"]];
    script.reply(&flying[which as usize % flying.len()], rows(answers[shape as usize]));
    true
}

async fn play(left_outer: bool, cached: bool, acts: Vec<Act>) {
    let script = Script::new();
    let cache = if cached { partial() } else { CacheConfig::None };
    let config = LookupConfig { cache, timeout: Duration::from_secs(1_000_000), ..config() };
    let mut rig = Rig::new(remembering(LookupJoinSpec { left_outer, ..spec(lookup(config, &script)) }));
    let (mut there, mut unsent): (Vec<String>, Vec<String>) = (vec![], vec![]);
    let row = |k: u8, n: u8| if k == 0 { format!("NULL {n}") } else { format!("k{k} {n}") };
    for act in acts {
        match act {
            Act::Add(k, n) => {
                there.push(row(k, n));
                unsent.push(format!("+I {}", row(k, n)));
            }
            Act::Remove(i) if !there.is_empty() => {
                let gone = there.swap_remove(i as usize % there.len());
                unsent.push(format!("-D {gone}"));
            }
            Act::Update(i, k) if !there.is_empty() => {
                let i = i as usize % there.len();
                let after = row(k, i as u8 % 3);
                unsent.push(format!("-U {}", there[i]));
                unsent.push(format!("+U {after}"));
                there[i] = after;
            }
            Act::Send => {
                let lines = std::mem::take(&mut unsent);
                rig.send(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            }
            Act::Answer(which, shape) => drop(answer(&script, which, shape)),
            _ => rig.settle().await,
        }
    }
    // All goes away: what was emitted goes with it.
    unsent.extend(there.drain(..).map(|row| format!("-D {row}")));
    rig.send(&unsent.iter().map(String::as_str).collect::<Vec<_>>());
    rig.settle().await;
    let mut shape = 0;
    while answer(&script, 0, shape) {
        shape = (shape + 1) % 4;
        rig.settle().await;
    }
    assert!(rig.failed.is_none());
    let mut emitted: Vec<String> = vec![];
    for change in rig.take().iter().flat_map(|item| item.split(", ")) {
        match change.split_at(3.min(change.len())) {
            ("-U " | "-D ", row) => {
                let at = emitted.iter().position(|r| r == row);
                emitted.swap_remove(at.unwrap_or_else(|| panic!("{change} was never emitted")));
            }
            ("+U ", row) => emitted.push(row.to_string()),
            _ => emitted.push(change.to_string()),
        }
    }
    assert_eq!(emitted, nothing());
    assert_eq!(rig.operator.memory.as_ref().unwrap().len(), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_taken_back_that_was_not_emitted(
        left_outer in any::<bool>(),
        cached in any::<bool>(),
        acts in prop::collection::vec(act(), 0..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(play(left_outer, cached, acts));
    }
}
