-- What is wrong in SQL is said with its place and a remedy.
CREATE TABLE t (id INT, name STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '1');
SELECT nme FROM t;
-- @error
--| nme
--| sql.sql:3

SELECT * FROM tt;
-- @error
--| 'tt' is not known
--| did you mean 't'?

SELECT id, name, COUNT(*) FROM t GROUP BY id;
-- @error
--| name

CREATE TABLE lines (id INT, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/out', 'format' = 'json');
INSERT INTO lines SELECT id, COUNT(*) FROM t GROUP BY id;
-- @error
--| table 'lines' takes inserts only
--| GroupAggregate(groupBy=[id]
--| debezium-json

SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A B+) DEFINE B AS id > 1);
-- @error
--| a greedy quantifier at the end in PATTERN is not supported

SELEC 1;
-- @error
--| SELEC

CREATE TABLE x (id INT) WITH ('connector' = 'datagen', 'rows-per-secnd' = '1');
-- @error
--| rows-per-secnd
--| did you mean 'rows-per-second'?

CREATE TABLE x (id INT) WITH ('connector' = 'datagem');
-- @error
--| datagem
--| did you mean 'datagen'?

CREATE TABLE x (id INT) WITH ('connector' = 'filesystem', 'path' = '/nowhere/at-all.jsonl', 'format' = 'json');
SELECT * FROM x;
-- @error
--| /nowhere/at-all.jsonl

SET 'enrichment.stratgy' = 'SYNC';
-- @error
--| did you mean 'enrichment.strategy'?

CREATE TABLE t (id INT) WITH ('connector' = 'datagen');
-- @error
--| exists already

SELECT NO_SUCH_FUNCTION(id) FROM t;
-- @error
--| NO_SUCH_FUNCTION

SELECT UNNEST(id) FROM t;
-- @error
--| UNNEST

CREATE TABLE w (ts TIMESTAMP(6), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen');
-- @error
--| precision 3 or less

INSERT INTO t SELECT 1;
-- @error
--| the query returns 1 columns, table 't' expects 2

SET 'parallelism.default' = '1000000';
-- @error
--| at most 1024

SET 'table.exec.async-lookup.timeout' = '0 s';
-- @error
--| longer than 0

CREATE TABLE d (id INT, kind STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:1/{id}');
SELECT * FROM t, LATERAL TABLE(d(kind => 'a', t.id)) AS x;
-- @error
--| all named, each once, or none is

SELECT ROW_NUMBER(1) AS n;
-- @error
--| ROW_NUMBER is a function of windows and needs OVER (...)
--| write ROW_NUMBER(...) OVER (PARTITION BY ... ORDER BY ...)
