//! A source whose rows are recorded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt8Array, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::rows::{plain_columns, plain_fields};
use super::{AT, ATTEMPT, Back, Holds, KIND, MARK, PIECE, Recorder, TASK};
use crate::connector::{Positions, Read, Reader, ReaderContext, Source, SourceChangelog};
use crate::error::Result;
use crate::flow::source::at_of;
use crate::flow::{Kinds, Splits};

/// How far the recording of one task is: the attempt, and its last piece.
type Marks = BTreeMap<u32, (u32, u64)>;

#[derive(Debug, Default)]
struct State {
    attempt: u32,
    /// Where the next readers begin, if they do not begin a new recording.
    from: Option<Marks>,
    /// Readers were made since.
    begun: bool,
}

/// A source beside which what it reads is written down.
pub(crate) struct RecordedSource {
    source: Arc<dyn Source>,
    recorder: Arc<Recorder>,
    number: usize,
    /// Columns of what is read that the query wants.
    wanted: Vec<usize>,
    /// The columns of the file.
    schema: SchemaRef,
    id: String,
    state: Mutex<State>,
}

impl RecordedSource {
    /// `source` reads rows of the columns of `read`, of which the query wants those of `wanted`.
    pub(crate) fn new(
        recorder: &Arc<Recorder>,
        name: &str,
        source: Arc<dyn Source>,
        read: &SchemaRef,
        wanted: Vec<usize>,
    ) -> Result<Self> {
        let mut fields = plain_fields(read);
        fields.extend([
            Field::new(AT, DataType::Int64, false),
            Field::new(PIECE, DataType::UInt64, false),
            Field::new(ATTEMPT, DataType::UInt32, false),
            Field::new(TASK, DataType::UInt32, false),
            Field::new(KIND, DataType::UInt8, false),
        ]);
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let number = recorder.open(Holds::Source, name, !source.bounded(), schema.clone())?;
        let id = recorder.id();
        let recorder = recorder.clone();
        Ok(Self { source, recorder, number, wanted, schema, id, state: Mutex::default() })
    }

    /// What positions say of this recording.
    fn marks(&self, stored: &Positions) -> Marks {
        let mark = |(split, position): (&String, &Value)| {
            let task = split.strip_prefix(MARK)?.parse().ok()?;
            let at = at_of(position);
            let attempt = at.get("attempt")?.as_u64().filter(|_| at.get("id") == Some(&json!(self.id)))?;
            Some((task, (u32::try_from(attempt).ok()?, at.get("piece")?.as_u64()?)))
        };
        stored.iter().filter_map(mark).collect()
    }

    fn comes_back(&self, stored: &Positions) {
        let marks = self.marks(stored);
        let mut state = self.state.lock();
        if state.attempt == 0 && !stored.is_empty() && state.from.is_none() {
            log::warn!(
                "the job goes on from a checkpoint: the recording begins in the middle of its input, and has nothing of \
                 the state that it had"
            );
        }
        state.from = Some(marks);
        state.begun = false;
    }
}

/// Positions without those of recordings.
fn own(stored: &Positions) -> Positions {
    stored.iter().filter(|(split, _)| !split.starts_with(MARK)).map(|(s, p)| (s.clone(), p.clone())).collect()
}

impl Source for RecordedSource {
    fn bounded(&self) -> bool {
        self.source.bounded()
    }

    fn max_parallelism(&self) -> usize {
        self.source.max_parallelism()
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let attempt = {
            let mut state = self.state.lock();
            if !std::mem::replace(&mut state.begun, true) {
                state.attempt += 1;
                let marks = state.from.take().unwrap_or_default();
                if state.attempt > 1 {
                    self.recorder.went_back(self.number, Back { attempt: state.attempt, marks });
                }
            }
            state.attempt
        };
        let task = context.task as u32;
        let reader = self.source.reader(context)?;
        let (recorder, number, wanted) = (self.recorder.clone(), self.number, self.wanted.clone());
        let (schema, id) = (self.schema.clone(), self.id.clone());
        let last = None;
        Ok(Box::new(RecordedReader { reader, recorder, number, wanted, schema, id, attempt, task, last }))
    }

    fn changelog(&self) -> SourceChangelog {
        self.source.changelog()
    }

    fn describe(&self) -> String {
        self.source.describe()
    }

    fn probe(&self) -> Result<()> {
        self.source.probe()
    }

    fn replays(&self) -> bool {
        self.source.replays()
    }

    fn redelivers(&self) -> bool {
        self.source.redelivers()
    }

    fn restore(&self, positions: &Positions, runtime: &tokio::runtime::Handle) -> Result<()> {
        self.comes_back(positions);
        self.source.restore(&own(positions), runtime)
    }

    fn committed(&self, epoch: u64, positions: &Positions) -> Result<()> {
        self.source.committed(epoch, &own(positions))
    }

    fn resume(&self, stored: &Positions, runtime: &tokio::runtime::Handle) -> Result<()> {
        self.comes_back(stored);
        self.source.resume(&own(stored), runtime)
    }

    fn durable(&self, epoch: u64, stored: &Positions) -> Result<()> {
        self.source.durable(epoch, &own(stored))
    }

    fn moved(&self, positions: Positions, from: &[&str]) -> Result<Positions> {
        let marks = positions.iter().filter(|(split, _)| split.starts_with(MARK));
        let marks: Vec<_> = marks.map(|(s, p)| (s.clone(), p.clone())).collect();
        let mut moved = self.source.moved(own(&positions), from)?;
        moved.extend(marks);
        Ok(moved)
    }
}

struct RecordedReader {
    reader: Box<dyn Reader>,
    recorder: Arc<Recorder>,
    number: usize,
    wanted: Vec<usize>,
    schema: SchemaRef,
    id: String,
    attempt: u32,
    task: u32,
    /// The last piece that was recorded.
    last: Option<u64>,
}

impl RecordedReader {
    fn note(&mut self, batch: &RecordBatch, kinds: &Kinds) -> Result<()> {
        if !self.recorder.takes_rows() {
            return Ok(());
        }
        let rows = batch.num_rows();
        let piece = self.recorder.piece();
        let mut columns = plain_columns(batch)?;
        let kinds = (0..rows).map(|row| kinds.get(row) as u8);
        let own: [ArrayRef; 5] = [
            Arc::new(Int64Array::from(vec![self.recorder.now(); rows])),
            Arc::new(UInt64Array::from(vec![piece; rows])),
            Arc::new(UInt32Array::from(vec![self.attempt; rows])),
            Arc::new(UInt32Array::from(vec![self.task; rows])),
            Arc::new(UInt8Array::from_iter_values(kinds)),
        ];
        columns.extend(own);
        self.last = Some(piece);
        self.recorder.add(self.number, RecordBatch::try_new(self.schema.clone(), columns)?);
        Ok(())
    }

    fn marked(&self, mut positions: Positions) -> Positions {
        if let Some(piece) = self.last {
            let at = json!({ "id": self.id, "attempt": self.attempt, "piece": piece });
            positions.insert(format!("{MARK}{}", self.task), at);
        }
        positions
    }
}

impl Reader for RecordedReader {
    fn read(&mut self) -> Result<Read> {
        match self.reader.read()? {
            Read::Batch(batch) => {
                self.note(&batch, &Kinds::Append)?;
                Ok(Read::Batch(batch.project(&self.wanted)?))
            }
            Read::Changes(batch, kinds) => {
                self.note(&batch, &kinds)?;
                Ok(Read::Changes(batch.project(&self.wanted)?, kinds))
            }
            Read::End => {
                let now = self.recorder.now();
                self.recorder.change(self.number, |stream| stream.ended = stream.ended.max(Some(now)));
                Ok(Read::End)
            }
            Read::Pending => Ok(Read::Pending),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.reader.deadline()
    }

    fn progress(&self) -> (u64, Option<u64>) {
        self.reader.progress()
    }

    fn splits(&mut self) -> Splits {
        self.reader.splits()
    }

    fn skipped(&self) -> u64 {
        self.reader.skipped()
    }

    fn cut(&mut self, epoch: u64) -> Result<Option<Positions>> {
        Ok(self.reader.cut(epoch)?.map(|positions| self.marked(positions)))
    }

    fn leave(&mut self) -> Result<Positions> {
        let positions = self.reader.leave()?;
        Ok(self.marked(positions))
    }
}
