-- Debezium's change events as rows that change, and written again as Flink does.
-- checked against Flink 2.3
-- @file events.jsonl
--| {"before":null,"after":{"id":1,"name":"a","cnt":1},"op":"c","ts_ms":1}
--| {"before":null,"after":{"id":2,"name":"b","cnt":7},"op":"r","ts_ms":1}
--| {"before":{"id":1,"name":"a","cnt":1},"after":{"id":1,"name":"b","cnt":3},"op":"u","ts_ms":1}
--| {"before":{"id":2,"name":"b","cnt":7},"after":null,"op":"d","ts_ms":1}
CREATE TABLE events (id BIGINT, name STRING, cnt BIGINT)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/events.jsonl', 'format' = 'debezium-json');

SELECT * FROM events;
-- @expect ordered
--| {"op":"+I","id":1,"name":"a","cnt":1}
--| {"op":"+I","id":2,"name":"b","cnt":7}
--| {"op":"-U","id":1,"name":"a","cnt":1}
--| {"op":"+U","id":1,"name":"b","cnt":3}
--| {"op":"-D","id":2,"name":"b","cnt":7}

-- Columns that are not asked for are not read.
SELECT cnt * 2 AS twice FROM events WHERE name = 'b';
-- @expect ordered
--| {"op":"+I","twice":14}
--| {"op":"+U","twice":6}
--| {"op":"-D","twice":14}

CREATE TABLE copy (id BIGINT, name STRING)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/copy.jsonl', 'format' = 'debezium-json');
INSERT INTO copy SELECT id, name FROM events;
-- @content copy.jsonl
--| {"before":null,"after":{"id":1,"name":"a"},"op":"c"}
--| {"before":null,"after":{"id":2,"name":"b"},"op":"c"}
--| {"before":{"id":1,"name":"a"},"after":null,"op":"d"}
--| {"before":null,"after":{"id":1,"name":"b"},"op":"c"}
--| {"before":{"id":2,"name":"b"},"after":null,"op":"d"}

EXPLAIN CHANGELOG_MODE SELECT id FROM events;
-- @text
--| Source: events
--| changelogMode=[I,UB,UA,D]

-- A sink that takes inserts only says so before anything runs.
CREATE TABLE plain (id BIGINT)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/plain.jsonl', 'format' = 'json');
INSERT INTO plain SELECT id FROM events;
-- @error
--| table 'plain' takes inserts only
--| Source(events
