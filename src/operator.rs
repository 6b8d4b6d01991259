//! The operators, one file each.

pub mod aggregate;
pub mod calc;
pub mod changelog;
pub mod changelog_normalize;
mod event_time;
pub mod interval_join;
mod join_output;
pub mod limit;
pub mod lookup_join;
#[cfg(test)]
mod picture;
mod retention;
mod row_bag;
pub mod sink_materializer;
pub mod snapshot_join;
pub mod sort;
pub mod temporal_join;
pub mod temporal_sort;
#[cfg(test)]
mod two_inputs;
pub mod unnest;
pub mod watermark;
pub mod window;
