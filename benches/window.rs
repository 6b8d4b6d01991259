//! Tumbling COUNT, SUM and MAX by key on decoded columns.
//!
//! Chunks of 8,192 rows with random BIGINT keys go through the operator on one core; a window closes every
//! million rows. `one` has the rows of a chunk in one window, `two` has them spread over two, `hop` has windows
//! of five slices. Prints millions of rows a second: best of 7 and median.

use std::sync::Arc;
use std::time::Instant;

use affluent::error::Result;
use affluent::flow::message::WatermarkClock;
use affluent::flow::{Chunk, Operator, Output};
use affluent::function::aggregate::aggregate;
use affluent::operator::aggregate::AggregateCall;
use affluent::operator::window::{
    WindowAggregate, WindowAggregateSpec, WindowColumn, WindowInput, WindowKind, WindowSpec, WindowTime,
};
use arrow::array::{Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion_physical_expr::expressions::Column;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const CHUNK: usize = 8192;
const ROWS: usize = 8 << 20;
/// Rows by millisecond of event time.
const RATE: usize = 1000;

fn call(name: &str, column: Option<usize>) -> AggregateCall {
    AggregateCall {
        function: aggregate(name).expect("a function"),
        args: column.map(|c| Arc::new(Column::new("v", c)) as _).into_iter().collect(),
        arg_types: column.map(|_| DataType::Int64).into_iter().collect(),
        filter: None,
        distinct: false,
        order_by: Vec::new(),
        ignore_nulls: None,
        data_type: DataType::Int64,
        display: name.into(),
    }
}

fn spec(kind: WindowKind) -> WindowAggregateSpec {
    let stamp = DataType::Timestamp(TimeUnit::Millisecond, None);
    let columns = [
        ("k", DataType::Int64),
        ("count", DataType::Int64),
        ("sum", DataType::Int64),
        ("max", DataType::Int64),
        ("window_start", stamp.clone()),
        ("window_end", stamp),
    ];
    let fields = columns.into_iter().map(|(name, t)| Field::new(name, t, true));
    WindowAggregateSpec {
        keys: vec![0],
        calls: vec![call("COUNT", None), call("SUM", Some(1)), call("MAX", Some(1))],
        input: WindowInput::Assigned {
            windows: WindowSpec { kind, offset: 0, zone: None },
            time: WindowTime::Event(2),
        },
        window: vec![WindowColumn::Start, WindowColumn::End],
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        order: Vec::new(),
        input_changes: false,
        metrics: Arc::default(),
    }
}

fn batches(keys: i64, jitter: i64) -> Vec<RecordBatch> {
    let mut random = StdRng::seed_from_u64(7);
    let fields = vec![
        Field::new("k", DataType::Int64, true),
        Field::new("v", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ];
    let schema = Arc::new(Schema::new(fields));
    let batch = |chunk: usize| {
        let now = (chunk * CHUNK / RATE) as i64;
        let mut times = |_| now + if jitter == 0 { 0 } else { random.random_range(0..jitter) };
        let times: TimestampMillisecondArray = (0..CHUNK).map(|i| Some(times(i))).collect();
        let key: Int64Array = (0..CHUNK).map(|_| Some(random.random_range(0..keys))).collect();
        let value: Int64Array = (0..CHUNK).map(|_| Some(random.random_range(0..1000))).collect();
        RecordBatch::try_new(schema.clone(), vec![Arc::new(key), Arc::new(value), Arc::new(times)])
            .expect("columns of one length")
    };
    (0..ROWS / CHUNK).map(batch).collect()
}

/// Seconds for all rows, and how many results came.
fn run(kind: WindowKind, batches: &[RecordBatch], jitter: i64) -> Result<(f64, usize)> {
    let mut operator = WindowAggregate::new(spec(kind))?;
    let (mut out, mut clock, mut results) = (Output::default(), WatermarkClock::default(), 0);
    let begin = Instant::now();
    for (i, batch) in batches.iter().enumerate() {
        operator.chunk(Chunk::append(batch.clone(), begin), &mut out)?;
        if let Some(watermark) = clock.advance((i * CHUNK / RATE) as i64 - jitter - 1) {
            operator.watermark(watermark, &mut out)?;
        }
        for message in out.drain() {
            if let affluent::flow::Message::Data(chunk) = message {
                results += chunk.len();
            }
        }
    }
    Ok((begin.elapsed().as_secs_f64(), results))
}

fn main() -> Result<()> {
    let tumble = WindowKind::Tumble { size: 1000 };
    let hop = WindowKind::Hop { slide: 200, size: 1000 };
    for keys in [1_000i64, 100_000, 1_000_000] {
        for (name, kind, jitter) in [("one", tumble, 0), ("two", tumble, 900), ("hop", hop, 0)] {
            let batches = batches(keys, jitter);
            let mut times = Vec::new();
            let mut results = 0;
            for _ in 0..7 {
                let (seconds, given) = run(kind, &batches, jitter)?;
                times.push(seconds);
                results = given;
            }
            times.sort_by(f64::total_cmp);
            let speed = |seconds: f64| ROWS as f64 / seconds / 1e6;
            println!(
                "{keys:>9} keys, {name}: {:6.1} best, {:6.1} median Mrows/s ({results} results)",
                speed(times[0]),
                speed(times[3])
            );
        }
    }
    Ok(())
}
