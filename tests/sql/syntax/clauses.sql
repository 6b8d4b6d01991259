-- Names in subqueries, QUALIFY, WINDOW, FETCH, OVERLAPS, IS DISTINCT FROM, intervals of several units.
-- checked against Flink 2.3 (GROUP BY position is ours alone)
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

SELECT shop0, town FROM (SELECT * FROM bids AS a JOIN shops AS b ON a.shop = b.shop WHERE price < 3) AS x;
-- @expect
--| {"op":"+I","shop0":"x","town":"Ulm"}
--| {"op":"+I","shop0":"x","town":"Ulm"}

SELECT price + 1, UPPER(item), price FROM bids WHERE price < 3;
-- @expect
--| {"op":"+I","EXPR$0":2,"EXPR$1":"A","price":1}
--| {"op":"+I","EXPR$0":3,"EXPR$1":"B","price":2}

SELECT item, price FROM bids QUALIFY ROW_NUMBER() OVER (PARTITION BY item ORDER BY price DESC) = 1;
-- @expect
--| {"op":"+I","item":"a","price":32}
--| {"op":"+I","item":"b","price":128}

SELECT item, price FROM (SELECT *, ROW_NUMBER() OVER w AS rn FROM bids WINDOW w AS (PARTITION BY item ORDER BY price DESC)) WHERE rn <= 2;
-- @expect
--| {"op":"+I","item":"a","price":32}
--| {"op":"+I","item":"a","price":16}
--| {"op":"+I","item":"b","price":128}
--| {"op":"+I","item":"b","price":64}

SELECT item, price FROM bids ORDER BY price DESC FETCH FIRST 2 ROWS ONLY;
-- @expect
--| {"op":"+I","item":"b","price":128}
--| {"op":"+I","item":"b","price":64}

SELECT item, price FROM bids ORDER BY price LIMIT 2 OFFSET 1;
-- @expect
--| {"op":"+I","item":"b","price":2}
--| {"op":"+I","item":"a","price":4}

SELECT item FROM bids WHERE (ts, INTERVAL '5' SECOND) OVERLAPS (TIMESTAMP '2024-01-01 00:00:14', TIMESTAMP '2024-01-01 00:00:09');
-- @expect
--| {"op":"+I","item":"b"}
--| {"op":"+I","item":"a"}
--| {"op":"+I","item":"b"}

SELECT item FROM bids WHERE (ts, ts) OVERLAPS (TIMESTAMP '2024-01-01 00:00:25', INTERVAL '1' SECOND);
-- @expect
--| {"op":"+I","item":"a"}

SELECT item, price FROM bids WHERE shop IS NOT DISTINCT FROM 'x' AND price > 1;
-- @expect
--| {"op":"+I","item":"b","price":2}
--| {"op":"+I","item":"a","price":16}

SELECT ts + INTERVAL '1 10:00:00' DAY TO SECOND AS a, ts + INTERVAL '01:30' HOUR TO MINUTE AS b, ts - INTERVAL '1-2' YEAR TO MONTH AS c FROM bids WHERE price = 1;
-- @expect
--| {"op":"+I","a":"2024-01-02 10:00:01","b":"2024-01-01 01:30:01","c":"2022-11-01 00:00:01"}

SELECT item, SUM(price) OVER w AS s FROM bids WINDOW w AS (PARTITION BY item ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW);
-- @expect
--| {"op":"+I","item":"a","s":1}
--| {"op":"+I","item":"a","s":33}
--| {"op":"+I","item":"b","s":2}
--| {"op":"+I","item":"a","s":36}
--| {"op":"+I","item":"b","s":10}
--| {"op":"+I","item":"b","s":72}
--| {"op":"+I","item":"a","s":20}
--| {"op":"+I","item":"b","s":192}

SELECT window_start, item, COUNT(*) AS n FROM TABLE(SESSION(TABLE bids PARTITION BY (item, shop), DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY window_start, window_end, item, shop;
-- @expect
--| {"op":"+I","window_start":"2024-01-01 00:00:01","item":"a","n":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:03","item":"a","n":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:04","item":"b","n":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:09","item":"a","n":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:12","item":"b","n":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:19","item":"b","n":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:25","item":"a","n":1}
--| {"op":"+I","window_start":"2024-01-01 00:00:38","item":"b","n":1}

SELECT item AS i, COUNT(*) AS n FROM bids GROUP BY 1;
-- @expect
--| {"op":"+I","i":"a","n":4}
--| {"op":"+I","i":"b","n":4}

SELECT /*+ STATE_TTL('bids'='1d') */ item, SUM(price) AS s FROM bids GROUP BY item;
-- @expect
--| {"op":"+I","item":"a","s":53}
--| {"op":"+I","item":"b","s":202}

SELECT /*+ STATE_TTL('bid'='1d') */ item, SUM(price) AS s FROM bids GROUP BY item;
-- @error
--| hint STATE_TTL names 'bid', which is no table of its query block
