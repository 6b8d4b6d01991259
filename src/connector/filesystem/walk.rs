//! The files below a directory, while others rename, add and remove some.
//!
//! A listing is no snapshot: an entry may be gone when it is looked at, come twice because it was renamed
//! between two looks at its directory, or not at all. So a file that is met under a second name counts once,
//! and a caller that needs all files of one moment lists again while the directory changes.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::files::{FileInfo, Location, compression, hidden, identity, millis, unreadable};
use crate::error::Result;

/// What a walk has found.
pub(super) struct Found {
    /// In order of their paths.
    pub(super) files: Vec<FileInfo>,
    /// Entries came or went in the meantime.
    pub(super) unrest: bool,
    /// Something matched the pattern, if there is one with `**`.
    pub(super) matched: bool,
}

/// A walk through directories. Links are looked at last, so that a file has its own name when a link to it is in
/// the same directories.
pub(super) struct Walk<'a> {
    location: &'a Location,
    found: Vec<FileInfo>,
    /// Where in `found` a file is, by its identity.
    known: HashMap<u64, usize>,
    /// Directories that were walked.
    directories: HashSet<PathBuf>,
    /// Links that were met, each with the directory that partitions are counted from.
    links: Vec<(PathBuf, PathBuf)>,
    /// Links are being looked at.
    by_link: bool,
    /// Only what matches, or is in a directory that does.
    only: Option<Only>,
    pub(super) unrest: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(location: &'a Location) -> Self {
        Self {
            location,
            found: Vec::new(),
            known: HashMap::new(),
            directories: HashSet::new(),
            links: Vec::new(),
            by_link: false,
            only: None,
            unrest: false,
        }
    }

    /// All files below a directory that match a pattern with `**`, each by its own name. The glob library follows links
    /// again and again, to no end where they lead back.
    pub(super) fn matching(&mut self, pattern: Pattern, base: &Path, before: &Metadata) -> Result<()> {
        self.only = Some(Only { pattern, base: base.to_path_buf(), matched: false });
        let root = if base.as_os_str().is_empty() { Path::new(".") } else { base };
        self.directory(root, base, before)
    }

    /// All files below a directory.
    pub(super) fn directory(&mut self, directory: &Path, root: &Path, before: &Metadata) -> Result<()> {
        let real = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_path_buf());
        if !self.directories.insert(real) {
            return Ok(());
        }
        if let Some(only) = &mut self.only {
            only.matching(directory);
        }
        let entries = match fs::read_dir(directory) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                self.unrest = true;
                return Ok(());
            }
            entries => entries.map_err(|e| unreadable(directory, &e))?,
        };
        for entry in entries {
            let entry = entry.map_err(|e| unreadable(directory, &e))?;
            let path = entry.path();
            if !hidden(&path) {
                self.entry(path, root)?;
            }
        }
        let after = fs::metadata(directory).and_then(|m| m.modified());
        self.unrest |= after.ok() != before.modified().ok();
        Ok(())
    }

    /// An entry of a directory, or what matches a pattern. What has vanished since is not there.
    pub(super) fn entry(&mut self, path: PathBuf, root: &Path) -> Result<()> {
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => self.links.push((path, root.to_path_buf())),
            Ok(metadata) if metadata.is_dir() => self.directory(&path, root, &metadata)?,
            Ok(metadata) if metadata.is_file() && !hidden(&path) => self.file(&path, root, &metadata)?,
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => self.unrest = true,
            Err(e) => return Err(unreadable(&path, &e)),
        }
        Ok(())
    }

    /// A file.
    pub(super) fn file(&mut self, path: &Path, root: &Path, metadata: &Metadata) -> Result<()> {
        let path = match &mut self.only {
            None => path,
            Some(only) => match only.matching(path) {
                Some(path) => path,
                None => return Ok(()),
            },
        };
        let name = path.to_string_lossy();
        if self.location.regex.as_ref().is_some_and(|r| !r.is_match(&name)) {
            return Ok(());
        }
        let compression = compression(path)?;
        let file = FileInfo {
            compression,
            growth: self.location.growth(compression),
            size: metadata.len(),
            modified_millis: metadata.modified().map_or(0, millis),
            partition: self.location.partition_of(path, root)?,
            identity: identity(metadata),
            object: None,
            path: path.to_path_buf(),
        };
        let known = self.known.get(&file.key()).copied().and_then(|at| self.found.get_mut(at));
        match known {
            Some(known) if self.by_link && known.partition == file.partition => {}
            // Renamed since it was met: the newer name holds.
            Some(known) if !self.by_link && has_one_name(metadata) => {
                self.unrest = true;
                *known = file;
            }
            _ => {
                self.known.insert(file.key(), self.found.len());
                self.found.push(file);
            }
        }
        Ok(())
    }

    /// Looks at the links, and puts all in order.
    pub(super) fn finish(mut self) -> Result<Found> {
        self.by_link = true;
        if self.location.is_partitioned() {
            // The same files may be another partition by another name.
            self.directories.clear();
        }
        while let Some((path, root)) = self.links.pop() {
            // A link to nothing is not there.
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => self.directory(&path, &root, &metadata)?,
                Ok(metadata) if metadata.is_file() && !hidden(&path) => self.file(&path, &root, &metadata)?,
                _ => {}
            }
        }
        self.found.sort_by(|a, b| a.path.cmp(&b.path));
        self.found.dedup_by(|a, b| a.path == b.path);
        let matched = self.only.is_none_or(|only| only.matched);
        Ok(Found { files: self.found, unrest: self.unrest, matched })
    }
}

/// What a pattern asks for.
struct Only {
    pattern: Pattern,
    base: PathBuf,
    /// There is such a file or directory.
    matched: bool,
}

impl Only {
    /// The path as the pattern spells it, if it or a directory that it is in matches.
    fn matching<'p>(&mut self, path: &'p Path) -> Option<&'p Path> {
        let options = MatchOptions {
            require_literal_separator: true,
            require_literal_leading_dot: true,
            ..Default::default()
        };
        let path = match self.base.as_os_str().is_empty() {
            true => path.strip_prefix(".").unwrap_or(path),
            false => path,
        };
        let mut parts = path.ancestors().take_while(|part| *part != self.base);
        let matches = parts.any(|part| self.pattern.matches_path_with(part, options));
        self.matched |= matches;
        matches.then_some(path)
    }
}

#[cfg(unix)]
fn has_one_name(metadata: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(metadata) == 1
}

#[cfg(not(unix))]
fn has_one_name(_metadata: &Metadata) -> bool {
    true
}
