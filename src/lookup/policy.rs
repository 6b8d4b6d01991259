//! What an error does to its row, by the class of the error.

use super::answer::FailureKind;
use crate::catalog::Options;
use crate::error::Result;

/// What an error that is left after all attempts does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnError {
    /// Fails the job.
    #[default]
    Fail,
    /// As a miss would look, but counted as an error.
    Null,
    /// The row is left out.
    Drop,
    /// What the cache still has of the key, although its lifetime is over; fails without.
    Stale,
    /// The row goes to the table that `lookup.dead-letter` names.
    DeadLetter,
}

/// Option of the policy; its classes follow after a point.
pub(super) const ON_ERROR: &str = "lookup.on-error";

/// Words of the option.
pub(super) const WORDS: &[&str] = &["fail", "null", "drop", "stale", "dead-letter"];

const CLASSES: [&str; 5] = [
    "lookup.on-error.timeout",
    "lookup.on-error.status",
    "lookup.on-error.decode",
    "lookup.on-error.connect",
    "lookup.on-error.limit",
];

/// The policy of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorPolicy {
    default: OnError,
    classes: [Option<OnError>; 5],
}

impl From<OnError> for ErrorPolicy {
    fn from(default: OnError) -> Self {
        Self { default, classes: [None; 5] }
    }
}

impl OnError {
    fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Null => "null",
            Self::Drop => "drop",
            Self::Stale => "stale",
            Self::DeadLetter => "dead-letter",
        }
    }
}

impl ErrorPolicy {
    pub(super) fn resolve(options: &Options) -> Result<Self> {
        let read = |key: &str| -> Result<Option<OnError>> {
            Ok(options.choice(key, WORDS)?.map(|word| match word {
                "null" => OnError::Null,
                "drop" => OnError::Drop,
                "stale" => OnError::Stale,
                "dead-letter" => OnError::DeadLetter,
                _ => OnError::Fail,
            }))
        };
        let mut classes = [None; 5];
        for (class, key) in classes.iter_mut().zip(CLASSES) {
            *class = read(key)?;
        }
        Ok(Self { default: read(ON_ERROR)?.unwrap_or_default(), classes })
    }

    /// What an error of this kind does.
    pub fn of(&self, kind: FailureKind) -> OnError {
        let [timeout, status, decode, connect, limit] = self.classes;
        let class = match kind {
            FailureKind::Timeout => timeout,
            FailureKind::Status(429) => limit.or(status),
            FailureKind::Status(_) => status,
            FailureKind::Decode | FailureKind::TooLarge => decode,
            FailureKind::Connection => connect,
            FailureKind::Limit => limit,
            FailureKind::Key | FailureKind::Other => None,
        };
        class.unwrap_or(self.default)
    }

    /// Whether every error fails the job.
    pub fn always_fails(&self) -> bool {
        self.default == OnError::Fail && self.classes.iter().flatten().all(|c| *c == OnError::Fail)
    }

    /// Whether some error makes a dead letter of its row.
    pub fn has_dead_letters(&self) -> bool {
        self.default == OnError::DeadLetter || self.classes.contains(&Some(OnError::DeadLetter))
    }

    /// Whether some error is answered from what the cache still has.
    pub(super) fn has_stale(&self) -> bool {
        self.default == OnError::Stale || self.classes.contains(&Some(OnError::Stale))
    }
}

impl std::fmt::Display for ErrorPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "on-error={}", self.default.as_str())?;
        for (key, class) in CLASSES.iter().zip(self.classes) {
            if let Some(class) = class {
                write!(f, ", {}={}", key.trim_start_matches("lookup."), class.as_str())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn classes_come_before_the_default() {
        let mut options = Options::default();
        for (key, value) in [(ON_ERROR, "null"), (CLASSES[1], "drop"), (CLASSES[0], "stale")] {
            options.set(key, value, Default::default());
        }
        let policy = ErrorPolicy::resolve(&options).unwrap();
        let kinds = [
            (FailureKind::Timeout, OnError::Stale),
            (FailureKind::Status(500), OnError::Drop),
            (FailureKind::Status(429), OnError::Drop),
            (FailureKind::Decode, OnError::Null),
            (FailureKind::Key, OnError::Null),
        ];
        kinds.iter().for_each(|(kind, expected)| assert_eq!(policy.of(*kind), *expected, "{kind:?}"));
        assert_eq!(policy.to_string(), "on-error=null, on-error.timeout=stale, on-error.status=drop");
        options.set(ON_ERROR, "maybe", Default::default());
        assert!(ErrorPolicy::resolve(&options).is_err());
    }
}
