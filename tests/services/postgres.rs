//! `jdbc` against PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::database::{folder, is_root, killed, numbers};
use crate::harness::{
    Running, Server, affluent, installed, left_out, port, run_badly, run_well, until, wait_for_port, write,
};

pub const PASSWORD: &str = "correct-horse-7";

pub struct Postgres {
    folder: tempfile::TempDir,
    pub port: u16,
    server: Option<Server>,
    more: Vec<String>,
}

fn program(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        versions.map(|v| v.path().join("bin").join(name)).filter(|p| p.exists()).collect();
    found.sort();
    found.pop().or_else(|| installed(name).then(|| PathBuf::from(name)))
}

/// A program as the user that a server runs as.
fn as_user(program: &Path, arguments: &[&str]) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments);
    command
}

/// Whether a process is gone, or has ended and waits for who started it.
fn has_ended(pid: &str) -> bool {
    if pid.is_empty() {
        return true;
    }
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.trim_start().starts_with('Z'))
}

impl Postgres {
    pub fn start(more: &[&str]) -> Option<Self> {
        let (Some(initdb), Some(_), true) = (program("initdb"), program("postgres"), installed("psql"))
        else {
            left_out("PostgreSQL", "initdb, postgres or psql is not installed");
            return None;
        };
        let folder = folder();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
        if is_root() {
            let owned = Command::new("chown").args(["postgres", data.to_str().unwrap()]).status();
            if !owned.is_ok_and(|s| s.success()) || !installed("runuser") || !installed("setpriv") {
                left_out("PostgreSQL", "there is no user 'postgres'");
                return None;
            }
        }
        let password = folder.path().join("password");
        let arguments = [
            "-D",
            data.to_str().unwrap(),
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "--pwfile",
            password.to_str().unwrap(),
        ];
        let made = as_user(&initdb, &arguments).current_dir("/").output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let more = more.iter().map(|s| s.to_string()).collect();
        let mut postgres = Self { folder, port: port(), server: None, more };
        postgres.begin();
        Some(postgres)
    }

    /// The one that tests share which do it no harm.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        SHARED.get_or_init(|| Postgres::start(&[])).as_ref()
    }

    pub fn begin(&mut self) {
        let data = self.folder.path().join("data");
        let port = self.port.to_string();
        let postgres = program("postgres").unwrap();
        let mut arguments = vec![
            "-D",
            data.to_str().unwrap(),
            "-p",
            &port,
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "fsync=off",
        ];
        arguments.extend(self.more.iter().map(String::as_str));
        self.server = Some(if is_root() {
            // Not runuser, which stands between: what ends it must end the server.
            let mut all =
                vec!["--reuid=postgres", "--regid=postgres", "--clear-groups", postgres.to_str().unwrap()];
            all.extend(arguments);
            Server::start("setpriv", &all, self.folder.path())
        } else {
            Server::start(postgres.to_str().unwrap(), &arguments, self.folder.path())
        });
        wait_for_port(self.port);
        until("PostgreSQL", || self.try_sql("SELECT 1").is_ok());
    }

    /// Ends it as a crash would.
    pub fn crash(&mut self) {
        let pid = self.quit();
        until("the end of PostgreSQL", || has_ended(&pid));
        self.server = None;
    }

    /// Tells it to end at once, with all that it has started. Its process.
    pub fn quit(&self) -> String {
        let file = self.folder.path().join("data/postmaster.pid");
        let pid = std::fs::read_to_string(file).unwrap_or_default().lines().next().unwrap_or("").to_string();
        if !pid.is_empty() {
            let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        }
        pid
    }

    pub fn try_sql(&self, sql: &str) -> Result<String, String> {
        let mut command = Command::new("psql");
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-U",
            "postgres",
            "-qAtX",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
        ]);
        let output = command.env("PGPASSWORD", PASSWORD).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    pub fn with(&self, table: &str, more: &str) -> String {
        self.with_url(table, "", more)
    }

    pub fn with_url(&self, table: &str, parameters: &str, more: &str) -> String {
        format!(
            "WITH ('connector' = 'jdbc', 'url' = 'jdbc:postgresql://127.0.0.1:{}/postgres{parameters}', 'table-name' = '{table}', 'username' = 'postgres', 'password' = '{PASSWORD}'{more})",
            self.port
        )
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.server.is_some() {
            // Without a panic, for this may be the end of a test that failed.
            let pid = self.quit();
            let deadline = Instant::now() + Duration::from_secs(10);
            while !has_ended(&pid) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

const QUIET: &[&str] = &["-o", "json", "-q"];

fn rows(folder: &Path, script: &str) -> Vec<String> {
    let text = run_well(folder, script, QUIET).replace("\"op\":\"+I\",", "");
    let mut rows: Vec<String> = text.lines().map(str::to_string).collect();
    rows.sort();
    rows
}

pub const COLUMNS: &str = "id INT, name STRING, price DECIMAL(12, 3), seen TIMESTAMP(3), at_ TIMESTAMP_LTZ(6), ok BOOLEAN, d DATE, t TIME, u STRING, j STRING, jb STRING, b BYTES, tags ARRAY<STRING>, nums ARRAY<BIGINT>, m STRING, big BIGINT, f4 FLOAT, f8 DOUBLE, c STRING, ip STRING";

#[test]
fn types_go_both_ways() {
    let Some(postgres) = Postgres::shared() else { return };
    postgres.sql(
        "CREATE TYPE mood AS ENUM ('sad', 'happy');
         CREATE TABLE types (id int PRIMARY KEY, name varchar(40), price numeric(10, 2), seen timestamp(3), at_ timestamptz, ok boolean, d date, t time(3), u uuid, j json, jb jsonb, b bytea, tags text[], nums bigint[], m mood, big bigint, f4 real, f8 double precision, c char(6), ip inet);
         INSERT INTO types VALUES (1, 'Ä-1', 1234567.25, '1969-12-31 23:59:59.5', '2026-01-05 08:00:00.123456+01', true, '0001-01-01', '10:11:12.5', '00000000-0000-0000-0000-00000000000a', '{\"a\": 1}', '{\"a\":[1,2]}', '\\x00ff', ARRAY['x', NULL, 'y\"'], ARRAY[1, NULL], 'happy', 9007199254740993, 1.5, 0.1, 'ab', '10.0.0.1'),
           (2, '', -0.01, '2026-01-05 08:00:00', '2026-01-05 08:00:00+00', false, '2026-02-28', '00:00:00', 'ffffffff-0000-0000-0000-00000000000a', '[]', 'null', '', '{}', '{}', 'sad', -1, 'NaN', '-Infinity', '', '::1/128');
         INSERT INTO types (id) VALUES (3);
         CREATE TABLE types_copy (LIKE types INCLUDING ALL);
         CREATE TABLE types_added (LIKE types)",
    );
    let folder = folder();
    let script = format!(
        "CREATE TABLE types ({COLUMNS}) {};
         CREATE TABLE copy ({COLUMNS}, PRIMARY KEY (id) NOT ENFORCED) {};
         CREATE TABLE added ({COLUMNS}) {};
         CREATE TABLE q (id INT) WITH ('connector' = 'datagen', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '4');
         SELECT q.id AS asked, t.* FROM q LEFT JOIN types t ON q.id = t.id;
         INSERT INTO copy SELECT * FROM types;
         INSERT INTO added SELECT * FROM types;",
        postgres.with("types", ""),
        postgres.with("public.types_copy", ""),
        postgres.with("types_added", ""),
    );
    let found = rows(folder.path(), &script);
    assert_eq!(found.len(), 4, "{found:?}");
    for part in [
        "\"name\":\"Ä-1\",\"price\":1234567.250,\"seen\":\"1969-12-31 23:59:59.5\",\"at_\":\"2026-01-05 07:00:00.123456Z\"",
        "\"t\":\"10:11:12.5\",\"u\":\"00000000-0000-0000-0000-00000000000a\"",
        "\"b\":\"AP8=\",\"tags\":[\"x\",null,\"y\\\"\"],\"nums\":[1,null],\"m\":\"happy\",\"big\":9007199254740993,\"f4\":1.5,\"f8\":0.1,\"c\":\"ab\"",
    ] {
        assert!(found[0].contains(part), "{part}\n{}", found[0]);
    }
    for copy in ["types_copy", "types_added"] {
        let differ = format!(
            "SELECT count(*) FROM (SELECT types::text FROM types EXCEPT SELECT {copy}::text FROM {copy}) x"
        );
        assert_eq!(postgres.sql(&differ), "0", "{copy}: {}", postgres.sql(&format!("SELECT * FROM {copy}")));
        assert_eq!(postgres.sql(&format!("SELECT count(*) FROM {copy}")), "3");
    }
    // What does not fit is refused, and not cut.
    for (column, of, says) in [
        ("at_", "TIMESTAMP_LTZ(3)", "2026-01-05 07:00:00.123456"),
        ("price", "DECIMAL(10, 1)", "decimal places"),
        ("big", "INT", "9007199254740993"),
        ("seen", "TIMESTAMP_LTZ(3)", "declare it as TIMESTAMP(6)"),
        ("name", "INT", "declare it as STRING"),
    ] {
        let script = format!(
            "CREATE TABLE types (id INT, {column} {of}) {}; CREATE TABLE q (id INT) WITH ('connector' = 'datagen', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '1'); SELECT q.id, t.{column} FROM q LEFT JOIN types t ON q.id = t.id;",
            postgres.with("types", "")
        );
        let error = run_badly(folder.path(), &script);
        assert!(error.contains(says) && error.contains(&format!("'{column}'")), "{column}: {error}");
    }
}

#[test]
fn texts_are_asked_for_as_what_they_are_there() {
    let Some(postgres) = Postgres::start(&["-c", "log_statement=all", "-c", "enable_seqscan=off"]) else {
        return;
    };
    postgres.sql(
        "CREATE TYPE mood AS ENUM ('sad', 'happy');
         CREATE TABLE addresses (ip inet PRIMARY KEY, v text);
         INSERT INTO addresses VALUES ('10.0.0.1', 'host'), ('10.0.0.0/8', 'net'), ('::1', 'six');
         CREATE TABLE countries (c char(3) PRIMARY KEY, v text);
         INSERT INTO countries VALUES ('NO', 'Norway'), ('DEU', 'Germany');
         CREATE TABLE moods (m mood, n int, v text, PRIMARY KEY (m, n));
         INSERT INTO moods VALUES ('sad', 1, 'rain'), ('happy', 1, 'sun'), ('happy', 2, 'snow');
         CREATE TABLE numbers (id bigint PRIMARY KEY, v text); INSERT INTO numbers VALUES (7, 'seven')",
    );
    let folder = folder();
    let keys = "'10.0.0.1', '10.0.0.0/8', '::1', '10.0.0.2', 'no address', 'NO', 'NO ', 'DEU', 'happy', 'nobody', '7', '07'";
    let view = format!(
        "CREATE TEMPORARY VIEW q AS SELECT k FROM (VALUES {}) AS t(k);",
        keys.split(", ").map(|key| format!("({key})")).collect::<Vec<_>>().join(", ")
    );
    let ask = |table: &str, columns: &str, condition: &str| -> Vec<String> {
        let script = format!(
            "{view} CREATE TABLE d ({columns}, v STRING) {}; SELECT q.k, d.v FROM q JOIN d ON {condition};",
            postgres.with(table, "")
        );
        rows(folder.path(), &script)
    };
    // As psql prints them: without the mask of a single address.
    assert_eq!(
        ask("addresses", "ip STRING", "q.k = d.ip"),
        [r#"{"k":"10.0.0.0/8","v":"net"}"#, r#"{"k":"10.0.0.1","v":"host"}"#, r#"{"k":"::1","v":"six"}"#]
    );
    assert_eq!(
        ask("countries", "c STRING", "q.k = d.c"),
        [r#"{"k":"DEU","v":"Germany"}"#, r#"{"k":"NO","v":"Norway"}"#]
    );
    assert_eq!(
        ask("moods", "m STRING, n INT", "q.k = d.m"),
        [r#"{"k":"happy","v":"snow"}"#, r#"{"k":"happy","v":"sun"}"#]
    );
    assert_eq!(ask("moods", "m STRING, n INT", "q.k = d.m AND d.n = 2"), [r#"{"k":"happy","v":"snow"}"#]);
    assert_eq!(ask("numbers", "id STRING", "q.k = d.id"), [r#"{"k":"7","v":"seven"}"#]);
    // What was asked can use the index of the column.
    let log = std::fs::read_to_string(postgres.folder.path().join("server.log")).unwrap();
    for part in [
        r#""ip" = ANY($1::text[]::"#,
        r#""c" = ANY($1::text[]::"#,
        r#""m" = ANY(ARRAY(SELECT"#,
        r#""id" = ANY($1::text[]::"#,
    ] {
        assert!(log.contains(part), "{part}");
    }
    let plan = postgres.sql(
        "EXPLAIN SELECT * FROM moods WHERE m = ANY(ARRAY(SELECT CASE WHEN k = ANY(enum_range(NULL::mood)::text[]) THEN k::mood END FROM unnest(ARRAY['happy', 'x']) WITH ORDINALITY AS t(k, n) ORDER BY n))",
    );
    assert!(plan.contains("moods_pkey"), "{plan}");
    // The address as a column that is no key, and a label that came later.
    let all = format!("CREATE TABLE a (ip STRING) {}; SELECT * FROM a;", postgres.with("addresses", ""));
    assert_eq!(rows(folder.path(), &all)[1], r#"{"ip":"10.0.0.1"}"#);
}

#[test]
fn nothing_is_rounded_on_its_way_in() {
    let Some(postgres) = Postgres::shared() else { return };
    postgres.sql("CREATE TABLE narrow (id int PRIMARY KEY, n numeric(5, 2), t timestamp(0), z timestamptz(3), d time(0), a numeric(5, 1)[])");
    let folder = folder();
    let columns =
        "id INT, n DECIMAL(10, 3), t TIMESTAMP(3), z TIMESTAMP_LTZ(6), d TIME(3), a ARRAY<DECIMAL(5, 2)>";
    let table = |key: &str| format!("CREATE TABLE narrow ({columns}{key}) {};", postgres.with("narrow", ""));
    for (column, value, says) in [
        ("n", "1.234", "1.234 does not fit numeric(5, 2)"),
        ("t", "TIMESTAMP '2026-01-05 08:00:00.5'", "timestamp(0)"),
        ("z", "CAST(TIMESTAMP '2026-01-05 08:00:00.000001' AS TIMESTAMP_LTZ(6))", "timestamp(3)"),
        ("d", "TIME '10:00:00.5'", "time(0)"),
        ("a", "ARRAY[CAST(1.25 AS DECIMAL(5, 2))]", "1.25 does not fit numeric(5, 1)"),
    ] {
        for key in ["", ", PRIMARY KEY (id) NOT ENFORCED"] {
            let script = format!("{} INSERT INTO narrow (id, {column}) VALUES (1, {value});", table(key));
            let error = run_badly(folder.path(), &script);
            assert!(
                error.contains(says) && error.contains(&format!("'{column}'")) && !error.contains("batch 0"),
                "{column}: {error}"
            );
        }
    }
    let script = format!(
        "{} INSERT INTO narrow VALUES (1, 1.23, TIMESTAMP '2026-01-05 08:00:00', TO_TIMESTAMP_LTZ(1500, 3), TIME '10:00:00', ARRAY[CAST(1.5 AS DECIMAL(5, 2))]);",
        table("")
    );
    run_well(folder.path(), &script, &[]);
    assert_eq!(
        postgres.sql("SELECT n, t, z AT TIME ZONE 'UTC', d, a FROM narrow"),
        "1.23|2026-01-05 08:00:00|1970-01-01 00:00:01.5|10:00:00|{1.5}"
    );
    // A time of day that has more digits than ours: it is said, and how it can be had.
    postgres.sql("CREATE TABLE clocks AS SELECT '23:59:59.123456'::time AS t");
    let read =
        |of: &str| format!("CREATE TABLE c (t {of}) {}; SELECT * FROM c;", postgres.with("clocks", ""));
    let error = run_badly(folder.path(), &read("TIME(6)"));
    assert!(error.contains("23:59:59.123456") && error.contains("STRING keeps it"), "{error}");
    assert_eq!(rows(folder.path(), &read("STRING")), [r#"{"t":"23:59:59.123456"}"#]);
}

#[test]
fn columns_come_from_the_database() {
    let Some(postgres) = Postgres::shared() else { return };
    postgres.sql(
        "CREATE SCHEMA \"other.schema\";
         CREATE TABLE \"other.schema\".\"a.b\" (k2 text, k1 int, n numeric(8, 2), t timestamp(3), z timestamptz, d time(3), u uuid, tags text[], j jsonb, f real, x bytea, c char(2), PRIMARY KEY (k1, k2));
         INSERT INTO \"other.schema\".\"a.b\" VALUES ('x', 1, 1.5, '2026-01-05 08:00:00', '2026-01-05 08:00:00+01', '10:00:00', NULL, ARRAY['a'], '{}', 1.5, 'b', 'NO')",
    );
    let folder = folder();
    let with = postgres.with("\"other.schema\".\"a.b\"", "");
    let shown = run_well(folder.path(), &format!("CREATE TABLE o {with}; SHOW CREATE TABLE o;"), &[]);
    for part in [
        "`k2` STRING NOT NULL",
        "`k1` INT NOT NULL",
        "`n` DECIMAL(8, 2)",
        "`t` TIMESTAMP(3)",
        "`z` TIMESTAMP_LTZ(6)",
        "`d` TIME(3)",
        "`u` STRING",
        "`tags` ARRAY<STRING>",
        "`j` STRING",
        "`f` FLOAT",
        "`x` BYTES",
        "PRIMARY KEY (`k1`, `k2`) NOT ENFORCED",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let script = format!(
        "CREATE TABLE o {with}; INSERT INTO o (k1, k2, n) VALUES (1, 'x', 2.5), (2, 'y', 3);
         CREATE TABLE p {with}; SELECT k2, n, c FROM p;"
    );
    let script = format!("SET 'table.dml-sync' = 'true'; {script}");
    let found = rows(folder.path(), &script).join("\n");
    assert!(found.contains(r#"{"k2":"x","n":2.50,"c":null}"#) && found.contains(r#""k2":"y""#), "{found}");
    let error = run_badly(folder.path(), &format!("CREATE TABLE o {};", postgres.with("nope", "")));
    assert!(error.contains("relation \"nope\" does not exist"), "{error}");
    // A catalog has them all, those of other schemas with their names.
    let catalog = format!(
        "CREATE CATALOG pg WITH ('type' = 'jdbc', 'base-url' = 'jdbc:postgresql://127.0.0.1:{}', 'default-database' = 'postgres', 'username' = 'postgres', 'password' = '{PASSWORD}');",
        postgres.port
    );
    postgres.sql("CREATE TABLE \"in the catalog\" AS SELECT 7 AS id, 'x'::text AS name");
    let script = format!(
        "{catalog} SHOW TABLES FROM pg.postgres; SELECT * FROM pg.postgres.`in the catalog`; SELECT k1, n FROM pg.postgres.`other.schema.a.b` WHERE k1 = 2;"
    );
    let found = rows(folder.path(), &script).join("\n");
    for part in ["in the catalog", "other.schema.a.b", r#"{"id":7,"name":"x"}"#, r#"{"k1":2,"n":3.00}"#] {
        assert!(found.contains(part), "{part}\n{found}");
    }
    // What is declared, and is not there, is told by asking.
    let check = |columns: &str| {
        let script = write(folder.path(), &format!("CREATE TABLE o ({columns}) {with};"));
        let output =
            affluent(folder.path(), &["check", "--connect", script.to_str().unwrap()]).output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).to_string() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    };
    let (good, said) = check("k1 INT, n DECIMAL(8, 2)");
    assert!(good && said.contains("12 columns, PRIMARY KEY (k1, k2)"), "{said}");
    let (good, said) = check("k1 INT, tagz STRING");
    assert!(
        !good && said.contains("has no column 'tagz'") && said.contains("did you mean 'tags'?"),
        "{said}"
    );
}

#[test]
fn keys_are_found_as_we_compare_them() {
    let Some(postgres) = Postgres::shared() else { return };
    postgres.sql(
        "CREATE TYPE size AS ENUM ('s', 'm');
         CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TABLE keys (a int, b text COLLATE nocase, u uuid, e size, n numeric(8, 2), v text);
         INSERT INTO keys VALUES (1, 'x', '00000000-0000-0000-0000-000000000001', 's', 1.50, 'one'), (1, 'x', NULL, NULL, NULL, 'uno'), (2, 'y', NULL, 'm', 2, 'two')",
    );
    let folder = folder();
    let query = "CREATE TEMPORARY VIEW q AS SELECT * FROM (VALUES (1, 'x'), (1, 'X'), (2, 'y'), (CAST(NULL AS INT), 'x'), (9, 'x')) AS t(a, b)";
    let table = |more: &str| {
        format!(
            "{query}; CREATE TABLE k (a INT, b STRING, u STRING, e STRING, n DECIMAL(8, 2), v STRING) {};",
            postgres.with("keys", more)
        )
    };
    let ask = |condition: &str| {
        rows(folder.path(), &format!("{} SELECT q.a, q.b, k.v FROM q LEFT JOIN k ON {condition};", table("")))
            .iter()
            .filter_map(|row| row.split("\"v\":").nth(1).map(|v| v.trim_end_matches('}').to_string()))
            .collect::<Vec<_>>()
            .join(" ")
    };
    // The collation says that 'X' is 'x'; we do not.
    let found = ask("q.a = k.a AND q.b = k.b");
    assert_eq!(found.matches("\"one\"").count(), 1, "{found}");
    assert_eq!(
        (found.matches("\"uno\"").count(), found.matches("\"two\"").count(), found.matches("null").count()),
        (1, 1, 3),
        "{found}"
    );
    // Texts that are no value of the column's type are not there.
    let found = ask("q.b = k.u");
    assert_eq!(found.matches("null").count(), 5, "{found}");
    let found = ask("q.b = k.e");
    assert_eq!(found.matches("null").count(), 5, "{found}");
    let found = ask("k.e = 's' AND k.n = 1.5 AND q.a = k.a");
    assert_eq!((found.matches("\"one\"").count(), found.matches("null").count()), (2, 3), "{found}");
    let found = ask("q.a = k.a AND k.b <> 'X' AND k.v > 'one' AND k.u IS NULL");
    assert_eq!((found.matches("\"uno\"").count(), found.matches("\"two\"").count()), (2, 1), "{found}");
    // The same from a copy of the whole table.
    let full = table(", 'lookup.cache' = 'FULL', 'lookup.full-cache.periodic-reload.interval' = '1 h'");
    let found = rows(folder.path(), &format!("{full} SELECT k.v FROM q JOIN k ON q.a = k.a AND q.b = k.b;"));
    assert_eq!(found.len(), 3, "{found:?}");
    // One key that fails spoils no other. (A column that is not read cannot fail.)
    postgres.sql("CREATE TABLE spoilt (id int, v bigint); INSERT INTO spoilt SELECT i, i FROM generate_series(1, 300) i; UPDATE spoilt SET v = 5000000000 WHERE id = 77");
    let script = format!(
        "CREATE TABLE n (id INT) WITH ('connector' = 'datagen', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '300');
         CREATE TABLE s (id INT, v INT, outcome STRING METADATA VIRTUAL, kind STRING METADATA FROM 'error-kind' VIRTUAL, said STRING METADATA FROM 'error-string' VIRTUAL) {};
         SELECT n.id, s.v, s.outcome, s.kind, s.said FROM n LEFT JOIN s ON n.id = s.id WHERE s.outcome <> 'ok';",
        postgres.with("spoilt", ", 'lookup.on-error' = 'null'")
    );
    let found = rows(folder.path(), &script);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("\"id\":77") && found[0].contains("decode") && found[0].contains("5000000000"),
        "{found:?}"
    );
}

#[test]
fn scans_in_ranges_and_upserts_with_deletes() {
    let Some(postgres) = Postgres::shared() else { return };
    postgres.sql(
        "CREATE TABLE numbers AS SELECT i AS id, i % 7 AS k, 'n' || i AS name FROM generate_series(1, 100000) i;
         CREATE TABLE counts (k int PRIMARY KEY, n bigint, total bigint);
         INSERT INTO counts VALUES (6, 0, 0)",
    );
    let folder = folder();
    let ranges = ", 'scan.partition.column' = 'id', 'scan.partition.num' = '7', 'scan.partition.lower-bound' = '1', 'scan.partition.upper-bound' = '100000'";
    let script = format!(
        "SET 'parallelism.default' = '3';
         CREATE TABLE numbers (id BIGINT, k INT, name STRING) {};
         CREATE TABLE counts (k INT, n BIGINT, total BIGINT, PRIMARY KEY (k) NOT ENFORCED) {};
         SELECT COUNT(*) AS n, COUNT(DISTINCT name) AS names, SUM(id) AS total FROM numbers;
         INSERT INTO counts SELECT k, COUNT(*), SUM(id) FROM numbers GROUP BY k HAVING MOD(COUNT(*), 14286) > 0;",
        postgres.with("numbers", ranges),
        postgres.with("counts", ""),
    );
    let found = run_well(folder.path(), &script, QUIET);
    assert!(
        found.trim().lines().last().unwrap().contains("\"n\":100000,\"names\":100000,\"total\":5000050000"),
        "{found}"
    );
    // Groups that grew to 14,286 were taken back.
    let truth = "SELECT k, count(*), sum(id) FROM numbers GROUP BY k HAVING count(*) % 14286 > 0 ORDER BY k";
    assert_eq!(postgres.sql("SELECT * FROM counts WHERE n > 0 ORDER BY k"), postgres.sql(truth));
    // A key that is there twice is no broken connection: it is not tried again.
    postgres.sql("CREATE TABLE once (id bigint PRIMARY KEY); INSERT INTO once VALUES (500)");
    let script = format!(
        "CREATE TABLE numbers (id BIGINT) {}; CREATE TABLE once (id BIGINT) {}; INSERT INTO once SELECT id FROM numbers;",
        postgres.with("numbers", ""),
        postgres.with("once", "")
    );
    let before = std::time::Instant::now();
    let error = run_badly(folder.path(), &script);
    assert!(error.contains("once_pkey") && error.contains("(500)"), "{error}");
    assert!(before.elapsed() < Duration::from_secs(20));
    // What an upsert needs is said.
    postgres.sql("CREATE TABLE bare (id bigint, v bigint)");
    let script = format!(
        "CREATE TABLE numbers (id BIGINT, k INT) {}; CREATE TABLE bare (id BIGINT, v BIGINT, PRIMARY KEY (id) NOT ENFORCED) {}; INSERT INTO bare SELECT id, k FROM numbers;",
        postgres.with("numbers", ""),
        postgres.with("bare", "")
    );
    let error = run_badly(folder.path(), &script);
    assert!(error.contains("CREATE UNIQUE INDEX ON bare"), "{error}");
}

#[test]
fn passwords_are_not_told() {
    let Some(postgres) = Postgres::shared() else { return };
    let folder = folder();
    let wrong = postgres.with("x", "").replace(PASSWORD, "not-the-password-8");
    let script = format!("CREATE TABLE t (id INT) {wrong}; SELECT * FROM t;");
    let error = run_badly(folder.path(), &script);
    assert!(
        error.contains("password authentication failed") && !error.contains("not-the-password-8"),
        "{error}"
    );
    let script = format!(
        "CREATE TABLE t (id INT) {}; SHOW CREATE TABLE t; EXPLAIN SELECT * FROM t;",
        postgres.with("x", "").replace(PASSWORD, "${SECRET}")
    );
    let path = write(folder.path(), &script);
    let mut command = affluent(folder.path(), &["run", path.to_str().unwrap()]);
    let output = command.env("SECRET", "not-the-password-8").output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !said.contains("not-the-password-8"), "{said}");
}

#[test]
fn a_server_that_crashes_under_load_loses_nothing() {
    let Some(mut postgres) = Postgres::start(&[]) else { return };
    postgres.sql("CREATE TABLE dim AS SELECT i AS id, 'n' || i AS name FROM generate_series(1, 1000) i; CREATE INDEX ON dim (id); CREATE TABLE out (id bigint, name text)");
    let folder = folder();
    let script = format!(
        "CREATE TABLE n (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '3000', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '20000');
         CREATE TABLE dim (id BIGINT, name STRING) {};
         CREATE TABLE sink (id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED) {};
         INSERT INTO sink SELECT n.id, d.name FROM n LEFT JOIN dim d ON MOD(n.id, 1000) + 1 = d.id;",
        postgres.with("dim", ", 'lookup.max-retries' = '20'"),
        postgres.with("out", ", 'sink.max-retries' = '8'"),
    );
    postgres.sql("CREATE UNIQUE INDEX ON out (id)");
    let path = write(folder.path(), &script);
    let mut running = Running::start(affluent(folder.path(), &["run", path.to_str().unwrap(), "-q"]));
    until("rows", || postgres.sql("SELECT count(*) FROM out").parse::<u64>().unwrap() > 1000);
    postgres.crash();
    std::thread::sleep(Duration::from_millis(500));
    postgres.begin();
    // Connections that are ended one by one, too.
    std::thread::sleep(Duration::from_secs(1));
    postgres.sql(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'affluent'",
    );
    let output = running.finish();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        postgres.sql("SELECT count(*), count(DISTINCT id), count(name) FROM out"),
        "20000|20000|20000"
    );
    assert_eq!(postgres.sql("SELECT count(*) FROM out WHERE name <> 'n' || (id % 1000 + 1)"), "0");
}

#[test]
fn few_connections_are_enough() {
    let Some(postgres) =
        Postgres::start(&["-c", "max_connections=5", "-c", "superuser_reserved_connections=3"])
    else {
        return;
    };
    postgres.sql("CREATE USER someone PASSWORD 'someone-pw-9'; CREATE TABLE dim AS SELECT i AS id, 'n' || i AS name FROM generate_series(1, 1000) i; GRANT SELECT ON dim TO someone");
    let folder = folder();
    let with = postgres
        .with("dim", "")
        .replace("'username' = 'postgres'", "'username' = 'someone'")
        .replace(PASSWORD, "someone-pw-9");
    let script = format!(
        "SET 'parallelism.default' = '4';
         CREATE TABLE n (id BIGINT) WITH ('connector' = 'datagen', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '30000');
         CREATE TABLE dim (id BIGINT, name STRING) {with};
         SELECT COUNT(d.name) AS n FROM n JOIN dim d ON MOD(n.id, 1000) + 1 = d.id;"
    );
    let found = run_well(folder.path(), &script, QUIET);
    assert!(found.trim().lines().last().unwrap().contains("\"n\":30000"), "{found}");
}

#[test]
fn certificates_are_checked_as_far_as_is_asked() {
    if !installed("openssl") {
        return left_out("TLS of PostgreSQL", "openssl is not installed");
    }
    let made = folder();
    let file = |name: &str| made.path().join(name).to_str().unwrap().to_string();
    let (key, certificate) = (file("server.key"), file("server.crt"));
    let openssl = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ])
        .output()
        .unwrap();
    assert!(openssl.status.success(), "{}", String::from_utf8_lossy(&openssl.stderr));
    Command::new("chmod").args(["600", &key]).status().unwrap();
    if is_root() {
        Command::new("chown").args(["postgres", &key]).status().unwrap();
    }
    let (tls_key, tls_certificate) = (format!("ssl_key_file={key}"), format!("ssl_cert_file={certificate}"));
    let Some(postgres) = Postgres::start(&["-c", "ssl=on", "-c", &tls_key, "-c", &tls_certificate]) else {
        return;
    };
    postgres.sql("CREATE TABLE t AS SELECT 1 AS id");
    let folder = folder();
    let script = |host: &str, parameters: &str| {
        let with = postgres.with_url("t", parameters, "").replace("127.0.0.1", host);
        format!("CREATE TABLE t (id INT) {with}; SELECT * FROM t;")
    };
    for good in [
        "?sslmode=require".to_string(),
        format!("?sslmode=verify-ca&sslrootcert={certificate}"),
        format!("?sslmode=verify-full&sslrootcert={certificate}"),
    ] {
        assert_eq!(rows(folder.path(), &script("localhost", &good)).len(), 1, "{good}");
    }
    // Another name, and an authority that nobody knows.
    let other = format!("?sslmode=verify-full&sslrootcert={certificate}");
    assert!(run_badly(folder.path(), &script("127.0.0.1", &other)).contains("certificate"));
    assert_eq!(rows(folder.path(), &script("127.0.0.1", &other.replace("full", "ca"))).len(), 1);
    assert!(run_badly(folder.path(), &script("localhost", "?sslmode=verify-full")).contains("certificate"));
}

#[test]
fn kills_leave_each_row_once() {
    let Some(postgres) = Postgres::shared() else { return };
    postgres.sql("CREATE TABLE added (id bigint, twice bigint); CREATE TABLE latest (k bigint PRIMARY KEY, n bigint, total bigint)");
    let folder = folder();
    let table = format!("CREATE TABLE added (id BIGINT, twice BIGINT) {}", postgres.with("added", ""));
    let kills = killed(folder.path(), &numbers(&table, "INSERT INTO added SELECT id, id * 2 FROM n"));
    assert!(kills > 2, "{kills}");
    assert_eq!(
        postgres.sql("SELECT count(*), count(DISTINCT id), sum(twice) FROM added"),
        "20000|20000|400020000"
    );
    let folder = crate::database::folder();
    let table = format!(
        "CREATE TABLE latest (k BIGINT, n BIGINT, total BIGINT, PRIMARY KEY (k) NOT ENFORCED) {}",
        postgres.with("latest", "")
    );
    killed(
        folder.path(),
        &numbers(
            &table,
            "INSERT INTO latest SELECT MOD(id, 1000), COUNT(*), SUM(id) FROM n GROUP BY MOD(id, 1000)",
        ),
    );
    assert_eq!(
        postgres.sql("SELECT count(*), min(n), max(n), sum(total) FROM latest"),
        "1000|20|20|200010000"
    );
    // Nothing of ours is left but what is remembered.
    assert_eq!(postgres.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'affluent_stage%'"), "0");
    assert_eq!(postgres.sql("SELECT min(finished) FROM affluent_checkpoints"), "1");
}
