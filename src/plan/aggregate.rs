//! GROUP BY and DISTINCT: aggregate calls, grouping sets, and the choice between windows and state for ever.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{DFSchema, DFSchemaRef};
use datafusion_expr::expr::{AggregateFunction, NullTreatment};
use datafusion_expr::logical_plan::{Aggregate, Distinct};
use datafusion_expr::{Expr, ExprSchemable, GroupingSet};

use super::graph::{BuildNode, Changes, Demand, Distribution, Input, Node, Properties};
use super::lower::{forwarded, physical, with_columns};
use super::meaning::{self, Meaning, Parts};
use super::provider::Planner;
use crate::error::{Error, Result};
use crate::flow::task::BuildOperator;
use crate::function::aggregate::Function;
use crate::function::arithmetic::shown_expr;
use crate::operator::aggregate::AggregateCall;
use crate::operator::expand::{Expand, ExpandSpec};
use crate::operator::group_aggregate::{GroupAggregate, GroupAggregateSpec};

/// Sets of a CUBE, at most: every row is copied for each.
const MOST_SETS: usize = 1024;

impl AggregateCall {
    /// A call over the columns of `schema`.
    pub fn from_expr(expr: &Expr, schema: &DFSchema) -> Result<AggregateCall> {
        let inner = match expr {
            Expr::Alias(alias) => return Self::from_expr(&alias.expr, schema),
            Expr::AggregateFunction(inner) => inner,
            other => {
                return Err(Error::internal(format!("{} is no aggregate function", shown_expr(other))));
            }
        };
        let AggregateFunction { func, params } = inner;
        let function = Function::of(func);
        let display = display(inner, function);
        let mut args: &[Expr] = &params.args;
        // COUNT(*), COUNT(1): nothing to look at.
        if function == Some(Function::Count) && !params.distinct && args.iter().all(is_constant) {
            args = &[];
        }
        if function == Some(Function::Listagg) && args.get(1).is_some_and(|s| !matches!(s, Expr::Literal(..)))
        {
            return Err(Error::unsupported("the separator of LISTAGG is not a constant").with_detail(display));
        }
        if params.distinct && !params.order_by.iter().all(|o| params.args.contains(&o.expr)) {
            return Err(
                Error::plan("ORDER BY of a DISTINCT aggregate takes its arguments only").with_detail(display)
            );
        }
        let mut arg_types = args.iter().map(|a| a.get_type(schema)).collect::<Result<Vec<_>, _>>()?;
        for order in &params.order_by {
            arg_types.push(order.expr.get_type(schema)?);
        }
        let order_by = params
            .order_by
            .iter()
            .map(|o| Ok((physical(&o.expr, schema)?, !o.asc, o.nulls_first)))
            .collect::<Result<_>>()?;
        let call = AggregateCall {
            function: func.clone(),
            args: args.iter().map(|a| physical(a, schema)).collect::<Result<_>>()?,
            arg_types,
            filter: params.filter.as_ref().map(|f| physical(f, schema)).transpose()?,
            distinct: params.distinct,
            order_by,
            ignore_nulls: params.null_treatment.map(|n| n == NullTreatment::IgnoreNulls),
            data_type: expr.get_type(schema)?,
            display,
        };
        // What cannot be kept is told before anything runs.
        call.accumulator(true)?;
        Ok(call)
    }

    /// The state of one group grows with the number of its values.
    fn grows(&self, retracting: bool) -> bool {
        match Function::of(&self.function) {
            Some(Function::Min | Function::Max | Function::FirstValue | Function::LastValue) => retracting,
            Some(
                Function::Listagg
                | Function::ArrayAgg
                | Function::Collect
                | Function::Percentile
                | Function::JsonArrayAgg { .. }
                | Function::JsonObjectAgg { .. },
            ) => true,
            Some(_) => self.distinct,
            None => self.distinct || retracting,
        }
    }
}

/// A call as a user would write it.
fn display(call: &AggregateFunction, function: Option<Function>) -> String {
    let AggregateFunction { func, params } = call;
    let list = |exprs: &mut dyn Iterator<Item = String>| exprs.collect::<Vec<_>>().join(", ");
    let name = function.map_or_else(|| func.name().to_ascii_uppercase(), Function::label);
    let distinct = if params.distinct { "DISTINCT " } else { "" };
    let args = match function {
        Some(Function::Count) if !params.distinct && params.args.iter().all(is_constant) => "*".to_string(),
        _ => list(&mut params.args.iter().map(shown_expr)),
    };
    let mut text = format!("{name}({distinct}{args}");
    if !params.order_by.is_empty() {
        let order = params
            .order_by
            .iter()
            .map(|o| format!("{}{}", shown_expr(&o.expr), if o.asc { "" } else { " DESC" }));
        text += &format!(" ORDER BY {}", list(&mut order.into_iter()));
    }
    if let Some(nulls) = params.null_treatment {
        text += &format!(" {nulls}");
    }
    text.push(')');
    if let Some(filter) = &params.filter {
        text += &format!(" FILTER (WHERE {})", shown_expr(filter));
    }
    text
}

fn is_constant(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if !value.is_null())
}

/// What rows are grouped by: expressions, and the sets of them.
pub(super) struct Grouping<'a> {
    /// Each expression once, as the columns of the aggregation.
    pub exprs: Vec<&'a Expr>,
    /// For each set, which of the expressions are in it. One with all where none is written.
    pub sets: Vec<Vec<bool>>,
    /// GROUPING SETS, ROLLUP or CUBE is written: the number of the set is a column behind the expressions.
    pub numbered: bool,
}

impl<'a> Grouping<'a> {
    /// The grouping of an aggregation.
    pub fn of(aggregate: &'a Aggregate) -> Result<Self> {
        let [Expr::GroupingSet(set)] = aggregate.group_expr.as_slice() else {
            // What is written twice is one column.
            let mut exprs: Vec<&Expr> = Vec::with_capacity(aggregate.group_expr.len());
            for expr in &aggregate.group_expr {
                if !exprs.contains(&expr) {
                    exprs.push(expr);
                }
            }
            return Ok(Self { sets: vec![vec![true; exprs.len()]], exprs, numbered: false });
        };
        let exprs = set.distinct_expr();
        let n = exprs.len();
        let sets: Vec<Vec<bool>> = match set {
            GroupingSet::Rollup(_) => (0..=n).rev().map(|k| (0..n).map(|i| i < k).collect()).collect(),
            GroupingSet::Cube(_) if n >= MOST_SETS.ilog2() as usize => {
                return Err(Error::unsupported(format!("CUBE of {n} columns makes too many sets"))
                    .with_hint("name the sets that are needed: GROUPING SETS ((a, b), (a))"));
            }
            GroupingSet::Cube(_) => {
                (0..1usize << n).map(|left_out| (0..n).map(|i| left_out & (1 << i) == 0).collect()).collect()
            }
            GroupingSet::GroupingSets(sets) => {
                sets.iter().map(|set| exprs.iter().map(|e| set.contains(e)).collect()).collect()
            }
        };
        if sets.len() > MOST_SETS {
            return Err(Error::unsupported(format!("{} grouping sets are too many", sets.len()))
                .with_detail(format!("at most {MOST_SETS} are supported")));
        }
        Ok(Self { exprs, sets, numbered: true })
    }

    /// Sets with their numbers: the first expression is the highest bit, 1 where it is left out. A set
    /// that comes again has its ordinal above these.
    fn numbers(&self) -> Vec<(Vec<bool>, u64)> {
        let mut numbered: Vec<(Vec<bool>, u64)> = Vec::with_capacity(self.sets.len());
        for set in &self.sets {
            let again = numbered.iter().filter(|(other, _)| other == set).count() as u64;
            let bits = set.iter().fold(0u64, |bits, kept| (bits << 1) | u64::from(!kept));
            numbered.push((set.clone(), bits | (again << set.len())));
        }
        numbered
    }

    /// The expression at `i` is in every set.
    fn always(&self, i: usize) -> bool {
        self.sets.iter().all(|set| set[i])
    }
}

/// Whether an aggregation is one of the windows of its input: the window's start and end are both grouped by,
/// in every grouping set.
pub(super) fn is_window_aggregate(grouping: &Grouping<'_>, input: &Node) -> bool {
    let Some(window) = &input.properties.window else { return false };
    let exprs: Vec<Expr> = grouping.exprs.iter().map(|e| (*e).clone()).collect();
    let plain = forwarded(&exprs, &input.schema);
    let grouped = |column: Option<usize>| {
        column.is_some_and(|c| plain.iter().enumerate().any(|(i, p)| *p == Some(c) && grouping.always(i)))
    };
    grouped(window.start) && grouped(window.end)
}

/// The input with a column for each group column, and where these are: as [`Aggregate::schema`] has them,
/// the number of the grouping set included.
pub(super) fn group_keys(
    aggregate: &Aggregate,
    grouping: &Grouping<'_>,
    input: Node,
) -> Result<(Node, Vec<usize>)> {
    let exprs: Vec<Expr> = grouping.exprs.iter().map(|e| (*e).clone()).collect();
    let (input, plain) = with_columns(input, &exprs)?;
    if !grouping.numbered {
        return Ok((input, plain));
    }
    // What is in every set needs no copy.
    let copied: Vec<usize> = (0..plain.len()).filter(|&i| !grouping.always(i)).collect();
    let width = input.arrow.fields().len();
    let number = aggregate.schema.field(plain.len());
    let mut names: Vec<_> = input.schema.iter().map(|(q, f)| (q.cloned(), f.clone())).collect();
    let mut fields: Vec<Field> = input.arrow.fields().iter().map(|f| f.as_ref().clone()).collect();
    let mut keys = plain.clone();
    for (n, &i) in copied.iter().enumerate() {
        let field = input.arrow.field(plain[i]).clone().with_name(format!("$set{}", width + n));
        names.push((None, Arc::new(field.clone())));
        fields.push(field.with_nullable(true));
        keys[i] = width + n;
    }
    keys.push(fields.len());
    names.push((None, Arc::new(number.as_ref().clone())));
    fields.push(number.as_ref().clone());
    let schema: DFSchemaRef = Arc::new(DFSchema::new_with_metadata(names, Default::default())?);
    let arrow: SchemaRef = Arc::new(Schema::new(fields));
    let sets = grouping.numbers().into_iter();
    let sets = sets.map(|(set, number)| (copied.iter().map(|&i| set[i]).collect(), number)).collect();
    let spec = ExpandSpec { keys: copied.iter().map(|&i| plain[i]).collect(), sets, schema: arrow.clone() };
    let shown = grouping.sets.iter().map(|set| {
        let names = set.iter().zip(&exprs).filter(|(kept, _)| **kept);
        format!("({})", names.map(|(_, e)| shown_expr(e)).collect::<Vec<_>>().join(", "))
    });
    let detail = format!("sets=[{}]", shown.collect::<Vec<_>>().join(", "));
    // A row is told from its copies by the number of the set.
    let mut properties = input.properties.clone();
    let last = spec.schema.fields().len() - 1;
    properties.keys.iter_mut().for_each(|key| key.push(last));
    let build: BuildOperator = Arc::new(move || Ok(Box::new(Expand::new(spec.clone()))));
    let sets: Vec<String> = grouping.sets.iter().map(|set| format!("{set:?}")).collect();
    let what = Parts::new("Expand", 1).columns("keys", &input, &plain).with("sets", sets.join(", "));
    let mut texts = input.meaning.columns.clone();
    texts.extend(copied.iter().map(|&i| format!("grouped {}", input.typed(plain[i])).into()));
    texts.push("grouping set".into());
    let known = (properties, Meaning::passed(what, &input, texts));
    Ok((Node::forward("Expand", detail, build, input, (schema, arrow), known), keys))
}

/// The columns that an aggregation gives, keys and results, all nullable.
pub(super) fn aggregate_schema(
    names: &DFSchema,
    input: &SchemaRef,
    keys: &[usize],
    calls: &[AggregateCall],
) -> SchemaRef {
    let types = keys.iter().map(|&k| input.field(k).data_type().clone());
    let types = types.chain(calls.iter().map(|c| c.data_type.clone()));
    let fields = names.fields().iter().zip(types).map(|(f, t): (_, DataType)| Field::new(f.name(), t, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Group columns and calls, as EXPLAIN shows them.
pub(super) fn aggregate_detail(schema: &DFSchema, keys: usize, calls: &[AggregateCall]) -> String {
    let names: Vec<&str> = schema.fields().iter().take(keys).map(|f| f.name().as_str()).collect();
    let all: Vec<&str> = names.iter().copied().chain(calls.iter().map(|c| c.display.as_str())).collect();
    let select = format!("select=[{}]", all.join(", "));
    if keys == 0 { select } else { format!("groupBy=[{}], {select}", names.join(", ")) }
}

impl Planner {
    /// GROUP BY.
    pub(super) fn lower_aggregate(&self, aggregate: &Aggregate) -> Result<Node> {
        let mut input = None;
        self.as_remembered(aggregate, |aggregate| self.lower_aggregate_as(aggregate, &mut input))
    }

    /// The same in this order of keys and calls; the input is lowered once.
    fn lower_aggregate_as(&self, aggregate: &Aggregate, lowered: &mut Option<Node>) -> Result<Node> {
        let grouping = Grouping::of(aggregate)?;
        if let Some(node) = self.lower_fused_window_aggregate(aggregate, &grouping)? {
            return Ok(node);
        }
        let input = match lowered {
            Some(input) => input.clone(),
            None => lowered.insert(self.lower(&aggregate.input)?).clone(),
        };
        if is_window_aggregate(&grouping, &input) {
            return self.lower_window_aggregate(aggregate, &grouping, input);
        }
        self.group_aggregate(aggregate, &grouping, input)
    }

    /// SELECT DISTINCT and UNION: an aggregation without calls.
    pub(super) fn lower_distinct(&self, distinct: &Distinct) -> Result<Node> {
        let Distinct::All(input) = distinct else {
            return Err(Error::unsupported("DISTINCT ON is not supported").with_hint(
                "ROW_NUMBER() OVER (PARTITION BY ... ORDER BY ...) = 1 keeps one row of each key",
            ));
        };
        let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
        self.lower_aggregate(&Aggregate::try_new(input.clone(), columns, Vec::new())?)
    }

    /// Aggregation without windows: state for every key.
    fn group_aggregate(&self, aggregate: &Aggregate, grouping: &Grouping<'_>, input: Node) -> Result<Node> {
        let (input, keys) = group_keys(aggregate, grouping, input)?;
        let calls = aggregate.aggr_expr.iter().map(|e| AggregateCall::from_expr(e, &input.schema));
        let calls = calls.collect::<Result<Vec<_>>>()?;
        let texts = meaning::calls(&input, &aggregate.aggr_expr, &calls);
        let arrow = aggregate_schema(&aggregate.schema, &input.arrow, &keys, &calls);
        let input_changes = !input.properties.changes.is_append();
        let state_ttl = self.state_ttl(&aggregate.input);
        let spec = GroupAggregateSpec {
            keys: keys.clone(),
            calls,
            schema: arrow.clone(),
            input_changes,
            emit_before: true,
            state_ttl,
        };
        let detail = aggregate_detail(&aggregate.schema, keys.len(), &spec.calls);
        let mut warnings = Vec::new();
        if !input.properties.bounded && state_ttl.is_none() {
            warnings.extend(growth(&spec, &aggregate.schema));
        }
        let properties = Properties {
            changes: Changes {
                // The keys of appended rows never change.
                update: input_changes || !spec.calls.is_empty() || state_ttl.is_some(),
                delete: input_changes,
            },
            keys: if keys.is_empty() { Vec::new() } else { vec![(0..keys.len()).collect()] },
            bounded: input.properties.bounded,
            ..Properties::default()
        };
        let build: BuildNode = Arc::new(move |wiring| {
            let spec = GroupAggregateSpec { emit_before: wiring.emit_before, ..spec.clone() };
            Ok(Arc::new(move || Ok(Box::new(GroupAggregate::new(spec.clone())?))))
        });
        let state = Parts::new("GroupAggregate", 1)
            .rows("rows", &input)
            .columns("keys", &input, &keys)
            .with("calls", texts.join(", "))
            .flag("updates", input_changes);
        let columns = keys.iter().filter_map(|&k| input.meaning.columns.get(k)).chain(&texts);
        let meaning = Meaning::made(state, columns.cloned().collect());
        let distribution = if keys.is_empty() { Distribution::Single } else { Distribution::Keys(keys) };
        let inputs = vec![Input { node: input, distribution, demand: Demand::Before }];
        let columns = (aggregate.schema.clone(), arrow);
        let node = Node::operator("GroupAggregate", detail, build, inputs, columns, (properties, meaning));
        Ok(node.originating(true).warned(warnings))
    }
}

/// What of an aggregation's state grows without bound.
fn growth(spec: &GroupAggregateSpec, names: &DFSchema) -> Option<String> {
    let remedy = "SET 'table.exec.state.ttl' = '1 d', or group by a window of time";
    if !spec.keys.is_empty() {
        let names: Vec<&str> =
            names.fields().iter().take(spec.keys.len()).map(|f| f.name().as_str()).collect();
        let names = names.join(", ");
        return Some(format!("GroupAggregate keeps state for every value of {names} for ever: {remedy}"));
    }
    let call = spec.calls.iter().find(|c| c.grows(spec.input_changes))?;
    Some(format!("GroupAggregate keeps the values of {} for ever: {remedy}", call.display))
}
