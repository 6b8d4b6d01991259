#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, RecordBatch, StringViewArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::flow::Chunk;
use crate::format::{Decoder, Encoder, Origin};

fn options(pairs: &[(&str, &str)]) -> CsvOptions {
    let mut options = Options::default();
    pairs.iter().for_each(|(k, v)| options.set(k, v, Default::default()));
    CsvOptions::from_options(&options).unwrap()
}

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>()))
}

fn decode_cut(
    options: &CsvOptions,
    declared: &SchemaRef,
    wanted: &SchemaRef,
    text: &[u8],
    cut: usize,
    rows: usize,
) -> Result<RecordBatch> {
    let mut decoder = CsvDecoder::new(options.clone(), declared, wanted, rows, Origin::from("file x.csv"))?;
    let mut batches = Vec::new();
    for piece in text.chunks(cut.max(1)) {
        decoder.feed(Bytes::copy_from_slice(piece))?;
        while let Some(batch) = decoder.next_batch()? {
            assert!(batch.num_rows() > 0 && batch.num_rows() <= rows);
            batches.push(batch);
        }
    }
    decoder.finish()?;
    while let Some(batch) = decoder.next_batch()? {
        batches.push(batch);
    }
    Ok(concat_batches(wanted, &batches)?)
}

fn decode(pairs: &[(&str, &str)], fields: &[(&str, DataType)], text: &str) -> Result<RecordBatch> {
    let schema = schema(fields);
    decode_cut(&options(pairs), &schema, &schema, text.as_bytes(), 7, 3)
}

fn texts(batch: &RecordBatch, column: usize) -> Vec<Option<String>> {
    batch.column(column).as_string_view().iter().map(|t| t.map(str::to_string)).collect()
}

const TWO: &[(&str, DataType)] = &[("a", DataType::Int32), ("b", DataType::Utf8View)];

#[test]
fn a_quote_that_is_not_closed_is_an_error() {
    for text in ["1,\"x\n2,y\n3,z", "1,\"x\n2,y\n3,z\n", "0,a\n1,\"x\n2,\"\"y\n"] {
        for options in [&[][..], &[("csv.ignore-parse-errors", "true")]] {
            let error = decode(options, TWO, text).unwrap_err();
            assert!(error.message().contains("a quote is not closed"), "{text}: {error}");
        }
    }
    let rows = decode(&[], TWO, "1,5\"\n2,\"a\nb\"\n3,5\"").unwrap();
    assert_eq!(rows.num_rows(), 3);
}

#[test]
fn quotes_newlines_and_empty_fields() {
    let batch = decode(&[], TWO, "1,plain\r\n2,\"a \"\"b\"\", c\nd\"\n\n,\n4,last").unwrap();
    let a: Vec<_> = batch.column(0).as_primitive::<Int32Type>().iter().collect();
    assert_eq!(a, [Some(1), Some(2), None, Some(4)]);
    let b: Vec<_> = texts(&batch, 1).into_iter().flatten().collect();
    assert_eq!(b, ["plain", "a \"b\", c\nd", "", "last"]);
}

#[test]
fn errors_name_file_line_and_column() {
    let e = decode(&[], TWO, "1,x\n\n\"2\",\"two\nlines\"\nthree,y\n").unwrap_err();
    assert_eq!(e.message(), "file x.csv, line 5, column 'a': 'three' is not an INT");
    let e = decode(&[], TWO, "1,x\r\n2,y\r\n3\r\n").unwrap_err();
    assert_eq!(e.message(), "file x.csv, line 3: 1 field instead of 2");
    assert_eq!(e.detail(), Some("column 'b' has no field"));
    let e = decode(&[], TWO, "1,x,\n").unwrap_err();
    assert_eq!(e.message(), "file x.csv, line 1: 3 fields instead of 2");
    let schema = schema(TWO);
    let e = decode_cut(&options(&[]), &schema, &schema, b"1,x\n2,\xff\n", 100, 10).unwrap_err();
    assert_eq!(e.message(), "file x.csv, line 2, column 'b': the text is not UTF-8");
}

#[test]
fn a_missing_value_in_a_not_null_column_is_an_error() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int32, false),
        Field::new("b", DataType::Utf8View, true),
    ]));
    let e = decode_cut(&options(&[]), &schema, &schema, b"1,x\n,y\n", 100, 10).unwrap_err();
    assert_eq!(
        e.message(),
        "file x.csv, line 2, column 'a': the field is NULL, the column is declared NOT NULL"
    );
    let lenient = options(&[("csv.ignore-parse-errors", "true")]);
    let batch = decode_cut(&lenient, &schema, &schema, b"1,x\n,y\nz,z\n4,w\n", 100, 10).unwrap();
    assert_eq!(texts(&batch, 1), [Some("x".into()), Some("w".into())]);
}

#[test]
fn errors_can_be_ignored_and_are_counted() {
    let lenient = [("csv.ignore-parse-errors", "true")];
    let batch = decode(&lenient, TWO, "1,x\ntwo,y\n3\n4,z,z\n5,w\n").unwrap();
    let a: Vec<_> = batch.column(0).as_primitive::<Int32Type>().iter().collect();
    assert_eq!(a, [Some(1), None, Some(3), Some(5)]);
    assert_eq!(texts(&batch, 1), [Some("x".into()), Some("y".into()), None, Some("w".into())]);
    let schema = schema(TWO);
    let mut decoder = CsvDecoder::new(options(&lenient), &schema, &schema, 10, Origin::from("x")).unwrap();
    decoder.feed(Bytes::from_static(b"1\n2,x\n3,3,3\n")).unwrap();
    assert_eq!(decoder.next_batch().unwrap().unwrap().num_rows(), 2);
    assert_eq!(decoder.skipped(), 2);
}

#[test]
fn bytes_that_are_not_utf8_cost_their_record() {
    let schema = schema(TWO);
    let lenient = options(&[("csv.ignore-parse-errors", "true")]);
    for (cut, rows) in [(1, 1), (3, 2), (100, 100)] {
        let read =
            decode_cut(&lenient, &schema, &schema, b"1,x\n2,\xffa\n3\n\xe9,y\n5,z", cut, rows).unwrap();
        assert_eq!(texts(&read, 1), [Some("x".into()), None, Some("z".into())], "{cut}");
    }
}

#[test]
fn other_characters_are_read() {
    let schema = schema(TWO);
    let utf16: Vec<u8> =
        "\u{feff}1,Zo\u{eb}\n2,\u{1f600}\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    for cut in 1..8 {
        let read =
            decode_cut(&options(&[("csv.charset", "UTF-16BE")]), &schema, &schema, &utf16, cut, 10).unwrap();
        assert_eq!(texts(&read, 1), [Some("Zo\u{eb}".into()), Some("\u{1f600}".into())]);
        let read = decode_cut(&options(&[("csv.charset", "latin1")]), &schema, &schema, b"1,Zo\xeb", cut, 10)
            .unwrap();
        assert_eq!(texts(&read, 1), [Some("Zo\u{eb}".into())]);
    }
    let mut bad = Options::default();
    bad.set("csv.charset", "klingon", Default::default());
    assert!(CsvOptions::from_options(&bad).is_err());
}

#[test]
fn options_of_flink() {
    let batch = decode(
        &[
            ("csv.field-delimiter", "\\t"),
            ("csv.quote-character", "'"),
            ("csv.escape-character", "\\"),
            ("csv.allow-comments", "true"),
            ("csv.null-literal", "NA"),
            ("csv.skip-header", "true"),
        ],
        TWO,
        "a\tb\n# no row\n1\t'it\\'s'\nNA\tNA\n",
    )
    .unwrap();
    assert_eq!(texts(&batch, 1), [Some("it's".into()), None]);
    assert!(batch.column(0).is_null(1));
    let batch = decode(&[("csv.disable-quote-character", "true")], TWO, "1,\"x\n2,y\"\n").unwrap();
    assert_eq!(texts(&batch, 1), [Some("\"x".into()), Some("y\"".into())]);
}

#[test]
fn types() {
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    let row = DataType::Struct(
        vec![Field::new("x", DataType::Utf8View, true), Field::new("y", DataType::Float64, true)].into(),
    );
    let fields = [
        ("b", DataType::Boolean),
        ("d", DataType::Decimal128(5, 2)),
        ("f", DataType::Float64),
        ("day", DataType::Date32),
        ("at", DataType::Time32(TimeUnit::Millisecond)),
        ("ts", DataType::Timestamp(TimeUnit::Millisecond, None)),
        ("ltz", DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into()))),
        ("bytes", DataType::BinaryView),
        ("l", DataType::List(item)),
        ("r", row),
    ];
    let text = "true,1.25,-1.5E10,2020-02-29,12:30:00.5,2020-01-01 00:00:00.123,2020-01-01 00:00:00Z,AQI=,1;;3,u;2.5\n\
         ,,,,,,,,,\n";
    let batch = decode(&[], &fields, text).unwrap();
    let list = batch.column(8).as_list::<i32>();
    assert_eq!(
        list.value(0).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(),
        [Some(1), None, Some(3)]
    );
    for column in [0, 1, 2, 3, 4, 5, 6, 8, 9] {
        assert!(batch.column(column).is_null(1), "{column}");
    }
    // What was read is written in the same way.
    let mut encoder = CsvEncoder::new(options(&[]), &schema(&fields)).unwrap();
    let mut out = Vec::new();
    encoder.encode(&Chunk::append(batch.slice(0, 1), Instant::now()), &mut out).unwrap();
    let line = "true,1.25,-1.5E10,2020-02-29,12:30:00.5,\"2020-01-01 00:00:00.123\",\"2020-01-01 00:00:00Z\",AQI=,1;;3,u;2.5\n";
    assert_eq!(String::from_utf8(out).unwrap(), line);
}

#[test]
fn a_projection_keeps_positions_and_may_be_empty() {
    let declared = schema(TWO);
    let b = schema(&TWO[1..]);
    let batch = decode_cut(&options(&[]), &declared, &b, b"1,x\n2,y\n", 3, 1).unwrap();
    assert_eq!(texts(&batch, 0), [Some("x".into()), Some("y".into())]);
    let none = schema(&[]);
    let mut decoder = CsvDecoder::new(options(&[]), &declared, &none, 10, Origin::from("x")).unwrap();
    decoder.feed(Bytes::from_static(b"1,x\n2,y\n")).unwrap();
    assert_eq!(decoder.next_batch().unwrap().unwrap().num_rows(), 2);
}

#[test]
fn quotes_are_where_flink_puts_them() {
    // Checked against Flink 2.3.
    let texts = [
        "plain",
        "with space",
        "comma,",
        "q\"uote",
        "a-b",
        "abcdefghijklmnopqrstuvwx",
        "abcdefghijklmnopqrstuvwxy",
        ".~x_;é/:",
        "tab\t",
        " lead",
        "x'y",
        "ääääääääääääääääääääääää",
        "äääääääääääääääääääääääää",
    ];
    let written = |pairs: &[(&str, &str)], texts: &[&str]| {
        let schema = schema(&[("s", DataType::Utf8View), ("i", DataType::Int32)]);
        let batch = RecordBatch::try_new(
            schema.clone(),
            vec![
                Arc::new(StringViewArray::from_iter_values(texts)) as ArrayRef,
                Arc::new(Int32Array::from(vec![-5; texts.len()])),
            ],
        );
        let mut out = Vec::new();
        let mut encoder = CsvEncoder::new(options(pairs), &schema).unwrap();
        encoder.encode(&Chunk::append(batch.unwrap(), Instant::now()), &mut out).unwrap();
        let lines = String::from_utf8(out).unwrap();
        lines.lines().map(|l| l.rsplit_once(['5']).unwrap().0.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        written(&[], &texts),
        [
            "plain,-",
            "\"with space\",-",
            "\"comma,\",-",
            "\"q\"\"uote\",-",
            "a-b,-",
            "abcdefghijklmnopqrstuvwx,-",
            "\"abcdefghijklmnopqrstuvwxy\",-",
            ".~x_;é/:,-",
            "\"tab\t\",-",
            "\" lead\",-",
            "\"x'y\",-",
            "ääääääääääääääääääääääää,-",
            "\"äääääääääääääääääääääääää\",-",
        ]
    );
    assert_eq!(
        written(&[("csv.field-delimiter", ";")], &["a-b", "12:30", "ab"]),
        ["\"a-b\";-", "\"12:30\";-", "ab;-"]
    );
    assert_eq!(
        written(&[("csv.escape-character", "\\")], &["a\"b", "a\\b", "A"]),
        ["\"a\"\"b\",-", "\"a\\\\b\",-", "A,-"]
    );
}

#[test]
fn a_header_is_written_on_request() {
    let mut encoder = CsvEncoder::new(options(&[("csv.write-header", "true")]), &schema(TWO)).unwrap();
    let mut out = Vec::new();
    encoder.header(&mut out).unwrap();
    assert_eq!(out, b"a,b\n");
}

#[test]
fn unrepresentable_values_are_refused() {
    let map = SchemaRef::new(Schema::new(vec![Field::new(
        "m",
        crate::sql::SqlType::Map(Box::new(crate::sql::SqlType::String), Box::new(crate::sql::SqlType::Int))
            .to_arrow("UTC"),
        true,
    )]));
    let e = CsvEncoder::new(options(&[]), &map).err().unwrap();
    assert_eq!(e.message(), "column 'm': format 'csv' cannot hold MAP<STRING, INT>");
    let schema = schema(TWO);
    let mut encoder = CsvEncoder::new(options(&[("csv.disable-quote-character", "true")]), &schema).unwrap();
    let batch = RecordBatch::try_new(
        schema,
        vec![Arc::new(Int32Array::from(vec![1])), Arc::new(StringViewArray::from(vec!["a,b"]))],
    )
    .unwrap();
    let e = encoder.encode(&Chunk::append(batch, Instant::now()), &mut Vec::new()).unwrap_err();
    assert_eq!(e.message(), "column 'b': 'a,b' cannot be written as csv without quotes");
    let mut bad = Options::default();
    bad.set("csv.field-delimiter", "ab", Default::default());
    assert!(CsvOptions::from_options(&bad).is_err());
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        rows in proptest::collection::vec(("[a,\"\n\r #;é]{0,6}", proptest::option::of(any::<i32>())), 1..20),
        cut in 1usize..40,
    ) {
        let schema = schema(&[("s", DataType::Utf8View), ("i", DataType::Int32)]);
        let batch = RecordBatch::try_new(schema.clone(), vec![
            Arc::new(StringViewArray::from_iter_values(rows.iter().map(|r| &r.0))) as ArrayRef,
            Arc::new(Int32Array::from(rows.iter().map(|r| r.1).collect::<Vec<_>>())),
        ]).unwrap();
        let options = options(&[("csv.allow-comments", "true")]);
        let mut out = Vec::new();
        let mut encoder = CsvEncoder::new(options.clone(), &schema).unwrap();
        encoder.encode(&Chunk::append(batch.clone(), Instant::now()), &mut out).unwrap();
        let read = decode_cut(&options, &schema, &schema, &out, cut, 3).unwrap();
        prop_assert_eq!(read, batch);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 1usize..40) {
        let schema = schema(&[
            ("s", DataType::Utf8View),
            ("l", DataType::List(Arc::new(Field::new("item", DataType::Int32, true)))),
        ]);
        let _ = decode_cut(&options(&[]), &schema, &schema, &bytes, cut, 3);
        let _ = decode_cut(&options(&[("csv.ignore-parse-errors", "true")]), &schema, &schema, &bytes, cut, 3);
    }
}

#[test]
fn a_list_of_texts_round_trips() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), Some(2)]), None]);
    let schema = schema(&[("l", list.data_type().clone())]);
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(list)]).unwrap();
    let mut out = Vec::new();
    let mut encoder = CsvEncoder::new(options(&[]), &schema).unwrap();
    encoder.encode(&Chunk::append(batch.clone(), Instant::now()), &mut out).unwrap();
    assert_eq!(decode_cut(&options(&[]), &schema, &schema, &out, 100, 10).unwrap(), batch);
}

#[test]
fn an_element_that_holds_the_delimiter_is_refused() {
    let mut texts = arrow::array::ListBuilder::new(arrow::array::StringViewBuilder::new());
    for elements in [vec!["a", "b"], vec![], vec!["c;d"]] {
        elements.iter().for_each(|e| texts.values().append_value(e));
        texts.append(true);
    }
    let list = texts.finish();
    let schema = schema(&[("l", list.data_type().clone())]);
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(list)]).unwrap();
    let encode = |rows: RecordBatch| {
        let mut encoder = CsvEncoder::new(options(&[]), &schema).unwrap();
        encoder.encode(&Chunk::append(rows, Instant::now()), &mut Vec::new())
    };
    encode(batch.slice(0, 2)).unwrap();
    let e = encode(batch).unwrap_err();
    assert_eq!(e.message(), "column 'l': an element of 'c;d' holds ';', which separates elements");
    assert!(e.hint().is_some());
}
