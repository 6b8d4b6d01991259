//! `affluent flink run` against a session cluster and a SQL Gateway of Flink: the same files here and there, the same final
//! rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::database::folder;
use crate::harness::{Running, Server, affluent, installed, left_out, port, until, wait_for_port, write};

struct Cluster {
    folder: tempfile::TempDir,
    gateway: String,
    /// The HTTP connector is there.
    looks_up: bool,
    servers: Vec<Server>,
}

/// Jars of Flink and of what is added to it; `None` where they are not installed.
fn jars() -> Option<Vec<PathBuf>> {
    let home = PathBuf::from(std::env::var_os("FLINK_HOME")?);
    let more = std::env::var("AFFLUENT_FLINK_JARS").unwrap_or_default();
    let mut folders = vec![home.join("lib"), home.join("opt")];
    folders.extend(more.split(':').filter(|f| !f.is_empty()).map(PathBuf::from));
    let mut found = Vec::new();
    for (index, folder) in folders.iter().enumerate() {
        for entry in std::fs::read_dir(folder).ok().into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Of opt/ the gateway alone: some of the others exclude each other.
            if name.ends_with(".jar") && (index != 1 || name.starts_with("flink-sql-gateway")) {
                found.push(entry.path());
            }
        }
    }
    let has = |part: &str| found.iter().any(|f| f.to_string_lossy().contains(part));
    (has("flink-dist") && has("flink-sql-gateway")).then_some(found)
}

impl Cluster {
    fn start() -> Option<Self> {
        let why = match jars() {
            _ if !installed("java") => "java is not installed",
            None => "FLINK_HOME does not name Flink with its SQL Gateway",
            Some(_) => "",
        };
        if !why.is_empty() {
            left_out("Flink", why);
            return None;
        }
        let jars = jars()?;
        let folder = folder();
        let (rpc, rest, gateway) = (port(), port(), port());
        let settings = format!(
            "jobmanager.rpc.address: 127.0.0.1\njobmanager.rpc.port: {rpc}\njobmanager.bind-host: 127.0.0.1\n\
             jobmanager.memory.heap.size: 512m\nrest.address: 127.0.0.1\nrest.port: {rest}\nrest.bind-address: 127.0.0.1\n\
             taskmanager.host: 127.0.0.1\ntaskmanager.bind-host: 127.0.0.1\ntaskmanager.numberOfTaskSlots: 8\n\
             taskmanager.cpu.cores: 2\ntaskmanager.memory.task.heap.size: 400m\ntaskmanager.memory.task.off-heap.size: 32m\n\
             taskmanager.memory.framework.heap.size: 128m\ntaskmanager.memory.framework.off-heap.size: 64m\n\
             taskmanager.memory.network.min: 64m\ntaskmanager.memory.network.max: 64m\n\
             taskmanager.memory.network.size: 64m\ntaskmanager.memory.managed.size: 128m\n\
             taskmanager.memory.jvm-metaspace.size: 256m\ntaskmanager.memory.jvm-overhead.min: 64m\n\
             taskmanager.memory.jvm-overhead.max: 64m\nparallelism.default: 1\ntable.local-time-zone: UTC\n\
             pipeline.auto-watermark-interval: 0 ms\n\
             sql-gateway.endpoint.rest.address: 127.0.0.1\nsql-gateway.endpoint.rest.port: {gateway}\n\
             sql-gateway.endpoint.rest.bind-address: 127.0.0.1\n\
             execution.checkpointing.savepoint-dir: file://{0}/savepoints\nio.tmp.dirs: {0}\n",
            folder.path().display()
        );
        std::fs::write(folder.path().join("config.yaml"), settings).unwrap();
        let log = "rootLogger.level = WARN\nrootLogger.appenderRef.c.ref = C\nappender.c.name = C\nappender.c.type = CONSOLE\n\
                   appender.c.layout.type = PatternLayout\nappender.c.layout.pattern = %d %p %m%n\n";
        std::fs::write(folder.path().join("log4j.properties"), log).unwrap();
        let class_path = jars.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(":");
        let conf = folder.path().display().to_string();
        let opens = [
            "java.lang",
            "java.net",
            "java.io",
            "java.nio",
            "sun.nio.ch",
            "java.time",
            "java.text",
            "java.util",
            "java.util.concurrent",
            "java.util.concurrent.atomic",
            "java.lang.reflect",
        ];
        let mut common = vec![format!("FLINK_CONF_DIR={conf}"), "java".to_string(), "-Xmx640m".to_string()];
        common.extend(opens.map(|p| format!("--add-opens=java.base/{p}=ALL-UNNAMED")));
        common.push(format!("-Dlog4j.configurationFile={conf}/log4j.properties"));
        common.extend(["-cp".to_string(), class_path]);
        let start = |name: &str, arguments: &[&str]| {
            let own = folder.path().join(name.rsplit('.').next().unwrap());
            std::fs::create_dir_all(&own).unwrap();
            let all: Vec<&str> =
                common.iter().map(String::as_str).chain([name]).chain(arguments.iter().copied()).collect();
            Server::start("env", &all, &own)
        };
        let configured = ["--configDir", conf.as_str()];
        let servers = vec![
            start("org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint", &configured),
            start("org.apache.flink.runtime.taskexecutor.TaskManagerRunner", &configured),
            start("org.apache.flink.table.gateway.SqlGateway", &[]),
        ];
        wait_for_port(rest);
        wait_for_port(gateway);
        let looks_up = jars.iter().any(|f| f.to_string_lossy().contains("flink-http-connector"));
        let cluster = Self { folder, gateway: format!("http://127.0.0.1:{gateway}"), looks_up, servers };
        // The first query waits for the task manager.
        until("a first query on Flink", || cluster.run("SELECT 1 AS one;", &[]).0.contains("\"one\":1"));
        Some(cluster)
    }

    /// Runs a script there: what it prints, and what it says.
    fn run(&self, script: &str, more: &[&str]) -> (String, String) {
        let path = write(self.folder.path(), script);
        let mut arguments = vec![
            "flink",
            "run",
            path.to_str().unwrap(),
            "--gateway",
            &self.gateway,
            "--connectors",
            "rest-lookup",
            "-o",
            "json",
        ];
        arguments.extend(more);
        let mut command = affluent(self.folder.path(), &arguments);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = Running::start(command).finish();
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }
}

/// The rows that are left when all changes are applied, with how often each is there.
fn rows(text: &str) -> BTreeMap<String, i64> {
    let mut found: BTreeMap<String, i64> = BTreeMap::new();
    for line in text.lines().filter(|l| l.starts_with('{')) {
        let mut row: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
        let op = row.remove("op").and_then(|op| op.as_str().map(str::to_string)).unwrap_or_default();
        row.values_mut().for_each(plain);
        let step = if op.starts_with('+') { 1 } else { -1 };
        *found.entry(Value::Object(row).to_string()).or_default() += step;
    }
    found.retain(|_, count| *count != 0);
    found
}

/// Values in one form: moments with a space, numbers as DOUBLE.
fn plain(value: &mut Value) {
    match value {
        Value::String(text) => {
            let bytes = text.as_bytes();
            if bytes.len() >= 19 && bytes[4] == b'-' && bytes[7] == b'-' && matches!(bytes[10], b'T' | b' ') {
                let moment = text.trim_end_matches('Z').replacen('T', " ", 1);
                let moment = if moment.contains('.') {
                    moment.trim_end_matches('0').trim_end_matches('.')
                } else {
                    &moment
                };
                *value = Value::String(moment.to_string());
            }
        }
        Value::Number(number) => *value = number.as_f64().into(),
        _ => {}
    }
}

/// Runs a script here.
fn here(folder: &Path, script: &str, more: &[&str]) -> String {
    let path = write(folder, script);
    let mut arguments =
        vec!["run", path.to_str().unwrap(), "-o", "json", "-q", "--set", "table.local-time-zone=UTC"];
    arguments.extend(more);
    let mut command = affluent(folder, &arguments);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = Running::start(command).finish();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn same(cluster: &Cluster, name: &str, script: &str, more: &[&str]) {
    let ours = rows(&here(cluster.folder.path(), script, more));
    let (text, errors) = cluster.run(script, more);
    assert!(!errors.contains("error:"), "{name}: {errors}");
    let theirs = rows(&text);
    let only = |a: &BTreeMap<String, i64>, b: &BTreeMap<String, i64>| {
        a.iter()
            .filter(|(k, v)| b.get(*k) != Some(v))
            .take(5)
            .map(|(k, v)| format!("{v} {k}"))
            .collect::<Vec<_>>()
    };
    assert!(
        ours == theirs && !ours.is_empty(),
        "{name}: {} rows here, {} there\nhere only: {:#?}\nthere only: {:#?}",
        ours.len(),
        theirs.len(),
        only(&ours, &theirs),
        only(&theirs, &ours)
    );
}

fn pipeline(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("sql").join(name)).unwrap()
}

/// The files and statements of a case of `tests/sql`: definitions, and queries that have rows.
fn case(name: &str, folder: &Path) -> (String, Vec<String>) {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql").join(name)).unwrap();
    let (mut statement, mut definitions, mut queries) = (String::new(), String::new(), Vec::new());
    let mut file: Option<PathBuf> = None;
    let mut last: Option<String> = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("-- @file ") {
            let path = folder.join(name.trim());
            std::fs::write(&path, "").unwrap();
            file = Some(path);
        } else if let (Some(path), Some(row)) = (&file, line.strip_prefix("--|")) {
            let mut content = std::fs::read_to_string(path).unwrap();
            content.push_str(row.strip_prefix(' ').unwrap_or(row));
            content.push('\n');
            std::fs::write(path, content).unwrap();
        } else if line.starts_with("-- @expect") || line.starts_with("-- @result") {
            queries.extend(last.take().filter(|s| s.starts_with("SELECT") || s.starts_with("WITH")));
            file = None;
        } else if line.starts_with("--") {
            file = None;
        } else {
            file = None;
            statement.push_str(line);
            statement.push('\n');
            if line.trim_end().ends_with(';') {
                let whole = std::mem::take(&mut statement).trim().to_string();
                if whole.starts_with("CREATE") {
                    definitions.push_str(&whole);
                    definitions.push('\n');
                }
                last = Some(whole);
            }
        }
    }
    (definitions.replace("${DIR}", &folder.display().to_string()), queries)
}

#[test]
fn files_and_queries_give_the_same_here_and_on_flink() {
    let Some(cluster) = Cluster::start() else { return };
    same(&cluster, "readings.sql", &pipeline("readings.sql"), &[]);
    same(&cluster, "weather.sql", &pipeline("weather.sql"), &[]);
    if cluster.looks_up {
        let service = port();
        let folder = tempfile::tempdir().unwrap();
        let address = service.to_string();
        let mut api = Running::start(affluent(folder.path(), &["sensor-api", "--port", &address]));
        wait_for_port(service);
        let moved = |name: &str| pipeline(name).replace("127.0.0.1:8080", &format!("127.0.0.1:{service}"));
        same(&cluster, "sensors.sql", &moved("sensors.sql"), &[]);
        same(&cluster, "transactions.sql", &moved("transactions.sql"), &["--var", "BACKEND=api"]);
        api.kill();
    } else {
        left_out(
            "Flink's HTTP connector",
            "com.getindata:flink-http-connector is not in AFFLUENT_FLINK_JARS",
        );
    }
    let mut compared = 0;
    for name in [
        "aggregate/extremes.sql",
        "aggregate/functions.sql",
        "aggregate/grouping_sets.sql",
        "join/regular.sql",
        "join/subquery.sql",
        "over/lag.sql",
        "query/nested.sql",
        "query/projection.sql",
        "rank/deduplicate.sql",
        "rank/top_n.sql",
        "set/operations.sql",
        "window/aligned.sql",
        "window/session.sql",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (definitions, queries) = case(name, folder.path());
        for query in queries.iter().take(4) {
            let script = format!("{definitions}{query}");
            let path = write(folder.path(), &script);
            let mut check =
                affluent(folder.path(), &["flink", "check", path.to_str().unwrap(), "--connectors", ""]);
            // What cannot go is the business of other tests.
            if check.output().unwrap().status.success() {
                let ours = rows(&here(cluster.folder.path(), &script, &[]));
                let (text, errors) = cluster.run(&script, &[]);
                assert!(!errors.contains("error:"), "{name}: {query}\n{errors}");
                assert_eq!(ours, rows(&text), "{name}: {query}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 10, "{compared} queries were compared");
    jobs(&cluster);
}

/// Jobs of INSERT: followed to their end, stopped with a savepoint, failed.
fn jobs(cluster: &Cluster) {
    let folder = cluster.folder.path().display().to_string();
    let source = "CREATE TABLE n (id BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '100', 'fields.id.kind' = 'sequence',
        'fields.id.start' = '1', 'fields.id.end' = '100');";
    let (_, errors) = cluster.run(
        &format!("{source}
        CREATE TABLE o (id BIGINT) WITH ('connector' = 'filesystem', 'path' = '{folder}/out', 'format' = 'json');
        INSERT INTO o SELECT id * 2 FROM n;"),
        &[],
    );
    assert!(
        errors.contains("finished: 100 rows in") || errors.contains("(INSERT INTO o) finished"),
        "{errors}"
    );
    let written = Command::new("sh").args(["-c", &format!("cat {folder}/out/*")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&written.stdout).lines().count(), 100);
    // A statement that Flink refuses keeps the one before it from being submitted.
    let (_, errors) = cluster.run(
        &format!(
            "{source} CREATE TABLE b (id BIGINT) WITH ('connector' = 'blackhole');
        INSERT INTO b SELECT id FROM n; SELECT id FROM n WHERE CAST(id AS STRING) = 7;"
        ),
        &[],
    );
    assert!(errors.contains("nothing was submitted") && !errors.contains("was submitted\n job"), "{errors}");
    assert!(!errors.contains("\tat "), "{errors}");
    // A job that fails says why, at its statement.
    let (_, errors) = cluster.run(
        &format!(
            "{source} CREATE TABLE b (id BIGINT) WITH ('connector' = 'blackhole');
        INSERT INTO b SELECT 10 / (id - 50) FROM n;"
        ),
        &[],
    );
    assert!(errors.contains("is FAILED on the cluster") && errors.contains("by zero"), "{errors}");
    // An endless one is stopped with a savepoint.
    let endless = "CREATE TABLE e (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10');
        CREATE TABLE b (id BIGINT) WITH ('connector' = 'blackhole'); INSERT INTO b SELECT id FROM e;";
    let (_, errors) = cluster.run(endless, &["--detach"]);
    let id =
        errors.split("--stop ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    let mut said = String::new();
    until("the job can be stopped", || {
        let stop =
            affluent(cluster.folder.path(), &["flink", "run", "--gateway", &cluster.gateway, "--stop", id])
                .output();
        said = String::from_utf8_lossy(&stop.unwrap().stderr).into_owned();
        said.contains("was stopped with savepoint")
    });
    assert!(said.contains("savepoints"), "{said}");
}

#[test]
fn a_gateway_that_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "SELECT 1 AS x;");
    let address = format!("http://127.0.0.1:{}", port());
    let run = affluent(folder.path(), &["flink", "run", path.to_str().unwrap(), "--gateway", &address])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(
        !run.status.success() && said.contains("nothing answers at") && said.contains("sql-gateway.sh"),
        "{said}"
    );
}
