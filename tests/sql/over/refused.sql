-- What OVER refuses, and what it says.
-- @file t.jsonl
--| {"id":"a","n":1,"ts":"2024-01-01 10:00:00"}
--| {"id":"b","n":2,"ts":null}
CREATE TABLE t (id STRING, n INT, ts TIMESTAMP(3), pt AS PROCTIME(), WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');

SELECT LEAD(id) OVER (ORDER BY ts) FROM t;
-- @error
--| LEAD is not supported
--| a stream has no last row
SELECT NTILE(2) OVER (ORDER BY ts) FROM t;
-- @error
--| NTILE is not supported
SELECT SUM(n) OVER (PARTITION BY id) FROM t;
-- @error
--| OVER needs ORDER BY
SELECT SUM(n) OVER (ORDER BY ts DESC) FROM t;
-- @error
--| OVER by time is ordered ascending
SELECT SUM(n) OVER (ORDER BY ts ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM t;
-- @error
--| the frame of OVER ends at CURRENT ROW
SELECT SUM(n) OVER (ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) FROM t;
-- @error
--| the frame of OVER ends at CURRENT ROW
SELECT SUM(n) OVER (ORDER BY ts RANGE BETWEEN INTERVAL '1' MONTH PRECEDING AND CURRENT ROW) FROM t;
-- @error
--| INTERVAL '30' DAY
SELECT SUM(n) OVER (ORDER BY n RANGE BETWEEN 5 PRECEDING AND CURRENT ROW) FROM t;
-- @error
--| positive interval
SELECT SUM(n) OVER (ORDER BY n ROWS BETWEEN 5 PRECEDING AND CURRENT ROW) FROM t;
-- @error
--| has an unbounded frame
SELECT LAG(id) OVER (ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t;
-- @error
--| LAG takes no ROWS or RANGE
SELECT LAG(id, -1) OVER (ORDER BY ts) FROM t;
-- @error
--| the second argument of LAG is a whole number
SELECT LAG(id, n) OVER (ORDER BY ts) FROM t;
-- @error
--| the second argument of LAG is a whole number
SELECT c, SUM(c) OVER (ORDER BY pt) FROM (SELECT COUNT(n) AS c, PROCTIME() AS pt FROM t GROUP BY id);
-- @error
--| takes rows that do not change
SELECT NO_SUCH(n) OVER (ORDER BY ts) FROM t;
-- @error
--| NO_SUCH

-- A row without a time has no place in it.
SELECT SUM(n) OVER (ORDER BY ts) FROM t;
-- @error
--| rowtime column 'ts' is NULL
