//! The operators, one file each.

pub mod aggregate;
pub mod calc;
pub mod changelog;
pub mod changelog_normalize;
pub mod conflict_resolver;
pub mod constraint_enforcer;
pub mod current_watermark;
#[cfg(test)]
mod cuts;
pub mod dead_letters;
pub mod deduplicate;
mod equal_rows;
mod event_time;
pub mod expand;
pub mod group_aggregate;
pub mod guard;
pub mod interval_join;
pub mod join;
mod join_output;
pub mod limit;
pub mod lookup_join;
pub mod match_recognize;
pub mod over;
mod partitions;
#[cfg(test)]
pub(crate) mod picture;
mod pieces;
mod ranking;
mod row_bag;
pub mod sink_materializer;
pub mod snapshot_join;
pub mod sort;
pub mod temporal_join;
pub mod temporal_sort;
pub mod top_n;
#[cfg(test)]
mod two_inputs;
pub mod unnest;
pub mod watermark;
pub mod window;
pub mod window_rank;
