//! Test files: found, run on all cores, run again when something changes, brought up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::report::{Report, Tested, Verdict};
use super::run::{self, Outcome, Setup};
use crate::error::{Error, Result};
use crate::sql::SourceText;
use crate::sql::test_file::{TestFile, read_test_file};

/// What `affluent test` is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Test files, pipelines, folders.
    pub(crate) paths: Vec<PathBuf>,
    /// Only tests whose file or name contains this.
    pub(crate) filter: Option<String>,
    /// Expectations that are not met are replaced.
    pub(crate) update: bool,
    /// Statements and branches that rows went through are noted.
    pub(crate) coverage: bool,
    /// Tests at a time.
    pub(crate) jobs: Option<usize>,
    /// `--set`.
    pub(crate) set: Vec<(String, String)>,
    /// `--var`.
    pub(crate) var: Vec<(String, String)>,
}

/// The end of the name of a test file.
const SUFFIX: &str = ".test.sql";

/// Folders without tests of their own.
const PASSED_OVER: [&str; 2] = ["target", "node_modules"];

/// How often files are looked at while nothing changes.
const LOOK: Duration = Duration::from_millis(250);

fn is_test(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(SUFFIX))
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|e| {
        Error::option(format!("cannot read '{}'", folder.display())).with_detail(e.to_string())
    })?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry?.path());
    }
    paths.sort();
    for path in paths {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            // A link could lead around in circles.
            let real = !path.is_symlink() && !name.starts_with('.') && !PASSED_OVER.contains(&name.as_str());
            if real {
                walk(&path, found)?;
            }
        } else if is_test(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// The test files of these paths.
pub(crate) fn discover(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let here = [PathBuf::from(".")];
    let mut found = Vec::new();
    for path in if paths.is_empty() { &here } else { paths } {
        if path.is_dir() {
            let before = found.len();
            walk(path, &mut found)?;
            if found.len() == before {
                return Err(Error::option(format!("there are no tests below '{}'", path.display()))
                    .with_hint(
                        "tests of pipeline.sql stand beside it, in pipeline.test.sql; README.md shows one",
                    ));
            }
        } else if is_test(path) && path.exists() {
            found.push(path.clone());
        } else if path.exists() {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let stem = name.strip_suffix(".sql").unwrap_or(&name);
            let beside = path.with_file_name(format!("{stem}{SUFFIX}"));
            if !beside.is_file() {
                return Err(Error::option(format!("'{}' has no tests", path.display()))
                    .with_hint(format!("write them into {}", beside.display())));
            }
            found.push(beside);
        } else {
            return Err(Error::option(format!("there is no '{}'", path.display())));
        }
    }
    for path in &mut found {
        if let Ok(plain) = path.strip_prefix("./") {
            *path = plain.to_path_buf();
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|path| seen.insert(std::fs::canonicalize(path).unwrap_or_else(|_| path.clone())));
    Ok(found)
}

/// A file as it was read.
struct Loaded {
    path: PathBuf,
    source: SourceText,
    file: Result<TestFile>,
}

fn load(path: PathBuf) -> Loaded {
    match crate::console::script::read(&path) {
        Ok(source) => {
            let file = read_test_file(&source);
            Loaded { path, source, file }
        }
        Err(e) => {
            let source = SourceText::new(&path.display().to_string(), "");
            Loaded { path, source, file: Err(e) }
        }
    }
}

/// Runs all tests once.
pub(crate) fn run_once(request: &Request, report: &mut Report<'_>) -> Result<()> {
    let begun = Instant::now();
    let loaded: Vec<Loaded> = discover(&request.paths)?.into_iter().map(load).collect();
    let mut all = Vec::new();
    for (at, file) in loaded.iter().enumerate() {
        match &file.file {
            Err(e) => report.broken(&file.path, &e.render(&file.source, report.color))?,
            Ok(tests) => {
                let name = file.path.display().to_string();
                let wanted = |test: &str| {
                    request.filter.as_ref().is_none_or(|part| test.contains(part) || name.contains(part))
                };
                let tests = tests.tests.iter().enumerate();
                all.extend(tests.filter(|(_, test)| wanted(&test.name.value)).map(|(nth, _)| (at, nth)));
            }
        }
    }
    if all.is_empty() && !report.has_broken() {
        return Err(match &request.filter {
            Some(part) => Error::option(format!("no test has '{part}' in its name or that of its file")),
            None => {
                Error::option("the files have no tests").with_hint("a test begins with TEST 'what it shows';")
            }
        });
    }
    report.begin(all.len());
    let updates = run_all(request, &loaded, &all, report)?;
    for (at, mut changes) in updates {
        let file = &loaded[at];
        changes.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
        let mut text = file.source.text.to_string();
        let count = changes.len();
        for (range, new) in changes {
            text.replace_range(range, &new);
        }
        std::fs::write(&file.path, text)?;
        report.updated(&file.path, count)?;
    }
    report.end(begun.elapsed())
}

type Updates = BTreeMap<usize, Vec<(std::ops::Range<usize>, String)>>;

fn run_all(
    request: &Request,
    loaded: &[Loaded],
    all: &[(usize, usize)],
    report: &mut Report<'_>,
) -> Result<Updates> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = request.jobs.unwrap_or(cores).clamp(1, all.len().max(1));
    let next = AtomicUsize::new(0);
    let (sender, results) = std::sync::mpsc::sync_channel::<(usize, Outcome)>(256);
    let mut updates = Updates::new();
    let work = |sender: std::sync::mpsc::SyncSender<(usize, Outcome)>| loop {
        let index = next.fetch_add(1, Ordering::SeqCst);
        let Some((at, nth)) = all.get(index) else { return };
        let Loaded { path, source, file: Ok(file) } = &loaded[*at] else { return };
        let Some(test) = file.tests.get(*nth) else { return };
        let setup = Setup {
            file: source,
            path,
            common: &file.common,
            test,
            set: &request.set,
            var: &request.var,
            update: request.update,
            coverage: request.coverage,
            replay: None,
            files: &[],
        };
        if sender.send((index, run::run(&setup))).is_err() {
            return;
        }
    };
    std::thread::scope(|scope| -> Result<()> {
        for worker in 0..workers {
            let (sender, work) = (sender.clone(), &work);
            // Expressions that nest deeply are planned by functions that call themselves.
            std::thread::Builder::new()
                .name(format!("affluent-test-{worker}"))
                .stack_size(32 << 20)
                .spawn_scoped(scope, move || work(sender))?;
        }
        drop(sender);
        // Told in the order of the files, whichever is done first.
        let mut early: BTreeMap<usize, Outcome> = BTreeMap::new();
        let mut told = 0;
        for (index, outcome) in results {
            early.insert(index, outcome);
            while let Some(mut outcome) = early.remove(&told) {
                let (at, nth) = all[told];
                told += 1;
                let Ok(file) = &loaded[at].file else { continue };
                let test = &file.tests[nth];
                let changes = std::mem::take(&mut outcome.updates);
                let verdict = match (outcome.problems.is_empty(), changes.len()) {
                    (true, _) => Verdict::Passed,
                    (false, n) if n == outcome.problems.len() => Verdict::Updated,
                    _ => Verdict::Failed,
                };
                if !changes.is_empty() {
                    updates.entry(at).or_default().extend(changes);
                }
                let tested = Tested {
                    file: &loaded[at].path,
                    name: &test.name.value,
                    line: test.name.span.start.line,
                    verdict,
                    outcome,
                };
                report.tested(tested)?;
            }
        }
        Ok(())
    })?;
    Ok(updates)
}

/// What the tests depend on, as far as it lies beside them, and when it was written.
fn state(paths: &[PathBuf]) -> BTreeMap<PathBuf, SystemTime> {
    let mut folders = BTreeSet::new();
    for test in discover(paths).unwrap_or_default() {
        let folder = test.parent().map(Path::to_path_buf).unwrap_or_default();
        folders.insert(if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder });
    }
    let mut found = BTreeMap::new();
    for folder in folders {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if let Ok(meta) = entry.metadata()
                && meta.is_file()
                && let Ok(written) = meta.modified()
            {
                found.insert(entry.path(), written);
            }
        }
    }
    found
}

/// Waits until something changes.
pub(crate) fn wait_for_change(paths: &[PathBuf]) {
    let before = state(paths);
    while state(paths) == before {
        std::thread::sleep(LOOK);
    }
}
