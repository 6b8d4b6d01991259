-- Aggregate functions over appended rows: types of results, NULLs, DISTINCT, FILTER, HAVING.
-- checked against Flink 2.3; where Flink cannot run a query the line above it says so
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

SELECT k, COUNT(*) AS n, COUNT(i) AS ni, SUM(i) AS si, SUM(l) AS sl, SUM(d) AS sd, SUM(m) AS sm FROM t GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","n":3,"ni":3,"si":-1,"sl":10000000002,"sd":10000000000.5,"sm":100000009.33}
--| {"op":"+I","k":"b","n":2,"ni":1,"si":7,"sl":20000000003,"sd":2.375,"sm":1.01}
--| {"op":"+I","k":null,"n":2,"ni":1,"si":2,"sl":1,"sd":4.0,"sm":2.50}
--| {"op":"+I","k":"c","n":1,"ni":0,"si":null,"sl":null,"sd":null,"sm":null}

SELECT k, AVG(i) AS ai, AVG(l) AS al, AVG(d) AS ad, AVG(f) AS af, AVG(m) AS am FROM t GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","ai":0,"al":3333333334,"ad":3333333333.5,"af":0.9166667,"am":33333336.443333}
--| {"op":"+I","k":"b","ai":7,"al":10000000001,"ad":1.1875,"af":0.8,"am":0.505000}
--| {"op":"+I","k":null,"ai":2,"al":1,"ad":4.0,"af":4.0,"am":2.500000}
--| {"op":"+I","k":"c","ai":null,"al":null,"ad":null,"af":null,"am":null}

SELECT k, MIN(i) AS mi, MAX(l) AS ml, MIN(d) AS md, MAX(f) AS mf, MIN(m) AS mdec, MAX(s) AS ms, MIN(b) AS mb, MAX(ts) AS mts, MIN(dt) AS mdt FROM t GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","mi":-8,"ml":10000000000,"md":-1.0,"mf":2.5,"mdec":-3.00,"ms":"x","mb":false,"mts":"2024-01-01 00:00:01","mdt":"1969-12-31"}
--| {"op":"+I","k":"b","mi":7,"ml":20000000000,"md":0.125,"mf":1.5,"mdec":0.01,"ms":"y","mb":false,"mts":"2024-01-01 00:00:02","mdt":"2024-01-02"}
--| {"op":"+I","k":null,"mi":2,"ml":1,"md":4.0,"mf":4.0,"mdec":2.50,"ms":"z","mb":true,"mts":"2024-01-01 00:00:03","mdt":"2024-01-03"}
--| {"op":"+I","k":"c","mi":null,"ml":null,"md":null,"mf":null,"mdec":null,"ms":null,"mb":null,"mts":null,"mdt":null}

SELECT k, VAR_POP(i) AS vpi, VAR_SAMP(i) AS vsi, STDDEV_POP(i) AS spi, STDDEV_SAMP(i) AS ssi, STDDEV(i) AS st, VARIANCE(i) AS va FROM t GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","vpi":29,"vsi":44,"spi":5,"ssi":6,"st":6,"va":44}
--| {"op":"+I","k":"b","vpi":0,"vsi":null,"spi":0,"ssi":null,"st":null,"va":null}
--| {"op":"+I","k":null,"vpi":0,"vsi":null,"spi":0,"ssi":null,"st":null,"va":null}
--| {"op":"+I","k":"c","vpi":null,"vsi":null,"spi":null,"ssi":null,"st":null,"va":null}

SELECT COUNT(*) AS n, SUM(i) AS s FROM t;
-- @expect
--| {"op":"+I","n":8,"s":8}

SELECT COUNT(DISTINCT s) AS ds, COUNT(DISTINCT k) AS dk, SUM(DISTINCT i) AS di, COUNT(i) FILTER (WHERE i > 2) AS fi, SUM(i) FILTER (WHERE i > 100) AS fn, COUNT(*) FILTER (WHERE b) AS fb FROM t;
-- @expect
--| {"op":"+I","ds":4,"dk":3,"di":8,"fi":3,"fn":null,"fb":3}

SELECT k, FIRST_VALUE(s) AS fs, LAST_VALUE(s) AS ls, FIRST_VALUE(i) AS fi, LAST_VALUE(i) AS li FROM t GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","fs":"x","ls":"x","fi":3,"li":-8}
--| {"op":"+I","k":"b","fs":"y","ls":"w","fi":7,"li":7}
--| {"op":"+I","k":null,"fs":"z","ls":"z","fi":2,"li":2}
--| {"op":"+I","k":"c","fs":null,"ls":null,"fi":null,"li":null}

SELECT DISTINCT k FROM t;
-- @expect
--| {"op":"+I","k":"a"}
--| {"op":"+I","k":"b"}
--| {"op":"+I","k":null}
--| {"op":"+I","k":"c"}

SELECT DISTINCT k, b FROM t;
-- @expect
--| {"op":"+I","k":"a","b":true}
--| {"op":"+I","k":"b","b":false}
--| {"op":"+I","k":"a","b":false}
--| {"op":"+I","k":null,"b":null}
--| {"op":"+I","k":"a","b":null}
--| {"op":"+I","k":"b","b":true}
--| {"op":"+I","k":null,"b":true}
--| {"op":"+I","k":"c","b":null}

SELECT k, SUM(i) AS s FROM t GROUP BY k HAVING COUNT(*) > 1;
-- @expect
--| {"op":"+I","k":"a","s":-1}
--| {"op":"+I","k":"b","s":7}
--| {"op":"+I","k":null,"s":2}

SELECT s IS NULL AS sn, UPPER(k) AS u, COUNT(*) AS n FROM t GROUP BY s IS NULL, UPPER(k);
-- @expect
--| {"op":"+I","sn":false,"u":"A","n":2}
--| {"op":"+I","sn":false,"u":"B","n":2}
--| {"op":"+I","sn":true,"u":"A","n":1}
--| {"op":"+I","sn":false,"u":null,"n":2}
--| {"op":"+I","sn":true,"u":"C","n":1}

SELECT SUM(n) AS s, COUNT(*) AS c, MAX(n) AS m FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) AS x;
-- @result
--| {"s":8,"c":4,"m":3}

SELECT COUNT(*) AS c FROM t WHERE id > 100;
-- @expect
--| {"op":"+I","c":0}

SELECT k, COUNT(*) AS c, SUM(i) AS z FROM t WHERE id > 100 GROUP BY k;
-- @expect

SELECT SUM(CAST(i AS TINYINT)) AS t1, AVG(CAST(i AS SMALLINT)) AS t2, SUM(CAST(i AS SMALLINT)) AS t3, SUM(f) AS t4 FROM t;
-- @expect
--| {"op":"+I","t1":8,"t2":1,"t3":8,"t4":8.35}

SELECT k, COUNT(*) AS n FROM t GROUP BY k, b;
-- @expect
--| {"op":"+I","k":"a","n":1}
--| {"op":"+I","k":"b","n":1}
--| {"op":"+I","k":"a","n":1}
--| {"op":"+I","k":null,"n":1}
--| {"op":"+I","k":"a","n":1}
--| {"op":"+I","k":"b","n":1}
--| {"op":"+I","k":null,"n":1}
--| {"op":"+I","k":"c","n":1}

SELECT CASE WHEN i > 3 THEN 'big' ELSE 'small' END AS sz, COUNT(*) AS n FROM t GROUP BY CASE WHEN i > 3 THEN 'big' ELSE 'small' END;
-- @expect
--| {"op":"+I","sz":"small","n":6}
--| {"op":"+I","sz":"big","n":2}

SELECT k, SUM(i) * 2 + COUNT(*) AS x FROM t GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","x":1}
--| {"op":"+I","k":"b","x":16}
--| {"op":"+I","k":null,"x":6}
--| {"op":"+I","k":"c","x":null}

SELECT dt, COUNT(*) AS n, MAX(dt) AS m FROM t GROUP BY dt;
-- @expect
--| {"op":"+I","dt":"2024-01-01","n":1,"m":"2024-01-01"}
--| {"op":"+I","dt":"2024-01-02","n":2,"m":"2024-01-02"}
--| {"op":"+I","dt":"2023-12-31","n":1,"m":"2023-12-31"}
--| {"op":"+I","dt":null,"n":2,"m":null}
--| {"op":"+I","dt":"1969-12-31","n":1,"m":"1969-12-31"}
--| {"op":"+I","dt":"2024-01-03","n":1,"m":"2024-01-03"}

SELECT f, m, COUNT(*) AS n FROM t GROUP BY f, m;
-- @expect
--| {"op":"+I","f":0.5,"m":12.34,"n":1}
--| {"op":"+I","f":1.5,"m":0.01,"n":1}
--| {"op":"+I","f":2.5,"m":-3.00,"n":1}
--| {"op":"+I","f":null,"m":null,"n":2}
--| {"op":"+I","f":-0.25,"m":99999999.99,"n":1}
--| {"op":"+I","f":0.1,"m":1.00,"n":1}
--| {"op":"+I","f":4.0,"m":2.50,"n":1}

SELECT SUM(i + l) AS s, SUM(i) + SUM(l) AS s2, AVG(i * 1.0) AS a FROM t;
-- @expect
--| {"op":"+I","s":30000000011,"s2":30000000014,"a":1.600000}

-- Flink counts one column only.
SELECT COUNT(k, s) AS both_there, COUNT(DISTINCT k, s) AS pairs FROM t;
-- @expect
--| {"op":"+I","both_there":4,"pairs":3}

-- DataFusion's functions can be called by their names.
SELECT MEDIAN(d) AS m, BIT_XOR(i) AS x, BOOL_OR(b) AS o, APPROX_DISTINCT(s) AS a, NTH_VALUE(s, 2 ORDER BY id) AS n FROM t;
-- @expect
--| {"op":"+I","m":1.875,"x":-6,"o":true,"a":4,"n":"y"}
