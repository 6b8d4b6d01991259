//! `affluent check`: what is wrong with scripts, without running them.

use serde_json::json;

use super::diagnostic::{self, USAGE};
use super::output::{Fault, Output};
use super::render::OutputFormat;
use super::variables::{Script, Variables};
use crate::error::{Error, Result, Span};
use crate::session::Session;
use crate::sql::{SourceText, parse_script_lossy};

/// Checks scripts one after the other; the exit status.
pub fn check(
    session: &Session,
    output: Output,
    variables: &Variables,
    sources: Vec<SourceText>,
) -> Result<u8> {
    let mut report = Report { output, errors: 0, warnings: 0 };
    let files = sources.len();
    let checked = sources.into_iter().try_for_each(|source| report.script(session, variables, source));
    match checked.and_then(|()| report.summary(files)) {
        Ok(()) | Err(Fault::Closed) => Ok(if report.errors > 0 { USAGE } else { 0 }),
        Err(Fault::Error(e)) => Err(e),
    }
}

struct Report {
    output: Output,
    errors: usize,
    warnings: usize,
}

impl Report {
    fn script(&mut self, session: &Session, variables: &Variables, source: SourceText) -> Result<(), Fault> {
        let script = match variables.expand(source.clone()) {
            Ok(script) => script,
            Err(e) => return self.error(&e, &Script::plain(source)),
        };
        for statement in parse_script_lossy(&script.expanded) {
            match statement.and_then(|s| Ok((s.span, session.check(&s)?))) {
                Ok((span, warnings)) => {
                    for warning in warnings {
                        self.warning(&warning, span, &script)?;
                    }
                }
                Err(e) => self.error(&e, &script)?,
            }
        }
        Ok(())
    }

    fn error(&mut self, error: &Error, script: &Script) -> Result<(), Fault> {
        self.errors += 1;
        if self.is_json() {
            return self.json("error", &script.relocate(error.clone()), script);
        }
        diagnostic::show(error, script, self.output.stderr_color);
        Ok(())
    }

    fn warning(&mut self, warning: &str, span: Span, script: &Script) -> Result<(), Fault> {
        self.warnings += 1;
        let place = script.relocate(Error::plan(warning).at(span));
        if self.is_json() {
            return self.json("warning", &place, script);
        }
        let line = place.span().map_or(0, |s| s.start.line);
        self.output.note(format_args!("warning: {}:{line}: {warning}", script.written.name));
        Ok(())
    }

    fn is_json(&self) -> bool {
        self.output.target.format == OutputFormat::Json
    }

    fn json(&mut self, severity: &str, error: &Error, script: &Script) -> Result<(), Fault> {
        let place = error.span().unwrap_or_default();
        let object = json!({
            "file": script.written.name,
            "line": place.start.line,
            "column": place.start.column,
            "end_line": place.end.line,
            "end_column": place.end.column,
            "severity": severity,
            "message": error.message(),
            "detail": error.detail(),
            "hint": error.hint(),
        });
        self.output.line(&object.to_string())
    }

    fn summary(&mut self, files: usize) -> Result<(), Fault> {
        if self.is_json() || self.errors > 0 {
            return Ok(());
        }
        let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let text = format!("{}: no errors, {}", plural(files, "file"), plural(self.warnings, "warning"));
        self.output.line(&text)
    }
}
