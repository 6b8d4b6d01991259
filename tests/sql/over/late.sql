-- Rows behind the watermark.
-- Checked against Flink 2.3 (with a watermark behind every row).
-- @file in/1.jsonl
--| {"id":"a","k":"x","ts":"2024-01-01 10:00:00"}
--| {"id":"b","k":"x","ts":"2024-01-01 10:10:00"}
--| {"id":"c","k":"x","ts":"2024-01-01 10:05:00"}
--| {"id":"d","k":"y","ts":"2024-01-01 10:06:00"}
--| {"id":"e","k":"x","ts":"2024-01-01 10:20:00"}
SET 'parallelism.default' = '1';
CREATE TABLE t (id STRING, k STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/in', 'format' = 'json');

-- An unbounded frame drops what is not later than the watermark.
SELECT id, COUNT(*) OVER (PARTITION BY k ORDER BY ts) AS c FROM t;
-- @expect
--| {"op":"+I","id":"a","c":1}
--| {"op":"+I","id":"b","c":2}
--| {"op":"+I","id":"e","c":3}

-- A bounded one takes what comes behind the last row of its partition.
SELECT id, COUNT(*) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 5 PRECEDING AND CURRENT ROW) AS c FROM t;
-- @expect
--| {"op":"+I","id":"a","c":1}
--| {"op":"+I","id":"b","c":2}
--| {"op":"+I","id":"d","c":1}
--| {"op":"+I","id":"e","c":3}

-- The first row of a key is not taken back.
SELECT id FROM t QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts) = 1;
-- @expect
--| {"op":"+I","id":"a"}
