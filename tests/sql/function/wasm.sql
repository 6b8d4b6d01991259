-- Functions in WebAssembly: numbers row by row, columns as a whole, limits, errors that belong to their row.
CREATE FUNCTION twice(n BIGINT) RETURNS BIGINT LANGUAGE WASM AS $$
  (module (func (export "twice") (param i64) (result i64) (i64.mul (local.get 0) (i64.const 2))))
$$;
SELECT n, twice(n) AS d FROM (VALUES (1), (CAST(NULL AS BIGINT)), (21)) AS t(n);
-- @expect
--| {"op":"+I","n":1,"d":2}
--| {"op":"+I","n":null,"d":null}
--| {"op":"+I","n":21,"d":42}
SELECT twice(n => 4) AS a, n FROM (VALUES (3), (7)) AS t(n) WHERE twice(n) > 10;
-- @expect
--| {"op":"+I","a":8,"n":7}

-- Every kind of number.
CREATE FUNCTION sum_all(a TINYINT, b SMALLINT, c INT, d BOOLEAN, e FLOAT) RETURNS DOUBLE LANGUAGE WASM AS $$
  (module (func (export "sum_all") (param i32 i32 i32 i32 f32) (result f64)
    (f64.add (f64.convert_i32_s (i32.add (i32.add (local.get 0) (local.get 1)) (i32.add (local.get 2) (local.get 3))))
             (f64.promote_f32 (local.get 4)))))
$$;
SELECT sum_all(CAST(-1 AS TINYINT), CAST(-300 AS SMALLINT), 100000, TRUE, CAST(0.5 AS FLOAT)) AS s;
-- @expect
--| {"op":"+I","s":99700.5}
CREATE FUNCTION next_day(d DATE) RETURNS DATE LANGUAGE WASM AS $$
  (module (func (export "next_day") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))) $$;
CREATE FUNCTION later(t TIMESTAMP(3)) RETURNS TIMESTAMP(3) LANGUAGE WASM AS $$
  (module (func (export "later") (param i64) (result i64) (i64.add (local.get 0) (i64.const 1500)))) $$;
CREATE FUNCTION is_even(n INT) RETURNS BOOLEAN LANGUAGE WASM AS $$
  (module (func (export "is_even") (param i32) (result i32) (i32.eqz (i32.and (local.get 0) (i32.const 1))))) $$;
SELECT next_day(DATE '2024-02-28') AS d, later(TIMESTAMP '2026-01-02 03:04:05.678') AS t, is_even(4) AS e, is_even(-3) AS o;
-- @expect
--| {"op":"+I","d":"2024-02-29","t":"2026-01-02 03:04:07.178","e":true,"o":false}

-- A row that fails names the function and the arguments; with 'null' its neighbours are not touched.
CREATE FUNCTION quot(a INT, b INT) RETURNS SMALLINT LANGUAGE WASM AS $$
  (module (func $divide (export "quot") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1))))
$$;
SELECT quot(a, b) AS q FROM (VALUES (6, 3), (1, 0)) AS t(a, b);
-- @error
--| function 'quot' failed: divides a whole number by zero (in 'divide')
--| a = 1, b = 0
SELECT quot(100000, 1) AS q;
-- @error
--| returned 100000, which is not a SMALLINT
CREATE FUNCTION picky(n INT) RETURNS INT LANGUAGE WASM AS $$
  (module (memory 1)
    (func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))
    (func (export "picky") (param i32) (result i32)
      (if (i32.eq (local.get 0) (i32.const 3)) (then unreachable))
      (if (i32.eq (local.get 0) (i32.const 4)) (then (loop $again (br $again))))
      (if (i32.eq (local.get 0) (i32.const 5)) (then (drop (memory.grow (i32.const 1000)))))
      (if (i32.eq (local.get 0) (i32.const 6)) (then (return (call $deep (i32.const 0)))))
      (if (i32.eq (local.get 0) (i32.const 7)) (then (drop (i32.load (i32.const 1000000)))))
      (local.get 0)))
$$ WITH ('lookup.on-error' = 'null', 'timeout' = '200 ms', 'memory-limit' = '8 mb');
SELECT n, picky(n) AS p FROM (VALUES (1), (3), (4), (5), (6), (7), (8)) AS t(n);
-- @expect
--| {"op":"+I","n":1,"p":1}
--| {"op":"+I","n":3,"p":null}
--| {"op":"+I","n":4,"p":null}
--| {"op":"+I","n":5,"p":null}
--| {"op":"+I","n":6,"p":null}
--| {"op":"+I","n":7,"p":null}
--| {"op":"+I","n":8,"p":8}
DESCRIBE FUNCTION EXTENDED picky;
-- @text
--| failed calls that returned NULL
--| 5
CREATE FUNCTION forever(n INT) RETURNS INT LANGUAGE WASM AS $$
  (module (func (export "forever") (param i32) (result i32) (loop $again (br $again)) (local.get 0))) $$ WITH ('timeout' = '50 ms');
SELECT forever(1) AS f;
-- @error
--| took longer than its 'timeout' of 50ms
CREATE FUNCTION greedy(n INT) RETURNS INT LANGUAGE WASM AS $$
  (module (memory 1) (func (export "greedy") (param i32) (result i32) (memory.grow (local.get 0)))) $$ WITH ('memory-limit' = '1 mb');
SELECT greedy(100) AS g;
-- @error
--| needs more than its 'memory-limit' of 1 mb

-- Columns: the module gets Arrow's buffers. This one returns its text argument as it came: no failures, then the column.
CREATE FUNCTION same(s STRING) RETURNS STRING LANGUAGE WASM AS $$
  (module (memory (export "memory") 20) (global $next (mut i32) (i32.const 16))
    (func (export "affluent_alloc") (param $size i32) (result i32) (local $at i32)
      (local.set $at (global.get $next))
      (global.set $next (i32.add (global.get $next) (i32.and (i32.add (local.get $size) (i32.const 7)) (i32.const -8))))
      (local.get $at))
    (func (export "affluent_reset") (global.set $next (i32.const 16)))
    (func (export "same") (param $call i32) (result i32)
      (i64.store offset=8 (i32.const 0) (i64.const 0))
      (i64.store (i32.sub (local.get $call) (i32.const 8)) (i64.extend_i32_u (i32.sub (global.get $next) (local.get $call))))
      (i64.store (local.get $call) (i64.const 0))
      (i32.sub (local.get $call) (i32.const 8))))
$$;
SELECT same(s) AS s FROM (VALUES ('a'), (CAST(NULL AS STRING)), ('a text longer than twelve bytes'), ('ü')) AS t(s);
-- @expect
--| {"op":"+I","s":"a"}
--| {"op":"+I","s":null}
--| {"op":"+I","s":"a text longer than twelve bytes"}
--| {"op":"+I","s":"ü"}
CREATE FUNCTION wrong_place(s STRING) RETURNS STRING LANGUAGE WASM AS $$
  (module (memory (export "memory") 1)
    (func (export "affluent_alloc") (param i32) (result i32) (i32.const 8))
    (func (export "wrong_place") (param i32) (result i32) (i32.const -16)))
$$;
SELECT wrong_place('x') AS s;
-- @error
--| its answer cannot be read: it is not within the memory
CREATE FUNCTION no_place(s STRING) RETURNS STRING LANGUAGE WASM AS $$
  (module (memory (export "memory") 1)
    (func (export "affluent_alloc") (param i32) (result i32) (i32.const 65530))
    (func (export "no_place") (param i32) (result i32) (i32.const 8)))
$$;
SELECT no_place('x') AS s;
-- @error
--| affluent_alloc gave a place outside of the memory

-- Mistakes are errors of the statement, at their place.
CREATE FUNCTION f(n INT) RETURNS INT LANGUAGE WASM AS $$
  (module (func (export "f") (param i32) (result i32) (i32.ad (local.get 0) (i32.const 1))))
$$;
-- @error
--| the text of the module does not load: unknown operator or unexpected token
--| :56
CREATE FUNCTION f(n INT) RETURNS INT LANGUAGE WASM AS $$ (module (func (export "f") (param i32) (result i32) (i64.const 1))) $$;
-- @error
--| the module does not compile
--| type mismatch
CREATE FUNCTION f(n INT) RETURNS INT LANGUAGE WASM AS $$ (module (func (export "g") (param i32) (result i32) (local.get 0))) $$;
-- @error
--| the module exports no function 'f'
--| it exports g; AS 'name' picks one
CREATE FUNCTION f(n BIGINT) RETURNS INT LANGUAGE WASM AS $$ (module (func (export "f") (param i32) (result i32) (local.get 0))) $$;
-- @error
--| the export 'f' is (i32) -> (i32), the declaration needs (i64) -> (i32)
CREATE FUNCTION f(s STRING) RETURNS INT LANGUAGE WASM AS $$ (module (func (export "f") (param i32) (result i32) (local.get 0))) $$;
-- @error
--| a WASM function of numbers takes and returns no STRING
--| a module that exports affluent_alloc gets columns of any type
CREATE FUNCTION f(n INT) RETURNS INT LANGUAGE WASM AS $$
  (module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
    (func (export "f") (param i32) (result i32) (local.get 0))) $$;
-- @error
--| the module imports 'wasi_snapshot_preview1.fd_write': a function in WASM can reach nothing outside
--| build it without WASI
CREATE FUNCTION f(n INT) RETURNS INT LANGUAGE WASM CALLED ON NULL INPUT AS $$ (module (func (export "f") (param i32) (result i32) (local.get 0))) $$;
-- @error
--| has no NULL
CREATE FUNCTION f(n INT) RETURNS INT LANGUAGE WASM USING FILE 'missing.wasm';
-- @error
--| cannot read
CREATE FUNCTION f(n INT) RETURNS INT LANGUAGE WASM AS $$ (module (func (export "f") (param i32) (result i32) (local.get 0))) $$ WITH ('lookup.cache' = 'PARTIAL');
-- @error
--| is of functions that wait
CREATE AGGREGATE FUNCTION f(n INT) RETURNS INT LANGUAGE WASM AS $$ (module) $$;
-- @error
--| aggregate functions in WASM are not supported
CREATE FUNCTION at_start(n INT) RETURNS INT LANGUAGE WASM AS $$
  (module (start 1) (func (export "at_start") (param i32) (result i32) (local.get 0)) (func unreachable)) $$;
-- @error
--| the module does not start: stopped itself (unreachable)
