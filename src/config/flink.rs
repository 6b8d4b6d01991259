//! Flink's settings that are not ours: known by name, so that a script of Flink's runs, and so that none that changes
//! results is passed over in silence.
//!
//! Three kinds. What has another name here acts under ours. What tunes Flink's own machine is taken and changes
//! nothing, which is said. What would change results is refused unless it has the value that is kept here anyway.

/// What a setting of Flink is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flink {
    /// It only tunes; why there is nothing to tune.
    Tunes(&'static str),
    /// It holds always with one of these values, any other would change results; what to do instead.
    Only(&'static [&'static str], &'static str),
}

use Flink::{Only, Tunes};

const STATE: &str = "state is kept in memory and goes to disk beyond 'affluent.state.memory-limit'";
const CLUSTER: &str = "there is no cluster: one process does the work";
const CHECKPOINTS: &str = "checkpoints are incremental, and barriers overtake rows that wait for lookups";
const OPTIMIZER: &str = "plans are made without statistics";
const MACHINE: &str = "it is of Flink's runtime";
const SERIALIZERS: &str = "rows are columns of Arrow: nothing is serialised between operators";
const CLIENT: &str = "it is of Flink's client";

/// By name; a key that ends with `.*` stands for all that begin so. The first that fits counts.
const KNOWN: &[(&str, Flink)] = &[
    // What changes results.
    ("table.sql-dialect", Only(&["default"], "statements are those of Flink's default dialect")),
    (
        "table.exec.legacy-cast-behaviour",
        Only(&["DISABLED"], "CAST fails on what it cannot read; TRY_CAST returns NULL"),
    ),
    ("table.legacy-nested-row-nullability", Only(&["false"], "nested columns keep their nullability")),
    (
        "table.column-expansion-strategy",
        Only(&[""], "SELECT * has all columns; name the columns that you want"),
    ),
    (
        "table.exec.source.cdc-events-duplicate",
        Only(&["false"], "declare a PRIMARY KEY and keep the newest row by ROW_NUMBER"),
    ),
    (
        "table.exec.emit.early-fire.enabled",
        Only(&["false"], "a window is emitted when it is complete; GROUP BY without a window emits early"),
    ),
    (
        "table.exec.emit.late-fire.enabled",
        Only(&["false"], "late rows are counted and left out; widen the watermark's delay"),
    ),
    (
        "table.exec.emit.allow-lateness",
        Only(&["0", "0 ms", "0 s"], "late rows are counted and left out; widen the watermark's delay"),
    ),
    ("table.exec.emit.early-fire.delay", Only(&[], "a window is emitted when it is complete")),
    ("table.exec.emit.late-fire.delay", Only(&[], "late rows are counted and left out")),
    ("table.exec.sink.rowtime-inserter", Only(&["ENABLED"], "the time attribute is part of the row")),
    ("table.builtin-catalog-name", Only(&["default_catalog"], "there is default_catalog")),
    ("table.builtin-database-name", Only(&["default_database"], "there is default_database")),
    ("table.dynamic-table-options.enabled", Only(&["true"], "OPTIONS hints are always taken")),
    ("table.planner", Only(&["blink"], "there is one planner")),
    ("table.exec.mini-batch.size", Tunes("rows that have arrived together are processed together")),
    (
        "execution.checkpointing.checkpoints-after-tasks-finish",
        Only(&["true"], "checkpoints go on when some tasks have ended"),
    ),
    (
        "execution.checkpointing.checkpoints-after-tasks-finish.enabled",
        Only(&["true"], "checkpoints go on when some tasks have ended"),
    ),
    ("execution.savepoint-restore-mode", Only(&["NO_CLAIM", "LEGACY"], "a savepoint is never deleted")),
    ("execution.state-recovery.claim-mode", Only(&["NO_CLAIM", "LEGACY"], "a savepoint is never deleted")),
    (
        "restart-strategy.failure-rate.*",
        Only(&[], "use restart-strategy.type = 'fixed-delay' or 'exponential-delay'"),
    ),
    (
        "pipeline.time-characteristic",
        Only(&["EventTime"], "time attributes are columns: WATERMARK FOR, AS PROCTIME()"),
    ),
    // Where the object store's account comes from.
    (
        "s3.*",
        Only(&[], "set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"),
    ),
    (
        "fs.s3a.*",
        Only(&[], "set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"),
    ),
    ("security.kerberos.*", Only(&[], "Kerberos is not supported")),
    // What tunes.
    ("state.*", Tunes(STATE)),
    ("execution.checkpointing.unaligned*", Tunes(CHECKPOINTS)),
    ("execution.checkpointing.aligned-checkpoint-timeout", Tunes(CHECKPOINTS)),
    ("execution.checkpointing.alignment-timeout", Tunes(CHECKPOINTS)),
    ("execution.checkpointing.max-concurrent-checkpoints", Tunes("one checkpoint is made at a time")),
    ("execution.checkpointing.prefer-checkpoint-for-recovery", Tunes(CHECKPOINTS)),
    ("execution.checkpointing.incremental", Tunes(CHECKPOINTS)),
    (
        "execution.checkpointing.storage",
        Tunes("'execution.checkpointing.dir' says where checkpoints are kept"),
    ),
    ("execution.checkpointing.snapshot-compression", Tunes(CHECKPOINTS)),
    ("execution.checkpointing.local-backup.*", Tunes(CHECKPOINTS)),
    ("execution.checkpointing.local-copy.*", Tunes(CHECKPOINTS)),
    ("execution.checkpointing.file-merging.*", Tunes(CHECKPOINTS)),
    ("execution.checkpointing.cleaner.*", Tunes(CHECKPOINTS)),
    ("execution.checkpointing.create-subdir", Tunes("each job has its own folder")),
    ("execution.checkpointing.data-inline-threshold", Tunes(CHECKPOINTS)),
    ("execution.checkpointing.write-buffer-size", Tunes(CHECKPOINTS)),
    ("execution.checkpointing.interval-during-backlog", Tunes(CHECKPOINTS)),
    ("execution.checkpointing.force-unaligned", Tunes(CHECKPOINTS)),
    ("execution.checkpointing.id-of-ignored-in-flight-data", Tunes(CHECKPOINTS)),
    ("execution.checkpointing.recover-without-channel-state.*", Tunes(CHECKPOINTS)),
    ("execution.state-recovery.*", Tunes(CHECKPOINTS)),
    ("execution.buffer-timeout.enabled", Tunes("'execution.buffer-timeout' says how long rows may gather")),
    ("execution.target", Tunes(CLUSTER)),
    ("execution.attached", Tunes(CLUSTER)),
    ("execution.shutdown-on-*", Tunes(CLUSTER)),
    ("execution.submit-*", Tunes(CLUSTER)),
    ("execution.job-*", Tunes(CLUSTER)),
    ("execution.program-config.*", Tunes(CLUSTER)),
    ("execution.batch*", Tunes(MACHINE)),
    ("execution.sorted-inputs.*", Tunes(MACHINE)),
    ("execution.sort*", Tunes(MACHINE)),
    ("execution.incremental-load*", Tunes(MACHINE)),
    (
        "pipeline.max-parallelism",
        Tunes("state has 128 groups of keys, so that it restores at any parallelism up to that"),
    ),
    ("pipeline.watermark-alignment.*", Tunes("a source that is ahead waits for room, not for others")),
    ("pipeline.auto-watermark-interval", Tunes("a watermark follows every batch that moves it")),
    ("pipeline.object-reuse", Tunes(SERIALIZERS)),
    ("pipeline.serialization*", Tunes(SERIALIZERS)),
    ("pipeline.generic-types", Tunes(SERIALIZERS)),
    ("pipeline.force-*", Tunes(SERIALIZERS)),
    ("pipeline.registered-*", Tunes(SERIALIZERS)),
    ("pipeline.default-kryo-serializers", Tunes(SERIALIZERS)),
    ("pipeline.auto-type-registration", Tunes(SERIALIZERS)),
    ("pipeline.operator-chaining*", Tunes("operators between two exchanges are always one task")),
    ("pipeline.auto-generate-uids", Tunes("state is found by what an operator computes")),
    ("pipeline.jars", Tunes("there is no JVM")),
    ("pipeline.classpaths", Tunes("there is no JVM")),
    ("pipeline.cached-files", Tunes(CLUSTER)),
    ("pipeline.closure-cleaner-level", Tunes("there is no JVM")),
    ("pipeline.global-job-parameters", Tunes(MACHINE)),
    ("pipeline.jobvertex-parallelism-overrides", Tunes(MACHINE)),
    ("pipeline.vertex-description*", Tunes(MACHINE)),
    ("pipeline.fixed-job-id", Tunes("jobs are found by their name")),
    ("table.optimizer.*", Tunes(OPTIMIZER)),
    (
        "table.exec.sink.upsert-materialize",
        Tunes("the planner puts the rows of a key in order where it must"),
    ),
    ("table.exec.sink.keyed-shuffle", Tunes("rows of a key go to a sink in their order")),
    (
        "table.exec.sink.nested-constraint-enforcer",
        Only(
            &["IGNORE"],
            "NOT NULL of nested fields is not checked; filter by the field: WHERE r.x IS NOT NULL",
        ),
    ),
    ("table.exec.disabled-operators", Tunes(OPTIMIZER)),
    ("table.exec.spill-compression.*", Tunes(STATE)),
    ("table.exec.sort.*", Tunes(MACHINE)),
    (
        "table.exec.async-ml-predict.*",
        Tunes("ML_PREDICT has the options of lookups: capacity, timeout, retries"),
    ),
    ("table.exec.async-vector-search.*", Tunes(MACHINE)),
    ("table.exec.async-table.*", Tunes("functions have options of their own: timeout, retries, capacity")),
    ("table.exec.resource.*", Tunes(STATE)),
    (
        "table.exec.sink.require-on-conflict",
        Tunes(
            "a query whose key is not the sink's is put in order, with a warning; ON CONFLICT says what else",
        ),
    ),
    ("table.exec.sink.upsert-materialize-strategy.*", Tunes(STATE)),
    ("table.secret-store.*", Tunes("secrets come from the environment: ${NAME}")),
    ("execution.async-state.*", Tunes(STATE)),
    ("execution.checkpointing.during-recovery.*", Tunes(CHECKPOINTS)),
    ("execution.terminate-*", Tunes(CLUSTER)),
    ("pipeline.sources.*", Tunes(MACHINE)),
    ("pipeline.vertex-name-*", Tunes(MACHINE)),
    ("pipeline.cep.*", Tunes(STATE)),
    ("task.*", Tunes(MACHINE)),
    ("slow-task-detector.*", Tunes(CLUSTER)),
    ("jobstore.*", Tunes(CLUSTER)),
    ("job-result-store.*", Tunes(CLUSTER)),
    ("application-result-store.*", Tunes(CLUSTER)),
    ("completed-application-store.*", Tunes(CLUSTER)),
    ("materialized-table.*", Tunes(CLUSTER)),
    ("minicluster.*", Tunes(CLUSTER)),
    ("process.*", Tunes(CLUSTER)),
    ("plugin.*", Tunes("there is no JVM")),
    ("source.reader.*", Tunes(MACHINE)),
    ("sink.committer.*", Tunes("a commit is tried again until it succeeds or the job may not go on")),
    ("shuffle-service-factory.class", Tunes(CLUSTER)),
    ("external-resources", Tunes(CLUSTER)),
    ("jmx.*", Tunes("there is no JVM")),
    ("table.exec.window-agg.buffer-size-limit", Tunes(STATE)),
    ("table.exec.operator-fusion-codegen.enabled", Tunes(MACHINE)),
    ("table.exec.local-hash-agg.*", Tunes(MACHINE)),
    ("table.exec.simplify-operator-name-enabled", Tunes(MACHINE)),
    ("table.exec.uid.*", Tunes("state is found by what an operator computes")),
    ("table.exec.legacy-transformation-uids", Tunes("state is found by what an operator computes")),
    ("table.exec.async-agg.*", Tunes(MACHINE)),
    ("table.exec.async-state.*", Tunes(STATE)),
    (
        "table.exec.async-lookup.key-ordered-enabled",
        Tunes("on changing input rows of a key keep their order"),
    ),
    ("table.exec.deduplicate.*", Tunes(MACHINE)),
    ("table.exec.interval-join.min-cleanup-interval", Tunes(STATE)),
    ("table.exec.rank.topn-cache-size", Tunes(STATE)),
    ("table.exec.shuffle-mode", Tunes(MACHINE)),
    ("table.exec.unbounded-over.version", Tunes(MACHINE)),
    ("table.exec.replicate-single-partition-sources-*", Tunes(MACHINE)),
    ("table.exec.delta-join.*", Tunes(MACHINE)),
    ("table.generated-code.*", Tunes("no code is generated")),
    ("table.plan.*", Tunes(MACHINE)),
    ("table.rtas-ctas.atomicity-enabled", Tunes("a table is there before its rows")),
    ("table.display.max-column-width", Tunes(CLIENT)),
    ("table.resources.download-dir", Tunes("there is no JVM")),
    ("table.catalog-modification.listeners", Tunes(CLUSTER)),
    ("table.catalog-store.*", Tunes("tables live as long as the session")),
    ("table.module.*", Tunes("there is one set of functions")),
    ("sql-client.*", Tunes(CLIENT)),
    ("sql-gateway.*", Tunes(CLIENT)),
    ("client.*", Tunes(CLIENT)),
    ("python.*", Tunes("functions in Python have options of their own: python, workers, env, memory-limit")),
    ("taskmanager.*", Tunes(CLUSTER)),
    ("jobmanager.*", Tunes(CLUSTER)),
    ("resourcemanager.*", Tunes(CLUSTER)),
    ("slotmanager.*", Tunes(CLUSTER)),
    ("slot.*", Tunes(CLUSTER)),
    ("scheduler-mode", Tunes(CLUSTER)),
    ("job.*", Tunes(CLUSTER)),
    ("job-event.*", Tunes(CLUSTER)),
    ("cluster.*", Tunes(CLUSTER)),
    ("rest.*", Tunes(CLUSTER)),
    ("web.*", Tunes(CLUSTER)),
    ("high-availability", Tunes(CLUSTER)),
    ("high-availability*", Tunes(CLUSTER)),
    ("heartbeat.*", Tunes(CLUSTER)),
    ("akka.*", Tunes(CLUSTER)),
    ("pekko.*", Tunes(CLUSTER)),
    ("blob.*", Tunes(CLUSTER)),
    ("metrics.*", Tunes(MACHINE)),
    ("traces.*", Tunes(MACHINE)),
    ("events.*", Tunes(MACHINE)),
    ("env.*", Tunes("there is no JVM")),
    ("classloader.*", Tunes("there is no JVM")),
    ("yarn.*", Tunes(CLUSTER)),
    ("kubernetes.*", Tunes(CLUSTER)),
    ("zookeeper.*", Tunes(CLUSTER)),
    ("historyserver.*", Tunes(CLUSTER)),
    ("security.*", Tunes(CLUSTER)),
    ("queryable-state.*", Tunes(STATE)),
    ("cleanup-strategy.*", Tunes(CLUSTER)),
    ("compiler.*", Tunes(OPTIMIZER)),
    ("optimizer.*", Tunes(OPTIMIZER)),
    ("io.tmp.dirs", Tunes(STATE)),
    ("fs.*", Tunes(MACHINE)),
    ("deployment.*", Tunes(CLUSTER)),
    ("user.*", Tunes(MACHINE)),
    ("flink.*", Tunes(MACHINE)),
];

/// What a key is that is none of ours; `None` when it is not of Flink either.
pub fn known(key: &str) -> Option<Flink> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(prefix) => key.len() > prefix.len() && key.starts_with(prefix),
        None => pattern == key,
    };
    KNOWN.iter().find(|(pattern, _)| fits(pattern)).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_flink_are_known() {
        assert_eq!(known("state.backend.type"), Some(Tunes(STATE)));
        assert_eq!(known("taskmanager.numberOfTaskSlots"), Some(Tunes(CLUSTER)));
        assert!(matches!(known("table.exec.emit.early-fire.enabled"), Some(Only(["false"], _))));
        assert_eq!(known("tabel.exec.state.ttl"), None);
    }
}
