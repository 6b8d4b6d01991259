-- What a checkpoint holds, as tables.

CREATE TABLE state WITH ('connector' = 'checkpoint', 'path' = 'tests/fixtures/checkpoints/v1');
-- @text
--| `operator` STRING
--| `row_count` BIGINT

SELECT operator, name, task, table_name, row_count FROM state WHERE bytes > 0 AND task = 1;
-- @expect
--| {"op":"+I","operator":"agg-1","name":"GroupAggregate","task":1,"table_name":"keys","row_count":19}
--| {"op":"+I","operator":"wait-1","name":"LookupJoin","task":1,"table_name":"rest","row_count":0}
--| {"op":"+I","operator":"wait-1","name":"LookupJoin","task":1,"table_name":"rows","row_count":2}

CREATE TABLE keys WITH (
  'connector' = 'checkpoint', 'path' = 'tests/fixtures/checkpoints/v1', 'operator' = 'GroupAggregate');
-- @text
--| `task` INT
--| `pair` ROW<`name` STRING, `share` DOUBLE>

SELECT task, number, view, flag, price, kind FROM keys WHERE number = 4000012;
-- @expect
--| {"op":"+I","task":0,"number":4000012,"view":null,"flag":true,"price":4000.012,"kind":"red"}
--| {"op":"+I","task":1,"number":4000012,"view":null,"flag":true,"price":4000.012,"kind":"red"}

SELECT COUNT(*) AS n FROM keys;
-- @result
--| {"n":38}

-- Declared columns are found by name.
CREATE TABLE waiting (number STRING, kind STRING) WITH (
  'connector' = 'checkpoint', 'path' = 'tests/fixtures/checkpoints/v1', 'operator' = 'wait-1', 'table' = 'rows');

SELECT * FROM waiting;
-- @expect
--| {"op":"+I","number":null,"kind":"red"}
--| {"op":"+I","number":null,"kind":"red"}
--| {"op":"+I","number":"1000003","kind":"blue"}
--| {"op":"+I","number":"1000003","kind":"blue"}

CREATE TABLE lost (missing STRING) WITH (
  'connector' = 'checkpoint', 'path' = 'tests/fixtures/checkpoints/v1', 'operator' = 'wait-1', 'table' = 'rows');

SELECT * FROM lost;
-- @error
--| the checkpoint has no column 'missing'

CREATE TABLE several WITH (
  'connector' = 'checkpoint', 'path' = 'tests/fixtures/checkpoints/v1', 'operator' = 'LookupJoin');
-- @error
--| operator 'wait-1' has several state tables
