//! What a program can add to its session: each example is a file for itself, which is also shown in the documentation
//! where it belongs.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "embedding/aggregate.rs"]
mod aggregate;
#[path = "embedding/asynchronous.rs"]
mod asynchronous;
#[path = "embedding/call.rs"]
mod call;
#[path = "embedding/format.rs"]
mod format;
#[path = "embedding/lookup.rs"]
mod lookup;
#[path = "embedding/scalar.rs"]
mod scalar;
#[path = "embedding/sink.rs"]
mod sink;
#[path = "embedding/source.rs"]
mod source;
#[path = "embedding/table.rs"]
mod table;

#[test]
fn a_source_is_read() {
    source::main().unwrap();
}

#[test]
fn a_sink_is_written() {
    sink::main().unwrap();
}

#[test]
fn a_format_is_decoded() {
    format::main().unwrap();
}

#[test]
fn a_backend_is_asked() {
    lookup::main().unwrap();
}

#[test]
fn a_scalar_function_is_called() {
    scalar::main().unwrap();
}

#[test]
fn a_table_function_returns_rows() {
    table::main().unwrap();
}

#[test]
fn an_asynchronous_function_is_called() {
    call::main().unwrap();
}

#[test]
fn an_aggregate_function_is_called() {
    aggregate::main().unwrap();
}

#[test]
fn an_asynchronous_program_awaits() {
    asynchronous::main().unwrap();
}

#[test]
fn examples_are_short() {
    for file in std::fs::read_dir("tests/embedding").unwrap() {
        let path = file.unwrap().path();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < 80, "{} has {lines} lines", path.display());
    }
}
