//! Paths of SQL/JSON: read once, walked for each document.
//!
//! A path of names and indices alone is walked step by step; one with wildcards or filters is a query whose result is an
//! array. In strict mode a step that leads nowhere is an error, in lax mode it finds nothing.

use std::cell::RefCell;
use std::sync::Arc;

use hashbrown::HashMap;
use serde_json::Value;
use serde_json_path::JsonPath;

use crate::error::{Error, Result};

#[derive(Debug)]
enum Step {
    Name(String),
    Index(i64),
}

#[derive(Debug)]
enum Route {
    Steps(Vec<Step>),
    /// A path with wildcards or filters, and the steps before the first of them.
    Query(Vec<Step>, JsonPath),
    /// What is no path: an error for each document, which ON ERROR is about.
    Wrong(String),
}

#[derive(Debug)]
pub(super) struct Path {
    pub(super) lax: bool,
    route: Route,
}

thread_local! {
    static PATHS: RefCell<HashMap<String, Arc<Path>>> = RefCell::new(HashMap::new());
}

pub(super) fn compiled(text: &str) -> Result<Arc<Path>> {
    PATHS.with_borrow_mut(|paths| {
        if let Some(path) = paths.get(text) {
            return Ok(Arc::clone(path));
        }
        let path = Arc::new(
            Path::parse(text).unwrap_or_else(|e| Path { lax: false, route: Route::Wrong(e.to_string()) }),
        );
        if paths.len() >= 256 {
            paths.clear();
        }
        paths.insert(text.to_string(), Arc::clone(&path));
        Ok(path)
    })
}

impl Path {
    fn parse(text: &str) -> Result<Self> {
        let spec = text.trim();
        let mode = spec.split_whitespace().next().unwrap_or("").to_ascii_lowercase();
        let (lax, spec) = match mode.as_str() {
            "lax" => (true, spec[3..].trim()),
            "strict" => (false, spec[6..].trim()),
            _ => (false, spec),
        };
        // A path without its root begins there: `name` is `$.name`, as in Flink.
        let rooted;
        let spec = match spec.starts_with(['$', '@']) || spec.is_empty() {
            true => spec,
            false => {
                rooted = format!("$.{spec}");
                rooted.as_str()
            }
        };
        let route = match steps(spec) {
            Some(steps) => Route::Steps(steps),
            None => {
                let end = ["[*", ".*", "..", "[?"].iter().filter_map(|w| spec.find(w)).min();
                let before = end.and_then(|end| steps(&spec[..end])).unwrap_or_default();
                let query = JsonPath::parse(spec).map_err(|e| {
                    Error::execution("the JSON path is not valid")
                        .with_detail(format!("'{text}': {e}"))
                        .with_hint("a path looks like $.name[0] or lax $.name")
                })?;
                Route::Query(before, query)
            }
        };
        Ok(Self { lax, route })
    }
}

/// The steps of a path of names and indices alone.
fn steps(spec: &str) -> Option<Vec<Step>> {
    let mut rest = spec.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix(".[") {
            // `$.['name']` is `$['name']`.
            rest = &rest[rest.len() - tail.len() - 1..];
        } else if let Some(name) = rest.strip_prefix(".\"") {
            let (name, tail) = name.split_once('"')?;
            if name.contains('\\') {
                return None;
            }
            steps.push(Step::Name(name.to_string()));
            rest = tail;
        } else if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (name, tail) = name.split_at(end);
            if name.is_empty() || name.contains(['*', '(', '?', ' ', '\'', '"']) {
                return None;
            }
            steps.push(Step::Name(name.to_string()));
            rest = tail;
        } else {
            let inner = rest.strip_prefix('[')?;
            let quote = inner.chars().next()?;
            if matches!(quote, '\'' | '"') {
                let (name, tail) = inner[1..].split_once(quote)?;
                if name.contains('\\') {
                    return None;
                }
                steps.push(Step::Name(name.to_string()));
                rest = tail.strip_prefix(']')?;
            } else {
                let (index, tail) = inner.split_once(']')?;
                steps.push(Step::Index(index.trim().parse().ok()?));
                rest = tail;
            }
        }
    }
    Some(steps)
}

/// What a path found.
pub(super) enum Found {
    Value(Value),
    Null,
    Empty,
    Error(String),
}

/// The value that a step leads to.
fn step<'v>(step: &Step, at: &'v Value) -> Option<&'v Value> {
    match (step, at) {
        (Step::Name(name), Value::Object(members)) => members.get(name),
        (Step::Index(i), Value::Array(items)) => {
            let i = if *i < 0 { items.len() as i64 + i } else { *i };
            usize::try_from(i).ok().and_then(|i| items.get(i))
        }
        _ => None,
    }
}

fn reaches(value: &Value, steps: &[Step]) -> bool {
    steps.iter().try_fold(value, |at, s| step(s, at)).is_some()
}

pub(super) fn find(document: &str, path: &Path) -> Found {
    let value = match serde_json::from_str::<Value>(document) {
        Ok(value) => value,
        Err(_) if path.lax => return Found::Empty,
        Err(e) => return Found::Error(format!("the document is not JSON: {e}")),
    };
    match &path.route {
        Route::Wrong(why) => Found::Error(why.clone()),
        // Where the steps before a wildcard lead nowhere, nothing is found; a wildcard itself finds an array, be it empty.
        Route::Query(before, _) if !reaches(&value, before) => match path.lax {
            true => Found::Empty,
            false => Found::Error("the path leads nowhere".into()),
        },
        Route::Query(_, query) => {
            Found::Value(Value::Array(query.query(&value).all().into_iter().cloned().collect()))
        }
        Route::Steps(steps) => {
            let mut at = value;
            for step in steps {
                let next = match (step, &mut at) {
                    (Step::Name(name), Value::Object(members)) => members.get_mut(name).map(Value::take),
                    (Step::Index(i), Value::Array(items)) => {
                        let i = if *i < 0 { items.len() as i64 + i } else { *i };
                        usize::try_from(i).ok().and_then(|i| items.get_mut(i)).map(Value::take)
                    }
                    _ => None,
                };
                at = match next {
                    Some(next) => next,
                    None if path.lax => return Found::Empty,
                    None => return Found::Error("the path leads nowhere".into()),
                };
            }
            if at.is_null() { Found::Null } else { Found::Value(at) }
        }
    }
}
