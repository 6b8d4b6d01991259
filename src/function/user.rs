//! User functions: what CREATE FUNCTION makes.
//!
//! ```text
//! CREATE FUNCTION ──> UserFunction { signature, implementation }
//!                        │ SQL          an expression, planned anew in each statement
//!                        │ JavaScript   a library of functions, loaded once per thread
//!                        │ WebAssembly  a module, compiled once, an instance per thread
//!                        v
//!                     UserScalar (a DataFusion function): columns in, a column out
//! ```
//! The interface is columnar, the function is called row by row. An error belongs to its row: it fails the job with
//! the function, the position in its code and the arguments, or it is NULL and counted where `'lookup.on-error' = 'null'`
//! says so; it is never NULL silently. Nothing outside can be reached: a function has no files, no network, no
//! environment, and limits of time and memory.

use arrow::array::{Array as _, ArrayRef};
use arrow::datatypes::DataType;

use crate::error::Error;

pub mod aggregate;
pub mod caller;
pub mod calls;
mod coercion;
mod definition;
mod frames;
pub mod javascript;
pub mod model;
pub mod native;
#[cfg(feature = "onnx")]
mod onnx;
pub mod python;
mod registry;
mod reload;
pub mod scalar;
#[cfg(feature = "wasm")]
mod wasm;
pub mod web;

pub use coercion::taken;
pub use definition::{Environment, Implementation, OPTIONS, OnError, Parameter, Returns, UserFunction};
pub use registry::UserFunctions;

/// The error of a row.
pub(crate) fn failed(function: &UserFunction, why: &str, args: &[ArrayRef], row: usize) -> Error {
    let shown = args.iter().zip(&function.parameters).map(|(array, parameter)| {
        let value = arrow::util::display::array_value_to_string(array, row).unwrap_or_default();
        let null = array.is_null(row);
        let cut: String = value.chars().take(60).collect();
        let dots = if cut.len() < value.len() { "..." } else { "" };
        let text = matches!(array.data_type(), DataType::Utf8View);
        match (null, text) {
            (true, _) => format!("{} = NULL", parameter.name),
            (_, true) => format!("{} = '{cut}{dots}'", parameter.name),
            _ => format!("{} = {cut}{dots}", parameter.name),
        }
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    let error = Error::execution(format!("function '{}' failed: {why}", function.name));
    match shown.is_empty() {
        true => error,
        false => error.with_detail(format!("its arguments: {shown}")),
    }
    .with_hint("'lookup.on-error' = 'null' of the function gives NULL for such rows and counts them")
}
