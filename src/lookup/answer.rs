//! What a lookup gives: rows and an outcome.

use std::time::Duration;

use arrow::array::RecordBatch;

/// How a lookup of one key ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// One row or more.
    Ok,
    /// The other side has nothing under this key.
    Miss,
    /// It is not known whether there is something: all attempts failed.
    Error(Failure),
}

/// The answer for one key.
#[derive(Debug, Clone)]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// All physical columns of the looked-up table, 0..n rows; none unless the outcome is [`Outcome::Ok`].
    pub rows: RecordBatch,
}

/// Why an attempt, or all attempts, failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Class.
    pub kind: FailureKind,
    /// For people: the endpoint, the key and the cause; without secrets.
    pub message: String,
    /// How long the other side asked to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether another attempt may succeed.
    pub retryable: bool,
}

impl Failure {
    /// One that another attempt would not change.
    pub fn other(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Other, message: message.into(), retry_after: None, retryable: false }
    }
}

/// Classes of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No connection, or it broke.
    Connection,
    /// No answer in time: of one attempt, or of all with their waiting.
    Timeout,
    /// A status that is neither success nor ignored.
    Status(u16),
    /// An answer that does not fit the table.
    Decode,
    /// An answer above the size limit.
    TooLarge,
    /// A key that cannot be asked for.
    Key,
    /// Anything else.
    Other,
}

impl FailureKind {
    /// Asking again later may have another end. A refused login, a wrong request and an answer that is not of this table
    /// stay what they are.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Connection | Self::Timeout | Self::Other => true,
            Self::Status(status) => {
                !(400..500).contains(&status) || matches!(status, 408 | 409 | 423 | 425 | 429)
            }
            Self::Decode | Self::TooLarge | Self::Key => false,
        }
    }

    /// The word used in messages and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::Decode => "decode",
            Self::TooLarge => "too-large",
            Self::Key => "key",
            Self::Other => "other",
        }
    }
}
