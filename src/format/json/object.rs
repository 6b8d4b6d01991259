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
use arrow::datatypes::{DataType, Fields};
use hashbrown::{HashMap, HashSet};

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

/// Fields that nobody declared, and that are remembered.
const STRANGE: usize = 100;

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
    /// Fields that nobody declared.
    strange: Vec<usize>,
}

/// A field that nobody declared.
#[derive(Debug)]
struct Strange {
    name: Box<str>,
    /// Objects that had it.
    objects: u64,
    /// The row of the last one.
    row: usize,
    /// It was reported.
    told: bool,
}

/// Paths of fields that no object had, and of some that have no column.
pub(super) type Inside = (Vec<String>, Vec<String>);

/// The fields of the objects in a type: of a ROW, of the elements of an ARRAY, of the values of a MAP.
fn objects_in(data_type: &DataType) -> Option<&Fields> {
    match data_type {
        DataType::Struct(fields) => Some(fields),
        DataType::List(item) => objects_in(item.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => objects_in(pair.get(1)?.data_type()),
            _ => None,
        },
        _ => None,
    }
}

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
    /// All fields that are declared, if others are to be reported.
    declared: Option<HashSet<Box<str>>>,
    strange: Vec<Strange>,
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
            declared: None,
            strange: Vec::new(),
            fields,
            shapes: Vec::new(),
            current: 0,
            misses: 0,
        })
    }

    /// Reports fields that are not among these, also of the objects inside.
    pub(super) fn expect(&mut self, declared: &Fields) {
        self.declared = Some(declared.iter().map(|f| f.name().as_str().into()).collect());
        for field in &mut self.fields {
            let whole =
                declared.iter().find(|f| *f.name() == *field.name).and_then(|f| objects_in(f.data_type()));
            if let (Some(inner), Some(fields)) = (field.object_mut(), whole) {
                inner.expect(fields);
            }
        }
    }

    /// Paths of fields that were not declared and not reported before; or, at the end, of all that several objects had,
    /// with their number.
    pub(super) fn strange(&mut self, path: &str, end: bool, found: &mut Vec<(String, u64)>) {
        for strange in &mut self.strange {
            let wanted = if end { strange.objects > 1 } else { !strange.told };
            if wanted {
                found.push((format!("{path}{}", strange.name), strange.objects));
            }
            strange.told = true;
        }
        for field in &mut self.fields {
            let path = format!("{path}{}.", field.name);
            if let Some(inner) = field.object_mut() {
                inner.strange(&path, end, found);
            }
        }
    }

    /// The place of a field that nobody declared.
    fn stranger(&mut self, name: &str, cx: &mut Context<'_>) -> Option<usize> {
        if self.declared.as_ref()?.contains(name) {
            return None;
        }
        let known = self.strange.iter().position(|s| s.name.as_ref() == name);
        if known.is_none() && self.strange.len() < STRANGE {
            self.strange.push(Strange { name: name.into(), objects: 0, row: usize::MAX, told: false });
            cx.news = true;
            return Some(self.strange.len() - 1);
        }
        known
    }

    fn count_strange(strange: &mut [Strange], places: &[usize], row: usize) {
        for place in places {
            if let Some(strange) = strange.get_mut(*place)
                && std::mem::replace(&mut strange.row, row) != row
            {
                strange.objects += 1;
            }
        }
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
        if !shape.strange.is_empty() {
            Self::count_strange(&mut self.strange, &shape.strange, row);
        }
        Some(at)
    }

    fn read_general(&mut self, cx: &mut Context<'_>, start: usize, row: usize) -> Scanned<usize> {
        let text = cx.text;
        let learns = self.misses < PATIENCE || self.misses.is_multiple_of(PATIENCE);
        self.misses = self.misses.wrapping_add(1);
        self.seen.fill(false);
        let (mut steps, mut strange) = (Vec::new(), Vec::new());
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
            if column.is_none() && self.declared.is_some() {
                strange.extend(self.stranger(name.as_ref(), cx));
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
        Self::count_strange(&mut self.strange, &strange, row);
        self.looked = self.looked.saturating_add(1);
        self.ever.iter_mut().zip(&self.seen).for_each(|(ever, seen)| *ever |= seen);
        let missing: Vec<usize> = (0..self.fields.len()).filter(|c| !self.seen[*c]).collect();
        for column in &missing {
            let field = &mut self.fields[*column];
            field.put_missing(cx, row, start).map_err(|f| f.within(&field.name))?;
        }
        let literals: usize = steps.iter().map(|s: &Step| s.literal.text.len()).sum();
        if learns && !twice && literals < MAX_LITERALS {
            self.learn(Shape { steps, tail: Literal::new(&text.bytes()[literal..at]), missing, strange });
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
        self.strange.iter_mut().for_each(|strange| strange.row = usize::MAX);
        self.fields.iter_mut().map(|f| f.finish(rows)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::options::TimestampFormat;
    use super::super::scan::Text;
    use super::*;
    use arrow::datatypes::Field as Column;

    /// What is strange in lines, and how many objects had it, for a reader of `wanted` of the columns `a` and `o`.
    fn strange(wanted: &[&str], lines: &[&str]) -> (Vec<String>, Vec<(String, u64)>) {
        let inner = DataType::Struct(vec![Column::new("x", DataType::Int64, true)].into());
        let declared: Fields =
            vec![Column::new("a", DataType::Int64, true), Column::new("o", inner, true)].into();
        let fields: Fields =
            declared.iter().filter(|f| wanted.contains(&f.name().as_str())).cloned().collect();
        let mut reader = ObjectReader::new(&fields).unwrap();
        reader.expect(&declared);
        let mut first = Vec::new();
        for (row, line) in lines.iter().enumerate() {
            let mut cx = Context {
                text: Text::lines(line),
                ignore_errors: false,
                fail_on_missing: false,
                fail_on_fraction: true,
                strict: true,
                news: false,
                format: TimestampFormat::Sql,
                skipped: 0,
            };
            reader.read(&mut cx, 0, row).ok().unwrap();
            if cx.news {
                let mut found = Vec::new();
                reader.strange("", false, &mut found);
                first.extend(found.into_iter().map(|(name, _)| format!("{}: {name}", row + 1)));
            }
        }
        let mut all = Vec::new();
        reader.strange("", true, &mut all);
        (first, all)
    }

    #[test]
    fn fields_that_nobody_declared_are_told_once_and_counted() {
        let lines = [
            r#"{"a":1,"o":{"x":1}}"#,
            r#"{"a":2,"o":{"x":1},"b":1}"#,
            r#"{"a":3,"o":{"x":1,"y":2},"b":2}"#,
            r#"{"a":4,"o":{"x":1},"b":3}"#,
            r#"{"a":5,"o":{"x":1},"b":4}"#,
        ];
        let (first, all) = strange(&["a", "o"], &lines);
        assert_eq!(first, ["2: b", "3: o.y"]);
        assert_eq!(all, [("b".to_string(), 4)]);
        // Columns that the query does not want are no strangers.
        assert_eq!(strange(&["a"], &lines).0, ["2: b"]);
        assert_eq!(strange(&[], &lines[..1]), (Vec::new(), Vec::new()));
    }
}
