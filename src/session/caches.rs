//! SHOW CACHES, DESCRIBE CACHE, CLEAR CACHE, WARM CACHE and EXPLAIN LOOKUP: the lookups of a session.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use sqlparser::ast::{BinaryOperator, Expr};

use super::figures::duration_text;
use super::start::Output;
use super::{Response, Session};
use crate::catalog::{Entry, Table};
use crate::connector::SinkChangelog;
use crate::connector::blackhole::Nothing;
use crate::error::{Error, Result, Span};
use crate::lookup::client::view::CacheFigures;
use crate::lookup::{CacheConfig, LookupConfig, LookupMetrics};
use crate::plan::Planner;
use crate::sql::{CacheStatement, SourceText, SqlExpression, StatementKind, TableName};

/// Columns of a key with their values.
type Key = Vec<(String, Expr)>;

impl Session {
    pub(super) fn cache_statement(&self, statement: &CacheStatement) -> Result<Response> {
        match statement {
            CacheStatement::Show => self.show_caches(),
            CacheStatement::Describe(name) => self.describe_cache(name),
            CacheStatement::Clear { table, condition } => self.clear_cache(table, condition.as_ref()),
            CacheStatement::Warm { table, query, text, span } => self.warm_cache(table, (query, text, *span)),
            CacheStatement::ExplainLookup { table, key } => self.explain_lookup(table, key),
        }
    }

    /// Whether a statement could be executed; nothing is asked.
    pub(super) fn check_cache_statement(&self, statement: &CacheStatement) -> Result<()> {
        match statement {
            CacheStatement::Show => Ok(()),
            CacheStatement::Describe(name) => self.cached_table(name).map(drop),
            CacheStatement::Clear { table, condition } => {
                let found = self.cached_table(table)?;
                condition.as_ref().map_or(Ok(()), |condition| equalities(&found, condition).map(drop))
            }
            CacheStatement::Warm { table, query, text, span } => {
                let (table, planner) = (self.cached_table(table)?, self.planner());
                let plan = self.warming(&planner, &table, (query, text, *span))?;
                planner.result(&plan).map(drop)
            }
            CacheStatement::ExplainLookup { table, key } => {
                let (table, planner) = (self.lookup_table(table)?, self.planner());
                let key = self.named_key(&planner, &table, key)?;
                planner.key_row(&table, &key).map(drop)
            }
        }
    }

    fn lookup_table(&self, name: &TableName) -> Result<Arc<Table>> {
        match self.catalog().find_name(name)? {
            Entry::Table(table) => Ok(table.clone()),
            Entry::View(view) => {
                let what = format!("'{}' is a view, and has no cache of its own", view.name);
                Err(Error::plan(what).at(name.span()))
            }
        }
    }

    /// A table whose lookups are cached.
    fn cached_table(&self, name: &TableName) -> Result<Arc<Table>> {
        let table = self.lookup_table(name)?;
        // A query may have asked for a cache by a hint or a setting.
        if !self.lookups.of(Some(&table.name)).is_empty() {
            return Ok(table);
        }
        let config = self.state.lock().config.clone();
        let refuse = |what: &str, hint: &str| {
            Err(Error::plan(format!("table '{}' {what}", table.name)).with_hint(hint).at(name.span()))
        };
        match LookupConfig::resolve(&table, &[], &config)?.cache {
            CacheConfig::Partial(_) => Ok(table),
            CacheConfig::None => refuse(
                "has no cache",
                "set 'lookup.cache' = 'PARTIAL' on the table, or SET 'enrichment.strategy' = 'CACHED'",
            ),
            CacheConfig::Full(_) => refuse(
                "is loaded whole by each job that looks up in it",
                "DESCRIBE JOB and EXPLAIN ANALYZE show its loads; 'lookup.full-cache.reload-strategy' says when it is loaded again",
            ),
        }
    }

    /// What all caches hold, or those of a table.
    fn figures(&self, table: Option<&str>) -> Vec<CacheFigures> {
        let mut figures: Vec<_> = self.lookups.of(table).iter().filter_map(|e| e.figures()).collect();
        figures.sort_by(|a, b| (&a.table, &a.keys, &a.metadata).cmp(&(&b.table, &b.keys, &b.metadata)));
        figures
    }

    fn show_caches(&self) -> Result<Response> {
        let figures = self.figures(None);
        let (texts, numbers, ratios) = columns(&figures);
        table(vec![
            ("table name", texts(&|f| Some(f.table.clone()))),
            ("key", texts(&|f| Some(f.keys.join(", ")))),
            ("entries", numbers(&|f| f.entries)),
            ("bytes", numbers(&|f| f.bytes)),
            ("hit %", ratios()),
            ("in use by", numbers(&|f| f.users as u64)),
        ])
    }

    fn describe_cache(&self, name: &TableName) -> Result<Response> {
        let found = self.cached_table(name)?;
        let figures = self.figures(Some(&found.name));
        let (texts, numbers, ratios) = columns(&figures);
        table(vec![
            ("key", texts(&|f| Some(f.keys.join(", ")))),
            ("metadata", texts(&|f| (!f.metadata.is_empty()).then(|| f.metadata.join(", ")))),
            ("entries", numbers(&|f| f.entries)),
            ("bytes", numbers(&|f| f.bytes)),
            ("hits", numbers(&|f| f.hits)),
            ("misses", numbers(&|f| f.misses)),
            ("hit %", ratios()),
            ("stale", numbers(&|f| f.stale)),
            ("loads", numbers(&|f| f.loads)),
            ("not found", numbers(&|f| f.not_found)),
            ("errors", numbers(&|f| f.errors)),
            ("evictions", numbers(&|f| f.evictions)),
            ("age", texts(&|f| Some(duration_text(f.age)))),
            ("in use by", numbers(&|f| f.users as u64)),
        ])
    }

    fn clear_cache(&self, name: &TableName, condition: Option<&SqlExpression>) -> Result<Response> {
        let table = self.cached_table(name)?;
        let engines = self.lookups.of(Some(&table.name));
        let Some(condition) = condition else {
            let cleared: u64 = engines.iter().map(|engine| engine.clear()).sum();
            return Ok(Response::Done(format!("{cleared} {} removed", keys(cleared))));
        };
        let key = equalities(&table, condition)?;
        let row = self.planner().key_row(&table, &key).map_err(|e| e.at(condition.span))?;
        let names: Vec<String> = row.schema().fields().iter().map(|f| f.name().clone()).collect();
        let by_key = engines.iter().filter(|engine| engine.key_names() == names);
        let mut any = false;
        let mut cleared = 0;
        for engine in by_key {
            any = true;
            cleared += u64::from(engine.clear_key(&row)?);
        }
        if !any && let Some(other) = engines.first() {
            return Err(Error::plan(format!(
                "the cache of table '{}' is not asked by ({})",
                table.name,
                names.join(", ")
            ))
            .with_hint(format!("its key is ({})", other.key_names().join(", ")))
            .at(condition.span));
        }
        Ok(Response::Done(format!("{cleared} {} removed", keys(cleared))))
    }

    /// The plan that asks for all keys of a query.
    fn warming(
        &self,
        planner: &Planner,
        table: &Table,
        (query, text, span): (&sqlparser::ast::Query, &str, Span),
    ) -> Result<datafusion_expr::LogicalPlan> {
        let given: Vec<String> =
            planner.query(query)?.schema().fields().iter().map(|f| f.name().clone()).collect();
        let named = given.iter().all(|name| table.column(name).is_some());
        let columns = match named {
            true => given,
            // Without names that say it, the key in its order.
            false => planner.key_columns(table, given.len()).map_err(|e| e.at(span))?,
        };
        let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
        let list: Vec<String> = columns.iter().map(|c| quoted(c)).collect();
        let on: Vec<String> = list.iter().map(|c| format!("`$keys`.{c} = `$table`.{c}")).collect();
        let text = format!(
            "SELECT `$keys`.*, `$table`.* FROM ({text}) AS `$keys`({}) LEFT JOIN {} AS `$table` ON {}",
            list.join(", "),
            quoted(&table.name),
            on.join(" AND ")
        );
        let parsed = crate::sql::parse_script(&SourceText::new("<warm>", &text))?;
        match parsed.first().map(|statement| &statement.kind) {
            Some(StatementKind::Query(query)) => planner.shared_query(query).map_err(|e| e.at(span)),
            _ => Err(Error::internal("WARM CACHE made no query")),
        }
    }

    fn warm_cache(&self, name: &TableName, query: (&sqlparser::ast::Query, &str, Span)) -> Result<Response> {
        let table = self.cached_table(name)?;
        let planner = self.planner();
        let plan = self.warming(&planner, &table, query)?;
        let node = planner.result(&plan)?;
        if !node.properties.bounded {
            return Err(Error::plan("WARM CACHE takes a query that ends, this one does not").at(query.2));
        }
        let sink = Arc::new(Nothing(SinkChangelog::All));
        let output = Output { node, sink, id: "Sink".into(), table: None, place: None, before: true };
        let job = self.start_job(
            format!("warm-cache_{}", table.name),
            vec![output],
            false,
            Some(planner.doubts()),
        )?;
        job.result()?;
        let metrics = job.lookups.iter().map(|(_, metrics)| metrics);
        let [loads, hits, missing, errors] = metrics.fold([0; 4], |sum, m| {
            let all = [&m.keys, &m.hits, &m.not_found, &m.errors].map(LookupMetrics::get);
            std::array::from_fn(|i| sum[i] + all[i])
        });
        let mut text = format!("{loads} {} asked for", keys(loads));
        for (count, what) in [(hits, "rows known already"), (missing, "not found"), (errors, "failed")] {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        Ok(Response::Done(text))
    }

    /// The values of EXPLAIN LOOKUP with their columns.
    fn named_key(&self, planner: &Planner, table: &Table, key: &[SqlExpression]) -> Result<Key> {
        let named: Vec<_> = key.iter().filter_map(|part| equality(&part.expr)).collect();
        if named.len() == key.len() {
            for ((name, _), part) in named.iter().zip(key) {
                known_column(table, name, part.span)?;
            }
            return Ok(named);
        }
        let span = key.iter().map(|part| part.span).reduce(Span::union).unwrap_or_default();
        let columns = planner.key_columns(table, key.len()).map_err(|e| e.at(span))?;
        Ok(columns.into_iter().zip(key.iter().map(|part| part.expr.clone())).collect())
    }

    fn explain_lookup(&self, name: &TableName, key: &[SqlExpression]) -> Result<Response> {
        let table = self.lookup_table(name)?;
        let planner = self.planner();
        let key = self.named_key(&planner, &table, key)?;
        let row = planner.key_row(&table, &key).map_err(|e| e.at(name.span()))?;
        let names: Vec<String> = row.schema().fields().iter().map(|f| f.name().clone()).collect();
        let lookup = planner.table_lookup(&table, &names).map_err(|e| e.at(name.span()))?;
        if !lookup.can_ask() {
            return Err(Error::unsupported(format!("table '{}' is only loaded whole", table.name))
                .with_hint(format!("SELECT * FROM {} shows its rows", table.name))
                .at(name.span()));
        }
        // Not here: the caller's thread may belong to another runtime.
        let (sender, answer) = std::sync::mpsc::channel();
        self.runtime.handle().spawn(async move {
            let _ = sender.send(lookup.explain(row).await);
        });
        let text = answer.recv().map_err(|_| Error::internal("the lookup ended unexpectedly"))??;
        Ok(Response::Text(text))
    }
}

fn keys(count: u64) -> &'static str {
    if count == 1 { "key" } else { "keys" }
}

/// `column = value` or `value = column`.
fn equality(expr: &Expr) -> Option<(String, Expr)> {
    let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = expr else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Identifier(column), value) | (value, Expr::Identifier(column)) => {
            Some((column.value.clone(), value.clone()))
        }
        _ => None,
    }
}

fn known_column(table: &Table, name: &str, span: Span) -> Result<()> {
    if table.column(name).is_some() {
        return Ok(());
    }
    let error = Error::plan(format!("table '{}' has no column '{name}'", table.name)).at(span);
    let names = table.columns.iter().map(|c| c.name.as_str());
    Err(match crate::nearest::nearest(name, names) {
        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
        None => error,
    })
}

/// `a = 1 AND b = 2` as columns with values.
fn equalities(table: &Table, condition: &SqlExpression) -> Result<Key> {
    let mut left = vec![&condition.expr];
    let mut key = Key::new();
    while let Some(expr) = left.pop() {
        match expr {
            Expr::BinaryOp { left: a, op: BinaryOperator::And, right: b } => left.extend([b.as_ref(), a]),
            Expr::Nested(inner) => left.push(inner),
            other => {
                let Some((name, value)) = equality(other) else {
                    return Err(Error::unsupported("CLEAR CACHE takes the values of one key")
                        .with_hint("write WHERE column = value, for all key columns with AND")
                        .at(condition.span));
                };
                known_column(table, &name, condition.span)?;
                if key.iter().any(|(known, _)| *known == name) {
                    return Err(Error::plan(format!("'{name}' has two values")).at(condition.span));
                }
                key.push((name, value));
            }
        }
    }
    Ok(key)
}

fn table(columns: Vec<(&str, ArrayRef)>) -> Result<Response> {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    Ok(Response::Table(RecordBatch::try_from_iter_with_nullable(columns)?))
}

/// Makers of columns: of text, of numbers, of hits in percent.
#[allow(clippy::type_complexity, reason = "three closures over the same figures")]
fn columns(
    figures: &[CacheFigures],
) -> (
    impl Fn(&dyn Fn(&CacheFigures) -> Option<String>) -> ArrayRef + '_,
    impl Fn(&dyn Fn(&CacheFigures) -> u64) -> ArrayRef + '_,
    impl Fn() -> ArrayRef + '_,
) {
    let ratio = |f: &CacheFigures| {
        let all = f.hits + f.misses;
        (all > 0).then(|| (1000.0 * f.hits as f64 / all as f64).round() / 10.0)
    };
    (
        |get| Arc::new(figures.iter().map(get).collect::<StringArray>()),
        |get| Arc::new(figures.iter().map(|f| Some(get(f))).collect::<UInt64Array>()),
        move || Arc::new(figures.iter().map(ratio).collect::<Float64Array>()),
    )
}
