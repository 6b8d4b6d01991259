//! Positions in files, as checkpoints hold them.
//!
//! ```text
//! "logs/a.jsonl@0":        { "path": "logs/a.jsonl", "start": 0, "end": 16777216, "offset": 1048501, "aligned": true,
//!                            "rows": 8192, "done": false, "read": 1048501, "size": 40000000, "identity": "9f...",
//!                            "checksum": "1c291ca3" }
//! "logs/a.jsonl@16777216": { ... "done": true }
//! ```
//! A position names a range of bytes of a file, so that it does not matter how another run cuts the file: of
//! a range that was begun the rest is read, and what no position names is read whole. All rows before `offset`
//! were handed over, and `rows` rows after it. A followed file has one position, under its identity
//! (inode and birth, if they are known), because it may be renamed.
//!
//! Files may be copied, replaced and cut short while no job runs. A file is the same one if its first `read` bytes
//! have the same checksum.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::{Compression, FileInfo, Growth, compression, identity, unreadable};
use super::input::{Split, changed, checksum};
use super::layout::{Place, Reached};
use crate::connector::{Positions, position::not_understood};
use crate::error::{Error, Result};

/// A position in a range of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) path: String,
    pub(super) start: u64,
    pub(super) end: Option<u64>,
    pub(super) offset: u64,
    pub(super) aligned: bool,
    pub(super) rows: u64,
    pub(super) done: bool,
    pub(super) read: u64,
    pub(super) size: u64,
    /// Hexadecimal, as many readers of JSON know no numbers of 64 bits.
    identity: String,
    /// Empty: what was read was gone from the file when the checkpoint was taken.
    checksum: String,
    /// Which task read it, and of how many: it reads on if there are as many. Else a range with older rows could
    /// go to a task whose event time is ahead of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<(usize, usize)>,
}

/// Whether a file holds what a position has read.
enum Held {
    Same,
    Other,
    /// The file was renamed or removed since it was listed: what has its name now tells nothing about it.
    Moved,
}

/// The path of a file in positions.
pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The name of the position of a followed file.
pub(super) fn followed_name(file: &FileInfo) -> String {
    match file.identity {
        0 => text(&file.path),
        identity => format!("{identity:016x}"),
    }
}

/// The name of the position of a range of a file.
pub(super) fn range_name(file: &FileInfo, start: u64) -> String {
    format!("{}@{start}", file.path.display())
}

/// Positions of files below one path (or of one that is a file), as they would be called below another one. `from`:
/// names of the one path.
pub(super) fn moved(positions: Positions, from: &[&str], to: &str) -> Result<Positions> {
    let (bases, to) = (from.iter().map(|f| fixed(f)).collect::<Vec<_>>(), fixed(to));
    let renamed = |path: &str| -> Option<String> {
        let rest = bases.iter().find_map(|base| Path::new(path).strip_prefix(base).ok())?;
        // Joining nothing would add a separator.
        let path = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
        Some(text(&path))
    };
    let mut all = Positions::new();
    for (name, mut position) in positions {
        let Some(old) = position.get("path").and_then(Value::as_str).map(str::to_string) else {
            all.insert(name, position);
            continue;
        };
        let new = renamed(&old).ok_or_else(|| {
            Error::option(format!(
                "the checkpoint has a position in '{old}', which is not below the place it moved from"
            ))
            .with_detail(format!("that is: {}", from.join(", ")))
        })?;
        let name = name.strip_prefix(&old).map_or_else(|| name.clone(), |rest| format!("{new}{rest}"));
        position["path"] = new.into();
        all.insert(name, position);
    }
    Ok(all)
}

/// The part of a path before its first pattern.
fn fixed(path: &str) -> PathBuf {
    let whole = Path::new(path);
    if whole.exists() {
        return whole.to_path_buf();
    }
    whole.components().take_while(|c| !c.as_os_str().to_string_lossy().contains(['*', '?', '['])).collect()
}

impl Position {
    /// Of a file where it is now.
    pub(super) fn new(file: &FileInfo, reached: &Reached) -> Self {
        let Reached { start, end, place, done, checksum } = *reached;
        Self {
            path: text(&file.path),
            start,
            end,
            offset: place.offset,
            aligned: place.aligned,
            rows: place.rows,
            done,
            read: place.read,
            size: file.size,
            identity: format!("{:016x}", file.identity),
            checksum: checksum.map_or_else(String::new, |sum| format!("{sum:08x}")),
            task: None,
        }
    }

    /// Read by this task of so many.
    pub(super) fn by(self, task: usize, tasks: usize) -> Self {
        Self { task: Some((task, tasks)), ..self }
    }

    /// As a checkpoint holds it.
    pub(super) fn json(&self) -> Result<Value> {
        serde_json::to_value(self).map_err(|e| Error::internal(format!("a position in a file: {e}")))
    }

    /// All positions; without those that are to be forgotten.
    pub(super) fn all(positions: &Positions) -> Result<Vec<Self>> {
        let known = positions.iter().filter(|(_, position)| !position.is_null());
        let parse = |(name, position): (&String, &Value)| -> Result<Self> {
            let parsed: Self =
                serde_json::from_value(position.clone()).map_err(|_| not_understood(name, position))?;
            let ordered = parsed.end.is_none_or(|end| end > parsed.start);
            let hexadecimal = u64::from_str_radix(&parsed.identity, 16).is_ok();
            if ordered && hexadecimal { Ok(parsed) } else { Err(not_understood(name, position)) }
        };
        known.map(parse).collect()
    }

    pub(super) fn identity(&self) -> u64 {
        u64::from_str_radix(&self.identity, 16).unwrap_or(0)
    }

    pub(super) fn reached(&self) -> Reached {
        let Self { start, end, offset, aligned, rows, done, read, .. } = *self;
        let place = Place { offset, aligned, rows, read };
        Reached { start, end, place, done, checksum: u32::from_str_radix(&self.checksum, 16).ok() }
    }

    /// Whether the file still begins with what was read.
    fn holds(&self, file: &FileInfo) -> Result<Held> {
        let held = |same: bool| if same { Held::Same } else { Held::Other };
        if file.object.is_some() {
            // An object does not change: it is replaced.
            return Ok(held(self.identity() == file.identity));
        }
        let packed = file.compression != Compression::None;
        if file.size < if packed { self.size } else { self.read } {
            return Ok(Held::Other);
        }
        let mut opened = match File::open(&file.path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Held::Moved),
            opened => opened.map_err(|e| unreadable(&file.path, &e))?,
        };
        let metadata = opened.metadata().map_err(|e| unreadable(&file.path, &e))?;
        if identity(&metadata) != file.identity {
            return Ok(Held::Moved);
        }
        match checksum(&mut opened, self.read) {
            Ok(sum) => Ok(held(u32::from_str_radix(&self.checksum, 16) == Ok(sum))),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(Held::Other),
            Err(e) => Err(unreadable(&file.path, &e)),
        }
    }

    /// What is known of the file.
    pub(super) fn file(&self) -> Result<FileInfo> {
        let path = Path::new(&self.path);
        let compression = compression(path)?;
        Ok(FileInfo {
            path: path.to_path_buf(),
            growth: if compression == Compression::None { Growth::Records } else { Growth::Packed },
            size: self.size,
            modified_millis: 0,
            compression,
            partition: Vec::new(),
            identity: self.identity(),
            object: None,
        })
    }

    /// What is left of the range.
    fn rest(&self, file: &Arc<FileInfo>) -> Split {
        Split {
            file: file.clone(),
            start: self.offset,
            end: self.end,
            aligned: self.aligned,
            skip: self.rows,
            range: self.start,
            owner: self.task,
        }
    }
}

/// Whether all of a file was read.
fn all_read(ranges: &[Position]) -> bool {
    let mut next = Some(0);
    for range in ranges {
        if !range.done || next != Some(range.start) {
            return false;
        }
        next = range.end;
    }
    next.is_none()
}

/// What is left to be read of files that are read once, in the order of their paths. `cuts` says for which files
/// ranges make sense. `None`: a file was renamed since it was listed.
pub(super) fn remaining(
    files: Vec<Arc<FileInfo>>,
    positions: Vec<Position>,
    split_size: u64,
    cuts: impl Fn(&FileInfo) -> bool,
) -> Result<Option<Vec<Split>>> {
    let mut known: BTreeMap<String, Vec<Position>> = BTreeMap::new();
    let by_identity: HashMap<u64, &Arc<FileInfo>> =
        files.iter().filter(|f| f.identity != 0).map(|f| (f.identity, f)).collect();
    for position in positions {
        // The file may have been renamed; without its identity, what has its name is it.
        let path = by_identity.get(&position.identity()).map_or(position.path.clone(), |f| text(&f.path));
        known.entry(path).or_default().push(position);
    }
    let mut splits = Vec::new();
    for file in files {
        let Some(mut ranges) = known.remove(&text(&file.path)) else {
            splits.extend(whole(&file, split_size, &cuts));
            continue;
        };
        // A range that was read on under another name has two positions.
        ranges.sort_by_key(|r| (r.start, std::cmp::Reverse((r.done, r.offset, r.rows))));
        ranges.dedup_by_key(|r| r.start);
        // The one that saw most of the file speaks for all.
        let furthest = ranges.iter().max_by_key(|r| r.read);
        let same = match furthest.map(|f| f.holds(&file)).transpose()? {
            Some(Held::Moved) => return Ok(None),
            held => !matches!(held, Some(Held::Other)),
        };
        if all_read(&ranges) {
            let read = furthest.map_or(0, |f| f.size.max(f.read));
            if !same || (file.size > read && file.compression == Compression::None) {
                log::warn!(
                    "file {} was changed after it had been read: what is new in it is not read",
                    file.path.display()
                );
            }
            continue;
        }
        if !same {
            return Err(changed(&file.path, furthest.map_or(0, |f| f.read)));
        }
        let mut next = Some(0);
        for range in &ranges {
            match next {
                Some(next) if next == range.start => {}
                Some(next) if next < range.start && cuts(&file) => {
                    splits.extend(Split::cut(&file, next..range.start, split_size));
                }
                _ => return Err(not_understood(&range.path, &range.json()?)),
            }
            if !range.done && range.end.is_none_or(|end| range.offset <= end) {
                splits.push(range.rest(&file));
            }
            next = range.end;
        }
        if let Some(next) = next {
            if !cuts(&file) {
                let last = ranges.last().map(Position::json).transpose()?.unwrap_or_default();
                return Err(not_understood(&range_name(&file, next), &last));
            }
            splits.extend(Split::cut(&file, next..u64::MAX, split_size));
        }
    }
    match known.into_iter().find(|(_, ranges)| !all_read(ranges)) {
        Some((path, _)) => {
            Err(Error::io(format!("file {path} no longer exists, it was not read to its end"))
                .with_hint("put the file back, or start the job without its checkpoints"))
        }
        None => Ok(Some(splits)),
    }
}

/// All of a file.
pub(super) fn whole(file: &Arc<FileInfo>, split_size: u64, cuts: &impl Fn(&FileInfo) -> bool) -> Vec<Split> {
    if cuts(file) { Split::cut(file, 0..u64::MAX, split_size) } else { vec![Split::whole(file.clone())] }
}

/// Positions by the path of their file, and those whose file is gone.
pub(super) type Located = (HashMap<String, Position>, Vec<Position>);

/// Where followed files are found again. The others are gone, or other files now; what is lost with them is reported.
/// `None`: a file was renamed since it was listed.
pub(super) fn find(positions: Vec<Position>, files: &[FileInfo]) -> Result<Option<Located>> {
    let by_identity: HashMap<u64, &FileInfo> =
        files.iter().filter(|f| f.identity != 0).map(|f| (f.identity, f)).collect();
    let by_path: HashMap<String, &FileInfo> = files.iter().map(|f| (text(&f.path), f)).collect();
    let (mut found, mut lost) = (HashMap::new(), Vec::new());
    let mut unsure = Vec::new();
    for position in positions {
        let Some(file) = by_identity.get(&position.identity()) else {
            unsure.push(position);
            continue;
        };
        match position.holds(file)? {
            Held::Same => drop(found.insert(text(&file.path), position)),
            Held::Other => unsure.push(position),
            Held::Moved => return Ok(None),
        }
    }
    for position in unsure {
        // Copied, as a whole disk is.
        let now = by_path.get(&position.path);
        match now.filter(|_| !found.contains_key(&position.path)).map(|f| position.holds(f)).transpose()? {
            Some(Held::Same) => drop(found.insert(position.path.clone(), position)),
            Some(Held::Moved) => return Ok(None),
            Some(Held::Other) | None => lost.push((position, now.is_some())),
        }
    }
    for (position, replaced) in &lost {
        let unread = position.size.saturating_sub(position.read);
        let packed = position.file().is_ok_and(|f| f.compression != Compression::None);
        if if packed { !position.done } else { unread > 0 } {
            let what = match replaced {
                true => "was replaced or cut short, it is read from its start",
                false => "was removed",
            };
            log::warn!(
                "file {} {what}; of what it held when the checkpoint was taken, not all was read",
                position.path
            );
        }
    }
    Ok(Some((found, lost.into_iter().map(|(position, _)| position).collect())))
}
