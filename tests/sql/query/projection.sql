-- Projections, filters, CASE, nested access, as in Flink.
-- @file in/a.jsonl
--| {"id": 1, "name": "ann", "score": 1.5, "tags": ["x", "y"], "m": {"k": 7}, "r": {"a": 1, "b": "q"}}
--| {"id": 2, "name": null, "score": 2.5, "tags": [], "m": {}, "r": {"a": 2, "b": "w"}}
--| {"id": 3, "name": "Cid", "score": null}
CREATE TABLE t (
  id INT, name STRING, score DOUBLE, tags ARRAY<STRING>, m MAP<STRING, INT>, r ROW<a INT, b STRING>
) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in', 'format' = 'json');

SELECT id, UPPER(name) AS name, score * 2 AS twice FROM t WHERE id <> 2;
-- @expect
--| {"op":"+I","id":1,"name":"ANN","twice":3.0}
--| {"op":"+I","id":3,"name":"CID","twice":null}

SELECT id, tags[1] AS first_tag, tags[2] AS second_tag, m['k'] AS k, r.b AS b FROM t;
-- @expect
--| {"op":"+I","id":1,"first_tag":"x","second_tag":"y","k":7,"b":"q"}
--| {"op":"+I","id":2,"first_tag":null,"second_tag":null,"k":null,"b":"w"}
--| {"op":"+I","id":3,"first_tag":null,"second_tag":null,"k":null,"b":null}

SELECT id, CASE WHEN score > 2 THEN 'high' WHEN score > 1 THEN 'mid' ELSE 'none' END AS level FROM t;
-- @expect
--| {"op":"+I","id":1,"level":"mid"}
--| {"op":"+I","id":2,"level":"high"}
--| {"op":"+I","id":3,"level":"none"}

SELECT id FROM t WHERE name IS NULL OR name LIKE 'a%';
-- @expect
--| {"op":"+I","id":1}
--| {"op":"+I","id":2}

SELECT id, CAST(id AS STRING) || '!' AS s, TRY_CAST('x' AS INT) AS n, CAST(score AS INT) AS i FROM t WHERE id IN (1, 2);
-- @expect
--| {"op":"+I","id":1,"s":"1!","n":null,"i":1}
--| {"op":"+I","id":2,"s":"2!","n":null,"i":2}

SELECT 7 / 2 AS q, MOD(7, 2) AS r, 'it''s' AS s;
-- @expect
--| {"op":"+I","q":3,"r":1,"s":"it's"}
