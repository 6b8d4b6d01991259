//! What a call of a user's function costs: a job over generated rows with the function, less the same job without it.
//!
//! `cargo bench --bench functions [FILTER]`; `PYTHON=/venv/bin/python` for the NumPy and pandas rows.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use affluent::{Response, Session, udf};

struct Case {
    name: &'static str,
    rows: usize,
    setup: String,
    call: &'static str,
    /// The column that the function gets.
    column: &'static str,
}

fn session(rows: usize) -> Session {
    let session = Session::new().unwrap();
    session.set("parallelism.default", "1").unwrap();
    session.set("table.dml-sync", "true").unwrap();
    session
        .sql(&format!(
            "CREATE TABLE source (n BIGINT, d DOUBLE, s STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '{rows}',
               'rows-per-second' = '1000000000', 'fields.n.min' = '0', 'fields.n.max' = '1000000',
               'fields.s.length' = '30');
             CREATE TABLE gone_n (v BIGINT) WITH ('connector' = 'blackhole');
             CREATE TABLE gone_d (v DOUBLE) WITH ('connector' = 'blackhole');
             CREATE TABLE gone_s (v STRING) WITH ('connector' = 'blackhole');"
        ))
        .unwrap();
    session
}

/// The best of some runs of a job.
fn best(session: &Session, column: &str, expression: &str) -> Duration {
    let sql = format!("INSERT INTO gone_{column} SELECT {expression} FROM source");
    let once = || {
        let start = Instant::now();
        match session.sql(&sql).unwrap() {
            Response::Job(job) => job.result().unwrap(),
            other => panic!("{other:?}"),
        }
        start.elapsed()
    };
    (0..3).map(|_| once()).min().unwrap()
}

fn main() {
    let filter: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let js = |name: &str, body: &str, t: &str| {
        format!("CREATE FUNCTION {name}(x {t}) RETURNS {t} LANGUAGE JAVASCRIPT AS $$ {body} $$;")
    };
    let py = |name: &str, code: &str, t: &str| {
        format!(
            "CREATE FUNCTION {name}(x {t}) RETURNS {t} LANGUAGE PYTHON AS $$\n{code}\n$$ WITH ('python' = '{python}');"
        )
    };
    let mask = "(s) => s[0] + '***' + s.slice(10)";
    let cases = [
        Case {
            name: "sql integer",
            rows: 5_000_000,
            setup: "CREATE FUNCTION f(x BIGINT) RETURNS BIGINT RETURN x * 2 + 1;".into(),
            call: "f(n)",
            column: "n",
        },
        Case { name: "rust integer", rows: 5_000_000, setup: String::new(), call: "rust_n(n)", column: "n" },
        Case { name: "rust text", rows: 2_000_000, setup: String::new(), call: "rust_s(s)", column: "s" },
        Case {
            name: "wasm integer",
            rows: 5_000_000,
            setup: "CREATE FUNCTION f(x BIGINT) RETURNS BIGINT LANGUAGE WASM AS $$ (module (func (export \"f\") (param i64) (result i64)
                      (i64.add (i64.mul (local.get 0) (i64.const 2)) (i64.const 1)))) $$;"
                .into(),
            call: "f(n)",
            column: "n",
        },
        Case {
            name: "wasm text",
            rows: 2_000_000,
            setup: "CREATE FUNCTION f(x STRING) RETURNS STRING LANGUAGE WASM AS 'mask' USING FILE 'udfs/wasm/mask.wasm';".into(),
            call: "f(s)",
            column: "s",
        },
        Case {
            name: "javascript integer",
            rows: 1_000_000,
            setup: js("f", "return x * 2 + 1", "BIGINT"),
            call: "f(n)",
            column: "n",
        },
        Case {
            name: "javascript text",
            rows: 500_000,
            setup: js("f", &format!("return ({mask})(x)"), "STRING"),
            call: "f(s)",
            column: "s",
        },
        Case {
            name: "javascript async",
            rows: 100_000,
            setup: js("f", "await null; return x * 2 + 1", "BIGINT"),
            call: "f(n)",
            column: "n",
        },
        Case {
            name: "python rows",
            rows: 1_000_000,
            setup: py("f", "def f(x): return x * 2 + 1", "BIGINT"),
            call: "f(n)",
            column: "n",
        },
        Case {
            name: "python text",
            rows: 500_000,
            setup: py("f", "def f(x): return x[0] + '***' + x[10:]", "STRING"),
            call: "f(s)",
            column: "s",
        },
        Case {
            name: "python numpy",
            rows: 2_000_000,
            setup: py("f", "import numpy as np\ndef f(x: np.ndarray): return x * 2 + 1", "BIGINT"),
            call: "f(n)",
            column: "n",
        },
        Case {
            name: "python pandas",
            rows: 2_000_000,
            setup: py("f", "import pandas as pd\ndef f(x: pd.Series): return x * 2 + 1", "BIGINT"),
            call: "f(n)",
            column: "n",
        },
    ];
    println!("{:<20} {:>10} {:>12}", "function", "rows", "ns per row");
    for case in cases {
        if !filter.is_empty() && !filter.iter().any(|f| case.name.contains(f.as_str())) {
            continue;
        }
        let session = session(case.rows);
        session.add_function(udf::scalar("rust_n", |x: i64| x * 2 + 1)).unwrap();
        session.add_function(udf::scalar("rust_s", |x: &str| format!("{}***{}", &x[..1], &x[10..]))).unwrap();
        if let Err(e) = session.sql(&case.setup) {
            println!("{:<20} {:>10} {e}", case.name, "-");
            continue;
        }
        let base = best(&session, case.column, case.column);
        let with = best(&session, case.column, case.call);
        let cost = with.saturating_sub(base).as_nanos() as f64 / case.rows as f64;
        println!("{:<20} {:>10} {cost:>12.1}", case.name, case.rows);
    }
}
