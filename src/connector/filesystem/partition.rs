//! When a partition is complete: a file such as `_SUCCESS` says so to its readers.
//!
//! | trigger | complete when |
//! |---|---|
//! | `process-time` | the delay has passed since its first row; without a delay, whenever a file of it becomes visible |
//! | `partition-time` | the watermark has passed the time in its name plus the delay |
//!
//! A job that ends completes all of its partitions. One that never ends looks with every checkpoint. The time is the
//! least of all tasks' times; a task whose input is idle, or has ended, holds nothing back. Rows that come later make
//! the partition incomplete again, and the file is written again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr;

use arrow::array::timezone::Tz;
use chrono::NaiveDateTime;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::function::moment::{read_timestamp, to_utc, zone};
use crate::function::pattern::translated;

const KIND: &str = "sink.partition-commit.policy.kind";
const NAME: &str = "sink.partition-commit.success-file.name";
const TRIGGER: &str = "sink.partition-commit.trigger";
const DELAY: &str = "sink.partition-commit.delay";
const ZONE: &str = "sink.partition-commit.watermark-time-zone";
const EXTRACTOR: &str = "partition.time-extractor.kind";
const PATTERN: &str = "partition.time-extractor.timestamp-pattern";
const FORMATTER: &str = "partition.time-extractor.timestamp-formatter";

/// How a time is found in the values of a partition.
#[derive(Debug)]
struct Extractor {
    /// `$name` stands for the value of a column.
    pattern: String,
    formatter: Option<String>,
    zone: Tz,
}

#[derive(Debug)]
enum Trigger {
    /// Whenever a file becomes visible.
    AtOnce,
    ProcessTime,
    PartitionTime(Extractor),
}

/// What is done with complete partitions, and when.
#[derive(Debug)]
pub(super) struct Policy {
    success_file: String,
    trigger: Trigger,
    delay: i64,
}

/// A partition with rows that it was not completed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Its directory below the table's.
    pub(super) partition: String,
    /// It is complete when the time is later.
    pub(super) after: i64,
}

/// Checks the options about complete partitions.
pub(super) fn check(table: &Table) -> Result<()> {
    Policy::of(table).map(drop)
}

fn wrong(options: &Options, key: &str, why: &str) -> Error {
    Error::option(format!("option '{key}' = '{}': {why}", options.text(key).unwrap_or_default()))
        .at(options.span(key))
}

impl Policy {
    /// That of a table; none where nothing tells that a partition is complete.
    pub(super) fn of(table: &Table) -> Result<Option<Self>> {
        let options = &table.options;
        let trigger = options.choice(TRIGGER, &["process-time", "partition-time"])?.unwrap_or("process-time");
        let delay = options.duration(DELAY)?.unwrap_or_default();
        let delay = i64::try_from(delay.as_millis()).map_err(|_| wrong(options, DELAY, "it is too long"))?;
        let Some(kind) = options.text(KIND) else {
            for key in [TRIGGER, DELAY, NAME] {
                if options.contains(key)
                    && options.text(key) != Some("process-time")
                    && (key != DELAY || delay > 0)
                {
                    return Err(Error::option(format!("option '{key}' needs option '{KIND}'"))
                        .with_hint(format!("'{KIND}' = 'success-file' puts a file into complete partitions"))
                        .at(options.span(key)));
                }
            }
            return Ok(None);
        };
        if kind.trim() != "success-file" {
            let why = "only 'success-file' is supported";
            return Err(
                Error::unsupported(format!("option '{KIND}' = '{kind}': {why}")).at(options.span(KIND))
            );
        }
        if options.text(NAME).is_some_and(|name| name.is_empty() || name.contains(['/', '\\'])) {
            return Err(Error::option(format!("option '{NAME}' must be a file name")).at(options.span(NAME)));
        }
        if table.partitioned_by.is_empty() {
            return Err(Error::option(format!(
                "option '{KIND}' needs a table that is PARTITIONED BY a column"
            ))
            .at(options.span(KIND)));
        }
        let trigger = match trigger {
            "partition-time" => Trigger::PartitionTime(Extractor::of(table)?),
            _ if delay > 0 => Trigger::ProcessTime,
            _ => Trigger::AtOnce,
        };
        let success_file = options.text(NAME).unwrap_or("_SUCCESS").to_string();
        Ok(Some(Self { success_file, trigger, delay }))
    }

    /// The name of the file.
    pub(super) fn success_file(&self) -> &str {
        &self.success_file
    }

    /// Whether partitions are complete whenever a file becomes visible.
    pub(super) fn at_once(&self) -> bool {
        matches!(self.trigger, Trigger::AtOnce)
    }

    /// Whether time is the watermark, not the clock.
    pub(super) fn by_watermark(&self) -> bool {
        matches!(self.trigger, Trigger::PartitionTime(_))
    }

    /// When a partition whose first row came now is complete.
    fn after(&self, partition: &str, now: i64) -> Result<i64> {
        match &self.trigger {
            Trigger::AtOnce => Ok(i64::MIN),
            Trigger::ProcessTime => Ok(now.saturating_add(self.delay)),
            Trigger::PartitionTime(extractor) => Ok(extractor.time(partition)?.saturating_add(self.delay)),
        }
    }
}

impl Extractor {
    fn of(table: &Table) -> Result<Self> {
        let options = &table.options;
        if options.text(EXTRACTOR).is_some_and(|kind| kind != "default") {
            return Err(Error::unsupported(format!("option '{EXTRACTOR}': only 'default' is supported"))
                .with_hint(format!(
                    "'{PATTERN}' says how a time is made of partition columns: '$dt $hour:00:00'"
                ))
                .at(options.span(EXTRACTOR)));
        }
        let first = table.partitioned_by.first().map_or("", String::as_str);
        let pattern = options.text(PATTERN).map_or_else(|| format!("${first}"), str::to_string);
        let formatter = options.text(FORMATTER).map(str::to_string);
        if let Some(formatter) = &formatter {
            translated(formatter).map_err(|e| wrong(options, FORMATTER, e.message()))?;
        }
        let name = options.text(ZONE).unwrap_or("UTC");
        let zone = zone(name).or_else(|e| Tz::from_str(name).map_err(|_| e));
        let zone = zone.map_err(|_| wrong(options, ZONE, "this time zone is not known"))?;
        Ok(Self { pattern, formatter, zone })
    }

    /// Milliseconds since 1970 of the time in a partition's directory.
    fn time(&self, partition: &str) -> Result<i64> {
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let values: Vec<(String, String)> = partition
            .split(std::path::MAIN_SEPARATOR)
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (decode(name), decode(value)))
            .collect();
        let mut text = self.pattern.clone();
        // Longer names first: '$day' is not '$d' and "ay".
        let mut names: Vec<&(String, String)> = values.iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        for (name, value) in names {
            text = text.replace(&format!("${name}"), value);
        }
        let read: Option<NaiveDateTime> = match &self.formatter {
            Some(formatter) => translated(formatter)?.read(&text).map(|(time, _)| time),
            None => read_timestamp(&text),
        };
        let Some(time) = read else {
            let form = self.formatter.as_deref().unwrap_or("yyyy-MM-dd HH:mm:ss");
            return Err(Error::execution(format!("partition '{partition}' has no time: '{text}' is not of the form '{form}'"))
                .with_hint(format!("'{PATTERN}' makes a time of partition columns, such as '$dt $hour:00:00'; '{FORMATTER}' says its form")));
        };
        Ok(to_utc(&self.zone, time).and_utc().timestamp_millis())
    }
}

/// The partitions that one writer has rows of.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// When each is complete, and whether rows came since the last barrier.
    partitions: BTreeMap<String, (i64, bool)>,
    /// The number of the last completion that was looked at.
    seen: u64,
}

impl Watched {
    /// Rows came.
    pub(super) fn note(&mut self, policy: &Policy, partition: &str, now: i64) -> Result<()> {
        match self.partitions.get_mut(partition) {
            Some((_, fresh)) => *fresh = true,
            None => {
                let after = policy.after(partition, now)?;
                self.partitions.insert(partition.to_string(), (after, true));
            }
        }
        Ok(())
    }

    /// Goes on with partitions of a former attempt.
    pub(super) fn adopt(&mut self, pending: Vec<Pending>) {
        for Pending { partition, after } in pending {
            self.partitions.insert(partition, (after, false));
        }
    }

    /// The partitions that are complete as far as this writer knows.
    pub(super) fn complete(&self, now: i64) -> HashSet<String> {
        let complete = self.partitions.iter().filter(|(_, (after, _))| now > *after);
        complete.map(|(partition, _)| partition.clone()).collect()
    }

    /// A barrier passes: what is not complete.
    pub(super) fn at_barrier(&mut self, completed: &Completed) -> Vec<Pending> {
        let done = completed.since(&mut self.seen);
        self.partitions.retain(|partition, (_, fresh)| *fresh || !done.contains(partition));
        self.partitions.values_mut().for_each(|(_, fresh)| *fresh = false);
        let all = self.partitions.iter();
        all.map(|(partition, (after, _))| Pending { partition: partition.clone(), after: *after }).collect()
    }
}

/// Partitions that were completed, with the number of the completion.
#[derive(Debug, Default)]
pub(super) struct Completed(Mutex<(u64, HashMap<String, u64>)>);

impl Completed {
    pub(super) fn note(&self, partition: &str) {
        let mut all = self.0.lock();
        all.0 += 1;
        let number = all.0;
        all.1.insert(partition.to_string(), number);
    }

    fn since(&self, seen: &mut u64) -> Vec<String> {
        let all = self.0.lock();
        let from = std::mem::replace(seen, all.0);
        all.1.iter().filter(|(_, n)| **n > from).map(|(p, _)| p.clone()).collect()
    }
}

/// The partitions of all writers that are complete: the least of the writers' times is behind them, and no file of them is hidden.
pub(super) fn complete<'a>(
    pending: impl Iterator<Item = &'a Pending>,
    now: i64,
    hidden: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut after: BTreeMap<&str, i64> = BTreeMap::new();
    for p in pending {
        let latest = after.entry(&p.partition).or_insert(p.after);
        *latest = (*latest).max(p.after);
    }
    let complete = after.into_iter().filter(|(partition, after)| now > *after && !hidden(partition));
    complete.map(|(partition, _)| partition.to_string()).collect()
}
