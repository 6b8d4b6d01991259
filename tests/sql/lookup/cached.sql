-- CACHED: one request for each key, misses included; ASYNC and SYNC: one for each row.
-- @file in.jsonl
--| {"id": "a"}
--| {"id": "b"}
--| {"id": "a"}
--| {"id": "b"}
--| {"id": "a"}
-- @route GET /k/a 200 delay=20
--| {"id": "a", "v": 1}
CREATE TABLE t (id STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json');
CREATE TABLE k (id STRING, v INT) WITH ('connector' = 'http', 'url' = '${API}/k/{id}', 'format' = 'json');

SET 'enrichment.strategy' = 'CACHED';
SELECT t.id, k.v FROM t LEFT JOIN k ON t.id = k.id;
-- @expect ordered
--| {"op":"+I","id":"a","v":1}
--| {"op":"+I","id":"b","v":null}
--| {"op":"+I","id":"a","v":1}
--| {"op":"+I","id":"b","v":null}
--| {"op":"+I","id":"a","v":1}
-- @calls 2

SET 'enrichment.strategy' = 'SYNC';
SELECT t.id, k.v FROM t JOIN k ON t.id = k.id;
-- @expect ordered
--| {"op":"+I","id":"a","v":1}
--| {"op":"+I","id":"a","v":1}
--| {"op":"+I","id":"a","v":1}
-- @calls 7

SET 'enrichment.strategy' = 'ASYNC';
SELECT t.id, k.v FROM t JOIN k ON t.id = k.id;
-- @expect ordered
--| {"op":"+I","id":"a","v":1}
--| {"op":"+I","id":"a","v":1}
--| {"op":"+I","id":"a","v":1}
-- @calls 12

RESET 'enrichment.strategy';
SELECT /*+ LOOKUP('table' = 'k', 'async' = 'true', 'output-mode' = 'allow_unordered', 'capacity' = '2', 'timeout' = '10 s') */ t.id, k.v
FROM t JOIN k /*+ OPTIONS('lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '10', 'lookup.partial-cache.cache-missing-key' = 'false') */ ON t.id = k.id;
-- @expect
--| {"op":"+I","id":"a","v":1}
--| {"op":"+I","id":"a","v":1}
--| {"op":"+I","id":"a","v":1}
