//! `jdbc` against MariaDB.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::database::{folder, is_root, killed, numbers};
use crate::harness::{
    Running, Server, affluent, installed, left_out, port, run_badly, run_well, until, wait_for_port, write,
};

const PASSWORD: &str = "staple-battery-7";
const QUIET: &[&str] = &["-o", "json", "-q"];

struct MariaDb {
    folder: tempfile::TempDir,
    port: u16,
    server: Option<Server>,
}

impl MariaDb {
    fn start() -> Option<Self> {
        if !["mariadbd", "mariadb-install-db", "mariadb"].into_iter().all(installed) {
            left_out("MariaDB", "mariadbd, mariadb-install-db or mariadb is not installed");
            return None;
        }
        let folder = folder();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let data = data.to_str().unwrap();
        // Two servers in one folder for temporary tables delete each other's.
        let temporary = folder.path().join("tmp");
        std::fs::create_dir(&temporary).unwrap();
        let temporary = temporary.to_str().unwrap();
        let mut install = Command::new("mariadb-install-db");
        install.args([
            "--no-defaults",
            &format!("--datadir={data}"),
            &format!("--tmpdir={temporary}"),
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]);
        if is_root() {
            if !Command::new("chown").args(["mysql", data, temporary]).status().is_ok_and(|s| s.success()) {
                left_out("MariaDB", "there is no user 'mysql'");
                return None;
            }
            install.arg("--user=mysql");
        }
        let made = install.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut server = Self { folder, port: port(), server: None };
        server.begin();
        server.as_root(&format!("CREATE DATABASE db; CREATE USER someone@'%' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON db.* TO someone@'%'"));
        Some(server)
    }

    fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<MariaDb>> = OnceLock::new();
        SHARED.get_or_init(MariaDb::start).as_ref()
    }

    fn begin(&mut self) {
        let path = self.folder.path();
        let arguments = [
            "--no-defaults".to_string(),
            format!("--datadir={}", path.join("data").display()),
            format!("--tmpdir={}", path.join("tmp").display()),
            format!("--port={}", self.port),
            "--bind-address=127.0.0.1".to_string(),
            format!("--socket={}", path.join("data/s").display()),
            format!("--pid-file={}", path.join("data/pid").display()),
            "--user=mysql".to_string(),
            // Each commit goes to the operating system: with 0 a server that is killed forgets what it has confirmed.
            "--innodb-flush-log-at-trx-commit=2".to_string(),
        ];
        let arguments: Vec<&str> =
            arguments.iter().map(String::as_str).filter(|a| is_root() || *a != "--user=mysql").collect();
        self.server = Some(Server::start("mariadbd", &arguments, path));
        wait_for_port(self.port);
        until("MariaDB", || self.try_sql("root", "", "SELECT 1").is_ok());
    }

    fn try_sql(&self, user: &str, password: &str, sql: &str) -> Result<String, String> {
        let mut command = Command::new("mariadb");
        command.args([
            "--no-defaults",
            "-h127.0.0.1",
            &format!("-P{}", self.port),
            &format!("-u{user}"),
            "-N",
            "-B",
            "--default-character-set=utf8mb4",
            "-e",
            sql,
        ]);
        if !password.is_empty() {
            command.args([&format!("-p{password}"), "db"]);
        }
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    fn as_root(&self, sql: &str) -> String {
        self.try_sql("root", "", sql).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    fn sql(&self, sql: &str) -> String {
        self.try_sql("someone", PASSWORD, sql).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    fn with(&self, table: &str, more: &str) -> String {
        format!(
            "WITH ('connector' = 'jdbc', 'url' = 'jdbc:mariadb://127.0.0.1:{}/db', 'table-name' = '{table}', 'username' = 'someone', 'password' = '{PASSWORD}'{more})",
            self.port
        )
    }
}

fn rows(folder: &Path, script: &str) -> Vec<String> {
    let mut rows: Vec<String> = run_well(folder, script, QUIET).lines().map(str::to_string).collect();
    rows.sort();
    rows
}

#[test]
fn types_go_both_ways() {
    let Some(server) = MariaDb::shared() else { return };
    server.sql(
        "SET time_zone = '+00:00';
         CREATE TABLE types (id INT PRIMARY KEY, name VARCHAR(40) COLLATE utf8mb4_general_ci, price DECIMAL(10, 2), seen DATETIME(3), at_ TIMESTAMP(6) NULL, ok BOOLEAN, d DATE, t TIME(3), j JSON, b BLOB, e ENUM('sad', 'happy'), big BIGINT UNSIGNED, f4 FLOAT, f8 DOUBLE, y YEAR);
         INSERT INTO types VALUES (1, 'Ä-1', 1234567.25, '1969-12-31 23:59:59.5', '2026-01-05 07:00:00.123456', 1, '0001-01-01', '10:11:12.5', '{\"a\": 1}', x'00ff', 'happy', 18446744073709551615, 0.1, 0.1, 2026), (2, '', -0.01, '2026-01-05 08:00:00', '2026-01-05 08:00:00', 0, '2026-02-28', '00:00:00', '[]', '', 'sad', 1, 1.5, -1e300, 1999);
         INSERT INTO types (id) VALUES (3);
         CREATE TABLE copied LIKE types",
    );
    let folder = folder();
    let columns = "id INT, name STRING, price DECIMAL(12, 3), seen TIMESTAMP(3), at_ TIMESTAMP_LTZ(6), ok BOOLEAN, d DATE, t TIME, j STRING, b BYTES, e STRING, big DECIMAL(20, 0), f4 FLOAT, f8 DOUBLE, y INT";
    let script = format!(
        "CREATE TABLE types ({columns}) {};
         CREATE TABLE copied ({columns}, PRIMARY KEY (id) NOT ENFORCED) {};
         CREATE TABLE q (id INT) WITH ('connector' = 'datagen', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '4');
         SELECT q.id AS asked, t.* FROM q LEFT JOIN types t ON q.id = t.id;
         INSERT INTO copied SELECT * FROM types;",
        server.with("types", ""),
        server.with("db.copied", ""),
    );
    let found = rows(folder.path(), &script);
    assert_eq!(found.len(), 4, "{found:?}");
    for part in [
        "\"name\":\"Ä-1\",\"price\":1234567.250,\"seen\":\"1969-12-31 23:59:59.5\",\"at_\":\"2026-01-05 07:00:00.123456Z\",\"ok\":true,\"d\":\"0001-01-01\",\"t\":\"10:11:12.5\"",
        "\"b\":\"AP8=\",\"e\":\"happy\",\"big\":18446744073709551615,\"f4\":0.1,\"f8\":0.1,\"y\":2026",
    ] {
        assert!(found[0].contains(part), "{part}\n{}", found[0]);
    }
    let all = |table: &str| server.sql(&format!("SELECT *, HEX(b) FROM {table} ORDER BY id"));
    assert_eq!(all("types"), all("copied"));
    // What we compare by code points, and keys of several columns.
    server.sql("CREATE TABLE stays (zone INT, floor VARCHAR(9) COLLATE utf8mb4_general_ci, name VARCHAR(9)); INSERT INTO stays VALUES (1, 'a', 'one'), (1, 'a', 'uno'), (2, 'A', 'two')");
    let script = format!(
        "CREATE TEMPORARY VIEW q AS SELECT * FROM (VALUES (1, 'a'), (1, 'A'), (2, 'a'), (2, 'A'), (CAST(NULL AS INT), 'a')) AS t(a, b);
         CREATE TABLE s (zone INT, floor STRING, name STRING) {};
         SELECT q.a, q.b, s.name FROM q JOIN s ON q.a = s.zone AND q.b = s.floor;",
        server.with("stays", "")
    );
    let found = rows(folder.path(), &script);
    assert_eq!(found.len(), 3, "{found:?}");
    let script = format!(
        "CREATE TABLE types (id INT, at_ TIMESTAMP_LTZ(3)) {}; SELECT * FROM types;",
        server.with("types", "")
    );
    let error = run_badly(folder.path(), &script);
    assert!(error.contains("'at_'") && error.contains("07:00:00.123456"), "{error}");
    let wrong = server.with("types", "").replace(PASSWORD, "not-the-password-8");
    let error =
        run_badly(folder.path(), &format!("CREATE TABLE types (id INT) {wrong}; SELECT * FROM types;"));
    assert!(error.contains("Access denied") && !error.contains("not-the-password-8"), "{error}");
}

#[test]
fn scans_upserts_deletes_and_kills() {
    let Some(server) = MariaDb::shared() else { return };
    server.sql("CREATE TABLE added (id BIGINT, twice BIGINT); CREATE TABLE latest (k BIGINT PRIMARY KEY, n BIGINT, total BIGINT); CREATE TABLE counts (k BIGINT PRIMARY KEY, n BIGINT); CREATE TABLE once_ (id BIGINT PRIMARY KEY)");
    let folder = folder();
    let table = format!("CREATE TABLE added (id BIGINT, twice BIGINT) {}", server.with("added", ""));
    killed(folder.path(), &numbers(&table, "INSERT INTO added SELECT id, id * 2 FROM n"));
    assert_eq!(
        server.sql("SELECT count(*), count(DISTINCT id), sum(twice) FROM added"),
        "20000\t20000\t400020000"
    );
    let folder = crate::database::folder();
    let table = format!(
        "CREATE TABLE latest (k BIGINT, n BIGINT, total BIGINT, PRIMARY KEY (k) NOT ENFORCED) {}",
        server.with("latest", "")
    );
    killed(
        folder.path(),
        &numbers(
            &table,
            "INSERT INTO latest SELECT MOD(id, 1000), COUNT(*), SUM(id) FROM n GROUP BY MOD(id, 1000)",
        ),
    );
    assert_eq!(
        server.sql("SELECT count(*), min(n), max(n), sum(total) FROM latest"),
        "1000\t20\t20\t200010000"
    );
    let ranges = ", 'scan.partition.column' = 'id', 'scan.partition.num' = '5', 'scan.partition.lower-bound' = '1', 'scan.partition.upper-bound' = '20000'";
    let script = format!(
        "SET 'parallelism.default' = '2';
         CREATE TABLE added (id BIGINT) {}; CREATE TABLE counts (k BIGINT, n BIGINT, PRIMARY KEY (k) NOT ENFORCED) {};
         INSERT INTO counts SELECT MOD(id, 3), COUNT(*) FROM added GROUP BY MOD(id, 3) HAVING COUNT(*) <> 6666;",
        server.with("added", ranges),
        server.with("counts", "")
    );
    run_well(folder.path(), &script, &[]);
    assert_eq!(server.sql("SELECT k, n FROM counts ORDER BY k"), "1\t6667\n2\t6667");
    server.sql("INSERT INTO once_ VALUES (500)");
    let script = format!(
        "CREATE TABLE added (id BIGINT) {}; CREATE TABLE once_ (id BIGINT) {}; INSERT INTO once_ SELECT id FROM added;",
        server.with("added", ""),
        server.with("once_", "")
    );
    let error = run_badly(folder.path(), &script);
    assert!(error.contains("Duplicate entry '500'"), "{error}");
}

#[test]
fn a_server_that_crashes_under_load_loses_nothing() {
    let Some(mut server) = MariaDb::start() else { return };
    server.sql("CREATE TABLE dim (id BIGINT PRIMARY KEY, name VARCHAR(20)); INSERT INTO dim SELECT seq, CONCAT('n', seq) FROM seq_1_to_1000; CREATE TABLE out_ (id BIGINT PRIMARY KEY, name VARCHAR(20))");
    let folder = folder();
    let script = format!(
        "CREATE TABLE n (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '3000', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '15000');
         CREATE TABLE dim (id BIGINT, name STRING) {};
         CREATE TABLE sink (id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED) {};
         INSERT INTO sink SELECT n.id, d.name FROM n LEFT JOIN dim d ON MOD(n.id, 1000) + 1 = d.id;",
        server.with("dim", ", 'lookup.max-retries' = '20'"),
        server.with("out_", ", 'sink.max-retries' = '8'"),
    );
    let path = write(folder.path(), &script);
    let mut running = Running::start(affluent(folder.path(), &["run", path.to_str().unwrap(), "-q"]));
    until("rows", || server.sql("SELECT count(*) FROM out_").parse::<u64>().unwrap() > 1000);
    if let Some(mut process) = server.server.take() {
        process.kill();
    }
    std::thread::sleep(Duration::from_millis(500));
    server.begin();
    let output = running.finish();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        server.sql("SELECT count(*), count(name), sum(name <> CONCAT('n', id % 1000 + 1)) FROM out_"),
        "15000\t15000\t0"
    );
}
