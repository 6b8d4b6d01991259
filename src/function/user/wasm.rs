//! User functions in WebAssembly: modules that compute and can reach nothing.
//!
//! ```text
//!  f(i64, f64) -> f64          numbers: a row at a time. The loop over the rows is WebAssembly too (`numbers`)
//!  memory, affluent_alloc(size) -> place, f(place) -> place, affluent_reset()
//!                              columns: the module gets Arrow's buffers and gives some back (`columns`)
//! ```
//! A module that exports `affluent_alloc` has functions of columns, any other functions of numbers.
//!
//! **Limits.** A call has a deadline (the code looks at an epoch that a thread moves every millisecond, in loops and at
//! the begin of functions), an instance a bound of memory and stack. What an instance holds after an error cannot be
//! trusted: the next row gets a new one. Each thread has an instance of its own.
//!
//! **Reachable** is nothing: a module that imports anything but `env.abort`, which ends its call, is refused.

mod columns;
mod instance;
mod numbers;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, UInt64Array};
use arrow::datatypes::DataType;
use wasmtime::{ExternType, FuncType, Module};

use self::instance::Instance;
use self::numbers::Number;
use super::native::Inline;
use super::{Parameter, Returns, definition};
use crate::error::{Error, Position, Result, Span};
use crate::sql::{CreateFunction, FunctionBody, SqlType};

/// Rows that a call of a function of columns gets at most, and that one loop over numbers takes.
const ROWS: usize = 8192;

/// The export that makes a module one of columns.
const ALLOC: &str = "affluent_alloc";
/// Frees what calls took, where a module exports it.
const RESET: &str = "affluent_reset";

/// Bounds of an instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For one call.
    pub time: Duration,
    /// Bytes of one instance.
    pub memory: usize,
}

/// How its function is called.
enum Contract {
    /// Numbers in, a number out: kinds of the arguments and of the result, and the loop that calls it.
    Numbers { arguments: Vec<Number>, result: Number, caller: Module },
    /// Columns in, a column out.
    Columns,
}

/// A function in a module that was compiled.
pub(super) struct Library {
    /// Tells it from others; instances are found by it.
    id: u64,
    module: Module,
    export: String,
    contract: Contract,
    returns: SqlType,
    limits: Limits,
    digest: String,
    file: Option<PathBuf>,
    pace: Pace,
}

/// Rows that a call of columns gets: fewer where they do not end in time.
struct Pace {
    rows: AtomicUsize,
    /// Calls since, that ended in time.
    good: AtomicUsize,
}

impl Pace {
    fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }

    fn was_late(&self, rows: usize) {
        self.rows.store((rows / 2).max(1), Ordering::Relaxed);
        self.good.store(0, Ordering::Relaxed);
    }

    /// After some of them calls may be larger again.
    fn was_good(&self) {
        let rows = self.rows();
        if rows < ROWS && self.good.fetch_add(1, Ordering::Relaxed) >= 16 {
            self.good.store(0, Ordering::Relaxed);
            self.rows.store((2 * rows).min(ROWS), Ordering::Relaxed);
        }
    }
}

thread_local! {
    static INSTANCES: RefCell<HashMap<u64, Instance>> = RefCell::default();
}

/// Loads the function that a statement creates.
pub(super) fn load(
    statement: &CreateFunction,
    name: &str,
    parameters: &[Parameter],
    returns: &Returns,
    limits: Limits,
    folder: &Path,
) -> Result<Library> {
    static IDS: AtomicU64 = AtomicU64::new(0);
    let place = statement.name.span();
    if statement.aggregate {
        return Err(Error::unsupported("aggregate functions in WASM are not supported")
            .with_hint("LANGUAGE JAVASCRIPT and LANGUAGE PYTHON have them")
            .at(place));
    }
    let code = Code::of(statement, name, folder)?;
    let module = code.compile()?;
    if let Some(import) = module.imports().find(|i| (i.module(), i.name()) != ("env", "abort")) {
        let what = format!("the module imports '{}.{}'", import.module(), import.name());
        let error = Error::unsupported(format!("{what}: a function in WASM can reach nothing outside"));
        return Err(match import.module().starts_with("wasi") {
            true => error.with_hint(
                "build it without WASI: clang --target=wasm32 -nostdlib -Wl,--no-entry, Rust's wasm32-unknown-unknown",
            ),
            false => error.with_hint("build it so that it imports nothing; env.abort is the one exception"),
        }
        .at(place));
    }
    let functions: Vec<(String, FuncType)> = module
        .exports()
        .filter_map(|e| match e.ty() {
            ExternType::Func(signature) => Some((e.name().to_string(), signature)),
            _ => None,
        })
        .collect();
    let export = &code.export;
    let signature = functions.iter().find(|(n, _)| n == export).map(|(_, signature)| signature);
    let signature = signature.ok_or_else(|| {
        let others: Vec<&str> =
            functions.iter().map(|(n, _)| n.as_str()).filter(|n| !n.starts_with("affluent_")).collect();
        let error = Error::plan(format!("the module exports no function '{export}'")).at(place);
        match others.is_empty() {
            true => error.with_hint(format!("in the text form: (func (export \"{export}\") ...)")),
            false => error.with_hint(format!("it exports {}; AS 'name' picks one", others.join(", "))),
        }
    })?;
    let parameters: Vec<SqlType> = parameters.iter().map(|p| p.data_type.clone()).collect();
    let contract = match functions.iter().any(|(name, _)| name == ALLOC) {
        true => {
            columns::check(&module, export, signature).map_err(|e| e.at(place))?;
            Contract::Columns
        }
        false => numbers::contract(export, signature, &parameters, returns).map_err(|e| e.at(place))?,
    };
    if matches!(contract, Contract::Numbers { .. }) && statement.strict == Some(false) {
        return Err(Error::unsupported("a WASM function of numbers has no NULL: CALLED ON NULL INPUT is not supported")
            .with_hint(format!("rows with a NULL argument give NULL; a module that exports {ALLOC} gets columns, with their NULLs"))
            .at(place));
    }
    let library = Library {
        id: IDS.fetch_add(1, Ordering::Relaxed),
        module,
        export: code.export.clone(),
        contract,
        returns: returns.computed(),
        limits,
        digest: crate::digest::digest_bytes(&code.binary),
        file: code.file.clone(),
        pace: Pace { rows: AtomicUsize::new(ROWS), good: AtomicUsize::new(0) },
    };
    // What its start does is done now, too.
    Instance::new(&library).map_err(|e| e.at(place))?;
    Ok(library)
}

/// A module and its place.
struct Code {
    binary: Vec<u8>,
    export: String,
    file: Option<PathBuf>,
    span: Span,
}

impl Code {
    fn of(statement: &CreateFunction, name: &str, folder: &Path) -> Result<Self> {
        let place = statement.name.span();
        match (&statement.body, statement.using.as_slice()) {
            (Some(FunctionBody::Code { text, start }), []) => {
                let binary = binary(text).map_err(|(what, line, column)| {
                    Error::plan(format!("the text of the module does not load: {what}"))
                        .at(definition::place(*start, line, column))
                })?;
                Ok(Self { binary, export: name.to_string(), file: None, span: at(*start) })
            }
            (Some(FunctionBody::Code { .. }), [(_, file), ..]) => {
                Err(Error::plan("the code is given twice: after AS and in a file").at(file.span))
            }
            (body, [(_, path)]) => {
                let export = match body {
                    Some(FunctionBody::Identifier(export)) => export.value.clone(),
                    _ => name.to_string(),
                };
                let file = folder.join(&path.value);
                let bytes = std::fs::read(&file).map_err(|e| {
                    Error::option(format!("cannot read '{}'", file.display()))
                        .with_detail(e.to_string())
                        .with_hint("the path is relative to the file that holds the statement")
                        .at(path.span)
                })?;
                let binary = match bytes.starts_with(b"\0asm") {
                    true => bytes,
                    false => {
                        let shown = file.display();
                        let text = std::str::from_utf8(&bytes).map_err(|_| {
                            Error::plan(format!("'{shown}' is no WebAssembly module"))
                                .with_hint("a .wasm file, or its text form (.wat)")
                                .at(path.span)
                        })?;
                        binary(text).map_err(|(what, line, column)| {
                            Error::plan(format!("the text of the module does not load: {what}"))
                                .with_detail(format!("at {shown}:{line}:{column}"))
                                .at(path.span)
                        })?
                    }
                };
                Ok(Self { binary, export, file: Some(file), span: path.span })
            }
            (_, [_, (_, second), ..]) => Err(Error::unsupported("USING takes one file").at(second.span)),
            (Some(FunctionBody::Identifier(export)), []) => {
                Err(Error::plan("the export needs a module to be found in")
                    .with_hint(
                        "write USING FILE 'functions.wasm', or the text of the module: AS $$ (module ...) $$",
                    )
                    .at(export.span))
            }
            _ => Err(Error::plan(format!("function '{name}' has no code"))
                .with_hint(
                    "write USING FILE 'functions.wasm', or the text of the module: AS $$ (module ...) $$",
                )
                .at(place)),
        }
    }

    fn compile(&self) -> Result<Module> {
        let engine = instance::engine()?;
        Module::new(engine, &self.binary).map_err(|e| {
            let what = match &self.file {
                Some(file) => format!("'{}' does not compile", file.display()),
                None => "the module does not compile".to_string(),
            };
            Error::plan(what).with_detail(instance::chain(&e)).at(self.span)
        })
    }
}

fn at(start: Position) -> Span {
    definition::place(start, 1, 1)
}

/// The binary of a module's text, or what is wrong with it at which line and column.
fn binary(text: &str) -> std::result::Result<Vec<u8>, (String, u32, u32)> {
    let told = |e: wast::Error| {
        let (line, column) = e.span().linecol_in(text);
        (e.message(), line as u32 + 1, column as u32 + 1)
    };
    let buffer = wast::parser::ParseBuffer::new(text).map_err(told)?;
    let mut module = wast::parser::parse::<wast::Wat<'_>>(&buffer).map_err(told)?;
    module.encode().map_err(told)
}

/// Runs with the instance of this thread; one that failed is made anew the next time.
fn with_instance<T>(library: &Library, run: impl FnOnce(&mut Instance) -> Result<T>) -> Result<T> {
    let known = INSTANCES.with(|all| all.borrow_mut().remove(&library.id));
    let mut instance = match known {
        Some(instance) => instance,
        None => Instance::new(library)?,
    };
    let result = run(&mut instance);
    if !instance.is_spent() {
        INSTANCES.with(|all| all.borrow_mut().insert(library.id, instance));
    }
    result
}

/// Results of ranges of rows, one after the other, and rows that failed.
#[derive(Default)]
struct Parts {
    columns: Vec<ArrayRef>,
    failures: Vec<(usize, String)>,
}

impl Parts {
    fn push(&mut self, column: ArrayRef, failures: impl IntoIterator<Item = (usize, String)>) {
        self.columns.push(column);
        self.failures.extend(failures);
    }

    /// One column; rows that failed are NULL in it.
    fn finish(self, result: &DataType, rows: usize) -> Result<(ArrayRef, Vec<(usize, String)>)> {
        let column = match self.columns.as_slice() {
            [] => arrow::array::new_null_array(result, rows),
            [one] => Arc::clone(one),
            many => arrow::compute::concat(&many.iter().map(|c| c.as_ref()).collect::<Vec<_>>())?,
        };
        if column.len() != rows {
            return Err(Error::internal(format!("{} results of {rows} calls", column.len())));
        }
        if self.failures.is_empty() {
            return Ok((column, self.failures));
        }
        let mut places: Vec<Option<u64>> = (0..rows as u64).map(Some).collect();
        for (row, _) in &self.failures {
            if let Some(place) = places.get_mut(*row) {
                *place = None;
            }
        }
        let column = arrow::compute::take(&column, &UInt64Array::from(places), None)?;
        Ok((column, self.failures))
    }
}

impl Library {
    /// Ranges of rows, each as long as one call takes.
    fn calls(
        &self,
        rows: usize,
        mut call: impl FnMut(&mut Instance, Range<usize>) -> Result<usize>,
    ) -> Result<()> {
        let mut next = 0;
        while next < rows {
            next = with_instance(self, |instance| {
                let end = rows.min(next + self.pace.rows());
                call(instance, next..end)
            })?;
        }
        Ok(())
    }
}

impl Inline for Library {
    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<(ArrayRef, Vec<(usize, String)>)> {
        match &self.contract {
            Contract::Numbers { arguments: kinds, result, .. } => {
                numbers::call(self, (kinds, *result), arguments, rows)
            }
            Contract::Columns => columns::call(self, arguments, rows),
        }
    }

    fn language(&self) -> &'static str {
        "WASM"
    }

    fn digest(&self) -> String {
        self.digest.clone()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.file.iter().cloned().collect()
    }

    fn is_strict(&self) -> bool {
        matches!(self.contract, Contract::Numbers { .. })
    }
}
