//! Answers on their way back to a task.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Computed;
use crate::flow::Waker;
use crate::lookup::answer::{Answer, Failure};

/// Answers for one task, in order of arrival.
#[derive(Debug)]
pub struct Completions {
    queue: Mutex<Vec<Completion>>,
    waker: Waker,
}

/// What a task is told of a ticket.
#[derive(Debug)]
pub enum Completion {
    /// Its answer.
    Done(u32, Answer),
    /// Nothing was found, and it is asked for again after a while: it needs no place until then. Its answer follows.
    Held(u32),
    /// What was computed for the rows of a ticket, or why it was not.
    Computed(u32, std::result::Result<Computed, Arc<Failure>>),
}

impl Completions {
    /// An empty queue that wakes with `waker`.
    pub fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), waker })
    }

    /// Takes all that has arrived.
    pub fn events(&self) -> Vec<Completion> {
        std::mem::take(&mut *self.queue.lock())
    }

    /// The answers among all that has arrived.
    pub fn take(&self) -> Vec<(u32, Answer)> {
        let answers = self.events().into_iter();
        let answer = |event| match event {
            Completion::Done(ticket, answer) => Some((ticket, answer)),
            Completion::Held(_) | Completion::Computed(..) => None,
        };
        answers.filter_map(answer).collect()
    }

    /// Completes a ticket. The task is woken when the queue was empty: otherwise it was woken already and
    /// has not looked yet.
    pub(super) fn push(&self, ticket: u32, answer: Answer) {
        self.tell(Completion::Done(ticket, answer));
    }

    pub(super) fn tell(&self, event: Completion) {
        let mut queue = self.queue.lock();
        let first = queue.is_empty();
        queue.push(event);
        drop(queue);
        if first {
            self.wake();
        }
    }

    /// Wakes the task without an answer.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }
}
