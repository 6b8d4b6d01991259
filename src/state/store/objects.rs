//! An object store in the network.
//!
//! Requests run on the runtime; whoever called waits on its own thread. Large objects go up and come down in parts,
//! a few at a time. An object store writes whole objects and keeps checksums of its own, so that nothing here
//! has to be renamed or read again.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, ObjectStore as Backend, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    RetryConfig, WriteMultipart,
};
use tokio::runtime::Handle;

use super::{Lock, Store, check_path};
use crate::bucket::{amazon, first_line, is_refused, one_line};
use crate::error::{Error, Result};

/// Bytes of one request for a part of an object.
const PART: u64 = 8 << 20;
/// Parts on their way at a time.
const PARTS: usize = 4;

/// Objects in a bucket, below a path.
pub struct ObjectStore {
    backend: Arc<dyn Backend>,
    /// The same, with little patience: for a first look at what the server can do.
    curious: Arc<dyn Backend>,
    runtime: Handle,
    /// The bucket's URL, without secrets.
    bucket: String,
    /// Path in the bucket; ends with `/` unless it is empty.
    prefix: String,
}

impl fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectStore({})", self.describe())
    }
}

impl ObjectStore {
    /// The store of `s3://bucket/path`, with credentials, region and endpoint from the environment.
    pub fn s3(url: &str, runtime: &Handle) -> Result<Self> {
        Self::with(AmazonS3Builder::from_env(), url, runtime)
    }

    pub(super) fn with(builder: AmazonS3Builder, url: &str, runtime: &Handle) -> Result<Self> {
        let wrong = |why: &str| Error::option(format!("the URL of the S3 store {why}"));
        let parsed = url::Url::parse(url)
            .map_err(|e| wrong(&format!("is not one: {e}")).with_hint("s3://bucket/path"))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(wrong("has credentials in it").with_hint(
                "leave them out and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
            ));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() || parsed.port().is_some() {
            return Err(wrong("has more than a bucket and a path")
                .with_hint("endpoint and region come from the environment: AWS_ENDPOINT_URL, AWS_REGION"));
        }
        let bucket = parsed.host_str().filter(|b| !b.is_empty());
        let bucket = bucket.ok_or_else(|| wrong("has no bucket").with_hint("s3://bucket/path"))?;
        let builder = amazon(builder, bucket);
        // Built within the runtime, as its HTTP client may look for it.
        let _entered = runtime.enter();
        let curious = RetryConfig { max_retries: 2, ..RetryConfig::default() };
        let curious = builder.clone().with_retry(curious).build();
        let backend = builder.build().map_err(|e| {
            Error::option(format!("the S3 store could not be set up: {}", first_line(&e)))
                .with_hint("set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and, for other providers, AWS_ENDPOINT_URL")
        })?;
        let path = percent_encoding::percent_decode_str(parsed.path()).decode_utf8_lossy().into_owned();
        // As it is from here on: what is written is found again under the same name.
        if let Err(e) = Path::parse(path.trim_matches('/')) {
            return Err(wrong(&format!("has a path that cannot be used: {}", one_line(&e.to_string())))
                .with_hint("a path has parts with names between '/', none of them '.' or '..'"));
        }
        let curious: Arc<dyn Backend> = match curious {
            Ok(curious) => Arc::new(curious),
            Err(e) => return Err(wrong(&format!("cannot be used: {}", first_line(&e)))),
        };
        let store = Self::new(Arc::new(backend), runtime, format!("s3://{bucket}"), &path);
        Ok(Self { curious, ..store })
    }

    pub(super) fn new(backend: Arc<dyn Backend>, runtime: &Handle, bucket: String, path: &str) -> Self {
        let prefix = match path.trim_matches('/') {
            "" => String::new(),
            path => format!("{path}/"),
        };
        Self { curious: backend.clone(), backend, runtime: runtime.clone(), bucket, prefix }
    }

    fn path(&self, path: &str) -> Result<Path> {
        check_path(path)?;
        Path::parse(format!("{}{path}", self.prefix))
            .map_err(|e| Error::option(format!("'{path}' cannot be a path in a store of checkpoints: {e}")))
    }

    /// Runs a request on the runtime and waits for it.
    fn wait<T: Send + 'static>(
        &self,
        what: &str,
        request: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<Option<T>> {
        let (sender, answer) = crossbeam_channel::bounded(1);
        self.runtime.spawn(async move {
            // Nobody waits any more only if this process ends.
            let _ = sender.send(request.await);
        });
        match answer.recv() {
            Ok(Ok(value)) => Ok(Some(value)),
            Ok(Err(object_store::Error::NotFound { .. })) => Ok(None),
            Ok(Err(e)) => Err(self.failed(what, &e)),
            Err(_) => Err(Error::cancelled()),
        }
    }

    fn failed(&self, what: &str, e: &object_store::Error) -> Error {
        let error = Error::io(format!("could not {what} '{}': {}", self.describe(), first_line(e)));
        let refused = is_refused(e);
        if !refused {
            return error;
        }
        error
            .lasting()
            .with_hint("look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the rights of their owner")
    }
}

/// A server that does not know what it is asked for.
fn says_no(text: &str) -> bool {
    text.contains("NotImplemented") || text.contains("501 Not Implemented")
}

impl Store for ObjectStore {
    fn put(&self, path: &str, bytes: Bytes) -> Result<()> {
        let (backend, target) = (self.backend.clone(), self.path(path)?);
        let done = self.wait("write to", async move {
            if bytes.len() as u64 <= PART * 2 {
                backend.put(&target, PutPayload::from(bytes)).await?;
                return Ok(());
            }
            let upload = backend.put_multipart(&target).await?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, PART as usize);
            let mut rest = bytes;
            while !rest.is_empty() {
                upload.wait_for_capacity(PARTS).await?;
                upload.put(rest.split_to(rest.len().min(PART as usize)));
            }
            upload.finish().await.map(drop)
        })?;
        done.ok_or_else(|| {
            Error::io(format!("could not write to '{}': there is no such bucket", self.describe()))
        })
    }

    fn create(&self, path: &str, bytes: Bytes) -> Result<bool> {
        let (backend, target, body) = (self.backend.clone(), self.path(path)?, bytes.clone());
        let created = self.wait("write to", async move {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            match backend.put_opts(&target, PutPayload::from(body), options).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
                Err(e) => Err(e),
            }
        })?;
        match created {
            // An answer that was lost, and a second try that found what the first one had written.
            Some(false) => Ok(self.get(path)?.is_some_and(|there| there == bytes)),
            Some(true) => Ok(true),
            None => {
                Err(Error::io(format!("could not write to '{}': there is no such bucket", self.describe())))
            }
        }
    }

    fn get(&self, path: &str) -> Result<Option<Bytes>> {
        let (backend, target) = (self.backend.clone(), self.path(path)?);
        self.wait("read from", async move { backend.get(&target).await?.bytes().await })
    }

    fn read(&self, path: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        if range.is_empty() {
            return Ok(Some(Bytes::new()));
        }
        let (backend, target) = (self.backend.clone(), self.path(path)?);
        let starts: Vec<u64> = (range.start..range.end).step_by(PART as usize).collect();
        let parts = self.wait("read from", async move {
            let part = |start: u64| {
                let (backend, target) = (backend.clone(), target.clone());
                let bounded = GetRange::Bounded(start..(start + PART).min(range.end));
                let options = GetOptions { range: Some(bounded), ..GetOptions::default() };
                async move { backend.get_opts(&target, options).await?.bytes().await }
            };
            futures::stream::iter(starts).map(part).buffered(PARTS).try_collect::<Vec<Bytes>>().await
        })?;
        Ok(parts.map(|mut parts| match parts.len() {
            1 => parts.swap_remove(0),
            _ => parts.concat().into(),
        }))
    }

    fn sizes(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        // Object stores list whole parts of paths.
        let within = prefix.rfind('/').map_or("", |at| &prefix[..at]);
        // Parsed as in `path`: what is written is found under the same name.
        let folder = format!("{}{within}", self.prefix);
        let folder = Path::parse(folder.trim_matches('/')).map_err(|e| {
            Error::option(format!("'{folder}' cannot be a path in a store of checkpoints: {e}"))
        })?;
        let backend = self.backend.clone();
        let found = self.wait("list", async move {
            backend
                .list(Some(&folder))
                .map_ok(|o| (o.location.to_string(), o.size))
                .try_collect::<Vec<_>>()
                .await
        })?;
        let found = found.unwrap_or_default().into_iter();
        let relative =
            found.filter_map(|(path, size)| Some((path.strip_prefix(&self.prefix)?.to_string(), size)));
        Ok(relative.filter(|(path, _)| path.starts_with(prefix)).collect())
    }

    fn delete(&self, path: &str) -> Result<()> {
        let (backend, target) = (self.backend.clone(), self.path(path)?);
        self.wait("delete from", async move { backend.delete(&target).await }).map(drop)
    }

    fn describe(&self) -> String {
        format!("{}/{}", self.bucket, self.prefix.trim_end_matches('/'))
    }

    fn under(&self, path: &str) -> Arc<dyn Store> {
        let path = format!("{}{}", self.prefix, path.trim_matches('/'));
        let below = Self::new(self.backend.clone(), &self.runtime, self.bucket.clone(), &path);
        Arc::new(Self { curious: self.curious.clone(), ..below })
    }

    /// There is none: a lease tells processes from each other.
    fn lock(&self) -> Result<Lock> {
        Ok(Lock::none())
    }

    /// An object is created twice: the second one has to be refused. It stays, so that the next look is one request.
    fn probe(&self) -> Result<()> {
        let (backend, target) = (self.curious.clone(), self.path("probe")?);
        let refused = self.wait("write to", async move {
            for _ in 0..2 {
                let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
                let body = PutPayload::from(Bytes::from_static(b"{}\n"));
                match backend.put_opts(&target, body, options).await {
                    Ok(_) => {}
                    Err(
                        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. },
                    ) => {
                        return Ok(Ok(true));
                    }
                    Err(e @ object_store::Error::NotImplemented { .. }) => return Ok(Err(first_line(&e))),
                    Err(e) if says_no(&e.to_string()) => return Ok(Err(first_line(&e))),
                    Err(e) => return Err(e),
                }
            }
            Ok(Ok(false))
        })?;
        let missing = |seen: String| {
            Error::unsupported(format!(
                "the store '{}' cannot write an object only if it is not there yet (If-None-Match: *)",
                self.describe()
            ))
            .with_detail(format!("this keeps two processes from one job's checkpoints; {seen}"))
            .with_hint(
                "use a store with conditional writes (S3, MinIO, R2, Ceph from version 19), or a directory",
            )
        };
        match refused {
            None => Err(Error::io(format!("there is no bucket for '{}'", self.describe())).lasting()),
            Some(Ok(true)) => Ok(()),
            Some(Ok(false)) => Err(missing("it wrote one object twice".into())),
            Some(Err(seen)) => Err(missing(format!("it answers: {seen}"))),
        }
    }

    fn guards_content(&self) -> bool {
        true
    }
}
