-- Subqueries wherever an expression stands: the SELECT list, CASE, ON; rows in IN; ANY and ALL.
-- @file t.jsonl
--| {"k": 1, "a": 10, "b": "x"}
--| {"k": 2, "a": 20, "b": "y"}
--| {"k": 3, "a": null, "b": "z"}
-- @file u.jsonl
--| {"n": 10, "s": "x"}
--| {"n": 30, "s": "z"}
-- @file w.jsonl
--| {"n": 10}
--| {"n": null}
-- @file e.jsonl
CREATE TABLE t (k INT, a INT, b STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');
CREATE TABLE u (n INT, s STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/u.jsonl', 'format' = 'json');
CREATE TABLE w (n INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/w.jsonl', 'format' = 'json');
CREATE TABLE e (n INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/e.jsonl', 'format' = 'json');

SELECT k, a IN (SELECT n FROM u) AS i, a NOT IN (SELECT n FROM u) AS o, a IN (SELECT n FROM w) AS nulls, a IN (SELECT n FROM e) AS nothing FROM t;
-- @result
--| {"k":1,"i":true,"o":false,"nulls":true,"nothing":false}
--| {"k":2,"i":false,"o":true,"nulls":null,"nothing":false}
--| {"k":3,"i":null,"o":null,"nulls":null,"nothing":false}

SELECT k, EXISTS (SELECT 1 FROM u WHERE u.s = t.b) AS e, NOT EXISTS (SELECT 1 FROM e) AS none FROM t;
-- @result
--| {"k":1,"e":true,"none":true}
--| {"k":2,"e":false,"none":true}
--| {"k":3,"e":true,"none":true}

SELECT k, CASE WHEN a IN (SELECT n FROM u) THEN 'in' WHEN EXISTS (SELECT 1 FROM u WHERE u.s = t.b) THEN 'name' ELSE 'no' END AS c FROM t;
-- @result
--| {"k":1,"c":"in"}
--| {"k":2,"c":"no"}
--| {"k":3,"c":"name"}

SELECT k, (SELECT MAX(n) FROM u) - k AS m, (SELECT COUNT(*) FROM e) AS zero FROM t;
-- @result
--| {"k":1,"m":29,"zero":0}
--| {"k":2,"m":28,"zero":0}
--| {"k":3,"m":27,"zero":0}

SELECT k FROM t WHERE (CASE WHEN a IN (SELECT n FROM u) THEN 1 ELSE 0 END) = 1;
-- @result
--| {"k":1}

SELECT k FROM t WHERE (a, b) IN (SELECT n, s FROM u);
-- @result
--| {"k":1}

SELECT k FROM t WHERE (a, b) NOT IN (SELECT n, s FROM u);
-- @result
--| {"k":2}

SELECT k FROM t WHERE k > 0 AND NOT (a, b) IN (SELECT n, s FROM u WHERE n < 20);
-- @result
--| {"k":2}
--| {"k":3}

SELECT k FROM t WHERE a = ANY (SELECT n FROM u);
-- @result
--| {"k":1}
SELECT k FROM t WHERE a <> ALL (SELECT n FROM u);
-- @result
--| {"k":2}
SELECT k FROM t WHERE a > ANY (SELECT n FROM u);
-- @result
--| {"k":2}
SELECT k FROM t WHERE a >= SOME (SELECT n FROM u);
-- @result
--| {"k":1}
--| {"k":2}
SELECT k FROM t WHERE a < ALL (SELECT n FROM u WHERE n > 10);
-- @result
--| {"k":1}
--| {"k":2}
SELECT k, a < ALL (SELECT n FROM u) AS l, a < ALL (SELECT n FROM e) AS e, a > ANY (SELECT n FROM w) AS w, a <> ANY (SELECT n FROM u) AS d FROM t;
-- @result
--| {"k":1,"l":false,"e":true,"w":null,"d":true}
--| {"k":2,"l":false,"e":true,"w":true,"d":true}
--| {"k":3,"l":null,"e":true,"w":null,"d":null}

SELECT t.k, u.s FROM t JOIN u ON t.b = u.s AND t.a IN (SELECT n FROM w);
-- @result
--| {"k":1,"s":"x"}
SELECT t.k, u.s FROM t LEFT JOIN u ON t.b = u.s AND t.a IN (SELECT n FROM w);
-- @result
--| {"k":1,"s":"x"}
--| {"k":2,"s":null}
--| {"k":3,"s":null}
SELECT t.k, u.s FROM t LEFT JOIN u ON t.b = u.s AND u.n IN (SELECT n FROM w);
-- @result
--| {"k":1,"s":"x"}
--| {"k":2,"s":null}
--| {"k":3,"s":null}
SELECT t.k, u.s FROM t LEFT JOIN u ON t.b = u.s AND t.k < (SELECT MAX(k) FROM t);
-- @result
--| {"k":1,"s":"x"}
--| {"k":2,"s":null}
--| {"k":3,"s":null}
