//! The cache of lookups: slots, not rows.
//!
//! ```text
//!   key bytes ──hash──> Entry { key, first row, rows, expires, used }      one hash table
//!                                    │
//!                  logical row numbers v
//!   [ segment 0: 90,000 rows ][ 4,000 ][ 300 ][1][1][2]                    columnar store
//! ```
//! Probing a chunk takes one read lock, one pass over the views of the keys and one vector of [`Slot`]s;
//! rows are gathered afterwards with `take` (one segment) or `interleave` (several) from a [`Snapshot`],
//! outside of the lock. Answers are appended as small segments and merged geometrically, which leaves the
//! logical row numbers alone; only compaction, when more than half of the rows belong to nobody, numbers
//! the rows anew. Both do their copying outside of the lock.
//!
//! Lifetimes are checked when a key is probed; a few buckets are swept with every insert, so that keys
//! nobody asks for again go away as well.
//!
//! Bounds evict as S3-FIFO does (Yang et al., *FIFO queues are all you need for cache eviction*, 2023), so that a scan of
//! keys that are asked for once does not flush the others:
//! ```text
//!   new ──> small: a tenth, first in first out ── used since? ──> main: the others, swept by a hand (CLOCK)
//!                                        │ no                          ^          │ not used since it came by
//!                                        v                             │          v
//!                                      gone, remembered by a mark ── asked for again   gone
//! ```
//! A use only counts up a byte of the entry under the read lock.

mod evict;
mod ghost;
mod store;
mod upkeep;

use ghost::Ghost;
pub use store::{Segment, Snapshot};

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{Array, BinaryViewArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};

use crate::clock::Clock;
use crate::error::{Error, Result};

/// Rows or bytes that may belong to nobody before compaction is thought of.
const GARBAGE: usize = 1024;
/// Uses that an entry counts.
const USES: u8 = 3;

/// The rows of one key: `count` rows of a [`Snapshot`] from `first` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Logical number of the first row.
    pub first: u32,
    /// Number of rows; 0 is a miss that is known.
    pub count: u32,
}

impl Slot {
    /// It is not known what there is under this key.
    pub const ABSENT: Slot = Slot { first: 0, count: u32::MAX };
    /// It is known that there is nothing.
    pub const NOTHING: Slot = Slot { first: 0, count: 0 };

    /// Whether it is known what there is.
    pub fn is_known(self) -> bool {
        self.count != u32::MAX
    }
}

/// What a cache knows about the keys of one chunk.
#[derive(Debug, Clone)]
pub struct Probe {
    /// One a row; [`Slot::NOTHING`] for NULL keys.
    pub slots: Vec<Slot>,
    /// Where the rows are.
    pub snapshot: Arc<Snapshot>,
    /// Rows whose key is not NULL and known.
    pub hits: usize,
    /// Rows whose key is not NULL and not known.
    pub absent: usize,
    /// Every slot has exactly one row.
    pub single: bool,
    /// Rows whose key is to be asked for ahead of its end.
    pub ageing: Vec<u32>,
}

/// What a cache has under one key.
#[derive(Debug, Clone)]
pub enum Known {
    /// Nothing.
    Absent,
    /// Its rows.
    Fresh(RecordBatch),
    /// Rows that have outlived their lifetime by so many milliseconds.
    Expired {
        /// The rows.
        rows: RecordBatch,
        /// Since when.
        millis: i64,
    },
}

/// An entry that was just put in.
#[cfg_attr(not(feature = "persist"), allow(dead_code, reason = "for the cache on disk"))]
#[derive(Debug)]
pub(super) struct NotedEntry<'a> {
    pub(super) key: &'a [u8],
    pub(super) rows: Range<u32>,
    pub(super) expires: i64,
    pub(super) written: i64,
}

/// What an entry looks like; times in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looked {
    pub(super) rows: u32,
    /// Since its last use, or since it came where uses are not counted.
    pub(super) unused: i64,
    /// Until the end of its lifetime; negative behind it.
    pub(super) left: i64,
}

/// An answer that was remembered, for those who keep it elsewhere.
#[cfg_attr(not(feature = "persist"), allow(dead_code, reason = "for the cache on disk"))]
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) key: Box<[u8]>,
    /// Among the rows that came with it.
    pub(super) rows: Range<u32>,
    pub(super) expires: i64,
    pub(super) written: i64,
}

/// Which lifetime an entry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// That of rows.
    Hit,
    /// That of a key that was not found.
    Miss,
    /// One of its own; zero: it is not kept.
    For(Duration),
}

/// Bounds of a cache.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Number of keys.
    pub max_keys: Option<usize>,
    /// Bytes of rows and keys, as far as they are known.
    pub max_bytes: Option<u64>,
    /// Lifetime from the answer.
    pub after_write: Option<Duration>,
    /// Lifetime from the last use.
    pub after_access: Option<Duration>,
    /// Lifetime of misses, if it is another; zero: they are not kept.
    pub missing_after_write: Option<Duration>,
    /// Share of the lifetime, from 0 to 1, that is left out at random.
    pub jitter: f64,
    /// How long an entry is kept after its lifetime, to be served when nothing better is there.
    pub stale_for: Duration,
    /// Share of the lifetime after which a key that is in use is asked for again.
    pub refresh_ahead: Option<f64>,
}

impl Limits {
    /// Those of a table.
    pub fn of(config: &super::config::PartialConfig) -> Self {
        let stale = [config.stale_while_revalidate, config.stale_if_error];
        Self {
            max_keys: config.max_rows.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
            max_bytes: config.max_bytes,
            after_write: config.expire_after_write,
            after_access: config.expire_after_access,
            missing_after_write: match config.cache_missing_key {
                true => config.missing_expire_after_write,
                false => Some(Duration::ZERO),
            },
            jitter: config.jitter,
            stale_for: stale.into_iter().flatten().max().unwrap_or_default(),
            refresh_ahead: config.refresh_ahead,
        }
    }
}

#[derive(Debug)]
struct Entry {
    /// Length and first four bytes; then the rest of a key of up to 12 bytes, else its place in the arena.
    key: [u64; 2],
    slot: Slot,
    expires: i64,
    used: AtomicI64,
    /// Bytes of the key and its rows, about.
    bytes: u32,
    /// Uses since it came, or since the hand came by.
    uses: AtomicU8,
    /// It is not among the new ones any more.
    main: bool,
}

#[derive(Debug)]
struct State {
    table: HashTable<Entry>,
    /// Bytes of the keys that are longer than 12.
    arena: Vec<u8>,
    /// Bytes in the arena that belong to no entry.
    arena_dead: usize,
    snapshot: Arc<Snapshot>,
    /// Rows that belong to no entry.
    dead: usize,
    /// Bytes of all entries.
    bytes: u64,
    /// Keys that had to leave for others.
    evictions: u64,
    /// The next bucket to look at.
    hand: usize,
    /// Hashes of new keys in the order they came; some may be gone.
    small: VecDeque<u64>,
    /// New keys that are there.
    small_keys: usize,
    ghost: Ghost,
}

/// Keys and their rows, shared by all tasks of a job.
#[derive(Debug)]
pub struct Cache {
    clock: Arc<dyn Clock>,
    hasher: foldhash::fast::RandomState,
    max_keys: usize,
    max_bytes: u64,
    after_write: i64,
    after_access: i64,
    missing_after_write: i64,
    jitter: f64,
    stale_for: i64,
    /// Share of its lifetime, from its end, in which an entry is ageing; 0: never.
    ahead: f64,
    /// Whether a key that is not known has no rows (FULL).
    complete: bool,
    state: RwLock<State>,
    /// Held by whoever merges or compacts.
    upkeep: Mutex<()>,
    /// Rows gathered from more than one segment since the last consolidation.
    scattered: AtomicU64,
}

fn millis(limit: Option<Duration>) -> i64 {
    limit.map_or(i64::MAX, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX).max(1))
}

fn split(view: u128) -> [u64; 2] {
    [view as u64, (view >> 64) as u64]
}

impl Entry {
    fn len(&self) -> usize {
        self.key[0] as u32 as usize
    }

    /// Its bytes in the arena, if it is longer than a view.
    fn outside<'a>(&self, arena: &'a [u8]) -> Option<&'a [u8]> {
        let start = self.key[1] as usize;
        (self.len() > 12).then(|| &arena[start..start + self.len()])
    }

    fn hash(&self, hasher: &foldhash::fast::RandomState, arena: &[u8]) -> u64 {
        match self.outside(arena) {
            Some(bytes) => hash_bytes(hasher, bytes),
            None => hash_view(hasher, self.key),
        }
    }
}

#[inline]
fn hash_view(hasher: &foldhash::fast::RandomState, key: [u64; 2]) -> u64 {
    let mut h = hasher.build_hasher();
    h.write_u128(u128::from(key[0]) | u128::from(key[1]) << 64);
    h.finish()
}

#[inline]
fn hash_bytes(hasher: &foldhash::fast::RandomState, bytes: &[u8]) -> u64 {
    let mut h = hasher.build_hasher();
    h.write(bytes);
    h.finish()
}

impl State {
    fn forget(&mut self, entry: &Entry) {
        self.bytes = self.bytes.saturating_sub(u64::from(entry.bytes));
        self.small_keys -= usize::from(!entry.main);
        self.dead += entry.slot.count as usize;
        self.arena_dead += if entry.len() > 12 { entry.len() } else { 0 };
    }
}

impl Cache {
    /// An empty cache of rows with this schema.
    pub fn new(schema: SchemaRef, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            hasher: foldhash::fast::RandomState::default(),
            max_keys: limits.max_keys.unwrap_or(usize::MAX).max(1),
            after_write: millis(limits.after_write),
            after_access: millis(limits.after_access),
            max_bytes: limits.max_bytes.unwrap_or(u64::MAX),
            missing_after_write: match limits.missing_after_write {
                Some(Duration::ZERO) => 0,
                Some(limit) => millis(Some(limit)),
                None => millis(limits.after_write),
            },
            jitter: limits.jitter.clamp(0.0, 1.0),
            stale_for: i64::try_from(limits.stale_for.as_millis()).unwrap_or(i64::MAX),
            ahead: limits.refresh_ahead.map_or(0.0, |share| 1.0 - share.clamp(0.0, 1.0)),
            complete: false,
            state: RwLock::new(State {
                table: HashTable::new(),
                arena: Vec::new(),
                arena_dead: 0,
                snapshot: Arc::new(Snapshot::new(schema)),
                dead: 0,
                bytes: 0,
                evictions: 0,
                small: VecDeque::new(),
                small_keys: 0,
                ghost: Ghost::default(),
                hand: 0,
            }),
            upkeep: Mutex::new(()),
            scattered: AtomicU64::new(0),
        }
    }

    /// A cache that holds all rows of a table under `keys` (one a row; rows with a NULL key match nothing):
    /// a key it does not hold has no rows.
    pub fn of_table(rows: &RecordBatch, keys: &BinaryViewArray, clock: Arc<dyn Clock>) -> Result<Self> {
        let mut cache = Self::new(rows.schema(), Limits::default(), clock);
        cache.complete = true;
        if u32::try_from(rows.num_rows()).is_err() {
            return Err(Error::execution(
                "a table of more than 4,294,967,295 rows does not fit a FULL cache",
            ));
        }
        // Rows of one key become neighbours, in their order.
        let mut representative: Vec<u32> = Vec::new();
        let mut counts: Vec<u32> = Vec::new();
        let mut groups = Vec::with_capacity(rows.num_rows());
        let mut table: HashTable<u32> = HashTable::with_capacity(rows.num_rows());
        let hash = |row: usize| cache.hash(keys, row);
        for row in 0..rows.num_rows() {
            if keys.is_null(row) {
                groups.push(u32::MAX);
                continue;
            }
            let same = |g: &u32| keys.value(representative[*g as usize] as usize) == keys.value(row);
            let group = match table.find(hash(row), same) {
                Some(group) => *group,
                None => {
                    let group = counts.len() as u32;
                    table.insert_unique(hash(row), group, |g| hash(representative[*g as usize] as usize));
                    representative.push(row as u32);
                    counts.push(0);
                    group
                }
            };
            counts[group as usize] += 1;
            groups.push(group);
        }
        let mut next = 0;
        let firsts: Vec<u32> = counts
            .iter()
            .map(|count| {
                let first = next;
                next += count;
                first
            })
            .collect();
        let mut places = firsts.clone();
        let mut order = vec![0u32; next as usize];
        for (row, group) in groups.iter().enumerate().filter(|(_, g)| **g != u32::MAX) {
            let place = &mut places[*group as usize];
            order[*place as usize] = row as u32;
            *place += 1;
        }
        let in_order =
            order.len() == rows.num_rows() && order.iter().enumerate().all(|(i, row)| i == *row as usize);
        let rows = if in_order { rows.clone() } else { take_record_batch(rows, &UInt32Array::from(order))? };
        {
            let mut state = cache.state.write();
            let state = &mut *state;
            Arc::make_mut(&mut state.snapshot).push(store::compacted(&rows));
            state.table.reserve(counts.len(), |_| 0);
            for (group, row) in representative.iter().enumerate() {
                let slot = Slot { first: firsts[group], count: counts[group] };
                cache.put(state, keys, *row as usize, slot, 0, i64::MAX, 0);
            }
        }
        Ok(cache)
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.state.read().table.len()
    }

    /// No key at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of keys and rows, about.
    pub fn bytes(&self) -> u64 {
        self.state.read().bytes
    }

    /// Keys that had to leave for others.
    pub fn evictions(&self) -> u64 {
        self.state.read().evictions
    }

    /// Whether a lifetime counts from the last use.
    pub(super) fn counts_use(&self) -> bool {
        self.after_access != i64::MAX
    }

    /// What there is under one key, without a use of it.
    pub(super) fn look(&self, keys: &BinaryViewArray, i: usize) -> Option<Looked> {
        let now = self.clock.now_millis();
        let state = self.state.read();
        let entry = self.find(&state, keys, i).filter(|entry| self.kept(entry, now))?;
        let unused = now.saturating_sub(entry.used.load(Ordering::Relaxed));
        let mut left = if entry.expires == i64::MAX { i64::MAX } else { entry.expires.saturating_sub(now) };
        if self.after_access != i64::MAX {
            left = left.min(self.after_access.saturating_sub(unused));
        }
        Some(Looked { rows: entry.slot.count, unused, left })
    }

    /// Forgets everything, or one key; whether there was something.
    pub fn clear(&self, key: Option<(&BinaryViewArray, usize)>) -> bool {
        let mut state = self.state.write();
        let state = &mut *state;
        match key {
            Some((keys, i)) => {
                let hash = self.hash(keys, i);
                let key = split(keys.views()[i]);
                let bytes = keys.value(i);
                let arena = &state.arena;
                let same = |e: &Entry| {
                    e.key[0] == key[0]
                        && if bytes.len() > 12 { e.outside(arena) == Some(bytes) } else { e.key == key }
                };
                let Ok(found) = state.table.find_entry(hash, same) else { return false };
                let (entry, _) = found.remove();
                state.forget(&entry);
                true
            }
            None => {
                let any = !state.table.is_empty();
                let rows = state.snapshot.len();
                state.table.clear();
                (state.dead, state.bytes, state.arena_dead) = (rows, 0, state.arena.len());
                state.small.clear();
                state.small_keys = 0;
                state.ghost.clear();
                any
            }
        }
    }

    #[inline]
    fn hash(&self, keys: &BinaryViewArray, i: usize) -> u64 {
        let view = keys.views()[i];
        if view as u32 <= 12 {
            hash_view(&self.hasher, split(view))
        } else {
            hash_bytes(&self.hasher, keys.value(i))
        }
    }

    #[inline]
    fn find<'a>(&self, state: &'a State, keys: &BinaryViewArray, i: usize) -> Option<&'a Entry> {
        let key = split(keys.views()[i]);
        if key[0] as u32 <= 12 {
            state.table.find(hash_view(&self.hasher, key), |e| e.key == key)
        } else {
            let bytes = keys.value(i);
            let same = |e: &Entry| e.key[0] == key[0] && e.outside(&state.arena) == Some(bytes);
            state.table.find(hash_bytes(&self.hasher, bytes), same)
        }
    }

    #[inline]
    fn alive(&self, entry: &Entry, now: i64) -> bool {
        now < entry.expires
            && (self.after_access == i64::MAX
                || now.saturating_sub(entry.used.load(Ordering::Relaxed)) < self.after_access)
    }

    /// Whether it may be served still, when nothing better is there.
    fn kept(&self, entry: &Entry, now: i64) -> bool {
        now < entry.expires.saturating_add(self.stale_for)
            && (self.after_access == i64::MAX
                || now.saturating_sub(entry.used.load(Ordering::Relaxed)) < self.after_access)
    }

    /// Notes that an entry was used; writes only what changes, so that readers do not fight for it.
    #[inline]
    fn touch(&self, entry: &Entry, now: i64) {
        if self.is_bounded() {
            let uses = entry.uses.load(Ordering::Relaxed);
            if uses < USES {
                entry.uses.store(uses + 1, Ordering::Relaxed);
            }
        }
        if self.after_access != i64::MAX && entry.used.load(Ordering::Relaxed) != now {
            entry.used.store(now, Ordering::Relaxed);
        }
    }

    #[inline]
    fn slot(&self, state: &State, keys: &BinaryViewArray, i: usize, now: i64) -> Slot {
        match self.find(state, keys, i) {
            Some(entry) if self.alive(entry, now) => {
                self.touch(entry, now);
                entry.slot
            }
            _ if self.complete => Slot::NOTHING,
            _ => Slot::ABSENT,
        }
    }

    /// What is known about the keys of a chunk.
    pub fn probe(&self, keys: &BinaryViewArray) -> Probe {
        let lasting = self.after_write == i64::MAX
            && self.after_access == i64::MAX
            && self.missing_after_write == i64::MAX;
        let now = if lasting { 0 } else { self.clock.now_millis() };
        let state = self.state.read();
        let mut slots = Vec::with_capacity(keys.len());
        let (mut absent, mut single) = (0, true);
        for i in 0..keys.len() {
            let slot = if keys.is_null(i) { Slot::NOTHING } else { self.slot(&state, keys, i, now) };
            absent += usize::from(!slot.is_known());
            single &= slot.count == 1;
            slots.push(slot);
        }
        let snapshot = state.snapshot.clone();
        drop(state);
        if snapshot.segments().len() > 1 {
            self.scattered.fetch_add(keys.len() as u64, Ordering::Relaxed);
        }
        let ageing = if self.ahead > 0.0 { self.ageing(keys, &slots, now) } else { Vec::new() };
        Probe { slots, snapshot, hits: keys.len() - keys.null_count() - absent, absent, single, ageing }
    }

    /// Rows whose key is known and near the end of its lifetime, each key once.
    fn ageing(&self, keys: &BinaryViewArray, slots: &[Slot], now: i64) -> Vec<u32> {
        let state = self.state.read();
        let mut rows: Vec<u32> = (0..keys.len())
            .filter(|i| slots[*i].is_known() && keys.is_valid(*i))
            .filter(|i| self.find(&state, keys, *i).is_some_and(|entry| self.is_ageing(entry, now)))
            .map(|i| i as u32)
            .collect();
        rows.sort_unstable_by_key(|i| keys.value(*i as usize));
        rows.dedup_by_key(|i| keys.value(*i as usize));
        rows
    }

    fn is_ageing(&self, entry: &Entry, now: i64) -> bool {
        if entry.expires == i64::MAX {
            return false;
        }
        // Its own lifetime, which jitter, a miss or the service may have made another one. Where uses are noted it is
        // not known any more.
        let life = match self.after_access {
            i64::MAX => entry.expires.saturating_sub(entry.used.load(Ordering::Relaxed)),
            _ if entry.slot.count == 0 => self.missing_after_write,
            _ => self.after_write,
        };
        now >= entry.expires.saturating_sub((life as f64 * self.ahead) as i64)
    }

    /// What there is under one key.
    pub fn get(&self, keys: &BinaryViewArray, i: usize) -> Known {
        let now = self.clock.now_millis();
        let state = self.state.read();
        let Some(entry) = self.find(&state, keys, i).filter(|entry| self.kept(entry, now)) else {
            return match self.complete {
                true => Known::Fresh(state.snapshot.rows(Slot::NOTHING)),
                false => Known::Absent,
            };
        };
        let (slot, expires, fresh) = (entry.slot, entry.expires, self.alive(entry, now));
        if fresh {
            self.touch(entry, now);
        }
        let snapshot = state.snapshot.clone();
        drop(state);
        let rows = snapshot.rows(slot);
        if fresh { Known::Fresh(rows) } else { Known::Expired { rows, millis: now.saturating_sub(expires) } }
    }

    /// Remembers the rows under one key (none: that there are none).
    pub fn insert(&self, keys: &BinaryViewArray, i: usize, rows: &RecordBatch) {
        let end = rows.num_rows() as u32;
        let life = if end == 0 { Life::Miss } else { Life::Hit };
        self.insert_all(rows, [(keys, i, 0..end, life)]);
    }

    /// Remembers rows under many keys: for each its rows among `rows`.
    pub fn insert_all<'a>(
        &self,
        rows: &RecordBatch,
        entries: impl IntoIterator<Item = (&'a BinaryViewArray, usize, Range<u32>, Life)>,
    ) {
        self.insert_noting(rows, entries, |_| {});
    }

    /// The same; `note` is told what is kept until when.
    pub(super) fn insert_noting<'a>(
        &self,
        rows: &RecordBatch,
        entries: impl IntoIterator<Item = (&'a BinaryViewArray, usize, Range<u32>, Life)>,
        mut note: impl FnMut(NotedEntry<'_>),
    ) {
        let now = self.clock.now_millis();
        // Measured outside of the lock.
        let per_row = rows.get_array_memory_size() / rows.num_rows().max(1);
        let mut state = self.state.write();
        let state = &mut *state;
        let (Ok(end), Ok(_)) =
            (u32::try_from(state.snapshot.end()), u32::try_from(state.snapshot.end() + rows.num_rows() + 1))
        else {
            // Four billion rows that are in use: what does not fit is asked for again.
            return;
        };
        if rows.num_rows() > 0 {
            Arc::make_mut(&mut state.snapshot).push(rows.clone());
        }
        let mut used = 0;
        for (keys, i, range, life) in entries {
            let lifetime = match life {
                Life::Hit => self.after_write,
                Life::Miss => self.missing_after_write,
                Life::For(life) => i64::try_from(life.as_millis()).unwrap_or(i64::MAX),
            };
            if lifetime == 0 {
                continue;
            }
            used += range.len();
            self.sweep(state, now);
            let slot = Slot { first: end + range.start, count: range.len() as u32 };
            let bytes = range.len() * per_row + keys.value(i).len() + size_of::<Entry>();
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            let expires = self.expires(now, lifetime);
            note(NotedEntry { key: keys.value(i), rows: range, expires, written: now });
            self.put(state, keys, i, slot, now, expires, bytes);
        }
        state.dead += rows.num_rows() - used.min(rows.num_rows());
        self.shrink_arena(state);
    }

    /// Whether an answer of another process is still one here.
    #[cfg_attr(not(feature = "persist"), allow(dead_code, reason = "for the cache on disk"))]
    pub(super) fn would_keep(&self, written: i64, expires: i64) -> bool {
        let now = self.clock.now_millis();
        // A clock that was turned back makes its age unknown.
        let expires = expires.min(written.saturating_add(self.after_write));
        written <= now && now < expires.saturating_add(self.stale_for)
    }

    /// Takes in answers of another process: for each key its rows, when it was written and when it expires.
    #[cfg_attr(not(feature = "persist"), allow(dead_code, reason = "for the cache on disk"))]
    pub(super) fn restore(
        &self,
        rows: &RecordBatch,
        keys: &BinaryViewArray,
        kept: &[(Range<u32>, i64, i64)],
    ) {
        let now = self.clock.now_millis();
        let per_row = rows.get_array_memory_size() / rows.num_rows().max(1);
        let mut state = self.state.write();
        let state = &mut *state;
        let Ok(end) = u32::try_from(state.snapshot.end()) else { return };
        if rows.num_rows() > 0 {
            Arc::make_mut(&mut state.snapshot).push(store::compacted(rows));
        }
        for (i, (range, written, expires)) in kept.iter().enumerate() {
            let slot = Slot { first: end + range.start, count: range.len() as u32 };
            let bytes = range.len() * per_row + keys.value(i).len() + size_of::<Entry>();
            let expires = (*expires).min(written.saturating_add(self.after_write));
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.put(state, keys, i, slot, now, expires, bytes);
            if let Some(entry) = self.find(state, keys, i) {
                entry.used.store(*written, Ordering::Relaxed);
            }
        }
    }

    /// Whether there is something under a key.
    #[cfg_attr(not(feature = "persist"), allow(dead_code, reason = "for the cache on disk"))]
    pub(super) fn has(&self, key: &[u8]) -> bool {
        let keys = BinaryViewArray::from_iter_values([key]);
        self.find(&self.state.read(), &keys, 0).is_some()
    }

    fn expires(&self, now: i64, lifetime: i64) -> i64 {
        if self.jitter == 0.0 || lifetime == i64::MAX {
            return now.saturating_add(lifetime);
        }
        now.saturating_add((lifetime as f64 * (1.0 - self.jitter * super::wire::chance())) as i64)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of an entry")]
    fn put(
        &self,
        state: &mut State,
        keys: &BinaryViewArray,
        i: usize,
        slot: Slot,
        now: i64,
        expires: i64,
        size: u32,
    ) {
        let hash = self.hash(keys, i);
        let bytes = keys.value(i);
        let mut key = split(keys.views()[i]);
        let State { table, arena, dead, bytes: all, .. } = state;
        let same = |e: &Entry| {
            e.key[0] == key[0]
                && if bytes.len() > 12 { e.outside(arena) == Some(bytes) } else { e.key == key }
        };
        if let Some(entry) = table.find_mut(hash, same) {
            *dead += entry.slot.count as usize;
            *all = all.saturating_sub(u64::from(entry.bytes)) + u64::from(size);
            entry.slot = slot;
            entry.expires = expires;
            entry.bytes = size;
            entry.used.store(now, Ordering::Relaxed);
        } else {
            while state.table.len() >= self.max_keys {
                self.evict_one(state, now);
            }
            let main = !self.is_bounded() || state.ghost.take(hash);
            if !main {
                state.small.push_back(hash);
                state.small_keys += 1;
            }
            let State { table, arena, .. } = state;
            if bytes.len() > 12 {
                key[1] = arena.len() as u64;
                arena.extend_from_slice(bytes);
            }
            let entry = Entry {
                key,
                slot,
                expires,
                used: AtomicI64::new(now),
                bytes: size,
                uses: AtomicU8::new(0),
                main,
            };
            table.insert_unique(hash, entry, |e| e.hash(&self.hasher, arena));
            state.bytes += u64::from(size);
        }
        while state.bytes > self.max_bytes && !state.table.is_empty() {
            self.evict_one(state, now);
        }
    }
}

#[cfg(test)]
#[path = "cache/tests.rs"]
mod tests;
