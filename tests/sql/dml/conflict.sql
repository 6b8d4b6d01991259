-- INSERT ... ON CONFLICT: several rows of a query with one primary key of the sink. What Flink 2.3 gives.
-- @file in.jsonl
--| {"k": 1, "s": "a", "ts": "2024-01-01 00:00:00"}
--| {"k": 2, "s": "x", "ts": "2024-01-01 00:00:01"}
--| {"k": 1, "s": "b", "ts": "2024-01-01 00:00:02"}
--| {"k": 2, "s": "x", "ts": "2024-01-01 00:00:03"}
SET 'parallelism.default' = '1';
SET 'table.dml-sync' = 'true';
CREATE TABLE t (k INT, s STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
    WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json');
CREATE TABLE first (k INT, s STRING, n BIGINT, PRIMARY KEY (k) NOT ENFORCED)
    WITH ('connector' = 'filesystem', 'path' = '${DIR}/first', 'format' = 'debezium-json');
CREATE TABLE last (k INT, s STRING, n BIGINT, PRIMARY KEY (k) NOT ENFORCED)
    WITH ('connector' = 'filesystem', 'path' = '${DIR}/last', 'format' = 'debezium-json');
CREATE TABLE plain (k INT, s STRING, n BIGINT)
    WITH ('connector' = 'filesystem', 'path' = '${DIR}/plain', 'format' = 'debezium-json');

INSERT INTO plain SELECT k, s, COUNT(*) FROM t GROUP BY k, s ON CONFLICT DO NOTHING;
-- @error
--| ON CONFLICT needs a primary key

INSERT INTO first SELECT k, s, COUNT(*) FROM t GROUP BY k, s ON CONFLICT DO IGNORE;
-- @error
--| expected ON CONFLICT DO ERROR, NOTHING or DEDUPLICATE at the end

INSERT INTO first SELECT k, s, COUNT(*) FROM t GROUP BY k, s ON CONFLICT DO ERROR;
-- @error
--| the query returns 2 rows with one primary key of 'first'
--| k = 1

INSERT INTO first SELECT k, s, COUNT(*) FROM t GROUP BY k, s ON CONFLICT DO NOTHING;
SELECT k, s, n FROM first;
-- @result
--| {"k":1,"s":"a","n":1}
--| {"k":2,"s":"x","n":2}

INSERT INTO last SELECT k, s, COUNT(*) FROM t GROUP BY k, s ON CONFLICT DO DEDUPLICATE;
SELECT k, s, n FROM last;
-- @result
--| {"k":1,"s":"b","n":1}
--| {"k":2,"s":"x","n":2}

-- The query knows its rows by the key: nothing can be in conflict.
EXPLAIN INSERT INTO first SELECT k, MAX(s), COUNT(*) FROM t GROUP BY k ON CONFLICT DO ERROR;
-- @text
--| GroupAggregate
