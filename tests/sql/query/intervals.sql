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
