//! The sink behind SELECT: chunks go over a bounded channel to whoever reads the result. At-least-once: rows behind
//! the last checkpoint are shown again.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded, select};

use crate::connector::{Sink, SinkChangelog, Writer};
use crate::error::{Error, Result};
use crate::flow::Chunk;

/// Chunks that may wait for the reader before the tasks do.
const CHUNKS: usize = 16;

pub struct Collect {
    sender: parking_lot::Mutex<Option<Sender<Chunk>>>,
    cancelled: Receiver<()>,
}

struct CollectWriter {
    chunks: Sender<Chunk>,
    cancelled: Receiver<()>,
}

impl Collect {
    /// The sink and the other end. `cancelled` is closed when the job is to stop: a writer that waits for
    /// its reader gives up then.
    pub fn new(cancelled: Receiver<()>) -> (Arc<Self>, Receiver<Chunk>) {
        let (sender, receiver) = bounded(CHUNKS);
        (Arc::new(Self { sender: Some(sender).into(), cancelled }), receiver)
    }
}

impl Sink for Collect {
    fn changelog(&self) -> SinkChangelog {
        SinkChangelog::All
    }
    fn writer(&self, _task: usize) -> Result<Box<dyn Writer>> {
        match &*self.sender.lock() {
            Some(sender) => {
                Ok(Box::new(CollectWriter { chunks: sender.clone(), cancelled: self.cancelled.clone() }))
            }
            None => Err(Error::cancelled()),
        }
    }
    fn commit(&self) -> Result<()> {
        self.sender.lock().take();
        Ok(())
    }
    fn abort(&self) {
        self.sender.lock().take();
    }
}

impl Writer for CollectWriter {
    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        select! {
            // An error: the reader has gone, nobody wants the rows.
            send(self.chunks, chunk.clone()) -> sent => sent.map_err(|_| Error::cancelled()),
            recv(self.cancelled) -> _ => Err(Error::cancelled()),
        }
    }
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
