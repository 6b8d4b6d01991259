//! EXPLAIN ANALYZE: runs a query or INSERT and shows what each operator did.
//!
//! What ends runs to its end; what does not is stopped after `affluent.explain-analyze.time`. The rows of a query
//! are dropped where a SELECT would show them; an INSERT writes.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::figures::{Step, duration_text, steps, thousands};
use super::start::Output;
use super::{Response, Session};
use crate::connector::SinkChangelog;
use crate::connector::blackhole::Nothing;
use crate::error::{Error, Result};
use crate::flow::{Job, JobState};
use crate::lookup::LookupMetrics;
use crate::sql::StatementKind;

impl Session {
    pub(super) fn analyze(&self, statement: &StatementKind) -> Result<Response> {
        let planner = self.planner();
        let (name, outputs) = match statement {
            StatementKind::Query(query) => {
                let node = planner.result(&planner.shared_query(query)?)?;
                (
                    "explain-analyze".to_string(),
                    vec![Output {
                        node,
                        sink: Arc::new(Nothing(SinkChangelog::All)),
                        id: "Sink".to_string(),
                        table: None,
                        place: None,
                        before: true,
                    }],
                )
            }
            StatementKind::Insert(insert) => {
                self.insert_outputs(&planner, std::slice::from_ref(insert), false)?
            }
            StatementKind::StatementSet(inserts) => self.insert_outputs(&planner, inserts, false)?,
            _ => return Err(Error::plan("EXPLAIN ANALYZE takes a query, an INSERT or a statement set")),
        };
        let bounded = outputs.iter().all(|o| o.node.properties.bounded);
        let limit = self.state.lock().config.analyze_time();
        let job = self.start_job(name, outputs, false, Some(planner.doubts()))?;
        let stopped = !bounded && job.wait_for(limit).is_none();
        if stopped {
            job.cancel();
        }
        let text = match job.wait() {
            JobState::Failed(e) => return Err(e),
            JobState::Cancelled if stopped => report(&job, "does not end by itself: stopped after"),
            JobState::Cancelled => report(&job, "interrupted after"),
            JobState::Running | JobState::Finished => report(&job, "ended after"),
        };
        Ok(Response::Text(text))
    }
}

fn report(job: &Job, how: &str) -> String {
    let steps = steps(job);
    let mut text = format!("== Ran ==\n{how} {}\n", duration_text(job.elapsed()));
    write_steps(&steps, &mut text);
    write_lookups(job, &mut text);
    text
}

/// Figures in columns, and what they belong to behind them, as the plan is drawn: fragment by fragment, in the
/// order of the rows' way.
fn write_steps(steps: &[Step<'_>], text: &mut String) {
    let all: Duration = steps.iter().map(|s| s.stage.busy()).sum();
    let header = ["rows in", "rows out", "time", "share", "blocked", "operator"].map(str::to_string);
    let mut rows = vec![header];
    let mut fragment = None;
    for step in steps {
        let stage = step.stage;
        if fragment.replace(stage.fragment) != Some(stage.fragment) {
            let tasks = stage.tasks();
            let plural = if tasks == 1 { "task" } else { "tasks" };
            let mut row: [String; 6] = Default::default();
            row[5] = format!("Fragment {}, {tasks} {plural}", stage.fragment);
            rows.push(row);
        }
        let share = stage.busy().as_secs_f64() / all.as_secs_f64().max(1e-9);
        let head = matches!(stage.name, "Source" | "Receive");
        rows.push([
            if head { String::new() } else { thousands(stage.rows_in()) },
            if stage.name == "Sink" { String::new() } else { thousands(stage.rows_out()) },
            if stage.name == "Receive" { String::new() } else { duration_text(stage.busy()) },
            if stage.name == "Receive" { String::new() } else { format!("{:.1}%", 100.0 * share) },
            if head { format!("{:.1}%", 100.0 * step.rates.blocked) } else { String::new() },
            format!("  {}", step.title()),
        ]);
    }
    let width = |i: usize| rows.iter().map(|r| r[i].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "{cell:>width$}  ");
        }
        let _ = writeln!(text, "{}", row[5]);
    }
}

fn write_lookups(job: &Job, text: &mut String) {
    if job.lookups.is_empty() {
        return;
    }
    text.push_str("\n== Lookups ==\n");
    for (name, metrics) in &job.lookups {
        let get = LookupMetrics::get;
        let _ = write!(text, "{name}: {} calls", thousands(get(&metrics.calls)));
        if get(&metrics.calls) > 0 {
            let at = |quantile| duration_text(Duration::from_micros(metrics.latency_micros(quantile)));
            let _ = write!(text, " ({} / {} at the median / 99th percentile)", at(0.5), at(0.99));
            if get(&metrics.keys) > get(&metrics.calls) {
                let _ = write!(text, " for {} keys", thousands(get(&metrics.keys)));
            }
        }
        let counts = [
            (get(&metrics.hits), "rows from the cache"),
            (get(&metrics.misses), "rows not in the cache"),
            (get(&metrics.not_found), "keys not found"),
            (get(&metrics.stale), "answers that were stale"),
            (get(&metrics.retries), "retries"),
            (get(&metrics.hedged), "hedged requests"),
            (get(&metrics.failures), "failed attempts of keys"),
            (get(&metrics.refused), "keys refused by the circuit breaker"),
            (get(&metrics.errors), "keys failed"),
            (get(&metrics.dead_letters), "dead letters"),
            (get(&metrics.cached), "keys cached"),
            (get(&metrics.cached_bytes), "bytes cached"),
            (get(&metrics.evictions), "keys evicted"),
            (get(&metrics.loads), "loads of the whole table"),
            (get(&metrics.load_failures), "loads that failed"),
        ];
        for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
            let _ = write!(text, ", {} {what}", thousands(*count));
        }
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn text(session: &Session, sql: &str) -> String {
        match session.sql(sql).unwrap() {
            Response::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bounded_queries_run_to_their_end() {
        let session = Session::new().unwrap();
        session
            .sql(
                "SET 'parallelism.default' = '1';
                 CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '1000',
                     'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000')",
            )
            .unwrap();
        let shown = text(&session, "EXPLAIN ANALYZE SELECT n FROM numbers WHERE n <= 10");
        assert!(shown.starts_with("== Ran ==\nended after "), "{shown}");
        let line = |what: &str| shown.lines().find(|l| l.contains(what)).unwrap_or_default().to_string();
        assert!(line("Source: ").trim_start().starts_with("1,000 "), "{shown}");
        assert!(line("  Sink").trim_start().starts_with("10 "), "{shown}");
        assert!(line("Fragment 0, 1 task").ends_with('k'), "{shown}");
        assert_eq!(session.jobs().len(), 1);
    }

    #[test]
    fn endless_queries_are_stopped() {
        let session = Session::new().unwrap();
        session
            .sql(
                "SET 'affluent.explain-analyze.time' = '1 ms';
                 CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10')",
            )
            .unwrap();
        let shown = text(&session, "EXPLAIN ANALYZE SELECT n FROM ticks");
        assert!(shown.contains("does not end by itself: stopped after"), "{shown}");
    }

    #[test]
    fn inserts_write_and_failures_are_errors() {
        let session = Session::new().unwrap();
        session.sql("CREATE TABLE gone (n INT) WITH ('connector' = 'blackhole')").unwrap();
        let shown = text(&session, "EXPLAIN ANALYZE INSERT INTO gone VALUES (1), (2)");
        assert!(shown.contains("Sink"), "{shown}");
        let e = session
            .sql("EXPLAIN ANALYZE SELECT CAST(x AS INT) FROM (VALUES ('no number')) AS t(x)")
            .unwrap_err();
        assert!(!e.message().is_empty());
        assert!(session.sql("EXPLAIN ANALYZE SHOW TABLES").is_err());
    }
}
