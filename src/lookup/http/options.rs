//! Options of `'connector' = 'http'`, checked and resolved.
//!
//! They are resolved at CREATE TABLE, to find mistakes, and again when a query uses the table. Secrets among them are
//! collected, so that messages leave them out.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::body_template::BodyTemplate;
use super::key_headers::KeyHeader;
use super::oauth::{OauthConfig, URL as TOKEN_URL};
use super::paging::WAYS;
use super::secret::{Environment, Secrets, expand_secret, is_sensitive_name};
use super::status::StatusCodes;
use super::text_answer::format_of;
use super::url_template::UrlTemplate;
use crate::catalog::options::{OptionDef, OptionKind};
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::lookup::aws::{Credentials, Signer};

use OptionKind::{Bool, Choice, Duration as Time, Integer, Size, Text};

const HEADER: &str = "http.source.lookup.header.";
pub(super) const SINK_HEADER: &str = "http.sink.header.";
const CREATORS: &[&str] = &["http-generic-get-query", "http-generic-json-query", "http-generic-json-url"];

macro_rules! options {
    ($($key:literal, $kind:expr, $default:literal, $doc:literal;)*) => {
        &[$(OptionDef::new($key, $kind, $default, $doc)),*]
    };
}

/// Options of the connector. Keys are those of Flink's HTTP connector, where it has one.
pub const OPTIONS: &[OptionDef] = options! {
    "url", Text, "", "where to ask; {column} is replaced by the percent-encoded key, keys without a place become query parameters";
    "http.request.url-map", Text, "", "column:insert,...: which column goes into which {{insert}} of the url";
    "lookup-method", Choice(&["GET", "POST", "PUT"]), "GET", "method of the request";
    "http.request.body-template", Text, "", "JSON body of POST and PUT with {{column}} in it; default: the object of the key columns";
    "lookup-request.format", Choice(&["json"]), "json", "format of a generated body";
    "http.request.batch-size", Integer, "1", "keys one POST or PUT carries, as a JSON array or at {{keys}} of the template; rows of the answer are told apart by their key columns";
    "asyncPolling", Bool, "true", "Flink's name of 'async'";
    "http.source.lookup.query-creator", Choice(CREATORS), "", "Flink's name of how the request is made; only checked, the url and the template already say it";
    "http.source.lookup.header.*", Text, "", "a header; ${NAME} is taken from the environment; Authorization takes user:password, too";
    "http.source.lookup.use-raw-authorization-header", Bool, "false", "send Authorization exactly as it is written";
    "http.source.lookup.request.timeout", Time, "30 s", "of one attempt, from the request to the end of the answer";
    "http.source.lookup.connection.timeout", Time, "10 s", "of connecting";
    "http.source.lookup.http-version", Choice(&["HTTP_1_1", "HTTP_2"]), "", "default: what the endpoint offers, HTTP/1.1 without TLS";
    "http.source.lookup.max-connections", Integer, "0", "requests in flight at once per endpoint and process, each with a connection of its own under HTTP/1.1; 0: as needed";
    "http.source.lookup.request.thread-pool.size", Integer, "", "Flink's bound of requests in flight; holds unless max-connections is given";
    "http.source.lookup.response.thread-pool.size", Integer, "", "Flink's threads for answers; nothing waits in a thread here";
    "http.source.lookup.max-response-size", Size, "16 mb", "a larger answer (after decompression) is an error";
    "http.source.lookup.success-codes", Text, "2XX", "statuses whose body is decoded, such as 2XX,404,!203";
    "http.source.lookup.retry-codes", Text, "429,500,502,503,504", "statuses that are tried again";
    "http.source.lookup.ignored-response-codes", Text, "404", "statuses that are a miss";
    "http.source.lookup.result-type", Choice(&["single-value", "array"]), "", "what the body holds; default: found out";
    "http.source.lookup.result-pointer", Text, "", "JSON pointer (RFC 6901) to the row or rows, such as /data/items";
    "http.source.scan.url", Text, "", "where all rows are listed, for SELECT without a join and 'lookup.cache' = 'FULL'; default: the url, where it has no place for a key";
    "http.source.paging", Choice(WAYS), "", "how an answer of several pages goes on; default: a table that is read whole follows the Link header, an answer for one key is one page";
    "http.source.paging.parameter", Text, "", "query parameter of the next page; default: page, offset or cursor";
    "http.source.paging.next-pointer", Text, "", "cursor: JSON pointer to the next cursor, or the next URL, in the body, such as /meta/next";
    "http.source.paging.first", Integer, "1", "page-number: number of the first page";
    "http.source.paging.size", Integer, "", "page-number, offset: rows of a page; a shorter page is the last one";
    "http.source.paging.size-parameter", Text, "", "query parameter that asks for pages of that size, such as per_page";
    "http.source.paging.max-pages", Integer, "10000", "more pages are an error";
    "http.source.lookup.continue-on-error", Bool, "false", "Flink's name of 'lookup.on-error' = 'null'; only false is taken";
    "http.source.lookup.proxy.host", Text, "", "proxy; default: HTTP_PROXY and its like, none for this machine";
    "http.source.lookup.proxy.port", Integer, "", "port of the proxy";
    "http.source.lookup.proxy.username", Text, "", "user name for the proxy";
    "http.source.lookup.proxy.password", Text, "", "password for the proxy; ${NAME} is taken from the environment";
    "http.source.lookup.cache-control", Bool, "false", "take lifetimes from Cache-Control and Expires, and ask with ETag or Last-Modified whether an answer has changed (GET)";
    "http.source.lookup.redirects", Choice(&["none", "same-origin", "follow"]), "none", "redirects that a GET follows: none, those to the same scheme, host and port, or all; another origin gets none of the table's headers";
    "insert-method", Choice(&["POST", "PUT", "PATCH"]), "POST", "sink: method of the requests that carry rows";
    "sink.delete-method", Choice(&["none", "DELETE"]), "none", "sink: DELETE takes the row of the PRIMARY KEY away at its url, which has a place for each key column; none: the sink takes inserts only";
    "sink.batch.max-size", Integer, "1", "sink: rows of a request; with more than one, JSON is an array, other formats are lines";
    "sink.idempotency-key", Text, "", "sink: header Idempotency-Key: request (a UUID, the same over retries) or columns such as {id}-{version} (the same over restarts, too)";
    "http.sink.header.*", Text, "", "sink: a header, besides those of lookups; ${NAME} is taken from the environment, {column} from the row";
    "http.security.oidc.token.endpoint.url", Text, "", "where an OAuth 2.0 token is asked for (client credentials); it is sent as Authorization and renewed in time";
    "http.security.oidc.token.request", Text, "", "the form of that request, such as grant_type=client_credentials&client_id=me&client_secret=${SECRET}";
    "http.security.oidc.token.expiry.reduction", Time, "1 s", "how long before its end a token is renewed";
    "http.security.aws.service", Text, "", "sign requests for this AWS service (signature version 4), such as execute-api";
    "http.security.aws.region", Text, "", "region of the signature; default: AWS_REGION or AWS_DEFAULT_REGION";
    "http.security.aws.access-key", Text, "", "default: AWS_ACCESS_KEY_ID";
    "http.security.aws.secret-key", Text, "", "default: AWS_SECRET_ACCESS_KEY; ${NAME} is taken from the environment";
    "http.security.aws.session-token", Text, "", "of temporary credentials; default: AWS_SESSION_TOKEN, where the keys are from the environment";
    "http.security.cert.server", Text, "", "PEM file of the authorities to trust, instead of the machine's";
    "http.security.cert.server.allowSelfSigned", Bool, "false", "accept any certificate: certificates are not checked at all";
    "http.security.cert.client", Text, "", "PEM file of the client's certificate";
    "http.security.key.client", Text, "", "PEM file of the client's private key";
};

/// What the body of an answer must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResultType {
    SingleValue,
    Array,
}

/// Which redirects are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Redirects {
    None,
    SameOrigin,
    Follow,
}

/// The proxy of a table.
#[derive(Clone)]
pub(super) struct ProxyConfig {
    pub(super) address: String,
    pub(super) login: Option<(String, String)>,
}

/// The options of one table, resolved.
pub struct HttpConfig {
    pub(super) url: UrlTemplate,
    pub(super) method: Method,
    pub(super) body: Option<BodyTemplate>,
    pub(super) batch_size: usize,
    pub(super) headers: HeaderMap,
    pub(super) request_timeout: Duration,
    pub(super) connection_timeout: Duration,
    pub(super) http2: Option<bool>,
    pub(super) max_connections: usize,
    pub(super) max_response_size: usize,
    pub(super) codes: StatusCodes,
    pub(super) result_type: Option<ResultType>,
    pub(super) pointer: String,
    /// `json.ignore-parse-errors`.
    pub(super) tolerant: bool,
    pub(super) proxy: Option<ProxyConfig>,
    pub(super) trust: Option<Vec<u8>>,
    pub(super) trust_anyone: bool,
    /// Certificate and key, PEM.
    pub(super) identity: Option<Vec<u8>>,
    pub(super) secrets: Secrets,
    /// Headers with places for keys.
    pub(super) key_headers: Vec<KeyHeader>,
    /// Lifetimes are the service's.
    pub(super) cache_control: bool,
    pub(super) redirects: Redirects,
    pub(super) oauth: Option<OauthConfig>,
    pub(super) signer: Option<Signer>,
    /// Format of answers that are no JSON.
    pub(super) format: Option<Format>,
    /// Whether the query reads the headers of answers.
    pub(super) wants_headers: bool,
}

impl std::fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let headers: Vec<_> = self.headers.keys().collect();
        f.debug_struct("HttpConfig")
            .field("method", &self.method)
            .field("url", &self.url.shown())
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}

impl HttpConfig {
    /// Checks the options of a table, as CREATE TABLE does.
    pub fn check(table: &Table) -> Result<()> {
        let environment = |name: &str| std::env::var(name).ok();
        Self::resolve(table, &environment)?;
        super::collection::check(table, &environment)
    }

    /// The columns that the url and body have places for; `None` where they take whatever keys there are, and where the
    /// whole table is kept.
    pub fn key_columns(table: &Table) -> Result<Option<Vec<String>>> {
        if super::is_full(&table.options) {
            return Ok(None);
        }
        let config = Self::resolve(table, &|name| std::env::var(name).ok())?;
        let mut columns: Vec<String> = config.url.columns().map(str::to_string).collect();
        columns.extend(config.key_headers.iter().flat_map(|h| h.columns().map(str::to_string)));
        match &config.body {
            _ if config.method == Method::GET => {}
            Some(template) if !template.has_keys() => columns.extend(template.columns().map(str::to_string)),
            _ => return Ok(None),
        }
        Ok((!columns.is_empty()).then_some(columns))
    }

    /// Reads the options of a table.
    pub(super) fn resolve(table: &Table, environment: Environment<'_>) -> Result<Self> {
        let options = &table.options;
        let in_option = |key: &'static str| {
            move |e: Error| match e.message().contains(key) {
                true => e.at(options.span(key)),
                false => e.context(format!("option '{key}'")).at(options.span(key)),
            }
        };
        let physical = crate::lookup::nested::paths(table);
        let physical: Vec<&str> = physical.iter().map(String::as_str).collect();
        let mut secrets = Secrets::default();
        refuse(options)?;

        let format = format_of(options)?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let (own, key_headers) = own_headers(options, HEADER, &physical, environment, &mut secrets)?;
        headers.extend(own);
        if format.is_some() {
            headers.insert(ACCEPT, HeaderValue::from_static("text/csv, text/plain;q=0.9, */*;q=0.8"));
        }
        let oauth = OauthConfig::resolve(options, environment, &mut secrets)?;
        let signer = signer(options, environment, &mut secrets)?;
        if oauth.is_some() && (signer.is_some() || headers.contains_key(AUTHORIZATION)) {
            return Err(Error::option(format!(
                "option '{TOKEN_URL}': there is another Authorization already"
            ))
            .at(options.span(TOKEN_URL)));
        }
        let inserts = url_map(options.text("http.request.url-map").unwrap_or_default())
            .map_err(in_option("http.request.url-map"))?;
        let url = UrlTemplate::parse(options.required("url")?, &inserts, environment, &mut secrets)
            .map_err(in_option("url"))?;
        for column in url.columns().chain(inserts.values().map(String::as_str)) {
            if !physical.contains(&column) {
                let error =
                    Error::option(format!("option 'url': table '{}' has no column '{column}'", table.name))
                        .at(options.span("url"));
                return Err(match crate::nearest::nearest(column, physical.iter().copied()) {
                    Some(near) => error.with_hint(format!("did you mean '{{{near}}}'?")),
                    None => error.with_hint(
                        "a place in the url is named after a column, or mapped by 'http.request.url-map'",
                    ),
                });
            }
        }
        let method = match options.choice("lookup-method", &["GET", "POST", "PUT"])?.unwrap_or("GET") {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            _ => Method::GET,
        };
        let body = options
            .text("http.request.body-template")
            .map(|text| BodyTemplate::parse(text, &physical, environment, &mut secrets))
            .transpose()
            .map_err(in_option("http.request.body-template"))?;
        if body.is_some() && method == Method::GET {
            return Err(Error::option("option 'http.request.body-template' needs a method with a body")
                .at(options.span("http.request.body-template"))
                .with_hint("set 'lookup-method' = 'POST'"));
        }
        let batch_size = match positive(options, "lookup.batch.max-size")? {
            Some(size) => size,
            None => positive(options, "http.request.batch-size")?.unwrap_or(1),
        };
        let result_type =
            match options.choice("http.source.lookup.result-type", &["single-value", "array"])? {
                Some("array") => Some(ResultType::Array),
                Some(_) => Some(ResultType::SingleValue),
                None => None,
            };
        check_batch(batch_size, &method, &url, body.as_ref(), result_type)
            .map_err(in_option("http.request.batch-size"))?;
        if batch_size > 1 && (!key_headers.is_empty() || matches!(format, Some(Format::Raw))) {
            let what = if key_headers.is_empty() { "a 'raw' answer" } else { "a header" };
            return Err(Error::option(format!("{what} has a place for one key only"))
                .with_hint("leave 'lookup.batch.max-size' and 'http.request.batch-size' out"));
        }
        check_creator(options, &method, &url, body.as_ref())
            .map_err(in_option("http.source.lookup.query-creator"))?;
        let codes = StatusCodes::new(
            options.text("http.source.lookup.success-codes").unwrap_or("2XX"),
            options.text("http.source.lookup.retry-codes").unwrap_or("429,500,502,503,504"),
            options.text("http.source.lookup.ignored-response-codes"),
        )?;
        let max_connections = match options.integer("http.source.lookup.max-connections")? {
            Some(n) => n as usize,
            None => positive(options, "http.source.lookup.request.thread-pool.size")?.unwrap_or(0),
        };
        let file = |key: &'static str| {
            options
                .text(key)
                .map(|path| {
                    std::fs::read(Path::new(path)).map_err(|e| {
                        Error::option(format!("option '{key}': '{path}' cannot be read: {e}"))
                            .at(options.span(key))
                    })
                })
                .transpose()
        };
        let identity = match (file("http.security.cert.client")?, file("http.security.key.client")?) {
            (Some(mut certificate), Some(key)) => {
                certificate.push(b'\n');
                certificate.extend(key);
                Some(certificate)
            }
            (None, None) => None,
            _ => {
                return Err(Error::option(
                    "options 'http.security.cert.client' and 'http.security.key.client' belong together",
                ));
            }
        };
        Ok(Self {
            method,
            body,
            batch_size,
            headers,
            request_timeout: duration(options, "http.source.lookup.request.timeout", 30)?,
            connection_timeout: duration(options, "http.source.lookup.connection.timeout", 10)?,
            http2: options
                .choice("http.source.lookup.http-version", &["HTTP_1_1", "HTTP_2"])?
                .map(|version| version == "HTTP_2"),
            max_connections,
            max_response_size: usize::try_from(
                options.size("http.source.lookup.max-response-size")?.unwrap_or(16 << 20),
            )
            .unwrap_or(usize::MAX),
            codes,
            result_type,
            pointer: pointer(options).map_err(in_option("http.source.lookup.result-pointer"))?,
            tolerant: options.bool("json.ignore-parse-errors")?.unwrap_or(false),
            proxy: proxy(options, environment, &mut secrets)?,
            trust: file("http.security.cert.server")?,
            trust_anyone: options.bool("http.security.cert.server.allowSelfSigned")?.unwrap_or(false),
            identity,
            url,
            key_headers,
            cache_control: options.bool("http.source.lookup.cache-control")?.unwrap_or(false),
            redirects: match options
                .choice("http.source.lookup.redirects", &["none", "same-origin", "follow"])?
            {
                Some("same-origin") => Redirects::SameOrigin,
                Some("follow") => Redirects::Follow,
                _ => Redirects::None,
            },
            oauth,
            signer,
            format,
            secrets,
            wants_headers: false,
        })
    }
}

/// What has a known option but no meaning here, and contradictions.
fn refuse(options: &Options) -> Result<()> {
    let key = "http.source.lookup.continue-on-error";
    if options.bool(key)?.unwrap_or(false) {
        return Err(Error::unsupported(format!("option '{key}' = 'true' is not supported"))
            .at(options.span(key))
            .with_hint("'lookup.on-error' = 'null' lets an error look like a miss, counts it and keeps it out of the cache"));
    }
    if let (Some(ours), Some(flinks)) = (options.bool("async")?, options.bool("asyncPolling")?)
        && ours != flinks
    {
        return Err(Error::option("options 'async' and 'asyncPolling' contradict each other")
            .at(options.span("asyncPolling"))
            .with_hint("leave one of them out"));
    }
    Ok(())
}

fn duration(options: &Options, key: &'static str, default_seconds: u64) -> Result<Duration> {
    match options.duration(key)? {
        Some(Duration::ZERO) => {
            Err(Error::option(format!("option '{key}' must be longer than 0")).at(options.span(key)))
        }
        Some(duration) => Ok(duration),
        None => Ok(Duration::from_secs(default_seconds)),
    }
}

fn positive(options: &Options, key: &'static str) -> Result<Option<usize>> {
    match options.integer(key)? {
        Some(0) => Err(Error::option(format!("option '{key}' must be at least 1")).at(options.span(key))),
        n => Ok(n.map(|n| n as usize)),
    }
}

/// `column:insert,...` as insert → column.
fn url_map(text: &str) -> Result<BTreeMap<String, String>> {
    let mut map = BTreeMap::new();
    for pair in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let Some((column, insert)) = pair.split_once(':') else {
            return Err(Error::option(format!("'{pair}' is not column:insert")));
        };
        if map.insert(insert.trim().to_string(), column.trim().to_string()).is_some() {
            return Err(Error::option(format!("insert '{}' is given twice", insert.trim())));
        }
    }
    Ok(map)
}

/// The headers that are always the same, and those that carry keys.
pub(super) fn own_headers(
    options: &Options,
    prefix: &str,
    columns: &[&str],
    environment: Environment<'_>,
    secrets: &mut Secrets,
) -> Result<(HeaderMap, Vec<KeyHeader>)> {
    let raw = options.bool("http.source.lookup.use-raw-authorization-header")?.unwrap_or(false);
    let (mut headers, mut key_headers) = (HeaderMap::new(), Vec::new());
    for (name, text) in options.with_prefix(prefix) {
        let key = format!("{prefix}{name}");
        let wrong =
            |message: &str| Error::option(format!("option '{key}': {message}")).at(options.span(&key));
        let header = HeaderName::try_from(name).map_err(|_| wrong("this is not a name of a header"))?;
        if let Some(with_key) = KeyHeader::parse(&header, text, columns) {
            if text.contains("${") {
                return Err(wrong("a header carries a key or a variable, not both"));
            }
            key_headers.push(with_key);
            continue;
        }
        let mut value = expand_secret(text, environment, secrets)
            .map_err(|e| e.context(format!("option '{key}'")).at(options.span(&key)))?;
        if header == AUTHORIZATION && !raw {
            value = authorization(&value, secrets).ok_or_else(|| {
                wrong("there is neither a scheme nor user:password")
                    .with_hint("write 'Bearer ${TOKEN}' or 'user:${PASSWORD}', or set 'http.source.lookup.use-raw-authorization-header' = 'true'")
            })?;
        }
        if is_sensitive_name(name) {
            secrets.add(&value);
            if let Some((_, credentials)) = value.split_once(' ') {
                secrets.add(credentials);
            }
        }
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| wrong("the value holds characters that a header cannot carry"))?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok((headers, key_headers))
}

/// Who signs requests to AWS; keys are those of the table, or of the environment.
fn signer(options: &Options, environment: Environment<'_>, secrets: &mut Secrets) -> Result<Option<Signer>> {
    const SERVICE: &str = "http.security.aws.service";
    let key = |name: &str| format!("http.security.aws.{name}");
    let Some(service) = options.text(SERVICE) else {
        let other = ["region", "access-key", "secret-key", "session-token"];
        return match other.into_iter().find(|name| options.contains(&key(name))) {
            Some(name) => Err(Error::option(format!("option '{}' needs '{SERVICE}'", key(name)))
                .at(options.span(&key(name)))),
            None => Ok(None),
        };
    };
    let missing = |what: &str, variable: &str| {
        Error::option(format!("option '{SERVICE}': requests are signed, and there is no {what}"))
            .with_hint(format!("set '{}', or export {variable}", key(what)))
            .at(options.span(SERVICE))
    };
    let region = options.text(&key("region")).map(str::to_string);
    let region = region.or_else(|| environment("AWS_REGION")).or_else(|| environment("AWS_DEFAULT_REGION"));
    let region = region.ok_or_else(|| missing("region", "AWS_REGION"))?;
    let mut own = |name: &str| {
        options.text(&key(name)).map(|text| expand_secret(text, environment, secrets)).transpose()
    };
    let (access, secret, token) = (own("access-key")?, own("secret-key")?, own("session-token")?);
    let from_table = access.is_some();
    let access = access.or_else(|| environment("AWS_ACCESS_KEY_ID"));
    let access_key = access.ok_or_else(|| missing("access-key", "AWS_ACCESS_KEY_ID"))?;
    let secret = secret.or_else(|| environment("AWS_SECRET_ACCESS_KEY").filter(|_| !from_table));
    let secret_key = secret.ok_or_else(|| missing("secret-key", "AWS_SECRET_ACCESS_KEY"))?;
    let session_token = token.or_else(|| environment("AWS_SESSION_TOKEN").filter(|_| !from_table));
    secrets.add(&secret_key);
    if let Some(token) = &session_token {
        secrets.add(token);
    }
    let credentials = Credentials { access_key, secret_key, session_token };
    Ok(Some(Signer { credentials, region, service: service.to_string() }))
}

/// `user:password` becomes Basic (RFC 7617); what has a scheme stays.
fn authorization(value: &str, secrets: &mut Secrets) -> Option<String> {
    let has_scheme = value.split_once(' ').is_some_and(|(scheme, rest)| {
        !rest.trim().is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    });
    if has_scheme {
        return Some(value.to_string());
    }
    let (_, password) = value.split_once(':')?;
    secrets.add(password);
    secrets.add(value);
    Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(value)))
}

/// RFC 6901; a lone `/` is the whole body, as an empty pointer is.
fn pointer(options: &Options) -> Result<String> {
    match options.text("http.source.lookup.result-pointer").unwrap_or_default() {
        "/" => Ok(String::new()),
        text if text.is_empty() || text.starts_with('/') => Ok(text.to_string()),
        text => {
            Err(Error::option(format!("'{text}' is not a JSON pointer"))
                .with_hint(format!("write '/{text}'")))
        }
    }
}

fn proxy(
    options: &Options,
    environment: Environment<'_>,
    secrets: &mut Secrets,
) -> Result<Option<ProxyConfig>> {
    let key = |name: &str| format!("http.source.lookup.proxy.{name}");
    let Some(host) = options.text(&key("host")) else {
        let given = ["port", "username", "password"].into_iter().find(|n| options.contains(&key(n)));
        return match given {
            Some(name) => Err(Error::option(format!("option '{}' needs '{}'", key(name), key("host")))
                .at(options.span(&key(name)))),
            None => Ok(None),
        };
    };
    let port = options
        .integer(&key("port"))?
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0)
        .ok_or_else(|| {
            Error::option(format!("option '{}' must be a port from 1 to 65535", key("port")))
                .at(options.span(&key("host")))
        })?;
    let login = match (options.text(&key("username")), options.text(&key("password"))) {
        (Some(user), Some(password)) => {
            let user = expand_secret(user, environment, secrets)?;
            let password = expand_secret(password, environment, secrets)?;
            secrets.add(&password);
            Some((user, password))
        }
        (None, None) => None,
        _ => {
            return Err(Error::option(format!(
                "options '{}' and '{}' belong together",
                key("username"),
                key("password")
            )));
        }
    };
    let scheme = if host.contains("://") { "" } else { "http://" };
    Ok(Some(ProxyConfig { address: format!("{scheme}{host}:{port}"), login }))
}

fn check_batch(
    batch_size: usize,
    method: &Method,
    url: &UrlTemplate,
    body: Option<&BodyTemplate>,
    result_type: Option<ResultType>,
) -> Result<()> {
    let has_keys = body.is_none_or(BodyTemplate::has_keys);
    if body.is_some_and(|b| b.has_keys() && b.columns().next().is_some()) {
        return Err(Error::option("'http.request.body-template' holds both {{keys}} and a single column")
            .with_hint("{{keys}} already carries every key column"));
    }
    if batch_size == 1 {
        return Ok(());
    }
    let error = if *method == Method::GET {
        // Of one column, in the query: ids=a,b,c.
        if url.columns().count() > 1 || !url.lists_keys() {
            Error::option("a GET has a place for many keys of one column, in the query of the url only")
                .with_hint("write ...?ids={column}, or set 'lookup-method' = 'POST'")
        } else if result_type == Some(ResultType::SingleValue) {
            Error::option("'http.source.lookup.result-type' = 'single-value' answers one key only")
        } else {
            return Ok(());
        }
    } else if url.columns().next().is_some() {
        Error::option("the url has a place for one key only").with_hint("leave the keys to the body")
    } else if !has_keys {
        Error::option("'http.request.body-template' has no place for many keys")
            .with_hint("write {{keys}} where the array of keys belongs")
    } else if result_type == Some(ResultType::SingleValue) {
        Error::option("'http.source.lookup.result-type' = 'single-value' answers one key only")
    } else {
        return Ok(());
    };
    Err(error)
}

/// Flink's query creators say what our url and template already say; one that says something else is refused.
fn check_creator(
    options: &Options,
    method: &Method,
    url: &UrlTemplate,
    body: Option<&BodyTemplate>,
) -> Result<()> {
    let Some(creator) = options.choice("http.source.lookup.query-creator", CREATORS)? else {
        return Ok(());
    };
    let has_place = url.columns().next().is_some();
    let (fits, hint) = match creator {
        "http-generic-get-query" => {
            (*method == Method::GET && !has_place, "it sends keys as query parameters of a GET")
        }
        "http-generic-json-query" => (
            *method != Method::GET && !has_place && body.is_none(),
            "it sends the object of the keys as body of a POST or PUT",
        ),
        _ => (has_place || body.is_some(), "it fills the url or 'http.request.body-template'"),
    };
    if fits {
        return Ok(());
    }
    Err(Error::option(format!("'{creator}' does not fit the other options")).with_hint(hint))
}
