//! Panes by their place in time, and what a checkpoint has of them.
//!
//! ```text
//!  slice 12:00 ──> pane 0 [ a | 17 ]        table "slices"    id     │ slice_start  slice_end  key  SUM
//!                         [ b |  2 ]                          0 << 32│ 12:00        12:02      a     17
//!  slice 12:02 ──> pane 1 [ a |  4 ]                       0 << 32|1 │ 12:00        12:02      b      2
//!                                                             1 << 32│ 12:02        12:04      a      4
//! ```
//! A group's row stands at the number of its pane and that of its slot, so that a pane that is let go takes all
//! of its rows with it as one range. Numbers of panes are used again.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, TimestampMillisecondArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMillisecondType};

use super::WindowAggregateSpec;
use super::pane::{Evaluated, Pane, accumulators};
use crate::error::Result;
use crate::operator::aggregate::state::{check_state, state_schema};
use crate::state::{Restored, Scope, Snapshot};

/// What new panes are made of, and whose their groups are.
#[derive(Debug)]
pub(super) struct PaneLayout {
    key_types: Vec<DataType>,
    scope: Scope,
    /// Changes are noted.
    tracked: bool,
}

impl PaneLayout {
    /// `attached`: rows meet by their keys and by the window that they name.
    pub(super) fn new(key_types: Vec<DataType>, attached: bool) -> Self {
        // Behind start and end.
        let mut scope: Vec<usize> = (2..2 + key_types.len()).collect();
        if attached {
            scope.extend([0, 1]);
        }
        Self { key_types, scope: Scope::Keyed(scope), tracked: false }
    }

    /// Changes are noted from now on.
    pub(super) fn track(&mut self, tracked: bool) {
        self.tracked = tracked;
    }

    /// An empty pane.
    pub(super) fn pane(&self, spec: &WindowAggregateSpec, ingest: Instant) -> Result<Pane> {
        Pane::new(&self.key_types, &spec.calls, spec.input_changes, ingest, self.tracked)
    }
}

/// Panes by a key that says where in time they are.
#[derive(Debug)]
pub(super) struct Panes<K> {
    table: &'static str,
    /// Start and end of a pane, keys, rows of the group where rows may be taken back, state.
    schema: SchemaRef,
    panes: BTreeMap<K, Pane>,
    /// Numbers of panes that are gone, to be used again, and the first that was never used.
    free: Vec<u32>,
    next: u32,
    /// Of these a checkpoint has rows.
    removed: Vec<u32>,
}

fn ids_of(pane: u32) -> Range<u64> {
    u64::from(pane) << 32..(u64::from(pane) + 1) << 32
}

impl<K: Ord + Copy> Panes<K> {
    /// `table`: its name in a checkpoint; `times`: what start and end of a pane are called there.
    pub(super) fn new(
        table: &'static str,
        times: [&str; 2],
        keys: &[(String, DataType)],
        spec: &WindowAggregateSpec,
    ) -> Result<Self> {
        let time = DataType::Timestamp(TimeUnit::Millisecond, None);
        let mut columns: Vec<(String, DataType)> =
            times.into_iter().map(|name| (name.to_string(), time.clone())).collect();
        columns.extend_from_slice(keys);
        if spec.input_changes {
            columns.push(("rows".into(), DataType::Int64));
        }
        let schema = state_schema(columns, &spec.calls, &accumulators(&spec.calls, spec.input_changes)?);
        let (panes, free, removed) = (BTreeMap::new(), Vec::new(), Vec::new());
        Ok(Self { table, schema, panes, free, next: 0, removed })
    }

    /// Adds rows to a pane, which may be new. `groups` is room to work in.
    pub(super) fn add(
        &mut self,
        key: K,
        rows: &Evaluated,
        (layout, spec): (&PaneLayout, &WindowAggregateSpec),
        groups: &mut Vec<u32>,
    ) -> Result<()> {
        self.open(key, layout, spec, rows.ingest)?.add(rows, groups)
    }

    /// The pane with this key, which may be new.
    fn open(
        &mut self,
        key: K,
        layout: &PaneLayout,
        spec: &WindowAggregateSpec,
        ingest: Instant,
    ) -> Result<&mut Pane> {
        match self.panes.entry(key) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let pane = entry.insert(layout.pane(spec, ingest)?);
                pane.renumber(take_number(&mut self.free, &mut self.next));
                Ok(pane)
            }
        }
    }

    /// Puts a pane that was another's here, where there is none.
    pub(super) fn insert(&mut self, key: K, mut pane: Pane) {
        pane.renumber(take_number(&mut self.free, &mut self.next));
        self.panes.insert(key, pane);
    }

    /// Takes a pane out.
    pub(super) fn remove(&mut self, key: &K) -> Option<Pane> {
        let pane = self.panes.remove(key)?;
        self.free.push(pane.number());
        if pane.is_written() {
            self.removed.push(pane.number());
        }
        Some(pane)
    }

    pub(super) fn first(&self) -> Option<K> {
        self.panes.first_key_value().map(|(&key, _)| key)
    }

    pub(super) fn get(&self, key: &K) -> Option<&Pane> {
        self.panes.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut Pane> {
        self.panes.get_mut(key)
    }

    pub(super) fn range(&self, keys: Range<K>) -> impl Iterator<Item = &Pane> {
        self.panes.range(keys).map(|(_, pane)| pane)
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.panes.values().map(Pane::memory).sum()
    }

    /// Writes the groups that have changed. `span`: start and end of a pane.
    pub(super) fn snapshot(
        &mut self,
        snapshot: &mut Snapshot,
        layout: &PaneLayout,
        span: impl Fn(K) -> (i64, i64),
    ) -> Result<()> {
        let (mut ids, mut parts) = (Vec::new(), Vec::new());
        let full = snapshot.is_full();
        for (&key, pane) in &mut self.panes {
            let groups = pane.take_touched(full);
            if groups.is_empty() {
                continue;
            }
            let first = ids_of(pane.number()).start;
            ids.extend(groups.iter().map(|&g| first + u64::from(g)));
            let (start, end) = span(key);
            let time =
                |millis| Arc::new(TimestampMillisecondArray::from_value(millis, groups.len())) as ArrayRef;
            parts.push(pane.state_of(&self.schema, vec![time(start), time(end)], &groups)?);
        }
        let rows = match parts.len() {
            1 => parts.remove(0),
            _ => concat_batches(&self.schema, &parts)?,
        };
        let removed = self.removed.drain(..).map(ids_of).collect();
        snapshot.table(self.table, layout.scope.clone(), ids, rows, removed)
    }

    /// Takes groups of a checkpoint back. `key`: of a pane by its start and end.
    pub(super) fn restore(
        &mut self,
        state: &mut Restored,
        (layout, spec): (&PaneLayout, &WindowAggregateSpec),
        key: impl Fn(i64, i64) -> K,
    ) -> Result<()> {
        for piece in state.table(self.table)? {
            check_state(&self.schema, &piece.rows)?;
            let times = |i: usize| piece.rows.column(i).as_primitive::<TimestampMillisecondType>().values();
            let mut by_pane: BTreeMap<K, Vec<u32>> = BTreeMap::new();
            for (row, (&start, &end)) in times(0).iter().zip(times(1)).enumerate() {
                by_pane.entry(key(start, end)).or_default().push(row as u32);
            }
            for (key, rows) in by_pane {
                let pane = self.open(key, layout, spec, crate::clock::instant())?;
                let whole = rows.len() == piece.rows.num_rows();
                let rows = match whole {
                    true => piece.rows.clone(),
                    false => take_record_batch(&piece.rows, &UInt32Array::from(rows))?,
                };
                pane.put_back(&rows, 2, &spec.calls)?;
            }
        }
        Ok(())
    }
}

fn take_number(free: &mut Vec<u32>, next: &mut u32) -> u32 {
    free.pop().unwrap_or_else(|| {
        *next += 1;
        *next - 1
    })
}
