//! Calls as they are written: named arguments are put in order, and defaults where arguments are missing.

use std::ops::ControlFlow;
use std::sync::Arc;

use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments, VisitMut};

use super::UserFunction;
use crate::error::{Error, Result};
use crate::nearest::nearest;
use crate::sql::visit::visit_expressions_mut;

/// Completes the calls of user functions in an expression or query. `find` knows them by name.
pub fn complete<T: VisitMut>(
    node: &mut T,
    find: impl Fn(&str) -> Result<Option<Arc<UserFunction>>>,
) -> Result<()> {
    let visited = visit_expressions_mut(node, |expr| {
        let ast::Expr::Function(call) = expr else { return ControlFlow::Continue(()) };
        let Some(name) = call.name.0.last().and_then(|p| p.as_ident()) else {
            return ControlFlow::Continue(());
        };
        let span = crate::sql::span_from(name.span);
        let function = match find(&name.value) {
            Ok(Some(function)) => function,
            Ok(None) => return ControlFlow::Continue(()),
            Err(error) => return ControlFlow::Break(error.at(span)),
        };
        let FunctionArguments::List(list) = &mut call.args else { return ControlFlow::Continue(()) };
        match arguments(std::mem::take(&mut list.args), &function) {
            Ok(complete) => {
                list.args = complete;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error.at(span)),
        }
    });
    match visited {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The arguments of a call in the order of the parameters.
pub fn arguments(given: Vec<FunctionArg>, function: &UserFunction) -> Result<Vec<FunctionArg>> {
    let parameters = &function.parameters;
    let usage = || format!("use {}", function.signature());
    if given.len() > parameters.len() {
        return Err(Error::plan(format!(
            "{} takes {} arguments, {} are given",
            function.name,
            parameters.len(),
            given.len()
        ))
        .with_hint(usage()));
    }
    let mut values: Vec<Option<FunctionArg>> = parameters.iter().map(|_| None).collect();
    let mut named = false;
    for (position, arg) in given.into_iter().enumerate() {
        let (index, value) = match arg {
            FunctionArg::Named { name, arg, .. } => {
                named = true;
                let found = parameters.iter().position(|p| p.name == name.value);
                let found = found
                    .or_else(|| parameters.iter().position(|p| p.name.eq_ignore_ascii_case(&name.value)));
                let Some(index) = found else {
                    let error = Error::plan(format!("{} has no parameter '{}'", function.name, name.value));
                    return Err(match nearest(&name.value, parameters.iter().map(|p| p.name.as_str())) {
                        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                        None => error.with_hint(usage()),
                    });
                };
                (index, FunctionArg::Unnamed(arg))
            }
            _ if named => {
                return Err(Error::plan("an argument without a name follows a named one").with_hint(usage()));
            }
            other => (position, other),
        };
        match values.get_mut(index) {
            Some(slot @ None) => *slot = Some(value),
            _ => {
                let name = parameters.get(index).map(|p| p.name.as_str()).unwrap_or_default();
                return Err(Error::plan(format!(
                    "the argument '{name}' of {} is given twice",
                    function.name
                )));
            }
        }
    }
    let complete = values.into_iter().zip(parameters).map(|(value, parameter)| {
        let default = || {
            parameter.default.as_ref().map(|d| FunctionArg::Unnamed(FunctionArgExpr::Expr(d.expr.clone())))
        };
        value.or_else(default).ok_or_else(|| {
            Error::plan(format!("{} lacks its argument '{}'", function.name, parameter.name))
                .with_hint(usage())
        })
    });
    complete.collect()
}
