-- NULL keys are a group; a row without an event time fails the job where the watermark is assigned, as in Flink.
-- @file rows.jsonl
--| {"ts": "2024-01-01 00:00:01", "k": "a", "v": 1}
--| {"ts": "2024-01-01 00:00:03", "k": null, "v": 4}
CREATE TABLE r (ts TIMESTAMP(3), k STRING, v INT, WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/rows.jsonl', 'format' = 'json');

SELECT k, window_end, SUM(v) AS s FROM TABLE(TUMBLE(TABLE r, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end;
-- @expect
--| {"op":"+I","k":"a","window_end":"2024-01-01 00:00:10","s":1}
--| {"op":"+I","k":null,"window_end":"2024-01-01 00:00:10","s":4}

SELECT v, window_end FROM TABLE(SESSION(TABLE r, DESCRIPTOR(ts), INTERVAL '10' SECOND));
-- @expect
--| {"op":"+I","v":1,"window_end":"2024-01-01 00:00:13"}
--| {"op":"+I","v":4,"window_end":"2024-01-01 00:00:13"}

SELECT k, window_end, SUM(v) AS s FROM TABLE(TUMBLE(TABLE r, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY GROUPING SETS ((k, window_start, window_end), (window_start, window_end));
-- @expect
--| {"op":"+I","k":"a","window_end":"2024-01-01 00:00:10","s":1}
--| {"op":"+I","k":null,"window_end":"2024-01-01 00:00:10","s":4}
--| {"op":"+I","k":null,"window_end":"2024-01-01 00:00:10","s":5}

-- @file timeless.jsonl
--| {"ts": "2024-01-01 00:00:01", "k": "a", "v": 1}
--| {"k": "a", "v": 2}
SELECT v FROM r /*+ OPTIONS('path' = '${DIR}/timeless.jsonl') */;
-- @error
--| rowtime column 'ts' is NULL
