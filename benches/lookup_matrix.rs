//! Lookups by hit ratio, latency of the service, order and batching.
//!
//! ```text
//! cargo bench --bench lookup_matrix                    the whole table
//! ROWS=2000 cargo bench --bench lookup_matrix -- 20    2,000 rows, only cases with this word in their line
//! ```
//! One task, 256 rows in flight, the service in this process: a backend that answers after a while, without a network,
//! so that what is measured is ours. Added latency is the time of a row in the operator, from the call that hands it
//! over to the call that gives it out. `slow tail`: 5 ms, and one answer in a hundred takes 500 ms. Rows come as fast as
//! the operator takes them, in chunks of 64; keys that are to hit are asked for before.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use affluent::catalog::Table;
use affluent::clock::SystemClock;
use affluent::flow::{Chunk, Mailbox, Message, Operator, OperatorContext, Output};
use affluent::lookup::{
    Answers, Backend, BoxFuture, CacheConfig, Failure, Lookup, LookupConfig, LookupMetrics, LookupRequest,
    OutputMode, PartialConfig,
};
use affluent::operator::lookup_join::{LookupJoin, LookupJoinSpec};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion_physical_expr::expressions::Column;

const CHUNK: usize = 64;

#[derive(Clone, Copy)]
enum Latency {
    Fixed(u64),
    Tail,
}

struct Service {
    latency: Latency,
    batch: usize,
    calls: Arc<AtomicU64>,
    schema: SchemaRef,
}

impl Backend for Service {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let wait = match self.latency {
            Latency::Fixed(millis) => Duration::from_millis(millis),
            Latency::Tail if call % 100 == 99 => Duration::from_millis(500),
            Latency::Tail => Duration::from_millis(5),
        };
        let schema = self.schema.clone();
        Box::pin(async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            let ids = keys.column(0).clone();
            let rows = RecordBatch::try_new(schema, vec![ids.clone(), ids]).expect("rows");
            Ok(Answers::one_each(rows))
        })
    }

    fn max_keys(&self) -> usize {
        self.batch
    }

    fn describe(&self) -> String {
        "the bench".into()
    }
}

fn schema(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|n| Field::new(*n, DataType::Int64, true)).collect::<Vec<_>>()))
}

struct Case {
    hits: u64,
    latency: Latency,
    ordered: bool,
    batch: usize,
}

struct Figures {
    rows_a_second: f64,
    micros: [u64; 3],
    calls: u64,
}

struct Task {
    join: LookupJoin,
    mailbox: Mailbox,
    /// When each row was handed over.
    sent: Vec<Instant>,
    waits: hdrhistogram::Histogram<u64>,
    out: usize,
}

impl Task {
    fn drain(&mut self, mut out: Output) {
        for message in out.drain() {
            if let Message::Data(chunk) = message {
                let numbers = chunk.batch.column(1).as_primitive::<Int64Type>().clone();
                let now = Instant::now();
                for number in numbers.values() {
                    let wait = now.duration_since(self.sent[*number as usize]).as_micros();
                    self.waits.saturating_record(wait.max(1) as u64);
                }
                self.out += numbers.len();
            }
        }
    }

    fn wake(&mut self) {
        let mut out = Output::default();
        self.join.wake(&mut out).expect("answers");
        self.drain(out);
    }
}

fn run(case: &Case, rows: usize, runtime: &tokio::runtime::Runtime) -> Figures {
    let dim = schema(&["id", "v"]);
    let calls = Arc::new(AtomicU64::new(0));
    let service =
        Service { latency: case.latency, batch: case.batch, calls: calls.clone(), schema: dim.clone() };
    let table = Table { name: "dim".into(), temporary: true, ..Table::default() };
    let config = LookupConfig {
        cache: CacheConfig::Partial(PartialConfig { max_rows: Some(10_000_000), ..PartialConfig::default() }),
        output_mode: if case.ordered { OutputMode::Ordered } else { OutputMode::Unordered },
        ..LookupConfig::default()
    };
    let request = LookupRequest::new(Arc::new(table), vec![0], dim);
    let clock = Arc::new(SystemClock);
    let lookup = Lookup::new(
        "dim".into(),
        request,
        Arc::new(service),
        config,
        runtime.handle().clone(),
        clock.clone(),
    );
    let left = schema(&["k", "n"]);
    let column =
        |name: &str, i| Arc::new(Column::new(name, i)) as Arc<dyn datafusion_physical_expr::PhysicalExpr>;
    let spec = LookupJoinSpec {
        lookup: lookup.expect("a lookup"),
        keys: vec![column("k", 0)],
        pre_filter: None,
        right_filter: None,
        right_projection: vec![column("v", 1)],
        residual: None,
        left_outer: false,
        left_projection: vec![0, 1],
        schema: schema(&["k", "n", "v"]),
        left: left.clone(),
        memory: None,
        dead_letters: false,
    };
    let mailbox = Mailbox::new();
    let mut join = LookupJoin::new(spec.clone()).expect("a join");
    let context = OperatorContext {
        task: 0,
        parallelism: 1,
        waker: mailbox.waker(0),
        clock,
        checkpointed: false,
        memory: affluent::state::Memory::unlimited(),
    };
    join.open(context).expect("opened");
    let waits = hdrhistogram::Histogram::new_with_bounds(1, 600_000_000, 3).expect("bounds");
    let mut task = Task { join, mailbox, sent: Vec::new(), waits, out: 0 };
    let chunk = |keys: Vec<i64>, from: i64| {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + keys.len() as i64));
        let keys: ArrayRef = Arc::new(Int64Array::from(keys));
        Chunk::append(
            RecordBatch::try_new(left.clone(), vec![keys, numbers]).expect("a chunk"),
            Instant::now(),
        )
    };
    let give = |task: &mut Task, keys: Vec<i64>| {
        while task.join.room() < keys.len() {
            task.mailbox.wait(None);
            task.wake();
        }
        let from = task.sent.len() as i64;
        task.sent.resize(task.sent.len() + keys.len(), Instant::now());
        let mut out = Output::default();
        task.join.chunk(chunk(keys, from), &mut out).expect("taken in");
        task.drain(out);
    };
    // Keys that hit: a hundred.
    give(&mut task, (0..100).collect());
    while task.out < 100 {
        task.mailbox.wait(None);
        task.wake();
    }
    task.waits.reset();
    calls.store(0, Ordering::Relaxed);
    let before = task.out;
    let start = Instant::now();
    let mut cold = 1_000_000;
    let mut row = 0u64;
    while (row as usize) < rows {
        let keys = (0..CHUNK).map(|_| {
            row += 1;
            if row.wrapping_mul(7919) % 100 < case.hits {
                (row % 100) as i64
            } else {
                cold += 1;
                cold
            }
        });
        let keys = keys.collect();
        give(&mut task, keys);
    }
    let rows = row as usize;
    while task.out < before + rows {
        task.mailbox.wait(None);
        task.wake();
    }
    let took = start.elapsed().as_secs_f64();
    let micros = [0.5, 0.99, 0.999].map(|q| task.waits.value_at_quantile(q));
    let _ = LookupMetrics::get(&spec.lookup.metrics().calls);
    Figures { rows_a_second: rows as f64 / took, micros, calls: calls.load(Ordering::Relaxed) }
}

fn main() {
    let rows = std::env::var("ROWS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let words: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    println!("| hits | latency | order | keys a request | rows/s | p50 | p99 | p99.9 | calls |");
    println!("|---:|---|---|---:|---:|---:|---:|---:|---:|");
    for hits in [100, 99, 90, 50, 0] {
        for (name, latency) in [
            ("0 ms", Latency::Fixed(0)),
            ("1 ms", Latency::Fixed(1)),
            ("20 ms", Latency::Fixed(20)),
            ("200 ms", Latency::Fixed(200)),
            ("slow tail", Latency::Tail),
        ] {
            for ordered in [true, false] {
                for batch in [1, 100] {
                    let order = if ordered { "ordered" } else { "unordered" };
                    let line = format!("| {hits} % | {name} | {order} | {batch} |");
                    if !words.iter().all(|word| line.contains(word.as_str())) {
                        continue;
                    }
                    let figures = run(&Case { hits, latency, ordered, batch }, rows, &runtime);
                    let millis = figures.micros.map(|m| format!("{:.2} ms", m as f64 / 1e3));
                    let [p50, p99, p999] = millis;
                    println!(
                        "{line} {:.0} | {p50} | {p99} | {p999} | {} |",
                        figures.rows_a_second, figures.calls
                    );
                }
            }
        }
    }
}
