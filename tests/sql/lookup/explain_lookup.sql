-- EXPLAIN LOOKUP asks for one key and shows each step.
-- @file in.jsonl
--| {"id": "a"}
-- @route GET /k/a 200
--| {"id": "a", "v": 1}
-- @route GET /k/bad 500
--| on fire
CREATE TABLE t (id STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json');
CREATE TABLE k (id STRING, v INT, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'http', 'url' = '${API}/k/{id}', 'format' = 'json',
  'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '100', 'lookup.max-retries' = '0',
  'http.source.lookup.header.Authorization' = 'Bearer very-secret-token');

EXPLAIN LOOKUP k FOR ('a');
-- @text
--| key       id = a
--| cache     the key is not in it
--|   request GET ${API}/k/a
--|   header  authorization: ***
--|   answer  200 OK
--|   rows    1
--| outcome   ok
--| row       id = a, v = 1

SELECT t.id, k.v FROM t JOIN k ON t.id = k.id;
-- @expect
--| {"op":"+I","id":"a","v":1}

EXPLAIN LOOKUP k FOR (id = 'a');
-- @text
--| cache     1 row,
--| without an end

EXPLAIN LOOKUP k FOR ('bad');
-- @text
--|   answer  500 Internal Server Error
--|   failure status: GET
--| outcome   error; on-error=fail (the job fails)

EXPLAIN LOOKUP k FOR ('nothing');
-- @text
--|   answer  404 Not Found
--| outcome   miss

EXPLAIN LOOKUP k FOR ('a', 'b');
-- @error
--| table 'k' is not looked up by 2 columns

EXPLAIN LOOKUP k FOR (7);
-- @error
--| key 'id' of table 'k' is STRING, and the value is INT

EXPLAIN LOOKUP k FOR (idd = 'a');
-- @error
--| table 'k' has no column 'idd'

EXPLAIN LOOKUP k FOR (CAST(NULL AS STRING));
-- @error
--| key 'id' is NULL
