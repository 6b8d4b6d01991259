//! The first rows of something: Top-N, deduplication, LIMIT.
//!
//! ```text
//!  Filter(rn <= 3 AND x > 0)                          Calc(where x > 0)
//!    Window(ROW_NUMBER() OVER (PARTITION BY ...))  ─>   Rank(1 to 3)
//! ```
//! | order | rank | becomes |
//! |---|---|---|
//! | any, partitioned by a window's bounds | 1 to N | `WindowRank`; `WindowDeduplicate` by event time with N = 1 |
//! | one time attribute, input that only appends | 1 | `Deduplicate` |
//! | any | 1 to N | `Rank` |
//!
//! A rank that can have one value only is a constant. A rank that nobody reads is not made: then only rows
//! that enter or leave are emitted.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchema, ScalarValue};
use datafusion_expr::logical_plan::{Filter, Limit as LimitPlan, Projection, Sort, Window};
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{
    BinaryExpr, Expr, Extension, LogicalPlan, Operator as BinaryOperator, WindowFunctionDefinition, lit,
};

use super::graph::{BuildNode, Changes, Demand, Input, Node, Properties, Shape, Wiring};
use super::lower::{calc, forwarded, limit_of, with_columns};
use super::meaning::{self, Meaning, Parts, Text};
use super::node::WindowTableNode;
use super::over::{TimeOrder, by_keys, extended, names, order_names, sort_columns, time_order, window_call};
use super::provider::Planner;
use crate::error::{Error, Result};
use crate::flow::task::BuildOperator;
use crate::function::tree::Tree;
use crate::function::window::WindowFunction;
use crate::operator::deduplicate::{Deduplicate, DeduplicateSpec, Keep};
use crate::operator::limit::{Budget, Limit};
use crate::operator::top_n::{RankFunction, SortColumn, TopN, TopNSpec};
use crate::operator::window::WindowSpec;
use crate::operator::window_rank::{WindowRank, WindowRankSpec};

/// Ranks that a predicate lets through.
#[derive(Debug, Clone, Copy)]
struct Range {
    from: u64,
    to: Option<u64>,
}

impl Range {
    /// Narrows by a conjunct such as `rn <= 3`; false if it is none.
    fn narrow(&mut self, conjunct: &Expr, is_rank: &impl Fn(&Expr) -> bool) -> bool {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = conjunct else { return false };
        let (op, value) = match (is_rank(left), is_rank(right)) {
            (true, false) => (Some(*op), right),
            (false, true) => (op.swap(), left),
            _ => return false,
        };
        let value = match value.as_ref() {
            Expr::Literal(ScalarValue::Int64(Some(n)), _) => *n,
            Expr::Literal(ScalarValue::Int32(Some(n)), _) => i64::from(*n),
            _ => return false,
        };
        let (from, to) = match op {
            Some(BinaryOperator::Eq) => (value, value),
            Some(BinaryOperator::LtEq) => (1, value),
            Some(BinaryOperator::Lt) => (1, value.saturating_sub(1)),
            Some(BinaryOperator::GtEq) => (value, i64::MAX),
            Some(BinaryOperator::Gt) => (value.saturating_add(1), i64::MAX),
            _ => return false,
        };
        self.from = self.from.max(from.max(1).unsigned_abs());
        if to < i64::MAX {
            let to = to.max(0).unsigned_abs();
            self.to = Some(self.to.map_or(to, |t| t.min(to)));
        }
        true
    }
}

/// What a Top-N is made of, whichever operator does it.
struct Ranked {
    partition: Vec<usize>,
    sort: Vec<SortColumn>,
    function: RankFunction,
    from: u64,
    to: u64,
    /// Name of the rank's column, if it is output.
    rank: Option<String>,
}

impl Ranked {
    /// What the state depends on.
    fn meaning(&self, name: &'static str, input: &Node) -> Parts {
        let function = match self.function {
            RankFunction::RowNumber => "row_number",
            RankFunction::Rank => "rank",
            RankFunction::DenseRank => "dense_rank",
        };
        Parts::new(name, 1)
            .rows("rows", input)
            .columns("partition", input, &self.partition)
            .order("order", input, &self.sort)
            .with("ranks", format!("{function} {} to {}", self.from, self.to))
            .flag("rank is a column", self.rank.is_some())
            .kept("columns", input)
    }

    /// What the columns of the result are.
    fn texts(&self, input: &Node) -> Vec<Text> {
        let rank = self.rank.iter().map(|_| "rank".into());
        input.meaning.columns.iter().cloned().chain(rank).collect()
    }

    fn detail(&self, schema: &DFSchema) -> String {
        let mut detail = Vec::new();
        if !self.partition.is_empty() {
            detail.push(format!("partitionBy=[{}]", names(schema, &self.partition)));
        }
        if !self.sort.is_empty() {
            detail.push(format!("orderBy=[{}]", order_names(schema, &self.sort)));
        }
        let function = match self.function {
            RankFunction::RowNumber => "ROW_NUMBER",
            RankFunction::Rank => "RANK",
            RankFunction::DenseRank => "DENSE_RANK",
        };
        detail
            .push(format!("rankType=[{function}], rankRange=[rankStart={}, rankEnd={}]", self.from, self.to));
        detail.join(", ")
    }
}

/// Replaces the columns of an expression by what a projection or alias makes them of; `None` if that may
/// differ from call to call.
fn below(expr: Expr, schema: &DFSchema, made_of: &[Expr]) -> Result<Option<Expr>> {
    if expr
        .column_refs()
        .iter()
        .any(|c| schema.maybe_index_of_column(c).is_some_and(|i| made_of[i].is_volatile()))
    {
        return Ok(None);
    }
    let moved = expr.transform_up(|e| match &e {
        Expr::Column(c) => Ok(Transformed::yes(made_of[schema.index_of_column(c)?].clone().unalias())),
        _ => Ok(Transformed::no(e)),
    });
    Ok(Some(moved?.data))
}

fn columns_of(schema: &DFSchema) -> Vec<Expr> {
    schema.columns().into_iter().map(Expr::Column).collect()
}

/// The rank function of a window with one call.
fn rank_function(window: &Window) -> Result<Option<RankFunction>> {
    let [only] = window.window_expr.as_slice() else { return Ok(None) };
    let WindowFunctionDefinition::WindowUDF(function) = &window_call(only)?.fun else { return Ok(None) };
    Ok(match WindowFunction::of(function) {
        Some(WindowFunction::RowNumber) => Some(RankFunction::RowNumber),
        Some(WindowFunction::Rank) => Some(RankFunction::Rank),
        Some(WindowFunction::DenseRank) => Some(RankFunction::DenseRank),
        _ => None,
    })
}

impl Planner {
    /// A filter on a rank (`ROW_NUMBER() OVER (...) <= 3`); `None` for any other. `needed`: what is read of
    /// its columns, if not all.
    pub(super) fn lower_rank(&self, filter: &Filter, needed: Option<&[Expr]>) -> Result<Option<Node>> {
        let mut predicate = filter.predicate.clone();
        let mut plan = filter.input.as_ref();
        let mut above = Vec::new();
        let window = loop {
            let (schema, made_of, input) = match plan {
                LogicalPlan::Window(window) => break window,
                LogicalPlan::Projection(p) => (&p.schema, p.expr.clone(), p.input.as_ref()),
                LogicalPlan::SubqueryAlias(a) => (&a.schema, columns_of(a.input.schema()), a.input.as_ref()),
                _ => return Ok(None),
            };
            match below(predicate, schema, &made_of)? {
                Some(moved) => predicate = moved,
                None => return Ok(None),
            }
            above.push((made_of, schema));
            plan = input;
        };
        let Some(function) = rank_function(window)? else { return Ok(None) };
        let rank = window.input.schema().fields().len();
        let schema = &window.schema;
        let is_rank =
            |e: &Expr| matches!(e, Expr::Column(c) if schema.maybe_index_of_column(c) == Some(rank));
        let reads_rank =
            |e: &Expr| e.column_refs().iter().any(|c| schema.maybe_index_of_column(c) == Some(rank));
        let mut range = Range { from: 1, to: None };
        let mut residual = split_conjunction_owned(predicate);
        residual.retain(|conjunct| !range.narrow(conjunct, &is_rank));
        // Without a last rank all rows are kept: an OVER aggregate and a filter.
        let Some(to) = range.to else { return Ok(None) };
        let needed = above.last().map(|(made_of, _)| made_of.as_slice()).or(needed);
        let reads =
            needed.is_none_or(|exprs| exprs.iter().any(&reads_rank)) || residual.iter().any(&reads_rank);

        let mut node = self.ranked(window, function, range.from, to, reads)?;
        let wanted = if reads { rank + 1 } else { rank };
        let mut exprs: Vec<Expr> = columns_of(schema);
        exprs.truncate(wanted);
        let fields: Vec<_> = schema.iter().take(wanted).map(|(q, f)| (q.cloned(), f.clone())).collect();
        let has_rank = node.schema.has_column(&Column::from(schema.qualified_field(rank)));
        if reads && !has_rank {
            exprs[rank] = lit(range.from as i64).alias(schema.field(rank).name());
        }
        let shape = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
        if (reads && !has_rank) || node.schema.fields().len() != wanted {
            node = calc(node, None, Some((&exprs, &shape)))?;
        }
        if let Some(condition) = conjunction(residual) {
            node = calc(node, Some(&condition), None)?;
        }
        for (made_of, schema) in above.into_iter().rev() {
            node = calc(node, None, Some((&made_of, schema)))?;
        }
        Ok(Some(node))
    }

    /// The operator for a rank in a range. The rank is a column of it only if it is read and not constant.
    fn ranked(
        &self,
        window: &Window,
        function: RankFunction,
        from: u64,
        to: u64,
        reads: bool,
    ) -> Result<Node> {
        let params = &window_call(&window.window_expr[0])?.params;
        if params.order_by.is_empty() {
            return Err(
                Error::plan("a rank needs ORDER BY").with_hint("write OVER (PARTITION BY ... ORDER BY ...)")
            );
        }
        let input = self.lower(&window.input)?;
        if to < from {
            // No row has such a rank.
            return calc(input, Some(&lit(false)), None);
        }
        let keys: Vec<Expr> = params
            .partition_by
            .iter()
            .cloned()
            .chain(params.order_by.iter().map(|s| s.expr.clone()))
            .collect();
        let (input, positions) = with_columns(input, &keys)?;
        let (partition, ordering) = positions.split_at(params.partition_by.len());
        let rank = (reads && from != to)
            .then(|| window.schema.field(window.schema.fields().len() - 1).name().clone());
        let ranked = Ranked {
            partition: partition.to_vec(),
            sort: sort_columns(&params.order_by, ordering),
            function,
            from,
            to,
            rank,
        };
        let first = (function, from, to) == (RankFunction::RowNumber, 1, 1);
        let append = input.properties.changes.is_append();
        let time = time_order(&ranked.sort, &input.properties);
        if let (true, Some(end)) = (append, window_end(&input.properties, partition)?) {
            // The time that the windows are made of orders their rows still, attribute or not.
            let of_time = matches!(time, TimeOrder::Event(_))
                || (ranked.sort.len() == 1 && is_windows_time(&window.input, &params.order_by[0].expr));
            return self.window_rank(input, ranked, end, first && of_time);
        }
        match time {
            TimeOrder::Event(column) if first && append => self.deduplicate(input, ranked, Some(column)),
            TimeOrder::Processing if first && append => self.deduplicate(input, ranked, None),
            _ => self.top_n("Rank", input, ranked),
        }
    }

    fn deduplicate(&self, input: Node, ranked: Ranked, rowtime: Option<usize>) -> Result<Node> {
        let keep = if ranked.sort[0].descending { Keep::Last } else { Keep::First };
        let spec = DeduplicateSpec {
            keys: ranked.partition.clone(),
            rowtime,
            keep,
            emit_before: true,
            state_ttl: self.state.config.state_ttl(),
            schema: input.arrow.clone(),
        };
        Deduplicate::new(spec.clone())?;
        let time = if rowtime.is_some() { "ROWTIME" } else { "PROCTIME" };
        let kept = if keep == Keep::First { "FirstRow" } else { "LastRow" };
        let key = names(&input.schema, &ranked.partition);
        let detail = format!("keep=[{kept}], key=[{key}], order=[{time}]");
        let changes = Changes { update: keep == Keep::Last, delete: false };
        let mut properties = Properties { changes, ..input.properties.clone() };
        if keep == Keep::Last {
            // A row of another key of the input gives way without being deleted.
            properties.keys.clear();
        }
        if !ranked.partition.is_empty() {
            properties.keys.insert(0, ranked.partition.clone());
        }
        let mut warnings = Vec::new();
        if !input.properties.bounded && spec.state_ttl.is_none() && !ranked.partition.is_empty() {
            warnings.push(format!(
                "Deduplicate remembers every value of {key} for ever: set 'table.exec.state.ttl'"
            ));
        }
        let state = Parts::new("Deduplicate", 1)
            .rows("rows", &input)
            .columns("key", &input, &ranked.partition)
            .with("keeps", kept)
            .with("order", time)
            .columns("by", &input, rowtime.as_slice())
            .kept("columns", &input);
        let meaning = Meaning::made(state, input.meaning.columns.clone());
        let shape = match (keep, rowtime) {
            (Keep::Last, Some(_)) => Shape::LastRow,
            _ => Shape::Other,
        };
        let columns = (input.schema.clone(), input.arrow.clone());
        let build: BuildNode = Arc::new(move |wiring: &Wiring| {
            let spec = DeduplicateSpec { emit_before: wiring.emit_before, ..spec.clone() };
            let build: BuildOperator = Arc::new(move || Ok(Box::new(Deduplicate::new(spec.clone())?)));
            Ok(build)
        });
        let inputs = by_partition(input, &ranked);
        let known = (properties, meaning);
        let node = Node::operator("Deduplicate", detail, build, inputs, columns, known);
        Ok(node.originating(true).warned(warnings).shaped(shape))
    }

    fn window_rank(
        &self,
        input: Node,
        ranked: Ranked,
        end: (usize, WindowSpec),
        deduplicates: bool,
    ) -> Result<Node> {
        let name = if deduplicates { "WindowDeduplicate" } else { "WindowRank" };
        let descending = ranked.sort.first().is_some_and(|s| s.descending);
        let columns = rank_columns(&input, &ranked)?;
        let spec = WindowRankSpec {
            name,
            partition: ranked.partition.clone(),
            window_end: end.0,
            window: end.1,
            sort: ranked.sort.clone(),
            function: ranked.function,
            latest_first: deduplicates && descending,
            from: ranked.from,
            to: ranked.to,
            rank_output: ranked.rank.is_some(),
            input: input.arrow.clone(),
            schema: columns.1.clone(),
        };
        WindowRank::new(spec.clone())?;
        let detail = ranked.detail(&input.schema);
        let mut properties = input.properties.clone();
        position_keys(&mut properties, &ranked, &input);
        let state = ranked
            .meaning(name, &input)
            .with("windows", meaning::windows(&spec.window))
            .flag("latest first", spec.latest_first);
        let meaning = Meaning::made(state, ranked.texts(&input));
        let build: BuildOperator = Arc::new(move || Ok(Box::new(WindowRank::new(spec.clone())?)));
        let build: BuildNode = Arc::new(move |_: &Wiring| Ok(build.clone()));
        let inputs = by_partition(input, &ranked);
        Ok(Node::operator(name, detail, build, inputs, columns, (properties, meaning)).originating(true))
    }

    fn top_n(&self, name: &'static str, input: Node, ranked: Ranked) -> Result<Node> {
        let changing = !input.properties.changes.is_append();
        let columns = rank_columns(&input, &ranked)?;
        let spec = TopNSpec {
            name,
            partition: ranked.partition.clone(),
            sort: ranked.sort.clone(),
            function: ranked.function,
            from: ranked.from,
            to: ranked.to,
            rank_output: ranked.rank.is_some(),
            input_changes: changing,
            emit_before: true,
            state_ttl: self.state.config.state_ttl(),
            input: input.arrow.clone(),
            schema: columns.1.clone(),
        };
        TopN::new(spec.clone())?;
        let by_position = spec.is_by_position();
        let mut properties = Properties {
            changes: Changes { update: by_position, delete: changing || !by_position },
            ..input.properties.clone()
        };
        if by_position {
            properties.keys.clear();
            position_keys(&mut properties, &ranked, &input);
        }
        let mut warnings = Vec::new();
        if !input.properties.bounded && spec.state_ttl.is_none() {
            if changing {
                warnings.push(format!(
                    "{name} keeps every row of its input, which may be retracted: set 'table.exec.state.ttl'"
                ));
            } else if !ranked.partition.is_empty() {
                warnings.push(format!(
                    "{name} keeps {} rows for every value of {} for ever: set 'table.exec.state.ttl'",
                    ranked.to,
                    names(&input.schema, &ranked.partition)
                ));
            }
        }
        let detail = ranked.detail(&input.schema);
        let shape = Shape::TopN { numbered: ranked.function == RankFunction::RowNumber };
        let state = ranked.meaning(name, &input).flag("updates", changing);
        let meaning = Meaning::made(state, ranked.texts(&input));
        let build: BuildNode = Arc::new(move |wiring: &Wiring| {
            let spec = TopNSpec { emit_before: wiring.emit_before, ..spec.clone() };
            let build: BuildOperator = Arc::new(move || Ok(Box::new(TopN::new(spec.clone())?)));
            Ok(build)
        });
        let inputs = by_partition(input, &ranked);
        let node = Node::operator(name, detail, build, inputs, columns, (properties, meaning));
        Ok(node.originating(true).warned(warnings).shaped(shape))
    }

    /// ORDER BY with LIMIT.
    fn lower_sort_limit(&self, sort: &Sort, fetch: u64, skip: u64) -> Result<Node> {
        if fetch == u64::MAX {
            return Err(Error::unsupported("ORDER BY with OFFSET needs LIMIT")
                .with_hint("without it all rows would be kept and moved with every new one"));
        }
        let input = self.lower(&sort.input)?;
        if fetch == 0 {
            return calc(input, Some(&lit(false)), None);
        }
        let (columns, wanted) = (columns_of(&input.schema), input.schema.clone());
        let keys: Vec<Expr> = sort.expr.iter().map(|s| s.expr.clone()).collect();
        let (input, positions) = with_columns(input, &keys)?;
        let ranked = Ranked {
            partition: Vec::new(),
            sort: sort_columns(&sort.expr, &positions),
            function: RankFunction::RowNumber,
            from: skip.saturating_add(1),
            to: skip.saturating_add(fetch),
            rank: None,
        };
        let node = self.top_n("SortLimit", input, ranked)?;
        if node.schema.fields().len() == wanted.fields().len() {
            return Ok(node);
        }
        calc(node, None, Some((&columns, &wanted)))
    }

    /// LIMIT.
    pub(super) fn lower_limit(&self, limit: &LimitPlan) -> Result<Node> {
        let (fetch, skip) = limit_of(limit)?;
        match limit.input.as_ref() {
            LogicalPlan::Sort(sort) => return self.lower_sort_limit(sort, fetch, skip),
            LogicalPlan::Projection(Projection { input, expr, schema, .. }) => {
                if let LogicalPlan::Sort(sort) = input.as_ref() {
                    let sorted = self.lower_sort_limit(sort, fetch, skip)?;
                    return calc(sorted, None, Some((expr, schema)));
                }
            }
            _ => {}
        }
        let input = self.lower(&limit.input)?;
        if !input.properties.changes.is_append() {
            if fetch == u64::MAX {
                return Err(Error::unsupported("OFFSET on rows that change needs LIMIT"));
            }
            if fetch == 0 {
                return calc(input, Some(&lit(false)), None);
            }
            let ranked = Ranked {
                partition: Vec::new(),
                sort: Vec::new(),
                function: RankFunction::RowNumber,
                from: skip.saturating_add(1),
                to: skip.saturating_add(fetch),
                rank: None,
            };
            return self.top_n("Limit", input, ranked);
        }
        let budget = Budget::new(skip, fetch);
        let detail = if skip == 0 { format!("fetch={fetch}") } else { format!("fetch={fetch}, skip={skip}") };
        let build: BuildOperator = Arc::new(move || Ok(Box::new(Limit::new(budget.clone()))));
        let columns = (input.schema.clone(), input.arrow.clone());
        let properties = input.properties.clone();
        let what = Parts::new("Limit", 1).with("fetch", fetch.to_string()).with("skip", skip.to_string());
        let state = what.clone().rows("rows", &input);
        let meaning = Meaning::passed(what, &input, input.meaning.columns.clone()).keeping(state);
        Ok(Node::forward("Limit", detail, build, input, columns, (properties, meaning)))
    }
}

/// The rows of a partition together, with what was before an update.
fn by_partition(input: Node, ranked: &Ranked) -> Vec<Input> {
    vec![Input { node: input, distribution: by_keys(&ranked.partition), demand: Demand::Before }]
}

/// The columns of an input, and the rank if it is output.
fn rank_columns(
    input: &Node,
    ranked: &Ranked,
) -> Result<(datafusion_common::DFSchemaRef, arrow::datatypes::SchemaRef)> {
    let Some(name) = &ranked.rank else { return Ok((input.schema.clone(), input.arrow.clone())) };
    let rank = arrow::datatypes::Field::new(name, DataType::Int64, true);
    let fields = input.schema.iter().map(|(q, f)| (q.cloned(), f.clone()));
    let schema = DFSchema::new_with_metadata(
        fields.chain(std::iter::once((None, Arc::new(rank)))).collect(),
        Default::default(),
    )?;
    Ok((Arc::new(schema), extended(&input.arrow, std::iter::once((name.clone(), DataType::Int64)))))
}

/// Where ROW_NUMBER gives each row of a partition its own rank, partition and rank are a key.
fn position_keys(properties: &mut Properties, ranked: &Ranked, input: &Node) {
    if ranked.function != RankFunction::RowNumber || (ranked.rank.is_none() && ranked.from != ranked.to) {
        return;
    }
    let mut key = ranked.partition.clone();
    key.extend(ranked.rank.as_ref().map(|_| input.schema.fields().len()));
    if !key.is_empty() && !properties.keys.contains(&key) {
        properties.keys.insert(0, key);
    }
}

/// Position of the window's end where the bounds of the window are among the columns, and which windows.
fn window_end(properties: &Properties, partition: &[usize]) -> Result<Option<(usize, WindowSpec)>> {
    let Some(window) = &properties.window else { return Ok(None) };
    let (Some(start), Some(end)) = (window.start, window.end) else { return Ok(None) };
    if !partition.contains(&start) || !partition.contains(&end) {
        return Ok(None);
    }
    if window.processing {
        return Err(Error::unsupported("Top-N of windows of processing time is not supported")
            .with_hint("window by an event time column, or rank without the window's bounds"));
    }
    Ok(Some((end, window.spec.clone())))
}

/// Whether an expression is the time column of the window table function below.
fn is_windows_time(plan: &LogicalPlan, expr: &Expr) -> bool {
    let [Some(mut column)] = forwarded(std::slice::from_ref(expr), plan.schema())[..] else { return false };
    let mut plan = plan;
    loop {
        plan = match plan {
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::Projection(projection) => {
                let Some(below) = forwarded(&projection.expr, projection.input.schema())[column] else {
                    return false;
                };
                column = below;
                &projection.input
            }
            LogicalPlan::Extension(Extension { node }) => {
                let Some(node) = node.as_any().downcast_ref::<WindowTableNode>() else { return false };
                return forwarded(std::slice::from_ref(&node.time), node.input.schema()) == [Some(column)];
            }
            _ => return false,
        };
    }
}
