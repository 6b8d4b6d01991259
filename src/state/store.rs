//! Where checkpoints are kept: whole objects by name.
//!
//! | URL | store |
//! |---|---|
//! | a path, `file:///path` | a directory of this machine (or mounted there) |
//! | `s3://bucket/path` | an S3-compatible object store (feature `s3`) |
//!
//! What an S3 store needs comes from the environment: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
//! `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL` (another provider's, such as `http://localhost:9000`), or the
//! roles that machines and containers have at AWS. Profiles in files are not read.

mod disk;
#[cfg(test)]
pub(crate) mod faults;
pub mod lease;
pub mod local;
pub(crate) mod memory;
#[cfg(feature = "s3")]
pub mod objects;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};

/// Objects by path (`/` between its parts), each written whole. An object is never changed, only replaced or
/// deleted. Its methods block and are not to be called on a thread of the runtime.
pub trait Store: Debug + Send + Sync {
    /// Writes an object. When this returns well it is durable; until then a reader sees the former one, or
    /// none, never a part.
    fn put(&self, path: &str, bytes: Bytes) -> Result<()>;

    /// Writes an object that must not be there yet; false if it is.
    fn create(&self, path: &str, bytes: Bytes) -> Result<bool>;

    /// An object; `None` if it is not there.
    fn get(&self, path: &str) -> Result<Option<Bytes>>;

    /// A part of an object; shorter if the object ends before; `None` if it is not there.
    fn read(&self, path: &str, range: Range<u64>) -> Result<Option<Bytes>>;

    /// Paths that begin with `prefix`, with their lengths.
    fn sizes(&self, prefix: &str) -> Result<BTreeMap<String, u64>>;

    /// Paths that begin with `prefix`, in ascending order.
    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.sizes(prefix)?.into_keys().collect())
    }

    /// Deletes an object, if it is there. When this returns well it does not come back.
    fn delete(&self, path: &str) -> Result<()>;

    /// As people name it: a directory or URL, without secrets.
    fn describe(&self) -> String;

    /// The part of this store under a path.
    fn under(&self, path: &str) -> Arc<dyn Store>;

    /// Keeps other processes of this machine from writing here until the lock is dropped; refused while another one
    /// does. Processes of other machines are kept away by a [`lease`].
    fn lock(&self) -> Result<Lock>;

    /// Refuses a store that cannot do what is needed, before anything is written into it.
    fn probe(&self) -> Result<()> {
        Ok(())
    }

    /// Makes durable what can be seen. A process that was killed between a write and its last step leaves
    /// objects that are there and can still be lost with the power: nobody is to build on them before.
    fn settle(&self) -> Result<()> {
        Ok(())
    }

    /// What was written well is guarded by the store itself: reading it only to see whether it is still right
    /// is a waste.
    fn guards_content(&self) -> bool {
        false
    }
}

/// A machine's lock on a store.
#[derive(Debug)]
pub struct Lock {
    /// No other process of this machine has it. False where there is nothing to lock.
    pub alone: bool,
    /// Released by being dropped.
    _guard: Option<Box<dyn Any + Send + Sync>>,
}

impl Lock {
    /// That of a store without one.
    pub fn none() -> Self {
        Self { alone: false, _guard: None }
    }

    fn held(guard: Box<dyn Any + Send + Sync>) -> Self {
        Self { alone: true, _guard: Some(guard) }
    }
}

/// The store of a directory or URL (`file:///...`, `s3://bucket/...`). Nothing is created yet.
pub fn open(url: &str, runtime: &tokio::runtime::Handle) -> Result<Arc<dyn Store>> {
    if url.trim().is_empty() {
        return Err(Error::option("the place for checkpoints is empty")
            .with_hint("a directory or a URL: SET 'execution.checkpointing.dir' = './checkpoints'"));
    }
    // `c:` is a drive, not a scheme.
    match url.split_once("://") {
        None => Ok(Arc::new(local::LocalStore::new(PathBuf::from(url.strip_prefix("file:").unwrap_or(url))))),
        Some(("file", _)) => {
            let path = url::Url::parse(url).ok().and_then(|u| u.to_file_path().ok()).ok_or_else(|| {
                Error::option(format!("'{url}' is not the URL of a directory"))
                    .with_hint("file:///path/to/checkpoints")
            })?;
            Ok(Arc::new(local::LocalStore::new(path)))
        }
        Some(("s3" | "s3a", _)) => object_store(url, runtime),
        Some((scheme, _)) => {
            Err(Error::unsupported(format!("checkpoints cannot be kept in a store of the kind '{scheme}'"))
                .with_hint("a directory, file:///path, s3://bucket/path"))
        }
    }
}

/// Refuses what is no path of an object.
fn check_path(path: &str) -> Result<()> {
    let wrong = |part: &str| matches!(part, "" | "." | "..") || part.contains(['\\', '\0']);
    match path.split('/').any(wrong) {
        true => Err(Error::option(format!("'{path}' cannot be a path in a store of checkpoints"))),
        false => Ok(()),
    }
}

#[cfg(feature = "s3")]
fn object_store(url: &str, runtime: &tokio::runtime::Handle) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(objects::ObjectStore::s3(url, runtime)?))
}

#[cfg(not(feature = "s3"))]
fn object_store(_url: &str, _runtime: &tokio::runtime::Handle) -> Result<Arc<dyn Store>> {
    Err(Error::unsupported("this program was built without S3 (feature 's3')")
        .with_hint("cargo install affluent --features s3, or keep checkpoints in a directory"))
}
