//! What a test expects, beside what was found.

use super::*;

impl Run<'_> {
    pub(super) fn problem(&mut self, span: Span, title: String, lines: Vec<String>) {
        self.outcome.problems.push(Problem { line: span.start.line, title, lines });
    }

    pub(super) fn expect(&mut self, expect: &Expect, span: Span) -> Result<(), Problem> {
        let setup = self.setup;
        let wrong = |e: Error| Self::wrong(setup, &e, span);
        match expect {
            Expect::Rows { of, changes, rows } => {
                let (what, captured) = self.captured(of, span)?;
                let batch = match changes {
                    true => rows::changes(&captured),
                    false => rows::table(&captured),
                };
                let batch = batch.map_err(wrong)?;
                let what = if *changes { format!("changes of {what}") } else { format!("rows of {what}") };
                self.compare(&what, &batch, rows, *changes)
            }
            Expect::NoRows(of) => {
                let (what, captured) = self.captured(of, span)?;
                let batch = rows::table(&captured).map_err(wrong)?;
                if batch.num_rows() > 0 {
                    let lines = rows::json(&batch).map_err(wrong)?;
                    let title = format!("{what} has {} rows, none were expected", lines.len());
                    self.problem(span, title, lines.into_iter().map(|l| format!("+ {l}")).collect());
                }
                Ok(())
            }
            Expect::Count { of, calls, range } => {
                let (what, found) = self.calls(of).map_err(wrong)?;
                let count = found.len() as u64;
                if count != *calls {
                    let title = format!("{calls} calls of {what} were expected, and {count} came");
                    let lines = match found.first() {
                        Some(first) => {
                            let all = concat_batches(&first.schema(), &found);
                            rows::json(&all.map_err(|e| wrong(e.into()))?).map_err(wrong)?
                        }
                        None => Vec::new(),
                    };
                    if setup.update {
                        self.outcome.updates.push((range.clone(), count.to_string()));
                    }
                    self.problem(span, title, lines);
                }
                Ok(())
            }
            Expect::Calls { of, rows } => {
                let (what, found) = self.calls(of).map_err(wrong)?;
                let all = match (found.first(), of) {
                    (Some(first), _) => {
                        concat_batches(&first.schema(), &found).map_err(|e| wrong(e.into()))?
                    }
                    (None, Called::Http) => RecordBatch::new_empty(http::schema()),
                    (None, _) => {
                        self.problem(rows.span, format!("no call of {what} came"), Vec::new());
                        return Ok(());
                    }
                };
                // Of a request, its method and URL are what is asked for first.
                let all = match (of, rows.columns.is_empty()) {
                    (Called::Http, true) => all.project(&[0, 1]).map_err(|e| wrong(e.into()))?,
                    _ => all,
                };
                self.compare(&format!("calls of {what}"), &all, rows, false)
            }
            Expect::Error(part) => {
                let mut errors: Vec<String> = self.broken.iter().map(ToString::to_string).collect();
                if let Some(process) = &self.process {
                    errors
                        .extend(process.jobs.iter().filter_map(|job| Some(job.failed.as_ref()?.to_string())));
                }
                if errors.iter().any(|e| e.contains(&part.value)) {
                    self.expected_errors.push(part.value.clone());
                    return Ok(());
                }
                let title = match errors.is_empty() {
                    true => "an error was expected, and there is none".to_string(),
                    false => format!("no error contains '{}'", part.value),
                };
                self.expected_errors.push(String::new());
                let lines = errors.iter().flat_map(|error| error.lines().map(str::to_string)).collect();
                self.problem(span, title, lines);
                Ok(())
            }
        }
    }

    /// Compares rows, and notes what is different.
    pub(super) fn compare(
        &mut self,
        what: &str,
        found: &RecordBatch,
        expected: &ExpectedRows,
        changes: bool,
    ) -> Result<(), Problem> {
        let setup = self.setup;
        let wrong = |e: Error| Self::wrong(setup, &e, expected.span);
        let zone = self.zone();
        let all = rows::columns_of(&found.schema()).map_err(wrong)?;
        let mut names = expected.columns.clone();
        if changes && !names.is_empty() && names[0].value != OP {
            names.insert(0, crate::sql::Name { value: OP.to_string(), span: expected.span });
        }
        let columns = rows::chosen(what, &all, &names).map_err(wrong)?;
        let wanted = rows::computed(&self.stage.scratch, what, &columns, &expected.query, expected.span);
        let wanted = rows::like(&wanted.map_err(wrong)?, &columns, &zone).map_err(wrong)?;
        let found = rows::like(found, &columns, &zone).map_err(wrong)?;
        let lines = (rows::json(&wanted).map_err(wrong)?, rows::json(&found).map_err(wrong)?);
        let Some(difference) = rows::difference(&lines.0, &lines.1, expected.ordered) else { return Ok(()) };
        if setup.update {
            let text = match found.num_rows() {
                0 => format!("SELECT {} WHERE FALSE", vec!["NULL"; found.num_columns()].join(", ")),
                _ => rows::values(&found).map_err(wrong)?,
            };
            self.outcome.updates.push((expected.range.clone(), text));
        }
        self.problem(expected.span, format!("{what} are not as expected"), difference);
        Ok(())
    }

    /// Calls so far.
    pub(super) fn calls(&self, of: &Called) -> Result<(String, Vec<RecordBatch>)> {
        let Called::Table(name) = of else { return Ok(("HTTP".to_string(), self.stage.calls(""))) };
        let plain = last(name);
        let planner = self.stage.scratch.planner();
        let target = match self.table(name) {
            Ok(table) => table.name.clone(),
            Err(e) => {
                let of_model = model::key(plain);
                let function = planner.user_functions().find(plain)?;
                match function.or(planner.user_functions().find(&of_model)?) {
                    Some(function) => function.name.clone(),
                    None => return Err(e),
                }
            }
        };
        Ok((shown(&target).to_string(), self.stage.calls(&target)))
    }

    /// What was written into a table, or given by a query.
    pub(super) fn captured(&mut self, of: &Place, span: Span) -> Result<(String, Arc<Captured>), Problem> {
        let setup = self.setup;
        let wrong = |e: Error| Self::wrong(setup, &e, span);
        let name = match of {
            Place::Result(nth) => result_name(*nth),
            Place::Table(name) => match self.table(name) {
                Ok(table) => table.name.clone(),
                Err(e) => return Err(wrong(e)),
            },
            Place::Query(query) => {
                return self.ask(query, span).map(|captured| ("the query".into(), captured));
            }
        };
        let what = match of {
            Place::Result(1) => "the result".to_string(),
            Place::Result(nth) => format!("result {nth}"),
            _ => name.clone(),
        };
        if let Some(captured) = self.stage.captured(&name) {
            return Ok((what, captured));
        }
        if let Some(broken) = &self.broken
            && let Some((_, script, _)) = self.pipeline.first()
        {
            return Err(self.in_pipeline(broken, script));
        }
        let names = self.stage.captured_names();
        let shown = |name: &String| match name.strip_prefix(RESULT) {
            Some("1") => "RESULT".to_string(),
            Some(nth) => format!("RESULT {nth}"),
            None => name.clone(),
        };
        let names: Vec<String> = names.iter().filter(|n| !n.starts_with("query ")).map(shown).collect();
        let error = match (self.pipeline.is_empty(), names.is_empty()) {
            (true, _) => Error::plan("the test has no pipeline").with_hint(format!(
                "there is no {}; name one: TEST '...' WITH ('pipeline' = 'pipeline.sql')",
                beside(setup.path).display()
            )),
            (_, true) => Error::plan("the pipeline writes nothing, and has no query"),
            _ => Error::plan(match of {
                Place::Result(nth) => format!("the pipeline has no query {nth}"),
                _ => format!("the pipeline does not write {what}"),
            })
            .with_hint(format!("it gives: {}", names.join(", "))),
        };
        Err(wrong(error))
    }

    /// Runs a query of the test.
    pub(super) fn ask(
        &mut self,
        query: &sqlparser::ast::Query,
        span: Span,
    ) -> Result<Arc<Captured>, Problem> {
        let setup = self.setup;
        let wrong = |e: Error| Self::wrong(setup, &e, span);
        let stage = self.stage.clone();
        let name = format!("query {}", span.start.line);
        let Some(process) = &mut self.process else {
            return Err(wrong(Error::internal("a query without a process")));
        };
        let opened = (|| -> Result<()> {
            let handle = process.session.runtime()?.handle().clone();
            let _entered = handle.enter();
            process.session.replace_tables(|table| staged(table, &stage))?;
            stage.ask(true);
            let result = |schema: &SchemaRef| -> Arc<dyn crate::connector::Sink> {
                let make = || Captured::new(schema.clone(), Vec::new(), SinkChangelog::All);
                Arc::new(CaptureSink(stage.sink(&name, make)))
            };
            let kind = StatementKind::Query(Box::new(query.clone()));
            let planned = process.session.plan_job(&kind, result);
            let (_, outputs) = planned?;
            let run = Self::incarnate(process, &outputs, None, false)?;
            process.jobs.push(JobRun { name: "of the query".into(), outputs, run: Some(run), failed: None });
            Ok(())
        })();
        stage.ask(false);
        opened.map_err(wrong)?;
        let at = self.process.as_ref().map_or(0, |process| process.jobs.len() - 1);
        let over = move |process: &Process| {
            process.jobs.get(at).is_none_or(|job| job.run.as_ref().is_none_or(Incarnation::ended))
        };
        let done = self.pass(LAST_WAIT, over)?;
        let job = self.process.as_mut().and_then(|process| process.jobs.pop());
        if let Some(failed) = job.and_then(|job| job.failed) {
            return Err(wrong(failed));
        }
        if !done {
            return Err(wrong(
                Error::plan("the query does not end").with_hint("END; ends the input before it"),
            ));
        }
        self.stage.captured(&name).ok_or_else(|| wrong(Error::internal("a query gave nothing")))
    }
}
