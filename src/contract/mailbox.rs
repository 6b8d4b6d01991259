//! How things that wait wake a task: a set of flags and one parked thread. No ticks.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

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
    /// Those of the woken tokens that are not to wait for more ([`Waker::hurry`]).
    pub hurried: Vec<usize>,
}

#[derive(Debug, Default)]
struct State {
    mail: Mail,
    /// Tokens that do not wake the thread that is parked.
    quiet: Vec<usize>,
}

impl State {
    /// Something is there that the parked thread is to see now.
    fn rings(&self) -> bool {
        let Mail { woken, cancelled, barrier, drain, hurried } = &self.mail;
        let loud = |token: &usize| !self.quiet.contains(token);
        *cancelled || *drain || barrier.is_some() || !hurried.is_empty() || woken.iter().any(loud)
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
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
        let mail = &mut self.0.state.lock().mail;
        Mail {
            woken: std::mem::take(&mut mail.woken),
            cancelled: std::mem::take(&mut mail.cancelled),
            barrier: mail.barrier.take(),
            drain: std::mem::take(&mut mail.drain),
            hurried: std::mem::take(&mut mail.hurried),
        }
    }

    /// Waits until something is there to take, or `deadline` passes.
    pub fn park(&self, deadline: Option<Instant>) {
        self.park_until(&mut self.0.state.lock(), deadline);
    }

    /// The same; before `until`, what wakes one of the tokens in `quiet` is left to gather, unless it hurries.
    pub fn park_quietly(&self, deadline: Option<Instant>, quiet: Vec<usize>, until: Instant) {
        let mut state = self.0.state.lock();
        state.quiet = quiet;
        self.park_until(&mut state, Some(deadline.map_or(until, |deadline| deadline.min(until))));
        state.quiet.clear();
        if deadline.is_none_or(|deadline| deadline > until) {
            self.park_until(&mut state, deadline);
        }
    }

    fn park_until(&self, state: &mut MutexGuard<'_, State>, deadline: Option<Instant>) {
        while !state.rings() {
            match deadline {
                None => self.0.arrived.wait(state),
                Some(at) => {
                    if self.0.arrived.wait_until(state, at).timed_out() {
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
        self.0.state.lock().mail.barrier = Some(barrier);
        self.0.arrived.notify_all();
    }

    /// Ends the sources of the task here.
    pub fn drain(&self) {
        self.0.state.lock().mail.drain = true;
        self.0.arrived.notify_all();
    }

    /// Tells the task to stop as soon as it can.
    pub fn cancel(&self) {
        self.0.state.lock().mail.cancelled = true;
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

impl Waker {
    /// Wakes the task; its operator or reader is asked again. A reader may be asked a moment later
    /// (`execution.buffer-timeout`), when more has come.
    pub fn wake(&self) {
        self.ring(false);
    }

    /// Wakes the task, and its reader is asked at once: for one whose source has no room for more.
    pub fn hurry(&self) {
        self.ring(true);
    }

    fn ring(&self, hurries: bool) {
        match &self.0 {
            Whom::One { mailbox, token } => {
                let mut state = mailbox.0.state.lock();
                let State { mail, quiet } = &mut *state;
                let is_new = !mail.woken.contains(token);
                if is_new {
                    mail.woken.push(*token);
                }
                let urgent = hurries && !mail.hurried.contains(token);
                if urgent {
                    mail.hurried.push(*token);
                }
                if urgent || (is_new && !quiet.contains(token)) {
                    mailbox.0.arrived.notify_one();
                }
                if let Some(bell) = mailbox.0.bell.as_ref().filter(|_| is_new) {
                    bell.ring();
                }
            }
            Whom::All(wakers) => wakers.lock().iter().for_each(|waker| waker.ring(hurries)),
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
    fn quiet_wakes_do_not_end_the_wait_and_hurried_ones_do() {
        let mailbox = Mailbox::new();
        let (head, operator) = (mailbox.waker(1), mailbox.waker(2));
        let soon = || Instant::now() + std::time::Duration::from_millis(20);
        let day = Instant::now() + std::time::Duration::from_secs(86_400);
        head.wake();
        let until = soon();
        mailbox.park_quietly(None, vec![1], until);
        assert!(Instant::now() >= until, "it did not wait for more");
        assert_eq!(mailbox.take().woken, vec![1]);
        // None of these waits for the end of the day.
        head.wake();
        operator.wake();
        mailbox.park_quietly(None, vec![1], day);
        assert_eq!(mailbox.take().woken, vec![1, 2]);
        head.wake();
        head.hurry();
        mailbox.park_quietly(None, vec![1], day);
        let mail = mailbox.take();
        assert_eq!((mail.woken, mail.hurried), (vec![1], vec![1]));
        mailbox.park_quietly(Some(soon()), vec![1], day);
        assert_eq!(mailbox.take(), Mail::default());
        mailbox.park_quietly(Some(soon()), vec![1], Instant::now());
        assert_eq!(mailbox.take(), Mail::default());
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
