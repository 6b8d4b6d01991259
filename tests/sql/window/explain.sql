-- What EXPLAIN shows of windows.
CREATE TABLE t (ts TIMESTAMP(3), k STRING, n INT, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND, proc AS PROCTIME())
WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');
-- @file t.jsonl
--| {"ts": "2024-01-01 00:00:01", "k": "a", "n": 1}

EXPLAIN SELECT k, window_start, window_end, COUNT(*) AS c FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' MINUTE)) WHERE n > 0 GROUP BY k, window_start, window_end;
-- @text
--| WindowAggregate(groupBy=[k], window=[TUMBLE(time_col=[ts], size=[10 min])], select=[

EXPLAIN CHANGELOG_MODE SELECT window_end, SUM(n) FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '1' HOUR)) GROUP BY window_start, window_end;
-- @text
--| WindowAggregate(window=[HOP(time_col=[ts], size=[1 h], slide=[5 min])], select=[
--| changelogMode=[I]

EXPLAIN SELECT window_end, SUM(n) FROM TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR, INTERVAL '1' DAY, INTERVAL '30' MINUTE)) GROUP BY window_start, window_end;
-- @text
--| window=[CUMULATE(time_col=[ts], max_size=[1 d], step=[1 h], offset=[30 min])]

EXPLAIN SELECT k, window_end, SUM(n) FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '90' SECOND)) GROUP BY k, window_start, window_end;
-- @text
--| WindowAggregate(groupBy=[k], window=[SESSION(time_col=[ts], gap=[90 s], partition keys=[k])], select=[

-- Windows that columns name: more than one grouping set, or a window column in an aggregate.
EXPLAIN SELECT k, window_end, SUM(n) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, ROLLUP (k);
-- @text
--| window=[TUMBLE(win_start=[window_start], win_end=[window_end], size=[1 min])]
--| Expand(
--| WindowTableFunction(window=[TUMBLE(time_col=[ts], size=[1 min])])

EXPLAIN SELECT k, window_end, SUM(n) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(proc), INTERVAL '1' MINUTE)) GROUP BY k, window_start, window_end;
-- @text
--| WindowAggregate(groupBy=[k], window=[TUMBLE(time_col=[proc], size=[1 min])]
