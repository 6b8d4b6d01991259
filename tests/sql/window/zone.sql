-- Windows of TIMESTAMP_LTZ follow the session's zone: days of 23 and 25 hours.
-- checked against Flink 2.3
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
--| {"op":"+I","window_start":"2024-03-30 00:00:00","window_end":"2024-03-31 00:00:00","s":1}
--| {"op":"+I","window_start":"2024-03-31 00:00:00","window_end":"2024-04-01 00:00:00","s":30}
--| {"op":"+I","window_start":"2024-04-01 00:00:00","window_end":"2024-04-02 00:00:00","s":32}
--| {"op":"+I","window_start":"2024-10-27 00:00:00","window_end":"2024-10-28 00:00:00","s":1984}
--| {"op":"+I","window_start":"2024-10-28 00:00:00","window_end":"2024-10-29 00:00:00","s":2048}

SELECT window_start, window_end, window_time, SUM(v) AS s FROM TABLE(TUMBLE(TABLE days, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end, window_time;
-- @expect
--| {"op":"+I","window_start":"2024-03-30 23:00:00","window_end":"2024-03-31 00:00:00","window_time":"2024-03-30 22:59:59.999Z","s":1}
--| {"op":"+I","window_start":"2024-03-31 00:00:00","window_end":"2024-03-31 01:00:00","window_time":"2024-03-30 23:59:59.999Z","s":2}
--| {"op":"+I","window_start":"2024-03-31 01:00:00","window_end":"2024-03-31 02:00:00","window_time":"2024-03-31 00:59:59.999Z","s":4}
--| {"op":"+I","window_start":"2024-03-31 03:00:00","window_end":"2024-03-31 04:00:00","window_time":"2024-03-31 01:59:59.999Z","s":8}
--| {"op":"+I","window_start":"2024-03-31 23:00:00","window_end":"2024-04-01 00:00:00","window_time":"2024-03-31 21:59:59.999Z","s":16}
--| {"op":"+I","window_start":"2024-04-01 00:00:00","window_end":"2024-04-01 01:00:00","window_time":"2024-03-31 22:59:59.999Z","s":32}
--| {"op":"+I","window_start":"2024-10-27 00:00:00","window_end":"2024-10-27 01:00:00","window_time":"2024-10-26 22:59:59.999Z","s":64}
--| {"op":"+I","window_start":"2024-10-27 02:00:00","window_end":"2024-10-27 03:00:00","window_time":"2024-10-27 00:59:59.999Z","s":384}
--| {"op":"+I","window_start":"2024-10-27 03:00:00","window_end":"2024-10-27 04:00:00","window_time":"2024-10-27 02:59:59.999Z","s":512}
--| {"op":"+I","window_start":"2024-10-27 23:00:00","window_end":"2024-10-28 00:00:00","window_time":"2024-10-27 22:59:59.999Z","s":1024}
--| {"op":"+I","window_start":"2024-10-28 00:00:00","window_end":"2024-10-28 01:00:00","window_time":"2024-10-27 23:59:59.999Z","s":2048}

SELECT window_start, window_end, SUM(v) AS s FROM TABLE(HOP(TABLE days, DESCRIPTOR(ts), INTERVAL '2' HOUR, INTERVAL '4' HOUR)) WHERE v IN (4, 8, 128, 256, 512) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"2024-03-30 22:00:00","window_end":"2024-03-31 02:00:00","s":4}
--| {"op":"+I","window_start":"2024-03-31 00:00:00","window_end":"2024-03-31 04:00:00","s":12}
--| {"op":"+I","window_start":"2024-03-31 02:00:00","window_end":"2024-03-31 06:00:00","s":8}
--| {"op":"+I","window_start":"2024-10-27 00:00:00","window_end":"2024-10-27 04:00:00","s":896}
--| {"op":"+I","window_start":"2024-10-27 02:00:00","window_end":"2024-10-27 06:00:00","s":896}

SELECT window_start, window_end, SUM(v) AS s FROM TABLE(CUMULATE(TABLE days, DESCRIPTOR(ts), INTERVAL '12' HOUR, INTERVAL '1' DAY)) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"2024-03-30 00:00:00","window_end":"2024-03-31 00:00:00","s":1}
--| {"op":"+I","window_start":"2024-03-31 00:00:00","window_end":"2024-03-31 12:00:00","s":14}
--| {"op":"+I","window_start":"2024-03-31 00:00:00","window_end":"2024-04-01 00:00:00","s":30}
--| {"op":"+I","window_start":"2024-04-01 00:00:00","window_end":"2024-04-01 12:00:00","s":32}
--| {"op":"+I","window_start":"2024-04-01 00:00:00","window_end":"2024-04-02 00:00:00","s":32}
--| {"op":"+I","window_start":"2024-10-27 00:00:00","window_end":"2024-10-27 12:00:00","s":960}
--| {"op":"+I","window_start":"2024-10-27 00:00:00","window_end":"2024-10-28 00:00:00","s":1984}
--| {"op":"+I","window_start":"2024-10-28 00:00:00","window_end":"2024-10-28 12:00:00","s":2048}
--| {"op":"+I","window_start":"2024-10-28 00:00:00","window_end":"2024-10-29 00:00:00","s":2048}

SELECT window_start, window_end, SUM(v) AS s FROM TABLE(SESSION(TABLE days, DESCRIPTOR(ts), INTERVAL '90' MINUTE)) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"2024-03-30 23:59:59","window_end":"2024-03-31 03:00:00","s":7}
--| {"op":"+I","window_start":"2024-03-31 03:30:00","window_end":"2024-03-31 05:00:00","s":8}
--| {"op":"+I","window_start":"2024-03-31 23:59:59","window_end":"2024-04-01 01:30:00","s":48}
--| {"op":"+I","window_start":"2024-10-27 00:00:00","window_end":"2024-10-27 01:30:00","s":64}
--| {"op":"+I","window_start":"2024-10-27 02:30:00","window_end":"2024-10-27 05:00:00","s":896}
--| {"op":"+I","window_start":"2024-10-27 23:59:59","window_end":"2024-10-28 01:30:00","s":3072}

-- Hours of a day, then the day.
CREATE VIEW hours AS SELECT window_time AS t, SUM(v) AS s
FROM TABLE(TUMBLE(TABLE days, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end, window_time;
SELECT window_start, window_end, SUM(s) AS s, COUNT(*) AS hours
FROM TABLE(TUMBLE(TABLE hours, DESCRIPTOR(t), INTERVAL '1' DAY)) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"2024-03-30 00:00:00","window_end":"2024-03-31 00:00:00","s":1,"hours":1}
--| {"op":"+I","window_start":"2024-03-31 00:00:00","window_end":"2024-04-01 00:00:00","s":30,"hours":4}
--| {"op":"+I","window_start":"2024-04-01 00:00:00","window_end":"2024-04-02 00:00:00","s":32,"hours":1}
--| {"op":"+I","window_start":"2024-10-27 00:00:00","window_end":"2024-10-28 00:00:00","s":1984,"hours":4}
--| {"op":"+I","window_start":"2024-10-28 00:00:00","window_end":"2024-10-29 00:00:00","s":2048,"hours":1}
