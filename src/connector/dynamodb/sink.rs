//! Puts and deletes items, 25 a request; what a request leaves unprocessed is sent again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use serde_json::{Map, Value, json};

use crate::connector::batching::{BatchWriter, Outlet};
use crate::connector::{Sink, SinkChangelog, SinkRequest, Writer, WriterContext};
use crate::error::Result;
use crate::flow::{Chunk, Kind};
use crate::lookup::dynamodb::{Api, attribute, key_columns, objects};
use crate::lookup::{BoxFuture, Failure, FailureKind};

/// Items that DynamoDB takes in a request.
const ITEMS: usize = 25;
/// Rows that are gathered.
const ROWS: usize = 1000;
/// How often what was left unprocessed is sent.
const ROUNDS: u32 = 10;

struct Shared {
    table: String,
    name: String,
    api: Api,
    schema: SchemaRef,
    key: Vec<String>,
    items: usize,
    ignore_nulls: bool,
    retries: u32,
}

/// A planned sink.
pub(super) struct DynamoDbSink(Arc<Shared>);

impl DynamoDbSink {
    pub(super) fn new(request: &SinkRequest) -> Result<Self> {
        let SinkRequest { table, schema, .. } = request;
        let options = &table.options;
        let items = options.integer("sink.batch.max-size")?.and_then(|n| usize::try_from(n).ok());
        Ok(Self(Arc::new(Shared {
            table: table.name.clone(),
            name: options.required("table-name")?.to_string(),
            api: Api::of(options)?,
            schema: schema.clone(),
            key: key_columns(table)?,
            items: items.unwrap_or(ITEMS).clamp(1, ITEMS),
            ignore_nulls: options.bool("sink.ignore-nulls")?.unwrap_or(false),
            retries: u32::try_from(options.integer("sink.max-retries")?.unwrap_or(3)).unwrap_or(u32::MAX),
        })))
    }
}

impl Sink for DynamoDbSink {
    fn changelog(&self) -> SinkChangelog {
        SinkChangelog::Upsert
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>> {
        Ok(Box::new(BatchWriter::new(self.0.clone(), context)))
    }
}

impl Shared {
    fn item(&self, row: Map<String, Value>, key_only: bool) -> Map<String, Value> {
        let wanted = |name: &str, value: &Value| {
            if key_only {
                self.key.iter().any(|key| key == name)
            } else {
                !(self.ignore_nulls && value.is_null())
            }
        };
        let fields = row.into_iter().filter(|(name, value)| wanted(name, value));
        let typed = fields.map(|(name, value)| {
            let t = self.schema.field_with_name(&name).map_or(DataType::Null, |f| f.data_type().clone());
            let value = attribute(value, &t);
            (name, value)
        });
        typed.collect()
    }
}

impl Outlet for Shared {
    type Batch = Vec<Value>;

    fn batch(&self, chunks: &[Chunk]) -> Result<Vec<Value>> {
        let rows = concat_batches(&self.schema, chunks.iter().map(|c| &c.batch))?;
        let kinds: Vec<Kind> = chunks.iter().flat_map(|c| (0..c.len()).map(|i| c.kinds.get(i))).collect();
        let places: Vec<usize> = self.key.iter().filter_map(|key| self.schema.index_of(key).ok()).collect();
        let keys: RecordBatch = rows.project(&places)?;
        // The last word on each key: a request must not name one twice.
        let mut last: HashMap<String, u32> = HashMap::new();
        for (i, key) in objects(keys)?.into_iter().enumerate() {
            last.insert(Value::Object(key).to_string(), i as u32);
        }
        let mut kept: Vec<u32> = last.into_values().collect();
        kept.sort_unstable();
        // A `-U` that nothing follows is of a row that a filter has left out.
        let goes = |kind: Kind| matches!(kind, Kind::Delete | Kind::UpdateBefore);
        let gone: Vec<bool> = kept.iter().map(|i| goes(kinds[*i as usize])).collect();
        let rows = objects(take_record_batch(&rows, &UInt32Array::from(kept))?)?;
        let request = |(row, gone): (Map<String, Value>, bool)| match gone {
            true => json!({"DeleteRequest": {"Key": self.item(row, true)}}),
            false => json!({"PutRequest": {"Item": self.item(row, false)}}),
        };
        Ok(rows.into_iter().zip(gone).map(request).collect())
    }

    fn send(self: Arc<Self>, batch: Arc<Vec<Value>>) -> BoxFuture<Result<(), Failure>> {
        Box::pin(async move {
            for piece in batch.chunks(self.items) {
                let mut left = piece.to_vec();
                for round in 0.. {
                    let request = json!({"RequestItems": {&*self.name: left}});
                    let mut answer = self.api.call("BatchWriteItem", &request).await?;
                    let unprocessed =
                        answer.pointer_mut("/UnprocessedItems").and_then(|u| u.get_mut(&self.name));
                    match unprocessed.map(Value::take) {
                        Some(Value::Array(items)) if !items.is_empty() => left = items,
                        _ => break,
                    }
                    if round == ROUNDS {
                        let message = format!("{}: items stay unprocessed", self.api.shown());
                        return Err(Failure::new(FailureKind::Limit, message).retryable());
                    }
                    tokio::time::sleep(Duration::from_millis(25 << round)).await;
                }
            }
            Ok(())
        })
    }

    fn table(&self) -> &str {
        &self.table
    }

    fn max_rows(&self) -> usize {
        ROWS
    }

    fn retries(&self) -> u32 {
        self.retries
    }
}
