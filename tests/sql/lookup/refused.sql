-- What a lookup join cannot be is refused with the reason.
CREATE TABLE t (id INT, name STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen', 'number-of-rows' = '1');
CREATE TABLE k (id STRING, v INT) WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:1/{id}', 'format' = 'json');

SELECT * FROM t JOIN k ON t.id = k.id;
-- @error
--| key 'id' of lookup table 'k' is STRING, it is compared with INT
--| CAST(

SELECT * FROM t JOIN k ON t.id > k.v;
-- @error
--| has no key

SELECT * FROM t RIGHT JOIN k ON t.name = k.id;
-- @error
--| RIGHT JOIN

SELECT * FROM k;
-- @error
--| 'k'

SELECT * FROM k JOIN t ON t.name = k.id;
-- @error
--| put the stream on the left

SELECT * FROM t JOIN k FOR SYSTEM_TIME AS OF t.ts ON t.name = k.id;
-- @error
--| knows what is now, not what was then

SELECT * FROM t JOIN k FOR SYSTEM_TIME AS OF t.name ON t.name = k.id;
-- @error
--| not a time attribute

SELECT /*+ LOOKUP('table' = 'kk') */ * FROM t JOIN k ON t.name = k.id;
-- @error
--| kk

SELECT /*+ LOOKUP('table' = 'k', 'capcity' = '1') */ * FROM t JOIN k ON t.name = k.id;
-- @error
--| did you mean 'capacity'?

SELECT * FROM t JOIN k /*+ OPTIONS('lookup.cache' = 'PARTIAL') */ ON t.name = k.id;
-- @error
--| lookup.partial-cache
