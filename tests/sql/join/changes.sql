-- Joins whose inputs change: updates and deletes find the rows that were joined.
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

SELECT a.k, v, s FROM a JOIN (SELECT k, SUM(w) AS s FROM b GROUP BY k) AS g ON a.k = g.k;
-- @result
--| {"k":1,"v":10,"s":108}
--| {"k":3,"v":5,"s":7}

SELECT a.k, v, s FROM a LEFT JOIN (SELECT k, SUM(w) AS s FROM b GROUP BY k) AS g ON a.k = g.k AND s > 50;
-- @result
--| {"k":1,"v":10,"s":108}
--| {"k":2,"v":20,"s":null}
--| {"k":2,"v":20,"s":null}
--| {"k":3,"v":5,"s":null}
--| {"k":null,"v":30,"s":null}

SELECT x.k AS xk, y.k AS yk, c, s FROM (SELECT k, COUNT(v) AS c FROM a GROUP BY k) AS x FULL JOIN (SELECT k, SUM(w) AS s FROM b GROUP BY k) AS y ON x.k = y.k;
-- @result
--| {"xk":1,"yk":1,"c":1,"s":108}
--| {"xk":2,"yk":null,"c":2,"s":null}
--| {"xk":3,"yk":3,"c":1,"s":7}
--| {"xk":null,"yk":4,"c":null,"s":9}
--| {"xk":null,"yk":null,"c":1,"s":null}
--| {"xk":null,"yk":null,"c":null,"s":300}

-- The key of the join changes with each update.
SELECT a.v, g.k FROM a JOIN (SELECT k, COUNT(w) * 5 AS c FROM b GROUP BY k) AS g ON a.v = g.c;
-- @result
--| {"v":10,"k":1}
--| {"v":5,"k":3}
--| {"v":5,"k":4}
--| {"v":5,"k":null}

SELECT a.k, COUNT(*) AS c, SUM(w) AS s FROM a LEFT JOIN b ON a.k = b.k GROUP BY a.k;
-- @result
--| {"k":1,"c":2,"s":108}
--| {"k":2,"c":2,"s":null}
--| {"k":3,"c":1,"s":7}
--| {"k":null,"c":1,"s":null}

SELECT v FROM a WHERE k IN (SELECT k FROM b GROUP BY k HAVING COUNT(w) > 1);
-- @result
--| {"v":10}

SELECT v FROM a WHERE v NOT IN (SELECT SUM(w) + 3 FROM b WHERE k IS NOT NULL GROUP BY k);
-- @result
--| {"v":20}
--| {"v":20}
--| {"v":30}
--| {"v":5}

SELECT k, c FROM (SELECT k, COUNT(v) AS c FROM a GROUP BY k) AS g WHERE EXISTS (SELECT 1 FROM b WHERE b.k = g.k AND b.w > g.c);
-- @result
--| {"k":1,"c":1}
--| {"k":3,"c":1}
