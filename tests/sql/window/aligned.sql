-- TUMBLE, HOP and CUMULATE: rows with their windows, aggregates, offsets, times before 1970.
-- checked against Flink 2.3
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
--| {"op":"+I","item":"C","price":4,"window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:10:00","window_time":"2020-04-15 08:09:59.999"}
--| {"op":"+I","item":"A","price":2,"window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:10:00","window_time":"2020-04-15 08:09:59.999"}
--| {"op":"+I","item":"C","price":5,"window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:10:00","window_time":"2020-04-15 08:09:59.999"}
--| {"op":"+I","item":"B","price":3,"window_start":"2020-04-15 08:10:00","window_end":"2020-04-15 08:20:00","window_time":"2020-04-15 08:19:59.999"}
--| {"op":"+I","item":null,"price":1,"window_start":"2020-04-15 08:10:00","window_end":"2020-04-15 08:20:00","window_time":"2020-04-15 08:19:59.999"}
--| {"op":"+I","item":"A","price":7,"window_start":"2020-04-15 08:10:00","window_end":"2020-04-15 08:20:00","window_time":"2020-04-15 08:19:59.999"}
--| {"op":"+I","item":null,"price":null,"window_start":"2020-04-15 08:10:00","window_end":"2020-04-15 08:20:00","window_time":"2020-04-15 08:19:59.999"}
--| {"op":"+I","item":"A","price":6,"window_start":"2020-04-15 08:40:00","window_end":"2020-04-15 08:50:00","window_time":"2020-04-15 08:49:59.999"}

SELECT * FROM TABLE(HOP(DATA => TABLE bids, TIMECOL => DESCRIPTOR(ts), SLIDE => INTERVAL '5' MINUTE, SIZE => INTERVAL '10' MINUTE)) WHERE price > 4;
-- @expect
--| {"op":"+I","ts":"2020-04-15 08:09:59.999","item":"C","price":5,"window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:10:00","window_time":"2020-04-15 08:09:59.999"}
--| {"op":"+I","ts":"2020-04-15 08:09:59.999","item":"C","price":5,"window_start":"2020-04-15 08:05:00","window_end":"2020-04-15 08:15:00","window_time":"2020-04-15 08:14:59.999"}
--| {"op":"+I","ts":"2020-04-15 08:11:00","item":"A","price":7,"window_start":"2020-04-15 08:05:00","window_end":"2020-04-15 08:15:00","window_time":"2020-04-15 08:14:59.999"}
--| {"op":"+I","ts":"2020-04-15 08:11:00","item":"A","price":7,"window_start":"2020-04-15 08:10:00","window_end":"2020-04-15 08:20:00","window_time":"2020-04-15 08:19:59.999"}
--| {"op":"+I","ts":"2020-04-15 08:41:00","item":"A","price":6,"window_start":"2020-04-15 08:35:00","window_end":"2020-04-15 08:45:00","window_time":"2020-04-15 08:44:59.999"}
--| {"op":"+I","ts":"2020-04-15 08:41:00","item":"A","price":6,"window_start":"2020-04-15 08:40:00","window_end":"2020-04-15 08:50:00","window_time":"2020-04-15 08:49:59.999"}

SELECT price, window_start, window_end FROM TABLE(CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '30' MINUTE)) WHERE item = 'A';
-- @expect
--| {"op":"+I","price":2,"window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:10:00"}
--| {"op":"+I","price":2,"window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:20:00"}
--| {"op":"+I","price":2,"window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:30:00"}
--| {"op":"+I","price":7,"window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:20:00"}
--| {"op":"+I","price":7,"window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:30:00"}
--| {"op":"+I","price":6,"window_start":"2020-04-15 08:30:00","window_end":"2020-04-15 08:50:00"}
--| {"op":"+I","price":6,"window_start":"2020-04-15 08:30:00","window_end":"2020-04-15 09:00:00"}

SELECT window_start, window_end, item, COUNT(*) AS n, SUM(price) AS total, MAX(price) AS most
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) GROUP BY window_start, window_end, item;
-- @expect
--| {"op":"+I","window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:10:00","item":"C","n":2,"total":9,"most":5}
--| {"op":"+I","window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:10:00","item":"A","n":1,"total":2,"most":2}
--| {"op":"+I","window_start":"2020-04-15 08:10:00","window_end":"2020-04-15 08:20:00","item":"B","n":1,"total":3,"most":3}
--| {"op":"+I","window_start":"2020-04-15 08:10:00","window_end":"2020-04-15 08:20:00","item":null,"n":2,"total":1,"most":1}
--| {"op":"+I","window_start":"2020-04-15 08:10:00","window_end":"2020-04-15 08:20:00","item":"A","n":1,"total":7,"most":7}
--| {"op":"+I","window_start":"2020-04-15 08:40:00","window_end":"2020-04-15 08:50:00","item":"A","n":1,"total":6,"most":6}

SELECT window_start, window_end, SUM(price) AS total
FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '10' MINUTE)) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:10:00","total":11}
--| {"op":"+I","window_start":"2020-04-15 08:05:00","window_end":"2020-04-15 08:15:00","total":22}
--| {"op":"+I","window_start":"2020-04-15 08:10:00","window_end":"2020-04-15 08:20:00","total":11}
--| {"op":"+I","window_start":"2020-04-15 08:15:00","window_end":"2020-04-15 08:25:00","total":null}
--| {"op":"+I","window_start":"2020-04-15 08:35:00","window_end":"2020-04-15 08:45:00","total":6}
--| {"op":"+I","window_start":"2020-04-15 08:40:00","window_end":"2020-04-15 08:50:00","total":6}

SELECT item, window_end, window_start, SUM(price) AS total, COUNT(price) AS n, AVG(price) AS mean
FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '30' MINUTE)) GROUP BY item, window_end, window_start;
-- @expect
--| {"op":"+I","item":"C","window_end":"2020-04-15 08:10:00","window_start":"2020-04-15 07:40:00","total":9,"n":2,"mean":4}
--| {"op":"+I","item":"A","window_end":"2020-04-15 08:10:00","window_start":"2020-04-15 07:40:00","total":2,"n":1,"mean":2}
--| {"op":"+I","item":"C","window_end":"2020-04-15 08:20:00","window_start":"2020-04-15 07:50:00","total":9,"n":2,"mean":4}
--| {"op":"+I","item":"A","window_end":"2020-04-15 08:20:00","window_start":"2020-04-15 07:50:00","total":9,"n":2,"mean":4}
--| {"op":"+I","item":"B","window_end":"2020-04-15 08:20:00","window_start":"2020-04-15 07:50:00","total":3,"n":1,"mean":3}
--| {"op":"+I","item":null,"window_end":"2020-04-15 08:20:00","window_start":"2020-04-15 07:50:00","total":1,"n":1,"mean":1}
--| {"op":"+I","item":"C","window_end":"2020-04-15 08:30:00","window_start":"2020-04-15 08:00:00","total":9,"n":2,"mean":4}
--| {"op":"+I","item":"A","window_end":"2020-04-15 08:30:00","window_start":"2020-04-15 08:00:00","total":9,"n":2,"mean":4}
--| {"op":"+I","item":"B","window_end":"2020-04-15 08:30:00","window_start":"2020-04-15 08:00:00","total":3,"n":1,"mean":3}
--| {"op":"+I","item":null,"window_end":"2020-04-15 08:30:00","window_start":"2020-04-15 08:00:00","total":1,"n":1,"mean":1}
--| {"op":"+I","item":"B","window_end":"2020-04-15 08:40:00","window_start":"2020-04-15 08:10:00","total":3,"n":1,"mean":3}
--| {"op":"+I","item":null,"window_end":"2020-04-15 08:40:00","window_start":"2020-04-15 08:10:00","total":1,"n":1,"mean":1}
--| {"op":"+I","item":"A","window_end":"2020-04-15 08:40:00","window_start":"2020-04-15 08:10:00","total":7,"n":1,"mean":7}
--| {"op":"+I","item":"A","window_end":"2020-04-15 08:50:00","window_start":"2020-04-15 08:20:00","total":6,"n":1,"mean":6}
--| {"op":"+I","item":"A","window_end":"2020-04-15 09:00:00","window_start":"2020-04-15 08:30:00","total":6,"n":1,"mean":6}
--| {"op":"+I","item":"A","window_end":"2020-04-15 09:10:00","window_start":"2020-04-15 08:40:00","total":6,"n":1,"mean":6}

SELECT window_start, window_end, item, SUM(price) AS total
FROM TABLE(CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '30' MINUTE)) GROUP BY window_start, window_end, item;
-- @expect
--| {"op":"+I","window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:10:00","item":"C","total":9}
--| {"op":"+I","window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:10:00","item":"A","total":2}
--| {"op":"+I","window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:20:00","item":"C","total":9}
--| {"op":"+I","window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:20:00","item":"A","total":9}
--| {"op":"+I","window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:20:00","item":"B","total":3}
--| {"op":"+I","window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:20:00","item":null,"total":1}
--| {"op":"+I","window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:30:00","item":"C","total":9}
--| {"op":"+I","window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:30:00","item":"A","total":9}
--| {"op":"+I","window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:30:00","item":"B","total":3}
--| {"op":"+I","window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:30:00","item":null,"total":1}
--| {"op":"+I","window_start":"2020-04-15 08:30:00","window_end":"2020-04-15 08:50:00","item":"A","total":6}
--| {"op":"+I","window_start":"2020-04-15 08:30:00","window_end":"2020-04-15 09:00:00","item":"A","total":6}

SELECT window_start, window_end, SUM(price) AS total
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"2020-04-15 08:01:00","window_end":"2020-04-15 08:11:00","total":14}
--| {"op":"+I","window_start":"2020-04-15 08:11:00","window_end":"2020-04-15 08:21:00","total":8}
--| {"op":"+I","window_start":"2020-04-15 08:41:00","window_end":"2020-04-15 08:51:00","total":6}

SELECT window_start, window_end, SUM(price) AS total
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '-3' MINUTE)) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"2020-04-15 07:57:00","window_end":"2020-04-15 08:07:00","total":4}
--| {"op":"+I","window_start":"2020-04-15 08:07:00","window_end":"2020-04-15 08:17:00","total":18}
--| {"op":"+I","window_start":"2020-04-15 08:17:00","window_end":"2020-04-15 08:27:00","total":null}
--| {"op":"+I","window_start":"2020-04-15 08:37:00","window_end":"2020-04-15 08:47:00","total":6}

SELECT window_start, window_end, COUNT(DISTINCT item) AS items, MIN(price) FILTER (WHERE price > 2) AS least
FROM TABLE(CUMULATE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '20' MINUTE, INTERVAL '5' MINUTE)) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"2020-04-15 08:05:00","window_end":"2020-04-15 08:15:00","items":3,"least":3}
--| {"op":"+I","window_start":"2020-04-15 08:05:00","window_end":"2020-04-15 08:25:00","items":3,"least":3}
--| {"op":"+I","window_start":"2020-04-15 08:25:00","window_end":"2020-04-15 08:45:00","items":1,"least":6}

-- Only the window, no aggregate.
SELECT window_start, window_end FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"2020-04-15 08:00:00","window_end":"2020-04-15 08:10:00"}
--| {"op":"+I","window_start":"2020-04-15 08:10:00","window_end":"2020-04-15 08:20:00"}
--| {"op":"+I","window_start":"2020-04-15 08:40:00","window_end":"2020-04-15 08:50:00"}

-- Expressions, a condition and HAVING around the windows.
SELECT LOWER(i) AS low, window_end, p FROM (
  SELECT i, window_start, window_end, SUM(twice) AS p FROM (
    SELECT COALESCE(item, 'none') AS i, price * 2 AS twice, window_start, window_end, window_time
    FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) WHERE price < 7) AS t
  GROUP BY i, window_start, window_end HAVING SUM(twice) > 4);
-- @expect
--| {"op":"+I","low":"c","window_end":"2020-04-15 08:10:00","p":18}
--| {"op":"+I","low":"b","window_end":"2020-04-15 08:20:00","p":6}
--| {"op":"+I","low":"a","window_end":"2020-04-15 08:50:00","p":12}

-- @file early.jsonl
--| {"ts": "1969-12-31 23:59:58.5", "v": 1}
--| {"ts": "1969-12-31 23:59:59.999", "v": 2}
--| {"ts": "1970-01-01 00:00:00", "v": 4}
--| {"ts": "1970-01-01 00:00:00.999", "v": 8}
--| {"ts": "1970-01-01 00:00:01", "v": 16}
CREATE TABLE early (ts TIMESTAMP(3), v INT, WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/early.jsonl', 'format' = 'json');

SELECT window_start, window_end, window_time, SUM(v) AS s FROM TABLE(TUMBLE(TABLE early, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY window_start, window_end, window_time;
-- @expect
--| {"op":"+I","window_start":"1969-12-31 23:59:58","window_end":"1969-12-31 23:59:59","window_time":"1969-12-31 23:59:58.999","s":1}
--| {"op":"+I","window_start":"1969-12-31 23:59:59","window_end":"1970-01-01 00:00:00","window_time":"1969-12-31 23:59:59.999","s":2}
--| {"op":"+I","window_start":"1970-01-01 00:00:00","window_end":"1970-01-01 00:00:01","window_time":"1970-01-01 00:00:00.999","s":12}
--| {"op":"+I","window_start":"1970-01-01 00:00:01","window_end":"1970-01-01 00:00:02","window_time":"1970-01-01 00:00:01.999","s":16}

SELECT window_start, window_end, SUM(v) AS s FROM TABLE(HOP(TABLE early, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '2' SECOND)) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"1969-12-31 23:59:57","window_end":"1969-12-31 23:59:59","s":1}
--| {"op":"+I","window_start":"1969-12-31 23:59:58","window_end":"1970-01-01 00:00:00","s":3}
--| {"op":"+I","window_start":"1969-12-31 23:59:59","window_end":"1970-01-01 00:00:01","s":14}
--| {"op":"+I","window_start":"1970-01-01 00:00:00","window_end":"1970-01-01 00:00:02","s":28}
--| {"op":"+I","window_start":"1970-01-01 00:00:01","window_end":"1970-01-01 00:00:03","s":16}

-- Windows that overlap in part, and windows with gaps between them, have the older spelling alone, as in Flink.
SELECT v, window_start FROM TABLE(HOP(TABLE early, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '3' SECOND));
-- @error
--| the size of HOP must be a multiple of its slide: 3000 ms is no multiple of 2000 ms

SELECT HOP_START(ts, INTERVAL '2' SECOND, INTERVAL '3' SECOND) AS s, COUNT(*) AS n FROM early GROUP BY HOP(ts, INTERVAL '2' SECOND, INTERVAL '3' SECOND);
-- @expect
--| {"op":"+I","s":"1969-12-31 23:59:56","n":1}
--| {"op":"+I","s":"1969-12-31 23:59:58","n":4}
--| {"op":"+I","s":"1970-01-01 00:00:00","n":3}

SELECT HOP_START(ts, INTERVAL '2' SECOND, INTERVAL '1' SECOND) AS s, COUNT(*) AS n FROM early GROUP BY HOP(ts, INTERVAL '2' SECOND, INTERVAL '1' SECOND);
-- @expect
--| {"op":"+I","s":"1969-12-31 23:59:58","n":1}
--| {"op":"+I","s":"1970-01-01 00:00:00","n":2}

SELECT window_start, window_end, SUM(v) AS s FROM TABLE(TUMBLE(TABLE early, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '2.5' SECOND)) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"1969-12-31 23:59:58.5","window_end":"1969-12-31 23:59:59.5","s":1}
--| {"op":"+I","window_start":"1969-12-31 23:59:59.5","window_end":"1970-01-01 00:00:00.5","s":6}
--| {"op":"+I","window_start":"1970-01-01 00:00:00.5","window_end":"1970-01-01 00:00:01.5","s":24}
