//! CREATE TABLE ↔ [`Table`]: LIKE, keys, watermark, and the text that SHOW CREATE prints.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::names::Home;
use super::options::Options;
use super::table::{Catalog, Column, ColumnSource, Entry, Table, View, Watermark};
use crate::error::{Error, Result, Span};
use crate::nearest::nearest;
pub use crate::secret::option::{is_sensitive_name, redacted};
use crate::sql::{ColumnKind, CreateTable, Like, LikeFeature, LikeMode, Name, TableName};

/// A function's plain name: functions belong to no database.
pub fn plain_name(name: &TableName) -> Result<&str> {
    let parts: Vec<&str> = name.parts.iter().map(|p| p.value.as_str()).collect();
    match parts.as_slice() {
        [table] | ["default_database", table] | ["default_catalog", "default_database", table] => Ok(table),
        _ => Err(Error::plan(format!("functions belong to no catalog or database: '{}'", parts.join(".")))
            .with_hint("write the name of the function alone")
            .at(name.span())),
    }
}

/// What LIKE takes over of a feature.
fn mode(like: &Like, feature: LikeFeature) -> LikeMode {
    let default = if feature == LikeFeature::Options { LikeMode::Overwriting } else { LikeMode::Including };
    let rule = |wanted| like.rules.iter().rev().find(|(_, f)| *f == wanted).map(|(m, _)| *m);
    rule(feature).or_else(|| rule(LikeFeature::All)).unwrap_or(default)
}

impl Table {
    /// From its statement; options are not validated here.
    pub fn from_statement(statement: &CreateTable, catalog: &Catalog) -> Result<Self> {
        let parts: Vec<&str> = statement.name.parts.iter().map(|p| p.value.as_str()).collect();
        let (home, plain) = catalog.resolve(&parts, statement.name.span())?;
        let name = home.shown(plain);
        let columns = statement
            .columns
            .iter()
            .map(|c| {
                let source = match &c.kind {
                    ColumnKind::Physical { data_type, nullable } => {
                        ColumnSource::Physical { data_type: data_type.clone(), nullable: *nullable }
                    }
                    ColumnKind::Metadata { data_type, nullable, key, is_virtual } => ColumnSource::Metadata {
                        data_type: data_type.clone(),
                        nullable: *nullable,
                        key: key.as_ref().unwrap_or(&c.name).value.clone(),
                        is_virtual: *is_virtual,
                    },
                    ColumnKind::Computed { expression } => ColumnSource::Computed(expression.clone()),
                };
                Column { name: c.name.value.clone(), source, comment: c.comment.clone() }
            })
            .collect();
        let names = |names: &[Name]| names.iter().map(|n| n.value.clone()).collect::<Vec<_>>();
        let mut table = Table {
            name,
            home,
            columns,
            watermark: statement
                .watermark
                .as_ref()
                .map(|w| Watermark { column: w.column.value.clone(), expression: w.expression.clone() }),
            primary_key: statement.primary_key.as_deref().map(names).unwrap_or_default(),
            partitioned_by: names(&statement.partitioned_by),
            comment: statement.comment.clone(),
            options: Options::from_entries(&statement.options)?.with_registered(catalog.registered()),
            temporary: statement.temporary,
            own: None,
        };
        if let Some(like) = &statement.like {
            let span = like.table.span();
            let model = match catalog.find_name(&like.table)? {
                Entry::Table(model) => model.clone(),
                Entry::View(_) => return Err(Error::plan("LIKE takes a table, this is a view").at(span)),
            };
            table.take_over(&model, like)?;
        }
        table.check(statement)?;
        Ok(table)
    }

    fn take_over(&mut self, model: &Table, like: &Like) -> Result<()> {
        let span = like.table.span();
        let twice = |what: &str| {
            Error::plan(format!("{what} is in table '{}' as well", model.name))
                .with_hint("write EXCLUDING or OVERWRITING for it in LIKE (...)")
                .at(span)
        };
        let mut columns = Vec::new();
        for column in &model.columns {
            let feature = match &column.source {
                ColumnSource::Physical { .. } => None,
                ColumnSource::Metadata { .. } => Some(LikeFeature::Metadata),
                ColumnSource::Computed(_) => Some(LikeFeature::Generated),
            };
            let mode = feature.map_or(LikeMode::Including, |f| mode(like, f));
            if mode == LikeMode::Excluding {
                continue;
            }
            match self.column(&column.name) {
                None => columns.push(column.clone()),
                Some(_) if mode == LikeMode::Overwriting => {}
                Some(_) => return Err(twice(&format!("column '{}'", column.name))),
            }
        }
        columns.append(&mut self.columns);
        self.columns = columns;
        if !self.options.contains("connector") {
            self.own = model.own.clone();
        }
        match (mode(like, LikeFeature::Watermarks), &model.watermark, &self.watermark) {
            (LikeMode::Excluding, ..) | (_, None, _) | (LikeMode::Overwriting, Some(_), Some(_)) => {}
            (_, Some(w), None) => self.watermark = Some(w.clone()),
            (LikeMode::Including, Some(_), Some(_)) => return Err(twice("a watermark")),
        }
        match mode(like, LikeFeature::Constraints) {
            LikeMode::Excluding => {}
            _ if model.primary_key.is_empty() => {}
            _ if self.primary_key.is_empty() => self.primary_key.clone_from(&model.primary_key),
            LikeMode::Overwriting => {}
            LikeMode::Including => return Err(twice("a primary key")),
        }
        if mode(like, LikeFeature::Partitions) != LikeMode::Excluding && self.partitioned_by.is_empty() {
            self.partitioned_by.clone_from(&model.partitioned_by);
        }
        match mode(like, LikeFeature::Options) {
            LikeMode::Excluding => {}
            options => {
                for (key, _) in model.options.iter() {
                    if !self.options.contains(key) {
                        self.options.take(key, &model.options, span);
                    } else if options == LikeMode::Including {
                        return Err(twice(&format!("option '{key}'")));
                    }
                }
            }
        }
        Ok(())
    }

    /// What holds between the parts of a table.
    fn check(&mut self, statement: &CreateTable) -> Result<()> {
        let span = |name: &str| {
            let column = statement.columns.iter().find(|c| c.name.value == name);
            column.map_or_else(|| statement.name.span(), |c| c.name.span)
        };
        let mut seen = HashSet::new();
        for column in &self.columns {
            if !seen.insert(column.name.as_str()) {
                return Err(
                    Error::plan(format!("column '{}' is declared twice", column.name)).at(span(&column.name))
                );
            }
        }
        if self.columns.is_empty() && statement.query.is_none() {
            return Err(Error::plan(format!("table '{}' has no columns", self.name))
                .with_hint(
                    "declare them; files and topics of json and csv, topics with a schema registry, and databases are \
                     looked into",
                )
                .at(statement.name.span()));
        }
        let unknown = |name: &str, what: &str, place: Span| {
            let error = Error::plan(format!(
                "{what} names column '{name}', which table '{}' does not have",
                self.name
            ));
            match nearest(name, self.columns.iter().map(|c| c.name.as_str())) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error,
            }
            .at(place)
        };
        for (what, names) in [("PRIMARY KEY", &self.primary_key), ("PARTITIONED BY", &self.partitioned_by)] {
            for name in names {
                match self.column(name) {
                    Some((_, Column { source: ColumnSource::Physical { .. }, .. })) => {}
                    Some(_) => {
                        return Err(Error::plan(format!("{what} takes physical columns, '{name}' is none"))
                            .at(statement.name.span()));
                    }
                    None => return Err(unknown(name, what, statement.name.span())),
                }
            }
        }
        if let Some(watermark) = &self.watermark
            && self.column(&watermark.column).is_none()
        {
            let place = statement.watermark.as_ref().map_or_else(|| statement.name.span(), |w| w.column.span);
            return Err(unknown(&watermark.column, "WATERMARK", place));
        }
        let key = self.primary_key.clone();
        for column in &mut self.columns {
            if let ColumnSource::Physical { nullable, .. } = &mut column.source
                && key.contains(&column.name)
            {
                *nullable = false;
            }
        }
        Ok(())
    }

    /// The statement that would make this table again, for ALTER TABLE to change.
    pub fn to_statement(&self) -> CreateTable {
        let name = |value: &str| Name { value: value.to_string(), span: Span::default() };
        let columns = self.columns.iter().map(|column| crate::sql::ColumnDef {
            name: name(&column.name),
            kind: match &column.source {
                ColumnSource::Physical { data_type, nullable } => {
                    ColumnKind::Physical { data_type: data_type.clone(), nullable: *nullable }
                }
                ColumnSource::Metadata { data_type, nullable, key, is_virtual } => ColumnKind::Metadata {
                    data_type: data_type.clone(),
                    nullable: *nullable,
                    key: Some(name(key)),
                    is_virtual: *is_virtual,
                },
                ColumnSource::Computed(expression) => ColumnKind::Computed { expression: expression.clone() },
            },
            comment: column.comment.clone(),
        });
        let key = &self.primary_key;
        CreateTable {
            name: crate::sql::TableName {
                parts: [&self.home.catalog, &self.home.database, self.plain()].map(&name).into(),
            },
            or_replace: false,
            temporary: self.temporary,
            if_not_exists: false,
            columns: columns.collect(),
            listed: Vec::new(),
            watermark: self.watermark.as_ref().map(|w| crate::sql::WatermarkDef {
                column: name(&w.column),
                expression: w.expression.clone(),
                span: Span::default(),
            }),
            primary_key: (!key.is_empty()).then(|| key.iter().map(|k| name(k)).collect()),
            comment: self.comment.clone(),
            partitioned_by: self.partitioned_by.iter().map(|p| name(p)).collect(),
            options: self.options.entries(),
            like: None,
            query: None,
        }
    }

    /// Its name in its database.
    pub fn plain(&self) -> &str {
        plain_of(&self.name, &self.home)
    }

    /// The statement that would make this table again; secrets redacted.
    pub fn show_create(&self) -> String {
        self.create_as(&quoted_in(&self.home, self.plain()))
    }

    /// The same under a name as it is written.
    pub(super) fn create_as(&self, name: &str) -> String {
        let mut lines = Vec::new();
        for column in &self.columns {
            let mut line = format!("  {} ", quoted(&column.name));
            match &column.source {
                ColumnSource::Physical { data_type, nullable } => {
                    let _ = write!(line, "{data_type}{}", if *nullable { "" } else { " NOT NULL" });
                }
                ColumnSource::Metadata { data_type, nullable, key, is_virtual } => {
                    let _ = write!(line, "{data_type}{} METADATA", if *nullable { "" } else { " NOT NULL" });
                    if *key != column.name {
                        let _ = write!(line, " FROM {}", literal(key));
                    }
                    line.push_str(if *is_virtual { " VIRTUAL" } else { "" });
                }
                ColumnSource::Computed(expression) => {
                    let _ = write!(line, "AS {}", expression.text);
                }
            }
            if let Some(comment) = &column.comment {
                let _ = write!(line, " COMMENT {}", literal(comment));
            }
            lines.push(line);
        }
        if let Some(w) = &self.watermark {
            lines.push(format!("  WATERMARK FOR {} AS {}", quoted(&w.column), w.expression.text));
        }
        let list = |names: &[String]| names.iter().map(|n| quoted(n)).collect::<Vec<_>>().join(", ");
        if !self.primary_key.is_empty() {
            lines.push(format!("  PRIMARY KEY ({}) NOT ENFORCED", list(&self.primary_key)));
        }
        let temporary = if self.temporary { "TEMPORARY " } else { "" };
        let mut text = format!("CREATE {temporary}TABLE {name} (\n{}\n)", lines.join(",\n"));
        if let Some(comment) = &self.comment {
            let _ = write!(text, "\nCOMMENT {}", literal(comment));
        }
        if !self.partitioned_by.is_empty() {
            let _ = write!(text, "\nPARTITIONED BY ({})", list(&self.partitioned_by));
        }
        let options: Vec<_> = self
            .options
            .written()
            .map(|(k, v)| format!("  {} = {}", literal(k), literal(&redacted(k, v))))
            .collect();
        let _ = write!(text, "\nWITH (\n{}\n)", options.join(",\n"));
        text
    }
}

impl View {
    /// Its name in its database.
    pub fn plain(&self) -> &str {
        plain_of(&self.name, &self.home)
    }

    /// The statement that would make this view again.
    pub fn show_create(&self) -> String {
        self.create_as(&quoted_in(&self.home, self.plain()))
    }

    /// The same under a name as it is written.
    pub(super) fn create_as(&self, name: &str) -> String {
        let temporary = if self.temporary { "TEMPORARY " } else { "" };
        let mut text = format!("CREATE {temporary}VIEW {name}");
        if !self.columns.is_empty() {
            let names: Vec<_> = self.columns.iter().map(|n| quoted(n)).collect();
            let _ = write!(text, " ({})", names.join(", "));
        }
        if let Some(comment) = &self.comment {
            let _ = write!(text, "\nCOMMENT {}", literal(comment));
        }
        let _ = write!(text, "\nAS {}", self.text);
        text
    }
}

/// A name without its database.
fn plain_of<'a>(name: &'a str, home: &Home) -> &'a str {
    match home.is_default() {
        true => name,
        false => name.get(home.catalog.len() + home.database.len() + 2..).unwrap_or(name),
    }
}

/// A name as SQL writes it, with its database if that is not the default one.
fn quoted_in(home: &Home, name: &str) -> String {
    match home.is_default() {
        true => quoted(name),
        false => format!("{}.{}.{}", quoted(&home.catalog), quoted(&home.database), quoted(name)),
    }
}

pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
