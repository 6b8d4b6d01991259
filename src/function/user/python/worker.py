"""The worker of Python functions: standard library only.

Frames come and go over file descriptor 0: a header (length, kind, id) and a payload. Columns are Arrow's buffers
(validity, offsets, data), each on 8 bytes. Errors belong to rows.
"""
import array, datetime, decimal, importlib, importlib.util, inspect, json, os, queue, signal, socket, struct, sys, threading, types

INIT, CALL, CANCEL, STEP = 1, 2, 3, 4
READY, RESULT, FAILED = 1, 2, 3
HEADER = struct.Struct("<QII")
CODES = {"i8": "b", "i16": "h", "i32": "i", "i64": "q", "f32": "f", "f64": "d"}
EPOCH = datetime.datetime(1970, 1, 1)
DAY = datetime.date(1970, 1, 1).toordinal()
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class Retryable(Exception):
    """What may succeed when it is called again; retry_after: seconds until then."""

    def __init__(self, message="", retry_after=None):
        super().__init__(message)
        self.retry_after = retry_after


class RowTimeout(BaseException):
    pass


class Row(tuple):
    """A ROW: a tuple whose fields have names, too."""

    def __new__(cls, *values, **named):
        row = super().__new__(cls, tuple(named.values()) if named else values)
        row._names = tuple(named) if named else None
        return row

    @staticmethod
    def of(names, values):
        row = tuple.__new__(Row, values)
        row._names = names
        return row

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, key):
        if isinstance(key, str):
            if self._names is None or key not in self._names:
                raise KeyError(key)
            key = self._names.index(key)
        return tuple.__getitem__(self, key)

    def as_dict(self):
        return dict(zip(self._names or (), self))

    def set_field_names(self, names):
        self._names = tuple(names)


class Reader:
    def __init__(self, payload):
        self.view, self.at = memoryview(payload), 0

    def take(self, size):
        part = self.view[self.at : self.at + size]
        self.at += (size + 7) & ~7
        return part

    def number(self):
        return struct.unpack("<q", self.take(8))[0]


class Writer:
    def __init__(self):
        self.parts, self.size = [], 0

    def put(self, data):
        data = memoryview(data).cast("B")
        self.parts.append(data)
        pad = -len(data) % 8
        if pad:
            self.parts.append(b"\0" * pad)
        self.size += len(data) + pad

    def number(self, value):
        self.put(struct.pack("<q", value))


def bits(data, rows):
    return [data[i >> 3] >> (i & 7) & 1 for i in range(rows)]


def packed(flags):
    out = bytearray((len(flags) + 7) >> 3)
    for i, flag in enumerate(flags):
        if flag:
            out[i >> 3] |= 1 << (i & 7)
    return out


def texts(reader, rows, as_text):
    offsets = reader.take(4 * (rows + 1)).cast("i")
    data = bytes(reader.take(offsets[rows]))
    if as_text and data.isascii():
        data = data.decode("ascii")
        as_text = False
    ends = offsets.tolist()
    values = [data[a:b] for a, b in zip(ends, ends[1:])]
    return [v.decode("utf-8") for v in values] if as_text else values


def moment(value, kind):
    micros = value * 10**6 // PER_SECOND[kind["unit"]]
    moment = EPOCH + datetime.timedelta(microseconds=micros)
    return moment.replace(tzinfo=datetime.timezone.utc) if kind.get("zone") else moment


def decode(kind, rows, reader):
    """A column as a list of values."""
    name = kind["t"]
    valid = bits(reader.take((rows + 7) >> 3), rows) if reader.number() else None
    if name in CODES:
        size = array.array(CODES[name]).itemsize
        values = reader.take(size * rows).cast(CODES[name]).tolist()
    elif name == "bool":
        values = [b == 1 for b in bits(reader.take((rows + 7) >> 3), rows)]
    elif name in ("str", "bytes"):
        values = texts(reader, rows, name == "str")
    elif name == "date":
        values = [datetime.date.fromordinal(DAY + d) for d in reader.take(4 * rows).cast("i")]
    elif name == "time":
        values = [(EPOCH + datetime.timedelta(milliseconds=m)).time() for m in reader.take(4 * rows).cast("i")]
    elif name == "ts":
        values = [moment(v, kind) for v in reader.take(8 * rows).cast("q")]
    elif name == "dec":
        raw, exponent = reader.take(16 * rows), -kind["s"]
        whole = [int.from_bytes(raw[i : i + 16], "little", signed=True) for i in range(0, 16 * rows, 16)]
        values = [decimal.Decimal(v).scaleb(exponent) for v in whole]
    elif name == "row":
        names = tuple(f[0] for f in kind["fields"])
        columns = [decode(f[1], rows, reader) for f in kind["fields"]]
        values = [Row.of(names, v) for v in zip(*columns)] if columns else [Row()] * rows
    else:
        ends = reader.take(4 * (rows + 1)).cast("i").tolist()
        if name == "list":
            items = decode(kind["item"], ends[rows], reader)
            values = [items[a:b] for a, b in zip(ends, ends[1:])]
        else:
            keys, items = decode(kind["key"], ends[rows], reader), decode(kind["value"], ends[rows], reader)
            values = [dict(zip(keys[a:b], items[a:b])) for a, b in zip(ends, ends[1:])]
    return values if valid is None else [v if ok else None for v, ok in zip(values, valid)]


def unfit(value, kind):
    shown = repr(value)
    return "returned %s, which is not %s" % (shown if len(shown) < 80 else shown[:77] + "...", kind["sql"])


def since(value, kind):
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        micros = (value - EPOCH) // datetime.timedelta(microseconds=1)
        return micros * PER_SECOND[kind["unit"]] // 10**6
    raise TypeError


def scaled(value, kind):
    if isinstance(value, float):
        value = repr(value)
    elif not isinstance(value, (int, str, decimal.Decimal)):
        value = str(value)
    with decimal.localcontext() as context:
        context.prec = 80
        whole = decimal.Decimal(value).scaleb(kind["s"]).to_integral_value(decimal.ROUND_HALF_UP)
    if abs(whole) >= 10 ** kind["p"]:
        raise OverflowError
    return int(whole).to_bytes(16, "little", signed=True)


ONE = {
    "date": lambda v, k: struct.pack("<i", v.toordinal() - DAY),
    "time": lambda v, k: struct.pack(
        "<i", ((v.hour * 60 + v.minute) * 60 + v.second) * 1000 + v.microsecond // 1000
    ),
    "ts": lambda v, k: struct.pack("<q", since(v, k)),
    "dec": scaled,
}
WIDTH = {"date": 4, "time": 4, "ts": 8, "dec": 16}


def encode(kind, values, fail, writer):
    """Appends a column; fail(row, why) notes what does not fit, and NULL stands there."""
    name, rows = kind["t"], len(values)
    valid = [v is not None for v in values]

    def refuse(row, why=None):
        valid[row] = False
        fail(row, why or unfit(values[row], kind))

    def finish(*buffers):
        if all(valid):
            writer.number(0)
        else:
            writer.number(1)
            writer.put(packed(valid))
        for buffer in buffers:
            writer.put(buffer)

    if name in CODES:
        code = CODES[name]
        try:
            return finish(array.array(code, values))
        except (TypeError, OverflowError, ValueError):
            pass
        out = array.array(code, bytes(array.array(code).itemsize * rows))
        for i, v in enumerate(values):
            if v is not None:
                try:
                    out[i] = int(v) if code in "bhiq" and isinstance(v, decimal.Decimal) and v == int(v) else v
                except (TypeError, OverflowError, ValueError):
                    refuse(i)
        return finish(out)
    if name == "bool":
        for i, v in enumerate(values):
            if v is not None and v is not True and v is not False and type(v).__name__ not in ("bool_", "bool"):
                refuse(i)
        return finish(packed([ok and bool(v) for v, ok in zip(values, valid)]))
    if name in ("str", "bytes"):
        wanted = str if name == "str" else (bytes, bytearray, memoryview)
        parts, ends, end = [], array.array("i", [0]), 0
        for i, v in enumerate(values):
            if v is not None and not isinstance(v, wanted):
                refuse(i)
            elif v is not None:
                try:
                    part = v.encode("utf-8") if name == "str" else bytes(v)
                    parts.append(part)
                    end += len(part)
                except UnicodeError:
                    refuse(i)
            ends.append(end)
        return finish(ends, b"".join(parts))
    if name in ONE:
        one, out = ONE[name], []
        for i, v in enumerate(values):
            part = None
            if v is not None:
                try:
                    part = one(v, kind)
                except (TypeError, AttributeError, OverflowError, ValueError, ArithmeticError, struct.error):
                    refuse(i)
            out.append(part if part is not None else b"\0" * WIDTH[name])
        return finish(b"".join(out))
    if name == "row":
        names = [f[0] for f in kind["fields"]]
        columns = [[None] * rows for _ in names]
        for i, v in enumerate(values):
            if v is None:
                continue
            if isinstance(v, dict):
                more = [k for k in v if k not in names]
                if more:
                    refuse(i, "returned the field %r, the columns are %s" % (more[0], ", ".join(names)))
                    continue
                v = [v.get(n) for n in names]
            elif not isinstance(v, (tuple, list)):
                v = [v] if len(names) == 1 else [getattr(v, n, None) for n in names] if hasattr(v, names[0]) else None
            if v is None or len(v) != len(names):
                refuse(i)
                continue
            for column, item in zip(columns, v):
                column[i] = item
        finish()
        for field, column in zip(kind["fields"], columns):
            encode(field[1], column, fail, writer)
        return None
    owners, ends, items, others = [], array.array("i", [0]), [], []
    for i, v in enumerate(values):
        if v is not None:
            try:
                if name == "list" and isinstance(v, (str, bytes, dict)):
                    raise TypeError
                part = list(v) if name == "list" else list(v.items())
            except (TypeError, AttributeError):
                refuse(i)
                part = []
            owners.extend([i] * len(part))
            items.extend(part if name == "list" else [k for k, _ in part])
            others.extend([] if name == "list" else [o for _, o in part])
        ends.append(len(items))
    finish(ends)
    deeper = lambda row, why: fail(owners[row], why)
    encode(kind["item"] if name == "list" else kind["key"], items, deeper, writer)
    if name == "map":
        encode(kind["value"], others, deeper, writer)


def place(error):
    """Where in the user's code an error came from."""
    found, step = None, error.__traceback__
    while step is not None:
        name = step.tb_frame.f_code.co_filename
        if name != "<string>":
            found = (name, step.tb_lineno)
        step = step.tb_next
    return " (%s:%d)" % found if found else ""


def described(error):
    """What the engine is told of an error: message, whether it may pass, and after how many seconds."""
    if isinstance(error, RowTimeout):
        return ["took longer than its 'timeout'", False, None]
    if isinstance(error, SystemExit):
        return ["called sys.exit(%s)%s" % (error.code if error.code is not None else "", place(error)), False, None]
    code = getattr(error, "code", None)
    passes = bool(getattr(error, "retryable", False)) or isinstance(error, (Retryable, ConnectionError, TimeoutError))
    passes = passes or (type(error).__name__ == "URLError") or code in (429, 500, 502, 503, 504)
    text = str(error)
    text = "%s: %s" % (type(error).__name__, text) if text else type(error).__name__
    return [text + place(error), passes, getattr(error, "retry_after", None)]


# --- Loading


def sql_type(hint):
    """The SQL type that an annotation or a type of PyFlink names; None where it names none."""
    if isinstance(hint, str):
        return hint or None
    if hasattr(hint, "sql"):
        return hint.sql
    simple = {
        int: "BIGINT", float: "DOUBLE", str: "STRING", bool: "BOOLEAN", bytes: "BYTES",
        decimal.Decimal: "DECIMAL(38, 18)", datetime.date: "DATE", datetime.datetime: "TIMESTAMP(6)",
        datetime.time: "TIME(0)",
    }
    if hint in simple:
        return simple[hint]
    name = type(hint).__name__
    real = {
        "BooleanType": "BOOLEAN", "TinyIntType": "TINYINT", "SmallIntType": "SMALLINT", "IntType": "INT",
        "BigIntType": "BIGINT", "FloatType": "FLOAT", "DoubleType": "DOUBLE", "VarCharType": "STRING",
        "CharType": "STRING", "VarBinaryType": "BYTES", "BinaryType": "BYTES", "DateType": "DATE",
        "TimeType": "TIME(0)", "TimestampType": "TIMESTAMP(6)", "LocalZonedTimestampType": "TIMESTAMP_LTZ(6)",
    }
    if name in real:
        return real[name]
    if name == "DecimalType":
        return "DECIMAL(%d, %d)" % (hint.precision, hint.scale)
    if name == "ArrayType":
        return "ARRAY<%s>" % sql_type(hint.element_type)
    if name == "MapType":
        return "MAP<%s, %s>" % (sql_type(hint.key_type), sql_type(hint.value_type))
    if name == "RowType":
        return "ROW<%s>" % ", ".join("`%s` %s" % (f.name, sql_type(f.data_type)) for f in hint.fields)
    args = getattr(hint, "__args__", ()) or ()
    origin = getattr(hint, "__origin__", None)
    if origin in (list, tuple) and args:
        return "ARRAY<%s>" % sql_type(args[0])
    if origin is dict and len(args) == 2:
        return "MAP<%s, %s>" % (sql_type(args[0]), sql_type(args[1]))
    some = [a for a in args if a is not type(None)]
    return sql_type(some[0]) if len(some) == 1 and len(some) < len(args) else None


VECTORS = {"ndarray": "numpy", "Series": "pandas", "Array": "pyarrow", "ChunkedArray": "pyarrow"}


def vector(hint):
    module = getattr(hint, "__module__", "") or ""
    name = getattr(hint, "__name__", "")
    if name == "Series" and module.startswith("polars"):
        return "polars"
    if name in VECTORS and module.split(".")[0] in ("numpy", "pandas", "pyarrow"):
        return VECTORS[name]
    return None


class Function:
    """What the engine calls, with what the code says about it."""

    def __init__(self, found):
        self.kind, self.mode, self.deterministic = "scalar", "rows", None
        self.result, self.inputs, self.instance = None, None, None
        code = found
        wrapped = getattr(found, "_func", None)
        if wrapped is not None:
            names = type(found).__name__
            self.kind = getattr(found, "kind", None) or (
                "table" if "Table" in names else "aggregate" if "Aggregate" in names else "scalar"
            )
            types_of = getattr(found, "_result_types", None)
            result = getattr(found, "_result_type", None)
            if types_of:
                self.result = [sql_type(t) for t in types_of]
            elif result is not None:
                self.result = sql_type(result)
            inputs = getattr(found, "_input_types", None)
            self.inputs = [sql_type(t) for t in inputs] if inputs else None
            self.deterministic = getattr(found, "_deterministic", None)
            if getattr(found, "_func_type", "general") == "pandas":
                self.mode = "pandas"
            code = wrapped
        if inspect.isclass(code):
            code = code()
        if not inspect.isroutine(code) and not isinstance(code, types.FunctionType):
            for name in ("eval", "accumulate"):
                if hasattr(code, name):
                    self.instance = code
                    if hasattr(code, "open"):
                        code.open(None)
                    if hasattr(code, "is_deterministic") and self.deterministic is None:
                        self.deterministic = bool(code.is_deterministic())
                    if name == "accumulate":
                        self.kind = "aggregate"
                    code = getattr(code, name)
                    break
        if not callable(code):
            raise TypeError("%r is not a function" % (found,))
        self.code = code
        self.waits = inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code)
        if inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code):
            self.kind = "table" if self.kind == "scalar" else self.kind
        series = getattr(self.instance, "_of_series", None)
        code = series or code
        try:
            signature = inspect.signature(code)
        except (TypeError, ValueError):
            signature = None
        self.parameters = []
        hints = dict(getattr(code, "__annotations__", {}))
        try:
            import typing

            hints = typing.get_type_hints(code)
        except Exception:
            # What cannot be resolved says nothing.
            hints = {name: hint for name, hint in hints.items() if not isinstance(hint, str)}
        parameters = list(signature.parameters.values()) if signature else []
        if self.kind == "aggregate" and series is None:
            parameters = parameters[1:]
        for i, parameter in enumerate(parameters):
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY):
                continue
            hint = hints.get(parameter.name)
            mode = vector(hint)
            if mode is not None and series is None:
                self.mode = mode
            declared = self.inputs[i] if self.inputs and i < len(self.inputs) else None
            declared = declared or (sql_type(hint) if hint is not None and mode is None else None)
            self.parameters.append([parameter.name, declared])
        if self.result is None and "return" in hints and vector(hints["return"]) is None and self.kind == "scalar":
            self.result = sql_type(hints["return"])
        if self.kind == "aggregate" and self.result is None and hasattr(self.instance, "get_result_type"):
            self.result = sql_type(self.instance.get_result_type())

    def about(self):
        return {
            "kind": self.kind, "mode": self.mode, "waits": self.waits, "deterministic": self.deterministic,
            "parameters": self.parameters, "result": self.result,
        }


class Kept:
    """The module as it was when the function was declared, whatever its file holds by now."""

    def __init__(self, name, file, text):
        self.name, self.file, self.text = name, file, text

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self, origin=self.file) if name == self.name else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.__file__ = self.file
        exec(compile(self.text, self.file, "exec"), module.__dict__)


def load(init):
    if init.get("kept"):
        sys.meta_path.insert(0, Kept(*init["kept"]))
    for folder in reversed(init["path"]):
        sys.path.insert(0, folder)
    own = types.ModuleType("affluent")
    own.Retryable, own.Row = Retryable, Row
    sys.modules["affluent"] = own
    # PyFlink's names stand in for it where it is not installed.
    if importlib.util.find_spec("pyflink") is None:
        exec(compile(init["shim"], "<string>", "exec"), {"Row": Row, "sys": sys, "types": types, "__name__": "shim"})
    if init.get("code") is not None:
        module = types.ModuleType("function")
        sys.modules["function"] = module
        module.__file__ = init["file"]
        exec(compile(init["code"], init["file"], "exec"), module.__dict__)
        names = [init["export"]]
    else:
        parts = init["export"].split(".")
        for split in range(len(parts) - 1, 0, -1):
            try:
                module = importlib.import_module(".".join(parts[:split]))
            except ModuleNotFoundError as error:
                if split > 1 and error.name and ".".join(parts[:split]).startswith(error.name):
                    continue
                raise
            names = parts[split:]
            break
        else:
            raise LookupError("'%s' names no module: write 'module.function'" % init["export"])
    found = module
    for name in names:
        if not hasattr(found, name):
            there = [n for n in vars(module) if callable(getattr(module, n)) and not n.startswith("_")]
            raise LookupError("there is no function '%s'; there are: %s" % (name, ", ".join(there) or "none"))
        found = getattr(found, name)
    return Function(found)


# --- Calls


def as_numpy(kind, rows, reader):
    import numpy

    name, start = kind["t"], reader.at
    codes = {"i8": "<i1", "i16": "<i2", "i32": "<i4", "i64": "<i8", "f32": "<f4", "f64": "<f8"}
    if name in codes:
        valid = None
        if reader.number():
            valid = numpy.unpackbits(numpy.frombuffer(reader.take((rows + 7) >> 3), numpy.uint8), bitorder="little")
        dtype = numpy.dtype(codes[name])
        values = numpy.frombuffer(reader.take(dtype.itemsize * rows), dtype, rows)
        if valid is None:
            return values
        values = values.astype(numpy.float64 if name[0] == "i" else dtype)
        values[valid[:rows] == 0] = numpy.nan
        return values
    reader.at = start
    values = decode(kind, rows, reader)
    if name == "bool" and None not in values:
        return numpy.array(values, numpy.bool_)
    out = numpy.empty(rows, object)
    out[:] = values
    return out


def as_vector(mode, kind, rows, reader):
    if mode == "numpy":
        return as_numpy(kind, rows, reader)
    if mode == "pandas":
        import pandas

        return pandas.Series(as_numpy(kind, rows, reader))
    if mode == "polars":
        import polars

        # Numbers without NULL are not copied one by one.
        plain = kind["t"] in CODES and reader.view[reader.at] == 0
        return polars.Series(as_numpy(kind, rows, reader) if plain else decode(kind, rows, reader))
    import pyarrow

    if kind["t"] not in CODES:
        return pyarrow.array(decode(kind, rows, reader))
    valid = pyarrow.py_buffer(reader.take((rows + 7) >> 3)) if reader.number() else None
    width = array.array(CODES[kind["t"]]).itemsize
    names = {"i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64", "f32": "float32", "f64": "float64"}
    data = pyarrow.py_buffer(reader.take(width * rows))
    return pyarrow.Array.from_buffers(getattr(pyarrow, names[kind["t"]])(), rows, [valid, data])


def from_vector(mode, kind, result, rows):
    """The result of a vectorised function as a list or an array that encode takes."""
    if mode == "numpy":
        import numpy

        result = numpy.asarray(result)
        if result.ndim == 0:
            result = numpy.full(rows, result)
        if kind["t"] in ("i8", "i16", "i32", "i64") and result.dtype.kind == "f":
            return [None if v != v else int(v) if v == int(v) else v for v in result.tolist()]
        return result.tolist()
    if mode == "pandas":
        import pandas

        if not isinstance(result, pandas.Series):
            result = pandas.Series(result)
        gone = result.isna().tolist()
        values = result.astype(object).tolist() if result.dtype.kind == "M" else result.tolist()
        values = [v.to_pydatetime() if hasattr(v, "to_pydatetime") else v for v in values]
        values = [None if n else v for v, n in zip(values, gone)]
        if kind["t"] in ("i8", "i16", "i32", "i64"):
            values = [int(v) if isinstance(v, float) and v == int(v) else v for v in values]
        return values
    return result.to_list() if mode == "polars" else result.to_pylist()


def straight(mode, kind, result, rows):
    """A column of numbers without NULL as it lies in memory; None where it is none."""
    if mode == "pyarrow":
        names = {"i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64", "f32": "float", "f64": "double"}
        plain = getattr(result, "null_count", 1) == 0 and hasattr(result, "buffers")
        if not plain or str(result.type) != names.get(kind["t"]) or len(result) != rows:
            return None
        width = array.array(CODES[kind["t"]]).itemsize
        start = result.offset * width
        return array.array(CODES[kind["t"]], bytes(memoryview(result.buffers()[1])[start : start + rows * width]))
    if mode == "polars":
        if kind["t"] not in CODES or result.null_count() or len(result) != rows:
            return None
        result = result.to_numpy()
    codes = {"i8": "<i1", "i16": "<i2", "i32": "<i4", "i64": "<i8", "f32": "<f4", "f64": "<f8"}
    import numpy

    array_of = result if isinstance(result, numpy.ndarray) else getattr(result, "values", None)
    if kind["t"] not in codes or not isinstance(array_of, numpy.ndarray) or array_of.shape != (rows,):
        return None
    wanted = numpy.dtype(codes[kind["t"]])
    if array_of.dtype != wanted and not (wanted.kind == "f" and array_of.dtype.kind in "iuf" and wanted.itemsize == 8):
        return None
    if not isinstance(result, numpy.ndarray) and wanted.kind == "f" and numpy.isnan(array_of).any():
        return None
    return numpy.ascontiguousarray(array_of, wanted)


class Worker:
    def __init__(self):
        self.socket = socket.socket(fileno=os.dup(0))
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        self.lock, self.queue = threading.Lock(), queue.SimpleQueue()
        self.row, self.inside = [0, 0], False

    def exactly(self, size):
        data = bytearray(size)
        view, at = memoryview(data), 0
        while at < size:
            got = self.socket.recv_into(view[at:])
            if got == 0:
                # The engine has gone, whatever runs here.
                os._exit(0)
            at += got
        return data

    def receive(self):
        size, kind, call = HEADER.unpack(self.exactly(HEADER.size))
        return kind, call, self.exactly(size)

    def send(self, kind, call, parts, size):
        with self.lock:
            self.socket.sendall(HEADER.pack(size, kind, call))
            for part in parts:
                self.socket.sendall(part)

    def say(self, kind, call, value):
        data = json.dumps(value).encode()
        self.send(kind, call, [data], len(data))

    def reply(self, call, kind, values, failures, ready=None):
        writer = Writer()
        writer.number(len(values) if ready is None else len(ready))
        noted = {row for row, *_ in failures}

        def fail(row, why):
            if row not in noted:
                noted.add(row)
                failures.append([row, why, False, None])

        if ready is not None:
            writer.number(0)
            writer.put(ready)
        else:
            encode(kind, values, fail, writer)
        data = json.dumps(failures).encode()
        writer.number(len(data))
        writer.put(data)
        self.send(RESULT, call, writer.parts, writer.size)

    def watch(self, limit):
        """A row that takes too long is interrupted; one that cannot be ends the worker."""
        import time

        main, last, since_when, told = threading.main_thread().ident, None, 0.0, False
        while True:
            time.sleep(min(max(limit / 4, 0.005), 0.25))
            now, row = time.monotonic(), tuple(self.row)
            if not self.inside or row != last:
                last, since_when, told = row, now, False
            elif now - since_when > limit + 2 and told:
                os.write(2, b"a row could not be interrupted\n")
                os._exit(75)
            elif now - since_when > limit and not told:
                told = True
                signal.pthread_kill(main, signal.SIGALRM)

    def interrupted(self, *_):
        if self.inside:
            raise RowTimeout()

    def rows_of(self, function, result):
        return list(result) if function.kind == "table" and result is not None else result

    def run(self, function, init, call, payload):
        reader = Reader(payload)
        rows = reader.number()
        kinds, result = init["arguments"], init["result"]
        failures = []
        if function.mode != "rows":
            vectors = [as_vector(function.mode, k, rows, reader) for k in kinds]
            self.row = [call, 0]
            try:
                self.inside = True
                value = function.code(*vectors)
                self.inside = False
                ready = straight(function.mode, result, value, rows)
                if ready is not None:
                    return self.reply(call, result, None, failures, ready)
                values = from_vector(function.mode, result, value, rows)
            except BaseException as error:
                self.inside = False
                return self.say(FAILED, call, described(error))
            if len(values) != rows:
                return self.say(FAILED, call, ["returned %d results for %d rows" % (len(values), rows), False, None])
            return self.reply(call, result, values, failures)
        columns = [decode(k, rows, reader) for k in kinds]
        code, out, row, table = function.code, [], self.row, function.kind == "table"
        row[0] = call
        each = zip(*columns) if columns else (() for _ in range(rows))
        if init["batch"]:
            try:
                self.inside = True
                values = code(*columns)
                self.inside = False
                values = list(values)
            except BaseException as error:
                self.inside = False
                return self.say(FAILED, call, described(error))
            if len(values) != rows:
                return self.say(FAILED, call, ["returned %d results for %d rows" % (len(values), rows), False, None])
            for i, v in enumerate(values):
                if isinstance(v, BaseException):
                    values[i] = None
                    failures.append([i, *described(v)])
            return self.reply(call, result, values, failures)
        for i, args in enumerate(each):
            row[1] = i
            try:
                self.inside = True
                value = code(*args)
                if table:
                    value = list(value) if value is not None else None
                self.inside = False
            except BaseException as error:
                self.inside = False
                value = None
                failures.append([i, *described(error)])
            out.append(value)
        self.reply(call, result, out, failures)

    def step(self, function, init, call, payload):
        """One step of an aggregate: its state goes in and out as JSON."""
        reader = Reader(payload)
        size = reader.number()
        request = json.loads(bytes(reader.take(size)))
        aggregate, what = function.instance, request["step"]
        self.row = [call, 0]
        try:
            self.inside = True
            if what == "create":
                answer = json.dumps(aggregate.create_accumulator())
            elif what == "finish":
                value = aggregate.get_value(json.loads(request["state"]))
                self.inside = False
                return self.reply(call, init["result"], [value], [])
            elif what == "merge":
                state = json.loads(request["state"])
                merged = aggregate.merge(state, [json.loads(request["other"])])
                answer = json.dumps(state if merged is None else merged)
            else:
                rows = reader.number()
                columns = [decode(k, rows, reader) for k in init["arguments"]]
                state = json.loads(request["state"])
                for i, args in enumerate(zip(*columns) if columns else (() for _ in range(rows))):
                    self.row[1] = i
                    changed = aggregate.accumulate(state, *args)
                    state = state if changed is None else changed
                answer = json.dumps(state)
            self.inside = False
        except BaseException as error:
            self.inside = False
            return self.say(FAILED, call, described(error))
        self.say(READY, call, answer)

    async def wait(self, function, init, call, payload):
        import asyncio

        reader = Reader(payload)
        rows = reader.number()
        columns = [decode(k, rows, reader) for k in init["arguments"]]
        failures = []

        async def one(args):
            result = function.code(*args)
            if inspect.isasyncgen(result):
                return [item async for item in result]
            return self.rows_of(function, await result)

        async def limited(args):
            return await asyncio.wait_for(one(args), init["limit"])

        each = [tuple(columns)] if init["batch"] else list(zip(*columns)) if columns else [()] * rows
        found = await asyncio.gather(*[limited(args) for args in each], return_exceptions=True)
        for i, value in enumerate(found):
            if isinstance(value, asyncio.TimeoutError):
                value = RowTimeout()
            if isinstance(value, asyncio.CancelledError):
                raise value
            if isinstance(value, BaseException):
                if init["batch"]:
                    return self.say(FAILED, call, described(value))
                failures.append([i, *described(value)])
                found[i] = None
        if init["batch"]:
            found = list(found[0])
            if len(found) != rows:
                return self.say(FAILED, call, ["returned %d results for %d rows" % (len(found), rows), False, None])
            for i, v in enumerate(found):
                if isinstance(v, BaseException):
                    found[i] = None
                    failures.append([i, *described(v)])
        self.reply(call, init["result"], found, failures)

    def serve_async(self, function, init):
        import asyncio

        async def main():
            loop, frames, tasks = asyncio.get_running_loop(), asyncio.Queue(), {}
            read = lambda: [loop.call_soon_threadsafe(frames.put_nowait, self.receive()) for _ in iter(int, 1)]
            threading.Thread(target=read, daemon=True).start()
            while True:
                kind, call, payload = await frames.get()
                if kind == CANCEL:
                    task = tasks.pop(call, None)
                    if task is not None:
                        task.cancel()
                    continue
                task = loop.create_task(self.wait(function, init, call, payload))
                tasks[call] = task

                def done(task, call=call):
                    tasks.pop(call, None)
                    if not task.cancelled() and task.exception() is not None:
                        self.say(FAILED, call, described(task.exception()))

                task.add_done_callback(done)

        asyncio.run(main())

    def serve(self):
        _, call, payload = self.receive()
        init = json.loads(bytes(payload))
        try:
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            function = load(init)
            if init.get("memory"):
                resource.setrlimit(resource.RLIMIT_AS, (init["memory"], init["memory"]))
        except BaseException as error:
            line = getattr(error, "lineno", None)
            if not isinstance(error, SyntaxError) or error.filename != init.get("file"):
                line, step = None, error.__traceback__
                while step is not None:
                    if step.tb_frame.f_code.co_filename == init.get("file"):
                        line = step.tb_lineno
                    step = step.tb_next
            column = getattr(error, "offset", None) if isinstance(error, SyntaxError) else None
            text = getattr(error, "msg", None) or str(error)
            self.say(FAILED, call, {"message": "%s: %s" % (type(error).__name__, text), "line": line, "column": column})
            return
        self.say(READY, call, function.about())
        if function.waits:
            return self.serve_async(function, init)
        signal.signal(signal.SIGALRM, self.interrupted)
        threading.Thread(target=self.watch, args=(init["limit"],), daemon=True).start()

        def read():
            while True:
                self.queue.put(self.receive())

        threading.Thread(target=read, daemon=True).start()
        while True:
            kind, call, payload = self.queue.get()
            if kind == CALL:
                self.run(function, init, call, payload)
            elif kind == STEP:
                self.step(function, init, call, payload)


Worker().serve()
