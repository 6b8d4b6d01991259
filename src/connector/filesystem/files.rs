//! Which files a path matches.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::object::{Object, ObjectHandle};
#[cfg(feature = "s3")]
use super::objects::Objects;
pub(super) use super::packed::{Compression, compression};
use super::walk::{Found, Walk};
use crate::catalog::{Options, Table};
use crate::error::{Error, Result};

/// A folder whose entries change is listed again so often.
pub(super) const QUIET_TRIES: usize = 10;

/// The text for NULL in the name of a partition's directory.
pub(super) const DEFAULT_PARTITION: &str = "__DEFAULT_PARTITION__";

/// How a file comes to be, which says when it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    /// By records at its end: what is there can be read.
    Records,
    /// It is packed, and read when it has stopped growing.
    Packed,
    /// It is complete when its last bytes say so.
    Footer,
    /// An object of a store: complete when it is there, and another one when it is written anew.
    #[cfg_attr(not(feature = "s3"), allow(dead_code))]
    Whole,
}

/// A file as it was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FileInfo {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) modified_millis: i64,
    pub(super) compression: Compression,
    pub(super) growth: Growth,
    /// Values of the partition columns, in their order.
    pub(super) partition: Vec<Option<String>>,
    /// Tells a file from another that later has the same path.
    pub(super) identity: u64,
    /// Where it is, if not on this machine.
    pub(super) object: Option<Object>,
}

/// An open file, wherever it is.
pub(super) enum Handle {
    Local(File),
    Object(ObjectHandle),
}

impl Read for Handle {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Local(file) => file.read(buffer),
            Self::Object(object) => object.read(buffer),
        }
    }
}

impl Seek for Handle {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        match self {
            Self::Local(file) => file.seek(to),
            Self::Object(object) => object.seek(to),
        }
    }
}

impl Handle {
    /// It is the file that was listed: another one may have taken its name.
    pub(super) fn is(&self, file: &FileInfo) -> bool {
        match self {
            Self::Local(opened) => opened.metadata().is_ok_and(|m| identity(&m) == file.identity),
            // A request is for the version that was listed.
            Self::Object(_) => true,
        }
    }
}

impl FileInfo {
    /// Opens it.
    pub(super) fn open(&self) -> std::io::Result<Handle> {
        match &self.object {
            #[cfg(feature = "s3")]
            Some(object) => Ok(Handle::Object(object.open())),
            #[cfg(not(feature = "s3"))]
            Some(object) => match *object {},
            None => File::open(&self.path).map(Handle::Local),
        }
    }

    /// An object.
    #[cfg(feature = "s3")]
    fn of(object: Object, compression: Compression, partition: Vec<Option<String>>) -> Self {
        Self {
            path: object.path(),
            size: object.found.size,
            modified_millis: object.found.modified_millis,
            compression,
            growth: Growth::Whole,
            partition,
            identity: object.identity(),
            object: Some(object),
        }
    }

    /// Its name is still its own: it was neither renamed nor removed since it was listed.
    pub(super) fn is_in_place(&self) -> bool {
        self.object.is_some() || fs::metadata(&self.path).is_ok_and(|m| identity(&m) == self.identity)
    }

    /// What a file is followed by, whatever its name is.
    pub(super) fn key(&self) -> u64 {
        use std::hash::BuildHasher;
        match self.identity {
            0 => foldhash::quality::FixedState::default().hash_one(&self.path).max(1),
            identity => identity,
        }
    }
}

/// Whether there may be no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Empty {
    Refused,
    /// A pattern may match nothing, and an object store may be empty.
    Allowed,
    /// What the path names may be missing, too.
    Gone,
}

/// What `path` says.
#[derive(Debug, Clone)]
enum Place {
    /// A file, or everything below a directory.
    Path(PathBuf),
    /// A pattern, and the longest directory without one.
    Glob { pattern: String, base: PathBuf },
    /// Objects in the network.
    #[cfg(feature = "s3")]
    Objects(Objects),
}

/// `path` with what else decides which files are read.
#[derive(Debug, Clone)]
pub(super) struct Location {
    text: String,
    place: Place,
    pub(super) regex: Option<regex::Regex>,
    partitioned_by: Vec<String>,
    partition_default: String,
    /// The format is of files that are complete with their last bytes only.
    of_files: bool,
}

/// The path of an option: a plain one, or a `file:` URL.
pub(super) fn local_path(options: &Options) -> Result<PathBuf> {
    let text = options.required("path")?;
    let at = |e: Error| e.at(options.span("path"));
    if text.trim().is_empty() {
        return Err(at(Error::option("option 'path' is empty")));
    }
    if let Some(rest) = text.strip_prefix("file:") {
        let rest = match rest.strip_prefix("//") {
            Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
            None => rest,
        };
        let decoded = percent_encoding::percent_decode_str(rest).decode_utf8();
        return match decoded {
            Ok(path) if path.starts_with('/') => Ok(PathBuf::from(path.as_ref())),
            _ => Err(at(Error::option(format!("'{text}' does not name a local file"))
                .with_hint("write file:///absolute/path, or a plain path"))),
        };
    }
    if let Some((scheme, _)) = text.split_once("://") {
        let error = Error::unsupported(format!("paths of scheme '{scheme}' are not supported"));
        return Err(at(match cfg!(feature = "s3") {
            true => {
                error.with_hint("there are local paths, file://, s3://, gs://, az://, http:// and https://")
            }
            false => error.with_hint(
                "this build has no object stores: build it with `cargo build --release --features s3`",
            ),
        }));
    }
    Ok(PathBuf::from(text))
}

/// Whether a path is on this machine.
pub(super) fn is_local(options: &Options) -> Result<bool> {
    #[cfg(feature = "s3")]
    return Ok(crate::bucket::parts_of(options.required("path")?).is_none());
    #[cfg(not(feature = "s3"))]
    options.required("path").map(|_| true)
}

impl Location {
    /// From the table's options.
    pub(super) fn new(table: &Table) -> Result<Self> {
        let options = &table.options;
        #[cfg(feature = "s3")]
        let objects = Objects::of(options)?;
        #[cfg(feature = "s3")]
        let is_local = objects.is_none();
        #[cfg(not(feature = "s3"))]
        let is_local = true;
        let path = if is_local { local_path(options)? } else { PathBuf::new() };
        let text = path.to_string_lossy().into_owned();
        #[cfg(feature = "s3")]
        let text = objects.as_ref().map_or(text, Objects::shown);
        // A file may have brackets in its name: what exists is no pattern.
        let place = if is_local && text.contains(['*', '?', '[']) && !path.exists() {
            compiled(&text).map_err(|e| e.at(options.span("path")))?;
            let base = path
                .components()
                .take_while(|c| !c.as_os_str().to_string_lossy().contains(['*', '?', '[']))
                .collect();
            Place::Glob { pattern: text.clone(), base }
        } else {
            Place::Path(path)
        };
        #[cfg(feature = "s3")]
        let place = objects.map_or(place, Place::Objects);
        let regex = options
            .text("source.path.regex-pattern")
            .map(|pattern| {
                regex::Regex::new(&format!("^(?:{pattern})$")).map_err(|e| {
                    Error::option(format!("option 'source.path.regex-pattern': {e}"))
                        .at(options.span("source.path.regex-pattern"))
                })
            })
            .transpose()?;
        let partition_default = options.text("partition.default-name").unwrap_or(DEFAULT_PARTITION).into();
        Ok(Self {
            text,
            place,
            regex,
            partitioned_by: table.partitioned_by.clone(),
            partition_default,
            of_files: options.text("format").is_some_and(is_of_files),
        })
    }

    /// The path as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn is_local(&self) -> bool {
        matches!(&self.place, Place::Path(_) | Place::Glob { .. })
    }

    /// How a file of this path grows.
    pub(super) fn growth(&self, compression: Compression) -> Growth {
        match compression {
            _ if self.of_files => Growth::Footer,
            Compression::None => Growth::Records,
            _ => Growth::Packed,
        }
    }

    /// Whether directories hold values of columns.
    pub(super) fn is_partitioned(&self) -> bool {
        !self.partitioned_by.is_empty()
    }

    /// Whether it is one file.
    pub(super) fn is_single_file(&self) -> bool {
        matches!(&self.place, Place::Path(path) if path.is_file())
    }

    /// Whether the path is of one file, which may be gone.
    pub(super) fn is_single_file_path(&self) -> bool {
        matches!(&self.place, Place::Path(path) if !path.is_dir())
    }

    /// The files there are now, in order of their paths.
    pub(super) fn list(&self, empty: Empty) -> Result<Vec<FileInfo>> {
        // A file that is renamed while its folder is read may be left out.
        for _ in 0..QUIET_TRIES {
            let found = self.look(empty)?;
            if !found.unrest {
                return Ok(found.files);
            }
        }
        log::warn!(
            "'{}' changes while it is listed: files that are renamed in the meantime may be left out",
            self.text
        );
        Ok(self.look(empty)?.files)
    }

    /// The files there are now: what is followed may be away for a moment.
    pub(super) fn look_again(&self) -> Result<Vec<FileInfo>> {
        Ok(self.look(Empty::Gone)?.files)
    }

    fn root(&self) -> &Path {
        match &self.place {
            Place::Path(path) => path,
            Place::Glob { base, .. } if base.as_os_str().is_empty() => Path::new("."),
            Place::Glob { base, .. } => base,
            #[cfg(feature = "s3")]
            Place::Objects(_) => Path::new(&self.text),
        }
    }

    fn look(&self, empty: Empty) -> Result<Found> {
        #[cfg(feature = "s3")]
        if let Place::Objects(objects) = &self.place {
            return self.look_for_objects(objects, empty);
        }
        let mut walk = Walk::new(self);
        let root = self.root();
        let metadata = match fs::metadata(root) {
            Err(e) if e.kind() == ErrorKind::NotFound && empty == Empty::Gone => return walk.finish(),
            metadata => metadata.map_err(|e| self.missing(root, &e))?,
        };
        match &self.place {
            Place::Path(path) => {
                if metadata.is_dir() {
                    walk.directory(path, path, &metadata)?;
                } else if metadata.is_file() {
                    walk.file(path, Path::new(""), &metadata)?;
                } else {
                    return Err(Error::io(format!("'{}' is neither a file nor a directory", self.text))
                        .with_hint("to read what another program writes, use 'connector' = 'stdin'"));
                }
            }
            Place::Glob { pattern, base } if pattern.contains("**") => {
                walk.matching(compiled(pattern)?, base, &metadata)?;
            }
            Place::Glob { pattern, base } => {
                let options = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
                let paths = glob::glob_with(pattern, options).map_err(|e| no_pattern(pattern, &e))?;
                let mut matched = false;
                for path in paths {
                    let path = match path {
                        Ok(path) => path,
                        Err(e) if e.error().kind() == ErrorKind::NotFound => {
                            walk.unrest = true;
                            continue;
                        }
                        Err(e) => return Err(unreadable(e.path(), e.error())),
                    };
                    matched = true;
                    walk.entry(path, base)?;
                }
                if !matched && empty == Empty::Refused {
                    return Err(self.matches_nothing());
                }
            }
            #[cfg(feature = "s3")]
            Place::Objects(_) => {}
        }
        let found = walk.finish()?;
        match found.matched || empty != Empty::Refused {
            true => Ok(found),
            false => Err(self.matches_nothing()),
        }
    }

    fn matches_nothing(&self) -> Error {
        Error::io(format!("no file matches '{}'", self.text))
    }

    #[cfg(feature = "s3")]
    fn look_for_objects(&self, objects: &Objects, empty: Empty) -> Result<Found> {
        let (base, all) = objects.list()?;
        let mut files = Vec::with_capacity(all.len());
        for found in all {
            let object = Object { bucket: objects.bucket.clone(), found };
            let path = object.path();
            if self.regex.as_ref().is_some_and(|r| !r.is_match(&path.to_string_lossy())) {
                continue;
            }
            let compression = compression(&path)?;
            let partition = self.partition_of(&path, &base)?;
            files.push(FileInfo::of(object, compression, partition));
        }
        if files.is_empty() && empty == Empty::Refused {
            return Err(Error::io(format!("there is no object '{}', and none below", self.text))
                .with_hint("check option 'path'"));
        }
        Ok(Found { files, unrest: false, matched: true })
    }

    /// Files that are looked for by their identity, in the folders where they were last: a followed file may get
    /// a name that the path does not cover. Objects have one name.
    pub(super) fn relatives(&self, lost: &HashMap<u64, PathBuf>) -> Vec<FileInfo> {
        if !self.is_local() {
            return Vec::new();
        }
        let folder = |path: &PathBuf| path.parent().map(Path::to_path_buf);
        let folders: HashSet<PathBuf> = lost.values().filter_map(folder).collect();
        let mut found = Vec::new();
        for folder in folders {
            let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                let known = metadata.is_file().then(|| identity(&metadata)).filter(|i| lost.contains_key(i));
                let (Some(identity), Ok(compression)) = (known, compression(&entry.path())) else { continue };
                found.push(FileInfo {
                    compression,
                    growth: self.growth(compression),
                    size: metadata.len(),
                    modified_millis: metadata.modified().map_or(0, millis),
                    partition: Vec::new(),
                    object: None,
                    identity,
                    path: entry.path(),
                });
            }
        }
        found
    }

    fn missing(&self, path: &Path, e: &std::io::Error) -> Error {
        let error = unreadable(path, e);
        if e.kind() != std::io::ErrorKind::NotFound {
            return error;
        }
        match std::env::current_dir() {
            Ok(directory) if path.is_relative() => error
                .with_hint(format!("the path is relative to the working directory, {}", directory.display())),
            _ => error.with_hint("check option 'path'"),
        }
    }

    /// Names and values of the directories `name=value` between the path and the file; none for NULL.
    pub(super) fn folders_of(&self, file: &Path) -> Vec<(String, Option<String>)> {
        let base = match &self.place {
            Place::Path(path) => path.clone(),
            Place::Glob { base, .. } => base.clone(),
            #[cfg(feature = "s3")]
            Place::Objects(objects) => objects.base(),
        };
        let below = file.strip_prefix(&base).unwrap_or(Path::new(""));
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let folders = below.parent().into_iter().flat_map(Path::components);
        let pairs = folders.filter_map(|folder| {
            let folder = folder.as_os_str().to_string_lossy();
            let (name, value) = folder.split_once('=')?;
            let value = decode(value);
            Some((decode(name), (value != self.partition_default).then_some(value)))
        });
        pairs.collect()
    }

    /// Values of the partition columns in the directories between `root` and the file.
    pub(super) fn partition_of(&self, path: &Path, root: &Path) -> Result<Vec<Option<String>>> {
        if self.partitioned_by.is_empty() {
            return Ok(Vec::new());
        }
        let below = path.strip_prefix(root).unwrap_or(path);
        let mut values: Vec<Option<Option<String>>> = vec![None; self.partitioned_by.len()];
        for component in below.parent().into_iter().flat_map(Path::components) {
            let name = component.as_os_str().to_string_lossy();
            let Some((key, value)) = name.split_once('=') else { continue };
            let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy();
            let Some(i) = self.partitioned_by.iter().position(|c| *c == key) else { continue };
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
            values[i] = Some((value != self.partition_default).then_some(value));
        }
        values
            .into_iter()
            .zip(&self.partitioned_by)
            .map(|(value, column)| {
                value.ok_or_else(|| {
                    Error::io(format!("file {}: no directory '{column}=...' on its path", path.display()))
                        .with_detail(format!(
                            "the table is PARTITIONED BY ({})",
                            self.partitioned_by.join(", ")
                        ))
                })
            })
            .collect()
    }
}

/// Whether files of a format are complete with their last bytes only.
fn is_of_files(format: &str) -> bool {
    format == "parquet"
}

/// A failure to read, with the file.
pub(super) fn unreadable(path: &Path, e: &std::io::Error) -> Error {
    let error = match e.kind() {
        std::io::ErrorKind::NotFound => Error::io(format!("'{}' does not exist", path.display())),
        std::io::ErrorKind::PermissionDenied => {
            Error::io(format!("'{}' may not be read: permission denied", path.display()))
        }
        _ => Error::io(format!("'{}' could not be read: {e}", path.display())),
    };
    error.lasting_if(e.kind())
}

/// The data files below a directory; none when there is no such directory.
pub(super) fn data_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let (mut found, mut directories) = (Vec::new(), vec![directory.to_path_buf()]);
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if hidden(&path) {
                continue;
            }
            if kind.is_dir() { directories.push(path) } else { found.push(path) }
        }
    }
    Ok(found)
}

fn compiled(pattern: &str) -> Result<glob::Pattern> {
    glob::Pattern::new(pattern).map_err(|e| no_pattern(pattern, &e))
}

fn no_pattern(pattern: &str, e: &glob::PatternError) -> Error {
    Error::option(format!("'{pattern}' is not a pattern: {e}"))
}

/// Hidden files and those that start with `_` are not data: in-progress files, `_SUCCESS`.
pub(super) fn hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|n| matches!(n.as_encoded_bytes().first(), Some(b'.' | b'_')))
}

pub(super) fn millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(d) => i64::try_from(d.as_millis()).unwrap_or(i64::MAX),
        Err(e) => i64::try_from(e.duration().as_millis()).map_or(i64::MIN, |m| -m),
    }
}

/// Inode, and where it is known the time of birth: an inode alone is soon given to another file, which is then
/// told by what it holds. 0 where files have no identity.
#[cfg(unix)]
pub(super) fn identity(metadata: &fs::Metadata) -> u64 {
    use std::hash::BuildHasher;
    use std::os::unix::fs::MetadataExt;
    let inode = (metadata.dev(), metadata.ino(), metadata.created().ok());
    foldhash::quality::FixedState::default().hash_one(inode).max(1)
}

#[cfg(not(unix))]
pub(super) fn identity(_metadata: &fs::Metadata) -> u64 {
    0
}
