//! `SELECT t.r.*`, where `r` is a ROW: its fields, each under its own name.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use sqlparser::ast::{
    self, Expr as Ast, Ident, SelectItem, SelectItemQualifiedWildcardKind as Qualified, SetExpr, VisitorMut,
};

use super::naming::{relations, select_all};
use super::provider::Planner;

/// Puts the fields of ROWs into the place of their wildcards.
pub(super) fn expand(query: &mut ast::Query, planner: &Planner) {
    let _ = crate::sql::visit::walk_mut(query, &mut RowWildcards { planner, with: Vec::new() });
}

struct RowWildcards<'a> {
    planner: &'a Planner,
    /// The WITH of the queries around.
    with: Vec<Option<ast::With>>,
}

impl RowWildcards<'_> {
    /// The fields of a column of a SELECT, if it is a ROW.
    fn fields(&self, select: &ast::Select, column: &[Ident]) -> Option<Vec<String>> {
        let mut probe = select_all();
        let SetExpr::Select(inner) = probe.body.as_mut() else { return None };
        inner.from.clone_from(&select.from);
        inner.projection = vec![SelectItem::UnnamedExpr(match column {
            [one] => Ast::Identifier(one.clone()),
            parts => Ast::CompoundIdentifier(parts.to_vec()),
        })];
        let mut tables = self.with.iter().flatten();
        if let Some(first) = tables.next() {
            let mut with = first.clone();
            with.cte_tables.extend(tables.flat_map(|w| w.cte_tables.iter().cloned()));
            probe.with = Some(with);
        }
        // What cannot be planned alone is refused where the whole query is.
        let plan = self.planner.bind_query(&probe).ok()?;
        match plan.schema().fields().first()?.data_type() {
            DataType::Struct(fields) => Some(fields.iter().map(|f| f.name().clone()).collect()),
            _ => None,
        }
    }
}

impl VisitorMut for RowWildcards<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        self.with.push(query.with.clone());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<()> {
        self.with.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        let known = relations(&select.from);
        let row = |item: &SelectItem| match item {
            SelectItem::QualifiedWildcard(Qualified::ObjectName(name), _) => {
                let parts: Vec<Ident> = name.0.iter().filter_map(|p| p.as_ident().cloned()).collect();
                let table = parts.last().is_none_or(|last| known.contains(&last.value));
                (!table && parts.len() == name.0.len()).then_some(parts)
            }
            _ => None,
        };
        if !select.projection.iter().any(|item| row(item).is_some()) {
            return ControlFlow::Continue(());
        }
        let mut items = Vec::new();
        for item in &select.projection {
            let fields = row(item).and_then(|parts| Some((self.fields(select, &parts)?, parts)));
            let Some((fields, parts)) = fields else {
                items.push(item.clone());
                continue;
            };
            for field in fields {
                let name = Ident::with_quote('`', field);
                let mut path = parts.clone();
                path.push(name.clone());
                items.push(SelectItem::ExprWithAlias { expr: Ast::CompoundIdentifier(path), alias: name });
            }
        }
        select.projection = items;
        ControlFlow::Continue(())
    }
}
