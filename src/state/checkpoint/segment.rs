//! Blocks: rows of a state table with their ids, as bytes; and segments, the objects they are written in.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::state::store::Store;

/// Rows in a block at most.
const BLOCK_ROWS: usize = 64 << 10;
/// Bytes in a block, about.
const BLOCK_BYTES: usize = 8 << 20;
/// A segment that is so large is closed.
pub(super) const SEGMENT_BYTES: usize = 64 << 20;
/// Adjacent blocks are read together up to so many bytes.
const READ_BYTES: u64 = 8 << 20;

const MAGIC: [u8; 4] = *b"AFB1";
const HEADER: usize = 64;
const ALIGNMENT: usize = 64;

const CONSECUTIVE: u8 = 0;
const NARROW: u8 = 1;
const WIDE: u8 = 2;

/// Where a block is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockRef {
    /// Name of the segment.
    pub(super) segment: Arc<str>,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) rows: u64,
    /// CRC-32 of its bytes.
    pub(super) crc: u32,
}

/// A block that was read.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) ids: Vec<u64>,
    pub(super) rows: RecordBatch,
    pub(super) removed: Vec<Range<u64>>,
}

/// Path of a segment in the store.
pub(super) fn path(segment: &str) -> String {
    format!("segments/{segment}")
}

/// What the columns of a batch hold, without what they share with others.
pub(super) fn bytes_of(rows: &RecordBatch) -> usize {
    let size = |column: &ArrayRef| {
        let text = match column.data_type() {
            DataType::Utf8View => column.as_string_view().total_buffer_bytes_used(),
            DataType::BinaryView => column.as_binary_view().total_buffer_bytes_used(),
            _ => 0,
        };
        text + column.to_data().get_slice_memory_size().unwrap_or(0)
    };
    rows.columns().iter().map(size).sum()
}

/// Cuts rows into pieces of the size of a block; at least one.
pub(super) fn pieces(ids: &[u64], rows: &RecordBatch) -> Vec<Range<usize>> {
    let n = ids.len();
    let most = match n > 1024 {
        true => (BLOCK_BYTES / (bytes_of(rows) / n).max(1)).clamp(1, BLOCK_ROWS),
        false => BLOCK_ROWS,
    };
    let starts = (0..n.max(1)).step_by(most);
    starts.map(|start| start..(start + most).min(n)).collect()
}

/// Writes blocks into segments, each of which is put into the store when it is large enough.
pub(super) struct SegmentWriter<'a> {
    store: &'a dyn Store,
    /// What the names of segments begin with; used by no other writer, ever.
    name: String,
    buffer: Vec<u8>,
    current: Arc<str>,
    /// Names and bytes of segments whose writing was begun.
    pub(super) segments: Vec<(Arc<str>, u64)>,
    recent: &'a Recent,
    /// A segment that is so large is closed.
    pub(super) most: usize,
}

impl<'a> SegmentWriter<'a> {
    pub(super) fn new(store: &'a dyn Store, name: String, recent: &'a Recent) -> Self {
        let current = Arc::from(format!("{name}-0"));
        let (buffer, segments) = (Vec::new(), Vec::new());
        Self { store, name, buffer, current, segments, recent, most: SEGMENT_BYTES }
    }

    /// Adds rows and what they replace as one block. Views are written without what they do not show.
    pub(super) fn block(
        &mut self,
        ids: &[u64],
        rows: &RecordBatch,
        removed: &[Range<u64>],
    ) -> Result<BlockRef> {
        let start = self.buffer.len();
        match encode(&mut self.buffer, ids, rows, removed) {
            Ok(()) => self.close_block(start, ids.len() as u64),
            Err(e) => {
                self.buffer.truncate(start);
                Err(e)
            }
        }
    }

    /// Adds a block as it is in another segment.
    pub(super) fn copy(&mut self, block: &BlockRef, bytes: &[u8]) -> Result<BlockRef> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        self.close_block(start, block.rows)
    }

    fn close_block(&mut self, start: usize, rows: u64) -> Result<BlockRef> {
        let bytes = &self.buffer[start..];
        let block = BlockRef {
            segment: self.current.clone(),
            offset: start as u64,
            bytes: bytes.len() as u64,
            rows,
            crc: crc32fast::hash(bytes),
        };
        pad(&mut self.buffer, 0);
        if self.buffer.len() >= self.most {
            self.flush()?;
        }
        Ok(block)
    }

    /// Puts the segment that was begun into the store.
    fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        self.segments.push((self.current.clone(), bytes.len() as u64));
        self.store.put(&path(&self.current), bytes.clone())?;
        self.recent.keep(self.current.clone(), bytes);
        self.current = Arc::from(format!("{}-{}", self.name, self.segments.len()));
        Ok(())
    }

    /// Everything is durable when this returns well.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.flush()
    }
}

fn pad(buffer: &mut Vec<u8>, origin: usize) {
    let length = (buffer.len() - origin).next_multiple_of(ALIGNMENT);
    buffer.resize(origin + length, 0);
}

fn encode(buffer: &mut Vec<u8>, ids: &[u64], rows: &RecordBatch, removed: &[Range<u64>]) -> Result<()> {
    let start = buffer.len();
    buffer.resize(start + HEADER, 0);
    for range in removed {
        buffer.extend_from_slice(&range.start.to_le_bytes());
        buffer.extend_from_slice(&range.end.to_le_bytes());
    }
    let ids_at = buffer.len();
    let base = ids.iter().copied().min().unwrap_or(0);
    let consecutive = ids.iter().enumerate().all(|(i, &id)| id - base == i as u64);
    let narrow = || ids.iter().all(|&id| u32::try_from(id - base).is_ok());
    let kind = match () {
        () if consecutive => CONSECUTIVE,
        () if narrow() => {
            ids.iter().for_each(|&id| buffer.extend_from_slice(&((id - base) as u32).to_le_bytes()));
            NARROW
        }
        () => {
            ids.iter().for_each(|&id| buffer.extend_from_slice(&id.to_le_bytes()));
            WIDE
        }
    };
    let ids_bytes = buffer.len() - ids_at;
    pad(buffer, start);
    let rows_at = buffer.len();
    let rows = without_hidden(rows)?;
    let mut writer = StreamWriter::try_new(&mut *buffer, rows.schema_ref())?;
    writer.write(&rows)?;
    writer.finish()?;
    drop(writer);
    let rows_bytes = buffer.len() - rows_at;
    let header = &mut buffer[start..start + HEADER];
    header[..4].copy_from_slice(&MAGIC);
    header[4] = kind;
    let numbers = [ids.len(), removed.len(), ids_bytes, rows_bytes].map(|n| n as u64);
    for (i, number) in numbers.into_iter().chain([base]).enumerate() {
        header[8 + i * 8..16 + i * 8].copy_from_slice(&number.to_le_bytes());
    }
    Ok(())
}

/// Text views hold on to all the text that their rows were taken from, and Arrow's format writes all of it.
fn without_hidden(rows: &RecordBatch) -> Result<RecordBatch> {
    let columns = rows.columns().iter().map(compact).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(rows.schema(), columns, &options)?)
}

fn compact(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => {
            let views = column.as_string_view();
            let held: usize = views.data_buffers().iter().map(|b| b.len()).sum();
            let shown = views.total_buffer_bytes_used();
            if held > shown + shown / 8 { Arc::new(views.gc()) } else { column.clone() }
        }
        DataType::BinaryView => {
            let views = column.as_binary_view();
            let held: usize = views.data_buffers().iter().map(|b| b.len()).sum();
            let shown = views.total_buffer_bytes_used();
            if held > shown + shown / 8 { Arc::new(views.gc()) } else { column.clone() }
        }
        DataType::Struct(fields) if has_views(column.data_type()) => {
            let structs = column.as_struct();
            let children = structs.columns().iter().map(compact).collect();
            let made = StructArray::try_new_with_length(
                fields.clone(),
                children,
                structs.nulls().cloned(),
                structs.len(),
            );
            made.map_or_else(|_| column.clone(), |made| Arc::new(made))
        }
        DataType::List(field) if has_views(column.data_type()) => {
            let lists = column.as_list::<i32>();
            let offsets = lists.offsets();
            let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
            let values = compact(&lists.values().slice(first as usize, (last - first) as usize));
            let offsets: Vec<i32> = offsets.iter().map(|o| o - first).collect();
            let made = ListArray::try_new(
                field.clone(),
                arrow::buffer::OffsetBuffer::new(offsets.into()),
                values,
                lists.nulls().cloned(),
            );
            made.map_or_else(|_| column.clone(), |made| Arc::new(made))
        }
        _ => column.clone(),
    }
}

fn has_views(t: &DataType) -> bool {
    match t {
        DataType::Utf8View | DataType::BinaryView => true,
        DataType::Struct(fields) => fields.iter().any(|f| has_views(f.data_type())),
        DataType::List(f) => has_views(f.data_type()),
        _ => false,
    }
}

/// Why bytes are no block.
fn damaged(block: &BlockRef, why: &str) -> Error {
    Error::decode(format!("the checkpoint is damaged: segment '{}' {why}", block.segment))
        .with_detail(format!("{} bytes at {}", block.bytes, block.offset))
}

/// Whether bytes are those that were written.
pub(super) fn verify(block: &BlockRef, bytes: &[u8]) -> Result<()> {
    if bytes.len() as u64 != block.bytes {
        return Err(damaged(block, "is cut off"));
    }
    if crc32fast::hash(bytes) != block.crc {
        return Err(damaged(block, "does not have the checksum it was written with"));
    }
    Ok(())
}

/// Takes a block apart; the rows stay where they are in its bytes.
pub(super) fn decode(block: &BlockRef, bytes: &Bytes) -> Result<Block> {
    verify(block, bytes)?;
    parse(bytes)
        .and_then(|parsed| (parsed.ids.len() as u64 == block.rows).then_some(parsed).ok_or("has other rows"))
        .map_err(|why| damaged(block, why))
}

fn parse(bytes: &Bytes) -> Result<Block, &'static str> {
    const SHORT: &str = "has a block that is too short";
    let header = bytes.get(..HEADER).ok_or(SHORT)?;
    if header[..4] != MAGIC {
        return Err("has a block of an unknown format");
    }
    let number = |i: usize| {
        let at = 8 + i * 8;
        header[at..at + 8].iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))
    };
    let size = |i: usize| usize::try_from(number(i)).map_err(|_| SHORT);
    let (rows, removed, ids_bytes, rows_bytes, base) = (size(0)?, size(1)?, size(2)?, size(3)?, number(4));
    let removed_end = removed.checked_mul(16).and_then(|n| n.checked_add(HEADER)).ok_or(SHORT)?;
    let ids_end = removed_end.checked_add(ids_bytes).filter(|&n| n <= bytes.len()).ok_or(SHORT)?;
    let rows_at = ids_end.next_multiple_of(ALIGNMENT);
    let rows_end = rows_at.checked_add(rows_bytes).filter(|&n| n <= bytes.len()).ok_or(SHORT)?;
    let (ranges, _) = bytes[HEADER..removed_end].as_chunks::<8>();
    let removed: Vec<Range<u64>> =
        ranges.chunks_exact(2).map(|r| u64::from_le_bytes(r[0])..u64::from_le_bytes(r[1])).collect();
    let ids_part = &bytes[removed_end..ids_end];
    let ids: Vec<u64> = match header[4] {
        CONSECUTIVE => (0..rows as u64).map(|i| base.wrapping_add(i)).collect(),
        NARROW => {
            let ids = ids_part.as_chunks::<4>().0.iter();
            ids.map(|id| base.wrapping_add(u64::from(u32::from_le_bytes(*id)))).collect()
        }
        WIDE => ids_part.as_chunks::<8>().0.iter().map(|id| u64::from_le_bytes(*id)).collect(),
        _ => return Err("has ids of an unknown format"),
    };
    let mut buffer = Buffer::from(bytes.slice(rows_at..rows_end));
    let batch = StreamDecoder::new().decode(&mut buffer);
    let batch = batch.ok().flatten().ok_or("has rows that Arrow cannot read")?;
    match batch.num_rows() == ids.len() && rows == ids.len() {
        true => Ok(Block { ids, rows: batch, removed }),
        false => Err("has not one id a row"),
    }
}

/// Reads blocks in order, adjacent ones of a segment at once, and gives their bytes, not yet verified.
pub(super) fn read_blocks<'b>(
    store: &dyn Store,
    recent: Option<&Recent>,
    blocks: impl IntoIterator<Item = &'b BlockRef>,
    mut with: impl FnMut(&'b BlockRef, Bytes) -> Result<()>,
) -> Result<()> {
    let mut blocks = blocks.into_iter().peekable();
    while let Some(first) = blocks.next() {
        if let Some(segment) = recent.and_then(|r| r.get(&first.segment)) {
            with(first, part(&segment, first.offset, first.bytes))?;
            continue;
        }
        let mut group = vec![first];
        let mut end = first.offset + first.bytes;
        while let Some(next) = blocks.peek()
            && next.segment == first.segment
            && next.offset >= end
            && next.offset - end < ALIGNMENT as u64
            && next.offset + next.bytes - first.offset <= READ_BYTES
        {
            end = next.offset + next.bytes;
            group.push(next);
            blocks.next();
        }
        let bytes = store.read(&path(&first.segment), first.offset..end)?;
        let bytes = bytes.ok_or_else(|| {
            damaged(first, "is gone").with_hint(
                "a job that runs deletes old checkpoints: let it keep more of them, or make a savepoint to read from",
            )
        })?;
        for block in group {
            with(block, part(&bytes, block.offset - first.offset, block.bytes))?;
        }
    }
    Ok(())
}

/// As much of a part as there is.
fn part(bytes: &Bytes, offset: u64, length: u64) -> Bytes {
    let end = (offset.saturating_add(length)).min(bytes.len() as u64);
    bytes.slice(offset.min(end) as usize..end as usize)
}

/// Small segments that were written lately: they are merged soon, and need not be read for it.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    segments: BTreeMap<Arc<str>, Bytes>,
    order: VecDeque<Arc<str>>,
    bytes: usize,
}

impl Recent {
    /// Bytes of one segment, and of all of them.
    const ONE: usize = 2 << 20;
    const ALL: usize = 32 << 20;

    fn keep(&self, name: Arc<str>, bytes: Bytes) {
        if bytes.len() > Self::ONE {
            return;
        }
        let mut kept = self.0.lock();
        kept.bytes += bytes.len();
        kept.segments.insert(name.clone(), bytes);
        kept.order.push_back(name);
        while kept.bytes > Self::ALL
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.bytes -= kept.segments.remove(&oldest).map_or(0, |b| b.len());
        }
    }

    fn get(&self, name: &str) -> Option<Bytes> {
        self.0.lock().segments.get(name).cloned()
    }

    /// Lets go of segments that nobody refers to any more.
    pub(super) fn forget(&self, name: &str) {
        let mut kept = self.0.lock();
        if let Some(bytes) = kept.segments.remove(name) {
            kept.bytes -= bytes.len();
            kept.order.retain(|n| **n != *name);
        }
    }
}

/// Rows with another schema of the same types: the one that a chain has.
pub(super) fn with_schema(rows: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if rows.schema_ref() == schema {
        return Ok(rows);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let (_, columns, _) = rows.into_parts();
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
