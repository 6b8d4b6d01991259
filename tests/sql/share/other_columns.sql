-- Queries that look up alike ask once, also with other columns, filters and aggregates above.
-- @file t.jsonl
--| {"k": 1, "v": 10, "w": "a"}
--| {"k": 2, "v": 20, "w": "b"}
--| {"k": 1, "v": 30, "w": "c"}
--| {"k": 3, "v": 40, "w": "x"}
-- @route GET /d/1 200
--| {"k": 1, "x": "one", "y": "uno"}
-- @route GET /d/2 200
--| {"k": 2, "x": "two", "y": "dos"}
-- @route GET /d/3 200
--| {"k": 3, "y": "tres"}
CREATE TABLE t (k INT, v INT, w STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');
CREATE TABLE d (k INT, x STRING, y STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'http', 'url' = '${API}/d/{k}', 'format' = 'json');
CREATE TABLE raw (v INT, x STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/raw.jsonl', 'format' = 'json');
CREATE TABLE sums (x STRING, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/sums.jsonl', 'format' = 'debezium-json');
CREATE TABLE some (k INT, y STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/some.jsonl', 'format' = 'json');
CREATE VIEW enriched AS SELECT t.k, t.v, t.w, d.x, d.y FROM t LEFT JOIN d ON t.k = d.k;

-- The row and its aggregate, and a filter of one branch.
EXECUTE STATEMENT SET BEGIN
INSERT INTO raw SELECT v, x FROM enriched;
INSERT INTO sums SELECT x, COUNT(*) FROM enriched WHERE x IS NOT NULL GROUP BY x;
INSERT INTO some SELECT k, y FROM enriched WHERE x = 'one' AND v > 10;
END;
-- @expect
-- @content raw.jsonl
--| {"v":10,"x":"one"}
--| {"v":20,"x":"two"}
--| {"v":30,"x":"one"}
--| {"v":40,"x":null}
-- @content some.jsonl
--| {"k":1,"y":"uno"}
-- @calls 4

EXPLAIN STATEMENT SET BEGIN
INSERT INTO raw SELECT v, x FROM enriched;
INSERT INTO sums SELECT x, COUNT(*) FROM enriched WHERE x IS NOT NULL GROUP BY x;
INSERT INTO some SELECT k, y FROM enriched WHERE x = 'one' AND v > 10;
END;
-- @text
--| Shared(reuse_id=[1])
--| Reused(reference_id=[1])
--| where=[enriched.x = one AND enriched.v > 10]

-- Without a view. Conditions of all of them: what none wants is not asked. One that can fail does not fail there.
CREATE TABLE one (v INT, x STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/one.jsonl', 'format' = 'json');
CREATE TABLE other (k INT, x STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/other.jsonl', 'format' = 'json');
EXECUTE STATEMENT SET BEGIN
INSERT INTO one SELECT v, x FROM t JOIN d ON t.k = d.k WHERE t.v = 10;
INSERT INTO other SELECT t.k, d.x FROM t JOIN d ON t.k = d.k WHERE w <> 'x' AND v > 20 AND CAST(REPLACE(w, 'c', '7') AS INT) = 7;
END;
-- @expect
-- @content one.jsonl
--| {"v":10,"x":"one"}
-- @content other.jsonl
--| {"k":1,"x":"one"}
-- @calls 6

-- Names of tables do not matter.
EXPLAIN STATEMENT SET BEGIN
INSERT INTO one SELECT a.v, e.x FROM t AS a JOIN d AS e ON a.k = e.k;
INSERT INTO other SELECT b.k, f.x FROM t AS b JOIN d AS f ON b.k = f.k WHERE f.x <> 'one';
END;
-- @text
--| Shared(reuse_id=[1])
--| Reused(reference_id=[1])

-- In one query.
SELECT v, x FROM enriched WHERE v = 10 UNION ALL SELECT v + 1, y FROM enriched WHERE v <= 20;
-- @result
--| {"v":10,"x":"one"}
--| {"v":11,"x":"uno"}
--| {"v":21,"x":"dos"}
-- @calls 8

-- A window above, whose time attribute is below.
CREATE TABLE e (k INT, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'filesystem', 'path' = '${DIR}/e.jsonl', 'format' = 'json');
-- @file e.jsonl
--| {"k": 1, "v": 10, "ts": "2024-01-01 00:00:01"}
--| {"k": 2, "v": 20, "ts": "2024-01-01 00:00:02"}
--| {"k": 1, "v": 30, "ts": "2024-01-01 00:00:11"}
CREATE VIEW timed AS SELECT e.k, e.v, e.ts, d.x, d.y FROM e LEFT JOIN d ON e.k = d.k;
CREATE TABLE windows (s TIMESTAMP(3), n BIGINT, m STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/windows.jsonl', 'format' = 'json');
CREATE TABLE rows_ (x STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/rows.jsonl', 'format' = 'json');
EXECUTE STATEMENT SET BEGIN
INSERT INTO windows SELECT window_start, COUNT(*), MAX(y) FROM TABLE(TUMBLE(TABLE timed, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
INSERT INTO rows_ SELECT x FROM timed WHERE v > 10;
END;
-- @expect
-- @content windows.jsonl
--| {"s":"2024-01-01 00:00:00","n":2,"m":"uno"}
--| {"s":"2024-01-01 00:00:10","n":1,"m":"uno"}
-- @content rows.jsonl
--| {"x":"two"}
--| {"x":"one"}
-- @calls 11

-- What is looked up may be an aggregate.
CREATE VIEW counted AS SELECT g.k, g.n, d.x, d.y FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) AS g LEFT JOIN d ON g.k = d.k;
CREATE TABLE c1 (k INT, n BIGINT, x STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/c1.jsonl', 'format' = 'debezium-json');
CREATE TABLE c2 (k INT, y STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/c2.jsonl', 'format' = 'debezium-json');
EXPLAIN STATEMENT SET BEGIN
INSERT INTO c1 SELECT k, n, x FROM counted;
INSERT INTO c2 SELECT k, y FROM counted WHERE n > 1;
END;
-- @text
--| Shared(reuse_id=[1])
--| Reused(reference_id=[1])
