"""The names of PyFlink that files of functions import, for where it is not installed."""


class DataType:
    def __init__(self, sql):
        self.sql = sql

    def not_null(self):
        return self

    def nullable(self):
        return self

    def __repr__(self):
        return self.sql


class Field:
    def __init__(self, name, data_type):
        self.name, self.data_type = name, data_type


def sql(data_type):
    return data_type if isinstance(data_type, str) else data_type.sql


class DataTypes:
    BOOLEAN = staticmethod(lambda nullable=True: DataType("BOOLEAN"))
    TINYINT = staticmethod(lambda nullable=True: DataType("TINYINT"))
    SMALLINT = staticmethod(lambda nullable=True: DataType("SMALLINT"))
    INT = staticmethod(lambda nullable=True: DataType("INT"))
    BIGINT = staticmethod(lambda nullable=True: DataType("BIGINT"))
    FLOAT = staticmethod(lambda nullable=True: DataType("FLOAT"))
    DOUBLE = staticmethod(lambda nullable=True: DataType("DOUBLE"))
    STRING = staticmethod(lambda nullable=True: DataType("STRING"))
    CHAR = staticmethod(lambda length, nullable=True: DataType("STRING"))
    VARCHAR = staticmethod(lambda length, nullable=True: DataType("STRING"))
    BYTES = staticmethod(lambda nullable=True: DataType("BYTES"))
    BINARY = staticmethod(lambda length, nullable=True: DataType("BYTES"))
    VARBINARY = staticmethod(lambda length, nullable=True: DataType("BYTES"))
    DATE = staticmethod(lambda nullable=True: DataType("DATE"))
    TIME = staticmethod(lambda precision=0, nullable=True: DataType("TIME(0)"))
    DECIMAL = staticmethod(lambda precision, scale, nullable=True: DataType("DECIMAL(%d, %d)" % (precision, scale)))
    TIMESTAMP = staticmethod(lambda precision=6, nullable=True: DataType("TIMESTAMP(%d)" % precision))
    TIMESTAMP_LTZ = staticmethod(lambda precision=6, nullable=True: DataType("TIMESTAMP_LTZ(%d)" % precision))
    TIMESTAMP_WITH_LOCAL_TIME_ZONE = TIMESTAMP_LTZ
    ARRAY = staticmethod(lambda element, nullable=True: DataType("ARRAY<%s>" % sql(element)))
    MAP = staticmethod(lambda key, value, nullable=True: DataType("MAP<%s, %s>" % (sql(key), sql(value))))
    LIST_VIEW = staticmethod(lambda element: DataType("ARRAY<%s>" % sql(element)))
    MAP_VIEW = staticmethod(lambda key, value: DataType("MAP<%s, %s>" % (sql(key), sql(value))))
    FIELD = staticmethod(lambda name, data_type, description=None: Field(name, data_type))

    @staticmethod
    def ROW(fields=(), nullable=True):
        fields = [f if isinstance(f, Field) else Field("f%d" % i, f) for i, f in enumerate(fields)]
        return DataType("ROW<%s>" % ", ".join("`%s` %s" % (f.name, sql(f.data_type)) for f in fields))


class FunctionContext:
    def get_metric_group(self):
        raise NotImplementedError("there are no metrics of functions")

    def get_job_parameter(self, key, default_value):
        return default_value


class UserDefinedFunction:
    def open(self, function_context):
        pass

    def close(self):
        pass

    def is_deterministic(self):
        return True


class ScalarFunction(UserDefinedFunction):
    def eval(self, *args):
        raise NotImplementedError


class AsyncScalarFunction(UserDefinedFunction):
    pass


class TableFunction(UserDefinedFunction):
    pass


class AggregateFunction(UserDefinedFunction):
    def retract(self, accumulator, *args):
        raise RuntimeError("retract is not implemented")

    def merge(self, accumulator, accumulators):
        raise RuntimeError("merge is not implemented")


class OfSeries(AggregateFunction):
    """An aggregate that gets the rows of a group as a pandas.Series for each argument: they are its state."""

    def __init__(self, func):
        self._of_series = func

    def create_accumulator(self):
        return []

    def accumulate(self, accumulator, *args):
        accumulator.append(args)

    def merge(self, accumulator, accumulators):
        for other in accumulators:
            accumulator.extend(other)

    def get_value(self, accumulator):
        import pandas

        if not accumulator:
            return None
        value = self._of_series(*[pandas.Series(column) for column in zip(*accumulator)])
        value = value.item() if hasattr(value, "item") else value
        return None if value is None or value != value else value


class Wrapper:
    kind = "scalar"

    def __init__(self, func, input_types, result, deterministic, func_type):
        self._func, self._func_type = func, func_type or "general"
        if isinstance(input_types, (list, tuple)) or input_types is None:
            self._input_types = input_types
        else:
            self._input_types = [input_types]
        self._result_type = self._result_types = None
        if isinstance(result, (list, tuple)):
            self._result_types = list(result)
        else:
            self._result_type = result
        self._deterministic = deterministic
        self.__name__ = getattr(func, "__name__", type(func).__name__)

    def __call__(self, *args):
        return self._func(*args)


class ScalarWrapper(Wrapper):
    kind = "scalar"


class TableWrapper(Wrapper):
    kind = "table"


class AggregateWrapper(Wrapper):
    kind = "aggregate"


def decorator(wrapper, func, inputs, result, deterministic, func_type):
    def wrap(func):
        return wrapper(func, inputs, result, deterministic, func_type)

    return wrap if func is None else wrap(func)


def udf(f=None, input_types=None, result_type=None, deterministic=None, name=None, func_type="general", udf_type=None):
    return decorator(ScalarWrapper, f, input_types, result_type, deterministic, udf_type or func_type)


def udtf(f=None, input_types=None, result_types=None, deterministic=None, name=None):
    return decorator(TableWrapper, f, input_types, result_types, deterministic, "general")


def udaf(f=None, input_types=None, result_type=None, accumulator_type=None, deterministic=None, name=None,
         func_type="general"):
    if func_type != "pandas":
        return decorator(AggregateWrapper, f, input_types, result_type, deterministic, func_type)
    wrap = lambda f: AggregateWrapper(OfSeries(f), input_types, result_type, deterministic, "general")
    return wrap if f is None else wrap(f)


def module(name, **names):
    made = types.ModuleType(name)
    made.__dict__.update(names)
    made.__path__ = []
    sys.modules[name] = made
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, made)


functions = dict(
    udf=udf, udtf=udtf, udaf=udaf, UserDefinedFunction=UserDefinedFunction, ScalarFunction=ScalarFunction,
    AsyncScalarFunction=AsyncScalarFunction, TableFunction=TableFunction, AggregateFunction=AggregateFunction,
    FunctionContext=FunctionContext,
)
module("pyflink")
module("pyflink.common", Row=Row)
module("pyflink.table", DataTypes=DataTypes, Row=Row, **functions)
module("pyflink.table.types", DataTypes=DataTypes, DataType=DataType, Row=Row)
module("pyflink.table.udf", **functions)
module("pyflink.table.functions", **functions)
