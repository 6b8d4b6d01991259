//! SIGINT and SIGTERM.
//!
//! A signal cancels jobs; what waits for them sees them end and goes on. A script is stopped as a
//! whole, and a second signal ends the process at once. The shell lives on: only what the current
//! statement started is cancelled.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::signal::unix::{SignalKind, signal};

use crate::flow::Job;
use crate::session::Session;

/// Exit status after an interruption by SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Exit status after a clean stop by SIGTERM: what a shell says of a process that SIGTERM ended. Not 0, which means
/// that all input was read: a supervisor would take a stopped job for a finished one.
pub const TERMINATED: u8 = 143;

/// How long a shell that is asked to end waits for its jobs.
const PATIENCE: Duration = Duration::from_secs(30);

/// So long the reader of standard output may do nothing after a signal.
const STALLED: Duration = Duration::from_secs(2);

/// Ends the process if standard output is not read: a writer there would wait for ever, and cannot be stopped
/// otherwise. What is in checkpoints is safe; what was not read is written again.
fn leave_stalled_output(status: u8) {
    let mut stalled = Duration::ZERO;
    let look = STALLED / 10;
    while stalled < STALLED {
        std::thread::sleep(look);
        let output = std::io::stdout();
        let mut polled = [rustix::event::PollFd::new(&output, rustix::event::PollFlags::OUT)];
        let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        // Ready also when there is an error, which the writer will see.
        stalled = match rustix::event::poll(&mut polled, Some(&at_once)) {
            Ok(0) => stalled + look,
            _ => Duration::ZERO,
        };
    }
    super::output::complain("standard output is closed: rows that were not read are dropped");
    super::keys::restore();
    std::process::exit(status.into());
}

/// Ends the process if no job runs any more and it does not end by itself: a statement is being planned, which takes no
/// notice of signals.
fn leave_idle(interrupts: &Interrupts) {
    let mut idle = Duration::ZERO;
    let look = STALLED / 10;
    while idle < STALLED {
        std::thread::sleep(look);
        let runs = interrupts.session.jobs().iter().any(|job| job.state() == crate::flow::JobState::Running);
        idle = if runs { Duration::ZERO } else { idle + look };
    }
    super::output::complain("a statement that was not started yet is given up");
    super::keys::restore();
    crate::lookup::settle_disks();
    std::process::exit(interrupts.status().into());
}

/// What a signal stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All jobs, and then the process.
    Script,
    /// The jobs of the current statement.
    Shell,
}

/// Interruptions of a session.
#[derive(Debug)]
pub struct Interrupts {
    session: Arc<Session>,
    scope: Scope,
    count: AtomicU32,
    /// The first signal was SIGTERM.
    terminated: AtomicBool,
    /// In a shell: jobs with a higher number belong to the current statement.
    before: AtomicU64,
    /// The query in the foreground.
    query: Mutex<Weak<Job>>,
    /// Told of each signal.
    arrived: (Mutex<()>, Condvar),
    /// How the terminal was before the shell took it.
    terminal: Option<rustix::termios::Termios>,
}

impl Interrupts {
    /// Listens for signals from now on.
    pub fn listen(session: Arc<Session>, scope: Scope) -> Arc<Self> {
        let interrupts = Arc::new(Self {
            session,
            scope,
            count: AtomicU32::new(0),
            terminated: AtomicBool::new(false),
            before: AtomicU64::new(u64::MAX),
            query: Mutex::new(Weak::new()),
            arrived: Default::default(),
            terminal: rustix::termios::tcgetattr(std::io::stdin()).ok(),
        });
        if let Err(e) = interrupts.clone().start() {
            log::warn!("signals are not handled: {e}");
        }
        interrupts
    }

    /// How often the user asked to stop, since the statement began (in a shell) or at all.
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::SeqCst)
    }

    /// Whether the user asked to stop.
    pub fn requested(&self) -> bool {
        self.count() > 0
    }

    /// Exit status after the stop that was asked for.
    pub fn status(&self) -> u8 {
        if self.terminated.load(Ordering::SeqCst) { TERMINATED } else { INTERRUPTED }
    }

    /// The signal that asked for the stop.
    pub fn signal(&self) -> &'static str {
        if self.terminated.load(Ordering::SeqCst) { "SIGTERM" } else { "SIGINT" }
    }

    /// Waits until the user asks to stop, for a bounded time; whether that was asked.
    pub fn wait(&self, timeout: Duration) -> bool {
        let deadline = std::time::Instant::now().checked_add(timeout);
        let (lock, arrived) = &self.arrived;
        let mut guard = lock.lock();
        while !self.requested() {
            let timed_out = match deadline {
                Some(deadline) => arrived.wait_until(&mut guard, deadline).timed_out(),
                None => {
                    arrived.wait(&mut guard);
                    false
                }
            };
            if timed_out {
                break;
            }
        }
        self.requested()
    }

    /// A statement begins: what it starts from now on is what a signal stops.
    pub fn statement(&self) {
        if self.scope == Scope::Shell {
            self.count.store(0, Ordering::SeqCst);
            let last = self.session.jobs().last().map_or(0, |job| job.id);
            self.before.store(last, Ordering::SeqCst);
        }
    }

    /// The query of the current statement; cancelled at once when the user was faster.
    pub fn query(&self, job: &Arc<Job>) {
        *self.query.lock() = Arc::downgrade(job);
        if self.requested() {
            job.cancel();
        }
    }

    /// The statement has ended; jobs that it left in the background are not stopped by a signal.
    pub fn idle(&self) {
        *self.query.lock() = Weak::new();
        self.before.store(u64::MAX, Ordering::SeqCst);
    }

    /// Cancels what the scope covers.
    pub fn cancel(&self) {
        let before = match self.scope {
            Scope::Script => 0,
            Scope::Shell => self.before.load(Ordering::SeqCst),
        };
        self.session.jobs().iter().filter(|job| job.id > before).for_each(|job| job.cancel());
        if let Some(job) = self.query.lock().upgrade() {
            job.cancel();
        }
    }

    /// Signals are caught when this returns; a thread waits for them.
    fn start(self: Arc<Self>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut interrupt, mut terminate) = {
            let _entered = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let wait = async move {
            let mut terminations = 0;
            loop {
                tokio::select! {
                    Some(()) = interrupt.recv() => self.clone().interrupted(),
                    Some(()) = terminate.recv() => {
                        terminations += 1;
                        self.clone().terminated(terminations);
                    }
                    else => return,
                }
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(wait))?;
        Ok(())
    }

    /// Does what SIGINT does.
    pub fn interrupted(self: Arc<Self>) {
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        // Under the lock, so that no thread is between looking and waiting.
        drop(self.arrived.0.lock());
        self.arrived.1.notify_all();
        if self.scope == Scope::Script && count == 1 {
            super::systemd::stopping();
        }
        if self.scope == Scope::Script && count > 1 {
            super::keys::restore();
            std::process::exit(self.status().into());
        }
        let status = self.status();
        let leave = move || leave_stalled_output(status);
        if self.scope == Scope::Script && std::thread::Builder::new().spawn(leave).is_err() {
            log::debug!("standard output is not watched");
        }
        let this = self.clone();
        if self.scope == Scope::Script
            && std::thread::Builder::new().spawn(move || leave_idle(&this)).is_err()
        {
            log::debug!("the end of the process is not watched");
        }
        self.cancel();
    }

    fn terminated(self: Arc<Self>, count: u32) {
        if !self.requested() {
            self.terminated.store(true, Ordering::SeqCst);
        }
        if self.scope == Scope::Script {
            return self.interrupted();
        }
        // The shell's thread sits in the line editor, so the end comes from here.
        if count > 1 {
            self.leave();
        }
        let waiting = std::thread::Builder::new().spawn({
            let this = self.clone();
            move || {
                let jobs = this.session.jobs();
                jobs.iter().for_each(|job| job.cancel());
                for job in &jobs {
                    let _ = job.wait_for(PATIENCE);
                }
                this.leave();
            }
        });
        if waiting.is_err() {
            self.leave();
        }
    }

    /// Gives the terminal back as it was and ends the process.
    fn leave(&self) {
        crate::lookup::settle_disks();
        if let Some(terminal) = &self.terminal {
            let _ =
                rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, terminal);
        }
        std::process::exit(self.status().into());
    }
}
