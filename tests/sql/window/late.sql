-- A row is late for a window that the watermark of a row before has closed; it counts for those still open.
-- @file events.jsonl
--| {"ts": "2024-01-01 00:00:01", "k": "a", "v": 1}
--| {"ts": "2024-01-01 00:00:12", "k": "a", "v": 2}
--| {"ts": "2024-01-01 00:00:09", "k": "a", "v": 4}
--| {"ts": "2024-01-01 00:00:13", "k": "b", "v": 8}
--| {"ts": "2024-01-01 00:00:31", "k": "b", "v": 16}
--| {"ts": "2024-01-01 00:00:15", "k": "a", "v": 32}
--| {"ts": "2024-01-01 00:00:29", "k": "a", "v": 64}
--| {"ts": "2024-01-01 00:00:50", "k": "a", "v": 128}
CREATE TABLE events (ts TIMESTAMP(3), k STRING, v INT, WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/events.jsonl', 'format' = 'json');

SELECT k, window_start, window_end, SUM(v) AS s FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end;
-- @expect

SELECT k, window_start, window_end, SUM(v) AS s FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '30' SECOND)) GROUP BY k, window_start, window_end;
-- @expect

SELECT k, window_start, window_end, SUM(v) AS s FROM TABLE(CUMULATE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '30' SECOND)) GROUP BY k, window_start, window_end;
-- @expect

SELECT k, window_start, window_end, SUM(v) AS s FROM TABLE(SESSION(TABLE events PARTITION BY k, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end;
-- @expect

-- The table function drops no row; what aggregates its columns does.
SELECT v, window_start FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND));
-- @expect

SELECT v, window_start, window_end FROM TABLE(SESSION(TABLE events PARTITION BY k, DESCRIPTOR(ts), INTERVAL '10' SECOND));
-- @expect
