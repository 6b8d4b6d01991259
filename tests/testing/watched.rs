//! A job as those see it who watch it: an OpenTelemetry collector, a service manager, Prometheus.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// A request: path, headers in lower case, body.
type Request = (String, HashMap<String, String>, String);

/// Reads requests of a connection; answers each as `answer` says.
fn serve(stream: &mut TcpStream, answer: &dyn Fn(&Request) -> (u16, String)) -> Option<()> {
    loop {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte).ok()? == 0 {
                return None;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1)?.to_string();
        let headers: HashMap<String, String> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_string()))
            .collect();
        let length = headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        let request = (path, headers, String::from_utf8_lossy(&body).into_owned());
        let (status, text) = answer(&request);
        write!(stream, "HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n{text}", text.len()).ok()?;
    }
}

/// A server whose requests are kept.
fn server(
    answer: impl Fn(&Request) -> (u16, String) + Send + Sync + 'static,
) -> (u16, Arc<Mutex<Vec<Request>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
    let (kept, answer) = (requests.clone(), Arc::new(answer));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (kept, answer) = (kept.clone(), answer.clone());
            std::thread::spawn(move || {
                serve(&mut stream, &|request| {
                    kept.lock().unwrap().push(request.clone());
                    answer(request)
                })
            });
        }
    });
    (port, requests)
}

const SECRET: &str = "tok-77213-otlp";

fn attribute<'a>(of: &'a Value, key: &str) -> Option<&'a str> {
    let all = of["attributes"].as_array()?;
    all.iter().find(|a| a["key"] == key)?["value"]["stringValue"].as_str()
}

#[test]
fn metrics_and_traces_arrive_at_a_collector() {
    let failed = Mutex::new(false);
    let (api, asked) = server(move |_| match std::mem::replace(&mut *failed.lock().unwrap(), true) {
        false => (503, String::new()),
        true => (200, r#"{"id":"7","brand":"Thermix"}"#.to_string()),
    });
    let (collector, sent) = server(|_| (200, "{}".to_string()));
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("p.sql"),
        format!(
            "CREATE TABLE sensors (id STRING, brand STRING, PRIMARY KEY (id) NOT ENFORCED)
             WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:{api}/s/{{id}}?key=${{API_TOKEN}}');
             CREATE TABLE gone (brand STRING) WITH ('connector' = 'blackhole');
             CREATE TABLE keys (id STRING) WITH ('connector' = 'filesystem', 'path' = 'keys.jsonl', 'format' = 'json');
             INSERT INTO gone SELECT brand FROM keys LEFT JOIN sensors ON keys.id = sensors.id;"
        ),
    )
    .unwrap();
    fs::write(folder.path().join("keys.jsonl"), "{\"id\":\"7\"}\n").unwrap();
    let run = |port: u16| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
        command.args(["run", "p.sql"]).current_dir(folder.path()).stdin(Stdio::null());
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}"))
            .env("API_TOKEN", SECRET);
        command.env("OTEL_TRACES_SAMPLER_ARG", "1").env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b");
        command.env("OTEL_SERVICE_NAME", "enrich").output().unwrap()
    };
    let output = run(collector);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The process has ended: what it had was sent.
    let sent = sent.lock().unwrap().clone();
    assert!(sent.iter().all(|(_, headers, body)| headers["x-key"] == "a b" && !body.contains(SECRET)));
    let of = |path: &str| -> Vec<Value> {
        let all = sent.iter().filter(|(at, ..)| at == path);
        all.map(|(_, _, body)| serde_json::from_str(body).unwrap()).collect()
    };
    let metrics = of("/v1/metrics").pop().expect("metrics");
    let resource = &metrics["resourceMetrics"][0]["resource"];
    assert_eq!(attribute(resource, "service.name"), Some("enrich"));
    let metrics = metrics["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap().clone();
    let read = metrics.iter().find(|m| m["name"] == "affluent.job.rows.read").unwrap();
    assert_eq!(read["sum"]["dataPoints"][0]["asDouble"], Value::from(1.0));
    let calls = metrics.iter().find(|m| m["name"] == "affluent.lookup.calls").unwrap();
    assert_eq!(calls["sum"]["dataPoints"][0]["asDouble"], Value::from(2.0));

    // One row, one trace: the lookup, and below it the request that failed and the one that did not.
    let spans: Vec<Value> = of("/v1/traces")
        .iter()
        .flat_map(|body| body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone())
        .collect();
    assert_eq!(spans.len(), 3, "{spans:#?}");
    let root = spans.iter().find(|span| span["parentSpanId"].is_null()).unwrap();
    assert_eq!(root["name"], "lookup sensors");
    let mut requests: Vec<&Value> =
        spans.iter().filter(|span| span["parentSpanId"] == root["spanId"]).collect();
    requests.sort_by_key(|span| span["startTimeUnixNano"].as_str().unwrap().to_string());
    let statuses: Vec<_> =
        requests.iter().map(|s| attribute(s, "http.response.status_code").unwrap()).collect();
    assert_eq!(statuses, ["503", "200"]);
    assert_eq!((&requests[0]["status"]["code"], requests[1]["status"].get("code")), (&Value::from(2), None));
    assert_eq!((&requests[1]["name"], &requests[1]["kind"]), (&Value::from("GET"), &Value::from(3)));
    assert!(attribute(requests[1], "url.full").unwrap().contains("/s/7"), "{spans:#?}");
    // The service can go on with it.
    let asked = asked.lock().unwrap().clone();
    let parents: Vec<&String> = asked.iter().map(|(_, headers, _)| &headers["traceparent"]).collect();
    let expected = |span: &Value| {
        format!("00-{}-{}-01", root["traceId"].as_str().unwrap(), span["spanId"].as_str().unwrap())
    };
    assert_eq!(parents, [&expected(requests[0]), &expected(requests[1])]);

    // A collector that is not there costs a line.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let output = run(closed);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.matches("did not take what it was sent").count() == 1, "{told}");
}

#[test]
fn a_service_manager_hears_of_a_job() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    fs::write(
        folder.path().join("p.sql"),
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10');
         CREATE TABLE gone (n BIGINT) WITH ('connector' = 'blackhole');
         INSERT INTO gone SELECT n FROM numbers;",
    )
    .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    command.args(["run", "p.sql"]).current_dir(folder.path()).stdin(Stdio::null()).stderr(Stdio::null());
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "20000").env_remove("WATCHDOG_PID");
    let mut child = command.spawn().unwrap();
    let mut bytes = [0; 256];
    let mut heard = || {
        let length = manager.recv(&mut bytes).expect("a message comes");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    assert!(heard().starts_with("READY=1\n"));
    for _ in 0..3 {
        assert_eq!(heard(), "WATCHDOG=1\nSTATUS=1 jobs run");
    }
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    while !heard().starts_with("STOPPING=1") {}
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn prometheus_takes_the_rules_that_are_shipped() {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/observability/alerts.yml");
    let Ok(output) = Command::new("promtool").args(["check", "rules", rules]).output() else {
        println!("left out: promtool is not installed");
        return;
    };
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("SUCCESS"), "{told}");
    // Queries of the dashboard are rules as well, as far as their syntax goes.
    let text =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/observability/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut queries = Vec::new();
    fn collect(value: &Value, queries: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| match value.as_str() {
                Some(text) if name == "expr" => queries.push(text.to_string()),
                _ => collect(value, queries),
            }),
            Value::Array(values) => values.iter().for_each(|value| collect(value, queries)),
            _ => {}
        }
    }
    collect(&dashboard, &mut queries);
    assert!(queries.len() > 5);
    let mut file = String::from("groups:\n- name: dashboard\n  rules:\n");
    for (n, query) in queries.iter().enumerate() {
        let query = query.replace("$__rate_interval", "1m").replace("$__interval", "1m");
        file.push_str(&format!("  - record: q{n}\n    expr: {}\n", Value::from(query)));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dashboard.yml");
    fs::write(&path, &file).unwrap();
    let output = Command::new("promtool").args(["check", "rules"]).arg(&path).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{file}");
}

/// Ends a process with its owner.
struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A real Prometheus collects from a job, and evaluates the rules on what it finds.
#[test]
fn a_real_prometheus_evaluates_the_rules() {
    use std::io::{BufRead, BufReader};
    if Command::new("prometheus").arg("--version").output().is_err() {
        println!("left out: prometheus is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("p.sql"),
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '100');
         CREATE TABLE gone (n BIGINT) WITH ('connector' = 'blackhole');
         INSERT INTO gone SELECT n FROM numbers;",
    )
    .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    command.args(["run", "p.sql", "--metrics=0"]).current_dir(folder.path()).stdin(Stdio::null());
    let mut job = Ends(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(job.0.stderr.take().unwrap()).lines();
    let address = loop {
        let line = lines.next().expect("it says where").unwrap();
        if let Some((_, at)) = line.split_once("metrics at http://") {
            break at.split("/metrics").next().unwrap().to_string();
        }
    };
    // What it says later is read, so that it is never held up.
    std::thread::spawn(move || lines.for_each(drop));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/observability/alerts.yml");
    fs::write(
        folder.path().join("prometheus.yml"),
        format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: ['{rules}']\n\
             scrape_configs:\n- job_name: affluent\n  static_configs: [{{ targets: ['{address}'] }}]\n"
        ),
    )
    .unwrap();
    let mut command = Command::new("prometheus");
    command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]).current_dir(folder.path());
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).stdin(Stdio::null());
    let _prometheus = Ends(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let at = format!("127.0.0.1:{port}");
    let ask = |path: &str| -> Option<Value> {
        let mut stream = TcpStream::connect(&at).ok()?;
        // The old protocol knows no chunks.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {at}\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let body = &answer[answer.find('{')?..=answer.rfind('}')?];
        serde_json::from_str(body).ok()
    };
    let begun = std::time::Instant::now();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(180), "{:?}", ask("/api/v1/rules"));
        let rows = ask("/api/v1/query?query=affluent_job_rows_read_total");
        let found = rows.is_some_and(|r| r["data"]["result"].as_array().is_some_and(|all| !all.is_empty()));
        let groups =
            ask("/api/v1/rules").and_then(|r| r["data"]["groups"].as_array().cloned()).unwrap_or_default();
        let rules: Vec<Value> =
            groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect();
        assert!(rules.iter().all(|rule| rule["health"] != "err"), "{rules:#?}");
        if found && !rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok") {
            assert!(
                rules.iter().all(|rule| rule["name"].as_str().unwrap().starts_with("Affluent")),
                "{rules:#?}"
            );
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
