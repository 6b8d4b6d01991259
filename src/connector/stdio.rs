//! stdin as a source, stdout as a sink.
//!
//! stdin blocks, so a thread of its own reads it and hands over what has arrived through a short queue; the
//! task decodes. A process has one stdin, and what was read ahead of one query is lost to the next, so
//! that only one query can read it.
//!
//! When the reader of stdout goes away (`affluent ... | head`), the job ends as if the user had stopped it.

use std::io::{Read as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use parking_lot::Mutex;

use super::registry::Connector;
use super::{Read, Reader, ReaderContext, ScanRequest, Sink, Source, Writer};
use crate::catalog::{ColumnSource, OptionDef, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::{Chunk, Waker};
use crate::format::{Decoder, Encoder, Format, Origin};

/// `'connector' = 'stdin'`.
#[derive(Debug)]
pub struct Stdin;

/// `'connector' = 'stdout'`.
#[derive(Debug)]
pub struct Stdout;

/// The physical columns, as a format wants to know them; there are no others.
fn physical(table: &Table, zone: &str) -> arrow::datatypes::SchemaRef {
    let fields = table.columns.iter().filter_map(|c| match &c.source {
        ColumnSource::Physical { data_type, nullable } => {
            Some(arrow::datatypes::Field::new(&c.name, data_type.to_arrow(zone), *nullable))
        }
        _ => None,
    });
    Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
}

impl Connector for Stdin {
    fn name(&self) -> &'static str {
        "stdin"
    }

    fn doc(&self) -> &'static str {
        "records from standard input, until it ends"
    }

    fn options(&self) -> &'static [OptionDef] {
        &[]
    }

    fn takes_format(&self) -> bool {
        true
    }

    fn default_format(&self) -> Option<&'static str> {
        Some("json")
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let open = || {
            if TAKEN.swap(true, Ordering::SeqCst) {
                return Err(Error::io("standard input is read by another query already")
                    .with_hint("a process has one standard input; read it once, into a view or a table"));
            }
            Ok(Box::new(std::io::stdin()) as Box<dyn std::io::Read + Send>)
        };
        Ok(Arc::new(StreamSource::new(request, Box::new(open))?))
    }
}

type OpenStream = Box<dyn Fn() -> Result<Box<dyn std::io::Read + Send>> + Send + Sync>;

/// A source of one stream of bytes that blocks.
struct StreamSource {
    format: Format,
    declared: arrow::datatypes::SchemaRef,
    request: ScanRequest,
    open: OpenStream,
}

impl StreamSource {
    fn new(request: &ScanRequest, open: OpenStream) -> Result<Self> {
        let format = Format::from_options_or(&request.table.options, "json")?;
        let source =
            Self { format, declared: physical(&request.table, "UTC"), request: request.clone(), open };
        source.decoder()?;
        Ok(source)
    }

    fn decoder(&self) -> Result<Box<dyn Decoder>> {
        let origin = Origin::from("stdin");
        self.format.decoder(&self.declared, &self.request.schema, self.request.batch_rows, origin)
    }
}

impl Source for StreamSource {
    fn bounded(&self) -> bool {
        false
    }

    fn max_parallelism(&self) -> usize {
        1
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let decoder = self.decoder()?;
        let stream = (self.open)()?;
        // Two blocks wait, one is being read: enough to keep both sides busy.
        let (sender, blocks) = crossbeam_channel::bounded(2);
        let waker = context.waker;
        std::thread::Builder::new()
            .name("stdin".into())
            .spawn(move || pump(stream, &sender, &waker))
            .map_err(|e| Error::io(format!("standard input could not be read: {e}")))?;
        Ok(Box::new(StreamReader { blocks, decoder, consumed: 0, ended: false }))
    }

    fn describe(&self) -> String {
        format!("format={}", self.format.name())
    }
}

/// Reads what has arrived, block by block, until the stream ends or nobody wants more.
fn pump(mut stream: Box<dyn std::io::Read + Send>, blocks: &Sender<Result<Bytes>>, waker: &Waker) {
    const BLOCK: usize = 256 << 10;
    let mut buffer = vec![0; BLOCK];
    loop {
        let block = match stream.read(&mut buffer) {
            Ok(0) => return end(blocks, waker),
            Ok(n) => Ok(Bytes::copy_from_slice(&buffer[..n])),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => Err(Error::io(format!("standard input could not be read: {e}"))),
        };
        let failed = block.is_err();
        if blocks.send(block).is_err() || failed {
            return waker.wake();
        }
        waker.wake();
    }
}

/// The end of the stream: an empty block, so that the reader sees it whatever the order of wake-ups.
fn end(blocks: &Sender<Result<Bytes>>, waker: &Waker) {
    // A reader that is gone does not want to know.
    let _ = blocks.send(Ok(Bytes::new()));
    waker.wake();
}

struct StreamReader {
    blocks: Receiver<Result<Bytes>>,
    decoder: Box<dyn Decoder>,
    consumed: u64,
    ended: bool,
}

impl Reader for StreamReader {
    fn read(&mut self) -> Result<Read> {
        const MOST: usize = 1 << 20;
        if let Some(batch) = self.decoder.next_batch()? {
            return Ok(Read::Batch(batch));
        }
        loop {
            let mut fed = 0;
            while !self.ended && fed < MOST {
                match self.blocks.try_recv() {
                    Ok(block) => {
                        let block = block?;
                        if block.is_empty() {
                            self.ended = true;
                            self.decoder.finish()?;
                            break;
                        }
                        fed += block.len();
                        self.consumed += block.len() as u64;
                        self.decoder.feed(block)?;
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        return Err(Error::internal("the thread that reads standard input is gone"));
                    }
                }
            }
            if let Some(batch) = self.decoder.next_batch()? {
                return Ok(Read::Batch(batch));
            }
            if self.ended {
                return Ok(Read::End);
            }
            if fed < MOST {
                return Ok(Read::Pending);
            }
        }
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.consumed, None)
    }

    fn skipped(&self) -> u64 {
        self.decoder.skipped()
    }
}

/// An output of the process that tasks share, a whole buffer of lines at a time.
#[derive(Clone)]
pub(super) enum Stream {
    Stdout,
    Stderr,
    /// In tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests write elsewhere"))]
    Other(Arc<Mutex<dyn Write + Send>>),
}

impl Stream {
    /// Writers hand over what they have when it is as much as this.
    pub(super) const BUFFER: usize = 64 << 10;

    /// Writes and clears the buffer.
    pub(super) fn write(&self, buffer: &mut Vec<u8>) -> Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let write = |out: &mut dyn Write| out.write_all(buffer).and_then(|()| out.flush());
        let (name, written) = match self {
            Self::Stdout => ("stdout", write(&mut std::io::stdout().lock())),
            Self::Stderr => ("stderr", write(&mut std::io::stderr().lock())),
            Self::Other(other) => ("the stream", write(&mut *other.lock())),
        };
        buffer.clear();
        written.map_err(|e| match e.kind() {
            std::io::ErrorKind::BrokenPipe => {
                Error::new(ErrorKind::Cancelled, format!("the reader of {name} has gone away"))
            }
            _ => Error::io(format!("{name} could not be written: {e}")),
        })
    }
}

impl Connector for Stdout {
    fn name(&self) -> &'static str {
        "stdout"
    }

    fn doc(&self) -> &'static str {
        "records to standard output"
    }

    fn options(&self) -> &'static [OptionDef] {
        &[]
    }

    fn takes_format(&self) -> bool {
        true
    }

    fn default_format(&self) -> Option<&'static str> {
        Some("json")
    }

    fn sink(&self, table: &Arc<Table>, zone: &str) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(StreamSink::new(table, zone, Stream::Stdout)?))
    }
}

struct StreamSink {
    format: Format,
    schema: arrow::datatypes::SchemaRef,
    stream: Stream,
    /// The header was written.
    begun: Arc<AtomicBool>,
}

impl StreamSink {
    fn new(table: &Table, zone: &str, stream: Stream) -> Result<Self> {
        let format = Format::from_options_or(&table.options, "json")?;
        let schema = physical(table, zone);
        format.encoder(&schema)?;
        Ok(Self { format, schema, stream, begun: Arc::default() })
    }
}

impl Sink for StreamSink {
    fn writer(&self, _task: usize) -> Result<Box<dyn Writer>> {
        let mut encoder = self.format.encoder(&self.schema)?;
        // The first writer that is made writes the header; the others start behind it.
        let mut buffer = Vec::new();
        if !self.begun.swap(true, Ordering::SeqCst) {
            encoder.header(&mut buffer)?;
            self.stream.write(&mut buffer)?;
        }
        Ok(Box::new(StreamWriter { encoder, stream: self.stream.clone(), buffer }))
    }
}

struct StreamWriter {
    encoder: Box<dyn Encoder>,
    stream: Stream,
    buffer: Vec<u8>,
}

impl Writer for StreamWriter {
    fn write(&mut self, chunk: &Chunk) -> Result<()> {
        self.encoder.encode(chunk, &mut self.buffer)?;
        if self.buffer.len() >= Stream::BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.write(&mut self.buffer)
    }

    fn finish(&mut self) -> Result<()> {
        self.flush()
    }
}
