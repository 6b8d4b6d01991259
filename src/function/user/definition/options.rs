//! Options of CREATE FUNCTION.

use super::super::web;
use crate::catalog::options::{OptionDef, OptionKind};

/// Options of functions.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::new(
        "timeout",
        OptionKind::Duration,
        "1 s; 3 min for functions that wait",
        "for one row; of a function that waits with queueing and retries",
    ),
    OptionDef::new("memory-limit", OptionKind::Size, "64 mb", "memory of one instance; each task has one"),
    OptionDef::new(
        "bigint",
        OptionKind::Choice(&["number", "bigint"]),
        "number",
        "what JavaScript gets for BIGINT",
    ),
    OptionDef::new(
        "async",
        OptionKind::Bool,
        "",
        "whether the function is asynchronous; checked against the code",
    ),
    OptionDef::new(
        "batch",
        OptionKind::Integer,
        "1",
        "rows that one call takes at most; above 1 each argument is an array, and an array of results comes back",
    ),
    OptionDef::new(
        web::ALLOW_HOSTS,
        OptionKind::Text,
        "",
        "hosts that fetch may ask, with commas between: names, '*.suffix', 'host:port', addresses; private ones only if named",
    ),
    OptionDef::new(
        "header.*",
        OptionKind::Text,
        "",
        "a header that the engine sends to these hosts; the code does not see it: 'header.Authorization' = 'Bearer ${TOKEN}'",
    ),
    OptionDef::new(
        "secret.*",
        OptionKind::Text,
        "",
        "a value that the code finds as secrets.NAME, where a header does not do: 'secret.SALT' = '${SALT}'",
    ),
    OptionDef::new(
        RELOAD,
        OptionKind::Choice(&["never", "on-change"]),
        "never",
        "on-change: when its file is edited, calls of running jobs go to the new code, if that loads with the same signature",
    ),
    OptionDef::new(
        "python",
        OptionKind::Text,
        "",
        "the interpreter, or the folder of a virtual environment; default: python.executable, the active environment, .venv beside the file, python3",
    ),
    OptionDef::new(
        "workers",
        OptionKind::Integer,
        "",
        "processes of a function in Python; default: as many as tasks, of an async function 1",
    ),
    OptionDef::new("env", OptionKind::Text, "", "variables that a Python worker gets, with commas between"),
    OptionDef::new("capacity", OptionKind::Integer, "256", "calls in flight per task"),
    OptionDef::new(
        "output-mode",
        OptionKind::Choice(&["ordered", "allow_unordered"]),
        "ordered",
        "output order of calls that wait",
    ),
];

/// Option that has files watched.
pub(super) const RELOAD: &str = "reload";
/// Options that give values to code begin so.
pub(super) const SECRET: &str = "secret.";

/// Options of functions in Python.
pub(super) const PYTHON: [&str; 3] = ["python", "workers", "env"];

/// Options that only functions have whose calls wait.
pub(super) fn waits_only(key: &str) -> bool {
    let own = [web::ALLOW_HOSTS, "capacity", "output-mode", "batch", RELOAD];
    own.contains(&key)
        || key.starts_with(web::HEADER)
        || (key.starts_with("lookup.") && key != "lookup.on-error")
}
