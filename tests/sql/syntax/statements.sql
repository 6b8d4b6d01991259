-- Statements as Flink has them.

CREATE TABLE base (a INT, b STRING, price INT) WITH ('connector' = 'datagen', 'number-of-rows' = '1');
ALTER TABLE base MODIFY (a BIGINT);
ALTER TABLE base ADD (c AS price * 3 FIRST, d AS price AFTER b);
DESCRIBE base;
-- @text
--| "name":"c","type":"INT","null":"TRUE"
--| "name":"a","type":"BIGINT","null":"TRUE"
--| "name":"b","type":"STRING","null":"TRUE"
--| "name":"d","type":"INT","null":"TRUE"
--| "name":"price","type":"INT","null":"TRUE"

ALTER TABLE base ADD DISTRIBUTION BY HASH(a) INTO 4 BUCKETS;
-- @error
--| ALTER TABLE ... ADD DISTRIBUTION is not supported
ALTER TABLE base DROP DISTRIBUTION;
-- @error
--| ALTER TABLE ... DROP DISTRIBUTION is not supported
ALTER TABLE base ADD PARTITION (p = 'w');
-- @error
--| ALTER TABLE ... ADD PARTITION is not supported
ALTER TABLE base DROP IF EXISTS PARTITION (p = 'w');
-- @error
--| ALTER TABLE ... DROP PARTITION is not supported
SHOW CONNECTIONS;
-- @error
--| SHOW CONNECTIONS is not supported
REPLACE TABLE base AS SELECT 1 AS a;
-- @error
--| CREATE OR REPLACE TABLE

-- The columns that are declared, then those of the query that are not.
CREATE TABLE merged (d AS a + 1, e TIMESTAMP(3), a BIGINT, PRIMARY KEY (a) NOT ENFORCED) WITH ('connector' = 'blackhole') AS SELECT 1 AS a, 'q' AS z;
DESCRIBE merged;
-- @text
--| "name":"d","type":"BIGINT","null":"FALSE"
--| "name":"e","type":"TIMESTAMP(3)","null":"TRUE"
--| "name":"a","type":"BIGINT","null":"FALSE"
--| "name":"z","type":"STRING","null":"TRUE"
CREATE TABLE computed (a AS 1 + 1) WITH ('connector' = 'blackhole') AS SELECT 1 AS a;
-- @error
--| column 'a' is computed, the query returns it

-- What a view is made of shows: lengths, precisions, NOT NULL, event times.
CREATE TABLE t (id BIGINT NOT NULL, v VARCHAR(8), c CHAR(3) NOT NULL, ts TIMESTAMP(1), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen');
CREATE VIEW w AS SELECT id, v, UPPER(v) || c AS u, LEFT(c, 2) AS l, ARRAY[id] AS i, ts, COALESCE(v, 'none') AS o FROM t;
DESCRIBE w;
-- @text
--| "name":"id","type":"BIGINT","null":"FALSE"
--| "name":"v","type":"VARCHAR(8)","null":"TRUE"
--| "name":"u","type":"VARCHAR(11)","null":"TRUE"
--| "name":"l","type":"VARCHAR(3)","null":"TRUE"
--| "name":"i","type":"ARRAY<BIGINT NOT NULL>","null":"FALSE"
--| "name":"ts","type":"TIMESTAMP(1) *ROWTIME*","null":"TRUE"
--| "name":"o","type":"VARCHAR(8)","null":"FALSE"

CREATE VIEW x AS SELECT window_start, window_time, v, COUNT(*) AS n, SUM(id) AS s, MAX(v) AS m, COLLECT(v) AS k, JSON_ARRAYAGG(id) AS j
FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_start, window_end, window_time, v;
DESCRIBE x;
-- @text
--| "name":"window_start","type":"TIMESTAMP(3)","null":"FALSE"
--| "name":"window_time","type":"TIMESTAMP(3) *ROWTIME*","null":"FALSE"
--| "name":"v","type":"VARCHAR(8)","null":"TRUE"
--| "name":"n","type":"BIGINT","null":"FALSE"
--| "name":"s","type":"BIGINT","null":"FALSE"
--| "name":"m","type":"VARCHAR(8)","null":"TRUE"
--| "name":"k","type":"MULTISET<VARCHAR(8)>","null":"FALSE"
--| "name":"j","type":"VARCHAR(2000)","null":"FALSE"
