//! Single-flight, retry, deadline.
