//! How a task takes part in checkpoints: its readers are cut, barriers line up, states are reported.

use std::task::Poll;
use std::time::{Duration, Instant};

use super::{Held, Input, Report, Reporter, Stepped, TailState, Task};
use crate::error::Result;
use crate::flow::message::{Barrier, Message};
use crate::state::Snapshot;
use crate::state::checkpoint::TaskCut;

impl Task {
    /// Tells how much state the operators have.
    pub(super) fn weigh(&mut self) {
        for step in &self.steps {
            let bytes = step.operator.state_bytes() as u64;
            if bytes > 0 || step.metrics.state_bytes().is_some() {
                step.metrics.note_state(self.task, bytes);
            }
        }
        self.weighed = Some(Instant::now());
    }

    /// Reports what is left of a task that has nothing to do any more.
    pub(super) fn finish(&mut self) -> Result<Stepped> {
        if !std::mem::replace(&mut self.leaving, true) {
            self.report_late();
            self.weigh();
            for index in 0..self.heads.len() {
                self.leave(index)?;
            }
            self.report(None, true, Duration::ZERO)?;
        }
        Ok(if self.held.is_some() { Stepped::Parked(None) } else { Stepped::Ended })
    }

    /// Nothing is read from a head any more.
    pub(super) fn leave(&mut self, index: usize) -> Result<()> {
        let head = &mut self.heads[index];
        let input = std::mem::replace(&mut head.input, Input::Done);
        if let (Input::Reader { id, mut reader, .. }, true) = (input, self.reporter.is_some()) {
            // Told with the next report, whichever that is.
            self.left.push((id, reader.leave()?));
        }
        Ok(())
    }

    /// A checkpoint begins. Where there are readers it begins here; exchanges bring it themselves, unless all who
    /// send have ended.
    pub(super) fn announce(&mut self, barrier: Barrier) -> Result<()> {
        // A task that is about to report its end takes part in all that follow.
        if barrier.epoch <= self.passed || self.leaving {
            return Ok(());
        }
        self.announced = Some(barrier);
        for head in &mut self.heads {
            if matches!(head.input, Input::Reader { .. }) {
                head.cutting = Some(barrier);
            }
        }
        self.line_up()
    }

    /// Cuts the readers for which a barrier has come.
    pub(super) fn cut_readers(&mut self) -> Result<()> {
        let mut cut_one = false;
        for head in &mut self.heads {
            let Some(barrier) = head.cutting else { continue };
            let Input::Reader { reader, .. } = &mut head.input else {
                head.cutting = None;
                continue;
            };
            if let Some(positions) = reader.cut(barrier.epoch)? {
                head.cutting = None;
                head.barrier = Some(barrier);
                head.positions = positions;
                cut_one = true;
            }
        }
        if cut_one { self.line_up() } else { Ok(()) }
    }

    /// Ends the readers where they are.
    pub(super) fn drain(&mut self) -> Result<()> {
        for index in 0..self.heads.len() {
            if matches!(self.heads[index].input, Input::Reader { .. }) {
                self.head_ended(index)?;
            }
        }
        Ok(())
    }

    /// A checkpoint is on its way to this task.
    pub(super) fn is_expecting_barrier(&self) -> bool {
        self.announced.is_some_and(|b| b.epoch > self.passed)
    }

    /// Where there is room again, what was taken without it gives up its place in the exchange.
    pub(super) fn settle_debts(&mut self) {
        for index in 0..self.heads.len() {
            let head = &self.heads[index];
            let owes = matches!(&head.input, Input::Receiver(receiver) if receiver.owes());
            if owes
                && self.has_room(&head.path)
                && let Input::Receiver(receiver) = &mut self.heads[index].input
            {
                receiver.owe(false);
            }
        }
    }

    /// Passes a barrier on when all heads that have not ended have it.
    pub(super) fn line_up(&mut self) -> Result<()> {
        let live = self.heads.iter().filter(|h| !h.is_done()).count();
        let barrier = self.heads.iter().find_map(|h| h.barrier);
        let barrier = barrier.or(self.announced.filter(|b| live == 0 && b.epoch > self.passed));
        let Some(barrier) = barrier else { return Ok(()) };
        let first = *self.lining_up.get_or_insert_with(Instant::now);
        if self.heads.iter().any(|h| !h.is_done() && h.barrier.is_none()) {
            return Ok(());
        }
        self.heads.iter_mut().for_each(|h| h.barrier = None);
        self.lining_up = None;
        for step in 0..self.steps.len() {
            self.call(step, 0, |operator, out| operator.settle(out))?;
        }
        self.passed = barrier.epoch;
        self.stopped = barrier.last;
        self.tail_signal(Message::Barrier(barrier))?;
        for head in &mut self.heads {
            if let Input::Reader { id, .. } = &head.input {
                self.left.push((id.clone(), std::mem::take(&mut head.positions)));
            }
        }
        self.report(Some(barrier.epoch), barrier.last, first.elapsed())
    }

    /// Reports the state that everything so far has left.
    pub(super) fn report(&mut self, epoch: Option<u64>, last: bool, aligned: Duration) -> Result<()> {
        self.weigh();
        let Some(Reporter { index, .. }) = &self.reporter else { return Ok(()) };
        let started = Instant::now();
        let mut operators = Vec::with_capacity(self.steps.len());
        for step in &mut self.steps {
            let mut snapshot = Snapshot::new(self.full);
            step.operator.snapshot(&mut snapshot)?;
            if !snapshot.is_empty() {
                operators.push((step.id.clone(), snapshot));
            }
        }
        self.full = false;
        let cut = TaskCut { task: self.task, tasks: self.tasks, finished: epoch.is_none(), operators };
        let positions = std::mem::take(&mut self.left);
        let took = started.elapsed();
        let report = Report { index: *index, epoch, cut, positions, pending: None, aligned, took };
        self.held = Some(Held { report, last });
        self.report_held()
    }

    /// Sends the report that waits for the writer, if its requests are through.
    pub(super) fn report_held(&mut self) -> Result<()> {
        let Some(held) = &mut self.held else { return Ok(()) };
        if let TailState::Writer(writer, id) = &mut self.tail {
            match writer.pre_commit(held.report.epoch.unwrap_or(u64::MAX), held.last)? {
                Poll::Ready(values) => held.report.pending = Some((id.clone(), values)),
                Poll::Pending => return Ok(()),
            }
        }
        if let (Some(Held { report, .. }), Some(reporter)) = (self.held.take(), &self.reporter) {
            // The receiver is gone when the job is at its end.
            let _ = reporter.reports.send(report);
        }
        Ok(())
    }
}
