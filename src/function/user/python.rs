//! Python: functions run in worker processes, with nothing but an interpreter of version 3.9 or later.
//!
//! ```text
//!  lookup engine ── batch ──> PythonCaller ── a free worker ── frame ──> python3 -I -u -c <worker.py>
//!                                  ^                              <── frame: results, failures by row
//!                                  └── a worker that died or hung is replaced by the next call
//! ```
//! A worker is told what to load when it starts, and says what it found: the kind of function, whether it is
//! `async`, what its annotations or PyFlink's decorators say about types. Annotations choose what arrives: values row by
//! row, or a whole column as a NumPy array or a Series. What it prints becomes lines of the log.
//!
//! **It is no sandbox.** The code runs as the engine's user. It gets a cleared environment, its folder, and a bound of
//! memory if the statement sets one; files and the network are open to it.

pub mod aggregate;
mod pool;
mod process;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use self::process::{LoadError, Process};
use super::caller::{CallContext, Callable, Caller};
use super::{UserFunction, definition, frames};
use crate::catalog::options::Options;
use crate::error::{Error, Position, Result, Span};
use crate::sql::SqlType;

/// A row, where the statement does not say how long it may take.
const ROW: Duration = Duration::from_secs(60);

/// What a worker loads.
#[derive(Debug, Clone)]
pub struct Source {
    /// `module.function`, or the function in the code.
    pub export: String,
    /// The code in the statement, and where it begins.
    pub code: Option<(String, Position)>,
    /// The code's file: of `USING FILE`, or what stands for the statement.
    pub file: String,
    /// Folder of the statement.
    pub folder: PathBuf,
    /// Where modules are looked for.
    pub path: Vec<PathBuf>,
    /// The interpreter.
    pub interpreter: PathBuf,
    /// Where to point at when it does not load.
    pub span: Span,
}

/// What the code says about its function.
#[derive(Debug, Clone)]
pub struct About {
    /// `scalar`, `table`, `aggregate`.
    pub kind: String,
    /// `rows`, or what columns arrive as.
    pub mode: String,
    /// `async def`.
    pub waits: bool,
    /// What a decorator says.
    pub deterministic: Option<bool>,
    /// Names, and types where they are known.
    pub parameters: Vec<(String, Option<SqlType>)>,
    /// Types of the result: one, or those of a row's columns.
    pub result: Vec<SqlType>,
}

/// A function in Python.
#[derive(Debug)]
pub struct PythonFunction {
    pub(super) id: u64,
    source: Source,
    about: About,
    pub(super) limit: Duration,
    memory: Option<u64>,
    workers: Option<usize>,
    env: Vec<String>,
    digest: String,
    /// The module's file as it was when the function was declared: workers that start later load the same.
    kept: Option<String>,
}

/// The interpreter: that of the option, of the environment that is active, of `.venv` beside the statement, or `python3`.
pub fn interpreter(options: &Options, setting: Option<&str>, folder: &Path) -> PathBuf {
    let named = options.text("python").or(setting).filter(|p| !p.is_empty());
    if let Some(named) = named {
        let path = Path::new(named);
        // A name alone is looked for on the path, others beside the statement; of an environment its folder is enough.
        let path = if path.components().count() > 1 { folder.join(path) } else { path.to_path_buf() };
        return if path.join("bin/python").is_file() { path.join("bin/python") } else { path };
    }
    let active = std::env::var_os("VIRTUAL_ENV").map(|v| Path::new(&v).join("bin/python"));
    let beside = folder.join(".venv/bin/python");
    active.into_iter().chain([beside]).find(|p| p.is_file()).unwrap_or_else(|| PathBuf::from("python3"))
}

impl PythonFunction {
    /// Loads the code in a worker of its own, and reads what it says.
    pub fn load(name: &str, source: Source, options: &Options) -> Result<Self> {
        static IDS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let env = options.text("env").unwrap_or_default();
        let env = env.split(',').map(str::trim).filter(|w| !w.is_empty()).map(str::to_string).collect();
        let mut function = Self {
            id: IDS.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            digest: digest(&source),
            kept: match source.code {
                Some(_) => None,
                None => std::fs::read_to_string(&source.file).ok(),
            },
            about: About {
                kind: String::new(),
                mode: String::new(),
                waits: false,
                deterministic: None,
                parameters: Vec::new(),
                result: Vec::new(),
            },
            source,
            limit: options.duration("timeout")?.unwrap_or(ROW),
            memory: options.size("memory-limit")?,
            workers: options.integer("workers")?.map(|n| usize::try_from(n).unwrap_or(usize::MAX).max(1)),
            env,
        };
        let init = function.init(&[], Value::Null, false);
        let (_, about) = Process::start(name, &function, &init).map_err(|e| function.load_error(e))?;
        function.about = read_about(&about)?;
        Ok(function)
    }

    /// What the code says.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// What a worker is told first.
    fn init(&self, arguments: &[Value], result: Value, batch: bool) -> Value {
        let code = self.source.code.as_ref().map(|(text, start)| {
            // Lines are counted as in the statement.
            format!("{}{text}", "\n".repeat(start.line.saturating_sub(1) as usize))
        });
        let module = self.source.export.rsplit_once('.').map(|(module, _)| module);
        let kept =
            self.kept.as_ref().zip(module).map(|(text, module)| json!([module, self.source.file, text]));
        let path: Vec<String> = self.source.path.iter().map(|p| p.display().to_string()).collect();
        json!({
            "export": self.source.export,
            "code": code,
            "kept": kept,
            "file": self.source.file,
            "path": path,
            "shim": process::SHIM,
            "limit": self.limit.as_secs_f64(),
            "memory": self.memory,
            "arguments": arguments,
            "result": result,
            "batch": batch,
        })
    }

    fn load_error(&self, error: LoadError) -> Error {
        match error {
            LoadError::Start(why) => {
                Error::option(format!("no Python at '{}': {why}", self.source.interpreter.display()))
                    .with_hint("install python3, or name one: WITH ('python' = '/path/to/venv')")
                    .at(self.source.span)
            }
            LoadError::Ended(why) => {
                Error::plan(format!("the Python worker ended while it loaded the code: {why}"))
                    .at(self.source.span)
            }
            LoadError::Code { message, line, column } => {
                let error = Error::plan(format!("the Python code does not load: {message}"));
                match (&self.source.code, line) {
                    (Some((_, start)), Some(line)) => {
                        let inside = line.saturating_sub(start.line).saturating_add(1);
                        error.at(definition::place(*start, inside, column.unwrap_or(1)))
                    }
                    (None, Some(line)) => {
                        error.with_detail(format!("at {}:{line}", self.source.file)).at(self.source.span)
                    }
                    _ => error.at(self.source.span),
                }
            }
        }
    }
}

/// What the code is.
fn digest(source: &Source) -> String {
    match &source.code {
        Some((text, _)) => crate::digest::digest(text),
        None => crate::digest::digest(&std::fs::read_to_string(&source.file).unwrap_or_default()),
    }
}

fn read_about(about: &Value) -> Result<About> {
    let read = |text: &str| {
        crate::sql::type_parser::parse_type(text).map_err(|e| e.context("a type that the Python code names"))
    };
    let text = |key: &str| about.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
    let parameters = about.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let parameters = parameters.map(|p| {
        let name = p.get(0).and_then(Value::as_str).unwrap_or_default().to_string();
        Ok((name, p.get(1).and_then(Value::as_str).map(read).transpose()?))
    });
    let parameters = parameters.collect::<Result<Vec<_>>>()?;
    let result = match about.get("result") {
        Some(Value::String(one)) => vec![read(one)?],
        Some(Value::Array(all)) => {
            all.iter().filter_map(Value::as_str).map(read).collect::<Result<Vec<_>>>()?
        }
        _ => Vec::new(),
    };
    Ok(About {
        kind: text("kind"),
        mode: text("mode"),
        waits: about.get("waits").and_then(Value::as_bool).unwrap_or(false),
        deterministic: about.get("deterministic").and_then(Value::as_bool),
        parameters,
        result,
    })
}

impl Callable for PythonFunction {
    fn caller(&self, function: &Arc<UserFunction>, context: &CallContext) -> Result<Arc<dyn Caller>> {
        let arguments = context.arguments.iter().map(frames::kind).collect::<Result<Vec<_>>>()?;
        let result = function.returns.computed().to_arrow(&context.zone);
        let init = self.init(&arguments, frames::kind(&result)?, function.rows_of_call() > 1);
        Ok(Arc::new(pool::PythonCaller::new(function.clone(), init, result, context)))
    }

    fn is_deterministic(&self) -> bool {
        // As PyFlink: a function is, unless it says otherwise; what is `async` asks others.
        self.about.deterministic.unwrap_or(!self.about.waits)
    }

    fn digest(&self) -> String {
        self.digest.clone()
    }

    fn language(&self) -> &'static str {
        "PYTHON"
    }

    fn patience(&self) -> Option<Duration> {
        // The worker ends a row that takes too long; rows behind it must not end with it.
        Some((self.limit * 2 + Duration::from_secs(10)).max(Duration::from_secs(180)))
    }

    fn files(&self) -> Vec<PathBuf> {
        match self.source.code {
            Some(_) => Vec::new(),
            None => vec![PathBuf::from(&self.source.file)],
        }
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
