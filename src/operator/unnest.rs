//! unnest
