#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int32Type;
use rdkafka::Timestamp;
use rdkafka::message::{Header, OwnedHeaders};

use super::options::{Records, Topics};
use super::rows::{Layout, Record, Run};
use crate::catalog::{Catalog, Table};
use crate::connector::registry::validate;
use crate::connector::{ScanRequest, SinkRequest};
use crate::dead_letter::with_rejected;
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds};
use crate::session::{Response, Session};
use crate::sql::{SourceText, StatementKind};

const SERVERS: &str = "'properties.bootstrap.servers' = '127.0.0.1:1'";

/// A table made from its columns and options.
fn table(connector: &str, columns: &str, options: &str) -> Result<Arc<Table>> {
    let text = format!("CREATE TABLE t ({columns}) WITH ('connector' = '{connector}', {SERVERS}, {options})");
    let statements = Session::new()?.parse(&SourceText::new("test", &text))?;
    let Some(StatementKind::CreateTable(made)) = statements.into_iter().next().map(|s| s.kind) else {
        return Err(Error::internal("no table"));
    };
    let table = Table::from_statement(&made, &Catalog::default())?;
    validate(&table)?;
    Ok(Arc::new(table))
}

fn refused(connector: &str, columns: &str, options: &str) -> Error {
    table(connector, columns, options).unwrap_err()
}

#[test]
fn tables_that_make_no_sense_are_refused_by_name() {
    for (connector, columns, options, says) in [
        ("kafka", "a INT", "'format' = 'json'", "option 'topic' is required"),
        ("kafka", "a INT", "'topic' = 't'", "option 'format' is required"),
        ("kafka", "a INT", "'topic' = 't', 'format' = 'json', 'value.format' = 'json'", "are the same"),
        (
            "kafka",
            "a INT",
            "'topic' = 't', 'value.format' = 'json', 'json.ignore-parse-errors' = 'true'",
            "no effect with 'value.format'",
        ),
        (
            "kafka",
            "a INT",
            "'topic' = 't', 'value.format' = 'json', 'value.json.ignore' = 'true'",
            "no option 'json.ignore'",
        ),
        ("kafka", "a INT", "'topic' = 't', 'format' = 'json', 'key.fields' = 'a'", "needs 'key.format'"),
        (
            "kafka",
            "a INT",
            "'topic' = 't', 'format' = 'json', 'key.format' = 'json', 'key.fields' = 'b'",
            "'b' is no physical column",
        ),
        (
            "kafka",
            "a INT",
            "'topic' = 't', 'format' = 'json', 'key.format' = 'raw', 'key.fields' = 'a'",
            "format 'raw' takes STRING",
        ),
        (
            "kafka",
            "a INT",
            "'topic' = 't', 'format' = 'json', 'properties.interceptor.classes' = 'x'",
            "has no counterpart",
        ),
        (
            "kafka",
            "a INT, o INT METADATA FROM 'offset' VIRTUAL",
            "'topic' = 't', 'format' = 'json'",
            "metadata 'offset' is BIGINT",
        ),
        (
            "kafka",
            "a INT, e INT METADATA FROM 'leader-epoch' VIRTUAL",
            "'topic' = 't', 'format' = 'json'",
            "no metadata 'leader-epoch'",
        ),
        (
            "kafka",
            "a INT",
            "'topic' = 't', 'format' = 'json', 'scan.startup.timestamp-millis' = '1'",
            "no effect without",
        ),
        (
            "upsert-kafka",
            "a INT",
            "'topic' = 't', 'value.format' = 'json', 'key.format' = 'json'",
            "needs a PRIMARY KEY",
        ),
        (
            "upsert-kafka",
            "a INT, PRIMARY KEY (a) NOT ENFORCED",
            "'topic' = 't', 'value.format' = 'json'",
            "'key.format' is required",
        ),
        (
            "upsert-kafka",
            "a INT, PRIMARY KEY (a) NOT ENFORCED",
            "'topic' = 't', 'value.format' = 'debezium-json', 'key.format' = 'json'",
            "changes of its own",
        ),
    ] {
        let e = refused(connector, columns, options);
        assert!(e.message().contains(says), "{options}: {e}");
    }
    let e =
        refused("kafka", "a INT", "'topic' = 't', 'format' = 'json', 'scan.startup.mod' = 'latest-offset'");
    assert_eq!(e.hint(), Some("did you mean 'scan.startup.mode'?"));
}

#[test]
fn logins_are_not_shown() {
    let session = Session::new().unwrap();
    session
        .sql(&format!(
            "CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 't', 'format' = 'json', {SERVERS},
             'key.format' = 'raw', 'key.fields' = 'k', 'properties.security.protocol' = 'SASL_PLAINTEXT',
             'properties.sasl.mechanism' = 'PLAIN',
             'properties.sasl.jaas.config' = 'x.PlainLoginModule required username=\"u\" password=\"hush-hush\";')"
        ).replace("(a INT)", "(a INT, k STRING)"))
        .unwrap();
    let Response::Text(text) = session.sql("SHOW CREATE TABLE t").unwrap() else { panic!() };
    assert!(
        !text.contains("hush")
            && text.contains("'key.fields' = 'k'")
            && text.contains("'key.format' = 'raw'"),
        "{text}"
    );
}

#[test]
fn jobs_that_cannot_be_exactly_once_are_refused() {
    let session = Session::new().unwrap();
    let sink = |name: &str, servers: &str, prefix: &str| {
        format!(
            "CREATE TABLE {name} (a BIGINT) WITH ('connector' = 'kafka', 'topic' = '{name}', 'format' = 'json',
             'properties.bootstrap.servers' = '{servers}', 'sink.delivery-guarantee' = 'exactly-once',
             'sink.transactional-id-prefix' = '{prefix}');"
        )
    };
    let source = "CREATE TABLE i (a BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1');";
    session
        .sql(&format!(
            "{source} {} {} {}",
            sink("x", "a:1", "p"),
            sink("y", "a:1", "q"),
            sink("z", "b:1", "p")
        ))
        .unwrap();
    let e = session.sql("INSERT INTO x SELECT a FROM i").err().unwrap();
    assert!(
        e.message().contains("the job makes none")
            && e.hint().unwrap().contains("execution.checkpointing.interval"),
        "{e}"
    );
    session.sql("SET 'execution.checkpointing.interval' = '1 s'").unwrap();
    let both = |a: &str, b: &str| {
        let set = format!(
            "EXECUTE STATEMENT SET BEGIN INSERT INTO {a} SELECT a FROM i; INSERT INTO {b} SELECT a FROM i; END"
        );
        session.sql(&set).err().unwrap()
    };
    assert!(both("x", "y").message().contains("share one transaction"));
    assert!(both("x", "z").message().contains("two Kafka clusters"));
}

/// The rows of records of two partitions.
struct Case {
    layout: Arc<Layout>,
}

impl Case {
    fn new(connector: &str, columns: &str, options: &str, rejects: bool) -> Self {
        let table = table(connector, columns, options).unwrap();
        let upsert = connector == "upsert-kafka";
        let request = SinkRequest::new(&table, "UTC");
        let physical = request.schema;
        let fields: Vec<_> = table
            .columns
            .iter()
            .filter_map(|c| {
                let (data_type, nullable) = c.declared()?;
                Some(arrow::datatypes::Field::new(&c.name, data_type.to_arrow("UTC"), nullable))
            })
            .collect();
        assert!(fields.len() >= physical.fields().len());
        let schema = arrow::datatypes::Schema::new(fields);
        let request = ScanRequest {
            projection: (0..schema.fields().len()).collect(),
            schema: if rejects { with_rejected(&schema) } else { Arc::new(schema) },
            batch_rows: 100,
            zone: "UTC".into(),
            table: table.clone(),
        };
        let records = Records::of(&table, upsert).unwrap();
        Self { layout: Arc::new(Layout::new(&request, records, upsert).unwrap()) }
    }

    /// Records by key and value; the first `cut` are of partition 0.
    fn rows(&self, records: &[(Option<&str>, Option<&str>)], cut: usize) -> Result<super::rows::Rows> {
        let headers = OwnedHeaders::new().insert(Header { key: "h", value: Some("v") });
        let made: Vec<Record<'_>> = records
            .iter()
            .enumerate()
            .map(|(i, (key, value))| Record {
                key: key.map(str::as_bytes),
                value: value.map(str::as_bytes),
                offset: 100 + i as i64,
                timestamp: Timestamp::CreateTime(1000 * i as i64),
                headers: (i == 0).then(|| headers.as_borrowed()),
            })
            .collect();
        let run = |partition, records| Run { topic: Arc::from("topic"), partition, records };
        let runs: Vec<Run> =
            [run(0, cut), run(1, records.len() - cut)].into_iter().filter(|r| r.records > 0).collect();
        self.layout.decoder().unwrap().decode(&made, &runs)
    }
}

/// Rows as text, columns between bars.
fn texts(batch: &RecordBatch) -> Vec<String> {
    crate::connector::replay::rows(batch)
}

#[test]
fn a_row_has_what_its_record_has() {
    let case = Case::new(
        "kafka",
        "id INT, k STRING, p INT METADATA FROM 'partition' VIRTUAL, o BIGINT METADATA FROM 'offset' VIRTUAL,
         ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp', topic STRING METADATA VIRTUAL, h MAP<STRING, BYTES> METADATA FROM 'headers'",
        "'topic' = 'topic', 'value.format' = 'json', 'key.format' = 'raw', 'key.fields' = 'k', 'value.fields-include' = 'EXCEPT_KEY'",
        false,
    );
    let records = [
        (Some("a"), Some("{\"id\":1}")),
        (None, Some("{\"id\":2}")),
        (Some("c"), None),
        (Some("d"), Some("{\"id\":4}")),
    ];
    let rows = case.rows(&records, 2).unwrap();
    assert_eq!(
        texts(&rows.batch),
        [
            "1|a|0|100|1970-01-01T00:00:00Z|topic|{h: 76}",
            "2|NULL|0|101|1970-01-01T00:00:01Z|topic|{}",
            "4|d|1|103|1970-01-01T00:00:03Z|topic|{}"
        ]
    );
    assert_eq!((rows.runs, rows.taken), (vec![2, 1], 4));
    assert!(matches!(rows.kinds, Kinds::Append));
}

#[test]
fn undecodable_records_are_errors_or_rows() {
    let options = "'topic' = 'topic', 'format' = 'json'";
    let records = [(None, Some("{\"id\":1}")), (None, Some("{\"id\":x}")), (None, Some("{\"id\":3}"))];
    let rows = Case::new("kafka", "id INT", options, false).rows(&records, 1).unwrap();
    assert_eq!((texts(&rows.batch), rows.runs, rows.taken), (vec!["1".to_string()], vec![1, 0], 1));
    let e = rows.error.unwrap();
    assert!(
        e.message().starts_with("topic 'topic', partition 1, offset 101")
            && e.detail().unwrap().contains("{\"id\":x}"),
        "{e}"
    );
    let rows = Case::new("kafka", "id INT", options, true).rows(&records, 1).unwrap();
    assert!(rows.error.is_none());
    assert_eq!(rows.runs, [1, 2]);
    let rejected = rows.batch.column(1).as_struct();
    assert_eq!([0, 1, 2].map(|row| rejected.is_valid(row)), [false, true, false]);
    assert_eq!(rejected.column(2).as_string_view().value(1), "topic/1@101");
    assert_eq!(rejected.column(1).as_binary_view().value(1), b"{\"id\":x}");
    assert_eq!(rows.batch.column(0).as_primitive::<Int32Type>().value(2), 3);
}

#[test]
fn a_record_without_a_value_takes_its_row_away() {
    let options = "'topic' = 'topic', 'value.format' = 'json', 'key.format' = 'json'";
    let case = Case::new(
        "upsert-kafka",
        "id INT, v INT NOT NULL, s STRING, PRIMARY KEY (id) NOT ENFORCED",
        options,
        false,
    );
    let records = [
        (Some("{\"id\":1}"), Some("{\"id\":1,\"v\":10,\"s\":\"x\"}")),
        (Some("{\"id\":7}"), None),
        (Some("{\"id\":2}"), Some("{\"id\":2,\"v\":20}")),
    ];
    let rows = case.rows(&records, 3).unwrap();
    assert_eq!(texts(&rows.batch), ["1|10|x", "7|0|NULL", "2|20|NULL"]);
    let Kinds::Changes(kinds) = rows.kinds else { panic!("no changes") };
    assert_eq!(kinds.to_vec(), [Kind::Insert, Kind::Delete, Kind::Insert]);
    let rows = case.rows(&[records[0], (None, Some("{\"id\":3,\"v\":1}"))], 2).unwrap();
    assert_eq!((rows.batch.num_rows(), rows.taken), (1, 1));
    assert!(rows.error.unwrap().message().contains("offset 101: the record has no key"));
}

#[test]
fn rows_become_records() {
    let table = table(
        "upsert-kafka",
        "id INT, v INT, ts TIMESTAMP_LTZ(3) METADATA FROM 'timestamp', PRIMARY KEY (id) NOT ENFORCED",
        "'topic' = 'topic', 'value.format' = 'json', 'key.format' = 'json'",
    )
    .unwrap();
    let request = SinkRequest::new(&table, "UTC");
    let records = Records::of(&table, true).unwrap();
    let columns =
        super::encode::Columns::new(&request, records, Topics::Named(vec!["topic".into()]), true).unwrap();
    let ids = Arc::new(arrow::array::Int32Array::from(vec![1, 1, 2, 3]));
    let values = Arc::new(arrow::array::Int32Array::from(vec![Some(9), Some(10), None, Some(30)]));
    let times = arrow::array::TimestampMillisecondArray::from(vec![Some(5), Some(6), None, Some(7)])
        .with_timezone("UTC");
    let batch = RecordBatch::try_new(request.schema.clone(), vec![ids, values, Arc::new(times)]).unwrap();
    let kinds = [Kind::UpdateBefore, Kind::UpdateAfter, Kind::Insert, Kind::Delete];
    let chunk = Chunk { batch, kinds: Kinds::Changes(kinds.into()), ingest: std::time::Instant::now() };
    let encoded = columns.encoder().unwrap().encode(&chunk).unwrap();
    let all: Vec<_> = (0..encoded.len())
        .map(|row| {
            let record = encoded.record(row);
            let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8(b.to_vec()).unwrap());
            (text(record.key).unwrap(), text(record.value), record.timestamp)
        })
        .collect();
    let one = |key: &str, value: Option<&str>, time| (key.to_string(), value.map(str::to_string), time);
    assert_eq!(
        all,
        [
            one("{\"id\":1}", Some("{\"id\":1,\"v\":10}"), Some(6)),
            one("{\"id\":2}", Some("{\"id\":2,\"v\":null}"), None),
            one("{\"id\":3}", None, Some(7))
        ]
    );
}

#[cfg(feature = "avro")]
#[test]
fn options_of_formats_stand_behind_key_and_value() {
    let registry = |part: &str| {
        format!("'{part}.format' = 'avro-confluent', '{part}.avro-confluent.url' = 'http://127.0.0.1:1'")
    };
    let upsert = format!("'topic' = 't', {}, {}", registry("key"), registry("value"));
    table("upsert-kafka", "id BIGINT, v STRING, PRIMARY KEY (id) NOT ENFORCED", &upsert).unwrap();
    let both = format!("'topic' = 't', 'key.fields' = 'id', {}, {}", registry("key"), registry("value"));
    table("kafka", "id BIGINT, v STRING", &both).unwrap();
    let e = refused("kafka", "id BIGINT", "'topic' = 't', 'value.format' = 'avro-confluent'");
    assert!(e.message().contains("'avro-confluent.url' is required"), "{e}");
}
