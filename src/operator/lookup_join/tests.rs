//! The operator with a backend that answers when the test says so.
#![allow(clippy::unwrap_used, clippy::panic)]

mod checkpoint;
mod letters;
mod memory;
mod random;

use std::time::Duration;

use arrow::array::{Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::array_value_to_string;
use datafusion_expr::Operator as BinaryOperator;
use datafusion_physical_expr::expressions::{BinaryExpr, Column, lit};
use proptest::prelude::*;

use super::*;
use crate::clock::ManualClock;
use crate::flow::message::WatermarkClock;
use crate::flow::{Kind, Mailbox};
use crate::lookup::config::{CacheConfig, LookupConfig};
use crate::lookup::full::Reload;
use crate::lookup::metrics::LookupMetrics;
use crate::lookup::script::{Script, config, dim_rows, failure, partial, request, rows};

/// One task with its operator; what comes out is noted as text.
struct Rig {
    operator: LookupJoin,
    mailbox: Mailbox,
    seen: Vec<String>,
    failed: Option<Error>,
    marks: WatermarkClock,
}

fn lookup_with(config: LookupConfig, script: &Arc<Script>, clock: &Arc<ManualClock>) -> Arc<Lookup> {
    let backoff = crate::lookup::retry::Backoff::new(
        Duration::from_millis(100),
        Duration::from_secs(10),
        Arc::new(|| 1.0),
    );
    let runtime = tokio::runtime::Handle::current();
    Lookup::with_backoff("d".into(), request(), script.clone(), config, runtime, clock.clone(), backoff)
        .unwrap()
}

fn lookup(config: LookupConfig, script: &Arc<Script>) -> Arc<Lookup> {
    lookup_with(config, script, &ManualClock::new(0))
}

fn column(name: &str, index: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(name, index))
}

fn more_than(column: Arc<dyn PhysicalExpr>, than: i64) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(column, BinaryOperator::Gt, lit(than)))
}

/// `SELECT k, n, brand, weight FROM left JOIN d ON k = d.id`.
fn spec(lookup: Arc<Lookup>) -> LookupJoinSpec {
    let schema = Schema::new(vec![
        Field::new("k", DataType::Utf8View, true),
        Field::new("n", DataType::Int64, true),
        Field::new("brand", DataType::Utf8View, true),
        Field::new("weight", DataType::Int64, true),
    ]);
    LookupJoinSpec {
        lookup,
        keys: vec![column("k", 0)],
        pre_filter: None,
        right_filter: None,
        right_projection: vec![column("brand", 1), column("weight", 2)],
        residual: None,
        left_outer: false,
        left_projection: vec![0, 1],
        schema: Arc::new(schema),
        left: chunk(&["a 1"]).batch.schema(),
        memory: None,
        dead_letters: false,
    }
}

/// Rows `k n`, with `NULL` for NULL; `-U k n` and the like make a changelog.
fn chunk(lines: &[&str]) -> Chunk {
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| match &line[..2] {
            "-U" => Kind::UpdateBefore,
            "+U" => Kind::UpdateAfter,
            "-D" => Kind::Delete,
            _ => Kind::Insert,
        })
        .collect();
    let word = |line: &&str, i: usize| {
        let mut words: Vec<_> = line.split(' ').map(String::from).collect();
        words.retain(|w| !["+I", "-U", "+U", "-D"].contains(&w.as_str()));
        words.get(i).cloned().filter(|w| w != "NULL")
    };
    let keys: StringViewArray = lines.iter().map(|l| word(l, 0)).collect();
    let numbers: Int64Array = lines.iter().map(|l| word(l, 1).map(|n| n.parse::<i64>().unwrap())).collect();
    let schema =
        Schema::new(vec![Field::new("k", DataType::Utf8View, true), Field::new("n", DataType::Int64, true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(keys), Arc::new(numbers)]).unwrap();
    let kinds =
        if kinds.iter().all(|k| *k == Kind::Insert) { Kinds::Append } else { Kinds::Changes(kinds.into()) };
    Chunk { batch, kinds, ingest: std::time::Instant::now() }
}

impl Rig {
    fn new(spec: LookupJoinSpec) -> Self {
        Self::restored(spec, None)
    }

    fn restored(spec: LookupJoinSpec, state: Option<&mut Restored>) -> Self {
        let mailbox = Mailbox::new();
        let mut operator = LookupJoin::new(spec).unwrap();
        let context = OperatorContext {
            task: 0,
            parallelism: 1,
            waker: mailbox.waker(0),
            clock: ManualClock::new(0),
            checkpointed: true,
            memory: crate::state::Memory::unlimited(),
        };
        operator.open(context).unwrap();
        if let Some(state) = state {
            operator.restore(state).unwrap();
        }
        Self { operator, mailbox, seen: vec![], failed: None, marks: WatermarkClock::default() }
    }

    fn note(&mut self, mut out: Output, result: Result<()>) {
        self.failed = self.failed.take().or(result.err());
        let mut rows = vec![];
        for message in out.drain() {
            match message {
                Message::Data(chunk) => {
                    for row in 0..chunk.len() {
                        let values = chunk.batch.columns().iter().map(|c| {
                            if c.is_null(row) {
                                "NULL".into()
                            } else {
                                array_value_to_string(c, row).unwrap()
                            }
                        });
                        let kind = match chunk.kinds.get(row) {
                            Kind::Insert => String::new(),
                            kind => format!("{} ", kind.as_str()),
                        };
                        rows.push(kind + &values.collect::<Vec<_>>().join(" "));
                    }
                    self.seen.push(rows.join(", "));
                    rows.clear();
                }
                Message::Watermark(w) => self.seen.push(format!("W{}", w.millis())),
                Message::Barrier(_) => {}
                other => self.seen.push(format!("{other:?}")),
            }
        }
    }

    fn send(&mut self, lines: &[&str]) {
        let mut out = Output::default();
        let result = self.operator.chunk(chunk(lines), &mut out);
        self.note(out, result);
    }

    fn signal(&mut self, act: impl FnOnce(&mut LookupJoin, &mut Output) -> Result<()>) {
        let mut out = Output::default();
        let result = act(&mut self.operator, &mut out);
        self.note(out, result);
    }

    fn mark(&mut self, millis: i64) {
        let mark = self.marks.advance(millis).unwrap();
        self.signal(|operator, out| operator.watermark(mark, out));
    }

    fn end(&mut self) {
        self.signal(|operator, out| operator.end(out));
    }

    /// Lets everything happen that can happen now.
    async fn settle(&mut self) {
        for _ in 0..30 {
            tokio::task::yield_now().await;
            if !self.mailbox.take().woken.is_empty() {
                self.signal(|operator, out| operator.wake(out));
            }
        }
    }

    /// Lets everything happen that happens within so many milliseconds.
    async fn pass(&mut self, millis: u64) {
        self.settle().await;
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.settle().await;
    }

    /// What came out since the last look, one item a message.
    fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.seen)
    }
}

fn nothing() -> Vec<String> {
    vec![]
}

#[tokio::test(start_paused = true)]
async fn ordered_rows_leave_as_they_came_and_watermarks_stay_between_them() {
    let script = Script::new();
    let mut rig = Rig::new(spec(lookup(config(), &script)));
    rig.send(&["a 1", "b 2"]);
    rig.mark(10);
    rig.send(&["c 3"]);
    rig.settle().await;
    assert_eq!(script.flying(), ["a", "b", "c"]);
    script.reply("c", rows(&["c C 3"]));
    script.reply("b", rows(&["b B 2"]));
    rig.settle().await;
    assert_eq!(rig.take(), nothing());
    script.reply("a", rows(&["a A 1"]));
    rig.end();
    rig.settle().await;
    assert_eq!(rig.take(), ["a 1 A 1, b 2 B 2", "W10", "c 3 C 3", "End"]);
    assert_eq!(rig.operator.room(), HELD_ROWS);
}

#[tokio::test(start_paused = true)]
async fn unordered_rows_overtake_rows_but_no_watermark() {
    let script = Script::new();
    let config = LookupConfig { output_mode: OutputMode::Unordered, ..config() };
    let mut rig = Rig::new(spec(lookup(config, &script)));
    rig.send(&["a 1", "b 2", "c 3"]);
    rig.mark(10);
    rig.send(&["d 4", "e 5"]);
    rig.settle().await;
    script.reply("e", rows(&["e E 5"]));
    script.reply("c", rows(&["c C 3"]));
    rig.settle().await;
    assert_eq!(rig.take(), ["c 3 C 3"]);
    script.reply("a", rows(&[]));
    script.reply("b", rows(&["b B 2"]));
    rig.settle().await;
    assert_eq!(rig.take(), ["b 2 B 2", "W10", "e 5 E 5"]);
    rig.end();
    assert_eq!(rig.take(), nothing());
    script.reply("d", rows(&["d D 4"]));
    rig.settle().await;
    assert_eq!(rig.take(), ["d 4 D 4", "End"]);
}

#[tokio::test(start_paused = true)]
async fn updating_input_is_ordered_and_kinds_are_kept() {
    let script = Script::new();
    let config = LookupConfig { output_mode: OutputMode::Unordered, ..config() };
    let mut rig = Rig::new(spec(lookup(config, &script)));
    rig.send(&["+I a 1", "-U a 1", "+U b 2", "-D b 2"]);
    rig.settle().await;
    script.reply("b", rows(&["b B 2", "b BB 3"]));
    rig.settle().await;
    assert_eq!(rig.take(), nothing());
    script.reply("a", rows(&["a A 1"]));
    script.reply("a", rows(&["a A 1"]));
    script.reply("b", rows(&["b B 2"]));
    rig.settle().await;
    assert_eq!(rig.take(), ["a 1 A 1, -U a 1 A 1, +U b 2 B 2, +U b 2 BB 3, -D b 2 B 2"]);
}

#[tokio::test(start_paused = true)]
async fn null_keys_never_call_and_left_pads_once() {
    let script = Script::new();
    let mut rig = Rig::new(LookupJoinSpec { left_outer: true, ..spec(lookup(config(), &script)) });
    rig.send(&["NULL 1", "a 2", "NULL 3"]);
    rig.settle().await;
    assert_eq!(script.calls(), ["a"]);
    script.reply("a", rows(&[]));
    rig.settle().await;
    let all = ["NULL 1 NULL NULL", "a 2 NULL NULL, NULL 3 NULL NULL"].join(", ");
    assert_eq!(rig.take().join(", "), all);
    let mut inner = Rig::new(spec(lookup(config(), &script)));
    inner.send(&["NULL 1"]);
    inner.settle().await;
    assert_eq!((inner.take(), script.calls().len()), (nothing(), 1));
}

#[tokio::test(start_paused = true)]
async fn a_left_pre_filter_suppresses_calls() {
    let script = Script::new();
    let pre_filter = Some(more_than(column("n", 1), 1));
    let mut rig =
        Rig::new(LookupJoinSpec { pre_filter, left_outer: true, ..spec(lookup(config(), &script)) });
    rig.send(&["a 1", "b 2", "c NULL"]);
    rig.settle().await;
    assert_eq!(script.calls(), ["b"]);
    script.reply("b", rows(&["b B 2"]));
    rig.settle().await;
    assert_eq!(rig.take().join(", "), "a 1 NULL NULL, b 2 B 2, c NULL NULL NULL");
}

#[tokio::test(start_paused = true)]
async fn matches_fan_out_and_a_false_residual_pads_once() {
    let script = Script::new();
    let spec = |left_outer, lookup| LookupJoinSpec {
        right_filter: Some(more_than(column("weight", 2), 0)),
        residual: Some(Arc::new(BinaryExpr::new(column("weight", 3), BinaryOperator::Gt, column("n", 1)))),
        left_outer,
        ..spec(lookup)
    };
    for left_outer in [true, false] {
        let mut rig = Rig::new(spec(left_outer, lookup(config(), &script)));
        rig.send(&["a 1", "b 1", "c 1", "d 1"]);
        rig.settle().await;
        script.reply("a", rows(&["a A1 3", "a A2 1", "a A3 2"]));
        script.reply("b", rows(&["b B1 1", "b B2 0"]));
        script.reply("c", rows(&[]));
        script.reply("d", rows(&["d NULL 9"]));
        rig.settle().await;
        let expected = if left_outer {
            "a 1 A1 3, a 1 A3 2, b 1 NULL NULL, c 1 NULL NULL, d 1 NULL 9"
        } else {
            "a 1 A1 3, a 1 A3 2, d 1 NULL 9"
        };
        assert_eq!(rig.take(), [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn capacity_bounds_what_is_asked() {
    let script = Script::new();
    let mut rig = Rig::new(spec(lookup(LookupConfig { capacity: 2, ..config() }, &script)));
    rig.send(&["a 1", "b 2", "c 3", "a 4"]);
    rig.settle().await;
    assert_eq!(script.flying(), ["a", "b"]);
    assert_eq!(rig.operator.room(), 0);
    script.reply("b", rows(&["b B 2"]));
    rig.settle().await;
    assert_eq!(script.flying(), ["a", "c"]);
    script.reply("a", rows(&["a A 1"]));
    rig.settle().await;
    assert_eq!(rig.operator.room(), HELD_ROWS - 2);
    script.reply("c", rows(&["c C 3"]));
    script.reply("a", rows(&["a AA 1"]));
    rig.settle().await;
    assert_eq!(rig.take(), ["a 1 A 1, b 2 B 2", "c 3 C 3, a 4 AA 1"]);
    assert_eq!((script.most(), script.calls().len()), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn sync_asks_one_row_at_a_time() {
    let script = Script::new();
    let sync = LookupConfig { is_async: false, output_mode: OutputMode::Unordered, ..config() };
    let mut rig = Rig::new(spec(lookup(sync, &script)));
    rig.send(&["a 1", "b 2"]);
    rig.settle().await;
    assert_eq!(script.flying(), ["a"]);
    script.reply("a", rows(&["a A 1"]));
    rig.settle().await;
    assert_eq!((rig.take(), script.flying()), (vec!["a 1 A 1".to_string()], vec!["b".to_string()]));
    script.reply("b", rows(&["b B 2"]));
    rig.settle().await;
    assert_eq!((rig.take(), script.most()), (vec!["b 2 B 2".to_string()], 1));
}

#[tokio::test(start_paused = true)]
async fn a_cached_key_is_in_flight_once_for_all_rows_and_tasks() {
    let script = Script::new();
    let lookup = lookup(LookupConfig { cache: partial(), capacity: 2, ..config() }, &script);
    let mut one = Rig::new(spec(lookup.clone()));
    let mut two = Rig::new(spec(lookup.clone()));
    one.send(&["a 1", "a 2", "b 3", "a 4"]);
    two.send(&["a 5", "b 6"]);
    one.settle().await;
    assert_eq!(script.calls(), ["a", "b"]);
    // Rows that share a request need no place.
    assert_ne!(one.operator.room(), 0);
    one.send(&["a 7", "b 8"]);
    script.reply("a", rows(&["a A 1"]));
    script.reply("b", rows(&[]));
    one.settle().await;
    two.settle().await;
    assert_eq!(one.take().join(", "), "a 1 A 1, a 2 A 1, a 4 A 1, a 7 A 1");
    assert_eq!(two.take(), ["a 5 A 1"]);
    // Hits and known misses cost no call.
    one.send(&["b 9", "a 10"]);
    assert_eq!(one.take(), ["a 10 A 1"]);
    assert_eq!(script.calls().len(), 2);
    let metrics = lookup.metrics();
    assert_eq!((LookupMetrics::get(&metrics.hits), LookupMetrics::get(&metrics.misses)), (2, 8));
    assert_eq!((LookupMetrics::get(&metrics.cached), LookupMetrics::get(&metrics.not_found)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn hits_are_held_behind_misses_when_order_matters_and_only_then() {
    for (output_mode, first) in [(OutputMode::Ordered, ""), (OutputMode::Unordered, "a 2 A 1")] {
        let script = Script::new();
        let config = LookupConfig { cache: partial(), output_mode, ..config() };
        let mut rig = Rig::new(spec(lookup(config, &script)));
        rig.send(&["a 1"]);
        rig.settle().await;
        script.reply("a", rows(&["a A 1"]));
        rig.settle().await;
        rig.take();
        rig.send(&["b 1", "a 2"]);
        assert_eq!(rig.take().join(""), first);
        rig.send(&["a 3"]);
        rig.settle().await;
        script.reply("b", rows(&["b B 2"]));
        rig.settle().await;
        let rest = if first.is_empty() { "b 1 B 2, a 2 A 1, a 3 A 1" } else { "a 3 A 1, b 1 B 2" };
        assert_eq!(rig.take().join(", "), rest);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_and_harm_no_other_row() {
    let script = Script::new();
    let config = LookupConfig { output_mode: OutputMode::Unordered, ..config() };
    let mut rig = Rig::new(spec(lookup(config, &script)));
    rig.send(&["a 1", "b 2"]);
    rig.settle().await;
    script.reply("a", failure(true, Some(Duration::from_secs(5))));
    script.reply("b", rows(&["b B 2"]));
    rig.pass(4_900).await;
    // Retry-After is longer than the back-off.
    assert_eq!((rig.take(), script.calls()), (vec!["b 2 B 2".into()], vec!["a".into(), "b".into()]));
    rig.pass(200).await;
    assert_eq!(script.calls(), ["a", "b", "a"]);
    script.reply("a", failure(true, None));
    rig.pass(250).await;
    script.reply("a", rows(&["a A 1"]));
    rig.settle().await;
    assert_eq!(rig.take(), ["a 1 A 1"]);
    assert!(rig.failed.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_left_fails_the_job_and_names_table_key_and_cause() {
    let script = Script::new();
    let mut rig = Rig::new(spec(lookup(LookupConfig { max_retries: 1, ..config() }, &script)));
    rig.send(&["a 1"]);
    rig.settle().await;
    script.reply("a", failure(true, None));
    rig.pass(150).await;
    script.reply("a", failure(true, None));
    rig.settle().await;
    let e = rig.failed.unwrap();
    assert_eq!(e.message(), "lookup in table 'd' failed for id = a: status 503");
    assert!(e.hint().is_some_and(|h| h.contains("lookup.on-error")));
    assert_eq!(script.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn errors_do_what_the_table_says_and_are_not_cached() {
    for (on_error, expected) in [(OnError::Null, "a 1 NULL NULL, b 2 B 2"), (OnError::Drop, "b 2 B 2")] {
        let script = Script::new();
        let config = LookupConfig { on_error: on_error.into(), cache: partial(), ..config() };
        let lookup = lookup(config, &script);
        let mut rig = Rig::new(LookupJoinSpec { left_outer: true, ..spec(lookup.clone()) });
        rig.send(&["a 1", "b 2"]);
        rig.settle().await;
        script.reply("a", failure(false, None));
        script.reply("b", rows(&["b B 2"]));
        rig.settle().await;
        assert_eq!(rig.take().join(", "), expected);
        let metrics = lookup.metrics();
        assert_eq!((LookupMetrics::get(&metrics.errors), LookupMetrics::get(&metrics.not_found)), (1, 0));
        rig.send(&["a 3", "b 4"]);
        rig.settle().await;
        assert_eq!(script.calls(), ["a", "b", "a"]);
        script.reply("a", rows(&["a A 1"]));
        rig.settle().await;
        assert_eq!(rig.take().join(", "), "a 3 A 1, b 4 B 2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_hangs_keeps_no_place() {
    let script = Script::new();
    let config = LookupConfig {
        on_error: OnError::Null.into(),
        capacity: 1,
        timeout: Duration::from_secs(3),
        ..config()
    };
    let lookup = lookup(config, &script);
    let mut rig = Rig::new(LookupJoinSpec { left_outer: true, ..spec(lookup.clone()) });
    rig.send(&["a 1", "b 2"]);
    rig.pass(2_900).await;
    assert_eq!(script.flying(), ["a"]);
    rig.pass(200).await;
    assert_eq!((rig.take(), script.flying()), (vec!["a 1 NULL NULL".into()], vec!["b".into()]));
    script.reply("b", rows(&["b B 2"]));
    rig.settle().await;
    assert_eq!(rig.take(), ["b 2 B 2"]);
    assert_eq!(LookupMetrics::get(&lookup.metrics().in_flight), 0);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_joined_late_gets_its_whole_time() {
    let script = Script::new();
    let config = LookupConfig {
        on_error: OnError::Null.into(),
        cache: partial(),
        output_mode: OutputMode::Unordered,
        timeout: Duration::from_secs(3),
        ..config()
    };
    let mut rig = Rig::new(LookupJoinSpec { left_outer: true, ..spec(lookup(config, &script)) });
    rig.send(&["a 1"]);
    rig.pass(2_000).await;
    rig.send(&["a 2"]);
    rig.pass(1_500).await;
    assert_eq!(rig.take(), ["a 1 NULL NULL"]);
    script.reply("a", rows(&["a A 1"]));
    rig.settle().await;
    assert_eq!(rig.take(), ["a 2 A 1"]);
    assert_eq!(script.calls(), ["a", "a"]);
}

#[tokio::test(start_paused = true)]
async fn misses_are_asked_again_as_often_as_the_hint_says_and_cached_ones_are_not() {
    let script = Script::new();
    let config = LookupConfig { retry_miss: Some((2, Duration::from_secs(1))), cache: partial(), ..config() };
    let mut rig = Rig::new(spec(lookup(config, &script)));
    rig.send(&["a 1"]);
    for _ in 0..3 {
        rig.pass(1_000).await;
        script.reply("a", rows(&[]));
    }
    rig.pass(5_000).await;
    rig.send(&["a 2"]);
    rig.settle().await;
    assert_eq!(script.calls().len(), 3);
    assert_eq!(rig.operator.room(), HELD_ROWS);
}

#[tokio::test(start_paused = true)]
async fn entries_expire_by_the_clock() {
    let script = Script::new();
    let clock = ManualClock::new(0);
    let lookup = lookup_with(LookupConfig { cache: partial(), ..config() }, &script, &clock);
    let mut rig = Rig::new(spec(lookup));
    rig.send(&["a 1"]);
    rig.settle().await;
    script.reply("a", rows(&["a A 1"]));
    rig.settle().await;
    clock.advance(59_999);
    rig.send(&["a 2"]);
    clock.advance(1);
    rig.send(&["a 3"]);
    rig.settle().await;
    assert_eq!(script.calls(), ["a", "a"]);
    script.reply("a", rows(&["a B 1"]));
    rig.settle().await;
    assert_eq!(rig.take(), ["a 1 A 1", "a 2 A 1", "a 3 B 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_backend_is_an_error() {
    let script = Script::new();
    let mut rig = Rig::new(spec(lookup(config(), &script)));
    rig.send(&["a 1"]);
    rig.settle().await;
    script.reply("a", crate::lookup::script::Reply::Panic);
    rig.settle().await;
    assert!(rig.failed.is_some_and(|e| e.message().contains("unexpectedly")));
}

#[tokio::test(start_paused = true)]
async fn keys_that_queued_travel_together() {
    let script = Script::with_max_keys(3);
    let limits = crate::lookup::endpoint::Limits { max_in_flight: Some(4), ..Default::default() };
    let config = LookupConfig { output_mode: OutputMode::Unordered, limits, ..config() };
    let mut rig = Rig::new(spec(lookup(config, &script)));
    rig.send(&["a 1", "b 2", "c 3", "d 4"]);
    rig.settle().await;
    assert_eq!(script.flying(), ["a,b,c", "d"]);
    rig.send(&["e 5"]);
    rig.settle().await;
    rig.send(&["f 6"]);
    rig.settle().await;
    for line in ["g 7", "h 8", "i 9", "j 10"] {
        rig.send(&[line]);
        rig.settle().await;
    }
    assert_eq!(script.flying(), ["a,b,c", "d", "e", "f"]);
    script.reply("d", rows(&["d D 4"]));
    rig.settle().await;
    assert_eq!(script.flying(), ["a,b,c", "e", "f", "g,h,i"]);
    // One key that fails harms no other of its request.
    script.reply_all("a,b,c", vec![rows(&["a A 1"]), failure(true, None), rows(&[])]);
    rig.pass(150).await;
    assert_eq!(rig.take(), ["d 4 D 4", "a 1 A 1"]);
    assert_eq!(script.flying(), ["e", "f", "g,h,i", "j"]);
    script.reply("j", rows(&[]));
    rig.settle().await;
    script.reply("b", rows(&["b B 2"]));
    rig.settle().await;
    assert_eq!(rig.take(), ["b 2 B 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_cache_holds_rows_until_it_is_loaded_and_never_calls() {
    let script = Script::new();
    script.next_load(Ok(dim_rows(&["a A 1", "b B 2", "NULL N 3", "a AA 4"])));
    let cache = CacheConfig::Full(Reload::Once);
    let lookup = lookup(LookupConfig { cache, ..config() }, &script);
    let mut rig = Rig::new(LookupJoinSpec { left_outer: true, ..spec(lookup.clone()) });
    rig.send(&["a 1", "NULL 2"]);
    rig.mark(5);
    assert_eq!((rig.operator.room(), rig.take()), (0, nothing()));
    rig.pass(1).await;
    rig.send(&["c 3"]);
    rig.end();
    assert_eq!(rig.take(), ["a 1 A 1, a 1 AA 4, NULL 2 NULL NULL", "W5", "c 3 NULL NULL", "End"]);
    assert_eq!((script.calls().len(), LookupMetrics::get(&lookup.metrics().cached)), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_first_load_that_fails_fails_the_job() {
    let script = Script::new();
    let cache = CacheConfig::Full(Reload::Once);
    let mut rig = Rig::new(spec(lookup(LookupConfig { cache, ..config() }, &script)));
    rig.send(&["a 1"]);
    rig.pass(1).await;
    let e = rig.failed.unwrap();
    assert_eq!((e.message(), e.detail()), ("lookup table 'd' could not be loaded", Some("no such file")));
}

#[tokio::test(start_paused = true)]
async fn a_key_with_very_many_rows_comes_out_in_parts() {
    let script = Script::new();
    let many: Vec<&str> = std::iter::repeat_n("a A 1", 3 * CHUNK_ROWS / 4).collect();
    script.next_load(Ok(dim_rows(&many)));
    let cache = CacheConfig::Full(Reload::Once);
    let mut rig = Rig::new(spec(lookup(LookupConfig { cache, ..config() }, &script)));
    rig.pass(1).await;
    rig.mailbox.take();
    let mut out = Output::default();
    rig.operator.chunk(chunk(&["a 1"; 10]), &mut out).unwrap();
    rig.operator.end(&mut out).unwrap();
    let (mut rows, mut ended) = (0, false);
    while !ended {
        let sizes: Vec<_> = out.drain().map(|m| if let Message::Data(c) = m { c.len() } else { 0 }).collect();
        assert!(sizes.iter().all(|size| *size <= CHUNK_ROWS) && sizes.len() <= CHUNKS + 1, "{sizes:?}");
        rows += sizes.iter().sum::<usize>();
        ended = sizes.contains(&0);
        assert!(ended || rig.operator.room() == 0);
        if !ended {
            assert_eq!(rig.mailbox.take().woken, [0]);
            rig.operator.wake(&mut out).unwrap();
        }
    }
    assert_eq!((rows, rig.operator.room()), (10 * many.len(), HELD_ROWS));
}
