-- Three spellings mean the same: JOIN, FOR SYSTEM_TIME AS OF, LATERAL TABLE.
-- @file in.jsonl
--| {"sensorId": "s1", "temperature": 20}
--| {"sensorId": "s2", "temperature": 30}
--| {"sensorId": null, "temperature": 40}
-- @route GET /sensors/s1 200
--| {"id": "s1", "brand": "Hooli", "countryCode": "DE"}
CREATE TABLE t (sensorId STRING, temperature INT, proc_time AS PROCTIME())
WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json');
CREATE TABLE sensor_info (id STRING, brand STRING, countryCode STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'http', 'url' = '${API}/sensors/{id}', 'format' = 'json');

SELECT t.sensorId, i.brand FROM t JOIN sensor_info AS i ON t.sensorId = i.id;
-- @expect
--| {"op":"+I","sensorId":"s1","brand":"Hooli"}
-- @calls 2

SELECT t.sensorId, i.brand FROM t LEFT JOIN sensor_info AS i ON t.sensorId = i.id;
-- @expect ordered
--| {"op":"+I","sensorId":"s1","brand":"Hooli"}
--| {"op":"+I","sensorId":"s2","brand":null}
--| {"op":"+I","sensorId":null,"brand":null}

SELECT t.sensorId, i.brand FROM t JOIN sensor_info FOR SYSTEM_TIME AS OF t.proc_time AS i ON t.sensorId = i.id;
-- @expect
--| {"op":"+I","sensorId":"s1","brand":"Hooli"}

SELECT t.sensorId, i.brand FROM t LEFT JOIN LATERAL TABLE(sensor_info(t.sensorId)) AS i (id, brand, cc) ON TRUE;
-- @expect ordered
--| {"op":"+I","sensorId":"s1","brand":"Hooli"}
--| {"op":"+I","sensorId":"s2","brand":null}
--| {"op":"+I","sensorId":null,"brand":null}

SELECT t.sensorId, i.brand FROM t, LATERAL TABLE(sensor_info(t.sensorId)) AS i;
-- @expect
--| {"op":"+I","sensorId":"s1","brand":"Hooli"}
