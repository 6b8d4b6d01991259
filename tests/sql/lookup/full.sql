-- A file on the right is loaded once: a lookup table with FULL cache.
-- @file flights.csv
--| EWR,10
--| JFK,20
--| XXX,30
-- @file airports.csv
--| EWR,Newark
--| JFK,Kennedy
--| LGA,La Guardia
CREATE TABLE flights (origin STRING, n INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/flights.csv', 'format' = 'csv');
CREATE TABLE airports (f STRING METADATA FROM 'file.name' VIRTUAL, code STRING, name STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/airports.csv', 'format' = 'csv');
SELECT f.n, a.name, a.f FROM flights AS f LEFT JOIN airports AS a ON f.origin = a.code;
-- @expect ordered
--| {"op":"+I","n":10,"name":"Newark","f":"airports.csv"}
--| {"op":"+I","n":20,"name":"Kennedy","f":"airports.csv"}
--| {"op":"+I","n":30,"name":null,"f":null}

-- A key that is not the first column, and the only one that is read.
SELECT x.s, a.name FROM (VALUES ('Kennedy'), ('Orly')) AS x(s) LEFT JOIN airports AS a ON x.s = a.name;
-- @expect
--| {"op":"+I","s":"Kennedy","name":"Kennedy"}
--| {"op":"+I","s":"Orly","name":null}
