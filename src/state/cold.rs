//! Rows of keys that are on disk because they were not used for long.
//!
//! ```text
//!  memory:  hash of the key ──> log 1, byte 4711           16 bytes a row, and what the table takes
//!  disk:    log 1  [ hash 8 | id 4 | length 4 | row ][ hash | id | length | row ] ...
//! ```
//! Rows are Arrow's row format: one read brings one row back, and what is read are the rows that are wanted and
//! not whole blocks around them. Logs are only ever appended to. A row that has been taken out leaves a hole; a
//! log that is more than half holes is written again. Rows of two keys with one hash come back together: whoever
//! asks for one of them gets both, and keeps both.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use hashbrown::HashTable;

use super::memory::{Memory, failed};
use crate::error::{Error, Result};

/// Bytes of a log that is full.
const LOG_BYTES: u64 = 64 << 20;

/// Bytes before a row: hash, id, length.
const HEADER: usize = 16;

/// Bits of a place that are the byte in the log; those above are its number.
const OFFSET_BITS: u32 = 40;

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    place: u64,
}

#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
    rows: u32,
    /// Rows that have not been taken out.
    alive: u32,
    /// The latest moment that a row of it was written.
    newest: i64,
    memory: Arc<Memory>,
}

impl Log {
    fn create(memory: &Arc<Memory>) -> Result<Self> {
        let (path, file) = memory.create("rows")?;
        Ok(Self { path, file, bytes: 0, rows: 0, alive: 0, newest: i64::MIN, memory: memory.clone() })
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let read = self.file.seek(SeekFrom::Start(offset)).and_then(|_| self.file.read_exact(buffer));
        read.map_err(|e| failed(&self.path, &e))
    }

    /// Visits all rows that were ever written, in order.
    fn scan(&mut self, mut visit: impl FnMut(u64, Record<'_>) -> Result<()>) -> Result<()> {
        self.file.seek(SeekFrom::Start(0)).map_err(|e| failed(&self.path, &e))?;
        let mut reader = BufReader::with_capacity(1 << 18, &self.file);
        let (mut offset, mut header, mut row) = (0, [0; HEADER], Vec::new());
        for _ in 0..self.rows {
            let mut read = |buffer: &mut [u8]| reader.read_exact(buffer).map_err(|e| failed(&self.path, &e));
            read(&mut header)?;
            let (hash, id, length) = parse(&header);
            row.resize(length, 0);
            read(&mut row)?;
            visit(offset, Record { hash, id, row: &row })?;
            offset += (HEADER + length) as u64;
        }
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.memory.add_spilled(-(self.bytes as i64));
        let _ = std::fs::remove_file(&self.path);
    }
}

struct Record<'a> {
    hash: u64,
    id: u32,
    row: &'a [u8],
}

fn parse(header: &[u8; HEADER]) -> (u64, u32, usize) {
    let [a, b, c, d, e, f, g, h, i0, i1, i2, i3, l0, l1, l2, l3] = *header;
    let hash = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    (hash, u32::from_le_bytes([i0, i1, i2, i3]), u32::from_le_bytes([l0, l1, l2, l3]) as usize)
}

/// Rows, found by the hash of their key. Each has an id that its owner gave it.
#[derive(Debug)]
pub struct ColdRows {
    converter: RowConverter,
    index: HashTable<Entry>,
    logs: Vec<Option<Log>>,
    /// The log that is appended to.
    open: Option<usize>,
    log_bytes: u64,
    memory: Arc<Memory>,
}

impl ColdRows {
    /// For rows of these types; `None` if rows of one of them cannot be on disk.
    pub fn new(types: &[DataType], memory: &Arc<Memory>) -> Option<Self> {
        let fields: Vec<SortField> = types.iter().cloned().map(SortField::new).collect();
        let converter = RowConverter::supports_fields(&fields).then(|| RowConverter::new(fields).ok())??;
        let (index, logs) = (HashTable::new(), Vec::new());
        let memory = memory.clone();
        Some(Self { converter, index, logs, open: None, log_bytes: LOG_BYTES, memory })
    }

    /// Rows on disk.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// No row is on disk.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Bytes in memory.
    pub fn memory(&self) -> usize {
        self.index.allocation_size() + self.logs.capacity() * size_of::<Option<Log>>()
    }

    /// Moves rows to disk. `newest`: the latest moment that one of them was written.
    pub fn put(&mut self, hashes: &[u64], ids: &[u32], columns: &[ArrayRef], newest: i64) -> Result<()> {
        let rows = self.converter.convert_columns(columns)?;
        let records = hashes.iter().zip(ids).zip(rows.iter());
        let mut buffer = Vec::new();
        let mut places = Vec::with_capacity(hashes.len());
        for ((&hash, &id), row) in records {
            places.push(buffer.len() as u64);
            push(&mut buffer, &Record { hash, id, row: row.data() })?;
        }
        let first = self.append(&buffer, hashes.len() as u32, newest)?;
        for (&hash, place) in hashes.iter().zip(places) {
            self.index.insert_unique(hash, Entry { hash, place: first + place }, |e| e.hash);
        }
        Ok(())
    }

    /// Appends records to a log that is not full; the place of the first.
    fn append(&mut self, records: &[u8], rows: u32, newest: i64) -> Result<u64> {
        let is_full = |log: &Option<Log>| log.as_ref().is_none_or(|log| log.bytes >= self.log_bytes);
        let number = match self.open.filter(|&n| !is_full(&self.logs[n])) {
            Some(number) => number,
            None => {
                let log = Log::create(&self.memory)?;
                let number = self.logs.iter().position(Option::is_none).unwrap_or(self.logs.len());
                match self.logs.get_mut(number) {
                    Some(place) => *place = Some(log),
                    None => self.logs.push(Some(log)),
                }
                *self.open.insert(number)
            }
        };
        let Some(log) = &mut self.logs[number] else { return Err(lost()) };
        let offset = log.bytes;
        let write = log.file.seek(SeekFrom::Start(offset)).and_then(|_| log.file.write_all(records));
        write.map_err(|e| failed(&log.path, &e))?;
        log.bytes += records.len() as u64;
        log.rows += rows;
        log.alive += rows;
        log.newest = log.newest.max(newest);
        self.memory.add_spilled(records.len() as i64);
        Ok((number as u64) << OFFSET_BITS | offset)
    }

    /// Takes the rows with these hashes out: their ids and columns.
    pub fn take(&mut self, hashes: &[u64]) -> Result<(Vec<u32>, Vec<ArrayRef>)> {
        let mut places = Vec::new();
        for &hash in hashes {
            while let Ok(entry) = self.index.find_entry(hash, |e| e.hash == hash) {
                places.push(entry.remove().0.place);
            }
        }
        let taken = self.read(&mut places)?;
        for &place in &places {
            if let Some(log) = &mut self.logs[(place >> OFFSET_BITS) as usize] {
                log.alive -= 1;
            }
        }
        self.compact()?;
        Ok(taken)
    }

    /// The rows with these hashes and ids, which stay; those that are not here are left out.
    pub fn get(&mut self, wanted: &[(u64, u32)]) -> Result<(Vec<u32>, Vec<ArrayRef>)> {
        let mut places = Vec::new();
        for &(hash, id) in wanted {
            for entry in self.index.iter_hash(hash).filter(|e| e.hash == hash) {
                let mut header = [0; HEADER];
                let (log, offset) = split(entry.place);
                let Some(log) = &mut self.logs[log] else { return Err(lost()) };
                log.read_at(offset, &mut header)?;
                if parse(&header).1 == id {
                    places.push(entry.place);
                }
            }
        }
        self.read(&mut places)
    }

    /// All rows, which stay.
    pub fn all(&mut self) -> Result<(Vec<u32>, Vec<ArrayRef>)> {
        let mut places: Vec<u64> = self.index.iter().map(|e| e.place).collect();
        self.read(&mut places)
    }

    /// Reads rows in the order of their places, which are sorted.
    fn read(&mut self, places: &mut [u64]) -> Result<(Vec<u32>, Vec<ArrayRef>)> {
        places.sort_unstable();
        let (mut ids, mut bytes, mut ends) = (Vec::with_capacity(places.len()), Vec::new(), Vec::new());
        for &place in places.iter() {
            let (log, offset) = split(place);
            let Some(log) = &mut self.logs[log] else { return Err(lost()) };
            let mut header = [0; HEADER];
            log.read_at(offset, &mut header)?;
            let (_, id, length) = parse(&header);
            ids.push(id);
            let start = bytes.len();
            bytes.resize(start + length, 0);
            let row = log.file.read_exact(&mut bytes[start..]);
            row.map_err(|e| failed(&log.path, &e))?;
            ends.push((start, start + length));
        }
        let parser = self.converter.parser();
        let rows = ends.iter().map(|&(start, end)| parser.parse(&bytes[start..end]));
        Ok((ids, self.converter.convert_rows(rows)?))
    }

    /// Forgets rows of which all in a log were written at this moment or before; their ids.
    pub fn expire(&mut self, moment: i64) -> Result<Vec<u32>> {
        let mut gone = Vec::new();
        for number in 0..self.logs.len() {
            let Some(log) = self.logs[number].take_if(|log| log.newest <= moment) else { continue };
            self.each_alive(number, log, |record| {
                gone.push(record.id);
                Ok(())
            })?;
        }
        Ok(gone)
    }

    /// Writes logs again that are mostly holes.
    fn compact(&mut self) -> Result<()> {
        for number in 0..self.logs.len() {
            let full = self.log_bytes;
            let hollow = |log: &mut Log| log.alive == 0 || (log.bytes >= full && log.alive < log.rows / 2);
            let Some(log) = self.logs[number].take_if(hollow) else { continue };
            if log.alive == 0 {
                continue;
            }
            let (newest, mut records, mut hashes, mut places) =
                (log.newest, Vec::new(), Vec::new(), Vec::new());
            self.each_alive(number, log, |record| {
                hashes.push(record.hash);
                places.push(records.len() as u64);
                push(&mut records, &record)
            })?;
            let first = self.append(&records, hashes.len() as u32, newest)?;
            for (hash, place) in hashes.into_iter().zip(places) {
                self.index.insert_unique(hash, Entry { hash, place: first + place }, |e| e.hash);
            }
        }
        Ok(())
    }

    /// Visits the rows of a log that have not been taken out, and takes them out.
    fn each_alive(
        &mut self,
        number: usize,
        mut log: Log,
        mut visit: impl FnMut(Record<'_>) -> Result<()>,
    ) -> Result<()> {
        let index = &mut self.index;
        log.scan(|offset, record| {
            let place = (number as u64) << OFFSET_BITS | offset;
            match index.find_entry(record.hash, |e| e.place == place) {
                Ok(entry) => {
                    entry.remove();
                    visit(record)
                }
                Err(_) => Ok(()),
            }
        })
    }
}

fn split(place: u64) -> (usize, u64) {
    ((place >> OFFSET_BITS) as usize, place & ((1 << OFFSET_BITS) - 1))
}

fn push(buffer: &mut Vec<u8>, record: &Record<'_>) -> Result<()> {
    let length = u32::try_from(record.row.len())
        .map_err(|_| Error::unsupported("the state of one key is too large to be moved to disk"))?;
    buffer.extend_from_slice(&record.hash.to_le_bytes());
    buffer.extend_from_slice(&record.id.to_le_bytes());
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(record.row);
    Ok(())
}

fn lost() -> Error {
    Error::internal("a row on disk was lost")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use arrow::array::{AsArray, Int64Array, StringViewArray};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;

    fn columns(keys: &[i64]) -> Vec<ArrayRef> {
        let texts: StringViewArray =
            keys.iter().map(|k| (k % 3 != 0).then(|| "x".repeat(*k as usize % 40))).collect();
        vec![Arc::new(Int64Array::from(keys.to_vec())), Arc::new(texts)]
    }

    proptest! {
        /// Rows are taken, read, expire and are compacted, and are what they were. Some share a hash.
        #[test]
        fn rows_come_back(steps in prop::collection::vec((0u8..8, prop::collection::vec(0i64..60, 1..20)), 1..60)) {
            let memory = Memory::new(0);
            let mut cold = ColdRows::new(&[DataType::Int64, DataType::Utf8View], &memory).unwrap();
            cold.log_bytes = 300;
            let mut there: BTreeMap<i64, i64> = BTreeMap::new();
            let hash = |key: i64| (key / 2) as u64;
            for (now, (step, mut keys)) in steps.into_iter().enumerate() {
                keys.sort_unstable();
                keys.dedup();
                let hashes: Vec<u64> = keys.iter().map(|&k| hash(k)).collect();
                match step {
                    0..4 => {
                        keys.retain(|k| !there.contains_key(k));
                        let hashes: Vec<u64> = keys.iter().map(|&k| hash(k)).collect();
                        let ids: Vec<u32> = keys.iter().map(|&k| k as u32 + 7).collect();
                        cold.put(&hashes, &ids, &columns(&keys), now as i64).unwrap();
                        there.extend(keys.iter().map(|&k| (k, now as i64)));
                    }
                    4..6 => {
                        let (ids, rows) = cold.take(&hashes).unwrap();
                        let found = rows[0].as_primitive::<Int64Type>().values().to_vec();
                        prop_assert_eq!(&rows, &columns(&found));
                        prop_assert!(ids.iter().zip(&found).all(|(&id, &key)| i64::from(id) == key + 7));
                        let mut found: Vec<i64> = found;
                        found.sort_unstable();
                        let wanted: Vec<i64> = there.keys().copied().filter(|&k| hashes.contains(&hash(k))).collect();
                        prop_assert_eq!(&found, &wanted);
                        there.retain(|k, _| !found.contains(k));
                    }
                    6 => {
                        let wanted: Vec<(u64, u32)> = keys.iter().map(|&k| (hash(k), k as u32 + 7)).collect();
                        let (ids, _) = cold.get(&wanted).unwrap();
                        let mut found: Vec<i64> = ids.iter().map(|&id| i64::from(id) - 7).collect();
                        found.sort_unstable();
                        keys.retain(|k| there.contains_key(k));
                        prop_assert_eq!(found, keys);
                    }
                    _ => {
                        let moment = now as i64 - 10;
                        for id in cold.expire(moment).unwrap() {
                            let written = there.remove(&(i64::from(id) - 7));
                            prop_assert!(written.is_some_and(|w| w <= moment));
                        }
                    }
                }
                let (mut ids, _) = cold.all().unwrap();
                ids.sort_unstable();
                prop_assert_eq!(ids, there.keys().map(|&k| k as u32 + 7).collect::<Vec<_>>());
                prop_assert_eq!(cold.len(), there.len());
            }
            let all: Vec<u64> = (0..30).collect();
            cold.take(&all).unwrap();
            prop_assert_eq!(memory.spilled(), 0);
        }
    }
}
