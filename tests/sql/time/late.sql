-- A row is late when a row before it says so, however rows come in batches.
-- Checked against Flink 2.3 (pipeline.auto-watermark-interval = 0).
-- @file tx.jsonl
--| {"id":"t0","u":"ann","ts":"2024-01-01 10:00:00"}
--| {"id":"t1","u":"bob","ts":"2024-01-01 10:00:05"}
--| {"id":"t2","u":"ann","ts":"2024-01-01 10:30:00"}
--| {"id":"t3","u":"ann","ts":"2024-01-01 10:30:00"}
--| {"id":"t4","u":"ann","ts":"2024-01-01 10:50:00"}
--| {"id":"t5","u":"ann","ts":"2024-01-01 10:20:00"}
--| {"id":"t6","u":"ann","ts":"2024-01-01 10:55:00"}
CREATE TABLE tx (id STRING, u STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/tx.jsonl', 'format' = 'json');

-- t3 has the time of the row before it, which says that no such row comes any more.
SELECT id, COUNT(*) OVER (PARTITION BY u ORDER BY ts) AS n FROM tx;
-- @expect
--| {"op":"+I","id":"t0","n":1}
--| {"op":"+I","id":"t1","n":1}
--| {"op":"+I","id":"t2","n":2}
--| {"op":"+I","id":"t4","n":3}
--| {"op":"+I","id":"t6","n":4}

-- The window of t3 is still open.
SELECT u, window_start, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE tx, DESCRIPTOR(ts), INTERVAL '10' MINUTES)) GROUP BY u, window_start, window_end;
-- @expect
--| {"op":"+I","u":"ann","window_start":"2024-01-01 10:00:00","n":1}
--| {"op":"+I","u":"bob","window_start":"2024-01-01 10:00:00","n":1}
--| {"op":"+I","u":"ann","window_start":"2024-01-01 10:30:00","n":2}
--| {"op":"+I","u":"ann","window_start":"2024-01-01 10:50:00","n":2}

-- What is late can be told.
SELECT id FROM tx WHERE ts <= CURRENT_WATERMARK(ts);
-- @expect
--| {"op":"+I","id":"t3"}
--| {"op":"+I","id":"t5"}
