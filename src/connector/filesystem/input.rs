//! Bytes of a file, or of a range of its lines, in large blocks.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

use super::files::{Compression, FileInfo, unreadable};
use crate::error::{Error, Result};

/// Bytes taken from a file at once. Each block is an allocation of its own, because batches may keep it
/// alive.
pub(super) const BLOCK: usize = 1 << 20;

/// A piece of a file.
///
/// A range `start..end` holds the lines that begin behind the first newline at or after `start`, through
/// the first newline at or after `end`; so the ranges of a file that touch hold every line once, wherever
/// they are cut.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Split {
    pub(super) file: Arc<FileInfo>,
    pub(super) start: u64,
    /// `None`: to the end of the file.
    pub(super) end: Option<u64>,
    /// `start` is known to be the start of a line.
    pub(super) aligned: bool,
}

impl Split {
    /// A whole file.
    pub(super) fn whole(file: Arc<FileInfo>) -> Self {
        Self { file, start: 0, end: None, aligned: true }
    }

    /// Pieces of a file, each about `size` bytes.
    pub(super) fn cut(file: &Arc<FileInfo>, size: u64) -> Vec<Self> {
        let size = size.max(1);
        let mut splits = Vec::new();
        let mut start = 0;
        // The last piece may be half as large again, instead of being followed by a tiny one.
        while file.size.saturating_sub(start) > size + size / 2 {
            splits.push(Self { file: file.clone(), start, end: Some(start + size), aligned: start == 0 });
            start += size;
        }
        splits.push(Self { file: file.clone(), start, end: None, aligned: start == 0 });
        splits
    }
}

enum Bits {
    Plain(File),
    Gzip(MultiGzDecoder<BufReader<Counted>>),
}

/// Counts the packed bytes, for progress.
struct Counted(File, Arc<AtomicU64>);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.0.read(buffer)?;
        self.1.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// The bytes of a split.
pub(super) struct Input {
    bits: Bits,
    split: Split,
    /// Offset in the unpacked file of the next byte that is read.
    position: u64,
    /// The first newline is yet to be found.
    seeking: bool,
    done: bool,
    packed: Arc<AtomicU64>,
}

impl Input {
    /// Opens the file.
    pub(super) fn open(split: &Split) -> Result<Self> {
        let path = &split.file.path;
        let mut file = File::open(path).map_err(|e| unreadable(path, &e))?;
        let packed = Arc::new(AtomicU64::new(0));
        if split.start > 0 {
            file.seek(SeekFrom::Start(split.start)).map_err(|e| unreadable(path, &e))?;
        }
        let bits = match split.file.compression {
            Compression::None => Bits::Plain(file),
            Compression::Gzip => Bits::Gzip(MultiGzDecoder::new(BufReader::with_capacity(
                256 << 10,
                Counted(file, packed.clone()),
            ))),
        };
        let seeking = !split.aligned;
        Ok(Self { bits, position: split.start, seeking, done: false, packed, split: split.clone() })
    }

    /// The next block of the split's lines; `None` at its end.
    pub(super) fn block(&mut self) -> Result<Option<Bytes>> {
        while !self.done {
            let before = self.position;
            let mut block = self.read_block()?;
            if block.is_empty() {
                self.done = true;
                break;
            }
            self.position += block.len() as u64;
            let mut offset = before;
            if self.seeking {
                let Some(at) = memchr::memchr(b'\n', &block) else { continue };
                self.seeking = false;
                block = block.slice(at + 1..);
                offset += at as u64 + 1;
                // The one line of the range was longer than the range.
                if self.split.end.is_some_and(|end| offset > end) {
                    self.done = true;
                    break;
                }
            }
            if let Some(end) = self.split.end {
                let from = end.saturating_sub(offset) as usize;
                if let Some(at) = block.get(from..).and_then(|rest| memchr::memchr(b'\n', rest)) {
                    block.truncate(from + at + 1);
                    self.done = true;
                }
            }
            if !block.is_empty() {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    fn read_block(&mut self) -> Result<Bytes> {
        let mut block = Vec::with_capacity(BLOCK);
        let read = match &mut self.bits {
            Bits::Plain(file) => file.take(BLOCK as u64).read_to_end(&mut block),
            Bits::Gzip(gzip) => gzip.take(BLOCK as u64).read_to_end(&mut block),
        };
        let path = &self.split.file.path;
        match (read, &self.bits) {
            (Ok(_), _) => Ok(block.into()),
            (Err(e), Bits::Plain(_)) => Err(unreadable(path, &e)),
            (Err(e), Bits::Gzip(_)) => {
                Err(Error::io(format!("file {}: broken gzip data: {e}", path.display())))
            }
        }
    }

    /// Offset behind the last byte that was read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the file that were used up, packed ones where it is packed.
    pub(super) fn consumed(&self) -> u64 {
        match self.bits {
            Bits::Plain(_) => self.position - self.split.start,
            Bits::Gzip(_) => self.packed.load(Ordering::Relaxed),
        }
    }
}

/// Newlines before an offset of a file that is not packed.
pub(super) fn newlines_before(path: &Path, offset: u64) -> Result<u64> {
    let mut file = File::open(path).map_err(|e| unreadable(path, &e))?.take(offset);
    let mut buffer = vec![0; BLOCK];
    let mut newlines = 0;
    loop {
        match file.read(&mut buffer).map_err(|e| unreadable(path, &e))? {
            0 => return Ok(newlines),
            n => newlines += memchr::memchr_iter(b'\n', &buffer[..n]).count() as u64,
        }
    }
}
