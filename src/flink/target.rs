//! What a cluster is: its version, and the connectors in its `lib/`.

use std::collections::BTreeSet;
use std::fmt;

use crate::error::{Error, Result};
use crate::nearest::nearest;

/// A version of Flink that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    /// 2.0
    V2_0,
    /// 2.1
    V2_1,
    /// 2.2
    V2_2,
    /// 2.3
    #[default]
    V2_3,
}

/// All of them.
const VERSIONS: [(Version, &str); 4] =
    [(Version::V2_0, "2.0"), (Version::V2_1, "2.1"), (Version::V2_2, "2.2"), (Version::V2_3, "2.3")];

impl Version {
    /// From `2.3` or `2.3.0`.
    pub fn parse(text: &str) -> Result<Self> {
        let known = VERSIONS.map(|(_, name)| name);
        let plain = text.trim().trim_start_matches('v');
        let of =
            |name: &str| plain == name || plain.strip_prefix(name).is_some_and(|r| r.starts_with(['.', '-']));
        VERSIONS.iter().find(|(_, name)| of(name)).map(|(version, _)| *version).ok_or_else(|| {
            Error::option(format!("Flink '{text}' is not a version that is known"))
                .with_hint(format!("known are {}", known.join(", ")))
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = VERSIONS.iter().find(|(version, _)| version == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

/// Connectors and formats that are in Flink's distribution.
const SHIPPED: &[&str] = &[
    "blackhole",
    "canal-json",
    "csv",
    "datagen",
    "debezium-json",
    "filesystem",
    "json",
    "maxwell-json",
    "ogg-json",
    "print",
    "raw",
];

/// What is added to a cluster, and where it is.
const ADDED: &[(&str, &str)] = &[
    ("avro", "flink-sql-avro"),
    ("avro-confluent", "flink-sql-avro-confluent-registry"),
    ("http", "flink-connector-http"),
    ("jdbc", "flink-connector-jdbc and the driver of the database"),
    ("kafka", "flink-sql-connector-kafka"),
    ("openai", "flink-model-openai"),
    ("parquet", "flink-sql-parquet"),
    ("python", "flink-python, with Python and apache-flink on each machine"),
    ("rest-lookup", "com.getindata:flink-http-connector"),
    ("upsert-kafka", "flink-sql-connector-kafka"),
];

/// The connectors of a cluster beside those of the distribution.
#[derive(Debug, Clone, Default)]
pub struct Connectors(Option<BTreeSet<String>>);

impl Connectors {
    /// From `kafka,http`; an empty list is a cluster as it was downloaded.
    pub fn parse(text: &str) -> Result<Self> {
        let names: BTreeSet<String> =
            text.split(',').map(|n| n.trim().to_ascii_lowercase()).filter(|n| !n.is_empty()).collect();
        let known = || ADDED.iter().map(|(name, _)| *name).chain(SHIPPED.iter().copied());
        for name in &names {
            if !known().any(|k| k == name) {
                let error =
                    Error::option(format!("'{name}' is no connector or format that an export can use"));
                return Err(match nearest(name, known()) {
                    Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                    None => {
                        let all: Vec<&str> = ADDED.iter().map(|(name, _)| *name).collect();
                        error.with_hint(format!("there are: {}", all.join(", ")))
                    }
                });
            }
        }
        Ok(Self(Some(names)))
    }

    /// Whether the cluster has it. Without a list it has all that there is.
    fn has(&self, name: &str) -> bool {
        SHIPPED.contains(&name) || self.0.as_ref().is_none_or(|names| names.contains(name))
    }

    /// Lookups over HTTP are those of the connector that the list names: `http` of Apache, or `rest-lookup`.
    pub(super) fn http(&self) -> &'static str {
        match &self.0 {
            Some(names) if names.contains("rest-lookup") && !names.contains("http") => "rest-lookup",
            _ => "http",
        }
    }
}

/// Where a file is to run.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Flink's version.
    pub version: Version,
    /// What its `lib/` has.
    pub connectors: Connectors,
}

impl Target {
    /// Whether a connector or format is there: the jar that it takes, `None` if it is in the distribution; or what is in
    /// the way and what to do.
    pub(super) fn takes(&self, what: &str, name: &str) -> Result<Option<&'static str>, (String, String)> {
        let jar = ADDED.iter().find(|(known, _)| *known == name).map(|(_, jar)| *jar);
        match jar {
            _ if SHIPPED.contains(&name) => Ok(None),
            None => Err((
                format!("Flink has no {what} '{name}'"),
                "send the rows through Kafka or files: 'connector' = 'kafka' or 'filesystem'".to_string(),
            )),
            Some(_) if !self.connectors.has(name) => Err((
                format!("{what} '{name}' is not on the cluster"),
                format!("put {} into its lib/ and add {name} to --connectors", jar.unwrap_or_default()),
            )),
            Some(jar) => Ok(Some(jar)),
        }
    }

    /// What is refused of a feature that a later version has.
    pub(super) fn since(&self, version: Version, what: &str) -> Option<(String, String)> {
        (self.version < version).then(|| {
            (format!("Flink {} has no {what}", self.version), format!("it came with Flink {version}"))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(Version::parse("2.3").unwrap(), Version::V2_3);
        assert_eq!(Version::parse("2.0.1").unwrap().to_string(), "2.0");
        let e = Version::parse("1.20").unwrap_err();
        assert_eq!(e.message(), "Flink '1.20' is not a version that is known");
        assert!(e.hint().unwrap().ends_with("2.0, 2.1, 2.2, 2.3"));
        assert!(Version::parse("2.30").is_err());
    }

    #[test]
    fn lists_of_connectors() {
        let target =
            |list: &str| Target { connectors: Connectors::parse(list).unwrap(), ..Target::default() };
        assert_eq!(target("kafka").takes("connector", "kafka"), Ok(Some("flink-sql-connector-kafka")));
        assert!(target("").takes("connector", "kafka").unwrap_err().1.contains("--connectors"));
        assert_eq!(target("").takes("format", "json"), Ok(None));
        assert!(
            Target::default().takes("connector", "nexmark").unwrap_err().0.contains("no connector 'nexmark'")
        );
        assert_eq!(target("rest-lookup").connectors.http(), "rest-lookup");
        assert!(Connectors::parse("kafak").unwrap_err().hint().unwrap().contains("'kafka'"));
    }
}
