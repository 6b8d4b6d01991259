//! Windows of time: how a row's timestamp becomes the windows it belongs to, and what is computed of them.
//!
//! ```text
//!  TUMBLE 10    |----------|----------|----------|
//!  HOP 5, 10    |----------|
//!                    |----------|
//!                         |----------|
//!  CUMULATE 5, 10  |----|          |----|
//!                  |---------|     |---------|
//!  SESSION 5    x-x--x-----)    x--x-----)
//! ```
//! Everything here counts in milliseconds of *window time*: of a TIMESTAMP that is what it shows, of a
//! TIMESTAMP_LTZ what the clocks in the session's zone show (module `zone`). A watermark, which is an instant,
//! becomes the greatest window end that it closes; from there on windows are compared as numbers.
//!
//! | operator | windows | holds |
//! |---|---|---|
//! | [`WindowTableFunction`] | TUMBLE, HOP, CUMULATE | nothing |
//! | [`SessionTableFunction`] | SESSION | rows |
//! | [`WindowAggregate`] | TUMBLE, HOP, CUMULATE, or columns of the input | a key table and accumulators for each slice |
//! | [`SessionAggregate`] | SESSION | sessions and accumulators |

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

mod aggregate;
mod assign;
mod pane;
mod panes;
mod session;
mod session_aggregate;
mod session_table;
mod table_function;
#[cfg(test)]
mod tests;
pub(crate) mod times;
pub(crate) mod zone;

pub use aggregate::{WindowAggregate, WindowAggregateSpec, WindowInput};
pub use session_aggregate::{SessionAggregate, SessionAggregateSpec};
pub use session_table::{SessionTableFunction, SessionTableSpec};
pub use table_function::{WindowTableFunction, WindowTableSpec};

/// Most windows that one row may be in.
const MOST_WINDOWS: i64 = 1_000_000;

/// What kind of windows, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub enum WindowKind {
    /// `TUMBLE`: each row in one window.
    Tumble {
        /// Length.
        size: i64,
    },
    /// `HOP`: a window of `size` begins every `slide`.
    Hop {
        /// Distance of the beginnings.
        slide: i64,
        /// Length.
        size: i64,
    },
    /// `CUMULATE`: windows that begin together every `size` and end every `step`.
    Cumulate {
        /// Distance of the ends.
        step: i64,
        /// Length of the longest, a multiple of `step`.
        size: i64,
    },
    /// `SESSION`: ends when no row came for `gap`.
    Session {
        /// The pause that ends a session.
        gap: i64,
    },
}

/// Windows as a query asks for them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub struct WindowSpec {
    /// Which windows.
    pub kind: WindowKind,
    /// By how much the beginnings are shifted from the epoch, in milliseconds; may be negative. 0 for sessions.
    pub offset: i64,
    /// The session's zone where the time column is TIMESTAMP_LTZ: windows follow its local time, and
    /// `window_start` and `window_end` show it. `None` for TIMESTAMP.
    pub zone: Option<String>,
}

impl WindowSpec {
    /// Refuses lengths that make no windows.
    pub fn check(&self) -> Result<()> {
        let positive = |what: &str, value: i64| {
            if value > 0 {
                return Ok(());
            }
            Err(Error::plan(format!("the {what} of {} must be greater than zero", self.kind.name()))
                .with_detail(format!("it is {value} ms")))
        };
        let (step, size) = match self.kind {
            WindowKind::Tumble { size } => return positive("size", size),
            WindowKind::Session { gap } => return positive("gap", gap),
            WindowKind::Hop { slide, size } => {
                positive("slide", slide)?;
                positive("size", size)?;
                (slide, size)
            }
            WindowKind::Cumulate { step, size } => {
                positive("step", step)?;
                positive("size", size)?;
                if size % step != 0 {
                    return Err(Error::plan("the size of CUMULATE must be a multiple of its step")
                        .with_detail(format!("size {size} ms, step {step} ms")));
                }
                (step, size)
            }
        };
        if size / step > MOST_WINDOWS {
            return Err(Error::unsupported(format!("a row would be in {} windows", size / step))
                .with_detail(format!("size {size} ms every {step} ms"))
                .with_hint(format!("at most {MOST_WINDOWS} are supported")));
        }
        Ok(())
    }
}

impl WindowKind {
    /// The table function's name.
    pub fn name(&self) -> &'static str {
        match self {
            WindowKind::Tumble { .. } => "TUMBLE",
            WindowKind::Hop { .. } => "HOP",
            WindowKind::Cumulate { .. } => "CUMULATE",
            WindowKind::Session { .. } => "SESSION",
        }
    }
}

/// What puts a row into its windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowTime {
    /// The event time in this column.
    Event(usize),
    /// The moment at which the row comes by.
    Processing,
}

/// A column that a window gives to a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowColumn {
    /// `window_start`
    Start,
    /// `window_end`
    End,
    /// `window_time`: the last millisecond of the window, an event time.
    Time,
}

/// Rows that a window operator left out.
#[derive(Debug, Default)]
pub struct WindowMetrics {
    late: AtomicU64,
    without_time: AtomicU64,
}

impl WindowMetrics {
    /// Rows whose windows had all been given out.
    pub fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// Rows whose event time is NULL: they are in no window.
    pub fn without_time(&self) -> u64 {
        self.without_time.load(Ordering::Relaxed)
    }

    fn add_late(&self, rows: usize) {
        if rows > 0 {
            self.late.fetch_add(rows as u64, Ordering::Relaxed);
        }
    }

    fn add_without_time(&self, rows: usize) {
        self.without_time.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

fn out_of_range(millis: i64) -> Error {
    Error::execution("the event time is out of the range of windows")
        .with_detail(format!("{millis} ms since 1970"))
}
