-- INSERT casts as CAST does: local time, ROW fields by position.
-- @file in.jsonl
--| {"ms": 1719828000000}
SET 'table.local-time-zone' = 'Europe/Berlin';
CREATE TABLE i (ms BIGINT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json');
CREATE TABLE o (ts TIMESTAMP(3), n BIGINT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/o.jsonl', 'format' = 'json');
INSERT INTO o SELECT TO_TIMESTAMP_LTZ(ms, 3), 5 FROM i;
-- @content o.jsonl
--| {"ts":"2024-07-01 12:00:00","n":5}
