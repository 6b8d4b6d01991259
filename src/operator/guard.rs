//! Expressions that stop: AND and OR from left to right, COALESCE at the first value, and a filter that lets
//! pass what it cannot decide.
//!
//! DataFusion evaluates the right side of AND and OR for all rows of a batch, and one value that cannot be
//! read there fails the batch, whatever the left side says. Here the right side counts only for the rows that
//! the left side leaves undecided. That costs nothing where nothing fails: a batch is evaluated as a whole first,
//! and only when that fails (and from then on) row by row decisions are made, by selection masks.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{and_kleene, concat, is_null, or_kleene};
use arrow::datatypes::{DataType, Schema};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::expressions::{BinaryExpr, Column, IsNotNullExpr, IsNullExpr, Literal};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};

/// Name of the function around a condition that lets a row pass if it fails.
pub const MAYBE: &str = "$maybe";
/// Name of the function around a condition that keeps its place.
pub const LATE: &str = "$late";

/// How an expression stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    And,
    Or,
    Coalesce,
    /// TRUE where the operand fails.
    Maybe,
}

/// An expression whose later operands count only where the earlier ones leave something to decide.
#[derive(Debug)]
struct Guard {
    kind: Kind,
    operands: Vec<Arc<dyn PhysicalExpr>>,
    /// The same, all operands evaluated for all rows.
    whole: Arc<dyn PhysicalExpr>,
    /// A batch could not be evaluated as a whole: the next ones are not tried.
    failed: AtomicBool,
}

impl PartialEq for Guard {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.whole.eq(&other.whole)
    }
}

impl Eq for Guard {}

impl Hash for Guard {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
        self.whole.hash(state);
    }
}

/// Gives an expression these semantics, in all its parts.
pub fn guarded(expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    let guarded = expr.transform_up(|e| {
        let guard = |kind, operands: Vec<Arc<dyn PhysicalExpr>>, whole| {
            Transformed::yes(Arc::new(Guard { kind, operands, whole, failed: AtomicBool::new(false) }) as _)
        };
        if let Some(binary) = e.downcast_ref::<BinaryExpr>() {
            let kind = match binary.op() {
                Operator::And => Kind::And,
                Operator::Or => Kind::Or,
                _ => return Ok(Transformed::no(e)),
            };
            if never_fails(binary.right()) {
                return Ok(Transformed::no(e));
            }
            return Ok(guard(kind, vec![binary.left().clone(), binary.right().clone()], e.clone()));
        }
        let Some(call) = e.downcast_ref::<ScalarFunctionExpr>() else { return Ok(Transformed::no(e)) };
        Ok(match (call.fun().name(), call.args()) {
            (LATE, [inner, ..]) => Transformed::yes(inner.clone()),
            (MAYBE, [inner, ..]) => guard(Kind::Maybe, vec![inner.clone()], inner.clone()),
            ("coalesce", args) if args.len() > 1 && !args[1..].iter().all(never_fails) => {
                guard(Kind::Coalesce, args.to_vec(), e.clone())
            }
            _ => Transformed::no(e),
        })
    })?;
    Ok(guarded.data)
}

/// Whether an operator compares, which always gives a value.
pub fn is_comparison(op: &Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// What is plain to see: columns, constants and their comparisons.
fn never_fails(expr: &Arc<dyn PhysicalExpr>) -> bool {
    if expr.is::<Column>() || expr.is::<Literal>() {
        return true;
    }
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        let simple = is_comparison(binary.op()) || binary.op().is_logic_operator();
        return simple && never_fails(binary.left()) && never_fails(binary.right());
    }
    (expr.is::<IsNullExpr>() || expr.is::<IsNotNullExpr>()) && expr.children().into_iter().all(never_fails)
}

fn booleans(value: ColumnarValue, rows: usize) -> Result<BooleanArray> {
    let array = value.into_array(rows)?;
    match array.as_boolean_opt() {
        Some(booleans) => Ok(booleans.clone()),
        None if *array.data_type() == DataType::Null => Ok(BooleanArray::new_null(rows)),
        None => internal_err!("an operand of AND or OR is not BOOLEAN"),
    }
}

/// The rows whose value is not `decided`.
fn undecided(values: &BooleanArray, decided: bool) -> BooleanArray {
    let other = if decided { !values.values() } else { values.values().clone() };
    match values.nulls() {
        Some(nulls) => BooleanArray::new(&other | &!nulls.inner(), None),
        None => BooleanArray::new(other, None),
    }
}

impl Guard {
    fn lazily(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        match self.kind {
            Kind::And | Kind::Or => {
                let decided = self.kind == Kind::Or;
                let left = booleans(self.operands[0].evaluate(batch)?, rows)?;
                let rest = undecided(&left, decided);
                if rest.true_count() == 0 {
                    return Ok(ColumnarValue::Array(Arc::new(left)));
                }
                let right = booleans(self.operands[1].evaluate_selection(batch, &rest)?, rows)?;
                let both = if decided { or_kleene(&left, &right) } else { and_kleene(&left, &right) };
                Ok(ColumnarValue::Array(Arc::new(both?)))
            }
            Kind::Coalesce => {
                let mut result = self.operands[0].evaluate(batch)?.into_array(rows)?;
                for operand in &self.operands[1..] {
                    let missing = is_null(&result)?;
                    if missing.true_count() == 0 {
                        break;
                    }
                    let more = operand.evaluate_selection(batch, &missing)?.into_array(rows)?;
                    result = zip(&missing, &more, &result)?;
                }
                Ok(ColumnarValue::Array(result))
            }
            Kind::Maybe => Ok(ColumnarValue::Array(self.maybe(batch)?)),
        }
    }

    /// Halves the batch until the rows that fail are alone.
    fn maybe(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        match self.whole.evaluate(batch) {
            Ok(value) => value.into_array(rows),
            Err(_) if rows < 2 => Ok(Arc::new(BooleanArray::from(vec![true; rows]))),
            Err(_) => {
                let half = rows / 2;
                let (low, high) = (batch.slice(0, half), batch.slice(half, rows - half));
                let (low, high) = (self.maybe(&low)?, self.maybe(&high)?);
                Ok(concat(&[low.as_ref(), high.as_ref()])?)
            }
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole.fmt(f)
    }
}

impl PhysicalExpr for Guard {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.whole.data_type(schema)
    }
    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.whole.nullable(schema)
    }
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if !self.failed.load(Ordering::Relaxed) {
            if let Ok(value) = self.whole.evaluate(batch) {
                return Ok(value);
            }
            self.failed.store(true, Ordering::Relaxed);
        }
        if batch.num_rows() == 0 {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_new_null(
                &self.data_type(batch.schema_ref())?,
            )?));
        }
        self.lazily(batch)
    }
    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.operands.iter().collect()
    }
    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let whole = match self.kind {
            Kind::Maybe => match children.as_slice() {
                [only] => only.clone(),
                _ => return internal_err!("a condition has one operand"),
            },
            _ => self.whole.clone().with_new_children(children.clone())?,
        };
        let failed = AtomicBool::new(self.failed.load(Ordering::Relaxed));
        Ok(Arc::new(Self { kind: self.kind, operands: children, whole, failed }))
    }
    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole.fmt_sql(f)
    }
}
