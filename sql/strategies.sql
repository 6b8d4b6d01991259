-- The quick start as SYNC, ASYNC or CACHED, to compare them:
--
--   affluent sensor-api
--   affluent run sql/strategies.sql --var STRATEGY=SYNC      one event, one call at a time
--   affluent run sql/strategies.sql --var STRATEGY=ASYNC     many calls at once, one per event
--   affluent run sql/strategies.sql --var STRATEGY=CACHED    one call per sensor and minute
--
-- curl http://127.0.0.1:8080/stats tells what the API was asked.

SET 'enrichment.strategy' = '${STRATEGY}';

CREATE TABLE temperatures (
  sensorId STRING, temperature BIGINT, status STRING, `timestamp` BIGINT
) WITH ('connector' = 'filesystem', 'path' = 'sql/data/temperatures.jsonl', 'format' = 'json');

CREATE TABLE sensor_info (
  id STRING, brand STRING, countryCode STRING,
  PRIMARY KEY (id) NOT ENFORCED
) WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:8080/sensors/{id}', 'format' = 'json');

-- Written nowhere: only the enrichment is measured.
CREATE TABLE enriched (
  sensorId STRING, temperature BIGINT, status STRING, `timestamp` BIGINT, brand STRING, countryCode STRING
) WITH ('connector' = 'blackhole');

INSERT INTO enriched
SELECT t.*, i.brand, i.countryCode
FROM temperatures AS t
LEFT JOIN sensor_info AS i ON t.sensorId = i.id;
