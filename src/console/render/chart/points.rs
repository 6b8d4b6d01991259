//! The rows behind a chart, changes applied.

use std::hash::BuildHasher;

use hashbrown::{HashMap, HashTable};

use crate::flow::Kind;

/// Rows of a growing stream that are kept at least; twice as many at most.
const KEPT: usize = 50_000;
/// Series that are told apart; all further ones are one.
const SERIES: usize = 64;
/// What the last series is called when there are more.
const OTHERS: &str = "others";

/// A row of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Position.
    pub x: f64,
    /// Height.
    pub y: f64,
    /// Position, where it is a text.
    pub label: Option<Box<str>>,
    /// Number of its series.
    pub series: u32,
}

impl Point {
    fn is_drawn(&self) -> bool {
        self.x.is_finite() && self.y.is_finite()
    }

    /// Equal bits, so that retracted rows are found.
    fn key(&self) -> (u64, u64, Option<&str>, u32) {
        (self.x.to_bits(), self.y.to_bits(), self.label.as_deref(), self.series)
    }
}

/// Points in the order of their arrival; one that replaces another takes its place.
#[derive(Debug, Default)]
pub struct Points {
    points: Vec<Option<Point>>,
    alive: usize,
    /// Places by point, since something was retracted for the first time.
    places: Option<HashTable<u32>>,
    hasher: foldhash::fast::RandomState,
    /// The place of a row whose new version follows.
    hole: Option<u32>,
    series: Vec<String>,
    numbers: HashMap<Box<str>, u32>,
    left_out: u64,
    forgotten: u64,
}

impl Points {
    /// Points that are there now.
    pub fn iter(&self) -> impl Iterator<Item = &Point> {
        self.points.iter().flatten()
    }

    /// Their number.
    pub fn len(&self) -> usize {
        self.alive
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.alive == 0
    }

    /// Rows that are there but have no value that can be drawn.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Rows that were given up.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Whether rows are retracted or replaced.
    pub fn changes(&self) -> bool {
        self.places.is_some()
    }

    /// Names of the series.
    pub fn series(&self) -> &[String] {
        &self.series
    }

    /// The number of a series.
    pub fn series_of(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        if self.series.len() > SERIES {
            return SERIES as u32;
        }
        let full = self.series.len() == SERIES;
        let number = self.series.len() as u32;
        self.series.push(if full { OTHERS.to_string() } else { name.to_string() });
        if !full {
            self.numbers.insert(name.into(), number);
        }
        number
    }

    /// Applies one change. A retracted row that is missing was given up before.
    pub fn apply(&mut self, kind: Kind, point: Point) {
        if !point.is_drawn() {
            self.left_out = match kind {
                Kind::Insert | Kind::UpdateAfter => self.left_out + 1,
                Kind::UpdateBefore | Kind::Delete => self.left_out.saturating_sub(1),
            };
            return;
        }
        match kind {
            Kind::Insert | Kind::UpdateAfter => {
                let place = self.hole.take().unwrap_or_else(|| {
                    self.points.push(None);
                    (self.points.len() - 1) as u32
                });
                if let Some(places) = &mut self.places {
                    let hash = self.hasher.hash_one(point.key());
                    let (points, hasher) = (&self.points, &self.hasher);
                    places.insert_unique(hash, place, |&p| rehash(points, hasher, p));
                }
                self.points[place as usize] = Some(point);
                self.alive += 1;
            }
            Kind::UpdateBefore | Kind::Delete => {
                if self.places.is_none() {
                    self.index();
                }
                let removed = self.remove(&point);
                self.hole = removed.filter(|_| kind == Kind::UpdateBefore);
            }
        }
    }

    fn remove(&mut self, point: &Point) -> Option<u32> {
        let hash = self.hasher.hash_one(point.key());
        let points = &self.points;
        let same = |&p: &u32| points[p as usize].as_ref().is_some_and(|other| other.key() == point.key());
        let (place, _) = self.places.as_mut()?.find_entry(hash, same).ok()?.remove();
        self.points[place as usize] = None;
        self.alive -= 1;
        Some(place)
    }

    /// Notes the places of all points.
    fn index(&mut self) {
        let (points, hasher) = (&self.points, &self.hasher);
        let mut places = HashTable::with_capacity(points.len());
        for place in (0..points.len() as u32).filter(|&p| points[p as usize].is_some()) {
            places.insert_unique(rehash(points, hasher, place), place, |&p| rehash(points, hasher, p));
        }
        self.places = Some(places);
    }

    /// Gives up the oldest rows of a stream that only grows, and closes gaps. Between two chunks.
    pub fn trim(&mut self) {
        if self.places.is_none() && self.points.len() > 2 * KEPT {
            let old = self.points.len() - KEPT;
            self.points.drain(..old);
            self.alive -= old;
            self.forgotten += old as u64;
        } else if self.hole.is_none() && self.points.len() > 64 && self.alive * 2 < self.points.len() {
            self.points.retain(Option::is_some);
            self.index();
        }
    }
}

fn rehash(points: &[Option<Point>], hasher: &foldhash::fast::RandomState, place: u32) -> u64 {
    points[place as usize].as_ref().map_or(0, |point| hasher.hash_one(point.key()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Kind::{Delete, Insert, UpdateAfter, UpdateBefore};

    fn point(label: &str, y: f64) -> Point {
        Point { x: 0.0, y, label: Some(label.into()), series: 0 }
    }

    fn labels(points: &Points) -> String {
        points.iter().map(|p| format!("{}{} ", p.label.as_deref().unwrap_or_default(), p.y)).collect()
    }

    #[test]
    fn updates_keep_their_place_and_deletes_leave() {
        let mut points = Points::default();
        for (kind, label, y) in [
            (Insert, "a", 1.0),
            (Insert, "b", 2.0),
            (Insert, "b", f64::NAN),
            (UpdateBefore, "a", 1.0),
            (UpdateAfter, "a", 3.0),
            (Delete, "b", f64::NAN),
            (Delete, "c", 9.0),
        ] {
            points.apply(kind, point(label, y));
        }
        assert_eq!((labels(&points), points.left_out()), ("a3 b2 ".to_string(), 0));
        points.apply(Delete, point("a", 3.0));
        assert_eq!((labels(&points), points.len()), ("b2 ".to_string(), 1));
    }

    #[test]
    fn a_growing_stream_is_cut() {
        let mut points = Points::default();
        for i in 0..2 * KEPT + 1 {
            points.apply(Insert, point("a", i as f64));
        }
        points.trim();
        assert_eq!((points.len(), points.forgotten()), (KEPT, KEPT as u64 + 1));
        // One that was given up, one that was not.
        points.apply(Delete, point("a", 0.0));
        points.apply(Delete, point("a", (2 * KEPT) as f64));
        assert_eq!(points.len(), KEPT - 1);
    }

    #[test]
    fn too_many_series_are_one() {
        let mut points = Points::default();
        let numbers: Vec<u32> = (0..100).map(|i| points.series_of(&i.to_string())).collect();
        assert_eq!((numbers[63], numbers[64], numbers[99]), (63, 64, 64));
        assert_eq!(points.series_of("5"), 5);
        assert_eq!(points.series()[64], "others");
    }
}
