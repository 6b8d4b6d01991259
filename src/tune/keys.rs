//! What a cache would find, by how long it keeps an answer: all lifetimes in one pass over the keys.

use std::collections::HashMap;
use std::time::Duration;

/// Lifetimes that are looked at, in seconds.
const LIFETIMES: [u64; 12] = [1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 21_600, 86_400, 604_800];

/// A lifetime and what comes of it.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Lifetime {
    #[serde(serialize_with = "seconds")]
    pub(crate) lifetime: Duration,
    /// Rows that find their key, from 0 to 1.
    pub(crate) hit_ratio: f64,
    /// Calls a second that are left, one key each.
    pub(crate) calls_per_second: f64,
}

fn seconds<S: serde::Serializer>(of: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(of.as_secs())
}

/// Hits by lifetime of keys that were asked for at these times (milliseconds, ascending). An answer is kept so long from
/// when it came.
pub(crate) fn by_lifetime<'a>(keys: impl Iterator<Item = (f64, &'a str)>) -> (Vec<Lifetime>, usize) {
    let mut fetched: HashMap<&str, [f64; LIFETIMES.len()]> = HashMap::new();
    let mut hits = [0u64; LIFETIMES.len()];
    let (mut asked, mut first, mut last) = (0u64, None, 0f64);
    for (at, key) in keys {
        asked += 1;
        first.get_or_insert(at);
        last = at;
        let known = fetched.entry(key).or_insert([f64::NEG_INFINITY; LIFETIMES.len()]);
        for (i, lifetime) in LIFETIMES.iter().enumerate() {
            if at - known[i] < *lifetime as f64 * 1e3 {
                hits[i] += 1;
            } else {
                known[i] = at;
            }
        }
    }
    let span = ((last - first.unwrap_or(last)) / 1e3).max(1e-3);
    let of = |(lifetime, hits): (&u64, &u64)| Lifetime {
        lifetime: Duration::from_secs(*lifetime),
        hit_ratio: *hits as f64 / asked.max(1) as f64,
        calls_per_second: (asked - hits) as f64 / span,
    };
    (LIFETIMES.iter().zip(&hits).map(of).collect(), fetched.len())
}

/// The shortest lifetime that finds nearly all that the longest one finds: longer ones only make answers older.
pub(crate) fn knee(all: &[Lifetime]) -> Option<Lifetime> {
    let most = all.iter().map(|l| l.hit_ratio).fold(0.0, f64::max);
    all.iter().copied().find(|l| l.hit_ratio >= most * 0.95)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_pass_gives_what_a_cache_of_each_lifetime_would() {
        // Two keys in turn, one a second for ten minutes.
        let keys: Vec<(f64, &str)> =
            (0..600).map(|s| (s as f64 * 1e3, if s % 2 == 0 { "a" } else { "b" })).collect();
        let (found, distinct) = by_lifetime(keys.iter().copied());
        assert_eq!(distinct, 2);
        let of = |seconds: u64| found.iter().find(|l| l.lifetime.as_secs() == seconds).unwrap();
        // By hand: a cache with this lifetime, asked for each key.
        for seconds in [1, 5, 60, 86_400] {
            let mut cached: HashMap<&str, f64> = HashMap::new();
            let mut hits = 0;
            for (at, key) in &keys {
                match cached.get(key).filter(|since| at - **since < seconds as f64 * 1e3) {
                    Some(_) => hits += 1,
                    None => drop(cached.insert(key, *at)),
                }
            }
            assert_eq!(of(seconds).hit_ratio, f64::from(hits) / 600.0, "{seconds}");
        }
        assert_eq!(of(1).hit_ratio, 0.0);
        assert!((of(1).calls_per_second - 1.0).abs() < 0.01 && of(86_400).hit_ratio > 0.99);
        assert_eq!(knee(&found).unwrap().lifetime.as_secs(), 60);
        assert!(by_lifetime(std::iter::empty()).0.iter().all(|l| l.hit_ratio == 0.0));
    }
}
