//! The warm path of a lookup join: encode keys, probe, gather, emit.
//!
//! Rows of 5 columns of text are looked up under random keys, 8,192 to a chunk, through the operator, with
//! all keys in the cache. `fresh` keeps asking for new keys, so that the store is never consolidated for
//! long; `alone` is one row a chunk. Prints ns/row: best of 7 and median.

use std::sync::Arc;
use std::time::{Duration, Instant};

use affluent::catalog::Table;
use affluent::clock::{Clock, SystemClock};
use affluent::flow::{Chunk, Mailbox, Operator, OperatorContext, Output};
use affluent::lookup::{
    Answers, Backend, BoxFuture, CacheConfig, Failure, Lookup, LookupConfig, LookupRequest, PartialConfig,
};
use affluent::operator::lookup_join::{LookupJoin, LookupJoinSpec};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;

const CHUNK: usize = 8192;

#[derive(Clone, Copy, PartialEq)]
enum KeyKind {
    Short,
    Long,
    Number,
}

impl KeyKind {
    fn data_type(self) -> DataType {
        if self == KeyKind::Number { DataType::Int64 } else { DataType::Utf8View }
    }

    fn text(self, n: u64) -> String {
        match self {
            KeyKind::Long => format!("urn:sensor:number:{n:08}"),
            _ => format!("s-{n}"),
        }
    }

    fn array(self, numbers: &[u64]) -> ArrayRef {
        match self {
            KeyKind::Number => Arc::new(numbers.iter().map(|n| *n as i64).collect::<Int64Array>()),
            _ => Arc::new(numbers.iter().map(|n| Some(self.text(*n))).collect::<StringViewArray>()),
        }
    }
}

fn schema(kind: KeyKind) -> SchemaRef {
    let mut fields = vec![Field::new("id", kind.data_type(), true)];
    let names = ["name", "brand", "countryCode", "location", "imageUrl"];
    fields.extend(names.map(|name| Field::new(name, DataType::Utf8View, true)));
    Arc::new(Schema::new(fields))
}

/// Answers at once.
struct Dimension(KeyKind, SchemaRef);

impl Backend for Dimension {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        let n = match self.0 {
            KeyKind::Number => keys.column(0).as_primitive::<Int64Type>().value(0).to_string(),
            _ => keys.column(0).as_string_view().value(0).to_string(),
        };
        let text = |s: String| Arc::new(StringViewArray::from(vec![s])) as ArrayRef;
        let rows = RecordBatch::try_new(
            self.1.clone(),
            vec![
                keys.column(0).clone(),
                text(format!("sensor {n}")),
                text("Acme Corporation".into()),
                text("DE".into()),
                text(format!("hall {n}, row 17")),
                text(format!("https://images.example.com/sensors/{n}.png")),
            ],
        );
        Box::pin(async move { Ok(Answers::one_each(rows.expect("columns fit"))) })
    }
    fn describe(&self) -> String {
        "dimension".into()
    }
}

struct Bench {
    join: LookupJoin,
    mailbox: Mailbox,
    schema: SchemaRef,
    kind: KeyKind,
    random: u64,
}

impl Bench {
    fn new(kind: KeyKind, runtime: &tokio::runtime::Runtime) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let schema = schema(kind);
        let table = Table { name: "dim".into(), temporary: true, ..Table::default() };
        let request = LookupRequest::new(Arc::new(table), vec![0], schema.clone());
        let config = LookupConfig {
            cache: CacheConfig::Partial(PartialConfig {
                max_rows: Some(2_000_000),
                expire_after_write: Some(Duration::from_secs(3600)),
                ..PartialConfig::default()
            }),
            timeout: Duration::from_secs(60),
            max_retries: 0,
            ..LookupConfig::default()
        };
        let backend = Arc::new(Dimension(kind, schema.clone()));
        let lookup =
            Lookup::new("dim".into(), request, backend, config, runtime.handle().clone(), clock.clone());
        let column = |name: &str, i| Arc::new(Column::new(name, i)) as Arc<dyn PhysicalExpr>;
        let mut fields =
            vec![Field::new("k", kind.data_type(), true), Field::new("n", DataType::Int64, true)];
        let left = Arc::new(Schema::new(fields.clone()));
        fields.extend(schema.fields().iter().skip(1).map(|f| f.as_ref().clone()));
        let mut join = LookupJoin::new(LookupJoinSpec {
            lookup: lookup.expect("a lookup"),
            keys: vec![column("k", 0)],
            pre_filter: None,
            right_filter: None,
            right_projection: (1..6).map(|i| column("c", i)).collect(),
            residual: None,
            left_outer: true,
            left_projection: vec![0, 1],
            schema: Arc::new(Schema::new(fields)),
            left,
            memory: None,
            dead_letters: false,
        })
        .expect("a join");
        let mailbox = Mailbox::new();
        let waker = mailbox.waker(0);
        join.open(OperatorContext {
            task: 0,
            parallelism: 1,
            waker,
            clock,
            checkpointed: false,
            memory: affluent::state::Memory::unlimited(),
        })
        .expect("opened");
        let left = Schema::new(vec![
            Field::new("k", kind.data_type(), true),
            Field::new("n", DataType::Int64, true),
        ]);
        Self { join, mailbox, schema: Arc::new(left), kind, random: 0x9e37_79b9_7f4a_7c15 }
    }

    fn chunk(&self, numbers: &[u64]) -> Chunk {
        let values: Int64Array = numbers.iter().map(|n| *n as i64).collect();
        let batch =
            RecordBatch::try_new(self.schema.clone(), vec![self.kind.array(numbers), Arc::new(values)]);
        Chunk::append(batch.expect("columns fit"), Instant::now())
    }

    fn random_chunks(&mut self, keys: u64, count: usize, rows: usize) -> Vec<Chunk> {
        (0..count)
            .map(|_| {
                let numbers: Vec<u64> = (0..rows)
                    .map(|_| {
                        self.random ^= self.random << 13;
                        self.random ^= self.random >> 7;
                        self.random ^= self.random << 17;
                        self.random % keys
                    })
                    .collect();
                self.chunk(&numbers)
            })
            .collect()
    }

    /// Sends a chunk and waits for all of its rows.
    fn through(&mut self, chunk: Chunk) -> usize {
        let rows = chunk.len();
        let mut out = Output::default();
        let mut seen = 0;
        self.join.chunk(chunk, &mut out).expect("joined");
        loop {
            for message in out.drain() {
                if let affluent::flow::Message::Data(chunk) = message {
                    seen += chunk.len();
                    std::hint::black_box(&chunk);
                }
            }
            if seen == rows {
                return seen;
            }
            self.mailbox.wait(None);
            self.join.wake(&mut out).expect("woken");
        }
    }

    fn warm(&mut self, keys: u64) -> Duration {
        let start = Instant::now();
        let all: Vec<u64> = (0..keys).collect();
        for numbers in all.chunks(CHUNK) {
            let chunk = self.chunk(numbers);
            self.through(chunk);
        }
        start.elapsed()
    }
}

fn report(name: &str, mut runs: Vec<f64>) {
    runs.sort_by(f64::total_cmp);
    println!("{name:<34} {:>8.1} best {:>8.1} median", runs[0], runs[runs.len() / 2]);
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    for (name, kind) in [("short", KeyKind::Short), ("long", KeyKind::Long), ("number", KeyKind::Number)] {
        for keys in [1_000u64, 10_000, 100_000, 1_000_000] {
            if keys == 1_000_000 && kind != KeyKind::Short {
                continue;
            }
            let mut bench = Bench::new(kind, &runtime);
            let took = bench.warm(keys);
            println!("{name} {keys}: cold {:.1} us/row", took.as_secs_f64() * 1e6 / keys as f64);
            // Until the store is consolidated.
            for chunk in bench.random_chunks(keys, 64 + 16 * keys as usize / CHUNK, CHUNK) {
                bench.through(chunk);
            }
            std::thread::sleep(Duration::from_millis(50 + keys / 2000));
            let chunks = bench.random_chunks(keys, 32, CHUNK);
            let runs = (0..7).map(|_| {
                let start = Instant::now();
                let rows: usize = chunks.iter().map(|c| bench.through(c.clone())).sum();
                start.elapsed().as_nanos() as f64 / rows as f64
            });
            let runs: Vec<f64> = runs.collect();
            report(&format!("{name} {keys} warm"), runs);
            let singles = bench.random_chunks(keys, 2000, 1);
            let runs = (0..7).map(|_| {
                let start = Instant::now();
                let rows: usize = singles.iter().map(|c| bench.through(c.clone())).sum();
                start.elapsed().as_nanos() as f64 / rows as f64
            });
            let runs: Vec<f64> = runs.collect();
            report(&format!("{name} {keys} alone"), runs);
            let mut next = keys;
            let runs = (0..7).map(|_| {
                let mut spent = Duration::ZERO;
                for chunk in &chunks {
                    let fresh = bench.chunk(&[next]);
                    next += 1;
                    bench.through(fresh);
                    let start = Instant::now();
                    bench.through(chunk.clone());
                    spent += start.elapsed();
                }
                spent.as_nanos() as f64 / (chunks.len() * CHUNK) as f64
            });
            let runs: Vec<f64> = runs.collect();
            report(&format!("{name} {keys} fresh"), runs);
        }
    }
}
