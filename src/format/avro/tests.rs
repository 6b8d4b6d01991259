#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use arrow::array::{Int32Array, Int64Array, StringViewArray, TimestampMillisecondArray};
use arrow::datatypes::{Field, Fields, TimeUnit};
use serde_json::json;

use super::*;
use crate::connector::replay::rows as texts;

/// A registry of these schemas by id; what is registered gets id 100 and is kept as it came.
fn registry(schemas: Vec<(u32, Value)>) -> (String, Arc<parking_lot::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<parking_lot::Mutex<Vec<String>>> = Arc::default();
    let log = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut first = String::new();
            reader.read_line(&mut first).unwrap();
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                    length = n.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let path = first.split(' ').nth(1).unwrap_or_default().to_string();
            log.lock().push(format!("{path} {}", String::from_utf8(body).unwrap()));
            let id = path.strip_prefix("/schemas/ids/").and_then(|id| id.parse::<u32>().ok());
            let known = schemas.iter().find(|(i, _)| Some(*i) == id || path.ends_with("/latest"));
            let answer = match known {
                _ if path.ends_with("/versions") => Some(json!({ "id": 100 })),
                Some((_, schema)) => Some(json!({ "schema": schema.to_string() })),
                None => None,
            };
            let (status, text) = match answer {
                Some(answer) => ("200 OK", answer.to_string()),
                None => ("404 Not Found", "{}".to_string()),
            };
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
        }
    });
    (address, asked)
}

fn options(url: &str) -> AvroOptions {
    let mut options = Options::default();
    options.set("avro-confluent.url", url, Default::default());
    options.set("avro-confluent.subject", "t-value", Default::default());
    AvroOptions::from_options(&options, CONFLUENT).unwrap()
}

fn plain() -> AvroOptions {
    AvroOptions::from_options(&Options::default(), PLAIN).unwrap()
}

fn readings() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8View, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("at", DataType::Struct(Fields::from(vec![Field::new("x", DataType::Int32, true)])), true),
    ]))
}

fn batch() -> RecordBatch {
    let at = StructArray::new(
        Fields::from(vec![Field::new("x", DataType::Int32, true)]),
        vec![Arc::new(Int32Array::from(vec![Some(1), None]))],
        None,
    );
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(7), None])),
        Arc::new(StringViewArray::from(vec![Some("a longer text than fits"), None])),
        Arc::new(TimestampMillisecondArray::from(vec![Some(1_000), None])),
        Arc::new(at),
    ];
    RecordBatch::try_new(readings(), columns).unwrap()
}

#[test]
fn rows_come_back_as_they_were() {
    for (of, url) in [(plain(), None), (options(&registry(vec![]).0), Some(()))] {
        let mut out = Vec::new();
        let ranges = AvroEncoder::new(&of, &readings()).unwrap().encode(&batch(), &mut out).unwrap();
        let messages: Vec<Option<&[u8]>> = ranges.iter().map(|r| r.clone().map(|r| &out[r])).collect();
        if url.is_some() {
            assert_eq!(&messages[0].unwrap()[..5], [0, 0, 0, 0, 100]);
        }
        let mut decoder = AvroDecoder::new(&of, &readings(), &readings()).unwrap();
        let rows = decoder.decode(&[messages[0], None, messages[1]]).unwrap();
        assert!(rows.wrong.is_none());
        assert_eq!((texts(&rows.batch), rows.numbers), (texts(&batch()), vec![0, 2]));
        // What is not wanted is not there.
        let some = Arc::new(readings().project(&[2]).unwrap());
        let rows = AvroDecoder::new(&of, &readings(), &some).unwrap().decode(&messages).unwrap();
        assert_eq!(texts(&rows.batch), ["1970-01-01T00:00:01", "NULL"]);
    }
}

#[test]
fn schemas_change_from_record_to_record() {
    let first = json!({ "type": "record", "name": "r", "fields": [{ "name": "id", "type": "int" }, { "name": "old", "type": "string" }] });
    let second = json!({ "type": "record", "name": "r", "fields": [
        { "name": "name", "type": { "type": "enum", "name": "e", "symbols": ["A", "B"] } }, { "name": "id", "type": "long" } ] });
    let (url, asked) = registry(vec![(1, first), (2, second)]);
    let wanted = Arc::new(readings().project(&[0, 1]).unwrap());
    let mut decoder = AvroDecoder::new(&options(&url), &readings(), &wanted).unwrap();
    let one: &[u8] = &[0, 0, 0, 0, 1, 14, 2, b'x'];
    let two: &[u8] = &[0, 0, 0, 0, 2, 2, 16];
    let rows = decoder.decode(&[Some(one), Some(two), Some(one)]).unwrap();
    assert_eq!(texts(&rows.batch), ["7|NULL", "8|B", "7|NULL"]);
    assert_eq!(asked.lock().len(), 2, "each is asked for once");
    // One that is wrong ends the rows; those before it are there.
    for (wrong, says) in [
        (&[0_u8, 0, 0, 0, 1, 14, 20, b'x'][..], "does not fit its schema"),
        (&[0, 0, 0, 0, 1, 14, 2, b'x', 9], "bytes are left after it"),
        (&[0, 0, 0, 0, 1, 14, 2, b'x', 0, 0, 0, 0, 1, 14, 2, b'x'], "bytes are left after it"),
        (&[0, 0, 0, 0, 1, 14, 2, b'x', 0, 0], "bytes are left after it"),
        (&[1, 2], "does not begin with the id"),
        (&[0, 0, 0, 0, 9, 1], "schema 9 is not in the registry"),
    ] {
        let rows = decoder.decode(&[Some(one), Some(one), Some(wrong), Some(two)]).unwrap();
        let (at, e) = rows.wrong.unwrap();
        assert_eq!((texts(&rows.batch), at), (vec!["7|NULL".to_string(); 2], 2), "{says}");
        assert!(e.message().contains(says), "{e}");
    }
}

#[test]
fn columns_follow_from_the_registry_and_schemas_from_columns() {
    let schema = json!({ "type": "record", "name": "r", "fields": [
        { "name": "id", "type": "int" }, { "name": "tags", "type": ["null", { "type": "array", "items": "string" }] },
        { "name": "price", "type": { "type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2 } } ] });
    let inferred = options(&registry(vec![(1, schema)]).0).infer().unwrap().unwrap();
    let shown: Vec<String> = inferred.columns.iter().map(|(name, t)| format!("{name} {t}")).collect();
    assert_eq!(shown, ["id INT", "tags ARRAY<STRING>", "price DECIMAL(10, 2)"]);
    let derived = schema::of_table(&readings(), true).unwrap();
    assert_eq!(derived["name"], "record");
    assert_eq!(
        derived["fields"][2]["type"],
        json!(["null", { "type": "long", "logicalType": "timestamp-millis" }])
    );
    let odd: SchemaRef = Arc::new(Schema::new(vec![Field::new("a-b", DataType::Int64, true)]));
    assert!(schema::of_table(&odd, true).unwrap_err().message().contains("'a-b'"));
}

#[test]
fn rows_of_keys_maps_and_all_times_are_written() {
    use crate::sql::SqlType;

    let map = SqlType::Map(Box::new(SqlType::String), Box::new(SqlType::Timestamp(0))).to_arrow("UTC");
    let fields = |nullable| -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, nullable),
            Field::new("m", map.clone(), true),
            Field::new("s", DataType::Timestamp(TimeUnit::Second, None), true),
            Field::new("n", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), true),
        ]))
    };
    let DataType::Map(entries, _) = &map else { panic!("{map}") };
    let DataType::Struct(kv) = entries.data_type() else { panic!("{map}") };
    let pairs = StructArray::new(
        kv.clone(),
        vec![
            Arc::new(StringViewArray::from(vec!["a key of some length", "b"])),
            Arc::new(arrow::array::TimestampSecondArray::from(vec![Some(5), None])),
        ],
        None,
    );
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([2, 0]);
    let nanos = arrow::array::TimestampNanosecondArray::from(vec![Some(1_000), None]).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![7, 8])),
        Arc::new(MapArray::new(entries.clone(), offsets, pairs, None, false)),
        Arc::new(arrow::array::TimestampSecondArray::from(vec![Some(5), None])),
        Arc::new(nanos),
    ];
    // What a query gives is nullable throughout; the table says what is not.
    let batch = RecordBatch::try_new(fields(true), columns).unwrap();
    let mut out = Vec::new();
    let ranges = AvroEncoder::new(&plain(), &fields(false)).unwrap().encode(&batch, &mut out).unwrap();
    let messages: Vec<Option<&[u8]>> = ranges.iter().map(|r| r.clone().map(|r| &out[r])).collect();
    let rows = AvroDecoder::new(&plain(), &fields(false), &fields(true)).unwrap().decode(&messages).unwrap();
    assert!(rows.wrong.is_none(), "{:?}", rows.wrong);
    assert_eq!(texts(&rows.batch), texts(&batch));
    let nothing = RecordBatch::try_new(
        fields(true),
        batch.columns().iter().map(|c| new_null_array(c.data_type(), 1)).collect(),
    );
    assert!(AvroEncoder::new(&plain(), &fields(false)).unwrap().encode(&nothing.unwrap(), &mut out).is_err());
}

#[test]
fn uuids_are_texts_and_unions_have_all_their_values() {
    let schema = json!({ "type": "record", "name": "q", "fields": [
        { "name": "u", "type": { "type": "string", "logicalType": "uuid" } },
        { "name": "x", "type": ["int", "string", "null"] } ] });
    let wanted: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("u", DataType::Utf8View, true),
        Field::new("x", DataType::Utf8View, true),
    ]));
    let (url, _) = registry(vec![(1, schema)]);
    let uuid = "0b8f1f0e-5f0c-4c7e-9a51-6f2f4f9b9c01";
    let record = |rest: &[u8]| [&[0, 0, 0, 0, 1, 72], uuid.as_bytes(), rest].concat();
    let records = [record(&[0, 14]), record(&[2, 2, b'y']), record(&[4])];
    let messages: Vec<Option<&[u8]>> = records.iter().map(|r| Some(r.as_slice())).collect();
    let rows = AvroDecoder::new(&options(&url), &wanted, &wanted).unwrap().decode(&messages).unwrap();
    assert!(rows.wrong.is_none(), "{:?}", rows.wrong);
    assert_eq!(texts(&rows.batch), [format!("{uuid}|7"), format!("{uuid}|y"), format!("{uuid}|NULL")]);
    let inferred = options(
        &registry(vec![(
            1,
            json!({ "type": "record", "name": "q", "fields": [
        { "name": "u", "type": ["null", { "type": "string", "logicalType": "uuid" }] } ] }),
        )])
        .0,
    );
    assert_eq!(inferred.infer().unwrap().unwrap().columns, [("u".to_string(), SqlType::String)]);
}
