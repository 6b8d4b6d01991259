//! Flink's grammar of expressions on its way to plain calls.
//!
//! Some functions have their own grammar: `sqlparser` reads a part of it, which DataFusion then refuses, and
//! `crate::sql::function_syntax` reads the rest. Both ends meet in calls of the functions of this room:
//! [`rewrite_ast`] runs over what was parsed, before DataFusion plans it.
//!
//! Names that begin with `$` are ours and cannot be written by a user.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::DFSchema;
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion_expr::{Expr, ExprSchemable, GetFieldAccess, ScalarUDF, lit};
use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DataType as AstType, DateTimeField, ExactNumberInfo,
    Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    TimezoneInfo, TrimWhereField, UnaryOperator, Value, VisitMut,
};

use super::FunctionContext;
use super::scalar::Scalar;
use crate::sql::function_syntax::{call, form, null, text};
use crate::sql::visit::visit_expressions_mut;

/// Makes plain calls of what DataFusion would refuse or mean differently, in an expression, a query or a
/// statement. Running it twice changes nothing.
pub fn rewrite_ast<T: VisitMut>(node: &mut T) {
    let _ = visit_expressions_mut(node, |expr| {
        rewrite(expr);
        ControlFlow::<()>::Continue(())
    });
}

fn take(expr: &mut Ast) -> Ast {
    std::mem::replace(expr, null())
}

/// Whether both are `(a, b)` of the same length.
fn is_row_pair(left: &Ast, right: &Ast) -> bool {
    matches!((fields(left), fields(right)), (Some(a), Some(b)) if a == b && a > 0)
}

/// How many fields `(a, b)` or `ROW(a, b)` has.
fn fields(row: &Ast) -> Option<usize> {
    use sqlparser::ast::{FunctionArg, FunctionArgExpr, FunctionArguments};
    match row {
        Ast::Tuple(fields) => Some(fields.len()),
        Ast::Nested(inner) => fields(inner),
        Ast::Function(f) if f.name.to_string().eq_ignore_ascii_case("row") => match &f.args {
            FunctionArguments::List(list) => {
                let plain = |a: &FunctionArg| matches!(a, FunctionArg::Unnamed(FunctionArgExpr::Expr(_)));
                list.args.iter().all(plain).then_some(list.args.len())
            }
            _ => None,
        },
        _ => None,
    }
}

/// The fields of such a row.
fn into_fields(row: Ast) -> Vec<Ast> {
    use sqlparser::ast::{FunctionArg, FunctionArgExpr, FunctionArguments};
    match row {
        Ast::Tuple(fields) => fields,
        Ast::Nested(inner) => into_fields(*inner),
        Ast::Function(f) => match f.args {
            FunctionArguments::List(list) => {
                let field = |a| match a {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e),
                    _ => None,
                };
                list.args.into_iter().filter_map(field).collect()
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// `(a, b) = (c, d)` is `a = c AND b = d`, also where one of them is NULL; `<>` is its negation.
fn same_rows(left: Ast, right: Ast, negated: bool) -> Ast {
    let (left, right) = (into_fields(left), into_fields(right));
    let (each, all) = match negated {
        true => (BinaryOperator::NotEq, BinaryOperator::Or),
        false => (BinaryOperator::Eq, BinaryOperator::And),
    };
    let pairs = left.into_iter().zip(right).map(|(a, b)| combined(a, each.clone(), b));
    let joined = pairs.reduce(|a, b| combined(a, all.clone(), b)).unwrap_or_else(null);
    Ast::Nested(Box::new(joined))
}

fn combined(left: Ast, op: BinaryOperator, right: Ast) -> Ast {
    Ast::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// The argument of `JSON_STRING(x)` where it is JSON already.
fn json_of_json(function: &mut sqlparser::ast::Function) -> Option<Ast> {
    use sqlparser::ast::{FunctionArg, FunctionArgExpr, FunctionArguments};
    if !function.name.to_string().eq_ignore_ascii_case("json_string") {
        return None;
    }
    let FunctionArguments::List(list) = &mut function.args else { return None };
    match list.args.as_mut_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(inner))]
            if crate::sql::function_syntax::form(inner) == 'r' =>
        {
            Some(take(inner))
        }
        _ => None,
    }
}

fn rewrite(expr: &mut Ast) {
    if let Ast::Function(function) = expr
        && let Some(document) = json_of_json(function)
    {
        *expr = document;
        return;
    }
    let new = match expr {
        Ast::Extract { field, expr, .. } => call("extract", vec![text(field.to_string()), take(expr)]),
        Ast::Floor { expr, field: CeilFloorKind::DateTimeField(unit) } => rounded("$floor", unit, take(expr)),
        Ast::Ceil { expr, field: CeilFloorKind::DateTimeField(unit) } => rounded("$ceil", unit, take(expr)),
        Ast::Substring { expr, substring_from, substring_for, .. } => {
            let mut args = vec![take(expr)];
            args.push(
                substring_from
                    .as_deref_mut()
                    .map_or_else(|| Ast::value(Value::Number("1".into(), false)), take),
            );
            args.extend(substring_for.as_deref_mut().map(take));
            call("substring", args)
        }
        Ast::Trim { expr, trim_where, trim_what, trim_characters } => {
            let name = match trim_where {
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
                _ => "trim",
            };
            let mut args = vec![take(expr)];
            args.extend(trim_what.as_deref_mut().map(take));
            args.extend(trim_characters.iter_mut().flatten().map(take));
            call(name, args)
        }
        Ast::BinaryOp { left, op: op @ (BinaryOperator::Eq | BinaryOperator::NotEq), right }
            if is_row_pair(left, right) =>
        {
            let negated = *op == BinaryOperator::NotEq;
            same_rows(take(left), take(right), negated)
        }
        Ast::InList { expr, list, negated }
            if !list.is_empty() && list.iter().all(|row| is_row_pair(expr, row)) =>
        {
            let row = take(expr);
            let any = list.iter_mut().map(|other| same_rows(row.clone(), take(other), false));
            let any = any.reduce(|a, b| combined(a, BinaryOperator::Or, b)).unwrap_or_else(null);
            let any = Ast::Nested(Box::new(any));
            match *negated {
                true => Ast::UnaryOp { op: UnaryOperator::Not, expr: Box::new(any) },
                false => any,
            }
        }
        // Hive's and Spark's spellings.
        Ast::RLike { negated, expr, pattern, .. } => {
            let matches = call("regexp", vec![take(expr), take(pattern)]);
            match negated {
                true => Ast::UnaryOp { op: UnaryOperator::Not, expr: Box::new(matches) },
                false => matches,
            }
        }
        Ast::Position { expr, r#in } => call("position", vec![take(expr), take(r#in)]),
        Ast::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let mut args = vec![take(expr), take(overlay_what), take(overlay_from)];
            args.extend(overlay_for.as_deref_mut().map(take));
            call("overlay", args)
        }
        Ast::SimilarTo { negated, expr, pattern, escape_char } => {
            let escape = escape_char.take().map_or_else(null, Ast::Value);
            let negated = Ast::value(Value::Boolean(*negated));
            call("$similar", vec![take(expr), take(pattern), escape, negated])
        }
        Ast::Like { pattern, escape_char, .. } => {
            escape_like(pattern, escape_char);
            return;
        }
        // A literal with an exponent is DOUBLE; one with a point alone is DECIMAL.
        Ast::Value(value) => match &value.value {
            Value::Number(digits, _) if digits.contains(['e', 'E']) => Ast::Cast {
                kind: CastKind::Cast,
                expr: Box::new(text(digits.clone())),
                data_type: AstType::Double(ExactNumberInfo::None),
                array: false,
                format: None,
            },
            _ => return,
        },
        Ast::Array(array) => call("array", array.elem.iter_mut().map(take).collect()),
        Ast::TypedString(typed) => {
            // The precision of a literal is that of its digits.
            if let AstType::Timestamp(precision @ None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) =
                &mut typed.data_type
                && let Value::SingleQuotedString(s) = &typed.value.value
            {
                let digits = s.split_once('.').map_or(0, |(_, fraction)| fraction.len());
                *precision = Some(digits.min(9) as u64);
            }
            if let AstType::Time(precision @ None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) =
                &mut typed.data_type
                && let Value::SingleQuotedString(s) = &typed.value.value
                && s.contains('.')
            {
                *precision = Some(3);
            }
            return;
        }
        Ast::BinaryOp { left, op: BinaryOperator::Overlaps, right } => {
            let (Some((a, b)), Some((c, d))) = (period(left), period(right)) else { return };
            let at_least = |left: Ast, right: Ast| Ast::BinaryOp {
                left: Box::new(left),
                op: BinaryOperator::GtEq,
                right: Box::new(right),
            };
            let (first, second) = (at_least(b, c), at_least(d, a));
            Ast::Nested(Box::new(Ast::BinaryOp {
                left: Box::new(first),
                op: BinaryOperator::And,
                right: Box::new(second),
            }))
        }
        Ast::Interval(interval) => {
            super::interval::in_one_unit(interval);
            return;
        }
        // `_UTF16'x'`: all text is Unicode.
        Ast::Prefixed { prefix, value } if prefix.value.to_ascii_uppercase().starts_with("_UTF") => {
            take(value)
        }
        Ast::Function(function) => match rewrite_call(function) {
            Some(new) => new,
            None => return,
        },
        _ => return,
    };
    *expr = new;
}

/// Beginning and end of `(begin, end)` or `(begin, INTERVAL ...)`, whichever way round they are written.
fn period(expr: &mut Ast) -> Option<(Ast, Ast)> {
    let Ast::Tuple(parts) = expr else { return None };
    let [begin, end] = parts.as_slice() else { return None };
    let nested = |e: &Ast| Ast::Nested(Box::new(e.clone()));
    let end = match end {
        Ast::Interval(_) => Ast::Nested(Box::new(Ast::BinaryOp {
            left: Box::new(nested(begin)),
            op: BinaryOperator::Plus,
            right: Box::new(end.clone()),
        })),
        end => nested(end),
    };
    let begin = nested(begin);
    let either = |first: &Ast, second: &Ast| Ast::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen {
            condition: Ast::BinaryOp {
                left: Box::new(begin.clone()),
                op: BinaryOperator::LtEq,
                right: Box::new(end.clone()),
            },
            result: first.clone(),
        }],
        else_result: Some(Box::new(second.clone())),
    };
    Some((either(&begin, &end), either(&end, &begin)))
}

fn rounded(name: &str, unit: &DateTimeField, expr: Ast) -> Ast {
    match unit {
        DateTimeField::NoDateTime => call(name, vec![expr]),
        unit => call(&format!("{name}_to"), vec![expr, text(unit.to_string())]),
    }
}

/// LIKE has no escape character unless it is named; DataFusion's is the backslash and no other.
fn escape_like(pattern: &mut Ast, escape: &mut Option<sqlparser::ast::ValueWithSpan>) {
    let character = match escape.as_ref().map(|e| &e.value) {
        Some(Value::SingleQuotedString(e)) if e.chars().count() == 1 => e.chars().next(),
        Some(_) => return,
        None => None,
    };
    let literal = matches!(pattern, Ast::Value(value) if matches!(value.value, Value::SingleQuotedString(_)));
    if !literal {
        // What comes from data means what a literal means.
        if character != Some('\\') {
            let mut args = vec![Ast::Nested(Box::new(take(pattern)))];
            args.extend(character.map(text));
            *pattern = call("$like_pattern", args);
            *escape = Some(Value::SingleQuotedString("\\".into()).into());
        }
        return;
    }
    let Ast::Value(value) = pattern else { return };
    let Value::SingleQuotedString(s) = &mut value.value else { return };
    if character.is_none() && !s.contains('\\') {
        return;
    }
    // A pattern that was rewritten carries the backslash as its escape character.
    if character == Some('\\') {
        return;
    }
    let mut escaped = String::with_capacity(s.len() + 4);
    let mut chars = s.chars();
    while let Some(ch) = chars.next() {
        if Some(ch) == character {
            if let Some(next) = chars.next() {
                escaped.extend(['\\', next]);
            }
        } else if ch == '\\' {
            escaped.push_str("\\\\");
        } else {
            escaped.push(ch);
        }
    }
    *s = escaped;
    *escape = Some(Value::SingleQuotedString("\\".into()).into());
}

/// The plain arguments of a call.
fn arguments(function: &mut Function) -> Option<Vec<&mut Ast>> {
    let FunctionArguments::List(list) = &mut function.args else { return None };
    list.args
        .iter_mut()
        .map(|a| match a {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e),
            _ => None,
        })
        .collect()
}

fn rewrite_call(function: &mut Function) -> Option<Ast> {
    if function.name.0.len() != 1 || function.over.is_some() {
        return None;
    }
    let name = function.name.0[0].as_ident()?.value.to_ascii_uppercase();
    // The order of a list stands in the call: DataFusion takes WITHIN GROUP for an argument.
    if matches!(name.as_str(), "LISTAGG" | "ARRAY_AGG")
        && !function.within_group.is_empty()
        && let FunctionArguments::List(list) = &mut function.args
    {
        let order = std::mem::take(&mut function.within_group);
        list.clauses.push(FunctionArgumentClause::OrderBy(order));
        return None;
    }
    let mut args = arguments(function)?;
    Some(match (name.as_str(), args.len()) {
        ("GROUPING" | "GROUPING_ID", n) if n > 0 => Ast::Cast {
            kind: CastKind::Cast,
            expr: Box::new(call(super::aggregate::GROUPING, args.iter_mut().map(|a| take(a)).collect())),
            data_type: AstType::BigInt(None),
            array: false,
            format: None,
        },
        ("IF", 3) => Ast::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions: vec![CaseWhen { condition: take(args[0]), result: take(args[1]) }],
            else_result: Some(Box::new(take(args[2]))),
        },
        ("NULLIF", 2) => {
            let nested = |e: &Ast| Box::new(Ast::Nested(Box::new(e.clone())));
            let condition =
                Ast::BinaryOp { left: nested(args[0]), op: BinaryOperator::Eq, right: nested(args[1]) };
            Ast::Case {
                case_token: AttachedToken::empty(),
                end_token: AttachedToken::empty(),
                operand: None,
                conditions: vec![CaseWhen { condition, result: null() }],
                else_result: Some(Box::new(take(args[0]))),
            }
        }
        ("MOD", 2) => {
            let nested = |e: &mut Ast| Box::new(Ast::Nested(Box::new(take(e))));
            let (left, right) = (nested(args[0]), nested(args[1]));
            Ast::Nested(Box::new(Ast::BinaryOp { left, op: BinaryOperator::Modulo, right }))
        }
        ("CEILING" | "CEIL", 1) => call("$ceil", vec![take(args[0])]),
        ("FLOOR", 1) => call("$floor", vec![take(args[0])]),
        ("UNIX_TIMESTAMP", 0) => call("$unix_now", Vec::new()),
        ("TIMESTAMPADD" | "TIMESTAMPDIFF", 3) => {
            if let Ast::Identifier(unit) = &*args[0] {
                *args[0] = text(unit.value.to_ascii_uppercase());
            }
            return None;
        }
        ("JSON_OBJECT", 0) => call("$json_object", vec![text("NULL"), text("")]),
        ("JSON_ARRAY", n) if args.first().is_none_or(|_| n > 0) => {
            let forms: String = args.iter().map(|a| form(a)).collect();
            let mut all = vec![text("ABSENT"), text(forms)];
            all.extend(args.iter_mut().map(|a| take(a)));
            call("$json_array", all)
        }
        _ => return None,
    })
}

// ----------------------------------------------------------------------------------------------- planning

/// The planners of expressions.
pub(super) fn expr_planners(context: &FunctionContext) -> Vec<Arc<dyn ExprPlanner>> {
    let access = super::definitions().find(|d| d.names[0] == "$AT").map(|d| Scalar::udf(d, context));
    let mut planners: Vec<Arc<dyn ExprPlanner>> = Vec::new();
    if let Some(at) = access {
        planners.push(Arc::new(Access { at }));
    }
    planners.push(Arc::new(super::arithmetic::Operators { zone: context.zone.clone() }));
    planners.push(Arc::new(super::aggregate::CountRows));
    planners.push(Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()));
    planners
}

/// `array[i]`, `map['k']`, `row.field`.
#[derive(Debug)]
struct Access {
    at: Arc<ScalarUDF>,
}

impl ExprPlanner for Access {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> datafusion_common::Result<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { expr, field_access } = access;
        let is_row = matches!(expr.get_type(schema)?, DataType::Struct(_));
        Ok(match field_access {
            GetFieldAccess::NamedStructField { name } if is_row => {
                let get_field = datafusion_functions::core::get_field();
                PlannerResult::Planned(get_field.call(vec![expr, lit(name)]))
            }
            GetFieldAccess::NamedStructField { name } => {
                PlannerResult::Planned(self.at.call(vec![expr, lit(name)]))
            }
            GetFieldAccess::ListIndex { key } if !is_row => {
                PlannerResult::Planned(self.at.call(vec![expr, Expr::clone(&key)]))
            }
            field_access => PlannerResult::Original(RawFieldAccessExpr { expr, field_access }),
        })
    }
}
