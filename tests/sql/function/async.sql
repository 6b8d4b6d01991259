-- Functions that wait: their calls are taken out of expressions, whatever they stand in.
-- @route GET /sensor/a 200
--| {"brand":"Bosch","rank":2}
-- @route GET /sensor/b 200 delay=50
--| {"brand":"Sensirion","rank":1}
-- @route GET /sensor/c 404
-- @route GET /sensor/d 500
CREATE FUNCTION brand(id STRING) RETURNS STRING LANGUAGE JAVASCRIPT AS $$
  export async function brand(id) {
    const r = await fetch(`${API}/sensor/` + id);
    if (r.status === 404) return null;
    if (!r.ok) throw new Error(`status ${r.status}`);
    return (await r.json()).brand;
  }
$$ WITH ('allow-hosts' = '${API}', 'lookup.max-retries' = '0');

SELECT id, brand(id) AS b FROM (VALUES ('a'), ('b'), ('c')) AS t(id);
-- @expect ordered
--| {"op":"+I","id":"a","b":"Bosch"}
--| {"op":"+I","id":"b","b":"Sensirion"}
--| {"op":"+I","id":"c","b":null}

-- An error belongs to its row, and names what was asked for.
SELECT id, brand(id) AS b FROM (VALUES ('a'), ('d')) AS t(id);
-- @error
--| function 'brand' failed: Error: status 500 (line 12, column 
--| its arguments: id = d

-- In WHERE: conditions that need no call come first.
SELECT id FROM (VALUES ('a', 1), ('b', 2), ('d', 3)) AS t(id, n) WHERE brand(id) LIKE 'S%' AND n < 3;
-- @expect
--| {"op":"+I","id":"b"}

-- What guards a call decides whether it is made: nobody asks for 'd'.
SELECT id, CASE WHEN id = 'd' THEN 'none' ELSE brand(id) END AS b, id = 'a' AND brand(id) = 'Bosch' AS x,
  COALESCE(NULLIF(id, 'b'), brand(id)) AS y
FROM (VALUES ('a'), ('b'), ('d')) AS t(id);
-- @expect
--| {"op":"+I","id":"a","b":"Bosch","x":true,"y":"a"}
--| {"op":"+I","id":"b","b":"Sensirion","x":false,"y":"Sensirion"}
--| {"op":"+I","id":"d","b":"none","x":false,"y":"d"}

-- In HAVING, GROUP BY, the arguments of aggregates and of other functions.
SELECT brand(id) AS b, COUNT(*) AS n, MAX(CHAR_LENGTH(brand(id))) AS l
FROM (VALUES ('a'), ('b'), ('a'), ('c')) AS t(id) GROUP BY brand(id) HAVING UPPER(brand(id)) <> 'X';
-- @result
--| {"b":"Bosch","n":2,"l":5}
--| {"b":"Sensirion","n":1,"l":9}

-- In the keys of joins, of streams and of lookups.
-- @file brands.jsonl
--| {"name":"Bosch","country":"DE"}
--| {"name":"Sensirion","country":"CH"}
CREATE TABLE brands (name STRING, country STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/brands.jsonl', 'format' = 'json');
SELECT t.id, s.country FROM (VALUES ('a'), ('b'), ('c')) AS t(id) LEFT JOIN brands AS s ON brand(t.id) = s.name;
-- @result
--| {"id":"a","country":"DE"}
--| {"id":"b","country":"CH"}
--| {"id":"c","country":null}
SELECT t.id, s.n FROM (VALUES ('a'), ('c')) AS t(id) JOIN (VALUES ('Bosch', 1), ('Sensirion', 2)) AS s(name, n) ON s.name = brand(t.id);
-- @result
--| {"id":"a","n":1}

-- Sorted, and cut.
SELECT id FROM (VALUES ('c'), ('b'), ('a')) AS t(id) ORDER BY brand(id) DESC LIMIT 2;
-- @result
--| {"id":"b"}
--| {"id":"a"}

-- What WHERE has asked is not asked again.
-- @route GET /once/a 200
--| "first"
-- @route GET /once/a 200
--| "second"
CREATE FUNCTION once(id STRING) RETURNS STRING LANGUAGE JAVASCRIPT AS $$
  return await (await fetch(`${API}/once/${id}`)).json();
$$ WITH ('allow-hosts' = '${API}');
EXPLAIN SELECT once(id) AS o FROM (VALUES ('a')) AS t(id) WHERE once(id) <> '';
-- @text
--| FunctionCall(once(
SELECT once(id) AS o FROM (VALUES ('a')) AS t(id) WHERE once(id) <> '';
-- @expect
--| {"op":"+I","o":"first"}

-- Rows: a generator that waits, or an array.
CREATE FUNCTION steps(n INT) RETURNS TABLE (i INT, sq INT) LANGUAGE JAVASCRIPT AS $$
  export async function* steps(n) {
    for (let i = 1; i <= n; i++) { await new Promise((ok) => setTimeout(ok, 1)); yield { i, sq: i * i }; }
  }
$$;
SELECT t.n, s.i, s.sq FROM (VALUES (2), (0)) AS t(n) LEFT JOIN LATERAL TABLE(steps(t.n)) AS s ON TRUE;
-- @expect
--| {"op":"+I","n":2,"i":1,"sq":1}
--| {"op":"+I","n":2,"i":2,"sq":4}
--| {"op":"+I","n":0,"i":null,"sq":null}

-- A call in the arguments of another; NULL is an argument like others, unless the function is STRICT.
CREATE FUNCTION plus(a INT, b INT DEFAULT 1) RETURNS INT LANGUAGE JAVASCRIPT AS $$ await null; return (a ?? 100) + b; $$;
CREATE FUNCTION strict_plus(a INT) RETURNS INT STRICT LANGUAGE JAVASCRIPT AS $$ await null; return (a ?? 100) + 1; $$;
CREATE FUNCTION answer() RETURNS INT LANGUAGE JAVASCRIPT AS $$ await null; return 42; $$;
SELECT plus(plus(a), b => 10) AS p, strict_plus(a) AS s, answer() AS x FROM (VALUES (1), (CAST(NULL AS INT))) AS t(a);
-- @expect
--| {"op":"+I","p":12,"s":2,"x":42}
--| {"op":"+I","p":111,"s":null,"x":42}
SELECT answer() AS x, plus(1) AS p;
-- @expect
--| {"op":"+I","x":42,"p":2}

-- Equal arguments of a deterministic function are one call, and a cache keeps its results.
-- @route GET /count/7 200 delay=20
--| 7
CREATE FUNCTION counted(n INT) RETURNS INT DETERMINISTIC LANGUAGE JAVASCRIPT AS $$
  return await (await fetch(`${API}/count/${n}`)).json();
$$ WITH ('allow-hosts' = '${API}', 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '10');
SELECT COUNT(counted(n)) AS c FROM (VALUES (7), (7), (7), (7)) AS t(n);
-- @result
--| {"c":4}

-- What changes is taken back as it was emitted: the second answer of /drift is another one.
-- @route GET /drift/1 200
--| "one"
-- @route GET /drift/1 200
--| "two"
-- @route GET /drift/2 200
--| "three"
CREATE FUNCTION drift(n BIGINT) RETURNS STRING LANGUAGE JAVASCRIPT AS $$
  return await (await fetch(`${API}/drift/${n}`)).json();
$$ WITH ('allow-hosts' = '${API}');
SELECT k, c, drift(c) AS d FROM (SELECT k, COUNT(*) AS c FROM (VALUES ('x'), ('x')) AS t(k) GROUP BY k) AS s;
-- @result
--| {"k":"x","c":2,"d":"three"}

-- In batches: arrays of arguments come in, an array of results goes back, and an Error is that of its row.
CREATE FUNCTION halves(n INT) RETURNS INT LANGUAGE JAVASCRIPT AS $$
  export async function halves(all) { return all.map((n) => (n % 2 === 0 ? n / 2 : new RangeError(`${n} is odd`))); }
$$ WITH ('batch' = '10', 'lookup.on-error' = 'null');
SELECT n, halves(n) AS h FROM (VALUES (2), (3), (4)) AS t(n);
-- @expect
--| {"op":"+I","n":2,"h":1}
--| {"op":"+I","n":3,"h":null}
--| {"op":"+I","n":4,"h":2}

-- Where nothing can wait.
CREATE TABLE computed (a INT, b AS plus(a)) WITH ('connector' = 'datagen', 'number-of-rows' = '1');
-- @error
--| function 'plus' waits for its answers and cannot be called in a computed column
SELECT t.id FROM (VALUES ('a')) AS t(id) JOIN (VALUES ('b')) AS s(id) ON brand(CONCAT(t.id, s.id)) = 'x';
-- @error
--| cannot be called in the ON of a join with arguments of both sides
CREATE FUNCTION f(a INT) RETURNS INT RETURN plus(a) + 1;
-- @error
--| function 'plus' waits for its answers and cannot be called in the expression of a function in SQL
INSERT INTO brands VALUES (brand('a'), 'x');
-- @error
--| cannot be called in VALUES
CREATE FUNCTION g(a INT) RETURNS INT LANGUAGE JAVASCRIPT AS $$ return a $$ WITH ('lookup.cache' = 'PARTIAL');
-- @error
--| option 'lookup.cache' is of functions that wait, 'g' does not
