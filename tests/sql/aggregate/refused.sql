-- What aggregates refuse, and sums that do not fit.
-- @file t.jsonl
--| {"id":1,"k":"a","i":3,"l":10000000000,"d":1.5,"f":0.5,"m":"12.34","s":"x","b":true,"ts":"2024-01-01 00:00:01.000","dt":"2024-01-01"}
--| {"id":2,"k":"b","i":7,"l":20000000000,"d":2.25,"f":1.5,"m":"0.01","s":"y","b":false,"ts":"2024-01-01 00:00:02.000","dt":"2024-01-02"}
--| {"id":3,"k":"a","i":4,"l":-5,"d":-1.0,"f":2.5,"m":"-3.00","s":null,"b":false,"ts":"2024-01-01 00:00:00.500","dt":"2023-12-31"}
--| {"id":4,"k":null,"i":null,"l":null,"d":null,"f":null,"m":null,"s":"z","b":null,"ts":null,"dt":null}
--| {"id":5,"k":"a","i":-8,"l":7,"d":1e10,"f":-0.25,"m":"99999999.99","s":"x","b":null,"ts":"1969-12-31 23:59:59.999","dt":"1969-12-31"}
--| {"id":6,"k":"b","i":null,"l":3,"d":0.125,"f":0.1,"m":"1.00","s":"w","b":true,"ts":"2024-01-01 00:00:02.000","dt":"2024-01-02"}
--| {"id":7,"k":null,"i":2,"l":1,"d":4.0,"f":4.0,"m":"2.50","s":"z","b":true,"ts":"2024-01-01 00:00:03.000","dt":"2024-01-03"}
--| {"id":8,"k":"c","i":null,"l":null,"d":null,"f":null,"m":null,"s":null,"b":null,"ts":null,"dt":null}
CREATE TABLE t (id INT, k STRING, i INT, l BIGINT, d DOUBLE, f FLOAT, m DECIMAL(10, 2), s STRING, b BOOLEAN, ts TIMESTAMP(3), dt DATE)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');

SELECT SUM(s) FROM t;
-- @error
--| argument 1 of SUM must be a number, not STRING

SELECT AVG(b) FROM t;
-- @error
--| argument 1 of AVG must be a number, not BOOLEAN

SELECT MIN(ARRAY[i]) FROM t;
-- @error
--| argument 1 of MIN must be a type with an order, not ARRAY<INT>

SELECT SUM(i, l) FROM t;
-- @error
--| SUM does not take 2 arguments

SELECT MAX() FROM t;
-- @error
--| MAX does not take 0 arguments

SELECT SUM(*) FROM t;
-- @error
--| SUM(*) has no meaning

SELECT COUNT(DISTINCT *) FROM t;
-- @error
--| COUNT(DISTINCT *) has no meaning

SELECT LISTAGG(s, k) FROM t;
-- @error
--| the separator of LISTAGG is not a constant

SELECT LISTAGG(DISTINCT s ORDER BY id) FROM t;
-- @error
--| ORDER BY of a DISTINCT aggregate takes its arguments only

SELECT k, i FROM t GROUP BY k;
-- @error
--| 't.i' must appear in GROUP BY clause because it's not an aggregate expression

SELECT k FROM t WHERE SUM(i) > 1;
-- @error
--| aggregate functions are not allowed in the WHERE clause. Consider using HAVING instead

SELECT NOSUCH_AGG(i) FROM t;
-- @error
--| function 'nosuch_agg' is not known

SELECT SUM(x) FROM (VALUES (CAST(100 AS TINYINT)), (CAST(100 AS TINYINT))) AS v (x);
-- @error
--| a sum does not fit TINYINT

SELECT SUM(CAST(l AS INT)) AS s FROM (VALUES (CAST(2147483647 AS BIGINT)), (CAST(1 AS BIGINT))) AS x (l);
-- @error
--| a sum does not fit INT

SELECT SUM(l) AS s FROM (VALUES (9223372036854775807), (CAST(1 AS BIGINT))) AS x (l);
-- @error
--| a sum does not fit BIGINT

SELECT PERCENTILE(i, 1.5) FROM t;
-- @error
--| the percentage of PERCENTILE is 1.5

SELECT SUM(i IGNORE NULLS) FROM t;
-- @error
--| [IGNORE | RESPECT] NULLS are not permitted for sum

CREATE TABLE sink (k STRING, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/out', 'format' = 'json');
INSERT INTO sink SELECT k, COUNT(*) FROM t GROUP BY k;
-- @error
--| table 'sink' takes inserts only, and the query changes rows that it gave before
