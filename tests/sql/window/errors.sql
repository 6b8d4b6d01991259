-- What windows refuse.
CREATE TABLE t (ts TIMESTAMP(3), at TIMESTAMP(3), n INT, WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');
-- @file t.jsonl
--| {"ts": "2024-01-01 00:00:01", "at": "2024-01-01 00:00:01", "n": 1}

SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '0' SECOND));
-- @error
--| SIZE of TUMBLE

SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '-10' SECOND));
-- @error
--| SIZE of TUMBLE

SELECT * FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '0' SECOND, INTERVAL '10' SECOND));
-- @error
--| SLIDE of HOP

SELECT * FROM TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '4' SECOND, INTERVAL '10' SECOND));
-- @error
--| multiple of its step

SELECT * FROM TABLE(SESSION(TABLE t, DESCRIPTOR(ts), INTERVAL '0' SECOND));
-- @error
--| GAP of SESSION

SELECT * FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '0.001' SECOND, INTERVAL '365' DAY));
-- @error
--| a row would be in 31536000000 windows

-- No time attribute: another column, or one that an expression made a plain timestamp.
SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(at), INTERVAL '10' SECOND));
-- @error
--| the time column of TUMBLE must be a time attribute
--| 'at' is a plain TIMESTAMP(3)

CREATE VIEW moved AS SELECT ts + INTERVAL '1' SECOND AS ts, n FROM t;
SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE moved, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
-- @error
--| must be a time attribute

-- The windows' own time is the time attribute from there on; the old one is none any more.
CREATE VIEW windowed AS SELECT ts, n FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND));
SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE windowed, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end;
-- @error
--| must be a time attribute

SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(n), INTERVAL '10' SECOND));
-- @error
--| time attribute
