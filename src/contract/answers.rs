//! What a lookup backend answers: rows for a batch of keys, and what failed.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{
    and, concat_batches, filter_record_batch, prep_null_mask_filter, take, take_record_batch,
};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use hashbrown::HashMap;

use crate::error::{Error, Result};

/// One attempt's answers for a batch of keys.
///
/// ```text
///   keys     a  b  c         rows      a1 c1 c2
///   offsets  0  1  1  3                ^ 0..1 are a's, 1..1 are b's (none: a miss), 1..3 are c's
///   failures (1, "...")      b is not a miss then: it is unknown
/// ```
#[derive(Debug, Clone)]
pub struct Answers {
    /// The rows of all keys, those of one key side by side, in the order of the keys.
    pub rows: RecordBatch,
    /// Key `i` has the rows from `offsets[i]` up to `offsets[i + 1]`.
    pub offsets: Vec<u32>,
    /// Keys (by position) that failed although the request as a whole did not.
    pub failures: Vec<(u32, Failure)>,
    /// What the protocol says about the answer, for metadata columns.
    pub status: Option<u16>,
    /// Headers of the answer, for the metadata column `http-headers-map`; empty unless it is wanted.
    pub headers: Vec<(String, Vec<String>)>,
    /// How long the service lets them be kept, if it says so and is listened to; zero: not at all.
    pub max_age: Option<Duration>,
}

impl Answers {
    /// Rows with the offsets of the keys.
    pub fn new(rows: RecordBatch, offsets: Vec<u32>) -> Self {
        Self { rows, offsets, failures: Vec::new(), status: None, headers: Vec::new(), max_age: None }
    }

    /// Row `i` answers key `i`.
    pub fn one_each(rows: RecordBatch) -> Self {
        let offsets = (0..=rows.num_rows() as u32).collect();
        Self::new(rows, offsets)
    }

    /// All rows answer the only key.
    pub fn single(rows: RecordBatch) -> Self {
        let offsets = vec![0, rows.num_rows() as u32];
        Self::new(rows, offsets)
    }

    /// No rows for any of the keys.
    pub fn misses(schema: SchemaRef, keys: usize) -> Self {
        Self::new(RecordBatch::new_empty(schema), vec![0; keys + 1])
    }

    /// One result a key.
    pub fn from_results(
        schema: &SchemaRef,
        results: Vec<Result<RecordBatch, Failure>>,
    ) -> Result<Self, Failure> {
        let mut offsets = vec![0u32];
        let (mut batches, mut failures, mut end) = (Vec::new(), Vec::new(), 0);
        for (key, result) in results.into_iter().enumerate() {
            match result {
                Ok(rows) => {
                    end += rows.num_rows() as u32;
                    batches.push(rows);
                }
                Err(failure) => failures.push((key as u32, failure)),
            }
            offsets.push(end);
        }
        let rows = match batches.as_slice() {
            [one] if one.schema_ref() == schema => Ok(one.clone()),
            many => concat_batches(schema, many),
        };
        let rows = rows.map_err(|e| Failure::new(FailureKind::Decode, e.to_string()))?;
        Ok(Self { failures, ..Self::new(rows, offsets) })
    }

    /// Rows that came in any order, distinguished by their key columns (indices into the rows; `keys` has the
    /// same types). The positions of rows whose key was not asked for come second.
    pub fn by_key(rows: &RecordBatch, columns: &[usize], keys: &RecordBatch) -> Result<(Self, Vec<u32>)> {
        let fields = keys.columns().iter().map(|c| SortField::new(c.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let found: Vec<_> = columns
            .iter()
            .map(|i| rows.columns().get(*i).cloned())
            .collect::<Option<_>>()
            .ok_or_else(|| Error::internal("a key column that the rows do not have"))?;
        let asked = converter.convert_columns(keys.columns())?;
        let found = converter.convert_columns(&found)?;
        // Keys that are asked for twice get the rows twice.
        let mut groups: HashMap<&[u8], u32> = HashMap::with_capacity(keys.num_rows());
        let group_of: Vec<u32> = asked
            .iter()
            .map(|key| {
                let next = groups.len() as u32;
                *groups.entry(key.data()).or_insert(next)
            })
            .collect();
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); groups.len()];
        let mut foreign = Vec::new();
        for (row, key) in found.iter().enumerate() {
            match groups.get(key.data()).and_then(|group| members.get_mut(*group as usize)) {
                Some(rows) => rows.push(row as u32),
                None => foreign.push(row as u32),
            }
        }
        let mut offsets = Vec::with_capacity(group_of.len() + 1);
        offsets.push(0);
        let mut order: Vec<u32> = Vec::with_capacity(rows.num_rows());
        for group in group_of {
            order.extend(&members[group as usize]);
            offsets.push(order.len() as u32);
        }
        let in_place =
            order.len() == rows.num_rows() && order.iter().enumerate().all(|(i, r)| i == *r as usize);
        let rows = if in_place { rows.clone() } else { take_record_batch(rows, &UInt32Array::from(order))? };
        Ok((Self::new(rows, offsets), foreign))
    }

    /// Without rows whose key columns differ from the key that they answer.
    #[cfg_attr(
        not(feature = "sqlite"),
        allow(dead_code, reason = "what only SQLite needs is dead in builds without it")
    )]
    pub(crate) fn of_keys(self, columns: &[usize], keys: &RecordBatch) -> Result<Self> {
        let owners: Vec<u32> = self
            .offsets
            .windows(2)
            .enumerate()
            .flat_map(|(key, range)| std::iter::repeat_n(key as u32, (range[1] - range[0]) as usize))
            .collect();
        let owners = UInt32Array::from(owners);
        let mut same: Option<BooleanArray> = None;
        for (column, key) in columns.iter().zip(keys.columns()) {
            let asked = take(key, &owners, None)?;
            let equal = eq(self.rows.column(*column), &asked)?;
            let equal = if equal.null_count() > 0 { prep_null_mask_filter(&equal) } else { equal };
            same = Some(match same {
                Some(before) => and(&before, &equal)?,
                None => equal,
            });
        }
        let Some(same) = same.filter(|same| same.true_count() < same.len()) else { return Ok(self) };
        let mut offsets = vec![0u32];
        let mut kept = 0;
        for range in self.offsets.windows(2) {
            kept += same.slice(range[0] as usize, (range[1] - range[0]) as usize).true_count() as u32;
            offsets.push(kept);
        }
        Ok(Self { rows: filter_record_batch(&self.rows, &same)?, offsets, ..self })
    }

    /// Number of keys.
    pub fn keys(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Why these are not the answers for this many keys; `None` if they can be.
    pub(crate) fn problem(&self, keys: usize, schema: &SchemaRef) -> Option<Failure> {
        let types = |schema: &SchemaRef| -> Vec<_> {
            schema.fields().iter().map(|f| f.data_type().clone()).collect()
        };
        if self.keys() != keys {
            let message = format!("{keys} keys were asked for, and {} answers came", self.keys());
            return Some(Failure::other(message));
        }
        let ascending = self.offsets.is_sorted() && self.offsets.first() == Some(&0);
        let whole = self.offsets.last().is_some_and(|end| *end as usize == self.rows.num_rows());
        if !ascending || !whole || self.failures.iter().any(|(key, _)| *key as usize >= keys) {
            return Some(Failure::other("the offsets of the answers do not fit their rows"));
        }
        if !Arc::ptr_eq(self.rows.schema_ref(), schema) && types(self.rows.schema_ref()) != types(schema) {
            return Some(Failure::new(FailureKind::Decode, "the answer has other columns than the table"));
        }
        None
    }
}

/// Why an attempt, or all attempts, failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Class.
    pub kind: FailureKind,
    /// For people: the endpoint, the key and the cause; without secrets.
    pub message: String,
    /// How long the other side asked to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether another attempt may succeed.
    pub retryable: bool,
}

impl Failure {
    /// One that another attempt would not change.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, retryable: false }
    }

    /// One of no particular class that another attempt would not change.
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Other, message)
    }

    /// The same, and another attempt may succeed.
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }
}

/// Classes of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// No connection, or it broke.
    Connection,
    /// No answer in time: of one attempt, or of all with their waiting.
    Timeout,
    /// A status that is neither success nor ignored.
    Status(u16),
    /// An answer that does not fit the table.
    Decode,
    /// An answer above the size limit.
    TooLarge,
    /// A key that cannot be asked for.
    Key,
    /// A limit of our own or of the service: rate, circuit breaker, `Retry-After`.
    Limit,
    /// Anything else.
    Other,
}

impl FailureKind {
    /// Asking again later may have another end. A refused login, a wrong request and an answer that is not of this table
    /// stay what they are.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Connection | Self::Timeout | Self::Limit | Self::Other => true,
            Self::Status(status) => {
                // A place that has moved does not come back either.
                !(300..500).contains(&status) || matches!(status, 408 | 409 | 423 | 425 | 429)
            }
            Self::Decode | Self::TooLarge | Self::Key => false,
        }
    }

    /// The word used in messages and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connect",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::Decode => "decode",
            Self::TooLarge => "too-large",
            Self::Key => "key",
            Self::Limit => "limit",
            Self::Other => "other",
        }
    }
}
