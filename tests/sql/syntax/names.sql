-- Columns that are named twice are numbered.
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

SELECT item, item, price AS item FROM bids WHERE price < 3;
-- @expect
--| {"op":"+I","item":"a","item0":"a","item1":1}
--| {"op":"+I","item":"b","item0":"b","item1":2}

SELECT * FROM bids JOIN shops ON bids.shop = shops.shop WHERE price < 3;
-- @expect
--| {"op":"+I","ts":"2024-01-01 00:00:01","item":"a","shop":"x","price":1,"shop0":"x","town":"Ulm","since":"2024-01-01 00:00:00"}
--| {"op":"+I","ts":"2024-01-01 00:00:04","item":"b","shop":"x","price":2,"shop0":"x","town":"Ulm","since":"2024-01-01 00:00:00"}
