-- Windows over rows that change: what was taken back before the window closed does not count.
-- checked against Flink 2.3
-- @file orders.jsonl
--| {"op": "c", "before": null, "after": {"id": 1, "ts": "2024-01-01 00:00:01", "k": "a", "v": 1}}
--| {"op": "c", "before": null, "after": {"id": 2, "ts": "2024-01-01 00:00:02", "k": "a", "v": 2}}
--| {"op": "c", "before": null, "after": {"id": 3, "ts": "2024-01-01 00:00:03", "k": "b", "v": 4}}
--| {"op": "u", "before": {"id": 2, "ts": "2024-01-01 00:00:02", "k": "a", "v": 2}, "after": {"id": 2, "ts": "2024-01-01 00:00:02", "k": "a", "v": 20}}
--| {"op": "d", "before": {"id": 3, "ts": "2024-01-01 00:00:03", "k": "b", "v": 4}, "after": null}
--| {"op": "u", "before": {"id": 1, "ts": "2024-01-01 00:00:01", "k": "a", "v": 1}, "after": {"id": 1, "ts": "2024-01-01 00:00:14", "k": "a", "v": 7}}
--| {"op": "c", "before": null, "after": {"id": 4, "ts": "2024-01-01 00:00:16", "k": "b", "v": 8}}
CREATE TABLE orders (id INT, ts TIMESTAMP(3), k STRING, v INT, WATERMARK FOR ts AS ts - INTERVAL '1' HOUR)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/orders.jsonl', 'format' = 'debezium-json');

SELECT k, window_start, window_end, COUNT(*) AS n, SUM(v) AS s, MAX(v) AS m
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end;
-- @expect
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:10","n":1,"s":20,"m":20}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:10","window_end":"2024-01-01 00:00:20","n":1,"s":7,"m":7}
--| {"op":"+I","k":"b","window_start":"2024-01-01 00:00:10","window_end":"2024-01-01 00:00:20","n":1,"s":8,"m":8}

SELECT window_start, window_end, SUM(v) AS s, MIN(v) AS m
FROM TABLE(HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"2023-12-31 23:59:55","window_end":"2024-01-01 00:00:05","s":20,"m":20}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:10","s":20,"m":20}
--| {"op":"+I","window_start":"2024-01-01 00:00:05","window_end":"2024-01-01 00:00:15","s":7,"m":7}
--| {"op":"+I","window_start":"2024-01-01 00:00:10","window_end":"2024-01-01 00:00:20","s":15,"m":7}
--| {"op":"+I","window_start":"2024-01-01 00:00:15","window_end":"2024-01-01 00:00:25","s":8,"m":8}

SELECT k, window_start, window_end, SUM(v) AS s
FROM TABLE(CUMULATE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '20' SECOND)) GROUP BY k, window_start, window_end;
-- @expect
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:10","s":20}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","s":27}
--| {"op":"+I","k":"b","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","s":8}

SELECT k, window_start, window_end, SUM(v) AS s, COUNT(*) AS n
FROM TABLE(SESSION(TABLE orders PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY k, window_start, window_end;
-- @expect
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:01","window_end":"2024-01-01 00:00:07","s":20,"n":1}
--| {"op":"+I","k":"a","window_start":"2024-01-01 00:00:14","window_end":"2024-01-01 00:00:19","s":7,"n":1}
--| {"op":"+I","k":"b","window_start":"2024-01-01 00:00:16","window_end":"2024-01-01 00:00:21","s":8,"n":1}

SELECT TUMBLE_START(ts, INTERVAL '10' SECOND) AS ws, k, SUM(v) AS s FROM orders GROUP BY k, TUMBLE(ts, INTERVAL '10' SECOND);
-- @expect
--| {"op":"+I","ws":"2024-01-01 00:00:00","k":"a","s":20}
--| {"op":"+I","ws":"2024-01-01 00:00:10","k":"a","s":7}
--| {"op":"+I","ws":"2024-01-01 00:00:10","k":"b","s":8}

SELECT id, v, window_start FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND));
-- @expect
--| {"op":"+I","id":1,"v":1,"window_start":"2024-01-01 00:00:00"}
--| {"op":"+I","id":2,"v":2,"window_start":"2024-01-01 00:00:00"}
--| {"op":"+I","id":3,"v":4,"window_start":"2024-01-01 00:00:00"}
--| {"op":"-U","id":2,"v":2,"window_start":"2024-01-01 00:00:00"}
--| {"op":"+U","id":2,"v":20,"window_start":"2024-01-01 00:00:00"}
--| {"op":"-D","id":3,"v":4,"window_start":"2024-01-01 00:00:00"}
--| {"op":"-U","id":1,"v":1,"window_start":"2024-01-01 00:00:00"}
--| {"op":"+U","id":1,"v":7,"window_start":"2024-01-01 00:00:10"}
--| {"op":"+I","id":4,"v":8,"window_start":"2024-01-01 00:00:10"}

-- In windows that overlap, and in sessions, a row and what it was before do not stand next to each other any more:
-- rows are put in and taken out by themselves. (Flink gives the same rows as -U and +U.)
SELECT id, v, window_start FROM TABLE(HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND)) WHERE id IN (1, 3);
-- @expect
--| {"op":"+I","id":1,"v":1,"window_start":"2023-12-31 23:59:55"}
--| {"op":"+I","id":1,"v":1,"window_start":"2024-01-01 00:00:00"}
--| {"op":"+I","id":3,"v":4,"window_start":"2023-12-31 23:59:55"}
--| {"op":"+I","id":3,"v":4,"window_start":"2024-01-01 00:00:00"}
--| {"op":"-D","id":3,"v":4,"window_start":"2023-12-31 23:59:55"}
--| {"op":"-D","id":3,"v":4,"window_start":"2024-01-01 00:00:00"}
--| {"op":"-D","id":1,"v":1,"window_start":"2023-12-31 23:59:55"}
--| {"op":"-D","id":1,"v":1,"window_start":"2024-01-01 00:00:00"}
--| {"op":"+I","id":1,"v":7,"window_start":"2024-01-01 00:00:05"}
--| {"op":"+I","id":1,"v":7,"window_start":"2024-01-01 00:00:10"}

SELECT id, v, window_start FROM TABLE(SESSION(TABLE orders PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' SECOND));
-- @expect
--| {"op":"+I","id":1,"v":1,"window_start":"2024-01-01 00:00:01"}
--| {"op":"+I","id":2,"v":2,"window_start":"2024-01-01 00:00:01"}
--| {"op":"-D","id":2,"v":2,"window_start":"2024-01-01 00:00:01"}
--| {"op":"+I","id":2,"v":20,"window_start":"2024-01-01 00:00:01"}
--| {"op":"-D","id":1,"v":1,"window_start":"2024-01-01 00:00:01"}
--| {"op":"+I","id":3,"v":4,"window_start":"2024-01-01 00:00:03"}
--| {"op":"-D","id":3,"v":4,"window_start":"2024-01-01 00:00:03"}
--| {"op":"+I","id":1,"v":7,"window_start":"2024-01-01 00:00:14"}
--| {"op":"+I","id":4,"v":8,"window_start":"2024-01-01 00:00:16"}
