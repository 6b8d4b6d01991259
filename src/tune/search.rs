//! The search: one setting after the other, within the budget.

use std::time::{Duration, Instant};

use super::Request;
use super::keys::{self, Lifetime};
use super::trial::{self, Ending, Pipeline, Sample, Settings, Trial};
use crate::error::{Error, Result};
use crate::recording::Recording;
use crate::trial::tuning::Kind;

/// Rows in flight that are tried.
const CAPACITIES: [u64; 6] = [1, 4, 16, 64, 256, 1024];
/// Keys in a request that are tried.
const BATCHES: [u64; 3] = [1, 10, 100];
/// A setting that reaches so much of the best is as good, if it asks for less.
const GOOD: f64 = 0.95;
/// Two steps that gain less than this end the way up.
const GAIN: f64 = 1.05;
/// Calls of a trial, at least.
const FEWEST: u64 = 20;
/// A cache that finds less is not worth its answers' age.
const WORTH: f64 = 0.1;

/// What was found.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Findings {
    pub(crate) lookups: Vec<String>,
    /// Keys in the sample, and how many of them differ.
    pub(crate) keys: usize,
    pub(crate) distinct_keys: usize,
    pub(crate) trials: Vec<Trial>,
    /// The strategies side by side.
    pub(crate) strategies: Vec<Trial>,
    /// By rows in flight.
    pub(crate) capacities: Vec<Trial>,
    /// Rows in flight in all at the knee.
    pub(crate) knee: Option<u64>,
    pub(crate) lifetimes: Vec<Lifetime>,
    /// Rows a second that the lifetimes are computed for, and where the number is from.
    pub(crate) rate: f64,
    pub(crate) rate_from: &'static str,
    pub(crate) recommended: Vec<Advice>,
    pub(crate) calls: u64,
    pub(crate) seconds: f64,
    /// Why the search ended before its end.
    pub(crate) stopped: Option<String>,
}

/// A statement, and why.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Advice {
    pub(crate) sql: String,
    pub(crate) why: String,
}

/// The search so far.
struct Search<'a> {
    request: &'a Request,
    pipeline: Pipeline,
    sample: Sample,
    answers: bool,
    begun: Instant,
    calls: u64,
    trials: Vec<Trial>,
    /// Trials that are still to come, about.
    ahead: u32,
    stopped: Option<String>,
    tell: &'a mut dyn FnMut(&str),
}

impl Search<'_> {
    /// A trial within its share of what is left; `None` when the search is over.
    fn run(&mut self, settings: Settings) -> Option<Trial> {
        if self.stopped.is_some() {
            return None;
        }
        if let Some(known) = self.trials.iter().find(|t| t.settings == settings) {
            return Some(known.clone());
        }
        let share = self.ahead.max(1);
        self.ahead = self.ahead.saturating_sub(1);
        let left = self.request.time.saturating_sub(self.begun.elapsed());
        let time = (left / share).clamp(Duration::from_millis(100), Duration::from_secs(5)).min(left);
        let calls_left = self.request.calls.saturating_sub(self.calls);
        let calls = (calls_left / u64::from(share)).max(FEWEST).min(calls_left);
        if left < Duration::from_millis(100) || calls == 0 {
            let what = if calls == 0 { "calls" } else { "time" };
            self.stopped = Some(format!("the budget of {what} was used up before all was tried"));
            return None;
        }
        let ran = trial::trial(&self.pipeline, &self.sample, settings, (time, calls), self.answers);
        let (found, ending) = match ran {
            Ok(ran) => ran,
            Err(e) => (None, Ending::Broken(e)),
        };
        if let Some(found) = &found {
            self.calls += found.calls;
            (self.tell)(&format!(
                "{:<6} {:>5} in flight per task, {} tasks{}: {:.0} rows/s, {:.0} calls/s, p99 {:.1} ms",
                settings.strategy,
                settings.capacity,
                settings.tasks,
                settings.batch.map(|b| format!(", {b} keys a request")).unwrap_or_default(),
                found.events_per_second,
                found.calls_per_second,
                found.call_p99_ms
            ));
        }
        if let Ending::Broken(e) = ending {
            let at =
                format!("{} with {} rows in flight", settings.strategy, settings.capacity * settings.tasks);
            self.stopped = Some(format!("the search ended in the trial of {at}: {e}"));
        }
        if let Some(found) = &found {
            self.trials.push(found.clone());
        }
        found
    }
}

/// The first of these, in their order, that is as good as the best.
fn good_enough(trials: &[Trial]) -> Option<&Trial> {
    let best = trials.iter().map(|t| t.events_per_second).fold(0.0, f64::max);
    trials.iter().find(|t| t.events_per_second >= best * GOOD)
}

fn names(sample: &Sample) -> Vec<String> {
    sample.lookups.keys().cloned().collect()
}

/// A folder that goes with its owner.
struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Tunes a pipeline; `tell` hears of each trial.
pub(crate) fn tune(request: &Request, tell: &mut dyn FnMut(&str)) -> Result<Findings> {
    let begun = Instant::now();
    let pipeline = Pipeline::read(&request.files, &request.set, &request.var)?;
    let replay = request.replay.as_deref().map(Recording::open).transpose()?;
    let folder =
        Folder(std::env::temp_dir().join(format!("affluent-tune-{}", uuid::Uuid::new_v4().simple())));
    let time = (request.time / 6).clamp(Duration::from_millis(500), Duration::from_secs(10));
    let sample = trial::sample(&pipeline, replay.as_ref(), time, &folder.0)?;
    tell(&format!("{} keys of the input were read; {} asked", sample.keys.len(), names(&sample).join(", ")));
    let cores = sample.tasks;
    let batches: Vec<u64> = BATCHES.iter().copied().filter(|b| *b <= sample.max_keys as u64).collect();
    let ahead = 2 + CAPACITIES.len() + 2 + if batches.len() > 1 { batches.len() } else { 0 };
    let mut search = Search {
        request,
        pipeline,
        sample,
        answers: replay.is_some(),
        begun,
        calls: 0,
        trials: Vec::new(),
        ahead: ahead as u32,
        stopped: None,
        tell,
    };
    let found = search_all(&mut search, cores, &batches);
    let Search { sample, trials, calls, stopped, .. } = search;
    if trials.is_empty() {
        let why = stopped.unwrap_or_else(|| "no trial gave a row".to_string());
        return Err(Error::execution("nothing could be measured").with_detail(why));
    }
    Ok(found.into_findings(request, &sample, trials, (calls, begun.elapsed()), stopped))
}

#[derive(Default)]
struct Found {
    sync: Option<Trial>,
    capacities: Vec<Trial>,
    best: Option<Trial>,
    cached: Option<Trial>,
    batch: Option<u64>,
    tasks: Vec<Trial>,
    batches: Vec<Trial>,
}

fn search_all(search: &mut Search<'_>, cores: u64, batches: &[u64]) -> Found {
    let mut found = Found::default();
    let settings = |strategy, capacity, tasks, batch| Settings { strategy, capacity, tasks, batch };
    found.sync = search.run(settings("SYNC", 1, cores, None));
    // Up, until two steps gain nothing.
    let mut idle = 0;
    for capacity in CAPACITIES {
        let Some(trial) = search.run(settings("ASYNC", capacity, cores, None)) else { break };
        let before = found.capacities.iter().map(|t: &Trial| t.events_per_second).fold(0.0, f64::max);
        idle = if trial.events_per_second > before * GAIN { 0 } else { idle + 1 };
        found.capacities.push(trial);
        if idle == 2 {
            break;
        }
    }
    let Some(mut best) = good_enough(&found.capacities).cloned() else { return found };
    // Between the knee and the step below it.
    if best.settings.capacity > 4
        && let Some(between) = search.run(Settings { capacity: best.settings.capacity / 2, ..best.settings })
    {
        found.capacities.push(between);
        found.capacities.sort_by_key(|t| t.settings.capacity);
        best = good_enough(&found.capacities).cloned().unwrap_or(best);
    }
    // As many rows in flight, by fewer tasks.
    if cores > 1 {
        let total = best.settings.capacity * best.settings.tasks;
        let one = Settings { tasks: 1, capacity: total, ..best.settings };
        let tried = search.run(one);
        found.tasks.extend(tried);
        found.tasks.push(best.clone());
        best = good_enough(&found.tasks).cloned().unwrap_or(best);
    }
    if batches.len() > 1 {
        for batch in batches {
            let Some(trial) = search.run(Settings { batch: Some(*batch), ..best.settings }) else { break };
            found.batches.push(trial);
        }
        if let Some(good) =
            good_enough(&found.batches).filter(|t| t.events_per_second > best.events_per_second * GAIN)
        {
            found.batch = good.settings.batch;
            best = good.clone();
        }
    }
    found.cached = search.run(Settings { strategy: "CACHED", ..best.settings });
    found.best = Some(best);
    found
}

impl Found {
    fn into_findings(
        self,
        request: &Request,
        sample: &Sample,
        trials: Vec<Trial>,
        (calls, took): (u64, Duration),
        stopped: Option<String>,
    ) -> Findings {
        let best = self.best.or_else(|| good_enough(&self.capacities).cloned());
        // The rows' own times, or a rate.
        let span = sample.keys.last().map_or(0, |k| k.0) - sample.keys.first().map_or(0, |k| k.0);
        let fastest = best.as_ref().or(self.sync.as_ref()).map_or(1.0, |t| t.events_per_second);
        let (rate, rate_from) = match (request.rate, sample.timed && span > 500) {
            (Some(rate), _) => (rate, "as --rate says"),
            (None, true) => (sample.keys.len() as f64 * 1e3 / span as f64, "as the input came"),
            (None, false) => {
                (fastest, "as fast as the best of the settings without a cache; --rate says another")
            }
        };
        let own = request.rate.is_none() && sample.timed && span > 500;
        let at = |i: usize, at: i64| if own { at as f64 } else { i as f64 * 1e3 / rate.max(1e-3) };
        let keys = sample.keys.iter().enumerate().map(|(i, (ms, key))| (at(i, *ms), key.as_str()));
        let (lifetimes, distinct_keys) = keys::by_lifetime(keys);
        let knee = good_enough(&self.capacities).map(|t| t.settings.capacity * t.settings.tasks);
        let recommended = best.as_ref().map_or_else(Vec::new, |best| {
            advice(best, &self.capacities, &self.tasks, self.batch, &lifetimes, sample, self.cached.as_ref())
        });
        let strategies = [self.sync, best, self.cached].into_iter().flatten().collect();
        Findings {
            lookups: names(sample),
            keys: sample.keys.len(),
            distinct_keys,
            trials,
            strategies,
            capacities: self.capacities,
            knee,
            lifetimes,
            rate,
            rate_from,
            recommended,
            calls,
            seconds: took.as_secs_f64(),
            stopped,
        }
    }
}

fn advice(
    best: &Trial,
    capacities: &[Trial],
    tasks: &[Trial],
    batch: Option<u64>,
    lifetimes: &[Lifetime],
    sample: &Sample,
    cached: Option<&Trial>,
) -> Vec<Advice> {
    let mut all = Vec::new();
    let mut add = |sql: String, why: String| all.push(Advice { sql, why });
    let lifetime = keys::knee(lifetimes).filter(|l| l.hit_ratio >= WORTH);
    match (lifetime, cached) {
        (Some(lifetime), Some(cached)) if cached.events_per_second > best.events_per_second => add(
            "SET 'enrichment.strategy' = 'CACHED';".to_string(),
            format!(
                "{:.0} % of the rows find their key in a cache of {}; {:.0} rows/s against {:.0} without one, where {:.0} % were found",
                lifetime.hit_ratio * 100.0,
                shown(lifetime.lifetime),
                cached.events_per_second,
                best.events_per_second,
                cached.hit_ratio.unwrap_or_default() * 100.0
            ),
        ),
        (lifetime, _) => add(
            "SET 'enrichment.strategy' = 'ASYNC';".to_string(),
            match lifetime {
                None => format!(
                    "keys hardly come again: a cache of any lifetime finds less than {:.0} % of them",
                    WORTH * 100.0
                ),
                Some(_) => "a cache was not faster here".to_string(),
            },
        ),
    }
    let most = capacities.iter().map(|t| t.events_per_second).fold(0.0, f64::max);
    let largest = capacities.last().map_or(0, |t| t.settings.capacity * t.settings.tasks);
    add(
        format!("SET 'table.exec.async-lookup.buffer-capacity' = '{}';", best.settings.capacity),
        format!(
            "{} rows in flight in all give {:.0} rows/s, p99 {:.1} ms; up to {largest} gave {most:.0}",
            best.settings.capacity * best.settings.tasks,
            best.events_per_second,
            best.call_p99_ms
        ),
    );
    let others = tasks.iter().filter(|t| t.settings != best.settings);
    let others =
        others.map(|t| format!("; {} gave {:.0}", t.settings.tasks, t.events_per_second)).collect::<String>();
    // An input that cannot be split has one task, whatever is set.
    if sample.tasks > 1 {
        add(
            format!("SET 'parallelism.default' = '{}';", best.settings.tasks),
            format!("{} tasks gave {:.0} rows/s{others}", best.settings.tasks, best.events_per_second),
        );
    }
    for (name, _) in sample.lookups.iter().filter(|(_, kind)| **kind == Kind::Table) {
        let table = name.split('.').map(|part| format!("`{part}`")).collect::<Vec<_>>().join(".");
        let mut options = Vec::new();
        let mut why = Vec::new();
        if let Some(batch) = batch {
            options.push(format!("'lookup.batch.max-size' = '{batch}'"));
            why.push(format!("{batch} keys a request were the fastest"));
        }
        if let Some(lifetime) = lifetime.filter(|_| cached.is_some()) {
            options.push("'lookup.cache' = 'PARTIAL'".to_string());
            options.push(format!(
                "'lookup.partial-cache.expire-after-write' = '{} s'",
                lifetime.lifetime.as_secs()
            ));
            let longest = lifetimes.iter().map(|l| l.hit_ratio).fold(0.0, f64::max);
            why.push(format!(
                "{:.1} % hits; no lifetime finds more than {:.1} %; {:.0} calls/s are left",
                lifetime.hit_ratio * 100.0,
                longest * 100.0,
                lifetime.calls_per_second
            ));
        }
        if !options.is_empty() {
            add(format!("ALTER TABLE {table} SET ({});", options.join(", ")), why.join("; "));
        }
    }
    all
}

/// A lifetime for people.
pub(super) fn shown(lifetime: Duration) -> String {
    match lifetime.as_secs() {
        s if s >= 86_400 && s % 86_400 == 0 => format!("{} d", s / 86_400),
        s if s >= 3_600 && s % 3_600 == 0 => format!("{} h", s / 3_600),
        s if s >= 60 && s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(capacity: u64, rate: f64) -> Trial {
        Trial {
            settings: Settings { strategy: "ASYNC", capacity, tasks: 1, batch: None },
            events_per_second: rate,
            calls_per_second: rate,
            calls: 100,
            failures: 0,
            hit_ratio: None,
            call_p50_ms: 20.0,
            call_p99_ms: 25.0,
        }
    }

    #[test]
    fn the_knee_is_the_first_that_is_as_good_as_the_best() {
        let all = [at(1, 50.0), at(4, 200.0), at(16, 790.0), at(64, 800.0), at(256, 805.0)];
        assert_eq!(good_enough(&all).unwrap().settings.capacity, 16);
        assert!(good_enough(&[]).is_none());
    }

    #[test]
    fn lifetimes_are_written_as_people_do() {
        let of = |s: u64| shown(Duration::from_secs(s));
        assert_eq!([of(5), of(60), of(3_600), of(604_800)], ["5 s", "1 min", "1 h", "7 d"]);
    }
}
