//! The FULL cache.

use std::time::Duration;

/// When a FULL cache is loaded again.
#[derive(Debug, Clone, PartialEq)]
pub enum Reload {
    /// Never.
    Once,
    /// Periodically.
    Periodic {
        /// Between loads.
        interval: Duration,
        /// From start to start, else from end to start.
        fixed_rate: bool,
    },
    /// At a time of day.
    Timed {
        /// Seconds after midnight and the zone's offset in seconds, local time without one.
        second_of_day: u32,
        /// Offset from UTC.
        offset_seconds: Option<i32>,
        /// Every how many days.
        interval_days: u32,
    },
}
