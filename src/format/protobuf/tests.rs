#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema};
use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, MapKey, Value};

use super::*;
use crate::connector::replay::rows as texts;

const TYPES: &str = r#"
syntax = "proto3";
package demo;
enum Kind { UNKNOWN = 0; HOT = 1; COLD = -1; }
message Point { double x = 1; sint32 y = 2; }
message Event {
  int64 id = 1;
  optional string name = 2;
  Kind kind = 3;
  repeated sint32 counts = 4;
  repeated string tags = 5;
  Point at = 6;
  map<string, int64> sums = 7;
  bytes raw = 8;
  fixed32 f = 9;
  float ratio = 300;
  bool ok = 11;
  repeated Point path = 12;
}
"#;

fn options(class: &str) -> Result<(tempfile::TempDir, ProtobufOptions)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.proto");
    std::fs::write(&path, TYPES).unwrap();
    let mut options = Options::default();
    options.set(PROTO, path.to_str().unwrap(), Default::default());
    options.set(CLASS, class, Default::default());
    ProtobufOptions::from_options(&options).map(|of| (folder, of))
}

fn map(value: DataType) -> DataType {
    let entries =
        Fields::from(vec![Field::new("key", DataType::Utf8View, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

fn schema() -> SchemaRef {
    let point = DataType::Struct(Fields::from(vec![
        Field::new("x", DataType::Float64, true),
        Field::new("y", DataType::Int32, true),
    ]));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8View, true),
        Field::new("kind", DataType::Utf8View, true),
        Field::new("counts", list(DataType::Int32), true),
        Field::new("tags", list(DataType::Utf8View), true),
        Field::new("at", point.clone(), true),
        Field::new("sums", map(DataType::Int64), true),
        Field::new("raw", DataType::BinaryView, true),
        Field::new("f", DataType::Int32, true),
        Field::new("ratio", DataType::Float32, true),
        Field::new("ok", DataType::Boolean, true),
        Field::new("path", list(point), true),
    ]))
}

fn point(of: &ProtobufOptions, x: f64, y: i32) -> Value {
    let descriptor = of.message.parent_pool().get_message_by_name("demo.Point").unwrap();
    let mut point = DynamicMessage::new(descriptor);
    point.set_field_by_name("x", Value::F64(x));
    point.set_field_by_name("y", Value::I32(y));
    Value::Message(point)
}

/// A message with all fields, as another implementation writes it.
fn full(of: &ProtobufOptions) -> Vec<u8> {
    let mut event = DynamicMessage::new(of.message.clone());
    let texts = ["x", "", "z"].map(|t| Value::String(t.into()));
    let sums = HashMap::from([(MapKey::String("k".into()), Value::I64(5))]);
    for (name, value) in [
        ("id", Value::I64(-7)),
        ("name", Value::String("a text of some length".into())),
        ("kind", Value::EnumNumber(-1)),
        ("counts", Value::List([1, -2, 3].map(Value::I32).into())),
        ("tags", Value::List(texts.into())),
        ("at", point(of, 1.5, -4)),
        ("sums", Value::Map(sums)),
        ("raw", Value::Bytes(vec![1, 2].into())),
        ("f", Value::U32(u32::MAX)),
        ("ratio", Value::F32(0.5)),
        ("ok", Value::Bool(true)),
        ("path", Value::List(vec![point(of, 1.0, 0), point(of, 0.0, 0)])),
    ] {
        event.set_field_by_name(name, value);
    }
    event.encode_to_vec()
}

#[test]
fn messages_are_read_and_written_as_others_do() {
    let (_folder, of) = options("demo.Event").unwrap();
    let (full, empty) = (full(&of), Vec::new());
    let mut decoder = ProtobufDecoder::new(&of, &schema(), &schema()).unwrap();
    let rows = decoder.decode(&[Some(&full), None, Some(&empty)]).unwrap();
    assert_eq!(
        texts(&rows.batch),
        [
            "-7|a text of some length|COLD|[1, -2, 3]|[x, , z]|{x: 1.5, y: -4}|{k: 5}|0102|-1|0.5|true|[{x: 1.0, y: 0}, {x: 0.0, y: 0}]",
            "0|NULL|UNKNOWN|[]|[]|NULL|{}||0|0.0|false|[]"
        ]
    );
    assert_eq!(rows.numbers, [0, 2]);
    let mut out = Vec::new();
    let ranges = ProtobufEncoder::new(&of, &schema()).unwrap().encode(&rows.batch, &mut out).unwrap();
    for (range, written) in ranges.into_iter().zip([&full, &empty]) {
        let ours = DynamicMessage::decode(of.message.clone(), &out[range.unwrap()]).unwrap();
        let theirs = DynamicMessage::decode(of.message.clone(), written.as_slice()).unwrap();
        assert_eq!(ours, theirs);
    }
    let some = Arc::new(schema().project(&[9, 1]).unwrap());
    let rows = ProtobufDecoder::new(&of, &schema(), &some).unwrap().decode(&[Some(&full)]).unwrap();
    assert_eq!(texts(&rows.batch), ["0.5|a text of some length"]);
}

#[test]
fn parts_of_a_message_are_one_and_the_last_number_counts() {
    let (_folder, of) = options("Event").unwrap();
    // id twice, and a point in two parts; an unknown field and a group between.
    let bytes = [
        8, 1, 50, 2, 16, 1, 8, 2, 0xa8, 0x06, 9, 0x9b, 0x06, 8, 1, 0x9c, 0x06, 50, 9, 9, 0, 0, 0, 0, 0, 0,
        0xf0, 0x3f,
    ];
    let some = Arc::new(schema().project(&[0, 5]).unwrap());
    let rows = ProtobufDecoder::new(&of, &schema(), &some).unwrap().decode(&[Some(&bytes)]).unwrap();
    assert!(rows.wrong.is_none(), "{:?}", rows.wrong);
    assert_eq!(texts(&rows.batch), ["2|{x: 1.0, y: -1}"]);
}

#[test]
fn broken_messages_are_named_or_skipped() {
    let (_folder, mut of) = options("demo.Event").unwrap();
    let full = full(&of);
    let wrongs: [&[u8]; 5] = [&full[..full.len() - 1], &[0xff], &[8], &[10, 1, b'x'], &[18, 2, 0xc3, 0x28]];
    for wrong in wrongs {
        let mut decoder = ProtobufDecoder::new(&of, &schema(), &schema()).unwrap();
        let rows = decoder.decode(&[Some(full.as_slice()), Some(wrong), Some(full.as_slice())]).unwrap();
        let (at, e) = rows.wrong.unwrap();
        assert_eq!((rows.batch.num_rows(), at), (1, 1), "{wrong:?}");
        assert!(e.message().contains("no message of this type"), "{e}");
    }
    of.ignore_errors = true;
    let mut decoder = ProtobufDecoder::new(&of, &schema(), &schema()).unwrap();
    let rows = decoder.decode(&[Some(&[0xff][..]), Some(full.as_slice()), Some(&[8][..])]).unwrap();
    assert_eq!((rows.numbers, decoder.skipped()), (vec![1], 2));
    let e = options("demo.Evnt").err().unwrap();
    assert_eq!(e.hint(), Some("did you mean 'demo.Event'?"));
    let (_folder, of) = options("demo.Event").unwrap();
    let one =
        |name: &str, data_type| Arc::new(Schema::new(vec![Field::new(name, data_type, true)])) as SchemaRef;
    let e = of.check(&one("nam", DataType::Utf8View)).unwrap_err();
    assert_eq!(e.hint(), Some("did you mean 'name'?"));
    let e = of.check(&one("counts", DataType::Int32)).unwrap_err();
    assert!(e.message().contains("repeated sint32"), "{e}");
}
