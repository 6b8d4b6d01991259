-- The first or the last row of each key.
-- Results checked against Flink 2.3.
-- @file in/1.jsonl
--| {"id":"t0","u":"ann","ts":"2024-01-01 10:00:00"}
--| {"id":"t1","u":"bob","ts":"2024-01-01 10:00:05"}
--| {"id":"t2","u":"ann","ts":"2024-01-01 10:30:00"}
-- @file in/2.jsonl
--| {"id":"t3","u":"ann","ts":"2024-01-01 10:50:00"}
--| {"id":"t4","u":"bob","ts":"2024-01-01 11:00:05"}
--| {"id":"t7","u":"bob","ts":"2024-01-01 11:00:04"}
--| {"id":"t5","u":"ann","ts":"2024-01-01 11:30:00"}
--| {"id":"t6","u":"ann","ts":"2024-01-01 11:30:00"}
--| {"id":"t8","u":null,"ts":"2024-01-01 12:00:00"}
SET 'parallelism.default' = '1';
CREATE TABLE tx (
  id STRING, u STRING, ts TIMESTAMP(3), pt AS PROCTIME(), WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in', 'format' = 'json');

SELECT id, u, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY u ORDER BY ts) AS rn FROM tx) WHERE rn = 1;
-- @expect
--| {"op":"+I","id":"t0","u":"ann","rn":1}
--| {"op":"+I","id":"t1","u":"bob","rn":1}
--| {"op":"+I","id":"t8","u":null,"rn":1}
SELECT id, u FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY u ORDER BY ts DESC) AS rn FROM tx) WHERE rn = 1;
-- @expect
--| {"op":"+I","id":"t2","u":"ann"}
--| {"op":"+I","id":"t1","u":"bob"}
--| {"op":"-U","id":"t2","u":"ann"}
--| {"op":"+U","id":"t6","u":"ann"}
--| {"op":"-U","id":"t1","u":"bob"}
--| {"op":"+U","id":"t4","u":"bob"}
--| {"op":"+I","id":"t8","u":null}
SELECT id, u FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY u ORDER BY pt) AS rn FROM tx) WHERE rn <= 1;
-- @expect
--| {"op":"+I","id":"t0","u":"ann"}
--| {"op":"+I","id":"t1","u":"bob"}
--| {"op":"+I","id":"t8","u":null}
SELECT id, u FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY u ORDER BY pt DESC) AS rn FROM tx) WHERE rn < 2;
-- @expect
--| {"op":"+I","id":"t2","u":"ann"}
--| {"op":"+I","id":"t1","u":"bob"}
--| {"op":"-U","id":"t2","u":"ann"}
--| {"op":"+U","id":"t6","u":"ann"}
--| {"op":"-U","id":"t1","u":"bob"}
--| {"op":"+U","id":"t7","u":"bob"}
--| {"op":"+I","id":"t8","u":null}

-- Event time goes on behind the first rows.
SELECT id, LAG(id) OVER (ORDER BY ts) AS p FROM (
  SELECT * FROM tx QUALIFY ROW_NUMBER() OVER (PARTITION BY u ORDER BY ts) = 1);
-- @expect
--| {"op":"+I","id":"t0","p":null}
--| {"op":"+I","id":"t1","p":"t0"}
--| {"op":"+I","id":"t8","p":"t1"}

EXPLAIN CHANGELOG_MODE SELECT id FROM tx QUALIFY ROW_NUMBER() OVER (PARTITION BY u ORDER BY ts) = 1;
-- @text
--| Deduplicate(keep=[FirstRow], key=[u], order=[ROWTIME]), changelogMode=[I]
EXPLAIN CHANGELOG_MODE SELECT id FROM tx QUALIFY ROW_NUMBER() OVER (PARTITION BY u ORDER BY pt DESC) = 1;
-- @text
--| Deduplicate(keep=[LastRow], key=[u], order=[PROCTIME]), changelogMode=[I,UB,UA]

-- A sink with a key needs no row before an update.
CREATE TABLE last (u STRING, id STRING, PRIMARY KEY (u) NOT ENFORCED) WITH ('connector' = 'print');
EXPLAIN CHANGELOG_MODE INSERT INTO last SELECT u, id FROM tx QUALIFY ROW_NUMBER() OVER (PARTITION BY u ORDER BY ts DESC) = 1;
-- @text
--| Deduplicate(keep=[LastRow], key=[u], order=[ROWTIME])
