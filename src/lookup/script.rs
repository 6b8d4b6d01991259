//! A backend for tests that does what it is told, and notes what it was asked.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{
    Answers, Backend, BoxFuture, CacheConfig, Failure, FailureKind, LookupConfig, LookupRequest,
    PartialConfig,
};
use crate::catalog::Table;
use crate::error::{Error, Result};

/// What one key gets.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Rows `id brand weight`, one a string: `"a acme 1"`.
    Rows(Vec<&'static str>),
    Fail(Failure),
    Panic,
}

pub(crate) fn rows(rows: &[&'static str]) -> Reply {
    Reply::Rows(rows.to_vec())
}

pub(crate) fn failure(retryable: bool, retry_after: Option<Duration>) -> Reply {
    let message = "status 503".into();
    Reply::Fail(Failure { kind: FailureKind::Status(503), message, retry_after, retryable })
}

/// `id STRING, brand STRING, weight BIGINT`.
pub(crate) fn dim_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8View, true),
        Field::new("brand", DataType::Utf8View, true),
        Field::new("weight", DataType::Int64, true),
    ]))
}

pub(crate) fn dim_rows(rows: &[&str]) -> RecordBatch {
    let field = |i: usize| {
        let column = rows.iter().map(|r| r.split(' ').nth(i).filter(|v| *v != "NULL"));
        column.collect::<Vec<_>>()
    };
    let weights: Int64Array = field(2).into_iter().map(|w| w.and_then(|w| w.parse::<i64>().ok())).collect();
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(StringViewArray::from(field(0))),
        Arc::new(StringViewArray::from(field(1))),
        Arc::new(weights),
    ];
    RecordBatch::try_new(dim_schema(), columns).unwrap()
}

pub(crate) fn request() -> LookupRequest {
    let table = Table { name: "dim".into(), temporary: true, ..Table::default() };
    LookupRequest::new(Arc::new(table), vec![0], dim_schema())
}

pub(crate) fn config() -> LookupConfig {
    LookupConfig {
        capacity: 100,
        capacity_given: true,
        timeout: Duration::from_secs(60),
        ..LookupConfig::default()
    }
}

pub(crate) fn partial() -> CacheConfig {
    CacheConfig::Partial(PartialConfig {
        expire_after_write: Some(Duration::from_secs(60)),
        ..PartialConfig::default()
    })
}

#[derive(Default)]
struct Inside {
    calls: Vec<String>,
    flying: Vec<(String, oneshot::Sender<Vec<Reply>>)>,
    most: usize,
    loads: VecDeque<Result<RecordBatch>>,
}

/// The backend. Calls stay open until the test answers them.
pub(crate) struct Script {
    inside: Arc<Mutex<Inside>>,
    max_keys: usize,
}

impl Script {
    pub(crate) fn new() -> Arc<Self> {
        Self::with_max_keys(1)
    }

    pub(crate) fn with_max_keys(max_keys: usize) -> Arc<Self> {
        Arc::new(Self { inside: Arc::default(), max_keys })
    }

    /// All calls so far: their keys, joined with `,`.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.inside.lock().calls.clone()
    }

    /// Calls that are open now, in the order they came.
    pub(crate) fn flying(&self) -> Vec<String> {
        let mut inside = self.inside.lock();
        inside.flying.retain(|(_, reply)| !reply.is_closed());
        inside.flying.iter().map(|(key, _)| key.clone()).collect()
    }

    /// Most calls that were open at a time.
    pub(crate) fn most(&self) -> usize {
        self.inside.lock().most
    }

    /// Answers the oldest open call for `key`.
    pub(crate) fn reply(&self, key: &str, reply: Reply) {
        self.reply_all(key, vec![reply]);
    }

    /// Answers the oldest open call for keys.
    pub(crate) fn reply_all(&self, keys: &str, replies: Vec<Reply>) {
        let mut inside = self.inside.lock();
        inside.flying.retain(|(_, reply)| !reply.is_closed());
        let Some(found) = inside.flying.iter().position(|(k, _)| k == keys) else {
            panic!("{keys} was not asked for");
        };
        let (_, sender) = inside.flying.remove(found);
        drop(inside);
        assert!(sender.send(replies).is_ok());
    }

    /// What the next load gives.
    pub(crate) fn next_load(&self, load: Result<RecordBatch>) {
        self.inside.lock().loads.push_back(load);
    }
}

impl Backend for Script {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        assert_eq!(keys.column(0).null_count(), 0);
        assert!(keys.num_rows() <= self.max_keys);
        let names: Vec<_> =
            (0..keys.num_rows()).map(|i| array_value_to_string(keys.column(0), i).unwrap()).collect();
        let names = names.join(",");
        let (sender, receiver) = oneshot::channel();
        let mut inside = self.inside.lock();
        inside.flying.retain(|(_, reply)| !reply.is_closed());
        inside.calls.push(names.clone());
        inside.flying.push((names, sender));
        inside.most = inside.most.max(inside.flying.len());
        Box::pin(async move {
            let replies = receiver.await.unwrap();
            let convert = |reply| match reply {
                Reply::Rows(rows) => Ok(dim_rows(&rows)),
                Reply::Fail(failure) => Err(failure),
                Reply::Panic => panic!("told to"),
            };
            Answers::from_results(&dim_schema(), replies.into_iter().map(convert).collect())
        })
    }

    fn max_keys(&self) -> usize {
        self.max_keys
    }

    fn can_load(&self) -> bool {
        true
    }

    fn load(&self) -> BoxFuture<Result<RecordBatch>> {
        let next = self.inside.lock().loads.pop_front();
        Box::pin(async move { next.unwrap_or_else(|| Err(Error::io("no such file"))) })
    }

    fn describe(&self) -> String {
        "GET http://dim/{id}".into()
    }
}
