//! Several runs read as one.

use std::sync::Arc;

use super::run::{RESET, Record, Run, Scan};
use super::{Kind, Times};
use crate::error::Result;

/// Where a row of a [`Group`] is.
#[derive(Debug, Clone, Copy)]
struct Row {
    tag: u8,
    moment: i64,
    start: usize,
    end: usize,
}

/// All rows of one hash, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) hash: u64,
    rows: Vec<Row>,
    bytes: Vec<u8>,
}

impl Group {
    /// The rows, without signs that older runs do not count.
    pub(super) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.rows.iter().map(|row| Record {
            hash: self.hash,
            tag: row.tag,
            moment: row.moment,
            row: &self.bytes[row.start..row.end],
        })
    }

    /// The earliest moment of a row.
    pub(super) fn earliest(&self) -> i64 {
        self.rows.iter().map(|row| row.moment).min().unwrap_or(i64::MAX)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Runs, the newest first, by ascending hashes.
pub(super) struct Merge {
    scans: Vec<Scan>,
    kind: Kind,
    /// Rows whose time to live is over at this moment are left out.
    now: i64,
    one: Vec<(usize, Row)>,
    /// Ends of the rows of each run in `one`.
    ends: Vec<usize>,
}

impl Merge {
    pub(super) fn new(runs: &[Arc<Run>], kind: Kind, now: i64) -> Result<Self> {
        let scans = runs.iter().cloned().map(Scan::new).collect::<Result<_>>()?;
        Ok(Self { scans, kind, now, one: Vec::new(), ends: Vec::new() })
    }

    /// The next hash. `true`: nothing that is older than these runs counts for it.
    pub(super) fn next(&mut self, group: &mut Group) -> Result<Option<bool>> {
        let Some(hash) = self.scans.iter().filter_map(Scan::hash).min() else { return Ok(None) };
        group.hash = hash;
        group.rows.clear();
        group.bytes.clear();
        self.ends.clear();
        let mut reset = false;
        let expired = match self.kind.times {
            Times::Written(ttl) => self.now.saturating_sub(ttl),
            Times::None | Times::Due => i64::MIN,
        };
        for scan in &mut self.scans {
            if scan.hash() != Some(hash) {
                continue;
            }
            let skip = reset;
            scan.group(&mut |record| {
                if record.tag == RESET {
                    reset = true;
                } else if !skip && (record.moment > expired || expired == i64::MIN) {
                    let start = group.bytes.len();
                    group.bytes.extend_from_slice(record.row);
                    let end = group.bytes.len();
                    group.rows.push(Row { tag: record.tag, moment: record.moment, start, end });
                }
                Ok(())
            })?;
            reset |= !self.kind.adds;
            self.ends.push(group.rows.len());
        }
        // The newest run came first.
        if self.ends.len() > 1 {
            let mut start = 0;
            self.one.clear();
            for (run, &end) in self.ends.iter().enumerate() {
                self.one.extend(group.rows[start..end].iter().map(|row| (run, *row)));
                start = end;
            }
            self.one.sort_by_key(|(run, _)| std::cmp::Reverse(*run));
            group.rows.clear();
            group.rows.extend(self.one.iter().map(|(_, row)| *row));
        }
        Ok(Some(reset))
    }
}
