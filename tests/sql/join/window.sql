-- Joins of windows: each window is joined once, when it has ended.
-- checked against Flink 2.3

-- @file l.jsonl
--| {"id":1,"k":"a","ts":"2024-01-01 12:00:01"}
--| {"id":2,"k":"b","ts":"2024-01-01 12:00:02"}
--| {"id":3,"k":"a","ts":"2024-01-01 12:05:01"}
--| {"id":4,"k":null,"ts":"2024-01-01 12:05:02"}
--| {"id":5,"k":"c","ts":"2024-01-01 12:11:00"}

-- @file r.jsonl
--| {"n":10,"k":"a","ts":"2024-01-01 12:00:03"}
--| {"n":20,"k":"a","ts":"2024-01-01 12:04:59"}
--| {"n":30,"k":"c","ts":"2024-01-01 12:05:03"}
--| {"n":40,"k":"c","ts":"2024-01-01 12:12:00"}

CREATE TABLE l (id INT, k STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/l.jsonl', 'format' = 'json');
CREATE TABLE r (n INT, k STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/r.jsonl', 'format' = 'json');
CREATE VIEW lw AS SELECT * FROM TABLE(TUMBLE(TABLE l, DESCRIPTOR(ts), INTERVAL '5' MINUTES));
CREATE VIEW rw AS SELECT * FROM TABLE(TUMBLE(TABLE r, DESCRIPTOR(ts), INTERVAL '5' MINUTES));

SELECT l.id, r.n, l.window_start FROM lw AS l JOIN rw AS r ON l.window_start = r.window_start AND l.window_end = r.window_end AND l.k = r.k;
-- @result
--| {"id":1,"n":10,"window_start":"2024-01-01 12:00:00"}
--| {"id":1,"n":20,"window_start":"2024-01-01 12:00:00"}
--| {"id":5,"n":40,"window_start":"2024-01-01 12:10:00"}

SELECT l.id, r.n, l.window_start FROM lw AS l LEFT JOIN rw AS r ON l.window_start = r.window_start AND l.window_end = r.window_end AND l.k = r.k;
-- @result
--| {"id":1,"n":10,"window_start":"2024-01-01 12:00:00"}
--| {"id":1,"n":20,"window_start":"2024-01-01 12:00:00"}
--| {"id":2,"n":null,"window_start":"2024-01-01 12:00:00"}
--| {"id":3,"n":null,"window_start":"2024-01-01 12:05:00"}
--| {"id":4,"n":null,"window_start":"2024-01-01 12:05:00"}
--| {"id":5,"n":40,"window_start":"2024-01-01 12:10:00"}

SELECT l.id, r.n, r.window_end FROM lw AS l RIGHT JOIN rw AS r ON l.window_start = r.window_start AND l.window_end = r.window_end AND l.k = r.k;
-- @result
--| {"id":1,"n":10,"window_end":"2024-01-01 12:05:00"}
--| {"id":1,"n":20,"window_end":"2024-01-01 12:05:00"}
--| {"id":5,"n":40,"window_end":"2024-01-01 12:15:00"}
--| {"id":null,"n":30,"window_end":"2024-01-01 12:10:00"}

SELECT l.id, r.n FROM lw AS l FULL JOIN rw AS r ON l.window_start = r.window_start AND l.window_end = r.window_end AND l.k = r.k;
-- @result
--| {"id":1,"n":10}
--| {"id":1,"n":20}
--| {"id":2,"n":null}
--| {"id":3,"n":null}
--| {"id":4,"n":null}
--| {"id":5,"n":40}
--| {"id":null,"n":30}

SELECT l.id, r.n FROM lw AS l JOIN rw AS r ON l.window_start = r.window_start AND l.window_end = r.window_end AND l.k = r.k AND r.n > 15;
-- @result
--| {"id":1,"n":20}
--| {"id":5,"n":40}

SELECT id FROM lw AS l WHERE EXISTS (SELECT 1 FROM rw AS r WHERE l.window_start = r.window_start AND l.window_end = r.window_end AND l.k = r.k);
-- @result
--| {"id":1}
--| {"id":5}

SELECT id FROM lw AS l WHERE NOT EXISTS (SELECT 1 FROM rw AS r WHERE l.window_start = r.window_start AND l.window_end = r.window_end AND l.k = r.k);
-- @result
--| {"id":2}
--| {"id":3}
--| {"id":4}

SELECT id FROM lw AS l WHERE k IN (SELECT k FROM rw AS r WHERE l.window_start = r.window_start AND l.window_end = r.window_end);
-- @result
--| {"id":1}
--| {"id":5}

-- Sums of windows, joined.
SELECT x.k, x.c, y.s, x.window_start FROM (SELECT window_start, window_end, k, COUNT(*) AS c FROM lw GROUP BY window_start, window_end, k) AS x JOIN (SELECT window_start, window_end, k, SUM(n) AS s FROM rw GROUP BY window_start, window_end, k) AS y ON x.window_start = y.window_start AND x.window_end = y.window_end AND x.k = y.k;
-- @result
--| {"k":"a","c":1,"s":30,"window_start":"2024-01-01 12:00:00"}
--| {"k":"c","c":1,"s":40,"window_start":"2024-01-01 12:10:00"}
