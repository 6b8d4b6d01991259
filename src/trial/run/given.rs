//! What is computed before a test runs: definitions, mocks, and the rows that it gives.

use super::*;

impl Run<'_> {
    /// Definitions, rows and mocks: everything that is computed before the test runs.
    pub(super) fn prepare(&mut self) -> Result<(), Problem> {
        let setup = self.setup;
        for statement in self.statements() {
            let TestKind::Plain(plain) = &statement.kind else { continue };
            if let Some((kind, name)) = defines(&plain.kind) {
                self.defined.insert((kind, last(name).to_ascii_lowercase()));
            }
        }
        let scratch = self.stage.scratch.clone();
        self.settings(&scratch).map_err(|e| Self::wrong(setup, &e, setup.test.name.span))?;
        self.define(&scratch, true)?;
        // What a test says is computed at once, and leaves nothing behind.
        let quiet = [("table.dml-sync", "true"), ("execution.runtime-mode", "streaming")];
        for (key, value) in quiet {
            scratch.set(key, value).map_err(|e| Self::wrong(setup, &e, setup.test.name.span))?;
        }
        let mut begun = false;
        for statement in self.statements() {
            match &statement.kind {
                TestKind::Mock(mock) => {
                    if begun {
                        let error = Error::plan("a mock belongs before the first step of its test")
                            .with_hint(
                                "it holds from the start; TIMES and the order of mocks say what changes",
                            );
                        return Err(Self::wrong(setup, &error, statement.span));
                    }
                    let wrong = |e: Error| {
                        let cause = self.incomplete.lock().take();
                        cause.unwrap_or_else(|| Self::wrong(setup, &e, statement.span))
                    };
                    self.mock(mock, statement.span).map_err(wrong)?;
                }
                TestKind::Plain(_) | TestKind::Rows { .. } => {}
                _ => begun = true,
            }
        }
        Ok(())
    }

    pub(super) fn settings(&self, session: &Session) -> Result<()> {
        let replay = self.stage.replay().filter(|replay| replay.alone);
        let zone = replay.as_ref().map_or("UTC", |replay| replay.recording.manifest.zone.as_str());
        session.set("table.local-time-zone", zone)?;
        session.set("parallelism.default", "1")?;
        let own = self.setup.set.iter().filter(|(key, _)| !is_of_jobs(key));
        own.into_iter().try_for_each(|(key, value)| session.set(key, value).map_err(|e| e.context("--set")))
    }

    /// Executes what the test and the pipeline define; of the pipeline up to its first job, the rest by the caller.
    pub(super) fn define(&self, session: &Session, scratch: bool) -> Result<(), Problem> {
        let origin = |path: &Path| std::fs::canonicalize(path).ok().map(|p| p.display().to_string());
        session.set_origin(origin(self.setup.path));
        for statement in self.statements() {
            let TestKind::Plain(plain) = &statement.kind else { continue };
            if scratch && is_elsewhere(&plain.kind) {
                continue;
            }
            session.execute(plain).map_err(|e| Self::wrong(self.setup, &e, statement.span))?;
        }
        for (path, script, statements) in &self.pipeline {
            session.set_origin(origin(path));
            if !scratch {
                continue;
            }
            for statement in statements {
                let executed = match &statement.kind {
                    kind if is_elsewhere(kind) || self.is_replaced(kind) => continue,
                    StatementKind::CreateTable(table) if table.query.is_some() => {
                        session.create_target(&statement.kind)
                    }
                    kind if is_definition(kind) => session.execute(statement).map(drop),
                    _ => continue,
                };
                // It is told where the pipeline itself is run, or where something is missing for it.
                if let Err(e) = executed {
                    let e = if e.span().is_some() { e } else { e.at(statement.span) };
                    self.incomplete.lock().get_or_insert_with(|| self.in_pipeline(&e, script));
                    break;
                }
            }
        }
        Ok(())
    }

    pub(super) fn is_replaced(&self, kind: &StatementKind) -> bool {
        defines(kind).is_some_and(|(of, name)| self.defined.contains(&(of, last(name).to_ascii_lowercase())))
    }

    /// The columns of a table that rows are given for.
    pub(super) fn columns(table: &Table) -> Vec<Wanted> {
        let column = |c: &crate::catalog::Column| {
            let (data_type, nullable) = c.declared()?;
            Some(Wanted { name: c.name.clone(), data_type: data_type.clone(), nullable })
        };
        table.columns.iter().filter_map(column).collect()
    }

    pub(super) fn table(&self, name: &TableName) -> Result<Arc<Table>> {
        match self.stage.scratch.tables().find_name(name)? {
            Entry::Table(table) => Ok(table.clone()),
            Entry::View(view) => {
                Err(Error::plan(format!("'{}' is a view, which computes its rows", view.name))
                    .at(name.span()))
            }
        }
    }

    pub(super) fn mock(&self, mock: &Mock, span: Span) -> Result<()> {
        let scratch = &self.stage.scratch;
        let line = span.start.line;
        let optional = mock.optional || self.setup.common.iter().any(|c| c.span == span);
        let (target, all, default) = match &mock.target {
            MockTarget::Http { .. } => {
                let mut rule = HttpRule::new(&self.stage, mock, line)?;
                rule.optional = optional;
                self.stage.http.lock().push(Arc::new(rule));
                return Ok(());
            }
            MockTarget::Table(name) => {
                let table = self.table(name)?;
                let given = |w: Wanted| Wanted { nullable: true, ..w };
                let all: Vec<Wanted> = Self::columns(&table).into_iter().map(given).collect();
                let physical = |c: &Wanted| {
                    table
                        .columns
                        .iter()
                        .any(|t| t.name == c.name && matches!(t.source, ColumnSource::Physical { .. }))
                };
                let default: Vec<Wanted> = all.iter().filter(|c| physical(c)).cloned().collect();
                (table.name.clone(), all, default)
            }
            MockTarget::Function { name, model: is_model } => {
                let key = if *is_model { model::key(&name.value) } else { name.value.clone() };
                let planner = scratch.planner();
                let what = if *is_model { "model" } else { "function" };
                let function = planner.user_functions().find(&key)?.ok_or_else(|| {
                    Error::plan(format!("the pipeline has no {what} '{}'", name.value)).at(name.span)
                })?;
                if !function.waits() {
                    return Err(Error::plan(format!(
                        "'{}' computes its result, it does not wait for one",
                        name.value
                    ))
                    .at(name.span)
                    .with_hint("CREATE FUNCTION in the test takes its place"));
                }
                let parameter = |p: &crate::function::user::Parameter| Wanted {
                    name: p.name.clone(),
                    data_type: p.data_type.clone(),
                    nullable: true,
                };
                let mut all: Vec<Wanted> = function.parameters.iter().map(parameter).collect();
                let result = Wanted {
                    name: "result".to_string(),
                    data_type: function.returns.computed(),
                    nullable: true,
                };
                all.push(result.clone());
                (function.name.clone(), all, vec![result])
            }
        };
        let answer = match &mock.answer {
            MockAnswer::Returns { columns, query } => {
                let of = shown(&target);
                let wanted = if columns.is_empty() { default } else { rows::chosen(of, &all, columns)? };
                Answer::Rows(rows::computed(scratch, of, &wanted, query, span)?)
            }
            MockAnswer::Misses => Answer::Misses,
            MockAnswer::Hangs => Answer::Hangs,
            MockAnswer::Fails { kind, message, retry_after } => {
                let (kind, text) = failure(&kind.value);
                let message = message.clone().unwrap_or(text);
                let retryable = kind.may_pass();
                Answer::Fails(Failure { kind, message, retry_after: *retry_after, retryable })
            }
            MockAnswer::Responds { .. } => return Err(Error::internal("a response without HTTP")),
        };
        let (times, after, when) = (mock.times, mock.after, mock.when.clone());
        let used = Default::default();
        self.stage.rules.lock().push(Arc::new(Rule {
            target,
            line,
            optional,
            when,
            times,
            after,
            answer,
            used,
        }));
        Ok(())
    }

    /// Computes the rows of an INSERT.
    pub(super) fn given(&self, statement: &TestStatement) -> Result<Option<Given>> {
        let TestKind::Rows { insert, changes } = &statement.kind else { return Ok(None) };
        let table = self.table(&insert.table)?;
        let all = Self::columns(&table);
        let virtual_column = |name: &str| {
            table.columns.iter().any(|c| {
                c.name == name && matches!(c.source, ColumnSource::Metadata { is_virtual: true, .. })
            })
        };
        let mut wanted = match insert.columns.is_empty() {
            true => all.iter().filter(|c| !virtual_column(&c.name)).cloned().collect(),
            false => rows::chosen(&format!("table '{}'", table.name), &all, &insert.columns)?,
        };
        if *changes {
            wanted.insert(0, Wanted { name: OP.to_string(), data_type: SqlType::String, nullable: false });
        }
        let batch = rows::computed(&self.stage.scratch, &table.name, &wanted, &insert.query, statement.span)?;
        let (batch, kinds) = match changes {
            true => rows::with_kinds(&batch, statement.span)?,
            false => (batch, Kinds::Append),
        };
        Ok(Some(Given { table: table.name.clone(), batch, kinds, changes: *changes }))
    }
}
