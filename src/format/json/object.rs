//! Objects, read by the shape of the ones before.
//!
//! Streams repeat themselves: the next record has the same keys in the same order with the same white
//! space. So a reader remembers, for the last few kinds of record, the text *between* the values:
//!
//! ```text
//! {"sensorId": "s-1", "temperature": 57}
//! ^^^^^^^^^^^^^     ^^^^^^^^^^^^^^^^^  ^      literals of the shape, compared as numbers of 128 bits
//!              ^^^^^                 ^^       values, parsed in place by the column's type, or skipped
//! ```
//! If the literals match, the record is what a general parser would have found, because a literal only ever
//! follows a complete value. If one does not, the next shape is tried, then the general parser, which
//! learns the new shape. Columns are written by row number, so an attempt that failed leaves no trace.

use arrow::array::ArrayRef;
use arrow::datatypes::Fields;
use hashbrown::HashMap;

use super::column::{Context, Field, string};
use super::scan::{Fault, Scanned};
use crate::error::Result;

/// Shapes that are remembered.
const SHAPES: usize = 4;
/// A record with more text between its values than this is not worth remembering.
const MAX_LITERALS: usize = 16 << 10;
/// After so many records without a known shape, most are no longer learned.
const PATIENCE: u32 = 64;

/// Fields without a column are remembered, so many of so many records.
const OTHERS: usize = 20;
const LOOKED: u32 = 200;

/// Text that a shape expects.
#[derive(Debug)]
struct Literal {
    text: Box<[u8]>,
    /// The first 16 bytes, padded with zeros, and which of them count.
    head: u128,
    mask: u128,
}

impl Literal {
    fn new(text: &[u8]) -> Self {
        let (mut head, mut mask) = ([0; 16], [0; 16]);
        for (i, byte) in text.iter().take(16).enumerate() {
            head[i] = *byte;
            mask[i] = 0xff;
        }
        Self { text: text.into(), head: u128::from_le_bytes(head), mask: u128::from_le_bytes(mask) }
    }

    /// The position after it, if it is at `at`.
    #[inline(always)]
    fn matched(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let rest = bytes.get(at..)?;
        let same = match rest.first_chunk::<16>() {
            Some(chunk) => {
                (u128::from_le_bytes(*chunk) ^ self.head) & self.mask == 0
                    && (self.text.len() <= 16 || rest.get(16..self.text.len()) == self.text.get(16..))
            }
            None => rest.starts_with(&self.text),
        };
        same.then_some(at + self.text.len())
    }
}

#[derive(Debug)]
struct Step {
    literal: Literal,
    /// The column that the value belongs to, if any.
    column: Option<usize>,
}

#[derive(Debug)]
struct Shape {
    steps: Vec<Step>,
    tail: Literal,
    /// Columns that it has no value for.
    missing: Vec<usize>,
}

/// Paths of fields that no object had, and of some that have no column.
pub(super) type Inside = (Vec<String>, Vec<String>);

/// Reads objects into columns.
#[derive(Debug)]
pub(super) struct ObjectReader {
    fields: Vec<Field>,
    columns: HashMap<Box<str>, usize>,
    shapes: Vec<Shape>,
    /// The shape that matched last.
    current: usize,
    misses: u32,
    seen: Vec<bool>,
    /// Columns that any record had.
    ever: Vec<bool>,
    /// Some fields that are no columns.
    others: Vec<Box<str>>,
    /// Records that were looked at for these.
    looked: u32,
}

impl ObjectReader {
    /// For objects with these fields; others are skipped.
    pub(super) fn new(fields: &Fields) -> Result<Self> {
        let fields: Vec<Field> = fields.iter().map(Field::new).collect::<Result<_>>()?;
        Ok(Self {
            columns: fields.iter().enumerate().map(|(i, f)| (f.name.clone(), i)).collect(),
            seen: vec![false; fields.len()],
            ever: vec![false; fields.len()],
            others: Vec::new(),
            looked: 0,
            fields,
            shapes: Vec::new(),
            current: 0,
            misses: 0,
        })
    }

    /// Reads the object at `at` into `row`; returns the position after it.
    #[inline]
    pub(super) fn read(&mut self, cx: &mut Context<'_>, at: usize, row: usize) -> Scanned<usize> {
        let skipped = cx.skipped;
        if let Some(end) = self.read_shape(self.current, cx, at, row) {
            self.misses = 0;
            return Ok(end);
        }
        self.read_other(cx, at, row, skipped)
    }

    #[inline(never)]
    fn read_other(&mut self, cx: &mut Context<'_>, at: usize, row: usize, skipped: u64) -> Scanned<usize> {
        for other in 0..self.shapes.len() {
            if other != self.current {
                cx.skipped = skipped;
                if let Some(end) = self.read_shape(other, cx, at, row) {
                    self.current = other;
                    self.misses = 0;
                    return Ok(end);
                }
            }
        }
        cx.skipped = skipped;
        self.read_general(cx, at, row)
    }

    /// `None` when the object has another shape or something is wrong with it.
    #[inline(always)]
    fn read_shape(&mut self, shape: usize, cx: &mut Context<'_>, at: usize, row: usize) -> Option<usize> {
        let shape = self.shapes.get(shape)?;
        let bytes = cx.text.bytes();
        let mut at = at;
        for step in &shape.steps {
            at = step.literal.matched(bytes, at)?;
            at = match step.column {
                Some(column) => self.fields.get_mut(column)?.read(cx, at, row).ok()?,
                None => cx.text.value_end(at).ok()?,
            };
        }
        at = shape.tail.matched(bytes, at)?;
        for column in &shape.missing {
            self.fields.get_mut(*column)?.put_missing(cx, row, at).ok()?;
        }
        Some(at)
    }

    fn read_general(&mut self, cx: &mut Context<'_>, start: usize, row: usize) -> Scanned<usize> {
        let text = cx.text;
        let learns = self.misses < PATIENCE || self.misses.is_multiple_of(PATIENCE);
        self.misses = self.misses.wrapping_add(1);
        self.seen.fill(false);
        let mut steps = Vec::new();
        let mut twice = false;
        // A value that does not fit does no harm if the same key comes again.
        let mut wrong: Option<(usize, Box<Fault>)> = None;
        let mut literal = start;
        let mut at = text.skip_space(start + 1);
        while text.peek(at) != b'}' {
            let (quote, escapes, value) = text.key(at)?;
            let name = string(text, at + 1, quote, escapes);
            let column = self.columns.get(name.as_ref()).copied();
            if column.is_none() && self.looked < LOOKED && self.others.len() < OTHERS {
                let name: &str = name.as_ref();
                if !self.others.iter().any(|o| o.as_ref() == name) {
                    self.others.push(name.into());
                }
            }
            if learns && steps.len() < MAX_LITERALS / 4 {
                steps.push(Step { literal: Literal::new(&text.bytes()[literal..value]), column });
            }
            at = match column {
                Some(column) => {
                    twice |= std::mem::replace(&mut self.seen[column], true);
                    if wrong.as_ref().is_some_and(|(wrong, _)| *wrong == column) {
                        wrong = None;
                    }
                    let field = &mut self.fields[column];
                    match field.read(cx, value, row) {
                        Ok(end) => end,
                        Err(fault) => {
                            let fault = fault.within(&field.name);
                            let Ok(end) = text.value_end(value) else { return Err(fault) };
                            wrong = wrong.or(Some((column, fault)));
                            end
                        }
                    }
                }
                None => text.value_end(value)?,
            };
            literal = at;
            at = text.skip_space(at);
            at = match text.peek(at) {
                b',' => match text.skip_space(at + 1) {
                    next if text.peek(next) == b'}' => {
                        return Err(Fault::syntax(next, "a field name in quotes"));
                    }
                    next => next,
                },
                b'}' => at,
                _ => return Err(Fault::syntax(at, "',' or '}'")),
            };
        }
        at += 1;
        if let Some((_, fault)) = wrong {
            return Err(fault);
        }
        self.looked = self.looked.saturating_add(1);
        self.ever.iter_mut().zip(&self.seen).for_each(|(ever, seen)| *ever |= seen);
        let missing: Vec<usize> = (0..self.fields.len()).filter(|c| !self.seen[*c]).collect();
        for column in &missing {
            let field = &mut self.fields[*column];
            field.put_missing(cx, row, start).map_err(|f| f.within(&field.name))?;
        }
        let literals: usize = steps.iter().map(|s: &Step| s.literal.text.len()).sum();
        if learns && !twice && literals < MAX_LITERALS {
            self.learn(Shape { steps, tail: Literal::new(&text.bytes()[literal..at]), missing });
        }
        Ok(at)
    }

    fn learn(&mut self, shape: Shape) {
        if self.shapes.len() < SHAPES {
            self.current = self.shapes.len();
            self.shapes.push(shape);
        } else {
            // Round robin after the last match.
            self.current = (self.current + 1) % SHAPES;
            self.shapes[self.current] = shape;
        }
    }

    /// Columns that no record had so far, and some fields that are no columns.
    pub(super) fn never_seen(&self) -> (Vec<&str>, Vec<&str>) {
        let never = self.fields.iter().zip(&self.ever).filter(|(_, ever)| !**ever);
        (never.map(|(f, _)| f.name.as_ref()).collect(), self.others.iter().map(AsRef::as_ref).collect())
    }

    /// The same of the objects in it that were seen, by their path, where the names look wrong: a field that is not
    /// there has a neighbour with almost its name, or none of them is there.
    pub(super) fn never_seen_inside(&self, path: &str, found: &mut Vec<Inside>) {
        for (field, _) in self.fields.iter().zip(&self.ever).filter(|(_, ever)| **ever) {
            let Some(inner) = field.object() else { continue };
            let path = format!("{path}{}.", field.name);
            let (never, others) = inner.never_seen();
            let near = |name: &&str| crate::nearest::nearest(name, others.iter().copied()).is_some();
            if inner.looked > 0
                && !others.is_empty()
                && (never.len() == inner.fields.len() || never.iter().any(near))
            {
                let own = |names: &[&str]| names.iter().map(|n| format!("{path}{n}")).collect();
                found.push((own(&never), own(&others)));
            }
            inner.never_seen_inside(&path, found);
        }
    }

    /// Makes all columns of a row NULL.
    pub(super) fn clear(&mut self, row: usize) {
        self.fields.iter_mut().for_each(|f| f.clear(row));
    }

    /// See [`Field::flush`].
    pub(super) fn flush(&mut self, rows: usize, text: &str) -> Result<()> {
        self.fields.iter_mut().try_for_each(|f| f.flush(rows, text))
    }

    /// See [`Field::finish`].
    pub(super) fn finish(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        self.fields.iter_mut().map(|f| f.finish(rows)).collect()
    }
}
