//! `jdbc` against MariaDB.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::database::{folder, is_root, killed, numbers};
use crate::harness::{
    Running, Server, affluent, installed, left_out, port, run_badly, run_well, until, wait_for_port, write,
};

pub const PASSWORD: &str = "staple-battery-7";
const QUIET: &[&str] = &["-o", "json", "-q"];

pub struct MariaDb {
    folder: tempfile::TempDir,
    pub port: u16,
    server: Option<Server>,
    more: Vec<String>,
}

impl MariaDb {
    fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// With more arguments for the server.
    pub fn start_with(more: &[&str]) -> Option<Self> {
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
        let more = more.iter().map(|s| s.to_string()).collect();
        let mut server = Self { folder, port: port(), server: None, more };
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
        let arguments: Vec<&str> = arguments
            .iter()
            .chain(&self.more)
            .map(String::as_str)
            .filter(|a| is_root() || *a != "--user=mysql")
            .collect();
        self.server = Some(Server::start("mariadbd", &arguments, path));
        wait_for_port(self.port);
        until("MariaDB", || self.try_sql("root", "", "SELECT 1").is_ok());
    }

    /// Ends it as a crash would, and begins again.
    pub fn restart(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill();
        }
        until("the end of MariaDB", || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err());
        self.begin();
    }

    pub fn try_sql(&self, user: &str, password: &str, sql: &str) -> Result<String, String> {
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

    pub fn as_root(&self, sql: &str) -> String {
        self.try_sql("root", "", sql).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    pub fn sql(&self, sql: &str) -> String {
        self.try_sql("someone", PASSWORD, sql).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    pub fn with(&self, table: &str, more: &str) -> String {
        format!(
            "WITH ('connector' = 'jdbc', 'url' = 'jdbc:mariadb://127.0.0.1:{}/db', 'table-name' = '{table}', 'username' = 'someone', 'password' = '{PASSWORD}'{more})",
            self.port
        )
    }
}

fn rows(folder: &Path, script: &str) -> Vec<String> {
    let text = run_well(folder, script, QUIET).replace("\"op\":\"+I\",", "");
    let mut rows: Vec<String> = text.lines().map(str::to_string).collect();
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
fn nothing_is_taken_for_something_else() {
    let Some(server) = MariaDb::shared() else { return };
    server.sql(
        "SET time_zone = '+00:00'; CREATE TABLE odd (id INT PRIMARY KEY, dt DATETIME(6), ts TIMESTAMP(6) NULL, n DECIMAL(30, 10), x DOUBLE, big BIGINT UNSIGNED, t TIME(6), d DATETIME, j JSON, i BIGINT);
         INSERT INTO odd VALUES (1, '2026-03-29 02:30:00.123456', '2026-03-29 01:30:00', 12345678901234567890.1234567891, 0.1, 18446744073709551615, '10:00:00.000001', '2026-01-05 08:00:00', '{\"a\": 1, \"b\": [\"x, y\"]}', 1767261600)",
    );
    let folder = folder();
    for (column, of, says) in [
        ("dt", "TIMESTAMP_LTZ(6)", "declare it as TIMESTAMP(6)"),
        ("ts", "TIMESTAMP(6)", "declare it as TIMESTAMP_LTZ(6)"),
        ("n", "DOUBLE", "declare it as DECIMAL(30, 10)"),
        ("n", "DECIMAL(30, 9)", "12345678901234567890.1234567891 does not fit DECIMAL(30, 9)"),
        ("x", "FLOAT", "declare it as DOUBLE"),
        ("big", "BIGINT", "18446744073709551615 does not fit BIGINT"),
        ("t", "TIME(6)", "STRING keeps it"),
        ("d", "DATE", "2026-01-05 08:00:00 does not fit DATE"),
        ("j", "ARRAY<STRING>", "'j'"),
        ("i", "TIMESTAMP(3)", "an integer where TIMESTAMP(3)"),
    ] {
        let table = format!("CREATE TABLE odd (id INT, {column} {of}) {};", server.with("odd", ""));
        for script in [
            format!("{table} SELECT {column} FROM odd;"),
            format!("{table} SELECT q.id, o.{column} FROM (VALUES (1)) AS q(id) JOIN odd o ON q.id = o.id;"),
        ] {
            let error = run_badly(folder.path(), &script);
            assert!(error.contains(says) && error.contains(&format!("'{column}'")), "{column} {of}: {error}");
        }
    }
    let script = format!(
        "SET 'table.local-time-zone' = 'Europe/Berlin';
         CREATE TABLE odd (dt TIMESTAMP(6), ts TIMESTAMP_LTZ(6), j ROW<a INT, b ARRAY<STRING>>, n DECIMAL(38, 10)) {};
         SELECT CAST(dt AS STRING) AS dt, CAST(ts AS STRING) AS ts, j, n FROM odd;",
        server.with("odd", "")
    );
    assert_eq!(
        rows(folder.path(), &script),
        [
            r#"{"dt":"2026-03-29 02:30:00.123456","ts":"2026-03-29 03:30:00.000000","j":{"a":1,"b":["x, y"]},"n":12345678901234567890.1234567891}"#
        ]
    );
}

#[test]
fn nothing_is_rounded_on_its_way_in() {
    let Some(server) = MariaDb::shared() else { return };
    server.sql(
        "CREATE TABLE narrow (id INT PRIMARY KEY, n DECIMAL(5, 2), i INT, f FLOAT, x DOUBLE, dt DATETIME, ts TIMESTAMP(3) NULL, t TIME, d DATE, j JSON, s DECIMAL(5, 1))",
    );
    let folder = folder();
    let table = |column: &str, of: &str, key: &str| {
        format!("CREATE TABLE narrow (id INT, {column} {of}{key}) {};", server.with("narrow", ""))
    };
    for (column, of, value, says) in [
        ("n", "DECIMAL(10, 3)", "1.234", "1.234 does not fit DECIMAL(5, 2)"),
        ("n", "DOUBLE", "CAST(0.125 AS DOUBLE)", "0.125 does not fit DECIMAL(5, 2)"),
        ("s", "STRING", "'1.25'", "1.25 does not fit DECIMAL(5, 1)"),
        ("i", "DECIMAL(5, 1)", "1.5", "1.5 does not fit INT"),
        ("f", "BIGINT", "CAST(16777217 AS BIGINT)", "16777217 does not fit FLOAT"),
        ("f", "DOUBLE", "CAST(0.1 AS DOUBLE)", "declare it as FLOAT"),
        ("x", "DECIMAL(20, 2)", "1.25", "declare it as DOUBLE"),
        ("dt", "TIMESTAMP(3)", "TIMESTAMP '2026-01-05 08:00:00.5'", "does not fit DATETIME"),
        ("dt", "TIMESTAMP_LTZ(3)", "TO_TIMESTAMP_LTZ(0, 3)", "declare it as TIMESTAMP(0)"),
        ("ts", "TIMESTAMP(3)", "TIMESTAMP '2026-01-05 08:00:00'", "declare it as TIMESTAMP_LTZ(3)"),
        (
            "ts",
            "TIMESTAMP_LTZ(6)",
            "CAST(TIMESTAMP '2026-01-05 08:00:00.000001' AS TIMESTAMP_LTZ(6))",
            "does not fit TIMESTAMP(3)",
        ),
        ("t", "TIME(3)", "TIME '10:00:00.5'", "does not fit TIME"),
        ("d", "TIMESTAMP(3)", "TIMESTAMP '2026-01-05 08:00:00'", "declare it as DATE"),
    ] {
        for key in ["", ", PRIMARY KEY (id) NOT ENFORCED"] {
            let script = format!("{} INSERT INTO narrow VALUES (1, {value});", table(column, of, key));
            let error = run_badly(folder.path(), &script);
            assert!(error.contains(says) && error.contains(&format!("'{column}'")), "{column} {of}: {error}");
        }
    }
    assert_eq!(server.sql("SELECT count(*) FROM narrow"), "0");
    let script = format!(
        "CREATE TABLE narrow (id INT, n DOUBLE, i DECIMAL(5, 1), f INT, x BIGINT, dt TIMESTAMP(3), ts TIMESTAMP_LTZ(6), t TIME(3), d DATE, j ROW<a INT, b ARRAY<STRING>>) {};
         INSERT INTO narrow VALUES (1, CAST(1.23 AS DOUBLE), 7.0, 16777216, 9007199254740992, TIMESTAMP '2026-01-05 08:00:00', TO_TIMESTAMP_LTZ(1500, 3), TIME '10:00:00', DATE '2026-01-05', ROW(1, ARRAY['x, y']));",
        server.with("narrow", "")
    );
    run_well(folder.path(), &script, &[]);
    assert_eq!(
        server.sql("SET time_zone = '+00:00'; SELECT n, i, f, x, dt, ts, t, d, j FROM narrow"),
        "1.23\t7\t16777200\t9.007199254740992e15\t2026-01-05 08:00:00\t1970-01-01 00:00:01.500\t10:00:00\t2026-01-05\t{\"a\":1,\"b\":[\"x, y\"]}"
    );
}

#[test]
fn columns_come_from_the_database() {
    let Some(server) = MariaDb::shared() else { return };
    server.sql(
        "CREATE TABLE `a.b` (id BIGINT UNSIGNED PRIMARY KEY, ok BOOLEAN, s SMALLINT, su SMALLINT UNSIGNED, n DECIMAL(8, 2), nu DECIMAL(8, 2) UNSIGNED, f FLOAT, x DOUBLE, c CHAR(2), b VARBINARY(9), dt DATETIME(3), ts TIMESTAMP NULL, t TIME(6), j JSON, e ENUM('a', 'b'));
         INSERT INTO `a.b` (id, ok, c, n) VALUES (18446744073709551615, 1, 'NO', 1.5)",
    );
    let folder = folder();
    let with = server.with("`a.b`", "");
    let shown = run_well(folder.path(), &format!("CREATE TABLE o {with}; SHOW CREATE TABLE o;"), &[]);
    for part in [
        "`id` DECIMAL(20, 0) NOT NULL",
        "`ok` BOOLEAN",
        "`s` SMALLINT",
        "`su` INT",
        "`n` DECIMAL(8, 2)",
        "`nu` DECIMAL(8, 2)",
        "`f` FLOAT",
        "`x` DOUBLE",
        "`c` STRING",
        "`b` BYTES",
        "`dt` TIMESTAMP(3)",
        "`ts` TIMESTAMP_LTZ(0)",
        "`t` STRING",
        "`j` STRING",
        "`e` STRING",
        "PRIMARY KEY (`id`) NOT ENFORCED",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let found = rows(folder.path(), &format!("CREATE TABLE o {with}; SELECT id, ok, n, c FROM o;"));
    assert!(
        found.contains(&r#"{"id":18446744073709551615,"ok":true,"n":1.50,"c":"NO"}"#.to_string()),
        "{found:?}"
    );
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
