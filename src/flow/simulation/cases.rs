//! The queries. Together they have every operator that keeps something between two rows.

use super::verdict::Check::{self, Count, Ordered, Rows, Sums, Upserts, Without};

/// A query over the tables of [`super::data::TABLES`]: a SELECT, or statements of which the last starts the job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
    pub(super) check: Check,
    /// Settings as `key=value`.
    pub(super) settings: &'static [&'static str],
}

const fn case(name: &'static str, check: Check, sql: &'static str) -> Case {
    Case { name, sql, check, settings: &[] }
}

pub(super) const AGGREGATES: &[Case] = &[
    case("calc", Rows, "SELECT id, UPPER(k) AS k, v * 2 AS v FROM t WHERE v > 5"),
    case(
        "group",
        Rows,
        "SELECT k, COUNT(*) AS n, COUNT(v) AS m, SUM(v) AS sv, AVG(v) AS av, MIN(v) AS mi, MAX(v) AS ma, SUM(d) AS sd,
           AVG(d) AS ad, MAX(s) AS ms, MIN(d) AS md, MAX(ts) AS mt FROM t GROUP BY k",
    ),
    case(
        "group_order",
        Rows,
        "SELECT k, FIRST_VALUE(v) AS f, LAST_VALUE(v) AS l, LISTAGG(s) AS ls, LISTAGG(s, '|') AS lp, FIRST_VALUE(s) AS fs
           FROM t GROUP BY k",
    ),
    case(
        "group_moments",
        Rows,
        "SELECT k, STDDEV_POP(v) AS a, STDDEV_SAMP(v) AS b, VAR_POP(v) AS c, VAR_SAMP(v) AS d FROM t GROUP BY k",
    ),
    case(
        "group_distinct",
        Rows,
        "SELECT k, COUNT(DISTINCT v) AS n, SUM(DISTINCT v) AS sv, COUNT(*) FILTER (WHERE v > 8) AS f,
           COUNT(DISTINCT s) FILTER (WHERE v < 12) AS df, LISTAGG(DISTINCT s) AS ls, AVG(DISTINCT d) AS ad
           FROM t GROUP BY k",
    ),
    case(
        "group_changes",
        Rows,
        "SELECT k, COUNT(*) AS n, SUM(v) AS sv, AVG(v) AS av, MIN(v) AS mi, MAX(v) AS ma FROM c GROUP BY k",
    ),
    case(
        "group_changes_order",
        Rows,
        "SELECT k, FIRST_VALUE(v) AS f, LAST_VALUE(v) AS l, LISTAGG(CAST(v AS STRING)) AS ls FROM c1 GROUP BY k",
    ),
    case(
        "group_changes_distinct",
        Rows,
        "SELECT k, COUNT(DISTINCT v) AS n, SUM(DISTINCT v) AS sv, MAX(v) FILTER (WHERE v < 7) AS f FROM c GROUP BY k",
    ),
    case("group_all", Rows, "SELECT COUNT(*) AS n, SUM(v) AS sv, MAX(k) AS mk FROM t"),
    case("group_all_changes", Rows, "SELECT COUNT(*) AS n, SUM(v) AS sv, MIN(k) AS mk FROM c"),
    case("distinct", Rows, "SELECT DISTINCT k, s FROM t"),
    case("having", Rows, "SELECT k, COUNT(*) AS n FROM t GROUP BY k HAVING MOD(COUNT(*), 2) = 1"),
    case("rollup", Rows, "SELECT k, s, COUNT(*) AS n, SUM(v) AS sv FROM t GROUP BY ROLLUP (k, s)"),
    case(
        "twice",
        Rows,
        "SELECT n, COUNT(*) AS m FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) GROUP BY n",
    ),
    Case {
        name: "group_ttl",
        sql: "SELECT k, COUNT(*) AS n, MAX(v) AS ma, COUNT(DISTINCT s) AS d FROM t GROUP BY k",
        check: Rows,
        settings: &["table.exec.state.ttl=30 d"],
    },
    Case {
        name: "group_changes_ttl",
        sql: "SELECT k, COUNT(*) AS n, MAX(v) AS ma FROM c GROUP BY k",
        check: Rows,
        settings: &["table.exec.state.ttl=30 d"],
    },
];

pub(super) const WINDOWS: &[Case] = &[
    case(
        "tumble",
        Rows,
        "SELECT k, window_start, window_end, COUNT(*) AS n, SUM(v) AS sv, MAX(v) AS mv, LISTAGG(s) AS ls
           FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY k, window_start, window_end",
    ),
    case(
        "tumble_distinct",
        Rows,
        "SELECT k, window_start, COUNT(DISTINCT v) AS n, AVG(d) AS ad, COUNT(*) FILTER (WHERE v > 5) AS f
           FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end",
    ),
    case(
        "tumble_all",
        Rows,
        "SELECT window_start, COUNT(*) AS n, MIN(v) AS mv
           FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY window_start, window_end",
    ),
    case(
        "tumble_late",
        Rows,
        "SELECT k, window_start, COUNT(*) AS n, SUM(v) AS sv
           FROM TABLE(TUMBLE(TABLE late, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY k, window_start, window_end",
    ),
    case(
        "hop",
        Rows,
        "SELECT k, window_start, window_end, COUNT(*) AS n, SUM(v) AS sv, FIRST_VALUE(v) AS fv
           FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '6' SECOND))
           GROUP BY k, window_start, window_end",
    ),
    case(
        "hop_late",
        Rows,
        "SELECT k, window_end, COUNT(*) AS n
           FROM TABLE(HOP(TABLE late, DESCRIPTOR(ts), INTERVAL '4' SECOND, INTERVAL '8' SECOND))
           GROUP BY k, window_start, window_end",
    ),
    case(
        "cumulate",
        Rows,
        "SELECT k, window_start, window_end, COUNT(*) AS n, MAX(d) AS md
           FROM TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '8' SECOND))
           GROUP BY k, window_start, window_end",
    ),
    case(
        "session",
        Rows,
        "SELECT k, window_start, window_end, COUNT(*) AS n, SUM(v) AS sv, MAX(s) AS ms
           FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '2' SECOND))
           GROUP BY k, window_start, window_end",
    ),
    case(
        "session_late",
        Rows,
        "SELECT k, window_start, window_end, COUNT(*) AS n
           FROM TABLE(SESSION(TABLE late PARTITION BY k, DESCRIPTOR(ts), INTERVAL '2' SECOND))
           GROUP BY k, window_start, window_end",
    ),
    case(
        "session_rows",
        Rows,
        "SELECT id, k, window_start, window_end
           FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '2' SECOND))",
    ),
    case("tumble_rows", Rows, "SELECT id, window_end FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND))"),
    case(
        "group_window",
        Rows,
        "SELECT k, TUMBLE_START(ts, INTERVAL '5' SECOND) AS w, COUNT(*) AS n FROM t
           GROUP BY k, TUMBLE(ts, INTERVAL '5' SECOND)",
    ),
    case(
        "window_of_window",
        Rows,
        "WITH fine AS (SELECT k, window_time AS wt, COUNT(*) AS n
             FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '2' SECOND))
             GROUP BY k, window_start, window_end, window_time)
         SELECT window_start, window_end, SUM(n) AS n
           FROM TABLE(TUMBLE(TABLE fine, DESCRIPTOR(wt), INTERVAL '10' SECOND)) GROUP BY window_start, window_end",
    ),
    case(
        "processing_tumble",
        Sums,
        "SELECT k, window_start, COUNT(*) AS n
           FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(pt), INTERVAL '5' SECOND)) GROUP BY k, window_start, window_end",
    ),
    case(
        "processing_session",
        Sums,
        "SELECT k, window_start, COUNT(*) AS n
           FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(pt), INTERVAL '5' SECOND))
           GROUP BY k, window_start, window_end",
    ),
    case(
        "window_top",
        Rows,
        "SELECT id, k, v, window_end, rn FROM (
           SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY v DESC, id) AS rn
             FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND)) WHERE rn <= 2",
    ),
    case(
        "window_top_ties",
        Rows,
        "SELECT id, k, window_end, rn FROM (
           SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY v) AS rn
             FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND)) WHERE rn <= 2",
    ),
    case(
        "window_top_sums",
        Rows,
        "SELECT k, n, window_end FROM (
           SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY n DESC, k) AS rn FROM (
             SELECT k, window_start, window_end, COUNT(*) AS n
               FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND) GROUP BY k, window_start, window_end))
         WHERE rn <= 1",
    ),
    case(
        "window_deduplicate",
        Rows,
        "SELECT id, k, window_end FROM (
           SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY ts DESC) AS rn
             FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND)) WHERE rn = 1",
    ),
];

pub(super) const ORDERED: &[Case] = &[
    case(
        "over_range",
        Rows,
        "SELECT id, SUM(v) OVER w AS sv, COUNT(*) OVER w AS n, MIN(v) OVER w AS mi, MAX(v) OVER w AS ma FROM t
           WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '4' SECOND PRECEDING AND CURRENT ROW)",
    ),
    case(
        "over_rows",
        Rows,
        "SELECT id, SUM(v) OVER w AS sv, COUNT(v) OVER w AS n, MAX(d) OVER w AS md FROM t
           WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
    ),
    case(
        "match",
        Rows,
        "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts, id
           MEASURES A.id AS a, LAST(B.id) AS b, COUNT(B.v) AS n, SUM(B.v) AS sv, C.id AS c
           AFTER MATCH SKIP PAST LAST ROW PATTERN (A B*? C) WITHIN INTERVAL '5' SECOND
           DEFINE B AS B.v <> 7, C AS C.v > A.v + 2)",
    ),
    case(
        "match_overlapping",
        Rows,
        "SELECT * FROM t MATCH_RECOGNIZE (ORDER BY ts, id
           MEASURES FIRST(A.id) AS a, LAST(A.id, 1) AS a1, LAST(B.id) AS b, C.id AS c, AVG(A.v) AS av
           PATTERN (A+ B{1,3}? C?) DEFINE A AS A.v < 9, B AS B.v >= LAST(A.v), C AS C.v > AVG(A.v))",
    ),
    case(
        "over_all",
        Rows,
        "SELECT id, SUM(v) OVER (PARTITION BY k ORDER BY ts) AS sv, MIN(v) OVER (PARTITION BY k ORDER BY ts) AS mi FROM t",
    ),
    case(
        "over_late",
        Rows,
        "SELECT id, SUM(v) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS sv FROM late",
    ),
    case(
        "over_processing",
        Rows,
        "SELECT id, SUM(v) OVER (PARTITION BY k ORDER BY pt ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS sv,
           COUNT(*) OVER (PARTITION BY k ORDER BY pt ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS n FROM t",
    ),
    case("lag", Rows, "SELECT id, LAG(v) OVER (PARTITION BY k ORDER BY ts) AS l, LAG(s, 2) OVER (PARTITION BY k ORDER BY ts) AS m FROM t"),
    case("row_number", Rows, "SELECT id, k, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts) AS rn FROM t"),
    case(
        "top_rank",
        Rows,
        "SELECT id, k, v, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS rn FROM t) WHERE rn <= 3",
    ),
    case(
        "top",
        Rows,
        "SELECT id, k, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v) AS rn FROM t) WHERE rn <= 2",
    ),
    case(
        "top_offset",
        Rows,
        "SELECT id, k, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v, id) AS rn FROM t)
           WHERE rn BETWEEN 2 AND 3",
    ),
    case(
        "top_changes",
        Rows,
        "SELECT id, k, v, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC, id) AS rn FROM c) WHERE rn <= 2",
    ),
    case(
        "top_sums",
        Rows,
        "SELECT k, n FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY n DESC, k) AS rn FROM (
           SELECT k, COUNT(*) AS n FROM t GROUP BY k)) WHERE rn <= 2",
    ),
    case(
        "first_row",
        Rows,
        "SELECT id, k FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY pt) AS rn FROM t) WHERE rn = 1",
    ),
    case(
        "last_row",
        Rows,
        "SELECT id, k, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY pt DESC) AS rn FROM t) WHERE rn = 1",
    ),
    case(
        "first_in_time",
        Rows,
        "SELECT id, k, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts) AS rn FROM t) WHERE rn = 1",
    ),
    case(
        "last_in_time",
        Rows,
        "SELECT id, k, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS rn FROM t) WHERE rn = 1",
    ),
    case("sort_time", Ordered, "SELECT id, ts FROM t ORDER BY ts, id"),
    case("sort_time_late", Ordered, "SELECT id, ts FROM late ORDER BY ts, id"),
    case("sort_all", Ordered, "SELECT id, v, k FROM t ORDER BY v DESC, id"),
    case("sort_changes", Rows, "SELECT id, v, k FROM c ORDER BY v DESC, id"),
    case("sort_limit", Rows, "SELECT id, v FROM t ORDER BY v, id LIMIT 4"),
    case("sort_limit_changes", Rows, "SELECT id, v FROM c ORDER BY v DESC, id LIMIT 3 OFFSET 1"),
    case("limit", Rows, "SELECT id, k FROM one LIMIT 7"),
    case("limit_any", Count, "SELECT id, k FROM t LIMIT 5"),
];

pub(super) const JOINS: &[Case] = &[
    case("join", Rows, "SELECT t.id, u.id AS uid, t.v, u.w FROM t JOIN u ON t.k = u.k AND t.v > u.w"),
    case("left_join", Rows, "SELECT t.id, u.id AS uid FROM t LEFT JOIN u ON t.k = u.k AND t.v > u.w"),
    case("right_join", Rows, "SELECT t.id, u.id AS uid FROM t RIGHT JOIN u ON t.k = u.k AND t.v = u.w"),
    case("full_join", Rows, "SELECT t.id, u.id AS uid FROM t FULL JOIN u ON t.k = u.k AND t.v = u.w"),
    case("join_changes", Rows, "SELECT t.id, c.id AS cid, c.v FROM t JOIN c ON t.k = c.k"),
    case("join_by_key", Rows, "SELECT t.id, c.id AS cid, c.v FROM t JOIN c ON t.v = c.id"),
    case("full_changes", Rows, "SELECT t.id, c.id AS cid, c.v FROM t FULL JOIN c ON t.v = c.id AND t.k = c.k"),
    case(
        "join_of_groups",
        Rows,
        "SELECT a.k, a.n, b.m FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) AS a
           LEFT JOIN (SELECT k, SUM(w) AS m FROM u GROUP BY k) AS b ON a.k = b.k",
    ),
    case("cross_join", Rows, "SELECT c.id, g.n FROM c CROSS JOIN (SELECT COUNT(*) AS n FROM u) AS g"),
    case("semi", Rows, "SELECT id, k FROM t WHERE EXISTS (SELECT 1 FROM c WHERE c.k = t.k AND c.v = t.v)"),
    case("anti", Rows, "SELECT id, k FROM t WHERE NOT EXISTS (SELECT 1 FROM c WHERE c.k = t.k AND c.v > t.v)"),
    case("semi_in", Rows, "SELECT id FROM c WHERE k IN (SELECT k FROM u)"),
    case(
        "interval_join",
        Rows,
        "SELECT t.id, u.id AS uid FROM t JOIN u ON t.k = u.k
           AND t.ts BETWEEN u.ts - INTERVAL '3' SECOND AND u.ts + INTERVAL '2' SECOND",
    ),
    case(
        "interval_left",
        Rows,
        "SELECT t.id, u.id AS uid FROM t LEFT JOIN u ON t.k = u.k
           AND t.ts BETWEEN u.ts - INTERVAL '2' SECOND AND u.ts + INTERVAL '1' SECOND",
    ),
    case(
        "interval_full",
        Rows,
        "SELECT t.id, u.id AS uid FROM t FULL JOIN u ON t.k = u.k
           AND t.ts BETWEEN u.ts - INTERVAL '2' SECOND AND u.ts + INTERVAL '1' SECOND",
    ),
    case("temporal", Rows, "SELECT t.id, r.rate FROM t JOIN r FOR SYSTEM_TIME AS OF t.ts ON t.k = r.k"),
    case("temporal_left", Rows, "SELECT t.id, t.v * r.rate AS x FROM t LEFT JOIN r FOR SYSTEM_TIME AS OF t.ts ON t.k = r.k"),
    case("snapshot", Rows, "SELECT t.id, s.m FROM t LEFT JOIN LATERAL SNAPSHOT(input => (SELECT k, MAX(w) AS m FROM u GROUP BY k)) AS s ON t.k = s.k"),
    case(
        "window_join",
        Rows,
        "SELECT a.id, b.id AS uid, a.window_start FROM
           (SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND))) AS a
           JOIN (SELECT * FROM TABLE(TUMBLE(TABLE u, DESCRIPTOR(ts), INTERVAL '5' SECOND))) AS b
           ON a.window_start = b.window_start AND a.window_end = b.window_end AND a.k = b.k",
    ),
    case(
        "window_full_join",
        Rows,
        "SELECT a.id, b.id AS uid FROM
           (SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND))) AS a
           FULL JOIN (SELECT * FROM TABLE(TUMBLE(TABLE u, DESCRIPTOR(ts), INTERVAL '5' SECOND))) AS b
           ON a.window_start = b.window_start AND a.window_end = b.window_end AND a.k = b.k",
    ),
    Case {
        name: "join_ttl",
        sql: "SELECT t.id, c.id AS cid, c.v FROM t LEFT JOIN c ON t.k = c.k",
        check: Rows,
        settings: &["table.exec.state.ttl=30 d"],
    },
    case("self_join", Rows, "SELECT a.id, b.id AS bid FROM t AS a JOIN t AS b ON a.k = b.k AND a.v = b.v"),
    case("union", Rows, "SELECT k, v FROM t UNION SELECT k, w FROM u"),
    case("union_all", Rows, "SELECT id, k FROM t UNION ALL SELECT id, k FROM u UNION ALL SELECT id, k FROM c"),
    case("intersect", Rows, "SELECT k, v FROM t INTERSECT SELECT k, v FROM c"),
    case("intersect_all", Rows, "SELECT k FROM t INTERSECT ALL SELECT k FROM c"),
    case("except", Rows, "SELECT k, v FROM t EXCEPT SELECT k, v FROM c"),
    case("except_all", Rows, "SELECT k FROM t EXCEPT ALL SELECT k FROM c"),
    case(
        "union_window",
        Rows,
        "SELECT k, window_start, COUNT(*) AS n FROM TABLE(TUMBLE(
           (SELECT k, ts FROM t UNION ALL SELECT k, ts FROM u), DESCRIPTOR(ts), INTERVAL '5' SECOND))
           GROUP BY k, window_start, window_end",
    ),
    case("normalize", Rows, "SELECT id, k, v FROM p"),
    case("normalize_group", Rows, "SELECT k, COUNT(*) AS n, SUM(v) AS sv FROM p GROUP BY k"),
    case(
        "upserts",
        Upserts(&["k"]),
        "CREATE TABLE o (k STRING, n BIGINT, sv BIGINT, PRIMARY KEY (k) NOT ENFORCED)
           WITH ('connector' = 'script', 'changes' = 'upsert');
         INSERT INTO o SELECT COALESCE(k, 'none'), COUNT(*), SUM(v) FROM c GROUP BY COALESCE(k, 'none')",
    ),
    case(
        "materializer",
        Upserts(&["k"]),
        "CREATE TABLE o (k STRING, id BIGINT, v BIGINT, PRIMARY KEY (k) NOT ENFORCED)
           WITH ('connector' = 'script', 'changes' = 'upsert');
         INSERT INTO o SELECT COALESCE(k, 'none'), id, v FROM c1",
    ),
    case(
        "materializer_join",
        Upserts(&["n"]),
        "CREATE TABLE o (n BIGINT, k STRING, PRIMARY KEY (n) NOT ENFORCED)
           WITH ('connector' = 'script', 'changes' = 'upsert');
         INSERT INTO o SELECT n, MAX(k) FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) GROUP BY n",
    ),
    case(
        "set",
        Rows,
        "CREATE TABLE a (k STRING, n BIGINT) WITH ('connector' = 'script');
         CREATE TABLE b (id BIGINT, k STRING, v BIGINT) WITH ('connector' = 'script');
         EXECUTE STATEMENT SET BEGIN
           INSERT INTO a SELECT k, COUNT(*) FROM t GROUP BY k;
           INSERT INTO b SELECT id, k, v FROM t WHERE v > 3;
         END",
    ),
    case(
        "set_of_many",
        Rows,
        "CREATE TABLE a (k STRING, w TIMESTAMP(3), n BIGINT) WITH ('connector' = 'script');
         CREATE TABLE b (id BIGINT, uid BIGINT) WITH ('connector' = 'script');
         CREATE TABLE d (k STRING) WITH ('connector' = 'script');
         EXECUTE STATEMENT SET BEGIN
           INSERT INTO a SELECT k, window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND))
             GROUP BY k, window_start, window_end;
           INSERT INTO b SELECT t.id, u.id FROM t JOIN u ON t.k = u.k AND t.v = u.w;
           INSERT INTO d SELECT DISTINCT k FROM u;
         END",
    ),
];

pub(super) const LOOKUPS: &[Case] = &[
    case("lookup", Rows, "SELECT t.id, dim.name, dim.weight FROM t JOIN dim ON t.k = dim.id"),
    case("lookup_left", Rows, "SELECT t.id, dim.name FROM t LEFT JOIN dim ON t.k = dim.id AND dim.weight > t.v"),
    case("lookup_order", Ordered, "SELECT one.id, dim.name FROM one LEFT JOIN dim ON one.k = dim.id"),
    case(
        "lookup_unordered",
        Rows,
        "SELECT t.id, dim.name FROM t LEFT JOIN dim /*+ OPTIONS('async' = 'true') */ ON t.k = dim.id",
    ),
    Case {
        name: "lookup_sync",
        sql: "SELECT t.id, dim.name FROM t LEFT JOIN dim ON t.k = dim.id",
        check: Rows,
        settings: &["enrichment.strategy=SYNC"],
    },
    Case {
        name: "lookup_unordered_set",
        sql: "SELECT t.id, t.ts, dim.name FROM t LEFT JOIN dim ON t.k = dim.id",
        check: Rows,
        settings: &["table.exec.async-lookup.output-mode=ALLOW_UNORDERED"],
    },
    Case {
        name: "lookup_small",
        sql: "SELECT t.id, dim.name FROM t LEFT JOIN dim ON t.k = dim.id",
        check: Rows,
        settings: &["table.exec.async-lookup.buffer-capacity=2"],
    },
    case(
        "lookup_cached",
        Rows,
        "SELECT t.id, dim.name FROM t LEFT JOIN dim /*+ OPTIONS('lookup.cache' = 'PARTIAL',
           'lookup.partial-cache.max-rows' = '3') */ ON t.k = dim.id",
    ),
    case(
        "lookup_full",
        Rows,
        "SELECT t.id, dim.name FROM t LEFT JOIN dim /*+ OPTIONS('lookup.cache' = 'FULL',
           'lookup.full-cache.periodic-reload.interval' = '1 d') */ ON t.k = dim.id",
    ),
    case(
        "lookup_dropped",
        Rows,
        "SELECT t.id, dim.name FROM t LEFT JOIN dim /*+ OPTIONS('fails' = 'true', 'lookup.on-error' = 'drop') */
           ON t.k = dim.id",
    ),
    case(
        "lookup_nulled",
        Rows,
        "SELECT t.id, dim.name FROM t LEFT JOIN dim /*+ OPTIONS('fails' = 'true', 'lookup.on-error' = 'null',
           'batch' = '3') */ ON t.k = dim.id",
    ),
    case("lookup_changes", Rows, "SELECT c.id, c.v, dim.name FROM c LEFT JOIN dim ON c.k = dim.id"),
    case(
        "lookup_changing",
        Without(&["call"]),
        "SELECT c.id, c.v, dim.name, dim.call FROM c LEFT JOIN dim ON c.k = dim.id",
    ),
    case(
        "lookup_changing_inner",
        Without(&["call"]),
        "SELECT c.id, c.v, dim.name, dim.call FROM c JOIN dim ON c.k = dim.id AND dim.weight > 3",
    ),
    case("lookup_upserts", Rows, "SELECT p.id, p.v, dim.name FROM p LEFT JOIN dim ON p.k = dim.id"),
    case(
        "lookup_of_groups",
        Rows,
        "SELECT g.k, g.n, dim.name FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) AS g LEFT JOIN dim ON g.k = dim.id",
    ),
    case(
        "enriched_window",
        Rows,
        "SELECT name, window_start, COUNT(*) AS n, SUM(weight) AS w FROM TABLE(TUMBLE(
           (SELECT t.ts, dim.name, dim.weight FROM t LEFT JOIN dim ON t.k = dim.id), DESCRIPTOR(ts), INTERVAL '5' SECOND))
           GROUP BY name, window_start, window_end",
    ),
    case("enriched_join", Rows, "SELECT t.id, u.id AS uid, dim.name FROM t JOIN u ON t.k = u.k AND t.v = u.w JOIN dim ON u.k = dim.id"),
    case("two_lookups", Rows, "SELECT t.id, a.name, b.weight FROM t JOIN dim AS a ON t.k = a.id LEFT JOIN dim AS b ON a.id = b.id"),
    case("lookup_limit", Count, "SELECT one.id, dim.name FROM one LEFT JOIN dim ON one.k = dim.id LIMIT 4"),
];
