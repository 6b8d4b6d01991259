//! Arguments of functions that take tables: `f(TABLE t PARTITION BY k, DESCRIPTOR(ts), 1)`.
//!
//! The parser hands a table argument over as a subquery, its PARTITION BY and ORDER BY as clauses of that
//! subquery (see `sql::query`). Here they become plans and columns again.

use std::fmt;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion_common::{Column, DFSchema, ScalarValue};
use datafusion_expr::planner::RelationPlannerContext;
use datafusion_expr::{ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, SortExpr};
use sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, ObjectName, SelectItem, SetExpr,
    Spanned, TableFactor,
};

use super::bind::span_of;
use super::lower::physical;
use crate::error::{Error, Result, Span};
use crate::nearest::nearest;
use crate::sql::Name;

/// `TABLE t [PARTITION BY k, ...] [ORDER BY o, ...]`
#[derive(Debug, Clone)]
pub(super) struct TableArgument {
    /// The rows; their columns have no qualifiers.
    pub plan: LogicalPlan,
    /// Columns of `plan`.
    pub partition_by: Vec<Expr>,
    /// Over columns of `plan`.
    pub order_by: Vec<SortExpr>,
}

/// Keys and values of a MAP.
pub(super) type Entries = Vec<(Expr, Expr)>;

/// What an argument is.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// `TABLE t` or a subquery.
    Table(TableArgument),
    /// `DESCRIPTOR(a, b)`.
    Descriptor(Vec<Name>),
    /// `MAP['k', 'v']`.
    Map(Entries),
    /// Any other expression.
    Scalar(Expr),
}

impl Value {
    /// What it is, for messages.
    fn kind(&self) -> &'static str {
        match self {
            Value::Table(_) => "a table",
            Value::Descriptor(_) => "a DESCRIPTOR",
            Value::Map(_) => "a MAP",
            Value::Scalar(_) => "a value",
        }
    }
}

/// An argument with its name, if it has one, and its place.
#[derive(Debug, Clone)]
pub(super) struct Argument {
    /// As written.
    pub name: Option<Name>,
    /// What it is.
    pub value: Value,
    /// Where it stands.
    pub span: Span,
}

/// The call of a function that takes tables.
#[derive(Debug, Clone)]
pub(super) struct TableCall {
    /// The function, in upper case.
    pub name: String,
    /// Where the call stands.
    pub span: Span,
    /// In the order written.
    pub arguments: Vec<Argument>,
}

/// A parameter of such a function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    /// In upper case.
    pub name: &'static str,
    /// Whether it can be left out.
    pub optional: bool,
}

impl Parameter {
    /// One that must be given.
    pub const fn required(name: &'static str) -> Self {
        Self { name, optional: false }
    }

    /// One that can be left out.
    pub const fn optional(name: &'static str) -> Self {
        Self { name, optional: true }
    }
}

/// The arguments of a call by the parameters they are for.
#[derive(Debug)]
pub(super) struct Arguments {
    /// The function, in upper case.
    pub function: String,
    /// Where the call stands.
    pub span: Span,
    parameters: &'static [Parameter],
    values: Vec<Option<Argument>>,
}

/// The function's name in upper case.
pub(super) fn function_name(name: &ObjectName) -> Option<String> {
    let [part] = name.0.as_slice() else { return None };
    part.as_ident().map(|i| i.value.to_ascii_uppercase())
}

/// The call in `TABLE(f(...))`.
pub(super) fn call_of(expr: &ast::Expr) -> Option<(ObjectName, Vec<FunctionArg>)> {
    let ast::Expr::Function(function) = expr else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    Some((function.name.clone(), list.args.clone()))
}

/// Reads the arguments of a call.
pub(super) fn table_arguments(
    name: &ObjectName,
    args: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
) -> Result<TableCall> {
    let span = span_of(name.span());
    let function = function_name(name).unwrap_or_else(|| name.to_string());
    let mut arguments: Vec<Argument> = Vec::with_capacity(args.len());
    for arg in args {
        let span = match span_of(arg.span()) {
            empty if empty == Span::default() => span,
            found => found,
        };
        let (name, arg) = match arg {
            FunctionArg::Unnamed(arg) => (None, arg),
            FunctionArg::Named { name, arg, .. } => {
                let span = span_of(name.span);
                (Some(Name { value: name.value, span }), arg)
            }
            FunctionArg::ExprNamed { .. } => {
                return Err(Error::plan(format!("an argument of {function} has no plain name")).at(span));
            }
        };
        let FunctionArgExpr::Expr(expr) = arg else {
            return Err(Error::plan(format!("'*' is not an argument of {function}")).at(span));
        };
        let value = argument(expr, context).map_err(|e| e.at(span))?;
        arguments.push(Argument { name, value, span });
    }
    Ok(TableCall { name: function, span, arguments })
}

fn argument(expr: ast::Expr, context: &mut dyn RelationPlannerContext) -> Result<Value> {
    match expr {
        ast::Expr::Nested(inner) if matches!(*inner, ast::Expr::Subquery(_)) => argument(*inner, context),
        ast::Expr::Subquery(query) => table(*query, context).map(Value::Table),
        ast::Expr::Function(function) => {
            let name = function_name(&function.name).unwrap_or_default();
            let FunctionArguments::List(list) = &function.args else {
                return Ok(Value::Scalar(context.sql_to_expr(ast::Expr::Function(function), &none())?));
            };
            match name.as_str() {
                "DESCRIPTOR" => descriptor(&list.args).map(Value::Descriptor),
                "$MAP" => entries(&list.args, context).map(Value::Map),
                _ => Ok(Value::Scalar(context.sql_to_expr(ast::Expr::Function(function), &none())?)),
            }
        }
        other => Ok(Value::Scalar(context.sql_to_expr(other, &none())?)),
    }
}

fn entries(args: &[FunctionArg], context: &mut dyn RelationPlannerContext) -> Result<Entries> {
    let mut values = Vec::with_capacity(args.len());
    for arg in args {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg else {
            return Err(Error::plan(format!("'{arg}' is no entry of a MAP")));
        };
        values.push(context.sql_to_expr(expr.clone(), &none())?);
    }
    if values.len() % 2 != 0 {
        return Err(Error::plan("a MAP takes keys and values: their number is odd"));
    }
    let mut values = values.into_iter();
    Ok(std::iter::from_fn(|| Some((values.next()?, values.next()?))).collect())
}

fn none() -> DFSchema {
    DFSchema::empty()
}

fn descriptor(args: &[FunctionArg]) -> Result<Vec<Name>> {
    let names = args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Identifier(ident))) => {
            Ok(Name { value: ident.value.clone(), span: span_of(ident.span) })
        }
        other => Err(Error::plan(format!("DESCRIPTOR names columns, '{other}' is none"))
            .with_hint("write the column's name alone, without its table")
            .at(span_of(other.span()))),
    });
    let names = names.collect::<Result<Vec<_>>>()?;
    match names.is_empty() {
        true => Err(Error::plan("DESCRIPTOR() names no column")),
        false => Ok(names),
    }
}

/// A table argument. `SELECT * FROM relation [DISTRIBUTE BY ..] [SORT BY ..]` is what the parser makes of it.
fn table(query: ast::Query, context: &mut dyn RelationPlannerContext) -> Result<TableArgument> {
    let (relation, partition_by, order_by) = match table_of(&query) {
        Some(parts) => parts,
        None => {
            let subquery = Box::new(query);
            let derived = TableFactor::Derived { lateral: false, subquery, alias: None, sample: None };
            (derived, Vec::new(), Vec::new())
        }
    };
    let plan = unqualified(context.plan(relation)?)?;
    let schema = plan.schema().clone();
    let mut column = |expr: ast::Expr, clause: &str| -> Result<Expr> {
        let span = span_of(expr.span());
        let expr = context.sql_to_expr(expr, &schema).map_err(|e| Error::from(e).at(span))?;
        match expr {
            Expr::Column(_) => Ok(expr),
            _ => Err(Error::plan(format!("{clause} of a table argument takes columns")).at(span)),
        }
    };
    let partition_by =
        partition_by.into_iter().map(|e| column(e, "PARTITION BY")).collect::<Result<Vec<_>>>()?;
    let order_by = order_by
        .into_iter()
        .map(|order| {
            let ascending = order.options.asc.unwrap_or(true);
            // NULL is the least value, as in Flink.
            let nulls_first = order.options.nulls_first.unwrap_or(ascending);
            Ok(column(order.expr, "ORDER BY")?.sort(ascending, nulls_first))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(TableArgument { plan, partition_by, order_by })
}

type TableParts = (TableFactor, Vec<ast::Expr>, Vec<ast::OrderByExpr>);

fn table_of(query: &ast::Query) -> Option<TableParts> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && select.distinct.is_none()
        && select.selection.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(e, m) if e.is_empty() && m.is_empty());
    let [SelectItem::Wildcard(options)] = select.projection.as_slice() else { return None };
    let wildcard = options.opt_except.is_none() && options.opt_exclude.is_none();
    let [from] = select.from.as_slice() else { return None };
    (plain && wildcard && from.joins.is_empty())
        .then(|| (from.relation.clone(), select.distribute_by.clone(), select.sort_by.clone()))
}

/// The same rows, their columns addressed by their names alone.
fn unqualified(plan: LogicalPlan) -> Result<LogicalPlan> {
    if plan.schema().iter().all(|(qualifier, _)| qualifier.is_none()) {
        return Ok(plan);
    }
    let names: Vec<&str> = plan.schema().fields().iter().map(|f| f.name().as_str()).collect();
    let names = super::naming::numbered(&names);
    let columns: Vec<Expr> =
        plan.schema().columns().into_iter().zip(names).map(|(c, name)| Expr::Column(c).alias(name)).collect();
    Ok(LogicalPlanBuilder::from(plan).project(columns)?.build()?)
}

impl TableCall {
    /// Finds the parameter of each argument: by position, or by name in any case.
    pub fn assign(self, parameters: &'static [Parameter]) -> Result<Arguments> {
        let Self { name: function, span, arguments } = self;
        let usage = || Usage { function: &function, parameters }.to_string();
        let named = arguments.iter().filter(|a| a.name.is_some()).count();
        if named != 0 && named != arguments.len() {
            return Err(Error::plan(format!("the arguments of {function} are all named, or none is"))
                .with_hint(usage())
                .at(span));
        }
        let mut values: Vec<Option<Argument>> = parameters.iter().map(|_| None).collect();
        for (position, argument) in arguments.into_iter().enumerate() {
            let (index, at) = match &argument.name {
                None if position < parameters.len() => (position, argument.span),
                None => {
                    return Err(Error::plan(format!(
                        "{function} takes {} arguments at most",
                        parameters.len()
                    ))
                    .with_hint(usage())
                    .at(argument.span));
                }
                Some(name) => {
                    let found = parameters.iter().position(|p| p.name.eq_ignore_ascii_case(&name.value));
                    let Some(index) = found else {
                        let error =
                            Error::plan(format!("{function} has no argument '{}'", name.value)).at(name.span);
                        let upper = name.value.to_ascii_uppercase();
                        return Err(match nearest(&upper, parameters.iter().map(|p| p.name)) {
                            Some(near) => error.with_hint(format!("did you mean {near}?")),
                            None => error.with_hint(usage()),
                        });
                    };
                    (index, name.span)
                }
            };
            if values[index].is_some() {
                let name = parameters[index].name;
                return Err(Error::plan(format!("the argument {name} of {function} is given twice")).at(at));
            }
            values[index] = Some(argument);
        }
        for (parameter, value) in parameters.iter().zip(&values) {
            if value.is_none() && !parameter.optional {
                return Err(Error::plan(format!("{function} lacks its argument {}", parameter.name))
                    .with_hint(usage())
                    .at(span));
            }
        }
        Ok(Arguments { function, span, parameters, values })
    }
}

/// How a function is called.
struct Usage<'a> {
    function: &'a str,
    parameters: &'a [Parameter],
}

impl fmt::Display for Usage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function)?;
        for (i, parameter) in self.parameters.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            match parameter.optional {
                true => write!(f, "[{comma}{} => ..]", parameter.name)?,
                false => write!(f, "{comma}{} => ..", parameter.name)?,
            }
        }
        f.write_str(")")
    }
}

impl Arguments {
    fn take(&mut self, name: &str) -> Option<Argument> {
        let index = self.parameters.iter().position(|p| p.name == name)?;
        self.values[index].take()
    }

    fn wrong(&self, name: &str, wanted: &str, argument: &Argument) -> Error {
        Error::plan(format!(
            "the argument {name} of {} is {wanted}, not {}",
            self.function,
            argument.value.kind()
        ))
        .at(argument.span)
    }

    /// Takes out a table.
    pub fn table(&mut self, name: &str) -> Result<Option<(TableArgument, Span)>> {
        match self.take(name) {
            None => Ok(None),
            Some(Argument { value: Value::Table(table), span, .. }) => Ok(Some((table, span))),
            Some(other) => {
                Err(self.wrong(name, "a table", &other).with_hint("write TABLE t, or a query in parentheses"))
            }
        }
    }

    /// Takes out the columns of a DESCRIPTOR.
    pub fn descriptor(&mut self, name: &str) -> Result<Option<(Vec<Name>, Span)>> {
        match self.take(name) {
            None => Ok(None),
            Some(Argument { value: Value::Descriptor(names), span, .. }) => Ok(Some((names, span))),
            Some(other) => {
                Err(self.wrong(name, "a DESCRIPTOR", &other).with_hint("write DESCRIPTOR(column)"))
            }
        }
    }

    /// Takes out a DESCRIPTOR of one column, which a table must have.
    pub fn column(&mut self, name: &str, of: &LogicalPlan) -> Result<Option<(Expr, Span)>> {
        let Some((names, span)) = self.descriptor(name)? else { return Ok(None) };
        let [column] = names.as_slice() else {
            return Err(Error::plan(format!("the DESCRIPTOR of {} names one column", self.function)).at(span));
        };
        let schema = of.schema();
        let found = schema.index_of_column_by_name(None, &column.value);
        let Some(index) = found else {
            let error = Error::plan(format!("the table has no column '{}'", column.value)).at(column.span);
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            return Err(match nearest(&column.value, names.iter().copied()) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error.with_hint(format!("its columns are: {}", names.join(", "))),
            });
        };
        Ok(Some((Expr::Column(Column::from(schema.qualified_field(index))), column.span)))
    }

    /// Takes out the entries of a MAP.
    pub fn map(&mut self, name: &str) -> Result<Option<(Entries, Span)>> {
        match self.take(name) {
            None => Ok(None),
            Some(Argument { value: Value::Map(entries), span, .. }) => Ok(Some((entries, span))),
            Some(other) => Err(self.wrong(name, "a MAP", &other).with_hint("write MAP['key', 'value', ...]")),
        }
    }

    /// Takes out a value.
    pub fn scalar(&mut self, name: &str) -> Result<Option<(Expr, Span)>> {
        match self.take(name) {
            None => Ok(None),
            Some(Argument { value: Value::Scalar(expr), span, .. }) => Ok(Some((expr, span))),
            Some(other) => Err(self.wrong(name, "a value", &other)),
        }
    }

    /// Takes out a value that is the same for all rows.
    pub fn constant(&mut self, name: &str, zone: &str) -> Result<Option<(ScalarValue, Span)>> {
        let Some((expr, span)) = self.scalar(name)? else { return Ok(None) };
        constant(&expr, zone).map(|value| Some((value, span))).map_err(|_| {
            Error::plan(format!("the argument {name} of {} is not a constant", self.function)).at(span)
        })
    }

    /// Takes out an interval of days and time, in milliseconds.
    pub fn interval(&mut self, name: &str, zone: &str) -> Result<Option<(i64, Span)>> {
        let Some((value, span)) = self.constant(name, zone)? else { return Ok(None) };
        let what = format!("the argument {name} of {}", self.function);
        milliseconds(&value, &what).map(|ms| Some((ms, span))).map_err(|e| e.at(span))
    }
}

/// The value of an expression without columns.
pub(super) fn constant(expr: &Expr, zone: &str) -> Result<ScalarValue> {
    let none = none();
    let expr = super::resolve::coerce_expression(expr.clone(), &none, zone)?;
    if let Expr::Literal(value, _) = expr {
        return Ok(value);
    }
    let one = RecordBatch::try_new_with_options(
        std::sync::Arc::new(Schema::empty()),
        vec![],
        &RecordBatchOptions::new().with_row_count(Some(1)),
    )?;
    match physical(&expr, &none)?.evaluate(&one)? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(array) => Ok(ScalarValue::try_from_array(&array, 0)?),
    }
}

/// An interval of days and time in milliseconds. `what` begins the messages.
pub(super) fn milliseconds(value: &ScalarValue, what: &str) -> Result<i64> {
    let hint = "write for example INTERVAL '10' MINUTE";
    let (months, days, nanos) = match value {
        ScalarValue::IntervalMonthDayNano(Some(i)) => (i.months, i.days, i.nanoseconds),
        ScalarValue::IntervalDayTime(Some(i)) => (0, i.days, i64::from(i.milliseconds) * 1_000_000),
        ScalarValue::IntervalYearMonth(Some(months)) => (*months, 0, 0),
        _ => return Err(Error::plan(format!("{what} must be an interval")).with_hint(hint)),
    };
    if months != 0 {
        return Err(Error::plan(format!("{what} is in months or years, which differ in length"))
            .with_hint("write days: INTERVAL '30' DAY"));
    }
    if nanos % 1_000_000 != 0 {
        return Err(Error::plan(format!("{what} is not a whole number of milliseconds")));
    }
    // Neither overflows: |days| < 2^31.
    Ok(i64::from(days) * 86_400_000 + nanos / 1_000_000)
}
