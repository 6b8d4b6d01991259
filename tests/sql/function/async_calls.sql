-- How many calls are made.
-- @route GET /n/1 200 delay=30
--| 1
-- @route GET /n/2 200
--| 2
CREATE FUNCTION sure(n INT) RETURNS INT DETERMINISTIC LANGUAGE JAVASCRIPT AS $$ return (await fetch(`${API}/n/${n}`)).json() $$
WITH ('allow-hosts' = '${API}');
CREATE FUNCTION unsure(n INT) RETURNS INT LANGUAGE JAVASCRIPT AS $$ return (await fetch(`${API}/n/${n}`)).json() $$
WITH ('allow-hosts' = '${API}');
CREATE FUNCTION kept(n INT) RETURNS INT LANGUAGE JAVASCRIPT AS $$ return (await fetch(`${API}/n/${n}`)).json() $$
WITH ('allow-hosts' = '${API}', 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '10');

-- Equal arguments of a deterministic function: one call.
SELECT sure(n) AS s FROM (VALUES (1), (1), (1)) AS t(n);
-- @expect
--| {"op":"+I","s":1}
--| {"op":"+I","s":1}
--| {"op":"+I","s":1}
-- @calls 1

-- Others: one for each row.
SELECT unsure(n) AS s FROM (VALUES (1), (1)) AS t(n);
-- @expect
--| {"op":"+I","s":1}
--| {"op":"+I","s":1}
-- @calls 3

-- The same call twice in a row's expressions, and in its filter, is one.
SELECT unsure(n) AS a, unsure(n) + 1 AS b FROM (VALUES (1)) AS t(n) WHERE unsure(n) > 0;
-- @expect
--| {"op":"+I","a":1,"b":2}
-- @calls 4

-- With a cache also one after the other.
SELECT kept(n) AS s FROM (VALUES (2), (2)) AS t(n);
-- @expect
--| {"op":"+I","s":2}
--| {"op":"+I","s":2}
-- @calls 5

-- A row that does not reach the call does not make it.
SELECT CASE WHEN n > 1 THEN 0 ELSE unsure(n) END AS a, n > 1 OR unsure(n) = 1 AS b, COALESCE(NULLIF(n, 1), unsure(n)) AS c
FROM (VALUES (1), (2), (3)) AS t(n) WHERE n < 3;
-- @expect
--| {"op":"+I","a":1,"b":true,"c":1}
--| {"op":"+I","a":0,"b":true,"c":2}
-- @calls 7
