//! One scalar function: a name, the kinds of its arguments, its result type and a columnar body.
//!
//! DataFusion's trait for functions asks for a type each. Flink has about 250 functions that differ in
//! little but their body, so a [`Definition`] is a line in a table and one implementation of the trait
//! serves them all:
//!
//! - arguments are brought to the Arrow type of their [`Kind`] by type coercion, so a body sees one
//!   string type (Utf8View), one integer type (Int64) and one floating-point type;
//! - a constant stays one row long and is read with a step of 0, never expanded;
//! - a call whose arguments are all constant is computed for one row and stays a constant;
//! - text results go through one buffer per call, not one allocation per row.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryViewArray, BinaryViewBuilder, BooleanArray, Decimal128Array,
    Float64Array, Int64Array, ListArray, MapArray, PrimitiveArray, StringViewArray, StringViewBuilder,
    new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::FunctionContext;
use crate::error::{Error, Result};
use crate::sql::types::SqlType;

/// Leaves a row's closure with NULL when an argument is NULL.
macro_rules! some {
    ($e:expr) => {
        match $e {
            Some(v) => v,
            None => return Ok(None),
        }
    };
}
pub(crate) use some;

/// What an argument may be, and what the body gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Strings, as Utf8View.
    Text,
    /// Integers, as Int64.
    Int,
    /// Any number, as Float64.
    Double,
    /// Any number, as it is.
    Number,
    /// BOOLEAN.
    Bool,
    /// BYTES, as BinaryView.
    Bytes,
    /// BYTES as BinaryView, strings as Utf8View.
    TextOrBytes,
    /// DATE, TIME and both sorts of TIMESTAMP as they are, strings as Utf8View.
    Moment,
    /// The same, and INTERVAL as it is.
    MomentOrInterval,
    /// Strings as Utf8View, integers as Int64, other numbers as Float64.
    TextOrNumber,
    /// ARRAY
    List,
    /// MAP
    Map,
    /// ARRAY or MAP
    Collection,
    /// Anything, strings as Utf8View.
    Any,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Text => "STRING",
            Self::Int => "an integer",
            Self::Double | Self::Number => "a number",
            Self::Bool => "BOOLEAN",
            Self::Bytes => "BYTES",
            Self::TextOrBytes => "STRING or BYTES",
            Self::Moment => "DATE, TIME, TIMESTAMP or STRING",
            Self::MomentOrInterval => "DATE, TIME, TIMESTAMP, INTERVAL or STRING",
            Self::TextOrNumber => "STRING or a number",
            Self::List => "ARRAY",
            Self::Map => "MAP",
            Self::Collection => "ARRAY or MAP",
            Self::Any => "any type",
        }
    }

    /// The type that planning brings an argument to. Strings and integers stay as they are, so that a
    /// constant stays a literal: result types depend on some.
    pub(super) fn coerce(self, t: &DataType) -> Option<DataType> {
        let seen = self.seen(t)?;
        let kept = match self {
            Self::Text | Self::TextOrBytes | Self::Moment | Self::MomentOrInterval => {
                seen == DataType::Utf8View
            }
            Self::Int | Self::TextOrNumber => matches!(seen, DataType::Utf8View | DataType::Int64),
            _ => false,
        };
        let plain = !matches!(t, DataType::Dictionary(_, _) | DataType::Null);
        Some(if kept && plain { t.clone() } else { seen })
    }

    /// The type that a body sees.
    fn seen(self, t: &DataType) -> Option<DataType> {
        use DataType as D;
        if let D::Dictionary(_, v) = t {
            return self.seen(v);
        }
        let text = matches!(t, D::Utf8 | D::Utf8View | D::LargeUtf8);
        let null = matches!(t, D::Null);
        let bytes = matches!(t, D::Binary | D::BinaryView | D::LargeBinary | D::FixedSizeBinary(_));
        let list = match t {
            D::List(f) | D::LargeList(f) | D::FixedSizeList(f, _) => Some(D::List(f.clone())),
            _ => None,
        };
        match self {
            Self::Text if text || null => Some(D::Utf8View),
            Self::Int if t.is_integer() || null => Some(D::Int64),
            Self::Double if t.is_numeric() || null => Some(D::Float64),
            Self::Number if null => Some(D::Int32),
            Self::Number if t.is_numeric() => Some(narrow(t)),
            Self::Bool if null || *t == D::Boolean => Some(D::Boolean),
            Self::Bytes if bytes || null => Some(D::BinaryView),
            Self::TextOrBytes if text || null => Some(D::Utf8View),
            Self::TextOrBytes if bytes => Some(D::BinaryView),
            Self::MomentOrInterval => match t {
                D::Interval(IntervalUnit::YearMonth) => Some(t.clone()),
                D::Interval(_) | D::Duration(_) => Some(D::Interval(IntervalUnit::MonthDayNano)),
                t => Self::Moment.seen(t),
            },
            Self::Moment if text || null => Some(D::Utf8View),
            Self::Moment => match t {
                D::Date32 | D::Timestamp(_, _) => Some(t.clone()),
                D::Date64 => Some(D::Timestamp(TimeUnit::Millisecond, None)),
                D::Time32(_) | D::Time64(_) => Some(D::Time32(TimeUnit::Millisecond)),
                _ => None,
            },
            Self::TextOrNumber if text || null => Some(D::Utf8View),
            Self::TextOrNumber if t.is_integer() => Some(D::Int64),
            Self::TextOrNumber if t.is_numeric() => Some(D::Float64),
            Self::List | Self::Collection if null => {
                Some(D::List(Arc::new(Field::new_list_field(D::Null, true))))
            }
            Self::List => list,
            Self::Map | Self::Collection if matches!(t, D::Map(_, _)) => Some(t.clone()),
            Self::Collection => list,
            Self::Any if text => Some(D::Utf8View),
            Self::Any if bytes => Some(D::BinaryView),
            Self::Any => Some(list.unwrap_or_else(|| t.clone())),
            _ => None,
        }
    }
}

/// Unsigned and half-width numbers do not exist in SQL: the next signed or wider one.
fn narrow(t: &DataType) -> DataType {
    match t {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        other => other.clone(),
    }
}

/// What decides a result type.
pub(crate) struct Typing<'a> {
    pub types: &'a [DataType],
    pub constants: &'a [Option<&'a ScalarValue>],
    pub context: &'a FunctionContext,
}

impl Typing<'_> {
    /// A constant argument as text.
    pub fn text(&self, i: usize) -> Option<&str> {
        match self.constants.get(i)? {
            Some(ScalarValue::Utf8(s) | ScalarValue::Utf8View(s) | ScalarValue::LargeUtf8(s)) => s.as_deref(),
            _ => None,
        }
    }
    /// A constant argument as integer.
    pub fn int(&self, i: usize) -> Option<i64> {
        match self.constants.get(i)? {
            Some(ScalarValue::Int64(v)) => *v,
            Some(ScalarValue::Int32(v)) => v.map(i64::from),
            Some(ScalarValue::Int16(v)) => v.map(i64::from),
            Some(ScalarValue::Int8(v)) => v.map(i64::from),
            _ => None,
        }
    }
    pub fn zone(&self) -> Option<Arc<str>> {
        Some(self.context.zone.as_str().into())
    }
}

/// The result type.
pub(crate) enum Returns {
    Text,
    Bytes,
    Int,
    Long,
    Double,
    Bool,
    Date,
    /// The type of the first argument.
    First,
    /// Computed from arguments and constants.
    With(fn(&Typing<'_>) -> Result<DataType>),
}

type Body = fn(&Call<'_>) -> Result<ArrayRef>;
type Coercion = fn(&[DataType]) -> Result<Vec<DataType>>;
type Check = fn(&Typing<'_>) -> Result<()>;

/// One function of the table.
pub(crate) struct Definition {
    pub names: &'static [&'static str],
    args: &'static [Kind],
    optional: usize,
    variadic: bool,
    returns: Returns,
    body: Body,
    volatile: bool,
    coercion: Option<Coercion>,
    check: Option<Check>,
    metadata: Option<(&'static str, &'static str)>,
}

/// A function with its names, argument kinds, result and body.
pub(crate) const fn define(
    names: &'static [&'static str],
    args: &'static [Kind],
    returns: Returns,
    body: Body,
) -> Definition {
    Definition {
        names,
        args,
        optional: 0,
        variadic: false,
        returns,
        body,
        volatile: false,
        coercion: None,
        check: None,
        metadata: None,
    }
}

impl Definition {
    /// Kinds of arguments and result, as people read them: `(STRING [, an integer]) -> STRING`.
    pub fn signature(&self) -> String {
        let required = self.args.len() - self.optional.min(self.args.len());
        let mut text = String::from("(");
        for (i, kind) in self.args.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match i < required {
                true => text.push_str(&format!("{comma}{}", kind.words())),
                false => text.push_str(&format!("[{comma}{}]", kind.words())),
            }
        }
        text.push_str(if self.variadic { ", ...)" } else { ")" });
        let result = match self.returns {
            Returns::Text => "STRING",
            Returns::Bytes => "BYTES",
            Returns::Int => "INT",
            Returns::Long => "BIGINT",
            Returns::Double => "DOUBLE",
            Returns::Bool => "BOOLEAN",
            Returns::Date => "DATE",
            Returns::First => "the type of the first argument",
            Returns::With(_) => return text,
        };
        text + " -> " + result
    }

    /// The last `n` arguments may be left out.
    pub const fn optional(mut self, n: usize) -> Self {
        self.optional = n;
        self
    }
    /// The last argument may be repeated, also zero times if it is optional.
    pub const fn variadic(mut self) -> Self {
        self.variadic = true;
        self
    }
    /// Every call gives another value: never folded to a constant.
    pub const fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }
    /// Argument types that depend on each other; applied after the kinds.
    pub const fn coerce(mut self, coercion: Coercion) -> Self {
        self.coercion = Some(coercion);
        self
    }
    /// Looks at constant arguments when the query is planned.
    pub const fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }
    /// Metadata of the result's field.
    pub const fn metadata(mut self, key: &'static str, value: &'static str) -> Self {
        self.metadata = Some((key, value));
        self
    }

    /// The name for people: what begins with `$` is written another way.
    fn shown(&self) -> &'static str {
        match self.names[0] {
            "$AT" => "[ ]",
            "$SIMILAR" => "SIMILAR TO",
            "$IS_JSON" => "IS JSON",
            name => name.trim_start_matches('$'),
        }
    }

    fn usage(&self) -> String {
        let kinds: Vec<&str> = self.args.iter().map(|k| k.words()).collect();
        let more = if self.variadic { ", ..." } else { "" };
        let optional = match self.optional {
            0 => String::new(),
            n => format!("; the last {n} may be left out"),
        };
        format!("{}({}{more}){optional}", self.shown(), kinds.join(", "))
    }

    /// The kind of an argument; the last one repeats.
    fn kind(&self, i: usize) -> Option<Kind> {
        self.args.get(i).or(self.args.last()).copied()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let least = self.args.len() - self.optional;
        if types.len() < least || (types.len() > self.args.len() && !self.variadic) {
            return Err(Error::plan(format!("{} does not take {} arguments", self.shown(), types.len()))
                .with_hint(format!("use {}", self.usage())));
        }
        let mut coerced = Vec::with_capacity(types.len());
        for (i, t) in types.iter().enumerate() {
            let Some(kind) = self.kind(i) else { continue };
            coerced.push(kind.coerce(t).ok_or_else(|| {
                let shown = SqlType::from_arrow(t).map_or_else(|| t.to_string(), |t| t.to_string());
                let what = match self.names[0] {
                    "$LIKE_PATTERN" => "the pattern of LIKE".to_string(),
                    _ => format!("argument {} of {}", i + 1, self.shown()),
                };
                Error::plan(format!("{what} must be {}, not {shown}", kind.words()))
                    .with_hint("CAST(... AS ...) converts it")
            })?);
        }
        match self.coercion {
            Some(coercion) => coercion(&coerced),
            None => Ok(coerced),
        }
    }
}

/// A [`Definition`] in a session.
pub(crate) struct Scalar {
    definition: &'static Definition,
    name: String,
    signature: Signature,
    context: FunctionContext,
}

impl Scalar {
    pub fn udf(definition: &'static Definition, context: &FunctionContext) -> Arc<ScalarUDF> {
        let volatility = if definition.volatile { Volatility::Volatile } else { Volatility::Immutable };
        Arc::new(ScalarUDF::from(Self {
            definition,
            name: definition.names[0].to_ascii_lowercase(),
            signature: Signature::user_defined(volatility),
            context: context.clone(),
        }))
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scalar").field("name", &self.name).finish_non_exhaustive()
    }
}
impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.context.zone == other.context.zone
    }
}
impl Eq for Scalar {}
impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        &self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> datafusion_common::Result<Vec<DataType>> {
        Ok(self.definition.coerce_types(types)?)
    }
    fn return_type(&self, types: &[DataType]) -> datafusion_common::Result<DataType> {
        let none = vec![None; types.len()];
        Ok(self.result(&Typing { types, constants: &none, context: &self.context })?)
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> datafusion_common::Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let typing = Typing { types: &types, constants: args.scalar_arguments, context: &self.context };
        let mut field = Field::new(&self.name, self.result(&typing)?, true);
        if let Some((key, value)) = self.definition.metadata {
            field.set_metadata([(key.to_string(), value.to_string())].into());
        }
        Ok(Arc::new(field))
    }
    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        // A later value is asked for where the first is NULL.
        let (first, later) = args.split_first().filter(|_| self.name == "coalesce")?;
        Some((vec![first], later.iter().collect()))
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion_common::Result<ColumnarValue> {
        let constant =
            !self.definition.volatile && args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let mut types = Vec::with_capacity(args.args.len());
        let mut values = Vec::with_capacity(args.args.len());
        for (i, value) in args.args.iter().enumerate() {
            let (mut array, step) = match value {
                ColumnarValue::Array(a) => (Arc::clone(a), 1),
                ColumnarValue::Scalar(s) => (s.to_array()?, 0),
            };
            if let Some(seen) = self.definition.kind(i).and_then(|k| k.seen(array.data_type()))
                && seen != *array.data_type()
            {
                let options = CastOptions { safe: false, ..Default::default() };
                array = cast_with_options(&array, &seen, &options)?;
            }
            types.push(array.data_type().clone());
            values.push(Arg { array, step });
        }
        let call = Call {
            definition: self.definition,
            args: values,
            types,
            rows,
            returns: args.return_field.data_type(),
            context: &self.context,
        };
        let result = (self.definition.body)(&call)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

impl Scalar {
    fn result(&self, typing: &Typing<'_>) -> Result<DataType> {
        if let Some(check) = self.definition.check {
            check(typing)?;
        }
        Ok(match &self.definition.returns {
            Returns::Text => DataType::Utf8View,
            Returns::Bytes => DataType::BinaryView,
            Returns::Int => DataType::Int32,
            Returns::Long => DataType::Int64,
            Returns::Double => DataType::Float64,
            Returns::Bool => DataType::Boolean,
            Returns::Date => DataType::Date32,
            Returns::First => typing.types.first().cloned().unwrap_or(DataType::Null),
            Returns::With(f) => f(typing)?,
        })
    }
}

/// An argument: a column, or a constant of one row that is read with step 0.
pub(crate) struct Arg {
    pub array: ArrayRef,
    pub step: usize,
}

/// A call for one batch.
pub(crate) struct Call<'a> {
    definition: &'static Definition,
    pub args: Vec<Arg>,
    pub types: Vec<DataType>,
    pub rows: usize,
    pub returns: &'a DataType,
    pub context: &'a FunctionContext,
}

/// A typed argument.
pub(crate) struct Values<'a, A> {
    pub array: &'a A,
    pub step: usize,
}

impl<'a, A: Array> Values<'a, A> {
    /// The index of a row in the array, unless the value is NULL.
    #[inline]
    pub fn at(&self, row: usize) -> Option<usize> {
        let i = row * self.step;
        if self.array.is_null(i) { None } else { Some(i) }
    }
    pub fn constant(&self) -> bool {
        self.step == 0
    }
}
impl<'a> Values<'a, StringViewArray> {
    #[inline]
    pub fn get(&self, row: usize) -> Option<&'a str> {
        self.at(row).map(|i| self.array.value(i))
    }
}
impl<'a> Values<'a, BinaryViewArray> {
    #[inline]
    pub fn get(&self, row: usize) -> Option<&'a [u8]> {
        self.at(row).map(|i| self.array.value(i))
    }
}
impl<T: ArrowPrimitiveType> Values<'_, PrimitiveArray<T>> {
    #[inline]
    pub fn get(&self, row: usize) -> Option<T::Native> {
        self.at(row).map(|i| self.array.value(i))
    }
}
impl Values<'_, BooleanArray> {
    #[inline]
    pub fn get(&self, row: usize) -> Option<bool> {
        self.at(row).map(|i| self.array.value(i))
    }
}

impl<'a> Call<'a> {
    pub fn name(&self) -> &'static str {
        self.definition.names[0]
    }
    /// Whether argument `i` was given.
    pub fn has(&self, i: usize) -> bool {
        i < self.args.len()
    }
    /// The Arrow type of an argument.
    pub fn kind(&self, i: usize) -> &DataType {
        &self.types[i]
    }
    /// An argument as its array type.
    pub fn values<A: Any>(&self, i: usize) -> Result<Values<'_, A>> {
        let arg =
            self.args.get(i).ok_or_else(|| Error::internal(format!("{} lacks an argument", self.name())))?;
        let array = arg.array.as_any().downcast_ref::<A>().ok_or_else(|| {
            Error::internal(format!("{} got {} as argument {}", self.name(), arg.array.data_type(), i + 1))
        })?;
        Ok(Values { array, step: arg.step })
    }
    pub fn text(&self, i: usize) -> Result<Values<'_, StringViewArray>> {
        self.values(i)
    }
    pub fn bytes(&self, i: usize) -> Result<Values<'_, BinaryViewArray>> {
        self.values(i)
    }
    pub fn int(&self, i: usize) -> Result<Values<'_, Int64Array>> {
        self.values(i)
    }
    pub fn double(&self, i: usize) -> Result<Values<'_, Float64Array>> {
        self.values(i)
    }
    pub fn boolean(&self, i: usize) -> Result<Values<'_, BooleanArray>> {
        self.values(i)
    }
    pub fn decimal(&self, i: usize) -> Result<Values<'_, Decimal128Array>> {
        self.values(i)
    }
    pub fn list(&self, i: usize) -> Result<Values<'_, ListArray>> {
        self.values(i)
    }
    pub fn map(&self, i: usize) -> Result<Values<'_, MapArray>> {
        self.values(i)
    }
    /// An argument as a column of all rows.
    pub fn column(&self, i: usize) -> Result<ArrayRef> {
        let arg = &self.args[i];
        if arg.step == 1 {
            return Ok(Arc::clone(&arg.array));
        }
        Ok(ScalarValue::try_from_array(&arg.array, 0)?.to_array_of_size(self.rows)?)
    }
    /// The constant text of an argument, or an error that asks for a constant.
    pub fn constant_text(&self, i: usize) -> Result<Option<&str>> {
        let values = self.text(i)?;
        if !values.constant() {
            return Err(Error::unsupported(format!(
                "argument {} of {} must be a constant",
                i + 1,
                self.name()
            )));
        }
        Ok(values.get(0))
    }

    /// All rows NULL.
    pub fn nulls(&self) -> ArrayRef {
        new_null_array(self.returns, self.rows)
    }
    /// Text: the closure writes a row's text into the buffer, or says NULL.
    pub fn texts(&self, mut f: impl FnMut(usize, &mut String) -> Result<Option<()>>) -> Result<ArrayRef> {
        let mut builder = StringViewBuilder::with_capacity(self.rows);
        let mut buffer = String::new();
        for row in 0..self.rows {
            buffer.clear();
            match f(row, &mut buffer)? {
                Some(()) => builder.try_append_value(&buffer)?,
                None => builder.append_null(),
            }
        }
        Ok(Arc::new(builder.finish()))
    }
    /// Text that is a part of an argument.
    pub fn slices<'s>(&self, mut f: impl FnMut(usize) -> Result<Option<&'s str>>) -> Result<ArrayRef> {
        let mut builder = StringViewBuilder::with_capacity(self.rows);
        for row in 0..self.rows {
            match f(row)? {
                Some(s) => builder.try_append_value(s)?,
                None => builder.append_null(),
            }
        }
        Ok(Arc::new(builder.finish()))
    }
    /// Bytes: the closure writes a row's bytes into the buffer, or says NULL.
    pub fn blobs(&self, mut f: impl FnMut(usize, &mut Vec<u8>) -> Result<Option<()>>) -> Result<ArrayRef> {
        let mut builder = BinaryViewBuilder::with_capacity(self.rows);
        let mut buffer = Vec::new();
        for row in 0..self.rows {
            buffer.clear();
            match f(row, &mut buffer)? {
                Some(()) => builder.try_append_value(&buffer)?,
                None => builder.append_null(),
            }
        }
        Ok(Arc::new(builder.finish()))
    }
    /// Numbers and times; the type is the result's.
    pub fn numbers<T: ArrowPrimitiveType>(
        &self,
        mut f: impl FnMut(usize) -> Result<Option<T::Native>>,
    ) -> Result<ArrayRef> {
        let mut builder = PrimitiveArray::<T>::builder(self.rows);
        for row in 0..self.rows {
            builder.append_option(f(row)?);
        }
        Ok(Arc::new(builder.finish().with_data_type(self.returns.clone())))
    }
    /// Booleans.
    pub fn booleans(&self, mut f: impl FnMut(usize) -> Result<Option<bool>>) -> Result<ArrayRef> {
        let mut builder = BooleanArray::builder(self.rows);
        for row in 0..self.rows {
            builder.append_option(f(row)?);
        }
        Ok(Arc::new(builder.finish()))
    }
}

/// The type that holds values of all types.
pub(crate) fn common_type(name: &str, types: &[DataType]) -> Result<DataType> {
    let all = || -> Option<DataType> {
        let nested = types.iter().all(|t| t.is_nested() || *t == DataType::Null);
        nested.then(|| datafusion_expr::type_coercion::binary::type_union_resolution(types))?
    };
    super::common::common_all(types).or_else(all).ok_or_else(|| {
        let mut shown: Vec<String> = Vec::new();
        for t in types.iter().filter(|t| **t != DataType::Null) {
            let t =
                crate::sql::types::SqlType::from_arrow(t).map_or_else(|| t.to_string(), |t| t.to_string());
            if !shown.contains(&t) {
                shown.push(t);
            }
        }
        Error::plan(format!("the arguments of {name} have no common type: {}", shown.join(", ")))
            .with_hint("CAST them to one type")
    })
}

impl From<Error> for Box<DataFusionError> {
    fn from(e: Error) -> Self {
        Box::new(e.into())
    }
}
