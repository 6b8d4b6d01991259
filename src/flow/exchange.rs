//! Exchanges: rows go from the tasks of some fragments to the tasks of another, by key.
//!
//! ```text
//!  sender 0 ─┬─> [channel 0→0] ─┐
//!            └─> [channel 0→1] ─┼─┐
//!  sender 1 ─┬─> [channel 1→0] ─┴─┼─> receiver 0   (inbox: one lock, a queue a sender)
//!            └─> [channel 1→1] ───┴─> receiver 1
//! ```
//! Rows with equal values in the key columns go to the same task: values → hash → one of 128 key groups →
//! task, where each task has a contiguous range of groups, so that state can be given to another number of
//! tasks later without looking at each key. A chunk is cut in one pass by a counting sort of its rows, which
//! keeps the order of the rows of each key, and `-U` before its `+U` where both go to the same task.
//!
//! *Pieces are small* when there are many receivers, so a receiver puts together what has arrived, up
//! to 8,192 rows, and never waits for more. Signals go to all receivers and are not overtaken by
//! rows of the same sender; a receiver merges watermarks and status ([`Valve`]) and lines up barriers: behind a
//! barrier a channel is not read until all senders have sent theirs.
//!
//! *Back-pressure*: a channel takes whatever an operator emits at once, but while one of its channels is full a task
//! does not read its own input ([`Sender::has_room`]). It is woken when there is room again. Nobody ever
//! waits inside a call, and channels lead down the plan only, so there is no circle of waiting. What a receiver takes
//! only to get to a barrier fills its channel until there is room for it ([`Receiver::owe`]). A
//! receiver that goes away (its task has all it wants, or has failed) closes its channels: rows for it are
//! dropped, and a sender without any receiver left can stop ([`Sender::is_abandoned`]).

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use arrow::array::UInt32Array;
use arrow::compute::concat_batches;
use parking_lot::Mutex;

use super::mailbox::Waker;
use super::merge::{Progress, Valve};
use super::message::{Barrier, Chunk, Kind, Kinds, Message, Status};
use crate::error::{Error, Result};
use crate::state::{hash_rows, key_group, task_of_group};

/// Rows of a chunk that a receiver puts together, at most, unless one piece has more.
const COALESCED_ROWS: usize = 8192;

/// Rows that may wait for a receiver before its senders stop reading, shared among its channels.
const WAITING_ROWS: usize = 65_536;

/// What a message costs beside its rows: many tiny ones fill a channel as well.
const MESSAGE_COST: usize = 16;

/// Messages of one sender to one receiver.
#[derive(Debug, Default)]
struct Channel {
    queue: VecDeque<Message>,
    /// A barrier has come out: nothing more does before the others' have.
    barrier: Option<Barrier>,
    /// The sender waits for room.
    blocked: bool,
}

#[derive(Debug, Default)]
struct State {
    channels: Vec<Channel>,
    /// The receiver has found nothing and waits.
    hungry: bool,
    receiver: Option<Waker>,
    senders: Vec<Option<Waker>>,
}

/// Where the channels to one receiver end.
#[derive(Debug)]
struct Inbox {
    state: Mutex<State>,
    /// What waits in each channel.
    fill: Vec<AtomicUsize>,
    /// What a channel holds before it is full.
    capacity: usize,
    closed: AtomicBool,
}

/// One exchange of a running job.
#[derive(Debug)]
pub struct Exchange {
    inboxes: Vec<Arc<Inbox>>,
}

impl Exchange {
    /// Between so many tasks.
    pub fn new(senders: usize, receivers: usize) -> Self {
        let capacity = (WAITING_ROWS / senders.max(1)).clamp(1024, 2 * COALESCED_ROWS);
        let inbox = || {
            let state = State {
                channels: (0..senders).map(|_| Channel::default()).collect(),
                senders: vec![None; senders],
                ..State::default()
            };
            Arc::new(Inbox {
                state: Mutex::new(state),
                fill: (0..senders).map(|_| AtomicUsize::new(0)).collect(),
                capacity,
                closed: AtomicBool::new(false),
            })
        };
        Self { inboxes: (0..receivers).map(|_| inbox()).collect() }
    }

    /// The end of sender number `sender`; `keys` are positions of columns, none: all rows go to task 0. The
    /// waker is called when there is room again.
    pub fn sender(&self, sender: usize, keys: Vec<usize>, waker: &Waker) -> Sender {
        for inbox in &self.inboxes {
            inbox.state.lock().senders[sender] = Some(waker.clone());
        }
        let (hashes, order) = (Vec::new(), Vec::new());
        Sender { inboxes: self.inboxes.clone(), sender, keys, task: 0, others: Vec::new(), hashes, order }
    }

    /// The end of sender number `sender` whose rows all go to one task.
    pub fn sender_to(&self, sender: usize, task: usize, waker: &Waker) -> Sender {
        Sender { task, ..self.sender(sender, Vec::new(), waker) }
    }

    /// The end of receiver number `receiver`. The waker is called when something has arrived.
    pub fn receiver(&self, receiver: usize, waker: Waker) -> Receiver {
        let inbox = self.inboxes[receiver].clone();
        let senders = inbox.fill.len();
        inbox.state.lock().receiver = Some(waker);
        Receiver {
            inbox,
            debts: vec![0; senders],
            owes: false,
            valve: Valve::new(senders),
            next: 0,
            signals: Vec::new(),
            pieces: Vec::new(),
            ready: VecDeque::new(),
        }
    }
}

/// Sends the output of one task.
#[derive(Debug)]
pub struct Sender {
    inboxes: Vec<Arc<Inbox>>,
    sender: usize,
    keys: Vec<usize>,
    /// Where rows go without keys.
    task: usize,
    /// Those that send the same to other exchanges.
    others: Vec<Sender>,
    /// Kept between calls: a hash a row, then its task.
    hashes: Vec<u64>,
    /// Kept between calls: rows by task.
    order: Vec<u32>,
}

impl Sender {
    /// Sends rows to the tasks of their keys, and signals to all.
    pub fn send(&mut self, message: Message) -> Result<()> {
        for other in &mut self.others {
            other.send(message.clone())?;
        }
        match message {
            Message::Data(chunk) => self.send_rows(chunk),
            signal => {
                for inbox in &self.inboxes {
                    inbox.push(self.sender, signal.clone());
                }
                Ok(())
            }
        }
    }

    fn send_rows(&mut self, chunk: Chunk) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        let tasks = self.inboxes.len();
        if tasks == 1 || self.keys.is_empty() {
            let inbox = self.inboxes.get(self.task).or(self.inboxes.first());
            let inbox = inbox.ok_or_else(|| Error::internal("an exchange without receivers"))?;
            inbox.push(self.sender, Message::Data(chunk));
            return Ok(());
        }
        let columns: Vec<_> = self.keys.iter().map(|&i| chunk.batch.column(i).clone()).collect();
        hash_rows(&columns, chunk.len(), &mut self.hashes)?;
        let mut starts = vec![0u32; tasks + 1];
        for hash in &mut self.hashes {
            let task = task_of_group(key_group(*hash), tasks);
            *hash = task as u64;
            starts[task + 1] += 1;
        }
        if let Some(only) = (0..tasks).find(|&t| starts[t + 1] as usize == chunk.len()) {
            self.inboxes[only].push(self.sender, Message::Data(chunk));
            return Ok(());
        }
        for task in 0..tasks {
            starts[task + 1] += starts[task];
        }
        self.order.clear();
        self.order.resize(chunk.len(), 0);
        let mut places = starts.clone();
        for (row, &task) in self.hashes.iter().enumerate() {
            let place = &mut places[task as usize];
            self.order[*place as usize] = row as u32;
            *place += 1;
        }
        let order = UInt32Array::from(std::mem::take(&mut self.order));
        for (task, inbox) in self.inboxes.iter().enumerate() {
            let (from, to) = (starts[task] as usize, starts[task + 1] as usize);
            if from < to && !inbox.closed.load(Ordering::Acquire) {
                let piece = chunk.take(&order.slice(from, to - from))?;
                inbox.push(self.sender, Message::Data(piece));
            }
        }
        // The pieces hold copies: the buffer is ours again.
        self.order = order.into_parts().1.into_inner().into_vec().unwrap_or_default();
        Ok(())
    }

    /// No channel is full. If one is, the waker is called when it no longer is.
    pub fn has_room(&self) -> bool {
        self.inboxes.iter().all(|inbox| inbox.has_room(self.sender)) && self.others.iter().all(Self::has_room)
    }

    /// A sender that sends all to the exchange of another one, too.
    pub fn and(mut self, other: Sender) -> Sender {
        self.others.push(other);
        self
    }

    /// All receivers have gone: no rows are wanted any more.
    pub fn is_abandoned(&self) -> bool {
        self.inboxes.iter().all(|inbox| inbox.closed.load(Ordering::Acquire))
            && self.others.iter().all(Self::is_abandoned)
    }
}

fn cost(message: &Message) -> usize {
    match message {
        Message::Data(chunk) => chunk.len() + MESSAGE_COST,
        _ => MESSAGE_COST,
    }
}

impl Inbox {
    fn push(&self, sender: usize, message: Message) {
        let mut state = self.state.lock();
        // Under the lock: what is pushed after a close would never be dropped.
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        self.fill[sender].fetch_add(cost(&message), Ordering::Relaxed);
        state.channels[sender].queue.push_back(message);
        // Behind a barrier nothing can be read yet.
        if state.hungry && state.channels[sender].barrier.is_none() {
            state.hungry = false;
            if let Some(receiver) = &state.receiver {
                receiver.wake();
            }
        }
    }

    /// What has left a channel makes room in it.
    fn make_room(&self, state: &mut State, sender: usize, cost: usize) {
        let left = self.fill[sender].fetch_sub(cost, Ordering::Relaxed) - cost;
        if left <= self.capacity / 4 * 3 && std::mem::take(&mut state.channels[sender].blocked) {
            state.senders[sender].iter().for_each(Waker::wake);
        }
    }

    fn is_full(&self, sender: usize) -> bool {
        self.fill[sender].load(Ordering::Relaxed) >= self.capacity && !self.closed.load(Ordering::Acquire)
    }

    fn has_room(&self, sender: usize) -> bool {
        if !self.is_full(sender) {
            return true;
        }
        let mut state = self.state.lock();
        // Looked at again: the receiver takes under the lock.
        let full = self.is_full(sender);
        state.channels[sender].blocked = full;
        !full
    }
}

/// What a [`Receiver`] has.
#[derive(Debug)]
pub enum Received {
    /// Rows, or a signal of all senders together.
    Message(Message),
    /// Nothing now: the waker will be called.
    Pending,
}

/// Receives what the senders of an exchange have for one task.
#[derive(Debug)]
pub struct Receiver {
    inbox: Arc<Inbox>,
    /// What was taken from each channel and still fills it.
    debts: Vec<usize>,
    owes: bool,
    valve: Valve,
    /// The channel whose turn it is.
    next: usize,
    /// Kept between calls: what was taken under the lock.
    signals: Vec<(usize, Message)>,
    pieces: Vec<Chunk>,
    /// What is to be handed over next.
    ready: VecDeque<Message>,
}

impl Receiver {
    /// The next message, or nothing for now. Behind [`Message::End`] nothing comes.
    pub fn receive(&mut self) -> Result<Received> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Received::Message(message));
            }
            if !self.collect() {
                return Ok(Received::Pending);
            }
            for (sender, signal) in std::mem::take(&mut self.signals) {
                self.signal(sender, &signal);
            }
            match self.pieces.len() {
                0 => {}
                1 => self.ready.extend(self.pieces.pop().map(Message::Data)),
                _ => {
                    let whole = concat(&self.pieces)?;
                    self.pieces.clear();
                    self.ready.push_back(Message::Data(whole));
                }
            }
        }
    }

    /// What is taken from now on fills its channel, because there is no room for it elsewhere; or there is again, for
    /// all of it.
    pub fn owe(&mut self, owes: bool) {
        self.owes = owes;
        if !owes {
            let mut state = self.inbox.state.lock();
            for (sender, debt) in self.debts.iter_mut().enumerate() {
                self.inbox.make_room(&mut state, sender, std::mem::take(debt));
            }
        }
    }

    /// Whether it owes.
    pub fn owes(&self) -> bool {
        self.owes
    }

    /// Takes what has arrived: from each channel by turns the signals at its head, then rows up to the next
    /// signal. False when there is nothing.
    fn collect(&mut self) -> bool {
        let mut state = self.inbox.state.lock();
        let count = state.channels.len();
        let (first, mut rows, mut full) = (self.next, 0, false);
        for turn in 0..count {
            let sender = (first + turn) % count;
            let channel = &mut state.channels[sender];
            let (mut cost_taken, mut pieces) = (0, 0);
            while channel.barrier.is_none() {
                match channel.queue.front() {
                    Some(Message::Data(chunk)) if rows > 0 && rows + chunk.len() > COALESCED_ROWS => {
                        full = true;
                        break;
                    }
                    Some(Message::Data(chunk)) => rows += chunk.len(),
                    Some(_) if pieces > 0 => break,
                    Some(_) => {}
                    None => break,
                }
                let Some(message) = channel.queue.pop_front() else { break };
                cost_taken += cost(&message);
                match message {
                    Message::Data(chunk) => {
                        self.pieces.push(chunk);
                        pieces += 1;
                    }
                    signal => {
                        if let Message::Barrier(barrier) = &signal {
                            channel.barrier = Some(*barrier);
                        }
                        self.signals.push((sender, signal));
                    }
                }
            }
            if self.owes {
                self.debts[sender] += cost_taken;
            } else {
                self.inbox.make_room(&mut state, sender, cost_taken);
            }
            if full || rows >= COALESCED_ROWS {
                // No one is first twice while others wait.
                self.next = if pieces > 0 { (sender + 1) % count } else { sender };
                break;
            }
        }
        let found = !self.signals.is_empty() || !self.pieces.is_empty();
        state.hungry = !found;
        found
    }

    /// Merges a signal of one sender.
    fn signal(&mut self, sender: usize, signal: &Message) {
        match signal {
            Message::Data(_) => {}
            Message::Watermark(watermark) => {
                let progress = self.valve.watermark(sender, *watermark);
                self.progress(progress);
            }
            Message::Status(status) => {
                let progress = self.valve.status(sender, *status);
                self.progress(progress);
            }
            Message::Barrier(_) => self.line_up(),
            Message::End => {
                let progress = self.valve.end(sender);
                self.progress(progress);
                self.line_up();
                if self.valve.ended() {
                    self.ready.push_back(Message::End);
                }
            }
        }
    }

    fn progress(&mut self, progress: Progress) {
        if progress.active {
            self.ready.push_back(Message::Status(Status::Active));
        }
        self.ready.extend(progress.watermark.map(Message::Watermark));
        if progress.idle {
            self.ready.push_back(Message::Status(Status::Idle));
        }
    }

    /// Lets a barrier through when all senders that have not ended have sent it.
    fn line_up(&mut self) {
        let mut state = self.inbox.state.lock();
        let barrier = state.channels.iter().find_map(|c| c.barrier);
        let all =
            state.channels.iter().enumerate().all(|(i, c)| c.barrier.is_some() || self.valve.has_ended(i));
        if let (Some(barrier), true) = (barrier, all) {
            state.channels.iter_mut().for_each(|c| c.barrier = None);
            self.ready.push_back(Message::Barrier(barrier));
        }
    }
}

impl Drop for Receiver {
    /// Senders that wait, or would, learn that the readers are gone.
    fn drop(&mut self) {
        let mut state = self.inbox.state.lock();
        self.inbox.closed.store(true, Ordering::Release);
        state.channels.iter_mut().for_each(|c| c.queue.clear());
        state.senders.iter().flatten().for_each(Waker::wake);
    }
}

/// Pieces one after the other.
fn concat(pieces: &[Chunk]) -> Result<Chunk> {
    let Some(first) = pieces.first() else { return Err(Error::internal("no pieces to put together")) };
    let batch = concat_batches(&first.batch.schema(), pieces.iter().map(|p| &p.batch))?;
    let append = pieces.iter().all(|p| p.kinds == Kinds::Append);
    let kinds = if append {
        Kinds::Append
    } else {
        let mut all = Vec::with_capacity(batch.num_rows());
        for piece in pieces {
            match &piece.kinds {
                Kinds::Append => all.resize(all.len() + piece.len(), Kind::Insert),
                Kinds::Changes(kinds) => all.extend_from_slice(kinds),
            }
        }
        Kinds::Changes(all.into())
    };
    let ingest = pieces.iter().map(|p| p.ingest).min().unwrap_or_else(Instant::now);
    Ok(Chunk { batch, kinds, ingest })
}
