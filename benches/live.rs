//! What a stream costs that is not at its limit: CPU a row, and the time from source to sink, by rate.
//!
//! `cargo bench --bench live [RATE ...]`; rates are rows a second, by default 10, 1,000, 10,000, 50,000 and 200,000.
//!
//! One paced source feeds two INSERTs with checkpoints of a second, an enrichment by a table in memory and a window. CPU
//! is user and system time of this process; beside it that of the same rows as fast as they come.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::time::Duration;

use affluent::{Response, Session};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SECONDS: u64 = 8;

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

struct Run {
    cpu: Duration,
    p50: u64,
    p99: u64,
}

fn run(folder: &Path, rate: u64, rows: u64, timeout: &str) -> Run {
    let session = Session::new().unwrap();
    let place = folder.display();
    for (key, value) in [
        ("parallelism.default", "1"),
        ("table.dml-sync", "true"),
        ("execution.checkpointing.interval", "1 s"),
        ("execution.checkpointing.dir", &folder.join("checkpoints").display().to_string()),
        ("execution.buffer-timeout", timeout),
    ] {
        session.set(key, value).unwrap();
    }
    session
        .sql(&format!(
            "CREATE TABLE events (id BIGINT, v DOUBLE, proc AS PROCTIME(), et TIMESTAMP(3),
               WATERMARK FOR et AS et - INTERVAL '1' SECOND)
               WITH ('connector' = 'datagen', 'number-of-rows' = '{rows}', 'rows-per-second' = '{rate}',
                     'fields.id.min' = '0', 'fields.id.max' = '999');
             CREATE TABLE dim (id BIGINT, name STRING, w DOUBLE)
               WITH ('connector' = 'filesystem', 'path' = '{place}/dim.csv', 'format' = 'csv');
             CREATE TABLE enriched (id BIGINT, v DOUBLE, name STRING, w DOUBLE)
               WITH ('connector' = 'filesystem', 'path' = '{place}/enriched', 'format' = 'json');
             CREATE TABLE counted (id BIGINT, w TIMESTAMP(3), n BIGINT, s DOUBLE)
               WITH ('connector' = 'filesystem', 'path' = '{place}/counted', 'format' = 'json');"
        ))
        .unwrap();
    let before = cpu();
    let response = session
        .sql(
            "EXECUTE STATEMENT SET BEGIN
               INSERT INTO enriched SELECT e.id, e.v, d.name, d.w
                 FROM events AS e LEFT JOIN dim FOR SYSTEM_TIME AS OF e.proc AS d ON e.id = d.id;
               INSERT INTO counted SELECT id, window_start, COUNT(*), SUM(v)
                 FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(et), INTERVAL '1' SECOND))
                 GROUP BY id, window_start, window_end;
             END;",
        )
        .unwrap();
    let Response::Job(job) = response else { panic!("INSERT gives a job") };
    job.result().unwrap();
    Run { cpu: cpu() - before, p50: job.metrics.latency_micros(0.5), p99: job.metrics.latency_micros(0.99) }
}

fn main() {
    let folder = std::env::temp_dir().join(format!("affluent-live-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let dim: String = (0..1000).map(|i| format!("{i},name{i},{}\n", f64::from(i) / 2.0)).collect();
    std::fs::write(folder.join("dim.csv"), dim).unwrap();
    let given: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let rates = if given.is_empty() { vec![10, 1_000, 10_000, 50_000, 200_000] } else { given };
    let clear = || {
        for part in ["checkpoints", "enriched", "counted"] {
            let _ = std::fs::remove_dir_all(folder.join(part));
        }
    };
    println!(
        "| rows/s | µs CPU a row, 1 ms | 0 ms | as fast as they come | p50 ms | p99 ms |\n|---|---|---|---|---|---|"
    );
    for rate in rates {
        let rows = rate * SECONDS;
        let each = |rate: u64, timeout: &str| {
            clear();
            let run = run(&folder, rate, rows, timeout);
            (run.cpu.as_secs_f64() * 1e6 / rows as f64, run)
        };
        let (paced, run) = each(rate, "1 ms");
        let (at_once, _) = each(rate, "0 ms");
        let (fast, _) = each(0, "1 ms");
        let millis = |micros: u64| micros as f64 / 1000.0;
        println!(
            "| {rate} | {paced:.2} | {at_once:.2} | {fast:.2} | {:.2} | {:.2} |",
            millis(run.p50),
            millis(run.p99)
        );
    }
    clear();
    let _ = std::fs::remove_dir_all(&folder);
}
