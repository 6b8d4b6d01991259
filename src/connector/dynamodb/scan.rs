//! Reads a table as a whole, page by page, with the columns that are wanted.
//!
//! A position is the key behind which the next page begins. What is written while a table is read may be read or not,
//! as DynamoDB has it; a restart goes on behind the last page.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{Receiver, channel};

use crate::connector::{Positions, Read, Reader, ReaderContext, ScanRequest, Source};
use crate::error::{Error, Result};
use crate::lookup::dynamodb::{Api, decoded, key_columns};

/// Pages that may wait for the task.
const AHEAD: usize = 2;
/// Attempts for a page.
const ATTEMPTS: u32 = 8;
/// The split that a table is.
const WHOLE: &str = "table";

/// A planned scan.
pub(super) struct DynamoDbSource {
    table: String,
    name: String,
    api: Arc<Api>,
    schema: SchemaRef,
    /// What is asked for: the columns, or the key where none is wanted.
    names: Vec<String>,
    consistent: bool,
    rows: usize,
    /// Behind which key reading begins, and whether there is anything left.
    start: Mutex<Start>,
}

#[derive(Debug, Clone, PartialEq)]
enum Start {
    Beginning,
    Behind(Value),
    End,
}

impl DynamoDbSource {
    pub(super) fn new(request: &ScanRequest) -> Result<Self> {
        let table = &request.table;
        let mut names: Vec<String> = request.schema.fields().iter().map(|f| f.name().clone()).collect();
        if names.is_empty() {
            names = key_columns(table)?;
        }
        Ok(Self {
            table: table.name.clone(),
            name: table.options.required("table-name")?.to_string(),
            api: Arc::new(Api::of(&table.options)?),
            schema: request.schema.clone(),
            names,
            consistent: table.options.bool("dynamodb.consistent-read")?.unwrap_or(false),
            rows: request.batch_rows.max(1),
            start: Mutex::new(Start::Beginning),
        })
    }

    /// The request for all pages, without their beginning.
    fn request(&self) -> Map<String, Value> {
        let named = |(i, name): (usize, &String)| (format!("#{i}"), Value::String(name.clone()));
        let names: Map<String, Value> = self.names.iter().enumerate().map(named).collect();
        let projection = names.keys().cloned().collect::<Vec<_>>().join(", ");
        let request = json!({
            "TableName": self.name,
            "ConsistentRead": self.consistent,
            "ProjectionExpression": projection,
            "ExpressionAttributeNames": names,
        });
        match request {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}

impl Source for DynamoDbSource {
    fn bounded(&self) -> bool {
        true
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn Reader>> {
        let (sender, pages) = channel(AHEAD);
        // Readers share the table: the first one takes it.
        let start = std::mem::replace(&mut *self.start.lock(), Start::End);
        if start != Start::End {
            let (api, mut request) = (self.api.clone(), self.request());
            let waker = context.waker.clone();
            context.runtime.spawn(async move {
                let mut start = start;
                loop {
                    match start {
                        Start::Beginning => {}
                        Start::Behind(key) => drop(request.insert("ExclusiveStartKey".into(), key)),
                        Start::End => break,
                    }
                    let page = page(&api, &Value::Object(request.clone())).await;
                    start = match &page {
                        Ok((_, Some(key))) => Start::Behind(key.clone()),
                        _ => Start::End,
                    };
                    let gone = sender.send(page).await.is_err();
                    waker.wake();
                    if gone {
                        break;
                    }
                }
                drop(sender);
                waker.wake();
            });
        }
        Ok(Box::new(DynamoDbReader {
            table: self.table.clone(),
            place: format!("{}, table {}", self.api.shown(), self.name),
            schema: self.schema.clone(),
            rows: self.rows,
            pages,
            waiting: VecDeque::new(),
            behind: None,
            done: Positions::new(),
            cutting: false,
            context,
        }))
    }

    fn describe(&self) -> String {
        format!("{}, table {}, columns {}", self.api.shown(), self.name, self.names.join(", "))
    }

    fn replays(&self) -> bool {
        true
    }

    fn restore(&self, positions: &Positions, _runtime: &tokio::runtime::Handle) -> Result<()> {
        *self.start.lock() = match positions.get(WHOLE) {
            None => Start::Beginning,
            Some(Value::Object(position)) => match position.get("behind") {
                Some(key) => Start::Behind(key.clone()),
                None => Start::End,
            },
            Some(_) => Start::End,
        };
        Ok(())
    }
}

/// The items of a page, and the key that it ends with when there are more.
type Page = (Vec<Value>, Option<Value>);

async fn page(api: &Api, request: &Value) -> Result<Page> {
    let mut attempt = 1;
    loop {
        match api.call("Scan", request).await.map_err(|refused| refused.failure) {
            Ok(mut answer) => {
                let items = match answer.get_mut("Items").map(Value::take) {
                    Some(Value::Array(items)) => items,
                    _ => Vec::new(),
                };
                let last = answer.get_mut("LastEvaluatedKey").map(Value::take);
                return Ok((items, last.filter(|key| key.as_object().is_some_and(|key| !key.is_empty()))));
            }
            Err(failure) if failure.retryable && attempt < ATTEMPTS => {
                log::warn!("a page is asked for again: {}", failure.message);
                tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
                attempt += 1;
            }
            Err(failure) => {
                let error = Error::io(failure.message);
                return Err(if failure.retryable { error } else { error.lasting() });
            }
        }
    }
}

struct DynamoDbReader {
    table: String,
    place: String,
    schema: SchemaRef,
    rows: usize,
    pages: Receiver<Result<Page>>,
    /// Pieces of the present page that are still to be returned.
    waiting: VecDeque<RecordBatch>,
    /// The key that it ends with; `Some(None)`: it is the last one.
    behind: Option<Option<Value>>,
    done: Positions,
    /// A barrier waits for the end of the page.
    cutting: bool,
    context: ReaderContext,
}

impl DynamoDbReader {
    fn decode(&self, items: &[Value]) -> Result<RecordBatch> {
        if self.schema.fields().is_empty() {
            let options = RecordBatchOptions::new().with_row_count(Some(items.len()));
            return Ok(RecordBatch::try_new_with_options(self.schema.clone(), Vec::new(), &options)?);
        }
        decoded(items, &self.schema)
            .map_err(|e| Error::decode(format!("table '{}': {}: {e}", self.table, self.place)))
    }

    /// The page is through.
    fn passed(&mut self) {
        if let Some(behind) = self.behind.take() {
            let position = behind.map_or_else(|| json!("read"), |key| json!({ "behind": key }));
            self.done.insert(WHOLE.into(), position);
        }
    }
}

impl Reader for DynamoDbReader {
    fn read(&mut self) -> Result<Read> {
        loop {
            if let Some(batch) = self.waiting.pop_front() {
                if self.waiting.is_empty() {
                    self.passed();
                }
                return Ok(Read::Batch(batch));
            }
            self.passed();
            if self.cutting {
                self.context.waker.wake();
                return Ok(Read::Pending);
            }
            match self.pages.try_recv() {
                Ok(Ok((items, behind))) => {
                    let batch = self.decode(&items)?;
                    let pieces = (0..batch.num_rows()).step_by(self.rows);
                    let piece = |start: usize| batch.slice(start, self.rows.min(batch.num_rows() - start));
                    self.waiting = pieces.map(piece).collect();
                    self.behind = Some(behind);
                }
                Ok(Err(e)) => return Err(e.context(format!("table '{}'", self.table))),
                Err(TryRecvError::Empty) => return Ok(Read::Pending),
                Err(TryRecvError::Disconnected) => return Ok(Read::End),
            }
        }
    }

    fn cut(&mut self, _epoch: u64) -> Result<Option<Positions>> {
        self.cutting = !self.waiting.is_empty();
        Ok((!self.cutting).then(|| std::mem::take(&mut self.done)))
    }

    fn leave(&mut self) -> Result<Positions> {
        Ok(std::mem::take(&mut self.done))
    }
}
