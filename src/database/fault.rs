//! What a database says when something is wrong, in the classes that matter to us.

use crate::error::Error;
use crate::lookup::{Failure, FailureKind};

/// Classes of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// No connection, or it broke: what was asked may have been done.
    Connect,
    /// The server gave a statement up.
    Timeout,
    /// The server has no connection or memory left.
    Limit,
    /// User, password or certificate are not accepted.
    Login,
    /// A row with the same key is there.
    Duplicate,
    /// A deadlock, or a transaction that came too late: nothing was done.
    Conflict,
    /// A value that does not fit its type.
    Value,
    /// A column of the declared table that does not fit the database's.
    Table,
    /// Anything else.
    Other,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With words in front.
    pub(crate) fn at(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// Whether another attempt may succeed.
    pub(crate) fn passes(&self) -> bool {
        use FaultKind::{Conflict, Connect, Limit, Timeout};
        matches!(self.kind, Connect | Timeout | Limit | Conflict)
    }

    fn text(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{} (hint: {hint})", self.message),
            None => self.message.clone(),
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let kind = match fault.kind {
            FaultKind::Connect | FaultKind::Login => FailureKind::Connection,
            FaultKind::Timeout => FailureKind::Timeout,
            FaultKind::Limit => FailureKind::Limit,
            FaultKind::Value | FaultKind::Table => FailureKind::Decode,
            FaultKind::Duplicate | FaultKind::Conflict | FaultKind::Other => FailureKind::Other,
        };
        let failure = Failure::new(kind, fault.text());
        if fault.passes() { failure.retryable() } else { failure }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let error = match fault.kind {
            FaultKind::Value | FaultKind::Duplicate => Error::execution(&*fault.message),
            FaultKind::Table => Error::plan(&*fault.message),
            _ => Error::io(&*fault.message),
        };
        let error = if fault.passes() { error } else { error.lasting() };
        match fault.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}
