//! What a build lacks: connectors and formats that need cargo features.

use crate::error::Error;

/// A feature of the build, whether this build has it, and the connectors and formats in it.
type Feature = (&'static str, bool, &'static [&'static str]);

const FEATURES: &[Feature] = &[
    ("avro", cfg!(feature = "avro"), &["avro", "avro-confluent", "debezium-avro-confluent"]),
    ("kafka", cfg!(feature = "kafka"), &["kafka", "upsert-kafka"]),
    ("mmdb", cfg!(feature = "mmdb"), &["mmdb"]),
    ("mqtt", cfg!(feature = "mqtt"), &["mqtt"]),
    ("mysql", cfg!(feature = "mysql"), &["mysql", "mysql-cdc"]),
    ("parquet", cfg!(feature = "parquet"), &["parquet"]),
    ("nats", cfg!(feature = "nats"), &["nats"]),
    ("postgres", cfg!(feature = "postgres"), &["postgres", "postgres-cdc"]),
    ("protobuf", cfg!(feature = "protobuf"), &["protobuf"]),
    ("s3", cfg!(feature = "s3"), &["dynamodb", "kinesis"]),
    ("onnx", cfg!(feature = "onnx"), &["onnx"]),
    ("wasm", cfg!(feature = "wasm"), &["wasm"]),
    ("redis", cfg!(feature = "redis"), &["redis", "redis-stream"]),
];

/// The command that builds a connector or format, if this build lacks it.
fn command(name: &str, features: &[Feature]) -> Option<String> {
    let has = |feature: &&Feature| feature.2.iter().any(|known| name.eq_ignore_ascii_case(known));
    let (feature, built, _) = features.iter().find(has)?;
    let command =
        || format!("build it with `cargo build --release --features {feature}`; `full` has everything");
    (!built).then(command)
}

/// The error for a name that another build knows: `what` is `connector` or `format`.
pub(crate) fn not_in_this_build(what: &str, name: &str) -> Option<Error> {
    let hint = command(name, FEATURES)?;
    Some(Error::unsupported(format!("{what} '{name}' is not in this build")).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_features_are_named_with_the_command_that_builds_them() {
        let with = |built| FEATURES.iter().map(|(name, _, what)| (*name, built, *what)).collect::<Vec<_>>();
        let hint = command("Upsert-Kafka", &with(false)).unwrap_or_default();
        assert!(hint.starts_with("build it with `cargo build --release --features kafka`"), "{hint}");
        assert_eq!(command("filesystem", &with(false)), None);
        assert_eq!(command("kafka", &with(true)), None);
    }
}
