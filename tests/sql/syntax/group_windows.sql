-- TUMBLE, HOP and SESSION in GROUP BY with their helpers, and named arguments of window table functions.
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
-- @file shops.jsonl
--| {"shop": "x", "town": "Ulm", "since": "2024-01-01 00:00:00"}
--| {"shop": "y", "town": "Bonn", "since": "2024-01-01 00:00:02"}
--| {"shop": "z", "town": "Ulm", "since": "2024-01-01 00:00:09"}
CREATE TABLE bids (ts TIMESTAMP(3), item STRING, shop STRING, price INT, WATERMARK FOR ts AS ts - INTERVAL '1' HOUR)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/bids.jsonl', 'format' = 'json');
CREATE TABLE shops (shop STRING, town STRING, since TIMESTAMP(3), WATERMARK FOR since AS since - INTERVAL '1' HOUR)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/shops.jsonl', 'format' = 'json');

SELECT item, TUMBLE_START(ts, INTERVAL '10' SECOND) AS s, TUMBLE_END(ts, INTERVAL '10' SECOND) AS e, TUMBLE_ROWTIME(ts, INTERVAL '10' SECOND) AS r, SUM(price) AS p FROM bids GROUP BY TUMBLE(ts, INTERVAL '10' SECOND), item;
-- @expect
--| {"op":"+I","item":"a","s":"2024-01-01 00:00:00","e":"2024-01-01 00:00:10","r":"2024-01-01 00:00:09.999","p":37}
--| {"op":"+I","item":"b","s":"2024-01-01 00:00:00","e":"2024-01-01 00:00:10","r":"2024-01-01 00:00:09.999","p":2}
--| {"op":"+I","item":"b","s":"2024-01-01 00:00:10","e":"2024-01-01 00:00:20","r":"2024-01-01 00:00:19.999","p":72}
--| {"op":"+I","item":"a","s":"2024-01-01 00:00:20","e":"2024-01-01 00:00:30","r":"2024-01-01 00:00:29.999","p":16}
--| {"op":"+I","item":"b","s":"2024-01-01 00:00:30","e":"2024-01-01 00:00:40","r":"2024-01-01 00:00:39.999","p":128}

SELECT HOP_START(ts, INTERVAL '10' SECOND, INTERVAL '20' SECOND) AS s, COUNT(*) FROM bids WHERE price > 1 GROUP BY HOP(ts, INTERVAL '10' SECOND, INTERVAL '20' SECOND) HAVING COUNT(*) > 1;
-- @expect
--| {"op":"+I","s":"2023-12-31 23:59:50","EXPR$1":3}
--| {"op":"+I","s":"2024-01-01 00:00:00","EXPR$1":5}
--| {"op":"+I","s":"2024-01-01 00:00:10","EXPR$1":3}
--| {"op":"+I","s":"2024-01-01 00:00:20","EXPR$1":2}

SELECT item, shop, SESSION_START(ts, INTERVAL '5' SECOND), SESSION_END(ts, INTERVAL '5' SECOND), COUNT(*) AS n FROM bids GROUP BY item, shop, SESSION(ts, INTERVAL '5' SECOND);
-- @expect
--| {"op":"+I","item":"a","shop":"x","EXPR$2":"2024-01-01 00:00:01","EXPR$3":"2024-01-01 00:00:06","n":1}
--| {"op":"+I","item":"a","shop":"y","EXPR$2":"2024-01-01 00:00:03","EXPR$3":"2024-01-01 00:00:08","n":1}
--| {"op":"+I","item":"b","shop":"x","EXPR$2":"2024-01-01 00:00:04","EXPR$3":"2024-01-01 00:00:09","n":1}
--| {"op":"+I","item":"a","shop":"y","EXPR$2":"2024-01-01 00:00:09","EXPR$3":"2024-01-01 00:00:14","n":1}
--| {"op":"+I","item":"b","shop":null,"EXPR$2":"2024-01-01 00:00:12","EXPR$3":"2024-01-01 00:00:17","n":1}
--| {"op":"+I","item":"b","shop":"y","EXPR$2":"2024-01-01 00:00:19","EXPR$3":"2024-01-01 00:00:24","n":1}
--| {"op":"+I","item":"a","shop":"x","EXPR$2":"2024-01-01 00:00:25","EXPR$3":"2024-01-01 00:00:30","n":1}
--| {"op":"+I","item":"b","shop":"y","EXPR$2":"2024-01-01 00:00:38","EXPR$3":"2024-01-01 00:00:43","n":1}

SELECT UPPER(item) AS i, SESSION_END(ts, INTERVAL '6' SECOND) AS e, COUNT(*) AS n FROM bids GROUP BY UPPER(item), SESSION(ts, INTERVAL '6' SECOND);
-- @expect
--| {"op":"+I","i":"B","e":"2024-01-01 00:00:10","n":1}
--| {"op":"+I","i":"A","e":"2024-01-01 00:00:15","n":3}
--| {"op":"+I","i":"B","e":"2024-01-01 00:00:18","n":1}
--| {"op":"+I","i":"B","e":"2024-01-01 00:00:25","n":1}
--| {"op":"+I","i":"A","e":"2024-01-01 00:00:31","n":1}
--| {"op":"+I","i":"B","e":"2024-01-01 00:00:44","n":1}

SELECT n, COUNT(*) AS c FROM (SELECT item, COUNT(*) AS n, TUMBLE_ROWTIME(ts, INTERVAL '10' SECOND) AS rt FROM bids GROUP BY item, TUMBLE(ts, INTERVAL '10' SECOND)) GROUP BY n, TUMBLE(rt, INTERVAL '40' SECOND);
-- @expect
--| {"op":"+I","n":3,"c":1}
--| {"op":"+I","n":1,"c":3}
--| {"op":"+I","n":2,"c":1}

SELECT item, COUNT(*) AS n FROM bids GROUP BY TUMBLE(ts, INTERVAL '0 00:00:10' DAY TO SECOND), item;
-- @expect
--| {"op":"+I","item":"a","n":3}
--| {"op":"+I","item":"b","n":1}
--| {"op":"+I","item":"b","n":2}
--| {"op":"+I","item":"a","n":1}
--| {"op":"+I","item":"b","n":1}

SELECT item, COUNT(*) AS n FROM bids GROUP BY item, TUMBLE(ts, INTERVAL '10' SECOND) HAVING TUMBLE_START(ts, INTERVAL '10' SECOND) > TIMESTAMP '2024-01-01 00:00:00';
-- @expect
--| {"op":"+I","item":"b","n":2}
--| {"op":"+I","item":"a","n":1}
--| {"op":"+I","item":"b","n":1}

SELECT item, window_start, COUNT(*) AS n FROM TUMBLE(DATA => TABLE bids, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '00:20' MINUTE TO SECOND, `OFFSET` => INTERVAL '-5' SECOND) GROUP BY item, window_start, window_end;
-- @expect
--| {"op":"+I","item":"a","window_start":"2023-12-31 23:59:55","n":3}
--| {"op":"+I","item":"b","window_start":"2023-12-31 23:59:55","n":2}
--| {"op":"+I","item":"a","window_start":"2024-01-01 00:00:15","n":1}
--| {"op":"+I","item":"b","window_start":"2024-01-01 00:00:15","n":1}
--| {"op":"+I","item":"b","window_start":"2024-01-01 00:00:35","n":1}

SELECT w.item, w.window_end, SUM(w.price) AS p FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '20' SECOND)) AS w WHERE w.price > 1 GROUP BY w.item, w.window_start, w.window_end;
-- @expect
--| {"op":"+I","item":"b","window_end":"2024-01-01 00:00:20","p":74}
--| {"op":"+I","item":"a","window_end":"2024-01-01 00:00:20","p":36}
--| {"op":"+I","item":"a","window_end":"2024-01-01 00:00:40","p":16}
--| {"op":"+I","item":"b","window_end":"2024-01-01 00:00:40","p":128}
