//! The continuous plan: what tasks run.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::DFSchemaRef;

use crate::connector::Source;
use crate::flow::task::BuildOperator;
use crate::lookup::LookupMetrics;

/// One operator of the plan.
#[derive(Clone)]
pub struct Step {
    /// Name as in [`crate::flow::Operator::name`].
    pub name: &'static str,
    /// What EXPLAIN prints behind it; secrets redacted.
    pub detail: String,
    /// Makes the operator for one task.
    pub build: BuildOperator,
}

/// A source and the steps behind it, up to the sink. UNION ALL gives several branches that end in the
/// same sink; each runs as tasks of its own.
#[derive(Clone)]
pub struct Branch {
    /// Where rows come from.
    pub source: Arc<dyn Source>,
    /// What EXPLAIN prints for the source.
    pub source_detail: String,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// The columns behind the last step, as the logical plan names them.
    pub schema: DFSchemaRef,
    /// The columns behind the last step as batches have them.
    pub arrow: SchemaRef,
    /// The lookups in the steps: name in the query, counters.
    pub lookups: Vec<(String, Arc<LookupMetrics>)>,
}

impl Branch {
    /// Appends a step that gives these columns.
    pub fn then(mut self, step: Step, schema: DFSchemaRef, arrow: SchemaRef) -> Self {
        self.steps.push(step);
        self.schema = schema;
        self.arrow = arrow;
        self
    }
}
