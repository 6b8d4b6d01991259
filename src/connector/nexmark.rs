//! The Nexmark benchmark's events: persons who sell, auctions and bids, in one stream.
//!
//! ```sql
//! CREATE TABLE events (
//!   event_type INT,                                -- 0: person, 1: auction, 2: bid
//!   person  ROW<id BIGINT, name STRING, emailAddress STRING, creditCard STRING, city STRING, state STRING,
//!               `dateTime` TIMESTAMP(3), extra STRING>,
//!   auction ROW<id BIGINT, itemName STRING, description STRING, initialBid BIGINT, reserve BIGINT,
//!               `dateTime` TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra STRING>,
//!   bid     ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING,
//!               `dateTime` TIMESTAMP(3), extra STRING>
//! ) WITH ('connector' = 'nexmark', 'events.num' = '1000000');
//! ```
//! Columns and fields may be left out, and only those that a query reads are made. Options are those of
//! nexmark-flink. The events are the same in every run and whatever the number of tasks, which take ranges
//! of event numbers from a common counter: `affluent.nexmark.seed` makes others. Event 0 happens at
//! `affluent.nexmark.base-time`.
//!
//! Events come as fast as they can be made. With `rate.limited` an event comes when it happens, as far from
//! the first one as their times are apart.
//!
//! A checkpoint holds the number of the next event: a job that comes back makes the same events from there on.

mod columns;
mod model;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{SchemaRef, TimeUnit};
use parking_lot::Mutex;
use serde_json::json;

use self::columns::{Column, Generator, NAMES};
use self::model::{Model, Settings};
use super::common_cut::CommonCut;
use super::position;
use super::{Connector, Nature};
use super::{Positions, Read, Reader, ReaderContext, ScanRequest, Source};
use crate::catalog::{ColumnSource, OptionDef, OptionKind, Options, Table};
use crate::clock::instant;
use crate::error::{Error, Result};
use crate::format::json::convert::timestamp;
use crate::nearest::nearest;

/// `'connector' = 'nexmark'`.
#[derive(Debug)]
pub struct Nexmark;

const EVENTS: &str = "events.num";
const FIRST_RATE: &str = "first-event.rate";
const NEXT_RATE: &str = "next-event.rate";
const RATE_SHAPE: &str = "rate.shape";
const RATE_PERIOD: &str = "rate.period";
const RATE_LIMITED: &str = "rate.limited";
const MAX_SPEED: &str = "max-emit-speed";
const KEEP_ALIVE: &str = "keep-alive";
const STOP_AT: &str = "stop-at";
const SEED: &str = "affluent.nexmark.seed";
const BASE_TIME: &str = "affluent.nexmark.base-time";
const SHAPES: &[&str] = &["SQUARE", "SINE"];
/// Steps that approximate a sine.
const SINE_STEPS: u32 = 10;
/// Rates and proportions are not larger, so that nothing overflows.
const MOST: u64 = 1 << 31;
/// Events are not longer than this.
const MAX_SIZE: u64 = 512 << 10;

const OPTIONS: &[OptionDef] = &[
    OptionDef::new(EVENTS, OptionKind::Integer, "0", "end after this many events; 0: never"),
    OptionDef::new(FIRST_RATE, OptionKind::Integer, "10000", "events in a second of event time"),
    OptionDef::new(
        NEXT_RATE,
        OptionKind::Integer,
        "",
        "the rate that the first one alternates with; without it, the rate is steady",
    ),
    OptionDef::new(
        RATE_SHAPE,
        OptionKind::Choice(SHAPES),
        "SQUARE",
        "how the rate goes from the first to the next one and back",
    ),
    OptionDef::new(RATE_PERIOD, OptionKind::Duration, "600 s", "how long that takes; at least 10 s"),
    OptionDef::new(RATE_LIMITED, OptionKind::Bool, "false", "events come when they happen"),
    OptionDef::new(MAX_SPEED, OptionKind::Bool, "true", "false: as 'rate.limited' = 'true'"),
    OptionDef::new("person.proportion", OptionKind::Integer, "1", "persons, of all proportions together"),
    OptionDef::new("auction.proportion", OptionKind::Integer, "3", "auctions"),
    OptionDef::new("bid.proportion", OptionKind::Integer, "46", "bids"),
    OptionDef::new("person.avg-size", OptionKind::Size, "200 b", "bytes of a person, filled up by 'extra'"),
    OptionDef::new("auction.avg-size", OptionKind::Size, "500 b", "bytes of an auction"),
    OptionDef::new("bid.avg-size", OptionKind::Size, "100 b", "bytes of a bid"),
    OptionDef::new(
        "bid.hot-ratio.auctions",
        OptionKind::Integer,
        "2",
        "all but one of this many bids go to a hot auction",
    ),
    OptionDef::new(
        "bid.hot-ratio.bidders",
        OptionKind::Integer,
        "4",
        "all but one of this many bids come from a hot bidder",
    ),
    OptionDef::new(
        "auction.hot-ratio.sellers",
        OptionKind::Integer,
        "4",
        "all but one of this many auctions are a hot seller's",
    ),
    OptionDef::new(KEEP_ALIVE, OptionKind::Bool, "false", "wait after the last event instead of ending"),
    OptionDef::new(STOP_AT, OptionKind::Integer, "", "end before the event of this number"),
    OptionDef::new(SEED, OptionKind::Integer, "0", "other numbers make other events"),
    OptionDef::new(BASE_TIME, OptionKind::Text, "2015-07-15 00:00:00", "when the first event happens"),
];

impl Connector for Nexmark {
    fn name(&self) -> &'static str {
        "nexmark"
    }

    fn doc(&self) -> &'static str {
        "events of the Nexmark benchmark: persons, auctions and bids"
    }

    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }

    fn check(&self, table: &Table) -> Result<()> {
        Plan::new(&table.options)?;
        for column in &table.columns {
            if let ColumnSource::Physical { data_type, nullable } = &column.source {
                Column::new(&column.name, &data_type.to_arrow("UTC")).map_err(|e| {
                    match nearest(&column.name, NAMES.into_iter()) {
                        Some(near) if near != column.name => e.with_hint(format!("did you mean '{near}'?")),
                        _ => e,
                    }
                })?;
                if !nullable && column.name != "event_type" {
                    return Err(Error::plan(format!("column '{}' is NULL for other events", column.name))
                        .with_hint("leave NOT NULL out"));
                }
            }
        }
        Ok(())
    }

    fn nature(&self, table: &Table) -> Nature {
        let bounded = Plan::new(&table.options).is_ok_and(|plan| plan.events.is_some() && !plan.keep_alive);
        Nature { bounded, reads_locally: bounded, ..Nature::declared(self.options(), &table.options) }
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let plan = Plan::new(&request.table.options)?;
        let columns = request
            .projection
            .iter()
            .zip(request.schema.fields())
            .map(|(&i, field)| {
                let column = request.table.columns.get(i).ok_or_else(|| {
                    Error::internal(format!("table '{}' has no column {i}", request.table.name))
                })?;
                Column::new(&column.name, field.data_type())
            })
            .collect::<Result<_>>()?;
        let model = Model::new(plan.settings.clone());
        Ok(Arc::new(NexmarkSource {
            generator: Arc::new(Generator::new(model, columns)),
            schema: request.schema.clone(),
            most: request.batch_rows.max(1) as u64,
            counter: Mutex::default(),
            plan,
        }))
    }
}

/// What the options ask for.
#[derive(Debug, Clone)]
struct Plan {
    settings: Settings,
    /// Events there are.
    events: Option<u64>,
    /// Waits after the last one.
    keep_alive: bool,
    /// Events come when they happen.
    paced: bool,
}

impl Plan {
    fn new(options: &Options) -> Result<Self> {
        let integer = |key: &str, default: u64, least: u64| -> Result<u64> {
            let value = options.integer(key)?.unwrap_or(default);
            if (least..=MOST).contains(&value) {
                return Ok(value);
            }
            Err(Error::option(format!("option '{key}' must be a number from {least} to {MOST}"))
                .at(options.span(key)))
        };
        let size = |key: &str, default: u64| -> Result<u64> {
            let value = options.size(key)?.unwrap_or(default);
            if value <= MAX_SIZE {
                return Ok(value);
            }
            Err(Error::option(format!("option '{key}' must be at most 512 kb")).at(options.span(key)))
        };
        let first = integer(FIRST_RATE, 10_000, 1)?;
        let next = integer(NEXT_RATE, first, 1)?;
        let period = options.duration(RATE_PERIOD)?.unwrap_or(Duration::from_secs(600)).as_secs();
        if !(10..=MOST).contains(&period) {
            return Err(Error::option(format!("option '{RATE_PERIOD}' must be at least 10 s"))
                .at(options.span(RATE_PERIOD)));
        }
        let rates: Vec<u64> = match options.choice(RATE_SHAPE, SHAPES)? {
            _ if first == next => vec![first],
            Some("SINE") => {
                let (middle, swing) = ((first + next) as f64 / 2.0, (first as f64 - next as f64) / 2.0);
                let turn = |i: u32| f64::from(i) * std::f64::consts::TAU / f64::from(SINE_STEPS);
                (0..SINE_STEPS).map(|i| ((middle + swing * turn(i).cos()).round() as u64).max(1)).collect()
            }
            _ => vec![first, next],
        };
        let base_millis = match options.text(BASE_TIME) {
            None => 1_436_918_400_000,
            Some(text) => timestamp(text, TimeUnit::Millisecond, false).ok_or_else(|| {
                Error::option(format!("option '{BASE_TIME}': '{text}' is not a timestamp"))
                    .with_hint("write it as 2015-07-15 00:00:00")
                    .at(options.span(BASE_TIME))
            })?,
        };
        let settings = Settings {
            persons: integer("person.proportion", 1, 0)?,
            auctions: integer("auction.proportion", 3, 0)?,
            bids: integer("bid.proportion", 46, 0)?,
            hot_auctions: integer("bid.hot-ratio.auctions", 2, 1)?,
            hot_bidders: integer("bid.hot-ratio.bidders", 4, 1)?,
            hot_sellers: integer("auction.hot-ratio.sellers", 4, 1)?,
            person_size: size("person.avg-size", 200)?,
            auction_size: size("auction.avg-size", 500)?,
            bid_size: size("bid.avg-size", 100)?,
            step_seconds: period.div_ceil(rates.len() as u64),
            rates,
            base_millis,
            seed: options.integer(SEED)?.unwrap_or(0),
        };
        if settings.persons + settings.auctions + settings.bids == 0 {
            return Err(Error::option("the proportions of persons, auctions and bids are all 0")
                .at(options.span("bid.proportion")));
        }
        let count = options.integer(EVENTS)?.filter(|n| *n > 0);
        let events = match (count, options.integer(STOP_AT)?) {
            (Some(n), Some(stop)) => Some(n.min(stop)),
            (n, stop) => n.or(stop),
        };
        let paced = options.bool(RATE_LIMITED)?.unwrap_or(false) || options.bool(MAX_SPEED)? == Some(false);
        Ok(Self { settings, events, keep_alive: options.bool(KEEP_ALIVE)?.unwrap_or(false), paced })
    }
}

/// The only split.
const EVENT_NUMBERS: &str = "events";

/// The events that are not made yet.
#[derive(Debug, Default)]
struct Counter {
    next: u64,
    /// When the first one was asked for, and how long after event 0 it happened, in milliseconds.
    start: Option<(Instant, i64)>,
    cut: CommonCut,
}

#[derive(Debug, PartialEq)]
enum Due {
    Events(Range<u64>),
    /// None before this instant.
    At(Instant),
    /// None any more.
    End,
}

impl Counter {
    /// Takes events, at most so many; of a paced stream, those that have happened.
    fn take(&mut self, plan: &Plan, model: &Model, most: u64, now: Instant) -> Due {
        let left = plan.events.map_or(u64::MAX - self.next, |events| events.saturating_sub(self.next));
        if left == 0 {
            return Due::End;
        }
        let mut count = most.min(left);
        if plan.paced {
            let (start, first) = *self.start.get_or_insert_with(|| (now, model.offset_millis(self.next)));
            let elapsed = i64::try_from(now.saturating_duration_since(start).as_millis()).unwrap_or(i64::MAX);
            let elapsed = elapsed.saturating_add(first);
            let happened = |n: u64| model.offset_millis(self.next + n) <= elapsed;
            if !happened(0) {
                let wait = u64::try_from(model.offset_millis(self.next) - first).unwrap_or(0);
                return Due::At(start + Duration::from_millis(wait));
            }
            // The last of those that may be taken and have happened.
            let (mut low, mut high) = (0, count);
            while low + 1 < high {
                let middle = low + (high - low) / 2;
                if happened(middle) { low = middle } else { high = middle }
            }
            count = low + 1;
        }
        let first = self.next;
        self.next += count;
        Due::Events(first..self.next)
    }
}

struct NexmarkSource {
    plan: Plan,
    generator: Arc<Generator>,
    schema: SchemaRef,
    most: u64,
    /// Of the present run.
    counter: Mutex<Arc<Mutex<Counter>>>,
}

impl Source for NexmarkSource {
    fn bounded(&self) -> bool {
        self.plan.events.is_some() && !self.plan.keep_alive
    }

    fn max_parallelism(&self) -> usize {
        usize::MAX
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let counter = self.counter.lock().clone();
        counter.lock().cut.join(context.task, context.parallelism);
        Ok(Box::new(NexmarkReader {
            plan: self.plan.clone(),
            generator: self.generator.clone(),
            schema: self.schema.clone(),
            most: self.most,
            counter,
            context,
            due: None,
        }))
    }

    fn describe(&self) -> String {
        let events = self.plan.events.map_or("endless".to_string(), |n| format!("{n} events"));
        let Settings { persons, auctions, bids, seed, .. } = &self.plan.settings;
        format!("{events}, {persons}:{auctions}:{bids}, seed={seed}")
    }

    fn replays(&self) -> bool {
        true
    }

    fn restore(&self, positions: &Positions, _runtime: &tokio::runtime::Handle) -> Result<()> {
        let position = position::only(positions, EVENT_NUMBERS)?;
        let next = position.map_or(Ok(0), |p| position::number(EVENT_NUMBERS, p, "next"))?;
        *self.counter.lock() = Arc::new(Mutex::new(Counter { next, ..Counter::default() }));
        Ok(())
    }
}

struct NexmarkReader {
    plan: Plan,
    generator: Arc<Generator>,
    schema: SchemaRef,
    most: u64,
    counter: Arc<Mutex<Counter>>,
    context: ReaderContext,
    /// When the next events happen.
    due: Option<Instant>,
}

impl Drop for NexmarkReader {
    fn drop(&mut self) {
        self.counter.lock().cut.leave(self.context.task);
    }
}

fn line_position(next: u64) -> Positions {
    [(EVENT_NUMBERS.to_string(), json!({ "next": next }))].into()
}

impl Reader for NexmarkReader {
    fn read(&mut self) -> Result<Read> {
        self.due = None;
        let due = {
            let mut counter = self.counter.lock();
            if !counter.cut.may_take(self.context.task, &self.context.waker) {
                return Ok(Read::Pending);
            }
            counter.take(&self.plan, &self.generator.model, self.most, instant())
        };
        let events = match due {
            Due::Events(events) => events,
            Due::End if self.plan.keep_alive => return Ok(Read::Pending),
            Due::End => return Ok(Read::End),
            Due::At(at) => {
                self.due = Some(at);
                return Ok(Read::Pending);
            }
        };
        let options = RecordBatchOptions::new().with_row_count(Some((events.end - events.start) as usize));
        let columns = self.generator.columns(events)?;
        Ok(Read::Batch(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?))
    }

    fn deadline(&self) -> Option<Instant> {
        self.due
    }

    fn cut(&mut self, epoch: u64) -> Result<Option<Positions>> {
        let mut counter = self.counter.lock();
        let next = counter.next;
        let line = counter.cut.cut(self.context.task, epoch, next);
        Ok(Some(line_position(line)))
    }

    fn leave(&mut self) -> Result<Positions> {
        let mut counter = self.counter.lock();
        let next = counter.next;
        let last = counter.cut.leave(self.context.task);
        Ok(if last { line_position(next) } else { Positions::new() })
    }
}

#[cfg(test)]
mod tests;
