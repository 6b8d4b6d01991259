//! What a join's condition says about the times of both sides.
//!
//! ```text
//!   o.ts BETWEEN s.ts - INTERVAL '4' HOUR AND s.ts       s.ts - o.ts in [0, 4 h]
//!   o.ts > s.ts                                          s.ts - o.ts <= -1 ms
//!   o.ts = s.ts                                          s.ts - o.ts in [0, 0]
//! ```
//! A comparison counts if each side is a time attribute, perhaps shifted by a constant interval. Time
//! attributes have milliseconds, so that `<` is `<=` one millisecond earlier.

use arrow::datatypes::DataType;
use datafusion_common::DFSchema;
use datafusion_expr::{BinaryExpr, Expr, Operator};

use super::graph::Properties;
use super::table_function::milliseconds;
use crate::function::shift::direction;

/// Bounds of the right time, relative to the left time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeBounds {
    /// Time columns, left and right.
    pub columns: [usize; 2],
    /// Least difference in milliseconds.
    pub lower: i64,
    /// Greatest difference in milliseconds.
    pub upper: i64,
    /// Event time, else processing time.
    pub event_time: bool,
}

/// A side of a join: its columns, and what is known of them.
pub(super) type Side<'a> = (&'a DFSchema, &'a Properties);

/// A time column, its input, and by how many milliseconds it is shifted.
type Linear = (usize, usize, i64);

/// A constant interval.
fn constant(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(value, _) => milliseconds(value, "a bound").ok(),
        Expr::Negative(inner) => constant(inner)?.checked_neg(),
        Expr::Cast(cast) => constant(&cast.expr),
        _ => None,
    }
}

fn linear(expr: &Expr, sides: [Side<'_>; 2]) -> Option<Linear> {
    match expr {
        Expr::Column(column) => sides.iter().enumerate().find_map(|(input, (schema, _))| {
            schema.maybe_index_of_column(column).map(|index| (input, index, 0))
        }),
        Expr::Alias(alias) => linear(&alias.expr, sides),
        // Coercion to another precision; the zone stays.
        Expr::Cast(cast) => {
            let (input, column, shift) = linear(&cast.expr, sides)?;
            match (sides[input].0.field(column).data_type(), cast.field.data_type()) {
                (DataType::Timestamp(_, a), DataType::Timestamp(_, b)) if a.is_some() == b.is_some() => {
                    Some((input, column, shift))
                }
                _ => None,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => {
            shifted(left, right, false, sides)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
            shifted(left, right, true, sides)
        }
        Expr::ScalarFunction(call) => match (direction(call.name()), call.args.as_slice()) {
            (Some(subtract), [left, right]) => shifted(left, right, subtract, sides),
            _ => None,
        },
        _ => None,
    }
}

/// A time and a constant interval.
fn shifted(left: &Expr, right: &Expr, subtract: bool, sides: [Side<'_>; 2]) -> Option<Linear> {
    let ((input, column, shift), more) = match (linear(left, sides), subtract) {
        (Some(time), _) => (time, constant(right)?),
        (None, false) => (linear(right, sides)?, constant(left)?),
        (None, true) => return None,
    };
    let shift = if subtract { shift.checked_sub(more)? } else { shift.checked_add(more)? };
    Some((input, column, shift))
}

/// A comparison of time attributes of both sides: the columns, whether they are event time, and the bounds.
type Comparison = ([usize; 2], bool, Option<i64>, Option<i64>);

fn comparison(left: &Expr, op: Operator, right: &Expr, sides: [Side<'_>; 2]) -> Option<Comparison> {
    let (mut a, mut b, mut op) = (linear(left, sides)?, linear(right, sides)?, op);
    if a.0 == b.0 {
        return None;
    }
    if a.0 == 1 {
        (a, b) = (b, a);
        op = op.swap()?;
    }
    let is = |list: fn(&Properties) -> &Vec<usize>| {
        list(sides[0].1).contains(&a.1) && list(sides[1].1).contains(&b.1)
    };
    let event_time = is(|p| &p.rowtimes);
    if !event_time && !is(|p| &p.proctimes) {
        return None;
    }
    // left + a op right + b; what is bounded is right - left.
    let difference = a.2.checked_sub(b.2)?;
    let (lower, upper) = match op {
        Operator::Eq => (Some(difference), Some(difference)),
        Operator::LtEq => (Some(difference), None),
        Operator::Lt => (Some(difference.checked_add(1)?), None),
        Operator::GtEq => (None, Some(difference)),
        Operator::Gt => (None, Some(difference.checked_sub(1)?)),
        _ => return None,
    };
    Some(([a.1, b.1], event_time, lower, upper))
}

/// Bounds from both sides on a pair of time attributes, and which conjuncts are not among them. `equal` are
/// equalities that stand elsewhere. `None` if the conditions do not bound the times.
pub(super) fn time_bounds(
    conjuncts: &[Expr],
    equal: &[(Expr, Expr)],
    sides: [Side<'_>; 2],
) -> Option<(TimeBounds, Vec<Expr>)> {
    let of = |conjunct: &Expr| match conjunct {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => comparison(left, *op, right, sides),
        _ => None,
    };
    let found: Vec<Option<Comparison>> = conjuncts.iter().map(of).collect();
    let equal = equal.iter().filter_map(|(l, r)| comparison(l, Operator::Eq, r, sides));
    let all: Vec<Comparison> = found.iter().flatten().copied().chain(equal).collect();
    // Event time first.
    let pairs = all.iter().filter(|c| c.1).chain(all.iter().filter(|c| !c.1));
    for (columns, event_time, ..) in pairs {
        let same = |c: &&Comparison| c.0 == *columns;
        let lower = all.iter().filter(same).filter_map(|c| c.2).max();
        let upper = all.iter().filter(same).filter_map(|c| c.3).min();
        let (Some(lower), Some(upper)) = (lower, upper) else { continue };
        let rest = conjuncts
            .iter()
            .zip(&found)
            .filter(|(_, c)| c.as_ref().is_none_or(|c| c.0 != *columns))
            .map(|(conjunct, _)| conjunct.clone())
            .collect();
        return Some((TimeBounds { columns: *columns, lower, upper, event_time: *event_time }, rest));
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::datatypes::{Field, Schema, TimeUnit};
    use datafusion_common::ScalarValue;
    use datafusion_expr::{col, lit};

    use super::*;

    fn side(name: &str) -> DFSchema {
        let time = DataType::Timestamp(TimeUnit::Millisecond, None);
        let fields = vec![Field::new("k", DataType::Int64, true), Field::new("ts", time, true)];
        DFSchema::try_from_qualified_schema(name, &Schema::new(fields)).unwrap()
    }

    fn seconds(n: i64) -> Expr {
        lit(ScalarValue::new_interval_mdn(0, 0, n * 1_000_000_000))
    }

    fn bounds(conjuncts: &[Expr]) -> Option<(i64, i64, usize)> {
        let (l, r) = (side("l"), side("r"));
        let properties = Properties { rowtimes: vec![1], ..Properties::default() };
        let found = time_bounds(conjuncts, &[], [(&l, &properties), (&r, &properties)]);
        found.map(|(b, rest)| (b.lower, b.upper, rest.len()))
    }

    #[test]
    fn comparisons_of_any_form_are_bounds() {
        let (l, r) = (|| col("l.ts"), || col("r.ts"));
        let within = [l().gt_eq(r() - seconds(4)), l().lt_eq(r()), col("l.k").lt(col("r.k"))];
        assert_eq!(bounds(&within), Some((0, 4000, 1)));
        assert_eq!(bounds(&[r().gt(l() - seconds(5)), (r() + seconds(1)).lt(l())]), Some((-4999, -1001, 0)));
        assert_eq!(bounds(&[(l() + seconds(2)).eq(seconds(1) + r())]), Some((1000, 1000, 0)));
        // One side, times of one input, or times that are none.
        assert_eq!(bounds(&[l().lt(r())]), None);
        assert_eq!(bounds(&[l().lt(l()), l().gt(l())]), None);
        assert_eq!(bounds(&[col("l.k").lt(col("r.k")), col("l.k").gt(col("r.k"))]), None);
    }
}
