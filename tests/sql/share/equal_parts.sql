-- Equal parts of the plans of a job run once: lookups, what is random, aggregates.
-- @file t.jsonl
--| {"k": 1, "v": 10}
--| {"k": 2, "v": 20}
--| {"k": 1, "v": 30}
-- @route GET /d/1 200
--| {"k": 1, "x": "one"}
-- @route GET /d/2 200
--| {"k": 2, "x": "two"}
CREATE TABLE t (k INT, v INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');
CREATE TABLE d (k INT, x STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'http', 'url' = '${API}/d/{k}', 'format' = 'json');
CREATE TABLE a (k INT, v INT, x STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/a.jsonl', 'format' = 'json');
CREATE TABLE b (k INT, v INT, x STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/b.jsonl', 'format' = 'json');
CREATE VIEW enriched AS SELECT t.k, t.v, d.x FROM t JOIN d ON t.k = d.k;

EXPLAIN STATEMENT SET BEGIN
INSERT INTO a SELECT * FROM enriched;
INSERT INTO b SELECT k, v + 1, UPPER(x) FROM enriched;
END;
-- @text
--| Shared(reuse_id=[1])
--| Reused(reference_id=[1])

EXECUTE STATEMENT SET BEGIN
INSERT INTO a SELECT * FROM enriched;
INSERT INTO b SELECT k, v + 1, UPPER(x) FROM enriched;
END;
-- @expect
-- @content a.jsonl
--| {"k":1,"v":10,"x":"one"}
--| {"k":2,"v":20,"x":"two"}
--| {"k":1,"v":30,"x":"one"}
-- @content b.jsonl
--| {"k":1,"v":11,"x":"ONE"}
--| {"k":2,"v":21,"x":"TWO"}
--| {"k":1,"v":31,"x":"ONE"}
-- @calls 3

-- In one query: the join of a view with itself.
SELECT p.v, q.v AS w FROM enriched AS p JOIN enriched AS q ON p.k = q.k AND p.v < q.v;
-- @result
--| {"v":10,"w":30}
-- @calls 6

SELECT p.k, p.n, q.n AS m FROM (SELECT k, SUM(v) AS n FROM t GROUP BY k) AS p JOIN (SELECT k, SUM(v) AS n FROM t GROUP BY k) AS q ON p.k = q.k;
-- @result
--| {"k":1,"n":40,"m":40}
--| {"k":2,"n":20,"m":20}

-- Random values are the same for all.
CREATE VIEW dice AS SELECT k, v, RAND() AS r FROM t;
SELECT COUNT(*) AS n, COUNT(DISTINCT r) AS m FROM (SELECT r FROM dice UNION ALL SELECT r FROM dice) AS x;
-- @result
--| {"n":6,"m":3}
