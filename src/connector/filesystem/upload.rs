//! A file that is written to an object store: its parts go up while rows come, and it is there when it is completed.
//!
//! ```text
//!  rows ──> 8 MiB ──> part 1 ──> part 2 ──> end of file ──> { key, upload, parts } in the checkpoint
//!                        │                                            │ durable
//!                        └ before the first one: noted                └──────────────> completed: visible
//! ```
//! An upload that no checkpoint knows costs money for ever. So each is noted in an object of its writer before its
//! first part goes up; a job that comes back reads these notes and gives the others up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use object_store::multipart::PartId;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::flow::Waker;

/// Bytes of a part. Stores take parts from 5 MiB, and some want all of one size.
pub(super) const PART: usize = 8 << 20;

/// A file all of whose bytes are in the store, and that is not visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Uploaded {
    pub(super) key: String,
    pub(super) upload: String,
    pub(super) parts: Vec<String>,
}

/// The uploads of a writer that are not completed, as an object says.
pub(super) struct Notes {
    bucket: Arc<Bucket>,
    key: String,
    uploads: tokio::sync::Mutex<BTreeMap<String, String>>,
}

impl Notes {
    pub(super) fn new(bucket: &Arc<Bucket>, key: String) -> Self {
        Self { bucket: bucket.clone(), key, uploads: tokio::sync::Mutex::default() }
    }

    /// An upload has begun.
    async fn add(&self, key: &str, upload: &str) -> Result<()> {
        let mut uploads = self.uploads.lock().await;
        uploads.insert(key.to_string(), upload.to_string());
        let text = serde_json::to_vec(&*uploads).map_err(|e| Error::internal(format!("notes: {e}")))?;
        let (bucket, name) = (self.bucket.clone(), self.key.clone());
        waited(move || bucket.put(&name, text.into())).await
    }

    /// These are completed or given up. The object says so with the next upload.
    pub(super) fn forget(&self, keys: impl IntoIterator<Item = String>) {
        if let Ok(mut uploads) = self.uploads.try_lock() {
            keys.into_iter().for_each(|key| drop(uploads.remove(&key)));
        }
    }

    /// What such an object says.
    pub(super) fn read(text: &[u8]) -> BTreeMap<String, String> {
        serde_json::from_slice(text).unwrap_or_default()
    }
}

/// Something that waits, off the threads of the runtime.
async fn waited<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|e| Err(Error::internal(format!("a request to an object store: {e}"))))
}

/// The end of an upload, when it has come.
type Ended = Arc<Mutex<Option<Result<Uploaded>>>>;

/// A file that is being uploaded.
pub(super) struct Upload {
    parts: Option<UnboundedSender<Bytes>>,
    ended: Ended,
}

impl Upload {
    /// Nothing is asked of the store before the first part. `waiting`: bytes that are on their way.
    pub(super) fn new(
        bucket: &Arc<Bucket>,
        key: String,
        notes: &Arc<Notes>,
        waiting: &Arc<AtomicUsize>,
        runtime: &tokio::runtime::Handle,
        waker: &Waker,
    ) -> Self {
        let (sender, parts) = unbounded_channel();
        let ended = Ended::default();
        let work = send(bucket.clone(), key, notes.clone(), parts, waiting.clone(), waker.clone());
        let (result, waker) = (ended.clone(), waker.clone());
        runtime.spawn(async move {
            let done = work.await;
            *result.lock() = Some(done);
            waker.wake();
        });
        Self { parts: Some(sender), ended }
    }

    /// A part; only the last one may be smaller than [`PART`].
    pub(super) fn send(&self, part: Bytes) {
        if let Some(parts) = &self.parts {
            // One that has failed says so when it is asked.
            let _ = parts.send(part);
        }
    }

    /// There are no more parts.
    pub(super) fn end(&mut self) {
        self.parts = None;
    }

    /// The file, when all of it is in the store.
    pub(super) fn poll(&self) -> Result<Option<Uploaded>> {
        match &*self.ended.lock() {
            None => Ok(None),
            Some(ended) => ended.clone().map(Some),
        }
    }
}

async fn send(
    bucket: Arc<Bucket>,
    key: String,
    notes: Arc<Notes>,
    mut parts: UnboundedReceiver<Bytes>,
    waiting: Arc<AtomicUsize>,
    waker: Waker,
) -> Result<Uploaded> {
    let (mut upload, mut sent) = (None, Vec::new());
    while let Some(part) = parts.recv().await {
        let id = match &upload {
            Some(id) => String::clone(id),
            None => {
                let (bucket, at) = (bucket.clone(), key.clone());
                let id = waited(move || {
                    let asked =
                        bucket.upload(&at, |store, path| async move { store.create_multipart(&path).await });
                    asked?.wait()?.map_err(|e| bucket.failed("write", &at, &e))
                });
                let id = id.await?;
                notes.add(&key, &id).await?;
                upload.insert(id).clone()
            }
        };
        let (at, bucket, number, length) = (key.clone(), bucket.clone(), sent.len(), part.len());
        let part = waited(move || {
            let asked = bucket.upload(&at, move |store, path| {
                let (id, part) = (id.clone(), part.clone());
                async move { store.put_part(&path, &id, number, part.into()).await }
            });
            asked?.wait()?.map_err(|e| bucket.failed("write", &at, &e))
        });
        sent.push(part.await?.content_id);
        waiting.fetch_sub(length, Ordering::Relaxed);
        waker.wake();
    }
    Ok(Uploaded { key, upload: upload.unwrap_or_default(), parts: sent })
}

/// Makes a file visible; one that is visible already stays so.
pub(super) fn complete(bucket: &Arc<Bucket>, file: &Uploaded) -> Result<()> {
    let parts: Vec<PartId> = file.parts.iter().map(|id| PartId { content_id: id.clone() }).collect();
    let upload = file.upload.clone();
    let asked = bucket.upload(&file.key, move |store, path| {
        let (upload, parts) = (upload.clone(), parts.clone());
        async move { store.complete_multipart(&path, &upload, parts).await }
    })?;
    match asked.wait()? {
        Ok(_) => Ok(()),
        Err(e) => {
            // An answer that was lost, or a commit that is done again.
            let gone =
                matches!(e, object_store::Error::NotFound { .. }) || e.to_string().contains("NoSuchUpload");
            if !gone {
                // Azure refuses it in another way. The name belongs to this upload: what is there is its file.
                return match bucket.head(&file.key) {
                    Ok(Some(_)) => Ok(()),
                    _ => Err(bucket.failed("write", &file.key, &e)),
                };
            }
            if bucket.head(&file.key)?.is_some() {
                return Ok(());
            }
            Err(Error::io(format!("the upload of '{}/{}' is gone", bucket.root(), file.key))
                .with_detail("the store may give up uploads that stay open for days")
                .with_hint(
                    "rows would be lost: go back to an older checkpoint, or start the job without them",
                )
                .lasting())
        }
    }
}

/// Gives an upload up, if it is there.
pub(super) fn abandon(bucket: &Arc<Bucket>, key: &str, upload: &str) -> Result<()> {
    let id = upload.to_string();
    let asked = bucket.upload(key, move |store, path| {
        let id = id.clone();
        async move { store.abort_multipart(&path, &id).await }
    })?;
    match asked.wait()? {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(e) if e.to_string().contains("NoSuchUpload") => Ok(()),
        Err(e) => Err(bucket.failed("give up an upload to", key, &e)),
    }
}
