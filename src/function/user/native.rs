//! Functions in Rust, for programs that embed a session: closures with typed parameters.
//!
//! ```
//! use affluent::{Response, Session, udf};
//!
//! let session = Session::new()?;
//! session.add_function(udf::scalar("fahrenheit", |celsius: f64| celsius * 1.8 + 32.0))?;
//! session.add_function(udf::scalar("initial", |name: &str| name.chars().next().map(String::from)))?;
//! let rows = session.sql("SELECT fahrenheit(20e0) AS f, initial('Ann') AS i")?;
//! # let Response::Query(mut rows) = rows else { return Ok(()) };
//! # let chunk = rows.next_chunk()?.ok_or("a row")?;
//! # let f = chunk.batch.column(0);
//! # assert_eq!(affluent::arrow::util::display::array_value_to_string(f, 0)?, "68.0");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | parameter | SQL | | result | SQL |
//! |---|---|---|---|---|
//! | `i32`, `i64` | INT, BIGINT | | `i32`, `i64` | INT, BIGINT |
//! | `f64` | DOUBLE | | `f64` | DOUBLE |
//! | `bool` | BOOLEAN | | `bool` | BOOLEAN |
//! | `&str` (`String` in what waits) | STRING | | `String` | STRING |
//! | `&[u8]` (`Vec<u8>`) | BYTES | | `Vec<u8>` | BYTES |
//!
//! A parameter that is an `Option` takes NULL; without one, a row with a NULL argument returns NULL without a call. A
//! result may be an `Option` (NULL), a `Result` (an error of its row), or both: `Result<Option<T>, E>`. A closure that
//! panics fails its row and nothing else.

mod arguments;
mod values;

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use futures::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::arguments::{Arguments, Closure, OwnedArguments};
pub use self::values::{Outcome, Output, RowOutput, Scalar};
use super::caller::{CallContext, Callable, Caller, Results};
use super::{Returns, UserFunction};
use crate::error::{Error, Result};
use crate::lookup::{BoxFuture, Failure, FailureKind};
use crate::sql::SqlType;

/// A function in Rust, to be added to a session.
#[derive(Debug)]
pub struct RustFunction {
    pub(super) name: String,
    pub(super) parameters: Vec<(SqlType, bool)>,
    pub(super) returns: Returns,
    pub(super) code: Code,
    pub(super) deterministic: bool,
    pub(super) options: Vec<(String, String)>,
}

/// What computes.
#[derive(Debug, Clone)]
pub(super) enum Code {
    Inline(Arc<dyn Inline>),
    Call(Arc<dyn Callable>),
    Aggregate(Arc<dyn Aggregate>),
}

impl RustFunction {
    /// The same, which may return something else for equal arguments.
    pub fn volatile(mut self) -> Self {
        self.deterministic = false;
        self
    }

    /// The same, which returns the same for equal arguments: one call is made for rows that have them.
    pub fn deterministic(mut self) -> Self {
        self.deterministic = true;
        self
    }

    /// The same with an option as `WITH` of CREATE FUNCTION takes it, such as `lookup.on-error` or `lookup.cache`.
    pub fn option(mut self, key: &str, value: &str) -> Self {
        self.options.push((key.to_string(), value.to_string()));
        self
    }
}

/// Columns in, a column out; rows that failed.
pub trait Inline: Send + Sync {
    /// A value a row, and rows that failed.
    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<(ArrayRef, Vec<(usize, String)>)>;

    /// Its language, as CREATE FUNCTION names it.
    fn language(&self) -> &'static str {
        "RUST"
    }

    /// What the code is, as a digest; empty where that is not known.
    fn digest(&self) -> String {
        String::new()
    }

    /// The files that hold the code.
    fn files(&self) -> Vec<std::path::PathBuf> {
        Vec::new()
    }

    /// It takes no NULL: a row with one returns NULL.
    fn is_strict(&self) -> bool {
        false
    }
}

impl fmt::Debug for dyn Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code in {}", self.language())
    }
}

/// The steps of an aggregate; the state is JSON between batches.
pub trait Aggregate: Send + Sync {
    /// The state of no rows.
    fn create(&self) -> Result<String>;
    /// The state after more rows.
    fn accumulate(&self, state: &str, arguments: &[ArrayRef], rows: usize) -> Result<String>;
    /// One state of two.
    fn merge(&self, state: &str, other: &str) -> Result<String>;
    /// The result of a state: one value.
    fn finish(&self, state: &str) -> Result<ArrayRef>;
}

impl fmt::Debug for dyn Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Rust aggregate")
    }
}

struct PerRow<F, A, R> {
    closure: F,
    kind: std::marker::PhantomData<fn(A) -> R>,
}

impl<F, A, R> Inline for PerRow<F, A, R>
where
    A: Arguments,
    F: Closure<A, R> + Send + Sync + 'static,
    R: Output,
{
    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<(ArrayRef, Vec<(usize, String)>)> {
        let mut values: Vec<Option<R::Value>> = Vec::with_capacity(rows);
        let mut failures = Vec::new();
        while values.len() < rows {
            // A panic ends one row: the rest goes on behind it.
            let ran = catch_unwind(AssertUnwindSafe(|| {
                self.closure.for_rows(arguments, values.len()..rows, &mut |row, result| match result
                    .map(R::outcome)
                {
                    None => values.push(None),
                    Some(Ok(value)) => values.push(value),
                    Some(Err(why)) => {
                        failures.push((row, why));
                        values.push(None);
                    }
                })
            }));
            match ran {
                Ok(done) => done?,
                Err(panic) => {
                    failures.push((values.len(), panicked(panic.as_ref())));
                    values.push(None);
                }
            }
        }
        Ok((R::Value::array(values), failures))
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_string());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.unwrap_or_else(|| "without a message".to_string()))
}

/// A function of one value a row, of 1 to 6 parameters.
///
/// ```
/// # use affluent::{Session, udf};
/// let session = Session::new()?;
/// session.add_function(udf::scalar("ratio", |a: i64, b: Option<i64>| match b {
///     Some(0) => Err("a ratio to nothing"),
///     Some(b) => Ok(Some(a as f64 / b as f64)),
///     None => Ok(None),
/// }))?;
/// # Ok::<(), affluent::Error>(())
/// ```
pub fn scalar<A, R, F>(name: &str, closure: F) -> RustFunction
where
    A: Arguments + 'static,
    R: Output + 'static,
    F: Closure<A, R> + Send + Sync + 'static,
{
    RustFunction {
        name: name.to_string(),
        parameters: A::types(),
        returns: Returns::Value(R::Value::sql_type()),
        code: Code::Inline(Arc::new(PerRow { closure, kind: std::marker::PhantomData })),
        deterministic: true,
        options: Vec::new(),
    }
}

struct PerRows<F, A, R> {
    closure: F,
    columns: Vec<String>,
    kind: std::marker::PhantomData<fn(A) -> R>,
}

impl<F, A, I> Inline for PerRows<F, A, I>
where
    A: Arguments,
    F: Closure<A, I> + Send + Sync + 'static,
    I: IntoIterator,
    I::Item: RowOutput,
{
    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<(ArrayRef, Vec<(usize, String)>)> {
        let mut lists: Vec<Option<Vec<I::Item>>> = Vec::with_capacity(rows);
        let mut failures = Vec::new();
        while lists.len() < rows {
            let ran = catch_unwind(AssertUnwindSafe(|| {
                self.closure.for_rows(arguments, lists.len()..rows, &mut |_, result| {
                    lists.push(result.map(|items| items.into_iter().collect()));
                })
            }));
            match ran {
                Ok(done) => done?,
                Err(panic) => {
                    failures.push((lists.len(), panicked(panic.as_ref())));
                    lists.push(None);
                }
            }
        }
        Ok((values::lists(lists, &self.columns)?, failures))
    }
}

/// A function of rows: what the closure returns can be iterated, its items are tuples of the columns.
///
/// ```
/// # use affluent::{Session, udf};
/// let session = Session::new()?;
/// session.add_function(udf::table("words", ["word", "length"], |text: &str| {
///     text.split(' ').map(|w| (w.to_string(), w.len() as i64)).collect::<Vec<_>>()
/// }))?;
/// session.sql("SELECT w.word FROM (VALUES ('a bc')) AS t(s), LATERAL TABLE(words(t.s)) AS w")?;
/// # Ok::<(), affluent::Error>(())
/// ```
pub fn table<A, I, F, const N: usize>(name: &str, columns: [&str; N], closure: F) -> RustFunction
where
    A: Arguments + 'static,
    I: IntoIterator + 'static,
    I::Item: RowOutput,
    F: Closure<A, I> + Send + Sync + 'static,
{
    let columns: Vec<String> = columns.iter().map(|c| (*c).to_string()).collect();
    let types = I::Item::types();
    let returns = Returns::Rows(columns.iter().cloned().zip(types).collect());
    RustFunction {
        name: name.to_string(),
        parameters: A::types(),
        returns,
        code: Code::Inline(Arc::new(PerRows { closure, columns, kind: std::marker::PhantomData })),
        deterministic: true,
        options: Vec::new(),
    }
}

struct Waits<F, A> {
    closure: Arc<F>,
    kind: std::marker::PhantomData<fn(A)>,
}

impl<F, A> fmt::Debug for Waits<F, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an asynchronous Rust closure")
    }
}

impl<F, A, T, R> Callable for Waits<F, A>
where
    A: OwnedArguments + 'static,
    F: Fn(A) -> T + Send + Sync + 'static,
    T: Future<Output = R> + Send + 'static,
    R: Output + 'static,
    R::Value: Send,
{
    fn caller(&self, _: &Arc<UserFunction>, _: &CallContext) -> Result<Arc<dyn Caller>> {
        Ok(Arc::new(WaitsCaller { closure: self.closure.clone(), kind: self.kind }))
    }
    fn digest(&self) -> String {
        String::new()
    }
    fn language(&self) -> &'static str {
        "RUST"
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

struct WaitsCaller<F, A> {
    closure: Arc<F>,
    kind: std::marker::PhantomData<fn(A)>,
}

impl<F, A, T, R> Caller for WaitsCaller<F, A>
where
    A: OwnedArguments + 'static,
    F: Fn(A) -> T + Send + Sync + 'static,
    T: Future<Output = R> + Send + 'static,
    R: Output + 'static,
    R::Value: Send,
{
    fn call(&self, arguments: RecordBatch) -> BoxFuture<std::result::Result<Results, Failure>> {
        let read = A::read(arguments.columns(), 0);
        let waits = match read {
            Ok(Some(arguments)) => {
                let began = catch_unwind(AssertUnwindSafe(|| (self.closure)(arguments)));
                match began {
                    Ok(future) => Ok(Some(future)),
                    Err(panic) => Err(panicked(panic.as_ref())),
                }
            }
            Ok(None) => Ok(None),
            Err(e) => Err(e.message().to_string()),
        };
        Box::pin(async move {
            let value = match waits {
                Err(why) => return Err(Failure::other(why)),
                Ok(None) => None,
                Ok(Some(future)) => match AssertUnwindSafe(future).catch_unwind().await {
                    Ok(result) => result.outcome().map_err(Failure::other)?,
                    Err(panic) => return Err(Failure::new(FailureKind::Other, panicked(panic.as_ref()))),
                },
            };
            Ok(Results::new(R::Value::array(vec![value])))
        })
    }

    fn describe(&self) -> String {
        "Rust".to_string()
    }
}

/// A function that waits: it takes its arguments as a tuple of owned values and returns a future. Its calls go through
/// the lookup engine, with its capacity, cache, retries and checkpoints.
///
/// ```
/// # use affluent::{Session, udf};
/// let session = Session::new()?;
/// session.add_function(udf::asynchronous("slow_upper", |(text,): (String,)| async move {
///     // An answer of some service.
///     Ok::<_, String>(text.to_uppercase())
/// }))?;
/// session.sql("SELECT slow_upper('a')")?;
/// # Ok::<(), affluent::Error>(())
/// ```
pub fn asynchronous<A, T, R, F>(name: &str, closure: F) -> RustFunction
where
    A: OwnedArguments + 'static,
    F: Fn(A) -> T + Send + Sync + 'static,
    T: Future<Output = R> + Send + 'static,
    R: Output + 'static,
    R::Value: Send,
{
    RustFunction {
        name: name.to_string(),
        parameters: A::types(),
        returns: Returns::Value(R::Value::sql_type()),
        code: Code::Call(Arc::new(Waits { closure: Arc::new(closure), kind: std::marker::PhantomData })),
        deterministic: false,
        options: Vec::new(),
    }
}

struct Steps<S, A, R, F, M, E> {
    accumulate: F,
    merge: M,
    finish: E,
    kind: std::marker::PhantomData<fn(S, A) -> R>,
}

impl<S, A, R, F, M, E> Aggregate for Steps<S, A, R, F, M, E>
where
    S: Serialize + DeserializeOwned + Default,
    A: OwnedArguments,
    R: Output,
    F: Fn(&mut S, A) + Send + Sync,
    M: Fn(&mut S, S) + Send + Sync,
    E: Fn(&S) -> R + Send + Sync,
{
    fn create(&self) -> Result<String> {
        written(&S::default())
    }
    fn accumulate(&self, state: &str, arguments: &[ArrayRef], rows: usize) -> Result<String> {
        let mut state: S = read(state)?;
        for row in 0..rows {
            if let Some(arguments) = A::read(arguments, row)? {
                (self.accumulate)(&mut state, arguments);
            }
        }
        written(&state)
    }
    fn merge(&self, state: &str, other: &str) -> Result<String> {
        let mut state: S = read(state)?;
        (self.merge)(&mut state, read(other)?);
        written(&state)
    }
    fn finish(&self, state: &str) -> Result<ArrayRef> {
        let state: S = read(state)?;
        let value = (self.finish)(&state).outcome().map_err(Error::execution)?;
        Ok(R::Value::array(vec![value]))
    }
}

fn written<S: Serialize>(state: &S) -> Result<String> {
    serde_json::to_string(state)
        .map_err(|e| Error::execution(format!("the state of an aggregate function cannot be JSON: {e}")))
}

fn read<S: DeserializeOwned>(state: &str) -> Result<S> {
    serde_json::from_str(state)
        .map_err(|e| Error::execution(format!("the state of an aggregate function is another one: {e}")))
}

/// An aggregate: a state that rows change, which two partial ones make one of, and its result. The state is kept as JSON
/// in checkpoints.
///
/// ```
/// # use affluent::{Session, udf};
/// let session = Session::new()?;
/// session.add_function(udf::aggregate(
///     "weighted",
///     |state: &mut (f64, f64), (value, weight): (f64, f64)| {
///         state.0 += value * weight;
///         state.1 += weight;
///     },
///     |state: &mut (f64, f64), other: (f64, f64)| {
///         state.0 += other.0;
///         state.1 += other.1;
///     },
///     |state: &(f64, f64)| (state.1 != 0.0).then(|| state.0 / state.1),
/// ))?;
/// session.sql("SELECT weighted(v, w) FROM (VALUES (1e0, 1e0), (4e0, 2e0)) AS t(v, w)")?;
/// # Ok::<(), affluent::Error>(())
/// ```
pub fn aggregate<S, A, R, F, M, E>(name: &str, accumulate: F, merge: M, finish: E) -> RustFunction
where
    S: Serialize + DeserializeOwned + Default + 'static,
    A: OwnedArguments + 'static,
    R: Output + 'static,
    F: Fn(&mut S, A) + Send + Sync + 'static,
    M: Fn(&mut S, S) + Send + Sync + 'static,
    E: Fn(&S) -> R + Send + Sync + 'static,
{
    let kind = std::marker::PhantomData;
    RustFunction {
        name: name.to_string(),
        parameters: A::types(),
        returns: Returns::Value(R::Value::sql_type()),
        code: Code::Aggregate(Arc::new(Steps { accumulate, merge, finish, kind })),
        deterministic: true,
        options: Vec::new(),
    }
}
