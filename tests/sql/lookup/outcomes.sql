-- How a lookup ended is data of the row: metadata columns, and a policy for each class of errors.
-- @file in.jsonl
--| {"id": "good"}
--| {"id": "none"}
--| {"id": "bad"}
--| {"id": "html"}
--| {"id": null}
-- @route GET /k/good 200
--| {"id": "good", "v": 1}
-- @route GET /k/none 404
-- @route GET /k/bad 500
--| on fire
-- @route GET /k/html 200
--| <html>Welcome</html>
CREATE TABLE t (id STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json');
CREATE TABLE k (
  id STRING, v INT,
  outcome STRING METADATA VIRTUAL,
  kind STRING METADATA FROM 'error-kind' VIRTUAL,
  attempts INT METADATA VIRTUAL,
  status INT METADATA FROM 'http-status-code' VIRTUAL,
  headers MAP<STRING, ARRAY<STRING>> METADATA FROM 'http-headers-map' VIRTUAL
) WITH ('connector' = 'http', 'url' = '${API}/k/{id}', 'format' = 'json', 'lookup.max-retries' = '0',
  'lookup.on-error' = 'null');

SELECT t.id, k.v, k.outcome, k.kind, k.attempts, k.status FROM t LEFT JOIN k ON t.id = k.id;
-- @expect ordered
--| {"op":"+I","id":"good","v":1,"outcome":"ok","kind":null,"attempts":1,"status":200}
--| {"op":"+I","id":"none","v":null,"outcome":"miss","kind":null,"attempts":1,"status":404}
--| {"op":"+I","id":"bad","v":null,"outcome":"error","kind":"status","attempts":1,"status":500}
--| {"op":"+I","id":"html","v":null,"outcome":"error","kind":"decode","attempts":1,"status":null}
--| {"op":"+I","id":null,"v":null,"outcome":null,"kind":null,"attempts":null,"status":null}

-- A query routes on them, from behind the cache as well.
SELECT t.id, k.outcome FROM t JOIN k /*+ OPTIONS('lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '9') */
  ON t.id = k.id WHERE k.outcome <> 'ok';
-- @expect ordered
--| {"op":"+I","id":"none","outcome":"miss"}
--| {"op":"+I","id":"bad","outcome":"error"}
--| {"op":"+I","id":"html","outcome":"error"}

-- The classes of errors have policies of their own.
SELECT t.id, k.v FROM t LEFT JOIN k /*+ OPTIONS('lookup.on-error.decode' = 'drop') */ ON t.id = k.id;
-- @expect ordered
--| {"op":"+I","id":"good","v":1}
--| {"op":"+I","id":"none","v":null}
--| {"op":"+I","id":"bad","v":null}
--| {"op":"+I","id":null,"v":null}

SELECT t.id, k.v FROM t LEFT JOIN k /*+ OPTIONS('lookup.on-error.status' = 'fail') */ ON t.id = k.id;
-- @error
--| 'k'
--| bad

CREATE TABLE wrong (id STRING, outcome INT METADATA VIRTUAL) WITH ('connector' = 'http', 'url' = '${API}/k/{id}');
-- @error
--| metadata 'outcome' is STRING
