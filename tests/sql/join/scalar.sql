-- Subqueries that give one value.
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

SELECT k, (SELECT MAX(w) FROM b) AS m FROM a;
-- @result
--| {"k":1,"m":300}
--| {"k":2,"m":300}
--| {"k":2,"m":300}
--| {"k":3,"m":300}
--| {"k":null,"m":300}

SELECT k, v FROM a WHERE v > (SELECT AVG(w) - 70 FROM b);
-- @result
--| {"k":2,"v":20}
--| {"k":2,"v":20}
--| {"k":null,"v":30}

SELECT k, v FROM a WHERE v > (SELECT MIN(w) FROM b WHERE b.k = a.k);
-- @result
--| {"k":1,"v":10}

SELECT k, v, (SELECT COUNT(w) FROM b WHERE b.k = a.k) AS c FROM a;
-- @result
--| {"k":1,"v":10,"c":2}
--| {"k":2,"v":20,"c":0}
--| {"k":2,"v":20,"c":0}
--| {"k":3,"v":5,"c":1}
--| {"k":null,"v":30,"c":0}

SELECT k, v FROM a WHERE v > (SELECT COUNT(w) FROM b WHERE b.k = a.k);
-- @result
--| {"k":1,"v":10}
--| {"k":2,"v":20}
--| {"k":2,"v":20}
--| {"k":3,"v":5}
--| {"k":null,"v":30}

SELECT a.k, x.m FROM a LEFT JOIN LATERAL (SELECT MAX(w) AS m FROM b WHERE b.k = a.k) AS x ON TRUE;
-- @result
--| {"k":1,"m":100}
--| {"k":2,"m":null}
--| {"k":2,"m":null}
--| {"k":3,"m":7}
--| {"k":null,"m":null}
