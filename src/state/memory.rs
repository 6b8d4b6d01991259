//! How much memory the state of a job may take, and the disk beyond it.
//!
//! ```text
//!  rows that are kept ──> segments in memory ── over the limit: least recently used ──> files
//!                              ^                                                          │
//!                              └────────────────── a row of it is asked for ──────────────┘
//! ```
//! The limit is for all tasks of a job together. Whoever adds to its state while it is exceeded moves what
//! it has not used for longest to disk. Files live in a folder of their own that goes with the job; they are
//! no checkpoint, and nothing is made durable. This is for rows, whatever they belong to; keys with all that belongs to
//! them go to disk as module `tier` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Once, OnceLock};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use parking_lot::Mutex;

use crate::error::{Error, Result};

/// Wakes an operator that shares a memory.
pub trait Wake: std::fmt::Debug + Send + Sync {
    /// The operator is called soon.
    fn wake(&self);
}

impl Wake for crate::contract::Waker {
    fn wake(&self) {
        Self::wake(self);
    }
}

static AT_A_LIMIT: OnceLock<fn()> = OnceLock::new();

/// What the process does when somebody sets a limit for the first time: an allocator may have to be told to give back
/// what is free.
pub fn at_a_limit(act: fn()) {
    // The first one stays.
    let _ = AT_A_LIMIT.set(act);
}

/// The memory that the state of one job may take.
#[derive(Debug)]
pub struct Memory {
    limit: usize,
    used: AtomicUsize,
    files: AtomicU64,
    spilled: AtomicU64,
    folder: Mutex<Option<PathBuf>>,
    /// What is counted here counts there as well, and the limit and the folder are those of there.
    above: Option<Arc<Memory>>,
    /// Who moves state to disk when there is too much, by the way to wake it.
    sharers: Mutex<BTreeMap<u64, Box<dyn Wake>>>,
    count: AtomicUsize,
    numbers: AtomicU64,
    /// Where somebody has set the limit: operators of which it was told that it does not hold for them.
    told: Option<Mutex<BTreeSet<&'static str>>>,
}

impl Memory {
    /// So many bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            files: AtomicU64::new(0),
            spilled: AtomicU64::new(0),
            folder: Mutex::default(),
            above: None,
            sharers: Mutex::default(),
            count: AtomicUsize::new(0),
            numbers: AtomicU64::new(0),
            told: None,
        })
    }

    /// So many bytes, as somebody has set it.
    pub fn asked_for(limit: usize) -> Arc<Self> {
        if let Some(act) = AT_A_LIMIT.get() {
            static ONCE: Once = Once::new();
            ONCE.call_once(act);
        }
        let mut memory = Self::new(limit);
        if let Some(memory) = Arc::get_mut(&mut memory) {
            memory.told = Some(Mutex::default());
        }
        memory
    }

    /// Whether it is to be told now that the limit does not hold for an operator: once, where somebody has set it.
    pub fn is_told_first(&self, operator: &'static str) -> bool {
        self.told.as_ref().is_some_and(|told| told.lock().insert(operator))
    }

    /// A part of `above`: counts for itself what is counted there.
    pub fn below(above: &Arc<Self>) -> Arc<Self> {
        let mut own = Self::new(above.limit);
        if let Some(own) = Arc::get_mut(&mut own) {
            own.above = Some(above.clone());
        }
        own
    }

    /// Its state may go to disk by key: operators note in which order rows come.
    pub fn goes_by_key(&self) -> bool {
        self.above.is_some()
    }

    /// The limit, in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Another one moves state to disk when there is too much; it is woken then. Gives the number by which it leaves.
    pub fn join(&self, waker: impl Wake + 'static) -> u64 {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut sharers = self.sharers.lock();
        sharers.insert(number, Box::new(waker));
        self.count.store(sharers.len(), Ordering::Relaxed);
        number
    }

    /// One less does.
    pub fn leave(&self, number: u64) {
        let mut sharers = self.sharers.lock();
        sharers.remove(&number);
        self.count.store(sharers.len(), Ordering::Relaxed);
    }

    /// How many do.
    pub fn sharers(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Asks all others to move state to disk.
    pub fn press(&self) {
        self.sharers.lock().values().for_each(|sharer| sharer.wake());
    }

    /// Without a limit.
    pub fn unlimited() -> Arc<Self> {
        Self::new(usize::MAX)
    }

    /// Bytes that are accounted for.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes on disk.
    pub fn spilled(&self) -> u64 {
        self.spilled.load(Ordering::Relaxed)
    }

    /// More than the limit is in use.
    pub fn is_exceeded(&self) -> bool {
        self.root().used() > self.limit
    }

    fn root(&self) -> &Self {
        self.above.as_deref().unwrap_or(self)
    }

    pub(super) fn grow(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        if let Some(above) = &self.above {
            above.grow(bytes);
        }
    }

    pub(super) fn shrink(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(above) = &self.above {
            above.shrink(bytes);
        }
    }

    /// The folder, made when it is needed first.
    fn folder(&self) -> Result<PathBuf> {
        if let Some(above) = &self.above {
            return above.folder();
        }
        let mut folder = self.folder.lock();
        if let Some(path) = &*folder {
            return Ok(path.clone());
        }
        let path = std::env::temp_dir().join(format!("affluent-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&path).map_err(|e| failed(&path, &e))?;
        Ok(folder.insert(path).clone())
    }

    /// Whether there is a limit at all.
    pub fn is_limited(&self) -> bool {
        self.limit != usize::MAX
    }

    /// A new file in the folder.
    pub(super) fn create(&self, extension: &str) -> Result<(PathBuf, File)> {
        let number = self.root().files.fetch_add(1, Ordering::Relaxed);
        let path = self.folder()?.join(format!("{number}.{extension}"));
        let options = File::options().read(true).write(true).create_new(true).open(&path);
        let file = options.map_err(|e| failed(&path, &e))?;
        Ok((path, file))
    }

    /// So many bytes more (or less) are on disk.
    pub(super) fn add_spilled(&self, bytes: i64) {
        self.spilled.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Writes a batch to a file of its own.
    pub fn spill(self: &Arc<Self>, batch: &RecordBatch) -> Result<Spilled> {
        let number = self.root().files.fetch_add(1, Ordering::Relaxed);
        let path = self.folder()?.join(format!("{number}.arrow"));
        let write = || -> Result<u64> {
            let file = File::create_new(&path).map_err(|e| failed(&path, &e))?;
            let mut writer = StreamWriter::try_new(BufWriter::new(file), batch.schema_ref())?;
            writer.write(batch)?;
            writer.finish()?;
            let buffered = writer.into_inner()?;
            let file = buffered.into_inner().map_err(|e| failed(&path, e.error()))?;
            Ok(file.metadata().map_err(|e| failed(&path, &e))?.len())
        };
        match write() {
            Ok(bytes) => {
                self.spilled.fetch_add(bytes, Ordering::Relaxed);
                Ok(Spilled { path, bytes, schema: batch.schema(), memory: self.clone() })
            }
            Err(e) => {
                let _ = std::fs::remove_file(&path);
                Err(e)
            }
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.lock().take() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

pub(super) fn failed(path: &std::path::Path, e: &std::io::Error) -> Error {
    Error::io(format!("state could not be moved to disk: '{}': {e}", path.display()))
        .with_hint("TMPDIR names the place; 'affluent.state.memory-limit' says how much stays in memory")
}

/// What one owner of state has of the memory; all of it is given back when this goes.
#[derive(Debug)]
pub struct Share {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Share {
    /// Nothing yet.
    pub fn new(memory: &Arc<Memory>) -> Self {
        Self { memory: memory.clone(), bytes: 0 }
    }

    /// The owner's state takes so many bytes now. Gives whether all together are too many.
    pub fn set(&mut self, bytes: usize) -> bool {
        self.memory.grow(bytes);
        self.memory.shrink(std::mem::replace(&mut self.bytes, bytes));
        self.memory.is_exceeded()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.shrink(self.bytes);
    }
}

/// A batch in a file, which goes when this goes.
#[derive(Debug)]
pub struct Spilled {
    path: PathBuf,
    bytes: u64,
    schema: SchemaRef,
    memory: Arc<Memory>,
}

impl Spilled {
    /// The columns, read again.
    pub fn load(&self) -> Result<Vec<ArrayRef>> {
        let file = File::open(&self.path).map_err(|e| failed(&self.path, &e))?;
        let mut reader = StreamReader::try_new(BufReader::new(file), None)?;
        match reader.next().transpose()? {
            Some(batch) => Ok(batch.columns().to_vec()),
            None => {
                Err(Error::internal(format!("state file of {} columns is empty", self.schema.fields().len())))
            }
        }
    }
}

impl Drop for Spilled {
    fn drop(&mut self) {
        self.memory.spilled.fetch_sub(self.bytes, Ordering::Relaxed);
        let _ = std::fs::remove_file(&self.path);
    }
}
