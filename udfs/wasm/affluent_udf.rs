//! Functions in Rust for Affluent, compiled to WebAssembly. Copy this file beside your `lib.rs`:
//!
//! ```text
//! mod affluent_udf;
//!
//! affluent_udf! {
//!     fn mask(s: &str) -> Option<String> {
//!         let at = s.find('@')?;
//!         Some(format!("{}***{}", s.chars().next()?, &s[at..]))
//!     }
//! }
//! ```
//!
//! With `crate-type = ["cdylib"]` in Cargo.toml, `cargo build --release --target wasm32-unknown-unknown` makes the module, and
//! `CREATE FUNCTION mask(s STRING) RETURNS STRING LANGUAGE WASM USING FILE 'f.wasm'` the function.
//!
//! | SQL | Rust |
//! |---|---|
//! | BOOLEAN | `bool` |
//! | TINYINT, SMALLINT, INT, BIGINT | `i8`, `i16`, `i32`, `i64` |
//! | FLOAT, DOUBLE | `f32`, `f64` |
//! | DATE, TIME; TIMESTAMP | `i32`; `i64`, in units of its precision since 1970 |
//! | STRING, BYTES | `&str`, `&[u8]`; results `String`, `Vec<u8>` |
//!
//! A parameter that is an `Option` takes NULL; without one, a row with a NULL there gives NULL and is not called. A result may be
//! an `Option` (NULL), a `Result` (an error of its row), or both: `Result<Option<T>, E>`.

use std::marker::PhantomData;

/// Exports functions.
#[macro_export]
macro_rules! affluent_udf {
    ($(fn $name:ident($($argument:ident: $kind:ty),* $(,)?) -> $result:ty $body:block)*) => {
        $(const _: () = {
            #[unsafe(no_mangle)]
            pub extern "C" fn $name(place: *const u8) -> *const u8 {
                fn body($($argument: $kind),*) -> $result $body
                // Safety: the engine passes the place of a call that it wrote.
                let mut call = unsafe { $crate::affluent_udf::Call::new(place) };
                $(let $argument = <$kind as $crate::affluent_udf::Argument>::open(&mut call);)*
                $crate::affluent_udf::answer(call.rows(), |row| {
                    $(let $argument = match $argument.get(row) {
                        Some(value) => value,
                        None => return Ok(None),
                    };)*
                    let _ = row;
                    $crate::affluent_udf::Outcome::outcome(body($($argument),*))
                })
            }
        };)*
    };
}

thread_local! {
    /// What the engine wrote, and what it reads.
    static MEMORY: std::cell::RefCell<Vec<Vec<u64>>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn kept(words: Vec<u64>) -> *const u8 {
    let place = words.as_ptr().cast();
    MEMORY.with_borrow_mut(|memory| memory.push(words));
    place
}

/// A place for a call.
#[unsafe(no_mangle)]
pub extern "C" fn affluent_alloc(size: usize) -> *const u8 {
    kept(vec![0; size.div_ceil(8).max(1)])
}

/// Nothing of the last call is read any more.
#[unsafe(no_mangle)]
pub extern "C" fn affluent_reset() {
    MEMORY.with_borrow_mut(Vec::clear);
}

/// The arguments of a call.
pub struct Call<'a> {
    rows: usize,
    at: *const u8,
    memory: PhantomData<&'a [u8]>,
}

impl<'a> Call<'a> {
    /// The call at a place.
    ///
    /// # Safety
    /// The place has to hold a call as the engine writes it, which stays there for `'a`.
    pub unsafe fn new(place: *const u8) -> Self {
        let mut call = Self { rows: 0, at: place, memory: PhantomData };
        call.rows = call.number();
        call
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    fn take(&mut self, size: usize) -> &'a [u8] {
        // Safety: `new` vouches for what the engine wrote, and this reads it in its order.
        let bytes = unsafe { std::slice::from_raw_parts(self.at, size) };
        self.at = unsafe { self.at.add(size.next_multiple_of(8)) };
        bytes
    }

    fn number(&mut self) -> usize {
        number(self.take(8), 0) as usize
    }

    fn valid(&mut self) -> Option<&'a [u8]> {
        (self.number() != 0).then(|| self.take(self.rows.div_ceil(8)))
    }
}

fn number(bytes: &[u8], index: usize) -> u64 {
    u64::from_le_bytes(bytes[8 * index..][..8].try_into().unwrap_or_default())
}

fn bit(bits: &[u8], row: usize) -> bool {
    bits[row / 8] >> (row % 8) & 1 == 1
}

/// A column of arguments.
pub struct Column<'a, T> {
    valid: Option<&'a [u8]>,
    offsets: &'a [u8],
    values: &'a [u8],
    kind: PhantomData<T>,
}

impl<'a, T: Argument<'a>> Column<'a, T> {
    /// The argument of a row; `None` where it is NULL and must not be.
    pub fn get(&self, row: usize) -> Option<T> {
        match self.valid.is_none_or(|valid| bit(valid, row)) {
            true => Some(T::value(self.offsets, self.values, row)),
            false => T::null(),
        }
    }
}

/// What a parameter may be.
pub trait Argument<'a>: Sized {
    /// The next column of a call.
    fn open(call: &mut Call<'a>) -> Column<'a, Self>;
    /// A value.
    fn value(offsets: &'a [u8], values: &'a [u8], row: usize) -> Self;
    /// What NULL is, if it may be NULL.
    fn null() -> Option<Self> {
        None
    }
}

/// What a result may be.
pub trait Value: Sized {
    /// Bytes of a value; `None`: a text.
    const WIDTH: Option<usize>;
    /// Puts it behind the others.
    fn put(&self, out: &mut Vec<u8>);
}

macro_rules! numbers {
    ($($kind:ty),*) => {$(
        impl<'a> Argument<'a> for $kind {
            fn open(call: &mut Call<'a>) -> Column<'a, Self> {
                let valid = call.valid();
                let values = call.take(call.rows * size_of::<$kind>());
                Column { valid, offsets: &[], values, kind: PhantomData }
            }
            fn value(_offsets: &'a [u8], values: &'a [u8], row: usize) -> Self {
                const SIZE: usize = size_of::<$kind>();
                Self::from_le_bytes(values[row * SIZE..][..SIZE].try_into().unwrap_or_default())
            }
        }
        impl Value for $kind {
            const WIDTH: Option<usize> = Some(size_of::<$kind>());
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
numbers!(i8, i16, i32, i64, f32, f64);

impl<'a> Argument<'a> for bool {
    fn open(call: &mut Call<'a>) -> Column<'a, Self> {
        let valid = call.valid();
        Column { valid, offsets: &[], values: call.take(call.rows.div_ceil(8)), kind: PhantomData }
    }
    fn value(_offsets: &'a [u8], values: &'a [u8], row: usize) -> Self {
        bit(values, row)
    }
}

/// One byte a value: [`answer`] makes bits of them.
impl Value for bool {
    const WIDTH: Option<usize> = Some(0);
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl<'a> Argument<'a> for &'a [u8] {
    fn open(call: &mut Call<'a>) -> Column<'a, Self> {
        let valid = call.valid();
        let offsets = call.take(4 * (call.rows + 1));
        let length = <i32 as Argument>::value(&[], offsets, call.rows) as usize;
        Column { valid, offsets, values: call.take(length), kind: PhantomData }
    }
    fn value(offsets: &'a [u8], values: &'a [u8], row: usize) -> Self {
        let offset = |row| <i32 as Argument>::value(&[], offsets, row) as usize;
        &values[offset(row)..offset(row + 1)]
    }
}

impl<'a> Argument<'a> for &'a str {
    fn open(call: &mut Call<'a>) -> Column<'a, Self> {
        let Column { valid, offsets, values, .. } = <&[u8]>::open(call);
        Column { valid, offsets, values, kind: PhantomData }
    }
    fn value(offsets: &'a [u8], values: &'a [u8], row: usize) -> Self {
        std::str::from_utf8(<&[u8]>::value(offsets, values, row)).unwrap_or_default()
    }
}

impl<'a, T: Argument<'a>> Argument<'a> for Option<T> {
    fn open(call: &mut Call<'a>) -> Column<'a, Self> {
        let Column { valid, offsets, values, .. } = T::open(call);
        Column { valid, offsets, values, kind: PhantomData }
    }
    fn value(offsets: &'a [u8], values: &'a [u8], row: usize) -> Self {
        Some(T::value(offsets, values, row))
    }
    fn null() -> Option<Self> {
        Some(None)
    }
}

impl Value for String {
    const WIDTH: Option<usize> = None;
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl Value for Vec<u8> {
    const WIDTH: Option<usize> = None;
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

/// A value, NULL, or an error.
pub trait Outcome {
    /// What the value is.
    type Value: Value;
    /// As an answer.
    fn outcome(self) -> Result<Option<Self::Value>, String>;
}

impl<T: Value> Outcome for Option<T> {
    type Value = T;
    fn outcome(self) -> Result<Option<T>, String> {
        Ok(self)
    }
}

impl<T: Outcome, E: ToString> Outcome for Result<T, E> {
    type Value = T::Value;
    fn outcome(self) -> Result<Option<T::Value>, String> {
        self.map_err(|e| e.to_string())?.outcome()
    }
}

macro_rules! plain {
    ($($kind:ty),*) => {$(
        impl Outcome for $kind {
            type Value = $kind;
            fn outcome(self) -> Result<Option<$kind>, String> {
                Ok(Some(self))
            }
        }
    )*};
}
plain!(bool, i8, i16, i32, i64, f32, f64, String, Vec<u8>);

/// Calls a function for each row.
pub fn answer<T: Value>(rows: usize, call: impl Fn(usize) -> Result<Option<T>, String>) -> *const u8 {
    let mut valid = vec![0u8; rows.div_ceil(8)];
    let (mut offsets, mut values, mut failures) = (0i32.to_le_bytes().to_vec(), Vec::new(), Vec::new());
    for row in 0..rows {
        match call(row) {
            Ok(Some(value)) => {
                valid[row / 8] |= 1 << (row % 8);
                value.put(&mut values);
            }
            other => {
                values.resize(values.len() + T::WIDTH.map_or(0, |width| width.max(1)), 0);
                if let Err(why) = other {
                    failures.push((row, why));
                }
            }
        }
        offsets.extend_from_slice(&(values.len() as i32).to_le_bytes());
    }
    let mut out: Vec<u8> = Vec::new();
    let mut part = |bytes: &[u8]| {
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(8), 0);
    };
    part(&(failures.len() as u64).to_le_bytes());
    for (row, why) in &failures {
        part(&(*row as u64).to_le_bytes());
        part(&(why.len() as u64).to_le_bytes());
        part(why.as_bytes());
    }
    part(&1u64.to_le_bytes());
    part(&valid);
    match T::WIDTH {
        Some(0) => {
            let mut bits = vec![0u8; rows.div_ceil(8)];
            values.iter().enumerate().for_each(|(row, value)| bits[row / 8] |= value << (row % 8));
            part(&bits);
        }
        Some(_) => part(&values),
        None => {
            part(&offsets);
            part(&values);
        }
    }
    let words = out.chunks_exact(8).map(|word| number(word, 0).to_le());
    kept(std::iter::once((out.len() as u64).to_le()).chain(words).collect())
}
