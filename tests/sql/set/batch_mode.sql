-- Batch mode: final rows of input that ends.

-- @file rows.jsonl
--| {"k": "a", "v": 1}
--| {"k": "b", "v": 5}
--| {"k": "a", "v": 2}
CREATE TABLE t (k STRING, v INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/rows.jsonl', 'format' = 'json');
CREATE TABLE endless (k STRING) WITH ('connector' = 'datagen', 'rows-per-second' = '1');
CREATE TABLE sums (k STRING, v BIGINT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/sums.json', 'format' = 'json');
SET 'execution.runtime-mode' = 'batch';

SELECT k, SUM(v) AS s FROM t GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","s":3}
--| {"op":"+I","k":"b","s":5}

SELECT k, SUM(v) AS s FROM t GROUP BY k ORDER BY s DESC LIMIT 2;
-- @expect ordered
--| {"op":"+I","k":"b","s":5}
--| {"op":"+I","k":"a","s":3}

SELECT t.k, o.s FROM t LEFT JOIN (SELECT k, COUNT(*) AS s FROM t GROUP BY k) AS o ON t.k = o.k WHERE t.v > 1;
-- @expect
--| {"op":"+I","k":"b","s":1}
--| {"op":"+I","k":"a","s":2}

SELECT v FROM t WHERE k = 'b';
-- @expect
--| {"op":"+I","v":5}

INSERT INTO sums SELECT k, SUM(v) FROM t GROUP BY k;
-- @content sums.json
--| {"k":"a","v":3}
--| {"k":"b","v":5}

SELECT k FROM endless;
-- @error
--| batch mode takes input that ends
