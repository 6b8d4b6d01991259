//! The last word on a primary key, for a query that knows its rows by something else.
//!
//! Two rows of the result may have the same primary key, for a while or for good. The sink then holds the
//! one that came last; when that one goes, the one before it is the truth again. Rows of a key are kept in
//! the order of their arrival (as Flink's sink upsert materializer does).

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::flow::operator::ColdSpec;
use crate::flow::{Chunk, Kind, Kinds, Operator, OperatorContext, Output};
use crate::state::{KeyTable, KeyTimes, Restored, RowStore, RowTable, Snapshot};

/// What to materialize.
#[derive(Debug, Clone)]
pub struct SinkMaterializerSpec {
    /// Columns of the primary key.
    pub keys: Vec<usize>,
    /// Columns of the rows.
    pub schema: SchemaRef,
    /// `table.exec.state.ttl`: a key that was not written for so long is new again.
    pub state_ttl: Option<Duration>,
    /// `-U` goes before `+U`.
    pub emit_before: bool,
}

/// A kept row and the hash of its values.
type Kept = (u64, u32);

/// Gives upserts by primary key.
#[derive(Debug)]
pub struct SinkMaterializer {
    spec: SinkMaterializerSpec,
    keys: KeyTable,
    rows: RowStore,
    /// Rows of each key, oldest first.
    lists: Vec<Vec<Kept>>,
    converter: RowConverter,
    hasher: foldhash::fast::RandomState,
    slots: Vec<u32>,
    ids: Vec<u32>,
    expiry: Option<KeyTimes>,
    table: RowTable,
    clock: Option<Arc<dyn Clock>>,
}

impl SinkMaterializer {
    /// An operator for one task.
    pub fn new(spec: SinkMaterializerSpec) -> Result<Self> {
        let types: Vec<_> = spec.keys.iter().map(|&i| spec.schema.field(i).data_type().clone()).collect();
        let fields = spec.schema.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(|e| {
            Error::unsupported(
                "rows with a column of this type cannot be compared, and so cannot be retracted",
            )
            .with_detail(e.to_string())
        })?;
        Ok(Self {
            keys: KeyTable::new(&types)?,
            rows: RowStore::new(spec.schema.clone()),
            lists: Vec::new(),
            converter,
            hasher: foldhash::fast::RandomState::default(),
            slots: Vec::new(),
            ids: Vec::new(),
            expiry: KeyTimes::new(spec.state_ttl, spec.keys.iter().map(|&i| spec.schema.field(i).clone())),
            table: RowTable::new("rows", &spec.schema, [], spec.keys.clone()),
            clock: None,
            spec,
        })
    }

    /// Forgets what was not written for too long; the keys of the chunk are written now.
    fn expire(&mut self) -> Result<()> {
        let (Some(expiry), Some(clock)) = (&mut self.expiry, &self.clock) else { return Ok(()) };
        for (slot, remove) in expiry.write(&self.slots, clock.now_millis()) {
            let rows = std::mem::take(&mut self.lists[slot as usize]);
            rows.into_iter().try_for_each(|(_, id)| self.rows.free(id))?;
            if remove {
                self.keys.remove(slot);
            }
        }
        Ok(())
    }

    /// Applies a chunk to the rows that are kept. Rows that were taken back are still in the store: they are
    /// the result.
    fn apply(&mut self, chunk: &Chunk) -> Result<Vec<u32>> {
        self.ids.clear();
        self.rows.push(&chunk.batch, &mut self.ids)?;
        let encoded = self.converter.convert_columns(chunk.batch.columns())?;
        let mut gone = Vec::new();
        for row in 0..chunk.len() {
            let list = &mut self.lists[self.slots[row] as usize];
            let (id, value) = (self.ids[row], encoded.row(row));
            let hash = self.hasher.hash_one(value.data());
            if matches!(chunk.kinds.get(row), Kind::Insert | Kind::UpdateAfter) {
                list.push((hash, id));
                continue;
            }
            gone.push(id);
            // The oldest of equal rows; equal hashes mean equal rows but for once in a lifetime.
            for at in (0..list.len()).filter(|&at| list[at].0 == hash) {
                let kept = self.converter.convert_columns(self.rows.take(&[list[at].1])?.columns())?;
                if kept.row(0) == value {
                    gone.push(list.remove(at).1);
                    break;
                }
            }
        }
        Ok(gone)
    }
}

impl Operator for SinkMaterializer {
    fn name(&self) -> &'static str {
        "SinkMaterializer"
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.clock = Some(context.clock.clone());
        self.rows.limit(&context.memory);
        if context.keeps_order() {
            self.rows.note(context.checkpointed);
        }
        if context.checkpointed {
            self.expiry.iter_mut().for_each(KeyTimes::track);
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        if let Some(expiry) = &mut self.expiry {
            expiry.snapshot(&self.keys, true, snapshot)?;
        }
        self.table.write(&mut self.rows, snapshot, |_| Ok(Vec::new()))
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        if let Some(expiry) = &mut self.expiry {
            expiry.restore(&mut self.keys, state)?;
        }
        for taken in self.table.read(state)? {
            let rows = taken?.rows;
            let keys: Vec<ArrayRef> = self.spec.keys.iter().map(|&i| rows.column(i).clone()).collect();
            self.keys.intern(&keys, rows.num_rows(), &mut self.slots)?;
            self.lists.resize_with(self.keys.capacity(), Vec::new);
            self.ids.clear();
            self.rows.push(&rows, &mut self.ids)?;
            let encoded = self.converter.convert_columns(rows.columns())?;
            for (row, value) in encoded.iter().enumerate() {
                let kept = (self.hasher.hash_one(value.data()), self.ids[row]);
                self.lists[self.slots[row] as usize].push(kept);
            }
        }
        Ok(())
    }

    fn cold(&self) -> Option<ColdSpec> {
        let tables: &[&str] = if self.expiry.is_some() { &["rows", "keys"] } else { &["rows"] };
        let keyed = !self.spec.keys.is_empty();
        keyed.then(|| ColdSpec::by_key(vec![self.spec.keys.clone()], tables, self.spec.state_ttl))
    }

    fn state_bytes(&self) -> usize {
        let lists = self.lists.capacity() * size_of::<Vec<Kept>>() + self.rows.len() * size_of::<Kept>();
        self.keys.memory() + self.rows.memory() + lists + self.expiry.as_ref().map_or(0, KeyTimes::memory)
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let columns: Vec<ArrayRef> = self.spec.keys.iter().map(|&i| chunk.batch.column(i).clone()).collect();
        self.keys.intern(&columns, chunk.len(), &mut self.slots)?;
        self.lists.resize_with(self.keys.capacity(), Vec::new);
        self.expire()?;
        let mut touched: Vec<(u32, Option<u32>)> = Vec::new();
        let mut seen = hashbrown::HashSet::new();
        for &slot in &self.slots {
            if seen.insert(slot) {
                touched.push((slot, self.lists[slot as usize].last().map(|kept| kept.1)));
            }
        }
        let gone = self.apply(&chunk)?;
        let (mut ids, mut kinds) = (Vec::new(), Vec::new());
        for (slot, before) in touched {
            let after = self.lists[slot as usize].last().map(|kept| kept.1);
            let (id, kind) = match (before, after) {
                (None, None) => continue,
                (Some(before), Some(after)) if before == after => continue,
                (None, Some(after)) => (after, Kind::Insert),
                (Some(before), Some(after)) => {
                    if self.spec.emit_before {
                        ids.push(before);
                        kinds.push(Kind::UpdateBefore);
                    }
                    (after, Kind::UpdateAfter)
                }
                (Some(before), None) => (before, Kind::Delete),
            };
            ids.push(id);
            kinds.push(kind);
        }
        let batch = self.rows.take(&ids)?;
        gone.into_iter().try_for_each(|id| self.rows.free(id))?;
        for &slot in &seen {
            if self.lists[slot as usize].is_empty() {
                self.keys.remove(slot);
                self.expiry.iter_mut().for_each(|expiry| expiry.forget(slot));
            }
        }
        out.chunk(Chunk { batch, kinds: Kinds::Changes(kinds.into()), ingest: chunk.ingest });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::operator::picture::named as chunk;
    use Kind::{Delete, Insert, UpdateAfter, UpdateBefore};

    proptest::proptest! {
        #[test]
        fn it_survives(
            ttl in proptest::option::of(1u64..150),
            (most, steps) in (1usize..4, crate::operator::two_inputs::stories()),
        ) {
            use crate::operator::{picture, two_inputs};
            let schema = picture::schema("k n v n");
            let state_ttl = ttl.map(Duration::from_millis);
            let spec = SinkMaterializerSpec { keys: vec![0], schema: schema.clone(), state_ttl, emit_before: false };
            let (events, faults) = two_inputs::told(&steps, most, 0, |_, acts, _| {
                let row = |&(act, k, v, _): &(u8, u8, u8, u8)| {
                    format!("{} {k} {v}", ["+I", "+U", "+I", "+I", "+I", "-U", "-D", "-D"][usize::from(act)])
                };
                let rows: Vec<String> = acts.iter().map(row).collect();
                picture::chunk(&schema, &rows.join(", "))
            });
            let events: Vec<_> = events.into_iter().map(two_inputs::Event::first).collect();
            let make = move || SinkMaterializer::new(spec.clone()).unwrap();
            two_inputs::survive(make, &[schema.clone(), schema], &[vec![0], vec![0]], &events, &faults);
        }
    }

    type Row<'a> = (Kind, Option<i64>, Option<&'a str>);

    fn run(operator: &mut SinkMaterializer, rows: &[Row<'_>]) -> Vec<String> {
        let mut out = Output::default();
        operator.chunk(chunk(rows), &mut out).unwrap();
        let mut shown = Vec::new();
        for message in out.drain() {
            let crate::flow::Message::Data(c) = message else { continue };
            use arrow::array::AsArray;
            let (ids, names) =
                (c.batch.column(0).as_primitive::<arrow::datatypes::Int64Type>(), c.batch.column(1));
            for i in 0..c.len() {
                let name = names.as_string_view().value(i);
                shown.push(format!("{} {} {name}", c.kinds.get(i).as_str(), ids.value(i)));
            }
        }
        shown
    }

    #[test]
    fn the_row_before_comes_back() {
        let schema = chunk(&[]).batch.schema();
        let mut operator = SinkMaterializer::new(SinkMaterializerSpec {
            keys: vec![0],
            schema,
            state_ttl: Some(Duration::from_millis(1000)),
            emit_before: false,
        })
        .unwrap();
        let clock = crate::clock::ManualClock::new(0);
        let waker = crate::flow::Mailbox::new().waker(0);
        operator
            .open(OperatorContext {
                task: 0,
                parallelism: 1,
                waker,
                clock: clock.clone(),
                checkpointed: false,
                memory: crate::state::Memory::unlimited(),
            })
            .unwrap();
        let mut run = |rows: &[Row<'_>]| run(&mut operator, rows);
        assert_eq!(run(&[(Insert, Some(1), Some("a")), (Insert, Some(2), Some("x"))]), ["+I 1 a", "+I 2 x"]);
        assert_eq!(run(&[(Insert, Some(1), Some("b"))]), ["+U 1 b"]);
        assert_eq!(run(&[(Delete, Some(1), Some("a"))]), [""; 0]);
        assert_eq!(run(&[(Insert, Some(1), Some("c")), (Delete, Some(1), Some("c"))]), [""; 0]);
        assert_eq!(
            run(&[(UpdateBefore, Some(1), Some("b")), (UpdateAfter, Some(3), Some("b"))]),
            ["-D 1 b", "+I 3 b"]
        );
        assert_eq!(run(&[(Delete, Some(9), Some("never"))]), [""; 0]);
        clock.advance(1000);
        // Nobody has written 2 for the time to live: it is new.
        assert_eq!(run(&[(Insert, Some(2), Some("y"))]), ["+I 2 y"]);
    }
}
