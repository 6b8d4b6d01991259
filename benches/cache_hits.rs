//! Hit ratio of the lookup cache on a Zipf trace with a scan in it, against LRU, W-TinyLFU and S3-FIFO.
//!
//! ```text
//! cargo bench --bench cache_hits                  1,000,000 requests, 100,000 keys
//! ```
//! The trace: requests by Zipf's law (exponent 0.9 and 1.1) over 100,000 keys; in the `scan` traces, one request in
//! four is the next of an endless row of keys that are never asked for again, as when a backfill runs beside live
//! traffic. A request that misses loads its key. Ratios do not depend on the machine; the first tenth is warm-up.
//!
//! The others are written here as their papers have them: W-TinyLFU (Einziger et al., 2017: window of 1 %, segmented
//! LRU, count-min sketch of four bits that ages), S3-FIFO (Yang et al., 2023: small queue of 10 %, ghost as long as
//! the cache), LRU.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use affluent::clock::ManualClock;
use affluent::lookup::cache::{Cache, Known, Limits};
use arrow::array::{ArrayRef, BinaryViewArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};

const KEYS: usize = 100_000;

/// xorshift64*, so that every run has the same trace.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Requests: keys below `KEYS` by Zipf's law, others of the scan.
fn trace(requests: usize, exponent: f64, scan: bool) -> Vec<u64> {
    let mut sums = Vec::with_capacity(KEYS);
    let mut sum = 0.0;
    for rank in 1..=KEYS {
        sum += 1.0 / (rank as f64).powf(exponent);
        sums.push(sum);
    }
    let (mut dice, mut cold) = (Dice(88_172_645_463_325_252), KEYS as u64);
    (0..requests)
        .map(|_| {
            if scan && dice.next() < 0.25 {
                cold += 1;
                return cold;
            }
            let at = dice.next() * sum;
            // Neighbours in rank are no neighbours in number.
            (sums.partition_point(|s| *s < at) as u64).wrapping_mul(48_271) % KEYS as u64
        })
        .collect()
}

trait Policy {
    /// Whether the key was there; loads it if not.
    fn request(&mut self, key: u64) -> bool;
}

/// Ours.
struct Ours {
    cache: Cache,
    row: RecordBatch,
}

impl Ours {
    fn new(capacity: usize) -> Self {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let row = RecordBatch::try_new(schema.clone(), vec![column]).unwrap();
        let limits = Limits { max_keys: Some(capacity), ..Limits::default() };
        Self { cache: Cache::new(schema, limits, ManualClock::new(0)), row }
    }
}

impl Policy for Ours {
    fn request(&mut self, key: u64) -> bool {
        let keys = BinaryViewArray::from_iter_values([key.to_le_bytes()]);
        if matches!(self.cache.get(&keys, 0), Known::Fresh(_)) {
            return true;
        }
        self.cache.insert(&keys, 0, &self.row);
        if self.cache.upkeep() > 0 {
            self.cache.maintain().unwrap();
        }
        false
    }
}

/// A list of keys with removal from the middle: each has a number that says which of its places counts.
#[derive(Default)]
struct Order {
    queue: VecDeque<(u64, u64)>,
    last: HashMap<u64, u64>,
    next: u64,
}

impl Order {
    fn push(&mut self, key: u64) {
        self.next += 1;
        self.last.insert(key, self.next);
        self.queue.push_back((key, self.next));
    }

    fn pop(&mut self) -> Option<u64> {
        while let Some((key, number)) = self.queue.pop_front() {
            if self.last.get(&key) == Some(&number) {
                self.last.remove(&key);
                return Some(key);
            }
        }
        None
    }

    /// The key that would be popped.
    fn peek(&mut self) -> Option<u64> {
        while let Some((key, number)) = self.queue.front().copied() {
            if self.last.get(&key) == Some(&number) {
                return Some(key);
            }
            self.queue.pop_front();
        }
        None
    }

    fn remove(&mut self, key: u64) -> bool {
        self.last.remove(&key).is_some()
    }

    fn has(&self, key: u64) -> bool {
        self.last.contains_key(&key)
    }

    fn len(&self) -> usize {
        self.last.len()
    }
}

struct Lru {
    order: Order,
    capacity: usize,
}

impl Policy for Lru {
    fn request(&mut self, key: u64) -> bool {
        let hit = self.order.has(key);
        self.order.push(key);
        if self.order.len() > self.capacity {
            self.order.pop();
        }
        hit
    }
}

struct S3Fifo {
    small: Order,
    main: Order,
    ghost: VecDeque<u64>,
    ghosts: HashSet<u64>,
    uses: HashMap<u64, u8>,
    capacity: usize,
}

impl S3Fifo {
    fn evict(&mut self) {
        while self.small.len() + self.main.len() >= self.capacity {
            if self.small.len() * 10 >= self.capacity || self.main.len() == 0 {
                let Some(key) = self.small.pop() else { return };
                if self.uses.get(&key).copied().unwrap_or(0) > 1 {
                    self.uses.insert(key, 0);
                    self.main.push(key);
                } else {
                    self.uses.remove(&key);
                    self.ghost.push_back(key);
                    self.ghosts.insert(key);
                    if self.ghost.len() > self.capacity
                        && let Some(old) = self.ghost.pop_front()
                    {
                        self.ghosts.remove(&old);
                    }
                }
            } else {
                let Some(key) = self.main.pop() else { return };
                match self.uses.get(&key).copied().unwrap_or(0) {
                    0 => drop(self.uses.remove(&key)),
                    n => {
                        self.uses.insert(key, n - 1);
                        self.main.push(key);
                    }
                }
            }
        }
    }
}

impl Policy for S3Fifo {
    fn request(&mut self, key: u64) -> bool {
        if let Some(uses) = self.uses.get_mut(&key) {
            *uses = (*uses + 1).min(3);
            return true;
        }
        self.evict();
        self.uses.insert(key, 0);
        if self.ghosts.remove(&key) {
            self.main.push(key)
        } else {
            self.small.push(key)
        }
        false
    }
}

/// Counts up to 15 in four rows; halves all when as many came as ten times the capacity.
struct Sketch {
    rows: [Vec<u8>; 4],
    mask: u64,
    added: usize,
    sample: usize,
}

impl Sketch {
    fn new(capacity: usize) -> Self {
        let size = (capacity * 4).next_power_of_two();
        Self {
            rows: std::array::from_fn(|_| vec![0; size]),
            mask: size as u64 - 1,
            added: 0,
            sample: capacity * 10,
        }
    }

    fn places(&self, key: u64) -> [usize; 4] {
        std::array::from_fn(|row| {
            let mixed = (key ^ (row as u64) << 56)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(17 + row as u32 * 7);
            ((mixed ^ mixed >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20 & self.mask) as usize
        })
    }

    fn add(&mut self, key: u64) {
        for (row, place) in self.places(key).into_iter().enumerate() {
            self.rows[row][place] = (self.rows[row][place] + 1).min(15);
        }
        self.added += 1;
        if self.added >= self.sample {
            self.rows.iter_mut().flatten().for_each(|count| *count /= 2);
            self.added /= 2;
        }
    }

    fn count(&self, key: u64) -> u8 {
        let counts = self.places(key).into_iter().enumerate().map(|(row, place)| self.rows[row][place]);
        counts.min().unwrap_or(0)
    }
}

struct TinyLfu {
    window: Order,
    probation: Order,
    protected: Order,
    sketch: Sketch,
    capacity: usize,
}

impl Policy for TinyLfu {
    fn request(&mut self, key: u64) -> bool {
        self.sketch.add(key);
        let (window, protected) = ((self.capacity / 100).max(1), self.capacity * 79 / 100);
        if self.window.has(key) {
            self.window.push(key);
            return true;
        }
        if self.protected.has(key) {
            self.protected.push(key);
            return true;
        }
        if self.probation.remove(key) {
            self.protected.push(key);
            if self.protected.len() > protected
                && let Some(old) = self.protected.pop()
            {
                self.probation.push(old);
            }
            return true;
        }
        self.window.push(key);
        if self.window.len() > window
            && let Some(candidate) = self.window.pop()
        {
            if self.window.len() + self.probation.len() + self.protected.len() < self.capacity {
                self.probation.push(candidate);
            } else if let Some(victim) = self.probation.peek()
                && self.sketch.count(candidate) > self.sketch.count(victim)
            {
                self.probation.pop();
                self.probation.push(candidate);
            }
        }
        false
    }
}

fn ratio(policy: &mut dyn Policy, trace: &[u64]) -> f64 {
    let warm = trace.len() / 10;
    let mut hits = 0;
    for (i, key) in trace.iter().enumerate() {
        hits += usize::from(policy.request(*key) && i >= warm);
    }
    100.0 * hits as f64 / (trace.len() - warm) as f64
}

fn main() {
    let requests = std::env::var("REQUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    println!("| trace | cache | ours | LRU | W-TinyLFU | S3-FIFO |\n|---|---:|---:|---:|---:|---:|");
    for (name, exponent, scan) in [
        ("Zipf 0.9", 0.9, false),
        ("Zipf 0.9 + scan", 0.9, true),
        ("Zipf 1.1", 1.1, false),
        ("Zipf 1.1 + scan", 1.1, true),
    ] {
        let trace = trace(requests, exponent, scan);
        for capacity in [1_000, 10_000] {
            let s3 = || S3Fifo {
                small: Order::default(),
                main: Order::default(),
                ghost: VecDeque::new(),
                ghosts: HashSet::new(),
                uses: HashMap::new(),
                capacity,
            };
            let tiny = || TinyLfu {
                window: Order::default(),
                probation: Order::default(),
                protected: Order::default(),
                sketch: Sketch::new(capacity),
                capacity,
            };
            let ratios = [
                ratio(&mut Ours::new(capacity), &trace),
                ratio(&mut Lru { order: Order::default(), capacity }, &trace),
                ratio(&mut tiny(), &trace),
                ratio(&mut s3(), &trace),
            ];
            let [ours, lru, tiny, s3] = ratios.map(|r| format!("{r:.1} %"));
            println!("| {name} | {capacity} | {ours} | {lru} | {tiny} | {s3} |");
        }
    }
}
