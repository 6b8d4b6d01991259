#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Instant;

use arrow::array::Int64Array;
use arrow::datatypes::{Field, Schema};
use proptest::prelude::*;

use super::*;
use crate::flow::Message;

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>()))
}

fn input(rows: &[(Kind, i64)]) -> Chunk {
    let ids = Int64Array::from_iter_values(rows.iter().map(|r| r.1));
    let names = StringViewArray::from_iter_values(rows.iter().map(|r| format!("n{}", r.1)));
    let schema = schema(&[("id", DataType::Int64), ("name", DataType::Utf8View)]);
    let batch = RecordBatch::try_new(schema, vec![Arc::new(ids), Arc::new(names)]).unwrap();
    Chunk { batch, kinds: Kinds::Changes(rows.iter().map(|r| r.0).collect()), ingest: Instant::now() }
}

fn to_spec(codes: [Option<&str>; 4]) -> ToChangelogSpec {
    ToChangelogSpec {
        codes: codes.map(|c| c.map(str::to_string)),
        columns: vec![Some(0), None, Some(1)],
        deleted_columns: None,
        schema: schema(&[("id", DataType::Int64), ("op", DataType::Utf8View), ("name", DataType::Utf8View)]),
    }
}

const NAMES: [Option<&str>; 4] =
    [Some("INSERT"), Some("UPDATE_BEFORE"), Some("UPDATE_AFTER"), Some("DELETE")];

fn from_spec(invalid: InvalidOp) -> FromChangelogSpec {
    FromChangelogSpec {
        op: 1,
        codes: KINDS.iter().map(|k| (kind_name(*k).to_string(), *k)).collect(),
        invalid,
        columns: vec![0, 2],
        emit_before: true,
        schema: schema(&[("id", DataType::Int64), ("name", DataType::Utf8View)]),
    }
}

fn run(operator: &mut dyn Operator, chunk: Chunk) -> Result<Option<Chunk>> {
    let mut out = Output::default();
    operator.chunk(chunk, &mut out)?;
    let chunk = out.drain().next().map(|message| match message {
        Message::Data(chunk) => chunk,
        other => panic!("{other:?}"),
    });
    Ok(chunk)
}

fn codes(chunk: &Chunk) -> Vec<String> {
    chunk.batch.column(1).as_string_view().iter().map(|c| c.unwrap_or("NULL").to_string()).collect()
}

#[test]
fn kinds_become_codes() {
    let rows = [(Kind::Insert, 1), (Kind::UpdateBefore, 1), (Kind::UpdateAfter, 2), (Kind::Delete, 2)];
    let chunk = run(&mut ToChangelog::new(to_spec(NAMES)), input(&rows)).unwrap().unwrap();
    assert_eq!(chunk.kinds, Kinds::Append);
    assert_eq!(codes(&chunk), ["INSERT", "UPDATE_BEFORE", "UPDATE_AFTER", "DELETE"]);
    // What has no code is dropped.
    let mut some = ToChangelog::new(to_spec([Some("I"), None, Some("U"), None]));
    let chunk = run(&mut some, input(&rows)).unwrap().unwrap();
    assert_eq!(codes(&chunk), ["I", "U"]);
    assert_eq!(chunk.batch.column(2).as_string_view().value(1), "n2");
    assert!(run(&mut some, input(&rows[3..])).unwrap().is_none());
    let mut none = ToChangelog::new(to_spec([None, None, None, None]));
    assert!(run(&mut none, Chunk { kinds: Kinds::Append, ..input(&rows) }).unwrap().is_none());
}

#[test]
fn deleted_rows_may_keep_their_key_only() {
    let spec = ToChangelogSpec { deleted_columns: Some(vec![0]), ..to_spec(NAMES) };
    let rows = [(Kind::Insert, 1), (Kind::Delete, 1)];
    let chunk = run(&mut ToChangelog::new(spec), input(&rows)).unwrap().unwrap();
    let names: Vec<_> = chunk.batch.column(2).as_string_view().iter().collect();
    assert_eq!(names, [Some("n1"), None]);
    assert_eq!(chunk.batch.column(0).null_count(), 0);
}

fn coded(codes: &[Option<&str>]) -> Chunk {
    let schema = to_spec(NAMES).schema;
    let ids = Int64Array::from_iter_values(0..codes.len() as i64);
    let texts = StringViewArray::from(codes.to_vec());
    let batch =
        RecordBatch::try_new(schema, vec![Arc::new(ids), Arc::new(texts.clone()), Arc::new(texts)]).unwrap();
    Chunk::append(batch, Instant::now())
}

#[test]
fn unknown_codes_are_bad_input() {
    let chunk = coded(&[Some("INSERT"), Some("x"), Some("DELETE"), None]);
    let e = run(&mut FromChangelog::new(from_spec(InvalidOp::Fail)), chunk.clone()).unwrap_err();
    assert_eq!(e.message(), "FROM_CHANGELOG: the operation code 'x' is not known");
    assert!(e.detail().unwrap().contains("'INSERT' (INSERT)"), "{e}");
    let e = run(&mut FromChangelog::new(from_spec(InvalidOp::Fail)), chunk.slice(3, 1)).unwrap_err();
    assert!(e.message().contains("NULL"), "{e}");
    for invalid in [InvalidOp::Log, InvalidOp::Skip] {
        let chunk = run(&mut FromChangelog::new(from_spec(invalid)), chunk.clone()).unwrap().unwrap();
        assert_eq!(chunk.kinds, Kinds::Changes([Kind::Insert, Kind::Delete].into()));
        assert_eq!(chunk.batch.num_columns(), 2);
        assert_eq!(chunk.batch.column(0).as_ref(), &Int64Array::from(vec![0, 2]));
    }
    let mut skip = FromChangelog::new(from_spec(InvalidOp::Skip));
    assert!(run(&mut skip, chunk.slice(1, 1)).unwrap().is_none());
}

proptest! {
    #[test]
    fn there_and_back(rows in prop::collection::vec((0usize..4, 0i64..9), 1..30)) {
        let rows: Vec<(Kind, i64)> = rows.into_iter().map(|(k, id)| (KINDS[k], id)).collect();
        let chunk = input(&rows);
        let there = run(&mut ToChangelog::new(to_spec(NAMES)), chunk.clone()).unwrap().unwrap();
        let back = run(&mut FromChangelog::new(from_spec(InvalidOp::Fail)), there).unwrap().unwrap();
        prop_assert_eq!(back.batch, chunk.batch);
        prop_assert_eq!(back.kinds, chunk.kinds);
    }
}
