-- OVER in EXPLAIN, and the state that it keeps.
CREATE TABLE t (id STRING, n INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen');
EXPLAIN SELECT id, SUM(n) OVER (PARTITION BY id ORDER BY ts RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) AS s FROM t;
-- @text
--| OverAggregate(partitionBy=[id], orderBy=[ts ASC], window=[RANGE BETWEEN 3600000 ms PRECEDING AND CURRENT ROW]
EXPLAIN PLAN_ADVICE SELECT id, LAG(n) OVER (PARTITION BY id ORDER BY ts) AS s FROM t;
-- @text
--| OverAggregate keeps state for every value of id for ever: set 'table.exec.state.ttl'
EXPLAIN CHANGELOG_MODE SELECT id, SUM(n) OVER (ORDER BY n) AS s FROM t;
-- @text
--| changelogMode=[I,UB,UA,D]
SET 'table.exec.state.ttl' = '1 h';
EXPLAIN PLAN_ADVICE SELECT id, LAG(n) OVER (PARTITION BY id ORDER BY ts) AS s FROM t;
-- @text
--| nothing to say
