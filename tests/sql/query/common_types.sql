-- The types that two types have in common: DOUBLE beside DECIMAL is DOUBLE, wherever they meet.
-- @file n.jsonl
--| {"k": 1, "x": 1e16, "p": 2.5, "s": "12", "ts": "2024-03-10 00:00:00.000", "j": "C:\\dir\\x", "pat": "C:\\dir\\%"}
--| {"k": 2, "x": "NaN", "p": null, "s": "abc", "ts": "9999-12-31 00:00:00.000", "j": "C:xdir", "pat": "C:\\dir\\%"}
--| {"k": 3, "x": -0.0, "p": 1e-20, "s": null, "ts": null, "j": null, "pat": "%"}
CREATE TABLE n (k INT, x DOUBLE, p DOUBLE, s STRING, ts TIMESTAMP(3), j STRING, pat STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/n.jsonl', 'format' = 'json');

SELECT k, x > 100.5 AS gt, x = 0.0 AS zero, x BETWEEN -0.5 AND 0.5 AS near, p > 0.0 AS pos, COALESCE(p, 0.0) AS c FROM n;
-- @expect
--| {"op":"+I","k":1,"gt":true,"zero":false,"near":false,"pos":true,"c":2.5}
--| {"op":"+I","k":2,"gt":false,"zero":false,"near":false,"pos":null,"c":0.0}
--| {"op":"+I","k":3,"gt":false,"zero":true,"near":true,"pos":true,"c":1e-20}

SELECT TYPEOF(COALESCE(p, 0.0)) AS a, TYPEOF(IF(k = 1, p, 1.5)) AS b, TYPEOF(GREATEST(k, 1.5)) AS c, TYPEOF(1.0 / 3) AS d, TYPEOF(NULLIF(k, 1.5)) AS e, TYPEOF(CAST(k AS VARCHAR)) AS f FROM n WHERE k = 1;
-- @expect
--| {"op":"+I","a":"DOUBLE NOT NULL","b":"DOUBLE","c":"DECIMAL(11, 1)","d":"DECIMAL(13, 12) NOT NULL","e":"INT","f":"STRING"}

SELECT k, 1.0 / 3 AS third, CAST(12345 AS VARCHAR) AS v, k % CAST(2 AS BIGINT) AS r FROM n WHERE k < 2;
-- @expect
--| {"op":"+I","k":1,"third":0.333333333333,"v":"12345","r":1}

-- Text beside other types: equality is never an error.
SELECT k, s IN (1, 12) AS i, s = 12 AS e, '7' < k AS lt, s = DATE '2024-03-10' AS d FROM n;
-- @expect
--| {"op":"+I","k":1,"i":true,"e":true,"lt":false,"d":false}
--| {"op":"+I","k":2,"i":false,"e":false,"lt":false,"d":null}
--| {"op":"+I","k":3,"i":null,"e":null,"lt":false,"d":null}

SELECT k FROM n WHERE s > 3;
-- @error
--| 'abc' is not a value of INT

-- Precisions of TIMESTAMP that cannot hold each other's values still compare.
SELECT k, ts > TIMESTAMP '2024-03-10 00:00:00.123456789' AS later FROM n;
-- @expect
--| {"op":"+I","k":1,"later":false}
--| {"op":"+I","k":2,"later":true}
--| {"op":"+I","k":3,"later":null}

-- A pattern from a column means what the literal means.
SELECT k, j LIKE pat AS a, j LIKE 'C:\dir\%' AS b FROM n;
-- @expect
--| {"op":"+I","k":1,"a":true,"b":true}
--| {"op":"+I","k":2,"a":false,"b":false}
--| {"op":"+I","k":3,"a":null,"b":null}

SELECT TYPEOF(x) AS t FROM (SELECT p AS x FROM n UNION ALL SELECT 1.5) WHERE x = 1.5;
-- @expect
--| {"op":"+I","t":"DOUBLE"}

SELECT UNIX_TIMESTAMP('2010-10-14 12:22:22.000') AS a, UNIX_TIMESTAMP('soon') AS b, JSON_EXISTS('{}', '$.a[*].c') AS c, REGEXP('ä', '\w') AS d, REGEXP('٣', '\d') AS e;
-- @expect
--| {"op":"+I","a":1287058942,"b":null,"c":false,"d":false,"e":false}

SELECT JSON_OBJECT('b' VALUE 1, 'a': 's', 'b' VALUE 2) AS o, JSON_QUERY('{"b":1,"a":{"d":1,"c":2}}', '$.a') AS q, TRIM(BOTH FROM ' x ') AS t, POSITION('b' IN 'abcb' FROM 3) AS p, INET_NTOA(INET_ATON('127.0.0.1')) AS i;
-- @expect
--| {"op":"+I","o":"{\"a\":\"s\",\"b\":2}","q":"{\"c\":2,\"d\":1}","t":"x","p":4,"i":"127.0.0.1"}
