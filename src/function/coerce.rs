//! Implicit casts, by Flink's rules, before DataFusion applies its own.
//!
//! | | text beside a number | text beside BOOLEAN | text beside a moment |
//! |---|---|---|---|
//! | `=`, `<>`, IN | compared as text | compared as text | the text is read; NULL if it cannot be |
//! | `<`, `<=`, `>`, `>=`, BETWEEN | the text is read; an error if it cannot be | the same | the same |
//!
//! A text literal beside a number is read once. All other pairs are compared in the type that [`super::common`] says.

use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion_common::tree_node::Transformed;
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::planner::{PlannerResult, RawBinaryExpr};
use datafusion_expr::{Between, BinaryExpr, Case, Cast, Expr, ExprSchemable, Operator};
use sqlparser::ast::BinaryOperator;

use super::arithmetic;
use super::cast::cast_expr;
use super::common::{common, compared, exact, is_text};
use super::shift;
use crate::error::{Error, Result};
use crate::function::tree::Tree;
use crate::sql::types::SqlType;

/// Whether text beside a type is read or compared as text.
fn readable(t: &DataType) -> bool {
    matches!(
        t,
        DataType::Boolean
            | DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Timestamp(..)
    ) || is_number(t)
}

fn is_number(t: &DataType) -> bool {
    exact(t).is_some() || matches!(t, DataType::Float16 | DataType::Float32 | DataType::Float64)
}

fn equality(op: Operator) -> bool {
    matches!(op, Operator::Eq | Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom)
}

fn ordering(op: Operator) -> bool {
    matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
}

/// Brings an expression to a type.
fn cast(expr: Expr, from: &DataType, to: &DataType, zone: &str, lenient: bool) -> Result<Expr> {
    if from == to || *from == DataType::Null {
        return Ok(expr);
    }
    let text = is_text(from) != is_text(to);
    if !text
        && let Expr::Literal(value, _) = &expr
        && let Ok(value) = value.cast_to(to)
        && !value.is_null()
    {
        return Ok(Expr::Literal(value, None));
    }
    let zoned = |t: &DataType| matches!(t, DataType::Timestamp(_, Some(_)));
    // Digits that a DOUBLE does not hold are rounded once.
    let rounds = matches!(from, DataType::Decimal128(16.., _)) && *to == DataType::Float64;
    // Parts of collections and ROWs meet by position; the library knows fields by name.
    let nested = from.is_nested() && to.is_nested();
    if nested
        && let Some(target) = SqlType::from_arrow(to)
        && target.to_arrow(zone) == *to
    {
        return cast_expr(expr, from, &target, zone, lenient);
    }
    if text || rounds || zoned(from) != zoned(to) {
        let target = SqlType::from_arrow(to).ok_or_else(|| Error::internal(format!("a cast to {to}")))?;
        return cast_expr(expr, from, &target, zone, lenient);
    }
    Ok(Expr::Cast(Cast::new(Box::new(expr), to.clone())))
}

/// A text literal as the number that it holds.
fn number_literal(expr: &Expr) -> Option<Result<Expr>> {
    let Expr::Literal(ScalarValue::Utf8(Some(s)) | ScalarValue::Utf8View(Some(s)), _) = expr else {
        return None;
    };
    let text = s.trim();
    if let Ok(v) = text.parse::<i32>() {
        return Some(Ok(Expr::Literal(ScalarValue::Int32(Some(v)), None)));
    }
    if let Ok(v) = text.parse::<i64>() {
        return Some(Ok(Expr::Literal(ScalarValue::Int64(Some(v)), None)));
    }
    Some(match super::cast::read_double(text) {
        Some(v) => Ok(Expr::Literal(ScalarValue::Float64(Some(v)), None)),
        None => Err(Error::plan(format!("'{s}' is compared with a number and is none"))
            .with_hint("CAST the number to STRING to compare texts")),
    })
}

/// Both sides of a comparison in one type; `None` leaves it to DataFusion.
fn sides(
    op: Operator,
    left: &Expr,
    l: &DataType,
    right: &Expr,
    r: &DataType,
    zone: &str,
) -> Result<Option<(Expr, Expr)>> {
    if l == r || *l == DataType::Null || *r == DataType::Null {
        return Ok(None);
    }
    if is_text(l) != is_text(r) {
        let (text, other, o) = if is_text(l) { (left, right, r) } else { (right, left, l) };
        if !readable(o) {
            return Ok(None);
        }
        let order = |text: Expr, other: Expr| if is_text(l) { (text, other) } else { (other, text) };
        if is_number(o)
            && let Some(number) = number_literal(text)
        {
            let number = number?;
            let n = number.get_type(&DFSchema::empty())?;
            let both = sides(op, &number, &n, other, o, zone)?;
            let (number, other) = both.unwrap_or_else(|| (number, other.clone()));
            return Ok(Some(order(number, other)));
        }
        let as_text = equality(op) && (is_number(o) || *o == DataType::Boolean);
        if !as_text && matches!(o, DataType::Decimal128(..) | DataType::Decimal256(..)) {
            // Any number of digits is read.
            let double = DataType::Float64;
            let text = cast(text.clone(), &DataType::Utf8View, &double, zone, false)?;
            return Ok(Some(order(text, cast(other.clone(), o, &double, zone, false)?)));
        }
        let (text, other) = match as_text {
            true => (text.clone(), cast(other.clone(), o, &DataType::Utf8View, zone, false)?),
            false => (cast(text.clone(), &DataType::Utf8View, o, zone, equality(op))?, other.clone()),
        };
        return Ok(Some(order(text, other)));
    }
    let Some(t) = compared(l, r) else { return Ok(None) };
    if let DataType::Timestamp(TimeUnit::Nanosecond, _) = &t
        && (l != &t || r != &t)
    {
        let side = |e: &Expr, from: &DataType| match from == &t {
            true => e.clone(),
            false => super::nanos::saturated(e.clone(), &t),
        };
        let zoned = |t: &DataType| matches!(t, DataType::Timestamp(_, Some(_)));
        if zoned(l) == zoned(r) {
            return Ok(Some((side(left, l), side(right, r))));
        }
    }
    Ok(Some((cast(left.clone(), l, &t, zone, false)?, cast(right.clone(), r, &t, zone, false)?)))
}

/// Whether values of the two types are compared at all. What is nested is left to DataFusion.
pub(crate) fn comparable(l: &DataType, r: &DataType) -> bool {
    let left_alone = |t: &DataType| {
        t.is_nested() || matches!(t, DataType::Dictionary(..) | DataType::Duration(_) | DataType::Null)
    };
    let text = |text: &DataType, other: &DataType| is_text(text) && readable(other);
    left_alone(l) || left_alone(r) || compared(l, r).is_some() || text(l, r) || text(r, l)
}

/// What to do about two types that are not compared.
pub(crate) fn comparison_hint(l: &DataType, r: &DataType) -> String {
    let either = |is: fn(&DataType) -> bool| is(l) || is(r);
    if either(is_number) && either(|t| matches!(t, DataType::Date32)) {
        return "a date is written DATE '2024-01-31', with quotes".into();
    }
    if either(is_number) && either(|t| matches!(t, DataType::Timestamp(..))) {
        return "TO_TIMESTAMP_LTZ(number, 3) reads milliseconds since 1970, (number, 0) seconds".into();
    }
    "CAST one side to the type of the other".into()
}

fn operator(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        _ => return None,
    })
}

/// Comparisons that DataFusion would refuse while names are bound.
pub(super) fn planned_comparison(
    expr: RawBinaryExpr,
    schema: &DFSchema,
    zone: &str,
) -> datafusion_common::Result<PlannerResult<RawBinaryExpr>> {
    let Some(op) = operator(&expr.op) else { return Ok(PlannerResult::Original(expr)) };
    let (l, r) = (expr.left.get_type(schema)?, expr.right.get_type(schema)?);
    if !comparable(&l, &r) {
        let shown = |t: &DataType| SqlType::from_arrow(t).map_or_else(|| t.to_string(), |t| t.to_string());
        let (left, right) = (arithmetic::shown_expr(&expr.left), arithmetic::shown_expr(&expr.right));
        return Err(Error::plan(format!("'{op}' does not compare {} with {}", shown(&l), shown(&r)))
            .with_detail(format!("{left} {op} {right}"))
            .with_hint(comparison_hint(&l, &r))
            .into());
    }
    if is_text(&l) == is_text(&r) || datafusion_expr::binary::comparison_coercion(&l, &r).is_some() {
        return Ok(PlannerResult::Original(expr));
    }
    Ok(match sides(op, &expr.left, &l, &expr.right, &r, zone)? {
        Some((left, right)) => {
            PlannerResult::Planned(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
        }
        None => PlannerResult::Original(expr),
    })
}

fn binary(op: Operator, left: Expr, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// Months beside what only knows days and seconds.
fn wide_months(expr: Expr, t: &DataType, other: &DataType) -> Expr {
    let months = *t == DataType::Interval(IntervalUnit::YearMonth);
    let days = matches!(other, DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_))
        || *other == DataType::Interval(IntervalUnit::MonthDayNano);
    match expr {
        expr if !months || !days => expr,
        Expr::Literal(ScalarValue::IntervalYearMonth(Some(months)), metadata) => {
            let v = IntervalMonthDayNano::new(months, 0, 0);
            Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), metadata)
        }
        expr => Expr::Cast(Cast::new(Box::new(expr), DataType::Interval(IntervalUnit::MonthDayNano))),
    }
}

/// Applies the rules of this room to an expression. `keys`: the expression is the condition of a join, in which
/// columns of different families are an error that the join words.
pub(crate) fn coerce(expr: Expr, schema: &DFSchema, zone: &str, keys: bool) -> Result<Expr> {
    let coerced = expr.transform_up(|expr| {
        let expr = match moves(&expr) {
            true => expr,
            false => expr.map_children(|e| Ok(Transformed::yes(shift::canonical_literal(e))))?.data,
        };
        Ok(match expr {
            Expr::Negative(inner) => {
                let t = inner.get_type(schema)?;
                match arithmetic::is_number(&t) {
                    true => Transformed::yes(arithmetic::negate(*inner)),
                    false => Transformed::no(Expr::Negative(inner)),
                }
            }
            // Years and months are a type of their own.
            Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), metadata)
                if v.months != 0 && v.days == 0 && v.nanoseconds == 0 =>
            {
                Transformed::yes(Expr::Literal(ScalarValue::IntervalYearMonth(Some(v.months)), metadata))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if matches!(op, Operator::Plus | Operator::Minus) =>
            {
                let (l, r) = (left.get_type(schema)?, right.get_type(schema)?);
                let subtract = op == Operator::Minus;
                let (left, right) = (wide_months(*left, &l, &r), wide_months(*right, &r, &l));
                let (l, r) = (left.get_type(schema)?, right.get_type(schema)?);
                Transformed::yes(match shift::shifts(&l, &r, subtract) {
                    true => shift::shift(left, right, subtract),
                    false => binary(op, left, right),
                })
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if equality(op) || ordering(op) => {
                let (l, r) = (left.get_type(schema)?, right.get_type(schema)?);
                let columns = |e: &Expr| !e.column_refs().is_empty();
                let both = match keys && is_text(&l) != is_text(&r) && columns(&left) && columns(&right) {
                    true => None,
                    false => sides(op, &left, &l, &right, &r, zone)?,
                };
                let (compared, rewritten) = match both {
                    Some((left, right)) => (BinaryExpr::new(Box::new(left), op, Box::new(right)), true),
                    None => (BinaryExpr { left, op, right }, false),
                };
                match compared.left.get_type(schema)?.is_nested() {
                    true => Transformed::yes(super::float_compare::with_nulls(compared)),
                    false => Transformed::new_transformed(Expr::BinaryExpr(compared), rewritten),
                }
            }
            Expr::Between(Between { expr, negated, low, high }) => {
                let t = expr.get_type(schema)?;
                let (l, h) = (low.get_type(schema)?, high.get_type(schema)?);
                let first = sides(Operator::GtEq, &expr, &t, &low, &l, zone)?;
                let second = sides(Operator::LtEq, &expr, &t, &high, &h, zone)?;
                let float = matches!(t, DataType::Float32 | DataType::Float64);
                if first.is_none() && second.is_none() && !float {
                    return Ok(Transformed::no(Expr::Between(Between { expr, negated, low, high })));
                }
                let (a, b) = first.unwrap_or_else(|| ((*expr).clone(), *low));
                let (c, d) = second.unwrap_or((*expr, *high));
                Transformed::yes(match negated {
                    false => binary(Operator::GtEq, a, b).and(binary(Operator::LtEq, c, d)),
                    true => binary(Operator::Lt, a, b).or(binary(Operator::Gt, c, d)),
                })
            }
            Expr::InList(mut list) => match in_list(&list, schema, zone)? {
                Some((expr, items)) => {
                    list.expr = Box::new(expr);
                    list.list = items;
                    Transformed::yes(Expr::InList(list))
                }
                None => Transformed::no(Expr::InList(list)),
            },
            // Fields of ROWs meet by position; the library knows them by name.
            Expr::ScalarFunction(mut f) if f.func.name() == "coalesce" => {
                let types = f.args.iter().map(|a| a.get_type(schema));
                let types = types.collect::<datafusion_common::Result<Vec<_>>>()?;
                let nested = types.iter().any(DataType::is_nested) && types.iter().any(|t| *t != types[0]);
                match types.iter().try_fold(DataType::Null, |all, t| common(&all, t)).filter(|_| nested) {
                    None => Transformed::no(Expr::ScalarFunction(f)),
                    Some(to) => {
                        for (arg, from) in f.args.iter_mut().zip(&types) {
                            if *from != to && *from != DataType::Null {
                                *arg = cast(arg.clone(), from, &to, zone, false)?;
                            }
                        }
                        Transformed::yes(Expr::ScalarFunction(f))
                    }
                }
            }
            Expr::Case(case) => Transformed::yes(Expr::Case(chosen(case, schema, zone)?)),
            other => Transformed::no(other),
        })
    })?;
    Ok(shift::canonical_literal(coerced.data))
}

/// Whether an expression computes with the length of an interval alone, whatever its units are.
fn moves(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => matches!(op, Operator::Plus | Operator::Minus),
        Expr::ScalarFunction(f) => f.func.name().starts_with('$'),
        _ => false,
    }
}

/// `x IN (...)` in one type.
fn in_list(
    list: &datafusion_expr::expr::InList,
    schema: &DFSchema,
    zone: &str,
) -> Result<Option<(Expr, Vec<Expr>)>> {
    let from = list.expr.get_type(schema)?;
    let types =
        list.list.iter().map(|e| e.get_type(schema)).collect::<datafusion_common::Result<Vec<_>>>()?;
    if types.iter().all(|t| *t == from || *t == DataType::Null) {
        return Ok(None);
    }
    let any_text = is_text(&from) || types.iter().any(is_text);
    if any_text {
        // Each pair by itself, all with one type for the tested expression.
        let mut items = Vec::with_capacity(types.len());
        let text = is_text(&from);
        for (item, t) in list.list.iter().zip(&types) {
            let readable_pair =
                *t == DataType::Null || is_text(t) == text || readable(if text { t } else { &from });
            if !readable_pair {
                return Ok(None);
            }
            items.push(match (text, is_text(t)) {
                (true, false) => cast(item.clone(), t, &DataType::Utf8View, zone, false)?,
                (false, true) if is_number(&from) => match number_literal(item) {
                    Some(number) => number?,
                    None => cast(item.clone(), t, &from, zone, true)?,
                },
                (false, true) => cast(item.clone(), t, &from, zone, true)?,
                _ => item.clone(),
            });
        }
        let list =
            datafusion_expr::expr::InList { expr: list.expr.clone(), list: items, negated: list.negated };
        let again = if text { None } else { in_list(&list, schema, zone)? };
        return Ok(Some(again.unwrap_or((*list.expr, list.list))));
    }
    let Some(to) = types.iter().try_fold(from.clone(), |all, t| compared(&all, t)) else { return Ok(None) };
    // What is written beside a FLOAT is one, as with `=`.
    let written = |e: &Expr, t: &DataType| matches!(e, Expr::Literal(..)) && exact(t).is_some();
    let single = from == DataType::Float32 && list.list.iter().zip(&types).all(|(e, t)| written(e, t));
    let to = if single { DataType::Float32 } else { to };
    let expr = cast((*list.expr).clone(), &from, &to, zone, false)?;
    let items = list.list.iter().zip(&types).map(|(e, t)| cast(e.clone(), t, &to, zone, false));
    Ok(Some((expr, items.collect::<Result<_>>()?)))
}

/// CASE with results of one type, and comparisons in one.
fn chosen(case: Case, schema: &DFSchema, zone: &str) -> Result<Case> {
    let Case { mut expr, mut when_then_expr, mut else_expr } = case;
    if expr.is_none() {
        for (when, _) in &when_then_expr {
            let t = when.get_type(schema)?;
            if !matches!(t, DataType::Boolean | DataType::Null) && !is_text(&t) {
                let shown = SqlType::from_arrow(&t).map_or_else(|| t.to_string(), |t| t.to_string());
                return Err(Error::plan(format!("the condition of CASE or IF must be BOOLEAN, not {shown}"))
                    .with_detail(super::arithmetic::shown_expr(when))
                    .with_hint("compare it: x <> 0; CASE x WHEN 1 THEN ... compares x with each value"));
            }
        }
    }
    if let Some(tested) = expr.take() {
        let t = tested.get_type(schema)?;
        let same = when_then_expr.iter().map(|(when, _)| when.get_type(schema));
        if same.collect::<datafusion_common::Result<Vec<_>>>()?.iter().all(|w| *w == t) {
            expr = Some(tested);
        } else {
            for (when, _) in &mut when_then_expr {
                let w = when.get_type(schema)?;
                let both = sides(Operator::Eq, &tested, &t, when, &w, zone)?;
                let (a, b) = both.unwrap_or_else(|| ((*tested).clone(), (**when).clone()));
                **when = binary(Operator::Eq, a, b);
            }
        }
    }
    let results = when_then_expr.iter().map(|(_, then)| then).chain(else_expr.iter());
    let types = results.map(|e| e.get_type(schema)).collect::<datafusion_common::Result<Vec<_>>>()?;
    let Some(to) = types.iter().try_fold(DataType::Null, |all, t| set_type(&all, t)) else {
        let shown = |t: &DataType| SqlType::from_arrow(t).map_or_else(|| t.to_string(), |t| t.to_string());
        let mut all: Vec<String> = Vec::new();
        for t in types.iter().filter(|t| **t != DataType::Null).map(shown) {
            if !all.contains(&t) {
                all.push(t);
            }
        }
        return Err(Error::plan(format!(
            "the results of CASE or IF have no common type: {}",
            all.join(", ")
        ))
        .with_hint("CAST them to one type"));
    };
    if to == DataType::Null {
        return Ok(Case { expr, when_then_expr, else_expr });
    }
    for e in when_then_expr.iter_mut().map(|(_, then)| then).chain(else_expr.iter_mut()) {
        let from = e.get_type(schema)?;
        if from != to && from != DataType::Null {
            **e = cast((**e).clone(), &from, &to, zone, false)?;
        }
    }
    Ok(Case { expr, when_then_expr, else_expr })
}

/// The type of a column of a set operation and of the results of CASE: the common one, or STRING for text beside what can
/// be read from text.
pub(crate) fn set_type(left: &DataType, right: &DataType) -> Option<DataType> {
    let text = |text: &DataType, other: &DataType| is_text(text) && readable(other);
    common(left, right).or_else(|| match text(left, right) || text(right, left) {
        true => Some(DataType::Utf8View),
        false if left.is_nested() && right.is_nested() => {
            datafusion_expr::binary::type_union_coercion(left, right)
        }
        false => None,
    })
}

/// The type in which keys of a join are compared.
pub(crate) fn key_type(left: &DataType, right: &DataType) -> Option<DataType> {
    compared(left, right).or_else(|| datafusion_expr::binary::comparison_coercion(left, right))
}
