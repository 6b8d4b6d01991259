-- What a query says first is decided first: a condition that fails counts only where the others let the row pass.
-- @file t.jsonl
--| {"k": 1, "s": "12"}
--| {"k": 2, "s": "abc"}
--| {"k": 3, "s": "5"}
--| {"k": 4, "s": null}
-- @file u.jsonl
--| {"n": 12, "kind": "x"}
--| {"n": 5, "kind": "y"}
-- @route GET /d/12 200
--| {"n": 12, "v": "twelve"}
-- @route GET /d/5 200
--| {"n": 5, "v": "five"}
CREATE TABLE t (k INT, s STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');
CREATE TABLE u (n INT, kind STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/u.jsonl', 'format' = 'json');
CREATE TABLE d (n INT, v STRING, PRIMARY KEY (n) NOT ENFORCED) WITH ('connector' = 'http', 'url' = '${API}/d/{n}', 'format' = 'json');

SELECT k FROM t WHERE s <> 'abc' AND CAST(s AS INT) > 10;
-- @expect ordered
--| {"op":"+I","k":1}

SELECT k FROM (SELECT * FROM t WHERE k <> 2) WHERE CAST(s AS INT) > 10;
-- @expect ordered
--| {"op":"+I","k":1}

SELECT k, (k = 2 OR CAST(s AS INT) > 10) AS r FROM t;
-- @expect ordered
--| {"op":"+I","k":1,"r":true}
--| {"op":"+I","k":2,"r":true}
--| {"op":"+I","k":3,"r":false}
--| {"op":"+I","k":4,"r":null}

SELECT k, NOT (k <> 2 AND CAST(s AS INT) > 10) AS r FROM t;
-- @expect ordered
--| {"op":"+I","k":1,"r":false}
--| {"op":"+I","k":2,"r":true}
--| {"op":"+I","k":3,"r":true}
--| {"op":"+I","k":4,"r":null}

-- Nothing guards: the job fails.
SELECT k FROM t WHERE CAST(s AS INT) > 10 AND s <> 'abc';
-- @error
--| abc

SELECT k FROM t WHERE CAST(s AS INT) > 10 OR k = 2;
-- @error
--| abc

SELECT k, CASE WHEN k = 2 THEN -1 WHEN CAST(s AS INT) > 10 THEN 1 ELSE 0 END AS c,
  IF(k = 2, 0, CAST(s AS INT)) AS i, COALESCE(NULLIF(k, 1), CAST(s AS INT)) AS o,
  IFNULL(NULLIF(k, 3), CAST(s AS INT)) AS p
FROM t;
-- @expect ordered
--| {"op":"+I","k":1,"c":1,"i":12,"o":12,"p":1}
--| {"op":"+I","k":2,"c":-1,"i":0,"o":2,"p":2}
--| {"op":"+I","k":3,"c":0,"i":5,"o":3,"p":5}
--| {"op":"+I","k":4,"c":0,"i":null,"o":4,"p":4}

-- The same call guarded in one place and not evaluated for all in another.
SELECT k, COALESCE(NULLIF(k, 1), CAST(s AS INT)) AS a, COALESCE(NULLIF(k, 3), CAST(s AS INT)) AS b,
  CASE WHEN s <> 'abc' THEN CAST(s AS INT) END AS c, CASE WHEN s <> 'abc' THEN CAST(s AS INT) + 1 END AS d
FROM t;
-- @expect ordered
--| {"op":"+I","k":1,"a":12,"b":1,"c":12,"d":13}
--| {"op":"+I","k":2,"a":2,"b":2,"c":null,"d":null}
--| {"op":"+I","k":3,"a":3,"b":5,"c":5,"d":6}
--| {"op":"+I","k":4,"a":4,"b":4,"c":null,"d":null}

-- A condition of both branches is not decided before them.
SELECT k FROM t WHERE (k = 1 AND CAST(s AS INT) > 3) OR (k = 3 AND CAST(s AS INT) > 3);
-- @expect ordered
--| {"op":"+I","k":1}
--| {"op":"+I","k":3}

-- Views, names, unions, sorts.
CREATE VIEW numbers AS SELECT k AS id, s AS txt FROM t WHERE s <> 'abc' OR s IS NULL;
SELECT id FROM (SELECT id, CAST(txt AS INT) AS n FROM numbers) AS x WHERE n > 10;
-- @expect ordered
--| {"op":"+I","id":1}
SELECT id FROM (SELECT id, txt FROM numbers UNION ALL SELECT k, s FROM t WHERE k = 3) AS x WHERE CAST(txt AS INT) < 10;
-- @expect
--| {"op":"+I","id":3}
--| {"op":"+I","id":3}

-- Division.
SELECT k FROM t WHERE k <> 2 AND 10 / (k - 2) < 0;
-- @expect ordered
--| {"op":"+I","k":1}

-- FILTER and HAVING.
SELECT SUM(CAST(s AS INT)) FILTER (WHERE s <> 'abc') AS n, COUNT(*) AS c FROM t;
-- @result
--| {"n":17,"c":4}

SELECT LISTAGG(s) FILTER (WHERE s <> 'abc') AS l, MAX(10 / (k - 2)) FILTER (WHERE k <> 2) AS m FROM t;
-- @result
--| {"l":"12,5","m":10}

SELECT s, COUNT(*) AS c FROM t WHERE s IS NOT NULL GROUP BY s HAVING s <> 'abc' AND CAST(s AS INT) > 10;
-- @result
--| {"s":"12","c":1}

SELECT s, SUM(k) AS n FROM t WHERE s IS NOT NULL GROUP BY s HAVING SUM(k) <> 2 AND CAST(s AS INT) > 1;
-- @result
--| {"s":"12","n":1}
--| {"s":"5","n":3}

-- A row per key, then what may fail.
SELECT k FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY s) AS rn FROM t WHERE k <> 2) WHERE rn = 1 AND CAST(s AS INT) > 10;
-- @result
--| {"k":1}

-- Joins: ON, WHERE behind the join, keys.
SELECT t.k, u.kind FROM t JOIN u ON t.s <> 'abc' AND CAST(t.s AS INT) = u.n;
-- @result
--| {"k":1,"kind":"x"}
--| {"k":3,"kind":"y"}

SELECT t.k, u.kind FROM t LEFT JOIN u ON t.s <> 'abc' AND CAST(t.s AS INT) = u.n;
-- @result
--| {"k":1,"kind":"x"}
--| {"k":2,"kind":null}
--| {"k":3,"kind":"y"}
--| {"k":4,"kind":null}

SELECT t.k, u.kind FROM t, u WHERE t.s <> 'abc' AND CAST(t.s AS INT) = u.n;
-- @result
--| {"k":1,"kind":"x"}
--| {"k":3,"kind":"y"}

-- The join itself guards: key 2 has no partner.
SELECT t.k FROM t JOIN u ON t.k + 4 = u.n OR t.k + 11 = u.n WHERE CAST(t.s AS INT) > 1;
-- @result
--| {"k":1}
--| {"k":1}

SELECT t.k FROM t JOIN (VALUES (1), (3)) AS w(k) ON t.k = w.k WHERE CAST(t.s AS INT) > 1;
-- @result
--| {"k":1}
--| {"k":3}

SELECT t.k FROM t JOIN (VALUES (1, 12), (2, 3), (3, 4)) AS w(k, n) ON t.k = w.k AND w.n > 3 AND CAST(t.s AS INT) = w.n;
-- @result
--| {"k":1}

SELECT t.k, w.n FROM t LEFT JOIN (VALUES (1, 12), (2, 3), (3, 4)) AS w(k, n) ON t.k = w.k AND w.n > 3 AND CAST(t.s AS INT) = w.n;
-- @result
--| {"k":1,"n":12}
--| {"k":2,"n":null}
--| {"k":3,"n":null}
--| {"k":4,"n":null}

-- Subqueries guard what stands behind them.
SELECT k FROM t WHERE k IN (SELECT k FROM (VALUES (1), (3)) AS w(k)) AND CAST(s AS INT) > 10;
-- @result
--| {"k":1}

SELECT k FROM t WHERE s <> 'abc' AND CAST(s AS INT) IN (SELECT n FROM u WHERE kind = 'x');
-- @result
--| {"k":1}

-- Lookups: the key is not computed where its guards are not TRUE.
SELECT t.k, d.v FROM t LEFT JOIN d ON t.s <> 'abc' AND CAST(t.s AS INT) = d.n;
-- @expect ordered
--| {"op":"+I","k":1,"v":"twelve"}
--| {"op":"+I","k":2,"v":null}
--| {"op":"+I","k":3,"v":"five"}
--| {"op":"+I","k":4,"v":null}

SELECT t.k, d.v FROM t JOIN d ON t.s <> 'abc' AND CAST(t.s AS INT) = d.n;
-- @expect ordered
--| {"op":"+I","k":1,"v":"twelve"}
--| {"op":"+I","k":3,"v":"five"}

SELECT t.k, d.v FROM (SELECT * FROM t WHERE k <> 2) AS t JOIN d ON CAST(t.s AS INT) = d.n;
-- @expect ordered
--| {"op":"+I","k":1,"v":"twelve"}
--| {"op":"+I","k":3,"v":"five"}
-- @calls 6

-- A condition that can fail still spares calls: 7 is not asked for.
SELECT w.n, d.v FROM (VALUES (12), (7)) AS w(n) JOIN d ON w.n = d.n WHERE 24 / w.n = 2;
-- @expect ordered
--| {"op":"+I","n":12,"v":"twelve"}
-- @calls 7
