-- CTEs, views, derived tables, UNION ALL, VALUES, UNNEST, LIMIT.
-- @file a.jsonl
--| {"id": 1, "tags": ["x", "y"]}
--| {"id": 2, "tags": []}
--| {"id": 3, "tags": null}
CREATE TABLE a (id INT, tags ARRAY<STRING>) WITH ('connector' = 'filesystem', 'path' = '${DIR}/a.jsonl', 'format' = 'json');

CREATE VIEW big (n, t) AS SELECT id, tags FROM a WHERE id > 1;
SELECT n FROM big WHERE n < 3;
-- @expect
--| {"op":"+I","n":2}

WITH c AS (SELECT id + 10 AS id FROM a) SELECT c.id FROM c WHERE c.id > 11;
-- @expect
--| {"op":"+I","id":12}
--| {"op":"+I","id":13}

SELECT id FROM (SELECT id, id * id AS sq FROM a) AS d WHERE d.sq = 9;
-- @expect
--| {"op":"+I","id":3}

SELECT id FROM a UNION ALL SELECT n FROM big UNION ALL VALUES (100);
-- @expect
--| {"op":"+I","id":1}
--| {"op":"+I","id":2}
--| {"op":"+I","id":3}
--| {"op":"+I","id":2}
--| {"op":"+I","id":3}
--| {"op":"+I","id":100}

SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (n, s);
-- @expect ordered
--| {"op":"+I","n":1,"s":"a"}
--| {"op":"+I","n":2,"s":"b"}

SELECT a.id, u.tag FROM a CROSS JOIN UNNEST(a.tags) AS u (tag);
-- @expect ordered
--| {"op":"+I","id":1,"tag":"x"}
--| {"op":"+I","id":1,"tag":"y"}

SELECT a.id, u.tag FROM a LEFT JOIN UNNEST(a.tags) AS u (tag) ON TRUE;
-- @expect ordered
--| {"op":"+I","id":1,"tag":"x"}
--| {"op":"+I","id":1,"tag":"y"}
--| {"op":"+I","id":2,"tag":null}
--| {"op":"+I","id":3,"tag":null}

SELECT a.id, u.tag, u.pos FROM a CROSS JOIN UNNEST(a.tags) WITH ORDINALITY AS u (tag, pos);
-- @expect ordered
--| {"op":"+I","id":1,"tag":"x","pos":1}
--| {"op":"+I","id":1,"tag":"y","pos":2}

SELECT id FROM a LIMIT 2;
-- @expect ordered
--| {"op":"+I","id":1}
--| {"op":"+I","id":2}

SELECT id FROM a LIMIT 1 OFFSET 1;
-- @expect ordered
--| {"op":"+I","id":2}

SHOW TABLES;
-- @text
--| a
--| big

DROP VIEW big;
SELECT * FROM big;
-- @error
--| 'big' is not known
