//! What waits when a barrier passes comes back.

#![allow(clippy::single_range_in_vec_init)]

use arrow::array::{AsArray, TimestampMillisecondArray};
use arrow::datatypes::Int64Type;

use super::random::{Shape, answer_one, rows_of, shape};
use super::*;
use crate::state::ledger::Ledger;
use crate::state::{Delta, Scope};

type Make = Box<dyn Fn(&Arc<Script>) -> LookupJoinSpec>;

/// A job of one task that crashes and comes back.
struct Job {
    script: Arc<Script>,
    make: Make,
    rig: Rig,
    ledger: Ledger,
    full: bool,
}

impl Job {
    fn new(make: impl Fn(&Arc<Script>) -> LookupJoinSpec + 'static) -> Self {
        let script = Script::new();
        let rig = Rig::new(make(&script));
        Self { script, make: Box::new(make), rig, ledger: Ledger::default(), full: true }
    }

    fn snapshot(&mut self) -> Snapshot {
        let mut snapshot = Snapshot::new(std::mem::replace(&mut self.full, false));
        self.rig.operator.snapshot(&mut snapshot).unwrap();
        snapshot
    }

    fn checkpoint(&mut self) {
        let snapshot = self.snapshot();
        self.ledger.add(0, snapshot);
    }

    /// All that is in memory is gone, also at the client and in the cache.
    fn crash(&mut self) {
        self.script = Script::new();
        let spec = (self.make)(&self.script);
        self.rig = Rig::restored(spec, Some(&mut self.ledger.restore(0, 1)));
        self.full = true;
    }

    async fn flying(&mut self) -> Vec<String> {
        self.rig.settle().await;
        self.script.flying()
    }
}

/// The table of a snapshot: ids, and lines of position, kind, watermark, key and number.
fn waiting(snapshot: Snapshot) -> (Delta, Vec<String>) {
    let delta = snapshot.into_parts().0.into_iter().find(|d| d.table == "waiting").unwrap();
    let columns = delta.rows.columns();
    let marks = columns[2].as_any().downcast_ref::<TimestampMillisecondArray>().unwrap().clone();
    let line = |row: usize| {
        let mark = if marks.is_null(row) { "-".into() } else { marks.value(row).to_string() };
        let (position, number) =
            (columns[0].as_primitive::<Int64Type>(), columns[4].as_primitive::<Int64Type>());
        let (kind, key) = (columns[1].as_string_view(), columns[3].as_string_view());
        let (position, number) = (position.value(row), number.value(row));
        format!("{position} {} {mark} {} {number}", kind.value(row), key.value(row))
    };
    let lines = (0..delta.rows.num_rows()).map(line).collect();
    (delta, lines)
}

#[tokio::test(start_paused = true)]
async fn rows_that_wait_are_asked_for_again_and_stand_where_they_stood() {
    let mut job = Job::new(|script| spec(lookup(config(), script)));
    job.rig.mark(5);
    job.rig.send(&["a 1", "b 2"]);
    job.rig.mark(10);
    job.rig.send(&["c 3"]);
    job.rig.settle().await;
    // Answered, but behind a row that is not.
    job.script.reply("b", rows(&["b B 2"]));
    job.rig.settle().await;
    assert_eq!(job.rig.take(), ["W5"]);
    job.checkpoint();
    job.crash();
    assert_eq!(job.rig.operator.room(), 0, "nothing comes before what waits");
    assert_eq!(job.flying().await, ["a", "b", "c"]);
    // The source tells its watermark again.
    job.rig.mark(10);
    for key in ["c", "b", "a"] {
        let answer = Box::leak(format!("{key} {key} 0").into_boxed_str());
        job.script.reply(key, rows(&[answer]));
    }
    job.rig.end();
    job.rig.settle().await;
    assert_eq!(job.rig.take(), ["W5", "a 1 a 0, b 2 b 0", "W10", "c 3 c 0", "W10", "End"]);
    assert_eq!(job.rig.operator.room(), HELD_ROWS);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_has_what_came_and_what_went() {
    let config = LookupConfig { output_mode: OutputMode::Unordered, ..config() };
    let mut job = Job::new(move |script| spec(lookup(config.clone(), script)));
    job.rig.send(&["a 1", "b 2", "c 3"]);
    let (delta, lines) = waiting(job.snapshot());
    assert_eq!(lines, ["0 +I - a 1", "1 +I - b 2", "2 +I - c 3"]);
    assert_eq!((delta.ids, delta.removed, delta.scope), (vec![0, 1, 2], vec![], Scope::Dealt));
    job.rig.settle().await;
    job.script.reply("b", rows(&["b B 2"]));
    job.rig.settle().await;
    job.rig.mark(7);
    job.rig.send(&["d 4"]);
    let (delta, lines) = waiting(job.snapshot());
    assert_eq!(lines, ["3 +I 7 d 4"]);
    assert_eq!((delta.ids, delta.removed), (vec![3], Vec::from([1..2])));
    // Nothing has changed, and then all is gone.
    assert_eq!(waiting(job.snapshot()).1, nothing());
    for key in ["a", "c", "d"] {
        job.rig.settle().await;
        job.script.reply(key, rows(&[]));
    }
    job.rig.settle().await;
    let (delta, lines) = waiting(job.snapshot());
    assert_eq!((delta.removed, lines), (Vec::from([0..4]), nothing()));
    let (delta, _) = waiting(job.snapshot());
    assert_eq!(delta.removed, vec![]);
}

#[tokio::test(start_paused = true)]
async fn rows_that_come_before_the_lookup_is_ready_come_back() {
    let config = LookupConfig { cache: CacheConfig::Full(Reload::Once), ..config() };
    let mut job = Job::new(move |script| {
        script.next_load(Ok(dim_rows(&["a A 1", "b B 2"])));
        spec(lookup(config.clone(), script))
    });
    job.rig.mark(3);
    job.rig.send(&["a 1", "x 2"]);
    job.rig.mark(4);
    job.checkpoint();
    // Behind the barrier, and gone: the source sends it again.
    job.rig.send(&["b 3"]);
    job.crash();
    job.checkpoint();
    job.crash();
    job.rig.mark(4);
    job.rig.send(&["b 3"]);
    job.rig.pass(1).await;
    assert_eq!(job.rig.take(), ["W3", "a 1 A 1", "W4", "b 3 B 2"]);
}

#[tokio::test(start_paused = true)]
async fn failures_are_asked_for_again_and_neither_lost_nor_doubled() {
    for on_error in [OnError::Null, OnError::Drop] {
        let config = LookupConfig { on_error: on_error.into(), ..config() };
        let mut job = Job::new(move |script| LookupJoinSpec {
            left_outer: true,
            ..spec(lookup(config.clone(), script))
        });
        job.rig.send(&["a 1", "b 2", "c 3"]);
        job.rig.settle().await;
        // Failed, but behind one without an answer.
        job.script.reply("b", failure(false, None));
        job.rig.settle().await;
        job.checkpoint();
        job.crash();
        assert_eq!(job.flying().await, ["a", "b", "c"]);
        job.script.reply("c", failure(false, None));
        job.script.reply("a", rows(&["a A 1"]));
        job.script.reply("b", rows(&["b B 2"]));
        job.rig.settle().await;
        let rest = if on_error == OnError::Null { ", c 3 NULL NULL" } else { "" };
        assert_eq!(job.rig.take().join(", "), format!("a 1 A 1, b 2 B 2{rest}"));
        job.checkpoint();
        job.crash();
        assert_eq!(job.flying().await, nothing());
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_rows_are_restored_to_any_number_of_tasks() {
    let mut ledger = Ledger::default();
    for task in 0..2 {
        let mut job = Job::new(|script| spec(lookup(config(), script)));
        job.rig.mark(5 + task as i64);
        job.rig.send(&[["a 1", "b 2"], ["c 3", "d 4"]][task]);
        job.rig.mark(10);
        job.rig.send(&["e 5"]);
        ledger.add(task, job.snapshot());
    }
    let all = ["a", "b", "e", "c", "d", "e"];
    let first = ["a", "b", "e"];
    for (tasks, expected) in [(1, vec![&all[..]]), (3, vec![&first[..], &all[3..], &[]])] {
        for (task, expected) in expected.into_iter().enumerate() {
            let script = Script::new();
            let state = &mut ledger.restore(task, tasks);
            let mut rig = Rig::restored(spec(lookup(config(), &script)), Some(state));
            rig.settle().await;
            assert_eq!(script.flying(), expected);
            for key in expected {
                script.reply(key, rows(&["x X 1"]));
            }
            rig.settle().await;
            let seen = rig.take();
            // What was told is the least of both; what would have been told between the rows is told anew.
            assert_eq!(seen[0], "W5");
            assert_eq!(seen[1..].join(", ").matches("X 1").count(), expected.len());
            assert!(seen[1..].iter().all(|item| !item.starts_with('W')));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn emitted_rows_are_retracted_after_a_crash() {
    for state_ttl in [None, Some(Duration::from_secs(1000))] {
        let mut job = Job::new(move |script| LookupJoinSpec {
            memory: Some(MemorySpec { state_ttl }),
            ..spec(lookup(config(), script))
        });
        job.rig.send(&["+I a 1", "+I a 1", "+I b 2", "+I c 3"]);
        job.rig.settle().await;
        job.script.reply("a", rows(&["a A 1"]));
        job.script.reply("a", rows(&["a AA 1", "a AAA 2"]));
        job.script.reply("b", rows(&[]));
        job.rig.settle().await;
        assert_eq!(job.rig.take().join(", "), "a 1 A 1, a 1 AA 1, a 1 AAA 2");
        job.checkpoint();
        // c has no answer yet; what takes it back waits behind it.
        job.rig.send(&["-D a 1", "-D c 3", "+I d 4"]);
        job.checkpoint();
        job.crash();
        assert_eq!(job.flying().await, ["c", "d"]);
        job.script.reply("c", rows(&["c C 1"]));
        job.script.reply("d", rows(&["d D 1"]));
        job.rig.settle().await;
        let seen = "c 3 C 1, -D a 1 AA 1, -D a 1 AAA 2, -D c 3 C 1, d 4 D 1";
        assert_eq!(job.rig.take().join(", "), seen);
        job.checkpoint();
        job.crash();
        job.rig.send(&["-D b 2", "-D d 4", "-D a 1"]);
        job.rig.settle().await;
        assert_eq!(job.rig.take().join(", "), "-D d 4 D 1, -D a 1 A 1");
        assert_eq!(job.rig.operator.memory.as_ref().unwrap().len(), (0, 0));
        job.checkpoint();
        assert_eq!((job.ledger.rows("emitted"), job.ledger.rows("answers")), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_change_stay_with_their_task() {
    let mut job = Job::new(move |script| LookupJoinSpec {
        memory: Some(MemorySpec { state_ttl: None }),
        ..spec(lookup(config(), script))
    });
    job.rig.send(&["+I a 1"]);
    job.checkpoint();
    let mut operator = LookupJoin::new((job.make)(&job.script)).unwrap();
    let e = operator.restore(&mut job.ledger.restore(0, 2)).unwrap_err();
    assert!(e.hint().is_some_and(|h| h.contains("parallelism.default")), "{e}");
}

#[derive(Debug, Clone)]
enum Act {
    Rows(Vec<(Option<u8>, bool)>),
    Mark,
    Answer(u8),
    Checkpoint,
    Crash,
    Settle,
}

fn act() -> impl Strategy<Value = Act> {
    let row = (prop::option::weighted(0.9, 0u8..8), any::<bool>());
    prop_oneof![
        4 => prop::collection::vec(row, 1..7).prop_map(Act::Rows),
        1 => Just(Act::Mark),
        5 => any::<u8>().prop_map(Act::Answer),
        2 => Just(Act::Checkpoint),
        1 => Just(Act::Crash),
        2 => Just(Act::Settle),
    ]
}

/// What a source has sent.
#[derive(Debug, Clone)]
enum Sent {
    Rows(Vec<String>),
    Mark(i64),
}

impl Job {
    fn send(&mut self, sent: &Sent) {
        match sent {
            Sent::Rows(lines) => self.rig.send(&lines.iter().map(String::as_str).collect::<Vec<_>>()),
            Sent::Mark(mark) => self.rig.mark(*mark),
        }
    }
}

/// Plays a script; what came out, and what should have. What comes out behind a checkpoint is gone with a crash, as
/// it is in a sink that commits; the source goes back to the checkpoint.
async fn play(shape: Shape, changing: bool, acts: Vec<Act>) -> (Vec<Vec<String>>, Vec<Vec<String>>) {
    let config = LookupConfig {
        cache: if shape.cached { partial() } else { CacheConfig::None },
        output_mode: if shape.ordered { OutputMode::Ordered } else { OutputMode::Unordered },
        capacity: shape.capacity,
        timeout: Duration::from_secs(1_000_000),
        ..config()
    };
    let mut job = Job::new(move |script| LookupJoinSpec {
        left_outer: shape.left_outer,
        residual: shape.filtered.then(|| more_than(column("weight", 3), 1)),
        memory: changing.then_some(MemorySpec { state_ttl: None }),
        ..spec(lookup(config.clone(), script))
    });
    let mut expected = vec![vec![]];
    let (mut number, mut mark) = (0, 0);
    let mut there: Vec<String> = vec![];
    // What was committed, and what the source has sent since.
    let (mut committed, mut since) = (vec![], vec![]);
    let mut last_mark = None;
    let found_of = |row: &str| {
        let key = row.split(' ').next().and_then(|k| k.strip_prefix('k')).map(|k| k.parse().unwrap());
        let found = key.map(rows_of).unwrap_or_default();
        let found = found.iter().filter_map(|row| row.strip_prefix("x "));
        let mut found: Vec<_> = found.filter(|row| !shape.filtered || row.ends_with('2')).collect();
        if found.is_empty() && shape.left_outer {
            found.push("NULL NULL");
        }
        found
    };
    for act in acts {
        match act {
            Act::Rows(rows) if job.rig.operator.room() > 0 => {
                let mut lines = vec![];
                for (key, back) in rows {
                    let (prefix, row) = if changing && back && !there.is_empty() {
                        ("-D ", there.swap_remove(number % there.len()))
                    } else {
                        number += 1;
                        let name = key.map_or("NULL".to_string(), |k| format!("k{k}"));
                        let row = format!("{name} {}", number % 5);
                        there.push(row.clone());
                        ("", row)
                    };
                    let found = found_of(&row);
                    let out = found.iter().map(|found| format!("{prefix}{row} {found}"));
                    expected.last_mut().unwrap().extend(out);
                    lines.push(format!("{prefix}{row}"));
                }
                since.push(Sent::Rows(lines));
                job.send(since.last().unwrap());
            }
            Act::Rows(_) | Act::Settle => job.rig.settle().await,
            Act::Mark => {
                mark += 1;
                expected.push(vec![]);
                since.push(Sent::Mark(mark));
                job.send(since.last().unwrap());
            }
            Act::Answer(which) => answer_one(&job.script, which, false),
            Act::Checkpoint => {
                job.checkpoint();
                committed.extend(job.rig.take());
                let marks =
                    since.drain(..).filter_map(|s| if let Sent::Mark(m) = s { Some(m) } else { None });
                last_mark = marks.max().or(last_mark);
            }
            Act::Crash => {
                job.crash();
                // What the assigner told is told again, then the source goes on.
                if let Some(mark) = last_mark {
                    job.rig.mark(mark);
                }
                for sent in &since.clone() {
                    job.send(sent);
                }
            }
        }
        assert!(job.script.most() <= shape.capacity);
    }
    job.rig.end();
    for _ in 0..1_000 {
        if job.rig.seen.iter().any(|item| item == "End") {
            break;
        }
        answer_one(&job.script, 0, false);
        job.rig.settle().await;
    }
    assert_eq!(job.rig.seen.last().map(String::as_str), Some("End"));
    assert!(job.rig.failed.is_none(), "{:?}", job.rig.failed);
    committed.extend(job.rig.take());
    job.checkpoint();
    assert_eq!(job.ledger.rows("waiting"), 0);
    let mut seen = vec![vec![]];
    let mut told = 0;
    for item in committed {
        if let Some(mark) = item.strip_prefix('W') {
            // Told again behind a crash: what stands behind it stood behind it before.
            let mark: i64 = mark.parse().unwrap();
            seen.resize(seen.len() + (mark - told).max(0) as usize, vec![]);
            told = told.max(mark);
        } else if item != "End" {
            seen.last_mut().unwrap().extend(item.split(", ").map(String::from));
        }
    }
    if !shape.ordered && !changing {
        seen.iter_mut().chain(&mut expected).for_each(|epoch| epoch.sort());
    }
    (seen, expected)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_row_comes_out_once_in_its_epoch_behind_any_crash(
        shape in shape(),
        changing in any::<bool>(),
        acts in prop::collection::vec(act(), 0..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let (seen, expected) = runtime.unwrap().block_on(play(shape, changing, acts));
        prop_assert_eq!(seen, expected);
    }
}
