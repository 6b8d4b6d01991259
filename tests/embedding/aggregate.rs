// An aggregate function of a program.

use std::sync::Arc;

use affluent::arrow::array::{ArrayRef, AsArray};
use affluent::arrow::datatypes::{DataType, Int64Type};
use affluent::datafusion_common::{Result as DataFusionResult, ScalarValue};
use affluent::datafusion_expr::{Accumulator, Volatility, create_udaf};
use affluent::{Error, Session};

/// The product of all values that are not NULL.
#[derive(Debug, Default)]
struct Product(Option<i64>);

impl Accumulator for Product {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        for value in values[0].as_primitive::<Int64Type>().iter().flatten() {
            self.0 = Some(self.0.unwrap_or(1) * value);
        }
        Ok(())
    }
    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        self.update_batch(states)
    }
    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Int64(self.0)])
    }
    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        Ok(ScalarValue::Int64(self.0))
    }
    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

pub fn main() -> Result<(), Error> {
    let session = Session::new()?;
    session.register_aggregate(create_udaf(
        "product",
        vec![DataType::Int64],
        Arc::new(DataType::Int64),
        Volatility::Immutable,
        Arc::new(|_| Ok(Box::<Product>::default())),
        Arc::new(vec![DataType::Int64]),
    ));
    let query = "SELECT product(n) FROM (VALUES (CAST(2 AS BIGINT)), (3), (7)) AS t (n)";
    let rows = session.query(query)?.collect()?;
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &[42]);
    Ok(())
}
