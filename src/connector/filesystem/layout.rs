//! How the columns of a query are put together: from the format, from directories, from the file itself.

use std::io::Read as _;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray, TimestampMillisecondArray,
    UInt32Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::files::{Compression, FileInfo};
use super::input::{Input, MARKED, Split, changed, newlines_before};
use crate::catalog::{ColumnSource, Table};
use crate::dead_letter::REJECTED;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::Kinds;
use crate::format::csv::value::{Nesting, parse_column};
use crate::format::rejecting::PlaceOfLine;
use crate::format::{Decoder, Format, Origin};

/// Metadata keys of files.
pub(super) const METADATA: &[&str] = &["file.path", "file.name", "file.size", "file.modification-time"];

/// Where a column comes from.
#[derive(Debug, Clone, PartialEq)]
enum Slot {
    /// Column of the decoder's batch.
    Record(usize),
    /// Index into the table's partition columns.
    Partition(usize),
    /// Metadata key.
    Metadata(&'static str),
}

/// The columns of a query over files.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) format: Format,
    /// All columns of a record.
    declared: SchemaRef,
    /// Those that the query wants.
    pub(super) wanted: SchemaRef,
    schema: SchemaRef,
    slots: Vec<Slot>,
    pub(super) batch_rows: usize,
    /// The session's time zone.
    #[cfg_attr(
        not(feature = "parquet"),
        allow(dead_code, reason = "only files with types of their own need it")
    )]
    pub(super) zone: String,
    /// Undecodable records are rows, too.
    rejects: bool,
}

impl Layout {
    /// For columns `projection` of the table, whose Arrow schema is `schema`.
    pub(super) fn new(
        table: &Table,
        format: Format,
        projection: &[usize],
        schema: &SchemaRef,
        batch_rows: usize,
        zone: &str,
    ) -> Result<Self> {
        let mut wanted = Vec::new();
        let mut slots = Vec::with_capacity(projection.len());
        for (&index, field) in projection.iter().zip(schema.fields()) {
            let column = table
                .columns
                .get(index)
                .ok_or_else(|| Error::internal(format!("table '{}' has no column {index}", table.name)))?;
            slots.push(match &column.source {
                ColumnSource::Metadata { key, .. } => {
                    Slot::Metadata(METADATA.iter().find(|k| *k == key).ok_or_else(|| {
                        Error::plan(format!("connector 'filesystem' has no metadata '{key}'"))
                    })?)
                }
                ColumnSource::Computed(_) => {
                    return Err(Error::internal(format!("computed column '{}' in a scan", column.name)));
                }
                ColumnSource::Physical { .. } => {
                    match table.partitioned_by.iter().position(|p| *p == column.name) {
                        Some(i) => Slot::Partition(i),
                        None => {
                            wanted.push(Field::clone(field).with_name(&column.name));
                            Slot::Record(wanted.len() - 1)
                        }
                    }
                }
            });
        }
        let rejects = schema.fields().last().is_some_and(|f| f.name() == REJECTED);
        if rejects {
            slots.push(Slot::Record(wanted.len()));
        }
        Ok(Self {
            rejects,
            format,
            declared: table.record_schema("UTC"),
            wanted: Arc::new(Schema::new(wanted)),
            schema: schema.clone(),
            slots,
            batch_rows,
            zone: zone.to_string(),
        })
    }

    /// Whether a file must be read as a whole, although its format's records are lines.
    pub(super) fn is_document(&self, file: &FileInfo) -> bool {
        const HEAD: u64 = 64 << 10;
        if let Some(object) = &file.object {
            let head = object.range(0, file.size.min(HEAD));
            return head.is_ok_and(|head| self.format.begins_document(&head));
        }
        let mut head = Vec::new();
        let read = file.open().and_then(|opened| opened.take(HEAD).read_to_end(&mut head));
        read.is_ok() && self.format.begins_document(&head)
    }

    fn decoder(&self, split: &Split) -> Result<Box<dyn Decoder>> {
        let format =
            if split.start == 0 { self.format.with_documents() } else { self.format.without_header() };
        let origin = Origin::from(format!("file {}", split.file.path.display()));
        if self.rejects {
            let place = place_of_line(split);
            return format.rejecting_decoder(&self.declared, &self.wanted, self.batch_rows, origin, place);
        }
        format.decoder(&self.declared, &self.wanted, self.batch_rows, origin)
    }

    /// Fails when the query cannot be read, before there is a file.
    pub(super) fn check(&self) -> Result<()> {
        if self.rejects {
            self.format.check_rejecting()?;
        }
        if self.format.is_of_files() {
            // Whether the columns can be read is known when there is a file.
            return Ok(());
        }
        self.format.decoder(&self.declared, &self.wanted, self.batch_rows, Origin::from("file")).map(drop)
    }

    /// The columns that are the same for all records of a file, one value each.
    fn constants(&self, file: &FileInfo) -> Result<Vec<Option<ArrayRef>>> {
        let constant = |(slot, field): (&Slot, &Arc<Field>)| -> Result<Option<ArrayRef>> {
            let text = |value: &str| Arc::new(StringViewArray::from(vec![value])) as ArrayRef;
            let natural: ArrayRef = match slot {
                Slot::Record(_) => return Ok(None),
                Slot::Partition(i) => {
                    let value = file.partition.get(*i).and_then(Option::as_deref);
                    if value.is_none() && !field.is_nullable() {
                        return Err(Error::decode(format!(
                            "file {}: partition column '{}' is NULL, it is declared NOT NULL",
                            file.path.display(),
                            field.name()
                        )));
                    }
                    let parsed = parse_column(field.data_type(), &[value], &Nesting::default(), None);
                    return parsed.map(Some).map_err(|m| {
                        Error::decode(format!(
                            "file {}, partition column '{}': {}",
                            file.path.display(),
                            field.name(),
                            m.reason
                        ))
                    });
                }
                Slot::Metadata("file.path") => {
                    let path = match file.object {
                        Some(_) => file.path.clone(),
                        None => std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone()),
                    };
                    text(&path.to_string_lossy())
                }
                Slot::Metadata("file.name") => {
                    text(&file.path.file_name().unwrap_or_default().to_string_lossy())
                }
                Slot::Metadata("file.size") => {
                    Arc::new(Int64Array::from(vec![i64::try_from(file.size).unwrap_or(i64::MAX)]))
                }
                Slot::Metadata(_) => {
                    Arc::new(TimestampMillisecondArray::from(vec![file.modified_millis]).with_timezone("UTC"))
                }
            };
            Ok(Some(arrow::compute::cast(&natural, field.data_type())?))
        };
        self.slots.iter().zip(self.schema.fields()).map(constant).collect()
    }
}

/// Says where a line that a decoder of this split counts stands in the file.
fn place_of_line(split: &Split) -> PlaceOfLine {
    let Split { file, start, aligned, .. } = split.clone();
    let mut before = (start == 0).then_some(0);
    Box::new(move |line| {
        let path = file.path.display();
        if start > 0 && file.compression != Compression::None {
            return format!("{path}@{start}:{line}");
        }
        let before =
            before.get_or_insert_with(|| newlines_before(&file, start).unwrap_or(0) + u64::from(!aligned));
        format!("{path}:{}", *before + line)
    })
}

/// Checks that a metadata column can have the declared type.
pub(super) fn check_metadata_type(column: &str, key: &str, declared: &DataType) -> Result<()> {
    let natural = match key {
        "file.path" | "file.name" => matches!(declared, DataType::Utf8View),
        "file.size" => matches!(declared, DataType::Int64),
        _ => matches!(declared, DataType::Timestamp(_, Some(_))),
    };
    let expected = match key {
        "file.path" | "file.name" => "STRING",
        "file.size" => "BIGINT",
        _ => "TIMESTAMP_LTZ(3)",
    };
    if natural {
        return Ok(());
    }
    Err(Error::plan(format!("column '{column}': metadata '{key}' is {expected}")))
}

/// The decoder of a followed file whose records are not lines: it holds an unfinished one.
pub(super) struct Kept {
    decoder: Box<dyn Decoder>,
    /// Rows of the file that it gave.
    rows: u64,
}

/// How far a split was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// All rows before this offset were handed over,
    pub(super) offset: u64,
    /// which is the start of a line, or of the file,
    pub(super) aligned: bool,
    /// and so many behind it.
    pub(super) rows: u64,
    /// So many bytes of the file were looked at.
    pub(super) read: u64,
}

/// How far a range of a file was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) start: u64,
    pub(super) end: Option<u64>,
    pub(super) place: Place,
    /// To its end.
    pub(super) done: bool,
    /// Of what was looked at; `None`: it is gone from the file.
    pub(super) checksum: Option<u32>,
}

/// The rows of a file, put together of what was decoded and what is the same for all of them.
pub(super) struct Assembly {
    layout: Arc<Layout>,
    constants: Vec<Option<ArrayRef>>,
    /// `constants`, repeated as often as the largest batch so far had rows.
    repeated: Vec<Option<ArrayRef>>,
    repeated_rows: usize,
}

impl Assembly {
    pub(super) fn new(layout: &Arc<Layout>, file: &FileInfo) -> Result<Self> {
        let constants = layout.constants(file)?;
        Ok(Self {
            repeated: vec![None; constants.len()],
            repeated_rows: 0,
            constants,
            layout: layout.clone(),
        })
    }

    pub(super) fn batch(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        if self.repeated_rows < rows {
            let zeros = UInt32Array::from(vec![0; rows]);
            for (constant, repeated) in self.constants.iter().zip(&mut self.repeated) {
                *repeated =
                    constant.as_ref().map(|c| arrow::compute::take(c.as_ref(), &zeros, None)).transpose()?;
            }
            self.repeated_rows = rows;
        }
        let mut columns = Vec::with_capacity(self.repeated.len());
        for (slot, repeated) in self.layout.slots.iter().zip(&self.repeated) {
            columns.push(match (slot, repeated) {
                (Slot::Record(i), _) => batch.column(*i).clone(),
                (_, Some(array)) => array.slice(0, rows),
                (_, None) => return Err(Error::internal("a column that is neither read nor constant")),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.layout.schema.clone(), columns, &options)?)
    }
}

/// Decodes a split of a file of records.
///
/// Where records are lines, the decoder is fed whole lines only. When it has given all rows of them, the offset behind
/// them is a place from which another one can go on; in between, and in formats whose records are not
/// lines, so many rows after that offset are left out.
pub(super) struct RecordReader {
    layout: Arc<Layout>,
    split: Split,
    input: Input,
    decoder: Box<dyn Decoder>,
    assembly: Assembly,
    /// The decoder has got all bytes.
    ended: bool,
    /// The file is followed: it may grow, and a line without its end waits for it.
    follow: bool,
    /// Bytes of the unfinished line.
    carry: Vec<u8>,
    /// Offset after the last whole line that the decoder got.
    fed: u64,
    /// Where the decoder had given all rows.
    offset: u64,
    aligned: bool,
    /// Rows that it gave since.
    rows: u64,
    /// Rows to be left out still.
    skip: u64,
    /// Records that were left out before.
    skipped_before: u64,
}

impl RecordReader {
    /// Opens the file.
    pub(super) fn open(layout: &Arc<Layout>, split: &Split) -> Result<Self> {
        Ok(Self {
            assembly: Assembly::new(layout, &split.file)?,
            input: Input::open(split)?,
            decoder: layout.decoder(split)?,
            layout: layout.clone(),
            ended: false,
            follow: false,
            carry: Vec::new(),
            fed: split.start,
            offset: split.start,
            aligned: split.aligned,
            rows: 0,
            skip: split.skip,
            skipped_before: 0,
            split: split.clone(),
        })
    }

    /// Opens a file that is followed; continues with the decoder that was kept, if one was.
    pub(super) fn follow(layout: &Arc<Layout>, split: &Split, kept: Option<Kept>) -> Result<Self> {
        let mut reader = Self::open(layout, split)?;
        reader.follow = true;
        reader.input.watch()?;
        if let Some(kept) = kept {
            reader.skipped_before = kept.decoder.skipped();
            reader.decoder = kept.decoder;
            (reader.offset, reader.rows) = (0, kept.rows);
        }
        Ok(reader)
    }

    pub(super) fn split(&self) -> &Split {
        &self.split
    }

    /// It reads the file that was listed, and not another one of its name.
    pub(super) fn is_listed(&self) -> bool {
        self.input.is_listed()
    }

    /// The file was rewritten while it was read.
    pub(super) fn torn(&self) -> bool {
        self.input.torn()
    }

    /// The file still begins with what was read of it: so many bytes with this checksum.
    pub(super) fn holds(&mut self, read: Option<(u64, u32)>) -> Result<bool> {
        match read {
            _ if self.torn() => Ok(false),
            Some((read, sum)) if read > 0 => Ok(self.input.checksum(read)? == Some(sum)),
            _ => Ok(true),
        }
    }

    /// How far it is.
    pub(super) fn place(&self) -> Place {
        let read = match self.layout.format.splittable() {
            _ if self.split.file.compression != Compression::None => self.split.file.size.min(MARKED),
            true => self.fed,
            false => self.input.position(),
        };
        Place { offset: self.offset, aligned: self.aligned, rows: self.rows + self.skip, read }
    }

    /// How far it is, for a checkpoint.
    pub(super) fn reached(&mut self, done: bool) -> Result<Reached> {
        let place = self.place();
        let checksum = self.input.checksum(place.read)?;
        Ok(Reached { start: self.split.range, end: self.split.end, place, done, checksum })
    }

    /// The next batch with the kinds of its rows; `None` at the end (of a followed file: for now).
    pub(super) fn next(&mut self) -> Result<Option<(RecordBatch, Kinds)>> {
        loop {
            let batch = self.next_raw().map_err(|e| self.locate(e))?;
            let kinds = self.decoder.kinds();
            let Some(batch) = batch else {
                if self.skip > 0 {
                    // There were more rows when the checkpoint was taken.
                    return Err(changed(&self.split.file.path, self.place().read));
                }
                return Ok(None);
            };
            let rows = batch.num_rows();
            if self.skip == 0 {
                self.rows += rows as u64;
                return Ok(Some((self.assembly.batch(batch)?, kinds)));
            }
            let left_out = usize::try_from(self.skip).map_or(rows, |skip| skip.min(rows));
            self.skip -= left_out as u64;
            self.rows += rows as u64;
            if self.skip == 0 {
                self.skipped_before = self.decoder.skipped();
            }
            if left_out < rows {
                let rest = batch.slice(left_out, rows - left_out);
                return Ok(Some((self.assembly.batch(rest)?, kinds.slice(left_out, rows - left_out))));
            }
        }
    }

    fn next_raw(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.decoder.next_batch()? {
                return Ok(Some(batch));
            }
            let lines = self.layout.format.splittable();
            if lines && self.fed > self.offset && !self.decoder.holds_record() {
                (self.offset, self.aligned, self.rows) = (self.fed, true, 0);
            }
            if self.ended {
                return Ok(None);
            }
            match self.input.block()? {
                Some(block) if lines => self.feed_lines(block)?,
                Some(block) => self.decoder.feed(block)?,
                None if self.follow && self.fed > self.offset && self.decoder.holds_record() => {
                    return self.document_in_followed();
                }
                None => {
                    self.ended = true;
                    if !self.follow {
                        if !self.carry.is_empty() {
                            self.fed = self.input.position();
                            self.decoder.feed(std::mem::take(&mut self.carry).into())?;
                        }
                        self.decoder.finish()?;
                    }
                }
            }
        }
    }

    /// The end of a followed file, inside of a document over several lines.
    #[cold]
    fn document_in_followed(&mut self) -> Result<Option<RecordBatch>> {
        self.ended = true;
        if self.fed <= self.split.start || newlines_before(&self.split.file, self.fed)? < 2 {
            // The first line has not shown yet what it is.
            return Ok(None);
        }
        Err(Error::decode(format!(
            "file {}: it begins with a JSON document over several lines, and such files cannot be followed",
            self.split.file.path.display()
        ))
        .with_hint("write one JSON object a line (`jq -c '.[]'`), or leave 'source.monitor-interval' out"))
    }

    /// Feeds whole lines only, so that the decoder can be given up between them.
    fn feed_lines(&mut self, block: bytes::Bytes) -> Result<()> {
        let Some(at) = memchr::memrchr(b'\n', &block) else {
            self.carry.extend_from_slice(&block);
            return Ok(());
        };
        if !self.carry.is_empty() {
            self.decoder.feed(std::mem::take(&mut self.carry).into())?;
        }
        self.fed = self.input.block_start() + at as u64 + 1;
        self.carry.extend_from_slice(&block[at + 1..]);
        self.decoder.feed(block.slice(..at + 1))
    }

    /// Followed: where to go on, how much of the file was seen, and the decoder if it must be kept.
    pub(super) fn park(self) -> (Place, u64, Option<Kept>) {
        let (place, seen) = (self.place(), self.input.position());
        if self.layout.format.splittable() || !self.ended {
            // Left in the middle: what is behind the place is looked at again.
            (place, if self.ended { seen } else { place.offset }, None)
        } else {
            (place, seen, Some(Kept { decoder: self.decoder, rows: place.rows }))
        }
    }

    /// Bytes of the file used up.
    pub(super) fn consumed(&self) -> u64 {
        self.input.consumed()
    }

    /// Records left out.
    pub(super) fn skipped(&self) -> u64 {
        self.decoder.skipped() - self.skipped_before
    }

    /// A decoder counts lines from the start of what it was fed. For a split in the middle of a file, an
    /// error is made again by a decoder that was fed as many empty lines as stand before the split.
    fn locate(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::Decode || self.split.start == 0 || !self.layout.format.splittable() {
            return error;
        }
        if self.split.file.compression != Compression::None {
            return error.with_detail(format!(
                "lines are counted from byte {} of the unpacked file",
                self.split.start
            ));
        }
        match self.replay() {
            Ok(Some(located)) => located,
            Ok(None) | Err(_) => {
                error.with_detail(format!("lines are counted from byte {} of the file", self.split.start))
            }
        }
    }

    fn replay(&self) -> Result<Option<Error>> {
        let mut empty_lines = newlines_before(&self.split.file, self.split.start)?;
        if !self.split.aligned {
            empty_lines += 1;
        }
        let mut decoder = self.layout.decoder(&self.split)?;
        const PIECE: &[u8] = &[b'\n'; 4096];
        while empty_lines > 0 {
            let n = empty_lines.min(PIECE.len() as u64);
            decoder.feed(bytes::Bytes::from_static(&PIECE[..n as usize]))?;
            while decoder.next_batch()?.is_some() {}
            empty_lines -= n;
        }
        let mut input = Input::open(&self.split)?;
        let mut step = || -> Result<bool> {
            match input.block()? {
                Some(block) => decoder.feed(block)?,
                None if self.follow => return Ok(false),
                None => {
                    decoder.finish()?;
                    while decoder.next_batch()?.is_some() {}
                    return Ok(false);
                }
            }
            while decoder.next_batch()?.is_some() {}
            Ok(true)
        };
        loop {
            match step() {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(e) => return Ok(Some(e)),
            }
        }
    }
}
