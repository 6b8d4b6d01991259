//! `postgres-cdc` against PostgreSQL: a copy that a job keeps must equal its table, whatever happens.

use std::sync::OnceLock;
use std::time::Duration;

use rand::Rng;

use crate::database::{Job, folder};
use crate::harness::{run_badly, run_well, until};
use crate::postgres::{COLUMNS, PASSWORD, Postgres};

const LOGICAL: &[&str] =
    &["-c", "wal_level=logical", "-c", "max_wal_senders=20", "-c", "max_replication_slots=20"];

/// The one that tests share which do it no harm.
fn shared() -> Option<&'static Postgres> {
    static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
    SHARED.get_or_init(|| Postgres::start(LOGICAL)).as_ref()
}

/// A table whose changes are read, by a slot that is called as it is.
fn changes(postgres: &Postgres, table: &str, more: &str) -> String {
    format!(
        "WITH ('connector' = 'postgres-cdc', 'hostname' = '127.0.0.1', 'port' = '{}', 'username' = 'postgres', 'password' = '{PASSWORD}', 'database-name' = 'postgres', 'schema-name' = 'public', 'table-name' = '{table}', 'slot.name' = 'slot_{table}', 'heartbeat.interval.ms' = '300 ms'{more})",
        postgres.port
    )
}

/// How many rows two tables do not have in common.
fn differ(postgres: &Postgres, table: &str, copy: &str) -> String {
    let one = |a: &str, b: &str| {
        format!("(SELECT row_::text FROM {a} row_ EXCEPT SELECT row_::text FROM {b} row_)")
    };
    postgres
        .try_sql(&format!("SELECT count(*) FROM ({} UNION ALL {}) x", one(table, copy), one(copy, table)))
        .unwrap_or_default()
}

/// What changes a table all the time: rows come, change, go, and get other keys, some in large transactions.
fn churn(table: &str) -> String {
    format!(
        "CREATE SEQUENCE seq_{table} START 1000000;
         CREATE PROCEDURE churn_{table}(rounds int) LANGUAGE plpgsql AS $$ DECLARE i int; BEGIN
           FOR i IN 1..rounds LOOP
             CASE (random() * 6)::int
               WHEN 0 THEN INSERT INTO {table} SELECT nextval('seq_{table}'), 'new', k % 7, k * 0.25 FROM generate_series(1, (random() * 9)::int) k;
               WHEN 1 THEN DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY random() LIMIT 3);
               WHEN 2 THEN UPDATE {table} SET id = nextval('seq_{table}') WHERE id = (SELECT id FROM {table} ORDER BY random() LIMIT 1);
               WHEN 3 THEN UPDATE {table} SET n = n + 1.5, v = v || 'x' WHERE id % 500 = i % 500;
               ELSE UPDATE {table} SET k = (k + 1) % 7, n = -n WHERE id IN (SELECT id FROM {table} ORDER BY random() LIMIT 5);
             END CASE;
             COMMIT;
           END LOOP; END $$"
    )
}

#[test]
fn kills_and_changes_leave_the_copy_equal_to_its_table() {
    let Some(postgres) = shared() else { return };
    for (table, identity, more) in
        [("whole", "FULL", ""), ("keyed", "DEFAULT", ", 'changelog-mode' = 'upsert'")]
    {
        postgres.sql(&format!(
            "CREATE TABLE {table} (id int PRIMARY KEY, v text, k int, n numeric(12, 2));
             ALTER TABLE {table} REPLICA IDENTITY {identity};
             INSERT INTO {table} SELECT i, 'row ' || i, i % 7, i FROM generate_series(1, 20000) i;
             CREATE TABLE {table}_copy (LIKE {table} INCLUDING ALL);
             CREATE TABLE {table}_sums (k int PRIMARY KEY, rows bigint, n numeric(38, 2));"
        ));
        postgres.sql(&churn(table));
        let mut job = Job::start(&format!(
            "CREATE TABLE source (id INT, v STRING, k INT, n DECIMAL(12, 2), PRIMARY KEY (id) NOT ENFORCED) {};
             CREATE TABLE copy (id INT, v STRING, k INT, n DECIMAL(12, 2), PRIMARY KEY (id) NOT ENFORCED) {};
             CREATE TABLE sums (k INT, `rows` BIGINT, n DECIMAL(38, 2), PRIMARY KEY (k) NOT ENFORCED) {};
             EXECUTE STATEMENT SET BEGIN
             INSERT INTO copy SELECT * FROM source;
             INSERT INTO sums SELECT k, COUNT(*), SUM(n) FROM source GROUP BY k;
             END;",
            changes(postgres, table, more),
            postgres.with(&format!("{table}_copy"), ""),
            postgres.with(&format!("{table}_sums"), ""),
        ));
        let churning = format!("CALL churn_{table}(150)");
        std::thread::scope(|scope| {
            let churn = scope.spawn(|| (0..3).for_each(|_| drop(postgres.sql(&churning))));
            let mut rng = rand::rng();
            for _ in 0..5 {
                std::thread::sleep(Duration::from_millis(rng.random_range(300..2500)));
                job.again();
            }
            churn.join().unwrap();
        });
        job.until("the copy", || differ(postgres, table, &format!("{table}_copy")) == "0");
        let sums = format!("(SELECT k, count(*) AS rows, sum(n) AS n FROM {table} GROUP BY k)");
        job.until("the sums", || differ(postgres, &sums, &format!("{table}_sums")) == "0");
        // The server need not keep what is in a checkpoint, though nothing changes here any more.
        postgres.sql("CREATE TABLE IF NOT EXISTS elsewhere (v text); INSERT INTO elsewhere SELECT repeat('x', 1000) FROM generate_series(1, 1000)");
        let end = postgres.sql("SELECT pg_current_wal_lsn()");
        job.until("the slot", || {
            postgres.sql(&format!(
                "SELECT confirmed_flush_lsn >= '{end}'::pg_lsn FROM pg_replication_slots WHERE slot_name = 'slot_{table}'"
            )) == "t"
        });
    }
}

#[test]
fn a_server_that_crashes_or_ends_connections_loses_nothing() {
    let Some(mut postgres) = Postgres::start(LOGICAL) else { return };
    postgres.sql(
        "CREATE TABLE t (id int PRIMARY KEY, v text); ALTER TABLE t REPLICA IDENTITY FULL;
         INSERT INTO t SELECT i, 'a' FROM generate_series(1, 1000) i; CREATE TABLE t_copy (LIKE t INCLUDING ALL)",
    );
    let mut job = Job::start(&format!(
        "CREATE TABLE t (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) {}; CREATE TABLE copy (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) {};
         INSERT INTO copy SELECT * FROM t;",
        changes(&postgres, "t", ""),
        postgres.with("t_copy", "")
    ));
    job.until("the first copy", || differ(&postgres, "t", "t_copy") == "0");
    for round in 1..4 {
        postgres.sql(&format!("UPDATE t SET v = 'round {round}' WHERE id % 3 = {round} % 3"));
        match round {
            2 => drop(postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")),
            _ => {
                postgres.crash();
                postgres.begin();
            }
        }
        postgres
            .sql(&format!("DELETE FROM t WHERE id = {round}; INSERT INTO t VALUES (5000 + {round}, 'new')"));
        job.until("the copy", || differ(&postgres, "t", "t_copy") == "0");
    }
    // A column that comes is told of, one that goes is an error.
    postgres.sql("ALTER TABLE t ADD COLUMN more int DEFAULT 7");
    postgres.sql("INSERT INTO t VALUES (9001, 'added', 8)");
    job.until("the row", || postgres.sql("SELECT count(*) FROM t_copy WHERE id = 9001") == "1");
    let errors = job.errors();
    assert!(errors.contains("new column 'more'"), "{errors}");
    postgres.sql("ALTER TABLE t DROP COLUMN v");
    postgres.sql("INSERT INTO t VALUES (9002, 1)");
    let errors = job.fails();
    assert!(errors.contains("column 'v' of public.t was dropped or renamed"), "{errors}");
    // The slot is gone.
    until("the slot to be free", || {
        postgres.sql("SELECT count(*) FROM pg_replication_slots WHERE active") == "0"
    });
    postgres.sql("SELECT pg_drop_replication_slot('slot_t'); ALTER TABLE t ADD COLUMN v text");
    job.again();
    let errors = job.fails();
    assert!(
        errors.contains("replication slot 'slot_t' has not all changes any more: it does not exist any more")
            && errors.contains("--fresh"),
        "{errors}"
    );
    // Somebody else has read on.
    postgres.sql("SELECT pg_create_logical_replication_slot('slot_t', 'pgoutput')");
    job.again();
    let errors = job.fails();
    assert!(errors.contains("another client has read on with it"), "{errors}");
}

#[test]
fn all_types_come_as_in_a_scan() {
    let Some(postgres) = shared() else { return };
    postgres.sql(
        "CREATE TYPE feeling AS ENUM ('sad', 'happy');
         CREATE TABLE typed (id int PRIMARY KEY, name varchar(40), price numeric(10, 2), seen timestamp(3), at_ timestamptz, ok boolean, d date, t time(3), u uuid, j json, jb jsonb, b bytea, tags text[], nums bigint[], m feeling, big bigint, f4 real, f8 double precision, c char(6), ip inet);
         ALTER TABLE typed REPLICA IDENTITY FULL;
         INSERT INTO typed VALUES (1, 'Ä-1', 1234567.25, '1969-12-31 23:59:59.5', '2026-01-05 08:00:00.123456+01', true, '0001-01-01', '10:11:12.5', '00000000-0000-0000-0000-00000000000a', '{\"a\": 1}', '{\"a\":[1,2]}', '\\x00ff', ARRAY['x', NULL, 'y\"', 'a,b', 'NULL', ''], ARRAY[1, NULL], 'happy', 9007199254740993, 1.5, 0.1, 'ab', '10.0.0.1'),
           (2, '', -0.01, '2026-01-05 08:00:00', '2026-01-05 08:00:00+00', false, '2026-02-28', '00:00:00', 'ffffffff-0000-0000-0000-00000000000a', '[]', 'null', '', '{}', '{}', 'sad', -1, 'NaN', '-Infinity', '', '::1/128');
         INSERT INTO typed (id) VALUES (3);
         CREATE TABLE typed_copy (LIKE typed INCLUDING ALL); CREATE TABLE typed_scan (LIKE typed INCLUDING ALL)",
    );
    let columns = format!("{COLUMNS}, PRIMARY KEY (id) NOT ENFORCED");
    let mut job = Job::start(&format!(
        "CREATE TABLE t ({columns}) {}; CREATE TABLE copy ({columns}) {}; INSERT INTO copy SELECT * FROM t;",
        changes(postgres, "typed", ""),
        postgres.with("typed_copy", "")
    ));
    job.until("the rows", || differ(postgres, "typed", "typed_copy") == "0");
    // The same rows once more, by the log.
    postgres.sql("UPDATE typed SET id = id + 10");
    job.until("the changes", || differ(postgres, "typed", "typed_copy") == "0");
    // Values that are large and did not change are known by the row before.
    postgres.sql("UPDATE typed SET name = (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1) i), j = (SELECT to_json(string_agg(md5(i::text), '')) FROM generate_series(1, 2000) i) WHERE id = 11; UPDATE typed SET big = 5 WHERE id = 11");
    job.until("the large value", || differ(postgres, "typed", "typed_copy") == "0");
    job.kill();
    // Just the rows that there are: a scan that ends.
    let script = format!(
        "CREATE TABLE t ({columns}) {}; CREATE TABLE scanned ({columns}) {}; INSERT INTO scanned SELECT * FROM t;",
        changes(postgres, "typed", ", 'scan.startup.mode' = 'snapshot'"),
        postgres.with("typed_scan", "")
    );
    run_well(folder().path(), &script, &["-q"]);
    assert_eq!(differ(postgres, "typed", "typed_scan"), "0");
}

#[test]
fn where_a_stream_begins_and_what_it_says_of_a_row() {
    let Some(postgres) = shared() else { return };
    postgres.sql(
        "CREATE TABLE s (id int PRIMARY KEY, v text); ALTER TABLE s REPLICA IDENTITY FULL;
         INSERT INTO s VALUES (1, 'before'); CREATE TABLE s_log (id int, v text, what text, \"from\" text, at_ timestamptz, PRIMARY KEY (id, v))",
    );
    let script = |mode: &str| {
        format!(
            "CREATE TABLE s (id INT, v STRING, what STRING METADATA FROM 'row_kind' VIRTUAL, t STRING METADATA FROM 'table_name' VIRTUAL, s STRING METADATA FROM 'schema_name' VIRTUAL, d STRING METADATA FROM 'database_name' VIRTUAL, at_ TIMESTAMP_LTZ(3) METADATA FROM 'op_ts' VIRTUAL) {};
             CREATE TABLE log (id INT, v STRING, what STRING, `from` STRING, at_ TIMESTAMP_LTZ(3), PRIMARY KEY (id, v) NOT ENFORCED) {};
             INSERT INTO log SELECT id, v, what, d || '.' || s || '.' || t, at_ FROM s;",
            changes(postgres, "s", &format!(", 'scan.startup.mode' = '{mode}'")),
            postgres.with("s_log", "")
        )
    };
    let log = || postgres.sql("SELECT id, v, what, \"from\", at_ > '2001-01-01' FROM s_log ORDER BY id, v");
    let mut job = Job::start(&script("latest-offset"));
    until("the slot", || {
        postgres.sql("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'slot_s' AND active") == "1"
    });
    postgres.sql("INSERT INTO s VALUES (2, 'two'); INSERT INTO s VALUES (3, 'three')");
    job.until("the changes", || log().lines().count() == 2);
    assert_eq!(log(), "2|two|+I|postgres.public.s|t\n3|three|+I|postgres.public.s|t");
    job.kill();
    // From where the slot is: what came while nobody read.
    postgres.sql("TRUNCATE s_log; INSERT INTO s VALUES (4, 'four')");
    let mut job = Job::start(&script("committed-offset"));
    job.until("the changes", || log().contains("4|four|+I"));
    job.kill();
    // The rows that are there have no time.
    postgres.sql("TRUNCATE s_log");
    let mut job = Job::start(&script("initial"));
    job.until("the rows", || log().lines().count() == 4);
    assert!(log().contains("1|before|+I|postgres.public.s|f"), "{}", log());
    job.kill();
}

#[test]
fn tables_that_cannot_be_followed_are_refused_with_the_way_out() {
    let Some(postgres) = shared() else { return };
    postgres.sql(
        "CREATE TABLE plain (id int PRIMARY KEY, v text); CREATE TABLE nokey (id int, v text);
         CREATE TABLE large (id int PRIMARY KEY, v text); CREATE VIEW seen AS SELECT * FROM plain;
         CREATE TABLE cut (id int PRIMARY KEY, v text); ALTER TABLE cut REPLICA IDENTITY FULL; CREATE TABLE cut_copy (LIKE cut INCLUDING ALL)",
    );
    let folder = folder();
    let script = |columns: &str, table: &str, more: &str| {
        format!(
            "SET 'restart-strategy.type' = 'none'; CREATE TABLE t ({columns}) {}; SELECT * FROM t;",
            changes(postgres, table, more)
        )
    };
    let keyed = "id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED";
    let upsert = ", 'changelog-mode' = 'upsert'";
    for (columns, table, more, says) in [
        (
            keyed,
            "plain",
            "",
            &["replica identity is not FULL", "ALTER TABLE \"public\".\"plain\" REPLICA IDENTITY FULL"][..],
        ),
        ("id INT, v STRING", "plain", upsert, &["needs a PRIMARY KEY"]),
        (keyed, "nokey", upsert, &["column 'id' of the PRIMARY KEY", "REPLICA IDENTITY FULL"]),
        (keyed, "nowhere", upsert, &["there is no table public.nowhere"]),
        (keyed, "seen", upsert, &["is no table"]),
        (
            "id INT, w STRING, PRIMARY KEY (id) NOT ENFORCED",
            "plain",
            upsert,
            &["has no column 'w'", "it has: id, v"],
        ),
        ("id INT, v INT, PRIMARY KEY (id) NOT ENFORCED", "plain", upsert, &["declare it as STRING"]),
        (
            keyed,
            "plain",
            ", 'changelog-mode' = 'upsert', 'scan.startup.mode' = 'committed-offset'",
            &["there is no replication slot 'slot_plain'", "pg_create_logical_replication_slot"],
        ),
        (
            keyed,
            "plain",
            ", 'changelog-mode' = 'upsert', 'debezium.publication.autocreate.mode' = 'disabled', 'debezium.publication.name' = 'none'",
            &["there is no publication \"none\"", "CREATE PUBLICATION"],
        ),
        (keyed, "plain", ", 'decoding.plugin.name' = 'wal2json'", &["wal2json"]),
        (keyed, "plain", ", 'scan.incremental.snapshot.enabled' = 'true'", &["has no option"]),
        (keyed, "plain", ", 'jdbc.properties.sslmode' = 'require'", &["does not support TLS"]),
    ] {
        let error = run_badly(folder.path(), &script(columns, table, more));
        for part in says {
            assert!(error.contains(part), "{table}{more}: {part}\n{error}");
        }
        assert!(!error.contains(PASSWORD), "{error}");
    }
    let refused = script(keyed, "plain", upsert).replace(PASSWORD, "wrong");
    let error = run_badly(folder.path(), &refused);
    assert!(error.contains("password authentication failed"), "{error}");
    // Nothing was made for tables that cannot be followed.
    assert_eq!(
        postgres.sql(
            "SELECT count(*) FROM pg_publication WHERE pubname LIKE 'slot_%nokey' OR pubname = 'slot_seen'"
        ),
        "0"
    );
    // Rows that went without a trace.
    let mut job = Job::start(&format!(
        "CREATE TABLE t ({keyed}) {}; CREATE TABLE copy ({keyed}) {}; INSERT INTO copy SELECT * FROM t;",
        changes(postgres, "cut", ""),
        postgres.with("cut_copy", "")
    ));
    until("the slot", || {
        postgres.sql("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'slot_cut' AND active")
            == "1"
    });
    postgres.sql("INSERT INTO cut VALUES (1, 'a')");
    postgres.sql("TRUNCATE cut");
    let errors = job.fails();
    assert!(errors.contains("public.cut was truncated"), "{errors}");
    // A large value that was not sent, where only the key of the row before is.
    let mut job = Job::start(&format!(
        "CREATE TABLE t ({keyed}) {}; CREATE TABLE copy ({keyed}) {}; INSERT INTO copy SELECT * FROM t;",
        changes(postgres, "large", upsert),
        postgres.with("cut_copy", "")
    ));
    until("the slot", || {
        postgres.sql("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'slot_large' AND active")
            == "1"
    });
    postgres.sql("ALTER TABLE large ADD COLUMN n int; INSERT INTO large SELECT 1, string_agg(md5(i::text), '') FROM generate_series(1, 2000) i; UPDATE large SET n = 1");
    let errors = job.fails();
    assert!(
        errors.contains("column 'v' of a row that changed was not sent")
            && errors.contains("REPLICA IDENTITY FULL"),
        "{errors}"
    );
    // A server that does not log enough.
    let Some(quiet) = Postgres::start(&[]) else { return };
    quiet.sql("CREATE TABLE plain (id int PRIMARY KEY, v text)");
    let error = run_badly(
        folder.path(),
        &format!(
            "SET 'restart-strategy.type' = 'none'; CREATE TABLE t ({keyed}) {}; SELECT * FROM t;",
            changes(&quiet, "plain", upsert)
        ),
    );
    assert!(
        error.contains("wal_level is replica") && error.contains("ALTER SYSTEM SET wal_level"),
        "{error}"
    );
}

#[test]
fn a_changing_table_enriches_a_stream() {
    let Some(postgres) = shared() else { return };
    postgres.sql(
        "CREATE TABLE rates (currency text PRIMARY KEY, rate numeric(10, 2)); ALTER TABLE rates REPLICA IDENTITY FULL;
         INSERT INTO rates VALUES ('EUR', 1.10), ('NOK', 0.10);
         CREATE TABLE rated (id bigint PRIMARY KEY, currency text, rate numeric(10, 2))",
    );
    let mut job = Job::start(&format!(
        "CREATE TABLE rates (currency STRING, rate DECIMAL(10, 2), PRIMARY KEY (currency) NOT ENFORCED) {};
         CREATE TABLE orders (id BIGINT, proc_time AS PROCTIME()) WITH ('connector' = 'datagen', 'rows-per-second' = '20', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '1000000');
         CREATE TABLE rated (id BIGINT, currency STRING, rate DECIMAL(10, 2), PRIMARY KEY (id) NOT ENFORCED) {};
         INSERT INTO rated SELECT o.id, r.currency, r.rate FROM (SELECT id, proc_time, CASE WHEN MOD(id, 2) = 0 THEN 'EUR' ELSE 'NOK' END AS c FROM orders) AS o
           LEFT JOIN rates FOR SYSTEM_TIME AS OF o.proc_time AS r ON o.c = r.currency;",
        changes(postgres, "rates", ""),
        postgres.with("rated", "")
    ));
    job.until("rows with the first rate", || {
        postgres.sql("SELECT count(*) > 0 FROM rated WHERE currency = 'EUR' AND rate = 1.10") == "t"
    });
    postgres
        .sql("UPDATE rates SET rate = 1.20 WHERE currency = 'EUR'; DELETE FROM rates WHERE currency = 'NOK'");
    job.until("rows with the new rate", || {
        postgres.sql("SELECT count(*) > 0 FROM rated WHERE currency = 'EUR' AND rate = 1.20") == "t"
    });
    job.until("rows without the rate that went", || {
        postgres.sql("SELECT count(*) > 0 FROM rated WHERE id % 2 = 1 AND rate IS NULL") == "t"
    });
    // What was emitted stays.
    assert_eq!(postgres.sql("SELECT count(*) > 0 FROM rated WHERE rate = 1.10"), "t");
}

#[test]
fn changes_are_versions_by_their_time() {
    let Some(postgres) = shared() else { return };
    postgres.sql(
        "CREATE TABLE prices (item text PRIMARY KEY, price int); INSERT INTO prices VALUES ('a', 1), ('b', 10);
         CREATE TABLE sales (id int PRIMARY KEY, item text);
         ALTER TABLE prices REPLICA IDENTITY FULL; ALTER TABLE sales REPLICA IDENTITY FULL;
         CREATE TABLE sold (id int PRIMARY KEY, price int)",
    );
    let time = "at_ TIMESTAMP_LTZ(3) METADATA FROM 'op_ts' VIRTUAL, WATERMARK FOR at_ AS at_";
    let mut job = Job::start(&format!(
        "SET 'parallelism.default' = '1';
         CREATE TABLE prices (item STRING, price INT, {time}, PRIMARY KEY (item) NOT ENFORCED) {};
         CREATE TABLE sales (id INT, item STRING, {time}, PRIMARY KEY (id) NOT ENFORCED) {};
         CREATE TABLE sold (id INT, price INT, PRIMARY KEY (id) NOT ENFORCED) {};
         INSERT INTO sold SELECT s.id, p.price FROM sales AS s LEFT JOIN prices FOR SYSTEM_TIME AS OF s.at_ AS p ON s.item = p.item;",
        changes(postgres, "prices", ""),
        changes(postgres, "sales", ""),
        postgres.with("sold", "")
    ));
    until("the slots", || {
        postgres.sql("SELECT count(*) FROM pg_replication_slots WHERE slot_name IN ('slot_prices', 'slot_sales') AND active") == "2"
    });
    for step in [
        "INSERT INTO sales VALUES (1, 'a'), (2, 'b')",
        "SELECT pg_sleep(0.05); UPDATE prices SET price = 2 WHERE item = 'a'",
        "SELECT pg_sleep(0.05); INSERT INTO sales VALUES (3, 'a'), (4, 'b')",
        "SELECT pg_sleep(0.05); DELETE FROM prices WHERE item = 'b'",
        "SELECT pg_sleep(0.05); INSERT INTO sales VALUES (5, 'b'), (6, 'a')",
        // What comes later lets event time pass.
        "SELECT pg_sleep(0.05); INSERT INTO prices VALUES ('z', 0)",
        "SELECT pg_sleep(0.05); INSERT INTO sales VALUES (100, 'z')",
        "SELECT pg_sleep(0.05); INSERT INTO prices VALUES ('zz', 0)",
    ] {
        postgres.sql(step);
    }
    let sold = || {
        postgres.sql("SELECT string_agg(id || ':' || coalesce(price::text, '-'), ' ' ORDER BY id) FROM sold WHERE id < 100")
    };
    job.until("the sales", || sold() == "1:1 2:10 3:2 4:10 5:- 6:2");
}

#[test]
fn tables_that_are_not_what_they_were_are_told_of() {
    let Some(postgres) = shared() else { return };
    let job = |table: &str| {
        let mut job = Job::start(&format!(
            "CREATE TABLE t (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) {}; CREATE TABLE copy (id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED) {};
             INSERT INTO copy SELECT * FROM t;",
            changes(postgres, table, ""),
            postgres.with(&format!("{table}_copy"), "")
        ));
        job.until("the first copy", || differ(postgres, table, &format!("{table}_copy")) == "0");
        job
    };
    for (table, statement, says) in [
        (
            "gone",
            "DROP TABLE gone; CREATE TABLE gone (id int PRIMARY KEY, v text); ALTER TABLE gone REPLICA IDENTITY FULL; INSERT INTO gone VALUES (2, 'two')",
            "was dropped",
        ),
        ("moved", "ALTER TABLE moved RENAME TO moved_away", "was renamed to public.moved_away"),
        (
            "unpublished",
            "ALTER PUBLICATION slot_unpublished DROP TABLE unpublished",
            "does not have table public.unpublished any more",
        ),
    ] {
        postgres.sql(&format!(
            "CREATE TABLE {table} (id int PRIMARY KEY, v text); ALTER TABLE {table} REPLICA IDENTITY FULL; INSERT INTO {table} VALUES (1, 'one'); CREATE TABLE {table}_copy (LIKE {table} INCLUDING ALL)"
        ));
        let mut job = job(table);
        postgres.sql(&format!("UPDATE {table} SET v = 'changed'"));
        job.until("the change", || differ(postgres, table, &format!("{table}_copy")) == "0");
        std::thread::sleep(Duration::from_millis(500));
        postgres.sql(statement);
        let errors = job.fails();
        assert!(errors.contains(says) && errors.contains("--fresh"), "{table}: {errors}");
        if table == "gone" {
            // The checkpoint knows which table it was.
            postgres.sql("ALTER PUBLICATION slot_gone ADD TABLE gone");
            job.again();
            let errors = job.fails();
            assert!(errors.contains("was dropped and created anew since the checkpoint"), "{errors}");
        }
    }
    // A domain is of the type that it is made of.
    postgres.sql(
        "CREATE DOMAIN word AS text CHECK (VALUE <> ''); CREATE TABLE domains (id int PRIMARY KEY, v word); ALTER TABLE domains REPLICA IDENTITY FULL; INSERT INTO domains VALUES (1, 'one'); CREATE TABLE domains_copy (id int PRIMARY KEY, v text)",
    );
    let mut domains = job("domains");
    postgres.sql("UPDATE domains SET v = 'two'; INSERT INTO domains VALUES (2, 'more')");
    domains.until("the changes", || differ(postgres, "domains", "domains_copy") == "0");
    domains.kill();
    // What a snapshot has and the stream does not, or the other way round.
    postgres.sql(
        "CREATE TABLE parent (id int PRIMARY KEY, v text); CREATE TABLE child () INHERITS (parent); ALTER TABLE parent REPLICA IDENTITY FULL;
         CREATE TABLE made (id int PRIMARY KEY, v text GENERATED ALWAYS AS ('x') STORED); ALTER TABLE made REPLICA IDENTITY FULL;
         CREATE TABLE part_rows (id int PRIMARY KEY, v text); ALTER TABLE part_rows REPLICA IDENTITY FULL",
    );
    let folder = folder();
    let script = |table: &str| {
        format!(
            "SET 'restart-strategy.type' = 'none'; CREATE TABLE t (id INT, v STRING) {}; SELECT * FROM t;",
            changes(postgres, table, "")
        )
    };
    let mut refused = vec![
        ("parent", "other tables inherit from table public.parent"),
        ("made", "column 'v' of public.made is generated"),
    ];
    if postgres.sql("SELECT current_setting('server_version_num')::int >= 150000") == "t" {
        postgres.sql("CREATE PUBLICATION slot_part_rows FOR TABLE part_rows WHERE (id > 5)");
        refused.push(("part_rows", "publishes some rows of public.part_rows only"));
    }
    for (table, says) in refused {
        let error = run_badly(folder.path(), &script(table));
        assert!(error.contains(says), "{table}: {says}\n{error}");
    }
}
