-- What bad code gets: the right outcome for its row, and its neighbours are not touched.
-- @route GET /ok 200 delay=30
--| 1
-- @route GET /away 302 Location: http://localhost:1/secret
-- @route GET /moved 302 Location: /ok
-- @route GET /busy 429
-- @route GET /busy 200
--| 5
CREATE FUNCTION bad(n INT) RETURNS INT LANGUAGE JAVASCRIPT AS $$
  export async function bad(n) {
    const r = await fetch('${API}/ok');
    if (n === 1) throw new RangeError('one is not allowed');
    if (n === 2) { while (true) {} }
    if (n === 3) { const a = []; while (true) a.push('memory'.repeat(1000) + a.length); }
    if (n === 4) return NaN;
    if (n === 5) await new Promise(() => {});
    if (n === 6) { Promise.reject(new Error('nobody listens')); await new Promise((ok) => setTimeout(ok, 5)); }
    if (n === 7) { const f = (n) => 1 + f(n); return f(n); }
    if (n === 8) return /^(a+)+$/.test('a'.repeat(40) + '!') ? 1 : 0;
    if (n === 9) return 'nine';
    return n;
  }
$$ WITH ('allow-hosts' = '${API}', 'lookup.on-error' = 'null', 'timeout' = '3 s', 'memory-limit' = '8 mb', 'lookup.max-retries' = '0');
SELECT n, bad(n) AS b FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)) AS t(n);
-- @expect
--| {"op":"+I","n":0,"b":0}
--| {"op":"+I","n":1,"b":null}
--| {"op":"+I","n":2,"b":null}
--| {"op":"+I","n":3,"b":null}
--| {"op":"+I","n":4,"b":null}
--| {"op":"+I","n":5,"b":null}
--| {"op":"+I","n":6,"b":null}
--| {"op":"+I","n":7,"b":null}
--| {"op":"+I","n":8,"b":null}
--| {"op":"+I","n":9,"b":null}
--| {"op":"+I","n":10,"b":10}

-- Each says what it was.
CREATE FUNCTION loops() RETURNS INT LANGUAGE JAVASCRIPT AS $$ await null; while (true) {} $$ WITH ('timeout' = '300 ms', 'lookup.max-retries' = '0');
SELECT loops();
-- @error
--| function 'loops' failed: it ran for 50ms without waiting for anything
CREATE FUNCTION never() RETURNS INT LANGUAGE JAVASCRIPT AS $$ await new Promise(() => {}) $$;
SELECT never();
-- @error
--| function 'never' failed: its promise is never settled: there is nothing left that it waits for
CREATE FUNCTION slow() RETURNS INT LANGUAGE JAVASCRIPT AS $$ await new Promise((ok) => setTimeout(ok, 60000)) $$ WITH ('timeout' = '100 ms');
SELECT slow();
-- @error
--| function 'slow' failed: no answer within 100 ms
CREATE FUNCTION unheard() RETURNS INT LANGUAGE JAVASCRIPT AS $$ Promise.reject(new TypeError('lost')); await new Promise((ok) => setTimeout(ok, 20)); return 1 $$;
SELECT unheard();
-- @error
--| function 'unheard' failed: a promise was rejected and it was not handled: TypeError: lost

-- Hosts: only those that are granted, also behind redirects.
CREATE FUNCTION get(path STRING) RETURNS INT LANGUAGE JAVASCRIPT AS $$
  return await (await fetch(path)).json();
$$ WITH ('allow-hosts' = '${API}');
SELECT get('${API}/moved') AS x;
-- @expect
--| {"op":"+I","x":1}
SELECT get('${API}/away') AS x;
-- @error
--| function 'get' failed: TypeError: a redirect goes where the function may not: host 'localhost:1' is not granted by 'allow-hosts'
SELECT get('http://169.254.169.254/latest/meta-data') AS x;
-- @error
--| host '169.254.169.254' is not granted by 'allow-hosts'
CREATE FUNCTION bare(url STRING) RETURNS STRING LANGUAGE JAVASCRIPT AS $$ return await (await fetch(url)).text() $$;
SELECT bare('${API}/ok');
-- @error
--| is not granted: the function needs 'allow-hosts'
CREATE FUNCTION h(url STRING) RETURNS STRING LANGUAGE JAVASCRIPT AS $$ return await (await fetch(url)).text() $$ WITH ('allow-hosts' = 'a b');
-- @error
--| option 'allow-hosts': 'a b' is not a host

-- 429 is tried again.
SELECT get('${API}/busy') AS x;
-- @expect
--| {"op":"+I","x":5}
CREATE FUNCTION patient() RETURNS INT LANGUAGE JAVASCRIPT AS $$
  const r = await fetch('${API}/busy2');
  if (!r.ok) throw new Error(`status ${r.status}`);
  return r.json();
$$ WITH ('allow-hosts' = '${API}');
-- @route GET /busy2 429
-- @route GET /busy2 503
-- @route GET /busy2 200
--| 5
SELECT patient() AS x;
-- @expect
--| {"op":"+I","x":5}

-- The engine sets the header; nothing shows it.
CREATE FUNCTION secret() RETURNS STRING LANGUAGE JAVASCRIPT AS $$ return (await fetch('${API}/ok')).text() $$
WITH ('allow-hosts' = '${API}', 'header.Authorization' = 'Bearer very-secret-token');
SHOW CREATE FUNCTION secret;
-- @text
--| 'header.Authorization' = '******'
SELECT secret() AS s;
-- @expect
--| {"op":"+I","s":"1"}
