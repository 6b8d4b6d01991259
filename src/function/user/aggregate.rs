//! A user's aggregate function as DataFusion's: one accumulator a group, its state a JSON text.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result as DfResult, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::native;
use super::python::{self, PythonFunction};
use super::{Implementation, UserFunction, coercion, javascript};
use crate::error::{Error, Result};

/// An aggregate function of the user in a session.
#[derive(Debug)]
pub struct UserAggregate {
    function: Arc<UserFunction>,
    zone: String,
    signature: Signature,
}

impl UserAggregate {
    /// For DataFusion.
    pub fn udf(function: Arc<UserFunction>, zone: &str) -> Arc<AggregateUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(AggregateUDF::from(Self { function, zone: zone.to_string(), signature }))
    }
}

impl PartialEq for UserAggregate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.function, &other.function) && self.zone == other.zone
    }
}
impl Eq for UserAggregate {}
impl Hash for UserAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl AggregateUDFImpl for UserAggregate {
    fn name(&self) -> &str {
        &self.function.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> DfResult<Vec<DataType>> {
        Ok(coercion::coerced(&self.function, types, &self.zone)?)
    }
    fn return_type(&self, _types: &[DataType]) -> DfResult<DataType> {
        Ok(self.function.returns.computed().to_arrow(&self.zone))
    }
    fn state_fields(&self, args: StateFieldsArgs<'_>) -> DfResult<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[state]", args.name), DataType::Utf8, true))])
    }
    fn accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        if args.is_distinct {
            return Err(Error::unsupported(format!(
                "DISTINCT of the user's function '{}'",
                self.function.name
            ))
            .into());
        }
        let result = self.function.returns.computed().to_arrow(&self.zone);
        Ok(Box::new(State { function: Arc::clone(&self.function), result, state: None }))
    }
}

/// What computes.
enum Code<'a> {
    JavaScript(&'a javascript::Library),
    Python(&'a PythonFunction),
    Rust(&'a dyn native::Aggregate),
}

/// The state of a group.
#[derive(Debug)]
struct State {
    function: Arc<UserFunction>,
    result: DataType,
    /// As JSON; none before the first row.
    state: Option<String>,
}

impl State {
    fn code(&self) -> Result<Code<'_>> {
        let python = match &self.function.implementation {
            Implementation::JavaScript(library) => return Ok(Code::JavaScript(library)),
            Implementation::RustAggregate(code) => return Ok(Code::Rust(code.as_ref())),
            Implementation::Call(callable) => callable.as_any().downcast_ref(),
            _ => None,
        };
        python.map(Code::Python).ok_or_else(|| Error::internal("an aggregate function in another language"))
    }

    fn current(&self) -> Result<String> {
        match (&self.state, self.code()?) {
            (Some(state), _) => Ok(state.clone()),
            (None, Code::JavaScript(library)) => javascript::aggregate_create(library, &self.function),
            (None, Code::Rust(code)) => code.create(),
            (None, Code::Python(python)) => {
                python::aggregate::step(python, &self.function, "create", None, None, &[])
            }
        }
    }

    fn accumulated(&self, state: &str, values: &[ArrayRef]) -> Result<String> {
        match self.code()? {
            Code::JavaScript(library) => {
                javascript::aggregate_step(library, &self.function, state, values, "accumulate")
            }
            Code::Rust(code) => code.accumulate(state, values, values.first().map_or(0, |v| v.len())),
            Code::Python(python) => {
                python::aggregate::step(python, &self.function, "accumulate", Some(state), None, values)
            }
        }
    }

    fn merged(&self, state: &str, other: &str) -> Result<String> {
        match self.code()? {
            Code::JavaScript(library) => javascript::aggregate_merge(library, &self.function, state, other),
            Code::Rust(code) => code.merge(state, other),
            Code::Python(python) => {
                python::aggregate::step(python, &self.function, "merge", Some(state), Some(other), &[])
            }
        }
    }

    fn finished(&self, state: &str) -> Result<ArrayRef> {
        match self.code()? {
            Code::JavaScript(library) => {
                javascript::aggregate_finish(library, &self.function, state, &self.result)
            }
            Code::Rust(code) => code.finish(state),
            Code::Python(python) => python::aggregate::finish(python, &self.function, state, &self.result),
        }
    }

    /// The rows that count: a strict function does not see those with a NULL.
    fn seen(&self, values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let mut arrays = Vec::with_capacity(values.len());
        let all = self.function.strict.then(|| {
            let rows = values.first().map_or(0, |v| v.len());
            (0..rows).map(|row| Some(values.iter().all(|v| v.is_valid(row)))).collect()
        });
        for (value, parameter) in values.iter().zip(&self.function.parameters) {
            let value: ArrayRef = match &all {
                Some(mask) => arrow::compute::filter(value, mask)?,
                None => Arc::clone(value),
            };
            // The zone of instants is of no account to the code.
            let wanted = parameter.data_type.to_arrow("UTC");
            arrays.push(match *value.data_type() == wanted {
                true => value,
                false => arrow::compute::cast(&value, &wanted)?,
            });
        }
        Ok(arrays)
    }
}

impl Accumulator for State {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        let values = self.seen(values)?;
        let state = self.current()?;
        self.state = Some(self.accumulated(&state, &values)?);
        Ok(())
    }
    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        let state = self.current()?;
        let result = self.finished(&state)?;
        ScalarValue::try_from_array(&result, 0)
    }
    fn size(&self) -> usize {
        size_of_val(self) + self.state.as_ref().map_or(0, String::capacity)
    }
    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Utf8(self.state.clone())])
    }
    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        let Some(states) = states.first() else { return Ok(()) };
        let states = arrow::compute::cast(states, &DataType::Utf8)?;
        let states: &StringArray = states.as_string();
        for other in states.iter().flatten() {
            self.state = Some(match &self.state {
                None => other.to_string(),
                Some(state) => self.merged(state, other)?,
            });
        }
        Ok(())
    }
}
