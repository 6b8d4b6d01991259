//! Rows that go to the table of dead letters.

use super::*;
use crate::dead_letter::{DeadLetter, letters};
use crate::lookup::{ErrorPolicy, OnError};
use crate::state::ledger::Ledger;

fn config_with_letters() -> LookupConfig {
    let on_error: ErrorPolicy = OnError::DeadLetter.into();
    LookupConfig { on_error, max_retries: 0, ..config() }
}

fn with_letters(script: &Arc<Script>, cached: bool) -> LookupJoinSpec {
    let config = config_with_letters();
    let config = if cached { LookupConfig { cache: partial(), ..config } } else { config };
    LookupJoinSpec { dead_letters: true, left_outer: true, ..spec(lookup(config, script)) }
}

/// What an operator gives: rows as text, and letters.
fn taken(out: &mut Output) -> (Vec<String>, Vec<DeadLetter>) {
    let (mut rows, mut dead) = (Vec::new(), Vec::new());
    for message in out.drain() {
        let Message::Data(chunk) = message else { continue };
        let (failed, columns) = chunk.batch.columns().split_last().unwrap();
        assert_eq!(columns.len(), 4);
        dead.extend(letters(failed, 7));
        for row in (0..chunk.len()).filter(|row| failed.is_null(*row)) {
            let text = |c: &ArrayRef| match c.is_null(row) {
                true => "NULL".to_string(),
                false => array_value_to_string(c, row).unwrap(),
            };
            rows.push(columns.iter().map(text).collect::<Vec<_>>().join(" "));
        }
    }
    (rows, dead)
}

async fn settled(rig: &mut Rig) -> (Vec<String>, Vec<DeadLetter>) {
    let mut out = Output::default();
    for _ in 0..30 {
        tokio::task::yield_now().await;
        if !rig.mailbox.take().woken.is_empty() {
            rig.operator.wake(&mut out).unwrap();
        }
    }
    taken(&mut out)
}

#[tokio::test(start_paused = true)]
async fn a_failed_row_is_a_letter_and_the_others_go_on() {
    for cached in [false, true] {
        let script = Script::new();
        let mut rig = Rig::new(with_letters(&script, cached));
        let mut out = Output::default();
        rig.operator.chunk(chunk(&["a 1", "b 2", "NULL 3", "b 4"]), &mut out).unwrap();
        assert_eq!(taken(&mut out).0.len(), 0);
        settled(&mut rig).await;
        script.reply("a", rows(&["a A 1"]));
        script.reply("b", failure(false, None));
        if !cached {
            script.reply("b", failure(false, None));
        }
        let (rows, dead) = settled(&mut rig).await;
        assert_eq!(rows, ["a 1 A 1", "NULL 3 NULL NULL"], "{cached}");
        let shown: Vec<_> = dead
            .iter()
            .map(|l| {
                (
                    l.kind.as_ref(),
                    l.lookup_key.as_deref().unwrap(),
                    l.row_json.as_deref().unwrap(),
                    l.attempts,
                )
            })
            .collect();
        let key = r#"{"id":"b"}"#;
        assert_eq!(
            shown,
            [("status", key, r#"{"k":"b","n":2}"#, Some(1)), ("status", key, r#"{"k":"b","n":4}"#, Some(1)),]
        );
        assert_eq!((dead[0].message.as_str(), dead[0].occurred_at), ("status 503", 7));
        let counted = LookupMetrics::get(&rig.operator.lookup.metrics().dead_letters);
        assert_eq!(counted, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_was_not_given_out_is_made_again_after_a_crash() {
    let script = Script::new();
    let mut rig = Rig::new(with_letters(&script, false));
    let mut out = Output::default();
    // The first row holds the letter of the second back.
    rig.operator.chunk(chunk(&["a 1", "b 2"]), &mut out).unwrap();
    settled(&mut rig).await;
    script.reply("b", failure(false, None));
    let (rows_before, dead) = settled(&mut rig).await;
    assert_eq!((rows_before.len(), dead.len()), (0, 0));
    let mut ledger = Ledger::default();
    let mut snapshot = Snapshot::new(true);
    rig.operator.snapshot(&mut snapshot).unwrap();
    ledger.add(0, snapshot);
    let script = Script::new();
    let mut rig = Rig::restored(with_letters(&script, false), Some(&mut ledger.restore(0, 1)));
    settled(&mut rig).await;
    script.reply("a", rows(&["a A 1"]));
    script.reply("b", failure(false, None));
    let (rows, dead) = settled(&mut rig).await;
    assert_eq!((rows, dead.len()), (vec!["a 1 A 1".to_string()], 1));
    // Given out before the barrier: not again.
    let mut snapshot = Snapshot::new(true);
    rig.operator.snapshot(&mut snapshot).unwrap();
    let mut ledger = Ledger::default();
    ledger.add(0, snapshot);
    let script = Script::new();
    let mut rig = Rig::restored(with_letters(&script, false), Some(&mut ledger.restore(0, 1)));
    let (rows, dead) = settled(&mut rig).await;
    assert_eq!((rows.len(), dead.len(), script.calls().len()), (0, 0, 0));
}
