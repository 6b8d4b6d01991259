-- @query inner
SELECT t.id, u.id AS uid, t.k, u.e FROM t JOIN u ON t.k = u.k
-- @query left
SELECT t.id, u.id AS uid, u.c FROM t LEFT JOIN u ON t.k = u.k AND t.a = u.c
-- @query right
SELECT t.id, u.id AS uid FROM t RIGHT JOIN u ON t.k = u.k AND t.a = u.c
-- @query full
SELECT t.id, u.id AS uid, t.k, u.k AS uk FROM t FULL JOIN u ON t.k = u.k AND t.a = u.c
-- @query inner with a residual
SELECT t.id, u.id AS uid FROM t JOIN u ON t.k = u.k AND t.a < u.c
-- @query left with a residual
SELECT t.id, u.id AS uid FROM t LEFT JOIN u ON t.k = u.k AND t.a < u.c
-- @query full with a residual
SELECT t.id, u.id AS uid FROM t FULL JOIN u ON t.k = u.k AND t.a > u.c + 1
-- @query null-safe keys
SELECT t.id, u.id AS uid FROM t JOIN u ON t.k IS NOT DISTINCT FROM u.k AND t.a = u.c
-- @batch
SELECT t.id, u.id AS uid FROM t JOIN u ON (t.k IS NOT DISTINCT FROM u.k) AND t.a = u.c
-- @query a computed key
SELECT t.id, u.id AS uid FROM t JOIN u ON t.a + 1 = u.c
-- @query itself
SELECT x.id, y.id AS yid FROM t AS x JOIN t AS y ON x.a = y.a AND x.id < y.id
-- @query three tables
SELECT x.id, y.id AS yid, u.id AS uid FROM t AS x JOIN u ON x.k = u.k LEFT JOIN t AS y ON u.c = y.a AND y.s
-- @query in
SELECT id FROM t WHERE k IN (SELECT k FROM u WHERE c > 0)
-- @query not in without nulls
SELECT id FROM t WHERE k NOT IN (SELECT k FROM u WHERE c > 0 AND k IS NOT NULL)
-- @query not in with nulls
SELECT id FROM t WHERE a NOT IN (SELECT c FROM u WHERE e = 'e1')
-- @query exists
SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.c > t.a)
-- @query not exists
SELECT id, k FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.c = t.a)
-- @query in or
SELECT id FROM t WHERE a > 3 OR k IN (SELECT k FROM u WHERE c = 1)
-- @query inner over updates
SELECT x.k, x.n, y.m FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) AS x JOIN (SELECT k, MAX(c) AS m FROM u GROUP BY k) AS y ON x.k = y.k
-- @query left over updates
SELECT u.id, u.k, x.n FROM u LEFT JOIN (SELECT k, COUNT(*) AS n FROM t GROUP BY k) AS x ON u.k = x.k
-- @query full over updates
SELECT x.k, x.n, y.k AS yk, y.n AS yn FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) AS x FULL JOIN (SELECT e AS k, COUNT(*) AS n FROM u GROUP BY e) AS y ON x.n = y.n
-- @query in over updates
SELECT id FROM t WHERE b IN (SELECT SUM(c) FROM u GROUP BY k)
-- @query not exists over updates
SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM (SELECT k, COUNT(*) AS n FROM u GROUP BY k) AS x WHERE x.k = t.k AND x.n > 3)
-- @query updates in updates
SELECT k, n FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) AS x WHERE n IN (SELECT COUNT(*) FROM u GROUP BY k)
-- @query aggregate of a join
SELECT t.k, COUNT(*) AS n, SUM(u.c) AS s FROM t JOIN u ON t.k = u.k GROUP BY t.k
-- @query aggregate of a left join
SELECT u.id, COUNT(t.id) AS n, MAX(t.b) AS hi FROM u LEFT JOIN t ON u.k = t.k AND u.c = t.a GROUP BY u.id
-- @query distinct of a full join
SELECT DISTINCT t.k, u.e FROM t FULL JOIN u ON t.k = u.k AND t.a = u.c
-- @query a scalar subquery
SELECT id FROM t WHERE b = (SELECT MAX(b) FROM t)
-- @query times that meet
SELECT t.id, u.id AS uid FROM t JOIN u ON t.k = u.k AND t.ts BETWEEN u.ts - INTERVAL '5' SECOND AND u.ts + INTERVAL '3' SECOND
-- @query times that meet, left
SELECT t.id, u.id AS uid FROM t LEFT JOIN u ON t.k = u.k AND t.ts >= u.ts - INTERVAL '5' SECOND AND t.ts < u.ts + INTERVAL '3' SECOND
-- @query times that meet, right
SELECT t.id, u.id AS uid FROM t RIGHT JOIN u ON t.k = u.k AND t.ts BETWEEN u.ts - INTERVAL '5' SECOND AND u.ts AND t.a < u.c
-- @query times that meet, full
SELECT t.id, u.id AS uid FROM t FULL JOIN u ON t.k = u.k AND t.ts BETWEEN u.ts - INTERVAL '9' SECOND AND u.ts
