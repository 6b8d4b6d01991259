-- Windows of TIMESTAMP_LTZ follow the session's zone: days of 23 and 25 hours.
-- @file days.jsonl
--| {"ts": "2024-03-30 22:59:59Z", "v": 1}
--| {"ts": "2024-03-30 23:00:00Z", "v": 2}
--| {"ts": "2024-03-31 00:30:00Z", "v": 4}
--| {"ts": "2024-03-31 01:30:00Z", "v": 8}
--| {"ts": "2024-03-31 21:59:59Z", "v": 16}
--| {"ts": "2024-03-31 22:00:00Z", "v": 32}
--| {"ts": "2024-10-26 22:00:00Z", "v": 64}
--| {"ts": "2024-10-27 00:30:00Z", "v": 128}
--| {"ts": "2024-10-27 01:30:00Z", "v": 256}
--| {"ts": "2024-10-27 02:30:00Z", "v": 512}
--| {"ts": "2024-10-27 22:59:59Z", "v": 1024}
--| {"ts": "2024-10-27 23:00:00Z", "v": 2048}
SET 'table.local-time-zone' = 'Europe/Berlin';
CREATE TABLE days (ts TIMESTAMP_LTZ(3), v INT, WATERMARK FOR ts AS ts - INTERVAL '10' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/days.jsonl', 'format' = 'json');

SELECT window_start, window_end, SUM(v) AS s FROM TABLE(TUMBLE(TABLE days, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY window_start, window_end;
-- @expect

SELECT window_start, window_end, window_time, SUM(v) AS s FROM TABLE(TUMBLE(TABLE days, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end, window_time;
-- @expect

SELECT window_start, window_end, SUM(v) AS s FROM TABLE(HOP(TABLE days, DESCRIPTOR(ts), INTERVAL '2' HOUR, INTERVAL '4' HOUR)) WHERE v IN (4, 8, 128, 256, 512) GROUP BY window_start, window_end;
-- @expect

SELECT window_start, window_end, SUM(v) AS s FROM TABLE(CUMULATE(TABLE days, DESCRIPTOR(ts), INTERVAL '12' HOUR, INTERVAL '1' DAY)) GROUP BY window_start, window_end;
-- @expect

SELECT window_start, window_end, SUM(v) AS s FROM TABLE(SESSION(TABLE days, DESCRIPTOR(ts), INTERVAL '90' MINUTE)) GROUP BY window_start, window_end;
-- @expect

-- Hours of a day, then the day.
CREATE VIEW hours AS SELECT window_time AS t, SUM(v) AS s
FROM TABLE(TUMBLE(TABLE days, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end, window_time;
SELECT window_start, window_end, SUM(s) AS s, COUNT(*) AS hours
FROM TABLE(TUMBLE(TABLE hours, DESCRIPTOR(t), INTERVAL '1' DAY)) GROUP BY window_start, window_end;
-- @expect
