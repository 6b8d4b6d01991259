//! JSON both ways, side by side with arrow-json in one run: `cargo bench --bench json`.
//!
//! Prints, for each case, the best and the median of the runs. The cases take turns, so that a busy
//! machine harms them alike.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use affluent::flow::Chunk;
use affluent::format::json::{JsonDecoder, JsonDocuments, JsonEncoder, JsonOptions};
use affluent::format::{Decoder, Encoder};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 200_000;
const BATCH: usize = 8192;
const RUNS: usize = 9;
/// What a reader hands over at once.
const BLOCK: usize = 1 << 20;

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>()))
}

fn events(spaced: bool) -> Bytes {
    let mut out = String::new();
    for i in 0..ROWS {
        let status = ["OK", "WARN", "FAIL"][i % 3];
        let (comma, colon) = if spaced { (", ", ": ") } else { (",", ":") };
        out.push_str(&format!(
            "{{\"sensorId\"{colon}\"sensor-{}\"{comma}\"temperature\"{colon}{}{comma}\"status\"{colon}\"{status}\"{comma}\"timestamp\"{colon}{}}}\n",
            i * 7919 % 10_000,
            10 + i % 140,
            1_700_000_000_000u64 + i as u64
        ));
    }
    out.into()
}

fn bids() -> Bytes {
    let mut out = String::new();
    for i in 0..ROWS {
        out.push_str(&format!(
            "{{\"auction\":{},\"bidder\":{},\"price\":{},\"channel\":\"channel-{}\",\"url\":\"https://www.nexmark.com/{:08x}/item.htm?query=1\",\"dateTime\":\"2023-11-14 22:13:{:02}.{:03}\",\"extra\":\"{}\"}}\n",
            1000 + i % 5000,
            20_000 + i % 777,
            i * 31 % 1_000_000,
            i % 10_000,
            i.wrapping_mul(2_654_435_761) as u32,
            i % 60,
            i % 1000,
            "abcdefghijklmnop".repeat(2).get(..24 + i % 8).unwrap_or_default()
        ));
    }
    out.into()
}

/// Bids as arrow-json wants timestamps.
fn iso(bytes: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(bytes).replace("2023-11-14 ", "2023-11-14T");
    text.into()
}

fn ours(schema: &SchemaRef, input: &Bytes) -> Vec<RecordBatch> {
    let mut decoder =
        JsonDecoder::new(JsonOptions::default(), schema.clone(), BATCH, "bench".into()).expect("schema");
    let mut batches = Vec::new();
    let mut at = 0;
    while at < input.len() {
        let end = (at + BLOCK).min(input.len());
        decoder.feed(input.slice(at..end)).expect("feed");
        at = end;
        while let Some(batch) = decoder.next_batch().expect("decode") {
            batches.push(black_box(batch));
        }
    }
    batches
}

fn theirs(schema: &SchemaRef, input: &Bytes) -> usize {
    let mut decoder = arrow_json::ReaderBuilder::new(schema.clone())
        .with_batch_size(BATCH)
        .build_decoder()
        .expect("schema");
    let mut rows = 0;
    for block in input.chunks(BLOCK) {
        let mut rest = block;
        while !rest.is_empty() {
            let read = decoder.decode(rest).expect("decode");
            rest = &rest[read..];
            if (read == 0 || decoder.len() == BATCH)
                && let Some(batch) = decoder.flush().expect("flush")
            {
                rows += black_box(batch).num_rows();
            }
        }
    }
    if let Some(batch) = decoder.flush().expect("flush") {
        rows += batch.num_rows();
    }
    rows
}

struct Case<'a> {
    name: &'static str,
    run: Box<dyn FnMut() -> usize + 'a>,
    times: Vec<Duration>,
    rows: usize,
}

fn case<'a>(name: &'static str, run: impl FnMut() -> usize + 'a) -> Case<'a> {
    Case { name, run: Box::new(run), times: Vec::new(), rows: 0 }
}

fn main() {
    let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
    let text = DataType::Utf8View;
    let sensor = schema(&[
        ("sensorId", text.clone()),
        ("temperature", DataType::Int64),
        ("status", text.clone()),
        ("timestamp", DataType::Int64),
    ]);
    let sensor2 = schema(&[("sensorId", text.clone()), ("temperature", DataType::Int64)]);
    let bid = schema(&[
        ("auction", DataType::Int64),
        ("bidder", DataType::Int64),
        ("price", DataType::Int64),
        ("channel", text.clone()),
        ("url", text.clone()),
        ("dateTime", millis),
        ("extra", text.clone()),
    ]);
    let bid3 = schema(&[("auction", DataType::Int64), ("price", DataType::Int64), ("channel", text.clone())]);
    let enriched = schema(&[
        ("sensorId", text.clone()),
        ("temperature", DataType::Int64),
        ("status", text.clone()),
        ("timestamp", DataType::Int64),
        ("brand", text.clone()),
        ("countryCode", text),
    ]);

    let (compact, spaced, bids) = (events(false), events(true), bids());
    let iso_bids = iso(&bids);
    println!("event {} bytes, bid {} bytes a row", compact.len() / ROWS, bids.len() / ROWS);

    let sensor_batches = ours(&sensor, &compact);
    let bid_batches = ours(&bid, &bids);
    let enriched_batches: Vec<RecordBatch> = sensor_batches
        .iter()
        .map(|batch| {
            let mut columns = batch.columns().to_vec();
            let rows = batch.num_rows();
            let words = |words: &'static [&'static str]| {
                Arc::new(
                    (0..rows)
                        .map(|i| Some(words[i % words.len()]))
                        .collect::<arrow::array::StringViewArray>(),
                )
            };
            columns.push(words(&["Acme", "Globex Corporation", "Initech", "Umbrella"]));
            columns.push(words(&["DE", "FR", "US"]));
            RecordBatch::try_new(enriched.clone(), columns).expect("columns")
        })
        .collect();

    let rows = |batches: Vec<RecordBatch>| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    let encode = |batches: &[RecordBatch]| {
        let mut encoder = JsonEncoder::new(JsonOptions::default(), batches[0].schema()).expect("schema");
        let mut out = Vec::new();
        let mut rows = 0;
        for batch in batches {
            out.clear();
            encoder.encode(&Chunk::append(batch.clone(), Instant::now()), &mut out).expect("encode");
            rows += batch.num_rows();
            black_box(&out);
        }
        rows
    };
    let their_encode = |batches: &[RecordBatch]| {
        let mut out = Vec::new();
        let mut rows = 0;
        for batch in batches {
            out.clear();
            let mut writer = arrow_json::WriterBuilder::new()
                .with_explicit_nulls(true)
                .build::<_, arrow_json::writer::LineDelimited>(&mut out);
            writer.write(batch).expect("encode");
            writer.finish().expect("encode");
            rows += batch.num_rows();
            black_box(&out);
        }
        rows
    };

    let body = b"{\"id\":\"4711\",\"brand\":\"Globex Corporation\",\"countryCode\":\"DE\",\"price\":12.5}";
    let answer = schema(&[
        ("id", DataType::Utf8View),
        ("brand", DataType::Utf8View),
        ("countryCode", DataType::Utf8View),
    ]);
    let mut documents =
        JsonDocuments::new(JsonOptions::default(), answer, "/", "bench".into()).expect("schema");

    let mut cases = vec![
        case("decode event, 4 columns", || rows(ours(&sensor, &compact))),
        case("  arrow-json", || theirs(&sensor, &compact)),
        case("decode event, 4 columns, spaced text", || rows(ours(&sensor, &spaced))),
        case("decode event, 2 columns", || rows(ours(&sensor2, &compact))),
        case("  arrow-json", || theirs(&sensor2, &compact)),
        case("decode bid, 7 columns", || rows(ours(&bid, &bids))),
        case("  arrow-json", || theirs(&bid, &iso_bids)),
        case("decode bid, 3 columns", || rows(ours(&bid3, &bids))),
        case("  arrow-json", || theirs(&bid3, &iso_bids)),
        case("encode event, 4 columns", || encode(&sensor_batches)),
        case("  arrow-json", || their_encode(&sensor_batches)),
        case("encode enriched event, 6 columns", || encode(&enriched_batches)),
        case("  arrow-json", || their_encode(&enriched_batches)),
        case("encode bid, 7 columns", || encode(&bid_batches)),
        case("  arrow-json", || their_encode(&bid_batches)),
        case("decode an answer of 76 bytes", || {
            (0..ROWS).map(|_| documents.decode(body).expect("decode").num_rows()).sum()
        }),
    ];
    for run in 0..RUNS + 1 {
        for case in &mut cases {
            let start = Instant::now();
            case.rows = (case.run)();
            if run > 0 {
                case.times.push(start.elapsed());
            }
            assert_eq!(case.rows, ROWS, "{}", case.name);
        }
    }
    println!("{:<38} {:>12} {:>12} {:>10} {:>10}", "", "best rows/s", "median", "best ns", "median ns");
    for case in &mut cases {
        case.times.sort_unstable();
        let (best, median) = (case.times[0], case.times[case.times.len() / 2]);
        let per_second = |d: Duration| case.rows as f64 / d.as_secs_f64() / 1e6;
        let nanos = |d: Duration| d.as_nanos() as f64 / case.rows as f64;
        println!(
            "{:<38} {:>10.2} M {:>10.2} M {:>10.1} {:>10.1}",
            case.name,
            per_second(best),
            per_second(median),
            nanos(best),
            nanos(median)
        );
    }
}
