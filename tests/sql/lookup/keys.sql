-- Field, expression and constant keys; residual and pre-filters; fan-out.
-- @file in.jsonl
--| {"id": 5, "limit_": 10}
--| {"id": 9, "limit_": 1}
-- @route GET /d/1 200
--| [{"k": 1, "v": 3, "name": "a"}, {"k": 1, "v": 20, "name": "b"}]
-- @route GET /d/5 200
--| {"k": 5, "v": 5, "name": "five"}
CREATE TABLE t (id INT, limit_ INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json');
CREATE TABLE d (k INT, v INT, name STRING) WITH ('connector' = 'http', 'url' = '${API}/d/{k}', 'format' = 'json');

SELECT t.id, d.name FROM t JOIN d ON MOD(t.id, 4) = d.k;
-- @expect ordered
--| {"op":"+I","id":5,"name":"a"}
--| {"op":"+I","id":5,"name":"b"}
--| {"op":"+I","id":9,"name":"a"}
--| {"op":"+I","id":9,"name":"b"}
-- @calls 2

SELECT t.id, d.name FROM t LEFT JOIN d ON MOD(t.id, 4) = d.k AND d.v < t.limit_;
-- @expect ordered
--| {"op":"+I","id":5,"name":"a"}
--| {"op":"+I","id":9,"name":null}

SELECT t.id, d.name FROM t LEFT JOIN d ON d.k = 5;
-- @expect ordered
--| {"op":"+I","id":5,"name":"five"}
--| {"op":"+I","id":9,"name":"five"}
-- @calls 6

-- The condition on the left side decides before the call: one call for id 5 only.
SELECT t.id, d.name FROM t LEFT JOIN d ON t.id = d.k AND t.limit_ > 5;
-- @expect ordered
--| {"op":"+I","id":5,"name":"five"}
--| {"op":"+I","id":9,"name":null}
-- @calls 7

SELECT t.id, d.name FROM t JOIN d ON t.id = d.k AND t.limit_ > 5 WHERE d.v = 5;
-- @expect ordered
--| {"op":"+I","id":5,"name":"five"}
-- @calls 8

-- A BIGINT is compared with an INT key; what does not fit matches nothing.
SELECT t.id, d.name FROM t LEFT JOIN d ON CAST(t.id AS BIGINT) * 1000000000000 = d.k;
-- @expect ordered
--| {"op":"+I","id":5,"name":null}
--| {"op":"+I","id":9,"name":null}
-- @calls 8

-- Chained lookups.
SELECT t.id, a.name, b.name AS other FROM t JOIN d AS a ON t.id = a.k JOIN d AS b ON a.v - 4 = b.k AND b.v = 20;
-- @expect ordered
--| {"op":"+I","id":5,"name":"five","other":"b"}

-- A view over the lookup table, with a projection and a filter of its own.
CREATE VIEW named AS SELECT k, UPPER(name) AS n, 'c' AS constant FROM d WHERE v < 10;
SELECT t.id, x.n, x.constant FROM t LEFT JOIN named AS x ON t.id = x.k;
-- @expect ordered
--| {"op":"+I","id":5,"n":"FIVE","constant":"c"}
--| {"op":"+I","id":9,"n":null,"constant":null}
