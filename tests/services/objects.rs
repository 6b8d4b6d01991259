//! Files in an object store, against moto's S3.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::database::{folder, killed, numbers};
use crate::harness::{
    Running, Server, affluent, installed, left_out, port, run_badly, run_well, until, wait_for_port, write,
};

const SECRET: &str = "very-secret-9";

struct Moto {
    folder: tempfile::TempDir,
    port: u16,
    _server: Server,
}

impl Moto {
    /// With a bucket `bucket`.
    fn start() -> Option<Self> {
        if !installed("moto_server") {
            left_out("S3", "moto_server is not installed");
            return None;
        }
        let (folder, port) = (folder(), port());
        let arguments = ["-H", "127.0.0.1", "-p", &port.to_string()];
        let moto = Self { _server: Server::start("moto_server", &arguments, folder.path()), folder, port };
        wait_for_port(moto.port);
        until("moto", || moto.call("PUT", "/bucket", "").contains("200 OK"));
        Some(moto)
    }

    fn call(&self, method: &str, path: &str, body: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return String::new() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nAuthorization: AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\nContent-Length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Keys below a prefix.
    fn keys(&self, prefix: &str) -> Vec<String> {
        let answer = self.call("GET", &format!("/bucket?list-type=2&prefix={prefix}"), "");
        answer.split("<Key>").skip(1).filter_map(|k| Some(k.split_once("</Key>")?.0.to_string())).collect()
    }

    /// Parts of uploads that were not completed, nor given up. One without parts may stay when a job is killed before
    /// it could note it: it costs nothing.
    fn open_parts(&self) -> usize {
        let answer = self.call("GET", "/bucket?uploads", "");
        let part = |text: &str, tag: &str| -> Option<String> {
            let (_, rest) = text.split_once(&format!("<{tag}>"))?;
            Some(rest.split_once('<')?.0.to_string())
        };
        let uploads = answer.split("<Upload>").skip(1);
        let uploads = uploads.filter_map(|u| Some((part(u, "Key")?, part(u, "UploadId")?)));
        let parts = uploads.map(|(key, id)| self.call("GET", &format!("/bucket/{key}?uploadId={id}"), ""));
        parts.map(|answer| answer.matches("<PartNumber>").count()).sum()
    }

    fn with(&self, path: &str, more: &str) -> String {
        at(self.port, path, more)
    }
}

fn at(port: u16, path: &str, more: &str) -> String {
    format!(
        "WITH ('connector' = 'filesystem', 'path' = 's3://bucket/{path}', 's3.endpoint' = 'http://127.0.0.1:{port}', 's3.region' = 'us-east-1', 's3.access-key' = 'key-of-it', 's3.secret-key' = '{SECRET}'{more})"
    )
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|l| l.starts_with('{')).collect()
}

#[test]
fn files_are_written_found_and_read() {
    let Some(moto) = Moto::start() else { return };
    let work = folder();
    let tables = format!(
        "SET 'parallelism.default' = '2';
         CREATE TABLE n (id BIGINT) WITH ('connector' = 'datagen', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '3000');
         CREATE TABLE p (id BIGINT, name STRING, k STRING) PARTITIONED BY (k) {};
         CREATE TABLE j (id BIGINT, name STRING) {};",
        moto.with("warm/p", ", 'format' = 'parquet', 'sink.partition-commit.policy.kind' = 'success-file'"),
        moto.with("warm/j/", ", 'format' = 'json', 'sink.rolling-policy.file-size' = '20 kb'"),
    );
    let fill = format!(
        "{tables} INSERT INTO p SELECT id, 'n' || CAST(id AS STRING), CAST(MOD(id, 3) AS STRING) FROM n;
         INSERT INTO j SELECT id, 'n' || CAST(id AS STRING) FROM n;"
    );
    run_well(work.path(), &fill, &[]);
    let keys = moto.keys("warm/");
    assert!(keys.iter().any(|k| k.starts_with("warm/p/k=1/part-") && k.ends_with(".parquet")), "{keys:?}");
    assert!(keys.contains(&"warm/p/k=2/_SUCCESS".to_string()), "{keys:?}");
    assert!(keys.iter().filter(|k| k.starts_with("warm/j/part-")).count() > 2, "{keys:?}");
    assert!(!keys.iter().any(|k| k.contains(".uploads")), "{keys:?}");
    assert_eq!(moto.open_parts(), 0);

    let query = format!(
        "{tables}
         CREATE TABLE one {};
         CREATE TABLE many {};
         CREATE TABLE few (id BIGINT) WITH ('connector' = 'datagen', 'fields.id.kind' = 'sequence', 'fields.id.start' = '2999', 'fields.id.end' = '3001');
         SELECT COUNT(*) AS every, SUM(id) AS total, COUNT(DISTINCT k) AS ks FROM p;
         SELECT COUNT(*) AS lines_, SUM(id) AS total FROM j;
         SELECT COUNT(*) AS third FROM one;
         SELECT COUNT(*) AS starred FROM many;
         SELECT few.id AS asked, p.name FROM few LEFT JOIN p ON p.id = few.id;
         SHOW CREATE TABLE p;",
        moto.with("warm/p/k=1", ", 'format' = 'parquet'"),
        moto.with("warm/*/k=[02]/*.parquet", ", 'format' = 'parquet'"),
    );
    let found = run_well(work.path(), &query, &["-o", "json", "-q"]);
    for part in [
        r#""every":3000,"total":4501500,"ks":3"#,
        r#""lines_":3000,"total":4501500"#,
        r#""third":1000"#,
        r#""starred":2000"#,
        r#""asked":3000,"name":"n3000""#,
        r#""asked":3001,"name":null"#,
    ] {
        assert!(found.contains(part), "{part}\n{found}");
    }
    assert!(!found.contains(SECRET) && !found.contains("key-of-it"), "{found}");

    // Named in a query, with the keys of the environment.
    let script = "SELECT COUNT(*) AS named, MAX(name) AS last_ FROM 's3://bucket/warm/p/**/*.parquet'; DESCRIBE 's3://bucket/warm/j';";
    let path = write(work.path(), script);
    let mut command = affluent(work.path(), &["run", path.to_str().unwrap(), "-o", "json", "-q"]);
    command.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", moto.port)).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", SECRET);
    let output = Running::start(command).finish();
    let found = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(found.contains(r#""named":3000,"last_":"n999""#), "{found}{errors}");
    assert!(found.contains(r#""name":"name","type":"STRING""#), "{found}{errors}");

    // OVERWRITE replaces the partitions that get rows.
    run_well(work.path(), &format!("{tables} INSERT OVERWRITE p VALUES (1, 'only', '1');"), &[]);
    let found = run_well(
        work.path(),
        &format!("{tables} SELECT COUNT(*) AS left_, COUNT(CASE WHEN k = '1' THEN 1 END) AS ones FROM p;"),
        &["-o", "json", "-q"],
    );
    assert!(found.contains(r#""left_":2001,"ones":1"#), "{found}");

    // What is not there, and what cannot be.
    let missing =
        format!("CREATE TABLE x (id BIGINT) {}; SELECT * FROM x;", moto.with("no", ", 'format' = 'json'"));
    let error = run_badly(work.path(), &missing);
    assert!(error.contains("there is no object 's3://bucket/no'") && !error.contains(SECRET), "{error}");
    let single = format!(
        "CREATE TABLE x (id BIGINT) {}; INSERT INTO x VALUES (1);",
        moto.with("x.jsonl", ", 'format' = 'json'")
    );
    let error = run_badly(work.path(), &single);
    assert!(error.contains("nothing can be added to an object"), "{error}");
    let nowhere = single.replace("s3://bucket/x.jsonl", "s3://nowhere/x");
    let error = run_badly(work.path(), &nowhere);
    assert!(error.contains("s3://nowhere/x") && !error.contains(SECRET), "{error}");
}

#[test]
fn new_objects_are_read_when_they_are_there() {
    let Some(moto) = Moto::start() else { return };
    let work = folder();
    moto.call("PUT", "/bucket/in/a.jsonl", "{\"id\":1}\n{\"id\":2}\n");
    let script = format!(
        "SET 'execution.checkpointing.interval' = '100 ms';
         CREATE TABLE i (id BIGINT) {};
         CREATE TABLE o (id BIGINT) WITH ('connector' = 'filesystem', 'path' = 'out.jsonl', 'format' = 'json');
         INSERT INTO o SELECT id FROM i;",
        moto.with("in", ", 'format' = 'json', 'source.monitor-interval' = '100 ms'")
    );
    let path = write(work.path(), &script);
    let seen = |n: usize| {
        let text = std::fs::read_to_string(work.path().join("out.jsonl")).unwrap_or_default();
        lines(&text).len() == n
    };
    let start = || {
        let command = affluent(work.path(), &["run", path.to_str().unwrap(), "-q"]);
        Running::start_quietly(command, &work.path().join("errors.txt"))
    };
    let mut running = start();
    until("the first object", || seen(2));
    moto.call("PUT", "/bucket/in/b.jsonl", "{\"id\":3}");
    until("the second object", || seen(3));
    running.kill();
    moto.call("PUT", "/bucket/in/c.jsonl", "{\"id\":4}\n");
    let mut running = start();
    until("the third object", || seen(4));
    running.kill();
    let text = std::fs::read_to_string(work.path().join("out.jsonl")).unwrap();
    let mut rows = lines(&text);
    rows.sort_unstable();
    assert_eq!(rows, [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#, r#"{"id":4}"#]);
}

fn count(moto: &Moto, work: &Path, table: &str) -> String {
    let query = format!("{table}; SELECT COUNT(*) AS c, COUNT(DISTINCT id) AS d, SUM(id) AS s FROM t;");
    let _ = moto;
    run_well(work, &query, &["-o", "json", "-q"])
}

#[test]
fn killed_at_any_moment_each_row_is_there_once_and_no_part_stays() {
    let Some(moto) = Moto::start() else { return };
    for format in ["json", "parquet"] {
        let work = folder();
        let table = |port| {
            let with = at(port, &format!("kills/{format}"), &format!(", 'format' = '{format}'"));
            format!("CREATE TABLE t (id BIGINT) {with}")
        };
        let script = numbers(&table(moto.port), "INSERT INTO t SELECT id FROM n");
        killed(work.path(), &script);
        let found = count(&moto, work.path(), &table(moto.port));
        assert!(found.contains(r#""c":20000,"d":20000,"s":200010000"#), "{format}: {found}");
        assert_eq!(moto.open_parts(), 0, "{format}");
    }
}

type Refuses = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// A port whose requests go to moto, but for those that are refused by their first line.
fn refusing(moto: u16, refuses: Refuses) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let refuses: Arc<dyn Fn(&str) -> bool + Send + Sync> = refuses.into();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let refuses = refuses.clone();
            // A client that has gone away needs no answer.
            std::thread::spawn(move || drop(pass_on(client, moto, &*refuses)));
        }
    });
    port
}

fn pass_on(mut client: TcpStream, moto: u16, refuses: &dyn Fn(&str) -> bool) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let lower = line.to_ascii_lowercase();
        if let Some(n) = lower.strip_prefix("content-length:") {
            length = n.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if refuses(head.lines().next().unwrap()) {
        return client.write_all(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    }
    let mut server = TcpStream::connect(("127.0.0.1", moto))?;
    server.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    server.write_all(&body)?;
    io::copy(&mut server, &mut client).map(drop)
}

/// Many files, with and without checkpoints: all rows are there in the end.
fn in_spite_of(name: &str, refuses: impl Fn() -> Refuses) {
    let Some(moto) = Moto::start() else { return };
    for (checkpoints, path) in [(true, "with"), (false, "without")] {
        let work = folder();
        let port = refusing(moto.port, refuses());
        let more = ", 'format' = 'json', 'sink.rolling-policy.file-size' = '1 kb'";
        let interval = if checkpoints {
            let checkpoints = work.path().join("checkpoints");
            format!(
                "SET 'execution.checkpointing.interval' = '100 ms'; SET 'execution.checkpointing.dir' = '{}';",
                checkpoints.display()
            )
        } else {
            String::new()
        };
        let script = format!(
            "{interval} SET 'restart-strategy.exponential-delay.initial-backoff' = '100 ms';
             CREATE TABLE n (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '4000',
               'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '2000');
             CREATE TABLE t (id BIGINT) {};
             INSERT INTO t SELECT id FROM n;",
            at(port, &format!("{name}/{path}"), more)
        );
        run_well(work.path(), &script, &[]);
        let table = format!("CREATE TABLE t (id BIGINT) {}", moto.with(&format!("{name}/{path}"), more));
        let found = count(&moto, work.path(), &table);
        assert!(found.contains(r#""c":2000,"d":2000,"s":2001000"#), "{path}: {found}");
    }
}

/// Cleaning up is no part of the result: what cannot be deleted stays.
#[test]
fn a_store_that_refuses_to_delete_does_no_harm() {
    in_spite_of("kept", || {
        Box::new(|line| line.starts_with("DELETE") || line.starts_with("POST") && line.contains("?delete"))
    });
}

/// All rows are uploaded, and shown when the store lets them.
#[test]
fn files_that_the_store_does_not_complete_at_first_are_completed_later() {
    in_spite_of("late", || {
        let completions = AtomicUsize::new(0);
        Box::new(move |line| {
            let completes = line.starts_with("POST") && line.contains("uploadId=");
            // Three times nothing, then one file, then nothing again.
            completes && matches!(completions.fetch_add(1, Ordering::Relaxed), 0 | 1 | 2 | 4)
        })
    });
}
