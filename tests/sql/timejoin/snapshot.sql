-- Joins with a table as it is when a row comes. Flink 2.3 has no SNAPSHOT, and refuses FOR SYSTEM_TIME AS OF a
-- processing time on what is no lookup table; here the right side is loaded first.

-- @file events.jsonl
--| {"id": 1, "sensor": "a", "t": 5}
--| {"id": 2, "sensor": "b", "t": 15}
--| {"id": 3, "sensor": null, "t": 25}
--| {"id": 4, "sensor": "c", "t": 35}

-- @file sensors.jsonl
--| {"sensor": "a", "place": "hall", "since": "2024-05-01 10:00:00", "least": 1}
--| {"sensor": "a", "place": "roof", "since": "2024-05-01 11:00:00", "least": 10}
--| {"sensor": "b", "place": "yard", "since": "2024-05-01 12:00:00", "least": 20}
--| {"sensor": null, "place": "none", "since": "2024-05-01 12:00:00", "least": 20}

CREATE TABLE events (id INT, sensor STRING, t INT, pt AS PROCTIME())
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/events.jsonl', 'format' = 'json');
CREATE TABLE sensors (sensor STRING, place STRING, since TIMESTAMP(3), least INT, WATERMARK FOR since AS since)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/sensors.jsonl', 'format' = 'json');

SELECT e.id, s.place FROM events AS e JOIN LATERAL SNAPSHOT(input => TABLE sensors) AS s ON e.sensor = s.sensor;
-- @expect
--| {"op":"+I","id":1,"place":"hall"}
--| {"op":"+I","id":1,"place":"roof"}
--| {"op":"+I","id":2,"place":"yard"}

SELECT e.id, s.place FROM events AS e
  LEFT JOIN LATERAL SNAPSHOT(input => TABLE sensors, on_time => DESCRIPTOR(since)) AS s
  ON e.sensor = s.sensor AND e.t >= s.least;
-- @expect
--| {"op":"+I","id":1,"place":"hall"}
--| {"op":"+I","id":2,"place":null}
--| {"op":"+I","id":3,"place":null}
--| {"op":"+I","id":4,"place":null}

-- No equality is needed; columns can be renamed; arguments can be given by position.
SELECT e.id, s.p FROM events AS e, LATERAL SNAPSHOT(TABLE sensors) AS s (a, p, b, l) WHERE e.t < s.l AND e.t > 5;
-- @expect
--| {"op":"+I","id":2,"p":"yard"}
--| {"op":"+I","id":2,"p":"none"}

-- The right side may change: what counts is what is there.
SELECT e.id, s.n FROM events AS e
  JOIN LATERAL SNAPSHOT(input => (SELECT sensor, COUNT(*) AS n FROM sensors GROUP BY sensor)) AS s
  ON e.sensor = s.sensor;
-- @expect
--| {"op":"+I","id":1,"n":2}
--| {"op":"+I","id":2,"n":1}

CREATE VIEW last_place AS SELECT sensor, place FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY sensor ORDER BY since DESC) AS n FROM sensors) WHERE n = 1;

SELECT e.id, s.place FROM events AS e LEFT JOIN last_place FOR SYSTEM_TIME AS OF e.pt AS s ON e.sensor = s.sensor;
-- @expect
--| {"op":"+I","id":1,"place":"roof"}
--| {"op":"+I","id":2,"place":"yard"}
--| {"op":"+I","id":3,"place":null}
--| {"op":"+I","id":4,"place":null}

SELECT e.id, s.place FROM events AS e JOIN sensors FOR SYSTEM_TIME AS OF PROCTIME() AS s
  ON e.sensor = s.sensor WHERE s.place <> 'hall';
-- @expect
--| {"op":"+I","id":1,"place":"roof"}
--| {"op":"+I","id":2,"place":"yard"}

EXPLAIN SELECT e.id, s.place FROM events AS e JOIN LATERAL SNAPSHOT(input => TABLE sensors, on_time => DESCRIPTOR(since),
    load_completed_time => TO_TIMESTAMP_LTZ(1714557600000, 3), load_completed_idle_timeout => INTERVAL '10' SECOND)
  AS s ON e.sensor = s.sensor;
-- @text
--| SnapshotJoin(joinType=[Inner], where=[e.sensor = s.sensor], load=[watermark 2024-05-01T10:00:00Z or idle for 10000 ms]
