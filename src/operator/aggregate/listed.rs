//! Functions over all rows of a group, in order: `LISTAGG`, `ARRAY_AGG`, `COLLECT`, `PERCENTILE`, the JSON
//! aggregates, and `FIRST_VALUE` and `LAST_VALUE` where rows are taken back or ORDER BY is given.
//!
//! The result is put together anew whenever it is asked for: it is as long as the group has rows.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int32Array, ListArray, MapArray, StringViewBuilder, StructArray,
    UInt32Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use hashbrown::HashMap;

use super::sequence::{Listed, Sequence};
use super::state::{StateColumn, offsets};
use super::{Accumulator, Rows, nulls_of, same_state};
use crate::error::{Error, Result};
use crate::function::json::{json as json_writer, push_quoted, raw_writer};
use crate::state::KeyTable;

/// What is made of the rows of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    First,
    Last,
    /// Texts with the separator of their row before all but the first.
    Text,
    Array,
    Multiset,
    Percentile,
    /// `raw`: the values are JSON already.
    JsonArray {
        raw: bool,
    },
    /// `raw`: the values are JSON already. `absent`: without those whose value is NULL.
    JsonObject {
        raw: bool,
        absent: bool,
    },
}

/// A function over rows.
#[derive(Debug)]
pub(super) struct Lists {
    shape: Shape,
    skips_nulls: bool,
    /// Arguments; columns of the order stand behind them.
    arguments: usize,
    rows: Sequence,
    data_type: DataType,
}

impl Lists {
    /// `arguments`, `order`: types of the columns that [`Accumulator::update`] is given.
    pub fn new(
        shape: Shape,
        skips_nulls: bool,
        arguments: &[DataType],
        order: &[(DataType, SortOptions)],
        data_type: DataType,
    ) -> Result<Self> {
        let rows = Sequence::new(arguments, order)?;
        Ok(Self { shape, skips_nulls, arguments: arguments.len(), rows, data_type })
    }
}

impl Accumulator for Lists {
    fn resize(&mut self, groups: usize) {
        self.rows.resize(groups);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], rows: Rows<'_>) -> Result<()> {
        let mut nulls = if self.skips_nulls { args.first().and_then(nulls_of) } else { None };
        if let Shape::JsonObject { absent, .. } = self.shape {
            let keys = args.first().and_then(nulls_of);
            let null_key = |i: usize| keys.as_ref().is_some_and(|k| k.is_null(i));
            let counts = |i: usize| rows.selected.is_none_or(|s| s[i]);
            if (0..groups.len()).any(|i| null_key(i) && counts(i)) {
                return Err(Error::execution("a key of JSON_OBJECTAGG is NULL")
                    .with_hint("leave such rows out: FILTER (WHERE key IS NOT NULL)"));
            }
            nulls = if absent { args.get(1).and_then(nulls_of) } else { None };
        }
        self.rows.update(groups, args, rows, nulls.as_ref())
    }

    fn merge(&mut self, groups: &[u32], other: &dyn Accumulator, from: &[u32]) -> Result<()> {
        self.rows.merge(groups, &same_state::<Self>(other)?.rows, from)
    }

    fn merge_within(&mut self, into: u32, from: u32) -> Result<()> {
        self.rows.merge_within(into, from);
        Ok(())
    }

    fn values(&self, groups: &[u32]) -> Result<ArrayRef> {
        let mut listed = match self.shape {
            Shape::First => self.rows.ends(groups, false)?,
            Shape::Last => self.rows.ends(groups, true)?,
            _ => self.rows.rows(groups)?,
        };
        listed.columns.truncate(self.arguments);
        let count = groups.len();
        match self.shape {
            Shape::First | Shape::Last => {
                let index = (0..count).map(|i| listed.range(i).next().map(|n| n as u32));
                Ok(take(&listed.columns[0], &index.collect::<UInt32Array>(), None)?)
            }
            Shape::Text => texts(&listed, count),
            Shape::Array => self.arrays(&listed, count),
            Shape::Multiset => self.multisets(&listed, count),
            Shape::Percentile => percentiles(&listed, count),
            Shape::JsonArray { raw } => json_arrays(&listed, count, raw),
            Shape::JsonObject { raw, .. } => json_objects(&listed, count, raw),
        }
    }

    fn reset(&mut self, group: u32) {
        self.rows.reset(group);
    }

    fn state_columns(&self) -> Vec<StateColumn> {
        self.rows.state_columns()
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.rows.state(groups)
    }

    fn restore(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        self.rows.restore(groups, state)
    }

    fn memory(&self) -> usize {
        self.rows.memory()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Groups without rows are NULL.
fn filled(listed: &Listed, count: usize) -> Option<NullBuffer> {
    let nulls: NullBuffer = (0..count).map(|i| !listed.range(i).is_empty()).collect();
    (nulls.null_count() > 0).then_some(nulls)
}

fn texts(listed: &Listed, count: usize) -> Result<ArrayRef> {
    let wrong = || Error::internal("LISTAGG of what is no string");
    let values = listed.columns[0].as_string_view_opt().ok_or_else(wrong)?;
    let separators = listed.columns.get(1).map(|s| s.as_string_view_opt().ok_or_else(wrong)).transpose()?;
    let mut builder = StringViewBuilder::with_capacity(count);
    let mut text = String::new();
    for i in 0..count {
        let range = listed.range(i);
        if range.is_empty() {
            builder.append_null();
            continue;
        }
        text.clear();
        for row in range.clone() {
            if row != range.start {
                match separators {
                    Some(s) if s.is_valid(row) => text.push_str(s.value(row)),
                    Some(_) => {}
                    None => text.push(','),
                }
            }
            text.push_str(values.value(row));
        }
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}

impl Lists {
    fn arrays(&self, listed: &Listed, count: usize) -> Result<ArrayRef> {
        let DataType::List(field) = &self.data_type else {
            return Err(Error::internal("ARRAY_AGG gives an ARRAY"));
        };
        let ends = offsets((0..count).map(|i| listed.range(i).len()))?;
        let values = listed.columns[0].clone();
        Ok(Arc::new(ListArray::try_new(field.clone(), ends, values, filled(listed, count))?))
    }

    fn multisets(&self, listed: &Listed, count: usize) -> Result<ArrayRef> {
        let DataType::Map(entries, sorted) = &self.data_type else {
            return Err(Error::internal("COLLECT gives a MULTISET"));
        };
        let column = &listed.columns[0];
        // Equal values get equal numbers.
        let mut table = KeyTable::new(std::slice::from_ref(column.data_type()))?;
        let mut numbers = Vec::new();
        table.intern(std::slice::from_ref(column), column.len(), &mut numbers)?;
        let (mut firsts, mut counts, mut lengths) = (Vec::new(), Vec::<i32>::new(), Vec::new());
        let mut seen: HashMap<u32, usize> = HashMap::new();
        for i in 0..count {
            seen.clear();
            let start = firsts.len();
            for row in listed.range(i) {
                let at = *seen.entry(numbers[row]).or_insert_with(|| {
                    firsts.push(row as u32);
                    counts.push(0);
                    firsts.len() - 1
                });
                counts[at] = counts[at].saturating_add(1);
            }
            lengths.push(firsts.len() - start);
        }
        let keys = take(column, &UInt32Array::from(firsts), None)?;
        let DataType::Struct(fields) = entries.data_type() else {
            return Err(Error::internal("a MULTISET holds values and counts"));
        };
        let pairs =
            StructArray::try_new(fields.clone(), vec![keys, Arc::new(Int32Array::from(counts))], None)?;
        let ends = offsets(lengths.into_iter())?;
        // No value is an empty multiset, not NULL.
        Ok(Arc::new(MapArray::try_new(entries.clone(), ends, pairs, None, *sorted)?))
    }
}

/// Values with how often each counts, in order, and their number.
fn weighted(listed: &Listed, i: usize) -> Result<(Vec<(f64, i64)>, i64)> {
    let values = listed.columns[0].as_primitive::<Float64Type>();
    let frequencies = listed.columns.get(2).map(|f| f.as_primitive::<Int64Type>());
    let mut all = Vec::new();
    let mut total = 0i64;
    for row in listed.range(i) {
        let frequency = match frequencies {
            None => 1,
            Some(f) if f.is_null(row) => 0,
            Some(f) => f.value(row),
        };
        if frequency < 0 {
            return Err(Error::execution(format!("the frequency of PERCENTILE is negative: {frequency}")));
        }
        if frequency > 0 {
            all.push((values.value(row), frequency));
            total = total
                .checked_add(frequency)
                .ok_or_else(|| Error::execution("the frequencies of PERCENTILE do not fit BIGINT"))?;
        }
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok((all, total))
}

/// The value at a fraction of the way through, between its two neighbours.
fn percentile(values: &[(f64, i64)], total: i64, percentage: f64) -> Result<f64> {
    if !(0.0..=1.0).contains(&percentage) {
        return Err(Error::execution(format!("the percentage of PERCENTILE is {percentage}"))
            .with_hint("it is a number from 0 to 1"));
    }
    // Positions count from 1, which decides about the last digit.
    let position = (total - 1) as f64 * percentage + 1.0;
    let (low, high) = (position.floor(), position.ceil());
    let at = |index: f64| {
        let mut left = index as i64 - 1;
        let found = values.iter().find(|(_, n)| {
            left -= n;
            left < 0
        });
        found.or(values.last()).map_or(f64::NAN, |v| v.0)
    };
    if low == high {
        return Ok(at(low));
    }
    Ok((high - position) * at(low) + (position - low) * at(high))
}

fn percentiles(listed: &Listed, count: usize) -> Result<ArrayRef> {
    let wanted = &listed.columns[1];
    if let Some(single) = wanted.as_primitive_opt::<Float64Type>() {
        let mut results = Vec::with_capacity(count);
        for i in 0..count {
            let (values, total) = weighted(listed, i)?;
            // All rows of a group ask for the same percentage.
            let row = listed.range(i).next().filter(|&row| total > 0 && single.is_valid(row));
            results.push(row.map(|row| percentile(&values, total, single.value(row))).transpose()?);
        }
        return Ok(Arc::new(Float64Array::from(results)));
    }
    let lists = wanted.as_list_opt::<i32>().ok_or_else(|| Error::internal("PERCENTILE takes numbers"))?;
    let (mut results, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..count {
        let (values, total) = weighted(listed, i)?;
        let row = listed.range(i).next().filter(|&row| total > 0 && lists.is_valid(row));
        let list = row.map(|row| lists.value(row));
        let before = results.len();
        for p in list.iter().flat_map(|l| l.as_primitive::<Float64Type>().iter()) {
            results.push(p.map(|p| percentile(&values, total, p)).transpose()?);
        }
        lengths.push(results.len() - before);
        valid.push(list.is_some());
    }
    let item = Arc::new(Field::new_list_field(DataType::Float64, true));
    let values = Arc::new(Float64Array::from(results));
    Ok(Arc::new(ListArray::try_new(item, offsets(lengths.into_iter())?, values, Some(valid.into()))?))
}

fn json_arrays(listed: &Listed, count: usize, raw: bool) -> Result<ArrayRef> {
    let column = &listed.columns[0];
    let write = if raw { raw_writer(column)? } else { json_writer(column)? };
    let mut builder = StringViewBuilder::with_capacity(count);
    let mut text = String::new();
    for i in 0..count {
        text.clear();
        text.push('[');
        for row in listed.range(i) {
            if text.len() > 1 {
                text.push(',');
            }
            if column.is_valid(row) { write(row, &mut text)? } else { text.push_str("null") }
        }
        text.push(']');
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}

fn json_objects(listed: &Listed, count: usize, raw: bool) -> Result<ArrayRef> {
    let keys = listed.columns[0]
        .as_string_view_opt()
        .ok_or_else(|| Error::internal("keys of JSON_OBJECTAGG are strings"))?;
    let column = &listed.columns[1];
    let write = if raw { raw_writer(column)? } else { json_writer(column)? };
    let mut builder = StringViewBuilder::with_capacity(count);
    let mut text = String::new();
    let mut rows: Vec<(&str, usize)> = Vec::new();
    for i in 0..count {
        // Keys come sorted, and of equal ones the last counts, as Flink has it.
        rows.clear();
        rows.extend(listed.range(i).map(|row| (keys.value(row), row)));
        rows.sort_unstable();
        text.clear();
        text.push('{');
        for (n, (key, row)) in rows.iter().enumerate() {
            if rows.get(n + 1).is_some_and(|(next, _)| next == key) {
                continue;
            }
            if text.len() > 1 {
                text.push(',');
            }
            push_quoted(key, &mut text);
            text.push(':');
            if column.is_valid(*row) { write(*row, &mut text)? } else { text.push_str("null") }
        }
        text.push('}');
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}
