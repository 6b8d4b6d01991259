//! `TO_CHANGELOG` and `FROM_CHANGELOG`: changes as values, and back.
