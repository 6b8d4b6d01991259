//! Keys to slots: every distinct key of an operator gets a small number, and its state stands in columns at
//! that number.
//!
//! How a key is kept depends on the types of its columns:
//!
//! | columns | kept as | bytes a key, beside the table's 5 to 9 |
//! |---|---|---|
//! | none | nothing: there is one key | 0 |
//! | one integer, date, time or timestamp | `i64`; small dense numbers need no table | 8 |
//! | up to eight of fixed width, 16 bytes in all | `u128` and a bit for each NULL | 17 |
//! | one string or binary value | its bytes, in one arena | length + 12 |
//! | anything else | Arrow's row format, in one arena | length + 12 |

mod bytes;
mod fixed;
mod table;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewBuilder, StringViewBuilder};
use arrow::compute::kernels::arity::unary;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::row::{RowConverter, SortField};
use std::sync::Arc;

use crate::error::{Error, Result};
use bytes::ByteKeys;
use fixed::{IntKeys, PackedKeys};
use table::Table;

/// Interns keys of one or more columns. NULL is a value like others and equals itself (as in GROUP BY);
/// so is NaN, whatever its bits. Without columns there is one key.
#[derive(Debug)]
pub struct KeyTable {
    types: Vec<DataType>,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    None {
        used: bool,
    },
    Int(IntKeys),
    Packed(PackedKeys),
    /// Bytes of one column; the slot of its NULL.
    Bytes(Table<ByteKeys>, Option<u32>),
    Rows(Box<RowConverter>, Table<ByteKeys>),
}

impl KeyTable {
    /// For key columns of these types.
    pub fn new(types: &[DataType]) -> Result<Self> {
        let keys = match types {
            [] => Keys::None { used: false },
            [t] if IntKeys::takes(t) => Keys::Int(IntKeys::default()),
            types if PackedKeys::takes(types) => Keys::Packed(PackedKeys::new(types)),
            [DataType::Utf8View | DataType::BinaryView] => Keys::Bytes(Table::default(), None),
            types => {
                let fields = types.iter().cloned().map(SortField::new).collect();
                let converter = RowConverter::new(fields).map_err(|e| {
                    Error::unsupported("a column of this type cannot be a key").with_detail(e.to_string())
                })?;
                Keys::Rows(Box::new(converter), Table::default())
            }
        };
        Ok(Self { types: types.to_vec(), keys })
    }

    fn check(&self, columns: &[ArrayRef]) -> Result<()> {
        if columns.iter().map(|c| c.data_type()).eq(&self.types) {
            return Ok(());
        }
        let found: Vec<String> = columns.iter().map(|c| c.data_type().to_string()).collect();
        Err(Error::internal(format!("keys are {:?}, columns of {} came", self.types, found.join(", "))))
    }

    /// The slot of each row's key; new keys get one. `slots` is filled anew, `rows` long (`columns` may
    /// be none).
    pub fn intern(&mut self, columns: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<()> {
        slots.clear();
        slots.reserve(rows);
        self.check(columns)?;
        match &mut self.keys {
            Keys::None { used } => {
                *used |= rows > 0;
                slots.resize(rows, 0);
            }
            Keys::Int(keys) => keys.intern(&columns[0], slots)?,
            Keys::Packed(keys) => keys.intern(columns, slots)?,
            Keys::Bytes(table, null) => {
                for_bytes(&columns[0], |key| {
                    slots.push(match key {
                        Some(key) => table.intern(key),
                        None => *null.get_or_insert_with(|| table.reserve(&[])),
                    });
                });
            }
            Keys::Rows(converter, table) => {
                let encoded = converter.convert_columns(&plain_nan(columns))?;
                slots.extend(encoded.iter().map(|row| table.intern(row.data())));
            }
        }
        Ok(())
    }

    /// The slot of each row's key, `None` for keys that have none.
    pub fn find(&self, columns: &[ArrayRef], rows: usize, slots: &mut Vec<Option<u32>>) -> Result<()> {
        slots.clear();
        slots.reserve(rows);
        self.check(columns)?;
        match &self.keys {
            Keys::None { used } => slots.resize(rows, used.then_some(0)),
            Keys::Int(keys) => keys.find(&columns[0], slots)?,
            Keys::Packed(keys) => keys.find(columns, slots)?,
            Keys::Bytes(table, null) => for_bytes(&columns[0], |key| {
                slots.push(match key {
                    Some(key) => table.find(key),
                    None => *null,
                });
            }),
            Keys::Rows(converter, table) => {
                let encoded = converter.convert_columns(&plain_nan(columns))?;
                slots.extend(encoded.iter().map(|row| table.find(row.data())));
            }
        }
        Ok(())
    }

    /// Forgets the key of a slot; the slot is given to another key.
    pub fn remove(&mut self, slot: u32) {
        match &mut self.keys {
            Keys::None { used } => *used = false,
            Keys::Int(keys) => keys.remove(slot),
            Keys::Packed(keys) => keys.remove(slot),
            Keys::Bytes(table, null) if *null == Some(slot) => {
                *null = None;
                table.release(slot);
            }
            Keys::Bytes(table, _) | Keys::Rows(_, table) => table.remove(slot),
        }
    }

    /// Slots in use are below this.
    pub fn capacity(&self) -> usize {
        match &self.keys {
            Keys::None { used } => usize::from(*used),
            Keys::Int(keys) => keys.capacity(),
            Keys::Packed(keys) => keys.capacity(),
            Keys::Bytes(table, _) | Keys::Rows(_, table) => table.capacity(),
        }
    }

    /// Keys in the table.
    pub fn len(&self) -> usize {
        match &self.keys {
            Keys::None { used } => usize::from(*used),
            Keys::Int(keys) => keys.len(),
            Keys::Packed(keys) => keys.len(),
            Keys::Bytes(table, _) | Keys::Rows(_, table) => table.len(),
        }
    }

    /// Slots in use, ascending.
    pub fn slots(&self) -> Vec<u32> {
        match &self.keys {
            Keys::None { used } => (0..u32::from(*used)).collect(),
            Keys::Int(keys) => keys.slots(),
            Keys::Packed(keys) => keys.slots(),
            Keys::Bytes(table, _) | Keys::Rows(_, table) => table.slots(),
        }
    }

    /// No key at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key columns of slots that are in use.
    pub fn take(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        match &self.keys {
            Keys::None { .. } => Ok(Vec::new()),
            Keys::Int(keys) => Ok(vec![keys.take(&self.types[0], slots)?]),
            Keys::Packed(keys) => keys.take(&self.types, slots),
            Keys::Bytes(table, null) => {
                let keys = slots.iter().map(|&s| (Some(s) != *null).then(|| table.store().get(s)));
                Ok(vec![match self.types[0] {
                    DataType::BinaryView => {
                        let mut builder = BinaryViewBuilder::with_capacity(slots.len());
                        keys.for_each(|k| builder.append_option(k));
                        Arc::new(builder.finish())
                    }
                    _ => {
                        let mut builder = StringViewBuilder::with_capacity(slots.len());
                        for key in keys {
                            let text = key.map(std::str::from_utf8).transpose();
                            let text = text.map_err(|_| Error::internal("a key lost its bytes"))?;
                            builder.append_option(text);
                        }
                        Arc::new(builder.finish())
                    }
                }])
            }
            Keys::Rows(converter, table) => {
                let parser = converter.parser();
                let rows = slots.iter().map(|&s| parser.parse(table.store().get(s)));
                Ok(converter.convert_rows(rows)?)
            }
        }
    }

    /// Bytes of the keys and of what finds them.
    pub fn memory(&self) -> usize {
        match &self.keys {
            Keys::None { .. } => 0,
            Keys::Int(keys) => keys.memory(),
            Keys::Packed(keys) => keys.memory(),
            Keys::Bytes(table, _) | Keys::Rows(_, table) => table.memory(),
        }
    }
}

/// The bytes of each value of a string or binary column.
fn for_bytes(column: &ArrayRef, mut f: impl FnMut(Option<&[u8]>)) {
    if let Some(texts) = column.as_string_view_opt() {
        match texts.null_count() {
            0 => (0..texts.len()).for_each(|i| f(Some(texts.value(i).as_bytes()))),
            _ => texts.iter().for_each(|t| f(t.map(str::as_bytes))),
        }
    } else if let Some(values) = column.as_binary_view_opt() {
        values.iter().for_each(f);
    }
}

/// One NaN of the many that floating-point numbers have.
fn plain_nan(columns: &[ArrayRef]) -> Vec<ArrayRef> {
    let one = |column: &ArrayRef| -> ArrayRef {
        if let Some(values) = column.as_primitive_opt::<Float64Type>()
            && values.values().iter().any(|v| v.is_nan())
        {
            return Arc::new(unary::<_, _, Float64Type>(values, |v| if v.is_nan() { f64::NAN } else { v }));
        }
        if let Some(values) = column.as_primitive_opt::<Float32Type>()
            && values.values().iter().any(|v| v.is_nan())
        {
            return Arc::new(unary::<_, _, Float32Type>(values, |v| if v.is_nan() { f32::NAN } else { v }));
        }
        column.clone()
    };
    columns.iter().map(one).collect()
}

#[cfg(test)]
mod tests;
