-- Windows over windows, grouping sets, late rows, changing input, columns computed on the way.
-- @file bids.jsonl
--| {"ts": "2024-01-01 00:00:01", "item": "a", "shop": "x", "price": 1}
--| {"ts": "2024-01-01 00:00:04", "item": "b", "shop": "x", "price": 2}
--| {"ts": "2024-01-01 00:00:09", "item": "a", "shop": "y", "price": 4}
--| {"ts": "2024-01-01 00:00:12", "item": "b", "shop": null, "price": 8}
--| {"ts": "2024-01-01 00:00:25", "item": "a", "shop": "x", "price": 16}
--| {"ts": "2024-01-01 00:00:03", "item": "a", "shop": "y", "price": 32}
--| {"ts": "2024-01-01 00:00:19", "item": "b", "shop": "y", "price": 64}
--| {"ts": "2024-01-01 00:00:38", "item": "b", "shop": "y", "price": 128}
CREATE TABLE bids (ts TIMESTAMP(3), item STRING, shop STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '1' HOUR)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/bids.jsonl', 'format' = 'json');

SELECT window_start, window_end, item, shop, SUM(price) AS s
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '20' SECOND))
GROUP BY GROUPING SETS ((window_start, window_end, item, shop), (window_start, window_end, item), (window_start, window_end));
-- @expect

SELECT window_start, window_end, item, SUM(price) AS s, GROUPING(item) AS g
FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '20' SECOND))
GROUP BY window_start, window_end, ROLLUP (item);
-- @expect

SELECT window_start, window_end, item, shop, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, CUBE (item, shop);
-- @expect

-- Five seconds by item, then twenty of all.
CREATE VIEW small (ws, we, t, item, s) AS SELECT window_start, window_end, window_time, item, SUM(price)
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY window_start, window_end, window_time, item;
SELECT window_start, window_end, SUM(s) AS total, COUNT(*) AS parts
FROM TABLE(TUMBLE(TABLE small, DESCRIPTOR(t), INTERVAL '20' SECOND)) GROUP BY window_start, window_end;
-- @expect

-- The windows of an aggregation, aggregated again.
SELECT ws, we, MAX(s) AS most FROM small GROUP BY ws, we;
-- @expect

-- Only one of the two columns: a running count.
SELECT window_end, SUM(price) AS s FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '20' SECOND)) GROUP BY window_end;
-- @expect

-- A window column as an argument.
SELECT window_start, window_end, MAX(window_end) AS e, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '20' SECOND)) GROUP BY window_start, window_end;
-- @expect

SELECT item, TUMBLE_START(ts, INTERVAL '20' SECOND) AS ws, TUMBLE_ROWTIME(ts, INTERVAL '20' SECOND) AS rt, COUNT(*) AS n
FROM bids GROUP BY item, TUMBLE(ts, INTERVAL '20' SECOND);
-- @expect

SELECT HOP_START(ts, INTERVAL '10' SECOND, INTERVAL '20' SECOND) AS ws, HOP_END(ts, INTERVAL '10' SECOND, INTERVAL '20' SECOND) AS we, SUM(price) AS s
FROM bids GROUP BY HOP(ts, INTERVAL '10' SECOND, INTERVAL '20' SECOND);
-- @expect

SELECT DISTINCT window_start, window_end, shop FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '20' SECOND));
-- @expect
