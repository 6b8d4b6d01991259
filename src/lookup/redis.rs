//! Lookups in Redis: one connection, on which requests are pipelined.
//!
//! A value that is there is never a miss: keys for which MGET says nothing are counted by EXISTS, and asked for alone
//! when one is there after all, because it holds something else than a string.

use std::sync::{Arc, Once};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use parking_lot::Mutex;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, IntoConnectionInfo, Pipeline, RedisError, ServerErrorKind, Value as Reply};

use super::values::{Rows, Value};
use super::{Answers, Backend, BoxFuture, Failure, FailureKind, LookupRequest, Service};
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::format::message::MessageDecoder;
use crate::sql::variables::expanded;

/// Keys of a request.
const KEYS: usize = 1000;
/// Requests on the connection.
const REQUESTS: usize = 8;

/// What is under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    String,
    Hash,
    Json,
}

impl Store {
    pub(crate) fn of(options: &Options) -> Result<Self> {
        Ok(match options.choice("redis.type", &["string", "hash", "json"])? {
            Some("hash") => Self::Hash,
            Some("json") => Self::Json,
            _ => Self::String,
        })
    }
}

/// `sensor:{id}`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyTemplate(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(String),
}

impl std::fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Column(name) => write!(f, "{{{name}}}"),
        })
    }
}

impl KeyTemplate {
    /// That of a table.
    pub(crate) fn of(table: &Table) -> Result<Self> {
        let Some(text) = table.options.text("redis.key") else {
            return match table.primary_key.as_slice() {
                [one] => Ok(Self(vec![Part::Column(one.clone())])),
                _ => Err(Error::option(
                    "option 'redis.key' is required where the PRIMARY KEY is not one column",
                )
                .with_hint("'redis.key' = 'sensor:{id}'")),
            };
        };
        let at = table.options.span("redis.key");
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, inner) = (&rest[..open], &rest[open + 1..]);
            let Some(close) = inner.find('}') else {
                return Err(Error::option(format!(
                    "option 'redis.key': '{text}' has a brace that is not closed"
                ))
                .at(at));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_string()));
            }
            let name = &inner[..close];
            if !table.columns.iter().any(|c| c.name == name && c.is_persisted()) {
                return Err(
                    Error::option(format!("option 'redis.key': the table has no column '{name}'")).at(at)
                );
            }
            parts.push(Part::Column(name.to_string()));
            rest = &inner[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_string()));
        }
        if !parts.iter().any(|part| matches!(part, Part::Column(_))) {
            return Err(Error::option(format!("option 'redis.key': '{text}' names no column"))
                .with_hint("'redis.key' = 'sensor:{id}'")
                .at(at));
        }
        Ok(Self(parts))
    }

    /// Its columns, in their order.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The key of each row; `None` where a column of it is NULL.
    pub(crate) fn keys(&self, rows: &RecordBatch) -> Result<Vec<Option<Vec<u8>>>, String> {
        let mut keys: Vec<Option<Vec<u8>>> = vec![Some(Vec::new()); rows.num_rows()];
        for part in &self.0 {
            let column = match part {
                Part::Text(text) => {
                    keys.iter_mut().flatten().for_each(|key| key.extend_from_slice(text.as_bytes()));
                    continue;
                }
                Part::Column(name) => rows.column_by_name(name),
            };
            let Some(column) = column else {
                return Err(format!("the query provides nothing for the key of '{self}'"));
            };
            for (row, slot) in keys.iter_mut().enumerate() {
                let Some(key) = slot else { continue };
                if column.is_null(row) {
                    *slot = None;
                    continue;
                }
                match column.data_type() {
                    DataType::Utf8View => {
                        key.extend_from_slice(column.as_string_view().value(row).as_bytes())
                    }
                    DataType::BinaryView => key.extend_from_slice(column.as_binary_view().value(row)),
                    _ => {
                        let text = array_value_to_string(column, row).map_err(|e| e.to_string())?;
                        key.extend_from_slice(text.as_bytes());
                    }
                }
            }
        }
        Ok(keys)
    }
}

/// Where a table is.
pub(crate) struct Address {
    client: Client,
    config: ConnectionManagerConfig,
    /// Without user and password.
    pub(crate) shown: String,
}

/// The address of a table.
pub(crate) fn address(options: &Options) -> Result<Address> {
    let uri = expanded(options.required("uri")?)?;
    let wrong = |what: &str| {
        Error::option(format!("option 'uri' {what}"))
            .with_hint("redis://host:6379/0, or rediss:// with TLS")
            .at(options.span("uri"))
    };
    let url = url::Url::parse(&uri).map_err(|_| wrong("is not a URI of Redis"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must not hold a user name or password")
            .with_hint("use 'username' and 'password' = '${PASSWORD}'"));
    }
    if !matches!(url.scheme(), "redis" | "rediss") {
        return Err(wrong("is not a URI of Redis"));
    }
    if url.scheme() == "rediss" {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    }
    let mut info =
        uri.as_str().into_connection_info().map_err(|e| wrong(&format!("is not a URI of Redis: {e}")))?;
    let mut login = info.redis_settings().clone();
    if let Some(user) = options.text("username").map(expanded).transpose()? {
        login = login.set_username(user);
    }
    if let Some(password) = options.text("password").map(expanded).transpose()? {
        login = login.set_password(password);
    }
    info = info.set_redis_settings(login);
    let client = Client::open(info).map_err(|e| wrong(&format!("cannot be used: {e}")))?;
    let duration = |key: &str, default| -> Result<Duration> {
        Ok(options.duration(key)?.unwrap_or(Duration::from_secs(default)))
    };
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(duration("redis.connection.timeout", 10)?))
        .set_response_timeout(Some(duration("redis.request.timeout", 30)?))
        // The lookup engine and the sink try again themselves.
        .set_number_of_retries(1);
    let port = url.port().unwrap_or(6379);
    let shown = format!("{}://{}:{port}{}", url.scheme(), url.host_str().unwrap_or("localhost"), url.path());
    Ok(Address { client, config, shown })
}

/// The connection of a table, made when it is first used.
pub(crate) struct Connection {
    address: Address,
    manager: Mutex<Option<ConnectionManager>>,
}

impl Connection {
    pub(crate) fn new(address: Address) -> Self {
        Self { address, manager: Mutex::default() }
    }

    pub(crate) fn shown(&self) -> &str {
        &self.address.shown
    }

    async fn manager(&self) -> Result<ConnectionManager, RedisError> {
        if let Some(manager) = self.manager.lock().clone() {
            return Ok(manager);
        }
        let Address { client, config, .. } = &self.address;
        let made = ConnectionManager::new_with_config(client.clone(), config.clone()).await?;
        Ok(self.manager.lock().get_or_insert(made).clone())
    }

    pub(crate) async fn one(&self, command: &Cmd) -> Result<Reply, RedisError> {
        let reply = self.manager().await?.send_packed_command(command).await?;
        self.heed(std::slice::from_ref(&reply));
        Ok(reply)
    }

    /// What each command of a pipeline says, errors too.
    pub(crate) async fn all(&self, pipeline: &Pipeline, count: usize) -> Result<Vec<Reply>, RedisError> {
        let replies = self.manager().await?.send_packed_commands(pipeline, 0, count).await?;
        self.heed(&replies);
        Ok(replies)
    }

    /// After a fail-over the address may lead to another server, and the connection to the former master stays: the next
    /// request makes one of its own.
    fn heed(&self, replies: &[Reply]) {
        use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly};
        let moved = replies.iter().any(|reply| match reply {
            Reply::ServerError(e) => {
                matches!(e.kind(), Some(BusyLoading | ClusterDown | MasterDown | ReadOnly))
            }
            _ => false,
        });
        if moved {
            *self.manager.lock() = None;
        }
    }
}

/// What Redis says, as a failure.
pub(crate) fn failure(shown: &str, error: &RedisError) -> Failure {
    use redis::ErrorKind as E;
    let (kind, again) = match error.kind() {
        _ if error.is_timeout() => (FailureKind::Timeout, true),
        E::AuthenticationFailed => (FailureKind::Connection, false),
        E::Io => (FailureKind::Connection, !error.to_string().contains("certificate")),
        _ if error.is_connection_dropped() || error.is_connection_refusal() => {
            (FailureKind::Connection, true)
        }
        E::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly,
        ) => (FailureKind::Connection, true),
        _ if error.to_string().contains("max number of clients") => (FailureKind::Limit, true),
        // Memory or a disk that is full, replicas that are away, a fail-over: not the fault of what was asked.
        _ if matches!(error.code(), Some("OOM" | "MISCONF" | "NOREPLICAS" | "UNBLOCKED" | "EXECABORT")) => {
            (FailureKind::Limit, true)
        }
        E::UnexpectedReturnType | E::Parse => (FailureKind::Decode, false),
        _ => (FailureKind::Other, false),
    };
    let what = match error.kind() {
        E::AuthenticationFailed => "user or password is not accepted".to_string(),
        _ => error.to_string(),
    };
    let failure = Failure::new(kind, format!("{shown}: {what}"));
    if again { failure.retryable() } else { failure }
}

/// A lookup table in Redis.
pub(crate) struct RedisLookup(Arc<Inner>);

struct Inner {
    connection: Connection,
    store: Store,
    template: KeyTemplate,
    format: Format,
    /// All columns that a value has.
    declared: SchemaRef,
    /// Those that are wanted of a value, and where they stand in the rows.
    wanted: SchemaRef,
    schema: SchemaRef,
    keys: Vec<usize>,
}

impl RedisLookup {
    pub(crate) fn new(request: &LookupRequest) -> Result<Self> {
        let table = &request.table;
        let template = KeyTemplate::of(table)?;
        let named: Vec<&str> = template.columns().collect();
        let is_key = |name: &str| named.contains(&name);
        let wanted = request.schema.fields().iter().filter(|f| !is_key(f.name())).cloned();
        let wanted: SchemaRef = Arc::new(Schema::new(wanted.collect::<Vec<_>>()));
        let record = table.record_schema("UTC");
        // The zone of the query is in the columns that it wants.
        let declared = record.fields().iter().filter(|f| !is_key(f.name()));
        let declared = declared.map(|f| match request.schema.field_with_name(f.name()) {
            Ok(field) => Arc::new(field.clone()),
            Err(_) => f.clone(),
        });
        let declared: SchemaRef = Arc::new(Schema::new(declared.collect::<Vec<_>>()));
        let format = Format::from_options_or(&table.options, "json")?;
        let store = Store::of(&table.options)?;
        let format =
            if store == Store::Json { Format::from_options_or(&Options::default(), "json")? } else { format };
        if store != Store::Hash {
            MessageDecoder::new(&format, &declared, &wanted)?;
        }
        Ok(Self(Arc::new(Inner {
            connection: Connection::new(address(&table.options)?),
            store,
            template,
            format,
            declared,
            wanted,
            schema: request.schema.clone(),
            keys: request.keys.clone(),
        })))
    }
}

/// What is under each key: nothing, or a value, or an error of its own.
type Found<T> = Vec<Result<Option<T>, Failure>>;

impl Inner {
    fn said(&self, error: &RedisError) -> Failure {
        failure(self.connection.shown(), error)
    }

    fn decode(&self, what: impl std::fmt::Display) -> Failure {
        Failure::new(FailureKind::Decode, format!("{}: {what}", self.connection.shown()))
    }

    fn reply(&self, reply: Reply) -> Result<Option<Vec<u8>>, Failure> {
        match reply {
            Reply::Nil => Ok(None),
            Reply::BulkString(bytes) => Ok(Some(bytes)),
            Reply::SimpleString(text) => Ok(Some(text.into_bytes())),
            Reply::ServerError(e) => Err(self.said(&e.into())),
            other => Err(self.decode(format!("an answer of another kind: {other:?}"))),
        }
    }

    fn list(&self, reply: Reply, count: usize) -> Result<Vec<Reply>, Failure> {
        match reply {
            Reply::Array(values) if values.len() == count => Ok(values),
            Reply::Array(values) => {
                Err(self.decode(format!("{} values where {count} were asked for", values.len())))
            }
            Reply::ServerError(e) => Err(self.said(&e.into())),
            other => Err(self.decode(format!("an answer of another kind: {other:?}"))),
        }
    }

    /// Strings and documents.
    async fn values(&self, keys: &[Vec<u8>]) -> Result<Found<Vec<u8>>, Failure> {
        let mut command = redis::cmd(if self.store == Store::Json { "JSON.MGET" } else { "MGET" });
        for key in keys {
            command.arg(key.as_slice());
        }
        if self.store == Store::Json {
            command.arg(".");
        }
        let reply = self.connection.one(&command).await.map_err(|e| self.said(&e))?;
        let mut found: Found<Vec<u8>> =
            self.list(reply, keys.len())?.into_iter().map(|value| self.reply(value)).collect();
        let none: Vec<usize> = (0..found.len()).filter(|i| matches!(found[*i], Ok(None))).collect();
        if none.is_empty() || !self.any_exists(none.iter().map(|i| &keys[*i])).await? {
            return Ok(found);
        }
        let name = if self.store == Store::Json { "JSON.GET" } else { "GET" };
        let mut pipeline = redis::pipe();
        for i in &none {
            pipeline.cmd(name).arg(keys[*i].as_slice());
        }
        let replies = self.connection.all(&pipeline, none.len()).await.map_err(|e| self.said(&e))?;
        for (i, reply) in none.into_iter().zip(replies) {
            found[i] = self.reply(reply);
        }
        Ok(found)
    }

    async fn any_exists(&self, keys: impl Iterator<Item = &Vec<u8>>) -> Result<bool, Failure> {
        let mut command = redis::cmd("EXISTS");
        for key in keys {
            command.arg(key.as_slice());
        }
        match self.connection.one(&command).await.map_err(|e| self.said(&e))? {
            Reply::Int(count) => Ok(count > 0),
            other => Err(self.decode(format!("an answer of another kind: {other:?}"))),
        }
    }

    /// The wanted fields of hashes.
    async fn hashes(&self, keys: &[Vec<u8>]) -> Result<Found<Vec<Option<Vec<u8>>>>, Failure> {
        let names: Vec<&str> = self.wanted.fields().iter().map(|f| f.name().as_str()).collect();
        let mut pipeline = redis::pipe();
        for key in keys {
            match names.as_slice() {
                // Only whether it is there.
                [] => pipeline.cmd("HLEN").arg(key.as_slice()),
                names => pipeline.cmd("HMGET").arg(key.as_slice()).arg(names),
            };
        }
        let replies = self.connection.all(&pipeline, keys.len()).await.map_err(|e| self.said(&e))?;
        let mut found: Found<Vec<Option<Vec<u8>>>> = Vec::with_capacity(keys.len());
        for reply in replies {
            found.push(match reply {
                Reply::Int(0) => Ok(None),
                Reply::Int(_) => Ok(Some(Vec::new())),
                other => match self.list(other, names.len()) {
                    Ok(values) => {
                        values.into_iter().map(|v| self.reply(v)).collect::<Result<_, _>>().map(Some)
                    }
                    Err(failure) => Err(failure),
                },
            });
        }
        // A hash without any of the fields, or none at all.
        let bare = |fields: &Vec<Option<Vec<u8>>>| !fields.is_empty() && fields.iter().all(Option::is_none);
        let unsure: Vec<usize> =
            (0..found.len()).filter(|i| matches!(&found[*i], Ok(Some(fields)) if bare(fields))).collect();
        if unsure.is_empty() {
            return Ok(found);
        }
        let mut pipeline = redis::pipe();
        for i in &unsure {
            pipeline.cmd("EXISTS").arg(keys[*i].as_slice());
        }
        let replies = self.connection.all(&pipeline, unsure.len()).await.map_err(|e| self.said(&e))?;
        for (i, reply) in unsure.into_iter().zip(replies) {
            if reply == Reply::Int(0) {
                found[i] = Ok(None);
            }
        }
        Ok(found)
    }

    async fn lookup(&self, keys: &RecordBatch) -> Result<Answers, Failure> {
        let names = self.template.keys(keys).map_err(|what| Failure::new(FailureKind::Key, what))?;
        let names: Vec<Vec<u8>> = names.into_iter().map(Option::unwrap_or_default).collect();
        let mut failures = Vec::new();
        // The keys that have a value, and the rows of the values.
        let mut hits = Vec::new();
        let values = if self.store == Store::Hash {
            let mut rows = Rows::new(&self.wanted);
            for (i, found) in self.hashes(&names).await?.into_iter().enumerate() {
                match found {
                    Ok(None) => {}
                    Ok(Some(fields)) => {
                        self.push(&mut rows, &fields).map_err(|what| self.wrong(&names[i], what))?;
                        hits.push(i as u32);
                    }
                    Err(failure) => failures.push((i as u32, self.of_key(&names[i], failure))),
                }
            }
            rows.finish(&self.wanted).map_err(|what| match names.as_slice() {
                [one] => self.wrong(one, what),
                _ => self.decode(what),
            })?
        } else {
            let mut present = Vec::new();
            for (i, found) in self.values(&names).await?.into_iter().enumerate() {
                match found {
                    Ok(None) => {}
                    Ok(Some(bytes)) => {
                        present.push(bytes);
                        hits.push(i as u32);
                    }
                    Err(failure) => failures.push((i as u32, self.of_key(&names[i], failure))),
                }
            }
            self.records(&names, &hits, &present)?
        };
        self.answers(keys, &hits, &values, failures)
    }

    fn of_key(&self, key: &[u8], failure: Failure) -> Failure {
        let message = format!("key '{}': {}", String::from_utf8_lossy(key), failure.message);
        Failure { message, ..failure }
    }

    fn wrong(&self, key: &[u8], what: impl std::fmt::Display) -> Failure {
        self.decode(format!("key '{}': {what}", String::from_utf8_lossy(key)))
    }

    fn push(&self, rows: &mut Rows, fields: &[Option<Vec<u8>>]) -> Result<(), String> {
        for (i, (field, value)) in self.wanted.fields().iter().zip(fields).enumerate() {
            match value {
                None => rows.push(i, Value::Null)?,
                Some(bytes) if *field.data_type() == DataType::BinaryView => {
                    rows.push(i, Value::Bytes(bytes))?
                }
                Some(bytes) => match simdutf8::basic::from_utf8(bytes) {
                    Ok(text) => rows.push(i, Value::Text(text))?,
                    Err(_) => return Err(format!("column '{}' has a text that is not UTF-8", field.name())),
                },
            }
        }
        rows.end_row();
        Ok(())
    }

    /// The rows of some records, one each.
    fn records(&self, names: &[Vec<u8>], hits: &[u32], present: &[Vec<u8>]) -> Result<RecordBatch, Failure> {
        if self.wanted.fields().is_empty() {
            let options = RecordBatchOptions::new().with_row_count(Some(present.len()));
            return RecordBatch::try_new_with_options(self.wanted.clone(), Vec::new(), &options)
                .map_err(|e| self.decode(e));
        }
        if present.is_empty() {
            return Ok(RecordBatch::new_empty(self.wanted.clone()));
        }
        let name =
            |i: usize| hits.get(i).and_then(|hit| names.get(*hit as usize)).map_or(&[][..], Vec::as_slice);
        let wrong = |e: Error| {
            self.decode(format!(
                "{}{}",
                e.message(),
                e.detail().map(|d| format!(" ({d})")).unwrap_or_default()
            ))
        };
        let mut decoder = MessageDecoder::new(&self.format, &self.declared, &self.wanted).map_err(wrong)?;
        let messages: Vec<Option<&[u8]>> = present.iter().map(|bytes| Some(bytes.as_slice())).collect();
        let place = |i: usize| format!("key '{}'", String::from_utf8_lossy(name(i)));
        let decoded = decoder.decode(&messages, true, &place).map_err(wrong)?;
        if let Some(error) = decoded.error {
            return Err(wrong(error));
        }
        if decoded.batch.num_rows() == present.len() {
            return Ok(decoded.batch);
        }
        // Records that the table leaves out, or values of several records: who is to blame shows alone.
        let count = decoded.batch.num_rows();
        Err(self.decode(format!("{} values have {count} records; a value is one record", present.len())))
    }

    /// Rows of the columns that are asked for, those of the key from the keys.
    fn answers(
        &self,
        keys: &RecordBatch,
        hits: &[u32],
        values: &RecordBatch,
        failures: Vec<(u32, Failure)>,
    ) -> Result<Answers, Failure> {
        let rows = UInt32Array::from(hits.to_vec());
        let column = |(i, field): (usize, &arrow::datatypes::FieldRef)| -> Result<ArrayRef, Failure> {
            if let Some(place) = self.keys.iter().position(|key| *key == i) {
                return take(keys.column(place), &rows, None).map_err(|e| self.decode(e));
            }
            let found = values.column_by_name(field.name()).cloned();
            found.ok_or_else(|| self.decode(format!("no value for column '{}'", field.name())))
        };
        let columns = self.schema.fields().iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(hits.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| self.decode(e))?;
        let mut offsets = Vec::with_capacity(keys.num_rows() + 1);
        let (mut end, mut next) = (0, hits.iter().peekable());
        offsets.push(0);
        for key in 0..keys.num_rows() as u32 {
            if next.next_if(|hit| **hit == key).is_some() {
                end += 1;
            }
            offsets.push(end);
        }
        let batch = concat_batches(&self.schema, [&batch]).map_err(|e| self.decode(e))?;
        Ok(Answers { failures, ..Answers::new(batch, offsets) })
    }
}

impl Backend for RedisLookup {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        let inner = self.0.clone();
        Box::pin(async move { inner.lookup(&keys).await })
    }

    fn max_keys(&self) -> usize {
        KEYS
    }

    fn max_requests(&self) -> Option<usize> {
        Some(REQUESTS)
    }

    fn endpoint(&self) -> Option<Service> {
        Some(Service { name: self.0.connection.shown().to_string(), max_in_flight: Some(REQUESTS) })
    }

    fn describe(&self) -> String {
        let command = match self.0.store {
            Store::String => "MGET",
            Store::Hash => "HMGET",
            Store::Json => "JSON.MGET",
        };
        format!("{}, {command} {}, up to {KEYS} keys a request", self.0.connection.shown(), self.0.template)
    }
}
