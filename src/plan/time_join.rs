//! Joins in time, and rows in the order of time.
//!
//! | right side, condition | join |
//! |---|---|
//! | `FOR SYSTEM_TIME AS OF` an event time | each left row with the version of its time |
//! | `FOR SYSTEM_TIME AS OF` a processing time, `LATERAL SNAPSHOT` | each left row with what is there when it comes |
//! | bounds on time attributes of both sides, from both sides | rows whose times are close |

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::{DFSchema, JoinType, ScalarValue};
use datafusion_expr::logical_plan::{Join, Sort as SortPlan};
use datafusion_expr::utils::split_conjunction_owned;
use datafusion_expr::{Expr, ExprSchemable, binary_expr};
use datafusion_physical_expr::PhysicalExpr;

use super::bind::span_of;
use super::graph::{Body, BuildNode, Changes, Demand, Distribution, Input, Node, Properties, Shape};
use super::join::{Conditions, Key, shift};
use super::lookup_join::{conjunction, substitute};
use super::lower::{calc, physical, with_columns};
use super::meaning::{self, Meaning, Parts, Text};
use super::over::{by_keys, names};
use super::provider::Planner;
use super::time_bounds::{TimeBounds, time_bounds};
use super::version::{Above, Moment, SnapshotNode, VersionNode, above_moment, moment};
use crate::error::{Error, Result};
use crate::flow::task::BuildOperator;
use crate::operator::interval_join::{IntervalJoin, IntervalJoinKind, IntervalJoinSpec};
use crate::operator::snapshot_join::{LoadUntil, SnapshotJoin, SnapshotJoinSpec};
use crate::operator::sort::{Sort, SortKey, SortSpec};
use crate::operator::temporal_join::{TemporalJoin, TemporalJoinSpec};
use crate::operator::temporal_sort::{TemporalSort, TemporalSortSpec};

/// Both inputs of a join with the columns that its keys need, and what its operator is told of them.
struct Sides {
    nodes: [Node; 2],
    keys: [Vec<usize>; 2],
    residual: Option<Arc<dyn PhysicalExpr>>,
    /// Columns of the left side that are not added for keys.
    width: usize,
    output: Vec<usize>,
    schema: SchemaRef,
    /// What the columns of the output are.
    texts: Vec<Text>,
    /// What the condition beside the keys is.
    condition: Parts,
}

impl Sides {
    /// `right_width`: the columns of the right side that come out; none for semi and anti joins.
    fn new(
        join: &Join,
        [left, right]: [Node; 2],
        keys: &[Key],
        residual: Vec<Expr>,
        right_width: usize,
    ) -> Result<Self> {
        let width = left.arrow.fields().len();
        let right_texts = right.meaning.side("right").take(right_width);
        let texts = left.meaning.side("left").chain(right_texts).collect();
        let sides = meaning::of_sides(&left, &right);
        let condition = Parts::new("condition", 1).condition("condition", &residual, &sides);
        drop(sides);
        let residual =
            conjunction(residual).map(|e| physical(&e, &left.schema.join(&right.schema)?)).transpose()?;
        let (l, r): (Vec<Expr>, Vec<Expr>) = keys.iter().map(|k| (k.left.clone(), k.right.clone())).unzip();
        let (left, left_keys) = with_columns(left, &l)?;
        let (right, right_keys) = with_columns(right, &r)?;
        let first_right = left.arrow.fields().len();
        let residual = residual.map(|e| shift(e, width, first_right)).transpose()?;
        let output: Vec<usize> = (0..width).chain(first_right..first_right + right_width).collect();
        let types = left.arrow.fields().iter().chain(right.arrow.fields());
        let types: Vec<_> = types.map(|f| f.data_type().clone()).collect();
        let fields = join.schema.fields().iter().zip(&output);
        let fields: Vec<Field> =
            fields.map(|(field, &i)| Field::new(field.name(), types[i].clone(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let (nodes, keys) = ([left, right], [left_keys, right_keys]);
        Ok(Self { nodes, keys, residual, width, output, schema, texts, condition })
    }

    /// What the state of the join depends on, beside its times.
    fn meaning(&self, kind: &'static str, join: &str) -> Parts {
        let [left, right] = &self.nodes;
        Parts::new(kind, 1)
            .with("kind", join)
            .rows("left rows", left)
            .rows("right rows", right)
            .columns("left keys", left, &self.keys[0])
            .columns("right keys", right, &self.keys[1])
            .and(&self.condition)
            .kept("left columns", left)
            .kept("right columns", right)
            .flag("left updates", !left.properties.changes.is_append())
            .flag("right updates", !right.properties.changes.is_append())
    }

    fn inputs(&self) -> [SchemaRef; 2] {
        [self.nodes[0].arrow.clone(), self.nodes[1].arrow.clone()]
    }

    fn bounded(&self) -> bool {
        self.nodes.iter().all(|n| n.properties.bounded)
    }

    /// Processing time attributes of what comes out.
    fn proctimes(&self) -> Vec<usize> {
        let of = |node: &Node, first: usize, width: usize| -> Vec<usize> {
            node.properties.proctimes.iter().filter(|c| **c < width).map(|c| c + first).collect()
        };
        let right = self.output.len() - self.width;
        [of(&self.nodes[0], 0, self.width), of(&self.nodes[1], self.width, right)].concat()
    }

    /// What identifies left rows, if at most one right row is joined to each.
    fn left_keys(&self) -> Vec<Vec<usize>> {
        let keys = self.nodes[0].properties.keys.iter();
        keys.filter(|key| key.iter().all(|&c| c < self.width)).cloned().collect()
    }

    fn select(&self) -> String {
        let names: Vec<&str> = self.schema.fields().iter().map(|f| f.name().as_str()).collect();
        format!("select=[{}]", names.join(", "))
    }

    fn node(
        self,
        join: &Join,
        (name, detail, state): (&'static str, String, Parts),
        build: BuildOperator,
        demands: [Demand; 2],
        (properties, warnings): (Properties, Vec<String>),
    ) -> Node {
        let build: BuildNode = Arc::new(move |_| Ok(build.clone()));
        let appends = |node: &Node| node.properties.changes.is_append();
        // Which pairs come out is not kept where nothing is taken back.
        let independent = match name {
            "IntervalJoin" => join.join_type == JoinType::Inner && self.nodes.iter().all(appends),
            "TemporalJoin" => appends(&self.nodes[0]),
            _ => false,
        };
        let inputs = self.nodes.into_iter().zip(&self.keys).zip(demands);
        let inputs = inputs.map(|((node, keys), demand)| Input { node, distribution: by_keys(keys), demand });
        let columns = (join.schema.clone(), self.schema);
        let meaning = Meaning::made(state, self.texts);
        let known = (properties, if independent { meaning.independent_of("condition") } else { meaning });
        Node::operator(name, detail, build, inputs.collect(), columns, known).warned(warnings)
    }
}

/// INNER or LEFT.
fn left_outer(join: &Join, what: &str) -> Result<bool> {
    match join.join_type {
        JoinType::Inner => Ok(false),
        JoinType::Left => Ok(true),
        other => Err(Error::unsupported(format!("{what} is a JOIN or a LEFT JOIN, not {other}"))
            .with_hint("the right side is looked at when a left row comes: only left rows can be padded")),
    }
}

fn show_type(outer: bool) -> &'static str {
    if outer { "joinType=[Left]" } else { "joinType=[Inner]" }
}

/// Keys that take NULL as a value are compared as the rest of the condition.
fn plain_keys(conditions: &mut Conditions) {
    let (null_equal, keys): (Vec<Key>, Vec<Key>) =
        std::mem::take(&mut conditions.keys).into_iter().partition(|key| key.null_equal);
    conditions.keys = keys;
    let compare = |k: Key| binary_expr(k.left, datafusion_expr::Operator::IsNotDistinctFrom, k.right);
    conditions.residual.extend(null_equal.into_iter().map(compare));
}

/// A duration as EXPLAIN shows it.
fn show_millis(millis: i64) -> String {
    format!("{millis} ms")
}

impl Planner {
    /// An interval, temporal or snapshot join; `None` for any other.
    pub(super) fn lower_time_join(&self, join: &Join) -> Result<Option<Node>> {
        if above_moment(&join.left)?.is_some() {
            return Err(Error::plan(
                "FOR SYSTEM_TIME AS OF and SNAPSHOT are only allowed on the right side of a join",
            )
            .with_hint("put the stream on the left and the table on the right"));
        }
        match above_moment(&join.right)? {
            None => self.lower_interval_join(join),
            Some(Above { moment: Moment::Version(version), columns, filters })
                if version.processing == Some(false) =>
            {
                self.lower_temporal_join(join, &version, &columns, filters).map(Some)
            }
            Some(Above { moment, .. }) => self.lower_snapshot_join(join, &moment).map(Some),
        }
    }

    fn lower_interval_join(&self, join: &Join) -> Result<Option<Node>> {
        let kind = match join.join_type {
            JoinType::Inner => IntervalJoinKind::Inner,
            JoinType::Left => IntervalJoinKind::Left,
            JoinType::Right => IntervalJoinKind::Right,
            JoinType::Full => IntervalJoinKind::Full,
            JoinType::LeftSemi => IntervalJoinKind::Semi,
            JoinType::LeftAnti if !join.null_aware => IntervalJoinKind::Anti,
            _ => return Ok(None),
        };
        let conjuncts = join.filter.clone().map(split_conjunction_owned).unwrap_or_default();
        // What is planned below is planned once: look first.
        let is_time = |e: &Expr, schema: &DFSchema| {
            e.column_refs().iter().any(|c| {
                let index = schema.maybe_index_of_column(c);
                index.is_some_and(|i| {
                    matches!(schema.field(i).data_type(), arrow::datatypes::DataType::Timestamp(..))
                })
            })
        };
        let (l, r) = (join.left.schema(), join.right.schema());
        let equal = join.on.iter().any(|(a, b)| is_time(a, l) && is_time(b, r));
        if !equal && !conjuncts.iter().any(|e| is_time(e, l) && is_time(e, r)) {
            return Ok(None);
        }
        let (left, right) = (self.lower(&join.left)?, self.lower(&join.right)?);
        let append = [&left, &right].iter().all(|n| n.properties.changes.is_append());
        let sides = [(left.schema.as_ref(), &left.properties), (right.schema.as_ref(), &right.properties)];
        let Some((bounds, rest)) = time_bounds(&conjuncts, &join.on, sides).filter(|_| append) else {
            return Ok(None);
        };
        let mut conditions = Conditions::new(&Join { filter: conjunction(rest), ..join.clone() })?;
        plain_keys(&mut conditions);
        self.interval_node(join, kind, [left, right], conditions, bounds).map(Some)
    }

    fn interval_node(
        &self,
        join: &Join,
        kind: IntervalJoinKind,
        nodes: [Node; 2],
        conditions: Conditions,
        bounds: TimeBounds,
    ) -> Result<Node> {
        let left_only = matches!(kind, IntervalJoinKind::Semi | IntervalJoinKind::Anti);
        let right_width = if left_only { 0 } else { nodes[1].arrow.fields().len() };
        let times = [0, 1].map(|side: usize| {
            let (qualifier, field) = nodes[side].schema.qualified_field(bounds.columns[side]);
            qualifier.map_or_else(|| field.name().clone(), |q| format!("{q}.{}", field.name()))
        });
        let detail = format!(
            "joinType=[{kind:?}], where=[{}], {}: {} - {} in [{}, {}]",
            conditions.display(),
            if bounds.event_time { "event time" } else { "processing time" },
            times[1],
            times[0],
            show_millis(bounds.lower),
            show_millis(bounds.upper),
        );
        let sides = Sides::new(join, nodes, &conditions.keys, conditions.residual, right_width)?;
        let spec = IntervalJoinSpec {
            kind,
            keys: sides.keys.clone(),
            times: bounds.event_time.then_some(bounds.columns),
            lower: bounds.lower,
            upper: bounds.upper,
            residual: sides.residual.clone(),
            inputs: sides.inputs(),
            output: sides.output.clone(),
            schema: sides.schema.clone(),
        };
        // The watermark is held back for these two; in padded rows the other side's time is NULL.
        let mut rowtimes = Vec::new();
        if bounds.event_time {
            use IntervalJoinKind::{Anti, Inner, Left, Right, Semi};
            if matches!(kind, Inner | Left | Semi | Anti) {
                rowtimes.push(bounds.columns[0]);
            }
            if matches!(kind, Inner | Right) {
                rowtimes.push(sides.width + bounds.columns[1]);
            }
        }
        let properties = Properties {
            keys: if left_only { sides.left_keys() } else { Vec::new() },
            rowtimes,
            proctimes: sides.proctimes(),
            bounded: sides.bounded(),
            ..Properties::default()
        };
        let detail = format!("{detail}, {}", sides.select());
        let kind = match kind {
            IntervalJoinKind::Inner => "inner",
            IntervalJoinKind::Left => "left",
            IntervalJoinKind::Right => "right",
            IntervalJoinKind::Full => "full",
            IntervalJoinKind::Semi => "semi",
            IntervalJoinKind::Anti => "anti",
        };
        let mut state = sides
            .meaning("IntervalJoin", kind)
            .with("bounds", format!("{} to {} ms", bounds.lower, bounds.upper));
        if bounds.event_time {
            let [left, right] = bounds.columns;
            state = state.columns("left time", &sides.nodes[0], &[left]);
            state = state.columns("right time", &sides.nodes[1], &[right]);
        }
        let build: BuildOperator = Arc::new(move || Ok(Box::new(IntervalJoin::new(spec.clone())?)));
        let forward = [Demand::Forward; 2];
        Ok(sides.node(join, ("IntervalJoin", detail, state), build, forward, (properties, Vec::new())))
    }

    /// A join with the versions of a table by event time.
    fn lower_temporal_join(
        &self,
        join: &Join,
        version: &VersionNode,
        columns: &[Expr],
        filters: Vec<Expr>,
    ) -> Result<Node> {
        let at = |e: Error| e.at(span_of(sqlparser::ast::Spanned::span(&version.period)));
        let outer = left_outer(join, "FOR SYSTEM_TIME AS OF").map_err(at)?;
        let left = self.lower(&join.left)?;
        let right = all_versions(self.lower(&version.input)?);
        let all = join.filter.clone().map(split_conjunction_owned).unwrap_or_default();
        let (marks, rest): (Vec<Expr>, Vec<Expr>) = all.into_iter().partition(|e| moment(e).is_some());
        let time = match marks.first().and_then(moment) {
            Some(Expr::Column(column)) => left.schema.maybe_index_of_column(column),
            _ => return Err(Error::internal("a temporal join has lost its time")),
        };
        let Some(left_time) = time.filter(|t| left.properties.rowtimes.contains(t)) else {
            return Err(at(Error::plan(format!("'{}' is not a time attribute", version.period))
                .with_detail("a time attribute is a column with a WATERMARK, forwarded as it is")
                .with_hint("declare WATERMARK FOR it in the left table, or use a column AS PROCTIME()")));
        };
        let table =
            right.schema.iter().find_map(|(q, _)| q.cloned()).map_or_else(String::new, |q| format!(" '{q}'"));
        let Some(&right_time) = right.properties.rowtimes.first() else {
            return Err(at(Error::plan(format!(
                "the table{table} has no event time: its versions have no order"
            ))
            .with_detail("a versioned table has a PRIMARY KEY and a WATERMARK")
            .with_hint(
                "declare WATERMARK FOR ts AS ts in the table, or join AS OF a column AS PROCTIME()",
            )));
        };
        if right.properties.keys.is_empty() {
            return Err(at(Error::plan(format!("the table{table} has no primary key: its versions belong to nothing"))
                .with_detail("a versioned table has a PRIMARY KEY and a WATERMARK")
                .with_hint("declare PRIMARY KEY (...) NOT ENFORCED, or make a view that keeps the last row: ROW_NUMBER() OVER (PARTITION BY key ORDER BY ts DESC) = 1")));
        }
        let mut conditions = Conditions::new(&Join { filter: conjunction(rest), ..join.clone() })?;
        plain_keys(&mut conditions);

        // The columns as the query sees them, then those of the table itself, then what rows have to pass.
        let visible = columns.len();
        let own = right.schema.columns();
        let mut exprs: Vec<Expr> = columns.to_vec();
        let mut fields: Vec<_> = join.right.schema().iter().map(|(q, f)| (q.cloned(), f.clone())).collect();
        for (i, column) in own.iter().enumerate() {
            let name = format!("$version{i}");
            fields.push((None, Arc::new(right.schema.field(i).as_ref().clone().with_name(&name))));
            exprs.push(Expr::Column(column.clone()).alias(name));
        }
        let passes = conjunction(filters);
        if let Some(passes) = &passes {
            let name = "$passes";
            fields.push((None, Arc::new(Field::new(name, passes.get_type(&right.schema)?, true))));
            exprs.push(passes.clone().alias(name));
            conditions.residual.push(Expr::Column(datafusion_common::Column::new_unqualified(name)));
        }
        let names_of = |key: &[usize]| names(&right.schema, key);
        // The table's column that a key compares, if it is one as it is.
        let compared = |key: &Key| match substitute(key.right.clone(), join.right.schema(), columns) {
            Ok(Expr::Column(column)) => right.schema.maybe_index_of_column(&column),
            _ => None,
        };
        let equal: Vec<Option<usize>> = conditions.keys.iter().map(compared).collect();
        let primary = right.properties.keys.iter();
        let Some(primary) =
            primary.min_by_key(|key| (!key.iter().all(|c| equal.contains(&Some(*c))), key.len()))
        else {
            return Err(Error::internal("a table without a key"));
        };
        let missing: Vec<usize> = primary.iter().copied().filter(|c| !equal.contains(&Some(*c))).collect();
        if !missing.is_empty() {
            let name = names_of(&missing);
            return Err(at(Error::plan(format!(
                "the join has no equality with {name}, of the primary key ({}) of the table{table}",
                names_of(primary)
            ))
            .with_hint(format!("add to ON: left.column = {name}"))));
        }
        let primary = primary.clone();
        let key_names = names_of(&primary);
        let schema = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
        let right = calc(right, None, Some((&exprs, &schema)))?;
        // An equality with a column that is not of the key is compared with the version that was found.
        let mut keys = Vec::new();
        let mut used: Vec<usize> = Vec::new();
        for (key, column) in conditions.keys.into_iter().zip(equal) {
            match column.filter(|c| primary.contains(c) && !used.contains(c)) {
                Some(column) => {
                    used.push(column);
                    keys.push(key);
                }
                None => conditions.residual.push(key.left.eq(key.right)),
            }
        }
        let shown = Conditions { keys: keys.clone(), residual: conditions.residual.clone() }.display();
        let sides = Sides::new(join, [left, right], &keys, conditions.residual, visible)?;
        let changes = sides.nodes[0].properties.changes;
        let state_ttl = self.state.config.state_ttl();
        let spec = TemporalJoinSpec {
            left_outer: outer,
            keys: sides.keys.clone(),
            times: [left_time, visible + right_time],
            residual: sides.residual.clone(),
            inputs: sides.inputs(),
            output: sides.output.clone(),
            schema: sides.schema.clone(),
            state_ttl,
        };
        let detail = format!(
            "{}, where=[{shown}], asOf=[{}], versions=[{key_names}], {}",
            show_type(outer),
            version.period,
            sides.select()
        );
        let properties = Properties {
            changes: Changes { delete: changes.delete || changes.update, ..changes },
            keys: sides.left_keys(),
            rowtimes: sides.nodes[0].properties.rowtimes.clone(),
            proctimes: sides.proctimes(),
            bounded: sides.bounded(),
            ..Properties::default()
        };
        let mut warnings = Vec::new();
        if !sides.nodes[1].properties.bounded && state_ttl.is_none() {
            warnings.push(format!("TemporalJoin keeps the last version of every {key_names} for ever: set 'table.exec.state.ttl'"));
        }
        let build: BuildOperator = Arc::new(move || Ok(Box::new(TemporalJoin::new(spec.clone())?)));
        let demands = [if changes.update { Demand::Before } else { Demand::Forward }, Demand::After];
        let state = sides
            .meaning("TemporalJoin", if outer { "left" } else { "inner" })
            .columns("left time", &sides.nodes[0], &[left_time])
            .columns("right time", &sides.nodes[1], &[visible + right_time]);
        Ok(sides.node(join, ("TemporalJoin", detail, state), build, demands, (properties, warnings)))
    }

    /// A join with a table as it is when a left row comes.
    fn lower_snapshot_join(&self, join: &Join, moment: &Moment) -> Result<Node> {
        let what = match moment {
            Moment::Version(_) => "FOR SYSTEM_TIME AS OF",
            Moment::Snapshot(_) => "LATERAL SNAPSHOT",
        };
        let outer = left_outer(join, what)?;
        let (left, right) = (self.lower(&join.left)?, self.lower(&join.right)?);
        if !left.properties.changes.is_append() {
            return Err(Error::unsupported(format!(
                "the left side of {what} changes rows that it gave before"
            ))
            .with_detail("joined rows are not remembered, so they could not be retracted")
            .with_hint(
                "join a table with a PRIMARY KEY and a WATERMARK AS OF event time, or use a regular join",
            ));
        }
        let mut conditions = Conditions::new(join)?;
        plain_keys(&mut conditions);
        let shown = conditions.display();
        let width = right.arrow.fields().len();
        // What the query does not read has been left out: the time may stand further below.
        let mut right_rowtimes = false;
        right.walk(&mut |node| right_rowtimes |= !node.properties.rowtimes.is_empty());
        let sides = Sides::new(join, [left, right], &conditions.keys, conditions.residual, width)?;
        let bounded = sides.nodes[1].properties.bounded;
        let (load, idle, ttl) = match moment {
            Moment::Version(_) => (self.load(bounded, right_rowtimes), None, None),
            Moment::Snapshot(snapshot) => {
                // That it is a time attribute was seen when the node itself was planned.
                let known = snapshot.on_time.is_some();
                if !known && !bounded && snapshot.idle_timeout.is_none() {
                    return Err(Error::plan("SNAPSHOT cannot determine when its input is loaded")
                        .with_hint("add on_time => DESCRIPTOR(column), or load_completed_idle_timeout => INTERVAL '10' SECOND"));
                }
                let load = match snapshot.load_completed_time {
                    Some(time) => LoadUntil::Watermark(time),
                    None if known || bounded => self.load(bounded, known),
                    None => LoadUntil::End,
                };
                (load, snapshot.idle_timeout, snapshot.state_ttl)
            }
        };
        let duration = |millis: i64| Duration::from_millis(millis.unsigned_abs());
        let state_ttl = ttl.map(duration).or(self.state.config.state_ttl());
        let changes = !sides.nodes[1].properties.changes.is_append();
        let spec = SnapshotJoinSpec {
            left_outer: outer,
            keys: sides.keys.clone(),
            residual: sides.residual.clone(),
            inputs: sides.inputs(),
            output: sides.output.clone(),
            schema: sides.schema.clone(),
            build_changes: changes,
            load,
            idle_timeout: idle.map(duration),
            state_ttl,
        };
        let load = match load {
            LoadUntil::End => "end of input".to_string(),
            LoadUntil::Watermark(time) => format!("watermark {}", show_instant(time)),
            LoadUntil::Start => "none".to_string(),
        };
        let idle = idle.map_or(String::new(), |ms| format!(" or idle for {}", show_millis(ms)));
        let detail =
            format!("{}, where=[{shown}], load=[{load}{idle}], {}", show_type(outer), sides.select());
        let single =
            sides.nodes[1].properties.keys.iter().any(|k| k.iter().all(|c| sides.keys[1].contains(c)));
        let properties = Properties {
            keys: if single { sides.left_keys() } else { Vec::new() },
            rowtimes: sides.nodes[0].properties.rowtimes.clone(),
            proctimes: sides.proctimes(),
            bounded: sides.bounded(),
            ..Properties::default()
        };
        let mut warnings = Vec::new();
        if !bounded && state_ttl.is_none() && sides.nodes[1].properties.keys.is_empty() {
            warnings.push(
                "SnapshotJoin keeps every row of its right side for ever: set 'table.exec.state.ttl'".into(),
            );
        }
        let build: BuildOperator = Arc::new(move || Ok(Box::new(SnapshotJoin::new(spec.clone())?)));
        let demands = [Demand::Forward, if changes { Demand::Before } else { Demand::Forward }];
        let state = sides.meaning("SnapshotJoin", if outer { "left" } else { "inner" });
        Ok(sides.node(join, ("SnapshotJoin", detail, state), build, demands, (properties, warnings)))
    }

    /// The input of a snapshot, whose time is a time attribute.
    pub(super) fn lower_snapshot(&self, snapshot: &SnapshotNode) -> Result<Node> {
        let input = self.lower(&snapshot.input)?;
        let time = match &snapshot.on_time {
            Some(Expr::Column(column)) => input.schema.maybe_index_of_column(column),
            _ => None,
        };
        if snapshot.on_time.is_some() && time.is_none_or(|t| !input.properties.rowtimes.contains(&t)) {
            return Err(Error::plan("ON_TIME of SNAPSHOT is not a time attribute")
                .with_detail("a time attribute is a column with a WATERMARK, forwarded as it is")
                .with_hint("declare WATERMARK FOR it in the table"));
        }
        Ok(input)
    }

    /// When a table is loaded if nothing else is said: with its end, or when its watermark is where the clock was
    /// when the query began.
    fn load(&self, bounded: bool, rowtimes: bool) -> LoadUntil {
        match (bounded, rowtimes) {
            (true, _) => LoadUntil::End,
            (false, true) => LoadUntil::Watermark(self.state.clock.now_millis()),
            (false, false) => LoadUntil::Start,
        }
    }

    /// ORDER BY without LIMIT.
    pub(super) fn lower_sort(&self, sort: &SortPlan) -> Result<Node> {
        let input = self.lower(&sort.input)?;
        let mut keys = sort.expr.iter().map(|e| {
            Ok(SortKey {
                expression: physical(&e.expr, &input.schema)?,
                descending: !e.asc,
                nulls_first: e.nulls_first,
            })
        });
        let first = sort.expr.first().filter(|e| e.asc).and_then(|e| match &e.expr {
            Expr::Column(column) => input.schema.maybe_index_of_column(column),
            _ => None,
        });
        let event = first.filter(|c| input.properties.rowtimes.contains(c));
        let processing = first.is_some_and(|c| input.properties.proctimes.contains(&c));
        let append = input.properties.changes.is_append();
        let shown: Vec<String> = sort.expr.iter().map(ToString::to_string).collect();
        let order = input.order_text(&sort.expr);
        let detail = format!("orderBy=[{}]", shown.join(", "));
        let schema = input.arrow.clone();
        let mut properties = input.properties.clone();
        let (name, demand, build): (_, _, BuildOperator) = if (event.is_some() || processing) && append {
            let keys = keys.skip(1).collect::<Result<_>>()?;
            let spec = TemporalSortSpec { time: event, keys, schema };
            let build = move || Ok(Box::new(TemporalSort::new(spec.clone())) as _);
            ("TemporalSort", Demand::Forward, Arc::new(build))
        } else if input.properties.bounded {
            let keys = keys.by_ref().collect::<Result<_>>()?;
            let spec = SortSpec { keys, input_changes: !append, schema };
            properties.changes = Changes::APPEND;
            // All rows come behind the last watermark.
            properties.rowtimes.clear();
            let build = move || Ok(Box::new(Sort::new(spec.clone())?) as _);
            ("Sort", if append { Demand::Forward } else { Demand::Before }, Arc::new(build))
        } else {
            return Err(Error::unsupported("ORDER BY on a stream needs a time attribute or a LIMIT")
                .with_detail("rows that never end cannot be sorted; in order of time they can, when the watermark has passed them")
                .with_hint("order by a time attribute first, ascending, or add LIMIT"));
        };
        let mut state = Parts::new(name, 1).with("order", order).kept("columns", &input);
        // Rows under way are complete in themselves: which others are filtered does not touch them.
        state = match name == "TemporalSort" {
            true => state.stream("rows", &input),
            false => state.rows("rows", &input),
        };
        let meaning = input.meaning.clone().keeping(state);
        let columns = (input.schema.clone(), input.arrow.clone());
        let build: BuildNode = Arc::new(move |_| Ok(build.clone()));
        let inputs = vec![Input { node: input, distribution: Distribution::Single, demand }];
        Ok(Node::operator(name, detail, build, inputs, columns, (properties, meaning)))
    }
}

/// The rows that a view keeps the last of by event time: each was the last one from its time on, and is a
/// version. Keeping the last ones first would leave out those that did not last for a chunk, and holds every
/// row twice. (Flink's view lets a row go that comes behind a newer one; here it is the version it says.)
fn all_versions(mut node: Node) -> Node {
    if matches!(node.body, Body::Shared { .. }) && keeps_last(&node) {
        // What others go on with is the last rows; the versions are rows of its input.
        return match node.inputs.pop() {
            Some(input) => Node { schema: node.schema, ..all_versions(input.node) },
            None => node,
        };
    }
    let last = node.shape == Shape::LastRow;
    // A filter above must see the row that no longer is the last one.
    let plain = node.shape == Shape::Calc { filters: false };
    if (!last && !plain) || node.inputs.len() != 1 {
        return node;
    }
    let Some(input) = node.inputs.pop() else { return node };
    if last {
        let keys = node.properties.keys.into_iter().take(1).collect();
        let properties = Properties { keys, ..input.node.properties.clone() };
        return Node { schema: node.schema, properties, ..input.node };
    }
    let below = all_versions(input.node);
    node.properties.changes = below.properties.changes;
    node.meaning = node.meaning.over(&below);
    node.inputs.push(Input { node: below, ..input });
    node
}

/// Whether the rows are those that a node keeps the last of, picked and shared at most.
fn keeps_last(node: &Node) -> bool {
    let passes = matches!(node.body, Body::Shared { .. }) || node.shape == Shape::Calc { filters: false };
    node.shape == Shape::LastRow || passes && node.inputs.first().is_some_and(|input| keeps_last(&input.node))
}

/// An instant as EXPLAIN shows it.
fn show_instant(millis: i64) -> String {
    let value = ScalarValue::TimestampMillisecond(Some(millis), Some("+00:00".into()));
    value
        .to_array()
        .ok()
        .and_then(|a| arrow::util::display::array_value_to_string(&a, 0).ok())
        .unwrap_or_default()
}
