//! A file that is being written: hidden until it is published.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use parking_lot::Mutex;

use crate::error::{Error, Result};

/// Where rows go.
#[derive(Debug)]
pub(super) enum Target {
    /// One file for all tasks.
    File(PathBuf),
    /// A file a task, and partition.
    Directory(PathBuf),
}

impl Target {
    /// The hidden file of a part of this name, of this sink.
    pub(super) fn hidden(&self, name: &str, sink: &str) -> PathBuf {
        match self {
            Self::File(path) => directory_of(path).join(format!(".{name}-{sink}.inprogress")),
            Self::Directory(root) => {
                let path = root.join(name);
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                path.with_file_name(format!(".{name}-{sink}.inprogress"))
            }
        }
    }

    /// A hidden file of a sink that is no part.
    pub(super) fn hidden_beside(&self, sink: &str, ending: &str) -> PathBuf {
        let (Self::File(path) | Self::Directory(path)) = self;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        directory_of(path).join(format!(".{name}-{sink}.{ending}"))
    }
}

/// The directory that a path lies in.
pub(super) fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Makes the names in a directory safe.
pub(super) fn sync_directory(directory: &Path) -> Result<()> {
    // Elsewhere directories cannot be opened, and names are safe with their files.
    if cfg!(unix) {
        File::open(directory).and_then(|d| d.sync_all()).map_err(|e| failed("written", directory, &e))?;
    }
    Ok(())
}

/// One file of a sink.
#[derive(Debug)]
pub(super) struct Part {
    target: PathBuf,
    hidden: PathBuf,
    file: Option<File>,
    /// Length of the header line at its start.
    header: u64,
    written: u64,
    /// So many bytes are safe.
    synced: u64,
    opened: Instant,
}

/// Adding to a file that exists is done by one job at a time.
pub(super) static APPENDING: Mutex<()> = Mutex::new(());

pub(super) fn failed(what: &str, path: &Path, e: &std::io::Error) -> Error {
    Error::io(format!("'{}' could not be {what}: {e}", path.display())).lasting_if(e.kind())
}

impl Part {
    /// Creates the hidden file, and the directories on its path, with `header` at its start.
    pub(super) fn create(target: PathBuf, hidden: PathBuf, header: &[u8]) -> Result<Self> {
        if let Some(directory) = hidden.parent().filter(|d| !d.as_os_str().is_empty()) {
            fs::create_dir_all(directory).map_err(|e| failed("created", directory, &e))?;
        }
        let file = OpenOptions::new().append(true).create_new(true).open(&hidden);
        let mut part = Self {
            file: Some(file.map_err(|e| failed("created", &hidden, &e))?),
            target,
            hidden,
            header: 0,
            written: 0,
            synced: 0,
            opened: Instant::now(),
        };
        part.write(header)?;
        part.header = part.written;
        Ok(part)
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn header(&self) -> u64 {
        self.header
    }

    /// The file that must be synced before its rows are safe; `None` when it is synced. The caller that takes it syncs it.
    pub(super) fn unsynced(&mut self) -> Result<Option<Unsynced>> {
        if self.synced == self.written {
            return Ok(None);
        }
        let file = match &self.file {
            Some(file) => Some(file.try_clone().map_err(|e| failed("written", &self.target, &e))?),
            None => None,
        };
        self.synced = self.written;
        Ok(Some(Unsynced { file, hidden: self.hidden.clone(), target: self.target.clone() }))
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Appends bytes: whole records.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = OpenOptions::new().append(true).open(&self.hidden);
                self.file.insert(file.map_err(|e| failed("opened", &self.hidden, &e))?)
            }
        };
        file.write_all(bytes).map_err(|e| failed("written", &self.target, &e))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Gives the file's handle back; the next write opens it again.
    pub(super) fn release(&mut self) {
        self.file = None;
    }

    /// Throws it away.
    pub(super) fn discard(&mut self) {
        self.file = None;
        // Nothing can be done about a hidden file that does not go away.
        let _ = fs::remove_file(&self.hidden);
    }
}

/// A file whose bytes are not safe yet.
#[derive(Debug)]
pub(super) struct Unsynced {
    file: Option<File>,
    hidden: PathBuf,
    target: PathBuf,
}

impl Unsynced {
    /// Makes its bytes safe; this may take long.
    pub(super) fn sync(self) -> Result<()> {
        let file = self.file.map_or_else(|| OpenOptions::new().append(true).open(&self.hidden), Ok);
        file.and_then(|f| f.sync_data()).map_err(|e| failed("written", &self.target, &e))
    }
}
