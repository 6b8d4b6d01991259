-- A key of the lookup table that is stated twice: one equality asks, the other decides.
-- @file t.jsonl
--| {"a": 1, "b": 1}
--| {"a": 1, "b": 2}
--| {"a": null, "b": 2}
-- @file d.jsonl
--| {"e": 1, "x": "x1"}
--| {"e": 2, "x": "x2"}
-- @route GET /d/1 200
--| {"e": 1, "x": "x1"}
-- @route GET /d/2 200
--| {"e": 2, "x": "x2"}
CREATE TABLE t (a INT, b INT, pt AS PROCTIME()) WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');
CREATE TABLE d (e INT, x STRING, PRIMARY KEY (e) NOT ENFORCED) WITH ('connector' = 'http', 'url' = '${API}/d/{e}', 'format' = 'json');
CREATE TABLE f (e INT, x STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/d.jsonl', 'format' = 'json', 'lookup.cache' = 'FULL', 'lookup.full-cache.periodic-reload.interval' = '1 h');
CREATE TABLE s (e INT, x STRING, ts AS TIMESTAMP '2020-01-01 00:00:00', WATERMARK FOR ts AS ts) WITH ('connector' = 'filesystem', 'path' = '${DIR}/d.jsonl', 'format' = 'json');

SELECT t.a, t.b, d.x FROM t LEFT JOIN d ON t.a = d.e AND t.b = d.e;
-- @expect ordered
--| {"op":"+I","a":1,"b":1,"x":"x1"}
--| {"op":"+I","a":1,"b":2,"x":null}
--| {"op":"+I","a":null,"b":2,"x":null}

SELECT t.a, t.b, d.x FROM t JOIN d ON t.a = d.e AND t.b = d.e;
-- @expect ordered
--| {"op":"+I","a":1,"b":1,"x":"x1"}

SELECT t.a, t.b, d.x FROM t LEFT JOIN d FOR SYSTEM_TIME AS OF t.pt ON d.e = t.b AND d.e = t.a + 1;
-- @expect ordered
--| {"op":"+I","a":1,"b":1,"x":null}
--| {"op":"+I","a":1,"b":2,"x":"x2"}
--| {"op":"+I","a":null,"b":2,"x":null}

SELECT t.a, t.b, d.x FROM t LEFT JOIN d ON t.b = d.e AND d.e = 2;
-- @expect ordered
--| {"op":"+I","a":1,"b":1,"x":null}
--| {"op":"+I","a":1,"b":2,"x":"x2"}
--| {"op":"+I","a":null,"b":2,"x":"x2"}

SELECT t.b, d.x FROM t LEFT JOIN d ON d.e = 1 AND d.e = 2;
-- @expect ordered
--| {"op":"+I","b":1,"x":null}
--| {"op":"+I","b":2,"x":null}
--| {"op":"+I","b":2,"x":null}

SELECT t.a, t.b, d.x FROM t JOIN d ON t.a = d.e WHERE t.b = d.e;
-- @expect ordered
--| {"op":"+I","a":1,"b":1,"x":"x1"}

SELECT t.a, t.b, d.x FROM t, d WHERE t.b = d.e AND d.e = t.a + 1 AND d.e = 2;
-- @expect ordered
--| {"op":"+I","a":1,"b":2,"x":"x2"}

SELECT t.a, t.b, d.x FROM t LEFT JOIN LATERAL TABLE(d(t.a)) AS d ON t.b = d.e;
-- @expect ordered
--| {"op":"+I","a":1,"b":1,"x":"x1"}
--| {"op":"+I","a":1,"b":2,"x":null}
--| {"op":"+I","a":null,"b":2,"x":null}

-- The same type of key in another width.
SELECT t.a, t.b, d.x FROM t LEFT JOIN d ON CAST(t.a AS BIGINT) = d.e AND t.b = d.e;
-- @expect ordered
--| {"op":"+I","a":1,"b":1,"x":"x1"}
--| {"op":"+I","a":1,"b":2,"x":null}
--| {"op":"+I","a":null,"b":2,"x":null}

-- A file that is looked up in.
SELECT t.a, t.b, f.x FROM t LEFT JOIN f ON t.a = f.e AND t.b = f.e;
-- @expect ordered
--| {"op":"+I","a":1,"b":1,"x":"x1"}
--| {"op":"+I","a":1,"b":2,"x":null}
--| {"op":"+I","a":null,"b":2,"x":null}

SELECT t.a, t.b, f.x FROM t LEFT JOIN f ON t.b = f.e AND f.e = 1 + 1;
-- @expect ordered
--| {"op":"+I","a":1,"b":1,"x":null}
--| {"op":"+I","a":1,"b":2,"x":"x2"}
--| {"op":"+I","a":null,"b":2,"x":"x2"}

-- A join of streams.
SELECT t.a, t.b, s.x FROM t LEFT JOIN (SELECT e, x FROM s) AS s ON t.a = s.e AND t.b = s.e;
-- @result
--| {"a":1,"b":1,"x":"x1"}
--| {"a":1,"b":2,"x":null}
--| {"a":null,"b":2,"x":null}
