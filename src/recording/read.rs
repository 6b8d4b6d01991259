//! Reads a recording: rows in the order in which they came, and what each key was answered.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef, UInt8Type, UInt32Type, UInt64Type};
use arrow::ipc::reader::StreamReader;
use hashbrown::HashMap;

use super::{
    ABOUT, AT, ATTEMPT, About, Back, FORMAT, Holds, KEY, KIND, MANIFEST, Manifest, OUTCOME, PIECE, ROWS,
    Stream, TASK, TOOK, key_texts,
};
use crate::error::{Error, Result};
use crate::flow::{Kind, Kinds};

/// Rows of a table that came together.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) at: i64,
    pub(crate) piece: u64,
    pub(crate) batch: RecordBatch,
    pub(crate) kinds: Kinds,
}

/// The rows of a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scan {
    pub(crate) schema: Option<SchemaRef>,
    pub(crate) events: Vec<Event>,
    /// When they ended.
    pub(crate) ended: Option<i64>,
    pub(crate) rows: u64,
}

/// What a key was answered once.
#[derive(Debug, Clone)]
pub(crate) struct Replied {
    pub(crate) at: i64,
    pub(crate) took_micros: u64,
    pub(crate) outcome: u8,
    pub(crate) about: About,
    pub(crate) rows: RecordBatch,
}

/// All that a lookup or function was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book {
    /// Columns of the keys, in order of their names, and of the rows.
    pub(crate) keys: Vec<String>,
    pub(crate) schema: Option<SchemaRef>,
    /// Answers by key, in the order in which they were asked for.
    pub(crate) entries: HashMap<String, Vec<Replied>>,
    /// The keys as they were asked for: when, and which.
    pub(crate) asked: Vec<(i64, String)>,
}

/// A table that was loaded whole.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) at: i64,
    pub(crate) rows: RecordBatch,
}

/// A recording in memory.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) manifest: Manifest,
    pub(crate) scans: BTreeMap<String, Scan>,
    /// Several for a table that was asked by different columns.
    pub(crate) books: BTreeMap<String, Vec<Book>>,
    pub(crate) loads: BTreeMap<String, Vec<Load>>,
}

fn damaged(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::option(format!("'{}' cannot be read as part of a recording", path.display()))
        .with_detail(why.to_string())
        .with_hint("record again")
}

/// The batches of a file; of one that was not finished, those that are whole.
fn batches(path: &Path, finished: bool) -> Result<Vec<RecordBatch>> {
    let file = File::open(path).map_err(|e| damaged(path, e))?;
    let reader = match StreamReader::try_new(BufReader::new(file), None) {
        Ok(reader) => reader,
        Err(_) if !finished => return Ok(Vec::new()),
        Err(e) => return Err(damaged(path, e)),
    };
    let mut all = Vec::new();
    for batch in reader {
        match batch {
            Ok(batch) => all.push(batch),
            Err(_) if !finished => break,
            Err(e) => return Err(damaged(path, e)),
        }
    }
    Ok(all)
}

/// A column by its name.
fn column<'a>(batch: &'a RecordBatch, name: &str, path: &Path) -> Result<&'a arrow::array::ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| damaged(path, format!("there is no column {name}")))
}

fn numbers<'a, T: arrow::datatypes::ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
    path: &Path,
) -> Result<&'a arrow::array::PrimitiveArray<T>> {
    let found = column(batch, name, path)?.as_primitive_opt::<T>();
    found.ok_or_else(|| damaged(path, format!("column {name} has another type")))
}

/// Whether a piece was not taken back.
fn stays(back: &[Back], attempt: u32, task: u32, piece: u64) -> bool {
    back.iter().filter(|b| b.attempt > attempt).all(|b| match b.marks.get(&task) {
        Some((of, last)) => attempt < *of || (attempt == *of && piece <= *last),
        None => false,
    })
}

fn scan(path: &Path, stream: &Stream, finished: bool) -> Result<Scan> {
    let mut found = Scan { ended: stream.ended, ..Scan::default() };
    for batch in batches(path, finished)? {
        let at = numbers::<Int64Type>(&batch, AT, path)?;
        let pieces = numbers::<UInt64Type>(&batch, PIECE, path)?;
        let attempts = numbers::<UInt32Type>(&batch, ATTEMPT, path)?;
        let tasks = numbers::<UInt32Type>(&batch, TASK, path)?;
        let kinds = numbers::<UInt8Type>(&batch, KIND, path)?;
        let columns: Vec<usize> = (0..batch.num_columns().saturating_sub(5)).collect();
        let rows = batch.project(&columns)?;
        found.schema.get_or_insert_with(|| rows.schema());
        let mut first = 0;
        while first < batch.num_rows() {
            let piece = pieces.value(first);
            let end =
                (first..batch.num_rows()).find(|row| pieces.value(*row) != piece).unwrap_or(batch.num_rows());
            if stays(&stream.back, attempts.value(first), tasks.value(first), piece) {
                let own = &kinds.values()[first..end];
                let kind = |k: &u8| match k {
                    1 => Kind::UpdateBefore,
                    2 => Kind::UpdateAfter,
                    3 => Kind::Delete,
                    _ => Kind::Insert,
                };
                let kinds = match own.iter().all(|k| *k == 0) {
                    true => Kinds::Append,
                    false => Kinds::Changes(own.iter().map(kind).collect()),
                };
                let batch = rows.slice(first, end - first);
                found.rows += batch.num_rows() as u64;
                match found.events.last_mut().filter(|last| last.piece == piece) {
                    // A piece that was written in two parts.
                    Some(last) => {
                        let length = last.batch.num_rows();
                        let all = (0..length)
                            .map(|i| last.kinds.get(i))
                            .chain((0..end - first).map(|i| kinds.get(i)));
                        last.kinds = Kinds::Changes(all.collect());
                        last.batch = concat_batches(&rows.schema(), [&last.batch, &batch])?;
                    }
                    None => found.events.push(Event { at: at.value(first), piece, batch, kinds }),
                }
            }
            first = end;
        }
    }
    found.events.sort_by_key(|event| event.piece);
    Ok(found)
}

fn book(path: &Path, finished: bool) -> Result<Option<Book>> {
    let mut found = Book::default();
    let mut all: Vec<(u64, String, Replied)> = Vec::new();
    for batch in batches(path, finished)? {
        let at = numbers::<Int64Type>(&batch, AT, path)?;
        let pieces = numbers::<UInt64Type>(&batch, PIECE, path)?;
        let took = numbers::<UInt64Type>(&batch, TOOK, path)?;
        let outcomes = numbers::<UInt8Type>(&batch, OUTCOME, path)?;
        let odd = |name: &str| damaged(path, format!("column {name} has another type"));
        let about = column(&batch, ABOUT, path)?.as_string_opt::<i32>().ok_or_else(|| odd(ABOUT))?;
        let keys = column(&batch, KEY, path)?.as_struct_opt().ok_or_else(|| odd(KEY))?;
        let lists = column(&batch, ROWS, path)?.as_list_opt::<i32>().ok_or_else(|| odd(ROWS))?;
        let keys = RecordBatch::from(keys.clone());
        let texts = key_texts(&keys)?;
        found.keys = keys.schema().fields().iter().map(|f| f.name().clone()).collect();
        found.keys.sort();
        for (row, key) in texts.into_iter().enumerate() {
            let rows = lists.value(row);
            let rows = RecordBatch::from(rows.as_struct_opt().ok_or_else(|| odd(ROWS))?.clone());
            found.schema.get_or_insert_with(|| rows.schema());
            let about = match about.is_valid(row) {
                true => serde_json::from_str(about.value(row)).map_err(|e| damaged(path, e))?,
                false => About::default(),
            };
            let (at, took_micros) = (at.value(row), took.value(row));
            let replied = Replied { at, took_micros, outcome: outcomes.value(row), about, rows };
            all.push((pieces.value(row), key, replied));
        }
    }
    if all.is_empty() {
        return Ok(None);
    }
    // They are written when they are answered.
    all.sort_by_key(|(piece, _, replied)| (replied.at, *piece));
    for (_, key, replied) in all {
        found.asked.push((replied.at, key.clone()));
        found.entries.entry(key).or_default().push(replied);
    }
    Ok(Some(found))
}

fn loads(path: &Path, stream: &Stream, finished: bool) -> Result<Vec<Load>> {
    let all = batches(path, finished)?;
    let Some(first) = all.first() else { return Ok(Vec::new()) };
    let whole = concat_batches(&first.schema(), &all)?;
    let at = numbers::<Int64Type>(&whole, AT, path)?;
    let columns: Vec<usize> = (0..whole.num_columns().saturating_sub(1)).collect();
    let rows = whole.project(&columns)?;
    let of = |load: &i64| -> Result<Load> {
        let own = (0..rows.num_rows() as u32).filter(|row| at.value(*row as usize) == *load);
        Ok(Load { at: *load, rows: take_record_batch(&rows, &own.collect::<UInt32Array>())? })
    };
    stream.loads.iter().map(of).collect()
}

impl Recording {
    /// Reads the recording in a folder.
    pub(crate) fn open(folder: &Path) -> Result<Arc<Self>> {
        let path = folder.join(MANIFEST);
        let text = std::fs::read_to_string(&path).map_err(|e| {
            Error::option(format!("there is no recording in '{}'", folder.display()))
                .with_detail(format!("{}: {e}", path.display()))
                .with_hint("affluent run --record FOLDER pipeline.sql makes one")
        })?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| damaged(&path, e))?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(u64::from(FORMAT)) {
            let of = format.map_or_else(|| "no version".to_string(), |format| format!("version {format}"));
            let by = value.get("version").and_then(serde_json::Value::as_str).unwrap_or("another program");
            return Err(Error::option(format!(
                "the recording in '{}' has another format: {of}, and this program reads version {FORMAT}",
                folder.display()
            ))
            .with_detail(format!("it was written by affluent {by}"))
            .with_hint("record again, or replay it with that version"));
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(|e| damaged(&path, e))?;
        let finished = manifest.ended.is_some();
        let mut recording = Self {
            scans: BTreeMap::new(),
            books: BTreeMap::new(),
            loads: BTreeMap::new(),
            manifest: manifest.clone(),
        };
        for stream in &manifest.streams {
            if stream.file.contains(['/', '\\']) {
                return Err(damaged(&path, format!("'{}' is no file of it", stream.file)));
            }
            let path = folder.join(&stream.file);
            match stream.holds {
                Holds::Source => {
                    let scan = scan(&path, stream, finished)?;
                    // Statements that read one table read the same rows: the one that read most has them all.
                    let known = recording.scans.entry(stream.name.clone()).or_default();
                    if known.schema.is_none() || scan.rows > known.rows {
                        *known = scan;
                    }
                }
                Holds::Lookup => {
                    // One that was never asked is known, too.
                    recording.books.entry(stream.name.clone()).or_default();
                    if let Some(book) = book(&path, finished)? {
                        recording.note(&stream.name, book)?;
                    }
                }
                Holds::Load => {
                    let loads = loads(&path, stream, finished)?;
                    recording.loads.entry(stream.name.clone()).or_default().extend(loads);
                }
            }
        }
        Ok(Arc::new(recording))
    }

    /// Adds answers; those of two statements that ask alike are one book.
    fn note(&mut self, name: &str, book: Book) -> Result<()> {
        let books = self.books.entry(name.to_string()).or_default();
        let same = books.iter_mut().find(|b| b.keys == book.keys && b.schema == book.schema);
        let Some(known) = same else {
            books.push(book);
            return Ok(());
        };
        for (key, replied) in book.entries {
            let all = known.entries.entry(key).or_default();
            all.extend(replied);
            all.sort_by_key(|r| r.at);
        }
        known.asked.extend(book.asked);
        known.asked.sort_by_key(|(at, _)| *at);
        Ok(())
    }

    /// The last moment that it knows of.
    pub(crate) fn end(&self) -> i64 {
        let events = self.scans.values().flat_map(|scan| scan.events.last().map(|e| e.at));
        let answers = self.books.values().flatten().flat_map(|book| book.asked.last().map(|a| a.0));
        let last = events.chain(answers).max().unwrap_or(self.manifest.started);
        self.manifest.ended.unwrap_or(last).max(last)
    }
}
