-- '9999-12-31' stands for no end: as TIMESTAMP(9), too, it compares as it should, and nothing wraps.
-- @file v.jsonl
--| {"k": 1, "until": "2024-03-10 00:00:00.123456789", "s": "2024-03-10 00:00:00"}
--| {"k": 2, "until": null, "s": "9999-12-31 00:00:00"}
CREATE TABLE v (k INT, until TIMESTAMP(9), s STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/v.jsonl', 'format' = 'json');

SELECT CAST('9999-12-31 00:00:00' AS TIMESTAMP(9)) AS a, CAST(DATE '9999-12-31' AS TIMESTAMP(9)) AS b, CAST(CAST('0001-01-01 00:00:00' AS TIMESTAMP(3)) AS TIMESTAMP(7)) AS c;
-- @expect
--| {"op":"+I","a":"9999-12-31 00:00:00","b":"9999-12-31 00:00:00","c":"0001-01-01 00:00:00"}

SELECT k, until < CAST('9999-12-31 00:00:00' AS TIMESTAMP(9)) AS open, until = CAST('9999-12-31 00:00:00' AS TIMESTAMP(9)) AS e, until > CAST('0001-01-01 00:00:00' AS TIMESTAMP(9)) AS g, until BETWEEN CAST('2024-03-10 00:00:00.123456789' AS TIMESTAMP(9)) AND CAST('9999-12-31 00:00:00' AS TIMESTAMP(9)) AS b FROM v;
-- @expect
--| {"op":"+I","k":1,"open":true,"e":false,"g":true,"b":true}
--| {"op":"+I","k":2,"open":null,"e":null,"g":null,"b":null}

-- What a column of nanoseconds cannot hold is an error that names it, or NULL by TRY_CAST.
SELECT CAST(s AS TIMESTAMP(9)) FROM v;
-- @error
--| 9999-12-31 00:00:00 is out of the range of TIMESTAMP(9)
SELECT k, TRY_CAST(s AS TIMESTAMP(9)) AS t, CAST(s AS TIMESTAMP(6)) AS u FROM v;
-- @expect
--| {"op":"+I","k":1,"t":"2024-03-10 00:00:00","u":"2024-03-10 00:00:00"}
--| {"op":"+I","k":2,"t":null,"u":"9999-12-31 00:00:00"}
SELECT k, COALESCE(until, CAST('9999-12-31 00:00:00' AS TIMESTAMP(9))) AS t FROM v;
-- @error
--| range
SELECT CAST('9999-12-31 00:00:00.123456789' AS TIMESTAMP(9)) AS t;
-- @error
--| is out of the range of TIMESTAMP(9)
