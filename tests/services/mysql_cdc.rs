//! `mysql-cdc` against MariaDB: a copy that a job keeps must equal its table, whatever happens.

use std::sync::OnceLock;
use std::time::Duration;

use rand::Rng;

use crate::database::{Job, folder};
use crate::harness::{run_badly, run_well, until};
use crate::mysql::{MariaDb, PASSWORD};

const LOGGED: &[&str] =
    &["--log-bin=binlog", "--binlog-format=ROW", "--binlog-row-image=FULL", "--server-id=1"];

fn started() -> Option<MariaDb> {
    let server = MariaDb::start_with(LOGGED)?;
    server.as_root("GRANT REPLICATION SLAVE, BINLOG MONITOR, REPLICATION SLAVE ADMIN ON *.* TO someone@'%'");
    Some(server)
}

/// The one that tests share which do it no harm.
fn shared() -> Option<&'static MariaDb> {
    static SHARED: OnceLock<Option<MariaDb>> = OnceLock::new();
    SHARED.get_or_init(started).as_ref()
}

fn changes(server: &MariaDb, table: &str, more: &str) -> String {
    format!(
        "WITH ('connector' = 'mysql-cdc', 'hostname' = '127.0.0.1', 'port' = '{}', 'username' = 'someone', 'password' = '{PASSWORD}', 'database-name' = 'db', 'table-name' = '{table}', 'heartbeat.interval' = '1 s'{more})",
        server.port
    )
}

/// Whether two tables have the same rows.
fn same(server: &MariaDb, table: &str, copy: &str) -> bool {
    let one = |a: &str, b: &str| format!("(SELECT * FROM {a} EXCEPT SELECT * FROM {b})");
    let differ = format!("SELECT COUNT(*) FROM ({} UNION ALL {}) x", one(table, copy), one(copy, table));
    server.sql(&differ) == "0"
}

#[test]
fn kills_and_changes_leave_the_copy_equal_to_its_table() {
    let Some(server) = shared() else { return };
    server.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(600), k INT, n DECIMAL(12, 2));
         INSERT INTO t SELECT seq, CONCAT('row ', seq), seq % 7, seq FROM seq_1_to_20000;
         CREATE TABLE t_copy LIKE t;
         CREATE TABLE t_sums (k INT PRIMARY KEY, c BIGINT, n DECIMAL(38, 2));",
    );
    server.sql(
        "DELIMITER //
         CREATE PROCEDURE churn(rounds INT, base INT) BEGIN
           DECLARE i INT DEFAULT 0;
           WHILE i < rounds DO
             SET i = i + 1;
             START TRANSACTION;
             CASE FLOOR(RAND() * 6)
               WHEN 0 THEN INSERT INTO t SELECT base + i * 10 + seq, 'new', seq % 7, seq * 0.25 FROM seq_0_to_9;
               WHEN 1 THEN DELETE FROM t WHERE id IN (SELECT id FROM (SELECT id FROM t ORDER BY RAND() LIMIT 3) x);
               WHEN 2 THEN UPDATE t SET id = 5000000 + base + i WHERE id = (SELECT id FROM (SELECT id FROM t ORDER BY RAND() LIMIT 1) x);
               WHEN 3 THEN UPDATE t SET n = n + 1.5, v = CONCAT(v, 'x') WHERE id % 500 = i % 500;
               ELSE UPDATE t SET k = (k + 1) % 7, n = -n WHERE id IN (SELECT id FROM (SELECT id FROM t ORDER BY RAND() LIMIT 5) x);
             END CASE;
             COMMIT;
           END WHILE; END//
         ",
    );
    let mut job = Job::start(&format!(
        "CREATE TABLE source (id INT, v STRING, k INT, n DECIMAL(12, 2), PRIMARY KEY (id) NOT ENFORCED) {};
         CREATE TABLE copy (id INT, v STRING, k INT, n DECIMAL(12, 2), PRIMARY KEY (id) NOT ENFORCED) {};
         CREATE TABLE sums (k INT, c BIGINT, n DECIMAL(38, 2), PRIMARY KEY (k) NOT ENFORCED) {};
         EXECUTE STATEMENT SET BEGIN
         INSERT INTO copy SELECT * FROM source;
         INSERT INTO sums SELECT k, COUNT(*), SUM(n) FROM source GROUP BY k;
         END;",
        changes(server, "t", ""),
        server.with("t_copy", ""),
        server.with("t_sums", ""),
    ));
    std::thread::scope(|scope| {
        let churn = scope.spawn(|| {
            (1..3).for_each(|round| drop(server.sql(&format!("CALL churn(150, {round}000000)"))));
        });
        let mut rng = rand::rng();
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(rng.random_range(300..2500)));
            job.again();
        }
        churn.join().unwrap();
    });
    job.until("the copy", || same(server, "t", "t_copy"));
    job.until("the sums", || {
        same(server, "(SELECT k, COUNT(*) AS c, SUM(n) AS n FROM t GROUP BY k) s", "t_sums")
    });
}

#[test]
fn all_types_come_as_in_a_scan() {
    let Some(server) = shared() else { return };
    server.sql(
        "CREATE TABLE types (id INT PRIMARY KEY, t TINYINT, u TINYINT UNSIGNED, s SMALLINT, m MEDIUMINT UNSIGNED, big BIGINT, ub BIGINT UNSIGNED, f FLOAT, d DOUBLE, n DECIMAL(20, 6), y YEAR, day DATE, seen DATETIME(6), at_ TIMESTAMP(3) NULL, clock TIME(2), c CHAR(6), v VARCHAR(300), l VARCHAR(20) CHARACTER SET latin1, x TEXT, b BINARY(4), vb VARBINARY(20), bb BLOB, e ENUM('sad', 'it''s'), st SET('a', 'b', 'c'), bi BIT(10));
         INSERT INTO types VALUES (1, -5, 250, -300, 16000000, -9007199254740993, 18446744073709551615, 1.5, 0.1, -1234567.891, 2026, '0001-01-02', '1969-12-31 23:59:59.123456', '2026-01-05 08:00:00.123', '10:11:12.5', 'ab', REPEAT('ä', 200), 'é€', 'long', 'x', 'y', UNHEX('00FF'), 'it''s', 'a,c', b'1000000001'),
           (2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1901, '9999-12-31', '2026-01-01 00:00:00', '1970-01-01 00:00:01', '00:00:00', '', '', '', '', '', '', '', 'sad', '', 0);
         INSERT INTO types (id) VALUES (3);
         CREATE TABLE types_copy LIKE types; CREATE TABLE types_scan LIKE types",
    );
    let columns = "id INT, t TINYINT, u SMALLINT, s SMALLINT, m INT, big BIGINT, ub DECIMAL(20, 0), f FLOAT, d DOUBLE, n DECIMAL(20, 6), y SMALLINT, `day` DATE, seen TIMESTAMP(6), at_ TIMESTAMP_LTZ(3), clock TIME(2), c STRING, v STRING, l STRING, x STRING, b BYTES, vb BYTES, bb BYTES, e STRING, st STRING, bi BIGINT, PRIMARY KEY (id) NOT ENFORCED";
    let mut job = Job::start(&format!(
        "CREATE TABLE t ({columns}) {}; CREATE TABLE copy ({columns}) {}; INSERT INTO copy SELECT * FROM t;",
        changes(server, "types", ""),
        server.with("types_copy", "")
    ));
    job.until("the rows", || same(server, "types", "types_copy"));
    // The same rows once more, by the log.
    server.sql("UPDATE types SET id = id + 10");
    job.until("the changes", || same(server, "types", "types_copy"));
    server
        .sql("UPDATE types SET t = 7, clock = '-00:00:00.5' WHERE id = 12; DELETE FROM types WHERE id = 13");
    let errors = job.fails();
    // Times that are none of day, as in a scan.
    assert!(errors.contains("column 'clock'") && errors.contains("-00:00:00.500000"), "{errors}");
    server.sql("UPDATE types SET clock = '00:00:01' WHERE id = 12");
    let script = format!(
        "CREATE TABLE t ({columns}) {}; CREATE TABLE scanned ({columns}) {}; INSERT INTO scanned SELECT * FROM t;",
        changes(server, "types", ", 'scan.startup.mode' = 'snapshot'"),
        server.with("types_scan", "")
    );
    run_well(folder().path(), &script, &["-q"]);
    assert!(same(server, "types", "types_scan"));
}

#[test]
fn servers_restart_tables_are_altered_and_logs_go() {
    let Some(mut server) = started() else { return };
    server.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t SELECT seq, 'a' FROM seq_1_to_1000;
         CREATE TABLE t_copy LIKE t; CREATE TABLE other (v INT)",
    );
    let columns = "id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED";
    let mut job = Job::start(&format!(
        "CREATE TABLE t ({columns}) {}; CREATE TABLE copy ({columns}) {}; INSERT INTO copy SELECT * FROM t;",
        changes(&server, "t", ""),
        server.with("t_copy", "")
    ));
    job.until("the first copy", || same(&server, "t", "t_copy"));
    for round in 1..3 {
        server.sql(&format!("UPDATE t SET v = 'round {round}' WHERE id % 3 = {round}"));
        server.restart();
        server
            .sql(&format!("DELETE FROM t WHERE id = {round}; INSERT INTO t VALUES (5000 + {round}, 'new')"));
        job.until("the copy", || same(&server, "t", "t_copy"));
    }
    // A column that comes is told of, one that goes is an error.
    server.sql("ALTER TABLE t ADD COLUMN more INT DEFAULT 7 FIRST");
    server.sql("INSERT INTO t (id, v) VALUES (9001, 'added')");
    job.until("the row", || server.sql("SELECT v FROM t_copy WHERE id = 9001") == "added");
    let errors = job.errors();
    assert!(errors.contains("db.t was altered: ALTER TABLE t ADD COLUMN more"), "{errors}");
    server.sql("ALTER TABLE t DROP COLUMN v");
    let errors = job.fails();
    assert!(errors.contains("table db.t has no column 'v'"), "{errors}");
    server.sql("ALTER TABLE t ADD COLUMN v VARCHAR(20)");
    // The log is gone.
    server.as_root("FLUSH BINARY LOGS; FLUSH BINARY LOGS");
    let last = server.as_root("SHOW MASTER STATUS").split_whitespace().next().unwrap_or("").to_string();
    until("the log to be free", || {
        drop(server.try_sql("root", "", &format!("PURGE BINARY LOGS TO '{last}'")));
        server.as_root("SHOW BINARY LOGS").lines().count() == 1
    });
    job.again();
    let errors = job.fails();
    assert!(errors.contains("has not all changes any more") && errors.contains("--fresh"), "{errors}");
    // What is logged as a statement.
    let mut job = Job::start(&format!(
        "CREATE TABLE t (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) {}; CREATE TABLE copy ({columns}) {}; INSERT INTO copy SELECT * FROM t;",
        changes(&server, "t", ""),
        server.with("t_copy", "")
    ));
    job.until("the copy", || server.sql("SELECT COUNT(*) FROM t_copy WHERE v IS NULL") != "0");
    server.as_root("SET SESSION binlog_format = 'STATEMENT'; UPDATE db.t SET v = 's' WHERE id = 7");
    let errors = job.fails();
    assert!(errors.contains("changed by a statement that is logged as such"), "{errors}");
}

#[test]
fn tables_that_cannot_be_followed_are_refused_with_the_way_out() {
    let Some(server) = MariaDb::start_with(&[]) else { return };
    server.sql("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t VALUES (1, 'a')");
    let folder = folder();
    let script = |columns: &str, table: &str, more: &str| {
        format!(
            "SET 'restart-strategy.type' = 'none'; CREATE TABLE t ({columns}) {}; SELECT * FROM t;",
            changes(&server, table, more)
        )
    };
    for (columns, table, more, says) in [
        ("id INT, v STRING", "t", "", "has no binary log"),
        ("id INT, w STRING", "t", "", "has no column 'w'"),
        ("id INT", "nowhere", "", "there is no table db.nowhere"),
        ("id INT", "t", ", 'scan.startup.mode' = 'timestamp'", "timestamp"),
        ("id INT", "t", ", 'scan.startup.mode' = 'specific-offset'", "scan.startup.specific-offset.file"),
    ] {
        let error = run_badly(folder.path(), &script(columns, table, more));
        assert!(error.contains(says) && !error.contains(PASSWORD), "{table}{more}: {says}\n{error}");
    }
    // The rows alone need no log.
    let rows = run_well(
        folder.path(),
        &script(
            "id INT, v STRING, d STRING METADATA FROM 'database_name' VIRTUAL",
            "t",
            ", 'scan.startup.mode' = 'snapshot'",
        ),
        &["-o", "json", "-q"],
    );
    assert!(rows.contains(r#""id":1,"v":"a","d":"db""#), "{rows}");
}

/// A table, its copy, and the job that keeps it.
fn copied(server: &MariaDb, table: &str, columns: &str, script: &str) -> Job {
    server.sql(&format!("{script}; CREATE TABLE {table}_copy LIKE {table}"));
    let mut job = Job::start(&format!(
        "CREATE TABLE t ({columns}, PRIMARY KEY (id) NOT ENFORCED) {}; CREATE TABLE copy ({columns}, PRIMARY KEY (id) NOT ENFORCED) {}; INSERT INTO copy SELECT * FROM t;",
        changes(server, table, ""),
        server.with(&format!("{table}_copy"), "")
    ));
    job.until("the first copy", || same(server, table, &format!("{table}_copy")));
    job
}

#[test]
fn rolled_back_transactions_are_not_emitted() {
    // Not the shared one: a prepared transaction is everybody's.
    let Some(server) = started() else { return };
    let mut job = copied(
        &server,
        "rolled",
        "id INT, v STRING",
        "CREATE TABLE rolled (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO rolled VALUES (1, 'a');
         CREATE TABLE notes (v INT) ENGINE = MyISAM",
    );
    // The server logs these with their rows, and ROLLBACK.
    server.sql("BEGIN; INSERT INTO rolled VALUES (77, 'no'); INSERT INTO notes VALUES (1); ROLLBACK");
    server.sql(
        "BEGIN; INSERT INTO rolled VALUES (2, 'b'); SAVEPOINT s; INSERT INTO notes VALUES (2); INSERT INTO rolled VALUES (79, 'no'); ROLLBACK TO s; INSERT INTO rolled VALUES (3, 'c'); COMMIT",
    );
    job.until("the row behind it", || server.sql("SELECT COUNT(*) FROM rolled_copy WHERE id = 3") == "1");
    assert_eq!(server.sql("SELECT GROUP_CONCAT(id ORDER BY id) FROM rolled_copy"), "1,2,3");
    // An XA transaction of another table passes, and one of this table is refused by name.
    server.sql("XA START 'a'; INSERT INTO notes VALUES (3); XA END 'a'; XA PREPARE 'a'; XA ROLLBACK 'a'");
    server.sql(
        "CREATE TABLE aside (id INT PRIMARY KEY); XA START 'b'; INSERT INTO aside VALUES (3); XA END 'b'; XA PREPARE 'b'; XA ROLLBACK 'b'; INSERT INTO rolled VALUES (4, 'd')",
    );
    job.until("the row behind it", || server.sql("SELECT COUNT(*) FROM rolled_copy WHERE id = 4") == "1");
    server.sql("XA START 'c'; INSERT INTO rolled VALUES (80, 'no'); XA END 'c'; XA PREPARE 'c'");
    let errors = job.fails();
    server.sql("XA ROLLBACK 'c'");
    assert!(errors.contains("was changed by an XA transaction"), "{errors}");
}

#[test]
fn compressed_events_are_read() {
    let Some(server) =
        MariaDb::start_with(&[LOGGED, &["--log-bin-compress=ON", "--log-bin-compress-min-len=10"]].concat())
    else {
        return;
    };
    server.as_root("GRANT REPLICATION SLAVE, BINLOG MONITOR, REPLICATION SLAVE ADMIN ON *.* TO someone@'%'");
    let mut job = copied(
        &server,
        "packed",
        "id INT, v STRING",
        "CREATE TABLE packed (id INT PRIMARY KEY, v VARCHAR(2000)); INSERT INTO packed VALUES (1, 'a')",
    );
    server.sql(
        "INSERT INTO packed VALUES (2, REPEAT('long ', 100)); UPDATE packed SET v = REPEAT('b', 900) WHERE id = 1; INSERT INTO packed SELECT seq, REPEAT('x', 500) FROM seq_10_to_500; DELETE FROM packed WHERE id = 2",
    );
    job.until("the copy", || same(&server, "packed", "packed_copy"));
    server.sql(
        "TRUNCATE TABLE packed /* a comment that is long enough to be compressed with it, xxxxxxxxxxxx */",
    );
    let errors = job.fails();
    assert!(errors.contains("db.packed was truncated"), "{errors}");
}

#[test]
fn rows_of_the_past_are_read_with_the_columns_of_the_past() {
    let Some(server) = shared() else { return };
    let columns = "id INT, a STRING, b STRING, e STRING";
    let mut job = copied(
        server,
        "past",
        columns,
        "CREATE TABLE past (id INT PRIMARY KEY, a VARCHAR(20), b VARCHAR(20), e ENUM('x', 'z')); INSERT INTO past VALUES (1, 'A1', 'B1', 'x')",
    );
    server.sql("INSERT INTO past VALUES (5, 'A5', 'B5', 'z')");
    job.until("the change", || same(server, "past", "past_copy"));
    std::thread::sleep(Duration::from_millis(600));
    job.kill();
    server.sql("INSERT INTO past VALUES (2, 'A2', 'B2', 'z')");
    server.sql("ALTER TABLE past MODIFY b VARCHAR(20) AFTER id, MODIFY e ENUM('x', 'y', 'z')");
    server.sql("INSERT INTO past (id, a, b, e) VALUES (3, 'A3', 'B3', 'z')");
    job.again();
    job.until("the rows", || server.sql("SELECT COUNT(*) FROM past_copy WHERE id IN (2, 3)") == "2");
    let rows = server.sql("SELECT GROUP_CONCAT(id, a, b, e ORDER BY id) FROM past_copy");
    assert_eq!(rows, "1A1B1x,2A2B2z,3A3B3z,5A5B5z");
    // Altered twice: what is between cannot be told, and is refused.
    job.kill();
    server.sql("ALTER TABLE past MODIFY b VARCHAR(20) AFTER a");
    server.sql("INSERT INTO past (id, a, b, e) VALUES (6, 'A6', 'B6', 'z')");
    server.sql("ALTER TABLE past MODIFY b VARCHAR(20) AFTER id");
    job.again();
    let errors = job.fails();
    assert!(errors.contains("was altered again before the changes at"), "{errors}");
    assert_eq!(server.sql("SELECT COUNT(*) FROM past_copy WHERE id = 6"), "0");
}

#[test]
fn statements_that_lose_rows_are_not_passed_over() {
    let Some(server) = shared() else { return };
    for (table, statement, says) in [
        ("lost-1", "/* ApplicationName=x */ TRUNCATE TABLE `lost-1`", "was truncated"),
        ("lost-2", "ALTER TABLE `lost-2` TRUNCATE PARTITION p1", "by a statement that does not log them"),
        (
            "lost-3",
            "CREATE OR REPLACE TABLE `lost-3` (id INT PRIMARY KEY)",
            "by a statement that does not log",
        ),
    ] {
        server.sql(&format!(
            "CREATE TABLE `{table}` (id INT PRIMARY KEY) PARTITION BY RANGE (id) (PARTITION p1 VALUES LESS THAN (10), PARTITION p2 VALUES LESS THAN MAXVALUE); INSERT INTO `{table}` VALUES (1), (20)"
        ));
        let mut job = Job::start(&format!(
            "CREATE TABLE t (id INT, PRIMARY KEY (id) NOT ENFORCED) {}; CREATE TABLE b (id INT) WITH ('connector' = 'blackhole'); INSERT INTO b SELECT * FROM t;",
            changes(server, table, ", 'scan.startup.mode' = 'latest-offset'"),
        ));
        // Nothing shows that it reads: it is told again until it does.
        until("the error", || {
            drop(server.try_sql("someone", PASSWORD, &format!("USE db; {statement}")));
            std::thread::sleep(Duration::from_millis(300));
            job.errors().contains(says)
        });
        assert!(job.fails().contains(says), "{}", job.errors());
    }
}
