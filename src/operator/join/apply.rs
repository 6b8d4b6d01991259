//! What a chunk of one input does: to the state of its own side, and to what the other side has emitted.
//!
//! The rows of a chunk are kept in the state of their own side first, then joined with the other side; keys that are left
//! without rows are forgotten. Some rows whose time to live has passed are swept out on the way.

use std::time::Instant;

use arrow::array::{RecordBatch, UInt32Array};

use super::emit::PIECE;
use super::side::{NONE, Side};
use super::{Emitter, JoinKind, RegularJoin, RightSide, Role};
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds, Output};

/// Rows that are swept with each chunk, beside as many as it has itself.
const SWEEP_ROWS: usize = 64;

/// Rows of the chunk and what they meet.
#[derive(Debug, Default)]
struct Candidates {
    input: Vec<u32>,
    kept: Vec<u32>,
    /// Where the candidates of each row end.
    ends: Vec<usize>,
}

impl Candidates {
    fn clear(&mut self) {
        self.input.clear();
        self.kept.clear();
        self.ends.clear();
    }

    /// Drops the pairs that do not pass.
    fn retain(&mut self, keep: &[bool]) {
        let (mut from, mut to) = (0, 0);
        for end in &mut self.ends {
            while from < *end {
                if keep[from] {
                    self.input[to] = self.input[from];
                    self.kept[to] = self.kept[from];
                    to += 1;
                }
                from += 1;
            }
            *end = to;
        }
        self.input.truncate(to);
        self.kept.truncate(to);
    }

    /// What row number `i` of this group meets.
    fn of(&self, i: usize) -> &[u32] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.kept[start..self.ends[i]]
    }
}

/// What the state of its own side makes of a row.
#[derive(Debug, Clone, Copy)]
struct Own {
    /// Its id, if it was kept.
    id: u32,
    /// It takes part: it is no retraction of a row that never was.
    active: bool,
}

/// One chunk on its way through a join.
struct Pass<'a> {
    kind: JoinKind,
    chunk: &'a Chunk,
    role: &'a Role,
    schema: &'a arrow::datatypes::SchemaRef,
    own: &'a mut Side,
    other: &'a mut Side,
    emitter: &'a mut Emitter,
    out: &'a mut Output,
    now: i64,
    /// All rows of the other side are there: nothing that was given out has to be withdrawn.
    batch: bool,
    /// Rows of the other side whose matches changed, with their number before.
    touched: Vec<(u32, u32)>,
}

fn is_retraction(kind: Kind) -> bool {
    matches!(kind, Kind::UpdateBefore | Kind::Delete)
}

impl RegularJoin {
    pub(super) fn apply(&mut self, input: usize, chunk: &Chunk, out: &mut Output) -> Result<()> {
        let now = self.clock.now_millis();
        self.sweep(now, chunk.len() + SWEEP_ROWS)?;
        let mut slots = std::mem::take(&mut self.scratch.slots);
        let matchable = self.slots(input, &chunk.batch, &mut slots)?;
        let right_before = self.right;
        let own = self.keep(input, chunk, &slots, matchable.as_deref(), now)?;
        self.join(input, chunk, &slots, matchable.as_deref(), &own, (right_before, now), out)?;
        self.sides[input].settle()?;
        let goes = self.spec.left.changes || self.spec.right.changes || matchable.is_some();
        if goes || self.sides[input].expires() || self.sides[1 - input].expires() {
            self.release(&slots);
        }
        self.scratch.slots = slots;
        Ok(())
    }

    /// Forgets some of the rows whose time has passed.
    fn sweep(&mut self, now: i64, most: usize) -> Result<()> {
        let mut swept = std::mem::take(&mut self.scratch.swept);
        for side in &mut self.sides {
            side.sweep(now, most, &mut swept);
            side.settle()?;
        }
        self.release(&swept);
        swept.clear();
        self.scratch.swept = swept;
        Ok(())
    }

    /// Forgets keys that have no rows any more.
    fn release(&mut self, slots: &[u32]) {
        for &slot in slots {
            if self.sides.iter().all(|s| s.is_empty_at(slot)) {
                self.keys.remove(slot);
                if slot == self.null_slot {
                    self.null_slot = NONE;
                }
            }
        }
    }

    /// Joins rows of the left side with those of the right side, once and for all: both are whole.
    pub(super) fn join_once(
        &mut self,
        left: &[RecordBatch],
        right: &[RecordBatch],
        ingest: Instant,
        out: &mut Output,
    ) -> Result<()> {
        debug_assert!(self.batch);
        let mut slots = Vec::new();
        for batch in right {
            let matchable = self.slots(1, batch, &mut slots)?;
            self.keep(1, &Chunk::append(batch.clone(), ingest), &slots, matchable.as_deref(), 0)?;
        }
        for batch in left {
            let matchable = self.slots(0, batch, &mut slots)?;
            let own = vec![Own { id: NONE, active: true }; batch.num_rows()];
            let chunk = Chunk::append(batch.clone(), ingest);
            self.join(0, &chunk, &slots, matchable.as_deref(), &own, (self.right, 0), out)?;
        }
        if !self.spec.kind.is_outer(1) {
            return Ok(());
        }
        let empty = RecordBatch::new_empty(self.spec.left.schema.clone());
        let side = &self.sides[1];
        let columns = (self.roles[0].output.as_slice(), &self.spec.schema);
        for slot in 0..side.slots() {
            for row in side.list(slot, 0).filter(|&r| side.count(r) == 0) {
                if self.emitter.push(NONE, row, Kind::Insert, false) {
                    self.emitter.flush(&empty, ingest, side.rows(), columns, out)?;
                }
            }
        }
        self.emitter.flush(&empty, ingest, side.rows(), columns, out)
    }

    /// The slots of the keys of a batch, and which of its rows can match.
    fn slots(
        &mut self,
        input: usize,
        batch: &RecordBatch,
        slots: &mut Vec<u32>,
    ) -> Result<Option<Vec<bool>>> {
        let (keys, matchable) = self.spec.keys(input, batch.columns());
        self.keys.intern(&keys, batch.num_rows(), slots)?;
        if self.spec.null_aware
            && let Some(null) = matchable.as_ref().and_then(|m| m.iter().position(|m| !m))
        {
            self.null_slot = slots[null];
        }
        for side in &mut self.sides {
            side.resize(self.keys.capacity());
            side.begin();
        }
        Ok(matchable)
    }

    /// Adds the rows of a chunk to the state of their side, and takes back what they take back.
    fn keep(
        &mut self,
        input: usize,
        chunk: &Chunk,
        slots: &[u32],
        matchable: Option<&[bool]>,
        now: i64,
    ) -> Result<Vec<Own>> {
        let null_aware = self.spec.null_aware;
        let existence = self.existence && input == 1;
        // Rows of a window come out when it ends, whether they can match or not.
        let all = null_aware || (self.batch && self.spec.kind.is_outer(input));
        let side = &mut self.sides[input];
        let hashes = side.hashes(&chunk.batch)?;
        // A row that can never match is not needed again, except where its mere being there counts.
        let wanted = |row: usize| all || matchable.is_none_or(|m| m[row]);
        let mut kept: Vec<u32> = Vec::with_capacity(chunk.len());
        if existence {
            let mut new = std::collections::HashSet::new();
            for (row, &slot) in slots.iter().enumerate() {
                if wanted(row) && side.is_empty_at(slot) && new.insert(slot) {
                    kept.push(row as u32);
                }
            }
        } else {
            kept.extend(
                (0..chunk.len())
                    .filter(|&row| wanted(row) && !is_retraction(chunk.kinds.get(row)))
                    .map(|row| row as u32),
            );
        }
        let mut ids = Vec::with_capacity(kept.len());
        if kept.len() == chunk.len() {
            side.push(&chunk.batch, &mut ids)?;
        } else if !kept.is_empty() {
            let rows = chunk.take(&UInt32Array::from(kept.clone()))?;
            side.push(&rows.batch, &mut ids)?;
        }
        let mut own = vec![Own { id: NONE, active: true }; chunk.len()];
        let mut next = kept.iter().zip(&ids).peekable();
        for row in 0..chunk.len() {
            let kind = chunk.kinds.get(row);
            let hash = hashes.as_ref().map(|h| h[row]);
            let null = matchable.is_some_and(|m| !m[row]);
            if let Some((_, id)) = next.next_if(|(r, _)| **r as usize == row) {
                side.link(*id, slots[row], hash, now);
                own[row].id = *id;
            } else if is_retraction(kind) {
                let Some(hash) = hash else {
                    return Err(Error::internal("an update reached a join whose input only has inserts"));
                };
                if wanted(row) {
                    own[row].active = side.retract(hash, slots[row], now).is_some() || side.expires();
                }
            }
            if null_aware && input == 1 && own[row].active {
                let (rows, nulls) = (&mut self.right.rows, &mut self.right.nulls);
                if is_retraction(kind) {
                    *rows -= 1;
                    *nulls -= u64::from(null);
                } else {
                    *rows += 1;
                    *nulls += u64::from(null);
                }
            }
        }
        Ok(own)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one chunk")]
    fn join(
        &mut self,
        input: usize,
        chunk: &Chunk,
        slots: &[u32],
        matchable: Option<&[bool]>,
        own: &[Own],
        (right_before, now): (RightSide, i64),
        out: &mut Output,
    ) -> Result<()> {
        let [left, right] = &mut self.sides;
        let (mine, other) = if input == 0 { (left, right) } else { (right, left) };
        let mut pass = Pass {
            kind: self.spec.kind,
            chunk,
            role: &self.roles[input],
            schema: &self.spec.schema,
            own: mine,
            other,
            emitter: &mut self.emitter,
            out,
            now,
            batch: self.batch,
            touched: Vec::new(),
        };
        let is_null = |row: usize| matchable.is_some_and(|m| !m[row]);
        let right_side = self.right;
        let null_aware = self.spec.null_aware;
        // Whether a left row comes out, by its number of matches.
        let kind = self.spec.kind;
        let passes = |null: bool, count: usize, right: RightSide| match kind {
            JoinKind::Semi => count > 0,
            JoinKind::Anti if null_aware => right.rows == 0 || (!null && right.nulls == 0 && count == 0),
            JoinKind::Anti => count == 0,
            _ => true,
        };
        let mut group = Candidates::default();
        let mut keep = Vec::new();
        let mut start = 0;
        while start < chunk.len() {
            group.clear();
            let mut end = start;
            while end < chunk.len() && group.kept.len() < PIECE {
                let rows = if is_couple(&chunk.kinds, own, end) { 2 } else { 1 };
                for row in end..end + rows {
                    if own[row].active && !is_null(row) {
                        group.kept.extend(pass.other.list(slots[row], now));
                        group.input.resize(group.kept.len(), row as u32);
                    }
                    group.ends.push(group.kept.len());
                }
                end += rows;
            }
            if let Some(residual) = &self.residual
                && !group.kept.is_empty()
            {
                keep.clear();
                let (batch, rows) = (&chunk.batch, pass.other.rows());
                residual.evaluate(batch, &group.input, rows, &group.kept, &pass.role.residual, &mut keep)?;
                group.retain(&keep);
            }
            let mut row = start;
            while row < end {
                let found = group.of(row - start);
                if !own[row].active {
                    row += 1;
                    continue;
                }
                let couple = is_couple(&chunk.kinds, own, row);
                if kind.is_filter() && input == 1 {
                    pass.count(row, found);
                    row += 1;
                    continue;
                }
                let after = if couple { group.of(row + 1 - start) } else { &[] };
                if pass.own.counts() {
                    // The row itself, or the one that replaces it.
                    let (id, count) =
                        if couple { (own[row + 1].id, after.len()) } else { (own[row].id, found.len()) };
                    if id != NONE {
                        pass.own.set_count(id, count as u32);
                    }
                }
                if kind.is_filter() {
                    let here = passes(is_null(row), found.len(), right_side);
                    if couple {
                        let then = passes(is_null(row + 1), after.len(), right_side);
                        pass.filter_couple(row, (here, !found.is_empty()), (then, !after.is_empty()))?;
                    } else if here {
                        pass.filter_single(row, !found.is_empty())?;
                    }
                } else if couple {
                    pass.couple(row, found, after)?;
                } else {
                    pass.single(row, found)?;
                }
                row += if couple { 2 } else { 1 };
            }
            start = end;
        }
        if kind.is_filter() && input == 1 {
            let touched = std::mem::take(&mut pass.touched);
            for (row, before) in touched {
                let after = pass.other.count(row);
                let was = passes(false, before as usize, right_before);
                let is = passes(false, after as usize, right_side);
                pass.transition(row, (was, before > 0), (is, after > 0))?;
            }
            if null_aware && regime(right_before) != regime(right_side) {
                for slot in 0..pass.other.slots() {
                    let null = slot == self.null_slot;
                    let rows: Vec<u32> = pass.other.list(slot, now).collect();
                    for row in rows {
                        if !pass.other.is_touched(row) {
                            let count = pass.other.count(row) as usize;
                            let was = passes(null, count, right_before);
                            let is = passes(null, count, right_side);
                            pass.transition(row, (was, false), (is, false))?;
                        }
                    }
                }
            }
        } else if pass.role.other_outer && !self.batch {
            for (row, _) in std::mem::take(&mut pass.touched) {
                if pass.other.count(row) == 0 {
                    pass.emit(NONE, row, Kind::Insert, false)?;
                }
            }
        }
        pass.flush()
    }
}

/// What NOT IN says of all left rows at once.
fn regime(right: RightSide) -> (bool, bool) {
    (right.rows == 0, right.nulls == 0)
}

/// Row `row` is replaced by the row behind it.
fn is_couple(kinds: &Kinds, own: &[Own], row: usize) -> bool {
    let Kinds::Changes(kinds) = kinds else { return false };
    kinds[row] == Kind::UpdateBefore && kinds.get(row + 1) == Some(&Kind::UpdateAfter) && own[row].active
}

impl Pass<'_> {
    fn emit(&mut self, input: u32, kept: u32, kind: Kind, mark: bool) -> Result<()> {
        if self.emitter.push(input, kept, kind, mark) { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let columns = (self.role.output.as_slice(), self.schema);
        self.emitter.flush(&self.chunk.batch, self.chunk.ingest, self.other.rows(), columns, self.out)
    }

    /// One match more or less for a row of the other side, which it may have come out without.
    fn associate(&mut self, kept: u32, more: bool) -> Result<()> {
        if let Some(before) = self.other.associate(kept, more, self.now) {
            self.touched.push((kept, before));
            if self.role.other_outer && before == 0 && more && !self.batch {
                self.emit(NONE, kept, Kind::Delete, false)?;
            }
        }
        Ok(())
    }

    /// Matches of left rows that a right row makes or ends.
    fn count(&mut self, row: usize, found: &[u32]) {
        let more = !is_retraction(self.chunk.kinds.get(row));
        for &kept in found {
            if let Some(before) = self.other.associate(kept, more, self.now) {
                self.touched.push((kept, before));
            }
        }
    }

    /// A row that comes or goes.
    fn single(&mut self, row: usize, found: &[u32]) -> Result<()> {
        let input = row as u32;
        let retraction = is_retraction(self.chunk.kinds.get(row));
        let kind = if retraction { Kind::Delete } else { Kind::Insert };
        if self.role.other_outer && !retraction {
            for &kept in found {
                self.associate(kept, true)?;
            }
        }
        for &kept in found {
            if self.role.other_outer && retraction {
                if self.other.count(kept) == 0 {
                    // The pair was never made: its rows did not live at the same time.
                    continue;
                }
                self.associate(kept, false)?;
            }
            self.emit(input, kept, kind, false)?;
        }
        if self.role.own_outer && found.is_empty() {
            self.emit(input, NONE, kind, false)?;
        }
        Ok(())
    }

    /// A row that is replaced by the one behind it: `before` are the matches of the old one.
    fn couple(&mut self, row: usize, before: &[u32], after: &[u32]) -> Result<()> {
        let (old, new) = (row as u32, row as u32 + 1);
        if before == after {
            for &kept in before {
                self.update(old, new, kept)?;
            }
            if self.role.own_outer && before.is_empty() {
                self.update(old, new, NONE)?;
            }
            return Ok(());
        }
        let sorted = |rows: &[u32]| {
            let mut rows = rows.to_vec();
            rows.sort_unstable();
            rows
        };
        let (old_matches, new_matches) = (sorted(before), sorted(after));
        for &kept in before {
            if new_matches.binary_search(&kept).is_err() {
                if self.role.other_outer {
                    if self.other.count(kept) == 0 {
                        continue;
                    }
                    self.associate(kept, false)?;
                }
                self.emit(old, kept, Kind::Delete, false)?;
            }
        }
        if self.role.own_outer && before.is_empty() {
            self.emit(old, NONE, Kind::Delete, false)?;
        }
        for &kept in before {
            if new_matches.binary_search(&kept).is_ok() {
                self.update(old, new, kept)?;
            }
        }
        for &kept in after {
            if old_matches.binary_search(&kept).is_err() {
                if self.role.other_outer {
                    self.associate(kept, true)?;
                }
                self.emit(new, kept, Kind::Insert, false)?;
            }
        }
        if self.role.own_outer && after.is_empty() {
            self.emit(new, NONE, Kind::Insert, false)?;
        }
        Ok(())
    }

    fn update(&mut self, old: u32, new: u32, kept: u32) -> Result<()> {
        self.emit(old, kept, Kind::UpdateBefore, false)?;
        self.emit(new, kept, Kind::UpdateAfter, false)
    }

    /// A left row that comes out.
    fn filter_single(&mut self, row: usize, matched: bool) -> Result<()> {
        let kind = if is_retraction(self.chunk.kinds.get(row)) { Kind::Delete } else { Kind::Insert };
        self.emit(row as u32, NONE, kind, matched)
    }

    /// A left row and the one that replaces it: whether they come out, and their marks.
    fn filter_couple(&mut self, row: usize, old: (bool, bool), new: (bool, bool)) -> Result<()> {
        let (first, second) = (row as u32, row as u32 + 1);
        match (old, new) {
            ((true, before), (true, after)) => {
                self.emit(first, NONE, Kind::UpdateBefore, before)?;
                self.emit(second, NONE, Kind::UpdateAfter, after)
            }
            ((true, before), _) => self.emit(first, NONE, Kind::Delete, before),
            (_, (true, after)) => self.emit(second, NONE, Kind::Insert, after),
            _ => Ok(()),
        }
    }

    /// A kept left row whose matches have changed: whether it came out before and does now, and its marks.
    fn transition(&mut self, kept: u32, old: (bool, bool), new: (bool, bool)) -> Result<()> {
        match (old, new) {
            ((true, _), (false, _)) => self.emit(NONE, kept, Kind::Delete, false),
            ((false, _), (true, _)) => self.emit(NONE, kept, Kind::Insert, false),
            ((true, before), (true, after)) if self.kind == JoinKind::Mark && before != after => {
                self.emit(NONE, kept, Kind::UpdateBefore, before)?;
                self.emit(NONE, kept, Kind::UpdateAfter, after)
            }
            _ => Ok(()),
        }
    }
}
