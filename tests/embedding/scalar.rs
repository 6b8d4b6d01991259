// A scalar function of a program: columns in, a column out.

use std::sync::Arc;

use affluent::arrow::array::{AsArray, Float64Array};
use affluent::arrow::datatypes::{DataType, Float64Type};
use affluent::datafusion_expr::{ColumnarValue, Volatility, create_udf};
use affluent::{Error, Session};

pub fn main() -> Result<(), Error> {
    let session = Session::new()?;
    session.register_function(create_udf(
        "fahrenheit",
        vec![DataType::Float64],
        DataType::Float64,
        Volatility::Immutable,
        Arc::new(|arguments: &[ColumnarValue]| {
            let celsius = ColumnarValue::values_to_arrays(arguments)?.remove(0);
            let fahrenheit: Float64Array = celsius.as_primitive::<Float64Type>().unary(|c| c * 1.8 + 32.0);
            Ok(ColumnarValue::Array(Arc::new(fahrenheit)))
        }),
    ));
    let rows = session.query("SELECT fahrenheit(c) FROM (VALUES (20.0), (100.0)) AS t (c)")?.collect()?;
    assert_eq!(rows.column(0).as_primitive::<Float64Type>().values(), &[68.0, 212.0]);
    Ok(())
}
