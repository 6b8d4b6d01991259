//! The binary log of MySQL and MariaDB: rows as they are in its events, and what reading them needs of the server.
//!
//! An event has no names of columns, unless the server is told to log them: columns go by their order, and what they are
//! is asked of the server. Values become what a query would give, so that both are read the same way.

mod image;

use std::cmp::Ordering;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use mysql_async::binlog::events::TableMapEvent;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn, Row, Value as Cell};

pub(crate) use self::image::{Images, Parts, Values, inflated};
use super::value::{self, Kind};
use super::{MySql, fault, select};
use crate::database::{Fault, FaultKind, Reading, System, quoted, spelled};
use crate::lookup::BoxFuture;
use crate::lookup::values::Rows;

/// A place in the log: a file and where in it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) pos: u64,
}

impl Place {
    /// Files are numbered: `binlog.000009` comes before `binlog.000010`, and `binlog.999999` before `binlog.1000000`.
    fn number(&self) -> (u64, &str) {
        let number = self.file.rsplit('.').next().and_then(|n| n.parse().ok());
        (number.unwrap_or(0), &self.file)
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.number(), self.pos).cmp(&(other.number(), other.pos))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.pos)
    }
}

/// A table whose changes are read.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub(crate) database: String,
    pub(crate) table: String,
    /// The columns that are wanted.
    pub(crate) columns: SchemaRef,
}

/// A column of the database.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Declared {
    name: String,
    /// `varchar`, `enum`, ...
    kind: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unsigned: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    charset: Option<String>,
    /// Of ENUM and SET.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    /// Bytes of BINARY.
    #[serde(default)]
    width: usize,
}

/// What a table looks like at a place of the log, for a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Shape {
    columns: Vec<Declared>,
    order: Vec<String>,
}

/// A table as it is.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Its database and its name as the server writes them.
    name: (String, String),
    columns: Vec<Declared>,
    /// Which of them are wanted, and what their bytes are.
    wanted: Vec<(usize, Kind)>,
    /// The primary key, if it is of whole numbers: rows can be read in its order from anywhere on.
    pub(crate) order: Vec<String>,
}

/// Takes the batches of a snapshot, each with the key of its last row.
pub(crate) type Keyed = Box<dyn FnMut(RecordBatch, Option<Vec<i128>>) -> BoxFuture<bool> + Send>;

fn table_fault(message: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Table, message)
}

impl Watched {
    /// `database.table` for people.
    pub(crate) fn name(&self) -> String {
        spelled(&[self.database.clone(), self.table.clone()])
    }

    fn reading(&self) -> Reading {
        Reading { table: self.name(), schema: self.columns.clone(), keys: Vec::new(), filters: Vec::new() }
    }

    /// Asks what the table is, and whether it can be what is declared.
    pub(crate) async fn facts(&self, connection: &mut Conn) -> Result<Facts, Fault> {
        let said = |e: mysql_async::Error| fault(&e);
        let name = (self.database.as_str(), self.table.as_str());
        type Found = (String, String, String, String, String, Option<String>, Option<u64>);
        let rows: Vec<Found> = connection
            .exec(
                "SELECT table_schema, table_name, column_name, CAST(data_type AS CHAR), CAST(column_type AS CHAR), \
                   character_set_name, CAST(character_octet_length AS UNSIGNED) FROM information_schema.columns WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position",
                name,
            )
            .await
            .map_err(said)?;
        let Some((schema, table, ..)) = rows.first() else {
            return Err(table_fault(format!("there is no table {}", self.name())).with_hint(
                "'database-name' and 'table-name' name one table as it is written, not a pattern",
            ));
        };
        let real = (schema.clone(), table.clone());
        let columns: Vec<Declared> = rows
            .into_iter()
            .map(|(_, _, name, kind, whole, charset, octets)| Declared {
                name,
                unsigned: whole.contains("unsigned"),
                charset,
                labels: labels(&whole),
                width: octets.and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
                kind: kind.to_ascii_lowercase(),
            })
            .collect();
        for field in self.columns.fields() {
            if !columns.iter().any(|c| c.name.eq_ignore_ascii_case(field.name())) {
                let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
                let what = format!("table {} has no column '{}'", self.name(), field.name());
                return Err(table_fault(what).with_hint(format!("it has: {}", names.join(", "))));
            }
        }
        // What a query gives of these columns.
        let statement = connection.prep(select(&self.reading())).await.map_err(said)?;
        for (field, column) in self.columns.fields().iter().zip(statement.columns().iter()) {
            value::agrees(column, field)?;
        }
        let kinds = value::kinds(&statement.columns());
        connection.close(statement).await.map_err(said)?;
        let mut wanted = Vec::new();
        for (field, kind) in self.columns.fields().iter().zip(kinds) {
            let at = columns.iter().position(|c| c.name.eq_ignore_ascii_case(field.name())).unwrap_or(0);
            columns[at].check(&self.name())?;
            wanted.push((at, kind));
        }
        let keys: Vec<String> = connection
            .exec(
                "SELECT column_name FROM information_schema.statistics WHERE table_schema = ? AND table_name = ? \
                 AND index_name = 'PRIMARY' ORDER BY seq_in_index",
                name,
            )
            .await
            .map_err(said)?;
        let whole = |key: &String| {
            columns.iter().any(|c| {
                c.name == *key
                    && ["tinyint", "smallint", "mediumint", "int", "bigint"].contains(&c.kind.as_str())
            })
        };
        let order = if keys.iter().all(whole) { keys } else { Vec::new() };
        Ok(Facts { name: real, columns, wanted, order })
    }

    /// Whether the server logs rows.
    pub(crate) async fn check_log(&self, connection: &mut Conn) -> Result<(), Fault> {
        let row: Option<(String, String, String)> = connection
            .query_first("SELECT CAST(@@global.log_bin AS CHAR), CAST(@@global.binlog_format AS CHAR), CAST(@@global.binlog_row_image AS CHAR)")
            .await
            .map_err(|e| fault(&e))?;
        let (log, format, image) = row.unwrap_or_default();
        let wrong = |what: &str, hint: &str| Err(table_fault(format!("the server {what}")).with_hint(hint));
        if !["1", "ON"].contains(&log.as_str()) {
            return wrong("has no binary log", "start it with --log-bin --server-id=1 --binlog-format=ROW");
        }
        if !format.eq_ignore_ascii_case("ROW") {
            return wrong(
                &format!("logs statements, not rows (binlog_format is {format})"),
                "SET GLOBAL binlog_format = 'ROW'",
            );
        }
        if !image.eq_ignore_ascii_case("FULL") {
            return wrong(
                &format!("does not log whole rows (binlog_row_image is {image})"),
                "SET GLOBAL binlog_row_image = 'FULL'",
            );
        }
        // What only MySQL has.
        let more: Vec<(String, String)> = connection
            .query("SHOW GLOBAL VARIABLES WHERE variable_name IN ('binlog_transaction_compression', 'binlog_row_value_options')")
            .await
            .map_err(|e| fault(&e))?;
        for (name, value) in more {
            if name.eq_ignore_ascii_case("binlog_transaction_compression") && value.eq_ignore_ascii_case("ON")
            {
                return wrong(
                    "compresses transactions in its log (binlog_transaction_compression is ON)",
                    "SET GLOBAL binlog_transaction_compression = OFF",
                );
            }
            if name.eq_ignore_ascii_case("binlog_row_value_options") && !value.is_empty() {
                return wrong(
                    &format!("logs parts of JSON values (binlog_row_value_options is {value})"),
                    "SET GLOBAL binlog_row_value_options = ''",
                );
            }
        }
        Ok(())
    }

    /// Whether the server can show the table as it is at one place of the log.
    pub(crate) async fn check_engine(&self, connection: &mut Conn) -> Result<(), Fault> {
        let engine: Option<Option<String>> = connection
            .exec_first(
                "SELECT CAST(engine AS CHAR) FROM information_schema.tables WHERE table_schema = ? AND table_name = ?",
                (self.database.as_str(), self.table.as_str()),
            )
            .await
            .map_err(|e| fault(&e))?;
        match engine.flatten() {
            Some(engine)
                if ["myisam", "aria", "memory", "csv", "archive", "mrg_myisam"]
                    .contains(&engine.to_ascii_lowercase().as_str()) =>
            {
                let what = format!(
                    "table {} is of engine {engine}, whose rows cannot be read as they are at one place of the log",
                    self.name()
                );
                Err(table_fault(what).with_hint(format!(
                    "ALTER TABLE {} ENGINE = InnoDB; or 'scan.startup.mode' = 'latest-offset'",
                    self.name()
                )))
            }
            _ => Ok(()),
        }
    }

    /// Refuses to begin between the two parts of an XA transaction: whether its rows come would not be known.
    pub(crate) async fn check_prepared(&self, connection: &mut Conn) -> Result<(), Fault> {
        let mut asked = 0;
        loop {
            let prepared: Result<Vec<Row>, _> = connection.query("XA RECOVER").await;
            match prepared {
                Ok(rows) if rows.is_empty() => return Ok(()),
                // Most are there for a moment only.
                Ok(_) if asked < 50 => {
                    asked += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
                Ok(rows) => {
                    return Err(table_fault(format!(
                        "the server has {} prepared XA transactions, and what they change is not known",
                        rows.len()
                    ))
                    .with_hint("XA RECOVER shows them: begin when they are committed or rolled back"));
                }
                Err(e) => {
                    log::warn!("whether the server has prepared XA transactions could not be asked: {e}");
                    return Ok(());
                }
            }
        }
    }

    /// Keeps the table as it is until the end of the open transaction.
    pub(crate) async fn hold(&self, connection: &mut Conn) -> Result<(), Fault> {
        let name = [&self.database, &self.table].map(|part| quoted(System::MySql, part)).join(".");
        connection.query_drop(format!("SELECT 1 FROM {name} LIMIT 1")).await.map_err(|e| fault(&e))
    }

    /// The end of the log.
    pub(crate) async fn end(&self, connection: &mut Conn) -> Result<Place, Fault> {
        let first = connection.query_first::<Row, _>("SHOW MASTER STATUS").await;
        let row = match first {
            // As MySQL has called it since 8.2.
            Err(mysql_async::Error::Server(e)) if e.code == 1064 => {
                connection.query_first::<Row, _>("SHOW BINARY LOG STATUS").await
            }
            other => other,
        };
        let row = row.map_err(|e| {
            fault(&e).with_hint("GRANT REPLICATION CLIENT, REPLICATION SLAVE ON *.* TO the user")
        })?;
        row.and_then(|row| Some(Place { file: row.get(0)?, pos: row.get(1)? }))
            .ok_or_else(|| table_fault("the server has no binary log"))
    }

    /// The oldest place that the server still has.
    pub(crate) async fn first(&self, connection: &mut Conn) -> Result<Place, Fault> {
        let row: Option<Row> = connection.query_first("SHOW BINARY LOGS").await.map_err(|e| fault(&e))?;
        row.and_then(|row| Some(Place { file: row.get(0)?, pos: 4 }))
            .ok_or_else(|| table_fault("the server has no binary log"))
    }

    /// Begins to see the table as it is at one place of the log.
    pub(crate) async fn moment(&self, database: &MySql, connection: &mut Conn) -> Result<Place, Fault> {
        let said = |e: mysql_async::Error| fault(&e);
        connection
            .query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            .await
            .map_err(said)?;
        // A reader may be slow.
        connection.query_drop("SET SESSION net_write_timeout = 3600").await.map_err(said)?;
        let begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT";
        connection.query_drop(begin).await.map_err(said)?;
        // MariaDB says at which place it is.
        let status: Vec<(String, String)> =
            connection.query("SHOW STATUS LIKE 'binlog_snapshot_%'").await.map_err(said)?;
        let of = |name: &str| {
            status.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        if let (Some(file), Some(pos)) = (of("binlog_snapshot_file"), of("binlog_snapshot_position"))
            && let (false, Ok(pos)) = (file.is_empty(), pos.parse())
        {
            return Ok(Place { file, pos });
        }
        // MySQL does not: nobody writes to the table for as long as it takes to ask.
        connection.query_drop("ROLLBACK").await.map_err(said)?;
        let mut other = database.connect().await?;
        let name = [&self.database, &self.table].map(|part| quoted(System::MySql, part)).join(".");
        let lock = other.query_drop(format!("LOCK TABLES {name} READ")).await;
        lock.map_err(|e| fault(&e).with_hint("GRANT LOCK TABLES, SELECT ON the database TO the user"))?;
        let place = self.end(&mut other).await?;
        connection.query_drop(begin).await.map_err(said)?;
        other.query_drop("UNLOCK TABLES").await.map_err(said)?;
        drop(other.disconnect().await);
        Ok(place)
    }

    /// Reads the table in the open transaction: all of it, or what is behind a key.
    pub(crate) async fn read(
        &self,
        database: &MySql,
        connection: &mut Conn,
        facts: &Facts,
        behind: Option<&[i128]>,
        rows: usize,
        mut take: Keyed,
    ) -> Result<(), Fault> {
        let reading = self.reading();
        let names: Vec<String> = facts.order.iter().map(|name| quoted(System::MySql, name)).collect();
        let mut sql = select(&reading);
        if !names.is_empty() {
            let list = names.join(", ");
            let from = behind.map_or_else(String::new, |key| {
                let values: Vec<String> = key.iter().map(i128::to_string).collect();
                format!(" WHERE ({list}) > ({})", values.join(", "))
            });
            sql = sql.replacen(" FROM ", &format!(", {list} FROM "), 1);
            sql.push_str(&format!("{from} ORDER BY {list}"));
        }
        let first = reading.schema.fields().len().max(1);
        let count = names.len();
        let mut each = |batch, last: &Row| {
            let whole = |i: usize| match last.as_ref(first + i)? {
                Cell::Int(n) => Some(i128::from(*n)),
                Cell::UInt(n) => Some(i128::from(*n)),
                _ => None,
            };
            let key: Option<Vec<i128>> = (0..count).map(whole).collect();
            take(batch, key.filter(|key| !key.is_empty()))
        };
        database.read_rows(connection, &sql, Vec::new(), &reading, rows, &mut each).await?;
        connection.query_drop("COMMIT").await.map_err(|e| fault(&e))
    }
}

impl Declared {
    /// What its bytes are in the answer to a query.
    fn bytes(&self) -> Kind {
        match self.kind.as_str() {
            "bit" => Kind::Bits,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "geometry"
            | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
            | "geometrycollection" => Kind::Bytes,
            _ => Kind::Text,
        }
    }

    /// Whether its values can be read from the log.
    fn check(&self, table: &str) -> Result<(), Fault> {
        let refused = |what: String| {
            Err(table_fault(format!(
                "column '{}' of {table} {what}, which is not read from the log",
                self.name
            ))
            .with_hint("leave the column out of the query"))
        };
        if ["json", "uuid", "inet4", "inet6", "vector"].contains(&self.kind.as_str()) {
            return refused(format!("is of type {}", self.kind.to_ascii_uppercase()));
        }
        match self.charset.as_deref() {
            None | Some("utf8mb4" | "utf8mb3" | "utf8" | "ascii" | "latin1" | "binary") => Ok(()),
            Some(other) => refused(format!("has the character set {other}")),
        }
    }
}

/// The labels of `enum('a','b')` and `set(...)`.
fn labels(column_type: &str) -> Vec<String> {
    let Some((kind, rest)) = column_type.split_once('(') else { return Vec::new() };
    if !["enum", "set"].contains(&kind.to_ascii_lowercase().as_str()) {
        return Vec::new();
    }
    let mut labels = Vec::new();
    let mut characters = rest.chars().peekable();
    while let Some(c) = characters.next() {
        if c != '\'' {
            continue;
        }
        let mut label = String::new();
        while let Some(c) = characters.next() {
            match c {
                '\'' if characters.peek() == Some(&'\'') => {
                    characters.next();
                    label.push('\'');
                }
                '\'' => break,
                c => label.push(c),
            }
        }
        labels.push(label);
    }
    labels
}

impl Facts {
    /// Adds a row to rows that become a batch.
    pub(crate) fn push(&self, fields: &SchemaRef, values: &Values, rows: &mut Rows) -> Result<(), String> {
        for (i, (field, cell)) in fields.fields().iter().zip(&values.cells).enumerate() {
            let kind = self.wanted.get(i).map(|(_, kind)| *kind).unwrap_or_default();
            value::read(cell, kind, field, |value| rows.push(i, value))?;
        }
        rows.end_row();
        Ok(())
    }

    /// Whether an event is of this table.
    pub(crate) fn is(&self, map: &TableMapEvent<'_>) -> bool {
        map.database_name() == self.name.0.as_str() && map.table_name() == self.name.1.as_str()
    }

    /// Its database and its own name, as the server writes them.
    pub(crate) fn names(&self) -> (&str, &str) {
        (&self.name.0, &self.name.1)
    }

    /// For a checkpoint.
    pub(crate) fn shape(&self) -> Shape {
        Shape { columns: self.columns.clone(), order: self.order.clone() }
    }

    /// The table as it was when a checkpoint was made.
    pub(crate) fn past(&self, shape: &Shape, fields: &SchemaRef) -> Result<Self, String> {
        let place = |name: &str| shape.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name));
        let wanted = fields.fields().iter().map(|field| {
            let at = place(field.name()).ok_or_else(|| {
                format!("column '{}' was added later than the changes that come next", field.name())
            })?;
            shape.columns[at].check(&self.name.1).map_err(|fault| fault.message)?;
            Ok((at, shape.columns[at].bytes()))
        });
        Ok(Self {
            name: self.name.clone(),
            columns: shape.columns.clone(),
            wanted: wanted.collect::<Result<_, String>>()?,
            order: shape.order.clone(),
        })
    }
}

impl MySql {
    /// A connection for statements.
    pub(crate) async fn client(&self) -> Result<Conn, Fault> {
        self.connect().await
    }

    /// Streams what is behind a place of the log.
    pub(crate) async fn stream(
        &self,
        from: &Place,
        server: u32,
        heartbeat: std::time::Duration,
    ) -> Result<BinlogStream, Fault> {
        let mut connection = self.connect().await?;
        // While nothing happens the server says so; and it waits for a reader that is slow.
        let set = format!(
            // Announces that MariaDB's own events are understood: without them it cannot send XA transactions.
            "SET @master_heartbeat_period = {}, @mariadb_slave_capability = 4, SESSION net_write_timeout = 3600",
            heartbeat.as_nanos()
        );
        connection.query_drop(set).await.map_err(|e| fault(&e).at(&self.shown))?;
        let request = BinlogStreamRequest::new(server).with_filename(from.file.as_bytes()).with_pos(from.pos);
        connection.get_binlog_stream(request).await.map_err(|e| fault(&e).at(&self.shown))
    }

    /// With the place in front.
    pub(crate) fn at(&self, fault: Fault) -> Fault {
        if fault.message.starts_with(&self.shown) { fault } else { fault.at(&self.shown) }
    }

    /// Which server it is.
    pub(crate) async fn server(&self, connection: &mut Conn) -> Result<String, Fault> {
        let id: Option<String> =
            connection.query_first("SELECT CAST(@@global.server_id AS CHAR)").await.map_err(|e| fault(&e))?;
        Ok(id.unwrap_or_default())
    }

    /// What the client says of a stream.
    pub(crate) fn stream_fault(&self, e: &mysql_async::Error) -> Fault {
        fault(e).at(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_ordered_by_the_number_of_their_file() {
        let place = |file: &str, pos| Place { file: file.into(), pos };
        assert!(place("b.000009", 500) < place("b.000010", 4));
        assert!(place("b.999999", 500) < place("b.1000000", 4));
        assert!(place("b.1", 5) > place("b.1", 4));
    }

    #[test]
    fn labels_are_taken_out_of_the_type() {
        assert_eq!(labels("enum('a','it''s','b,c')"), ["a", "it's", "b,c"]);
        assert!(labels("varchar(3)").is_empty());
    }
}
