//! Begun and finished matches of a partition, those first that began first.
//!
//! Several of them may have begun with the same row. Which of these comes first is seen in the result where a pattern
//! can be read in two ways; so the order among equals is Flink's, whose queue is the binary heap of Java.

/// One way in which the rows so far may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// The state it has come to.
    pub state: u16,
    /// The last row that was taken, as a place in the paths; [`NO_NODE`] at the start.
    pub node: u32,
    /// The number of its first row; [`u64::MAX`] at the start.
    pub first: u64,
    /// The time of its first row.
    pub since: i64,
}

/// No row was taken.
pub(super) const NO_NODE: u32 = u32::MAX;

impl Run {
    /// One that waits for its first row.
    pub fn start(state: u16) -> Self {
        Self { state, node: NO_NODE, first: u64::MAX, since: i64::MAX }
    }

    pub fn is_start(&self) -> bool {
        self.node == NO_NODE
    }
}

/// A heap by first row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Runs {
    heap: Vec<Run>,
}

impl Runs {
    /// In the order in which they lie in the heap.
    pub fn from_heap(heap: Vec<Run>) -> Self {
        Self { heap }
    }

    pub fn heap(&self) -> &[Run] {
        &self.heap
    }

    /// Changes places with another heap.
    pub fn swap(&mut self, heap: &mut Vec<Run>) {
        std::mem::swap(&mut self.heap, heap);
    }

    pub fn take(&mut self) -> Vec<Run> {
        std::mem::take(&mut self.heap)
    }

    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    pub fn peek(&self) -> Option<&Run> {
        self.heap.first()
    }

    pub fn add(&mut self, run: Run) {
        self.heap.push(run);
        self.up(self.heap.len() - 1);
    }

    pub fn poll(&mut self) -> Option<Run> {
        let last = self.heap.pop()?;
        let Some(first) = self.heap.first_mut() else { return Some(last) };
        let first = std::mem::replace(first, last);
        self.down(0);
        Some(first)
    }

    /// Takes those out that began with a row of which `gone` holds.
    pub fn remove(&mut self, gone: impl Fn(u64) -> bool, removed: &mut Vec<Run>) {
        let before = removed.len();
        self.heap.retain(|run| {
            let stays = !gone(run.first);
            if !stays {
                removed.push(*run);
            }
            stays
        });
        if removed.len() > before {
            for at in (0..self.heap.len() / 2).rev() {
                self.down(at);
            }
        }
    }

    fn up(&mut self, mut at: usize) {
        let run = self.heap[at];
        while at > 0 {
            let parent = (at - 1) / 2;
            if run.first >= self.heap[parent].first {
                break;
            }
            self.heap[at] = self.heap[parent];
            at = parent;
        }
        self.heap[at] = run;
    }

    fn down(&mut self, mut at: usize) {
        let run = self.heap[at];
        let half = self.heap.len() / 2;
        while at < half {
            let mut child = 2 * at + 1;
            if child + 1 < self.heap.len() && self.heap[child].first > self.heap[child + 1].first {
                child += 1;
            }
            if run.first <= self.heap[child].first {
                break;
            }
            self.heap[at] = self.heap[child];
            at = child;
        }
        self.heap[at] = run;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: u16, first: u64) -> Run {
        Run { state, node: 0, first, since: 0 }
    }

    #[test]
    fn those_that_began_first_come_first() {
        let mut runs = Runs::default();
        for (state, first) in [(1, 5), (2, 3), (3, 5), (4, 1), (5, 3)] {
            runs.add(run(state, first));
        }
        // What java.util.PriorityQueue gives.
        let states: Vec<u16> = runs.heap().iter().map(|r| r.state).collect();
        assert_eq!(states, [4, 2, 3, 1, 5]);
        let mut removed = Vec::new();
        runs.remove(|first| first == 1, &mut removed);
        assert_eq!(removed.len(), 1);
        let mut order = Vec::new();
        while let Some(run) = runs.poll() {
            order.push((run.first, run.state));
        }
        assert_eq!(order, [(3, 2), (3, 5), (5, 1), (5, 3)]);
        assert_eq!(runs.poll(), None);
    }
}
