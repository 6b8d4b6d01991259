//! Which places of a table have changed since the last snapshot.

use std::ops::Range;

/// Notes changed and removed ids, so that a snapshot holds those only. Without checkpoints it notes nothing.
#[derive(Debug, Default)]
pub struct Changed {
    on: bool,
    /// One bit an id: it is in `changed`.
    marked: Vec<u64>,
    changed: Vec<u32>,
    removed: Vec<u32>,
}

impl Changed {
    /// One that notes (`on`), or not.
    pub fn new(on: bool) -> Self {
        Self { on, ..Self::default() }
    }

    /// Whether it notes anything.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// The id is new or its row has changed.
    #[inline]
    pub fn mark(&mut self, id: u32) {
        if !self.on {
            return;
        }
        let (word, bit) = (id as usize / 64, 1 << (id % 64));
        if word >= self.marked.len() {
            self.marked.resize(word + 1, 0);
        }
        if self.marked[word] & bit == 0 {
            self.marked[word] |= bit;
            self.changed.push(id);
        }
    }

    /// The row of the id is gone; the id may be given to another row later.
    #[inline]
    pub fn remove(&mut self, id: u32) {
        if !self.on {
            return;
        }
        if let Some(word) = self.marked.get_mut(id as usize / 64) {
            *word &= !(1 << (id % 64));
        }
        self.removed.push(id);
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        self.marked.capacity() * 8 + (self.changed.capacity() + self.removed.capacity()) * 4
    }

    /// What has changed since the last call: ids with new rows, ascending, and ranges of ids whose old rows
    /// are gone. An id in both was given to another row.
    pub fn take(&mut self) -> (Vec<u32>, Vec<Range<u64>>) {
        let marked = &mut self.marked;
        let mut changed = std::mem::take(&mut self.changed);
        changed.retain(|&id| {
            let (word, bit) = (&mut marked[id as usize / 64], 1 << (id % 64));
            let live = *word & bit != 0;
            *word &= !bit;
            live
        });
        changed.sort_unstable();
        let mut removed = std::mem::take(&mut self.removed);
        removed.sort_unstable();
        (changed, ranges(removed.into_iter().map(u64::from)))
    }
}

/// Ascending ids as ranges.
fn ranges(ids: impl Iterator<Item = u64>) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for id in ids {
        match ranges.last_mut() {
            Some(last) if last.end == id => last.end += 1,
            Some(last) if last.contains(&id) => {}
            _ => ranges.push(id..id + 1),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_slots_are_not_changed_and_reused_ones_are_both() {
        let mut changed = Changed::new(true);
        [5, 70, 5, 3, 4].into_iter().for_each(|id| changed.mark(id));
        [70, 3, 4].into_iter().for_each(|id| changed.remove(id));
        changed.mark(3);
        assert_eq!(changed.take(), (vec![3, 5], vec![3..5, 70..71]));
        assert_eq!(changed.take(), (vec![], vec![]));
        changed.mark(70);
        assert_eq!(changed.take(), (vec![70], vec![]));
    }

    #[test]
    fn one_that_is_off_notes_nothing() {
        let mut changed = Changed::default();
        changed.mark(1);
        changed.remove(2);
        assert_eq!(changed.take(), (vec![], vec![]));
    }
}
