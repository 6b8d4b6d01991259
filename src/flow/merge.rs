//! Signals of several senders become those of one stream: the least watermark, idle when all are, the end
//! when all have ended.

use super::message::{Status, Watermark, WatermarkClock};

#[derive(Debug, Clone, Copy)]
struct Sender {
    input: usize,
    watermark: Option<Watermark>,
    idle: bool,
    ended: bool,
}

/// What the senders of one operator have said.
#[derive(Debug, Default)]
pub struct Merge {
    senders: Vec<Sender>,
    /// One an input.
    inputs: Vec<WatermarkClock>,
    all: WatermarkClock,
    idle: bool,
}

/// What a signal of one sender means for the operator behind it.
#[derive(Debug, Default, PartialEq)]
pub struct Merged {
    /// Its input's watermark, if that moved.
    pub input: Option<(usize, Watermark)>,
    /// The watermark of all, if that moved.
    pub all: Option<Watermark>,
    /// The status of all, if that changed.
    pub status: Option<Status>,
    /// The input that has ended.
    pub input_ended: Option<usize>,
    /// All have ended.
    pub ended: bool,
}

impl Merge {
    /// Adds a sender to an input; its number.
    pub fn add(&mut self, input: usize) -> usize {
        self.senders.push(Sender { input, watermark: None, idle: false, ended: false });
        self.inputs.resize_with(self.inputs.len().max(input + 1), WatermarkClock::default);
        self.senders.len() - 1
    }

    /// Several inputs, not just several senders.
    pub fn has_inputs(&self) -> bool {
        self.inputs.len() > 1
    }

    /// One sender: what it says is what all say.
    pub fn is_single(&self) -> bool {
        self.senders.len() == 1
    }

    /// A sender's watermark.
    pub fn watermark(&mut self, sender: usize, watermark: Watermark) -> Merged {
        self.senders[sender].watermark = Some(watermark);
        self.advance(sender)
    }

    /// A sender became idle or active.
    pub fn status(&mut self, sender: usize, status: Status) -> Merged {
        self.senders[sender].idle = status == Status::Idle;
        let mut merged = self.advance(sender);
        merged.status = self.changed_status();
        merged
    }

    /// A sender has ended.
    pub fn end(&mut self, sender: usize) -> Merged {
        let input = self.senders[sender].input;
        self.senders[sender].ended = true;
        let mut merged = self.advance(sender);
        merged.ended = self.senders.iter().all(|s| s.ended);
        merged.input_ended = self.senders.iter().all(|s| s.ended || s.input != input).then_some(input);
        merged.status = if merged.ended { None } else { self.changed_status() };
        merged
    }

    fn changed_status(&mut self) -> Option<Status> {
        let idle = self.senders.iter().all(|s| s.idle || s.ended);
        (idle != self.idle).then(|| {
            self.idle = idle;
            if idle { Status::Idle } else { Status::Active }
        })
    }

    fn advance(&mut self, sender: usize) -> Merged {
        let input = self.senders[sender].input;
        let least = |of: &mut dyn Iterator<Item = &Sender>| -> Option<i64> {
            // One that has ended without a last watermark holds nobody back.
            let mut least = None;
            for s in of.filter(|s| !s.idle && !(s.ended && s.watermark.is_none())) {
                let millis = if s.ended { Watermark::END.millis() } else { s.watermark?.millis() };
                least = Some(least.map_or(millis, |l: i64| l.min(millis)));
            }
            least
        };
        // That all have ended is told by the end; the last watermarks came before.
        let open = self.senders.iter().any(|s| !s.ended);
        let of_input = least(&mut self.senders.iter().filter(|s| s.input == input && (!s.ended || open)));
        let of_all = least(&mut self.senders.iter().filter(|s| !s.ended || open));
        Merged {
            input: of_input.and_then(|m| self.inputs[input].advance(m)).map(|w| (input, w)),
            all: of_all.and_then(|m| self.all.advance(m)),
            ..Merged::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(millis: i64) -> Watermark {
        let mut clock = WatermarkClock::default();
        clock.advance(millis).unwrap_or(Watermark::END)
    }

    #[test]
    fn the_least_of_all_counts() {
        let mut merge = Merge::default();
        let (a, b, c) = (merge.add(0), merge.add(0), merge.add(1));
        assert_eq!(merge.watermark(a, mark(5)), Merged::default());
        assert_eq!(merge.watermark(b, mark(3)).input, Some((0, mark(3))));
        assert_eq!(merge.watermark(c, mark(9)).all, Some(mark(3)));
        assert_eq!(merge.status(b, Status::Idle).all, Some(mark(5)));
        // Back behind the others: nothing moves backwards.
        assert_eq!(merge.status(b, Status::Active), Merged::default());
        let ended = merge.end(b);
        assert_eq!((ended.all, ended.ended, ended.input_ended), (None, false, None));
        let ended = merge.end(a);
        assert_eq!((ended.all, ended.input_ended), (Some(mark(9)), Some(0)));
        assert!(merge.end(c).ended);
    }
}
