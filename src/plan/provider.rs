//! What names mean: tables, views and functions for DataFusion's SQL planner.
//!
//! A planner sees the session as it was when its statement began, so that nothing changes under it and the session's lock
//! is not held. Beside that it notes what only the whole statement shows: common scans, doubts, functions that it uses.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DFSchema, Result as DfResult, TableReference, plan_err};
use datafusion_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource, WindowUDF,
};
use datafusion_sql::planner::{NullOrdering, ParserOptions, PlannerContext, SqlToRel};
use sqlparser::ast;

use super::remembered::Remembered;
use crate::catalog::{Catalog, Column, ColumnSource, Entry, Home, Table};
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Error, Result, Span};
use crate::function::Functions;
use crate::function::type_of::DECLARED_KEY;
use crate::sql::hints::TableHints;

/// Metadata key of a field that remembers the SQL type it was declared with, where Arrow forgets it.
pub const SQL_TYPE_KEY: &str = "affluent.sql_type";

/// Everything planning needs to know; shared by the planner's parts.
pub struct PlannerState {
    /// Tables and views.
    pub catalog: Arc<Catalog>,
    /// Settings.
    pub config: Config,
    /// Scalar functions.
    pub functions: Arc<Functions>,
    /// `table.local-time-zone`, resolved.
    pub zone: String,
    /// Processing time.
    pub clock: Arc<dyn Clock>,
    /// The runtime for what waits.
    pub runtime: tokio::runtime::Handle,
    /// Lookups of the session.
    pub lookups: Arc<crate::lookup::shared::Lookups>,
    /// User functions in SQL whose expressions are being planned: one that calls itself is refused.
    pub expanding: parking_lot::Mutex<Vec<String>>,
    /// The sources of this statement: equal scans are one.
    pub sources: parking_lot::Mutex<Vec<super::share::Scanned>>,
    /// Views that this statement was expanded by.
    pub expanded: std::sync::atomic::AtomicUsize,
    /// User functions that this statement uses, with the digests of their code.
    pub used: parking_lot::Mutex<std::collections::BTreeMap<String, String>>,
    /// Dead letters of the lookups in the plans of a job, and the tables that take them.
    pub letters: parking_lot::Mutex<Vec<(super::graph::Node, Arc<Table>)>>,
    /// What occurs several times in the plans of a job.
    pub common: parking_lot::Mutex<super::reuse::Common>,
    /// Whether this statement has TYPEOF: columns then know their declared types.
    pub types_asked: std::sync::atomic::AtomicBool,
    /// Whether this statement has CURRENT_WATERMARK: watermarks are told behind each row.
    pub watermarks_asked: std::sync::atomic::AtomicBool,
    /// What is allowed in the queries of this statement and is hardly meant, each once.
    pub doubts: parking_lot::Mutex<std::collections::BTreeSet<String>>,
    /// In `affluent test`: what answers in the place of what is outside.
    pub(crate) stand_in: Option<Arc<dyn super::stand_in::StandIn>>,
    /// What is read and answered is recorded.
    pub(crate) recorder: Option<Arc<crate::recording::Recorder>>,
}

/// Views in one statement, counted as often as they are read: views that read views twice double with each level.
const VIEWS: usize = 1000;

impl fmt::Debug for PlannerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlannerState").field("zone", &self.zone).finish_non_exhaustive()
    }
}

/// Plans statements against one state of the session.
#[derive(Debug, Clone)]
pub struct Planner {
    pub(super) state: Arc<PlannerState>,
    /// Where names without a database are looked for.
    home: Home,
    /// What checkpoints know by another name, or in another order.
    pub(super) remembered: Arc<Remembered>,
}

/// A reference to a table in a query.
#[derive(Debug)]
pub struct TableRef {
    /// The table, with the options of an OPTIONS hint on top.
    pub table: Arc<Table>,
    /// Hints of the reference.
    pub hints: TableHints,
    /// `FOR SYSTEM_TIME AS OF ...`.
    pub period: Option<ast::Expr>,
    /// All columns in declared order, computed ones with the type of their expression.
    pub schema: SchemaRef,
    /// Expressions of the computed columns over the others, by index.
    pub computed: Vec<(usize, Expr)>,
}

impl TableSource for TableRef {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// The columns of a table that its connector gives: physical and metadata columns.
#[derive(Debug)]
pub struct RawTable {
    /// The reference it belongs to.
    pub reference: Arc<TableRef>,
    /// For each column of [`RawTable::schema`], its index into the table's columns.
    pub columns: Vec<usize>,
    /// Their schema.
    pub schema: SchemaRef,
    /// True where it stands as the right side of a lookup join.
    pub is_lookup: bool,
}

impl TableSource for RawTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

#[derive(Debug)]
struct ViewSource {
    plan: LogicalPlan,
}

impl TableSource for ViewSource {
    fn schema(&self) -> SchemaRef {
        self.plan.schema().inner().clone()
    }
    fn get_logical_plan(&'_ self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}

static OPTIONS: LazyLock<ConfigOptions> = LazyLock::new(|| {
    let mut options = ConfigOptions::default();
    options.sql_parser.enable_ident_normalization = false;
    options
});

pub(super) fn parser_options() -> ParserOptions {
    ParserOptions {
        enable_ident_normalization: false,
        collect_spans: true,
        map_string_types_to_utf8view: true,
        parse_float_as_decimal: true,
        support_varchar_with_length: true,
        // NULL is less than every value.
        default_null_ordering: NullOrdering::NullsMin,
        ..ParserOptions::new()
    }
}

impl Planner {
    /// A planner over a state of the session.
    pub fn new(state: PlannerState) -> Self {
        let home = state.catalog.current().clone();
        Self { state: Arc::new(state), home, remembered: Arc::default() }
    }

    /// The same, for what checkpoints know by another name, or in another order.
    pub fn knowing(self, remembered: Remembered) -> Self {
        Self { remembered: Arc::new(remembered), ..self }
    }

    /// The name by which checkpoints know a table.
    pub(super) fn known_name<'a>(&'a self, table: &'a str) -> &'a str {
        self.remembered.tables.get(table).map_or(table, String::as_str)
    }

    /// What is allowed in the queries that were planned and is hardly meant.
    pub fn doubts(&self) -> Vec<String> {
        self.state.doubts.lock().iter().cloned().collect()
    }

    /// The session's zone.
    pub fn zone(&self) -> &str {
        &self.state.zone
    }

    pub(super) fn provider(&self) -> Provider {
        Provider {
            planner: self.clone(),
            relations: vec![Arc::new(super::bind::Relations::new(self.clone()))],
            expressions: self.state.functions.expr_planners(),
        }
    }

    /// The Arrow field of a column that the connector gives.
    pub fn raw_field(&self, column: &Column) -> Option<Field> {
        let (data_type, nullable) = column.declared()?;
        let field = Field::new(&column.name, data_type.to_arrow(&self.state.zone), nullable);
        let odd = |t: &crate::sql::SqlType| {
            use crate::sql::SqlType::{Timestamp, TimestampLtz};
            matches!(t, Timestamp(p) | TimestampLtz(p) if p % 3 != 0)
        };
        // The text of a moment has as many digits as its type.
        let asked = self.state.types_asked.load(std::sync::atomic::Ordering::Relaxed) || odd(data_type);
        Some(match asked && crate::sql::SqlType::from_arrow(field.data_type()).as_ref() != Some(data_type) {
            true => field.with_metadata([(DECLARED_KEY.to_string(), data_type.to_string())].into()),
            false => field,
        })
    }

    /// The physical and metadata columns of a table: their indices and schema.
    pub fn raw_columns(&self, table: &Table) -> (Vec<usize>, SchemaRef) {
        let (indices, fields): (Vec<_>, Vec<_>) =
            table.columns.iter().enumerate().filter_map(|(i, c)| Some((i, self.raw_field(c)?))).unzip();
        (indices, Arc::new(Schema::new(fields)))
    }

    /// Plans a scalar expression over a schema.
    pub fn expression(&self, expr: &ast::Expr, schema: &DFSchema) -> Result<Expr> {
        super::patterns::check_literals(expr)?;
        let mut expr = expr.clone();
        super::user_function::complete_calls(&mut expr, &self.state.functions)?;
        self.name_database(&mut expr);
        super::bind::read_fields(&mut expr);
        crate::function::syntax::rewrite_ast(&mut expr);
        let provider = self.provider();
        let planner = SqlToRel::new_with_options(&provider, parser_options());
        let expr = planner.sql_to_expr(expr, schema, &mut PlannerContext::new())?;
        super::resolve::coerce_expression(expr, schema, &self.state.zone)
    }

    /// A table as it stands in a query: its columns with types.
    pub fn table_ref(
        &self,
        table: &Arc<Table>,
        hints: TableHints,
        period: Option<ast::Expr>,
    ) -> Result<TableRef> {
        let mut table = table.clone();
        if !hints.options.is_empty() {
            let options = table.options.overlaid(&hints.options);
            table = Arc::new(Table { options, ..(*table).clone() });
            crate::connector::registry::validate(&table)?;
        }
        let (_, raw) = self.raw_columns(&table);
        // Computed columns may use physical and metadata columns, not each other (as in Flink).
        let raw = DFSchema::try_from_qualified_schema(TableReference::bare(table.name.as_str()), &raw)?;
        let mut fields = Vec::with_capacity(table.columns.len());
        let mut computed = Vec::new();
        for (index, column) in table.columns.iter().enumerate() {
            match &column.source {
                ColumnSource::Computed(expression) => {
                    let expr = self.expression(&expression.expr, &raw).map_err(|e| {
                        e.context(format!("computed column '{}'", column.name)).at(expression.span)
                    })?;
                    super::call::refuse_calls(&expr, "a computed column")
                        .map_err(|e| e.at(expression.span))?;
                    let (_, field) = datafusion_expr::ExprSchemable::to_field(&expr, &raw)?;
                    let metadata = field.metadata().clone();
                    let field = Field::new(&column.name, field.data_type().clone(), field.is_nullable());
                    fields.push(field.with_metadata(metadata));
                    computed.push((index, expr));
                }
                _ => fields.extend(self.raw_field(column)),
            }
        }
        Ok(TableRef { table, hints, period, schema: Arc::new(Schema::new(fields)), computed })
    }

    /// The database where names are looked for.
    pub(super) fn current_database(&self) -> &str {
        &self.home.database
    }

    /// The same, where names without a database are those of this one.
    fn within(&self, home: &Home) -> Planner {
        Self { state: self.state.clone(), home: home.clone(), remembered: self.remembered.clone() }
    }

    /// The plan of a view's query, with the view's column names.
    pub fn view(&self, view: &crate::catalog::View) -> Result<LogicalPlan> {
        if self.state.expanded.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= VIEWS {
            return Err(Error::plan(format!("the query reads more than {VIEWS} views"))
                .with_detail(format!(
                    "a view counts as often as it is read, also by other views; '{}' is one too many",
                    view.name
                ))
                .with_hint("read the view once, or write its result to a table"));
        }
        // Names in it are those of its own database.
        let plan = self.within(&view.home).bind_query(&view.query)?;
        if view.columns.is_empty() {
            return Ok(plan);
        }
        if view.columns.len() != plan.schema().fields().len() {
            return Err(Error::plan(format!(
                "view '{}' names {} columns, its query returns {}",
                view.name,
                view.columns.len(),
                plan.schema().fields().len()
            )));
        }
        let renamed: Vec<Expr> = plan
            .schema()
            .columns()
            .into_iter()
            .zip(&view.columns)
            .map(|(c, n)| Expr::Column(c).alias(n))
            .collect();
        Ok(LogicalPlanBuilder::from(plan).project(renamed)?.build()?)
    }

    /// Names of the functions, the built-in ones in upper case.
    pub fn function_names(&self) -> Vec<String> {
        let mut names = self.state.functions.names();
        names.extend(self.state.functions.user().names());
        names.extend(self.state.functions.aggregate_names());
        names.extend(crate::function::window::window_function_names());
        names.sort();
        names.dedup();
        names
    }

    /// Whether a function is built in, in any case.
    pub fn is_built_in(&self, name: &str) -> bool {
        self.state.functions.is_built_in(&name.to_ascii_uppercase())
    }

    /// Whether a watermark is one: its column a rowtime, its expression of the same type.
    pub fn check_watermark(&self, reference: &TableRef, watermark: &crate::catalog::Watermark) -> Result<()> {
        let field = reference.schema.field_with_name(&watermark.column)?;
        let precise = |t: &DataType| {
            matches!(
                t,
                DataType::Timestamp(
                    arrow::datatypes::TimeUnit::Second | arrow::datatypes::TimeUnit::Millisecond,
                    _
                )
            )
        };
        let shown =
            |t: &DataType| crate::sql::SqlType::from_arrow(t).map_or(t.to_string(), |t| t.to_string());
        if !precise(field.data_type()) {
            return Err(Error::plan(format!(
                "rowtime column '{}' is {}, it must be TIMESTAMP or TIMESTAMP_LTZ of precision 3 or less",
                watermark.column,
                shown(field.data_type())
            ))
            .with_hint("write TIMESTAMP(3), or a computed column: ts AS TO_TIMESTAMP_LTZ(epoch_millis, 3)"));
        }
        let schema = DFSchema::try_from_qualified_schema(reference.table.name.as_str(), &reference.schema)?;
        let expr =
            self.expression(&watermark.expression.expr, &schema).map_err(|e| e.context("watermark"))?;
        super::call::refuse_calls(&expr, "a watermark")?;
        let data_type = datafusion_expr::ExprSchemable::get_type(&expr, &schema)?;
        if !matches!(data_type, DataType::Timestamp(..)) {
            return Err(Error::plan(format!(
                "the watermark is {}, it must be a timestamp",
                shown(&data_type)
            )));
        }
        Ok(())
    }

    /// The columns of a view, with their types.
    pub fn view_schema(&self, view: &crate::catalog::View) -> Result<datafusion_common::DFSchemaRef> {
        Ok(self.resolve(self.view(view)?)?.schema().clone())
    }

    /// The columns of a view as Flink shows them.
    pub fn view_columns(&self, view: &crate::catalog::View) -> Result<Vec<ShownColumn>> {
        let plan = self.resolve(self.view(view)?)?;
        let types = super::typed::columns(&plan)?;
        // Which columns are event times is known behind all rewrites; a view over tables that cannot be read has none.
        let lowered = self.rewrite(plan.clone()).and_then(|plan| self.lower_one(&plan));
        let times = lowered.map(|node| node.properties.rowtimes.clone()).unwrap_or_default();
        let fields = plan.schema().fields().iter().zip(types).enumerate();
        Ok(fields
            .map(|(i, (field, typed))| ShownColumn {
                name: field.name().clone(),
                data_type: typed.kind.to_string(),
                is_nullable: typed.nullable,
                is_rowtime: times.contains(&i),
            })
            .collect())
    }

    /// What a name in FROM means.
    pub(super) fn entry(&self, parts: &[&str], span: Span) -> Result<&Entry> {
        let (home, name) = self.state.catalog.resolve_from(&self.home, parts, span)?;
        self.state.catalog.find(&home.key(name), span)
    }
}

/// A column as DESCRIBE shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownColumn {
    /// Its name.
    pub name: String,
    /// Its type, with lengths and precisions.
    pub data_type: String,
    /// Whether there may be NULL.
    pub is_nullable: bool,
    /// Whether it is an event time.
    pub is_rowtime: bool,
}

/// [`ContextProvider`] over a planner's state.
pub(super) struct Provider {
    planner: Planner,
    relations: Vec<Arc<dyn RelationPlanner>>,
    expressions: Vec<Arc<dyn ExprPlanner>>,
}

/// Types of the dialect for DataFusion.
#[derive(Debug)]
struct Types {
    zone: String,
}

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> DfResult<Option<FieldRef>> {
        let sql = crate::sql::type_parser::cast_type(sql_type)?;
        let field = Field::new("", sql.to_arrow(&self.zone), true);
        if crate::sql::SqlType::from_arrow(field.data_type()).as_ref() == Some(&sql) {
            return Ok(Some(Arc::new(field)));
        }
        let metadata = [(SQL_TYPE_KEY.to_string(), sql.to_string())].into();
        Ok(Some(Arc::new(field.with_metadata(metadata))))
    }
}

impl ContextProvider for Provider {
    fn get_table_source(&self, name: TableReference) -> DfResult<Arc<dyn TableSource>> {
        let parts: Vec<&str> = match &name {
            TableReference::Bare { table } => vec![table],
            TableReference::Partial { schema, table } => vec![schema, table],
            TableReference::Full { catalog, schema, table } => vec![catalog, schema, table],
        };
        match self.planner.entry(&parts, Span::default())? {
            Entry::Table(table) => {
                Ok(Arc::new(self.planner.table_ref(table, TableHints::default(), None)?))
            }
            Entry::View(view) => Ok(Arc::new(ViewSource { plan: self.planner.view(view)? })),
        }
    }
    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expressions
    }
    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relations
    }
    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(Types { zone: self.planner.state.zone.clone() }))
    }
    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        match self.planner.user_scalar(name) {
            Some(function) => Some(function),
            None => self.planner.state.functions.scalar(&name.to_ascii_lowercase()),
        }
    }
    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }
    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        match self.planner.user_aggregate(name) {
            Some(function) => Some(function),
            None => self.planner.state.functions.aggregate(name),
        }
    }
    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        crate::function::window::window_function(name)
    }
    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }
    fn options(&self) -> &ConfigOptions {
        &OPTIONS
    }
    fn udf_names(&self) -> Vec<String> {
        let functions = &self.planner.state.functions;
        functions.names().into_iter().chain(functions.user().names()).collect()
    }
    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn udaf_names(&self) -> Vec<String> {
        self.planner.state.functions.aggregate_names()
    }
    fn udwf_names(&self) -> Vec<String> {
        crate::function::window::window_function_names()
    }
    fn create_cte_work_table(&self, name: &str, _schema: SchemaRef) -> DfResult<Arc<dyn TableSource>> {
        plan_err!("recursive query '{name}' is not supported")
    }
}
