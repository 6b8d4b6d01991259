//! Lookups: the keys of a request in one IN list.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use super::value::{binds, bound};
use super::{CONNECTIONS, MySql, select};
use crate::database::{Database, Fault, FaultKind, JdbcUrl, Reading, System, gathering, quoted};
use crate::error::{Error, Result};
use crate::lookup::{
    Answers, Backend, BoxFuture, ColumnFilter, Comparison, Failure, FailureKind, LookupRequest, Service,
};

/// Keys of a request, a power of two.
const KEYS: usize = 1024;
/// Rows of a batch of a load.
const ROWS: usize = 1 << 16;

/// A table to look up in.
pub(crate) struct MySqlLookup {
    database: Arc<MySql>,
    reading: Arc<Reading>,
    /// Up to the list of keys.
    front: Arc<str>,
    /// What follows it.
    back: Arc<str>,
    service: String,
}

impl MySqlLookup {
    pub(crate) fn new(request: &LookupRequest, reading: Reading, url: &JdbcUrl) -> Result<Self> {
        for key in &request.keys {
            let field = reading.schema.field(*key);
            if !binds(field.data_type()) {
                return Err(Error::plan(format!("column '{}' cannot be a key in MySQL", field.name())));
            }
        }
        let keys: Vec<String> =
            reading.keys.iter().map(|key| quoted(System::MySql, reading.schema.field(*key).name())).collect();
        let list = if let [one] = keys.as_slice() { one.clone() } else { format!("({})", keys.join(", ")) };
        let filters = reading.filters.iter();
        let pushed =
            filters.filter_map(|f| pushed(f, &quoted(System::MySql, reading.schema.field(f.column).name())));
        let (host, port) = url.hosts.first().cloned().unwrap_or_default();
        Ok(Self {
            database: MySql::shared(url)?,
            front: format!("{} WHERE {list} IN ", select(&reading)).into(),
            back: pushed.map(|condition| format!(" AND {condition}")).collect::<String>().into(),
            reading: Arc::new(reading),
            service: format!("mysql://{host}:{port}"),
        })
    }
}

/// A filter that MySQL evaluates as we do: comparisons depend on collations and on what a text is taken for.
fn pushed(filter: &ColumnFilter, column: &str) -> Option<String> {
    match filter.comparison {
        Comparison::IsNull => Some(format!("{column} IS NULL")),
        Comparison::IsNotNull => Some(format!("{column} IS NOT NULL")),
        _ => None,
    }
}

async fn lookup(
    database: Arc<MySql>,
    reading: Arc<Reading>,
    (front, back): (Arc<str>, Arc<str>),
    keys: RecordBatch,
) -> Result<Answers, Failure> {
    let at = |fault: Fault| Failure::from(fault.at(&database.shown));
    // A key that MySQL has no value for is not found.
    let mut parameters = Vec::with_capacity(keys.num_rows() * keys.num_columns());
    let mut count = 0;
    for row in 0..keys.num_rows() {
        let values = keys.columns().iter().map(|column| bound(column, row)).collect::<Option<Vec<_>>>();
        if let Some(values) = values {
            parameters.extend(values);
            count += 1;
        }
    }
    if count == 0 {
        return Ok(Answers::misses(reading.schema.clone(), keys.num_rows()));
    }
    let width = keys.num_columns();
    let places = usize::next_power_of_two(count);
    let last: Vec<_> = parameters[parameters.len() - width..].to_vec();
    for _ in count..places {
        parameters.extend(last.iter().cloned());
    }
    let place = if width == 1 { "?".to_string() } else { format!("({})", vec!["?"; width].join(", ")) };
    let sql = format!("{front}({}){back}", vec![place.as_str(); places].join(", "));
    let mut pooled = database.pooled().await?;
    let Some(connection) = pooled.connection.as_mut() else { return Err(Failure::other("no connection")) };
    let (batches, mut take) = gathering();
    let read = database.read(connection, &sql, parameters, &reading, ROWS, &mut take).await;
    match read {
        Ok(()) => pooled.give_back(),
        Err(fault) => {
            // A statement that was refused leaves the connection as it was.
            if !matches!(fault.kind, FaultKind::Connect | FaultKind::Value) {
                pooled.give_back();
            }
            return Err(at(fault));
        }
    }
    let batches = std::mem::take(&mut *batches.lock());
    let rows = concat_batches(&reading.schema, &batches)
        .map_err(|e| Failure::new(FailureKind::Decode, e.to_string()))?;
    let (answers, _) =
        Answers::by_key(&rows, &reading.keys, &keys).map_err(|e| Failure::other(e.message()))?;
    Ok(answers)
}

impl Backend for MySqlLookup {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        let sql = (self.front.clone(), self.back.clone());
        Box::pin(lookup(self.database.clone(), self.reading.clone(), sql, keys))
    }

    fn max_keys(&self) -> usize {
        KEYS
    }

    fn max_requests(&self) -> Option<usize> {
        Some(CONNECTIONS)
    }

    fn endpoint(&self) -> Option<Service> {
        Some(Service { name: self.service.clone(), max_in_flight: Some(CONNECTIONS) })
    }

    fn can_load(&self) -> bool {
        true
    }

    fn load(&self) -> BoxFuture<Result<RecordBatch>> {
        let (database, reading) = (self.database.clone(), self.reading.clone());
        Box::pin(async move {
            let (batches, take) = gathering();
            database.scan(reading.clone(), None, ROWS, take).await?;
            let batches = std::mem::take(&mut *batches.lock());
            Ok(concat_batches(&reading.schema, &batches)?)
        })
    }

    fn describe(&self) -> String {
        format!("{}, table {}, up to {KEYS} keys a request", self.database.shown, self.reading.table)
    }
}
