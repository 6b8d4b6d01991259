//! The file that user functions in Rust are built with (`udfs/wasm/affluent_udf.rs`): what an exported function gives for a
//! call as the engine writes it.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../udfs/wasm/affluent_udf.rs"]
mod affluent_udf;

affluent_udf! {
    fn guest_mask(s: &str) -> Option<String> {
        let at = s.find('@')?;
        Some(format!("{}***{}", s.chars().next()?, &s[at..]))
    }
    fn guest_divide(a: i64, b: i32) -> Result<i64, String> {
        a.checked_div(i64::from(b)).ok_or_else(|| format!("{a} / {b}"))
    }
    fn guest_is_null(a: Option<f64>) -> bool {
        a.is_none()
    }
}

fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(8), 0);
}

/// A call: rows, then columns, each with its validity where it is given.
fn call(rows: usize, columns: &[(Option<u8>, &[&[u8]])]) -> Vec<u64> {
    let mut out = (rows as u64).to_le_bytes().to_vec();
    for (valid, parts) in columns {
        padded(&mut out, &u64::from(valid.is_some()).to_le_bytes());
        if let Some(valid) = valid {
            padded(&mut out, &[*valid]);
        }
        parts.iter().for_each(|part| padded(&mut out, part));
    }
    out.chunks_exact(8).map(|w| u64::from_ne_bytes(w.try_into().unwrap())).collect()
}

/// The answer's words: what follows its size.
fn answer(place: *const u8) -> Vec<u8> {
    // Safety: the function has just written the answer there.
    let bytes = unsafe { std::slice::from_raw_parts(place, 8) };
    let size = u64::from_le_bytes(bytes.try_into().unwrap()) as usize;
    unsafe { std::slice::from_raw_parts(place.add(8), size) }.to_vec()
}

unsafe extern "C" {
    fn guest_mask(place: *const u8) -> *const u8;
    fn guest_divide(place: *const u8) -> *const u8;
    fn guest_is_null(place: *const u8) -> *const u8;
}

fn words(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

#[test]
fn texts_come_and_go_with_their_nulls() {
    let offsets: Vec<u8> = [0i32, 7, 7, 11].iter().flat_map(|o| o.to_le_bytes()).collect();
    let call = call(3, &[(Some(0b101), &[&offsets, b"ann@x.ynone"])]);
    let answer = answer(unsafe { guest_mask(call.as_ptr().cast()) });
    let mut wanted = words(&[0, 1, 0b001]);
    let offsets: Vec<u8> = [0i32, 8, 8, 8].iter().flat_map(|o| o.to_le_bytes()).collect();
    padded(&mut wanted, &offsets);
    padded(&mut wanted, b"a***@x.y");
    assert_eq!(answer, wanted);
}

#[test]
fn an_error_belongs_to_its_row() {
    let (a, b) = (words(&[8, 9]), [2i32.to_le_bytes(), 0i32.to_le_bytes()].concat());
    let call = call(2, &[(None, &[&a]), (None, &[&b])]);
    let answer = answer(unsafe { guest_divide(call.as_ptr().cast()) });
    let mut wanted = words(&[1, 1, 5]);
    padded(&mut wanted, b"9 / 0");
    wanted.extend(words(&[1, 0b01, 4, 0]));
    assert_eq!(answer, wanted);
}

#[test]
fn an_option_takes_null() {
    let values = words(&[0, 0]);
    let call = call(2, &[(Some(0b10), &[&values])]);
    let answer = answer(unsafe { guest_is_null(call.as_ptr().cast()) });
    assert_eq!(answer, words(&[0, 1, 0b11, 0b01]));
    affluent_udf::affluent_reset();
}

#[test]
fn a_place_has_the_size_that_was_asked_for() {
    assert!(affluent_udf::affluent_alloc(0).is_aligned() && !affluent_udf::affluent_alloc(17).is_null());
}
