//! Flink's SQL Gateway: a session, statements, their results; and the job manager, for how far jobs are.
//!
//! ```text
//!  POST /v2/sessions                      a session: settings, tables, functions
//!  POST .../statements                    an operation; GET .../operations/O/result/0, 1, ... its rows
//!  job manager: GET /jobs/J               state and rows of each operator; /exceptions why it failed
//! ```
//! An error comes as a stack of Java. [`cause`] finds the innermost exception, which is what its author wrote.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// A request takes no longer. The gateway plans a statement before it answers for it.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How long a result that is not there is waited for before it is asked for again.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes of an answer, at most.
const MOST: usize = 64 << 20;

/// A session of a gateway.
#[derive(Debug)]
pub struct Gateway {
    client: reqwest::Client,
    /// Its address, without a slash at its end.
    pub base: String,
    session: String,
    /// Flink's version, as the gateway tells it.
    pub version: String,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Flink's name of the type, such as `VARCHAR` or `DECIMAL`.
    pub logical: String,
    /// Digits of a DECIMAL, and those behind the point.
    pub digits: (u8, i8),
}

/// A piece of a result.
#[derive(Debug, Default)]
pub struct Page {
    /// Columns.
    pub columns: Vec<Column>,
    /// Kind of change (`INSERT`, `UPDATE_BEFORE`, ...) and fields.
    pub rows: Vec<(String, Vec<Value>)>,
    /// The job behind it.
    pub job: Option<String>,
    /// Whether it is a query's.
    pub is_query: bool,
    /// Where the next piece is; `None` at the end.
    pub next: Option<u64>,
    /// Nothing is there yet.
    pub not_ready: bool,
}

impl Gateway {
    /// Opens a session.
    pub async fn open(url: &str) -> Result<Self> {
        let base = address(url, "--gateway")?;
        let client = client()?;
        let down = |e: Error| {
            e.with_hint(
                "is it started? bin/sql-gateway.sh start -Dsql-gateway.endpoint.rest.address=HOST; its port is 8083 by default",
            )
        };
        let info = ask(&client, reqwest::Method::GET, &format!("{base}/v1/info"), None).await;
        let info = match info {
            Err(e) if e.message().contains("Unable to load requested file") => serde_json::json!({}),
            info => info.map_err(down)?,
        };
        let version = info.get("version").and_then(Value::as_str).unwrap_or_default().to_string();
        if info.get("productName").and_then(Value::as_str) != Some("Apache Flink") {
            return Err(Error::option(format!("what answers at {base} is no SQL Gateway of Flink"))
                .with_hint(
                    "the port of the job manager is another one (8081); the gateway's is 8083 by default",
                ));
        }
        let body = json!({"sessionName": "affluent", "properties": {}});
        let opened = ask(&client, reqwest::Method::POST, &format!("{base}/v2/sessions"), Some(body)).await?;
        let session = opened
            .get("sessionHandle")
            .and_then(Value::as_str)
            .ok_or_else(|| Error::io("the SQL Gateway opened no session").with_detail(opened.to_string()))?;
        Ok(Self { client, base, session: session.to_string(), version })
    }

    /// Another session of the same gateway.
    pub async fn another(&self) -> Result<Self> {
        Self::open(&self.base).await
    }

    fn path(&self, rest: &str) -> String {
        let session = utf8_percent_encode(&self.session, NON_ALPHANUMERIC);
        format!("{}/v2/sessions/{session}{rest}", self.base)
    }

    /// Hands a statement over: the operation.
    pub async fn submit(&self, statement: &str) -> Result<String> {
        let body = json!({"statement": statement});
        let answer = ask(&self.client, reqwest::Method::POST, &self.path("/statements"), Some(body)).await?;
        answer
            .get("operationHandle")
            .and_then(Value::as_str)
            .map(str::to_string)
            .ok_or_else(|| Error::io("the SQL Gateway took no statement").with_detail(answer.to_string()))
    }

    fn operation(&self, operation: &str, rest: &str) -> String {
        self.path(&format!("/operations/{}{rest}", utf8_percent_encode(operation, NON_ALPHANUMERIC)))
    }

    /// A piece of an operation's result.
    pub async fn page(&self, operation: &str, token: u64) -> Result<Page> {
        let url = self.operation(operation, &format!("/result/{token}?rowFormat=JSON"));
        let answer = ask(&self.client, reqwest::Method::GET, &url, None).await?;
        Ok(page(&answer, token))
    }

    /// Runs a statement to its end: its rows.
    pub async fn execute(&self, statement: &str) -> Result<Page> {
        let operation = self.submit(statement).await?;
        let mut all = Page::default();
        let mut token = 0;
        loop {
            let piece = self.page(&operation, token).await?;
            if !piece.columns.is_empty() {
                all.columns = piece.columns;
            }
            all.rows.extend(piece.rows);
            all.job = piece.job.or(all.job);
            all.is_query |= piece.is_query;
            if piece.not_ready {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            match piece.next {
                Some(next) => token = next,
                None => return Ok(all),
            }
        }
    }

    /// Stops an operation, and the job of a query.
    pub async fn cancel(&self, operation: &str) -> Result<()> {
        let url = self.operation(operation, "/cancel");
        ask(&self.client, reqwest::Method::POST, &url, None).await.map(drop)
    }

    /// Ends the session. Jobs of INSERT run on.
    pub async fn close(self) {
        let url = self.path("");
        // It ends by itself after a while.
        let _ = ask(&self.client, reqwest::Method::DELETE, &url, None).await;
    }

    /// Where the job manager answers, as the session's settings tell.
    pub async fn job_manager(&self) -> Result<Option<String>> {
        let settings = self.execute("SET").await?;
        let of = |key: &str| {
            let row = settings
                .rows
                .iter()
                .find(|(_, fields)| fields.first().and_then(Value::as_str) == Some(key))?;
            row.1.get(1)?.as_str().map(str::to_string)
        };
        let host = of("rest.address").or_else(|| of("jobmanager.rpc.address"));
        Ok(host
            .map(|host| format!("http://{host}:{}", of("rest.port").unwrap_or_else(|| "8081".to_string()))))
    }
}

/// A job as its job manager knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobLook {
    /// `RUNNING`, `FINISHED`, `FAILED`, ...
    pub state: String,
    /// Rows that its sources have read, where they tell.
    pub read: u64,
    /// Rows that operators in front of sinks have handed on.
    pub written: u64,
}

/// The job manager.
#[derive(Debug)]
pub struct JobManager {
    client: reqwest::Client,
    base: String,
}

impl JobManager {
    /// At this address.
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self { client: client()?, base: address(url, "--jobmanager")? })
    }

    /// How far a job is.
    pub async fn look(&self, job: &str) -> Result<JobLook> {
        let answer =
            ask(&self.client, reqwest::Method::GET, &format!("{}/jobs/{job}", self.base), None).await?;
        Ok(look(&answer))
    }

    /// Why a job has failed.
    pub async fn failure(&self, job: &str) -> Result<Option<String>> {
        let url = format!("{}/jobs/{job}/exceptions", self.base);
        let answer = ask(&self.client, reqwest::Method::GET, &url, None).await?;
        let newest = answer.pointer("/exceptionHistory/entries/0/stacktrace").and_then(Value::as_str);
        let root = answer.get("root-exception").and_then(Value::as_str);
        Ok(newest.or(root).filter(|text| !text.is_empty()).map(|text| cause(text).0))
    }
}

fn look(answer: &Value) -> JobLook {
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
    let vertices = answer.get("vertices").and_then(Value::as_array).cloned().unwrap_or_default();
    let metric =
        |v: &Value, key: &str| v.pointer(&format!("/metrics/{key}")).and_then(Value::as_u64).unwrap_or(0);
    let read: u64 = vertices.iter().map(|v| metric(v, "read-records")).sum();
    let written: u64 = vertices.iter().map(|v| metric(v, "write-records")).sum();
    JobLook { state: text("state"), read, written }
}

fn client() -> Result<reqwest::Client> {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().timeout(TIMEOUT).build().map_err(|e| Error::io(format!("no HTTP client: {e}")))
}

/// An address without a slash at its end.
fn address(url: &str, flag: &str) -> Result<String> {
    let text = if url.contains("://") { url.to_string() } else { format!("http://{url}") };
    match url::Url::parse(&text) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.host().is_some() => {
            Ok(text.trim_end_matches('/').to_string())
        }
        _ => Err(Error::option(format!("{flag}: '{url}' is no address")).with_hint("http://127.0.0.1:8083")),
    }
}

async fn ask(
    client: &reqwest::Client,
    method: reqwest::Method,
    url: &str,
    body: Option<Value>,
) -> Result<Value> {
    let mut request = client.request(method, url);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let failed = |e: reqwest::Error| {
        let mut cause: &dyn std::error::Error = &e;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let place = url.find("/v").map_or(url, |at| &url[..at]);
        Error::io(format!("nothing answers at {place}")).with_detail(cause.to_string())
    };
    let mut answer = request.send().await.map_err(failed)?;
    let status = answer.status();
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MOST {
            return Err(Error::io(format!("an answer of Flink has more than {MOST} bytes")));
        }
    }
    let value: Value = match serde_json::from_slice(&bytes) {
        Ok(value) => value,
        Err(_) if bytes.is_empty() => Value::Null,
        Err(_) => {
            let text: String = String::from_utf8_lossy(&bytes).chars().take(200).collect();
            return Err(Error::option(format!("what answers at {url} does not speak JSON"))
                .with_detail(format!("{status}: {text}"))
                .with_hint("the SQL Gateway's port is 8083 by default, the job manager's 8081"));
        }
    };
    if status.is_success() {
        return Ok(value);
    }
    let errors = value.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
    let texts: Vec<&str> = errors.iter().filter_map(Value::as_str).collect();
    Err(flinks_error(&texts.join("\n")))
}

fn page(answer: &Value, token: u64) -> Page {
    let text = |key: &str| answer.get(key).and_then(Value::as_str);
    let results = answer.get("results");
    let list =
        |key: &str| results.and_then(|r| r.get(key)).and_then(Value::as_array).cloned().unwrap_or_default();
    let column = |c: &Value| {
        let number =
            |key: &str| c.pointer(&format!("/logicalType/{key}")).and_then(Value::as_i64).unwrap_or(0);
        Column {
            name: c.get("name").and_then(Value::as_str).unwrap_or_default().to_string(),
            logical: c.pointer("/logicalType/type").and_then(Value::as_str).unwrap_or_default().to_string(),
            digits: (
                u8::try_from(number("precision")).unwrap_or(38),
                i8::try_from(number("scale")).unwrap_or(0),
            ),
        }
    };
    let row = |r: &Value| {
        let kind = r.get("kind").and_then(Value::as_str).unwrap_or("INSERT").to_string();
        (kind, r.get("fields").and_then(Value::as_array).cloned().unwrap_or_default())
    };
    let not_ready = text("resultType") == Some("NOT_READY");
    let next = text("nextResultUri").and_then(|uri| {
        let behind = uri.rsplit_once("/result/")?.1;
        behind.split('?').next()?.parse().ok()
    });
    let ended = text("resultType") == Some("EOS");
    Page {
        columns: list("columns").iter().map(column).collect(),
        rows: list("data").iter().map(row).collect(),
        job: text("jobID").map(str::to_string),
        is_query: answer.get("isQueryResult").and_then(Value::as_bool).unwrap_or(false),
        next: if ended {
            None
        } else if not_ready {
            Some(token)
        } else {
            next
        },
        not_ready,
    }
}

/// The innermost exception of a stack of Java: its message, and the name of its class.
pub fn cause(stack: &str) -> (String, String) {
    let last = stack.rsplit("Caused by: ").next().unwrap_or(stack);
    let mut lines = Vec::new();
    for line in last.lines() {
        let line = line.trim_end();
        if line.trim_start().starts_with("at ")
            || line.trim_start().starts_with("... ")
            || line == "End of exception on server side>"
        {
            break;
        }
        if !line.trim().is_empty() {
            lines.push(line);
        }
    }
    let text = lines.join("\n");
    let text = text.trim_start_matches("<Exception on server side:").trim_start();
    let text = text.trim_start_matches("Internal server error.").trim_start();
    let text = text.trim_start_matches("<Exception on server side:").trim_start();
    let (class, message) = match text.split_once(": ") {
        Some((class, message)) if class.contains('.') && !class.contains([' ', '\n']) => (class, message),
        _ if text.contains('.') && !text.contains([' ', '\n']) => (text, ""),
        _ => ("", text),
    };
    let class = class.rsplit(['.', '$']).next().unwrap_or_default().to_string();
    // What a parser would have liked instead is a page long.
    let message = message.split("\nWas expecting").next().unwrap_or_default().trim();
    let message = if message.is_empty() { class.clone() } else { message.to_string() };
    (message, class)
}

/// What Flink says, in short, with the remedy where one is known.
fn flinks_error(stack: &str) -> Error {
    let (message, class) = cause(stack);
    let mut lines = message.lines();
    let first = lines.next().unwrap_or_default().to_string();
    let rest: Vec<&str> = lines.take(8).map(str::trim).collect();
    let mut error = Error::execution(format!("Flink: {first}"));
    if !rest.is_empty() {
        error = error.with_detail(rest.join("\n"));
    } else if !class.is_empty() && class != first {
        error = error.with_detail(class.clone());
    }
    match remedy(stack, &message) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn remedy(stack: &str, message: &str) -> Option<String> {
    let quoted = || message.split('\'').nth(1).unwrap_or_default();
    if message.contains("Could not find any factory for identifier") {
        return Some(format!(
            "put the jar of '{}' into lib/ of the cluster and of the gateway, and start both again; without a jar give \
             --connectors, and the export says what else to do",
            quoted()
        ));
    }
    if stack.contains("PythonFunctionFactory") {
        return Some(
            "functions in Python take flink-python in lib/ and apache-flink on the gateway's machine"
                .to_string(),
        );
    }
    if message.contains("Unsupported options found") {
        return Some(
            "the connector on the cluster is of another version: leave these options out".to_string(),
        );
    }
    if message.contains("Connection refused") || message.contains("Could not connect to") {
        return Some("the gateway is there, and its cluster is not: bin/start-cluster.sh".to_string());
    }
    if stack.contains("NoResourceAvailableException") {
        return Some(
            "there are not enough free task slots: stop another job, or add task managers".to_string(),
        );
    }
    if message.contains("not enough rules to produce a node") {
        return Some(
            "Flink has no plan for a part of the query; affluent flink check tells which parts are known"
                .to_string(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const STACK: &str = "Internal server error.\n<Exception on server side:\norg.apache.flink.table.gateway.api.utils.SqlGatewayException: Failed to fetchResults.\n\tat org.apache.X.y(X.java:1)\nCaused by: org.apache.flink.table.api.ValidationException: SQL validation failed. Object 'nope' not found\n\tat org.apache.Z.z(Z.java:9)\nCaused by: org.apache.calcite.sql.validate.SqlValidatorException: Object 'nope' not found\n\tat a.b(C.java)\n\t... 9 more\n\nEnd of exception on server side>";

    #[test]
    fn the_innermost_exception_counts() {
        assert_eq!(
            cause(STACK),
            ("Object 'nope' not found".to_string(), "SqlValidatorException".to_string())
        );
        let e = flinks_error(STACK);
        assert_eq!(e.message(), "Flink: Object 'nope' not found");
        assert!(!e.to_string().contains("\tat"), "{e}");
        let parser = "Caused by: org.apache.calcite.sql.parser.SqlParseException: Encountered \"FROM\" at line 1, column 8.\nWas expecting one of:\n    \"A\" ...\n";
        assert_eq!(cause(parser).0, "Encountered \"FROM\" at line 1, column 8.");
        assert_eq!(cause("Caused by: java.lang.NullPointerException\n\tat x").0, "NullPointerException");
        assert_eq!(cause("Session 'x' does not exist.").0, "Session 'x' does not exist.");
    }

    #[test]
    fn remedies() {
        let e = flinks_error(
            "Caused by: org.apache.flink.table.api.ValidationException: Could not find any factory for identifier 'kafka' that implements X in the classpath.\n\nAvailable factory identifiers are:\n\nprint",
        );
        assert!(e.hint().unwrap().contains("the jar of 'kafka'"), "{e}");
        assert_eq!(e.detail().unwrap(), "Available factory identifiers are:\nprint");
    }

    #[test]
    fn pieces_of_results() {
        let answer = json!({"resultType": "PAYLOAD", "isQueryResult": true, "jobID": "j1",
            "nextResultUri": "/v2/sessions/s/operations/o/result/3?rowFormat=JSON",
            "results": {"columns": [{"name": "a", "logicalType": {"type": "DECIMAL", "precision": 5, "scale": 2}}],
                        "data": [{"kind": "UPDATE_AFTER", "fields": [1.5]}]}});
        let found = page(&answer, 2);
        assert_eq!(found.next, Some(3));
        assert_eq!((found.columns[0].digits, found.rows[0].0.as_str()), ((5, 2), "UPDATE_AFTER"));
        assert_eq!(page(&json!({"resultType": "EOS"}), 4).next, None);
        let waiting = page(&json!({"resultType": "NOT_READY", "nextResultUri": "x"}), 4);
        assert!(waiting.not_ready && waiting.next == Some(4));
    }

    #[test]
    fn addresses() {
        assert_eq!(address("127.0.0.1:8083/", "--gateway").unwrap(), "http://127.0.0.1:8083");
        assert!(address("ftp://x", "--gateway").is_err() && address("http://", "--gateway").is_err());
    }
}
