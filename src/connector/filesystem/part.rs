//! A file that is being written: hidden until it is published.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use parking_lot::Mutex;

use super::commit::directory_of;
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

/// Makes the names in a directory safe.
pub(super) fn sync_directory(directory: &Path) -> Result<()> {
    // Elsewhere directories cannot be opened, and names are safe with their files.
    if cfg!(unix) {
        File::open(directory).and_then(|d| d.sync_all()).map_err(|e| failed("written", directory, &e))?;
    }
    Ok(())
}

/// Where a part is in its life. It goes one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Takes bytes.
    Open,
    /// Takes no more bytes; still hidden.
    Closed,
    /// Visible, or thrown away.
    Done,
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
    stage: Stage,
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
            stage: Stage::Open,
        };
        part.write(header)?;
        part.header = part.written;
        Ok(part)
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn header(&self) -> u64 {
        self.header
    }

    /// Makes what was written safe.
    pub(super) fn sync(&mut self) -> Result<()> {
        if self.synced == self.written {
            return Ok(());
        }
        let synced = match &self.file {
            Some(file) => file.sync_data(),
            None => OpenOptions::new().append(true).open(&self.hidden).and_then(|f| f.sync_data()),
        };
        synced.map_err(|e| failed("written", &self.target, &e))?;
        self.synced = self.written;
        Ok(())
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Appends bytes: whole records, so that tasks can share a part.
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

    /// Takes no more bytes.
    pub(super) fn close(&mut self) {
        if self.stage == Stage::Open {
            self.stage = Stage::Closed;
        }
    }

    /// Makes it visible: by its name, or at the end of a file of that name that exists.
    /// With `replace`, what was there is gone.
    pub(super) fn publish(&mut self, replace: bool) -> Result<()> {
        if self.stage == Stage::Done {
            return Ok(());
        }
        let file = self.file.take().map_or_else(|| OpenOptions::new().append(true).open(&self.hidden), Ok);
        file.and_then(|f| f.sync_all()).map_err(|e| failed("written", &self.target, &e))?;
        let _one_at_a_time = APPENDING.lock();
        match fs::metadata(&self.target) {
            Ok(there) if there.len() > 0 && !replace => {
                self.append_to(there.len()).map_err(|e| failed("written", &self.target, &e))?;
            }
            _ => fs::rename(&self.hidden, &self.target).map_err(|e| failed("created", &self.target, &e))?,
        }
        self.stage = Stage::Done;
        Ok(())
    }

    /// Copies the rows behind what the target holds; a failure takes them back.
    fn append_to(&self, length: u64) -> std::io::Result<()> {
        let mut rows = File::open(&self.hidden)?;
        rows.seek(SeekFrom::Start(self.header))?;
        let mut target = OpenOptions::new().read(true).append(true).open(&self.target)?;
        let mut copy = || -> std::io::Result<()> {
            let mut last = [b'\n'];
            target.seek(SeekFrom::Start(length - 1))?;
            target.read_exact(&mut last)?;
            if last != [b'\n'] {
                target.write_all(b"\n")?;
            }
            std::io::copy(&mut rows, &mut target)?;
            target.sync_all()
        };
        if let Err(e) = copy() {
            target.set_len(length)?;
            return Err(e);
        }
        fs::remove_file(&self.hidden)
    }

    /// Throws it away, unless it is visible.
    pub(super) fn discard(&mut self) {
        if self.stage != Stage::Done {
            self.stage = Stage::Done;
            self.file = None;
            // Nothing can be done about a hidden file that does not go away.
            let _ = fs::remove_file(&self.hidden);
        }
    }
}
