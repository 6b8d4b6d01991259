//! From one machine to many: the same file on a Flink cluster.
//!
//! A pipeline is checked here first, as always; then each statement is looked at once more, as Flink sees it. It goes as it
//! is, it is translated, or it cannot go:
//!
//! ```text
//!  JOIN sensor_info AS i ON ...      JOIN sensor_info FOR SYSTEM_TIME AS OF t.proc_time AS i ON ...
//!  'url' = '.../{id}'                'url' = '.../{{id}}', 'http.request.url-map' = 'id:id', ...
//!  fahrenheit(celsius)               CAST((CAST(celsius AS DOUBLE) * 1.8 + 32) AS DOUBLE)
//! ```
//! A translation is a list of edits of the text that was written (`edit`): comments, names and layout stay, and what is
//! translated is easy to see beside what was there. What changes on the way without an error (a policy that Flink's
//! connector does not have, a setting of ours) is **lost**, and is said with its consequence. Nothing is written when one
//! statement cannot go.
//!
//! `gateway` speaks to Flink's SQL Gateway, `run` submits what was exported, `import` takes the other way.

mod connect;
mod edit;
pub mod export;
mod functions;
pub mod gateway;
pub mod import;
mod options;
mod python;
mod queries;
mod report;
pub mod run;
mod statements;
mod target;
#[cfg(test)]
mod tests;
mod variables;

pub use export::{Export, Fate, Note, NoteKind, Part, Request, export};
pub use report::{imported as report_import, json as report_json, json_of, text as report_text};
pub use target::{Connectors, Target, Version};
