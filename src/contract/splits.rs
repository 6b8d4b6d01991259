//! Splits of a source: partitions, shards, files.

/// Which part of a source rows come from, for watermarks. Event time runs in each split for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Split {
    /// Distinguishes it from others of the same source.
    pub id: u64,
    /// Other splits have not been begun by any reader: their rows may be older than any that was read, so that
    /// nothing is known about event time yet.
    pub others_pending: bool,
}

/// Which splits the rows of the next chunk come from: what a reader says with them, for watermarks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Splits {
    /// One split at a time: all rows come from this one, and the one before it has ended.
    One(Split),
    /// Several splits at the same time, such as the partitions of a topic.
    Many(OpenSplits),
    /// None so far, while other readers have some: event time does not wait for this reader.
    None,
}

impl Default for Splits {
    fn default() -> Self {
        Self::One(Split::default())
    }
}

/// What changes in the set of splits that a reader reads at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenSplits {
    /// The reader does not know yet which splits it is to read: nothing is known about event time.
    pub pending: bool,
    /// Splits that are read from now on. Event time waits for each of them, whether it has rows or not, until it is
    /// idle or ends.
    pub begun: Vec<u64>,
    /// The rows of the chunk, in order: a split, and how many rows of it. Empty when there is no chunk.
    pub rows: Vec<(u64, usize)>,
    /// Splits without any row after those.
    pub ended: Vec<u64>,
}

impl OpenSplits {
    /// Adds what happened after it.
    pub fn append(&mut self, later: Self) {
        self.pending = later.pending;
        self.begun.extend(later.begun);
        self.rows.extend(later.rows);
        self.ended.extend(later.ended);
    }

    /// Nothing changes.
    pub fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.rows.is_empty() && self.ended.is_empty()
    }
}
