//! A disk in memory that knows what a loss of power leaves, and on which any step can fail.
//!
//! ```text
//!  create, write ─> in memory ── sync ──> durable contents of the file
//!  rename, link, remove, create_folder ─> in memory ── sync_folder ──> durable names
//! ```
//! A loss of power keeps what is durable. Of the rest each change of a name may have happened or not, in any
//! order, and contents that were not synced are anything: as before, cut off, or zeros.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Store;
use super::disk::{Disk, DiskFile, Entry};
use super::local::LocalStore;

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The power is lost in the middle of it: nothing works until [`FaultyDisk::restart`].
    Crash,
    /// The disk is full; half of what is written arrives.
    Full,
    /// It fails without having done anything; a sync loses what it was to make durable.
    Fails,
    /// It is done and fails nevertheless.
    FailsLate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(usize),
    Folder,
}

#[derive(Debug, Default, Clone)]
struct Contents {
    live: Vec<u8>,
    durable: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Change {
    Set(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, Node),
}

impl Change {
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Set(path, _) | Self::Remove(path) | Self::Rename(_, path, _) => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Set(path, node) => {
                names.insert(path.clone(), *node);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            Self::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

#[derive(Default)]
struct State {
    files: Vec<Contents>,
    live: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    changes: Vec<Change>,
    locked: BTreeSet<PathBuf>,
    steps: usize,
    faults: BTreeMap<usize, Fault>,
    down: bool,
}

type Watch = Box<dyn FnMut() + Send>;

/// The disk.
#[derive(Clone, Default)]
pub(crate) struct FaultyDisk {
    state: Arc<Mutex<State>>,
    /// Called before each step: what others do on a slow disk meanwhile.
    watch: Arc<Mutex<Option<Watch>>>,
}

impl std::fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FaultyDisk")
    }
}

impl FaultyDisk {
    /// The store in a folder of this disk.
    pub(crate) fn store(&self, folder: &str) -> Arc<dyn Store> {
        Arc::new(LocalStore::on(Arc::new(self.clone()), PathBuf::from(folder)))
    }

    /// Steps so far.
    pub(crate) fn steps(&self) -> usize {
        self.state.lock().steps
    }

    /// Lets a later step fail, counted from the next one, which is 0.
    pub(crate) fn fault(&self, step: usize, fault: Fault) {
        let mut state = self.state.lock();
        let at = state.steps + step;
        state.faults.insert(at, fault);
    }

    /// No more faults.
    pub(crate) fn heal(&self) {
        self.state.lock().faults.clear();
    }

    /// The power was lost.
    pub(crate) fn is_down(&self) -> bool {
        self.state.lock().down
    }

    /// Calls this before each step from now on.
    pub(crate) fn watch(&self, watch: Option<Watch>) {
        *self.watch.lock() = watch;
    }

    /// Only the process ends: its locks are gone, everything else stays.
    pub(crate) fn kill(&self) {
        let mut state = self.state.lock();
        state.locked.clear();
        state.faults.clear();
    }

    /// The power is lost, and comes back.
    pub(crate) fn restart(&self, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut state = self.state.lock();
        let state = &mut *state;
        state.locked.clear();
        state.faults.clear();
        state.down = false;
        for change in std::mem::take(&mut state.changes) {
            if random.random_bool(0.5) {
                change.apply(&mut state.durable);
            }
        }
        // What is in a folder that was never durable is nowhere.
        let names = state.durable.clone();
        state.durable.retain(|path, _| {
            path.ancestors().skip(1).all(|a| a.parent().is_none() || names.get(a) == Some(&Node::Folder))
        });
        for file in &mut state.files {
            let synced = file.durable.clone().unwrap_or_default();
            if file.durable.as_ref() != Some(&file.live) {
                file.live = match random.random_range(0..3) {
                    0 => synced,
                    1 => file.live[..random.random_range(0..=file.live.len())].to_vec(),
                    _ => vec![0; file.live.len()],
                };
            }
            file.durable = Some(file.live.clone());
        }
        state.live = state.durable.clone();
    }

    /// Flips a bit of a file, as a failing medium does.
    pub(crate) fn rot(&self, path: &Path, at: usize) {
        let mut state = self.state.lock();
        let Some(Node::File(file)) = state.live.get(path).copied() else { panic!("no file {path:?}") };
        let bytes = &mut state.files[file].live;
        let at = at % bytes.len();
        bytes[at] ^= 1 << (at % 8);
    }

    /// Files there are.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let state = self.state.lock();
        state.live.iter().filter(|(_, n)| matches!(n, Node::File(_))).map(|(p, _)| p.clone()).collect()
    }

    /// One step. `act` is told how much of it is done: all, half or nothing.
    fn step(&self, act: impl FnOnce(&mut State, Extent) -> io::Result<()>) -> io::Result<()> {
        // A watch that writes itself would be its own watch.
        let watch = self.watch.lock().take();
        if let Some(mut watch) = watch {
            watch();
            *self.watch.lock() = Some(watch);
        }
        let mut state = self.state.lock();
        if state.down {
            return Err(io::Error::other("the power is off"));
        }
        let step = state.steps;
        state.steps += 1;
        match state.faults.get(&step).copied() {
            None => act(&mut state, Extent::All),
            Some(Fault::Crash) => {
                let _ = act(&mut state, Extent::Half);
                state.down = true;
                Err(io::Error::other("the power is off"))
            }
            Some(Fault::Full) => {
                let _ = act(&mut state, Extent::Half);
                Err(ErrorKind::StorageFull.into())
            }
            Some(Fault::Fails) => {
                let _ = act(&mut state, Extent::Nothing);
                Err(io::Error::other("input/output error"))
            }
            Some(Fault::FailsLate) => {
                act(&mut state, Extent::All)?;
                Err(io::Error::other("input/output error"))
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut State) -> io::Result<Change>) -> io::Result<()> {
        self.step(|state, extent| {
            if extent != Extent::All {
                return Ok(());
            }
            let change = change(state)?;
            change.apply(&mut state.live);
            state.changes.push(change);
            Ok(())
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    All,
    Half,
    Nothing,
}

struct OpenFile<'a> {
    disk: &'a FaultyDisk,
    file: usize,
}

impl DiskFile for OpenFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.step(|state, extent| {
            let part = match extent {
                Extent::All => bytes,
                Extent::Half => &bytes[..bytes.len() / 2],
                Extent::Nothing => &[],
            };
            state.files[self.file].live.extend_from_slice(part);
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.step(|state, extent| {
            if extent == Extent::All {
                let file = &mut state.files[self.file];
                file.durable = Some(file.live.clone());
            }
            Ok(())
        })
    }
}

impl State {
    fn check_folder(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if parent.parent().is_some() && self.live.get(parent) != Some(&Node::Folder) => {
                Err(ErrorKind::NotFound.into())
            }
            _ => Ok(()),
        }
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        self.live.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

struct Locked(FaultyDisk, PathBuf);

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.state.lock().locked.remove(&self.1);
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile + '_>> {
        let mut file = 0;
        self.change(|state| {
            state.check_folder(path)?;
            state.files.push(Contents::default());
            file = state.files.len() - 1;
            Ok(Change::Set(path.into(), Node::File(file)))
        })?;
        Ok(Box::new(OpenFile { disk: self, file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|state| Ok(Change::Rename(from.into(), to.into(), state.node(from)?)))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|state| match state.live.contains_key(to) {
            true => Err(ErrorKind::AlreadyExists.into()),
            false => Ok(Change::Set(to.into(), state.node(from)?)),
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|state| state.node(path).map(|_| Change::Remove(path.into())))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.change(|state| {
            state.check_folder(path)?;
            match state.live.contains_key(path) || path.parent().is_none() {
                true => Err(ErrorKind::AlreadyExists.into()),
                false => Ok(Change::Set(path.into(), Node::Folder)),
            }
        })
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step(|state, extent| {
            if extent == Extent::All {
                let (now, later) =
                    std::mem::take(&mut state.changes).into_iter().partition(|c| c.folder() == Some(path));
                let now: Vec<Change> = now;
                state.changes = later;
                now.iter().for_each(|change| change.apply(&mut state.durable));
            }
            Ok(())
        })
    }

    fn read(&self, path: &Path, range: Option<Range<u64>>) -> io::Result<Vec<u8>> {
        let state = self.state.lock();
        let Node::File(file) = state.node(path)? else { return Err(ErrorKind::IsADirectory.into()) };
        let bytes = &state.files[file].live;
        let range = range.unwrap_or(0..bytes.len() as u64);
        let end = (range.end as usize).min(bytes.len());
        Ok(bytes[(range.start as usize).min(end)..end].to_vec())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let state = self.state.lock();
        if path.parent().is_some() && state.node(path)? != Node::Folder {
            return Err(ErrorKind::NotADirectory.into());
        }
        let inside = state.live.iter().filter(|(p, _)| p.parent() == Some(path));
        let entry = |(path, node): (&PathBuf, &Node)| Entry {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            folder: *node == Node::Folder,
            bytes: match node {
                Node::File(file) => state.files[*file].live.len() as u64,
                Node::Folder => 0,
            },
        };
        Ok(inside.map(entry).collect())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut state = self.state.lock();
        if state.down {
            return Err(io::Error::other("the power is off"));
        }
        let free = state.locked.insert(path.into());
        Ok(free.then(|| Box::new(Locked(self.clone(), path.into())) as _))
    }
}
