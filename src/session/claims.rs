//! Which state of a checkpoint a job takes, and what is said of it.
//!
//! An operator takes the state that has its identity (see [`crate::plan::identity`]). What nothing in the plan
//! takes is *unclaimed*: the job is refused, with what has changed, or drops it if the user says so. State
//! without a row is no reason to refuse. Sources and sinks are the same ones only in the same place: a job does
//! not go on in one file from the positions of another.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::connector::registry::MOVED_FROM;
use crate::connector::{Place, Positions, Source, unmarked};
use crate::error::{Error, Result};
use crate::plan::identity::{Identities, Known, VERSION};
use crate::plan::remembered::Remembered;
use crate::secret::redact;
use crate::state::checkpoint::{Aliases, Checkpoint, JobPlan, OperatorPlan};

/// State that nothing in the plan takes.
#[derive(Debug)]
struct Unclaimed {
    /// `GroupAggregate: groupBy=[k], ...`
    what: String,
    /// What has changed, where that is known.
    why: String,
    rows: u64,
    bytes: u64,
    /// What it is besides rows, such as `positions in 3 splits`.
    besides: Option<String>,
}

/// A checkpoint that a job wants to go on from.
pub struct Claims<'a> {
    checkpoint: &'a Checkpoint,
    plan: &'a JobPlan,
    unclaimed: Vec<Unclaimed>,
}

/// What the identities of the first version are called now.
pub fn aliases(identities: &Identities) -> Aliases {
    let known = identities.known().iter();
    let stateful = known.clone().filter(|k| !k.parts.is_empty());
    let earlier = known.clone().filter_map(|k| Some((k.earlier.clone()?, k.id.clone())));
    Aliases {
        earlier: earlier.collect(),
        version: VERSION,
        stateful: stateful.map(|k| (k.name, k.id.clone())).collect(),
        renamed: known.map(|Known { id, version1, .. }| (version1.clone(), id.clone())).collect(),
    }
}

impl<'a> Claims<'a> {
    /// Looks up what the plan takes.
    pub fn new(checkpoint: &'a Checkpoint, plan: &'a JobPlan) -> Result<Self> {
        let taken: HashSet<&str> = plan.operators.iter().map(|o| o.id.as_str()).collect();
        let free = |id: &String| !taken.contains(id.as_str());
        let mut unclaimed = Vec::new();
        for id in checkpoint.stateful().into_iter().filter(free) {
            let weight = checkpoint.weight(&id)?;
            if !weight.is_empty() {
                let besides = (weight.rows == 0).then(|| "single values".to_string());
                unclaimed.push(described(checkpoint, plan, &id, (weight.rows, weight.bytes), besides));
            }
        }
        for (id, positions) in checkpoint.sources().iter().filter(|(id, p)| free(id) && !p.is_empty()) {
            let besides = Some(format!("positions in {}", counted(positions.len(), "split")));
            unclaimed.push(described(checkpoint, plan, id, (0, 0), besides));
        }
        for (id, pending) in checkpoint.sinks().iter().filter(|(id, p)| free(id) && !p.is_empty()) {
            let besides = Some(format!("{} to be made visible", counted(pending.len(), "part")));
            unclaimed.push(described(checkpoint, plan, id, (0, 0), besides));
        }
        Ok(Self { checkpoint, plan, unclaimed })
    }

    /// Refuses a plan that would lose state.
    pub fn check(&self, place: &str) -> Result<()> {
        if self.unclaimed.is_empty() {
            return Ok(());
        }
        let lost: Vec<String> = self.unclaimed.iter().map(Unclaimed::text).collect();
        Err(Error::option(format!(
            "the query has changed: checkpoint {} holds state that it does not take",
            self.checkpoint.epoch()
        ))
        .with_detail(format!("in {place}: {}", lost.join("; ")))
        .with_hint(
            "SET 'execution.state-recovery.ignore-unclaimed-state' = 'true'; drops it and keeps the rest; \
             SET 'affluent.state-recovery.automatic' = 'false'; starts from the beginning",
        ))
    }

    /// What is dropped, a line each.
    pub fn dropped(&self) -> Vec<String> {
        let epoch = self.checkpoint.epoch();
        self.unclaimed
            .iter()
            .map(|u| format!("state of checkpoint {epoch} is dropped: {}", u.text()))
            .collect()
    }

    /// Refuses sources and sinks that have another place than in the checkpoint.
    pub fn check_places(&self, at: &str) -> Result<()> {
        for operator in &self.plan.operators {
            let Some(now) = &operator.place else { continue };
            let id = source_id(self.checkpoint, &operator.id);
            let Some(before) = place_of(self.checkpoint, id) else { continue };
            let table = operator.table.as_deref().unwrap_or_default();
            let epoch = self.checkpoint.epoch();
            if before.is(now) {
                continue;
            }
            if self.checkpoint.sources().get(id).is_some_and(|p| !p.is_empty()) && !now.moved_from(before) {
                let error = Error::option(format!(
                    "table '{table}' reads {}, and checkpoint {epoch} has its positions in {}",
                    shown(now, before),
                    shown(before, now)
                ))
                .with_detail(match redact(&now.at) == redact(&before.at) {
                    true => format!("in {at}; a variable in it has another value now than then"),
                    false => format!("in {at}"),
                });
                let anew = "to start from the beginning, SET 'affluent.state-recovery.automatic' = 'false' (or run with --fresh)";
                return Err(match before.connector == now.connector {
                    true => error.with_hint(format!(
                        "if the same data has moved, set '{MOVED_FROM}' = '{}' in the table's options; {anew}",
                        redact(&before.at)
                    )),
                    false => error.with_hint(format!(
                        "positions of connector '{}' say nothing to another one; {anew}",
                        before.connector
                    )),
                });
            }
            if self.checkpoint.sinks().get(&operator.id).is_some_and(|p| !p.is_empty())
                && !self.checkpoint.ended()
            {
                return Err(Error::option(format!(
                    "table '{table}' is written to {}, and checkpoint {epoch} has rows for it that are not \
                     visible yet in {}",
                    shown(now, before),
                    shown(before, now)
                ))
                .with_detail(format!("in {at}"))
                .with_hint(
                    "let the job end there first (STOP JOB ... WITH SAVEPOINT WITH DRAIN), then start from the \
                     savepoint; to start from the beginning, SET 'affluent.state-recovery.automatic' = 'false' (or run with --fresh)",
                ));
            }
        }
        Ok(())
    }

    /// What is restored and from when.
    pub fn restored(&self, place: &str, now_millis: i64) -> String {
        let checkpoint = self.checkpoint;
        let written = checkpoint.written_millis();
        let when = match written.and_then(chrono::DateTime::from_timestamp_millis) {
            Some(time) => {
                let age = now_millis.saturating_sub(time.timestamp_millis()).max(0).unsigned_abs();
                format!(" of {} ({} ago)", time.format("%Y-%m-%d %H:%M:%S UTC"), age_text(age))
            }
            None => String::new(),
        };
        let name = &self.plan.name;
        let assumed = match checkpoint.is_assumed() {
            true => "; an earlier version wrote it, and the query is taken to be the same as then",
            false => "",
        };
        if checkpoint.ended() {
            let epoch = checkpoint.epoch();
            return format!("job '{name}' had ended with checkpoint {epoch}{when} in {place}");
        }
        let operators = checkpoint.stateful().len();
        let positions = checkpoint.sources().values().filter(|p| !p.is_empty()).count();
        format!(
            "job '{name}' continues from checkpoint {}{when} in {place}: {} of state of {}, positions of {}{assumed}",
            checkpoint.epoch(),
            bytes_text(checkpoint.bytes()),
            counted(operators, "operator"),
            counted(positions, "source")
        )
    }
}

impl Unclaimed {
    fn text(&self) -> String {
        let mut amount = match self.rows {
            0 => String::new(),
            rows => format!("{}, {}", counted(rows as usize, "row"), bytes_text(self.bytes)),
        };
        if let Some(besides) = &self.besides {
            amount.push_str(besides);
        }
        match self.why.is_empty() {
            true => format!("{} ({amount})", self.what),
            false => format!("{} ({amount}; {})", self.what, self.why),
        }
    }
}

fn described(
    checkpoint: &Checkpoint,
    plan: &JobPlan,
    id: &str,
    (rows, bytes): (u64, u64),
    besides: Option<String>,
) -> Unclaimed {
    let Some(old) = checkpoint.plan().operators.iter().find(|o| o.id == id) else {
        return Unclaimed { what: id.to_string(), why: String::new(), rows, bytes, besides };
    };
    let what = match old.detail.is_empty() {
        true => format!("{} ({id})", old.name),
        false => format!("{}: {}", old.name, old.detail),
    };
    Unclaimed { what, why: reason(checkpoint, plan, old), rows, bytes, besides }
}

/// What has changed: compared with the operator of the plan that is most like it.
fn reason(checkpoint: &Checkpoint, plan: &JobPlan, old: &OperatorPlan) -> String {
    if checkpoint.plan().identities < VERSION {
        return "written by an earlier version, which takes state only for the very same plan".to_string();
    }
    let known: BTreeSet<&str> = checkpoint.plan().operators.iter().map(|o| o.id.as_str()).collect();
    let new = plan.operators.iter().filter(|o| o.name == old.name && !known.contains(o.id.as_str()));
    let changes = new.map(|new| differences(&old.meaning, &new.meaning));
    match changes.min_by_key(Vec::len) {
        None => format!("the query has no such {}", old.name),
        Some(changes) if changes.is_empty() => match renamed(plan, old) {
            Some(now) => {
                format!("table '{}' is called '{now}' now", old.table.as_deref().unwrap_or_default())
            }
            None => "it occurs less often".to_string(),
        },
        Some(changes) => changes.join(", "),
    }
}

/// What the checkpoint knows by another name; and, where the plan does not take all of its state, the digests by which it
/// knows that.
pub fn remembered(checkpoint: &Checkpoint, plan: &JobPlan) -> Remembered {
    let mut found = Remembered { tables: renamed_tables(checkpoint, plan), ..Remembered::default() };
    let before = &checkpoint.plan().operators;
    let is_lost =
        |old: &OperatorPlan| !old.meaning.is_empty() && !plan.operators.iter().any(|o| o.id == old.id);
    if before.iter().any(is_lost) {
        for operator in before {
            found.note(&operator.id);
            operator.meaning.iter().for_each(|(_, text)| found.note(text));
        }
    }
    found
}

/// Tables of the plan that the checkpoint knows by another name, in the same place: their old names by the new ones.
/// Only where that is certain: one table then, one table now.
fn renamed_tables(checkpoint: &Checkpoint, plan: &JobPlan) -> BTreeMap<String, String> {
    let of = |operators: &[OperatorPlan],
              others: &[OperatorPlan],
              name: &dyn Fn(&OperatorPlan) -> Option<String>| {
        let theirs: HashSet<&str> = others.iter().map(|o| o.id.as_str()).collect();
        let own = operators.iter().filter(|o| o.name == "Source" && !theirs.contains(o.id.as_str()));
        own.filter_map(|o| Some((name(o)?, o.place.clone()?))).collect::<Vec<_>>()
    };
    let before = &checkpoint.plan().operators;
    let (old, new) = (
        of(before, &plan.operators, &|o| o.known_as.clone().or_else(|| o.table.clone())),
        of(&plan.operators, before, &|o| o.table.clone()),
    );
    let mut found = BTreeMap::new();
    for (now, place) in &new {
        let names: BTreeSet<&String> =
            old.iter().filter(|(_, p)| p.is(place)).map(|(name, _)| name).collect();
        let rivals: BTreeSet<&String> =
            new.iter().filter(|(_, p)| p.is(place)).map(|(name, _)| name).collect();
        if let (Some(before), 1, 1) = (names.first(), names.len(), rivals.len())
            && *before != now
        {
            found.insert(now.clone(), (*before).clone());
        }
    }
    found
}

/// The name that the table of a source or sink has now, if another one is in its place.
fn renamed<'a>(plan: &'a JobPlan, old: &OperatorPlan) -> Option<&'a str> {
    let place = old.place.as_ref()?;
    let here = |o: &&OperatorPlan| o.table != old.table && o.place.as_ref().is_some_and(|now| place.is(now));
    plan.operators.iter().find(here)?.table.as_deref()
}

/// The parts that differ.
fn differences(old: &[(String, String)], new: &[(String, String)]) -> Vec<String> {
    let by_name = |parts: &[(String, String)]| parts.iter().cloned().collect::<BTreeMap<_, _>>();
    let (old_parts, new_parts) = (by_name(old), by_name(new));
    let mut names: Vec<&String> = old.iter().map(|(name, _)| name).collect();
    names.extend(new.iter().map(|(name, _)| name).filter(|name| !old_parts.contains_key(*name)));
    let text = |part: Option<&String>| match part {
        Some(part) if part.is_empty() => "none".to_string(),
        Some(part) => cut(part),
        None => "none".to_string(),
    };
    let mut found = Vec::new();
    for name in names {
        let (before, now) = (old_parts.get(name), new_parts.get(name));
        if before == now {
            continue;
        }
        let plain = |part: Option<&String>| part.map(|part| without_digests(part));
        found.push(match plain(before) == plain(now) {
            true => format!("{name}: what they come from has changed"),
            false => format!("{name}: {} -> {}", text(before), text(now)),
        });
    }
    found
}

/// A text without the digests that stand for what operators mean.
fn without_digests(text: &str) -> String {
    let mut parts = text.split('#');
    let mut plain = parts.next().unwrap_or_default().to_string();
    for part in parts {
        plain.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    plain
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

/// A place; with its connector if that is not the same in the other one.
fn shown(place: &Place, other: &Place) -> String {
    match place.connector == other.connector {
        true => format!("'{}'", place.at),
        false => format!("'{}' ({})", place.at, place.connector),
    }
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn bytes_text(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

fn age_text(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The identity under which a checkpoint has the positions of a source. A table that is read once more than before
/// continues where the others do.
fn source_id<'a>(checkpoint: &Checkpoint, id: &'a str) -> &'a str {
    let sources = checkpoint.sources();
    match id.rsplit_once('-') {
        _ if sources.contains_key(id) => id,
        Some((base, number)) if number.parse::<usize>().is_ok() && sources.contains_key(base) => base,
        _ => id,
    }
}

fn place_of<'a>(checkpoint: &'a Checkpoint, id: &str) -> Option<&'a Place> {
    checkpoint.plan().operators.iter().find(|o| o.id == id)?.place.as_ref()
}

/// Where a source continues, as it names its positions now.
pub fn positions(
    checkpoint: &Checkpoint,
    id: &str,
    source: &dyn Source,
    place: Option<&Place>,
) -> Result<Positions> {
    let id = source_id(checkpoint, id);
    let positions = checkpoint.sources().get(id).cloned().unwrap_or_default();
    match (place, place_of(checkpoint, id)) {
        (Some(now), Some(before)) if !before.is(now) && redact(&now.written) != before.written => {
            let mut from = vec![before.written.as_str(), before.at.as_str()];
            from.extend(now.moved_from.as_deref());
            source.moved(unmarked(&positions).into_owned(), &from)
        }
        _ => Ok(positions),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect()
    }

    #[test]
    fn changes_are_named_part_by_part() {
        let old =
            parts(&[("rows", "t where (50 < t.v)"), ("keys", "t.k:STRING"), ("calls", "count(1):BIGINT")]);
        let new = parts(&[("rows", "t where (60 < t.v)"), ("keys", "t.k:STRING"), ("updates", "yes")]);
        assert_eq!(
            differences(&old, &new),
            [
                "rows: t where (50 < t.v) -> t where (60 < t.v)",
                "calls: count(1):BIGINT -> none",
                "updates: none -> yes"
            ]
        );
        let digests = [parts(&[("rows", "Join#00ff where a")]), parts(&[("rows", "Join#ff00 where a")])];
        assert_eq!(differences(&digests[0], &digests[1]), ["rows: what they come from has changed"]);
        assert!(differences(&old, &old).is_empty());
    }

    #[test]
    fn amounts_and_ages_are_told_in_units_of_their_size() {
        assert_eq!(
            [0, 999, 1_000, 12_345_678, 2_000_000_000].map(bytes_text),
            ["0 bytes", "999 bytes", "1.0 kB", "12.3 MB", "2.0 GB"]
        );
        assert_eq!(
            [0, 119_000, 120_000, 7_200_000, 172_800_000].map(age_text),
            ["0 s", "119 s", "2 min", "2 h", "2 d"]
        );
    }
}
