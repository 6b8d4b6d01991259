//! Shows the rows of a query as they come.

use std::time::Duration;

use super::fault::Fault;
use super::interrupt::Interrupts;
use super::keys::Keys;
use super::output::Output;
use super::progress::{INTERVAL, Progress};
use super::render::{Ending, Renderer};
use crate::error::{Error, ErrorKind};
use crate::session::{Next, QueryResult};

/// How showing a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// All rows were shown.
    All,
    /// The query was cancelled.
    Cancelled,
}

/// Shows the rows until the query ends. What has arrived is on the screen before this waits for more.
pub fn show(
    query: &mut QueryResult,
    output: &mut Output,
    interrupts: &Interrupts,
    progress: &mut Progress,
) -> Result<Shown, Fault> {
    let plain = match output.copying && query.is_append() {
        true => super::copy::rows(output.target.format, query.schema().clone()),
        false => None,
    };
    let renderer = match plain {
        Some(plain) => plain,
        None => output.target.renderer(query.schema().clone())?,
    };
    show_with(query, renderer, output, interrupts, progress)
}

/// The same with its own renderer.
pub fn show_with(
    query: &mut QueryResult,
    mut renderer: Box<dyn Renderer>,
    output: &mut Output,
    interrupts: &Interrupts,
    progress: &mut Progress,
) -> Result<Shown, Fault> {
    let job = query.job().clone();
    interrupts.query(&job);
    let live = renderer.is_live() && output.target.terminal;
    let keys = if live { Keys::take() } else { None };
    if live {
        progress.hide();
    }
    // True while rows may be waiting in the buffer or the renderer.
    let mut fresh = false;
    loop {
        let patience = match fresh {
            true => Duration::ZERO,
            false => renderer.due().unwrap_or(INTERVAL).min(progress.interval()),
        };
        if keys.as_ref().is_some_and(Keys::quits) {
            job.cancel();
        }
        match query.next_timeout(patience) {
            Ok(Next::Chunk(chunk)) => {
                renderer.chunk(&chunk, output.buffer())?;
                progress.rows_came();
                if output.buffer().len() >= super::output::BUFFER {
                    progress.clear();
                    output.flush()?;
                }
                fresh = true;
                progress.tick(std::slice::from_ref(&job));
            }
            Ok(Next::Pending) => {
                renderer.idle(output.buffer())?;
                if !output.buffer().is_empty() {
                    progress.clear();
                }
                output.flush()?;
                fresh = false;
                progress.tick(std::slice::from_ref(&job));
                // The query does not end although it was cancelled: it is left behind.
                if interrupts.count() > 1 {
                    renderer.end(Ending::Cancelled, output.buffer())?;
                    output.flush()?;
                    return Ok(Shown::Cancelled);
                }
            }
            Ok(Next::End) => {
                progress.clear();
                renderer.end(Ending::Complete, output.buffer())?;
                output.flush()?;
                return Ok(Shown::All);
            }
            Err(e) => {
                progress.clear();
                let cancelled = e.kind() == ErrorKind::Cancelled;
                if cancelled && output.target.terminal {
                    // The terminal's own echo of Ctrl-C.
                    output.buffer().extend_from_slice(b"\r  \r");
                }
                let ending = if cancelled { Ending::Cancelled } else { Ending::Failed };
                renderer.end(ending, output.buffer())?;
                output.flush()?;
                return if cancelled { Ok(Shown::Cancelled) } else { Err(failure(e)) };
            }
        }
    }
}

/// What fails while rows flow is no mistake in the SQL, whatever its kind.
fn failure(e: Error) -> Fault {
    Fault::Error(if e.kind().is_usage() { rekind(e) } else { e })
}

/// The same error as a failure of execution.
pub fn rekind(e: Error) -> Error {
    let mut out = Error::new(ErrorKind::Execution, e.message());
    if let Some(detail) = e.detail() {
        out = out.with_detail(detail);
    }
    if let Some(hint) = e.hint() {
        out = out.with_hint(hint);
    }
    match e.span() {
        Some(span) => out.at(span),
        None => out,
    }
}
