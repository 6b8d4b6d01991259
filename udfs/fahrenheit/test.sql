SET 'affluent.functions.path' = 'udfs';
SELECT fahrenheit(c) AS f FROM (VALUES (-40.0), (0.0), (37.0)) AS t(c);
-- @expect
--| {"op":"+I","f":-40.0}
--| {"op":"+I","f":32.0}
--| {"op":"+I","f":98.60000000000001}
