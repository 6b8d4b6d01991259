-- Statements of Flink's around tables: catalogs and databases, ALTER, OR REPLACE, lists of columns, partitions.

USE CATALOG default_catalog;
USE default_catalog.default_database;
CREATE DATABASE IF NOT EXISTS default_database;

USE CATALOG hive;
-- @error
--| catalog 'hive' is not known

USE other;
-- @error
--| database 'other' is not known

DROP CATALOG other;
-- @error
--| catalog 'other' is not known

SHOW CATALOGS LIKE 'default%';
-- @text
--| default_catalog

SHOW DATABASES FROM default_catalog LIKE 'nothing';
SHOW DATABASES IN default_catalog;
-- @text
--| default_database

SHOW MODULES;
-- @text
--| core

-- @file rows.jsonl
--| {"id": 1, "name": "a", "at": "2024-01-01 00:00:00"}
--| {"id": 2, "name": "b", "at": "2024-01-01 00:01:00"}
CREATE TABLE default_catalog.default_database.t (id INT COMMENT 'the number', name STRING)
    WITH ('connector' = 'filesystem', 'path' = '${DIR}/rows.jsonl', 'format' = 'json');

DESC EXTENDED default_database.t;
-- @text
--| the number

ALTER TABLE t ADD (at TIMESTAMP(3) FIRST, twice AS id * 2, WATERMARK FOR at AS at - INTERVAL '1' SECOND);
ALTER TABLE t SET ('json.ignore-parse-errors' = 'true');
ALTER TABLE t RENAME name TO who;
SHOW CREATE TABLE t;
-- @text
--|   `at` TIMESTAMP(3),
--|   `who` STRING
--|   `twice` AS id * 2
--| WATERMARK FOR `at` AS at - INTERVAL '1' SECOND
--| 'json.ignore-parse-errors' = 'true'

ALTER TABLE t DROP id;
-- @error
--| column 'id' is read by computed column 'twice'

ALTER TABLE t RENAME at TO moment;
-- @error
--| column 'at' is read by the watermark

ALTER TABLE t DROP (twice);
ALTER TABLE t DROP WATERMARK;
ALTER TABLE t RESET ('json.ignore-parse-errors');
ALTER TABLE t MODIFY (at STRING, id BIGINT AFTER who);
ALTER TABLE t ADD PRIMARY KEY (id) NOT ENFORCED;
DESCRIBE t;
-- @text
--| "name":"at","type":"STRING"
--| "name":"id","type":"BIGINT","null":"FALSE","key":"PRI(id)"

ALTER TABLE t DROP PRIMARY KEY;
ALTER TABLE t DROP nme;
-- @error
--| table has no column 'nme'

ALTER TABLE t SET ('fromat' = 'csv');
-- @error
--| has no option 'fromat'

ALTER TABLE t RENAME who TO name;
ALTER TABLE t RENAME TO people;
ALTER TABLE IF EXISTS t RENAME TO nothing;
SELECT id, name, at FROM default_database.people;
-- @expect
--| {"op":"+I","id":1,"name":"a","at":"2024-01-01 00:00:00"}
--| {"op":"+I","id":2,"name":"b","at":"2024-01-01 00:01:00"}

CREATE VIEW v AS SELECT id FROM people;
CREATE OR REPLACE VIEW v AS SELECT name FROM people WHERE id = 1;
SELECT * FROM v;
-- @expect
--| {"op":"+I","name":"a"}

ALTER VIEW v AS SELECT id + 10 AS n FROM people;
ALTER VIEW v RENAME TO w;
SELECT * FROM w;
-- @expect
--| {"op":"+I","n":11}
--| {"op":"+I","n":12}

ALTER VIEW people RENAME TO x;
-- @error
--| 'people' is a table

CREATE OR REPLACE TABLE people (id INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/rows.jsonl', 'format' = 'json');
SELECT * FROM people;
-- @expect
--| {"op":"+I","id":1}
--| {"op":"+I","id":2}

CREATE TABLE copied (b, a) WITH ('connector' = 'filesystem', 'path' = '${DIR}/copied.json', 'format' = 'json')
    AS SELECT id AS a, id * 10 AS b FROM people;
-- @content copied.json
--| {"b":10,"a":1}
--| {"b":20,"a":2}

CREATE TABLE wrong (b, c) WITH ('connector' = 'blackhole') AS SELECT id AS a, id AS b FROM people;
-- @error
--| the query returns no column 'c'

CREATE TABLE parts (id INT, day STRING, hh STRING) PARTITIONED BY (day, hh)
    WITH ('connector' = 'filesystem', 'path' = '${DIR}/parts', 'format' = 'json');
INSERT INTO parts PARTITION (day = '2024-01-01', hh = '07') SELECT id FROM people;
SELECT * FROM parts;
-- @expect
--| {"op":"+I","id":1,"day":"2024-01-01","hh":"07"}
--| {"op":"+I","id":2,"day":"2024-01-01","hh":"07"}

INSERT INTO parts PARTITION (id = 1) SELECT 'd', 'h';
-- @error
--| 'id' is no partition column of 'parts'

CREATE TABLE buckets (id INT) DISTRIBUTED BY (id) INTO 4 BUCKETS WITH ('connector' = 'blackhole');
-- @error
--| DISTRIBUTED BY is not supported

EXPLAIN ESTIMATED_COST, JSON_EXECUTION_PLAN SELECT id % 10 FROM people;
-- @text
--| unknown: plans are made without statistics
--| "type": "Source"
--| id % 10

ANALYZE TABLE people COMPUTE STATISTICS;
-- @error
--| ANALYZE TABLE is not supported

SELECT id FROM people WERE id = 1;
-- @error
--| expected the end of the statement, found id

SELECT * EXCLUDE (id) FROM w CROSS JOIN people;
-- @expect
--| {"op":"+I","n":11}
--| {"op":"+I","n":11}
--| {"op":"+I","n":12}
--| {"op":"+I","n":12}
