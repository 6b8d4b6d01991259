-- Nested values: fields behind subscripts, maps as rows, NULL collections.
SELECT a[1].q AS q FROM (VALUES (ARRAY[CAST(ROW(7) AS ROW<q INT>)])) AS t(a);
-- @expect
--| {"op":"+I","q":7}

SELECT k, v FROM (VALUES (1, MAP['a', 1, 'b', 2])) AS t(x, y) CROSS JOIN UNNEST(y) AS m(k, v);
-- @expect ordered
--| {"op":"+I","k":"a","v":1}
--| {"op":"+I","k":"b","v":2}

-- A MULTISET gives its values, each as often as it is there, under one name; under two the values and their counts.
SELECT x, o FROM (SELECT COLLECT(a) AS c FROM (VALUES 1, 1, 2) AS t(a)) CROSS JOIN UNNEST(c) WITH ORDINALITY AS u(x, o);
-- @expect
--| {"op":"+I","x":1,"o":1}
--| {"op":"+I","x":1,"o":2}
--| {"op":"+I","x":2,"o":3}
SELECT x, q, r FROM (SELECT COLLECT(ROW(a, 'q', a)) AS c FROM (VALUES 1, 1, 2) AS t(a)) LEFT JOIN UNNEST(c) AS u(x, q, r) ON x < 2;
-- @expect
--| {"op":"+I","x":1,"q":"q","r":1}
--| {"op":"+I","x":1,"q":"q","r":1}
SELECT x, n FROM (SELECT COLLECT(a) AS c FROM (VALUES 1, 1, 2) AS t(a)) CROSS JOIN UNNEST(c) AS u(x, n);
-- @expect
--| {"op":"+I","x":1,"n":2}
--| {"op":"+I","x":2,"n":1}

SELECT x, u FROM (VALUES (1, ARRAY['a', 'b']), (2, CAST(NULL AS ARRAY<STRING>))) AS t(x, y) LEFT JOIN UNNEST(y) AS v(u) ON TRUE;
-- @expect ordered
--| {"op":"+I","x":1,"u":"a"}
--| {"op":"+I","x":1,"u":"b"}
--| {"op":"+I","x":2,"u":null}

SELECT u.* FROM (VALUES (1, ARRAY[1, 2])) AS t(x, y) CROSS JOIN UNNEST(y) WITH ORDINALITY AS u(v, i);
-- @expect ordered
--| {"op":"+I","v":1,"i":1}
--| {"op":"+I","v":2,"i":2}

CREATE VIEW v AS SELECT x, x * 2 AS y FROM (VALUES (1), (2)) AS t(x);
DESCRIBE v;
-- @text
--| "name":"x","type":"INT"
--| "name":"y","type":"INT"

SELECT x FROM v WHERE x IN (SELECT y FROM v);
-- @expect
--| {"op":"+I","x":2}
