-- OVER by columns that are no time attribute: a row that comes in between changes those behind it.
-- Results checked against Flink 2.3, but for DESC, which it refuses.
-- @file in/1.jsonl
--| {"id":"a","u":"x","n":10}
--| {"id":"b","u":"x","n":30}
--| {"id":"c","u":"y","n":5}
-- @file in/2.jsonl
--| {"id":"d","u":"x","n":20}
--| {"id":"e","u":"x","n":30}
--| {"id":"f","u":"y","n":null}
SET 'parallelism.default' = '1';
CREATE TABLE t (id STRING, u STRING, n INT)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/in', 'format' = 'json');

SELECT id, SUM(n) OVER (PARTITION BY u ORDER BY n) AS s FROM t;
-- @expect
--| {"op":"+I","id":"a","s":10}
--| {"op":"+I","id":"b","s":40}
--| {"op":"+I","id":"c","s":5}
--| {"op":"+I","id":"d","s":30}
--| {"op":"-U","id":"b","s":40}
--| {"op":"+U","id":"b","s":90}
--| {"op":"+I","id":"e","s":90}
--| {"op":"+I","id":"f","s":null}

SELECT id, SUM(n) OVER w AS s, ROW_NUMBER() OVER w AS r FROM t
WINDOW w AS (PARTITION BY u ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);
-- @expect
--| {"op":"+I","id":"a","s":10,"r":1}
--| {"op":"+I","id":"b","s":40,"r":2}
--| {"op":"+I","id":"c","s":5,"r":1}
--| {"op":"+I","id":"d","s":30,"r":2}
--| {"op":"-U","id":"b","s":40,"r":2}
--| {"op":"+U","id":"b","s":60,"r":3}
--| {"op":"+I","id":"e","s":90,"r":4}
--| {"op":"+I","id":"f","s":null,"r":1}
--| {"op":"-U","id":"c","s":5,"r":1}
--| {"op":"+U","id":"c","s":5,"r":2}

SELECT id, LAG(id) OVER (PARTITION BY u ORDER BY n DESC, id) AS p FROM t;
-- @expect
--| {"op":"+I","id":"b","p":null}
--| {"op":"+I","id":"a","p":"b"}
--| {"op":"+I","id":"c","p":null}
--| {"op":"+I","id":"e","p":"b"}
--| {"op":"+I","id":"d","p":"e"}
--| {"op":"-U","id":"a","p":"b"}
--| {"op":"+U","id":"a","p":"d"}
--| {"op":"+I","id":"f","p":"c"}

-- On rows that change.
SELECT u, c, SUM(c) OVER (ORDER BY u) AS s FROM (SELECT u, COUNT(id) AS c FROM t GROUP BY u);
-- @expect
--| {"op":"+I","u":"x","c":2,"s":2}
--| {"op":"+I","u":"y","c":1,"s":3}
--| {"op":"-D","u":"x","c":2,"s":2}
--| {"op":"-D","u":"y","c":1,"s":3}
--| {"op":"+I","u":"x","c":4,"s":4}
--| {"op":"+I","u":"y","c":2,"s":6}
