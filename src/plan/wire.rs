//! Tree of operators → fragments: who emits `-U`, where rows are exchanged, what runs on one thread.
//!
//! Two decisions are made on one walk. *Going down*, each node is told whether its consumer needs the row
//! before an update; an operator that makes updates leaves `-U` out where nobody does. *Coming up*, operators
//! are put behind each other into fragments; a fragment is cut only where rows have to meet by key and run
//! on several tasks.

use std::collections::HashMap;
use std::sync::Arc;

use super::graph::{Body, Demand, Distribution, Node, Wiring};
use super::identity::Identities;
use crate::connector::{Sink, Source, SourceChangelog};
use crate::error::{Error, Result};
use crate::flow::fragment::{Fragment, Head, Port, Stage, Tail};
use crate::flow::task::BuildOperator;

/// A sender of a fragment that is not connected yet.
#[derive(Clone, Copy)]
enum Loose {
    Head(usize),
    Operator(usize),
}

/// A fragment in the making: what `loose` names sends to whoever comes next.
struct Open {
    parallelism: usize,
    heads: Vec<(Head, Port)>,
    operators: Vec<Stage>,
    loose: Vec<Loose>,
}

/// Stands where a port is not known yet.
const NOWHERE: Port = Port { operator: usize::MAX, input: 0 };

impl Open {
    fn head(head: Head, parallelism: usize) -> Self {
        Self { parallelism, heads: vec![(head, NOWHERE)], operators: Vec::new(), loose: vec![Loose::Head(0)] }
    }

    fn connect(&mut self, loose: &[Loose], port: Port) {
        for sender in loose {
            match *sender {
                Loose::Head(i) => self.heads[i].1 = port,
                Loose::Operator(i) => self.operators[i].to = port,
            }
        }
    }

    /// Takes over another fragment; its loose ends with their new numbers.
    fn absorb(&mut self, other: Open) -> Vec<Loose> {
        let (heads, operators) = (self.heads.len(), self.operators.len());
        let moved = |port: Port| match port {
            NOWHERE => NOWHERE,
            Port { operator, input } => Port { operator: operator + operators, input },
        };
        self.heads.extend(other.heads.into_iter().map(|(head, port)| (head, moved(port))));
        self.operators.extend(other.operators.into_iter().map(|s| Stage { to: moved(s.to), ..s }));
        let renumber = |loose: &Loose| match loose {
            Loose::Head(i) => Loose::Head(i + heads),
            Loose::Operator(i) => Loose::Operator(i + operators),
        };
        other.loose.iter().map(renumber).collect()
    }

    /// Puts an operator behind senders of each of its inputs.
    fn push(&mut self, node: &Node, id: String, build: BuildOperator, inputs: &[Vec<Loose>]) {
        let operator = self.operators.len();
        for (input, loose) in inputs.iter().enumerate() {
            self.connect(loose, Port { operator, input });
        }
        let (name, detail) = (node.name, node.detail.clone());
        let lookup = node.lookups.first().map(|(_, metrics)| metrics.clone());
        self.operators.push(Stage { id, name, detail, lookup, build, to: NOWHERE });
        self.loose = vec![Loose::Operator(operator)];
    }

    fn close(mut self, tail: Tail) -> Fragment {
        let loose = std::mem::take(&mut self.loose);
        let output = Port { operator: self.operators.len(), input: 0 };
        self.connect(&loose, output);
        Fragment { parallelism: self.parallelism, heads: self.heads, operators: self.operators, tail }
    }
}

/// Tasks that read a source.
pub(super) fn source_parallelism(source: &dyn Source, wanted: usize) -> usize {
    wanted.min(source.max_parallelism()).max(1)
}

/// Makes the fragments of one output of a job.
pub struct Wire<'a> {
    wanted: usize,
    identities: &'a mut Identities,
    exchanges: usize,
    fragments: Vec<Fragment>,
    shares: HashMap<usize, Share>,
}

/// Rows that several go on with.
#[derive(Default)]
struct Share {
    readers: usize,
    /// Whether one of them needs `-U`.
    before: bool,
    /// What is known when they are made: the exchanges of those who read them still, their tasks, whether `-U` comes.
    made: Option<(Vec<usize>, usize, bool)>,
}

impl<'a> Wire<'a> {
    /// `wanted` is the parallelism of sources that can be split and of operators with keys; `identities` are those
    /// of the job so far.
    pub fn new(wanted: usize, identities: &'a mut Identities) -> Self {
        let (fragments, shares) = (Vec::new(), HashMap::new());
        Self { wanted: wanted.max(1), identities, exchanges: 0, fragments, shares }
    }

    /// Finds out who goes on with what in all outputs, before one is added.
    pub fn shares<'n>(&mut self, outputs: impl Iterator<Item = (&'n Node, bool)> + Clone) {
        for (node, _) in outputs.clone() {
            node.walk(&mut |node| {
                if let Body::Shared { id, .. } = node.body {
                    self.shares.entry(id).or_default().readers += 1;
                }
            });
        }
        while outputs.clone().fold(false, |changed, (node, before)| self.wants(node, before) || changed) {}
    }

    /// Notes who needs `-U` of what is shared; whether that was not known.
    fn wants(&mut self, node: &Node, wanted: bool) -> bool {
        let (mut wanted, mut changed) = (wanted, false);
        if let Body::Shared { id, .. } = node.body {
            let share = self.shares.entry(id).or_default();
            changed = wanted && !share.before;
            share.before |= wanted;
            wanted = share.before;
        }
        for input in node.own_inputs() {
            changed |= self.wants(&input.node, demanded(input.demand, wanted));
        }
        changed
    }

    /// Adds a query and the sink that its rows go to, with its identity; `before`: whether the sink needs `-U`.
    /// Its fragments, and those of what it shares with later ones.
    pub fn add(
        &mut self,
        node: &Node,
        (sink, id): (&Arc<dyn Sink>, &str),
        before: bool,
    ) -> Result<Vec<Fragment>> {
        let (open, _) = self.node(node, before)?;
        let closed = open.into_iter().map(|open| open.close(Tail::Sink(sink.clone(), id.to_string())));
        self.fragments.extend(closed);
        Ok(std::mem::take(&mut self.fragments))
    }

    /// What goes on with the rows of a shared node.
    fn shared(&mut self, node: &Node, id: usize, wanted: bool) -> Result<(Vec<Open>, bool)> {
        let internal = || Error::internal("shared rows have no producer");
        let share = self.shares.entry(id).or_default();
        if let Some((numbers, parallelism, gives)) = &mut share.made {
            let number = numbers.pop().ok_or_else(internal)?;
            return Ok((vec![Open::head(Head::Exchange(number), *parallelism)], *gives));
        }
        let (readers, wanted) = (share.readers, wanted || share.before);
        let input = node.inputs.first().ok_or_else(internal)?;
        let (open, gives) = self.node(&input.node, wanted)?;
        if readers < 2 {
            return Ok((open, gives));
        }
        let parallelism = open.iter().map(|o| o.parallelism).max().unwrap_or(1);
        let mut numbers: Vec<usize> = (self.exchanges..self.exchanges + readers).rev().collect();
        self.exchanges += readers;
        let tail = Tail::Share(numbers.clone());
        self.fragments.extend(open.into_iter().map(|o| o.close(tail.clone())));
        let first = numbers.pop().ok_or_else(internal)?;
        self.shares.entry(id).or_default().made = Some((numbers, parallelism, gives));
        Ok((vec![Open::head(Head::Exchange(first), parallelism)], gives))
    }

    /// The fragments that end in a node, and whether its updates come with `-U`.
    fn node(&mut self, node: &Node, wanted: bool) -> Result<(Vec<Open>, bool)> {
        if let Body::Shared { id, .. } = node.body {
            return self.shared(node, id, wanted);
        }
        let mut inputs = Vec::with_capacity(node.inputs.len());
        let mut before = Vec::with_capacity(node.inputs.len());
        for input in &node.inputs {
            let (open, gives) = self.node(&input.node, demanded(input.demand, wanted))?;
            inputs.push(open);
            before.push(gives);
        }
        let gives = gives_before(node, wanted, &before);
        let open = match &node.body {
            Body::Source(source) => {
                let tasks = source_parallelism(source.as_ref(), self.wanted);
                let id = self.identities.node(node);
                vec![Open::head(Head::Source(source.clone(), id), tasks)]
            }
            Body::Union | Body::Shared { .. } => inputs.into_iter().flatten().collect(),
            Body::Operator(build) => {
                let wiring = |parallelism| Wiring { before: before.clone(), emit_before: gives, parallelism };
                if node.inputs.iter().all(|i| i.distribution == Distribution::Any) {
                    let Ok([input]) = <[Vec<Open>; 1]>::try_from(inputs) else {
                        return Err(Error::internal(format!(
                            "{} does not say where its rows meet",
                            node.name
                        )));
                    };
                    input
                        .into_iter()
                        .map(|mut open| {
                            let loose = std::mem::take(&mut open.loose);
                            let build = build(&wiring(open.parallelism))?;
                            open.push(node, self.identities.node(node), build, &[loose]);
                            Ok(open)
                        })
                        .collect::<Result<_>>()?
                } else {
                    vec![self.meet(node, inputs, |parallelism| build(&wiring(parallelism)))?]
                }
            }
        };
        Ok((open, gives))
    }

    /// Brings the rows of all inputs together as the node wants them.
    fn meet(
        &mut self,
        node: &Node,
        inputs: Vec<Vec<Open>>,
        build: impl FnOnce(usize) -> Result<BuildOperator>,
    ) -> Result<Open> {
        let single = node.inputs.iter().any(|i| !matches!(i.distribution, Distribution::Keys(_)));
        let parallelism = if single { 1 } else { self.wanted };
        let one_task = |inputs: &[Vec<Open>]| inputs.iter().flatten().all(|o| o.parallelism == 1);
        // One source behind everything: a second thread would only wait for the first.
        let alone = single && inputs.iter().flatten().count() == 1;
        let mut joined = Open { parallelism, heads: Vec::new(), operators: Vec::new(), loose: Vec::new() };
        let mut ends = Vec::with_capacity(inputs.len());
        if one_task(&inputs) && (self.wanted == 1 || alone) {
            for input in inputs {
                ends.push(input.into_iter().flat_map(|open| joined.absorb(open)).collect::<Vec<_>>());
            }
        } else {
            for (input, open) in node.inputs.iter().zip(inputs) {
                let keys = match &input.distribution {
                    Distribution::Keys(keys) if !single => keys.clone(),
                    _ => Vec::new(),
                };
                let number = self.exchanges;
                self.exchanges += 1;
                let tail = Tail::Exchange { number, keys };
                self.fragments.extend(open.into_iter().map(|o| o.close(tail.clone())));
                ends.push(joined.absorb(Open::head(Head::Exchange(number), parallelism)));
            }
        }
        joined.push(node, self.identities.node(node), build(parallelism)?, &ends);
        Ok(joined)
    }
}

/// Whether an input is to give `-U`.
fn demanded(demand: Demand, wanted: bool) -> bool {
    match demand {
        Demand::Before => true,
        Demand::After => false,
        Demand::Forward => wanted,
    }
}

/// Whether the updates of a node come with `-U`, when its inputs' do as said.
fn gives_before(node: &Node, wanted: bool, inputs: &[bool]) -> bool {
    match &node.body {
        _ if !node.properties.changes.update => false,
        Body::Source(source) => source.changelog() == SourceChangelog::All,
        Body::Operator(_) if node.originates => wanted,
        Body::Operator(_) | Body::Union | Body::Shared { .. } => inputs.contains(&true),
    }
}

/// For every node, in the order of [`Node::walk`], whether its updates come with `-U`.
pub(super) fn updates(node: &Node, wanted: bool) -> Vec<bool> {
    let inputs: Vec<Vec<bool>> =
        node.own_inputs().iter().map(|i| updates(&i.node, demanded(i.demand, wanted))).collect();
    let mut before: Vec<bool> = inputs.iter().map(|i| i[0]).collect();
    if matches!(node.body, Body::Shared { again: true, .. }) {
        before.push(wanted);
    }
    std::iter::once(gives_before(node, wanted, &before)).chain(inputs.into_iter().flatten()).collect()
}
