//! Rows that a test writes down, and how they are compared and written back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parking_lot::Mutex;

use super::fixture::{CaptureSink, conform};
use super::stage::Captured;
use crate::catalog::table::Own;
use crate::catalog::{Column, ColumnSource, OptionDef, Options, Table};
use crate::connector::{Connector, Sink, SinkChangelog, SinkRequest};
use crate::error::{Error, Result, Span};
use crate::flow::{Chunk, Kind, Kinds};
use crate::format::Encoder;
use crate::format::json::{JsonEncoder, JsonOptions};
use crate::nearest::nearest;
use crate::session::{Response, Session};
use crate::sql::{Insert, Name, SqlType, Statement, StatementKind, TableName};

/// A column that rows are written down for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) data_type: SqlType,
    pub(super) nullable: bool,
}

/// The column with the kinds of changes.
pub(super) const OP: &str = "op";

/// The name under which rows are taken in; no pipeline has it.
const TARGET: &str = "$rows";

/// A table that takes rows in.
struct Target(Mutex<Option<Arc<Captured>>>);

impl Connector for Target {
    fn name(&self) -> &'static str {
        "test"
    }

    fn doc(&self) -> &'static str {
        "rows that a test writes down"
    }

    fn options(&self) -> &'static [OptionDef] {
        &[]
    }

    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        let captured = Captured::new(request.schema.clone(), Vec::new(), SinkChangelog::All);
        *self.0.lock() = Some(captured.clone());
        Ok(Arc::new(CaptureSink(captured)))
    }
}

/// The columns that the names stand for, in their order; all, where there are none.
pub(super) fn chosen(of: &str, all: &[Wanted], names: &[Name]) -> Result<Vec<Wanted>> {
    if names.is_empty() {
        return Ok(all.to_vec());
    }
    let find = |name: &Name| {
        all.iter().find(|c| c.name == name.value).cloned().ok_or_else(|| {
            let error = Error::plan(format!("{of} has no column '{}'", name.value)).at(name.span);
            match nearest(&name.value, all.iter().map(|c| c.name.as_str())) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error.with_hint(format!(
                    "it has: {}",
                    all.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ")
                )),
            }
        })
    };
    names.iter().map(find).collect()
}

/// Computes rows, as an INSERT into a table of these columns has them.
pub(super) fn computed(
    scratch: &Session,
    table: &str,
    columns: &[Wanted],
    query: &sqlparser::ast::Query,
    span: Span,
) -> Result<RecordBatch> {
    let column = |wanted: &Wanted| Column {
        name: wanted.name.clone(),
        source: ColumnSource::Physical { data_type: wanted.data_type.clone(), nullable: wanted.nullable },
        comment: None,
    };
    let target = Arc::new(Target(Mutex::new(None)));
    let mut options = Options::default();
    options.set("connector", "test", Span::default());
    let name = TableName { parts: vec![Name { value: TARGET.to_string(), span }] };
    scratch.put_table(
        &name,
        Table {
            name: table.to_string(),
            home: Default::default(),
            columns: columns.iter().map(column).collect(),
            watermark: None,
            primary_key: Vec::new(),
            partitioned_by: Vec::new(),
            comment: None,
            options,
            temporary: true,
            own: Some(Own::new::<dyn Connector>("test", target.clone())),
        },
    )?;
    let insert = Insert {
        table: name,
        options: Vec::new(),
        overwrite: false,
        columns: Vec::new(),
        partition: Vec::new(),
        query: Box::new(query.clone()),
        conflict: None,
        span,
    };
    let statement = Statement { span, range: 0..0, kind: StatementKind::Insert(insert) };
    if let Response::Job(job) = scratch.execute(&statement)? {
        job.result().map_err(|e| e.at(span))?;
    }
    let captured = target.0.lock().take().ok_or_else(|| Error::internal("rows were not taken in"))?;
    let batches: Vec<RecordBatch> = captured.rows().into_iter().map(|(batch, _)| batch).collect();
    Ok(concat_batches(&captured.schema, &batches)?)
}

/// Takes the kinds of changes out of the first column.
pub(super) fn with_kinds(batch: &RecordBatch, span: Span) -> Result<(RecordBatch, Kinds)> {
    let column = batch.columns().first().and_then(|c| c.as_string_view_opt());
    let column = column.ok_or_else(|| Error::internal("changes without their kinds"))?;
    let kind = |text: Option<&str>| match text {
        Some("+I") => Ok(Kind::Insert),
        Some("-U") => Ok(Kind::UpdateBefore),
        Some("+U") => Ok(Kind::UpdateAfter),
        Some("-D") => Ok(Kind::Delete),
        other => Err(Error::plan(format!("'{}' is no kind of change", other.unwrap_or("NULL")))
            .at(span)
            .with_hint("the first column of changes is '+I', '-U', '+U' or '-D'")),
    };
    let kinds = column.iter().map(kind).collect::<Result<Vec<_>>>()?;
    let rest: Vec<usize> = (1..batch.num_columns()).collect();
    Ok((batch.project(&rest)?, Kinds::Changes(kinds.into())))
}

/// The columns of a schema.
pub(super) fn columns_of(schema: &SchemaRef) -> Result<Vec<Wanted>> {
    let column = |field: &arrow::datatypes::FieldRef| {
        let data_type = SqlType::from_arrow(field.data_type())
            .ok_or_else(|| Error::unsupported(format!("column '{}' has no SQL type", field.name())))?;
        Ok(Wanted { name: field.name().clone(), data_type, nullable: true })
    };
    schema.fields().iter().map(column).collect()
}

/// What was written: all changes, the kind of each in the first column.
pub(super) fn changes(captured: &Captured) -> Result<RecordBatch> {
    let op = Field::new(OP, DataType::Utf8View, false);
    let fields = std::iter::once(Arc::new(op)).chain(captured.schema.fields().iter().cloned());
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut batches = Vec::new();
    for (batch, kinds) in captured.rows() {
        let kinds = (0..batch.num_rows()).map(|row| kinds.get(row).as_str());
        let mut columns: Vec<ArrayRef> = vec![Arc::new(StringViewArray::from_iter_values(kinds))];
        columns.extend(batch.columns().iter().cloned());
        batches.push(RecordBatch::try_new(schema.clone(), columns)?);
    }
    Ok(concat_batches(&schema, &batches)?)
}

/// What was written: the rows that are left when all changes are applied.
pub(super) fn table(captured: &Captured) -> Result<RecordBatch> {
    let all = captured.rows();
    let batches: Vec<&RecordBatch> = all.iter().map(|(batch, _)| batch).collect();
    let rows = concat_batches(&captured.schema, batches)?;
    let kinds: Vec<Kind> =
        all.iter().flat_map(|(batch, kinds)| (0..batch.num_rows()).map(|row| kinds.get(row))).collect();
    if kinds.iter().all(|kind| *kind == Kind::Insert) && captured.key.is_empty() {
        return Ok(rows);
    }
    // What a row is found by: its key, or all of it.
    let by = match captured.changelog {
        SinkChangelog::Upsert if !captured.key.is_empty() => rows.project(&captured.key)?,
        _ => rows.clone(),
    };
    let names = json(&by)?;
    let mut alive: Vec<usize> = Vec::new();
    let mut places: std::collections::HashMap<&str, Vec<usize>> = std::collections::HashMap::new();
    let upserts = by.num_columns() < rows.num_columns() || captured.changelog == SinkChangelog::Upsert;
    let mut gone = vec![false; kinds.len()];
    for (row, kind) in kinds.iter().enumerate() {
        let known = places.entry(names[row].as_str()).or_default();
        match kind {
            Kind::Insert | Kind::UpdateAfter => {
                if upserts && !captured.key.is_empty() {
                    known.drain(..).for_each(|old| gone[old] = true);
                }
                known.push(row);
                alive.push(row);
            }
            Kind::UpdateBefore | Kind::Delete => {
                if let Some(old) = known.pop() {
                    gone[old] = true;
                }
            }
        }
    }
    let left: Vec<u32> = alive.into_iter().filter(|row| !gone[*row]).map(|row| row as u32).collect();
    Ok(arrow::compute::take_record_batch(&rows, &arrow::array::UInt32Array::from(left))?)
}

/// Rows as JSON, a line each.
pub(crate) fn json(batch: &RecordBatch) -> Result<Vec<String>> {
    let mut encoder = JsonEncoder::new(JsonOptions::default(), batch.schema())?;
    let mut bytes = Vec::new();
    encoder.encode(&Chunk::append(batch.clone(), std::time::Instant::now()), &mut bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::internal("JSON is not UTF-8"))?;
    Ok(text.lines().map(str::to_string).collect())
}

/// Rows with the columns and types of others.
pub(super) fn like(batch: &RecordBatch, columns: &[Wanted], zone: &str) -> Result<RecordBatch> {
    let field = |c: &Wanted| Field::new(&c.name, c.data_type.to_arrow(zone), true);
    conform(batch, &Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())))
}

/// What is different; `None` where nothing is.
pub(super) fn difference(expected: &[String], found: &[String], ordered: bool) -> Option<Vec<String>> {
    if ordered {
        return (expected != found).then(|| in_order(expected, found));
    }
    let mut left: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
    found.iter().for_each(|row| *left.entry(row).or_default() += 1);
    let mut missing: Vec<&String> = Vec::new();
    for row in expected {
        match left.get_mut(row.as_str()).filter(|n| **n > 0) {
            Some(n) => *n -= 1,
            None => missing.push(row),
        }
    }
    let mut surplus: Vec<&String> = Vec::new();
    for row in found.iter().rev() {
        if let Some(n) = left.get_mut(row.as_str()).filter(|n| **n > 0) {
            *n -= 1;
            surplus.push(row);
        }
    }
    surplus.reverse();
    if missing.is_empty() && surplus.is_empty() {
        return None;
    }
    let same = expected.len() - missing.len();
    let compared = missing.len() * surplus.len() <= 10_000;
    let mut lines = Vec::new();
    // What is most alike stands together.
    for row in missing {
        lines.push(format!("- {row}"));
        let score = |other: &&String| likeness(row, other);
        if !compared {
            continue;
        }
        let near = surplus.iter().enumerate().max_by_key(|(at, other)| (score(other), usize::MAX - at));
        if let Some((at, other)) = near.filter(|(_, other)| score(other) > 0) {
            lines.push(format!("+ {other}"));
            let differing = differing(row, other);
            if !differing.is_empty() {
                lines.push(format!("    {differing}"));
            }
            surplus.remove(at);
        }
    }
    lines.extend(surplus.into_iter().map(|row| format!("+ {row}")));
    if same > 0 {
        lines.push(format!("  and {same} {} as expected", if same == 1 { "row" } else { "rows" }));
    }
    Some(lines)
}

fn in_order(expected: &[String], found: &[String]) -> Vec<String> {
    let same = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
    let mut lines = Vec::new();
    if same > 0 {
        lines.push(format!("  {same} {} as expected, then", if same == 1 { "row" } else { "rows" }));
    }
    lines.extend(expected.iter().skip(same).map(|row| format!("- {row}")));
    lines.extend(found.iter().skip(same).map(|row| format!("+ {row}")));
    lines
}

type Object = serde_json::Map<String, serde_json::Value>;

fn object(row: &str) -> Option<Object> {
    serde_json::from_str(row).ok()
}

/// How many columns are equal.
fn likeness(a: &str, b: &str) -> usize {
    let (Some(a), Some(b)) = (object(a), object(b)) else { return 0 };
    a.iter().filter(|(name, value)| b.get(*name) == Some(*value)).count()
}

/// The columns that differ.
fn differing(expected: &str, found: &str) -> String {
    let (Some(a), Some(b)) = (object(expected), object(found)) else { return String::new() };
    let other = a.iter().filter(|(name, value)| b.get(*name) != Some(*value));
    let text = |(name, value): (&String, &serde_json::Value)| match b.get(name) {
        Some(found) => format!("{name}: {value} expected, {found} found"),
        None => format!("{name}: {value} expected"),
    };
    other.map(text).collect::<Vec<_>>().join("; ")
}

/// Rows as `VALUES`, to be written into a test.
pub(super) fn values(batch: &RecordBatch) -> Result<String> {
    let row = |row: usize| -> Result<String> {
        let cells = batch.columns().iter().map(|column| literal(column, row)).collect::<Result<Vec<_>>>()?;
        Ok(format!("  ({})", cells.join(", ")))
    };
    let rows = (0..batch.num_rows()).map(row).collect::<Result<Vec<_>>>()?;
    Ok(format!("VALUES\n{}", rows.join(",\n")))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A value as it is written in SQL.
fn literal(column: &ArrayRef, row: usize) -> Result<String> {
    if column.is_null(row) {
        return Ok("NULL".to_string());
    }
    let options = FormatOptions::default()
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    let plain = || -> Result<String> {
        Ok(ArrayFormatter::try_new(column.as_ref(), &options)?.value(row).to_string())
    };
    let all = |values: &ArrayRef| -> Result<Vec<String>> {
        (0..values.len()).map(|at| literal(values, at)).collect()
    };
    Ok(match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => quoted(&plain()?),
        DataType::Boolean => plain()?.to_uppercase(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            format!("X'{}'", plain()?)
        }
        DataType::Date32 | DataType::Date64 => format!("DATE '{}'", plain()?),
        DataType::Time32(_) | DataType::Time64(_) => format!("TIME '{}'", plain()?),
        DataType::Timestamp(unit, Some(_)) => {
            let millis = arrow::compute::cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
            let millis = millis.as_primitive::<arrow::datatypes::TimestampMillisecondType>().value(row);
            match unit {
                TimeUnit::Second | TimeUnit::Millisecond => format!("TO_TIMESTAMP_LTZ({millis}, 3)"),
                _ => format!("CAST('{}' AS TIMESTAMP_LTZ(9))", plain()?),
            }
        }
        DataType::Timestamp(..) => format!("TIMESTAMP '{}'", plain()?),
        DataType::Float32 | DataType::Float64 => match plain()?.as_str() {
            "NaN" => "CAST('NaN' AS DOUBLE)".to_string(),
            "inf" => "CAST('Infinity' AS DOUBLE)".to_string(),
            "-inf" => "CAST('-Infinity' AS DOUBLE)".to_string(),
            number => number.to_string(),
        },
        DataType::List(_) => format!("ARRAY[{}]", all(&column.as_list::<i32>().value(row))?.join(", ")),
        DataType::Struct(_) => {
            let cells =
                column.as_struct().columns().iter().map(|c| literal(c, row)).collect::<Result<Vec<_>>>()?;
            format!("ROW({})", cells.join(", "))
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            let (keys, values) = (all(entries.column(0))?, all(entries.column(1))?);
            let pairs: Vec<String> = keys.into_iter().zip(values).flat_map(|(k, v)| [k, v]).collect();
            format!("MAP[{}]", pairs.join(", "))
        }
        _ => plain()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rows(rows: &[&str]) -> Vec<String> {
        rows.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rows_that_are_alike_stand_together() {
        let expected =
            rows(&[r#"{"id":1,"brand":"a"}"#, r#"{"id":2,"brand":"b"}"#, r#"{"id":3,"brand":"c"}"#]);
        let found = rows(&[r#"{"id":3,"brand":"c"}"#, r#"{"id":4,"brand":"x"}"#, r#"{"id":2,"brand":null}"#]);
        let lines = difference(&expected, &found, false).unwrap();
        let wanted = [
            r#"- {"id":1,"brand":"a"}"#,
            r#"- {"id":2,"brand":"b"}"#,
            r#"+ {"id":2,"brand":null}"#,
            r#"    brand: "b" expected, null found"#,
            r#"+ {"id":4,"brand":"x"}"#,
            "  and 1 row as expected",
        ];
        assert_eq!(lines, wanted);
        assert!(difference(&expected, &rows(&[&expected[2], &expected[0], &expected[1]]), false).is_none());
    }

    #[test]
    fn order_counts_where_it_is_said() {
        let lines = difference(&rows(&["a", "b", "c"]), &rows(&["a", "c", "b"]), true).unwrap();
        assert_eq!(lines, ["  1 row as expected, then", "- b", "- c", "+ c", "+ b"]);
        // Each row counts.
        assert!(difference(&rows(&["a", "a"]), &rows(&["a"]), false).is_some());
    }
}
