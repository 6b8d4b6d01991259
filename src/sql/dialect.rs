//! The dialect handed to `sqlparser`.
