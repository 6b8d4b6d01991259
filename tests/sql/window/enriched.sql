-- Windows over an enriched stream: by what the lookup gave, on the event time that went through it.
-- @file reads.jsonl
--| {"ts": "2024-01-01 00:00:01", "sensor": "s1", "t": 20}
--| {"ts": "2024-01-01 00:00:04", "sensor": "s2", "t": 30}
--| {"ts": "2024-01-01 00:00:07", "sensor": "s3", "t": 40}
--| {"ts": "2024-01-01 00:00:09", "sensor": "s4", "t": 50}
--| {"ts": "2024-01-01 00:00:12", "sensor": "s1", "t": 60}
-- @file sensors.jsonl
--| {"id": "s1", "brand": "Acme"}
--| {"id": "s2", "brand": "Acme"}
--| {"id": "s3", "brand": "Bolt"}
CREATE TABLE reads (ts TIMESTAMP(3), sensor STRING, t INT, WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/reads.jsonl', 'format' = 'json');
CREATE TABLE sensors (id STRING, brand STRING)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/sensors.jsonl', 'format' = 'json');
CREATE VIEW enriched AS
SELECT r.ts, s.brand, r.t FROM reads AS r LEFT JOIN sensors AS s ON r.sensor = s.id;

SELECT brand, window_start, window_end, COUNT(*) AS n, MAX(t) AS most
FROM TABLE(TUMBLE(TABLE enriched, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY brand, window_start, window_end;
-- @expect
--| {"op":"+I","brand":"Acme","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:10","n":2,"most":30}
--| {"op":"+I","brand":"Bolt","window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:10","n":1,"most":40}
--| {"op":"+I","brand":null,"window_start":"2024-01-01 00:00:00","window_end":"2024-01-01 00:00:10","n":1,"most":50}
--| {"op":"+I","brand":"Acme","window_start":"2024-01-01 00:00:10","window_end":"2024-01-01 00:00:20","n":1,"most":60}

-- The lookup behind the windows.
SELECT w.window_end, s.brand, w.n FROM (
  SELECT sensor, window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE reads, DESCRIPTOR(ts), INTERVAL '10' SECOND))
  GROUP BY sensor, window_start, window_end) AS w
JOIN sensors AS s ON w.sensor = s.id;
-- @expect
--| {"op":"+I","window_end":"2024-01-01 00:00:10","brand":"Acme","n":1}
--| {"op":"+I","window_end":"2024-01-01 00:00:10","brand":"Acme","n":1}
--| {"op":"+I","window_end":"2024-01-01 00:00:10","brand":"Bolt","n":1}
--| {"op":"+I","window_end":"2024-01-01 00:00:20","brand":"Acme","n":1}
