-- What one wants to know of an enriched stream: per brand and minute, against the reading before, the hottest.
--
--   affluent run sql/readings.sql -o tableau
--
-- The events are the shipped ones; brands come from a generated table, so that no service is needed. With the lookup
-- service of sensors.sql in place of it nothing else changes.

CREATE TABLE readings (
  sensorId STRING,
  temperature BIGINT,
  status STRING,
  `timestamp` BIGINT,
  ts AS TO_TIMESTAMP_LTZ(`timestamp`, 3),
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH ('connector' = 'filesystem', 'path' = 'sql/data/temperatures.jsonl', 'format' = 'json');

CREATE VIEW branded AS
SELECT *, CASE MOD(TRY_CAST(sensorId AS INT), 3) WHEN 0 THEN 'Thermix' WHEN 1 THEN 'Kelvin & Co' ELSE 'Boreal' END AS brand
FROM readings;

-- Per brand and ten seconds: one row each, when the watermark says that the window is complete.
SELECT window_start, brand, COUNT(*) AS readings, AVG(temperature) AS average,
       COUNT(*) FILTER (WHERE status <> 'OK') AS faults
FROM TUMBLE(TABLE branded, DESCRIPTOR(ts), INTERVAL '10' SECOND)
GROUP BY window_start, window_end, brand;

-- Against the reading before of the same sensor.
SELECT sensorId, ts, temperature,
       temperature - LAG(temperature) OVER (PARTITION BY sensorId ORDER BY ts) AS change
FROM branded WHERE sensorId = '7';

-- The three hottest readings so far: a result that changes as rows come.
SELECT brand, sensorId, temperature
FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY temperature DESC, ts) AS place FROM branded)
WHERE place <= 3;
