//! Object stores: one way to reach them, for checkpoints and for tables.
//!
//! | URL | store | credentials |
//! |---|---|---|
//! | `s3://bucket/path` | S3 and what speaks like it | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`, roles of machines and containers; of tables their options first |
//! | `gs://bucket/path` | Google Cloud Storage | `GOOGLE_SERVICE_ACCOUNT`, the machine's account |
//! | `az://container/path` | Azure Blob Storage | `AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ACCOUNT_KEY` |
//! | `http://`, `https://` | one file, to read | none |
//!
//! Requests run on a runtime of their own: tables are declared before there is a job. Whoever asks waits on its own
//! thread. What may pass (503, a connection that breaks) is tried again by the client, also in the middle of an
//! answer, which has to be of the same version of the object then.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig, StaticCredentialProvider,
};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, Result};

/// Schemes of URLs that name objects.
pub(crate) const SCHEMES: &[&str] = &["s3", "s3a", "gs", "az", "http", "https"];

/// A file of a web server that cannot send parts is kept in memory, up to this size.
const WHOLE: u64 = 1 << 30;

/// What a table says about how its store is reached.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Access {
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) access_key: Option<String>,
    pub(crate) secret_key: Option<String>,
    pub(crate) session_token: Option<String>,
    pub(crate) path_style: Option<bool>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// How long requests are tried.
pub(crate) fn patience() -> RetryConfig {
    RetryConfig { max_retries: 8, retry_timeout: Duration::from_secs(60), ..RetryConfig::default() }
}

/// rustls needs to be told whose cryptography it is to use.
pub(crate) fn ready_tls() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// The client of a bucket of S3, as far as all uses agree.
pub(crate) fn amazon(builder: AmazonS3Builder, bucket: &str) -> AmazonS3Builder {
    ready_tls();
    // One object at a time: not all stores can delete several.
    let builder = builder.with_bucket_name(bucket).with_retry(patience()).with_disable_bulk_delete(true);
    let endpoints = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    let endpoint = endpoints.iter().find_map(|key| builder.get_config_value(key));
    // Requests are signed, not secret: a store in the same network is often without TLS.
    match endpoint.is_some_and(|e| e.starts_with("http://")) {
        true => builder.with_allow_http(true),
        false => builder,
    }
}

/// The error without what a server sent along, which may be long and repeat the request: of an answer in XML only its
/// code is kept.
pub(crate) fn first_line(e: &object_store::Error) -> String {
    one_line(&e.to_string())
}

pub(crate) fn one_line(text: &str) -> String {
    let between = |text: &str, tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        Some(rest.split_once('<')?.0.to_string())
    };
    let code = between(text, "Code");
    let line = text.lines().next().unwrap_or_default();
    let line = line.split_once("<?xml").or_else(|| line.split_once("<Error>")).map_or(line, |(said, _)| said);
    let line = line.trim_end_matches([' ', ':']);
    // Signed URLs end with their signature.
    let mut words = line.split(' ').map(|word| match word.split_once('?') {
        Some((before, _)) if before.contains("://") => before,
        _ => word,
    });
    let first = words.next().unwrap_or_default().to_string();
    let line = words.fold(first, |text, word| text + " " + word);
    match code {
        Some(code) if !line.contains(&code) => format!("{line} ({code})"),
        _ => line,
    }
}

/// Whether a store refuses who asks.
pub(crate) fn is_refused(e: &object_store::Error) -> bool {
    match e {
        object_store::Error::Unauthenticated { .. } | object_store::Error::PermissionDenied { .. } => true,
        // Of a listing there is only the text.
        object_store::Error::Generic { .. } => {
            let text = e.to_string();
            text.contains("401 Unauthorized") || text.contains("403 Forbidden")
        }
        _ => false,
    }
}

/// What requests run on.
fn runtime() -> Result<Handle> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let make = || Builder::new_multi_thread().worker_threads(1).thread_name("objects").enable_all().build();
    match RUNTIME.get_or_init(|| make().ok()) {
        Some(runtime) => Ok(runtime.handle().clone()),
        None => Err(Error::io("no thread could be started for an object store")),
    }
}

/// An answer that is on its way.
pub(crate) struct Answer<T>(crossbeam_channel::Receiver<object_store::Result<T>>);

/// Attempts of a request whose connection breaks where the client of the store does not try again.
const TRIES: u32 = 6;

/// Whether another attempt may help.
fn may_pass(e: &object_store::Error) -> bool {
    matches!(e, object_store::Error::Generic { .. })
        && !is_refused(e)
        && !["NoSuchBucket", "NoSuchUpload", "InvalidPart"].iter().any(|code| e.to_string().contains(code))
}

/// A request that is made again while that may help.
async fn patient<T, F>(request: impl Fn() -> F) -> object_store::Result<T>
where
    F: Future<Output = object_store::Result<T>>,
{
    let mut attempt = 0;
    loop {
        attempt += 1;
        match request().await {
            Err(e) if attempt < TRIES && may_pass(&e) => {
                log::debug!("an object store is asked again: {}", first_line(&e));
                tokio::time::sleep(Duration::from_millis(50 << attempt)).await;
            }
            done => return done,
        }
    }
}

impl<T: Send + 'static> Answer<T> {
    fn of(request: impl Future<Output = object_store::Result<T>> + Send + 'static) -> Result<Self> {
        let (sender, answer) = crossbeam_channel::bounded(1);
        runtime()?.spawn(async move {
            // Nobody may wait any more.
            let _ = sender.send(request.await);
        });
        Ok(Self(answer))
    }

    /// Waits for it.
    pub(crate) fn wait(self) -> Result<object_store::Result<T>> {
        self.0.recv().map_err(|_| Error::cancelled())
    }
}

/// An object as it was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) modified_millis: i64,
    /// Which version of it.
    pub(crate) version: Option<String>,
}

impl Found {
    fn of(meta: ObjectMeta) -> Self {
        Self {
            key: meta.location.to_string(),
            size: meta.size,
            modified_millis: meta.last_modified.timestamp_millis(),
            version: meta.e_tag,
        }
    }
}

/// Where objects are.
enum Kind {
    Store {
        store: Arc<dyn ObjectStore>,
        parts: Arc<dyn MultipartStore>,
    },
    /// A web server, whose keys are the rests of URLs.
    Web {
        client: reqwest::Client,
        whole: Mutex<HashMap<String, Bytes>>,
    },
}

/// A bucket, a container, or a web server.
pub(crate) struct Bucket {
    kind: Kind,
    /// `s3://bucket`
    root: String,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.root)
    }
}

/// A URL's scheme, bucket and key; `None` for what is none of an object store.
pub(crate) fn parts_of(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    SCHEMES.iter().any(|s| s.eq_ignore_ascii_case(scheme)).then_some(())?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    Some((scheme, bucket, key))
}

impl Bucket {
    /// The bucket of a URL.
    pub(crate) fn of(url: &str, access: &Access) -> Result<Arc<Self>> {
        type Known = HashMap<(String, Access), Arc<Bucket>>;
        static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
        let Some((scheme, bucket, _)) = parts_of(url) else {
            return Err(Error::option("this is not the URL of an object store"));
        };
        if bucket.contains('@') {
            return Err(Error::option("the URL has credentials in it")
                .with_hint("leave them out and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or 's3.access-key' and 's3.secret-key' of the table"));
        }
        if bucket.is_empty() {
            return Err(Error::option(format!("'{url}' has no bucket")).with_hint("s3://bucket/path"));
        }
        let root = format!("{}://{bucket}", scheme.to_ascii_lowercase());
        let key = (root.clone(), access.clone());
        if let Some(known) = KNOWN.lock().get_or_insert_default().get(&key) {
            return Ok(known.clone());
        }
        let made = Arc::new(Self { kind: Self::kind(&root, scheme, bucket, access)?, root });
        KNOWN.lock().get_or_insert_default().insert(key, made.clone());
        Ok(made)
    }

    fn kind(root: &str, scheme: &str, bucket: &str, access: &Access) -> Result<Kind> {
        ready_tls();
        // Built within the runtime, as the HTTP client may look for it.
        let runtime = runtime()?;
        let _entered = runtime.enter();
        let wrong = |e: object_store::Error, hint: &str| {
            Error::option(format!("the store '{root}' could not be set up: {}", first_line(&e)))
                .with_hint(hint)
        };
        Ok(match scheme.to_ascii_lowercase().as_str() {
            "gs" => {
                let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket);
                let store = builder.with_retry(patience()).build();
                let store = Arc::new(store.map_err(|e| wrong(e, "set GOOGLE_SERVICE_ACCOUNT"))?);
                Kind::Store { parts: store.clone(), store }
            }
            "az" => {
                let builder = MicrosoftAzureBuilder::from_env().with_container_name(bucket);
                let hint = "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY";
                let store = Arc::new(builder.with_retry(patience()).build().map_err(|e| wrong(e, hint))?);
                Kind::Store { parts: store.clone(), store }
            }
            "http" | "https" => {
                let client = reqwest::Client::builder().connect_timeout(Duration::from_secs(10));
                let client = client.read_timeout(Duration::from_secs(30)).build();
                let client = client.map_err(|e| Error::io(format!("no client for '{root}': {e}")))?;
                Kind::Web { client, whole: Mutex::default() }
            }
            _ => {
                let mut builder = AmazonS3Builder::from_env();
                if let Some(endpoint) = &access.endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                if let Some(region) = &access.region {
                    builder = builder.with_region(region);
                }
                if let (Some(key), Some(secret)) = (&access.access_key, &access.secret_key) {
                    let token = access.session_token.clone().filter(|token| !token.is_empty());
                    if token.as_ref().is_some_and(|token| !token.bytes().all(|b| b.is_ascii_graphic())) {
                        return Err(Error::option(
                            "option 's3.session-token' has characters that no token has",
                        ));
                    }
                    // Not by the builder's own keys: beside them stands the token of the environment, which belongs to
                    // others, and an empty one would be sent.
                    let credential = AwsCredential { key_id: key.clone(), secret_key: secret.clone(), token };
                    builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(credential)));
                }
                if let Some(path_style) = access.path_style {
                    builder = builder.with_virtual_hosted_style_request(!path_style);
                }
                let hint = "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and, for other providers, AWS_ENDPOINT_URL; or 's3.*' of the table";
                let store = Arc::new(amazon(builder, bucket).build().map_err(|e| wrong(e, hint))?);
                Kind::Store { parts: store.clone(), store }
            }
        })
    }

    /// Its URL, without a key.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// The URL of an object, for people. What follows a `?` is often a signature.
    pub(crate) fn shown(&self, key: &str) -> String {
        let key = if self.is_web() { key.split('?').next().unwrap_or_default() } else { key };
        format!("{}/{key}", self.root)
    }

    /// Whether it is a web server: one file a URL, to read.
    pub(crate) fn is_web(&self) -> bool {
        matches!(self.kind, Kind::Web { .. })
    }

    /// What went wrong.
    pub(crate) fn failed(&self, what: &str, key: &str, e: &object_store::Error) -> Error {
        let object = self.shown(key);
        let error = match e {
            _ if e.to_string().contains("NoSuchBucket") => {
                return Error::io(format!("could not {what} '{object}': there is no such bucket")).lasting();
            }
            object_store::Error::NotFound { .. } => {
                Error::io(format!("could not {what} '{object}': it is not there"))
            }
            object_store::Error::Precondition { .. } => {
                Error::io(format!("could not {what} '{object}': it was replaced in the meantime"))
            }
            e => Error::io(format!("could not {what} '{object}': {}", first_line(e))),
        };
        match is_refused(e) {
            true if self.is_web() => error.lasting(),
            true => error.lasting().with_hint("look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or 's3.access-key' and 's3.secret-key' of the table, and the rights of their owner"),
            false => error,
        }
    }

    fn path(&self, key: &str) -> Result<Path> {
        Path::parse(key).map_err(|e| {
            Error::option(format!("'{}/{key}' cannot be an object: {}", self.root, one_line(&e.to_string())))
        })
    }

    /// An object; `None` when it is not there.
    pub(crate) fn head(&self, key: &str) -> Result<Option<Found>> {
        let answer = match &self.kind {
            Kind::Store { store, .. } => {
                let (store, path) = (store.clone(), self.path(key)?);
                Answer::of(async move { patient(|| store.head(&path)).await.map(Found::of) })?
            }
            Kind::Web { client, whole } => return self.head_web(client, whole, key),
        };
        match answer.wait()? {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.failed("look for", key, &e)),
        }
    }

    /// All objects whose keys begin with a prefix that ends at a `/`, or is empty.
    pub(crate) fn list(&self, prefix: &str) -> Result<Vec<Found>> {
        let Kind::Store { store, .. } = &self.kind else {
            return Err(Error::unsupported(format!("'{}' is a web server: it has no listing", self.root))
                .with_hint("name one file; patterns and folders are for s3://, gs:// and az://"));
        };
        let (store, path) = (store.clone(), self.path(prefix.trim_end_matches('/'))?);
        let answer = Answer::of(async move {
            patient(|| store.list(Some(&path)).map_ok(Found::of).try_collect::<Vec<_>>()).await
        })?;
        match answer.wait()? {
            Ok(mut found) => {
                found.sort_by(|a, b| a.key.cmp(&b.key));
                Ok(found)
            }
            Err(e) => Err(self.failed("list", prefix, &e)),
        }
    }

    /// Begins to read a range of an object, which has to be the version that was found.
    pub(crate) fn read(self: &Arc<Self>, object: &Found, range: Range<u64>) -> Result<Answer<Bytes>> {
        match &self.kind {
            Kind::Store { store, .. } => {
                let (store, path) = (store.clone(), self.path(&object.key)?);
                let options = GetOptions {
                    range: Some(GetRange::Bounded(range)),
                    if_match: object.version.clone(),
                    ..GetOptions::default()
                };
                Answer::of(async move {
                    patient(|| async { store.get_opts(&path, options.clone()).await?.bytes().await }).await
                })
            }
            Kind::Web { client, whole } => {
                let known = whole.lock().get(&object.key).cloned();
                let (client, url) = (client.clone(), format!("{}/{}", self.root, object.key));
                let (size, version) = (object.size, object.version.clone());
                Answer::of(async move {
                    match known {
                        Some(bytes) => Ok(part(&bytes, &range)),
                        None => web_range(&client, &url, range, (size, version)).await,
                    }
                })
            }
        }
    }

    /// Requests of an upload in parts.
    pub(crate) fn upload<T: Send + 'static, F>(
        &self,
        key: &str,
        request: impl Fn(Arc<dyn MultipartStore>, Path) -> F + Send + Sync + 'static,
    ) -> Result<Answer<T>>
    where
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let Kind::Store { parts, .. } = &self.kind else {
            return Err(Error::unsupported(format!("'{}' is a web server: it is read only", self.root)));
        };
        let (parts, path) = (parts.clone(), self.path(key)?);
        Answer::of(async move { patient(|| request(parts.clone(), path.clone())).await })
    }

    /// Deletes an object, if it is there.
    pub(crate) fn delete(&self, key: &str) -> Result<()> {
        let Kind::Store { store, .. } = &self.kind else { return Ok(()) };
        let (store, path) = (store.clone(), self.path(key)?);
        match Answer::of(async move { patient(|| store.delete(&path)).await })?.wait()? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.failed("delete", key, &e)),
        }
    }

    /// Writes a small object as a whole.
    pub(crate) fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        let Kind::Store { store, .. } = &self.kind else {
            return Err(Error::unsupported(format!("'{}' is a web server: it is read only", self.root)));
        };
        let (store, path) = (store.clone(), self.path(key)?);
        let answer =
            Answer::of(async move { patient(|| store.put(&path, bytes.clone().into())).await.map(drop) })?;
        answer.wait()?.map_err(|e| self.failed("write", key, &e))
    }

    /// What a web server says of a file. One that cannot send parts sends all of it now.
    fn head_web(
        &self,
        client: &reqwest::Client,
        whole: &Mutex<HashMap<String, Bytes>>,
        key: &str,
    ) -> Result<Option<Found>> {
        let (client, url) = (client.clone(), format!("{}/{key}", self.root));
        let answer = Answer::of(async move { web_head(&client, &url).await })?;
        match answer.wait()? {
            Ok((size, modified_millis, version, body)) => {
                let mut whole = whole.lock();
                match body {
                    Some(bytes) => drop(whole.insert(key.to_string(), bytes)),
                    None => drop(whole.remove(key)),
                }
                Ok(Some(Found { key: key.to_string(), size, modified_millis, version }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.failed("read", key, &e)),
        }
    }
}

fn part(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let end = (range.end.min(bytes.len() as u64)) as usize;
    bytes.slice((range.start as usize).min(end)..end)
}

fn web_error(e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "web server", source: e.into() }
}

/// Attempts of a request to a web server.
const ATTEMPTS: u32 = 6;

/// A request that is tried again where that may help.
async fn web_request(
    client: &reqwest::Client,
    url: &str,
    range: Option<&Range<u64>>,
) -> object_store::Result<reqwest::Response> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut request = client.get(url).header("accept-encoding", "identity");
        if let Some(range) = range {
            request =
                request.header("range", format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        }
        let failure = match request.send().await {
            Ok(answer) if answer.status().is_success() => return Ok(answer),
            Ok(answer) if answer.status() == reqwest::StatusCode::NOT_FOUND => {
                return Err(object_store::Error::NotFound { path: String::new(), source: "404".into() });
            }
            Ok(answer) => {
                let status = answer.status();
                let failure = web_error(format!("it answers {status}"));
                if !(status.is_server_error() || status == reqwest::StatusCode::TOO_MANY_REQUESTS) {
                    return Err(failure);
                }
                failure
            }
            Err(e) => web_error(e.without_url()),
        };
        if attempt == ATTEMPTS {
            return Err(failure);
        }
        tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
    }
}

/// Size, time, version, and the file itself if parts of it cannot be had.
async fn web_head(
    client: &reqwest::Client,
    url: &str,
) -> object_store::Result<(u64, i64, Option<String>, Option<Bytes>)> {
    // A range tells what HEAD may not: the size, and whether parts are sent.
    let answer = web_request(client, url, Some(&(0..1))).await?;
    let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_string);
    let modified = header("last-modified").and_then(|t| chrono::DateTime::parse_from_rfc2822(&t).ok());
    let modified = modified.map_or(0, |t| t.timestamp_millis());
    let version = header("etag");
    if answer.status() == reqwest::StatusCode::PARTIAL_CONTENT {
        let size = header("content-range").and_then(|r| r.rsplit('/').next()?.parse::<u64>().ok());
        if let Some(size) = size {
            return Ok((size, modified, version, None));
        }
    }
    let answer = match answer.status() {
        reqwest::StatusCode::PARTIAL_CONTENT => web_request(client, url, None).await?,
        _ => answer,
    };
    let mut all = Vec::new();
    let mut answer = answer;
    while let Some(piece) = answer.chunk().await.map_err(|e| web_error(e.without_url()))? {
        if all.len() as u64 + piece.len() as u64 > WHOLE {
            return Err(web_error(
                "the server cannot send parts of a file, and this one is larger than 1 GiB",
            ));
        }
        all.extend_from_slice(&piece);
    }
    Ok((all.len() as u64, modified, version, Some(all.into())))
}

/// A range of the file of this size and version.
async fn web_range(
    client: &reqwest::Client,
    url: &str,
    range: Range<u64>,
    (size, version): (u64, Option<String>),
) -> object_store::Result<Bytes> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let answer = web_request(client, url, Some(&range)).await?;
        if answer.status() != reqwest::StatusCode::PARTIAL_CONTENT {
            return Err(web_error("it sends no parts of files any more"));
        }
        let header = |name| answer.headers().get(name).and_then(|v| v.to_str().ok());
        let of_size = header("content-range").and_then(|r| r.rsplit('/').next()?.parse().ok());
        let other = |known: &str| header("etag").is_some_and(|now| now != known);
        if of_size.is_some_and(|now: u64| now != size) || version.as_deref().is_some_and(other) {
            return Err(web_error("the file was replaced while it was read"));
        }
        match answer.bytes().await {
            Ok(bytes) if bytes.len() as u64 == range.end - range.start => return Ok(bytes),
            Ok(bytes) if attempt == ATTEMPTS => {
                return Err(web_error(format!("it sent {} bytes of a range", bytes.len())));
            }
            Err(e) if attempt == ATTEMPTS => return Err(web_error(e.without_url())),
            _ => tokio::time::sleep(Duration::from_millis(100 << attempt)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// The head of the request that asks for an object, lower case.
    fn asked(access: &Access) -> String {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Some(format!("http://{}", server.local_addr().unwrap()));
        let bucket = Bucket::of("s3://bucket/key", &Access { endpoint, ..access.clone() }).unwrap();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                head.push(byte[0]);
            }
            stream
                .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .unwrap();
            String::from_utf8(head).unwrap().to_ascii_lowercase()
        });
        assert!(bucket.head("key").unwrap().is_none());
        answering.join().unwrap()
    }

    #[test]
    fn keys_of_the_table_are_sent_with_their_own_token_only() {
        let access = Access {
            region: Some("eu-central-1".into()),
            access_key: Some("keyid".into()),
            secret_key: Some("secret".into()),
            path_style: Some(true),
            ..Access::default()
        };
        let head = asked(&access);
        assert!(head.contains("credential=keyid/") && !head.contains("x-amz-security-token"), "{head}");
        let head = asked(&Access { session_token: Some("mine".into()), ..access });
        assert!(head.contains("x-amz-security-token: mine"), "{head}");
    }

    #[test]
    fn a_file_that_is_replaced_while_it_is_read_is_an_error() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let root = format!("http://{}", server.local_addr().unwrap());
        std::thread::spawn(move || {
            for version in ["one", "one", "two"] {
                let (mut stream, _) = server.accept().unwrap();
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                    head.push(byte[0]);
                }
                let answer = format!(
                    "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-0/2\r\netag: \"{version}\"\r\n\
                     content-length: 1\r\nconnection: close\r\n\r\nx"
                );
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let bucket = Bucket::of(&format!("{root}/file"), &Access::default()).unwrap();
        let found = bucket.head("file").unwrap().unwrap();
        assert_eq!((found.size, found.version.as_deref()), (2, Some("\"one\"")));
        let read = || bucket.read(&found, 0..1).unwrap().wait().unwrap();
        assert_eq!(read().unwrap().as_ref(), b"x");
        assert!(read().unwrap_err().to_string().contains("was replaced while it was read"));
    }
}
