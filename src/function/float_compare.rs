//! Comparisons of FLOAT and DOUBLE as IEEE 754 and Java have them: `-0.0 = 0.0`, and nothing is true of NaN but `<>`.
//!
//! NULL is equal to nothing, inside of an ARRAY, MAP or ROW as well: `ARRAY[NULL] = ARRAY[NULL]` is FALSE.
//!
//! Arrow compares by the total order, which is right for sorting and wrong for a condition. The logical plan keeps its
//! comparisons, by which joins and filters are recognized; only what is evaluated is replaced.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, new_null_array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion_common::tree_node::Transformed;
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use crate::error::{Error, Result};
use crate::function::tree::Tree;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Compare {
    op: Operator,
    signature: Signature,
}

type Side = (ArrayRef, usize);

fn compared<T: ArrowPrimitiveType>(
    op: Operator,
    left: &Side,
    right: &Side,
    rows: usize,
) -> Option<BooleanBuffer>
where
    T::Native: PartialOrd,
{
    let (a, b) = (left.0.as_primitive::<T>().values(), right.0.as_primitive::<T>().values());
    /// One loop for each way round, so that each is vectorized.
    fn bits<N: Copy>(
        (a, x): (&[N], usize),
        (b, y): (&[N], usize),
        rows: usize,
        f: impl Fn(N, N) -> bool,
    ) -> BooleanBuffer {
        match (x, y) {
            (1, 1) => BooleanBuffer::collect_bool(rows, |i| f(a[i], b[i])),
            (1, _) => {
                let b = b[0];
                BooleanBuffer::collect_bool(rows, |i| f(a[i], b))
            }
            (_, 1) => {
                let a = a[0];
                BooleanBuffer::collect_bool(rows, |i| f(a, b[i]))
            }
            _ => BooleanBuffer::collect_bool(rows, |_| f(a[0], b[0])),
        }
    }
    let (a, b) = ((&a[..], left.1), (&b[..], right.1));
    Some(match op {
        Operator::Eq => bits(a, b, rows, |a, b| a == b),
        Operator::NotEq => bits(a, b, rows, |a, b| a != b),
        Operator::Lt => bits(a, b, rows, |a, b| a < b),
        Operator::LtEq => bits(a, b, rows, |a, b| a <= b),
        Operator::Gt => bits(a, b, rows, |a, b| a > b),
        Operator::GtEq => bits(a, b, rows, |a, b| a >= b),
        _ => return None,
    })
}

impl ScalarUDFImpl for Compare {
    fn name(&self) -> &str {
        match self.op {
            Operator::Eq => "$float_eq",
            Operator::NotEq => "$float_ne",
            Operator::Lt => "$float_lt",
            Operator::LtEq => "$float_le",
            Operator::Gt => "$float_gt",
            _ => "$float_ge",
        }
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> datafusion_common::Result<DataType> {
        Ok(DataType::Boolean)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion_common::Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return Err(Error::internal("a comparison takes two operands").into());
        };
        let constant = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let side = |v: &ColumnarValue| -> datafusion_common::Result<Side> {
            Ok(match v {
                ColumnarValue::Array(a) => (Arc::clone(a), 1),
                ColumnarValue::Scalar(s) => (s.to_array()?, 0),
            })
        };
        let array = evaluate(self.op, &side(left)?, &side(right)?, rows)?;
        Ok(match constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?),
            false => ColumnarValue::Array(array),
        })
    }
}

fn evaluate(op: Operator, left: &Side, right: &Side, rows: usize) -> Result<ArrayRef> {
    if (left.1 == 0 && left.0.is_null(0)) || (right.1 == 0 && right.0.is_null(0)) {
        return Ok(new_null_array(&DataType::Boolean, rows));
    }
    fn nulls(side: &Side) -> Option<&NullBuffer> {
        if side.1 == 1 { side.0.nulls() } else { None }
    }
    let values = match (left.0.data_type(), right.0.data_type()) {
        (DataType::Float32, DataType::Float32) => compared::<Float32Type>(op, left, right, rows),
        (DataType::Float64, DataType::Float64) => compared::<Float64Type>(op, left, right, rows),
        _ => None,
    };
    let values = values.ok_or_else(|| Error::internal("a comparison of DOUBLE got another type"))?;
    Ok(Arc::new(BooleanArray::new(values, NullBuffer::union(nulls(left), nulls(right)))))
}

/// Whether there is a NULL inside of the first of two collections or ROWs; NULL where one of them is NULL itself.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NullInside {
    signature: Signature,
}

impl ScalarUDFImpl for NullInside {
    fn name(&self) -> &str {
        "$null_inside"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> datafusion_common::Result<DataType> {
        Ok(DataType::Boolean)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion_common::Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = arrays.as_slice() else {
            return Err(Error::internal("a search for NULL takes two operands").into());
        };
        let nulls = NullBuffer::union(left.logical_nulls().as_ref(), right.logical_nulls().as_ref());
        let found: ArrayRef = Arc::new(BooleanArray::new(inside(left.as_ref()), nulls));
        Ok(match args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_))) {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?),
            false => ColumnarValue::Array(found),
        })
    }
}

/// A bit a row: whether something in it is NULL, the row itself apart.
fn inside(array: &dyn Array) -> BooleanBuffer {
    fn some(child: &dyn Array) -> BooleanBuffer {
        let deeper = inside(child);
        match child.logical_nulls() {
            Some(nulls) => &deeper | &!nulls.inner(),
            None => deeper,
        }
    }
    fn any(offsets: &[i32], child: &BooleanBuffer) -> BooleanBuffer {
        BooleanBuffer::collect_bool(offsets.len() - 1, |row| {
            (offsets[row]..offsets[row + 1]).any(|i| child.value(i as usize))
        })
    }
    let none = || BooleanBuffer::new_unset(array.len());
    match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            any(list.value_offsets(), &some(list.values().as_ref()))
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            any(map.value_offsets(), &some(map.entries()))
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().fold(none(), |all, column| &all | &some(column.as_ref()))
        }
        _ => none(),
    }
}

/// `=` or `<>` of collections or ROWs in which NULL is equal to nothing.
pub(crate) fn with_nulls(compared: BinaryExpr) -> Expr {
    let nulls = ScalarUDF::from(NullInside { signature: Signature::any(2, Volatility::Immutable) });
    let nulls = nulls.call(vec![(*compared.left).clone(), (*compared.right).clone()]);
    match compared.op {
        Operator::Eq => Expr::BinaryExpr(compared).and(!nulls),
        Operator::NotEq => Expr::BinaryExpr(compared).or(nulls),
        _ => Expr::BinaryExpr(compared),
    }
}

/// Replaces the comparisons of FLOAT and DOUBLE in an expression that is about to be evaluated.
pub(crate) fn exact_comparisons(expr: &Expr, schema: &DFSchema) -> Result<Expr> {
    let replaced = expr.clone().transform_up(|e| {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &e else { return Ok(Transformed::no(e)) };
        let compares = matches!(
            op,
            Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
        );
        if !compares {
            return Ok(Transformed::no(e));
        }
        let (l, r) = (left.get_type(schema)?, right.get_type(schema)?);
        if l != r || !matches!(l, DataType::Float32 | DataType::Float64) {
            return Ok(Transformed::no(e));
        }
        let compare = Compare { op: *op, signature: Signature::any(2, Volatility::Immutable) };
        Ok(Transformed::yes(ScalarUDF::from(compare).call(vec![(**left).clone(), (**right).clone()])))
    })?;
    Ok(replaced.data)
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;

    use super::*;

    #[test]
    fn nothing_is_true_of_nan() {
        let a: Side = (Arc::new(Float64Array::from(vec![Some(-0.0), Some(f64::NAN), None, Some(1.0)])), 1);
        let b: Side = (Arc::new(Float64Array::from(vec![0.0])), 0);
        let of = |op| {
            let array = evaluate(op, &a, &b, 4);
            array.map(|a| a.as_boolean().iter().collect::<Vec<_>>()).unwrap_or_default()
        };
        assert_eq!(of(Operator::Eq), [Some(true), Some(false), None, Some(false)]);
        assert_eq!(of(Operator::NotEq), [Some(false), Some(true), None, Some(true)]);
        assert_eq!(of(Operator::Gt), [Some(false), Some(false), None, Some(true)]);
        assert_eq!(of(Operator::GtEq), [Some(true), Some(false), None, Some(true)]);
        assert_eq!(of(Operator::Lt), [Some(false), Some(false), None, Some(false)]);
    }
}
