//! Arrays, maps and rows.
//!
//! Most array functions choose among the elements they are given. They share one engine: the elements of
//! all arguments stand in one column, each function names the positions that its result consists of, and one
//! `take` builds it. Equality and order come from arrow's row format, so they hold for every element type;
//! NULL is equal to NULL, as in Flink.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, StringViewArray, StructArray, UInt32Array, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type, Int64Type};
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::{HashMap, HashSet};

use super::scalar::{Call, Definition, Kind, Returns, Typing, Values, common_type, define, some};
use crate::error::{Error, Result};

use Kind::{Any, Bool, Collection, Int, List, Map, Text};

pub(crate) static FUNCTIONS: &[Definition] = &[
    define(&["ARRAY"], &[Any], Returns::With(array_type), array).optional(1).variadic().coerce(all_alike),
    define(&["$MAP"], &[Any], Returns::With(map_type), map).optional(1).variadic().coerce(keys_and_values),
    define(&["ROW"], &[Any], Returns::With(row_type), row).variadic(),
    define(&["$REPEATED"], &[Map], Returns::With(keys_type), repeated),
    define(&["$AT"], &[Collection, Any], Returns::With(item_type), at).coerce(index),
    define(&["CARDINALITY"], &[Collection], Returns::Int, cardinality),
    define(&["ELEMENT"], &[List], Returns::With(element_type), element),
    define(&["ARRAY_CONTAINS"], &[List, Any], Returns::Bool, contains).coerce(list_and_element),
    define(&["ARRAY_POSITION"], &[List, Any], Returns::Int, position).coerce(list_and_element),
    define(&["ARRAY_APPEND"], &[List, Any], Returns::First, append).coerce(list_and_element),
    define(&["ARRAY_PREPEND"], &[List, Any], Returns::First, prepend).coerce(list_and_element),
    define(&["ARRAY_REMOVE"], &[List, Any], Returns::First, remove).coerce(list_and_element),
    define(&["ARRAY_DISTINCT"], &[List], Returns::First, distinct),
    define(&["ARRAY_REVERSE"], &[List], Returns::First, |c| {
        choose(c, 1, |e, out| out.extend((e.of(0)).rev()))
    }),
    define(&["ARRAY_SLICE"], &[List, Int, Int], Returns::First, slice).optional(1),
    define(&["ARRAY_SORT"], &[List, Bool, Bool], Returns::First, sort).optional(2),
    define(&["ARRAY_UNION"], &[List, List], Returns::First, union).coerce(lists_alike),
    define(&["ARRAY_CONCAT"], &[List], Returns::First, array_concat).variadic().coerce(lists_alike),
    define(&["ARRAY_EXCEPT"], &[List, List], Returns::First, except).coerce(lists_alike),
    define(&["ARRAY_INTERSECT"], &[List, List], Returns::First, intersect).coerce(lists_alike),
    define(&["ARRAY_MAX"], &[List], Returns::With(element_type), |c| extreme(c, true)),
    define(&["ARRAY_MIN"], &[List], Returns::With(element_type), |c| extreme(c, false)),
    define(&["ARRAY_JOIN"], &[List, Text, Text], Returns::Text, join).optional(1),
    define(&["MAP_KEYS"], &[Map], Returns::With(keys_type), |c| entries(c, Some(0))),
    define(&["MAP_VALUES"], &[Map], Returns::With(values_type), |c| entries(c, Some(1))),
    define(&["MAP_ENTRIES"], &[Map], Returns::With(entries_type), |c| entries(c, None)),
    define(&["MAP_FROM_ARRAYS"], &[List, List], Returns::With(from_arrays_type), from_arrays),
    define(&["MAP_UNION"], &[Map], Returns::First, map_union).variadic().coerce(maps_alike),
];

fn list_of(t: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(t, true)))
}

fn map_of(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

fn element_of(t: &DataType) -> Result<&DataType> {
    match t {
        DataType::List(f) => Ok(f.data_type()),
        other => Err(Error::internal(format!("{other} is no ARRAY"))),
    }
}

fn entry_fields(t: &DataType) -> Result<(&FieldRef, &FieldRef)> {
    if let DataType::Map(entries, _) = t
        && let DataType::Struct(fields) = entries.data_type()
        && let [key, value] = &fields[..]
    {
        return Ok((key, value));
    }
    Err(Error::internal(format!("{t} is no MAP")))
}

fn element_type(t: &Typing<'_>) -> Result<DataType> {
    element_of(&t.types[0]).cloned()
}
fn array_type(t: &Typing<'_>) -> Result<DataType> {
    Ok(list_of(t.types.first().cloned().unwrap_or(DataType::Null)))
}
fn map_type(t: &Typing<'_>) -> Result<DataType> {
    let of = |i: usize| t.types.get(i).cloned().unwrap_or(DataType::Null);
    Ok(map_of(of(0), of(1)))
}
fn row_type(t: &Typing<'_>) -> Result<DataType> {
    let fields = t.types.iter().enumerate().map(|(i, t)| Field::new(format!("EXPR${i}"), t.clone(), true));
    Ok(DataType::Struct(fields.collect()))
}
fn keys_type(t: &Typing<'_>) -> Result<DataType> {
    Ok(list_of(entry_fields(&t.types[0])?.0.data_type().clone()))
}
fn values_type(t: &Typing<'_>) -> Result<DataType> {
    Ok(list_of(entry_fields(&t.types[0])?.1.data_type().clone()))
}
fn entries_type(t: &Typing<'_>) -> Result<DataType> {
    let (key, value) = entry_fields(&t.types[0])?;
    let fields = vec![
        Field::new("key", key.data_type().clone(), true),
        Field::new("value", value.data_type().clone(), true),
    ];
    Ok(list_of(DataType::Struct(fields.into())))
}
fn from_arrays_type(t: &Typing<'_>) -> Result<DataType> {
    Ok(map_of(element_of(&t.types[0])?.clone(), element_of(&t.types[1])?.clone()))
}
fn item_type(t: &Typing<'_>) -> Result<DataType> {
    match &t.types[0] {
        DataType::List(f) => {
            if let Some(i) = t.int(1)
                && i < 1
            {
                return Err(
                    Error::plan("elements of an ARRAY are counted from 1").with_detail(format!("got {i}"))
                );
            }
            Ok(f.data_type().clone())
        }
        other => Ok(entry_fields(other)?.1.data_type().clone()),
    }
}

fn all_alike(types: &[DataType]) -> Result<Vec<DataType>> {
    if types.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![common_type("ARRAY", types)?; types.len()])
}
fn keys_and_values(types: &[DataType]) -> Result<Vec<DataType>> {
    if types.len() % 2 == 1 {
        return Err(Error::plan("MAP takes keys and values in turn").with_hint("use MAP['key', value, ...]"));
    }
    if types.is_empty() {
        return Ok(Vec::new());
    }
    let every = |first: usize| types.iter().skip(first).step_by(2).cloned().collect::<Vec<_>>();
    let (key, value) = (common_type("MAP", &every(0))?, common_type("MAP", &every(1))?);
    Ok((0..types.len()).map(|i| if i % 2 == 0 { key.clone() } else { value.clone() }).collect())
}
fn index(types: &[DataType]) -> Result<Vec<DataType>> {
    let key = match &types[0] {
        DataType::List(_) if types[1].is_integer() || types[1] == DataType::Null => types[1].clone(),
        DataType::List(_) => return Err(Error::plan("elements of an ARRAY are chosen by an integer")),
        other => entry_fields(other)?.0.data_type().clone(),
    };
    Ok(vec![types[0].clone(), key])
}
fn list_and_element(types: &[DataType]) -> Result<Vec<DataType>> {
    let t = common_type("the ARRAY and the element", &[element_of(&types[0])?.clone(), types[1].clone()])?;
    Ok(vec![list_of(t.clone()), t])
}
fn lists_alike(types: &[DataType]) -> Result<Vec<DataType>> {
    let elements = types.iter().map(|t| element_of(t).cloned()).collect::<Result<Vec<_>>>()?;
    Ok(vec![list_of(common_type("the ARRAYs", &elements)?); types.len()])
}
fn maps_alike(types: &[DataType]) -> Result<Vec<DataType>> {
    let mut keys = Vec::new();
    let mut values = Vec::new();
    for t in types {
        let (key, value) = entry_fields(t)?;
        keys.push(key.data_type().clone());
        values.push(value.data_type().clone());
    }
    Ok(vec![map_of(common_type("the MAPs", &keys)?, common_type("the MAPs", &values)?); types.len()])
}

/// Rows of arrow's row format for the values, comparable across calls with the same options.
fn rows(values: &ArrayRef) -> Result<Rows> {
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
    Ok(converter.convert_columns(std::slice::from_ref(values))?)
}

/// The elements of one row of every ARRAY argument, as positions in one column.
struct Elements<'a> {
    ranges: &'a [std::ops::Range<u32>],
    rows: &'a Rows,
    values: &'a ArrayRef,
}

impl Elements<'_> {
    fn of(&self, argument: usize) -> std::ops::Range<u32> {
        self.ranges[argument].clone()
    }
    fn key(&self, position: u32) -> arrow::row::Row<'_> {
        self.rows.row(position as usize)
    }
    fn null(&self, position: u32) -> bool {
        self.values.is_null(position as usize)
    }
}

/// All elements of the ARRAY arguments `0..lists` in one column, then single values of the other arguments.
struct Pool {
    values: ArrayRef,
    rows: Rows,
    bases: Vec<u32>,
}

fn pool(c: &Call<'_>, lists: usize, singles: std::ops::Range<usize>) -> Result<Pool> {
    let mut parts: Vec<ArrayRef> = Vec::new();
    let mut bases = Vec::new();
    let mut total = 0_usize;
    for i in (0..lists).chain(singles) {
        let part =
            if i < lists { Arc::clone(c.list(i)?.array.values()) } else { Arc::clone(&c.args[i].array) };
        bases.push(u32::try_from(total).map_err(|_| Error::execution("the ARRAYs of a batch are too long"))?);
        total += part.len();
        parts.push(part);
    }
    u32::try_from(total).map_err(|_| Error::execution("the ARRAYs of a batch are too long"))?;
    let references: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    let values = concat(&references)?;
    let rows = rows(&values)?;
    Ok(Pool { values, rows, bases })
}

impl Pool {
    fn ranges(&self, c: &Call<'_>, lists: usize, row: usize) -> Result<Option<Vec<std::ops::Range<u32>>>> {
        let mut ranges = Vec::with_capacity(lists);
        for i in 0..lists {
            let list = c.list(i)?;
            let at = some!(list.at(row));
            let offsets = list.array.value_offsets();
            ranges.push(self.bases[i] + offsets[at] as u32..self.bases[i] + offsets[at + 1] as u32);
        }
        Ok(Some(ranges))
    }
}

/// Builds the result of `take`n positions per row.
struct Chosen {
    positions: Vec<u32>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
}

impl Chosen {
    fn new(rows: usize) -> Self {
        Self { positions: Vec::new(), offsets: vec![0], valid: Vec::with_capacity(rows) }
    }
    fn end(&mut self, valid: bool) -> Result<()> {
        let end = i32::try_from(self.positions.len())
            .map_err(|_| Error::execution("the ARRAYs of a batch are too long"))?;
        self.offsets.push(end);
        self.valid.push(valid);
        Ok(())
    }
    fn list(self, values: &ArrayRef, returns: &DataType) -> Result<ArrayRef> {
        let DataType::List(field) = returns else { return Err(Error::internal("the result is no ARRAY")) };
        let values = take(values, &UInt32Array::from(self.positions), None)?;
        let offsets = OffsetBuffer::new(self.offsets.into());
        Ok(Arc::new(ListArray::try_new(field.clone(), offsets, values, Some(NullBuffer::from(self.valid)))?))
    }
}

/// An ARRAY of chosen elements of the first `lists` arguments; NULL if one of them is NULL.
fn choose(c: &Call<'_>, lists: usize, mut f: impl FnMut(&Elements<'_>, &mut Vec<u32>)) -> Result<ArrayRef> {
    let pool = pool(c, lists, 0..0)?;
    let mut chosen = Chosen::new(c.rows);
    for row in 0..c.rows {
        let ranges = pool.ranges(c, lists, row)?;
        let valid = ranges.is_some();
        if let Some(ranges) = ranges {
            f(&Elements { ranges: &ranges, rows: &pool.rows, values: &pool.values }, &mut chosen.positions);
        }
        chosen.end(valid)?;
    }
    chosen.list(&pool.values, c.returns)
}

/// The same with one element as second argument; `single` is its position.
fn choose_with(c: &Call<'_>, mut f: impl FnMut(&Elements<'_>, u32, &mut Vec<u32>)) -> Result<ArrayRef> {
    let pool = pool(c, 1, 1..2)?;
    let mut chosen = Chosen::new(c.rows);
    for row in 0..c.rows {
        let ranges = pool.ranges(c, 1, row)?;
        let valid = ranges.is_some();
        if let Some(ranges) = ranges {
            let single = pool.bases[1] + (row * c.args[1].step) as u32;
            f(
                &Elements { ranges: &ranges, rows: &pool.rows, values: &pool.values },
                single,
                &mut chosen.positions,
            );
        }
        chosen.end(valid)?;
    }
    chosen.list(&pool.values, c.returns)
}

fn array(c: &Call<'_>) -> Result<ArrayRef> {
    let DataType::List(field) = c.returns else { return Err(Error::internal("ARRAY's type")) };
    let n = c.args.len();
    if n == 0 {
        let values = new_null_array(field.data_type(), 0);
        let offsets = OffsetBuffer::new(vec![0; c.rows + 1].into());
        return Ok(Arc::new(ListArray::try_new(field.clone(), offsets, values, None)?));
    }
    let arrays: Vec<&dyn Array> = c.args.iter().map(|a| a.array.as_ref()).collect();
    let indices: Vec<(usize, usize)> =
        (0..c.rows).flat_map(|row| c.args.iter().enumerate().map(move |(i, a)| (i, row * a.step))).collect();
    let values = arrow::compute::interleave(&arrays, &indices)?;
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(n, c.rows));
    Ok(Arc::new(ListArray::try_new(field.clone(), offsets, values, None)?))
}

/// A MAP from entries in order; a later key replaces the value of an earlier one.
fn build_map(
    returns: &DataType,
    keys: &ArrayRef,
    values: &ArrayRef,
    entries: impl Iterator<Item = Option<Vec<(u32, u32)>>>,
) -> Result<ArrayRef> {
    let (key_field, value_field) = entry_fields(returns)?;
    let DataType::Map(entry_field, _) = returns else { return Err(Error::internal("MAP's type")) };
    let rows = rows(keys)?;
    let (mut key_at, mut value_at) = (Vec::new(), Vec::new());
    let (mut offsets, mut valid) = (vec![0_i32], Vec::new());
    for row in entries {
        valid.push(row.is_some());
        let mut seen: HashMap<arrow::row::Row<'_>, usize> = HashMap::new();
        for (k, v) in row.into_iter().flatten() {
            if keys.is_null(k as usize) {
                return Err(Error::execution("the key of a MAP is NULL"));
            }
            match seen.get(&rows.row(k as usize)) {
                Some(at) => {
                    let at: usize = *at;
                    value_at[at] = v;
                }
                None => {
                    seen.insert(rows.row(k as usize), key_at.len());
                    key_at.push(k);
                    value_at.push(v);
                }
            }
        }
        offsets.push(
            i32::try_from(key_at.len()).map_err(|_| Error::execution("the MAPs of a batch are too long"))?,
        );
    }
    let columns = vec![
        take(keys, &UInt32Array::from(key_at), None)?,
        take(values, &UInt32Array::from(value_at), None)?,
    ];
    let fields = Fields::from(vec![key_field.clone(), value_field.clone()]);
    let entries = StructArray::try_new(fields, columns, None)?;
    let nulls = Some(NullBuffer::from(valid)).filter(|n| n.null_count() > 0);
    Ok(Arc::new(MapArray::try_new(
        entry_field.clone(),
        OffsetBuffer::new(offsets.into()),
        entries,
        nulls,
        false,
    )?))
}

fn map(c: &Call<'_>) -> Result<ArrayRef> {
    let side = |first: usize| -> Result<(ArrayRef, Vec<(u32, usize)>)> {
        let args: Vec<_> = c.args.iter().skip(first).step_by(2).collect();
        let mut bases = Vec::new();
        let mut total = 0_u32;
        for a in &args {
            bases.push((total, a.step));
            total += a.array.len() as u32;
        }
        let arrays: Vec<&dyn Array> = args.iter().map(|a| a.array.as_ref()).collect();
        let (key, value) = entry_fields(c.returns)?;
        let empty = || new_null_array(if first == 0 { key.data_type() } else { value.data_type() }, 0);
        Ok((if arrays.is_empty() { empty() } else { concat(&arrays)? }, bases))
    };
    let (keys, key_bases) = side(0)?;
    let (values, value_bases) = side(1)?;
    let at = |(base, step): (u32, usize), row: usize| base + (row * step) as u32;
    build_map(
        c.returns,
        &keys,
        &values,
        (0..c.rows).map(|row| {
            Some(key_bases.iter().zip(&value_bases).map(|(k, v)| (at(*k, row), at(*v, row))).collect())
        }),
    )
}

fn row(c: &Call<'_>) -> Result<ArrayRef> {
    let DataType::Struct(fields) = c.returns else { return Err(Error::internal("ROW's type")) };
    let columns = (0..c.args.len()).map(|i| c.column(i)).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?))
}

/// `array[i]` and `map[key]`; NULL if there is no such element.
fn at(c: &Call<'_>) -> Result<ArrayRef> {
    if let DataType::List(_) = c.kind(0) {
        let list = c.list(0)?;
        let index = arrow::compute::cast(&c.args[1].array, &DataType::Int64)?;
        let index = Values { array: index.as_primitive::<Int64Type>(), step: c.args[1].step };
        let offsets = list.array.value_offsets();
        let positions: UInt32Array = (0..c.rows)
            .map(|row| {
                let (at, i) = (list.at(row)?, index.get(row)?);
                let position = i64::from(offsets[at]).checked_add(i.checked_sub(1)?)?;
                (i >= 1 && position < i64::from(offsets[at + 1])).then_some(position as u32)
            })
            .collect();
        return Ok(take(list.array.values(), &positions, None)?);
    }
    let map = c.map(0)?;
    let wanted = &c.args[1];
    let converter = RowConverter::new(vec![SortField::new(map.array.keys().data_type().clone())])?;
    let keys = converter.convert_columns(std::slice::from_ref(map.array.keys()))?;
    let sought = converter.convert_columns(std::slice::from_ref(&wanted.array))?;
    let offsets = map.array.value_offsets();
    let positions: UInt32Array = (0..c.rows)
        .map(|row| {
            let at = map.at(row)?;
            let key = sought.row(row * wanted.step);
            (offsets[at]..offsets[at + 1]).find(|i| keys.row(*i as usize) == key).map(|i| i as u32)
        })
        .collect();
    Ok(take(map.array.values(), &positions, None)?)
}

fn lengths<'c>(c: &'c Call<'_>) -> Result<impl Fn(usize) -> Option<i32> + use<'c>> {
    let arg = &c.args[0];
    let (offsets, nulls) = match c.kind(0) {
        DataType::List(_) => (c.list(0)?.array.value_offsets(), c.list(0)?.array.nulls()),
        _ => (c.map(0)?.array.value_offsets(), c.map(0)?.array.nulls()),
    };
    Ok(move |row: usize| {
        let i = row * arg.step;
        (!nulls.is_some_and(|n| n.is_null(i))).then(|| offsets[i + 1] - offsets[i])
    })
}

fn cardinality(c: &Call<'_>) -> Result<ArrayRef> {
    let length = lengths(c)?;
    c.numbers::<Int32Type>(|row| Ok(length(row)))
}

fn element(c: &Call<'_>) -> Result<ArrayRef> {
    let (list, length) = (c.list(0)?, lengths(c)?);
    let mut positions = Vec::with_capacity(c.rows);
    for row in 0..c.rows {
        positions.push(match length(row) {
            None | Some(0) => None,
            Some(1) => list.at(row).map(|at| list.array.value_offsets()[at] as u32),
            Some(n) => {
                return Err(Error::execution("ELEMENT takes an ARRAY of one element")
                    .with_detail(format!("it has {n}")));
            }
        });
    }
    Ok(take(list.array.values(), &UInt32Array::from(positions), None)?)
}

/// Where the second argument is found first in the first: `None` for a NULL ARRAY.
fn found(c: &Call<'_>) -> Result<Vec<Option<Option<u32>>>> {
    let pool = pool(c, 1, 1..2)?;
    (0..c.rows)
        .map(|row| {
            let Some(ranges) = pool.ranges(c, 1, row)? else { return Ok(None) };
            let single = pool.rows.row(pool.bases[1] as usize + row * c.args[1].step);
            let range = ranges[0].clone();
            let start = range.start;
            Ok(Some(range.into_iter().find(|i| pool.rows.row(*i as usize) == single).map(|i| i - start)))
        })
        .collect()
}

fn contains(c: &Call<'_>) -> Result<ArrayRef> {
    let found = found(c)?;
    c.booleans(|row| Ok(found[row].map(|f| f.is_some())))
}

fn position(c: &Call<'_>) -> Result<ArrayRef> {
    let found = found(c)?;
    let sought = &c.args[1];
    c.numbers::<Int32Type>(|row| {
        if sought.array.is_null(row * sought.step) {
            return Ok(None);
        }
        Ok(found[row].map(|f| f.map_or(0, |i| i as i32 + 1)))
    })
}

fn append(c: &Call<'_>) -> Result<ArrayRef> {
    choose_with(c, |e, single, out| {
        out.extend(e.of(0));
        out.push(single);
    })
}
fn prepend(c: &Call<'_>) -> Result<ArrayRef> {
    choose_with(c, |e, single, out| {
        out.push(single);
        out.extend(e.of(0));
    })
}
fn remove(c: &Call<'_>) -> Result<ArrayRef> {
    choose_with(c, |e, single, out| out.extend(e.of(0).filter(|i| e.key(*i) != e.key(single))))
}

fn distinct(c: &Call<'_>) -> Result<ArrayRef> {
    choose(c, 1, |e, out| {
        let mut seen = HashSet::new();
        out.extend(e.of(0).filter(|i| seen.insert(e.key(*i))));
    })
}
fn union(c: &Call<'_>) -> Result<ArrayRef> {
    choose(c, 2, |e, out| {
        let mut seen = HashSet::new();
        out.extend(e.of(0).chain(e.of(1)).filter(|i| seen.insert(e.key(*i))));
    })
}
fn except(c: &Call<'_>) -> Result<ArrayRef> {
    choose(c, 2, |e, out| {
        let mut seen: HashSet<_> = e.of(1).map(|i| e.key(i)).collect();
        out.extend(e.of(0).filter(|i| seen.insert(e.key(*i))));
    })
}
fn intersect(c: &Call<'_>) -> Result<ArrayRef> {
    choose(c, 2, |e, out| {
        let mut wanted: HashSet<_> = e.of(1).map(|i| e.key(i)).collect();
        out.extend(e.of(0).filter(|i| wanted.remove(&e.key(*i))));
    })
}
fn array_concat(c: &Call<'_>) -> Result<ArrayRef> {
    let n = c.args.len();
    choose(c, n, |e, out| out.extend((0..n).flat_map(|i| e.of(i))))
}

fn slice(c: &Call<'_>) -> Result<ArrayRef> {
    let start = c.int(1)?;
    let end = if c.has(2) { Some(c.int(2)?) } else { None };
    let pool = pool(c, 1, 0..0)?;
    let mut chosen = Chosen::new(c.rows);
    for row in 0..c.rows {
        let end = match &end {
            Some(e) => e.get(row),
            None => Some(i64::MAX),
        };
        let (Some(ranges), Some(start), Some(end)) = (pool.ranges(c, 1, row)?, start.get(row), end) else {
            chosen.end(false)?;
            continue;
        };
        let range = ranges[0].clone();
        let n = range.len() as i64;
        // From 1; from the end if negative; 0 is 1; what is outside is cut off.
        let place = |p: i64| match p {
            ..0 => n.saturating_add(p).saturating_add(1),
            0 => 1,
            _ => p,
        };
        let (first, last) = (place(start).max(1), place(end).min(n));
        if first <= last {
            chosen.positions.extend(range.start + first as u32 - 1..range.start + last as u32);
        }
        chosen.end(true)?;
    }
    chosen.list(&pool.values, c.returns)
}

fn sort(c: &Call<'_>) -> Result<ArrayRef> {
    let ascending = if c.has(1) { Some(c.boolean(1)?) } else { None };
    let nulls = if c.has(2) { Some(c.boolean(2)?) } else { None };
    let pool = pool(c, 1, 0..0)?;
    let mut chosen = Chosen::new(c.rows);
    for row in 0..c.rows {
        let ascending = match &ascending {
            Some(a) => a.get(row),
            None => Some(true),
        };
        // NULLs stand first when ascending, last when descending, unless it is said.
        let nulls_first = match &nulls {
            Some(n) => n.get(row),
            None => ascending,
        };
        let (Some(ranges), Some(ascending), Some(nulls_first)) =
            (pool.ranges(c, 1, row)?, ascending, nulls_first)
        else {
            chosen.end(false)?;
            continue;
        };
        let e = Elements { ranges: &ranges, rows: &pool.rows, values: &pool.values };
        let start = chosen.positions.len();
        chosen.positions.extend(e.of(0));
        chosen.positions[start..].sort_by(|a, b| {
            let null = e.null(*b).cmp(&e.null(*a));
            let null = if nulls_first { null } else { null.reverse() };
            let value = e.key(*a).cmp(&e.key(*b));
            null.then(if ascending { value } else { value.reverse() })
        });
        chosen.end(true)?;
    }
    chosen.list(&pool.values, c.returns)
}

/// The greatest or least element, NULLs aside.
fn extreme(c: &Call<'_>, greatest: bool) -> Result<ArrayRef> {
    let pool = pool(c, 1, 0..0)?;
    let mut positions = Vec::with_capacity(c.rows);
    for row in 0..c.rows {
        let range = pool.ranges(c, 1, row)?.map(|r| r[0].clone());
        let present = range.into_iter().flatten().filter(|i| !pool.values.is_null(*i as usize));
        let key = |i: &u32| pool.rows.row(*i as usize);
        positions.push(if greatest {
            present.max_by(|a, b| key(a).cmp(&key(b)))
        } else {
            present.min_by(|a, b| key(a).cmp(&key(b)))
        });
    }
    Ok(take(&pool.values, &UInt32Array::from(positions), None)?)
}

fn join(c: &Call<'_>) -> Result<ArrayRef> {
    let (list, separator) = (c.list(0)?, c.text(1)?);
    let instead = if c.has(2) { Some(c.text(2)?) } else { None };
    let values = match list.array.values().data_type() {
        DataType::Utf8View => Arc::clone(list.array.values()),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Null => {
            arrow::compute::cast(list.array.values(), &DataType::Utf8View)?
        }
        _ => return Err(Error::plan("ARRAY_JOIN takes an ARRAY of STRING")),
    };
    let values: &StringViewArray = values.as_string_view();
    c.texts(|row, out| {
        let (at, separator) = (some!(list.at(row)), some!(separator.get(row)));
        let instead = match &instead {
            Some(i) => Some(some!(i.get(row))),
            None => None,
        };
        let offsets = list.array.value_offsets();
        let mut first = true;
        for i in offsets[at] as usize..offsets[at + 1] as usize {
            let value = if values.is_null(i) { instead } else { Some(values.value(i)) };
            let Some(value) = value else { continue };
            if !std::mem::take(&mut first) {
                out.push_str(separator);
            }
            out.push_str(value);
        }
        Ok(Some(()))
    })
}

/// Keys, values, or both as rows.
/// The values of a MULTISET, each as often as it is there.
fn repeated(c: &Call<'_>) -> Result<ArrayRef> {
    let column = c.column(0)?;
    let map = column.as_map();
    let DataType::List(field) = c.returns else { return Err(Error::internal("the result is no ARRAY")) };
    let counts = map.values().as_primitive_opt::<Int32Type>();
    let counts = counts.ok_or_else(|| Error::internal("a MULTISET whose counts are not INT"))?;
    let mut positions: Vec<u32> = Vec::with_capacity(counts.len());
    let mut lengths = Vec::with_capacity(map.len());
    for (row, bounds) in map.value_offsets().windows(2).enumerate() {
        let before = positions.len();
        for i in (bounds[0]..bounds[1]).filter(|_| map.is_valid(row)) {
            let times = if counts.is_valid(i as usize) { counts.value(i as usize).max(0) } else { 0 };
            positions.extend(std::iter::repeat_n(i as u32, times as usize));
        }
        lengths.push(positions.len() - before);
    }
    let values = take(map.keys(), &UInt32Array::from(positions), None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(field.clone(), offsets, values, map.nulls().cloned())?))
}

fn entries(c: &Call<'_>, side: Option<usize>) -> Result<ArrayRef> {
    let column = c.column(0)?;
    let map = column.as_map();
    let DataType::List(field) = c.returns else { return Err(Error::internal("the result is no ARRAY")) };
    let values: ArrayRef = match (side, field.data_type()) {
        (Some(side), _) => Arc::clone(map.entries().column(side)),
        (None, DataType::Struct(fields)) => {
            Arc::new(StructArray::try_new(fields.clone(), map.entries().columns().to_vec(), None)?)
        }
        (None, _) => return Err(Error::internal("MAP_ENTRIES' type")),
    };
    Ok(Arc::new(ListArray::try_new(field.clone(), map.offsets().clone(), values, map.nulls().cloned())?))
}

fn from_arrays(c: &Call<'_>) -> Result<ArrayRef> {
    let (keys, values) = (c.list(0)?, c.list(1)?);
    let mut rows = Vec::with_capacity(c.rows);
    for row in 0..c.rows {
        let (Some(k), Some(v)) = (keys.at(row), values.at(row)) else {
            rows.push(None);
            continue;
        };
        let (ko, vo) = (keys.array.value_offsets(), values.array.value_offsets());
        let (ks, vs) = (ko[k] as u32..ko[k + 1] as u32, vo[v] as u32..vo[v + 1] as u32);
        if ks.len() != vs.len() {
            return Err(Error::execution("MAP_FROM_ARRAYS takes as many values as keys")
                .with_detail(format!("{} keys, {} values", ks.len(), vs.len())));
        }
        rows.push(Some(ks.zip(vs).collect()));
    }
    build_map(c.returns, keys.array.values(), values.array.values(), rows.into_iter())
}

fn map_union(c: &Call<'_>) -> Result<ArrayRef> {
    let maps = (0..c.args.len()).map(|i| c.map(i)).collect::<Result<Vec<_>>>()?;
    let mut bases = Vec::new();
    let mut total = 0_u32;
    for map in &maps {
        bases.push(total);
        total += map.array.entries().len() as u32;
    }
    let side = |side: usize| -> Result<ArrayRef> {
        let parts: Vec<&dyn Array> = maps.iter().map(|m| m.array.entries().column(side).as_ref()).collect();
        Ok(concat(&parts)?)
    };
    let rows = (0..c.rows).map(|row| {
        let mut all = Vec::new();
        for (map, base) in maps.iter().zip(&bases) {
            let at = map.at(row)?;
            let offsets = map.array.value_offsets();
            all.push((offsets[at] as u32..offsets[at + 1] as u32).map(move |i| (base + i, base + i)));
        }
        // The entries of the last MAP come first, as in Flink, and its values are those that count.
        let keys = all.clone().into_iter().rev().flatten();
        Some(keys.chain(all.into_iter().flatten()).collect())
    });
    build_map(c.returns, &side(0)?, &side(1)?, rows)
}
