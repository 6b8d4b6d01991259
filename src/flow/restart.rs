//! Whether, and when, a job is started again after a failure.
//!
//! Failures are counted by their kind: a database that is away for a moment does not use up the patience with a full
//! disk. Of one kind are failures with the same message, whatever numbers and names it has.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rand::Rng;

use crate::error::Error;

/// `restart-strategy.type` and what belongs to it, as in Flink.
#[derive(Debug, Clone, PartialEq)]
pub enum RestartStrategy {
    /// A failure is the end.
    None,
    /// So many attempts for each kind of failure, each after the same pause.
    FixedDelay {
        /// Restarts at most, for failures of one kind.
        attempts: u64,
        /// Pause before each.
        delay: Duration,
    },
    /// The pause grows from failure to failure, and starts anew when the job has run well for long enough.
    Exponential {
        /// The first pause.
        initial: Duration,
        /// The longest pause.
        max: Duration,
        /// How it grows.
        multiplier: f64,
        /// A run of this length makes the next pause the first again.
        reset: Duration,
        /// Share of the pause by which it may be longer or shorter.
        jitter: f64,
        /// Restarts at most, for failures of one kind between two resets; `None`: no limit.
        attempts: Option<u64>,
    },
}

/// A strategy and what was used up of it.
#[derive(Debug)]
pub struct Restarts {
    strategy: RestartStrategy,
    /// By kind: failures, and the next pause.
    kinds: HashMap<String, (u64, Duration)>,
    started: Instant,
}

/// More kinds than this are counted as one.
const KINDS: usize = 64;

impl Restarts {
    /// For a job that starts now.
    pub fn new(strategy: RestartStrategy) -> Self {
        Self { strategy, kinds: HashMap::new(), started: Instant::now() }
    }

    /// The job failed at `now`: how long to wait before it is started again, or `None` if it is not.
    pub fn next(&mut self, now: Instant, failure: &Error) -> Option<Duration> {
        if let RestartStrategy::Exponential { reset, .. } = self.strategy
            && now.saturating_duration_since(self.started) >= reset
        {
            self.kinds.clear();
        }
        let initial = match &self.strategy {
            RestartStrategy::Exponential { initial, .. } => *initial,
            _ => Duration::ZERO,
        };
        let kind = if self.kinds.len() < KINDS { failure.likeness() } else { String::new() };
        let (used, next) = self.kinds.entry(kind).or_insert((0, initial));
        *used += 1;
        match self.strategy {
            RestartStrategy::None => None,
            RestartStrategy::FixedDelay { attempts, delay } => (*used <= attempts).then_some(delay),
            RestartStrategy::Exponential { max, multiplier, jitter, attempts, .. } => {
                if attempts.is_some_and(|most| *used > most) {
                    return None;
                }
                let pause = (*next).min(max);
                *next = pause.mul_f64(multiplier).min(max);
                let jitter = rand::rng().random_range(-jitter..=jitter);
                Some(pause.mul_f64(1.0 + jitter))
            }
        }
    }

    /// The job was started again.
    pub fn started(&mut self, now: Instant) {
        self.started = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn fixed_delays_are_counted() {
        let mut restarts = Restarts::new(RestartStrategy::FixedDelay { attempts: 2, delay: SECOND });
        let now = Instant::now();
        let (disk, api) =
            (|n: u32| Error::io(format!("disk '/{n}' is full, {n} bytes")), Error::lookup("no answer"));
        let mut next = |e: &Error| restarts.next(now, e);
        assert_eq!([next(&disk(1)), next(&api), next(&disk(27))], [Some(SECOND); 3]);
        // Each kind has its own attempts.
        assert_eq!([next(&disk(3)), next(&api), next(&api)], [None, Some(SECOND), None]);
        assert_eq!(Restarts::new(RestartStrategy::None).next(now, &api), None);
    }

    #[test]
    fn pauses_grow_to_the_longest_and_start_anew_after_a_good_run() {
        let strategy = RestartStrategy::Exponential {
            initial: SECOND,
            max: SECOND * 3,
            multiplier: 2.0,
            reset: SECOND * 60,
            jitter: 0.0,
            attempts: Some(3),
        };
        let mut restarts = Restarts::new(strategy);
        let now = Instant::now();
        let pauses: Vec<_> = (0..4).map(|_| restarts.next(now, &Error::io("away"))).collect();
        assert_eq!(pauses, [Some(SECOND), Some(SECOND * 2), Some(SECOND * 3), None]);
        assert_eq!(restarts.next(now, &Error::io("another")), Some(SECOND));
        restarts.started(now);
        assert_eq!(restarts.next(now + SECOND * 60, &Error::io("away")), Some(SECOND));
    }
}
