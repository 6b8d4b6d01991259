//! A painting on the terminal that is repainted in place: a live table, a chart.

use std::time::{Duration, Instant};

/// Least time between two paintings: at most twenty in a second.
const FRAME: Duration = Duration::from_millis(50);

/// Columns and lines of a terminal, as far as they are known.
pub type Size = (Option<usize>, Option<usize>);

/// Size of the terminal behind standard output.
pub fn terminal_size() -> Size {
    use crate::console::terminal::{terminal_height, terminal_width};
    (terminal_width(std::io::stdout()), terminal_height(std::io::stdout()))
}

/// Where the last painting is.
#[derive(Debug, Default)]
pub struct Screen {
    /// Lines that belong to it.
    lines: usize,
    painted: Option<Instant>,
    size: Size,
}

impl Screen {
    /// How long to wait before the next painting.
    pub fn wait(&self) -> Duration {
        self.painted.map_or(Duration::ZERO, |at| FRAME.saturating_sub(at.elapsed()))
    }

    /// Whether it is time for the next painting.
    pub fn is_due(&self) -> bool {
        self.wait().is_zero()
    }

    /// Takes the last painting away: the cursor goes to where it began. A terminal that has another size now
    /// has broken its lines elsewhere: it is cleared.
    pub fn wipe(&mut self, size: Size, out: &mut Vec<u8>) {
        if self.lines > 0 && self.size != size {
            out.extend_from_slice(b"\x1b[H\x1b[2J");
        } else if self.lines > 0 {
            out.extend_from_slice(format!("\r\x1b[{}A\x1b[J", self.lines).as_bytes());
        }
        self.lines = 0;
        self.size = size;
    }

    /// What was painted since [`Screen::wipe`].
    pub fn painted(&mut self, painting: &[u8]) {
        self.lines = painting.iter().filter(|&&b| b == b'\n').count();
        self.painted = Some(Instant::now());
    }

    /// Makes the next painting due.
    #[cfg(test)]
    pub fn hurry(&mut self) {
        self.painted = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_painting_is_wiped_by_its_lines_and_a_resized_terminal_as_a_whole() {
        let (mut screen, mut out) = (Screen::default(), Vec::new());
        assert!(screen.is_due());
        screen.wipe((Some(80), Some(24)), &mut out);
        assert!(out.is_empty());
        screen.painted(b"a\nb\n");
        assert!(screen.wait() <= FRAME);
        screen.wipe((Some(80), Some(24)), &mut out);
        assert_eq!(out, b"\r\x1b[2A\x1b[J");
        screen.painted(b"a\n");
        out.clear();
        screen.wipe((Some(20), Some(24)), &mut out);
        assert_eq!(out, b"\x1b[H\x1b[2J");
    }
}
