//! Window time of instants, and instants of window time.
//!
//! ```text
//!            clocks put forward              clocks put back
//!  window    1:00  (2:00)  3:00              1:00   2:00   3:00
//!  time        |-----|- - - -|                 |------|------|
//!                    \       |                 |      |======|   twice
//!  instants    |-----|-------|--             |-|------|--|---|--
//! ```
//! A moment that the clocks skip is the instant at which they do: a window that ends there is complete then.
//! One that they show twice is the later instant where it closes a window, and the earlier one where it is
//! shown as `window_time`. That is how Flink's timers and time attributes of such days behave.

use arrow::array::timezone::Tz;
use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeZone, Utc};

use super::WindowSpec;
use crate::error::Result;
use crate::function::moment;

/// Entries of the cache of offsets, a power of two.
const ENTRIES: usize = 64;

/// Milliseconds for which an offset is cached. No zone changes its offset twice within an hour.
const BLOCK: i64 = 3_600_000;

const DAY: i64 = 86_400_000;

/// Converts between instants and window time, both in milliseconds.
#[derive(Debug)]
pub(crate) struct WindowClock {
    zone: Option<Tz>,
    /// Block and the offset that holds in all of it.
    cache: Vec<Option<(i64, i64)>>,
}

/// What a calendar can show, with room for any offset.
fn calendar(millis: i64) -> NaiveDateTime {
    let least = DateTime::<Utc>::MIN_UTC.timestamp_millis() + 4 * DAY;
    let greatest = DateTime::<Utc>::MAX_UTC.timestamp_millis() - 4 * DAY;
    DateTime::from_timestamp_millis(millis.clamp(least, greatest)).unwrap_or_default().naive_utc()
}

impl WindowClock {
    /// For the zone of a window specification.
    pub(crate) fn new(spec: &WindowSpec) -> Result<Self> {
        let zone = match spec.zone.as_deref() {
            None | Some("UTC" | "Z" | "+00:00") => None,
            Some(name) => Some(moment::zone(name)?),
        };
        let entries = if zone.is_some() { ENTRIES } else { 0 };
        Ok(Self { zone, cache: vec![None; entries] })
    }

    /// Window time is the instant itself.
    pub(crate) fn is_plain(&self) -> bool {
        self.zone.is_none()
    }

    fn offset(zone: &Tz, instant: i64) -> i64 {
        i64::from(zone.offset_from_utc_datetime(&calendar(instant)).fix().local_minus_utc()) * 1000
    }

    /// The window time of an instant.
    pub(crate) fn local(&mut self, instant: i64) -> i64 {
        let Some(zone) = &self.zone else { return instant };
        let block = instant.div_euclid(BLOCK);
        let entry = &mut self.cache[block as usize & (ENTRIES - 1)];
        if let Some((known, offset)) = entry
            && *known == block
        {
            return instant.saturating_add(*offset);
        }
        let offset = Self::offset(zone, instant);
        let first = block.saturating_mul(BLOCK);
        let last = first.saturating_add(BLOCK - 1);
        if Self::offset(zone, first) == offset && Self::offset(zone, last) == offset {
            *entry = Some((block, offset));
        }
        instant.saturating_add(offset)
    }

    /// The instant shown as `window_time`: the earlier of two; one that is skipped moves on by the gap.
    pub(crate) fn instant(&self, local: i64) -> i64 {
        let Some(zone) = &self.zone else { return local };
        let shown = calendar(local);
        let utc = moment::to_utc(zone, shown);
        local.saturating_add((utc - shown).num_milliseconds())
    }

    /// The instant by which all rows up to this window time have come.
    pub(crate) fn completed(&self, local: i64) -> i64 {
        let Some(zone) = &self.zone else { return local };
        if local == i64::MAX {
            return local;
        }
        let shown = calendar(local);
        let shift = |offset: chrono::FixedOffset| i64::from(offset.local_minus_utc()) * 1000;
        match zone.offset_from_local_datetime(&shown) {
            MappedLocalTime::Single(offset) => local.saturating_sub(shift(offset.fix())),
            MappedLocalTime::Ambiguous(a, b) => local.saturating_sub(shift(a.fix()).min(shift(b.fix()))),
            MappedLocalTime::None => {
                let before = Self::offset(zone, local.saturating_sub(2 * DAY));
                let mut after = local.saturating_sub(before);
                let offset = Self::offset(zone, after);
                let mut until = local.saturating_sub(offset);
                // The change lies in (until, after].
                while after - until > 1 {
                    let middle = until + (after - until) / 2;
                    if Self::offset(zone, middle) == offset {
                        after = middle;
                    } else {
                        until = middle;
                    }
                }
                after
            }
        }
    }

    /// The greatest window end that is complete when the watermark stands at this instant: windows are
    /// complete when it reaches their last millisecond.
    pub(crate) fn closed_by(&mut self, watermark: i64) -> i64 {
        if watermark == i64::MAX || self.is_plain() {
            return watermark.saturating_add(1);
        }
        let local = self.local(watermark);
        let next = local.saturating_add(1);
        if self.completed(local) <= watermark && self.completed(next) > watermark {
            return next;
        }
        // Within an hour that comes twice, or at the end of what a calendar can show.
        let (mut complete, mut open) = (local.saturating_sub(2 * DAY), local.saturating_add(2 * DAY));
        if self.completed(open) <= watermark {
            return open;
        }
        while open - complete > 1 {
            let middle = complete + (open - complete) / 2;
            if self.completed(middle) <= watermark {
                complete = middle;
            } else {
                open = middle;
            }
        }
        complete.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::operator::window::WindowKind;
    use proptest::prelude::*;

    fn clock(zone: &str) -> WindowClock {
        let kind = WindowKind::Tumble { size: 1 };
        WindowClock::new(&WindowSpec { kind, offset: 0, zone: Some(zone.into()) }).unwrap()
    }

    fn at(text: &str) -> i64 {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.3f").unwrap().and_utc().timestamp_millis()
    }

    #[test]
    fn a_skipped_hour_ends_when_the_clocks_are_put_forward() {
        let mut berlin = clock("Europe/Berlin");
        let change = at("2024-03-31 01:00:00.000");
        assert_eq!(berlin.local(change - 1), at("2024-03-31 01:59:59.999"));
        assert_eq!(berlin.local(change), at("2024-03-31 03:00:00.000"));
        assert_eq!(berlin.completed(at("2024-03-31 02:59:59.999")), change);
        assert_eq!(berlin.completed(at("2024-03-31 03:00:00.000")), change);
        assert_eq!(berlin.instant(at("2024-03-31 02:30:00.000")), change + 1_800_000);
        assert_eq!(berlin.closed_by(change - 1), at("2024-03-31 02:00:00.000"));
        assert_eq!(berlin.closed_by(change), at("2024-03-31 03:00:00.001"));
    }

    #[test]
    fn an_hour_that_comes_twice_ends_when_it_has_come_twice() {
        let mut berlin = clock("Europe/Berlin");
        let back = at("2024-10-27 01:00:00.000");
        assert_eq!(berlin.local(back - 1), at("2024-10-27 02:59:59.999"));
        assert_eq!(berlin.local(back), at("2024-10-27 02:00:00.000"));
        assert_eq!(berlin.completed(at("2024-10-27 02:59:59.999")), back + BLOCK - 1);
        assert_eq!(berlin.instant(at("2024-10-27 02:59:59.999")), back - 1);
        assert_eq!(berlin.closed_by(back - 1), at("2024-10-27 02:00:00.000"));
        assert_eq!(berlin.closed_by(back + BLOCK - 1), at("2024-10-27 03:00:00.000"));
    }

    #[test]
    fn a_gap_of_half_an_hour() {
        let mut island = clock("Australia/Lord_Howe");
        let change = at("2024-10-05 15:30:00.000");
        assert_eq!(island.local(change - 1), at("2024-10-06 01:59:59.999"));
        assert_eq!(island.local(change), at("2024-10-06 02:30:00.000"));
        assert_eq!(island.completed(at("2024-10-06 02:15:00.000")), change);
    }

    proptest! {
        #[test]
        fn the_cache_changes_nothing_and_closing_inverts_completion(
            steps in prop::collection::vec(-4_000_000i64..4_000_000, 1..60),
            from in prop::sample::select(vec![1_711_846_800_000i64, 1_729_990_800_000, 0, -86_400_000]),
            zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "+05:30"]),
        ) {
            let mut clock = clock(zone);
            let mut instant = from;
            for step in steps {
                instant += step;
                let offset = WindowClock::offset(clock.zone.as_ref().unwrap(), instant);
                prop_assert_eq!(clock.local(instant), instant + offset);
                let end = clock.closed_by(instant);
                prop_assert!(clock.completed(end - 1) <= instant);
                prop_assert!(clock.completed(end) > instant);
            }
        }

        #[test]
        fn nothing_overflows(instant in any::<i64>()) {
            let mut clock = clock("America/New_York");
            clock.local(instant);
            clock.instant(instant);
            clock.completed(instant);
            clock.closed_by(instant);
        }
    }
}
