//! Where checkpoints are kept: whole objects by name.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};

/// Objects by path (`/` between its parts), each written whole. An object is never changed, only replaced or
/// deleted.
pub trait Store: Debug + Send + Sync {
    /// Writes an object. When this returns well it is durable; until then a reader sees the former one, or
    /// none, never a part.
    fn put(&self, path: &str, bytes: Bytes) -> Result<()>;

    /// Writes an object that must not be there yet; false if it is.
    fn create(&self, path: &str, bytes: Bytes) -> Result<bool>;

    /// An object; `None` if it is not there.
    fn get(&self, path: &str) -> Result<Option<Bytes>>;

    /// Paths that begin with `prefix`, in ascending order.
    fn list(&self, prefix: &str) -> Result<Vec<String>>;

    /// Deletes an object, if it is there.
    fn delete(&self, path: &str) -> Result<()>;

    /// As people name it: a directory or URL, without secrets.
    fn describe(&self) -> String;

    /// The part of this store under a path.
    fn under(&self, path: &str) -> Arc<dyn Store>;
}

/// The store of a directory or URL (`file:///...`, `s3://bucket/...`). Nothing is created yet.
pub fn open(url: &str, _runtime: &tokio::runtime::Handle) -> Result<Arc<dyn Store>> {
    Err(Error::unsupported(format!("checkpoints in '{url}' are not supported yet")))
}
