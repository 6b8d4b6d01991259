//! The join of two streams over all their history: both sides are kept, and every row that comes is joined
//! with what the other side has.
//!
//! ```text
//!  left  ──> rows by key ─┐
//!                         ├─ pairs ─ residual ─> +I -U +U -D
//!  right ──> rows by key ─┘
//! ```
//! A chunk of one side meets the other side as it stands: all its candidate pairs are collected, the rest of
//! the condition is evaluated over all of them at once, and only then rows are given out. The rules are
//! those of Flink's `StreamingJoinOperator` and `StreamingSemiAntiJoinOperator`, with what they say of
//! single rows taken chunk by chunk: a row that an outer side gave out with NULLs is withdrawn (`-D`)
//! before its first match, and given out again when a chunk leaves it without one. An update (`-U` with its
//! `+U`) of a row gives an update of each pair that stands before and after it, and inserts or deletes of
//! the others, so that `-U` is always followed by its `+U`.
//!
//! | kind | output | what counts matches |
//! |---|---|---|
//! | inner | pairs | – |
//! | left, right, full | pairs, rows without a match with NULLs | rows of the outer sides |
//! | semi, anti, mark | rows of the left side | rows of the left side |
//!
//! A row that is taken back although it was never there is ignored: nothing was given out for it. Where
//! state is forgotten after a time to live it counts as one that was forgotten, and what it can still
//! withdraw is withdrawn, as in Flink.

mod apply;
mod emit;
pub mod set;
mod side;
#[cfg(test)]
mod tests;
pub mod window;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use self::emit::{Emitter, Origin, Residual};
use self::side::{NONE, Side, SideSpec};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::flow::operator::ColdSpec;
use crate::flow::{Chunk, Operator, OperatorContext, Output};
use crate::state::{KeyTable, Restored, Snapshot};

/// What a join gives. Those that keep one side only keep the left one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinKind {
    /// Pairs.
    Inner,
    /// Pairs, and left rows without a match.
    Left,
    /// Pairs, and right rows without a match.
    Right,
    /// Pairs, and rows of both sides without a match.
    Full,
    /// Left rows with a match.
    Semi,
    /// Left rows without a match.
    Anti,
    /// Left rows with a last column BOOLEAN: whether there is a match.
    Mark,
}

impl JoinKind {
    /// Rows of input 0 (left) or 1 come out without a match, too.
    pub fn is_outer(self, input: usize) -> bool {
        match self {
            JoinKind::Left => input == 0,
            JoinKind::Right => input == 1,
            JoinKind::Full => true,
            _ => false,
        }
    }

    /// Only left rows come out.
    pub fn is_filter(self) -> bool {
        matches!(self, JoinKind::Semi | JoinKind::Anti | JoinKind::Mark)
    }

    /// As Flink's EXPLAIN names it.
    pub fn as_str(self) -> &'static str {
        match self {
            JoinKind::Inner => "InnerJoin",
            JoinKind::Left => "LeftOuterJoin",
            JoinKind::Right => "RightOuterJoin",
            JoinKind::Full => "FullOuterJoin",
            JoinKind::Semi => "LeftSemiJoin",
            JoinKind::Anti => "LeftAntiJoin",
            JoinKind::Mark => "LeftMarkJoin",
        }
    }
}

/// One input of a join.
#[derive(Debug, Clone)]
pub struct JoinInput {
    /// Its columns.
    pub schema: SchemaRef,
    /// Columns that have to equal those of the other input, one by one. Their types are the same.
    pub keys: Vec<usize>,
    /// Its rows may be updated or deleted.
    pub changes: bool,
    /// Rows that were not written for so long (in processing time) are forgotten.
    pub ttl: Option<Duration>,
}

/// A join of two streams.
#[derive(Debug, Clone)]
pub struct JoinSpec {
    /// What comes out.
    pub kind: JoinKind,
    /// Input 0.
    pub left: JoinInput,
    /// Input 1.
    pub right: JoinInput,
    /// For each key: NULL equals NULL (`IS NOT DISTINCT FROM`, set operations).
    pub null_equal: Vec<bool>,
    /// `NOT IN`: a NULL on the right side, or a left NULL against anything, is no match and no miss. Only
    /// for [`JoinKind::Anti`] with one key, without a residual and without a time to live.
    pub null_aware: bool,
    /// What else must be TRUE, over left ++ right.
    pub residual: Option<Arc<dyn PhysicalExpr>>,
    /// Columns that come out: positions in left ++ right; for filters in left, with the mark behind them.
    pub output: Vec<usize>,
    /// Their schema.
    pub schema: SchemaRef,
    /// `-U` comes out with `+U`. Only a mark join of inserts can leave it out.
    pub emit_before: bool,
}

impl JoinSpec {
    /// The input and its column that a position in left ++ right stands for.
    fn column(&self, position: usize) -> (usize, usize) {
        match position.checked_sub(self.left.schema.fields().len()) {
            None => (0, position),
            Some(column) => (1, column),
        }
    }

    fn check(&self) -> Result<()> {
        let types = |i: &JoinInput| -> Option<Vec<DataType>> {
            i.keys.iter().map(|&k| Some(i.schema.fields().get(k)?.data_type().clone())).collect()
        };
        let (left, right) = (types(&self.left), types(&self.right));
        if left.is_none() || left != right || self.null_equal.len() != self.left.keys.len() {
            return Err(Error::internal("the keys of a join do not have the same types on both sides"));
        }
        let ttl = self.left.ttl.is_some() || self.right.ttl.is_some();
        if self.null_aware
            && (self.kind != JoinKind::Anti || self.left.keys.len() != 1 || self.residual.is_some() || ttl)
        {
            return Err(Error::internal("a NOT IN join of this form cannot run"));
        }
        Ok(())
    }

    /// Key columns of a batch of one input, and which rows can have a match at all (`None`: all).
    fn keys(&self, input: usize, columns: &[ArrayRef]) -> (Vec<ArrayRef>, Option<Vec<bool>>) {
        let keys = if input == 0 { &self.left.keys } else { &self.right.keys };
        let keys: Vec<ArrayRef> = keys.iter().map(|&k| columns[k].clone()).collect();
        let mut matchable: Option<Vec<bool>> = None;
        for (key, &null_equal) in keys.iter().zip(&self.null_equal) {
            let Some(nulls) = key.logical_nulls().filter(|n| !null_equal && n.null_count() > 0) else {
                continue;
            };
            let rows = matchable.get_or_insert_with(|| vec![true; key.len()]);
            for (row, valid) in rows.iter_mut().zip(nulls.iter()) {
                *row &= valid;
            }
        }
        (keys, matchable)
    }
}

/// What a join is, seen from one of its inputs.
#[derive(Debug)]
struct Role {
    /// Where the output columns come from.
    output: Vec<Origin>,
    /// Where the columns of the residual come from.
    residual: Vec<Origin>,
    own_outer: bool,
    other_outer: bool,
}

/// Counts that decide NOT IN for all rows of the left side.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct RightSide {
    rows: u64,
    nulls: u64,
}

/// Joins two streams over all their history.
#[derive(Debug)]
pub struct RegularJoin {
    spec: JoinSpec,
    residual: Option<Residual>,
    keys: KeyTable,
    sides: [Side; 2],
    roles: [Role; 2],
    /// Right rows of a key do not differ for anybody: one is enough.
    existence: bool,
    /// Both sides are whole before anything comes out.
    batch: bool,
    right: RightSide,
    /// The slot of the NULL key of a NOT IN.
    null_slot: u32,
    clock: Arc<dyn Clock>,
    emitter: Emitter,
    scratch: Scratch,
}

/// Buffers that are kept between chunks.
#[derive(Debug, Default)]
struct Scratch {
    slots: Vec<u32>,
    swept: Vec<u32>,
}

impl RegularJoin {
    /// A join as specified.
    pub fn new(spec: JoinSpec) -> Result<Self> {
        spec.check()?;
        let residual = spec
            .residual
            .as_ref()
            .map(|r| Residual::new(r, &spec.left.schema, &spec.right.schema))
            .transpose()?;
        let wanted = residual.iter().flat_map(|r| r.columns.iter().copied());
        let mut stored = [Vec::new(), Vec::new()];
        let mark = (spec.kind == JoinKind::Mark).then_some(spec.left.schema.fields().len());
        for position in wanted.chain(spec.output.iter().copied().filter(|&p| Some(p) != mark)) {
            let (input, column) = spec.column(position);
            if !stored[input].contains(&column) {
                stored[input].push(column);
            }
        }
        let kind = spec.kind;
        let side = |input: usize, i: &JoinInput, stored: &Vec<usize>| {
            Side::new(&SideSpec {
                schema: i.schema.clone(),
                stored: stored.clone(),
                changes: i.changes,
                counts: kind.is_outer(input) || (input == 0 && kind.is_filter()),
                ttl: i.ttl,
            })
        };
        let sides = [side(0, &spec.left, &stored[0])?, side(1, &spec.right, &stored[1])?];
        let origin = |input: usize, position: usize| -> Result<Origin> {
            let (side, column) = spec.column(position);
            if side == input {
                return Ok(Origin::Chunk(column));
            }
            let kept = sides[side].position(column);
            Ok(Origin::Kept(kept.ok_or_else(|| Error::internal("a column of a join is not kept"))?))
        };
        let role = |input: usize| -> Result<Role> {
            let output = spec
                .output
                .iter()
                .map(|&p| if Some(p) == mark { Ok(Origin::Mark) } else { origin(input, p) })
                .collect::<Result<_>>()?;
            let residual = residual.iter().flat_map(|r| &r.columns).map(|&p| origin(input, p));
            Ok(Role {
                output,
                residual: residual.collect::<Result<_>>()?,
                own_outer: kind.is_outer(input),
                other_outer: kind.is_outer(1 - input),
            })
        };
        let roles = [role(0)?, role(1)?];
        let types: Vec<DataType> =
            spec.left.keys.iter().map(|&k| spec.left.schema.field(k).data_type().clone()).collect();
        Ok(Self {
            existence: kind.is_filter()
                && residual.is_none()
                && !spec.null_aware
                && !spec.right.changes
                && spec.right.ttl.is_none(),
            residual,
            keys: KeyTable::new(&types)?,
            sides,
            roles,
            batch: false,
            right: RightSide::default(),
            null_slot: NONE,
            clock: Arc::new(crate::clock::SystemClock),
            emitter: Emitter::new(spec.emit_before),
            scratch: Scratch::default(),
            spec,
        })
    }

    /// Bytes of state.
    pub fn memory(&self) -> usize {
        self.keys.memory() + self.sides.iter().map(Side::memory).sum::<usize>()
    }

    /// Rows of state, left and right.
    pub fn rows(&self) -> (usize, usize) {
        (self.sides[0].rows().len(), self.sides[1].rows().len())
    }
}

impl Operator for RegularJoin {
    fn name(&self) -> &'static str {
        "Join"
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.clock = context.clock.clone();
        self.sides.iter_mut().for_each(|side| side.limit(&context.memory));
        if context.keeps_order() {
            let noting = context.checkpointed;
            let inputs = [("left", &self.spec.left), ("right", &self.spec.right)];
            for (side, (name, input)) in self.sides.iter_mut().zip(inputs) {
                side.track(name, (&input.schema, &input.keys), !self.spec.null_aware, noting);
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        self.sides.iter_mut().try_for_each(|side| side.snapshot(&self.keys, snapshot))
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        let null_aware = self.spec.null_aware;
        let (counts, null_slot) = (&mut self.right, &mut self.null_slot);
        for (input, side) in self.sides.iter_mut().enumerate() {
            side.restore(&mut self.keys, state, |keys, slots| {
                let (Some(key), true) = (keys.first(), null_aware) else { return };
                let nulls = key.logical_nulls().filter(|n| n.null_count() > 0);
                if let Some(row) = nulls.as_ref().and_then(|n| n.iter().position(|valid| !valid)) {
                    *null_slot = slots[row];
                }
                if input == 1 {
                    counts.rows += slots.len() as u64;
                    counts.nulls += nulls.map_or(0, |n| n.null_count() as u64);
                }
            })?;
        }
        self.sides.iter_mut().for_each(|side| side.resize(self.keys.capacity()));
        Ok(())
    }

    fn cold(&self) -> Option<ColdSpec> {
        let (left, right) = (&self.spec.left, &self.spec.right);
        let ttl = left.ttl.and_then(|ttl| Some(ttl.max(right.ttl?)));
        let keyed = !left.keys.is_empty() && !self.spec.null_aware;
        keyed.then(|| ColdSpec::by_key(vec![left.keys.clone(), right.keys.clone()], &["left", "right"], ttl))
    }

    fn stays(&self) -> Option<&'static str> {
        if self.spec.null_aware {
            return Some("the keys of NOT IN in memory");
        }
        self.spec.left.keys.is_empty().then_some("what finds rows in memory, because no key is equal")
    }

    fn state_bytes(&self) -> usize {
        self.memory()
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        self.chunk_at(0, chunk, out)
    }

    fn chunk_at(&mut self, input: usize, chunk: Chunk, out: &mut Output) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.apply(input, &chunk, out)
    }
}
