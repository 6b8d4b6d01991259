//! One job in a folder at a time: a lease.
//!
//! A lock of the operating system says nothing about processes on other machines, and an object store has none. So the
//! job that writes into a folder holds a lease there: an object that it writes again and again.
//! ```text
//!  lease/00000000000000000004   {"holder":"5f0c...","beat":17,"millis":15000,"released":false,"process":4711,..}
//!            │
//!            ├ the holder writes the next beat every third of the time; if it could not for four fifths of it, it
//!            │ holds nothing any more, and has to win the next number like everybody else
//!            └ another process that sees the same beat for the whole time, by its own clock, creates ..5
//! ```
//! The next number must not be there yet: of all that create it one wins (`If-None-Match: *`). Numbers only grow, and the
//! one before the newest stays, so that a former holder which wakes up late finds a number above its own, and
//! stops. Clocks need not agree, only run at about the same speed.
//!
//! Nobody waits for a process that is known to be gone: one that released the lease, and one of this machine that does
//! not live any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{RecvTimeoutError, Sender};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Store;
use crate::error::{Error, Result};

/// What stands in the object.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    holder: String,
    beat: u64,
    millis: u64,
    released: bool,
    /// It was released because the job has ended.
    #[serde(default)]
    ended: bool,
    host: String,
    process: u32,
    /// Of this start of the machine; empty where that is not known.
    boot: String,
    /// The numbers of processes mean the same where this is the same.
    namespace: String,
    /// When the process started, in the machine's own unit.
    started: String,
}

impl Record {
    /// This process, as the holder.
    fn of_this_process(holder: String, time: Duration) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_string();
        let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        Self {
            holder,
            beat: 0,
            millis: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            released: false,
            ended: false,
            host: read("/proc/sys/kernel/hostname"),
            process: std::process::id(),
            boot: read("/proc/sys/kernel/random/boot_id"),
            namespace: namespace.display().to_string(),
            started: started(std::process::id()).unwrap_or_default(),
        }
    }

    fn encode(&self) -> Result<Bytes> {
        let text = serde_json::to_vec(self);
        text.map(Bytes::from).map_err(|e| Error::internal(format!("a lease could not be written: {e}")))
    }

    /// The holder is known not to live any more. `alone`: this process has the lock of the machine, which the holder
    /// would have if it lived there; a process that is seen to live counts more, because the file of the lock may be
    /// deleted.
    fn is_gone(&self, alone: bool) -> bool {
        let here = Self::of_this_process(String::new(), Duration::ZERO);
        if self.boot.is_empty() || self.boot != here.boot {
            return false;
        }
        let visible = !self.namespace.is_empty() && self.namespace == here.namespace;
        match visible && self.process != here.process {
            true => started(self.process).is_none_or(|started| started != self.started),
            false => alone,
        }
    }

    fn describe(&self) -> String {
        match self.host.as_str() {
            "" => format!("process {}", self.process),
            host => format!("process {} on {host}", self.process),
        }
    }
}

/// When a process started; `None` if there is no such process.
fn started(process: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which may hold anything: the twentieth word is the time of the start.
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_string)
}

fn path(number: u64) -> String {
    format!("lease/{number:020}")
}

/// The numbers there are, ascending.
fn numbers(store: &dyn Store) -> Result<Vec<u64>> {
    Ok(store.list("lease/")?.iter().filter_map(|path| path.strip_prefix("lease/")?.parse().ok()).collect())
}

/// One that wants the lease of a folder.
#[derive(Debug)]
pub struct Contender {
    store: Arc<dyn Store>,
    time: Duration,
    /// The number and the object that were seen, and since when.
    seen: Option<(u64, Bytes, Instant)>,
}

/// How an attempt went.
#[derive(Debug)]
pub enum Contest {
    /// The lease is held from now on.
    Won(Lease),
    /// Another process holds it; which one, for people.
    Held(String),
}

impl Contender {
    /// For the folder of a job. A holder that is silent for `time` holds nothing.
    pub fn new(store: Arc<dyn Store>, time: Duration) -> Self {
        Self { store, time, seen: None }
    }

    /// Tries to win, at a given moment. `alone`: this process has the machine's lock on the folder.
    pub fn attempt(&mut self, alone: bool, now: Instant) -> Result<Contest> {
        let all = numbers(&*self.store)?;
        let newest = all.last().copied().unwrap_or(0);
        let mut ended = None;
        if newest > 0 {
            // Gone: another one has won a later number just now.
            let Some(bytes) = self.store.get(&path(newest))? else {
                return Ok(Contest::Held("another process".into()));
            };
            let record = serde_json::from_slice::<Record>(&bytes).ok();
            let free = record.as_ref().is_some_and(|record| record.released || record.is_gone(alone));
            if !free && !self.has_run_out(newest, &bytes, record.as_ref(), now) {
                let holder = record.map_or_else(|| "another process".to_string(), |r| r.describe());
                return Ok(Contest::Held(holder));
            }
            ended = record.filter(|record| record.ended).map(|record| record.describe());
        }
        let number = newest.checked_add(1).ok_or_else(|| Error::io("the lease has an impossible number"))?;
        let record = Record::of_this_process(uuid::Uuid::new_v4().simple().to_string(), self.time);
        if !self.store.create(&path(number), record.encode()?)? {
            return Ok(Contest::Held("another process, which was faster".into()));
        }
        let lease = Lease::new(self.store.clone(), self.time, number, record, now, ended);
        // All that this one had to look at may be older than another's win.
        if numbers(&*self.store)?.last() != Some(&number) {
            return Ok(Contest::Held("another process, which was faster".into()));
        }
        // The last one before stays: its holder may look for what is above it.
        for old in all.iter().rev().skip(1) {
            if let Err(e) = self.store.delete(&path(*old)) {
                log::debug!("an old lease could not be deleted: {e}");
                break;
            }
        }
        Ok(Contest::Won(lease))
    }

    /// Who holds it, for people; `None` if nobody is known to.
    pub fn holder(&self) -> Option<String> {
        let newest = numbers(&*self.store).ok()?.last().copied()?;
        let bytes = self.store.get(&path(newest)).ok().flatten()?;
        let record = serde_json::from_slice::<Record>(&bytes).ok()?;
        (!record.released).then(|| record.describe())
    }

    /// Whether the holder has been silent for its time.
    fn has_run_out(&mut self, number: u64, bytes: &Bytes, record: Option<&Record>, now: Instant) -> bool {
        match &self.seen {
            Some((seen, same, since)) if *seen == number && same == bytes => {
                let time = record.map_or(self.time, |record| Duration::from_millis(record.millis));
                now.saturating_duration_since(*since) >= time
            }
            _ => {
                self.seen = Some((number, bytes.clone(), now));
                false
            }
        }
    }
}

/// Where the holder stands.
#[derive(Debug)]
struct Turn {
    number: u64,
    record: Record,
    /// Another one has taken over.
    fenced: Option<Error>,
}

#[derive(Debug)]
struct Held {
    store: Arc<dyn Store>,
    time: Duration,
    /// Held while the store is asked.
    turn: Mutex<Turn>,
    until: Mutex<Instant>,
}

/// The lease of a folder. It is released when this is dropped.
#[derive(Debug)]
pub struct Lease {
    held: Arc<Held>,
    /// Ends the thread that writes the beats, by being dropped.
    beats: Mutex<Option<Sender<()>>>,
    /// Who held it before and has ended the job, for people.
    ended_by: Option<String>,
}

impl Lease {
    fn new(
        store: Arc<dyn Store>,
        time: Duration,
        number: u64,
        record: Record,
        now: Instant,
        ended_by: Option<String>,
    ) -> Self {
        let held = Held {
            store,
            time,
            turn: Mutex::new(Turn { number, record, fenced: None }),
            until: Mutex::new(now + time / 5 * 4),
        };
        Self { held: Arc::new(held), beats: Mutex::default(), ended_by }
    }

    /// Who held it before and has ended the job, for people.
    pub fn ended_by(&self) -> Option<&str> {
        self.ended_by.as_deref()
    }

    /// Writes the beats from now on, on a thread of its own; calls `fenced` once if another process takes over.
    pub fn keep(&self, fenced: impl Fn() + Send + 'static) -> Result<()> {
        let (sender, ended) = crossbeam_channel::bounded::<()>(0);
        let held = self.held.clone();
        let thread = std::thread::Builder::new().name("affluent-lease".into());
        thread.spawn(move || {
            let mut pause = held.time / 3;
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                pause = match held.beat(Instant::now()) {
                    Ok(()) => held.time / 3,
                    Err(_) if held.turn.lock().fenced.is_some() => return fenced(),
                    Err(e) => {
                        log::debug!("the lease could not be renewed: {e}");
                        held.time / 15
                    }
                };
            }
        })?;
        *self.beats.lock() = Some(sender);
        Ok(())
    }

    /// Whether it is held, and will be for a moment: asked before anything that no other process may do too.
    pub fn check(&self) -> Result<()> {
        self.held.check(Instant::now())
    }

    /// Why it is lost for good, if it is.
    pub fn fenced(&self) -> Option<Error> {
        self.held.turn.lock().fenced.clone()
    }

    /// Lets the next one have it at once.
    pub fn release(&self) {
        self.leave(false);
    }

    /// The same, and says to those who wait for it that the job has ended.
    pub fn release_ended(&self) {
        self.leave(true);
    }

    fn leave(&self, ended: bool) {
        if self.beats.lock().take().is_none() && self.held.turn.lock().record.released {
            return;
        }
        if let Err(e) = self.held.release(ended, Instant::now()) {
            log::debug!("the lease could not be released: {e}");
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.release();
    }
}

impl Held {
    fn check(&self, now: Instant) -> Result<()> {
        if now < *self.until.lock() {
            return Ok(());
        }
        self.beat(now)
    }

    /// Writes the next beat. One that comes too late has to win the next number.
    fn beat(&self, now: Instant) -> Result<()> {
        let mut turn = self.turn.lock();
        if let Some(e) = &turn.fenced {
            return Err(e.clone());
        }
        let in_time = now < *self.until.lock();
        let mut record = Record { beat: turn.record.beat + 1, ..turn.record.clone() };
        let next = turn.number + 1;
        if in_time {
            if self.store.get(&path(next))?.is_some() {
                return Err(self.fence(&mut turn));
            }
            self.store.put(&path(turn.number), record.encode()?)?;
        } else {
            record.holder = uuid::Uuid::new_v4().simple().to_string();
            let newest = numbers(&*self.store)?.last().copied().unwrap_or(0);
            if newest > turn.number
                || !self.store.create(&path(next), record.encode()?)?
                || numbers(&*self.store)?.last() != Some(&next)
            {
                return Err(self.fence(&mut turn));
            }
            turn.number = next;
        }
        turn.record = record;
        *self.until.lock() = now + self.time / 5 * 4;
        Ok(())
    }

    fn fence(&self, turn: &mut Turn) -> Error {
        let newest = numbers(&*self.store).ok().and_then(|all| all.last().copied()).unwrap_or(0);
        let bytes = self.store.get(&path(newest)).ok().flatten();
        let holder = bytes.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
        let holder = holder.map_or_else(|| "another process".to_string(), |record| record.describe());
        let e = Error::io(format!("the job was taken over by {holder}; it stops here"))
            .with_detail(format!("both use the checkpoints in '{}'", self.store.describe()))
            .with_hint("let the job run once, or give each its own name or 'execution.checkpointing.dir'")
            .lasting();
        turn.fenced = Some(e.clone());
        e
    }

    fn release(&self, ended: bool, now: Instant) -> Result<()> {
        let mut turn = self.turn.lock();
        if turn.record.released || turn.fenced.is_some() || now >= *self.until.lock() {
            return Ok(());
        }
        (turn.record.released, turn.record.ended) = (true, ended);
        *self.until.lock() = now;
        self.store.put(&path(turn.number), turn.record.encode()?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::state::store::faults::FaultyDisk;

    const TIME: Duration = Duration::from_secs(10);

    fn contender(disk: &FaultyDisk) -> Contender {
        Contender::new(disk.store("/job"), TIME)
    }

    fn won(contest: Contest) -> Lease {
        match contest {
            Contest::Won(lease) => lease,
            Contest::Held(by) => panic!("held by {by}"),
        }
    }

    fn held(contest: Contest) {
        assert!(matches!(contest, Contest::Held(_)));
    }

    #[test]
    fn one_of_many_holds_it() {
        let disk = FaultyDisk::default();
        let now = Instant::now();
        let lease = won(contender(&disk).attempt(false, now).unwrap());
        let mut other = contender(&disk);
        held(other.attempt(false, now).unwrap());
        // A beat that was seen counts from when it was seen.
        lease.held.beat(now + TIME / 2).unwrap();
        held(other.attempt(false, now + TIME).unwrap());
        held(other.attempt(false, now + TIME + TIME / 2).unwrap());
        lease.release();
        lease.release();
        let next = won(other.attempt(false, now + TIME + TIME / 2).unwrap());
        next.held.check(now).unwrap();
    }

    #[test]
    fn who_was_silent_for_too_long_is_fenced() {
        let disk = FaultyDisk::default();
        let now = Instant::now();
        let lease = won(contender(&disk).attempt(false, now).unwrap());
        let mut other = contender(&disk);
        held(other.attempt(false, now).unwrap());
        let next = won(other.attempt(false, now + TIME).unwrap());
        let e = lease.held.check(now + TIME).unwrap_err();
        assert!(!e.may_pass() && e.message().starts_with("the job was taken over by process "), "{e}");
        assert!(lease.fenced().is_some());
        // It does not take anything from the one that holds it now.
        lease.release();
        next.held.beat(now + TIME + TIME / 2).unwrap();
        held(contender(&disk).attempt(false, now + TIME * 2).unwrap());
    }

    #[test]
    fn who_comes_late_and_finds_nobody_goes_on_with_the_next_number() {
        let disk = FaultyDisk::default();
        let now = Instant::now();
        let lease = won(contender(&disk).attempt(false, now).unwrap());
        let mut other = contender(&disk);
        held(other.attempt(false, now).unwrap());
        lease.held.check(now + TIME * 2).unwrap();
        held(other.attempt(false, now + TIME * 2).unwrap());
        assert_eq!(numbers(&*disk.store("/job")).unwrap(), [1, 2]);
    }

    #[test]
    fn nobody_waits_for_a_process_of_this_machine_that_is_gone() {
        let disk = FaultyDisk::default();
        let store = disk.store("/job");
        let now = Instant::now();
        let mut record = Record::of_this_process("former".into(), TIME);
        store.put(&path(7), record.encode().unwrap()).unwrap();
        // This process lives, but does not hold the machine's lock.
        held(contender(&disk).attempt(false, now).unwrap());
        if record.boot.is_empty() {
            return;
        }
        drop(won(contender(&disk).attempt(true, now).unwrap()));
        // Another one that lives.
        #[cfg(unix)]
        if let Some(since) = started(std::os::unix::process::parent_id()) {
            record.process = std::os::unix::process::parent_id();
            record.started = since;
            store.put(&path(8), record.encode().unwrap()).unwrap();
            held(contender(&disk).attempt(true, now).unwrap());
        }
        record.started = "1".into();
        store.put(&path(9), record.encode().unwrap()).unwrap();
        drop(won(contender(&disk).attempt(false, now).unwrap()));
        // Of another machine nothing is known.
        record.boot = "another".into();
        store.put(&path(11), record.encode().unwrap()).unwrap();
        held(contender(&disk).attempt(true, now).unwrap());
        store.put(&path(12), "what a later version writes".into()).unwrap();
        let mut late = contender(&disk);
        held(late.attempt(true, now).unwrap());
        won(late.attempt(true, now + TIME).unwrap());
    }
}
