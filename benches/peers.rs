//! The same work by the engines that people would pick, on the same files: CPU an event, and peak memory.
//!
//! ```text
//! cargo bench --bench peers                        all workloads, by every engine that is installed
//! cargo bench --bench peers -- cached duckdb       those whose name has one of these words
//! ROWS=500000 ROUNDS=5 cargo bench --bench peers
//! PYTHON=/venv/bin/python cargo bench --bench peers   where duckdb, polars, datafusion or chdb are installed
//! ```
//! Every engine runs as a process of its own, from its start to its end, with two threads at most; by turns, so that
//! a busy machine is as busy for one as for the other. CPU is user and system time of the process, the median of all
//! rounds. All have to give as many rows as Affluent does. A Markdown table comes out.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const BINARY: &str = env!("CARGO_BIN_EXE_affluent");
const ENGINES: [&str; 6] = ["affluent", "duckdb", "polars", "datafusion", "chdb", "jq"];

struct Workload {
    name: &'static str,
    what: &'static str,
    /// Keys of the events.
    keys: u64,
    /// The query in the common SQL of the engines; `events` and `sensors` are tables or views.
    sql: &'static str,
    /// The same where Affluent's SQL is another.
    affluent: &'static str,
    /// For polars, over lazy frames `events` and `sensors`; none: it has no short form.
    polars: &'static str,
    /// For jq, a record a line.
    jq: &'static str,
}

const WORKLOADS: [Workload; 5] = [
    Workload {
        name: "project",
        what: "filter and compute, JSON to JSON",
        keys: 1000,
        sql: "SELECT \"sensorId\", temperature * 2 AS doubled, status FROM events WHERE temperature > 40",
        affluent: "SELECT sensorId, temperature * 2 AS doubled, status FROM events WHERE temperature > 40",
        polars: "events.filter(pl.col('temperature') > 40).select('sensorId', (pl.col('temperature') * 2).alias('doubled'), 'status')",
        jq: "select(.temperature > 40) | {sensorId, doubled: (.temperature * 2), status}",
    },
    Workload {
        name: "cached",
        what: "enrich by a table of 1,000 sensors, JSON to JSON",
        keys: 1000,
        sql: "SELECT e.*, s.brand, s.country, s.latitude, s.longitude FROM events e LEFT JOIN sensors s ON e.\"sensorId\" = s.id",
        affluent: "SELECT e.sensorId, e.temperature, e.status, e.ts, s.brand, s.country, s.latitude, s.longitude
                   FROM events AS e LEFT JOIN sensors FOR SYSTEM_TIME AS OF e.proc AS s ON e.sensorId = s.id",
        polars: "events.join(sensors, left_on='sensorId', right_on='id', how='left')",
        jq: "",
    },
    Workload {
        name: "tumble",
        what: "windows of 10 s by 1,000 keys",
        keys: 1000,
        sql: "SELECT \"sensorId\", ts // 10000 AS w, COUNT(*) AS n, SUM(temperature) AS t, MAX(temperature) AS m FROM events GROUP BY 1, 2",
        affluent: "SELECT sensorId, window_start, COUNT(*) AS n, SUM(temperature) AS t, MAX(temperature) AS m
                   FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(et), INTERVAL '10' SECOND)) GROUP BY sensorId, window_start, window_end",
        polars: "events.group_by('sensorId', pl.col('ts') // 10000).agg(pl.len().alias('n'), pl.sum('temperature').alias('t'), pl.max('temperature').alias('m'))",
        jq: "",
    },
    Workload {
        name: "group-1k",
        what: "GROUP BY of 1,000 keys",
        keys: 1000,
        sql: "SELECT \"sensorId\", COUNT(*) AS n, SUM(temperature) AS t FROM events GROUP BY 1",
        affluent: "SELECT sensorId, COUNT(*) AS n, SUM(temperature) AS t FROM events GROUP BY sensorId",
        polars: "events.group_by('sensorId').agg(pl.len().alias('n'), pl.sum('temperature').alias('t'))",
        jq: "",
    },
    Workload {
        name: "group-1m",
        what: "GROUP BY of 1,000,000 keys",
        keys: 1_000_000,
        sql: "SELECT \"sensorId\", COUNT(*) AS n, SUM(temperature) AS t FROM events GROUP BY 1",
        affluent: "SELECT sensorId, COUNT(*) AS n, SUM(temperature) AS t FROM events GROUP BY sensorId",
        polars: "events.group_by('sensorId').agg(pl.len().alias('n'), pl.sum('temperature').alias('t'))",
        jq: "",
    },
];

/// What a run took.
#[derive(Clone, Copy)]
struct Run {
    cpu: Duration,
    peak: u64,
    rows: u64,
}

/// The input of a workload.
struct Files {
    events: PathBuf,
    sensors: PathBuf,
}

fn files(folder: &Path, rows: u64, keys: u64) -> std::io::Result<Files> {
    let events = folder.join(format!("events-{rows}-{keys}.jsonl"));
    let sensors = folder.join("sensors.csv");
    if !events.exists() {
        let mut file = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(&events)?);
        for i in 0..rows {
            let hash = i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
            let status = ["OK", "OK", "OK", "WARN", "FAIL"][(hash % 5) as usize];
            writeln!(
                file,
                r#"{{"sensorId":"s{}","temperature":{},"status":"{status}","ts":{}}}"#,
                hash % keys,
                10 + hash % 140,
                1_700_000_000_000u64 + i / 10
            )?;
        }
        file.flush()?;
    }
    if !sensors.exists() {
        let mut text = String::from("id,brand,country,latitude,longitude\n");
        for i in 0..1000u32 {
            let (latitude, longitude) = (f64::from(i % 180) - 89.25, f64::from(i % 360) - 179.5);
            let country = ["DE", "FR", "PL", "US", "JP"][i as usize % 5];
            writeln!(text, "s{i},brand {},{country},{latitude},{longitude}", i % 20).unwrap();
        }
        std::fs::write(&sensors, text)?;
    }
    Ok(Files { events, sensors })
}

fn affluent(work: &Workload, files: &Files, out: &Path) -> String {
    let (events, sensors, out) = (files.events.display(), files.sensors.display(), out.display());
    let columns = match work.name {
        "project" => "sensorId STRING, doubled BIGINT, status STRING",
        "cached" => {
            "sensorId STRING, temperature BIGINT, status STRING, ts BIGINT, brand STRING, country STRING, latitude DOUBLE, longitude DOUBLE"
        }
        "tumble" => "sensorId STRING, w TIMESTAMP(3), n BIGINT, t BIGINT, m BIGINT",
        _ => "sensorId STRING, n BIGINT, t BIGINT",
    };
    let mode = if work.name.starts_with("group") { "batch" } else { "streaming" };
    format!(
        "SET 'parallelism.default' = '2';
         SET 'table.local-time-zone' = 'UTC';
         SET 'execution.runtime-mode' = '{mode}';
         CREATE TABLE events (sensorId STRING, temperature BIGINT, status STRING, ts BIGINT,
             et AS CAST(TO_TIMESTAMP_LTZ(ts, 3) AS TIMESTAMP(3)), proc AS PROCTIME(), WATERMARK FOR et AS et)
           WITH ('connector' = 'filesystem', 'path' = '{events}', 'format' = 'json');
         CREATE TABLE sensors (id STRING, brand STRING, country STRING, latitude DOUBLE, longitude DOUBLE, PRIMARY KEY (id) NOT ENFORCED)
           WITH ('connector' = 'filesystem', 'path' = '{sensors}', 'format' = 'csv', 'csv.header' = 'true');
         CREATE TABLE output ({columns}) WITH ('connector' = 'filesystem', 'path' = '{out}', 'format' = 'json');
         INSERT INTO output {};",
        work.affluent
    )
}

/// The script of an engine in Python; none where the workload has no form for it.
fn python(engine: &str, work: &Workload, files: &Files, out: &Path) -> Option<String> {
    let (events, sensors, out) = (files.events.display(), files.sensors.display(), out.display());
    let sql = work.sql;
    Some(match engine {
        "duckdb" => format!(
            "import duckdb\nc = duckdb.connect()\nc.execute('SET threads = 2')\n\
             c.execute(\"CREATE VIEW events AS SELECT * FROM read_json('{events}', format='newline_delimited', \
             columns={{'sensorId': 'VARCHAR', 'temperature': 'BIGINT', 'status': 'VARCHAR', 'ts': 'BIGINT'}})\")\n\
             c.execute(\"CREATE TABLE sensors AS SELECT * FROM read_csv('{sensors}')\")\n\
             c.execute('''COPY ({sql}) TO '{out}' (FORMAT json)''')\n"
        ),
        "polars" => format!(
            "import os\nos.environ['POLARS_MAX_THREADS'] = '2'\nimport polars as pl\n\
             events = pl.scan_ndjson('{events}', schema={{'sensorId': pl.String, 'temperature': pl.Int64, 'status': pl.String, 'ts': pl.Int64}})\n\
             sensors = pl.scan_csv('{sensors}')\n{}.sink_ndjson('{out}')\n",
            work.polars
        ),
        "datafusion" => format!(
            "from datafusion import SessionContext, SessionConfig\nimport pyarrow as pa\n\
             c = SessionContext(SessionConfig().with_target_partitions(2))\n\
             schema = pa.schema([('sensorId', pa.string()), ('temperature', pa.int64()), ('status', pa.string()), ('ts', pa.int64())])\n\
             c.register_json('events', '{events}', schema=schema, file_extension='.jsonl')\nc.register_csv('sensors', '{sensors}')\n\
             c.sql('''{}''').write_json('{out}')\n",
            sql.replace("//", "/")
        ),
        "chdb" => format!(
            "import chdb\nchdb.query('''SELECT * FROM ({}) INTO OUTFILE '{out}' FORMAT JSONEachRow SETTINGS max_threads = 2''')\n",
            sql.replace("ts // 10000", "intDiv(ts, 10000)")
                .replace(
                    "FROM events",
                    &format!(
                        "FROM file('{events}', 'JSONEachRow', 'sensorId String, temperature Int64, status String, ts Int64') AS"
                    )
                )
                .replace("AS e LEFT", "e LEFT")
                .replace(" AS WHERE", " WHERE")
                .replace(" AS GROUP", " GROUP")
                .replace("JOIN sensors", &format!("JOIN file('{sensors}', 'CSVWithNames')"))
        ),
        _ => return None,
    })
}

/// The command of an engine; none where it does not do the work.
fn command(engine: &str, work: &Workload, files: &Files, folder: &Path) -> Option<Command> {
    let out = folder.join("out");
    let mut command = match engine {
        "affluent" => {
            let script = folder.join("affluent.sql");
            std::fs::write(&script, affluent(work, files, &out)).unwrap();
            let mut command = Command::new(BINARY);
            command.arg("run").arg(script);
            command
        }
        "jq" => {
            if work.jq.is_empty() {
                return None;
            }
            let mut command = Command::new("jq");
            command.arg("-c").arg(work.jq).arg(&files.events);
            command.stdout(std::fs::File::create(&out).unwrap());
            command
        }
        engine => {
            let mut command = Command::new(std::env::var("PYTHON").unwrap_or_else(|_| "python3".into()));
            command.arg("-c").arg(python(engine, work, files, &out)?);
            command
        }
    };
    if engine != "jq" {
        command.stdout(Stdio::null());
    }
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    Some(command)
}

fn is_installed(engine: &str) -> bool {
    let quiet = |command: &mut Command| {
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    match engine {
        "affluent" => true,
        "jq" => quiet(Command::new("jq").arg("--version")),
        module => {
            let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
            quiet(Command::new(python).arg("-c").arg(format!("import {module}")))
        }
    }
}

/// CPU time of a process that has ended and was not waited for, or `None` while it runs.
fn cpu_at_end(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    if fields.first() != Some(&"Z") {
        return None;
    }
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    Some(Duration::from_millis((ticks(11) + ticks(12)) * 10))
}

fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn lines(path: &Path) -> u64 {
    if path.is_dir() {
        return std::fs::read_dir(path).unwrap().map(|entry| lines(&entry.unwrap().path())).sum();
    }
    let Ok(file) = std::fs::File::open(path) else { return 0 };
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut count = 0;
    loop {
        let buffer = reader.fill_buf().unwrap();
        if buffer.is_empty() {
            return count;
        }
        count += buffer.iter().filter(|byte| **byte == b'\n').count() as u64;
        let length = buffer.len();
        reader.consume(length);
    }
}

fn run(mut command: Command, folder: &Path) -> Result<Run, String> {
    let out = folder.join("out");
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let (pid, mut most) = (child.id(), 0);
    let cpu = loop {
        if let Some(cpu) = cpu_at_end(pid) {
            break cpu;
        }
        most = most.max(peak(pid));
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut said = String::new();
    if let Some(stderr) = &mut child.stderr {
        let _ = std::io::Read::read_to_string(stderr, &mut said);
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    let rows = lines(&out);
    if !status.success() {
        return Err(said.lines().last().unwrap_or("it failed").to_string());
    }
    Ok(Run { cpu, peak: most, rows })
}

fn clear(folder: &Path) {
    let out = folder.join("out");
    let _ = std::fs::remove_dir_all(&out);
    let _ = std::fs::remove_file(&out);
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn main() {
    let (rows, rounds) = (number("ROWS", 2_000_000), number("ROUNDS", 3));
    let words: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = |names: &[&str], name: &str| {
        let named: Vec<&String> =
            words.iter().filter(|w| names.iter().any(|n| n.contains(w.as_str()))).collect();
        named.is_empty() || named.iter().any(|w| name.contains(w.as_str()))
    };
    let folder = std::env::temp_dir().join("affluent-peers");
    std::fs::create_dir_all(&folder).unwrap();
    let engines: Vec<&str> = ENGINES
        .into_iter()
        .filter(|engine| *engine == "affluent" || wanted(&ENGINES, engine))
        .filter(|engine| is_installed(engine))
        .collect();
    let names = WORKLOADS.each_ref().map(|work| work.name);
    println!("| workload | engine | µs CPU an event | to Affluent | peak MB |\n|---|---|---|---|---|");
    for work in WORKLOADS.iter().filter(|work| wanted(&names, work.name)) {
        let files = files(&folder, rows, work.keys).unwrap();
        let mut runs: Vec<Result<Vec<Run>, String>> = engines.iter().map(|_| Ok(Vec::new())).collect();
        for _ in 0..rounds {
            for (engine, runs) in engines.iter().zip(&mut runs) {
                let Ok(done) = runs else { continue };
                clear(&folder);
                match command(engine, work, &files, &folder).map(|command| run(command, &folder)) {
                    Some(Ok(run)) => done.push(run),
                    Some(Err(why)) => *runs = Err(why),
                    None => {}
                }
            }
        }
        clear(&folder);
        let median = |runs: &[Run]| {
            let mut sorted = runs.to_vec();
            sorted.sort_by_key(|run| run.cpu);
            sorted.get(sorted.len() / 2).copied()
        };
        let own = runs[0].as_deref().ok().and_then(median);
        println!("| **{}**: {} | | | | |", work.name, work.what);
        for (engine, runs) in engines.iter().zip(&runs) {
            match runs.as_deref().map(median) {
                Ok(Some(run)) => {
                    let micros = run.cpu.as_secs_f64() * 1e6 / rows as f64;
                    let ratio = own.map_or(1.0, |own| run.cpu.as_secs_f64() / own.cpu.as_secs_f64());
                    let rows_differ = own.is_some_and(|own| own.rows != run.rows);
                    let note = if rows_differ { format!(" (gave {} rows)", run.rows) } else { String::new() };
                    println!("| | {engine}{note} | {micros:.3} | {ratio:.2} | {} |", run.peak / 1024);
                }
                Ok(None) => {}
                Err(why) => println!("| | {engine} | {why} | | |"),
            }
        }
    }
}
