-- SESSION: aggregates by key, over all rows, rows with their session.
-- checked against Flink 2.3
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
--| {"op":"+I","u":"b","window_start":"2024-01-01 00:00:08","window_end":"2024-01-01 00:00:18","s":2,"n":1}
--| {"op":"+I","u":"a","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:19","s":5,"n":2}
--| {"op":"+I","u":null,"window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:39","s":160,"n":2}
--| {"op":"+I","u":"a","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","s":24,"n":2}
--| {"op":"+I","u":"b","window_start":"2024-01-01 00:00:50","window_end":"2024-01-01 00:01:00","s":64,"n":1}

-- A gap is the pause that ends a session: rows that are exactly so far apart are together.
SELECT u, window_start, window_end, SUM(v) AS s
FROM TABLE(SESSION(TABLE clicks PARTITION BY u, DESCRIPTOR(ts), INTERVAL '9' SECOND)) GROUP BY u, window_start, window_end;
-- @expect
--| {"op":"+I","u":"b","window_start":"2024-01-01 00:00:08","window_end":"2024-01-01 00:00:17","s":2}
--| {"op":"+I","u":"a","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:18","s":5}
--| {"op":"+I","u":"a","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:29","s":16}
--| {"op":"+I","u":null,"window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:38","s":160}
--| {"op":"+I","u":"a","window_start":"2024-01-01 00:00:30","window_end":"2024-01-01 00:00:39","s":8}
--| {"op":"+I","u":"b","window_start":"2024-01-01 00:00:50","window_end":"2024-01-01 00:00:59","s":64}

SELECT window_start, window_end, SUM(v) AS s
FROM TABLE(SESSION(TABLE clicks, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:05","s":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:08","window_end":"2024-01-01 00:00:14","s":6}
--| {"op":"+I","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:25","s":48}
--| {"op":"+I","window_start":"2024-01-01 00:00:29","window_end":"2024-01-01 00:00:35","s":136}
--| {"op":"+I","window_start":"2024-01-01 00:00:50","window_end":"2024-01-01 00:00:55","s":64}

SELECT * FROM TABLE(SESSION(TABLE clicks PARTITION BY u, DESCRIPTOR(ts), INTERVAL '10' SECOND));
-- @expect
--| {"op":"+I","ts":"2024-01-01 00:00:08","u":"b","v":2,"window_start":"2024-01-01 00:00:08","window_end":"2024-01-01 00:00:18","window_time":"2024-01-01 00:00:17.999"}
--| {"op":"+I","ts":"2024-01-01 00:00:00","u":"a","v":1,"window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:19","window_time":"2024-01-01 00:00:18.999"}
--| {"op":"+I","ts":"2024-01-01 00:00:09","u":"a","v":4,"window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:19","window_time":"2024-01-01 00:00:18.999"}
--| {"op":"+I","ts":"2024-01-01 00:00:20","u":null,"v":32,"window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:39","window_time":"2024-01-01 00:00:38.999"}
--| {"op":"+I","ts":"2024-01-01 00:00:29","u":null,"v":128,"window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:39","window_time":"2024-01-01 00:00:38.999"}
--| {"op":"+I","ts":"2024-01-01 00:00:30","u":"a","v":8,"window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","window_time":"2024-01-01 00:00:39.999"}
--| {"op":"+I","ts":"2024-01-01 00:00:20","u":"a","v":16,"window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","window_time":"2024-01-01 00:00:39.999"}
--| {"op":"+I","ts":"2024-01-01 00:00:50","u":"b","v":64,"window_start":"2024-01-01 00:00:50","window_end":"2024-01-01 00:01:00","window_time":"2024-01-01 00:00:59.999"}

-- Rows that are left out behind the windows keep their session together. (Flink filters first when an
-- aggregation follows, and gives a session that ends at 00:00:10.)
SELECT u, window_start, window_end, SUM(v) AS s FROM (
  SELECT * FROM TABLE(SESSION(TABLE clicks PARTITION BY u, DESCRIPTOR(ts), INTERVAL '10' SECOND)) WHERE v <> 4)
GROUP BY u, window_start, window_end;
-- @expect
--| {"op":"+I","u":"b","window_start":"2024-01-01 00:00:08","window_end":"2024-01-01 00:00:18","s":2}
--| {"op":"+I","u":"a","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:19","s":1}
--| {"op":"+I","u":null,"window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:39","s":160}
--| {"op":"+I","u":"a","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","s":24}
--| {"op":"+I","u":"b","window_start":"2024-01-01 00:00:50","window_end":"2024-01-01 00:01:00","s":64}

-- Sessions of one key, grouped by less: equal windows of several keys are one group. (Flink gives the same rows as
-- updates of a running aggregation.)
SELECT window_start, window_end, SUM(v) AS s, COUNT(*) AS n
FROM TABLE(SESSION(TABLE clicks PARTITION BY u, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"2024-01-01 00:00:08","window_end":"2024-01-01 00:00:18","s":2,"n":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:19","s":5,"n":2}
--| {"op":"+I","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:39","s":160,"n":2}
--| {"op":"+I","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","s":24,"n":2}
--| {"op":"+I","window_start":"2024-01-01 00:00:50","window_end":"2024-01-01 00:01:00","s":64,"n":1}

SELECT u, SESSION_START(ts, INTERVAL '10' SECOND) AS ws, SESSION_END(ts, INTERVAL '10' SECOND) AS we, MAX(v) AS m
FROM clicks GROUP BY u, SESSION(ts, INTERVAL '10' SECOND);
-- @expect
--| {"op":"+I","u":"b","ws":"2024-01-01 00:00:08","we":"2024-01-01 00:00:18","m":2}
--| {"op":"+I","u":"a","ws":"2024-01-01 00:00:00","we":"2024-01-01 00:00:19","m":4}
--| {"op":"+I","u":null,"ws":"2024-01-01 00:00:20","we":"2024-01-01 00:00:39","m":128}
--| {"op":"+I","u":"a","ws":"2024-01-01 00:00:20","we":"2024-01-01 00:00:40","m":16}
--| {"op":"+I","u":"b","ws":"2024-01-01 00:00:50","we":"2024-01-01 00:01:00","m":64}
