-- @route GET /sensors/a%20b 200
--| {"brand":"Bosch","country":"DE","more":1}
-- @route GET /sensors/c 404
CREATE FUNCTION sensor_info(id STRING, api STRING) RETURNS ROW<brand STRING, country STRING>
LANGUAGE JAVASCRIPT USING FILE 'udfs/sensor_info/sensor_info.js' WITH ('allow-hosts' = '${API}');
SELECT t.id, t.info.brand, t.info.country
FROM (SELECT id, sensor_info(id, '${API}') AS info FROM (VALUES ('a b'), ('c'), (CAST(NULL AS STRING))) AS v(id)) AS t;
-- @expect
--| {"op":"+I","id":"a b","brand":"Bosch","country":"DE"}
--| {"op":"+I","id":"c","brand":null,"country":null}
--| {"op":"+I","id":null,"brand":null,"country":null}
-- @calls 2

-- As it is shipped.
SET 'affluent.functions.path' = 'udfs';
DROP FUNCTION sensor_info;
DESCRIBE FUNCTION EXTENDED sensor_info;
-- @text
--| allow-hosts
