//! `VALUES (...), (...)`: the columns of several rows have the type that Flink gives them, before DataFusion finds one of its own.

use std::collections::HashMap;
use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion_common::DFSchema;
use datafusion_expr::ExprSchemable;
use datafusion_sql::planner::{PlannerContext, SqlToRel};
use sqlparser::ast::{self, CastKind, ExactNumberInfo, SetExpr, TableFactor, TimezoneInfo, VisitorMut};

use super::provider::{Planner, parser_options};
use super::resolve::coerce_expression;
use crate::function::common::common_all;

/// A type as the parser has it, where a CAST to it is what brings a value there.
fn written(t: &DataType) -> Option<ast::DataType> {
    use crate::sql::SqlType as S;
    let precision = |p: u8| Some(u64::from(p));
    Some(match S::from_arrow(t)? {
        S::TinyInt => ast::DataType::TinyInt(None),
        S::SmallInt => ast::DataType::SmallInt(None),
        S::Int => ast::DataType::Int(None),
        S::BigInt => ast::DataType::BigInt(None),
        S::Float => ast::DataType::Float(ExactNumberInfo::None),
        S::Double => ast::DataType::Double(ExactNumberInfo::None),
        S::Decimal(p, s) => {
            ast::DataType::Decimal(ExactNumberInfo::PrecisionAndScale(u64::from(p), i64::from(s)))
        }
        S::Timestamp(p) => ast::DataType::Timestamp(precision(p), TimezoneInfo::None),
        S::Time(p) => ast::DataType::Time(precision(p), TimezoneInfo::None),
        S::Bytes => ast::DataType::Bytes(None),
        S::String => ast::DataType::String(None),
        _ => return None,
    })
}

impl Planner {
    /// Casts what is of another type than its column.
    pub(super) fn align_values(&self, query: &mut ast::Query) {
        let _ = crate::sql::visit::walk_mut(query, &mut AlignValues { planner: self });
    }

    /// The type of an expression, and what is said of it beside, such as that it is a `TIME(0)`.
    fn type_of(&self, expr: &ast::Expr) -> Option<(DataType, HashMap<String, String>)> {
        let provider = self.provider();
        let planner = SqlToRel::new_with_options(&provider, parser_options());
        let none = DFSchema::empty();
        let expr = planner.sql_to_expr(expr.clone(), &none, &mut PlannerContext::new()).ok()?;
        let (_, field) = expr.to_field(&none).ok()?;
        let data_type = coerce_expression(expr, &none, self.zone()).ok()?.get_type(&none).ok()?;
        Some((data_type, field.metadata().clone()))
    }
}

struct AlignValues<'a> {
    planner: &'a Planner,
}

impl AlignValues<'_> {
    fn align(&self, values: &mut ast::Values) {
        let width = values.rows.first().map_or(0, |row| row.content.len());
        if values.rows.len() < 2 || values.rows.iter().any(|row| row.content.len() != width) {
            return;
        }
        for column in 0..width {
            // What is no plain number needs no look.
            let plain = |e: &ast::Expr| {
                matches!(e, ast::Expr::Value(v) if matches!(&v.value, ast::Value::Number(n, _) if !n.contains(['.', 'e', 'E']))
                || matches!(&v.value, ast::Value::SingleQuotedString(_) | ast::Value::Boolean(_) | ast::Value::Null))
            };
            if values.rows.iter().all(|row| plain(&row.content[column])) {
                continue;
            }
            let types: Option<Vec<_>> =
                values.rows.iter().map(|row| self.planner.type_of(&row.content[column])).collect();
            let Some(types) = types else { continue };
            let (types, names): (Vec<DataType>, Vec<HashMap<String, String>>) = types.into_iter().unzip();
            // Such as TIME(0) beside TIME(3), which are one type here.
            let alike = names.iter().all(|name| *name == names[0]);
            // Bytes of a literal and of a column are kept differently.
            let bytes = |t: &DataType| t.is_null() || matches!(t, DataType::Binary | DataType::BinaryView);
            let common = match types.iter().all(bytes) && types.contains(&DataType::BinaryView) {
                true => Some(DataType::BinaryView),
                false => common_all(&types),
            };
            let Some(common) = common else { continue };
            let Some(target) = written(&common) else { continue };
            for (row, t) in values.rows.iter_mut().zip(&types) {
                // A number that is written has no type of its own to DataFusion.
                let bare = matches!(&row.content[column], ast::Expr::Value(v) if matches!(v.value, ast::Value::Number(..)));
                if (*t != common || !alike || bare) && *t != DataType::Null {
                    let expr = row.content[column].clone();
                    let brought = ast::Expr::Cast {
                        kind: CastKind::Cast,
                        expr: Box::new(expr),
                        data_type: target.clone(),
                        array: false,
                        format: None,
                    };
                    // What is said of a type beside passes a cast, and no function.
                    row.content[column] = if alike { brought } else { by_function(brought) };
                }
            }
        }
    }

    fn body(&self, body: &mut SetExpr) {
        match body {
            SetExpr::Values(values) => {
                self.align(values);
                name_columns(body);
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left);
                self.body(right);
            }
            _ => {}
        }
    }
}

/// The same value, by a function.
fn by_function(expr: ast::Expr) -> ast::Expr {
    let argument = ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr));
    ast::Expr::Function(ast::Function {
        name: ast::Ident::new("COALESCE").into(),
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// `VALUES (...)` as `SELECT * FROM (VALUES (...)) AS v(EXPR$0, ...)`: its columns have Flink's names.
fn name_columns(body: &mut SetExpr) {
    let width = match body {
        SetExpr::Values(values) => values.rows.first().map_or(0, |row| row.content.len()),
        _ => return,
    };
    let column = |i: usize| ast::TableAliasColumnDef {
        name: ast::Ident::with_quote('`', format!("EXPR${i}")),
        data_type: None,
    };
    let alias = ast::TableAlias {
        explicit: true,
        name: ast::Ident::with_quote('`', "$values"),
        columns: (0..width).map(column).collect(),
        at: None,
    };
    let mut named = super::naming::select_all();
    let mut inner = super::naming::select_all();
    std::mem::swap(&mut *inner.body, body);
    let relation =
        TableFactor::Derived { lateral: false, subquery: Box::new(inner), alias: Some(alias), sample: None };
    if let SetExpr::Select(select) = named.body.as_mut() {
        select.from = vec![ast::TableWithJoins { relation, joins: Vec::new() }];
    }
    *body = *named.body;
}

impl VisitorMut for AlignValues<'_> {
    type Break = ();
    fn post_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        self.body(&mut query.body);
        ControlFlow::Continue(())
    }
}
