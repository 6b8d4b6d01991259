//! Lookup tables: `http` and `jdbc` as Flink's connectors have them.

use super::export::Request;
use super::options::{Entry, Mapped, literal, lookup_entry, lost_entry};
use crate::catalog::Table;
use crate::error::Span;

/// Options of both HTTP connectors, with the name and the meaning that they have here.
const SAME: &[&str] = &[
    "http.source.lookup.request.timeout",
    "http.source.lookup.connection.timeout",
    "http.source.lookup.http-version",
    "http.source.lookup.success-codes",
    "http.source.lookup.retry-codes",
    "http.source.lookup.ignored-response-codes",
    "http.source.lookup.use-raw-authorization-header",
    "http.source.lookup.request.thread-pool.size",
    "http.source.lookup.response.thread-pool.size",
    "http.source.lookup.request-callback",
    "http.source.lookup.proxy.host",
    "http.source.lookup.proxy.port",
    "http.source.lookup.proxy.username",
    "http.source.lookup.proxy.password",
    "http.security.cert.server",
    "http.security.cert.client",
    "http.security.key.client",
    "http.security.cert.server.allowSelfSigned",
    "http.security.oidc.token.request",
    "http.security.oidc.token.endpoint.url",
    "http.security.oidc.token.expiry.reduction",
    "http.logging.level",
];

/// What of an HTTP lookup changes the rows that come back.
fn refused(entry: &Entry, columns: &[&str]) -> Option<(String, &'static str)> {
    let (key, value) = (entry.key.as_str(), entry.value.as_str());
    let has_key = |text: &str| columns.iter().any(|c| text.contains(&format!("{{{c}}}")));
    match key {
        "http.source.lookup.result-pointer" if !matches!(value, "" | "/") => Some((
            format!("Flink's connector takes the whole answer, and not what is at '{value}'"),
            "declare the columns as they are nested: data ROW<...>",
        )),
        "http.source.paging" if value != "none" => {
            Some(("Flink's connector reads the first page alone".to_string(), "ask for one key a request"))
        }
        "http.security.aws.service" => Some((
            "Flink's connector does not sign requests to AWS".to_string(),
            "put a gateway that signs in front of the service",
        )),
        key if key.starts_with("http.source.lookup.header.") && has_key(value) => Some((
            format!("option '{key}': headers of Flink's connector are the same for all rows"),
            "carry the key in the url or in the body",
        )),
        "format" if value != "json" => Some((
            format!("answers in '{value}' are not read the same there"),
            "let the service answer with JSON",
        )),
        _ => None,
    }
}

/// `'connector' = 'http'`.
pub(super) fn http(
    table: &Table,
    entries: &[&Entry],
    request: &Request<'_>,
    is_like: bool,
    out: &mut Mapped,
) {
    let name = request.target.connectors.http();
    let is_apache = name == "http";
    let place = entries.first().map(|e| e.span).unwrap_or_default();
    out.needs.push(("connector", name.to_string(), None));
    if !is_like {
        out.set("connector", literal(name));
    }
    // The older connector has its own prefix.
    let prefixed = |key: &str| match !is_apache && key.starts_with("http.") {
        true => format!("gid.connector.{key}"),
        false => key.to_string(),
    };
    let columns: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    let text = |key: &str| entries.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let flinks_map = text("http.request.url-map");
    let mut places: Vec<String> = Vec::new();
    let mut is_async = true;
    for entry in entries {
        let key = entry.key.as_str();
        if let Some((why, hint)) = refused(entry, &columns) {
            out.refuse(why, hint, entry.span);
            continue;
        }
        match key {
            "url" => {
                let (url, found) = url(&entry.literal, &columns, is_apache, flinks_map.is_some());
                places = found;
                out.set("url", url);
            }
            "format" | "lookup-method" => out.keep(entry),
            "http.request.url-map" => out.set(&prefixed(key), entry.literal.clone()),
            "http.request.body-template" => {
                if entry.value.contains("{{keys}}") {
                    out.refuse(
                        "Flink's connector asks for one key a request, and the body has a list of keys",
                        "give the service a request for one key: 'url' = 'http://host/sensors/{id}'",
                        entry.span,
                    );
                } else if !is_apache {
                    out.refuse(
                        "'rest-lookup' has no 'http.request.body-template'",
                        "Apache's flink-connector-http has it: --connectors http",
                        entry.span,
                    );
                } else {
                    out.keep(entry);
                }
            }
            "http.request.batch-size" => {
                if entry.value.trim() != "1" {
                    lost_entry(entry, out);
                }
            }
            "async" | "asyncPolling" => is_async = !entry.value.eq_ignore_ascii_case("false"),
            "http.source.lookup.max-connections" => {
                out.set(&prefixed("http.source.lookup.request.thread-pool.size"), entry.literal.clone());
                out.how(
                    "'http.source.lookup.max-connections' becomes the size of a thread pool, for each task",
                    entry.span,
                );
            }
            "http.source.lookup.query-creator" => {}
            "http.source.lookup.result-type" => {
                out.set(&prefixed(key), entry.literal.clone());
                if entry.value.eq_ignore_ascii_case("array") {
                    out.lost(
                        "of several rows for a key Flink's connector returns only the first",
                        entry.span,
                    );
                }
            }
            "lookup.on-error" if entry.value.eq_ignore_ascii_case("null") => {
                out.set(&prefixed("http.source.lookup.continue-on-error"), literal("true"));
                out.lost(
                    "'lookup.on-error' = 'null' becomes continue-on-error: errors are not counted, and a cache keeps them as \
                     misses",
                    entry.span,
                );
            }
            key if key.starts_with("http.source.lookup.header.") || SAME.contains(&key) => {
                out.set(&prefixed(key), entry.literal.clone());
            }
            _ => {
                if !lookup_entry(entry, out) {
                    lost_entry(entry, out);
                }
            }
        }
    }
    if is_like {
        return;
    }
    if out.options.iter().all(|(key, _)| key != "format") {
        out.set("format", literal("json"));
    }
    let has_body = entries.iter().any(|e| e.key == "http.request.body-template");
    let creator = prefixed("http.source.lookup.query-creator");
    let names = |apache: &str| literal(if is_apache { apache } else { apache.trim_start_matches("http-") });
    if !places.is_empty() {
        let map: Vec<String> = places.iter().map(|c| format!("{c}:{c}")).collect();
        out.set(&prefixed("http.request.url-map"), literal(&map.join(",")));
        out.set(&creator, names("http-generic-json-url"));
        out.how("the key's place in 'url' is said by 'http.request.url-map'", place);
    } else if flinks_map.is_some() || has_body {
        out.set(&creator, names("http-generic-json-url"));
    }
    out.set("asyncPolling", literal(if is_async { "true" } else { "false" }));
    // What is so here without being said, and otherwise there.
    out.or_set(&prefixed("http.source.lookup.ignored-response-codes"), "404");
    out.or_set(&prefixed("http.source.lookup.retry-codes"), "429,500,502,503,504");
    out.or_set(&prefixed("http.source.lookup.retry-strategy.type"), "exponential-delay");
    let threads = prefixed("http.source.lookup.request.thread-pool.size");
    if is_async && out.options.iter().all(|(key, _)| *key != threads) {
        out.lost(
            format!("at most 8 requests are in flight in each task, and equal keys are asked for several times; '{threads}' says how many"),
            place,
        );
    }
}

/// The url with places for keys as Flink's connector writes them, and the columns that have one.
fn url(literal: &str, columns: &[&str], is_apache: bool, has_map: bool) -> (String, Vec<String>) {
    let mut out = String::new();
    let mut found: Vec<String> = Vec::new();
    let mut rest = literal;
    while let Some(at) = rest.find('{') {
        let is_variable = rest[..at].ends_with('$');
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let doubled = rest.starts_with("{{");
        let inner = rest.trim_start_matches('{');
        let end = inner.find('}').unwrap_or(inner.len());
        let name = &inner[..end];
        let length = rest.len() - inner.len() + end + if doubled { 2 } else { 1 };
        let known = columns.contains(&name) || (doubled && has_map);
        if is_variable || !known || length > rest.len() {
            out.push('{');
            rest = &rest[1..];
            continue;
        }
        if !has_map && !found.iter().any(|f| f == name) {
            found.push(name.to_string());
        }
        out.push_str(&if is_apache { format!("{{{{{name}}}}}") } else { format!("{{{name}}}") });
        rest = &rest[length..];
    }
    out.push_str(rest);
    (out, found)
}

/// Options that Flink's JDBC connector has.
const JDBC: &[&str] = &[
    "url",
    "table-name",
    "username",
    "password",
    "driver",
    "compatible-mode",
    "connection.max-retry-timeout",
    "scan.partition.column",
    "scan.partition.num",
    "scan.partition.lower-bound",
    "scan.partition.upper-bound",
    "scan.fetch-size",
    "scan.auto-commit",
    "filter.handling.policy",
    "sink.buffer-flush.max-rows",
    "sink.buffer-flush.interval",
    "sink.max-retries",
    "sink.parallelism",
];

/// `'connector' = 'jdbc'`.
pub(super) fn jdbc(table: &Table, entries: &[&Entry], span: Span, out: &mut Mapped) {
    for entry in entries {
        let key = entry.key.as_str();
        match key {
            "url" if entry.value.starts_with("jdbc:sqlite:") => out.refuse(
                "Flink's JDBC connector does not know SQLite",
                "a file of one machine is no table of a cluster: put the rows into PostgreSQL or MySQL",
                entry.span,
            ),
            "url" if entry.value.starts_with("jdbc:mariadb:") => {
                out.set("url", entry.literal.replacen("jdbc:mariadb:", "jdbc:mysql:", 1));
                out.how("'jdbc:mariadb:' becomes 'jdbc:mysql:', which Flink's connector knows", entry.span);
            }
            "async" => {}
            "sink.delivery-guarantee" => {
                if entry.value.eq_ignore_ascii_case("exactly-once") {
                    lost_guarantee(table, entry.span, out);
                }
            }
            key if JDBC.contains(&key) => out.keep(entry),
            _ => {
                if !lookup_entry(entry, out) {
                    lost_entry(entry, out);
                }
            }
        }
    }
    if !entries.iter().any(|e| e.key == "lookup.cache") && !table.primary_key.is_empty() {
        out.how("as a lookup table it is asked by one query a row, and each task waits for it: more tasks ask more at once", span);
    }
}

fn lost_guarantee(table: &Table, span: Span, out: &mut Mapped) {
    let what = match table.primary_key.is_empty() {
        true => {
            "after a failure rows are written twice: declare a PRIMARY KEY, so that they are written over themselves"
        }
        false => "after a failure rows are written again, over themselves",
    };
    out.lost(
        format!("'sink.delivery-guarantee' = 'exactly-once': Flink's connector is at-least-once; {what}"),
        span,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_keys_in_urls() {
        let of = |text: &str, apache: bool| url(text, &["id", "kind"], apache, false);
        assert_eq!(of("'http://h/{id}'", true), ("'http://h/{{id}}'".to_string(), vec!["id".to_string()]));
        assert_eq!(of("'http://h/{id}'", false).0, "'http://h/{id}'");
        let (text, found) = of("'${API}/{kind}/{id}?x={other}&y={id}'", true);
        assert_eq!(text, "'${API}/{{kind}}/{{id}}?x={other}&y={{id}}'");
        assert_eq!(found, ["kind", "id"]);
        assert_eq!(url("'http://h/{{sensor}}'", &["id"], true, true).0, "'http://h/{{sensor}}'");
        assert_eq!(of("'http://h/{'", true).0, "'http://h/{'");
    }
}
