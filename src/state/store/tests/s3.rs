//! A small S3 server: the requests that an object store makes, and what they are answered with.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use ::object_store::aws::AmazonS3Builder;
use parking_lot::Mutex;

use super::*;

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<(String, usize), Vec<u8>>,
    requests: Vec<String>,
    /// What it makes of `If-None-Match`.
    conditions: Conditions,
    /// Listings that fail before one works.
    broken_listings: usize,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Conditions {
    #[default]
    Kept,
    Ignored,
    Refused,
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_string(), words.next()?.to_string());
    let url = url::Url::parse(&format!("http://host{target}")).ok()?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
    }
    let length: usize = headers.get("content-length").map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let path = percent_encoding::percent_decode_str(url.path()).decode_utf8_lossy().into_owned();
    let path = path.strip_prefix("/bucket").unwrap_or(&path).trim_start_matches('/').to_string();
    Some(Request { method, path, query: url.query_pairs().into_owned().collect(), headers, body })
}

fn answer(bucket: &mut Bucket, r: Request) -> (u16, String, Vec<u8>) {
    bucket.requests.push(format!("{} {}", r.method, r.path));
    let plain = |status, body: &str| (status, String::new(), body.as_bytes().to_vec());
    if !r.headers.get("authorization").is_some_and(|a| a.contains("Credential=AKTEST/")) {
        return plain(403, "<Error><Code>AccessDenied</Code>\n<Message>no</Message></Error>");
    }
    let part = r.query.get("partNumber").map(|n| n.parse::<usize>().unwrap());
    let tag = "ETag: \"tag\"\r\n".to_string();
    match (r.method.as_str(), part) {
        ("POST", _) if r.query.contains_key("uploads") => plain(
            200,
            "<InitiateMultipartUploadResult><UploadId>up</UploadId></InitiateMultipartUploadResult>",
        ),
        ("PUT", Some(part)) => {
            bucket.parts.insert((r.path, part), r.body);
            (200, tag, Vec::new())
        }
        ("POST", _) if r.query.contains_key("uploadId") => {
            let parts = std::mem::take(&mut bucket.parts);
            bucket.objects.insert(r.path, parts.into_values().flatten().collect());
            plain(200, "<CompleteMultipartUploadResult><ETag>\"tag\"</ETag></CompleteMultipartUploadResult>")
        }
        ("PUT", None) => {
            let conditional = r.headers.get("if-none-match").is_some_and(|m| m == "*");
            if conditional && bucket.conditions == Conditions::Refused {
                let text =
                    "<?xml version=\"1.0\"?><Error><Code>NotImplemented</Code><Message>no</Message></Error>";
                return plain(501, text);
            }
            if conditional && bucket.conditions == Conditions::Kept && bucket.objects.contains_key(&r.path) {
                return plain(412, "<Error><Code>PreconditionFailed</Code></Error>");
            }
            bucket.objects.insert(r.path, r.body);
            (200, tag, Vec::new())
        }
        ("GET", _) if r.query.contains_key("list-type") && bucket.broken_listings > 0 => {
            bucket.broken_listings -= 1;
            plain(500, "<Error><Code>InternalError</Code></Error>")
        }
        ("GET", _) if r.query.contains_key("list-type") => {
            let prefix = r.query.get("prefix").cloned().unwrap_or_default();
            let mut text = "<ListBucketResult><IsTruncated>false</IsTruncated>".to_string();
            for (key, value) in bucket.objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
                text += &format!(
                    "<Contents><Key>{key}</Key><Size>{}</Size><ETag>\"tag\"</ETag>\
                     <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>",
                    value.len()
                );
            }
            plain(200, &(text + "</ListBucketResult>"))
        }
        ("GET", _) => match bucket.objects.get(&r.path) {
            None => plain(404, "<Error><Code>NoSuchKey</Code></Error>"),
            Some(bytes) => {
                let stamp = format!("{tag}Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n");
                match r.headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) {
                    None => (200, stamp, bytes.clone()),
                    Some((start, end)) => {
                        let start: usize = start.parse().unwrap();
                        let end = (end.parse::<usize>().unwrap() + 1).min(bytes.len());
                        let range = format!("Content-Range: bytes {start}-{}/{}\r\n", end - 1, bytes.len());
                        (206, stamp + &range, bytes[start..end].to_vec())
                    }
                }
            }
        },
        ("DELETE", _) => match bucket.objects.remove(&r.path) {
            Some(_) => plain(204, ""),
            None => plain(404, "<Error><Code>NoSuchKey</Code></Error>"),
        },
        _ => plain(400, ""),
    }
}

fn serve(stream: TcpStream, bucket: &Mutex<Bucket>) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(request) = request(&mut reader) {
        let (status, headers, body) = answer(&mut bucket.lock(), request);
        let length =
            if status == 204 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!("HTTP/1.1 {status} X\r\n{headers}{length}\r\n");
        if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&body)).is_err() {
            return;
        }
    }
}

/// A server that lives as long as the process, its URL, and what it has.
fn server() -> (String, Arc<Mutex<Bucket>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let bucket = Arc::new(Mutex::new(Bucket::default()));
    let shared = bucket.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let bucket = shared.clone();
            std::thread::spawn(move || serve(stream.unwrap(), &bucket));
        }
    });
    (url, bucket)
}

fn builder(endpoint: &str, key: &str) -> AmazonS3Builder {
    AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_access_key_id(key)
        .with_secret_access_key("very hidden")
        .with_region("eu-north-1")
}

#[test]
fn a_path_of_any_characters_is_found_again() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (endpoint, bucket) = server();
    for (path, stands) in [("~me/a*b", "~me/a*b"), ("100%25", "100%"), ("so%20me/%C3%A4", "so me/ä")] {
        let url = format!("s3://bucket/{path}");
        let store = objects::ObjectStore::with(builder(&endpoint, "AKTEST"), &url, runtime.handle()).unwrap();
        let below = store.under("job~1*%");
        below.put("manifests/1", "one".into()).unwrap();
        assert_eq!(below.list("manifests/").unwrap(), ["manifests/1"], "{path}");
        assert_eq!(store.list("").unwrap(), ["job~1*%/manifests/1"], "{path}");
        assert!(bucket.lock().objects.contains_key(&format!("{stands}/job~1*%/manifests/1")), "{path}");
        below.delete("manifests/1").unwrap();
    }
    let wrong =
        objects::ObjectStore::with(builder(&endpoint, "AKTEST"), "s3://bucket/a//b", runtime.handle());
    assert!(wrong.unwrap_err().message().contains("has a path that cannot be used"));
}

#[test]
fn a_store_that_cannot_keep_two_writers_apart_is_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (endpoint, bucket) = server();
    let url = "s3://bucket/some/where";
    let open = |key| objects::ObjectStore::with(builder(&endpoint, key), url, runtime.handle()).unwrap();
    open("AKTEST").probe().unwrap();
    bucket.lock().requests.clear();
    open("AKTEST").probe().unwrap();
    assert_eq!(bucket.lock().requests.len(), 1);
    for conditions in [Conditions::Ignored, Conditions::Refused] {
        bucket.lock().conditions = conditions;
        let e = open("AKTEST").probe().unwrap_err();
        assert!(e.kind().is_usage() && e.message().contains("(If-None-Match: *)"), "{e}");
        assert!(!e.to_string().contains('<'), "{e}");
    }
    let e = open("OTHER").probe().unwrap_err();
    assert!(!e.may_pass() && e.to_string().contains("AccessDenied"), "{e}");
    bucket.lock().broken_listings = 1;
    assert_eq!(open("AKTEST").list("").unwrap(), ["probe"]);
}

#[test]
fn an_s3_server_is_a_store() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (endpoint, bucket) = server();
    let open =
        |key| objects::ObjectStore::with(builder(&endpoint, key), "s3://bucket/some/where", runtime.handle());
    let store = open("AKTEST").unwrap();
    behaves(&store);
    assert_eq!(
        bucket.lock().objects.keys().collect::<Vec<_>>(),
        ["some/where/a/b", "some/where/d", "some/where/large"]
    );
    // A small object is one request.
    bucket.lock().requests.clear();
    store.put("one", "1".into()).unwrap();
    assert_eq!(bucket.lock().requests, ["PUT some/where/one"]);
    let e = open("OTHER").unwrap().put("a", "b".into()).unwrap_err();
    assert!(e.message().starts_with("could not write to 's3://bucket/some/where': "), "{e}");
    assert!(e.hint().is_some_and(|h| h.contains("AWS_ACCESS_KEY_ID")), "{e}");
    assert!(!e.to_string().contains("hidden"), "{e}");
}
