//! The columns that `JOIN ... USING (c)` merges, where a query names them without a table.
//!
//! | join | `c` is |
//! |---|---|
//! | INNER, LEFT | that of the left side |
//! | RIGHT | that of the right side |
//! | FULL | `COALESCE(left.c, right.c)` |
//!
//! `SELECT *` has the merged columns first, and each once. DataFusion takes the left side's column for all kinds of
//! joins, and calls the name ambiguous outside of the SELECT list.

use std::ops::ControlFlow;

use indexmap::IndexMap;
use sqlparser::ast::{
    ExcludeSelectItem, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, TableFactor, TableWithJoins, VisitorMut, WildcardAdditionalOptions,
};

use crate::error::{Error, Result};
use crate::sql::hints::HINT_PREFIX;
use crate::sql::visit::walk_mut;

/// Gives the merged columns of all query blocks their meaning.
pub(super) fn merge_columns(query: &mut Query) -> Result<()> {
    match walk_mut(query, &mut Blocks) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Blocks;

impl VisitorMut for Blocks {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        match block(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => ControlFlow::Break(e),
        }
    }
}

fn block(select: &mut Select) -> Result<()> {
    let mut all = Merged::default();
    for from in &select.from {
        if !all.take_in(from)? {
            // Ambiguous, as any other name of two tables.
            return Ok(());
        }
    }
    if all.columns.is_empty() {
        return Ok(());
    }
    let mut projection = Vec::with_capacity(select.projection.len());
    for item in std::mem::take(&mut select.projection) {
        match item {
            SelectItem::Wildcard(options) => all.spell_out(options, &mut projection)?,
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => match all.columns.get(&name.value) {
                Some(expr) => {
                    projection.push(SelectItem::ExprWithAlias { expr: expr.clone(), alias: name });
                }
                None => projection.push(SelectItem::UnnamedExpr(Expr::Identifier(name))),
            },
            other => projection.push(other),
        }
    }
    select.projection = projection;
    let _ = walk_mut(select, &mut Names { merged: &all.columns, depth: 0 });
    Ok(())
}

/// Puts the meaning in the place of each name, but not in subqueries, which have tables of their own.
struct Names<'a> {
    merged: &'a IndexMap<String, Expr>,
    depth: usize,
}

impl VisitorMut for Names<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Identifier(name) = expr
            && let Some(meaning) = self.merged.get(&name.value)
        {
            *expr = meaning.clone();
        }
        ControlFlow::Continue(())
    }
}

/// What the joins of a block merge.
#[derive(Default)]
struct Merged {
    /// What each name means.
    columns: IndexMap<String, Expr>,
    /// The tables in their order, with the merged columns that each has.
    tables: Vec<(String, Vec<String>)>,
    /// A table has no name, or it is not known which one has a column.
    nameless: bool,
    /// A column that is not that of the left side.
    not_left: Option<String>,
}

impl Merged {
    /// Adds an item of FROM; `false`: a name is merged twice.
    fn take_in(&mut self, from: &TableWithJoins) -> Result<bool> {
        use JoinOperator as J;
        let mut merged: IndexMap<String, Expr> = IndexMap::new();
        let mut tables = vec![(relation(&from.relation), Vec::new())];
        for (nth, join) in from.joins.iter().enumerate() {
            tables.push((relation(&join.relation), Vec::new()));
            let (constraint, left_stays, right_stays) = match &join.join_operator {
                J::Join(c) | J::Inner(c) | J::Left(c) | J::LeftOuter(c) => (c, true, false),
                J::Right(c) | J::RightOuter(c) => (c, false, true),
                J::FullOuter(c) => (c, true, true),
                _ => continue,
            };
            let columns = match constraint {
                JoinConstraint::Using(columns) => columns,
                JoinConstraint::Natural if right_stays => {
                    return Err(Error::unsupported("NATURAL with a RIGHT or FULL JOIN is not supported")
                        .with_hint("name the columns: USING (c, ...)"));
                }
                _ => continue,
            };
            for name in columns.iter().filter_map(plain) {
                let left = match merged.get(name) {
                    Some(left) => Some(left.clone()),
                    None if nth == 0 => {
                        tables[0].1.push(name.to_string());
                        tables[0].0.map(|table| column(table, name))
                    }
                    // Which of several tables has it, their columns would say.
                    None => {
                        self.nameless = true;
                        None
                    }
                };
                tables[nth + 1].1.push(name.to_string());
                let right = tables[nth + 1].0.map(|table| column(table, name));
                let meaning = match (left, right) {
                    (Some(left), _) if !right_stays => left,
                    (_, Some(right)) if !left_stays => right,
                    (Some(left), Some(right)) => coalesce(left, right),
                    _ if !right_stays => continue,
                    _ => return Err(unseen(name)),
                };
                if right_stays {
                    self.not_left = Some(name.to_string());
                }
                merged.insert(name.to_string(), meaning);
            }
        }
        for (table, columns) in tables {
            match table {
                Some(table) => self.tables.push((table.to_string(), columns)),
                None => self.nameless = true,
            }
        }
        Ok(merged.into_iter().all(|(name, meaning)| self.columns.insert(name, meaning).is_none()))
    }

    /// `*`: the merged columns, and what else each table has.
    fn spell_out(&self, options: WildcardAdditionalOptions, items: &mut Vec<SelectItem>) -> Result<()> {
        let excluded = match &options.opt_exclude {
            None => Vec::new(),
            Some(ExcludeSelectItem::Single(name)) => vec![name.clone()],
            Some(ExcludeSelectItem::Multiple(names)) => names.clone(),
        };
        let is_excluded = |name: &str| excluded.iter().any(|e| plain(e).is_some_and(|e| e == name));
        // Other columns that are left out may be of any table.
        let others = excluded.iter().any(|e| plain(e).is_none_or(|e| !self.columns.contains_key(e)));
        if self.nameless || others {
            return match &self.not_left {
                Some(name) => Err(unseen(name)),
                None => {
                    items.push(SelectItem::Wildcard(options));
                    Ok(())
                }
            };
        }
        for (name, expr) in self.columns.iter().filter(|(name, _)| !is_excluded(name)) {
            items.push(SelectItem::ExprWithAlias { expr: expr.clone(), alias: quoted(name) });
        }
        for (table, columns) in &self.tables {
            let mut options = options.clone();
            let left_out: Vec<ObjectName> = columns.iter().map(|name| quoted(name).into()).collect();
            options.opt_exclude = (!left_out.is_empty()).then_some(ExcludeSelectItem::Multiple(left_out));
            let kind = SelectItemQualifiedWildcardKind::ObjectName(quoted(table).into());
            items.push(SelectItem::QualifiedWildcard(kind, options));
        }
        Ok(())
    }
}

fn unseen(name: &str) -> Error {
    Error::unsupported(format!(
        "a RIGHT or FULL JOIN with USING ({name}) does not see which table has '{name}'"
    ))
    .with_hint("give its tables names (AS t), or write ON and COALESCE(t.c, u.c)")
}

/// A name of one part.
fn plain(name: &ObjectName) -> Option<&str> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Some(&ident.value),
        _ => None,
    }
}

/// By what name a relation's columns are found.
fn relation(factor: &TableFactor) -> Option<&str> {
    let alias = match factor {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. } => alias.as_ref(),
        _ => None,
    };
    if let Some(alias) = alias {
        return Some(&alias.name.value);
    }
    let TableFactor::Table { name, args: None, .. } = factor else { return None };
    let parts = name.0.iter().rev().filter_map(ObjectNamePart::as_ident).map(|ident| ident.value.as_str());
    parts.into_iter().find(|part| !part.starts_with(HINT_PREFIX))
}

fn quoted(name: &str) -> Ident {
    Ident::with_quote('`', name)
}

fn column(table: &str, name: &str) -> Expr {
    Expr::CompoundIdentifier(vec![quoted(table), quoted(name)])
}

fn coalesce(left: Expr, right: Expr) -> Expr {
    let argument = |e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e));
    Expr::Function(Function {
        name: Ident::new("COALESCE").into(),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument(left), argument(right)],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
