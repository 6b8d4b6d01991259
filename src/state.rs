//! Keyed state in memory, organised for operators: keys are interned to dense slots, rows are kept as
//! columns. Nothing here is a row of boxed values. What operators write into checkpoints and get back from them.

pub mod changed;
pub mod checkpoint;
pub mod columns;
pub mod expiry;
mod hash;
pub mod inspect;
pub mod key_group;
pub mod key_times;
pub mod keys;
#[cfg(test)]
pub mod ledger;
pub mod memory;
pub mod row_table;
pub mod rows;
pub mod snapshot;
pub mod store;
pub mod tier;
mod tiering;

pub use changed::Changed;
pub use expiry::Expiry;
pub use hash::hash_rows;
pub use key_group::{KEY_GROUPS, groups_of_task, key_group, task_of_group};
pub use key_times::KeyTimes;
pub use keys::KeyTable;
pub use memory::Memory;
pub use row_table::{RowTable, Taken, in_order, with_schema};
pub use rows::RowStore;
pub use snapshot::{Delta, Former, Piece, Restored, Scope, Snapshot, StoredRows};
