//! `affluent run --replay` and `affluent diff`: pipelines on a recording.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::arguments::Common;
use crate::console::diagnostic::{FAILED, USAGE};
use crate::console::fault::Fault;
use crate::console::output::{Output, complain};
use crate::console::render::OutputFormat;
use crate::error::{Error, Result};
use crate::recording::Summary;
use crate::trial::replay::{Missing, Replay};
use crate::trial::{Problem, Replayed, replayed, rows_as_json};

/// What is done with a key that was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum HowMissing {
    /// The replay fails, and says which
    Fail,
    /// It is a miss; how many there were is said
    Miss,
}

impl From<HowMissing> for Missing {
    fn from(how: HowMissing) -> Self {
        match how {
            HowMissing::Fail => Self::Fail,
            HowMissing::Miss => Self::Miss,
        }
    }
}

/// Arguments of `affluent diff`.
#[derive(Debug, clap::Args)]
pub struct DiffArguments {
    /// The pipeline as it was
    #[arg(value_name = "OLD.sql")]
    pub old: PathBuf,

    /// The pipeline as it is now
    #[arg(value_name = "NEW.sql")]
    pub new: PathBuf,

    /// The recording that both run on, made by `affluent run --record`
    #[arg(long, value_name = "FOLDER")]
    pub replay: PathBuf,

    /// What is done with a key that the recording has no answer for: fail, or count it as a miss
    #[arg(long, value_name = "HOW", default_value = "fail")]
    pub replay_missing: HowMissing,

    /// Rows of a table that are shown as text; 0: all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
}

/// Says what was recorded.
pub(super) fn tell(summary: &Summary) {
    let cut = if summary.cut { "; it reached its limit, what came after it is missing" } else { "" };
    complain(format_args!(
        "recorded {} rows and {} answers in {} ({:.1} MB){cut}",
        summary.rows,
        summary.keys,
        summary.folder.display(),
        summary.bytes as f64 / 1e6
    ));
}

/// Shows what is wrong with a replay; the exit status.
fn show(of: Option<&Path>, problems: &[Problem]) -> u8 {
    for problem in problems {
        let of = of.map(|path| format!("{}: ", path.display())).unwrap_or_default();
        let lines: String = problem.lines.iter().map(|line| format!("\n  {line}")).collect();
        complain(format_args!("error: {of}{}{lines}", problem.title));
    }
    let planned = problems.iter().any(|problem| problem.title.starts_with("the pipeline: "));
    if planned { USAGE } else { FAILED }
}

fn open(folder: &Path, missing: Missing, quiet: bool) -> Result<Replay> {
    let replay = Replay::open(folder, missing, true)?;
    let manifest = &replay.recording.manifest;
    if manifest.cut && !quiet {
        complain("the recording reached its limit: rows that came after it are missing");
    }
    if manifest.ended.is_none() && !quiet {
        complain("the recording was not finished: its last rows may be missing");
    }
    Ok(replay)
}

/// What is replayed, with what the arguments say.
fn run(common: &Common, replay: &Replay, files: &[PathBuf], quiet: bool) -> (Vec<Replayed>, Vec<Problem>) {
    let files: Vec<PathBuf> = common.init.iter().chain(files).cloned().collect();
    let (results, problems, missed) = replayed(replay, &files, &common.set, &common.var);
    if missed > 0 && !quiet {
        let last = files.last().map(|f| f.display().to_string()).unwrap_or_default();
        complain(format_args!("{last}: {missed} keys that the recording has no answer for were misses"));
    }
    (results, problems)
}

fn done(shown: Result<(), Fault>, status: u8) -> Result<u8> {
    match shown {
        Ok(()) | Err(Fault::Closed) => Ok(status),
        Err(Fault::Error(e)) => Err(e),
    }
}

/// Runs files on a recording, and shows what they would have given and written.
pub(super) fn replay(
    common: &Common,
    mut output: Output,
    files: &[PathBuf],
    folder: &Path,
    missing: Missing,
) -> Result<u8> {
    if !output.verbose {
        log::set_max_level(log::LevelFilter::Off);
    }
    let replay = open(folder, missing, output.quiet)?;
    let (results, problems) = run(common, &replay, files, output.quiet);
    let several = results.len() > 1;
    let mut write = || -> Result<(), Fault> {
        for Replayed { name, rows, .. } in &results {
            if several {
                output.note(format_args!("{name}: {} rows", rows.num_rows()));
            }
            let target = output.target;
            target.table(rows, output.buffer())?;
            output.flush()?;
        }
        Ok(())
    };
    let shown = write();
    let status = if problems.is_empty() { 0 } else { show(None, &problems) };
    done(shown, status)
}

type Row = Map<String, Value>;

/// A row that differs.
#[derive(Debug, PartialEq)]
enum Change {
    Added(Row),
    Removed(Row),
    Changed { before: Row, after: Row },
}

/// What differs in a table.
#[derive(Debug, Default)]
struct Difference {
    table: String,
    changes: Vec<Change>,
    equal: usize,
    /// Why all of it differs.
    only_in: Option<&'static str>,
}

fn rows_of(replayed: Option<&Replayed>) -> Result<Vec<Row>> {
    let Some(replayed) = replayed else { return Ok(Vec::new()) };
    let row = |line: String| serde_json::from_str(&line).map_err(|e| Error::internal(e.to_string()));
    rows_as_json(&replayed.rows)?.into_iter().map(row).collect()
}

/// What stays of two lists of rows when equal rows are taken out of both, and how many these are.
fn unequal(old: Vec<Row>, new: Vec<Row>) -> (Vec<Row>, Vec<Row>, usize) {
    let text = |row: &Row| Value::Object(row.clone()).to_string();
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    new.iter().for_each(|row| *left.entry(text(row)).or_default() += 1);
    let mut equal = 0;
    let mut removed = Vec::new();
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for row in old {
        let name = text(&row);
        match left.get_mut(&name).filter(|n| **n > 0) {
            Some(n) => {
                *n -= 1;
                *taken.entry(name).or_default() += 1;
                equal += 1;
            }
            None => removed.push(row),
        }
    }
    let is_left = |row: &Row| match taken.get_mut(&text(row)).filter(|n| **n > 0) {
        Some(n) => {
            *n -= 1;
            false
        }
        None => true,
    };
    (removed, new.into_iter().filter(is_left).collect(), equal)
}

fn difference(name: &str, old: Option<&Replayed>, new: Option<&Replayed>) -> Result<Difference> {
    let only_in = match (old, new) {
        (Some(_), None) => Some("only the old version writes it"),
        (None, Some(_)) => Some("only the new version writes it"),
        _ => None,
    };
    let (removed, added, equal) = unequal(rows_of(old)?, rows_of(new)?);
    let key = match (old, new) {
        (Some(old), Some(new)) if old.key == new.key => old.key.clone(),
        _ => Vec::new(),
    };
    let mut changes = Vec::new();
    let key_of = |row: &Row| -> Option<String> {
        let values = key.iter().map(|name| row.get(name)).collect::<Option<Vec<_>>>()?;
        (!key.is_empty()).then(|| json!(values).to_string())
    };
    let mut by_key: BTreeMap<String, Row> = BTreeMap::new();
    let mut rest = Vec::new();
    for row in added {
        match key_of(&row) {
            Some(key) => drop(by_key.insert(key, row)),
            None => rest.push(row),
        }
    }
    for before in removed {
        match key_of(&before).and_then(|key| by_key.remove(&key)) {
            Some(after) => changes.push(Change::Changed { before, after }),
            None => changes.push(Change::Removed(before)),
        }
    }
    changes.extend(by_key.into_values().chain(rest).map(Change::Added));
    Ok(Difference { table: name.to_string(), changes, equal, only_in })
}

fn text(row: &Row) -> String {
    Value::Object(row.clone()).to_string()
}

impl Difference {
    fn counts(&self) -> (usize, usize, usize) {
        let count = |which: fn(&Change) -> bool| self.changes.iter().filter(|c| which(c)).count();
        (
            count(|c| matches!(c, Change::Added(_))),
            count(|c| matches!(c, Change::Removed(_))),
            count(|c| matches!(c, Change::Changed { .. })),
        )
    }

    fn lines(&self, limit: usize) -> Vec<String> {
        let (added, removed, changed) = self.counts();
        let why = self.only_in.map(|why| format!(" ({why})")).unwrap_or_default();
        let mut lines = vec![format!(
            "{}: {added} added, {removed} removed, {changed} changed, {} equal{why}",
            self.table, self.equal
        )];
        let shown = if limit == 0 { self.changes.len() } else { limit };
        for change in self.changes.iter().take(shown) {
            match change {
                Change::Added(row) => lines.push(format!("  + {}", text(row))),
                Change::Removed(row) => lines.push(format!("  - {}", text(row))),
                Change::Changed { before, after } => {
                    lines.push(format!("  - {}", text(before)));
                    lines.push(format!("  + {}", text(after)));
                    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
                    let value =
                        |row: &Row, name: &str| row.get(name).map_or("nothing".to_string(), Value::to_string);
                    let differing = names.filter(|name| before.get(*name) != after.get(*name));
                    let differing = differing
                        .map(|name| format!("{name}: {} -> {}", value(before, name), value(after, name)));
                    lines.push(format!("      {}", differing.collect::<Vec<_>>().join("; ")));
                }
            }
        }
        if self.changes.len() > shown {
            lines.push(format!("  and {} more; --limit 0 shows all", self.changes.len() - shown));
        }
        lines
    }

    fn objects(&self) -> Vec<Value> {
        let table = &self.table;
        let (added, removed, changed) = self.counts();
        let change = |change: &Change| match change {
            Change::Added(row) => json!({ "table": table, "change": "added", "row": row }),
            Change::Removed(row) => json!({ "table": table, "change": "removed", "row": row }),
            Change::Changed { before, after } => {
                json!({ "table": table, "change": "changed", "before": before, "after": after })
            }
        };
        let mut all: Vec<Value> = self.changes.iter().map(change).collect();
        all.push(json!({
            "table": table, "added": added, "removed": removed, "changed": changed, "equal": self.equal
        }));
        all
    }
}

/// Compares two versions of a pipeline on a recording.
pub(super) fn diff(common: &Common, mut output: Output, arguments: &DiffArguments) -> Result<u8> {
    let as_json = match common.output {
        None | Some(OutputFormat::Tableau) => false,
        Some(OutputFormat::Json) => true,
        Some(_) => return Err(Error::option("differences are text, or -o json")),
    };
    if !output.verbose {
        log::set_max_level(log::LevelFilter::Off);
    }
    let replay = open(&arguments.replay, arguments.replay_missing.into(), output.quiet)?;
    let mut sides = Vec::new();
    let mut status = 0;
    for file in [&arguments.old, &arguments.new] {
        let (results, problems) = run(common, &replay, std::slice::from_ref(file), output.quiet);
        if !problems.is_empty() {
            show(Some(file), &problems);
            status = USAGE;
        }
        let results: BTreeMap<String, Replayed> = results.into_iter().map(|r| (r.name.clone(), r)).collect();
        sides.push(results);
    }
    if status != 0 {
        return Ok(status);
    }
    let (Some(new), Some(old)) = (sides.pop(), sides.pop()) else {
        return Err(Error::internal("two versions are compared"));
    };
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    if names.is_empty() {
        return Err(Error::plan("neither version writes anything, or has a query"));
    }
    let mut shown = Ok(());
    for name in names {
        let difference = difference(name, old.get(name), new.get(name))?;
        if !difference.changes.is_empty() || difference.only_in.is_some() {
            status = FAILED;
        }
        let lines = match as_json {
            true => difference.objects().iter().map(Value::to_string).collect(),
            false => difference.lines(arguments.limit),
        };
        shown = lines.iter().try_for_each(|line| output.line(line));
        if shown.is_err() {
            break;
        }
    }
    done(shown, status)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row(text: &str) -> Row {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn equal_rows_are_taken_out_as_often_as_they_are() {
        let old = vec![row(r#"{"a":1}"#), row(r#"{"a":1}"#), row(r#"{"a":2}"#)];
        let new = vec![row(r#"{"a":2}"#), row(r#"{"a":1}"#), row(r#"{"a":3}"#)];
        let (removed, added, equal) = unequal(old, new);
        assert_eq!((removed, added, equal), (vec![row(r#"{"a":1}"#)], vec![row(r#"{"a":3}"#)], 2));
    }

    #[test]
    fn a_change_says_which_columns() {
        let (before, after) = (row(r#"{"id":1,"v":2,"w":3}"#), row(r#"{"id":1,"v":5,"w":3}"#));
        let of = Difference {
            table: "t".into(),
            changes: vec![Change::Changed { before, after }, Change::Added(row(r#"{"id":2}"#))],
            equal: 7,
            only_in: None,
        };
        let lines = of.lines(1);
        assert_eq!(lines[0], "t: 1 added, 0 removed, 1 changed, 7 equal");
        assert!(lines.contains(&"      v: 2 -> 5".to_string()), "{lines:?}");
        assert_eq!(lines.last().unwrap(), "  and 1 more; --limit 0 shows all");
        assert_eq!(of.objects().len(), 3);
    }
}
