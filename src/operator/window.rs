//! Windows of time: how a row's timestamp becomes the windows it belongs to.

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
