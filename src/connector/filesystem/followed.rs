//! Files that are followed as they grow, as `tail -F` does: what is appended is read, a line counts when its
//! newline has come, a file that was replaced or cut short is read from its start, and one that was renamed
//! is not read again. Packed files are read once, when they have stopped growing.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use super::files::{Compression, FileInfo};
use super::input::Split;
use super::layout::{Kept, Place, Reached, SplitReader};
use super::position::{Position, find, followed_name, text};
use crate::connector::Positions;
use crate::error::Result;

/// A file that is followed.
struct Followed {
    file: Arc<FileInfo>,
    /// Where reading goes on.
    place: Place,
    /// How much of the file was looked at: up to `place`, and the line that had no end yet.
    seen: u64,
    /// The decoder that holds an unfinished record, for formats whose records are not lines.
    kept: Option<Kept>,
    /// In the queue, or being read.
    busy: bool,
    /// Being read.
    in_hand: bool,
    /// What is to be told with the next cut.
    changed: Option<Reached>,
    /// It is read on by those only who have passed this barrier.
    epoch: u64,
}

/// All files that are followed.
#[derive(Default)]
pub(super) struct Following {
    files: HashMap<PathBuf, Followed>,
    /// Names of positions of files that are gone, to be told, by the barrier behind which they went.
    gone: BTreeSet<String>,
}

const START: Place = Place { offset: 0, aligned: true, rows: 0, read: 0 };

impl Followed {
    fn new(file: Arc<FileInfo>) -> Self {
        Self { file, place: START, seen: 0, kept: None, busy: false, in_hand: false, changed: None, epoch: 0 }
    }

    /// Says so when the end of a file is lost.
    fn given_up(&self, what: &str) {
        let unfinished = self.seen.saturating_sub(self.place.offset);
        let lines = self.kept.is_none() && self.place.rows == 0;
        if unfinished > 0 && lines && self.file.compression == Compression::None {
            log::warn!(
                "file {} {what}: its last {unfinished} bytes had no newline and were not read",
                self.file.path.display()
            );
        }
    }

    /// What is to be read.
    fn split(&self) -> Split {
        let (start, skip) =
            if self.kept.is_some() { (self.seen, 0) } else { (self.place.offset, self.place.rows) };
        Split { file: self.file.clone(), start, end: None, aligned: true, skip, range: 0, owner: None }
    }
}

impl Following {
    /// Follows a new file. A packed one is read when it has the same size at the next look: then whoever
    /// writes it has, as far as one can tell, come to its end.
    pub(super) fn add(&mut self, file: Arc<FileInfo>, queue: &mut VecDeque<Split>) {
        let mut followed = Followed::new(file.clone());
        followed.busy = file.compression == Compression::None;
        if followed.busy {
            queue.push_back(followed.split());
        }
        self.gone.remove(&followed_name(&file));
        self.files.insert(file.path.clone(), followed);
    }

    /// Compares what is followed with the files there are now.
    pub(super) fn compare(&mut self, files: Vec<FileInfo>, queue: &mut VecDeque<Split>) {
        let listed: HashMap<_, _> = files.iter().map(|f| (f.path.clone(), f.identity)).collect();
        // Files that are not where they were: renamed (logs are rotated), replaced or removed.
        let mut displaced: HashMap<u64, Followed> = HashMap::new();
        let moved = |path: &PathBuf, f: &mut Followed| !f.busy && listed.get(path) != Some(&f.file.identity);
        for (_, followed) in self.files.extract_if(moved) {
            match followed.file.identity {
                0 => {
                    followed.given_up("was removed");
                    self.gone.insert(followed_name(&followed.file));
                }
                identity => drop(displaced.insert(identity, followed)),
            }
        }
        let busy: HashSet<_> = self.files.values().filter(|f| f.busy).map(|f| f.file.identity).collect();
        for file in files {
            let file = Arc::new(file);
            let Some(followed) = self.files.get_mut(&file.path) else {
                let known = displaced.remove(&file.identity).filter(|k| file.size >= k.seen);
                match known {
                    Some(known) => drop(self.files.insert(file.path.clone(), known)),
                    // It is being read under its old name: next time.
                    None if file.identity != 0 && busy.contains(&file.identity) => continue,
                    None => {
                        self.add(file, queue);
                        continue;
                    }
                }
                self.refresh(&file, queue);
                continue;
            };
            if !followed.busy && file.size < followed.seen {
                followed.given_up("was cut short");
                (followed.place, followed.seen, followed.kept) = (START, 0, None);
            }
            self.refresh(&file, queue);
        }
        for followed in displaced.values() {
            followed.given_up("was removed or replaced");
            self.gone.insert(followed_name(&followed.file));
        }
    }

    /// Puts what a file has grown by into the queue.
    fn refresh(&mut self, file: &Arc<FileInfo>, queue: &mut VecDeque<Split>) {
        let Some(followed) = self.files.get_mut(&file.path).filter(|f| !f.busy) else { return };
        let before = std::mem::replace(&mut followed.file, file.clone());
        let ready = match file.compression {
            Compression::None => file.size > followed.seen,
            Compression::Gzip => followed.seen == 0 && file.size > 0 && file.size == before.size,
        };
        if ready {
            followed.busy = true;
            queue.push_back(followed.split());
        }
    }

    /// Goes on where positions say.
    pub(super) fn restore(
        &mut self,
        positions: Vec<Position>,
        files: Vec<FileInfo>,
        queue: &mut VecDeque<Split>,
    ) -> Result<()> {
        let (mut found, gone) = find(positions, &files);
        for position in gone {
            self.gone.insert(followed_name(&position.file()?));
        }
        for file in files {
            let file = Arc::new(file);
            let Some(position) = found.remove(&text(&file.path)) else {
                self.add(file, queue);
                continue;
            };
            let mut followed = Followed::new(file.clone());
            let reached = position.reached();
            followed.place = reached.place;
            // Whether there is more is found out by looking from there.
            followed.seen = match file.compression {
                Compression::Gzip if position.done => file.size,
                Compression::Gzip => 0,
                Compression::None => position.offset,
            };
            if position.path != text(&file.path) || position.identity() != file.identity {
                // It is told where it is now.
                self.gone.insert(followed_name(&position.file()?));
                followed.changed = Some(reached);
            }
            self.gone.remove(&followed_name(&file));
            self.files.insert(file.path.clone(), followed);
            self.refresh(&file, queue);
        }
        Ok(())
    }

    /// Whether a file may be read by one who has passed this barrier.
    pub(super) fn is_free(&self, file: &FileInfo, passed: u64) -> bool {
        self.files.get(&file.path).is_none_or(|f| f.epoch <= passed)
    }

    /// A file of the queue is being read.
    pub(super) fn take(&mut self, file: &FileInfo) -> Option<Kept> {
        let followed = self.files.get_mut(&file.path)?;
        followed.in_hand = true;
        followed.kept.take()
    }

    /// A file is not where it was listed: renamed or removed, which the next look tells.
    pub(super) fn miss(&mut self, file: &FileInfo) {
        if let Some(followed) = self.files.get_mut(&file.path) {
            (followed.busy, followed.in_hand) = (false, false);
            (followed.seen, followed.kept) = (followed.place.offset, None);
        }
    }

    /// A file waits for more, or for another reader; whoever read it has passed this barrier.
    pub(super) fn done(&mut self, reader: SplitReader, reached: Reached, passed: u64) {
        let file = reader.split().file.clone();
        let (place, seen, kept) = reader.park();
        let Some(followed) = self.files.get_mut(&file.path) else { return };
        (followed.busy, followed.in_hand) = (false, false);
        followed.epoch = followed.epoch.max(passed);
        let seen = match file.compression {
            Compression::None => seen,
            Compression::Gzip if reached.done => file.size,
            Compression::Gzip => 0,
        };
        (followed.place, followed.seen, followed.kept) = (place, seen, kept);
        followed.changed = Some(reached);
    }

    /// Positions of files that nobody has in hand, and that were not read behind this barrier. Before it
    /// they are read no more.
    pub(super) fn changed(&mut self, epoch: u64) -> Result<Positions> {
        let mut positions = Positions::new();
        for followed in self.files.values_mut().filter(|f| !f.in_hand && f.epoch < epoch) {
            if let Some(reached) = followed.changed.take() {
                let position = Position::new(&followed.file, &reached);
                positions.insert(followed_name(&followed.file), position.json()?);
                if epoch < u64::MAX {
                    followed.epoch = epoch;
                }
            }
        }
        let gone = std::mem::take(&mut self.gone).into_iter();
        positions.extend(gone.map(|name| (name, serde_json::Value::Null)));
        Ok(positions)
    }
}
