-- Rows of several files are not late for each other: event time runs in each file for itself. (In Flink it
-- depends on which file happens to be read first.)
-- @file in/a.jsonl
--| {"f":"a","ts":"2024-01-01 12:00:00"}
--| {"f":"a","ts":"2024-01-01 12:00:20"}
--| {"f":"a","ts":"2024-01-01 11:00:00"}
-- @file in/b.jsonl
--| {"f":"b","ts":"2024-01-01 10:00:00"}
--| {"f":"b","ts":"2024-01-01 10:00:20"}
--| {"f":"b","ts":"2024-01-01 09:00:00"}
-- @file in/c.jsonl
--| {"f":"c","ts":"2024-01-01 11:30:00"}
SET 'parallelism.default' = '1';
CREATE TABLE t (f STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/in', 'format' = 'json');

SELECT f, window_start, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY f, window_start, window_end;
-- @expect
--| {"op":"+I","f":"b","window_start":"2024-01-01 09:00:00","n":1}
--| {"op":"+I","f":"b","window_start":"2024-01-01 10:00:00","n":2}
--| {"op":"+I","f":"a","window_start":"2024-01-01 11:00:00","n":1}
--| {"op":"+I","f":"c","window_start":"2024-01-01 11:00:00","n":1}
--| {"op":"+I","f":"a","window_start":"2024-01-01 12:00:00","n":2}

-- Rows that a filter leaves out count for the watermark.
SELECT f, window_start, COUNT(*) AS n FROM TABLE(TUMBLE(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' HOUR)) WHERE f <> 'a' GROUP BY f, window_start, window_end;
-- @expect
--| {"op":"+I","f":"b","window_start":"2024-01-01 09:00:00","n":1}
--| {"op":"+I","f":"b","window_start":"2024-01-01 10:00:00","n":2}
--| {"op":"+I","f":"c","window_start":"2024-01-01 11:00:00","n":1}
