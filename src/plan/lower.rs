//! Logical plan → branches of our own operators.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::tree_node::TreeNode;
use datafusion_common::{DFSchema, DFSchemaRef, JoinType};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::logical_plan::{FetchType, SkipType, TableScan};
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, Extension, LogicalPlan};
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};

use super::graph::{Branch, Step};
use super::node::{UnnestNode, WatermarkNode};
use super::provider::{Planner, RawTable};
use crate::connector::{Read, Reader, ReaderContext, ScanRequest, Source};
use crate::error::{Error, Result};
use crate::operator::calc::Calc;
use crate::operator::limit::{Budget, Limit};
use crate::operator::unnest::{Unnest, UnnestSpec};
use crate::operator::watermark::WatermarkAssigner;

/// Rows in a batch of a source, at most.
const BATCH_ROWS: usize = 8192;

/// An expression over batches with the columns of `schema`.
pub(super) fn physical(expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    let subquery = expr.exists(|e| {
        Ok(matches!(
            e,
            Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_)
        ))
    })?;
    if subquery {
        return Err(Error::unsupported(
            "subqueries in expressions (IN, EXISTS, scalar) are not supported yet",
        ));
    }
    Ok(create_physical_expr(expr, schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())?)
}

/// The schema of batches that expressions compute: names of the logical plan, types of the expressions.
/// Everything is nullable: that a column is never NULL is checked where rows come in.
pub(super) fn computed_schema(
    exprs: &[Arc<dyn PhysicalExpr>],
    names: &DFSchema,
    input: &SchemaRef,
) -> Result<SchemaRef> {
    let fields = exprs
        .iter()
        .zip(names.fields())
        .map(|(e, f)| Ok(Field::new(f.name(), e.data_type(input)?, true)))
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// Expressions as EXPLAIN shows them.
fn list(exprs: &[Expr]) -> String {
    let shown = exprs.iter().map(|e| match e {
        Expr::Alias(alias) => format!("{} AS {}", alias.expr.human_display(), alias.name),
        other => other.human_display().to_string(),
    });
    shown.collect::<Vec<_>>().join(", ")
}

impl Planner {
    /// Turns a rewritten logical plan into branches.
    pub fn lower(&self, plan: &LogicalPlan) -> Result<Vec<Branch>> {
        match plan {
            LogicalPlan::TableScan(scan) => Ok(vec![self.lower_scan(scan)?]),
            LogicalPlan::SubqueryAlias(alias) => {
                let branches = self.lower(&alias.input)?.into_iter();
                Ok(branches.map(|b| Branch { schema: alias.schema.clone(), ..b }).collect())
            }
            LogicalPlan::Projection(projection) => {
                let (condition, input) = match projection.input.as_ref() {
                    LogicalPlan::Filter(filter) => (Some(&filter.predicate), filter.input.as_ref()),
                    other => (None, other),
                };
                let branches = self.lower(input)?.into_iter();
                branches.map(|b| calc(b, condition, Some((&projection.expr, &projection.schema)))).collect()
            }
            LogicalPlan::Filter(filter) => {
                let branches = self.lower(&filter.input)?.into_iter();
                branches.map(|b| calc(b, Some(&filter.predicate), None)).collect()
            }
            LogicalPlan::Union(union) => {
                let mut branches = Vec::new();
                for input in &union.inputs {
                    for branch in self.lower(input)? {
                        branches.push(align(branch, &union.schema)?);
                    }
                }
                // Branches end in one sink: their batches must agree to the letter.
                Ok(branches)
            }
            LogicalPlan::Limit(limit) => {
                let (FetchType::Literal(fetch), SkipType::Literal(skip)) =
                    (limit.get_fetch_type()?, limit.get_skip_type()?)
                else {
                    return Err(Error::unsupported("LIMIT and OFFSET take whole numbers"));
                };
                let fetch = fetch.map_or(u64::MAX, |n| n as u64);
                let budget = Budget::new(skip as u64, fetch);
                let step = Step {
                    name: "Limit",
                    detail: if skip == 0 {
                        format!("fetch={fetch}")
                    } else {
                        format!("fetch={fetch}, skip={skip}")
                    },
                    build: Arc::new(move || Ok(Box::new(Limit::new(budget.clone())))),
                };
                let branches = self.lower(&limit.input)?.into_iter();
                Ok(branches
                    .map(|b| {
                        let (schema, arrow) = (b.schema.clone(), b.arrow.clone());
                        b.then(step.clone(), schema, arrow)
                    })
                    .collect())
            }
            LogicalPlan::Join(join) => self.lower_lookup_join(join),
            LogicalPlan::Extension(Extension { node }) => {
                if let Some(node) = node.as_any().downcast_ref::<WatermarkNode>() {
                    let branches = self.lower(&node.input)?.into_iter();
                    return branches.map(|b| watermark(b, &node.expression)).collect();
                }
                if let Some(node) = node.as_any().downcast_ref::<UnnestNode>() {
                    let branches = self.lower(&node.input)?.into_iter();
                    return branches.map(|b| unnest(b, node)).collect();
                }
                Err(Error::internal(format!("no operator for {}", node.name())))
            }
            LogicalPlan::EmptyRelation(empty) => {
                let rows = usize::from(empty.produce_one_row);
                let arrow: SchemaRef = Arc::new(empty.schema.as_arrow().clone());
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let columns =
                    arrow.fields().iter().map(|f| arrow::array::new_null_array(f.data_type(), rows));
                let batch = RecordBatch::try_new_with_options(arrow.clone(), columns.collect(), &options)?;
                Ok(vec![values(vec![batch], empty.schema.clone(), arrow)])
            }
            LogicalPlan::Values(rows) => {
                let none = DFSchema::empty();
                let one = RecordBatch::try_new_with_options(
                    Arc::new(Schema::empty()),
                    vec![],
                    &RecordBatchOptions::new().with_row_count(Some(1)),
                )?;
                let arrow = nullable(rows.schema.as_arrow());
                let mut batches = Vec::with_capacity(rows.values.len());
                for row in &rows.values {
                    let columns = row
                        .iter()
                        .map(|e| Ok(physical(e, &none)?.evaluate(&one)?.into_array(1)?))
                        .collect::<Result<_>>()?;
                    batches.push(RecordBatch::try_new(arrow.clone(), columns)?);
                }
                let batch = arrow::compute::concat_batches(&arrow, &batches)?;
                Ok(vec![values(vec![batch], rows.schema.clone(), arrow)])
            }
            other => Err(refuse(other)),
        }
    }

    fn lower_scan(&self, scan: &TableScan) -> Result<Branch> {
        let Some(raw) = scan.source.downcast_ref::<RawTable>() else {
            return Err(Error::internal(format!("table '{}' was not resolved", scan.table_name)));
        };
        let table = &raw.reference.table;
        let connector = crate::connector::connector(table.options.required("connector")?)?;
        let columns: Vec<usize> = match &scan.projection {
            Some(projection) => projection.iter().map(|&i| raw.columns[i]).collect(),
            None => raw.columns.clone(),
        };
        let schema: SchemaRef = match &scan.projection {
            Some(projection) => Arc::new(raw.schema.project(projection)?),
            None => raw.schema.clone(),
        };
        let request = ScanRequest {
            table: table.clone(),
            projection: columns,
            schema: schema.clone(),
            batch_rows: BATCH_ROWS,
        };
        let source = connector.source(&request).map_err(|e| e.at(raw.reference.hints.span))?;
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let detail = source.describe();
        let detail = format!(
            "{} ({}{}{}) [{}]",
            table.name,
            connector.name(),
            if detail.is_empty() { "" } else { ": " },
            detail,
            names.join(", ")
        );
        Ok(Branch {
            source,
            source_detail: detail,
            steps: Vec::new(),
            schema: scan.projected_schema.clone(),
            arrow: schema,
            lookups: Vec::new(),
        })
    }
}

/// The same schema with every field nullable.
fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Appends filter and projection.
pub(super) fn calc(
    branch: Branch,
    condition: Option<&Expr>,
    projection: Option<(&Vec<Expr>, &DFSchemaRef)>,
) -> Result<Branch> {
    let condition_expr = condition.map(|c| physical(c, &branch.schema)).transpose()?;
    let mut detail = Vec::new();
    let (projection, schema, arrow) = match projection {
        None => (None, branch.schema.clone(), branch.arrow.clone()),
        Some((exprs, schema)) => {
            let compiled = exprs.iter().map(|e| physical(e, &branch.schema)).collect::<Result<Vec<_>>>()?;
            let arrow = computed_schema(&compiled, schema, &branch.arrow)?;
            detail.push(format!("select=[{}]", list(exprs)));
            (Some((compiled, arrow.clone())), schema.clone(), arrow)
        }
    };
    if let Some(condition) = condition {
        detail.push(format!("where=[{}]", condition.human_display()));
    }
    let operator = Calc::new(condition_expr, projection);
    let step = Step {
        name: "Calc",
        detail: detail.join(", "),
        build: Arc::new(move || Ok(Box::new(operator.clone()))),
    };
    Ok(branch.then(step, schema, arrow))
}

/// Casts the columns of a branch to the types of a schema where they differ.
fn align(branch: Branch, schema: &DFSchemaRef) -> Result<Branch> {
    let wanted = schema.as_arrow();
    let same = branch.arrow.fields().iter().zip(wanted.fields()).all(|(a, b)| a.data_type() == b.data_type());
    if same {
        return Ok(Branch { schema: schema.clone(), arrow: nullable(wanted), ..branch });
    }
    let exprs: Vec<Expr> = branch
        .schema
        .columns()
        .into_iter()
        .zip(wanted.fields())
        .map(|(column, field)| {
            let to = field.data_type().clone();
            Expr::Cast(datafusion_expr::Cast::new(Box::new(Expr::Column(column)), to)).alias(field.name())
        })
        .collect();
    calc(branch, None, Some((&exprs, schema)))
}

fn watermark(branch: Branch, expression: &Expr) -> Result<Branch> {
    let compiled = physical(expression, &branch.schema)?;
    let step = Step {
        name: "WatermarkAssigner",
        detail: expression.human_display().to_string(),
        build: Arc::new(move || Ok(Box::new(WatermarkAssigner::new(compiled.clone())))),
    };
    let (schema, arrow) = (branch.schema.clone(), branch.arrow.clone());
    Ok(branch.then(step, schema, arrow))
}

fn unnest(branch: Branch, node: &UnnestNode) -> Result<Branch> {
    let collection = physical(&node.collection, &branch.schema)?;
    let fields = branch.arrow.fields().iter().map(|f| f.as_ref().clone());
    let elements = node.elements.iter().map(|(_, f)| f.as_ref().clone().with_nullable(true));
    let arrow: SchemaRef = Arc::new(Schema::new(fields.chain(elements).collect::<Vec<_>>()));
    let spec =
        UnnestSpec { collection, outer: node.outer, ordinality: node.ordinality, schema: arrow.clone() };
    let step = Step {
        name: "Unnest",
        detail: format!("{}{}", if node.outer { "left, " } else { "" }, node.collection.human_display()),
        build: Arc::new(move || Ok(Box::new(Unnest::new(spec.clone())))),
    };
    Ok(branch.then(step, node.schema.clone(), arrow))
}

fn values(batches: Vec<RecordBatch>, schema: DFSchemaRef, arrow: SchemaRef) -> Branch {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    Branch {
        source: Arc::new(ValuesSource(batches)),
        source_detail: format!("Values ({rows} rows)"),
        steps: Vec::new(),
        schema,
        arrow,
        lookups: Vec::new(),
    }
}

/// Rows that stand in the query.
struct ValuesSource(Vec<RecordBatch>);

struct ValuesReader(std::vec::IntoIter<RecordBatch>);

impl Source for ValuesSource {
    fn bounded(&self) -> bool {
        true
    }
    fn max_parallelism(&self) -> usize {
        1
    }
    fn reader(&self, _context: ReaderContext) -> Result<Box<dyn Reader>> {
        Ok(Box::new(ValuesReader(self.0.clone().into_iter())))
    }
}

impl Reader for ValuesReader {
    fn read(&mut self) -> Result<Read> {
        Ok(self.0.by_ref().find(|b| b.num_rows() > 0).map_or(Read::End, Read::Batch))
    }
}

/// What cannot run yet, by the name a user knows it by.
fn refuse(plan: &LogicalPlan) -> Error {
    let what = match plan {
        LogicalPlan::Aggregate(_) => "GROUP BY and aggregate functions are",
        LogicalPlan::Distinct(_) => "SELECT DISTINCT and UNION without ALL are",
        LogicalPlan::Window(_) => "OVER is",
        LogicalPlan::Sort(_) => "ORDER BY is",
        LogicalPlan::Subquery(_) => "this subquery is",
        LogicalPlan::RecursiveQuery(_) => "WITH RECURSIVE is",
        LogicalPlan::Unnest(_) => "UNNEST in the SELECT list is",
        other => return Error::unsupported(format!("{} is not supported", other.display())),
    };
    Error::unsupported(format!("{what} not supported yet")).with_detail(
        "queries without state run: projections, filters, lookup joins, UNNEST, UNION ALL, LIMIT",
    )
}

/// A join that is no lookup join, by the name a user knows it by.
pub(super) fn refuse_join(join_type: JoinType) -> Error {
    let (what, hint) = match join_type {
        JoinType::LeftSemi | JoinType::RightSemi | JoinType::LeftMark | JoinType::RightMark => {
            ("IN and EXISTS with a subquery are not supported yet", "")
        }
        JoinType::LeftAnti | JoinType::RightAnti => {
            ("NOT IN and NOT EXISTS with a subquery are not supported yet", "")
        }
        _ => (
            "a join of two streams is not supported yet",
            "a lookup table ('connector' = 'http', or a file) can stand on the right of a JOIN or LEFT JOIN",
        ),
    };
    let error = Error::unsupported(what);
    if hint.is_empty() { error } else { error.with_hint(hint) }
}
