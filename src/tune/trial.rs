//! One trial: the pipeline with some settings for a moment, and what was measured.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::catalog::Table;
use crate::clock::SystemClock;
use crate::error::{Error, Result};
use crate::flow::{Job, JobState};
use crate::lookup::LookupMetrics;
use crate::recording::{Recorder, Recording};
use crate::session::{Next, Response, Session};
use crate::sql::variables::{Script, Variables};
use crate::sql::{Statement, StatementKind};
use crate::trial::stage::Stage;
use crate::trial::staged;
use crate::trial::tuning::{Asked, Kind, Tuning};

/// What a trial is run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub(crate) struct Settings {
    pub(crate) strategy: &'static str,
    /// Rows in flight per task.
    pub(crate) capacity: u64,
    pub(crate) tasks: u64,
    /// Keys in a request; `None`: what the table says.
    pub(crate) batch: Option<u64>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(crate) struct Trial {
    #[serde(flatten)]
    pub(crate) settings: Settings,
    pub(crate) events_per_second: f64,
    pub(crate) calls_per_second: f64,
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) hit_ratio: Option<f64>,
    pub(crate) call_p50_ms: f64,
    pub(crate) call_p99_ms: f64,
}

/// Statements of a pipeline, with the text that they are from.
pub(super) struct Pipeline {
    scripts: Vec<(Script, Vec<Statement>, Option<String>)>,
    set: Vec<(String, String)>,
}

/// Settings of jobs have no meaning here: nothing is kept.
fn is_of_jobs(key: &str) -> bool {
    ["execution.", "pipeline.", "restart-strategy", "table.dml-sync", "state."]
        .iter()
        .any(|p| key.starts_with(p))
}

impl Pipeline {
    pub(super) fn read(
        files: &[std::path::PathBuf],
        set: &[(String, String)],
        var: &[(String, String)],
    ) -> Result<Self> {
        let variables = Variables::new(var.iter().cloned());
        let read = |path: &std::path::PathBuf| -> Result<_> {
            let source = crate::console::script::read(path)?;
            let named = |e: Error| e.context(path.display());
            let script = variables.expand(source).map_err(named)?;
            let statements = crate::sql::parse_script(&script.expanded)
                .map_err(|e| Error::option(crate::console::diagnostic::text(&e, &script, false)))?;
            let origin = std::fs::canonicalize(path).ok().map(|p| p.display().to_string());
            Ok((script, statements, origin))
        };
        Ok(Self { scripts: files.iter().map(read).collect::<Result<_>>()?, set: set.to_vec() })
    }

    /// A session that knows what the pipeline defines, and the statement that starts its first job with a lookup.
    fn prepared(&self, stage: &Arc<Stage>, settings: &[(&str, String)]) -> Result<Vec<(Session, Statement)>> {
        let mut found = Vec::new();
        let session = Session::new()?;
        for (key, value) in self.set.iter().filter(|(key, _)| !is_of_jobs(key)) {
            session.set(key, value).map_err(|e| e.context("--set"))?;
        }
        session.set_stand_in(stage.clone());
        let batch = stage.tuning().and_then(|tuning| tuning.batch);
        let replaced = |table: &Table| -> Result<Option<Table>> {
            let Some(mut table) = staged(table, stage)? else { return Ok(None) };
            if let Some(batch) = batch.filter(|_| {
                table.connector().is_ok_and(|c| c.is_lookup(&table.options) || c.joins_by_lookup())
            }) {
                let name = match table.options.contains("http.request.batch-size") {
                    true => "http.request.batch-size",
                    false => "lookup.batch.max-size",
                };
                table.options.set(name, &batch.to_string(), Default::default());
            }
            Ok(Some(table))
        };
        for (script, statements, origin) in &self.scripts {
            session.set_origin(origin.clone());
            for statement in statements {
                let shown = |e: Error| {
                    let e = if e.span().is_some() { e } else { e.at(statement.span) };
                    Error::option(crate::console::diagnostic::text(&e, script, false))
                };
                match &statement.kind {
                    StatementKind::Insert(_) | StatementKind::StatementSet(_) | StatementKind::Query(_) => {
                        session.replace_tables(replaced).map_err(shown)?;
                        for (key, value) in settings {
                            session.set(key, value)?;
                        }
                        found.push((session.clone(), statement.clone()));
                    }
                    StatementKind::Set { key, .. } if is_of_jobs(&key.value) => {}
                    StatementKind::CreateTable(_)
                    | StatementKind::CreateView(_)
                    | StatementKind::CreateFunction(_)
                    | StatementKind::Drop(_)
                    | StatementKind::DropFunction(_)
                    | StatementKind::Alter(_)
                    | StatementKind::Catalog(_)
                    | StatementKind::UseCatalog(_)
                    | StatementKind::Use(_)
                    | StatementKind::Set { .. }
                    | StatementKind::Reset(_) => drop(session.execute(statement).map_err(shown)?),
                    _ => {}
                }
            }
        }
        Ok(found)
    }

    /// Starts the first job that looks something up.
    fn start(
        &self,
        stage: &Arc<Stage>,
        settings: &[(&str, String)],
        recorder: Option<&Arc<Recorder>>,
    ) -> Result<Running> {
        let mut last = None;
        for (session, statement) in self.prepared(stage, settings)? {
            if let Some(recorder) = recorder {
                session.set_recorder(recorder.clone());
            }
            match session.execute(&statement) {
                Ok(Response::Job(job)) if !job.lookups.is_empty() => {
                    return Ok(Running { _session: session, job, drain: None });
                }
                Ok(Response::Query(mut query)) if !query.job().lookups.is_empty() => {
                    let job = query.job().clone();
                    let ended = job.clone();
                    let drain =
                        std::thread::Builder::new().name("affluent-tune".into()).spawn(move || {
                            while ended.state() == JobState::Running {
                                match query.next_timeout(Duration::from_millis(50)) {
                                    Ok(Next::End) | Err(_) => return,
                                    Ok(_) => {}
                                }
                            }
                        })?;
                    return Ok(Running { _session: session, job, drain: Some(drain) });
                }
                Ok(Response::Job(job)) => job.cancel(),
                Ok(_) => {}
                Err(e) => last = Some(e),
            }
        }
        Err(last.unwrap_or_else(|| {
            Error::plan("the pipeline looks nothing up: there is nothing to tune")
                .with_hint("a query that joins a lookup table, or calls a function that waits, can be tuned")
        }))
    }
}

struct Running {
    _session: Session,
    job: Arc<Job>,
    drain: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.job.cancel();
        while self.job.wait_for(Duration::from_millis(200)).is_none() {
            self.job.cancel();
        }
        if let Some(drain) = self.drain.take() {
            let _ = drain.join();
        }
    }
}

/// Rows of the input, and the keys that it asks for.
pub(super) struct Sample {
    pub(super) recording: Arc<Recording>,
    pub(super) keys: Vec<Asked>,
    /// The rows come in their own time: the input does not end by itself.
    pub(super) timed: bool,
    /// Keys that a request of the lookups can carry.
    pub(super) max_keys: usize,
    /// What is asked.
    pub(super) lookups: BTreeMap<String, Kind>,
    /// Tasks that the lookup can have: as many as its input can be split into, and no more than there are cores.
    pub(super) tasks: u64,
}

/// Rows of a sample, at most.
const ROWS: u64 = 100_000;
/// Bytes, too.
const BYTES: u64 = 256 << 20;

/// Reads a sample of the input; nobody is asked.
pub(super) fn sample(
    pipeline: &Pipeline,
    replay: Option<&Arc<Recording>>,
    time: Duration,
    folder: &Path,
) -> Result<Sample> {
    let clock = Arc::new(SystemClock);
    let tuning = Tuning::new(0, true, None, clock.clone());
    let rows = replay.map(|recording| (recording, 4096, false));
    let stage = Stage::for_tuning(tuning.clone(), rows, false, clock)?;
    // All keys miss here: what is NULL for that reason is no reason to end.
    let settings = [
        ("enrichment.strategy", "ASYNC".to_string()),
        ("table.exec.sink.not-null-enforcer", "DROP".to_string()),
    ];
    let recorder = match replay {
        Some(_) => None,
        None => Some(Recorder::begin(folder, BYTES, "UTC", Arc::new(SystemClock))?),
    };
    let running = pipeline.start(&stage, &settings, recorder.as_ref())?;
    let begun = Instant::now();
    let job = running.job.clone();
    let state = loop {
        if let Some(state) = job.wait_for(Duration::from_millis(20)) {
            break state;
        }
        if begun.elapsed() >= time || job.metrics.rows_in.load(Ordering::Relaxed) >= ROWS {
            break JobState::Running;
        }
    };
    let ended = state != JobState::Running;
    let lookups = tuning.asked.lock().clone();
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let stage_of_lookup = job.stages().iter().find(|stage| stage.lookup.is_some());
    let tasks = match replay {
        Some(_) => cores,
        None => stage_of_lookup.map_or(1, |stage| stage.tasks() as u64).clamp(1, cores),
    };
    drop(running);
    let recording = match (recorder, replay) {
        (Some(recorder), _) => {
            recorder.finish()?;
            Recording::open(folder)?
        }
        (None, Some(recording)) => recording.clone(),
        (None, None) => return Err(Error::internal("no sample")),
    };
    let mut keys = tuning.notes.as_ref().map(|notes| notes.lock().clone()).unwrap_or_default();
    keys.sort_by_key(|(at, _)| *at);
    if let (JobState::Failed(e), true) = (state, keys.is_empty()) {
        return Err(e.context("the sample of the input"));
    }
    if keys.is_empty() {
        return Err(Error::execution(format!(
            "no key was asked for within {:.1} s: there is nothing to tune on",
            begun.elapsed().as_secs_f64()
        ))
        .with_hint("give it longer with --time, or a recording with --replay"));
    }
    let max_keys = tuning.max_keys.load(Ordering::Relaxed).max(1);
    Ok(Sample { recording, keys, timed: !ended && replay.is_none(), max_keys, lookups, tasks })
}

/// Why a trial ended before its time.
pub(super) enum Ending {
    Time,
    Calls,
    /// The service does not answer any more.
    Broken(Error),
}

fn sum(job: &Job, of: impl Fn(&LookupMetrics) -> u64) -> u64 {
    job.lookups.iter().map(|(_, metrics)| of(metrics)).sum()
}

/// Rows that the first lookup has given, and those that it had no row for.
fn enriched(job: &Job) -> u64 {
    let lookup = job.stages().iter().find(|stage| stage.lookup.is_some());
    let given = lookup.map_or(0, |stage| stage.rows_out());
    // An inner join gives nothing for a key that misses.
    let answered = job.lookups.first().map_or(0, |(_, m)| {
        let get = LookupMetrics::get;
        (get(&m.keys) + get(&m.hits)).saturating_sub(get(&m.in_flight) + get(&m.failures))
    });
    if given == 0 { answered } else { given }
}

/// Runs the pipeline with some settings, for so long and so many calls at most.
pub(super) fn trial(
    pipeline: &Pipeline,
    sample: &Sample,
    settings: Settings,
    limits: (Duration, u64),
    recorded_answers: bool,
) -> Result<(Option<Trial>, Ending)> {
    let (time, calls) = limits;
    let clock = Arc::new(SystemClock);
    let tuning = Tuning::new(calls, false, settings.batch, clock.clone());
    // Small pieces where few rows are in flight: what is read is to be what is worked on.
    let piece = match settings.strategy {
        "SYNC" => 8,
        "CACHED" => 4096,
        _ => usize::try_from(settings.capacity).unwrap_or(4096).clamp(8, 4096),
    };
    let stage =
        Stage::for_tuning(tuning.clone(), Some((&sample.recording, piece, true)), recorded_answers, clock)?;
    let set = [
        ("enrichment.strategy", settings.strategy.to_string()),
        ("table.exec.async-lookup.buffer-capacity", settings.capacity.to_string()),
        ("parallelism.default", settings.tasks.to_string()),
    ];
    let running = pipeline.start(&stage, &set, None)?;
    let job = &running.job;
    let begun = Instant::now();
    // Times with what was done by then.
    let mut samples: Vec<(f64, u64, u64)> = vec![(0.0, 0, 0)];
    let failed_calls = || sum(job, |m| LookupMetrics::get(&m.failures));
    let ending = loop {
        let state = job.wait_for(Duration::from_millis(5));
        let now = begun.elapsed();
        samples.push((now.as_secs_f64(), enriched(job), sum(job, |m| LookupMetrics::get(&m.calls))));
        if let Some(state) = state {
            break match state {
                JobState::Failed(e) => Ending::Broken(e),
                _ => Ending::Time,
            };
        }
        if tuning.used_up.load(Ordering::SeqCst) {
            break Ending::Calls;
        }
        let (failed, made) = (failed_calls(), sum(job, |m| LookupMetrics::get(&m.calls)));
        if failed > 20 && failed * 2 > made {
            break Ending::Broken(Error::lookup(format!("{failed} of {made} calls failed")));
        }
        if now >= time {
            break Ending::Time;
        }
    };
    let done = samples.last().copied().unwrap_or_default();
    if done.1 == 0 {
        return Ok((None, ending));
    }
    // What comes before connections are there, and pools are full, is left out.
    let from = samples.iter().find(|s| s.0 >= done.0 * 0.25 && s.1 > 0).copied().unwrap_or(samples[0]);
    let from = if done.1 - from.1 < 4 { samples[0] } else { from };
    let span = (done.0 - from.0).max(1e-6);
    let latency =
        |q: f64| job.lookups.iter().map(|(_, m)| m.latency_micros(q)).max().unwrap_or(0) as f64 / 1e3;
    let hits = sum(job, |m| LookupMetrics::get(&m.hits));
    let misses = sum(job, |m| LookupMetrics::get(&m.misses));
    let found = Trial {
        settings,
        events_per_second: (done.1 - from.1) as f64 / span,
        calls_per_second: (done.2 - from.2) as f64 / span,
        calls: done.2,
        failures: failed_calls(),
        hit_ratio: (settings.strategy == "CACHED").then(|| hits as f64 / (hits + misses).max(1) as f64),
        call_p50_ms: latency(0.5),
        call_p99_ms: latency(0.99),
    };
    Ok((Some(found), ending))
}
