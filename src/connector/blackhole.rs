//! blackhole
