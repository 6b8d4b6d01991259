//! Tests of reading and writing together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float64Array, Int64Array, IntervalYearMonthArray, RecordBatch,
    StringViewArray, UInt64Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds};
use crate::format::{Decoder, Encoder};
use crate::sql::SqlType;

fn schema(columns: &[(&str, SqlType)]) -> SchemaRef {
    let fields: Vec<Field> = columns.iter().map(|(n, t)| Field::new(*n, t.to_arrow("UTC"), true)).collect();
    Arc::new(Schema::new(fields))
}

fn decoder(options: JsonOptions, schema: &SchemaRef) -> JsonDecoder {
    JsonDecoder::new(options, schema.clone(), 1000, "file events.jsonl".into()).unwrap()
}

/// Everything that a decoder gives for some input: one batch, and the errors.
fn drain(decoder: &mut JsonDecoder, schema: &SchemaRef) -> (RecordBatch, Vec<Error>) {
    let (mut batches, mut errors) = (Vec::new(), Vec::new());
    loop {
        match decoder.next_batch() {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) => break,
            Err(e) => errors.push(e),
        }
    }
    (concat_batches(schema, &batches).unwrap(), errors)
}

fn decode_all(options: JsonOptions, schema: &SchemaRef, input: &[u8]) -> (RecordBatch, Vec<Error>) {
    let mut decoder = decoder(options, schema);
    decoder.feed(Bytes::copy_from_slice(input)).unwrap();
    decoder.finish().unwrap();
    drain(&mut decoder, schema)
}

fn decode(schema: &SchemaRef, input: &str) -> RecordBatch {
    let (batch, errors) = decode_all(JsonOptions::default(), schema, input.as_bytes());
    assert!(errors.is_empty(), "{errors:?}");
    batch
}

fn encode_with(options: JsonOptions, batch: &RecordBatch) -> String {
    let mut out = Vec::new();
    let chunk = Chunk::append(batch.clone(), Instant::now());
    JsonEncoder::new(options, batch.schema()).unwrap().encode(&chunk, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn encode(batch: &RecordBatch) -> String {
    encode_with(JsonOptions::default(), batch)
}

/// Reads a value into a type and writes it again.
fn coerced(value: &str, data_type: &SqlType, options: JsonOptions) -> Result<String> {
    let schema = schema(&[("v", data_type.clone())]);
    let (batch, mut errors) = decode_all(options, &schema, format!("{{\"v\":{value}}}").as_bytes());
    if let Some(e) = errors.pop() {
        return Err(e);
    }
    let text = encode_with(options, &batch);
    Ok(text.trim_end().strip_prefix("{\"v\":").unwrap().strip_suffix('}').unwrap().to_string())
}

#[test]
fn values_are_coerced_as_flink_does() {
    use SqlType::*;
    let row = Row(vec![("a".into(), Int), ("b".into(), String)]);
    let map = Map(Box::new(String), Box::new(Int));
    let cases: Vec<(SqlType, &str, &str)> = vec![
        (String, "57", "\"57\""),
        (String, "1.50", "\"1.50\""),
        (String, "true", "\"true\""),
        (String, "{ \"a\" : [ 1, \"x y\" ] }", r#""{\"a\":[1,\"x y\"]}""#),
        (String, "[]", "\"[]\""),
        (String, "\"\"", "\"\""),
        (String, "\"a string that is longer than a view\"", "\"a string that is longer than a view\""),
        (String, r#""\ud83d\ude00 \u00e9\n""#, "\"😀 é\\n\""),
        (String, "null", "null"),
        (Int, "\"8\"", "8"),
        (Int, "\" +8 \"", "8"),
        (Int, "3.9", "3"),
        (Int, "-3.9", "-3"),
        (Int, "1e3", "1000"),
        (Int, "-2147483648", "-2147483648"),
        (TinyInt, "127", "127"),
        (SmallInt, "-32768", "-32768"),
        (BigInt, "9223372036854775807", "9223372036854775807"),
        (BigInt, "-9223372036854775808", "-9223372036854775808"),
        (BigInt, "\"1700000000000\"", "1700000000000"),
        (BigInt, "0", "0"),
        (BigInt, "-0", "0"),
        (Double, "\"1.5\"", "1.5"),
        (Double, "12", "12.0"),
        (Double, "1E400", "\"Infinity\""),
        (Double, "\"NaN\"", "\"NaN\""),
        (Float, "0.1", "0.1"),
        (Boolean, "true", "true"),
        (Boolean, "\"FALSE\"", "false"),
        (Decimal(5, 2), "1.005", "1.01"),
        (Decimal(5, 2), "\" -1.005\"", "-1.01"),
        (
            Decimal(38, 18),
            "12345678901234567890.123456789012345678",
            "12345678901234567890.123456789012345678",
        ),
        (Date, "\"2020-01-31\"", "\"2020-01-31\""),
        (Time(3), "\"10:15:30.120\"", "\"10:15:30.12\""),
        (Timestamp(3), "\"2020-01-01 10:15:30.123456\"", "\"2020-01-01 10:15:30.123\""),
        (Timestamp(9), "\"2020-01-01 10:15:30.123456789\"", "\"2020-01-01 10:15:30.123456789\""),
        (Timestamp(0), "\"2020-01-01 10:15:30\"", "\"2020-01-01 10:15:30\""),
        (TimestampLtz(3), "\"2020-01-01 10:15:30.5Z\"", "\"2020-01-01 10:15:30.5Z\""),
        (Bytes, "\"aGk=\"", "\"aGk=\""),
        (Array(Box::new(Int)), "[1, null, \"3\" ]", "[1,null,3]"),
        (Array(Box::new(Int)), "[ ]", "[]"),
        (Array(Box::new(Array(Box::new(String)))), "[[],[\"a\"],null]", "[[],[\"a\"],null]"),
        (map.clone(), "{\"x\":1,\"y\":null,\"x\":3}", "{\"x\":3,\"y\":null}"),
        (map.clone(), "{}", "{}"),
        (Map(Box::new(Int), Box::new(String)), "{\"1\":true}", "{\"1\":\"true\"}"),
        (Multiset(Box::new(String)), "{\"a\\n\":2}", "{\"a\\n\":2}"),
        (row.clone(), "{\"b\":1,\"c\":[{}]}", "{\"a\":null,\"b\":\"1\"}"),
        (row.clone(), "{}", "{\"a\":null,\"b\":null}"),
        (row.clone(), "null", "null"),
    ];
    for (data_type, value, expected) in cases {
        let found = coerced(value, &data_type, JsonOptions::default());
        assert_eq!(found.as_deref(), Ok(expected), "{data_type} from {value}");
    }
    let iso = JsonOptions { timestamp_format: TimestampFormat::Iso8601, ..JsonOptions::default() };
    for (data_type, value) in [
        (Timestamp(6), "\"2020-01-01T10:15:30.123456\""),
        (TimestampLtz(3), "\"0001-01-01T00:00:00Z\""),
        (Timestamp(3), "\"+12020-01-01T10:15:30\""),
    ] {
        assert_eq!(coerced(value, &data_type, iso).as_deref(), Ok(value));
    }
}

#[test]
fn values_that_do_not_fit_are_errors_or_null() {
    use SqlType::*;
    let cases = [
        (Int, "\"x\""),
        (Int, "\"3.9\""),
        (Int, "\"\""),
        (Int, "2147483648"),
        (Int, "true"),
        (Int, "{}"),
        (Int, "[1]"),
        (TinyInt, "128"),
        (BigInt, "9223372036854775808"),
        (BigInt, "1e99"),
        (Double, "\"inf\""),
        (Double, "false"),
        (Boolean, "\"yes\""),
        (Boolean, "1"),
        (Decimal(5, 2), "\"abc\""),
        (Decimal(3, 2), "123"),
        (Date, "\"2020-02-30\""),
        (Date, "18000"),
        (Time(3), "\"25:00:00\""),
        (Timestamp(3), "1700000000000"),
        (Timestamp(3), "\"2020-01-01 10:15:30Z\""),
        (TimestampLtz(3), "\"2020-01-01 10:15:30\""),
        (TimestampLtz(3), "\"2020-01-01 10:15:30+25:00\""),
        (SmallInt, "3.9"),
        (TinyInt, "1e1"),
        (Bytes, "\"a\""),
        (Array(Box::new(Int)), "{}"),
        (Map(Box::new(String), Box::new(Int)), "[]"),
        (Row(vec![("a".into(), Int)]), "[1]"),
    ];
    let lenient = JsonOptions { ignore_parse_errors: true, ..JsonOptions::default() };
    for (data_type, value) in cases {
        assert!(coerced(value, &data_type, JsonOptions::default()).is_err(), "{data_type} from {value}");
        assert_eq!(coerced(value, &data_type, lenient).as_deref(), Ok("null"), "{data_type} from {value}");
    }
    let items = coerced("[1,\"x\",3]", &Array(Box::new(Int)), lenient);
    assert_eq!(items.as_deref(), Ok("[1,null,3]"), "only the innermost value is lost");
}

fn sensor() -> SchemaRef {
    schema(&[
        ("sensorId", SqlType::String),
        ("temperature", SqlType::Int),
        ("ok", SqlType::Boolean),
        ("tags", SqlType::Array(Box::new(SqlType::String))),
        ("at", SqlType::Row(vec![("x".into(), SqlType::Double), ("y".into(), SqlType::BigInt)])),
    ])
}

const MIXED: &str = concat!(
    "\u{feff}{\"sensorId\":\"s-1\",\"temperature\":57,\"ok\":true,\"tags\":[\"a\",\"b\"],\"at\":{\"x\":1,\"y\":2}}\n",
    "\n   \r\n",
    "{\"sensorId\":\"a sensor with a long name\",\"temperature\":-5,\"ok\":false,\"tags\":[],\"at\":{\"x\":1.5,\"y\":12345678901}}\r\n",
    "{ \"temperature\" : 9 , \"sensorId\" : \"s\\u00e9\\\"\" }  \n",
    "{\"tags\":null,\"at\":null,\"extra\":{\"deep\":[1,{\"a\":\"}\\\"\"}]},\"ok\":\"true\",\"temperature\":1,\"sensorId\":5}\n",
    "{\"sensorId\":\"s-2\",\"temperature\":58,\"ok\":null,\"tags\":[null],\"at\":{\"y\":3,\"x\":4}}\n",
    "{}\n",
    "\t{\"sensorId\":\"x\",\"sensorId\":\"größer als zwölf Bytes\",\"Temperature\":1}\n",
    "{\"sensorId\":\"s-1\",\"temperature\":57,\"ok\":true,\"tags\":[\"a\",\"b\"],\"at\":{\"x\":1,\"y\":2}}"
);

const MIXED_EXPECTED: &str = r#"{"sensorId":"s-1","temperature":57,"ok":true,"tags":["a","b"],"at":{"x":1.0,"y":2}}
{"sensorId":"a sensor with a long name","temperature":-5,"ok":false,"tags":[],"at":{"x":1.5,"y":12345678901}}
{"sensorId":"sé\"","temperature":9,"ok":null,"tags":null,"at":null}
{"sensorId":"5","temperature":1,"ok":true,"tags":null,"at":null}
{"sensorId":"s-2","temperature":58,"ok":null,"tags":[null],"at":{"x":4.0,"y":3}}
{"sensorId":null,"temperature":null,"ok":null,"tags":null,"at":null}
{"sensorId":"größer als zwölf Bytes","temperature":null,"ok":null,"tags":null,"at":null}
{"sensorId":"s-1","temperature":57,"ok":true,"tags":["a","b"],"at":{"x":1.0,"y":2}}
"#;

#[test]
fn shapes_may_change_in_mid_stream() {
    let schema = sensor();
    assert_eq!(encode(&decode(&schema, MIXED)), MIXED_EXPECTED);
    let often = format!("{MIXED}\n{}", MIXED.trim_start_matches('\u{feff}')).repeat(1);
    assert_eq!(encode(&decode(&schema, &often)), MIXED_EXPECTED.repeat(2));
}

#[test]
fn input_may_be_cut_anywhere() {
    let schema = sensor();
    let bytes = Bytes::from_static(MIXED.as_bytes());
    for cut in 0..=bytes.len() {
        let mut decoder = decoder(JsonOptions::default(), &schema);
        decoder.feed(bytes.slice(..cut)).unwrap();
        let (first, errors) = drain(&mut decoder, &schema);
        assert!(errors.is_empty());
        decoder.feed(bytes.slice(cut..)).unwrap();
        decoder.finish().unwrap();
        let (second, errors) = drain(&mut decoder, &schema);
        assert!(errors.is_empty());
        assert_eq!(encode(&first) + &encode(&second), MIXED_EXPECTED, "cut at {cut}");
    }
}

#[test]
fn batches_are_bounded() {
    let schema = schema(&[("a", SqlType::Int), ("s", SqlType::String)]);
    let mut decoder = JsonDecoder::new(JsonOptions::default(), schema, 7, "stdin".into()).unwrap();
    let input: String = (0..40).map(|i| format!("{{\"a\":{i},\"s\":\"text number {i:05}\"}}\n")).collect();
    decoder.feed(input.into()).unwrap();
    let mut sizes = Vec::new();
    let mut seen = 0;
    while let Some(batch) = decoder.next_batch().unwrap() {
        for row in 0..batch.num_rows() {
            assert_eq!(batch.column(0).as_primitive::<Int32Type>().value(row), seen);
            assert_eq!(batch.column(1).as_string_view().value(row), format!("text number {seen:05}"));
            seen += 1;
        }
        sizes.push(batch.num_rows());
    }
    assert_eq!(sizes, [7, 7, 7, 7, 7, 5]);
}

#[test]
fn no_column_at_all_still_counts_rows() {
    let batch = decode(&schema(&[]), "{\"a\":1}\n{\"a\":[2]}\n");
    assert_eq!((batch.num_rows(), batch.num_columns()), (2, 0));
    assert_eq!(encode(&batch), "{}\n{}\n");
}

#[test]
fn a_bad_record_does_not_reach_its_neighbours() {
    let schema = schema(&[("a", SqlType::Int), ("s", SqlType::String)]);
    let bad: [&[u8]; 14] = [
        b"{\"a\":\"x\",\"s\":\"y\"}",
        b"{\"a\":1,\"s\":\"open}",
        b"{\"a\":1",
        b"not json",
        b"[1]",
        b"null",
        b"{\"a\":1,\"s\":\"\xff\xfe\"}",
        b"{\"a\":1} {\"a\":2}",
        b"{\"a\":01}",
        b"{\"a\":1,}",
        b"{,}",
        b"{\"s\":\"\\x\"}",
        b"{\"b\":{]}",
        b"{\"b\":tru}",
    ];
    for bad in bad {
        let mut input = b"{\"a\":1,\"s\":\"one\"}\n".to_vec();
        input.extend_from_slice(bad);
        input.extend_from_slice(b"\n{\"a\":3,\"s\":\"three\"}\n");
        let (batch, errors) = decode_all(JsonOptions::default(), &schema, &input);
        assert_eq!(encode(&batch), "{\"a\":1,\"s\":\"one\"}\n{\"a\":3,\"s\":\"three\"}\n");
        assert_eq!(errors.len(), 1);
        assert!(errors[0].message().contains("line 2"), "{}", errors[0]);
    }
}

#[test]
fn errors_can_be_ignored_and_are_counted() {
    let schema = schema(&[("a", SqlType::Int), ("s", SqlType::String)]);
    let options = JsonOptions { ignore_parse_errors: true, ..JsonOptions::default() };
    let mut decoder = decoder(options, &schema);
    let input = "{\"a\":\"x\",\"s\":\"one\"}\n{\"a\":\nnothing\n{\"a\":\"y\",\"s\":\"two\"}\n{\"a\":3}\n";
    decoder.feed(input.into()).unwrap();
    let (batch, errors) = drain(&mut decoder, &schema);
    assert!(errors.is_empty());
    assert_eq!(
        encode(&batch),
        "{\"a\":null,\"s\":\"one\"}\n{\"a\":null,\"s\":\"two\"}\n{\"a\":3,\"s\":null}\n"
    );
    assert_eq!(decoder.skipped(), 4);
}

#[test]
fn not_null_and_missing_fields_are_checked() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8View, false),
        Field::new("n", DataType::Int64, true),
    ]));
    for bad in ["{\"id\":null,\"n\":1}", "{\"n\":1}", "{}"] {
        let input =
            format!("{{\"id\":\"a\",\"n\":1}}\n{{\"n\":2,\"id\":\"b\"}}\n{bad}\n{{\"id\":\"c\",\"n\":3}}");
        let (batch, errors) = decode_all(JsonOptions::default(), &schema, input.as_bytes());
        assert_eq!(batch.num_rows(), 3);
        assert!(errors[0].message().contains("line 3, field 'id': expected a value for a NOT NULL"));
        let lenient = JsonOptions { ignore_parse_errors: true, ..JsonOptions::default() };
        assert_eq!(decode_all(lenient, &schema, input.as_bytes()).0.num_rows(), 3);
    }
    let strict = JsonOptions { fail_on_missing_field: true, ..JsonOptions::default() };
    let (batch, errors) = decode_all(strict, &schema, b"{\"id\":\"a\",\"n\":null}\n{\"id\":\"a\"}\n");
    assert_eq!((batch.num_rows(), errors.len()), (1, 1));
    assert!(errors[0].message().contains("field 'n'"), "{}", errors[0]);
}

#[test]
fn the_last_of_a_repeated_field_holds_even_if_the_first_is_bad() {
    let schema = schema(&[("a", SqlType::Int), ("b", SqlType::Int)]);
    let input = "{\"a\":1,\"b\":2}\n{\"a\":\"x\",\"a\":1}\n{\"a\":{\"a\":1},\"b\":1,\"a\":null}\n";
    assert_eq!(
        encode(&decode(&schema, input)),
        "{\"a\":1,\"b\":2}\n{\"a\":1,\"b\":null}\n{\"a\":null,\"b\":1}\n"
    );
}

#[test]
fn error_texts() {
    let schema = schema(&[
        ("temperature", SqlType::Int),
        ("at", SqlType::Timestamp(3)),
        ("items", SqlType::Array(Box::new(SqlType::Row(vec![("n".into(), SqlType::Int)])))),
    ]);
    let text = |record: &str| {
        let (_, errors) = decode_all(JsonOptions::default(), &schema, format!("{{}}\n{record}\n").as_bytes());
        errors[0].to_string()
    };
    assert_eq!(
        text("{\"temperature\":\"hot\"}"),
        "file events.jsonl, line 2, field 'temperature': expected INT, found \"hot\"\n  \
         detail: the record: {\"temperature\":\"hot\"}\n  \
         hint: a column of type STRING takes any value; a source's 'scan.dead-letter' keeps such records in a table"
    );
    assert_eq!(
        text("{\"at\":1700000000000}"),
        "file events.jsonl, line 2, field 'at': expected TIMESTAMP(3) as \"2020-01-31 10:15:30.123\", \
         found 1700000000000\n  detail: the record: {\"at\":1700000000000}\n  \
         hint: a number is no timestamp: declare the column as BIGINT and compute TO_TIMESTAMP_LTZ(column, 3)"
    );
    for (number, way) in [
        ("1700000000", "TO_TIMESTAMP_LTZ(column, 0), if it counts seconds"),
        ("1700000000.123", "TO_TIMESTAMP_LTZ(CAST(column * 1000 AS BIGINT), 3), if it counts seconds"),
        ("1700000000000000", "TO_TIMESTAMP_LTZ(column / 1000, 3), if it counts microseconds"),
    ] {
        assert!(text(&format!("{{\"at\":{number}}}")).ends_with(way), "{number}");
    }
    assert!(
        text("{\"at\":\"2020-01-01T00:00:00+01:00\"}").ends_with("declare the column as TIMESTAMP_LTZ(3)")
    );
    let nested = text("{\"items\":[{\"n\":1},{\"n\":[]}]}");
    assert!(nested.starts_with("file events.jsonl, line 2, field 'items[2].n': expected INT, found []"));
    let open = text("{\"temperature\":1");
    assert!(
        open.starts_with("file events.jsonl, line 2: expected ',' or '}', found the end of the line"),
        "{open}"
    );
    let long = text(&format!("{{\"x\":{}", "é".repeat(500)));
    assert!(long.lines().all(|l| l.chars().count() < 200) && long.contains("..."), "{long}");
}

#[test]
fn an_endless_line_is_an_error() {
    let schema = schema(&[("a", SqlType::Int)]);
    let piece = Bytes::from(vec![b' '; 1 << 20]);
    let mut decoder = decoder(JsonOptions::default(), &schema);
    let mut error = None;
    for _ in 0..70 {
        decoder.feed(piece.clone()).unwrap();
        if let Err(e) = decoder.next_batch() {
            assert!(error.replace(e).is_none(), "once");
        }
    }
    assert!(error.unwrap().message().contains("line 1: expected a record of at most 64 MiB"));
    decoder.feed("\n{\"a\":1}\n".into()).unwrap();
    assert_eq!(decoder.next_batch().unwrap().unwrap().num_rows(), 1);
}

#[test]
fn documents_give_their_rows() {
    let schema = schema(&[("id", SqlType::String), ("n", SqlType::Int)]);
    let rows = |body: &str, pointer: &str| {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let origin = "answer of http://localhost/".into();
        decode_rows(JsonOptions::default(), schema.clone(), body, pointer, origin).map(|b| encode(&b))
    };
    let one = "{\"id\":\"a\",\"n\":1}\n";
    assert_eq!(rows("{\"id\":\"a\",\n \"n\":1}\n", "/").as_deref(), Ok(one));
    assert_eq!(rows("[ {\"id\":\"a\",\"n\":1}\n, {\"n\":1,\"id\":\"a\"} ]", "").unwrap(), one.repeat(2));
    for none in ["null", "[]", " [ \n ] ", "\u{feff}null"] {
        assert_eq!(rows(none, "/").as_deref(), Ok(""), "{none}");
    }
    let body = "{\"data\":0,\"data\":{\"a/b\":[[],{\"id\":\"a\",\"n\":\"1\"}],\"~\":null}}";
    assert_eq!(rows(body, "/data/a~1b/1").as_deref(), Ok(one));
    for absent in
        ["/data/a~1b/0", "/data/~0", "/x", "/data/x/y", "/data/a~1b/7", "/data/a~1b/01", "/data/a~1b/0/0"]
    {
        assert_eq!(rows(body, absent).as_deref(), Ok(""), "{absent}");
    }
    for bad in
        ["", "1", "\"x\"", "[1]", "[null]", "{} {}", "{\"id\":\"a\"", "[{},]", "<html>", "{\"n\":\"x\"}"]
    {
        let e = rows(bad, "/").expect_err(bad);
        assert!(e.message().starts_with("answer of http://localhost/"), "{e}");
        assert_eq!(e.kind(), crate::error::ErrorKind::Decode);
    }
    assert!(rows("{\"data\":{}} x", "/data").is_err());
    assert!(rows("{}", "data").is_err());
}

#[test]
fn documents_keep_their_reader_whole_after_an_error() {
    let schema = schema(&[("a", SqlType::Array(Box::new(SqlType::String))), ("n", SqlType::Int)]);
    let mut documents = JsonDocuments::new(JsonOptions::default(), schema, "/", "answer".into()).unwrap();
    for _ in 0..3 {
        let good =
            documents.decode(b"[{\"a\":[\"x\",\"a string of some length\"],\"n\":null},{\"n\":2}]").unwrap();
        assert_eq!(
            encode(&good),
            "{\"a\":[\"x\",\"a string of some length\"],\"n\":null}\n{\"a\":null,\"n\":2}\n"
        );
        documents.decode(b"[{\"a\":[\"left\"],\"n\":null},{\"a\":[\"over\"],\"n\":\"x\"}]").unwrap_err();
        documents.decode(b"\xff").unwrap_err();
    }
}

#[test]
fn kinds_of_change_come_first() {
    let batch = decode(&schema(&[("a", SqlType::Int)]), "{\"a\":1}\n{\"a\":2}\n");
    let mut chunk = Chunk::append(batch.clone(), Instant::now());
    chunk.kinds = Kinds::Changes(Arc::new([Kind::UpdateBefore, Kind::UpdateAfter]));
    let mut out = Vec::new();
    let options = JsonOptions::default();
    JsonEncoder::with_op(options, batch.schema()).unwrap().encode(&chunk, &mut out).unwrap();
    assert_eq!(out, b"{\"op\":\"-U\",\"a\":1}\n{\"op\":\"+U\",\"a\":2}\n");
    assert!(JsonEncoder::new(options, batch.schema()).unwrap().encode(&chunk, &mut out).is_err());
}

#[test]
fn other_types_are_written_too() {
    let dictionary: DictionaryArray<Int32Type> = [Some("a"), None, Some("b\u{1}")].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("dictionary", Arc::new(dictionary)),
        ("u64", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1]))),
        ("f", Arc::new(Float64Array::from(vec![f64::NAN, f64::NEG_INFINITY, 1e300]))),
        ("months", Arc::new(IntervalYearMonthArray::from(vec![14, -1, 0]))),
        ("gaps", Arc::new(Int64Array::from(vec![None, Some(1), None]))),
        ("quoted \"name\"", Arc::new(StringViewArray::from(vec!["\\", "tab\tand a \"quote\"", "plain"]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    assert_eq!(
        encode(&batch),
        concat!(
            r#"{"dictionary":"a","u64":18446744073709551615,"f":"NaN","months":"+1-02","gaps":null,"quoted \"name\"":"\\"}"#,
            "\n",
            r#"{"dictionary":null,"u64":0,"f":"-Infinity","months":"-0-01","gaps":1,"quoted \"name\"":"tab\tand a \"quote\""}"#,
            "\n",
            r#"{"dictionary":"b\u0001","u64":1,"f":1e300,"months":"+0-00","gaps":null,"quoted \"name\"":"plain"}"#,
            "\n"
        )
    );
    let options = JsonOptions { ignore_null_fields: true, ..JsonOptions::default() };
    let nulls = batch.project(&[4, 0]).unwrap();
    assert_eq!(
        encode_with(options, &nulls),
        "{\"dictionary\":\"a\"}\n{\"gaps\":1}\n{\"dictionary\":\"b\\u0001\"}\n"
    );
    let empty = batch.project(&[4]).unwrap();
    assert_eq!(encode_with(options, &empty), "{}\n{\"gaps\":1}\n{}\n");
}

#[test]
fn small_strings_keep_no_large_buffers() {
    let schema = schema(&[("s", SqlType::String)]);
    let mut decoder = JsonDecoder::new(JsonOptions::default(), schema, 8192, "stdin".into()).unwrap();
    let line = format!("{{\"s\":\"a string of some length\",\"unread\":\"{}\"}}\n", "x".repeat(1000));
    decoder.feed(line.repeat(1000).into()).unwrap();
    let batch = decoder.next_batch().unwrap().unwrap();
    assert!(batch.get_array_memory_size() < 80_000, "{}", batch.get_array_memory_size());
    decoder.feed(line.into()).unwrap();
    let batch = decoder.next_batch().unwrap().unwrap();
    assert!(batch.get_array_memory_size() < 1_000, "{}", batch.get_array_memory_size());
}

/// JSON values as serde_json writes them.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1000i64..1000).prop_map(Into::into),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Into::into),
        "[ -~éß😀\\n\\t]{0,40}".prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::vec(("[a-c]", inner), 0..5)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

/// What a STRING column holds, by serde_json.
fn as_string(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(s) => Some(s.clone()),
        other => Some(other.to_string()),
    }
}

proptest! {
    #[test]
    fn objects_are_read_as_serde_json_reads_them(
        records in prop::collection::vec(prop::collection::vec(("[a-dA]", value()), 0..6), 1..12),
        cuts in prop::collection::vec(0usize..2000, 0..6),
        pretty in any::<bool>(),
    ) {
        let columns = ["a", "b", "c"];
        let schema = schema(&columns.map(|c| (c, SqlType::String)));
        let mut input = String::new();
        let mut expected = Vec::new();
        for record in &records {
            let (comma, colon) = if pretty { (" ,\t", "\r : ") } else { (",", ":") };
            let members: Vec<String> =
                record.iter().map(|(k, v)| format!("\"{k}\"{colon}{v}")).collect();
            let line = format!("{{{}}}", members.join(comma));
            // serde_json keeps the last of duplicates as well.
            let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
            expected.push(columns.map(|c| object.get(c).and_then(as_string)));
            input.push_str(&line);
            input.push('\n');
        }
        let bytes = Bytes::from(input);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut decoder = decoder(JsonOptions::default(), &schema);
        for pair in cuts.windows(2) {
            decoder.feed(bytes.slice(pair[0]..pair[1])).unwrap();
        }
        decoder.finish().unwrap();
        let (batch, errors) = drain(&mut decoder, &schema);
        prop_assert!(errors.is_empty(), "{errors:?}");
        prop_assert_eq!(batch.num_rows(), expected.len());
        for (row, expected) in expected.iter().enumerate() {
            for (column, expected) in expected.iter().enumerate() {
                let array = batch.column(column).as_string_view();
                let found = array.is_valid(row).then(|| array.value(row));
                prop_assert_eq!(found, expected.as_deref());
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        input in prop::collection::vec(
            prop_oneof![
                any::<u8>().prop_map(|b| vec![b]),
                prop::sample::select(vec![
                    "{\"sensorId\":", "\"x\"", ",\"temperature\":", "12", "}\n", "{", "}", "[", "]", "\\u12", "\\", "\"",
                    ",\"at\":{\"x\":", "1.5e", "null", ",\"tags\":[\"", "\n", " ", ":", "true", "-", "\u{feff}",
                ]).prop_map(|s| s.as_bytes().to_vec()),
            ],
            0..60,
        ),
        ignore in any::<bool>(),
        cut in 0usize..100,
    ) {
        let input = input.concat();
        let schema = sensor();
        let options = JsonOptions { ignore_parse_errors: ignore, ..JsonOptions::default() };
        let (whole, errors) = decode_all(options, &schema, &input);
        prop_assert!(!ignore || errors.is_empty());
        let bytes = Bytes::from(input);
        let cut = cut.min(bytes.len());
        let mut decoder = decoder(options, &schema);
        decoder.feed(bytes.slice(..cut)).unwrap();
        let (first, mut first_errors) = drain(&mut decoder, &schema);
        decoder.feed(bytes.slice(cut..)).unwrap();
        decoder.finish().unwrap();
        let (second, second_errors) = drain(&mut decoder, &schema);
        first_errors.extend(second_errors);
        prop_assert_eq!(encode(&first) + &encode(&second), encode(&whole));
        prop_assert_eq!(first_errors, errors);
        let _ = decode_rows(options, schema, bytes, "/at", "answer".into());
    }

    #[test]
    fn what_is_written_is_read_back(
        rows in prop::collection::vec(
            (any::<Option<i64>>(), any::<Option<String>>(), any::<Option<f64>>(), -10i64.pow(17)..10i64.pow(17)),
            1..20,
        ),
    ) {
        let schema = schema(&[
            ("n", SqlType::BigInt), ("s", SqlType::String), ("f", SqlType::Double), ("t", SqlType::TimestampLtz(9)),
            ("d", SqlType::Decimal(30, 7)),
        ]);
        let zoned = DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, Some("UTC".into()));
        let times: Int64Array = rows.iter().map(|r| Some(r.3)).collect();
        let decimals: arrow::array::Decimal128Array = rows.iter().map(|r| r.0.map(i128::from)).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|r| r.1.clone()).collect::<StringViewArray>()),
            Arc::new(rows.iter().map(|r| r.2).collect::<Float64Array>()),
            arrow::compute::cast(&times, &zoned).unwrap(),
            Arc::new(decimals.with_precision_and_scale(30, 7).unwrap()),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        let text = encode(&batch);
        for line in text.lines() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
        }
        let read = decode(&schema, &text);
        prop_assert_eq!(encode(&read), text);
        prop_assert_eq!(read.column(0).as_primitive::<Int64Type>(), batch.column(0).as_primitive::<Int64Type>());
    }
}
