//! The backend against a server that answers what it is told.

#![allow(clippy::unwrap_used, clippy::panic)]

mod access;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use super::test_server::{Reply, TestServer, reply};
use super::*;
use crate::catalog::table::{Column, ColumnSource, Table};
use crate::catalog::{Options, options::parse_size};
use crate::error::{ErrorKind, Span};
use crate::sql::SqlType;

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// `CREATE TABLE info (id STRING NOT NULL, brand STRING, n BIGINT) WITH (...)`, looked up by `keys`.
fn request(url: &str, options: Pairs<'_>, keys: &[usize]) -> LookupRequest {
    let mut all = Options::default();
    all.set("connector", "http", Span::default());
    all.set("url", url, Span::default());
    for (key, value) in options {
        all.set(key, value, Span::default());
    }
    let column = |name: &str, data_type, nullable| Column {
        name: name.into(),
        source: ColumnSource::Physical { data_type, nullable },
        comment: None,
    };
    let table = Table {
        name: "info".into(),
        home: Default::default(),
        columns: vec![
            column("id", SqlType::String, false),
            column("brand", SqlType::String, true),
            column("n", SqlType::BigInt, true),
        ],
        watermark: None,
        primary_key: vec!["id".into()],
        partitioned_by: vec![],
        comment: None,
        options: all,
        temporary: false,
        own: None,
    };
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8View, false),
        Field::new("brand", DataType::Utf8View, true),
        Field::new("n", DataType::Int64, true),
    ]));
    LookupRequest::new(Arc::new(table), keys.to_vec(), schema)
}

fn environment(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("tok-3n-secret".into()),
        "PASSWORD" => Some("pa55:word".into()),
        _ => None,
    }
}

fn lookup(url: &str, options: Pairs<'_>) -> Result<HttpLookup> {
    HttpLookup::with_environment(&request(url, options, &[0]), &environment)
}

fn keys(ids: &[&str]) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8View, false)]));
    let column: ArrayRef = Arc::new(StringViewArray::from(ids.to_vec()));
    RecordBatch::try_new(schema, vec![column]).unwrap()
}

async fn ask(lookup: &HttpLookup, id: &str) -> Result<RecordBatch, Failure> {
    let answers = lookup.lookup(keys(&[id])).await?;
    assert_eq!(answers.keys(), 1);
    Ok(answers.rows)
}

/// The rows of each key, or why it failed.
fn each(answers: Result<Answers, Failure>, keys: usize) -> Vec<Result<RecordBatch, Failure>> {
    let answers = match answers {
        Ok(answers) => answers,
        Err(failure) => return vec![Err(failure); keys],
    };
    let range = |key: usize| (answers.offsets[key] as usize, answers.offsets[key + 1] as usize);
    let failure = |key: usize| answers.failures.iter().find(|(k, _)| *k as usize == key).map(|f| f.1.clone());
    (0..answers.keys())
        .map(|key| match failure(key) {
            Some(failure) => Err(failure),
            None => Ok(answers.rows.slice(range(key).0, range(key).1 - range(key).0)),
        })
        .collect()
}

/// `id/brand/n` of each row.
fn rows(batch: &RecordBatch) -> Vec<String> {
    let text = |column: usize, row| {
        let column = batch.column(column).as_string_view();
        arrow::array::Array::is_valid(column, row).then(|| column.value(row).to_string())
    };
    let number = |row| {
        let column = batch.column(2).as_primitive::<Int64Type>();
        arrow::array::Array::is_valid(column, row).then(|| column.value(row).to_string())
    };
    let show = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    (0..batch.num_rows())
        .map(|r| format!("{}/{}/{}", show(text(0, r)), show(text(1, r)), show(number(r))))
        .collect()
}

/// One key against one reply.
async fn ask_once(options: Pairs<'_>, make: fn() -> Reply) -> Result<Vec<String>, Failure> {
    let server = TestServer::start(move |_| make()).await;
    let lookup = lookup(&server.url("/s/{id}"), options).unwrap();
    ask(&lookup, "7").await.map(|batch| rows(&batch))
}

#[tokio::test]
async fn a_row_is_found_and_its_key_filled_in() {
    let found = ask_once(&[], || reply(200, r#"{"id":"7","brand":"a","n":1,"more":{}}"#)).await;
    assert_eq!(found.unwrap(), ["7/a/1"]);
    let found = ask_once(&[], || reply(200, r#"{"brand":"a"}"#)).await;
    assert_eq!(found.unwrap(), ["7/a/-"]);
    let found = ask_once(&[], || reply(200, r#"[{"brand":"a"},{"id":"8","n":2},{"id":"7"}]"#)).await;
    assert_eq!(found.unwrap(), ["7/a/-", "7/-/-"], "the row of another key is left out");
}

#[tokio::test]
async fn only_what_says_so_is_a_miss() {
    for make in [
        (|| reply(404, "<html>not found")) as fn() -> Reply,
        || reply(204, ""),
        || reply(200, ""),
        || reply(200, " \n"),
        || reply(200, "null"),
        || reply(200, " [] "),
        || reply(200, "[ ]"),
    ] {
        assert_eq!(ask_once(&[], make).await.unwrap(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn malformed_answers_are_errors() {
    for make in [
        (|| reply(200, "<!DOCTYPE html><p>Please log in")) as fn() -> Reply,
        || reply(200, r#"{"id":"7","bra"#),
        || reply(200, r#"{"n":"many"}"#),
        || reply(200, "7"),
        || reply(200, r#""text""#),
        || reply(200, &b"\xff\xfe{}"[..]),
        || reply(200, r#"{"id":"7"} trailing"#),
    ] {
        let failure = ask_once(&[], make).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Decode, "{failure:?}");
        assert!(!failure.retryable && failure.message.contains("/s/7: "), "{failure:?}");
    }
    let failure = ask_once(&[], || reply(200, "<!DOCTYPE html><p>Please log in")).await.unwrap_err();
    assert!(failure.message.contains("found HTML: <!DOCTYPE html><p>Please log in"), "{}", failure.message);
}

#[tokio::test]
async fn a_tolerant_format_does_not_turn_an_error_page_into_a_miss() {
    let tolerant = [("json.ignore-parse-errors", "true")];
    for make in [
        (|| reply(200, "<html>")) as fn() -> Reply,
        || reply(200, r#"{"id":"7","bra"#),
        || reply(200, r#""text""#),
        || reply(200, r#"[{"n":1},7]"#),
    ] {
        assert_eq!(ask_once(&tolerant, make).await.unwrap_err().kind, FailureKind::Decode);
    }
    assert!(ask_once(&tolerant, || reply(200, "[]")).await.unwrap().is_empty());
    assert_eq!(ask_once(&tolerant, || reply(200, r#"[{"n":1}]"#)).await.unwrap(), ["7/-/1"]);
}

#[tokio::test]
async fn statuses_are_failures_that_say_what_was_answered() {
    let failure = ask_once(&[], || reply(500, "boom")).await.unwrap_err();
    assert_eq!((failure.kind, failure.retryable), (FailureKind::Status(500), true));
    assert!(failure.message.starts_with("GET http://127.0.0.1:"), "{}", failure.message);
    assert!(
        failure.message.ends_with("/s/7: answered 500 Internal Server Error: boom"),
        "{}",
        failure.message
    );

    let failure = ask_once(&[], || reply(403, "no")).await.unwrap_err();
    assert_eq!((failure.kind, failure.retryable), (FailureKind::Status(403), false));

    let failure =
        ask_once(&[], || Reply { headers: vec![("location", "http://elsewhere/".into())], ..reply(302, "") });
    let failure = failure.await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Status(302));
    assert!(
        failure.message.contains("not followed, this one points to http://elsewhere/"),
        "{}",
        failure.message
    );

    let codes: Pairs<'_> = &[
        ("http.source.lookup.success-codes", "2XX,404"),
        ("http.source.lookup.retry-codes", ""),
        ("http.source.lookup.ignored-response-codes", "500"),
    ];
    assert_eq!(ask_once(codes, || reply(404, r#"{"n":1}"#)).await.unwrap(), ["7/-/1"]);
    assert!(ask_once(codes, || reply(500, "")).await.unwrap().is_empty());
    assert!(!ask_once(codes, || reply(503, "")).await.unwrap_err().retryable);
}

#[tokio::test]
async fn retry_after_is_told() {
    let failure = ask_once(&[], || Reply { headers: vec![("retry-after", "7".into())], ..reply(429, "") });
    let failure = failure.await.unwrap_err();
    assert_eq!((failure.kind, failure.retryable), (FailureKind::Status(429), true));
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));

    let failure = ask_once(&[], || {
        let at = chrono::Utc::now() + chrono::TimeDelta::seconds(100);
        Reply { headers: vec![("retry-after", at.to_rfc2822())], ..reply(503, "") }
    });
    let wait = failure.await.unwrap_err().retry_after.unwrap();
    assert!((90..=100).contains(&wait.as_secs()), "{wait:?}");
}

#[tokio::test]
async fn keys_travel_encoded_and_stay_in_their_segment() {
    let server = TestServer::start(|_| reply(200, "{}")).await;
    let lookup = lookup(&server.url("/s/{id}/info"), &[]).unwrap();
    assert_eq!(rows(&ask(&lookup, "/?%# ü日本").await.unwrap()), ["/?%# ü日本/-/-"]);
    assert_eq!(server.take()[0].target, "/s/%2F%3F%25%23%20%C3%BC%E6%97%A5%E6%9C%AC/info");
    for key in [".", "..", ""] {
        let failure = ask(&lookup, key).await.unwrap_err();
        assert_eq!((failure.kind, failure.retryable), (FailureKind::Key, false));
        assert!(failure.message.contains("would change the path"), "{}", failure.message);
    }
    let failure = ask(&lookup, &"x".repeat(100_000)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Key, "{}", &failure.message[100_000..]);
    assert!(server.take().is_empty());
}

#[tokio::test]
async fn bodies_are_generated_or_follow_the_template() {
    let server = TestServer::start(|_| reply(200, "{}")).await;
    let post = ("lookup-method", "POST");
    let generated = lookup(&server.url("/s"), &[post]).unwrap();
    ask(&generated, "a\"b").await.unwrap();
    let template = (r#"{"q":"<{{id}}>","v":{{id}}}"#, r#"{"q":"<a\"b>","v":"a\"b"}"#);
    let templated =
        lookup(&server.url("/s"), &[("lookup-method", "PUT"), ("http.request.body-template", template.0)]);
    ask(&templated.unwrap(), "a\"b").await.unwrap();
    let seen = server.take();
    assert_eq!((seen[0].method.as_str(), seen[0].body.as_str()), ("POST", r#"{"id":"a\"b"}"#));
    assert_eq!((seen[1].method.as_str(), seen[1].body.as_str()), ("PUT", template.1));
    assert_eq!(seen[0].headers["content-type"], "application/json");
    assert_eq!(seen[0].headers["accept"], "application/json");
}

#[tokio::test]
async fn a_template_must_carry_every_key() {
    let options: Pairs<'_> = &[("lookup-method", "POST"), ("http.request.body-template", r#"{"id":{{id}}}"#)];
    let e = HttpLookup::new(&request("http://127.0.0.1/s", options, &[0, 2])).unwrap_err();
    assert_eq!(e.hint(), Some("put {{n}} into the template"));
}

#[tokio::test]
async fn secrets_are_sent_and_never_shown() {
    let echo = |r: &super::test_server::Seen| {
        let auth = r.headers["authorization"].to_str().unwrap().to_string();
        reply(500, format!("{auth} {}", r.headers["x-api-key"].to_str().unwrap()))
    };
    let server = TestServer::start(echo).await;
    let bearer: Pairs<'_> = &[
        ("http.source.lookup.header.Authorization", "Bearer ${TOKEN}"),
        ("http.source.lookup.header.X-API-Key", "plain-but-secret"),
    ];
    let basic: Pairs<'_> = &[
        ("http.source.lookup.header.authorization", "user:${PASSWORD}"),
        ("http.source.lookup.header.X-API-Key", "k-${TOKEN}"),
    ];
    for (options, sent) in [(bearer, "Bearer tok-3n-secret"), (basic, "Basic dXNlcjpwYTU1OndvcmQ=")] {
        let lookup = lookup(&server.url("/s/{id}?token=${TOKEN}"), options).unwrap();
        let failure = ask(&lookup, "7").await.unwrap_err();
        assert_eq!(server.take()[0].headers["authorization"], sent);
        let config = HttpConfig::resolve(&request(&server.url("/"), options, &[0]).table, &environment);
        let shown = format!("{} {lookup:?} {failure:?} {:?}", lookup.describe(), config.unwrap());
        for secret in ["tok-3n", "pa55", "dXNlcjpwYTU1", "plain-but"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
        assert!(lookup.describe().ends_with("/s/{id}?token=${TOKEN}"), "{}", lookup.describe());
    }
    let e = lookup("http://h/{id}", &[("http.source.lookup.header.X", "${NOT_THERE}")]).unwrap_err();
    assert!(e.message().contains("environment variable 'NOT_THERE' is not set"), "{e}");
    let e = lookup("http://h/{id}", &[("http.source.lookup.header.Authorization", "${TOKEN}")]).unwrap_err();
    assert!(
        e.message().contains("neither a scheme nor user:password") && !e.to_string().contains("tok-3n"),
        "{e}"
    );
    let raw: Pairs<'_> = &[
        ("http.source.lookup.header.Authorization", "${TOKEN}"),
        ("http.source.lookup.header.X-API-Key", "abcdefgh"),
        ("http.source.lookup.use-raw-authorization-header", "true"),
    ];
    drop(ask(&lookup(&server.url("/{id}"), raw).unwrap(), "7").await);
    assert_eq!(server.take()[0].headers["authorization"], "tok-3n-secret");
}

#[tokio::test]
async fn pointers_and_result_types() {
    let pointer = ("http.source.lookup.result-pointer", "/data/items");
    let body = || reply(200, r#"{"data":{"items":[{"n":1},{"n":2}]}}"#);
    assert_eq!(ask_once(&[pointer], body).await.unwrap(), ["7/-/1", "7/-/2"]);
    let array = ("http.source.lookup.result-type", "array");
    let single = ("http.source.lookup.result-type", "single-value");
    assert_eq!(ask_once(&[pointer, array], body).await.unwrap().len(), 2);
    assert_eq!(ask_once(&[pointer, single], body).await.unwrap_err().kind, FailureKind::Decode);
    assert_eq!(ask_once(&[array], || reply(200, "{}")).await.unwrap_err().kind, FailureKind::Decode);
    assert!(ask_once(&[array], || reply(200, "null")).await.unwrap().is_empty());
    assert!(ask_once(&[pointer], || reply(200, r#"{"data":{"items":[]}}"#)).await.unwrap().is_empty());
    assert!(ask_once(&[pointer], || reply(200, r#"{"data":{"items":null}}"#)).await.unwrap().is_empty());
    let failure = ask_once(&[pointer], || reply(200, r#"{"error":"quota"}"#)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Decode);
    assert!(
        failure.message.contains("has nothing at '/data/items'; found {\"error\""),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn broken_connections_can_be_tried_again() {
    for answer in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"id\"",
    ] {
        let server = TestServer::raw(answer).await;
        let lookup = lookup(&server.url("/{id}"), &[]).unwrap();
        let failure = ask(&lookup, "7").await.unwrap_err();
        assert_eq!((failure.kind, failure.retryable), (FailureKind::Connection, true), "{failure:?}");
    }
    // Nobody listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lookup = lookup(&format!("http://{address}/{{id}}"), &[]).unwrap();
    let failure = ask(&lookup, "7").await.unwrap_err();
    assert_eq!((failure.kind, failure.retryable), (FailureKind::Connection, true), "{failure:?}");
    assert!(failure.message.contains("refused"), "{}", failure.message);
}

#[tokio::test]
async fn an_attempt_has_its_time() {
    let options = [("http.source.lookup.request.timeout", "30 ms")];
    let slow = || Reply { delay: Duration::from_secs(60), ..reply(200, "{}") };
    let failure = ask_once(&options, slow).await.unwrap_err();
    assert_eq!((failure.kind, failure.retryable), (FailureKind::Timeout, true), "{failure:?}");
    assert!(failure.message.ends_with("no answer within 0.03 s"), "{}", failure.message);
}

#[tokio::test]
async fn large_answers_are_refused_without_being_held() {
    let sent = Arc::new(AtomicU64::new(0));
    let server = TestServer::endless(&[b' '; 65536], sent.clone()).await;
    let options = [("http.source.lookup.max-response-size", "1 mb")];
    let backend = lookup(&server.url("/{id}"), &options).unwrap();
    let failure = ask(&backend, "7").await.unwrap_err();
    assert_eq!((failure.kind, failure.retryable), (FailureKind::TooLarge, false), "{failure:?}");
    assert!(sent.load(Ordering::SeqCst) < parse_size("50 mb").unwrap());

    let server = TestServer::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n").await;
    let backend = lookup(&server.url("/{id}"), &[]).unwrap();
    assert_eq!(ask(&backend, "7").await.unwrap_err().kind, FailureKind::TooLarge);
}

fn gzip(body: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn gzip_is_unpacked_within_the_limit() {
    let packed =
        |body: Vec<u8>| Reply { headers: vec![("content-encoding", "gzip".into())], ..reply(200, body) };
    let server = TestServer::start(move |r| match r.target.as_str() {
        "/bomb" => packed(gzip(&vec![b' '; 64 << 20])),
        "/half" => packed(gzip(br#"{"n":1}"#)[..12].to_vec()),
        "/wrong" => packed(b"not gzip at all".to_vec()),
        "/loud" => {
            Reply { headers: vec![("content-encoding", "GZIP".into())], ..reply(200, gzip(br#"{"n":1}"#)) }
        }
        "/br" => Reply { headers: vec![("content-encoding", "br".into())], ..reply(200, vec![1, 2]) },
        _ => packed(gzip(br#"{"n":1}"#)),
    })
    .await;
    let lookup = lookup(&server.url("/{id}"), &[]).unwrap();
    assert_eq!(rows(&ask(&lookup, "ok").await.unwrap()), ["ok/-/1"]);
    assert_eq!(server.take()[0].headers["accept-encoding"], "gzip");
    assert_eq!(rows(&ask(&lookup, "loud").await.unwrap()), ["loud/-/1"]);
    let foreign = ask(&lookup, "br").await.unwrap_err();
    assert_eq!(foreign.kind, FailureKind::Decode);
    assert!(foreign.message.contains("Content-Encoding 'br'"), "{}", foreign.message);
    assert_eq!(ask(&lookup, "bomb").await.unwrap_err().kind, FailureKind::TooLarge);
    for key in ["half", "wrong"] {
        let failure = ask(&lookup, key).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Decode, "{failure:?}");
    }
}

#[tokio::test]
async fn connections_are_kept_even_after_misses_and_errors() {
    let server = TestServer::start(|r| match r.target.as_str() {
        "/miss" => reply(404, "nothing here"),
        "/error" => reply(500, "boom"),
        _ => reply(200, "{}"),
    })
    .await;
    let lookup = lookup(&server.url("/{id}"), &[]).unwrap();
    for id in ["a", "miss", "b", "error", "c"] {
        drop(ask(&lookup, id).await);
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn requests_in_flight_are_limited_for_the_endpoint() {
    let options = [("http.source.lookup.max-connections", "2")];
    // Two tables, one endpoint.
    let (a, b) = (lookup("http://h/a/{id}", &options).unwrap(), lookup("http://h/b/{id}", &options).unwrap());
    assert_eq!(a.endpoint(), b.endpoint());
    let service = Service { name: "http://h".into(), max_in_flight: Some(2) };
    assert_eq!(a.endpoint(), Some(service));
    assert_eq!(lookup("http://h/a/{id}", &[]).unwrap().endpoint().unwrap().max_in_flight, None);
}

#[tokio::test]
async fn http_2_takes_one_connection() {
    let server = TestServer::start(|_| reply(200, "{}")).await;
    let lookup = lookup(&server.url("/{id}"), &[("http.source.lookup.http-version", "HTTP_2")]).unwrap();
    ask(&lookup, "0").await.unwrap();
    let answers = futures::future::join_all(["1", "2", "3"].map(|id| ask(&lookup, id))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(server.take().iter().all(|r| r.version == hyper::Version::HTTP_2));
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_proxy_is_asked_instead() {
    let proxy = TestServer::start(|_| reply(200, "{}")).await;
    let port = proxy.address.port().to_string();
    let options: Pairs<'_> = &[
        ("http.source.lookup.proxy.host", "127.0.0.1"),
        ("http.source.lookup.proxy.port", &port),
        ("http.source.lookup.proxy.username", "me"),
        ("http.source.lookup.proxy.password", "${TOKEN}"),
    ];
    let lookup = lookup("http://nowhere.invalid/{id}", options).unwrap();
    ask(&lookup, "7").await.unwrap();
    let seen = proxy.take();
    assert_eq!(
        (seen[0].target.as_str(), &seen[0].headers["host"]),
        ("/7", &"nowhere.invalid".parse().unwrap())
    );
    assert_eq!(seen[0].headers["proxy-authorization"], "Basic bWU6dG9rLTNuLXNlY3JldA==");
    assert!(!format!("{lookup:?}").contains("tok-3n"));
}

const BATCH: Pairs<'static> = &[("lookup-method", "POST"), ("http.request.batch-size", "10")];

#[tokio::test]
async fn a_batch_is_told_apart_by_keys() {
    let server = TestServer::start(|r| {
        assert_eq!(r.body, r#"["a","b","c"]"#);
        reply(200, r#"[{"id":"c","n":3},{"id":"a","n":1},{"id":"c","n":4}]"#)
    })
    .await;
    let lookup = lookup(&server.url("/s"), BATCH).unwrap();
    assert_eq!(lookup.max_keys(), 10);
    let answers: Vec<_> =
        each(lookup.lookup(keys(&["a", "b", "c"])).await, 3).into_iter().map(|a| rows(&a.unwrap())).collect();
    assert_eq!(answers, [vec!["a/-/1"], vec![], vec!["c/-/3", "c/-/4"]]);
    assert_eq!(server.take().len(), 1);
}

#[tokio::test]
async fn a_batch_that_leaves_doubt_is_an_error() {
    let server = TestServer::start(|r| match r.body.as_str() {
        r#"["a","B"]"# => reply(200, r#"[{"id":"a"},{"id":"b"}]"#),
        r#"["a","A","b"]"# => reply(200, r#"[{"id":"a"},{"id":"b"},{"id":"a"}]"#),
        r#"["a","extra"]"# => reply(200, r#"[{"id":"a"},{"id":"extra"},{"id":"z"}]"#),
        r#"["a","anonymous"]"# => reply(200, r#"[{"id":"a"},{"n":1}]"#),
        r#"["a","gone"]"# => reply(404, ""),
        _ => reply(503, ""),
    })
    .await;
    let lookup = lookup(&server.url("/s"), BATCH).unwrap();
    let kinds = async |ids: &[&str]| -> Vec<Result<usize, FailureKind>> {
        let answers = each(lookup.lookup(keys(ids)).await, ids.len());
        answers.into_iter().map(|a| a.map(|b| b.num_rows()).map_err(|f| f.kind)).collect()
    };
    assert_eq!(kinds(&["a", "B"]).await, [Ok(1), Err(FailureKind::Decode)]);
    assert_eq!(kinds(&["a", "a", "A", "a", "b"]).await, [Ok(2), Ok(2), Ok(0), Ok(2), Ok(1)]);
    assert_eq!(kinds(&["a", "a", "B"]).await, [Ok(1), Ok(1), Err(FailureKind::Decode)]);
    assert_eq!(kinds(&["a", "extra"]).await, [Ok(1), Ok(1)]);
    assert_eq!(kinds(&["a", "anonymous"]).await, [Err(FailureKind::Decode); 2]);
    assert_eq!(kinds(&["a", "gone"]).await, [Ok(0), Ok(0)]);
    assert_eq!(kinds(&["a", "down"]).await, [Err(FailureKind::Status(503)); 2]);
}

#[tokio::test]
async fn flinks_own_file_works() {
    let server = TestServer::start(|_| reply(200, r#"{"id":7,"brand":"a"}"#)).await;
    let options: Pairs<'_> = &[
        ("format", "json"),
        ("asyncPolling", "true"),
        ("http.request.url-map", "id:id"),
        ("http.source.lookup.query-creator", "http-generic-json-url"),
        ("http.source.lookup.connection.timeout", "750 ms"),
        ("http.source.lookup.request.timeout", "2500 ms"),
    ];
    let lookup = lookup(&server.url("/products/{{id}}"), options).unwrap();
    assert_eq!(rows(&ask(&lookup, "7").await.unwrap()), ["7/a/-"]);
    assert_eq!(server.take()[0].target, "/products/7");
}

#[test]
fn impossible_options_are_refused_at_the_start() {
    let e = |options: Pairs<'_>| lookup("http://h/{id}", options).unwrap_err();
    assert_eq!(e(&[("format", "debezium-json")]).kind(), ErrorKind::Unsupported);
    assert_eq!(e(&[("http.source.lookup.continue-on-error", "true")]).kind(), ErrorKind::Unsupported);
    for options in [
        &[("http.request.body-template", "{}")] as Pairs<'_>,
        &[("http.request.batch-size", "5")],
        &[("lookup-method", "POST"), ("http.request.batch-size", "5")],
        &[("http.request.batch-size", "0")],
        &[("http.source.lookup.query-creator", "http-generic-json-query")],
        &[("http.source.lookup.query-creator", "http-elasticsearch-lite")],
        &[("http.source.lookup.result-pointer", "data")],
        &[("http.source.lookup.success-codes", "2X")],
        &[("http.source.lookup.request.timeout", "0 s")],
        &[("http.source.lookup.proxy.port", "80")],
        &[("http.source.lookup.proxy.host", "p"), ("http.source.lookup.proxy.port", "0")],
        &[("http.security.cert.server", "/does/not/exist.pem")],
        &[("http.security.cert.client", "Cargo.toml")],
        &[("http.source.lookup.header.a b", "x")],
        &[("http.source.lookup.header.X", "a\nb")],
        &[("async", "true"), ("asyncPolling", "false")],
        &[("http.request.url-map", "nocolon")],
    ] {
        assert_eq!(e(options).kind(), ErrorKind::Option, "{options:?}");
    }
    let e = lookup("http://h/{idd}", &[]).unwrap_err();
    assert_eq!(e.hint(), Some("did you mean '{id}'?"));
    let e = HttpLookup::new(&request("http://h/{n}", &[], &[0])).unwrap_err();
    assert_eq!(e.hint(), Some("join with an equality on 'n'"));
}

#[test]
fn flinks_name_of_async_counts() {
    let is_async = |options: Pairs<'_>| {
        let table = request("http://h/{id}", options, &[0]).table;
        crate::lookup::LookupConfig::resolve(&table, &[], &crate::config::Config::default()).unwrap().is_async
    };
    assert!(is_async(&[]));
    assert!(is_async(&[("asyncPolling", "true")]));
    assert!(!is_async(&[("asyncPolling", "false")]));
}

#[test]
fn a_whole_table_cannot_be_loaded() {
    let lookup = lookup("http://h/{id}", &[]).unwrap();
    assert!(!lookup.can_load() && lookup.can_lookup());
    assert_eq!(format!("{lookup:?}"), "HttpLookup(GET http://h/{id})");
}

/// A job that reads pages starts again only where that may help.
#[tokio::test]
async fn pages_that_are_refused_are_refused_again() {
    let body = r#"[{"id":"1"}]"#;
    for (status, body, passes) in
        [(401, body, false), (404, body, false), (503, body, true), (200, "<p>", false)]
    {
        let server = TestServer::start(move |_| reply(status, body)).await;
        let request = request(&server.url("/all"), &[("lookup.max-retries", "0")], &[0]);
        let collection = Collection::new(&request.table, &request.schema).unwrap();
        let e = match collection.page(None).await {
            Ok(page) => collection.decode(&page.unwrap()).unwrap_err(),
            Err(e) => e,
        };
        assert_eq!(e.may_pass(), passes, "{status}: {e}");
    }
}
