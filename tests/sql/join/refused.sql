-- What is no join, and what is said of it.

CREATE TABLE a (k INT, v INT, s STRING) WITH ('connector' = 'datagen');
CREATE TABLE b (k INT, w INT, s STRING) WITH ('connector' = 'datagen');

SELECT a.k FROM a JOIN b ON a.k = b.s;
-- @error
--| a join compares INT with STRING
--| cast one side to the type of the other

SELECT a.k FROM a JOIN b ON a.k IN (SELECT k FROM b);
-- @error
--| a subquery in ON is not supported

SELECT k, v IN (SELECT w FROM b) FROM a;
-- @error
--| IN or EXISTS with a subquery is not supported here
--| it can stand in WHERE and HAVING

SELECT k FROM a WHERE (v IN (SELECT w FROM b)) IS NULL;
-- @error
--| IN or EXISTS with a subquery is not supported here

SELECT k FROM a WHERE v > (SELECT w FROM b);
-- @error
--| a scalar subquery that may give more than one row is not supported
--| SELECT MAX(x)

SELECT k FROM a WHERE v > ALL (SELECT w FROM b);
-- @error
--| comparison with ANY or ALL of a subquery is not supported

SELECT k FROM a EXCEPT SELECT k, w FROM b;
-- @error
--| both sides of EXCEPT need the same number of columns

SELECT k FROM a INTERSECT ALL SELECT ARRAY[k] FROM b;
-- @error
--| INTERSECT ALL has no type for column 'k'
