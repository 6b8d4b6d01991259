-- Aggregates over rows that are updated and deleted. The last row takes back what was never there.
-- checked against Flink 2.3
-- @file c.jsonl
--| {"before":null,"after":{"id":1,"k":"a","n":5,"s":"x"},"op":"c"}
--| {"before":null,"after":{"id":2,"k":"a","n":7,"s":"y"},"op":"c"}
--| {"before":null,"after":{"id":3,"k":"b","n":1,"s":"x"},"op":"c"}
--| {"before":{"id":2,"k":"a","n":7,"s":"y"},"after":{"id":2,"k":"a","n":6,"s":"y"},"op":"u"}
--| {"before":null,"after":{"id":4,"k":"b","n":null,"s":null},"op":"c"}
--| {"before":null,"after":{"id":5,"k":"c","n":9,"s":"q"},"op":"c"}
--| {"before":{"id":5,"k":"c","n":9,"s":"q"},"after":null,"op":"d"}
--| {"before":{"id":3,"k":"b","n":1,"s":"x"},"after":{"id":3,"k":"a","n":1,"s":"w"},"op":"u"}
--| {"before":null,"after":{"id":6,"k":"a","n":6,"s":"x"},"op":"c"}
--| {"before":{"id":1,"k":"a","n":5,"s":"x"},"after":null,"op":"d"}
--| {"before":null,"after":{"id":7,"k":"d","n":2,"s":"a"},"op":"c"}
--| {"before":null,"after":{"id":8,"k":"d","n":3,"s":"b"},"op":"c"}
--| {"before":{"id":7,"k":"d","n":2,"s":"a"},"after":{"id":7,"k":"d","n":4,"s":"c"},"op":"u"}
--| {"before":{"id":99,"k":"z","n":2,"s":"a"},"after":null,"op":"d"}
CREATE TABLE c (id INT, k STRING, n INT, s STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/c.jsonl', 'format' = 'debezium-json');

SELECT k, COUNT(*) AS c, COUNT(n) AS cn, SUM(n) AS sn, AVG(n) AS an, MIN(n) AS mn, MAX(n) AS mx, MIN(s) AS ms, MAX(s) AS xs FROM c GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","c":3,"cn":3,"sn":13,"an":4,"mn":1,"mx":6,"ms":"w","xs":"y"}
--| {"op":"+I","k":"b","c":1,"cn":0,"sn":null,"an":null,"mn":null,"mx":null,"ms":null,"xs":null}
--| {"op":"+I","k":"d","c":2,"cn":2,"sn":7,"an":3,"mn":3,"mx":4,"ms":"b","xs":"c"}

SELECT k, COUNT(DISTINCT n) AS cd, SUM(DISTINCT n) AS sd, COUNT(DISTINCT s) AS cs, COUNT(*) FILTER (WHERE n > 5) AS cf, MAX(n) FILTER (WHERE s = 'x') AS mf FROM c GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","cd":2,"sd":7,"cs":3,"cf":2,"mf":6}
--| {"op":"+I","k":"b","cd":0,"sd":null,"cs":0,"cf":0,"mf":null}
--| {"op":"+I","k":"d","cd":2,"sd":7,"cs":2,"cf":0,"mf":null}

SELECT k, FIRST_VALUE(n) AS fn, LAST_VALUE(n) AS lan, FIRST_VALUE(s) AS fs, LAST_VALUE(s) AS ls FROM c GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","fn":6,"lan":6,"fs":"y","ls":"x"}
--| {"op":"+I","k":"b","fn":null,"lan":null,"fs":null,"ls":null}
--| {"op":"+I","k":"d","fn":3,"lan":4,"fs":"b","ls":"c"}

SELECT k, LISTAGG(s) AS l1, LISTAGG(s, '-') AS l2 FROM c GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","l1":"y,w,x","l2":"y-w-x"}
--| {"op":"+I","k":"b","l1":null,"l2":null}
--| {"op":"+I","k":"d","l1":"b,c","l2":"b-c"}

SELECT k, ARRAY_AGG(s) AS a1, ARRAY_AGG(n) AS a2 FROM c GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","a1":["y","w","x"],"a2":[6,1,6]}
--| {"op":"+I","k":"b","a1":[null],"a2":[null]}
--| {"op":"+I","k":"d","a1":["b","c"],"a2":[3,4]}

SELECT k, COLLECT(s) AS a1 FROM c GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","a1":{"y":1,"w":1,"x":1}}
--| {"op":"+I","k":"b","a1":{}}
--| {"op":"+I","k":"d","a1":{"b":1,"c":1}}

SELECT k, JSON_ARRAYAGG(s) AS a1, JSON_OBJECTAGG(KEY CAST(id AS STRING) VALUE s) AS o FROM c GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","a1":"[\"y\",\"w\",\"x\"]","o":"{\"2\":\"y\",\"3\":\"w\",\"6\":\"x\"}"}
--| {"op":"+I","k":"b","a1":"[]","o":"{\"4\":null}"}
--| {"op":"+I","k":"d","a1":"[\"b\",\"c\"]","o":"{\"7\":\"c\",\"8\":\"b\"}"}

SELECT k, VAR_POP(CAST(n AS DOUBLE)) AS vp, STDDEV_SAMP(CAST(n AS DOUBLE)) AS ss FROM c GROUP BY k;
-- @expect
--| {"op":"+I","k":"a","vp":5.555555555555556,"ss":2.886751345948129}
--| {"op":"+I","k":"b","vp":null,"ss":null}
--| {"op":"+I","k":"d","vp":0.25,"ss":0.7071067811865476}

SELECT COUNT(*) AS c, SUM(n) AS n FROM c;
-- @expect
--| {"op":"+I","c":5,"n":18}

SELECT COUNT(*) AS c FROM c WHERE k = 'c';
-- @expect
--| {"op":"+I","c":0}

SELECT DISTINCT k FROM c;
-- @expect
--| {"op":"+I","k":"a"}
--| {"op":"+I","k":"b"}
--| {"op":"+I","k":"d"}

SELECT DISTINCT s FROM c;
-- @expect
--| {"op":"+I","s":"x"}
--| {"op":"+I","s":"y"}
--| {"op":"+I","s":null}
--| {"op":"+I","s":"w"}
--| {"op":"+I","s":"b"}
--| {"op":"+I","s":"c"}

SELECT k, b, COUNT(*) AS c FROM (SELECT k, n > 5 AS b, id FROM c) AS x GROUP BY ROLLUP (k, b);
-- @expect
--| {"op":"+I","k":"a","b":false,"c":1}
--| {"op":"+I","k":"a","b":true,"c":2}
--| {"op":"+I","k":"b","b":null,"c":1}
--| {"op":"+I","k":"d","b":false,"c":2}
--| {"op":"+I","k":"a","b":null,"c":3}
--| {"op":"+I","k":"b","b":null,"c":1}
--| {"op":"+I","k":"d","b":null,"c":2}
--| {"op":"+I","k":null,"b":null,"c":5}
