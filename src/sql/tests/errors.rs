//! What is refused: its message, its hint, and the place that it points at.

use super::*;

#[test]
fn a_bad_statement_hides_no_other() {
    let source = SourceText::new("t.sql", "SELECT 1; SELCT 2;; SELECT \"x\"; DROP TABLE t; SELECT (1; SET");
    let all: Vec<bool> = parse_script_lossy(&source).iter().map(Result::is_ok).collect();
    assert_eq!(all, [true, false, false, true, false, true]);
    assert!(script("").unwrap().is_empty());
    assert!(script(" ; -- nothing\n;/* at all */").unwrap().is_empty());
}

#[test]
fn unsupported_flink_features_are_named() {
    for (text, message) in [
        ("ALTER MODEL m SET ('a'='b')", "ALTER MODEL is not supported"),
        ("CREATE MATERIALIZED TABLE t AS SELECT 1", "CREATE MATERIALIZED TABLE is not supported"),
        ("USE MODULES core", "USE MODULES is not supported"),
        ("ADD JAR 'x'", "ADD JAR is not supported"),
        ("LOAD MODULE m", "LOAD MODULE is not supported"),
        ("COMPILE PLAN 'p' FOR INSERT INTO t SELECT 1", "COMPILE PLAN is not supported"),
        ("EXECUTE PLAN 'p'", "EXECUTE PLAN is not supported"),
        ("UPDATE t SET a = 1", "UPDATE is not supported"),
        ("DELETE FROM t", "DELETE FROM is not supported"),
        ("TRUNCATE TABLE t", "TRUNCATE TABLE is not supported"),
        ("ANALYZE TABLE t COMPUTE STATISTICS", "ANALYZE TABLE is not supported"),
        ("CALL p(1)", "CALL is not supported"),
        ("CREATE TABLE t (a INT) DISTRIBUTED BY (a) WITH ('a'='b')", "DISTRIBUTED BY is not supported"),
        ("CREATE TABLE t (a INT PRIMARY KEY)", "an enforced PRIMARY KEY is not supported"),
        ("CREATE TABLE t (a INT, UNIQUE (a))", "UNIQUE is not supported"),
        ("SELECT * FROM ML_EVALUATE(TABLE t, MODEL m, DESCRIPTOR(a))", "ML_EVALUATE is not supported"),
        (
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A | B) DEFINE A AS x > 1)",
            "alternation '|' in PATTERN is not supported",
        ),
        (
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (PERMUTE(A, B)) DEFINE A AS x > 1)",
            "PERMUTE in PATTERN is not supported",
        ),
        (
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A {- B -} C) DEFINE A AS x > 1)",
            "exclusion '{- -}' in PATTERN is not supported",
        ),
        (
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN ((A B)+ C) DEFINE A AS x > 1)",
            "a quantifier after a group in PATTERN is not supported",
        ),
        (
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (^ A B) DEFINE A AS x > 1)",
            "an anchor '^' or '$' in PATTERN is not supported",
        ),
        (
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A B $) DEFINE A AS x > 1)",
            "an anchor '^' or '$' in PATTERN is not supported",
        ),
        (
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A B?? C) DEFINE A AS x > 1)",
            "a reluctant optional variable in PATTERN is not supported",
        ),
        (
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A B+) DEFINE A AS x > 1)",
            "a greedy quantifier at the end in PATTERN is not supported",
        ),
        (
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A* B?) DEFINE A AS x > 1)",
            "an optional variable after a greedy one in PATTERN is not supported",
        ),
        (
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A B A) DEFINE A AS x > 1)",
            "variable 'A' twice in PATTERN is not supported",
        ),
        (
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A*?) DEFINE A AS x > 1)",
            "a match without any row in PATTERN is not supported",
        ),
        (
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A B{,2} C) DEFINE A AS x > 1)",
            "a quantifier without its least number in PATTERN is not supported",
        ),
        (
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A B) SUBSET S = (A, B) DEFINE A AS x > 1)",
            "SUBSET is not supported",
        ),
        ("SELECT CAST(a AS VARIANT)", "type VARIANT is not supported"),
    ] {
        let e = error(text);
        assert_eq!((e.message(), e.kind()), (message, crate::error::ErrorKind::Unsupported), "{text}");
        assert!(e.span().is_some(), "{text}");
    }
}

#[test]
fn errors_point_at_their_place() {
    let expected = "error: expected a statement, found SELCT\n --> t.sql:1:1\n  |\n1 | SELCT 1\n  | ^^^^^\n  |\n  = help: did you mean SELECT?";
    assert_eq!(drawn("SELCT 1"), expected);
    for (text, message, line, column, hint) in [
        ("SELECT a FROM t WHERE", "expected an expression, found the end of the statement", 1, 22, None),
        ("-- ä\nSELECT f(a FROM t", "'(' is not closed", 2, 9, None),
        ("SELECT a)", "')' closes nothing", 1, 9, None),
        ("SELECT 'ä', b c d FROM t", "expected the end of the statement, found d", 1, 17, None),
        (
            "SELECT \"a\"",
            "double quotes are not used in this dialect",
            1,
            8,
            Some("write 'text' for strings and `name` for names"),
        ),
        (
            "SELECT 'a\nb",
            "the string is not closed",
            1,
            8,
            Some("strings end with a quote; a quote inside of one is written twice: 'it''s'"),
        ),
        ("SELECT /* x", "the comment is not closed", 1, 8, Some("comments end with */")),
        ("SELECT a::INT", "'::' is not an operator of this dialect", 1, 9, Some("write CAST(value AS type)")),
        ("SELECT CAST(a AS STIRNG)", "'STIRNG' is not a type", 1, 18, Some("did you mean STRING?")),
        (
            "CREATE TABEL t (a INT)",
            "expected TABLE, VIEW or TEMPORARY, found TABEL",
            1,
            8,
            Some("did you mean TABLE?"),
        ),
        ("CREATE TABLE t (a INT b INT)", "expected ',' or ')', found b", 1, 23, None),
        ("CREATE TABLE t (a INT, a INT)", "column 'a' is declared twice", 1, 24, None),
        (
            "CREATE TABLE t (from INT)",
            "expected a column's name, WATERMARK or PRIMARY KEY, found from",
            1,
            17,
            Some("FROM is a keyword; as a name it is written `from`"),
        ),
        (
            "CREATE TABLE t (a INT) WIHT ('a'='b')",
            "expected COMMENT, PARTITIONED BY, WITH, LIKE, AS or the end of the statement, found WIHT",
            1,
            24,
            Some("did you mean WITH?"),
        ),
        (
            "CREATE TABLE t (a INT) WITH ('a'='b') COMMENT 'x'",
            "expected COMMENT, PARTITIONED BY, WITH, LIKE, AS or the end of the statement, found COMMENT",
            1,
            39,
            Some("the order of the clauses is COMMENT, PARTITIONED BY, WITH, LIKE, AS"),
        ),
        ("CREATE TABLE t (a INT) WITH ('a' 'b')", "expected '=', found 'b'", 1, 34, None),
        (
            "CREATE TABLE t (a INT) WITH (a='b')",
            "expected an option's key in single quotes, found a",
            1,
            30,
            None,
        ),
        (
            "CREATE TABLE t",
            "expected '(' and the columns, LIKE or AS, found the end of the statement",
            1,
            15,
            None,
        ),
        ("CREATE TABLE t (a AS )", "expected an expression, found ')'", 1, 22, None),
        (
            "CREATE TABLE t (a INT, PRIMARY KEY (a) NOT ENFORCED, PRIMARY KEY (a) NOT ENFORCED)",
            "a table has one primary key, this is the second",
            1,
            54,
            None,
        ),
        (
            "CREATE TABLE t (a INT) LIKE b (INCLUDING OPTONS)",
            "expected one of ALL, CONSTRAINTS, DISTRIBUTION, GENERATED, METADATA, OPTIONS, PARTITIONS, WATERMARKS, found OPTONS",
            1,
            42,
            Some("did you mean OPTIONS?"),
        ),
        (
            "SHOW TABELS",
            "expected one of CACHES, CATALOGS, COLUMNS, CREATE, CURRENT, DATABASES, FUNCTIONS, JARS, JOBS, MODELS, MODULES, PROCEDURES, TABLES, USER, VIEWS, found TABELS",
            1,
            6,
            Some("did you mean SHOW TABLES?"),
        ),
        ("SET 'a'", "expected '=' and a value, found the end of the statement", 1, 8, None),
        ("SET 'a' = ", "expected a value, found the end of the statement", 1, 10, None),
        ("SET 'a' 'b' = 'c'", "expected '=', found 'b'", 1, 9, None),
        (
            "EXPLAIN CHANGELOG_MOD SELECT 1",
            "expected a detail, a query, INSERT or STATEMENT SET, found CHANGELOG_MOD",
            1,
            9,
            Some("did you mean CHANGELOG_MODE?"),
        ),
        (
            "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1;",
            "expected INSERT or END, found the end of the statement",
            1,
            52,
            None,
        ),
        ("EXECUTE STATEMENT SET BEGIN END", "the statement set is empty", 1, 29, Some("it needs an INSERT")),
        ("INSERT t SELECT 1", "expected INTO or OVERWRITE, found t", 1, 8, None),
        (
            "SELECT /*+ LOKUP('table'='a') */ 1 FROM a",
            "hint 'LOKUP' is not known",
            1,
            12,
            Some("did you mean LOOKUP?"),
        ),
        (
            "SELECT /*+ LOOKUP('table'='a', 'asink'='true') */ 1 FROM a",
            "hint LOOKUP has no option 'asink'",
            1,
            32,
            Some("did you mean 'async'?"),
        ),
        (
            "SELECT /*+ LOOKUP('async'='true') */ 1 FROM a",
            "hint LOOKUP needs the option 'table'",
            1,
            12,
            Some("its value is the lookup table's alias, or its name without one"),
        ),
        (
            "SELECT /*+ OPTIONS('a'='b') */ 1 FROM a",
            "hint OPTIONS must follow a table name",
            1,
            8,
            Some("write it directly after the table's name: FROM t /*+ OPTIONS('k'='v') */ AS a"),
        ),
        (
            "SELECT a /*+ OPTIONS('a'='b') */ FROM a",
            "hint OPTIONS must follow a table name",
            1,
            10,
            Some("write it directly after the table's name: FROM t /*+ OPTIONS('k'='v') */ AS a"),
        ),
        (
            "SELECT 1 FROM a /*+ LOOKUP('table'='a') */",
            "hint LOOKUP must follow SELECT",
            1,
            17,
            Some("write SELECT /*+ LOOKUP('table'='t', ...) */ ..."),
        ),
        (
            "SELECT * FROM a, LATERAL TABLE(b) AS t",
            "LATERAL TABLE needs the call of a table function",
            1,
            32,
            Some("write LATERAL TABLE(function(arguments)) AS t(columns)"),
        ),
        ("SELECT `$hint:0`", "a name may not start with '$hint:', '$type:' or '$pattern:'", 1, 8, None),
        ("foo", "expected a statement, found foo", 1, 1, Some("HELP lists the statements")),
        ("SELECT 1 FROM t WHERE a = ?", "the character '?' has no meaning here", 1, 27, None),
    ] {
        let e = error(text);
        assert_eq!(e.message(), message, "{text}");
        let span = e.span().unwrap();
        assert_eq!((span.start.line, span.start.column), (line, column), "{text}");
        assert_eq!(e.hint(), hint, "{text}");
    }
}

#[test]
fn spans_of_the_tree_are_places_in_the_script() {
    let text = "-- größe\nSET 'a' = 'b';\n/* мир\n */ SELECT 'ü', größe,\n\tx.`y z`\nFROM t";
    let statements = script(text).unwrap();
    assert_eq!(statements[1].span, Span::new((4, 5), (6, 7)));
    assert_eq!(text.get(statements[1].range.clone()), text.get(text.find("SELECT").unwrap()..));
    let StatementKind::Query(query) = &statements[1].kind else { panic!() };
    let SetExpr::Select(select) = &*query.body else { panic!() };
    use sqlparser::ast::Spanned;
    let spans: Vec<Span> = select.projection.iter().map(|p| hints::span_from(p.span())).collect();
    assert_eq!(spans[1], Span::new((4, 17), (4, 22)));
    assert_eq!(spans[2], Span::new((5, 2), (5, 9)));
}

#[test]
fn depth_and_length_are_bounded() {
    let long = |n: usize, op: &str| format!("SELECT {}", vec!["1"; n].join(op));
    assert!(script(&long(1_000, "+")).is_ok());
    for text in [
        long(100_000, "+"),
        long(100_000, " AND "),
        long(100_000, " UNION ALL SELECT "),
        long(100_000, " IS NULL IS "),
        format!("SELECT {}1", "-".to_string() + &" -".repeat(100_000)),
        format!("SELECT {} 1", "NOT ".repeat(100_000)),
        format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("SELECT a{}", "[1]".repeat(100_000)),
        format!("SELECT {}1{}", "f(".repeat(200), ")".repeat(200)),
        format!("SELECT * FROM {}t{}", "(".repeat(200), ")".repeat(200)),
        format!("SELECT {} 1", "CASE WHEN ".repeat(100_000)),
        format!("SELECT * FROM {}", "a JOIN ".repeat(100_000)),
        format!("SELECT {}1{}", "CAST(".repeat(200), " AS INT)".repeat(200)),
        format!("SELECT a{}", " IS JSON".repeat(100_000)),
        // What fails deep inside is not tried again and again.
        format!("SELECT {}1 1 1{}", "FLOOR(".repeat(40), ")".repeat(40)),
        format!("SELECT {}1 1 1{}", "NOT (".repeat(40), ")".repeat(40)),
        format!("SELECT {}1 1 1{}", "CAST(".repeat(40), " AS INT)".repeat(40)),
        format!("SELECT {}1 1 1{}", "a IN (".repeat(40), ")".repeat(40)),
        format!("SELECT {}1 1 1{}", "CASE WHEN ".repeat(40), " THEN 1 END".repeat(40)),
        format!("SELECT * FROM {}t t t{}", "((SELECT * FROM ".repeat(8), "))".repeat(8)),
        format!("SELECT * FROM {}t t t{}", "(SELECT * FROM ".repeat(40), ")".repeat(40)),
        format!("SELECT * FROM {}t t t{}", "(a JOIN ".repeat(40), ")".repeat(40)),
    ] {
        assert!(script(&text).is_err(), "{}", &text[..60]);
    }
    let deep = format!("SELECT {}1{}", "f(1, ".repeat(20), ")".repeat(20));
    assert!(script(&deep).is_ok());
    let values = format!("VALUES {}", vec!["(1 + 1, 'a')"; 20_000].join(","));
    assert!(script(&values).is_ok());
}
