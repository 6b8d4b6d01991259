//! Lookups: all keys of a request in one statement, as arrays.
//!
//! ```text
//!  one key column   SELECT ... WHERE "id" = ANY($1)
//!  several          SELECT ... WHERE ("a", "b") IN (SELECT * FROM unnest($1::int4[], $2::text[]))
//! ```
//! Keys that are texts here and something else there (CHAR, an enum, an address, a number) are asked for as what they
//! are there, so that an index is of use; a text that is no such value is left out, and found nowhere.
//! Whole tables, for a FULL cache, come by COPY.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, pin_mut};
use parking_lot::Mutex;
use tokio_postgres::types::Type;

use super::decode::Rows;
use super::encode::{Values, put_array};
use super::wire::{Wire, mismatch, type_name};
use super::{CONNECTIONS, Encoded, InUse, PIPELINED, Postgres, Raw, fault};
use crate::database::{Fault, FaultKind, JdbcUrl, Reading, System, gathering, quoted, quoted_table};
use crate::error::Result;
use crate::lookup::{Answers, Backend, BoxFuture, ColumnFilter, Comparison, Failure, Service};

/// Keys of a request.
const KEYS: usize = 1000;
/// Rows of a batch of a load.
const ROWS: usize = 1 << 16;

/// A table to look up in.
pub(crate) struct PostgresLookup {
    database: Arc<Postgres>,
    reading: Arc<Reading>,
    service: String,
    plan: Arc<Mutex<Option<Arc<Plan>>>>,
}

/// The statement, by what the columns are in the database.
struct Plan {
    sql: String,
    wires: Vec<Wire>,
    /// How each key is asked for.
    keys: Vec<Asked>,
    filters: Vec<Bytes>,
}

/// How the values of a key are asked for.
struct Asked {
    /// As which they are sent, and the number of that type.
    wire: Wire,
    element: u32,
    /// Which texts may be values of the column at all.
    texts: Texts,
}

/// Texts that a type has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Texts {
    All,
    /// Whole numbers from and to, as they are printed.
    Whole(i64, i64),
    /// Addresses.
    Addresses,
    MacAddresses,
}

impl Texts {
    fn have(self, text: &str) -> bool {
        match self {
            Self::All => true,
            Self::Whole(from, to) => text
                .parse::<i64>()
                .is_ok_and(|v| (from..=to).contains(&v) && itoa::Buffer::new().format(v) == text),
            Self::Addresses => {
                let (address, bits) = match text.split_once('/') {
                    Some((address, bits)) => (address, Some(bits)),
                    None => (text, None),
                };
                let most = match address.parse::<std::net::IpAddr>() {
                    Ok(std::net::IpAddr::V4(_)) => 32,
                    Ok(std::net::IpAddr::V6(_)) => 128,
                    Err(_) => return false,
                };
                bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|bits| bits <= most))
            }
            Self::MacAddresses => {
                let mut parts = 0;
                text.split(':').all(|part| {
                    parts += 1;
                    part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit())
                }) && parts == 6
            }
        }
    }
}

/// How a key that is text here is asked for where the column is of another type: the texts that the type has, and the
/// parameter as an array of the column's type. `None`: the column is compared as text.
fn as_its_type(t: &Type, number: usize) -> Option<(Texts, String)> {
    let array = |name: &str| format!("${number}::text[]::{name}[]");
    if let tokio_postgres::types::Kind::Enum(_) = t.kind() {
        // The labels of now; those that were known before may be fewer.
        let name = type_name(t);
        return Some((
            Texts::All,
            format!(
                "ARRAY(SELECT CASE WHEN k = ANY(enum_range(NULL::{name})::text[]) THEN k::{name} END \
                 FROM unnest(${number}::text[]) WITH ORDINALITY AS t(k, n) ORDER BY n)"
            ),
        ));
    }
    let texts = match *t {
        Type::BPCHAR => Texts::All,
        // An extension; what is equal without case is sorted out by us.
        _ if t.name() == "citext" => Texts::All,
        Type::INET => Texts::Addresses,
        Type::MACADDR => Texts::MacAddresses,
        Type::INT2 => Texts::Whole(i16::MIN.into(), i16::MAX.into()),
        Type::INT4 => Texts::Whole(i32::MIN.into(), i32::MAX.into()),
        Type::INT8 => Texts::Whole(i64::MIN, i64::MAX),
        _ => return None,
    };
    Some((texts, array(&type_name(t))))
}

/// The columns of a table as the database has them.
pub(super) struct Shape {
    pub(super) types: Vec<Type>,
    /// What a SELECT list has for each column.
    pub(super) list: Vec<String>,
    /// How what it has is read.
    pub(super) wires: Vec<Wire>,
}

impl Shape {
    /// Asks for the columns of a table.
    pub(super) async fn of(client: &tokio_postgres::Client, reading: &Reading) -> Result<Self, Fault> {
        let names: Vec<String> =
            reading.schema.fields().iter().map(|f| quoted(System::Postgres, f.name())).collect();
        let table = quoted_table(System::Postgres, &reading.table);
        let list = if names.is_empty() { "1".to_string() } else { names.join(", ") };
        let statement =
            client.prepare(&format!("SELECT {list} FROM {table}")).await.map_err(|e| fault(&e))?;
        let mut shape = Self { types: Vec::new(), list: Vec::new(), wires: Vec::new() };
        for ((field, name), column) in reading.schema.fields().iter().zip(names).zip(statement.columns()) {
            let wire = Wire::of(column.type_());
            if wire.reads_into(field.data_type()) {
                shape.list.push(name);
                shape.wires.push(wire);
            } else if *field.data_type() == DataType::Utf8View {
                shape.list.push(as_text(&name, column.type_()));
                shape.wires.push(Wire::Text);
            } else {
                return Err(mismatch(field, column.type_()));
            }
            shape.types.push(column.type_().clone());
        }
        if shape.list.is_empty() {
            shape.list.push("1".into());
        }
        Ok(shape)
    }
}

/// A column as its text, as the database prints it: the cast of an address adds what is not printed.
fn as_text(name: &str, t: &Type) -> String {
    match *t {
        Type::INET => format!("abbrev({name})"),
        _ => format!("{name}::text"),
    }
}

impl Plan {
    fn new(reading: &Reading, shape: Shape) -> Result<Self, Fault> {
        let name = |i: usize| quoted(System::Postgres, reading.schema.field(i).name());
        let (mut columns, mut arrays, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        let several = reading.keys.len() > 1;
        for (n, key) in reading.keys.iter().enumerate() {
            let (field, t) = (reading.schema.field(*key), &shape.types[*key]);
            let (wire, number) = (Wire::of(t), n + 1);
            let is_text = *field.data_type() == DataType::Utf8View;
            let is_enum = matches!(t.kind(), tokio_postgres::types::Kind::Enum(_));
            let text = (Wire::Text, Type::TEXT.oid());
            // JSON has no equality, and not every text is one.
            let as_it_is = !is_enum && wire != Wire::Jsonb && wire.writes_from(field.data_type());
            let ((wire, element), texts, column, array) = if as_it_is {
                let array = format!("${number}::{}[]", type_name(t));
                ((wire, t.oid()), Texts::All, name(*key), array)
            } else if let Some((texts, array)) = as_its_type(t, number).filter(|_| is_text) {
                (text, texts, name(*key), array)
            } else if is_text {
                // A text that is no value of that type is not found, and no error.
                (text, Texts::All, as_text(&name(*key), t), format!("${number}::text[]"))
            } else {
                return Err(mismatch(field, t));
            };
            // A subquery is one array among others there.
            columns.push(column);
            arrays.push(if several { format!("({array})") } else { array });
            keys.push(Asked { wire, element, texts });
        }
        let found = match (columns.as_slice(), arrays.as_slice()) {
            ([column], [array]) => format!("{column} = ANY({array})"),
            _ => format!("({}) IN (SELECT * FROM unnest({}))", columns.join(", "), arrays.join(", ")),
        };
        let mut conditions = vec![found];
        let mut filters = Vec::new();
        for filter in &reading.filters {
            let (field, t) = (reading.schema.field(filter.column), &shape.types[filter.column]);
            if let Some((condition, value)) =
                pushed(filter, &name(filter.column), field.data_type(), t, keys.len() + filters.len() + 1)
            {
                conditions.push(condition);
                filters.extend(value);
            }
        }
        let table = quoted_table(System::Postgres, &reading.table);
        let sql = format!("SELECT {} FROM {table} WHERE {}", shape.list.join(", "), conditions.join(" AND "));
        Ok(Self { sql, wires: shape.wires, keys, filters })
    }

    /// The arrays of keys. A key that no value of the column can be equal to is in none of them.
    fn parameters(&self, reading: &Reading, keys: &RecordBatch) -> Result<Vec<Encoded>, Fault> {
        let wrong = |what| Fault::new(FaultKind::Value, what);
        let columns = keys.columns().iter().zip(&self.keys).zip(&reading.keys);
        let values = columns
            .map(|((column, asked), key)| Values::new(reading.schema.field(*key).name(), column, &asked.wire))
            .collect::<Result<Vec<_>, _>>()
            .map_err(wrong)?;
        let limited: Vec<(&ArrayRef, Texts)> = keys
            .columns()
            .iter()
            .zip(&self.keys)
            .map(|(column, asked)| (column, asked.texts))
            .filter(|(_, texts)| *texts != Texts::All)
            .collect();
        let has = |(column, texts): &(&ArrayRef, Texts), row: usize| {
            column.is_null(row) || texts.have(column.as_string_view().value(row))
        };
        let mut scratch = BytesMut::new();
        let rows: Vec<usize> = (0..keys.num_rows())
            .filter(|row| {
                scratch.clear();
                limited.iter().all(|limited| has(limited, *row))
                    && values.iter().all(|values| values.put(*row, &mut scratch).is_ok())
            })
            .collect();
        let array = |(values, asked): (&Values, &Asked)| {
            let mut out = BytesMut::with_capacity(20 + rows.len() * 12);
            put_array(values, rows.iter().copied(), asked.element, &mut out).map_err(wrong)?;
            Ok(Encoded(out.freeze()))
        };
        let arrays = values.iter().zip(&self.keys).map(array);
        arrays.chain(self.filters.iter().map(|value| Ok(Encoded(value.clone())))).collect()
    }
}

/// A filter that PostgreSQL evaluates as we do. Floats are not: their order of NaN is another one. Text is compared by
/// bytes, which is the order of code points.
fn pushed(
    filter: &ColumnFilter,
    column: &str,
    declared: &DataType,
    t: &Type,
    number: usize,
) -> Option<(String, Option<Bytes>)> {
    let operator = match filter.comparison {
        Comparison::IsNull => return Some((format!("{column} IS NULL"), None)),
        Comparison::IsNotNull => return Some((format!("{column} IS NOT NULL"), None)),
        Comparison::Equal => "=",
        Comparison::NotEqual => "<>",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    };
    let wire = Wire::of(t);
    let whole = matches!(declared, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64);
    let same = match wire {
        Wire::Int2 | Wire::Int4 | Wire::Int8 => whole,
        Wire::Numeric => matches!(declared, DataType::Decimal128(..)),
        Wire::Bool => *declared == DataType::Boolean,
        Wire::Date => *declared == DataType::Date32,
        Wire::Timestamp | Wire::TimestampTz => wire.reads_into(declared),
        Wire::Text => *declared == DataType::Utf8View && matches!(*t, Type::TEXT | Type::VARCHAR),
        _ => false,
    };
    let value: &ArrayRef = &filter.value;
    if !same || value.len() != 1 {
        return None;
    }
    let mut out = BytesMut::new();
    Values::new("", value, &wire).ok()?.put(0, &mut out).ok()?;
    let value = out.split_off(4).freeze();
    let collate = if wire == Wire::Text { " COLLATE \"C\"" } else { "" };
    Some((format!("{column}{collate} {operator} ${number}::{}", type_name(t)), Some(value)))
}

impl PostgresLookup {
    pub(crate) fn new(reading: Reading, url: &JdbcUrl) -> Result<Self> {
        let database = Postgres::shared(url)?;
        let (host, port) = url.hosts.first().cloned().unwrap_or_default();
        let service = format!("postgresql://{host}:{port}");
        Ok(Self { database, reading: Arc::new(reading), service, plan: Arc::default() })
    }
}

struct Asking {
    database: Arc<Postgres>,
    reading: Arc<Reading>,
    plan: Arc<Mutex<Option<Arc<Plan>>>>,
}

impl Asking {
    async fn plan(&self, on: &InUse) -> Result<Arc<Plan>, Fault> {
        if let Some(plan) = self.plan.lock().clone() {
            return Ok(plan);
        }
        let shape = Shape::of(&on.connection.client, &self.reading).await?;
        let plan = Arc::new(Plan::new(&self.reading, shape)?);
        *self.plan.lock() = Some(plan.clone());
        Ok(plan)
    }

    async fn ask(&self, on: &InUse, keys: &RecordBatch) -> Result<RecordBatch, Fault> {
        let plan = self.plan(on).await?;
        let statement = on.prepare(&plan.sql).await.map_err(|e| fault(&e))?;
        let parameters = plan.parameters(&self.reading, keys)?;
        let rows = on.connection.client.query_raw(&statement, parameters).await.map_err(|e| fault(&e))?;
        pin_mut!(rows);
        let mut found = Rows::new(&self.reading.schema, &plan.wires);
        let value = |what| Fault::new(FaultKind::Value, what);
        while let Some(row) = rows.next().await {
            let row = row.map_err(|e| fault(&e))?;
            for column in 0..plan.wires.len() {
                let Raw(raw) = row.try_get(column).map_err(|e| fault(&e))?;
                found.push(column, raw).map_err(value)?;
            }
            found.count += 1;
        }
        found.finish(&self.reading.schema).map_err(value)
    }

    async fn lookup(self, keys: RecordBatch) -> Result<Answers, Failure> {
        let at = |fault: Fault| Failure::from(fault.at(&self.database.shown));
        let on = self.database.connection().await?;
        // One that is not waited for any more is stopped, if it is alone, and hinders no other.
        let mut watch = Watch { asking: &self, on: &on, done: false };
        let asked = self.ask(&on, &keys).await;
        watch.done = true;
        let rows = match asked {
            Ok(rows) => rows,
            Err(mut fault) => {
                if fault.message.contains("cached plan must not change result type")
                    || fault.kind == FaultKind::Table
                {
                    // The table was changed.
                    *self.plan.lock() = None;
                    on.connection.statements.lock().clear();
                    if fault.kind == FaultKind::Other {
                        fault.kind = FaultKind::Conflict;
                    }
                }
                return Err(at(fault));
            }
        };
        let (answers, _) =
            Answers::by_key(&rows, &self.reading.keys, &keys).map_err(|e| Failure::other(e.message()))?;
        Ok(answers)
    }

    async fn load(self) -> Result<RecordBatch, Fault> {
        let (batches, take) = gathering();
        super::scan::scan(&self.database, &self.reading, None, ROWS, take).await?;
        let batches = std::mem::take(&mut *batches.lock());
        concat_batches(&self.reading.schema, &batches)
            .map_err(|e| Fault::new(FaultKind::Value, e.to_string()))
    }
}

/// Stops a request that is dropped before its end.
struct Watch<'a> {
    asking: &'a Asking,
    on: &'a InUse,
    done: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let connection = &self.on.connection;
        self.asking.database.retire(connection);
        if connection.busy.load(std::sync::atomic::Ordering::Relaxed) == 1 {
            let (token, tls) = (connection.client.cancel_token(), self.asking.database.tls.clone());
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { drop(token.cancel_query(tls).await) });
            }
        }
    }
}

impl PostgresLookup {
    fn asking(&self) -> Asking {
        Asking { database: self.database.clone(), reading: self.reading.clone(), plan: self.plan.clone() }
    }
}

impl Backend for PostgresLookup {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        Box::pin(self.asking().lookup(keys))
    }

    fn max_keys(&self) -> usize {
        KEYS
    }

    fn max_requests(&self) -> Option<usize> {
        Some(CONNECTIONS * PIPELINED)
    }

    fn endpoint(&self) -> Option<Service> {
        Some(Service { name: self.service.clone(), max_in_flight: Some(CONNECTIONS * PIPELINED) })
    }

    fn can_load(&self) -> bool {
        true
    }

    fn load(&self) -> BoxFuture<Result<RecordBatch>> {
        let asking = self.asking();
        Box::pin(async move { Ok(asking.load().await?) })
    }

    fn describe(&self) -> String {
        format!("{}, table {}, up to {KEYS} keys a request", self.database.shown, self.reading.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_a_type_has() {
        let small = Texts::Whole(-32_768, 32_767);
        assert!(small.have("-32768") && small.have("0"));
        assert!(!small.have("32768") && !small.have("07") && !small.have("+7") && !small.have("x"));
        for good in ["10.0.0.1", "10.0.0.0/8", "::1", "fe80::1/64"] {
            assert!(Texts::Addresses.have(good), "{good}");
        }
        for bad in ["", "10.0.0", "10.0.0.1/33", "10.0.0.1/", "host", "::1/129", "10.0.0.1 "] {
            assert!(!Texts::Addresses.have(bad), "{bad}");
        }
        assert!(Texts::MacAddresses.have("08:00:2b:01:02:03"));
        assert!(
            !Texts::MacAddresses.have("08:00:2b:01:02") && !Texts::MacAddresses.have("0g:00:2b:01:02:03")
        );
    }
}
