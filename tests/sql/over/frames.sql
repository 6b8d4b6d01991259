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
