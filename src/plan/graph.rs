//! The continuous plan: a tree of operators with what the planner knows of the rows between them.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::DFSchemaRef;

use super::meaning::Meaning;
use crate::connector::{Place, Source};
use crate::error::Result;
use crate::flow::task::BuildOperator;
use crate::lookup::LookupMetrics;
use crate::operator::window::WindowSpec;

/// Kinds of change that a stream may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Rows may be updated (`+U`, and `-U` where somebody needs it).
    pub update: bool,
    /// Rows may be deleted (`-D`).
    pub delete: bool,
}

impl Changes {
    /// Inserts only.
    pub const APPEND: Changes = Changes { update: false, delete: false };
    /// All kinds.
    pub const ALL: Changes = Changes { update: true, delete: true };

    /// Inserts only.
    pub fn is_append(self) -> bool {
        self == Self::APPEND
    }

    /// What either of two streams may hold.
    pub fn or(self, other: Self) -> Self {
        Self { update: self.update || other.update, delete: self.delete || other.delete }
    }
}

/// The window that every row of a stream belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowColumns {
    /// Which windows.
    pub spec: WindowSpec,
    /// Position of `window_start`, where it is kept.
    pub start: Option<usize>,
    /// Position of `window_end`, where it is kept.
    pub end: Option<usize>,
    /// Position of `window_time`, where it is kept.
    pub time: Option<usize>,
    /// The windows are of processing time: no watermark closes them.
    pub processing: bool,
}

/// What is known of the rows that a node gives. Columns are positions in its schema.
#[derive(Debug, Clone, Default)]
pub struct Properties {
    /// Kinds of change.
    pub changes: Changes,
    /// Sets of columns of which each identifies a row: what updates and deletes can be told by.
    pub keys: Vec<Vec<usize>>,
    /// Event time attributes. They survive plain forwarding only.
    pub rowtimes: Vec<usize>,
    /// Processing time attributes.
    pub proctimes: Vec<usize>,
    /// The window of the rows.
    pub window: Option<WindowColumns>,
    /// The rows end by themselves.
    pub bounded: bool,
}

impl Properties {
    /// What holds of the rows after a projection: `from[i]` is the input column that output column `i`
    /// forwards, if it forwards one.
    pub fn project(&self, from: &[Option<usize>]) -> Self {
        let positions = |column: usize| -> Vec<usize> {
            from.iter().enumerate().filter(|(_, f)| **f == Some(column)).map(|(i, _)| i).collect()
        };
        let all = |columns: &[usize]| columns.iter().flat_map(|&c| positions(c)).collect::<Vec<_>>();
        let first = |column: Option<usize>| column.and_then(|c| positions(c).first().copied());
        Self {
            changes: self.changes,
            keys: self
                .keys
                .iter()
                .filter_map(|key| key.iter().map(|&c| first(Some(c))).collect::<Option<Vec<_>>>())
                .collect(),
            rowtimes: all(&self.rowtimes),
            proctimes: all(&self.proctimes),
            window: self.window.as_ref().map(|w| WindowColumns {
                spec: w.spec.clone(),
                start: first(w.start),
                end: first(w.end),
                time: first(w.time),
                processing: w.processing,
            }),
            bounded: self.bounded,
        }
    }
}

/// Which rows of an input have to come to the same task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distribution {
    /// It does not matter.
    Any,
    /// Those with equal values in these columns of the input.
    Keys(Vec<usize>),
    /// All.
    Single,
}

/// What a node needs to be told of an update in its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// `-U` and `+U`.
    Before,
    /// `+U` is enough: it knows the row before by its key.
    After,
    /// What its own consumer needs.
    Forward,
}

/// One input of a node.
#[derive(Debug, Clone)]
pub struct Input {
    /// Where the rows come from.
    pub node: Node,
    /// Which rows have to meet.
    pub distribution: Distribution,
    /// What it needs of updates.
    pub demand: Demand,
}

/// What is decided for a node when the whole plan is known.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// For each input, whether its updates come with `-U`.
    pub before: Vec<bool>,
    /// Whether this node is to emit `-U` with its updates.
    pub emit_before: bool,
    /// Tasks that run it.
    pub parallelism: usize,
}

/// Makes the operators of a node, once it is known what they are to emit.
pub type BuildNode = Arc<dyn Fn(&Wiring) -> Result<BuildOperator> + Send + Sync>;

/// What a node does.
#[derive(Clone)]
pub enum Body {
    /// Reads.
    Source(Arc<dyn Source>),
    /// An operator.
    Operator(BuildNode),
    /// The rows of all inputs.
    Union,
    /// The rows of its input, which several go on with.
    Shared {
        /// Which rows.
        id: usize,
        /// What reads them again does not compute them again: its input is that of the first.
        again: bool,
    },
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Body::Source(_) => "Source",
            Body::Operator(_) => "Operator",
            Body::Union => "Union",
            Body::Shared { .. } => "Shared",
        })
    }
}

/// What the planner has to know of some operators.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Shape {
    /// Nothing.
    #[default]
    Other,
    /// A source.
    Source {
        /// The table; `None`: rows that stand in the query.
        table: Option<String>,
        /// Where it reads, if its connector can tell.
        place: Option<Place>,
    },
    /// A projection.
    Calc {
        /// And a filter.
        filters: bool,
    },
    /// Assigns watermarks.
    Watermark {
        /// A task without rows stops holding the others back after some time.
        idle_timeout: bool,
    },
    /// Keeps the last row of each key, by event time.
    LastRow,
    /// Looks up in another system.
    Lookup {
        /// Answers are kept.
        cached: bool,
    },
    /// Keeps the first rows of each key.
    TopN {
        /// By ROW_NUMBER: no two have the same rank.
        numbered: bool,
    },
    /// Joins whatever has come from both sides, without waiting for a watermark.
    StreamJoin,
}

/// An operator, its inputs, and what it gives. Made by [`Node::operator`] and the like.
#[derive(Debug, Clone)]
pub struct Node {
    /// Name as in [`crate::flow::Operator::name`]; `Source`, `Union`.
    pub name: &'static str,
    /// What EXPLAIN prints after it, for people alone; secrets redacted.
    pub detail: String,
    /// What other planner rooms ask of it.
    pub shape: Shape,
    /// What its rows, its columns and its state mean.
    pub meaning: Meaning,
    /// What it does.
    pub body: Body,
    /// Where its rows come from.
    pub inputs: Vec<Input>,
    /// The columns it gives, as the logical plan names them.
    pub schema: DFSchemaRef,
    /// The columns it gives as batches have them: all nullable.
    pub arrow: SchemaRef,
    /// What is known of its rows.
    pub properties: Properties,
    /// Its updates come from itself and not from an input: it can leave `-U` out.
    pub originates: bool,
    /// Lookups in it: name in the query, counters.
    pub lookups: Vec<(String, Arc<LookupMetrics>)>,
    /// User functions of its statement, with the digests of their code.
    pub functions: std::collections::BTreeMap<String, String>,
    /// State that grows without bound, with the remedy: shown before the query runs.
    pub warnings: Vec<String>,
}

impl Node {
    /// An operator; it emits no updates of its own until it is said to.
    pub fn operator(
        name: &'static str,
        detail: String,
        build: BuildNode,
        inputs: Vec<Input>,
        (schema, arrow): (DFSchemaRef, SchemaRef),
        (properties, meaning): (Properties, Meaning),
    ) -> Self {
        Self {
            name,
            detail,
            shape: Shape::Other,
            meaning,
            body: Body::Operator(build),
            inputs,
            schema,
            arrow,
            properties,
            originates: false,
            lookups: Vec::new(),
            functions: Default::default(),
            warnings: Vec::new(),
        }
    }

    /// An operator with one input whose rows it passes on one by one: it neither makes nor removes updates.
    pub fn forward(
        name: &'static str,
        detail: String,
        build: BuildOperator,
        input: Node,
        columns: (DFSchemaRef, SchemaRef),
        known: (Properties, Meaning),
    ) -> Self {
        let inputs = vec![Input { node: input, distribution: Distribution::Any, demand: Demand::Forward }];
        Self::operator(name, detail, Arc::new(move |_| Ok(build.clone())), inputs, columns, known)
    }

    /// A source; of a table, or of rows that stand in the query.
    pub fn source(
        source: Arc<dyn Source>,
        (table, place): (Option<String>, Option<Place>),
        detail: String,
        (schema, arrow): (DFSchemaRef, SchemaRef),
        (properties, meaning): (Properties, Meaning),
    ) -> Self {
        Self {
            name: "Source",
            detail,
            shape: Shape::Source { table, place },
            meaning,
            body: Body::Source(source),
            inputs: Vec::new(),
            schema,
            arrow,
            properties,
            originates: false,
            lookups: Vec::new(),
            functions: Default::default(),
            warnings: Vec::new(),
        }
    }

    /// The rows of all inputs, which have the same columns.
    pub fn union(inputs: Vec<Node>, schema: DFSchemaRef) -> Self {
        let mut all = inputs.iter().map(|i| i.properties.clone());
        let mut properties = all.next().unwrap_or_default();
        // Equal rows may come from several inputs.
        properties.keys = Vec::new();
        for other in all {
            properties.changes = properties.changes.or(other.changes);
            properties.rowtimes.retain(|c| other.rowtimes.contains(c));
            properties.proctimes.retain(|c| other.proctimes.contains(c));
            properties.bounded &= other.bounded;
            properties.window = properties.window.filter(|w| other.window.as_ref() == Some(w));
        }
        // A key of a part may be deleted in one input while another still has it: rows are told apart whole.
        let demand = if properties.changes.is_append() { Demand::Forward } else { Demand::Before };
        let arrow = inputs.first().map_or_else(|| Arc::new(schema.as_arrow().clone()), |i| i.arrow.clone());
        let meaning = Meaning::union(&inputs.iter().collect::<Vec<_>>());
        let inputs =
            inputs.into_iter().map(|node| Input { node, distribution: Distribution::Any, demand }).collect();
        Self {
            name: "Union",
            detail: String::new(),
            shape: Shape::Other,
            meaning,
            body: Body::Union,
            inputs,
            schema,
            arrow,
            properties,
            originates: false,
            lookups: Vec::new(),
            functions: Default::default(),
            warnings: Vec::new(),
        }
    }

    /// A node whose rows several go on with.
    pub fn shared(input: Node, id: usize) -> Self {
        Self {
            name: "Shared",
            detail: format!("reuse_id=[{id}]"),
            shape: Shape::Other,
            meaning: Meaning::calc(&input, None, None),
            body: Body::Shared { id, again: false },
            schema: input.schema.clone(),
            arrow: input.arrow.clone(),
            properties: input.properties.clone(),
            originates: false,
            lookups: Vec::new(),
            functions: Default::default(),
            warnings: Vec::new(),
            inputs: vec![Input { node: input, distribution: Distribution::Any, demand: Demand::Forward }],
        }
    }

    /// The inputs that are its own: not those of rows that are read again.
    pub fn own_inputs(&self) -> &[Input] {
        match self.body {
            Body::Shared { again: true, .. } => &[],
            _ => &self.inputs,
        }
    }

    /// Says what other planner rooms ask of it.
    #[must_use]
    pub fn shaped(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    /// Its updates come from itself, or not.
    #[must_use]
    pub fn originating(mut self, originates: bool) -> Self {
        self.originates = originates;
        self
    }

    /// Adds warnings.
    #[must_use]
    pub fn warned(mut self, warnings: impl IntoIterator<Item = String>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    /// Calls `visit` with this node and all below it, what is shared once.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Node)) {
        visit(self);
        self.own_inputs().iter().for_each(|input| input.node.walk(visit));
    }

    /// The lookups of the whole tree, each once.
    pub fn all_lookups(&self) -> Vec<(String, Arc<LookupMetrics>)> {
        let mut all: Vec<(String, Arc<LookupMetrics>)> = Vec::new();
        self.walk(&mut |node| {
            for lookup in &node.lookups {
                if !all.iter().any(|(_, m)| Arc::ptr_eq(m, &lookup.1)) {
                    all.push(lookup.clone());
                }
            }
        });
        all
    }
}
