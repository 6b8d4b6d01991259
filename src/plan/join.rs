//! Joins: which kind of join a join is, and the operator of a join of two streams.
//!
//! A join is tried as a lookup join, as a join in time, as a window join, and else it is a regular join, which
//! keeps all rows of both sides. Equalities between the sides are its keys: rows that may match meet in one
//! task. A join without one runs in a single task.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, JoinType, NullEquality, ScalarValue};
use datafusion_expr::logical_plan::Join;
use datafusion_expr::utils::split_conjunction_owned;
use datafusion_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;

use super::graph::{BuildNode, Changes, Demand, Distribution, Input, Node, Properties, Shape, WindowColumns};
use super::lookup_join::{conjunction, family, is_lookup_side, shown};
use super::lower::{physical, with_columns};
use super::meaning::{self, Meaning, Parts, Text};
use super::provider::{Planner, RawTable};
use super::resolve::must_look_up;
use super::window::show_window;
use crate::error::{Error, Result};
use crate::flow::task::BuildOperator;
use crate::function::arithmetic::shown_expr;
use crate::operator::join::window::{self, WindowJoinSpec};
use crate::operator::join::{JoinInput, JoinKind, JoinSpec, RegularJoin};

/// An equality between the sides.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) left: Expr,
    pub(super) right: Expr,
    /// NULL equals NULL.
    pub(super) null_equal: bool,
}

impl Key {
    pub(super) fn display(&self) -> String {
        let operator = if self.null_equal { "IS NOT DISTINCT FROM" } else { "=" };
        format!("{} {operator} {}", shown_expr(&self.left), shown_expr(&self.right))
    }
}

/// The condition of a join, taken apart.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    pub(super) keys: Vec<Key>,
    pub(super) residual: Vec<Expr>,
}

/// The type of an expression before coercion has wrapped it.
fn written_type(expr: &Expr, schema: &DFSchema) -> Result<DataType> {
    let own = expr.get_type(schema)?;
    if let Expr::Cast(cast) = expr {
        let inner = written_type(&cast.expr, schema)?;
        if family(&inner) != family(&own) {
            return Ok(inner);
        }
    }
    Ok(own)
}

impl Conditions {
    pub(super) fn new(join: &Join) -> Result<Self> {
        let mut conditions = Self::default();
        let null_equal = join.null_equality == NullEquality::NullEqualsNull;
        for (left, right) in &join.on {
            conditions.key(join, left.clone(), right.clone(), null_equal)?;
        }
        for conjunct in join.filter.clone().map(split_conjunction_owned).unwrap_or_default() {
            conditions.conjunct(join, conjunct)?;
        }
        Ok(conditions)
    }

    fn conjunct(&mut self, join: &Join, expr: Expr) -> Result<()> {
        if matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _)) {
            return Ok(());
        }
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expr else {
            self.residual.push(expr);
            return Ok(());
        };
        let null_equal = match op {
            Operator::Eq => false,
            Operator::IsNotDistinctFrom => true,
            _ => {
                self.residual.push(expr);
                return Ok(());
            }
        };
        let on = |e: &Expr, plan: &LogicalPlan| {
            let columns = e.column_refs();
            !columns.is_empty() && columns.iter().all(|c| plan.schema().has_column(c))
        };
        let (l, r) = (&join.left, &join.right);
        if on(left, l) && on(right, r) {
            self.key(join, left.as_ref().clone(), right.as_ref().clone(), null_equal)
        } else if on(left, r) && on(right, l) {
            self.key(join, right.as_ref().clone(), left.as_ref().clone(), null_equal)
        } else {
            self.residual.push(expr);
            Ok(())
        }
    }

    fn key(&mut self, join: &Join, left: Expr, right: Expr, null_equal: bool) -> Result<()> {
        let (l, r) = (join.left.schema(), join.right.schema());
        let (written_left, written_right) = (written_type(&left, l)?, written_type(&right, r)?);
        if family(&written_left) != family(&written_right) {
            let (a, b) = (shown_expr(&left), shown_expr(&right));
            return Err(Error::plan(format!(
                "a join compares {} with {}: {a} = {b}",
                shown(&written_left),
                shown(&written_right)
            ))
            .with_hint("cast one side to the type of the other"));
        }
        let (left_type, right_type) = (left.get_type(l)?, right.get_type(r)?);
        let key = if left_type == right_type {
            Key { left, right, null_equal }
        } else {
            let Some(common) = crate::function::coerce::key_type(&left_type, &right_type) else {
                return Err(Error::plan(format!(
                    "a join cannot compare {} with {}",
                    shown(&left_type),
                    shown(&right_type)
                )));
            };
            let cast = |e: Expr, from: DataType| match from == common {
                true => e,
                false => Expr::Cast(Cast::new(Box::new(e), common.clone())),
            };
            Key { left: cast(left, left_type), right: cast(right, right_type), null_equal }
        };
        self.keys.push(key);
        Ok(())
    }

    pub(super) fn display(&self) -> String {
        let keys = self.keys.iter().map(Key::display);
        let rest = self.residual.iter().map(shown_expr);
        match keys.chain(rest).collect::<Vec<_>>() {
            all if all.is_empty() => "true".into(),
            all => all.join(" AND "),
        }
    }
}

/// Whether a lookup table can be read as a whole, too, and nobody says that it is to be looked up in.
fn is_readable(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => {
            scan.source.downcast_ref::<RawTable>().is_some_and(|raw| !must_look_up(&raw.reference))
        }
        other => other.inputs().iter().all(|input| is_readable(input)),
    }
}

fn kind_of(join_type: JoinType) -> JoinKind {
    match join_type {
        JoinType::Inner => JoinKind::Inner,
        JoinType::Left => JoinKind::Left,
        JoinType::Right => JoinKind::Right,
        JoinType::Full => JoinKind::Full,
        JoinType::LeftSemi | JoinType::RightSemi => JoinKind::Semi,
        JoinType::LeftAnti | JoinType::RightAnti => JoinKind::Anti,
        JoinType::LeftMark | JoinType::RightMark => JoinKind::Mark,
    }
}

/// The same join with its sides exchanged, so that the rows that come out are those of the left side.
fn keep_left(join: &Join) -> Join {
    let mut join = join.clone();
    if matches!(join.join_type, JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark) {
        std::mem::swap(&mut join.left, &mut join.right);
        join.on.iter_mut().for_each(|(l, r)| std::mem::swap(l, r));
        join.join_type = join.join_type.swap();
    }
    join
}

/// Kinds of change that come out.
fn changes(kind: JoinKind, left: Changes, right: Changes) -> Changes {
    let update = left.update || right.update;
    match kind {
        JoinKind::Inner if left.is_append() && right.is_append() => Changes::APPEND,
        JoinKind::Semi if left.is_append() && right.is_append() => Changes::APPEND,
        JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
            Changes { update, delete: true }
        }
        JoinKind::Semi | JoinKind::Anti => Changes { update: left.update, delete: true },
        JoinKind::Mark => Changes { update: true, delete: left.delete },
    }
}

/// What identifies a row that comes out. A side that has at most one row for each join key adds nothing to
/// the other side's keys.
fn keys(
    kind: JoinKind,
    left: &Node,
    right: &Node,
    on: (&[usize], &[usize]),
    width: usize,
) -> Vec<Vec<usize>> {
    let unique = |node: &Node, on: &[usize]| {
        node.properties.keys.iter().any(|key| key.iter().all(|column| on.contains(column)))
    };
    let visible = |node: &Node, width: usize| -> Vec<Vec<usize>> {
        node.properties.keys.iter().filter(|key| key.iter().all(|&c| c < width)).cloned().collect()
    };
    let left_keys = visible(left, width);
    if kind.is_filter() {
        return left_keys;
    }
    let right_keys: Vec<Vec<usize>> = visible(right, usize::MAX)
        .into_iter()
        .map(|key| key.into_iter().map(|c| c + width).collect())
        .collect();
    let mut all = Vec::new();
    if matches!(kind, JoinKind::Inner | JoinKind::Left) && unique(right, on.1) {
        all.extend(left_keys.iter().cloned());
    }
    if matches!(kind, JoinKind::Inner | JoinKind::Right) && unique(left, on.0) {
        all.extend(right_keys.iter().cloned());
    }
    for l in &left_keys {
        all.extend(right_keys.iter().map(|r| l.iter().chain(r).copied().collect::<Vec<_>>()));
    }
    all
}

/// Equal columns of the windows of both sides, if the join is one of windows: the keys that say so.
fn window_keys(keys: &[Key], left: &Node, right: &Node) -> Option<[usize; 2]> {
    let (l, r) = (left.properties.window.as_ref()?, right.properties.window.as_ref()?);
    if l.spec != r.spec {
        return None;
    }
    let find = |l: Option<usize>, r: Option<usize>| -> Option<usize> {
        let (l, r) = (l?, r?);
        keys.iter().position(|key| {
            let plain = |e: &Expr, node: &Node| match e {
                Expr::Column(c) => node.schema.maybe_index_of_column(c),
                _ => None,
            };
            plain(&key.left, left) == Some(l) && plain(&key.right, right) == Some(r)
        })
    };
    Some([find(l.start, r.start)?, find(l.end, r.end)?])
}

impl Planner {
    /// A join of any kind: with a lookup table, in time, of windows, of streams.
    pub(super) fn lower_join(&self, join: &Join) -> Result<Node> {
        if is_lookup_side(&join.right) {
            return match is_readable(&join.right) && !self.has_lookup_key(join)? {
                true => self.lower_stream_join(&keep_left(join)),
                false => self.lower_lookup_join(join),
            };
        }
        if is_lookup_side(&join.left) {
            return Err(Error::plan("a lookup table cannot be the left side of a join")
                .with_hint("put the stream on the left and the lookup table on the right"));
        }
        if let Some(node) = self.lower_time_join(join)? {
            return Ok(node);
        }
        self.lower_stream_join(&keep_left(join))
    }

    fn lower_stream_join(&self, join: &Join) -> Result<Node> {
        let (left, right) = (self.lower(&join.left)?, self.lower(&join.right)?);
        let kind = kind_of(join.join_type);
        let mut conditions = Conditions::new(join)?;
        let detail = conditions.display();
        let windows = window_keys(&conditions.keys, &left, &right);
        if let Some(bounds) = windows {
            for (side, node) in [("left", &left), ("right", &right)] {
                if !node.properties.changes.is_append() {
                    return Err(Error::unsupported(format!(
                        "the {side} side of a window join changes rows that it gave before"
                    ))
                    .with_hint("a window join takes append-only inputs"));
                }
            }
            let mut position = 0;
            conditions.keys.retain(|_| {
                position += 1;
                !bounds.contains(&(position - 1))
            });
        }
        let ttl = |side| self.state_ttl(side).filter(|_| windows.is_none());
        let ttls = [ttl(&join.left), ttl(&join.right)];
        let mut null_aware = join.null_aware;
        if null_aware
            && (conditions.keys.len() != 1 || !conditions.residual.is_empty() || ttls != [None; 2])
            && !conditions.keys.is_empty()
        {
            // What NOT IN compares comes first; what correlates it comes behind.
            let key = conditions.keys.remove(0);
            let unknown = key.left.clone().is_null().or(key.right.clone().is_null());
            conditions.residual.insert(0, key.left.eq(key.right).or(unknown));
            null_aware = false;
        }
        self.join_node(join, kind, (left, right), conditions, (null_aware, ttls), windows.is_some(), detail)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one join")]
    fn join_node(
        &self,
        join: &Join,
        kind: JoinKind,
        (left, right): (Node, Node),
        conditions: Conditions,
        (null_aware, ttls): (bool, [Option<Duration>; 2]),
        windowed: bool,
        condition: String,
    ) -> Result<Node> {
        let (width, right_width) = (left.arrow.fields().len(), right.arrow.fields().len());
        let windows = [left.properties.window.clone(), right.properties.window.clone()];
        let (left_keys, right_keys): (Vec<Expr>, Vec<Expr>) =
            conditions.keys.iter().map(|k| (k.left.clone(), k.right.clone())).unzip();
        let texts = meaning::joined(&left, &right);
        let (left, left_keys) = with_columns(left, &left_keys)?;
        let (right, right_keys) = with_columns(right, &right_keys)?;
        let null_keys: Vec<&str> =
            conditions.keys.iter().map(|k| if k.null_equal { "equal" } else { "never" }).collect();
        let state = Parts::new(if windowed { "WindowJoin" } else { "Join" }, 1)
            .with("kind", kind.as_str())
            .rows("left rows", &left)
            .rows("right rows", &right)
            .columns("left keys", &left, &left_keys)
            .columns("right keys", &right, &right_keys)
            .with("NULL keys", null_keys.join(", "))
            .flag("NOT IN", null_aware)
            .condition("condition", &conditions.residual, &meaning::of_sides(&left, &right))
            .kept("left columns", &left)
            .kept("right columns", &right)
            .flag("left updates", !left.properties.changes.is_append())
            .flag("right updates", !right.properties.changes.is_append());
        let residual = conjunction(conditions.residual)
            .map(|e| physical(&e, &join.left.schema().join(join.right.schema())?))
            .transpose()?;
        // Behind the left side's columns stand its computed keys.
        let first_right = left.arrow.fields().len();
        let residual = residual.map(|e| shift(e, width, first_right)).transpose()?;
        let mut output: Vec<usize> = (0..width).collect();
        match kind {
            JoinKind::Mark => output.push(first_right),
            _ if kind.is_filter() => {}
            _ => output.extend(first_right..first_right + right_width),
        }
        let mut texts: Vec<Text> =
            texts.into_iter().take(if kind.is_filter() { width } else { usize::MAX }).collect();
        if kind == JoinKind::Mark {
            texts.truncate(width);
            texts.push("mark".into());
        }
        let schema = output_schema(join, kind, &left.arrow, &right.arrow, (width, right_width));
        let input = |node: &Node, keys: &[usize], ttl| JoinInput {
            schema: node.arrow.clone(),
            keys: keys.to_vec(),
            changes: !node.properties.changes.is_append(),
            ttl,
        };
        let spec = JoinSpec {
            kind,
            left: input(&left, &left_keys, ttls[0]),
            right: input(&right, &right_keys, ttls[1]),
            null_equal: conditions.keys.iter().map(|k| k.null_equal).collect(),
            null_aware,
            residual,
            output,
            schema: schema.clone(),
            emit_before: true,
        };
        let together = left_keys.is_empty() || null_aware;
        let distribution = |keys: &[usize]| match together && !windowed {
            true => Distribution::Single,
            false => Distribution::Keys(keys.to_vec()),
        };
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let mut detail =
            format!("joinType=[{}], where=[{condition}], select=[{}]", kind.as_str(), names.join(", "));
        let mut properties = Properties {
            changes: changes(kind, left.properties.changes, right.properties.changes),
            keys: keys(kind, &left, &right, (&left_keys, &right_keys), width),
            bounded: left.properties.bounded && right.properties.bounded,
            ..Properties::default()
        };
        let originates = kind == JoinKind::Mark && !left.properties.changes.update;
        let mut warnings = Vec::new();
        let mut state = state;
        let (left_place, right_place, build): (Distribution, Distribution, BuildNode) = if windowed {
            let [Some(l), Some(r)] = windows else {
                return Err(Error::internal("a window join without windows"));
            };
            let (Some(left_end), Some(right_end)) = (l.end, r.end) else {
                return Err(Error::internal("a window join without window_end"));
            };
            if l.processing || r.processing {
                return Err(Error::unsupported("a join of windows of processing time is not supported")
                    .with_hint("open the windows over an event time attribute"));
            }
            detail = format!("window=[{}], {detail}", show_window(&l.spec, "window_start, window_end", ""));
            state = state
                .with("windows", meaning::windows(&l.spec))
                .columns("left end", &left, &[left_end])
                .columns("right end", &right, &[right_end]);
            properties.changes = Changes::APPEND;
            forward_window(&mut properties, kind, &l, &r, width);
            let spec =
                WindowJoinSpec { window: l.spec.clone(), join: spec, window_end: [left_end, right_end] };
            let with_end = |keys: &[usize], end: usize| {
                Distribution::Keys(if null_aware { vec![end] } else { [keys, &[end]].concat() })
            };
            let places = (with_end(&left_keys, left_end), with_end(&right_keys, right_end));
            (places.0, places.1, Arc::new(move |_| Ok(window::build(spec.clone()))))
        } else {
            warnings = self.warnings(&spec, [&left, &right], together && !null_aware);
            let build: BuildNode = Arc::new(move |wiring| {
                let emit_before = wiring.emit_before || !originates;
                let spec = JoinSpec { emit_before, ..spec.clone() };
                let build: BuildOperator = Arc::new(move || Ok(Box::new(RegularJoin::new(spec.clone())?)));
                Ok(build)
            });
            (distribution(&left_keys), distribution(&right_keys), build)
        };
        let [left_appends, right_appends] = [&left, &right].map(|side| side.properties.changes.is_append());
        let inputs = vec![
            Input { node: left, distribution: left_place, demand: Demand::Before },
            Input { node: right, distribution: right_place, demand: Demand::Before },
        ];
        let (name, shape) = if windowed { ("WindowJoin", Shape::Other) } else { ("Join", Shape::StreamJoin) };
        let mut meaning = Meaning::made(state, texts);
        if kind == JoinKind::Inner && left_appends && right_appends {
            meaning = meaning.independent_of("condition");
        }
        let known = (properties, meaning);
        let node = Node::operator(name, detail, build, inputs, (join.schema.clone(), schema), known);
        Ok(node.originating(originates).warned(warnings).shaped(shape))
    }

    /// State that grows for ever.
    fn warnings(&self, spec: &JoinSpec, sides: [&Node; 2], together: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        let endless: Vec<&str> = [("left", &spec.left), ("right", &spec.right)]
            .iter()
            .zip(sides)
            .filter(|((_, input), node)| input.ttl.is_none() && !node.properties.bounded)
            .map(|((name, _), _)| *name)
            .collect();
        if !endless.is_empty() {
            let which = match endless.as_slice() {
                [one] => format!("its {one} side"),
                _ => "both sides".to_string(),
            };
            warnings.push(format!(
                "Join keeps every row of {which} for ever: set 'table.exec.state.ttl', or join in time (a \
                 time range between the sides, FOR SYSTEM_TIME AS OF, or windows)"
            ));
        }
        if together {
            warnings.push(
                "Join has no equality between its sides: every row is compared with every row of the other \
                 side, in one task"
                    .into(),
            );
        }
        warnings
    }
}

/// Moves the columns of the right side behind the computed keys of the left one.
pub(super) fn shift(
    expr: Arc<dyn PhysicalExpr>,
    width: usize,
    first_right: usize,
) -> Result<Arc<dyn PhysicalExpr>> {
    let moved = expr.transform_down(|e| match e.downcast_ref::<Column>() {
        Some(column) if column.index() >= width => {
            let index = column.index() - width + first_right;
            Ok(Transformed::yes(Arc::new(Column::new(column.name(), index)) as _))
        }
        _ => Ok(Transformed::no(e)),
    })?;
    Ok(moved.data)
}

/// The columns of a join as the logical plan names them, with the types that the batches have.
fn output_schema(
    join: &Join,
    kind: JoinKind,
    left: &SchemaRef,
    right: &SchemaRef,
    (width, right_width): (usize, usize),
) -> SchemaRef {
    let mut types: Vec<DataType> = left.fields()[..width].iter().map(|f| f.data_type().clone()).collect();
    match kind {
        JoinKind::Mark => types.push(DataType::Boolean),
        _ if kind.is_filter() => {}
        _ => types.extend(right.fields()[..right_width].iter().map(|f| f.data_type().clone())),
    }
    let fields = join.schema.fields().iter().zip(types).map(|(f, t)| Field::new(f.name(), t, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The window of the rows of a window join is that of a side whose rows all come out; so is their time.
fn forward_window(
    properties: &mut Properties,
    kind: JoinKind,
    left: &WindowColumns,
    right: &WindowColumns,
    width: usize,
) {
    let behind = |c: Option<usize>| c.map(|c| c + width);
    let moved = WindowColumns {
        spec: right.spec.clone(),
        start: behind(right.start),
        end: behind(right.end),
        processing: right.processing,
        time: behind(right.time),
    };
    properties.window = match kind {
        JoinKind::Right => Some(moved.clone()),
        JoinKind::Full => None,
        _ => Some(left.clone()),
    };
    properties.rowtimes = match kind {
        JoinKind::Full => Vec::new(),
        JoinKind::Right => moved.time.into_iter().collect(),
        JoinKind::Inner => left.time.into_iter().chain(moved.time).collect(),
        _ => left.time.into_iter().collect(),
    };
}
