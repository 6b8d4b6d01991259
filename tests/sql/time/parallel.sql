-- The same rows come out whatever the number of tasks: they meet by key.
SET 'parallelism.default' = '4';
-- @file a.jsonl
--| {"k":"x","v":1,"ts":"2024-01-01 10:00:01"}
--| {"k":"y","v":2,"ts":"2024-01-01 10:00:02"}
--| {"k":null,"v":3,"ts":"2024-01-01 10:00:03"}
--| {"k":"x","v":4,"ts":"2024-01-01 10:01:01"}
-- @file b.jsonl
--| {"k":"x","v":10,"ts":"2024-01-01 10:00:04"}
--| {"k":null,"v":20,"ts":"2024-01-01 10:00:05"}
--| {"k":"z","v":30,"ts":"2024-01-01 10:02:00"}
CREATE TABLE a (k STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/a.jsonl', 'format' = 'json', 'scan.watermark.idle-timeout' = '10 min', 'scan.watermark.emit.strategy' = 'on-event');
CREATE TABLE b (k STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/b.jsonl', 'format' = 'json');

SELECT k, window_start, SUM(v) AS s FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY k, window_start, window_end;
-- @expect
--| {"op":"+I","k":"x","window_start":"2024-01-01 10:00:00","s":1}
--| {"op":"+I","k":"y","window_start":"2024-01-01 10:00:00","s":2}
--| {"op":"+I","k":null,"window_start":"2024-01-01 10:00:00","s":3}
--| {"op":"+I","k":"x","window_start":"2024-01-01 10:01:00","s":4}

SELECT a.k, a.v, b.v AS w FROM a JOIN b ON a.k = b.k AND a.ts BETWEEN b.ts - INTERVAL '10' SECOND AND b.ts + INTERVAL '10' SECOND;
-- @expect
--| {"op":"+I","k":"x","v":1,"w":10}

SELECT k, COUNT(*) AS c, SUM(v) AS s FROM (SELECT k, v FROM a WHERE k = 'y' UNION ALL SELECT k, v FROM b WHERE k = 'z') GROUP BY k;
-- @expect
--| {"op":"+I","k":"y","c":1,"s":2}
--| {"op":"+I","k":"z","c":1,"s":30}

-- A LIMIT behind an exchange ends everything, also sources that never end.
CREATE TABLE endless (i INT) WITH ('connector' = 'datagen', 'fields.i.min' = '5', 'fields.i.max' = '5');
SELECT DISTINCT i FROM endless LIMIT 1;
-- @expect
--| {"op":"+I","i":5}

-- An error in one task ends the others.
SELECT i, COUNT(*) FROM (SELECT CAST(CAST(i AS STRING) || 'x' AS INT) AS i FROM endless) GROUP BY i;
-- @error
--| 5x

CREATE TABLE timeless (i INT) WITH ('connector' = 'datagen', 'scan.watermark.idle-timeout' = '5 s');
-- @error
--| option 'scan.watermark.idle-timeout' is for tables with a watermark
