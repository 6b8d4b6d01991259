-- INTERSECT, EXCEPT and UNION, which keep rows once, and with ALL, which count them.
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

SELECT k FROM a UNION SELECT k FROM b;
-- @result
--| {"k":1}
--| {"k":2}
--| {"k":3}
--| {"k":4}
--| {"k":null}

SELECT k FROM a UNION ALL SELECT k FROM b;
-- @result
--| {"k":1}
--| {"k":1}
--| {"k":1}
--| {"k":2}
--| {"k":2}
--| {"k":3}
--| {"k":3}
--| {"k":4}
--| {"k":null}
--| {"k":null}

SELECT k FROM a INTERSECT SELECT k FROM b;
-- @result
--| {"k":1}
--| {"k":3}
--| {"k":null}

SELECT k FROM b EXCEPT SELECT k FROM a;
-- @result
--| {"k":4}

SELECT k FROM a EXCEPT SELECT k FROM b;
-- @result
--| {"k":2}

SELECT k FROM b INTERSECT ALL SELECT k FROM (SELECT k FROM a UNION ALL SELECT 1) AS x;
-- @result
--| {"k":1}
--| {"k":1}
--| {"k":3}
--| {"k":null}

SELECT k FROM a INTERSECT ALL SELECT k FROM b;
-- @result
--| {"k":1}
--| {"k":3}
--| {"k":null}

SELECT k FROM b EXCEPT ALL SELECT k FROM a;
-- @result
--| {"k":1}
--| {"k":4}

SELECT k FROM a EXCEPT ALL SELECT k FROM b;
-- @result
--| {"k":2}
--| {"k":2}

-- Types are those that hold both sides.
SELECT k, CAST(v AS BIGINT) AS v FROM a EXCEPT SELECT k, w + 2 FROM b;
-- @result
--| {"k":2,"v":20}
--| {"k":3,"v":5}
--| {"k":null,"v":30}

-- INTERSECT binds closer; the others go from left to right.
SELECT k FROM a UNION ALL SELECT k FROM a INTERSECT SELECT k FROM b EXCEPT SELECT 3;
-- @result
--| {"k":1}
--| {"k":2}
--| {"k":null}

-- Rows that change.
SELECT k, c FROM (SELECT k, COUNT(v) AS c FROM a GROUP BY k) AS x INTERSECT SELECT k, c FROM (SELECT k, COUNT(w) AS c FROM b GROUP BY k) AS y;
-- @result
--| {"k":3,"c":1}
--| {"k":null,"c":1}

SELECT k, COUNT(*) AS c FROM (SELECT k FROM a EXCEPT ALL SELECT k FROM b) AS x GROUP BY k;
-- @result
--| {"k":2,"c":2}

SELECT v FROM a WHERE k IN (SELECT k FROM a EXCEPT SELECT k FROM b);
-- @result
--| {"v":20}
--| {"v":20}
