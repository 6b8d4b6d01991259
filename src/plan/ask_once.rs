//! What several queries of a job look up alike is looked up once.
//!
//! ```text
//!  INSERT INTO a SELECT k, name FROM enriched WHERE k > 5     Sink a ── k, name ── k > 5 ──┐
//!  INSERT INTO b SELECT name, COUNT(*)                   ─>                                ├── k, name ── LookupJoin
//!                FROM enriched GROUP BY name                  Sink b ── GROUP BY ── name ──┘
//! ```
//! After all rewrites each query has left out the columns that it does not want and has pushed its filters down,
//! so that parts that were written alike are different. So the parts are found in the plans as they were written:
//! joins with lookup tables and calls of functions that wait, with all that is below them. A stand-in takes the place
//! of such a part while the rest of a query is rewritten. Then it is known which columns are wanted, and by which
//! conditions, and the part is rewritten for all of them: with the columns that any of them wants, and, where
//! all have conditions, with those joined by OR. The conditions of each stay above.
//!
//! Plans that ask no less often in this way stay as they are, and so do their checkpoints.
//! [`super::reuse`] then sees that the parts are equal.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::TableReference;
use datafusion_common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion_expr::logical_plan::{Projection, SubqueryAlias, TableScan};
use datafusion_expr::utils::{conjunction, disjunction, split_conjunction_owned};
use datafusion_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder, TableSource};

use super::call::{CallNode, has_call};
use super::guard::{can_fail, is_late, maybe};
use super::lookup_join::{is_lookup_side, substitute};
use super::node::{UnnestNode, WatermarkNode};
use super::provider::Planner;
use super::reuse::same;
use crate::error::{Error, Result};
use crate::function::tree::{PlanTree, Tree};

/// Nodes of all plans of a job: with more, nothing is compared.
const MOST_NODES: usize = 2_000;

/// What is read in the place of a part.
#[derive(Debug)]
struct StandIn {
    part: usize,
    schema: SchemaRef,
}

impl TableSource for StandIn {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// A part that stands in several places.
struct Part {
    /// As it was written in the first of them.
    written: LogicalPlan,
    /// The same with names of tables that do not matter.
    nameless: LogicalPlan,
    /// The same with stand-ins for the parts in it.
    plan: LogicalPlan,
}

/// What one reader of a part wants.
struct Use {
    columns: Vec<usize>,
    /// A condition over the columns of the part.
    filter: Option<Expr>,
    /// The part may drop what the condition is not true for: it is the whole condition.
    whole: bool,
}

/// A part as it is read by all.
struct Made {
    plan: LogicalPlan,
    /// Position in the part → position in the plan.
    columns: Vec<Option<usize>>,
    /// The conditions of all readers are in the plan.
    filtered: bool,
}

/// Each part that can be cut, nameless, and how many nodes read it. What is equal is looked into once.
type Counts = Vec<(LogicalPlan, usize)>;

impl Planner {
    /// Rewrites the plans of a job, and `finish`es each; `written` is what they were resolved to.
    pub(super) fn ask_once(
        &self,
        written: &[LogicalPlan],
        finish: &dyn Fn(usize, LogicalPlan) -> Result<LogicalPlan>,
    ) -> Result<Vec<LogicalPlan>> {
        let plain = |(i, plan): (usize, &LogicalPlan)| finish(i, self.rewrite(plan.clone())?);
        let plans = written.iter().enumerate().map(plain).collect::<Result<Vec<_>>>()?;
        let asked = questions(&plans)?;
        if asked < 2 {
            return Ok(plans);
        }
        // What has no such plan runs as it is.
        match self.with_parts(written, finish) {
            Ok(Some(shared)) if questions(&shared)? < asked => Ok(shared),
            _ => Ok(plans),
        }
    }

    fn with_parts(
        &self,
        written: &[LogicalPlan],
        finish: &dyn Fn(usize, LogicalPlan) -> Result<LogicalPlan>,
    ) -> Result<Option<Vec<LogicalPlan>>> {
        let (heads, parts) = cut(written)?;
        if parts.is_empty() {
            return Ok(None);
        }
        let timed = written.iter().map(super::resolve::is_timed).collect::<Result<Vec<_>>>()?.contains(&true);
        let heads = heads.into_iter().enumerate();
        let mut heads =
            heads.map(|(i, plan)| finish(i, self.rewrite_as(plan, timed)?)).collect::<Result<Vec<_>>>()?;
        // A part is made when all that read it are.
        let mut made: Vec<Option<Made>> = parts.iter().map(|_| None).collect();
        let mut order = Vec::with_capacity(parts.len());
        while order.len() < parts.len() {
            let mut inner = BTreeSet::new();
            for (part, made) in parts.iter().zip(&made) {
                if made.is_none() {
                    inner.extend(stand_ins(&part.plan)?);
                }
            }
            let next = (0..parts.len()).find(|i| made[*i].is_none() && !inner.contains(i));
            let next = next.ok_or_else(|| Error::internal("parts of plans that hold each other"))?;
            let mut uses = Vec::new();
            for reader in heads.iter().chain(made.iter().flatten().map(|made| &made.plan)) {
                collect_uses(reader, next, &parts[next].written, &mut uses)?;
            }
            made[next] = Some(self.make(&parts[next], &uses, timed)?);
            order.push(next);
        }
        for next in order.into_iter().rev() {
            if let Some(mut part) = made[next].take() {
                part.plan = filled(part.plan, &made)?;
                made[next] = Some(part);
            }
        }
        for head in &mut heads {
            *head = filled(std::mem::take(head), &made)?;
        }
        Ok(Some(heads))
    }

    /// A part for all that read it.
    fn make(&self, part: &Part, uses: &[Use], timed: bool) -> Result<Made> {
        let mut wanted: BTreeSet<usize> = uses.iter().flat_map(|of| of.columns.iter().copied()).collect();
        if wanted.is_empty() {
            // Rows that are counted.
            wanted.insert(0);
        }
        let mut plan = part.plan.clone();
        let mut filters: Vec<&Expr> = Vec::new();
        let all = uses.iter().all(|of| of.filter.is_some());
        for filter in uses.iter().filter_map(|of| of.filter.as_ref()) {
            if !filters.contains(&filter) {
                filters.push(filter);
            }
        }
        let filtered = all && filters.len() == 1 && uses.iter().all(|of| of.whole);
        if all && let Some(filter) = disjunction(filters.into_iter().cloned()) {
            plan = LogicalPlanBuilder::from(plan).filter(filter)?.build()?;
        }
        let columns = plan.schema().columns();
        let kept: Vec<Expr> = wanted.iter().map(|&i| Expr::Column(columns[i].clone())).collect();
        let plan = LogicalPlanBuilder::from(plan).project(kept)?.build()?;
        let mut places = vec![None; columns.len()];
        wanted.into_iter().enumerate().for_each(|(place, i)| places[i] = Some(place));
        Ok(Made { plan: self.rewrite_as(plan, timed)?, columns: places, filtered })
    }
}

fn is_lookup(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Join(join) if is_lookup_side(&join.right))
}

/// How many different nodes ask something outside, in plans that are rewritten.
fn questions(plans: &[LogicalPlan]) -> Result<usize> {
    let mut known: HashMap<&LogicalPlan, Vec<&LogicalPlan>> = HashMap::new();
    let mut count = 0;
    for plan in plans {
        plan.apply(|node| {
            let call = || match node {
                LogicalPlan::Extension(Extension { node }) => node.as_any().is::<CallNode>(),
                _ => false,
            };
            if is_lookup(node) || call() {
                let equal = known.entry(node).or_default();
                if !equal.iter().any(|other| same(other, node)) {
                    equal.push(node);
                    count += 1;
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(count)
}

/// Whether a part can be taken out of its query: it asks, and nothing in it depends on what stands around it.
fn can_be_cut(plan: &LogicalPlan) -> bool {
    asks(plan, false) == Some(true)
}

/// Whether a plan asks something outside; `None`: it cannot be taken out. What a filter or a window above might belong to
/// stays with it, but `below` what asks nothing does.
fn asks(plan: &LogicalPlan, below: bool) -> Option<bool> {
    let expressions = plan.expressions();
    let is_plain = match plan {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::TableScan(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::Extension(Extension { node }) => {
            node.as_any().is::<WatermarkNode>() || node.as_any().is::<UnnestNode>()
        }
        _ => below,
    };
    if !is_plain || expressions.iter().any(|e| super::subquery::has_any(e) || e.contains_outer()) {
        return None;
    }
    let own = is_lookup(plan) || expressions.iter().any(has_call);
    plan.inputs().into_iter().try_fold(own, |any, input| Some(asks(input, below || own)? || any))
}

/// A plan in which the names that a query has given to tables are numbers: `d.x` and `e.x` may be the same.
fn nameless(plan: &LogicalPlan) -> LogicalPlan {
    let (mut given, mut own, mut fits) = (Vec::new(), Vec::new(), true);
    let looked = plan.apply(|node| {
        match node {
            LogicalPlan::SubqueryAlias(named) => given.push(named.alias.clone()),
            LogicalPlan::TableScan(scan) => own.push(scan.table_name.clone()),
            LogicalPlan::Extension(Extension { node }) => fits &= node.as_any().is::<WatermarkNode>(),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    let clear = |(i, name): (usize, &TableReference)| !own.contains(name) && !given[..i].contains(name);
    if looked.is_err() || !fits || given.is_empty() || !given.iter().enumerate().all(clear) {
        return plan.clone();
    }
    let number = |name: &TableReference| {
        given.iter().position(|other| other == name).map(|i| TableReference::bare(format!("${i}")))
    };
    let renamed = plan.clone().transform_up(|node| {
        if let LogicalPlan::SubqueryAlias(named) = node {
            let name = number(&named.alias).unwrap_or(named.alias);
            return Ok(Transformed::yes(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(
                named.input,
                name,
            )?)));
        }
        let node = node.map_own(|e| {
            e.transform_up(|e| match e {
                Expr::Column(mut column) => {
                    let name = column.relation.as_ref().and_then(number);
                    let changed = name.is_some();
                    column.relation = name.or(column.relation);
                    Ok(Transformed::new(Expr::Column(column), changed, TreeNodeRecursion::Continue))
                }
                other => Ok(Transformed::no(other)),
            })
        })?;
        Ok(Transformed::yes(node.data.recompute_schema()?))
    });
    renamed.map_or_else(|_| plan.clone(), |renamed| renamed.data)
}

/// Counts how many nodes read each part that can be cut.
fn count(plan: &LogicalPlan, counts: &mut Counts, left: &mut usize) {
    *left = left.saturating_sub(1);
    if *left == 0 {
        return;
    }
    if can_be_cut(plan) {
        let nameless = nameless(plan);
        if let Some((_, count)) = counts.iter_mut().find(|(other, _)| same(other, &nameless)) {
            *count += 1;
            return;
        }
        counts.push((nameless, 1));
    }
    plan.inputs().into_iter().for_each(|input| count(input, counts, left));
}

/// Cuts out what is read several times: the plans with stand-ins, and the parts.
fn cut(plans: &[LogicalPlan]) -> Result<(Vec<LogicalPlan>, Vec<Part>)> {
    let (mut counts, mut left) = (Counts::new(), MOST_NODES);
    plans.iter().for_each(|plan| count(plan, &mut counts, &mut left));
    counts.retain(|(_, count)| *count > 1);
    let mut parts = Vec::new();
    if left == 0 || counts.is_empty() {
        return Ok((Vec::new(), parts));
    }
    let heads = plans.iter().map(|plan| without_parts(plan.clone(), &counts, &mut parts, None));
    let heads = heads.collect::<Result<Vec<_>>>()?;
    let mut next = 0;
    while next < parts.len() {
        parts[next].plan = without_parts(parts[next].written.clone(), &counts, &mut parts, Some(next))?;
        next += 1;
    }
    Ok((heads, parts))
}

/// A plan with stand-ins; `of`: it is this part itself.
fn without_parts(
    plan: LogicalPlan,
    counts: &Counts,
    parts: &mut Vec<Part>,
    of: Option<usize>,
) -> Result<LogicalPlan> {
    let mut top = of.is_some();
    let cut = plan.transform_down(|node| {
        if std::mem::take(&mut top) || !can_be_cut(&node) {
            return Ok(Transformed::no(node));
        }
        let nameless = nameless(&node);
        if !counts.iter().any(|(other, _)| same(other, &nameless)) {
            return Ok(Transformed::no(node));
        }
        let known = parts.iter().position(|part| same(&part.nameless, &nameless));
        let part = known.unwrap_or_else(|| {
            parts.push(Part { written: node.clone(), nameless, plan: LogicalPlan::default() });
            parts.len() - 1
        });
        Ok(Transformed::new(stand_in(part, &node)?, true, TreeNodeRecursion::Jump))
    })?;
    Ok(cut.data)
}

/// What stands in for a part: a scan, whose columns get the names of the part's.
fn stand_in(part: usize, plan: &LogicalPlan) -> Result<LogicalPlan> {
    let schema = plan.schema();
    let mut qualifiers: Vec<Option<&TableReference>> =
        schema.iter().map(|(qualifier, _)| qualifier).collect();
    qualifiers.dedup();
    let name = match qualifiers.as_slice() {
        [Some(only)] => (*only).clone(),
        _ => TableReference::bare("joined"),
    };
    let mut fields: Vec<Field> = Vec::with_capacity(schema.fields().len());
    for (qualifier, field) in schema.iter() {
        let mut name = field.name().clone();
        while fields.iter().any(|other| *other.name() == name) {
            name = format!("{}.{name}", qualifier.map_or("joined", |q| q.table()));
        }
        fields.push(field.as_ref().clone().with_name(name));
    }
    let source = StandIn { part, schema: Arc::new(Schema::new(fields)) };
    let scan = LogicalPlanBuilder::scan(name, Arc::new(source), None)?;
    let columns = scan.schema().columns().into_iter().map(Expr::Column).zip(schema.iter());
    let named =
        columns.map(|(column, (qualifier, field))| column.alias_qualified(qualifier.cloned(), field.name()));
    let named: Vec<Expr> = named.collect();
    Ok(scan.project(named)?.build()?)
}

fn part_of(plan: &LogicalPlan) -> Option<(&TableScan, usize)> {
    let LogicalPlan::TableScan(scan) = plan else { return None };
    Some((scan, scan.source.downcast_ref::<StandIn>()?.part))
}

/// The parts that a plan reads.
fn stand_ins(plan: &LogicalPlan) -> Result<Vec<usize>> {
    let mut found = Vec::new();
    plan.apply_all(|node| {
        found.extend(part_of(node).map(|(_, part)| part));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn projected(scan: &TableScan) -> Vec<usize> {
    scan.projection.clone().unwrap_or_else(|| (0..scan.source.schema().fields().len()).collect())
}

/// What a rewritten plan wants of a part.
fn collect_uses(plan: &LogicalPlan, part: usize, written: &LogicalPlan, uses: &mut Vec<Use>) -> Result<()> {
    let of_part = |plan| part_of(plan).filter(|(_, other)| *other == part);
    plan.apply(|node| {
        let (scan, filter) = match node {
            LogicalPlan::Filter(filter) => match of_part(&filter.input) {
                Some((scan, _)) => (scan, Some(&filter.predicate)),
                None => return Ok(TreeNodeRecursion::Continue),
            },
            node => match of_part(node) {
                Some((scan, _)) => (scan, None),
                None => return Ok(TreeNodeRecursion::Continue),
            },
        };
        let columns = projected(scan);
        let own: Vec<Expr> = written.schema().columns().into_iter().map(Expr::Column).collect();
        let by: Vec<Expr> = columns.iter().map(|&i| own[i].clone()).collect();
        let (mut conditions, mut whole) = (Vec::new(), true);
        for condition in filter.cloned().map(split_conjunction_owned).unwrap_or_default() {
            if condition.is_volatile() || has_call(&condition) || is_late(&condition) {
                whole = false;
                continue;
            }
            let fails = can_fail(&condition, &scan.projected_schema);
            whole &= !fails;
            let condition = substitute(condition, &scan.projected_schema, &by)?;
            conditions.push(if fails { maybe(condition) } else { condition });
        }
        uses.push(Use { columns, filter: conjunction(conditions), whole });
        Ok(TreeNodeRecursion::Jump)
    })?;
    Ok(())
}

/// The part that a stand-in stands for, what the stand-in's columns are in it, and whether the conditions above
/// are in it.
fn put<'m>(
    plan: &LogicalPlan,
    made: &'m [Option<Made>],
) -> Result<Option<(&'m LogicalPlan, Vec<Expr>, bool)>> {
    let Some((scan, part)) = part_of(plan) else { return Ok(None) };
    let missing = || Error::internal("a part of a plan is missing");
    let part = made.get(part).and_then(Option::as_ref).ok_or_else(missing)?;
    let columns = part.plan.schema().columns();
    let mut own = Vec::with_capacity(columns.len());
    for (i, (_, field)) in projected(scan).into_iter().zip(scan.projected_schema.iter()) {
        let place = part.columns.get(i).copied().flatten().ok_or_else(missing)?;
        if part.plan.schema().field(place).data_type() != field.data_type() {
            return Err(Error::internal(format!("column '{}' has another type in its part", field.name())));
        }
        own.push(Expr::Column(columns[place].clone()));
    }
    Ok(Some((&part.plan, own, part.filtered)))
}

/// Puts the parts where their stand-ins are.
fn filled(plan: LogicalPlan, made: &[Option<Made>]) -> Result<LogicalPlan> {
    let unfiltered = plan.transform_up(|node| match &node {
        LogicalPlan::Filter(filter) if matches!(put(&filter.input, made)?, Some((_, _, true))) => {
            Ok(Transformed::yes(filter.input.as_ref().clone()))
        }
        _ => Ok(Transformed::no(node)),
    })?;
    let filled = unfiltered.data.transform_down(|node| {
        if let LogicalPlan::Projection(projection) = &node
            && let Some((part, own, _)) = put(&projection.input, made)?
        {
            let columns =
                projection.expr.iter().map(|e| substitute(e.clone(), projection.input.schema(), &own));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            let schema = projection.schema.clone();
            let plan = Projection::try_new_with_schema(columns, Arc::new(part.clone()), schema)?;
            return Ok(Transformed::new(LogicalPlan::Projection(plan), true, TreeNodeRecursion::Jump));
        }
        let Some((part, own, _)) = put(&node, made)? else { return Ok(Transformed::no(node)) };
        let named = own.into_iter().zip(node.schema().iter());
        let named = named.map(|(e, (qualifier, field))| e.alias_qualified(qualifier.cloned(), field.name()));
        let plan = LogicalPlanBuilder::from(part.clone()).project(named.collect::<Vec<_>>())?.build()?;
        Ok(Transformed::new(plan, true, TreeNodeRecursion::Jump))
    })?;
    Ok(filled.data)
}
