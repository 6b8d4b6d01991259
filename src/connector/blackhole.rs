//! A sink that takes everything and keeps nothing: for measuring. At-least-once: rows after the last checkpoint
//! are taken again.

use std::sync::Arc;
use std::task::Poll;

use super::{Connector, Nature};
use super::{Sink, SinkChangelog, SinkRequest, Writer, WriterContext};
use crate::catalog::{OptionDef, Table};
use crate::error::Result;
use crate::flow::Chunk;

/// `'connector' = 'blackhole'`.
#[derive(Debug)]
pub struct Blackhole;

impl Connector for Blackhole {
    fn name(&self) -> &'static str {
        "blackhole"
    }

    fn doc(&self) -> &'static str {
        "a sink that drops all rows"
    }

    fn options(&self) -> &'static [OptionDef] {
        &[]
    }

    fn nature(&self, table: &Table) -> Nature {
        Nature { writes: Some(SinkChangelog::All), ..Nature::declared(self.options(), &table.options) }
    }

    fn sink(&self, _request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        // As in Flink, it needs no `-U`.
        Ok(Arc::new(Nothing(SinkChangelog::Upsert)))
    }
}

/// Takes these kinds of change, and drops them.
pub(crate) struct Nothing(pub(crate) SinkChangelog);

impl Sink for Nothing {
    fn changelog(&self) -> SinkChangelog {
        self.0
    }

    fn writer(&self, _context: WriterContext) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Nothing(self.0)))
    }
}

impl Writer for Nothing {
    fn write(&mut self, _chunk: &Chunk) -> Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<Poll<()>> {
        Ok(Poll::Ready(()))
    }
}
