-- The name of the zone that a place lies in, NULL outside of all. The zones are in the code: put your own there.
CREATE FUNCTION zone_of(latitude DOUBLE, longitude DOUBLE) RETURNS STRING
LANGUAGE JAVASCRIPT STRICT
COMMENT 'The zone that a place lies in'
USING FILE 'zone_of.js';
