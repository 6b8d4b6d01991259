-- Elements and fields behind a table's name, in joins, in UNNEST.
-- @file t.jsonl
--| {"k": 1, "a": [10, 20], "m": {"x": 5}, "items": [{"sku": "p", "q": 1}, {"sku": "r", "q": 2}], "payload": {"commits": [{"id": "c1"}, {"id": "c2"}], "deep": {"tags": ["t1"]}}}
--| {"k": 2, "a": [30], "m": {"y": 6}, "items": [], "payload": {"commits": [], "deep": {"tags": ["t2", "t3"]}}}
-- @file n.jsonl
--| {"n": 20, "name": "twenty"}
CREATE TABLE t (k INT, a ARRAY<INT>, m MAP<STRING, INT>, items ARRAY<ROW<sku STRING, q INT>>,
  payload ROW<commits ARRAY<ROW<id STRING>>, deep ROW<tags ARRAY<STRING>>>)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');
CREATE TABLE n (n INT, name STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/n.jsonl', 'format' = 'json');

SELECT o.k, o.a[2] AS second, o.m['x'] AS x, o.items[1].sku AS sku, o.payload.deep.tags[1] AS tag FROM t AS o;
-- @expect ordered
--| {"op":"+I","k":1,"second":20,"x":5,"sku":"p","tag":"t1"}
--| {"op":"+I","k":2,"second":null,"x":null,"sku":null,"tag":"t2"}

SELECT t.k, t.a[2] AS second, n.name FROM t LEFT JOIN n ON t.a[2] = n.n;
-- @result
--| {"k":1,"second":20,"name":"twenty"}
--| {"k":2,"second":null,"name":null}

SELECT t.k FROM t WHERE t.items[2].q = 2 AND payload.commits[1].id = 'c1';
-- @expect ordered
--| {"op":"+I","k":1}

SELECT g.k, c.id FROM t AS g CROSS JOIN UNNEST(g.payload.commits) AS c(id);
-- @expect ordered
--| {"op":"+I","k":1,"id":"c1"}
--| {"op":"+I","k":1,"id":"c2"}

SELECT k, tag FROM t CROSS JOIN UNNEST(payload.deep.tags) AS c(tag);
-- @expect ordered
--| {"op":"+I","k":1,"tag":"t1"}
--| {"op":"+I","k":2,"tag":"t2"}
--| {"op":"+I","k":2,"tag":"t3"}

SELECT g.k, c.tag FROM t AS g LEFT JOIN UNNEST(g.payload.deep.tags) AS c(tag) ON c.tag <> 't1';
-- @expect ordered
--| {"op":"+I","k":1,"tag":null}
--| {"op":"+I","k":2,"tag":"t2"}
--| {"op":"+I","k":2,"tag":"t3"}
