//! Where a stock was bought: made from the transaction's id.

use super::random::{mix, pick};

const PLACES: &[(&str, &str, u32)] = &[
    ("USA", "CA", 91_356),
    ("USA", "NY", 10_005),
    ("USA", "WA", 98_101),
    ("USA", "TX", 73_301),
    ("USA", "IL", 60_604),
    ("USA", "MA", 2_110),
    ("USA", "FL", 33_131),
    ("USA", "CO", 80_202),
];

/// A hash of an id (FNV-1a, then mixed); the same on every machine.
pub(crate) fn hash(id: &str) -> u64 {
    mix(id.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)))
}

/// Appends the place of purchase as JSON. `id` must need no escaping in JSON.
pub(crate) fn push_json(out: &mut String, id: &str) {
    use std::fmt::Write;
    let (country, state, zip) = pick(PLACES, hash(id));
    // Writing to a String does not fail.
    let _ = write!(
        out,
        "{{\"transaction_id\":\"{id}\",\"country_of_purchase\":\"{country}\",\"state_of_purchase\":\"{state}\",\"zip_of_purchase\":\"{zip:05}\"}}"
    );
}
