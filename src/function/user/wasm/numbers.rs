//! Functions of numbers: `f(i64, f64) -> f64`, called for each row.
//!
//! The loop over the rows is a module of its own, made for the function's signature, so that a row costs a call inside of
//! WebAssembly and not one across its border:
//!
//! ```text
//!  memory of the loop:   0: the row that runs │ arguments, a column after the other │ results
//!  run(from, to)         for each row: load the arguments, call f, store the result
//! ```
//! A row that fails ends the loop; the first word says which it was, and a new instance goes on after it.

use std::fmt::Write as _;
use std::ops::Range;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, BooleanArray, Int8Array, Int16Array, make_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use wasmtime::{FuncType, Module, ValType};

use super::instance::{Functions, Instance, engine};
use super::{Contract, Library, Parts, ROWS};
use crate::error::{Error, Result};
use crate::function::user::Returns;
use crate::sql::SqlType;

/// How a type of SQL travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// BOOLEAN: 0 and 1.
    Bool,
    /// TINYINT.
    Byte,
    /// SMALLINT.
    Short,
    /// INT; DATE in days since 1970.
    Int,
    /// TIME, in milliseconds of the day.
    Time,
    /// BIGINT; TIMESTAMP and TIMESTAMP_LTZ in units of their precision since 1970.
    Long,
    /// FLOAT.
    Float,
    /// DOUBLE.
    Double,
}

const DAY: i32 = 86_400_000;

impl Number {
    fn of(sql: &SqlType) -> Option<Self> {
        Some(match sql.to_arrow("UTC") {
            DataType::Boolean => Self::Bool,
            DataType::Int8 => Self::Byte,
            DataType::Int16 => Self::Short,
            DataType::Int32 | DataType::Date32 => Self::Int,
            DataType::Time32(TimeUnit::Millisecond) => Self::Time,
            DataType::Int64 | DataType::Timestamp(..) => Self::Long,
            DataType::Float32 => Self::Float,
            DataType::Float64 => Self::Double,
            _ => return None,
        })
    }

    /// Its type in WebAssembly.
    fn wasm(self) -> &'static str {
        match self {
            Self::Bool | Self::Byte | Self::Short | Self::Int | Self::Time => "i32",
            Self::Long => "i64",
            Self::Float => "f32",
            Self::Double => "f64",
        }
    }

    /// Bytes of a value as an argument.
    fn width(self) -> usize {
        match self {
            Self::Bool | Self::Byte => 1,
            Self::Short => 2,
            Self::Int | Self::Time | Self::Float => 4,
            Self::Long | Self::Double => 8,
        }
    }

    /// Bytes of a value as a result: it is checked out here.
    fn result_width(self) -> usize {
        self.width().max(4)
    }

    fn load(self) -> &'static str {
        match self {
            Self::Bool => "i32.load8_u",
            Self::Byte => "i32.load8_s",
            Self::Short => "i32.load16_s",
            Self::Int | Self::Time => "i32.load",
            Self::Long => "i64.load",
            Self::Float => "f32.load",
            Self::Double => "f64.load",
        }
    }
}

fn shown(kind: &ValType) -> &'static str {
    match kind {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        ValType::F32 => "f32",
        ValType::F64 => "f64",
        ValType::V128 => "v128",
        ValType::Ref(_) => "a reference",
    }
}

/// Checks that an export is of the declared types.
pub(super) fn contract(
    export: &str,
    signature: &FuncType,
    parameters: &[SqlType],
    returns: &Returns,
) -> Result<Contract> {
    let number = |sql: &SqlType| {
        Number::of(sql).ok_or_else(|| {
            Error::unsupported(format!("a WASM function of numbers takes and returns no {sql}")).with_hint(format!(
                "BOOLEAN, whole numbers, FLOAT, DOUBLE and times are numbers; a module that exports {} gets columns of any type",
                super::ALLOC
            ))
        })
    };
    let arguments = parameters.iter().map(number).collect::<Result<Vec<_>>>()?;
    let result = match returns {
        Returns::Value(sql) => number(sql)?,
        Returns::Rows(_) => {
            return Err(Error::unsupported("a WASM function of numbers returns no rows").with_hint(format!(
                "a module that exports {} gets columns and returns arrays of rows",
                super::ALLOC
            )));
        }
    };
    let has: Vec<&str> = signature.params().map(|p| shown(&p)).collect();
    let gives: Vec<&str> = signature.results().map(|r| shown(&r)).collect();
    let takes: Vec<&str> = arguments.iter().map(|a| a.wasm()).collect();
    if has != takes || gives != [result.wasm()] {
        let form = |from: &[&str], to: &[&str]| format!("({}) -> ({})", from.join(", "), to.join(", "));
        return Err(Error::plan(format!(
            "the export '{export}' is {}, the declaration needs {}",
            form(&has, &gives),
            form(&takes, &[result.wasm()])
        ))
        .with_hint(
            "BOOLEAN to INT, DATE and TIME are i32, BIGINT and TIMESTAMP i64, FLOAT f32, DOUBLE f64",
        ));
    }
    let text = around(&arguments, result);
    let broken = |what: String| Error::internal(format!("the loop over the rows: {what}"));
    let binary = super::binary(&text).map_err(|(what, ..)| broken(what))?;
    let caller = Module::new(engine()?, binary).map_err(|e| broken(e.to_string()))?;
    Ok(Contract::Numbers { arguments, result, caller })
}

/// Where columns lie in the loop's memory: those of the arguments, and that of the results.
fn places(arguments: &[Number]) -> (Vec<usize>, usize) {
    let mut next = 8;
    let mut take = |width: usize| {
        let place = next;
        next += width * ROWS;
        place
    };
    let columns = arguments.iter().map(|a| take(a.width())).collect();
    (columns, next)
}

/// The loop for a signature.
fn around(arguments: &[Number], result: Number) -> String {
    let (columns, results) = places(arguments);
    let bytes = results + result.result_width() * ROWS;
    let parameters: Vec<&str> = arguments.iter().map(|a| a.wasm()).collect();
    let mut text = format!(
        "(module\n (import \"\" \"f\" (func $f (param {}) (result {})))\n (memory (export \"memory\") {})\n",
        parameters.join(" "),
        result.wasm(),
        bytes.div_ceil(65_536)
    );
    text.push_str(
        " (func (export \"run\") (param $row i32) (param $end i32)\n  block $done loop $next\n   \
         local.get $row local.get $end i32.ge_u br_if $done\n   i32.const 0 local.get $row i32.store\n",
    );
    let at = |width: usize| format!("local.get $row i32.const {width} i32.mul");
    let _ = writeln!(text, "   {}", at(result.result_width()));
    for (argument, place) in arguments.iter().zip(&columns) {
        let _ = writeln!(text, "   {} {} offset={place}", at(argument.width()), argument.load());
    }
    let _ = writeln!(text, "   call $f\n   {}.store offset={results}", result.wasm());
    text.push_str("   local.get $row i32.const 1 i32.add local.set $row br $next\n  end end))");
    text
}

/// The bytes of a column's values.
fn bytes<'a>(array: &'a dyn Array, own: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    macro_rules! values {
        ($kind:ty) => {
            array.as_primitive::<$kind>().values().inner().as_slice()
        };
    }
    Ok(match array.data_type() {
        DataType::Boolean => {
            own.clear();
            own.extend(array.as_boolean().values().iter().map(u8::from));
            own
        }
        DataType::Int8 => values!(Int8Type),
        DataType::Int16 => values!(Int16Type),
        DataType::Int32 => values!(Int32Type),
        DataType::Int64 => values!(Int64Type),
        DataType::Float32 => values!(Float32Type),
        DataType::Float64 => values!(Float64Type),
        DataType::Date32 => values!(Date32Type),
        DataType::Time32(TimeUnit::Millisecond) => values!(Time32MillisecondType),
        DataType::Timestamp(TimeUnit::Second, _) => values!(TimestampSecondType),
        DataType::Timestamp(TimeUnit::Millisecond, _) => values!(TimestampMillisecondType),
        DataType::Timestamp(TimeUnit::Microsecond, _) => values!(TimestampMicrosecondType),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => values!(TimestampNanosecondType),
        other => return Err(Error::internal(format!("{other} as a number"))),
    })
}

/// Calls the function for rows without NULLs.
pub(super) fn call(
    library: &Library,
    (kinds, result): (&[Number], Number),
    arguments: &[ArrayRef],
    rows: usize,
) -> Result<(ArrayRef, Vec<(usize, String)>)> {
    let wanted = library.returns.to_arrow("UTC");
    let (columns, results) = places(kinds);
    let mut parts = Parts::default();
    let mut own = Vec::new();
    library.calls(rows, |instance, range| {
        write(instance, (kinds, &columns), arguments, &range, &mut own)?;
        let mut done = 0;
        let outcome = instance.run(|store, functions| match functions {
            Functions::Numbers { run, .. } => run.call(store, (0, range.len() as i32)),
            Functions::Columns { .. } => Ok(()),
        });
        let Functions::Numbers { memory, .. } = &instance.functions else {
            return Err(Error::internal("a function of columns as one of numbers"));
        };
        let memory = memory.data(&instance.store);
        let failure = match outcome {
            Ok(()) => {
                done += range.len();
                None
            }
            Err(failed) => {
                let word: [u8; 4] = memory.get(..4).and_then(|b| b.try_into().ok()).unwrap_or_default();
                done += u32::from_le_bytes(word) as usize;
                Some(failed.why)
            }
        };
        let width = result.result_width();
        let values = memory.get(results..results + done * width).unwrap_or_default();
        let (column, out) = column(result, &wanted, values, done)?;
        parts.push(column, out.into_iter().map(|(row, why)| (range.start + row, why)));
        match failure {
            None => Ok(range.end),
            Some(why) => {
                let row = range.start + done;
                parts.push(arrow::array::new_null_array(&wanted, 1), [(row, why)]);
                Ok(row + 1)
            }
        }
    })?;
    parts.finish(&wanted, rows)
}

/// Puts arguments into the memory of the loop.
fn write(
    instance: &mut Instance,
    (kinds, columns): (&[Number], &[usize]),
    arguments: &[ArrayRef],
    range: &Range<usize>,
    own: &mut Vec<u8>,
) -> Result<()> {
    let Functions::Numbers { memory, .. } = &instance.functions else {
        return Err(Error::internal("a function of columns as one of numbers"));
    };
    let data = memory.data_mut(&mut instance.store);
    for ((argument, kind), place) in arguments.iter().zip(kinds).zip(columns) {
        let part = argument.slice(range.start, range.len());
        let bytes = bytes(part.as_ref(), own)?;
        let to = data.get_mut(*place..*place + kind.width() * range.len());
        match to.filter(|to| to.len() == bytes.len()) {
            Some(to) => to.copy_from_slice(bytes),
            None => return Err(Error::internal("arguments of another width")),
        }
    }
    Ok(())
}

/// A column of what was returned, and rows whose value is none of its type.
fn column(
    kind: Number,
    wanted: &DataType,
    values: &[u8],
    rows: usize,
) -> Result<(ArrayRef, Vec<(usize, String)>)> {
    let words = || values.chunks_exact(4).map(|w| i32::from_le_bytes([w[0], w[1], w[2], w[3]]));
    let out_of = |fits: &dyn Fn(i32) -> bool, sql: &str| {
        let wrong = words().enumerate().filter(|(_, word)| !fits(*word));
        wrong.map(|(row, word)| (row, format!("returned {word}, which is not {sql}"))).collect::<Vec<_>>()
    };
    Ok(match kind {
        Number::Bool => {
            let column: BooleanArray = words().map(|w| Some(w != 0)).collect();
            (std::sync::Arc::new(column), Vec::new())
        }
        Number::Byte => {
            let column: Int8Array = words().map(|w| Some(w as i8)).collect();
            (std::sync::Arc::new(column), out_of(&|w| i8::try_from(w).is_ok(), "a TINYINT"))
        }
        Number::Short => {
            let column: Int16Array = words().map(|w| Some(w as i16)).collect();
            (std::sync::Arc::new(column), out_of(&|w| i16::try_from(w).is_ok(), "a SMALLINT"))
        }
        _ => {
            let wrong = match kind {
                Number::Time => out_of(&|w| (0..DAY).contains(&w), "a TIME"),
                _ => Vec::new(),
            };
            let data = ArrayData::builder(wanted.clone()).len(rows).add_buffer(Buffer::from(values));
            (make_array(data.build()?), wrong)
        }
    })
}
