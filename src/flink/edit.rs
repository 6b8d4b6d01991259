//! Edits of a text: what is replaced, and by what. Parts of the text that go into a replacement are edited as well.

use std::ops::Range;

/// A part of a replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// New text.
    Text(String),
    /// These bytes of the text, with their own edits.
    Source(Range<usize>),
}

/// What stands in the place of a part of the text.
#[derive(Debug, Clone)]
struct Edit {
    range: Range<usize>,
    pieces: Vec<Piece>,
}

/// Edits of one text, in any order. Those within the range of another one count where it takes that part over.
#[derive(Debug, Clone, Default)]
pub(super) struct Edits(Vec<Edit>);

impl Edits {
    /// Puts text in the place of a range.
    pub fn replace(&mut self, range: Range<usize>, text: impl Into<String>) {
        self.build(range, vec![Piece::Text(text.into())]);
    }

    /// Puts text in front of a byte.
    pub fn insert(&mut self, at: usize, text: impl Into<String>) {
        self.replace(at..at, text);
    }

    /// Puts pieces in the place of a range.
    pub fn build(&mut self, range: Range<usize>, pieces: Vec<Piece>) {
        let same = |e: &Edit| e.range == range && e.pieces == pieces;
        // A word that two visitors saw is quoted once.
        if range.is_empty() || !self.0.iter().any(same) {
            self.0.push(Edit { range, pieces });
        }
    }

    /// Whether there are none within a range.
    pub fn is_unchanged(&self, range: &Range<usize>) -> bool {
        !self.0.iter().any(|e| e.range.start >= range.start && e.range.end <= range.end)
    }

    /// A part of the text with its edits.
    pub fn apply(&self, text: &str, range: Range<usize>) -> String {
        self.part(text, range, &mut Vec::new())
    }

    /// The same within these edits.
    fn part(&self, text: &str, range: Range<usize>, outer: &mut Vec<usize>) -> String {
        // What is inserted at the edge of a part that another edit takes over stays outside of it.
        let whole = outer.is_empty();
        let inside = |e: &Edit| {
            e.range.start >= range.start
                && e.range.end <= range.end
                && (whole || !e.range.is_empty() || (e.range.start > range.start && e.range.end < range.end))
        };
        let mut edits: Vec<(usize, &Edit)> =
            self.0.iter().enumerate().filter(|(i, e)| !outer.contains(i) && inside(e)).collect();
        // What is inserted goes first; of those that begin together the wider one counts, and of equal ones that which
        // takes the text over.
        let takes = |e: &Edit| e.pieces.iter().any(|p| matches!(p, Piece::Source(_)));
        edits.sort_by_key(|(i, e)| {
            (e.range.start, !e.range.is_empty(), usize::MAX - e.range.end, !takes(e), *i)
        });
        let mut out = String::new();
        let mut at = range.start;
        for (index, edit) in edits {
            if edit.range.start < at {
                continue;
            }
            out.push_str(text.get(at..edit.range.start).unwrap_or_default());
            outer.push(index);
            for piece in &edit.pieces {
                match piece {
                    Piece::Text(new) => out.push_str(new),
                    Piece::Source(part) => out.push_str(&self.part(text, part.clone(), outer)),
                }
            }
            outer.pop();
            at = edit.range.end;
        }
        out.push_str(text.get(at..range.end).unwrap_or_default());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_within_edits() {
        let text = "SELECT f(g(x), y) FROM t";
        let mut edits = Edits::default();
        edits.insert(text.len(), " AS t");
        edits.replace(15..16, "`y`");
        edits.build(
            7..17,
            vec![
                Piece::Text("(".into()),
                Piece::Source(9..13),
                Piece::Text(" + ".into()),
                Piece::Source(15..16),
                Piece::Text(")".into()),
            ],
        );
        edits.build(9..13, vec![Piece::Source(11..12), Piece::Text(" * 2".into())]);
        edits.replace(11..12, "`x`");
        edits.replace(11..12, "`x`");
        assert_eq!(edits.apply(text, 0..text.len()), "SELECT (`x` * 2 + `y`) FROM t AS t");
        assert_eq!(edits.apply(text, 0..6), "SELECT");
    }

    #[test]
    fn a_part_that_is_wrapped_whole() {
        let text = "FROM t AS a";
        let mut edits = Edits::default();
        edits.build(
            5..6,
            vec![Piece::Text("(SELECT * FROM ".into()), Piece::Source(5..6), Piece::Text(")".into())],
        );
        edits.replace(5..6, "`t`");
        assert_eq!(edits.apply(text, 0..text.len()), "FROM (SELECT * FROM `t`) AS a");
    }
}
