#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Instant;

use arrow::array::{Array, AsArray, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::util::display::array_value_to_string;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Column, lit};
use proptest::prelude::*;

use super::*;
use crate::clock::ManualClock;
use crate::flow::task::BuildOperator;
use crate::flow::tiered::Tiered;
use crate::flow::{Mailbox, Message};
use crate::operator::aggregate::tests::call;
use crate::operator::picture::{self, Event, Tasks, cuts};
use crate::state::Memory;

/// Calls over columns `k STRING, n BIGINT`.
fn over_n(name: &str) -> AggregateCall {
    let mut call = call(name, &[DataType::Int64]);
    call.args = vec![Arc::new(Column::new("n", 1))];
    call
}

fn spec(names: &[&str]) -> GroupAggregateSpec {
    let calls: Vec<AggregateCall> = names.iter().map(|n| over_n(n)).collect();
    let mut fields = vec![Field::new("k", DataType::Utf8View, true)];
    fields.extend(calls.iter().map(|c| Field::new(&c.display, c.data_type.clone(), true)));
    GroupAggregateSpec {
        keys: vec![0],
        calls,
        schema: Arc::new(Schema::new(fields)),
        input_changes: true,
        emit_before: true,
        state_ttl: None,
    }
}

fn kind(text: &str) -> Kind {
    match text {
        "+I" => Kind::Insert,
        "-U" => Kind::UpdateBefore,
        "+U" => Kind::UpdateAfter,
        "-D" => Kind::Delete,
        other => panic!("{other}"),
    }
}

/// Rows such as `+I a 1, -D b NULL`.
fn chunk(rows: &str) -> Chunk {
    let rows: Vec<Vec<&str>> = rows.split(", ").map(|r| r.split(' ').collect()).collect();
    let keys: StringViewArray = rows.iter().map(|r| Some(r[1]).filter(|k| *k != "NULL")).collect();
    let numbers: Int64Array = rows.iter().map(|r| r[2].parse::<i64>().ok()).collect();
    let schema =
        Schema::new(vec![Field::new("k", DataType::Utf8View, true), Field::new("n", DataType::Int64, true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(keys), Arc::new(numbers)]).unwrap();
    let kinds: Vec<Kind> = rows.iter().map(|r| kind(r[0])).collect();
    let kinds =
        if kinds.iter().all(|k| *k == Kind::Insert) { Kinds::Append } else { Kinds::Changes(kinds.into()) };
    Chunk { batch, kinds, ingest: Instant::now() }
}

fn show(chunk: &Chunk) -> Vec<String> {
    let row = |i: usize| {
        let mut words = vec![chunk.kinds.get(i).as_str().to_string()];
        words.extend(
            chunk
                .batch
                .columns()
                .iter()
                .map(|c| if c.is_null(i) { "NULL".into() } else { array_value_to_string(c, i).unwrap() }),
        );
        words.join(" ")
    };
    (0..chunk.len()).map(row).collect()
}

struct Rig {
    operator: GroupAggregate,
    clock: Arc<ManualClock>,
}

impl Rig {
    fn new(spec: GroupAggregateSpec) -> Self {
        let mut operator = GroupAggregate::new(spec).unwrap();
        let clock = ManualClock::new(0);
        let waker = Mailbox::new().waker(0);
        let context = OperatorContext {
            task: 0,
            parallelism: 1,
            waker,
            clock: clock.clone(),
            checkpointed: false,
            memory: crate::state::Memory::unlimited(),
        };
        operator.open(context).unwrap();
        Self { operator, clock }
    }

    fn rows(&mut self, chunk: Chunk) -> Vec<String> {
        let mut out = Output::default();
        self.operator.chunk(chunk, &mut out).unwrap();
        let messages = out.drain().map(|m| match m {
            Message::Data(chunk) => show(&chunk),
            other => panic!("{other:?}"),
        });
        messages.flatten().collect()
    }

    fn feed(&mut self, rows: &str) -> String {
        self.rows(chunk(rows)).join(", ")
    }
}

#[test]
fn a_chunk_gives_one_change_a_key() {
    let mut rig = Rig::new(spec(&["count", "sum"]));
    assert_eq!(rig.feed("+I a 1, +I b 5, +I a 2, +I NULL 7"), "+I a 2 3, +I b 1 5, +I NULL 1 7");
    assert_eq!(rig.feed("+I a 3, +I NULL 1"), "-U a 2 3, +U a 3 6, -U NULL 1 7, +U NULL 2 8");
    // The same result again: nothing to tell.
    assert_eq!(rig.feed("-U b 5, +U b 5"), "");
    assert_eq!(rig.feed("-D b 5, -U a 3, +U a 4"), "-D b 1 5, -U a 3 6, +U a 3 7");
    assert_eq!(rig.operator.len(), 2);
    assert_eq!(rig.feed("+I b NULL"), "+I b 0 NULL");
    assert_eq!(rig.feed("-D b NULL, +I b 2, -D b 2"), "-D b 0 NULL");
}

#[test]
fn rows_that_were_never_added_are_ignored() {
    let mut rig = Rig::new(spec(&["count", "max"]));
    assert_eq!(rig.feed("-D a 1, -U b 1, +U b 2"), "+I b 1 2");
    assert_eq!(rig.operator.ignored(), 2);
    assert_eq!(rig.operator.len(), 1);
    assert_eq!(rig.feed("+I a 3"), "+I a 1 3");
}

#[test]
fn updates_without_their_before() {
    let mut rig = Rig::new(GroupAggregateSpec { emit_before: false, ..spec(&["max"]) });
    assert_eq!(rig.feed("+I a 1"), "+I a 1");
    assert_eq!(rig.feed("+I a 3"), "+U a 3");
    assert_eq!(rig.feed("-D a 3, -D a 1"), "-D a 3");
}

#[test]
fn without_keys_there_is_one_group() {
    let mut spec = spec(&["count"]);
    spec.keys = vec![];
    spec.schema = Arc::new(Schema::new(vec![Field::new("c", DataType::Int64, true)]));
    let mut rig = Rig::new(spec);
    assert_eq!(rig.feed("+I a 1, +I b 1"), "+I 2");
    assert_eq!(rig.feed("-D a 1"), "-U 2, +U 1");
    assert_eq!(rig.feed("-D a 1"), "-D 1");
}

#[test]
fn without_calls_keys_are_distinct() {
    let mut rig = Rig::new(spec(&[]));
    assert_eq!(rig.feed("+I a 1, +I b 1, +I a 2"), "+I a, +I b");
    assert_eq!(rig.feed("+I a 1, -D b 1"), "-D b");
}

#[test]
fn filters_leave_rows_out_of_one_call() {
    let mut spec = spec(&["sum", "count"]);
    let condition: Arc<dyn PhysicalExpr> =
        Arc::new(BinaryExpr::new(Arc::new(Column::new("n", 1)), datafusion_expr::Operator::Gt, lit(2i64)));
    spec.calls[0].filter = Some(condition);
    let mut rig = Rig::new(spec);
    assert_eq!(rig.feed("+I a 1"), "+I a NULL 1");
    assert_eq!(rig.feed("+I a 3, +I a NULL"), "-U a NULL 1, +U a 3 2");
    assert_eq!(rig.feed("-D b 9, -D a 3"), "-U a 3 2, +U a NULL 1");
}

#[test]
fn state_expires_by_processing_time() {
    let mut rig =
        Rig::new(GroupAggregateSpec { state_ttl: Some(Duration::from_millis(100)), ..spec(&["count"]) });
    assert_eq!(rig.feed("+I a 1, +I b 1"), "+I a 1, +I b 1");
    rig.clock.advance(60);
    // Written again, and equal results refresh those downstream.
    assert_eq!(rig.feed("+I a 1, -D a 1"), "-U a 1, +U a 1");
    rig.clock.advance(60);
    assert_eq!(rig.feed("+I a 1"), "-U a 1, +U a 2");
    assert_eq!(rig.operator.len(), 1, "b was swept");
    rig.clock.advance(100);
    assert_eq!(rig.feed("+I a 1, +I b 1"), "+I a 1, +I b 1");
    rig.clock.advance(100);
    // What is taken back from an expired key was never there.
    assert_eq!(rig.feed("-D a 1"), "");
}

#[test]
fn sums_that_overflow_fail() {
    let mut operator = GroupAggregate::new(spec(&["sum"])).unwrap();
    let rows = chunk(&format!("+I a {}, +I a 1", i64::MAX));
    let error = operator.chunk(rows, &mut Output::default()).unwrap_err();
    assert!(error.message().contains("BIGINT"), "{error}");
}

/// A changelog over (k, n) that never takes back what is not there.
fn changelog() -> impl Strategy<Value = Vec<(Kind, u8, i64)>> {
    let step = (0u8..5, 0i64..4, any::<prop::sample::Index>(), 0u8..10);
    prop::collection::vec(step, 1..80).prop_map(|steps| {
        let mut alive: Vec<(u8, i64)> = Vec::new();
        let mut log = Vec::new();
        for (key, n, index, choice) in steps {
            let gone = (choice < 6 && !alive.is_empty()).then(|| alive.swap_remove(index.index(alive.len())));
            match gone {
                Some((key, old)) if choice < 3 => {
                    log.push((Kind::UpdateBefore, key, old));
                    log.push((Kind::UpdateAfter, key, n));
                    alive.push((key, n));
                }
                Some((key, old)) => log.push((Kind::Delete, key, old)),
                None => {
                    log.push((Kind::Insert, key, n));
                    alive.push((key, n));
                }
            }
        }
        log
    })
}

proptest! {
    #[test]
    fn any_cut_into_chunks_gives_the_same_table(log in changelog(), cuts in prop::collection::vec(1usize..20, 1..40), emit_before: bool) {
        let mut rig = Rig::new(GroupAggregateSpec { emit_before, ..spec(&["count", "sum", "min"]) });
        let text: Vec<String> =
            log.iter().map(|(kind, k, n)| format!("{} k{k} {n}", kind.as_str())).collect();
        let mut table: BTreeMap<String, String> = BTreeMap::new();
        let mut rest = &text[..];
        let mut cuts = cuts.into_iter().cycle();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            rest = later;
            let changes = rig.rows(chunk(&now.join(", ")));
            let mut changed: Vec<&str> = Vec::new();
            for (i, change) in changes.iter().enumerate() {
                let (kind, row) = change.split_once(' ').unwrap();
                let (key, results) = row.split_once(' ').unwrap();
                match kind {
                    "+I" => prop_assert!(table.insert(key.into(), results.into()).is_none(), "{}", change),
                    "-U" => {
                        prop_assert_eq!(table.get(key).map(String::as_str), Some(results));
                        let after = format!("+U {key} ");
                        prop_assert!(changes[i + 1].starts_with(&after));
                        continue;
                    }
                    "+U" => {
                        let before = table.insert(key.into(), results.into());
                        prop_assert!(before.is_some_and(|b| b != results), "{}", change);
                    }
                    _ => prop_assert_eq!(table.remove(key), Some(results.to_string())),
                }
                prop_assert!(!changed.contains(&key), "two changes of {}", key);
                changed.push(key);
            }
        }
        let mut wanted: BTreeMap<String, (i64, i64, Vec<i64>)> = BTreeMap::new();
        for (kind, k, n) in &log {
            let entry = wanted.entry(format!("k{k}")).or_default();
            if matches!(kind, Kind::Insert | Kind::UpdateAfter) {
                *entry = (entry.0 + 1, entry.1 + n, [&entry.2[..], &[*n]].concat());
            } else {
                let at = entry.2.iter().position(|v| v == n).unwrap();
                entry.2.remove(at);
                *entry = (entry.0 - 1, entry.1 - n, entry.2.clone());
            }
        }
        let wanted: BTreeMap<String, String> = wanted
            .into_iter()
            .filter(|(_, w)| w.0 > 0)
            .map(|(k, w)| (k, format!("{} {} {}", w.0, w.1, w.2.iter().min().unwrap())))
            .collect();
        prop_assert_eq!(&table, &wanted);
        prop_assert_eq!(rig.operator.len(), wanted.len());
    }
}

#[test]
fn appended_rows_keep_little_state() {
    let mut spec = spec(&["count", "sum"]);
    spec.input_changes = false;
    spec.keys = vec![1];
    spec.schema = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("c", DataType::Int64, true),
        Field::new("s", DataType::Int64, true),
    ]));
    let mut rig = Rig::new(spec);
    let keys: Int64Array = (0..50_000i64).map(|n| n * 1_000_003).collect();
    let texts: StringViewArray = (0..50_000).map(|_| Some("k")).collect();
    let schema = chunk("+I a 1").batch.schema();
    let batch = RecordBatch::try_new(schema, vec![Arc::new(texts), Arc::new(keys)]).unwrap();
    let mut out = Output::default();
    rig.operator.chunk(Chunk::append(batch, Instant::now()), &mut out).unwrap();
    let Some(Message::Data(changes)) = out.drain().next() else { panic!("no rows") };
    assert_eq!(changes.kinds, Kinds::Append);
    assert_eq!(changes.batch.column(2).as_primitive::<Int64Type>().value(3), 3_000_009);
    // Key 8, count 8, sum 16.
    let memory = rig.operator.memory() / 50_000;
    assert!(memory <= 2 * 32 + 64, "{memory} bytes a key");
}

/// A changelog cut into chunks.
fn events() -> impl Strategy<Value = Vec<Event>> {
    (changelog(), prop::collection::vec(1usize..6, 30)).prop_map(|(log, cuts)| {
        let text: Vec<String> =
            log.iter().map(|(kind, k, n)| format!("{} k{k} {n}", kind.as_str())).collect();
        let (mut rest, mut events) = (&text[..], Vec::new());
        let mut cuts = cuts.into_iter().cycle();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            events.push(Event::Rows(now.join(", ")));
            rest = later;
        }
        events
    })
}

const CALLS: [&str; 6] = ["count", "sum", "min", "array_agg", "first_value", "avg"];

fn make() -> GroupAggregate {
    let mut spec = spec(&CALLS);
    spec.calls.push(AggregateCall { distinct: true, display: "DISTINCT".into(), ..over_n("count") });
    let mut fields = spec.schema.fields().to_vec();
    fields.push(Arc::new(Field::new("distinct", DataType::Int64, true)));
    spec.schema = Arc::new(Schema::new(fields));
    GroupAggregate::new(spec).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_crash_gives_the_same_changes(events in events(), cuts in cuts()) {
        let input = picture::schema("k s n n");
        let wanted = picture::Rig::durable(make, &input).run(&events, &[]);
        let mut rig = picture::Rig::durable(make, &input);
        prop_assert_eq!(rig.run(&events, &cuts), wanted);
        rig.checkpoint();
        prop_assert_eq!(rig.ledger.rows(GROUPS), rig.operator.len());
    }

    #[test]
    fn any_number_of_tasks_gives_the_same_changes(events in events(), scales in prop::collection::vec(1usize..4, 1..8)) {
        let input = picture::schema("k s n n");
        let wanted = Tasks::new(make, &input, &[0]).run(&events, &[1]);
        prop_assert_eq!(Tasks::new(make, &input, &[0]).run(&events, &scales), wanted);
    }
}

/// An operator whose keys go to disk as soon as they can.
fn tight(state_ttl: Option<Duration>) -> Tiered {
    let spec = GroupAggregateSpec { state_ttl, ..make().spec };
    let build: BuildOperator = Arc::new(move || Ok(Box::new(GroupAggregate::new(spec.clone())?)));
    let operator = build().unwrap();
    let cold = operator.cold().unwrap();
    Tiered::new(operator, cold, &build)
}

/// Chunks of a few keys out of many, so that some wait on disk for long.
fn many_keys() -> impl Strategy<Value = Vec<Event>> {
    let row = (0u32..40, 0i64..4, any::<prop::sample::Index>(), 0u8..3);
    prop::collection::vec(prop::collection::vec(row, 1..6), 1..40).prop_map(|chunks| {
        let mut there: Vec<String> = Vec::new();
        let mut events = Vec::new();
        for rows in chunks {
            let mut lines = Vec::new();
            for (k, n, index, choice) in rows {
                if choice == 0 && !there.is_empty() {
                    lines.push(format!("-D {}", there.swap_remove(index.index(there.len()))));
                } else {
                    there.push(format!("k{k} {n}"));
                    lines.push(format!("+I k{k} {n}"));
                }
            }
            events.push(Event::Rows(lines.join(", ")));
        }
        events
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn state_on_disk_changes_nothing(events in many_keys(), cuts in cuts(), limit in prop::sample::select(vec![0usize, 6_000, 1 << 30])) {
        let input = picture::schema("k s n n");
        let mut whole = picture::Rig::durable(make, &input);
        let wanted = whole.run(&events, &[]);
        whole.checkpoint();
        let memory = Memory::new(limit);
        {
            let make: Box<dyn Fn() -> Tiered> = Box::new(|| tight(None));
            let mut rig = picture::Rig::limited(tight(None), &input, Some(make), memory.clone());
            prop_assert_eq!(rig.run(&events, &cuts), wanted);
            rig.checkpoint();
            prop_assert_eq!(rig.ledger.rows(GROUPS), whole.ledger.rows(GROUPS));
            rig.crash();
            rig.checkpoint();
            prop_assert_eq!(rig.ledger.rows(GROUPS), whole.ledger.rows(GROUPS));
        }
        prop_assert_eq!((memory.used(), memory.spilled()), (0, 0));
    }

    #[test]
    fn keys_on_disk_expire(events in many_keys(), steps in prop::collection::vec(0i64..60, 1..10)) {
        let input = picture::schema("k s n n");
        let run = |memory| {
            let ttl = Some(Duration::from_millis(100));
            let make: Box<dyn Fn() -> Tiered> = Box::new(move || tight(ttl));
            let mut rig = picture::Rig::limited(tight(ttl), &input, Some(make), memory);
            let mut steps = steps.iter().cycle();
            let mut given = Vec::new();
            for event in &events {
                given.extend(rig.run(std::slice::from_ref(event), &[]));
                rig.clock.advance(*steps.next().unwrap());
                rig.checkpoint();
            }
            rig.clock.advance(100);
            given.push(rig.send("+I z 1"));
            given.push(rig.send("+I z 1"));
            rig.checkpoint();
            assert_eq!(rig.ledger.rows(GROUPS), 1);
            given
        };
        prop_assert_eq!(run(Memory::new(0)), run(Memory::unlimited()));
    }
}

#[test]
fn a_checkpoint_has_the_keys_that_changed() {
    let mut rig = picture::Rig::durable(make, &picture::schema("k s n n"));
    rig.send("a 1, b 2, c 3");
    rig.checkpoint();
    rig.send("b 4, -D c 3");
    let mut snapshot = Snapshot::new(false);
    rig.operator.snapshot(&mut snapshot).unwrap();
    let delta = snapshot.into_parts().0.remove(0);
    assert_eq!((delta.ids, delta.removed.len(), delta.removed[0].clone()), (vec![1], 1, 2..3));
    let names: Vec<&str> = delta.rows.schema_ref().fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names[..5], ["k", "rows", "COUNT", "SUM total", "SUM count"]);
    let cells = delta.rows.columns().iter().map(|c| array_value_to_string(c, 0).unwrap());
    assert_eq!(cells.take(7).collect::<Vec<_>>().join(" "), "b 2 2 6 2 [2, 4] [1, 1]");
}

#[test]
fn one_group_without_keys_comes_back_in_one_task() {
    let make = || {
        let mut spec = spec(&["count"]);
        spec.keys = vec![];
        spec.schema = Arc::new(Schema::new(vec![Field::new("c", DataType::Int64, true)]));
        GroupAggregate::new(spec).unwrap()
    };
    let mut tasks = Tasks::new(make, &picture::schema("k s n n"), &[]);
    tasks.event(&Event::Rows("a 1, b 2".into()));
    tasks.rescale(3);
    assert_eq!(tasks.event(&Event::Rows("a 1".into())), ["+U 3", "-U 2"]);
}

#[test]
fn keys_expire_when_they_would_have_without_a_crash() {
    let make = || {
        let state_ttl = Some(Duration::from_millis(100));
        GroupAggregate::new(GroupAggregateSpec { state_ttl, ..spec(&["count"]) }).unwrap()
    };
    let mut rig = picture::Rig::durable(make, &picture::schema("k s n n"));
    rig.send("a 1, b 1");
    rig.clock.advance(60);
    rig.send("b 1");
    rig.checkpoint();
    rig.clock.advance(60);
    rig.crash();
    assert_eq!(rig.sent("a 1, b 1"), "+I a 1, -U b 2, +U b 3");
    rig.checkpoint();
    rig.clock.advance(100);
    rig.crash();
    // All others are swept.
    assert_eq!(rig.sent("c 1"), "+I c 1");
    assert_eq!(rig.operator.len(), 1);
    rig.checkpoint();
    assert_eq!(rig.ledger.rows(GROUPS), 1);
}
