//! Which shards there are, how far each has been read, and which may be read now.
//!
//! ```text
//!  shard-0 ──┬── shard-2 ──┐            a child is read when all parents that the stream still has
//!            └── shard-3 ──┴── shard-5  are through: received to their end
//!  shard-1 ────────────────────
//! ```

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Start;
use crate::connector::Positions;
use crate::error::{Error, Result};

/// A shard, as ListShards tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) parents: Vec<String>,
    /// It takes no more records.
    pub(super) closed: bool,
}

impl Listed {
    /// From an answer of ListShards.
    pub(super) fn of(shard: &Value) -> Option<Self> {
        let text = |key: &str| shard.get(key).and_then(Value::as_str).map(str::to_string);
        let parents = [text("ParentShardId"), text("AdjacentParentShardId")];
        let ending = shard.pointer("/SequenceNumberRange/EndingSequenceNumber");
        Some(Self {
            id: text("ShardId")?,
            parents: parents.into_iter().flatten().collect(),
            closed: ending.is_some_and(|e| !e.is_null()),
        })
    }
}

/// Where reading of a shard goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// With the first record that there is.
    Horizon,
    /// With the first one that arrives; remembered as the time at which that was said.
    Latest(i64),
    /// With the first one from this time on.
    Moment(i64),
    /// Behind this record; with a number, behind that record inside of it.
    Behind(String, Option<u64>),
    /// There is nothing behind.
    End,
}

impl At {
    fn json(&self) -> Value {
        match self {
            Self::Horizon => json!({"from": "TRIM_HORIZON"}),
            Self::Latest(millis) | Self::Moment(millis) => json!({"from": millis}),
            Self::Behind(sequence, None) => json!({"behind": sequence}),
            Self::Behind(sequence, Some(part)) => json!({"behind": sequence, "part": part}),
            Self::End => json!({"ended": true}),
        }
    }

    fn parse(shard: &str, position: &Value) -> Result<Self> {
        if position.get("ended").is_some() {
            return Ok(Self::End);
        }
        if let Some(sequence) = position.get("behind").and_then(Value::as_str) {
            return Ok(Self::Behind(sequence.to_string(), position.get("part").and_then(Value::as_u64)));
        }
        match position.get("from") {
            Some(Value::String(text)) if text == "TRIM_HORIZON" => Some(Self::Horizon),
            Some(Value::Number(millis)) => millis.as_i64().map(Self::Moment),
            _ => None,
        }
        .ok_or_else(|| {
            Error::internal(format!("a checkpoint has no position of shard '{shard}': {position}"))
        })
    }

    /// The request for an iterator, without the stream and the shard.
    pub(super) fn iterator(&self) -> Value {
        let seconds = |millis: i64| millis as f64 / 1000.0;
        match self {
            Self::Horizon | Self::End => json!({"ShardIteratorType": "TRIM_HORIZON"}),
            Self::Latest(_) => json!({"ShardIteratorType": "LATEST"}),
            Self::Moment(millis) => {
                json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": seconds(*millis)})
            }
            Self::Behind(sequence, None) => {
                json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": sequence})
            }
            // The rest of it is still to come.
            Self::Behind(sequence, Some(_)) => {
                json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": sequence})
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Shard {
    /// What has become rows.
    passed: At,
    parents: Vec<String>,
    /// Records that were handed to the reader, and those that became rows.
    received: u64,
    rows: u64,
    reading: bool,
    /// All records were handed to the reader.
    received_all: bool,
    /// Its position was not told since it changed.
    changed: bool,
}

/// The shards of a scan.
#[derive(Debug, Default)]
pub(super) struct Shards {
    all: BTreeMap<String, Shard>,
    /// They were listed once.
    found: bool,
    restored: bool,
    /// Shards that were read to their end and are not there any more.
    forgotten: Vec<String>,
}

impl Shards {
    /// From a checkpoint.
    pub(super) fn restored(positions: &Positions) -> Result<Self> {
        let mut shards = Self { restored: !positions.is_empty(), ..Self::default() };
        for (id, position) in positions {
            shards.add(id, Vec::new(), At::parse(id, position)?, false);
        }
        Ok(shards)
    }

    fn add(&mut self, id: &str, parents: Vec<String>, at: At, changed: bool) {
        let received_all = at == At::End;
        let shard =
            Shard { passed: at, parents, received: 0, rows: 0, reading: false, received_all, changed };
        self.all.insert(id.to_string(), shard);
    }

    /// Whether it is known which shards there are.
    pub(super) fn is_found(&self) -> bool {
        self.found
    }

    /// Takes in a list. A shard that the stream does not have any more, and that was not read to its end, is named.
    pub(super) fn list(
        &mut self,
        listed: &[Listed],
        start: Start,
        skips_ended: bool,
        now: i64,
    ) -> Result<(), String> {
        let first = !self.found && !self.restored;
        for shard in listed {
            if let Some(known) = self.all.get_mut(&shard.id) {
                known.parents.clone_from(&shard.parents);
                continue;
            }
            let at = match start {
                // What is found later began while the job was there.
                _ if !first => At::Horizon,
                Start::Horizon if skips_ended && shard.closed => At::End,
                Start::Horizon => At::Horizon,
                Start::Latest if shard.closed => At::End,
                Start::Latest => At::Latest(now),
                Start::At(millis) => At::Moment(millis),
            };
            self.add(&shard.id, shard.parents.clone(), at, true);
        }
        let gone: Vec<String> = self
            .all
            .iter()
            .filter(|(id, shard)| {
                !shard.reading && !listed.iter().any(|l| l.id == **id) && !shard.received_all
            })
            .map(|(id, _)| id.clone())
            .collect();
        self.found = true;
        let over: Vec<String> = self
            .all
            .iter()
            .filter(|(id, shard)| shard.passed == At::End && !listed.iter().any(|l| l.id == **id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in over {
            self.all.remove(&id);
            self.forgotten.push(id);
        }
        match gone.first() {
            Some(id) => Err(id.clone()),
            None => Ok(()),
        }
    }

    /// A shard that is gone, with what was not read of it.
    pub(super) fn give_up(&mut self, id: &str) {
        if let Some(shard) = self.all.get_mut(id) {
            (shard.passed, shard.received_all, shard.changed) = (At::End, true, true);
        }
    }

    /// Shards that are to be read from now on, and where each begins.
    pub(super) fn begin(&mut self) -> Vec<(String, At)> {
        let through = |id: &String| self.all.get(id).is_none_or(|parent| parent.received_all);
        let ready: Vec<String> = self
            .all
            .iter()
            .filter(|(_, shard)| !shard.reading && !shard.received_all && shard.parents.iter().all(through))
            .map(|(id, _)| id.clone())
            .collect();
        let mut begun = Vec::new();
        for id in ready {
            if let Some(shard) = self.all.get_mut(&id) {
                shard.reading = true;
                begun.push((id, shard.passed.clone()));
            }
        }
        begun
    }

    /// Records of a shard were handed over.
    pub(super) fn received(&mut self, id: &str, records: u64) {
        if let Some(shard) = self.all.get_mut(id) {
            shard.received += records;
        }
    }

    /// There are no more of a shard.
    pub(super) fn received_all(&mut self, id: &str) {
        if let Some(shard) = self.all.get_mut(id) {
            shard.received_all = true;
            shard.settle();
        }
    }

    /// Records of a shard became rows; the last of them.
    pub(super) fn passed(&mut self, id: &str, records: u64, last: At) {
        if let Some(shard) = self.all.get_mut(id) {
            shard.rows += records;
            shard.passed = last;
            shard.changed = true;
            shard.settle();
        }
    }

    /// Whether all of a shard became rows.
    pub(super) fn is_through(&self, id: &str) -> bool {
        self.all.get(id).is_some_and(|shard| shard.passed == At::End)
    }

    /// Positions that have changed.
    pub(super) fn told(&mut self) -> Positions {
        let mut told = Positions::new();
        for (id, shard) in self.all.iter_mut().filter(|(_, shard)| shard.changed) {
            shard.changed = false;
            told.insert(id.clone(), shard.passed.json());
        }
        told.extend(self.forgotten.drain(..).map(|id| (id, Value::Null)));
        told
    }
}

impl Shard {
    fn settle(&mut self) {
        if self.received_all && self.rows == self.received {
            self.passed = At::End;
            self.changed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn listed(id: &str, parents: &[&str], closed: bool) -> Listed {
        Listed { id: id.into(), parents: parents.iter().map(|p| p.to_string()).collect(), closed }
    }

    fn ids(begun: Vec<(String, At)>) -> Vec<String> {
        begun.into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn children_wait_for_their_parents() {
        let list = [
            listed("0", &[], true),
            listed("1", &[], true),
            listed("2", &["0"], true),
            // Its other parent is not in the stream any more.
            listed("3", &["2", "9"], false),
            listed("4", &["1", "2"], false),
        ];
        let mut shards = Shards::default();
        shards.list(&list, Start::Horizon, false, 5).unwrap();
        assert_eq!(ids(shards.begin()), ["0", "1"]);
        assert!(shards.begin().is_empty());
        shards.received("0", 2);
        shards.received_all("0");
        assert_eq!(ids(shards.begin()), ["2"]);
        shards.received_all("2");
        assert_eq!(ids(shards.begin()), ["3"]);
        shards.received_all("1");
        assert_eq!(ids(shards.begin()), ["4"]);
        // Received is not passed: a checkpoint now has the beginning of shard 0.
        assert!(!shards.is_through("0") && shards.is_through("2"));
        shards.passed("0", 1, At::Behind("71".into(), None));
        let told = shards.told();
        assert_eq!(told["0"], json!({"behind": "71"}));
        assert_eq!((&told["2"], &told["3"]), (&json!({"ended": true}), &json!({"from": "TRIM_HORIZON"})));
        shards.passed("0", 1, At::Behind("72".into(), Some(3)));
        assert_eq!(shards.told(), Positions::from([("0".to_string(), json!({"ended": true}))]));
        assert!(shards.told().is_empty());
    }

    #[test]
    fn a_job_that_comes_back_reads_new_shards_from_their_beginning() {
        let mut shards = Shards::default();
        let before = [listed("0", &[], true), listed("1", &["0"], false)];
        shards.list(&before, Start::Latest, false, 7000).unwrap();
        assert_eq!(shards.begin(), [("1".to_string(), At::Latest(7000))]);
        let told = shards.told();
        assert_eq!(told["1"], json!({"from": 7000}));
        let mut shards = Shards::restored(&told).unwrap();
        let now = [listed("1", &["0"], true), listed("2", &["1"], false), listed("3", &["1"], false)];
        shards.list(&now, Start::Latest, false, 9000).unwrap();
        assert_eq!(shards.begin(), [("1".to_string(), At::Moment(7000))]);
        shards.received_all("1");
        assert_eq!(shards.begin(), [("2".to_string(), At::Horizon), ("3".to_string(), At::Horizon)]);
        // A shard that is gone before it was read.
        let mut shards = Shards::restored(&told).unwrap();
        let later = [listed("2", &["1"], false)];
        assert_eq!(shards.list(&later, Start::Latest, false, 9000), Err("1".to_string()));
        shards.give_up("1");
        assert_eq!(ids(shards.begin()), ["2"]);
        assert_eq!(shards.told()["1"], json!({"ended": true}));
        shards.list(&later, Start::Latest, false, 9000).unwrap();
        assert_eq!(shards.told()["1"], Value::Null);
    }

    #[test]
    fn positions_are_requests_for_iterators() {
        let behind = |part| At::Behind("7".into(), part).iterator()["ShardIteratorType"].clone();
        assert_eq!(
            (behind(None), behind(Some(1))),
            (json!("AFTER_SEQUENCE_NUMBER"), json!("AT_SEQUENCE_NUMBER"))
        );
        assert_eq!(At::Moment(1500).iterator()["Timestamp"], json!(1.5));
        for at in [At::Horizon, At::Moment(5), At::Behind("1".into(), Some(2)), At::End] {
            assert_eq!(At::parse("s", &at.json()).unwrap(), at);
        }
        assert!(At::parse("s", &json!({})).is_err());
    }
}
