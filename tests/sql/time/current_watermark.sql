-- CURRENT_WATERMARK: the watermark before a row, row by row; NULL before the first.

-- @file events.jsonl
--| {"id": 1, "ts": "2024-05-01 10:00:05"}
--| {"id": 2, "ts": "2024-05-01 10:00:01"}
--| {"id": 3, "ts": "2024-05-01 10:00:09"}
--| {"id": 4, "ts": "2024-05-01 10:00:08"}
--| {"id": 5, "ts": "2024-05-01 10:00:12"}

CREATE TABLE events (id INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/events.jsonl', 'format' = 'json');

SELECT id, CURRENT_WATERMARK(ts) AS w FROM events;
-- @expect
--| {"op":"+I","id":1,"w":null}
--| {"op":"+I","id":2,"w":"2024-05-01 10:00:03"}
--| {"op":"+I","id":3,"w":"2024-05-01 10:00:03"}
--| {"op":"+I","id":4,"w":"2024-05-01 10:00:07"}
--| {"op":"+I","id":5,"w":"2024-05-01 10:00:07"}

-- The rows that are late.
SELECT id FROM events WHERE CURRENT_WATERMARK(ts) IS NOT NULL AND ts <= CURRENT_WATERMARK(ts);
-- @expect
--| {"op":"+I","id":2}

SELECT CURRENT_WATERMARK(ts2) FROM (SELECT ts + INTERVAL '1' SECOND AS ts2 FROM events);
-- @error
--| CURRENT_WATERMARK takes an event time attribute
