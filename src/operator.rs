//! The operators, one file each.

pub mod aggregate;
pub mod calc;
pub mod changelog;
pub mod changelog_normalize;
pub mod current_watermark;
pub mod deduplicate;
mod event_time;
pub mod expand;
pub mod group_aggregate;
pub mod join;
pub mod limit;
pub mod lookup_join;
pub mod over;
#[cfg(test)]
mod picture;
mod ranking;
pub mod sink_materializer;
pub mod top_n;
pub mod unnest;
pub mod watermark;
pub mod window;
pub mod window_rank;
