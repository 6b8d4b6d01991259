//! Moments as nanoseconds for a comparison: what is beyond the years 1677 to 2262 is the end that is nearest, so that it
//! compares as it should instead of failing.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use datafusion_common::ScalarValue;
use datafusion_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::{Error, Result};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Saturated {
    target: DataType,
    signature: Signature,
}

/// `expr`, a DATE or TIMESTAMP, as TIMESTAMP(9) of type `target`.
pub(super) fn saturated(expr: Expr, target: &DataType) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    ScalarUDF::from(Saturated { target: target.clone(), signature }).call(vec![expr])
}

fn convert(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let array = match array.data_type() {
        DataType::Date32 | DataType::Date64 => {
            arrow::compute::cast(array, &DataType::Timestamp(TimeUnit::Second, None))?
        }
        _ => Arc::clone(array),
    };
    macro_rules! times {
        ($t:ty, $factor:expr) => {
            array.as_primitive::<$t>().unary::<_, TimestampNanosecondType>(|v| v.saturating_mul($factor))
        };
    }
    let nanos = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => times!(TimestampSecondType, 1_000_000_000),
        DataType::Timestamp(TimeUnit::Millisecond, _) => times!(TimestampMillisecondType, 1_000_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => times!(TimestampMicrosecondType, 1_000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            array.as_primitive::<TimestampNanosecondType>().clone()
        }
        other => return Err(Error::internal(format!("{other} as nanoseconds"))),
    };
    Ok(Arc::new(nanos.with_data_type(target.clone())))
}

impl ScalarUDFImpl for Saturated {
    fn name(&self) -> &str {
        "$nanoseconds"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> datafusion_common::Result<DataType> {
        Ok(self.target.clone())
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion_common::Result<ColumnarValue> {
        Ok(match args.args.first() {
            Some(ColumnarValue::Array(a)) => ColumnarValue::Array(convert(a, &self.target)?),
            Some(ColumnarValue::Scalar(s)) => {
                let array = convert(&s.to_array()?, &self.target)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
            }
            None => return Err(Error::internal("a moment is missing").into()),
        })
    }
}
