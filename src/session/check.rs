//! Planning without running.

use sqlparser::ast::Expr;

use super::Session;
use crate::catalog::{Entry, Table};
use crate::error::Result;
use crate::plan::Node;
use crate::plan::advice::advice as warnings;
use crate::plan::graph::Body;
use crate::sql::visit::visit_expressions;
use crate::sql::{CreateTable, Insert, Statement, StatementKind};

impl Session {
    /// Plans a statement without running it; what is risky about it. Statements that define something
    /// (CREATE, SET, DROP) take effect in this session, so that what follows is checked against them.
    pub fn check(&self, statement: &Statement) -> Result<Vec<String>> {
        let checked = stacker::maybe_grow(super::STACK / 2, super::STACK, || self.check_kind(statement));
        let mut found = checked.map_err(|e| e.at(statement.span))?;
        found.extend(doubtful(&statement.kind));
        Ok(found)
    }

    /// Asks what a table that the statement made is connected to whether it can be reached and used as declared; what was
    /// found. The tables that a query reads are asked whether reading could begin.
    pub fn probe(&self, statement: &Statement) -> Result<Vec<String>> {
        let made = match &statement.kind {
            StatementKind::CreateTable(table) => table,
            StatementKind::Query(query) => {
                let planner = self.planner();
                let node = planner.result(&planner.query(query)?)?;
                return probe_sources(&[&node]).map_err(|e| e.at(statement.span));
            }
            StatementKind::Insert(insert) => {
                return self.probe_inserts(std::slice::from_ref(insert)).map_err(|e| e.at(statement.span));
            }
            StatementKind::StatementSet(inserts) => {
                return self.probe_inserts(inserts).map_err(|e| e.at(statement.span));
            }
            _ => return Ok(Vec::new()),
        };
        match self.catalog().find_name(&made.name).ok() {
            Some(Entry::Table(table)) => table
                .connector()?
                .probe(table)
                .map_err(|e| e.context(format!("table '{}'", table.name)).at(statement.span)),
            _ => Ok(Vec::new()),
        }
    }

    fn check_kind(&self, statement: &Statement) -> Result<Vec<String>> {
        match &statement.kind {
            StatementKind::Query(query) => {
                let planner = self.planner();
                let mut found = warnings(&planner.result(&planner.query(query)?)?);
                found.extend(planner.doubts());
                Ok(found)
            }
            StatementKind::Insert(insert) => self.check_inserts(std::slice::from_ref(insert)),
            StatementKind::StatementSet(inserts) => self.check_inserts(inserts),
            StatementKind::CreateTable(table) if table.query.is_some() => self.check_table_as(table),
            StatementKind::CreateTable(table) => {
                let catalog = self.catalog();
                let existed = catalog.get(&catalog.key_of(&table.name)?).is_some();
                self.execute(statement)?;
                Ok(match self.catalog().find_name(&table.name).ok() {
                    Some(Entry::Table(made)) if !existed => {
                        let mut found = idle_options(made, table);
                        // Files that cannot be read yet may be written by then.
                        found.extend(made.connector()?.examine(made).unwrap_or_default());
                        found
                    }
                    _ => Vec::new(),
                })
            }
            StatementKind::Set { key, value } => {
                self.set(&key.value, value).map_err(|e| e.at(key.span))?;
                Ok(crate::config::Config::idle(&key.value).into_iter().collect())
            }
            StatementKind::Quit | StatementKind::StopJob { .. } | StatementKind::DescribeJob(_) => {
                Ok(Vec::new())
            }
            StatementKind::Summarize(query) => self.check_summarize(query).map(|()| Vec::new()),
            StatementKind::Copy { query, .. } => {
                self.check(&Statement { kind: StatementKind::Query(query.clone()), ..statement.clone() })
            }
            // It would ask the service.
            StatementKind::Cache(about) => self.check_cache_statement(about).map(|()| Vec::new()),
            StatementKind::ExplainAnalyze { statement: analyzed, .. } => {
                self.check(&Statement { kind: (**analyzed).clone(), ..statement.clone() })
            }
            _ => self.execute(statement).map(|_| Vec::new()),
        }
    }

    fn probe_inserts(&self, inserts: &[Insert]) -> Result<Vec<String>> {
        let planned = self.plan_inserts(&self.planner(), inserts)?;
        probe_sources(&planned.iter().map(|(node, ..)| node).collect::<Vec<_>>())
    }

    fn check_inserts(&self, inserts: &[Insert]) -> Result<Vec<String>> {
        let planner = self.planner();
        let of = self.of_job(true)?;
        let mut found = Vec::new();
        for ((node, table, _), insert) in self.plan_inserts(&planner, inserts)?.into_iter().zip(inserts) {
            let node = self.output(&planner, insert, &table, node, &of)?.node;
            found.extend(overwrites_source(insert, &node, &table));
            found.extend(warnings(&node));
        }
        found.extend(planner.doubts());
        Ok(found)
    }

    /// CREATE TABLE AS: the table without its rows.
    fn check_table_as(&self, statement: &crate::sql::CreateTable) -> Result<Vec<String>> {
        let (table, insert) = self.split_table_as(statement)?;
        let catalog = self.catalog();
        let existed = catalog.get(&catalog.key_of(&table.name)?).is_some();
        self.create_table(&table)?;
        if existed { Ok(Vec::new()) } else { self.check_inserts(&[insert]) }
    }
}

/// Asks each source, once, whether reading could begin.
fn probe_sources(nodes: &[&Node]) -> Result<Vec<String>> {
    let mut sources: Vec<&std::sync::Arc<dyn crate::connector::Source>> = Vec::new();
    for node in nodes {
        node.walk(&mut |node| {
            if let Body::Source(source) = &node.body
                && !sources.iter().any(|known| std::sync::Arc::ptr_eq(known, source))
            {
                sources.push(source);
            }
        });
    }
    sources.into_iter().try_for_each(|source| source.probe())?;
    Ok(Vec::new())
}

/// What is doubtful in a query.
pub(super) fn doubtful_query(query: &sqlparser::ast::Query) -> Vec<String> {
    let mut found = Vec::new();
    null_comparisons(query, &mut found);
    found
}

/// What is doubtful in the query of an INSERT.
pub(super) fn doubtful_insert(insert: &Insert) -> Vec<String> {
    doubtful_query(&insert.query)
}

/// What SQL allows and is hardly ever meant.
fn doubtful(kind: &StatementKind) -> Vec<String> {
    let mut found = Vec::new();
    match kind {
        StatementKind::Query(query) | StatementKind::Summarize(query) => null_comparisons(query, &mut found),
        StatementKind::Insert(insert) => null_comparisons(&insert.query, &mut found),
        StatementKind::StatementSet(inserts) => {
            inserts.iter().for_each(|insert| null_comparisons(&insert.query, &mut found));
        }
        StatementKind::CreateView(view) => null_comparisons(&view.query, &mut found),
        StatementKind::CreateTable(table) => {
            if let Some(query) = &table.query {
                null_comparisons(query, &mut found);
            }
        }
        _ => {}
    }
    found
}

/// Comparisons with NULL, which are never TRUE.
fn null_comparisons(query: &sqlparser::ast::Query, found: &mut Vec<String>) {
    use sqlparser::ast::{BinaryOperator as Op, Value};
    let null = |e: &Expr| matches!(e, Expr::Value(v) if v.value == Value::Null);
    let _: std::ops::ControlFlow<()> = visit_expressions(query, |e: &Expr| {
        if let Expr::BinaryOp { left, op, right } = e
            && matches!(op, Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq)
            && (null(left) || null(right))
        {
            let other = if null(left) { right } else { left };
            let not = if *op == Op::NotEq { "NOT " } else { "" };
            found.push(format!("'{e}' is never TRUE, whatever the value is: write {other} IS {not}NULL"));
        }
        std::ops::ControlFlow::Continue(())
    });
}

/// INSERT OVERWRITE of files that the query reads.
fn overwrites_source(insert: &Insert, node: &Node, table: &Table) -> Option<String> {
    if !insert.overwrite {
        return None;
    }
    let path = table.options.text("path")?.trim_end_matches('/');
    let mut reads = false;
    node.walk(&mut |node| {
        if let Body::Source(source) = &node.body {
            let text = source.describe();
            let read = text.strip_prefix("path=").and_then(|rest| rest.split(", ").next());
            reads |= read.is_some_and(|read| read.trim_end_matches('/') == path);
        }
    });
    reads.then(|| {
        format!(
            "INSERT OVERWRITE replaces the files of '{}' that its own query reads: when the rows read are fewer than \
             the rows kept, the others are gone; write into another table",
            table.name
        )
    })
}

/// Options that the parser takes and that change nothing, and a watermark that does not advance.
fn idle_options(table: &Table, statement: &CreateTable) -> Vec<String> {
    let options = &table.options;
    let mut found = Vec::new();
    let cache = match options.text("lookup.cache").unwrap_or_default().to_ascii_uppercase().as_str() {
        // Files are looked up in whole.
        "" if table.connector().is_ok_and(|c| c.loads_whole()) => "FULL".to_string(),
        cache => cache.to_string(),
    };
    let reload = options.text("lookup.full-cache.reload-strategy").unwrap_or("PERIODIC");
    for (key, _) in options.iter() {
        let missing = match key {
            k if k.starts_with("lookup.partial-cache.") && cache == "FULL" => {
                "the whole table is kept ('lookup.cache' = 'FULL')"
            }
            k if k.starts_with("lookup.partial-cache.") && cache != "PARTIAL" => {
                "without 'lookup.cache' = 'PARTIAL' or the strategy CACHED"
            }
            k if k.starts_with("lookup.full-cache.") && cache != "FULL" => "without 'lookup.cache' = 'FULL'",
            k if k.starts_with("lookup.full-cache.timed-reload.")
                && !reload.eq_ignore_ascii_case("TIMED") =>
            {
                "without 'lookup.full-cache.reload-strategy' = 'TIMED'"
            }
            k if k.starts_with("lookup.full-cache.periodic-reload.")
                && reload.eq_ignore_ascii_case("TIMED") =>
            {
                "with 'lookup.full-cache.reload-strategy' = 'TIMED'"
            }
            _ => continue,
        };
        found.push(format!("table '{}': option '{key}' has no effect: {missing}", table.name));
    }
    if let Some(watermark) = &statement.watermark {
        let mut depends = false;
        let visited: std::ops::ControlFlow<()> = visit_expressions(&watermark.expression.expr, |e: &Expr| {
            // A function may be that of the clock.
            depends |= matches!(e, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Function(_));
            std::ops::ControlFlow::Continue(())
        });
        if visited.is_continue() && !depends {
            found.push(format!(
                "table '{}': the watermark {} never advances: it depends on no column, windows stay open",
                table.name, watermark.expression.text
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sql::SourceText;

    fn warned(sql: &str) -> Vec<String> {
        let session = Session::new().unwrap();
        let statements = session.parse(&SourceText::new("test", sql)).unwrap();
        statements.iter().flat_map(|s| session.check(s).unwrap()).collect()
    }

    const STREAMS: &str = "
        CREATE TABLE ticks (id STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
            WITH ('connector' = 'datagen', 'rows-per-second' = '1');
        CREATE TABLE tocks (id STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
            WITH ('connector' = 'datagen', 'rows-per-second' = '1');
        CREATE TABLE info (id STRING, name STRING) WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:1/{id}');";

    #[test]
    fn lookups_without_a_cache() {
        let join = "SELECT * FROM ticks t LEFT JOIN info AS i ON t.id = i.id;";
        let found = warned(&format!("{STREAMS} {join}"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("LookupJoin asks 'i' once for every row"), "{found:?}");
        assert!(warned(&format!("{STREAMS} SET 'enrichment.strategy' = 'CACHED'; {join}")).is_empty());
        let bounded = "SELECT * FROM (VALUES ('1')) AS t(id) LEFT JOIN info AS i ON t.id = i.id;";
        assert!(warned(&format!("{STREAMS} {bounded}")).is_empty(), "a bounded stream ends");
    }

    #[test]
    fn watermarks_that_stand_still() {
        let found = warned(
            "CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS CAST('2020-01-01 00:00:00' AS TIMESTAMP(3)))
             WITH ('connector' = 'datagen')",
        );
        assert!(found.len() == 1 && found[0].contains("never advances"), "{found:?}");
        let union =
            "SELECT window_start, COUNT(*) FROM TUMBLE(TABLE both, DESCRIPTOR(ts), INTERVAL '1' MINUTE)
             GROUP BY window_start, window_end;";
        let view = "CREATE VIEW both AS SELECT * FROM ticks UNION ALL SELECT * FROM tocks;";
        let found = warned(&format!("{STREAMS} {view} {union}"));
        assert!(found.len() == 1 && found[0].contains("idle-timeout"), "{found:?}");
        let set = "SET 'table.exec.source.idle-timeout' = '5 s';";
        assert!(warned(&format!("{STREAMS} {set} {view} {union}")).is_empty());
    }

    #[test]
    fn text_that_is_compared_with_a_moment() {
        let of = |condition: &str| warned(&format!("{STREAMS} SELECT * FROM ticks WHERE {condition};"));
        for (condition, says) in [
            ("id > ts", "ends the job"),
            ("ts = id", "is equal to nothing"),
            ("id IN (ts)", "is equal to nothing"),
            ("ts BETWEEN id AND id", "ends the job"),
            ("UPPER(id) <= CAST(ts AS DATE)", "a DATE"),
            ("ts = '2026-13-01'", "no row is equal to it"),
        ] {
            let found = of(condition);
            assert!(found.len() == 1 && found[0].contains(says), "{condition}: {found:?}");
        }
        for condition in [
            "ts > '2026-01-05 08:00:00'",
            "CAST(id AS TIMESTAMP(3)) > ts",
            "id > '2026'",
            "ts = '2026-01-05 08:00:00'",
        ] {
            assert!(of(condition).is_empty(), "{condition}");
        }
    }

    #[test]
    fn options_and_settings_without_effect() {
        let lookup = |options: &str| {
            warned(&format!(
                "CREATE TABLE t (id STRING) WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:1/{{id}}', {options})"
            ))
        };
        let found = lookup("'lookup.partial-cache.max-rows' = '10'");
        assert!(found.len() == 1 && found[0].contains("without 'lookup.cache' = 'PARTIAL'"), "{found:?}");
        assert!(lookup("'lookup.partial-cache.max-rows' = '10', 'lookup.cache' = 'PARTIAL'").is_empty());
        let found = lookup("'lookup.full-cache.periodic-reload.interval' = '1 min'");
        assert!(found.len() == 1 && found[0].contains("without 'lookup.cache' = 'FULL'"), "{found:?}");
        let found = warned("SET 'table.exec.mini-batch.size' = '10'; SET 'parallelism.default' = '2'");
        assert!(found.len() == 1 && found[0].contains("has no effect"), "{found:?}");
    }
}
