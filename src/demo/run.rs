//! `affluent demo`: the same pipeline as SYNC, ASYNC and CACHED, against a service in this process.
//!
//! Each strategy reads the same events for a few seconds or to the end. SYNC and ASYNC would take minutes
//! to hours for them, so they are stopped and judged by what they did until then; the last one usually
//! comes to the end.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parking_lot::Mutex;

use super::events::{EventOptions, write_temperatures};
use super::report::{Figures, comparison, grid};
use super::sensor_api::{SensorApi, SensorApiOptions};
use crate::catalog::options::parse_duration;
use crate::error::{Error, Result};
use crate::flow::JobState;
use crate::session::figures::thousands;
use crate::session::{Next, Response, Session};

const STRATEGIES: [&str; 3] = ["SYNC", "ASYNC", "CACHED"];

/// Rows that are shown before the comparison.
const SAMPLE: usize = 5;

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|e| format!("{}; write 20ms, 5s or 1min", e.message()))
}

/// How the demonstration runs.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Demonstration")]
pub struct DemoOptions {
    /// How long the sensor API takes for an answer
    #[arg(long, value_name = "DURATION", default_value = "20ms", value_parser = duration)]
    pub latency: Duration,
    /// Different sensors in the stream
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub sensors: u64,
    /// Events there are; about 75 bytes each, in a temporary file
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub events: u64,
    /// How unevenly events are spread over sensors; 0: evenly
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    pub skew: f64,
    /// Longest time per strategy
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub time: Duration,
    /// From topic to topic of this Kafka broker; the demonstration makes the topics, and removes them
    #[arg(long, value_name = "HOST:PORT")]
    pub kafka: Option<String>,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            sensors: 10_000,
            events: 1_000_000,
            skew: 0.0,
            time: Duration::from_secs(5),
            kafka: None,
        }
    }
}

/// A folder that goes with its owner.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new() -> Result<Self> {
        let name = format!("affluent-demo-{}-{}", std::process::id(), uuid::Uuid::new_v4().simple());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)
            .map_err(|e| Error::io(format!("'{}' cannot be created: {e}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What is left behind is in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the demonstration; results go to `out`, progress to standard error.
pub fn run(options: &DemoOptions, out: &mut dyn Write, color: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("sensor-api")
        .enable_all()
        .build()?;
    let api = SensorApi::start(
        SensorApiOptions {
            latency: options.latency,
            sensors: options.sensors,
            ..SensorApiOptions::default()
        },
        runtime.handle(),
    )?;
    let folder = TemporaryFolder::new()?;
    let left_behind = folder.0.clone();
    let topics_behind: Arc<Mutex<Option<Topics>>> = Arc::default();
    let topics = topics_behind.clone();
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            let _ = std::fs::remove_dir_all(left_behind);
            let topics = topics.lock().take();
            // On a thread where its goodbye may wait.
            let _ = std::thread::spawn(move || drop(topics)).join();
            std::process::exit(130);
        }
    });

    let file = folder.0.join("temperatures.jsonl");
    note(&format!(
        "writing {} events of {} sensors ...",
        thousands(options.events),
        thousands(options.sensors)
    ));
    write_events(options, &file)?;

    let _goes = Goes(topics_behind.clone());
    if let Some(servers) = &options.kafka {
        Topics::load(servers, &file, &topics_behind)?;
    }
    let url = format!("http://{}/sensors/{{id}}", api.address());
    let tables = match &*topics_behind.lock() {
        Some(topics) => tables(&topics.events(), &url, &topics.enriched()),
        None => tables(&file_events(&file), &url, "'connector' = 'blackhole'"),
    };
    writeln!(out, "A stream of temperatures lacks what the sensor API knows:\n\n{}\n", tables.trim_end())?;
    writeln!(out, "{}\n", query().trim_end())?;
    sample(&tables, out)?;

    let mut figures = Vec::new();
    for strategy in STRATEGIES {
        figures.push(measure(strategy, &tables, options, &api)?);
    }
    writeln!(
        out,
        "\nThe same query in three ways; an answer of the API takes {} ms, {} sensors:\n",
        options.latency.as_secs_f64() * 1e3,
        thousands(options.sensors)
    )?;
    out.write_all(comparison(&figures, color).as_bytes())?;
    writeln!(out, "\n{}", next_steps())?;
    out.flush()?;
    Ok(())
}

fn note(text: &str) {
    eprintln!("{text}");
}

fn write_events(options: &DemoOptions, path: &Path) -> Result<()> {
    let cannot = |e: std::io::Error| Error::io(format!("'{}' cannot be written: {e}", path.display()));
    let mut file = std::fs::File::create(path).map_err(cannot)?;
    let events = EventOptions {
        count: options.events,
        sensors: options.sensors,
        skew: options.skew.max(0.0),
        ..EventOptions::default()
    };
    write_temperatures(&events, &mut file).map_err(cannot)
}

/// The events in a file, as a table has them.
fn file_events(file: &Path) -> String {
    let path = file.display().to_string().replace('\'', "''");
    format!("'connector' = 'filesystem', 'path' = '{path}', 'format' = 'json'")
}

/// The topics of a demonstration through a broker; they go with it.
struct Topics {
    servers: String,
    names: [String; 2],
}

impl Topics {
    /// Makes the topics, and writes the events of a file into the first.
    fn load(servers: &str, file: &Path, made: &Mutex<Option<Self>>) -> Result<()> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let name = |what: &str| format!("affluent-demo-{what}-{}", &id[..8]);
        let servers = if servers.contains(':') { servers.to_string() } else { format!("{servers}:9092") };
        let topics = Self { servers, names: [name("temperatures"), name("enriched")] };
        crate::connector::demo_topics(&topics.servers, &topics.names, true)?;
        note(&format!("writing them into topic {} ...", topics.names[0]));
        let options = topics.written(&topics.names[0]);
        *made.lock() = Some(topics);
        let session = Session::new()?;
        session.sql(&format!(
            "CREATE TABLE file ({EVENT}) WITH ({});\nCREATE TABLE topic ({EVENT}) WITH ({options})",
            file_events(file),
        ))?;
        session.set("table.dml-sync", "true")?;
        session.sql("INSERT INTO topic SELECT * FROM file").map(drop)
    }

    fn written(&self, topic: &str) -> String {
        format!(
            "'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{}', 'format' = 'json'",
            self.servers
        )
    }

    fn events(&self) -> String {
        format!(
            "{},\n        'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset'",
            self.written(&self.names[0])
        )
    }

    fn enriched(&self) -> String {
        self.written(&self.names[1])
    }
}

/// What is shared goes with its owner.
struct Goes(Arc<Mutex<Option<Topics>>>);

impl Drop for Goes {
    fn drop(&mut self) {
        drop(self.0.lock().take());
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        if let Err(e) = crate::connector::demo_topics(&self.servers, &self.names, false) {
            note(&format!("topics {} stay: {e}", self.names.join(", ")));
        }
    }
}

const EVENT: &str = "sensorId STRING, temperature BIGINT, status STRING, `timestamp` BIGINT";

/// The pipeline's tables.
fn tables(events: &str, url: &str, enriched: &str) -> String {
    format!(
        "\
CREATE TABLE temperatures (
  {EVENT}
) WITH ({events});

CREATE TABLE sensor_info (
  id STRING, brand STRING, countryCode STRING, location STRING,
  PRIMARY KEY (id) NOT ENFORCED
) WITH ('connector' = 'http', 'url' = '{url}', 'format' = 'json');

CREATE TABLE enriched (
  {EVENT}, brand STRING, countryCode STRING
) WITH ({enriched});
"
    )
}

fn query() -> &'static str {
    "\
SELECT t.*, i.brand, i.countryCode
FROM temperatures AS t
LEFT JOIN sensor_info AS i ON t.sensorId = i.id"
}

/// Shows some enriched rows.
fn sample(tables: &str, out: &mut dyn Write) -> Result<()> {
    let session = Session::new()?;
    session.sql(tables)?;
    session.set("enrichment.strategy", "ASYNC")?;
    let Response::Query(mut rows) = session.sql(&format!("{} LIMIT {SAMPLE}", query()))? else {
        return Err(Error::internal("the sample is not a query"));
    };
    let header: Vec<String> = rows.schema().fields().iter().map(|f| f.name().clone()).collect();
    let mut lines = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    while lines.len() < SAMPLE && Instant::now() < deadline {
        match rows.next_timeout(Duration::from_secs(1))? {
            Next::Chunk(chunk) => push_rows(&chunk.batch, &mut lines)?,
            Next::Pending => {}
            Next::End => break,
        }
    }
    out.write_all(grid(&header, &lines).as_bytes())?;
    out.flush()?;
    Ok(())
}

fn push_rows(batch: &RecordBatch, lines: &mut Vec<Vec<String>>) -> Result<()> {
    let format = FormatOptions::new().with_null("NULL");
    let columns = batch
        .columns()
        .iter()
        .map(|c| ArrayFormatter::try_new(c.as_ref(), &format))
        .collect::<Result<Vec<_>, _>>()?;
    for row in 0..batch.num_rows() {
        lines.push(columns.iter().map(|c| c.value(row).to_string()).collect());
    }
    Ok(())
}

/// Runs the pipeline under one strategy, for so long at most.
fn measure(strategy: &'static str, tables: &str, options: &DemoOptions, api: &SensorApi) -> Result<Figures> {
    let session = Session::new()?;
    session.sql(tables)?;
    session.set("enrichment.strategy", strategy)?;
    api.reset();
    let Response::Job(job) = session.sql(&format!("INSERT INTO enriched {}", query()))? else {
        return Err(Error::internal("the pipeline is not a job"));
    };
    let live = std::io::stderr().is_terminal();
    let done = || job.metrics.rows_out.load(Ordering::Relaxed);
    let end = loop {
        let left = options.time.saturating_sub(job.started.elapsed());
        if left.is_zero() {
            break None;
        }
        if let Some(state) = job.wait_for(left.min(Duration::from_millis(100))) {
            break Some(state);
        }
        if live {
            eprint!("\r{strategy:<7} {:>12} events", thousands(done()));
        }
    };
    let (events, elapsed) = (done(), job.started.elapsed());
    let event_micros = (job.metrics.latency_micros(0.5), job.metrics.latency_micros(0.99));
    let stats = api.stats();
    if end.is_none() {
        job.cancel();
    }
    if let JobState::Failed(e) = end.unwrap_or_else(|| job.wait()) {
        return Err(e.context(strategy));
    }
    let how = if events < options.events { "stopped" } else { "done" };
    let clear = if live { "\r\x1b[K" } else { "" };
    note(&format!(
        "{clear}{strategy:<7} {:>12} events in {:.1} s, {how}",
        thousands(events),
        elapsed.as_secs_f64()
    ));
    let lookup = job.lookups.first().map(|(_, metrics)| metrics);
    Ok(Figures {
        strategy,
        events,
        elapsed,
        calls: stats.requests,
        hit_ratio: lookup.filter(|_| strategy == "CACHED").and_then(|l| l.hit_ratio()),
        call_micros: lookup.map_or((0, 0), |l| (l.latency_micros(0.5), l.latency_micros(0.99))),
        event_micros,
    })
}

fn next_steps() -> &'static str {
    "\
SYNC asks for one event at a time, ASYNC for many at once, CACHED asks once per sensor and minute.
What to try next:
  affluent demo --latency 200ms           a slow service
  affluent demo --sensors 200000          more sensors than the cache holds
  affluent demo --kafka localhost:9092    from topic to topic of a broker
  affluent sensor-api --error-rate 0.1    the service alone, with faults; then, in another terminal:
  affluent run sql/sensors.sql            the same pipeline as a file"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::sql::variables::Variables;

    #[test]
    fn a_folder_goes_with_its_owner() {
        let folder = TemporaryFolder::new().unwrap();
        let path = folder.0.clone();
        let options = DemoOptions { events: 10, ..DemoOptions::default() };
        write_events(&options, &path.join("events")).unwrap();
        assert_eq!(std::fs::read_to_string(path.join("events")).unwrap().lines().count(), 10);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn shipped_pipelines_parse() {
        let session = Session::new().unwrap();
        // Addresses and accounts are given when they run.
        let variables = Variables::new([("STRATEGY".to_string(), "ASYNC".to_string())]);
        let mut count = 0;
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql")).unwrap() {
            let path = entry.unwrap().path();
            // Tests of pipelines are statements of their own.
            let is_test = path.to_string_lossy().ends_with(".test.sql");
            if path.extension().is_some_and(|e| e == "sql") && !is_test {
                let text = std::fs::read_to_string(&path).unwrap();
                let name = path.display().to_string();
                let written = crate::sql::SourceText::new(&name, &text);
                let script = variables.expand_known(written).unwrap_or_else(|e| panic!("{name}: {e}"));
                let statements = session.parse(&script.expanded);
                assert!(statements.unwrap_or_else(|e| panic!("{name}: {e}")).len() >= 3);
                count += 1;
            }
        }
        assert!(count >= 5);
    }

    #[test]
    fn paths_are_quoted() {
        let events = file_events(Path::new("/tmp/it's/t.jsonl"));
        assert!(events.contains("'path' = '/tmp/it''s/t.jsonl'"), "{events}");
    }
}
