-- ORDER BY: by time when the watermark has passed, else when the rows have ended.

-- @file rows.jsonl
--| {"id": 3, "ts": "2024-05-01 10:00:03", "name": "c"}
--| {"id": 1, "ts": "2024-05-01 10:00:01", "name": null}
--| {"id": 2, "ts": "2024-05-01 10:00:01", "name": "b"}
--| {"id": 4, "ts": "1960-05-01 10:00:02", "name": "a"}

CREATE TABLE t (id INT, ts TIMESTAMP(3), name STRING, WATERMARK FOR ts AS ts - INTERVAL '100' YEAR)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/rows.jsonl', 'format' = 'json');

SELECT id, ts FROM t ORDER BY ts, id DESC;
-- @expect ordered
--| {"op":"+I","id":4,"ts":"1960-05-01 10:00:02"}
--| {"op":"+I","id":2,"ts":"2024-05-01 10:00:01"}
--| {"op":"+I","id":1,"ts":"2024-05-01 10:00:01"}
--| {"op":"+I","id":3,"ts":"2024-05-01 10:00:03"}

-- NULL is less than every value. Flink refuses this on a stream, though it ends.
SELECT id, name FROM t ORDER BY name;
-- @expect ordered
--| {"op":"+I","id":1,"name":null}
--| {"op":"+I","id":4,"name":"a"}
--| {"op":"+I","id":2,"name":"b"}
--| {"op":"+I","id":3,"name":"c"}

SELECT id, name FROM t ORDER BY name DESC NULLS FIRST, id + 1;
-- @expect ordered
--| {"op":"+I","id":1,"name":null}
--| {"op":"+I","id":3,"name":"c"}
--| {"op":"+I","id":2,"name":"b"}
--| {"op":"+I","id":4,"name":"a"}

-- What changes is sorted as it is in the end.
SELECT ts, COUNT(*) AS n FROM t GROUP BY ts ORDER BY n DESC, ts;
-- @expect ordered
--| {"op":"+I","ts":"2024-05-01 10:00:01","n":2}
--| {"op":"+I","ts":"1960-05-01 10:00:02","n":1}
--| {"op":"+I","ts":"2024-05-01 10:00:03","n":1}

EXPLAIN SELECT id, ts FROM t ORDER BY ts, id DESC;
-- @text
--| TemporalSort(orderBy=[t.ts ASC
