-- What joins in time and ORDER BY refuse, and what they say to it.

-- @file rows.jsonl
--| {"id": 1, "ts": "2024-05-01 10:00:00", "v": 1}

CREATE TABLE a (id INT, ts TIMESTAMP(3), v INT, WATERMARK FOR ts AS ts)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/rows.jsonl', 'format' = 'json');
CREATE TABLE keyed (id INT, ts TIMESTAMP(3), v INT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/rows.jsonl', 'format' = 'json');
CREATE TABLE versioned (id INT, ts TIMESTAMP(3), v INT, WATERMARK FOR ts AS ts, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/rows.jsonl', 'format' = 'json');
CREATE TABLE endless (id INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen');

SELECT a.id FROM a JOIN a FOR SYSTEM_TIME AS OF a.ts AS b ON a.id = b.id;
-- @error
--| the table 'b' has no primary key

SELECT a.id FROM a JOIN keyed FOR SYSTEM_TIME AS OF a.ts AS b ON a.id = b.id;
-- @error
--| the table 'b' has no event time

SELECT a.id FROM a JOIN versioned FOR SYSTEM_TIME AS OF a.ts AS b ON a.v = b.v;
-- @error
--| the join has no equality with id, of the primary key (id)

SELECT b.id FROM keyed AS b JOIN versioned FOR SYSTEM_TIME AS OF b.ts AS c ON b.id = c.id;
-- @error
--| 'b.ts' is not a time attribute

SELECT a.id FROM a JOIN versioned FOR SYSTEM_TIME AS OF a.v AS b ON a.id = b.id;
-- @error
--| 'a.v' is not a time attribute

SELECT a.id FROM a JOIN versioned FOR SYSTEM_TIME AS OF a.nothing AS b ON a.id = b.id;
-- @error
--| 'a.nothing' is not a column of the left table

SELECT a.id FROM a RIGHT JOIN versioned FOR SYSTEM_TIME AS OF a.ts AS b ON a.id = b.id;
-- @error
--| FOR SYSTEM_TIME AS OF is a JOIN or a LEFT JOIN

SELECT * FROM versioned FOR SYSTEM_TIME AS OF ts;
-- @error
--| needs a join with a table on its left

SELECT a.id FROM a JOIN SNAPSHOT(input => TABLE keyed) AS s ON a.id = s.id;
-- @error
--| SNAPSHOT is only allowed after LATERAL

SELECT a.id FROM a JOIN LATERAL SNAPSHOT(inputs => TABLE keyed) AS s ON a.id = s.id;
-- @error
--| SNAPSHOT has no argument 'inputs'

SELECT a.id FROM a JOIN LATERAL SNAPSHOT(input => TABLE keyed, on_time => DESCRIPTOR(ts)) AS s ON a.id = s.id;
-- @error
--| ON_TIME of SNAPSHOT is not a time attribute

SELECT a.id FROM a JOIN LATERAL SNAPSHOT(input => TABLE endless) AS s ON a.id = s.id;
-- @error
--| SNAPSHOT cannot determine when its input is loaded

SELECT s.n FROM (SELECT id, COUNT(*) AS n FROM a GROUP BY id) AS s
  JOIN LATERAL SNAPSHOT(input => TABLE keyed) AS k ON s.id = k.id;
-- @error
--| the left side of LATERAL SNAPSHOT changes rows

SELECT id FROM endless ORDER BY id;
-- @error
--| ORDER BY on a stream needs a time attribute or a LIMIT

SELECT id FROM endless ORDER BY ts DESC;
-- @error
--| ORDER BY on a stream needs a time attribute or a LIMIT
