//! From values to places, and values as short text.

use arrow::array::timezone::Tz;
use chrono::DateTime;

/// What an axis counts.
#[derive(Debug, Clone, Copy)]
pub enum Axis {
    /// Numbers.
    Number,
    /// Milliseconds since the epoch, shown in a zone.
    Time(Option<Tz>),
}

/// A range of values that is not empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
}

impl Range {
    /// Of finite values; one value alone stands in the middle of its range.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let range = values.fold(None, |range: Option<Self>, v| {
            Some(range.map_or(Self { min: v, max: v }, |r| Self { min: r.min.min(v), max: r.max.max(v) }))
        })?;
        if range.min < range.max {
            return Some(range);
        }
        let around = (range.min.abs() * 0.1).max(0.5);
        Some(Self { min: range.min - around, max: range.max + around })
            .filter(|r| r.min < r.max)
            .or(Some(range))
    }

    /// The range and 0.
    pub fn with_zero(self) -> Self {
        Self { min: self.min.min(0.0), max: self.max.max(0.0) }
    }

    /// Where a value is, from 0 to 1. Halves, so that the greatest numbers have a difference too.
    pub fn place(self, value: f64) -> f64 {
        let (span, at) = (self.max / 2.0 - self.min / 2.0, value / 2.0 - self.min / 2.0);
        if span > 0.0 { (at / span).clamp(0.0, 1.0) } else { 0.5 }
    }

    /// The value at a place from 0 to 1.
    pub fn at(self, place: f64) -> f64 {
        self.min * (1.0 - place) + self.max * place
    }
}

/// A number as people read it, in at most about ten characters.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if !(1e-4..1e12).contains(&size) {
        return format!("{value:.3e}");
    }
    let digits = match size {
        s if value == value.trunc() || s >= 100_000.0 => 0,
        s if s >= 1000.0 => 1,
        s if s >= 10.0 => 2,
        s if s >= 0.1 => 3,
        _ => 6,
    };
    let text = format!("{size:.digits$}");
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(w, f)| (w, Some(f)));
    let mut out = String::from(if value < 0.0 { "-" } else { "" });
    out.push_str(
        &whole.parse::<u64>().map_or_else(|_| whole.to_string(), crate::console::progress::thousands),
    );
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

impl Axis {
    /// A value as it stands at the axis, when the axis spans so much.
    pub fn text(&self, value: f64, span: f64) -> String {
        let Axis::Time(zone) = self else { return number(value) };
        let Some(utc) = DateTime::from_timestamp_millis(value as i64) else { return number(value) };
        let local = match zone {
            Some(zone) => utc.with_timezone(zone).naive_local(),
            None => utc.naive_utc(),
        };
        let format = match span {
            s if s < 60_000.0 => "%H:%M:%S%.3f",
            s if s < 86_400_000.0 => "%H:%M:%S",
            s if s < 30.0 * 86_400_000.0 => "%m-%d %H:%M",
            _ => "%Y-%m-%d",
        };
        local.format(format).to_string()
    }
}

/// A step between 1, 2 or 5 times a power of ten that cuts a range into about so many parts; `None` where the
/// range is too small or too large for that.
pub fn step(range: Range, parts: usize) -> Option<f64> {
    let rough = (range.max / parts as f64) - (range.min / parts as f64);
    if !rough.is_finite() || rough <= 0.0 {
        return None;
    }
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|m| m * power).find(|s| *s >= rough)?;
    // Where the step is lost in the values, no edges can be distinguished.
    (step.is_finite() && range.min + step > range.min && range.max - step < range.max).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let cases: &[(f64, &str)] = &[
            (0.0, "0"),
            (-0.0, "0"),
            (21.5, "21.5"),
            (-21.456, "-21.46"),
            (1234567.0, "1,234,567"),
            (1234.56, "1,234.6"),
            (0.125, "0.125"),
            (0.0005, "0.0005"),
            (1e15, "1.000e15"),
            (-1e-9, "-1.000e-9"),
            (f64::MAX, "1.798e308"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(*value), *expected);
        }
    }

    #[test]
    fn ranges_are_never_empty() {
        let range = |values: &[f64]| Range::of(values.iter().copied());
        assert_eq!(range(&[]), None);
        assert_eq!(range(&[3.0]), Some(Range { min: 2.5, max: 3.5 }));
        assert_eq!(range(&[3.0, -1.0]), Some(Range { min: -1.0, max: 3.0 }));
        let widest = Range { min: f64::MIN, max: f64::MAX };
        assert_eq!((widest.place(f64::MIN), widest.place(0.0), widest.place(f64::MAX)), (0.0, 0.5, 1.0));
        assert!(widest.at(0.25).is_finite());
        assert!(range(&[f64::MAX]).is_some_and(|r| r.place(f64::MAX).is_finite()));
    }

    #[test]
    fn steps() {
        assert_eq!(step(Range { min: 0.0, max: 97.0 }, 10), Some(10.0));
        assert_eq!(step(Range { min: 0.0, max: 1.0 }, 7), Some(0.2));
        assert_eq!(step(Range { min: 1e16, max: 1e16 + 2.0 }, 10), None);
        assert!(step(Range { min: f64::MIN, max: f64::MAX }, 10).is_none_or(f64::is_finite));
    }

    #[test]
    fn times() {
        let axis = Axis::Time("Europe/Berlin".parse().ok());
        let noon = 1_577_880_000_000.0;
        assert_eq!(axis.text(noon, 1000.0), "13:00:00.000");
        assert_eq!(Axis::Time(None).text(noon, 1e6), "12:00:00");
        assert_eq!(Axis::Time(None).text(noon, 1e12), "2020-01-01");
        assert_eq!(Axis::Time(None).text(1e300, 1.0), "1.000e300");
    }
}
