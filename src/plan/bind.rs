//! AST → logical plan: names and types.
//!
//! Two things are done to a query before and while DataFusion reads it. Every expression is rewritten to
//! what DataFusion's planner understands ([`crate::function::syntax::rewrite_ast`]). And a relation planner reads the
//! parts of FROM that DataFusion would drop or cannot know: hints, `FOR SYSTEM_TIME AS OF`, UNNEST and
//! LATERAL table functions.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion_common::{Column, DFSchema, Result as DfResult, TableReference};
use datafusion_expr::logical_plan::Aggregate;
use datafusion_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion_expr::{Expr, ExprSchemable, Extension, GroupingSet, LogicalPlan, LogicalPlanBuilder};
use datafusion_sql::planner::SqlToRel;
use sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, ObjectName, Spanned, TableFactor, TableVersion, VisitMut,
};

use super::changelog_functions;
use super::group_window::{GROUP_WINDOW, group_window};
use super::naming::{aliased_subquery, number_columns};
use super::node::{ElementsNode, StateTtlNode};
use super::provider::{Planner, parser_options};
use super::set::{RewriteSets, set_error, set_plan, set_relation};
use super::table_function::{call_of, function_name};
use super::version::version_of;
use super::window_table::{is_window_function, window_table};
use crate::catalog::Entry;
use crate::error::{Error, Result, Span};
use crate::function::tree::{PlanTree, Tree};
use crate::sql::hints::{HINT_PREFIX, STATE_TTL_CALL, TableHints, take_hints};
use crate::sql::visit::{visit_expressions_mut, walk_mut};

/// `t.a[1].b`: the names before the first subscript are one name, and DataFusion takes the field behind a
/// subscript as a string.
pub(super) fn read_fields<T: VisitMut>(node: &mut T) {
    let _ = visit_expressions_mut(node, |expr| {
        if let ast::Expr::CompoundFieldAccess { root, access_chain } = expr {
            let mut names = match root.as_ref() {
                ast::Expr::Identifier(first) => vec![first.clone()],
                ast::Expr::CompoundIdentifier(parts) => parts.clone(),
                _ => Vec::new(),
            };
            let fields = access_chain.iter().map_while(|access| match access {
                ast::AccessExpr::Dot(ast::Expr::Identifier(field)) => Some(field.clone()),
                _ => None,
            });
            let fields: Vec<ast::Ident> = fields.collect();
            if !names.is_empty() && !fields.is_empty() {
                access_chain.drain(..fields.len());
                names.extend(fields);
                **root = ast::Expr::CompoundIdentifier(names);
            }
            for access in access_chain {
                if let ast::AccessExpr::Dot(ast::Expr::Identifier(field)) = access {
                    let name = ast::Value::SingleQuotedString(field.value.clone());
                    *access = ast::AccessExpr::Dot(ast::Expr::value(name));
                }
            }
        }
        ControlFlow::<()>::Continue(())
    });
}

/// A span of `sqlparser` as ours.
pub(super) fn span_of(span: sqlparser::tokenizer::Span) -> Span {
    Span::new(
        (span.start.line as u32, span.start.column as u32),
        (span.end.line as u32, span.end.column as u32),
    )
}

/// What grouping sets are made of are columns: an expression in one is computed below, under the name that it has above.
fn plain_sets(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_all_up(|node| {
        let mut aggregate = match node {
            LogicalPlan::Aggregate(aggregate) => aggregate,
            other => return Ok(Transformed::no(other)),
        };
        let [Expr::GroupingSet(set)] = aggregate.group_expr.as_mut_slice() else {
            return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        };
        let column = |e: &Expr| Column::new_unqualified(e.schema_name().to_string());
        let computed: Vec<Expr> =
            set.distinct_expr().into_iter().filter(|e| !matches!(e, Expr::Column(_))).cloned().collect();
        if computed.is_empty() {
            return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        }
        let lists: Vec<&mut Vec<Expr>> = match set {
            GroupingSet::Rollup(list) | GroupingSet::Cube(list) => vec![list],
            GroupingSet::GroupingSets(lists) => lists.iter_mut().collect(),
        };
        for e in lists.into_iter().flatten().filter(|e| computed.contains(e)) {
            *e = Expr::Column(column(e));
        }
        // Only GROUPING asks for a key; what others compute with is there as it was.
        let grouping = |e: &Expr| match e {
            Expr::AggregateFunction(f) => f.func.name().to_ascii_lowercase().starts_with("grouping"),
            _ => false,
        };
        for call in aggregate.aggr_expr.iter_mut().filter(|e| e.exists(|e| Ok(grouping(e))).unwrap_or(true)) {
            let plain = call.clone().transform_down(|e| match computed.contains(&e) {
                true => Ok(Transformed::new(Expr::Column(column(&e)), true, TreeNodeRecursion::Jump)),
                false => Ok(Transformed::no(e)),
            })?;
            *call = plain.data;
        }
        let below = aggregate.input.schema().columns().into_iter().map(Expr::Column);
        let below = below.chain(computed.iter().map(|e| e.clone().alias(e.schema_name().to_string())));
        let input = LogicalPlanBuilder::from(Arc::unwrap_or_clone(aggregate.input));
        let input = input.project(below.collect::<Vec<_>>())?.build()?;
        let aggregate = Aggregate::try_new(Arc::new(input), aggregate.group_expr, aggregate.aggr_expr)?;
        Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
    })?;
    Ok(plan.data)
}

impl Planner {
    /// CURRENT_DATABASE() is a name that is known. TYPEOF wants to know how columns were declared.
    pub(super) fn name_database<T: VisitMut>(&self, node: &mut T) {
        let named = |function: &ast::Function, name: &str| {
            function
                .name
                .0
                .last()
                .and_then(|p| p.as_ident())
                .is_some_and(|i| i.value.eq_ignore_ascii_case(name))
        };
        let _ = visit_expressions_mut(node, |expr| {
            if let ast::Expr::Function(function) = expr
                && named(function, "TYPEOF")
            {
                self.state.types_asked.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            if let ast::Expr::Function(function) = expr
                && named(function, "CURRENT_WATERMARK")
            {
                self.state.watermarks_asked.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            if let ast::Expr::Function(function) = expr
                && let [part] = function.name.0.as_slice()
                && part.as_ident().is_some_and(|i| i.value.eq_ignore_ascii_case("CURRENT_DATABASE"))
                && let ast::FunctionArguments::List(list) = &function.args
                && list.args.is_empty()
            {
                let name = self.current_database().to_string();
                *expr = ast::Expr::value(ast::Value::SingleQuotedString(name));
            }
            ControlFlow::<()>::Continue(())
        });
    }

    /// Binds the names of a query: a logical plan as written, unresolved joins and casts included.
    pub(super) fn bind_query(&self, query: &ast::Query) -> Result<LogicalPlan> {
        self.plan_prepared(self.prepared(query.clone())?)
    }

    /// Binds a query that was prepared.
    pub(super) fn plan_prepared(&self, query: ast::Query) -> Result<LogicalPlan> {
        let provider = self.provider();
        let planner = SqlToRel::new_with_options(&provider, parser_options());
        let plan = planner.sql_statement_to_plan(ast::Statement::Query(Box::new(query)))?;
        self.state.doubts.lock().extend(super::doubtful::comparisons(&plan)?);
        super::naming::number_columns(plain_sets(plan)?)
    }

    /// What is done to a query before DataFusion reads it.
    pub(super) fn prepared(&self, mut query: ast::Query) -> Result<ast::Query> {
        super::ignored::refuse(&mut query, &self.provider())?;
        super::patterns::check_literals(&query)?;
        super::row_wildcards::expand(&mut query, self);
        super::naming::name_columns(&mut query);
        super::using::merge_columns(&mut query)?;
        super::group_window::rewrite_group_windows(&mut query)?;
        super::select::rewrite_selects(&mut query)?;
        if let ControlFlow::Break(e) = walk_mut(&mut query, &mut RewriteSets) {
            return Err(e);
        }
        super::user_function::complete_calls(&mut query, &self.state.functions)?;
        self.name_database(&mut query);
        read_fields(&mut query);
        crate::function::syntax::rewrite_ast(&mut query);
        self.align_values(&mut query);
        Ok(query)
    }

    /// Binds and resolves a query and applies the logical rewrites.
    pub fn query(&self, query: &ast::Query) -> Result<LogicalPlan> {
        self.rewrite(self.written(query)?)
    }

    /// Binds and resolves a query.
    pub(super) fn written(&self, query: &ast::Query) -> Result<LogicalPlan> {
        self.resolve(self.bind_query(query)?)
    }
}

/// Plans the relations that DataFusion's default would lose something of.
#[derive(Debug)]
pub(super) struct Relations {
    planner: Planner,
}

impl Relations {
    pub fn new(planner: Planner) -> Self {
        Self { planner }
    }

    /// A table with hints or a version.
    fn hinted(
        &self,
        mut name: ObjectName,
        version: Option<TableVersion>,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let hints = take_hints(&mut name)?;
        let Some(ttl) = hints.state_ttl.clone() else {
            crate::sql::hints::put_hints(&mut name, &hints)?;
            return self.table(name, version);
        };
        let span = ttl.value.span;
        let rest = TableHints { state_ttl: None, ..hints };
        // A name without other hints may be that of a WITH query, which is known elsewhere.
        let plain = version.is_none() && rest.options.is_empty() && rest.lookup.is_empty();
        let plan = match plain {
            true => context.plan(plain_table(name))?,
            false => {
                crate::sql::hints::put_hints(&mut name, &rest)?;
                self.table(name, version)?
            }
        };
        with_state_ttl(plan, &ttl.value.value).map_err(|e| e.at(span))
    }

    /// A table with hints or a version.
    fn table(&self, mut name: ObjectName, version: Option<TableVersion>) -> Result<LogicalPlan> {
        let hints = take_hints(&mut name)?;
        let span = span_of(name.span());
        let period = match version {
            None => None,
            Some(TableVersion::ForSystemTimeAsOf(period)) => Some(period),
            Some(other) => {
                return Err(Error::unsupported(format!("table version '{other}' is not supported"))
                    .with_hint("write FOR SYSTEM_TIME AS OF")
                    .at(span));
            }
        };
        if let (Some((path, span)), None) = (quoted_file(&name), &period) {
            return self.file(&path, span, hints);
        }
        let parts: Vec<String> =
            name.0.iter().filter_map(|p| p.as_ident()).map(|i| i.value.clone()).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let reference = TableReference::bare(*parts.last().unwrap_or(&""));
        match self.planner.entry(&parts, span)? {
            Entry::Table(table) => {
                // A lookup table is asked; any other one has versions.
                let (asked, versions) =
                    if super::resolve::is_lookup_table(table) { (period, None) } else { (None, period) };
                let source = self.planner.table_ref(table, hints, asked)?;
                let scan = LogicalPlanBuilder::scan(reference.clone(), Arc::new(source), None)?.build()?;
                match versions {
                    None => Ok(scan),
                    Some(period) => Ok(version_of(scan, period)),
                }
            }
            Entry::View(view) if !hints.options.is_empty() => {
                Err(Error::plan(format!("'{}' is a view: the OPTIONS hint holds for tables", view.name))
                    .at(span))
            }
            Entry::View(view) => {
                let plan = self.planner.view(view)?;
                let (plan, versions) = match period {
                    Some(period) if reads_lookup(&plan) => {
                        (with_period(plan, &period, &hints, &view.name, span)?, None)
                    }
                    other => (plan, other),
                };
                let named = LogicalPlanBuilder::from(plan).alias(reference)?.build()?;
                match versions {
                    None => Ok(named),
                    Some(period) => Ok(version_of(named, period)),
                }
            }
        }
    }

    /// `'file.jsonl'` in FROM; the OPTIONS hint says what is not found out from the file.
    fn file(&self, path: &str, span: Span, mut hints: TableHints) -> Result<LogicalPlan> {
        let table = super::explore::file_table(path, std::mem::take(&mut hints.options), span)?;
        let reference = TableReference::bare(table.name.as_str());
        let source = self.planner.table_ref(&table, TableHints { span, ..hints }, None)?;
        Ok(LogicalPlanBuilder::scan(reference, Arc::new(source), None)?.build()?)
    }

    /// A function in FROM that takes tables.
    fn table_call(
        &self,
        name: &ObjectName,
        args: Vec<FunctionArg>,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let span = span_of(name.span());
        let function = function_name(name).unwrap_or_default();
        match name.0.last().and_then(|p| p.as_ident()).map(|i| i.value.as_str()) {
            Some(GROUP_WINDOW) => return group_window(span, args, context, self.planner.zone()),
            Some(STATE_TTL_CALL) => return hinted_subquery(args, context).map_err(|e| e.at(span)),
            _ => {}
        }
        if is_window_function(&function) {
            return window_table(&function, name, args, context, self.planner.zone());
        }
        if function == "ML_PREDICT" {
            return super::ml_predict::ml_predict(&self.planner, name, args, context);
        }
        if changelog_functions::FUNCTIONS.contains(&function.as_str()) {
            return changelog_functions::changelog_table(name, args, context, self.planner.zone());
        }
        let known = TABLE_CALLS.iter().copied();
        let error = Error::plan(format!("table function '{name}' is not known")).at(span);
        Err(match crate::nearest::nearest(&function, known) {
            Some(near) => error.with_hint(format!("did you mean {near}?")),
            None => error.with_hint(format!("the functions in FROM are {}", TABLE_CALLS.join(", "))),
        })
    }

    /// An expression over what stands before it in FROM. DataFusion finds columns there, but no fields of them.
    fn outer(mut expr: ast::Expr, context: &mut dyn RelationPlannerContext) -> DfResult<Expr> {
        let none = DFSchema::empty();
        let _ = visit_expressions_mut(&mut expr, |e| {
            let ast::Expr::CompoundIdentifier(names) = e else { return ControlFlow::<()>::Continue(()) };
            let column = |names: &[ast::Ident]| match names {
                [only] => ast::Expr::Identifier(only.clone()),
                names => ast::Expr::CompoundIdentifier(names.to_vec()),
            };
            let is_column = |root: &ast::Expr, context: &mut dyn RelationPlannerContext| {
                matches!(context.sql_to_expr(root.clone(), &none), Ok(Expr::OuterReferenceColumn(..)))
            };
            for known in [2, 1] {
                let Some((root, fields)) = names.split_at_checked(known).filter(|(_, f)| !f.is_empty())
                else {
                    continue;
                };
                let root = column(root);
                if is_column(&root, context) {
                    let field = |f: &ast::Ident| {
                        let name = ast::Value::SingleQuotedString(f.value.clone());
                        ast::AccessExpr::Dot(ast::Expr::value(name))
                    };
                    let access_chain = fields.iter().map(field).collect();
                    *e = ast::Expr::CompoundFieldAccess { root: Box::new(root), access_chain };
                    break;
                }
            }
            ControlFlow::Continue(())
        });
        context.sql_to_expr(expr, &none)
    }

    /// The values of a MULTISET instead of values and counts, where the names say that a value is wanted: it is a MAP of
    /// values and counts, whose elements have two columns.
    fn multiset(&self, collection: Expr, names: usize, ordinality: bool) -> Result<Expr> {
        let names = names.saturating_sub(usize::from(ordinality));
        let DataType::Map(entries, _) = collection.get_type(&DFSchema::empty())? else {
            return Ok(collection);
        };
        let DataType::Struct(kv) = entries.data_type() else { return Ok(collection) };
        let [value, count] = kv.as_ref() else { return Ok(collection) };
        let columns = match value.data_type() {
            DataType::Struct(fields) => fields.len(),
            _ => 1,
        };
        if *count.data_type() != DataType::Int32 || names == 2 || names != columns {
            return Ok(collection);
        }
        let repeated = self.planner.state.functions.scalar("$repeated");
        let repeated = repeated.ok_or_else(|| Error::internal("there is no function $repeated"))?;
        Ok(repeated.call(vec![collection]))
    }

    /// `UNNEST(collection) [WITH ORDINALITY]`.
    fn unnest(&self, collection: Expr, ordinality: bool, span: Span) -> Result<LogicalPlan> {
        let data_type = collection.get_type(&DFSchema::empty())?;
        let mut elements: Vec<FieldRef> = match &data_type {
            DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => match f.data_type()
            {
                DataType::Struct(fields) => fields.iter().cloned().collect(),
                other => vec![Arc::new(Field::new("EXPR$0", other.clone(), true))],
            },
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) => fields.iter().cloned().collect(),
                _ => Vec::new(),
            },
            other => {
                let shown =
                    crate::sql::SqlType::from_arrow(other).map_or(other.to_string(), |t| t.to_string());
                return Err(
                    Error::plan(format!("UNNEST takes an ARRAY, MAP or MULTISET, not {shown}")).at(span)
                );
            }
        };
        if ordinality {
            elements.push(Arc::new(Field::new("ORDINALITY", DataType::Int32, true)));
        }
        let fields =
            elements.into_iter().map(|f| (None, Arc::new(f.as_ref().clone().with_nullable(true)))).collect();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
        Ok(LogicalPlan::Extension(Extension {
            node: Arc::new(ElementsNode { collection, ordinality, schema }),
        }))
    }

    /// `LATERAL TABLE(lookup_table(key, ...))`: the rows of a lookup table under these keys.
    fn table_function(&self, name: &ObjectName, args: Vec<(Option<String>, Expr)>) -> Result<LogicalPlan> {
        let span = span_of(name.span());
        let function = name.0.last().and_then(|p| p.as_ident()).map_or("", |i| &i.value);
        let Ok(Entry::Table(table)) = self.planner.entry(&[function], span) else {
            return Err(Error::plan(format!("table function '{function}' is not known"))
                .with_hint("a lookup table can be called: LATERAL TABLE(sensor_info(t.sensorId))")
                .at(span));
        };
        if !super::resolve::is_lookup_table(table) {
            return Err(Error::plan(format!(
                "table '{function}' is not a lookup table and cannot be called"
            ))
            .at(span));
        }
        if table.primary_key.is_empty() {
            return Err(Error::plan(format!("table '{function}' has no primary key: what the arguments mean is not known"))
                .with_hint("declare PRIMARY KEY (...) NOT ENFORCED, or name the arguments: key => value, or write a JOIN")
                .at(span))
            .or_else(|e| if args.iter().all(|(n, _)| n.is_some()) { Ok(()) } else { Err(e) })
            .and_then(|()| self.call_lookup(table, args, span));
        }
        self.call_lookup(table, args, span)
    }

    fn call_lookup(
        &self,
        table: &Arc<crate::catalog::Table>,
        args: Vec<(Option<String>, Expr)>,
        span: Span,
    ) -> Result<LogicalPlan> {
        let named = args.iter().filter(|(n, _)| n.is_some()).count();
        let twice =
            args.iter().enumerate().any(|(i, (n, _))| n.is_some() && args[..i].iter().any(|(m, _)| m == n));
        if (named != 0 && named != args.len()) || twice {
            return Err(Error::plan(format!(
                "the arguments of '{}' are all named, each once, or none is",
                table.name
            ))
            .at(span));
        }
        if named == 0 && args.len() != table.primary_key.len() {
            return Err(Error::plan(format!(
                "'{}' takes {} arguments, its primary key ({}); {} given",
                table.name,
                table.primary_key.len(),
                table.primary_key.join(", "),
                args.len()
            ))
            .at(span));
        }
        let source = self.planner.table_ref(table, TableHints { span, ..TableHints::default() }, None)?;
        let reference = TableReference::bare(table.name.as_str());
        let mut predicate: Option<Expr> = None;
        for (position, (name, arg)) in args.into_iter().enumerate() {
            let column = match &name {
                Some(name) => name,
                None => &table.primary_key[position],
            };
            if table.column(column).is_none() {
                return Err(Error::plan(format!("'{}' has no column '{column}'", table.name)).at(span));
            }
            let key = Expr::Column(datafusion_common::Column::new(Some(reference.clone()), column)).eq(arg);
            predicate = Some(match predicate {
                Some(all) => all.and(key),
                None => key,
            });
        }
        let scan = LogicalPlanBuilder::scan(reference, Arc::new(source), None)?;
        match predicate {
            Some(predicate) => Ok(scan.filter(predicate)?.build()?),
            None => Err(Error::plan(format!("'{}' is called without a key", table.name)).at(span)),
        }
    }
}

/// Whether a view is one lookup table, perhaps renamed, projected and filtered.
fn reads_lookup(plan: &LogicalPlan) -> bool {
    super::resolve::table_below(plan).is_some_and(|t| super::resolve::is_lookup_table(&t.table))
}

/// Puts `FOR SYSTEM_TIME AS OF` and hints on the one table that a view reads.
fn with_period(
    plan: LogicalPlan,
    period: &ast::Expr,
    hints: &TableHints,
    view: &str,
    span: Span,
) -> Result<LogicalPlan> {
    use datafusion_common::tree_node::Transformed;
    use datafusion_expr::logical_plan::TableScan;
    let mut tables = 0;
    let plan = plan.transform_down(|node| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        let Some(source) = scan.source.downcast_ref::<super::provider::TableRef>() else {
            return Ok(Transformed::no(node));
        };
        tables += 1;
        let source = super::provider::TableRef {
            table: source.table.clone(),
            hints: TableHints { lookup: hints.lookup.clone(), ..source.hints.clone() },
            period: Some(period.clone()),
            schema: source.schema.clone(),
            computed: source.computed.clone(),
        };
        let scan = TableScan { source: Arc::new(source), ..scan.clone() };
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    if tables != 1 {
        return Err(Error::plan(format!(
            "FOR SYSTEM_TIME AS OF on view '{view}' needs a view over one table, it reads {tables}"
        ))
        .at(span));
    }
    Ok(plan.data)
}

impl RelationPlanner for Relations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DfResult<RelationPlanning> {
        let planned =
            |plan, alias| Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))));
        if let Some((kind, union)) = set_relation(&relation) {
            return planned(set_plan(kind, context.plan(union).map_err(|e| set_error(kind, e))?)?, None);
        }
        match relation {
            TableFactor::Table { name, alias, args: None, version, .. }
                if version.is_some() || has_hints(&name) =>
            {
                planned(self.hinted(name, version, context)?, alias)
            }
            TableFactor::Table { name, alias, args: None, version: None, .. }
                if quoted_file(&name).is_some() =>
            {
                let (path, span) = quoted_file(&name).unwrap_or_default();
                planned(self.file(&path, span, TableHints::default())?, alias)
            }
            TableFactor::UNNEST { mut array_exprs, alias, with_ordinality, with_offset, .. } => {
                let Some(collection) = array_exprs.pop() else {
                    return Err(Error::plan("UNNEST takes one collection").into());
                };
                let span = span_of(collection.span());
                if with_offset || !array_exprs.is_empty() {
                    return Err(Error::unsupported("UNNEST takes one collection; WITH OFFSET is not known")
                        .with_hint("write UNNEST(a) WITH ORDINALITY AS t(value, position)")
                        .at(span)
                        .into());
                }
                let collection = Self::outer(collection, context)?;
                let names = alias.as_ref().map_or(0, |a| a.columns.len());
                let collection = self.multiset(collection, names, with_ordinality)?;
                planned(self.unnest(collection, with_ordinality, span)?, alias)
            }
            TableFactor::Function { name, args, alias, .. }
                if function_name(&name).is_some_and(|f| is_table_call(&f)) =>
            {
                planned(self.table_call(&name, args, context)?, alias)
            }
            TableFactor::Function { name, args, alias, lateral, .. }
                if lateral && function_name(&name).is_some_and(|f| f == "SNAPSHOT") =>
            {
                planned(super::version::snapshot(&name, args, context, self.planner.zone())?, alias)
            }
            TableFactor::Function { name, args, alias, .. }
                if let Some(function) = self.planner.user_table_function(&name)? =>
            {
                let span = span_of(name.span());
                let args =
                    crate::function::user::calls::arguments(args, &function).map_err(|e| e.at(span))?;
                if let Some(relation) = self.planner.user_query(&function, &args).map_err(|e| e.at(span))? {
                    let plan = context.plan(relation);
                    self.planner.left_query(&function);
                    return planned(plan?, alias);
                }
                let args = args.into_iter().map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                        context.sql_to_expr(expr, &DFSchema::empty())
                    }
                    other => Err(Error::plan(format!("'{other}' is not an argument of a function"))
                        .at(span)
                        .into()),
                });
                let call = self.planner.user_rows(&function, args.collect::<DfResult<Vec<_>>>()?);
                planned(self.unnest(call, false, span)?, alias)
            }
            TableFactor::Function { name, args, alias, .. } => {
                let args = args
                    .into_iter()
                    .map(|arg| match arg {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                            Ok((None, Self::outer(expr, context)?))
                        }
                        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                            Ok((Some(name.value), Self::outer(expr, context)?))
                        }
                        other => {
                            Err(Error::plan(format!("'{other}' is not an argument of a table function"))
                                .into())
                        }
                    })
                    .collect::<DfResult<Vec<_>>>()?;
                planned(self.table_function(&name, args)?, alias)
            }
            TableFactor::Table { name, args: Some(_), .. }
                if function_name(&name).is_some_and(|f| f == "SNAPSHOT") =>
            {
                let error =
                    Error::plan("SNAPSHOT is only allowed after LATERAL, on the right side of a join");
                Err(error.at(span_of(name.span())).into())
            }
            TableFactor::Table { name, alias, args: Some(args), .. } => {
                planned(self.table_call(&name, args.args, context)?, alias)
            }
            TableFactor::TableFunction { expr, alias } => {
                let span = span_of(expr.span());
                let Some((name, args)) = call_of(&expr) else {
                    return Err(Error::syntax("TABLE(...) takes the call of a table function")
                        .with_hint("write TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))")
                        .at(span)
                        .into());
                };
                planned(self.table_call(&name, args, context)?, alias)
            }
            TableFactor::MatchRecognize { .. } => {
                let (plan, alias) =
                    super::match_recognize::match_recognize(relation, context, &self.planner)?;
                planned(plan, alias)
            }
            TableFactor::Derived { .. } => match aliased_subquery(&relation) {
                Some((bare, alias)) => {
                    let plan = number_columns(context.plan(bare)?)?;
                    Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
                }
                None => Ok(RelationPlanning::Original(Box::new(relation))),
            },
            other @ (TableFactor::Pivot { .. } | TableFactor::Unpivot { .. }) => {
                let (what, instead) = match other {
                    TableFactor::Pivot { .. } => (
                        "PIVOT",
                        "write one SUM(x) FILTER (WHERE kind = 'a') AS a for each column, and GROUP BY",
                    ),
                    _ => ("UNPIVOT", "write CROSS JOIN UNNEST(MAP['a', a, 'b', b]) AS u(name, x)"),
                };
                let error = Error::unsupported(format!("{what} is not supported")).with_hint(instead);
                Err(error.at(span_of(other.span())).into())
            }
            other => Ok(RelationPlanning::Original(Box::new(other))),
        }
    }
}

/// Puts a STATE_TTL hint on a plan.
fn with_state_ttl(plan: LogicalPlan, ttl: &str) -> Result<LogicalPlan> {
    let reference = match &plan {
        LogicalPlan::TableScan(scan) => scan.source.downcast_ref::<super::provider::TableRef>(),
        _ => None,
    };
    if let Some(reference) = reference
        && super::resolve::must_look_up(reference)
    {
        return Err(Error::plan(format!(
            "hint STATE_TTL names '{}', a lookup table, of which no state is kept",
            reference.table.name
        ))
        .with_hint("how long answers are kept says the option 'lookup.partial-cache.expire-after-write'"));
    }
    let ttl = crate::quantity::parse_duration(ttl)?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(StateTtlNode { input: plan, ttl }) }))
}

/// `$state_ttl('1d', (query))`
fn hinted_subquery(args: Vec<FunctionArg>, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let internal = || Error::internal("a hint of a subquery was not carried as planned");
    let mut args = args.into_iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e),
        _ => None,
    });
    let (Some(ast::Expr::Value(ttl)), Some(ast::Expr::Subquery(subquery))) = (args.next(), args.next())
    else {
        return Err(internal());
    };
    let ttl = ttl.value.into_string().ok_or_else(internal)?;
    let bare = TableFactor::Derived { lateral: false, subquery, alias: None, sample: None };
    with_state_ttl(number_columns(context.plan(bare)?)?, &ttl)
}

/// A table by its name alone.
fn plain_table(name: ObjectName) -> TableFactor {
    TableFactor::Table {
        name,
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

/// Functions in FROM that take tables.
const TABLE_CALLS: &[&str] =
    &["TUMBLE", "HOP", "CUMULATE", "SESSION", "TO_CHANGELOG", "FROM_CHANGELOG", "ML_PREDICT"];

fn is_table_call(function: &str) -> bool {
    TABLE_CALLS.contains(&function)
}

/// `'file.jsonl'` in FROM.
fn quoted_file(name: &ObjectName) -> Option<(String, Span)> {
    let [part] = name.0.as_slice() else { return None };
    let ident = part.as_ident().filter(|i| i.quote_style == Some('\''))?;
    Some((ident.value.clone(), span_of(ident.span)))
}

fn has_hints(name: &ObjectName) -> bool {
    name.0.last().and_then(|p| p.as_ident()).is_some_and(|i| i.value.starts_with(HINT_PREFIX))
}
