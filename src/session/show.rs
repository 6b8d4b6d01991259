//! SHOW and DESCRIBE.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use regex::RegexBuilder;

use super::{Response, Session};
use crate::catalog::{ColumnSource, Entry, Table};
use crate::error::{Error, Result};
use crate::flow::JobState;
use crate::sql::{LikePattern, Show, SqlType, TableName};

/// A table of text columns.
pub(super) fn text_table(columns: &[(&str, Vec<Option<String>>)]) -> Result<Response> {
    let arrays = columns.iter().map(|(name, values)| {
        let array: ArrayRef = Arc::new(StringArray::from(values.clone()));
        (*name, array, true)
    });
    Ok(Response::Table(RecordBatch::try_from_iter_with_nullable(arrays)?))
}

/// Keeps the names that a LIKE pattern lets through.
pub(super) fn matching(
    names: impl Iterator<Item = String>,
    pattern: Option<&LikePattern>,
) -> Result<Vec<Option<String>>> {
    let Some(like) = pattern else { return Ok(names.map(Some).collect()) };
    let mut regex = String::from("^");
    let mut chars = like.pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '\\' => regex.push_str(&regex::escape(&chars.next().unwrap_or('\\').to_string())),
            other => regex.push_str(&regex::escape(&other.to_string())),
        }
    }
    regex.push('$');
    let regex = RegexBuilder::new(&regex)
        .case_insensitive(like.ignore_case)
        .dot_matches_new_line(true)
        .build()
        .map_err(|e| Error::plan(format!("LIKE pattern '{}': {e}", like.pattern)))?;
    Ok(names.filter(|n| regex.is_match(n) != like.negated).map(Some).collect())
}

fn show_type(t: &arrow::datatypes::DataType) -> String {
    SqlType::from_arrow(t).map_or_else(|| t.to_string(), |t| t.to_string())
}

impl Session {
    pub(super) fn show_settings(&self) -> Result<Response> {
        let config = self.state.lock().config.clone();
        let (keys, values) = config.iter().map(|(k, v)| (Some(k.to_string()), Some(v.to_string()))).unzip();
        text_table(&[("key", keys), ("value", values)])
    }

    pub(super) fn show(&self, show: &Show) -> Result<Response> {
        let catalog = self.catalog();
        let one = |name: &str, value: &str| text_table(&[(name, vec![Some(value.to_string())])]);
        match show {
            Show::Tables(of, like) => self.show_entries(of.as_ref(), like.as_ref(), false),
            Show::Views(of, like) => self.show_entries(of.as_ref(), like.as_ref(), true),
            Show::Catalogs(like) => self.show_catalogs(like.as_ref()),
            Show::Databases(of, like) => self.show_databases(of.as_ref(), like.as_ref()),
            Show::CreateCatalog(name) => self.show_create_catalog(name),
            Show::Functions(like) => {
                // Flink's names are lower case, ours are upper case: neither minds.
                let like = like.clone().map(|like| LikePattern { ignore_case: true, ..like });
                text_table(&[("function name", matching(self.function_names().into_iter(), like.as_ref())?)])
            }
            Show::Models(like) => {
                let names = self.planner().user_functions().models();
                text_table(&[("model name", matching(names.into_iter(), like.as_ref())?)])
            }
            Show::UserFunctions(like) => {
                let names = self.planner().user_functions().names();
                text_table(&[("function name", matching(names.into_iter(), like.as_ref())?)])
            }
            Show::CreateFunction(name) => self.show_create_function(name),
            Show::Columns(name, like) => {
                let Response::Table(all) = self.describe_named(name)? else {
                    return Err(Error::internal("DESCRIBE gives a table"));
                };
                let Some(like) = like else { return Ok(Response::Table(all)) };
                let names = all.column(0).as_any().downcast_ref::<StringArray>();
                let names: Vec<String> = names.into_iter().flatten().flatten().map(str::to_string).collect();
                let kept = matching(names.iter().cloned(), Some(like))?;
                let mask: BooleanArray =
                    names.iter().map(|n| Some(kept.contains(&Some(n.clone())))).collect();
                Ok(Response::Table(arrow::compute::filter_record_batch(&all, &mask)?))
            }
            Show::Names { column, names, like } => {
                let names = names.iter().map(|n| (*n).to_string());
                text_table(&[(*column, matching(names, like.as_ref())?)])
            }
            Show::CurrentCatalog => one("current catalog name", &catalog.current().catalog),
            Show::CurrentDatabase => one("current database name", &catalog.current().database),
            Show::Jobs => self.show_jobs(),
            Show::CreateTable(name) => match catalog.find_name(name)? {
                Entry::Table(table) => Ok(Response::Text(table.show_create())),
                Entry::View(_) => {
                    Err(Error::plan("this is a view").with_hint("SHOW CREATE VIEW").at(name.span()))
                }
            },
            Show::CreateView(name) => match catalog.find_name(name)? {
                Entry::View(view) => Ok(Response::Text(view.show_create())),
                Entry::Table(_) => {
                    Err(Error::plan("this is a table").with_hint("SHOW CREATE TABLE").at(name.span()))
                }
            },
        }
    }

    fn show_jobs(&self) -> Result<Response> {
        let mut columns: [Vec<Option<String>>; 5] = Default::default();
        for job in self.jobs() {
            let status = match job.state() {
                JobState::Running => "RUNNING".to_string(),
                JobState::Finished => "FINISHED".to_string(),
                JobState::Cancelled => "CANCELED".to_string(),
                JobState::Failed(e) => format!("FAILED: {}", e.message()),
            };
            let read = job.metrics.rows_in.load(std::sync::atomic::Ordering::Relaxed);
            let written = job.metrics.rows_out.load(std::sync::atomic::Ordering::Relaxed);
            let row = [job.id.to_string(), job.name.clone(), status, read.to_string(), written.to_string()];
            columns.iter_mut().zip(row).for_each(|(c, v)| c.push(Some(v)));
        }
        let [ids, names, states, read, written] = columns;
        text_table(&[
            ("job id", ids),
            ("job name", names),
            ("status", states),
            ("rows in", read),
            ("rows out", written),
        ])
    }

    pub(super) fn describe_named(&self, name: &TableName) -> Result<Response> {
        let entry = self.catalog().find_name(name)?.clone();
        self.describe(&entry, None)
    }

    /// DESCRIBE with the comments of the columns.
    pub(super) fn describe_extended(&self, name: &TableName) -> Result<Response> {
        let entry = self.catalog().find_name(name)?.clone();
        let Response::Table(all) = self.describe(&entry, None)? else {
            return Err(Error::internal("DESCRIBE gives a table"));
        };
        let comment = |row: usize| match &entry {
            Entry::Table(table) => table.columns.get(row).and_then(|c| c.comment.clone()),
            Entry::View(_) => None,
        };
        let comments: ArrayRef = Arc::new((0..all.num_rows()).map(comment).collect::<StringArray>());
        let schema = all.schema();
        let columns =
            schema.fields().iter().zip(all.columns()).map(|(f, c)| (f.name().as_str(), c.clone(), true));
        let columns = columns.chain([("comment", comments, true)]);
        Ok(Response::Table(RecordBatch::try_from_iter_with_nullable(columns)?))
    }

    /// `found`: what is to be said about the table as a whole, beside its first column.
    pub(super) fn describe(&self, entry: &Entry, mut found: Option<String>) -> Result<Response> {
        let planner = self.planner();
        let mut columns: [Vec<Option<String>>; 6] = Default::default();
        let yes_no = |b: bool| Some(if b { "TRUE" } else { "FALSE" }.to_string());
        match entry {
            Entry::Table(table) => {
                let reference = planner.table_ref(table, Default::default(), None)?;
                for (column, field) in table.columns.iter().zip(reference.schema.fields()) {
                    let declared = column.declared().map(|(t, _)| t.to_string());
                    let time = field.metadata().get(crate::function::TIME_METADATA_KEY);
                    let mut data_type = declared.unwrap_or_else(|| show_type(field.data_type()));
                    if time.is_some() {
                        data_type.push_str(" *PROCTIME*");
                    } else if table.watermark.as_ref().is_some_and(|w| w.column == column.name) {
                        data_type.push_str(" *ROWTIME*");
                    }
                    let extras = match &column.source {
                        ColumnSource::Physical { .. } => found.take(),
                        ColumnSource::Metadata { key, is_virtual, .. } => Some(format!(
                            "METADATA FROM '{key}'{}",
                            if *is_virtual { " VIRTUAL" } else { "" }
                        )),
                        ColumnSource::Computed(e) => Some(format!("AS {}", e.text)),
                    };
                    let key = table.primary_key.contains(&column.name);
                    let key = key.then(|| format!("PRI({})", table.primary_key.join(", ")));
                    let watermark = table.watermark.as_ref().filter(|w| w.column == column.name);
                    let watermark = watermark.map(|w| w.expression.text.clone());
                    let row = [
                        Some(column.name.clone()),
                        Some(data_type),
                        yes_no(field.is_nullable()),
                        key,
                        extras,
                        watermark,
                    ];
                    columns.iter_mut().zip(row).for_each(|(c, v)| c.push(v));
                }
            }
            Entry::View(view) => {
                for column in planner.view_columns(view)? {
                    let time = if column.is_rowtime { " *ROWTIME*" } else { "" };
                    let row = [
                        Some(column.name),
                        Some(format!("{}{time}", column.data_type)),
                        yes_no(column.is_nullable),
                        None,
                        None,
                        None,
                    ];
                    columns.iter_mut().zip(row).for_each(|(c, v)| c.push(v));
                }
            }
        }
        let [names, types, nulls, keys, extras, watermarks] = columns;
        text_table(&[
            ("name", names),
            ("type", types),
            ("null", nulls),
            ("key", keys),
            ("extras", extras),
            ("watermark", watermarks),
        ])
    }
}

/// How a file is read that is not declared: the options of its format.
pub(super) fn found_out(table: &Table) -> Option<String> {
    let format = table.options.text("format")?;
    let own = |key: &str| key.split_once('.').is_some_and(|(name, _)| name == format);
    let options = table.options.iter().filter(|(key, _)| own(key));
    let options: Vec<String> =
        options.map(|(key, value)| format!("'{key}' = '{}'", value.replace('\'', "''"))).collect();
    (!options.is_empty()).then(|| format!("file WITH ({})", options.join(", ")))
}
