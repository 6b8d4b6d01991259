-- NULL never gets into a NOT NULL column, whatever the sink is; lengths are enforced on request.

-- @file in.jsonl
--| {"k":1,"s":"abcdef"}
--| {"k":null,"s":"x"}
--| {"k":3,"s":"y"}
CREATE TABLE t (k INT, s STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json');
CREATE TABLE strict (k INT NOT NULL, s STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/strict.jsonl', 'format' = 'json');
CREATE TABLE keyed (k INT, s STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'print');
CREATE TABLE short (k INT, s VARCHAR(3), c CHAR(4)) WITH ('connector' = 'filesystem', 'path' = '${DIR}/short.jsonl', 'format' = 'json');
SET 'table.dml-sync' = 'true';

INSERT INTO strict SELECT * FROM t;
-- @error
--| column 'k' of table 'strict' is NOT NULL, and the query gave NULL
INSERT INTO keyed SELECT * FROM t;
-- @error
--| column 'k' of table 'keyed' is NOT NULL
EXPLAIN INSERT INTO strict SELECT * FROM t;
-- @text
--| ConstraintEnforcer(NotNullEnforcer(fields=[k]))

SET 'table.exec.sink.not-null-enforcer' = 'DROP';
INSERT INTO strict SELECT * FROM t;
-- @content strict.jsonl
--| {"k":1,"s":"abcdef"}
--| {"k":3,"s":"y"}

-- Lengths are ignored by default.
INSERT INTO short SELECT k, s, s FROM t WHERE k = 1;
-- @content short.jsonl
--| {"k":1,"s":"abcdef","c":"abcdef"}
SET 'table.exec.sink.type-length-enforcer' = 'TRIM_PAD';
INSERT INTO short SELECT k, s, s FROM t WHERE k IS NULL OR k = 1;
-- @content short.jsonl
--| {"k":1,"s":"abcdef","c":"abcdef"}
--| {"k":1,"s":"abc","c":"abcd"}
--| {"k":null,"s":"x","c":"x   "}
SET 'table.exec.sink.type-length-enforcer' = 'ERROR';
INSERT INTO short SELECT k, s, 'abcd' FROM t WHERE k = 1;
-- @error
--| column 's' of table 'short' is VARCHAR(3)
