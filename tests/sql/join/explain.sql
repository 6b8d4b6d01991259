-- Joins as EXPLAIN shows them, and what it warns of.

CREATE TABLE a (k INT, v INT) WITH ('connector' = 'datagen');
CREATE TABLE b (k INT, w INT) WITH ('connector' = 'datagen');

EXPLAIN PLAN_ADVICE SELECT a.k, v, w FROM a LEFT JOIN b ON a.k + 1 = b.k AND v < w;
-- @text
--| Join(joinType=[LeftOuterJoin], where=[a.k + 1 = b.k AND a.v < b.w], select=[k, v, k, w])
--| Exchange(distribution=[hash[$key2]])
--| Exchange(distribution=[hash[k]])
--| Join keeps every row of both sides for ever: set 'table.exec.state.ttl'

EXPLAIN CHANGELOG_MODE SELECT a.k, v, w FROM a JOIN b ON a.k = b.k;
-- @text
--| Join(joinType=[InnerJoin], where=[a.k = b.k], select=[k, v, k, w]), changelogMode=[I]

EXPLAIN CHANGELOG_MODE SELECT a.k, v, w FROM a LEFT JOIN b ON a.k = b.k;
-- @text
--| changelogMode=[I,D]

EXPLAIN PLAN_ADVICE SELECT v, w FROM a JOIN b ON v < w;
-- @text
--| Exchange(distribution=[single])
--| Join has no equality between its sides

EXPLAIN SELECT k FROM a WHERE k IN (SELECT k FROM b);
-- @text
--| Join(joinType=[LeftSemiJoin], where=[a.k = __correlated_sq_1.k], select=[k])

EXPLAIN SELECT k FROM a WHERE k NOT IN (SELECT k FROM b);
-- @text
--| Join(joinType=[LeftAntiJoin]

EXPLAIN PLAN_ADVICE SELECT k FROM a EXCEPT ALL SELECT k FROM b;
-- @text
--| SetOperation(EXCEPT ALL)
--| EXCEPT ALL keeps every distinct row of both sides for ever

SET 'table.exec.state.ttl' = '1 h';
EXPLAIN PLAN_ADVICE SELECT a.k, v, w FROM a JOIN b ON a.k = b.k;
-- @text
--| nothing to say
