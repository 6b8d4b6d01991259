//! Reading a table as a whole, or in ranges of a column that several tasks share.
//!
//! A checkpoint lies between ranges: it waits until the one that is being read is through. Ranges that were read are not
//! read again after a restart; one that was not read to its end is read anew, and none of its rows had been counted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{Receiver, channel};

use crate::catalog::Options;
use crate::connector::{Positions, Read, Reader, ReaderContext, ScanRequest, Source};
use crate::database::{Database, Fault, Range, Reading, database};
use crate::error::{Error, Result};
use crate::lookup::BoxFuture;

/// Batches that may wait for the task.
const AHEAD: usize = 2;
/// Attempts to begin a range.
const ATTEMPTS: u32 = 4;
/// Ranges that a table may be read in.
const MOST: i128 = 100_000;
/// The split of a table that is read as one.
const WHOLE: &str = "table";

const COLUMN: &str = "scan.partition.column";
const BOUNDS: [&str; 4] =
    [COLUMN, "scan.partition.num", "scan.partition.lower-bound", "scan.partition.upper-bound"];

type Split = (String, Option<Range>);

/// The ranges of `scan.partition.*`; a whole table is one.
pub(super) fn splits(options: &Options) -> Result<Vec<Split>> {
    let given = BOUNDS.iter().filter(|key| options.contains(key)).count();
    if given == 0 {
        return Ok(vec![(WHOLE.to_string(), None)]);
    }
    let Some(column) = options.text(COLUMN).filter(|_| given == BOUNDS.len()) else {
        return Err(Error::option("the options 'scan.partition.*' come all together or not at all")
            .with_hint(BOUNDS.map(|key| format!("'{key}'")).join(", ")));
    };
    let number = |key: &str| -> Result<i64> {
        let text = options.text(key).unwrap_or_default().trim();
        text.parse().map_err(|_| {
            Error::option(format!("option '{key}': '{text}' is not a whole number")).at(options.span(key))
        })
    };
    let [_, num, lower, upper] = BOUNDS;
    let (count, from, to) = (number(num)?, number(lower)?, number(upper)?);
    if count < 1 || from > to {
        let what =
            if count < 1 { "at least one range" } else { "a lower bound that is not above the upper one" };
        return Err(
            Error::option(format!("the options 'scan.partition.*' need {what}")).at(options.span(num))
        );
    }
    // In 128 bits: the bounds may be as far apart as numbers of 64 bits can be.
    let width = i128::from(to) - i128::from(from) + 1;
    let count = i128::from(count).min(width);
    if count > MOST {
        return Err(Error::option(format!("option '{num}': there can be at most {MOST} ranges"))
            .at(options.span(num)));
    }
    let bound = |i: i128| i64::try_from(i128::from(from) + width * i / count).unwrap_or(to);
    let range = |i: i128| {
        let range = Range {
            column: column.to_string(),
            from: bound(i),
            to: if i + 1 == count { to } else { bound(i + 1).saturating_sub(1) },
        };
        (format!("range-{i}"), Some(range))
    };
    Ok((0..count).map(range).collect())
}

/// A planned scan.
pub(super) struct JdbcSource {
    table: String,
    database: Arc<dyn Database>,
    reading: Arc<Reading>,
    rows: usize,
    splits: Vec<Split>,
    waiting: Arc<Mutex<VecDeque<Split>>>,
    shown: String,
}

impl JdbcSource {
    pub(super) fn new(request: &ScanRequest, shown: String) -> Result<Self> {
        let options = &request.table.options;
        let splits = splits(options)?;
        let fetch =
            options.integer("scan.fetch-size")?.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        Ok(Self {
            table: request.table.name.clone(),
            database: database(&request.table)?,
            reading: Arc::new(Reading {
                table: options.required("table-name")?.to_string(),
                schema: request.schema.clone(),
                keys: Vec::new(),
                filters: Vec::new(),
            }),
            rows: fetch.map_or(request.batch_rows, |fetch| fetch.min(request.batch_rows)),
            waiting: Arc::new(Mutex::new(splits.iter().cloned().collect())),
            splits,
            shown,
        })
    }
}

impl Source for JdbcSource {
    fn bounded(&self) -> bool {
        true
    }

    fn max_parallelism(&self) -> usize {
        self.splits.len()
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        Ok(Box::new(JdbcReader {
            table: self.table.clone(),
            database: self.database.clone(),
            reading: self.reading.clone(),
            rows: self.rows,
            waiting: self.waiting.clone(),
            context,
            current: None,
            done: Positions::new(),
            cutting: false,
        }))
    }

    fn describe(&self) -> String {
        match self.splits.len() {
            1 => self.shown.clone(),
            n => format!("{}, {n} ranges", self.shown),
        }
    }

    fn replays(&self) -> bool {
        true
    }

    fn restore(&self, positions: &Positions, _runtime: &tokio::runtime::Handle) -> Result<()> {
        if let Some(unknown) = positions.keys().find(|name| !self.splits.iter().any(|(n, _)| n == *name)) {
            return Err(Error::plan(format!(
                "table '{}' was read in other ranges than now: there is no '{unknown}'",
                self.table
            ))
            .with_hint("keep the options 'scan.partition.*', or start the job without its checkpoints"));
        }
        let unread = self.splits.iter().filter(|(name, _)| !positions.contains_key(name));
        *self.waiting.lock() = unread.cloned().collect();
        Ok(())
    }
}

struct JdbcReader {
    table: String,
    database: Arc<dyn Database>,
    reading: Arc<Reading>,
    rows: usize,
    waiting: Arc<Mutex<VecDeque<Split>>>,
    context: ReaderContext,
    current: Option<(String, Receiver<Result<RecordBatch, Fault>>)>,
    /// Ranges that were read since the last cut.
    done: Positions,
    /// A barrier waits for the end of the range.
    cutting: bool,
}

impl JdbcReader {
    fn begin(&mut self, (name, range): Split) {
        let (sender, receiver) = channel(AHEAD);
        self.current = Some((name, receiver));
        let (database, reading, rows) = (self.database.clone(), self.reading.clone(), self.rows);
        let waker = self.context.waker.clone();
        self.context.runtime.spawn(async move {
            let mut attempt = 1;
            loop {
                let sent = Arc::new(Mutex::new(false));
                let (to, noted, woken) = (sender.clone(), sent.clone(), waker.clone());
                let take = Box::new(move |batch| -> BoxFuture<bool> {
                    let (to, woken) = (to.clone(), woken.clone());
                    *noted.lock() = true;
                    Box::pin(async move {
                        let taken = to.send(Ok(batch)).await.is_ok();
                        woken.wake();
                        taken
                    })
                });
                let scanned = database.clone().scan(reading.clone(), range.clone(), rows, take).await;
                let Err(fault) = scanned else { break };
                // Rows that were emitted cannot be retracted.
                if !fault.passes() || *sent.lock() || attempt == ATTEMPTS {
                    drop(sender.send(Err(fault)).await);
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1) * attempt).await;
                attempt += 1;
            }
            drop(sender);
            waker.wake();
        });
    }
}

impl Reader for JdbcReader {
    fn read(&mut self) -> Result<Read> {
        loop {
            let Some((_, batches)) = &mut self.current else {
                if self.cutting {
                    self.context.waker.wake();
                    return Ok(Read::Pending);
                }
                let next = self.waiting.lock().pop_front();
                match next {
                    None => return Ok(Read::End),
                    Some(split) => self.begin(split),
                }
                continue;
            };
            match batches.try_recv() {
                Ok(Ok(batch)) => return Ok(Read::Batch(batch)),
                Ok(Err(fault)) => return Err(Error::from(fault).context(format!("table '{}'", self.table))),
                Err(TryRecvError::Empty) => return Ok(Read::Pending),
                Err(TryRecvError::Disconnected) => {
                    if let Some((name, _)) = self.current.take() {
                        self.done.insert(name, json!("read"));
                    }
                }
            }
        }
    }

    fn cut(&mut self, _epoch: u64) -> Result<Option<Positions>> {
        self.cutting = self.current.is_some();
        Ok((!self.cutting).then(|| std::mem::take(&mut self.done)))
    }

    fn leave(&mut self) -> Result<Positions> {
        // What was begun is begun again by the reader that comes next.
        Ok(std::mem::take(&mut self.done))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ranges_cover_all_and_do_not_overlap() {
        let mut options = Options::default();
        assert_eq!(splits(&options).unwrap(), [(WHOLE.to_string(), None)]);
        for (key, value) in BOUNDS.iter().zip(["id", "3", "-5", "5"]) {
            options.set(key, value, Default::default());
        }
        let bounds: Vec<_> =
            splits(&options).unwrap().into_iter().map(|(_, r)| r.unwrap()).map(|r| (r.from, r.to)).collect();
        assert_eq!(bounds, [(-5, -3), (-2, 1), (2, 5)]);
        options.set(BOUNDS[1], "100", Default::default());
        assert_eq!(splits(&options).unwrap().len(), 11);
        options.set(BOUNDS[3], &i64::MAX.to_string(), Default::default());
        options.set(BOUNDS[2], &i64::MIN.to_string(), Default::default());
        let all = splits(&options).unwrap();
        assert_eq!((all.len(), all[99].1.as_ref().unwrap().to), (100, i64::MAX));
        let bounds: Vec<_> = all.into_iter().map(|(_, r)| r.unwrap()).map(|r| (r.from, r.to)).collect();
        assert_eq!(bounds[0].0, i64::MIN);
        assert!(bounds.iter().all(|(from, to)| from <= to));
        assert!(bounds.windows(2).all(|two| two[0].1.checked_add(1) == Some(two[1].0)), "{bounds:?}");
        // Not as many as memory does not hold.
        options.set(BOUNDS[1], &i64::MAX.to_string(), Default::default());
        assert!(splits(&options).is_err());
        options.set(BOUNDS[2], "x", Default::default());
        assert!(splits(&options).is_err());
    }
}
