-- One request for many keys: the API takes an array of ids and answers with an array of sensors.
--
--   affluent sensor-api
--   affluent run sql/batched.sql
--
-- curl http://127.0.0.1:8080/stats tells that there were far fewer requests than keys.

CREATE TABLE temperatures (
  sensorId STRING, temperature BIGINT, status STRING, `timestamp` BIGINT
) WITH ('connector' = 'filesystem', 'path' = 'sql/data/temperatures.jsonl', 'format' = 'json');

-- Rows of the answer are told apart by their id; an id without a row is unknown to the API.
CREATE TABLE sensor_info (
  id STRING, brand STRING, countryCode STRING,
  PRIMARY KEY (id) NOT ENFORCED
) WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:8080/sensors/batch', 'format' = 'json',
        'lookup-method' = 'POST', 'http.request.batch-size' = '100',
        'http.request.body-template' = '{"ids": {{keys}}}');

SELECT t.sensorId, t.temperature, i.brand, i.countryCode
FROM temperatures AS t
LEFT JOIN sensor_info AS i ON t.sensorId = i.id;
