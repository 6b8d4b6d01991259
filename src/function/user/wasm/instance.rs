//! An instance of a module: its bounds, the clock of its deadline, and what its errors mean.

use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use wasmtime::{
    Config, Engine, Extern, Func, FuncType, Memory, ResourceLimiter, Store, Trap, TypedFunc, WasmBacktrace,
};

use super::{Contract, Library};
use crate::error::{Error, Result};

/// How often the epoch moves while code runs.
const TICK: Duration = Duration::from_millis(1);
/// Bytes of the stack of one call.
const STACK: usize = 256 << 10;
/// Entries of a table.
const TABLE: usize = 100_000;

/// What compiles and runs all modules of the process.
pub(super) fn engine() -> Result<&'static Engine> {
    static ENGINE: OnceLock<std::result::Result<Engine, String>> = OnceLock::new();
    let made = ENGINE.get_or_init(|| {
        let mut config = Config::new();
        config.epoch_interruption(true).max_wasm_stack(STACK);
        let engine = Engine::new(&config).map_err(|e| chain(&e))?;
        let ticking = engine.clone();
        let clock = std::thread::Builder::new().name("wasm-clock".into());
        clock.spawn(move || CLOCK.run(&ticking)).map_err(|e| e.to_string())?;
        Ok(engine)
    });
    made.as_ref().map_err(|e| Error::execution(format!("WebAssembly does not start: {e}")))
}

/// An error with what caused it.
pub(super) fn chain(error: &wasmtime::Error) -> String {
    error.chain().map(|e| e.to_string()).collect::<Vec<_>>().join(": ")
}

/// Moves the epoch, but only while something runs.
struct Clock {
    running: Mutex<usize>,
    begins: Condvar,
}

static CLOCK: Clock = Clock { running: Mutex::new(0), begins: Condvar::new() };

impl Clock {
    fn run(&self, engine: &Engine) {
        loop {
            let mut running = self.running.lock();
            while *running == 0 {
                self.begins.wait(&mut running);
            }
            drop(running);
            std::thread::sleep(TICK);
            engine.increment_epoch();
        }
    }

    fn begin(&self) -> Running {
        let mut running = self.running.lock();
        *running += 1;
        if *running == 1 {
            self.begins.notify_one();
        }
        Running
    }
}

struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        *CLOCK.running.lock() -= 1;
    }
}

/// What an instance may take.
pub(super) struct Bounds {
    memory: usize,
    used: usize,
    /// The memory is the engine's own.
    own: bool,
    hit: bool,
}

impl ResourceLimiter for Bounds {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        if self.own {
            return Ok(true);
        }
        if self.used.saturating_add(more) > self.memory {
            self.hit = true;
            return Err(wasmtime::Error::msg("the bound of memory"));
        }
        self.used += more;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE)
    }
}

/// Functions of a module by contract.
pub(super) enum Functions {
    Numbers { run: TypedFunc<(i32, i32), ()>, memory: Memory },
    Columns { alloc: TypedFunc<i32, i32>, function: TypedFunc<i32, i32>, reset: Option<Func>, memory: Memory },
}

/// An instance of a module.
pub(super) struct Instance {
    pub store: Store<Bounds>,
    pub functions: Functions,
    time: Duration,
    spent: bool,
}

/// Why a call failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub why: String,
    /// It took too long.
    pub late: bool,
}

impl Instance {
    /// Makes one, and runs what the module does at its start.
    pub fn new(library: &Library) -> Result<Self> {
        let engine = engine()?;
        let bounds = Bounds { memory: library.limits.memory, used: 0, own: false, hit: false };
        let mut store = Store::new(engine, bounds);
        store.limiter(|bounds| bounds);
        // Its start may compute tables: it gets a second at least.
        let time = library.limits.time.max(Duration::from_secs(1));
        store.set_epoch_deadline(ticks(time));
        store.epoch_deadline_trap();
        let _running = CLOCK.begin();
        let imports: Vec<Extern> = library
            .module
            .imports()
            .filter_map(|import| match import.ty() {
                wasmtime::ExternType::Func(signature) => Some(abort(&mut store, &signature).into()),
                _ => None,
            })
            .collect();
        let not_started = |store: &Store<Bounds>, e: &wasmtime::Error| {
            let failed = failed(store.data(), e, time, library.limits.memory);
            Error::plan(format!("the module does not start: {}", failed.why))
        };
        let instance = wasmtime::Instance::new(&mut store, &library.module, &imports)
            .map_err(|e| not_started(&store, &e))?;
        let missing = |name: &str| Error::internal(format!("the module lost its export '{name}'"));
        let functions = match &library.contract {
            Contract::Numbers { caller, .. } => {
                let function =
                    instance.get_func(&mut store, &library.export).ok_or_else(|| missing(&library.export))?;
                store.data_mut().own = true;
                let around = wasmtime::Instance::new(&mut store, caller, &[function.into()])
                    .map_err(|e| not_started(&store, &e))?;
                store.data_mut().own = false;
                let memory = around.get_memory(&mut store, "memory").ok_or_else(|| missing("memory"))?;
                let run = around.get_typed_func(&mut store, "run").map_err(|e| not_started(&store, &e))?;
                Functions::Numbers { run, memory }
            }
            Contract::Columns => {
                let alloc =
                    instance.get_typed_func(&mut store, super::ALLOC).map_err(|e| not_started(&store, &e))?;
                let function = instance
                    .get_typed_func(&mut store, &library.export)
                    .map_err(|e| not_started(&store, &e))?;
                let memory = instance.get_memory(&mut store, "memory").ok_or_else(|| missing("memory"))?;
                let reset = instance.get_func(&mut store, super::RESET);
                Functions::Columns { alloc, function, reset, memory }
            }
        };
        Ok(Self { store, functions, time: library.limits.time, spent: false })
    }

    /// Whether it failed, and must not be used again.
    pub fn is_spent(&self) -> bool {
        self.spent
    }

    /// Runs code within its deadline.
    pub fn run<T>(
        &mut self,
        code: impl FnOnce(&mut Store<Bounds>, &Functions) -> wasmtime::Result<T>,
    ) -> std::result::Result<T, Failed> {
        let _running = CLOCK.begin();
        self.store.set_epoch_deadline(ticks(self.time));
        let memory = self.store.data().memory;
        code(&mut self.store, &self.functions).map_err(|e| {
            self.spent = true;
            failed(self.store.data(), &e, self.time, memory)
        })
    }
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2).saturating_add(1).min(u64::MAX / 2)
}

/// `env.abort`, which AssemblyScript calls: the call ends, at the line that it names.
fn abort(store: &mut Store<Bounds>, signature: &FuncType) -> Func {
    Func::new(store, signature.clone(), |_, arguments, _| {
        let number = |i: usize| arguments.get(i).and_then(wasmtime::Val::i32).unwrap_or_default();
        Err(wasmtime::Error::msg(format!("abort (line {}, column {})", number(2), number(3))))
    })
}

/// What an error means, with the function where it happened.
fn failed(bounds: &Bounds, error: &wasmtime::Error, time: Duration, memory: usize) -> Failed {
    let place = error
        .downcast_ref::<WasmBacktrace>()
        .and_then(|b| b.frames().first().map(|f| (f.func_name().map(str::to_string), f.func_index())))
        .map(|(name, index)| match name {
            Some(name) => format!(" (in '{name}')"),
            None => format!(" (in function {index} of the module)"),
        })
        .unwrap_or_default();
    let trap = error.downcast_ref::<Trap>();
    let late = trap == Some(&Trap::Interrupt);
    let why = match trap {
        _ if bounds.hit => {
            let limit = crate::quantity::shown_size(memory as u64);
            return Failed { why: format!("needs more than its 'memory-limit' of {limit}{place}"), late };
        }
        Some(Trap::Interrupt) => format!("took longer than its 'timeout' of {time:?}"),
        Some(Trap::UnreachableCodeReached) => "stopped itself (unreachable)".to_string(),
        Some(Trap::StackOverflow) => "calls itself too deeply: its stack is full".to_string(),
        Some(Trap::IntegerDivisionByZero) => "divides a whole number by zero".to_string(),
        Some(Trap::IntegerOverflow) => "a whole number overflows".to_string(),
        Some(Trap::BadConversionToInteger) => {
            "makes a whole number of NaN or of one that does not fit".to_string()
        }
        Some(Trap::MemoryOutOfBounds) => "reads or writes outside of its memory".to_string(),
        Some(other) => chain(&wasmtime::Error::new(*other)),
        None => error.root_cause().to_string(),
    };
    Failed { why: format!("{why}{place}"), late }
}
