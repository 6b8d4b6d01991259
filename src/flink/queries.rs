//! Queries: joins with lookup tables, functions, and what else Flink writes in another way.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

use sqlparser::ast::{
    Expr, Function, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, Spanned, TableAlias, TableFactor, TableVersion, Visitor,
};
use sqlparser::tokenizer::Token;

use super::edit::Piece;
use super::export::{Note, NoteKind, Work};
use super::options;
use super::target::Version;
use crate::catalog::{ColumnSource, Entry, Table};
use crate::error::{Result, Span};
use crate::session::portable::is_reserved;
use crate::sql::visit::walk;
use crate::sql::{Class, Name, Reading, StatementKind, TableHints, TableName, lex, span_from, take_hints};

/// Tables whose columns must stay as they are: a `SELECT *`, or a table function, reads them all, and no lookup join
/// stands beside it.
pub(super) fn kept_as_they_are(readings: &[Reading]) -> BTreeSet<String> {
    let mut connectors: BTreeMap<String, String> = BTreeMap::new();
    for reading in readings {
        if let Ok(statement) = &reading.parsed
            && let StatementKind::CreateTable(table) = &statement.kind
            && let Some(name) = table.name.parts.last()
        {
            let connector = table.options.iter().find(|o| o.key.value == "connector");
            connectors
                .insert(name.value.clone(), connector.map_or_else(String::new, |c| c.value.value.clone()));
        }
    }
    let mut kept = BTreeSet::new();
    for reading in readings {
        let Ok(statement) = &reading.parsed else { continue };
        let mut seen = Seen::default();
        match &statement.kind {
            StatementKind::CreateTable(table) => {
                kept.extend(
                    table.like.iter().filter_map(|like| Some(like.table.parts.last()?.value.clone())),
                );
                table.query.iter().for_each(|query| seen.look(query));
            }
            StatementKind::CreateView(view) => seen.look(&view.query),
            StatementKind::Query(query) => seen.look(query),
            StatementKind::Insert(insert) => seen.look(&insert.query),
            StatementKind::StatementSet(inserts) => {
                inserts.iter().for_each(|insert| seen.look(&insert.query))
            }
            _ => {}
        }
        for select in &seen.selects {
            let all = |item: &SelectItem| {
                matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
            };
            let names: Vec<String> = select
                .from
                .iter()
                .flat_map(|f| std::iter::once(&f.relation).chain(f.joins.iter().map(|j| &j.relation)))
                .filter_map(last_name)
                .collect();
            let looks_up = names
                .iter()
                .skip(1)
                .any(|n| connectors.get(n).is_some_and(|c| ["http", "jdbc"].contains(&c.as_str())));
            if select.projection.iter().any(all) && !looks_up {
                kept.extend(names);
            }
        }
    }
    kept
}

fn last_name(factor: &TableFactor) -> Option<String> {
    let TableFactor::Table { name, .. } = factor else { return None };
    let mut name = name.clone();
    take_hints(&mut name).ok()?;
    name.0.last()?.as_ident().map(|i| i.value.clone())
}

/// A name for the column of processing time that the text does not have.
pub(super) fn free_name(text: &str) -> &'static str {
    let words: BTreeSet<String> = lex(text)
        .into_iter()
        .filter_map(|l| match l.token {
            Token::Word(w) => Some(w.value.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    ["proc_time", "lookup_time", "asked_at", "proc_time_of_lookup"]
        .into_iter()
        .find(|name| !words.contains(*name))
        .unwrap_or("proc_time_of_this_lookup")
}

/// What a query consists of.
#[derive(Default)]
struct Seen {
    selects: Vec<Select>,
    functions: Vec<Function>,
    factors: Vec<TableFactor>,
    common: Vec<String>,
}

impl Seen {
    fn look(&mut self, query: &Query) {
        let _ = walk(query, self);
    }
}

impl Visitor for Seen {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.common.extend(tables.map(|table| table.alias.name.value.clone()));
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.selects.push(select.clone());
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        self.factors.push(factor.clone());
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            self.functions.push(function.clone());
        }
        ControlFlow::Continue(())
    }
}

/// What a name in FROM is.
enum Meaning {
    Table(std::sync::Arc<Table>),
    Other,
}

impl Work<'_> {
    /// Translates a query.
    pub fn query(&mut self, query: &Query) -> Result<()> {
        let mut seen = Seen::default();
        let _ = walk(query, &mut seen);
        for function in &seen.functions {
            self.call(function);
        }
        for factor in &seen.factors {
            self.factor(factor, &seen.common);
        }
        for select in &seen.selects {
            self.joins(select, &seen.common)?;
        }
        Ok(())
    }

    /// Calls in an expression of a table.
    pub fn calls_in(&mut self, expr: &Expr) {
        let mut seen = Seen::default();
        let _ = walk(expr, &mut seen);
        seen.functions.iter().for_each(|function| self.call(function));
    }

    /// Functions in FROM, and names that take backticks.
    fn factor(&mut self, factor: &TableFactor, common: &[String]) {
        match factor {
            TableFactor::Table { name, args: None, .. } => self.object(name),
            TableFactor::Table { name, .. } | TableFactor::Function { name, .. } => {
                let Some(ident) = name.0.last().and_then(|p| p.as_ident()) else { return };
                let span = span_from(ident.span);
                let upper = ident.value.to_ascii_uppercase();
                let (version, what) = match upper.as_str() {
                    "TO_CHANGELOG" | "FROM_CHANGELOG" => (Some(Version::V2_3), upper.as_str()),
                    "ML_PREDICT" => (Some(Version::V2_1), "ML_PREDICT"),
                    "SNAPSHOT" => {
                        self.refuse(
                            format!("Flink {} has no LATERAL SNAPSHOT", self.request.target.version),
                            "it comes with Flink 2.4; a table with versions is joined by FOR SYSTEM_TIME AS OF a row time",
                            span,
                        );
                        return;
                    }
                    _ => (None, ""),
                };
                if let Some((text, hint)) = version.and_then(|v| self.request.target.since(v, what)) {
                    self.refuse(text, hint, span);
                }
                if let Meaning::Table(table) = self.meaning(name, common)
                    && matches!(factor, TableFactor::Function { .. })
                    && table.connector().is_ok_and(|c| c.is_lookup(&table.options))
                {
                    self.refuse(
                        format!("'{}' is a table, and Flink calls functions alone", ident.value),
                        format!("write JOIN {0} ON a.x = {0}.key", ident.value),
                        span,
                    );
                    return;
                }
                self.called(&ident.value, span, true);
            }
            _ => {}
        }
    }

    /// Backticks around the parts of a table's name.
    fn object(&mut self, name: &ObjectName) {
        let names = |p: &sqlparser::ast::ObjectNamePart| {
            let ident = p.as_ident().filter(|i| i.quote_style.is_none())?;
            Some(Name { value: ident.value.clone(), span: span_from(ident.span) })
        };
        let names: Vec<Name> = name.0.iter().filter_map(names).collect();
        self.names(&names);
    }

    fn meaning(&self, name: &ObjectName, common: &[String]) -> Meaning {
        let mut name = name.clone();
        if take_hints(&mut name).is_err() {
            return Meaning::Other;
        }
        let part = |p: &sqlparser::ast::ObjectNamePart| {
            let ident = p.as_ident()?;
            Some(Name { value: ident.value.clone(), span: span_from(ident.span) })
        };
        let Some(parts) = name.0.iter().map(part).collect::<Option<Vec<_>>>() else { return Meaning::Other };
        if let [only] = parts.as_slice()
            && common.contains(&only.value)
        {
            return Meaning::Other;
        }
        match self.session.catalog().find_name(&TableName { parts }) {
            Ok(Entry::Table(table)) => Meaning::Table(table.clone()),
            _ => Meaning::Other,
        }
    }

    /// Joins with lookup tables in the FROM of a SELECT.
    fn joins(&mut self, select: &Select, common: &[String]) -> Result<()> {
        for (index, from) in select.from.iter().enumerate() {
            if let TableFactor::Table { name, args: None, .. } = &from.relation
                && let Meaning::Table(table) = self.meaning(name, common)
                && let Ok(connector) = table.connector()
            {
                let span = span_from(name.span());
                if index > 0 && connector.joins_by_lookup() {
                    let hint = format!("write JOIN {} ON ...", table.plain());
                    self.refuse("Flink joins with a lookup table by JOIN alone", hint, span);
                } else if connector.name() == "http" {
                    let text = format!(
                        "'{}' is looked up in by Flink, and cannot be read as a whole",
                        table.plain()
                    );
                    self.refuse(
                        text,
                        "write the rows to a topic or a file by affluent run, and read those",
                        span,
                    );
                }
            }
            let mut probe: Option<String> = None;
            for join in &from.joins {
                let TableFactor::Table { name, alias, version, args: None, .. } = &join.relation else {
                    continue;
                };
                let Meaning::Table(table) = self.meaning(name, common) else { continue };
                let Ok(connector) = table.connector() else { continue };
                if !connector.is_lookup(&table.options) {
                    continue;
                }
                let span = span_from(name.span());
                let hints = take_hints(&mut name.clone())?;
                let is_file = connector.name() == "filesystem";
                let constraint = constraint(&join.join_operator);
                let looks_up = version.is_some()
                    || !hints.lookup.is_empty()
                    || connector.joins_by_lookup()
                    || (constraint.is_some_and(has_equality) && table.watermark.is_none());
                if !looks_up {
                    continue;
                }
                if is_file {
                    self.file_join(&table, name, version.as_ref(), &hints, &join.join_operator);
                    continue;
                }
                if constraint.is_none() {
                    self.refuse(
                        "Flink looks up by JOIN and LEFT JOIN with ON alone",
                        "write JOIN t ON a.x = t.key, or LEFT JOIN",
                        span,
                    );
                    continue;
                }
                self.lookup_options(&table, name, &hints);
                if version.as_ref().is_some_and(|v| !is_call(v)) {
                    continue;
                }
                if version.is_some() {
                    self.refuse(
                        "Flink takes a column after FOR SYSTEM_TIME AS OF, and no call of PROCTIME()",
                        "leave FOR SYSTEM_TIME AS OF out here: the export writes it",
                        span,
                    );
                    continue;
                }
                if probe.is_none() {
                    probe = self.probe(select, &from.relation, common)?;
                }
                let Some(qualifier) = &probe else { continue };
                let Some(end) = self.end_of_name(name) else { continue };
                let text = format!(" FOR SYSTEM_TIME AS OF {qualifier}");
                let at = self.bytes(end..end).start;
                self.edits.insert(at, text);
                let shown =
                    alias.as_ref().map_or_else(|| table.plain().to_string(), |a| a.name.value.clone());
                self.how(format!(
                    "the join with '{shown}' is a lookup join: FOR SYSTEM_TIME AS OF {qualifier}"
                ));
            }
        }
        Ok(())
    }

    /// A file on the right of a join: Flink reads it as a stream.
    fn file_join(
        &mut self,
        table: &Table,
        name: &ObjectName,
        version: Option<&TableVersion>,
        hints: &TableHints,
        join: &JoinOperator,
    ) {
        let span = span_from(name.span());
        let plain = table.plain();
        if !hints.lookup.is_empty() {
            self.refuse(
                format!("'{plain}' is a file, and Flink looks up in none: the LOOKUP hint is for nothing"),
                "leave the hint out: the file is joined as a stream",
                span,
            );
            return;
        }
        if version.is_some() {
            let from = self.end_of_name(name);
            let to = from.and_then(|from| self.end_of_version(from));
            match (from, to) {
                (Some(from), Some(to)) => {
                    let range = self.bytes(from..to);
                    self.edits.replace(range, "");
                    self.how(format!(
                        "'{plain}' is a file, and Flink looks up in none: FOR SYSTEM_TIME AS OF goes"
                    ));
                }
                _ => self.refuse(
                    format!("'{plain}' is a file, and Flink looks up in none"),
                    "leave FOR SYSTEM_TIME AS OF out",
                    span,
                ),
            }
        }
        let left = matches!(join, JoinOperator::Left(_) | JoinOperator::LeftOuter(_));
        let changes = if left {
            "; a row without a match is emitted with NULLs, and retracted when it comes"
        } else {
            ""
        };
        self.lost_at(
            format!(
                "'{plain}' is joined as a stream: both sides are state for ever ('table.exec.state.ttl' bounds it), and a line \
                 that changes is another row{changes}"
            ),
            span,
        );
    }

    fn lost_at(&mut self, text: String, span: Span) {
        self.note(NoteKind::Lost, text, None, span);
    }

    /// The OPTIONS hint of a lookup table, with what the strategy asks for.
    fn lookup_options(&mut self, table: &Table, name: &ObjectName, hints: &TableHints) {
        let is_http = table.connector().is_ok_and(|c| c.name() == "http");
        let mut wanted: Vec<(String, String)> = Vec::new();
        let declared =
            |key: &str| table.options.contains(key) || hints.options.iter().any(|o| o.key.value == key);
        match self.strategy.as_deref().map(str::to_ascii_uppercase).as_deref() {
            Some("SYNC") if is_http => wanted.push(("asyncPolling".into(), "'false'".into())),
            Some("ASYNC") if declared("lookup.cache") => {
                wanted.push(("lookup.cache".into(), "'NONE'".into()))
            }
            Some("CACHED") if !declared("lookup.cache") => {
                wanted.push(("lookup.cache".into(), "'PARTIAL'".into()));
                if !declared("lookup.partial-cache.max-rows") {
                    wanted.push(("lookup.partial-cache.max-rows".into(), "'100000'".into()));
                }
                if !declared("lookup.partial-cache.expire-after-write") {
                    wanted.push(("lookup.partial-cache.expire-after-write".into(), "'60 s'".into()));
                }
            }
            _ => {}
        }
        if let (Some(strategy), false) = (&self.strategy, wanted.is_empty()) {
            self.how(format!("'enrichment.strategy' = '{strategy}' becomes options of the lookup"));
        }
        if !hints.options.is_empty() {
            let entries: Vec<options::Entry> = hints.options.iter().map(|o| self.entry(o)).collect();
            let mapped = options::map(table, &entries, self.request, true);
            self.take_notes(mapped.notes);
            for (key, value) in mapped.options {
                // Defaults of ours stand in the table's own options.
                if entries.iter().any(|e| key.ends_with(&e.key)) && !wanted.iter().any(|(k, _)| *k == key) {
                    wanted.push((key, value));
                }
            }
        }
        if wanted.is_empty() && hints.options.is_empty() {
            return;
        }
        let Some(index) = self.last_of_name(name) else { return };
        let end = self.lexemes[index].range.end;
        let list: Vec<String> = wanted.iter().map(|(k, v)| format!("'{k}' = {v}")).collect();
        let text = format!("/*+ OPTIONS({}) */", list.join(", "));
        match self.lexemes.get(index + 1).filter(|l| l.class == Class::Hint) {
            Some(hint) => {
                let range = self.bytes(hint.range.clone());
                self.edits.replace(range, if wanted.is_empty() { String::new() } else { text });
            }
            None => {
                let at = self.bytes(end..end).start;
                self.edits.insert(at, format!(" {text}"));
            }
        }
    }

    /// Gives the left side a column of processing time: how it is written in the query.
    fn probe(&mut self, select: &Select, left: &TableFactor, common: &[String]) -> Result<Option<String>> {
        let span = span_from(left.span());
        let (alias, meaning) = match left {
            TableFactor::Table { name, alias, args: None, .. } => (alias.clone(), self.meaning(name, common)),
            TableFactor::Table { alias, .. }
            | TableFactor::Derived { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::TableFunction { alias, .. } => (alias.clone(), Meaning::Other),
            _ => {
                self.refuse(
                    "the left side of the lookup join is no table, view or subquery",
                    "make a view of it",
                    span,
                );
                return Ok(None);
            }
        };
        let named = match (&alias, left) {
            (Some(alias), _) => Some(alias.name.clone()),
            (None, TableFactor::Table { name, args: None, .. }) => {
                let mut name = name.clone();
                take_hints(&mut name)?;
                name.0.last().and_then(|p| p.as_ident()).cloned()
            }
            _ => None,
        };
        let Some(named) = named else {
            self.refuse("the left side of the lookup join has no name", "give it one: FROM (...) AS a", span);
            return Ok(None);
        };
        let qualifier = match named.quote_style.is_none() && is_reserved(&named.value) {
            true => format!("`{}`", named.value),
            false => named.to_string(),
        };
        if let Meaning::Table(table) = &meaning {
            // The table may have one already.
            let own = table.columns.iter().find(|c| match &c.source {
                ColumnSource::Computed(e) => {
                    e.text.replace([' ', '\n'], "").eq_ignore_ascii_case("PROCTIME()")
                }
                _ => false,
            });
            if let Some(own) = own {
                let name = if is_reserved(&own.name) { format!("`{}`", own.name) } else { own.name.clone() };
                return Ok(Some(format!("{qualifier}.{name}")));
            }
        }
        let columns = match self.columns_of(left, &meaning) {
            Ok(columns) => columns,
            Err(_) if !self.has_wildcard(select, &named.value) => Vec::new(),
            Err(_) => {
                self.refuse(
                    "the columns of * of the left side are not known before it is planned as a whole",
                    "list the columns",
                    span,
                );
                return Ok(None);
            }
        };
        let proc_time = self.proc_time;
        let declared = match &meaning {
            Meaning::Table(table) if !self.kept.contains(table.plain()) => {
                self.declared.get(table.plain()).cloned().map(|d| (table.plain().to_string(), d))
            }
            _ => None,
        };
        match declared {
            Some((name, declared)) => {
                if !declared.has_proc_time {
                    let separator = if declared.lines { ",\n  " } else { ", " };
                    let at = self.bytes(declared.end..declared.end).start;
                    self.edits.insert(at, format!("{separator}{proc_time} AS PROCTIME()"));
                    if let Some(d) = self.declared.get_mut(&name) {
                        d.has_proc_time = true;
                    }
                    if let Some(part) = self.parts.get_mut(declared.part) {
                        let text =
                            format!("it gets a column {proc_time} AS PROCTIME(), which lookup joins ask by");
                        let span = part.span;
                        part.notes.push(Note { kind: NoteKind::How, text, hint: None, span });
                    }
                }
            }
            None => {
                let Some(range) = self.factor_range(left, alias.as_ref()) else {
                    self.refuse(
                        "the left side of the lookup join is written in a form that is not known",
                        "make a view of it",
                        span,
                    );
                    return Ok(None);
                };
                let range = self.bytes(range);
                let mut pieces = vec![
                    Piece::Text(format!("(SELECT *, PROCTIME() AS {proc_time} FROM ")),
                    Piece::Source(range.clone()),
                    Piece::Text(")".to_string()),
                ];
                if alias.is_none() {
                    pieces.push(Piece::Text(format!(" AS {qualifier}")));
                }
                self.edits.build(range, pieces);
                self.how(format!("the left side gets a column {proc_time} by a SELECT around it"));
            }
        }
        self.spell_wildcards(select, &named.value, &qualifier, &columns);
        Ok(Some(format!("{qualifier}.{proc_time}")))
    }

    /// Names of the columns of the left side.
    fn columns_of(&self, left: &TableFactor, meaning: &Meaning) -> Result<Vec<String>> {
        let planner = self.session.planner();
        Ok(match (meaning, left) {
            (Meaning::Table(table), _) => table.columns.iter().map(|c| c.name.clone()).collect(),
            (_, TableFactor::Derived { subquery, .. }) => {
                planner.query(subquery)?.schema().fields().iter().map(|f| f.name().clone()).collect()
            }
            (_, TableFactor::Table { name, args: None, .. }) => {
                let mut name = name.clone();
                take_hints(&mut name)?;
                let parts: Vec<Name> = name
                    .0
                    .iter()
                    .filter_map(|p| p.as_ident())
                    .map(|i| Name { value: i.value.clone(), span: Span::default() })
                    .collect();
                match self.session.catalog().find_name(&TableName { parts })? {
                    Entry::View(view) => {
                        planner.view_schema(view)?.fields().iter().map(|f| f.name().clone()).collect()
                    }
                    Entry::Table(table) => table.columns.iter().map(|c| c.name.clone()).collect(),
                }
            }
            _ => return Err(crate::error::Error::plan("columns of a function")),
        })
    }

    fn has_wildcard(&self, select: &Select, name: &str) -> bool {
        select.projection.iter().any(|item| match item {
            SelectItem::Wildcard(_) => true,
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(of), _) => {
                of.0.last().and_then(|p| p.as_ident()).is_some_and(|i| i.value == name)
            }
            _ => false,
        })
    }

    /// Lists the columns of the left side where `*` and `t.*` stand, so that the new one is not among them.
    fn spell_wildcards(&mut self, select: &Select, name: &str, qualifier: &str, columns: &[String]) {
        let quoted = |c: &String| {
            let plain = !is_reserved(c) && c.chars().all(|c| c.is_alphanumeric() || c == '_');
            let plain = plain && !c.starts_with(|c: char| c.is_ascii_digit());
            format!("{qualifier}.{}", if plain { c.clone() } else { format!("`{}`", c.replace('`', "``")) })
        };
        let own = columns.iter().map(quoted).collect::<Vec<_>>().join(", ");
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(wildcard) => {
                    let span = span_from(wildcard.wildcard_token.0.span);
                    let others = select.from.iter().flat_map(|f| {
                        std::iter::once(&f.relation).chain(f.joins.iter().map(|j| &j.relation))
                    });
                    let others: Vec<Option<String>> = others.skip(1).map(shown_name).collect();
                    let Some(others) = others.into_iter().collect::<Option<Vec<_>>>() else {
                        self.refuse("* with a table that has no name", "list the columns", span);
                        continue;
                    };
                    let all = std::iter::once(own.clone()).chain(others.iter().map(|o| format!("{o}.*")));
                    let text = all.collect::<Vec<_>>().join(", ");
                    let range = self.script.expanded.range(span);
                    let range = self.bytes(range);
                    self.edits.replace(range, text);
                    self.how("* is spelled out, so that the column of processing time is not among them");
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(of), _) => {
                    let Some(ident) = of.0.last().and_then(|p| p.as_ident()).filter(|i| i.value == name)
                    else {
                        continue;
                    };
                    let range = self.script.expanded.range(span_from(ident.span));
                    let at = self.lexemes.iter().position(|l| l.range.start == range.start);
                    let Some(star) = at.and_then(|at| self.lexemes.get(at + 2)).filter(|l| l.is(&Token::Mul))
                    else {
                        continue;
                    };
                    let range = self.bytes(range.start..star.range.end);
                    self.edits.replace(range, own.clone());
                    self.how(format!(
                        "{name}.* is spelled out, so that the column of processing time is not among them"
                    ));
                }
                _ => {}
            }
        }
    }

    /// The lexeme of the last part of a name.
    fn last_of_name(&self, name: &ObjectName) -> Option<usize> {
        let mut name = name.clone();
        take_hints(&mut name).ok()?;
        let ident = name.0.last()?.as_ident()?;
        let start = self.script.expanded.range(span_from(ident.span)).start;
        self.lexemes.iter().position(|l| l.range.start == start)
    }

    /// The byte behind a name and its hint.
    fn end_of_name(&self, name: &ObjectName) -> Option<usize> {
        let index = self.last_of_name(name)?;
        let hint = self.lexemes.get(index + 1).filter(|l| l.class == Class::Hint);
        Some(hint.unwrap_or(&self.lexemes[index]).range.end)
    }

    /// The byte behind FOR SYSTEM_TIME AS OF a.b that begins at this byte.
    fn end_of_version(&self, from: usize) -> Option<usize> {
        let first = self.lexemes.iter().position(|l| l.range.start >= from)?;
        let words = ["FOR", "SYSTEM_TIME", "AS", "OF"];
        if !words.iter().enumerate().all(|(i, w)| self.lexemes.get(first + i).is_some_and(|l| l.is_word(w))) {
            return None;
        }
        let mut last = first + 4;
        while self.lexemes.get(last + 1).is_some_and(|l| l.is(&Token::Period)) {
            last += 2;
        }
        if self.lexemes.get(last + 1).is_some_and(|l| l.is(&Token::LParen)) {
            last = self.closing(last + 1)?;
        }
        Some(self.lexemes.get(last)?.range.end)
    }

    /// The parenthesis that closes one.
    pub fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0usize;
        for (index, lexeme) in self.lexemes.iter().enumerate().skip(open) {
            match &lexeme.token {
                Token::LParen if lexeme.class == Class::Symbol => depth += 1,
                Token::RParen if lexeme.class == Class::Symbol => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Some(index);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// The bytes of a factor of FROM without its alias.
    fn factor_range(&self, factor: &TableFactor, alias: Option<&TableAlias>) -> Option<Range<usize>> {
        if let (TableFactor::Table { name, args: None, .. }, None) = (factor, alias) {
            let first = name.0.first()?.as_ident()?;
            let start = self.script.expanded.range(span_from(first.span)).start;
            return Some(start..self.end_of_name(name)?);
        }
        let start = self.script.expanded.range(span_from(alias?.name.span)).start;
        let mut last = self.lexemes.iter().position(|l| l.range.start == start)?.checked_sub(1)?;
        if self.lexemes.get(last)?.is_word("AS") {
            last = last.checked_sub(1)?;
        }
        let end = self.lexemes.get(last)?.range.end;
        if let TableFactor::Table { name, args: None, .. } = factor {
            let first = name.0.first()?.as_ident()?;
            return Some(self.script.expanded.range(span_from(first.span)).start..end);
        }
        // Back to the parenthesis that this one closes, and the function in front of it.
        let mut depth = 0usize;
        let mut at = last;
        loop {
            let lexeme = self.lexemes.get(at)?;
            if lexeme.is(&Token::RParen) {
                depth += 1;
            } else if lexeme.is(&Token::LParen) {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            at = at.checked_sub(1)?;
        }
        while let Some(before) = at.checked_sub(1)
            && let Some(word) = self.lexemes[before].word()
            && !["FROM", "JOIN"].iter().any(|w| word.eq_ignore_ascii_case(w))
        {
            at = before;
        }
        Some(self.lexemes[at].range.start..end)
    }
}

fn shown_name(factor: &TableFactor) -> Option<String> {
    let alias = match factor {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::TableFunction { alias, .. } => alias,
        _ => return None,
    };
    match (alias, factor) {
        (Some(alias), _) => Some(alias.name.to_string()),
        (None, TableFactor::Table { name, args: None, .. }) => {
            let mut name = name.clone();
            take_hints(&mut name).ok()?;
            Some(name.0.last()?.as_ident()?.to_string())
        }
        _ => None,
    }
}

/// The condition of a join that may be a lookup join.
fn constraint(join: &JoinOperator) -> Option<&JoinConstraint> {
    match join {
        JoinOperator::Join(c)
        | JoinOperator::Inner(c)
        | JoinOperator::Left(c)
        | JoinOperator::LeftOuter(c) => matches!(c, JoinConstraint::On(_)).then_some(c),
        _ => None,
    }
}

fn has_equality(constraint: &JoinConstraint) -> bool {
    use sqlparser::ast::BinaryOperator as Op;
    fn equal(expr: &Expr) -> bool {
        match expr {
            Expr::BinaryOp { op: Op::Eq, .. } => true,
            Expr::BinaryOp { left, op: Op::And, right } => equal(left) || equal(right),
            Expr::Nested(inner) => equal(inner),
            _ => false,
        }
    }
    matches!(constraint, JoinConstraint::On(expr) if equal(expr))
}

/// Whether a version is a call, such as PROCTIME().
fn is_call(version: &TableVersion) -> bool {
    match version {
        TableVersion::ForSystemTimeAsOf(expr) => {
            !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
        }
        _ => true,
    }
}
