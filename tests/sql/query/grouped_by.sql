-- What rows are grouped by: constants, expressions in grouping sets; windows over a condition that is never true.
-- @file t.jsonl
--| {"k": "a", "v": 1, "ts": "2024-01-01 00:00:01"}
--| {"k": "b", "v": 2, "ts": "2024-01-01 00:00:02"}
--| {"k": "b", "v": 2, "ts": "2024-01-01 00:00:13"}
-- @file d.jsonl
--| {"k": "a"}
--| {"k": "b"}
CREATE TABLE t (k STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');

-- A number is a position where there is such an item, else a constant.
SELECT k, COUNT(*) AS n FROM t GROUP BY 1;
-- @result
--| {"k":"a","n":1}
--| {"k":"b","n":2}
SELECT 100 AS c, COUNT(*) AS n FROM t GROUP BY 100;
-- @result
--| {"c":100,"n":3}
SELECT COUNT(*) AS n FROM t WHERE v > 5 GROUP BY 7;
-- @result
SELECT COUNT(*) AS n, MAX(v) AS m FROM t GROUP BY -1, 2;
-- @result
--| {"n":3,"m":2}

SELECT UPPER(k) AS u, COUNT(*) AS n, GROUPING(UPPER(k)) AS g FROM t GROUP BY ROLLUP (UPPER(k));
-- @result
--| {"u":"A","n":1,"g":0}
--| {"u":"B","n":2,"g":0}
--| {"u":null,"n":3,"g":1}
SELECT k || 'x' AS c, v + 1 AS d, SUM(v) AS s FROM t GROUP BY GROUPING SETS ((k || 'x', v + 1), (v + 1), ());
-- @result
--| {"c":"ax","d":2,"s":1}
--| {"c":"bx","d":3,"s":4}
--| {"c":null,"d":2,"s":1}
--| {"c":null,"d":3,"s":4}
--| {"c":null,"d":null,"s":5}
SELECT 'all' AS c, COUNT(*) AS n FROM t GROUP BY CUBE ('all', k);
-- @result
--| {"c":"all","n":1}
--| {"c":"all","n":2}
--| {"c":"all","n":3}
--| {"c":null,"n":1}
--| {"c":null,"n":2}
--| {"c":null,"n":3}

-- Nothing comes, and the time attribute is still known.
SELECT window_start, COUNT(*) AS n FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND) WHERE 1 = 0 GROUP BY window_start, window_end;
-- @result
SELECT v, SUM(v) OVER (ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t WHERE k = CAST(NULL AS STRING);
-- @result
SELECT v FROM t WHERE FALSE;
-- @result

-- A subquery in a table that is joined.
SELECT a.v, b.k FROM t AS a JOIN (SELECT k FROM t WHERE NOT EXISTS (SELECT 1 FROM t AS c WHERE c.v = 2 AND c.k = t.k)) AS b ON a.k = b.k;
-- @result
--| {"v":1,"k":"a"}

-- Several casts of one column.
SELECT CAST(ts AS DATE) AS d, CAST(ts AS TIME) AS t, COUNT(*) AS n FROM t GROUP BY CAST(ts AS DATE), CAST(ts AS TIME) HAVING CAST(ts AS TIME) > TIME '00:00:01';
-- @result
--| {"d":"2024-01-01","t":"00:00:02","n":1}
--| {"d":"2024-01-01","t":"00:00:13","n":1}
SELECT CAST(v AS STRING) || 'x' AS a, CAST(v AS DOUBLE) AS b, v, COUNT(*) AS n FROM t GROUP BY CAST(v AS STRING), CAST(v AS DOUBLE), v;
-- @result
--| {"a":"1x","b":1.0,"v":1,"n":1}
--| {"a":"2x","b":2.0,"v":2,"n":2}
SELECT CAST(NULL AS BOOLEAN) AS a, CAST(NULL AS INT) AS b, MAX(v) AS m FROM t GROUP BY CAST(NULL AS BOOLEAN), CAST(NULL AS INT);
-- @result
--| {"a":null,"b":null,"m":2}

-- A table of a file that could be looked up, under a subquery.
CREATE TABLE d (k STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/d.jsonl', 'format' = 'json');
SELECT a.v, b.k FROM t AS a JOIN (SELECT k FROM d WHERE k IN (SELECT k FROM t WHERE v = 2)) AS b ON a.k = b.k;
-- @result
--| {"v":2,"k":"b"}
--| {"v":2,"k":"b"}
