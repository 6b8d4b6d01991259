-- The geohash of a place: nearby places share a prefix, so that it serves as a key.
CREATE FUNCTION geohash(latitude DOUBLE, longitude DOUBLE, digits INT DEFAULT 9) RETURNS STRING
LANGUAGE JAVASCRIPT STRICT
COMMENT 'The geohash of a place in degrees'
USING FILE 'geohash.js';
