-- Aggregates that collect their values: order of arrival, ORDER BY, NULLs, empty results.
-- checked against Flink 2.3, but for ORDER BY in a call, which Flink does not have
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

SELECT k, LISTAGG(s) AS l1, LISTAGG(s, '-') AS l2, LISTAGG(DISTINCT s) AS l3 FROM t GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","l1":"x,x","l2":"x-x","l3":"x"}
--| {"op":"+I","k":"b","l1":"y,w","l2":"y-w","l3":"y,w"}
--| {"op":"+I","k":null,"l1":"z,z","l2":"z-z","l3":"z"}
--| {"op":"+I","k":"c","l1":null,"l2":null,"l3":null}

SELECT k, ARRAY_AGG(i) AS a1, ARRAY_AGG(DISTINCT s) AS a2, ARRAY_AGG(i IGNORE NULLS) AS a3 FROM t GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","a1":[3,4,-8],"a2":["x",null],"a3":[3,4,-8]}
--| {"op":"+I","k":"b","a1":[7,null],"a2":["y","w"],"a3":[7]}
--| {"op":"+I","k":null,"a1":[null,2],"a2":["z"],"a3":[2]}
--| {"op":"+I","k":"c","a1":[null],"a2":[null],"a3":null}

SELECT k, COLLECT(s) AS c FROM t GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","c":{"x":2}}
--| {"op":"+I","k":"b","c":{"y":1,"w":1}}
--| {"op":"+I","k":null,"c":{"z":2}}
--| {"op":"+I","k":"c","c":{}}

SELECT k, JSON_ARRAYAGG(s) AS ja, JSON_ARRAYAGG(s NULL ON NULL) AS jn FROM t GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","ja":"[\"x\",\"x\"]","jn":"[\"x\",null,\"x\"]"}
--| {"op":"+I","k":"b","ja":"[\"y\",\"w\"]","jn":"[\"y\",\"w\"]"}
--| {"op":"+I","k":null,"ja":"[\"z\",\"z\"]","jn":"[\"z\",\"z\"]"}
--| {"op":"+I","k":"c","ja":"[]","jn":"[null]"}

SELECT JSON_OBJECTAGG(KEY CAST(id AS STRING) VALUE i) AS jo, JSON_OBJECTAGG(KEY CAST(id AS STRING) VALUE s ABSENT ON NULL) AS ja FROM t;
-- @expect
--| {"op":"+I","jo":"{\"1\":3,\"2\":7,\"3\":4,\"4\":null,\"5\":-8,\"6\":null,\"7\":2,\"8\":null}","ja":"{\"1\":\"x\",\"2\":\"y\",\"4\":\"z\",\"5\":\"x\",\"6\":\"w\",\"7\":\"z\"}"}

SELECT k, PERCENTILE(i, 0.5) AS p, PERCENTILE(d, ARRAY[0.25, 1]) AS pa FROM t GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","p":3.0,"pa":[0.25,10000000000.0]}
--| {"op":"+I","k":"b","p":7.0,"pa":[0.65625,2.25]}
--| {"op":"+I","k":null,"p":2.0,"pa":[4.0,4.0]}
--| {"op":"+I","k":"c","p":null,"pa":null}

SELECT k, JSON_ARRAYAGG(JSON_OBJECT(KEY 'i' VALUE i)) AS j FROM t GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","j":"[{\"i\":3},{\"i\":4},{\"i\":-8}]"}
--| {"op":"+I","k":"b","j":"[{\"i\":7},{\"i\":null}]"}
--| {"op":"+I","k":null,"j":"[{\"i\":null},{\"i\":2}]"}
--| {"op":"+I","k":"c","j":"[{\"i\":null}]"}

SELECT k, LISTAGG(s, ',') FILTER (WHERE i > 2) AS l FROM t GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","l":"x"}
--| {"op":"+I","k":"b","l":"y"}
--| {"op":"+I","k":null,"l":null}
--| {"op":"+I","k":"c","l":null}

-- Flink has no FILTER behind JSON aggregates.
SELECT k, ARRAY_AGG(s) FILTER (WHERE i > 100) AS l, COLLECT(s) FILTER (WHERE i > 100) AS c, JSON_ARRAYAGG(s) FILTER (WHERE i > 100) AS j FROM t GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","l":null,"c":{},"j":"[]"}
--| {"op":"+I","k":"b","l":null,"c":{},"j":"[]"}
--| {"op":"+I","k":null,"l":null,"c":{},"j":"[]"}
--| {"op":"+I","k":"c","l":null,"c":{},"j":"[]"}

SELECT k, LISTAGG(s, ';') WITHIN GROUP (ORDER BY id DESC) AS l, ARRAY_AGG(i ORDER BY i) AS a, FIRST_VALUE(id ORDER BY d DESC) AS f FROM t WHERE i IS NOT NULL GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","l":"x;x","a":[-8,3,4],"f":5}
--| {"op":"+I","k":"b","l":"y","a":[7],"f":2}
--| {"op":"+I","k":null,"l":"z","a":[2],"f":7}

SELECT PERCENTILE(i, 0.5, id) AS p FROM t;
-- @expect
--| {"op":"+I","p":2.0}

SELECT JSON_OBJECTAGG(KEY k VALUE i) AS j FROM t;
-- @error
--| a key of JSON_OBJECTAGG is NULL
