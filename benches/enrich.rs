//! The figures of the README: the three strategies against their limits.
//!
//! ```text
//! cargo bench --bench enrich                 all of it, about two minutes
//! cargo bench --bench enrich -- littles-law  one part: littles-law, cached, cold, memory, startup
//! ```
//! The lookup service runs as a process of its own, so that its CPU time is not counted as ours. CPU is
//! that of this process (user and system). Every part asserts that the plan is the one it means to measure.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use affluent::error::Error;
use affluent::flow::JobState;
use affluent::session::{Response, Session};

type Result<T> = std::result::Result<T, Error>;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BINARY: &str = env!("CARGO_BIN_EXE_affluent");

/// The lookup service as a child process.
struct Api {
    child: Child,
    url: String,
}

impl Api {
    fn start(latency: &str, sensors: usize) -> Result<Self> {
        let mut child = Command::new(BINARY)
            .args(["sensor-api", "--port", "0", "--latency", latency, "--sensors", &sensors.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| Error::io("the service has no output"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let start = line.find("http://").ok_or_else(|| Error::io(format!("the service said: {line}")))?;
        let url =
            line[start..].split_whitespace().next().unwrap_or_default().trim_end_matches('/').to_string();
        Ok(Self { child, url })
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of this process, user and system.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Writes sensor events over `keys` sensors; a multiplicative hash spreads them.
fn events(path: &Path, rows: u64, keys: u64) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut file = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    for i in 0..rows {
        let hash = i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let status = ["OK", "OK", "OK", "WARN", "FAIL"][(hash % 5) as usize];
        writeln!(
            file,
            r#"{{"sensorId":"{}","temperature":{},"status":"{status}","timestamp":{}}}"#,
            hash % keys,
            10 + hash % 140,
            1_700_000_000_000u64 + i
        )?;
    }
    file.flush()?;
    Ok(())
}

struct Run {
    rows: u64,
    elapsed: Duration,
    cpu: Duration,
    calls: u64,
    hits: f64,
    p50: u64,
    p99: u64,
}

/// Runs the sensor pipeline with these settings and table options.
fn run(input: &Path, output: &str, url: &str, settings: &[(&str, &str)], options: &str) -> Result<Run> {
    let session = Session::new()?;
    for (key, value) in settings {
        session.set(key, value)?;
    }
    session.sql(&format!(
        "CREATE TABLE temperatures (sensorId STRING, temperature BIGINT, status STRING, `timestamp` BIGINT)
           WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json');
         CREATE TABLE sensor_info (id STRING, brand STRING, countryCode STRING, PRIMARY KEY (id) NOT ENFORCED)
           WITH ('connector' = 'http', 'url' = '{url}/sensors/{{id}}', 'format' = 'json'{options});
         CREATE TABLE enriched (sensorId STRING, temperature BIGINT, status STRING, `timestamp` BIGINT, brand STRING, countryCode STRING)
           WITH ({output});",
        input.display()
    ))?;
    let (cpu_before, started) = (cpu(), Instant::now());
    let response = session.sql(
        "INSERT INTO enriched SELECT t.sensorId, t.temperature, t.status, t.`timestamp`, i.brand, i.countryCode
         FROM temperatures AS t LEFT JOIN sensor_info AS i ON t.sensorId = i.id",
    )?;
    let Response::Job(job) = response else { return Err(Error::internal("INSERT gives a job")) };
    match job.wait() {
        JobState::Finished => {}
        JobState::Failed(e) => return Err(e),
        other => return Err(Error::internal(format!("{other:?}"))),
    }
    let (elapsed, cpu) = (started.elapsed(), cpu() - cpu_before);
    let get = |c: &std::sync::atomic::AtomicU64| c.load(std::sync::atomic::Ordering::Relaxed);
    let (_, lookup) = job.lookups.first().ok_or_else(|| Error::internal("the plan has no lookup join"))?;
    Ok(Run {
        rows: get(&job.metrics.rows_out),
        elapsed,
        cpu,
        calls: get(&lookup.calls),
        hits: lookup.hit_ratio().unwrap_or(0.0),
        p50: job.metrics.latency_micros(0.5),
        p99: job.metrics.latency_micros(0.99),
    })
}

fn bar(value: f64, most: f64, width: usize) -> String {
    "█".repeat(((value / most) * width as f64).round().max(1.0) as usize)
}

const BLACKHOLE: &str = "'connector' = 'blackhole'";

/// Throughput against `capacity / latency`, as in the seeds' experiment.
fn littles_law(folder: &Path) -> Result<()> {
    let latency = Duration::from_millis(100);
    let api = Api::start("100ms", 1_000_000)?;
    println!("\nLittle's law: one task, latency 100 ms, every row asks (no cache)");
    println!(
        "{:>9} {:>8} {:>10} {:>10} {:>7} {:>9}",
        "strategy", "capacity", "events/s", "limit", "of it", "CPU/call"
    );
    let mut points = Vec::new();
    for capacity in [0u32, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] {
        let in_flight = capacity.max(1) as f64;
        let limit = in_flight / latency.as_secs_f64();
        let rows = ((limit * 2.0) as u64).clamp(20, 40_000);
        let input = folder.join(format!("littles-{rows}.jsonl"));
        events(&input, rows, 1_000_000)?;
        let text = capacity.max(1).to_string();
        let strategy = if capacity == 0 { "SYNC" } else { "ASYNC" };
        let settings = [
            ("parallelism.default", "1"),
            ("enrichment.strategy", strategy),
            ("table.exec.async-lookup.buffer-capacity", &text),
            ("table.exec.async-lookup.output-mode", "ALLOW_UNORDERED"),
        ];
        let r = run(&input, BLACKHOLE, &api.url, &settings, "")?;
        assert_eq!(r.calls, rows, "every row asks");
        let rate = r.rows as f64 / r.elapsed.as_secs_f64();
        println!(
            "{strategy:>9} {:>8} {rate:>10.0} {limit:>10.0} {:>6.1}% {:>6.1} µs",
            if capacity == 0 { "-".to_string() } else { text.clone() },
            100.0 * rate / limit,
            r.cpu.as_secs_f64() * 1e6 / r.calls as f64
        );
        points.push((strategy, capacity, rate));
    }
    println!("\nevents/s by capacity (logarithmic)");
    let most = points.iter().map(|p| p.2.log2()).fold(1.0, f64::max);
    for (strategy, capacity, rate) in points {
        println!(
            "{strategy:>6} {:>5} {} {rate:.0}",
            if capacity == 0 { String::new() } else { capacity.to_string() },
            bar(rate.log2(), most, 50)
        );
    }
    Ok(())
}

fn print_run(name: &str, r: &Run) {
    println!(
        "{name}: {:.2} M events/s, {:.3} µs CPU/event, {:.2} M events/s per core; {} calls, hit ratio {:.4}, latency p50 {} µs, p99 {} µs",
        r.rows as f64 / r.elapsed.as_secs_f64() / 1e6,
        r.cpu.as_secs_f64() * 1e6 / r.rows as f64,
        r.rows as f64 / r.cpu.as_secs_f64() / 1e6,
        r.calls,
        r.hits,
        r.p50,
        r.p99
    );
}

/// JSON lines in, JSON lines out, warm cache: 1,000 sensors, 5 million events.
fn cached(folder: &Path) -> Result<()> {
    let api = Api::start("1ms", 1_000_000)?;
    let input = folder.join("cached-5000000.jsonl");
    events(&input, 5_000_000, 1_000)?;
    println!("\nCACHED, warm: JSON file in, JSON file out, 1,000 sensors, 5,000,000 events");
    for parallelism in ["1", "2"] {
        let mut best: Option<Run> = None;
        for _ in 0..3 {
            let output = folder.join("enriched.jsonl");
            let _ = std::fs::remove_file(&output);
            let sink =
                format!("'connector' = 'filesystem', 'path' = '{}', 'format' = 'json'", output.display());
            let settings = [("parallelism.default", parallelism), ("enrichment.strategy", "CACHED")];
            let r = run(&input, &sink, &api.url, &settings, "")?;
            assert_eq!(r.rows, 5_000_000);
            if best.as_ref().is_none_or(|b| r.cpu < b.cpu) {
                best = Some(r);
            }
        }
        if let Some(r) = best {
            print_run(&format!("parallelism {parallelism}, best of 3"), &r);
        }
    }
    Ok(())
}

/// From cold: 1,000 sensors at 10 ms, 1.5 million events.
fn cold(folder: &Path) -> Result<()> {
    let api = Api::start("10ms", 1_000_000)?;
    let input = folder.join("cold-1500000.jsonl");
    events(&input, 1_500_000, 1_000)?;
    println!("\nCACHED, from cold: 1,000 sensors at 10 ms, 1,500,000 events, JSON file to JSON file");
    let output = folder.join("cold-out.jsonl");
    let _ = std::fs::remove_file(&output);
    let sink = format!("'connector' = 'filesystem', 'path' = '{}', 'format' = 'json'", output.display());
    let settings = [("parallelism.default", "2"), ("enrichment.strategy", "CACHED")];
    print_run("parallelism 2", &run(&input, &sink, &api.url, &settings, "")?);
    Ok(())
}

/// Resident memory in MB: now, and at most.
fn memory_of(pid: &str) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    };
    (field("VmRSS"), field("VmHWM"))
}

/// Memory of a warm run that goes on: resident set while 10 million events pass.
fn memory(folder: &Path) -> Result<()> {
    let api = Api::start("1ms", 1_000_000)?;
    let input = folder.join("memory-10000000.jsonl");
    events(&input, 10_000_000, 1_000)?;
    println!("\nMemory: 10,000,000 events through a warm cache to blackhole");
    let watching = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let flag = watching.clone();
    let watcher = std::thread::spawn(move || {
        let mut samples = Vec::new();
        while flag.load(std::sync::atomic::Ordering::Relaxed) {
            samples.push(memory_of("self").0);
            std::thread::sleep(Duration::from_millis(200));
        }
        samples
    });
    let settings = [("parallelism.default", "2"), ("enrichment.strategy", "CACHED")];
    let r = run(&input, BLACKHOLE, &api.url, &settings, "")?;
    watching.store(false, std::sync::atomic::Ordering::Relaxed);
    let samples = watcher.join().unwrap_or_default();
    print_run("parallelism 2", &r);
    let shown: Vec<String> = samples.iter().map(|mb| format!("{mb:.0}")).collect();
    println!("resident MB every 200 ms: {}", shown.join(" "));
    Ok(())
}

/// `affluent -c "SELECT 1"`, and the memory of an idle shell.
fn startup() -> Result<()> {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        let status = Command::new(BINARY).args(["-c", "SELECT 1"]).stdout(Stdio::null()).status()?;
        assert!(status.success());
        times.push(started.elapsed());
    }
    times.sort();
    println!(
        "\nStart: affluent -c \"SELECT 1\": median {:.1} ms, worst {:.1} ms of 20",
        times[10].as_secs_f64() * 1e3,
        times[19].as_secs_f64() * 1e3
    );
    let mut child = Command::new(BINARY)
        .args(["run", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    std::thread::sleep(Duration::from_millis(500));
    println!("Idle: {:.1} MB resident", memory_of(&child.id().to_string()).0);
    child.kill()?;
    child.wait()?;
    Ok(())
}

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|w| w == part);
    let folder = PathBuf::from(
        std::env::var("BENCH_DIR")
            .unwrap_or_else(|_| std::env::temp_dir().join("affluent-bench").to_string_lossy().into_owned()),
    );
    std::fs::create_dir_all(&folder)?;
    if wants("startup") {
        startup()?;
    }
    if wants("littles-law") {
        littles_law(&folder)?;
    }
    if wants("cached") {
        cached(&folder)?;
    }
    if wants("cold") {
        cold(&folder)?;
    }
    if wants("memory") {
        memory(&folder)?;
    }
    Ok(())
}
