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

SELECT k, v, v * 100 / SUM(v) OVER () AS share, COUNT(*) OVER (PARTITION BY k) AS n FROM t;
-- @expect
--| {"op":"+I","k":"a","v":1,"share":12,"n":2}
--| {"op":"+I","k":"b","v":5,"share":62,"n":1}
--| {"op":"+I","k":"a","v":2,"share":25,"n":2}

SELECT k, SUM(v) AS s, SUM(SUM(v)) OVER () AS total FROM t GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","s":3,"total":8}
--| {"op":"+I","k":"b","s":5,"total":8}

SELECT k, v, SUM(v) OVER (ORDER BY v) AS running FROM t;
-- @expect
--| {"op":"+I","k":"a","v":1,"running":1}
--| {"op":"+I","k":"a","v":2,"running":3}
--| {"op":"+I","k":"b","v":5,"running":8}

SELECT SUM(v) OVER (ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t;
-- @error
--| needs ORDER BY

-- No row is late: the whole input is there.
-- @file late.jsonl
--| {"id": 1, "ts": "2026-01-01 00:09:00"}
--| {"id": 2, "ts": "2026-01-01 00:25:00"}
--| {"id": 3, "ts": "2026-01-01 00:01:00"}
--| {"id": 4, "ts": "2026-01-01 00:12:00"}
CREATE TABLE l (id INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'filesystem', 'path' = '${DIR}/late.jsonl', 'format' = 'json');
SELECT MINUTE(window_start) AS m, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE l, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","m":0,"n":2}
--| {"op":"+I","m":10,"n":1}
--| {"op":"+I","m":20,"n":1}

SELECT id, COUNT(*) OVER (ORDER BY ts) AS n FROM l;
-- @expect
--| {"op":"+I","id":3,"n":1}
--| {"op":"+I","id":1,"n":2}
--| {"op":"+I","id":4,"n":3}
--| {"op":"+I","id":2,"n":4}

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
