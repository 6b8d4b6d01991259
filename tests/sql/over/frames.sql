-- Frames: by rows, by time, and up to the beginning.
-- Checked against Flink 2.3.
-- @file tx.jsonl
--| {"id":"t0","u":"ann","amount":10,"ts":"2024-01-01 10:00:00"}
--| {"id":"t1","u":"bob","amount":7,"ts":"2024-01-01 10:00:05"}
--| {"id":"t2","u":"ann","amount":30,"ts":"2024-01-01 10:30:00"}
--| {"id":"t3","u":"ann","amount":null,"ts":"2024-01-01 10:50:00"}
--| {"id":"t4","u":"bob","amount":8,"ts":"2024-01-01 11:00:05"}
--| {"id":"t7","u":"bob","amount":9,"ts":"2024-01-01 11:00:04"}
--| {"id":"t5","u":"ann","amount":5,"ts":"2024-01-01 11:30:00"}
--| {"id":"t6","u":"ann","amount":6,"ts":"2024-01-01 11:30:00"}
--| {"id":"t8","u":null,"amount":1,"ts":"2024-01-01 12:00:00"}
--| {"id":"t9","u":null,"amount":2,"ts":"2024-01-01 12:00:01"}
SET 'parallelism.default' = '1';
CREATE TABLE tx (
  id STRING, u STRING, amount INT, ts TIMESTAMP(3), pt AS PROCTIME(),
  WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DIR}/tx.jsonl', 'format' = 'json');

SELECT id, SUM(amount) OVER w AS s, COUNT(*) OVER w AS c, AVG(amount) OVER w AS a, MIN(amount) OVER w AS mi, MAX(amount) OVER w AS ma FROM tx WINDOW w AS (PARTITION BY u ORDER BY ts RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW);
-- @expect
--| {"op":"+I","id":"t0","s":10,"c":1,"a":10,"mi":10,"ma":10}
--| {"op":"+I","id":"t1","s":7,"c":1,"a":7,"mi":7,"ma":7}
--| {"op":"+I","id":"t2","s":40,"c":2,"a":20,"mi":10,"ma":30}
--| {"op":"+I","id":"t3","s":40,"c":3,"a":20,"mi":10,"ma":30}
--| {"op":"+I","id":"t7","s":16,"c":2,"a":8,"mi":7,"ma":9}
--| {"op":"+I","id":"t4","s":24,"c":3,"a":8,"mi":7,"ma":9}
--| {"op":"+I","id":"t5","s":41,"c":4,"a":13,"mi":5,"ma":30}
--| {"op":"+I","id":"t6","s":41,"c":4,"a":13,"mi":5,"ma":30}
--| {"op":"+I","id":"t8","s":1,"c":1,"a":1,"mi":1,"ma":1}
--| {"op":"+I","id":"t9","s":3,"c":2,"a":1,"mi":1,"ma":2}

SELECT id, SUM(amount) OVER w AS s, COUNT(amount) OVER w AS c FROM tx WINDOW w AS (PARTITION BY u ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW);
-- @expect
--| {"op":"+I","id":"t0","s":10,"c":1}
--| {"op":"+I","id":"t1","s":7,"c":1}
--| {"op":"+I","id":"t2","s":40,"c":2}
--| {"op":"+I","id":"t3","s":30,"c":1}
--| {"op":"+I","id":"t7","s":16,"c":2}
--| {"op":"+I","id":"t4","s":17,"c":2}
--| {"op":"+I","id":"t5","s":5,"c":1}
--| {"op":"+I","id":"t6","s":11,"c":2}
--| {"op":"+I","id":"t8","s":1,"c":1}
--| {"op":"+I","id":"t9","s":3,"c":2}

-- Without a frame: all rows up to the current one, and its peers.
SELECT id, SUM(amount) OVER (PARTITION BY u ORDER BY ts) AS s FROM tx;
-- @expect
--| {"op":"+I","id":"t0","s":10}
--| {"op":"+I","id":"t1","s":7}
--| {"op":"+I","id":"t2","s":40}
--| {"op":"+I","id":"t3","s":40}
--| {"op":"+I","id":"t7","s":16}
--| {"op":"+I","id":"t4","s":24}
--| {"op":"+I","id":"t5","s":51}
--| {"op":"+I","id":"t6","s":51}
--| {"op":"+I","id":"t8","s":1}
--| {"op":"+I","id":"t9","s":3}

SELECT id, SUM(amount) OVER (ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS s FROM tx;
-- @expect
--| {"op":"+I","id":"t0","s":10}
--| {"op":"+I","id":"t1","s":17}
--| {"op":"+I","id":"t2","s":47}
--| {"op":"+I","id":"t3","s":47}
--| {"op":"+I","id":"t7","s":56}
--| {"op":"+I","id":"t4","s":64}
--| {"op":"+I","id":"t5","s":69}
--| {"op":"+I","id":"t6","s":75}
--| {"op":"+I","id":"t8","s":76}
--| {"op":"+I","id":"t9","s":78}

-- NULLs are no values to them.
SELECT id, FIRST_VALUE(amount) OVER w AS f, LAST_VALUE(amount) OVER w AS l FROM tx WINDOW w AS (PARTITION BY u ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW);
-- @expect
--| {"op":"+I","id":"t0","f":10,"l":10}
--| {"op":"+I","id":"t1","f":7,"l":7}
--| {"op":"+I","id":"t2","f":10,"l":30}
--| {"op":"+I","id":"t3","f":30,"l":30}
--| {"op":"+I","id":"t7","f":7,"l":9}
--| {"op":"+I","id":"t4","f":9,"l":8}
--| {"op":"+I","id":"t5","f":5,"l":5}
--| {"op":"+I","id":"t6","f":5,"l":6}
--| {"op":"+I","id":"t8","f":1,"l":1}
--| {"op":"+I","id":"t9","f":1,"l":2}

SELECT id, FIRST_VALUE(amount) OVER w AS f, LAST_VALUE(amount) OVER w AS l FROM tx WINDOW w AS (PARTITION BY u ORDER BY ts);
-- @expect
--| {"op":"+I","id":"t0","f":10,"l":10}
--| {"op":"+I","id":"t1","f":7,"l":7}
--| {"op":"+I","id":"t2","f":10,"l":30}
--| {"op":"+I","id":"t3","f":10,"l":30}
--| {"op":"+I","id":"t7","f":7,"l":9}
--| {"op":"+I","id":"t4","f":7,"l":8}
--| {"op":"+I","id":"t5","f":10,"l":6}
--| {"op":"+I","id":"t6","f":10,"l":6}
--| {"op":"+I","id":"t8","f":1,"l":1}
--| {"op":"+I","id":"t9","f":1,"l":2}

SELECT id, COUNT(DISTINCT amount) OVER (PARTITION BY u ORDER BY ts RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) AS n FROM tx;
-- @expect
--| {"op":"+I","id":"t0","n":1}
--| {"op":"+I","id":"t1","n":1}
--| {"op":"+I","id":"t2","n":2}
--| {"op":"+I","id":"t3","n":2}
--| {"op":"+I","id":"t7","n":2}
--| {"op":"+I","id":"t4","n":3}
--| {"op":"+I","id":"t5","n":3}
--| {"op":"+I","id":"t6","n":3}
--| {"op":"+I","id":"t8","n":1}
--| {"op":"+I","id":"t9","n":2}

SELECT id, SUM(amount) OVER (PARTITION BY u ORDER BY pt ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM tx;
-- @expect ordered
--| {"op":"+I","id":"t0","s":10}
--| {"op":"+I","id":"t1","s":7}
--| {"op":"+I","id":"t2","s":40}
--| {"op":"+I","id":"t3","s":30}
--| {"op":"+I","id":"t4","s":15}
--| {"op":"+I","id":"t7","s":17}
--| {"op":"+I","id":"t5","s":5}
--| {"op":"+I","id":"t6","s":11}
--| {"op":"+I","id":"t8","s":1}
--| {"op":"+I","id":"t9","s":3}

-- By processing time every row sees those that came before it.
SELECT id, COUNT(*) OVER (PARTITION BY u ORDER BY pt) AS n, SUM(amount) OVER (PARTITION BY u ORDER BY pt) AS s FROM tx;
-- @expect ordered
--| {"op":"+I","id":"t0","n":1,"s":10}
--| {"op":"+I","id":"t1","n":1,"s":7}
--| {"op":"+I","id":"t2","n":2,"s":40}
--| {"op":"+I","id":"t3","n":3,"s":40}
--| {"op":"+I","id":"t4","n":2,"s":15}
--| {"op":"+I","id":"t7","n":3,"s":24}
--| {"op":"+I","id":"t5","n":4,"s":45}
--| {"op":"+I","id":"t6","n":5,"s":51}
--| {"op":"+I","id":"t8","n":1,"s":1}
--| {"op":"+I","id":"t9","n":2,"s":3}

-- The result of one is the input of another: event time goes through.
SELECT id, s, SUM(s) OVER (PARTITION BY u ORDER BY ts) AS ss FROM (SELECT *, SUM(amount) OVER (PARTITION BY u ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM tx);
-- @expect
--| {"op":"+I","id":"t0","s":10,"ss":10}
--| {"op":"+I","id":"t1","s":7,"ss":7}
--| {"op":"+I","id":"t2","s":40,"ss":50}
--| {"op":"+I","id":"t3","s":30,"ss":80}
--| {"op":"+I","id":"t7","s":16,"ss":23}
--| {"op":"+I","id":"t4","s":17,"ss":40}
--| {"op":"+I","id":"t5","s":5,"ss":96}
--| {"op":"+I","id":"t6","s":11,"ss":96}
--| {"op":"+I","id":"t8","s":1,"ss":1}
--| {"op":"+I","id":"t9","s":3,"ss":4}

-- An interval of several fields.
SELECT id, COUNT(*) OVER (PARTITION BY u ORDER BY ts RANGE BETWEEN INTERVAL '0:30' HOUR TO MINUTE PRECEDING AND CURRENT ROW) AS c FROM tx;
-- @expect
--| {"op":"+I","id":"t0","c":1}
--| {"op":"+I","id":"t1","c":1}
--| {"op":"+I","id":"t2","c":2}
--| {"op":"+I","id":"t3","c":2}
--| {"op":"+I","id":"t7","c":1}
--| {"op":"+I","id":"t4","c":2}
--| {"op":"+I","id":"t5","c":2}
--| {"op":"+I","id":"t6","c":2}
--| {"op":"+I","id":"t8","c":1}
--| {"op":"+I","id":"t9","c":2}

-- Flink refuses what follows: FILTER in OVER, a frame of the current row alone.
SELECT id, COUNT(*) FILTER (WHERE amount > 7) OVER (PARTITION BY u ORDER BY ts) AS n,
  SUM(amount) OVER (PARTITION BY u ORDER BY ts ROWS BETWEEN CURRENT ROW AND CURRENT ROW) AS s FROM tx WHERE u <> 'bob';
-- @expect
--| {"op":"+I","id":"t0","n":1,"s":10}
--| {"op":"+I","id":"t2","n":2,"s":30}
--| {"op":"+I","id":"t3","n":2,"s":null}
--| {"op":"+I","id":"t5","n":2,"s":5}
--| {"op":"+I","id":"t6","n":2,"s":6}
