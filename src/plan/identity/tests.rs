//! Identities that must not change, what changes them, and what does not.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::identity;
use crate::clock::ManualClock;
use crate::session::Session;

const TABLES: &str = "
CREATE TABLE t (k STRING, v INT, w BIGINT, ts TIMESTAMP(3), pt AS PROCTIME(), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
    WITH ('connector' = 'datagen');
CREATE TABLE u (k STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts, PRIMARY KEY (k) NOT ENFORCED)
    WITH ('connector' = 'datagen');
CREATE TABLE api (k STRING, name STRING, score DOUBLE)
    WITH ('connector' = 'http', 'url' = 'http://localhost/{k}', 'format' = 'json');
CREATE TABLE changes (k STRING, v INT, PRIMARY KEY (k) NOT ENFORCED)
    WITH ('connector' = 'filesystem', 'path' = 'src', 'format' = 'debezium-json');
CREATE TABLE out WITH ('connector' = 'blackhole') AS ";

/// Names and identities of the operators with state, from the sink on.
fn stateful(script: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let session = Session::planning(ManualClock::new(0), runtime);
    let planned = session.plan_script(script).unwrap_or_else(|e| panic!("{script}: {e}"));
    let mut found = Vec::new();
    for output in &planned {
        output.node.walk(&mut |node| {
            if node.meaning.state.is_some() {
                found.push(identity(node));
            }
        });
    }
    found
}

fn of(query: &str) -> Vec<String> {
    stateful(&format!("{TABLES}{query}"))
}

/// A dozen plans. A state that was kept by one of these is taken by no other: if this test fails because a
/// meaning is told in another way, users lose the state of their jobs. It may change only if the state itself
/// means something else, and then [`super::Parts`] have a new version.
#[test]
fn identities_stay_as_they_are() {
    let plans = [
        ("SELECT k, COUNT(*) AS n, SUM(v) AS s FROM t WHERE v > 50 GROUP BY k", GROUPED),
        (
            "SELECT window_start, k, MAX(w) AS m FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)
             GROUP BY window_start, window_end, k",
            TUMBLED,
        ),
        (
            "SELECT window_start, COUNT(DISTINCT k) AS n FROM SESSION(TABLE t, DESCRIPTOR(ts), INTERVAL '30' SECOND)
             GROUP BY window_start, window_end",
            SESSIONS,
        ),
        ("SELECT t.k, t.v, u.v AS uv FROM t JOIN u ON t.k = u.k AND t.v > u.v", JOINED),
        (
            "SELECT t.k, u.v FROM t JOIN u ON t.k = u.k AND u.ts BETWEEN t.ts - INTERVAL '1' HOUR AND t.ts",
            INTERVAL,
        ),
        ("SELECT t.k, u.v FROM t LEFT JOIN u FOR SYSTEM_TIME AS OF t.ts ON t.k = u.k", TEMPORAL),
        ("SELECT t.k, api.name FROM t LEFT JOIN api ON t.k = api.k WHERE t.v > 50", LOOKED_UP),
        ("SELECT c.k, api.name FROM changes AS c LEFT JOIN api ON c.k = api.k", REMEMBERED),
        (
            "SELECT k, v FROM (SELECT k, v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS r FROM t)
             WHERE r <= 3",
            RANKED,
        ),
        (
            "SELECT k, v FROM (SELECT k, v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS r FROM t)
             WHERE r = 1",
            DEDUPLICATED,
        ),
        (
            "SELECT k, SUM(v) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) AS s
             FROM t",
            OVER,
        ),
        ("SELECT k FROM t INTERSECT SELECT k FROM u", INTERSECTED),
        ("SELECT k, v FROM t ORDER BY ts LIMIT 10", LIMITED),
    ];
    let mut wrong = String::new();
    for (query, golden) in plans {
        let found = of(query);
        if found != golden {
            wrong.push_str(&format!("{query}\n    {found:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

const OF_T: &str = "WatermarkAssigner-4724ab144d9d0ba543fa7516";
const OF_U: &str = "WatermarkAssigner-0e80153703a510f81c45eba3";
const GROUPED: &[&str] = &["GroupAggregate-98d1cb3ba94bb97d5bc0c1e6", OF_T];
const TUMBLED: &[&str] = &["WindowAggregate-190c66f400b1f20374783217", OF_T];
const SESSIONS: &[&str] = &["WindowAggregate-710a21a276ef2f745358e551", OF_T];
const JOINED: &[&str] = &["Join-1ba1e7515aa1bd25a303b59c", OF_T, OF_U];
const INTERVAL: &[&str] = &["IntervalJoin-4236707dc663b4e5ff467d51", OF_T, OF_U];
const TEMPORAL: &[&str] = &["TemporalJoin-b652d56de273d75666b788d5", OF_T, OF_U];
const LOOKED_UP: &[&str] = &["LookupJoin-273705808799307257a851a0", OF_T];
const REMEMBERED: &[&str] = &["LookupJoin-7e412a6bd435ad63a4fd007e"];
const RANKED: &[&str] = &["Rank-18b9b12ee895847618ac9d99", OF_T];
const DEDUPLICATED: &[&str] = &["Deduplicate-c70fd31bcf6cca7fd6c12dde", OF_T];
const OVER: &[&str] = &["OverAggregate-ab755a3f56dd236a0a613a0e", OF_T];
const INTERSECTED: &[&str] = &["SetOperation-1e17814350ffcb6c53fa7318", OF_T, OF_U];
const LIMITED: &[&str] = &["SortLimit-1f004d7663629ffe52ff1cf5", OF_T];

/// The identity of the last operator with state that checkpoints know by another one.
fn earlier(query: &str) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let session = Session::planning(ManualClock::new(0), runtime);
    let planned = session.plan_script(&format!("{TABLES}{query}")).unwrap_or_else(|e| panic!("{query}: {e}"));
    let mut found = None;
    for output in &planned {
        output.node.walk(&mut |node| found = found.take().or_else(|| super::earlier(node)));
    }
    found
}

#[test]
fn the_condition_of_an_inner_join_decides_what_comes_out_and_not_what_is_kept() {
    let join = "SELECT t.k, t.v, u.v AS uv FROM t JOIN u ON t.k = u.k AND t.v > u.v";
    assert_eq!(earlier(join).as_deref(), Some("Join-0ff0a3018fb18727812a99d0"));
    let same = |a: &str, b: &str| of(a) == of(b);
    assert!(same(join, &join.replace("t.v > u.v", "t.v > u.v + 7")));
    assert!(same(join, &format!("{join} WHERE t.v < u.v * 2")));
    // What comes out does not mean the same behind it.
    let counted = format!("SELECT k, COUNT(*) AS n FROM ({join}) GROUP BY k");
    assert!(!same(&counted, &counted.replace("t.v > u.v", "t.v > u.v + 7")));
    // An outer join counts matches, and what a filter of one side lets through is what is kept.
    let outer = join.replace("JOIN", "LEFT JOIN");
    assert!(!same(&outer, &outer.replace("t.v > u.v", "t.v > u.v + 7")));
    assert_eq!(earlier(&outer), None);
    assert!(!same(join, &format!("{join} WHERE t.v < 7")));
    // Pairs that were given out would be taken back by another condition.
    let changing = "SELECT c.k, u.v FROM changes AS c JOIN u ON c.k = u.k AND c.v > u.v";
    assert!(!same(changing, &changing.replace("c.v > u.v", "c.v >= u.v")));
    let interval = "SELECT t.k, u.v FROM t JOIN u ON t.k = u.k AND u.ts BETWEEN t.ts - INTERVAL '1' HOUR AND t.ts AND t.v > u.v";
    assert!(same(interval, &interval.replace("t.v > u.v", "t.v > u.v + 7")));
    let temporal = "SELECT t.k, u.v FROM t LEFT JOIN u FOR SYSTEM_TIME AS OF t.ts ON t.k = u.k AND t.v > u.v";
    assert!(same(temporal, &temporal.replace("t.v > u.v", "t.v > u.v + 7")));
}

#[test]
fn the_unit_of_an_interval_is_no_part_of_what_is_kept() {
    let moved = |by: &str| of(&format!("SELECT k, MAX(ts + INTERVAL {by}) AS m FROM t GROUP BY k"));
    assert_eq!(moved("'90' MINUTE"), moved("'1:30' HOUR TO MINUTE"));
    assert_ne!(moved("'1' HOUR"), moved("'2' HOUR"));
    let added = of("SELECT k, MAX(INTERVAL '1' HOUR + ts) AS m FROM t GROUP BY k");
    assert_eq!(moved("'1' HOUR"), added);
}

/// Whether two scripts have operators with the same identities.
fn same(a: &str, b: &str) -> bool {
    let (a, b) = (stateful(a), stateful(b));
    assert!(!a.is_empty() && !b.is_empty());
    a == b
}

#[test]
fn edits_that_do_not_touch_the_state_keep_its_identity() {
    let join = "SELECT t.k, api.name FROM t LEFT JOIN api ON t.k = api.k WHERE t.v > 50";
    let base = format!("{TABLES}{join}");
    for (what, from, to) in [
        ("host and path", "http://localhost/{k}", "https://example.com/v2/{k}?x=1"),
        ("on-error", "'format' = 'json')", "'format' = 'json', 'lookup.on-error' = 'null')"),
        ("header", "'format' = 'json')", "'format' = 'json', 'http.source.lookup.header.X' = 'y')"),
        ("retries", "'format' = 'json')", "'format' = 'json', 'lookup.max-retries' = '7')"),
        (
            "cache",
            "'format' = 'json')",
            "'format' = 'json', 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '10')",
        ),
        ("filter", "t.v > 50", "t.v > 60"),
        ("filter turned round", "t.v > 50", "50 < t.v"),
        ("another column of the table", "SELECT t.k, api.name", "SELECT t.k, api.name, api.score"),
        ("outer or inner", "LEFT JOIN", "JOIN"),
        ("alias", "t.k, api.name FROM t LEFT", "s.k AS key, api.name AS n FROM t AS s LEFT"),
        ("comment", "SELECT t.k", "SELECT /* why */ t.k -- because\n"),
        ("comment of a column", "name STRING,", "name STRING COMMENT 'of the key',"),
    ] {
        assert!(base.contains(from), "{from}");
        let mut edited = base.replace(from, to);
        if what == "alias" {
            edited = edited.replace("t.k = api.k WHERE t.v", "s.k = api.k WHERE s.v");
        }
        assert!(same(&base, &edited), "{what}: {edited}");
    }
    for setting in [
        "SET 'table.exec.async-lookup.buffer-capacity' = '7';",
        "SET 'table.exec.async-lookup.timeout' = '7 s';",
        "SET 'table.exec.async-lookup.output-mode' = 'ALLOW_UNORDERED';",
        "SET 'enrichment.strategy' = 'CACHED';",
        "SET 'parallelism.default' = '7';",
        "SET 'table.exec.state.ttl' = '7 d';",
        "SET 'table.exec.source.idle-timeout' = '7 s';",
    ] {
        assert!(same(&base, &format!("{setting}{base}")), "{setting}");
    }
    let grouped =
        format!("{TABLES}SELECT k, COUNT(*) AS n, SUM(v) AS s FROM t WHERE v > 50 AND w < 7 GROUP BY k");
    for (from, to) in [
        ("WHERE v > 50 AND w < 7", "WHERE 7 > w AND 50 < v"),
        ("SELECT k, COUNT(*) AS n, SUM(v) AS s", "SELECT SUM(v) AS a, COUNT(*) AS b, k AS c, UPPER(k) AS d"),
        ("FROM t WHERE v > 50 AND w < 7", "FROM (SELECT * FROM t WHERE v > 50) AS x WHERE w < 7"),
    ] {
        let edited = grouped.replace(from, to);
        // Calls are kept in the order of the query: it is that of DataFusion's plan.
        let kept = stateful(&grouped)[1..] == stateful(&edited)[1..] || from.contains("SUM");
        assert!(kept, "{edited}");
        if !from.contains("SUM") {
            assert!(same(&grouped, &edited), "{edited}");
        }
    }
    let rows = "SELECT a.k AS x, b.v AS y FROM t AS a JOIN u AS b ON a.k = b.k";
    let renamed = "SELECT c.k AS p, d.v AS q FROM t AS c JOIN u AS d ON d.k = c.k";
    assert!(same(&format!("{TABLES}{rows}"), &format!("{TABLES}{renamed}")));
}

#[test]
fn edits_that_alter_the_state_alter_its_identity() {
    let grouped = "SELECT k, COUNT(*) AS n FROM t WHERE v > 50 GROUP BY k";
    let windowed =
        "SELECT window_start, k, MAX(w) AS m FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)
        GROUP BY window_start, window_end, k";
    let joined = "SELECT t.k, u.v FROM t JOIN u ON t.k = u.k";
    let over = "SELECT k, SUM(v) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) AS s FROM t";
    let ranked = "SELECT k, v FROM (SELECT k, v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS r FROM t) WHERE r <= 3";
    let remembered = "SELECT c.k, api.name FROM changes AS c LEFT JOIN api ON c.k = api.k WHERE c.v > 50";
    for (query, from, to) in [
        (grouped, "COUNT(*) AS n", "COUNT(*) AS n, SUM(v) AS s"),
        (grouped, "COUNT(*)", "COUNT(v)"),
        (grouped, "COUNT(*)", "COUNT(DISTINCT v)"),
        (grouped, "COUNT(*)", "COUNT(*) FILTER (WHERE v > 60)"),
        (grouped, "GROUP BY k", "GROUP BY k, v"),
        (grouped, "SELECT k,", "SELECT UPPER(k) AS k,"),
        (grouped, "v > 50", "v > 60"),
        (grouped, "FROM t WHERE", "FROM u WHERE"),
        (windowed, "'1' MINUTE", "'2' MINUTE"),
        (windowed, "TUMBLE(TABLE t, DESCRIPTOR(ts), ", "HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '30' SECOND, "),
        (windowed, "MAX(w)", "MIN(w)"),
        (windowed, "window_end, k", "window_end, k, v"),
        (joined, "t.k = u.k", "t.k = u.k AND t.v = u.v"),
        (joined, "JOIN", "LEFT JOIN"),
        (joined, "t.k, u.v", "t.k, t.w, u.v"),
        (joined, "t.k = u.k", "t.k = u.k WHERE t.v > 5"),
        (over, "'1' HOUR", "'2' HOUR"),
        (over, "PARTITION BY k", "PARTITION BY v"),
        (ranked, "r <= 3", "r <= 4"),
        (ranked, "v DESC", "v ASC"),
        (remembered, "c.v > 50", "c.v > 60"),
        (remembered, "LEFT JOIN", "JOIN"),
        (remembered, "api.name", "api.name, api.score"),
    ] {
        assert!(query.contains(from), "{from}");
        let mut edited = query.replace(from, to);
        if to == "SELECT UPPER(k) AS k," {
            edited = edited.replace("GROUP BY k", "GROUP BY UPPER(k)");
        }
        assert!(!same(&format!("{TABLES}{query}"), &format!("{TABLES}{edited}")), "{edited}");
    }
    let base = format!("{TABLES}{grouped}");
    let typed = base.replace("k STRING, v INT, w BIGINT", "k INT, v INT, w BIGINT");
    assert!(!same(&base, &typed), "the type of a key");
    let late = base.replace("INTERVAL '5' SECOND", "INTERVAL '9' SECOND");
    assert!(!same(&base, &late), "the watermark");
}

#[test]
fn sharing_leaves_identities_as_they_are() {
    let tables = TABLES.replace("CREATE TABLE out WITH ('connector' = 'blackhole') AS ", "");
    let versions = "(SELECT k, v, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS r FROM t) WHERE r = 1)";
    let tables = format!(
        "{tables} CREATE VIEW grouped AS SELECT k, COUNT(*) AS n FROM t WHERE v > 50 GROUP BY k;
         CREATE VIEW answered AS SELECT t.k, api.name FROM t LEFT JOIN api ON t.k = api.k;
         CREATE VIEW versions AS {versions};
         CREATE TABLE a (k STRING, x STRING) WITH ('connector' = 'blackhole');
         CREATE TABLE b (k STRING, x STRING) WITH ('connector' = 'blackhole');
         CREATE TABLE c (k STRING, x STRING) WITH ('connector' = 'blackhole');"
    );
    for [one, other, third] in [
        [
            "INSERT INTO a SELECT k, CAST(n AS STRING) FROM grouped WHERE n > 1;",
            "INSERT INTO b SELECT k, CAST(n AS STRING) FROM grouped WHERE n > 2;",
            "",
        ],
        [
            "INSERT INTO a SELECT k, name FROM answered;",
            "INSERT INTO b SELECT UPPER(k), name FROM answered;",
            "",
        ],
        [
            "INSERT INTO a SELECT u.k, CAST(x.v AS STRING) FROM u JOIN versions FOR SYSTEM_TIME AS OF u.ts AS x ON u.k = x.k;",
            "INSERT INTO b SELECT k, CAST(v AS STRING) FROM versions;",
            "INSERT INTO c SELECT k, CAST(v + 1 AS STRING) FROM versions;",
        ],
    ] {
        let alone: Vec<_> = [one, other, third]
            .iter()
            .filter(|s| !s.is_empty())
            .map(|s| stateful(&format!("{tables}{s}")))
            .collect();
        let together = stateful(&format!("{tables}EXECUTE STATEMENT SET BEGIN {one}{other}{third} END;"));
        let all: std::collections::BTreeSet<&String> = alone.iter().flatten().collect();
        assert_eq!(all, together.iter().collect(), "{one} {other}");
        assert!(together.len() < alone.iter().flatten().count(), "nothing is shared: {one} {other}");
    }
}

#[test]
fn final_rows_have_an_identity() {
    let query = "SELECT k, COUNT(*) AS n FROM changes GROUP BY k";
    let batch = format!("SET 'execution.runtime-mode' = 'batch';{TABLES}{query}");
    let found = stateful(&batch);
    assert!(found.first().is_some_and(|id| id.starts_with("FinalRows-")), "{found:?}");
    assert!(same(&batch, &batch.replace("FROM changes", "FROM changes AS c")));
    assert!(!same(&batch, &batch.replace("COUNT(*)", "COUNT(v)")));
}

#[test]
fn views_over_views_have_short_meanings() {
    let mut script = TABLES.replace("CREATE TABLE out WITH ('connector' = 'blackhole') AS ", "");
    script.push_str("CREATE VIEW v0 AS SELECT v + 1 AS x FROM t;");
    for i in 1..5 {
        let last = i - 1;
        script.push_str(&format!("CREATE VIEW v{i} AS SELECT x * x + x AS x FROM v{last};"));
    }
    script.push_str(
        "CREATE TABLE out WITH ('connector' = 'blackhole') AS SELECT x, COUNT(*) AS n FROM v4 GROUP BY x",
    );
    assert_eq!(stateful(&script).len(), 2);
}

#[test]
fn begun_matches_are_those_of_a_pattern_and_its_conditions() {
    let query = |measures: &str, skip: &str, pattern: &str, define: &str| {
        of(&format!(
            "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts MEASURES {measures}
             AFTER MATCH SKIP {skip} PATTERN ({pattern}) WITHIN INTERVAL '1' HOUR DEFINE {define}) AS m"
        ))
    };
    let define = "A AS A.v > 1, B AS B.v > LAST(A.v)";
    let plan = query("A.v AS a, B.v AS b", "TO NEXT ROW", "A B+? C", define);
    // Measures over the same columns are no part of it, nor is the order of definitions.
    assert_eq!(query("SUM(B.v) AS s, C.v AS c", "TO NEXT ROW", "A B+? C", define), plan);
    assert_eq!(query("A.v AS a", "TO NEXT ROW", "A B+? C", "B AS LAST(A.v, 0) < B.v, A AS 1 < A.v"), plan);
    assert_ne!(query("A.w AS a, B.v AS b", "TO NEXT ROW", "A B+? C", define), plan);
    assert_ne!(query("A.v AS a, B.v AS b", "PAST LAST ROW", "A B+? C", define), plan);
    assert_ne!(query("A.v AS a, B.v AS b", "TO NEXT ROW", "A B+ C", define), plan);
    assert_ne!(
        query("A.v AS a, B.v AS b", "TO NEXT ROW", "A B+? C", "A AS A.v > 2, B AS B.v > LAST(A.v)"),
        plan
    );
}

#[test]
fn names_of_the_variables_of_a_pattern_are_no_part_of_its_state() {
    let query = "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts
        MEASURES LAST(DOWN.v) AS low, UP.v AS high AFTER MATCH SKIP PAST LAST ROW
        PATTERN (START_ROW DOWN+ UP) DEFINE DOWN AS v < 10, UP AS v > DOWN.v)";
    let renamed = query.replace("DOWN", "A").replace("UP", "B").replace("START_ROW", "C");
    assert_eq!(of(query), of(&renamed));
    assert_eq!(earlier(query).as_deref(), Some("MatchRecognize-bb3b3902a6452aabf81afeee"));
    assert_ne!(of(query), of(&query.replace("DOWN+", "DOWN*")));
    assert_ne!(of(query), of(&query.replace("v < 10", "v < 11")));
}
