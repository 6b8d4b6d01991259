//! A PARTIAL cache that outlives its process: `'lookup.partial-cache.persist' = 'true'`.
//!
//! ```text
//!   answers ──> cache in memory ──> queue ──> one thread: a transaction a second ──> file (redb)
//!   start:  file ── entry by entry: checksum, lifetime ──> cache in memory
//! ```
//! The file is a convenience and never a truth: what is not in it is asked for. So everything that can be wrong with it
//! ends in a cache that is colder, with a warning, and never in a wrong answer or a job that fails:
//! - A process that is killed loses what its last transaction did not hold (redb keeps files whole).
//! - An entry whose checksum is wrong is left out; a file that cannot be read is put aside.
//! - A disk that is full, or a file that another process has open: the cache is in memory only.
//! - When more answers come than can be written, some are not kept on disk.
//!
//! An entry, under the bytes of its key:
//! ```text
//!   crc32 of key and rest │ expires │ written │ rows │ (length, row in Arrow's row format) ...
//!        u32                 i64       i64      u32      u32
//! ```
//! Lifetimes hold over restarts: an entry is as old as its answer. The file's name holds a digest of what decides about
//! answers: the table's columns and options (but those about caching and secrets), the key, the version.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow::array::{BinaryViewArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use super::backend::LookupRequest;
use super::cache::{Cache, Kept};
use crate::error::{Error, Result};

const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
/// Version of the entries.
const VERSION: u32 = 1;
/// Bytes before the rows of an entry.
const HEAD: usize = 24;
/// Answers that wait to be written.
const QUEUE: usize = 4096;
/// How often they are.
const PERIOD: Duration = Duration::from_secs(1);
/// Entries beyond those in memory that the file may have.
const SPARE: u64 = 4096;

/// The files of this process.
static FILES: Mutex<Vec<Weak<Persist>>> = Mutex::new(Vec::new());

/// Writes what waits in all of them: the process ends.
pub(super) fn close_all() {
    let files: Vec<_> = FILES.lock().drain(..).collect();
    files.iter().filter_map(Weak::upgrade).for_each(|file| file.close());
}

/// Answers on their way to disk.
enum Write {
    Put(RecordBatch, Vec<Kept>),
    Remove(Box<[u8]>),
    Clear,
}

/// The file of one cache.
pub(super) struct Persist {
    path: PathBuf,
    converter: Arc<RowConverter>,
    schema: SchemaRef,
    sender: Mutex<Option<SyncSender<Write>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Whether it was said that answers are not written.
    overrun: AtomicBool,
}

impl std::fmt::Debug for Persist {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Persist").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The folder where nobody says another.
pub(super) fn default_directory() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    cache.map(|cache| cache.join("affluent").join("lookup")).ok_or_else(|| {
        Error::option("'lookup.partial-cache.persist': this user has no folder for caches")
            .with_hint("set 'lookup.partial-cache.persist.directory', or export XDG_CACHE_HOME")
    })
}

/// What decides about the answers.
fn identity(request: &LookupRequest) -> String {
    let table = &request.table;
    let mut text = format!("{VERSION} {} {}", env!("CARGO_PKG_VERSION"), table.name);
    for (key, value) in table.options.iter() {
        let caching = key.starts_with("lookup.") || matches!(key, "async" | "asyncPolling");
        if !caching && !crate::catalog::ddl::is_sensitive_name(key) {
            text.push_str(&format!("\n{key}={value}"));
        }
    }
    for field in request.row_schema().fields() {
        text.push_str(&format!("\n{} {}", field.name(), field.data_type()));
    }
    text.push_str(&format!("\n{:?}", request.keys));
    crate::digest::digest(&text)
}

impl Persist {
    /// The file for the answers of a request. Nothing is read or written yet.
    pub(super) fn new(request: &LookupRequest, directory: &Path) -> Result<Self> {
        let schema = request.row_schema();
        let fields = schema.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(|e| {
            Error::unsupported(format!(
                "the cache of table '{}' cannot be kept on disk: a column's type has no form there",
                request.table.name
            ))
            .with_detail(e.to_string())
            .with_hint("leave 'lookup.partial-cache.persist' out")
        })?;
        let plain = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '-' };
        let name: String = request.table.name.chars().take(60).map(plain).collect();
        Ok(Self {
            path: directory.join(format!("{name}-{}.redb", identity(request))),
            converter: Arc::new(converter),
            schema,
            sender: Mutex::default(),
            writer: Mutex::default(),
            overrun: AtomicBool::new(false),
        })
    }

    /// Has what waits written when the process ends.
    pub(super) fn note(self: &Arc<Self>) {
        let mut files = FILES.lock();
        files.retain(|file| file.strong_count() > 0);
        files.push(Arc::downgrade(self));
    }

    /// Reads the file into a cache, and writes to it from now on. Blocks; tells what is wrong and goes on without.
    pub(super) fn open(&self, cache: &Arc<Cache>) {
        let opened = catch_unwind(AssertUnwindSafe(|| self.open_file(cache)));
        let database = match opened {
            Ok(Ok(database)) => database,
            Ok(Err(Trouble::InUse)) => {
                log::warn!(
                    "the lookup cache '{}' is open in another process: this one keeps its answers in memory only",
                    self.path.display()
                );
                return;
            }
            Ok(Err(Trouble::NotOurs(what))) => {
                log::warn!(
                    "the lookup cache '{}' cannot be used, answers are kept in memory only: {what}",
                    self.path.display()
                );
                return;
            }
            damaged => {
                let what = match damaged {
                    Ok(Err(Trouble::Damaged(what))) => what,
                    _ => "reading it ended unexpectedly".to_string(),
                };
                cache.clear(None);
                let aside = self.path.with_extension("damaged");
                log::warn!(
                    "the lookup cache '{}' is damaged and put aside as '{}', all keys are asked for again: {what}",
                    self.path.display(),
                    aside.display()
                );
                let moved = std::fs::rename(&self.path, &aside);
                match moved
                    .map_err(|e| e.to_string())
                    .and_then(|()| Database::create(&self.path).map_err(|e| e.to_string()))
                {
                    Ok(database) => database,
                    Err(e) => {
                        log::warn!("and no new one can be made: {e}");
                        return;
                    }
                }
            }
        };
        let (sender, receiver) = sync_channel(QUEUE);
        let writer = Writer {
            database,
            converter: self.converter.clone(),
            cache: Arc::downgrade(cache),
            path: self.path.clone(),
        };
        match std::thread::Builder::new().name("affluent-cache".into()).spawn(move || writer.run(&receiver)) {
            Ok(handle) => {
                *self.sender.lock() = Some(sender);
                *self.writer.lock() = Some(handle);
            }
            Err(e) => log::warn!("the lookup cache is not written to disk: {e}"),
        }
    }

    fn open_file(&self, cache: &Cache) -> Result<Database, Trouble> {
        if let Some(directory) = self.path.parent() {
            private_folder(directory).map_err(|e| Trouble::NotOurs(e.to_string()))?;
        }
        let database = Database::create(&self.path).map_err(|e| match e {
            redb::DatabaseError::DatabaseAlreadyOpen => Trouble::InUse,
            redb::DatabaseError::Storage(redb::StorageError::Io(e))
                if e.kind() != std::io::ErrorKind::InvalidData
                    && e.kind() != std::io::ErrorKind::UnexpectedEof =>
            {
                Trouble::NotOurs(e.to_string())
            }
            other => Trouble::Damaged(other.to_string()),
        })?;
        private_file(&self.path);
        let damaged = |e: &dyn std::fmt::Display| Trouble::Damaged(e.to_string());
        let read = database.begin_read().map_err(|e| damaged(&e))?;
        let table = match read.open_table(ENTRIES) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(database),
            Err(e) => return Err(damaged(&e)),
        };
        let (mut keys, mut kept, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        let (mut wrong, mut gone) = (0u64, 0u64);
        let mut values = Vec::new();
        for entry in table.iter().map_err(|e| damaged(&e))? {
            let (key, value) = entry.map_err(|e| damaged(&e))?;
            values.push((key.value().to_vec(), value.value().to_vec()));
        }
        for (key, value) in &values {
            let Some(entry) = Entry::read(key, value) else {
                wrong += 1;
                continue;
            };
            if !cache.would_keep(entry.written, entry.expires) {
                gone += 1;
                continue;
            }
            let first = rows.len() as u32;
            rows.extend(entry.rows);
            kept.push((first..rows.len() as u32, entry.written, entry.expires));
            keys.push(key.as_slice());
        }
        let parser = self.converter.parser();
        let columns =
            self.converter.convert_rows(rows.iter().map(|row| parser.parse(row))).map_err(|e| damaged(&e))?;
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(|e| damaged(&e))?;
        cache.restore(&batch, &BinaryViewArray::from_iter_values(keys), &kept);
        if wrong > 0 {
            log::warn!(
                "the lookup cache '{}': {wrong} of {} entries are damaged and asked for again",
                self.path.display(),
                values.len()
            );
        }
        log::debug!("'{}': {} entries, {gone} past their lifetime", self.path.display(), kept.len());
        Ok(database)
    }

    /// Writes answers, soon.
    pub(super) fn put(&self, rows: &RecordBatch, kept: Vec<Kept>) {
        if kept.is_empty() {
            return;
        }
        let sender = self.sender.lock();
        let Some(sender) = sender.as_ref() else { return };
        if let Err(TrySendError::Full(_)) = sender.try_send(Write::Put(rows.clone(), kept))
            && !self.overrun.swap(true, Ordering::Relaxed)
        {
            log::warn!(
                "the lookup cache '{}' is written more slowly than answers come: some are kept in memory only",
                self.path.display()
            );
        }
    }

    /// Forgets one key, or all. Waits for a place: what is forgotten must not come back.
    pub(super) fn remove(&self, key: Option<&[u8]>) {
        let sender = self.sender.lock().clone();
        let Some(sender) = sender else { return };
        // A writer that is gone has nothing to forget in this process; the file is.
        let _ = sender.send(key.map_or(Write::Clear, |key| Write::Remove(key.into())));
    }

    /// Writes what waits, and ends.
    pub(super) fn close(&self) {
        self.sender.lock().take();
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }
}

/// Why a file is not used.
enum Trouble {
    InUse,
    NotOurs(String),
    Damaged(String),
}

/// A folder that others cannot look into.
fn private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn private_file(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600));
}

/// An entry as it was read.
struct Entry<'a> {
    expires: i64,
    written: i64,
    rows: Vec<&'a [u8]>,
}

impl<'a> Entry<'a> {
    /// `None` if it is damaged.
    fn read(key: &[u8], value: &'a [u8]) -> Option<Self> {
        let (sum, rest) = value.split_at_checked(4)?;
        if u32::from_le_bytes(sum.try_into().ok()?) != checksum(key, rest) {
            return None;
        }
        let (expires, rest) = rest.split_at_checked(8)?;
        let (written, rest) = rest.split_at_checked(8)?;
        let (count, mut rest) = rest.split_at_checked(4)?;
        let count = u32::from_le_bytes(count.try_into().ok()?);
        let mut rows = Vec::with_capacity(count.min(1024) as usize);
        for _ in 0..count {
            let (length, after) = rest.split_at_checked(4)?;
            let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
            let (row, after) = after.split_at_checked(length)?;
            rows.push(row);
            rest = after;
        }
        let number = |bytes: &[u8]| Some(i64::from_le_bytes(bytes.try_into().ok()?));
        rest.is_empty().then_some(())?;
        Some(Self { expires: number(expires)?, written: number(written)?, rows })
    }

    fn write(key: &[u8], kept: &Kept, rows: impl Iterator<Item = impl AsRef<[u8]>>) -> Vec<u8> {
        let mut value = vec![0; 4];
        value.extend_from_slice(&kept.expires.to_le_bytes());
        value.extend_from_slice(&kept.written.to_le_bytes());
        value.extend_from_slice(&(kept.rows.len() as u32).to_le_bytes());
        debug_assert_eq!(value.len(), HEAD);
        for row in rows {
            value.extend_from_slice(&(row.as_ref().len() as u32).to_le_bytes());
            value.extend_from_slice(row.as_ref());
        }
        let sum = checksum(key, &value[4..]);
        value[..4].copy_from_slice(&sum.to_le_bytes());
        value
    }
}

fn checksum(key: &[u8], rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(rest);
    hasher.finalize()
}

/// The thread that writes.
struct Writer {
    database: Database,
    converter: Arc<RowConverter>,
    cache: Weak<Cache>,
    path: PathBuf,
}

impl Writer {
    fn run(self, receiver: &Receiver<Write>) {
        let mut waiting: Vec<Write> = Vec::new();
        let mut due: Option<Instant> = None;
        loop {
            let next = match due {
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => receiver.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            let ended = match next {
                Ok(write) => {
                    waiting.push(write);
                    due.get_or_insert_with(|| Instant::now() + PERIOD);
                    if waiting.len() < QUEUE && due.is_some_and(|due| Instant::now() < due) {
                        continue;
                    }
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            due = None;
            if let Err(e) = self.commit(std::mem::take(&mut waiting)) {
                log::warn!(
                    "the lookup cache '{}' cannot be written, answers are kept in memory only from now on: {e}",
                    self.path.display()
                );
                // What comes is taken and dropped, so that nobody waits.
                while receiver.recv().is_ok() {}
                return;
            }
            if ended {
                return;
            }
        }
    }

    fn commit(&self, writes: Vec<Write>) -> Result<(), String> {
        if writes.is_empty() {
            return Ok(());
        }
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let transaction = self.database.begin_write().map_err(|e| text(&e))?;
        {
            let mut table = transaction.open_table(ENTRIES).map_err(|e| text(&e))?;
            for write in writes {
                match write {
                    Write::Clear => table.retain(|_, _| false).map_err(|e| text(&e))?,
                    Write::Remove(key) => drop(table.remove(&*key).map_err(|e| text(&e))?),
                    Write::Put(batch, kept) => {
                        let rows = self.converter.convert_columns(batch.columns()).map_err(|e| text(&e))?;
                        for kept in kept {
                            let own = kept.rows.clone().map(|row| rows.row(row as usize));
                            let value = Entry::write(&kept.key, &kept, own);
                            table.insert(&*kept.key, value.as_slice()).map_err(|e| text(&e))?;
                        }
                    }
                }
            }
            // What the cache has let go goes from the file, too, before it is twice as large.
            if let Some(cache) = self.cache.upgrade()
                && table.len().map_err(|e| text(&e))? > 2 * cache.len() as u64 + SPARE
            {
                table.retain(|key, _| cache.has(key)).map_err(|e| text(&e))?;
            }
        }
        transaction.commit().map_err(|e| text(&e))
    }
}

#[cfg(test)]
#[path = "persist_tests.rs"]
mod tests;
