//! What queries are bound to: logical plans as text.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::error::{Error, Result};
use crate::session::Session;
use crate::sql::{SourceText, StatementKind, parse_script};

const TABLES: &str = "
CREATE TABLE t (k STRING, v INT, ts TIMESTAMP(3), z TIMESTAMP_LTZ(3), WATERMARK FOR ts AS ts) WITH ('connector'='datagen');
CREATE TABLE u (k STRING, w INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector'='datagen');
CREATE TABLE info (k STRING, name STRING) WITH ('connector'='http', 'url'='http://localhost/{k}', 'format'='json');
";

/// The bound and rewritten plan, with the names of its columns.
fn bind(query: &str) -> Result<(String, Vec<String>)> {
    let session = Session::new().unwrap();
    session.sql(TABLES).unwrap();
    let planner = session.planner();
    let statements = parse_script(&SourceText::new("<query>", query))?;
    let StatementKind::Query(query) = &statements[0].kind else { panic!("{query} is a query") };
    let plan = planner.query(query)?;
    let names = plan.schema().fields().iter().map(|f| f.name().clone()).collect();
    Ok((plan.display_indent().to_string(), names))
}

fn plan(query: &str) -> String {
    bind(query).unwrap_or_else(|e| panic!("{query}: {e}")).0
}

fn names(query: &str) -> Vec<String> {
    bind(query).unwrap_or_else(|e| panic!("{query}: {e}")).1
}

fn error(query: &str) -> Error {
    match bind(query) {
        Ok((plan, _)) => panic!("{query} is planned:\n{plan}"),
        Err(e) => e,
    }
}

/// The line of a plan that names the windows.
fn windows(query: &str) -> String {
    let plan = plan(query);
    let line = plan.lines().find(|l| l.contains("WindowTableFunction"));
    line.unwrap_or_else(|| panic!("{query} has no windows:\n{plan}")).trim().to_string()
}

#[test]
fn window_table_functions_fold_their_arguments() {
    for (from, kind) in [
        ("TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' MINUTE)", "Tumble { size: 600000 }"),
        ("TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' MINUTES))", "Tumble { size: 600000 }"),
        (
            "tumble(data => TABLE t, timecol => DESCRIPTOR(ts), size => INTERVAL '1' DAY)",
            "Tumble { size: 86400000 }",
        ),
        (
            "TUMBLE(SIZE => INTERVAL '1' HOUR, DATA => TABLE t, TIMECOL => DESCRIPTOR(ts))",
            "Tumble { size: 3600000 }",
        ),
        (
            "TUMBLE((SELECT ts, v FROM t WHERE v > 1), DESCRIPTOR(ts), INTERVAL '1 10:00:00' DAY TO SECOND)",
            "Tumble { size: 122400000 }",
        ),
        (
            "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '01:30' HOUR TO MINUTE, INTERVAL '-5' MINUTE)",
            "Tumble { size: 5400000 }",
        ),
        (
            "HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND)",
            "Hop { slide: 5000, size: 10000 }",
        ),
        (
            "HOP(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '10' SECOND, SLIDE => INTERVAL '5' SECOND, OFFSET => INTERVAL '1' SECOND)",
            "Hop { slide: 5000, size: 10000 }",
        ),
        (
            "CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '2' MINUTE, INTERVAL '10' MINUTE)",
            "Cumulate { step: 120000, size: 600000 }",
        ),
        ("SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1.5' SECOND)", "Session { gap: 1500 }"),
        (
            "TUMBLE(TABLE default_catalog.default_database.t, DESCRIPTOR(`ts`), INTERVAL '1' DAY)",
            "Tumble { size: 86400000 }",
        ),
    ] {
        let shown = windows(&format!("SELECT window_start, window_end FROM {from}"));
        assert_eq!(shown, format!("WindowTableFunction: {kind} on ts"), "{from}");
    }
    let plan = plan(
        "WITH c AS (SELECT * FROM t) SELECT w.v, window_time FROM TUMBLE(TABLE c, DESCRIPTOR(z), INTERVAL '1' DAY) AS w",
    );
    assert!(plan.contains("on z"), "{plan}");
}

#[test]
fn columns_of_windows_are_addressed_by_alias_or_alone() {
    let from = "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' DAY)";
    assert_eq!(
        names(&format!("SELECT * FROM {from}")),
        ["k", "v", "ts", "z", "window_start", "window_end", "window_time"]
    );
    assert_eq!(names(&format!("SELECT w.k, w.window_start, v FROM {from} w")), ["k", "window_start", "v"]);
    assert_eq!(names(&format!("SELECT w.k FROM TABLE({from}) w")), ["k"]);
    assert_eq!(error(&format!("SELECT t.k FROM {from}")).message(), "column 'k' not found in 't'");
    let joined = format!(
        "SELECT a.k, b.k FROM {from} a JOIN {from} b ON a.window_start = b.window_start AND a.k = b.k"
    );
    assert_eq!(names(&joined), ["k", "k0"]);
    // Windows of windows, over the time attribute that they give.
    let inner = format!("SELECT k, window_time AS rt FROM {from}");
    let outer = format!("SELECT * FROM TUMBLE(({inner}), DESCRIPTOR(rt), INTERVAL '2' DAY)");
    assert_eq!(names(&outer), ["k", "rt", "window_start", "window_end", "window_time"]);
    let nested =
        format!("SELECT * FROM TUMBLE((SELECT * FROM {from}), DESCRIPTOR(window_time), INTERVAL '2' DAY)");
    assert_eq!(error(&nested).message(), "the input of the windows has a column 'window_start' already");
}

#[test]
fn wrong_windows_are_told() {
    let day = "INTERVAL '1' DAY";
    for (from, message) in [
        ("TUMBLE(TABLE t, DESCRIPTOR(ts))".to_string(), "TUMBLE lacks its argument SIZE"),
        (format!("TUMBLE(TABLE t, DESCRIPTOR(ts), {day}, {day}, {day})"), "TUMBLE takes 4 arguments at most"),
        (format!("TUMBLE(TABLE t, SIZE => {day})"), "the arguments of TUMBLE are all named, or none is"),
        (format!("TUMBLE(DATA => TABLE t, SIZ => {day})"), "TUMBLE has no argument 'SIZ'"),
        (
            format!("TUMBLE(DATA => TABLE t, DATA => TABLE t, SIZE => {day})"),
            "the argument DATA of TUMBLE is given twice",
        ),
        (format!("TUMBLE(TABLE t, DESCRIPTOR(nope), {day})"), "the table has no column 'nope'"),
        (format!("TUMBLE(TABLE t, DESCRIPTOR(ts, z), {day})"), "the DESCRIPTOR of TUMBLE names one column"),
        (format!("TUMBLE(TABLE t, ts, {day})"), "column 'ts' not found"),
        (
            format!("TUMBLE({day}, DESCRIPTOR(ts), {day})"),
            "the argument DATA of TUMBLE is a table, not a value",
        ),
        (
            format!("TUMBLE(TABLE t, {day}, {day})"),
            "the argument TIMECOL of TUMBLE is a DESCRIPTOR, not a value",
        ),
        (format!("TUMBLE(TABLE t, DESCRIPTOR(k), {day})"), "windows need a time attribute, 'k' is STRING"),
        ("TUMBLE(TABLE t, DESCRIPTOR(ts), 10)".into(), "the argument SIZE of TUMBLE must be an interval"),
        (
            "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '0' DAY)".into(),
            "the SIZE of TUMBLE must be longer than 0",
        ),
        (
            "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '-1' DAY)".into(),
            "the SIZE of TUMBLE must be longer than 0",
        ),
        (
            "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MONTH)".into(),
            "the argument SIZE of TUMBLE is in months or years, which differ in length",
        ),
        (
            format!("CUMULATE(TABLE t, DESCRIPTOR(ts), {day}, INTERVAL '1' HOUR)"),
            "the size of CUMULATE must be a multiple of its step: 3600000 ms is no multiple of 86400000 ms",
        ),
        (
            format!("TUMBLE(TABLE t PARTITION BY k, DESCRIPTOR(ts), {day})"),
            "TUMBLE has no PARTITION BY: its windows are the same for all rows",
        ),
        (format!("SESSION(TABLE t PARTITION BY nope, DESCRIPTOR(ts), {day})"), "nope"),
        (format!("TUMBEL(TABLE t, DESCRIPTOR(ts), {day})"), "table function 'TUMBEL' is not known"),
        ("TABLE(t.k)".into(), "TABLE(...) takes the call of a table function"),
    ] {
        let e = error(&format!("SELECT * FROM {from}"));
        assert!(e.message().contains(message), "{from}: {e}");
        assert!(e.span().is_some(), "{from}: {e}");
    }
}

#[test]
fn group_windows_become_window_table_functions() {
    let query = "SELECT k, TUMBLE_START(ts, INTERVAL '1' HOUR) AS s, TUMBLE_END(ts, INTERVAL '1' HOUR), \
         TUMBLE_ROWTIME(ts, INTERVAL '1' HOUR) AS rt, COUNT(*) FROM t WHERE v > 1 \
         GROUP BY TUMBLE(ts, INTERVAL '1' HOUR), k HAVING TUMBLE_START(ts, INTERVAL '1' HOUR) IS NOT NULL";
    assert_eq!(windows(query), "WindowTableFunction: Tumble { size: 3600000 } on t.ts");
    assert_eq!(names(query), ["k", "s", "EXPR$2", "rt", "EXPR$4"]);
    // The qualifiers of a join stay.
    let query = "SELECT a.k, b.w, HOP_END(a.ts, INTERVAL '1' HOUR, INTERVAL '2' HOUR), SUM(v) FROM t a JOIN u AS b ON a.k = b.k \
         GROUP BY a.k, HOP(a.ts, INTERVAL '1' HOUR, INTERVAL '2' HOUR), b.w";
    assert_eq!(windows(query), "WindowTableFunction: Hop { slide: 3600000, size: 7200000 } on a.ts");
    assert_eq!(names(query), ["k", "w", "EXPR$2", "EXPR$3"]);
    let union = "SELECT k FROM t GROUP BY k, TUMBLE(ts, INTERVAL '1' HOUR) UNION ALL SELECT k FROM u GROUP BY k, SESSION(ts, INTERVAL '1' HOUR)";
    assert_eq!(plan(union).matches("WindowTableFunction").count(), 2);
    let session = "SELECT UPPER(k), SESSION_START(ts, INTERVAL '1' HOUR), COUNT(*) FROM t GROUP BY UPPER(k), v, SESSION(ts, INTERVAL '1' HOUR)";
    assert!(plan(session).contains("$session_key0"), "{}", plan(session));
    for (query, message) in [
        ("SELECT TUMBLE_START(ts, INTERVAL '1' DAY) FROM t", "TUMBLE_START needs TUMBLE(...) in GROUP BY"),
        (
            "SELECT TUMBLE_START(ts, INTERVAL '1' DAY) FROM t GROUP BY TUMBLE(ts, INTERVAL '2' DAY)",
            "TUMBLE_START must have the arguments of the window in GROUP BY: TUMBLE(ts, INTERVAL '2' DAY)",
        ),
        (
            "SELECT 1 FROM t GROUP BY TUMBLE(ts, INTERVAL '2' DAY), TUMBLE(z, INTERVAL '2' DAY)",
            "GROUP BY has one group window at most",
        ),
        (
            "SELECT 1 FROM t GROUP BY TUMBLE(ts, INTERVAL '2' DAY, INTERVAL '2' DAY)",
            "TUMBLE in GROUP BY takes 2 arguments, 3 given",
        ),
        (
            "SELECT TUMBLE(ts, INTERVAL '2' DAY) FROM t GROUP BY TUMBLE(ts, INTERVAL '2' DAY)",
            "TUMBLE is only allowed in GROUP BY",
        ),
        ("SELECT 1 FROM t GROUP BY TUMBLE(ts, INTERVAL '0' DAY)", "the size of TUMBLE must be longer than 0"),
        (
            "SELECT 1 FROM t GROUP BY TUMBLE(v, INTERVAL '1' DAY)",
            "windows need a time attribute, 't.v' is INT",
        ),
        ("SELECT 1 FROM t GROUP BY TUMBLE(nope, INTERVAL '1' DAY)", "nope"),
    ] {
        let e = error(query);
        assert!(e.message().contains(message), "{query}: {e}");
        assert!(e.span().is_some(), "{query}: {e}");
    }
}

#[test]
fn names_that_repeat_are_numbered() {
    for (query, wanted) in [
        ("SELECT k, k, v AS k FROM t", "k,k0,k1"),
        ("SELECT a.k, b.k FROM t a JOIN u b ON a.k = b.k", "k,k0"),
        ("SELECT * FROM t a JOIN u b ON a.k = b.k", "k,v,ts,z,k0,w,ts0"),
        ("SELECT k0, ts0 FROM (SELECT * FROM t a JOIN u b ON a.k = b.k) AS x", "k0,ts0"),
        ("SELECT x.k0 FROM (SELECT * FROM t a JOIN u b ON a.k = b.k) x", "k0"),
        ("WITH x AS (SELECT * FROM t a JOIN u b ON a.k = b.k) SELECT ts0, x.k0 FROM x", "ts0,k0"),
        ("SELECT v + 1, v + 1 FROM t", "EXPR$0,EXPR$1"),
        ("SELECT a.v, b.v FROM (SELECT v FROM t) a, (SELECT v FROM t) b WHERE a.v = b.v", "v,v0"),
    ] {
        assert_eq!(names(query).join(","), wanted, "{query}");
    }
}

#[test]
fn clauses_of_select_bind() {
    for query in [
        "SELECT k, ROW_NUMBER() OVER w AS rn FROM t WINDOW w AS (PARTITION BY k ORDER BY ts)",
        "SELECT k FROM t QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) = 1",
        "SELECT k, SUM(v) OVER w FROM t WINDOW w AS (PARTITION BY k ORDER BY ts) QUALIFY COUNT(*) OVER w > 1",
        "SELECT k, SUM(v) OVER (w RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) FROM t WINDOW w AS (PARTITION BY k ORDER BY ts)",
        "SELECT k, SUM(v) OVER w2 FROM t WINDOW w AS (PARTITION BY k), w2 AS (w ORDER BY ts)",
        "SELECT k, COUNT(DISTINCT v) FILTER (WHERE v > 1), LISTAGG(k, ';') WITHIN GROUP (ORDER BY v) FROM t GROUP BY GROUPING SETS ((k), ())",
        "SELECT k, v, COUNT(*) FROM t GROUP BY ROLLUP (k, v)",
        "SELECT k, v, COUNT(*) FROM t GROUP BY CUBE (k, v)",
        "SELECT JSON_OBJECTAGG(KEY k VALUE v ABSENT ON NULL), JSON_ARRAYAGG(v NULL ON NULL) FROM t",
        "SELECT FIRST_VALUE(v) IGNORE NULLS, LAST_VALUE(v), ARRAY_AGG(DISTINCT v), COLLECT(v) FROM t GROUP BY k",
        "SELECT LAG(v, 2) IGNORE NULLS OVER (PARTITION BY k ORDER BY ts) FROM t",
        "SELECT * FROM t WHERE k IN (SELECT k FROM u) AND EXISTS (SELECT 1 FROM u WHERE u.w = t.v)",
        "SELECT k FROM t INTERSECT SELECT k FROM u",
        "SELECT k FROM t EXCEPT ALL SELECT k FROM u",
        "SELECT k FROM t INTERSECT ALL SELECT k FROM u",
        "SELECT k FROM t ORDER BY v DESC FETCH FIRST 3 ROWS ONLY",
        "SELECT k FROM t ORDER BY v OFFSET 2 ROWS FETCH NEXT ROW ONLY",
        "SELECT * FROM t WHERE (ts, INTERVAL '1' HOUR) OVERLAPS (ts, TIMESTAMP '2020-01-01 00:00:00')",
        "SELECT DISTINCT k, v FROM t",
    ] {
        plan(query);
    }
    for (query, message) in [
        ("SELECT SUM(v) OVER w FROM t", "w"),
        (
            "SELECT SUM(v) OVER w FROM t WINDOW w AS (ORDER BY ts), w AS (ORDER BY v)",
            "window 'w' is defined twice",
        ),
        (
            "SELECT SUM(v) OVER (w PARTITION BY k) FROM t WINDOW w AS (ORDER BY ts)",
            "cannot have PARTITION BY of its own",
        ),
        ("SELECT k FROM t LIMIT 3 FETCH FIRST 3 ROWS ONLY", ""),
    ] {
        let e = error(query);
        assert!(e.message().contains(message), "{query}: {e}");
    }
}

#[test]
fn state_ttl_finds_its_table() {
    for (query, wanted) in [
        ("SELECT /*+ STATE_TTL('t'='1d') */ k, COUNT(*) FROM t GROUP BY k", 1),
        ("SELECT /*+ STATE_TTL('a'='1d', 'b'='12 h') */ a.k FROM t a JOIN u AS b ON a.k = b.k", 2),
        ("SELECT /*+ STATE_TTL('x'='1d') */ x.k FROM (SELECT k FROM t) AS x JOIN u ON x.k = u.k", 1),
        ("WITH c AS (SELECT k FROM t) SELECT /*+ STATE_TTL('c'='1d') */ c.k FROM c JOIN u ON c.k = u.k", 1),
    ] {
        let plan = plan(query);
        assert_eq!(plan.matches("StateTtl:").count(), wanted, "{query}:\n{plan}");
    }
    for (query, message) in [
        (
            "SELECT /*+ STATE_TTL('x'='1d') */ k FROM t",
            "hint STATE_TTL names 'x', which is no table of its query block",
        ),
        ("SELECT /*+ STATE_TTL('t'='often') */ k FROM t", "hint STATE_TTL of 't'"),
        ("SELECT k FROM t /*+ STATE_TTL('t'='1d') */", "hint STATE_TTL must follow SELECT"),
        (
            "SELECT /*+ STATE_TTL('info'='1d') */ t.k FROM t JOIN info ON t.k = info.k",
            "a lookup table, of which no state is kept",
        ),
    ] {
        let e = error(query);
        assert!(e.message().contains(message), "{query}: {e}");
        assert!(e.span().is_some(), "{query}: {e}");
    }
}
