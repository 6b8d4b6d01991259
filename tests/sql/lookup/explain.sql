-- EXPLAIN says how a lookup will be done: keys, filters, cache, order, capacity.
CREATE TABLE t (id INT, name STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '1');
CREATE TABLE k (id INT, v STRING, n INT) WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:1/{id}');
EXPLAIN SELECT t.id, k.v FROM t LEFT JOIN k ON t.id = k.id AND k.n > 5 AND t.name <> 'x';
-- @text
--| LookupJoin(table=[k], joinType=[Left], keys=[id=t.id], preFilter=[t.name != x]
--| n > 5
--| cache=NONE, async=true, ORDERED, capacity=256, on-error=fail
--| GET http://127.0.0.1:1/{id}

SET 'enrichment.strategy' = 'CACHED';
EXPLAIN SELECT /*+ LOOKUP('table' = 'k', 'output-mode' = 'allow_unordered', 'capacity' = '7') */ k.v FROM t JOIN k ON t.id = k.id;
-- @text
--| cache=PARTIAL, async=true, ALLOW_UNORDERED, capacity=7, on-error=fail

SET 'enrichment.strategy' = 'SYNC';
EXPLAIN SELECT k.v FROM t JOIN k ON t.id = k.id;
-- @text
--| cache=NONE, async=false, on-error=fail
