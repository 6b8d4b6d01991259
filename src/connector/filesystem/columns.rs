//! Splits of Parquet files.
//!
//! A split is a range of bytes, as of other files, so that nothing but sizes has to be known to cut a file: it has the
//! groups of rows that begin in it. Its position is where a group begins, and how many of its rows were handed over.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;

use super::files::{Compression, FileInfo, unreadable};
use super::input::{Split, changed, checksum};
use super::layout::{Assembly, Layout, Place, Reached};
use crate::error::{Error, Result};
use crate::format::parquet::{MAGIC, ParquetFile, ParquetOptions, ParquetRows, RandomAccess};

/// A file of this machine.
#[derive(Debug)]
pub(super) struct LocalFile {
    file: File,
    size: u64,
}

impl LocalFile {
    pub(super) fn at(path: &Path) -> Result<Self> {
        let opened = File::open(path).and_then(|opened| Ok((opened.metadata()?.len(), opened)));
        let (size, file) = opened.map_err(|e| unreadable(path, &e))?;
        Ok(Self { file, size })
    }
}

impl RandomAccess for LocalFile {
    fn size(&self) -> u64 {
        self.size
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; length];
        std::os::unix::fs::FileExt::read_exact_at(&self.file, &mut bytes, offset)?;
        Ok(bytes.into())
    }

    #[cfg(not(unix))]
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        use std::io::{Read as _, Seek as _};
        let mut file = self.file.try_clone()?;
        file.seek(io::SeekFrom::Start(offset))?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// Any part of a file.
pub(super) fn random_access(file: &FileInfo) -> Result<Arc<dyn RandomAccess>> {
    if file.compression != Compression::None {
        return Err(Error::unsupported(format!(
            "file {}: a Parquet file that is packed as a whole cannot be read",
            file.path.display()
        ))
        .with_hint("unpack it: its columns are packed inside of it"));
    }
    #[cfg(feature = "s3")]
    if let Some(object) = &file.object {
        let parts = super::object::Parts::of(object).map_err(|e| unreadable(&file.path, &e))?;
        return Ok(Arc::new(parts));
    }
    Ok(Arc::new(LocalFile::at(&file.path)?))
}

/// The name of a file in messages.
pub(super) fn name(file: &FileInfo) -> String {
    format!("file {}", file.path.display())
}

/// Whether the file has its last bytes. What does not begin as a Parquet file is complete: it is none.
pub(super) fn is_complete(file: &FileInfo) -> Result<bool> {
    let bytes = match random_access(file) {
        Ok(bytes) => bytes,
        // It was renamed or removed, which is found when it is opened.
        Err(_) => return Ok(true),
    };
    let wrong = |e: io::Error| unreadable(&file.path, &e);
    let size = bytes.size();
    if size < MAGIC.len() as u64 {
        return Ok(false);
    }
    let head = bytes.read_at(0, MAGIC.len()).map_err(wrong)?;
    let tail = bytes.read_at(size - MAGIC.len() as u64, MAGIC.len()).map_err(wrong)?;
    Ok(head != MAGIC || (tail == MAGIC && size >= 12))
}

/// Reads the groups of a split.
pub(super) struct ColumnReader {
    assembly: Assembly,
    split: Split,
    file: ParquetFile,
    /// Groups of the split, with where they begin.
    groups: Vec<(usize, u64)>,
    /// The one of them that is read, or that is next.
    at: usize,
    rows: Option<ParquetRows>,
    /// Rows of it that were handed over.
    handed: u64,
    /// Rows to be left out still.
    skip: u64,
    consumed: u64,
    checksum: u32,
    is_listed: bool,
}

impl ColumnReader {
    pub(super) fn open(layout: &Arc<Layout>, options: &ParquetOptions, split: &Split) -> Result<Self> {
        let info = &split.file;
        let assembly = Assembly::new(layout, info)?;
        let bytes = random_access(info)?;
        let mut opened = info.open().map_err(|e| unreadable(&info.path, &e))?;
        let is_listed = opened.is(info);
        let checksum = match info.object {
            // Its identity says which version it is.
            Some(_) => Ok(0),
            None => checksum(&mut opened, info.size.min(bytes.size())),
        };
        let checksum = checksum.map_err(|e| unreadable(&info.path, &e))?;
        let file =
            ParquetFile::open(bytes, &layout.wanted, options, &layout.zone, layout.batch_rows, &name(info))?;
        let inside = |start: u64| start >= split.start && split.end.is_none_or(|end| start < end);
        let groups = file.starts().into_iter().enumerate().filter(|(_, start)| inside(*start)).collect();
        Ok(Self {
            assembly,
            file,
            groups,
            at: 0,
            rows: None,
            handed: 0,
            skip: split.skip,
            consumed: 0,
            checksum,
            is_listed,
            split: split.clone(),
        })
    }

    pub(super) fn split(&self) -> &Split {
        &self.split
    }

    pub(super) fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// How far it is.
    pub(super) fn place(&self) -> Place {
        let end = self.split.end.unwrap_or(self.split.file.size).max(self.split.start);
        let offset = self.groups.get(self.at).map_or(end, |(_, start)| *start);
        Place { offset, aligned: true, rows: self.handed + self.skip, read: self.split.file.size }
    }

    pub(super) fn reached(&self, done: bool) -> Result<Reached> {
        let (start, end) = (self.split.range, self.split.end);
        Ok(Reached { start, end, place: self.place(), done, checksum: Some(self.checksum) })
    }

    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>> {
        while let Some((group, _)) = self.groups.get(self.at).copied() {
            let rows = match &mut self.rows {
                Some(rows) => rows,
                None => {
                    let skip = std::mem::take(&mut self.skip);
                    if skip > self.file.rows(group) {
                        return Err(changed(&self.split.file.path, self.split.file.size));
                    }
                    self.handed = skip;
                    self.rows.insert(self.file.group(group, skip)?)
                }
            };
            match self.file.next(rows)? {
                Some(batch) if batch.num_rows() > 0 => {
                    self.handed += batch.num_rows() as u64;
                    return Ok(Some(self.assembly.batch(batch)?));
                }
                Some(_) => {}
                None => {
                    self.consumed += self.file.bytes(group);
                    (self.at, self.rows, self.handed) = (self.at + 1, None, 0);
                }
            }
        }
        match self.skip {
            0 => Ok(None),
            // There were more rows when the checkpoint was taken.
            _ => Err(changed(&self.split.file.path, self.split.file.size)),
        }
    }

    pub(super) fn consumed(&self) -> u64 {
        self.consumed
    }
}
