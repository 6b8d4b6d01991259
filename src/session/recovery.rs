//! Where a job's checkpoints are, and from which it comes back.
//!
//! A job's folder is found by what the user runs again: the file and the job's name. What may come back from
//! it is decided operator by operator (see [`crate::plan::identity`]): a query that was edited keeps what
//! still means the same, begins anew with what is new, and is refused if something would be lost.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::catalog::options::{parse_bool, parse_duration, parse_integer};
use crate::config::Config;
use crate::connector::Positions;
use crate::error::{Error, Result, wording};
use crate::flow::coordinator::CheckpointSettings;
use crate::flow::fragment::{Fragment, Head, Tail};
use crate::flow::restart::RestartStrategy;
use crate::plan::Node;
use crate::plan::graph::Body;
use crate::secret::{redact, redacted};
use crate::state::checkpoint::{Checkpoint, Checkpoints, JobPlan, OperatorPlan};
use crate::state::store::lease::{Contender, Contest, Lease};
use crate::state::store::{self, Lock, Store};

/// How the state of a job outlives it.
pub struct Durability {
    /// When checkpoints are made.
    pub settings: CheckpointSettings,
    /// They stay when the user stops the job.
    pub keep: bool,
    /// The job's folder.
    store: Arc<dyn Store>,
    retained: usize,
    /// Goes on from the newest checkpoint of an earlier run.
    automatic: bool,
    /// A savepoint to start from: as the user wrote it, and where it is.
    savepoint: Option<(String, Arc<dyn Store>)>,
    /// State that nobody takes back is dropped.
    ignore_unclaimed: bool,
    /// The file that is run.
    file: Option<String>,
    /// The job's name, by which it is told from others of the script.
    job: String,
    ahead: Arc<[String]>,
    /// Without a sign of life for so long another process has lost the job.
    lease_time: Duration,
    /// So long the job waits for another process.
    pub lease_wait: Duration,
}

/// The right to run a job, which one process has at a time.
pub type Entry = (Lock, Lease);

/// What a job comes back from.
pub struct Found {
    /// A checkpoint or savepoint.
    pub checkpoint: Checkpoint,
    /// The job had ended before it could say so: what it wrote is to be committed, and nothing else.
    pub ended: bool,
}

impl Found {
    /// A checkpoint of the job itself.
    pub fn own(checkpoint: Checkpoint) -> Self {
        Self { ended: checkpoint.ended(), checkpoint }
    }
}

impl Durability {
    /// As the settings say; `None` without checkpoints. `origin` is the file that is run, if it is one; `ahead` are the
    /// jobs that it is known to start.
    pub fn new(
        config: &Config,
        job: &str,
        origin: Option<&str>,
        ahead: Arc<[String]>,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Option<Self>> {
        if !makes_checkpoints(config)? {
            return Ok(None);
        }
        let interval = interval(config)?;
        let directory = config.get("execution.checkpointing.dir");
        let savepoint_path = config.get("execution.state-recovery.path");
        let savepoint = match savepoint_path {
            "" => None,
            path => Some((path.to_string(), store::open(path, runtime)?)),
        };
        let root = if directory.is_empty() { default_directory() } else { directory.to_string() };
        let retained = parse_integer(config.get("execution.checkpointing.num-retained"))?;
        Ok(Some(Self {
            settings: CheckpointSettings {
                interval,
                min_pause: parse_duration(config.get("execution.checkpointing.min-pause"))?,
                timeout: parse_duration(config.get("execution.checkpointing.timeout"))?,
                tolerable_failures: tolerable(config)?,
            },
            keep: config
                .get("execution.checkpointing.externalized-checkpoint-retention")
                .eq_ignore_ascii_case("RETAIN_ON_CANCELLATION"),
            store: store::open(&root, runtime)?.under(&folder(job, origin)),
            retained: usize::try_from(retained).unwrap_or(usize::MAX).max(1),
            automatic: parse_bool(config.get("affluent.state-recovery.automatic"))?,
            savepoint,
            ignore_unclaimed: parse_bool(config.get("execution.state-recovery.ignore-unclaimed-state"))?,
            file: origin.map(str::to_string),
            job: job.to_string(),
            ahead,
            lease_time: parse_duration(config.get("affluent.lease.time"))?.max(Duration::from_secs(1)),
            lease_wait: parse_duration(config.get("affluent.lease.wait"))?,
        }))
    }

    /// The savepoint that the user names, as written.
    pub fn origin(&self) -> Option<String> {
        self.savepoint.as_ref().map(|(path, _)| path.clone())
    }

    /// One that wants to run the job.
    pub fn contender(&self) -> Contender {
        Contender::new(self.store.clone(), self.lease_time)
    }

    /// Tries to be the one process that runs the job, before anything of it is touched; if another one is, who.
    pub fn enter(&self, contender: &mut Contender) -> Result<Result<Entry, String>> {
        self.store.probe()?;
        let lock = match self.store.lock() {
            Ok(lock) => lock,
            Err(e) if e.may_pass() => {
                let holder = contender.holder();
                return Ok(Err(holder.unwrap_or_else(|| "another process of this machine".into())));
            }
            Err(e) => return Err(e),
        };
        Ok(match contender.attempt(lock.alone, std::time::Instant::now())? {
            Contest::Won(lease) => Ok((lock, lease)),
            Contest::Held(holder) => Err(holder),
        })
    }

    /// The job is run by another process.
    pub fn in_use(&self, holder: &str) -> Error {
        Error::io(format!("the checkpoints in '{}' are in use by another job", self.store.describe()))
            .with_detail(format!("{holder} runs it, and did not end in {:?}", self.lease_wait))
            .with_hint("stop it, or give this one another 'execution.checkpointing.dir' or 'pipeline.name'")
            .lasting()
    }

    /// Opens the job's folder, and finds what the job comes back from.
    pub fn open(
        &self,
        plan: &JobPlan,
        lock: Lock,
        lease: Arc<Lease>,
    ) -> Result<(Checkpoints, Option<Found>)> {
        let mut checkpoints = Checkpoints::locked(self.store.clone(), self.retained, lock, Some(lease))?;
        if !self.automatic {
            checkpoints.clear()?;
        }
        let (latest, warnings) = checkpoints.latest()?;
        warnings.iter().for_each(|warning| log::warn!("{warning}"));
        // A checkpoint of a run from the same savepoint is what became of it.
        let own = latest.filter(|c| self.savepoint.is_none() || c.plan().origin == self.origin());
        let found = match own {
            Some(checkpoint) => {
                let place = self.store.describe();
                log::info!("job '{}' goes on from checkpoint {} in {place}", plan.name, checkpoint.epoch());
                Some(Found::own(checkpoint))
            }
            None => {
                checkpoints.clear()?;
                self.named_savepoint()?
            }
        };
        if let Some(found) = &found
            && !self.ignore_unclaimed
        {
            check_claimed(&found.checkpoint, plan, &self.store.describe())?;
        }
        Ok((checkpoints, found))
    }

    /// The savepoint that the user names. Behind one that was drained others begin: nothing of it is to be committed.
    pub fn named_savepoint(&self) -> Result<Option<Found>> {
        let Some((path, store)) = &self.savepoint else { return Ok(None) };
        let checkpoint = Checkpoint::open(store.clone())
            .map_err(|e| e.context(format!("savepoint '{path}' cannot be used")))?;
        let of = &checkpoint.plan().name;
        if *of != self.job && self.ahead.contains(of) {
            log::info!("savepoint '{path}' is of job '{of}': job '{}' begins without it", self.job);
            return Ok(None);
        }
        log::info!("job '{}' starts from savepoint '{path}'", self.job);
        Ok(Some(Found { checkpoint, ended: false }))
    }

    /// Refuses a job that the savepoint is not for, before any job starts.
    pub fn check_savepoint(&self, plan: &JobPlan) -> Result<()> {
        if self.savepoint.is_none() || self.ignore_unclaimed {
            return Ok(());
        }
        // What became of it in an earlier run counts.
        let own = Checkpoint::open(self.store.clone()).ok();
        if self.automatic && own.is_some_and(|c| c.plan().origin == self.origin()) {
            return Ok(());
        }
        match self.named_savepoint()? {
            Some(found) => check_claimed(&found.checkpoint, plan, &self.place()),
            None => Ok(()),
        }
    }

    /// The job's name, by which it is told from others of the script.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// Where the checkpoints are, for people.
    pub fn place(&self) -> String {
        self.store.describe()
    }

    /// What finishes a job that had to stop before its result was visible.
    pub fn how_to_go_on(&self) -> String {
        match &self.file {
            Some(file) => format!(
                "see to what is in the way, then run it again with the same settings and variables: \
                 affluent run {file}"
            ),
            None => {
                "see to what is in the way, then run the same statement with the same settings again".into()
            }
        }
    }
}

fn interval(config: &Config) -> Result<Option<Duration>> {
    let interval = parse_duration(config.get("execution.checkpointing.interval"))?;
    Ok(Some(interval).filter(|i| !i.is_zero()))
}

/// Whether jobs that write to tables make checkpoints.
pub fn makes_checkpoints(config: &Config) -> Result<bool> {
    let given = |key: &str| !config.get(key).is_empty();
    let folder = given("execution.checkpointing.dir") || given("execution.state-recovery.path");
    Ok(interval(config)?.is_some() || folder)
}

fn tolerable(config: &Config) -> Result<u32> {
    let failures = parse_integer(config.get("execution.checkpointing.tolerable-failed-checkpoints"))?;
    Ok(u32::try_from(failures).unwrap_or(u32::MAX))
}

/// `restart-strategy.*`. Without a word about it, jobs with checkpoints come back with growing pauses, as
/// in Flink, and others do not.
pub fn restart_strategy(config: &Config, durable: bool) -> Result<RestartStrategy> {
    let duration = |key: &str| parse_duration(config.get(key));
    let number = |key: &str, least: f64, most: f64| -> Result<f64> {
        let text = config.get(key);
        match text.trim().parse::<f64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(Error::option(format!(
                "setting '{key}' = '{text}': a number from {least} to {most} is expected"
            ))),
        }
    };
    let strategy = match config.get("restart-strategy.type").to_ascii_lowercase().as_str() {
        "" if durable => "exponential-delay".to_string(),
        "" => "none".to_string(),
        given => given.to_string(),
    };
    Ok(match strategy.as_str() {
        "fixed-delay" => RestartStrategy::FixedDelay {
            attempts: parse_integer(config.get("restart-strategy.fixed-delay.attempts"))?,
            delay: duration("restart-strategy.fixed-delay.delay")?,
        },
        "exponential-delay" => RestartStrategy::Exponential {
            initial: duration("restart-strategy.exponential-delay.initial-backoff")?,
            max: duration("restart-strategy.exponential-delay.max-backoff")?,
            multiplier: number("restart-strategy.exponential-delay.backoff-multiplier", 1.0, 100.0)?,
            reset: duration("restart-strategy.exponential-delay.reset-backoff-threshold")?,
            jitter: number("restart-strategy.exponential-delay.jitter-factor", 0.0, 1.0)?,
            attempts: match config.get("restart-strategy.exponential-delay.attempts-before-reset-backoff") {
                "" => None,
                attempts => Some(parse_integer(attempts)?),
            },
        },
        _ => RestartStrategy::None,
    })
}

/// Where checkpoints go if nobody says where: the user's folder for state.
fn default_directory() -> String {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
    let root = state.map_or_else(|| PathBuf::from(".affluent"), |state| state.join("affluent"));
    root.join("checkpoints").display().to_string()
}

/// The folder of a job: its name, and a hash of it and of the file that it stands in.
fn folder(job: &str, origin: Option<&str>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(origin.unwrap_or_default());
    hasher.update([0]);
    hasher.update(job);
    let digest = hasher.finalize();
    let hash = digest.iter().take(4).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    format!("{}-{hash}", plain(&redact(job)))
}

/// A name as a part of a path.
pub fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    name.chars().take(80).map(plain).collect()
}

/// What a checkpoint has to know of a job.
pub fn plan(name: &str, parallelism: usize, outputs: &[Vec<Arc<Fragment>>]) -> JobPlan {
    let mut operators = Vec::new();
    let mut seen = HashSet::new();
    let mut add = |id: &str, name: &str, detail: String| {
        if seen.insert(id.to_string()) {
            operators.push(OperatorPlan {
                id: id.to_string(),
                name: name.to_string(),
                detail: redacted(wording::plain(&detail).into_owned()),
            });
        }
    };
    for fragment in outputs.iter().flatten() {
        for (head, _) in &fragment.heads {
            if let Head::Source(source, id) = head {
                add(id, "Source", source.describe());
            }
        }
        fragment.operators.iter().for_each(|stage| add(&stage.id, stage.name, stage.detail.clone()));
        if let Tail::Sink(_, id) = &fragment.tail {
            add(id, "Sink", String::new());
        }
    }
    JobPlan { name: redact(name).into_owned(), parallelism, operators, origin: None }
}

/// Where a source goes on. A table that is read once more than before goes on where the others do.
pub fn positions(checkpoint: &Checkpoint, id: &str) -> Positions {
    let sources = checkpoint.sources();
    let first = || {
        let (base, number) = id.rsplit_once('-')?;
        number.parse::<usize>().ok()?;
        sources.get(base)
    };
    sources.get(id).or_else(first).cloned().unwrap_or_default()
}

/// A new place for a savepoint of a job.
pub fn savepoint_store(
    config: &Config,
    job: &str,
    runtime: &tokio::runtime::Handle,
) -> Result<Arc<dyn Store>> {
    let root = match (
        config.get("execution.checkpointing.savepoint-dir"),
        config.get("execution.checkpointing.dir"),
    ) {
        ("", "") => format!("{}/savepoints", default_directory()),
        ("", checkpoints) => format!("{}/savepoints", checkpoints.trim_end_matches('/')),
        (savepoints, _) => savepoints.to_string(),
    };
    let id = uuid::Uuid::new_v4().simple().to_string();
    Ok(store::open(&root, runtime)?.under(&format!("savepoint-{}-{}", plain(&redact(job)), &id[..12])))
}

/// A warning for each source that cannot read its rows again.
pub fn unreplayed(node: &Node) -> Vec<String> {
    let mut warnings = Vec::new();
    node.walk(&mut |node| {
        if let Body::Source(source) = &node.body
            && !source.replays()
        {
            let table = node.detail.split(" (").next().unwrap_or_default();
            warnings.push(format!(
                "table '{table}' cannot be read again: rows that came behind the last checkpoint are lost when the job fails"
            ));
        }
    });
    warnings
}

/// Refuses a plan that would lose state.
fn check_claimed(checkpoint: &Checkpoint, plan: &JobPlan, place: &str) -> Result<()> {
    let claimed: HashSet<&str> = plan.operators.iter().map(|o| o.id.as_str()).collect();
    let mut stateful: BTreeSet<String> = checkpoint.stateful().into_iter().collect();
    let used = |all: &BTreeMap<String, Positions>| {
        all.iter().filter(|(_, p)| !p.is_empty()).map(|(id, _)| id.clone()).collect::<Vec<_>>()
    };
    stateful.extend(used(checkpoint.sources()));
    stateful.extend(checkpoint.sinks().iter().filter(|(_, p)| !p.is_empty()).map(|(id, _)| id.clone()));
    let lost: Vec<String> = stateful
        .iter()
        .filter(|id| !claimed.contains(id.as_str()))
        .map(|id| match checkpoint.plan().operators.iter().find(|o| o.id == *id) {
            Some(o) if o.detail.is_empty() => format!("{} ({id})", o.name),
            Some(o) => format!("{}: {}", o.name, o.detail),
            None => id.clone(),
        })
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    Err(Error::option(format!(
        "the query has changed: checkpoint {} holds state that it does not take",
        checkpoint.epoch()
    ))
    .with_detail(format!("in {place}: {}", lost.join("; ")))
    .with_hint(
        "SET 'execution.state-recovery.ignore-unclaimed-state' = 'true'; drops it and keeps the rest; \
             SET 'affluent.state-recovery.automatic' = 'false'; starts from the beginning",
    ))
}

/// How long a folder may be in use before anything is said: a process that was killed a moment ago holds it still.
pub const LOCKED: Duration = Duration::from_secs(1);

/// How long a session that is dropped waits for the last checkpoints of its jobs.
pub const PATIENCE: Duration = Duration::from_secs(30);
