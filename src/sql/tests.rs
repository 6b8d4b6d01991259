//! Statements and the structure they parse to; errors and their places.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use sqlparser::ast::{Expr, SetExpr, TableFactor, TableVersion};

use super::*;
use crate::error::{Error, Result};

fn script(text: &str) -> Result<Vec<Statement>> {
    parse_script(&SourceText::new("t.sql", text))
}

fn one(text: &str) -> StatementKind {
    match script(text) {
        Ok(mut statements) => {
            assert_eq!(statements.len(), 1, "{text}");
            statements.remove(0).kind
        }
        Err(e) => panic!("{text}\n{}", e.render(&SourceText::new("t.sql", text), false)),
    }
}

fn error(text: &str) -> Error {
    script(text).map(|s| panic!("{text} parsed to {s:?}")).unwrap_err()
}

fn query(text: &str) -> Box<sqlparser::ast::Query> {
    match one(text) {
        StatementKind::Query(q) => q,
        other => panic!("{other:?}"),
    }
}

fn factors(text: &str) -> Vec<TableFactor> {
    let SetExpr::Select(select) = *query(text).body else { panic!("{text}") };
    select
        .from
        .into_iter()
        .flat_map(|f| std::iter::once(f.relation).chain(f.joins.into_iter().map(|j| j.relation)))
        .collect()
}

fn hints(factor: &TableFactor) -> TableHints {
    let TableFactor::Table { name, .. } = factor else { panic!("{factor:?}") };
    take_hints(&mut name.clone()).unwrap()
}

fn pairs(entries: &[OptionEntry]) -> Vec<(&str, &str)> {
    entries.iter().map(|e| (e.key.value.as_str(), e.value.value.as_str())).collect()
}

#[test]
fn scratch() {
    for text in [
        "SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))",
        "SELECT * FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE) AS w",
        "SELECT * FROM TUMBLE(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' MINUTE)",
        "SELECT * FROM TUMBLE(TABLE t /*+ OPTIONS('a'='b') */, DESCRIPTOR(ts), INTERVAL '1' MINUTE)",
        "SELECT * FROM TABLE(TUMBLE((SELECT * FROM t), DESCRIPTOR(ts), INTERVAL '1' MINUTE))",
        "SELECT MAP['a', 1, 'b', 2]['a'], ARRAY[1,2][1], ROW(1, 'a'), (1, 2)",
        "SELECT TIMESTAMP '2020-01-01 00:00:00', DATE '2020-01-01', TIME '10:00:00', INTERVAL '5' SECOND, INTERVAL '1:30' HOUR TO MINUTE, INTERVAL '1-2' YEAR TO MONTH, INTERVAL '1' DAY(3), INTERVAL -'1' DAY",
        "SELECT JSON_VALUE(a, '$.b' RETURNING INT), JSON_OBJECT('k' VALUE v, KEY 'x' VALUE 1), a IS JSON, a IS NOT JSON OBJECT",
        "SELECT a BETWEEN SYMMETRIC 1 AND 2 AND b, a NOT BETWEEN ASYMMETRIC 1 AND 2",
        "SELECT CAST(x AS ROW<a INT, b STRING>), TRY_CAST(x AS TIMESTAMP(3) WITH LOCAL TIME ZONE), CAST(CAST(a AS MAP<STRING, INT>) AS MULTISET<INT>)",
        "SELECT EXTRACT(DAY FROM ts), FLOOR(ts TO DAY), CEIL(ts TO HOUR), TIMESTAMPDIFF(DAY, a, b), TIMESTAMPADD(DAY, 1, a), TRIM(BOTH ' ' FROM a), POSITION('a' IN b), OVERLAY(a PLACING 'b' FROM 1 FOR 2), SUBSTRING(a FROM 1 FOR 2)",
        "SELECT COUNT(*) FILTER (WHERE a > 1), LISTAGG(a) WITHIN GROUP (ORDER BY b) FROM t GROUP BY GROUPING SETS ((a), (b), ())",
        "SELECT a, ROW_NUMBER() OVER (PARTITION BY b ORDER BY c DESC) AS rn FROM t QUALIFY rn = 1",
        "SELECT SUM(a) OVER w FROM t WINDOW w AS (PARTITION BY b ORDER BY ts RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW)",
        "SELECT * FROM t GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE)",
        "SELECT `timestamp`, ts AT TIME ZONE 'UTC', CURRENT_TIMESTAMP, LOCALTIMESTAMP, LOCALTIME, PROCTIME() FROM t",
        "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(a, b)",
        "SELECT * FROM a CROSS JOIN UNNEST(a.xs) WITH ORDINALITY AS t(x, i)",
        "SELECT * FROM a LEFT JOIN UNNEST(a.xs) AS t(x) ON TRUE",
        "SELECT a.b.c, t.*, a SIMILAR TO 'x', a LIKE 'b' ESCAPE '!', a IS NOT DISTINCT FROM b, a IS TRUE, x IN (1,2), EXISTS (SELECT 1) FROM t",
        "SELECT * FROM t ORDER BY ts LIMIT 10 OFFSET 5",
        "SELECT * FROM t FETCH FIRST 10 ROWS ONLY",
        "SELECT DISTINCT a FROM t UNION ALL SELECT b FROM u EXCEPT SELECT c FROM v",
        "WITH x AS (SELECT 1), y(a) AS (VALUES (1)) SELECT * FROM x, y",
        "SELECT CASE a WHEN 1 THEN 2 ELSE 3 END, IF(a, b, c), COALESCE(a, b), NULLIF(a, 1)",
        "SELECT a FROM t1 NATURAL JOIN t2",
        "SELECT * FROM t1 JOIN t2 USING (a)",
        "SELECT x'AB', U&'\\00e4', 1e5, .5, 1.5E-3, -1, +1, NOT a, a % 2, a <> b, a != b",
        "SELECT interval, date, value, user FROM t",
    ] {
        match script(text) {
            Ok(s) => println!("OK   {text}\n     {}", match &s[0].kind { StatementKind::Query(q) => q.to_string(), o => format!("{o:?}") }),
            Err(e) => println!("ERR  {text}\n{}", e.render(&SourceText::new("t.sql", text), false)),
        }
    }
    println!("{:#?}", factors("SELECT * FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE) AS w"));
}
