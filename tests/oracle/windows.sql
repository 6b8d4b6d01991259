-- @query tumble
SELECT window_start, window_end, k, COUNT(*) AS n, SUM(b) AS s FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end, k
-- @batch
SELECT date_bin(INTERVAL '10' SECOND, ts) AS window_start, date_bin(INTERVAL '10' SECOND, ts) + INTERVAL '10' SECOND AS window_end, k, COUNT(*) AS n, SUM(b) AS s FROM t GROUP BY 1, 2, k
-- @query tumble with an offset
SELECT window_start, COUNT(DISTINCT a) AS n, MAX(d) AS hi FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '3' SECOND) GROUP BY window_start, window_end
-- @batch
SELECT date_bin(INTERVAL '10' SECOND, ts, TIMESTAMP '1970-01-01 00:00:03') AS window_start, COUNT(DISTINCT a) AS n, MAX(d) AS hi FROM t GROUP BY 1
-- @query tumble without an aggregate
SELECT id, window_start, window_end, window_time FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)
-- @batch
SELECT id, date_bin(INTERVAL '10' SECOND, ts), date_bin(INTERVAL '10' SECOND, ts) + INTERVAL '10' SECOND, date_bin(INTERVAL '10' SECOND, ts) + INTERVAL '9.999' SECOND FROM t
-- @query hop
SELECT window_start, window_end, k, COUNT(*) AS n, MIN(b) AS lo FROM HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '15' SECOND) GROUP BY window_start, window_end, k
-- @batch
SELECT w, w + INTERVAL '15' SECOND, k, COUNT(*) AS n, MIN(b) AS lo FROM (SELECT date_bin(INTERVAL '5' SECOND, ts) - i.n AS w, k, b FROM t, (VALUES (INTERVAL '0' SECOND), (INTERVAL '5' SECOND), (INTERVAL '10' SECOND)) AS i(n)) AS x GROUP BY w, k
-- @query cumulate
SELECT window_start, window_end, COUNT(*) AS n, SUM(a) AS s FROM CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '15' SECOND) GROUP BY window_start, window_end
-- @batch
SELECT w, e, COUNT(*) AS n, SUM(a) AS s FROM (SELECT date_bin(INTERVAL '15' SECOND, ts) AS w, date_bin(INTERVAL '15' SECOND, ts) + i.n + INTERVAL '5' SECOND AS e, ts, a FROM t, (VALUES (INTERVAL '0' SECOND), (INTERVAL '5' SECOND), (INTERVAL '10' SECOND)) AS i(n)) AS x WHERE ts < e GROUP BY w, e
-- @query session
SELECT window_start, window_end, k, COUNT(*) AS n, SUM(b) AS s FROM SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '6' SECOND) GROUP BY window_start, window_end, k
-- @batch
SELECT MIN(ts), MAX(ts) + INTERVAL '6' SECOND, k, COUNT(*) AS n, SUM(b) AS s FROM (SELECT *, SUM(begins) OVER (PARTITION BY k ORDER BY ts) AS session FROM (SELECT *, CASE WHEN ts - LAG(ts) OVER (PARTITION BY k ORDER BY ts) <= INTERVAL '6' SECOND THEN 0 ELSE 1 END AS begins FROM t) AS x) AS y GROUP BY k, session
-- @query session of all
SELECT window_start, COUNT(*) AS n FROM SESSION(TABLE t, DESCRIPTOR(ts), INTERVAL '3' SECOND) GROUP BY window_start, window_end
-- @batch
SELECT MIN(ts), COUNT(*) AS n FROM (SELECT *, SUM(begins) OVER (ORDER BY ts) AS session FROM (SELECT *, CASE WHEN ts - LAG(ts) OVER (ORDER BY ts) <= INTERVAL '3' SECOND THEN 0 ELSE 1 END AS begins FROM t) AS x) AS y GROUP BY session
-- @query group windows
SELECT k, TUMBLE_START(ts, INTERVAL '10' SECOND) AS s, TUMBLE_END(ts, INTERVAL '10' SECOND) AS e, COUNT(*) AS n FROM t WHERE a IS NOT NULL GROUP BY TUMBLE(ts, INTERVAL '10' SECOND), k HAVING COUNT(*) > 1
-- @batch
SELECT k, date_bin(INTERVAL '10' SECOND, ts) AS s, date_bin(INTERVAL '10' SECOND, ts) + INTERVAL '10' SECOND AS e, COUNT(*) AS n FROM t WHERE a IS NOT NULL GROUP BY 1, 2, 3 HAVING COUNT(*) > 1
-- @query group windows that hop
SELECT HOP_START(ts, INTERVAL '5' SECOND, INTERVAL '15' SECOND) AS s, SUM(d) AS sd FROM t GROUP BY HOP(ts, INTERVAL '5' SECOND, INTERVAL '15' SECOND)
-- @batch
SELECT w, SUM(d) AS sd FROM (SELECT date_bin(INTERVAL '5' SECOND, ts) - i.n AS w, d FROM t, (VALUES (INTERVAL '0' SECOND), (INTERVAL '5' SECOND), (INTERVAL '10' SECOND)) AS i(n)) AS x GROUP BY w
-- @query group sessions
SELECT k, SESSION_START(ts, INTERVAL '6' SECOND) AS s, SESSION_END(ts, INTERVAL '6' SECOND) AS e, COUNT(*) AS n FROM t GROUP BY k, SESSION(ts, INTERVAL '6' SECOND)
-- @batch
SELECT k, MIN(ts), MAX(ts) + INTERVAL '6' SECOND, COUNT(*) AS n FROM (SELECT *, SUM(begins) OVER (PARTITION BY k ORDER BY ts) AS session FROM (SELECT *, CASE WHEN ts - LAG(ts) OVER (PARTITION BY k ORDER BY ts) <= INTERVAL '6' SECOND THEN 0 ELSE 1 END AS begins FROM t) AS x) AS y GROUP BY k, session
-- @query grouping sets
SELECT window_start, k, COUNT(*) AS n FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end, GROUPING SETS ((k), ())
-- @batch
SELECT w, k, COUNT(*) AS n FROM (SELECT date_bin(INTERVAL '10' SECOND, ts) AS w, k FROM t) AS x GROUP BY GROUPING SETS ((w, k), (w))
-- @query windows of windows
SELECT window_start, SUM(n) AS n, COUNT(*) AS c FROM TUMBLE((SELECT k, window_time AS rt, COUNT(*) AS n FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND) GROUP BY window_start, window_end, window_time, k), DESCRIPTOR(rt), INTERVAL '20' SECOND) GROUP BY window_start, window_end
-- @batch
SELECT date_bin(INTERVAL '20' SECOND, w), SUM(n), COUNT(*) FROM (SELECT date_bin(INTERVAL '5' SECOND, ts) AS w, k, COUNT(*) AS n FROM t GROUP BY 1, k) AS x GROUP BY 1
-- @query the best of each window
SELECT window_start, id, b FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY b DESC NULLS LAST, id ASC) AS rn FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)) AS x WHERE rn <= 2
-- @batch
SELECT w, id, b FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY w ORDER BY b DESC NULLS LAST, id ASC) AS rn FROM (SELECT *, date_bin(INTERVAL '10' SECOND, ts) AS w FROM t) AS y) AS x WHERE rn <= 2
-- @query the best counts of each window
SELECT window_start, k, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY n DESC, k ASC NULLS FIRST) AS rn FROM (SELECT window_start, window_end, k, COUNT(*) AS n FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end, k) AS y) AS x WHERE rn <= 2
-- @batch
SELECT w, k, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY w ORDER BY n DESC, k ASC NULLS FIRST) AS rn FROM (SELECT date_bin(INTERVAL '10' SECOND, ts) AS w, k, COUNT(*) AS n FROM t GROUP BY 1, k) AS y) AS x WHERE rn <= 2
-- @query the last row of each window
SELECT window_start, k, id FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY ts DESC) AS rn FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)) AS x WHERE rn = 1
-- @batch
SELECT w, k, id FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY w, k ORDER BY ts DESC) AS rn FROM (SELECT *, date_bin(INTERVAL '10' SECOND, ts) AS w FROM t) AS y) AS x WHERE rn = 1
-- @query window join
SELECT l.window_start, l.id, r.id AS rid FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND) AS l JOIN TUMBLE(TABLE u, DESCRIPTOR(ts), INTERVAL '10' SECOND) AS r ON l.window_start = r.window_start AND l.window_end = r.window_end AND l.k = r.k
-- @batch
SELECT date_bin(INTERVAL '10' SECOND, l.ts), l.id, r.id FROM t AS l JOIN u AS r ON date_bin(INTERVAL '10' SECOND, l.ts) = date_bin(INTERVAL '10' SECOND, r.ts) AND l.k = r.k
-- @query window full join
SELECT l.id, r.id AS rid FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND) AS l FULL JOIN TUMBLE(TABLE u, DESCRIPTOR(ts), INTERVAL '10' SECOND) AS r ON l.window_start = r.window_start AND l.window_end = r.window_end AND l.k = r.k AND l.a < r.c
-- @batch
SELECT l.id, r.id FROM t AS l FULL JOIN u AS r ON date_bin(INTERVAL '10' SECOND, l.ts) = date_bin(INTERVAL '10' SECOND, r.ts) AND l.k = r.k AND l.a < r.c
-- @query window semi join
SELECT l.id FROM (SELECT * FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)) AS l WHERE l.k IN (SELECT k FROM TUMBLE(TABLE u, DESCRIPTOR(ts), INTERVAL '10' SECOND) AS r WHERE l.window_start = r.window_start AND l.window_end = r.window_end)
-- @batch
SELECT l.id FROM t AS l WHERE EXISTS (SELECT 1 FROM u AS r WHERE r.k = l.k AND date_bin(INTERVAL '10' SECOND, l.ts) = date_bin(INTERVAL '10' SECOND, r.ts))
-- @query a filter on windows
SELECT window_start, COUNT(*) AS n FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND) WHERE a > 0 AND window_start >= TIMESTAMP '2024-01-01 00:00:20' GROUP BY window_start, window_end
-- @batch
SELECT date_bin(INTERVAL '10' SECOND, ts), COUNT(*) AS n FROM t WHERE a > 0 AND date_bin(INTERVAL '10' SECOND, ts) >= TIMESTAMP '2024-01-01 00:00:20' GROUP BY 1
