-- ORDER BY with LIMIT: the first rows so far; LIMIT on rows that change.
-- Results checked against Flink 2.3.
-- @file in/1.jsonl
--| {"id":"t0","u":"ann","amount":10}
--| {"id":"t1","u":"bob","amount":7}
-- @file in/2.jsonl
--| {"id":"t2","u":"ann","amount":30}
--| {"id":"t3","u":"cid","amount":null}
--| {"id":"t4","u":"bob","amount":8}
SET 'parallelism.default' = '1';
CREATE TABLE tx (id STRING, u STRING, amount INT)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/in', 'format' = 'json');

SELECT id, amount FROM tx ORDER BY amount LIMIT 2;
-- @expect
--| {"op":"+I","id":"t1","amount":7}
--| {"op":"+I","id":"t0","amount":10}
--| {"op":"-D","id":"t0","amount":10}
--| {"op":"+I","id":"t3","amount":null}
SELECT id FROM tx ORDER BY amount DESC, id LIMIT 2 OFFSET 1;
-- @expect
--| {"op":"+I","id":"t1"}
--| {"op":"-D","id":"t1"}
--| {"op":"+I","id":"t0"}
--| {"op":"+I","id":"t4"}
SELECT id FROM tx ORDER BY amount LIMIT 0;
-- @expect
SELECT u, c FROM (SELECT u, COUNT(id) AS c FROM tx GROUP BY u) ORDER BY c DESC, u LIMIT 1;
-- @expect
--| {"op":"+I","u":"ann","c":1}
--| {"op":"-D","u":"ann","c":1}
--| {"op":"+I","u":"ann","c":2}

-- Without an order the first that come are shown; one that changes goes to the end.
SELECT u, COUNT(id) AS c FROM tx GROUP BY u LIMIT 2;
-- @expect
--| {"op":"+I","u":"ann","c":1}
--| {"op":"+I","u":"bob","c":1}
--| {"op":"-D","u":"ann","c":1}
--| {"op":"-D","u":"bob","c":1}
--| {"op":"+I","u":"ann","c":2}
--| {"op":"+I","u":"cid","c":1}

SELECT id FROM tx ORDER BY amount OFFSET 1;
-- @error
--| ORDER BY with OFFSET needs LIMIT
EXPLAIN PLAN_ADVICE SELECT id FROM tx ORDER BY amount LIMIT 2;
-- @text
--| SortLimit(orderBy=[amount ASC], rankType=[ROW_NUMBER], rankRange=[rankStart=1, rankEnd=2])
--| nothing to say
