-- IN, NOT IN, EXISTS and NOT EXISTS as joins.
-- checked against Flink 2.3

-- @file a.jsonl
--| {"k":1,"v":10}
--| {"k":2,"v":20}
--| {"k":2,"v":20}
--| {"k":null,"v":30}
--| {"k":3,"v":5}

-- @file b1.jsonl
--| {"k":1,"w":100}
--| {"k":4,"w":9}

-- @file b2.jsonl
--| {"k":1,"w":8}
--| {"k":null,"w":300}
--| {"k":3,"w":7}

CREATE TABLE a (k INT, v INT)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/a.jsonl', 'format' = 'json');
CREATE TABLE b1 (k INT, w INT)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/b1.jsonl', 'format' = 'json');
CREATE TABLE b2 (k INT, w INT)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/b2.jsonl', 'format' = 'json');
-- A UNION ALL is read, never looked up in.
CREATE VIEW b AS SELECT * FROM b1 UNION ALL SELECT * FROM b2;

SELECT k, v FROM a WHERE k IN (SELECT k FROM b);
-- @result
--| {"k":1,"v":10}
--| {"k":3,"v":5}

SELECT k, v FROM a WHERE k NOT IN (SELECT k FROM b WHERE w < 8);
-- @result
--| {"k":1,"v":10}
--| {"k":2,"v":20}
--| {"k":2,"v":20}

-- A NULL in the list: no row is known not to be in it.
SELECT k, v FROM a WHERE k NOT IN (SELECT k FROM b);
-- @result

-- Nothing is in an empty list, not even NULL.
SELECT k, v FROM a WHERE k NOT IN (SELECT k FROM b WHERE w > 1000);
-- @result
--| {"k":1,"v":10}
--| {"k":2,"v":20}
--| {"k":2,"v":20}
--| {"k":3,"v":5}
--| {"k":null,"v":30}

SELECT k, v FROM a WHERE v = 5 OR k NOT IN (SELECT k FROM b WHERE w > 50 AND k IS NOT NULL);
-- @result
--| {"k":2,"v":20}
--| {"k":2,"v":20}
--| {"k":3,"v":5}

SELECT k, v FROM a WHERE NOT (v = 10 OR k IN (SELECT k FROM b));
-- @result

SELECT k, v FROM a WHERE NOT (v = 10 OR k IN (SELECT k FROM b WHERE k IS NOT NULL));
-- @result
--| {"k":2,"v":20}
--| {"k":2,"v":20}

SELECT k, v FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND w < v);
-- @result
--| {"k":1,"v":10}

SELECT k, v FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND w < v);
-- @result
--| {"k":2,"v":20}
--| {"k":2,"v":20}
--| {"k":3,"v":5}
--| {"k":null,"v":30}

SELECT k, v FROM a WHERE v = 20 OR EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND w < v);
-- @result
--| {"k":1,"v":10}
--| {"k":2,"v":20}
--| {"k":2,"v":20}

SELECT k, v FROM a WHERE k IN (SELECT k FROM b WHERE b.w > a.v);
-- @result
--| {"k":1,"v":10}
--| {"k":3,"v":5}

SELECT k, v FROM a WHERE k NOT IN (SELECT k FROM b WHERE b.w < a.v);
-- @result
--| {"k":2,"v":20}
--| {"k":2,"v":20}
--| {"k":3,"v":5}

SELECT k, v FROM a WHERE 9 NOT IN (SELECT w FROM b);
-- @result

SELECT k, v FROM a WHERE 11 NOT IN (SELECT w FROM b);
-- @result
--| {"k":1,"v":10}
--| {"k":2,"v":20}
--| {"k":2,"v":20}
--| {"k":3,"v":5}
--| {"k":null,"v":30}

SELECT k, v FROM a WHERE k IN (1, 2) AND k NOT IN (SELECT k FROM b WHERE k > 1);
-- @result
--| {"k":1,"v":10}
--| {"k":2,"v":20}
--| {"k":2,"v":20}

SELECT k, v FROM a WHERE k IN (SELECT k FROM b) AND v IN (SELECT w + 2 FROM b);
-- @result
--| {"k":1,"v":10}

SELECT k, v FROM a WHERE k IN (SELECT k FROM b) OR v IN (SELECT w + 11 FROM b);
-- @result
--| {"k":1,"v":10}
--| {"k":2,"v":20}
--| {"k":2,"v":20}
--| {"k":3,"v":5}

SELECT k, v FROM a WHERE EXISTS (SELECT 1 FROM b WHERE w > 1000);
-- @result

SELECT k, v FROM a WHERE CASE WHEN EXISTS (SELECT 1 FROM b WHERE b.k = a.k) THEN v < 7 ELSE v > 25 END;
-- @result
--| {"k":3,"v":5}
--| {"k":null,"v":30}

SELECT k, v FROM a WHERE k IN (SELECT k FROM b WHERE w IN (SELECT v + 2 FROM a));
-- @result
--| {"k":3,"v":5}

SELECT k, COUNT(*) AS c FROM a GROUP BY k HAVING k IN (SELECT k FROM b);
-- @result
--| {"k":1,"c":1}
--| {"k":3,"c":1}

SELECT a.k, x.w FROM a, LATERAL (SELECT w FROM b WHERE b.k = a.k) AS x;
-- @result
--| {"k":1,"w":100}
--| {"k":1,"w":8}
--| {"k":3,"w":7}
