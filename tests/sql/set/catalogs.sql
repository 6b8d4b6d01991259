-- Catalogs and databases: in memory, and in a file. Where Flink has the statement, its result is Flink's.
-- @file rows.jsonl
--| {"id": 1, "name": "a"}
--| {"id": 2, "name": "b"}
-- @file kept.sql
--| CREATE FUNCTION twice(x INT) RETURNS INT LANGUAGE SQL RETURN x * 2;
--| CREATE DATABASE IF NOT EXISTS `default`;
--| USE `default`;
--| CREATE TABLE `rows` (id INT, name STRING)
--|   WITH ('connector' = 'filesystem', 'path' = '${DIR}/rows.jsonl', 'format' = 'json');
--| CREATE VIEW `doubled` AS SELECT twice(id) AS id FROM `rows`;

CREATE TABLE t (id INT, name STRING)
    WITH ('connector' = 'filesystem', 'path' = '${DIR}/rows.jsonl', 'format' = 'json');
CREATE DATABASE sales COMMENT 'what was sold' WITH ('owner' = 'me');
SHOW DATABASES;
-- @text
--| default_database
--| sales

CREATE DATABASE sales;
-- @error
--| database 'sales' exists already

USE sales;
SHOW CURRENT DATABASE;
-- @text
--| sales

SELECT CURRENT_DATABASE() AS d FROM (VALUES (1)) AS v(x);
-- @expect
--| {"op":"+I","d":"sales"}

SELECT * FROM t;
-- @error
--| table or view 'default_catalog.sales.t' is not known

SELECT * FROM default_database.t WHERE t.id = 1;
-- @expect
--| {"op":"+I","id":1,"name":"a"}

CREATE TABLE t LIKE default_catalog.default_database.t;
CREATE VIEW v AS SELECT id + 10 AS id FROM t;
SHOW TABLES;
-- @text
--| t
--| v

SHOW CREATE VIEW v;
-- @text
--| CREATE VIEW `default_catalog`.`sales`.`v`

USE default_database;
SHOW TABLES IN sales LIKE 'v';
-- @text
--| v

-- The names in a view are those of its own database.
DROP TABLE t;
SELECT a.id, b.name FROM sales.v AS a JOIN default_catalog.sales.t AS b ON a.id = b.id + 10 WHERE a.id > 11;
-- @expect
--| {"op":"+I","id":12,"name":"b"}

DROP DATABASE sales;
-- @error
--| database 'sales' is not empty
--| it holds t, v

ALTER TABLE sales.t RENAME TO u;
ALTER DATABASE sales SET ('owner' = 'you');
DESCRIBE DATABASE EXTENDED sales;
-- @text
--| what was sold
--| you

DROP DATABASE sales CASCADE;
DROP DATABASE IF EXISTS sales;

CREATE CATALOG memory WITH ('type' = 'generic_in_memory');
CREATE CATALOG hive WITH ('type' = 'hive');
-- @error
--| catalogs of type 'hive' are not supported

CREATE CATALOG kept COMMENT 'in a file' WITH ('type' = 'file', 'path' = '${DIR}/kept.sql');
SHOW CATALOGS;
-- @text
--| default_catalog
--| kept
--| memory

SELECT * FROM kept.`default`.doubled;
-- @expect
--| {"op":"+I","id":2}
--| {"op":"+I","id":4}

USE CATALOG kept;
CREATE TABLE made (id INT, name STRING)
    WITH ('connector' = 'filesystem', 'path' = '${DIR}/rows.jsonl', 'format' = 'json');
CREATE TEMPORARY VIEW gone AS SELECT 1 AS one FROM made;
CREATE TABLE secret (id INT) WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:1/{id}',
    'http.source.lookup.header.Authorization' = 'Bearer abc');
-- @error
--| option 'http.source.lookup.header.Authorization' of table 'kept.default.secret' is a secret

DROP CATALOG kept;
-- @error
--| catalog 'kept' is the current one

USE CATALOG default_catalog;
DROP CATALOG kept;
DROP FUNCTION twice;
CREATE CATALOG again WITH ('type' = 'file', 'path' = '${DIR}/kept.sql');
SHOW TABLES FROM again.`default`;
-- @text
--| doubled
--| made
--| rows

SELECT m.id, d.id AS d FROM again.`default`.made AS m JOIN again.`default`.doubled AS d ON m.id * 2 = d.id;
-- @expect
--| {"op":"+I","id":1,"d":2}
--| {"op":"+I","id":2,"d":4}

DESCRIBE CATALOG EXTENDED again;
-- @text
--| file
--| kept.sql
