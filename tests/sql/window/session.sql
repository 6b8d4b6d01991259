-- SESSION: aggregates by key, over all rows, rows with their session.
-- @file clicks.jsonl
--| {"ts": "2024-01-01 00:00:00", "u": "a", "v": 1}
--| {"ts": "2024-01-01 00:00:08", "u": "b", "v": 2}
--| {"ts": "2024-01-01 00:00:09", "u": "a", "v": 4}
--| {"ts": "2024-01-01 00:00:30", "u": "a", "v": 8}
--| {"ts": "2024-01-01 00:00:20", "u": "a", "v": 16}
--| {"ts": "2024-01-01 00:00:20", "u": null, "v": 32}
--| {"ts": "2024-01-01 00:00:50", "u": "b", "v": 64}
--| {"ts": "2024-01-01 00:00:29", "u": null, "v": 128}
CREATE TABLE clicks (ts TIMESTAMP(3), u STRING, v INT, WATERMARK FOR ts AS ts - INTERVAL '1' HOUR)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/clicks.jsonl', 'format' = 'json');

SELECT u, window_start, window_end, SUM(v) AS s, COUNT(*) AS n
FROM TABLE(SESSION(TABLE clicks PARTITION BY u, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY u, window_start, window_end;
-- @expect

-- A gap is the pause that ends a session: rows that are exactly so far apart are together.
SELECT u, window_start, window_end, SUM(v) AS s
FROM TABLE(SESSION(TABLE clicks PARTITION BY u, DESCRIPTOR(ts), INTERVAL '9' SECOND)) GROUP BY u, window_start, window_end;
-- @expect

SELECT window_start, window_end, SUM(v) AS s
FROM TABLE(SESSION(TABLE clicks, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY window_start, window_end;
-- @expect

SELECT * FROM TABLE(SESSION(TABLE clicks PARTITION BY u, DESCRIPTOR(ts), INTERVAL '10' SECOND));
-- @expect

-- Rows that are left out keep their session together.
SELECT u, window_start, window_end, SUM(v) AS s FROM (
  SELECT * FROM TABLE(SESSION(TABLE clicks PARTITION BY u, DESCRIPTOR(ts), INTERVAL '10' SECOND)) WHERE v <> 4)
GROUP BY u, window_start, window_end;
-- @expect

-- Sessions of one key, grouped by less.
SELECT window_start, window_end, SUM(v) AS s, COUNT(*) AS n
FROM TABLE(SESSION(TABLE clicks PARTITION BY u, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
-- @expect

SELECT u, SESSION_START(ts, INTERVAL '10' SECOND) AS ws, SESSION_END(ts, INTERVAL '10' SECOND) AS we, MAX(v) AS m
FROM clicks GROUP BY u, SESSION(ts, INTERVAL '10' SECOND);
-- @expect
