-- Queries over rows that come late. What Flink 2.3 answers is in answers.tsv: query, id, n, s, lo, hi; asked with one task and a
-- watermark behind each row ('pipeline.auto-watermark-interval' = '0 ms', 'scan.watermark.emit.strategy' = 'on-event').
-- @table
CREATE TABLE e (id INT, k STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${EVENTS}', 'format' = 'json');
-- @query range1
SELECT id, COUNT(*) OVER w AS n, SUM(v) OVER w AS s, MIN(v) OVER w AS lo, MAX(v) OVER w AS hi FROM e
WINDOW w AS (ORDER BY ts RANGE BETWEEN INTERVAL '1' SECOND PRECEDING AND CURRENT ROW)
-- @query range60k
SELECT id, COUNT(*) OVER w AS n, SUM(v) OVER w AS s, MIN(v) OVER w AS lo, MAX(v) OVER w AS hi FROM e
WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW)
-- @query rows3k
SELECT id, COUNT(*) OVER w AS n, SUM(v) OVER w AS s, MIN(v) OVER w AS lo, MAX(v) OVER w AS hi FROM e
WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)
-- @query unboundedk
SELECT id, COUNT(*) OVER w AS n, SUM(v) OVER w AS s, MIN(v) OVER w AS lo, MAX(v) OVER w AS hi FROM e
WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
-- @query unboundedrowsk
SELECT id, COUNT(*) OVER w AS n, SUM(v) OVER w AS s, MIN(v) OVER w AS lo, MAX(v) OVER w AS hi FROM e
WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
