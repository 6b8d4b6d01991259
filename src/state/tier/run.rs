//! One sorted file of rows, and how it is written, searched and read through.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::state::memory::{Memory, failed};

/// Bytes of rows after which a block is closed.
const BLOCK_BYTES: usize = 4 << 10;
/// Bytes that are written, or read by a [`Scan`], at once.
const BUFFER_BYTES: usize = 128 << 10;
/// A search reads blocks together that are not further apart than this.
const GAP_BYTES: u64 = 8 << 10;
/// Bits of the filter a key.
const FILTER_BITS: u64 = 12;
/// What stands in the place of a table where older runs do not count.
pub(super) const RESET: u8 = u8::MAX;

/// A row with what the store knows of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) hash: u64,
    /// Number of its table, or [`RESET`].
    pub(super) tag: u8,
    /// When it was moved here, or when it is due; see [`super::Times`].
    pub(super) moment: i64,
    pub(super) row: &'a [u8],
}

/// Which keys the blocks of a run may have: one word of memory a question, and those of ascending keys lie side by side.
/// About three of a hundred keys that are not there pass.
#[derive(Debug, Default)]
struct Filter {
    words: Vec<u64>,
    /// Where the words of each block begin, and the end.
    starts: Vec<u32>,
}

impl Filter {
    /// Word of so many, and bits in it.
    fn place(hash: u64, words: usize) -> (usize, u64) {
        // The hashes of a block have their first bits in common, and their last ones are used for the bits.
        let spread = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let word = (u128::from(spread) * words as u128) >> 64;
        let bits = [0, 6, 12, 18].iter().fold(0, |bits, shift| bits | 1 << ((hash >> shift) & 63));
        (word as usize, bits)
    }

    /// The next block has these hashes, equal ones one after the other.
    fn add(&mut self, hashes: &[u64]) {
        let keys = hashes.chunk_by(|a, b| a == b).count() as u64;
        let (start, words) = (self.words.len(), (keys * FILTER_BITS).div_ceil(64) as usize);
        self.starts.push(start as u32);
        self.words.resize(start + words, 0);
        for &hash in hashes {
            let (word, bits) = Self::place(hash, words);
            self.words[start + word] |= bits;
        }
    }

    fn finish(&mut self) {
        self.starts.push(self.words.len() as u32);
        self.words.shrink_to_fit();
        self.starts.shrink_to_fit();
    }

    fn may_have(&self, block: usize, hash: u64) -> bool {
        let words = &self.words[self.starts[block] as usize..self.starts[block + 1] as usize];
        let (word, bits) = Self::place(hash, words.len());
        words[word] & bits == bits
    }

    fn memory(&self) -> usize {
        self.words.capacity() * 8 + self.starts.capacity() * 4
    }
}

/// A file of rows, which goes when this goes.
#[derive(Debug)]
pub(super) struct Run {
    path: PathBuf,
    file: File,
    /// First hash and place of each block; the last entry is the end of the file.
    index: Vec<(u64, u64)>,
    filter: Filter,
    pub(super) records: u64,
    memory: Arc<Memory>,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.memory.add_spilled(-(self.bytes() as i64));
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Run {
    /// Bytes of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.index.last().map_or(0, |end| end.1)
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        self.index.capacity() * 16 + self.filter.memory()
    }

    fn read(&self, place: std::ops::Range<u64>, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.resize((place.end - place.start) as usize, 0);
        self.file.read_exact_at(buffer, place.start).map_err(|e| failed(&self.path, &e))
    }

    /// The rows of those of these hashes (ascending) that are here.
    pub(super) fn search(
        &self,
        hashes: &[u64],
        found: &mut dyn FnMut(Record<'_>) -> Result<()>,
    ) -> Result<()> {
        let blocks = &self.index[..self.index.len().saturating_sub(1)];
        let (mut wanted, mut next): (Vec<(usize, u64)>, usize) = (Vec::new(), 0);
        for &hash in hashes {
            // The first block that begins behind it. It is mostly near: the steps double until they are too large.
            let mut step = 1;
            while blocks.get(next + step - 1).is_some_and(|block| block.0 <= hash) {
                next += step;
                step *= 2;
            }
            let rest = &blocks[next..(next + step).min(blocks.len())];
            next += rest.partition_point(|block| block.0 <= hash);
            if let Some(block) = next.checked_sub(1).filter(|&block| self.filter.may_have(block, hash)) {
                wanted.push((block, hash));
            }
        }
        let (mut buffer, mut rest) = (Vec::new(), &wanted[..]);
        while let Some(&(from, _)) = rest.first() {
            let start = self.index[from].1;
            let (mut to, mut many) = (from, 0);
            for &(block, _) in rest {
                let (near, end) = (self.index[block].1, self.index[block + 1].1);
                if near > self.index[to + 1].1 + GAP_BYTES
                    || (end - start > BUFFER_BYTES as u64 && block > from)
                {
                    break;
                }
                (to, many) = (block, many + 1);
            }
            self.read(start..self.index[to + 1].1, &mut buffer)?;
            for &(block, hash) in &rest[..many] {
                let (begin, end) = (self.index[block].1 - start, self.index[block + 1].1 - start);
                let block = Block::parse(&buffer[begin as usize..end as usize])?;
                let mut at = block.hashes.partition_point(|h| u64::from_le_bytes(*h) < hash);
                while block.hash(at) == Some(hash) {
                    found(block.record(at)?)?;
                    at += 1;
                }
            }
            rest = &rest[many..];
        }
        Ok(())
    }
}

/// Rows by ascending hashes:
///
/// ```text
/// n │ bytes of each row, or DIFFERS │ 1, or 0 │ tag │ moment │ n hashes │ n tags, n moments │ n ends │ rows
///                                     └ of all rows: they have none ──────┘                 └ where the bytes differ
/// ```
struct Block<'a> {
    hashes: &'a [[u8; 8]],
    /// Tag and moment of all rows, or of each.
    marks: Marks<'a>,
    sizes: Sizes<'a>,
    rows: &'a [u8],
}

enum Marks<'a> {
    Same(u8, i64),
    Each(&'a [u8], &'a [[u8; 8]]),
}

enum Sizes<'a> {
    Same(usize),
    Ends(&'a [[u8; 4]]),
}

/// In the place of the bytes of each row.
const DIFFERS: u32 = u32::MAX;
/// Bytes before the hashes of a block.
const BLOCK_HEADER: usize = 4 + 4 + 1 + 1 + 8;

impl<'a> Block<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self> {
        let parts = || {
            let (n, rest) = bytes.split_first_chunk::<4>()?;
            let (size, rest) = rest.split_first_chunk::<4>()?;
            let (&[same, tag], rest) = rest.split_first_chunk::<2>()?;
            let (moment, rest) = rest.split_first_chunk::<8>()?;
            let n = u32::from_le_bytes(*n) as usize;
            let (hashes, mut rest) = rest.split_at_checked(n * 8)?;
            let marks = if same == 1 {
                Marks::Same(tag, i64::from_le_bytes(*moment))
            } else {
                let (tags, after) = rest.split_at_checked(n)?;
                let (moments, after) = after.split_at_checked(n * 8)?;
                rest = after;
                Marks::Each(tags, moments.as_chunks().0)
            };
            let sizes = match u32::from_le_bytes(*size) {
                DIFFERS => {
                    let (ends, after) = rest.split_at_checked(n * 4)?;
                    rest = after;
                    Sizes::Ends(ends.as_chunks().0)
                }
                size => Sizes::Same(size as usize),
            };
            Some(Self { hashes: hashes.as_chunks().0, marks, sizes, rows: rest })
        };
        parts().ok_or_else(lost)
    }

    fn hash(&self, at: usize) -> Option<u64> {
        self.hashes.get(at).map(|hash| u64::from_le_bytes(*hash))
    }

    /// Where a row ends.
    fn end(&self, at: usize) -> Option<usize> {
        match self.sizes {
            Sizes::Same(size) => Some(size * (at + 1)),
            Sizes::Ends(ends) => ends.get(at).map(|end| u32::from_le_bytes(*end) as usize),
        }
    }

    fn record(&self, at: usize) -> Result<Record<'a>> {
        let parts = || {
            let start = if at == 0 { 0 } else { self.end(at - 1)? };
            let row = self.rows.get(start..self.end(at)?)?;
            let (tag, moment) = match self.marks {
                Marks::Same(tag, moment) => (tag, moment),
                Marks::Each(tags, moments) => (*tags.get(at)?, i64::from_le_bytes(*moments.get(at)?)),
            };
            Some(Record { hash: self.hash(at)?, tag, moment, row })
        };
        parts().ok_or_else(lost)
    }

    /// Bytes of the block that these bytes begin with.
    fn length(&self) -> usize {
        let n = self.hashes.len();
        let marks = if matches!(self.marks, Marks::Each(..)) { n * 9 } else { 0 };
        let ends = if matches!(self.sizes, Sizes::Ends(_)) { n * 4 } else { 0 };
        let rows = n.checked_sub(1).and_then(|last| self.end(last)).unwrap_or(0);
        BLOCK_HEADER + n * 8 + marks + ends + rows
    }
}

pub(super) fn lost() -> Error {
    Error::internal("rows on disk were lost")
}

/// Writes a run.
pub(super) struct RunWriter {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    written: u64,
    index: Vec<(u64, u64)>,
    filter: Filter,
    records: u64,
    hashes: Vec<u64>,
    tags: Vec<u8>,
    moments: Vec<i64>,
    ends: Vec<u32>,
    rows: Vec<u8>,
    memory: Arc<Memory>,
}

impl RunWriter {
    pub(super) fn new(memory: &Arc<Memory>) -> Result<Self> {
        let (path, file) = memory.create("run")?;
        Ok(Self {
            path,
            file,
            buffer: Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 4),
            written: 0,
            index: Vec::new(),
            filter: Filter::default(),
            records: 0,
            hashes: Vec::new(),
            tags: Vec::new(),
            moments: Vec::new(),
            ends: Vec::new(),
            rows: Vec::new(),
            memory: memory.clone(),
        })
    }

    /// Adds a row; hashes ascend. Rows of one hash keep their order.
    pub(super) fn push(&mut self, record: Record<'_>) -> Result<()> {
        if self.rows.len() >= BLOCK_BYTES && self.hashes.last() != Some(&record.hash) {
            self.close_block()?;
        }
        self.records += 1;
        self.hashes.push(record.hash);
        self.tags.push(record.tag);
        self.moments.push(record.moment);
        self.rows.extend_from_slice(record.row);
        let end = u32::try_from(self.rows.len())
            .map_err(|_| Error::unsupported("the state of one key is too large to be moved to disk"))?;
        self.ends.push(end);
        Ok(())
    }

    fn close_block(&mut self) -> Result<()> {
        let firsts = (self.hashes.first(), self.tags.first(), self.moments.first(), self.ends.first());
        let (Some(&first), Some(&tag), Some(&moment), Some(&size)) = firsts else { return Ok(()) };
        self.filter.add(&self.hashes);
        self.index.push((first, self.written + self.buffer.len() as u64));
        let same_marks =
            self.tags.iter().all(|other| *other == tag) && self.moments.iter().all(|other| *other == moment);
        let is_step = |pair: &[u32]| pair[1] - pair[0] == size;
        let same_size = size != DIFFERS && self.ends.windows(2).all(is_step);
        let buffer = &mut self.buffer;
        buffer.extend_from_slice(&(self.hashes.len() as u32).to_le_bytes());
        buffer.extend_from_slice(&(if same_size { size } else { DIFFERS }).to_le_bytes());
        buffer.extend_from_slice(&[u8::from(same_marks), tag]);
        buffer.extend_from_slice(&moment.to_le_bytes());
        self.hashes.iter().for_each(|hash| buffer.extend_from_slice(&hash.to_le_bytes()));
        if !same_marks {
            buffer.extend_from_slice(&self.tags);
            self.moments.iter().for_each(|moment| buffer.extend_from_slice(&moment.to_le_bytes()));
        }
        if !same_size {
            self.ends.iter().for_each(|end| buffer.extend_from_slice(&end.to_le_bytes()));
        }
        buffer.append(&mut self.rows);
        self.hashes.clear();
        self.tags.clear();
        self.moments.clear();
        self.ends.clear();
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.buffer).map_err(|e| failed(&self.path, &e))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// The run; `None` without a row.
    pub(super) fn finish(mut self) -> Result<Option<Arc<Run>>> {
        self.close_block()?;
        self.flush()?;
        self.index.push((u64::MAX, self.written));
        self.index.shrink_to_fit();
        self.filter.finish();
        self.memory.add_spilled(self.written as i64);
        let Self { path, file, index, filter, records, memory, .. } = self;
        let run = Run { path, file, index, filter, records, memory };
        Ok((records > 0).then(|| Arc::new(run)))
    }
}

/// Reads a run from its beginning to its end.
pub(super) struct Scan {
    run: Arc<Run>,
    /// The block behind those that are in the buffer.
    block: usize,
    buffer: Vec<u8>,
    /// Where the block that is read begins, and the next row in it.
    at: usize,
    row: usize,
    hash: Option<u64>,
}

impl Scan {
    pub(super) fn new(run: Arc<Run>) -> Result<Self> {
        let mut scan = Self { run, block: 0, buffer: Vec::new(), at: 0, row: 0, hash: None };
        scan.fill()?;
        Ok(scan)
    }

    /// The hash that comes next.
    pub(super) fn hash(&self) -> Option<u64> {
        self.hash
    }

    /// Finds the next row, in this block or a later one.
    fn fill(&mut self) -> Result<()> {
        if self.at < self.buffer.len() {
            let block = Block::parse(&self.buffer[self.at..])?;
            self.hash = block.hash(self.row);
            if self.hash.is_some() {
                return Ok(());
            }
            (self.at, self.row) = (self.at + block.length(), 0);
        }
        if self.at >= self.buffer.len() {
            let index = &self.run.index;
            let Some(&(_, start)) = index.get(self.block).filter(|_| self.block + 1 < index.len()) else {
                self.hash = None;
                return Ok(());
            };
            let most = start + BUFFER_BYTES as u64;
            let ends = &index[self.block + 1..];
            let more = ends.partition_point(|end| end.1 <= most).max(1);
            let end = ends[more - 1].1;
            self.block += more;
            let mut buffer = std::mem::take(&mut self.buffer);
            self.run.read(start..end, &mut buffer)?;
            (self.buffer, self.at, self.row) = (buffer, 0, 0);
        }
        self.hash = Block::parse(&self.buffer[self.at..])?.hash(self.row);
        Ok(())
    }

    /// Gives the rows of the hash that comes next.
    pub(super) fn group(&mut self, each: &mut dyn FnMut(Record<'_>) -> Result<()>) -> Result<()> {
        let block = Block::parse(self.buffer.get(self.at..).unwrap_or_default())?;
        while self.hash.is_some() && block.hash(self.row) == self.hash {
            each(block.record(self.row)?)?;
            self.row += 1;
        }
        self.fill()
    }
}
