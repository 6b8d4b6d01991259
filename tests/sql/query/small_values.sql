-- Types that meet, and smaller values as Flink has them.
-- @file t.jsonl
--| {"id": 1, "d": "2024-01-05", "n": 19727, "s": "x", "b": true}
--| {"id": 2, "d": "2023-01-05", "n": 7, "s": "2023-01-05", "b": false}
CREATE TABLE t (id INT, d DATE, n INT, s STRING, b BOOLEAN) WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');

-- What has a text is a text beside one, as Flink has it.
SELECT s FROM t UNION ALL SELECT d FROM t;
-- @expect
--| {"op":"+I","s":"x"}
--| {"op":"+I","s":"2023-01-05"}
--| {"op":"+I","s":"2024-01-05"}
--| {"op":"+I","s":"2023-01-05"}
SELECT s FROM t UNION ALL SELECT b FROM t;
-- @expect
--| {"op":"+I","s":"x"}
--| {"op":"+I","s":"2023-01-05"}
--| {"op":"+I","s":"TRUE"}
--| {"op":"+I","s":"FALSE"}
SELECT s FROM t INTERSECT SELECT d FROM t;
-- @result
--| {"s":"2023-01-05"}
-- Dates beside texts of dates and beside moments still meet.
SELECT id FROM t WHERE d = '2024-01-05' AND d < TIMESTAMP '2024-01-05 00:00:01' AND d IN ('2024-01-05', 'x');
-- @expect
--| {"op":"+I","id":1}

-- A remainder of whole numbers has the type of its divisor.
SELECT CAST(7 AS DECIMAL(12,0)) % 4 AS a, TYPEOF(CAST(7 AS DECIMAL(12,0)) % 4) AS b, TYPEOF(CAST(7 AS DECIMAL(5,0)) % CAST(4 AS BIGINT)) AS c, TYPEOF(7 % CAST(4 AS DECIMAL(5,0))) AS d, CAST(n AS DECIMAL(5,0)) % id AS e FROM t;
-- @expect
--| {"op":"+I","a":3,"b":"INT NOT NULL","c":"BIGINT NOT NULL","d":"DECIMAL(5, 0) NOT NULL","e":0}
--| {"op":"+I","a":3,"b":"INT NOT NULL","c":"BIGINT NOT NULL","d":"DECIMAL(5, 0) NOT NULL","e":1}

-- Columns of VALUES have Flink's names, and one type for all rows.
SELECT * FROM (VALUES (1, 'a'), (2, 'b'));
-- @expect
--| {"op":"+I","EXPR$0":1,"EXPR$1":"a"}
--| {"op":"+I","EXPR$0":2,"EXPR$1":"b"}
SELECT t FROM (VALUES (TIME '10:00:00'), (CAST(NULL AS TIME(3)))) AS v(t);
-- @expect
--| {"op":"+I","t":"10:00:00"}
--| {"op":"+I","t":null}
SELECT x FROM (VALUES (CAST('a' AS VARCHAR(3))), (CAST('b' AS CHAR(1))), ('cdef')) AS v(x);
-- @expect
--| {"op":"+I","x":"a"}
--| {"op":"+I","x":"b"}
--| {"op":"+I","x":"cdef"}

-- A whole number beyond BIGINT is a DECIMAL wherever it stands.
SELECT 12345678901234567890 AS a, CAST(12345678901234567890 AS DECIMAL(20,0)) AS b, 12345678901234567890 + 1 AS c, CAST(12345678901234567890 AS STRING) AS d, -12345678901234567890 AS e;
-- @expect
--| {"op":"+I","a":12345678901234567890,"b":12345678901234567890,"c":12345678901234567891,"d":"12345678901234567890","e":-12345678901234567890}

-- Messages name operands as they are written.
SELECT -(-n - 2147483647) AS x FROM t;
-- @error
--| -n - 2147483647
SELECT (n * 1000000) * (n * 1000000) AS x FROM t;
-- @error
--| n * 1000000 is out of range of INT

-- The DOUBLE of a DECIMAL is the nearest one; bytes have the length that they have; months of an instant are of UTC.
SELECT CAST(CAST('3.14159265358979323846' AS DECIMAL(30, 20)) AS DOUBLE) AS a, CAST(x AS DOUBLE) AS b, x = 3.141592653589793e0 AS c, CAST('abcde' AS VARBINARY) = X'6162636465' AS d, UNHEX('q') AS e, UNHEX('0') = X'00' AS f FROM (VALUES (CAST('3.14159265358979323846' AS DECIMAL(30, 20)))) AS v(x);
-- @expect
--| {"op":"+I","a":3.141592653589793,"b":3.141592653589793,"c":true,"d":true,"e":null,"f":true}
SET 'table.local-time-zone' = 'America/New_York';
SELECT CAST(TO_TIMESTAMP_LTZ(1234567890, 0) + INTERVAL '1' MONTH AS STRING) AS a;
-- @expect
--| {"op":"+I","a":"2009-03-13 19:31:30.000"}
SET 'table.local-time-zone' = 'Europe/Berlin';
SELECT TIMESTAMPADD(MONTH, -1, TO_TIMESTAMP_LTZ(1711839600, 0)) AS a, TIMESTAMPADD(YEAR, 1, TO_TIMESTAMP_LTZ(1711762200, 0)) AS b;
-- @expect
--| {"op":"+I","a":"2024-02-29 23:00:00Z","b":"2025-03-30 01:30:00Z"}
SET 'table.local-time-zone' = 'UTC';

SELECT FROM_BASE64('Zg') AS a, ENCODE('', 'UTF-16') = X'' AS b;
-- @expect
--| {"op":"+I","a":"f","b":true}

-- Fields of a ROW are written by their names, FLOAT is compared with what is written in IN, a rounded number has one zero.
SELECT JSON_STRING(CAST(ROW(1, 'x', 2) AS ROW<z INT, b STRING, a INT>)) AS j, CAST(1.1 AS FLOAT) IN (1.1, 2.2) AS i, 1 / ROUND(-0.1e0, 0) AS z, 1 / TRUNCATE(-0.1e0, 0) AS t;
-- @expect
--| {"op":"+I","j":"{\"a\":2,\"b\":\"x\",\"z\":1}","i":true,"z":"Infinity","t":"Infinity"}

SELECT a.id FROM t AS a JOIN t AS x FOR SYSTEM_TIME AS OF a.d ON a.id = x.id;
-- @error
--| FOR SYSTEM_TIME AS OF must come before the alias of a table
--| write JOIN d FOR SYSTEM_TIME AS OF t.proc_time AS x ON

-- Java's short names of zones.
SELECT CONVERT_TZ('2022-01-01 00:00:00', 'UTC', 'PST') AS a, CONVERT_TZ('2022-07-01 00:00:00', 'CTT', 'UTC') AS b;
-- @expect
--| {"op":"+I","a":"2021-12-31 16:00:00","b":"2022-06-30 16:00:00"}
