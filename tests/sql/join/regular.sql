-- Joins of two streams over all their history.
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

SELECT a.k, v, w FROM a JOIN b ON a.k = b.k;
-- @result
--| {"k":1,"v":10,"w":100}
--| {"k":1,"v":10,"w":8}
--| {"k":3,"v":5,"w":7}

SELECT a.k, v, w FROM a LEFT JOIN b ON a.k = b.k AND v < w;
-- @result
--| {"k":1,"v":10,"w":100}
--| {"k":2,"v":20,"w":null}
--| {"k":2,"v":20,"w":null}
--| {"k":3,"v":5,"w":7}
--| {"k":null,"v":30,"w":null}

SELECT b.k, v, w FROM a RIGHT JOIN b ON a.k = b.k AND v < w;
-- @result
--| {"k":1,"v":10,"w":100}
--| {"k":1,"v":null,"w":8}
--| {"k":3,"v":5,"w":7}
--| {"k":4,"v":null,"w":9}
--| {"k":null,"v":null,"w":300}

SELECT a.k AS ak, b.k AS bk, v, w FROM a FULL JOIN b ON a.k = b.k AND v < w;
-- @result
--| {"ak":1,"bk":1,"v":10,"w":100}
--| {"ak":2,"bk":null,"v":20,"w":null}
--| {"ak":2,"bk":null,"v":20,"w":null}
--| {"ak":3,"bk":3,"v":5,"w":7}
--| {"ak":null,"bk":1,"v":null,"w":8}
--| {"ak":null,"bk":4,"v":null,"w":9}
--| {"ak":null,"bk":null,"v":30,"w":null}
--| {"ak":null,"bk":null,"v":null,"w":300}

-- Keys that are no columns; a comma is a join.
SELECT a.k, v, w FROM a, b WHERE a.k + 1 = b.k;
-- @result
--| {"k":2,"v":20,"w":7}
--| {"k":2,"v":20,"w":7}
--| {"k":3,"v":5,"w":9}

SELECT v, w FROM a JOIN b ON a.k IS NOT DISTINCT FROM b.k;
-- @result
--| {"v":10,"w":100}
--| {"v":10,"w":8}
--| {"v":30,"w":300}
--| {"v":5,"w":7}

-- Without an equality: every row meets every row.
SELECT v, w FROM a JOIN b ON v < w AND w < 50;
-- @result
--| {"v":5,"w":7}
--| {"v":5,"w":8}
--| {"v":5,"w":9}

SELECT a.v, b.w FROM a CROSS JOIN b WHERE a.v > 25;
-- @result
--| {"v":30,"w":100}
--| {"v":30,"w":300}
--| {"v":30,"w":7}
--| {"v":30,"w":8}
--| {"v":30,"w":9}

SELECT k, v, w FROM a JOIN b USING (k);
-- @result
--| {"k":1,"v":10,"w":100}
--| {"k":1,"v":10,"w":8}
--| {"k":3,"v":5,"w":7}

-- BIGINT and INT are compared as numbers.
SELECT a.k, w FROM a JOIN b ON CAST(a.k AS BIGINT) = b.k;
-- @result
--| {"k":1,"w":100}
--| {"k":1,"w":8}
--| {"k":3,"w":7}

SELECT x.v, y.v AS v2 FROM a AS x RIGHT JOIN a AS y ON x.v = y.k * 10;
-- @result
--| {"v":10,"v2":10}
--| {"v":20,"v2":20}
--| {"v":20,"v2":20}
--| {"v":20,"v2":20}
--| {"v":20,"v2":20}
--| {"v":30,"v2":5}
--| {"v":null,"v2":30}

-- Three sides.
SELECT a.k, w, c.v AS cv FROM a JOIN b ON a.k = b.k LEFT JOIN a AS c ON c.v = b.w + 2;
-- @result
--| {"k":1,"w":100,"cv":null}
--| {"k":1,"w":8,"cv":10}
--| {"k":3,"w":7,"cv":null}
