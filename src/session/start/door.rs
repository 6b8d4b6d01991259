//! The entrance to a job's checkpoints: one process at a time has them, and the others wait.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use super::Durable;
use crate::error::{Error, Result};
use crate::flow::coordinator::Request;
use crate::flow::restart::{RestartStrategy, Restarts};
use crate::flow::{Job, JobState};
use crate::session::recovery::{self, Durability, Found};
use crate::state::checkpoint::JobPlan;
use crate::state::store::lease::Contender;

/// The folder of a job that does not run yet: one process has it at a time.
pub(super) struct Door {
    pub(super) durability: Arc<Durability>,
    pub(super) plan: JobPlan,
    pub(super) requests: Receiver<Request>,
    pub(super) contender: Contender,
    /// Another process had it when this one came.
    pub(super) met: bool,
}

/// What is found there, or who has it.
type Opened = Result<(Durable, Option<Found>), String>;

impl Door {
    /// Tries to enter, before any source or sink is touched.
    fn open(&mut self, job: &Arc<Job>) -> Result<Opened> {
        let (lock, lease) = match self.durability.enter(&mut self.contender)? {
            Ok((lock, lease)) => (lock, Arc::new(lease)),
            Err(holder) => {
                self.met = true;
                return Ok(Err(holder));
            }
        };
        let fenced = Arc::downgrade(job);
        lease.keep(move || fenced.upgrade().iter().for_each(|job| job.halt()))?;
        let (checkpoints, found) = self.durability.open(&self.plan, lock, lease.clone())?;
        for said in found.iter().flat_map(|f| &f.said) {
            log::info!(target: crate::NOTICE, "{said}");
        }
        found.iter().for_each(|f| job.checkpoints.note_restored(f.checkpoint.epoch()));
        let durable = Durable {
            checkpoints: Arc::new(Mutex::new(checkpoints)),
            plan: JobPlan { origin: self.durability.origin(), ..self.plan.clone() },
            durability: self.durability.clone(),
            requests: self.requests.clone(),
            lease,
        };
        Ok(Ok((durable, found)))
    }

    /// Whether another process has ended the job while this one waited for it: from the beginning, all rows would come
    /// twice.
    fn is_done(&self, job: &Arc<Job>, (durable, found): &(Durable, Option<Found>)) -> bool {
        let Some(by) = durable.lease.ended_by().filter(|_| self.met && found.is_none()) else { return false };
        log::warn!("job {} ({}): {by} has ended it, nothing is left to do", job.id, job.name);
        durable.lease.release_ended();
        true
    }

    /// The same with a moment's patience.
    fn open_soon(&mut self, job: &Arc<Job>) -> Result<Opened> {
        let until = Instant::now() + recovery::LOCKED;
        loop {
            match self.open(job)? {
                Err(_) if Instant::now() < until => thread::sleep(recovery::LOCKED / 10),
                opened => return Ok(opened),
            }
        }
    }

    /// Waits until the job may run: for another process that runs it, or for a failure to pass.
    fn wait(
        &mut self,
        job: &Arc<Job>,
        restart: &RestartStrategy,
        mut seen: Result<String>,
    ) -> Result<(Durable, Option<Found>), JobState> {
        let (mut restarts, begun) = (Restarts::new(restart.clone()), Instant::now());
        let Job { id, name, .. } = job.as_ref();
        let mut told = false;
        loop {
            let pause = match &seen {
                Ok(holder) if begun.elapsed() >= self.durability.lease_wait => {
                    return Err(JobState::Failed(self.durability.in_use(holder)));
                }
                Ok(holder) => {
                    if !std::mem::replace(&mut told, true) {
                        log::warn!(
                            "job {id} ({name}) waits: {holder} runs it; it goes on from there if that stops"
                        );
                    }
                    recovery::LOCKED
                }
                Err(e) => match restarts.next(Instant::now(), e).filter(|_| e.may_pass()) {
                    Some(pause) => {
                        log::warn!("job {id} ({name}) cannot start and tries again in {pause:.1?}: {e}");
                        pause
                    }
                    None => return Err(JobState::Failed(e.clone())),
                },
            };
            if wait(job, &self.requests, pause) {
                return Err(JobState::Cancelled);
            }
            seen = match self.open(job) {
                Ok(Ok(opened)) if self.is_done(job, &opened) => return Err(JobState::Finished),
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(holder)) => Ok(holder),
                Err(e) => Err(e),
            };
        }
    }
}

/// Waits until a job is started, or started again; true if the user stops it meanwhile.
pub(super) fn wait(job: &Job, requests: &Receiver<Request>, pause: Duration) -> bool {
    let until = Instant::now() + pause;
    while let Ok(request) = requests.recv_deadline(until) {
        match request {
            Request::Stop => return true,
            Request::Savepoint { reply, .. } => {
                let why = Error::execution("the job is about to be started again and has no rows to save");
                let _ = reply.send(Err(why.with_hint("try again when it runs; SHOW JOBS")));
            }
        }
    }
    job.is_stopping()
}

/// Opens a job's checkpoints, if it has any, as soon as it may run. `tell`: how that begins.
pub(super) fn opened(
    door: Option<Door>,
    job: &Arc<Job>,
    restart: &RestartStrategy,
    tell: &crossbeam_channel::Sender<Result<()>>,
) -> Result<Option<(Durable, Option<Found>)>, JobState> {
    let Some(mut door) = door else { return Ok(None) };
    let refuse = |e: Error| {
        // In its place before the starter looks.
        job.end(JobState::Failed(e.clone()));
        let _ = tell.send(Err(e.clone()));
        JobState::Failed(e)
    };
    let seen = match door.open_soon(job) {
        Ok(Ok(opened)) => {
            let is_done = door.is_done(job, &opened);
            let _ = tell.send(Ok(()));
            return if is_done { Err(JobState::Finished) } else { Ok(Some(opened)) };
        }
        Ok(Err(holder)) if door.durability.lease_wait.is_zero() => {
            return Err(refuse(door.durability.in_use(&holder)));
        }
        Ok(Err(holder)) => Ok(holder),
        Err(e) if e.may_pass() && *restart != RestartStrategy::None => Err(e),
        Err(e) => return Err(refuse(e)),
    };
    let _ = tell.send(Ok(()));
    door.wait(job, restart, seen).map(Some)
}
