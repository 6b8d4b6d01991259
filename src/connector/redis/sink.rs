//! Puts values under keys, and takes them away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use redis::{Pipeline, Value as Reply};

use crate::connector::batching::{BatchWriter, Outlet, WAITING};
use crate::connector::{Sink, SinkChangelog, SinkRequest, Writer, WriterContext};
use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind};
use crate::format::Format;
use crate::format::message::MessageEncoder;
use crate::format::nested;
use crate::lookup::redis::{Connection, KeyTemplate, Store, address, failure};
use crate::lookup::{BoxFuture, Failure};

struct Shared {
    table: String,
    connection: Connection,
    store: Store,
    template: KeyTemplate,
    format: Format,
    schema: SchemaRef,
    /// Columns of the value.
    value: Vec<usize>,
    keyed: bool,
    expires: Option<u64>,
    max_rows: usize,
    retries: u32,
}

/// A planned sink.
pub(super) struct RedisSink(Arc<Shared>);

impl RedisSink {
    pub(super) fn new(request: &SinkRequest) -> Result<Self> {
        let SinkRequest { table, schema, .. } = request;
        let options = &table.options;
        let template = KeyTemplate::of(table)?;
        let mut named: Vec<String> = template.columns().map(str::to_string).collect();
        let mut key: Vec<String> = table.primary_key.clone();
        named.sort_unstable();
        named.dedup();
        key.sort_unstable();
        if !key.is_empty() && named != key {
            return Err(Error::plan(format!(
                "the PRIMARY KEY ({}) is not what 'redis.key' = '{template}' is made of",
                table.primary_key.join(", ")
            ))
            .with_hint("name its columns, and no others, in 'redis.key'"));
        }
        if let Some(name) = named
            .iter()
            .find(|name| schema.field_with_name(name).is_ok_and(|field| nested::is_nested(field.data_type())))
        {
            return Err(Error::plan(format!("column '{name}' of 'redis.key' is no single value"))
                .with_hint("name columns of numbers, texts or times"));
        }
        let value: Vec<usize> =
            (0..schema.fields().len()).filter(|i| !named.contains(schema.field(*i).name())).collect();
        let store = Store::of(options)?;
        let format = match store {
            Store::Json => Format::from_options_or(&Default::default(), "json")?,
            _ => Format::from_options_or(options, "json")?,
        };
        let values: SchemaRef = Arc::new(schema.project(&value)?);
        if store != Store::Hash {
            MessageEncoder::new(&format, &values)?;
        }
        if value.is_empty() && store == Store::Hash {
            return Err(Error::plan("a hash needs a column that is not in 'redis.key'"));
        }
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX).max(1);
        let rows = options.integer("sink.buffer-flush.max-rows")?.unwrap_or(1000);
        Ok(Self(Arc::new(Shared {
            table: table.name.clone(),
            connection: Connection::new(address(options)?),
            store,
            template,
            format,
            schema: schema.clone(),
            value,
            keyed: !key.is_empty(),
            expires: options.duration("redis.expire-after")?.map(millis),
            max_rows: usize::try_from(rows).unwrap_or(usize::MAX).clamp(1, WAITING),
            retries: u32::try_from(options.integer("sink.max-retries")?.unwrap_or(3)).unwrap_or(u32::MAX),
        })))
    }
}

impl Sink for RedisSink {
    fn changelog(&self) -> SinkChangelog {
        if self.0.keyed { SinkChangelog::Upsert } else { SinkChangelog::Append }
    }

    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>> {
        Ok(Box::new(BatchWriter::new(self.0.clone(), context)))
    }
}

impl Shared {
    /// The commands for some rows: the last of each key.
    fn commands(&self, chunks: &[Chunk]) -> Result<(Pipeline, usize)> {
        let rows = concat_batches(&self.schema, chunks.iter().map(|c| &c.batch))?;
        let kinds: Vec<Kind> = chunks.iter().flat_map(|c| (0..c.len()).map(|i| c.kinds.get(i))).collect();
        let keys = self.template.keys(&rows).map_err(Error::execution)?;
        let mut last: HashMap<&[u8], u32> = HashMap::with_capacity(keys.len());
        for (i, key) in keys.iter().enumerate() {
            let Some(key) = key else {
                return Err(Error::execution(format!(
                    "table '{}': a row has NULL in a column of its key '{}'",
                    self.table, self.template
                )));
            };
            last.insert(key, i as u32);
        }
        let mut kept: Vec<u32> = last.into_values().collect();
        kept.sort_unstable();
        // A `-U` that nothing follows is of a row that a filter has left out.
        let goes = |kind: Kind| matches!(kind, Kind::Delete | Kind::UpdateBefore);
        let (gone, stays): (Vec<u32>, Vec<u32>) = kept.into_iter().partition(|i| goes(kinds[*i as usize]));
        let mut pipeline = redis::pipe();
        let mut count = 0;
        let key = |i: u32| keys[i as usize].as_deref().unwrap_or_default();
        for i in gone {
            pipeline.cmd("DEL").arg(key(i));
            count += 1;
        }
        let values = take_record_batch(&rows, &UInt32Array::from(stays.clone()))?.project(&self.value)?;
        match self.store {
            Store::Hash => count += self.hashes(&mut pipeline, &values, |row| key(stays[row]))?,
            Store::String | Store::Json => {
                let mut encoder = MessageEncoder::new(&self.format, &values.schema())?;
                let mut out = Vec::new();
                let ranges = encoder.encode(&Chunk::append(values, std::time::Instant::now()), &mut out)?;
                for (i, range) in stays.iter().zip(ranges) {
                    count += 1;
                    let Some(range) = range else {
                        // Such as NULL in `raw`.
                        pipeline.cmd("DEL").arg(key(*i));
                        continue;
                    };
                    if self.store == Store::Json {
                        pipeline.cmd("JSON.SET").arg(key(*i)).arg("$").arg(&out[range]);
                    } else {
                        let set = pipeline.cmd("SET").arg(key(*i)).arg(&out[range]);
                        if let Some(millis) = self.expires {
                            set.arg("PX").arg(millis);
                        }
                        continue;
                    }
                    count += self.expire(&mut pipeline, key(*i));
                }
            }
        }
        Ok((pipeline, count))
    }

    fn expire(&self, pipeline: &mut Pipeline, key: &[u8]) -> usize {
        match self.expires {
            Some(millis) => {
                pipeline.cmd("PEXPIRE").arg(key).arg(millis);
                1
            }
            None => 0,
        }
    }

    fn hashes<'a>(
        &self,
        pipeline: &mut Pipeline,
        values: &RecordBatch,
        key: impl Fn(usize) -> &'a [u8],
    ) -> Result<usize> {
        let schema: &Schema = values.schema_ref();
        // Arrays, rows and maps have no text but their JSON.
        let texts = |column: &ArrayRef| -> Result<ArrayRef> {
            Ok(match nested::is_nested(column.data_type()) {
                true => Arc::new(nested::to_json(column)?),
                false => column.clone(),
            })
        };
        let columns = values.columns().iter().map(texts).collect::<Result<Vec<_>>>()?;
        let mut count = 0;
        for row in 0..values.num_rows() {
            let (mut set, mut missing) = (Vec::new(), Vec::new());
            for (field, column) in schema.fields().iter().zip(&columns) {
                if column.is_null(row) {
                    missing.push(field.name().as_str());
                    continue;
                }
                let bytes = match column.data_type() {
                    DataType::Utf8View => column.as_string_view().value(row).as_bytes().to_vec(),
                    DataType::BinaryView => column.as_binary_view().value(row).to_vec(),
                    _ => array_value_to_string(column, row)?.into_bytes(),
                };
                set.push((field.name().as_str(), bytes));
            }
            if set.is_empty() {
                // A hash without fields is none: what is left of a row of NULLs.
                pipeline.cmd("DEL").arg(key(row));
                count += 1;
                continue;
            }
            if !missing.is_empty() {
                pipeline.cmd("HDEL").arg(key(row)).arg(missing);
                count += 1;
            }
            let command = pipeline.cmd("HSET").arg(key(row));
            for (name, bytes) in set {
                command.arg(name).arg(bytes);
            }
            count += 1 + self.expire(pipeline, key(row));
        }
        Ok(count)
    }
}

impl Outlet for Shared {
    type Batch = (Pipeline, usize);

    fn batch(&self, chunks: &[Chunk]) -> Result<Self::Batch> {
        self.commands(chunks)
    }

    fn send(self: Arc<Self>, batch: Arc<Self::Batch>) -> BoxFuture<Result<(), Failure>> {
        Box::pin(async move {
            let (pipeline, count) = batch.as_ref();
            let said = |e: &redis::RedisError| failure(self.connection.shown(), e);
            let replies = self.connection.all(pipeline, *count).await.map_err(|e| said(&e))?;
            let refused = replies.into_iter().find_map(|reply| match reply {
                Reply::ServerError(e) => Some(e.into()),
                _ => None,
            });
            refused.map_or(Ok(()), |e| Err(said(&e)))
        })
    }

    fn table(&self) -> &str {
        &self.table
    }

    fn max_rows(&self) -> usize {
        self.max_rows
    }

    fn retries(&self) -> u32 {
        self.retries
    }
}
