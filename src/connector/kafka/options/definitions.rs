//! The options of Kafka tables, as they are declared.

use super::*;

const SERVERS_DEF: OptionDef = OptionDef::new(
    SERVERS,
    OptionKind::Text,
    "",
    "brokers to connect to first: host:port, separated by commas",
);
const GROUP_DEF: OptionDef = OptionDef::new(
    "properties.group.id",
    OptionKind::Text,
    "",
    "consumer group that offsets are committed to; default: KafkaSource- and the table's name",
);
const PROPERTIES_DEF: OptionDef = OptionDef::new(
    "properties.*",
    OptionKind::Text,
    "",
    "any property of Java's Kafka client, or of librdkafka",
);
const TOPIC_DEF: OptionDef =
    OptionDef::new(TOPIC, OptionKind::Text, "", "topic, or several separated by ';'");
const KEY_FORMAT_DEF: OptionDef = OptionDef::new(KEY_FORMAT, OptionKind::Text, "", "how keys are written");
const KEY_OPTIONS_DEF: OptionDef =
    OptionDef::new("key.*", OptionKind::Text, "", "options of the key's format, with its name");
const KEY_PREFIX_DEF: OptionDef = OptionDef::new(
    KEY_PREFIX,
    OptionKind::Text,
    "",
    "what the names of key columns begin with; the key's fields are named without it",
);
const VALUE_FORMAT_DEF: OptionDef =
    OptionDef::new(VALUE_FORMAT, OptionKind::Text, "", "how values are written; another name of 'format'");
const VALUE_OPTIONS_DEF: OptionDef =
    OptionDef::new("value.*", OptionKind::Text, "", "options of the value's format, with its name");
const INCLUDE_DEF: OptionDef = OptionDef::new(
    INCLUDE,
    OptionKind::Choice(INCLUDES),
    "ALL",
    "whether the value has the key's columns too",
);
const BOUNDED_DEF: OptionDef = OptionDef::new(
    BOUNDED,
    OptionKind::Choice(BOUNDED_MODES),
    "unbounded",
    "where reading ends; offsets are looked up at the start",
);
const BOUNDED_OFFSETS_DEF: OptionDef = OptionDef::new(
    BOUNDED_OFFSETS,
    OptionKind::Text,
    "",
    "partition:0,offset:42;partition:1,offset:300; others are not read",
);
const BOUNDED_MILLIS_DEF: OptionDef =
    OptionDef::new(BOUNDED_MILLIS, OptionKind::Integer, "", "with 'timestamp': milliseconds since the epoch");
const DISCOVERY_DEF: OptionDef = OptionDef::new(
    DISCOVERY,
    OptionKind::Duration,
    "5 min",
    "how often new partitions and topics are looked for; 0: never",
);
const GUARANTEE_DEF: OptionDef = OptionDef::new(
    GUARANTEE,
    OptionKind::Choice(GUARANTEES),
    "at-least-once",
    "exactly-once: rows are committed with checkpoints, in a transaction",
);
const TRANSACTIONS_DEF: OptionDef = OptionDef::new(
    TRANSACTIONS,
    OptionKind::Text,
    "",
    "with exactly-once: a name of the job's own in the Kafka cluster",
);
const NAMING_DEF: OptionDef = OptionDef::new(
    NAMING,
    OptionKind::Choice(&["INCREMENTING", "POOLING"]),
    "POOLING",
    "both are the same: a job has two transactional ids and uses them by turns",
)
.without_effect();
const SINK_TASKS_DEF: OptionDef = OptionDef::new(
    SINK_TASKS,
    OptionKind::Integer,
    "",
    "tasks that write; they follow 'parallelism.default', and share one producer",
)
.without_effect();
const SCAN_TASKS_DEF: OptionDef = OptionDef::new(
    SCAN_TASKS,
    OptionKind::Integer,
    "",
    "tasks that read at most; default: 'parallelism.default'",
);

/// Options of `kafka`.
pub(in crate::connector::kafka) const OPTIONS: &[OptionDef] = &[
    TOPIC_DEF,
    OptionDef::new(
        PATTERN,
        OptionKind::Text,
        "",
        "all topics whose whole name matches the regular expression",
    ),
    SERVERS_DEF,
    GROUP_DEF,
    PROPERTIES_DEF,
    KEY_FORMAT_DEF,
    OptionDef::new(KEY_FIELDS, OptionKind::Text, "", "columns that the key has, separated by ';'"),
    KEY_PREFIX_DEF,
    KEY_OPTIONS_DEF,
    VALUE_FORMAT_DEF,
    INCLUDE_DEF,
    VALUE_OPTIONS_DEF,
    OptionDef::new(
        STARTUP,
        OptionKind::Choice(STARTUP_MODES),
        "group-offsets",
        "where reading starts, unless a checkpoint says",
    ),
    OptionDef::new(
        STARTUP_OFFSETS,
        OptionKind::Text,
        "",
        "partition:0,offset:42;partition:1,offset:300; others from the earliest",
    ),
    OptionDef::new(
        STARTUP_MILLIS,
        OptionKind::Text,
        "",
        "with 'timestamp': milliseconds since the epoch, or 2026-01-31T10:00:00Z",
    ),
    BOUNDED_DEF,
    BOUNDED_OFFSETS_DEF,
    BOUNDED_MILLIS_DEF,
    DISCOVERY_DEF,
    SCAN_TASKS_DEF,
    GUARANTEE_DEF,
    OptionDef::new(
        OLD_GUARANTEE,
        OptionKind::Choice(GUARANTEES),
        "",
        "former name of 'sink.delivery-guarantee'",
    ),
    TRANSACTIONS_DEF,
    NAMING_DEF,
    OptionDef::new(
        PARTITIONER,
        OptionKind::Text,
        "default",
        "default: by the key as Java does, without one by turns; fixed: each task into one; round-robin",
    ),
    SINK_TASKS_DEF,
];

/// Options of `upsert-kafka`.
pub(in crate::connector::kafka) const UPSERT_OPTIONS: &[OptionDef] = &[
    TOPIC_DEF,
    SERVERS_DEF,
    GROUP_DEF,
    PROPERTIES_DEF,
    KEY_FORMAT_DEF,
    KEY_PREFIX_DEF,
    KEY_OPTIONS_DEF,
    VALUE_FORMAT_DEF,
    INCLUDE_DEF,
    VALUE_OPTIONS_DEF,
    BOUNDED_DEF,
    BOUNDED_OFFSETS_DEF,
    BOUNDED_MILLIS_DEF,
    DISCOVERY_DEF,
    SCAN_TASKS_DEF,
    GUARANTEE_DEF,
    TRANSACTIONS_DEF,
    NAMING_DEF,
    OptionDef::new(
        FLUSH_ROWS,
        OptionKind::Integer,
        "0",
        "with the interval: rows are gathered up to this many keys, and the last of each is written",
    ),
    OptionDef::new(
        FLUSH_INTERVAL,
        OptionKind::Duration,
        "0 s",
        "with the rows: gathered rows are written this often",
    ),
    SINK_TASKS_DEF,
];
