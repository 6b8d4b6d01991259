-- Quick start: temperatures, each with the brand and country of its sensor.
--
-- The sensor API must run; in another terminal:   affluent sensor-api
-- Then, in the folder that holds sql/:            affluent run sql/sensors.sql

CREATE TABLE temperatures (
  sensorId STRING, temperature BIGINT, status STRING, `timestamp` BIGINT,
  ts AS TO_TIMESTAMP_LTZ(`timestamp`, 3),
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH ('connector' = 'filesystem', 'path' = 'sql/data/temperatures.jsonl', 'format' = 'json');

-- A lookup table: asked for one sensor at a time, when an event needs it, once a minute at most.
CREATE TABLE sensor_info (
  id STRING, brand STRING, countryCode STRING, location STRING, imageUrl STRING,
  PRIMARY KEY (id) NOT ENFORCED
) WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:8080/sensors/{id}', 'format' = 'json',
        'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.expire-after-write' = '60 s');

-- LEFT keeps events of sensors that the API does not know (one of them is in the data).
SELECT t.sensorId, t.temperature, t.status, t.ts, i.brand, i.countryCode
FROM temperatures AS t
LEFT JOIN sensor_info AS i ON t.sensorId = i.id;
