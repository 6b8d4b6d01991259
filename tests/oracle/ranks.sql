-- @query the first three of each key
SELECT k, id, b FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY b DESC NULLS LAST, id ASC) AS rn FROM t) AS x WHERE rn <= 3
-- @query with their numbers
SELECT k, id, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY b ASC NULLS FIRST, id DESC) AS rn FROM t) AS x WHERE rn <= 3
-- @query qualify
SELECT k, id FROM t QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY d ASC NULLS LAST, id ASC) <= 2
-- @query the best of all
SELECT id, rn FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY b DESC NULLS LAST, id ASC) AS rn FROM t) AS x WHERE rn <= 5
-- @query a middle part
SELECT k, id, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY id ASC) AS rn FROM t) AS x WHERE rn >= 2 AND rn <= 4
-- @query ranks with gaps
SELECT k, id, r FROM (SELECT *, RANK() OVER (PARTITION BY k ORDER BY a DESC NULLS LAST) AS r FROM t) AS x WHERE r <= 3
-- @query ranks without gaps
SELECT k, id, r FROM (SELECT *, DENSE_RANK() OVER (PARTITION BY k ORDER BY a ASC NULLS FIRST) AS r FROM t) AS x WHERE r <= 2
-- @query over updates
SELECT a, n, rn FROM (SELECT a, n, ROW_NUMBER() OVER (ORDER BY n DESC, a ASC NULLS FIRST) AS rn FROM (SELECT a, COUNT(*) AS n FROM t GROUP BY a) AS x) AS y WHERE rn <= 3
-- @query over updates without numbers
SELECT k, a, n FROM (SELECT k, a, n, ROW_NUMBER() OVER (PARTITION BY k ORDER BY n DESC, a ASC NULLS FIRST) AS rn FROM (SELECT k, a, COUNT(*) AS n FROM t GROUP BY k, a) AS x) AS y WHERE rn <= 2
-- @query the first row of a key
SELECT k, id, b FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts ASC) AS rn FROM t) AS x WHERE rn = 1
-- @query the last row of a key
SELECT k, id, b FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS rn FROM t) AS x WHERE rn = 1
-- @query counts of last rows
SELECT a, COUNT(*) AS n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS rn FROM t) AS x WHERE rn = 1 GROUP BY a
-- @query the last row of two keys
SELECT k, s, id FROM t QUALIFY ROW_NUMBER() OVER (PARTITION BY k, s ORDER BY ts DESC) = 1
-- @query order and limit
SELECT id, b FROM t ORDER BY b DESC NULLS LAST, id ASC LIMIT 4
-- @query order, limit and offset
SELECT id, b FROM t ORDER BY b ASC NULLS FIRST, id ASC LIMIT 3 OFFSET 2
-- @query order and limit over updates
SELECT a, COUNT(*) AS n FROM t GROUP BY a ORDER BY n DESC, a ASC NULLS FIRST LIMIT 3
-- @query order of a bounded input
SELECT id, k FROM t ORDER BY k ASC NULLS FIRST, id
-- @query fetch
SELECT id FROM t ORDER BY id DESC FETCH FIRST 2 ROWS ONLY
-- @batch
SELECT id FROM t ORDER BY id DESC LIMIT 2
-- @query joined last rows
SELECT x.k, x.id, y.id AS uid FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS rn FROM t) AS x JOIN (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS rn FROM u) AS y ON x.k = y.k AND x.rn = 1 AND y.rn = 1
