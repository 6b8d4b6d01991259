-- Degrees Celsius as degrees Fahrenheit.
CREATE FUNCTION fahrenheit(celsius DOUBLE) RETURNS DOUBLE
COMMENT 'Degrees Celsius as degrees Fahrenheit'
RETURN celsius * 1.8 + 32;
