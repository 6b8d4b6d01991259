-- GROUPING SETS, ROLLUP, CUBE.
-- checked against Flink 2.3
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

SELECT k, b, COUNT(*) AS n, GROUPING(k) AS gk, GROUPING_ID(k, b) AS gid FROM t GROUP BY GROUPING SETS ((k, b), (k), ());
-- @expect
--| {"op":"+I","k":"a","b":true,"n":1,"gk":0,"gid":0}
--| {"op":"+I","k":"b","b":false,"n":1,"gk":0,"gid":0}
--| {"op":"+I","k":"a","b":false,"n":1,"gk":0,"gid":0}
--| {"op":"+I","k":null,"b":null,"n":1,"gk":0,"gid":0}
--| {"op":"+I","k":"a","b":null,"n":1,"gk":0,"gid":0}
--| {"op":"+I","k":"b","b":true,"n":1,"gk":0,"gid":0}
--| {"op":"+I","k":null,"b":true,"n":1,"gk":0,"gid":0}
--| {"op":"+I","k":"c","b":null,"n":1,"gk":0,"gid":0}
--| {"op":"+I","k":"a","b":null,"n":3,"gk":0,"gid":1}
--| {"op":"+I","k":"b","b":null,"n":2,"gk":0,"gid":1}
--| {"op":"+I","k":null,"b":null,"n":2,"gk":0,"gid":1}
--| {"op":"+I","k":"c","b":null,"n":1,"gk":0,"gid":1}
--| {"op":"+I","k":null,"b":null,"n":8,"gk":1,"gid":3}

SELECT k, b, SUM(i) AS s FROM t GROUP BY ROLLUP (k, b);
-- @expect
--| {"op":"+I","k":"a","b":true,"s":3}
--| {"op":"+I","k":"b","b":false,"s":7}
--| {"op":"+I","k":"a","b":false,"s":4}
--| {"op":"+I","k":null,"b":null,"s":null}
--| {"op":"+I","k":"a","b":null,"s":-8}
--| {"op":"+I","k":"b","b":true,"s":null}
--| {"op":"+I","k":null,"b":true,"s":2}
--| {"op":"+I","k":"c","b":null,"s":null}
--| {"op":"+I","k":"a","b":null,"s":-1}
--| {"op":"+I","k":"b","b":null,"s":7}
--| {"op":"+I","k":null,"b":null,"s":2}
--| {"op":"+I","k":"c","b":null,"s":null}
--| {"op":"+I","k":null,"b":null,"s":8}

SELECT k, b, SUM(i) AS s, GROUPING(b) AS g FROM t GROUP BY CUBE (k, b);
-- @expect
--| {"op":"+I","k":"a","b":true,"s":3,"g":0}
--| {"op":"+I","k":"b","b":false,"s":7,"g":0}
--| {"op":"+I","k":"a","b":false,"s":4,"g":0}
--| {"op":"+I","k":null,"b":null,"s":null,"g":0}
--| {"op":"+I","k":"a","b":null,"s":-8,"g":0}
--| {"op":"+I","k":"b","b":true,"s":null,"g":0}
--| {"op":"+I","k":null,"b":true,"s":2,"g":0}
--| {"op":"+I","k":"c","b":null,"s":null,"g":0}
--| {"op":"+I","k":null,"b":true,"s":5,"g":0}
--| {"op":"+I","k":null,"b":false,"s":11,"g":0}
--| {"op":"+I","k":null,"b":null,"s":-8,"g":0}
--| {"op":"+I","k":"a","b":null,"s":-1,"g":1}
--| {"op":"+I","k":"b","b":null,"s":7,"g":1}
--| {"op":"+I","k":null,"b":null,"s":2,"g":1}
--| {"op":"+I","k":"c","b":null,"s":null,"g":1}
--| {"op":"+I","k":null,"b":null,"s":8,"g":1}

SELECT k, COUNT(*) AS n FROM t GROUP BY GROUPING SETS ((k), (k), ());
-- @expect
--| {"op":"+I","k":"a","n":3}
--| {"op":"+I","k":"b","n":2}
--| {"op":"+I","k":null,"n":2}
--| {"op":"+I","k":"c","n":1}
--| {"op":"+I","k":"a","n":3}
--| {"op":"+I","k":"b","n":2}
--| {"op":"+I","k":null,"n":2}
--| {"op":"+I","k":"c","n":1}
--| {"op":"+I","k":null,"n":8}

SELECT GROUPING(k) AS g, k, COUNT(*) AS n FROM t GROUP BY k;
-- @expect
--| {"op":"+I","g":0,"k":"a","n":3}
--| {"op":"+I","g":0,"k":"b","n":2}
--| {"op":"+I","g":0,"k":null,"n":2}
--| {"op":"+I","g":0,"k":"c","n":1}

-- The column that is rolled up is aggregated too.
SELECT k, MAX(k) AS m, COUNT(*) AS n FROM t GROUP BY ROLLUP (k) HAVING COUNT(*) > 1;
-- @expect
--| {"op":"+I","k":"a","m":"a","n":3}
--| {"op":"+I","k":"b","m":"b","n":2}
--| {"op":"+I","k":null,"m":null,"n":2}
--| {"op":"+I","k":null,"m":"c","n":8}
