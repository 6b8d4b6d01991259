#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Instant;

use arrow::array::{AsArray, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{Field, Int64Type, Schema, TimeUnit};
use datafusion_expr::Operator as BinaryOperator;
use datafusion_physical_expr::expressions::{BinaryExpr, Column};
use proptest::prelude::*;

use super::set::{SetKind, SetOperation, SetSpec};
use super::window::{WindowJoin, WindowJoinSpec};
use super::*;
use crate::clock::ManualClock;
use crate::flow::message::WatermarkClock;
use crate::flow::{Kind, Kinds, Mailbox, Message};
use crate::operator::window::{WindowKind, WindowSpec};

mod recovery;

/// A row of numbers; `None` is NULL.
type Row = Vec<Option<i64>>;

fn schema(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|n| Field::new(*n, DataType::Int64, true)).collect::<Vec<_>>()))
}

fn chunk_of(schema: &SchemaRef, rows: &[(Kind, Row)]) -> Chunk {
    let column = |c: usize| Arc::new(rows.iter().map(|r| r.1[c]).collect::<Int64Array>()) as ArrayRef;
    let columns = (0..schema.fields().len()).map(column).collect();
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let kinds = match rows.iter().all(|r| r.0 == Kind::Insert) {
        true => Kinds::Append,
        false => Kinds::Changes(rows.iter().map(|r| r.0).collect()),
    };
    Chunk { batch, kinds, ingest: Instant::now() }
}

/// `+I 1 2` and the like, one row a line.
fn parse(text: &str) -> Vec<(Kind, Row)> {
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let kind = match words.next().unwrap() {
            "+I" => Kind::Insert,
            "-U" => Kind::UpdateBefore,
            "+U" => Kind::UpdateAfter,
            "-D" => Kind::Delete,
            other => panic!("{other} is no kind"),
        };
        (kind, words.map(|w| (w != "NULL").then(|| w.parse().unwrap())).collect())
    };
    text.lines().map(str::trim).filter(|l| !l.is_empty()).map(row).collect()
}

fn rows_of(out: &mut Output) -> Vec<(Kind, Row)> {
    let mut rows = vec![];
    for message in out.drain() {
        let Message::Data(chunk) = message else { continue };
        assert!(chunk.len() <= emit::PIECE + 1);
        for i in 0..chunk.len() {
            let value = |c: &ArrayRef| match c.data_type() {
                _ if c.is_null(i) => None,
                DataType::Boolean => Some(i64::from(c.as_boolean().value(i))),
                DataType::Timestamp(..) => {
                    Some(c.as_primitive::<arrow::datatypes::TimestampMillisecondType>().value(i))
                }
                _ => Some(c.as_primitive::<Int64Type>().value(i)),
            };
            rows.push((chunk.kinds.get(i), chunk.batch.columns().iter().map(value).collect()));
        }
    }
    rows
}

fn show(rows: &[(Kind, Row)]) -> String {
    let value = |v: &Option<i64>| v.map_or("NULL".into(), |v| v.to_string());
    let line = |(kind, row): &(Kind, Row)| {
        format!("{} {}", kind.as_str(), row.iter().map(value).collect::<Vec<_>>().join(" "))
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// `v < w` over `k v k w`.
fn less() -> Arc<dyn PhysicalExpr> {
    let column = |name: &str, i| Arc::new(Column::new(name, i)) as Arc<dyn PhysicalExpr>;
    Arc::new(BinaryExpr::new(column("v", 1), BinaryOperator::Lt, column("w", 3)))
}

/// `left (k, v) JOIN right (k, w) ON left.k = right.k`.
fn spec(kind: JoinKind) -> JoinSpec {
    let (output, names): (Vec<usize>, &[&str]) = match kind {
        JoinKind::Semi | JoinKind::Anti => (vec![0, 1], &["k", "v"]),
        JoinKind::Mark => (vec![0, 1, 2], &["k", "v"]),
        _ => (vec![0, 1, 2, 3], &["k", "v", "k", "w"]),
    };
    let mut out = schema(names);
    if kind == JoinKind::Mark {
        let mark = Arc::new(Field::new("mark", DataType::Boolean, true));
        out = Arc::new(Schema::new(out.fields().iter().cloned().chain([mark]).collect::<Vec<_>>()));
    }
    let input = |names: &[&str]| JoinInput { schema: schema(names), keys: vec![0], changes: true, ttl: None };
    JoinSpec {
        kind,
        left: input(&["k", "v"]),
        right: input(&["k", "w"]),
        null_equal: vec![false],
        null_aware: false,
        residual: None,
        output,
        schema: out,
        emit_before: true,
    }
}

struct Rig {
    operator: Box<dyn Operator>,
    schema: SchemaRef,
    clock: Arc<ManualClock>,
    marks: WatermarkClock,
}

impl Rig {
    fn new(operator: impl Operator + 'static) -> Self {
        let clock = ManualClock::new(0);
        let mut operator = Box::new(operator);
        let context = OperatorContext {
            task: 0,
            parallelism: 1,
            waker: Mailbox::new().waker(0),
            clock: clock.clone(),
            checkpointed: false,
            memory: crate::state::Memory::unlimited(),
        };
        operator.open(context).unwrap();
        Self { operator, schema: schema(&["k", "v"]), clock, marks: WatermarkClock::default() }
    }

    fn join(spec: JoinSpec) -> Self {
        Self::new(RegularJoin::new(spec).unwrap())
    }

    fn send(&mut self, input: usize, rows: &[(Kind, Row)]) -> Vec<(Kind, Row)> {
        let mut out = Output::default();
        self.operator.chunk_at(input, chunk_of(&self.schema, rows), &mut out).unwrap();
        rows_of(&mut out)
    }

    #[track_caller]
    fn expect(&mut self, input: usize, rows: &str, expected: &str) {
        let seen = self.send(input, &parse(rows));
        assert_eq!(show(&seen), show(&parse(expected)));
    }
}

const L: usize = 0;
const R: usize = 1;

#[test]
fn inner_joins_pair_rows_and_keep_updates_together() {
    let mut rig = Rig::join(spec(JoinKind::Inner));
    rig.expect(L, "+I 1 10\n+I 2 20\n+I NULL 5", "");
    rig.expect(R, "+I 1 100\n+I 1 101\n+I NULL 6", "+I 1 10 1 100\n+I 1 10 1 101");
    rig.expect(L, "-U 1 10\n+U 1 11", "-U 1 10 1 100\n+U 1 11 1 100\n-U 1 10 1 101\n+U 1 11 1 101");
    // The key changes: no pair stands before and after.
    rig.expect(L, "-U 1 11\n+U 2 11", "-D 1 11 1 100\n-D 1 11 1 101");
    rig.expect(R, "-U 1 100\n+U 2 100", "+I 2 20 2 100\n+I 2 11 2 100");
    rig.expect(L, "-D 2 20\n-D 2 11\n-D 3 3", "-D 2 20 2 100\n-D 2 11 2 100");
}

#[test]
fn outer_rows_come_with_nulls_until_they_match() {
    let mut rig = Rig::join(spec(JoinKind::Left));
    rig.expect(L, "+I 1 10\n+I NULL 5", "+I 1 10 NULL NULL\n+I NULL 5 NULL NULL");
    rig.expect(R, "+I 1 100", "-D 1 10 NULL NULL\n+I 1 10 1 100");
    rig.expect(R, "+I 1 101", "+I 1 10 1 101");
    // What is replaced in one step is never missing.
    rig.expect(R, "-U 1 100\n+U 1 102\n-D 1 101", "-U 1 10 1 100\n+U 1 10 1 102\n-D 1 10 1 101");
    rig.expect(R, "-D 1 102", "-D 1 10 1 102\n+I 1 10 NULL NULL");
    rig.expect(L, "-U 1 10\n+U 1 11", "-U 1 10 NULL NULL\n+U 1 11 NULL NULL");
    rig.expect(L, "-D NULL 5\n-D 1 11", "-D NULL 5 NULL NULL\n-D 1 11 NULL NULL");
    rig.expect(R, "+I 1 103", "");
}

#[test]
fn full_joins_pad_both_sides() {
    let mut rig = Rig::join(JoinSpec { residual: Some(less()), ..spec(JoinKind::Full) });
    rig.expect(L, "+I 1 10\n+I 1 50", "+I 1 10 NULL NULL\n+I 1 50 NULL NULL");
    rig.expect(R, "+I 1 5", "+I NULL NULL 1 5");
    rig.expect(R, "+I 1 20", "-D 1 10 NULL NULL\n+I 1 10 1 20");
    rig.expect(R, "-U 1 20\n+U 1 60", "-U 1 10 1 20\n+U 1 10 1 60\n-D 1 50 NULL NULL\n+I 1 50 1 60");
    rig.expect(L, "-U 1 10\n+U 1 1", "-U 1 10 1 60\n+U 1 1 1 60\n-D NULL NULL 1 5\n+I 1 1 1 5");
}

#[test]
fn semi_anti_and_mark_follow_the_right_side() {
    let mut semi = Rig::join(spec(JoinKind::Semi));
    semi.expect(L, "+I 1 10\n+I 2 20\n+I NULL 1", "");
    semi.expect(R, "+I 1 0\n+I 1 1\n+I NULL 1", "+I 1 10");
    semi.expect(R, "-D 1 0", "");
    semi.expect(L, "+I 1 11\n-U 1 10\n+U 2 10", "+I 1 11\n-D 1 10");
    semi.expect(R, "-U 1 1\n+U 2 1", "-D 1 11\n+I 2 20\n+I 2 10");

    let mut anti = Rig::join(spec(JoinKind::Anti));
    anti.expect(L, "+I 1 10\n+I NULL 1", "+I 1 10\n+I NULL 1");
    anti.expect(R, "+I 1 0\n+I NULL 0", "-D 1 10");
    anti.expect(R, "-D 1 0", "+I 1 10");

    let mut mark = Rig::join(spec(JoinKind::Mark));
    mark.expect(L, "+I 1 10\n+I NULL 1", "+I 1 10 0\n+I NULL 1 0");
    mark.expect(R, "+I 1 0", "-U 1 10 0\n+U 1 10 1");
    mark.expect(L, "-U 1 10\n+U 1 11", "-U 1 10 1\n+U 1 11 1");
}

#[test]
fn not_in_minds_nulls() {
    let mut rig = Rig::join(JoinSpec { null_aware: true, ..spec(JoinKind::Anti) });
    // Nothing is in an empty list, not even NULL.
    rig.expect(L, "+I 1 10\n+I 2 20\n+I NULL 1", "+I 1 10\n+I 2 20\n+I NULL 1");
    rig.expect(R, "+I 1 0", "-D 1 10\n-D NULL 1");
    rig.expect(R, "+I NULL 0", "-D 2 20");
    rig.expect(R, "-D 1 0", "");
    rig.expect(R, "-D NULL 0", "+I 1 10\n+I 2 20\n+I NULL 1");
}

#[test]
fn right_rows_of_a_semi_join_are_kept_once() {
    let mut spec = spec(JoinKind::Semi);
    spec.right.changes = false;
    let mut join = RegularJoin::new(spec).unwrap();
    let mut out = Output::default();
    for _ in 0..3 {
        let rows = parse("+I 1 1\n+I 1 2\n+I 2 1\n+I NULL 1");
        join.chunk_at(R, chunk_of(&schema(&["k", "w"]), &rows), &mut out).unwrap();
    }
    assert_eq!(join.rows(), (0, 2));
}

#[test]
fn rows_are_forgotten_after_their_time() {
    let mut spec = spec(JoinKind::Inner);
    spec.left.ttl = Some(Duration::from_millis(100));
    let mut rig = Rig::join(spec);
    rig.expect(L, "+I 1 10", "");
    rig.clock.advance(60);
    rig.expect(L, "+I 1 11", "");
    rig.expect(R, "+I 1 0", "+I 1 10 1 0\n+I 1 11 1 0");
    rig.clock.advance(60);
    rig.expect(R, "+I 1 1", "+I 1 11 1 1");
    // What was given out can still be taken back.
    rig.expect(L, "-D 1 10", "-D 1 10 1 0\n-D 1 10 1 1");
}

#[test]
fn large_results_come_in_pieces() {
    let mut rig = Rig::join(spec(JoinKind::Inner));
    let rows: Vec<_> = (0..300).map(|i| (Kind::Insert, vec![Some(1), Some(i)])).collect();
    assert_eq!(rig.send(L, &rows).len(), 0);
    assert_eq!(rig.send(R, &rows).len(), 90_000);
}

#[test]
fn cross_joins_have_no_key() {
    let mut spec = spec(JoinKind::Inner);
    (spec.left.keys, spec.right.keys, spec.null_equal) = (vec![], vec![], vec![]);
    let mut rig = Rig::join(spec);
    rig.expect(L, "+I 1 1\n+I NULL 2", "");
    rig.expect(R, "+I 7 7", "+I 1 1 7 7\n+I NULL 2 7 7");
}

/// Pairs that match.
fn matches(spec: &JoinSpec, left: &Row, right: &Row) -> bool {
    let keys = match (left[0], right[0]) {
        (None, None) => spec.null_equal[0],
        (a, b) => a == b,
    };
    keys && (spec.residual.is_none() || matches!((left[1], right[1]), (Some(v), Some(w)) if v < w))
}

fn naive(spec: &JoinSpec, left: &[Row], right: &[Row]) -> BTreeMap<Row, i64> {
    let mut out: BTreeMap<Row, i64> = BTreeMap::new();
    let mut add = |row: Row| *out.entry(row).or_default() += 1;
    let pair = |l: &Row, r: &Row| l.iter().chain(r).copied().collect::<Row>();
    let nulls: Row = vec![None, None];
    for l in left {
        let found: Vec<&Row> = right.iter().filter(|r| matches(spec, l, r)).collect();
        match spec.kind {
            JoinKind::Semi if !found.is_empty() => add(l.clone()),
            JoinKind::Anti if spec.null_aware => {
                if right.is_empty()
                    || (l[0].is_some() && found.is_empty() && right.iter().all(|r| r[0].is_some()))
                {
                    add(l.clone());
                }
            }
            JoinKind::Anti if found.is_empty() => add(l.clone()),
            JoinKind::Mark => add(vec![l[0], l[1], Some(i64::from(!found.is_empty()))]),
            JoinKind::Semi | JoinKind::Anti => {}
            kind => {
                if found.is_empty() && kind.is_outer(0) {
                    add(pair(l, &nulls));
                }
                for r in found {
                    add(pair(l, r));
                }
            }
        }
    }
    if spec.kind.is_outer(1) {
        for r in right.iter().filter(|r| !left.iter().any(|l| matches(spec, l, r))) {
            add(pair(&nulls, r));
        }
    }
    out
}

/// Applies a changelog; nothing is taken back that is not there, and `-U` stands before its `+U`.
fn materialize(table: &mut BTreeMap<Row, i64>, changes: &[(Kind, Row)]) {
    for (i, (kind, row)) in changes.iter().enumerate() {
        match kind {
            Kind::Insert | Kind::UpdateAfter => *table.entry(row.clone()).or_default() += 1,
            Kind::UpdateBefore | Kind::Delete => {
                let count = table.get_mut(row).unwrap_or_else(|| panic!("{row:?} was never there"));
                *count -= 1;
                if *count == 0 {
                    table.remove(row);
                }
            }
        }
        let update = matches!(changes.get(i + 1), Some((Kind::UpdateAfter, _)));
        assert_eq!(*kind == Kind::UpdateBefore, update, "{}", show(changes));
    }
}

/// What happens to one side: the numbers choose rows and values.
#[derive(Debug, Clone)]
struct Step {
    input: usize,
    acts: Vec<(u8, u8, u8, u8)>,
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let acts = prop::collection::vec((0u8..8, 0u8..4, 0u8..4, 0u8..255), 1..12);
    prop::collection::vec((0usize..2, acts).prop_map(|(input, acts)| Step { input, acts }), 1..most)
}

/// Turns acts into changes of what is there.
fn changes(table: &mut Vec<Row>, acts: &[(u8, u8, u8, u8)], append: bool) -> Vec<(Kind, Row)> {
    let value = |v: u8| (v > 0).then_some(i64::from(v));
    let mut out = vec![];
    for &(act, k, v, which) in acts {
        let row: Row = vec![value(k), value(v)];
        if append || act < 4 || table.is_empty() {
            table.push(row.clone());
            out.push((Kind::Insert, row));
            continue;
        }
        let at = which as usize % table.len();
        if act < 6 {
            out.push((Kind::Delete, table.swap_remove(at)));
        } else {
            out.push((Kind::UpdateBefore, std::mem::replace(&mut table[at], row.clone())));
            out.push((Kind::UpdateAfter, row));
        }
    }
    out
}

const KINDS: [JoinKind; 7] = [
    JoinKind::Inner,
    JoinKind::Left,
    JoinKind::Right,
    JoinKind::Full,
    JoinKind::Semi,
    JoinKind::Anti,
    JoinKind::Mark,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_join_equals_a_batch_join(
        kind in prop::sample::select(KINDS.to_vec()),
        (residual, null_equal, null_aware) in (any::<bool>(), any::<bool>(), any::<bool>()),
        append in any::<(bool, bool)>(),
        steps in steps(14),
    ) {
        let mut spec = spec(kind);
        spec.null_aware = null_aware && kind == JoinKind::Anti;
        spec.residual = (residual && !spec.null_aware).then(less);
        spec.null_equal = vec![null_equal && !spec.null_aware];
        (spec.left.changes, spec.right.changes) = (!append.0, !append.1);
        let mut rig = Rig::join(spec.clone());
        let mut tables: [Vec<Row>; 2] = [vec![], vec![]];
        let mut seen = BTreeMap::new();
        for step in steps {
            let append = if step.input == 0 { append.0 } else { append.1 };
            let rows = changes(&mut tables[step.input], &step.acts, append);
            materialize(&mut seen, &rig.send(step.input, &rows));
            prop_assert_eq!(&seen, &naive(&spec, &tables[0], &tables[1]));
        }
    }

    #[test]
    fn every_set_operation_counts_rows(
        kind in prop::sample::select(vec![
            SetKind::Union, SetKind::Intersect, SetKind::IntersectAll, SetKind::Except, SetKind::ExceptAll,
        ]),
        steps in steps(14),
    ) {
        let operation = SetSpec { kind, schema: schema(&["k", "v"]), ttl: None };
        let mut rig = Rig::new(SetOperation::new(operation).unwrap());
        let mut tables: [Vec<Row>; 2] = [vec![], vec![]];
        let mut seen = BTreeMap::new();
        for step in steps {
            let rows = changes(&mut tables[step.input], &step.acts, false);
            materialize(&mut seen, &rig.send(step.input, &rows));
            let mut expected = BTreeMap::new();
            for row in tables.iter().flatten() {
                let count = |t: &Vec<Row>| t.iter().filter(|r| *r == row).count() as i64;
                let (l, r) = (count(&tables[0]), count(&tables[1]));
                let times = match kind {
                    SetKind::Union => 1,
                    SetKind::Intersect => l.min(r).min(1),
                    SetKind::IntersectAll => l.min(r),
                    SetKind::Except => i64::from(l > 0 && r == 0),
                    SetKind::ExceptAll => (l - r).max(0),
                };
                if times > 0 {
                    expected.insert(row.clone(), times);
                }
            }
            prop_assert_eq!(&seen, &expected);
        }
    }

    #[test]
    fn every_window_is_joined_as_two_tables(
        kind in prop::sample::select(KINDS.to_vec()),
        (residual, null_aware) in any::<(bool, bool)>(),
        steps in prop::collection::vec((0usize..2, prop::collection::vec((0u8..4, 0u8..4, 0i64..5), 1..10), prop::option::of(-10i64..60)), 1..20),
    ) {
        let mut inner = spec(kind);
        inner.null_aware = null_aware && kind == JoinKind::Anti;
        inner.residual = (residual && !inner.null_aware).then(less);
        let mut rig = Rig::new(WindowJoin::new(window(inner.clone())).unwrap());
        let mut rows: BTreeMap<i64, [Vec<Row>; 2]> = BTreeMap::new();
        let (mut seen, mut watermark) = (vec![], i64::MIN);
        for (input, batch, advance) in steps {
            let value = |v: u8| (v > 0).then_some(i64::from(v));
            let batch: Vec<(Row, i64)> =
                batch.iter().map(|&(k, v, w)| (vec![value(k), value(v)], (w - 1) * 10)).collect();
            for (row, end) in &batch {
                if end - 1 > watermark {
                    rows.entry(*end).or_default()[input].push(row.clone());
                }
            }
            let mut out = Output::default();
            rig.operator.chunk_at(input, window_chunk(&batch), &mut out).unwrap();
            prop_assert!(out.is_empty());
            if let Some(mark) = advance.and_then(|a| rig.marks.advance(a)) {
                watermark = mark.millis();
                rig.operator.watermark(mark, &mut out).unwrap();
                seen.extend(rows_of(&mut out));
            }
        }
        let mut out = Output::default();
        rig.operator.end(&mut out).unwrap();
        seen.extend(rows_of(&mut out));
        let mut table = BTreeMap::new();
        prop_assert!(seen.iter().all(|s| s.0 == Kind::Insert));
        materialize(&mut table, &seen);
        let mut expected: BTreeMap<Row, i64> = BTreeMap::new();
        for [left, right] in rows.values() {
            for (row, count) in naive(&inner, left, right) {
                *expected.entry(row).or_default() += count;
            }
        }
        prop_assert_eq!(table, expected);
    }
}

fn tumble() -> WindowSpec {
    WindowSpec { kind: WindowKind::Tumble { size: 10 }, offset: 0, zone: None }
}

/// The same join with a `window_end` as third column of each side.
fn window(mut join: JoinSpec) -> WindowJoinSpec {
    let with_end = |s: &SchemaRef| {
        let end = Arc::new(Field::new("window_end", DataType::Timestamp(TimeUnit::Millisecond, None), true));
        Arc::new(Schema::new(s.fields().iter().cloned().chain([end]).collect::<Vec<_>>()))
    };
    (join.left.schema, join.right.schema) = (with_end(&join.left.schema), with_end(&join.right.schema));
    (join.left.changes, join.right.changes) = (false, false);
    join.output = match join.kind {
        JoinKind::Semi | JoinKind::Anti => vec![0, 1],
        JoinKind::Mark => vec![0, 1, 3],
        _ => vec![0, 1, 3, 4],
    };
    if join.residual.is_some() {
        let column = |name: &str, i| Arc::new(Column::new(name, i)) as Arc<dyn PhysicalExpr>;
        join.residual = Some(Arc::new(BinaryExpr::new(column("v", 1), BinaryOperator::Lt, column("w", 4))));
    }
    WindowJoinSpec { join, window_end: [2, 2], window: tumble() }
}

fn window_chunk(rows: &[(Row, i64)]) -> Chunk {
    let plain: Vec<_> = rows.iter().map(|r| (Kind::Insert, r.0.clone())).collect();
    let chunk = chunk_of(&schema(&["k", "v"]), &plain);
    let mut columns = chunk.batch.columns().to_vec();
    columns.push(Arc::new(rows.iter().map(|r| Some(r.1)).collect::<TimestampMillisecondArray>()));
    let schema = window(spec(JoinKind::Inner)).join.left.schema;
    Chunk::append(RecordBatch::try_new(schema, columns).unwrap(), chunk.ingest)
}
