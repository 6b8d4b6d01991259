//! Why showing something stopped.

use std::io;

use crate::error::Error;

/// Why showing something stopped.
#[derive(Debug)]
pub enum Fault {
    /// The reader of standard output went away, as `head` does: the end, and no error.
    Closed,
    /// An error to show.
    Error(Error),
}

impl From<Error> for Fault {
    fn from(e: Error) -> Self {
        Self::Error(e)
    }
}

impl From<io::Error> for Fault {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Error(Error::io(e.to_string()).context("standard output")),
        }
    }
}
