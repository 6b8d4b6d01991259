//! Paths in object stores: which objects they match, and how a table says to reach them.

use std::path::PathBuf;
use std::sync::Arc;

use crate::bucket::{Access, Bucket, Found, parts_of};
use crate::catalog::Options;
use crate::error::{Error, Result};

/// What a path in an object store says.
#[derive(Debug, Clone)]
pub(super) struct Objects {
    pub(super) bucket: Arc<Bucket>,
    /// The key of an object, or of what lies before others; without a `/` at its end.
    pub(super) key: String,
    /// The path ends with `/`: it is no object.
    is_folder: bool,
    /// Which keys are meant, where it is a pattern.
    pattern: Option<glob::Pattern>,
}

/// Characters that make a pattern.
const SPECIAL: [char; 3] = ['*', '?', '['];

impl Objects {
    /// Of a table's options; `None` when the path is on this machine.
    pub(super) fn of(options: &Options) -> Result<Option<Self>> {
        let text = options.required("path")?;
        let Some((_, _, key)) = parts_of(text) else { return Ok(None) };
        let at = |e: Error| e.at(options.span("path"));
        let bucket = Bucket::of(text, &access(options)?).map_err(at)?;
        let pattern = match !bucket.is_web() && key.contains(SPECIAL) {
            true => Some(
                glob::Pattern::new(key)
                    .map_err(|e| at(Error::option(format!("'{text}' is not a pattern: {e}"))))?,
            ),
            false => None,
        };
        let is_folder = !bucket.is_web() && (key.is_empty() || key.ends_with('/'));
        let key = if bucket.is_web() { key } else { key.trim_end_matches('/') };
        Ok(Some(Self { bucket, key: key.to_string(), is_folder, pattern }))
    }

    /// The URL, for people.
    pub(super) fn shown(&self) -> String {
        self.bucket.shown(&self.key)
    }

    /// The folder that partitions are counted from.
    pub(super) fn base(&self) -> PathBuf {
        let before = match &self.pattern {
            Some(_) => self.key.find(SPECIAL).map_or(self.key.as_str(), |at| &self.key[..at]),
            None => &self.key,
        };
        let base = if self.pattern.is_some() {
            before.rsplit_once('/').map_or("", |(base, _)| base)
        } else {
            before
        };
        PathBuf::from(format!("{}/{base}", self.bucket.root()))
    }

    /// The objects there are, and the folder that partitions are counted from.
    pub(super) fn list(&self) -> Result<(PathBuf, Vec<Found>)> {
        let root = |key: &str| PathBuf::from(format!("{}/{key}", self.bucket.root()));
        if let Some(pattern) = &self.pattern {
            let before = self.key.find(SPECIAL).map_or(self.key.as_str(), |at| &self.key[..at]);
            let base = before.rsplit_once('/').map_or("", |(base, _)| base);
            let options = glob::MatchOptions {
                case_sensitive: true,
                require_literal_separator: true,
                require_literal_leading_dot: true,
            };
            let mut found = self.bucket.list(base)?;
            found.retain(|f| pattern.matches_with(&f.key, options) && is_visible(&f.key, base));
            return Ok((root(base), found));
        }
        if !self.is_folder
            && let Some(found) = self.bucket.head(&self.key)?
        {
            return Ok((root(""), vec![found]));
        }
        if self.bucket.is_web() {
            return Ok((root(""), Vec::new()));
        }
        let mut found = self.bucket.list(&self.key)?;
        found.retain(|f| is_visible(&f.key, &self.key));
        Ok((root(&self.key), found))
    }
}

/// Whether no part of a key below a folder is hidden. Some tools write an empty object for a folder.
fn is_visible(key: &str, folder: &str) -> bool {
    let below = match folder.is_empty() {
        true => Some(key),
        false => key.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')),
    };
    below.is_some_and(|below| !below.split('/').any(|part| part.starts_with(['.', '_'])))
}

/// How the table says that its store is reached.
fn access(options: &Options) -> Result<Access> {
    let text = |key: &str| options.text(key).map(str::to_string);
    let access = Access {
        endpoint: text("s3.endpoint"),
        region: text("s3.region"),
        access_key: text("s3.access-key"),
        secret_key: text("s3.secret-key"),
        session_token: text("s3.session-token"),
        path_style: options.bool("s3.path.style.access")?,
    };
    if access.access_key.is_some() != access.secret_key.is_some() {
        let (there, lacks) = match access.access_key {
            Some(_) => ("s3.access-key", "s3.secret-key"),
            None => ("s3.secret-key", "s3.access-key"),
        };
        return Err(Error::option(format!("option '{there}' needs '{lacks}'")).at(options.span(there)));
    }
    Ok(access)
}
