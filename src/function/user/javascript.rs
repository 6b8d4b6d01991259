//! JavaScript by QuickJS: a library of code, loaded once for each thread that calls it.
//!
//! Code with `export` is a module, and the function is one of its exports. Code without is the function's body, with
//! the parameters' names at hand. A module is loaded when it is declared, so that a mistake in it is an error of the
//! statement, at its place in the user's text.
//!
//! **Limits.** A row has a deadline (an interrupt handler that QuickJS asks as it runs, in loops and in patterns) and an
//! instance a bound of memory and stack. An instance that hit a bound is made anew, so that the next row is not
//! touched. Native calls that neither loop nor allocate much are not interrupted.
//!
//! **Reachable** is what the language has: no files, no network, no environment, no clock but `Date`.

mod build;
pub mod driver;
mod host;
mod modules;
mod values;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use rquickjs::function::Args;
use rquickjs::{CatchResultExt, CaughtError, Context, Ctx, Function, Module, Persistent, Runtime, Value};

use super::{OnError, Returns, UserFunction, definition, failed};
use crate::error::{Error, Position, Result};

/// Bounds of an instance, and what it is given.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For one row.
    pub time: Duration,
    /// Bytes of one instance.
    pub memory: usize,
    /// BIGINT arrives as BigInt.
    pub big_integers: bool,
}

/// Code and its place.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file it is from; `None`: the statement itself.
    pub file: Option<String>,
    /// The code.
    pub text: String,
    /// Where it begins, in the file or statement.
    pub start: Position,
    /// The export that is the function.
    pub export: String,
    /// Names of the parameters.
    pub names: Vec<String>,
    /// Modules that it imports, by name, each behind what it needs.
    pub modules: Vec<(String, String)>,
    /// What it finds as `secrets`.
    pub secrets: Secrets,
}

/// Values that code is given and nobody is shown.
#[derive(Clone, Default)]
pub struct Secrets(pub Vec<(String, String)>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Secrets {
    /// `secrets`, which the code cannot change. In what is shown a value becomes its name.
    fn install(&self, ctx: &Ctx<'_>) -> rquickjs::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let secrets = rquickjs::Object::new(ctx.clone())?;
        for (name, value) in &self.0 {
            crate::secret::note(name, value);
            secrets.set(name.as_str(), value.as_str())?;
        }
        let freeze: Function<'_> = ctx.eval("Object.freeze")?;
        let secrets: Value<'_> = freeze.call((secrets,))?;
        ctx.globals().set("secrets", secrets)
    }
}

pub(super) use modules::gather;

/// Loaded code.
#[derive(Debug)]
pub struct Library {
    /// Tells it from others; instances are found by it.
    id: u64,
    source: Source,
    /// As QuickJS gets it.
    module: String,
    /// Columns of the first line that are ours.
    shift: u32,
    limits: Limits,
    /// A generator, or a function that returns an array of rows.
    rows: bool,
    aggregate: bool,
    /// An `async` function: its calls wait.
    waits: bool,
}

const STACK: usize = 512 << 10;

/// Exports of an aggregate function, the last two not required.
const AGGREGATE: [&str; 5] = ["create", "accumulate", "finish", "retract", "merge"];

/// Loads code and checks that it has what it is to have.
pub fn load(
    source: Source,
    name: &str,
    aggregate: bool,
    returns: &Returns,
    limits: Limits,
) -> Result<Library> {
    static IDS: AtomicU64 = AtomicU64::new(0);
    let id = IDS.fetch_add(1, Ordering::Relaxed);
    let rows = matches!(returns, Returns::Rows(_));
    let mut library =
        Library { id, module: String::new(), shift: 0, source, limits, rows, aggregate, waits: false };
    library.wrap(name)?;
    let modules = library.source.modules.iter().map(|(_, text)| text);
    let may_wait = modules.chain([&library.module]).any(|text| text.contains("async"));
    let ((), instance) = Instance::with(&library, |ctx| match may_wait {
        true => host::Host::install(ctx, name, limits.memory).map(drop),
        false => Ok(()),
    })?;
    library.waits = instance.check(&library)?;
    Ok(library)
}

impl Library {
    /// Makes a module of the code.
    fn wrap(&mut self, name: &str) -> Result<()> {
        let text = &self.source.text;
        let exports = text.lines().any(|line| line.trim_start().starts_with("export "));
        if exports || self.source.file.is_some() || self.aggregate {
            self.module.clone_from(text);
            return Ok(());
        }
        let declared = |form: &str| {
            text.contains(&format!("{form} {name}(")) || text.contains(&format!("{form} {name} ("))
        };
        if declared("function") || declared("function*") || declared("function *") {
            self.module = format!("{text}\nexport {{ {name} }};");
            return Ok(());
        }
        if let Some(name) = self
            .source
            .names
            .iter()
            .find(|n| n.starts_with('$') && n.len() > 1 && n[1..].parse::<u32>().is_ok())
            && !text.contains(name.as_str())
        {
            log::debug!("the body does not use its parameter {name}");
        }
        let generator = if self.rows && text.contains("yield") { "*" } else { "" };
        let asynchronous = if text.contains("await ") { "async " } else { "" };
        let parameters = self.source.names.join(", ");
        self.source.export = "$function".to_string();
        let head = format!("export {asynchronous}function{generator} $function({parameters}) {{ ");
        self.shift = head.chars().count() as u32;
        self.module = format!("{head}{text}\n}}");
        Ok(())
    }

    /// Whether its function is `async`.
    pub fn is_async(&self) -> bool {
        self.waits
    }

    /// What the code is, as a digest.
    pub fn digest(&self) -> String {
        let modules = &self.source.modules;
        match modules.is_empty() {
            true => crate::digest::digest(&self.source.text),
            false => crate::digest::digest(&format!("{}\n{modules:?}", self.source.text)),
        }
    }

    /// The files that hold the code.
    pub fn files(&self) -> Vec<std::path::PathBuf> {
        let Some(file) = self.source.file.as_ref().map(std::path::PathBuf::from) else { return Vec::new() };
        let folder = file.parent().map(std::path::Path::to_path_buf).unwrap_or_default();
        let modules = self.source.modules.iter().map(|(name, _)| folder.join(name));
        std::iter::once(file.clone()).chain(modules).collect()
    }

    /// What was thrown, with its place.
    fn told(&self, error: CaughtError<'_>) -> String {
        let (message, place) = thrown(error);
        match place {
            Some((line, column)) => format!("{message} ({})", self.shown_place(line, column)),
            None => message,
        }
    }

    /// Where a position in the module is, for people: `line 3 of 'f.js'`, `line 3`.
    fn shown_place(&self, line: u32, column: u32) -> String {
        let column = if line == 1 { column.saturating_sub(self.shift).max(1) } else { column };
        match &self.source.file {
            Some(file) => format!("{file}:{line}:{column}"),
            None => {
                let at = definition::place(self.source.start, line, column).start;
                format!("line {}, column {}", at.line, at.column)
            }
        }
    }

    /// An error of the code that the statement shows.
    fn load_error(&self, message: &str, place: Option<(u32, u32)>) -> Error {
        let error = Error::plan(format!("the JavaScript code does not load: {message}"));
        match (place, &self.source.file) {
            (Some((line, column)), None) => {
                let column = if line == 1 { column.saturating_sub(self.shift).max(1) } else { column };
                error.at(definition::place(self.source.start, line, column))
            }
            (Some((line, column)), Some(_)) => {
                error.with_detail(format!("at {}", self.shown_place(line, column)))
            }
            (None, _) => error,
        }
    }
}

/// Until when code may run. The interrupt handler of a runtime holds a copy, which has to be `Send`.
///
/// A row costs no look at the clock: its time runs from when QuickJS asks first, which code that ends soon never lets
/// it do.
#[derive(Clone, Default)]
struct Deadline(Arc<Bound>);

#[derive(Default)]
struct Bound {
    /// Nanoseconds since [`started`]; `NONE`, or `ASKED`: from the first look on for `limit`.
    at: AtomicU64,
    limit: AtomicU64,
    /// Whether code was told to stop.
    hit: AtomicBool,
}

const NONE: u64 = 0;
const ASKED: u64 = u64::MAX;

/// The instant that deadlines are counted from.
fn started() -> Instant {
    static STARTED: OnceLock<Instant> = OnceLock::new();
    *STARTED.get_or_init(Instant::now)
}

fn nanos(at: Instant) -> u64 {
    let since = at.saturating_duration_since(started()).as_nanos();
    u64::try_from(since).unwrap_or(ASKED - 1).clamp(NONE + 1, ASKED - 1)
}

impl Deadline {
    fn set(&self, at: Option<Instant>) {
        self.0.hit.store(false, Ordering::Relaxed);
        self.0.at.store(at.map_or(NONE, nanos), Ordering::Relaxed);
    }

    /// From the first time that QuickJS asks.
    fn lasts(&self, limit: Duration) {
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(ASKED - 1);
        self.0.limit.store(limit, Ordering::Relaxed);
        self.0.hit.store(false, Ordering::Relaxed);
        self.0.at.store(ASKED, Ordering::Relaxed);
    }

    fn has_passed(&self) -> bool {
        let at = match self.0.at.load(Ordering::Relaxed) {
            NONE => return false,
            ASKED => {
                let at = nanos(Instant::now()).saturating_add(self.0.limit.load(Ordering::Relaxed));
                self.0.at.store(at.min(ASKED - 1), Ordering::Relaxed);
                return false;
            }
            at => at,
        };
        let passed = nanos(Instant::now()) >= at;
        if passed {
            self.0.hit.store(true, Ordering::Relaxed);
        }
        passed
    }

    /// Nothing runs any more; whether it was told to stop.
    fn end(&self) -> bool {
        self.0.at.store(NONE, Ordering::Relaxed);
        // Only the thread that ends it writes it: an exchange would cost more than a short function.
        let hit = self.0.hit.load(Ordering::Relaxed);
        if hit {
            self.0.hit.store(false, Ordering::Relaxed);
        }
        hit
    }
}

/// Code that is loaded into a QuickJS of one thread.
struct Instance {
    // Functions go before the context that they belong to.
    functions: HashMap<String, Persistent<Function<'static>>>,
    context: Context,
    deadline: Deadline,
    /// A bound was hit: what the instance holds cannot be trusted.
    spent: Cell<bool>,
}

thread_local! {
    static INSTANCES: RefCell<HashMap<u64, Rc<Instance>>> = RefCell::default();
}

/// What QuickJS calls a script that has no name.
const ENGINE_SCRIPT: &str = "eval_script";

/// The position of the user's code that a stack of QuickJS names first, and the file if it is of a module: `at f (code:3:14)`.
fn position(stack: &str) -> Option<(Option<&str>, (u32, u32))> {
    stack.lines().find_map(|line| {
        let inside = line.trim().trim_end_matches(')');
        let mut parts = inside.rsplitn(3, ':');
        let column = parts.next()?.parse().ok()?;
        let line = parts.next()?.parse().ok()?;
        let file = parts.next()?.rsplit(['(', ' ']).next();
        // What the engine gives to code (`fetch` and the like) is no place of the user's.
        let is_users = file != Some(ENGINE_SCRIPT);
        is_users.then(|| (file.filter(|name| name.contains('.')), (line, column)))
    })
}

/// Message and place of what was thrown.
fn thrown(error: CaughtError<'_>) -> (String, Option<(u32, u32)>) {
    match error {
        CaughtError::Exception(exception) => {
            let name: Option<String> = exception.as_object().get("name").ok();
            let message = exception.message().unwrap_or_default();
            let text = match name.filter(|n| !n.is_empty()) {
                Some(name) if message.is_empty() => name,
                Some(name) => format!("{name}: {message}"),
                None => message,
            };
            let stack = exception.stack();
            match stack.as_deref().and_then(position) {
                Some((Some(file), (line, column))) => (format!("{text} ({file}:{line}:{column})"), None),
                Some((None, place)) => (text, Some(place)),
                None => (text, None),
            }
        }
        CaughtError::Value(value) => (values::shown(&value), None),
        CaughtError::Error(error) => (error.to_string(), None),
    }
}

impl Instance {
    fn new(library: &Library) -> Result<Self> {
        Self::with(library, |_| Ok(())).map(|((), instance)| instance)
    }

    /// An instance with something more to be found by its code. What `prepare` gives has to go before the instance.
    fn with<T>(library: &Library, prepare: impl FnOnce(&Ctx<'_>) -> Result<T>) -> Result<(T, Self)> {
        let failed = |e: rquickjs::Error| Error::execution(format!("JavaScript does not start: {e}"));
        let runtime = Runtime::new().map_err(failed)?;
        runtime.set_memory_limit(library.limits.memory);
        runtime.set_max_stack_size(STACK);
        let deadline = Deadline::default();
        let asked = deadline.clone();
        runtime.set_interrupt_handler(Some(Box::new(move || asked.has_passed())));
        let context = Context::full(&runtime).map_err(failed)?;
        let mut instance = Self { functions: HashMap::new(), context, deadline, spent: Cell::new(false) };
        // Loading may compute tables: it gets a second at least.
        instance.deadline.set(Some(Instant::now() + library.limits.time.max(Duration::from_secs(1))));
        let prepared = instance.context.with(|ctx| prepare(&ctx))?;
        let loaded = instance.context.with(|ctx| -> Result<_> {
            let evaluated = (|| {
                library.source.secrets.install(&ctx)?;
                for (name, text) in &library.source.modules {
                    Module::declare(ctx.clone(), name.as_str(), text.as_str())?;
                }
                let module = Module::declare(ctx.clone(), "code", library.module.as_str())?;
                let (module, promise) = module.eval()?;
                promise.finish::<()>()?;
                Ok(module)
            })();
            let module = evaluated.catch(&ctx).map_err(|e| {
                let (message, place) = thrown(e);
                let error = library.load_error(&message, place);
                match message.contains("could not load module") {
                    true => error.with_hint(
                        "modules are files below the folder of the function: import { f } from './lib.js'",
                    ),
                    false => error,
                }
            })?;
            let wanted: Vec<&str> = match library.aggregate {
                true => AGGREGATE.to_vec(),
                false => vec![library.source.export.as_str()],
            };
            let mut functions = HashMap::new();
            for name in wanted {
                if let Ok(function) = module.get::<_, Function<'_>>(name) {
                    functions.insert(name.to_string(), Persistent::save(&ctx, function));
                }
            }
            let exports: Vec<String> =
                module.namespace().map(|o| o.keys::<String>().flatten().collect()).unwrap_or_default();
            Ok((functions, exports))
        });
        instance.deadline.set(None);
        let (functions, exports) = loaded?;
        let missing = match library.aggregate {
            true => AGGREGATE[..3].iter().copied().find(|n| !functions.contains_key(*n)),
            false => Some(library.source.export.as_str()).filter(|n| !functions.contains_key(*n)),
        };
        if let Some(missing) = missing {
            let error = Error::plan(format!("the code exports no function '{missing}'"));
            let hint = match (library.aggregate, exports.is_empty()) {
                (true, _) => {
                    "an aggregate function exports create(), accumulate(state, ...) and finish(state)"
                        .to_string()
                }
                (_, true) => format!("write: export function {missing}(...) {{ ... }}"),
                (_, false) => format!("it exports {}; AS 'name' picks one", exports.join(", ")),
            };
            return Err(error.with_hint(hint));
        }
        instance.functions = functions;
        Ok((prepared, instance))
    }

    /// The functions are of kinds that can be called here; whether their calls wait.
    fn check(&self, library: &Library) -> Result<bool> {
        let mut waits = false;
        for name in self.functions.keys() {
            let kind: String = self.context.with(|ctx| {
                let function = self.function(&ctx, name)?;
                let of = ctx.eval::<Function<'_>, _>("(f) => Object.prototype.toString.call(f)");
                of.and_then(|of| of.call((function,))).map_err(|e| Error::execution(e.to_string()))
            })?;
            if kind.contains("Async") {
                if library.aggregate {
                    return Err(Error::unsupported(format!("function '{name}' of an aggregate is async"))
                        .with_hint("aggregate what an async function gives: SUM(f(a))"));
                }
                waits = true;
            }
            if kind.contains("Generator") && !library.rows {
                return Err(Error::plan(format!("function '{name}' is a generator, but returns one value"))
                    .with_hint("a generator RETURNS TABLE (column type, ...)"));
            }
        }
        Ok(waits)
    }

    /// An error that a call of the function threw at once.
    fn told(&self, library: &Library, error: CaughtError<'_>) -> String {
        library.told(error)
    }

    fn function<'js>(&self, ctx: &Ctx<'js>, name: &str) -> Result<Function<'js>> {
        let function =
            self.functions.get(name).ok_or_else(|| Error::internal("a function was not loaded"))?;
        function.clone().restore(ctx).map_err(|e| Error::execution(e.to_string()))
    }

    /// Calls a function within its deadline.
    fn run<'js>(
        &self,
        library: &Library,
        ctx: &Ctx<'js>,
        function: &Function<'js>,
        args: Args<'js>,
    ) -> std::result::Result<Value<'js>, String> {
        self.deadline.lasts(library.limits.time);
        let result = args.apply::<Value<'js>>(function);
        let stopped = self.deadline.end();
        result.catch(ctx).map_err(|error| self.why(library, error, stopped))
    }

    /// Why a call failed.
    fn why(&self, library: &Library, error: CaughtError<'_>, stopped: bool) -> String {
        let (message, place) = thrown(error);
        let place = place
            .map(|(line, column)| format!(" ({})", library.shown_place(line, column)))
            .unwrap_or_default();
        if stopped && message.contains("interrupted") {
            self.spent.set(true);
            return format!("took longer than its 'timeout' of {:?}{place}", library.limits.time);
        }
        if message.contains("out of memory") || message == "null" {
            self.spent.set(true);
            let limit = crate::quantity::shown_size(library.limits.memory as u64);
            return format!("needs more than its 'memory-limit' of {limit}{place}");
        }
        format!("{message}{place}")
    }
}

/// Runs with the instance of this thread; one that hit a bound is made anew the next time.
fn with_instance<T>(library: &Library, run: impl FnOnce(&Instance) -> Result<T>) -> Result<T> {
    let known = INSTANCES.with(|all| all.borrow().get(&library.id).cloned());
    let instance = match known {
        Some(instance) => instance,
        None => {
            let instance = Rc::new(Instance::new(library)?);
            INSTANCES.with(|all| all.borrow_mut().insert(library.id, Rc::clone(&instance)));
            instance
        }
    };
    let result = run(&instance);
    if instance.spent.get() {
        INSTANCES.with(|all| all.borrow_mut().remove(&library.id));
    }
    result
}

/// The rows' results: one value a row, or an array of rows a row.
pub fn call(
    library: &Library,
    function: &UserFunction,
    args: &[ArrayRef],
    rows: usize,
    result: &DataType,
) -> Result<ArrayRef> {
    let mut builder = build::Builder::new(result, rows)?;
    let mut row = 0;
    // A row that hits a bound ends its instance: the next one gets another.
    while row < rows {
        row = with_instance(library, |instance| {
            instance.context.with(|ctx| {
                let js = instance.function(&ctx, &library.source.export)?;
                let readers = values::readers(&ctx, args, library.limits.big_integers)?;
                let from = row;
                for row in from..rows {
                    let outcome = values::arguments(&ctx, &readers, row)
                        .and_then(|args| instance.run(library, &ctx, &js, args))
                        .and_then(|value| {
                            builder.append(&ctx, &value, &|| instance.generator_deadline(library))
                        });
                    instance.deadline.set(None);
                    if let Err(why) = outcome {
                        let error = failed(function, &why, args, row);
                        match function.on_error {
                            OnError::Fail => return Err(error),
                            OnError::Null => {
                                function.count_failure(&error);
                                builder.append_null();
                            }
                        }
                    }
                    if instance.spent.get() {
                        return Ok(row + 1);
                    }
                }
                Ok(rows)
            })
        })?;
    }
    builder.finish()
}

impl Instance {
    /// Sets the deadline of what a generator or getter still computes.
    fn generator_deadline(&self, library: &Library) {
        self.deadline.lasts(library.limits.time);
    }
}

/// Calls one of the functions of an aggregate: the state goes in and out as JSON.
pub fn aggregate_step(
    library: &Library,
    function: &UserFunction,
    state: &str,
    args: &[ArrayRef],
    step: &str,
) -> Result<String> {
    let rows = args.first().map_or(0, |a| a.len());
    with_instance(library, |instance| {
        instance.context.with(|ctx| {
            let js = instance.function(&ctx, step)?;
            let readers = values::readers(&ctx, args, library.limits.big_integers)?;
            let mut state: Value<'_> = parse(&ctx, state)?;
            for row in 0..rows {
                let outcome = (|| {
                    let mut call = Args::new(ctx.clone(), readers.len() + 1);
                    call.push_arg(state.clone()).map_err(|e| e.to_string())?;
                    for reader in &readers {
                        call.push_arg(reader.value(&ctx, row)?).map_err(|e| e.to_string())?;
                    }
                    instance.run(library, &ctx, &js, call)
                })();
                match outcome {
                    Ok(value) if value.is_undefined() => {}
                    Ok(value) => state = value,
                    Err(why) => {
                        let error = failed(function, &why, args, row);
                        if function.on_error == OnError::Fail {
                            return Err(
                                error.with_hint("an aggregate that skips a row returns its state unchanged")
                            );
                        }
                        function.count_failure(&error);
                    }
                }
            }
            text(&ctx, function, state)
        })
    })
}

/// The state of an empty group.
pub fn aggregate_create(library: &Library, function: &UserFunction) -> Result<String> {
    with_instance(library, |instance| {
        instance.context.with(|ctx| {
            let js = instance.function(&ctx, "create")?;
            let value = instance.run(library, &ctx, &js, Args::new(ctx.clone(), 0));
            text(&ctx, function, value.map_err(|why| failed(function, &why, &[], 0))?)
        })
    })
}

/// One state of two.
pub fn aggregate_merge(
    library: &Library,
    function: &UserFunction,
    state: &str,
    other: &str,
) -> Result<String> {
    with_instance(library, |instance| {
        if !instance.functions.contains_key("merge") {
            return Err(Error::unsupported(format!(
                "function '{}' exports no merge(state, other)",
                function.name
            ))
            .with_hint("it is needed where partial results are joined, as in SESSION windows"));
        }
        instance.context.with(|ctx| {
            let js = instance.function(&ctx, "merge")?;
            let state = parse(&ctx, state)?;
            let mut call = Args::new(ctx.clone(), 2);
            let pushed = call.push_arg(state.clone()).and_then(|()| call.push_arg(parse_js(&ctx, other)?));
            pushed.map_err(|e| Error::execution(e.to_string()))?;
            let value =
                instance.run(library, &ctx, &js, call).map_err(|why| failed(function, &why, &[], 0))?;
            text(&ctx, function, if value.is_undefined() { state } else { value })
        })
    })
}

/// The result of a state.
pub fn aggregate_finish(
    library: &Library,
    function: &UserFunction,
    state: &str,
    result: &DataType,
) -> Result<ArrayRef> {
    let mut builder = build::Builder::new(result, 1)?;
    with_instance(library, |instance| {
        instance.context.with(|ctx| {
            let js = instance.function(&ctx, "finish")?;
            let mut call = Args::new(ctx.clone(), 1);
            call.push_arg(parse(&ctx, state)?).map_err(|e| Error::execution(e.to_string()))?;
            let outcome = instance
                .run(library, &ctx, &js, call)
                .and_then(|value| builder.append(&ctx, &value, &|| instance.generator_deadline(library)));
            instance.deadline.set(None);
            match outcome {
                Ok(()) => Ok(()),
                Err(why) if function.on_error == OnError::Null => {
                    function.count_failure(&failed(function, &why, &[], 0));
                    builder.append_null();
                    Ok(())
                }
                Err(why) => Err(failed(function, &why, &[], 0)),
            }
        })
    })?;
    builder.finish()
}

fn parse_js<'js>(ctx: &Ctx<'js>, json: &str) -> rquickjs::Result<Value<'js>> {
    ctx.json_parse(json)
}

fn parse<'js>(ctx: &Ctx<'js>, json: &str) -> Result<Value<'js>> {
    parse_js(ctx, json)
        .map_err(|e| Error::execution(format!("the state of an aggregate function is not JSON: {e}")))
}

fn text<'js>(ctx: &Ctx<'js>, function: &UserFunction, state: Value<'js>) -> Result<String> {
    let json = ctx.json_stringify(state).catch(ctx).map_err(|e| thrown(e).0);
    match json.and_then(|json| json.map(|s| s.to_string().map_err(|e| e.to_string())).transpose()) {
        Ok(Some(json)) => Ok(json),
        Ok(None) => Err(Error::execution(format!("the state of function '{}' is undefined", function.name))
            .with_hint("create() returns the state of an empty group, such as { sum: 0 }")),
        Err(why) => {
            Err(Error::execution(format!("the state of function '{}' cannot be JSON: {why}", function.name)))
        }
    }
}
