//! stdin as a source, stdout as a sink.
//!
//! stdin blocks, so a thread of its own reads it and hands over what has arrived through a short queue; the
//! task decodes. A process has one stdin, and what was read ahead of one query is lost to the next, so
//! that only one query can read it.
//!
//! When the reader of stdout goes away (`affluent ... | head`), the job ends as if the user had stopped it.
//!
//! stdin cannot be read again: a new process that comes back from a checkpoint goes on with what arrives then, and
//! what had arrived after the checkpoint is lost; the same process does not read it a second time. stdout is at-least-once: what is written after the last checkpoint is
//! written again. All that came before a barrier is handed over when it passes.

use std::io::{Read as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use parking_lot::Mutex;

use super::{Connector, Nature};
use super::{
    Read, Reader, ReaderContext, ScanRequest, Sink, SinkChangelog, SinkRequest, Source, SourceChangelog,
    Writer, WriterContext,
};
use crate::catalog::{OptionDef, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::{Chunk, Waker};
use crate::format::{Decoder, Encoder, Format, Origin};

/// `'connector' = 'stdin'`.
#[derive(Debug)]
pub struct Stdin;

/// `'connector' = 'stdout'`.
#[derive(Debug)]
pub struct Stdout;

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

    fn rejects(&self) -> bool {
        true
    }

    fn nature(&self, table: &Table) -> Nature {
        Nature { bounded: false, ..Nature::declared(self.options(), &table.options) }
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
    /// A reader was made.
    opened: AtomicBool,
}

impl StreamSource {
    fn new(request: &ScanRequest, open: OpenStream) -> Result<Self> {
        let format = Format::from_options_or(&request.table.options, "json")?.with_documents();
        let declared = request.table.record_schema("UTC");
        let source =
            Self { format, declared, request: request.clone(), open, opened: AtomicBool::new(false) };
        source.decoder()?;
        Ok(source)
    }

    fn decoder(&self) -> Result<Box<dyn Decoder>> {
        let origin = Origin::from("stdin");
        let fields = self.request.schema.fields();
        if let Some((last, wanted)) = fields.split_last()
            && last.name() == crate::dead_letter::REJECTED
        {
            let wanted = std::sync::Arc::new(arrow::datatypes::Schema::new(wanted.to_vec()));
            let place = Box::new(|line| format!("stdin:{line}"));
            let rows = self.request.batch_rows;
            return self.format.rejecting_decoder(&self.declared, &wanted, rows, origin, place);
        }
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
        if self.opened.swap(true, Ordering::SeqCst) {
            // What the reader before had taken in is gone, to the middle of a record.
            return Err(Error::io("standard input cannot be read again after a failure")
                .with_hint("start the program again; connector 'filesystem' can be read again"));
        }
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

    fn changelog(&self) -> SourceChangelog {
        self.format.source_changelog()
    }

    fn describe(&self) -> String {
        format!("format={}", self.format.name())
    }
}

/// Reads what has arrived, block by block, until the stream ends or no more is wanted.
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
        let sent = blocks.try_send(block).or_else(|e| {
            // It is full: whatever gathers is to be read now.
            waker.hurry();
            blocks.send(e.into_inner())
        });
        waker.wake();
        if sent.is_err() || failed {
            return;
        }
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
            return Ok(Read::rows(batch, self.decoder.kinds()));
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
                return Ok(Read::rows(batch, self.decoder.kinds()));
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

/// What stands for standard output in a process whose own is not visible.
static INSTEAD: OnceLock<Mutex<Box<dyn Write + Send>>> = OnceLock::new();

/// Sends what tables write to standard output elsewhere, for the rest of the process. A notebook's kernel does,
/// once: the process and its output are the notebook's alone.
#[cfg(feature = "kernel")]
pub(crate) fn redirect_stdout(to: Box<dyn Write + Send>) -> Result<()> {
    INSTEAD.set(Mutex::new(to)).map_err(|_| Error::internal("standard output is redirected already"))
}

/// An output of the process that tasks share, a whole buffer of lines at a time.
#[derive(Clone)]
pub(super) enum Stream {
    Stdout,
    Stderr,
    /// In tests.
    #[cfg(test)]
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
            Self::Stdout => match INSTEAD.get() {
                None => ("stdout", write(&mut std::io::stdout().lock())),
                Some(instead) => ("stdout", write(&mut **instead.lock())),
            },
            Self::Stderr => ("stderr", write(&mut std::io::stderr().lock())),
            #[cfg(test)]
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

    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(StreamSink::new(request, Stream::Stdout)?))
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
    fn new(request: &SinkRequest, stream: Stream) -> Result<Self> {
        let format = Format::from_options_or(&request.table.options, "json")?;
        let schema = request.table.record_schema(&request.zone);
        format.encoder(&schema)?;
        Ok(Self { format, schema, stream, begun: Arc::default() })
    }
}

impl Sink for StreamSink {
    fn changelog(&self) -> SinkChangelog {
        self.format.sink_changelog()
    }

    fn writer(&self, _context: WriterContext) -> Result<Box<dyn Writer>> {
        let mut encoder = self.format.encoder(&self.schema)?;
        // The first writer that is made writes the header; the others start after it.
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

    fn finish(&mut self) -> Result<Poll<()>> {
        self.flush().map(Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::catalog::{Column, ColumnSource, Options, Table};
    use crate::connector::replay::writer_context;
    use crate::flow::Mailbox;
    use crate::sql::SqlType;
    use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray};
    use std::time::Instant;

    fn table(pairs: &[(&str, &str)]) -> Arc<Table> {
        let mut options = Options::default();
        pairs.iter().for_each(|(k, v)| options.set(k, v, Default::default()));
        let source = ColumnSource::Physical { data_type: SqlType::String, nullable: true };
        Arc::new(Table {
            name: "t".into(),
            home: Default::default(),
            columns: vec![Column { name: "line".into(), source, comment: None }],
            watermark: None,
            primary_key: vec![],
            partitioned_by: vec![],
            comment: None,
            options,
            temporary: false,
            own: None,
        })
    }

    /// A stream of what a channel holds, and ends with it.
    struct Pipe(Receiver<&'static [u8]>);

    impl std::io::Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let Ok(bytes) = self.0.recv() else { return Ok(0) };
            buffer[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }
    }

    #[test]
    fn lines_are_handed_over_as_they_arrive() {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let open: OpenStream = Box::new(move || Ok(Box::new(Pipe(receiver.clone()))));
        let table = table(&[("format", "raw")]);
        let request = ScanRequest {
            projection: vec![0],
            schema: table.record_schema("UTC"),
            batch_rows: 10,
            zone: "UTC".into(),
            table,
        };
        let source = StreamSource::new(&request, open).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mailbox = Mailbox::new();
        let context = crate::connector::replay::context(0, 1, mailbox.waker(0), runtime.handle().clone());
        let mut reader = source.reader(context).unwrap();
        let mut next = || loop {
            match reader.read().unwrap() {
                Read::Batch(batch) | Read::Changes(batch, _) => {
                    let lines = batch.column(0).as_string_view().iter().flatten().map(str::to_string);
                    return Some(lines.collect::<Vec<_>>());
                }
                Read::Pending => drop(mailbox.wait(None)),
                Read::End => return None,
            }
        };
        // Each line is read before the next one is written.
        sender.send(b"one\ntw").unwrap();
        assert_eq!(next().unwrap(), ["one"]);
        sender.send(b"o\n").unwrap();
        assert_eq!(next().unwrap(), ["two"]);
        sender.send(b"three").unwrap();
        drop(sender);
        assert_eq!(next().unwrap(), ["three"]);
        assert_eq!(next(), None);
        assert_eq!(next(), None);
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn chunk() -> Chunk {
        let column = Arc::new(StringViewArray::from(vec!["a", "b"])) as ArrayRef;
        Chunk::append(RecordBatch::try_from_iter([("line", column)]).unwrap(), Instant::now())
    }

    #[test]
    fn a_closed_pipe_cancels() {
        let stream = Stream::Other(Arc::new(Mutex::new(Closed)));
        let sink = StreamSink::new(&SinkRequest::new(&table(&[("format", "raw")]), "UTC"), stream).unwrap();
        let mut writer = sink.writer(writer_context(0, 1)).unwrap();
        writer.write(&chunk()).unwrap();
        let e = writer.flush().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Cancelled);
    }

    #[test]
    fn one_header_stands_before_all_rows() {
        let out = Arc::new(Mutex::new(Vec::new()));
        let options = [("format", "csv"), ("csv.write-header", "true")];
        let sink =
            StreamSink::new(&SinkRequest::new(&table(&options), "UTC"), Stream::Other(out.clone())).unwrap();
        let mut writers = [0, 1].map(|task| sink.writer(writer_context(task, 2)).unwrap());
        for writer in &mut writers {
            writer.write(&chunk()).unwrap();
        }
        writers.iter_mut().for_each(|w| assert!(w.finish().unwrap().is_ready()));
        assert_eq!(out.lock().as_slice(), b"line\na\nb\na\nb\n");
    }
}
