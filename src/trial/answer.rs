//! Lookup backends of a test: rules that answer, and real ones that hold the clock while they work.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array,
};
use arrow::compute::{cast, concat_batches, take};
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion_physical_expr::PhysicalExpr;

use super::stage::{Answer, Rule, Stage, shown};
use crate::error::{Error, Result};
use crate::lookup::{Answers, Backend, BoxFuture, Failure, FailureKind, LookupRequest};

/// A rule with its condition over the keys.
struct Bound {
    rule: Arc<Rule>,
    when: Option<Arc<dyn PhysicalExpr>>,
}

/// Answers by the rules of a test, and by the rows that it gives to the table.
pub(crate) struct MockBackend {
    inner: Arc<Inner>,
}

struct Inner {
    stage: Arc<Stage>,
    target: String,
    rules: Vec<Bound>,
    schema: SchemaRef,
    /// Key columns of the schema.
    keys: Vec<usize>,
    max_keys: usize,
}

/// What one key gets.
enum Found {
    Rule(usize),
    Rows,
    UsedUp(usize),
    Nothing,
}

impl MockBackend {
    pub(crate) fn new(
        stage: &Arc<Stage>,
        target: &str,
        request: &LookupRequest,
        rules: Vec<Arc<Rule>>,
        max_keys: usize,
    ) -> Result<Self> {
        let keys = request.key_schema()?;
        let planner = stage.scratch.planner();
        let bind = |rule: Arc<Rule>| {
            let when = rule.when.as_ref().map(|when| planner.condition(when, &keys)).transpose();
            let when = when.map_err(|e| in_mock(e, &rule))?;
            Ok(Bound { rule, when })
        };
        let rules = rules.into_iter().map(bind).collect::<Result<Vec<_>>>()?;
        let (schema, keys) = (request.schema.clone(), request.keys.clone());
        let (stage, target, max_keys) = (stage.clone(), target.to_string(), max_keys.max(1));
        Ok(Self { inner: Arc::new(Inner { stage, target, rules, schema, keys, max_keys }) })
    }
}

/// The condition of a mock may name columns that the query does not look up by.
fn in_mock(e: Error, rule: &Rule) -> Error {
    let hint = "WHEN is decided by the columns that the query looks up by, before there is a row";
    let error = Error::plan(e.message().to_string()).with_hint(hint);
    error.context(format!("the mock of {} in line {}", shown(&rule.target), rule.line))
}

/// A key for people: `id = '7'`.
pub(super) fn describe(keys: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::default().with_null("NULL");
    let text = |(field, column): (&arrow::datatypes::FieldRef, &ArrayRef)| {
        let value = ArrayFormatter::try_new(column.as_ref(), &options)
            .map_or_else(|e| e.to_string(), |formatter| formatter.value(row).to_string());
        match column.data_type().is_string() && column.is_valid(row) {
            true => format!("{} = '{value}'", field.name()),
            false => format!("{} = {value}", field.name()),
        }
    };
    keys.schema_ref().fields().iter().zip(keys.columns()).map(text).collect::<Vec<_>>().join(", ")
}

impl Inner {
    /// Which rule answers each key.
    fn find(&self, keys: &RecordBatch) -> Result<Vec<Found>> {
        let mut passes: Vec<Option<BooleanArray>> = Vec::with_capacity(self.rules.len());
        for bound in &self.rules {
            let decide = |when: &Arc<dyn PhysicalExpr>| -> Result<BooleanArray> {
                let decided = when.evaluate(keys)?.into_array(keys.num_rows())?;
                Ok(decided.as_boolean().clone())
            };
            passes.push(bound.when.as_ref().map(decide).transpose()?);
        }
        let rows = self.stage.feed(&self.target).is_some();
        let of_key = |row: usize| {
            let mut used_up = None;
            for (index, (bound, passes)) in self.rules.iter().zip(&passes).enumerate() {
                let passes = passes.as_ref().is_none_or(|p| p.is_valid(row) && p.value(row));
                match (passes, bound.rule.is_used_up()) {
                    (true, false) => return Found::Rule(index),
                    (true, true) => used_up = used_up.or(Some(index)),
                    (false, _) => {}
                }
            }
            match (rows, used_up) {
                (true, _) => Found::Rows,
                (false, Some(index)) => Found::UsedUp(index),
                (false, None) => Found::Nothing,
            }
        };
        Ok((0..keys.num_rows()).map(of_key).collect())
    }

    /// The rows of a rule for one key, with the columns of the request.
    fn rows(&self, given: &RecordBatch, keys: Option<(&RecordBatch, usize)>) -> Result<RecordBatch> {
        let mut rows = given.clone();
        if let Some((keys, row)) = keys {
            for (column, asked) in keys.schema_ref().fields().iter().zip(keys.columns()) {
                let Some((index, _)) = rows.schema_ref().column_with_name(column.name()) else { continue };
                let at = UInt32Array::from(vec![row as u32; rows.num_rows()]);
                let asked = take(asked, &at, None)?;
                let own = cast(rows.column(index), asked.data_type())?;
                let same = arrow::compute::kernels::cmp::not_distinct(&own, &asked)?;
                rows = arrow::compute::filter_record_batch(&rows, &same)?;
            }
        }
        let count = rows.num_rows();
        let column = |(index, field): (usize, &arrow::datatypes::FieldRef)| -> Result<ArrayRef> {
            if let Some(column) = rows.column_by_name(field.name()) {
                return Ok(cast(column, field.data_type())?);
            }
            let key = self.keys.iter().position(|key| *key == index);
            match (key, keys) {
                (Some(key), Some((keys, row))) => {
                    Ok(take(keys.column(key), &UInt32Array::from(vec![row as u32; count]), None)?)
                }
                _ => Ok(new_null_array(field.data_type(), count)),
            }
        };
        let columns = self.schema.fields().iter().enumerate().map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// The rows that the test has given to the table.
    fn given(&self) -> Result<Option<RecordBatch>> {
        let Some(feed) = self.stage.feed(&self.target) else { return Ok(None) };
        let all = feed.all();
        let Some(first) = all.first() else { return Ok(None) };
        Ok(Some(concat_batches(&first.schema(), &all)?))
    }

    /// What an attempt gives, how long it takes, and whether it ends.
    fn decide(&self, keys: &RecordBatch) -> Result<(Duration, Option<Result<Answers, Failure>>)> {
        let found = self.find(keys)?;
        let mut used: Vec<usize> = Vec::new();
        let mut unexpected = None;
        for (row, found) in found.iter().enumerate() {
            match found {
                Found::Rule(index) => used.push(*index),
                Found::Rows => {}
                Found::UsedUp(index) => {
                    let rule = &self.rules[*index].rule;
                    let times = rule.times.unwrap_or_default();
                    unexpected = Some(format!(
                        "{} was called once more, for {}: its mock in line {} answers {times} {}",
                        shown(&self.target),
                        describe(keys, row),
                        rule.line,
                        if times == 1 { "call" } else { "calls" }
                    ));
                }
                Found::Nothing => {
                    unexpected = Some(format!(
                        "{} was asked for {}, and no mock answers",
                        shown(&self.target),
                        describe(keys, row)
                    ));
                }
            }
        }
        if let Some(what) = unexpected {
            self.stage.complain(what.clone());
            return Ok((Duration::ZERO, Some(Err(Failure::other(what)))));
        }
        used.sort_unstable();
        used.dedup();
        let rules = || used.iter().map(|index| &self.rules[*index].rule);
        for rule in rules() {
            rule.used.fetch_add(1, Ordering::SeqCst);
        }
        let after = rules().map(|rule| rule.after).max().unwrap_or_default();
        if rules().any(|rule| matches!(rule.answer, Answer::Hangs)) {
            return Ok((after, None));
        }
        let failure = rules().find_map(|rule| match &rule.answer {
            Answer::Fails(failure) => Some(failure.clone()),
            _ => None,
        });
        if let Some(failure) = failure {
            return Ok((after, Some(Err(failure))));
        }
        let given = self.given()?;
        let mut results = Vec::with_capacity(found.len());
        for (row, found) in found.iter().enumerate() {
            let rows = match found {
                Found::Rule(index) => match &self.rules[*index].rule.answer {
                    Answer::Rows(given) => Some(given),
                    _ => None,
                },
                _ => given.as_ref(),
            };
            results.push(Ok(match rows {
                Some(rows) => self.rows(rows, Some((keys, row)))?,
                None => RecordBatch::new_empty(self.schema.clone()),
            }));
        }
        Ok((after, Some(Answers::from_results(&self.schema, results))))
    }

    /// All rows of the table.
    fn load(&self) -> (Duration, Option<Result<RecordBatch>>) {
        let (mut after, mut rows) = (Duration::ZERO, Vec::new());
        for Bound { rule, .. } in &self.rules {
            if rule.is_used_up() {
                continue;
            }
            rule.used.fetch_add(1, Ordering::SeqCst);
            after = after.max(rule.after);
            match &rule.answer {
                Answer::Hangs => return (after, None),
                Answer::Fails(failure) => return (after, Some(Err(Error::lookup(failure.message.clone())))),
                Answer::Misses => {}
                Answer::Rows(given) => rows.push(self.rows(given, None)),
            }
        }
        match self.given() {
            Ok(given) => rows.extend(given.map(|given| self.rows(&given, None))),
            Err(e) => rows.push(Err(e)),
        }
        let rows = rows.into_iter().collect::<Result<Vec<_>>>();
        (after, Some(rows.and_then(|rows| Ok(concat_batches(&self.schema, &rows)?))))
    }
}

impl Backend for MockBackend {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        self.inner.stage.called(&self.inner.target, keys.clone());
        let decided = self.inner.decide(&keys);
        Box::pin(async move {
            let (after, answer) = decided.map_err(|e| Failure::new(FailureKind::Decode, e.to_string()))?;
            if after > Duration::ZERO {
                tokio::time::sleep(after).await;
            }
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }

    fn max_keys(&self) -> usize {
        self.inner.max_keys
    }

    fn can_load(&self) -> bool {
        true
    }

    fn load(&self) -> BoxFuture<Result<RecordBatch>> {
        let (after, rows) = self.inner.load();
        Box::pin(async move {
            if after > Duration::ZERO {
                tokio::time::sleep(after).await;
            }
            match rows {
                Some(rows) => rows,
                None => std::future::pending().await,
            }
        })
    }

    fn describe(&self) -> String {
        format!("mock of {}", shown(&self.inner.target))
    }
}

/// A backend as it is, during whose work the clock stands.
pub(crate) struct Guarded {
    stage: Arc<Stage>,
    target: String,
    real: Arc<dyn Backend>,
}

impl Guarded {
    pub(crate) fn new(stage: &Arc<Stage>, target: &str, real: Arc<dyn Backend>) -> Self {
        Self { stage: stage.clone(), target: target.to_string(), real }
    }
}

impl Backend for Guarded {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        self.stage.called(&self.target, keys.clone());
        let (gate, answer) = (self.stage.gate(), self.real.lookup(keys));
        Box::pin(async move {
            let _inside = gate.map_err(|e| Failure::other(e.to_string()))?.enter();
            answer.await
        })
    }

    fn max_keys(&self) -> usize {
        self.real.max_keys()
    }

    fn max_requests(&self) -> Option<usize> {
        self.real.max_requests()
    }

    fn endpoint(&self) -> Option<crate::lookup::Service> {
        self.real.endpoint()
    }

    fn can_lookup(&self) -> bool {
        self.real.can_lookup()
    }

    fn can_load(&self) -> bool {
        self.real.can_load()
    }

    fn load(&self) -> BoxFuture<Result<RecordBatch>> {
        let (gate, rows) = (self.stage.gate(), self.real.load());
        Box::pin(async move {
            let _inside = gate?.enter();
            rows.await
        })
    }

    fn describe(&self) -> String {
        self.real.describe()
    }
}
