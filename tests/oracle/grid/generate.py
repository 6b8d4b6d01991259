#!/usr/bin/env python3
"""Writes the expressions of the grid: every pair of types in casts, comparisons, choices, arithmetic and set operations, and every
function with edge inputs.

    ./generate.py FOLDER [SEED]

FOLDER gets `columns.tsv` (the input table `g`, one column a line: name, type, four values as SQL), `rows.jsonl` (the same rows as JSON),
`sinks.tsv` (tables for INSERT) and `expressions.tsv` (kind, expression). `Grid.java` asks real Flink; its answers are the
`answers-*.tsv` beside this file. The stored ones are those of seed 12.
"""
import itertools, json, random, sys

FOLDER = sys.argv[1]
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 12
random.seed(SEED)
NULL = ("NULL", None)


def text(s):
    return ("'" + s.replace("'", "''") + "'", s)


# name, type, values of four rows: ordinary, lowest or odd, NULL, zero or negative
COLUMNS = [
    ("b", "BOOLEAN", [("TRUE", True), ("FALSE", False), NULL, ("FALSE", False)]),
    ("i1", "TINYINT", [("7", 7), ("-128", -128), NULL, ("0", 0)]),
    ("i2", "SMALLINT", [("300", 300), ("-32768", -32768), NULL, ("-2", -2)]),
    ("i4", "INT", [("12", 12), ("-2147483648", -2147483648), NULL, ("0", 0)]),
    ("i8", "BIGINT", [("1500000000000", 1500000000000), ("'-9223372036854775808'", -9223372036854775808), NULL, ("-1", -1)]),
    ("f4", "FLOAT", [("2.5", 2.5), ("'NaN'", "NaN"), NULL, ("-0.1", -0.1)]),
    ("f8", "DOUBLE", [("12.34567", 12.34567), ("'Infinity'", "Infinity"), NULL, ("-1e-20", -1e-20)]),
    ("d5", "DECIMAL(5, 2)", [("123.45", "123.45"), ("-999.99", "-999.99"), NULL, ("0.05", "0.05")]),
    ("d20", "DECIMAL(20, 6)", [("12.345678", "12.345678"), ("'-99999999999999.999999'", "-99999999999999.999999"), NULL, ("0", "0")]),
    ("d38", "DECIMAL(38, 18)", [("1.5", "1.5"), ("'-99999999999999999999.999999999999999999'", "-99999999999999999999.999999999999999999"), NULL, ("'0.000000000000000001'", "0.000000000000000001")]),
    ("s", "STRING", [text("12"), text("abc def"), NULL, text("")]),
    ("t", "STRING", [text("Grüße, Welt"), text("2020-02-29 12:34:56.789"), NULL, text(" -3.75 ")]),
    ("v", "VARCHAR(5)", [text("true"), text("ab"), NULL, text("2020")]),
    ("c", "CHAR(3)", [text("abc"), text("1.5"), NULL, text("x  ")]),
    ("y", "BYTES", [("X'616263'", "YWJj"), ("X'00ff'", "AP8="), NULL, ("X''", "")]),
    ("dt", "DATE", [("'2024-03-10'", "2024-03-10"), ("'1969-12-31'", "1969-12-31"), NULL, ("'2000-02-29'", "2000-02-29")]),
    ("tm", "TIME(0)", [("'12:34:56'", "12:34:56"), ("'23:59:59'", "23:59:59"), NULL, ("'00:00:00'", "00:00:00")]),
    ("ts", "TIMESTAMP(3)", [("'2024-03-10 02:30:15.123'", "2024-03-10 02:30:15.123"), ("'9999-12-31 23:59:59.999'", "9999-12-31 23:59:59.999"), NULL, ("'2000-01-01 00:00:00'", "2000-01-01 00:00:00.000")]),
    ("ts9", "TIMESTAMP(9)", [("'2024-03-10 02:30:15.123456789'", "2024-03-10 02:30:15.123456789"), ("'1970-01-01 00:00:00'", "1970-01-01 00:00:00.000000000"), NULL, ("'2000-01-01 00:00:00.5'", "2000-01-01 00:00:00.500000000")]),
    ("tz", "TIMESTAMP_LTZ(3)", [("'2024-03-10 02:30:15.123'", "2024-03-10 02:30:15.123Z"), ("'1970-01-01 00:00:00'", "1970-01-01 00:00:00.000Z"), NULL, ("'2000-01-01 00:00:00'", "2000-01-01 00:00:00.000Z")]),
    ("ai", "ARRAY<INT>", [("ARRAY[1, 2, 3]", [1, 2, 3]), ("ARRAY[CAST(NULL AS INT), 5, 5]", [None, 5, 5]), NULL, ("ARRAY[0]", [0])]),
    ("sa", "ARRAY<STRING>", [("ARRAY['a', 'b']", ["a", "b"]), ("ARRAY['x', CAST(NULL AS STRING), '']", ["x", None, ""]), NULL, ("ARRAY['']", [""])]),
    ("m", "MAP<STRING, INT>", [("MAP['a', 1, 'b', 2]", {"a": 1, "b": 2}), ("MAP['x', CAST(NULL AS INT)]", {"x": None}), NULL, ("MAP['', 0]", {"": 0})]),
    ("r", "ROW<a INT, z STRING>", [("ROW(1, 'one')", {"a": 1, "z": "one"}), ("ROW(CAST(NULL AS INT), '')", {"a": None, "z": ""}), NULL, ("ROW(0, 'zero')", {"a": 0, "z": "zero"})]),
]
NUMBERS = ["i1", "i2", "i4", "i8", "f4", "f8", "d5", "d20", "d38"]
TEXTS = ["s", "v", "c"]
MOMENTS = ["dt", "tm", "ts", "ts9", "tz"]
SCALARS = ["b"] + NUMBERS + TEXTS + ["y"] + MOMENTS
ALL = [c[0] for c in COLUMNS if c[0] != "t"]
NUMBER_LITERALS = ["1", "0", "-1", "2147483648", "1.5", "0.0", "100.50", "1e0", "-2.5e-3", "9223372036854775807", "3"]
LITERALS = NUMBER_LITERALS + ["'12'", "'abc'", "'1.0'", "TRUE", "DATE '2024-03-10'", "TIME '12:34:56'", "TIMESTAMP '2024-03-10 02:30:15.123'",
            "TIMESTAMP '2000-01-01 00:00:00'", "INTERVAL '1' DAY", "INTERVAL '2' HOUR", "INTERVAL '1-2' YEAR TO MONTH", "NULL", "X'616263'"]
TYPES = ["BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL(10, 2)", "DECIMAL(38, 18)", "DECIMAL", "STRING", "VARCHAR",
         "VARCHAR(3)", "CHAR(2)", "CHAR(12)", "BYTES", "BINARY(2)", "VARBINARY(4)", "DATE", "TIME", "TIME(3)", "TIMESTAMP", "TIMESTAMP(0)", "TIMESTAMP(3)", "TIMESTAMP(9)",
         "TIMESTAMP_LTZ(3)", "TIMESTAMP_LTZ(9)", "ARRAY<BIGINT>", "MAP<STRING, BIGINT>", "ROW<a BIGINT, z STRING>"]

found = {}


def add(kind, expression):
    found.setdefault(expression, kind)


# ------------------------------------------------------------------------------------------------------------ casts
for c in ALL + ["t"]:
    for t in TYPES:
        add("cast", f"CAST({c} AS {t})")
        if c in ("s", "t", "v", "i4", "f8", "d38", "ts"):
            add("cast", f"TRY_CAST({c} AS {t})")
CAST_TEXT = ["''", "' 7 '", "'7.9'", "'-7.9'", "'1e3'", "'+5'", "'300'", "'99999999999'", "'abc'", "'true'", "'T'", "'0'", "'on'", "'12.345'", "'.5'", "'5.'", "'NaN'", "'-Infinity'",
             "'2020-01-01'", "'2020-1-1'", "'2020'", "'2020-13-01'", "'12:30'", "'12:30:45'", "'12:30:45.123456'", "'2020-01-01 12:30:45.123456789'", "'2020-01-01T12:30:45'",
             "'2020-01-01 25:00:00'", "'9999-12-31 00:00:00'", "'0001-01-01 00:00:00'", "'1d'", "'0x1F'", "'1,5'", "'１２'"]
for e in CAST_TEXT:
    for t in ["BOOLEAN", "TINYINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL(10, 2)", "DECIMAL(38, 18)", "VARCHAR", "VARCHAR(3)", "CHAR(4)", "BYTES", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP(3)", "TIMESTAMP(9)", "TIMESTAMP_LTZ(3)"]:
        add("cast", f"TRY_CAST({e} AS {t})")
        if random.random() < 0.3:
            add("cast", f"CAST({e} AS {t})")
for e in ["1.5e10", "1e7", "1e-3", "1.0E-5", "123456789.125e0", "1e100", "CAST(0.1 AS FLOAT)", "CAST(1e10 AS FLOAT)", "CAST(16777217 AS FLOAT)", "1.10", "0.000", "-0.5", "100",
          "DATE '0001-01-01'", "TIME '00:00:00.5'", "TIMESTAMP '2020-01-01 00:00:00'", "TIMESTAMP '2020-01-01 00:00:00.10'", "INTERVAL '1' DAY", "INTERVAL '1 02:03:04.5' DAY TO SECOND", "INTERVAL '14' MONTH",
          "ARRAY[1.5, 2]", "MAP['k', TRUE]", "ROW(1, 'a', NULL)", "X'00FF'", "300", "-129", "2147483648", "3.9", "-3.9", "2.5"]:
    for t in ["STRING", "VARCHAR(4)", "INT", "TINYINT", "BIGINT", "DOUBLE", "DECIMAL(4, 1)", "BOOLEAN", "TIMESTAMP(3)"]:
        add("cast", f"CAST({e} AS {t})")

# ------------------------------------------------------------------------------------------------------- comparisons
for a, b in itertools.product(SCALARS, SCALARS):
    add("compare", f"{a} = {b}")
    if random.random() < 0.5:
        add("compare", f"{a} {random.choice(['<', '<=', '>', '>=', '<>'])} {b}")
for c in ["ai", "sa", "m", "r"]:
    for o in ["=", "<>", "<", "IS DISTINCT FROM"]:
        add("compare", f"{c} {o} {c}")
for c in SCALARS:
    for l in LITERALS:
        add("compare", f"{c} {random.choice(['=', '<', '>', '<>', '>='])} {l}")
        if random.random() < 0.4:
            add("compare", f"{c} IN ({l}, {random.choice(LITERALS)})")
        if random.random() < 0.3:
            add("compare", f"{c} BETWEEN {l} AND {random.choice(LITERALS)}")
        if random.random() < 0.2:
            add("compare", f"{c} NOT IN ({random.choice(LITERALS)}, {l}, {random.choice(LITERALS)})")
        if random.random() < 0.2:
            add("compare", f"{c} IS NOT DISTINCT FROM {l}")
for e in ["f8 > 100.5", "f8 > 0.0", "f8 BETWEEN 0.0 AND 100.5", "f8 IN (0.0, 12.34567)", "f4 = 2.5", "f4 > 0.1", "1e-20 > 0.0", "CAST('NaN' AS DOUBLE) > 100.5", "d5 = 123.45", "i4 < '1.0'", "s IN (1, 12)",
          "s = 12", "s = DATE '2024-03-10'", "v = TRUE", "'2024-03-10' = dt", "ts > '2024-01-01'", "dt < '2024-1-1'", "tm = '12:34:56'", "tz > '2020-01-01 00:00:00'", "'a' < 'B'", "'abc ' = 'abc'", "c = 'x'", "b = 1", "b = 'true'"]:
    add("compare", e)

# ----------------------------------------------------------------------------------------------------------- choices
for a, b in itertools.product(ALL, ALL):
    add("choice", f"COALESCE({a}, {b})")
    if random.random() < 0.5:
        add("choice", f"CASE WHEN i4 > 0 THEN {a} ELSE {b} END")
    if random.random() < 0.3:
        add("choice", f"IF(i4 > 0, {a}, {b})")
    if a in SCALARS and b in SCALARS and random.random() < 0.4:
        add("choice", f"NULLIF({a}, {b})")
    if a in SCALARS and b in SCALARS and random.random() < 0.35:
        add("choice", f"{random.choice(['GREATEST', 'LEAST'])}({a}, {b})")
    if random.random() < 0.25:
        add("choice", f"ARRAY[{a}, {b}]")
    if random.random() < 0.12:
        add("choice", f"IFNULL({a}, {b})")
    if a in SCALARS and random.random() < 0.08:
        add("choice", f"MAP[{a}, {b}]")
for c in ALL:
    for l in random.sample(LITERALS, 8):
        add("choice", f"COALESCE({c}, {l})")
        add("choice", random.choice(["IF(b, {c}, {l})", "CASE WHEN b THEN {l} ELSE {c} END", "NULLIF({c}, {l})", "GREATEST({c}, {l})", "LEAST({l}, {c})", "ARRAY[{l}, {c}]", "IFNULL({c}, {l})"]).format(c=c, l=l))
for e in ["COALESCE(f8, 0.0)", "COALESCE(NULL, 1)", "COALESCE(i4, i8, 1.5)", "CASE i4 WHEN 12 THEN 'a' WHEN 0 THEN 'bcd' END", "CASE WHEN b THEN 1 WHEN NOT b THEN 2.5 END", "NULLIF(1, 1)", "NULLIF('a', 'b')",
          "CASE WHEN NULL THEN 1 END", "CASE s WHEN 12 THEN 1 ELSE 2 END", "IF(NULL, 1, 2)", "GREATEST(1, NULL)", "LEAST(1, 2.5, 3e0)", "GREATEST('a', 'b', s)", "COALESCE('a', 'bcd')", "IF(b, 'a', 'bcd')"]:
    add("choice", e)

# -------------------------------------------------------------------------------------------------------- arithmetic
for a, b in itertools.product(NUMBERS, NUMBERS):
    for o in "+-*/%":
        add("arithmetic", f"{a} {o} {b}")
for c in NUMBERS:
    for l in NUMBER_LITERALS:
        o = random.choice("+-*/%")
        add("arithmetic", f"{c} {o} {l}")
        add("arithmetic", f"{l} {random.choice('+-*/%')} {c}")
    for f in ["-{}", "+{}", "ABS({})", "MOD({}, 3)", "ROUND({})", "ROUND({}, 1)", "ROUND({}, -1)", "TRUNCATE({}, 1)", "TRUNCATE({}, -1)", "FLOOR({})", "CEIL({})", "SIGN({})", "SQRT({})", "EXP({})", "LN({})", "POWER({}, 2)", "LOG2({})", "LOG10({})", "{} / 0", "{} % 0", "BIN({})", "HEX({})"]:
        add("arithmetic", f.format(c))
for c in MOMENTS:
    for i in ["INTERVAL '1' DAY", "INTERVAL '36' HOUR", "INTERVAL '1' MONTH", "INTERVAL '1-2' YEAR TO MONTH", "INTERVAL '0.5' SECOND"]:
        add("arithmetic", f"{c} + {i}")
        add("arithmetic", f"{c} - {i}")
    for d in MOMENTS:
        add("arithmetic", f"({c} - {d}) DAY")
    for x in ["1", "i4", "'1'"]:
        add("arithmetic", f"{c} + {x}")
for c in TEXTS + ["b", "y"]:
    for o in "+-*/%":
        add("arithmetic", f"{c} {o} 2")
        add("arithmetic", f"i4 {o} {c}")
        add("arithmetic", f"d5 {o} {c}")
for e in ["1.0/3", "100.00/7.00", "1/3", "7/2", "-7/2", "-7 % 3", "7 % -3", "7.5 % 2", "1e0/0", "0e0/0", "1/0", "2147483647 + 1", "2147483647 * 2", "-2147483648", "- -5", "1.1 * 1.1", "1.10 + 2.345", "0.1 + 0.2", "0.1e0 + 0.2e0", "9999999999999999999999.9 * 9999999999999999.99",
          "5 / 2.0", "5.0 / 2", "CAST(1 AS DECIMAL(38, 18)) / 2", "d38 / 2", "d38 * d38", "d38 + d38", "INTERVAL '1' HOUR * 2", "2 * INTERVAL '1' DAY", "INTERVAL '1' DAY + INTERVAL '2' HOUR", "INTERVAL '1' YEAR - INTERVAL '2' MONTH", "INTERVAL '1' DAY / 2",
          "ts + 2 * INTERVAL '1' SECOND", "ts + i1 * INTERVAL '1' SECOND", "INTERVAL '1' QUARTER", "INTERVAL '1' WEEK", "INTERVAL '1' DAY(3)", "INTERVAL '1.5' SECOND(4)", "-INTERVAL '1' DAY", "9223372036854775807 + 1", "9223372036854775808", "1.7976931348623157e308 * 10", "CAST(127 AS TINYINT) + CAST(1 AS TINYINT)",
          "i4 % i1", "i1 % i4", "CAST(7 AS BIGINT) % CAST(3 AS TINYINT)", "1 + 1.0", "1 + 1e0", "1 + CAST(1 AS FLOAT)", "CAST(1 AS FLOAT) + 1.5", "CAST(1 AS FLOAT) * 2"]:
    add("arithmetic", e)

# ------------------------------------------------------------------------------------------------------------- TYPEOF
for e in ALL + LITERALS + ["MD5(s)", "SHA1(s)", "SHA256(s)", "SHA2(s, 256)", "UPPER(s)", "UPPER(v)", "c || v", "'a' || 'bc'", "SUBSTRING(c, 1)", "i4 % i1", "i1 + i1", "i1 * i2", "d5 * d5", "d5 / 3", "d5 + 1", "f4 + f8", "CHAR_LENGTH(s)", "CARDINALITY(ai)", "ts - INTERVAL '1' DAY", "EXTRACT(DAY FROM ts)",
          "ARRAY[1, 2]", "MAP['a', 1]", "ROW(1, 'a')", "CAST(1 AS VARCHAR)", "CAST('a' AS CHAR(5))", "CAST(s AS VARCHAR(7))", "CURRENT_TIMESTAMP", "CURRENT_DATE", "LOCALTIME", "LOCALTIMESTAMP", "NOW()", "PROCTIME()", "PI()", "UUID()", "RAND()", "TO_DATE(s)", "TO_TIMESTAMP(s)",
          "TO_TIMESTAMP_LTZ(i8, 3)", "CONCAT(s, v)", "COALESCE(c, v)", "COALESCE(i4, 1)", "NULLIF(i4, 1)", "i4 > 1", "i4 IS NULL", "1 + 1", "1.5 + 1", "1.0 / 3", "ABS(i1)", "ROUND(d5, 1)", "FLOOR(d5)", "FLOOR(f8)", "CAST('12:00:00' AS TIME)", "IF(b, 1, 2.5)", "CASE WHEN b THEN 'a' ELSE 'bcd' END", "POWER(2, 3)", "MAP_KEYS(m)", "SPLIT(s, ',')", "JSON_VALUE(s, '$.a')", "FROM_UNIXTIME(1)", "UNIX_TIMESTAMP()", "DATE_FORMAT(ts, 'yyyy')", "SIGN(d5)", "TRIM(c)", "REPLACE(s, 'a', 'b')", "ENCODE(s, 'UTF-8')", "TO_BASE64(s)", "GREATEST(i4, i8)"]:
    add("typeof", f"TYPEOF({e})")
add("typeof", "TYPEOF(i4, TRUE)")
add("typeof", "TYPEOF(1, FALSE)")

# ---------------------------------------------------------------------------------------------------------- functions
ST = ["s", "t", "v", "c", "''", "'abc'", "'Hello World'", "'Grüße'", "'a,b,,c'", "'😀x'", "'  pad '", "NULL", "CAST(NULL AS STRING)", "'aAbB12'", "'a%b_c'", "'C:\\dir\\x'"]
NT = ["i4", "i1", "0", "1", "2", "-1", "3", "100", "NULL", "-2147483648", "i8"]
DB = ["f8", "f4", "d5", "i4", "0", "1", "-1", "0.5", "2e0", "1e308", "NULL", "d38", "i8"]
MO = ["ts", "dt", "tm", "ts9", "tz", "'2020-02-29 12:34:56'", "'2020-02-29'", "NULL", "DATE '2023-12-31'", "TIMESTAMP '1969-12-31 23:59:59.5'", "TIME '01:02:03'"]
BY = ["y", "X'616263'", "X''", "s", "NULL"]
AI = ["ai", "ARRAY[3, 1, 2]", "ARRAY[1, NULL, 1]", "ARRAY[1]", "NULL", "CAST(NULL AS ARRAY<INT>)", "sa", "ARRAY['b', 'a']", "ARRAY[1.5, 2]"]
MP = ["m", "MAP['a', 1]", "MAP['z', 9, 'a', 5]", "CAST(NULL AS MAP<STRING, INT>)", "NULL"]
JS = ["'{\"a\":1,\"b\":[1,2,{\"c\":\"x\"}],\"d\":null}'", "'[1,2]'", "'\"abc\"'", "'7'", "'3.9'", "'true'", "'{}'", "'{\"a\":{\"b c\":5,\"@t\":\"q\"}}'", "'not json'", "''", "NULL", "s", "'{\"a\":\"7\"}'", "'{\"a\":[]}'"]
PATH = ["'$'", "'$.a'", "'$.b[0]'", "'$.b[*]'", "'$.b[2].c'", "'lax $.a'", "'strict $.x'", "'$.x'", "'$.a.*'", "'$..c'", "'$.a[''b c'']'", "'$.a.\"b c\"'", "'$.a.@t'", "'$['", "'$.a[*].c'"]
RX = ["'a'", "'[a-z]+'", "'(\\d+)'", "'^(\\w+) (\\w+)$'", "'('", "''", "'(?<=a)b'", "'(a)\\1'", "'\\s'", "'[^,]*'", "NULL", "s", "'(?i)A'", "'.'"]
UNITS = ["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "DOY", "DOW", "ISODOW", "ISOYEAR", "EPOCH", "DECADE", "CENTURY", "MILLENNIUM", "MICROSECOND"]
FORMATS = ["'yyyy-MM-dd'", "'yyyy-MM-dd HH:mm:ss'", "'yyyy/MM/dd'", "'dd.MM.yy'", "'HH:mm'", "'yyyy-MM-dd HH:mm:ss.SSS'", "'EEE, d MMM yyyy'", "'hh:mm a'", "''", "'bad'", "NULL", "'D'", "'w'", "'u'"]
ZONES = ["'UTC'", "'America/Los_Angeles'", "'+02:00'", "'Asia/Shanghai'", "'nowhere'", "''", "NULL"]
LK = ["'a%'", "'%b%'", "'_bc'", "''", "'%'", "'C:\\dir\\%'", "s", "'abc%'", "'%W%'", "NULL", "'a\\%b%'", "'12'"]

FUNCTIONS = {
    "UPPER": [ST], "LOWER": [ST], "INITCAP": [ST], "REVERSE": [ST], "CHAR_LENGTH": [ST], "CHARACTER_LENGTH": [ST], "ASCII": [ST], "CHR": [NT + ["65", "228", "8364", "321"]],
    "LEFT": [ST, NT], "RIGHT": [ST, NT], "LPAD": [ST, NT, ST], "RPAD": [ST, NT, ST], "REPEAT": [ST, NT], "REPLACE": [ST, ST, ST], "TRANSLATE": [ST, ST, ST], "SUBSTRING": [ST, NT, NT], "SUBSTR": [ST, NT],
    "TRIM": [ST], "BTRIM": [ST, ST], "LTRIM": [ST, ST], "RTRIM": [ST], "LOCATE": [ST, ST], "INSTR": [ST, ST], "STARTSWITH": [ST + BY, ST + BY], "ENDSWITH": [ST, ST], "SPLIT_INDEX": [ST, ["','", "'a'", "''", "44"], NT],
    "SPLIT": [ST, ["','", "''", "'b'", "NULL"]], "CONCAT": [ST, ST, ST], "CONCAT_WS": [["','", "''", "NULL", "s"], ST, ST], "STR_TO_MAP": [["'a=1,b=2'", "'a:1;b:2'", "''", "s", "NULL", "'a=1,a=2'"]],
    "ELT": [NT, ST + BY, ST], "IS_ALPHA": [ST], "IS_DIGIT": [ST], "IS_DECIMAL": [ST], "MD5": [ST], "SHA1": [ST], "SHA224": [ST], "SHA256": [ST], "SHA384": [ST], "SHA512": [ST], "SHA2": [ST, ["224", "256", "384", "512", "0", "1", "NULL", "i4"]],
    "TO_BASE64": [ST], "FROM_BASE64": [["'YWJj'", "'!'", "''", "s", "NULL"]], "HEX": [ST + NT], "UNHEX": [["'616263'", "'6'", "'xyz'", "''", "NULL", "s"]], "ENCODE": [ST, ["'UTF-8'", "'UTF-16'", "'US-ASCII'", "'nope'", "NULL"]], "DECODE": [BY, ["'UTF-8'", "'UTF-16'", "'ISO-8859-1'", "'nope'"]],
    "URL_ENCODE": [ST], "URL_DECODE": [ST + ["'a%20b'", "'%zz'", "'a+b'"]], "PARSE_URL": [["'https://u:p@h.org:80/p/q?x=1&y=2#f'", "'not a url'", "s", "NULL", "'http://h'"], ["'HOST'", "'QUERY'", "'PATH'", "'REF'", "'PROTOCOL'", "'AUTHORITY'", "'FILE'", "'USERINFO'", "'x'"]],
    "REGEXP": [ST, RX], "REGEXP_REPLACE": [ST, RX, ["'X'", "'$1'", "''", "NULL"]], "REGEXP_EXTRACT": [ST, RX, ["0", "1", "2", "-1", "NULL"]], "REGEXP_EXTRACT_ALL": [ST, RX], "REGEXP_COUNT": [ST, RX], "REGEXP_INSTR": [ST, RX], "REGEXP_SUBSTR": [ST, RX],
    "PRINTF": [["'%d'", "'%s-%s'", "'%05.2f'", "'%x'", "'%g'", "'%h'", "'%(d'", "'%'", "'%q'", "'%e'", "'%,d'", "NULL", "'%b'", "'%10s|'", "'%-5s|'", "'%c'", "'%o'"], ["i4", "s", "f8", "1", "'a'", "d5", "NULL", "1.5", "b"], ["1", "'z'"]],
    "JSON_EXISTS": [JS, PATH], "JSON_VALUE": [JS, PATH], "JSON_QUERY": [JS, PATH], "JSON_STRING": [ALL + ["'a\"b'", "1.50", "NULL"]], "JSON_QUOTE": [ST], "JSON_UNQUOTE": [JS], "JSON": [JS], "PARSE_JSON": [JS], "TRY_PARSE_JSON": [JS],
    "ABS": [DB], "SIGN": [DB], "SQRT": [DB], "LN": [DB], "LOG": [DB, DB], "LOG2": [DB], "LOG10": [DB], "EXP": [DB], "SIN": [DB], "COS": [DB], "TAN": [DB], "COT": [DB], "ASIN": [DB], "ACOS": [DB], "ATAN": [DB], "SINH": [DB], "COSH": [DB], "TANH": [DB], "DEGREES": [DB], "RADIANS": [DB], "ATAN2": [DB, DB], "POWER": [DB, DB],
    "ROUND": [DB, NT], "TRUNCATE": [DB, NT], "FLOOR": [DB + ["INTERVAL '1' DAY"]], "CEIL": [DB], "CEILING": [DB], "BIN": [NT], "MOD": [DB, DB], "PI": [], "E": [], "CONV": [ST + NT, ["2", "10", "16"], ["2", "10", "16", "-16"]],
    "GREATEST": [DB, DB, DB], "LEAST": [DB, DB],
    "YEAR": [MO], "QUARTER": [MO], "MONTH": [MO], "WEEK": [MO], "DAYOFYEAR": [MO], "DAYOFMONTH": [MO], "DAYOFWEEK": [MO], "HOUR": [MO], "MINUTE": [MO], "SECOND": [MO],
    "DATE_FORMAT": [MO, FORMATS], "TO_DATE": [["'2020-02-29'", "'2020-02-30'", "'2020-2-9'", "''", "'abc'", "s", "t", "NULL", "'20200229'", "'2020-02-29 12:00:00'"], FORMATS],
    "TO_TIMESTAMP": [["'2020-02-29 12:34:56'", "'2020-02-29'", "'2020-02-29 12:34:56.123456'", "''", "'abc'", "s", "t", "NULL", "'2020-02-29T12:34:56'"], FORMATS],
    "TO_TIMESTAMP_LTZ": [["0", "1234567890123", "-1", "i8", "i4", "f8", "'2020-02-29 12:34:56'", "NULL", "'abc'"], ["0", "3", "9", "NULL"]],
    "UNIX_TIMESTAMP": [["'2010-10-14 12:22:22.000'", "'2010-10-14 12:22:22'", "'abc'", "''", "s", "t", "NULL", "'2010-10-14'", "'2010-10-14 12:22:22 and more'"]], "FROM_UNIXTIME": [["0", "1234567890", "-1", "i4", "i8", "NULL"], FORMATS],
    "CONVERT_TZ": [["'2020-02-29 12:34:56'", "'abc'", "s", "NULL", "'2020-02-29'"], ZONES, ZONES], "DATEDIFF": [MO, MO], "DATE_ADD": [MO, NT], "DATE_SUB": [MO, NT],
    "CARDINALITY": [AI + MP], "ELEMENT": [AI], "ARRAY_CONTAINS": [AI, ["1", "5", "'a'", "NULL", "i4"]], "ARRAY_POSITION": [AI, ["1", "5", "'a'", "NULL"]], "ARRAY_APPEND": [AI, ["1", "'a'", "NULL", "i8", "1.5"]], "ARRAY_PREPEND": [AI, ["1", "'a'", "NULL"]], "ARRAY_REMOVE": [AI, ["1", "5", "'a'", "NULL"]],
    "ARRAY_DISTINCT": [AI], "ARRAY_REVERSE": [AI], "ARRAY_SLICE": [AI, NT, NT], "ARRAY_SORT": [AI, ["TRUE", "FALSE"]], "ARRAY_UNION": [AI, AI], "ARRAY_CONCAT": [AI, AI], "ARRAY_EXCEPT": [AI, AI], "ARRAY_INTERSECT": [AI, AI], "ARRAY_MAX": [AI], "ARRAY_MIN": [AI], "ARRAY_JOIN": [AI, ["','", "''", "NULL"], ["'-'"]],
    "MAP_KEYS": [MP], "MAP_VALUES": [MP], "MAP_ENTRIES": [MP], "MAP_FROM_ARRAYS": [AI, AI], "MAP_UNION": [MP, MP],
    "INET_ATON": [["'127.0.0.1'", "'1.2.3'", "'abc'", "''", "NULL", "s", "'255.255.255.255'", "'256.1.1.1'"]], "INET_NTOA": [["2130706433", "0", "-1", "4294967295", "4294967296", "NULL", "i8"]],
    "JSON_LENGTH": [JS], "CURRENT_DATABASE": [], "BITMAP_BUILD": [AI], "BITMAP_CARDINALITY": [["BITMAP_BUILD(ARRAY[1, 2, 2])"]], "BITMAP_TO_STRING": [["BITMAP_BUILD(ARRAY[1, 5])"]],
}
SIZES = {0: 1, 1: 99, 2: 30, 3: 36}
for name, pools in FUNCTIONS.items():
    combinations = list(itertools.product(*pools))
    least = 1 if name in ("LOG", "BTRIM", "LTRIM", "ROUND", "TRUNCATE", "SUBSTRING", "TO_DATE", "TO_TIMESTAMP", "TO_TIMESTAMP_LTZ", "FROM_UNIXTIME", "ARRAY_SORT", "REGEXP_EXTRACT", "DATE_FORMAT", "ARRAY_SLICE", "CONCAT") else len(pools)
    for args in random.sample(combinations, min(SIZES[len(pools)], len(combinations))):
        if least < len(pools) and random.random() < 0.25:
            args = args[:max(least, len(pools) - 1)]
        add("function", f"{name}({', '.join(args)})")
for e in MO + ["INTERVAL '1 02:03:04' DAY TO SECOND"]:
    for u in UNITS:
        if random.random() < 0.6:
            add("function", f"EXTRACT({u} FROM {e})")
        if u in ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND") and random.random() < 0.4:
            add("function", f"{random.choice(['FLOOR', 'CEIL'])}({e} TO {u})")
        if u in ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"):
            if random.random() < 0.4:
                add("function", f"TIMESTAMPADD({u}, {random.choice(NT)}, {e})")
            if random.random() < 0.4:
                add("function", f"TIMESTAMPDIFF({u}, {e}, {random.choice(MO)})")
for x in ST:
    for p in LK:
        if random.random() < 0.5:
            add("function", f"{x} {random.choice(['LIKE', 'NOT LIKE', 'SIMILAR TO'])} {p}")
    add("function", f"{x} || {random.choice(ST)}")
    add("function", f"POSITION({random.choice(ST)} IN {x})")
    add("function", f"OVERLAY({x} PLACING {random.choice(ST)} FROM {random.choice(NT)} FOR {random.choice(NT)})")
    add("function", f"TRIM({random.choice(['BOTH', 'LEADING', 'TRAILING'])} {random.choice(ST)} FROM {x})")
    add("function", f"SUBSTRING({x} FROM {random.choice(NT)} FOR {random.choice(NT)})")
for j, p in itertools.product(JS, PATH):
    if random.random() < 0.3:
        add("function", f"JSON_VALUE({j}, {p} {random.choice(['RETURNING INT', 'RETURNING BOOLEAN', 'RETURNING DOUBLE', 'RETURNING STRING', 'DEFAULT 5 ON EMPTY', 'ERROR ON ERROR', 'NULL ON EMPTY ERROR ON ERROR', '''RETURNING INT DEFAULT -1 ON EMPTY DEFAULT -2 ON ERROR'''])})")
    if random.random() < 0.3:
        add("function", f"JSON_QUERY({j}, {p} {random.choice(['WITH WRAPPER', 'WITH CONDITIONAL WRAPPER', 'EMPTY ARRAY ON EMPTY', 'EMPTY OBJECT ON ERROR', 'ERROR ON EMPTY', 'RETURNING ARRAY<STRING>', 'WITHOUT WRAPPER NULL ON EMPTY'])})")
    if random.random() < 0.15:
        add("function", f"JSON_EXISTS({j}, {p} {random.choice(['TRUE ON ERROR', 'FALSE ON ERROR', 'UNKNOWN ON ERROR', 'ERROR ON ERROR'])})")
for e in JS:
    for k in ["JSON", "JSON VALUE", "JSON OBJECT", "JSON ARRAY", "JSON SCALAR"]:
        add("function", f"{e} IS {random.choice(['', 'NOT '])}{k}")
for e in ["JSON_OBJECT()", "JSON_OBJECT('b' VALUE 1, 'a' VALUE 's')", "JSON_OBJECT('a' VALUE 1, 'a' VALUE 2)", "JSON_OBJECT('a': 1)", "JSON_OBJECT(KEY 'k' VALUE NULL)", "JSON_OBJECT('k' VALUE NULL ABSENT ON NULL)", "JSON_OBJECT('k' VALUE JSON_ARRAY(1, 2))", "JSON_OBJECT('d' VALUE d5, 'f' VALUE f8, 't' VALUE ts, 'x' VALUE dt)",
          "JSON_OBJECT('m' VALUE m, 'r' VALUE r, 'a' VALUE ai)", "JSON_OBJECT('y' VALUE y)", "JSON_OBJECT('j' VALUE JSON('{\"x\":1}'))", "JSON_ARRAY()", "JSON_ARRAY(1, 'a', NULL, TRUE)", "JSON_ARRAY(1, NULL NULL ON NULL)", "JSON_ARRAY(i8, f4, d20, s)", "JSON_STRING(m)", "JSON_STRING(MAP['z', 1, 'a', 2])", "JSON_STRING(r)", "JSON_QUERY('{\"b\":1,\"a\":{\"d\":1,\"c\":2}}', '$')",
          "JSON_QUERY('{\"b\":1,\"a\":{\"d\":1,\"c\":2}}', '$.a')", "TRIM(BOTH FROM t)", "TRIM(FROM t)", "POSITION('b' IN 'abcb' FROM 3)", "N'abc'", "U&'\\00e4'", "OBJECT_OF('a.B', 'x', 1)", "ai[1]", "ai[0]", "ai[4]", "ai[i1]", "m['a']", "m['none']", "m[s]", "r.a", "r.z", "sa[2]", "MAP[1, 'a'][1]", "ARRAY[1, 2][2]", "CURRENT_DATABASE()",
          "b AND NULL", "b OR NULL", "NOT b", "b IS TRUE", "b IS NOT TRUE", "b IS UNKNOWN", "b AND i4 > 0", "NULL = NULL", "NULL IS NULL", "s IS NULL", "s IS NOT NULL", "b IS NOT FALSE", "(1, 2) = (1, 2)", "(DATE '2020-01-01', DATE '2020-02-01') OVERLAPS (DATE '2020-01-15', INTERVAL '1' DAY)",
          "s LIKE '1_' ESCAPE '!'", "'a!%b' LIKE 'a!!!%b' ESCAPE '!'", "'50%' LIKE '50!%' ESCAPE '!'", "'ab' SIMILAR TO '(a|b)*'", "'C:\\dir\\x' LIKE 'C:\\dir\\%'", "DATE '2020-02-30'", "TIMESTAMP '2020-02-29 12:34:56.123456789'", "TIME '12:34'", "TIME '12:34:56.5'", "INTERVAL '1' YEAR", "'a' 'b'", "'it''s'", "_UTF16'x'"]:
    add("function", e)

# ------------------------------------------------------------------------------------------------- types of queries, INSERT
for a, b in itertools.product(ALL, ALL):
    add("union", f"SELECT {a} AS x FROM g UNION ALL SELECT {b} FROM g")
for c in SCALARS:
    for l in random.sample(LITERALS, 6):
        add("union", f"SELECT {c} AS x FROM g UNION ALL SELECT {l} FROM g")
    add("union", f"SELECT {c} AS x FROM g INTERSECT SELECT {random.choice(SCALARS)} FROM g")
for c in ALL:
    for t in TYPES:
        add("insert", f"INSERT INTO sink_{TYPES.index(t)} SELECT {c} FROM g")
for t in SCALARS:
    for f in ["SUM", "AVG", "MIN", "MAX", "COUNT", "STDDEV_POP", "STDDEV_SAMP", "VAR_POP", "VAR_SAMP", "FIRST_VALUE", "LAST_VALUE", "COLLECT", "ARRAY_AGG", "SUM(DISTINCT", "COUNT(DISTINCT", "LISTAGG", "AVG(DISTINCT"]:
        call = f"{f} {t})" if "(" in f else f"{f}({t})"
        add("aggregate", f"SELECT {call} AS x FROM g")

with open(f"{FOLDER}/columns.tsv", "w") as out:
    for name, sql_type, values in COLUMNS:
        out.write("\t".join([name, sql_type] + [v[0] for v in values]) + "\n")
with open(f"{FOLDER}/rows.jsonl", "w") as out:
    for row in range(4):
        out.write(json.dumps({"id": row} | {c[0]: c[2][row][1] for c in COLUMNS}, ensure_ascii=False) + "\n")
with open(f"{FOLDER}/sinks.tsv", "w") as out:
    out.write("".join(f"sink_{i}\t{t}\n" for i, t in enumerate(TYPES)))
with open(f"{FOLDER}/expressions.tsv", "w") as out:
    for expression, kind in found.items():
        out.write(f"{kind}\t{expression}\n")
counts = {}
for kind in found.values():
    counts[kind] = counts.get(kind, 0) + 1
print(counts, sum(counts.values()))
