//! lookup_join
