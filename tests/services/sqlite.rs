//! `jdbc` against SQLite files.

use crate::database::{folder, killed, numbers};
use crate::harness::{run_badly, run_well as run_script};

/// What a script prints; each row without its kind.
fn run_well(folder: &std::path::Path, script: &str, more: &[&str]) -> String {
    run_script(folder, script, more).replace("\"op\":\"+I\",", "")
}

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

#[test]
fn nothing_is_rounded_or_guessed() {
    let folder = folder();
    let path = folder.path().join("t.db");
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch(
        "CREATE TABLE odd (id INTEGER PRIMARY KEY, r REAL, at_ INTEGER, n NUMERIC(20, 2), price DECIMAL(8, 2), name VARCHAR(9), j TEXT, d DATETIME);
         INSERT INTO odd VALUES (1, 1e300, 1767261600, 1.25, 0.5, 'one', '[\"a, b\"]', '2026-01-05 08:00:00.5')",
    )
    .unwrap();
    let with = |table: &str, parameters: &str| {
        format!(
            "WITH ('connector' = 'jdbc', 'url' = 'jdbc:sqlite:{}{parameters}', 'table-name' = '{table}')",
            path.display()
        )
    };
    for (column, of, says) in [
        ("r", "FLOAT", "does not fit FLOAT"),
        ("at_", "TIMESTAMP(3)", "date_precision=seconds"),
        ("n", "DECIMAL(20, 1)", "1.25 does not fit DECIMAL(20, 1)"),
    ] {
        let table = format!("CREATE TABLE odd (id BIGINT, {column} {of}) {};", with("odd", ""));
        for script in [
            format!("{table} SELECT {column} FROM odd;"),
            format!(
                "{table} SELECT o.{column} FROM (VALUES (CAST(1 AS BIGINT))) AS q(id) JOIN odd o ON q.id = o.id;"
            ),
        ] {
            let error = run_badly(folder.path(), &script);
            assert!(error.contains(says) && error.contains(&format!("'{column}'")), "{column} {of}: {error}");
        }
    }
    // Whole numbers are times when it is said what they count, as keys and on their way in too.
    let times = format!(
        "CREATE TABLE odd (id BIGINT, at_ TIMESTAMP(3), PRIMARY KEY (id) NOT ENFORCED) {};",
        with("odd", "?date_precision=seconds")
    );
    let script = format!(
        "SET 'table.dml-sync' = 'true'; {times} INSERT INTO odd VALUES (2, TIMESTAMP '2026-01-01 10:00:01');
         SELECT q.n, o.id FROM (VALUES (1, TIMESTAMP '2026-01-01 10:00:00'), (2, TIMESTAMP '2026-01-01 10:00:00.5')) AS q(n, t) LEFT JOIN odd o ON q.t = o.at_;
         SELECT id, at_ FROM odd;"
    );
    let found = run_well(folder.path(), &script, &["-o", "json", "-q"]);
    for part in [
        r#"{"n":1,"id":1}"#,
        r#"{"n":2,"id":null}"#,
        r#"{"id":1,"at_":"2026-01-01 10:00:00"}"#,
        r#"{"id":2,"at_":"2026-01-01 10:00:01"}"#,
    ] {
        assert!(found.contains(part), "{part}\n{found}");
    }
    let number = |sql: &str| -> i64 { file.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(number("SELECT at_ FROM odd WHERE id = 2"), 1_767_261_601);
    let error = run_badly(
        folder.path(),
        &format!("{times} INSERT INTO odd VALUES (3, TIMESTAMP '2026-01-01 10:00:01.5');"),
    );
    assert!(error.contains("'at_'") && error.contains("more digits"), "{error}");
    let error = run_badly(
        folder.path(),
        &format!("CREATE TABLE t (id INT) {}; SELECT * FROM t;", with("odd", "?date_precison=seconds")),
    );
    assert!(error.contains("'date_precison' is not supported"), "{error}");
    // A column of numbers makes a double of what has too many digits.
    let table =
        |column: &str| format!("CREATE TABLE odd (id BIGINT, {column} DECIMAL(20, 2)) {};", with("odd", ""));
    let error = run_badly(
        folder.path(),
        &format!("{} INSERT INTO odd VALUES (4, 123456789012345678.25);", table("n")),
    );
    assert!(error.contains("123456789012345678.25 would be rounded") && error.contains("TEXT"), "{error}");
    run_well(
        folder.path(),
        &format!("{} INSERT INTO odd VALUES (5, 123456789012345678.25);", table("j")),
        &[],
    );
    assert_eq!(number("SELECT count(*) FROM odd WHERE id = 5 AND j = '123456789012345678.25'"), 1);
    file.execute_batch("DELETE FROM odd WHERE id > 1").unwrap();
    // Arrays, rows and maps are JSON.
    let script = format!(
        "SET 'table.dml-sync' = 'true'; CREATE TABLE odd (id BIGINT, j ARRAY<STRING>) {};
         INSERT INTO odd VALUES (6, ARRAY['c, d', 'e']); SELECT * FROM odd;",
        with("odd", "")
    );
    let found = run_well(folder.path(), &script, &["-o", "json", "-q"]);
    assert!(
        found.contains(r#"{"id":1,"j":["a, b"]}"#) && found.contains(r#"{"id":6,"j":["c, d","e"]}"#),
        "{found}"
    );
    // Columns that are not declared are those of the file.
    let shown =
        run_well(folder.path(), &format!("CREATE TABLE o {}; SHOW CREATE TABLE o;", with("odd", "")), &[]);
    for part in [
        "`id` BIGINT NOT NULL",
        "`r` DOUBLE",
        "`price` DECIMAL(8, 2)",
        "`name` STRING",
        "`d` TIMESTAMP(6)",
        "PRIMARY KEY (`id`) NOT ENFORCED",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let found = run_well(
        folder.path(),
        &format!("CREATE TABLE o {}; SELECT price, name, d FROM o WHERE id = 1;", with("odd", "")),
        &["-o", "json", "-q"],
    );
    assert!(found.contains(r#"{"price":0.50,"name":"one","d":"2026-01-05 08:00:00.5"}"#), "{found}");
    let error = run_badly(folder.path(), &format!("CREATE TABLE o {};", with("nope", "")));
    assert!(error.contains("no such table: nope"), "{error}");
}

#[test]
fn a_catalog_has_the_tables_of_the_file() {
    let folder = folder();
    let path = folder.path().join("shop.db");
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price DECIMAL(8, 2));
         INSERT INTO items VALUES (1, 'pen', 1.5), (2, 'ink', 20);
         CREATE VIEW dear AS SELECT * FROM items WHERE price > 10;
         CREATE TABLE sold (id INTEGER, n INTEGER)",
    )
    .unwrap();
    let catalog = format!(
        "CREATE CATALOG shop WITH ('type' = 'jdbc', 'url' = 'jdbc:sqlite:{}', 'password' = 'not-shown-1');",
        path.display()
    );
    let script = format!(
        "SET 'table.dml-sync' = 'true'; {catalog} SHOW TABLES FROM shop.shop; DESCRIBE shop.shop.items; SHOW CREATE CATALOG shop;
         USE CATALOG shop; INSERT INTO sold SELECT id, 3 FROM dear;
         SELECT q.n, i.name, i.price FROM sold q JOIN items FOR SYSTEM_TIME AS OF PROCTIME() AS i ON q.id = i.id;"
    );
    let found = run_well(folder.path(), &script, &["-o", "json"]);
    for part in
        ["\"dear\"", "\"items\"", "\"sold\"", "DECIMAL(8, 2)", r#"{"n":3,"name":"ink","price":20.00}"#]
    {
        assert!(found.contains(part), "{part}\n{found}");
    }
    assert!(!found.contains("not-shown-1"), "{found}");
    let number = |sql: &str| -> i64 { file.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(number("SELECT sum(id * n) FROM sold"), 6);
    let error = run_badly(
        folder.path(),
        "CREATE CATALOG c WITH ('type' = 'jdbc', 'base-url' = 'jdbc:postgresql://h');",
    );
    assert!(error.contains("needs 'url'") && error.contains("default-database"), "{error}");
    let error = run_badly(
        folder.path(),
        "CREATE CATALOG c WITH ('type' = 'jdbc', 'url' = 'jdbc:sqlite:/no/file.db');",
    );
    assert!(error.contains("catalog 'c'") && error.contains("/no/file.db"), "{error}");
}

#[cfg(feature = "persist")]
#[test]
fn a_cache_on_disk_has_the_answers_of_a_short_run() {
    let folder = folder();
    let path = folder.path().join("dim.db");
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch(
        "CREATE TABLE dim (id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700) INSERT INTO dim SELECT i, 'n' || i FROM n",
    )
    .unwrap();
    let script = format!(
        "CREATE TABLE n (id BIGINT) WITH ('connector' = 'datagen', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '700');
         CREATE TABLE dim (id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'jdbc', 'url' = 'jdbc:sqlite:{}', 'table-name' = 'dim',
            'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.expire-after-write' = '1 h', 'lookup.partial-cache.persist' = 'true', 'lookup.partial-cache.persist.directory' = '{}');
         SELECT COUNT(d.name) AS found FROM n LEFT JOIN dim d ON n.id = d.id;",
        path.display(),
        folder.path().join("cache").display()
    );
    let found =
        || run_well(folder.path(), &script, &["-o", "json", "-q"]).trim().lines().last().unwrap().to_string();
    assert!(found().contains("\"found\":700"));
    // What is asked for now comes from the cache alone.
    file.execute_batch("DELETE FROM dim").unwrap();
    assert!(found().contains("\"found\":700"));
}
