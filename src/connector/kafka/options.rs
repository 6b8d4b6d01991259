//! The options of Kafka tables, typed.
//!
//! [`Topics`] says which topics, [`ScanOptions`] from where and up to where they are read, [`Records`] how key and value
//! become columns. Options of a format have the prefix of their part there: `value.json.ignore-parse-errors`.

mod definitions;

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;

pub(super) use self::definitions::{OPTIONS, UPSERT_OPTIONS};
use super::properties::Properties;
use crate::catalog::options::{OptionDef, OptionKind};
use crate::catalog::{ColumnSource, Options, Table};
use crate::error::{Error, Result};
use crate::format::{FORMAT_NAMES, Format};

const STARTUP: &str = "scan.startup.mode";
const STARTUP_MODES: &[&str] =
    &["earliest-offset", "latest-offset", "group-offsets", "timestamp", "specific-offsets"];
const STARTUP_OFFSETS: &str = "scan.startup.specific-offsets";
const STARTUP_MILLIS: &str = "scan.startup.timestamp-millis";
const BOUNDED: &str = "scan.bounded.mode";
const BOUNDED_MODES: &[&str] =
    &["unbounded", "latest-offset", "group-offsets", "timestamp", "specific-offsets"];
const BOUNDED_OFFSETS: &str = "scan.bounded.specific-offsets";
const BOUNDED_MILLIS: &str = "scan.bounded.timestamp-millis";
const DISCOVERY: &str = "scan.topic-partition-discovery.interval";
const TOPIC: &str = "topic";
const PATTERN: &str = "topic-pattern";
const SERVERS: &str = "properties.bootstrap.servers";
const KEY_FORMAT: &str = "key.format";
const KEY_FIELDS: &str = "key.fields";
const KEY_PREFIX: &str = "key.fields-prefix";
const VALUE_FORMAT: &str = "value.format";
const INCLUDE: &str = "value.fields-include";
const INCLUDES: &[&str] = &["ALL", "EXCEPT_KEY"];
pub(super) const GUARANTEE: &str = "sink.delivery-guarantee";
const GUARANTEES: &[&str] = &["at-least-once", "exactly-once", "none"];
const OLD_GUARANTEE: &str = "sink.semantic";
pub(super) const TRANSACTIONS: &str = "sink.transactional-id-prefix";
const NAMING: &str = "sink.transaction-naming-strategy";
const PARTITIONER: &str = "sink.partitioner";
const SCAN_TASKS: &str = "scan.parallelism";
const SINK_TASKS: &str = "sink.parallelism";
const FLUSH_ROWS: &str = "sink.buffer-flush.max-rows";
const FLUSH_INTERVAL: &str = "sink.buffer-flush.interval";

/// Which topics.
#[derive(Debug, Clone)]
pub(super) enum Topics {
    /// These.
    Named(Vec<String>),
    /// Those whose whole name matches.
    Pattern(Regex),
}

impl Topics {
    fn of(options: &Options) -> Result<Self> {
        match (options.text(TOPIC), options.text(PATTERN)) {
            (Some(_), Some(_)) => Err(Error::option(format!("'{TOPIC}' and '{PATTERN}' are both given"))
                .with_hint("name the topics, or give a pattern")
                .at(options.span(PATTERN))),
            (Some(names), None) => {
                let names: Vec<String> =
                    names.split(';').map(|n| n.trim().to_string()).filter(|n| !n.is_empty()).collect();
                for name in &names {
                    let legal = name.len() <= 249
                        && !matches!(name.as_str(), "." | "..")
                        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
                    if !legal {
                        return Err(Error::option(format!("'{name}' cannot be the name of a topic"))
                            .with_detail("topics have up to 249 letters, digits, '.', '_' and '-'")
                            .with_hint("several topics are separated by ';'; a pattern is 'topic-pattern'")
                            .at(options.span(TOPIC)));
                    }
                }
                match names.is_empty() {
                    true => {
                        Err(Error::option(format!("option '{TOPIC}' names no topic")).at(options.span(TOPIC)))
                    }
                    false => Ok(Self::Named(names)),
                }
            }
            (None, Some(pattern)) => {
                Regex::new(&format!("^(?:{pattern})$")).map(Self::Pattern).map_err(|_| {
                    Error::option(format!("option '{PATTERN}': '{pattern}' is no regular expression"))
                        .at(options.span(PATTERN))
                })
            }
            (None, None) => Err(options.required(TOPIC).err().unwrap_or_else(|| Error::internal("no topic"))),
        }
    }

    /// As the table's options write it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Named(names) => names.join(";"),
            Self::Pattern(pattern) => {
                let text = pattern.as_str();
                text.strip_prefix("^(?:").and_then(|t| t.strip_suffix(")$")).unwrap_or(text).to_string()
            }
        }
    }

    /// The one topic.
    pub(super) fn only(&self) -> Option<&str> {
        match self {
            Self::Named(names) if names.len() == 1 => names.first().map(String::as_str),
            _ => None,
        }
    }

    /// Whether a topic is among them.
    pub(super) fn has(&self, topic: &str) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|name| name == topic),
            Self::Pattern(pattern) => !topic.starts_with("__") && pattern.is_match(topic),
        }
    }
}

/// Where reading starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Startup {
    Earliest,
    Latest,
    Group,
    Timestamp(i64),
    Offsets(BTreeMap<i32, i64>),
}

/// Where reading ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bounded {
    Never,
    Latest,
    Group,
    Timestamp(i64),
    Offsets(BTreeMap<i32, i64>),
}

/// `partition:0,offset:42;partition:1,offset:300`
fn offsets(options: &Options, key: &str) -> Result<BTreeMap<i32, i64>> {
    let text = options.required(key)?;
    let wrong = |part: &str| {
        Error::option(format!("option '{key}': '{part}' is no offset of a partition"))
            .with_hint("partition:0,offset:42;partition:1,offset:300")
            .at(options.span(key))
    };
    let mut all = BTreeMap::new();
    for part in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        let (mut partition, mut offset) = (None, None);
        for pair in part.split(',') {
            let (name, value) = pair.split_once(':').ok_or_else(|| wrong(part))?;
            match name.trim() {
                "partition" => partition = value.trim().parse::<i32>().ok().filter(|p| *p >= 0),
                "offset" => offset = value.trim().parse::<i64>().ok().filter(|o| *o >= 0),
                _ => return Err(wrong(part)),
            }
        }
        let (Some(partition), Some(offset)) = (partition, offset) else { return Err(wrong(part)) };
        if all.insert(partition, offset).is_some() {
            return Err(Error::option(format!("option '{key}': partition {partition} is named twice"))
                .at(options.span(key)));
        }
    }
    if all.is_empty() {
        return Err(wrong(text));
    }
    Ok(all)
}

/// Milliseconds since the epoch, also written as a time.
fn millis(options: &Options, key: &str) -> Result<i64> {
    let text = options.required(key)?.trim();
    let number = text.parse::<i64>().ok();
    let time = || chrono::DateTime::parse_from_rfc3339(text).ok().map(|t| t.timestamp_millis());
    number.or_else(time).ok_or_else(|| {
        Error::option(format!("option '{key}': '{text}' is neither milliseconds since the epoch nor a time"))
            .with_hint("1767225600000, or 2026-01-01T00:00:00Z")
            .at(options.span(key))
    })
}

/// Options that are only for another mode say so.
fn only_with(options: &Options, key: &str, mode: &str, given: bool) -> Result<()> {
    match options.contains(key) && !given {
        true => {
            Err(Error::option(format!("option '{key}' has no effect without {mode}")).at(options.span(key)))
        }
        false => Ok(()),
    }
}

/// How keys and values are written, and which columns they have.
#[derive(Debug, Clone)]
pub(super) struct Records {
    pub(super) value: Format,
    /// The value has these columns, by name, in the order of the table.
    pub(super) value_columns: Vec<String>,
    pub(super) key: Option<Format>,
    /// The key has these.
    pub(super) key_columns: Vec<String>,
    /// What their names begin with.
    pub(super) prefix: String,
}

/// The options of a format that stand behind `prefix`, or at the top.
fn format_options(options: &Options, prefix: &str, name: &str) -> Result<Options> {
    let mut own = Options::default();
    for (key, _) in options.iter() {
        let Some(rest) = key.strip_prefix(prefix) else { continue };
        if rest.split('.').next() == Some(name) {
            own.set(rest, options.text(key).unwrap_or_default(), options.span(key));
        }
    }
    own.set("format", name, Default::default());
    let own = own.with_registered(options.registered());
    Ok(with_subject(own, options, if prefix == "key." { "key" } else { "value" }))
}

/// The schemas of a topic have its name, unless the options say otherwise.
fn with_subject(mut own: Options, options: &Options, part: &str) -> Options {
    const SUBJECT: &str = "avro-confluent.subject";
    if let Some(topic) = options.text(TOPIC).filter(|t| !t.contains(';'))
        && own.contains("avro-confluent.url")
        && !own.contains(SUBJECT)
    {
        own.set(SUBJECT, &format!("{topic}-{part}"), Default::default());
    }
    own
}

/// The format of values.
pub(super) fn value_format(options: &Options) -> Result<Format> {
    match (options.text("format"), options.text(VALUE_FORMAT)) {
        (Some(_), _) => Format::from_options(&with_subject(options.clone(), options, "value")),
        (None, Some(name)) => format(options, "value.", name),
        (None, None) => Err(Error::option("option 'format' is required")
            .with_hint(format!("'format' is one of {}", FORMAT_NAMES.join(", ")))),
    }
}

/// The options that the format of values is made from, checked under the names that they have in the table.
pub(super) fn value_options(options: &Options) -> Result<Options> {
    value_format(options)?;
    match options.text(VALUE_FORMAT).filter(|_| options.text("format").is_none()) {
        Some(name) => format_options(options, "value.", name),
        None => Ok(with_subject(options.clone(), options, "value")),
    }
}

/// A format whose options have a prefix (`key.`, `value.`), checked.
fn format(options: &Options, prefix: &str, name: &str) -> Result<Format> {
    let at = options.span(&format!("{prefix}format"));
    let own = format_options(options, prefix, name)?;
    let format =
        Format::from_options(&own).map_err(|e| e.context(format!("option '{prefix}format'")).at(at))?;
    let mut known = Vec::from_iter(Format::definitions_in(&own, name));
    const FORMAT: OptionDef = OptionDef::new("format", OptionKind::Text, "", "");
    known.push(&FORMAT);
    own.validate(&format!("format '{name}' of '{prefix}format'"), &known)?;
    Ok(format)
}

/// Physical columns.
fn physical(table: &Table) -> impl Iterator<Item = &str> {
    let physical = table.columns.iter().filter(|c| matches!(c.source, ColumnSource::Physical { .. }));
    physical.map(|c| c.name.as_str())
}

impl Records {
    /// As the options say. `upsert`: the key is the PRIMARY KEY.
    pub(super) fn of(table: &Table, upsert: bool) -> Result<Self> {
        let options = &table.options;
        let value = match (options.text("format"), options.text(VALUE_FORMAT)) {
            (Some(_), Some(_)) => {
                return Err(Error::option(format!(
                    "'format' and '{VALUE_FORMAT}' are the same, and both are given"
                ))
                .at(options.span(VALUE_FORMAT)));
            }
            (Some(_), None) | (None, None) => value_format(options)?,
            (None, Some(name)) => {
                if let Some((key, _)) =
                    options.iter().find(|(key, _)| key.split_once('.').is_some_and(|k| k.0 == name))
                {
                    return Err(Error::option(format!("option '{key}' has no effect with '{VALUE_FORMAT}'"))
                        .with_hint(format!("write 'value.{key}'"))
                        .at(options.span(key)));
                }
                format(options, "value.", name)?
            }
        };
        let value_name = options.text(VALUE_FORMAT).unwrap_or_default();
        for (key, _) in options.with_prefix("value.") {
            let of_format = !value_name.is_empty() && key.split('.').next() == Some(value_name);
            if !of_format && !matches!(key, "format" | "fields-include") {
                let key = format!("value.{key}");
                return Err(Error::option(format!("option '{key}' is not one of the value's format"))
                    .with_hint(match value_name {
                        "" => format!(
                            "with 'format' its options have no 'value.' in front; '{VALUE_FORMAT}' takes it"
                        ),
                        name => format!("options of format '{name}' begin with 'value.{name}.'"),
                    })
                    .at(options.span(&key)));
            }
        }
        let prefix = options.text(KEY_PREFIX).unwrap_or_default().to_string();
        let except = options.choice(INCLUDE, INCLUDES)? == Some("EXCEPT_KEY");
        if !prefix.is_empty() && !except {
            return Err(Error::option(format!("option '{KEY_PREFIX}' needs '{INCLUDE}' = 'EXCEPT_KEY'"))
                .with_detail("a prefix keeps apart columns of key and value that have one name; with ALL the value has both")
                .at(options.span(KEY_PREFIX)));
        }
        let key = match options.text(KEY_FORMAT) {
            Some(name) => {
                for (key, _) in options.with_prefix("key.") {
                    if key.split('.').next() != Some(name)
                        && !matches!(key, "format" | "fields" | "fields-prefix")
                    {
                        let key = format!("key.{key}");
                        return Err(Error::option(format!(
                            "option '{key}' is not one of the key's format '{name}'"
                        ))
                        .at(options.span(&key)));
                    }
                }
                let key = format(options, "key.", name)?;
                if key.source_changelog() != crate::connector::SourceChangelog::Append {
                    return Err(Error::option(format!("format '{name}' has changes, a key is a row"))
                        .at(options.span(KEY_FORMAT)));
                }
                Some(key)
            }
            None => {
                if let Some((key, _)) = options.with_prefix("key.").next() {
                    let key = format!("key.{key}");
                    return Err(Error::option(format!("option '{key}' needs '{KEY_FORMAT}'"))
                        .with_hint(format!("'{KEY_FORMAT}' = 'json', or 'raw' for a single column"))
                        .at(options.span(&key)));
                }
                None
            }
        };
        let key_columns: Vec<String> = if upsert {
            if key.is_none() {
                return Err(Error::option(format!("option '{KEY_FORMAT}' is required"))
                    .with_hint("'key.format' = 'json', or 'raw' for a single column"));
            }
            if table.primary_key.is_empty() {
                return Err(Error::plan(
                    "connector 'upsert-kafka' needs a PRIMARY KEY: its columns are the record's key",
                )
                .with_hint("add PRIMARY KEY (...) NOT ENFORCED to the table"));
            }
            if value.source_changelog() != crate::connector::SourceChangelog::Append {
                return Err(Error::option(format!("format '{}' has changes of its own", value.name()))
                    .with_detail(
                        "upsert-kafka knows changes by the key: a value is the newest row, no value a delete",
                    )
                    .with_hint("use it with connector 'kafka'"));
            }
            // In the order of the table, as Flink has them.
            physical(table).filter(|c| table.primary_key.iter().any(|k| k == c)).map(str::to_string).collect()
        } else {
            let fields =
                options.text(KEY_FIELDS).map(|f| f.split(';').map(str::trim).map(str::to_string).collect());
            match (fields, &key) {
                (None, Some(_)) => {
                    return Err(Error::option(format!("option '{KEY_FORMAT}' needs '{KEY_FIELDS}'"))
                        .with_hint("name the columns of the key: 'key.fields' = 'id'")
                        .at(options.span(KEY_FORMAT)));
                }
                (fields, _) => fields.unwrap_or_default(),
            }
        };
        for name in &key_columns {
            if !physical(table).any(|c| c == name) {
                let error = Error::option(format!("option '{KEY_FIELDS}': '{name}' is no physical column"));
                return Err(match crate::nearest::nearest(name, physical(table)) {
                    Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                    None => error.with_hint("columns are separated by ';'"),
                }
                .at(options.span(KEY_FIELDS)));
            }
            if !name.starts_with(&prefix) || (!prefix.is_empty() && name.len() == prefix.len()) {
                return Err(Error::option(format!("key column '{name}' does not begin with '{prefix}'"))
                    .with_hint(format!("all columns of the key begin with '{KEY_PREFIX}'"))
                    .at(options.span(KEY_PREFIX)));
            }
        }
        let in_value = |c: &&str| !except || !key_columns.iter().any(|k| k == c);
        let value_columns: Vec<String> = physical(table).filter(in_value).map(str::to_string).collect();
        Ok(Self { value, value_columns, key, key_columns, prefix })
    }
}

/// What a table asks of its source.
#[derive(Debug, Clone)]
pub(super) struct ScanOptions {
    pub(super) startup: Startup,
    pub(super) bounded: Bounded,
    /// `None`: never.
    pub(super) discovery: Option<Duration>,
    pub(super) tasks: Option<usize>,
}

impl ScanOptions {
    /// As the options say.
    pub(super) fn of(options: &Options, topics: &Topics, upsert: bool) -> Result<Self> {
        let startup = match options.choice(STARTUP, STARTUP_MODES)? {
            _ if upsert => Startup::Earliest,
            Some("earliest-offset") => Startup::Earliest,
            Some("latest-offset") => Startup::Latest,
            Some("timestamp") => Startup::Timestamp(millis(options, STARTUP_MILLIS)?),
            Some("specific-offsets") => Startup::Offsets(offsets(options, STARTUP_OFFSETS)?),
            _ => Startup::Group,
        };
        let bounded = match options.choice(BOUNDED, BOUNDED_MODES)? {
            Some("latest-offset") => Bounded::Latest,
            Some("group-offsets") => Bounded::Group,
            Some("timestamp") => Bounded::Timestamp(millis(options, BOUNDED_MILLIS)?),
            Some("specific-offsets") => Bounded::Offsets(offsets(options, BOUNDED_OFFSETS)?),
            _ => Bounded::Never,
        };
        let of_one = [STARTUP_OFFSETS, BOUNDED_OFFSETS].into_iter().find(|key| options.contains(key));
        if let Some(key) = of_one.filter(|_| topics.only().is_none()) {
            return Err(Error::option(format!("option '{key}' is for tables of one topic"))
                .with_detail("partitions of several topics have the same numbers")
                .at(options.span(key)));
        }
        only_with(
            options,
            STARTUP_OFFSETS,
            "'scan.startup.mode' = 'specific-offsets'",
            matches!(startup, Startup::Offsets(_)),
        )?;
        only_with(
            options,
            STARTUP_MILLIS,
            "'scan.startup.mode' = 'timestamp'",
            matches!(startup, Startup::Timestamp(_)),
        )?;
        only_with(
            options,
            BOUNDED_OFFSETS,
            "'scan.bounded.mode' = 'specific-offsets'",
            matches!(bounded, Bounded::Offsets(_)),
        )?;
        only_with(
            options,
            BOUNDED_MILLIS,
            "'scan.bounded.mode' = 'timestamp'",
            matches!(bounded, Bounded::Timestamp(_)),
        )?;
        let discovery = options.duration(DISCOVERY)?.unwrap_or(Duration::from_secs(300));
        let tasks = options.integer(SCAN_TASKS)?.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        if tasks == Some(0) {
            return Err(Error::option(format!("option '{SCAN_TASKS}' must be 1 at least"))
                .at(options.span(SCAN_TASKS)));
        }
        Ok(Self {
            startup,
            discovery: Some(discovery).filter(|d| !d.is_zero() && bounded == Bounded::Never),
            bounded,
            tasks,
        })
    }
}

/// What is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    None,
    AtLeastOnce,
    ExactlyOnce,
}

/// Which partition a row without a key goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Partitioning {
    /// By the key, as Java does; without one any, batch by batch.
    Key,
    /// Each task writes to one.
    Fixed,
    /// One after the other.
    RoundRobin,
}

/// What a table asks of its sink.
#[derive(Debug, Clone)]
pub(super) struct SinkOptions {
    pub(super) delivery: Delivery,
    /// With exactly-once.
    pub(super) prefix: String,
    pub(super) partitioning: Partitioning,
    /// Rows are gathered: so many keys at most, for so long.
    pub(super) buffer: Option<(usize, Duration)>,
}

impl SinkOptions {
    /// As the options say.
    pub(super) fn of(options: &Options, has_key: bool) -> Result<Self> {
        let key = if options.contains(GUARANTEE) { GUARANTEE } else { OLD_GUARANTEE };
        let delivery = match options.choice(key, GUARANTEES)? {
            Some("exactly-once") => Delivery::ExactlyOnce,
            Some("none") => Delivery::None,
            _ => Delivery::AtLeastOnce,
        };
        let prefix = options.text(TRANSACTIONS).unwrap_or_default().to_string();
        if delivery == Delivery::ExactlyOnce && prefix.is_empty() {
            return Err(Error::option(format!("option '{TRANSACTIONS}' is required for exactly-once"))
                .with_detail("by it a job that is started again finds, and ends, what it had begun")
                .with_hint(format!("'{TRANSACTIONS}' = 'a name that only this job has in the Kafka cluster'"))
                .at(options.span(key)));
        }
        if delivery != Delivery::ExactlyOnce && options.contains(TRANSACTIONS) {
            return Err(Error::option(format!(
                "option '{TRANSACTIONS}' has no effect without '{GUARANTEE}' = 'exactly-once'"
            ))
            .at(options.span(TRANSACTIONS)));
        }
        let partitioning = match options.text(PARTITIONER).map(str::to_ascii_lowercase).as_deref() {
            None | Some("default") => Partitioning::Key,
            Some("fixed") => Partitioning::Fixed,
            Some("round-robin") if has_key => {
                return Err(Error::option(format!(
                    "option '{PARTITIONER}' = 'round-robin' is for records without a key"
                ))
                .with_hint("leave 'key.fields' out, or the option")
                .at(options.span(PARTITIONER)));
            }
            Some("round-robin") => Partitioning::RoundRobin,
            Some(_) => {
                let given = options.text(PARTITIONER).unwrap_or_default();
                return Err(Error::unsupported(format!("option '{PARTITIONER}': class '{given}' is Java's"))
                    .with_hint("default, fixed or round-robin")
                    .at(options.span(PARTITIONER)));
            }
        };
        let rows = options.integer(FLUSH_ROWS)?.unwrap_or(0);
        let interval = options.duration(FLUSH_INTERVAL)?.unwrap_or_default();
        let buffer = match (rows > 0, !interval.is_zero()) {
            (true, true) => Some((usize::try_from(rows).unwrap_or(usize::MAX), interval)),
            (false, false) => None,
            (true, false) => return Err(both(options, FLUSH_ROWS, FLUSH_INTERVAL)),
            (false, true) => return Err(both(options, FLUSH_INTERVAL, FLUSH_ROWS)),
        };
        Ok(Self { delivery, prefix, partitioning, buffer })
    }
}

fn both(options: &Options, given: &str, other: &str) -> Error {
    Error::option(format!("option '{given}' needs '{other}'"))
        .with_hint("rows are gathered when both are larger than 0")
        .at(options.span(given))
}

/// Everything about a table but its columns.
#[derive(Debug, Clone)]
pub(super) struct TableOptions {
    pub(super) topics: Topics,
    pub(super) properties: Properties,
    pub(super) group: String,
}

impl TableOptions {
    /// As the options say.
    pub(super) fn of(table: &str, options: &Options) -> Result<Self> {
        options.required(SERVERS).map_err(|e| e.with_hint(format!("'{SERVERS}' = 'localhost:9092'")))?;
        let topics = Topics::of(options)?;
        let properties = Properties::of(options)?;
        let group = options
            .text("properties.group.id")
            .map_or_else(|| format!("KafkaSource-{table}"), str::to_string);
        Ok(Self { topics, properties, group })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        let mut options = Options::default();
        pairs.iter().for_each(|(k, v)| options.set(k, v, Default::default()));
        options
    }

    #[test]
    fn topics_are_a_list_or_a_pattern() {
        let topics = Topics::of(&options(&[("topic", "a; b.c")])).unwrap();
        assert!(topics.has("a") && topics.has("b.c") && !topics.has("bxc") && topics.only().is_none());
        let topics = Topics::of(&options(&[("topic-pattern", "sensors-.*|x")])).unwrap();
        assert!(
            topics.has("sensors-1") && topics.has("x") && !topics.has("xy") && !topics.has("my-sensors-1")
        );
        assert_eq!(topics.text(), "sensors-.*|x");
        assert!(Topics::of(&options(&[("topic-pattern", ".*")])).is_ok_and(|t| !t.has("__consumer_offsets")));
        assert!(Topics::of(&options(&[("topic", "a b")])).unwrap_err().message().contains("'a b'"));
        assert!(Topics::of(&options(&[("topic", "a"), ("topic-pattern", "b")])).is_err());
    }

    #[test]
    fn offsets_and_times() {
        let o = options(&[
            ("x", "partition:0,offset:42; partition:1 ,offset: 300"),
            ("t", "2026-01-01T00:00:00Z"),
        ]);
        assert_eq!(offsets(&o, "x").unwrap(), BTreeMap::from([(0, 42), (1, 300)]));
        assert_eq!(millis(&o, "t").unwrap(), 1_767_225_600_000);
        for wrong in
            ["0:42", "partition:0", "partition:-1,offset:1", "partition:0,offset:1;partition:0,offset:2", ""]
        {
            assert!(offsets(&options(&[("x", wrong)]), "x").is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_without_effect_are_refused() {
        let topics = Topics::Named(vec!["a".into()]);
        let scan = |pairs: &[(&str, &str)]| ScanOptions::of(&options(pairs), &topics, false);
        assert_eq!(scan(&[]).unwrap().startup, Startup::Group);
        let e = scan(&[(STARTUP_MILLIS, "1")]).unwrap_err();
        assert!(e.message().contains("has no effect without 'scan.startup.mode' = 'timestamp'"), "{e}");
        assert!(scan(&[(STARTUP, "timestamp")]).unwrap_err().message().contains(STARTUP_MILLIS));
        let bounded = scan(&[(BOUNDED, "latest-offset")]).unwrap();
        assert_eq!((bounded.bounded, bounded.discovery), (Bounded::Latest, None));
        let e = SinkOptions::of(&options(&[(GUARANTEE, "exactly-once")]), false).unwrap_err();
        assert!(e.message().contains(TRANSACTIONS), "{e}");
        assert!(SinkOptions::of(&options(&[(TRANSACTIONS, "x")]), false).is_err());
        assert!(SinkOptions::of(&options(&[(FLUSH_ROWS, "10")]), true).is_err());
        assert!(SinkOptions::of(&options(&[(PARTITIONER, "round-robin")]), true).is_err());
    }
}
