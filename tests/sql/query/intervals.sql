-- Intervals: years and months are a type of their own; arithmetic, parts, differences of moments.
-- @file t.jsonl
--| {"id": 1, "ts": "2024-01-31 12:00:00", "dt": "2024-01-31"}
--| {"id": 2, "ts": null, "dt": null}
CREATE TABLE t (id INT, ts TIMESTAMP(3), dt DATE) WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');

SELECT TYPEOF(INTERVAL '1' YEAR) AS a, TYPEOF(INTERVAL '3' DAY) AS b, TYPEOF(INTERVAL '1' YEAR - INTERVAL '2' MONTH) AS c, TYPEOF(2 * INTERVAL '1' MONTH) AS d;
-- @expect
--| {"op":"+I","a":"INTERVAL MONTH NOT NULL","b":"INTERVAL SECOND(3) NOT NULL","c":"INTERVAL MONTH NOT NULL","d":"INTERVAL MONTH NOT NULL"}

SELECT CAST(INTERVAL '1' YEAR - INTERVAL '2' MONTH AS STRING) AS a, CAST(INTERVAL '1' QUARTER AS STRING) AS b, CAST(-INTERVAL '14' MONTH AS STRING) AS c, CAST(id * INTERVAL '7' MONTH AS STRING) AS d FROM t;
-- @expect
--| {"op":"+I","a":"+0-10","b":"+0-03","c":"-1-02","d":"+0-07"}
--| {"op":"+I","a":"+0-10","b":"+0-03","c":"-1-02","d":"+1-02"}

SELECT ts + INTERVAL '1' MONTH AS a, dt + INTERVAL '1-1' YEAR TO MONTH AS b, INTERVAL '1' MONTH + dt AS c, TIME '12:00:00' + INTERVAL '1' MONTH AS d, ts + INTERVAL '1' MONTH + INTERVAL '1' DAY AS e FROM t;
-- @expect
--| {"op":"+I","a":"2024-02-29 12:00:00","b":"2025-02-28","c":"2024-02-29","d":"12:00:00","e":"2024-03-01 12:00:00"}
--| {"op":"+I","a":null,"b":null,"c":null,"d":"12:00:00","e":null}

SELECT EXTRACT(DAY FROM i) AS d, EXTRACT(HOUR FROM i) AS h, EXTRACT(MINUTE FROM i) AS m, EXTRACT(SECOND FROM i) AS s, EXTRACT(MILLISECOND FROM i) AS ms FROM (VALUES (INTERVAL '1 02:03:04.5' DAY TO SECOND)) AS v(i);
-- @expect
--| {"op":"+I","d":1,"h":2,"m":3,"s":4,"ms":500}
SELECT EXTRACT(YEAR FROM INTERVAL '14' MONTH) AS y, EXTRACT(MONTH FROM INTERVAL '14' MONTH) AS m;
-- @expect
--| {"op":"+I","y":1,"m":2}
SELECT EXTRACT(DAY FROM INTERVAL '14' MONTH) AS y;
-- @error
--| an interval of years and months has no such part

-- The unit behind a difference says what it is counted in.
SELECT CAST((ts - TIMESTAMP '2023-12-30 06:00:00') DAY TO SECOND AS STRING) AS a, CAST((ts - TIMESTAMP '2023-12-30 06:00:00') MONTH AS STRING) AS b, (dt - DATE '2024-01-30') DAY = INTERVAL '1' DAY AS c FROM t;
-- @expect
--| {"op":"+I","a":"+32 06:00:00.000","b":"+0-01","c":true}
--| {"op":"+I","a":null,"b":null,"c":null}
-- Anywhere else it is a name.
SELECT MAX(id - 0) day, (id) month FROM t WHERE id = 1 GROUP BY id;
-- @expect
--| {"op":"+I","day":1,"month":1}

SELECT DATE '2020-01-01' + DATE '2020-01-01';
-- @error
--| '+' does not take DATE and DATE
SELECT ts + id FROM t;
-- @error
--| '+' does not take TIMESTAMP(3) and INT
SELECT CASE WHEN 1 THEN 2 END;
-- @error
--| the condition of CASE or IF must be BOOLEAN, not INT
SELECT IF(id, 1, 2) FROM t;
-- @error
--| the condition of CASE or IF must be BOOLEAN, not INT

-- Days of an instant are 24 hours, and no hour of the year is without an answer: 02:30 of 31 March 2024 does not exist in Berlin.
SET 'table.local-time-zone' = 'Europe/Berlin';
SELECT TO_TIMESTAMP_LTZ(1711762200, 0) + INTERVAL '1' DAY AS d, TO_TIMESTAMP_LTZ(1711762200, 0) + INTERVAL '1' MONTH AS m, TO_TIMESTAMP_LTZ(1711762200, 0) + INTERVAL '1' YEAR AS y, TO_TIMESTAMP_LTZ(1706657400, 0) + INTERVAL '1' MONTH AS f, INTERVAL '1 00:00:00' DAY TO SECOND + TO_TIMESTAMP_LTZ(1711762200, 0) AS e;
-- @expect
--| {"op":"+I","d":"2024-03-31 01:30:00Z","m":"2024-04-30 01:30:00Z","y":"2025-03-30 01:30:00Z","f":"2024-02-29 23:30:00Z","e":"2024-03-31 01:30:00Z"}
SELECT CAST(TO_TIMESTAMP_LTZ(1711836000, 0) + INTERVAL '1' MONTH AS STRING) AS a, CAST(TO_TIMESTAMP_LTZ(1711836000, 0) - INTERVAL '1' MONTH AS STRING) AS b, CAST(TO_TIMESTAMP_LTZ(1711839600, 0) - INTERVAL '1' MONTH AS STRING) AS c;
-- @expect
--| {"op":"+I","a":"2024-05-01 00:00:00.000","b":"2024-02-29 23:00:00.000","c":"2024-03-01 00:00:00.000"}
-- @file hours.jsonl
--| {"id": 1, "ts": "2024-03-31 00:30:00Z"}
--| {"id": 2, "ts": "2024-04-01 00:30:00Z"}
CREATE TABLE hours (id INT, ts TIMESTAMP_LTZ(3), WATERMARK FOR ts AS ts - INTERVAL '1' DAY) WITH ('connector' = 'filesystem', 'path' = '${DIR}/hours.jsonl', 'format' = 'json');
SELECT id, ts - INTERVAL '1' DAY AS before FROM hours WHERE ts - INTERVAL '1' DAY < CURRENT_TIMESTAMP;
-- @expect
--| {"op":"+I","id":1,"before":"2024-03-30 00:30:00Z"}
--| {"op":"+I","id":2,"before":"2024-03-31 00:30:00Z"}
SELECT id FROM hours WHERE ts BETWEEN TO_TIMESTAMP_LTZ(1711845000, 0) - INTERVAL '1' SECOND AND TO_TIMESTAMP_LTZ(1711845000, 0) + INTERVAL '86399' SECOND;
-- @expect
--| {"op":"+I","id":1}
SET 'table.local-time-zone' = 'UTC';

-- Fractions of a second count, below the digits of the type too.
SELECT TIMESTAMP '2024-01-31 00:00:00.123' - INTERVAL '1.5' SECOND AS a, TIMESTAMP '2024-03-31 00:00:00' - INTERVAL '1' MONTH AS b, CAST('2024-01-31 00:00:00.000001' AS TIMESTAMP(6)) + INTERVAL '0.001' SECOND AS c, CAST(NULL AS TIMESTAMP(3)) + INTERVAL '1' DAY AS d, INTERVAL '1' DAY + TIMESTAMP '2024-02-28 00:00:00' AS e;
-- @expect
--| {"op":"+I","a":"2024-01-30 23:59:58.623","b":"2024-02-29 00:00:00","c":"2024-01-31 00:00:00.001001","d":null,"e":"2024-02-29 00:00:00"}
SELECT ts + id * INTERVAL '1' HOUR AS a, ts + CASE id WHEN 1 THEN INTERVAL '1' DAY ELSE INTERVAL '2' DAY END AS b FROM t;
-- @expect
--| {"op":"+I","a":"2024-01-31 13:00:00","b":"2024-02-01 12:00:00"}
--| {"op":"+I","a":null,"b":null}

-- Intervals of one length are equal, whatever their units are.
SELECT INTERVAL '24' HOUR = INTERVAL '1' DAY AS a, INTERVAL '23' HOUR < INTERVAL '1' DAY AS b, INTERVAL '25' HOUR > INTERVAL '1' DAY AS c, INTERVAL '48' HOUR BETWEEN INTERVAL '1' DAY AND INTERVAL '2' DAY AS d, INTERVAL '1440' MINUTE IN (INTERVAL '1' DAY) AS e, GREATEST(INTERVAL '30' HOUR, INTERVAL '1' DAY) = INTERVAL '30' HOUR AS f, INTERVAL '12' HOUR * 2 = INTERVAL '1' DAY AS g, INTERVAL '23' HOUR + INTERVAL '60' MINUTE = INTERVAL '1' DAY AS h, NULLIF(INTERVAL '24' HOUR, INTERVAL '1' DAY) IS NULL AS i;
-- @expect
--| {"op":"+I","a":true,"b":true,"c":true,"d":true,"e":true,"f":true,"g":true,"h":true,"i":true}
SELECT COUNT(*) AS n FROM t WHERE (ts - TIMESTAMP '2024-01-30 12:00:00') DAY TO SECOND >= INTERVAL '24' HOUR;
-- @result
--| {"n":1}
SELECT CAST(x AS STRING) AS x, COUNT(*) AS n FROM (VALUES (INTERVAL '24' HOUR), (INTERVAL '1' DAY), (INTERVAL '1439' MINUTE)) AS v(x) GROUP BY x;
-- @result
--| {"x":"+1 00:00:00.000","n":2}
--| {"x":"+0 23:59:00.000","n":1}

-- Sums of intervals that are computed.
SELECT CAST(INTERVAL '1' MONTH + (INTERVAL '10' YEAR * n) AS STRING) AS a, CAST((-INTERVAL '30' SECOND) - (INTERVAL '1' DAY * n) AS STRING) AS b, CAST(INTERVAL '1' DAY - n * INTERVAL '1' HOUR AS STRING) AS c FROM (VALUES (4)) AS t(n);
-- @expect
--| {"op":"+I","a":"+40-01","b":"-4 00:00:30.000","c":"+0 20:00:00.000"}
