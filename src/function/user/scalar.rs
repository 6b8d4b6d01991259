//! A user function as DataFusion's expressions call it: columns of arguments in, a column of results out.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array, new_null_array,
};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::{Result as DfResult, ScalarValue};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_physical_expr::PhysicalExpr;
use parking_lot::Mutex;

use super::{Implementation, UserFunction, coercion};
use crate::error::{Error, Result};

/// What computes a call.
#[derive(Debug, Clone)]
pub enum Body {
    /// An expression over the parameters, in order.
    Expression(Arc<dyn PhysicalExpr>),
    /// The function's own implementation.
    Own,
    /// Nothing here: an operator waits for its answers.
    Call,
    /// It cannot be computed, and why: shown where it is called.
    Broken(Error),
}

/// A user function in a session.
#[derive(Debug)]
pub struct UserScalar {
    function: Arc<UserFunction>,
    body: Body,
    zone: String,
    signature: Signature,
    /// The last call with constants that failed. The optimizer evaluates constants several times over.
    failed: Mutex<Option<FailedConstant>>,
}

#[derive(Debug)]
struct FailedConstant {
    arguments: Vec<ScalarValue>,
    error: Error,
    at: Instant,
}

/// A failure with constants holds so long after it was last asked for: within one planning, not for the next statement.
const SAME_PLANNING: Duration = Duration::from_millis(500);

impl UserScalar {
    /// For DataFusion. `volatile`: the body says that equal arguments may give different results.
    pub fn udf(function: Arc<UserFunction>, body: Body, volatile: bool, zone: &str) -> Arc<ScalarUDF> {
        // A call stays where it is until it is taken out of its expression, whatever it gives.
        let volatile = matches!(body, Body::Call)
            || function.deterministic.map_or(volatile, |deterministic| !deterministic);
        let volatility = if volatile { Volatility::Volatile } else { Volatility::Immutable };
        Arc::new(ScalarUDF::from(Self {
            function,
            body,
            zone: zone.to_string(),
            signature: Signature::user_defined(volatility),
            failed: Mutex::new(None),
        }))
    }

    /// The function that is called.
    pub fn function(&self) -> &Arc<UserFunction> {
        &self.function
    }

    fn result(&self) -> DataType {
        self.function.returns.computed().to_arrow(&self.zone)
    }

    /// A call with constants.
    fn call_constant(&self, args: &[ArrayRef]) -> Result<ArrayRef> {
        let arguments = args.iter().map(|a| ScalarValue::try_from_array(a, 0));
        let arguments = arguments.collect::<DfResult<Vec<_>>>()?;
        if let Some(known) = self.failed.lock().as_mut()
            && known.arguments == arguments
            && known.at.elapsed() < SAME_PLANNING
        {
            known.at = Instant::now();
            return Err(known.error.clone());
        }
        let result = self.call(args, 1);
        *self.failed.lock() = result.as_ref().err().map(|error| {
            let (error, at) = (error.clone(), Instant::now());
            FailedConstant { arguments, error, at }
        });
        result
    }

    fn call(&self, args: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        if !self.function.strict {
            return self.compute(args, rows);
        }
        // Rows with a NULL argument are not called.
        let called: BooleanArray = (0..rows).map(|row| Some(args.iter().all(|a| a.is_valid(row)))).collect();
        if called.true_count() == rows {
            return self.compute(args, rows);
        }
        let some = args.iter().map(|a| arrow::compute::filter(a, &called)).collect::<Result<Vec<_>, _>>()?;
        let results = self.compute(&some, called.true_count())?;
        let mut next = 0;
        let places: UInt64Array = called
            .values()
            .iter()
            .map(|called| {
                next += u64::from(called);
                called.then(|| next - 1)
            })
            .collect();
        Ok(arrow::compute::take(&results, &places, None)?)
    }

    fn compute(&self, args: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        if rows == 0 {
            return Ok(new_null_array(&self.result(), 0));
        }
        match (&self.body, &self.function.implementation) {
            (Body::Expression(expression), _) => {
                let names = self.function.parameters.iter().map(|p| p.name.as_str());
                let fields = names.zip(args).map(|(n, a)| Field::new(n, a.data_type().clone(), true));
                let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let batch = RecordBatch::try_new_with_options(schema, args.to_vec(), &options)?;
                Ok(expression.evaluate(&batch)?.into_array(rows)?)
            }
            (Body::Own, Implementation::JavaScript(library)) => {
                super::javascript::call(library, &self.function, args, rows, &self.result())
            }
            (Body::Own, Implementation::Sql(_) | Implementation::SqlQuery(_) | Implementation::Model) => {
                Err(Error::internal("a function in SQL was not planned"))
            }
            (Body::Own, Implementation::Inline(code)) => {
                let (values, failures) = code.call(args, rows)?;
                for (row, why) in failures {
                    let error = super::failed(&self.function, &why, args, row);
                    match self.function.on_error {
                        super::OnError::Fail => return Err(error),
                        super::OnError::Null => self.function.count_failure(&error),
                    }
                }
                let wanted = self.result();
                Ok(if *values.data_type() == wanted {
                    values
                } else {
                    arrow::compute::cast(&values, &wanted)?
                })
            }
            (Body::Own, Implementation::RustAggregate(_)) => {
                Err(Error::internal("an aggregate function of the program as a scalar"))
            }
            (Body::Own, Implementation::Call(_)) | (Body::Call, _) => {
                let name = &self.function.name;
                Err(Error::unsupported(format!(
                    "function '{name}' waits for its answers and cannot be called here"
                ))
                .with_hint(
                    "call it in a query: SELECT, WHERE, HAVING, the keys of joins, arguments, LATERAL TABLE",
                ))
            }
            (Body::Broken(error), _) => Err(error.clone()),
        }
    }
}

impl PartialEq for UserScalar {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.function, &other.function) && self.zone == other.zone
    }
}
impl Eq for UserScalar {}
impl Hash for UserScalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl fmt::Display for UserScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function.signature())
    }
}

impl ScalarUDFImpl for UserScalar {
    fn name(&self) -> &str {
        &self.function.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        if let Body::Broken(error) = &self.body {
            return Err(error.clone().into());
        }
        Ok(coercion::coerced(&self.function, types, &self.zone)?)
    }
    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(self.result())
    }
    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        Ok(Arc::new(Field::new(&self.function.name, self.result(), true)))
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let constant = self.signature.volatility == Volatility::Immutable
            && args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.into_iter().zip(&self.function.parameters).map(|(value, parameter)| {
            let array = value.into_array(rows)?;
            let wanted = parameter.data_type.to_arrow(&self.zone);
            match *array.data_type() == wanted {
                true => Ok(array),
                false => Ok(arrow::compute::cast(&array, &wanted)?),
            }
        });
        let arrays = arrays.collect::<DfResult<Vec<_>>>()?;
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&self.call_constant(&arrays)?, 0)?)),
            false => Ok(ColumnarValue::Array(self.call(&arrays, rows)?)),
        }
    }
}

/// The function that a DataFusion function is, if it is a user's whose calls wait for their answers.
pub fn waiting_function(udf: &ScalarUDF) -> Option<&Arc<UserFunction>> {
    let inner: &dyn Any = udf.inner().as_ref() as &dyn Any;
    let scalar = inner.downcast_ref::<UserScalar>()?;
    matches!(scalar.body, Body::Call).then_some(&scalar.function)
}

/// The function that a DataFusion function is, if it is a user's.
pub fn user_function(udf: &ScalarUDF) -> Option<&Arc<UserFunction>> {
    let inner: &dyn Any = udf.inner().as_ref() as &dyn Any;
    inner.downcast_ref::<UserScalar>().map(UserScalar::function)
}
