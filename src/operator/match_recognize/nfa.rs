//! A pattern as a machine of states.
//!
//! ```text
//!  A B+ C      (A) ──take──> (B) ──take──> (B)* ──┬─take─┐       a row is taken, or the state is left without one:
//!                                           │ ^───┘       which conditions must hold, and which must not
//!                                           └─proceed─> (C) ──take──> end
//! ```
//! States and the order of their transitions are those of Flink's compiler of patterns, because they decide which of
//! several matches of the same row comes first. A greedy variable leaves no row that it could take to what follows:
//! the transitions there ask that its condition does not hold.

use crate::sql::match_pattern::PatternElement;

/// Conditions that a transition asks for: one bit a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Guard {
    /// Must hold.
    pub needs: u64,
    /// Must not hold.
    pub forbids: u64,
}

/// A way out of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transition {
    /// The row is taken as the state's variable; else it is looked at in the next state.
    pub takes: bool,
    pub target: u16,
    pub guard: Guard,
}

/// A state: the variable that it waits for a row of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub variable: u8,
    pub transitions: Vec<Transition>,
}

/// A compiled pattern. State 0 is the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nfa {
    pub states: Vec<State>,
    pub start: u16,
}

/// The end of a match.
pub(super) const END: u16 = 0;

/// No variable: the end.
const NONE: u8 = u8::MAX;

impl Nfa {
    /// Compiles a pattern. `defined`: variables that have a condition; any row is one of the others.
    pub fn new(pattern: &[PatternElement], defined: &[bool]) -> Self {
        let mut nfa = Self { states: vec![State { variable: NONE, transitions: Vec::new() }], start: END };
        let mut sink = END;
        for (variable, element) in pattern.iter().enumerate().rev() {
            let takes = if defined.get(variable).copied().unwrap_or(false) { 1 << variable } else { 0 };
            sink = nfa.element(element, variable as u8, Guard { needs: takes, forbids: 0 }, sink);
        }
        nfa.start = sink;
        nfa
    }

    fn state(&mut self, variable: u8, transitions: Vec<Transition>) -> u16 {
        self.states.push(State { variable, transitions });
        (self.states.len() - 1) as u16
    }

    /// What follows a greedy variable takes no row that the variable could take.
    fn leave_to(&mut self, state: u16, greedy: Guard) {
        // A variable without a condition takes all: nothing is left.
        let (bits, never) = (greedy.needs, greedy.needs == 0);
        for transition in &mut self.states[state as usize].transitions {
            transition.guard.forbids |= bits;
            if never {
                transition.guard.forbids |= NEVER;
                transition.guard.needs |= NEVER;
            }
        }
    }

    /// A state that takes one row and goes on to `sink`; or, if there is an `other`, to that without one.
    fn single(&mut self, variable: u8, guard: Guard, sink: u16, other: Option<u16>) -> u16 {
        let mut transitions = vec![Transition { takes: true, target: sink, guard }];
        transitions.extend(other.map(|target| Transition { takes: false, target, guard: Guard::default() }));
        self.state(variable, transitions)
    }

    fn element(&mut self, element: &PatternElement, variable: u8, guard: Guard, sink: u16) -> u16 {
        let optional = (element.least == 0).then_some(sink);
        let from = element.least.max(1);
        match element.most {
            Some(1) => self.single(variable, guard, sink, optional),
            None => {
                if element.is_greedy() {
                    self.leave_to(sink, guard);
                }
                let looping = self.states.len() as u16;
                let proceed = Transition { takes: false, target: sink, guard: Guard::default() };
                let again = Transition { takes: true, target: looping, guard };
                self.state(variable, vec![proceed, again]);
                let mut last = looping;
                for _ in 1..from {
                    last = self.single(variable, guard, last, None);
                }
                self.single(variable, guard, last, optional)
            }
            Some(most) => {
                if element.is_greedy() && from != most {
                    self.leave_to(sink, guard);
                }
                let mut last = sink;
                for _ in from..most {
                    last = self.single(variable, guard, last, Some(sink));
                }
                for _ in 1..from {
                    last = self.single(variable, guard, last, None);
                }
                self.single(variable, guard, last, optional)
            }
        }
    }
}

/// In both sets of a guard: what can never hold. (A pattern has fewer variables than bits.)
const NEVER: u64 = 1 << 63;

impl Guard {
    /// No row passes.
    pub fn is_never(self) -> bool {
        self.needs & self.forbids != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(variable: &str, least: u32, most: Option<u32>, reluctant: bool) -> PatternElement {
        PatternElement { variable: variable.into(), least, most, reluctant }
    }

    #[test]
    fn a_greedy_variable_keeps_its_rows_from_the_next_one() {
        let pattern =
            [element("A", 1, Some(1), false), element("B", 1, None, false), element("C", 1, Some(1), false)];
        let nfa = Nfa::new(&pattern, &[false, true, true]);
        let c = Transition { takes: true, target: END, guard: Guard { needs: 4, forbids: 2 } };
        assert_eq!(nfa.states[1], State { variable: 2, transitions: vec![c] });
        let b = Guard { needs: 2, forbids: 0 };
        let proceed = Transition { takes: false, target: 1, guard: Guard::default() };
        let again = Transition { takes: true, target: 2, guard: b };
        assert_eq!(nfa.states[2], State { variable: 1, transitions: vec![proceed, again] });
        assert_eq!(nfa.states[3].transitions, [Transition { takes: true, target: 2, guard: b }]);
        assert_eq!(nfa.start, 4);
        assert_eq!(nfa.states[4].transitions[0].guard, Guard::default());
    }

    #[test]
    fn counts_are_states_of_their_own() {
        let pattern = [element("A", 2, Some(4), true), element("B", 1, Some(1), false)];
        let nfa = Nfa::new(&pattern, &[true, true]);
        // The end, B, and four of A.
        assert_eq!(nfa.states.len(), 6);
        let ways: Vec<usize> = nfa.states.iter().map(|s| s.transitions.len()).collect();
        assert_eq!(ways, [0, 1, 2, 2, 1, 1]);
        // What follows a greedy variable without a condition is never reached.
        let greedy =
            Nfa::new(&[element("A", 1, None, false), element("B", 1, Some(1), false)], &[false, true]);
        assert!(greedy.states[1].transitions[0].guard.is_never());
    }
}
