-- Records that cannot be decoded go into a table, with what was wrong and where, instead of failing the job.

-- @file in.jsonl
--| {"k":1,"s":"a"}
--| {"k":"x","s":"b"}
--| not json
--| [{"k":2,"s":"c"},{"k":[],"s":"d"},{"k":3,"s":"e"}]
--| {"s":"f"}
--| {"k":4,"s":"g"}
-- @file in.csv
--| 1,a
--| x,b
--| 2
--| 3,"c
--| d"
--| ,e
--| 4,f
CREATE TABLE dead (table_name STRING, kind STRING, message STRING, `raw` BYTES, `position` STRING, attempts INT)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/dead.jsonl', 'format' = 'json');
CREATE TABLE t (k INT NOT NULL, s STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json', 'scan.dead-letter' = 'dead');
CREATE TABLE good (s STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/good.jsonl', 'format' = 'json');
SET 'table.dml-sync' = 'true';

-- Whether a record can be decoded is a matter of all declared columns, also of those that the query does not read.
INSERT INTO good SELECT s FROM t;
-- @content good.jsonl
--| {"s":"a"}
--| {"s":"c"}
--| {"s":"e"}
--| {"s":"g"}
-- @content dead.jsonl
--| {"table_name":"t","kind":"decode","message":"field 'k': expected INT, found \"x\"","raw":"eyJrIjoieCIsInMiOiJiIn0=","position":"${DIR}/in.jsonl:2","attempts":null}
--| {"table_name":"t","kind":"decode","message":"expected a JSON object, found not json","raw":"bm90IGpzb24=","position":"${DIR}/in.jsonl:3","attempts":null}
--| {"table_name":"t","kind":"decode","message":"field 'k': expected INT, found []","raw":"eyJrIjpbXSwicyI6ImQifQ==","position":"${DIR}/in.jsonl:4","attempts":null}
--| {"table_name":"t","kind":"decode","message":"field 'k': expected a value for a NOT NULL column, found a record without it","raw":"eyJzIjoiZiJ9","position":"${DIR}/in.jsonl:5","attempts":null}

-- A query shows what could be decoded.
SELECT k FROM t;
-- @expect
--| {"op":"+I","k":1}
--| {"op":"+I","k":2}
--| {"op":"+I","k":3}
--| {"op":"+I","k":4}

CREATE TABLE dead_csv (message STRING, `position` STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/dead_csv.jsonl', 'format' = 'json');
CREATE TABLE c (k INT NOT NULL, s STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.csv', 'format' = 'csv', 'scan.dead-letter' = 'dead_csv');
CREATE TABLE good_csv (k INT, s STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/good_csv.jsonl', 'format' = 'json');
INSERT INTO good_csv SELECT k, s FROM c;
-- @content good_csv.jsonl
--| {"k":1,"s":"a"}
--| {"k":3,"s":"c\nd"}
--| {"k":4,"s":"f"}
-- @content dead_csv.jsonl
--| {"message":"column 'k': 'x' is not an INT","position":"${DIR}/in.csv:2"}
--| {"message":"1 field instead of 2","position":"${DIR}/in.csv:3"}
--| {"message":"column 'k': the field is NULL, the column is declared NOT NULL","position":"${DIR}/in.csv:6"}

-- What cannot be is refused.
CREATE TABLE both (k INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json', 'json.ignore-parse-errors' = 'true', 'scan.dead-letter' = 'dead');
-- @error
--| 'scan.dead-letter' keeps the records that 'json.ignore-parse-errors' drops
CREATE TABLE nowhere (k INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json', 'scan.dead-letter' = 'nix');
INSERT INTO good SELECT CAST(k AS STRING) FROM nowhere;
-- @error
--| 'scan.dead-letter' of table 'nowhere'
CREATE TABLE odd (massage STRING) WITH ('connector' = 'print');
CREATE TABLE to_odd (k INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json', 'scan.dead-letter' = 'odd');
INSERT INTO good SELECT CAST(k AS STRING) FROM to_odd;
-- @error
--| dead letters, which have no column 'massage'
