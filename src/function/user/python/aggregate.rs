//! Aggregate functions in Python: a worker for each thread that aggregates; the state goes in and out as JSON.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use serde_json::{Value, json};

use super::super::frames::{self, Reader};
use super::super::{OnError, UserFunction};
use super::PythonFunction;
use super::process::{Process, READY, RESULT, STEP};
use crate::error::{Error, Result};

thread_local! {
    static WORKERS: RefCell<HashMap<u64, Process>> = RefCell::default();
}

/// One step; the answer's frame.
fn exchange(
    python: &PythonFunction,
    function: &UserFunction,
    arguments: &[ArrayRef],
    request: &Value,
    zone: &str,
) -> Result<(u32, Vec<u8>)> {
    let mut payload = Vec::new();
    frames::write_bytes(&mut payload, request.to_string().as_bytes());
    if request.get("step").and_then(Value::as_str) == Some("accumulate") {
        frames::write_number(&mut payload, arguments.first().map_or(0, |a| a.len()));
        for argument in arguments {
            frames::write(&mut payload, argument)?;
        }
    }
    let known = WORKERS.with(|all| all.borrow_mut().remove(&python.id));
    let mut process = match known {
        Some(process) => process,
        None => {
            let kinds = function.parameters.iter().map(|p| frames::kind(&p.data_type.to_arrow(zone)));
            let kinds = kinds.collect::<Result<Vec<_>>>()?;
            let result = frames::kind(&function.returns.computed().to_arrow(zone))?;
            let init = python.init(&kinds, result, false);
            Process::start(&function.name, python, &init).map_err(|e| python.load_error(e))?.0
        }
    };
    let rows = u32::try_from(arguments.first().map_or(1, |a| a.len().max(1))).unwrap_or(u32::MAX);
    let within = python.limit.saturating_mul(rows).saturating_add(Duration::from_secs(5));
    match process.exchange(STEP, 1, &payload, within) {
        Ok((kind, _, payload)) => {
            WORKERS.with(|all| all.borrow_mut().insert(python.id, process));
            Ok((kind, payload))
        }
        Err(_) => Err(Error::execution(format!(
            "function '{}' failed: its worker died: {}",
            function.name,
            process.life.epitaph()
        ))),
    }
}

fn said(function: &UserFunction, payload: &[u8]) -> Error {
    let said: Value = serde_json::from_slice(payload).unwrap_or_default();
    let why = said.get(0).and_then(Value::as_str).unwrap_or("it failed");
    Error::execution(format!("function '{}' failed: {why}", function.name))
}

/// A step whose answer is a state; one that fails keeps the state before it where errors are NULL.
pub fn step(
    python: &PythonFunction,
    function: &UserFunction,
    step: &str,
    state: Option<&str>,
    other: Option<&str>,
    arguments: &[ArrayRef],
) -> Result<String> {
    let request = json!({ "step": step, "state": state, "other": other });
    let (kind, payload) = exchange(python, function, arguments, &request, "UTC")?;
    if kind == READY {
        return Ok(serde_json::from_slice(&payload).unwrap_or_default());
    }
    let error = said(function, &payload);
    match (function.on_error, state) {
        (OnError::Null, Some(state)) if step == "accumulate" => {
            function.count_failure(&error);
            Ok(state.to_string())
        }
        _ => Err(error),
    }
}

/// The result of a state.
pub fn finish(
    python: &PythonFunction,
    function: &UserFunction,
    state: &str,
    result: &DataType,
) -> Result<ArrayRef> {
    let request = json!({ "step": "finish", "state": state });
    let (kind, payload) = exchange(python, function, &[], &request, "UTC")?;
    let failed = if kind == RESULT {
        let mut reader = Reader::new(&payload);
        reader.number()?;
        let value = reader.column(result, 1)?;
        let failures: Vec<Value> = serde_json::from_slice(reader.bytes()?).unwrap_or_default();
        let Some(first) = failures.first() else { return Ok(value) };
        let why = first.get(1).and_then(Value::as_str).unwrap_or("it failed").to_string();
        Error::execution(format!("function '{}' failed: {why}", function.name))
    } else {
        said(function, &payload)
    };
    if function.on_error == OnError::Null {
        function.count_failure(&failed);
        return Ok(arrow::array::new_null_array(result, 1));
    }
    Err(failed)
}
