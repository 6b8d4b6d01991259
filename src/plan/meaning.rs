//! The meaning of a node: what decides the content of its state, in a form of our own.
//!
//! A node says three things:
//! - which **rows** come out of it: the table they are read from, what filters, multiplies or aggregates them;
//! - what each of its **columns** is: a column of a table, or an expression over such columns, however many steps
//!   compute it and whatever they call it on the way;
//! - what its own **state** depends on, as named parts (`keys`, `calls`, `window`, ...).
//!
//! ```text
//!  SELECT x AS k, COUNT(*) FROM (SELECT a + 1 AS x FROM t WHERE v > 50) AS s GROUP BY x
//!
//!  Source     rows: t                    columns: t.a, t.v
//!  Calc       rows: t where (50 < t.v)   columns: (1 + t.a)
//!  Aggregate  state: rows=[t where (50 < t.v)] keys=[(1 + t.a):INT] calls=[count(1):BIGINT]
//! ```
//! The text of expressions and types is written here and nowhere else: no printed form of a dependency and no word
//! of EXPLAIN is part of it. Operands that may change places are sorted, and `>` is written as `<`. A long
//! text is replaced by its digest, so that views over views do not grow without bound.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Column, ScalarValue};
use datafusion_expr::expr::{AggregateFunction, NullTreatment, Sort};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{BinaryExpr, Expr, Operator};

use super::graph::Node;
use crate::digest::digest;
use crate::function::shift::direction;
use crate::function::tree::Tree;
use crate::operator::aggregate::AggregateCall;
use crate::operator::guard::LATE;
use crate::operator::top_n::SortColumn;
use crate::operator::window::{WindowKind, WindowSpec};

/// The text of a column or of a stream of rows.
pub type Text = Arc<str>;

/// A text that is longer is replaced by its digest.
const LONGEST: usize = 240;

fn short(text: String) -> Text {
    if text.len() <= LONGEST { text.into() } else { format!("#{}", digest(&text)).into() }
}

/// What a state depends on: named parts, and the version of their form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    kind: &'static str,
    /// Raised when state of this kind is kept in another way, so that the old one is not taken for it.
    version: u32,
    parts: Vec<(&'static str, String)>,
}

impl Parts {
    /// Of a kind of operator.
    pub fn new(kind: &'static str, version: u32) -> Self {
        Self { kind, version, parts: Vec::new() }
    }

    /// Adds a part.
    #[must_use]
    pub fn with(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.parts.push((name, text.into()));
        self
    }

    /// Adds a part that is there or not.
    #[must_use]
    pub fn flag(self, name: &'static str, on: bool) -> Self {
        if on { self.with(name, "yes") } else { self }
    }

    /// The rows of an input, with what filters leave out: a state that was computed from them.
    #[must_use]
    pub fn rows(self, name: &'static str, input: &Node) -> Self {
        let text = input.meaning.rows_text();
        self.with(name, text)
    }

    /// Where the rows of an input come from, whatever filters leave out: a state of rows that are under way.
    #[must_use]
    pub fn stream(self, name: &'static str, input: &Node) -> Self {
        let text = input.meaning.stream.to_string();
        self.with(name, text)
    }

    /// Columns of an input, with their types.
    #[must_use]
    pub fn columns(self, name: &'static str, input: &Node, columns: &[usize]) -> Self {
        let text = columns.iter().map(|&c| input.typed(c)).collect::<Vec<_>>().join(", ");
        self.with(name, text)
    }

    /// All columns of an input, with their types: the rows are kept.
    #[must_use]
    pub fn kept(self, name: &'static str, input: &Node) -> Self {
        let all: Vec<usize> = (0..input.arrow.fields().len()).collect();
        self.columns(name, input, &all)
    }

    /// Columns that order rows.
    #[must_use]
    pub fn order(self, name: &'static str, input: &Node, order: &[SortColumn]) -> Self {
        let column = |s: &SortColumn| {
            let direction = if s.descending { "desc" } else { "asc" };
            let nulls = if s.nulls_first { "nulls first" } else { "nulls last" };
            format!("{} {direction} {nulls}", input.typed(s.column))
        };
        let text = order.iter().map(column).collect::<Vec<_>>().join(", ");
        self.with(name, text)
    }

    /// The others but one.
    #[must_use]
    fn without(mut self, name: &str) -> Self {
        self.parts.retain(|(part, _)| *part != name);
        self
    }

    /// Adds the parts of another one.
    #[must_use]
    pub fn and(mut self, others: &Parts) -> Self {
        self.parts.extend(others.parts.iter().cloned());
        self
    }

    /// A condition over the columns of some inputs, as a set of conjuncts.
    #[must_use]
    pub fn condition<'a>(
        self,
        name: &'static str,
        conjuncts: impl IntoIterator<Item = &'a Expr>,
        columns: &dyn Fn(&Column) -> Option<Text>,
    ) -> Self {
        let mut all: BTreeSet<Text> = BTreeSet::new();
        for conjunct in conjuncts {
            all.extend(split_conjunction(conjunct).into_iter().map(|e| expression(e, columns)));
        }
        match all.is_empty() {
            true => self,
            false => self.with(name, all.iter().map(|t| &**t).collect::<Vec<_>>().join(" and ")),
        }
    }

    /// The parts, for people: what has changed between two plans.
    pub fn into_list(self) -> Vec<(String, String)> {
        self.parts.into_iter().map(|(name, text)| (name.to_string(), text)).collect()
    }

    /// The text that is hashed.
    fn text(&self) -> String {
        let mut text = format!("{}/{}", self.kind, self.version);
        for (name, part) in &self.parts {
            // With lengths, so that no text can be taken for another one.
            let _ = write!(text, "\n{name}:{}:{part}", part.len());
        }
        text
    }

    /// `GroupAggregate#5f0c22a19d3b8c1f00d2aa10`
    fn name(&self) -> Text {
        format!("{}#{}", self.kind, digest(&self.text())).into()
    }
}

/// What a node's rows, columns and state mean.
#[derive(Debug, Clone)]
pub struct Meaning {
    /// Which rows, before `filters`.
    rows: Text,
    filters: BTreeSet<Text>,
    /// Where the rows come from, whatever filters leave out.
    stream: Text,
    /// What each column is.
    pub columns: Vec<Text>,
    /// What the state of the node depends on; `None`: it keeps none.
    pub state: Option<Parts>,
    /// What it was said to depend on before, by which older checkpoints know it.
    pub earlier: Option<Parts>,
}

impl Meaning {
    /// The rows of a table.
    pub fn table<'a>(name: &str, columns: impl IntoIterator<Item = &'a String>) -> Self {
        let rows: Text = name.into();
        let columns = columns.into_iter().map(|c| short(format!("{name}.{c}"))).collect();
        Self { stream: rows.clone(), rows, filters: BTreeSet::new(), columns, state: None, earlier: None }
    }

    /// Rows that stand in the query.
    pub fn values(text: &str, columns: usize) -> Self {
        let rows = Parts::new("Values", 1).with("rows", text).name();
        let columns = (0..columns).map(|i| short(format!("{rows}.{i}"))).collect();
        Self { stream: rows.clone(), rows, filters: BTreeSet::new(), columns, state: None, earlier: None }
    }

    /// The rows that an operator makes from its state.
    pub fn made(state: Parts, columns: Vec<Text>) -> Self {
        let rows = state.name();
        let state = Some(state);
        Self { stream: rows.clone(), rows, filters: BTreeSet::new(), columns, state, earlier: None }
    }

    /// The same rows, from a state that does not depend on one of the parts.
    #[must_use]
    pub fn independent_of(self, part: &str) -> Self {
        let Some(all) = self.state.clone() else { return self };
        let state = all.clone().without(part);
        if state == all {
            return self;
        }
        Self { state: Some(state), earlier: Some(all), ..self }
    }

    /// Rows that pass an operator which adds columns to them or multiplies them. `what` is it without its input.
    pub fn passed(what: Parts, input: &Node, columns: Vec<Text>) -> Self {
        let rows = what.clone().rows("rows", input).name();
        let stream = what.stream("rows", input).name();
        Self { rows, filters: BTreeSet::new(), stream, columns, state: None, earlier: None }
    }

    /// Rows that pass a join which may leave some out: `all` is it without its input, `stream` without its filters.
    pub fn looked_up(all: Parts, stream: Parts, input: &Node, columns: Vec<Text>) -> Self {
        let stream = Self::passed(stream, input, Vec::new()).stream;
        Self { stream, ..Self::passed(all, input, columns) }
    }

    /// The same rows, of which an operator keeps something.
    #[must_use]
    pub fn keeping(self, state: Parts) -> Self {
        Self { state: Some(state), earlier: None, ..self }
    }

    /// The columns of a projection over another input that has the same columns.
    #[must_use]
    pub fn over(self, input: &Node) -> Self {
        let Meaning { rows, filters, stream, .. } = input.meaning.clone();
        Self { rows, filters, stream, ..self }
    }

    /// The rows of several inputs.
    pub fn union(inputs: &[&Node]) -> Self {
        let all = |text: &dyn Fn(&Node) -> String| {
            let parts = inputs.iter().fold(Parts::new("Union", 1), |parts, n| parts.with("rows", text(n)));
            parts.name()
        };
        let width = inputs.iter().map(|n| n.meaning.columns.len()).min().unwrap_or_default();
        let column = |i: usize| {
            let texts: Vec<&str> = inputs.iter().filter_map(|n| Some(&**n.meaning.columns.get(i)?)).collect();
            short(format!("either({})", texts.join(", ")))
        };
        Self {
            rows: all(&|n| n.meaning.rows_text()),
            filters: BTreeSet::new(),
            stream: all(&|n| n.meaning.stream.to_string()),
            columns: (0..width).map(column).collect(),
            state: None,
            earlier: None,
        }
    }

    /// The rows that pass a condition, with columns computed from them.
    pub fn calc(input: &Node, condition: Option<&Expr>, projection: Option<&[Expr]>) -> Self {
        let text = |e: &Expr| expression(e, &|c| input.column_text(c));
        let mut filters = input.meaning.filters.clone();
        filters.extend(condition.into_iter().flat_map(split_conjunction).map(text));
        Self {
            filters,
            columns: match projection {
                Some(exprs) => exprs.iter().map(text).collect(),
                None => input.meaning.columns.clone(),
            },
            state: None,
            earlier: None,
            ..input.meaning.clone()
        }
    }

    /// What the rows are called, with and without what filters leave out.
    pub fn names(&self) -> [&str; 2] {
        [&self.rows, &self.stream]
    }

    /// The same rows, whose state is known by other parts from now on.
    #[must_use]
    pub fn known_by(self, state: Parts) -> Self {
        Self { earlier: self.state, state: Some(state), ..self }
    }

    /// Which rows these are.
    pub fn rows_text(&self) -> String {
        let filters: Vec<&str> = self.filters.iter().map(|f| &**f).collect();
        match filters.is_empty() {
            true => self.rows.to_string(),
            false => format!("{} where {}", self.rows, filters.join(" and ")),
        }
    }

    /// The text whose digest was the identity of the node's state before, if it was another one.
    pub fn earlier_text(&self) -> Option<String> {
        self.earlier.as_ref().map(Parts::text)
    }

    /// The text whose digest is the identity of the node's state.
    pub fn identity_text(&self) -> String {
        match &self.state {
            Some(state) => state.text(),
            None => format!("stateless\n{}", self.rows_text()),
        }
    }

    /// Its columns, as those of one side of a join.
    pub fn side(&self, side: &str) -> impl Iterator<Item = Text> {
        self.columns.iter().map(move |c| short(format!("{side}:{c}")))
    }
}

impl Node {
    /// What a column is, by its name in expressions.
    pub fn column_text(&self, column: &Column) -> Option<Text> {
        let index = self.schema.maybe_index_of_column(column)?;
        self.meaning.columns.get(index).cloned()
    }

    /// A column with its type.
    pub fn typed(&self, column: usize) -> String {
        let text = self.meaning.columns.get(column).map_or("?", |t| &**t);
        match self.arrow.fields().get(column) {
            Some(field) => format!("{text}:{}", data_type(field.data_type())),
            None => text.to_string(),
        }
    }

    /// What ORDER BY says of its columns.
    pub fn order_text(&self, order: &[Sort]) -> String {
        order.iter().map(|s| sorted(s, &|c| self.column_text(c))).collect::<Vec<_>>().join(", ")
    }

    /// An expression over its columns.
    pub fn text_of(&self, expr: &Expr) -> Text {
        expression(expr, &|c| self.column_text(c))
    }
}

/// Columns of two sides, by their names in expressions.
pub fn of_sides<'a>(left: &'a Node, right: &'a Node) -> impl Fn(&Column) -> Option<Text> + 'a {
    move |column| {
        let of = |side: &str, node: &Node| Some(short(format!("{side}:{}", node.column_text(column)?)));
        of("left", left).or_else(|| of("right", right))
    }
}

/// The output of a join: columns of the left side, then those of the right one.
pub fn joined(left: &Node, right: &Node) -> Vec<Text> {
    left.meaning.side("left").chain(right.meaning.side("right")).collect()
}

/// Windows.
pub fn windows(spec: &WindowSpec) -> String {
    let kind = match spec.kind {
        WindowKind::Tumble { size } => format!("tumble {size} ms"),
        WindowKind::Hop { slide, size } => format!("hop {size} ms every {slide} ms"),
        WindowKind::Cumulate { step, size } => format!("cumulate {size} ms by {step} ms"),
        WindowKind::Session { gap } => format!("session {gap} ms"),
    };
    let offset = if spec.offset == 0 { String::new() } else { format!(" offset {} ms", spec.offset) };
    let zone = spec.zone.as_ref().map_or_else(String::new, |zone| format!(" in {zone}"));
    format!("{kind}{offset}{zone}")
}

/// Aggregate calls over an input: the expressions of a query and what was made of them.
pub fn calls(input: &Node, exprs: &[Expr], calls: &[AggregateCall]) -> Vec<Text> {
    let text = |(expr, call): (&Expr, &AggregateCall)| {
        let types: Vec<String> = call.arg_types.iter().map(data_type).collect();
        let result = data_type(&call.data_type);
        short(format!("{}({}):{result}", input.text_of(expr), types.join(", ")))
    };
    exprs.iter().zip(calls).map(text).collect()
}

/// The type of a value.
pub fn data_type(t: &DataType) -> String {
    let digits = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    match t {
        DataType::Null => "NULL".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 => "UTINYINT".into(),
        DataType::UInt16 => "USMALLINT".into(),
        DataType::UInt32 => "UINT".into(),
        DataType::UInt64 => "UBIGINT".into(),
        DataType::Float16 => "HALF".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTES".into(),
        DataType::FixedSizeBinary(length) => format!("BINARY({length})"),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => format!("DECIMAL({p}, {s})"),
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("TIME({})", digits(unit)),
        DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", digits(unit)),
        // State holds instants: the zone they are shown in is not part of it.
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", digits(unit)),
        DataType::Duration(unit) => format!("DURATION({})", digits(unit)),
        DataType::Interval(IntervalUnit::YearMonth) => "INTERVAL YEAR TO MONTH".into(),
        DataType::Interval(IntervalUnit::DayTime) => "INTERVAL DAY TO SECOND".into(),
        DataType::Interval(IntervalUnit::MonthDayNano) => "INTERVAL".into(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("ARRAY<{}>", data_type(item.data_type())),
        DataType::Struct(fields) => {
            let field =
                |f: &Arc<arrow::datatypes::Field>| format!("{} {}", f.name(), data_type(f.data_type()));
            format!("ROW<{}>", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("MAP<{}, {}>", data_type(pair[0].data_type()), data_type(pair[1].data_type()))
            }
            other => format!("MAP<{}>", data_type(other)),
        },
        DataType::Dictionary(_, values) => data_type(values),
        DataType::RunEndEncoded(_, values) => data_type(values.data_type()),
        DataType::Union(..) => "UNION".into(),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn literal(value: &ScalarValue) -> String {
    use ScalarValue as S;
    fn or_null<T>(value: &Option<T>, text: impl Fn(&T) -> String) -> String {
        value.as_ref().map_or_else(|| "null".into(), text)
    }
    fn bytes(value: &Option<Vec<u8>>) -> String {
        or_null(value, |v| v.iter().fold("x".to_string(), |text, byte| format!("{text}{byte:02x}")))
    }
    /// Without zeros at its end: 1.50 is 1.5.
    fn decimal(digits: String, scale: i8) -> String {
        let negative = digits.starts_with('-');
        let digits = digits.trim_start_matches('-');
        let scale = usize::try_from(scale).unwrap_or_default();
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{}{whole}{point}{fraction}", if negative { "-" } else { "" })
    }
    match value {
        S::Null => "null".into(),
        S::Boolean(v) => or_null(v, bool::to_string),
        S::Int8(v) => or_null(v, i8::to_string),
        S::Int16(v) => or_null(v, i16::to_string),
        S::Int32(v) => or_null(v, i32::to_string),
        S::Int64(v) => or_null(v, i64::to_string),
        S::UInt8(v) => or_null(v, u8::to_string),
        S::UInt16(v) => or_null(v, u16::to_string),
        S::UInt32(v) => or_null(v, u32::to_string),
        S::UInt64(v) => or_null(v, u64::to_string),
        S::Float32(v) => or_null(v, |v| format!("{v:?}")),
        S::Float64(v) => or_null(v, |v| format!("{v:?}")),
        S::Decimal32(v, _, scale) => or_null(v, |v| decimal(v.to_string(), *scale)),
        S::Decimal64(v, _, scale) => or_null(v, |v| decimal(v.to_string(), *scale)),
        S::Decimal128(v, _, scale) => or_null(v, |v| decimal(v.to_string(), *scale)),
        S::Utf8(v) | S::LargeUtf8(v) | S::Utf8View(v) => or_null(v, |v| quoted(v)),
        S::Binary(v) | S::LargeBinary(v) | S::BinaryView(v) | S::FixedSizeBinary(_, v) => bytes(v),
        S::Date32(v) => or_null(v, |v| format!("date {v}")),
        S::Date64(v) => or_null(v, |v| format!("date {}", v.div_euclid(86_400_000))),
        S::Time32Second(v) => or_null(v, |v| format!("time {v}s")),
        S::Time32Millisecond(v) => or_null(v, |v| format!("time {v}ms")),
        S::Time64Microsecond(v) => or_null(v, |v| format!("time {v}us")),
        S::Time64Nanosecond(v) => or_null(v, |v| format!("time {v}ns")),
        S::TimestampSecond(v, zone) => or_null(v, |v| format!("time {v}s{}", instant(zone))),
        S::TimestampMillisecond(v, zone) => or_null(v, |v| format!("time {v}ms{}", instant(zone))),
        S::TimestampMicrosecond(v, zone) => or_null(v, |v| format!("time {v}us{}", instant(zone))),
        S::TimestampNanosecond(v, zone) => or_null(v, |v| format!("time {v}ns{}", instant(zone))),
        S::IntervalYearMonth(v) => or_null(v, |v| format!("interval {v} 0 0")),
        S::IntervalDayTime(v) => {
            or_null(v, |v| format!("interval 0 {} {}", v.days, i64::from(v.milliseconds) * 1_000_000))
        }
        S::IntervalMonthDayNano(v) => {
            or_null(v, |v| format!("interval {} {} {}", v.months, v.days, v.nanoseconds))
        }
        S::DurationSecond(v) => or_null(v, |v| format!("duration {v}s")),
        S::DurationMillisecond(v) => or_null(v, |v| format!("duration {v}ms")),
        S::DurationMicrosecond(v) => or_null(v, |v| format!("duration {v}us")),
        S::DurationNanosecond(v) => or_null(v, |v| format!("duration {v}ns")),
        nested => nested_literal(nested),
    }
}

fn instant(zone: &Option<Arc<str>>) -> &'static str {
    if zone.is_some() { " utc" } else { "" }
}

/// ROW, ARRAY, MAP: their parts.
fn nested_literal(value: &ScalarValue) -> String {
    let Ok(array) = value.to_array() else { return "?".into() };
    let parts = |array: &dyn arrow::array::Array| -> String {
        let part = |i| ScalarValue::try_from_array(array, i).map_or_else(|_| "?".into(), |v| literal(&v));
        (0..array.len()).map(part).collect::<Vec<_>>().join(", ")
    };
    use arrow::array::AsArray;
    if value.is_null() {
        return "null".into();
    }
    match array.data_type() {
        DataType::Struct(_) => {
            let columns = array.as_struct().columns();
            format!("row({})", columns.iter().map(|c| parts(c)).collect::<Vec<_>>().join(", "))
        }
        DataType::List(_) => format!("array({})", parts(&array.as_list::<i32>().value(0))),
        DataType::LargeList(_) => format!("array({})", parts(&array.as_list::<i64>().value(0))),
        DataType::Map(..) => {
            let entries = array.as_map().value(0);
            let columns = entries.columns();
            format!("map({})", columns.iter().map(|c| parts(c)).collect::<Vec<_>>().join("; "))
        }
        other => format!("?{}", data_type(other)),
    }
}

/// The name of an operator; whether its operands may change places.
fn operator(op: Operator) -> (&'static str, bool) {
    match op {
        Operator::Eq => ("=", true),
        Operator::NotEq => ("<>", true),
        Operator::Lt => ("<", false),
        Operator::LtEq => ("<=", false),
        Operator::Gt => (">", false),
        Operator::GtEq => (">=", false),
        Operator::Plus => ("+", true),
        Operator::Minus => ("-", false),
        Operator::Multiply => ("*", true),
        Operator::Divide => ("/", false),
        Operator::Modulo => ("%", false),
        Operator::And => ("and", true),
        Operator::Or => ("or", true),
        Operator::IsDistinctFrom => ("is distinct from", true),
        Operator::IsNotDistinctFrom => ("is not distinct from", true),
        Operator::RegexMatch => ("~", false),
        Operator::RegexIMatch => ("~*", false),
        Operator::RegexNotMatch => ("!~", false),
        Operator::RegexNotIMatch => ("!~*", false),
        Operator::LikeMatch => ("like", false),
        Operator::ILikeMatch => ("ilike", false),
        Operator::NotLikeMatch => ("not like", false),
        Operator::NotILikeMatch => ("not ilike", false),
        Operator::BitwiseAnd => ("&", true),
        Operator::BitwiseOr => ("|", true),
        Operator::BitwiseXor => ("^", true),
        Operator::BitwiseShiftRight => (">>", false),
        Operator::BitwiseShiftLeft => ("<<", false),
        Operator::StringConcat => ("||", false),
        Operator::AtArrow => ("@>", false),
        Operator::ArrowAt => ("<@", false),
        Operator::Arrow => ("->", false),
        Operator::LongArrow => ("->>", false),
        Operator::HashArrow => ("#>", false),
        Operator::HashLongArrow => ("#>>", false),
        Operator::AtAt => ("@@", false),
        Operator::IntegerDivide => ("div", false),
        Operator::HashMinus => ("#-", false),
        Operator::AtQuestion => ("@?", false),
        Operator::Question => ("?", false),
        Operator::QuestionAnd => ("?&", false),
        Operator::QuestionPipe => ("?|", false),
        Operator::Colon => (":", false),
    }
}

/// The operands of a chain of AND or of OR, each once, in order of their texts.
fn chain(expr: &Expr, of: Operator, columns: &dyn Fn(&Column) -> Option<Text>, all: &mut BTreeSet<Text>) {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if *op == of => {
            chain(left, of, columns, all);
            chain(right, of, columns, all);
        }
        other => {
            all.insert(expression(other, columns));
        }
    }
}

fn binary(expr: &BinaryExpr, columns: &dyn Fn(&Column) -> Option<Text>) -> String {
    let BinaryExpr { left, op, right } = expr;
    if matches!(op, Operator::And | Operator::Or) {
        let mut all = BTreeSet::new();
        for side in [left, right] {
            chain(side, *op, columns, &mut all);
        }
        let all: Vec<&str> = all.iter().map(|t| &**t).collect();
        return format!("({})", all.join(&format!(" {} ", operator(*op).0)));
    }
    operation(left, *op, right, columns)
}

/// `left op right`
fn operation(
    left: &Expr,
    written: Operator,
    right: &Expr,
    columns: &dyn Fn(&Column) -> Option<Text>,
) -> String {
    let (mut l, mut r) = (expression(left, columns), expression(right, columns));
    let op = match written {
        Operator::Gt => Operator::Lt,
        Operator::GtEq => Operator::LtEq,
        same => same,
    };
    let turned = op != written;
    let (name, commutes) = operator(op);
    if turned || (commutes && r < l) {
        std::mem::swap(&mut l, &mut r);
    }
    format!("({l} {name} {r})")
}

fn sorted(sort: &Sort, columns: &dyn Fn(&Column) -> Option<Text>) -> String {
    let direction = if sort.asc { "asc" } else { "desc" };
    let nulls = if sort.nulls_first { "nulls first" } else { "nulls last" };
    format!("{} {direction} {nulls}", expression(&sort.expr, columns))
}

fn aggregate(call: &AggregateFunction, columns: &dyn Fn(&Column) -> Option<Text>) -> String {
    let params = &call.params;
    let args: Vec<Text> = params.args.iter().map(|a| expression(a, columns)).collect();
    let mut text = call.func.name().to_ascii_lowercase();
    let _ = write!(text, "({}{})", if params.distinct { "distinct " } else { "" }, args.join(", "));
    if let Some(filter) = &params.filter {
        let _ = write!(text, " filter {}", expression(filter, columns));
    }
    if !params.order_by.is_empty() {
        let order: Vec<String> = params.order_by.iter().map(|s| sorted(s, columns)).collect();
        let _ = write!(text, " order by {}", order.join(", "));
    }
    match params.null_treatment {
        Some(NullTreatment::IgnoreNulls) => text.push_str(" ignore nulls"),
        Some(NullTreatment::RespectNulls) | None => {}
    }
    text
}

/// An expression in canonical form; `columns` says what a column is.
pub fn expression(expr: &Expr, columns: &dyn Fn(&Column) -> Option<Text>) -> Text {
    let of = |e: &Expr| expression(e, columns);
    let list = |all: &[Expr]| all.iter().map(|e| of(e).to_string()).collect::<Vec<_>>().join(", ");
    let not = |negated: bool| if negated { "not " } else { "" };
    let text = match expr {
        Expr::Alias(alias) => return of(&alias.expr),
        Expr::Column(column) => match columns(column) {
            Some(text) => return text,
            None => format!("?{}", column.name),
        },
        Expr::Literal(value, _) => literal(value),
        Expr::BinaryExpr(e) => binary(e, columns),
        Expr::Not(e) => format!("not {}", of(e)),
        Expr::IsNotNull(e) => format!("({} is not null)", of(e)),
        Expr::IsNull(e) => format!("({} is null)", of(e)),
        Expr::IsTrue(e) => format!("({} is true)", of(e)),
        Expr::IsFalse(e) => format!("({} is false)", of(e)),
        Expr::IsUnknown(e) => format!("({} is unknown)", of(e)),
        Expr::IsNotTrue(e) => format!("({} is not true)", of(e)),
        Expr::IsNotFalse(e) => format!("({} is not false)", of(e)),
        Expr::IsNotUnknown(e) => format!("({} is not unknown)", of(e)),
        Expr::Negative(e) => format!("-({})", of(e)),
        Expr::Like(like) => format!(
            "({} {}{} {}{})",
            of(&like.expr),
            not(like.negated),
            if like.case_insensitive { "ilike" } else { "like" },
            of(&like.pattern),
            like.escape_char.map_or_else(String::new, |c| format!(" escape {}", quoted(&c.to_string()))),
        ),
        Expr::SimilarTo(like) => format!(
            "({} {}similar to {}{})",
            of(&like.expr),
            not(like.negated),
            of(&like.pattern),
            like.escape_char.map_or_else(String::new, |c| format!(" escape {}", quoted(&c.to_string()))),
        ),
        Expr::Between(e) => {
            format!("({} {}between {} and {})", of(&e.expr), not(e.negated), of(&e.low), of(&e.high))
        }
        Expr::Case(case) => {
            let mut text = "case".to_string();
            if let Some(value) = &case.expr {
                let _ = write!(text, " {}", of(value));
            }
            for (when, then) in &case.when_then_expr {
                let _ = write!(text, " when {} then {}", of(when), of(then));
            }
            if let Some(value) = &case.else_expr {
                let _ = write!(text, " else {}", of(value));
            }
            text + " end"
        }
        Expr::Cast(cast) => format!("cast({} as {})", of(&cast.expr), data_type(cast.field.data_type())),
        Expr::TryCast(cast) => {
            format!("try_cast({} as {})", of(&cast.expr), data_type(cast.field.data_type()))
        }
        // It is its first argument, at its place.
        Expr::ScalarFunction(call) if call.name() == LATE && !call.args.is_empty() => {
            return call.args.first().map_or_else(|| "?".into(), of);
        }
        // A moment moved by an interval is `+` or `-`, whatever computes it.
        Expr::ScalarFunction(call) => match (direction(call.name()), call.args.as_slice()) {
            (Some(true), [left, right]) => operation(left, Operator::Minus, right, columns),
            (Some(false), [left, right]) => operation(left, Operator::Plus, right, columns),
            _ => format!("{}({})", call.name().to_ascii_lowercase(), list(&call.args)),
        },
        Expr::AggregateFunction(call) => aggregate(call, columns),
        Expr::WindowFunction(call) => {
            let params = &call.params;
            let order: Vec<String> = params.order_by.iter().map(|s| sorted(s, columns)).collect();
            format!(
                "{}({}{}) over ({}; {})",
                call.fun.name().to_ascii_lowercase(),
                if params.distinct { "distinct " } else { "" },
                list(&params.args),
                list(&params.partition_by),
                order.join(", ")
            )
        }
        Expr::InList(e) => {
            let values: BTreeSet<Text> = e.list.iter().map(of).collect();
            let values: Vec<&str> = values.iter().map(|t| &**t).collect();
            format!("({} {}in {})", of(&e.expr), not(e.negated), values.join(", "))
        }
        other => {
            // None of these reaches an operator today; what they are made of tells them apart.
            let mut parts = Vec::new();
            let visited = other.apply_children(|child| {
                parts.push(of(child).to_string());
                Ok(TreeNodeRecursion::Continue)
            });
            let name = if visited.is_ok() { other.variant_name() } else { "?" };
            format!("{}({})", name.to_ascii_lowercase(), parts.join(", "))
        }
    };
    short(text)
}

/// Rows that stand in a query, over no columns.
pub fn rows_of(rows: &[Vec<Expr>]) -> String {
    let none = |_: &Column| None;
    let row = |row: &Vec<Expr>| row.iter().map(|e| expression(e, &none).to_string()).collect::<Vec<_>>();
    rows.iter().map(|r| format!("({})", row(r).join(", "))).collect::<Vec<_>>().join(", ")
}
