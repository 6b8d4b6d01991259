//! `jdbc` against SQLite files.

use crate::database::{folder, killed, numbers};
use crate::harness::{run_badly, run_well};

#[test]
fn scans_upserts_deletes_and_kills() {
    let folder = folder();
    let path = folder.path().join("t.db");
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch(
        "PRAGMA journal_mode = WAL; CREATE TABLE added (id INTEGER, twice INTEGER); CREATE TABLE latest (k INTEGER PRIMARY KEY, n INTEGER);
         CREATE TABLE times (id INTEGER PRIMARY KEY, at_ TEXT, price TEXT, b BLOB)",
    )
    .unwrap();
    let with = |table: &str, more: &str| {
        format!(
            "WITH ('connector' = 'jdbc', 'url' = 'jdbc:sqlite:{}', 'table-name' = '{table}'{more})",
            path.display()
        )
    };
    let table = format!("CREATE TABLE added (id BIGINT, twice BIGINT) {}", with("added", ""));
    killed(folder.path(), &numbers(&table, "INSERT INTO added SELECT id, id * 2 FROM n"));
    let number = |sql: &str| -> i64 { file.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(number("SELECT count(DISTINCT id) FROM added"), 20_000);
    assert_eq!(
        (number("SELECT count(*) FROM added"), number("SELECT sum(twice) FROM added")),
        (20_000, 400_020_000)
    );
    assert_eq!(number("SELECT count(*) FROM sqlite_master WHERE name LIKE 'affluent_stage%'"), 0);
    let ranges = ", 'scan.partition.column' = 'id', 'scan.partition.num' = '5', 'scan.partition.lower-bound' = '1', 'scan.partition.upper-bound' = '20000'";
    let script = format!(
        "SET 'parallelism.default' = '2'; SET 'table.dml-sync' = 'true';
         CREATE TABLE added (id BIGINT) {}; CREATE TABLE latest (k BIGINT, n BIGINT, PRIMARY KEY (k) NOT ENFORCED) {};
         CREATE TABLE times (id INT, at_ TIMESTAMP(3), price DECIMAL(8, 2), b BYTES, PRIMARY KEY (id) NOT ENFORCED) {};
         INSERT INTO latest SELECT MOD(id, 3), COUNT(*) FROM added GROUP BY MOD(id, 3) HAVING COUNT(*) <> 6666;
         INSERT INTO times SELECT 1, TIMESTAMP '2026-01-05 08:00:00.5', 12.5, x'00ff';
         SELECT * FROM times;",
        with("added", ranges),
        with("latest", ""),
        with("times", "")
    );
    let found = run_well(folder.path(), &script, &["-o", "json", "-q"]);
    assert_eq!((number("SELECT count(*) FROM latest"), number("SELECT sum(n) FROM latest")), (2, 13_334));
    assert!(found.contains("\"at_\":\"2026-01-05 08:00:00.5\",\"price\":12.50,\"b\":\"AP8=\""), "{found}");
    let script = format!("CREATE TABLE t (id INT) {}; SELECT * FROM t;", with("nope", ""));
    assert!(run_badly(folder.path(), &script).contains("no such table"));
}
