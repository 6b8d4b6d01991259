-- JSON records that say in a field what kind of change they are: written, and read back.
-- @file events.jsonl
--| {"before":null,"after":{"id":1,"name":"a"},"op":"c"}
--| {"before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"},"op":"u"}
--| {"before":{"id":1,"name":"b"},"after":null,"op":"d"}
--| {"before":null,"after":{"id":2,"name":"c"},"op":"c"}
CREATE TABLE events (id BIGINT, name STRING)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/events.jsonl', 'format' = 'debezium-json');

CREATE TABLE log (id BIGINT, name STRING)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/log.jsonl', 'format' = 'json', 'json.changelog-field' = 'kind');
INSERT INTO log SELECT * FROM events;
-- @content log.jsonl
--| {"kind":"+I","id":1,"name":"a"}
--| {"kind":"-U","id":1,"name":"a"}
--| {"kind":"+U","id":1,"name":"b"}
--| {"kind":"-D","id":1,"name":"b"}
--| {"kind":"+I","id":2,"name":"c"}

SELECT name FROM log;
-- @expect ordered
--| {"op":"+I","name":"a"}
--| {"op":"-U","name":"a"}
--| {"op":"+U","name":"b"}
--| {"op":"-D","name":"b"}
--| {"op":"+I","name":"c"}

-- By primary key: what was replaced is not written, and made up for when it is read.
CREATE TABLE latest (id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/latest.jsonl', 'format' = 'json',
      'json.changelog-field' = 'op', 'json.changelog-mode' = 'upsert');
INSERT INTO latest VALUES (1, 'a'), (1, 'b'), (2, 'c');

SELECT name FROM latest;
-- @expect ordered
--| {"op":"+I","name":"b"}
--| {"op":"+I","name":"c"}

CREATE TABLE bad (op STRING)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/bad.jsonl', 'format' = 'json', 'json.changelog-field' = 'op');
INSERT INTO bad VALUES ('x');
-- @error
--| column 'op' has the name of the field that holds the kind of change

CREATE TABLE keyless (id BIGINT)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/k.jsonl', 'format' = 'json',
      'json.changelog-field' = 'op', 'json.changelog-mode' = 'upsert');
-- @error
--| 'json.changelog-mode' = 'upsert' needs a PRIMARY KEY

-- A file of changes is no lookup table.
CREATE TABLE stream (id BIGINT, t AS PROCTIME())
WITH ('connector' = 'datagen', 'number-of-rows' = '1');
SELECT s.id, l.name FROM stream AS s JOIN log FOR SYSTEM_TIME AS OF s.t AS l ON s.id = l.id;
-- @error
--| its files hold changes, a lookup needs rows
