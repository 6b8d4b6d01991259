#!/usr/bin/env python3
"""Writes random queries: joins, aggregates, windows, OVER, Top-N, set operations, subqueries over small random tables.

    ./generate.py FOLDER SEED [QUERIES]

FOLDER gets `tables.sql`, the rows of the tables as JSON, and `queries.sql`, one query a line: random ones, then those of `by_hand.sql`.
`Queries.java` asks real Flink; its answers are `answers.jsonl`, which `tests/grid.rs` compares. The stored ones are those of seed 1 with
300 queries.
"""
import json, os, random, shutil, sys
from expressions import Expressions

FOLDER, SEED = sys.argv[1], int(sys.argv[2])
COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else 500
R = random.Random(SEED)
X = Expressions(R)
START = 1704067200000

# name -> (columns as (name, type, kind), is there a watermark)
TABLES = {
    "t": [("id", "BIGINT", "int"), ("k", "STRING", "str"), ("i", "INT", "int"), ("si", "SMALLINT", "int"), ("f", "DOUBLE", "dbl"), ("d", "DECIMAL(10, 2)", "dec"), ("s", "STRING", "str"), ("bo", "BOOLEAN", "bool"), ("dt", "DATE", "date"), ("ts", "TIMESTAMP(3)", "ts")],
    "u": [("id", "INT", "int"), ("k", "STRING", "str"), ("j", "BIGINT", "int"), ("g", "FLOAT", "dbl"), ("e", "DECIMAL(20, 6)", "dec"), ("vc", "VARCHAR(5)", "str"), ("ts", "TIMESTAMP(3)", "ts")],
    "w": [("id", "INT", "int"), ("n", "TINYINT", "int"), ("x", "DOUBLE", "dbl"), ("name", "STRING", "str"), ("tm", "TIME", "time"), ("tz", "TIMESTAMP_LTZ(3)", "tz"), ("ok", "BOOLEAN", "bool")],
}


def maybe(value):
    return None if R.random() < 0.15 else value


def stamp(ms):
    import datetime
    t = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=ms)
    return t.strftime("%Y-%m-%d %H:%M:%S.") + f"{t.microsecond // 1000:03d}"


def rows(table):
    ts = START
    for i in range({"t": 24, "u": 16, "w": 7}[table]):
        ts += R.randint(200, 7000)
        key = maybe(R.choice(["x", "y", "z", ""]))
        if table == "t":
            yield [i, key, maybe(R.randint(-3, 6)), maybe(R.choice([0, 1, 300, -32768])), maybe(R.choice([0.0, 1.5, -2.25, 100.5, 2.5, 1e16, "NaN"] if R.random() < 0.4 else [0.25, 1.5, -2.25, 8.0])), maybe(R.choice([0, 1.5, -2.25, 100.5, 99999999.99, 2.5])),
                   maybe(R.choice(["a", "b", "abc", "12", "", "x,y", "Grün", "2024-01-01"])), maybe(R.random() < 0.5), maybe(R.choice(["2024-01-01", "2023-12-31", "2000-02-29"])), stamp(ts)]
        elif table == "u":
            yield [R.randint(0, 8), key, maybe(R.choice([0, 1, 2, -3, 5000000000])), maybe(R.choice([0.5, -1.25, 2.0])), maybe(R.choice([0.5, 12.345678, -1, 2.5])), maybe(R.choice(["a", "x", "abc", "z"])), stamp(ts)]
        else:
            yield [maybe(i) if i else 0, maybe(R.choice([1, 2, -128, 127])), maybe(R.choice([0.0, 1.0, 2.5, -1e-20])), maybe(R.choice(["a", "b", "x", ""])), maybe(R.choice(["12:34:56", "00:00:00"])), maybe(R.choice(["2024-01-01 00:00:10.000Z", "1970-01-01 00:00:00.000Z"])), maybe(R.random() < 0.5)]


class Relation:
    """What stands behind FROM: its text, its columns as (name, kind), what it can do."""

    def __init__(self, sql, columns, time=None, unique=None, append=True):
        self.sql, self.columns, self.time, self.unique, self.append = sql, columns, time, unique, append

    def scope(self, alias=None):
        out = {}
        for name, kind in self.columns:
            out.setdefault(kind, []).append(f"{alias}.{name}" if alias else name)
        return out


def merged(*scopes):
    out = {}
    for s in scopes:
        for kind, columns in s.items():
            out.setdefault(kind, []).extend(columns)
    return out


def base(name=None):
    name = name or X.pick((5, "t"), (3, "u"), (1, "w"))
    return Relation(name, [(c, k) for c, _, k in TABLES[name]], "ts" if name != "w" else None, "id" if name == "t" else None)


def literal_rows():
    kinds = [R.choice(["int", "dec", "dbl", "str", "bool", "date"]) for _ in range(R.randint(1, 3))]
    lines = ", ".join("(" + ", ".join(X.leaf(k if k not in ("dec", "int", "dbl") else R.choice([k, "int"]), {}) for k in kinds) + ")" for _ in range(R.randint(1, 3)))
    names = [f"v{i}" for i in range(len(kinds))]
    return Relation(f"(VALUES {lines}) AS V({', '.join(names)})", list(zip(names, [k if k not in ("dec", "int", "dbl") else "dbl" for k in kinds])))


def relation(depth):
    if depth > 0 and R.random() < 0.3:
        sql, columns = query(depth - 1)
        return Relation(f"({sql})", columns, append=False)
    if R.random() < 0.05:
        return literal_rows()
    return base()


def aliased(rel, alias):
    return rel.sql if rel.sql.startswith("(VALUES") else f"{rel.sql} AS {alias}"


def scope_of(rel, alias):
    return rel.scope("V" if rel.sql.startswith("(VALUES") else alias)


def items(scope, n, depth=2, kinds=None):
    """SELECT items and the columns that they make."""
    sql, columns = [], []
    kinds = kinds or [k for k in ("int", "dec", "dbl", "str", "bool", "date", "ts", "time")]
    for i in range(n):
        kind = R.choice(kinds)
        e = X.of(kind, R.randint(0, depth), scope)
        sql.append(f"{e} AS c{i}")
        columns.append((f"c{i}", kind))
    return ", ".join(sql), columns


def where(scope, p=0.5):
    return f" WHERE {X.of('bool', 2, scope)}" if R.random() < p else ""


def call(scope, depth=1):
    """An aggregate call and its kind."""
    k = X.pick((3, "int"), (3, "dec"), (3, "dbl"), (2, "str"), (1, "bool"), (1, "date"), (1, "ts"))
    e = X.of(k, R.randint(0, depth), scope)
    distinct = "DISTINCT " if R.random() < 0.2 else ""
    if k in ("int", "dec", "dbl"):
        f = X.pick((4, "SUM"), (3, "AVG"), (2, "MIN"), (2, "MAX"), (2, "COUNT"), "STDDEV_POP", "VAR_SAMP", "VAR_POP")
    else:
        f = X.pick((2, "COUNT"), (2, "MIN"), (2, "MAX")) if k != "bool" else "COUNT"
    if f in ("STDDEV_POP", "VAR_SAMP", "VAR_POP"):
        distinct, e = "", f"CAST({e} AS DOUBLE)"
    if R.random() < 0.15:
        return "COUNT(*)", "int"
    out = f"{f}({distinct}{e})"
    if R.random() < 0.15:
        out += f" FILTER (WHERE {X.of('bool', 1, scope)})"
    return out, ("int" if f == "COUNT" else "dbl" if f[:3] in ("STD", "VAR") else k)


def grouped(source, scope, depth, extra_keys=(), more=""):
    """SELECT ... GROUP BY over a FROM clause."""
    keys = list(extra_keys)
    for _ in range(R.choice([0, 1, 1, 2]) if not extra_keys else R.choice([0, 0, 1])):
        kind = X.pick((4, "str"), (3, "int"), "bool", "date")
        keys.append((X.of(kind, R.choice([0, 0, 1]), scope), kind))
    shown, columns = [], []
    for e, kind in keys:
        if R.random() < 0.85:
            shown.append(f"{e} AS c{len(shown)}")
            columns.append((f"c{len(columns)}", kind))
    for _ in range(R.randint(1, 3)):
        e, kind = call(scope)
        if R.random() < 0.15 and kind == "int":
            e = f"{e} + 1"
        shown.append(f"{e} AS c{len(shown)}")
        columns.append((f"c{len(columns)}", kind))
    group = ""
    if keys:
        texts = [e for e, _ in keys]
        plain = ", ".join(texts)
        group = f" GROUP BY {plain}"
        if not extra_keys and R.random() < 0.15:
            group = f" GROUP BY {R.choice(['CUBE', 'ROLLUP'])} ({plain})" if R.random() < 0.7 else f" GROUP BY GROUPING SETS (({plain}), ())"
    having = ""
    if keys and R.random() < 0.2:
        e, kind = call(scope, 0)
        having = f" HAVING {e} IS NOT NULL" if kind not in ("int", "dec", "dbl") else f" HAVING {e} {R.choice(['>', '<=', '<>'])} {R.choice(['0', '1', '2.5', '1e0'])}"
    return f"SELECT {', '.join(shown)} FROM {source}{where(scope, 0.35)}{more}{group}{having}", columns


def projection(depth):
    rel = relation(depth)
    scope = scope_of(rel, "a")
    distinct = "DISTINCT " if R.random() < 0.15 else ""
    sql, columns = items(scope, R.randint(1, 4), 3)
    return f"SELECT {distinct}{sql} FROM {aliased(rel, 'a')}{where(scope)}", columns


def aggregate(depth):
    rel = relation(depth)
    return grouped(aliased(rel, "a"), scope_of(rel, "a"), depth)


def equality(sa, sb):
    kinds = [k for k in ("int", "str", "dec", "dbl", "date") if sa.get(k) and sb.get(k)]
    if not kinds:
        return None
    kind = R.choice(kinds)
    return f"{R.choice(sa[kind])} = {R.choice(sb[kind])}"


def join(depth):
    a, b = relation(depth), relation(depth)
    sa, sb = scope_of(a, "a"), scope_of(b, "b")
    on = equality(sa, sb)
    if on is None or (a.sql.startswith("(VALUES") and b.sql.startswith("(VALUES")):
        return projection(depth)
    both = merged(sa, sb)
    if R.random() < 0.4:
        on += f" AND {X.of('bool', 1, both)}"
    kind = X.pick((4, "JOIN"), (3, "LEFT JOIN"), "RIGHT JOIN", "FULL JOIN")
    source = f"{aliased(a, 'a')} {kind} {aliased(b, 'b')} ON {on}"
    if R.random() < 0.2:
        c = base()
        sc = scope_of(c, "c")
        more = equality(both, sc)
        if more:
            source += f" {R.choice(['JOIN', 'LEFT JOIN'])} {aliased(c, 'c')} ON {more}"
            both = merged(both, sc)
    if R.random() < 0.4:
        return grouped(source, both, depth)
    sql, columns = items(both, R.randint(1, 4), 1)
    return f"SELECT {sql} FROM {source}{where(both, 0.3)}", columns


def semi(depth):
    a, b = base(), base()
    sa, sb = scope_of(a, "a"), scope_of(b, "b")
    kind = R.choice([k for k in ("int", "str", "dec", "dbl") if sa.get(k) and sb.get(k)])
    left, right = R.choice(sa[kind]), R.choice(sb[kind])
    inner = where(sb, 0.4)
    correlated = (inner + " AND " if inner else " WHERE ") + f"{R.choice(sa[kind])} = {R.choice(sb[kind])}"
    test = X.pick(f"{left} IN (SELECT {right} FROM {aliased(b, 'b')}{inner})", f"EXISTS (SELECT 1 FROM {aliased(b, 'b')}{correlated})", f"NOT EXISTS (SELECT 1 FROM {aliased(b, 'b')}{correlated})",
                  f"{left} NOT IN (SELECT {right} FROM {aliased(b, 'b')} WHERE {right} IS NOT NULL)", f"{left} {R.choice(['>', '=', '<='])} (SELECT {R.choice(['MAX', 'MIN'])}({right}) FROM {aliased(b, 'b')}{inner})",
                  f"({left}, {R.choice(sa['str'])}) IN (SELECT {right}, {R.choice(sb['str'])} FROM {aliased(b, 'b')})")
    if R.random() < 0.3:
        test += f" {R.choice(['AND', 'OR']) if 'IN' not in test else 'AND'} {X.of('bool', 1, sa)}"
    if R.random() < 0.3:
        return f"SELECT {R.choice(['COUNT(*)', 'MAX(' + left + ')'])} AS c0 FROM {aliased(a, 'a')} WHERE {test}", [("c0", "int" if kind == "int" else kind)]
    sql, columns = items(sa, R.randint(1, 3), 1)
    return f"SELECT {sql} FROM {aliased(a, 'a')} WHERE {test}", columns


def sets(depth):
    kinds = [R.choice(["int", "str", "dec", "dbl", "bool", "date"]) for _ in range(R.randint(1, 2))]
    number = lambda k: R.choice(["int", "dec", "dbl"]) if k in ("int", "dec", "dbl") and R.random() < 0.4 else k

    def side():
        rel = relation(depth)
        scope = scope_of(rel, "a")
        cols = [X.of(number(k), R.choice([0, 0, 1]), scope) for k in kinds]
        return f"SELECT {', '.join(f'{e} AS c{i}' for i, e in enumerate(cols))} FROM {aliased(rel, 'a')}{where(scope, 0.4)}"
    sql = side()
    for _ in range(R.choice([1, 1, 2])):
        sql += f" {X.pick((3, 'UNION ALL'), (2, 'UNION'), 'INTERSECT', 'EXCEPT', 'INTERSECT ALL', 'EXCEPT ALL')} {side()}"
    return sql, [(f"c{i}", "dbl" if k in ("int", "dec", "dbl") else k) for i, k in enumerate(kinds)]


def top(depth):
    rel = base(R.choice(["t", "t", "u"])) if R.random() < 0.7 else relation(depth)
    scope = scope_of(rel, "a")
    order = [f"{X.leaf(X.pick('int', 'dec', 'dbl', 'str', 'ts', 'bool'), scope)} {R.choice(['', 'DESC', 'ASC', 'DESC NULLS LAST', 'ASC NULLS FIRST'])}" for _ in range(R.choice([1, 2]))]
    # Without ties the result is one.
    names = [f"a.{c}" if not rel.sql.startswith("(VALUES") else f"V.{c}" for c, _ in rel.columns]
    order += [f"{n} {R.choice(['', 'DESC'])}" for n in names]
    partition = f"PARTITION BY {R.choice(scope.get('str') or scope.get('int') or names)} " if R.random() < 0.7 else ""
    keep = R.sample(rel.columns, min(len(rel.columns), R.randint(1, 3)))
    prefix = names[0].split(".")[0]
    cols = ", ".join(f"{prefix}.{c} AS c{i}" for i, (c, _) in enumerate(keep))
    f = "ROW_NUMBER"
    limit = R.choice(["rn <= 2", "rn <= 3", "rn = 1", "rn < 3", "rn = 2", "rn BETWEEN 2 AND 3"])
    shown = [f"c{i}" for i in range(len(keep))] + (["rn"] if R.random() < 0.4 else [])
    return (f"SELECT {', '.join(shown)} FROM (SELECT {cols}, {f}() OVER ({partition}ORDER BY {', '.join(order)}) AS rn FROM {aliased(rel, 'a')}{where(scope, 0.3)}) WHERE {limit}",
            [(f"c{i}", k) for i, (_, k) in enumerate(keep)] + ([("rn", "int")] if "rn" in shown else []))


def window_source(name=None, filtered=True):
    name = name or R.choice(["t", "t", "u"])
    size = R.choice([10, 20, 30])
    if R.random() < 0.12:
        kind, f = "session", f"SESSION(TABLE {name} PARTITION BY k, DESCRIPTOR(ts), INTERVAL '{R.choice([3, 8])}' SECOND)"
    else:
        kind, f = X.pick((3, ("tumble", f"TUMBLE(TABLE {name}, DESCRIPTOR(ts), INTERVAL '{size}' SECOND)")), (1, ("tumble", f"TUMBLE(TABLE {name}, DESCRIPTOR(ts), INTERVAL '{size}' SECOND, INTERVAL '{R.choice([3, -4])}' SECOND)")),
                         (2, ("hop", f"HOP(TABLE {name}, DESCRIPTOR(ts), INTERVAL '{size // 2}' SECOND, INTERVAL '{size}' SECOND)")), (1, ("cumulate", f"CUMULATE(TABLE {name}, DESCRIPTOR(ts), INTERVAL '{size // 2}' SECOND, INTERVAL '{size * 2}' SECOND)")))
    return name, kind, f


def window(depth):
    name, kind, f = window_source()
    scope = base(name).scope()
    keys = [("window_start", "ts"), ("window_end", "ts")]
    if kind == "session":
        keys.append(("k", "str"))
    if R.random() < 0.1:
        keys.append(("window_time", "ts"))
    sql, columns = grouped(f if R.random() < 0.5 else f"TABLE({f})", scope, depth, keys, "")
    return sql, columns


def window_top(depth):
    name, kind, f = window_source()
    if kind == "session":
        return window(depth)
    scope = base(name).scope()
    if R.random() < 0.5:
        inner = f"SELECT window_start, window_end, k, COUNT(*) AS n, MAX(id) AS m FROM {f} GROUP BY window_start, window_end, k"
        sql = f"SELECT window_start AS c0, k AS c1, n AS c2, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY n DESC, m, k) AS rn FROM ({inner})) WHERE rn <= {R.choice([1, 2])}"
        return sql, [("c0", "ts"), ("c1", "str"), ("c2", "int"), ("rn", "int")]
    order = R.choice(["ts", "ts DESC"]) if R.random() < 0.4 else f"{X.leaf('int', scope)} {R.choice(['', 'DESC'])}, ts"
    n = "rn = 1" if order.startswith("ts") else R.choice(["rn <= 2", "rn = 1"])
    return f"SELECT window_start AS c0, id AS c1, k AS c2 FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY {order}) AS rn FROM {f}) WHERE {n}", [("c0", "ts"), ("c1", "int"), ("c2", "str")]


def window_join(depth):
    size = R.choice([10, 20])
    f = lambda n: f"(SELECT * FROM TUMBLE(TABLE {n}, DESCRIPTOR(ts), INTERVAL '{size}' SECOND))"
    kind = R.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI", "ANTI"])
    scope = merged(base("t").scope("a"), base("u").scope("b"))
    on = "a.window_start = b.window_start AND a.window_end = b.window_end AND a.k = b.k"
    if kind in ("SEMI", "ANTI"):
        return f"SELECT a.id AS c0, a.k AS c1, a.window_start AS c2 FROM {f('t')} a WHERE {'NOT ' if kind == 'ANTI' else ''}EXISTS (SELECT 1 FROM {f('u')} b WHERE {on})", [("c0", "int"), ("c1", "str"), ("c2", "ts")]
    if R.random() < 0.3:
        on += f" AND {X.of('bool', 1, scope)}"
    return f"SELECT a.id AS c0, b.id AS c1, COALESCE(a.window_start, b.window_start) AS c2, a.s AS c3, b.e AS c4 FROM {f('t')} a {kind} {f('u')} b ON {on}", [("c0", "int"), ("c1", "int"), ("c2", "ts"), ("c3", "str"), ("c4", "dec")]


def interval_join(depth):
    scope = merged(base("t").scope("a"), base("u").scope("b"))
    kind = R.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
    bound = R.choice(["a.ts BETWEEN b.ts - INTERVAL '5' SECOND AND b.ts + INTERVAL '5' SECOND", "a.ts >= b.ts AND a.ts < b.ts + INTERVAL '10' SECOND", "b.ts BETWEEN a.ts - INTERVAL '20' SECOND AND a.ts", "a.ts = b.ts"])
    more = f" AND {X.of('bool', 1, scope)}" if R.random() < 0.3 else ""
    source = f"t AS a {kind} u AS b ON a.k = b.k AND {bound}{more}"
    if R.random() < 0.3:
        return grouped(source, scope, depth)
    sql, columns = items(scope, R.randint(2, 4), 1)
    return f"SELECT {sql} FROM {source}", columns


def temporal_join(depth):
    scope = merged(base("t").scope("a"), {"int": ["v.j"], "str": ["v.vc", "v.k"], "dec": ["v.e"]})
    sql, columns = items(scope, R.randint(2, 4), 1)
    return (f"SELECT {sql} FROM t AS a {R.choice(['JOIN', 'LEFT JOIN'])} versions FOR SYSTEM_TIME AS OF a.ts AS v ON a.k = v.k", columns)


def over(depth):
    scope = base("t").scope()
    frame = X.pick("ROWS BETWEEN 2 PRECEDING AND CURRENT ROW", "RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW", "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", "")
    w = f"({R.choice(['PARTITION BY k ', 'PARTITION BY k ', 'PARTITION BY bo ', ''])}ORDER BY ts {frame})"
    shown, columns = ["id AS c0"], [("c0", "int")]
    for i in range(R.randint(1, 3)):
        while True:
            e, kind = call(scope)
            if "FILTER" not in e:
                break
        if R.random() < 0.2 and not frame:
            e, kind = R.choice([("LAG(id) OVER w", "int"), ("LAG(s, 1, 'none') OVER w", "str"), ("LAG(d, 2) OVER w", "dec")])
            shown.append(f"{e} AS c{i + 1}")
        else:
            shown.append(f"{e} OVER w AS c{i + 1}")
        columns.append((f"c{i + 1}", kind))
    text = f"SELECT {', '.join(shown)} FROM t{where(scope, 0.2)}"
    return (text + f" WINDOW w AS {w}" if R.random() < 0.5 else text.replace("OVER w", f"OVER {w}")), columns


def unnest(depth):
    a = base(R.choice(["t", "u"]))
    scope = merged(scope_of(a, "a"), {"str": ["x.p"]})
    sql, columns = items(scope, R.randint(1, 3), 1)
    text = R.choice(scope["str"][:2])
    return (f"SELECT x.p AS c9, {sql} FROM {aliased(a, 'a')} {R.choice(['CROSS JOIN UNNEST', 'CROSS JOIN UNNEST', 'LEFT JOIN UNNEST'])}(SPLIT({text}, ',')) AS x(p) ON TRUE".replace(" ON TRUE", "") if R.random() < 0.6 else
            f"SELECT x.p AS c9, {sql} FROM {aliased(a, 'a')} LEFT JOIN UNNEST(SPLIT({text}, ',')) AS x(p) ON TRUE"), [("c9", "str")] + columns


def scalars(depth):
    a, b = base(), base()
    sa = scope_of(a, "a")
    sb = scope_of(b, "b")
    kind = R.choice([k for k in ("int", "str") if sa.get(k) and sb.get(k)])
    e, ek = call(sb, 0)
    corr = f" WHERE {R.choice(sb[kind])} = {R.choice(sa[kind])}" if R.random() < 0.4 else ""
    sql, columns = items(sa, R.randint(1, 2), 1)
    return f"SELECT {sql}, (SELECT {e} FROM {aliased(b, 'b')}{corr}) AS c9 FROM {aliased(a, 'a')}", columns + [("c9", ek)]


def with_query(depth):
    sql, columns = query(depth)
    rel = Relation("q", columns)
    scope = rel.scope("a")
    inner, cols = (grouped("q AS a", scope, depth) if R.random() < 0.5 else (lambda x: (f"SELECT {x[0]} FROM q AS a{where(scope, 0.4)}", x[1]))(items(scope, R.randint(1, 3), 1)))
    return f"WITH q AS ({sql}) {inner}", cols


def query(depth):
    f = X.pick((4, projection), (5, aggregate), (4, join), (2, semi), (3, sets), (2, top))
    return f(depth)


def whole(depth=1):
    f = X.pick((4, projection), (6, aggregate), (5, join), (3, semi), (3, sets), (3, top), (4, window), (2, window_top), (2, window_join), (2, interval_join), (2, temporal_join), (3, over), (1, unnest), (1, scalars), (2, with_query))
    return f(depth)[0]


MORE = ["CREATE TEMPORARY TABLE p (k STRING, i INT, pt AS PROCTIME()) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = 'FOLDER/t.jsonl')",
        "CREATE TEMPORARY TABLE cc (k STRING, i INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'filesystem', 'format' = 'debezium-json', 'path' = 'FOLDER/cdc.jsonl')"]
VERSIONS = ("CREATE TEMPORARY VIEW versions AS SELECT id, k, j, e, vc, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS rn FROM u) WHERE rn = 1")

if __name__ == "__main__":
    with open(f"{FOLDER}/tables.sql", "w") as out:
        for name, columns in TABLES.items():
            with open(f"{FOLDER}/{name}.jsonl", "w") as data:
                for row in rows(name):
                    data.write(json.dumps(dict(zip([c[0] for c in columns], row)), ensure_ascii=False) + "\n")
            mark = ", WATERMARK FOR ts AS ts - INTERVAL '1' SECOND" if name != "w" else ""
            out.write(f"CREATE TEMPORARY TABLE {name} ({', '.join(f'`{c}` {t}' for c, t, _ in columns)}{mark}) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = 'FOLDER/{name}.jsonl')\n")
        out.write("\n".join([VERSIONS] + MORE) + "\n")
    here = os.path.dirname(os.path.abspath(__file__))
    if not os.path.exists(f"{FOLDER}/cdc.jsonl"):
        shutil.copy(f"{here}/cdc.jsonl", FOLDER)
    seen = set()
    with open(f"{FOLDER}/queries.sql", "w") as out:
        while len(seen) < COUNT:
            sql = whole()
            if sql not in seen and len(sql) < 900:
                seen.add(sql)
                out.write(sql + "\n")
        out.write(open(f"{here}/by_hand.sql").read())
