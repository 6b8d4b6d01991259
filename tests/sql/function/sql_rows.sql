-- Functions in SQL that return rows.
-- @file prices.jsonl
--| {"item":"a","price":1.5}
--| {"item":"a","price":2.5}
--| {"item":"b","price":3.5}
CREATE TABLE prices (item STRING, price DOUBLE) WITH ('connector' = 'filesystem', 'path' = '${DIR}/prices.jsonl', 'format' = 'json');
CREATE FUNCTION pairs(least INT) RETURNS TABLE (n INT, s STRING) RETURN SELECT v.n, v.s FROM (VALUES (1, 'one'), (2, 'two')) AS v(n, s) WHERE v.n >= least;
SELECT p.s FROM LATERAL TABLE(pairs(2)) AS p;
-- @expect
--| {"op":"+I","s":"two"}
SELECT p.word FROM LATERAL TABLE(pairs(least => 1)) AS p(number, word);
-- @expect
--| {"op":"+I","word":"one"}
--| {"op":"+I","word":"two"}
CREATE FUNCTION wrong(x INT) RETURNS TABLE (n INT) RETURN SELECT 'text';
-- @error
--| column 'n' of function 'wrong' is
CREATE FUNCTION two(x INT) RETURNS TABLE (n INT) RETURN SELECT 1, 2;
-- @error
--| returns 2 columns, RETURNS TABLE names 1
CREATE FUNCTION nowhere(x INT) RETURNS TABLE (n INT) RETURN SELECT n FROM no_such_table;
-- @error
--| no_such_table
CREATE FUNCTION value(x INT) RETURNS INT RETURN SELECT 1;
-- @error
--| write RETURNS TABLE
