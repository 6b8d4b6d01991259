-- Functions in Python: types both ways, errors of rows, workers that end, PyFlink's files.
CREATE FUNCTION double(x BIGINT) RETURNS BIGINT LANGUAGE PYTHON AS $$
def double(x):
    return None if x is None else x * 2
$$;
SELECT double(x) AS d FROM (VALUES (CAST(1 AS BIGINT)), (CAST(NULL AS BIGINT)), (CAST(21 AS BIGINT))) AS t(x);
-- @expect
--| {"op":"+I","d":2}
--| {"op":"+I","d":null}
--| {"op":"+I","d":42}

-- What arrives, by type, and what is returned.
CREATE FUNCTION kinds(a INT, b DOUBLE, c DECIMAL(10, 2), e BYTES, f DATE, g TIMESTAMP(3), h TIME(0), i ARRAY<INT>, j ROW<x INT>, k MAP<STRING, INT>, l BOOLEAN, m TIMESTAMP_LTZ(3))
RETURNS STRING LANGUAGE PYTHON AS $$
def kinds(*args):
    names = [type(a).__name__ for a in args]
    return ' '.join(names) + ' %s %s %s %s' % (args[8].x, args[9]['one'], args[5], args[11].tzinfo)
$$;
SELECT kinds(1, 2e0, 1.5, x'01ff', DATE '2026-01-02', TIMESTAMP '2026-01-02 03:04:05.678', TIME '10:11:12', ARRAY[1], CAST(ROW(7) AS ROW<x INT>), MAP['one', 1], TRUE, TO_TIMESTAMP_LTZ(0, 3)) AS k;
-- @expect
--| {"op":"+I","k":"int float Decimal bytes date datetime time list Row dict bool datetime 7 1 2026-01-02 03:04:05.678000 UTC"}
CREATE FUNCTION back(n INT) RETURNS ROW<a TINYINT, b DECIMAL(8, 3), c BYTES, d DATE, e TIMESTAMP(6), f TIME(0), g ARRAY<STRING>, h MAP<STRING, INT>, i BOOLEAN, j DOUBLE> LANGUAGE PYTHON AS $$
import datetime, decimal
def back(n):
    if n == 0:
        return None
    return (7, decimal.Decimal('1.0625'), b'a', datetime.date(2026, 1, 2), datetime.datetime(1970, 1, 1, 0, 0, 0, 1000),
            datetime.time(1, 2, 3), ['x', None], {'one': n}, False, 0.5)
$$;
SELECT b.a, b.b, b.d, b.e, b.f, b.g, b.h, b.i, b.j FROM (SELECT back(n) AS b FROM (VALUES (1), (0)) AS t(n)) AS s;
-- @expect
--| {"op":"+I","a":7,"b":1.063,"d":"2026-01-02","e":"1970-01-01 00:00:00.001","f":"01:02:03","g":["x",null],"h":{"one":1},"i":false,"j":0.5}
--| {"op":"+I","a":null,"b":null,"d":null,"e":null,"f":null,"g":null,"h":null,"i":null,"j":null}

-- Bad rows: their neighbours are not touched, and every worker that ends is replaced.
CREATE FUNCTION picky(n INT) RETURNS INT LANGUAGE PYTHON AS $$
import ctypes, os, sys
def picky(n):
    if n == 1: raise ValueError('one is not allowed')
    if n == 2:
        while True: pass
    if n == 3: sys.exit(3)
    if n == 4: ctypes.string_at(0)
    if n == 5: return float('nan')
    if n == 6: return 'x' * (1 << 40)
    if n == 7: return 'seven'
    if n == 8: os._exit(9)
    if n == 9: return (lambda f: f(f))(lambda f: f(f))
    print('called with', n)
    return n
$$ WITH ('lookup.on-error' = 'null', 'timeout' = '1 s', 'workers' = '1');
SELECT n, picky(n) AS p FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)) AS t(n);
-- @expect
--| {"op":"+I","n":0,"p":0}
--| {"op":"+I","n":1,"p":null}
--| {"op":"+I","n":2,"p":null}
--| {"op":"+I","n":3,"p":null}
--| {"op":"+I","n":4,"p":null}
--| {"op":"+I","n":5,"p":null}
--| {"op":"+I","n":6,"p":null}
--| {"op":"+I","n":7,"p":null}
--| {"op":"+I","n":8,"p":null}
--| {"op":"+I","n":9,"p":null}
--| {"op":"+I","n":10,"p":10}

-- Each says what it was.
CREATE FUNCTION dies(n INT) RETURNS INT LANGUAGE PYTHON AS $$
import os, sys
def dies(n):
    if n == 2:
        print('last words', file=sys.stderr)
        os._exit(7)
    if n == 3: raise KeyError('three')
    if n == 4:
        import time
        time.sleep(60)
    return n
$$ WITH ('timeout' = '500 ms');
SELECT dies(n) FROM (VALUES (1), (2)) AS t(n);
-- @error
--| function 'dies' failed: its worker died: it ended with code 7; it printed: last words
--| its arguments: n = 2
SELECT dies(n) FROM (VALUES (1), (3)) AS t(n);
-- @error
--| function 'dies' failed: KeyError: 'three' (statement:73)
--| its arguments: n = 3
SELECT dies(4);
-- @error
--| function 'dies' failed: took longer than its 'timeout'
CREATE FUNCTION hungry(n INT) RETURNS INT LANGUAGE PYTHON AS $$
def hungry(n):
    return len(bytearray(10 << 30)) if n == 1 else n
$$ WITH ('memory-limit' = '512 mb', 'lookup.on-error' = 'null');
SELECT n, hungry(n) AS h FROM (VALUES (1), (2)) AS t(n);
-- @expect
--| {"op":"+I","n":1,"h":null}
--| {"op":"+I","n":2,"h":2}

-- Mistakes in the code are errors of the statement.
CREATE FUNCTION broken(n INT) RETURNS INT LANGUAGE PYTHON AS $$
def broken(n)
    return n
$$;
-- @error
--| the Python code does not load: SyntaxError
CREATE FUNCTION lost(n INT) RETURNS INT LANGUAGE PYTHON AS $$ def other(n): return n $$;
-- @error
--| the Python code does not load: 
CREATE FUNCTION nowhere(n INT) RETURNS INT AS 'no_such_module.f' LANGUAGE PYTHON;
-- @error
--| the Python code does not load: ModuleNotFoundError
CREATE FUNCTION elsewhere(n INT) RETURNS INT LANGUAGE PYTHON AS $$ 
def elsewhere(n): return n $$ WITH ('python' = '/no/such/python');
-- @error
--| no Python at '/no/such/python'
CREATE FUNCTION wrong(n INT) RETURNS INT LANGUAGE PYTHON AS $$ 
def wrong(n): return n $$ WITH ('allow-hosts' = 'example.com');
-- @error
--| option 'allow-hosts' is of functions in JavaScript

-- Annotations say the types; async def waits.
CREATE FUNCTION shout LANGUAGE PYTHON AS $$
import asyncio
async def shout(text: str, times: int = 1) -> str:
    await asyncio.sleep(0.01)
    return text.upper() * times
$$;
SELECT shout(t, 2) AS s FROM (VALUES ('a'), ('b'), ('c')) AS v(t);
-- @expect
--| {"op":"+I","s":"AA"}
--| {"op":"+I","s":"BB"}
--| {"op":"+I","s":"CC"}
SHOW CREATE FUNCTION shout;
-- @text
--| LANGUAGE PYTHON

-- PyFlink's own examples, unchanged.
-- @file flinky.py
--| from pyflink.table import DataTypes
--| from pyflink.table.udf import udf, udtf, udaf, ScalarFunction, AggregateFunction
--| @udf(result_type=DataTypes.BIGINT())
--| def add(i, j):
--|     return i + j
--| class Scaled(ScalarFunction):
--|     def open(self, function_context):
--|         self.factor = 12
--|     def eval(self, s):
--|         return len(s) * self.factor
--| scaled = udf(Scaled(), result_type=DataTypes.INT())
--| @udtf(result_types=[DataTypes.STRING(), DataTypes.INT()])
--| def split(s):
--|     for word in s.split(' '):
--|         yield word, len(word)
--| class WeightedAvg(AggregateFunction):
--|     def create_accumulator(self):
--|         return [0, 0]
--|     def get_value(self, accumulator):
--|         return None if accumulator[1] == 0 else accumulator[0] / accumulator[1]
--|     def accumulate(self, accumulator, value, weight):
--|         accumulator[0] += value * weight
--|         accumulator[1] += weight
--| weighted_avg = udaf(WeightedAvg(), input_types=[DataTypes.BIGINT(), DataTypes.BIGINT()], result_type=DataTypes.DOUBLE(), accumulator_type=DataTypes.ARRAY(DataTypes.BIGINT()))
SET 'python.files' = '${DIR}';
CREATE TEMPORARY FUNCTION py_add AS 'flinky.add' LANGUAGE PYTHON;
CREATE TEMPORARY FUNCTION scaled AS 'flinky.scaled' LANGUAGE PYTHON;
CREATE TEMPORARY FUNCTION py_split AS 'flinky.split' LANGUAGE PYTHON;
CREATE TEMPORARY FUNCTION weighted_avg AS 'flinky.weighted_avg' LANGUAGE PYTHON;
SELECT py_add(a, b) AS s, scaled(c) AS l FROM (VALUES (1, 2, 'abc'), (3, 4, '')) AS t(a, b, c);
-- @expect
--| {"op":"+I","s":3,"l":36}
--| {"op":"+I","s":7,"l":0}
SELECT t.s, w.word, w.n FROM (VALUES ('big data'), ('x')) AS t(s), LATERAL TABLE(py_split(t.s)) AS w(word, n);
-- @expect
--| {"op":"+I","s":"big data","word":"big","n":3}
--| {"op":"+I","s":"big data","word":"data","n":4}
--| {"op":"+I","s":"x","word":"x","n":1}
SELECT k, weighted_avg(v, w) AS a FROM (VALUES ('a', 1, 1), ('a', 4, 2), ('b', 7, 1)) AS t(k, v, w) GROUP BY k;
-- @result
--| {"k":"a","a":3.0}
--| {"k":"b","a":7.0}
