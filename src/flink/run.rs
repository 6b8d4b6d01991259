//! Runs an export on a cluster: everything is checked in a session of its own first, then it is submitted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::export::{Export, Part};
use super::gateway::{Column, Gateway, JobLook, JobManager, Page};
use crate::console::diagnostic::{self, FAILED};
use crate::console::fault::Fault;
use crate::console::interrupt::INTERRUPTED;
use crate::console::output::{Output, rewrite_line, wipe_line};
use crate::console::progress::thousands;
use crate::console::render::{Ending, Renderer};
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind, Kinds};
use crate::sql::StatementKind;

/// How often jobs are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long rows that are not there are waited for before they are asked for again.
const PAUSE: Duration = Duration::from_millis(100);

/// How a run is followed.
#[derive(Debug, Clone, Default)]
pub struct Follow {
    /// Where the job manager answers; else as the gateway's settings tell.
    pub job_manager: Option<String>,
    /// Jobs are submitted and left alone.
    pub detach: bool,
}

/// A job of the run.
#[derive(Debug)]
struct Started {
    id: String,
    title: String,
    part: usize,
    state: String,
}

impl Started {
    fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "FINISHED" | "FAILED" | "CANCELED" | "SUSPENDED")
    }
}

/// Counts interruptions.
struct Signals(watch::Receiver<u32>);

impl Signals {
    fn listen() -> Self {
        let (sender, receiver) = watch::channel(0);
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let sender = sender.clone();
            match signal(kind) {
                Ok(mut signals) => {
                    tokio::spawn(async move {
                        while signals.recv().await.is_some() {
                            sender.send_modify(|count| *count += 1);
                        }
                    });
                }
                Err(e) => log::warn!("signals are not handled: {e}"),
            }
        }
        Self(receiver)
    }

    fn count(&self) -> u32 {
        *self.0.borrow()
    }

    /// Waits for a time, or for a signal.
    async fn wait(&mut self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            changed = self.0.changed() => if changed.is_err() { tokio::time::sleep(time).await },
        }
    }
}

/// Statements that start a job, as EXPLAIN takes them.
fn explained(part: &Part) -> Option<String> {
    let sql = part.sql.as_deref()?;
    match &part.kind {
        StatementKind::Query(_) | StatementKind::Insert(_) => Some(format!("EXPLAIN {sql}")),
        StatementKind::StatementSet(_) => {
            let upper = sql.trim_start().to_ascii_uppercase();
            let inner = match upper.starts_with("EXECUTE") {
                true => sql.trim_start().get("EXECUTE".len()..).unwrap_or_default(),
                false => sql,
            };
            Some(format!("EXPLAIN {}", inner.trim_start()))
        }
        _ => None,
    }
}

/// Whether a statement defines something for those that follow it.
fn defines(part: &Part) -> bool {
    !matches!(
        part.kind,
        StatementKind::Show(_)
            | StatementKind::ShowSettings
            | StatementKind::Describe(_)
            | StatementKind::DescribeExtended(_)
            | StatementKind::Explain { .. }
            | StatementKind::StopJob { .. }
    )
}

/// Runs it; the exit status. Errors of Flink are shown at the statement's place.
pub async fn run(gateway: Gateway, made: &Export, follow: &Follow, output: &mut Output) -> Result<u8, Fault> {
    let mut signals = Signals::listen();
    let checking = gateway.another().await?;
    for part in &made.parts {
        let Some(sql) = part.sql.as_deref().filter(|_| defines(part)) else { continue };
        if let StatementKind::CreateTable(table) = &part.kind
            && table.query.is_some()
        {
            let error = Error::unsupported("CREATE TABLE AS cannot be checked before it is submitted")
                .with_hint("write CREATE TABLE and INSERT INTO");
            return Ok(told(error, part, made, output));
        }
        let statement = explained(part).unwrap_or_else(|| sql.to_string());
        if let Err(e) = checking.execute(&statement).await {
            let status = told(e, part, made, output);
            output.note("nothing was submitted");
            checking.close().await;
            gateway.close().await;
            return Ok(status);
        }
    }
    checking.close().await;
    let manager = match &follow.job_manager {
        Some(url) => Some(JobManager::new(url)?),
        None => gateway.job_manager().await?.map(|url| JobManager::new(&url)).transpose()?,
    };
    let mut jobs: Vec<Started> = Vec::new();
    for (index, part) in made.parts.iter().enumerate() {
        let Some(sql) = part.sql.as_deref() else { continue };
        if signals.count() > 0 {
            break;
        }
        let done = match &part.kind {
            StatementKind::Query(_) => query(&gateway, sql, &mut signals, output).await,
            _ => statement(&gateway, sql, part, index, &mut jobs, output).await,
        };
        match done {
            Ok(()) => {}
            Err(Fault::Error(e)) => {
                let status = told(e, part, made, output);
                running(&jobs, &gateway, output);
                gateway.close().await;
                return Ok(status);
            }
            Err(closed) => return Err(closed),
        }
    }
    let status = match follow.detach {
        true => {
            running(&jobs, &gateway, output);
            0
        }
        false => followed(&gateway, manager.as_ref(), &mut jobs, made, &mut signals, output).await,
    };
    gateway.close().await;
    Ok(status)
}

/// Shows an error at the place of its statement.
fn told(error: Error, part: &Part, made: &Export, output: &Output) -> u8 {
    let error = error.at(part.span);
    let script = crate::sql::variables::Script::plain(made.script.written.clone());
    diagnostic::show(&error, &script, output.stderr_color);
    diagnostic::status(&error)
}

/// Says which jobs run, and how each is stopped.
fn running(jobs: &[Started], gateway: &Gateway, output: &Output) {
    for job in jobs.iter().filter(|job| !job.is_over()) {
        output.note(format_args!(
            "job {0} ({1}) runs on the cluster; affluent flink run --gateway {2} --stop {0} stops it with a savepoint",
            job.id, job.title, gateway.base
        ));
    }
}

/// A statement that is no query: an INSERT starts a job, others may show something.
async fn statement(
    gateway: &Gateway,
    sql: &str,
    part: &Part,
    index: usize,
    jobs: &mut Vec<Started>,
    output: &mut Output,
) -> Result<(), Fault> {
    let found = gateway.execute(sql).await?;
    let starts = matches!(part.kind, StatementKind::Insert(_) | StatementKind::StatementSet(_));
    if starts {
        let place = found.columns.iter().position(|c| c.name == "job id").unwrap_or(0);
        let id = found.rows.first().and_then(|(_, row)| row.get(place)?.as_str().map(str::to_string));
        let Some(id) = id.or(found.job) else {
            return Err(Error::io("the SQL Gateway returned no job of the INSERT").into());
        };
        output.note(format_args!("job {id} ({}) was submitted", part.title));
        jobs.push(Started { id, title: part.title.clone(), part: index, state: "CREATED".to_string() });
        return Ok(());
    }
    let shows = matches!(
        part.kind,
        StatementKind::Show(_)
            | StatementKind::ShowSettings
            | StatementKind::Describe(_)
            | StatementKind::DescribeExtended(_)
            | StatementKind::Explain { .. }
    );
    if shows {
        let schema = schema(&found.columns);
        let batch = batch(&schema, &found)?;
        let target = output.target;
        target.table(&batch, output.buffer())?;
        output.flush()?;
    }
    Ok(())
}

/// The rows of a query as they come.
async fn query(
    gateway: &Gateway,
    sql: &str,
    signals: &mut Signals,
    output: &mut Output,
) -> Result<(), Fault> {
    let operation = gateway.submit(sql).await?;
    let mut renderer: Option<(SchemaRef, Box<dyn Renderer>)> = None;
    let mut token = 0;
    let before = signals.count();
    loop {
        if signals.count() > before {
            gateway.cancel(&operation).await?;
            if let Some((_, renderer)) = &mut renderer {
                renderer.end(Ending::Cancelled, output.buffer())?;
            }
            output.flush()?;
            output.note("the query was stopped");
            return Ok(());
        }
        let piece = gateway.page(&operation, token).await?;
        if renderer.is_none() && !piece.columns.is_empty() {
            let schema = schema(&piece.columns);
            renderer = Some((schema.clone(), output.target.renderer(schema)?));
        }
        let (empty, ended) = (piece.rows.is_empty(), piece.next.is_none());
        if let Some((schema, renderer)) = &mut renderer {
            if !empty {
                renderer.chunk(&chunk(schema, &piece)?, output.buffer())?;
            }
            if ended {
                renderer.end(Ending::Complete, output.buffer())?;
            } else if empty {
                renderer.idle(output.buffer())?;
            }
        }
        output.flush()?;
        match piece.next {
            Some(next) => token = next,
            None => return Ok(()),
        }
        if empty {
            signals.wait(PAUSE).await;
        }
    }
}

/// Follows jobs to their end, or until the user asks to stop.
async fn followed(
    gateway: &Gateway,
    manager: Option<&JobManager>,
    jobs: &mut [Started],
    made: &Export,
    signals: &mut Signals,
    output: &mut Output,
) -> u8 {
    let mut status = 0;
    let mut told_of_manager = false;
    let mut last = Instant::now();
    while jobs.iter().any(|job| !job.is_over()) {
        match signals.count() {
            0 => {}
            1 => {
                wipe_line();
                stop_all(gateway, jobs, output).await;
                return INTERRUPTED;
            }
            _ => {
                running(jobs, gateway, output);
                return INTERRUPTED;
            }
        }
        let mut line = Vec::new();
        for job in jobs.iter_mut().filter(|job| !job.is_over()) {
            let seen = match manager {
                Some(manager) => manager.look(&job.id).await,
                None => Err(Error::io("the gateway does not tell where the job manager is")),
            };
            let seen = match seen {
                Ok(seen) => seen,
                Err(e) => {
                    if !told_of_manager {
                        told_of_manager = true;
                        output.note(format_args!(
                            "no figures: {}; --jobmanager says where it answers",
                            e.message()
                        ));
                    }
                    match state_of(gateway, &job.id).await {
                        Ok(state) => JobLook { state, ..JobLook::default() },
                        Err(e) => {
                            wipe_line();
                            output.note(format_args!("job {}: {}", job.id, e.message()));
                            running(jobs, gateway, output);
                            return FAILED;
                        }
                    }
                }
            };
            job.state.clone_from(&seen.state);
            if job.is_over() {
                wipe_line();
                let part = &made.parts[job.part];
                match job.state.as_str() {
                    "FINISHED" => output.note(format_args!(
                        "job {} ({}) finished: {} rows in, {} out",
                        job.id,
                        job.title,
                        thousands(seen.read),
                        thousands(seen.written)
                    )),
                    state => {
                        let why = match manager {
                            Some(manager) => manager.failure(&job.id).await.ok().flatten(),
                            None => None,
                        };
                        let error = Error::execution(format!("job {} is {state} on the cluster", job.id));
                        let error = why.iter().fold(error, |e, why| e.with_detail(why));
                        let error = error.with_hint("the web page of the job manager has the whole of it; rows that were written stay");
                        status = told(error, part, made, output).max(FAILED);
                    }
                }
                continue;
            }
            line.push(format!(
                "{} {} ({} rows in, {} out)",
                job.title,
                seen.state,
                thousands(seen.read),
                thousands(seen.written)
            ));
        }
        if !line.is_empty() && !output.quiet {
            if output.stderr_terminal {
                rewrite_line(&line.join("; "));
            } else if !output.report_every.is_zero() && last.elapsed() >= output.report_every {
                last = Instant::now();
                output.note(line.join("; "));
            }
        }
        if jobs.iter().any(|job| !job.is_over()) {
            signals.wait(LOOK).await;
        }
    }
    wipe_line();
    if signals.count() > 0 { INTERRUPTED } else { status }
}

/// A job's state, as the gateway tells it.
async fn state_of(gateway: &Gateway, id: &str) -> Result<String> {
    let jobs = gateway.execute("SHOW JOBS").await?;
    let text = |row: &[Value], at: usize| row.get(at).and_then(Value::as_str).unwrap_or_default().to_string();
    let found = jobs.rows.iter().find(|(_, row)| text(row, 0) == id);
    found.map(|(_, row)| text(row, 2)).ok_or_else(|| Error::io("the cluster does not know the job any more"))
}

async fn stop_all(gateway: &Gateway, jobs: &mut [Started], output: &Output) {
    for job in jobs.iter_mut().filter(|job| !job.is_over()) {
        match stop(gateway, &job.id, false).await {
            Ok(savepoint) => {
                job.state = "FINISHED".to_string();
                output.note(format_args!(
                    "job {} ({}) was stopped with savepoint {savepoint}",
                    job.id, job.title
                ));
            }
            Err(e) => output.note(format_args!("job {} ({}): {}", job.id, job.title, e)),
        }
    }
    running(jobs, gateway, output);
}

/// Stops a job with a savepoint: where that is.
pub async fn stop(gateway: &Gateway, id: &str, drain: bool) -> Result<String> {
    if id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Error::option(format!("'{id}' is no id of a job of Flink's"))
            .with_hint("it has 32 hexadecimal digits; SHOW JOBS lists them"));
    }
    let drain = if drain { " WITH DRAIN" } else { "" };
    let found = gateway.execute(&format!("STOP JOB '{id}' WITH SAVEPOINT{drain}")).await;
    let found = found.map_err(|e| {
        let text = e.to_string();
        let hint = match text.contains("savepoint") || text.contains("Savepoint") {
            true => {
                "SET 'execution.checkpointing.savepoint-dir' in the file, or in the cluster's configuration"
            }
            false => "the web page of the job manager shows what the job does",
        };
        Error::execution(format!("job {id} was not stopped: {}", e.message())).with_hint(hint)
    })?;
    let place = found.rows.first().and_then(|(_, row)| row.first()?.as_str().map(str::to_string));
    place.ok_or_else(|| Error::io("the SQL Gateway returned no savepoint"))
}

/// Flink's types as the renderers know them. What is nested stays JSON.
fn schema(columns: &[Column]) -> SchemaRef {
    let fields = columns.iter().map(|c| {
        let data_type = match c.logical.as_str() {
            "BOOLEAN" => DataType::Boolean,
            "TINYINT" | "SMALLINT" | "INTEGER" => DataType::Int32,
            "BIGINT" => DataType::Int64,
            "FLOAT" => DataType::Float32,
            "DOUBLE" => DataType::Float64,
            "DECIMAL" => DataType::Decimal128(c.digits.0.clamp(1, 38), c.digits.1),
            _ => DataType::Utf8,
        };
        Field::new(&c.name, data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn batch(schema: &SchemaRef, page: &Page) -> Result<RecordBatch> {
    let column = |at: usize| -> Result<ArrayRef> {
        let text = |row: &(String, Vec<Value>)| match row.1.get(at) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        let texts: ArrayRef = Arc::new(page.rows.iter().map(text).collect::<StringArray>());
        let wanted = schema.field(at).data_type();
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(&texts, wanted, &strict).map_err(|e| {
            Error::decode(format!("a value of column '{}' is not {wanted}", schema.field(at).name()))
                .with_detail(e.to_string())
        })
    };
    let columns = (0..schema.fields().len()).map(column).collect::<Result<Vec<_>>>()?;
    let rows = RecordBatchOptions::new().with_row_count(Some(page.rows.len()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &rows)?)
}

fn chunk(schema: &SchemaRef, page: &Page) -> Result<Chunk> {
    let kind = |(kind, _): &(String, Vec<Value>)| match kind.as_str() {
        "UPDATE_BEFORE" => Kind::UpdateBefore,
        "UPDATE_AFTER" => Kind::UpdateAfter,
        "DELETE" => Kind::Delete,
        _ => Kind::Insert,
    };
    let kinds: Vec<Kind> = page.rows.iter().map(kind).collect();
    let kinds = match kinds.iter().all(|k| *k == Kind::Insert) {
        true => Kinds::Append,
        false => Kinds::Changes(kinds.into()),
    };
    Ok(Chunk { batch: batch(schema, page)?, kinds, ingest: Instant::now() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_of_flink_are_batches() {
        let column =
            |name: &str, logical: &str| Column { name: name.into(), logical: logical.into(), digits: (5, 2) };
        let columns =
            vec![column("a", "BIGINT"), column("b", "DECIMAL"), column("c", "ROW"), column("d", "BOOLEAN")];
        let rows = vec![
            ("INSERT".to_string(), vec![json!(1), json!(1.5), json!([1, "x"]), json!(true)]),
            ("DELETE".to_string(), vec![Value::Null, json!("2.25"), Value::Null, Value::Null]),
        ];
        let page = Page { rows, ..Page::default() };
        let schema = schema(&columns);
        let made = chunk(&schema, &page).unwrap();
        assert_eq!((made.kinds.get(0), made.kinds.get(1)), (Kind::Insert, Kind::Delete));
        let mut out = Vec::new();
        crate::console::render::json::write_objects(&made.batch, false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "{\"a\":1,\"b\":1.50,\"c\":\"[1,\\\"x\\\"]\",\"d\":true}\n{\"a\":null,\"b\":2.25,\"c\":null,\"d\":null}\n"
        );
        let wrong = Page {
            rows: vec![("INSERT".into(), vec![json!("x"), Value::Null, Value::Null, Value::Null])],
            ..Page::default()
        };
        assert!(batch(&schema, &wrong).is_err());
    }

    #[test]
    fn ids_of_jobs() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let e = runtime.block_on(Gateway::open("http://127.0.0.1:1")).unwrap_err();
        assert!(
            e.message().contains("nothing answers at http://127.0.0.1:1")
                && e.hint().unwrap().contains("sql-gateway.sh"),
            "{e}"
        );
    }
}
