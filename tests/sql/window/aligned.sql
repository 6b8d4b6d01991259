-- TUMBLE, HOP and CUMULATE: rows with their windows, aggregates, offsets, times before 1970.
-- @file bids.jsonl
--| {"ts": "2020-04-15 08:05:00", "item": "C", "price": 4}
--| {"ts": "2020-04-15 08:07:00", "item": "A", "price": 2}
--| {"ts": "2020-04-15 08:09:59.999", "item": "C", "price": 5}
--| {"ts": "2020-04-15 08:10:00", "item": "B", "price": 3}
--| {"ts": "2020-04-15 08:13:00", "item": null, "price": 1}
--| {"ts": "2020-04-15 08:11:00", "item": "A", "price": 7}
--| {"ts": "2020-04-15 08:17:00", "item": null, "price": null}
--| {"ts": "2020-04-15 08:41:00", "item": "A", "price": 6}
CREATE TABLE bids (ts TIMESTAMP(3), item STRING, price BIGINT, WATERMARK FOR ts AS ts - INTERVAL '5' MINUTE)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/bids.jsonl', 'format' = 'json');

SELECT item, price, window_start, window_end, window_time FROM TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE);
-- @expect

SELECT * FROM TABLE(HOP(DATA => TABLE bids, TIMECOL => DESCRIPTOR(ts), SLIDE => INTERVAL '5' MINUTE, SIZE => INTERVAL '10' MINUTE)) WHERE price > 4;
-- @expect

SELECT price, window_start, window_end FROM TABLE(CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '30' MINUTE)) WHERE item = 'A';
-- @expect

SELECT window_start, window_end, item, COUNT(*) AS n, SUM(price) AS total, MAX(price) AS most
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) GROUP BY window_start, window_end, item;
-- @expect

SELECT window_start, window_end, SUM(price) AS total
FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '10' MINUTE)) GROUP BY window_start, window_end;
-- @expect

SELECT item, window_end, window_start, SUM(price) AS total, COUNT(price) AS n, AVG(price) AS mean
FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '30' MINUTE)) GROUP BY item, window_end, window_start;
-- @expect

SELECT window_start, window_end, item, SUM(price) AS total
FROM TABLE(CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '30' MINUTE)) GROUP BY window_start, window_end, item;
-- @expect

SELECT window_start, window_end, SUM(price) AS total
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
-- @expect

SELECT window_start, window_end, SUM(price) AS total
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '-3' MINUTE)) GROUP BY window_start, window_end;
-- @expect

SELECT window_start, window_end, COUNT(DISTINCT item) AS items, MIN(price) FILTER (WHERE price > 2) AS least
FROM TABLE(CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '20' MINUTE, INTERVAL '5' MINUTE)) GROUP BY window_start, window_end;
-- @expect

-- Only the window, no aggregate.
SELECT window_start, window_end FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) GROUP BY window_start, window_end;
-- @expect

-- Expressions, a condition and HAVING around the windows.
SELECT LOWER(i) AS low, window_end, p FROM (
  SELECT i, window_start, window_end, SUM(twice) AS p FROM (
    SELECT COALESCE(item, 'none') AS i, price * 2 AS twice, window_start, window_end, window_time
    FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) WHERE price < 7) AS t
  GROUP BY i, window_start, window_end HAVING SUM(twice) > 4);
-- @expect

-- @file early.jsonl
--| {"ts": "1969-12-31 23:59:58.500", "v": 1}
--| {"ts": "1969-12-31 23:59:59.999", "v": 2}
--| {"ts": "1970-01-01 00:00:00", "v": 4}
--| {"ts": "1970-01-01 00:00:00.999", "v": 8}
--| {"ts": "1970-01-01 00:00:01", "v": 16}
CREATE TABLE early (ts TIMESTAMP(3), v INT, WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/early.jsonl', 'format' = 'json');

SELECT window_start, window_end, window_time, SUM(v) AS s FROM TABLE(TUMBLE(TABLE early, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY window_start, window_end, window_time;
-- @expect

SELECT window_start, window_end, SUM(v) AS s FROM TABLE(HOP(TABLE early, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '2' SECOND)) GROUP BY window_start, window_end;
-- @expect
