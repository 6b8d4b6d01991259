-- The average of values by their weights.
CREATE AGGREGATE FUNCTION weighted_average(amount DOUBLE, weight DOUBLE) RETURNS DOUBLE
LANGUAGE JAVASCRIPT STRICT
COMMENT 'The average of values by their weights'
USING FILE 'weighted_average.js';
