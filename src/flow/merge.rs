//! Progress of event time where streams come together.
//!
//! ```text
//!  sender 0 ── 10:05 ──┐
//!  sender 1 ── idle  ──┼─ Valve of input 0: 10:05 ──┐
//!  sender 2 ── END   ──┘                            ├─ Merge: 10:03
//!  sender 3 ── 10:03 ──── Valve of input 1: 10:03 ──┘
//! ```
//! A [`Valve`] merges the senders of one input (the tasks behind an exchange, the branches of a UNION ALL),
//! a [`Merge`] the inputs of one operator. What comes out never goes backwards, and is never ahead of a
//! sender that counts. A sender does not count while it is idle, nor when it has ended: what it said is then as good
//! as [`Watermark::END`]. A sender that comes back from being idle and is behind what was said meanwhile
//! counts again when it has caught up; its rows are late until then, but it does not hold up the others.
//! When all senders are idle, what was held back for the slowest of them goes out: nothing is waited for.

use super::message::{Status, Watermark};

/// What follows from a signal of one sender, in the order of the fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// All senders together are active again.
    pub active: bool,
    /// The new merged watermark.
    pub watermark: Option<Watermark>,
    /// No sender is active any more.
    pub idle: bool,
}

/// What one sender said.
#[derive(Debug, Clone, Copy)]
struct Lane {
    watermark: Option<Watermark>,
    idle: bool,
    /// It is not behind the merged watermark, or has never been idle.
    aligned: bool,
    /// No row comes any more: it has said [`Watermark::END`], or has ended.
    done: bool,
    ended: bool,
}

/// Merges the progress of senders that feed one input.
#[derive(Debug, Clone)]
pub struct Valve {
    lanes: Vec<Lane>,
    watermark: Option<Watermark>,
    idle: bool,
}

impl Valve {
    /// For so many senders, all active.
    pub fn new(senders: usize) -> Self {
        let lane = Lane { watermark: None, idle: false, aligned: true, done: false, ended: false };
        Self { lanes: vec![lane; senders], watermark: None, idle: false }
    }

    /// A sender's watermark.
    pub fn watermark(&mut self, sender: usize, watermark: Watermark) -> Progress {
        let lane = &mut self.lanes[sender];
        if lane.done {
            return Progress::default();
        }
        if watermark == Watermark::END {
            lane.done = true;
            return self.left();
        }
        lane.watermark = lane.watermark.max(Some(watermark));
        if lane.idle {
            return Progress::default();
        }
        lane.aligned |= lane.watermark >= self.watermark;
        Progress { watermark: self.raise(self.least()), ..Progress::default() }
    }

    /// A sender became idle or active.
    pub fn status(&mut self, sender: usize, status: Status) -> Progress {
        let lane = &mut self.lanes[sender];
        let idle = status == Status::Idle;
        if lane.idle == idle || lane.done {
            return Progress::default();
        }
        lane.idle = idle;
        lane.aligned = !idle && lane.watermark >= self.watermark;
        if idle {
            return self.left();
        }
        Progress { active: std::mem::take(&mut self.idle), ..Progress::default() }
    }

    /// A sender has ended. When all have, the merged watermark is [`Watermark::END`].
    pub fn end(&mut self, sender: usize) -> Progress {
        let lane = &mut self.lanes[sender];
        lane.ended = true;
        if std::mem::replace(&mut lane.done, true) { Progress::default() } else { self.left() }
    }

    /// All senders have ended.
    pub fn ended(&self) -> bool {
        self.lanes.iter().all(|l| l.ended)
    }

    /// No row comes any more, though the end may still be held back.
    fn is_done(&self) -> bool {
        self.lanes.iter().all(|l| l.done)
    }

    /// This sender has ended.
    pub fn has_ended(&self, sender: usize) -> bool {
        self.lanes[sender].ended
    }

    /// The merged watermark.
    pub fn current(&self) -> Option<Watermark> {
        self.watermark
    }

    /// There are senders that may still have rows, and all of them are idle.
    pub fn is_idle(&self) -> bool {
        self.idle
    }

    /// One sender less counts.
    fn left(&mut self) -> Progress {
        if self.is_done() {
            return Progress { watermark: self.raise(Some(Watermark::END)), ..Progress::default() };
        }
        let live = || self.lanes.iter().filter(|l| !l.done);
        if live().all(|l| l.idle) {
            let most = live().filter_map(|l| l.watermark).max();
            let idle = !std::mem::replace(&mut self.idle, true);
            return Progress { watermark: self.raise(most), idle, active: false };
        }
        Progress { watermark: self.raise(self.least()), ..Progress::default() }
    }

    /// The least watermark of the senders that count; `None` if one of them has said nothing.
    fn least(&self) -> Option<Watermark> {
        let counting = self.lanes.iter().filter(|l| l.aligned && !l.idle && !l.done);
        counting.map(|l| l.watermark).min().flatten()
    }

    fn raise(&mut self, to: Option<Watermark>) -> Option<Watermark> {
        if to <= self.watermark {
            return None;
        }
        self.watermark = to;
        to
    }
}

/// Merges the progress of an operator's inputs, each of which may have several senders.
#[derive(Debug, Clone)]
pub struct Merge {
    inputs: Vec<Valve>,
    watermark: Option<Watermark>,
    idle: bool,
}

/// What follows from a signal at one of several inputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// The new watermark of the input alone.
    pub input: Option<Watermark>,
    /// What follows for all inputs together.
    pub all: Progress,
}

impl Merge {
    /// For inputs with so many senders each.
    pub fn new(senders: &[usize]) -> Self {
        Self { inputs: senders.iter().map(|&n| Valve::new(n)).collect(), watermark: None, idle: false }
    }

    /// Progress of one sender of an input.
    pub fn watermark(&mut self, input: usize, sender: usize, watermark: Watermark) -> Merged {
        let progress = self.inputs[input].watermark(sender, watermark);
        self.merged(progress.watermark)
    }

    /// A sender of an input became idle or active.
    pub fn status(&mut self, input: usize, sender: usize, status: Status) -> Merged {
        let progress = self.inputs[input].status(sender, status);
        self.merged(progress.watermark)
    }

    /// A sender of an input has ended.
    pub fn end(&mut self, input: usize, sender: usize) -> Merged {
        let progress = self.inputs[input].end(sender);
        self.merged(progress.watermark)
    }

    /// All senders of an input have ended.
    pub fn input_ended(&self, input: usize) -> bool {
        self.inputs[input].ended()
    }

    /// Everything has ended.
    pub fn ended(&self) -> bool {
        self.inputs.iter().all(Valve::ended)
    }

    fn merged(&mut self, input: Option<Watermark>) -> Merged {
        let live = || self.inputs.iter().filter(|i| !i.is_done());
        let idle = live().next().is_some() && live().all(Valve::is_idle);
        let least = match () {
            () if live().next().is_none() => Some(Watermark::END),
            // One input alone: what its valve says, also when all its senders have become idle.
            () if self.inputs.len() == 1 => self.inputs[0].current(),
            () => live().filter(|i| !i.is_idle()).map(Valve::current).min().flatten(),
        };
        let watermark = least.filter(|_| least > self.watermark);
        self.watermark = self.watermark.max(least);
        let before = std::mem::replace(&mut self.idle, idle);
        Merged { input, all: Progress { active: before && !idle, watermark, idle: idle && !before } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::message::WatermarkClock;

    fn at(millis: i64) -> Watermark {
        WatermarkClock::default().advance(millis).unwrap_or(Watermark::END)
    }

    const NOTHING: Progress = Progress { active: false, watermark: None, idle: false };

    fn moved(watermark: Watermark) -> Progress {
        Progress { watermark: Some(watermark), ..Progress::default() }
    }

    #[test]
    fn the_least_of_all_senders_counts() {
        let mut valve = Valve::new(2);
        assert_eq!(valve.watermark(0, at(5)), NOTHING);
        assert_eq!(valve.watermark(1, at(3)), moved(at(3)));
        assert_eq!(valve.watermark(1, at(3)), NOTHING);
        assert_eq!(valve.watermark(1, at(9)), moved(at(5)));
        assert_eq!(valve.end(0), moved(at(9)));
        assert_eq!(valve.watermark(1, Watermark::END), moved(Watermark::END));
        assert_eq!(valve.end(1), Progress::default());
        assert!(valve.ended());
    }

    #[test]
    fn idle_senders_are_left_out_and_have_to_catch_up() {
        let mut valve = Valve::new(2);
        valve.watermark(0, at(1));
        assert_eq!(valve.watermark(1, at(4)), moved(at(1)));
        assert_eq!(valve.status(0, Status::Idle), moved(at(4)));
        assert_eq!(valve.watermark(1, at(10)), moved(at(10)));
        assert_eq!(valve.status(0, Status::Active), Progress::default());
        assert_eq!(valve.watermark(0, at(7)), NOTHING);
        assert_eq!(valve.watermark(1, at(12)), moved(at(12)), "not held up by one that is behind");
        assert_eq!(valve.watermark(0, at(12)), NOTHING);
        assert_eq!(valve.watermark(1, at(20)), NOTHING, "it counts again");
        assert_eq!(valve.watermark(0, at(15)), moved(at(15)));
    }

    #[test]
    fn when_all_are_idle_nobody_is_waited_for() {
        let mut valve = Valve::new(3);
        valve.watermark(0, at(5));
        valve.watermark(1, at(2));
        assert_eq!(valve.status(0, Status::Idle), Progress::default(), "sender 2 has said nothing");
        assert_eq!(valve.end(2), moved(at(2)));
        let all = valve.status(1, Status::Idle);
        assert_eq!(all, Progress { watermark: Some(at(5)), idle: true, active: false });
        assert_eq!(valve.status(1, Status::Active), Progress { active: true, ..Progress::default() });
        assert_eq!(valve.end(0), NOTHING);
        assert_eq!(valve.end(1), moved(Watermark::END));
    }

    #[test]
    fn an_end_is_not_taken_for_progress_of_idle_ones() {
        let mut valve = Valve::new(2);
        assert_eq!(valve.status(0, Status::Idle), Progress::default());
        assert_eq!(valve.end(1), Progress { idle: true, ..Progress::default() });
        assert_eq!(valve.current(), None);
        let mut valve = Valve::new(2);
        valve.status(0, Status::Idle);
        assert_eq!(valve.watermark(1, Watermark::END), Progress { idle: true, ..Progress::default() });
        assert_eq!(valve.end(1), NOTHING);
    }

    #[test]
    fn inputs_are_merged_by_their_least() {
        let mut merge = Merge::new(&[2, 1]);
        assert_eq!(merge.watermark(0, 0, at(5)), Merged::default());
        assert_eq!(merge.watermark(0, 1, at(6)), Merged { input: Some(at(5)), all: Progress::default() });
        assert_eq!(merge.watermark(1, 0, at(4)), Merged { input: Some(at(4)), all: moved(at(4)) });
        assert_eq!(merge.status(1, 0, Status::Idle), Merged { input: None, all: moved(at(5)) });
        let idle = merge.status(0, 0, Status::Idle);
        assert_eq!(idle, Merged { input: Some(at(6)), all: moved(at(6)) });
        assert!(merge.status(0, 1, Status::Idle).all.idle);
        assert!(merge.status(1, 0, Status::Active).all.active);
        merge.end(0, 0);
        let end = merge.end(0, 1);
        assert!(end.input == Some(Watermark::END) && merge.input_ended(0) && !merge.ended());
        assert_eq!(merge.end(1, 0), Merged { input: Some(Watermark::END), all: moved(Watermark::END) });
        assert!(merge.ended());
    }
}
