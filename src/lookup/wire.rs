//! Where requests leave the process, and where `affluent test` answers them instead: everything above (templates,
//! headers, retries, paging, limits) is what runs otherwise.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::{Client, Request, Response};

use super::BoxFuture;

/// Answers requests in the place of the network.
pub(crate) trait Wire: Send + Sync {
    /// The answer to a request; `in_call`: it is made by a function that somebody waits for.
    fn answer(&self, request: Request, in_call: bool) -> BoxFuture<Result<Response, Fault>>;
}

/// What goes wrong on a mocked wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody takes the connection.
    NoConnection(String),
    /// The test says nothing about the request.
    Unexpected(String),
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Broken {
    Client(reqwest::Error),
    Mocked(Fault),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection(why) | Self::Unexpected(why) => f.write_str(why),
        }
    }
}

thread_local! {
    static MOCKED: RefCell<Option<(Arc<dyn Wire>, u64)>> = const { RefCell::new(None) };
}

/// Tests so far.
static TESTS: AtomicU64 = AtomicU64::new(0);

/// Until the guard is dropped, requests that are sent on this thread are answered by `wire`.
pub(crate) struct Mocked(());

impl Mocked {
    pub(crate) fn by(wire: Arc<dyn Wire>) -> Self {
        MOCKED.set(Some((wire, TESTS.fetch_add(1, Ordering::Relaxed))));
        Self(())
    }
}

impl Drop for Mocked {
    fn drop(&mut self) {
        MOCKED.set(None);
    }
}

/// The test that this thread runs. What the process shares otherwise (limits of an endpoint) is each test's own: their
/// clocks have nothing to do with each other.
pub(crate) fn test() -> Option<u64> {
    MOCKED.with_borrow(|mocked| mocked.as_ref().map(|(_, test)| *test))
}

/// A random number from 0 to 1; in a test always 1, so that what waits for a random time waits for the longest.
pub(crate) fn chance() -> f64 {
    match test() {
        Some(_) => 1.0,
        None => rand::random(),
    }
}

/// Sends a request.
pub(crate) async fn execute(client: &Client, request: Request, in_call: bool) -> Result<Response, Broken> {
    let mocked = MOCKED.with_borrow(|mocked| mocked.as_ref().map(|(wire, _)| wire.clone()));
    match mocked {
        Some(wire) => wire.answer(request, in_call).await.map_err(Broken::Mocked),
        None => client.execute(request).await.map_err(Broken::Client),
    }
}
