-- Clauses that would be taken and then ignored are refused.

CREATE TABLE t (id BIGINT, s STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '1');

SELECT COUNT(*) FROM t TABLESAMPLE BERNOULLI (1);
-- @error
--| TABLESAMPLE is not supported

SELECT COUNT(*) FROM t START WITH id = 1 CONNECT BY PRIOR id = id;
-- @error
--| CONNECT BY is not supported

SELECT id FROM t FOR UPDATE;
-- @error
--| FOR UPDATE is not supported

SELECT UPPER(s) FILTER (WHERE id > 5) FROM t;
-- @error
--| UPPER takes no FILTER

SELECT UPPER(s) OVER (PARTITION BY id) FROM t;
-- @error
--| UPPER takes no OVER

SELECT UPPER(DISTINCT s) FROM t;
-- @error
--| UPPER takes no DISTINCT or ALL
