//! The tables of the simulation: rows that a seed makes, as JSON, in splits by key.
//!
//! Rows of a key are in one split, in a fixed order, so that what depends on the order of the rows of a key is
//! the same in every schedule.

use std::collections::{BTreeMap, HashMap};

use chrono::DateTime;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::flow::Kind;

/// One row of a source.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// Rows by split.
pub(super) type Splits = Vec<Vec<Line>>;

/// The tables, as far as columns go.
pub(super) const TABLES: &str = "
CREATE TABLE t (id BIGINT, k STRING, v BIGINT, d DECIMAL(10, 2), s STRING, ts TIMESTAMP(3), pt AS PROCTIME(),
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('connector' = 'script', 'rows' = 't', 'splits' = '3');
CREATE TABLE one (id BIGINT, k STRING, v BIGINT, d DECIMAL(10, 2), s STRING, ts TIMESTAMP(3), pt AS PROCTIME(),
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('connector' = 'script', 'rows' = 't');
CREATE TABLE late (id BIGINT, k STRING, v BIGINT, s STRING, ts TIMESTAMP(3),
    WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('connector' = 'script', 'rows' = 'late');
CREATE TABLE u (id BIGINT, k STRING, w BIGINT, ts TIMESTAMP(3),
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('connector' = 'script', 'rows' = 'u', 'splits' = '2');
CREATE TABLE c (id BIGINT, k STRING, v BIGINT, PRIMARY KEY (id) NOT ENFORCED)
    WITH ('connector' = 'script', 'rows' = 'c', 'splits' = '2', 'changes' = 'all');
CREATE TABLE c1 (id BIGINT, k STRING, v BIGINT, PRIMARY KEY (id) NOT ENFORCED)
    WITH ('connector' = 'script', 'rows' = 'c', 'changes' = 'all');
CREATE TABLE p (id BIGINT, k STRING, v BIGINT, PRIMARY KEY (id) NOT ENFORCED)
    WITH ('connector' = 'script', 'rows' = 'p', 'splits' = '2', 'changes' = 'upsert');
CREATE TABLE r (k STRING, rate BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts, PRIMARY KEY (k) NOT ENFORCED)
    WITH ('connector' = 'script', 'rows' = 'r');
CREATE TABLE dim (id STRING, name STRING, weight BIGINT, call BIGINT)
    WITH ('connector' = 'script', 'rows' = 'dim', 'role' = 'lookup', 'format' = 'json');
";

/// 2024-01-01 00:00:00
const START: i64 = 1_704_067_200_000;

fn time(millis: i64) -> String {
    let at = DateTime::from_timestamp_millis(START + millis).unwrap();
    format!("\"{}\"", at.format("%Y-%m-%d %H:%M:%S%.3f"))
}

fn or_null(random: &mut StdRng, value: String) -> String {
    if random.random_bool(0.08) { "null".into() } else { value }
}

fn key(random: &mut StdRng, keys: u32) -> String {
    let key = format!("\"k{}\"", random.random_range(0..keys));
    or_null(random, key)
}

/// Rows of every table by name, with the key that says which split they are of.
#[derive(Debug, Clone, Default)]
pub(super) struct Data {
    tables: HashMap<&'static str, Vec<(String, Line)>>,
}

impl Data {
    /// What this seed makes.
    pub(super) fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed ^ 0xda7a);
        let mut data = Self::default();
        let most = [8, 30, 60, 120][random.random_range(0..4)];
        for (table, late) in [("t", 4_000), ("late", 12_000)] {
            let rows = random.random_range(0..=most);
            data.tables.insert(table, events(&mut random, rows, late, "v"));
        }
        let rows = random.random_range(0..=most / 2);
        data.tables.insert("u", events(&mut random, rows, 4_000, "w"));
        let rows = random.random_range(0..=most);
        let (all, upserts) = changes(&mut random, rows);
        data.tables.insert("c", all);
        data.tables.insert("p", upserts);
        let versions = random.random_range(0..=most / 4);
        data.tables.insert("r", rates(&mut random, versions));
        data
    }

    /// The rows of a table in so many splits.
    pub(super) fn splits(&self, table: &str, splits: usize) -> Splits {
        let mut parts = vec![Vec::new(); splits.max(1)];
        for (key, line) in self.tables.get(table).into_iter().flatten() {
            let hash =
                key.bytes().fold(7usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte as usize));
            parts[hash % splits.max(1)].push(line.clone());
        }
        parts
    }
}

fn events(random: &mut StdRng, rows: usize, late: i64, number: &str) -> Vec<(String, Line)> {
    let mut at = 0;
    let step = [300, 900, 3_000][random.random_range(0..3)];
    let mut lines = Vec::new();
    for id in 0..rows {
        at += random.random_range(0..step);
        let ts = time(at - random.random_range(0..late));
        let k = key(random, 5);
        let value = random.random_range(0..20).to_string();
        let v = or_null(random, value);
        let d = format!("{}.{:02}", random.random_range(-9..99), random.random_range(0..100));
        let s = format!("\"{}\"", ["x", "yy", "z z", ""][random.random_range(0..4)]);
        let s = or_null(random, s);
        let text = format!("{{\"id\":{id},\"k\":{k},\"{number}\":{v},\"d\":{d},\"s\":{s},\"ts\":{ts}}}\n");
        lines.push((k, Line { kind: Kind::Insert, text }));
    }
    lines
}

/// Lines, each with its key.
type Keyed = Vec<(String, Line)>;

/// A changelog by id, and the same as upserts.
fn changes(random: &mut StdRng, steps: usize) -> (Keyed, Keyed) {
    let mut rows: BTreeMap<u32, String> = BTreeMap::new();
    let (mut all, mut upserts) = (Vec::new(), Vec::new());
    let ids = random.random_range(2..30);
    for _ in 0..steps {
        let id = random.random_range(0..ids);
        let k = key(random, 4);
        let value = random.random_range(0..12).to_string();
        let v = or_null(random, value);
        let text = format!("{{\"id\":{id},\"k\":{k},\"v\":{v}}}\n");
        let line = |kind, text: &String| (id.to_string(), Line { kind, text: text.clone() });
        match rows.get(&id).cloned() {
            None => {
                all.push(line(Kind::Insert, &text));
                upserts.push(line(Kind::Insert, &text));
                rows.insert(id, text);
            }
            Some(old) if random.random_bool(0.3) => {
                all.push(line(Kind::Delete, &old));
                upserts.push(line(Kind::Delete, &old));
                rows.remove(&id);
            }
            Some(old) => {
                all.push(line(Kind::UpdateBefore, &old));
                all.push(line(Kind::UpdateAfter, &text));
                upserts.push(line(Kind::UpdateAfter, &text));
                rows.insert(id, text);
            }
        }
    }
    (all, upserts)
}

fn rates(random: &mut StdRng, versions: usize) -> Vec<(String, Line)> {
    let line = |i: usize| {
        let k = format!("\"k{}\"", random.random_range(0..4));
        let rate = random.random_range(1..100);
        let text = format!("{{\"k\":{k},\"rate\":{rate},\"ts\":{}}}\n", time(i as i64 * 1_700));
        (k, Line { kind: Kind::Insert, text })
    };
    (0..versions).map(line).collect()
}
