"""Random expressions by kind of type, for `generate.py` beside this file and for the nested ones of the grid.

A scope is a dict: kind -> the columns of that kind, as SQL writes them. Kinds: int, dec, dbl, str, bool, date, ts, tz, time.
"""

KINDS = ["int", "dec", "dbl", "str", "bool", "date", "ts", "tz", "time"]

LITERALS = {
    "int": ["0", "1", "2", "-1", "3", "7", "10", "100", "-5", "2147483647", "3000000000", "CAST(5 AS TINYINT)", "CAST(-30000 AS SMALLINT)", "CAST(NULL AS INT)"],
    "dec": ["0.0", "1.5", "-2.25", "0.001", "100.50", "3.14159", "CAST(12.5 AS DECIMAL(8, 3))", "CAST(NULL AS DECIMAL(6, 2))", "99999.99", "CAST(7 AS DECIMAL(20, 10))"],
    "dbl": ["0e0", "1.5e0", "-2.25e0", "1e-3", "1e10", "CAST(0.5 AS DOUBLE)", "CAST(2.5 AS FLOAT)", "CAST(NULL AS DOUBLE)", "CAST('NaN' AS DOUBLE)", "1e300"],
    "str": ["''", "'a'", "'abc'", "'x,y'", "'12'", "' pad '", "'Grün'", "CAST(NULL AS STRING)", "CAST('abcdef' AS VARCHAR(4))", "'a%'", "'2024-01-01'", "'{\"a\": 5}'"],
    "bool": ["TRUE", "FALSE", "CAST(NULL AS BOOLEAN)"],
    "date": ["DATE '2024-01-01'", "DATE '2023-12-31'", "DATE '2000-02-29'", "CAST(NULL AS DATE)"],
    "ts": ["TIMESTAMP '2024-01-01 00:00:10'", "TIMESTAMP '2024-02-29 12:34:56.789'", "CAST(NULL AS TIMESTAMP(3))", "TIMESTAMP '2000-01-01 00:00:00'"],
    "tz": ["TO_TIMESTAMP_LTZ(1704067210000, 3)", "TO_TIMESTAMP_LTZ(0, 0)", "CAST(TIMESTAMP '2024-01-01 00:00:10' AS TIMESTAMP_LTZ(3))"],
    "time": ["TIME '12:34:56'", "TIME '00:00:00'", "CAST(NULL AS TIME)"],
}
DAY_TIME = ["INTERVAL '1' SECOND", "INTERVAL '90' MINUTE", "INTERVAL '2' DAY", "INTERVAL '1 02:03' DAY TO MINUTE", "INTERVAL '0.5' SECOND", "INTERVAL '36' HOUR", "INTERVAL '1:30' MINUTE TO SECOND"]
MONTHS = ["INTERVAL '1' MONTH", "INTERVAL '2' YEAR", "INTERVAL '1-3' YEAR TO MONTH", "INTERVAL '1' QUARTER"]


class Expressions:
    def __init__(self, random):
        self.r = random

    def pick(self, *weighted):
        """One of (weight, value) or values."""
        pairs = [w if isinstance(w, tuple) else (1, w) for w in weighted]
        at = self.r.random() * sum(w for w, _ in pairs)
        for w, value in pairs:
            at -= w
            if at < 0:
                return value
        return pairs[-1][1]

    def leaf(self, kind, scope):
        columns = scope.get(kind, [])
        if columns and self.r.random() < 0.8:
            return self.r.choice(columns)
        return self.r.choice(LITERALS[kind])

    def number(self, depth, scope):
        return self.of(self.pick((4, "int"), (3, "dec"), (3, "dbl")), depth, scope)

    def any(self, depth, scope, kinds=KINDS):
        return self.of(self.r.choice(kinds), depth, scope)

    def of(self, kind, depth, scope):
        if depth <= 0 or self.r.random() < 0.15:
            return self.leaf(kind, scope)
        # What exists for every kind.
        if self.r.random() < 0.2:
            e = lambda k=kind: self.of(k, depth - 1, scope)
            wide = lambda: self.of(self.pick("int", "dec", "dbl"), depth - 1, scope) if kind in ("dec", "dbl") else e()
            return self.pick(
                f"COALESCE({e()}, {wide()})", f"CASE WHEN {e('bool')} THEN {e()} ELSE {wide()} END", f"CASE WHEN {e('bool')} THEN {e()} END", f"NULLIF({e()}, {e()})",
                f"IF({e('bool')}, {e()}, {e()})", f"CASE {e('int')} WHEN 1 THEN {e()} WHEN {e('int')} THEN {wide()} ELSE {e()} END", f"IFNULL({e()}, {e()})",
                *([f"GREATEST({e()}, {wide()})", f"LEAST({e()}, {e()})"] if kind not in ("bool",) else []))
        return getattr(self, "_" + kind)(depth - 1, scope)

    def _int(self, d, s):
        r = self.r
        e = lambda k="int": self.of(k, d, s)
        unit = r.choice(["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DOY", "DOW", "ISODOW", "DECADE", "CENTURY", "EPOCH"])
        clock = r.choice(["HOUR", "MINUTE", "SECOND", "MILLISECOND"])
        return self.pick(
            (3, f"({e()} {r.choice('+-*')} {e()})"), f"({e()} / {r.choice(['2', '3', '-7', '10'])})", f"({e()} % {r.choice(['2', '3', '7', '-4'])})", f"-({e()})", f"ABS({e()})", f"MOD({e()}, {r.choice(['3', '5'])})",
            f"CHAR_LENGTH({e('str')})", f"POSITION({e('str')} IN {e('str')})", f"LOCATE({e('str')}, {e('str')})", f"INSTR({e('str')}, {e('str')})", f"ASCII({e('str')})", f"SIGN({e()})", f"CARDINALITY(SPLIT({e('str')}, ','))",
            f"EXTRACT({unit} FROM {e(r.choice(['date', 'ts']))})", f"EXTRACT({clock} FROM {e(r.choice(['ts', 'time']))})", f"{r.choice(['YEAR', 'MONTH', 'DAYOFMONTH', 'QUARTER', 'WEEK', 'DAYOFYEAR', 'DAYOFWEEK'])}({e(r.choice(['date', 'ts']))})",
            f"HOUR({e('ts')})", f"TIMESTAMPDIFF({r.choice(['SECOND', 'MINUTE', 'HOUR', 'DAY', 'MONTH', 'YEAR'])}, {e('ts')}, {e('ts')})", f"TRY_CAST({e('str')} AS {r.choice(['INT', 'BIGINT', 'SMALLINT'])})",
            f"CAST({e('bool')} AS INT)", f"TRY_CAST({e('dec')} AS INT)", f"CAST({e()} AS BIGINT)", f"UNIX_TIMESTAMP(CAST({e('ts')} AS STRING))", f"JSON_VALUE({e('str')}, '$.a' RETURNING INT)", f"REGEXP_COUNT({e('str')}, '[a-c]')", f"FLOOR({e()})", f"ROUND({e()}, -1)")

    def _dec(self, d, s):
        r = self.r
        e = lambda k="dec": self.of(k, d, s)
        return self.pick(
            (2, f"({e()} {r.choice('+-')} {e(self.pick('dec', 'int'))})"), f"({e()} * {e(self.pick('dec', 'int'))})", f"({e()} / {r.choice(['2', '0.3', '7.00', '3'])})", f"({e('int')} / {r.choice(['2.0', '0.75', '-1.3'])})", f"({e()} % {r.choice(['2', '0.7'])})", f"-({e()})",
            f"ABS({e()})", f"ROUND({e()}, {r.choice(['0', '1', '2', '-1'])})", f"TRUNCATE({e()}, {r.choice(['0', '1', '-1'])})", f"FLOOR({e()})", f"CEIL({e()})", f"SIGN({e()})", f"TRY_CAST({e('str')} AS DECIMAL(10, 2))", f"TRY_CAST({e('dbl')} AS DECIMAL(12, 3))",
            f"CAST({e('int')} AS DECIMAL(22, 2))", f"ROUND({e()})", f"TRY_CAST({e()} AS DECIMAL(5, 1))")

    def _dbl(self, d, s):
        r = self.r
        e = lambda k="dbl": self.of(k, d, s)
        n = lambda: self.number(d, s)
        return self.pick(
            (3, f"({e()} {r.choice('+-*/')} {n()})"), f"({n()} {r.choice('+-*/')} {e()})", f"-({e()})", f"ABS({e()})", f"SQRT({n()})", f"POWER({n()}, {r.choice(['2', '0.5', '-1'])})", f"FLOOR({e()})", f"CEIL({e()})", f"ROUND({e()}, {r.choice(['0', '1', '2'])})", f"CAST({n()} AS DOUBLE)",
            f"TRY_CAST({e('str')} AS DOUBLE)", f"CAST({e('int')} AS FLOAT)", f"SIGN({e()})", f"LN({n()})", f"EXP({r.choice(['0', '1', '0.5'])})", f"TRUNCATE({e()}, 1)")

    def _str(self, d, s):
        r = self.r
        e = lambda k="str": self.of(k, d, s)
        n = lambda: r.choice(["0", "1", "2", "3", "-1", "10"])
        return self.pick(
            (2, f"({e()} || {e()})"), f"CONCAT({e()}, {e()})", f"CONCAT_WS('-', {e()}, {e()})", f"UPPER({e()})", f"LOWER({e()})", f"TRIM({e()})", f"LTRIM({e()})", f"SUBSTRING({e()} FROM {n()})", f"SUBSTRING({e()}, {n()}, {n()})", f"LEFT({e()}, {n()})", f"RIGHT({e()}, {n()})",
            f"LPAD({e()}, {n()}, 'xy')", f"RPAD({e()}, {n()}, '*')", f"REPLACE({e()}, 'a', {e()})", f"REVERSE({e()})", f"INITCAP({e()})", f"REPEAT({e()}, {r.choice(['0', '2'])})", f"SPLIT_INDEX({e()}, ',', {r.choice(['0', '1'])})", f"REGEXP_REPLACE({e()}, '[0-9]+', '#')",
            f"REGEXP_EXTRACT({e()}, '([a-z]+)', 1)", f"MD5({e()})", f"TO_BASE64({e()})", (2, f"CAST({self.any(d, s)} AS STRING)"), f"CAST({e('int')} AS VARCHAR(3))", f"CAST({e()} AS CHAR(4))", f"DATE_FORMAT({e('ts')}, '{r.choice(['yyyy-MM-dd', 'HH:mm:ss', 'yy/M/d HH'])}')",
            f"JSON_VALUE({e()}, '$.a')", f"JSON_QUERY({e()}, '$')", f"OVERLAY({e()} PLACING {e()} FROM {r.choice(['1', '2'])})", f"CHR({r.choice(['65', '97'])})", f"JSON_OBJECT('k' VALUE {self.any(d, s, ['int', 'str', 'bool', 'dec'])})", f"TRANSLATE({e()}, 'abc', 'xy')",
            f"FROM_UNIXTIME({r.choice(['0', '1704067200'])})", f"HEX({e(self.pick('int', 'str'))})", f"ELT({r.choice(['1', '2', '3'])}, {e()}, {e()})", f"SUBSTR({e()}, 2)")

    def _bool(self, d, s):
        r = self.r
        k = self.pick((3, "int"), (2, "dec"), (2, "dbl"), (3, "str"), "date", "ts", "tz", "time")
        same = lambda: self.of(self.pick("int", "dec", "dbl"), d, s) if k in ("int", "dec", "dbl") else self.of(k, d, s)
        e = lambda kk="bool": self.of(kk, d, s)
        o = r.choice(["=", "<>", "<", "<=", ">", ">="])
        no = r.choice(["", "NOT "])
        like = r.choice(["'%a%'", "'a%'", "'_b%'", "'%'"])
        return self.pick(
            (6, f"({same()} {o} {same()})"), (2, f"({e()} AND {e()})"), (2, f"({e()} OR {e()})"), f"(NOT {e()})", f"({same()} IS {r.choice(['', 'NOT '])}NULL)", f"({e()} IS {r.choice(['', 'NOT '])}{r.choice(['TRUE', 'FALSE', 'UNKNOWN'])})",
            f"({same()} {no}BETWEEN {same()} AND {same()})", f"({same()} {no}IN ({same()}, {same()}, {same()}))", f"({e('str')} {no}LIKE {like})", f"({e('str')} SIMILAR TO '(a|b)%')", f"({same()} IS {no}DISTINCT FROM {same()})", f"STARTSWITH({e('str')}, {e('str')})",
            f"REGEXP({e('str')}, '^[a-z]')", f"IS_DIGIT({e('str')})", f"JSON_EXISTS({e('str')}, '$.a')", f"({e('str')} IS JSON)")

    def _date(self, d, s):
        r = self.r
        e = lambda k="date": self.of(k, d, s)
        days = ["INTERVAL '1' DAY", "INTERVAL '40' DAY"] + MONTHS
        return self.pick(f"CAST({e('ts')} AS DATE)", f"TO_DATE({e('str')})", f"({e()} {r.choice('+-')} {r.choice(days)})", f"TRY_CAST({e('str')} AS DATE)", f"FLOOR({e()} TO {r.choice(['MONTH', 'YEAR'])})", f"CEIL({e()} TO MONTH)", f"TIMESTAMPADD(DAY, {r.choice(['1', '-3'])}, {e()})")

    def _ts(self, d, s):
        r = self.r
        e = lambda k="ts": self.of(k, d, s)
        return self.pick((3, f"({e()} {r.choice('+-')} {r.choice(DAY_TIME + MONTHS)})"), f"CAST({e('date')} AS TIMESTAMP(3))", f"FLOOR({e()} TO {r.choice(['HOUR', 'DAY', 'MINUTE', 'MONTH'])})", f"TIMESTAMPADD({r.choice(['SECOND', 'MINUTE', 'DAY', 'MONTH'])}, {r.choice(['5', '-1'])}, {e()})", f"TO_TIMESTAMP({e('str')})",
                         f"CAST({e('tz')} AS TIMESTAMP(3))", f"CAST({e()} AS TIMESTAMP({r.choice('036')}))", f"TRY_CAST({e('str')} AS TIMESTAMP(3))", f"({e()} + {r.choice(['2', '3'])} * INTERVAL '10' SECOND)")

    def _tz(self, d, s):
        e = lambda k="tz": self.of(k, d, s)
        return self.pick(f"CAST({e('ts')} AS TIMESTAMP_LTZ(3))", f"({e()} + {self.r.choice(DAY_TIME)})", f"TO_TIMESTAMP_LTZ({self.r.choice(['0', '1704067200'])}, 0)", f"TO_TIMESTAMP_LTZ({self.r.choice(['17', '1704067200123'])}, 3)")

    def _time(self, d, s):
        e = lambda k="time": self.of(k, d, s)
        return self.pick(f"CAST({e('ts')} AS TIME)", f"({e()} {self.r.choice('+-')} {self.r.choice(DAY_TIME)})", f"TRY_CAST({e('str')} AS TIME)", f"COALESCE({e()}, TIME '01:02:03')")
