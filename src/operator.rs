//! The operators, one file each.

pub mod aggregate;
pub mod calc;
pub mod changelog;
pub mod changelog_normalize;
pub mod current_watermark;
pub mod limit;
pub mod lookup_join;
pub mod sink_materializer;
pub mod unnest;
pub mod watermark;
pub mod window;
