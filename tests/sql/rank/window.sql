-- The first rows of each window, emitted once, when the window is complete.
-- Checked against Flink 2.3.
-- @file b.jsonl
--| {"id":"a","k":"x","price":5,"ts":"2024-01-01 10:00:00"}
--| {"id":"b","k":"x","price":7,"ts":"2024-01-01 10:05:00"}
--| {"id":"d","k":"x","price":1,"ts":"2024-01-01 10:05:00"}
--| {"id":"c","k":"y","price":7,"ts":"2024-01-01 10:07:00"}
--| {"id":"e","k":"x","price":9,"ts":"2024-01-01 10:09:59.999"}
--| {"id":"f","k":"x","price":9,"ts":"2024-01-01 10:10:00"}
--| {"id":"g","k":"x","price":9,"ts":"2024-01-01 10:10:00"}
--| {"id":"h","k":null,"price":null,"ts":"2024-01-01 10:12:00"}
--| {"id":"i","k":null,"price":3,"ts":"2024-01-01 10:26:00"}
SET 'parallelism.default' = '1';
CREATE TABLE b (id STRING, k STRING, price INT, ts TIMESTAMP(3), pt AS PROCTIME(), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/b.jsonl', 'format' = 'json');

SELECT id, k, price, window_end, rn FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY price DESC) AS rn
  FROM TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) WHERE rn <= 2;
-- @expect
--| {"op":"+I","id":"e","k":"x","price":9,"window_end":"2024-01-01 10:10:00","rn":1}
--| {"op":"+I","id":"b","k":"x","price":7,"window_end":"2024-01-01 10:10:00","rn":2}
--| {"op":"+I","id":"c","k":"y","price":7,"window_end":"2024-01-01 10:10:00","rn":1}
--| {"op":"+I","id":"f","k":"x","price":9,"window_end":"2024-01-01 10:20:00","rn":1}
--| {"op":"+I","id":"g","k":"x","price":9,"window_end":"2024-01-01 10:20:00","rn":2}
--| {"op":"+I","id":"h","k":null,"price":null,"window_end":"2024-01-01 10:20:00","rn":1}
--| {"op":"+I","id":"i","k":null,"price":3,"window_end":"2024-01-01 10:30:00","rn":1}

SELECT id, window_end FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY price) AS rn
  FROM TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) WHERE rn <= 2;
-- @expect
--| {"op":"+I","id":"d","window_end":"2024-01-01 10:10:00"}
--| {"op":"+I","id":"a","window_end":"2024-01-01 10:10:00"}
--| {"op":"+I","id":"h","window_end":"2024-01-01 10:20:00"}
--| {"op":"+I","id":"f","window_end":"2024-01-01 10:20:00"}
--| {"op":"+I","id":"i","window_end":"2024-01-01 10:30:00"}

-- Of sums of windows: the best of each.
SELECT k, s, window_start, rn FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY s DESC, k) AS rn FROM (
    SELECT window_start, window_end, k, SUM(price) AS s
    FROM HOP(TABLE b, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '10' MINUTE)
    GROUP BY window_start, window_end, k)) WHERE rn <= 1;
-- @expect
--| {"op":"+I","k":"x","s":5,"window_start":"2024-01-01 09:55:00","rn":1}
--| {"op":"+I","k":"x","s":22,"window_start":"2024-01-01 10:00:00","rn":1}
--| {"op":"+I","k":"x","s":35,"window_start":"2024-01-01 10:05:00","rn":1}
--| {"op":"+I","k":"x","s":18,"window_start":"2024-01-01 10:10:00","rn":1}
--| {"op":"+I","k":null,"s":3,"window_start":"2024-01-01 10:20:00","rn":1}
--| {"op":"+I","k":null,"s":3,"window_start":"2024-01-01 10:25:00","rn":1}

-- Deduplication: the last of rows with one time is the one that came last, the first the one that came first.
SELECT id, k, window_end FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY ts DESC) AS rn
  FROM TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) WHERE rn = 1;
-- @expect
--| {"op":"+I","id":"e","k":"x","window_end":"2024-01-01 10:10:00"}
--| {"op":"+I","id":"c","k":"y","window_end":"2024-01-01 10:10:00"}
--| {"op":"+I","id":"g","k":"x","window_end":"2024-01-01 10:20:00"}
--| {"op":"+I","id":"h","k":null,"window_end":"2024-01-01 10:20:00"}
--| {"op":"+I","id":"i","k":null,"window_end":"2024-01-01 10:30:00"}
SELECT id, k, window_end FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY ts) AS rn
  FROM TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) WHERE rn <= 1;
-- @expect
--| {"op":"+I","id":"a","k":"x","window_end":"2024-01-01 10:10:00"}
--| {"op":"+I","id":"c","k":"y","window_end":"2024-01-01 10:10:00"}
--| {"op":"+I","id":"f","k":"x","window_end":"2024-01-01 10:20:00"}
--| {"op":"+I","id":"h","k":null,"window_end":"2024-01-01 10:20:00"}
--| {"op":"+I","id":"i","k":null,"window_end":"2024-01-01 10:30:00"}

SELECT id, window_end, rn FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY price DESC, id) AS rn
  FROM CUMULATE(TABLE b, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '10' MINUTE)) WHERE rn BETWEEN 2 AND 3;
-- @expect
--| {"op":"+I","id":"b","window_end":"2024-01-01 10:10:00","rn":2}
--| {"op":"+I","id":"c","window_end":"2024-01-01 10:10:00","rn":3}
--| {"op":"+I","id":"g","window_end":"2024-01-01 10:15:00","rn":2}
--| {"op":"+I","id":"h","window_end":"2024-01-01 10:15:00","rn":3}
--| {"op":"+I","id":"g","window_end":"2024-01-01 10:20:00","rn":2}
--| {"op":"+I","id":"h","window_end":"2024-01-01 10:20:00","rn":3}

-- What comes out belongs to its window still.
SELECT window_start, window_end, COUNT(*) AS c, MAX(rn) AS m FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY price DESC) AS rn
  FROM TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) WHERE rn <= 2 GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"2024-01-01 10:00:00","window_end":"2024-01-01 10:10:00","c":3,"m":2}
--| {"op":"+I","window_start":"2024-01-01 10:10:00","window_end":"2024-01-01 10:20:00","c":3,"m":2}
--| {"op":"+I","window_start":"2024-01-01 10:20:00","window_end":"2024-01-01 10:30:00","c":1,"m":1}

EXPLAIN CHANGELOG_MODE SELECT id FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY ts DESC) AS rn
  FROM TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) WHERE rn = 1;
-- @text
--| WindowDeduplicate(
--| rankRange=[rankStart=1, rankEnd=1]), changelogMode=[I]
EXPLAIN SELECT id FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY price) AS rn
  FROM TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) WHERE rn = 1;
-- @text
--| WindowRank(partitionBy=[window_start, window_end], orderBy=[price ASC], rankType=[ROW_NUMBER]
SELECT id FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY price) AS rn
  FROM TUMBLE(TABLE b, DESCRIPTOR(pt), INTERVAL '10' MINUTE)) WHERE rn = 1;
-- @error
--| Top-N of windows of processing time is not supported
