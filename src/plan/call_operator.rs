//! The operator of a call: a lookup whose keys are the arguments and whose answer is the result.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::{Cast, Expr, ExprSchemable};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;

use super::call::CallNode;
use super::graph::{Demand, Node, Shape};
use super::lower::physical;
use super::meaning::{Meaning, Parts, Text};
use super::provider::Planner;
use crate::error::{Error, Result};
use crate::flow::task::BuildOperator;
use crate::function::arithmetic::shown_expr;
use crate::function::user::UserFunction;
use crate::function::user::caller::{CallBackend, NO_ARGUMENT};
use crate::function::user::scalar::waiting_function;
use crate::lookup::retry::Backoff;
use crate::lookup::{Backend, CacheConfig, Lookup, LookupConfig, LookupRequest};
use crate::operator::lookup_join::{LookupJoin, LookupJoinSpec, MemorySpec};
use crate::recording::RecordedBackend;

impl Planner {
    /// The operator of a call.
    pub(super) fn lower_call(&self, node: &CallNode) -> Result<Node> {
        let function = waiting_function(&node.call.func)
            .ok_or_else(|| Error::internal("a call of a function that does not wait"))?;
        let input = self.lower(&node.input)?;
        let mut fields = Vec::new();
        let mut keys: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
        for (parameter, argument) in function.parameters.iter().zip(&node.call.args) {
            let given = argument.get_type(&input.schema)?;
            let wanted = match parameter.any {
                true => crate::function::user::taken(&given),
                false => parameter.data_type.to_arrow(self.zone()),
            };
            fields.push(Field::new(&parameter.name, wanted.clone(), true));
            let argument = match given == wanted {
                true => argument.clone(),
                false => Expr::Cast(Cast::new(Box::new(argument.clone()), wanted)),
            };
            keys.push(physical(&argument, &input.schema)?);
        }
        if keys.is_empty() {
            // Something has to be asked for.
            fields.push(Field::new(NO_ARGUMENT, DataType::Boolean, false));
            keys.push(physical(&datafusion_expr::lit(true), &input.schema)?);
        }
        let arguments = fields.len();
        let result = function.returns.computed().to_arrow(self.zone());
        fields.push(Field::new("result", result.clone(), true));
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let (lookup, config) = self.call_lookup(function, &schema, arguments)?;
        let guard = node.guard.as_ref().map(|g| physical(g, &input.schema)).transpose()?;
        let last = node.schema.fields().len().saturating_sub(1);
        let column = Field::new(node.schema.field(last).name(), result, true);
        let fields = input.arrow.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let arrow: SchemaRef = Arc::new(Schema::new(fields.chain([column]).collect::<Vec<_>>()));
        let changes = !input.properties.changes.is_append();
        // What a call gives again is what it gave, if it is sure to.
        let remembers = changes && (!function.is_deterministic() || !config.on_error.always_fails());
        let spec = LookupJoinSpec {
            lookup: lookup.clone(),
            keys,
            pre_filter: guard,
            right_filter: None,
            right_projection: vec![Arc::new(Column::new("result", arguments))],
            residual: None,
            left_outer: true,
            left_projection: (0..input.arrow.fields().len()).collect(),
            schema: arrow.clone(),
            left: input.arrow.clone(),
            memory: remembers.then(|| MemorySpec { state_ttl: self.state.config.state_ttl() }),
            dead_letters: false,
        };
        let mut detail = shown_expr(&Expr::ScalarFunction(node.call.clone()));
        if let Some(guard) = &node.guard {
            detail.push_str(&format!(", where=[{}]", shown_expr(guard)));
        }
        if remembers {
            detail.push_str(", remembers what it emitted");
        }
        detail.push_str(&format!(", {config}, {}", lookup.describe()));
        let meaning = call_meaning(&input, node, function, remembers);
        let build: BuildOperator = Arc::new(move || Ok(Box::new(LookupJoin::new(spec.clone())?)));
        let columns = (node.schema.clone(), arrow);
        let known = (input.properties.clone(), meaning);
        let cached = config.cache != CacheConfig::None || config.shares_calls;
        let mut node = Node::forward("FunctionCall", detail, build, input, columns, known)
            .shaped(Shape::Lookup { cached });
        node.lookups.push((function.name.clone(), lookup.metrics()));
        if remembers {
            node.inputs[0].demand = Demand::Before;
        }
        Ok(node)
    }

    /// What answers for a call.
    fn call_lookup(
        &self,
        function: &Arc<UserFunction>,
        schema: &SchemaRef,
        arguments: usize,
    ) -> Result<(Arc<Lookup>, LookupConfig)> {
        let context = crate::function::user::caller::CallContext {
            runtime: self.state.runtime.clone(),
            clock: self.state.clock.clone(),
            zone: self.zone().to_string(),
            parallelism: self.state.config.parallelism(),
            arguments: schema
                .fields()
                .iter()
                .take(function.parameters.len())
                .map(|f| f.data_type().clone())
                .collect(),
        };
        let config = function.call_config(&self.state.config)?;
        let table = Arc::new(function.as_table());
        let keys = (0..arguments).collect();
        let mut request = LookupRequest::new(table, keys, schema.clone());
        request.is_call = true;
        request.null_keys = !function.strict;
        let real = || -> Result<Arc<dyn Backend>> {
            let caller = function.caller(&context)?;
            Ok(Arc::new(CallBackend::new(caller, schema.clone(), function.clone())))
        };
        let backend = match &self.state.stand_in {
            Some(other) => other.clone().call(function, &request, Box::new(real))?,
            None => real()?,
        };
        let backend = match &self.state.recorder {
            Some(recorder) => {
                Arc::new(RecordedBackend::new(recorder, &function.name, backend, &request, &request)?)
            }
            None => backend,
        };
        let backoff = match function.retry_delay(&self.state.config) {
            Some(delay) => Backoff::new(delay, delay, Arc::new(|| 1.0)),
            None => Backoff::default(),
        };
        let lookup = Lookup::with_backoff(
            function.name.clone(),
            request,
            backend,
            config.clone(),
            self.state.runtime.clone(),
            self.state.clock.clone(),
            backoff,
        )?;
        Ok((lookup, config))
    }
}

/// What a call means: the function by its name and signature, and what it is asked.
fn call_meaning(input: &Node, node: &CallNode, function: &UserFunction, remembers: bool) -> Meaning {
    let args: Vec<Text> = node.call.args.iter().map(|a| input.text_of(a)).collect();
    let args = args.iter().map(|a| &**a).collect::<Vec<_>>().join(", ");
    let what = Parts::new("FunctionCall", 1)
        .with("function", function.signature())
        .with("arguments", &*args)
        .condition("condition", &node.guard, &|c| input.column_text(c));
    let mut columns = input.meaning.columns.clone();
    columns.push(format!("{}({args})", function.name).into());
    let state = match remembers {
        false => what.clone().stream("rows", input).kept("columns", input),
        true => what.clone().rows("rows", input).kept("columns", input),
    };
    let mut meaning = input.meaning.clone();
    meaning.columns = columns;
    meaning.keeping(state)
}
