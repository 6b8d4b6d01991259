-- A row is late for a window that the watermark of a row before has closed; it counts for those still open.
-- checked against Flink 2.3
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
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:10","s":1}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:10","window_end":"2024-01-01 00:00:20","s":2}
--| {"op":"+I","k":"b","window_start":"2024-01-01 00:00:10","window_end":"2024-01-01 00:00:20","s":8}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:30","s":64}
--| {"op":"+I","k":"b","window_start":"2024-01-01 00:00:30","window_end":"2024-01-01 00:00:40","s":16}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:50","window_end":"2024-01-01 00:01:00","s":128}

SELECT k, window_start, window_end, SUM(v) AS s FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '30' SECOND)) GROUP BY k, window_start, window_end;
-- @expect
--| {"op":"+I","k":"a","window_start":"2023-12-31 23:59:40","window_end":"2024-01-01 00:00:10","s":1}
--| {"op":"+I","k":"a","window_start":"2023-12-31 23:59:50","window_end":"2024-01-01 00:00:20","s":7}
--| {"op":"+I","k":"b","window_start":"2023-12-31 23:59:50","window_end":"2024-01-01 00:00:20","s":8}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:30","s":103}
--| {"op":"+I","k":"b","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:30","s":8}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:10","window_end":"2024-01-01 00:00:40","s":98}
--| {"op":"+I","k":"b","window_start":"2024-01-01 00:00:10","window_end":"2024-01-01 00:00:40","s":24}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:50","s":64}
--| {"op":"+I","k":"b","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:50","s":16}
--| {"op":"+I","k":"b","window_start":"2024-01-01 00:00:30","window_end":"2024-01-01 00:01:00","s":16}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:30","window_end":"2024-01-01 00:01:00","s":128}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:40","window_end":"2024-01-01 00:01:10","s":128}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:50","window_end":"2024-01-01 00:01:20","s":128}

SELECT k, window_start, window_end, SUM(v) AS s FROM TABLE(CUMULATE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '30' SECOND)) GROUP BY k, window_start, window_end;
-- @expect
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:10","s":1}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","s":7}
--| {"op":"+I","k":"b","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","s":8}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:30","s":103}
--| {"op":"+I","k":"b","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:30","s":8}
--| {"op":"+I","k":"b","window_start":"2024-01-01 00:00:30","window_end":"2024-01-01 00:00:40","s":16}
--| {"op":"+I","k":"b","window_start":"2024-01-01 00:00:30","window_end":"2024-01-01 00:00:50","s":16}
--| {"op":"+I","k":"b","window_start":"2024-01-01 00:00:30","window_end":"2024-01-01 00:01:00","s":16}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:30","window_end":"2024-01-01 00:01:00","s":128}

SELECT k, window_start, window_end, SUM(v) AS s FROM TABLE(SESSION(TABLE events PARTITION BY k, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end;
-- @expect
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:01","window_end":"2024-01-01 00:00:22","s":7}
--| {"op":"+I","k":"b","window_start":"2024-01-01 00:00:13","window_end":"2024-01-01 00:00:23","s":8}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:29","window_end":"2024-01-01 00:00:39","s":64}
--| {"op":"+I","k":"b","window_start":"2024-01-01 00:00:31","window_end":"2024-01-01 00:00:41","s":16}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:50","window_end":"2024-01-01 00:01:00","s":128}

-- The table function drops no row; what aggregates its columns does.
SELECT v, window_start FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND));
-- @expect
--| {"op":"+I","v":1,"window_start":"2024-01-01 00:00:00"}
--| {"op":"+I","v":2,"window_start":"2024-01-01 00:00:10"}
--| {"op":"+I","v":4,"window_start":"2024-01-01 00:00:00"}
--| {"op":"+I","v":8,"window_start":"2024-01-01 00:00:10"}
--| {"op":"+I","v":16,"window_start":"2024-01-01 00:00:30"}
--| {"op":"+I","v":32,"window_start":"2024-01-01 00:00:10"}
--| {"op":"+I","v":64,"window_start":"2024-01-01 00:00:20"}
--| {"op":"+I","v":128,"window_start":"2024-01-01 00:00:50"}

SELECT v, window_start, window_end FROM TABLE(SESSION(TABLE events PARTITION BY k, DESCRIPTOR(ts), INTERVAL '10' SECOND));
-- @expect
--| {"op":"+I","v":1,"window_start":"2024-01-01 00:00:01","window_end":"2024-01-01 00:00:22"}
--| {"op":"+I","v":4,"window_start":"2024-01-01 00:00:01","window_end":"2024-01-01 00:00:22"}
--| {"op":"+I","v":2,"window_start":"2024-01-01 00:00:01","window_end":"2024-01-01 00:00:22"}
--| {"op":"+I","v":8,"window_start":"2024-01-01 00:00:13","window_end":"2024-01-01 00:00:23"}
--| {"op":"+I","v":64,"window_start":"2024-01-01 00:00:29","window_end":"2024-01-01 00:00:39"}
--| {"op":"+I","v":16,"window_start":"2024-01-01 00:00:31","window_end":"2024-01-01 00:00:41"}
--| {"op":"+I","v":128,"window_start":"2024-01-01 00:00:50","window_end":"2024-01-01 00:01:00"}
