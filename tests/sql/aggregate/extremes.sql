-- Keys and times at the edges: NaN, a megabyte, a million keys, before 1970 and far ahead.

SELECT k, COUNT(*) AS n FROM (VALUES (CAST('NaN' AS DOUBLE)), (1e0), (CAST('NaN' AS DOUBLE)), (CAST(NULL AS DOUBLE))) AS t(k)
GROUP BY k;
-- @result
--| {"k":"NaN","n":2}
--| {"k":1.0,"n":1}
--| {"k":null,"n":1}

SELECT CHAR_LENGTH(k) AS l, SUBSTRING(k, 1, 1) AS c, n
FROM (SELECT k, COUNT(*) AS n FROM (SELECT REPEAT(s, 1048576) AS k FROM (VALUES ('a'), ('b'), ('a')) AS t(s)) AS x GROUP BY k) AS y;
-- @result
--| {"l":1048576,"c":"a","n":2}
--| {"l":1048576,"c":"b","n":1}

CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '0',
  'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '1000000');
SELECT COUNT(*) AS k, SUM(n) AS n FROM (SELECT id, COUNT(*) AS n FROM numbers GROUP BY id) AS x;
-- @result
--| {"k":1000000,"n":1000000}

-- @file times.jsonl
--| {"id": 1, "ts": "0001-01-01 00:00:00"}
--| {"id": 2, "ts": "1969-12-31 23:59:59.999"}
--| {"id": 3, "ts": "1970-01-01 00:00:00"}
--| {"id": 4, "ts": "9999-12-31 23:59:59.999"}
CREATE TABLE times (id INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/times.jsonl', 'format' = 'json');
SELECT window_start, window_end, COUNT(*) AS n
FROM TUMBLE(TABLE times, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY window_start, window_end;
-- @result
--| {"window_start":"0001-01-01 00:00:00","window_end":"0001-01-01 01:00:00","n":1}
--| {"window_start":"1969-12-31 23:00:00","window_end":"1970-01-01 00:00:00","n":1}
--| {"window_start":"1970-01-01 00:00:00","window_end":"1970-01-01 01:00:00","n":1}
--| {"window_start":"9999-12-31 23:00:00","window_end":"+10000-01-01 00:00:00","n":1}
