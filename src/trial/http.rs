//! Requests of the HTTP client, answered by pattern.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;
use regex::Regex;
use reqwest::{Request, Response};

use super::stage::Stage;
use crate::error::{Error, Result};
use crate::lookup::BoxFuture;
use crate::lookup::wire::{Fault, Wire};
use crate::sql::test_file::{Mock, MockAnswer, MockTarget};

/// What is known of a request: the columns that WHEN and EXPECT CALLS HTTP have.
pub(super) const COLUMNS: [&str; 4] = ["method", "url", "body", "headers"];

pub(super) fn schema() -> SchemaRef {
    let field = |name: &&str| Field::new(*name, DataType::Utf8View, true);
    Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()))
}

/// A mock below the HTTP client.
pub(super) struct HttpRule {
    pub(super) line: u32,
    pub(super) optional: bool,
    method: String,
    pattern: String,
    url: Regex,
    /// Names in the pattern, in order.
    names: Vec<String>,
    when: Option<Arc<dyn PhysicalExpr>>,
    times: Option<u64>,
    after: Duration,
    answer: MockAnswer,
    used: AtomicU64,
}

/// `{name}` holds what has none of `/ ? & #`; `*` anything; everything else is itself.
fn regex_of(pattern: &str) -> Result<(Regex, Vec<String>), String> {
    let (mut regex, mut names) = (String::from("^"), Vec::new());
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        if c == '{'
            && let Some(end) = rest.find('}')
        {
            let name = &rest[1..end];
            if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
                return Err(format!("'{{{name}}}' in the URL is no name"));
            }
            names.push(name.to_string());
            regex.push_str("([^/?&#]*)");
            rest = &rest[end + 1..];
            continue;
        }
        match c {
            '*' => regex.push_str(".*"),
            other => regex.push_str(&regex::escape(&other.to_string())),
        }
        rest = &rest[c.len_utf8()..];
    }
    regex.push('$');
    Regex::new(&regex).map(|regex| (regex, names)).map_err(|e| e.to_string())
}

impl HttpRule {
    pub(super) fn new(stage: &Stage, mock: &Mock, line: u32) -> Result<Self> {
        let MockTarget::Http { method, pattern } = &mock.target else {
            return Err(Error::internal("a mock of something else"));
        };
        let (url, names) = regex_of(&pattern.value).map_err(|e| Error::plan(e).at(pattern.span))?;
        let when = mock.when.as_ref().map(|when| stage.scratch.planner().condition(when, &schema()));
        let columns = format!("WHEN knows the columns {}", COLUMNS.join(", "));
        let when = when.transpose().map_err(|e| if e.hint().is_some() { e } else { e.with_hint(columns) })?;
        Ok(Self {
            line,
            optional: mock.optional,
            method: method.clone(),
            pattern: pattern.value.clone(),
            url,
            names,
            when,
            times: mock.times,
            after: mock.after,
            answer: mock.answer.clone(),
            used: AtomicU64::new(0),
        })
    }

    fn shown(&self) -> String {
        format!("{} {}", self.method, self.pattern)
    }

    /// What is wrong with how often it was called.
    pub(super) fn complaint(&self) -> Option<String> {
        let used = self.used.load(Ordering::SeqCst);
        match self.times {
            Some(times) if used < times && !(self.optional && used == 0) => Some(format!(
                "the mock of {} in line {} was to answer {times} {}, and {used} came",
                self.shown(),
                self.line,
                if times == 1 { "request" } else { "requests" }
            )),
            None if used == 0 && !self.optional => {
                Some(format!("the mock of {} in line {} was never called", self.shown(), self.line))
            }
            _ => None,
        }
    }

    /// The parts of the URL that the pattern names, if the rule is for this request.
    fn matches(&self, request: &RecordBatch) -> Option<Vec<(String, String)>> {
        let text = |column: usize| request.column(column).as_string_view().value(0);
        if text(0) != self.method {
            return None;
        }
        let found = self.url.captures(text(1))?;
        if let Some(when) = &self.when {
            let decided = when.evaluate(request).and_then(|value| value.into_array(1)).ok()?;
            let decided = decided.as_boolean_opt()?;
            if decided.is_null(0) || !decided.value(0) {
                return None;
            }
        }
        let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let part = |(at, name): (usize, &String)| {
            (name.clone(), found.get(at + 1).map(|part| plain(part.as_str())).unwrap_or_default())
        };
        Some(self.names.iter().enumerate().map(part).collect())
    }
}

fn described(request: &Request) -> Result<RecordBatch> {
    let body = request.body().and_then(|body| body.as_bytes());
    let body = body.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let header = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
        format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
    };
    let mut headers: Vec<String> = request.headers().iter().map(header).collect();
    headers.sort();
    let texts =
        [Some(request.method().to_string()), Some(request.url().to_string()), body, Some(headers.join("\n"))];
    let columns = texts.into_iter().map(|text| Arc::new(StringViewArray::from_iter([text])) as ArrayRef);
    Ok(RecordBatch::try_new(schema(), columns.collect())?)
}

/// A response, `{name}` in its body replaced.
fn response(
    status: u16,
    body: &str,
    headers: &[(String, String)],
    parts: &[(String, String)],
) -> Result<Response> {
    let mut text = body.to_string();
    for (name, value) in parts {
        let value = serde_json::Value::from(value.as_str()).to_string();
        // What the body quotes stays valid JSON.
        text = text.replace(&format!("{{{name}}}"), &value[1..value.len() - 1]);
    }
    let mut builder = hyper::http::Response::builder().status(status);
    let typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if !typed && !text.is_empty() {
        builder = builder.header("content-type", "application/json");
    }
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    let response = builder.body(text).map_err(|e| Error::plan(format!("the mocked response: {e}")))?;
    Ok(Response::from(response))
}

impl Wire for Stage {
    fn answer(&self, request: Request, in_call: bool) -> BoxFuture<Result<Response, Fault>> {
        let unexpected = |what: String| -> BoxFuture<Result<Response, Fault>> {
            self.complain(what.clone());
            Box::pin(std::future::ready(Err(Fault::Unexpected(what))))
        };
        let described = match described(&request) {
            Ok(described) => described,
            Err(e) => return unexpected(e.to_string()),
        };
        self.called("", described.clone());
        let (method, url) = (request.method().clone(), request.url().to_string());
        let rules = self.http.lock().clone();
        let mut used_up = None;
        for rule in rules {
            let Some(parts) = rule.matches(&described) else { continue };
            let used = rule.used.load(Ordering::SeqCst);
            if rule.times.is_some_and(|times| used >= times) {
                used_up = used_up.or(Some(rule));
                continue;
            }
            rule.used.fetch_add(1, Ordering::SeqCst);
            let gate = if in_call { self.gate().ok() } else { None };
            return Box::pin(async move {
                if rule.after > Duration::ZERO {
                    let _aside = gate.as_ref().map(|gate| gate.step_aside());
                    tokio::time::sleep(rule.after).await;
                }
                match &rule.answer {
                    MockAnswer::Responds { status, body, headers } => {
                        response(*status, body, headers, &parts).map_err(|e| Fault::Unexpected(e.to_string()))
                    }
                    MockAnswer::Fails { message, .. } => {
                        let why = message.clone().unwrap_or_else(|| "connection refused".to_string());
                        Err(Fault::NoConnection(format!("no connection: {why}")))
                    }
                    _ => {
                        let _aside = gate.as_ref().map(|gate| gate.step_aside());
                        std::future::pending().await
                    }
                }
            });
        }
        unexpected(match used_up {
            Some(rule) => format!(
                "{method} {url} was requested once more: its mock in line {} answers {} {}",
                rule.line,
                rule.times.unwrap_or_default(),
                if rule.times == Some(1) { "request" } else { "requests" }
            ),
            None => format!("{method} {url} was requested, and no mock answers"),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn patterns_name_parts_of_a_url() {
        let (regex, names) = regex_of("http://a.b:80/s/{id}?x={y}&*").unwrap();
        let found = regex.captures("http://a.b:80/s/a%20b?x=1&more=2").unwrap();
        assert_eq!((names, &found[1], &found[2]), (vec!["id".to_string(), "y".to_string()], "a%20b", "1"));
        assert!(!regex.is_match("http://a.b:80/s/a/b?x=1&") && !regex.is_match("http://aXb:80/s/a?x=1&"));
        assert!(regex_of("http://a/{no name}").is_err());
    }
}
