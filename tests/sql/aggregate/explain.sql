-- Changelog modes and the warning of state that grows.
SET 'parallelism.default' = '1';
CREATE TABLE g (k STRING, b BOOLEAN, n BIGINT) WITH ('connector' = 'datagen');

EXPLAIN CHANGELOG_MODE, PLAN_ADVICE SELECT k, COUNT(*) AS c, SUM(DISTINCT n) FILTER (WHERE b) AS s FROM g GROUP BY k;
-- @text
--| Sink: collect, changelogMode=[NONE]
--| +- Calc(select=[g.k, count(*) AS c, sum(DISTINCT g.n) FILTER (WHERE g.b) AS s]), changelogMode=[I,UB,UA]
--|    +- GroupAggregate(groupBy=[k], select=[k, COUNT(*), SUM(DISTINCT g.n) FILTER (WHERE g.b)]), changelogMode=[I,UB,UA]
--|       +- Source: g (datagen: 10000 rows/s) [k, b, n], unbounded, parallelism=1, changelogMode=[I]
--| 1. GroupAggregate keeps state for every value of k for ever: SET 'table.exec.state.ttl' = '1 d', or group by a window of time

EXPLAIN CHANGELOG_MODE, PLAN_ADVICE SELECT mx, COUNT(*) AS c FROM (SELECT k, MAX(n) AS mx FROM g GROUP BY k) AS x GROUP BY mx;
-- @text
--| Sink: collect, changelogMode=[NONE]
--| +- Calc(select=[x.mx, count(*) AS c]), changelogMode=[I,UB,UA,D]
--|    +- GroupAggregate(groupBy=[mx], select=[mx, COUNT(*)]), changelogMode=[I,UB,UA,D]
--|       +- Calc(select=[max(g.n) AS mx]), changelogMode=[I,UB,UA]
--|          +- GroupAggregate(groupBy=[k], select=[k, MAX(g.n)]), changelogMode=[I,UB,UA]
--|             +- Source: g (datagen: 10000 rows/s) [k, n], unbounded, parallelism=1, changelogMode=[I]
--| 1. GroupAggregate keeps state for every value of mx for ever: SET 'table.exec.state.ttl' = '1 d', or group by a window of time
--| 2. GroupAggregate keeps state for every value of k for ever: SET 'table.exec.state.ttl' = '1 d', or group by a window of time

EXPLAIN CHANGELOG_MODE, PLAN_ADVICE SELECT DISTINCT k, b FROM g;
-- @text
--| Sink: collect, changelogMode=[NONE]
--| +- GroupAggregate(groupBy=[k, b], select=[k, b]), changelogMode=[I]
--|    +- Source: g (datagen: 10000 rows/s) [k, b], unbounded, parallelism=1, changelogMode=[I]
--| 1. GroupAggregate keeps state for every value of k, b for ever: SET 'table.exec.state.ttl' = '1 d', or group by a window of time

EXPLAIN CHANGELOG_MODE, PLAN_ADVICE SELECT COUNT(*) AS c FROM g;
-- @text
--| Sink: collect, changelogMode=[NONE]
--| +- Calc(select=[count(*) AS c]), changelogMode=[I,UB,UA]
--|    +- GroupAggregate(select=[COUNT(*)]), changelogMode=[I,UB,UA]
--|       +- Source: g (datagen: 10000 rows/s) [], unbounded, parallelism=1, changelogMode=[I]
--| nothing to say

EXPLAIN CHANGELOG_MODE, PLAN_ADVICE SELECT LISTAGG(k) AS c FROM g;
-- @text
--| Sink: collect, changelogMode=[NONE]
--| +- Calc(select=[listagg(g.k) AS c]), changelogMode=[I,UB,UA]
--|    +- GroupAggregate(select=[LISTAGG(g.k)]), changelogMode=[I,UB,UA]
--|       +- Source: g (datagen: 10000 rows/s) [k], unbounded, parallelism=1, changelogMode=[I]
--| 1. GroupAggregate keeps the values of LISTAGG(g.k) for ever: SET 'table.exec.state.ttl' = '1 d', or group by a window of time

EXPLAIN CHANGELOG_MODE SELECT k, b, COUNT(*) AS c FROM g GROUP BY ROLLUP (k, b);
-- @text
--| Sink: collect, changelogMode=[NONE]
--| +- Calc(select=[g.k, g.b, count(*) AS c]), changelogMode=[I,UB,UA]
--|    +- GroupAggregate(groupBy=[k, b, __grouping_id], select=[k, b, __grouping_id, COUNT(*)]), changelogMode=[I,UB,UA]
--|       +- Expand(sets=[(g.k, g.b), (g.k), ()]), changelogMode=[I]
--|          +- Source: g (datagen: 10000 rows/s) [k, b], unbounded, parallelism=1, changelogMode=[I]

SET 'table.exec.state.ttl' = '1 d';

EXPLAIN CHANGELOG_MODE, PLAN_ADVICE SELECT DISTINCT k FROM g;
-- @text
--| Sink: collect, changelogMode=[NONE]
--| +- GroupAggregate(groupBy=[k], select=[k]), changelogMode=[I,UB,UA]
--|    +- Source: g (datagen: 10000 rows/s) [k], unbounded, parallelism=1, changelogMode=[I]
--| nothing to say
