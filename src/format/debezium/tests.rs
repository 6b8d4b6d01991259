#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use proptest::prelude::*;

use crate::catalog::Options;
use crate::connector::{SinkChangelog, SourceChangelog};
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds};
use crate::format::{Format, Origin};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8View, true),
    ]))
}

fn format(pairs: &[(&str, &str)]) -> Result<Format> {
    let mut options = Options::default();
    pairs.iter().for_each(|(k, v)| options.set(k, v, Default::default()));
    Format::from_options(&options)
}

fn debezium(pairs: &[(&str, &str)]) -> Format {
    format(&[&[("format", "debezium-json")], pairs].concat()).unwrap()
}

fn show(batch: &RecordBatch, kinds: &Kinds) -> Vec<String> {
    let (ids, names) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_string_view());
    (0..batch.num_rows())
        .map(|row| {
            let id = if ids.is_valid(row) { ids.value(row).to_string() } else { "NULL".into() };
            let name = if names.is_valid(row) { names.value(row) } else { "NULL" };
            format!("{} {id} {name}", kinds.get(row).as_str())
        })
        .collect()
}

/// Rows, and the error that followed them; fed in pieces of `cut` bytes.
fn decode(format: &Format, text: &str, cut: usize, rows: usize) -> (Vec<String>, Option<Error>, u64) {
    let mut decoder = format.decoder(&schema(), &schema(), rows, Origin::from("file f")).unwrap();
    let mut found = Vec::new();
    let mut failed = None;
    let mut drain = |decoder: &mut dyn crate::format::Decoder| loop {
        match decoder.next_batch() {
            Ok(Some(batch)) => found.extend(show(&batch, &decoder.kinds())),
            Ok(None) => return,
            Err(e) => {
                failed.get_or_insert(e);
            }
        }
    };
    for piece in text.as_bytes().chunks(cut) {
        decoder.feed(bytes::Bytes::copy_from_slice(piece)).unwrap();
        drain(decoder.as_mut());
    }
    decoder.finish().unwrap();
    drain(decoder.as_mut());
    (found, failed, decoder.skipped())
}

const EVENTS: &str = r#"{"before":null,"after":{"id":1,"name":"a"},"op":"r","ts_ms":1}
{"before":null,"after":{"id":2,"name":"b"},"source":{"db":"x"},"op":"c"}

{"op":"u","before":{"id":1,"name":"a"},"after":{"id":1,"name":null}}
null
{"before":{"id":2,"name":"b"},"after":null,"op":"d"}
"#;

#[test]
fn events_become_changes() {
    let expected = ["+I 1 a", "+I 2 b", "-U 1 a", "+U 1 NULL", "-D 2 b"];
    for (cut, rows) in [(1000, 1000), (7, 2), (1, 3)] {
        let (rows, error, skipped) = decode(&debezium(&[]), EVENTS, cut, rows);
        assert_eq!(rows, expected);
        assert!(error.is_none() && skipped == 0);
    }
}

#[test]
fn events_with_their_schema() {
    let text: String = EVENTS
        .lines()
        .map(|line| match line {
            "" | "null" => format!("{line}\n"),
            event => format!("{{\"schema\":{{\"type\":\"struct\"}},\"payload\":{event}}}\n"),
        })
        .collect();
    let format = debezium(&[("debezium-json.schema-include", "true")]);
    let (rows, error, _) = decode(&format, &(text + "{\"schema\":null,\"payload\":null}"), 50, 100);
    assert_eq!(rows, ["+I 1 a", "+I 2 b", "-U 1 a", "+U 1 NULL", "-D 2 b"]);
    assert!(error.is_none());
    assert!(format.encoder(&schema()).is_err());
}

#[test]
fn errors_name_their_place() {
    let broken = |event: &str| {
        let text =
            format!("\n{}\n{event}\n{}\n", EVENTS.lines().next().unwrap(), EVENTS.lines().nth(1).unwrap());
        let (rows, error, _) = decode(&debezium(&[]), &text, 1000, 1000);
        // What stands in front comes first, and reading goes on behind.
        assert_eq!(rows, ["+I 1 a", "+I 2 b"]);
        let (rows, none, skipped) =
            decode(&debezium(&[("debezium-json.ignore-parse-errors", "true")]), &text, 1000, 1000);
        assert_eq!(rows, ["+I 1 a", "+I 2 b"]);
        assert!(none.is_none());
        assert_eq!(skipped, 1);
        error.unwrap()
    };
    let e = broken(r#"{"before":null,"after":{"id":1},"op":"t"}"#);
    assert_eq!(e.message(), "file f, line 3: field 'op': expected one of c, r, u, d, found 't'");
    let e = broken(r#"{"before":null,"after":{"id":1}}"#);
    assert_eq!(e.message(), "file f, line 3: field 'op': expected one of c, r, u, d, found nothing");
    let e = broken(r#"{"before":null,"after":{"id":1},"op":"u"}"#);
    assert_eq!(e.message(), "file f, line 3: a change of op 'u' without 'before'");
    assert!(e.hint().unwrap().contains("REPLICA IDENTITY FULL"));
    let e = broken(r#"{"before":{"id":1},"op":"u"}"#);
    assert_eq!(e.message(), "file f, line 3: a change of op 'u' without 'after'");
    let e = broken(r#"{"before":null,"op":"d"}"#);
    assert_eq!(e.message(), "file f, line 3: a change of op 'd' without 'before'");
    let e = broken("nul");
    assert!(e.message().starts_with("file f, line 3: expected a JSON object"), "{e}");
    assert!(e.hint().unwrap().contains("'debezium-json.ignore-parse-errors'"), "{e}");
}

#[test]
fn written_as_flink_does() {
    let batch =
        changes(&[(Kind::Insert, 1), (Kind::UpdateBefore, 1), (Kind::UpdateAfter, 2), (Kind::Delete, 2)]);
    let mut out = Vec::new();
    debezium(&[]).encoder(&schema()).unwrap().encode(&batch, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"before":null,"after":{"id":1,"name":"n1"},"op":"c"}
{"before":{"id":1,"name":"n1"},"after":null,"op":"d"}
{"before":null,"after":{"id":2,"name":"n2"},"op":"c"}
{"before":{"id":2,"name":"n2"},"after":null,"op":"d"}
"#
    );
    let mut out = Vec::new();
    let format = debezium(&[("debezium-json.encode.ignore-null-fields", "true")]);
    format.encoder(&schema()).unwrap().encode(&batch.slice(0, 2), &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\"after\":{\"id\":1,\"name\":\"n1\"},\"op\":\"c\"}\n{\"before\":{\"id\":1,\"name\":\"n1\"},\"op\":\"d\"}\n"
    );
}

fn changes(rows: &[(Kind, i64)]) -> Chunk {
    let ids = rows.iter().map(|(_, id)| Some(*id)).collect::<arrow::array::Int64Array>();
    let names = rows.iter().map(|(_, id)| Some(format!("n{id}"))).collect::<arrow::array::StringViewArray>();
    let batch = RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(names)]).unwrap();
    let kinds = Kinds::Changes(rows.iter().map(|(kind, _)| *kind).collect());
    Chunk { batch, kinds, ingest: Instant::now() }
}

#[test]
fn a_field_may_hold_the_kind() {
    let format = format(&[("format", "json"), ("json.changelog-field", "op")]).unwrap();
    assert_eq!(format.source_changelog(), SourceChangelog::All);
    let text = "{\"op\":\"+I\",\"id\":1,\"name\":\"a\"}\nnull\n{\"id\":1,\"op\":\"-U\",\"name\":\"a\"}\n{\"op\":\"+U\",\"id\":1}\n{\"op\":\"-D\",\"id\":1}";
    let (rows, error, _) = decode(&format, text, 5, 2);
    assert_eq!(rows, ["+I 1 a", "-U 1 a", "+U 1 NULL", "-D 1 NULL"]);
    assert!(error.is_none());
    let (rows, error, _) = decode(&format, "{\"op\":\"+I\",\"id\":1}\n{\"id\":2}\n{\"op\":\"+X\"}\n", 99, 9);
    assert_eq!(rows, ["+I 1 NULL"]);
    assert_eq!(
        error.unwrap().message(),
        "file f, line 2: field 'op': expected one of +I, -U, +U, -D, found nothing"
    );
    let clash = Arc::new(Schema::new(vec![Field::new("op", DataType::Utf8View, true)]));
    assert!(format.encoder(&clash).is_err_and(|e| e.message().contains("column 'op'")));
    assert!(format.decoder(&clash, &clash, 1, Origin::from("f")).is_err());
}

#[test]
fn upserts_need_a_key() {
    assert!(self::format(&[("format", "json"), ("json.changelog-mode", "upsert")]).is_err());
    let upsert = [("format", "json"), ("json.changelog-field", "op"), ("json.changelog-mode", "upsert")];
    let format = self::format(&upsert).unwrap();
    assert!(format.check(&[]).unwrap_err().message().contains("PRIMARY KEY"));
    format.check(&["id".into()]).unwrap();
    assert_eq!(format.sink_changelog(), SinkChangelog::Upsert);
}

#[test]
fn no_column_at_all() {
    let none = Arc::new(Schema::empty());
    let mut decoder = debezium(&[]).decoder(&schema(), &none, 100, Origin::from("f")).unwrap();
    decoder.feed(EVENTS.into()).unwrap();
    let batch = decoder.next_batch().unwrap().unwrap();
    assert_eq!(batch.num_rows(), 5);
    assert_eq!(decoder.kinds().get(2), Kind::UpdateBefore);
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Insert), Just(Kind::UpdateBefore), Just(Kind::UpdateAfter), Just(Kind::Delete)]
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        rows in prop::collection::vec((any_kind(), -5i64..5), 1..40),
        cut in 1usize..100,
        most in 1usize..10,
        op in any::<bool>(),
    ) {
        let pairs = [("format", "json"), ("json.changelog-field", "kind")];
        let format = if op { format(&pairs).unwrap() } else { debezium(&[]) };
        let chunk = changes(&rows);
        let mut out = Vec::new();
        format.encoder(&schema()).unwrap().encode(&chunk, &mut out).unwrap();
        let (found, error, _) = decode(&format, std::str::from_utf8(&out).unwrap(), cut, most);
        prop_assert!(error.is_none());
        let expected: Vec<String> = rows
            .iter()
            .map(|(kind, id)| {
                // Debezium's records do not tell updates from deletions and insertions.
                let kind = match kind {
                    Kind::UpdateBefore if !op => Kind::Delete,
                    Kind::UpdateAfter if !op => Kind::Insert,
                    other => *other,
                };
                format!("{} {id} n{id}", kind.as_str())
            })
            .collect();
        prop_assert_eq!(found, expected);
    }
}
