-- Six weeks of weather at New York's three airports, each observation with the name and place of its
-- airport. No service is needed: the lookup table is a file, held in memory.
--
--   affluent run sql/weather.sql
--
-- sql/data/weather.csv is the part from 2013-01-01 to 2013-02-14 of the `weather` table of nycflights13
-- (https://github.com/tidyverse/nycflights13, CC0), in order of time and without its header line;
-- sql/data/airports.csv is made from its `airports` table. NA means that a value is not known.

CREATE TABLE weather (
  origin STRING, `year` INT, `month` INT, `day` INT, `hour` INT,
  temp DOUBLE, dewp DOUBLE, humid DOUBLE,        -- degrees Fahrenheit, percent
  wind_dir DOUBLE, wind_speed DOUBLE, wind_gust DOUBLE,    -- degrees, miles per hour
  precip DOUBLE, pressure DOUBLE, visib DOUBLE,  -- inches, millibars, miles
  time_hour STRING                               -- UTC, such as 2013-01-01T06:00:00Z
) WITH ('connector' = 'filesystem', 'path' = 'sql/data/weather.csv', 'format' = 'csv',
        'csv.null-literal' = 'NA');

CREATE TABLE airports (
  code STRING, name STRING, lat DOUBLE, lon DOUBLE, alt INT,
  PRIMARY KEY (code) NOT ENFORCED
) WITH ('connector' = 'filesystem', 'path' = 'sql/data/airports.csv', 'format' = 'csv');

-- Snow or freezing rain: precipitation below the freezing point.
SELECT w.time_hour, a.name,
  ROUND((w.temp - 32) * 5 / 9, 1) AS celsius, ROUND(w.precip * 25.4, 1) AS precip_mm, w.visib AS miles
FROM weather AS w
JOIN airports AS a ON w.origin = a.code
WHERE w.temp < 32 AND w.precip > 0;
