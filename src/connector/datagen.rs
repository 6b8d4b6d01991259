//! Made-up rows: Flink's datagen.
//!
//! A value depends on the seed, its column and the number of its row, and on nothing else. Tasks take ranges
//! of row numbers from a common counter: every reader makes the same row, sequences have neither
//! gaps nor overlaps, and with `affluent.datagen.seed` a run can be repeated (but for what is relative to the
//! current time).
//!
//! Row *k* is due *k* / `rows-per-second` seconds after the start. A task makes all rows that are due, at most a
//! batch, and asks again when the next is, or when `execution.buffer-timeout` has passed since the last.
//! `'rows-per-second' = '0'` means as fast as possible.
//!
//! The source ends after `number-of-rows`, or with its shortest sequence.
//!
//! A checkpoint holds the number of the next row, and the seed: a job that comes back makes the same rows again,
//! and sequences go on where they were (what is relative to the current time is so again).

mod generator;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, RecordBatchOptions};
use parking_lot::Mutex;
use serde_json::json;

use self::generator::{Generator, Settings};
use super::common_cut::CommonCut;
use super::position;
use super::{Connector, Nature};
use super::{Positions, Read, Reader, ReaderContext, ScanRequest, Source};
use crate::catalog::{ColumnSource, OptionDef, OptionKind, Table};
use crate::clock::instant;
use crate::error::{Error, Result};

/// `'connector' = 'datagen'`.
#[derive(Debug)]
pub struct Datagen;

const OPTIONS: &[OptionDef] = &[
    OptionDef::new(
        "rows-per-second",
        OptionKind::Integer,
        "10000",
        "rows of all tasks together; 0: as fast as possible",
    ),
    OptionDef::new("number-of-rows", OptionKind::Integer, "", "end after this many rows"),
    OptionDef::new(
        "fields.*",
        OptionKind::Text,
        "",
        "fields.<column>.kind (random, sequence), .min, .max, .start, .end, .length, .var-len, .max-past, .null-rate",
    ),
    OptionDef::new("affluent.datagen.seed", OptionKind::Integer, "", "make the same rows every time"),
];

impl Connector for Datagen {
    fn name(&self) -> &'static str {
        "datagen"
    }

    fn doc(&self) -> &'static str {
        "made-up rows: random values and sequences"
    }

    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }

    fn check(&self, table: &Table) -> Result<()> {
        generators(table, 0).map(drop)
    }

    fn nature(&self, table: &Table) -> Nature {
        let bounded = generators(table, 0).is_ok_and(|(_, rows)| rows.is_some());
        Nature { bounded, reads_locally: bounded, ..Nature::declared(self.options(), &table.options) }
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(DatagenSource::new(request)?))
    }
}

/// The generators of a table's physical columns (`None`: other columns), and how many rows there are.
fn generators(table: &Table, seed: u64) -> Result<(Vec<Option<Generator>>, Option<u64>)> {
    let options = &table.options;
    let mut settings = Settings::new(options);
    let mut rows = options.integer("number-of-rows")?;
    let mut all = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        let ColumnSource::Physical { data_type, nullable } = &column.source else {
            all.push(None);
            continue;
        };
        let generator = Generator::new(&column.name, data_type, *nullable, seed, &mut settings)?;
        if let Some(length) = generator.length() {
            rows = Some(rows.map_or(length, |rows| rows.min(length)));
        }
        all.push(Some(generator));
    }
    settings.check_all_used()?;
    Ok((all, rows))
}

/// Which rows are due.
#[derive(Debug)]
struct Pace {
    /// Rows in a second; `None`: as fast as possible.
    rate: Option<u64>,
    rows: Option<u64>,
    taken: u64,
    /// Row `origin.1` was due at `origin.0`.
    origin: Option<(Instant, u64)>,
    /// When rows were made last.
    last: Option<Instant>,
}

#[derive(Debug, PartialEq)]
enum Due {
    Rows(Range<u64>),
    /// None before this instant.
    At(Instant),
    End,
}

impl Pace {
    /// Takes the rows that are due, at most so many; those that come soon after others gather for a while.
    fn take(&mut self, now: Instant, most: u64, gather: Duration) -> Due {
        let left = self.rows.map_or(u64::MAX, |rows| rows.saturating_sub(self.taken));
        if left == 0 {
            return Due::End;
        }
        let mut n = most.min(left);
        if let Some(rate) = self.rate {
            let (start, first) = *self.origin.get_or_insert((now, self.taken));
            let elapsed = now.saturating_duration_since(start).as_nanos();
            let due = (elapsed * u128::from(rate) / 1_000_000_000) as u64 + 1 + first;
            let ready = due.saturating_sub(self.taken);
            let gathered = self.last.map(|last| last + gather).filter(|gathered| *gathered > now);
            if ready == 0 {
                let nanos = u128::from(self.taken - first) * 1_000_000_000;
                let next = start + Duration::from_nanos(nanos.div_ceil(u128::from(rate)) as u64);
                return Due::At(gathered.map_or(next, |gathered| gathered.max(next)));
            }
            if let Some(gathered) = gathered.filter(|_| ready < n) {
                return Due::At(gathered);
            }
            // A reader that was held up for long does not catch up with more than a second's rows.
            if ready > rate.max(1) {
                self.origin = Some((now, self.taken + rate.max(1) - 1));
            }
            n = n.min(ready);
            self.last = Some(now);
        }
        let start = self.taken;
        self.taken += n;
        Due::Rows(start..self.taken)
    }
}

/// The only split.
const ROWS: &str = "rows";

/// What the readers of one run share.
struct Run {
    seed: u64,
    generators: Vec<Generator>,
    counter: Mutex<Counter>,
}

#[derive(Debug)]
struct Counter {
    pace: Pace,
    cut: CommonCut,
}

struct DatagenSource {
    request: ScanRequest,
    run: Mutex<Arc<Run>>,
    most: u64,
}

impl DatagenSource {
    fn new(request: &ScanRequest) -> Result<Self> {
        let seed = request.table.options.integer("affluent.datagen.seed")?.unwrap_or_else(rand::random);
        let run = run(request, seed, 0)?;
        // Long texts make smaller batches.
        let bytes: u64 = run.generators.iter().map(Generator::bytes).fold(1, u64::saturating_add);
        let most = ((8 << 20) / bytes).clamp(1, request.batch_rows.max(1) as u64);
        Ok(Self { request: request.clone(), run: Mutex::new(Arc::new(run)), most })
    }
}

/// Makes the rows from the one of this number on.
fn run(request: &ScanRequest, seed: u64, taken: u64) -> Result<Run> {
    let table = &request.table;
    let (mut all, rows) = generators(table, seed)?;
    let wanted = request.projection.iter().map(|&i| {
        all.get_mut(i)
            .and_then(Option::take)
            .ok_or_else(|| Error::internal(format!("table '{}' has no physical column {i}", table.name)))
    });
    let generators = wanted.collect::<Result<Vec<_>>>()?;
    let rate = table.options.integer("rows-per-second")?.unwrap_or(10_000);
    let pace = Pace { rate: (rate > 0).then_some(rate), rows, taken, origin: None, last: None };
    Ok(Run { seed, generators, counter: Mutex::new(Counter { pace, cut: CommonCut::default() }) })
}

impl Source for DatagenSource {
    fn bounded(&self) -> bool {
        self.run.lock().counter.lock().pace.rows.is_some()
    }

    fn max_parallelism(&self) -> usize {
        usize::MAX
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let run = self.run.lock().clone();
        run.counter.lock().cut.join(context.task, context.parallelism);
        Ok(Box::new(DatagenReader {
            schema: self.request.schema.clone(),
            run,
            most: self.most,
            cells: Vec::new(),
            context,
            due: None,
        }))
    }

    fn describe(&self) -> String {
        let run = self.run.lock();
        let pace = &run.counter.lock().pace;
        let rate = pace.rate.map_or_else(|| "as fast as possible".into(), |r| format!("{r} rows/s"));
        match pace.rows {
            Some(rows) => format!("{rows} rows, {rate}"),
            None => rate,
        }
    }

    fn replays(&self) -> bool {
        true
    }

    fn restore(&self, positions: &Positions, _runtime: &tokio::runtime::Handle) -> Result<()> {
        let position = position::only(positions, ROWS)?;
        let next = position.map_or(Ok(0), |p| position::number(ROWS, p, "next"))?;
        let seed = match (self.request.table.options.integer("affluent.datagen.seed")?, position) {
            (Some(seed), _) => seed,
            (None, Some(position)) => position::number(ROWS, position, "seed")?,
            (None, None) => self.run.lock().seed,
        };
        *self.run.lock() = Arc::new(run(&self.request, seed, next)?);
        Ok(())
    }
}

struct DatagenReader {
    schema: arrow::datatypes::SchemaRef,
    run: Arc<Run>,
    most: u64,
    cells: Vec<u64>,
    context: ReaderContext,
    /// When the next rows are made.
    due: Option<Instant>,
}

impl DatagenReader {
    fn position(&self, next: u64) -> Positions {
        [(ROWS.to_string(), json!({ "next": next, "seed": self.run.seed }))].into()
    }
}

impl Drop for DatagenReader {
    fn drop(&mut self) {
        self.run.counter.lock().cut.leave(self.context.task);
    }
}

impl Reader for DatagenReader {
    fn read(&mut self) -> Result<Read> {
        self.due = None;
        let due = {
            let mut counter = self.run.counter.lock();
            if !counter.cut.may_take(self.context.task, &self.context.waker) {
                return Ok(Read::Pending);
            }
            counter.pace.take(instant(), self.most, self.context.gather)
        };
        let rows = match due {
            Due::End => return Ok(Read::End),
            Due::At(at) => {
                self.due = Some(at);
                return Ok(Read::Pending);
            }
            Due::Rows(rows) => rows,
        };
        self.cells.clear();
        self.cells.extend(rows);
        let columns = self
            .run
            .generators
            .iter()
            .zip(self.schema.fields())
            .map(|(g, field)| g.generate(&self.cells, field.data_type()))
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.cells.len()));
        Ok(Read::Batch(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?))
    }

    fn deadline(&self) -> Option<Instant> {
        self.due
    }

    fn cut(&mut self, epoch: u64) -> Result<Option<Positions>> {
        let mut counter = self.run.counter.lock();
        let next = counter.pace.taken;
        let line = counter.cut.cut(self.context.task, epoch, next);
        Ok(Some(self.position(line)))
    }

    fn leave(&mut self) -> Result<Positions> {
        let mut counter = self.run.counter.lock();
        let next = counter.pace.taken;
        let last = counter.cut.leave(self.context.task);
        Ok(if last { self.position(next) } else { Positions::new() })
    }
}

#[cfg(test)]
mod tests;
