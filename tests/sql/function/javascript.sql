-- JavaScript functions: every type both ways, errors that belong to their row, limits.
CREATE FUNCTION mask(s STRING) RETURNS STRING LANGUAGE JAVASCRIPT AS $$
  export function mask(s) {
    if (s === null) return null;
    const at = s.indexOf('@');
    return at < 0 ? s : `${s[0]}***${s.slice(at)}`;
  }
$$;
SELECT mask(s) AS m FROM (VALUES ('ann@example.org'), ('no address'), (CAST(NULL AS STRING))) AS t(s);
-- @expect
--| {"op":"+I","m":"a***@example.org"}
--| {"op":"+I","m":"no address"}
--| {"op":"+I","m":null}

-- Code without `export` is the body.
CREATE FUNCTION add(a BIGINT, b BIGINT DEFAULT 10) RETURNS BIGINT LANGUAGE JAVASCRIPT AS $$ return a + b $$;
SELECT add(1) AS a, add(b => 5, a => 1) AS b;
-- @expect
--| {"op":"+I","a":11,"b":6}

-- What arrives and what is returned, by type.
CREATE FUNCTION kinds(a INT, b DOUBLE, c DECIMAL(10, 2), d DECIMAL(30, 2), e BYTES, f DATE, g TIMESTAMP(3), h TIME(0), i ARRAY<INT>, j ROW<x INT>, k MAP<STRING, INT>, l BOOLEAN)
RETURNS STRING LANGUAGE JAVASCRIPT AS $$
  return [typeof a, typeof b, typeof c, typeof d, e.constructor.name, f.constructor.name, g.toISOString(), h,
          Array.isArray(i), j.x, k.one, typeof l].join(' ');
$$;
SELECT kinds(1, CAST(1 AS DOUBLE), 1.5, 2.5, x'01ff', DATE '2026-01-02', TIMESTAMP '2026-01-02 03:04:05.678', TIME '10:11:12', ARRAY[1], CAST(ROW(7) AS ROW<x INT>), MAP['one', 1], TRUE) AS k;
-- @expect
--| {"op":"+I","k":"number number number string Uint8Array Date 2026-01-02T03:04:05.678Z 10:11:12 true 7 1 boolean"}

CREATE FUNCTION back(n INT) RETURNS ROW<a TINYINT, b DECIMAL(8, 3), c BYTES, d DATE, e TIMESTAMP(6), f TIME(0), g ARRAY<STRING>, h MAP<STRING, INT>, i BOOLEAN, j DOUBLE> LANGUAGE JAVASCRIPT AS $$
  if (n === 0) return undefined;
  return { a: 7, b: 1.0625, c: new Uint8Array([97]), d: new Date('2026-01-02T23:00:00Z'), e: new Date(1), f: '01:02:03', g: ['x', null], h: { one: n }, i: false, j: NaN };
$$;
SELECT b.a, b.b, b.d, b.e, b.f, b.g, b.h, b.i FROM (SELECT back(n) AS b FROM (VALUES (1), (0)) AS t(n)) AS s;
-- @expect
--| {"op":"+I","a":7,"b":1.063,"d":"2026-01-02","e":"1970-01-01 00:00:00.001","f":"01:02:03","g":["x",null],"h":{"one":1},"i":false}
--| {"op":"+I","a":null,"b":null,"d":null,"e":null,"f":null,"g":null,"h":null,"i":null}

-- A wrong result fails with the function, the place and the arguments.
CREATE FUNCTION half(n INT) RETURNS INT LANGUAGE JAVASCRIPT AS $$ return n / 2 $$;
SELECT half(n) FROM (VALUES (2), (3)) AS t(n);
-- @error
--| function 'half' failed: returned the number 1.5, which is not INT
--| n = 3
CREATE FUNCTION far(n BIGINT) RETURNS BIGINT LANGUAGE JAVASCRIPT AS $$ return n $$;
SELECT far(9007199254740993);
-- @error
--| beyond 2^53 - 1
CREATE FUNCTION far_big(n BIGINT) RETURNS BIGINT LANGUAGE JAVASCRIPT AS $$ return n + 1n $$ WITH ('bigint' = 'bigint');
SELECT far_big(9007199254740993) AS n;
-- @expect
--| {"op":"+I","n":9007199254740994}

-- 'lookup.on-error' = 'null': the row that failed is NULL, its neighbours are not touched.
CREATE FUNCTION picky(n INT) RETURNS INT LANGUAGE JAVASCRIPT AS $$
  if (n === 3) throw new RangeError('three is not allowed');
  if (n === 4) { while (true) {} }
  if (n === 5) { const a = []; while (true) a.push('memory'.repeat(1000) + a.length); }
  if (n === 6) { const f = (n) => 1 + f(n); return f(n); }
  return n;
$$ WITH ('lookup.on-error' = 'null', 'timeout' = '200 ms', 'memory-limit' = '8 mb');
SELECT n, picky(n) AS p FROM (VALUES (1), (3), (4), (5), (6), (7)) AS t(n);
-- @expect
--| {"op":"+I","n":1,"p":1}
--| {"op":"+I","n":3,"p":null}
--| {"op":"+I","n":4,"p":null}
--| {"op":"+I","n":5,"p":null}
--| {"op":"+I","n":6,"p":null}
--| {"op":"+I","n":7,"p":7}
DESCRIBE FUNCTION EXTENDED picky;
-- @text
--| failed calls that returned NULL
--| 4

CREATE FUNCTION thrower(n INT) RETURNS INT LANGUAGE JAVASCRIPT AS $$
  throw new RangeError('three is not allowed');
$$;
SELECT thrower(1);
-- @error
--| function 'thrower' failed: RangeError: three is not allowed (line 

-- Rows: a generator, or an array.
CREATE FUNCTION words(s STRING) RETURNS TABLE (word STRING, length INT) LANGUAGE JAVASCRIPT AS $$
  if (s !== null) for (const word of s.split(' ')) yield { word, length: word.length };
$$;
CREATE FUNCTION letters(s STRING) RETURNS TABLE (letter STRING) LANGUAGE JAVASCRIPT AS $$ return [...(s ?? '')] $$;
SELECT t.s, w.word, w.n FROM (VALUES ('hello big world'), (CAST(NULL AS STRING))) AS t(s) LEFT JOIN LATERAL TABLE(words(t.s)) AS w(word, n) ON TRUE;
-- @expect
--| {"op":"+I","s":"hello big world","word":"hello","n":5}
--| {"op":"+I","s":"hello big world","word":"big","n":3}
--| {"op":"+I","s":"hello big world","word":"world","n":5}
--| {"op":"+I","s":null,"word":null,"n":null}
SELECT l.letter FROM (VALUES ('ab')) AS t(s) CROSS JOIN LATERAL TABLE(letters(t.s)) AS l(letter);
-- @expect
--| {"op":"+I","letter":"a"}
--| {"op":"+I","letter":"b"}
SELECT words('a b');
-- @error
--| function 'words' returns rows
--| LATERAL TABLE(words(

-- Aggregates, also where rows are retracted.
CREATE AGGREGATE FUNCTION wavg(v DOUBLE, w DOUBLE) RETURNS DOUBLE LANGUAGE JAVASCRIPT AS $$
  export function create() { return { sum: 0, weight: 0 }; }
  export function accumulate(state, v, w) { state.sum += v * w; state.weight += w; }
  export function finish(state) { return state.weight === 0 ? null : state.sum / state.weight; }
$$;
SELECT k, wavg(v, w) AS a FROM (VALUES ('a', 1e0, 1e0), ('a', 4e0, 2e0), ('b', 7e0, 1e0)) AS t(k, v, w) GROUP BY k;
-- @result
--| {"k":"a","a":3.0}
--| {"k":"b","a":7.0}
SELECT wavg(total, 1) AS a FROM (SELECT k, SUM(v) AS total FROM (VALUES ('a', 1e0), ('a', 4e0), ('b', 7e0)) AS t(k, v) GROUP BY k) AS s;
-- @result
--| {"a":6.0}

-- Mistakes in the code are errors of the statement.
CREATE FUNCTION broken(n INT) RETURNS INT LANGUAGE JAVASCRIPT AS $$ return n +; $$;
-- @error
--| the JavaScript code does not load: SyntaxError
CREATE FUNCTION absent(n INT) RETURNS INT LANGUAGE JAVASCRIPT AS $$ export function other(n) { return n; } $$;
-- @error
--| the code exports no function 'absent'
--| it exports other
CREATE FUNCTION later(n INT) RETURNS INT LANGUAGE JAVASCRIPT AS $$ return n $$ WITH ('async' = 'true');
-- @error
--| function 'later' is declared async, its code is not
CREATE FUNCTION many(n INT) RETURNS INT LANGUAGE JAVASCRIPT AS $$ export function* many(n) { yield n; } $$;
-- @error
--| is a generator
CREATE AGGREGATE FUNCTION half_done(v INT) RETURNS INT LANGUAGE JAVASCRIPT AS $$ export function create() { return 0; } $$;
-- @error
--| the code exports no function 'accumulate'
CREATE FUNCTION f(n INT) RETURNS INT LANGUAGE JAVASCRIPT AS $$ return n $$ WITH ('timeot' = '1 s');
-- @error
--| has no option 'timeot'
--| timeout

-- Nothing outside can be reached.
CREATE FUNCTION reach() RETURNS STRING LANGUAGE JAVASCRIPT AS $$
  return [typeof fetch, typeof require, typeof process, typeof std, typeof os, typeof Deno].join(' ');
$$;
SELECT reach() AS r;
-- @expect
--| {"op":"+I","r":"undefined undefined undefined undefined undefined undefined"}
