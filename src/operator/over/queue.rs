//! Rows that wait for the watermark, in the order of their times.

use std::collections::VecDeque;

/// Row ids by time; those of one instant by arrival.
///
/// Streams are mostly in order: what comes goes to the end, and only what came out of order moves the few
/// rows behind it.
#[derive(Debug, Default)]
pub(crate) struct TimeQueue {
    rows: VecDeque<(i64, u32)>,
}

impl TimeQueue {
    /// Adds rows in the order of their arrival.
    pub(crate) fn push(&mut self, mut rows: Vec<(i64, u32)>) {
        // Stable: arrival decides between equal times.
        if !rows.is_sorted_by_key(|r| r.0) {
            rows.sort_by_key(|r| r.0);
        }
        let Some(&(first, _)) = rows.first() else { return };
        let at = self.rows.partition_point(|r| r.0 <= first);
        if at == self.rows.len() {
            self.rows.extend(rows);
            return;
        }
        let tail = self.rows.split_off(at);
        let (mut tail, mut rows) = (tail.into_iter().peekable(), rows.into_iter().peekable());
        while let (Some(old), Some(new)) = (tail.peek(), rows.peek()) {
            let next = if old.0 <= new.0 { tail.next() } else { rows.next() };
            self.rows.extend(next);
        }
        self.rows.extend(tail);
        self.rows.extend(rows);
    }

    /// Takes out about `most` of the rows up to `time`: rows of one instant stay together.
    pub(crate) fn pop(&mut self, time: i64, most: usize) -> Vec<(i64, u32)> {
        let mut end = self.rows.partition_point(|r| r.0 <= time);
        if end > most {
            let last = self.rows[most - 1].0;
            end = self.rows.partition_point(|r| r.0 <= last);
        }
        self.rows.drain(..end).collect()
    }

    /// The rows that wait, in order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.rows.iter().map(|row| row.1)
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.rows.capacity() * size_of::<(i64, u32)>()
    }
}
