//! What reading the changes of a table needs in the database: the table's facts, a publication, a slot, a snapshot.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use postgres_protocol::escape::escape_literal;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::decode::text::Printed;
use super::lookup::Shape;
use super::replication::{Lsn, Replication, identifier};
use super::scan::{cells, copied};
use super::wire::mismatch;
use super::{Postgres, fault};
use crate::database::{Fault, FaultKind, Reading, System, quoted, spelled};
use crate::lookup::BoxFuture;

/// The partitions of a table that have rows.
const LEAVES: &str =
    "SELECT relid::oid FROM pg_partition_tree($1::oid::regclass) WHERE isleaf AND parentrelid IS NOT NULL";
/// The plugin that all servers have.
const PLUGIN: &str = "pgoutput";

/// A table whose changes are read.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub(crate) schema: String,
    pub(crate) table: String,
    /// The columns that are wanted.
    pub(crate) columns: SchemaRef,
    /// The declared key.
    pub(crate) key: Vec<String>,
    /// Rows as they were before a change are needed.
    pub(crate) whole_before: bool,
}

/// The publication that changes come by.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    pub(crate) name: String,
    pub(crate) create: Create,
}

/// Which publication is made where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Create {
    Never,
    /// Of the table alone.
    Table,
    /// Of all tables.
    All,
}

/// A table as it is.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    oid: u32,
    partitioned: bool,
    /// The partitions, by their numbers.
    pub(crate) partitions: BTreeSet<u32>,
    /// Other tables inherit from it, and their rows are among its own in queries.
    has_children: bool,
    /// Wanted columns that the server computes.
    generated: Vec<String>,
    /// The type of each wanted column as it was declared, which may be a domain.
    declared: Vec<u32>,
    /// What `pg_class` calls it, of the table or of each of its partitions.
    identity: BTreeSet<String>,
    identity_columns: Vec<String>,
    /// All columns.
    pub(crate) columns: Vec<String>,
    /// The type of each wanted column.
    pub(crate) types: Vec<Type>,
    /// How the texts of each are read.
    pub(crate) printed: Vec<Printed>,
    list: Vec<String>,
    wires: Vec<super::wire::Wire>,
    /// The primary key, where rows can be read in its order from anywhere on.
    pub(crate) order: Vec<(String, KeyKind)>,
}

/// How values of a key are compared, by the server and by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Whole,
    /// By their bytes.
    Text,
    Uuid,
}

impl KeyKind {
    fn of(t: &Type) -> Option<Self> {
        Some(match *t {
            Type::INT2 | Type::INT4 | Type::INT8 => Self::Whole,
            Type::TEXT | Type::VARCHAR => Self::Text,
            Type::UUID => Self::Uuid,
            _ => return None,
        })
    }

    /// Compares two values by their texts.
    pub(crate) fn compare(self, a: &str, b: &str) -> std::cmp::Ordering {
        match self {
            Self::Whole => a.parse::<i64>().ok().cmp(&b.parse::<i64>().ok()),
            Self::Text | Self::Uuid => a.as_bytes().cmp(b.as_bytes()),
        }
    }

    /// The text of a value in binary.
    fn text(self, raw: &[u8]) -> Option<String> {
        Some(match self {
            Self::Whole => match raw.len() {
                2 => i16::from_be_bytes(raw.try_into().ok()?).to_string(),
                4 => i32::from_be_bytes(raw.try_into().ok()?).to_string(),
                _ => i64::from_be_bytes(raw.try_into().ok()?).to_string(),
            },
            Self::Text => std::str::from_utf8(raw).ok()?.to_string(),
            Self::Uuid => uuid::Uuid::from_slice(raw).ok()?.to_string(),
        })
    }

    fn ordered(self, name: &str) -> String {
        match self {
            Self::Text => format!("{name} COLLATE \"C\""),
            Self::Whole | Self::Uuid => name.to_string(),
        }
    }

    fn literal(self, text: &str) -> String {
        match self {
            Self::Whole => text.parse::<i64>().unwrap_or_default().to_string(),
            Self::Text => format!("{} COLLATE \"C\"", escape_literal(text)),
            Self::Uuid => format!("{}::uuid", escape_literal(text)),
        }
    }
}

/// What is read of a table at one moment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Moment {
    /// The transactions whose changes are in it, as `txid_current_snapshot()` prints them.
    pub(crate) seen: String,
    /// All of them are committed before this place.
    pub(crate) until: Lsn,
}

/// The same to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    from: u64,
    to: u64,
    open: Vec<u64>,
}

impl std::str::FromStr for Seen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no snapshot");
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        let mut parts = text.split(':');
        let (from, to) = (parts.next().ok_or_else(wrong)?, parts.next().ok_or_else(wrong)?);
        let open = parts.next().unwrap_or_default().split(',').filter(|part| !part.is_empty());
        Ok(Self { from: number(from)?, to: number(to)?, open: open.map(number).collect::<Result<_, _>>()? })
    }
}

impl Seen {
    /// Whether the changes of a committed transaction are in it. Numbers of transactions begin anew after 2^32.
    pub(crate) fn has(&self, xid: u32) -> bool {
        let mut full = (self.to & !0xffff_ffff) | u64::from(xid);
        if full > self.to.saturating_add(1 << 31) {
            full = full.saturating_sub(1 << 32);
        } else if full.saturating_add(1 << 31) < self.to {
            full += 1 << 32;
        }
        full < self.from || (full < self.to && !self.open.contains(&full))
    }
}

/// A slot as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    /// What is before it may be gone.
    pub(crate) confirmed: Lsn,
    /// What it needs is gone.
    pub(crate) lost: Option<String>,
}

/// A slot that was made, and the snapshot that belongs to it.
pub(crate) struct NewSlot {
    pub(crate) from: Lsn,
    snapshot: Option<String>,
}

/// Takes the batches of a snapshot, each with the key of its last row.
pub(crate) type Keyed = Box<dyn FnMut(RecordBatch, Option<Vec<String>>) -> BoxFuture<bool> + Send>;

fn wrong(kind: FaultKind, message: impl Into<String>) -> Fault {
    Fault::new(kind, message)
}

impl Watched {
    /// `schema.table` for people and statements.
    pub(crate) fn name(&self) -> String {
        spelled(&[self.schema.clone(), self.table.clone()])
    }

    fn quoted(&self) -> String {
        [&self.schema, &self.table].map(|part| quoted(System::Postgres, part)).join(".")
    }

    /// Asks what the table is, and whether it can be what is declared.
    pub(crate) async fn facts(&self, client: &Client) -> Result<Facts, Fault> {
        let said = |e: tokio_postgres::Error| fault(&e);
        let found = client
            .query_opt(
                "SELECT c.oid, c.relkind::text, c.relreplident::text, \
                   c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid) FROM pg_class c \
                 JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1::text AND c.relname = $2::text",
                &[&self.schema, &self.table],
            )
            .await
            .map_err(said)?;
        let Some(found) = found else {
            return Err(wrong(FaultKind::Table, format!("there is no table {}", self.name()))
                .with_hint("'schema-name' and 'table-name' name one table as it is written, not a pattern"));
        };
        let oid: u32 = found.try_get(0).map_err(said)?;
        let kind: String = found.try_get(1).map_err(said)?;
        let own: String = found.try_get(2).map_err(said)?;
        let has_children: bool = found.try_get(3).map_err(said)?;
        if !["r", "p"].contains(&kind.as_str()) {
            let what =
                format!("{} is no table: changes of views and foreign tables cannot be read", self.name());
            return Err(wrong(FaultKind::Table, what));
        }
        let partitioned = kind == "p";
        let mut identity = BTreeSet::from([own.clone()]);
        let mut partitions = BTreeSet::new();
        if partitioned {
            let leaves = client.query(LEAVES, &[&oid]).await.map_err(said)?;
            partitions = leaves.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(said)?;
            let leaves = client
                .query(
                    "SELECT DISTINCT c.relreplident::text FROM pg_partition_tree($1::oid::regclass) t \
                     JOIN pg_class c ON c.oid = t.relid WHERE t.isleaf",
                    &[&oid],
                )
                .await
                .map_err(said)?;
            identity = leaves.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(said)?;
        }
        let names = |rows: Vec<tokio_postgres::Row>| -> Result<Vec<String>, Fault> {
            rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(said)
        };
        let identity_columns = names(
            client
                .query(
                    "SELECT a.attname::text FROM pg_index i CROSS JOIN unnest(i.indkey) AS k(number) \
                     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number \
                     WHERE i.indrelid = $1 AND CASE WHEN $2::text = 'i' THEN i.indisreplident ELSE i.indisprimary END",
                    &[&oid, &own],
                )
                .await
                .map_err(said)?,
        )?;
        let attributes = client
            .query(
                "SELECT a.attname::text, a.atttypid, COALESCE(to_jsonb(a)->>'attgenerated', '') <> '' FROM pg_attribute a \
                 WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped",
                &[&oid],
            )
            .await
            .map_err(said)?;
        let attributes: Vec<(String, u32, bool)> = attributes
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
            .collect::<Result<_, tokio_postgres::Error>>()
            .map_err(said)?;
        let columns: Vec<String> = attributes.iter().map(|(name, ..)| name.clone()).collect();
        let wanted: Vec<&(String, u32, bool)> = self
            .columns
            .fields()
            .iter()
            .filter_map(|field| attributes.iter().find(|(name, ..)| name == field.name()))
            .collect();
        let declared = wanted.iter().map(|(_, t, _)| *t).collect();
        let generated = wanted.iter().filter(|(.., g)| *g).map(|(name, ..)| name.clone()).collect();
        for field in self.columns.fields() {
            if !columns.contains(field.name()) {
                let what = format!("table {} has no column '{}'", self.name(), field.name());
                return Err(
                    wrong(FaultKind::Table, what).with_hint(format!("it has: {}", columns.join(", ")))
                );
            }
        }
        let reading = Reading {
            table: self.name(),
            schema: self.columns.clone(),
            keys: Vec::new(),
            filters: Vec::new(),
        };
        let shape = Shape::of(client, &reading).await?;
        let mut printed = Vec::new();
        for (field, t) in self.columns.fields().iter().zip(&shape.types) {
            printed.push(Printed::of(t, field.data_type()).ok_or_else(|| mismatch(field, t))?);
        }
        let order = self.order(client, oid).await?;
        Ok(Facts {
            oid,
            partitioned,
            partitions,
            has_children,
            generated,
            declared,
            identity,
            identity_columns,
            columns,
            types: shape.types,
            printed,
            list: shape.list,
            wires: shape.wires,
            order,
        })
    }

    /// The primary key, if rows can be compared by it.
    async fn order(&self, client: &Client, oid: u32) -> Result<Vec<(String, KeyKind)>, Fault> {
        let rows = client
            .query(
                "SELECT a.attname::text, a.atttypid FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(number, place) \
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number \
                 WHERE i.indrelid = $1 AND i.indisprimary AND k.place <= i.indnkeyatts ORDER BY k.place",
                &[&oid],
            )
            .await
            .map_err(|e| fault(&e))?;
        let mut order = Vec::new();
        for row in rows {
            let name: String = row.try_get(0).map_err(|e| fault(&e))?;
            let t: u32 = row.try_get(1).map_err(|e| fault(&e))?;
            match Type::from_oid(t).as_ref().and_then(KeyKind::of) {
                Some(kind) => order.push((name, kind)),
                None => return Ok(Vec::new()),
            }
        }
        Ok(order)
    }

    /// Whether the server logs what is needed of this table.
    pub(crate) async fn check_log(&self, client: &Client, facts: &Facts) -> Result<(), Fault> {
        let row = client.query_one("SELECT current_setting('wal_level'), pg_is_in_recovery()", &[]).await;
        let row = row.map_err(|e| fault(&e))?;
        let level: String = row.try_get(0).map_err(|e| fault(&e))?;
        if row.try_get(1).map_err(|e| fault(&e))? {
            return Err(
                wrong(FaultKind::Table, "the server is a standby").with_hint("connect to its primary")
            );
        }
        if level != "logical" {
            let what = format!("the server's wal_level is {level}, changes are logged with 'logical' only");
            return Err(wrong(FaultKind::Table, what)
                .with_hint("ALTER SYSTEM SET wal_level = logical; then restart the server"));
        }
        if facts.has_children {
            let what = format!(
                "other tables inherit from table {}: their rows are among its own, and their changes are not among its changes",
                self.name()
            );
            return Err(wrong(FaultKind::Table, what).with_hint(
                "declare a table for each of them and read their UNION ALL, or make it a partitioned table; pg_inherits shows them",
            ));
        }
        if let Some(column) = facts.generated.first() {
            let what = format!(
                "column '{column}' of {} is generated: the server does not send it with changes",
                self.name()
            );
            return Err(wrong(FaultKind::Table, what)
                .with_hint("leave it out of the declaration, and compute it here: c AS ..."));
        }
        let full = format!("ALTER TABLE {} REPLICA IDENTITY FULL", self.quoted());
        let is_full = facts.identity.iter().all(|identity| identity == "f");
        if self.whole_before && !is_full {
            let what = format!(
                "table {} does not log rows as they were before a change (its replica identity is not FULL)",
                self.name()
            );
            return Err(wrong(FaultKind::Table, what)
                .with_hint(format!("{full}; or 'changelog-mode' = 'upsert' and a PRIMARY KEY")));
        }
        let lacks = self.key.iter().find(|column| !facts.identity_columns.contains(column));
        if facts.identity.contains("n") {
            let what = format!("table {} has REPLICA IDENTITY NOTHING", self.name());
            return Err(wrong(FaultKind::Table, what).with_hint(full));
        }
        if let Some(column) = lacks.filter(|_| !is_full) {
            let what = format!(
                "table {} does not log column '{column}' of the PRIMARY KEY when a row is deleted: it is not part of its replica identity",
                self.name()
            );
            return Err(wrong(FaultKind::Table, what).with_hint(full));
        }
        Ok(())
    }

    /// Finds or makes the publication.
    pub(crate) async fn publish(
        &self,
        client: &Client,
        facts: &Facts,
        publication: &Publication,
    ) -> Result<(), Fault> {
        let said = |e: tokio_postgres::Error| fault(&e);
        let name = identifier(&publication.name);
        let found = client
            .query_opt(
                "SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate, \
                   COALESCE((to_jsonb(p)->>'pubviaroot')::bool, false), \
                   t.pubname IS NOT NULL, to_jsonb(t)->>'rowfilter', \
                   ARRAY(SELECT jsonb_array_elements_text(COALESCE(to_jsonb(t)->'attnames', '[]'::jsonb))) \
                 FROM pg_publication p LEFT JOIN pg_publication_tables t \
                   ON t.pubname = p.pubname AND t.schemaname = $2::text AND t.tablename = $3::text WHERE p.pubname = $1::text",
                &[&publication.name, &self.schema, &self.table],
            )
            .await
            .map_err(said)?;
        let Some(found) = found else {
            let of = match publication.create {
                Create::All => "ALL TABLES".to_string(),
                Create::Never | Create::Table => format!("TABLE {}", self.quoted()),
            };
            // What a partition logs is the table's.
            let via = if facts.partitioned { " WITH (publish_via_partition_root = true)" } else { "" };
            let create = format!("CREATE PUBLICATION {name} FOR {of}{via}");
            let hint = format!("let its owner run: {create}");
            if publication.create == Create::Never {
                return Err(
                    wrong(FaultKind::Table, format!("there is no publication {name}")).with_hint(hint)
                );
            }
            return match client.batch_execute(&create).await {
                Ok(()) => {
                    log::info!("publication {name} was made for table {}", self.name());
                    Ok(())
                }
                Err(e) => Err(said(e).at(&format!("publication {name} could not be made")).with_hint(hint)),
            };
        };
        let of = |i: usize| -> Result<bool, Fault> { found.try_get(i).map_err(said) };
        let lacks = |what: &str, command: String| {
            Err(wrong(FaultKind::Table, format!("publication {name} {what}"))
                .with_hint(format!("ALTER PUBLICATION {name} {command}")))
        };
        if !of(0)? {
            return lacks(
                "does not publish all kinds of changes",
                "SET (publish = 'insert, update, delete, truncate')".into(),
            );
        }
        if facts.partitioned && !of(1)? {
            return lacks(
                "publishes partitions instead of their table",
                "SET (publish_via_partition_root = true)".into(),
            );
        }
        if !of(2)? {
            return lacks(&format!("has no table {}", self.name()), format!("ADD TABLE {}", self.quoted()));
        }
        let filter: Option<String> = found.try_get(3).map_err(said)?;
        if let Some(filter) = filter {
            let what =
                format!("publication {name} publishes some rows of {} only: WHERE {filter}", self.name());
            return Err(wrong(FaultKind::Table, what).with_hint(
                "use a publication without a row filter ('debezium.publication.name'), and WHERE in the query",
            ));
        }
        // Older servers publish all columns, and do not say which.
        let published: Vec<String> = found.try_get(4).map_err(said)?;
        let lacking = self.columns.fields().iter().find(|field| !published.contains(field.name()));
        if let Some(field) = lacking.filter(|_| !published.is_empty()) {
            let what = format!("publication {name} leaves out column '{}' of {}", field.name(), self.name());
            return Err(wrong(FaultKind::Table, what).with_hint(
                "leave the column out of the query, or use a publication without a list of columns",
            ));
        }
        Ok(())
    }

    /// Whether the table is still the one whose changes come: what a publication does not have any more passes unseen.
    /// New partitions are returned.
    pub(crate) async fn still(
        &self,
        client: &Client,
        facts: &Facts,
        publication: &str,
    ) -> Result<BTreeSet<u32>, Fault> {
        let said = |e: tokio_postgres::Error| fault(&e);
        let found = client
            .query_opt(
                "SELECT n.nspname::text, c.relname::text, \
                   EXISTS (SELECT FROM pg_publication_tables t WHERE t.pubname = $2::text AND t.schemaname = n.nspname AND t.tablename = c.relname) \
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1",
                &[&facts.oid, &publication],
            )
            .await
            .map_err(said)?;
        let gone = |what: String| Err(wrong(FaultKind::Table, what));
        let Some(found) = found else {
            return gone(format!(
                "table {} was dropped; which rows it had is not in the server's log",
                self.name()
            ));
        };
        let (schema, table): (String, String) =
            (found.try_get(0).map_err(said)?, found.try_get(1).map_err(said)?);
        if (&schema, &table) != (&self.schema, &self.table) {
            return gone(format!("table {} was renamed to {}", self.name(), spelled(&[schema, table])));
        }
        if !found.try_get::<_, bool>(2).map_err(said)? {
            return gone(format!(
                "publication {} does not have table {} any more: its changes do not come",
                identifier(publication),
                self.name()
            ));
        }
        if !facts.partitioned {
            return Ok(BTreeSet::new());
        }
        let leaves = client.query(LEAVES, &[&facts.oid]).await.map_err(said)?;
        let leaves: BTreeSet<u32> =
            leaves.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(said)?;
        if !facts.partitions.is_subset(&leaves) {
            return gone(format!(
                "a partition of table {} was dropped or detached; which rows it had is not in the server's log",
                self.name()
            ));
        }
        Ok(leaves)
    }

    /// The slot, if there is one of that name.
    pub(crate) async fn slot(&self, client: &Client, name: &str) -> Result<Option<Slot>, Fault> {
        let said = |e: tokio_postgres::Error| fault(&e);
        let found = client
            .query_opt(
                "SELECT s.plugin::text, s.database::text, current_database()::text, s.confirmed_flush_lsn::text, \
                   COALESCE(to_jsonb(s)->>'invalidation_reason', CASE WHEN to_jsonb(s)->>'wal_status' = 'lost' THEN 'wal_removed' END) \
                 FROM pg_replication_slots s WHERE s.slot_name = $1::text",
                &[&name],
            )
            .await
            .map_err(said)?;
        let Some(found) = found else { return Ok(None) };
        let text = |i: usize| -> Result<Option<String>, Fault> { found.try_get(i).map_err(said) };
        let (plugin, database, here) = (text(0)?, text(1)?, text(2)?);
        let other = if plugin.as_deref() != Some(PLUGIN) {
            format!("is for plugin {}", plugin.as_deref().unwrap_or("none (it is a physical one)"))
        } else if database != here {
            format!("belongs to database {}", database.as_deref().unwrap_or_default())
        } else {
            String::new()
        };
        if !other.is_empty() {
            let what = format!("replication slot '{name}' {other}");
            return Err(wrong(FaultKind::Table, what).with_hint("give 'slot.name' another name"));
        }
        let confirmed = text(3)?.unwrap_or_default();
        let confirmed = confirmed.parse().map_err(|e: String| wrong(FaultKind::Other, e))?;
        Ok(Some(Slot { confirmed, lost: text(4)? }))
    }

    /// The end of the log.
    pub(crate) async fn end(&self, client: &Client) -> Result<Lsn, Fault> {
        let row = client.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.map_err(|e| fault(&e))?;
        let text: String = row.try_get(0).map_err(|e| fault(&e))?;
        text.parse().map_err(|e: String| wrong(FaultKind::Other, e))
    }

    /// Begins to see the table as it is now, or as it was when a slot was made.
    pub(crate) async fn moment(&self, client: &Client, slot: Option<&NewSlot>) -> Result<Moment, Fault> {
        let said = |e: tokio_postgres::Error| fault(&e);
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(said)?;
        if let Some(snapshot) = slot.and_then(|slot| slot.snapshot.as_ref()) {
            let set = format!("SET TRANSACTION SNAPSHOT {}", escape_literal(snapshot));
            client.batch_execute(&set).await.map_err(said)?;
        }
        let row = client
            .query_one("SELECT txid_current_snapshot()::text, pg_current_wal_insert_lsn()::text", &[])
            .await
            .map_err(said)?;
        let (seen, until): (String, String) = (row.try_get(0).map_err(said)?, row.try_get(1).map_err(said)?);
        let until = until.parse().map_err(|e: String| wrong(FaultKind::Other, e))?;
        // What a new slot streams is what its snapshot does not have.
        Ok(Moment { seen, until: slot.map_or(until, |slot| slot.from) })
    }

    /// Reads the table in the open transaction: all of it, or what is behind a key.
    pub(crate) async fn read(
        &self,
        client: &Client,
        facts: &Facts,
        behind: Option<&[String]>,
        rows: usize,
        mut take: Keyed,
    ) -> Result<(), Fault> {
        let table = self.quoted();
        let names: Vec<String> = facts.order.iter().map(|(name, _)| quoted(System::Postgres, name)).collect();
        let ordered: Vec<String> =
            names.iter().zip(&facts.order).map(|(name, (_, kind))| kind.ordered(name)).collect();
        let tail = if ordered.is_empty() {
            String::new()
        } else {
            let from = behind.map_or_else(String::new, |key| {
                let values = key.iter().zip(&facts.order).map(|(text, (_, kind))| kind.literal(text));
                let values: Vec<String> = values.collect();
                format!(" WHERE ({}) > ({})", ordered.join(", "), values.join(", "))
            });
            format!("{from} ORDER BY {}", ordered.join(", "))
        };
        let list: Vec<&str> = facts.list.iter().chain(&names).map(String::as_str).collect();
        let copy = format!("COPY (SELECT {} FROM {table}{tail}) TO STDOUT (FORMAT binary)", list.join(", "));
        let first = facts.list.len();
        let order = facts.order.clone();
        let key_of = move |last: &[u8]| -> Option<Vec<String>> {
            let values = cells(last).skip(first).zip(&order);
            let key: Vec<String> = values.map(|(raw, (_, kind))| kind.text(raw?)).collect::<Option<_>>()?;
            (!key.is_empty()).then_some(key)
        };
        let shape = (list.len(), facts.wires.as_slice());
        copied(client, &copy, shape, &self.columns, rows, move |batch, last| take(batch, key_of(last)))
            .await?;
        client.batch_execute("COMMIT").await.map_err(|e| fault(&e))
    }

    /// How the texts of a column are read when it has become of another type.
    pub(crate) fn printed(oid: u32, to: &DataType) -> Option<Printed> {
        Printed::of(&Type::from_oid(oid)?, to)
    }
}

impl Facts {
    /// The number of the table.
    pub(crate) fn oid(&self) -> u32 {
        self.oid
    }

    /// Whether a column that is wanted is still of the type that it had.
    pub(crate) fn has_type(&self, column: usize, oid: u32) -> bool {
        self.declared.get(column) == Some(&oid) || self.types.get(column).is_some_and(|t| t.oid() == oid)
    }
}

impl Replication {
    /// The number that tells this server's data from others'.
    pub(crate) async fn system(&mut self) -> Result<String, Fault> {
        let rows = self.query("IDENTIFY_SYSTEM").await?;
        let system = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
        system.ok_or_else(|| wrong(FaultKind::Other, "the server does not say which it is"))
    }

    /// Makes a slot; its snapshot is there until the next command.
    pub(crate) async fn make_slot(&mut self, name: &str) -> Result<NewSlot, Fault> {
        let command =
            format!("CREATE_REPLICATION_SLOT {} LOGICAL {PLUGIN} EXPORT_SNAPSHOT", identifier(name));
        let rows = self.query(&command).await?;
        let mut row = rows.into_iter().next().unwrap_or_default().into_iter().skip(1);
        let from = row.next().flatten().unwrap_or_default();
        let from = from.parse().map_err(|e: String| wrong(FaultKind::Other, e))?;
        Ok(NewSlot { from, snapshot: row.next().flatten() })
    }
}

impl Postgres {
    /// A connection for statements.
    pub(crate) async fn client(&self) -> Result<Client, Fault> {
        self.connect().await
    }

    /// With the place in front.
    pub(crate) fn at(&self, fault: Fault) -> Fault {
        if fault.message.starts_with(&self.shown) { fault } else { fault.at(&self.shown) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cmp::Ordering;

    use super::*;

    #[test]
    fn transactions_are_in_a_snapshot_or_behind_it() {
        let seen: Seen = "100:105:101,103".parse().unwrap();
        let has: Vec<u32> = (95..110).filter(|xid| seen.has(*xid)).collect();
        assert_eq!(has, [95, 96, 97, 98, 99, 100, 102, 104]);
        // Numbers have begun anew.
        let seen: Seen = "4294967290:4294967300:".parse().unwrap();
        assert!(seen.has(4_294_967_280) && seen.has(4_294_967_295) && seen.has(3) && !seen.has(4));
        let seen: Seen = "4294967290:4294967294:".parse().unwrap();
        assert!(!seen.has(2) && seen.has(4_294_967_293));
        assert!("".parse::<Seen>().is_err() && "1:x".parse::<Seen>().is_err());
    }

    #[test]
    fn keys_are_compared_as_the_server_orders_them() {
        assert_eq!(KeyKind::Whole.compare("-5", "-10"), Ordering::Greater);
        assert_eq!(KeyKind::Text.compare("Z", "a"), Ordering::Less);
        assert_eq!(KeyKind::Whole.text(&(-7_i16).to_be_bytes()).as_deref(), Some("-7"));
        assert_eq!(KeyKind::Text.literal("it's"), "'it''s' COLLATE \"C\"");
        assert_eq!(KeyKind::Whole.literal("1); DROP"), "0");
    }
}
