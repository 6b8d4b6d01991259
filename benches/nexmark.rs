//! Nexmark on events read from JSON files: throughput and CPU time of every query.
//!
//! ```text
//! cargo bench --bench nexmark                          all queries, a million events
//! cargo bench --bench nexmark -- 4000000 q5 q8         four million events, two queries
//! NEXMARK_EVENTS=/data/events cargo bench ...          events that are there already
//! ```
//! The queries are those of `sql/nexmark`, each with its own reading and decoding, and a blackhole behind
//! it. CPU is that of this process, user and system.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use affluent::error::Error;
use affluent::session::{Response, Session};
use affluent::sql::SourceText;
use affluent::sql::variables::Variables;

type Result<T> = std::result::Result<T, Error>;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const QUERIES: &[&str] = &[
    "q0", "q1", "q2", "q3", "q4", "q5", "q7", "q8", "q9", "q10", "q11", "q12", "q13", "q14", "q15", "q16",
    "q17", "q18", "q19", "q20", "q21", "q22",
];

/// CPU time of this process, user and system.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Runs the files of `sql/nexmark` in a session of their own and waits for what they start.
fn run(files: &[&str], variables: &[(&str, String)]) -> Result<()> {
    let session = Session::new()?;
    let given = variables.iter().map(|(k, v)| (k.to_string(), v.clone()));
    let variables = Variables::new(given);
    let mut jobs = Vec::new();
    for file in files {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("sql/nexmark/{file}.sql"));
        let text = std::fs::read_to_string(&path)?;
        let script = variables.expand(SourceText::new(file, &text))?;
        for statement in session.parse(&script.expanded)? {
            if let Response::Job(job) = session.execute(&statement)? {
                jobs.push(job);
            }
        }
    }
    jobs.iter().try_for_each(|job| job.result())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let events = arguments.iter().find_map(|a| a.parse::<u64>().ok()).unwrap_or(1_000_000);
    let wanted = |q: &str| {
        let mut named = arguments.iter().filter(|a| a.starts_with('q')).peekable();
        named.peek().is_none() || named.any(|a| a == q)
    };
    let folder = std::env::temp_dir().join(format!("affluent-nexmark-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let given = std::env::var_os("NEXMARK_EVENTS").map(PathBuf::from);
    let path = given.clone().unwrap_or_else(|| folder.join("events"));
    let side_input = folder.join("side_input.csv");
    let variables = [
        ("EVENTS", events.to_string()),
        ("EVENTS_PATH", path.display().to_string()),
        ("SIDE_INPUT", side_input.display().to_string()),
        ("OUTPUT", folder.join("output").display().to_string()),
    ];
    if given.is_none() {
        run(&["events", "write"], &variables)?;
    }
    run(&["side_input"], &variables)?;
    println!("{:>4}  {:>12}  {:>12}", "", "events/s", "CPU µs/event");
    for query in QUERIES.iter().filter(|q| wanted(q)) {
        let (begun, before) = (Instant::now(), cpu());
        match run(&["files", "views", query], &variables) {
            Ok(()) => {
                let (wall, used) = (begun.elapsed().as_secs_f64(), (cpu() - before).as_secs_f64());
                let rate = events as f64 / wall;
                println!("{query:>4}  {rate:>12.0}  {:>12.2}", used * 1e6 / events as f64);
            }
            Err(e) => println!("{query:>4}  {e}"),
        }
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
