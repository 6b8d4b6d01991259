-- Queries of a session share the cache of a table: whole rows, by key.
-- @file in.jsonl
--| {"id": "a"}
--| {"id": "b"}
-- @file more.jsonl
--| {"id": "a"}
--| {"id": "c"}
-- @route GET /k/a 200
--| {"id": "a", "v": 1, "w": "one"}
-- @route GET /k/b 200
--| {"id": "b", "v": 2, "w": "two"}
CREATE TABLE t (id STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json');
CREATE TABLE more (id STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/more.jsonl', 'format' = 'json');
CREATE TABLE k (id STRING, v INT, w STRING) WITH ('connector' = 'http', 'url' = '${API}/k/{id}', 'format' = 'json',
  'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '100');

SELECT t.id, k.v FROM t JOIN k ON t.id = k.id;
-- @expect ordered
--| {"op":"+I","id":"a","v":1}
--| {"op":"+I","id":"b","v":2}
-- @calls 2

-- Another column of the same rows, with another filter.
SELECT more.id, k.w FROM more LEFT JOIN k ON more.id = k.id AND k.v > 0;
-- @expect ordered
--| {"op":"+I","id":"a","w":"one"}
--| {"op":"+I","id":"c","w":null}
-- @calls 3

SHOW CACHES;
-- @text
--| {"table name":"k","key":"id","entries":3,

DESCRIBE CACHE k;
-- @text
--| {"key":"id","metadata":null,"entries":3,
--| "hits":1,"misses":3,
--| "stale":0,"loads":3,"not found":1,"errors":0,"evictions":0,

CLEAR CACHE k WHERE id = 'a';
SELECT t.id, k.v FROM t JOIN k ON t.id = k.id;
-- @expect ordered
--| {"op":"+I","id":"a","v":1}
--| {"op":"+I","id":"b","v":2}
-- @calls 4

CLEAR CACHE k;
WARM CACHE k FROM (SELECT id FROM t);
-- @text
--| 2 keys asked for
-- @calls 6
SELECT t.id, k.v FROM t JOIN k ON t.id = k.id;
-- @expect ordered
--| {"op":"+I","id":"a","v":1}
--| {"op":"+I","id":"b","v":2}
-- @calls 6

-- Changing the table drops what is known of it.
ALTER TABLE k SET ('lookup.max-retries' = '1');
SELECT t.id, k.v FROM t JOIN k ON t.id = k.id;
-- @expect ordered
--| {"op":"+I","id":"a","v":1}
--| {"op":"+I","id":"b","v":2}
-- @calls 8

CLEAR CACHE k WHERE v = 3;
-- @error
--| the cache of table 'k' is not asked by (v)

CLEAR CACHE k WHERE v > 3;
-- @error
--| CLEAR CACHE takes the values of one key

CLEAR CACHE t;
-- @error
--| table 't' is loaded whole

CREATE TABLE plain (id STRING, v INT) WITH ('connector' = 'http', 'url' = '${API}/k/{id}', 'format' = 'json');
WARM CACHE plain FROM (SELECT id FROM t);
-- @error
--| table 'plain' has no cache
