//! A join whose right side is a lookup table: which columns are keys, what is filtered where.
//!
//! Rules as in Flink: a conjunct `left expression = bare column` is a field key, `bare column = literal`
//! a constant key that is checked again on what comes back, everything else is residual. Conjuncts on the
//! left side alone decide before the call. Keys are compared within a family of types only.

mod node;

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::new_empty_array;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, DFSchema, JoinType, NullEquality, TableReference};
use datafusion_expr::logical_plan::{Join, Projection, SubqueryAlias, TableScan};
use datafusion_expr::utils::split_conjunction_owned;
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, Operator, TryCast, lit};

use self::node::lookup_node;
use super::graph::Node;
use super::guard::is_late;
use super::lower::physical;
use super::provider::{Planner, RawTable, TableRef};

use crate::catalog::{ColumnSource, Table};
use crate::error::{Error, Result};
use crate::function::arithmetic::shown_expr;
use crate::function::tree::Tree;
use crate::lookup::metadata::{Metadata, MetadataKind};
use crate::lookup::nested::{NestedKey, NestedLoad};
use crate::lookup::shared::shares;
use crate::lookup::{Backend, CacheConfig, ColumnFilter, Comparison, Lookup, LookupConfig, LookupRequest};
use crate::sql::SqlType;

/// The right side: its columns as expressions over the lookup table's own columns, and its filters.
struct RightSide {
    reference: Arc<TableRef>,
    /// Name in the query.
    name: String,
    /// All physical columns, qualified as below.
    schema: DFSchema,
    columns: Vec<Expr>,
    filters: Vec<Expr>,
    /// Columns the connector can be asked by; `None` for any.
    askable: Option<Vec<String>>,
    /// Keys inside of ROW columns: columns behind those of the table.
    nested: Vec<NestedKey>,
    /// The last columns of the schema, which the lookup engine fills in.
    metadata: Vec<Metadata>,
}

/// Where the lookup table's own columns are found in expressions.
const RAW: &str = "$lookup";

fn raw_column(name: &str) -> Expr {
    Expr::Column(Column::new(Some(TableReference::bare(RAW)), name))
}

/// Whether a plan is the right side of a lookup join.
pub(super) fn is_lookup_side(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. })
        | LogicalPlan::Projection(Projection { input, .. })
        | LogicalPlan::Filter(Filter { input, .. }) => is_lookup_side(input),
        LogicalPlan::TableScan(TableScan { source, .. }) => {
            source.downcast_ref::<RawTable>().is_some_and(|raw| raw.is_lookup)
        }
        _ => false,
    }
}

/// Replaces the columns of an expression over `schema` by the expressions at their positions.
pub(super) fn substitute(expr: Expr, schema: &DFSchema, by: &[Expr]) -> Result<Expr> {
    let substituted = expr.transform_up(|e| match e {
        Expr::Column(c) => Ok(Transformed::yes(by[schema.index_of_column(&c)?].clone())),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(substituted.data)
}

impl RightSide {
    /// The position of a column that the connector can be asked by.
    fn key(&self, name: &str) -> Option<usize> {
        let askable = self.askable.as_ref().is_none_or(|columns| columns.iter().any(|c| c == name));
        let index = self.schema.index_of_column_by_name(None, name).filter(|_| askable)?;
        (index < self.own_columns()).then_some(index)
    }

    /// Columns of the schema that the table has.
    fn own_columns(&self) -> usize {
        self.schema.fields().len() - self.metadata.len() - self.nested.len()
    }

    /// The position of the key that an expression is, its name, and whether coercion has wrapped it into a cast.
    fn key_of<'e>(&self, expr: &'e Expr) -> Option<(usize, Cow<'e, str>, bool)> {
        if let Some((name, cast)) = bare(expr) {
            return Some((self.key(name)?, Cow::Borrowed(name), cast));
        }
        let (path, cast) = nested_path(expr)?;
        let place = self.nested.iter().position(|nested| nested.path == path)?;
        Some((self.own_columns() + place, Cow::Owned(path.join(".")), cast))
    }

    /// Adds the keys inside of ROW columns that the join has: those that the connector has a place for, and where there
    /// is no other key, those that it can be asked by.
    fn with_nested(self, join: &Join, in_memory: bool) -> Result<Self> {
        let connector = self.reference.table.connector()?;
        if !in_memory && !connector.has_nested_keys() {
            return Ok(self);
        }
        let names = join.right.schema();
        let mut sides: Vec<Expr> = Vec::new();
        for (_, r) in &join.on {
            sides.push(substitute(r.clone(), names, &self.columns)?);
        }
        let conjuncts = join.filter.clone().map(split_conjunction_owned).unwrap_or_default().into_iter();
        let on_right = conjuncts.filter(|e| e.column_refs().iter().all(|c| names.has_column(c)));
        let on_right = on_right.map(|e| substitute(e, names, &self.columns)).collect::<Result<Vec<_>>>()?;
        for conjunct in on_right.iter().chain(&self.filters) {
            if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = conjunct {
                sides.extend([left.as_ref().clone(), right.as_ref().clone()]);
            }
        }
        let has_other = sides.iter().any(|side| bare(side).is_some_and(|(name, _)| self.key(name).is_some()));
        let mut nested: Vec<NestedKey> = Vec::new();
        for side in &sides {
            let Some((path, _)) = nested_path(side) else { continue };
            let name = path.join(".");
            let has_place = self.askable.as_ref().map(|names| names.contains(&name));
            let wanted = has_place.unwrap_or(!has_other)
                && self.schema.index_of_column_by_name(None, &name).is_none()
                && nested.iter().all(|known| known.path != path);
            let mut inner = side;
            while let Expr::Cast(cast) = inner {
                inner = &cast.expr;
            }
            if wanted {
                let field = Field::new(name, inner.get_type(&self.schema)?, true);
                nested.push(NestedKey { field: Arc::new(field), path });
            }
        }
        if nested.is_empty() {
            return Ok(self);
        }
        let (own, metadata) = self.schema.fields().split_at(self.own_columns());
        let fields =
            own.iter().cloned().chain(nested.iter().map(|n| n.field.clone())).chain(metadata.iter().cloned());
        let schema = Schema::new(fields.collect::<Vec<_>>());
        let schema = DFSchema::try_from_qualified_schema(RAW, &schema)?;
        Ok(Self { schema, nested, ..self })
    }

    /// Keeps the columns that the query reads, and puts metadata that the lookup engine fills in at their end. With
    /// `whole`, all columns of the table's records are kept: other queries may read them.
    fn narrowed(self, whole: bool) -> Result<Self> {
        let mut used: HashSet<String> = HashSet::new();
        for expr in self.columns.iter().chain(&self.filters) {
            used.extend(expr.column_refs().iter().map(|c| c.name.clone()));
        }
        let table = &self.reference.table;
        if whole {
            used.extend(physical_names(table).map(str::to_string));
        }
        let own = table.connector()?.metadata();
        let kind = |name: &str| match &table.column(name)?.1.source {
            ColumnSource::Metadata { key, .. } if !own.contains(&key.as_str()) => MetadataKind::parse(key),
            _ => None,
        };
        let fields = self.schema.fields().iter().filter(|f| used.contains(f.name()));
        let (metadata, mut columns): (Vec<_>, Vec<_>) =
            fields.map(|field| (field.clone(), kind(field.name()))).partition(|(_, kind)| kind.is_some());
        columns.extend(metadata.iter().cloned());
        let metadata = metadata.into_iter().filter_map(|(field, kind)| Some(Metadata { field, kind: kind? }));
        let metadata: Vec<_> = metadata.collect();
        let nullable = !metadata.is_empty();
        let fields = columns.into_iter().map(|(field, _)| {
            let nullable = nullable || field.is_nullable();
            field.as_ref().clone().with_nullable(nullable)
        });
        let schema = DFSchema::try_from_qualified_schema(RAW, &Schema::new(fields.collect::<Vec<_>>()))?;
        Ok(Self { schema, metadata, ..self })
    }

    fn new(plan: &LogicalPlan) -> Result<Self> {
        match plan {
            LogicalPlan::SubqueryAlias(alias) => {
                let inner = Self::new(&alias.input)?;
                Ok(Self { name: alias.alias.table().to_string(), ..inner })
            }
            LogicalPlan::Filter(filter) => {
                let mut inner = Self::new(&filter.input)?;
                let predicate = substitute(filter.predicate.clone(), filter.input.schema(), &inner.columns)?;
                inner.filters.extend(split_conjunction_owned(predicate));
                Ok(inner)
            }
            LogicalPlan::Projection(projection) => {
                let inner = Self::new(&projection.input)?;
                let columns = projection
                    .expr
                    .iter()
                    .map(|e| {
                        substitute(e.clone().unalias_nested().data, projection.input.schema(), &inner.columns)
                    })
                    .collect::<Result<_>>()?;
                Ok(Self { columns, ..inner })
            }
            LogicalPlan::TableScan(scan) => {
                let Some(raw) = scan.source.downcast_ref::<RawTable>() else {
                    return Err(Error::internal("the right side of a lookup join is not a table"));
                };
                let physical: Vec<Field> = raw.schema.fields().iter().map(|f| f.as_ref().clone()).collect();
                let schema = DFSchema::try_from_qualified_schema(RAW, &Schema::new(physical))?;
                let columns = scan.projected_schema.fields().iter().map(|f| raw_column(f.name())).collect();
                Ok(Self {
                    reference: raw.reference.clone(),
                    name: scan.table_name.table().to_string(),
                    schema,
                    columns,
                    filters: Vec::new(),
                    nested: Vec::new(),
                    metadata: Vec::new(),
                    askable: raw.reference.table.connector()?.lookup_keys(&raw.reference.table)?,
                })
            }
            other => Err(Error::internal(format!("{} on the right of a lookup join", other.display()))),
        }
    }
}

/// A family of types within which keys are compared, as SQL shows them.
pub(super) fn family(t: &DataType) -> u8 {
    match t {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => 1,
        t if t.is_numeric() => 2,
        DataType::Boolean => 3,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => 4,
        DataType::Date32 | DataType::Date64 => 5,
        DataType::Time32(_) | DataType::Time64(_) => 6,
        DataType::Timestamp(_, None) => 7,
        DataType::Timestamp(_, Some(_)) => 8,
        _ => 0,
    }
}

pub(super) fn shown(t: &DataType) -> String {
    SqlType::from_arrow(t).map_or_else(|| t.to_string(), |t| t.to_string())
}

/// A bare column, or one that coercion has wrapped into a cast (true then).
fn bare(expr: &Expr) -> Option<(&str, bool)> {
    match expr {
        Expr::Column(c) if c.relation.as_ref().is_some_and(|r| r.table() == RAW) => Some((&c.name, false)),
        Expr::Cast(cast) => bare(&cast.expr).map(|(name, _)| (name, true)),
        _ => None,
    }
}

/// The path of a field of a ROW column, and whether coercion has wrapped it into a cast.
fn nested_path(expr: &Expr) -> Option<(Vec<String>, bool)> {
    match expr {
        Expr::Cast(cast) => nested_path(&cast.expr).map(|(path, _)| (path, true)),
        Expr::ScalarFunction(function) if function.func.name() == "get_field" => {
            let (row, names) = function.args.split_first()?;
            let mut path = match bare(row) {
                Some((name, false)) => vec![name.to_string()],
                Some((_, true)) => return None,
                None => nested_path(row).filter(|(_, cast)| !cast)?.0,
            };
            for name in names {
                let Expr::Literal(name, _) = name else { return None };
                path.push(name.try_as_str()??.to_string());
            }
            Some((path, false))
        }
        _ => None,
    }
}

/// Sorted conjuncts of the join.
#[derive(Default)]
struct Conditions {
    /// Key column → expression over the left side.
    field_keys: BTreeMap<usize, Expr>,
    /// Key column → literal.
    constant_keys: BTreeMap<usize, Expr>,
    left: Vec<Expr>,
    right: Vec<Expr>,
    both: Vec<Expr>,
}

pub(super) fn conjunction(exprs: Vec<Expr>) -> Option<Expr> {
    exprs.into_iter().reduce(Expr::and)
}

/// What a condition says is equal, both ways round. The simplifier has made `flag` of `flag = TRUE`.
fn equal_pairs(conjunct: &Expr) -> Vec<(Expr, Expr)> {
    match conjunct {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let (left, right) = (left.as_ref().clone(), right.as_ref().clone());
            vec![(left.clone(), right.clone()), (right, left)]
        }
        Expr::Column(_) => vec![(conjunct.clone(), lit(true))],
        Expr::IsTrue(flag) => vec![(flag.as_ref().clone(), lit(true))],
        Expr::Not(flag) | Expr::IsFalse(flag) => vec![(flag.as_ref().clone(), lit(false))],
        _ => Vec::new(),
    }
}

/// An expression without its casts around a literal.
fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(..) => true,
        Expr::Cast(c) => is_literal(&c.expr),
        _ => false,
    }
}

impl Planner {
    /// Whether the join has an equality that a lookup can be asked by: of a column of the table as it is.
    pub(super) fn has_lookup_key(&self, join: &Join) -> Result<bool> {
        let right = self.right_side(join)?.0;
        let names = join.right.schema();
        let is_key = |e: &Expr| right.key_of(e).is_some();
        if join.null_equality == NullEquality::NullEqualsNothing {
            for (_, r) in &join.on {
                if is_key(&substitute(r.clone(), names, &right.columns)?) {
                    return Ok(true);
                }
            }
        }
        let conjuncts = join.filter.clone().map(split_conjunction_owned).unwrap_or_default().into_iter();
        let on_right = conjuncts.filter(|e| e.column_refs().iter().all(|c| names.has_column(c)));
        let on_right = on_right.map(|e| substitute(e, names, &right.columns)).collect::<Result<Vec<_>>>()?;
        Ok(on_right.iter().chain(&right.filters).any(|conjunct| {
            equal_pairs(conjunct).iter().any(|(column, value)| is_key(column) && is_literal(value))
        }))
    }

    /// The right side of a join, and how it is looked up.
    fn right_side(&self, join: &Join) -> Result<(RightSide, LookupConfig)> {
        let right = RightSide::new(&join.right)?;
        let hints = &right.reference.hints;
        let config = LookupConfig::resolve(&right.reference.table, &hints.lookup, &self.state.config)
            .map_err(|e| e.at(hints.span))?;
        let in_memory = matches!(config.cache, CacheConfig::Full(_));
        let right = right.narrowed(shares(&config))?.with_nested(join, in_memory)?;
        Ok((right, config))
    }

    /// A join whose right side is a lookup table.
    pub(super) fn lower_lookup_join(&self, join: &Join) -> Result<Node> {
        let (right, config) = self.right_side(join)?;
        let table = &right.reference.table;
        let fail = |message: String| Error::plan(message).at(right.reference.hints.span);
        let left_outer = match join.join_type {
            JoinType::Inner => false,
            JoinType::Left => true,
            other => {
                return Err(fail(format!(
                    "{} JOIN with lookup table '{}' is not possible",
                    other.to_string().to_uppercase(),
                    table.name
                ))
                .with_hint("a lookup join is a JOIN or a LEFT JOIN with the lookup table on the right"));
            }
        };
        if join.null_equality == NullEquality::NullEqualsNull {
            return Err(fail(format!(
                "IS NOT DISTINCT FROM cannot be the key of lookup table '{}'",
                table.name
            ))
            .with_hint("compare with ="));
        }
        let conditions = self.sort_conditions(join, &right)?;
        let (keys, key_exprs) = self.keys(&right, &conditions, join.left.schema())?;
        let lookup = self.lookup(&right, keys, &conditions, config)?;
        let left = self.lower(&join.left)?;
        let state_ttl = self.state.config.state_ttl();
        let node =
            lookup_node(left, join, &right, &conditions, &key_exprs, left_outer, (&lookup, state_ttl))?;
        let Some(name) = &lookup.config().dead_letter else { return Ok(node) };
        let arrow: Vec<_> = node.arrow.fields().iter().take(join.schema.fields().len()).cloned().collect();
        let known = ((join.schema.clone(), Arc::new(Schema::new(arrow)) as SchemaRef), node.meaning.clone());
        self.without_failed(node, table, name, known)
    }

    fn sort_conditions(&self, join: &Join, right: &RightSide) -> Result<Conditions> {
        let left_schema = join.left.schema();
        let mut sorted = Conditions::default();
        let right_names = join.right.schema();
        let to_raw = |e: &Expr| substitute(e.clone(), right_names, &right.columns);
        for (l, r) in &join.on {
            let raw = to_raw(r)?;
            let is_key = self.field_key(l, &raw, left_schema, right, &mut sorted)?;
            // A key that was cast to the column's type is compared again as the query says.
            if !is_key || matches!(right.key_of(&raw), Some((_, _, true))) {
                sorted.both.push(l.clone().eq(r.clone()));
            }
        }
        for conjunct in join.filter.clone().map(split_conjunction_owned).unwrap_or_default() {
            let columns = conjunct.column_refs();
            let on_left = columns.iter().all(|c| left_schema.has_column(c));
            let on_right = columns.iter().all(|c| right_names.has_column(c));
            match (on_left, on_right) {
                // It stands behind what both sides say.
                _ if is_late(&conjunct) => sorted.both.push(conjunct),
                (true, _) => sorted.left.push(conjunct),
                (false, true) => sorted.right.push(to_raw(&conjunct)?),
                (false, false) => sorted.both.push(conjunct),
            }
        }
        sorted.right.extend(right.filters.iter().cloned());
        for conjunct in &sorted.right {
            for (column, value) in equal_pairs(conjunct) {
                if is_literal(&value)
                    && let Some((index, ..)) = right.key_of(&column)
                {
                    sorted.constant_keys.entry(index).or_insert(value);
                }
            }
        }
        Ok(sorted)
    }

    /// Notes `l = raw` as a key if `raw` is a bare column. The first of two on a column is the key, the other one
    /// is a condition like any.
    fn field_key(
        &self,
        l: &Expr,
        raw: &Expr,
        left: &DFSchema,
        right: &RightSide,
        sorted: &mut Conditions,
    ) -> Result<bool> {
        let Some((index, name, _)) = right.key_of(raw) else { return Ok(false) };
        let column_type = right.schema.field(index).data_type();
        // Coercion may have wrapped either side: the types that count are those written.
        let mut written = l;
        while let Expr::Cast(cast) = written {
            if family(&cast.expr.get_type(left)?) == family(&cast.field.data_type().clone()) {
                break;
            }
            written = &cast.expr;
        }
        let left_type = written.get_type(left)?;
        if family(&left_type) != family(column_type) || family(column_type) == 0 {
            let sql = shown(column_type);
            if family(column_type) == 0 {
                let what = format!(
                    "column '{name}' of lookup table '{}' is {sql}, which is no type of a key",
                    right.reference.table.name
                );
                return Err(Error::plan(what)
                    .with_hint("join by a column of numbers, text or time and compare this one in WHERE, after the join")
                    .at(right.reference.hints.span));
            }
            return Err(Error::plan(format!(
                "key '{name}' of lookup table '{}' is {sql}, it is compared with {}",
                right.reference.table.name,
                shown(&left_type)
            ))
            .with_hint(format!(
                "cast the left side: CAST({} AS {sql}) = {}.{name}",
                shown_expr(written),
                right.name
            ))
            .at(right.reference.hints.span));
        }
        Ok(match sorted.field_keys.entry(index) {
            Entry::Vacant(entry) => {
                entry.insert(written.clone());
                true
            }
            Entry::Occupied(entry) => entry.get() == written,
        })
    }

    /// Key columns in ascending order with the expressions that give their values, cast to their types.
    fn keys(
        &self,
        right: &RightSide,
        conditions: &Conditions,
        left: &DFSchema,
    ) -> Result<(Vec<usize>, Vec<Expr>)> {
        let mut all: BTreeMap<usize, &Expr> = conditions.constant_keys.iter().map(|(i, e)| (*i, e)).collect();
        all.extend(conditions.field_keys.iter().map(|(i, e)| (*i, e)));
        if all.is_empty() {
            let table = &right.reference.table;
            let key = table
                .primary_key
                .first()
                .map_or_else(|| table.columns.first().map_or("id", |c| c.name.as_str()), String::as_str);
            return Err(Error::plan(format!("the join with lookup table '{}' has no key", table.name))
                .with_detail(
                    "at least one condition must be an equality with a column of the lookup table as it is",
                )
                .with_hint(format!("write ON left.column = {}.{key}", right.name))
                .at(right.reference.hints.span));
        }
        let exprs = all
            .iter()
            .map(|(index, expr)| {
                let to = right.schema.field(*index).data_type();
                if expr.get_type(left)? == *to {
                    return Ok((*expr).clone());
                }
                // A value that does not fit the column's type equals none of its values: NULL never matches.
                Ok(Expr::TryCast(TryCast::new(Box::new((*expr).clone()), to.clone())))
            })
            .collect::<Result<_>>()?;
        Ok((all.keys().copied().collect(), exprs))
    }

    fn lookup(
        &self,
        right: &RightSide,
        keys: Vec<usize>,
        conditions: &Conditions,
        config: LookupConfig,
    ) -> Result<Arc<Lookup>> {
        let table = &right.reference.table;
        let span = right.reference.hints.span;
        let own = right.schema.fields().len() - right.metadata.len();
        let schema: SchemaRef = Arc::new(right.schema.as_arrow().project(&(0..own).collect::<Vec<_>>())?);
        let filters = conditions.right.iter().filter_map(|conjunct| column_filter(conjunct, &right.schema));
        // What others share is not filtered.
        let filters = filters.filter(|f| f.column < right.own_columns() && !shares(&config)).collect();
        let (nested, metadata) = (right.nested.clone(), right.metadata.clone());
        let request =
            LookupRequest { filters, nested, metadata, ..LookupRequest::new(table.clone(), keys, schema) };
        self.shared_lookup(right.name.clone(), request, config).map_err(|e| e.at(span))
    }

    fn shared_lookup(
        &self,
        name: String,
        request: LookupRequest,
        config: LookupConfig,
    ) -> Result<Arc<Lookup>> {
        if self.state.config.is_set("affluent.lookup.memory-limit") {
            crate::lookup::budget::set_limit(self.state.config.lookup_memory_limit());
        }
        let (runtime, clock) = (self.state.runtime.clone(), self.state.clock.clone());
        if let Some(function) = self.function_table(&request)? {
            let function = match &self.state.stand_in {
                Some(other) => other.clone().function_table(&request.table.name, &request, function)?,
                None => function,
            };
            let function = self.recorded(&request, &request, function)?;
            // A function may become another one, and its table stays the same.
            return Lookup::new(name, request, function, config, runtime, clock);
        }
        let in_memory = matches!(config.cache, CacheConfig::Full(_));
        let backend = |request: &LookupRequest| {
            let table = self.answering(&request.table)?;
            let connector = table.connector()?;
            if request.nested.is_empty() || !in_memory {
                let asked = self.asked(request)?;
                return self.recorded(&asked, request, connector.lookup(&asked)?);
            }
            let narrow = request.without_nested();
            let asked = self.asked(&narrow)?;
            let inner = self.recorded(&asked, &narrow, connector.lookup(&asked)?)?;
            Ok(Arc::new(NestedLoad { inner, request: request.clone() }) as Arc<dyn Backend>)
        };
        self.state.lookups.lookup(name, request, backend, config, runtime, clock)
    }

    /// A lookup in a table by some of its columns, as a query has it that reads all columns of its records.
    pub fn table_lookup(&self, table: &Arc<Table>, keys: &[String]) -> Result<Arc<Lookup>> {
        let config = LookupConfig::resolve(table, &[], &self.state.config)?;
        let (_, raw) = self.raw_columns(table);
        let names: HashSet<&str> = physical_names(table).collect();
        let fields = raw.fields().iter().filter(|f| names.contains(f.name().as_str())).cloned();
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let mut places = keys.iter().map(|key| Ok(schema.index_of(key)?)).collect::<Result<Vec<_>>>()?;
        places.sort_unstable();
        self.shared_lookup(table.name.clone(), LookupRequest::new(table.clone(), places, schema), config)
    }

    /// The columns that a lookup is asked by where nobody says which: so many. Those that the connector has places
    /// for, the primary key, or the first ones.
    pub fn key_columns(&self, table: &Table, count: usize) -> Result<Vec<String>> {
        let askable = table.connector()?.lookup_keys(table)?;
        let all: Vec<String> = physical_names(table).map(str::to_string).collect();
        let in_order = |names: &[String]| -> Vec<String> {
            all.iter().filter(|name| names.contains(name)).cloned().collect()
        };
        let mut known = askable.iter().map(|names| in_order(names)).chain([table.primary_key.clone()]);
        if let Some(names) = known.find(|names| names.len() == count) {
            return Ok(names);
        }
        let first: Vec<String> = all.iter().take(count).cloned().collect();
        let fits = askable.as_ref().is_none_or(|askable| first.iter().all(|name| askable.contains(name)));
        if first.len() < count || !fits || count == 0 {
            let names = askable.map(|names| in_order(&names)).filter(|names| !names.is_empty());
            let names =
                names.unwrap_or(if table.primary_key.is_empty() { all } else { table.primary_key.clone() });
            return Err(Error::plan(format!(
                "table '{}' is not looked up by {count} column{}",
                table.name,
                if count == 1 { "" } else { "s" }
            ))
            .with_hint(format!(
                "its key is ({}); columns can be named, too: (column = value)",
                names.join(", ")
            )));
        }
        Ok(first)
    }

    /// A row of values for columns of a table; expressions over nothing, cast to the columns' types.
    pub fn key_row(
        &self,
        table: &Table,
        values: &[(String, sqlparser::ast::Expr)],
    ) -> Result<arrow::array::RecordBatch> {
        let nothing = DFSchema::empty();
        let row = {
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
            let schema = Arc::new(Schema::empty());
            arrow::array::RecordBatch::try_new_with_options(schema, Vec::new(), &options)?
        };
        let mut columns = Vec::with_capacity(values.len());
        for (index, column) in table.columns.iter().enumerate() {
            let Some((name, expr)) = values.iter().find(|(name, _)| *name == column.name) else { continue };
            let Some(field) = self.raw_field(column) else { continue };
            let expr = self.expression(expr, &nothing).map_err(|e| e.context(format!("key '{name}'")))?;
            let given = expr.get_type(&nothing)?;
            if given != DataType::Null && family(&given) != family(field.data_type()) {
                return Err(Error::plan(format!(
                    "key '{name}' of table '{}' is {}, and the value is {}",
                    table.name,
                    shown(field.data_type()),
                    shown(&given)
                )));
            }
            let value = physical(&expr, &nothing)?.evaluate(&row)?.into_array(1)?;
            let value = arrow::compute::cast(&value, field.data_type())?;
            columns.push((index, (field.with_nullable(true), value)));
        }
        columns.sort_by_key(|(index, _)| *index);
        let (fields, values): (Vec<Field>, Vec<_>) = columns.into_iter().map(|(_, column)| column).unzip();
        Ok(arrow::array::RecordBatch::try_new(Arc::new(Schema::new(fields)), values)?)
    }
}

/// The columns of a table's records.
fn physical_names(table: &Table) -> impl Iterator<Item = &str> {
    let columns = table.columns.iter();
    columns.filter(|c| matches!(c.source, ColumnSource::Physical { .. })).map(|c| c.name.as_str())
}

/// A conjunct on the right side that a backend may take: a bare column compared with a literal of its type.
fn column_filter(conjunct: &Expr, schema: &DFSchema) -> Option<ColumnFilter> {
    let column = |expr: &Expr| match bare(expr) {
        Some((name, false)) => schema.index_of_column_by_name(None, name),
        _ => None,
    };
    let test = |expr: &Expr, comparison| {
        let column = column(expr)?;
        let value = new_empty_array(schema.field(column).data_type());
        Some(ColumnFilter { column, comparison, value })
    };
    match conjunct {
        Expr::IsNull(expr) => test(expr, Comparison::IsNull),
        Expr::IsNotNull(expr) => test(expr, Comparison::IsNotNull),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (index, value, turned) = match (column(left), right.as_ref(), column(right), left.as_ref()) {
                (Some(index), Expr::Literal(value, _), _, _) => (index, value, false),
                (_, _, Some(index), Expr::Literal(value, _)) => (index, value, true),
                _ => return None,
            };
            let comparison = match (op, turned) {
                (Operator::Eq, _) => Comparison::Equal,
                (Operator::NotEq, _) => Comparison::NotEqual,
                (Operator::Lt, false) | (Operator::Gt, true) => Comparison::Less,
                (Operator::LtEq, false) | (Operator::GtEq, true) => Comparison::LessOrEqual,
                (Operator::Gt, false) | (Operator::Lt, true) => Comparison::Greater,
                (Operator::GtEq, false) | (Operator::LtEq, true) => Comparison::GreaterOrEqual,
                _ => return None,
            };
            let same = value.data_type() == *schema.field(index).data_type() && !value.is_null();
            let value = value.to_array().ok().filter(|_| same)?;
            Some(ColumnFilter { column: index, comparison, value })
        }
        _ => None,
    }
}
