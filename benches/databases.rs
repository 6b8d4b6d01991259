//! Batched lookups of a million distinct keys, by the backends alone: without cache and operator.
//!
//! The servers are named in the environment, and are filled first:
//!
//! ```text
//!  AFFLUENT_BENCH_POSTGRES='jdbc:postgresql://127.0.0.1:5432/postgres'  _USER, _PASSWORD
//!  AFFLUENT_BENCH_REDIS='redis://127.0.0.1:6379/0'                      _PASSWORD
//! ```
//! For PostgreSQL also one prepared statement a key on one connection, as Flink's JDBC lookup asks, and the same batches
//! by the bare client with as many in flight.
#![allow(missing_docs, clippy::unwrap_used)]

#[cfg(all(feature = "postgres", feature = "redis"))]
mod measured {
    use std::sync::Arc;
    use std::time::Instant;

    use affluent::catalog::{Column, ColumnSource, Options, Table};
    use affluent::connector::connector;
    use affluent::lookup::{Backend, LookupRequest};
    use affluent::sql::SqlType;
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use futures::stream::{self, StreamExt};
    use tokio_postgres::NoTls;

    const KEYS: i64 = 1_000_000;
    const BATCH: i64 = 1000;
    const IN_FLIGHT: usize = 8;

    fn variable(name: &str) -> Option<String> {
        std::env::var(format!("AFFLUENT_BENCH_{name}")).ok()
    }

    fn cpu() -> f64 {
        let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / 100.0
    }

    fn report(what: &str, keys: i64, start: Instant, cpu_before: f64) {
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu() - cpu_before);
        println!(
            "{what:<44} {:>9.0} keys/s   {:>6.2} µs CPU a key",
            keys as f64 / seconds,
            cpu * 1e6 / keys as f64
        );
    }

    fn batches() -> Vec<RecordBatch> {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
        let batch = |from: i64| {
            // Spread over the table.
            let ids = (from..from + BATCH).map(|i| i * 7919 % KEYS).collect::<Int64Array>();
            RecordBatch::try_new(schema.clone(), vec![Arc::new(ids) as ArrayRef]).unwrap()
        };
        (0..KEYS / BATCH).map(|i| batch(i * BATCH)).collect()
    }

    fn backend(pairs: &[(&str, &str)]) -> Arc<dyn Backend> {
        let mut options = Options::default();
        pairs.iter().for_each(|(key, value)| options.set(key, value, Default::default()));
        let column = |name: &str, data_type| Column {
            name: name.into(),
            source: ColumnSource::Physical { data_type, nullable: true },
            comment: None,
        };
        let table = Table {
            name: "bench".into(),
            home: Default::default(),
            columns: vec![
                column("id", SqlType::BigInt),
                column("name", SqlType::String),
                column("zone", SqlType::BigInt),
            ],
            watermark: None,
            primary_key: vec!["id".into()],
            partitioned_by: vec![],
            comment: None,
            options,
            temporary: true,
            own: None,
        };
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("name", DataType::Utf8View, true),
            Field::new("zone", DataType::Int64, true),
        ]));
        let request = LookupRequest::new(Arc::new(table), vec![0], schema);
        connector(pairs[0].1).unwrap().lookup(&request).unwrap()
    }

    async fn ours(what: &str, backend: Arc<dyn Backend>) {
        let (start, before) = (Instant::now(), cpu());
        let asked = stream::iter(batches()).map(|keys| {
            let backend = backend.clone();
            tokio::spawn(async move { backend.lookup(keys).await.map(|a| a.rows.num_rows()) })
        });
        let found: Vec<_> = asked.buffer_unordered(IN_FLIGHT).collect().await;
        let found: usize = found.into_iter().map(|f| f.unwrap().unwrap()).sum();
        assert_eq!(found as i64, KEYS);
        report(what, KEYS, start, before);
    }

    async fn postgres(url: &str) {
        let (user, password) = (
            variable("POSTGRES_USER").unwrap_or("postgres".into()),
            variable("POSTGRES_PASSWORD").unwrap_or_default(),
        );
        let (address, database) = url.trim_start_matches("jdbc:postgresql://").split_once('/').unwrap();
        let (host, port) = address.split_once(':').unwrap_or((address, "5432"));
        let config = format!("host={host} port={port} dbname={database} user={user} password={password}");
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
            .batch_execute(&format!(
                "DROP TABLE IF EXISTS affluent_bench; CREATE TABLE affluent_bench AS SELECT i::bigint AS id, 'name ' || i AS name, (i % 100)::bigint AS zone FROM generate_series(0, {}) i; CREATE UNIQUE INDEX ON affluent_bench (id); VACUUM ANALYZE affluent_bench",
                KEYS - 1
            ))
            .await
            .unwrap_or_else(|e| panic!("{e}"));
        let one = client.prepare("SELECT id, name, zone FROM affluent_bench WHERE id = $1").await.unwrap();
        let (start, before, few) = (Instant::now(), cpu(), 20_000);
        for i in 0..few {
            client.query(&one, &[&(i * 7919 % KEYS)]).await.unwrap();
        }
        report("PostgreSQL, one key a statement", few, start, before);
        let mut clients = Vec::new();
        for _ in 0..4 {
            let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
            tokio::spawn(connection);
            let many = client.prepare(many_sql()).await.unwrap();
            clients.push(Arc::new((client, many)));
        }
        let (start, before) = (Instant::now(), cpu());
        let asked = stream::iter(batches().into_iter().enumerate()).map(|(i, keys)| {
            let client = clients[i % clients.len()].clone();
            tokio::spawn(async move {
                let ids = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(keys.column(0));
                client.0.query(&client.1, &[&ids.values().to_vec()]).await.unwrap().len()
            })
        });
        let found: Vec<_> = asked.buffer_unordered(IN_FLIGHT).collect().await;
        assert_eq!(found.into_iter().map(|f| f.unwrap()).sum::<usize>() as i64, KEYS);
        report("PostgreSQL, batches of the bare client", KEYS, start, before);
        let pairs = [
            ("connector", "jdbc"),
            ("url", url),
            ("table-name", "affluent_bench"),
            ("username", &user),
            ("password", &password),
        ];
        for _ in 0..2 {
            ours("PostgreSQL, ours", backend(&pairs)).await;
        }
    }

    fn many_sql() -> &'static str {
        "SELECT id, name, zone FROM affluent_bench WHERE id = ANY($1)"
    }

    async fn redis(uri: &str) {
        let password = variable("REDIS_PASSWORD").unwrap_or_default();
        let client = redis::Client::open(uri).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        if !password.is_empty() {
            redis::cmd("AUTH").arg(&password).query_async::<()>(&mut connection).await.unwrap();
        }
        for from in (0..KEYS).step_by(BATCH as usize) {
            let mut pipeline = redis::pipe();
            for i in from..from + BATCH {
                pipeline
                    .cmd("SET")
                    .arg(format!("bench:{i}"))
                    .arg(format!("{{\"name\":\"name {i}\",\"zone\":{}}}", i % 100))
                    .ignore();
            }
            pipeline.query_async::<()>(&mut connection).await.unwrap();
        }
        let mut pairs = vec![("connector", "redis"), ("uri", uri), ("redis.key", "bench:{id}")];
        if !password.is_empty() {
            pairs.push(("password", &password));
        }
        for _ in 0..2 {
            ours("Redis, ours (MGET, JSON)", backend(&pairs)).await;
        }
    }

    pub async fn run() {
        let (at_postgres, at_redis) = (variable("POSTGRES"), variable("REDIS"));
        if at_postgres.is_none() && at_redis.is_none() {
            println!("nothing is measured: set AFFLUENT_BENCH_POSTGRES or AFFLUENT_BENCH_REDIS");
        }
        if let Some(url) = at_postgres {
            postgres(&url).await;
        }
        if let Some(uri) = at_redis {
            redis(&uri).await;
        }
    }
}

#[cfg(all(feature = "postgres", feature = "redis"))]
fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measured::run());
}

#[cfg(not(all(feature = "postgres", feature = "redis")))]
fn main() {
    println!("nothing is measured: build with --features full");
}
