-- TO_CHANGELOG and FROM_CHANGELOG with PARTITION BY, as documented for the Flink after 2.3, which has row
-- semantics only: the keys come first, and updates may be upserts.
-- @file upserts.jsonl
--| {"v":10,"code":"c","k":1}
--| {"v":20,"code":"c","k":2}
--| {"v":11,"code":"u","k":1}
--| {"v":11,"code":"u","k":1}
--| {"v":null,"code":"d","k":2}
--| {"v":null,"code":"d","k":3}
--| {"v":5,"code":"?","k":3}
CREATE TABLE upserts (v BIGINT, code STRING, k BIGINT)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/upserts.jsonl', 'format' = 'json');

-- A chunk gives at most one change a key: what is known at its end.
CREATE VIEW normal AS
SELECT * FROM FROM_CHANGELOG(input => TABLE upserts PARTITION BY k, op => DESCRIPTOR(code),
  op_mapping => MAP['c', 'INSERT', 'u', 'UPDATE_AFTER', 'd', 'DELETE'], invalid_op_handling => 'SKIP');
SELECT * FROM normal;
-- @expect ordered
--| {"op":"+I","k":1,"v":11}

SELECT * FROM TO_CHANGELOG(input => TABLE normal PARTITION BY (v));
-- @expect ordered
--| {"op":"+I","v":11,"op":"INSERT","k":1}

EXPLAIN CHANGELOG_MODE SELECT * FROM normal;
-- @text
--| ChangelogNormalize(key=[k])
--| FromChangelog(op=code, codes=['c': INSERT, 'u': UPDATE_AFTER, 'd': DELETE])

-- Deletes of the key alone.
CREATE VIEW deletes AS SELECT k, v, 'DELETE' AS op FROM upserts WHERE code = 'c';
CREATE VIEW deleted AS SELECT * FROM FROM_CHANGELOG(TABLE deletes);
SELECT * FROM TO_CHANGELOG(input => TABLE deleted PARTITION BY k, produces_full_deletes => FALSE);
-- @expect ordered
--| {"op":"+I","k":1,"op":"DELETE","v":null}
--| {"op":"+I","k":2,"op":"DELETE","v":null}

-- Upserts without a key.
SELECT * FROM FROM_CHANGELOG(TABLE upserts, DESCRIPTOR(code), MAP['c', 'INSERT', 'u', 'UPDATE_AFTER']);
-- @error
--| updates without UPDATE_BEFORE are upserts

SELECT * FROM FROM_CHANGELOG(input => TABLE normal, op => DESCRIPTOR(v));
-- @error
--| column 'v' of the codes must be STRING

SELECT * FROM FROM_CHANGELOG(input => TABLE upserts, opp => DESCRIPTOR(v));
-- @error
--| FROM_CHANGELOG has no argument 'opp'
--| did you mean OP?

SELECT * FROM FROM_CHANGELOG('upserts');
-- @error
--| INPUT of FROM_CHANGELOG is a table, not a value

SELECT * FROM FROM_CHANGELOG(TABLE upserts PARTITION BY kk);
-- @error
--| 'kk'

SELECT * FROM FROM_CHANGELOG(TABLE upserts, DESCRIPTOR(code), MAP['c', 'INSERTED']);
-- @error
--| 'INSERTED' is not a kind of change

SELECT * FROM FROM_CHANGELOG(TABLE upserts, DESCRIPTOR(code), MAP['c', 'INSERT', 'r', 'INSERT']);
-- @error
--| 'INSERT' appears in OP_MAPPING twice
--| 'c, r'

SELECT * FROM TO_CHANGELOG(TABLE upserts, DESCRIPTOR(op), 'code');
-- @error
--| OP_MAPPING of TO_CHANGELOG is a MAP

SELECT * FROM FROM_CHANGELOG(input => TABLE upserts, op => DESCRIPTOR(code), invalid_op_handling => 'DROP');
-- @error
--| 'FAIL', 'LOG' or 'SKIP'

SELECT * FROM FROM_CHANGELOG(TABLE upserts ORDER BY v);
-- @error
--| ORDER BY of the input of FROM_CHANGELOG is not supported

CREATE VIEW renamed AS SELECT k, v, CAST(v AS STRING) AS op FROM normal;
SELECT * FROM FROM_CHANGELOG(TABLE renamed);
-- @error
--| FROM_CHANGELOG takes inserts only
--| FromChangelog(op=code
