//! Statements and the structure they parse to; errors and their places.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod errors;

use sqlparser::ast::{Expr, SetExpr, TableFactor, TableVersion};

use super::*;
use crate::error::{Error, Result, Span};

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

fn table(text: &str) -> CreateTable {
    match one(text) {
        StatementKind::CreateTable(t) => t,
        other => panic!("{other:?}"),
    }
}

fn drawn(text: &str) -> String {
    error(text).render(&SourceText::new("t.sql", text), false)
}

const MAIN_JOB: &str = "
CREATE TABLE temperatures (
  sensorId STRING, temperature DOUBLE, status STRING, `timestamp` BIGINT,
  ts AS TO_TIMESTAMP_LTZ(`timestamp`, 3),
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH ('connector' = 'filesystem', 'path' = 'data/temperatures.jsonl', 'format' = 'json');

CREATE TABLE sensor_info (
  id STRING, brand STRING, countryCode STRING, location STRING, imageUrl STRING,
  PRIMARY KEY (id) NOT ENFORCED
) WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:8080/sensors/{id}', 'format' = 'json',
        'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.expire-after-write' = '60 s');

SELECT t.*, i.brand, i.countryCode
FROM temperatures AS t
LEFT JOIN sensor_info AS i ON t.sensorId = i.id;
";

#[test]
fn the_main_job_parses() {
    let statements = script(MAIN_JOB).unwrap();
    assert_eq!(statements.len(), 3);
    let StatementKind::CreateTable(t) = &statements[0].kind else { panic!() };
    let names: Vec<&str> = t.columns.iter().map(|c| c.name.value.as_str()).collect();
    assert_eq!(names, ["sensorId", "temperature", "status", "timestamp", "ts"]);
    let ColumnKind::Computed { expression } = &t.columns[4].kind else { panic!() };
    assert_eq!(expression.text, "TO_TIMESTAMP_LTZ(`timestamp`, 3)");
    let watermark = t.watermark.as_ref().unwrap();
    assert_eq!(
        (watermark.column.value.as_str(), watermark.expression.text.as_str()),
        ("ts", "ts - INTERVAL '5' SECOND")
    );
    assert_eq!(t.options.len(), 3);
    let StatementKind::CreateTable(t) = &statements[1].kind else { panic!() };
    assert_eq!(t.primary_key.as_ref().unwrap()[0].value, "id");
    assert!(matches!(statements[2].kind, StatementKind::Query(_)));
    assert_eq!(
        &MAIN_JOB[statements[2].range.clone()],
        MAIN_JOB[MAIN_JOB.find("SELECT").unwrap()..].trim_end_matches(";\n")
    );
    assert_eq!(statements[2].span.start.line, 14);
}

#[test]
fn columns_of_every_kind() {
    let t = table(
        "CREATE TEMPORARY TABLE IF NOT EXISTS default_catalog.default_database.`my t` (
           a INT NOT NULL COMMENT 'it''s a',
           b ROW<x INT NOT NULL, `y z` ARRAY<STRING> 'the y'> NULL,
           c TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL COMMENT 'c',
           d BIGINT NOT NULL METADATA,
           e AS CAST(b.x AS DECIMAL(10, 2)) * 2 COMMENT 'e',
           f STRING CONSTRAINT pk PRIMARY KEY NOT ENFORCED,
           watermark INT
         ) COMMENT 'table' PARTITIONED BY (a, f) WITH ()",
    );
    assert!(t.temporary && t.if_not_exists && t.options.is_empty());
    assert_eq!(t.name.parts.last().unwrap().value, "my t");
    assert_eq!(t.name.parts.len(), 3);
    assert_eq!(t.comment.as_deref(), Some("table"));
    assert_eq!(t.partitioned_by.iter().map(|n| n.value.as_str()).collect::<Vec<_>>(), ["a", "f"]);
    assert_eq!(t.primary_key.unwrap()[0].value, "f");
    let mut columns = t.columns.into_iter();
    let a = columns.next().unwrap();
    assert_eq!(a.comment.as_deref(), Some("it's a"));
    assert!(matches!(a.kind, ColumnKind::Physical { data_type: SqlType::Int, nullable: false }));
    let ColumnKind::Physical { data_type, nullable: true } = columns.next().unwrap().kind else { panic!() };
    assert_eq!(data_type.to_string(), "ROW<`x` INT, `y z` ARRAY<STRING>>");
    let ColumnKind::Metadata { data_type, nullable, key, is_virtual } = columns.next().unwrap().kind else {
        panic!()
    };
    assert_eq!((data_type, nullable, is_virtual), (SqlType::TimestampLtz(3), true, true));
    assert_eq!(key.unwrap().value, "timestamp");
    let d = columns.next().unwrap().kind;
    assert!(matches!(d, ColumnKind::Metadata { nullable: false, key: None, is_virtual: false, .. }));
    let e = columns.next().unwrap();
    assert_eq!(e.comment.as_deref(), Some("e"));
    let ColumnKind::Computed { expression } = e.kind else { panic!() };
    assert_eq!(expression.text, "CAST(b.x AS DECIMAL(10, 2)) * 2");
}

#[test]
fn tables_like_and_as() {
    let like = table(
        "CREATE TABLE a (WATERMARK FOR ts AS ts) LIKE b (INCLUDING ALL EXCLUDING OPTIONS OVERWRITING WATERMARKS)",
    )
    .like
    .unwrap();
    assert_eq!(like.table.parts[0].value, "b");
    assert_eq!(
        like.rules,
        [
            (LikeMode::Including, LikeFeature::All),
            (LikeMode::Excluding, LikeFeature::Options),
            (LikeMode::Overwriting, LikeFeature::Watermarks)
        ]
    );
    assert!(table("CREATE TABLE a WITH ('k'='v') LIKE b").like.unwrap().rules.is_empty());
    let t = table("CREATE TABLE a WITH ('connector'='print') AS SELECT * FROM b WHERE x IN (1, 2)");
    assert!(t.query.is_some() && t.columns.is_empty());
}

#[test]
fn views_keep_their_text() {
    let text = "CREATE TEMPORARY VIEW IF NOT EXISTS v (a, b) COMMENT 'c' AS\n  SELECT /* why */ x, y -- so\n  FROM t";
    let StatementKind::CreateView(v) = one(text) else { panic!() };
    assert_eq!(v.text, "SELECT /* why */ x, y -- so\n  FROM t");
    assert_eq!(v.columns.iter().map(|c| c.value.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(v.comment.as_deref(), Some("c"));
    let StatementKind::Drop(d) = one("DROP TEMPORARY VIEW IF EXISTS v") else { panic!() };
    assert!(d.view && d.temporary && d.if_exists);
    let StatementKind::Drop(d) = one("DROP TABLE db.t") else { panic!() };
    assert!(!d.view && !d.temporary && !d.if_exists && d.name.parts.len() == 2);
}

#[test]
fn session_statements() {
    let set = |text: &str| match one(text) {
        StatementKind::Set { key, value } => (key.value, value),
        other => panic!("{other:?}"),
    };
    assert_eq!(set("SET 'a.b' = 'it''s';"), ("a.b".into(), "it's".into()));
    assert_eq!(set("SET table.exec.state.ttl = 1 d"), ("table.exec.state.ttl".into(), "1 d".into()));
    assert_eq!(
        set("SET execution.checkpointing.dir=file:///tmp/a#b@c;"),
        ("execution.checkpointing.dir".into(), "file:///tmp/a#b@c".into())
    );
    assert_eq!(
        set("SET sql-client.execution.result-mode = tableau"),
        ("sql-client.execution.result-mode".into(), "tableau".into())
    );
    assert!(matches!(one("SET;"), StatementKind::ShowSettings));
    assert!(matches!(one("RESET"), StatementKind::Reset(None)));
    assert!(matches!(one("RESET 'k'"), StatementKind::Reset(Some(k)) if k.value == "k"));
    assert!(
        matches!(one("reset table.exec.state.ttl;"), StatementKind::Reset(Some(k)) if k.value == "table.exec.state.ttl")
    );
    let stop = |sql: &str| match one(sql) {
        StatementKind::StopJob { id, savepoint, drain } => (id.value, savepoint, drain),
        other => panic!("{other:?}"),
    };
    assert_eq!(stop("STOP JOB '7'"), ("7".into(), false, false));
    assert_eq!(stop("STOP JOB '7' WITH SAVEPOINT"), ("7".into(), true, false));
    assert_eq!(stop("STOP JOB '7' WITH SAVEPOINT WITH DRAIN"), ("7".into(), true, true));
    assert!(matches!(one("quit"), StatementKind::Quit));
    assert!(matches!(one("EXIT;"), StatementKind::Quit));
    assert!(matches!(one("CLEAR"), StatementKind::Clear));
    assert!(matches!(one("HELP"), StatementKind::Help));
    assert!(matches!(one("DESC t"), StatementKind::Describe(t) if t.parts[0].value == "t"));
    assert!(matches!(one("DESCRIBE default_database.t"), StatementKind::Describe(t) if t.parts.len() == 2));
}

#[test]
fn show() {
    let show = |text: &str| match one(text) {
        StatementKind::Show(s) => s,
        other => panic!("{other:?}"),
    };
    let pattern = |negated, ignore_case| Some(LikePattern { pattern: "a%".into(), ignore_case, negated });
    assert!(matches!(show("SHOW TABLES"), Show::Tables(None, None)));
    assert!(
        matches!(show("SHOW TABLES FROM default_database NOT LIKE 'a%'"), Show::Tables(Some(_), p) if p == pattern(true, false))
    );
    assert!(matches!(show("SHOW VIEWS ILIKE 'a%'"), Show::Views(None, p) if p == pattern(false, true)));
    assert!(matches!(show("SHOW FUNCTIONS LIKE 'a%'"), Show::Functions(p) if p == pattern(false, false)));
    assert!(
        matches!(show("SHOW COLUMNS IN t LIKE 'a%'"), Show::Columns(t, Some(_)) if t.parts[0].value == "t")
    );
    assert!(matches!(show("SHOW CATALOGS"), Show::Catalogs(None)));
    assert!(matches!(show("SHOW DATABASES FROM c"), Show::Databases(Some(_), None)));
    assert!(matches!(show("SHOW CREATE CATALOG c"), Show::CreateCatalog(_)));
    assert!(matches!(show("SHOW CURRENT CATALOG"), Show::CurrentCatalog));
    assert!(matches!(show("SHOW CURRENT DATABASE"), Show::CurrentDatabase));
    assert!(matches!(show("SHOW JOBS"), Show::Jobs));
    assert!(matches!(show("SHOW CREATE TABLE t"), Show::CreateTable(_)));
    assert!(matches!(show("SHOW CREATE VIEW v"), Show::CreateView(_)));
}

#[test]
fn inserts_and_sets_of_them() {
    let StatementKind::Insert(insert) =
        one("EXECUTE INSERT OVERWRITE t /*+ OPTIONS('a'='b', 'a'='c') */ (x, `y`) SELECT 1, 2")
    else {
        panic!()
    };
    assert!(insert.overwrite);
    assert_eq!(pairs(&insert.options), [("a", "c")]);
    assert_eq!(insert.columns.len(), 2);
    let StatementKind::Insert(insert) = one("INSERT INTO t (SELECT * FROM u)") else { panic!() };
    assert!(insert.columns.is_empty());
    assert!(matches!(one("INSERT INTO t VALUES (1, 'a'), (2, 'b')"), StatementKind::Insert(_)));
    for text in [
        "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT CASE WHEN x THEN 1 ELSE 2 END; INSERT INTO b SELECT 1; END;",
        "BEGIN STATEMENT SET; INSERT INTO a SELECT 1; INSERT INTO b SELECT CASE x WHEN 1 THEN 2 END; END",
        "STATEMENT SET BEGIN INSERT INTO a SELECT 1; EXECUTE INSERT INTO b SELECT CASE x WHEN 1 THEN 2 END END;",
    ] {
        assert!(matches!(one(text), StatementKind::StatementSet(inserts) if inserts.len() == 2), "{text}");
    }
}

#[test]
fn jobs_are_described_and_statements_analyzed() {
    assert!(matches!(one("DESCRIBE JOB '7'"), StatementKind::DescribeJob(id) if id.value == "7"));
    assert!(matches!(one("DESC JOB"), StatementKind::Describe(table) if table.parts[0].value == "JOB"));
    for text in [
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN ANALYZE INSERT INTO t SELECT 1",
        "EXPLAIN ANALYZE EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT 1; INSERT INTO u SELECT 1; END",
    ] {
        assert!(matches!(one(text), StatementKind::ExplainAnalyze { .. }), "{text}");
    }
    for wrong in ["EXPLAIN ANALYZE", "EXPLAIN ANALYZE CHANGELOG_MODE SELECT 1", "EXPLAIN ANALYSE SELECT 1"] {
        error(wrong);
    }
}

#[test]
fn explain() {
    let explain = |text: &str| match one(text) {
        StatementKind::Explain { details, statement } => {
            (details.into_iter().map(|d| d.value).collect::<Vec<_>>(), *statement)
        }
        other => panic!("{other:?}"),
    };
    let (details, statement) = explain("EXPLAIN estimated_cost, CHANGELOG_MODE INSERT INTO t SELECT 1");
    assert_eq!(details, ["ESTIMATED_COST", "CHANGELOG_MODE"]);
    assert!(matches!(statement, StatementKind::Insert(_)));
    assert!(matches!(explain("EXPLAIN PLAN FOR SELECT 1").1, StatementKind::Query(_)));
    let set = "EXPLAIN PLAN_ADVICE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO b SELECT 2; END;";
    assert!(matches!(explain(set).1, StatementKind::StatementSet(i) if i.len() == 2));
}

#[test]
fn queries_of_the_dialect_parse() {
    for text in [
        "SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))",
        "SELECT * FROM TUMBLE(TABLE db.t, DESCRIPTOR(ts), INTERVAL '1' MINUTE) AS w",
        "SELECT * FROM TUMBLE(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' MINUTE)",
        "SELECT * FROM TABLE(TUMBLE((SELECT * FROM t), DESCRIPTOR(ts), INTERVAL '1' MINUTE))",
        "SELECT * FROM SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' SECOND)",
        "SELECT * FROM SESSION(DATA => (SELECT * FROM t) PARTITION BY (k, l), TIMECOL => DESCRIPTOR(ts), GAP => INTERVAL '1' SECOND)",
        "SELECT * FROM f(input => TABLE t PARTITION BY (k, l) ORDER BY (ts DESC), op => MAP['a', 'b'])",
        "SELECT * FROM a JOIN LATERAL SNAPSHOT(input => TABLE b, on_time => DESCRIPTOR(ts)) AS s ON a.k = s.k",
        "SELECT * FROM ((SELECT a FROM t) ORDER BY a LIMIT 3)",
        "SELECT MAP['a', 1, 'b', 2]['a'], ARRAY[1,2][1], ROW(1, 'a'), (1, 2), ARRAY[MAP['x', 1]]",
        "SELECT TIMESTAMP '2020-01-01 00:00:00', DATE '2020-01-01', TIME '10:00:00', INTERVAL '5' SECOND",
        "SELECT INTERVAL '1:30' HOUR TO MINUTE, INTERVAL '1-2' YEAR TO MONTH, INTERVAL '1' DAY(3)",
        "SELECT JSON_VALUE(a, '$.b' RETURNING INT), JSON_OBJECT('k' VALUE v, KEY 'x' VALUE 1, 'n' VALUE JSON_ARRAY(1))",
        "SELECT a IS JSON, a IS NOT JSON OBJECT AND b",
        "SELECT a BETWEEN SYMMETRIC 1 AND 2 AND b, a NOT BETWEEN ASYMMETRIC 1 AND 2",
        "SELECT EXTRACT(DAY FROM ts), FLOOR(ts TO DAY), CEIL(ts TO HOUR), TIMESTAMPDIFF(DAY, a, b)",
        "SELECT TRIM(BOTH ' ' FROM a), POSITION('a' IN b), OVERLAY(a PLACING 'b' FROM 1 FOR 2), SUBSTRING(a FROM 1 FOR 2)",
        "SELECT COUNT(*) FILTER (WHERE a > 1), LISTAGG(a) WITHIN GROUP (ORDER BY b) FROM t GROUP BY GROUPING SETS ((a), (b), ())",
        "SELECT a FROM t GROUP BY CUBE (a, b), ROLLUP (c)",
        "SELECT ROW_NUMBER() OVER (PARTITION BY b ORDER BY c DESC) AS rn FROM t QUALIFY rn = 1",
        "SELECT SUM(a) OVER w FROM t WINDOW w AS (PARTITION BY b ORDER BY ts RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW)",
        "SELECT * FROM t GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE)",
        "SELECT ts AT TIME ZONE 'UTC', CURRENT_TIMESTAMP, LOCALTIMESTAMP, LOCALTIME, PROCTIME() FROM t",
        "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(a, b)",
        "SELECT a SIMILAR TO 'x', a LIKE 'b' ESCAPE '!', a IS NOT DISTINCT FROM b, x IN (1,2), EXISTS (SELECT 1) FROM t",
        "SELECT * FROM t FETCH FIRST 10 ROWS ONLY",
        "SELECT DISTINCT a FROM t UNION ALL SELECT b FROM u EXCEPT SELECT c FROM v ORDER BY 1 LIMIT 3 OFFSET 1",
        "WITH x AS (SELECT 1), y(a) AS (VALUES (1)) SELECT * FROM x, y",
        "(SELECT 1) UNION (SELECT 2)",
        "VALUES (1), (2)",
        "SELECT CASE a WHEN 1 THEN 2 ELSE 3 END, IF(a, b, c), COALESCE(a, b), NULLIF(a, 1)",
        "SELECT * FROM (a JOIN b ON a.x = b.x) JOIN c USING (y) NATURAL JOIN d CROSS JOIN e",
        "SELECT x'AB', U&'\\00e4', U&'!00e4!!' UESCAPE '!', 1e5, .5, 1.5E-3, -1, +1, a % 2, a <> b, a || b",
        "SELECT größe, `日本` FROM tabelle -- ä\n/* мир */ WHERE größe > 'é'",
    ] {
        query(text);
    }
}

#[test]
fn versions_table_functions_and_unnest_reach_the_tree() {
    let f =
        factors("SELECT * FROM o JOIN i /*+ OPTIONS('a'='b') */ FOR SYSTEM_TIME AS OF o.p AS x ON o.k = x.k");
    let TableFactor::Table { version, alias, .. } = &f[1] else { panic!() };
    assert!(matches!(version, Some(TableVersion::ForSystemTimeAsOf(Expr::CompoundIdentifier(_)))));
    assert_eq!(alias.as_ref().unwrap().name.value, "x");
    assert_eq!(pairs(&hints(&f[1]).options), [("a", "b")]);

    for (text, at) in [
        ("SELECT * FROM a, LATERAL TABLE(f(a.x)) AS t(p, q)", 27),
        ("SELECT * FROM a JOIN LATERAL TABLE(f(a.x)) AS t(p, q) ON TRUE", 36),
        ("SELECT * FROM a LEFT JOIN LATERAL TABLE(f(a.x)) AS t(p, q) ON TRUE", 41),
        ("SELECT * FROM a CROSS JOIN LATERAL TABLE(f(a.x)) AS t (p, q)", 42),
    ] {
        let f = factors(text);
        let TableFactor::Function { lateral: true, name, args, alias, .. } = &f[1] else { panic!("{text}") };
        assert_eq!(args.len(), 1);
        assert_eq!(alias.as_ref().unwrap().columns.len(), 2);
        let span = hints::span_from(name.0[0].as_ident().unwrap().span);
        let at = if text.contains(", LATERAL") { 32 } else { at };
        assert_eq!((span.start.column, span.end.column), (at, at + 1), "{text}");
    }
    let f = factors("SELECT * FROM a CROSS JOIN UNNEST(a.xs) WITH ORDINALITY AS t(x, i)");
    assert!(
        matches!(&f[1], TableFactor::UNNEST { with_offset: false, with_ordinality: true, alias: Some(a), .. } if a.columns.len() == 2)
    );
    let f = factors("SELECT * FROM a LEFT JOIN UNNEST(a.xs) AS t(x) ON TRUE");
    assert!(matches!(&f[1], TableFactor::UNNEST { with_ordinality: false, .. }));
}

#[test]
fn lookup_hints_go_to_the_table_they_name() {
    let f = factors(
        "SELECT /*+ LOOKUP('table'='I', 'async'='true', 'async'='false'), lookup('table'='b') */ *
         FROM a JOIN i /*+ options('x'='1') */ AS I ON a.k = I.k JOIN default_database.b ON TRUE",
    );
    assert_eq!(hints(&f[0]).lookup, []);
    assert_eq!(hints(&f[0]).span, Span::new((2, 15), (2, 16)));
    let i = hints(&f[1]);
    assert_eq!(pairs(&i.lookup), [("table", "I"), ("async", "false")]);
    assert_eq!(pairs(&i.options), [("x", "1")]);
    assert_eq!(i.lookup[1].value.span, Span::new((1, 56), (1, 63)));
    assert_eq!(i.span, Span::new((2, 22), (2, 23)));
    assert_eq!(pairs(&hints(&f[2]).lookup), [("table", "b")]);
    // The first hint of a table holds; one of an outer block does not reach into a subquery.
    let f = factors(
        "SELECT /*+ LOOKUP('table'='i', 'capacity'='1'), LOOKUP('table'='i', 'capacity'='2') */ 1 FROM i",
    );
    assert_eq!(hints(&f[0]).lookup[1].value.value, "1");
    let e = error("SELECT /*+ LOOKUP('table'='i') */ 1 FROM a JOIN (SELECT * FROM i) AS s ON TRUE");
    assert_eq!(e.message(), "hint LOOKUP names 'i', which is no table of its query block");
    assert_eq!(e.hint(), Some("the tables here are: a"));
    assert!(matches!(
        factors("SELECT * FROM (SELECT /*+ LOOKUP('table'='i') */ 1 FROM i) AS s")[0],
        TableFactor::Derived { .. }
    ));
    let f = factors("SELECT /*+ LOOKUP('table'='c') */ 1 FROM a, (b JOIN c ON TRUE)");
    let TableFactor::NestedJoin { table_with_joins, .. } = &f[1] else { panic!() };
    assert_eq!(hints(&table_with_joins.joins[0].relation).lookup.len(), 1);
    // As the argument of a window.
    query("SELECT * FROM TUMBLE(TABLE t /*+ OPTIONS('a'='b') */, DESCRIPTOR(ts), INTERVAL '1' MINUTE)");
}

#[test]
fn types_of_casts() {
    let cast = |text: &str| {
        let e = parse_expression(text).unwrap();
        let Expr::Cast { data_type, .. } = e.expr else { panic!("{text}") };
        cast_type(&data_type).unwrap().to_string()
    };
    assert_eq!(cast("CAST(x AS ROW<a INT, `b c` STRING>)"), "ROW<`a` INT, `b c` STRING>");
    assert_eq!(cast("TRY_CAST(x AS TIMESTAMP(3) WITH LOCAL TIME ZONE)"), "TIMESTAMP_LTZ(3)");
    assert_eq!(
        cast("CAST(CAST(a AS BIGINT) AS MAP<STRING, ARRAY<ARRAY<INT>>>)"),
        "MAP<STRING, ARRAY<ARRAY<INT>>>"
    );
    assert_eq!(cast("CAST(MAP['a', 1] AS MULTISET<INT>)"), "MULTISET<INT>");
    assert_eq!(cast("CAST(x AS INTERVAL DAY TO SECOND(3))"), "INTERVAL DAY TO SECOND");
    let Expr::TypedString(typed) = parse_expression("TIMESTAMP '2020-01-01 00:00:00'").unwrap().expr else {
        panic!()
    };
    assert_eq!(cast_type(&typed.data_type).unwrap(), SqlType::Timestamp(6));
}

#[test]
fn type_names() {
    for (written, canonical) in [
        ("char", "CHAR(1)"),
        ("CHARACTER VARYING(7)", "VARCHAR(7)"),
        ("VARCHAR(2147483647)", "STRING"),
        ("VARBINARY(2147483647)", "BYTES"),
        ("BINARY(3)", "BINARY(3)"),
        ("DEC", "DECIMAL(10, 0)"),
        ("NUMERIC(5)", "DECIMAL(5, 0)"),
        ("DECIMAL(38, 38)", "DECIMAL(38, 38)"),
        ("DOUBLE PRECISION", "DOUBLE"),
        ("TIME(3) WITHOUT TIME ZONE", "TIME(3)"),
        ("TIMESTAMP", "TIMESTAMP(6)"),
        ("TIMESTAMP(9) WITHOUT TIME ZONE", "TIMESTAMP(9)"),
        ("TIMESTAMP_LTZ", "TIMESTAMP_LTZ(6)"),
        ("INTERVAL YEAR(4) TO MONTH", "INTERVAL YEAR TO MONTH"),
        ("INTERVAL DAY(2) TO SECOND(6)", "INTERVAL DAY TO SECOND"),
        ("INTERVAL MINUTE", "INTERVAL DAY TO SECOND"),
        ("INT ARRAY", "ARRAY<INT>"),
        ("INT MULTISET ARRAY", "ARRAY<MULTISET<INT>>"),
        ("ARRAY<INT NOT NULL>", "ARRAY<INT>"),
        ("MAP<STRING NOT NULL, ROW<a INT>>", "MAP<STRING, ROW<`a` INT>>"),
        ("ROW(a INT 'first', b BOOLEAN)", "ROW<`a` INT, `b` BOOLEAN>"),
    ] {
        let t = parse_type(written).unwrap();
        assert_eq!(t.to_string(), canonical);
        assert_eq!(parse_type(canonical).unwrap(), t);
    }
    for (written, message) in [
        ("DECIMAL(39)", "the precision of DECIMAL must be between 1 and 38, not 39"),
        ("DECIMAL(5, 6)", "the scale of DECIMAL must be between 0 and 5, not 6"),
        ("TIMESTAMP(10)", "the precision must be between 0 and 9, not 10"),
        ("VARCHAR(0)", "a length must be between 1 and 2147483647, not 0"),
        ("VARCHAR(99999999999)", "99999999999 is out of range"),
        ("RAW('a', 'b')", "type RAW is not supported"),
        ("TIMESTAMP WITH TIME ZONE", "type TIMESTAMP WITH TIME ZONE is not supported"),
        ("INTERVAL MONTH TO DAY", "INTERVAL MONTH TO DAY is not an interval"),
        ("ROW<a INT, a INT>", "field 'a' is declared twice"),
        ("STIRNG", "'STIRNG' is not a type"),
        ("ARRAY<INT", "expected '>', found the end of the statement"),
        ("", "expected a type, found the end of the statement"),
    ] {
        assert_eq!(parse_type(written).unwrap_err().message(), message, "{written}");
    }
    assert!(parse_type(&format!("{}INT{}", "ARRAY<".repeat(200), ">".repeat(200))).is_err());
    assert!(parse_type(&format!("INT{}", " ARRAY".repeat(200))).is_err());
}

#[test]
fn highlighting_and_completeness() {
    use TokenClass as C;
    let classes = |text| highlight(text).into_iter().map(|(r, c)| (&text[r], c)).collect::<Vec<_>>();
    assert_eq!(
        classes("SELECT a, `b`+1 'x' -- c"),
        [
            ("SELECT", C::Keyword),
            ("a", C::Identifier),
            (",", C::Operator),
            ("`b`", C::Identifier),
            ("+", C::Operator),
            ("1", C::Number),
            ("'x'", C::String),
            ("-- c", C::Comment)
        ]
    );
    assert_eq!(classes("'open"), [("'open", C::String)]);
    assert_eq!(classes("/* open"), [("/* open", C::Comment)]);
    assert!(KEYWORDS.is_sorted());
    for (text, complete) in [
        ("", false),
        ("SELECT 1", false),
        ("SELECT 1;", true),
        ("SELECT 1; -- done", true),
        ("SELECT ';", false),
        ("SELECT 1 /* ;", false),
        ("SELECT `a;", false),
        ("SET 'a'='b'; SELECT", false),
        ("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1;", false),
        ("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT CASE WHEN b THEN 1 END;", false),
        ("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; END;", true),
        ("BEGIN STATEMENT SET;", false),
    ] {
        assert_eq!(is_complete(text), complete, "{text}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,60}") {
        let source = SourceText::new("p", &text);
        for outcome in parse_script_lossy(&source) {
            if let Err(e) = outcome {
                e.render(&source, true);
            }
        }
        highlight(&text);
        is_complete(&text);
    }

    #[test]
    fn arbitrary_words_never_panic(words in proptest::collection::vec(proptest::sample::select(&[
        "SELECT", "CREATE", "TABLE", "(", ")", "[", "]", "t", "AS", "CAST", "LATERAL", ",", ".", "FROM", "JOIN", "MAP",
        "/*+ OPTIONS('a'='b') */", "/*+ LOOKUP('table'='t') */", "'x'", "1", "=", "=>", "ROW", "<", ">", "INT", "INTERVAL",
        "JSON_OBJECT", "KEY", "VALUE", "RETURNING", "IS", "JSON", "BETWEEN", "SYMMETRIC", "AND", "STATEMENT", "SET", "END",
        "BEGIN", "EXECUTE", "INSERT", "INTO", ";", "WATERMARK", "FOR", "LIKE", "WITH", "EXPLAIN", "UNNEST", "-", "\"", "`",
        "U&'", "COMMENT", "PRIMARY", "VIEW", "*", "TIMESTAMP", "/*", "ä", "\n",
    ][..]), 0..30)) {
        let text = words.join(" ");
        let source = SourceText::new("p", &text);
        for outcome in parse_script_lossy(&source) {
            if let Err(e) = outcome {
                e.render(&source, false);
            }
        }
        let _ = parse_expression(&text);
        let _ = parse_type(&text);
    }
}

#[test]
fn truncations_never_panic() {
    let rest = "CREATE VIEW v (a) COMMENT 'ü' AS SELECT /*+ LOOKUP('table'='b') */ CAST(a AS ROW<x MAP<INT, STRING>>), U&'\\00e4'
        FROM t /*+ OPTIONS('k'='v') */ AS b, LATERAL TABLE(f(x)) AS y(z) WHERE JSON_OBJECT(KEY 'a' VALUE 1) IS NOT JSON;
        EXECUTE STATEMENT SET BEGIN INSERT INTO a (x) VALUES (MAP['a', 1]); END; EXPLAIN PLAN FOR SELECT * FROM TUMBLE(TABLE t, 1);";
    let text = format!("{MAIN_JOB}{rest}");
    assert!(script(&text).is_ok());
    for (cut, _) in text.char_indices() {
        for part in [&text[..cut], &text[cut..]] {
            let source = SourceText::new("p", part);
            for outcome in parse_script_lossy(&source) {
                if let Err(e) = outcome {
                    assert!(e.span().is_some(), "{part}: {e}");
                    e.render(&source, false);
                }
            }
            is_complete(part);
        }
    }
}

#[test]
fn distinct_from_binds_tighter_than_and() {
    for (text, shown) in [
        ("a IS NOT DISTINCT FROM b AND c = 1", "a IS NOT DISTINCT FROM b AND c = 1"),
        ("a IS DISTINCT FROM b + 1 OR c", "a IS DISTINCT FROM b + 1 OR c"),
        ("NOT a IS DISTINCT FROM b", "NOT a IS DISTINCT FROM b"),
    ] {
        let expr = super::parse_expression(text).unwrap().expr;
        assert!(matches!(expr, Expr::BinaryOp { .. } | Expr::UnaryOp { .. }), "{text} is read as {expr:?}");
        assert_eq!(expr.to_string(), shown);
    }
}

#[test]
fn create_function_takes_its_clauses_in_any_order() {
    let function = |text: &str| match one(text) {
        StatementKind::CreateFunction(function) => function,
        other => panic!("{other:?}"),
    };
    let flink = function(
        "CREATE TEMPORARY SYSTEM FUNCTION IF NOT EXISTS f AS 'm.f' LANGUAGE PYTHON USING FILE 'a.py', FILE 'b.py'",
    );
    assert!(flink.temporary && flink.system && flink.if_not_exists && flink.parameters.is_none());
    assert_eq!(flink.using.iter().map(|(_, path)| path.value.as_str()).collect::<Vec<_>>(), ["a.py", "b.py"]);
    let postgres = function(
        "CREATE OR REPLACE FUNCTION f(INT, s STRING DEFAULT 'a') RETURNS INT LANGUAGE JAVASCRIPT IMMUTABLE STRICT AS $js$ return '$$;' $js$",
    );
    let parameters = postgres.parameters.clone().unwrap_or_default();
    assert_eq!(parameters.iter().map(|p| p.name.is_some()).collect::<Vec<_>>(), [false, true]);
    assert!(parameters[1].default.is_some() && postgres.or_replace);
    assert_eq!((postgres.deterministic, postgres.strict), (Some(true), Some(true)));
    assert!(matches!(postgres.body, Some(FunctionBody::Code { text, .. }) if text == " return '$$;' "));
    let risingwave = function(
        "CREATE FUNCTION f(x INT) RETURNS TABLE (a INT, b STRING) LANGUAGE javascript AS $$ yield [x] $$ WITH (async = true, 'batch' = '2')",
    );
    assert_eq!(pairs(&risingwave.options), [("async", "true"), ("batch", "2")]);
    assert!(matches!(risingwave.returns, Some(FunctionReturns::Rows(columns)) if columns.len() == 2));
    let sql = function(
        "CREATE FUNCTION f(c DOUBLE) RETURN CASE WHEN c > 0 THEN c ELSE -c END NOT DETERMINISTIC RETURNS DOUBLE",
    );
    assert_eq!(sql.deterministic, Some(false));
    assert!(matches!(sql.body, Some(FunctionBody::Expression(e)) if e.text.ends_with("END")));
    assert_eq!(
        script("CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS $$ a; b; $$; SELECT 1").unwrap().len(),
        2
    );
    assert!(
        error("CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS $$ a")
            .to_string()
            .contains("the code is not closed")
    );
    assert!(
        error("CREATE FUNCTION f(a INT, a INT) RETURNS INT RETURN a").to_string().contains("declared twice")
    );
}
