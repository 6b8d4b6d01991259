-- Windows over windows, grouping sets, late rows, changing input, columns computed on the way.
-- checked against Flink 2.3
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
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","item":"a","shop":"x","s":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","item":"b","shop":"x","s":2}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","item":"a","shop":"y","s":36}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","item":"b","shop":null,"s":8}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","item":"b","shop":"y","s":64}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","item":"a","shop":null,"s":37}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","item":"b","shop":null,"s":74}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","item":null,"shop":null,"s":111}
--| {"op":"+I","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","item":"a","shop":"x","s":16}
--| {"op":"+I","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","item":"b","shop":"y","s":128}
--| {"op":"+I","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","item":"a","shop":null,"s":16}
--| {"op":"+I","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","item":"b","shop":null,"s":128}
--| {"op":"+I","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","item":null,"shop":null,"s":144}

SELECT window_start, window_end, item, SUM(price) AS s, GROUPING(item) AS g
FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '20' SECOND))
GROUP BY window_start, window_end, ROLLUP (item);
-- @expect
--| {"op":"+I","window_start":"2023-12-31 23:59:50","window_end":"2024-01-01 00:00:10","item":null,"s":39,"g":1}
--| {"op":"+I","window_start":"2023-12-31 23:59:50","window_end":"2024-01-01 00:00:10","item":"a","s":37,"g":0}
--| {"op":"+I","window_start":"2023-12-31 23:59:50","window_end":"2024-01-01 00:00:10","item":"b","s":2,"g":0}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","item":null,"s":111,"g":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","item":"a","s":37,"g":0}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","item":"b","s":74,"g":0}
--| {"op":"+I","window_start":"2024-01-01 00:00:10","window_end":"2024-01-01 00:00:30","item":null,"s":88,"g":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:10","window_end":"2024-01-01 00:00:30","item":"b","s":72,"g":0}
--| {"op":"+I","window_start":"2024-01-01 00:00:10","window_end":"2024-01-01 00:00:30","item":"a","s":16,"g":0}
--| {"op":"+I","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","item":null,"s":144,"g":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","item":"a","s":16,"g":0}
--| {"op":"+I","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","item":"b","s":128,"g":0}
--| {"op":"+I","window_start":"2024-01-01 00:00:30","window_end":"2024-01-01 00:00:50","item":null,"s":128,"g":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:30","window_end":"2024-01-01 00:00:50","item":"b","s":128,"g":0}

SELECT window_start, window_end, item, shop, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, CUBE (item, shop);
-- @expect
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:01:00","item":null,"shop":null,"n":8}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:01:00","item":"a","shop":null,"n":4}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:01:00","item":"b","shop":null,"n":4}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:01:00","item":null,"shop":"x","n":3}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:01:00","item":null,"shop":"y","n":4}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:01:00","item":null,"shop":null,"n":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:01:00","item":"a","shop":"x","n":2}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:01:00","item":"b","shop":"x","n":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:01:00","item":"a","shop":"y","n":2}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:01:00","item":"b","shop":null,"n":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:01:00","item":"b","shop":"y","n":2}

-- Five seconds by item, then twenty of all.
CREATE VIEW small (ws, we, t, item, s) AS SELECT window_start, window_end, window_time, item, SUM(price)
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY window_start, window_end, window_time, item;
SELECT window_start, window_end, SUM(s) AS total, COUNT(*) AS parts
FROM TABLE(TUMBLE(TABLE small, DESCRIPTOR(t), INTERVAL '20' SECOND)) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","total":111,"parts":5}
--| {"op":"+I","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","total":144,"parts":2}

-- The windows of an aggregation, aggregated again.
SELECT ws, we, MAX(s) AS most FROM small GROUP BY ws, we;
-- @expect
--| {"op":"+I","ws":"2024-01-01 00:00:00","we":"2024-01-01 00:00:05","most":33}
--| {"op":"+I","ws":"2024-01-01 00:00:05","we":"2024-01-01 00:00:10","most":4}
--| {"op":"+I","ws":"2024-01-01 00:00:10","we":"2024-01-01 00:00:15","most":8}
--| {"op":"+I","ws":"2024-01-01 00:00:15","we":"2024-01-01 00:00:20","most":64}
--| {"op":"+I","ws":"2024-01-01 00:00:25","we":"2024-01-01 00:00:30","most":16}
--| {"op":"+I","ws":"2024-01-01 00:00:35","we":"2024-01-01 00:00:40","most":128}

-- Only one of the two columns: a running aggregation. (The same final rows as Flink, with fewer updates.)
SELECT window_end, SUM(price) AS s FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '20' SECOND)) GROUP BY window_end;
-- @expect
--| {"op":"+I","window_end":"2024-01-01 00:00:20","s":111}
--| {"op":"+I","window_end":"2024-01-01 00:00:40","s":144}

-- A window column as an argument.
SELECT window_start, window_end, MAX(window_end) AS e, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '20' SECOND)) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","e":"2024-01-01 00:00:20","n":6}
--| {"op":"+I","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","e":"2024-01-01 00:00:40","n":2}

SELECT item, TUMBLE_START(ts, INTERVAL '20' SECOND) AS ws, TUMBLE_ROWTIME(ts, INTERVAL '20' SECOND) AS rt, COUNT(*) AS n
FROM bids GROUP BY item, TUMBLE(ts, INTERVAL '20' SECOND);
-- @expect
--| {"op":"+I","item":"a","ws":"2024-01-01 00:00:00","rt":"2024-01-01 00:00:19.999","n":3}
--| {"op":"+I","item":"b","ws":"2024-01-01 00:00:00","rt":"2024-01-01 00:00:19.999","n":3}
--| {"op":"+I","item":"a","ws":"2024-01-01 00:00:20","rt":"2024-01-01 00:00:39.999","n":1}
--| {"op":"+I","item":"b","ws":"2024-01-01 00:00:20","rt":"2024-01-01 00:00:39.999","n":1}

SELECT HOP_START(ts, INTERVAL '10' SECOND, INTERVAL '20' SECOND) AS ws, HOP_END(ts, INTERVAL '10' SECOND, INTERVAL '20' SECOND) AS we, SUM(price) AS s
FROM bids GROUP BY HOP(ts, INTERVAL '10' SECOND, INTERVAL '20' SECOND);
-- @expect
--| {"op":"+I","ws":"2023-12-31 23:59:50","we":"2024-01-01 00:00:10","s":39}
--| {"op":"+I","ws":"2024-01-01 00:00:00","we":"2024-01-01 00:00:20","s":111}
--| {"op":"+I","ws":"2024-01-01 00:00:10","we":"2024-01-01 00:00:30","s":88}
--| {"op":"+I","ws":"2024-01-01 00:00:20","we":"2024-01-01 00:00:40","s":144}
--| {"op":"+I","ws":"2024-01-01 00:00:30","we":"2024-01-01 00:00:50","s":128}

SELECT DISTINCT window_start, window_end, shop FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '20' SECOND));
-- @expect
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","shop":"x"}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","shop":"y"}
--| {"op":"+I","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:20","shop":null}
--| {"op":"+I","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","shop":"x"}
--| {"op":"+I","window_start":"2024-01-01 00:00:20","window_end":"2024-01-01 00:00:40","shop":"y"}
