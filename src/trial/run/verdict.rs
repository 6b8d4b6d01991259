//! What a test did not ask about, and what it went through.

use super::*;

impl Run<'_> {
    /// What the test did not ask about: failures, mocks that were not called, rows that nobody read.
    pub(super) fn judge(&mut self) {
        let line = self.setup.test.name.span.start.line;
        let mut told = Vec::new();
        if let Some(process) = &self.process {
            for job in &process.jobs {
                let Some(failed) = &job.failed else { continue };
                let text = failed.to_string();
                if self.expected_errors.iter().any(|part| text.contains(part)) {
                    continue;
                }
                let mut lines = text.lines().skip(1).map(str::to_string).collect::<Vec<_>>();
                lines.retain(|l| !l.is_empty());
                told.push((format!("job {} failed: {}", job.name, failed.message()), lines));
            }
        }
        for complaint in self.stage.complaints() {
            if !told.iter().any(|(title, _)| title.contains(&complaint)) {
                told.push((complaint, Vec::new()));
            }
        }
        let clean = self.outcome.problems.is_empty() && told.is_empty();
        for (title, lines) in told {
            self.outcome.problems.push(Problem { line, title, lines });
        }
        // Behind another problem, calls that are missing say nothing new.
        if !clean || self.broken.is_some() {
            return;
        }
        let rules = self.stage.rules.lock().clone();
        let missing = rules.iter().filter_map(|rule| Some((rule.line, rule.complaint(shown(&rule.target))?)));
        let mut missing: Vec<(u32, String)> = missing.collect();
        let http = self.stage.http.lock().clone();
        missing.extend(http.iter().filter_map(|rule| Some((rule.line, rule.complaint()?))));
        let common = |table: &str| {
            self.setup.common.iter().any(|s| match &s.kind {
                TestKind::Rows { insert, .. } => last(&insert.table) == table,
                _ => false,
            })
        };
        for (table, feed) in self.stage.feeds() {
            if !feed.is_read() && !common(&table) {
                missing.push((line, format!("the test has rows of '{table}', and nothing reads them")));
            }
        }
        for (line, title) in missing {
            self.outcome.problems.push(Problem { line, title, lines: Vec::new() });
        }
    }

    /// Which statements of the pipeline gave rows.
    pub(super) fn cover(&mut self) {
        let mut queries = 0;
        let parts = std::mem::take(&mut self.pipeline);
        for (path, script, statement) in
            parts.iter().flat_map(|(p, s, all)| all.iter().map(move |one| (p, s, one)))
        {
            let tables: Vec<String> = match &statement.kind {
                StatementKind::Insert(insert) => vec![last(&insert.table).to_string()],
                StatementKind::StatementSet(inserts) => {
                    inserts.iter().map(|insert| last(&insert.table).to_string()).collect()
                }
                StatementKind::CreateTable(table) if table.query.is_some() => {
                    vec![last(&table.name).to_string()]
                }
                StatementKind::Query(_) => {
                    queries += 1;
                    vec![result_name(queries)]
                }
                _ => continue,
            };
            let gave = |name: &String| {
                self.stage
                    .captured(name)
                    .is_some_and(|captured| captured.rows().iter().any(|(batch, _)| batch.num_rows() > 0))
            };
            let error = script.relocate(Error::plan("").at(statement.span));
            let line = error.span().map_or(statement.span.start.line, |s| s.start.line);
            let (path, taken) = (path.clone(), tables.iter().all(gave));
            self.outcome.covered.push(Covered { path, line, column: 0, branch: None, taken });
        }
        let Some((path, script, _)) = parts.first() else { return };
        for branch in self.branches.iter().flat_map(|branches| branches.all()) {
            let place = Span { start: branch.at, end: branch.at };
            let error = script.relocate(Error::plan("").at(place));
            let at = error.span().map_or(branch.at, |span| span.start);
            let (path, text) = (path.clone(), Some(branch.text));
            let (line, column, taken) = (at.line, at.column, branch.taken);
            self.outcome.covered.push(Covered { path, line, column, branch: text, taken });
        }
        self.pipeline = parts;
    }
}
