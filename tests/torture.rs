//! Kills the program at random moments and runs it again until it has finished: no row may be lost or there twice.
//!
//! | variable | meaning |
//! |---|---|
//! | `TORTURE_KILLS` | kills, instead of 500 |
//! | `TORTURE_WORKERS` | pipelines that are tortured side by side, instead of 3 |
//! | `TORTURE_SEED` | other rows and moments |
//! | `TORTURE_ONLY` | pipelines whose names contain this |
//! | `TORTURE_PATIENCE` | seconds after which a run hangs, instead of 120 |
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[path = "torture/edges.rs"]
mod edges;
#[path = "torture/limits.rs"]
mod limits;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A run that takes longer hangs.
static PATIENCE: LazyLock<Duration> =
    LazyLock::new(|| Duration::from_secs(variable("TORTURE_PATIENCE", 120) as u64));

/// Kills of one pipeline before it is let run to its end.
const KILLS: usize = 30;

fn variable(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// The program's own service, on a free port.
struct Api {
    child: Child,
    address: String,
}

impl Api {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
        command.args(["sensor-api", "--port", "0", "--sensors", "200", "--missing-share", "0.1"]);
        command.args(["--latency", "4ms", "--slow-share", "0.02", "--slow-latency", "60ms"]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stderr.read_line(&mut line).unwrap();
        let address =
            line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap().to_string();
        // Nobody else reads it, and it must not fill up.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self { child, address }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is done with the rows.
struct Pipeline {
    name: &'static str,
    /// Format of the sink.
    format: &'static str,
    columns: &'static str,
    query: &'static str,
}

/// `${...}` is filled in. Readings come in three files, orders in two.
const TABLES: &str = "
SET 'table.local-time-zone' = 'UTC';
SET 'parallelism.default' = '${TASKS}';
SET 'execution.checkpointing.interval' = '${INTERVAL}';
SET 'execution.checkpointing.dir' = '${CHECKPOINTS}';
SET 'table.exec.async-lookup.buffer-capacity' = '8';
CREATE TABLE readings (id BIGINT, sensor STRING, v BIGINT, ts TIMESTAMP(3),
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/readings', 'format' = 'json');
CREATE TABLE orders (id BIGINT, sensor STRING, w BIGINT, ts TIMESTAMP(3),
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
  WITH ('connector' = 'filesystem', 'path' = '${DATA}/orders', 'format' = 'json');
CREATE TABLE sensors (id STRING, brand STRING, countryCode STRING, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'http', 'url' = 'http://${API}/sensors/{id}', 'format' = 'json');
";

const PIPELINES: &[Pipeline] = &[
    Pipeline {
        name: "enriched",
        format: "json",
        columns: "id BIGINT, sensor STRING, v BIGINT, brand STRING, country STRING",
        query: "SELECT r.id, r.sensor, r.v, s.brand, s.countryCode FROM readings AS r LEFT JOIN sensors AS s ON r.sensor = s.id",
    },
    Pipeline {
        name: "windows",
        format: "json",
        columns: "brand STRING, ws TIMESTAMP(3), n BIGINT, sv BIGINT, mv BIGINT",
        query: "SELECT brand, window_start, COUNT(*), SUM(v), MAX(v) FROM TABLE(TUMBLE(
            (SELECT r.ts, r.v, s.brand FROM readings AS r LEFT JOIN sensors AS s ON r.sensor = s.id),
            DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY brand, window_start, window_end",
    },
    Pipeline {
        name: "joins",
        format: "json",
        columns: "id BIGINT, oid BIGINT, brand STRING",
        query: "SELECT r.id, o.id, s.brand FROM readings AS r JOIN orders AS o ON r.sensor = o.sensor
            AND r.ts BETWEEN o.ts - INTERVAL '4' SECOND AND o.ts + INTERVAL '3' SECOND
            JOIN sensors AS s ON r.sensor = s.id",
    },
    Pipeline {
        name: "changes",
        format: "debezium-json",
        columns: "sensor STRING, brand STRING, n BIGINT, w BIGINT",
        query: "SELECT g.sensor, s.brand, g.n, o.w FROM
            (SELECT sensor, COUNT(*) AS n FROM readings GROUP BY sensor) AS g
            LEFT JOIN (SELECT sensor, SUM(w) AS w FROM orders GROUP BY sensor) AS o ON g.sensor = o.sensor
            LEFT JOIN sensors AS s ON g.sensor = s.id",
    },
];

impl Pipeline {
    /// Whether its state can be given to another number of tasks. A lookup join on a changing input cannot: its rows
    /// have lost the key that they are dealt by.
    fn moves(&self) -> bool {
        self.name != "changes"
    }

    fn script(&self) -> String {
        format!(
            "{TABLES}CREATE TABLE enriched ({}) WITH ('connector' = 'filesystem', 'path' = '${{OUT}}', 'format' = '{}');\n\
             INSERT INTO enriched {};\n",
            self.columns, self.format, self.query
        )
    }
}

/// Files with rows, made from a seed.
fn make_data(folder: &Path, random: &mut StdRng, rows: usize) {
    for (table, number, files) in [("readings", "v", 3), ("orders", "w", 2)] {
        fs::create_dir_all(folder.join(table)).unwrap();
        for file in 0..files {
            let (mut at, mut text) = (0i64, String::new());
            for row in 0..rows / files {
                at += random.random_range(0..40);
                let ts = at - random.random_range(0..3_000);
                let (minutes, seconds, millis) =
                    ((ts + 60_000) / 60_000, (ts + 60_000) / 1000 % 60, (ts + 60_000) % 1000);
                let _ = writeln!(
                    text,
                    "{{\"id\":{},\"sensor\":\"{}\",\"{number}\":{},\"ts\":\"2024-01-01 10:{minutes:02}:{seconds:02}.{millis:03}\"}}",
                    row * files + file,
                    random.random_range(0..220),
                    random.random_range(0..1000)
                );
            }
            fs::write(folder.join(table).join(format!("{file}.jsonl")), text).unwrap();
        }
    }
}

/// A folder with rows, a script, checkpoints and results.
struct Place {
    folder: PathBuf,
    api: String,
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn command(&self, script: &str, out: &str, tasks: usize, interval: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
        let variables = [
            ("API", self.api.clone()),
            ("DATA", self.path("data").display().to_string()),
            ("OUT", self.path(out).display().to_string()),
            ("CHECKPOINTS", self.path(&format!("checkpoints-{out}")).display().to_string()),
            ("TASKS", tasks.to_string()),
            ("INTERVAL", interval.to_string()),
        ];
        command.arg("run").arg(self.path(script));
        for (name, value) in variables {
            command.arg("--var").arg(format!("{name}={value}"));
        }
        command.env("TZ", "UTC").stdin(Stdio::null()).stdout(Stdio::null());
        command
            .stderr(fs::OpenOptions::new().create(true).append(true).open(self.path("stderr.txt")).unwrap());
        command
    }

    fn said(&self) -> String {
        let text = fs::read_to_string(self.path("stderr.txt")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Lines of all files that a reader of the folder sees.
    fn rows(&self, out: &str) -> Vec<String> {
        let mut rows = Vec::new();
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.path(out)).map_or(Vec::new(), |all| all.map(|e| e.unwrap().path()).collect());
        files.sort();
        for file in files {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            if !name.starts_with(['.', '_']) && file.is_file() {
                rows.extend(fs::read_to_string(&file).unwrap().lines().map(str::to_string));
            }
        }
        rows
    }

    /// Whether there is a checkpoint.
    fn has_checkpoint(&self, out: &str) -> bool {
        !manifests(&self.path(&format!("checkpoints-{out}"))).is_empty()
    }
}

/// The manifests below a folder, the oldest first.
fn manifests(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(manifests(&path));
        } else if path.parent().is_some_and(|p| p.ends_with("manifests"))
            && path.file_name().is_some_and(|n| n.to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What counts of the rows: those that are left, sorted.
fn essence(format: &str, rows: Vec<String>) -> Vec<String> {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for row in rows {
        if format == "json" {
            *counts.entry(row).or_default() += 1;
            continue;
        }
        let value: serde_json::Value = serde_json::from_str(&row).unwrap_or_else(|e| panic!("{row}: {e}"));
        for (side, by) in [("before", -1), ("after", 1)] {
            if !value[side].is_null() {
                *counts.entry(value[side].to_string()).or_default() += by;
            }
        }
    }
    counts.retain(|_, count| *count != 0);
    let mut rows: Vec<String> = counts.into_iter().map(|(row, count)| format!("{count} × {row}")).collect();
    rows.sort();
    rows
}

/// Waits for the end; a program that hangs is a failure.
fn wait(child: &mut Child, most: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if start.elapsed() > most {
            return None;
        }
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    assert!(status.unwrap().success());
}

/// Runs to the end, without checkpoints: the truth.
fn truth(place: &Place, script: &str, format: &str) -> Vec<String> {
    let mut command = place.command(script, "truth", 1, "0 s");
    let mut child = command.spawn().unwrap();
    let status = wait(&mut child, *PATIENCE).expect("the run without kills hangs");
    assert!(status.success(), "the run without kills failed:\n{}", place.said());
    let rows = essence(format, place.rows("truth"));
    assert!(!rows.is_empty(), "there is something to lose");
    rows
}

fn differences(expected: &[String], found: &[String]) -> String {
    let lost: Vec<_> = expected.iter().filter(|row| found.binary_search(row).is_err()).take(5).collect();
    let more: Vec<_> = found.iter().filter(|row| expected.binary_search(row).is_err()).take(5).collect();
    format!(
        "{} rows, {} expected; not there: {lost:#?}; not expected: {more:#?}",
        found.len(),
        expected.len()
    )
}

/// Kills one pipeline until it has finished; how often, and how often it came back from a checkpoint.
fn torture(
    pipeline: &Pipeline,
    place: &Place,
    random: &mut StdRng,
    kills: &AtomicUsize,
    wanted: usize,
) -> (usize, usize) {
    let script = "pipeline.sql";
    fs::write(place.path(script), pipeline.script()).unwrap();
    let expected = truth(place, script, pipeline.format);
    let rescales = random.random_bool(0.5) && pipeline.moves();
    let longest = [30, 200, 500][random.random_range(0..3)];
    let (mut own, mut returns, mut tasks) = (0, 0, random.random_range(1..4));
    loop {
        let interval = format!("{} ms", random.random_range(10..60));
        returns += usize::from(place.has_checkpoint("out"));
        let mut child = place.command(script, "out", tasks, &interval).spawn().unwrap();
        let spared = own >= KILLS || kills.load(Ordering::Relaxed) >= wanted;
        // Most come behind a checkpoint of this run, whenever the machine gets that far; others at any moment.
        let ended = match !spared && random.random_bool(0.7) {
            true => !until_another_checkpoint(place, &mut child),
            false => false,
        };
        let moment = match spared || ended {
            true => *PATIENCE,
            false => Duration::from_millis(random.random_range(0..longest)),
        };
        let status = match wait(&mut child, moment) {
            Some(status) => status,
            None => {
                child.kill().unwrap();
                assert!(!spared, "{}: a run that nobody kills hangs:\n{}", pipeline.name, place.said());
                own += 1;
                kills.fetch_add(1, Ordering::Relaxed);
                child.wait().unwrap()
            }
        };
        let finished = match status.code() {
            Some(0) => true,
            Some(code) => panic!("{}: status {code} behind {own} kills:\n{}", pipeline.name, place.said()),
            // It had finished, and did not come to say so: rows are shown behind a checkpoint only, and
            // checkpoints go when the job has ended.
            None => !place.has_checkpoint("out") && !place.rows("out").is_empty(),
        };
        if finished {
            break;
        }
        if rescales {
            tasks = random.random_range(1..4);
        }
    }
    let found = essence(pipeline.format, place.rows("out"));
    assert!(
        found == expected,
        "{}, behind {own} kills, in {}: {}",
        pipeline.name,
        place.folder.display(),
        differences(&expected, &found)
    );
    (own, returns)
}

/// A place for one test; it stays if the test fails.
struct Scene {
    folder: Option<tempfile::TempDir>,
    place: Place,
    _api: Option<Api>,
}

impl Scene {
    fn new(api: Option<&str>, random: &mut StdRng, rows: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = if api.is_none() { Some(Api::start()) } else { None };
        let address = api.map_or_else(|| own.as_ref().unwrap().address.clone(), str::to_string);
        let place = Place { folder: folder.path().to_path_buf(), api: address };
        make_data(&place.path("data"), random, rows);
        Self { folder: Some(folder), place, _api: own }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("everything is in {}", folder.keep().display());
        }
    }
}

fn seed() -> u64 {
    variable("TORTURE_SEED", 1) as u64
}

#[test]
fn killed_at_any_moment_no_row_is_lost_or_doubled() {
    let wanted = variable("TORTURE_KILLS", 500);
    let workers = variable("TORTURE_WORKERS", 3);
    let only = std::env::var("TORTURE_ONLY").unwrap_or_default();
    let pipelines: Vec<&Pipeline> = PIPELINES.iter().filter(|p| p.name.contains(&only)).collect();
    let api = Api::start();
    let (kills, turn, all_returns) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let work = || {
            while kills.load(Ordering::Relaxed) < wanted {
                let number = turn.fetch_add(1, Ordering::Relaxed);
                let mut random = StdRng::seed_from_u64(seed().wrapping_mul(1000) + number as u64);
                let scene = Scene::new(Some(&api.address), &mut random, 1200);
                let pipeline = pipelines[number % pipelines.len()];
                let (own, returns) = torture(pipeline, &scene.place, &mut random, &kills, wanted);
                all_returns.fetch_add(returns, Ordering::Relaxed);
                println!(
                    "{}: right behind {own} kills and {returns} returns from a checkpoint",
                    pipeline.name
                );
            }
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    // Not at the mercy of the machine: most kills wait for a checkpoint, unless the run ends before.
    let returns = all_returns.into_inner();
    assert!(returns * 3 >= wanted, "only {returns} of {wanted} kills were behind a checkpoint");
}

/// Lets it run until it has a checkpoint that is new; false if it ends before.
fn until_another_checkpoint(place: &Place, child: &mut Child) -> bool {
    let newest = || manifests(&place.path("checkpoints-out")).pop();
    let (before, start) = (newest(), Instant::now());
    while start.elapsed() < *PATIENCE {
        let now = newest();
        if now.is_some() && now > before {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
    panic!("no checkpoint in {:?}:\n{}", *PATIENCE, place.said());
}

/// Lets it run until it has so many checkpoints, or ends.
fn until_checkpoints(place: &Place, child: &mut Child, count: usize) -> bool {
    let start = Instant::now();
    let mut seen = std::collections::BTreeSet::new();
    while start.elapsed() < *PATIENCE {
        seen.extend(manifests(&place.path("checkpoints-out")));
        if seen.len() >= count {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
    panic!("no checkpoint in {:?}:\n{}", *PATIENCE, place.said());
}

/// Runs to the end; the rows must be right.
fn finish(place: &Place, pipeline: &Pipeline, script: &str, tasks: usize, expected: &[String]) {
    let mut child = place.command(script, "out", tasks, "30 ms").spawn().unwrap();
    let status = wait(&mut child, *PATIENCE).expect("it hangs");
    assert!(status.success(), "{status}:\n{}", place.said());
    let found = essence(pipeline.format, place.rows("out"));
    assert!(found == expected, "{}", differences(expected, &found));
}

/// Rows that are still being written while the program reads them, and is killed.
#[test]
fn an_endless_pipeline_shows_each_row_once() {
    let mut random = StdRng::seed_from_u64(seed());
    let scene = Scene::new(None, &mut random, 600);
    let place = &scene.place;
    let pipeline = &PIPELINES[0];
    let script = pipeline.script();
    fs::write(place.path("truth.sql"), &script).unwrap();
    let expected = truth(place, "truth.sql", pipeline.format);
    let followed = script
        .replace("${DATA}/readings', 'format' = 'json'", "${DATA}/growing', 'format' = 'json', 'source.monitor-interval' = '10 ms'")
        .replace("'path' = '${OUT}',", "'path' = '${OUT}', 'sink.rolling-policy.rollover-interval' = '50 ms', 'sink.rolling-policy.check-interval' = '10 ms',");
    fs::write(place.path("p.sql"), followed).unwrap();
    let growing = place.path("data/growing");
    fs::create_dir_all(&growing).unwrap();
    let mut left: Vec<(PathBuf, Vec<u8>)> = (0..3)
        .map(|file| format!("{file}.jsonl"))
        .map(|name| (growing.join(&name), fs::read(place.path("data/readings").join(&name)).unwrap()))
        .collect();
    let kills = variable("TORTURE_KILLS", 500) / 25;
    for kill in 0.. {
        let mut child = place.command("p.sql", "out", random.random_range(1..4), "20 ms").spawn().unwrap();
        // Pieces that end anywhere, also in the middle of a row.
        for (path, rest) in &mut left {
            let most = if kill + 1 < kills { 1 + rest.len() / 4 } else { rest.len() };
            let piece: Vec<u8> = rest.drain(..most.min(rest.len())).collect();
            let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            std::io::Write::write_all(&mut file, &piece).unwrap();
        }
        if kill < kills {
            assert!(
                wait(&mut child, Duration::from_millis(random.random_range(50..700))).is_none(),
                "{}",
                place.said()
            );
            child.kill().unwrap();
            child.wait().unwrap();
            continue;
        }
        // Everything is written: what it has shown when it is stopped is all, sooner or later.
        assert!(wait(&mut child, Duration::from_secs(3)).is_none(), "{}", place.said());
        signal(&child, "TERM");
        wait(&mut child, *PATIENCE).expect("it hangs");
        let found = essence(pipeline.format, place.rows("out"));
        if found == expected {
            return;
        }
        let more = found.iter().any(|row| expected.binary_search(row).is_err());
        assert!(!more && kill < kills + 10, "{}\n{}", differences(&expected, &found), place.said());
    }
}

#[test]
fn a_signal_stops_behind_a_checkpoint_and_the_next_run_goes_on_with_other_tasks() {
    let mut random = StdRng::seed_from_u64(seed());
    for (name, pipeline) in ["TERM", "INT", "TERM", "INT"].into_iter().zip(PIPELINES) {
        let scene = Scene::new(None, &mut random, 3000);
        let place = &scene.place;
        fs::write(place.path("p.sql"), pipeline.script()).unwrap();
        let expected = truth(place, "p.sql", pipeline.format);
        let (mut stops, mut finished) = (0, false);
        // Checkpoints are so far apart that the last one is the signal's. On a busy machine a signal may come before
        // the job has begun: such a run does not count.
        for tasks in if pipeline.moves() { [1, 3, 2, 1].repeat(2) } else { [3; 8].to_vec() } {
            let mut child = place.command("p.sql", "out", tasks, "1 h").spawn().unwrap();
            let moment = Duration::from_millis(random.random_range(150..450));
            let status = wait(&mut child, moment).unwrap_or_else(|| {
                signal(&child, name);
                wait(&mut child, *PATIENCE).expect("it hangs")
            });
            stops += usize::from(place.has_checkpoint("out"));
            // It was faster than the signal.
            finished = status.success() || !place.has_checkpoint("out") && !place.rows("out").is_empty();
            if finished || stops == 4 {
                break;
            }
        }
        assert!(
            stops > 0,
            "{}: there is a last checkpoint (finished: {finished}):\n{}",
            pipeline.name,
            place.said()
        );
        if !finished {
            finish(place, pipeline, "p.sql", 3, &expected);
        }
        let found = essence(pipeline.format, place.rows("out"));
        assert!(
            found == expected,
            "{} behind {stops} stops: {}",
            pipeline.name,
            differences(&expected, &found)
        );
    }
}

#[test]
fn a_damaged_checkpoint_is_passed_over_loudly() {
    let mut random = StdRng::seed_from_u64(seed());
    let pipeline = &PIPELINES[0];
    let scene = Scene::new(None, &mut random, 1500);
    let place = &scene.place;
    fs::write(place.path("p.sql"), pipeline.script()).unwrap();
    let expected = truth(place, "p.sql", pipeline.format);
    let mut child = place.command("p.sql", "out", 2, "30 ms").spawn().unwrap();
    assert!(until_checkpoints(place, &mut child, 4), "it ended too soon:\n{}", place.said());
    child.kill().unwrap();
    child.wait().unwrap();
    let all = manifests(&place.path("checkpoints-out"));
    assert!(all.len() > 1, "{all:?}");
    let newest = all.last().unwrap();
    let mut bytes = fs::read(newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    fs::write(newest, bytes).unwrap();
    fs::write(place.path("stderr.txt"), "").unwrap();
    let mut child = place.command("p.sql", "out", 2, "30 ms").spawn().unwrap();
    let status = wait(&mut child, *PATIENCE).expect("it hangs");
    assert!(status.success(), "{status}:\n{}", place.said());
    let said = fs::read_to_string(place.path("stderr.txt")).unwrap();
    let name = newest.file_name().unwrap().to_string_lossy().trim_start_matches('0').to_string();
    assert!(said.contains(&name) && said.to_lowercase().contains("damaged"), "it says so: {said}");
    let found = essence(pipeline.format, place.rows("out"));
    assert!(found == expected, "{}", differences(&expected, &found));
}

#[test]
fn an_edited_pipeline_keeps_what_still_means_the_same() {
    let mut random = StdRng::seed_from_u64(seed());
    let pipeline = &PIPELINES[3];
    let scene = Scene::new(None, &mut random, 1500);
    let place = &scene.place;
    let set = |text: String| {
        let (tables, insert) = text.split_once("INSERT INTO").unwrap();
        format!(
            "{tables}SET 'pipeline.name' = 'enrich';\nEXECUTE STATEMENT SET BEGIN\nINSERT INTO{insert}END;\n"
        )
    };
    let script = set(pipeline.script());
    fs::write(place.path("p.sql"), &script).unwrap();
    let expected = truth(place, "p.sql", pipeline.format);
    let mut child = place.command("p.sql", "out", 2, "30 ms").spawn().unwrap();
    assert!(until_checkpoints(place, &mut child, 2), "it ended too soon:\n{}", place.said());
    child.kill().unwrap();
    child.wait().unwrap();

    // Another GROUP BY: what was counted means something else.
    let regrouped = script.replace("GROUP BY sensor) AS g", "GROUP BY sensor, v) AS g");
    assert_ne!(regrouped, script);
    fs::write(place.path("p.sql"), &regrouped).unwrap();
    fs::write(place.path("stderr.txt"), "").unwrap();
    let mut child = place.command("p.sql", "out", 2, "30 ms").spawn().unwrap();
    let status = wait(&mut child, *PATIENCE).expect("it hangs");
    let said = fs::read_to_string(place.path("stderr.txt")).unwrap();
    assert!(!status.success() && said.contains("the query has changed"), "{status}: {said}");
    assert!(said.contains("ignore-unclaimed-state"), "{said}");

    // One INSERT more: the first one goes on.
    let more = script
        .replace(
            "SET 'pipeline.name'",
            "CREATE TABLE more (id BIGINT, w BIGINT) WITH ('connector' = 'filesystem', 'path' = '${DATA}/orders', 'format' = 'json');\n\
             CREATE TABLE copy (id BIGINT, w BIGINT) WITH ('connector' = 'filesystem', 'path' = '${OUT}-copy', 'format' = 'json');\n\
             SET 'pipeline.name'",
        )
        .replace("END;", "INSERT INTO copy SELECT id, w FROM more;\nEND;");
    fs::write(place.path("p.sql"), &more).unwrap();
    finish(place, pipeline, "p.sql", 2, &expected);
}

/// Numbers from a generator into files, a bounded job of about two seconds.
fn numbers(folder: &Path) -> PathBuf {
    let script = folder.join("numbers.sql");
    let sql = format!(
        "SET 'parallelism.default' = '1';
         SET 'execution.checkpointing.interval' = '100 ms';
         SET 'execution.checkpointing.dir' = '{0}/checkpoints';
         SET 'restart-strategy.exponential-delay.initial-backoff' = '100 ms';
         CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000',
           'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '1999');
         CREATE TABLE kept (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{0}/kept', 'format' = 'json');
         INSERT INTO kept SELECT n FROM numbers;",
        folder.display()
    );
    fs::write(&script, sql).unwrap();
    script
}

/// A run of a script, and the lines that it says on standard error.
fn listen(script: &Path) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    command.arg("run").arg(script).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    (child, stderr)
}

/// Reads up to a line with these words.
fn hear(stderr: &mut impl BufRead, words: &str) {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "'{words}' was not said, but:\n{said}");
        if line.contains(words) {
            return;
        }
        said.push_str(&line);
    }
}

/// Files of the table that is written, hidden or not.
fn written(folder: &Path, hidden: bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("kept")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let is_hidden = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with('.');
    entries.filter(|path| path.is_file() && is_hidden(path) == hidden).collect()
}

/// The numbers that can be seen, sorted.
fn seen(folder: &Path) -> Vec<usize> {
    let text: String = written(folder, false).iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let number = |line: &str| line.trim_start_matches("{\"n\":").trim_end_matches('}').parse().unwrap();
    let mut all: Vec<usize> = text.lines().map(number).collect();
    all.sort_unstable();
    all
}

#[test]
fn a_last_commit_that_fails_loses_nothing() {
    for killed in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let script = numbers(folder);
        let (mut child, mut stderr) = listen(&script);
        let begun = Instant::now();
        let part = loop {
            if let Some(part) = written(folder, true).pop() {
                break part;
            }
            assert!(begun.elapsed() < *PATIENCE, "nothing is written");
            std::thread::sleep(Duration::from_millis(5));
        };
        // A folder that is not empty has the name that the part is to get.
        let hidden = part.file_name().unwrap().to_string_lossy().into_owned();
        let name = hidden.trim_start_matches('.').trim_end_matches(".inprogress");
        // Behind the name stands the identity of the sink, a UUID.
        let obstacle = part.with_file_name(&name[..name.len() - 37]);
        fs::create_dir_all(obstacle.join("in the way")).unwrap();
        hear(&mut stderr, "tries to commit its result again");
        if killed {
            child.kill().unwrap();
            child.wait().unwrap();
            (child, stderr) = listen(&script);
            hear(&mut stderr, "tries to commit its result again");
        }
        fs::remove_dir_all(&obstacle).unwrap();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut stderr, &mut rest).unwrap();
        assert!(wait(&mut child, *PATIENCE).is_some_and(|status| status.success()), "{rest}");
        assert_eq!(seen(folder), (0..2000).collect::<Vec<_>>());
        assert_eq!(written(folder, true), Vec::<PathBuf>::new());
        assert!(manifests(&folder.join("checkpoints")).is_empty(), "what has ended does not come back");
    }
}

#[test]
fn of_two_processes_one_runs_the_job() {
    for killed in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let script = numbers(folder);
        let (mut first, _first) = listen(&script);
        let begun = Instant::now();
        while manifests(&folder.join("checkpoints")).is_empty() {
            assert!(begun.elapsed() < *PATIENCE, "no checkpoint is written");
            std::thread::sleep(Duration::from_millis(5));
        }
        let (mut second, mut stderr) = listen(&script);
        if killed {
            first.kill().unwrap();
        } else {
            hear(&mut stderr, "waits: process ");
        }
        assert_eq!(wait(&mut first, *PATIENCE).is_some_and(|status| status.success()), !killed);
        assert!(wait(&mut second, *PATIENCE).is_some_and(|status| status.success()));
        // The second one goes on where the first one was killed, and has nothing to do when that has ended.
        if !killed {
            hear(&mut stderr, "has ended it, nothing is left to do");
        }
        assert_eq!(seen(folder), (0..2000).collect::<Vec<_>>());
        assert_eq!(written(folder, true), Vec::<PathBuf>::new());
    }
}

#[test]
fn output_from_before_the_first_checkpoint_is_recovered() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let script = numbers(folder);
    let sql = fs::read_to_string(&script).unwrap().replace(
        "'100 ms';\n         SET 'execution.checkpointing.dir'",
        "'1 h';\n         SET 'execution.checkpointing.dir'",
    );
    fs::write(&script, sql).unwrap();
    let (mut child, _stderr) = listen(&script);
    let begun = Instant::now();
    while written(folder, true).is_empty() {
        assert!(begun.elapsed() < *PATIENCE, "nothing is written");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut child, mut stderr) = listen(&script);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut rest).unwrap();
    assert!(wait(&mut child, *PATIENCE).is_some_and(|status| status.success()), "{rest}");
    assert_eq!(seen(folder), (0..2000).collect::<Vec<_>>());
    assert_eq!(written(folder, true), Vec::<PathBuf>::new());
}
