//! The identity of state: an operator of a plan takes the state of one in an earlier plan if the state means the
//! same to both.
//!
//! An identity is a name and the digest of what [`Meaning`](super::meaning::Meaning) says of the node's state. The
//! words of EXPLAIN and the printed forms of dependencies have no part in it.
//!
//! | counts | does not count |
//! |---|---|
//! | the table that rows are read from: its name and connector | its path, URL, topic; which columns of it are read |
//! | keys, in their order: PARTITION BY, join keys, primary keys | aliases of tables and columns; the order of conditions; `a > b` or `b < a` |
//! | keys of GROUP BY; aggregate calls, with DISTINCT, FILTER and ORDER BY | their order, where checkpoints are in a folder of this machine ([`remembered`](super::remembered)) and no more than six calls, or 720 orders, are to be tried; the order of UNION ALL |
//! | the pattern and the conditions of MATCH_RECOGNIZE | the names of its variables |
//! | | columns that are only forwarded or computed after the operator |
//! | kind, size, slide, gap and offset of windows; bounds of time joins; frames of OVER | parallelism; watermark idle timeouts |
//! | types of what is kept | time to live of state, memory limits |
//! | the kind of a join (INNER, LEFT, ...), FIRST or LAST row, N of Top-N | settings of lookups: cache and its sizes and lifetimes, capacity, timeout, retries, ordered or not, on-error |
//! | what filters let through, where a result was computed from it | filters around a lookup join and a sort by time on input that only grows: the rows under way there are complete in themselves |
//! | whether the input is updated, where a state looks different then | URL, method, headers and body of a lookup; the path of a file that is looked up in |
//! | which columns of rows are kept, and in which order | comments, formatting, names of views, the order in which tables are declared |
//! | the tables of a lookup join and its keys | the columns of the lookup table, on input that only grows |
//! | | the code of user functions and the session's time zone: another one is told when the job comes back, and what was computed before stays (`execution.state-recovery.on-function-change` = `fail` refuses other code) |
//! | the condition of an outer join beside its keys, and of one on changing input | that of an inner join and of a temporal join of streams that only grow: it decides what comes out, not what is kept |
//!
//! Where a source reads is not part of an identity, and is compared apart: rows of another place are not the
//! continuation of those that were read (see [`crate::session`]). A table that has another name now and is read from
//! the same place is known by its old name.
//!
//! The first version of the checkpoints had digests of EXPLAIN's text: [`version1`] computes these to find their state.
//! Where the words have changed since, operators of a plan that has the same ones in the same order are found by
//! their place, and the user is told so.

pub mod version1;

use std::collections::HashMap;

use super::graph::{Body, Node, Shape};
use super::meaning::Parts;
use crate::connector::Place;
use crate::digest::digest;

/// The version of identities that checkpoints are written with.
pub const VERSION: u32 = 2;

/// The identity of a node; equal nodes of one plan are told apart by [`Identities`].
pub fn identity(node: &Node) -> String {
    if let ([input], Body::Shared { .. }) = (&node.inputs[..], &node.body) {
        // Sharing changes nothing about what a state means.
        return identity(&input.node);
    }
    format!("{}-{}", node.name, digest(&node.meaning.identity_text()))
}

/// The identity that it had before, where that has changed.
pub fn earlier(node: &Node) -> Option<String> {
    if let ([input], Body::Shared { .. }) = (&node.inputs[..], &node.body) {
        return earlier(&input.node);
    }
    Some(format!("{}-{}", node.name, digest(&node.meaning.earlier_text()?)))
}

/// What is known of an operator, source or sink by its identity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The operator's name.
    pub name: &'static str,
    /// Its identity in checkpoints that are written now.
    pub id: String,
    /// Its identity in checkpoints of the first version.
    pub version1: String,
    /// Its identity in older checkpoints of this version, where that was another one.
    pub earlier: Option<String>,
    /// What its state depends on, part by part: to say what has changed.
    pub parts: Vec<(String, String)>,
    /// The table that a source reads or a sink writes.
    pub table: Option<String>,
    /// The name by which checkpoints know that table, where it has another one now.
    pub known_as: Option<String>,
    /// Where a source reads, or a sink writes.
    pub place: Option<Place>,
}

/// Gives identities to the operators, sources and sinks of a job. Equal ones are told apart by their order.
#[derive(Debug, Default)]
pub struct Identities {
    seen: HashMap<String, usize>,
    seen_version1: HashMap<String, usize>,
    seen_earlier: HashMap<String, usize>,
    known: Vec<Known>,
}

impl Identities {
    /// The identity of one more node.
    pub fn node(&mut self, node: &Node) -> String {
        let (table, place) = match &node.shape {
            Shape::Source { table, place } => (table.clone(), place.clone()),
            _ => (None, None),
        };
        let parts = node.meaning.state.clone().map(Parts::into_list).unwrap_or_default();
        // The rows of a source are those of its table.
        let known_as =
            table.as_ref().map(|_| node.meaning.rows_text()).filter(|name| Some(name) != table.as_ref());
        let (id, version1, earlier) = (identity(node), version1::identity(node), earlier(node));
        self.next(Known { name: node.name, id, version1, earlier, parts, table, known_as, place })
    }

    /// The identity of one more sink.
    pub fn sink(&mut self, id: String, (table, place): (Option<String>, Option<Place>)) -> String {
        self.next(Known { name: "Sink", version1: id.clone(), id, table, place, ..Known::default() })
    }

    fn next(&mut self, known: Known) -> String {
        let id = numbered(&mut self.seen, known.id);
        let version1 = numbered(&mut self.seen_version1, known.version1);
        let earlier = known.earlier.map(|earlier| numbered(&mut self.seen_earlier, earlier));
        self.known.push(Known { id: id.clone(), version1, earlier, ..known });
        id
    }

    /// All that were given.
    pub fn known(&self) -> &[Known] {
        &self.known
    }
}

fn numbered(seen: &mut HashMap<String, usize>, identity: String) -> String {
    let count = seen.entry(identity.clone()).or_default();
    *count += 1;
    match *count {
        1 => identity,
        n => format!("{identity}-{n}"),
    }
}

#[cfg(test)]
mod tests;
