#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use proptest::prelude::*;

use super::*;
use crate::flow::Message;
use crate::operator::picture::{self, Event, Rig, Tasks, cuts};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("v", DataType::Int64, true),
    ]))
}

fn operator(emit_before: bool) -> ChangelogNormalize {
    ChangelogNormalize::new(ChangelogNormalizeSpec {
        keys: vec![0],
        schema: schema(),
        emit_before,
        state_ttl: None,
    })
    .unwrap()
}

type Row = (Kind, Option<i64>, Option<i64>);

fn feed(operator: &mut ChangelogNormalize, rows: &[Row]) -> Vec<Row> {
    let keys: Int64Array = rows.iter().map(|r| r.1).collect();
    let values: Int64Array = rows.iter().map(|r| r.2).collect();
    let batch = RecordBatch::try_new(schema(), vec![Arc::new(keys), Arc::new(values)]).unwrap();
    let kinds = Kinds::Changes(rows.iter().map(|r| r.0).collect());
    let mut out = Output::default();
    operator.chunk(Chunk { batch, kinds, ingest: Instant::now() }, &mut out).unwrap();
    let mut found = Vec::new();
    for message in out.drain() {
        let Message::Data(chunk) = message else { panic!("{message:?}") };
        let column = |i: usize| chunk.batch.column(i).as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
        let (keys, values) = (column(0), column(1));
        found.extend((0..chunk.len()).map(|row| (chunk.kinds.get(row), keys[row], values[row])));
    }
    found
}

use Kind::{Delete, Insert, UpdateAfter, UpdateBefore};

#[test]
fn upserts_become_changes() {
    let mut normalize = operator(true);
    assert_eq!(feed(&mut normalize, &[(Insert, Some(1), Some(10))]), [(Insert, Some(1), Some(10))]);
    assert_eq!(
        feed(&mut normalize, &[(Insert, Some(1), Some(11)), (UpdateAfter, Some(2), None)]),
        [(UpdateBefore, Some(1), Some(10)), (UpdateAfter, Some(1), Some(11)), (Insert, Some(2), None)]
    );
    // As it was before: nothing. A NULL key is a key.
    assert_eq!(feed(&mut normalize, &[(UpdateAfter, Some(2), None), (Delete, None, None)]), []);
    assert_eq!(feed(&mut normalize, &[(Delete, Some(1), None)]), [(Delete, Some(1), Some(11))]);
    assert_eq!(feed(&mut normalize, &[(Delete, Some(1), None)]), []);
    // The last word of a chunk counts.
    let words = [(Delete, Some(2), None), (Insert, Some(2), Some(5)), (Insert, Some(2), Some(6))];
    assert_eq!(feed(&mut operator(false), &words), [(Insert, Some(2), Some(6))]);
    assert_eq!(
        feed(&mut normalize, &words),
        [(UpdateBefore, Some(2), None), (UpdateAfter, Some(2), Some(6))]
    );
}

#[test]
fn without_before() {
    let mut normalize = operator(false);
    feed(&mut normalize, &[(Insert, Some(1), Some(1))]);
    assert_eq!(feed(&mut normalize, &[(Insert, Some(1), Some(2))]), [(UpdateAfter, Some(1), Some(2))]);
}

proptest! {
    #[test]
    fn retractions_meet_their_rows(
        chunks in prop::collection::vec(
            prop::collection::vec((any::<bool>(), 0i64..4, 0i64..3), 1..8),
            1..20
        ),
    ) {
        let mut normalize = operator(true);
        let mut wanted: BTreeMap<i64, i64> = BTreeMap::new();
        let mut found: BTreeMap<i64, i64> = BTreeMap::new();
        for chunk in chunks {
            let rows: Vec<Row> = chunk
                .iter()
                .map(|(delete, k, v)| if *delete { (Delete, Some(*k), None) } else { (Insert, Some(*k), Some(*v)) })
                .collect();
            for (delete, k, v) in &chunk {
                if *delete { wanted.remove(k); } else { wanted.insert(*k, *v); }
            }
            for (kind, k, v) in feed(&mut normalize, &rows) {
                let (k, v) = (k.unwrap(), v.unwrap());
                match kind {
                    Insert => prop_assert_eq!(found.insert(k, v), None),
                    UpdateAfter => prop_assert!(found.insert(k, v).is_none()),
                    UpdateBefore | Delete => prop_assert_eq!(found.remove(&k), Some(v)),
                }
            }
            prop_assert_eq!(&found, &wanted);
        }
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let rows = prop::collection::vec((any::<bool>(), 0i64..4, 0i64..3), 1..6);
    let chunk = rows.prop_map(|rows| {
        let row = |(delete, k, v): &(bool, i64, i64)| {
            if *delete { format!("-D {k} NULL") } else { format!("+I {k} {v}") }
        };
        Event::Rows(rows.iter().map(row).collect::<Vec<_>>().join(", "))
    });
    prop::collection::vec(chunk, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_crash_gives_the_same_changes(events in events(), cuts in cuts()) {
        let input = picture::schema("k n v n");
        let wanted = Rig::durable(|| operator(true), &input).run(&events, &[]);
        let mut rig = Rig::durable(|| operator(true), &input);
        prop_assert_eq!(rig.run(&events, &cuts), wanted);
        rig.checkpoint();
        prop_assert_eq!(rig.ledger.rows(ROWS), rig.operator.rows.len());
    }

    #[test]
    fn any_number_of_tasks_gives_the_same_changes(events in events(), scales in prop::collection::vec(1usize..4, 1..8)) {
        let input = picture::schema("k n v n");
        let wanted = Tasks::new(|| operator(true), &input, &[0]).run(&events, &[1]);
        prop_assert_eq!(Tasks::new(|| operator(true), &input, &[0]).run(&events, &scales), wanted);
    }
}

#[test]
fn keys_are_new_again_when_they_would_have_been_without_a_crash() {
    let make = || {
        let state_ttl = Some(Duration::from_millis(100));
        let spec = ChangelogNormalizeSpec { keys: vec![0], schema: schema(), emit_before: true, state_ttl };
        ChangelogNormalize::new(spec).unwrap()
    };
    let mut rig = Rig::durable(make, &picture::schema("k n v n"));
    rig.send("1 1, 2 1");
    rig.checkpoint();
    rig.clock.advance(60);
    // The same row again: nothing changes but when it was written.
    assert_eq!(rig.sent("2 1"), "");
    rig.checkpoint();
    rig.clock.advance(60);
    rig.crash();
    assert_eq!(rig.sent("1 2, 2 2"), "+I 1 2, -U 2 1, +U 2 2");
}
