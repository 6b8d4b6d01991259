//! File descriptors: how many connections the process can hold.
//!
//! Too few of them are the engine's problem and never a lookup's outcome. The binary raises the soft limit when
//! it starts; connections of all lookups keep below what is left; and a request that still finds none waits.

use std::sync::OnceLock;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::error::{Error, Result};

/// Descriptors without which nothing works: files, sockets, checkpoints, the runtime's own.
const LEAST: u64 = 128;
/// Descriptors that are left to everything that is no lookup.
const RESERVED: u64 = 96;

/// Raises the soft limit as far as the process may; an error if that is too little to work with.
pub(crate) fn raise() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(1 << 20).min(1 << 20);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        if let Err(e) = setrlimit(Resource::Nofile, limit) {
            log::debug!("the limit of open files stays: {e}");
        }
    }
    match getrlimit(Resource::Nofile).current {
        Some(current) if current < LEAST => Err(Error::execution(format!(
            "this process may open {current} files, and {LEAST} are needed at least"
        ))
        .with_hint("ulimit -n 1024, or LimitNOFILE= in a systemd unit, raises the limit")),
        _ => Ok(()),
    }
}

/// Connections that all lookups on one endpoint may hold.
pub(super) fn connections() -> usize {
    static CONNECTIONS: OnceLock<usize> = OnceLock::new();
    *CONNECTIONS.get_or_init(|| match getrlimit(Resource::Nofile).current {
        None => usize::MAX,
        Some(current) => usize::try_from(current.saturating_sub(RESERVED)).unwrap_or(usize::MAX).max(8),
    })
}

/// Whether an error says that the machine has nothing left: no descriptor, memory, port or buffer.
pub(crate) fn is_shortage(error: &std::io::Error) -> bool {
    // ENOMEM, ENFILE, EMFILE, EADDRNOTAVAIL, ENOBUFS
    matches!(error.raw_os_error(), Some(12 | 23 | 24 | 99 | 105))
}
