//! Which keys are due when: sorted lists on disk, read from their beginning as time goes on.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Result;
use crate::state::memory::{Memory, failed};

/// Entries that are read at once.
const PIECE: u64 = 256;
/// Lists before they are put together.
const LISTS: usize = 32;
/// Bytes of an entry: moment, hash.
const ENTRY: u64 = 16;

/// One list.
#[derive(Debug)]
struct List {
    path: PathBuf,
    file: File,
    /// The next entry, and the end.
    at: u64,
    end: u64,
    /// Entries that were read, the next one last.
    buffer: Vec<(i64, u64)>,
    memory: Arc<Memory>,
    bytes: u64,
}

impl Drop for List {
    fn drop(&mut self) {
        self.memory.add_spilled(-(self.bytes as i64));
        let _ = std::fs::remove_file(&self.path);
    }
}

impl List {
    fn write(memory: &Arc<Memory>, entries: &mut dyn FnMut() -> Result<Option<(i64, u64)>>) -> Result<Self> {
        let (path, file) = memory.create("due")?;
        let mut list =
            Self { path, file, at: 0, end: 0, buffer: Vec::new(), memory: memory.clone(), bytes: 0 };
        let mut writer = BufWriter::with_capacity(1 << 16, &list.file);
        while let Some((moment, hash)) = entries()? {
            let mut write = |n: &[u8; 8]| writer.write_all(n).map_err(|e| failed(&list.path, &e));
            write(&moment.to_le_bytes())?;
            write(&hash.to_le_bytes())?;
            list.end += 1;
        }
        writer.flush().map_err(|e| failed(&list.path, &e))?;
        drop(writer);
        list.bytes = list.end * ENTRY;
        memory.add_spilled(list.bytes as i64);
        Ok(list)
    }

    fn read(&self, at: u64, count: u64) -> Result<Vec<(i64, u64)>> {
        let mut bytes = vec![0; (count * ENTRY) as usize];
        self.file.read_exact_at(&mut bytes, at * ENTRY).map_err(|e| failed(&self.path, &e))?;
        let numbers = bytes.as_chunks::<8>().0.chunks_exact(2);
        Ok(numbers.map(|n| (i64::from_le_bytes(n[0]), u64::from_le_bytes(n[1]))).collect())
    }

    /// The next entry, which stays.
    fn peek(&mut self) -> Result<Option<(i64, u64)>> {
        if self.buffer.is_empty() && self.at < self.end {
            let count = PIECE.min(self.end - self.at);
            self.buffer = self.read(self.at, count)?;
            self.at += count;
            self.buffer.reverse();
        }
        Ok(self.buffer.last().copied())
    }

    /// How many entries are due.
    fn due(&mut self, moment: i64) -> Result<u64> {
        if self.peek()?.is_none_or(|next| next.0 > moment) {
            return Ok(0);
        }
        let buffered = self.buffer.iter().filter(|entry| entry.0 <= moment).count() as u64;
        if buffered < self.buffer.len() as u64 {
            return Ok(buffered);
        }
        let (mut low, mut high) = (self.at, self.end);
        while low < high {
            let middle = (low + high) / 2;
            match self.read(middle, 1)?.first().is_some_and(|entry| entry.0 <= moment) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(buffered + low - self.at)
    }
}

/// All lists.
#[derive(Debug, Default)]
pub(super) struct Due {
    lists: Vec<List>,
}

impl Due {
    /// Adds entries; what comes first is put together when there are many lists.
    pub(super) fn add(&mut self, memory: &Arc<Memory>, mut entries: Vec<(i64, u64)>) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        entries.sort_unstable();
        entries.dedup();
        let mut entries = entries.into_iter();
        self.lists.push(List::write(memory, &mut || Ok(entries.next()))?);
        if self.lists.len() >= LISTS {
            let mut heap = BinaryHeap::new();
            let mut lists = std::mem::take(&mut self.lists);
            for (number, list) in lists.iter_mut().enumerate() {
                heap.extend(list.peek()?.map(|entry| Reverse((entry, number))));
            }
            let mut last = None;
            let mut next = || loop {
                let Some(Reverse((entry, number))) = heap.pop() else { return Ok(None) };
                lists[number].buffer.pop();
                heap.extend(lists[number].peek()?.map(|entry| Reverse((entry, number))));
                if last.replace(entry) != Some(entry) {
                    return Ok(Some(entry));
                }
            };
            self.lists.push(List::write(memory, &mut next)?);
        }
        Ok(())
    }

    /// How many entries are due at a moment; a key may have several.
    pub(super) fn count(&mut self, moment: i64) -> Result<u64> {
        self.lists.iter_mut().try_fold(0, |sum, list| Ok(sum + list.due(moment)?))
    }

    /// Takes the entries out that are due; with hashes where they are wanted.
    pub(super) fn take(&mut self, moment: i64, mut hashes: Option<&mut Vec<u64>>) -> Result<()> {
        for list in &mut self.lists {
            while let Some((_, hash)) = list.peek()?.filter(|next| next.0 <= moment) {
                list.buffer.pop();
                if let Some(hashes) = &mut hashes {
                    hashes.push(hash);
                }
            }
        }
        self.lists.retain(|list| list.at < list.end || !list.buffer.is_empty());
        Ok(())
    }

    /// The earliest moment of all.
    pub(super) fn first(&mut self) -> Result<Option<i64>> {
        let mut first = None;
        for list in &mut self.lists {
            let next = list.peek()?.map(|next| next.0);
            first = first.into_iter().chain(next).min();
        }
        Ok(first)
    }

    pub(super) fn memory(&self) -> usize {
        self.lists.len() * (size_of::<List>() + PIECE as usize * ENTRY as usize)
    }
}
