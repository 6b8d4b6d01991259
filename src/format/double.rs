//! DOUBLE as text, as `ryu` writes it: the shortest digits that mean the number.
//!
//! Most numbers that people have are of few digits: prices, degrees, coordinates. One of at most 15 significant digits is
//! the only one among those of so few digits that its DOUBLE means. So where a whole number of millionths, divided by a
//! million, gives the DOUBLE, its digits are the shortest, and they are found by integers instead of by `ryu`'s tables
//! of powers.

const MILLION: u64 = 1_000_000;

/// Below, the digits of a whole number of millionths are 15 at most.
const MOST: f64 = 1e9;
/// Below, `ryu` writes an exponent.
const LEAST: f64 = 1e-5;

/// Appends a finite number.
#[inline]
pub(super) fn write(value: f64, out: &mut Vec<u8>) {
    let magnitude = value.abs();
    if (LEAST..MOST).contains(&magnitude) {
        let millionths = (magnitude * 1e6 + 0.5) as u64;
        if millionths as f64 / 1e6 == magnitude {
            return write_millionths(value < 0.0, millionths, out);
        }
    }
    out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
}

/// Appends a whole number of millionths, up to the last digit that is not zero.
#[inline]
fn write_millionths(negative: bool, millionths: u64, out: &mut Vec<u8>) {
    let (whole, fraction) = (millionths / MILLION, millionths % MILLION);
    if negative {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(whole as u32).as_bytes());
    let digit = |power: u64| b'0' + (fraction / power % 10) as u8;
    let text = [b'.', digit(100_000), digit(10_000), digit(1000), digit(100), digit(10), digit(1)];
    let zeros = text[2..].iter().rev().take_while(|digit| **digit == b'0').count();
    let start = out.len();
    out.extend_from_slice(&text);
    out.truncate(start + text.len() - zeros);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(value: f64) {
        let mut out = Vec::new();
        write(value, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), ryu::Buffer::new().format_finite(value), "{value:e}");
    }

    #[test]
    fn numbers_of_few_digits_and_of_many() {
        let numbers = [
            0.0,
            0.1,
            0.5,
            1.0,
            10.0,
            12.5,
            99.99,
            100.0,
            0.3,
            0.1 + 0.2,
            1e-5,
            1.5e-5,
            9e-6,
            1e-6,
            123_456.789,
            999_999_999.999_999,
            999_999_999.0,
            1e9,
            1e15,
            1e16,
            1e17,
            4.35,
            0.000_123,
            2.675,
            1.0 / 3.0,
            562_949_953.421_311_9,
            f64::MIN_POSITIVE,
            f64::MAX,
            f64::EPSILON,
        ];
        numbers.into_iter().flat_map(|n| [n, -n]).for_each(same);
    }

    proptest! {
        #[test]
        fn all_are_written_as_ryu_writes_them(
            bits in any::<u64>(), whole in 0u64..2_000_000_000, scale in 0i32..12, steps in -3i64..3,
        ) {
            if f64::from_bits(bits).is_finite() {
                same(f64::from_bits(bits));
            }
            let decimal = whole as f64 / 10f64.powi(scale);
            same(decimal);
            // Neighbours of a number of few digits have many.
            same(f64::from_bits(decimal.to_bits().wrapping_add_signed(steps)));
            same(-decimal);
        }
    }
}
