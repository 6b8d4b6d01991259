//! Slices: the pieces of time that windows are made of.
//!
//! ```text
//!  HOP 4, 6    |--|--|--|              slices of 2, the greatest length that divides both:
//!                    |--|--|--|        each row is added to one slice, each window is the sum of three
//!  CUMULATE    |--|
//!  2, 6        |--|--|
//!              |--|--|--|
//! ```

use super::{WindowKind, WindowSpec, out_of_range};
use crate::error::{Error, Result};

/// Arithmetic of aligned windows (all kinds but sessions).
#[derive(Debug, Clone, Copy)]
pub(super) struct Slicing {
    kind: WindowKind,
    offset: i64,
    width: i64,
}

fn gcd(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The greatest `offset + n * width` that is not above `t`.
fn floor(t: i64, offset: i64, width: i64) -> Option<i64> {
    let rest = (i128::from(t) - i128::from(offset)).rem_euclid(i128::from(width));
    i64::try_from(i128::from(t) - rest).ok()
}

impl Slicing {
    pub(super) fn new(spec: &WindowSpec) -> Result<Self> {
        spec.check()?;
        let width = match spec.kind {
            WindowKind::Tumble { size } => size,
            WindowKind::Hop { slide, size } => gcd(slide, size),
            WindowKind::Cumulate { step, .. } => step,
            WindowKind::Session { .. } => return Err(Error::internal("sessions have no slices")),
        };
        Ok(Self { kind: spec.kind, offset: spec.offset, width })
    }

    /// Windows grow within a period.
    pub(super) fn cumulates(&self) -> bool {
        matches!(self.kind, WindowKind::Cumulate { .. })
    }

    /// Start and end (exclusive) of the slice of a moment. All of its windows are within the range of i64.
    pub(super) fn slice(&self, t: i64) -> Result<(i64, i64)> {
        let size = match self.kind {
            WindowKind::Hop { slide, size } => size.max(slide),
            WindowKind::Tumble { size } | WindowKind::Cumulate { size, .. } => size,
            WindowKind::Session { gap } => gap,
        };
        let start = floor(t, self.offset, self.width).ok_or_else(|| out_of_range(t))?;
        // Room for the earliest start and the latest end, and for one window more.
        if size
            .checked_mul(2)
            .and_then(|s| s.checked_add(self.width))
            .is_none_or(|room| start.checked_add(room).is_none() || start.checked_sub(room).is_none())
        {
            return Err(out_of_range(t));
        }
        Ok((start, start + self.width))
    }

    /// Distance of consecutive window ends.
    fn every(&self) -> i64 {
        match self.kind {
            WindowKind::Hop { slide, .. } => slide,
            WindowKind::Cumulate { step, .. } => step,
            WindowKind::Tumble { size } => size,
            WindowKind::Session { gap } => gap,
        }
    }

    /// First and last end of the windows that a slice is in; `None` if it is in none.
    pub(super) fn ends(&self, slice: i64) -> Option<(i64, i64)> {
        match self.kind {
            WindowKind::Tumble { size } => Some((slice + size, slice + size)),
            WindowKind::Hop { slide, size } => {
                let last = floor(slice, self.offset, slide)?;
                // The first start that is not before the end of this slice less the size.
                let earliest = slice + self.width - size;
                let first = floor(earliest - 1, self.offset, slide)? + slide;
                (first <= last).then_some((first + size, last + size))
            }
            WindowKind::Cumulate { step, size } => {
                let period = floor(slice, self.offset, size)?;
                Some((slice + step, period + size))
            }
            WindowKind::Session { .. } => None,
        }
    }

    /// The first end above `done` of the windows that a slice is in.
    pub(super) fn next_end(&self, slice: i64, done: i64) -> Option<i64> {
        let (first, last) = self.ends(slice)?;
        if first > done {
            return Some(first);
        }
        if done >= last {
            return None;
        }
        Some(done - (done - first) % self.every() + self.every())
    }

    /// Start of the window with this end.
    pub(super) fn start(&self, end: i64) -> i64 {
        match self.kind {
            WindowKind::Tumble { size } | WindowKind::Hop { size, .. } => end - size,
            WindowKind::Cumulate { .. } => self.period(end - 1).0,
            // Sessions are not sliced.
            WindowKind::Session { gap } => end.saturating_sub(gap),
        }
    }

    /// Start and end of the period of a moment, for CUMULATE.
    pub(super) fn period(&self, t: i64) -> (i64, i64) {
        let size = match self.kind {
            WindowKind::Cumulate { size, .. } => size,
            _ => self.width,
        };
        // `slice` has made sure that there is room.
        let start = floor(t, self.offset, size).unwrap_or(t);
        (start, start.saturating_add(size))
    }

    /// Length of a slice.
    pub(super) fn width(&self) -> i64 {
        self.width
    }

    /// Calls `f(start, end)` for the windows that a moment is in, `slice` being its slice.
    pub(super) fn windows(&self, slice: i64, mut f: impl FnMut(i64, i64)) {
        let Some((first, last)) = self.ends(slice) else { return };
        let mut end = first;
        while end <= last {
            f(self.start(end), end);
            end += self.every();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn slicing(kind: WindowKind, offset: i64) -> Slicing {
        Slicing::new(&WindowSpec { kind, offset, zone: None }).unwrap()
    }

    fn windows(slicing: &Slicing, t: i64) -> Vec<(i64, i64)> {
        let mut found = Vec::new();
        slicing.windows(slicing.slice(t).unwrap().0, |s, e| found.push((s, e)));
        found
    }

    #[test]
    fn windows_of_a_moment() {
        let tumble = WindowKind::Tumble { size: 10 };
        assert_eq!(windows(&slicing(tumble, 0), 10), [(10, 20)]);
        assert_eq!(windows(&slicing(tumble, 0), -1), [(-10, 0)]);
        assert_eq!(windows(&slicing(tumble, 3), 12), [(3, 13)]);
        assert_eq!(windows(&slicing(tumble, -3), 7), [(7, 17)]);
        let hop = WindowKind::Hop { slide: 5, size: 10 };
        assert_eq!(windows(&slicing(hop, 0), 12), [(5, 15), (10, 20)]);
        let uneven = WindowKind::Hop { slide: 4, size: 6 };
        assert_eq!(windows(&slicing(uneven, 0), 5), [(0, 6), (4, 10)]);
        assert_eq!(windows(&slicing(uneven, 0), 7), [(4, 10)]);
        let sparse = WindowKind::Hop { slide: 10, size: 4 };
        assert_eq!(windows(&slicing(sparse, 0), 13), [(10, 14)]);
        assert_eq!(windows(&slicing(sparse, 0), 14), []);
        let cumulate = WindowKind::Cumulate { step: 5, size: 15 };
        assert_eq!(windows(&slicing(cumulate, 0), 6), [(0, 10), (0, 15)]);
        assert_eq!(windows(&slicing(cumulate, 0), -1), [(-15, 0)]);
    }

    #[test]
    fn lengths_that_make_no_windows_are_refused() {
        for kind in [
            WindowKind::Tumble { size: 0 },
            WindowKind::Tumble { size: -1 },
            WindowKind::Hop { slide: 0, size: 5 },
            WindowKind::Hop { slide: 5, size: 0 },
            WindowKind::Cumulate { step: 4, size: 10 },
            WindowKind::Cumulate { step: -5, size: 10 },
            WindowKind::Session { gap: 0 },
            WindowKind::Hop { slide: 1, size: i64::MAX },
        ] {
            assert!(WindowSpec { kind, offset: 0, zone: None }.check().is_err(), "{kind:?}");
        }
    }

    fn kinds() -> impl Strategy<Value = WindowKind> {
        prop_oneof![
            (1i64..50).prop_map(|size| WindowKind::Tumble { size }),
            (1i64..50, 1i64..50).prop_map(|(slide, size)| WindowKind::Hop { slide, size }),
            (1i64..20, 1i64..6).prop_map(|(step, n)| WindowKind::Cumulate { step, size: step * n }),
        ]
    }

    proptest! {
        #[test]
        fn slices_give_the_windows_that_hold_a_moment(kind in kinds(), offset in -60i64..60, t in -500i64..500) {
            let slicing = slicing(kind, offset);
            // By definition: all windows near the moment.
            let mut expected = Vec::new();
            for n in -1200i64..1200 {
                match kind {
                    WindowKind::Tumble { size } => expected.push((n * size + offset, (n + 1) * size + offset)),
                    WindowKind::Hop { slide, size } => {
                        expected.push((n * slide + offset, n * slide + size + offset));
                    }
                    WindowKind::Cumulate { step, size } => expected.extend(
                        (1..=size / step).map(|k| (n * size + offset, n * size + offset + k * step)),
                    ),
                    WindowKind::Session { .. } => {}
                }
            }
            expected.retain(|&(s, e)| s <= t && t < e);
            expected.sort_by_key(|&(s, e)| (e, s));
            prop_assert_eq!(windows(&slicing, t), expected.clone());
            let slice = slicing.slice(t).unwrap().0;
            for done in t - 100..t + 100 {
                let next = expected.iter().map(|w| w.1).find(|&e| e > done);
                prop_assert_eq!(slicing.next_end(slice, done), next);
            }
        }

        #[test]
        fn nothing_overflows(kind in kinds(), offset in any::<i64>(), t in any::<i64>(), done in any::<i64>()) {
            let slicing = slicing(kind, offset);
            if let Ok((slice, _)) = slicing.slice(t) {
                slicing.next_end(slice, done);
                slicing.windows(slice, |s, e| assert!(s <= t && t < e));
            }
        }
    }
}
