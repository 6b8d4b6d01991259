//! What tables write to standard output, as `'connector' = 'print'` does, is shown below the cell that ran
//! last: in a notebook the terminal is not visible.
//!
//! They write into a pipe instead. Its reader never waits, so that a job is as fast as it is elsewhere; of
//! what comes faster than anyone reads, the last lines of each tenth of a second are shown and the others
//! are counted.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::connector::stdio::redirect_stdout;
use crate::console::progress::thousands;
use crate::console::render::visible;
use crate::error::Result;

/// Least time between two messages.
const FRAME: Duration = Duration::from_millis(100);

/// Lines of one message.
const LINES: usize = 100;

/// Bytes of a line that are shown.
const LINE: usize = 2_000;

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// Where the text goes.
pub type Show = Arc<dyn Fn(&str) + Send + Sync>;

/// Takes what tables write to standard output from now on.
pub fn capture(show: Show) -> Result<()> {
    let (reader, writer) = std::io::pipe()?;
    redirect_stdout(Box::new(writer))?;
    let (pieces, received) = crossbeam_channel::bounded(4);
    let read = move || {
        let mut reader = reader;
        let mut piece = vec![0; PIECE];
        while let Ok(n @ 1..) = reader.read(&mut piece) {
            if pieces.send(piece[..n].to_vec()).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("affluent-stdout".into()).spawn(read)?;
    std::thread::Builder::new()
        .name("affluent-stdout-show".into())
        .spawn(move || follow(&received, &*show))?;
    Ok(())
}

/// Shows what comes until nothing can come any more.
fn follow(pieces: &Receiver<Vec<u8>>, show: &(dyn Fn(&str) + Send + Sync)) {
    let mut waiting = Waiting::default();
    while let Ok(piece) = pieces.recv() {
        waiting.push(&piece);
        let deadline = std::time::Instant::now() + FRAME;
        let ended = loop {
            match pieces.recv_deadline(deadline) {
                Ok(piece) => waiting.push(&piece),
                Err(RecvTimeoutError::Timeout) => break false,
                Err(RecvTimeoutError::Disconnected) => break true,
            }
        };
        if let Some(text) = waiting.take(ended) {
            show(&text);
        }
    }
}

/// Lines that were not shown yet.
#[derive(Debug, Default)]
struct Waiting {
    lines: std::collections::VecDeque<Vec<u8>>,
    left_out: u64,
    /// The line that has no end yet.
    open: Vec<u8>,
}

impl Waiting {
    fn push(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|b| *b == b'\n') {
            let room = LINE.saturating_sub(self.open.len());
            self.open.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.lines.push_back(std::mem::take(&mut self.open));
                if self.lines.len() > LINES {
                    self.lines.pop_front();
                    self.left_out += 1;
                }
            }
        }
    }

    /// The text to show now; at the end also a line without an end.
    fn take(&mut self, ended: bool) -> Option<String> {
        if ended && !self.open.is_empty() {
            self.lines.push_back(std::mem::take(&mut self.open));
        }
        let mut text = String::new();
        if self.left_out > 0 {
            text.push_str(&format!("... {} lines left out\n", thousands(self.left_out)));
            self.left_out = 0;
        }
        for line in self.lines.drain(..) {
            text.push_str(visible::lines(&String::from_utf8_lossy(&line)).trim_end_matches('\n'));
            text.push('\n');
        }
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_whole_and_not_too_many() {
        let mut waiting = Waiting::default();
        waiting.push(b"+I[1, a]\n+I[2");
        assert_eq!(waiting.take(false).unwrap(), "+I[1, a]\n");
        waiting.push(b", \x1b[2J]\n");
        assert_eq!(waiting.take(false).unwrap(), "+I[2, ␛[2J]\n");
        assert_eq!(waiting.take(false), None);
        (0..LINES + 1_000).for_each(|i| waiting.push(format!("{i}\n").as_bytes()));
        let text = waiting.take(false).unwrap();
        assert!(text.starts_with("... 1,000 lines left out\n1000\n") && text.ends_with("\n1099\n"), "{text}");
        waiting.push(&vec![b'x'; 1 << 20]);
        waiting.push(b"\nend");
        assert_eq!(waiting.take(false).unwrap().len(), LINE + 1);
        assert_eq!(waiting.take(true).unwrap(), "end\n");
    }

    #[test]
    fn shown_to_the_end() {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let shown = Arc::new(parking_lot::Mutex::new(String::new()));
        let sink = shown.clone();
        sender.send(b"a\nb".to_vec()).unwrap();
        drop(sender);
        follow(&receiver, &move |text: &str| sink.lock().push_str(text));
        assert_eq!(*shown.lock(), "a\nb\n");
    }
}
