//! Bytes of a file, or of a range of its lines, in large blocks.

use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::files::{Compression, FileInfo, Handle, unreadable};
use crate::error::{Error, Result};

/// Bytes taken from a file at once. Each block is its own allocation, because batches may keep it
/// alive.
pub(super) const BLOCK: usize = 1 << 20;

/// Bytes taken at once to find the end of a line.
const TAIL: usize = 64 << 10;

/// A piece of a file.
///
/// A range `start..end` holds the lines that begin after the first newline at or after `start`, through
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
    /// Rows after `start` that were handed over before the job came back.
    pub(super) skip: u64,
    /// Where the range began of which this is the rest: names its position in checkpoints.
    pub(super) range: u64,
    /// The task that had begun it, and of how many: event time continues where it was.
    pub(super) owner: Option<(usize, usize)>,
}

impl Split {
    /// A whole file.
    pub(super) fn whole(file: Arc<FileInfo>) -> Self {
        Self { file, start: 0, end: None, aligned: true, skip: 0, range: 0, owner: None }
    }

    /// Pieces of a range of a file that nothing was read of, each about `size` bytes.
    pub(super) fn cut(file: &Arc<FileInfo>, range: Range<u64>, size: u64) -> Vec<Self> {
        let size = size.max(1);
        let piece = |start: u64, end: Option<u64>| Self {
            file: file.clone(),
            start,
            end,
            aligned: start == 0,
            skip: 0,
            range: start,
            owner: None,
        };
        let mut splits = Vec::new();
        let mut start = range.start;
        // The last piece may be half as large again, instead of being followed by a tiny one.
        while range.end.min(file.size).saturating_sub(start) > size + size / 2 {
            splits.push(piece(start, Some(start + size)));
            start += size;
        }
        splits.push(piece(start, (range.end < u64::MAX).then_some(range.end)));
        splits
    }
}

/// So many bytes at the start of what was read of a file, and at its end, are remembered by their checksum.
pub(super) const MARKED: u64 = 1 << 10;

/// Tells whether a file still holds what was read of it: a checksum of the first and last of these bytes. Leaves the
/// file at another place.
pub(super) fn checksum(file: &mut (impl Read + Seek), read: u64) -> std::io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = [0; MARKED as usize];
    for start in [0, read.saturating_sub(MARKED)] {
        let bytes = &mut buffer[..read.min(MARKED) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(bytes)?;
        hasher.update(bytes);
    }
    Ok(hasher.finalize())
}

enum Bits {
    Plain(Handle),
    Packed(Box<dyn Read + Send>),
}

/// Counts the packed bytes, for progress.
struct Counted(Handle, Arc<AtomicU64>);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.0.read(buffer)?;
        self.1.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// What was read of a file that others may write anew while it is read: its first bytes and the last ones.
#[derive(Default)]
struct Mark {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Mark {
    /// Of the bytes before an offset.
    fn before(file: &mut Handle, offset: u64) -> std::io::Result<Self> {
        let size = offset.min(MARKED) as usize;
        let mut mark = Self { head: vec![0; size], tail: vec![0; size] };
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut mark.head)?;
        file.seek(SeekFrom::Start(offset - size as u64))?;
        file.read_exact(&mut mark.tail)?;
        Ok(mark)
    }

    fn add(&mut self, block: &[u8]) {
        let most = MARKED as usize;
        let wanted = most - self.head.len().min(most);
        self.head.extend_from_slice(&block[..block.len().min(wanted)]);
        self.tail.extend_from_slice(&block[block.len().saturating_sub(most)..]);
        self.tail.drain(..self.tail.len().saturating_sub(most));
    }

    /// Whether the file holds it still, before an offset. Leaves the file at that offset.
    fn holds(&self, file: &mut Handle, offset: u64) -> std::io::Result<bool> {
        if offset == 0 {
            return Ok(true);
        }
        match Self::before(file, offset) {
            Ok(now) => Ok(now.head == self.head && now.tail == self.tail),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// The bytes of a split.
pub(super) struct Input {
    bits: Bits,
    split: Split,
    /// Offset in the unpacked file of the next byte that is read.
    position: u64,
    /// That of the block that was handed out last.
    block_start: u64,
    /// Packed: the checksum of the packed file.
    checksum: u32,
    /// The first newline is yet to be found.
    seeking: bool,
    done: bool,
    packed: Arc<AtomicU64>,
    /// Of a file that is followed.
    mark: Option<Mark>,
    torn: bool,
    /// The file that was opened is the one that was listed.
    is_listed: bool,
}

impl Input {
    /// Opens the file.
    pub(super) fn open(split: &Split) -> Result<Self> {
        let path = &split.file.path;
        let mut file = split.file.open().map_err(|e| unreadable(path, &e))?;
        if let (Handle::Object(object), Some(end)) = (&mut file, split.end) {
            object.ends_at(end);
        }
        let packed = Arc::new(AtomicU64::new(0));
        let mut checked = 0;
        if split.file.compression == Compression::None {
            file.seek(SeekFrom::Start(split.start)).map_err(|e| unreadable(path, &e))?;
        } else if split.file.object.is_none() {
            let read = split.file.size.min(MARKED);
            checked = checksum(&mut file, read).map_err(|e| unreadable(path, &e))?;
            file.seek(SeekFrom::Start(0)).map_err(|e| unreadable(path, &e))?;
        }
        let is_listed = file.is(&split.file);
        let bits = match split.file.compression {
            Compression::None => Bits::Plain(file),
            packed_by => {
                let bytes = BufReader::with_capacity(256 << 10, Counted(file, packed.clone()));
                Bits::Packed(packed_by.unpacked(bytes).map_err(|e| broken(&split.file, &e))?)
            }
        };
        let mut input = Self {
            bits,
            position: split.start,
            block_start: split.start,
            checksum: checked,
            seeking: !split.aligned,
            done: false,
            packed,
            mark: None,
            torn: false,
            is_listed,
            split: split.clone(),
        };
        input.unpack_start()?;
        Ok(input)
    }

    /// The file that was opened is the one that was listed: another one may have taken its name.
    pub(super) fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// Packed: leaves out what lies before the split.
    fn unpack_start(&mut self) -> Result<()> {
        let Bits::Packed(bytes) = &mut self.bits else { return Ok(()) };
        let path = &self.split.file.path;
        let left_out = std::io::copy(&mut bytes.take(self.split.start), &mut std::io::sink());
        match left_out.map_err(|e| broken(&self.split.file, &e))? {
            n if n < self.split.start => Err(changed(path, self.split.start)),
            _ => Ok(()),
        }
    }

    /// Watches whether the file is rewritten while it is read.
    pub(super) fn watch(&mut self) -> Result<()> {
        if let Bits::Plain(file) = &mut self.bits {
            let mark = Mark::before(file, self.position);
            self.torn = mark.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::UnexpectedEof);
            self.done |= self.torn;
            self.mark = match mark {
                Err(_) if self.torn => Some(Mark::default()),
                mark => Some(mark.map_err(|e| unreadable(&self.split.file.path, &e))?),
            };
        }
        Ok(())
    }

    /// It was: what it holds does not continue what was read.
    pub(super) fn torn(&self) -> bool {
        self.torn
    }

    /// Looks whether the file still holds what was read before `offset`.
    fn verify(&mut self, offset: u64) -> Result<()> {
        if let (Bits::Plain(file), Some(mark)) = (&mut self.bits, &self.mark) {
            let here = file.stream_position();
            let held = here.and_then(|here| {
                let held = mark.holds(file, offset)?;
                file.seek(SeekFrom::Start(here))?;
                Ok(held)
            });
            self.torn |= !held.map_err(|e| unreadable(&self.split.file.path, &e))?;
        }
        Ok(())
    }

    /// The next block of the split's lines; `None` at its end.
    pub(super) fn block(&mut self) -> Result<Option<Bytes>> {
        while !self.done {
            let before = self.position;
            let mut block = self.read_block()?;
            self.verify(before)?;
            if block.is_empty() || self.torn {
                self.done = true;
                break;
            }
            if let Some(mark) = &mut self.mark {
                mark.add(&block);
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
                self.block_start = offset;
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    fn read_block(&mut self) -> Result<Bytes> {
        // Behind the end of the range only the rest of one line is wanted.
        let most = if self.split.end.is_some_and(|end| self.position >= end) { TAIL } else { BLOCK };
        let mut block = Vec::new();
        let read = match &mut self.bits {
            Bits::Plain(file) => {
                let left = usize::try_from(self.split.file.size.saturating_sub(self.position));
                block.reserve_exact(left.unwrap_or(most).clamp(4096, most));
                file.take(most as u64).read_to_end(&mut block)
            }
            Bits::Packed(bytes) => {
                block.reserve_exact(most);
                bytes.take(most as u64).read_to_end(&mut block)
            }
        };
        let path = &self.split.file.path;
        match (read, &self.bits) {
            (Ok(_), _) => Ok(block.into()),
            (Err(e), Bits::Plain(_)) => Err(unreadable(path, &e)),
            (Err(e), Bits::Packed(_)) => Err(broken(&self.split.file, &e)),
        }
    }

    /// Offset of the block that was handed out last.
    pub(super) fn block_start(&self) -> u64 {
        self.block_start
    }

    /// The checksum of the first so many bytes; of a packed file, of its start. `None`: they are gone.
    pub(super) fn checksum(&mut self, read: u64) -> Result<Option<u32>> {
        let sum = self.checksum_now(read)?;
        self.verify(self.position)?;
        Ok(sum.filter(|_| !self.torn))
    }

    fn checksum_now(&mut self, read: u64) -> Result<Option<u32>> {
        if self.split.file.object.is_some() {
            // Its identity says which version it is.
            return Ok(Some(0));
        }
        let Bits::Plain(file) = &mut self.bits else { return Ok(Some(self.checksum)) };
        let sum = file.stream_position().and_then(|here| {
            let sum = checksum(file, read);
            file.seek(SeekFrom::Start(here))?;
            sum
        });
        match sum {
            Ok(sum) => Ok(Some(sum)),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(unreadable(&self.split.file.path, &e)),
        }
    }

    /// Offset after the last byte that was read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the file that were used up, packed ones where it is packed.
    pub(super) fn consumed(&self) -> u64 {
        match self.bits {
            Bits::Plain(_) => self.position - self.split.start,
            Bits::Packed(_) => self.packed.load(Ordering::Relaxed),
        }
    }
}

fn broken(file: &FileInfo, e: &std::io::Error) -> Error {
    Error::io(format!("file {}: broken {} data: {e}", file.path.display(), file.compression.name()))
}

/// A file does not hold what was read of it any more.
pub(super) fn changed(path: &Path, read: u64) -> Error {
    Error::io(format!(
        "file {} was changed: its first {read} bytes are not those that were read",
        path.display()
    ))
    .with_hint(
        "files may grow while they are read; put the file back, or start the job without its checkpoints",
    )
}

/// Newlines before an offset of a file that is not packed.
pub(super) fn newlines_before(file: &FileInfo, offset: u64) -> Result<u64> {
    let path = &file.path;
    let mut file = file.open().map_err(|e| unreadable(path, &e))?.take(offset);
    let mut buffer = vec![0; BLOCK];
    let mut newlines = 0;
    loop {
        match file.read(&mut buffer).map_err(|e| unreadable(path, &e))? {
            0 => return Ok(newlines),
            n => newlines += memchr::memchr_iter(b'\n', &buffer[..n]).count() as u64,
        }
    }
}
