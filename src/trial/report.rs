//! What tests came to: for people, as JSON, as JUnit's XML.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::run::Outcome;
use crate::console::fault::Fault;
use crate::console::output::Output;
use crate::console::render::visible;
use crate::error::{Error, Result};

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    /// What it expects was replaced by what was found.
    Updated,
}

/// A test that was run.
pub(crate) struct Tested<'a> {
    pub(crate) file: &'a Path,
    pub(crate) name: &'a str,
    pub(crate) line: u32,
    pub(crate) verdict: Verdict,
    pub(crate) outcome: Outcome,
}

/// How results are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Text,
    Json,
}

/// Lines of a difference that are shown.
const SHOWN: usize = 24;

/// With more tests, those that passed are only counted.
const NAMED: usize = 60;

/// Tells what tests come to.
pub(crate) struct Report<'a> {
    output: &'a mut Output,
    style: Style,
    pub(crate) color: bool,
    /// Tests that passed are named.
    verbose: bool,
    quiet: bool,
    /// Statements that gave no rows are named.
    coverage: bool,
    all: usize,
    passed: usize,
    failed: usize,
    renewed: usize,
    broken: usize,
    mocked: Duration,
    file: PathBuf,
    /// For JUnit, if it is wanted: a file's tests.
    junit: Option<BTreeMap<PathBuf, Vec<Case>>>,
    covered: BTreeMap<(PathBuf, u32, u32, Option<String>), bool>,
    gone: bool,
}

/// A test for JUnit.
struct Case {
    name: String,
    seconds: f64,
    failure: Option<(String, String)>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(output: &'a mut Output, style: Style, junit: bool, coverage: bool) -> Self {
        Self {
            style,
            color: output.stdout_color,
            verbose: output.verbose,
            quiet: output.quiet,
            coverage,
            output,
            all: 0,
            passed: 0,
            failed: 0,
            renewed: 0,
            broken: 0,
            mocked: Duration::ZERO,
            file: PathBuf::new(),
            junit: junit.then(BTreeMap::new),
            covered: BTreeMap::new(),
            gone: false,
        }
    }

    pub(crate) fn has_broken(&self) -> bool {
        self.broken > 0
    }

    /// The exit status.
    pub(crate) fn status(&self) -> u8 {
        match (self.broken, self.failed) {
            (1.., _) => crate::console::diagnostic::USAGE,
            (0, 1..) => crate::console::diagnostic::FAILED,
            (0, 0) => 0,
        }
    }

    fn line(&mut self, text: &str) -> Result<()> {
        // Nobody reads any more; the status is still to be found out.
        if self.gone {
            return Ok(());
        }
        match self.output.line(text) {
            Ok(()) => Ok(()),
            Err(Fault::Closed) => {
                self.gone = true;
                Ok(())
            }
            Err(Fault::Error(e)) => Err(e),
        }
    }

    fn painted(&self, text: &str, code: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }

    /// So many tests follow.
    pub(crate) fn begin(&mut self, all: usize) {
        self.all = all;
        self.verbose |= all <= NAMED && !self.quiet;
    }

    /// A file that cannot be read.
    pub(crate) fn broken(&mut self, file: &Path, text: &str) -> Result<()> {
        self.broken += 1;
        if let Some(junit) = &mut self.junit {
            let failure = Some(("the file is not a test file".to_string(), text.to_string()));
            junit.entry(file.to_path_buf()).or_default().push(Case {
                name: "(the file)".to_string(),
                seconds: 0.0,
                failure,
            });
        }
        match self.style {
            Style::Text => self.line(&visible::lines(text)),
            Style::Json => self.line(
                &json!({"file": file.display().to_string(), "status": "broken", "message": text}).to_string(),
            ),
        }
    }

    /// A test was run.
    pub(crate) fn tested(&mut self, tested: Tested<'_>) -> Result<()> {
        match tested.verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed => self.failed += 1,
            Verdict::Updated => self.renewed += 1,
        }
        self.mocked += tested.outcome.mocked;
        for of in &tested.outcome.covered {
            let place = (of.path.clone(), of.line, of.column, of.branch.clone());
            *self.covered.entry(place).or_default() |= of.taken;
        }
        if let Some(junit) = &mut self.junit {
            let failure = (tested.verdict == Verdict::Failed).then(|| {
                let problems = &tested.outcome.problems;
                let text =
                    |p: &super::run::Problem| format!("line {}: {}\n{}", p.line, p.title, p.lines.join("\n"));
                let title = problems.first().map(|p| p.title.clone()).unwrap_or_default();
                (title, problems.iter().map(text).collect::<Vec<_>>().join("\n\n"))
            });
            let seconds = tested.outcome.took.as_secs_f64();
            let case = Case { name: tested.name.to_string(), seconds, failure };
            junit.entry(tested.file.to_path_buf()).or_default().push(case);
        }
        match self.style {
            Style::Json => self.tested_json(&tested),
            Style::Text => self.tested_text(&tested),
        }
    }

    fn tested_json(&mut self, tested: &Tested<'_>) -> Result<()> {
        let status = match tested.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Updated => "updated",
        };
        let problem =
            |p: &super::run::Problem| json!({"line": p.line, "message": p.title, "details": p.lines});
        let line = json!({
            "file": tested.file.display().to_string(),
            "line": tested.line,
            "test": tested.name,
            "status": status,
            "seconds": tested.outcome.took.as_secs_f64(),
            "mocked_seconds": tested.outcome.mocked.as_secs_f64(),
            "problems": tested.outcome.problems.iter().map(problem).collect::<Vec<_>>(),
        });
        self.line(&line.to_string())
    }

    fn tested_text(&mut self, tested: &Tested<'_>) -> Result<()> {
        if tested.verdict == Verdict::Passed && !self.verbose {
            return Ok(());
        }
        if self.file != tested.file {
            self.file = tested.file.to_path_buf();
            self.line(&visible::lines(&tested.file.display().to_string()))?;
        }
        let name = visible::lines(tested.name);
        let word = match tested.verdict {
            Verdict::Passed => self.painted("ok", "32"),
            Verdict::Failed => self.painted("FAILED", "1;31"),
            Verdict::Updated => self.painted("updated", "33"),
        };
        self.line(&format!("  {word} {name}"))?;
        for problem in &tested.outcome.problems {
            let place = format!("{}:{}", tested.file.display(), problem.line);
            self.line(&format!("    {place}: {}", visible::lines(&problem.title)))?;
            for line in problem.lines.iter().take(SHOWN) {
                let line = visible::lines(line);
                let line = match line.chars().next() {
                    Some('-') => self.painted(&line, "31"),
                    Some('+') => self.painted(&line, "32"),
                    _ => line,
                };
                self.line(&format!("      {line}"))?;
            }
            if let Some(more) = problem.lines.len().checked_sub(SHOWN).filter(|more| *more > 0) {
                self.line(&format!("      ... and {more} lines more (-o json has all)"))?;
            }
        }
        Ok(())
    }

    /// A file was brought up to date.
    pub(crate) fn updated(&mut self, file: &Path, count: usize) -> Result<()> {
        let what = if count == 1 { "1 expectation" } else { &format!("{count} expectations") };
        match self.style {
            Style::Text => self.line(&format!("{what} replaced in {}", file.display())),
            Style::Json => {
                self.line(&json!({"file": file.display().to_string(), "replaced": count}).to_string())
            }
        }
    }

    /// All were run.
    pub(crate) fn end(&mut self, took: Duration) -> Result<()> {
        if self.coverage {
            self.tell_coverage()?;
        }
        let (passed, failed, mocked) = (self.passed, self.failed, self.mocked.as_secs_f64());
        if self.style == Style::Json {
            let line = json!({
                "passed": passed, "failed": failed, "updated": self.renewed, "broken_files": self.broken,
                "seconds": took.as_secs_f64(), "mocked_seconds": mocked,
            });
            return self.line(&line.to_string());
        }
        if self.quiet && self.status() == 0 {
            return Ok(());
        }
        let mut text = format!("{passed} passed");
        if failed > 0 {
            let _ = write!(text, ", {failed} failed");
        }
        if self.renewed > 0 {
            let _ = write!(text, ", {} updated", self.renewed);
        }
        if self.broken > 0 {
            let _ = write!(text, ", {} not readable", if self.broken == 1 { "1 file" } else { "some files" });
        }
        let code = if self.status() == 0 { "32" } else { "1;31" };
        let text = self.painted(&text, code);
        self.line(&format!(
            "{text} in {:.2} s, {} of the tests' time",
            took.as_secs_f64(),
            spoken(self.mocked)
        ))
    }

    fn tell_coverage(&mut self) -> Result<()> {
        let count = |branches: bool| {
            let of = self.covered.iter().filter(|(place, _)| place.3.is_some() == branches);
            let of: Vec<bool> = of.map(|(_, taken)| *taken).collect();
            (of.iter().filter(|taken| **taken).count(), of.len())
        };
        let ((statements, all), (branches, all_branches)) = (count(false), count(true));
        let missing = self.covered.iter().filter(|(_, taken)| !**taken);
        let missing: Vec<(String, String)> = missing
            .map(|((path, line, _, branch), _)| {
                let what =
                    branch.as_ref().map_or_else(|| "the statement".to_string(), |text| visible::lines(text));
                (format!("{}:{line}", path.display()), what)
            })
            .collect();
        if self.style == Style::Json {
            let missing: Vec<_> = missing.iter().map(|(at, what)| json!({"at": at, "what": what})).collect();
            let line = json!({
                "statements": all, "covered": statements, "branches": all_branches, "branches_covered": branches,
                "without_rows": missing,
            });
            return self.line(&line.to_string());
        }
        self.line(&format!(
            "coverage: rows came out of {statements} of {all} statements, and through {branches} of {all_branches} branches of CASE"
        ))?;
        missing.iter().try_for_each(|(at, what)| self.line(&format!("  none: {at}: {what}")))
    }

    /// The results as JUnit has them.
    pub(crate) fn junit(&self) -> String {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
        for (file, cases) in self.junit.iter().flatten() {
            let file = xml(&file.display().to_string());
            let failures = cases.iter().filter(|case| case.failure.is_some()).count();
            let seconds: f64 = cases.iter().map(|case| case.seconds).sum();
            let _ = writeln!(
                text,
                "  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{failures}\" time=\"{seconds:.3}\">",
                cases.len()
            );
            for Case { name, seconds, failure } in cases {
                let name = xml(name);
                let _ =
                    write!(text, "    <testcase classname=\"{file}\" name=\"{name}\" time=\"{seconds:.3}\"");
                match failure {
                    None => text.push_str("/>\n"),
                    Some((title, body)) => {
                        let (title, body) = (xml(title), xml(body));
                        let _ = writeln!(
                            text,
                            ">\n      <failure message=\"{title}\">{body}</failure>\n    </testcase>"
                        );
                    }
                }
            }
            text.push_str("  </testsuite>\n");
        }
        text.push_str("</testsuites>\n");
        text
    }

    /// Writes them to a file.
    pub(crate) fn write_junit(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.junit())
            .map_err(|e| Error::io(format!("cannot write '{}'", path.display())).with_detail(e.to_string()))
    }
}

/// Text inside of XML: what XML cannot hold is a question mark.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

/// A duration for people.
fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
