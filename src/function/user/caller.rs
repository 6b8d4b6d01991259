//! Functions that wait for their answers: what a language gives, and how the lookup engine asks it.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use tokio::runtime::Handle;

use super::UserFunction;
use crate::clock::Clock;
use crate::error::Result;
use crate::lookup::{Answers, Backend, BoxFuture, Failure, FailureKind};

/// The column of a call without arguments.
pub const NO_ARGUMENT: &str = "$none";

/// Results of a batch of calls.
#[derive(Debug, Clone)]
pub struct Results {
    /// One value a row of the arguments; that of a row that failed is of no account.
    pub values: ArrayRef,
    /// Rows that failed, and why.
    pub failures: Vec<(u32, Failure)>,
}

impl Results {
    /// Results without failures.
    pub fn new(values: ArrayRef) -> Self {
        Self { values, failures: Vec::new() }
    }
}

/// Makes calls. One for each place of a job where the function is called.
pub trait Caller: Send + Sync + 'static {
    /// One attempt for these arguments, a row a call. An error is for all of them.
    fn call(&self, arguments: RecordBatch) -> BoxFuture<std::result::Result<Results, Failure>>;

    /// Rows that one call can take.
    fn max_rows(&self) -> usize {
        1
    }

    /// The same at this moment: fewer where each takes long, so that the first results do not wait for the last.
    fn rows_now(&self) -> usize {
        self.max_rows()
    }

    /// Whether it keeps a processor busy with each row, rather than waiting for others.
    fn computes(&self) -> bool {
        false
    }

    /// Calls that may be under way at a time; `None`: as many as rows wait.
    fn max_calls(&self) -> Option<usize> {
        None
    }

    /// What is called, for EXPLAIN and messages, without secrets.
    fn describe(&self) -> String;
}

/// What a caller may use.
#[derive(Clone)]
pub struct CallContext {
    /// Where waiting goes on.
    pub runtime: Handle,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The session's time zone.
    pub zone: String,
    /// Tasks that the job has.
    pub parallelism: usize,
    /// Types of the arguments as they are given.
    pub arguments: Vec<DataType>,
}

/// A function that waits, as a language loaded it.
pub trait Callable: Send + Sync + fmt::Debug {
    /// Something that makes calls.
    fn caller(&self, function: &Arc<UserFunction>, context: &CallContext) -> Result<Arc<dyn Caller>>;

    /// Whether equal arguments give equal results where the statement does not say.
    fn is_deterministic(&self) -> bool {
        false
    }

    /// What the code is, as a digest: another one is another function.
    fn digest(&self) -> String;

    /// Its language, as CREATE FUNCTION names it.
    fn language(&self) -> &'static str;

    /// How long a row waits at most, where the language bounds it otherwise than by the option `timeout`.
    fn patience(&self) -> Option<std::time::Duration> {
        None
    }

    /// The files that hold the code.
    fn files(&self) -> Vec<std::path::PathBuf> {
        Vec::new()
    }

    /// Itself.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// A caller as what the lookup engine asks: the keys are the arguments, the last column is the result.
pub struct CallBackend {
    caller: Arc<dyn Caller>,
    schema: SchemaRef,
    function: Arc<UserFunction>,
}

impl CallBackend {
    /// Answers of `schema`: the arguments and the result.
    pub fn new(caller: Arc<dyn Caller>, schema: SchemaRef, function: Arc<UserFunction>) -> Self {
        Self { caller, schema, function }
    }
}

impl Backend for CallBackend {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<std::result::Result<Answers, Failure>> {
        let schema = self.schema.clone();
        let none = self.function.parameters.is_empty();
        let arguments = if none { keys.project(&[]) } else { Ok(keys.clone()) };
        let decode = |e: arrow::error::ArrowError| Failure::new(FailureKind::Decode, e.to_string());
        let call = match arguments {
            Ok(arguments) => self.caller.call(arguments),
            Err(e) => Box::pin(std::future::ready(Err(decode(e)))),
        };
        Box::pin(async move {
            let Results { values, failures } = call.await?;
            if values.len() != keys.num_rows() {
                return Err(Failure::new(
                    FailureKind::Decode,
                    format!("{} results came for {} calls", values.len(), keys.num_rows()),
                ));
            }
            let mut columns = keys.columns().to_vec();
            columns.push(values);
            let rows = RecordBatch::try_new(schema, columns).map_err(decode)?;
            Ok(Answers { failures, ..Answers::one_each(rows) })
        })
    }

    fn max_keys(&self) -> usize {
        self.caller.max_rows()
    }

    fn keys_now(&self) -> usize {
        self.caller.rows_now()
    }

    fn computes(&self) -> bool {
        self.caller.computes()
    }

    fn max_requests(&self) -> Option<usize> {
        self.caller.max_calls()
    }

    fn describe(&self) -> String {
        self.caller.describe()
    }
}
