//! What a program registers in its session.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::ScalarValue;
use datafusion_expr::{Accumulator, Volatility, create_udaf};

use super::{Response, Session};
use crate::catalog::options::{OptionDef, OptionKind};
use crate::connector::values::ValuesSource;
use crate::connector::{Connector, ScanRequest, Source};
use crate::error::Result;

/// Counts from one to the table's option `last`.
struct Counting;

const OPTIONS: &[OptionDef] = &[OptionDef::new("last", OptionKind::Integer, "3", "the last number")];

impl Connector for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }
    fn doc(&self) -> &'static str {
        "numbers"
    }
    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }
    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let last = request.table.options.integer("last")?.unwrap_or(3) as i64;
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(1..=last));
        let batch = RecordBatch::try_new(request.schema.clone(), vec![numbers])?;
        Ok(Arc::new(ValuesSource::new(vec![batch])))
    }
}

#[derive(Debug, Default)]
struct Product(Option<i64>);

impl Accumulator for Product {
    fn update_batch(&mut self, values: &[ArrayRef]) -> datafusion_common::Result<()> {
        for value in values[0].as_primitive::<Int64Type>().iter().flatten() {
            self.0 = Some(self.0.unwrap_or(1) * value);
        }
        Ok(())
    }
    fn merge_batch(&mut self, states: &[ArrayRef]) -> datafusion_common::Result<()> {
        self.update_batch(states)
    }
    fn state(&mut self) -> datafusion_common::Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Int64(self.0)])
    }
    fn evaluate(&mut self) -> datafusion_common::Result<ScalarValue> {
        Ok(ScalarValue::Int64(self.0))
    }
    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

#[test]
fn a_session_has_the_connectors_and_aggregates_of_its_program() {
    let session = Session::new().unwrap();
    session.register_connector(Arc::new(Counting)).unwrap();
    let again = session.register_connector(Arc::new(Counting)).unwrap_err();
    assert_eq!(again.message(), "connector 'counting' exists already");
    session.register_aggregate(create_udaf(
        "product",
        vec![DataType::Int64],
        Arc::new(DataType::Int64),
        Volatility::Immutable,
        Arc::new(|_| Ok(Box::<Product>::default())),
        Arc::new(vec![DataType::Int64]),
    ));
    session.sql("CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'counting', 'last' = '5')").unwrap();
    let Response::Query(mut rows) = session.sql("SELECT product(n) AS p FROM numbers").unwrap() else {
        panic!()
    };
    let mut last = None;
    while let Some(chunk) = rows.next_chunk().unwrap() {
        let column = chunk.batch.column(0).as_primitive::<Int64Type>();
        last = column.iter().last().flatten();
    }
    assert_eq!(last, Some(120));
    let wrong =
        session.sql("CREATE TABLE m (n BIGINT) WITH ('connector' = 'counting', 'first' = '5')").unwrap_err();
    assert!(wrong.message().contains("'first'"), "{wrong}");
    let other = Session::new().unwrap();
    assert!(other.sql("CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'counting')").is_err());
    assert!(other.sql("SELECT product(1)").is_err());
}

#[test]
fn the_shell_completes_what_is_registered() {
    let session = Session::new().unwrap();
    session.register_connector(Arc::new(Counting)).unwrap();
    session.add_function(crate::function::user::native::scalar("quadruple", |n: i64| n * 4)).unwrap();
    let complete = |text: &str| crate::shell::completion::complete(text, &session).1;
    assert_eq!(complete("CREATE TABLE t (n BIGINT) WITH ('connector' = 'cou"), ["counting"]);
    assert_eq!(complete("CREATE TABLE t (n BIGINT) WITH ('connector' = 'counting', 'las"), ["last"]);
    assert_eq!(complete("SELECT quadr"), ["quadruple"]);
}

#[test]
fn a_call_with_constants_that_fails_is_made_once() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let session = Session::new().unwrap();
    let failing = |n: i64| -> std::result::Result<i64, String> {
        CALLS.fetch_add(1, Ordering::Relaxed);
        Err(format!("no {n}"))
    };
    session.add_function(crate::function::user::native::scalar("failing", failing)).unwrap();
    let failed = match session.sql("SELECT failing(1)") {
        Ok(Response::Query(mut rows)) => rows.next_chunk().is_err(),
        other => other.is_err(),
    };
    assert!(failed);
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
}
