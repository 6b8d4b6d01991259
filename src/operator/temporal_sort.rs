//! `ORDER BY` time on a stream: rows wait until the watermark has passed them, and leave sorted.
//!
//! ```text
//!   3 1 2 │wm 2│ 5 4 2 │wm 5│        ──>   1 2 │wm 2│ 3 4 5 │wm 5│       the second 2 is late
//! ```
//! A row that is not newer than one that has left is dropped (and counted), as in Flink. By processing time
//! the rows of a chunk came at the same time and are sorted by the other keys.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::event_time::millis;
use super::join_output::take_rows;
use super::sort::{CHUNK_ROWS, SortKey, sorted};
use crate::error::Result;
use crate::flow::{Chunk, Message, Operator, OperatorContext, Output, Watermark};
use crate::state::{Restored, RowStore, RowTable, Snapshot};

/// An ORDER BY time that was planned. The input is inserts only.
#[derive(Debug, Clone)]
pub struct TemporalSortSpec {
    /// The event time, which comes first in the order; `None`: processing time.
    pub time: Option<usize>,
    /// What to sort rows of the same time by.
    pub keys: Vec<SortKey>,
    /// Schema of the rows.
    pub schema: SchemaRef,
}

/// The operator of one task.
#[derive(Debug)]
pub struct TemporalSort {
    time: Option<usize>,
    keys: Vec<SortKey>,
    rows: RowStore,
    /// Time, number by arrival, and row id, the oldest on top.
    queue: BinaryHeap<Reverse<(i64, u64, u32)>>,
    arrivals: u64,
    /// Time of the last row that has left.
    last: Option<i64>,
    /// The last watermark: one that is told again lets nobody go.
    watermark: Option<i64>,
    late: u64,
    table: RowTable,
}

/// Values of a checkpoint: the time of the last row that has left, and the last watermark.
const LAST: &str = "last_time";
const WATERMARK: &str = "watermark";

impl TemporalSort {
    /// An operator for one task.
    pub fn new(spec: TemporalSortSpec) -> Self {
        Self {
            time: spec.time,
            keys: spec.keys,
            table: RowTable::new("rows", &spec.schema, [], Vec::new()),
            rows: RowStore::new(spec.schema),
            queue: BinaryHeap::new(),
            arrivals: 0,
            last: None,
            watermark: None,
            late: 0,
        }
    }

    /// Keeps rows of these times.
    fn keep(&mut self, batch: &RecordBatch, times: impl Iterator<Item = i64>) -> Result<()> {
        let mut ids = Vec::with_capacity(batch.num_rows());
        self.rows.push(batch, &mut ids)?;
        for (time, id) in times.zip(ids) {
            self.queue.push(Reverse((time, self.arrivals, id)));
            self.arrivals += 1;
        }
        Ok(())
    }
}

impl Operator for TemporalSort {
    fn name(&self) -> &'static str {
        "TemporalSort"
    }

    fn late_rows(&self) -> u64 {
        self.late
    }

    fn open(&mut self, context: OperatorContext) -> Result<()> {
        self.rows.limit(&context.memory);
        if context.checkpointed {
            self.rows.track();
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        if self.time.is_none() {
            return Ok(());
        }
        snapshot.value(LAST, self.last)?;
        snapshot.value(WATERMARK, self.watermark)?;
        self.table.write(&mut self.rows, snapshot, |_| Ok(Vec::new()))
    }

    fn restore(&mut self, state: &mut Restored) -> Result<()> {
        let Some(time) = self.time else { return Ok(()) };
        let batches = self.table.read(state)?.collect::<Result<Vec<_>>>()?;
        for taken in batches {
            let times = millis(taken.rows.column(time), "ORDER BY")?;
            self.keep(&taken.rows, times.into_iter())?;
        }
        self.last = state.values::<Option<i64>>(LAST)?.into_iter().flatten().max();
        self.watermark = state.values::<Option<i64>>(WATERMARK)?.into_iter().flatten().max();
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        self.rows.memory() + self.queue.capacity() * 24
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Output) -> Result<()> {
        let Some(time) = self.time else {
            if self.keys.is_empty() {
                out.chunk(chunk);
                return Ok(());
            }
            let order = sorted(&chunk.batch, None, &self.keys)?;
            out.chunk(chunk.take(&order)?);
            return Ok(());
        };
        let times = millis(chunk.batch.column(time), "ORDER BY")?;
        let rows = 0..chunk.len() as u32;
        let keep: Vec<u32> =
            rows.filter(|&row| self.last.is_none_or(|last| times[row as usize] > last)).collect();
        self.late += (chunk.len() - keep.len()) as u64;
        if keep.len() == chunk.len() {
            return self.keep(&chunk.batch, times.into_iter());
        }
        self.keep(&take_rows(&chunk.batch, &keep)?, keep.iter().map(|&row| times[row as usize]))
    }

    fn watermark(&mut self, watermark: Watermark, out: &mut Output) -> Result<()> {
        if self.watermark >= Some(watermark.millis()) {
            out.push(Message::Watermark(watermark));
            return Ok(());
        }
        self.watermark = Some(watermark.millis());
        let (mut times, mut ids) = (Vec::new(), Vec::new());
        while let Some(Reverse((time, _, id))) = self.queue.peek().copied() {
            if time > watermark.millis() {
                break;
            }
            self.queue.pop();
            times.push(time);
            ids.push(id);
        }
        if let Some(last) = times.last() {
            self.last = Some(*last);
        }
        // Rows of the same time stay in one piece.
        let mut begin = 0;
        while begin < ids.len() {
            let mut end = (begin + CHUNK_ROWS).min(ids.len());
            while end < ids.len() && times[end] == times[end - 1] {
                end += 1;
            }
            let mut batch = self.rows.take(&ids[begin..end])?;
            if !self.keys.is_empty() {
                let first: ArrayRef = Arc::new(Int64Array::from(times[begin..end].to_vec()));
                let order = sorted(&batch, Some(first), &self.keys)?;
                batch = take_rows(&batch, order.values())?;
            }
            out.chunk(Chunk::append(batch, crate::clock::instant()));
            begin = end;
        }
        ids.into_iter().try_for_each(|id| self.rows.free(id))?;
        out.push(Message::Watermark(watermark));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use datafusion_physical_expr::expressions::Column;

    use super::*;
    use crate::operator::picture::{Rig, schema};

    fn rig(time: Option<usize>) -> Rig<TemporalSort> {
        let schema = schema("t t n n");
        let expression = Arc::new(Column::new("n", 1));
        let keys = vec![SortKey { expression, descending: true, nulls_first: false }];
        Rig::new(TemporalSort::new(TemporalSortSpec { time, keys, schema: schema.clone() }), &schema)
    }

    #[test]
    fn rows_leave_by_time_then_by_the_other_keys_when_the_watermark_passes() {
        let mut rig = rig(Some(0));
        assert_eq!(rig.sent("3 1, -5 1, 2 1, 2 NULL, 2 7"), "");
        assert_eq!(rig.marked(2), "+I -5 1, +I 2 7, +I 2 1, +I 2 NULL");
        // 2 has left; so what is as old is late.
        assert_eq!(rig.sent("5 1, 2 9, 4 1"), "");
        assert_eq!(rig.operator.late_rows(), 1);
        assert_eq!(rig.marked(4), "+I 3 1, +I 4 1");
        assert_eq!(rig.marked(i64::MAX), "+I 5 1");
        assert!(rig.sent("NULL 1").contains("event time of ORDER BY is NULL"));
    }

    proptest::proptest! {
        #[test]
        fn it_survives((most, steps) in (1usize..3, crate::operator::two_inputs::stories())) {
            use crate::operator::{picture, two_inputs};
            let (events, faults) = two_inputs::told(&steps, most, 15, |_, acts, base| {
                let row = |&(_, _, v, which): &(u8, u8, u8, u8)| format!("{} {v}", base + i64::from(which % 60) - 20);
                let rows: Vec<String> = acts.iter().map(row).collect();
                picture::chunk(&schema("t t n n"), &rows.join(", "))
            });
            let events: Vec<_> = events.into_iter().map(two_inputs::Event::first).collect();
            let inputs = [schema("t t n n"), schema("t t n n")];
            two_inputs::survive(|| rig(Some(0)).operator, &inputs, &[vec![], vec![]], &events, &faults);
        }
    }

    #[test]
    fn by_processing_time_a_chunk_is_sorted() {
        assert_eq!(rig(None).sent("3 1, 1 5, 2 3"), "+I 1 5, +I 2 3, +I 3 1");
    }
}
