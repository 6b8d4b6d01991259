//! MySQL and MariaDB: prepared statements whose lists have a power of two places, so that there are few of them.
//!
//! A connection answers one statement at a time; up to four are open. Sessions run in UTC, in strict mode: a value that
//! does not fit is refused by the server and not cut.

pub(crate) mod binlog;
mod lookup;
mod session;
mod value;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow::array::RecordBatch;
use mysql_async::consts::ColumnFlags;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row, SslOpts};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

pub(crate) use self::lookup::MySqlLookup;
use self::session::MySqlSession;
use super::pools::Pools;
use super::tls::{Mode, Tls};
use super::{
    Database, Described, Fault, FaultKind, JdbcUrl, Range, Reading, Session, System, Taker, quoted,
    quoted_table, spelled,
};
use crate::error::Result;
use crate::lookup::BoxFuture;
use crate::lookup::values::Rows;

/// Connections that lookups share.
const CONNECTIONS: usize = 4;

const ACTING: &[&str] =
    &["sslMode", "useSSL", "requireSSL", "verifyServerCertificate", "serverSslCert", "connectTimeout"];
const TUNING: &[&str] = &[
    "allowMultiQueries",
    "allowPublicKeyRetrieval",
    "autoReconnect",
    "cachePrepStmts",
    "characterEncoding",
    "connectionTimeZone",
    "defaultFetchSize",
    "prepStmtCacheSize",
    "prepStmtCacheSqlLimit",
    "rewriteBatchedStatements",
    "serverTimezone",
    "tcpKeepAlive",
    "useCompression",
    "useCursorFetch",
    "useServerPrepStmts",
    "useUnicode",
];

/// Tables and views of the database.
const TABLES: &str = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() \
    AND table_name NOT REGEXP '^affluent_(stage_|checkpoints$)' ORDER BY table_name";

/// A database.
pub(crate) struct MySql {
    options: OptsBuilder,
    mode: Mode,
    ssl: SslOpts,
    timeout: Duration,
    shown: String,
    idle: Mutex<Vec<Conn>>,
    places: Semaphore,
}

impl MySql {
    /// The pool of a URL.
    pub(crate) fn shared(url: &JdbcUrl) -> Result<Arc<Self>> {
        static KNOWN: LazyLock<Pools<MySql>> = LazyLock::new(Pools::default);
        KNOWN.shared(url, Self::new)
    }

    fn new(url: &JdbcUrl) -> Result<Self> {
        url.check_parameters(ACTING, TUNING)?;
        let tls = Tls::mysql(url)?;
        let (host, port) = url.hosts.first().cloned().unwrap_or_default();
        let options = OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port)
            .user(url.user.clone())
            .pass(url.password.clone())
            .db_name(Some(url.name.clone()).filter(|name| !name.is_empty()))
            .prefer_socket(false)
            .stmt_cache_size(128)
            .tcp_keepalive(Some(Duration::from_secs(30)))
            .init(vec!["SET time_zone = '+00:00', sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')"]);
        let mut ssl = SslOpts::default()
            .with_danger_accept_invalid_certs(matches!(tls.mode, Mode::Prefer | Mode::Require))
            .with_danger_skip_domain_validation(tls.mode != Mode::VerifyFull);
        if let Some(roots) = &tls.roots {
            ssl = ssl.with_root_certs(vec![roots.clone().into()]).with_disable_built_in_roots(true);
        }
        let millis = url.number("connectTimeout")?.filter(|millis| *millis > 0).unwrap_or(10_000);
        Ok(Self {
            options,
            mode: tls.mode,
            ssl,
            timeout: Duration::from_millis(millis),
            shown: url.shown(),
            idle: Mutex::default(),
            places: Semaphore::new(CONNECTIONS),
        })
    }

    /// A connection of one's own.
    async fn connect(&self) -> Result<Conn, Fault> {
        let secured = || self.options.clone().ssl_opts(self.ssl.clone());
        let opened = match self.mode {
            Mode::Disable => self.open(self.options.clone()).await,
            Mode::Prefer => match self.open(secured()).await {
                // The server has no TLS.
                Err(e) if e.message.contains("does not have this capability") => {
                    self.open(self.options.clone()).await
                }
                other => other,
            },
            _ => self.open(secured()).await,
        };
        opened.map_err(|fault| fault.at(&self.shown))
    }

    async fn open(&self, options: OptsBuilder) -> Result<Conn, Fault> {
        match tokio::time::timeout(self.timeout, Conn::new(options)).await {
            Ok(opened) => opened.map_err(|e| fault(&e)),
            Err(_) => Err(Fault::new(FaultKind::Connect, "connecting took too long")),
        }
    }

    /// One of the connections that lookups share.
    async fn pooled(&self) -> Result<Pooled<'_>, Fault> {
        let closed = |_| Fault::new(FaultKind::Other, "the connections are closed");
        let place = self.places.acquire().await.map_err(closed)?;
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Pooled { database: self, connection: Some(connection), _place: place })
    }

    /// Reads rows of a statement that is ready.
    async fn read(
        &self,
        connection: &mut Conn,
        sql: &str,
        parameters: Vec<mysql_async::Value>,
        reading: &Reading,
        rows: usize,
        take: &mut Taker,
    ) -> Result<(), Fault> {
        let mut each = |batch, _: &Row| take(batch);
        self.read_rows(connection, sql, parameters, reading, rows, &mut each).await
    }

    /// The same; each batch comes with its last row.
    async fn read_rows(
        &self,
        connection: &mut Conn,
        sql: &str,
        parameters: Vec<mysql_async::Value>,
        reading: &Reading,
        rows: usize,
        take: &mut (dyn FnMut(RecordBatch, &Row) -> BoxFuture<bool> + Send),
    ) -> Result<(), Fault> {
        let said = |e: mysql_async::Error| fault(&e);
        let wrong = |what| Fault::new(FaultKind::Value, what);
        let mut result = connection.exec_iter(sql, parameters).await.map_err(said)?;
        let columns = result.columns_ref();
        let agree = reading.schema.fields().iter().zip(columns);
        if let Some(fault) = agree.map(|(field, column)| value::agrees(column, field)).find_map(Result::err) {
            // What is on its way would be taken for the answer to what comes next.
            result.drop_result().await.map_err(said)?;
            return Err(fault);
        }
        let kinds = value::kinds(columns);
        let mut found = Rows::new(&reading.schema);
        let mut last = None;
        while let Some(row) = result.next().await.map_err(said)? {
            for (i, field) in reading.schema.fields().iter().enumerate() {
                let Some(cell) = row.as_ref(i) else { return Err(wrong("a row lacks a column".to_string())) };
                let kind = kinds.get(i).copied().unwrap_or_default();
                value::read(cell, kind, field, |value| found.push(i, value)).map_err(wrong)?;
            }
            found.end_row();
            if found.len() >= rows {
                let full = std::mem::replace(&mut found, Rows::new(&reading.schema));
                if !take(full.finish(&reading.schema).map_err(wrong)?, &row).await {
                    return Ok(());
                }
            }
            last = Some(row);
        }
        if let Some(last) = last.filter(|_| found.len() > 0) {
            take(found.finish(&reading.schema).map_err(wrong)?, &last).await;
        }
        Ok(())
    }
}

/// A connection that goes back when what it was taken for has ended well.
struct Pooled<'a> {
    database: &'a MySql,
    connection: Option<Conn>,
    _place: SemaphorePermit<'a>,
}

impl Pooled<'_> {
    fn give_back(mut self) {
        if let Some(connection) = self.connection.take() {
            self.database.idle.lock().push(connection);
        }
    }
}

fn select(reading: &Reading) -> String {
    let names: Vec<String> =
        reading.schema.fields().iter().map(|f| quoted(System::MySql, f.name())).collect();
    let list = if names.is_empty() { "1".to_string() } else { names.join(", ") };
    format!("SELECT {list} FROM {}", quoted_table(System::MySql, &reading.table))
}

impl Database for MySql {
    fn scan(
        self: Arc<Self>,
        reading: Arc<Reading>,
        range: Option<Range>,
        rows: usize,
        mut take: Taker,
    ) -> BoxFuture<Result<(), Fault>> {
        let database = self;
        Box::pin(async move {
            let bounds = range.map_or_else(String::new, |range| {
                let column = quoted(System::MySql, &range.column);
                format!(" WHERE {column} BETWEEN {} AND {}", range.from, range.to)
            });
            let sql = format!("{}{bounds}", select(&reading));
            let mut connection = database.connect().await?;
            let read = database.read(&mut connection, &sql, Vec::new(), &reading, rows, &mut take);
            read.await.map_err(|fault| fault.at(&database.shown))
        })
    }

    fn describe(self: Arc<Self>, table: String) -> BoxFuture<Result<Described, Fault>> {
        let database = self;
        Box::pin(async move {
            let at = |e: mysql_async::Error| fault(&e).at(&database.shown);
            let mut connection = database.connect().await?;
            let sql = format!("SELECT * FROM {}", quoted_table(System::MySql, &table));
            let statement = connection.prep(sql).await.map_err(at)?;
            let columns = statement.columns();
            let key = columns.iter().filter(|column| column.flags().contains(ColumnFlags::PRI_KEY_FLAG));
            Ok(Described {
                key: key.map(|column| column.name_str().into_owned()).collect(),
                columns: columns
                    .iter()
                    .map(|column| (column.name_str().into_owned(), value::declarable(column)))
                    .collect(),
            })
        })
    }

    fn tables(self: Arc<Self>) -> BoxFuture<Result<Vec<String>, Fault>> {
        let database = self;
        Box::pin(async move {
            let at = |e: mysql_async::Error| fault(&e).at(&database.shown);
            let mut connection = database.connect().await?;
            let names: Vec<String> = connection.query(TABLES).await.map_err(at)?;
            Ok(names.into_iter().map(|name| spelled(&[name])).collect())
        })
    }

    fn session(self: Arc<Self>) -> BoxFuture<Result<Box<dyn Session>, Fault>> {
        let database = self;
        Box::pin(async move {
            let connection = database.connect().await?;
            Ok(Box::new(MySqlSession::new(connection, database.shown.clone())) as Box<dyn Session>)
        })
    }
}

fn fault(error: &mysql_async::Error) -> Fault {
    use mysql_async::Error as E;
    match error {
        E::Server(said) => {
            let kind = match said.code {
                1040 | 1041 | 1203 | 1226 => FaultKind::Limit,
                1044 | 1045 | 1698 => FaultKind::Login,
                1205 | 1213 | 1020 => FaultKind::Conflict,
                1062 | 1586 => FaultKind::Duplicate,
                1053 | 1077 | 1079 | 1080 | 1184 | 1927 | 2006 | 2013 => FaultKind::Connect,
                1317 | 1969 | 3024 => FaultKind::Timeout,
                1048 | 1264 | 1265 | 1292 | 1366 | 1406 | 1411 | 1452 | 4025 => FaultKind::Value,
                _ if said.state.starts_with("08") => FaultKind::Connect,
                _ if said.state.starts_with("22") || said.state.starts_with("23") => FaultKind::Value,
                _ => FaultKind::Other,
            };
            Fault::new(kind, format!("{} (error {})", said.message, said.code))
        }
        E::Io(mysql_async::IoError::Tls(e)) => Fault::new(FaultKind::Login, format!("TLS: {e}")),
        other => {
            let text = other.to_string();
            let kind = if text.contains("capability") || text.contains("auth") {
                FaultKind::Login
            } else {
                FaultKind::Connect
            };
            Fault::new(kind, text)
        }
    }
}
