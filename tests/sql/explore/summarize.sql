-- SUMMARIZE: figures of each column of a table, a file or a query.
-- @file t.csv
--| k,s,d,x
--| 1,b,2026-01-05,1.5
--| 2,,2026-01-06,2.5
--| 3,a,,
--| 3,a,2025-12-31,
SUMMARIZE '${DIR}/t.csv';
-- @text
--| {"column":"k","type":"BIGINT","rows":4,"nulls":0,"distinct":3,"min":"1","max":"3","mean":2.25,"stddev":0.957427
--| {"column":"s","type":"STRING","rows":4,"nulls":0,"distinct":3,"min":"","max":"b","mean":null,"stddev":null}
--| {"column":"d","type":"DATE","rows":4,"nulls":1,"distinct":3,"min":"2025-12-31","max":"2026-01-06","mean":null,"stddev":null}
--| {"column":"x","type":"DOUBLE","rows":4,"nulls":2,"distinct":2,"min":"1.5","max":"2.5","mean":2.0

CREATE TABLE t (k INT, tags ARRAY<STRING>, b BOOLEAN) WITH ('connector' = 'filesystem', 'path' = '${DIR}/u.jsonl', 'format' = 'json');
-- @file u.jsonl
--| {"k": 1, "tags": ["a"], "b": true}
--| {"k": null, "tags": null, "b": false}
SUMMARIZE t;
-- @text
--| {"column":"k","type":"INT","rows":2,"nulls":1,"distinct":1,"min":"1","max":"1","mean":1.0,"stddev":null}
--| {"column":"tags","type":"ARRAY<STRING>","rows":2,"nulls":1,"distinct":null,"min":null,"max":null,"mean":null,"stddev":null}
--| {"column":"b","type":"BOOLEAN","rows":2,"nulls":0,"distinct":2,"min":null,"max":null,"mean":null,"stddev":null}

SUMMARIZE SELECT k AS a, k AS a FROM t WHERE FALSE;
-- @text
--| {"column":"a","type":"INT","rows":0,"nulls":0,"distinct":0,"min":null,"max":null,"mean":null,"stddev":null}

SUMMARIZE SELECT k, COUNT(*) AS n FROM t GROUP BY k;
-- @text
--| {"column":"n","type":"BIGINT","rows":2,"nulls":0,"distinct":1,"min":"1","max":"1","mean":1.0,"stddev":0.0}

CREATE TABLE endless (id BIGINT) WITH ('connector' = 'datagen');
SUMMARIZE endless;
-- @error
--| SUMMARIZE counts the rows of what ends, and this does not
--| LIMIT

SUMMARIZE SELECT * FROM endless LIMIT 10;
-- @text
--| {"column":"id","type":"BIGINT","rows":10,"nulls":0,"distinct":10,

SUMMARIZE nowhere;
-- @error
--| 'nowhere' is not known
--| summarize.sql:43:11

SUMMARIZE;
-- @error
--| expected a table, a file or a query
