//! State ten times as large as the memory it may take.
//!
//! Each query runs three times as a process of its own: over few keys (what the process takes without state), over many
//! keys without a limit, and with a limit of a tenth of what the state took then. Prints the limit, how much more than
//! without state the process took at most (`held` is that in parts of the limit), and how much longer it ran. The goals
//! are 1.25 and 3. Needs `/proc`.
//!
//! `BENCH_KEYS` is how many keys there are (2,000,000), `BENCH_ONLY` which queries.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const QUERIES: &[(&str, &str)] = &[
    ("groups", "INSERT INTO out SELECT k, COUNT(*), SUM(v) FROM a GROUP BY k"),
    ("distinct", "INSERT INTO out SELECT k, 1, 1 FROM a GROUP BY k"),
    (
        "tumble",
        "INSERT INTO out SELECT k, COUNT(*), SUM(v) FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY k, window_start, window_end",
    ),
    (
        "deduplicate",
        "INSERT INTO out SELECT k, v, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY PROCTIME()) AS n FROM a) WHERE n = 1",
    ),
    (
        "top_n",
        "INSERT INTO out SELECT k, v, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS n FROM a) WHERE n <= 2",
    ),
    (
        "over",
        "INSERT INTO out SELECT k, COUNT(*) OVER w, SUM(v) OVER w FROM a WINDOW w AS (PARTITION BY k ORDER BY ts)",
    ),
    ("join", "INSERT INTO out SELECT a.k, a.v, b.v FROM a JOIN b ON a.k = b.k"),
    (
        "interval_join",
        "INSERT INTO out SELECT a.k, a.v, b.v FROM a JOIN b ON a.k = b.k AND a.ts BETWEEN b.ts - INTERVAL '1' HOUR AND b.ts + INTERVAL '1' HOUR",
    ),
    (
        "window_join",
        "INSERT INTO out SELECT a.k, a.v, b.v FROM (SELECT * FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '1' DAY))) a JOIN (SELECT * FROM TABLE(TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '1' DAY))) b ON a.k = b.k AND a.window_start = b.window_start AND a.window_end = b.window_end",
    ),
];

/// Peak of the memory and time of a run.
fn run(query: &str, keys: u64, rows: u64, limit: &str) -> Result<(u64, Duration), String> {
    let table = |name: &str| {
        format!(
            "CREATE TABLE {name} (k BIGINT, v BIGINT, ts AS TIMESTAMP '2024-01-01 00:00:00', WATERMARK FOR ts AS ts) \
             WITH ('connector' = 'datagen', 'number-of-rows' = '{rows}', 'rows-per-second' = '1000000000', \
             'fields.k.min' = '0', 'fields.k.max' = '{keys}', 'fields.v.min' = '0', 'fields.v.max' = '1000000');\n"
        )
    };
    let script = format!(
        "SET 'affluent.state.memory-limit' = '{limit}';\n{}{}CREATE TABLE out (k BIGINT, x BIGINT, y BIGINT) WITH ('connector' = 'blackhole');\n{query};\n",
        table("a"),
        table("b")
    );
    let path = std::env::temp_dir().join(format!("affluent-bench-memory-{}.sql", std::process::id()));
    std::fs::write(&path, script).map_err(|e| e.to_string())?;
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_affluent"))
        .args(["run", "-q"])
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|e| e.to_string())?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let bytes = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        peak = peak.max(bytes.unwrap_or(0) * 1024);
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let took = begun.elapsed();
    let _ = std::fs::remove_file(&path);
    if ended.success() { Ok((peak, took)) } else { Err(format!("{ended}")) }
}

fn main() -> Result<(), String> {
    let keys: u64 = std::env::var("BENCH_KEYS").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000_000);
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    println!(
        "{:14} {:>9} {:>9} {:>9} {:>6} {:>6}",
        "query", "state MB", "limit MB", "took MB", "held", "time"
    );
    for (name, query) in QUERIES.iter().filter(|(name, _)| name.contains(&only)) {
        let rows = keys * 2;
        let (none, _) = run(query, 1000, 20_000, "1000 gb")?;
        let (whole, quick) = run(query, keys, rows, "1000 gb")?;
        let state = whole.saturating_sub(none).max(1 << 20);
        let limit = state / 10;
        let (held, slow) = run(query, keys, rows, &format!("{limit} b"))?;
        let held = held.saturating_sub(none);
        let mb = |bytes: u64| bytes as f64 / 1e6;
        println!(
            "{name:14} {:9.1} {:9.1} {:9.1} {:6.2} {:6.2}",
            mb(state),
            mb(limit),
            mb(held),
            held as f64 / limit as f64,
            slow.as_secs_f64() / quick.as_secs_f64()
        );
    }
    Ok(())
}
