//! What a limit on the memory of state does to results: nothing. Each query runs without one, and with one that is a small
//! part of its state, with and without checkpoints.

use super::*;

const TABLES: &str = "CREATE TABLE {name} (k BIGINT, s STRING, v BIGINT, ts TIMESTAMP(3),
     WATERMARK FOR ts AS ts - INTERVAL '4' SECOND) WITH ('connector' = 'filesystem', 'path' = '{file}', 'format' = 'json');";

const QUERIES: &[&str] = &[
    "SELECT k, COUNT(*), SUM(v), MIN(v), MAX(v) FROM a GROUP BY k",
    "SELECT s, COUNT(*), COUNT(DISTINCT v) FROM a GROUP BY s",
    "SELECT DISTINCT k, s FROM a",
    "SELECT k, SUM(v), window_start FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '1' HOUR))
       GROUP BY k, window_start, window_end",
    "SELECT k, COUNT(*), window_start FROM TABLE(HOP(TABLE a, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '10' MINUTE))
       GROUP BY k, window_start, window_end",
    "SELECT k, COUNT(*), window_start FROM TABLE(SESSION(TABLE a PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' MINUTE))
       GROUP BY k, window_start, window_end",
    "SELECT k, v, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS n FROM a) WHERE n = 1",
    "SELECT k, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS n FROM a) WHERE n <= 2",
    "SELECT k, v, window_start FROM (SELECT *,
       ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY v DESC) AS n
       FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '1' HOUR))) WHERE n <= 1",
    "SELECT k, ts, COUNT(*) OVER w, SUM(v) OVER w FROM a WINDOW w AS (PARTITION BY k ORDER BY ts)",
    "SELECT k, ts, SUM(v) OVER (PARTITION BY k ORDER BY ts
       RANGE BETWEEN INTERVAL '10' MINUTE PRECEDING AND CURRENT ROW) FROM a",
    "SELECT k, ts, SUM(v) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) FROM a",
    "SELECT k, ts, LAG(v) OVER (PARTITION BY k ORDER BY ts) FROM a",
    "SELECT a.k, a.v, b.v FROM a JOIN b ON a.k = b.k",
    "SELECT a.k, a.v, b.v FROM a LEFT JOIN b ON a.s = b.s",
    "SELECT k, v FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k)",
    "SELECT a.k, a.v, b.v FROM a LEFT JOIN b ON a.k = b.k
       AND a.ts BETWEEN b.ts - INTERVAL '10' MINUTE AND b.ts + INTERVAL '10' MINUTE",
    "SELECT a.k, a.v, b.v FROM (SELECT * FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '1' HOUR))) a
       JOIN (SELECT * FROM TABLE(TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '1' HOUR))) b
       ON a.k = b.k AND a.window_start = b.window_start AND a.window_end = b.window_end",
    "SELECT a.k, a.v, r.v FROM a LEFT JOIN r FOR SYSTEM_TIME AS OF a.ts ON a.k = r.k",
    "SELECT k FROM a EXCEPT ALL SELECT k FROM b",
];

/// Rows of many keys, up to four seconds after their time.
fn rows(random: &mut StdRng, count: u64) -> String {
    let mut text = String::new();
    for i in 0..count {
        let millis = i * 50 + random.random_range(0..4_000);
        let (seconds, k) = (millis / 1000, random.random_range(0..count / 2));
        let s = if random.random_bool(0.05) { "null".into() } else { format!("\"key-{k}\"") };
        let _ = writeln!(
            text,
            "{{\"k\":{k},\"s\":{s},\"v\":{},\"ts\":\"2024-01-01 {:02}:{:02}:{:02}.{:03}\"}}",
            random.random_range(0..1_000_000),
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            millis % 1000
        );
    }
    text
}

/// What a query has given in the end, each row with how often it is there; and whether state went to disk.
fn outcome(folder: &Path, settings: &str, query: &str) -> (BTreeMap<String, i64>, bool) {
    let table = |name: &str, file: &str| TABLES.replace("{name}", name).replace("{file}", file);
    let versions = "CREATE VIEW r AS SELECT k, s, v, ts FROM (SELECT *,
         ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS n FROM b) WHERE n = 1;";
    let script = format!("{settings}{}{}{versions}{query};", table("a", "a.jsonl"), table("b", "b.jsonl"));
    fs::write(folder.join("q.sql"), script).unwrap();
    let disk = folder.join("disk");
    fs::create_dir_all(&disk).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    command.args(["run", "-q", "q.sql"]).current_dir(folder).env("TMPDIR", &disk).stdin(Stdio::null());
    let files = |name: &str| fs::File::create(folder.join(name)).unwrap();
    let mut child = command.stdout(files("rows")).stderr(files("said")).spawn().unwrap();
    let (begun, mut on_disk) = (Instant::now(), false);
    let status = loop {
        on_disk |= fs::read_dir(&disk).unwrap().next().is_some();
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < *PATIENCE, "it hangs: {query}");
        std::thread::sleep(Duration::from_millis(1));
    };
    let said = fs::read_to_string(folder.join("said")).unwrap();
    assert!(status.success(), "{query}\n{said}");
    let mut found = BTreeMap::new();
    for row in fs::read_to_string(folder.join("rows")).unwrap().lines() {
        let row = row.strip_prefix("{\"op\":\"").expect(row);
        let (kind, rest) = row.split_once('"').unwrap();
        *found.entry(rest.to_string()).or_insert(0) += if kind.starts_with('+') { 1 } else { -1 };
    }
    found.retain(|_, count| *count != 0);
    (found, on_disk)
}

#[test]
fn a_limit_on_the_memory_of_state_changes_no_result() {
    let mut random = StdRng::seed_from_u64(seed());
    let folder = tempfile::tempdir().unwrap();
    for file in ["a.jsonl", "b.jsonl"] {
        fs::write(folder.path().join(file), rows(&mut random, 20_000)).unwrap();
    }
    for query in QUERIES {
        let (expected, _) = outcome(folder.path(), "", query);
        assert!(!expected.is_empty(), "{query}");
        let limited = "SET 'affluent.state.memory-limit' = '200 kb';";
        let checkpoints = "SET 'execution.checkpointing.interval' = '20 ms';
             SET 'execution.checkpointing.dir' = 'checkpoints';";
        for settings in [limited.to_string(), format!("{limited}{checkpoints}")] {
            let (found, on_disk) = outcome(folder.path(), &settings, query);
            assert!(on_disk, "its state was never on disk: {query}");
            assert!(
                found == expected,
                "{query}\n{settings}: {} rows instead of {}",
                found.len(),
                expected.len()
            );
        }
    }
}
