-- Temperatures from topic to topic, each with the brand and country of its sensor: exactly once, and it never ends.
--
-- A Kafka broker must run, with the topics; for example:
--   docker run -d -p 9092:9092 apache/kafka
--   kafka-topics.sh --bootstrap-server localhost:9092 --create --topic temperatures --partitions 2
--   kafka-topics.sh --bootstrap-server localhost:9092 --create --topic enriched --partitions 2
-- And the sensor API, in another terminal:         affluent sensor-api
-- Then, in the folder that holds sql/:             affluent run sql/kafka_sensors.sql --var KAFKA=localhost:9092
--
-- Some events:    kcat -b localhost:9092 -t temperatures -P < sql/data/temperatures.jsonl
-- What comes out: affluent -c "SELECT * FROM 'kafka://localhost:9092/enriched' LIMIT 5"

SET 'execution.checkpointing.interval' = '1 s';
SET 'enrichment.strategy' = 'CACHED';

CREATE TABLE temperatures (
  sensorId STRING, temperature BIGINT, status STRING, `timestamp` BIGINT
) WITH ('connector' = 'kafka', 'topic' = 'temperatures', 'properties.bootstrap.servers' = '${KAFKA}',
        'properties.group.id' = 'affluent-sensors', 'scan.startup.mode' = 'earliest-offset', 'format' = 'json');

CREATE TABLE sensor_info (
  id STRING, brand STRING, countryCode STRING,
  PRIMARY KEY (id) NOT ENFORCED
) WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:8080/sensors/{id}', 'format' = 'json');

-- Records go to partitions by sensor, as with any other client of Kafka.
CREATE TABLE enriched (
  sensorId STRING, temperature BIGINT, status STRING, `timestamp` BIGINT, brand STRING, countryCode STRING
) WITH ('connector' = 'kafka', 'topic' = 'enriched', 'properties.bootstrap.servers' = '${KAFKA}',
        'key.format' = 'raw', 'key.fields' = 'sensorId', 'format' = 'json',
        'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'affluent-sensors');

INSERT INTO enriched
SELECT t.*, i.brand, i.countryCode
FROM temperatures AS t
LEFT JOIN sensor_info AS i ON t.sensorId = i.id;
