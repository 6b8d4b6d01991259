//! SUMMARIZE: what is in each column of a table, a file or a query, in one pass over its rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use sqlparser::ast::{Query, SetExpr, TableFactor};

use super::{Materialized, Response, Session};
use crate::error::{Error, Result};
use crate::sql::{SourceText, SqlType, StatementKind, parse_script};

/// What is computed of a column.
struct Figures {
    name: String,
    shown: String,
    /// Values can be distinguished, put in order, added up.
    distinct: bool,
    ordered: bool,
    number: bool,
}

impl Figures {
    fn of(name: &str, t: &DataType) -> Self {
        let nested = matches!(t, DataType::List(_) | DataType::Map(..) | DataType::Struct(_));
        let text = matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let moment = t.is_temporal() && !matches!(t, DataType::Interval(_) | DataType::Duration(_));
        Self {
            name: name.to_string(),
            shown: SqlType::from_arrow(t).map_or_else(|| t.to_string(), |t| t.to_string()),
            distinct: !nested && !matches!(t, DataType::Null | DataType::Interval(_)),
            ordered: text || moment || t.is_numeric(),
            number: t.is_numeric(),
        }
    }

    /// The expressions of column `i`, each under its name.
    fn expressions(&self, i: usize, out: &mut Vec<String>) {
        out.push(format!("COUNT(`c{i}`) AS `n{i}`"));
        if self.distinct {
            out.push(format!("COUNT(DISTINCT `c{i}`) AS `d{i}`"));
        }
        if self.ordered {
            out.push(format!("CAST(MIN(`c{i}`) AS STRING) AS `l{i}`"));
            out.push(format!("CAST(MAX(`c{i}`) AS STRING) AS `h{i}`"));
        }
        if self.number {
            out.push(format!("AVG(CAST(`c{i}` AS DOUBLE)) AS `m{i}`"));
            out.push(format!("STDDEV_SAMP(CAST(`c{i}` AS DOUBLE)) AS `s{i}`"));
        }
    }
}

/// The aggregates over a query, and the columns they are of.
fn aggregated(query: &Query, columns: &[Figures]) -> Result<Box<Query>> {
    let mut expressions = vec!["COUNT(*) AS `rows`".to_string()];
    columns.iter().enumerate().for_each(|(i, column)| column.expressions(i, &mut expressions));
    let names: Vec<String> = (0..columns.len()).map(|i| format!("`c{i}`")).collect();
    let text =
        format!("SELECT {} FROM (SELECT 0) AS `rows_of`({})", expressions.join(", "), names.join(", "));
    let internal = || Error::internal("the query of SUMMARIZE was not understood");
    let statement = parse_script(&SourceText::new("SUMMARIZE", &text))?.pop().ok_or_else(internal)?;
    let StatementKind::Query(mut whole) = statement.kind else { return Err(internal()) };
    let SetExpr::Select(select) = whole.body.as_mut() else { return Err(internal()) };
    match select.from.first_mut().map(|from| &mut from.relation) {
        Some(TableFactor::Derived { subquery, .. }) => **subquery = query.clone(),
        _ => return Err(internal()),
    }
    Ok(whole)
}

impl Session {
    /// The columns of a query as SUMMARIZE knows them, and the query that computes the figures.
    fn summary_of(&self, query: &Query) -> Result<(Vec<Figures>, Box<Query>)> {
        let planner = self.planner();
        let node = planner.result(&planner.query(query)?)?;
        if !node.properties.bounded && query.limit_clause.is_none() && query.fetch.is_none() {
            return Err(Error::plan("SUMMARIZE counts the rows of what ends, and this does not")
                .with_hint("SUMMARIZE SELECT * FROM t LIMIT 1000 takes the first rows"));
        }
        let columns: Vec<Figures> =
            node.arrow.fields().iter().map(|f| Figures::of(f.name(), f.data_type())).collect();
        let whole = aggregated(query, &columns)?;
        Ok((columns, whole))
    }

    /// What would fail when it is run.
    pub(super) fn check_summarize(&self, query: &Query) -> Result<()> {
        let (_, whole) = self.summary_of(query)?;
        self.planner().query(&whole).map(drop)
    }

    pub(super) fn summarize(&self, query: &Query) -> Result<Response> {
        let (columns, whole) = self.summary_of(query)?;
        let Response::Query(mut rows) = self.run_query(&whole, false)? else {
            return Err(Error::internal("a query gives rows"));
        };
        let mut state = Materialized::new(rows.schema().clone())?;
        while let Some(chunk) = rows.next_chunk()? {
            state.apply(&chunk)?;
        }
        let row = state.batch(0, 1)?;
        Ok(Response::Table(table(&columns, &row)?))
    }
}

/// A row for each column.
fn table(columns: &[Figures], row: &RecordBatch) -> Result<RecordBatch> {
    let count = |name: String| {
        let values = row.column_by_name(&name)?.as_primitive_opt::<Int64Type>()?;
        (!values.is_empty() && values.is_valid(0)).then(|| values.value(0))
    };
    let float = |name: String| {
        let values = row.column_by_name(&name)?.as_primitive_opt::<Float64Type>()?;
        (!values.is_empty() && values.is_valid(0)).then(|| values.value(0))
    };
    let text = |name: String| {
        let values = row.column_by_name(&name)?;
        let text = arrow::compute::cast(values, &DataType::Utf8).ok()?;
        let text = text.as_string_opt::<i32>()?;
        (!text.is_empty() && text.is_valid(0)).then(|| text.value(0).to_string())
    };
    let rows = count("rows".to_string()).unwrap_or(0);
    let each = || columns.iter().enumerate();
    let distinct =
        each().map(|(i, c)| c.distinct.then(|| count(format!("d{i}")).unwrap_or(0))).collect::<Int64Array>();
    let arrays: Vec<(&str, ArrayRef)> = vec![
        ("column", Arc::new(columns.iter().map(|c| Some(c.name.as_str())).collect::<StringArray>())),
        ("type", Arc::new(columns.iter().map(|c| Some(c.shown.as_str())).collect::<StringArray>())),
        ("rows", Arc::new(Int64Array::from(vec![rows; columns.len()]))),
        (
            "nulls",
            Arc::new(
                each().map(|(i, _)| Some(rows - count(format!("n{i}")).unwrap_or(0))).collect::<Int64Array>(),
            ),
        ),
        ("distinct", Arc::new(distinct)),
        ("min", Arc::new(each().map(|(i, _)| text(format!("l{i}"))).collect::<StringArray>())),
        ("max", Arc::new(each().map(|(i, _)| text(format!("h{i}"))).collect::<StringArray>())),
        ("mean", Arc::new(each().map(|(i, _)| float(format!("m{i}"))).collect::<Float64Array>())),
        ("stddev", Arc::new(each().map(|(i, _)| float(format!("s{i}"))).collect::<Float64Array>())),
    ];
    Ok(RecordBatch::try_from_iter_with_nullable(arrays.into_iter().map(|(name, array)| (name, array, true)))?)
}
