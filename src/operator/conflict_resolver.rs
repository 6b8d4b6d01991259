//! `ON CONFLICT DO ERROR` and `DO NOTHING`: rows of a query with one primary key of the sink.
//!
//! ```text
//!  +I 1 a   +I 1 b   -D 1 a  │wm│   ──>  +I 1 b               the row before has gone by then: no conflict
//!  +I 2 a   +I 2 b           │wm│   ──>  +I 2 a, or an error  two rows of one key: the first stays, or the job fails
//! ```
//! Changes of one key may come from several tasks, in any order; what is to be compared is what is there when the
//! watermark has passed, or when the input ends. Until then nothing goes out.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, SchemaRef};
use arrow::row::{RowConverter, SortField};
use arrow::util::display::array_value_to_string;

use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds, Message, Operator, OperatorContext, Output, Watermark};
use crate::state::{KeyTable, Restored, RowStore, RowTable, Snapshot};

/// What to resolve.
#[derive(Debug, Clone)]
pub struct ConflictSpec {
    /// Columns of the primary key.
    pub keys: Vec<usize>,
    /// Columns of the rows.
    pub schema: SchemaRef,
    /// A conflict fails the job; else the first row stays.
    pub fails: bool,
    /// The table that is written.
    pub table: String,
    /// `-U` goes before `+U`.
    pub emit_before: bool,
}

/// The rows of one key.
#[derive(Debug, Default)]
struct Rows {
    /// Those that are there, oldest first: hash, id, and which one it was of all that came.
    kept: Vec<(u64, u32, i64)>,
    /// The one that the sink has; it may be taken back already.
    shown: Option<u32>,
    /// Something has changed since the last watermark.
    touched: bool,
}

/// Gives one row a key.
#[derive(Debug)]
pub struct ConflictResolver {
    spec: ConflictSpec,
    keys: KeyTable,
    store: RowStore,
    rows: Vec<Rows>,
    touched: Vec<u32>,
    converter: RowConverter,
    /// Keys whose rows changed are settled in their order, which a restore does not change.
    order: RowConverter,
    hasher: foldhash::fast::RandomState,
    slots: Vec<u32>,
    ids: Vec<u32>,
    table: RowTable,
    watermark: Option<i64>,
    /// Rows that came: what makes one the first of its key, also after a restore.
    came: i64,
}

/// What a checkpoint says of a row: it is there, the sink has it, or both. Above them stands which one it was.
const THERE: i64 = 1;
const SHOWN: i64 = 2;
const PLACE: u32 = 2;
const WATERMARK: &str = "watermark";

impl ConflictResolver {
    /// An operator for one task.
    pub fn new(spec: ConflictSpec) -> Result<Self> {
        let types: Vec<_> = spec.keys.iter().map(|&i| spec.schema.field(i).data_type().clone()).collect();
        let fields = spec.schema.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(|e| {
            Error::unsupported(
                "rows with a column of this type cannot be compared, and so cannot be retracted",
            )
            .with_detail(e.to_string())
        })?;
        let order = RowConverter::new(types.iter().cloned().map(SortField::new).collect())?;
        let state = Field::new("there, shown", DataType::Int64, true);
        Ok(Self {
            keys: KeyTable::new(&types)?,
            store: RowStore::new(spec.schema.clone()),
            rows: Vec::new(),
            touched: Vec::new(),
            converter,
            order,
            hasher: foldhash::fast::RandomState::default(),
            slots: Vec::new(),
            ids: Vec::new(),
            table: RowTable::new("rows", &spec.schema, [state], spec.keys.clone()),
            watermark: None,
            came: 0,
            spec,
        })
    }

    fn touch(&mut self, slot: u32) {
        let rows = &mut self.rows[slot as usize];
        if !std::mem::replace(&mut rows.touched, true) {
            self.touched.push(slot);
        }
    }

    /// Gives out what counts of the keys that have changed.
    fn settle(&mut self, out: &mut Output) -> Result<()> {
        let (mut ids, mut kinds, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        let touched = std::mem::take(&mut self.touched);
        let keys = self.order.convert_columns(&self.keys.take(&touched)?)?;
        let mut touched: Vec<(usize, u32)> = touched.into_iter().enumerate().collect();
        touched.sort_unstable_by(|a, b| keys.row(a.0).cmp(&keys.row(b.0)));
        for (_, slot) in touched {
            let rows = &mut self.rows[slot as usize];
            rows.touched = false;
            if self.spec.fails && rows.kept.len() > 1 {
                return Err(self.conflict(slot));
            }
            let is_there = |id: &u32| rows.kept.iter().any(|kept| kept.1 == *id);
            let chosen = rows.shown.filter(is_there).or_else(|| rows.kept.first().map(|kept| kept.1));
            let before = rows.shown;
            if before == chosen {
                // It came and went between two watermarks.
                if rows.kept.is_empty() {
                    self.keys.remove(slot);
                }
                continue;
            }
            match (before, chosen) {
                (None, Some(id)) => {
                    ids.push(id);
                    kinds.push(Kind::Insert);
                }
                (Some(before), Some(id)) => {
                    if self.spec.emit_before {
                        ids.push(before);
                        kinds.push(Kind::UpdateBefore);
                    }
                    ids.push(id);
                    kinds.push(Kind::UpdateAfter);
                }
                (Some(id), None) => {
                    ids.push(id);
                    kinds.push(Kind::Delete);
                }
                (None, None) => {}
            }
            rows.shown = chosen;
            // A row that was shown stays in the store until another one is.
            gone.extend(before.filter(|id| !rows.kept.iter().any(|kept| kept.1 == *id)));
            for id in before.into_iter().chain(chosen) {
                self.store.touch(id);
            }
            if rows.kept.is_empty() {
                self.keys.remove(slot);
            }
        }
        let batch = self.store.take(&ids)?;
        gone.into_iter().try_for_each(|id| self.store.free(id))?;
        let only_new = kinds.iter().all(|kind| *kind == Kind::Insert);
        let kinds = if only_new { Kinds::Append } else { Kinds::Changes(kinds.into()) };
        out.chunk(Chunk { batch, kinds, ingest: crate::clock::instant() });
        Ok(())
    }

    #[cold]
    fn conflict(&self, slot: u32) -> Error {
        let names = self.spec.keys.iter().map(|&i| self.spec.schema.field(i).name().clone());
        let values = self.keys.take(&[slot]).unwrap_or_default();
        let shown: Vec<String> = names
            .zip(values)
            .map(|(name, value)| format!("{name} = {}", array_value_to_string(&value, 0).unwrap_or_default()))
            .collect();
        let count = self.rows[slot as usize].kept.len();
        Error::execution(format!(
            "the query returns {count} rows with one primary key of '{}'",
            self.spec.table
        ))
        .with_detail(shown.join(", "))
        .with_hint("ON CONFLICT DO NOTHING keeps the first of them, DO DEDUPLICATE the last")
    }

    /// The rows of these keys, and room for them.
    fn find_slots(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        self.keys.intern(columns, rows, &mut self.slots)?;
        self.rows.resize_with(self.keys.capacity(), Rows::default);
        Ok(())
    }
}

impl Operator for ConflictResolver {
    fn name(&self) -> &'static str {
        "ConflictResolver"
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.store.limit(&context.memory);
        if context.checkpointed {
            self.store.track();
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let mut states = hashbrown::HashMap::new();
        for rows in &self.rows {
            rows.kept.iter().for_each(|kept| *states.entry(kept.1).or_insert(0) |= THERE | kept.2 << PLACE);
            rows.shown.iter().for_each(|id| *states.entry(*id).or_insert(0) |= SHOWN);
        }
        snapshot.value(WATERMARK, self.watermark)?;
        self.table.write(&mut self.store, snapshot, |ids| {
            let state = |id: &u32| states.get(id).copied().unwrap_or(0);
            Ok(vec![Arc::new(ids.iter().map(state).collect::<Int64Array>()) as ArrayRef])
        })
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        self.watermark = state.values::<Option<i64>>(WATERMARK)?.into_iter().flatten().max();
        let taken = self.table.read(state)?.collect::<Result<Vec<_>>>()?;
        for taken in taken {
            let rows = taken.rows;
            let states = taken.beside.first().and_then(|c| c.as_primitive_opt::<Int64Type>()).cloned();
            let states = states
                .ok_or_else(|| Error::decode("rows of the checkpoint do not say whether they are shown"))?;
            let keys: Vec<ArrayRef> = self.spec.keys.iter().map(|&i| rows.column(i).clone()).collect();
            self.find_slots(&keys, rows.num_rows())?;
            self.ids.clear();
            self.store.push(&rows, &mut self.ids)?;
            let encoded = self.converter.convert_columns(rows.columns())?;
            for (row, value) in encoded.iter().enumerate() {
                let (slot, id) = (self.slots[row], self.ids[row]);
                let of_key = &mut self.rows[slot as usize];
                if states.value(row) & THERE != 0 {
                    let came = states.value(row) >> PLACE;
                    self.came = self.came.max(came + 1);
                    let at = of_key.kept.partition_point(|kept| kept.2 < came);
                    of_key.kept.insert(at, (self.hasher.hash_one(value.data()), id, came));
                }
                if states.value(row) & SHOWN != 0 {
                    of_key.shown = Some(id);
                }
                self.touch(slot);
            }
        }
        Ok(())
    }

    fn stays(&self) -> Option<&'static str> {
        Some("the rows of each key in memory")
    }

    fn state_bytes(&self) -> usize {
        self.keys.memory()
            + self.store.memory()
            + self.rows.capacity() * size_of::<Rows>()
            + self.store.len() * 16
    }

    fn chunk(&mut self, chunk: Chunk, _out: &mut Output) -> Result<()> {
        let columns: Vec<ArrayRef> = self.spec.keys.iter().map(|&i| chunk.batch.column(i).clone()).collect();
        self.find_slots(&columns, chunk.len())?;
        self.ids.clear();
        self.store.push(&chunk.batch, &mut self.ids)?;
        let encoded = self.converter.convert_columns(chunk.batch.columns())?;
        for row in 0..chunk.len() {
            let (slot, id, value) = (self.slots[row], self.ids[row], encoded.row(row));
            self.touch(slot);
            let hash = self.hasher.hash_one(value.data());
            if matches!(chunk.kinds.get(row), Kind::Insert | Kind::UpdateAfter) {
                self.rows[slot as usize].kept.push((hash, id, self.came));
                self.came += 1;
                continue;
            }
            self.store.free(id)?;
            // The oldest of equal rows.
            let kept = &self.rows[slot as usize].kept;
            let same: Vec<usize> = (0..kept.len()).filter(|&at| kept[at].0 == hash).collect();
            for at in same {
                let id = self.rows[slot as usize].kept[at].1;
                let other = self.converter.convert_columns(self.store.take(&[id])?.columns())?;
                if other.row(0) == value {
                    let of_key = &mut self.rows[slot as usize];
                    of_key.kept.remove(at);
                    match of_key.shown == Some(id) {
                        true => self.store.touch(id),
                        false => self.store.free(id)?,
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        if self.watermark < Some(watermark.millis()) {
            self.watermark = Some(watermark.millis());
            self.settle(out)?;
        }
        out.push(Message::Watermark(watermark));
        Ok(())
    }

    fn end(&mut self, out: &mut Output) -> Result<()> {
        self.settle(out)?;
        out.push(Message::End);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::operator::picture::{Rig, schema};

    fn rig(fails: bool) -> Rig<ConflictResolver> {
        let schema = schema("k n v s");
        let spec = ConflictSpec {
            keys: vec![0],
            schema: schema.clone(),
            fails,
            table: "sink".into(),
            emit_before: false,
        };
        Rig::new(ConflictResolver::new(spec).unwrap(), &schema)
    }

    #[test]
    fn the_first_row_stays_until_it_goes() {
        let mut rig = rig(false);
        assert_eq!(rig.sent("1 a, 1 b, 2 x, -D 2 x"), "");
        assert_eq!(rig.marked(1), "+I 1 a");
        assert_eq!(rig.sent("1 c, -U 1 b"), "");
        assert_eq!(rig.marked(2), "");
        assert_eq!(rig.sent("-D 1 a"), "");
        assert_eq!(rig.marked(3), "+U 1 c");
        assert_eq!(rig.sent("-D 1 c, 1 d"), "");
        assert_eq!(rig.marked(4), "+U 1 d");
        assert_eq!(rig.sent("-D 1 d"), "");
        assert_eq!(rig.marked(5), "-D 1 d");
        assert!(rig.operator.store.is_empty() && rig.operator.keys.is_empty());
    }

    #[test]
    fn rows_passed_by_the_watermark_do_not_conflict() {
        let mut rig = rig(true);
        rig.sent("1 a, 1 b, -D 1 a");
        assert_eq!(rig.marked(1), "+I 1 b");
        rig.sent("1 c");
        let message = rig.marked(2);
        assert!(message.contains("the query returns 2 rows with one primary key of 'sink'"), "{message}");
    }

    proptest::proptest! {
        #[test]
        fn it_survives((most, steps) in (1usize..4, crate::operator::two_inputs::stories())) {
            use crate::operator::{picture, two_inputs};
            let schema = picture::schema("k n v n");
            let (events, faults) = two_inputs::told(&steps, most, 15, |_, acts, _| {
                let row = |&(act, k, v, _): &(u8, u8, u8, u8)| {
                    format!("{} {k} {v}", ["+I", "+U", "+I", "+I", "+I", "-U", "-D", "-D"][usize::from(act)])
                };
                let rows: Vec<String> = acts.iter().map(row).collect();
                picture::chunk(&schema, &rows.join(", "))
            });
            let events: Vec<_> = events.into_iter().map(two_inputs::Event::first).collect();
            let spec = ConflictSpec { keys: vec![0], schema: schema.clone(), fails: false, table: "sink".into(), emit_before: true };
            let make = move || ConflictResolver::new(spec.clone()).unwrap();
            two_inputs::survive(make, &[schema.clone(), schema], &[vec![0], vec![0]], &events, &faults);
        }
    }
}
