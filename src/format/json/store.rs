//! What columns are made of: values at row numbers, which of them are NULL, and strings that stay where
//! they are in the text for a while.

use arrow::array::{StringViewArray, StringViewBuilder};
use arrow::buffer::{BooleanBuffer, NullBuffer};

use crate::error::Result;

/// Writes at an index, the rows before it that were never written filled.
#[inline(always)]
pub(super) fn put<T: Copy>(values: &mut Vec<T>, row: usize, value: T, fill: T) {
    if let Some(slot) = values.get_mut(row) {
        *slot = value;
    } else {
        if values.len() < row {
            values.resize(row, fill);
        }
        values.push(value);
    }
}

/// Which rows are not NULL; costs one branch a value until the first NULL.
#[derive(Debug, Default)]
pub(super) struct Validity {
    valid: Vec<bool>,
    any_null: bool,
}

impl Validity {
    /// The row has a value.
    #[inline(always)]
    pub(super) fn set(&mut self, row: usize) {
        if self.any_null {
            put(&mut self.valid, row, true, true);
        }
    }

    /// The row is NULL.
    pub(super) fn clear(&mut self, row: usize) {
        self.any_null = true;
        put(&mut self.valid, row, false, true);
    }

    /// Whether the row is NULL.
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.any_null && self.valid.get(row) == Some(&false)
    }

    /// The first `rows` rows; begins anew.
    pub(super) fn finish(&mut self, rows: usize) -> Option<NullBuffer> {
        let nulls = self.any_null.then(|| {
            self.valid.resize(rows, true);
            NullBuffer::from(BooleanBuffer::from(self.valid.as_slice()))
        });
        self.any_null = false;
        self.valid.clear();
        nulls.filter(|n| n.null_count() > 0)
    }
}

/// A place in the text, or with the highest bit of `start` set, in the column's own text.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    pub start: u32,
    pub length: u32,
}

const OWN: u32 = 1 << 31;

/// The largest text that [`Place`] can point into.
pub(super) const MAX_TEXT: usize = OWN as usize - 1;

/// A column of strings.
#[derive(Debug, Default)]
pub(super) struct Strings {
    /// Places of the rows from `flushed` on.
    places: Vec<Place>,
    flushed: usize,
    own: String,
    builder: Option<StringViewBuilder>,
    /// Bytes of long strings in the last batch and this one, for the size of blocks.
    last_long: usize,
    long: usize,
}

impl Strings {
    /// The row's value is a part of the text.
    #[inline(always)]
    pub(super) fn put(&mut self, row: usize, start: usize, end: usize) {
        let place = Place { start: start as u32, length: (end - start) as u32 };
        put(&mut self.places, row - self.flushed, place, Place::default());
    }

    /// The row's value is not in the text as such: it is appended to the column's own.
    pub(super) fn put_own(&mut self, row: usize, write: impl FnOnce(&mut String)) {
        let start = self.own.len();
        write(&mut self.own);
        self.put(row, start | OWN as usize, self.own.len() | OWN as usize);
    }

    /// Copies the values of the rows up to `rows` out of the text.
    pub(super) fn flush(&mut self, rows: usize, text: &str, valid: &Validity) -> Result<()> {
        let new = rows - self.flushed;
        self.places.resize(new, Place::default());
        // Shorter ones live in the views themselves.
        let long: usize = self.places.iter().map(|p| p.length as usize).filter(|n| *n > 12).sum();
        self.long += long;
        let builder = self.builder.get_or_insert_with(|| {
            // One block a batch in a busy stream, and no block that is mostly empty in a quiet one.
            let block = long.max(self.last_long.min(16 * long)).clamp(1, 1 << 20);
            StringViewBuilder::with_capacity(new).with_fixed_block_size(block as u32)
        });
        for (i, place) in self.places.iter().enumerate() {
            if valid.any_null && valid.is_null(self.flushed + i) {
                builder.append_null();
                continue;
            }
            let start = (place.start & !OWN) as usize;
            let source = if place.start & OWN == 0 { text } else { &self.own };
            let value = source.get(start..start + place.length as usize).unwrap_or_default();
            builder.try_append_value(value)?;
        }
        self.places.clear();
        self.own.clear();
        self.flushed = rows;
        Ok(())
    }

    /// The flushed rows; begins anew.
    pub(super) fn finish(&mut self) -> StringViewArray {
        self.flushed = 0;
        self.last_long = std::mem::take(&mut self.long);
        self.builder.take().unwrap_or_default().finish()
    }
}
