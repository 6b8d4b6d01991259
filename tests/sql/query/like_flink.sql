-- What Flink takes and gives, each tried on Flink 2.3.

-- NULL is equal to nothing, inside of collections as well.
SELECT id, ARRAY[x] = ARRAY[x] AS a, ARRAY[x] <> ARRAY[x] AS b, MAP['k', x] = MAP['k', x] AS c, ROW(x) = ROW(x) AS d
FROM (VALUES (1, CAST(NULL AS INT)), (2, 7)) AS t(id, x);
-- @expect
--| {"op":"+I","id":1,"a":false,"b":true,"c":false,"d":null}
--| {"op":"+I","id":2,"a":true,"b":false,"c":true,"d":true}

SELECT CAST(NULL AS ARRAY<INT>) = ARRAY[CAST(NULL AS INT)] AS a, ARRAY[CAST(NULL AS INT)] = CAST(NULL AS ARRAY<INT>) AS b, ARRAY[1, NULL] = ARRAY[1] AS c;
-- @expect
--| {"op":"+I","a":null,"b":null,"c":false}

-- JSON is put into JSON as it is, numbers have the text of Java's BigDecimal.
SELECT JSON_STRING(JSON_OBJECT('a' VALUE 1)) AS a, JSON_ARRAY(x) AS b, JSON_OBJECT('k': x, 'u': UPPER('a'), 'n': JSON_ARRAY(1, 2)) AS c, JSON_VALUE('{"a":1e2}', '$.a') AS d
FROM (VALUES (1E300), (-3E-5), (12345678.9E0), (1E7), (-0.0E0)) AS t(x);
-- @expect
--| {"op":"+I","a":"{\"a\":1}","b":"[1.0E+300]","c":"{\"k\":1.0E+300,\"n\":[1,2],\"u\":\"A\"}","d":"1E+2"}
--| {"op":"+I","a":"{\"a\":1}","b":"[-0.000030]","c":"{\"k\":-0.000030,\"n\":[1,2],\"u\":\"A\"}","d":"1E+2"}
--| {"op":"+I","a":"{\"a\":1}","b":"[12345678.9]","c":"{\"k\":12345678.9,\"n\":[1,2],\"u\":\"A\"}","d":"1E+2"}
--| {"op":"+I","a":"{\"a\":1}","b":"[1.0E+7]","c":"{\"k\":1.0E+7,\"n\":[1,2],\"u\":\"A\"}","d":"1E+2"}
--| {"op":"+I","a":"{\"a\":1}","b":"[0.0]","c":"{\"k\":0.0,\"n\":[1,2],\"u\":\"A\"}","d":"1E+2"}

-- A set in a set, and no class of POSIX.
SELECT REGEXP_INSTR('No', '[[:alpha:]]') AS a, REGEXP_INSTR('No: a', '[[:alpha:]]') AS b;
-- @expect
--| {"op":"+I","a":0,"b":3}

SELECT PERCENTILE(x, 0.9) AS p, PERCENTILE(x, 0.3) AS q FROM (VALUES (1), (1), (3)) AS t(x);
-- @result
--| {"p":2.5999999999999996,"q":1.0}

-- The type of VALUES is that of what is written.
SELECT TYPEOF(x) AS t FROM (VALUES (1), (CAST(NULL AS INT))) AS t(x);
-- @expect
--| {"op":"+I","t":"INT"}
--| {"op":"+I","t":"INT"}

-- A moment is shown with the digits of its type.
SELECT CAST(TIMESTAMP '2021-01-03 12:00:00.5' AS STRING) AS a, CAST(CAST('2022-12-25' AS TIMESTAMP(2)) AS STRING) AS b, TYPEOF(TIMESTAMP '2021-01-03 12:00:00.5') AS c, CAST(TIMESTAMP '2021-01-03 12:00:00.500' AS STRING) AS d;
-- @expect
--| {"op":"+I","a":"2021-01-03 12:00:00.5","b":"2022-12-25 00:00:00.00","c":"TIMESTAMP(1) NOT NULL","d":"2021-01-03 12:00:00.500"}

SELECT x FROM (VALUES (1), (2)) AS t(x) WHERE x >= ALL (VALUES (1), (2));
-- @result
--| {"x":2}

SELECT x FROM (VALUES (1), (2), (3)) AS t(x) WHERE x = ANY (VALUES (1), (3)) AND x < SOME (VALUES (2));
-- @result
--| {"x":1}

SELECT * FROM (VALUES ROW(1, 'a'), ROW(2, 'b')) AS t(x, y);
-- @expect
--| {"op":"+I","x":1,"y":"a"}
--| {"op":"+I","x":2,"y":"b"}

-- Hints for joins of batches have no effect on a stream.
SELECT /*+ BROADCAST(b), NEST_LOOP(a) */ a.x FROM (VALUES (1)) AS a(x) JOIN (VALUES (1)) AS b(y) ON a.x = b.y;
-- @expect
--| {"op":"+I","x":1}

-- The fields of a ROW.
SELECT t.r.*, r.*, t.* FROM (SELECT CAST(ROW(1, 'x') AS ROW<a INT, b STRING>) AS r, 2 AS n) AS t;
-- @expect
--| {"op":"+I","a":1,"b":"x","a0":1,"b0":"x","r":{"a":1,"b":"x"},"n":2}

WITH q AS (SELECT CAST(ROW(1, 'x') AS ROW<a INT, b STRING>) AS r) SELECT q.r.* FROM q;
-- @expect
--| {"op":"+I","a":1,"b":"x"}

SELECT t.n.* FROM (SELECT 2 AS n) AS t;
-- @error
--| n

-- Rows of expressions, and intervals that are sums of others.
SELECT (1 + 1, UPPER('x')) AS r, CAST((x * INTERVAL '1' HOUR) + (INTERVAL '90' MINUTE - COALESCE(INTERVAL '30' MINUTE, INTERVAL '1' DAY)) AS STRING) AS i, COALESCE(CAST(NULL AS ROW<a INT, b STRING>), ROW(1, 'x')) AS c FROM (VALUES (2)) AS t(x);
-- @expect
--| {"op":"+I","r":{"EXPR$0":2,"EXPR$1":"X"},"i":"+0 03:00:00.000","c":{"a":1,"b":"x"}}

-- The last MAP comes first.
SELECT MAP_UNION(MAP['a', 1, 'b', 2], MAP['b', 3, 'c', 4]) AS m, JSON_ARRAY(CAST(1E-10 AS DECIMAL(38, 10)), CAST(0 AS DECIMAL(20, 6))) AS j;
-- @expect
--| {"op":"+I","m":{"b":3,"c":4,"a":1},"j":"[1E-10,0.000000]"}

-- One row at most, by the primary key.
-- @file c.jsonl
--| {"cust": 1, "nm": "ann"}
--| {"cust": 2, "nm": "bob"}
CREATE TABLE c (cust INT, nm STRING, PRIMARY KEY (cust) NOT ENFORCED) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '${DIR}/c.jsonl');
SELECT o.id, (SELECT c.nm FROM c WHERE c.cust = o.id) AS nm FROM (VALUES (1), (3)) AS o(id);
-- @result
--| {"id":1,"nm":"ann"}
--| {"id":3,"nm":null}
SELECT o.id, (SELECT c.nm FROM c WHERE c.nm = 'ann') AS nm FROM (VALUES (1), (3)) AS o(id);
-- @error
--| a scalar subquery that may return more than one row is not supported
