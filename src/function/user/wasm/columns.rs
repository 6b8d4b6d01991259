//! Functions of columns: the module gets the arguments as Arrow's buffers, and gives a column back.
//!
//! ```text
//!  place = affluent_alloc(size)          the engine writes there:   rows │ column │ column │ ...
//!  answer = f(place)                     the engine reads there:    size of what follows │
//!                                        failed rows │ (row │ length │ text) ... │ column
//!  affluent_reset()                      if it is exported: nothing of this call is read any more
//! ```
//! Numbers of this frame have 8 bytes, columns are those of [`frames`](super::super::frames), all of it little-endian, and
//! each part begins on a multiple of 8. A call that fails is made again for its halves, until the row stands alone that
//! fails.

use std::ops::Range;

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::DataType;
use wasmtime::{ExternType, FuncType, Module, ValType};

use super::instance::{Failed, Functions, Instance};
use super::{ALLOC, Library, Parts, RESET};
use crate::error::{Error, Result};
use crate::function::user::frames::{self, Reader};

/// Checks that a module has what functions of columns need.
pub(super) fn check(module: &Module, export: &str, signature: &FuncType) -> Result<()> {
    let place = |signature: &FuncType| {
        let one = |mut kinds: Box<dyn Iterator<Item = ValType> + '_>| {
            matches!(kinds.next(), Some(ValType::I32)) && kinds.next().is_none()
        };
        one(Box::new(signature.params())) && one(Box::new(signature.results()))
    };
    for (name, signature) in [(export, signature.clone())].into_iter().chain(
        module.exports().filter(|e| e.name() == ALLOC).filter_map(|e| match e.ty() {
            ExternType::Func(signature) => Some((ALLOC, signature)),
            _ => None,
        }),
    ) {
        if !place(&signature) {
            return Err(Error::plan(format!("the export '{name}' is not (i32) -> (i32)")).with_hint(
                format!(
                    "a module that exports {ALLOC} has functions that take and return a place in its memory"
                ),
            ));
        }
    }
    let reset = module.exports().find(|e| e.name() == RESET).map(|e| e.ty());
    if let Some(reset) = reset
        && !matches!(&reset, ExternType::Func(f) if f.params().len() == 0 && f.results().len() == 0)
    {
        return Err(Error::plan(format!("the export '{RESET}' is not () -> ()")));
    }
    match module.exports().find(|e| e.name() == "memory").map(|e| e.ty()) {
        Some(ExternType::Memory(memory)) if !memory.is_64() && !memory.is_shared() => Ok(()),
        _ => Err(Error::plan("the module exports no 'memory'")
            .with_hint("in the text form: (memory (export \"memory\") 1)")),
    }
}

/// Calls the function.
pub(super) fn call(
    library: &Library,
    arguments: &[ArrayRef],
    rows: usize,
) -> Result<(ArrayRef, Vec<(usize, String)>)> {
    let wanted = library.returns.to_arrow("UTC");
    let mut parts = Parts::default();
    let mut fewer = usize::MAX;
    library.calls(rows, |instance, range| {
        let range = range.start..range.end.min(range.start.saturating_add(fewer));
        match once(instance, arguments, &range, &wanted)? {
            Ok((column, failures)) => {
                let failures = failures.into_iter().map(|(row, why)| (range.start + row, why));
                parts.push(column, failures);
                fewer = fewer.saturating_mul(2);
                library.pace.was_good();
                Ok(range.end)
            }
            Err(failed) if range.len() == 1 => {
                parts.push(new_null_array(&wanted, 1), [(range.start, failed.why)]);
                fewer = fewer.saturating_mul(2);
                Ok(range.end)
            }
            Err(failed) => {
                if failed.late {
                    library.pace.was_late(range.len());
                }
                fewer = range.len() / 2;
                Ok(range.start)
            }
        }
    })?;
    parts.finish(&wanted, rows)
}

type Answer = std::result::Result<(ArrayRef, Vec<(usize, String)>), Failed>;

/// One call for a range of rows.
fn once(
    instance: &mut Instance,
    arguments: &[ArrayRef],
    range: &Range<usize>,
    wanted: &DataType,
) -> Result<Answer> {
    let mut payload = Vec::new();
    frames::write_number(&mut payload, range.len());
    for argument in arguments {
        frames::write(&mut payload, argument.slice(range.start, range.len()).as_ref())?;
    }
    let size = i32::try_from(payload.len())
        .map_err(|_| Error::execution("the arguments of a call are larger than 2 GB"))?;
    let outside = || wasmtime::Error::msg("affluent_alloc gave a place outside of the memory");
    let answer = instance.run(|store, functions| {
        let Functions::Columns { alloc, function, memory, .. } = functions else {
            return Err(wasmtime::Error::msg("a function of numbers as one of columns"));
        };
        let place = alloc.call(&mut *store, size)? as u32 as usize;
        let to = place.checked_add(payload.len()).and_then(|end| {
            let data = memory.data_mut(&mut *store);
            data.get_mut(place..end)
        });
        to.filter(|_| place != 0).ok_or_else(outside)?.copy_from_slice(&payload);
        function.call(store, place as u32 as i32)
    });
    let place = match answer {
        Ok(place) => place as u32 as usize,
        Err(failed) => return Ok(Err(failed)),
    };
    let Functions::Columns { memory, reset, .. } = &instance.functions else {
        return Err(Error::internal("a function of numbers as one of columns"));
    };
    let reset = *reset;
    let read = read(memory.data(&instance.store), place, range.len(), wanted);
    if let Some(reset) = reset
        && let Err(failed) = instance.run(|store, _| reset.call(store, &[], &mut []))
    {
        return Ok(Err(failed));
    }
    Ok(read.map_err(|e| {
        let why = format!("its answer cannot be read: {}", e.message());
        Failed { why, late: false }
    }))
}

/// The answer at a place of the memory.
fn read(
    memory: &[u8],
    place: usize,
    rows: usize,
    wanted: &DataType,
) -> Result<(ArrayRef, Vec<(usize, String)>)> {
    let outside = || Error::decode("it is not within the memory");
    if place == 0 {
        return Err(Error::decode("the function returned 0 instead of a place"));
    }
    let size = memory.get(place..).and_then(|m| m.get(..8)).and_then(|b| b.try_into().ok());
    let size = usize::try_from(u64::from_le_bytes(size.ok_or_else(outside)?)).map_err(|_| outside())?;
    let bytes = memory.get(place + 8..).and_then(|m| m.get(..size)).ok_or_else(outside)?;
    let mut reader = Reader::new(bytes);
    let count = reader.number()?;
    if count > rows {
        return Err(Error::decode(format!("{count} of {rows} rows failed")));
    }
    let mut failures = Vec::with_capacity(count);
    for _ in 0..count {
        let row = reader.number()?;
        let text = String::from_utf8_lossy(reader.bytes()?).chars().take(500).collect::<String>();
        if row >= rows {
            return Err(Error::decode(format!("row {row} of {rows} failed")));
        }
        failures.push((row, text));
    }
    Ok((reader.column(wanted, rows)?, failures))
}
