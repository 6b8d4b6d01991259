-- What is no join, and what is said of it.

CREATE TABLE a (k INT, v INT, s STRING) WITH ('connector' = 'datagen');
CREATE TABLE b (k INT, w INT, s STRING) WITH ('connector' = 'datagen');

SELECT a.k FROM a JOIN b ON a.k = b.s;
-- @error
--| a join compares INT with STRING
--| cast one side to the type of the other

SELECT a.k FROM a LEFT JOIN b ON a.k = b.k AND EXISTS (SELECT 1 FROM b AS c WHERE c.k = a.v AND c.w = b.w);
-- @error
--| in the ON of an outer join that is about both sides

SELECT k, (k, v) IN (SELECT k, w FROM b) FROM a;
-- @error

SELECT k FROM a WHERE v > (SELECT w FROM b);
-- @error
--| a scalar subquery that may return more than one row is not supported
--| SELECT MAX(x)

SELECT k FROM a EXCEPT SELECT k, w FROM b;
-- @error
--| both sides of EXCEPT need the same number of columns

SELECT k FROM a INTERSECT ALL SELECT ARRAY[k] FROM b;
-- @error
--| INTERSECT ALL has no type for column 'k'
