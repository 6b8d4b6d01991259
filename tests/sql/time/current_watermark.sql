-- CURRENT_WATERMARK: the watermark before a row; NULL before the first. Batches are read whole, and the watermark
-- moves between rows only where a row is late.

-- @file events.jsonl
--| {"id": 1, "ts": "2024-05-01 10:00:05"}
--| {"id": 2, "ts": "2024-05-01 10:00:01"}
--| {"id": 3, "ts": "2024-05-01 10:00:09"}

CREATE TABLE events (id INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/events.jsonl', 'format' = 'json');

SELECT id, CURRENT_WATERMARK(ts) AS w FROM events WHERE id < 2;
-- @expect
--| {"op":"+I","id":1,"w":null}

SELECT id FROM events WHERE CURRENT_WATERMARK(ts) IS NULL AND id = 1;
-- @expect
--| {"op":"+I","id":1}

SELECT CURRENT_WATERMARK(ts2) FROM (SELECT ts + INTERVAL '1' SECOND AS ts2 FROM events);
-- @error
--| CURRENT_WATERMARK takes an event time attribute
