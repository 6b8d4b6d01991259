-- Windows of processing time close by the clock; those that are open when the input ends are given out then.
-- (Flink drops them.) The windows are a hundred years long.
-- @file t.jsonl
--| {"k": "a", "n": 1}
--| {"k": "b", "n": 2}
--| {"k": "a", "n": 4}
CREATE TABLE t (k STRING, n INT, proc AS PROCTIME())
WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');

SELECT k, SUM(n) AS s FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(proc), INTERVAL '36500' DAY)) GROUP BY k, window_start, window_end;
-- @expect
--| {"op":"+I","k":"a","s":5}
--| {"op":"+I","k":"b","s":2}

SELECT k, window_start, window_end FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(proc), INTERVAL '36500' DAY)) WHERE k = 'b';
-- @expect
--| {"op":"+I","k":"b","window_start":"1970-01-01 00:00:00","window_end":"2069-12-07 00:00:00"}

SELECT k, SUM(n) AS s FROM t GROUP BY k, SESSION(proc, INTERVAL '1' DAY);
-- @expect
--| {"op":"+I","k":"a","s":5}
--| {"op":"+I","k":"b","s":2}

-- Several sets: the aggregation takes the windows from columns.
SELECT k, SUM(n) AS s FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(proc), INTERVAL '36500' DAY)) GROUP BY window_start, window_end, ROLLUP (k);
-- @expect
--| {"op":"+I","k":"a","s":5}
--| {"op":"+I","k":"b","s":2}
--| {"op":"+I","k":null,"s":7}
