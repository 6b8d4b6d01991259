//! Recordings as their users have them: a run is kept, and played again when nothing of it is there any more.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const SECRET: &str = "tok-58112-replay";

/// A service that knows sensors 1 to 3, and answers the first request for sensor 3 with 503.
struct Api {
    port: u16,
    requests: Arc<AtomicUsize>,
    gone: Arc<AtomicBool>,
}

fn answer(mut stream: TcpStream, failed: &AtomicBool) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(());
        }
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request);
    let path = request.split(' ').nth(1).unwrap_or_default();
    let id = path.rsplit('/').next().unwrap_or_default().split('?').next().unwrap_or_default();
    let (status, body) = match id {
        "3" if !failed.swap(true, Ordering::SeqCst) => ("503 Busy", String::new()),
        "1" | "2" | "3" => {
            let authorized = request.contains(SECRET);
            ("200 OK", format!(r#"{{"id":"{id}","brand":"b{id}","room":"r{id}","ok":{authorized}}}"#))
        }
        _ => ("404 Not Found", String::new()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\nSet-Cookie: {SECRET}\r\n\r\n{body}"
    )
}

impl Api {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, gone) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let api = Self { port, requests: requests.clone(), gone: gone.clone() };
        std::thread::spawn(move || {
            let failed = AtomicBool::new(false);
            for stream in listener.incoming().flatten() {
                if gone.load(Ordering::SeqCst) {
                    return;
                }
                requests.fetch_add(1, Ordering::SeqCst);
                let _ = answer(stream, &failed);
            }
        });
        api
    }

    fn stop(&self) {
        self.gone.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    command.args(arguments).current_dir(folder).env("TZ", "Europe/Berlin").env("SENSOR_TOKEN", SECRET);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn tables(port: u16) -> String {
    format!(
        "SET 'parallelism.default' = '2';
         CREATE TABLE events (n BIGINT, sensor STRING, note STRING, ts TIMESTAMP_LTZ(3), WATERMARK FOR ts AS ts)
         WITH ('connector' = 'filesystem', 'path' = 'events.jsonl', 'format' = 'json');
         CREATE TABLE sensors (id STRING, brand STRING, room STRING, ok BOOLEAN, PRIMARY KEY (id) NOT ENFORCED)
         WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:{port}/sensors/{{id}}?key=${{SENSOR_TOKEN}}',
               'http.source.lookup.header.Authorization' = 'Bearer ${{SENSOR_TOKEN}}', 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '100');
         CREATE TABLE enriched (n BIGINT, brand STRING, PRIMARY KEY (n) NOT ENFORCED) WITH ('connector' = 'print');"
    )
}

const INSERT: &str = "INSERT INTO enriched SELECT n, brand FROM events LEFT JOIN sensors ON sensor = id;";

#[test]
fn a_run_is_played_again_without_anything_of_it() {
    let api = Api::start();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let events: String = (0..40)
        .map(|n| format!("{{\"n\":{n},\"sensor\":\"{}\",\"note\":\"x {SECRET}\",\"ts\":\"2026-01-01T00:00:{n:02}Z\"}}\n", n % 5))
        .collect();
    fs::write(at("events.jsonl"), events).unwrap();
    let tables = tables(api.port);
    fs::write(at("p.sql"), format!("{tables}{INSERT}")).unwrap();
    let (status, shown, told) = run(folder.path(), &["run", "p.sql", "--record", "r"]);
    assert_eq!(status, 0, "{told}");
    assert!(told.contains("recorded 40 rows and ") && shown.matches("b3").count() == 8, "{told}{shown}");
    api.stop();
    fs::remove_file(at("events.jsonl")).unwrap();
    for file in fs::read_dir(at("r")).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "the secret is in {}", path.display());
    }

    // The same, twice.
    let asked = api.requests.load(Ordering::SeqCst);
    let (status, first, told) = run(folder.path(), &["run", "p.sql", "--replay", "r"]);
    assert_eq!(status, 0, "{told}");
    let again = run(folder.path(), &["run", "p.sql", "--replay", "r"]);
    assert_eq!(first, again.1);
    assert_eq!(
        (first.lines().count(), first.matches("\"b3\"").count(), first.matches("null").count()),
        (40, 8, 16)
    );
    assert_eq!(api.requests.load(Ordering::SeqCst), asked);

    // A query that was edited finds columns that the first did not read.
    let edited = "INSERT INTO enriched SELECT n, CASE WHEN n = 7 THEN room ELSE brand END
                  FROM events LEFT JOIN sensors ON sensor = id AND ok WHERE n < 39 AND note LIKE '%${SENSOR_TOKEN}';";
    fs::write(at("new.sql"), format!("{tables}{edited}")).unwrap();
    let (status, text, told) = run(folder.path(), &["diff", "p.sql", "p.sql", "--replay", "r"]);
    assert_eq!((status, text.as_str()), (0, "enriched: 0 added, 0 removed, 0 changed, 40 equal\n"), "{told}");
    let (status, text, told) =
        run(folder.path(), &["diff", "p.sql", "new.sql", "--replay", "r", "-o", "tableau"]);
    assert_eq!(status, 1, "{told}{text}");
    for line in [
        "enriched: 0 added, 1 removed, 1 changed, 38 equal",
        r#"  - {"n":39,"brand":null}"#,
        r#"      brand: "b2" -> "r2""#,
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    let (status, text, _) = run(folder.path(), &["diff", "p.sql", "new.sql", "--replay", "r", "-o", "json"]);
    assert_eq!((status, text.lines().count()), (1, 3), "{text}");
    assert!(
        text.contains(r#""change":"changed","before":{"n":7,"brand":"b2"},"after":{"n":7,"brand":"r2"}"#),
        "{text}"
    );

    // Keys that nobody asked for.
    let other =
        "INSERT INTO enriched SELECT n, brand FROM events LEFT JOIN sensors ON CONCAT(sensor, 'x') = id;";
    fs::write(at("other.sql"), format!("{tables}{other}")).unwrap();
    let (status, _, told) = run(folder.path(), &["run", "other.sql", "--replay", "r"]);
    assert_eq!(status, 1);
    assert!(told.contains("the recording has no answer of 'sensors' for id = '"), "{told}");
    let arguments = ["run", "other.sql", "--replay", "r", "--replay-missing", "miss"];
    let (status, shown, told) = run(folder.path(), &arguments);
    assert!(
        status == 0 && told.contains("5 keys that the recording has no answer for were misses"),
        "{told}"
    );
    assert_eq!(shown.matches("null").count(), 40);

    // Columns and tables that were not there.
    let wider = tables.replace("room STRING,", "room STRING, floor BIGINT,");
    fs::write(at("wider.sql"), format!("{wider}{}", INSERT.replace("n, brand", "floor, brand"))).unwrap();
    let (status, _, told) = run(folder.path(), &["run", "wider.sql", "--replay", "r"]);
    assert_eq!(status, 2, "{told}");
    assert!(told.contains("column 'floor' of 'sensors' is not in the recording"), "{told}");

    // A recording is a fixture.
    fs::write(
        at("p.test.sql"),
        "TEST 'as on that day' WITH ('recording' = 'r');
         EXPECT (SELECT COUNT(*), COUNT(brand) FROM enriched) VALUES (40, 24);
         TEST 'with another answer' WITH ('recording' = 'r');
         MOCK sensors RETURNS VALUES ('1', 'mocked', '', TRUE);
         EXPECT (SELECT COUNT(*) FROM enriched WHERE brand = 'mocked') VALUES (8);",
    )
    .unwrap();
    let (status, text, told) = run(folder.path(), &["test"]);
    assert!(status == 0 && text.contains("2 passed"), "{text}{told}");
}
