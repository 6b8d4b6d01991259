-- Windows over rows that change: what was taken back before the window closed does not count.
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

SELECT window_start, window_end, SUM(v) AS s, MIN(v) AS m
FROM TABLE(HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
-- @expect

SELECT k, window_start, window_end, SUM(v) AS s
FROM TABLE(CUMULATE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '20' SECOND)) GROUP BY k, window_start, window_end;
-- @expect

SELECT k, window_start, window_end, SUM(v) AS s, COUNT(*) AS n
FROM TABLE(SESSION(TABLE orders PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY k, window_start, window_end;
-- @expect

SELECT TUMBLE_START(ts, INTERVAL '10' SECOND) AS ws, k, SUM(v) AS s FROM orders GROUP BY k, TUMBLE(ts, INTERVAL '10' SECOND);
-- @expect

SELECT id, v, window_start FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND));
-- @expect
