//! What of a statement Flink would refuse: for scripts that are to run on both.
//!
//! Each of these was tried on Flink 2.3. What is ours alone by its name (connectors, options, settings) is not looked
//! at: the statements that declare tables differ between any two systems.

use std::ops::ControlFlow;

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan};
use sqlparser::ast::{self, Expr as Ast, SelectItem, Spanned, TableFactor, Visitor, WindowType};

mod forms;

use super::Session;
use crate::error::{Error, Result, Span};
use crate::function::tree::{PlanTree, Tree};
use crate::plan::Node;
use crate::plan::graph::Shape;
use crate::sql::reserved::RESERVED;
use crate::sql::visit::{visit_expressions, walk};
use crate::sql::{ColumnKind, CreateTable, Insert, SourceText, Statement, StatementKind, span_from};

/// Whether a word is no name in Flink without backticks.
pub(crate) fn is_reserved(word: &str) -> bool {
    let upper = word.to_ascii_uppercase();
    RESERVED.binary_search(&upper.as_str()).is_ok()
}

/// What the message about a reserved word ends with.
const RESERVED_WORD: &str = "is a reserved word in Flink";
const LOOKUP: &str = "Flink joins with a lookup table by FOR SYSTEM_TIME AS OF alone";
const FUNCTION: &str = "Flink has functions in Java, Scala and Python alone";

/// What an export can do about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    /// The word at its place takes backticks.
    ReservedWord,
    /// Joins with lookup tables are written in another way.
    Lookup,
    /// The function goes in another way, or not at all.
    Function,
    /// Nothing.
    Refused,
}

/// What can be done about an error of [`Session::portability`].
pub(crate) fn difference(error: &Error) -> Difference {
    match error.message() {
        message if message.ends_with(RESERVED_WORD) => Difference::ReservedWord,
        LOOKUP => Difference::Lookup,
        FUNCTION => Difference::Function,
        _ => Difference::Refused,
    }
}

fn reserved(word: &str, span: Span) -> Error {
    Error::plan(format!("'{word}' {RESERVED_WORD}")).with_hint(format!("write `{word}`")).at(span)
}

impl Session {
    /// What Flink would refuse of a statement that is right here, each with its place. `source` is the text that it was
    /// read from.
    pub fn portability(&self, statement: &Statement, source: &SourceText) -> Result<Vec<Error>> {
        let mut found = Vec::new();
        let batch = self.planner().is_batch();
        match &statement.kind {
            StatementKind::Query(query) => self.query_portability(query, batch, &mut found)?,
            StatementKind::Insert(insert) => self.insert_portability(insert, batch, &mut found)?,
            StatementKind::StatementSet(inserts) => {
                inserts.iter().try_for_each(|insert| self.insert_portability(insert, batch, &mut found))?;
            }
            StatementKind::CreateView(view) => self.query_portability(&view.query, batch, &mut found)?,
            StatementKind::CreateTable(table) => {
                columns(table, source, &mut found);
                if let Some(query) = &table.query {
                    self.query_portability(query, batch, &mut found)?;
                }
            }
            StatementKind::CreateFunction(function) => {
                found.push(Error::plan(FUNCTION).at(function.name.span()));
            }
            _ => {}
        }
        for error in &mut found {
            if error.span().is_none() {
                *error = error.clone().at(statement.span);
            }
        }
        Ok(found)
    }

    fn insert_portability(&self, insert: &Insert, batch: bool, found: &mut Vec<Error>) -> Result<()> {
        if insert.overwrite && !batch {
            found.push(
                Error::plan("Flink has INSERT OVERWRITE in batch mode alone")
                    .with_hint("SET 'execution.runtime-mode' = 'batch'")
                    .at(insert.span),
            );
        }
        found.extend(forms::bare_nulls(&insert.query.body).map(|at| {
            Error::plan("Flink inserts no NULL without a type").with_hint("write CAST(NULL AS ...)").at(at)
        }));
        if let Ok(crate::catalog::Entry::Table(table)) = self.catalog().find_name(&insert.table) {
            found.extend(self.planner().narrowed_columns(insert, table)?);
        }
        self.query_portability(&insert.query, batch, found)
    }

    fn query_portability(&self, query: &ast::Query, batch: bool, found: &mut Vec<Error>) -> Result<()> {
        let mut words = Words { found, skipped: Vec::new(), batch, versions: 0 };
        let _ = walk(query, &mut words);
        let versions = words.versions;
        let planner = self.planner();
        found.extend(planner.implicit_conversions(query)?);
        for (clause, alias) in forms::named_groups(query) {
            // Without the alias there is no such name.
            if planner.query(&forms::without_alias(query, &alias)).is_err() {
                found.push(
                    Error::plan(format!("Flink knows no alias of SELECT in {clause}: '{}'", alias.value))
                        .with_hint("write the expression again")
                        .at(span_from(alias.span)),
                );
            }
        }
        let plan = planner.query(query)?;
        texts(&plan, found)?;
        if batch {
            return Ok(());
        }
        operators(&planner.result(&plan)?, versions, found);
        Ok(())
    }
}

/// Names of columns, and those in their expressions.
fn columns(table: &CreateTable, source: &SourceText, found: &mut Vec<Error>) {
    let mut words = Words { found, skipped: Vec::new(), batch: false, versions: 0 };
    for column in &table.columns {
        if let ColumnKind::Computed { expression } = &column.kind {
            let _ = walk(&expression.expr, &mut words);
        }
    }
    if let Some(watermark) = &table.watermark {
        let _ = walk(&watermark.expression.expr, &mut words);
    }
    for column in &table.columns {
        let written = source.text.get(source.range(column.name.span)).unwrap_or_default();
        if !written.starts_with('`') && is_reserved(&column.name.value) {
            found.push(reserved(&column.name.value, column.name.span));
        }
    }
}

/// What the plan has that Flink's streaming mode has not.
fn operators(node: &Node, versions: usize, found: &mut Vec<Error>) {
    let mut lookups = 0;
    node.walk(&mut |node| match (node.name, &node.shape) {
        (_, Shape::TopN { numbered: false }) => found.push(
            Error::plan("Flink has no Top-N by RANK or DENSE_RANK on a stream")
                .with_hint("ROW_NUMBER() is known"),
        ),
        ("Sort", _) => found.push(
            Error::plan("Flink sorts a stream by event time alone")
                .with_hint("add LIMIT, order by the column of WATERMARK, or use batch mode"),
        ),
        ("LookupJoin", _) => lookups += 1,
        _ => {}
    });
    if lookups > versions {
        found.push(Error::plan(LOOKUP).with_hint(
            "write JOIN t FOR SYSTEM_TIME AS OF a.proc_time, proc_time AS PROCTIME() in the table of a",
        ));
    }
}

/// Parts of a moment that are taken out of a text, and numbers compared with one.
fn texts(plan: &LogicalPlan, found: &mut Vec<Error>) -> Result<()> {
    const PARTS: &[&str] = &[
        "extract",
        "year",
        "quarter",
        "month",
        "week",
        "dayofyear",
        "dayofmonth",
        "dayofweek",
        "hour",
        "minute",
        "second",
    ];
    plan.apply_all(|node| {
        let schema = merge_schema(&node.inputs());
        node.apply_own(|expr| {
            expr.apply(|e| {
                if let Expr::ScalarFunction(call) = e
                    && PARTS.contains(&call.name().trim_start_matches('$').to_ascii_lowercase().as_str())
                    && let Some(moment) = call.args.iter().rfind(|a| !matches!(a, Expr::Literal(..)))
                    && moment.get_type(&schema).is_ok_and(|t| t.is_string())
                {
                    let shown = crate::function::arithmetic::shown_expr(moment);
                    found.push(
                        Error::plan(format!("Flink takes no parts of a text: {shown} is one"))
                            .with_hint(format!("write CAST({shown} AS TIMESTAMP(3))")),
                    );
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}

/// Walks what was written.
struct Words<'a> {
    found: &'a mut Vec<Error>,
    /// Places of words that are no names: units of time.
    skipped: Vec<Span>,
    batch: bool,
    /// FOR SYSTEM_TIME AS OF.
    versions: usize,
}

impl Words<'_> {
    fn name(&mut self, ident: &ast::Ident) {
        let span = span_from(ident.span);
        if ident.quote_style.is_none() && is_reserved(&ident.value) && !self.skipped.contains(&span) {
            self.found.push(reserved(&ident.value, span));
        }
    }

    fn alias(&mut self, alias: Option<&ast::TableAlias>) {
        let Some(alias) = alias else { return };
        self.name(&alias.name);
        alias.columns.iter().for_each(|column| self.name(&column.name));
    }
}

impl Visitor for Words<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        self.found.extend(forms::body(&query.body));
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.alias(Some(&table.alias));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<()> {
        self.found.extend(forms::select(select));
        let mut overs: Vec<String> = Vec::new();
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                self.name(alias);
            }
            if let SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) = item
                && options.opt_exclude.is_some()
            {
                self.found.push(Error::plan("Flink has no EXCLUDE").with_hint("list the columns"));
            }
            let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
                continue;
            };
            let _: ControlFlow<()> = visit_expressions(expr, |e| {
                if let Ast::Function(function) = e
                    && let Some(over) = &function.over
                {
                    let mut over = over.clone();
                    if let WindowType::WindowSpec(spec) = &mut over {
                        spec.window_frame = None;
                    }
                    overs.push(over.to_string());
                }
                ControlFlow::Continue(())
            });
        }
        overs.dedup();
        if overs.len() > 1 && !self.batch {
            self.found.push(
                Error::plan("Flink computes one OVER a SELECT on a stream")
                    .with_detail(overs.join("; "))
                    .with_hint("put the second one into a SELECT around the first"),
            );
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, alias, version, .. } => {
                self.versions += usize::from(version.is_some());
                self.alias(alias.as_ref());
                let quoted =
                    name.0.first().and_then(|p| p.as_ident()).is_some_and(|i| i.quote_style == Some('\''));
                if quoted {
                    let error = Error::plan("Flink reads no file without a declaration");
                    self.found.push(error.with_hint("CREATE TABLE it").at(span_from(name.span())));
                }
            }
            TableFactor::Derived { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::TableFunction { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::MatchRecognize { alias, .. } => self.alias(alias.as_ref()),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Ast) -> ControlFlow<()> {
        self.found.extend(forms::expression(expr));
        match expr {
            Ast::Identifier(ident) => self.name(ident),
            Ast::CompoundIdentifier(parts) => parts.iter().for_each(|part| self.name(part)),
            Ast::Function(function) => {
                let name = function.name.to_string().to_ascii_uppercase();
                if ["TIMESTAMPADD", "TIMESTAMPDIFF"].contains(&name.as_str())
                    && let ast::FunctionArguments::List(list) = &function.args
                    && let Some(unit) = list.args.first()
                {
                    self.skipped.push(span_from(unit.span()));
                }
                if let Some(over) = &function.over
                    && !self.batch
                {
                    if function.filter.is_some() {
                        self.found.push(
                            Error::plan("Flink takes no FILTER with OVER")
                                .with_hint("aggregate a CASE: SUM(CASE WHEN x > 1 THEN x END) OVER (...)")
                                .at(span_from(function.span())),
                        );
                    }
                    if let WindowType::WindowSpec(spec) = over
                        && spec.order_by.first().is_some_and(|by| by.options.asc == Some(false))
                        && !["ROW_NUMBER", "RANK", "DENSE_RANK"].contains(&name.as_str())
                    {
                        self.found.push(
                            Error::plan("Flink orders OVER ascending on a stream")
                                .at(span_from(function.span())),
                        );
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn told(sql: &str) -> Vec<String> {
        let session = Session::new().unwrap();
        let source = SourceText::new("test", sql);
        let mut found = Vec::new();
        for statement in session.parse(&source).unwrap() {
            session.check(&statement).unwrap();
            let of = session.portability(&statement, &source).unwrap();
            found.extend(of.iter().map(|e| {
                let at = e.span().unwrap_or_default().start;
                format!("{}:{} {}", at.line, at.column, e.message())
            }));
        }
        found
    }

    const T: &str = "CREATE TABLE t (id INT, s STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
WITH ('connector' = 'datagen');
";

    #[test]
    fn reserved_words_are_told_where_they_stand() {
        let found = told(&format!(
            "{T}SELECT v AS one, `value`, t.v AS `day` FROM (SELECT v, v AS value FROM t) AS t"
        ));
        assert_eq!(
            found,
            ["3:13 'one' is a reserved word in Flink", "3:61 'value' is a reserved word in Flink"]
        );
        let found = told("CREATE TABLE x (`date` INT, user INT, result INT) WITH ('connector' = 'datagen')");
        assert_eq!(
            found,
            ["1:29 'user' is a reserved word in Flink", "1:39 'result' is a reserved word in Flink"]
        );
        assert!(
            told(&format!("{T}SELECT TIMESTAMPADD(DAY, 1, ts), COUNT(*) OVER (ORDER BY ts) FROM t"))
                .is_empty()
        );
    }

    #[test]
    fn conversions_and_forms_that_flink_refuses() {
        let one = |sql: &str| {
            let found = told(&format!("{T}{sql}"));
            assert_eq!(found.len(), 1, "{sql}: {found:?}");
            found[0].clone()
        };
        assert!(one("SELECT id FROM t WHERE s = 12").contains("does not compare STRING and INT"));
        assert!(one("SELECT id FROM t WHERE ts = DATE '2024-01-01'").contains("does not compare"));
        assert!(one("SELECT CASE WHEN id > 1 THEN s ELSE 1 END AS x FROM t").contains("no common type"));
        assert!(one("SELECT s || id AS x FROM t").contains("does not join"));
        assert!(one("SELECT s AS x FROM t UNION ALL SELECT id FROM t").contains("in UNION"));
        assert!(one("SELECT id FROM t WHERE s ILIKE 'a%'").contains("no ILIKE"));
        assert!(one("SELECT ts + INTERVAL '100' HOUR AS x FROM t").contains("has 2 digits"));
        assert!(one("SELECT MEDIAN(id) AS x FROM t").contains("no aggregate MEDIAN"));
        assert!(
            one("SELECT s AS k, COUNT(*) AS n FROM t GROUP BY s HAVING n > 1").contains("in HAVING: 'n'")
        );
        assert!(one("SELECT UPPER(s) AS k, COUNT(*) AS n FROM t GROUP BY k").contains("in GROUP BY: 'k'"));
        let sink = "CREATE TABLE o (x INT) WITH ('connector' = 'blackhole');
INSERT INTO o SELECT CAST(id AS BIGINT) FROM t";
        assert!(one(sink).contains("writes no BIGINT into column 'x', which is INT"));
        for sql in [
            "SELECT id FROM t WHERE id < '12' AND ts = '2024-01-01 00:00:00' AND id IN (1, 2)",
            "SELECT COALESCE(s, 'x') AS a, CASE WHEN id = 1 THEN 1 ELSE 2.5 END AS b, GREATEST(id, 1.5) AS c FROM t",
            "SELECT s AS id2, COUNT(*) AS n FROM t GROUP BY s HAVING COUNT(*) > 1",
            "SELECT id AS s, COUNT(*) AS n FROM t GROUP BY id, s",
            "SELECT ts + INTERVAL '99' HOUR AS x, INTERVAL '100' DAY(3) AS y, (ts - ts) DAY TO SECOND AS z FROM t",
        ] {
            let found = told(&format!("{T}{sql}"));
            assert!(found.is_empty(), "{sql}: {found:?}");
        }
    }

    #[test]
    fn operators_that_flink_lacks_on_streams_are_reported() {
        let one = |sql: &str| {
            let found = told(&format!("{T}{sql}"));
            assert_eq!(found.len(), 1, "{found:?}");
            found[0].clone()
        };
        let rank =
            "SELECT * FROM (SELECT *, RANK() OVER (PARTITION BY s ORDER BY v) AS r FROM t) WHERE r <= 2";
        assert!(one(rank).contains("no Top-N by RANK"));
        assert!(
            one("SELECT SUM(v) FILTER (WHERE v > 1) OVER (ORDER BY ts) AS x FROM t")
                .contains("FILTER with OVER")
        );
        let two =
            "SELECT SUM(v) OVER (ORDER BY ts) AS a, SUM(v) OVER (PARTITION BY s ORDER BY ts) AS b FROM t";
        assert!(one(two).contains("one OVER a SELECT"));
        assert!(one("SELECT EXTRACT(YEAR FROM s) AS y FROM t").contains("no parts of a text"));
        assert!(told(&format!("{T}SELECT EXTRACT(YEAR FROM ts) AS y FROM t ORDER BY ts")).is_empty());
    }
}
