//! PostgreSQL: a small pool of connections that the whole process shares.
//!
//! Lookups of several tables and tasks are pipelined on a few connections; a scan, a load or a writer has a connection
//! of its own. Statements are prepared once a connection. What a server calls out of connections is waited for on those
//! that are open.

pub(crate) mod cdc;
mod decode;
mod encode;
mod lookup;
pub(crate) mod pgoutput;
pub(crate) mod replication;
mod scan;
mod session;
mod wire;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};
use tokio_postgres::{Client, Config, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

pub(crate) use self::decode::Rows;
pub(crate) use self::decode::text::Printed;
pub(crate) use self::lookup::PostgresLookup;
use self::session::PostgresSession;
use self::wire::{Limit, declarable};
use super::pools::Pools;
use super::tls::{Mode, Tls};
use super::{Database, Described, Fault, FaultKind, JdbcUrl, Range, Reading, Session, Taker};
use crate::error::Result;
use crate::lookup::BoxFuture;

/// Connections that lookups share.
const CONNECTIONS: usize = 4;
/// How long no further connection is asked for after a server had none left.
const REFUSED: Duration = Duration::from_secs(10);
/// Requests that wait on one connection: while one is answered the next is on its way.
const PIPELINED: usize = 2;

const ACTING: &[&str] = &[
    "sslmode",
    "ssl",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "connectTimeout",
    "ApplicationName",
    "currentSchema",
];
const TUNING: &[&str] = &[
    "autosave",
    "assumeMinServerVersion",
    "binaryTransfer",
    "defaultRowFetchSize",
    "loginTimeout",
    "loggerLevel",
    "prepareThreshold",
    "preparedStatementCacheQueries",
    "preparedStatementCacheSizeMiB",
    "reWriteBatchedInserts",
    "stringtype",
    "tcpKeepAlive",
];

/// The columns of a table's primary key.
const PRIMARY_KEY: &str = "SELECT a.attname FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(number, place) \
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number \
    WHERE i.indrelid = $1::text::regclass AND i.indisprimary AND k.place <= i.indnkeyatts ORDER BY k.place";
/// Tables and views, and whether they are found without their schema.
const TABLES: &str = "SELECT n.nspname, c.relname, pg_table_is_visible(c.oid) FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') \
    AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND c.relname !~ '^affluent_(stage_|checkpoints$)' \
    AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') ORDER BY 3 DESC, 1, 2";

/// A database.
pub(crate) struct Postgres {
    config: Config,
    tls: MakeRustlsConnect,
    schema: Option<String>,
    /// For messages.
    shown: String,
    open: Mutex<Vec<Arc<Connection>>>,
    /// When the server had no connection left.
    refused: Mutex<Option<Instant>>,
    connecting: tokio::sync::Mutex<()>,
}

/// A connection that lookups share.
struct Connection {
    client: Client,
    statements: Mutex<HashMap<String, Statement>>,
    busy: AtomicUsize,
}

impl Postgres {
    /// The pool of a URL.
    pub(crate) fn shared(url: &JdbcUrl) -> Result<Arc<Self>> {
        static KNOWN: LazyLock<Pools<Postgres>> = LazyLock::new(Pools::default);
        KNOWN.shared(url, Self::new)
    }

    fn new(url: &JdbcUrl) -> Result<Self> {
        url.check_parameters(ACTING, TUNING)?;
        let tls = Tls::postgres(url)?;
        let mut config = Config::new();
        for (host, port) in &url.hosts {
            config.host(host).port(*port);
        }
        config.dbname(&url.name);
        // As libpq does.
        let user =
            url.user.clone().or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "postgres".into());
        if url.name.is_empty() {
            config.dbname(&user);
        }
        config.user(user);
        if let Some(password) = &url.password {
            config.password(password);
        }
        let seconds = url.number("connectTimeout")?.filter(|seconds| *seconds > 0).unwrap_or(10);
        config.connect_timeout(Duration::from_secs(seconds));
        config.tcp_user_timeout(Duration::from_secs(30));
        config.keepalives_idle(Duration::from_secs(30));
        let name = url.parameters.get("ApplicationName").map_or("affluent", String::as_str);
        config.application_name(name);
        config.ssl_mode(match tls.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            _ => SslMode::Require,
        });
        Ok(Self {
            config,
            tls: MakeRustlsConnect::new(tls.client_config()?),
            schema: url.parameters.get("currentSchema").cloned(),
            shown: url.shown(),
            open: Mutex::default(),
            refused: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        })
    }

    /// A connection of one's own.
    async fn connect(&self) -> Result<Client, Fault> {
        let (client, connection) = self.config.connect(self.tls.clone()).await.map_err(|e| self.fault(&e))?;
        tokio::spawn(async move {
            if let Err(e) = connection.await {
                log::debug!("a connection to PostgreSQL ended: {e}");
            }
        });
        let path = match &self.schema {
            Some(schema) => format!("SET search_path TO {};", super::quoted(super::System::Postgres, schema)),
            None => String::new(),
        };
        // The texts that values are read from must not depend on the server.
        let settings =
            format!("SET datestyle TO ISO; SET intervalstyle TO postgres; SET timezone TO 'UTC'; {path}");
        client.batch_execute(&settings).await.map_err(|e| self.fault(&e))?;
        Ok(client)
    }

    /// The connection with the least to do.
    fn least_busy(&self) -> (Option<Arc<Connection>>, usize) {
        let mut open = self.open.lock();
        open.retain(|connection| !connection.client.is_closed());
        (open.iter().min_by_key(|c| c.busy.load(Ordering::Relaxed)).cloned(), open.len())
    }

    /// A connection for one more lookup.
    async fn connection(&self) -> Result<InUse, Fault> {
        let enough =
            |open| open >= CONNECTIONS || self.refused.lock().is_some_and(|at| at.elapsed() < REFUSED);
        let fits = |least: Option<Arc<Connection>>, open| {
            least.filter(|c| enough(open) || c.busy.load(Ordering::Relaxed) == 0)
        };
        let (least, open) = self.least_busy();
        if let Some(connection) = fits(least, open) {
            return Ok(InUse::new(connection));
        }
        let _turn = self.connecting.lock().await;
        let (least, open) = self.least_busy();
        if let Some(connection) = fits(least.clone(), open) {
            return Ok(InUse::new(connection));
        }
        match (self.connect().await, least) {
            (Ok(client), _) => {
                let connection =
                    Connection { client, statements: Mutex::default(), busy: AtomicUsize::new(0) };
                let connection = Arc::new(connection);
                self.open.lock().push(connection.clone());
                Ok(InUse::new(connection))
            }
            // Those that are open have to do.
            (Err(fault), Some(open)) if fault.kind == FaultKind::Limit => {
                *self.refused.lock() = Some(Instant::now());
                Ok(InUse::new(open))
            }
            (Err(fault), _) => Err(fault),
        }
    }

    /// No new lookup takes this connection.
    fn retire(&self, connection: &Arc<Connection>) {
        self.open.lock().retain(|open| !Arc::ptr_eq(open, connection));
    }

    /// What the client says, in our classes.
    fn fault(&self, error: &tokio_postgres::Error) -> Fault {
        fault(error).at(&self.shown)
    }
}

/// A connection while a lookup is on it.
struct InUse {
    connection: Arc<Connection>,
}

impl InUse {
    fn new(connection: Arc<Connection>) -> Self {
        connection.busy.fetch_add(1, Ordering::Relaxed);
        Self { connection }
    }

    /// A statement, prepared once.
    async fn prepare(&self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.connection.statements.lock().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.connection.client.prepare(sql).await?;
        self.connection.statements.lock().insert(sql.to_string(), statement.clone());
        Ok(statement)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.connection.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

fn fault(error: &tokio_postgres::Error) -> Fault {
    let Some(said) = error.as_db_error() else {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let text = cause.to_string();
        let shown = if text.is_empty() || text == error.to_string() {
            error.to_string()
        } else {
            format!("{error}: {text}")
        };
        // Whatever it is that is no answer of the server, the connection is of no use any more.
        let kind = match error.is_closed() || cause.is::<std::io::Error>() || shown.contains("timed out") {
            true => FaultKind::Connect,
            false if shown.contains("certificate") => FaultKind::Login,
            false if shown.contains("password") || shown.contains("authenticat") => FaultKind::Login,
            false => FaultKind::Other,
        };
        let kind = if shown.contains("invalid peer certificate") { FaultKind::Login } else { kind };
        return Fault::new(kind, shown);
    };
    said_by_server(said.code().code(), said.message(), said.detail(), said.hint())
}

/// An error that the server reports, in our classes: its code, message, detail and hint.
fn said_by_server(code: &str, message: &str, detail: Option<&str>, hint: Option<&str>) -> Fault {
    let is = |state: SqlState| code == state.code();
    let kind = match code.get(..2).unwrap_or_default() {
        _ if is(SqlState::UNIQUE_VIOLATION) => FaultKind::Duplicate,
        _ if is(SqlState::T_R_SERIALIZATION_FAILURE)
            || is(SqlState::T_R_DEADLOCK_DETECTED)
            || is(SqlState::LOCK_NOT_AVAILABLE)
            || is(SqlState::OBJECT_IN_USE) =>
        {
            FaultKind::Conflict
        }
        _ if is(SqlState::QUERY_CANCELED) => FaultKind::Timeout,
        "08" | "57" => FaultKind::Connect,
        "53" => FaultKind::Limit,
        "28" => FaultKind::Login,
        "22" | "23" => FaultKind::Value,
        _ => FaultKind::Other,
    };
    let detail = detail.map(|d| format!(" ({d})")).unwrap_or_default();
    let fault = Fault::new(kind, format!("{message}{detail}"));
    match hint {
        Some(hint) => fault.with_hint(hint),
        None => fault,
    }
}

/// A value as it is on the wire.
#[derive(Debug)]
struct Encoded(Bytes);

impl ToSql for Encoded {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

/// The same of an answer.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl Database for Postgres {
    fn scan(
        self: Arc<Self>,
        reading: Arc<Reading>,
        range: Option<Range>,
        rows: usize,
        take: Taker,
    ) -> BoxFuture<Result<(), Fault>> {
        let database = self;
        Box::pin(async move { scan::scan(&database, &reading, range.as_ref(), rows, take).await })
    }

    fn describe(self: Arc<Self>, table: String) -> BoxFuture<Result<Described, Fault>> {
        let database = self;
        Box::pin(async move {
            let client = database.connect().await?;
            let said = |e: tokio_postgres::Error| database.fault(&e);
            let quoted = super::quoted_table(super::System::Postgres, &table);
            let all = client.prepare(&format!("SELECT * FROM {quoted}")).await.map_err(said)?;
            let column = |c: &tokio_postgres::Column| {
                (c.name().to_string(), declarable(c.type_(), Limit::of(c.type_(), c.type_modifier())))
            };
            let rows = client.query(PRIMARY_KEY, &[&quoted]).await.map_err(said)?;
            let key =
                rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>().map_err(said)?;
            Ok(Described { columns: all.columns().iter().map(column).collect(), key })
        })
    }

    fn tables(self: Arc<Self>) -> BoxFuture<Result<Vec<String>, Fault>> {
        let database = self;
        Box::pin(async move {
            let client = database.connect().await?;
            let said = |e: tokio_postgres::Error| database.fault(&e);
            let mut names = Vec::new();
            for row in client.query(TABLES, &[]).await.map_err(said)? {
                let (schema, table): (String, String) =
                    (row.try_get(0).map_err(said)?, row.try_get(1).map_err(said)?);
                let visible: bool = row.try_get(2).map_err(said)?;
                let parts = if visible { vec![table] } else { vec![schema, table] };
                names.push(super::spelled(&parts));
            }
            Ok(names)
        })
    }

    fn session(self: Arc<Self>) -> BoxFuture<Result<Box<dyn Session>, Fault>> {
        let database = self;
        Box::pin(async move {
            let client = database.connect().await?;
            Ok(Box::new(PostgresSession::new(client, database.shown.clone())) as Box<dyn Session>)
        })
    }
}
