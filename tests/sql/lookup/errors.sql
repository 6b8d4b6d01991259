-- An error never looks like a miss: fail names table, key and cause; null and drop are declared.
-- @file in.jsonl
--| {"id": "good"}
--| {"id": "bad"}
--| {"id": "html"}
--| {"id": "good"}
-- @route GET /k/good 200
--| {"id": "good", "v": 1}
-- @route GET /k/bad 500
--| the database is on fire
-- @route GET /k/html 200
--| <html><body>Welcome</body></html>
CREATE TABLE t (id STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json');
CREATE TABLE k (id STRING, v INT) WITH (
  'connector' = 'http', 'url' = '${API}/k/{id}', 'format' = 'json', 'lookup.max-retries' = '0');

SELECT t.id, k.v FROM t LEFT JOIN k ON t.id = k.id WHERE t.id <> 'html';
-- @error
--| 'k'
--| bad
--| 500

SELECT t.id, k.v FROM t LEFT JOIN k ON t.id = k.id WHERE t.id <> 'bad';
-- @error
--| 'k'
--| html

SELECT t.id, k.v FROM t LEFT JOIN k /*+ OPTIONS('lookup.on-error' = 'null') */ ON t.id = k.id;
-- @expect ordered
--| {"op":"+I","id":"good","v":1}
--| {"op":"+I","id":"bad","v":null}
--| {"op":"+I","id":"html","v":null}
--| {"op":"+I","id":"good","v":1}

SELECT t.id, k.v FROM t LEFT JOIN k /*+ OPTIONS('lookup.on-error' = 'drop') */ ON t.id = k.id;
-- @expect ordered
--| {"op":"+I","id":"good","v":1}
--| {"op":"+I","id":"good","v":1}
