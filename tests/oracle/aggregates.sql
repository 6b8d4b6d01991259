-- @query counts and sums by key
SELECT k, COUNT(*) AS n, COUNT(a) AS na, SUM(a) AS sa, SUM(b) AS sb, SUM(d) AS sd, MIN(b) AS lo, MAX(d) AS hi FROM t GROUP BY k
-- @query without keys
SELECT COUNT(*) AS n, SUM(b) AS s, MIN(k) AS lo, MAX(ts) AS last FROM t
-- @query averages
SELECT k, AVG(d) AS m, AVG(b) AS mb FROM t GROUP BY k
-- @batch
SELECT k, AVG(d) AS m, CAST(trunc(AVG(b)) AS BIGINT) AS mb FROM t GROUP BY k
-- @query two keys
SELECT k, a, COUNT(*) AS n, MAX(b) AS hi FROM t GROUP BY k, a
-- @query a computed key
SELECT MOD(b, 7) AS m, s IS NULL AS x, COUNT(*) AS n, SUM(d * 2) AS sd FROM t GROUP BY MOD(b, 7), s IS NULL
-- @batch
SELECT b % 7 AS m, s IS NULL AS x, COUNT(*) AS n, SUM(d * 2) AS sd FROM t GROUP BY b % 7, s IS NULL
-- @query distinct
SELECT k, COUNT(DISTINCT a) AS na, COUNT(DISTINCT b) AS nb, SUM(DISTINCT a) AS sa, COUNT(*) AS n FROM t GROUP BY k
-- @query filters
SELECT k, COUNT(*) FILTER (WHERE a > 1) AS n, SUM(b) FILTER (WHERE s) AS sb, COUNT(DISTINCT a) FILTER (WHERE b > 0) AS da, MIN(d) FILTER (WHERE a < 0) AS lo FROM t GROUP BY k
-- @query having
SELECT k, COUNT(*) AS n FROM t GROUP BY k HAVING COUNT(*) > 4 AND MAX(a) IS NOT NULL
-- @query where before
SELECT a, COUNT(*) AS n FROM t WHERE b > 0 AND k <> 'x' GROUP BY a
-- @query sums of counts
SELECT n, COUNT(*) AS groups, SUM(s) AS s, MIN(lo) AS lo, MAX(lo) AS hi FROM (SELECT a, COUNT(*) AS n, SUM(b) AS s, MIN(d) AS lo FROM t GROUP BY a) AS x GROUP BY n
-- @query distinct over updates
SELECT COUNT(DISTINCT n) AS d, SUM(DISTINCT n) AS s, COUNT(*) AS c FROM (SELECT k, a, COUNT(*) AS n FROM t GROUP BY k, a) AS x
-- @query averages over updates
SELECT hi, AVG(CAST(n AS DOUBLE)) AS m, COUNT(n) AS c FROM (SELECT k, MAX(a) AS hi, COUNT(b) AS n FROM t GROUP BY k) AS x GROUP BY hi
-- @query spread
SELECT k, STDDEV_POP(d) AS sp, VAR_POP(d) AS vp, STDDEV_SAMP(d) AS ss, VAR_SAMP(d) AS vs FROM t GROUP BY k
-- @query spread over updates
SELECT VAR_POP(m) AS v, STDDEV_SAMP(m) AS s FROM (SELECT a, MAX(d) AS m FROM t GROUP BY a) AS x
-- @query lists
SELECT k, ARRAY_AGG(a) AS xs, ARRAY_AGG(DISTINCT s) AS ds FROM t GROUP BY k
-- @query an ordered list of texts
SELECT a, LISTAGG(k, ';') WITHIN GROUP (ORDER BY id) AS ks FROM t WHERE k IS NOT NULL GROUP BY a
-- @batch
SELECT a, string_agg(k, ';' ORDER BY id) AS ks FROM t WHERE k IS NOT NULL GROUP BY a
-- @query grouping sets
SELECT k, a, COUNT(*) AS n, SUM(b) AS sb FROM t GROUP BY GROUPING SETS ((k, a), (k), ())
-- @query rollup
SELECT k, s, COUNT(*) AS n, GROUPING(k) AS gk, GROUPING(s) AS gs FROM t GROUP BY ROLLUP (k, s)
-- @query cube
SELECT k, a, MAX(b) AS hi FROM t GROUP BY CUBE (k, a)
-- @query bool and bit results
SELECT s, COUNT(*) AS n, SUM(CASE WHEN a IS NULL THEN 1 ELSE 0 END) AS missing FROM t GROUP BY s
-- @query min and max of texts and times
SELECT a, MIN(k) AS lo, MAX(k) AS hi, MIN(ts) AS first_ts, MAX(ts) AS last_ts FROM t GROUP BY a
-- @query min and max that are taken back
SELECT MIN(n) AS lo, MAX(n) AS hi, MIN(k) AS k FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) AS x
-- @query only keys
SELECT k, a FROM t GROUP BY k, a
-- @query keys left out
SELECT COUNT(*) AS n FROM t GROUP BY k
-- @query an expression over aggregates
SELECT k, COUNT(*) * 2 + COALESCE(SUM(a), 0) AS x FROM t GROUP BY k
-- @query filter behind updates
SELECT k, n FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) AS x WHERE MOD(n, 2) = 0
-- @batch
SELECT k, n FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) AS x WHERE n % 2 = 0
-- @query unions of updates
SELECT k, n FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) AS x UNION ALL SELECT k, COUNT(*) FROM u GROUP BY k
-- @query aggregates of unions
SELECT k, COUNT(*) AS n, COUNT(DISTINCT v) AS d FROM (SELECT k, a AS v FROM t UNION ALL SELECT k, c FROM u) AS x GROUP BY k
