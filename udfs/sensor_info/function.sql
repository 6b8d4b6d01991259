-- Brand and country of a sensor, from an API. Put your own address here, and a token that the code does not see:
--   WITH ('allow-hosts' = 'api.example.com', 'header.Authorization' = 'Bearer ${SENSOR_TOKEN}', ...)
CREATE FUNCTION sensor_info(id STRING, api STRING DEFAULT 'https://api.example.com') RETURNS ROW<brand STRING, country STRING>
LANGUAGE JAVASCRIPT
COMMENT 'Brand and country of a sensor, from an API'
USING FILE 'sensor_info.js'
WITH ('allow-hosts' = 'api.example.com', 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.expire-after-write' = '10 min');
