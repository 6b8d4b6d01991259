//! What a run was told by the outside, kept in a folder: rows of sources, answers of lookups and of functions that wait.
//!
//! ```text
//!   source ──> RecordedSource ──> tasks          FOLDER/recording.json   what there is, by file
//!                   │ rows, when they came               source-1.arrows rows of a scan, in order
//!   lookup ──> RecordedBackend ──> engine                lookup-2.arrows keys, how long it took, outcome, rows
//!                   │ keys and answers                   load-3.arrows   a lookup table that was loaded whole
//!                   └──────────> Recorder ──────────────> files of Arrow's stream format
//! ```
//! `affluent test` plays it again (see the room `trial`): the rows of sources come when they came, and lookups answer as
//! they answered. So a recording has more than the query read: all columns of its tables, and rows that pushed filters
//! would have left out, so that an edited query finds what it needs.
//!
//! - **Each row once.** A job that fails goes back to its checkpoint and reads rows again. Positions in checkpoints say how
//!   far the recording was (under [`MARK`]), and what came behind is taken out of the recording by a note in the manifest.
//! - **Bounded.** Rows of sources are kept up to three quarters of the limit, answers up to all of it, so that rows that
//!   were kept have their answers.
//! - **Secrets** are replaced by `${NAME}`: in texts those of all variables, in rows those of variables whose name is one
//!   of a secret. Headers that carry secrets are left out. A replay puts the values of its own variables back.

mod lookup;
mod read;
mod rows;
mod source;
mod write;

pub(crate) use lookup::RecordedBackend;
pub(crate) use read::{Book, Recording};
pub(crate) use rows::{check, conform, key_texts};
pub(crate) use source::RecordedSource;
pub(crate) use write::{Recorder, Summary};

use serde::{Deserialize, Serialize};

pub(crate) use crate::flow::source::RECORDED as MARK;

/// The version of the format.
pub(crate) const FORMAT: u32 = 1;

/// The file that says what is in the others.
pub(crate) const MANIFEST: &str = "recording.json";

/// What is in a folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// The program that wrote it.
    pub(crate) version: String,
    /// Tells recordings apart.
    pub(crate) id: String,
    /// Processing time when it began.
    pub(crate) started: i64,
    /// When it was finished; `None`: the process ended before that.
    pub(crate) ended: Option<i64>,
    /// The session's time zone.
    pub(crate) zone: String,
    /// The limit was reached, and rows behind are not in it.
    pub(crate) cut: bool,
    pub(crate) streams: Vec<Stream>,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Holds {
    Source,
    Lookup,
    Load,
}

/// One file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stream {
    pub(crate) file: String,
    pub(crate) holds: Holds,
    /// The table or function.
    pub(crate) name: String,
    pub(crate) rows: u64,
    /// Of a source: it never ends by itself.
    #[serde(default)]
    pub(crate) endless: bool,
    /// Of a source: when its rows ended, if they did.
    #[serde(default)]
    pub(crate) ended: Option<i64>,
    /// Of a source: what a job that came back took back.
    #[serde(default)]
    pub(crate) back: Vec<Back>,
    /// Of a table that is loaded whole: how often it was.
    #[serde(default)]
    pub(crate) loads: Vec<i64>,
}

/// A job went back to a checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Back {
    /// The number of what is read from here on.
    pub(crate) attempt: u32,
    /// What the checkpoint has of each task: the attempt, and its last piece before the checkpoint.
    pub(crate) marks: std::collections::BTreeMap<u32, (u32, u64)>,
}

/// Columns beside those of rows.
pub(crate) const AT: &str = "$at";
pub(crate) const PIECE: &str = "$piece";
pub(crate) const ATTEMPT: &str = "$attempt";
pub(crate) const TASK: &str = "$task";
pub(crate) const KIND: &str = "$kind";
pub(crate) const TOOK: &str = "$took";
pub(crate) const OUTCOME: &str = "$outcome";
pub(crate) const ABOUT: &str = "$about";
pub(crate) const KEY: &str = "$key";
pub(crate) const ROWS: &str = "$rows";

/// Outcomes of a lookup.
pub(crate) const ANSWERED: u8 = 0;
pub(crate) const FAILED: u8 = 1;
/// The request failed as a whole.
pub(crate) const REFUSED: u8 = 2;
/// Nobody waited for the answer any more.
pub(crate) const LEFT: u8 = 3;

/// What is known of an outcome beside its rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct About {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<Failed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) headers: Vec<(String, Vec<String>)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_age_ms: Option<u64>,
}

/// A failure as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_ms: Option<u64>,
    pub(crate) retryable: bool,
}

#[cfg(test)]
mod tests;
