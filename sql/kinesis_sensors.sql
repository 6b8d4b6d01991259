-- Temperatures from a Kinesis stream to another, each with the brand and country of its sensor, asked for at an API: it never ends.
--
-- Two streams must be there. With AWS, credentials are those of the environment (AWS_ACCESS_KEY_ID, a container's or an
-- instance's role):
--   aws kinesis create-stream --stream-name temperatures --shard-count 2
--   aws kinesis create-stream --stream-name enriched --shard-count 2
-- And the sensor API, in another terminal:         affluent sensor-api
-- Then, in the folder that holds sql/:             affluent run sql/kinesis_sensors.sql --var AWS_REGION=eu-north-1
-- Against an emulator (npx kinesis-local):         ... --var KINESIS=http://127.0.0.1:4567 with any two keys in AWS_*
--
-- An event: aws kinesis put-record --stream-name temperatures --partition-key s-17 --cli-binary-format raw-in-base64-out \
--             --data '{"sensorId":"s-17","temperature":21,"status":"OK","timestamp":1767600000000}'

SET 'execution.checkpointing.interval' = '1 s';
SET 'enrichment.strategy' = 'CACHED';

CREATE TABLE temperatures (
  sensorId STRING, temperature BIGINT, status STRING, `timestamp` BIGINT
) WITH ('connector' = 'kinesis', 'stream' = 'temperatures', 'aws.region' = '${AWS_REGION:-eu-north-1}',
        'aws.endpoint' = '${KINESIS:-}',
        'source.init.position' = 'TRIM_HORIZON', 'format' = 'json');

CREATE TABLE sensor_info (
  id STRING, brand STRING, countryCode STRING,
  PRIMARY KEY (id) NOT ENFORCED
) WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:8080/sensors/{id}', 'format' = 'json');

-- Records of a sensor go to one shard and stay in their order.
CREATE TABLE enriched (
  sensorId STRING, temperature BIGINT, status STRING, `timestamp` BIGINT, brand STRING, countryCode STRING
) PARTITIONED BY (sensorId)
WITH ('connector' = 'kinesis', 'stream' = 'enriched', 'aws.region' = '${AWS_REGION:-eu-north-1}',
      'aws.endpoint' = '${KINESIS:-}', 'format' = 'json');

INSERT INTO enriched
SELECT t.*, i.brand, i.countryCode
FROM temperatures AS t
LEFT JOIN sensor_info AS i ON t.sensorId = i.id;
