//! Files that are followed as they grow, as `tail -F` does: what is appended is read, a line counts when its
//! newline has come, a file that was replaced or cut short is read from its start, and one that was renamed
//! is not read again. Packed files are read once, when they have stopped growing.
//!
//! A file is known by its identity, not by its name. A listing may miss one that is renamed at that moment, so it
//! is forgotten only when several looks in a row did not find it, also not under another name in the directory
//! where it was last. Whether it still holds what was read of it is tested whenever reading continues: it may have
//! been cut short and have grown beyond the old place since (`copytruncate`).

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use super::files::{FileInfo, Growth, Location};
use super::input::Split;
use super::layout::{Kept, Place, Reached};
use super::position::{Position, find, followed_name, text};
use super::reader::SplitReader;
use crate::connector::Positions;
use crate::error::Result;

/// A file that is followed.
struct Followed {
    file: Arc<FileInfo>,
    /// Where reading continues.
    place: Place,
    /// How much of the file was looked at: up to `place`, and the line that had no end yet.
    seen: u64,
    /// The checksum of what was read, up to `place.read`.
    checksum: Option<u32>,
    /// When the file had been modified last by the time it was read.
    read_at: i64,
    /// So many looks in a row have not found it.
    missing: u8,
    /// The decoder that holds an unfinished record, for formats whose records are not lines.
    kept: Option<Kept>,
    /// It was said that it is not complete.
    unfinished: bool,
    /// In the queue, or being read.
    busy: bool,
    /// Being read.
    in_hand: bool,
    /// What is to be reported with the next cut.
    changed: Option<Reached>,
    /// It is read on by those only who have passed this barrier.
    epoch: u64,
    /// The last look that had begun when it was last read: what that one found may be older.
    look: u64,
}

/// All files that are followed.
#[derive(Default)]
pub(super) struct Following {
    files: HashMap<u64, Followed>,
    /// Names of positions of files that are gone, to be reported, by the barrier after which they went.
    gone: BTreeSet<String>,
    /// Looks that have begun.
    looks: u64,
}

/// So many looks must miss a file until it is forgotten.
const GONE_AFTER: u8 = 3;

const START: Place = Place { offset: 0, aligned: true, rows: 0, read: 0 };

impl Followed {
    fn new(file: Arc<FileInfo>) -> Self {
        Self {
            read_at: file.modified_millis,
            file,
            place: START,
            seen: 0,
            checksum: None,
            missing: 0,
            kept: None,
            unfinished: false,
            busy: false,
            in_hand: false,
            changed: None,
            epoch: 0,
            look: 0,
        }
    }

    /// It holds something else than what was read: everything is new.
    fn begin_again(&mut self) {
        self.given_up("was cut short or written anew");
        (self.place, self.seen, self.kept, self.checksum) = (START, 0, None, None);
        // The checksum of nothing is 0.
        self.changed = Some(Reached { start: 0, end: None, place: START, done: false, checksum: Some(0) });
    }

    /// Says so when the end of a file is lost.
    fn given_up(&self, what: &str) {
        let unfinished = self.seen.saturating_sub(self.place.offset);
        let lines = self.kept.is_none() && self.place.rows == 0;
        if unfinished > 0 && lines && self.file.growth == Growth::Records {
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
    /// writes it has, as far as can be known, come to its end. One that says itself whether it is complete is looked
    /// at until it does.
    pub(super) fn add(&mut self, file: Arc<FileInfo>, queue: &mut VecDeque<Split>) {
        let mut followed = Followed::new(file.clone());
        followed.busy = file.growth != Growth::Packed;
        if followed.busy {
            queue.push_back(followed.split());
        }
        self.gone.remove(&followed_name(&file));
        self.files.insert(file.key(), followed);
    }

    /// A look begins: its number.
    pub(super) fn begin_look(&mut self) -> u64 {
        self.looks += 1;
        self.looks
    }

    /// Compares what is followed with the files that a look has found.
    pub(super) fn compare(
        &mut self,
        files: Vec<FileInfo>,
        look: u64,
        location: &Location,
        queue: &mut VecDeque<Split>,
    ) {
        self.files.values_mut().for_each(|f| f.missing = f.missing.saturating_add(1));
        let mut renamed = false;
        for file in files {
            renamed |= self.meet(file, look, queue);
        }
        let lost = self.files.iter().filter(|(_, f)| f.missing > 0 && f.file.identity != 0);
        let lost: HashMap<_, _> = lost.map(|(key, f)| (*key, f.file.path.clone())).collect();
        if !lost.is_empty() {
            for mut file in location.relatives(&lost) {
                if let Some(known) = self.files.get(&file.key()) {
                    file.partition = known.file.partition.clone();
                    renamed |= self.meet(file, look, queue);
                }
            }
        }
        if renamed {
            for split in queue.iter_mut() {
                if let Some(followed) = self.files.get(&split.file.key()) {
                    split.file = followed.file.clone();
                }
            }
        }
        let gone = |_: &u64, f: &mut Followed| f.missing >= GONE_AFTER && !f.in_hand;
        for (_, followed) in self.files.extract_if(gone) {
            followed.given_up("was removed");
            if followed.unfinished && followed.seen == 0 {
                log::warn!("file {} was removed before it was complete", followed.file.path.display());
            }
            self.gone.insert(followed_name(&followed.file));
            if followed.busy {
                queue.retain(|split| split.file.key() != followed.file.key());
            }
        }
    }

    /// A file was found; says whether it has another name now.
    fn meet(&mut self, file: FileInfo, look: u64, queue: &mut VecDeque<Split>) -> bool {
        let file = Arc::new(file);
        let Some(followed) = self.files.get_mut(&file.key()) else {
            self.add(file, queue);
            return false;
        };
        if followed.missing == 0 {
            // It has several names.
            return false;
        }
        followed.missing = 0;
        let renamed = followed.file.path != file.path;
        // A file that was read while the look went on may have grown since it was found.
        let is_newer = followed.look < look;
        let is_shorter = file.size < followed.seen && file.growth == Growth::Records;
        if !followed.busy && is_newer && is_shorter {
            followed.begin_again();
        }
        self.refresh(&file, queue);
        renamed
    }

    /// Puts what a file has grown by into the queue.
    fn refresh(&mut self, file: &Arc<FileInfo>, queue: &mut VecDeque<Split>) {
        let Some(followed) = self.files.get_mut(&file.key()) else { return };
        let before = std::mem::replace(&mut followed.file, file.clone());
        let ready = match file.growth {
            // One that was rewritten may have the same size.
            Growth::Records => file.size > followed.seen || file.modified_millis != followed.read_at,
            Growth::Packed => followed.seen == 0 && file.size > 0 && file.size == before.size,
            Growth::Footer | Growth::Whole => followed.seen == 0 && file.size > 0,
        };
        if ready && !followed.busy {
            followed.busy = true;
            queue.push_back(followed.split());
        }
    }

    /// Goes on where positions say; says whether it does: not if a file was renamed since it was listed, or is missing and
    /// was not looked for often enough.
    pub(super) fn restore(
        &mut self,
        positions: Vec<Position>,
        mut files: Vec<FileInfo>,
        look: usize,
        location: &Location,
        queue: &mut VecDeque<Split>,
    ) -> Result<bool> {
        let listed: HashSet<u64> = files.iter().map(FileInfo::key).collect();
        let lost = positions.iter().filter(|p| p.identity() != 0 && !listed.contains(&p.identity()));
        let lost: HashMap<_, _> = lost.map(|p| (p.identity(), PathBuf::from(&p.path))).collect();
        let before = files.len();
        if !location.is_partitioned() {
            files.extend(location.relatives(&lost));
        }
        if files.len() - before < lost.len() && look < usize::from(GONE_AFTER) {
            return Ok(false);
        }
        let Some((mut found, gone)) = find(positions, &files)? else { return Ok(false) };
        for position in gone {
            self.gone.insert(followed_name(&position.file()?));
        }
        for file in files {
            let file = Arc::new(file);
            let Some(position) = found.remove(&text(&file.path)) else {
                // What is only looked for does not start from the beginning.
                if listed.contains(&file.key()) && !self.files.contains_key(&file.key()) {
                    self.add(file, queue);
                }
                continue;
            };
            let mut followed = Followed::new(file.clone());
            let reached = position.reached();
            (followed.place, followed.checksum) = (reached.place, reached.checksum);
            // Whether there is more is found out by looking from there.
            followed.seen = match file.growth {
                Growth::Records => position.offset,
                _ if position.done => file.size,
                _ => 0,
            };
            if position.path != text(&file.path) || position.identity() != file.identity {
                // Its place now is reported.
                self.gone.insert(followed_name(&position.file()?));
                followed.changed = Some(reached);
            }
            self.gone.remove(&followed_name(&file));
            self.files.insert(file.key(), followed);
            self.refresh(&file, queue);
        }
        Ok(true)
    }

    /// Whether a file may be read by one who has passed this barrier.
    pub(super) fn is_free(&self, file: &FileInfo, passed: u64) -> bool {
        self.files.get(&file.key()).is_none_or(|f| f.epoch <= passed)
    }

    /// A file of the queue is being read: what was kept of it, and the checksum of what was read.
    pub(super) fn take(&mut self, file: &FileInfo) -> (Option<Kept>, Option<(u64, u32)>) {
        let Some(followed) = self.files.get_mut(&file.key()) else { return (None, None) };
        followed.in_hand = true;
        (followed.kept.take(), followed.checksum.map(|sum| (followed.place.read, sum)))
    }

    /// A file is not where it was listed: renamed or removed, which the next look finds.
    pub(super) fn miss(&mut self, file: &FileInfo) {
        if let Some(followed) = self.files.get_mut(&file.key()) {
            (followed.busy, followed.in_hand) = (false, false);
            (followed.seen, followed.kept) = (followed.place.offset, None);
        }
    }

    /// A file is not complete: it is looked at again when it has changed. Says so once.
    pub(super) fn unfinished(&mut self, file: &FileInfo) {
        if let Some(followed) = self.files.get_mut(&file.key()) {
            (followed.busy, followed.in_hand) = (false, false);
            if !std::mem::replace(&mut followed.unfinished, true) {
                log::info!("file {} is not complete yet: it has no footer", file.path.display());
            }
        }
    }

    /// A file does not hold what was read of it.
    pub(super) fn written_anew(&mut self, file: &FileInfo, queue: &mut VecDeque<Split>) {
        if let Some(followed) = self.files.get_mut(&file.key()) {
            followed.begin_again();
            (followed.busy, followed.in_hand) = (true, false);
            queue.push_back(followed.split());
        }
    }

    /// A file waits for more, or for another reader; whoever read it has passed this barrier.
    pub(super) fn done(
        &mut self,
        reader: SplitReader,
        reached: Reached,
        passed: u64,
        queue: &mut VecDeque<Split>,
    ) {
        let file = reader.split().file.clone();
        let torn = reader.torn();
        let (place, seen, kept) = reader.park();
        let Some(followed) = self.files.get_mut(&file.key()) else { return };
        (followed.busy, followed.in_hand) = (false, false);
        followed.epoch = followed.epoch.max(passed);
        followed.look = self.looks;
        let seen = match file.growth {
            Growth::Records => seen,
            _ if reached.done => file.size,
            _ => 0,
        };
        (followed.place, followed.seen, followed.kept) = (place, seen, kept);
        (followed.checksum, followed.read_at) = (reached.checksum, file.modified_millis);
        followed.changed = Some(reached);
        if torn {
            self.written_anew(&file, queue);
        }
    }

    /// Positions of files that no reader is reading and that were not read after this barrier. From now on only
    /// readers that have passed the barrier read them.
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
