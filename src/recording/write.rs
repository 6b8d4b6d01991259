//! Writes a recording: one file a scan or lookup, and the manifest that names them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use parking_lot::Mutex;

use super::{Back, FORMAT, Holds, MANIFEST, Manifest, Stream};
use crate::clock::Clock;
use crate::error::{Error, Result};

/// Rows that are gathered for a batch of a file.
const GATHERED: usize = 4096;

/// A file whose bytes are counted.
struct Counted {
    file: BufWriter<File>,
    bytes: Arc<AtomicU64>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// A file that is being written.
struct Writing {
    schema: SchemaRef,
    writer: StreamWriter<Counted>,
    gathered: Vec<RecordBatch>,
    rows: usize,
    since: std::time::Instant,
}

impl Writing {
    fn put(&mut self) -> Result<()> {
        if !self.gathered.is_empty() {
            let batch = concat_batches(&self.schema, &self.gathered)?;
            self.gathered.clear();
            self.rows = 0;
            self.writer.write(&batch)?;
            self.writer.flush()?;
        }
        self.since = std::time::Instant::now();
        Ok(())
    }
}

/// What a recording came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) folder: PathBuf,
    pub(crate) bytes: u64,
    /// Rows of sources.
    pub(crate) rows: u64,
    /// Keys that lookups and functions were asked for.
    pub(crate) keys: u64,
    /// The limit was reached.
    pub(crate) cut: bool,
}

struct Inside {
    manifest: Manifest,
    files: Vec<Option<Writing>>,
}

/// Takes what the outside says.
pub(crate) struct Recorder {
    folder: PathBuf,
    limit: u64,
    clock: Arc<dyn Clock>,
    bytes: Arc<AtomicU64>,
    /// In memory, on the way to a file.
    gathered: AtomicU64,
    pieces: AtomicU64,
    /// No more rows of sources, and nothing more at all.
    full: [AtomicBool; 2],
    inside: Mutex<Inside>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Begins a recording of at most `limit` bytes, about, in a folder that is empty or not there.
    pub(crate) fn begin(folder: &Path, limit: u64, zone: &str, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let failed = |e: std::io::Error| {
            Error::option(format!("cannot record into '{}'", folder.display())).with_detail(e.to_string())
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut there = std::fs::read_dir(folder).map_err(failed)?;
        if there.next().is_some() {
            return Err(Error::option(format!("folder '{}' is not empty", folder.display()))
                .with_hint("a recording has a folder of its own: name another one, or delete this one"));
        }
        let manifest = Manifest {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_string(),
            id: uuid::Uuid::new_v4().simple().to_string(),
            started: clock.now_millis(),
            ended: None,
            zone: zone.to_string(),
            cut: false,
            streams: Vec::new(),
        };
        let recorder = Arc::new(Self {
            folder: folder.to_path_buf(),
            limit,
            clock,
            bytes: Arc::default(),
            gathered: AtomicU64::new(0),
            pieces: AtomicU64::new(0),
            full: Default::default(),
            inside: Mutex::new(Inside { manifest, files: Vec::new() }),
        });
        recorder
            .note(&recorder.inside.lock().manifest)
            .map_err(|e| failed(std::io::Error::other(e.to_string())))?;
        Ok(recorder)
    }

    /// What tells this recording apart.
    pub(crate) fn id(&self) -> String {
        self.inside.lock().manifest.id.clone()
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now_millis()
    }

    /// The number of the next piece of rows, among all of the recording.
    pub(crate) fn piece(&self) -> u64 {
        self.pieces.fetch_add(1, Ordering::SeqCst)
    }

    /// The manifest takes its place as a whole.
    fn note(&self, manifest: &Manifest) -> Result<()> {
        let text = serde_json::to_string_pretty(manifest).map_err(|e| Error::internal(e.to_string()))?;
        let unfinished = self.folder.join(".recording.json");
        std::fs::write(&unfinished, text)?;
        Ok(std::fs::rename(&unfinished, self.folder.join(MANIFEST))?)
    }

    /// Begins a file for rows of these columns; its number.
    pub(super) fn open(&self, holds: Holds, name: &str, endless: bool, schema: SchemaRef) -> Result<usize> {
        let mut inside = self.inside.lock();
        let number = inside.files.len();
        let word = match holds {
            Holds::Source => "source",
            Holds::Lookup => "lookup",
            Holds::Load => "load",
        };
        let file = format!("{word}-{}.arrows", number + 1);
        let path = self.folder.join(&file);
        let failed = |e: std::io::Error| {
            Error::io(format!("cannot write '{}'", path.display())).with_detail(e.to_string())
        };
        let created = BufWriter::new(File::create(&path).map_err(failed)?);
        let counted = Counted { file: created, bytes: self.bytes.clone() };
        let writer = StreamWriter::try_new(counted, &schema)?;
        let since = std::time::Instant::now();
        inside.files.push(Some(Writing { schema, writer, gathered: Vec::new(), rows: 0, since }));
        let name = crate::secret::redact(name).into_owned();
        let (back, loads) = (Vec::new(), Vec::new());
        inside.manifest.streams.push(Stream {
            file,
            holds,
            name,
            rows: 0,
            endless,
            ended: None,
            back,
            loads,
        });
        self.note(&inside.manifest)?;
        Ok(number)
    }

    /// Changes what the manifest says of a file.
    pub(super) fn change(&self, number: usize, how: impl FnOnce(&mut Stream)) {
        let mut inside = self.inside.lock();
        if let Some(stream) = inside.manifest.streams.get_mut(number) {
            how(stream);
        }
        if let Err(e) = self.note(&inside.manifest) {
            drop(inside);
            self.broken(&e);
        }
    }

    /// A job went back.
    pub(super) fn went_back(&self, number: usize, back: Back) {
        self.change(number, |stream| stream.back.push(back));
    }

    /// Whether rows of a source are still taken.
    pub(super) fn takes_rows(&self) -> bool {
        !self.full[0].load(Ordering::Relaxed)
    }

    /// Whether anything is.
    pub(super) fn takes_answers(&self) -> bool {
        !self.full[1].load(Ordering::Relaxed)
    }

    /// Adds rows to a file. What goes wrong ends the recording, and not the job.
    pub(super) fn add(&self, number: usize, batch: RecordBatch) {
        if batch.num_rows() == 0 {
            return;
        }
        let mut inside = self.inside.lock();
        let source = inside.manifest.streams.get(number).map(|s| s.holds == Holds::Source);
        let takes = if source == Some(true) { self.takes_rows() } else { self.takes_answers() };
        if !takes {
            return;
        }
        if let Some(stream) = inside.manifest.streams.get_mut(number) {
            stream.rows += batch.num_rows() as u64;
        }
        let Some(writing) = inside.files.get_mut(number).and_then(Option::as_mut) else { return };
        writing.rows += batch.num_rows();
        self.gathered.fetch_add(batch.get_array_memory_size() as u64, Ordering::Relaxed);
        writing.gathered.push(batch);
        let full = writing.rows >= GATHERED || writing.gathered.len() >= GATHERED / 8;
        let written = match full || writing.since.elapsed().as_secs() >= 1 {
            true => {
                self.gathered.store(0, Ordering::Relaxed);
                writing.put()
            }
            false => Ok(()),
        };
        drop(inside);
        if let Err(e) = written {
            return self.broken(&e);
        }
        self.look_at_the_limit();
    }

    fn look_at_the_limit(&self) {
        let bytes = self.bytes.load(Ordering::Relaxed) + self.gathered.load(Ordering::Relaxed) / 2;
        if bytes >= self.limit {
            self.full[1].store(true, Ordering::Relaxed);
        }
        if bytes >= self.limit / 4 * 3 && !self.full[0].swap(true, Ordering::Relaxed) {
            self.inside.lock().manifest.cut = true;
            log::warn!(
                "the recording in '{}' has reached its limit of {} bytes: rows that come from now on are not in it; \
                 --record-limit gives it more",
                self.folder.display(),
                self.limit
            );
        }
    }

    fn broken(&self, e: &Error) {
        let before = self.full[1].swap(true, Ordering::Relaxed);
        self.full[0].store(true, Ordering::Relaxed);
        self.inside.lock().manifest.cut = true;
        if !before {
            log::warn!(
                "the recording in '{}' cannot be written, what comes from now on is not in it: {e}",
                self.folder.display()
            );
        }
    }

    /// Ends the recording.
    pub(crate) fn finish(&self) -> Result<Summary> {
        let mut inside = self.inside.lock();
        self.full.iter().for_each(|full| full.store(true, Ordering::Relaxed));
        for writing in &mut inside.files {
            if let Some(mut writing) = writing.take() {
                writing.put()?;
                writing.writer.finish()?;
            }
        }
        inside.manifest.ended = Some(self.clock.now_millis());
        self.note(&inside.manifest)?;
        let rows =
            |holds: Holds| inside.manifest.streams.iter().filter(|s| s.holds == holds).map(|s| s.rows).sum();
        Ok(Summary {
            folder: self.folder.clone(),
            bytes: self.bytes.load(Ordering::Relaxed),
            rows: rows(Holds::Source),
            keys: rows(Holds::Lookup),
            cut: inside.manifest.cut,
        })
    }
}
