//! What becomes of each kind of statement.

use super::export::{Declared, NoteKind, Work};
use super::options;
use super::target::Version;
use crate::catalog::{ColumnSource, Entry, Table};
use crate::error::{Error, ErrorKind, Result, Span};
use crate::session::portable::{Difference, difference, is_reserved};
use crate::sql::{
    CatalogStatement, ColumnKind, CreateFunction, CreateTable, Insert, MODEL_PREFIX, Name, OptionEntry,
    Statement, StatementKind, TableName,
};

/// A statement in a few words.
pub(super) fn title(statement: &Statement) -> String {
    let of = |name: &TableName| name.parts.iter().map(|p| p.value.as_str()).collect::<Vec<_>>().join(".");
    match &statement.kind {
        StatementKind::CreateTable(t) => format!("CREATE TABLE {}", of(&t.name)),
        StatementKind::CreateView(v) => format!("CREATE VIEW {}", of(&v.name)),
        StatementKind::CreateFunction(f) => match is_model(f) {
            true => format!("CREATE MODEL {}", of(&f.name).trim_start_matches(MODEL_PREFIX)),
            false => format!("CREATE FUNCTION {}", of(&f.name)),
        },
        StatementKind::Drop(d) => format!("DROP {} {}", if d.view { "VIEW" } else { "TABLE" }, of(&d.name)),
        StatementKind::DropFunction(d) => format!("DROP FUNCTION {}", of(&d.name)),
        StatementKind::Alter(a) => format!("ALTER {} {}", if a.view { "VIEW" } else { "TABLE" }, of(&a.name)),
        StatementKind::Set { key, .. } => format!("SET {}", key.value),
        StatementKind::Reset(Some(key)) => format!("RESET {}", key.value),
        StatementKind::Insert(i) => format!("INSERT INTO {}", of(&i.table)),
        StatementKind::StatementSet(_) => "STATEMENT SET".to_string(),
        StatementKind::Query(_) => "SELECT".to_string(),
        StatementKind::Explain { .. } => "EXPLAIN".to_string(),
        StatementKind::ExplainAnalyze { .. } => "EXPLAIN ANALYZE".to_string(),
        StatementKind::Describe(n) | StatementKind::DescribeExtended(n) => format!("DESCRIBE {}", of(n)),
        StatementKind::Show(_) | StatementKind::ShowSettings => "SHOW".to_string(),
        StatementKind::Use(n) => format!("USE {}", of(n)),
        StatementKind::UseCatalog(n) => format!("USE CATALOG {}", n.value),
        StatementKind::Summarize(_) => "SUMMARIZE".to_string(),
        StatementKind::Copy { .. } => "COPY".to_string(),
        StatementKind::Cache(_) => "statement about caches".to_string(),
        StatementKind::Catalog(_) => "statement about catalogs".to_string(),
        _ => "statement".to_string(),
    }
}

fn is_model(function: &CreateFunction) -> bool {
    function.language.as_ref().is_some_and(|l| l.value == "MODEL")
}

/// Settings of ours, and what becomes of what they do.
fn own_setting(key: &str) -> Option<&'static str> {
    Some(match key {
        "enrichment.strategy" => "options of the lookups that follow say it",
        "affluent.functions.path" => "functions that are called go with the file",
        "affluent.state.memory-limit" => "Flink's memory is that of its task managers: taskmanager.memory.*",
        "affluent.lookup.memory-limit" => "Flink bounds lookups by 'table.exec.async-lookup.buffer-capacity'",
        "affluent.state-recovery.automatic" => {
            "a job goes on from a savepoint that is named: 'execution.state-recovery.path'"
        }
        key if key.starts_with("affluent.") => "it is of this program alone",
        _ => return None,
    })
}

impl Work<'_> {
    /// Translates a statement that is right here.
    pub fn statement(&mut self, statement: &Statement) -> Result<()> {
        let whole = self.script.expanded.range(statement.span);
        match &statement.kind {
            StatementKind::Set { key, value } => {
                if key.value == "enrichment.strategy" {
                    self.strategy = Some(value.clone()).filter(|v| !v.is_empty());
                }
                if let Some(why) = own_setting(&key.value) {
                    self.leave_out(whole, format!("left out: {why}"));
                }
            }
            StatementKind::Reset(key) => {
                let key = key.as_ref().map_or("", |key| key.value.as_str());
                if key.is_empty() || key == "enrichment.strategy" {
                    self.strategy = None;
                }
                if let Some(why) = own_setting(key) {
                    self.leave_out(whole, format!("left out: {why}"));
                }
            }
            StatementKind::CreateTable(table) => self.create_table(table, statement)?,
            StatementKind::CreateView(view) => {
                self.names(&view.name.parts);
                self.names(&view.columns);
                self.differences(statement)?;
                self.query(&view.query)?;
            }
            StatementKind::Query(query) => {
                self.differences(statement)?;
                self.query(query)?;
            }
            StatementKind::Insert(insert) => {
                self.differences(statement)?;
                self.insert(insert)?;
            }
            StatementKind::StatementSet(inserts) => {
                self.differences(statement)?;
                for insert in inserts {
                    self.insert(insert)?;
                }
            }
            StatementKind::Explain { statement: explained, .. } => {
                let inner = Statement { kind: (**explained).clone(), ..statement.clone() };
                self.statement(&inner)?;
            }
            StatementKind::CreateFunction(function) if is_model(function) => self.create_model(function)?,
            StatementKind::CreateFunction(function) => {
                self.functions.declared(function, self.parts.len() - 1);
                let language = function.language.as_ref().map(|l| l.value.to_ascii_uppercase());
                let why = match language.as_deref() {
                    None | Some("SQL") => "its expression takes the place of each call",
                    Some("PYTHON") => {
                        "it becomes a module of PyFlink and a CREATE FUNCTION in front, where it is called"
                    }
                    _ => "no statement that goes can call it",
                };
                self.leave_out(whole, format!("left out: {why}"));
            }
            StatementKind::DropFunction(_) | StatementKind::ReloadFunction(_) => {
                self.leave_out(whole, "left out: functions go where they are called");
            }
            StatementKind::DescribeFunction { .. } => {
                self.leave_out(whole, "left out: it shows a function of this program")
            }
            StatementKind::Catalog(CatalogStatement::CreateCatalog { name, options, .. }) => {
                let kind =
                    options.iter().find(|o| o.key.value == "type").map_or("", |o| o.value.value.as_str());
                if kind != "generic_in_memory" {
                    self.refuse(
                        format!("a catalog of type '{kind}' is another one there"),
                        "declare the tables of the pipeline in the file",
                        name.span,
                    );
                }
            }
            StatementKind::Summarize(_)
            | StatementKind::Cache(_)
            | StatementKind::ExplainAnalyze { .. }
            | StatementKind::DescribeFile(_)
            | StatementKind::Quit
            | StatementKind::Clear
            | StatementKind::Help => {
                self.leave_out(whole, "left out: Flink has no such statement, and it starts no job")
            }
            StatementKind::Copy { .. } => self.refuse(
                "Flink has no COPY",
                "declare a table of files and write INSERT INTO it",
                statement.span,
            ),
            StatementKind::Alter(alter) => self.names(&alter.name.parts),
            _ => {}
        }
        Ok(())
    }

    /// A comment takes the place of a statement.
    pub fn leave_out(&mut self, expanded: std::ops::Range<usize>, why: impl Into<String>) {
        let why = why.into();
        let title = self.parts.last().map(|part| part.title.clone()).unwrap_or_default();
        let range = self.bytes(expanded);
        self.edits.replace(range, format!("-- {title}: {why}"));
        self.how(why);
    }

    /// Names that Flink takes in backticks alone.
    pub fn names(&mut self, names: &[Name]) {
        for name in names {
            let range = self.script.expanded.range(name.span);
            let written = self.script.expanded.text.get(range.clone()).unwrap_or_default();
            if written == name.value && is_reserved(&name.value) {
                let range = self.bytes(range);
                self.edits.replace(range, format!("`{}`", name.value));
                self.how(format!("'{}' is a reserved word there: in backticks", name.value));
            }
        }
    }

    /// What `affluent check --portable` tells: backticks are put in, and what this room translates is left to it.
    fn differences(&mut self, statement: &Statement) -> Result<()> {
        let found = match self.session.portability(statement, &self.script.expanded) {
            // It was said that there is no plan.
            Err(e) if e.kind() == ErrorKind::Io => Vec::new(),
            found => found.map_err(|e| self.script.relocate(e))?,
        };
        for error in found {
            let span = error.span().unwrap_or_default();
            match difference(&error) {
                Difference::Lookup | Difference::Function => {}
                Difference::ReservedWord => {
                    let range = self.script.expanded.range(span);
                    let word = self.script.expanded.text.get(range.clone()).unwrap_or_default().to_string();
                    let range = self.bytes(range);
                    self.edits.replace(range, format!("`{word}`"));
                    self.how(format!("'{word}' is a reserved word there: in backticks"));
                }
                Difference::Refused => {
                    let text = match error.detail() {
                        Some(detail) => format!("{}: {detail}", error.message()),
                        None => error.message().to_string(),
                    };
                    self.refuse(text, error.hint().unwrap_or_default(), span);
                }
            }
        }
        Ok(())
    }

    fn insert(&mut self, insert: &Insert) -> Result<()> {
        self.names(&insert.table.parts);
        self.names(&insert.columns);
        if insert.conflict.is_some()
            && let Some((text, hint)) = self.request.target.since(Version::V2_3, "ON CONFLICT")
        {
            self.refuse(text, hint, insert.span);
        }
        if let Ok(Entry::Table(table)) = self.session.catalog().find_name(&insert.table)
            && table.connector().is_ok_and(|c| c.name() == "http")
        {
            self.refuse(
                "Flink's HTTP sink is another connector, which tries nothing again",
                "write to a topic, and from there by affluent run; or declare 'http-async-sink' in the exported file by hand",
                insert.table.span(),
            );
        }
        self.query(&insert.query)
    }

    fn create_table(&mut self, statement: &CreateTable, whole: &Statement) -> Result<()> {
        self.names(&statement.name.parts);
        self.differences(whole)?;
        self.names(statement.primary_key.as_deref().unwrap_or_default());
        self.names(&statement.partitioned_by);
        if let Some(watermark) = &statement.watermark {
            self.names(std::slice::from_ref(&watermark.column));
        }
        for column in &statement.columns {
            if let ColumnKind::Computed { expression } = &column.kind {
                self.calls_in(&expression.expr);
            }
        }
        let catalog = self.session.catalog();
        let table = match catalog.find_name(&statement.name).ok() {
            Some(Entry::Table(table)) => table.clone(),
            _ => return Err(Error::internal("a table that was made is not there")),
        };
        if statement.or_replace && statement.query.is_none() {
            self.replace_words(whole, &["OR", "REPLACE"], "");
            let at = self.bytes(self.script.expanded.range(whole.span)).start;
            let name = self.source(self.script.expanded.range(statement.name.span())).to_string();
            self.edits.insert(at, format!("DROP TABLE IF EXISTS {name};\n"));
            self.how("OR REPLACE becomes DROP TABLE IF EXISTS in front");
        }
        self.place_columns(statement, &table, whole);
        self.table_options(statement, &table);
        if let Some(query) = &statement.query {
            self.query(query)?;
        }
        Ok(())
    }

    /// Finds the end of the list of columns, or writes the columns that were found out.
    fn place_columns(&mut self, statement: &CreateTable, table: &Table, whole: &Statement) {
        let name_end = self.script.expanded.range(statement.name.span()).end;
        let end = self.script.expanded.range(whole.span).end;
        let open = self.lexemes.iter().position(|l| l.range.start >= name_end);
        let open = open.filter(|i| self.lexemes[*i].is(&sqlparser::tokenizer::Token::LParen));
        if let Some(open) = open
            && let Some(close) = self.closing(open)
            && self.lexemes[close].range.end <= end
        {
            let last =
                (open..close).rev().find(|i| !matches!(self.lexemes[*i].class, crate::sql::Class::Comment));
            let last = last.unwrap_or(open);
            let lines = self.lexemes[open].span.start.line != self.lexemes[close].span.start.line;
            let key = table.plain().to_string();
            let part = self.parts.len() - 1;
            let declared = Declared { part, end: self.lexemes[last].range.end, lines, has_proc_time: false };
            self.declared.insert(key, declared);
        } else if statement.like.is_none() && statement.query.is_none() && !table.columns.is_empty() {
            let columns: Vec<String> = table.columns.iter().map(column_text).collect();
            let at = self.bytes(name_end..name_end).start;
            self.edits.insert(at, format!(" (\n  {}\n)", columns.join(",\n  ")));
            self.how("its columns, which were found out, are written");
        }
    }

    /// WITH (...) as Flink's connector takes it.
    fn table_options(&mut self, statement: &CreateTable, table: &Table) {
        let mut entries: Vec<OptionEntry> = statement.options.clone();
        let found_out = statement.columns.is_empty() && statement.like.is_none() && statement.query.is_none();
        if found_out {
            // The format, and how it is read, are found out with the columns.
            for entry in table.options.entries() {
                if !entries.iter().any(|e| e.key.value == entry.key.value) {
                    entries.push(entry);
                }
            }
        }
        let written: Vec<options::Entry> = entries.iter().map(|entry| self.entry(entry)).collect();
        let is_like = statement.like.is_some() && !entries.iter().any(|e| e.key.value == "connector");
        let mapped = options::map(table, &written, self.request, is_like);
        for need in &mapped.needs {
            self.needs(need.0, &need.1, need.2.unwrap_or(statement.name.span()));
        }
        self.take_notes(mapped.notes);
        let same = mapped.options.len() == written.len()
            && mapped.options.iter().zip(&written).all(|((k, v), e)| *k == e.key && *v == e.literal);
        if same || statement.options.is_empty() {
            return;
        }
        let first = statement.options.first().map(|o| o.key.span).unwrap_or_default();
        let last = statement.options.last().map(|o| o.value.span).unwrap_or_default();
        let range = self.script.expanded.range(first.union(last));
        // As many on a line as fit.
        let column = (first.start.column as usize).saturating_sub(1);
        let mut text = String::new();
        let mut length = column;
        for (index, (key, value)) in mapped.options.iter().enumerate() {
            let one = format!("'{key}' = {value}");
            if index > 0 {
                text.push(',');
                if length + one.len() + 2 > 120 {
                    text.push('\n');
                    text.push_str(&" ".repeat(column));
                    length = column;
                } else {
                    text.push(' ');
                    length += 1;
                }
            }
            length += one.len() + 1;
            text.push_str(&one);
        }
        let range = self.bytes(range);
        self.edits.replace(range, text);
    }

    /// An option with its value as it was written.
    pub fn entry(&self, entry: &OptionEntry) -> options::Entry {
        let range = self.script.expanded.range(entry.value.span);
        let literal = match entry.value.span == Span::default() {
            true => String::new(),
            false => self.source(range).to_string(),
        };
        let literal = match literal.starts_with('\'') {
            true => literal,
            false => options::literal(entry.written.as_ref().unwrap_or(&entry.value.value)),
        };
        options::Entry {
            key: entry.key.value.clone(),
            value: entry.value.value.clone(),
            literal,
            span: entry.key.span,
        }
    }

    /// Notes of a mapping of options.
    pub fn take_notes(&mut self, notes: Vec<options::OptionNote>) {
        for note in notes {
            self.note(note.kind, note.text, note.hint, note.span);
        }
    }

    fn create_model(&mut self, model: &CreateFunction) -> Result<()> {
        let name = model.name.span();
        if let Some((text, hint)) = self.request.target.since(Version::V2_1, "models") {
            self.refuse(text, hint, name);
            return Ok(());
        }
        let written: Vec<options::Entry> = model.options.iter().map(|entry| self.entry(entry)).collect();
        let provider = written.iter().find(|e| e.key == "provider").map_or("", |e| e.value.as_str());
        if provider != "openai" {
            self.refuse(
                format!("Flink has no models of provider '{provider}'"),
                "a service that answers for a row goes as a lookup table: 'connector' = 'http', 'lookup-method' = 'POST'",
                name,
            );
            return Ok(());
        }
        self.needs("provider of models", "openai", name);
        let (kept, lost): (Vec<_>, Vec<_>) =
            written.into_iter().partition(|e| options::MODEL.contains(&e.key.as_str()));
        for entry in &lost {
            let text = format!("option '{}': Flink's models have no such option", entry.key);
            self.note(NoteKind::Lost, text, None, entry.span);
        }
        if let (false, Some(first), Some(last)) =
            (lost.is_empty(), model.options.first(), model.options.last())
        {
            let range = self.bytes(self.script.expanded.range(first.key.span.union(last.value.span)));
            let text: Vec<String> = kept.iter().map(|e| format!("'{}' = {}", e.key, e.literal)).collect();
            self.edits.replace(range, text.join(", "));
        }
        Ok(())
    }

    /// Puts a text in the place of the first occurrence of these words in a statement.
    fn replace_words(&mut self, statement: &Statement, words: &[&str], text: &str) {
        let range = self.script.expanded.range(statement.span);
        let at = self.lexemes.windows(words.len() + 1).position(|window| {
            window[0].range.start >= range.start && words.iter().zip(window).all(|(word, l)| l.is_word(word))
        });
        if let Some(at) = at {
            // With the space behind.
            let found = self.lexemes[at].range.start..self.lexemes[at + words.len()].range.start;
            let found = self.bytes(found);
            self.edits.replace(found, text);
        }
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn column_text(column: &crate::catalog::Column) -> String {
    let name = quoted(&column.name);
    match &column.source {
        ColumnSource::Physical { data_type, nullable } => {
            format!("{name} {data_type}{}", if *nullable { "" } else { " NOT NULL" })
        }
        ColumnSource::Metadata { data_type, key, is_virtual, .. } => {
            let is_virtual = if *is_virtual { " VIRTUAL" } else { "" };
            format!("{name} {data_type} METADATA FROM {}{is_virtual}", options::literal(key))
        }
        ColumnSource::Computed(expression) => format!("{name} AS {}", expression.text),
    }
}
