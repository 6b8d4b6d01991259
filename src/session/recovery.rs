//! Where a job's checkpoints are, and from which it comes back.
//!
//! A job's folder is found by what the user runs again: the file and the job's name. What may come back from
//! it is decided operator by operator (see [`crate::plan::identity`]): a query that was edited keeps what
//! still means the same, starts from the beginning with what is new, and is refused if something would be lost.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::claims::{self, Claims};
use crate::catalog::options::{parse_bool, parse_duration, parse_integer};
use crate::clock::Clock;
use crate::config::Config;
use crate::connector::Place;
use crate::error::{Error, Result, wording};
use crate::flow::coordinator::CheckpointSettings;
use crate::flow::fragment::{Fragment, Head, Tail};
use crate::flow::restart::RestartStrategy;
use crate::plan::Node;
use crate::plan::graph::{Body, Shape};
use crate::plan::identity::{Identities, Known, VERSION};
use crate::plan::remembered::Remembered;
use crate::secret::{redact, redacted};
use crate::state::checkpoint::{Aliases, Checkpoint, Checkpoints, JobPlan, OperatorPlan};
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
    /// State that no operator restores is dropped.
    ignore_unclaimed: bool,
    /// A function whose code is another one than that of the checkpoint is refused.
    keeps_functions: bool,
    /// The folder of all jobs, if it is a local directory, and what is run again.
    around: Option<(PathBuf, String)>,
    /// The file that is run.
    file: Option<String>,
    /// The job's name, by which it is distinguished from others of the script.
    job: String,
    ahead: Arc<[String]>,
    /// Without a sign of life for this long, another process has lost the job.
    lease_time: Duration,
    /// So long the job waits for another process.
    pub lease_wait: Duration,
    /// What the identities of older checkpoints are called now.
    aliases: OnceLock<Aliases>,
    clock: Arc<dyn Clock>,
}

/// The right to run a job, which one process has at a time.
pub type Entry = (Lock, Lease);

/// What a job comes back from.
pub struct Found {
    /// A checkpoint or savepoint.
    pub checkpoint: Checkpoint,
    /// The job had ended before it could say so: what it wrote is to be committed, and nothing else.
    pub ended: bool,
    /// What is restored and what is dropped, for the user.
    pub said: Vec<String>,
    /// It is a savepoint that the user names.
    pub named: bool,
}

impl Found {
    /// A checkpoint of the job itself.
    pub fn own(checkpoint: Checkpoint) -> Self {
        Self { ended: checkpoint.ended(), checkpoint, said: Vec::new(), named: false }
    }
}

impl Durability {
    /// As the settings say; `None` without checkpoints. `origin` is the file that is run, if it is one, `scope` what is
    /// executed else; `ahead` are the jobs that it is known to start.
    pub fn new(
        config: &Config,
        job: &str,
        (origin, scope): (Option<&str>, Option<&str>),
        ahead: Arc<[String]>,
        (runtime, clock): (&tokio::runtime::Handle, Arc<dyn Clock>),
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
        let run = run_of(origin, scope)?;
        let around = (!root.contains("://")).then(|| (PathBuf::from(&root), run.clone()));
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
            store: store::open(&root, runtime)?.under(&folder(job, &run)),
            retained: usize::try_from(retained).unwrap_or(usize::MAX).max(1),
            automatic: parse_bool(config.get("affluent.state-recovery.automatic"))?,
            savepoint,
            ignore_unclaimed: parse_bool(config.get("execution.state-recovery.ignore-unclaimed-state"))?,
            keeps_functions: config
                .get("execution.state-recovery.on-function-change")
                .eq_ignore_ascii_case("fail"),
            around,
            file: origin.map(str::to_string),
            job: job.to_string(),
            ahead,
            lease_time: parse_duration(config.get("affluent.lease.time"))?.max(Duration::from_secs(1)),
            lease_wait: parse_duration(config.get("affluent.lease.wait"))?,
            aliases: OnceLock::new(),
            clock,
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
        let aliases = self.aliases.get_or_init(|| plan.aliases.clone());
        checkpoints.adopt(aliases.clone());
        if !self.automatic {
            checkpoints.give_up()?;
        }
        let (latest, warnings) = checkpoints.latest()?;
        warnings.iter().for_each(|warning| log::warn!("{warning}"));
        // A checkpoint of a run from the same savepoint is what became of it.
        let own = latest.filter(|c| self.savepoint.is_none() || c.plan().origin == self.origin());
        let found = match own {
            Some(checkpoint) => Some((Found::own(checkpoint), self.store.describe())),
            None => {
                checkpoints.clear()?;
                let place = self.savepoint.as_ref().map_or_else(String::new, |(path, _)| path.clone());
                self.named_savepoint()?.map(|found| (found, place))
            }
        };
        let Some((Found { checkpoint, ended, named, .. }, place)) = found else {
            if self.automatic {
                self.warn_of_others();
            }
            return Ok((checkpoints, None));
        };
        let claims = Claims::new(&checkpoint, plan)?;
        claims.check_places(&place)?;
        let dropped = match self.ignore_unclaimed {
            true => claims.dropped(),
            false => claims.check(&place).map(|()| Vec::new())?,
        };
        self.check_functions(&checkpoint, plan)?;
        warn_of_zone(&checkpoint, plan);
        let mut said = vec![claims.restored(&place, self.clock.now_millis())];
        said.extend(dropped);
        Ok((checkpoints, Some(Found { checkpoint, ended, said, named })))
    }

    /// Says which jobs of the same file have checkpoints that no statement continues: one that has another name now
    /// begins anew, and would write everything again.
    fn warn_of_others(&self) {
        let Some((root, run)) = &self.around else { return };
        if !self.ahead.contains(&self.job) {
            // Statements come one by one: the next one may continue them.
            return;
        }
        let own = folder(&self.job, run);
        let ahead: HashSet<String> = self.ahead.iter().map(|job| folder(job, run)).collect();
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
            let Some((job, _)) = name.rsplit_once('-') else { continue };
            let is_of_run = folder(job, run) == name;
            let manifests = || std::fs::read_dir(root.join(&name).join("manifests")).into_iter().flatten();
            if is_of_run && name != own && !ahead.contains(&name) && manifests().next().is_some() {
                log::warn!(
                    "job '{}' begins anew, and nothing continues the checkpoints of job '{job}' of the same \
                     statements in '{}'; if it is the same job, SET 'pipeline.name' = '{job}' before its statement; \
                     if it is not needed any more, delete the folder",
                    self.job,
                    root.join(&name).display()
                );
            }
        }
    }

    /// What was computed before came from other code, where a function was edited meanwhile.
    fn check_functions(&self, checkpoint: &Checkpoint, plan: &JobPlan) -> Result<()> {
        let before = &checkpoint.plan().functions;
        let changed =
            |(name, digest): &(&String, &String)| before.get(*name).is_some_and(|old| old != *digest);
        let changed: Vec<&str> =
            plan.functions.iter().filter(changed).map(|(name, _)| name.as_str()).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let (names, plural) = (changed.join("', '"), changed.len() > 1);
        let what = match plural {
            true => format!("functions '{names}' have other code than when the checkpoint was made"),
            false => format!("function '{names}' has other code than when the checkpoint was made"),
        };
        if self.keeps_functions {
            return Err(Error::plan(what).with_hint(
                "'execution.state-recovery.on-function-change' = 'warn' continues: what was computed before stays as it is",
            ));
        }
        log::warn!("{what}: what was computed before stays as it is, new rows are computed by the new code");
        Ok(())
    }

    /// The savepoint that the user names. Behind one that was drained others begin: nothing of it is to be committed.
    pub fn named_savepoint(&self) -> Result<Option<Found>> {
        let Some((path, store)) = &self.savepoint else { return Ok(None) };
        let checkpoint = Checkpoint::open(store.clone())
            .map_err(|e| e.context(format!("savepoint '{path}' cannot be used")))?;
        let aliases = self.aliases.get().cloned().unwrap_or_default();
        let checkpoint = checkpoint.adopted(&aliases);
        let of = &checkpoint.plan().name;
        if *of != self.job && self.ahead.contains(of) {
            log::info!("savepoint '{path}' is of job '{of}': job '{}' begins without it", self.job);
            return Ok(None);
        }
        Ok(Some(Found { checkpoint, ended: false, said: Vec::new(), named: true }))
    }

    /// Refuses a job that the savepoint is not for, before any job starts.
    pub fn check_savepoint(&self, plan: &JobPlan) -> Result<()> {
        if self.savepoint.is_none() || self.ignore_unclaimed {
            return Ok(());
        }
        self.aliases.get_or_init(|| plan.aliases.clone());
        // What became of it in an earlier run counts.
        let own = Checkpoint::open(self.store.clone()).ok();
        if self.automatic && own.is_some_and(|c| c.plan().origin == self.origin()) {
            return Ok(());
        }
        match self.named_savepoint()? {
            Some(found) => {
                let claims = Claims::new(&found.checkpoint, plan)?;
                let at = self.origin().unwrap_or_else(|| self.place());
                claims
                    .check_places(&at)
                    .and_then(|()| claims.check(&at))
                    .map_err(|e| self.named(e, &found.checkpoint.plan().name))
            }
            None => Ok(()),
        }
    }

    /// Why a savepoint is refused, with the names of the jobs if it is of one that has another name.
    fn named(&self, e: Error, of: &str) -> Error {
        if of == self.job {
            return e;
        }
        let (detail, hint) =
            (e.detail().unwrap_or_default().to_string(), e.hint().unwrap_or_default().to_string());
        e.with_detail(format!("the savepoint is of job '{of}', and this is job '{}'; {detail}", self.job))
            .with_hint(format!(
                "SET 'pipeline.name' = '{of}' before the statement that goes on from it; {hint}"
            ))
    }

    /// What has another name or another order than in the checkpoint that the job will go on from.
    ///
    /// Only folders of this machine are looked into: nobody can stop a job yet that would wait for a store.
    pub fn remembered(&self, plan: impl FnOnce() -> Result<JobPlan>) -> Result<Remembered> {
        let local = |path: &str| !path.contains("://");
        let own =
            (self.automatic && self.around.is_some()).then(|| Checkpoint::open(self.store.clone()).ok());
        let own = own.flatten().filter(|c| self.savepoint.is_none() || c.plan().origin == self.origin());
        let named = || {
            let (_, store) = self.savepoint.as_ref().filter(|(path, _)| local(path))?;
            Checkpoint::open(store.clone()).ok()
        };
        match own.or_else(named) {
            // What cannot be read now is said when the job starts.
            None => Ok(Remembered::default()),
            Some(checkpoint) => {
                let plan = plan()?;
                Ok(claims::remembered(&checkpoint.adopted(&plan.aliases), &plan))
            }
        }
    }

    /// The job's name, by which it is distinguished from others of the script.
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

/// Where checkpoints go by default: the user's folder for state.
fn default_directory() -> String {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
    let root = state.map_or_else(|| PathBuf::from(".affluent"), |state| state.join("affluent"));
    root.join("checkpoints").display().to_string()
}

/// What is run again when a job is to go on: the same file, wherever it is run from, or else the same text (of a
/// session that has none: any) in the same working directory.
fn run_of(file: Option<&str>, scope: Option<&str>) -> Result<String> {
    match file {
        Some(file) => Ok(file.to_string()),
        None => {
            let directory = std::env::current_dir()?;
            Ok(format!("{}\n{}", directory.display(), scope.unwrap_or_default()))
        }
    }
}

/// The folder of a job: its name, and a hash of it and of what is run.
fn folder(job: &str, run: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(run);
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
pub fn plan(
    name: &str,
    parallelism: usize,
    outputs: &[Vec<Arc<Fragment>>],
    identities: &Identities,
    (functions, zone): (BTreeMap<String, String>, Option<String>),
) -> JobPlan {
    let known: HashMap<&str, &Known> = identities.known().iter().map(|k| (k.id.as_str(), k)).collect();
    let mut operators = Vec::new();
    let mut seen = HashSet::new();
    let mut add = |id: &str, name: &str, detail: String| {
        if seen.insert(id.to_string()) {
            let known = known.get(id);
            let parts = known.map(|k| k.parts.clone()).unwrap_or_default();
            operators.push(OperatorPlan {
                id: id.to_string(),
                name: name.to_string(),
                detail: redacted(wording::plain(&detail).into_owned()),
                meaning: parts.into_iter().map(|(name, text)| (name, redacted(text))).collect(),
                table: known.and_then(|k| k.table.clone()),
                known_as: known.and_then(|k| k.known_as.clone()),
                place: known.and_then(|k| k.place.as_ref()).map(Place::recorded),
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
    let name = redact(name).into_owned();
    let aliases = claims::aliases(identities);
    JobPlan { name, parallelism, operators, origin: None, identities: VERSION, functions, zone, aliases }
}

/// What was computed before is of another time zone, where that was changed meanwhile.
fn warn_of_zone(checkpoint: &Checkpoint, plan: &JobPlan) {
    if let (Some(before), Some(now)) = (&checkpoint.plan().zone, &plan.zone)
        && before != now
    {
        log::warn!(
            "'table.local-time-zone' is {now} and was {before} when the checkpoint was made: what was computed before \
             stays as it is, new rows are computed in the new zone; SET 'table.local-time-zone' = '{before}' keeps both alike"
        );
    }
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
            && let Shape::Source { table: Some(table), .. } = &node.shape
            && !source.replays()
            && !source.redelivers()
        {
            warnings.push(format!(
                "table '{table}' cannot be read again: rows after the last checkpoint are lost when the job fails"
            ));
        }
    });
    warnings
}

/// How long a folder may be in use before anything is said: a process that was killed a moment ago holds it still.
pub const LOCKED: Duration = Duration::from_secs(1);

/// How long a session that is dropped waits for the last checkpoints of its jobs.
pub const PATIENCE: Duration = Duration::from_secs(30);
