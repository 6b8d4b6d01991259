//! A directory as a store.
//!
//! ```text
//!  put:     write .name.3.tmp ─> fsync ─> rename to name ────────────> fsync of the folder
//!  create:  write .name.3.tmp ─> fsync ─> link to name, if it is free ─> remove .name.3.tmp ─> fsync of the folder
//! ```
//! A loss of power at any point leaves the former object, or the new one, and perhaps a `.tmp` file, which the next
//! process that locks the store removes. A file is never synced a second time after a sync that failed: the
//! system may have thrown away what it could not write and call the second one good.

use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::disk::{Disk, SystemDisk};
use super::{Lock, Store, check_path};
use crate::error::{Error, Result};

/// The file that a process holds locked while it writes checkpoints.
const LOCK: &str = "LOCK";
const TEMPORARY: &str = ".tmp";

/// Objects as files below a directory.
#[derive(Debug)]
pub struct LocalStore {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    /// Folders that were found or made, and are durable.
    ready: Mutex<HashSet<PathBuf>>,
    temporaries: AtomicU64,
}

impl LocalStore {
    /// The store below a directory, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::on(Arc::new(SystemDisk), root.into())
    }

    pub(super) fn on(disk: Arc<dyn Disk>, root: PathBuf) -> Self {
        Self { disk, root, ready: Mutex::default(), temporaries: AtomicU64::new(0) }
    }

    fn path(&self, path: &str) -> Result<PathBuf> {
        check_path(path)?;
        Ok(self.root.join(path))
    }

    /// Makes a folder and those it is in, durably, once in the life of this store.
    fn folder(&self, path: &Path) -> Result<()> {
        if path.as_os_str().is_empty() || self.ready.lock().contains(path) {
            return Ok(());
        }
        let parent = path.parent().unwrap_or(Path::new(""));
        if path.starts_with(&self.root) && path != self.root {
            self.folder(parent)?;
        }
        match self.disk.create_folder(path) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) if e.kind() == ErrorKind::NotFound && parent != path => {
                self.folder(parent)?;
                match self.disk.create_folder(path) {
                    Err(e) if e.kind() != ErrorKind::AlreadyExists => {
                        return Err(failed("make the directory", path, e));
                    }
                    _ => {}
                }
            }
            // A mount point or the root of the file system.
            Err(_) if self.disk.list(path).is_ok() => {}
            Err(e) => return Err(failed("make the directory", path, e)),
        }
        // Also if it was there: the process that made it may have ended before this.
        let holder = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        match self.disk.sync_folder(holder) {
            // A folder that others own, above ours.
            Err(e) if e.kind() == ErrorKind::PermissionDenied && !holder.starts_with(&self.root) => {}
            Err(e) => return Err(failed("sync the directory", holder, e)),
            Ok(()) => {}
        }
        self.ready.lock().insert(path.to_path_buf());
        Ok(())
    }

    /// Writes a file under a name that no reader looks at.
    fn temporary(&self, target: &Path, bytes: &[u8]) -> Result<PathBuf> {
        let folder = target.parent().unwrap_or(&self.root);
        self.folder(folder)?;
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = folder.join(format!(".{name}.{}.{number}{TEMPORARY}", std::process::id()));
        let write = || {
            let mut file = self.disk.create(&path)?;
            file.write(bytes)?;
            file.sync()
        };
        match write() {
            Ok(()) => Ok(path),
            Err(e) => {
                self.discard(&path);
                // Someone removed the folder: it is made again with the next object.
                if e.kind() == ErrorKind::NotFound {
                    self.ready.lock().clear();
                }
                Err(failed("write", target, e))
            }
        }
    }

    /// Removes a temporary file. If that fails it stays until the next process removes it.
    fn discard(&self, path: &Path) {
        if let Err(e) = self.disk.remove(path)
            && e.kind() != ErrorKind::NotFound
        {
            log::debug!("{} could not be removed: {e}", path.display());
        }
    }

    fn sync_folder_of(&self, target: &Path) -> Result<()> {
        let folder = target.parent().unwrap_or(&self.root);
        self.disk.sync_folder(folder).map_err(|e| failed("sync the directory", folder, e))
    }

    /// All files below a folder, as paths in the store.
    fn walk(&self, folder: &Path, within: &str, found: &mut dyn FnMut(String, u64)) -> Result<()> {
        let entries = match self.disk.list(folder) {
            Ok(entries) => entries,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
            Err(e) => return Err(failed("list", folder, e)),
        };
        for entry in entries {
            let path = format!("{within}{}", entry.name);
            match entry.folder {
                true => self.walk(&folder.join(&entry.name), &format!("{path}/"), found)?,
                false => found(path, entry.bytes),
            }
        }
        Ok(())
    }

    /// Syncs a folder and those in it. Files are synced before they get their names.
    fn settle_folder(&self, folder: &Path) -> Result<()> {
        let entries = match self.disk.list(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(failed("list", folder, e)),
        };
        for entry in entries.iter().filter(|entry| entry.folder) {
            self.settle_folder(&folder.join(&entry.name))?;
        }
        self.disk.sync_folder(folder).map_err(|e| failed("sync the directory", folder, e))
    }

    fn read_file(&self, path: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>> {
        let path = self.path(path)?;
        match self.disk.read(&path, range) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(failed("read", &path, e)),
        }
    }
}

/// The file system does not know locks, or its server does not.
fn has_no_locks(e: &std::io::Error) -> bool {
    // ENOLCK, ENOSYS, EOPNOTSUPP.
    e.kind() == ErrorKind::Unsupported
        || (cfg!(target_os = "linux") && matches!(e.raw_os_error(), Some(37 | 38 | 95)))
}

fn failed(what: &str, path: &Path, e: std::io::Error) -> Error {
    let error = Error::io(format!("could not {what} '{}': {e}", path.display())).lasting_if(e.kind());
    match e.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            error.with_hint("the disk is full: make room, or keep fewer checkpoints")
        }
        _ => error,
    }
}

fn is_temporary(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with('.') && name.ends_with(TEMPORARY)
}

impl Store for LocalStore {
    fn put(&self, path: &str, bytes: Bytes) -> Result<()> {
        let target = self.path(path)?;
        let temporary = self.temporary(&target, &bytes)?;
        if let Err(e) = self.disk.rename(&temporary, &target) {
            self.discard(&temporary);
            return Err(failed("write", &target, e));
        }
        self.sync_folder_of(&target)
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<bool> {
        let target = self.path(path)?;
        let temporary = self.temporary(&target, &bytes)?;
        let linked = match self.disk.link(&temporary, &target) {
            // A file system without links. The lock alone keeps others away.
            Err(e) if matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
                match self.disk.read(&target, Some(0..0)) {
                    Ok(_) => Err(ErrorKind::AlreadyExists.into()),
                    Err(e) if e.kind() == ErrorKind::NotFound => self.disk.rename(&temporary, &target),
                    Err(e) => Err(e),
                }
            }
            linked => linked,
        };
        self.discard(&temporary);
        match linked {
            Ok(()) => self.sync_folder_of(&target).map(|()| true),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(failed("write", &target, e)),
        }
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>> {
        self.read_file(path, None)
    }

    fn read(&self, path: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.read_file(path, Some(range))
    }

    fn sizes(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        // Only what is below the folder that the prefix names.
        let within = prefix.rfind('/').map_or("", |at| &prefix[..=at]);
        let mut sizes = BTreeMap::new();
        self.walk(&self.root.join(within), within, &mut |path, bytes| {
            if path.starts_with(prefix) && !is_temporary(&path) && path != LOCK {
                sizes.insert(path, bytes);
            }
        })?;
        Ok(sizes)
    }

    fn delete(&self, path: &str) -> Result<()> {
        let target = self.path(path)?;
        match self.disk.remove(&target) {
            Ok(()) => self.sync_folder_of(&target),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(failed("remove", &target, e)),
        }
    }

    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn under(&self, path: &str) -> Arc<dyn Store> {
        Arc::new(Self::on(self.disk.clone(), self.root.join(path.trim_matches('/'))))
    }

    fn settle(&self) -> Result<()> {
        self.settle_folder(&self.root)
    }

    fn lock(&self) -> Result<Lock> {
        self.folder(&self.root)?;
        let path = self.root.join(LOCK);
        let lock = match self.disk.lock(&path) {
            Ok(Some(lock)) => Lock::held(lock),
            Ok(None) => {
                return Err(Error::io(format!(
                    "the checkpoints in '{}' are in use by another job",
                    self.root.display()
                ))
                .with_detail("it runs already, here or in another process")
                .with_hint("stop it, or give this one another directory or name"));
            }
            // A network file system that has no locks: the lease alone keeps others away.
            Err(e) if has_no_locks(&e) => Lock::none(),
            Err(e) => return Err(failed("lock", &path, e)),
        };
        let mut leftovers = Vec::new();
        self.walk(&self.root, "", &mut |path, _| leftovers.extend(is_temporary(&path).then_some(path)))?;
        leftovers.iter().for_each(|path| self.discard(&self.root.join(path)));
        Ok(lock)
    }
}
