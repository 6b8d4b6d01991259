//! Charts: rows → a Vega-Lite v5 specification, which JupyterLab draws without an extension.
//!
//! Fields are called `x`, `y` and `color` in the specification, whatever the columns are called: Vega reads dots
//! and brackets in field names as paths. Nothing of the data becomes part of an expression.
//!
//! Times are written as milliseconds of what the clock shows, and drawn in UTC: a TIMESTAMP as it stands, a
//! TIMESTAMP_LTZ as it is in the session's zone, whatever the browser's zone is.

use std::str::FromStr;

use arrow::array::timezone::Tz;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef, TimeUnit};
use chrono::{DateTime, Offset, TimeZone};
use serde_json::{Map, Value, json};

use super::directive::{ChartRequest, Mark};
use crate::console::render::text::TextColumn;
use crate::console::render::visible;
use crate::error::{Error, Result};
use crate::nearest::nearest;

/// Characters of a label.
const LABEL: usize = 80;

/// What a column's values are in a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Number,
    Time,
    Word,
}

impl Scale {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            t if t.is_numeric() => Self::Number,
            DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => Self::Time,
            _ => Self::Word,
        }
    }

    fn vega(self) -> &'static str {
        match self {
            Self::Number => "quantitative",
            Self::Time => "temporal",
            Self::Word => "nominal",
        }
    }
}

/// A column in a role.
#[derive(Debug)]
struct Channel {
    role: &'static str,
    column: usize,
    name: String,
    scale: Scale,
}

/// A chart of a result with known columns.
#[derive(Debug)]
pub struct Chart {
    request: ChartRequest,
    channels: Vec<Channel>,
}

impl Chart {
    /// Finds the columns.
    pub fn new(request: &ChartRequest, schema: &SchemaRef) -> Result<Self> {
        let wanted = [("x", Some(&request.x)), ("y", request.y.as_ref()), ("color", request.color.as_ref())];
        let mut channels = Vec::new();
        for (role, name) in wanted {
            let Some(name) = name else { continue };
            let column = find(name, schema).map_err(|e| e.at(request.span))?;
            let field = schema.field(column);
            let scale = Scale::of(field.data_type());
            let must_count = role == "y" || (role == "x" && request.mark == Mark::Histogram);
            if must_count && scale != Scale::Number {
                return Err(Error::plan(format!("{role}={name} is no number: a chart cannot measure it"))
                    .with_detail(format!("its type is {}", type_name(field.data_type())))
                    .at(request.span));
            }
            channels.push(Channel { role, column, name: field.name().clone(), scale });
        }
        Ok(Self { request: request.clone(), channels })
    }

    /// Rows that are drawn.
    pub fn points(&self) -> usize {
        self.request.points
    }

    /// The specification with the rows in it.
    pub fn spec(&self, rows: &RecordBatch) -> Result<Value> {
        let mut values: Vec<Map<String, Value>> = vec![Map::new(); rows.num_rows()];
        for channel in &self.channels {
            fill(channel, rows, &mut values)?;
        }
        let mut encoding = Map::new();
        for channel in &self.channels {
            let mut one = self.encoding(channel);
            let clock = matches!(rows.column(channel.column).data_type(), DataType::Timestamp(_, _));
            if clock && let Some(format) = clock_format(channel.role, &values) {
                one["axis"] = json!({"format": format});
            }
            encoding.insert(channel.role.to_string(), one);
        }
        if self.request.mark == Mark::Histogram {
            encoding
                .insert("y".into(), json!({"aggregate": "count", "type": "quantitative", "title": "rows"}));
        }
        let mark = match self.request.mark {
            Mark::Line => "line",
            Mark::Bar | Mark::Histogram => "bar",
            Mark::Point => "point",
        };
        let mut spec = json!({
            "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
            "data": {"values": values},
            "mark": {"type": mark, "tooltip": true},
            "encoding": encoding,
            "width": self.request.width,
            "height": self.request.height,
        });
        if let Some(title) = &self.request.title {
            spec["title"] = json!(label(title));
        }
        Ok(spec)
    }

    fn encoding(&self, channel: &Channel) -> Value {
        // Colours of a line or a bar distinguish groups; those of points may also measure.
        let groups = channel.role == "color" && self.request.mark != Mark::Point;
        let scale = if groups && channel.scale == Scale::Number { "ordinal" } else { channel.scale.vega() };
        let mut encoding = json!({"field": channel.role, "type": scale, "title": label(&channel.name)});
        if channel.scale == Scale::Time {
            encoding["scale"] = json!({"type": "utc"});
        }
        // Lines and points show differences; only a bar's length begins at zero.
        let from_zero = matches!(self.request.mark, Mark::Bar | Mark::Histogram);
        if !from_zero && channel.scale == Scale::Number && channel.role != "color" {
            encoding["scale"] = json!({"zero": false});
        }
        if channel.role == "x" && self.request.mark == Mark::Histogram {
            encoding["bin"] = json!({"maxbins": self.request.bins});
        }
        if channel.role == "x" && self.request.mark == Mark::Bar {
            // A bar for each number, too.
            if channel.scale == Scale::Number {
                encoding["type"] = json!("ordinal");
            }
            if let Some(sort) = &self.request.sort {
                encoding["sort"] = match sort.as_str() {
                    "x" => json!("ascending"),
                    "-x" => json!("descending"),
                    other => json!(other),
                };
            }
        }
        encoding
    }

    /// What stands for the chart where it cannot be drawn.
    pub fn words(&self, rows: usize) -> String {
        let name = match self.request.mark {
            Mark::Line => "line chart",
            Mark::Bar => "bar chart",
            Mark::Point => "point chart",
            Mark::Histogram => "histogram",
        };
        let roles: Vec<String> =
            self.channels.iter().map(|c| format!("{}: {}", c.role, label(&c.name))).collect();
        format!("{name} of {}, {}", crate::console::render::rows(rows as u64), roles.join(", "))
    }
}

fn find(name: &str, schema: &SchemaRef) -> Result<usize> {
    let names = || schema.fields().iter().map(|f| f.name().as_str());
    let exact = names().position(|n| n == name);
    if let Some(found) = exact.or_else(|| names().position(|n| n.eq_ignore_ascii_case(name))) {
        return Ok(found);
    }
    let error = Error::plan(format!("the result has no column '{name}'"));
    Err(match nearest(name, names()) {
        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
        None => {
            let some: Vec<&str> = names().take(20).collect();
            error.with_hint(format!("it has: {}", some.join(", ")))
        }
    })
}

fn type_name(data_type: &DataType) -> String {
    crate::sql::SqlType::from_arrow(data_type).map_or_else(|| data_type.to_string(), |t| t.to_string())
}

fn label(text: &str) -> String {
    let mut out = String::new();
    visible::push_text(&text.chars().take(LABEL).collect::<String>(), &mut out);
    out
}

/// Writes a column into the rows of the specification; NULL and what is no number as `null`.
fn fill(channel: &Channel, rows: &RecordBatch, values: &mut [Map<String, Value>]) -> Result<()> {
    let array = rows.column(channel.column);
    let mut set = |row: usize, value: Value| {
        values[row].insert(channel.role.to_string(), value);
    };
    match channel.scale {
        Scale::Number => {
            let numbers = cast(array, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            for (row, number) in numbers.iter().enumerate() {
                set(row, number.and_then(serde_json::Number::from_f64).map_or(Value::Null, Value::Number));
            }
        }
        Scale::Time => {
            let zone = match array.data_type() {
                DataType::Timestamp(_, Some(zone)) => Some(Tz::from_str(zone)?),
                _ => None,
            };
            let millis = cast(array, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
            let millis = cast(&millis, &DataType::Int64)?;
            for (row, millis) in millis.as_primitive::<Int64Type>().iter().enumerate() {
                set(row, millis.map_or(Value::Null, |millis| json!(wall_clock(millis, zone.as_ref()))));
            }
        }
        Scale::Word => {
            let words = TextColumn::new(&**array)?;
            let mut raw = String::new();
            for row in 0..array.len() {
                if words.is_null(row) {
                    set(row, Value::Null);
                    continue;
                }
                raw.clear();
                words.write(row, &mut raw)?;
                set(row, json!(label(&raw)));
            }
        }
    }
    Ok(())
}

/// How times are written along an axis: Vega's own way shows seconds alone where a chart spans some.
fn clock_format(role: &str, values: &[Map<String, Value>]) -> Option<&'static str> {
    let millis = || values.iter().filter_map(|row| row.get(role)?.as_i64());
    match (millis().min()?, millis().max()?) {
        _ if role == "color" => None,
        (first, last) if last.saturating_sub(first) < 10_000 => Some("%H:%M:%S.%L"),
        (first, last) if last.saturating_sub(first) < 86_400_000 => Some("%H:%M:%S"),
        _ => None,
    }
}

/// What the clock shows in a zone, as if it were UTC.
fn wall_clock(millis: i64, zone: Option<&Tz>) -> i64 {
    let (Some(zone), Some(utc)) = (zone, DateTime::from_timestamp_millis(millis)) else { return millis };
    let offset = zone.offset_from_utc_datetime(&utc.naive_utc()).fix();
    millis + i64::from(offset.local_minus_utc()) * 1_000
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Date32Array, Float64Array, Int64Array, StringArray, TimestampMillisecondArray,
    };

    use super::*;
    use crate::notebook::directive::{POINTS, read};
    use crate::sql::{SourceText, parse_script};

    fn request(text: &str) -> ChartRequest {
        let text = format!("--%chart {text}\nSELECT 1");
        let statements = parse_script(&SourceText::new("cell", &text)).unwrap();
        read(&text, &statements).unwrap().remove(0).chart.unwrap()
    }

    fn batch() -> RecordBatch {
        let zone = |values: Vec<i64>| TimestampMillisecondArray::from(values).with_timezone("Europe/Berlin");
        let columns: [(&str, ArrayRef); 5] = [
            ("ts", Arc::new(zone(vec![0, 1_751_364_000_000]))),
            ("temp.c[0]", Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::NAN)]))),
            ("brand", Arc::new(StringArray::from(vec![Some("a\u{1b}<b>"), None]))),
            ("n", Arc::new(Int64Array::from(vec![1, 2]))),
            ("day", Arc::new(Date32Array::from(vec![1, 2]))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(n, a)| (n, a, true))).unwrap()
    }

    fn spec(text: &str) -> Value {
        let chart = Chart::new(&request(text), &batch().schema()).unwrap();
        chart.spec(&batch()).unwrap()
    }

    #[test]
    fn lines() {
        let spec = spec("line x=ts y='temp.c[0]' color=brand title='T'");
        assert_eq!(
            spec["data"]["values"],
            json!([{"x": 3_600_000, "y": 1.5, "color": "a␛<b>"}, {"x": 1_751_371_200_000_i64, "y": null, "color": null}])
        );
        assert_eq!(
            spec["encoding"]["x"],
            json!({"field": "x", "type": "temporal", "title": "ts", "scale": {"type": "utc"}})
        );
        assert_eq!(spec["encoding"]["y"]["title"], "temp.c[0]");
        assert_eq!(spec["encoding"]["color"]["type"], "nominal");
        assert_eq!((&spec["mark"]["type"], &spec["title"]), (&json!("line"), &json!("T")));
    }

    #[test]
    fn bars_points_and_histograms() {
        let bars = spec("bar x=n y=n color=n sort=-y");
        assert_eq!(bars["encoding"]["x"]["type"], "ordinal");
        assert_eq!(
            (&bars["encoding"]["x"]["sort"], &bars["encoding"]["color"]["type"]),
            (&json!("-y"), &json!("ordinal"))
        );
        assert_eq!(spec("point x=day y=n color=n")["encoding"]["color"]["type"], "quantitative");
        assert_eq!(spec("point x=day y=n")["encoding"]["x"]["axis"], Value::Null);
        assert_eq!(spec("point x=day y=n")["data"]["values"][0]["x"], 86_400_000);
        let histogram = spec("histogram x=n bins=7");
        assert_eq!(histogram["encoding"]["x"]["bin"], json!({"maxbins": 7}));
        assert_eq!(histogram["encoding"]["y"]["aggregate"], "count");
        assert_eq!(histogram["mark"]["type"], "bar");
    }

    #[test]
    fn columns_are_found_or_named() {
        let message = |text: &str| Chart::new(&request(text), &batch().schema()).unwrap_err().to_string();
        let near = message("line x=tss y=n");
        assert_eq!(near, "the result has no column 'tss'\n  hint: did you mean 'ts'?");
        assert!(message("line x=what y=n").ends_with("hint: it has: ts, temp.c[0], brand, n, day"));
        assert!(message("line x=ts y=brand").starts_with("y=brand is no number"));
        assert!(message("histogram x=ts").starts_with("x=ts is no number"));
        let chart = Chart::new(&request("line x=TS y=n"), &batch().schema()).unwrap();
        assert_eq!(
            (chart.points(), chart.words(2)),
            (POINTS, "line chart of 2 rows, x: ts, y: n".to_string())
        );
    }
}
