-- Lookup joins on rows that change: what is taken back is what was emitted.

-- @file events.jsonl
--| {"sensor": "a", "v": 1}
--| {"sensor": "b", "v": 2}
--| {"sensor": "a", "v": 3}

-- @file sensors.jsonl
--| {"id": "a", "place": "hall"}
--| {"id": "b", "place": "yard"}

CREATE TABLE events (sensor STRING, v INT)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/events.jsonl', 'format' = 'json');
CREATE TABLE sensors (id STRING, place STRING, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/sensors.jsonl', 'format' = 'json');

SELECT s.place, t.n FROM (SELECT sensor, COUNT(*) AS n FROM events GROUP BY sensor) AS t
  LEFT JOIN sensors AS s ON t.sensor = s.id AND t.n > 1;
-- @expect
--| {"op":"+I","place":"hall","n":2}
--| {"op":"+I","place":null,"n":1}

EXPLAIN SELECT s.place, t.n FROM (SELECT sensor, COUNT(*) AS n FROM events GROUP BY sensor) AS t
  JOIN sensors AS s ON t.sensor = s.id;
-- @text
--| remembers what it emitted
