-- TYPEOF of columns and of what is made of them; NaN has one place in every order; types that are not there.
-- @file t.jsonl
--| {"v": "abc", "c": "xyz", "i": 7, "d": 12.0, "f": -1, "r": {"a": 1}}
CREATE TABLE t (v VARCHAR(5), c CHAR(3), i INT NOT NULL, d DECIMAL(5, 0), f DOUBLE, r ROW<a INT>) WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');

SELECT TYPEOF(v) AS a, TYPEOF(c) AS b, TYPEOF(c || v) AS d, TYPEOF(UPPER(v)) AS e, TYPEOF(SUBSTRING(c, 1)) AS g, TYPEOF(COALESCE(c, v)) AS h, TYPEOF(i) AS j, TYPEOF(COALESCE(f, 1e0)) AS k FROM t;
-- @expect
--| {"op":"+I","a":"VARCHAR(5)","b":"CHAR(3)","d":"VARCHAR(8)","e":"VARCHAR(5)","g":"VARCHAR(3)","h":"VARCHAR(5)","j":"INT NOT NULL","k":"DOUBLE NOT NULL"}
SELECT TYPEOF('a' || 'bc') AS a, TYPEOF(ARRAY[1, 2]) AS b, TYPEOF(ROW(1, 'a')) AS c, TYPEOF(CASE WHEN i > 1 THEN 'a' ELSE 'bcd' END) AS d, TYPEOF(PI()) AS e, TYPEOF(UUID()) AS g, TYPEOF(POWER(2, 3)) AS h FROM t;
-- @expect
--| {"op":"+I","a":"CHAR(3) NOT NULL","b":"ARRAY<INT NOT NULL> NOT NULL","c":"ROW<`EXPR$0` INT NOT NULL, `EXPR$1` CHAR(1) NOT NULL> NOT NULL","d":"VARCHAR(3) NOT NULL","e":"DOUBLE NOT NULL","g":"CHAR(36) NOT NULL","h":"DOUBLE NOT NULL"}

-- The columns of VALUES have the type that all rows have in common.
SELECT TYPEOF(x) AS t, x FROM (VALUES (CAST(0.9 AS DOUBLE)), (7.0), (NULL)) AS v(x);
-- @expect
--| {"op":"+I","t":"DOUBLE","x":0.9}
--| {"op":"+I","t":"DOUBLE","x":7.0}
--| {"op":"+I","t":"DOUBLE","x":null}
SELECT x FROM (VALUES (1, TIMESTAMP '2024-01-01 00:00:00'), (2.50, TIMESTAMP '2024-01-01 00:00:00.125')) AS v(x, y) WHERE y >= TIMESTAMP '2024-01-01 00:00:00.1';
-- @expect
--| {"op":"+I","x":2.50}

SELECT GREATEST(LN(f), 1e0) AS a, LEAST(LN(f), 1e0) AS b, LEAST(-LN(f), f) AS c FROM t;
-- @expect
--| {"op":"+I","a":"NaN","b":1.0,"c":-1.0}

SELECT JSON_STRING(TIMESTAMP '2000-01-01 00:00:00.500') AS a, JSON_STRING(CAST(-0.1 AS FLOAT)) AS b, _UTF16'x' AS c;
-- @expect
--| {"op":"+I","a":"\"2000-01-01T00:00:00.5\"","b":"-0.10000000149011612","c":"x"}

SELECT PARSE_JSON('{}');
-- @error
--| PARSE_JSON is not supported: there is no type VARIANT
SELECT BITMAP_OR_AGG(b) FROM (VALUES (X'3A300000')) AS t(b);
-- @error
--| BITMAP_OR_AGG is not supported: bitmaps are not aggregated
SELECT OBJECT_OF('a.B', 'x', 1);
-- @error
--| OBJECT_OF is not supported: there are no classes of Java
CREATE TABLE w (v VARIANT) WITH ('connector' = 'blackhole');
-- @error
--| type VARIANT is not supported
