//! Whether, and when, a job is started again after a failure.

use std::time::{Duration, Instant};

use rand::Rng;

/// `restart-strategy.type` and what belongs to it, as in Flink.
#[derive(Debug, Clone, PartialEq)]
pub enum RestartStrategy {
    /// A failure is the end.
    None,
    /// So many attempts, each after the same pause.
    FixedDelay {
        /// Restarts at most.
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
        /// Restarts at most, between two resets; `None`: no limit.
        attempts: Option<u64>,
    },
}

/// A strategy and what was used up of it.
#[derive(Debug)]
pub struct Restarts {
    strategy: RestartStrategy,
    used: u64,
    pause: Duration,
    started: Instant,
}

impl Restarts {
    /// For a job that starts now.
    pub fn new(strategy: RestartStrategy) -> Self {
        let pause = match &strategy {
            RestartStrategy::Exponential { initial, .. } => *initial,
            _ => Duration::ZERO,
        };
        Self { strategy, used: 0, pause, started: Instant::now() }
    }

    /// The job failed at `now`: how long to wait before it is started again, or `None` if it is not.
    pub fn next(&mut self, now: Instant) -> Option<Duration> {
        match self.strategy {
            RestartStrategy::None => None,
            RestartStrategy::FixedDelay { attempts, delay } => {
                self.used += 1;
                (self.used <= attempts).then_some(delay)
            }
            RestartStrategy::Exponential { initial, max, multiplier, reset, jitter, attempts } => {
                if now.saturating_duration_since(self.started) >= reset {
                    (self.used, self.pause) = (0, initial);
                }
                self.used += 1;
                if attempts.is_some_and(|most| self.used > most) {
                    return None;
                }
                let pause = self.pause.min(max);
                self.pause = pause.mul_f64(multiplier).min(max);
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
        assert_eq!(
            [restarts.next(now), restarts.next(now), restarts.next(now)],
            [Some(SECOND), Some(SECOND), None]
        );
        assert_eq!(Restarts::new(RestartStrategy::None).next(now), None);
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
        let pauses: Vec<_> = (0..4).map(|_| restarts.next(now)).collect();
        assert_eq!(pauses, [Some(SECOND), Some(SECOND * 2), Some(SECOND * 3), None]);
        restarts.started(now);
        assert_eq!(restarts.next(now + SECOND * 60), Some(SECOND));
    }
}
