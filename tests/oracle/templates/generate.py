#!/usr/bin/env python3
"""Writes expressions by templates: each function with columns that may be NULL, that may not, and literals.

    ./templates.py FOLDER SEED [EXPRESSIONS]

FOLDER gets `columns.tsv`, `rows.jsonl`, `sinks.tsv` and `expressions.tsv`, as `../grid/generate.py` writes them, and `zone`. `../grid/Grid.java`
asks real Flink; its answers are `answers-*.tsv`. The stored ones are those of seed 4711 with 2,600 expressions.
"""
import json, random, re, sys

FOLDER, SEED = sys.argv[1], int(sys.argv[2])
COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else 2600
R = random.Random(SEED)
NULL = ("NULL", None)


def t(s):
    return ("'" + s.replace("'", "''") + "'", s)


def n(x):
    return (str(x), x)


# name, type, four values as SQL and as JSON
COLUMNS = [
    ("bn", "BOOLEAN", [n(True), NULL, n(False), n(True)]),
    ("bq", "BOOLEAN NOT NULL", [n(False), n(True), n(True), n(False)]),
    ("i1", "TINYINT NOT NULL", [n(3), n(-7), n(0), n(100)]),
    ("i2", "SMALLINT", [n(12), n(-300), NULL, n(1)]),
    ("i4", "INT", [n(4), n(-5), NULL, n(2024)]),
    ("iq", "INT NOT NULL", [n(2), n(-1), n(0), n(17)]),
    ("i8", "BIGINT", [n(1700000000), n(-42), NULL, n(0)]),
    ("iz", "BIGINT NOT NULL", [n(9), n(-3), n(1234567890123), n(1)]),
    ("f4", "FLOAT", [n(1.5), n(-0.25), NULL, n(3.0)]),
    ("f8", "DOUBLE", [n(2.718281828), n(-0.001), NULL, n(1e10)]),
    ("fq", "DOUBLE NOT NULL", [n(0.5), n(-2.5), n(100.0), n(0.0)]),
    ("d9", "DECIMAL(9, 3)", [("12.345", "12.345"), ("-0.500", "-0.500"), NULL, ("1000.001", "1000.001")]),
    ("dq", "DECIMAL(12, 0) NOT NULL", [("7", "7"), ("-40", "-40"), ("123456789012", "123456789012"), ("1", "1")]),
    ("d38", "DECIMAL(38, 10)", [("1.25", "1.25"), ("-123456789.0123456789", "-123456789.0123456789"), NULL, ("0.0000000001", "0.0000000001")]),
    ("st", "STRING", [t("Hello World"), t("a,b;c"), NULL, t("2021-07-04 05:06:07")]),
    ("sq", "STRING NOT NULL", [t("abc"), t(""), t("Zürich 8"), t("42")]),
    ("v8", "VARCHAR(8)", [t("12.5"), t("xyz"), NULL, t("  pad ")]),
    ("vq", "VARCHAR(6) NOT NULL", [t("abcabc"), t("q"), t("true"), t("-3")]),
    ("c4", "CHAR(4)", [t("abcd"), t("12  "), NULL, t("ZZ  ")]),
    ("cq", "CHAR(2) NOT NULL", [t("no"), t("ab"), t("7 "), t("no")]),
    ("yb", "BYTES", [("X'616263'", "YWJj"), ("X''", ""), NULL, ("X'ff00'", "/wA=")]),
    ("yv", "VARBINARY(5) NOT NULL", [("X'6869'", "aGk="), ("X'00'", "AA=="), ("X'4142434445'", "QUJDREU="), ("X'31'", "MQ==")]),
    ("dt", "DATE", [("DATE '2021-07-04'", "2021-07-04"), ("DATE '1999-12-31'", "1999-12-31"), NULL, ("DATE '2024-02-29'", "2024-02-29")]),
    ("dz", "DATE NOT NULL", [("DATE '2020-01-01'", "2020-01-01"), ("DATE '1970-01-01'", "1970-01-01"), ("DATE '2022-12-25'", "2022-12-25"), ("DATE '2021-03-31'", "2021-03-31")]),
    ("tm", "TIME(0)", [("TIME '05:06:07'", "05:06:07"), ("TIME '23:59:59'", "23:59:59"), NULL, ("TIME '00:00:00'", "00:00:00")]),
    ("ts", "TIMESTAMP(3)", [("TIMESTAMP '2021-07-04 05:06:07.089'", "2021-07-04 05:06:07.089"), ("TIMESTAMP '1999-12-31 23:59:59.999'", "1999-12-31 23:59:59.999"), NULL, ("TIMESTAMP '2024-02-29 12:00:00'", "2024-02-29 12:00:00.000")]),
    ("t1", "TIMESTAMP(1)", [("TIMESTAMP '2021-07-04 05:06:07.5'", "2021-07-04 05:06:07.5"), ("TIMESTAMP '2000-01-01 00:00:00'", "2000-01-01 00:00:00"), NULL, ("TIMESTAMP '2022-12-25 10:30:00.1'", "2022-12-25 10:30:00.1")]),
    ("t6", "TIMESTAMP(6) NOT NULL", [("TIMESTAMP '2021-07-04 05:06:07.123456'", "2021-07-04 05:06:07.123456"), ("TIMESTAMP '1970-01-01 00:00:00'", "1970-01-01 00:00:00"), ("TIMESTAMP '2020-02-29 23:00:00.5'", "2020-02-29 23:00:00.5"), ("TIMESTAMP '2022-12-25 00:00:00.000001'", "2022-12-25 00:00:00.000001")]),
    ("tz", "TIMESTAMP_LTZ(3)", [("'2021-07-04 05:06:07.089'", "2021-07-04 03:06:07.089Z"), ("'2021-01-31 23:30:00'", "2021-01-31 22:30:00Z"), NULL, ("'1970-01-01 01:00:00'", "1970-01-01 00:00:00Z")]),
    ("zq", "TIMESTAMP_LTZ(3) NOT NULL", [("'2020-01-01 00:00:00'", "2019-12-31 23:00:00Z"), ("'2022-08-15 18:00:00.25'", "2022-08-15 16:00:00.25Z"), ("'2001-09-09 03:46:40'", "2001-09-09 01:46:40Z"), ("'2024-02-29 12:00:00'", "2024-02-29 11:00:00Z")]),
    ("ai", "ARRAY<INT>", [("ARRAY[1, 2, 3]", [1, 2, 3]), ("ARRAY[5, CAST(NULL AS INT), 5]", [5, None, 5]), NULL, ("ARRAY[0]", [0])]),
    ("aq", "ARRAY<STRING> NOT NULL", [("ARRAY['x', 'y']", ["x", "y"]), ("ARRAY['a', 'a', '']", ["a", "a", ""]), ("ARRAY['q', CAST(NULL AS STRING)]", ["q", None]), ("ARRAY['abc']", ["abc"])]),
    ("ad", "ARRAY<DOUBLE>", [("ARRAY[1.5e0, 2e0]", [1.5, 2.0]), ("ARRAY[0e0]", [0.0]), NULL, ("ARRAY[CAST(NULL AS DOUBLE), 3e0]", [None, 3.0])]),
    ("mi", "MAP<STRING, INT>", [("MAP['k', 1]", {"k": 1}), ("MAP['z', CAST(NULL AS INT)]", {"z": None}), NULL, ("MAP['', 0]", {"": 0})]),
    ("mq", "MAP<INT, STRING> NOT NULL", [("MAP[1, 'one']", {"1": "one"}), ("MAP[2, 'two']", {"2": "two"}), ("MAP[0, '']", {"0": ""}), ("MAP[3, 'three']", {"3": "three"})]),
    ("ro", "ROW<a INT, b STRING>", [("ROW(1, 'one')", {"a": 1, "b": "one"}), ("ROW(CAST(NULL AS INT), '')", {"a": None, "b": ""}), NULL, ("ROW(0, 'zero')", {"a": 0, "b": "zero"})]),
    ("rq", "ROW<x INT, y VARCHAR(3)> NOT NULL", [("ROW(1, 'abc')", {"x": 1, "y": "abc"}), ("ROW(2, '')", {"x": 2, "y": ""}), ("ROW(3, 'zz')", {"x": 3, "y": "zz"}), ("ROW(4, CAST(NULL AS STRING))", {"x": 4, "y": None})]),
]

LEAVES = {
    "bool": ["bn", "bq", "TRUE", "FALSE", "CAST(NULL AS BOOLEAN)"],
    "int": ["i1", "i2", "i4", "iq", "i4", "iq", "2", "0", "-3", "11", "CAST(5 AS SMALLINT)", "CAST(NULL AS INT)"],
    "big": ["i8", "iz", "iz", "86400", "3000000000", "CAST(iq AS BIGINT)"],
    "small": ["iq", "i4", "1", "2", "3", "0", "-1", "4"],
    "dec": ["d9", "dq", "d38", "1.25", "-0.5", "100.00", "CAST(3.14159 AS DECIMAL(6, 4))", "12345678901234567890.5"],
    "dbl": ["f8", "fq", "f4", "1e0", "-2.5e-1", "CAST(0.5 AS DOUBLE)"],
    "str": ["st", "sq", "v8", "vq", "c4", "cq", "'abc'", "''", "'Hello World'", "'b'", "CAST('long text here' AS VARCHAR(9))", "CAST(NULL AS STRING)"],
    "byte": ["yb", "yv", "X'616263'", "CAST(sq AS BYTES)", "ENCODE(vq, 'UTF-8')"],
    "date": ["dt", "dz", "DATE '2021-12-31'", "CAST('2020-02-29' AS DATE)"],
    "time": ["tm", "TIME '12:34:56'"],
    "ts": ["ts", "t1", "t6", "ts", "t6", "TIMESTAMP '2021-01-03 12:00:00.5'", "TIMESTAMP '2022-12-25 23:59:59'", "CAST(dz AS TIMESTAMP(2))"],
    "tz": ["tz", "zq", "CAST(t6 AS TIMESTAMP_LTZ(3))", "TO_TIMESTAMP_LTZ(iz, 3)"],
    "dti": ["INTERVAL '1' DAY", "INTERVAL '90' MINUTE", "INTERVAL '1 02:03' DAY TO MINUTE", "INTERVAL '10.5' SECOND", "(iq * INTERVAL '1' HOUR)"],
    "ymi": ["INTERVAL '3' MONTH", "INTERVAL '1-6' YEAR TO MONTH", "INTERVAL '1' YEAR", "(iq * INTERVAL '1' MONTH)"],
    "arri": ["ai", "ARRAY[1, 2]", "ARRAY[iq, 3]", "ARRAY[i4, iq]", "ARRAY[CAST(NULL AS INT), 7]"],
    "arrs": ["aq", "ARRAY['a', 'b']", "ARRAY[vq, cq]", "ARRAY[st, 'x']", "SPLIT(sq, 'b')"],
    "map": ["mi", "MAP['k', iq]", "MAP['a', 1, 'b', 2]", "MAP[sq, i4]"],
    "row": ["ro", "ROW(1, 'x')", "(iq, sq)"],
    "json": ["'{\"a\":1,\"b\":[1,2.50,\"x\"],\"c\":{\"d\":null}}'", "'[1,2]'", "'{\"a\":true}'", "'no json'", "JSON_OBJECT('a' VALUE iq, 'b' VALUE st)", "JSON_ARRAY(iq, st)", "JSON_OBJECT('a' VALUE f8)"],
    "lit": ["'a'", "'%b%'", "'xyz'", "','", "'b'"],
    "re": ["'[a-c]+'", "'(\\d+)'", "'l+'", "'^.'", "'(a)(b)?'"],
    "dfmt": ["'yyyy-MM-dd'", "'yyyy/MM/dd HH:mm'", "'HH:mm:ss.SSS'", "'yyyy-MM-dd HH:mm:ss'"],
}
UNITS = ["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"]
TEMPLATES = []


def add(kind, *templates):
    TEMPLATES.extend((kind, x) for x in templates)


add("bool", "{int} = {int}", "{dec} < {int}", "{dbl} >= {dec}", "{str} = {str}", "{str} <> {lit}", "{date} > {date}", "{ts} <= {ts}", "{tz} = {tz}", "{bool} AND {bool}", "{bool} OR {bool}", "NOT {bool}", "{bool} IS TRUE", "{bool} IS NOT FALSE",
    "{any} IS NULL", "{any} IS NOT NULL", "{int} IS DISTINCT FROM {int}", "{str} IS NOT DISTINCT FROM {str}", "{int} BETWEEN {int} AND {dec}", "{int} IN (1, 2, {int})", "{str} IN ('abc', {str})", "{str} NOT IN ('a', 'b')", "{str} LIKE {lit}", "{str} SIMILAR TO {lit}", "{str} LIKE 'a!%' ESCAPE '!'",
    "REGEXP({str}, {re})", "STARTSWITH({str}, {lit})", "ENDSWITH({str}, {str})", "IS_DIGIT({str})", "IS_ALPHA({str})", "IS_DECIMAL({str})", "ARRAY_CONTAINS({arri}, {small})", "{json} IS JSON", "{json} IS JSON OBJECT", "JSON_EXISTS({json}, '$.a')", "{arri} = {arri}", "{arrs} <> {arrs}", "{map} = {map}", "ROW({int}, {str}) = ROW({int}, {str})",
    "CAST({str} AS BOOLEAN)", "CAST({int} AS BOOLEAN)", "{byte} = {byte}", "BETWEEN_({int})", "TRY_CAST({str} AS BOOLEAN)")
TEMPLATES[:] = [x for x in TEMPLATES if "BETWEEN_" not in x[1]]
add("int", "{int} + {int}", "{int} - {int}", "{int} * {small}", "{int} / 3", "{int} % 7", "MOD({int}, 5)", "-{int}", "ABS({int})", "SIGN({int})", "CHAR_LENGTH({str})", "OCTET_LENGTH({str})", "ASCII({str})", "LOCATE({lit}, {str})", "LOCATE({lit}, {str}, {small})", "POSITION({lit} IN {str})", "INSTR({str}, {lit})", "INSTR({str}, {lit}, 1, {small})",
    "CARDINALITY({arri})", "CARDINALITY({map})", "ARRAY_POSITION({arri}, {small})", "YEAR({date})", "MONTH({ts})", "QUARTER({date})", "DAYOFMONTH({ts})", "DAYOFWEEK({date})", "DAYOFYEAR({date})", "HOUR({ts})", "MINUTE({ts})", "WEEK({date})", "EXTRACT(DAY FROM {ts})", "EXTRACT(YEAR FROM {date})", "EXTRACT(HOUR FROM {tz})",
    "TIMESTAMPDIFF(DAY, {ts}, {ts})", "TIMESTAMPDIFF(HOUR, {ts}, {ts})", "TIMESTAMPDIFF(MONTH, {date}, {date})", "REGEXP_COUNT({str}, {re})", "REGEXP_INSTR({str}, {re})", "CAST({dec} AS INT)", "CAST({dbl} AS INT)", "CAST({bool} AS INT)", "TRY_CAST({str} AS INT)", "JSON_LENGTH({json})", "ELT_({int})", "BITAND_({int})", "COALESCE({int}, {int})", "COALESCE({int}, 0)", "IFNULL({int}, {int})", "NULLIF({int}, {int})", "IF({bool}, {int}, {int})", "CASE WHEN {bool} THEN {int} ELSE {int} END", "CASE WHEN {bool} THEN {int} END", "CASE {int} WHEN 1 THEN {int} ELSE 5 END", "GREATEST({int}, {int})", "LEAST({int}, {int}, 3)",
    "{arri}[1]", "{arri}[{small}]", "{map}['k']", "ro.a", "rq.x", "ARRAY_MAX({arri})", "ARRAY_MIN({arri})", "ELEMENT(ARRAY[{int}])", "JSON_VALUE({json}, '$.a' RETURNING INTEGER)")
TEMPLATES[:] = [x for x in TEMPLATES if not any(w in x[1] for w in ("ELT_", "BITAND_", "JSON_LENGTH"))]
add("big", "{big} + {int}", "{big} - {big}", "{big} / 7", "{big} % 10", "CAST({int} AS BIGINT)", "CAST({ts} AS STRING)", "UNIX_TIMESTAMP({str})", "UNIX_TIMESTAMP({str}, {dfmt})", "UNIX_TIMESTAMP('2021-07-04 05:06:07')", "COALESCE({big}, {int})", "CEIL({int})", "FLOOR({big})", "EXTRACT(EPOCH FROM {ts})", "CAST({dec} AS BIGINT)", "ABS({big})", "NULLIF({big}, 0)", "HASH_CODE_({str})")
TEMPLATES[:] = [x for x in TEMPLATES if "HASH_CODE_" not in x[1]]
add("dec", "{dec} + {dec}", "{dec} - {int}", "{dec} * {dec}", "{dec} / {int}", "{dec} / 3.0", "{dec} % 3", "{dec} % {dec}", "-{dec}", "ABS({dec})", "SIGN({dec})", "ROUND({dec}, 1)", "ROUND({dec})", "TRUNCATE({dec}, 1)", "CEIL({dec})", "FLOOR({dec})", "CAST({int} AS DECIMAL(10, 2))", "CAST({str} AS DECIMAL(8, 3))", "TRY_CAST({str} AS DECIMAL(5, 1))", "COALESCE({dec}, {int})", "GREATEST({dec}, {int})", "LEAST({dec}, {dec})", "NULLIF({dec}, {int})", "IF({bool}, {dec}, {int})", "CASE WHEN {bool} THEN {dec} ELSE 0 END", "MOD({dec}, {int})", "{int} + {dec}", "{big} * {dec}", "CAST({dbl} AS DECIMAL(20, 5))")
add("dbl", "{dbl} + {int}", "{dbl} * {dec}", "{dbl} / {int}", "{int} - {dbl}", "-{dbl}", "ABS({dbl})", "SIGN({dbl})", "SQRT({dec})", "EXP({int})", "LN({dec})", "LOG10({int})", "LOG2({dbl})", "LOG(2, {int})", "POWER({int}, 2)", "POWER({dbl}, {dbl})", "SIN({dbl})", "COS({int})", "TAN({dec})", "ATAN({dbl})", "ATAN2({dbl}, {int})", "ASIN({dbl})", "ACOS({dbl})", "SINH({dbl})", "COSH({dbl})", "TANH({dbl})", "COT({dbl})", "DEGREES({dbl})", "RADIANS({int})", "ROUND({dbl}, 2)", "TRUNCATE({dbl}, 1)", "CEIL({dbl})", "FLOOR({dbl})", "PI()", "E()", "CAST({dec} AS DOUBLE)", "CAST({int} AS FLOAT)", "CAST({str} AS DOUBLE)", "COALESCE({dbl}, {dec})", "GREATEST({dbl}, {dbl})", "PERCENTILE_({dbl})", "IF({bool}, {dbl}, {int})")
TEMPLATES[:] = [x for x in TEMPLATES if "PERCENTILE_" not in x[1]]
add("str", "{str} || {str}", "{str} || 'x'", "CONCAT({str}, {str})", "CONCAT({str}, 'x', {str})", "CONCAT_WS({lit}, {str}, {str})", "UPPER({str})", "LOWER({str})", "INITCAP({str})", "SUBSTRING({str}, 2)", "SUBSTRING({str} FROM {small} FOR 3)", "SUBSTR({str}, 2, 3)", "LEFT({str}, {small})", "RIGHT({str}, 2)", "TRIM({str})", "TRIM(LEADING 'a' FROM {str})", "TRIM(BOTH {lit} FROM {str})", "LTRIM({str})", "RTRIM({str})", "BTRIM({str}, 'a')", "LPAD({str}, 6, '*')", "RPAD({str}, {small}, 'x')", "REPEAT({str}, 2)", "REPLACE({str}, {lit}, 'Q')", "REVERSE({str})", "OVERLAY({str} PLACING 'QQ' FROM 2)", "OVERLAY({str} PLACING {lit} FROM 1 FOR {small})", "TRANSLATE({str}, 'abc', 'xy')", "SPLIT_INDEX({str}, ',', 0)", "REGEXP_REPLACE({str}, {re}, '#')", "REGEXP_EXTRACT({str}, {re}, 0)", "REGEXP_EXTRACT({str}, {re})", "REGEXP_SUBSTR({str}, {re})", "ELT({small}, {str}, {str})", "ELT(1, 'ab', 'c')", "CHR({int})", "MD5({str})", "SHA1({str})", "SHA256({str})", "SHA2({str}, 256)", "TO_BASE64({str})", "FROM_BASE64(TO_BASE64({str}))", "HEX({str})", "HEX({int})", "BIN({int})", "CONV({int}, 10, 16)", "DECODE({byte}, 'UTF-8')", "URL_ENCODE({str})", "URL_DECODE({str})", "PARSE_URL('http://h.org/p?q=1', {lit})", "STR_TO_MAP({str})['a']", "PRINTF('%s-%d', {str}, {int})", "PRINTF({str}, {int})", "UUID_()", "CAST({int} AS STRING)", "CAST({dec} AS STRING)", "CAST({dbl} AS VARCHAR(6))", "CAST({str} AS CHAR(3))", "CAST({str} AS VARCHAR(4))", "CAST({date} AS STRING)", "CAST({tz} AS STRING)", "CAST({arri} AS STRING)", "CAST({map} AS STRING)", "CAST({ro_} AS STRING)", "CAST({dti} AS STRING)", "CAST({ymi} AS STRING)", "CAST({bool} AS STRING)", "CAST({byte} AS STRING)", "DATE_FORMAT({ts}, {dfmt})", "DATE_FORMAT({tz}, 'HH:mm')", "FROM_UNIXTIME({big})", "FROM_UNIXTIME({int}, {dfmt})", "CONVERT_TZ('2021-07-04 05:06:07', 'UTC', 'Asia/Tokyo')", "COALESCE({str}, {str})", "COALESCE({str}, 'none')", "IFNULL({str}, 'n')", "NULLIF({str}, {lit})", "IF({bool}, {str}, {str})", "IF({bool}, 'yes', 'no')", "CASE WHEN {bool} THEN {str} ELSE 'z' END", "CASE WHEN {bool} THEN 'ab' WHEN {bool} THEN {str} END", "CASE {int} WHEN 1 THEN 'one' WHEN 2 THEN 'two' END", "GREATEST({str}, {str})", "LEAST({str}, 'm')", "{arrs}[1]", "mq[1]", "ro.b", "rq.y", "ARRAY_JOIN({arrs}, '-')", "ARRAY_JOIN({arrs}, ',', 'null')", "JSON_VALUE({json}, '$.a')", "JSON_VALUE({json}, '$.x' DEFAULT 'd' ON EMPTY)", "JSON_QUERY({json}, '$.b')", "JSON_QUERY({json}, '$.b' WITH WRAPPER)", "JSON_STRING({any})", "JSON_OBJECT('k' VALUE {any})", "JSON_OBJECT('k' VALUE {str}, 'l' VALUE {num} ABSENT ON NULL)", "JSON_OBJECT('k': {num}, 'm': {str})", "JSON_ARRAY({any}, {any})", "JSON_ARRAY({num}, {str} ABSENT ON NULL)", "JSON_QUOTE({str})", "JSON_UNQUOTE({str})", "TYPEOF({any})", "TYPEOF({any}, TRUE)")
TEMPLATES[:] = [x for x in TEMPLATES if not any(w in x[1] for w in ("UUID_", "{ro_}"))]
add("byte", "UNHEX({str})", "ENCODE({str}, 'UTF-16')", "CAST({str} AS BYTES)", "CAST({str} AS BINARY(2))", "CAST({byte} AS VARBINARY(2))", "COALESCE({byte}, {byte})", "SUBSTRING_({byte})", "REVERSE_({byte})", "IF({bool}, {byte}, X'00')", "{byte} || {byte}")
TEMPLATES[:] = [x for x in TEMPLATES if not any(w in x[1] for w in ("SUBSTRING_", "REVERSE_"))]
add("date", "CAST({ts} AS DATE)", "CAST({str} AS DATE)", "TRY_CAST({str} AS DATE)", "TO_DATE({str})", "TO_DATE('04/07/2021', 'dd/MM/yyyy')", "{date} + {dti}", "{date} - {ymi}", "TIMESTAMPADD(DAY, {small}, {date})", "TIMESTAMPADD(MONTH, {small}, {date})", "FLOOR({date} TO MONTH)", "CEIL({date} TO YEAR)", "COALESCE({date}, {date})", "GREATEST({date}, {date})", "IF({bool}, {date}, {date})", "NULLIF({date}, {date})", "CAST({tz} AS DATE)")
add("time", "CAST({ts} AS TIME)", "CAST({str} AS TIME)", "COALESCE({time}, {time})", "{time} + INTERVAL '1' HOUR", "TRY_CAST({str} AS TIME)", "GREATEST({time}, {time})")
add("ts", "CAST({date} AS TIMESTAMP(3))", "CAST({str} AS TIMESTAMP(3))", "TRY_CAST({str} AS TIMESTAMP(0))", "CAST({tz} AS TIMESTAMP(3))", "CAST({ts} AS TIMESTAMP(1))", "CAST({ts} AS TIMESTAMP(9))", "TO_TIMESTAMP({str})", "TO_TIMESTAMP('2021-07-04', 'yyyy-MM-dd')", "{ts} + {dti}", "{ts} - {ymi}", "{ts} + {ymi}", "TIMESTAMPADD(HOUR, {small}, {ts})", "TIMESTAMPADD(MONTH, {small}, {ts})", "FLOOR({ts} TO DAY)", "CEIL({ts} TO HOUR)", "FLOOR({ts} TO MONTH)", "COALESCE({ts}, {ts})", "GREATEST({ts}, {ts})", "IF({bool}, {ts}, {ts})", "NULLIF({ts}, {ts})", "CAST({ts} AS STRING)", "{date} + INTERVAL '3' HOUR")
add("tz", "CAST({ts} AS TIMESTAMP_LTZ(3))", "CAST({date} AS TIMESTAMP_LTZ(3))", "TO_TIMESTAMP_LTZ({big}, 0)", "TO_TIMESTAMP_LTZ({int}, 3)", "{tz} + {dti}", "{tz} - {ymi}", "TIMESTAMPADD(DAY, {small}, {tz})", "COALESCE({tz}, {tz})", "FLOOR({tz} TO HOUR)", "IF({bool}, {tz}, {tz})", "GREATEST({tz}, {tz})")
add("dti", "({ts} - {ts}) DAY TO SECOND", "({date} - {date}) DAY", "{dti} + {dti}", "{dti} * 2", "-{dti}", "COALESCE({dti}, {dti})", "{dti} - {dti}")
add("ymi", "({ts} - {ts}) MONTH", "({date} - {date}) YEAR TO MONTH", "{ymi} + {ymi}", "{ymi} * 3", "-{ymi}")
add("arri", "ARRAY[{int}, {int}]", "ARRAY[{int}]", "ARRAY_APPEND({arri}, {small})", "ARRAY_PREPEND({arri}, {small})", "ARRAY_CONCAT({arri}, {arri})", "ARRAY_DISTINCT({arri})", "ARRAY_REMOVE({arri}, {small})", "ARRAY_REVERSE({arri})", "ARRAY_SLICE({arri}, 1, 2)", "ARRAY_SORT({arri})", "ARRAY_UNION({arri}, {arri})", "ARRAY_EXCEPT({arri}, {arri})", "ARRAY_INTERSECT({arri}, {arri})", "COALESCE({arri}, {arri})", "MAP_VALUES({map})", "CAST({arri} AS ARRAY<BIGINT>)")
add("arrs", "ARRAY[{str}, {str}]", "SPLIT({str}, {lit})", "ARRAY_APPEND({arrs}, {str})", "ARRAY_CONCAT({arrs}, {arrs})", "ARRAY_DISTINCT({arrs})", "ARRAY_SORT({arrs}, FALSE)", "MAP_KEYS({map})", "REGEXP_EXTRACT_ALL({str}, {re})", "ARRAY_REMOVE({arrs}, {lit})", "IF({bool}, {arrs}, {arrs})")
add("map", "MAP[{str}, {int}]", "MAP['a', {int}, 'b', {int}]", "MAP_FROM_ARRAYS({arrs}, {arrs})", "STR_TO_MAP({str})", "STR_TO_MAP('a=1,b=2')", "MAP_UNION({map}, {map})", "COALESCE({map}, {map})", "MAP_ENTRIES({map})", "IF({bool}, {map}, {map})")
add("row", "ROW({int}, {str})", "({any}, {num})", "ROW({any})", "CAST(ROW({int}, {str}) AS ROW<q BIGINT, w VARCHAR(4)>)", "COALESCE(ro, ROW(1, 'x'))")
add("now", "TYPEOF(CURRENT_TIMESTAMP)", "TYPEOF(CURRENT_DATE)", "TYPEOF(CURRENT_TIME)", "TYPEOF(LOCALTIME)", "TYPEOF(LOCALTIMESTAMP)", "TYPEOF(NOW())", "TYPEOF(UNIX_TIMESTAMP())", "TYPEOF(UUID())", "TYPEOF(RAND())", "TYPEOF(RAND_INTEGER({int}))", "TYPEOF(CURRENT_ROW_TIMESTAMP())", "TYPEOF(PROCTIME())", "TYPEOF(CURRENT_DATABASE())", "TYPEOF(CURRENT_WATERMARK(ts))")

KINDS = {}
for kind, template in TEMPLATES:
    KINDS.setdefault(kind, []).append(template)


def filled(template, depth):
    def one(m):
        kind = m.group(1)
        if kind == "any":
            kind = R.choice(["int", "dec", "dbl", "str", "str", "bool", "date", "time", "ts", "tz", "arri", "arrs", "map", "row", "byte"])
        if kind == "num":
            kind = R.choice(["int", "big", "dec", "dbl"])
        if depth > 0 and kind in KINDS and R.random() < 0.3:
            inner = filled(R.choice([t for t in KINDS[kind] if "TYPEOF" not in t and "_ENTRIES" not in t]), depth - 1)
            return inner if re.fullmatch(r"[A-Z0-9_]+\(.*\)", inner) and kind not in ("dti",) else f"({inner})"
        return R.choice(LEAVES[kind])
    return re.sub(r"\{(\w+)\}", one, template)


def main():
    made, seen = [], set()
    while len(made) < COUNT:
        for kind, template in TEMPLATES:
            e = filled(template, R.choice([0, 0, 1, 1, 2]))
            if e not in seen:
                seen.add(e)
                made.append(("typeof" if kind == "now" else "template", e))
    with open(f"{FOLDER}/expressions.tsv", "w") as f:
        f.writelines(f"{k}\t{e}\n" for k, e in made[:COUNT])
    with open(f"{FOLDER}/columns.tsv", "w") as f:
        f.writelines("\t".join([name, kind] + [v[0] for v in values]) + "\n" for name, kind, values in COLUMNS)
    with open(f"{FOLDER}/rows.jsonl", "w") as f:
        for row in range(4):
            f.write(json.dumps({"id": row, **{name: values[row][1] for name, _, values in COLUMNS}}, ensure_ascii=False) + "\n")
    open(f"{FOLDER}/sinks.tsv", "w").close()
    open(f"{FOLDER}/zone", "w").write("Europe/Berlin\n")


if __name__ == "__main__":
    main()
