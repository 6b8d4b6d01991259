//! How things that wait wake a task: a set of flags and one parked thread. No ticks.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::message::Barrier;

/// What a task finds in its mailbox.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Tokens that were woken since the last look, each once, in order of arrival.
    pub woken: Vec<usize>,
    /// The task was asked to stop.
    pub cancelled: bool,
    /// A checkpoint begins at the sources of this task.
    pub barrier: Option<Barrier>,
    /// The sources of this task are to end here.
    pub drain: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<Mail>,
    arrived: Condvar,
    /// Of a task that no thread parks for.
    bell: Option<Arc<Bell>>,
}

/// Rung by all mailboxes of a job whose tasks are stepped by one thread, which waits on a runtime meanwhile.
#[derive(Debug, Default)]
pub struct Bell {
    rung: std::sync::atomic::AtomicBool,
    notify: tokio::sync::Notify,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.rung.store(true, std::sync::atomic::Ordering::SeqCst);
        self.notify.notify_one();
    }

    /// Whether it was rung since the last look.
    pub(crate) fn take(&self) -> bool {
        self.rung.swap(false, std::sync::atomic::Ordering::SeqCst)
    }

    /// Waits until it rings.
    pub(crate) async fn rings(&self) {
        while !self.rung.load(std::sync::atomic::Ordering::SeqCst) {
            self.notify.notified().await;
        }
    }
}

/// The receiving end, owned by one task.
#[derive(Debug, Default, Clone)]
pub struct Mailbox(Arc<Shared>);

impl Mailbox {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one that rings when something comes.
    pub(crate) fn with_bell(bell: Arc<Bell>) -> Self {
        Self(Arc::new(Shared { bell: Some(bell), ..Shared::default() }))
    }

    /// A handle that wakes this mailbox's task with `token`.
    pub fn waker(&self, token: usize) -> Waker {
        Waker(Whom::One { mailbox: self.clone(), token })
    }

    /// What has arrived, without waiting.
    pub fn take(&self) -> Mail {
        let mut state = self.0.state.lock();
        Mail {
            woken: std::mem::take(&mut state.woken),
            cancelled: std::mem::take(&mut state.cancelled),
            barrier: state.barrier.take(),
            drain: std::mem::take(&mut state.drain),
        }
    }

    /// Waits until something is there to take, or `deadline` passes.
    pub fn park(&self, deadline: Option<Instant>) {
        let mut state = self.0.state.lock();
        while *state == Mail::default() {
            match deadline {
                None => self.0.arrived.wait(&mut state),
                Some(at) => {
                    if self.0.arrived.wait_until(&mut state, at).timed_out() {
                        break;
                    }
                }
            }
        }
    }

    /// Parks, then takes.
    pub fn wait(&self, deadline: Option<Instant>) -> Mail {
        self.park(deadline);
        self.take()
    }

    /// Begins a checkpoint at the sources of the task.
    pub fn checkpoint(&self, barrier: Barrier) {
        self.0.state.lock().barrier = Some(barrier);
        self.0.arrived.notify_all();
    }

    /// Ends the sources of the task here.
    pub fn drain(&self) {
        self.0.state.lock().drain = true;
        self.0.arrived.notify_all();
    }

    /// Tells the task to stop as soon as it can.
    pub fn cancel(&self) {
        self.0.state.lock().cancelled = true;
        self.0.arrived.notify_all();
    }
}

/// Wakes one operator or reader of a task. Waking twice before the task looks is waking once.
#[derive(Debug, Clone)]
pub struct Waker(Whom);

#[derive(Debug, Clone)]
enum Whom {
    One { mailbox: Mailbox, token: usize },
    All(Arc<Mutex<Vec<Waker>>>),
}

impl crate::state::memory::Wake for Waker {
    fn wake(&self) {
        Self::wake(self);
    }
}

impl Waker {
    /// Wakes the task; its operator or reader is asked again.
    pub fn wake(&self) {
        match &self.0 {
            Whom::One { mailbox, token } => {
                let mut state = mailbox.0.state.lock();
                if !state.woken.contains(token) {
                    state.woken.push(*token);
                    mailbox.0.arrived.notify_one();
                    if let Some(bell) = &mailbox.0.bell {
                        bell.ring();
                    }
                }
            }
            Whom::All(wakers) => wakers.lock().iter().for_each(Waker::wake),
        }
    }

    /// Wakes all of a list, which may grow.
    pub fn all(wakers: Arc<Mutex<Vec<Waker>>>) -> Self {
        Self(Whom::All(wakers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waking_twice_is_waking_once_and_order_is_kept() {
        let mailbox = Mailbox::new();
        let (a, b) = (mailbox.waker(7), mailbox.waker(3));
        a.wake();
        b.wake();
        a.wake();
        assert_eq!(mailbox.wait(None).woken, vec![7, 3]);
        assert_eq!(mailbox.take().woken, Vec::<usize>::new());
    }

    #[test]
    fn a_deadline_ends_the_wait() {
        let mail = Mailbox::new().wait(Some(Instant::now()));
        assert!(mail.woken.is_empty() && !mail.cancelled);
    }

    #[test]
    fn cancelling_wakes_a_parked_task() {
        let mailbox = Mailbox::new();
        let other = mailbox.clone();
        let waiter = std::thread::spawn(move || other.wait(None).cancelled);
        mailbox.cancel();
        assert!(waiter.join().is_ok_and(|cancelled| cancelled));
    }
}
