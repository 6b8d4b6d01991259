//! Which partitions there are, where reading them starts, and where it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::client::{self, Cluster, Context, ask};
use super::options::{Bounded, ScanOptions, Startup, Topics};
use crate::connector::Positions;
use crate::connector::position::{not_understood, number};
use crate::error::{Error, Result};

/// A partition by topic and number.
pub(super) type Name = (Arc<str>, i32);

/// How far a partition was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    /// Offset of the next record.
    pub(super) next: i64,
    /// Offset behind the last record to be read.
    pub(super) end: Option<i64>,
}

impl At {
    /// There is nothing more to be read.
    pub(super) fn is_ended(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }

    pub(super) fn json(&self) -> Value {
        match self.end {
            Some(end) => json!({ "next": self.next, "end": end }),
            None => json!({ "next": self.next }),
        }
    }
}

/// What a partition is called in a checkpoint.
pub(super) fn split_name((topic, partition): &Name) -> String {
    format!("{topic}/{partition}")
}

/// Positions as a checkpoint has them.
pub(super) fn parse(positions: &Positions) -> Result<BTreeMap<Name, At>> {
    let mut all = BTreeMap::new();
    for (split, position) in positions {
        let name =
            split.rsplit_once('/').and_then(|(topic, p)| Some((Arc::from(topic), p.parse::<i32>().ok()?)));
        let name = name.ok_or_else(|| not_understood(split, position))?;
        let offset = |field| -> Result<i64> {
            i64::try_from(number(split, position, field)?).map_err(|_| not_understood(split, position))
        };
        let end = position.get("end").is_some().then(|| offset("end")).transpose()?;
        all.insert(name, At { next: offset("next")?, end });
    }
    Ok(all)
}

/// Asks a cluster about topics and offsets.
pub(super) struct Explorer<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) consumer: &'a BaseConsumer<Context>,
    pub(super) timeout: Duration,
    /// Whether somebody still wants to know.
    pub(super) wanted: &'a dyn Fn() -> bool,
}

impl Explorer<'_> {
    fn ask<T>(&self, what: &str, call: impl FnMut(Duration) -> Result<T, KafkaError>) -> Result<T> {
        ask(self.cluster, what, &self.consumer.context().said, self.timeout, call, || {
            client::serve(self.consumer);
            (self.wanted)()
        })
    }

    /// The partitions of the topics, in order.
    pub(super) fn partitions(&self, topics: &Topics) -> Result<Vec<Name>> {
        let mut all = Vec::new();
        match topics {
            Topics::Named(names) => {
                for name in names {
                    all.extend(self.partitions_of(name)?);
                }
            }
            Topics::Pattern(_) => {
                let metadata = self.ask("listing topics", |most| self.consumer.fetch_metadata(None, most))?;
                for topic in metadata.topics().iter().filter(|t| topics.has(t.name())) {
                    let name: Arc<str> = Arc::from(topic.name());
                    all.extend(topic.partitions().iter().map(|p| (name.clone(), p.id())));
                }
            }
        }
        all.sort();
        all.dedup();
        Ok(all)
    }

    fn partitions_of(&self, name: &str) -> Result<Vec<Name>> {
        let what = format!("reading topic '{name}'");
        let mut missing = false;
        let metadata = self.ask(&what, |most| {
            let metadata = self.consumer.fetch_metadata(Some(name), most)?;
            let error = metadata.topics().iter().find(|t| t.name() == name).and_then(|t| t.error());
            match error.map(RDKafkaErrorCode::from) {
                Some(code) => {
                    missing = client::is_missing(code);
                    Err(KafkaError::MetadataFetch(code))
                }
                None => Ok(metadata),
            }
        });
        let metadata = metadata.map_err(|e| if missing { self.near(name) } else { e })?;
        let topic: Arc<str> = Arc::from(name);
        let found = metadata.topics().iter().filter(|t| t.name() == name);
        Ok(found.flat_map(|t| t.partitions().iter().map(|p| (topic.clone(), p.id()))).collect())
    }

    /// A topic that is not there, with one that is called nearly so.
    fn near(&self, name: &str) -> Error {
        let servers = self.cluster.servers();
        let e = Error::io(format!("topic '{name}' does not exist in Kafka at '{servers}'")).lasting();
        let Ok(metadata) = self.consumer.fetch_metadata(None, Duration::from_secs(5)) else { return e };
        let names: Vec<&str> =
            metadata.topics().iter().map(|t| t.name()).filter(|n| !n.starts_with("__")).collect();
        match crate::nearest::nearest(name, names.iter().copied()) {
            Some(near) => e.with_hint(format!("did you mean '{near}'?")),
            None if names.is_empty() => {
                e.with_hint("there is none; kafka-topics.sh --create --topic ... makes one")
            }
            None => e.with_hint(format!("DESCRIBE 'kafka://{servers}' lists those there are")),
        }
    }

    /// First offset, and the one behind the last record that can be read.
    pub(super) fn range(&self, (topic, partition): &Name) -> Result<(i64, i64)> {
        let what = format!("asking for the offsets of partition {partition} of topic '{topic}'");
        self.ask(&what, |most| self.consumer.fetch_watermarks(topic, *partition, most))
    }

    /// The offsets that the group has committed.
    fn committed(&self, names: &[Name], group: &str) -> Result<BTreeMap<Name, i64>> {
        let mut list = TopicPartitionList::with_capacity(names.len());
        for (topic, partition) in names {
            list.add_partition(topic, *partition);
        }
        let what = format!("asking for the offsets of group '{group}'");
        let found = self.ask(&what, |most| self.consumer.committed_offsets(list.clone(), most))?;
        let mut all = BTreeMap::new();
        for element in found.elements() {
            element
                .error()
                .map_err(|e| self.cluster.error(&what, client::code(&e), &self.consumer.context().said))?;
            if let Offset::Offset(offset) = element.offset() {
                all.insert((Arc::from(element.topic()), element.partition()), offset);
            }
        }
        Ok(all)
    }

    /// The first offset at or behind a time; `None` where there is no record that late.
    fn at_time(&self, names: &[Name], millis: i64) -> Result<BTreeMap<Name, i64>> {
        let mut list = TopicPartitionList::with_capacity(names.len());
        for (topic, partition) in names {
            list.add_partition_offset(topic, *partition, Offset::Offset(millis.max(0)))
                .map_err(|e| Error::internal(e.to_string()))?;
        }
        let what = "asking for the offsets of a time";
        let found = self.ask(what, |most| self.consumer.offsets_for_times(list.clone(), most))?;
        let mut all = BTreeMap::new();
        for element in found.elements() {
            element
                .error()
                .map_err(|e| self.cluster.error(what, client::code(&e), &self.consumer.context().said))?;
            if let Offset::Offset(offset) = element.offset() {
                all.insert((Arc::from(element.topic()), element.partition()), offset);
            }
        }
        Ok(all)
    }

    /// Where partitions that were there at the start are read from and up to.
    pub(super) fn start(&self, names: Vec<Name>, scan: &ScanOptions, group: &str) -> Result<Vec<(Name, At)>> {
        let by_group = match scan.startup == Startup::Group || scan.bounded == Bounded::Group {
            true => self.committed(&names, group)?,
            false => BTreeMap::new(),
        };
        let times =
            |millis: Option<i64>| millis.map_or(Ok(BTreeMap::new()), |millis| self.at_time(&names, millis));
        let from_time = times(match scan.startup {
            Startup::Timestamp(millis) => Some(millis),
            _ => None,
        })?;
        let to_time = times(match scan.bounded {
            Bounded::Timestamp(millis) => Some(millis),
            _ => None,
        })?;
        let mut all = Vec::with_capacity(names.len());
        for name in &names {
            if let Bounded::Offsets(ends) = &scan.bounded
                && !ends.contains_key(&name.1)
            {
                continue;
            }
            let mut range = None;
            let mut range = || -> Result<(i64, i64)> {
                match range {
                    Some(range) => Ok(range),
                    None => Ok(*range.insert(self.range(name)?)),
                }
            };
            let next = match &scan.startup {
                Startup::Earliest => range()?.0,
                Startup::Latest => range()?.1,
                Startup::Timestamp(_) => {
                    from_time.get(name).copied().map_or_else(|| range().map(|r| r.1), Ok)?
                }
                Startup::Offsets(offsets) => {
                    offsets.get(&name.1).copied().map_or_else(|| range().map(|r| r.0), Ok)?
                }
                Startup::Group => {
                    match (by_group.get(name), self.cluster.properties().get("auto.offset.reset")) {
                        (Some(offset), _) => *offset,
                        (None, Some("earliest" | "smallest" | "beginning")) => range()?.0,
                        (None, Some("latest" | "largest" | "end")) => range()?.1,
                        (None, _) => return Err(no_offset(name, group)),
                    }
                }
            };
            let end = match &scan.bounded {
                Bounded::Never => None,
                Bounded::Latest => Some(range()?.1),
                Bounded::Group => Some(*by_group.get(name).ok_or_else(|| no_offset(name, group))?),
                Bounded::Timestamp(_) => {
                    Some(to_time.get(name).copied().map_or_else(|| range().map(|r| r.1), Ok)?)
                }
                Bounded::Offsets(ends) => ends.get(&name.1).copied(),
            };
            all.push((name.clone(), At { next, end }));
        }
        if let Startup::Offsets(offsets) = &scan.startup
            && let Some(unknown) = offsets.keys().find(|p| !names.iter().any(|(_, known)| known == *p))
        {
            return Err(Error::option(format!(
                "'scan.startup.specific-offsets' names partition {unknown}, the topic has {}",
                names.len()
            )));
        }
        Ok(all)
    }
}

fn no_offset((topic, partition): &Name, group: &str) -> Error {
    Error::io(format!("group '{group}' has no offset for partition {partition} of topic '{topic}'"))
        .with_detail("'scan.startup.mode' is 'group-offsets' (the default)")
        .with_hint(
            "'properties.auto.offset.reset' = 'earliest' (or 'latest') says where to begin then; \
             'scan.startup.mode' = 'earliest-offset' begins there always",
        )
        .lasting()
}

/// Whether an error of a partition means that the offset is not there (any more).
pub(super) fn is_out_of_range(e: &KafkaError) -> bool {
    matches!(client::code(e), Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn positions_are_read_as_they_are_written() {
        let name: Name = (Arc::from("a.b-c"), 3);
        let (open, ended) = (At { next: 42, end: None }, At { next: 9, end: Some(9) });
        let positions: Positions =
            [(split_name(&name), open.json()), (split_name(&(Arc::from("x"), 0)), ended.json())].into();
        let parsed = parse(&positions).unwrap();
        assert_eq!(parsed[&name], open);
        assert!(parsed[&(Arc::from("x"), 0)].is_ended() && !open.is_ended());
        assert!(parse(&[("rows".to_string(), json!({ "next": 1 }))].into()).is_err());
        assert!(parse(&[("t/0".to_string(), json!({ "at": 1 }))].into()).is_err());
    }
}
