//! Log lines on standard error: warnings, or more with `AFFLUENT_LOG=debug`. Off a terminal they are logfmt, as the
//! figures of jobs are: one format for what collects logs.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Instant;

use log::{LevelFilter, Log, Metadata, Record};
use parking_lot::RwLock;

use super::output::complain;
use super::progress::logfmt;
use super::render::visible;

/// Where warnings are shown beside standard error.
pub type Listener = Box<dyn Fn(&str) + Send + Sync>;

/// Notes are left out.
static QUIET: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// From now on there are no notes, only warnings and errors.
pub fn be_quiet() {
    QUIET.store(true, std::sync::atomic::Ordering::Relaxed);
}

static LISTENER: RwLock<Option<Listener>> = RwLock::new(None);

/// Sends warnings to a listener, too. A notebook needs it, because its user does not see standard error.
pub fn listen(listener: Listener) {
    *LISTENER.write() = Some(listener);
}

struct StderrLogger {
    started: Instant,
    level: LevelFilter,
    /// Standard error is read by people, not by what collects logs.
    terminal: bool,
}

impl Log for StderrLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What other libraries tell is for those who ask.
        let own = metadata.target().starts_with("affluent");
        if metadata.target() == crate::NOTICE && self.level == LevelFilter::Warn {
            return !QUIET.load(std::sync::atomic::Ordering::Relaxed)
                || metadata.level() <= LevelFilter::Warn;
        }
        if metadata.target() == crate::NOTICE && self.level > LevelFilter::Warn {
            return true;
        }
        metadata.level() <= if own { self.level } else { self.level.min(LevelFilter::Warn) }
            || self.level == LevelFilter::Trace
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            if record.level() <= log::Level::Warn
                && let Some(listener) = &*LISTENER.read()
            {
                let level = record.level().as_str().to_ascii_lowercase().replace("warn", "warning");
                let text = visible::lines(&crate::secret::redacted(record.args().to_string()));
                listener(&format!("{level}: {text}"));
            }
            let level = record.level().as_str().to_ascii_lowercase();
            if !self.terminal {
                let time = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%S%.3fZ");
                let text = logfmt(&crate::secret::redact(&record.args().to_string()));
                return complain(format_args!("ts={time} level={level} msg={text}"));
            }
            let seconds = self.started.elapsed().as_secs_f64();
            let text = visible::lines(&crate::secret::redacted(record.args().to_string()));
            complain(format_args!("{level}: [{seconds:.3}] {text}"));
        }
    }

    fn flush(&self) {}
}

/// Installs the logger; a level that is not known is reported and counts as `warn`.
pub fn install() {
    let wanted = std::env::var("AFFLUENT_LOG").unwrap_or_default();
    let parsed = if wanted.is_empty() { Ok(LevelFilter::Warn) } else { wanted.parse() };
    let level = *parsed.as_ref().unwrap_or(&LevelFilter::Warn);
    static LOGGER: OnceLock<StderrLogger> = OnceLock::new();
    let logger = LOGGER.get_or_init(|| StderrLogger {
        started: Instant::now(),
        level,
        terminal: std::io::stderr().is_terminal() && !super::output::logs_json(),
    });
    if log::set_logger(logger).is_ok() {
        // What is always said is of this level.
        log::set_max_level(if level >= LevelFilter::Warn { level.max(LevelFilter::Info) } else { level });
    }
    if parsed.is_err() {
        log::warn!("AFFLUENT_LOG is '{wanted}'; expected off, error, warn, info, debug or trace");
    }
}
