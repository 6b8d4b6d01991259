//! Flink SQL's functions, as DataFusion's expressions need them.
//!
//! [`Functions`] is what a planner asks: functions by name and the planners of expressions that are more
//! than a call. Three more steps belong to planning an expression:
//!
//! 1. `crate::sql::function_syntax` in the parser's dialect read what has its own
//!    grammar (`JSON_VALUE(... RETURNING ...)`, `x IS JSON`, `MAP[...]`);
//! 2. [`syntax::rewrite_ast`] makes plain calls of the rest (`FLOOR(ts TO DAY)`, `EXTRACT`, units of time);
//! 3. [`cast::own_casts`] (or [`cast::cast_expr`], one by one) replaces every CAST that the user wrote.
//!
//! DataFusion's own library is not registered: names, argument orders and results are Flink's, and
//! `now()` there is folded to the moment of planning.

pub mod aggregate;
pub(crate) mod arithmetic;
mod bitmap;
pub mod cast;
mod codec;
pub(crate) mod coerce;
mod collection;
pub(crate) mod common;
mod conditional;
pub(crate) mod decimal;
pub(crate) mod float_compare;
pub(crate) mod fraction;
mod interval;
pub(crate) mod json;
pub(crate) mod matcher;
mod math;
pub(crate) mod moment;
mod nanos;
pub(crate) mod pattern;
mod printf;
pub(crate) mod regexp;
mod scalar;
pub(crate) mod shift;
pub mod syntax;
mod temporal;
#[cfg(test)]
mod tests;
mod text;
mod text_form;
mod timestamp;
pub(crate) mod tree;
pub(crate) mod type_of;
pub(crate) mod typed;
pub mod user;
pub mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion_expr::planner::ExprPlanner;
use datafusion_expr::{AggregateUDF, ScalarUDF};

use crate::clock::Clock;
use scalar::{Definition, Scalar};

/// Key of a result field's metadata that says that it is a time attribute; PROCTIME() sets `proctime`.
pub const TIME_METADATA_KEY: &str = "affluent.time";

/// What functions know of their session.
#[derive(Debug, Clone)]
pub struct FunctionContext {
    /// The session's zone: an IANA name or an offset.
    pub zone: String,
    /// Where the current time comes from.
    pub clock: Arc<dyn Clock>,
}

/// The functions of a session.
#[derive(Debug)]
pub struct Functions {
    scalars: BTreeMap<String, Arc<ScalarUDF>>,
    user: user::UserFunctions,
    /// Of the program, beside the built-in ones.
    aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

/// Functions that exist as syntax alone: the rewrite turns them into other expressions.
const REWRITTEN: &[&str] =
    &["CEIL", "CEILING", "FLOOR", "IF", "JSON_ARRAY", "JSON_OBJECT", "MAP", "MOD", "NULLIF"];

fn definitions() -> impl Iterator<Item = &'static Definition> {
    text::FUNCTIONS
        .iter()
        .chain(regexp::FUNCTIONS)
        .chain(codec::FUNCTIONS)
        .chain(bitmap::FUNCTIONS)
        .chain(math::FUNCTIONS)
        .chain(conditional::FUNCTIONS)
        .chain(temporal::functions())
        .chain(timestamp::FUNCTIONS)
        .chain(collection::FUNCTIONS)
        .chain(json::FUNCTIONS)
}

/// Whether a function is one of those that are built in, by its first name in lower case.
pub(crate) fn is_own(name: &str) -> bool {
    definitions().any(|d| d.names[0].eq_ignore_ascii_case(name))
}

/// What a function takes and gives, such as `LEFT(STRING, an integer) -> STRING`. `name` is upper case.
pub(crate) fn signature(name: &str) -> Option<String> {
    let definition = definitions().find(|d| d.names.contains(&name))?;
    let mut text = format!("{name}{}", definition.signature());
    let others: Vec<&str> = definition.names.iter().copied().filter(|n| *n != name).collect();
    if !others.is_empty() {
        text.push_str(&format!("; also {}", others.join(", ")));
    }
    Some(text)
}

impl Functions {
    /// All functions for a session.
    pub fn new(context: FunctionContext) -> Self {
        let planners = syntax::expr_planners(&context);
        let mut scalars = BTreeMap::new();
        for definition in definitions() {
            let udf = Scalar::udf(definition, &context);
            for name in definition.names {
                scalars.insert(name.to_ascii_lowercase(), Arc::clone(&udf));
            }
        }
        let user = user::UserFunctions::default();
        Self { scalars, user, aggregates: BTreeMap::new(), planners }
    }

    /// Adds a function of the program that embeds the session, or puts it in the place of one of its name.
    pub fn add(&mut self, function: Arc<ScalarUDF>) {
        self.scalars.insert(function.name().to_ascii_lowercase(), function);
    }

    /// Makes the user's functions known.
    pub fn set_user(&mut self, functions: user::UserFunctions) {
        self.user = functions;
    }

    /// The user's functions.
    pub fn user(&self) -> &user::UserFunctions {
        &self.user
    }

    /// Whether a name, in upper case, is one of the functions that are built in.
    pub fn is_built_in(&self, upper: &str) -> bool {
        self.scalars.contains_key(&upper.to_ascii_lowercase())
            || REWRITTEN.contains(&upper)
            || aggregate::aggregate_names().iter().any(|n| n.eq_ignore_ascii_case(upper))
            || window::window_function_names().iter().any(|n| n.eq_ignore_ascii_case(upper))
    }

    /// Adds an aggregate function of the program.
    pub fn add_aggregate(&mut self, function: Arc<AggregateUDF>) {
        self.aggregates.insert(function.name().to_ascii_lowercase(), function);
    }

    /// The aggregate function of a name, whatever its case.
    pub fn aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        let own = self.aggregates.get(&name.to_ascii_lowercase());
        own.cloned().or_else(|| aggregate::aggregate(name))
    }

    /// Names of the aggregate functions.
    pub fn aggregate_names(&self) -> Vec<String> {
        let own = self.aggregates.keys().map(|name| name.to_ascii_uppercase());
        aggregate::aggregate_names().into_iter().chain(own).collect()
    }

    /// The scalar function of a name, whatever its case.
    pub fn scalar(&self, name_lower: &str) -> Option<Arc<ScalarUDF>> {
        match self.scalars.get(name_lower) {
            Some(udf) => Some(Arc::clone(udf)),
            None => self.scalars.get(&name_lower.to_ascii_lowercase()).cloned(),
        }
    }

    /// Names a user may write, upper case and sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .scalars
            .keys()
            .filter(|n| !n.starts_with('$'))
            .map(|n| n.to_ascii_uppercase())
            .chain(REWRITTEN.iter().map(ToString::to_string))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Planners of `array[i]`, `map['k']`, `row.field` and literals of collections.
    pub fn expr_planners(&self) -> Vec<Arc<dyn ExprPlanner>> {
        self.planners.clone()
    }
}
