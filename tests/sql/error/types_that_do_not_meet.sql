-- What has no common type is refused where it is planned: a DATE is no number of days.

CREATE TABLE t (id INT, d DATE, s STRING, b BOOLEAN, n INT) WITH ('connector' = 'datagen', 'number-of-rows' = '1');

SELECT id FROM t WHERE d >= 2024-01-01;
-- @error
--| '>=' does not compare DATE with
--| a date is written DATE '2024-01-31'

SELECT id FROM t WHERE d = n;
-- @error
--| '=' does not compare DATE with INT

SELECT id FROM t WHERE d IN (20240105);
-- @error
--| IN does not compare DATE with INT

SELECT id FROM t WHERE d BETWEEN 1 AND 99999;
-- @error
--| BETWEEN does not compare DATE with INT

SELECT id FROM t WHERE n = b;
-- @error
--| '=' does not compare INT with BOOLEAN

SELECT X'31' = '1';
-- @error
--| '=' does not compare BYTES with STRING

SELECT CASE WHEN id = 1 THEN d ELSE 0 END FROM t;
-- @error
--| no common type: DATE, INT

SELECT IF(id = 1, d, n) FROM t;
-- @error
--| no common type: DATE, INT

SELECT NULLIF(1, DATE '1970-01-02');
-- @error
--| does not compare

SELECT LAG(n, 1, DATE '2024-01-01') OVER (ORDER BY p) FROM (SELECT n, PROCTIME() AS p FROM t);
-- @error
--| the default of LAG has the type of its value

SELECT id, d FROM t UNION ALL SELECT id, n FROM t;
-- @error
--| UNION has no type for column 'n': DATE and INT

SELECT d FROM t INTERSECT SELECT n FROM t;
-- @error
--| INTERSECT has no type for column 'd': DATE on the left, INT on the right

SELECT COALESCE(n, 'n/a') FROM t;
-- @error
--| have no common type: INT, STRING

SELECT GREATEST(n, 'a') FROM t;
-- @error
--| have no common type: INT, STRING

-- Text takes what can be written as text.
SELECT TRUE AS x UNION ALL SELECT 'a' UNION ALL SELECT CAST(DATE '2024-01-05' AS STRING);
-- @expect
--| {"op":"+I","x":"TRUE"}
--| {"op":"+I","x":"a"}
--| {"op":"+I","x":"2024-01-05"}

SELECT DATE '2024-01-05' AS x UNION SELECT 'a';
-- @expect
--| {"op":"+I","x":"2024-01-05"}
--| {"op":"+I","x":"a"}

SELECT CAST(1 AS DOUBLE) AS x UNION ALL SELECT 'a';
-- @expect
--| {"op":"+I","x":"1.0"}
--| {"op":"+I","x":"a"}

-- Whole numbers beyond BIGINT are DECIMAL.
SELECT CAST(12345678901234567890 AS DECIMAL(20, 0)) AS a, 12345678901234567890 + 1 AS b, CAST(12345678901234567890 AS STRING) AS c;
-- @expect
--| {"op":"+I","a":12345678901234567890,"b":12345678901234567891,"c":"12345678901234567890"}

-- The double that is nearest to all digits.
SELECT CAST(CAST('3.14159265358979323846' AS DECIMAL(30, 20)) AS DOUBLE) AS pi, CAST(CAST('0.1' AS DECIMAL(38, 30)) AS DOUBLE) AS tenth;
-- @expect
--| {"op":"+I","pi":3.141592653589793,"tenth":0.1}

SELECT UNHEX('q') AS a, UNHEX('0') = X'00' AS b, FROM_BASE64('Zg') AS c, CAST('abcde' AS VARBINARY) = ENCODE('abcde', 'UTF-8') AS d, ROUND(-0.00003e0, 0) AS e, PRINTF('%h %h %H', 'abc', '', 'abcdefgh') AS f;
-- @expect
--| {"op":"+I","a":null,"b":true,"c":"f","d":true,"e":0.0,"f":"4ed2cbb4 87fcd5c D0089D49"}
