//! Whether what a sink shows is what it must show.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What two runs of a query have in common.
#[derive(Debug, Clone, Copy)]
pub(super) enum Check {
    /// The rows that are left when all changes are applied.
    Rows,
    /// The same of upserts by these columns.
    Upserts(&'static [&'static str]),
    /// All rows in this order.
    Ordered,
    /// The rows that are left, without these columns.
    Without(&'static [&'static str]),
    /// The number of rows.
    Count,
    /// Sums of the last column over the rows that are left, by the first.
    Sums,
}

/// A change: whether it adds, and its row.
fn change(line: &str) -> (bool, Map<String, Value>) {
    let Ok(Value::Object(mut row)) = serde_json::from_str(line) else { panic!("no row: {line}") };
    let op = row.shift_remove("op").expect("a kind of change");
    (matches!(op.as_str(), Some("+I" | "+U")), row)
}

fn text(row: &Map<String, Value>) -> String {
    serde_json::to_string(row).expect("a row can be written")
}

/// The rows that are left, sorted; nothing may be taken back that is not there.
fn left(lines: &[String]) -> Result<Vec<Map<String, Value>>, String> {
    let mut rows: BTreeMap<String, (usize, Map<String, Value>)> = BTreeMap::new();
    for line in lines {
        let (adds, row) = change(line);
        let key = text(&row);
        if adds {
            rows.entry(key).or_insert((0, row)).0 += 1;
            continue;
        }
        match rows.get_mut(&key) {
            Some((count, _)) if *count > 1 => *count -= 1,
            Some(_) => {
                rows.remove(&key);
            }
            None => return Err(format!("taken back, but never there: {line}")),
        }
    }
    Ok(rows.into_values().flat_map(|(count, row)| std::iter::repeat_n(row, count)).collect())
}

impl Check {
    /// What counts of a sink's rows, as lines.
    pub(super) fn essence(self, lines: &[String]) -> Result<Vec<String>, String> {
        let mut essence: Vec<String> = match self {
            Check::Ordered => return Ok(lines.to_vec()),
            Check::Rows => left(lines)?.iter().map(text).collect(),
            Check::Without(columns) => left(lines)?
                .into_iter()
                .map(|mut row| {
                    row.retain(|name, _| !columns.contains(&name.as_str()));
                    text(&row)
                })
                .collect(),
            Check::Count => vec![left(lines)?.len().to_string()],
            Check::Upserts(columns) => {
                let mut rows = BTreeMap::new();
                for line in lines {
                    let (adds, row) = change(line);
                    let key: Vec<String> = columns.iter().map(|name| row[*name].to_string()).collect();
                    if adds {
                        rows.insert(key, text(&row))
                    } else {
                        rows.remove(&key)
                    };
                }
                rows.into_values().collect()
            }
            Check::Sums => {
                let mut sums: BTreeMap<String, i64> = BTreeMap::new();
                for row in left(lines)? {
                    let (key, value) = (row.values().next(), row.values().next_back());
                    let value = value.and_then(Value::as_i64).unwrap_or(0);
                    *sums.entry(key.map(Value::to_string).unwrap_or_default()).or_default() += value;
                }
                sums.into_iter().map(|(key, sum)| format!("{key} {sum}")).collect()
            }
        };
        essence.sort();
        Ok(essence)
    }
}
