//! User functions: what CREATE FUNCTION makes.
//!
//! ```text
//! CREATE FUNCTION ──> UserFunction { signature, implementation }
//!                        │ SQL          an expression, planned anew in each statement
//!                        │ JavaScript   a library of functions, loaded once per thread
//!                        v
//!                     UserScalar (a DataFusion function): columns in, a column out
//! ```
//! The interface is columnar, the function is called row by row. An error belongs to its row: it fails the job with
//! the function, the position in its code and the arguments, or it is NULL and counted where `'lookup.on-error' = 'null'`
//! says so; it is never NULL silently. Nothing outside can be reached: a function has no files, no network, no
//! environment, and limits of time and memory.

pub mod aggregate;
pub mod calls;
mod coercion;
mod definition;
pub mod javascript;
mod registry;
pub mod scalar;

pub use definition::{Implementation, OnError, Parameter, Returns, UserFunction};
pub use registry::UserFunctions;
