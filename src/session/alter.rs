//! ALTER TABLE and ALTER VIEW: the definition that would have made the table, changed, and checked as CREATE TABLE
//! checks it. Jobs that run keep the table they were started with.

use std::sync::Arc;

use super::{Response, Session};
use crate::catalog::names::of_key;
use crate::catalog::{Entry, Table, View};
use crate::error::{Error, Result};
use crate::sql::{Added, Alter, Change, ColumnDef, CreateTable, Name, OptionEntry, Placement, TableName};

impl Session {
    pub(super) fn alter(&self, alter: &Alter) -> Result<Response> {
        let span = alter.name.span();
        let catalog = self.catalog();
        let key = catalog.key_of(&alter.name)?;
        let (home, plain) = of_key(&key);
        let plain = home.shown(plain);
        if alter.if_exists && catalog.get(&key).is_none() {
            return Ok(Response::Done(format!("'{plain}' does not exist")));
        }
        let changed = match (catalog.find(&key, span)?, &alter.change) {
            (Entry::Table(_), _) if alter.view => {
                return Err(Error::plan(format!("'{plain}' is a table")).with_hint("ALTER TABLE").at(span));
            }
            (Entry::View(_), _) if !alter.view => {
                return Err(Error::plan(format!("'{plain}' is a view")).with_hint("ALTER VIEW").at(span));
            }
            (entry, Change::Rename(to)) => return self.rename(&key, entry.clone(), to),
            (Entry::View(view), Change::Query { query, text }) => {
                let changed = View { query: query.clone(), text: text.clone(), ..(**view).clone() };
                self.planner().view(&changed)?;
                Entry::View(Arc::new(changed))
            }
            (Entry::Table(table), change) => {
                if table.own.is_some() {
                    return Err(Error::plan(format!("'{plain}' is a table of the program")).at(span));
                }
                let mut statement = table.to_statement();
                apply(&mut statement, change)?;
                let made = Table::from_statement(&statement, &catalog)?;
                Entry::Table(self.checked(made, &statement)?)
            }
            (Entry::View(_), _) => return Err(Error::internal("a change of a table for a view")),
        };
        self.lookups.forget(&plain);
        self.change_catalog(&home.catalog, |catalog| {
            catalog.insert(key.clone(), changed);
            Ok(Response::Done(String::new()))
        })
    }

    fn rename(&self, from: &str, entry: Entry, to: &TableName) -> Result<Response> {
        // A plain name stays in the database.
        let (home, _) = of_key(from);
        let catalog = self.catalog();
        let (to_home, plain) = match to.parts.as_slice() {
            [name] => (home.clone(), name.value.as_str()),
            parts => {
                catalog.resolve(&parts.iter().map(|p| p.value.as_str()).collect::<Vec<_>>(), to.span())?
            }
        };
        if to_home != home {
            return Err(Error::plan("RENAME TO leaves a table in its database")
                .with_hint("CREATE TABLE ... LIKE makes one in another database")
                .at(to.span()));
        }
        let (key, name) = (home.key(plain), home.shown(plain));
        if catalog.get(&key).is_some() {
            return Err(Error::plan(format!("table or view '{name}' exists already")).at(to.span()));
        }
        let entry = match entry {
            Entry::Table(table) => {
                Entry::Table(Arc::new(Table { name: name.to_string(), ..(*table).clone() }))
            }
            Entry::View(view) => Entry::View(Arc::new(View { name: name.to_string(), ..(*view).clone() })),
        };
        self.lookups.forget(from);
        self.change_catalog(&home.catalog, |catalog| {
            catalog.remove(from);
            catalog.insert(key.clone(), entry);
            Ok(Response::Done(String::new()))
        })
    }
}

fn find(statement: &CreateTable, name: &Name) -> Result<usize> {
    let found = statement.columns.iter().position(|c| c.name.value == name.value);
    found.ok_or_else(|| {
        let error = Error::plan(format!("table has no column '{}'", name.value)).at(name.span);
        let known = statement.columns.iter().map(|c| c.name.value.as_str());
        match crate::nearest::nearest(&name.value, known) {
            Some(near) => error.with_hint(format!("did you mean '{near}'?")),
            None => error,
        }
    })
}

/// Puts a change into the definition of a table.
fn apply(statement: &mut CreateTable, change: &Change) -> Result<()> {
    let in_key = |statement: &CreateTable, name: &Name| {
        statement.primary_key.iter().flatten().any(|key| key.value == name.value)
    };
    match change {
        Change::Set(entries) => {
            for entry in entries {
                statement.options.retain(|o: &OptionEntry| o.key.value != entry.key.value);
                statement.options.push(entry.clone());
            }
        }
        Change::Reset(keys) => {
            for key in keys {
                if key.value == "connector" {
                    return Err(Error::plan("option 'connector' cannot be reset").at(key.span));
                }
                statement.options.retain(|o| o.key.value != key.value);
            }
        }
        Change::RenameColumn(from, to) => {
            let index = find(statement, from)?;
            if statement.columns.iter().any(|c| c.name.value == to.value) {
                return Err(Error::plan(format!("column '{}' exists already", to.value)).at(to.span));
            }
            used_elsewhere(statement, from)?;
            if let Some(column) = statement.columns.get_mut(index) {
                column.name = to.clone();
            }
            let names = statement.primary_key.iter_mut().flatten().chain(&mut statement.partitioned_by);
            names.filter(|name| name.value == from.value).for_each(|name| *name = to.clone());
        }
        Change::DropColumns(names) => {
            for name in names {
                let index = find(statement, name)?;
                if in_key(statement, name) {
                    return Err(Error::plan(format!("column '{}' is part of the primary key", name.value))
                        .with_hint("ALTER TABLE ... DROP PRIMARY KEY first")
                        .at(name.span));
                }
                used_elsewhere(statement, name)?;
                statement.columns.remove(index);
            }
        }
        Change::DropPrimaryKey => match statement.primary_key.take() {
            Some(_) => {}
            None => return Err(Error::plan("the table has no primary key")),
        },
        Change::DropWatermark => match statement.watermark.take() {
            Some(_) => {}
            None => return Err(Error::plan("the table has no watermark")),
        },
        Change::Add(added) => add(statement, added)?,
        Change::Modify(added) => modify(statement, added)?,
        Change::Rename(_) | Change::Query { .. } => return Err(Error::internal("not a change of columns")),
    }
    Ok(())
}

/// A column that the watermark or a computed column reads keeps its name.
fn used_elsewhere(statement: &CreateTable, name: &Name) -> Result<()> {
    use sqlparser::ast::Expr;

    use crate::sql::visit::visit_expressions;
    let reads = |expr: &Expr| {
        let mut found = false;
        let _: std::ops::ControlFlow<()> = visit_expressions(expr, |e: &Expr| {
            found |= match e {
                Expr::Identifier(ident) => ident.value == name.value,
                Expr::CompoundIdentifier(parts) => parts.first().is_some_and(|p| p.value == name.value),
                _ => false,
            };
            std::ops::ControlFlow::Continue(())
        });
        found
    };
    let refuse = |what: String| {
        Err(Error::plan(format!("column '{}' is read by {what}", name.value))
            .with_hint("change or drop that first")
            .at(name.span))
    };
    if statement.watermark.as_ref().is_some_and(|w| w.column.value == name.value || reads(&w.expression.expr))
    {
        return refuse("the watermark".to_string());
    }
    for column in &statement.columns {
        if let crate::sql::ColumnKind::Computed { expression } = &column.kind
            && reads(&expression.expr)
        {
            return refuse(format!("computed column '{}'", column.name.value));
        }
    }
    Ok(())
}

fn add(statement: &mut CreateTable, added: &Added) -> Result<()> {
    for column in &added.columns {
        if statement.columns.iter().any(|c| c.name.value == column.name.value) {
            return Err(Error::plan(format!("column '{}' exists already", column.name.value))
                .with_hint("MODIFY changes it")
                .at(column.name.span));
        }
        let place = added.places.iter().find(|(name, _)| *name == column.name.value).map(|(_, place)| place);
        put(statement, column.clone(), place)?;
    }
    if let Some(watermark) = &added.watermark {
        if statement.watermark.is_some() {
            return Err(Error::plan("the table has a watermark")
                .with_hint("MODIFY changes it")
                .at(watermark.span));
        }
        statement.watermark = Some(watermark.clone());
    }
    if let Some(key) = &added.primary_key {
        if statement.primary_key.is_some() {
            return Err(Error::plan("the table has a primary key").with_hint("MODIFY changes it"));
        }
        statement.primary_key = Some(key.clone());
    }
    Ok(())
}

fn modify(statement: &mut CreateTable, added: &Added) -> Result<()> {
    for column in &added.columns {
        let index = find(statement, &column.name)?;
        match added.places.iter().find(|(name, _)| *name == column.name.value) {
            Some((_, place)) => {
                statement.columns.remove(index);
                put(statement, column.clone(), Some(place))?;
            }
            None => {
                if let Some(old) = statement.columns.get_mut(index) {
                    *old = column.clone();
                }
            }
        }
    }
    if let Some(watermark) = &added.watermark {
        if statement.watermark.is_none() {
            return Err(Error::plan("the table has no watermark")
                .with_hint("ADD declares one")
                .at(watermark.span));
        }
        statement.watermark = Some(watermark.clone());
    }
    if let Some(key) = &added.primary_key {
        if statement.primary_key.is_none() {
            return Err(Error::plan("the table has no primary key").with_hint("ADD declares one"));
        }
        statement.primary_key = Some(key.clone());
    }
    Ok(())
}

fn put(statement: &mut CreateTable, column: ColumnDef, place: Option<&Placement>) -> Result<()> {
    let at = match place {
        None => statement.columns.len(),
        Some(Placement::First) => 0,
        Some(Placement::After(name)) => find(statement, name)? + 1,
    };
    statement.columns.insert(at.min(statement.columns.len()), column);
    Ok(())
}
