-- Files without a declaration: their columns follow from a sample.

-- @file events.jsonl
--| {"id": 1, "at": "2024-05-01T10:00:00Z", "who": {"name": "Ada"}}
--| {"id": 2, "at": "2024-05-01T10:00:01Z", "extra": 1.5}
-- @file sensors.csv
--| id,brand
--| 1,Acme
--| 2,Beko

DESCRIBE '${DIR}/events.jsonl';
-- @text
--| "name":"id","type":"BIGINT"
--| "name":"at","type":"TIMESTAMP_LTZ(3)"
--| "name":"extra","type":"DOUBLE"

SELECT id, who.name, extra FROM '${DIR}/events.jsonl';
-- @expect
--| {"op":"+I","id":1,"name":"Ada","extra":null}
--| {"op":"+I","id":2,"name":null,"extra":1.5}

-- A file on the right of a join is a lookup table, as any table of the connector.
SELECT e.id, s.brand FROM '${DIR}/events.jsonl' AS e JOIN '${DIR}/sensors.csv' AS s ON e.id = s.id;
-- @expect
--| {"op":"+I","id":1,"brand":"Acme"}
--| {"op":"+I","id":2,"brand":"Beko"}

CREATE TABLE t WITH ('connector' = 'filesystem', 'path' = '${DIR}/sensors.csv', 'format' = 'csv');
-- @text
--| `id` BIGINT
--| `brand` STRING
--| 'csv.skip-header' = 'true'

SELECT brand FROM t WHERE id = 2;
-- @expect
--| {"op":"+I","brand":"Beko"}

SELECT * FROM '${DIR}/missing.jsonl';
-- @error
--| missing.jsonl

SELECT * FROM 'notes.txt';
-- @error
--| the format of 'notes.txt' does not follow from its name

CREATE TABLE d WITH ('connector' = 'datagen');
-- @error
--| table 'd' has no columns
