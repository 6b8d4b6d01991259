//! Interval literals of several fields: `INTERVAL '1:30' HOUR TO MINUTE` is `INTERVAL '5400' SECOND`.
//!
//! DataFusion reads one unit; behind `TO` it would refuse, or, in the frame of an OVER, not look.

use sqlparser::ast::{DateTimeField, Expr as Ast, Interval, Value};

/// Seconds of a field, or months where it is year or month.
fn weight(field: &DateTimeField) -> Option<(usize, i64)> {
    Some(match field {
        DateTimeField::Year => (0, 12),
        DateTimeField::Month => (1, 1),
        DateTimeField::Day => (2, 86_400),
        DateTimeField::Hour => (3, 3_600),
        DateTimeField::Minute => (4, 60),
        DateTimeField::Second => (5, 1),
        _ => return None,
    })
}

const FIELDS: [DateTimeField; 6] = [
    DateTimeField::Year,
    DateTimeField::Month,
    DateTimeField::Day,
    DateTimeField::Hour,
    DateTimeField::Minute,
    DateTimeField::Second,
];

/// The value in months or seconds, with a fraction of a second as it stands.
fn total(text: &str, from: usize, to: usize) -> Option<String> {
    let (sign, text) = match text.trim() {
        t if t.starts_with('-') => ("-", &t[1..]),
        t => ("", t.strip_prefix('+').unwrap_or(t)),
    };
    let (text, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if to == 5 && fraction.bytes().all(|b| b.is_ascii_digit()) => {
            (whole, format!(".{fraction}"))
        }
        Some(_) => return None,
        None => (text, String::new()),
    };
    let parts: Vec<&str> = text.split([' ', ':', '-']).collect();
    if parts.len() != to - from + 1 {
        return None;
    }
    let mut sum = 0i64;
    for (i, part) in parts.iter().enumerate() {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let n: i64 = digits.then(|| part.parse().ok()).flatten()?;
        let most = [i64::MAX, 11, i64::MAX, 23, 59, 59][from + i];
        if i > 0 && n > most {
            return None;
        }
        sum = sum.checked_add(n.checked_mul(weight(&FIELDS[from + i])?.1)?)?;
    }
    Some(format!("{sign}{sum}{fraction}"))
}

/// Spells an interval of several fields in its smallest common unit. What is not one is left as it is.
pub(super) fn in_one_unit(interval: &mut Interval) {
    // How many digits a field has says nothing of its value.
    interval.leading_precision = None;
    interval.fractional_seconds_precision = None;
    if interval.leading_field == Some(DateTimeField::Quarter)
        && interval.last_field.is_none()
        && let Ast::Value(value) = interval.value.as_mut()
        && let Value::SingleQuotedString(text) = &mut value.value
        && let Some(months) = text.trim().parse::<i64>().ok().and_then(|n| n.checked_mul(3))
    {
        *text = months.to_string();
        interval.leading_field = Some(DateTimeField::Month);
        return;
    }
    let (Some(from), Some(to)) = (&interval.leading_field, &interval.last_field) else { return };
    let (Some((from, _)), Some((to, _))) = (weight(from), weight(to)) else { return };
    if from >= to || (from < 2) != (to < 2) {
        return;
    }
    let Ast::Value(value) = interval.value.as_mut() else { return };
    let Value::SingleQuotedString(text) = &mut value.value else { return };
    let Some(all) = total(text, from, to) else { return };
    *text = all;
    interval.leading_field = Some(if from < 2 { DateTimeField::Month } else { DateTimeField::Second });
    interval.last_field = None;
    interval.leading_precision = None;
    interval.fractional_seconds_precision = None;
}

#[cfg(test)]
mod tests {
    use super::total;

    #[test]
    fn fields_add_up() {
        let is = |text, from, to| total(text, from, to).unwrap_or_default();
        assert_eq!(is("1:30", 3, 4), "5400");
        assert_eq!(is("2 01:00:00.250", 2, 5), "176400.250");
        assert_eq!(is("-1 12", 2, 3), "-129600");
        assert_eq!(is("1-2", 0, 1), "14");
        for wrong in ["1", "1:60", "1:30:10", "a:b", "", "1:-3", "1.5:30", "99999999999999999:00"] {
            assert_eq!(is(wrong, 3, 4), "", "{wrong}");
        }
    }
}
