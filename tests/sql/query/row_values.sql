-- (a, b) compared with (c, d): field by field, so that NULL is not equal to NULL.

-- @file v.jsonl
--| {"a": 1, "b": 2}
--| {"a": null, "b": 2}
--| {"a": 3, "b": null}
CREATE TABLE v (a INT, b INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/v.jsonl', 'format' = 'json');

SELECT a, b FROM v WHERE (a, b) = (1, 2);
-- @expect
--| {"op":"+I","a":1,"b":2}

SELECT a, b FROM v WHERE (a, b) <> (1, 2);
-- @expect
--| {"op":"+I","a":3,"b":null}

SELECT a, b FROM v WHERE (a, b) IN ((1, 2), (3, 4));
-- @expect
--| {"op":"+I","a":1,"b":2}

SELECT a, b FROM v WHERE (a, b) NOT IN ((1, 3), (4, 2));
-- @expect
--| {"op":"+I","a":1,"b":2}
--| {"op":"+I","a":3,"b":null}

SELECT x.a, y.b FROM v AS x JOIN v AS y ON (x.a, x.b) = (y.a, y.b);
-- @expect
--| {"op":"+I","a":1,"b":2}
