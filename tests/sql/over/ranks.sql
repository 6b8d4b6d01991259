-- ROW_NUMBER, RANK and DENSE_RANK in the order of time.
-- @file tx.jsonl
--| {"id":"t0","u":"ann","ts":"2024-01-01 10:00:00"}
--| {"id":"t1","u":"bob","ts":"2024-01-01 10:00:05"}
--| {"id":"t2","u":"ann","ts":"2024-01-01 10:30:00"}
--| {"id":"t3","u":"ann","ts":"2024-01-01 10:30:00"}
--| {"id":"t4","u":"ann","ts":"2024-01-01 10:50:00"}
SET 'parallelism.default' = '1';
CREATE TABLE tx (id STRING, u STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/tx.jsonl', 'format' = 'json');

-- Checked against Flink 2.3.
SELECT id, ROW_NUMBER() OVER (PARTITION BY u ORDER BY ts) AS n FROM tx;
-- @expect
--| {"op":"+I","id":"t0","n":1}
--| {"op":"+I","id":"t1","n":1}
--| {"op":"+I","id":"t2","n":2}
--| {"op":"+I","id":"t3","n":3}
--| {"op":"+I","id":"t4","n":4}

-- Rows of one instant have one rank. Flink 2.3 counts them one by one and gives all of them the last number
-- (3 and 3 instead of 2 and 2), and DENSE_RANK the same.
SELECT id, RANK() OVER (PARTITION BY u ORDER BY ts) AS r, DENSE_RANK() OVER (PARTITION BY u ORDER BY ts) AS d FROM tx;
-- @expect
--| {"op":"+I","id":"t0","r":1,"d":1}
--| {"op":"+I","id":"t1","r":1,"d":1}
--| {"op":"+I","id":"t2","r":2,"d":2}
--| {"op":"+I","id":"t3","r":2,"d":2}
--| {"op":"+I","id":"t4","r":4,"d":3}

-- A filter without a last rank keeps all rows (Flink refuses it).
SELECT id, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY u ORDER BY ts) AS n FROM tx) WHERE n >= 2;
-- @expect
--| {"op":"+I","id":"t2","n":2}
--| {"op":"+I","id":"t3","n":3}
--| {"op":"+I","id":"t4","n":4}
