-- @query distinct
SELECT DISTINCT k, a FROM t
-- @query distinct of updates
SELECT DISTINCT n FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) AS x
-- @query union
SELECT k FROM t UNION SELECT k FROM u
-- @query union all
SELECT k, a FROM t UNION ALL SELECT k, c FROM u
-- @query intersect
SELECT k, a FROM t INTERSECT SELECT k, c FROM u
-- @query except
SELECT k, a FROM t EXCEPT SELECT k, c FROM u
-- @query intersect all
SELECT k, a FROM t INTERSECT ALL SELECT k, c FROM u
-- @batch
SELECT x.k, x.a FROM (SELECT k, a, ROW_NUMBER() OVER (PARTITION BY k, a) AS n FROM t) AS x
JOIN (SELECT k, c, ROW_NUMBER() OVER (PARTITION BY k, c) AS n FROM u) AS y
ON (x.k IS NOT DISTINCT FROM y.k) AND (x.a IS NOT DISTINCT FROM y.c) AND x.n = y.n
-- @query except all
SELECT k, a FROM t EXCEPT ALL SELECT k, c FROM u
-- @batch
SELECT k, a FROM (SELECT k, a, ROW_NUMBER() OVER (PARTITION BY k, a) AS n FROM t) AS x
WHERE NOT EXISTS (SELECT 1 FROM (SELECT k, c, ROW_NUMBER() OVER (PARTITION BY k, c) AS n FROM u) AS y
WHERE (x.k IS NOT DISTINCT FROM y.k) AND (x.a IS NOT DISTINCT FROM y.c) AND x.n = y.n)
-- @query set operations over updates
SELECT k, COUNT(*) AS n FROM t GROUP BY k EXCEPT SELECT k, COUNT(*) FROM u GROUP BY k
-- @query intersect over updates
SELECT COUNT(*) AS n FROM t GROUP BY k INTERSECT SELECT COUNT(*) FROM u GROUP BY k
-- @query counts of a union
SELECT COUNT(*) AS n FROM (SELECT a FROM t UNION SELECT c FROM u) AS x
-- @query a view in a query
WITH x AS (SELECT k, COUNT(*) AS n FROM t GROUP BY k) SELECT x.k, y.k AS other FROM x JOIN x AS y ON x.n = y.n AND x.k < y.k
