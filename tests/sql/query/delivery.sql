-- What sources and sinks promise with checkpoints is told by EXPLAIN.
SET 'parallelism.default' = '1';
CREATE TABLE n (k BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '5');
CREATE TABLE lines (k BIGINT) WITH ('connector' = 'stdin');
CREATE TABLE out (k BIGINT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/out', 'format' = 'json');
CREATE TABLE shown (k BIGINT) WITH ('connector' = 'print');
CREATE TABLE dropped (k BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE piped (k BIGINT) WITH ('connector' = 'stdout');

EXPLAIN INSERT INTO out SELECT k FROM n;
-- @text
--| Sink: out (filesystem, exactly-once)
--| Source: n (datagen: 5 rows/s) [k]

EXPLAIN INSERT INTO shown SELECT k FROM lines;
-- @text
--| Sink: shown (print, at-least-once)
--| Source: lines (stdin: format=json, cannot be replayed) [k]

EXPLAIN INSERT INTO dropped SELECT k FROM n;
-- @text
--| Sink: dropped (blackhole, at-least-once)

EXPLAIN INSERT INTO piped SELECT k FROM n;
-- @text
--| Sink: piped (stdout, at-least-once)
