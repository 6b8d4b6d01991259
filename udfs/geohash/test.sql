-- The examples of the geohash's inventor: 57.64911, 10.40744 is u4pruydqqvj.
SET 'affluent.functions.path' = 'udfs';
SELECT geohash(57.64911, 10.40744, 11) AS a, geohash(digits => 5, latitude => 42.605, longitude => -5.603) AS b, geohash(0.0, 0.0) AS c;
-- @expect
--| {"op":"+I","a":"u4pruydqqvj","b":"ezs42","c":"s00000000"}
SELECT geohash(91.0, 0.0) AS a;
-- @error
--| no place on earth
