//! Options of tables as Flink's connectors have them.
//!
//! Each key of a table is one of: **kept** (Flink's connector has it, and it means the same), **translated** (another name,
//! another form, or a default of ours that is written out because Flink's is another one), **lost** (what follows is said)
//! or **refused** (rows would be others).

use std::path::Path;

use super::connect;
use super::export::{NoteKind, Request};
use crate::catalog::{ColumnSource, Table};
use crate::error::Span;

/// An option as it was written.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    /// With the values of variables.
    pub value: String,
    /// As it was written, in quotes.
    pub literal: String,
    pub span: Span,
}

/// Something about an option.
#[derive(Debug)]
pub(super) struct OptionNote {
    pub kind: NoteKind,
    pub text: String,
    pub hint: Option<String>,
    pub span: Span,
}

/// The options for Flink.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    /// Keys and literals.
    pub options: Vec<(String, String)>,
    pub notes: Vec<OptionNote>,
    /// Connectors and formats that must be there: what it is, its name, its place.
    pub needs: Vec<(&'static str, String, Option<Span>)>,
}

impl Mapped {
    pub fn keep(&mut self, entry: &Entry) {
        self.set(&entry.key, entry.literal.clone());
    }

    /// Sets an option, in the place of one of its name.
    pub fn set(&mut self, key: &str, literal: String) {
        match self.options.iter_mut().find(|(k, _)| k == key) {
            Some((_, value)) => *value = literal,
            None => self.options.push((key.to_string(), literal)),
        }
    }

    /// Sets an option unless it is there.
    pub fn or_set(&mut self, key: &str, value: &str) {
        if !self.options.iter().any(|(k, _)| k == key) {
            self.options.push((key.to_string(), literal(value)));
        }
    }

    pub fn how(&mut self, text: impl Into<String>, span: Span) {
        self.notes.push(OptionNote { kind: NoteKind::How, text: text.into(), hint: None, span });
    }

    pub fn lost(&mut self, text: impl Into<String>, span: Span) {
        self.notes.push(OptionNote { kind: NoteKind::Lost, text: text.into(), hint: None, span });
    }

    pub fn refuse(&mut self, text: impl Into<String>, hint: impl Into<String>, span: Span) {
        let hint = Some(hint.into());
        self.notes.push(OptionNote { kind: NoteKind::Refused, text: text.into(), hint, span });
    }
}

/// A text in quotes.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Options of models that Flink has, too.
pub(super) const MODEL: &[&str] = &[
    "provider",
    "endpoint",
    "api-key",
    "model",
    "system-prompt",
    "temperature",
    "top-p",
    "stop",
    "max-tokens",
    "dimension",
];

/// Options of PARTIAL caches that Flink has, too.
const PARTIAL: &[&str] = &[
    "lookup.cache",
    "lookup.max-retries",
    "lookup.partial-cache.max-rows",
    "lookup.partial-cache.expire-after-write",
    "lookup.partial-cache.expire-after-access",
    "lookup.partial-cache.cache-missing-key",
];

/// What follows where Flink's lookups do not have an option.
fn consequence(key: &str) -> &'static str {
    match key {
        "lookup.partial-cache.missing-key.expire-after-write" => "misses live as long as hits",
        "lookup.partial-cache.max-bytes" => {
            "the cache is bounded by rows alone: set 'lookup.partial-cache.max-rows'"
        }
        "lookup.partial-cache.stale-while-revalidate" => "a row whose key has expired waits for the answer",
        "lookup.partial-cache.stale-if-error" => {
            "a service that is down fails the job although the cache has had an answer"
        }
        "lookup.partial-cache.refresh-ahead" => {
            "a key in use is asked for when it has expired, and its row waits"
        }
        "lookup.partial-cache.jitter" => "keys that came together expire together",
        "lookup.partial-cache.persist" | "lookup.partial-cache.persist.directory" => {
            "the cache is empty after each start"
        }
        "lookup.error-ttl" => "a key that failed is asked for again at once",
        "lookup.batch.max-size" | "lookup.batch.max-wait" | "http.request.batch-size" => "one request a key",
        "lookup.rate-limit" => {
            "nothing bounds the requests per second: the service must bear the load of all tasks"
        }
        "lookup.max-in-flight" | "lookup.concurrency" => {
            "requests in flight are bounded per task, by threads, and not per endpoint"
        }
        "lookup.hedge-after" => "a slow request is waited for",
        "lookup.circuit-breaker.failure-rate" | "lookup.circuit-breaker.open-duration" => {
            "a service that is down is asked for every row until the job fails"
        }
        "lookup.miss.retry" | "lookup.miss.interval" => {
            "a row that is not found is not asked for again; the LOOKUP hint with 'retry-predicate' = 'lookup_miss' does \
             that, and takes errors for misses where lookups are asynchronous"
        }
        "lookup.dead-letter" => "a row whose lookup fails fails the job",
        "http.source.lookup.max-response-size" => "an answer may be as large as it likes",
        "http.source.lookup.cache-control" => "lifetimes are those of the cache's options alone",
        "http.source.scan.url" => "the table is looked up in, and cannot be read as a whole",
        "http.source.lookup.redirects" => "a redirect is an answer like any other",
        _ => "it has no effect there",
    }
}

/// Options of a lookup table that are those of the engine: those that `engine` keeps, and what is lost.
pub(super) fn lookup_entry(entry: &Entry, out: &mut Mapped) -> bool {
    let key = entry.key.as_str();
    let value = entry.value.to_ascii_lowercase();
    match key {
        "lookup.cache" if value == "full" => out.refuse(
            "Flink's connector has no FULL cache",
            "'lookup.cache' = 'PARTIAL' with 'lookup.partial-cache.expire-after-write'",
            entry.span,
        ),
        key if PARTIAL.contains(&key) => out.keep(entry),
        key if key.starts_with("lookup.full-cache.") => {
            out.lost(format!("option '{key}': there is no FULL cache"), entry.span);
        }
        "lookup.on-error" if value == "fail" => {
            out.how("'lookup.on-error' = 'fail' is what Flink does", entry.span)
        }
        key if key == "lookup.on-error" || key.starts_with("lookup.on-error.") => out.lost(
            format!("option '{key}' = '{value}': a lookup that fails after its retries fails the job"),
            entry.span,
        ),
        key if key.starts_with("lookup.") => {
            out.lost(format!("option '{key}': {}", consequence(key)), entry.span)
        }
        _ => return false,
    }
    true
}

/// What is lost of any other option.
pub(super) fn lost_entry(entry: &Entry, out: &mut Mapped) {
    out.lost(format!("option '{}': {}", entry.key, consequence(&entry.key)), entry.span);
}

/// Whether a key is one of these; one that ends with `*` stands for all that begin so.
fn is_one(key: &str, of: &[&str]) -> bool {
    of.iter().any(|known| match known.strip_suffix('*') {
        Some(prefix) => key.starts_with(prefix),
        None => *known == key,
    })
}

const KAFKA: &[&str] = &[
    "topic",
    "topic-pattern",
    "properties.*",
    "format",
    "key.*",
    "value.*",
    "scan.startup.*",
    "scan.bounded.*",
    "scan.topic-partition-discovery.interval",
    "scan.parallelism",
    "sink.delivery-guarantee",
    "sink.transactional-id-prefix",
    "sink.transaction-naming-strategy",
    "sink.partitioner",
    "sink.parallelism",
    "sink.buffer-flush.*",
    "scan.watermark.*",
];

const FILES: &[&str] = &[
    "path",
    "format",
    "source.monitor-interval",
    "source.path.regex-pattern",
    "partition.default-name",
    "sink.*",
    "auto-compaction",
    "compaction.*",
    "scan.watermark.*",
];

const JSON: &[&str] = &[
    "fail-on-missing-field",
    "ignore-parse-errors",
    "timestamp-format.standard",
    "map-null-key.*",
    "encode.*",
    "decode.*",
];
const CSV: &[&str] = &[
    "field-delimiter",
    "disable-quote-character",
    "quote-character",
    "allow-comments",
    "ignore-parse-errors",
    "array-element-delimiter",
    "escape-character",
    "null-literal",
    "write-bigdecimal-in-scientific-notation",
];

/// Maps the options of a table. One that takes its connector over (`LIKE`) has some options on top of it.
pub(super) fn map(table: &Table, entries: &[Entry], request: &Request<'_>, is_like: bool) -> Mapped {
    let mut out = Mapped::default();
    let own = table.options.text("connector").unwrap_or_default().to_string();
    let place = entries.iter().find(|e| e.key == "connector").map(|e| e.span);
    let span = place.unwrap_or_default();
    let rest: Vec<&Entry> = entries.iter().filter(|e| e.key != "connector").collect();
    let connector = |out: &mut Mapped, name: &str| {
        out.needs.push(("connector", name.to_string(), place));
        if !is_like {
            out.set("connector", literal(name));
        }
    };
    match own.as_str() {
        "http" => connect::http(table, &rest, request, is_like, &mut out),
        "jdbc" => {
            connector(&mut out, "jdbc");
            connect::jdbc(table, &rest, span, &mut out);
        }
        "kafka" | "upsert-kafka" => {
            connector(&mut out, &own);
            for entry in rest {
                match entry.key.as_str() {
                    "sink.semantic" => out.set("sink.delivery-guarantee", entry.literal.clone()),
                    key if is_one(key, KAFKA) => formatted(entry, &mut out),
                    _ => other(entry, &mut out),
                }
            }
        }
        "filesystem" => {
            connector(&mut out, "filesystem");
            for entry in rest {
                match entry.key.as_str() {
                    "path" => path(entry, &request.root, &mut out),
                    "source.monitor-interval" => {
                        out.keep(entry);
                        out.lost(
                            "new files are seen, and lines that are appended to a file that was read are not",
                            entry.span,
                        );
                    }
                    key if is_one(key, FILES) => formatted(entry, &mut out),
                    _ => other(entry, &mut out),
                }
            }
        }
        "datagen" => {
            connector(&mut out, "datagen");
            for entry in rest {
                match entry.key.as_str() {
                    "affluent.datagen.seed" => {
                        out.lost("option 'affluent.datagen.seed': rows are others with each run", entry.span)
                    }
                    key if is_one(
                        key,
                        &[
                            "rows-per-second",
                            "number-of-rows",
                            "fields.*",
                            "scan.parallelism",
                            "scan.watermark.*",
                        ],
                    ) =>
                    {
                        out.keep(entry)
                    }
                    _ => other(entry, &mut out),
                }
            }
        }
        "print" | "blackhole" => {
            connector(&mut out, &own);
            rest.into_iter().for_each(|entry| out.keep(entry));
        }
        "stdout" => {
            connector(&mut out, "print");
            out.how("'stdout' becomes 'print': rows go to the output of the task managers", span);
        }
        "stdin" => {
            out.refuse(
                "a cluster has no standard input",
                "write the records to a Kafka topic or to files",
                span,
            );
        }
        "nexmark" | "redis" | "mmdb" | "dynamodb" | "function" => {
            let hint = match own.as_str() {
                "nexmark" => {
                    "write its events to files by sql/nexmark/write.sql, and declare them as sql/nexmark/files.sql does"
                }
                "function" => "call the function: LATERAL TABLE(f(x))",
                "mmdb" => "put an HTTP service in front of the file",
                _ => {
                    "put an HTTP service in front of it, or keep the rows in a database: 'connector' = 'http' or 'jdbc'"
                }
            };
            out.refuse(
                format!("Flink has no tables of connector '{own}' that can be read or looked up in"),
                hint,
                span,
            );
        }
        _ => {
            connector(&mut out, &own);
            rest.into_iter().for_each(|entry| out.keep(entry));
        }
    }
    metadata(table, &own, &mut out);
    out
}

/// An option of a format or of the connector.
fn formatted(entry: &Entry, out: &mut Mapped) {
    let key = entry.key.as_str();
    if ["format", "key.format", "value.format"].contains(&key) {
        if entry.value == "protobuf" || entry.value == "protobuf-confluent" {
            out.refuse(
                format!("Flink's format '{}' takes classes of Java that protoc has made", entry.value),
                "build a jar of the messages, and declare the table in the exported file by hand",
                entry.span,
            );
        }
        out.needs.push(("format", entry.value.clone(), Some(entry.span)));
        return out.keep(entry);
    }
    format_option(entry, out);
}

fn format_option(entry: &Entry, out: &mut Mapped) {
    let key = entry.key.trim_start_matches("key.").trim_start_matches("value.");
    let Some((format, name)) = key.split_once('.') else { return out.keep(entry) };
    match (format, name) {
        ("json", "fail-on-fraction") => {
            if entry.value.eq_ignore_ascii_case("true") {
                out.lost("option 'json.fail-on-fraction': 7.9 for an INT is 7", entry.span);
            }
        }
        ("json" | "csv", "strict") => {
            if entry.value.eq_ignore_ascii_case("true") {
                out.lost(
                    format!("option '{key}': leading zeros and digits that a type has not are cut off"),
                    entry.span,
                );
            }
        }
        ("json", "changelog-field" | "changelog-mode") => out.refuse(
            format!("Flink's JSON has no option '{key}'"),
            "'format' = 'debezium-json' carries changes there and here",
            entry.span,
        ),
        ("csv", "skip-header") if entry.value.eq_ignore_ascii_case("true") => out.refuse(
            "Flink reads the header of a CSV file as a row",
            "take the first line out of the file: tail -n +2",
            entry.span,
        ),
        ("csv", "charset") if !entry.value.eq_ignore_ascii_case("utf-8") => out.refuse(
            format!("Flink reads CSV in UTF-8, and not in {}", entry.value),
            format!("iconv -f {} -t UTF-8", entry.value),
            entry.span,
        ),
        ("csv", "skip-header" | "charset") => {}
        ("csv", "write-header") => {
            if entry.value.eq_ignore_ascii_case("true") {
                out.lost("option 'csv.write-header': files have no header", entry.span);
            }
        }
        ("json", name) if !is_one(name, JSON) => lost_entry(entry, out),
        ("csv", name) if !is_one(name, CSV) => lost_entry(entry, out),
        _ => out.keep(entry),
    }
}

/// An option of no list: of a format, of what every table may have, or lost.
fn other(entry: &Entry, out: &mut Mapped) {
    match entry.key.as_str() {
        "scan.dead-letter" => out.lost(
            "option 'scan.dead-letter': a record that cannot be decoded fails the job; 'json.ignore-parse-errors' = 'true' \
             drops it",
            entry.span,
        ),
        "scan.moved-from" => out.how("'scan.moved-from' is left out: state does not move", entry.span),
        "scan.partition-assignment" => {
            out.how("'scan.partition-assignment' is left out: Flink gives partitions to its tasks", entry.span);
        }
        key if key.starts_with("affluent.") => lost_entry(entry, out),
        key if key.starts_with("lookup.") || key == "async" => {
            out.lost(format!("option '{key}': the file is read as a stream, and joined with all of its rows"), entry.span);
        }
        _ => format_option(entry, out),
    }
}

/// A path as all machines see it.
fn path(entry: &Entry, root: &Path, out: &mut Mapped) {
    let value = entry.value.as_str();
    if value.contains(['*', '?', '[']) {
        let folder =
            value.split(['*', '?', '[']).next().and_then(|p| p.rsplit_once('/')).map_or(".", |(f, _)| f);
        out.refuse(
            format!("Flink takes no pattern as a path: '{value}'"),
            format!("'path' = '{folder}', and 'source.path.regex-pattern' for the names in it"),
            entry.span,
        );
        return out.keep(entry);
    }
    if value.contains("://") || value.starts_with("${") || entry.literal.contains("${") {
        return out.keep(entry);
    }
    let full = root.join(value.trim_start_matches("./"));
    out.set("path", literal(&format!("file://{}", full.display())));
    out.how("'path' is that of this machine: each task manager must find the file there", entry.span);
}

/// Metadata columns that Flink's connector does not have.
fn metadata(table: &Table, connector: &str, out: &mut Mapped) {
    let known: &[&str] = match connector {
        "http" => &["error-string", "http-status-code", "http-headers-map"],
        "kafka" | "upsert-kafka" => {
            &["topic", "partition", "headers", "leader-epoch", "offset", "timestamp", "timestamp-type"]
        }
        "filesystem" => &["file.path", "file.name", "file.size", "file.modification-time"],
        _ => return,
    };
    for column in &table.columns {
        let ColumnSource::Metadata { key, .. } = &column.source else { continue };
        if !known.contains(&key.as_str()) && !key.starts_with("value.") {
            let hint = match connector {
                "http" => "'http-status-code' and 'error-string' are there",
                _ => "leave the column out",
            };
            out.refuse(
                format!("Flink's connector '{connector}' has no metadata '{key}'"),
                hint,
                Span::default(),
            );
        }
    }
}
