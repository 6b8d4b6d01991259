-- Numbers that do not fit are errors which name the expression and its operands; TRY_CAST and guards are the way around.
-- @file n.jsonl
--| {"k": 1, "i": 2147483647, "l": 9223372036854775807, "t": -128, "d": 1.5, "q": "99999999999999999999.5"}
--| {"k": 2, "i": null, "l": null, "t": null, "d": null, "q": null}
CREATE TABLE n (k INT, i INT, l BIGINT, t TINYINT, d DOUBLE, q DECIMAL(38, 18)) WITH ('connector' = 'filesystem', 'path' = '${DIR}/n.jsonl', 'format' = 'json');

SELECT i + 1 FROM n;
-- @error
--| i + 1 is out of range of INT: 2147483647 + 1
--| CAST an operand to a wider type, or guard it with IF or CASE

SELECT 0 - t - t FROM n WHERE k = 1;
-- @expect
--| {"op":"+I","EXPR$0":256}

SELECT t - CAST(1 AS TINYINT) FROM n;
-- @error
--| is out of range of TINYINT: -128 - 1

SELECT l * 2 FROM n;
-- @error
--| is out of range of BIGINT: 9223372036854775807 * 2

SELECT -t FROM n;
-- @error
--| -t is out of range of TINYINT

SELECT ABS(t) FROM n;
-- @error
--| ABS(-128) is out of range of TINYINT

SELECT ROUND(i, -1) FROM n;
-- @error
--| ROUND(2147483647, -1) is out of range of INT

SELECT t / CAST(-1 AS TINYINT) FROM n;
-- @error
--| is out of range of TINYINT: -128 / -1

SELECT i / 0 FROM n;
-- @error
--| division by zero in i / 0

SELECT q * q FROM n;
-- @error
--| q * q is out of range of DECIMAL(38, 6): 99999999999999999999.500000000000000000 * 99999999999999999999.500000000000000000

SELECT CAST(i AS TINYINT) FROM n;
-- @error
--| 2147483647 is out of the range of TINYINT

SELECT k, TRY_CAST(i AS TINYINT) AS a, IF(i < 100, i + 1, -1) AS b, CAST(i AS BIGINT) + 1 AS c FROM n;
-- @expect
--| {"op":"+I","k":1,"a":null,"b":-1,"c":2147483648}
--| {"op":"+I","k":2,"a":null,"b":-1,"c":null}

-- Nothing overflows where a side is NULL, and doubles have infinities.
SELECT k, i - i AS z, l % 10 AS r, d * 1e308 * 10 AS inf, q / 2 AS half FROM n;
-- @expect
--| {"op":"+I","k":1,"z":0,"r":7,"inf":"Infinity","half":49999999999999999999.750000000000000000}
--| {"op":"+I","k":2,"z":null,"r":null,"inf":null,"half":null}
