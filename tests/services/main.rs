//! Connectors against the real servers. A test starts what it names, on ports and in folders of its own, and ends it.
//!
//! Where a server is not installed its tests are left out, with one line that says so:
//!
//! | server | what it takes |
//! |---|---|
//! | PostgreSQL | `initdb` and `postgres` in the PATH or in `/usr/lib/postgresql`, `psql`; as root also `runuser`, `setpriv` and a user `postgres` |
//! | MariaDB | `mariadbd`, `mariadb-install-db`, `mariadb`; as root also a user `mysql` |
//! | DynamoDB, S3 | `moto_server` |
//! | Kinesis | `node` and `npm`, which fetches the emulator `kinesis-local` once into the user's cache folder; or `AFFLUENT_KINESIS_LOCAL`, its folder |
//! | Mosquitto | `mosquitto`, `mosquitto_passwd` |
//! | NATS | `nats-server` |
//! | Redis | `redis-server`, `redis-cli` |
//! | Apache Flink | Java, `FLINK_HOME` (its `lib/`, and `flink-sql-gateway` in its `opt/`); `AFFLUENT_FLINK_JARS`: folders with more jars, with colons between, such as the gateway's and `com.getindata:flink-http-connector` for lookups |
//! | Apache Kafka | Java 17 and Maven, which fetches the broker once into the user's cache folder; or `AFFLUENT_KAFKA_JARS`, a folder with its jars |
#![allow(missing_docs, dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod database;
#[cfg(feature = "s3")]
mod dynamodb;
mod flink;
mod harness;
mod http;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "kafka")]
mod kafka_server;
#[cfg(feature = "s3")]
mod kinesis;
#[cfg(feature = "mqtt")]
mod mqtt;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "mysql")]
mod mysql_cdc;
#[cfg(feature = "nats")]
mod nats;
#[cfg(all(feature = "s3", feature = "parquet"))]
mod objects;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_cdc;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod redis_stream;
#[cfg(feature = "sqlite")]
mod sqlite;
mod webhook;
