-- What people know from other systems: the message says how it is written here.

CREATE TABLE t (id BIGINT, note STRING, items ARRAY<ROW<sku STRING>>, status STRING)
WITH ('connector' = 'datagen', 'number-of-rows' = '1');

SELECT * FROM t PIVOT (SUM(id) FOR status IN ('new', 'paid'));
-- @error
--| PIVOT is not supported

SELECT LENGTH(note) FROM t;
-- @error
--| write CHAR_LENGTH(text)

SELECT STRING_AGG(note, ',') FROM t;
-- @error
--| write LISTAGG(x, ',')

SELECT items.sku FROM t;
-- @error
--| write x[1].field

SELECT statis FROM t;
-- @error
--| did you mean status?

SELECT id FROM t WHERE status == 'new';
-- @error
--| write a single =

SELECT 'abc' RLIKE '^a.c$' AS x, 'abd' NOT RLIKE '^a.c$' AS y;
-- @expect
--| {"op":"+I","x":true,"y":true}

SELECT JSON_VALUE('{"ip": 1}', 'ip') AS a, JSON_VALUE('{"ip": {"x": 2}}', 'lax ip.x') AS b;
-- @expect
--| {"op":"+I","a":"1","b":"2"}
