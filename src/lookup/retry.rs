//! When to try again: exponential back-off with full jitter.
//!
//! Before attempt *n* a lookup waits a random time between 0 and min(cap, base · 2ⁿ), so that requests
//! that failed together do not come back together (Brooker, *Exponential Backoff And Jitter*, 2015).
//! When the other side said how long it wants to be left alone, that holds if it is longer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Source of random numbers from 0 to 1.
pub type Jitter = Arc<dyn Fn() -> f64 + Send + Sync>;

/// The delays between attempts.
#[derive(Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    jitter: Jitter,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(10), Arc::new(super::wire::chance))
    }
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backoff").field("base", &self.base).field("cap", &self.cap).finish_non_exhaustive()
    }
}

impl Backoff {
    /// Delays that grow from `base` and never exceed `cap`.
    pub fn new(base: Duration, cap: Duration, jitter: Jitter) -> Self {
        Self { base, cap, jitter }
    }

    /// How long to wait after `failed` attempts (at least 1).
    pub fn delay(&self, failed: u32, retry_after: Option<Duration>) -> Duration {
        let jittered = self.longest(failed).mul_f64((self.jitter)().clamp(0.0, 1.0));
        retry_after.map_or(jittered, |asked| asked.max(jittered))
    }
}

impl Backoff {
    /// The longest wait after `failed` attempts.
    fn longest(&self, failed: u32) -> Duration {
        let doubled = 1u32.checked_shl(failed.saturating_sub(1)).and_then(|f| self.base.checked_mul(f));
        doubled.unwrap_or(self.cap).min(self.cap)
    }

    /// How long all waits take at most from the one after `failed` attempts to the one after `last`.
    pub fn all(&self, failed: u32, last: u32) -> Duration {
        // Beyond the first few they are as long as can be.
        let few = last.min(failed.saturating_add(40));
        let first: Duration = (failed..=few).map(|n| self.longest(n)).sum();
        first.saturating_add(self.cap.saturating_mul(last.saturating_sub(few)))
    }
}

/// A duration for people: `1 d`, `3 min`, `1.5 s`, `20 ms`.
pub(crate) fn shown(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    match units.iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", millis / unit),
        None if millis >= 1000 => format!("{} s", duration.as_secs_f64()),
        None => format!("{millis} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_the_other_side_may_ask_for_more() {
        let all = Backoff::new(Duration::from_millis(100), Duration::from_secs(1), Arc::new(|| 1.0));
        let delays: Vec<_> = [1, 2, 3, 4, 5, 40].map(|n| all.delay(n, None).as_millis()).into();
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(all.delay(1, Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(all.delay(9, Some(Duration::from_millis(7))), Duration::from_secs(1));
        assert_eq!(all.all(2, 4).as_millis(), 200 + 400 + 800);
        assert_eq!(all.all(5, 4), Duration::ZERO);
        assert_eq!(all.all(1, 1000).as_millis(), 1500 + 996 * 1000);
        let texts = [86_400_000, 180_000, 1500, 20].map(|millis| shown(Duration::from_millis(millis)));
        assert_eq!(texts, ["1 d", "3 min", "1.5 s", "20 ms"]);
        let none = Backoff::new(Duration::from_millis(100), Duration::from_secs(1), Arc::new(|| 0.0));
        assert_eq!(none.delay(3, None), Duration::ZERO);
    }
}
