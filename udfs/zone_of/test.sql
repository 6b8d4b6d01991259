SET 'affluent.functions.path' = 'udfs';
SELECT name, zone_of(lat, lon) AS z FROM (VALUES ('kennedy', 40.6413, -73.7781), ('la guardia', 40.7769, -73.8740), ('newark', 40.6895, -74.1745), ('times square', 40.7580, -73.9855)) AS t(name, lat, lon);
-- @expect
--| {"op":"+I","name":"kennedy","z":"JFK"}
--| {"op":"+I","name":"la guardia","z":"LGA"}
--| {"op":"+I","name":"newark","z":"EWR"}
--| {"op":"+I","name":"times square","z":null}
