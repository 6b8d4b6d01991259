//! User functions in queries: their calls are completed in the syntax tree, functions in SQL are planned where they are
//! called, and a function that returns rows is an array of rows that is unnested.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion_common::DFSchema;
use datafusion_expr::{AggregateUDF, Expr, ExprSchemable, ScalarUDF};
use sqlparser::ast::{self, ObjectName, VisitMut};

use super::lower::physical;
use super::provider::Planner;
use super::table_function::function_name;
use crate::error::{Error, Result};
use crate::function::Functions;
use crate::function::user::aggregate::UserAggregate;
use crate::function::user::scalar::{Body, UserScalar};
use crate::function::user::{Implementation, Returns, UserFunction, UserFunctions, calls};
use crate::sql::SqlType;

/// Named arguments and defaults of user functions.
pub(super) fn complete_calls<T: VisitMut>(node: &mut T, functions: &Functions) -> Result<()> {
    calls::complete(node, |name| functions.user().find(name))
}

impl Planner {
    /// The user's functions.
    pub fn user_functions(&self) -> &UserFunctions {
        self.state.functions.user()
    }

    /// A statement uses a function: what its code is goes into checkpoints.
    fn note_used(&self, function: &UserFunction) {
        if let Some(digest) = function.digest() {
            self.state.used.lock().insert(function.name.clone(), digest);
        }
    }

    /// A user's function that gives a value for a row. One that cannot be called as such says so when it is.
    pub(super) fn user_scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let function = match self.user_functions().find(name) {
            Ok(function) => function.filter(|f| !f.aggregate)?,
            // Found, but its file is wrong: loading it again where calls are completed has said so already.
            Err(_) => return None,
        };
        if matches!(function.returns, Returns::Rows(_)) {
            let error = Error::plan(format!("function '{}' returns rows", function.name))
                .with_hint(format!("write LATERAL TABLE({}(...)) in FROM", function.name));
            return Some(UserScalar::udf(function, Body::Broken(error), false, self.zone()));
        }
        Some(self.user_call(function))
    }

    /// A user's function that aggregates.
    pub(super) fn user_aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        let function = self.user_functions().find(name).ok().flatten().filter(|f| f.aggregate)?;
        self.note_used(&function);
        Some(UserAggregate::udf(function, self.zone()))
    }

    /// The user's function that a call in FROM means.
    pub(super) fn user_table_function(&self, name: &ObjectName) -> Result<Option<Arc<UserFunction>>> {
        let span = super::bind::span_of(ast::Spanned::span(name));
        if function_name(name).is_none() {
            return Ok(None);
        }
        let plain = name.0.last().and_then(|p| p.as_ident()).map_or("", |i| i.value.as_str());
        let Some(function) = self.user_functions().find(plain).map_err(|e| e.at(span))? else {
            return Ok(None);
        };
        match function.returns {
            Returns::Rows(_) => Ok(Some(function)),
            Returns::Value(_) => {
                Err(Error::plan(format!("function '{}' returns a value, not rows", function.name))
                    .with_hint("call it in the SELECT list, or declare RETURNS TABLE (column type, ...)")
                    .at(span))
            }
        }
    }

    /// The query of a function in SQL that returns rows, its parameters replaced by the arguments; `None` for other
    /// functions. [`Planner::left_query`] is called when it is planned.
    pub(super) fn user_query(
        &self,
        function: &UserFunction,
        args: &[ast::FunctionArg],
    ) -> Result<Option<ast::TableFactor>> {
        let (Implementation::SqlQuery(query), Returns::Rows(columns)) =
            (&function.implementation, &function.returns)
        else {
            return Ok(None);
        };
        self.note_used(function);
        let lower = function.name.to_ascii_lowercase();
        if self.state.expanding.lock().contains(&lower) {
            return Err(Error::plan(format!("function '{}' calls itself", function.name)));
        }
        let mut query = query.as_ref().clone();
        let values: Vec<(&str, ast::Expr)> = function
            .parameters
            .iter()
            .zip(args)
            .filter_map(|(parameter, arg)| match arg {
                ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(value)) => {
                    Some((parameter.name.as_str(), ast::Expr::Nested(Box::new(value.clone()))))
                }
                _ => None,
            })
            .collect();
        let _ = crate::sql::visit::visit_expressions_mut(&mut query, |expr| {
            if let ast::Expr::Identifier(ident) = expr
                && let Some((_, value)) = values.iter().find(|(name, _)| *name == ident.value)
            {
                *expr = value.clone();
            }
            std::ops::ControlFlow::<()>::Continue(())
        });
        let query = self.prepared(query).map_err(|e| e.context(format!("function '{}'", function.name)))?;
        self.state.expanding.lock().push(lower);
        let ident = |name: &str| ast::Ident::with_quote('`', name);
        let column =
            |(name, _): &(String, SqlType)| ast::TableAliasColumnDef { name: ident(name), data_type: None };
        let alias = ast::TableAlias {
            explicit: true,
            name: ident(&function.name),
            columns: columns.iter().map(column).collect(),
            at: None,
        };
        Ok(Some(ast::TableFactor::Derived {
            lateral: true,
            subquery: Box::new(query),
            alias: Some(alias),
            sample: None,
        }))
    }

    /// The query of a function is planned.
    pub(super) fn left_query(&self, function: &UserFunction) {
        let lower = function.name.to_ascii_lowercase();
        self.state.expanding.lock().retain(|known| *known != lower);
    }

    /// The rows of a call, as an array.
    pub(super) fn user_rows(&self, function: &Arc<UserFunction>, args: Vec<Expr>) -> Expr {
        self.user_call(Arc::clone(function)).call(args)
    }

    /// The call of a function that gives a value.
    pub(super) fn user_value(&self, function: Arc<UserFunction>) -> Arc<ScalarUDF> {
        self.user_call(function)
    }

    fn user_call(&self, function: Arc<UserFunction>) -> Arc<ScalarUDF> {
        self.note_used(&function);
        let (body, volatile) = match &function.implementation {
            _ if function.waits() => (Body::Call, true),
            Implementation::Sql(_) => match self.expand(&function) {
                Ok((body, volatile)) => (body, volatile),
                Err(error) => (Body::Broken(error), false),
            },
            _ => (Body::Own, false),
        };
        UserScalar::udf(function, body, volatile, self.zone())
    }

    /// Plans the expression of a function in SQL over its parameters.
    fn expand(&self, function: &UserFunction) -> Result<(Body, bool)> {
        let Implementation::Sql(expression) = &function.implementation else {
            return Err(Error::internal("not a function in SQL"));
        };
        let lower = function.name.to_ascii_lowercase();
        if self.state.expanding.lock().contains(&lower) {
            return Err(Error::plan(format!("function '{}' calls itself", function.name)));
        }
        self.state.expanding.lock().push(lower);
        let planned = self.planned(function, expression);
        self.state.expanding.lock().pop();
        planned.map_err(|e| e.context(format!("function '{}'", function.name)))
    }

    fn planned(
        &self,
        function: &UserFunction,
        expression: &crate::sql::SqlExpression,
    ) -> Result<(Body, bool)> {
        let parameters = function.parameters.iter();
        let fields = parameters.map(|p| Field::new(&p.name, p.data_type.to_arrow(self.zone()), true));
        let schema = DFSchema::try_from(Schema::new(fields.collect::<Vec<_>>()))?;
        let expr = self.expression(&expression.expr, &schema)?;
        let wanted = function.returns.computed();
        let given = expr.get_type(&schema)?;
        let expr = match given == wanted.to_arrow(self.zone()) {
            true => expr,
            false => self.returned(expr, &wanted, &schema)?,
        };
        super::call::refuse_calls(&expr, "the expression of a function in SQL")?;
        let volatile = expr.is_volatile();
        Ok((Body::Expression(physical(&expr, &schema)?), volatile))
    }

    /// The expression as the declared type: numbers are cast, other types must be the same.
    fn returned(&self, expr: Expr, wanted: &SqlType, schema: &DFSchema) -> Result<Expr> {
        let given = expr.get_type(schema)?;
        let arrow = wanted.to_arrow(self.zone());
        let text = |t: &arrow::datatypes::DataType| t.is_string();
        let fits = (given.is_numeric() && arrow.is_numeric())
            || given.is_null()
            || (text(&given) && text(&arrow))
            || SqlType::from_arrow(&given) == SqlType::from_arrow(&arrow);
        if !fits {
            let shown = SqlType::from_arrow(&given).map_or_else(|| given.to_string(), |t| t.to_string());
            return Err(Error::plan(format!("the expression is {shown}, RETURNS says {wanted}"))
                .with_hint(format!("write RETURN CAST(... AS {wanted})")));
        }
        crate::function::cast::cast_expr(expr, &given, wanted, self.zone(), false)
    }

    /// Plans a function as a call of it would, so that a mistake is an error of its statement.
    pub fn check_function(&self, function: &UserFunction) -> Result<()> {
        match &function.implementation {
            Implementation::Sql(expression) => {
                self.expand(function).map(drop).map_err(|e| e.at(expression.span))
            }
            Implementation::SqlQuery(_) => self.check_query(function),
            _ => Ok(()),
        }
    }

    /// Plans the query of a function with NULLs of its parameters' types.
    fn check_query(&self, function: &UserFunction) -> Result<()> {
        let Returns::Rows(columns) = &function.returns else { return Ok(()) };
        let null = |data_type: &SqlType| {
            let cast = format!("CAST(NULL AS {data_type})");
            crate::sql::parse_expression(&cast)
                .map(|e| ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(e.expr)))
        };
        let args = function.parameters.iter().map(|p| null(&p.data_type)).collect::<Result<Vec<_>>>()?;
        let Some(ast::TableFactor::Derived { subquery, .. }) = self.user_query(function, &args)? else {
            return Ok(());
        };
        let planned = self.plan_prepared(*subquery).and_then(|plan| self.resolve(plan));
        self.left_query(function);
        let plan = planned.map_err(|e| e.context(format!("function '{}'", function.name)))?;
        let fields = plan.schema().fields();
        if fields.len() != columns.len() {
            return Err(Error::plan(format!(
                "the query of function '{}' returns {} columns, RETURNS TABLE names {}",
                function.name,
                fields.len(),
                columns.len()
            )));
        }
        for (field, (name, wanted)) in fields.iter().zip(columns) {
            let given = SqlType::from_arrow(field.data_type());
            if *field.data_type() != wanted.to_arrow(self.zone()) && given.as_ref() != Some(wanted) {
                let given = given.map_or_else(|| field.data_type().to_string(), |t| t.to_string());
                return Err(Error::plan(format!(
                    "column '{name}' of function '{}' is {given}, RETURNS TABLE says {wanted}",
                    function.name
                ))
                .with_hint(format!("write CAST(... AS {wanted}) AS {name}")));
            }
        }
        Ok(())
    }
}
