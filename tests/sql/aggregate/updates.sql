-- Changes from chunk to chunk: each file of a folder comes as one. A key changes once a chunk at most; what is
-- equal before and after is not told. Flink tells every row of it.
-- @file in/1.jsonl
--| {"k":"a","n":1}
--| {"k":"b","n":2}
--| {"k":"a","n":3}
-- @file in/2.jsonl
--| {"k":"a","n":2}
--| {"k":"c","n":5}
-- @file in/3.jsonl
--| {"k":"b","n":7}
--| {"k":"b","n":null}
SET 'parallelism.default' = '1';
CREATE TABLE e (k STRING, n INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in', 'format' = 'json');

SELECT k, COUNT(*) AS c, SUM(n) AS s FROM e GROUP BY k;
-- @expect ordered
--| {"op":"+I","k":"a","c":2,"s":4}
--| {"op":"+I","k":"b","c":1,"s":2}
--| {"op":"-U","k":"a","c":2,"s":4}
--| {"op":"+U","k":"a","c":3,"s":6}
--| {"op":"+I","k":"c","c":1,"s":5}
--| {"op":"-U","k":"b","c":1,"s":2}
--| {"op":"+U","k":"b","c":3,"s":9}

-- The greatest of a stays.
SELECT k, MAX(n) AS m FROM e GROUP BY k;
-- @expect ordered
--| {"op":"+I","k":"a","m":3}
--| {"op":"+I","k":"b","m":2}
--| {"op":"+I","k":"c","m":5}
--| {"op":"-U","k":"b","m":2}
--| {"op":"+U","k":"b","m":7}

SELECT COUNT(*) AS c FROM e;
-- @expect ordered
--| {"op":"+I","c":3}
--| {"op":"-U","c":3}
--| {"op":"+U","c":5}
--| {"op":"-U","c":5}
--| {"op":"+U","c":7}

SELECT DISTINCT k FROM e;
-- @expect ordered
--| {"op":"+I","k":"a"}
--| {"op":"+I","k":"b"}
--| {"op":"+I","k":"c"}

-- Retractions of the inner aggregation move keys of the outer one from group to group.
SELECT c, COUNT(*) AS keys, MIN(k) AS first_key FROM (SELECT k, COUNT(*) AS c FROM e GROUP BY k) AS x GROUP BY c;
-- @expect
--| {"op":"+I","c":2,"keys":1,"first_key":"a"}
--| {"op":"+I","c":1,"keys":1,"first_key":"b"}
--| {"op":"-D","c":2,"keys":1,"first_key":"a"}
--| {"op":"+I","c":3,"keys":1,"first_key":"a"}
--| {"op":"-U","c":1,"keys":1,"first_key":"b"}
--| {"op":"+U","c":1,"keys":2,"first_key":"b"}
--| {"op":"-U","c":1,"keys":2,"first_key":"b"}
--| {"op":"+U","c":1,"keys":1,"first_key":"c"}
--| {"op":"-U","c":3,"keys":1,"first_key":"a"}
--| {"op":"+U","c":3,"keys":2,"first_key":"a"}

SELECT k, SUM(n) AS s FROM e GROUP BY k HAVING SUM(n) > 4;
-- @expect
--| {"op":"+U","k":"a","s":6}
--| {"op":"+I","k":"c","s":5}
--| {"op":"+U","k":"b","s":9}

SELECT k FROM e WHERE n > 2 UNION SELECT k FROM e WHERE n < 3;
-- @expect
--| {"op":"+I","k":"a"}
--| {"op":"+I","k":"b"}
--| {"op":"+I","k":"c"}
