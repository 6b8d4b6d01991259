//! Logical nodes that DataFusion does not have.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion_common::{DFSchema, DFSchemaRef, Result, TableReference, internal_err};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNodeCore};

use arrow::datatypes::{DataType, FieldRef};

/// `WATERMARK FOR column AS expression` above a source.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WatermarkNode {
    /// The source.
    pub input: LogicalPlan,
    /// The time attribute, a column of the input.
    pub column: Expr,
    /// The watermark of a row.
    pub expression: Expr,
    /// After how long without rows a task of the source holds the watermark of the others back no more.
    pub idle_timeout: Option<std::time::Duration>,
    /// The watermark is told behind each row.
    pub each_row: bool,
}

impl PartialOrd for WatermarkNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

/// The single input and expression of a node, after a rewrite.
fn only<T>(mut items: Vec<T>) -> Result<T> {
    match (items.pop(), items.is_empty()) {
        (Some(item), true) => Ok(item),
        _ => internal_err!("a node with one input or expression was given another number"),
    }
}

impl UserDefinedLogicalNodeCore for WatermarkNode {
    fn name(&self) -> &str {
        "Watermark"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }
    fn expressions(&self) -> Vec<Expr> {
        vec![self.column.clone(), self.expression.clone()]
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watermark: {}", self.expression)
    }
    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        if exprs.len() != 2 {
            return internal_err!("a watermark has a column and an expression");
        }
        let column = exprs.remove(0);
        Ok(Self { input: only(inputs)?, column, expression: only(exprs)?, ..self.clone() })
    }
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}

/// Types of the columns that an element of a collection gives: the fields of a ROW, key and value of a MAP,
/// else the element itself. Empty for what is no collection.
pub fn element_types(collection: &DataType) -> Vec<DataType> {
    let fields_of = |t: &DataType| match t {
        DataType::Struct(fields) => fields.iter().map(|f| f.data_type().clone()).collect(),
        other => vec![other.clone()],
    };
    match collection {
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) | DataType::Map(f, _) => {
            fields_of(f.data_type())
        }
        _ => Vec::new(),
    }
}

/// Each row joined with the elements of a collection of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnnestNode {
    /// The rows.
    pub input: LogicalPlan,
    /// The collection, over the input.
    pub collection: Expr,
    /// LEFT JOIN.
    pub outer: bool,
    /// WITH ORDINALITY.
    pub ordinality: bool,
    /// LEFT JOIN ... ON: which elements a row is joined with, over all columns; as written.
    pub condition: Option<Expr>,
    /// Columns of an element (and the ordinality) as the query names them.
    pub elements: Vec<(Option<TableReference>, FieldRef)>,
    /// Input columns that nobody reads after it: they are NULL.
    pub unread: Vec<usize>,
    /// Input columns, then the elements'.
    pub schema: DFSchemaRef,
}

impl UnnestNode {
    /// A node whose schema follows from its input.
    pub fn try_new(
        input: LogicalPlan,
        collection: Expr,
        outer: bool,
        ordinality: bool,
        elements: Vec<(Option<TableReference>, FieldRef)>,
    ) -> Result<Self> {
        let types = element_types(&collection.get_type(input.schema())?);
        let last = elements.len();
        let elements: Vec<_> = elements
            .into_iter()
            .enumerate()
            .map(|(i, (qualifier, field))| match types.get(i) {
                // The ordinality, if there is one, stands behind the element's columns.
                Some(t) if !(ordinality && i + 1 == last) => {
                    (qualifier, Arc::new(field.as_ref().clone().with_data_type(t.clone())))
                }
                _ => (qualifier, field),
            })
            .collect();
        let fields = input.schema().iter().map(|(q, f)| (q.cloned(), f.clone()));
        let schema = DFSchema::new_with_metadata(
            fields.chain(elements.iter().cloned()).collect(),
            Default::default(),
        )?;
        let schema = Arc::new(schema);
        let (condition, unread) = (None, Vec::new());
        Ok(Self { input, collection, outer, ordinality, condition, elements, unread, schema })
    }
}

impl PartialOrd for UnnestNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for UnnestNode {
    fn name(&self) -> &str {
        "UnnestJoin"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        // Rewrites know the input's columns alone: the condition is on the elements, too.
        vec![self.collection.clone()]
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.outer { "LEFT" } else { "CROSS" };
        write!(f, "UnnestJoin: {kind} {}", self.collection)
    }
    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (input, collection) = (only(inputs)?, only(exprs)?);
        // Positions hold for the same columns only.
        let unread = if input.schema() == self.input.schema() { self.unread.clone() } else { Vec::new() };
        let node = Self::try_new(input, collection, self.outer, self.ordinality, self.elements.clone())?;
        Ok(Self { condition: self.condition.clone(), unread, ..node })
    }
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let inputs = self.input.schema().fields().len();
        let mut needed: Vec<usize> = output_columns.iter().copied().filter(|&i| i < inputs).collect();
        let columns = self.condition.iter().flat_map(Expr::column_refs);
        needed.extend(columns.filter_map(|c| self.schema.maybe_index_of_column(c)).filter(|&i| i < inputs));
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

/// UNNEST as it stands in FROM, before the join that it belongs to is known. Its collection refers to
/// the left side of that join as outer columns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ElementsNode {
    /// The collection.
    pub collection: Expr,
    /// WITH ORDINALITY.
    pub ordinality: bool,
    /// Columns of an element (and the ordinality).
    pub schema: DFSchemaRef,
}

impl PartialOrd for ElementsNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.collection.partial_cmp(&other.collection)
    }
}

impl UserDefinedLogicalNodeCore for ElementsNode {
    fn name(&self) -> &str {
        "Elements"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        vec![self.collection.clone()]
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Elements: {}", self.collection)
    }
    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, _inputs: Vec<LogicalPlan>) -> Result<Self> {
        Ok(Self { collection: only(exprs)?, ..self.clone() })
    }
}

/// A window table function: its input's columns, then `window_start`, `window_end` (TIMESTAMP(3)) and
/// `window_time` (the time attribute's type). Rows of HOP and CUMULATE come once for each window.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WindowTableNode {
    /// The rows.
    pub input: LogicalPlan,
    /// The time attribute, a column of the input.
    pub time: Expr,
    /// Which windows.
    pub spec: crate::operator::window::WindowSpec,
    /// `PARTITION BY` of a session: columns of the input.
    pub partition_by: Vec<Expr>,
    /// Input columns, then the three of the window.
    pub schema: DFSchemaRef,
}

impl WindowTableNode {
    /// A node whose schema follows from its input. The window's columns have no qualifier.
    pub fn try_new(
        input: LogicalPlan,
        time: Expr,
        spec: crate::operator::window::WindowSpec,
        partition_by: Vec<Expr>,
    ) -> Result<Self> {
        use arrow::datatypes::{Field, TimeUnit};
        let time_type = match time.get_type(input.schema())? {
            DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone),
            other => other,
        };
        let plain = DataType::Timestamp(TimeUnit::Millisecond, None);
        let window = [("window_start", plain.clone()), ("window_end", plain), ("window_time", time_type)];
        let fields = input.schema().iter().map(|(q, f)| (q.cloned(), f.clone()));
        let window = window.into_iter().map(|(name, t)| (None, Arc::new(Field::new(name, t, false))));
        let schema = DFSchema::new_with_metadata(fields.chain(window).collect(), Default::default())?;
        Ok(Self { input, time, spec, partition_by, schema: Arc::new(schema) })
    }
}

impl PartialOrd for WindowTableNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for WindowTableNode {
    fn name(&self) -> &str {
        "WindowTableFunction"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        std::iter::once(self.time.clone()).chain(self.partition_by.iter().cloned()).collect()
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowTableFunction: {:?} on {}", self.spec.kind, self.time)
    }
    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        if exprs.is_empty() {
            return internal_err!("a window without its time column");
        }
        let time = exprs.remove(0);
        Self::try_new(only(inputs)?, time, self.spec.clone(), exprs)
    }
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let inputs = self.input.schema().fields().len();
        let mut needed: Vec<usize> = output_columns.iter().copied().filter(|&i| i < inputs).collect();
        for expr in self.expressions() {
            needed.extend(
                expr.column_refs().iter().filter_map(|c| self.input.schema().maybe_index_of_column(c)),
            );
        }
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

/// `STATE_TTL('t'='1d')` on a table, view or subquery: how long the operator that keeps its rows keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StateTtlNode {
    /// The rows.
    pub input: LogicalPlan,
    /// 0: for ever.
    pub ttl: std::time::Duration,
}

impl PartialOrd for StateTtlNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for StateTtlNode {
    fn name(&self) -> &str {
        "StateTtl"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }
    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }
    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        std::collections::HashSet::new()
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateTtl: {:?}", self.ttl)
    }
    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        Ok(Self { input: only(inputs)?, ttl: self.ttl })
    }
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}

/// What a STATE_TTL hint says about an input of an operator: its own table's, view's or subquery's. That of a join
/// below belongs to the join.
pub fn state_ttl_of(plan: &LogicalPlan) -> Option<std::time::Duration> {
    match plan {
        LogicalPlan::Extension(extension) => {
            extension.node.as_any().downcast_ref::<StateTtlNode>().map(|node| node.ttl)
        }
        LogicalPlan::Projection(projection) => state_ttl_of(&projection.input),
        LogicalPlan::Filter(filter) => state_ttl_of(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => state_ttl_of(&alias.input),
        _ => None,
    }
}
