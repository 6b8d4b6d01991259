//! Keyed state in memory, organised for operators: keys are interned to dense slots, rows are kept as
//! columns. Nothing here is a row of boxed values.

pub mod expiry;
pub mod keys;
pub mod rows;

pub use expiry::Expiry;
pub use keys::KeyTable;
pub use rows::RowStore;
