-- Rows whose lookup failed go to a table that the user names.
-- @file in.jsonl
--| {"id": "good", "n": 1}
--| {"id": "bad", "n": 2}
--| {"id": "none", "n": 3}
--| {"id": "html", "n": 4}
--| {"id": null, "n": 5}
-- @route GET /k/good 200
--| {"id": "good", "v": 1}
-- @route GET /k/none 404
-- @route GET /k/bad 500
--| on fire
-- @route GET /k/html 200
--| <html>Welcome</html>
CREATE TABLE t (id STRING, n INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json');
CREATE TABLE k (id STRING, v INT) WITH ('connector' = 'http', 'url' = '${API}/k/{id}', 'format' = 'json', 'lookup.max-retries' = '0',
  'lookup.on-error' = 'dead-letter', 'lookup.dead-letter' = 'dead');
CREATE TABLE dead (table_name STRING, kind STRING, lookup_key STRING, row_json STRING, attempts INT)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/dead', 'format' = 'json');
CREATE TABLE out (id STRING, n INT, v INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/out', 'format' = 'json');
SET 'table.dml-sync' = 'true';

INSERT INTO out SELECT t.id, t.n, k.v FROM t LEFT JOIN k ON t.id = k.id;
SELECT * FROM out;
-- @expect
--| {"op":"+I","id":"good","n":1,"v":1}
--| {"op":"+I","id":"none","n":3,"v":null}
--| {"op":"+I","id":null,"n":5,"v":null}
SELECT * FROM dead;
-- @expect
--| {"op":"+I","table_name":"k","kind":"status","lookup_key":"{\"id\":\"bad\"}","row_json":"{\"id\":\"bad\",\"n\":2}","attempts":1}
--| {"op":"+I","table_name":"k","kind":"decode","lookup_key":"{\"id\":\"html\"}","row_json":"{\"id\":\"html\",\"n\":4}","attempts":1}

-- A query that is shown has no second way out: such rows are left out, and counted.
SELECT t.id, k.v FROM t JOIN k ON t.id = k.id;
-- @expect
--| {"op":"+I","id":"good","v":1}

-- Two lookups, one of them for some errors only, with one table for what fails.
CREATE TABLE k2 (id STRING, v INT) WITH ('connector' = 'http', 'url' = '${API}/k/{id}', 'format' = 'json', 'lookup.max-retries' = '0',
  'lookup.on-error' = 'null', 'lookup.on-error.decode' = 'dead-letter', 'lookup.dead-letter' = 'dead2');
CREATE TABLE dead2 (kind STRING, lookup_key STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/dead2', 'format' = 'json');
CREATE TABLE out2 (id STRING, v INT, w INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/out2', 'format' = 'json');
INSERT INTO out2 SELECT t.id, k.v, k2.v FROM t
  JOIN k2 ON t.id = k2.id LEFT JOIN k /*+ OPTIONS('lookup.dead-letter' = 'dead2') */ ON t.id = k.id;
SELECT * FROM out2;
-- @expect
--| {"op":"+I","id":"good","v":1,"w":1}
SELECT * FROM dead2;
-- @expect
--| {"op":"+I","kind":"decode","lookup_key":"{\"id\":\"html\"}"}

CREATE TABLE w1 (id STRING) WITH ('connector' = 'http', 'url' = '${API}/k/{id}', 'lookup.on-error' = 'dead-letter');
INSERT INTO out2 SELECT t.id, 1, 1 FROM t JOIN w1 ON t.id = w1.id;
-- @error
--| 'lookup.on-error' = 'dead-letter' needs 'lookup.dead-letter'

INSERT INTO out2 SELECT t.id, 1, 1 FROM t JOIN k /*+ OPTIONS('lookup.dead-letter' = 'nowhere') */ ON t.id = k.id;
-- @error
--| 'lookup.dead-letter' of table 'k'
