//! Results that are longer than the terminal.
//!
//! Rows are shown as they come. When they become more than the terminal has lines, the pager takes over: it is
//! given what was shown so far and what follows. What is known as a whole goes to it at once.

use super::destination::Pipe;
use super::fault::Fault;

/// What is kept for the pager.
#[derive(Debug)]
pub struct Pager {
    command: String,
    /// Lines of the terminal.
    height: usize,
    seen: Vec<u8>,
    lines: usize,
    pipe: Option<Pipe>,
}

/// The pager that the user wants: `AFFLUENT_PAGER`, `PAGER`, else `less` where there is one. `None`: none.
pub fn command() -> Option<String> {
    let named = ["AFFLUENT_PAGER", "PAGER"].iter().find_map(|name| std::env::var(name).ok());
    let command = match named {
        Some(command) => command.trim().to_string(),
        None => {
            let path = std::env::var_os("PATH")?;
            std::env::split_paths(&path).find(|folder| folder.join("less").is_file())?;
            "less -S".to_string()
        }
    };
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    (!dumb && !command.is_empty() && command != "cat").then_some(command)
}

impl Pager {
    /// For a terminal of this height.
    pub fn new(command: String, height: usize) -> Self {
        Self { command, height, seen: Vec::new(), lines: 0, pipe: None }
    }

    /// Takes what is to be shown; returns what is to be written to the terminal. [`Fault::Closed`]: the user
    /// has left the pager.
    pub fn take<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
        if let Some(pipe) = &mut self.pipe {
            if pipe.is_gone() {
                return Err(Fault::Closed);
            }
            pipe.write(bytes)?;
            return Ok(&[]);
        }
        self.lines += bytes.iter().filter(|&&b| b == b'\n').count();
        self.seen.extend_from_slice(bytes);
        if self.lines < self.height {
            return Ok(bytes);
        }
        match Pipe::start(&self.command, false) {
            Ok(mut pipe) => {
                let seen = std::mem::take(&mut self.seen);
                let written = pipe.write(&seen);
                self.pipe = Some(pipe);
                written?;
                Ok(&[])
            }
            Err(e) => {
                log::debug!("the pager '{}' does not start: {e}", self.command);
                self.height = usize::MAX;
                Ok(bytes)
            }
        }
    }

    /// Whether the pager shows something now.
    pub fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Waits until the user leaves it.
    pub fn finish(mut self) {
        if let Some(pipe) = &mut self.pipe
            && let Err(e) = pipe.finish()
        {
            log::debug!("the pager: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn output_longer_than_the_terminal_goes_to_the_pager() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("paged");
        let mut pager = Pager::new(format!("cat > {}", path.display()), 3);
        assert_eq!(pager.take(b"1\n2\n").unwrap(), b"1\n2\n");
        assert!(!pager.is_open());
        assert_eq!(pager.take(b"3\n").unwrap(), b"");
        assert!(pager.is_open());
        assert_eq!(pager.take(b"4\n").unwrap(), b"");
        pager.finish();
        assert_eq!(std::fs::read(path).unwrap(), b"1\n2\n3\n4\n", "all of it");
    }

    #[test]
    fn short_results_stay_on_the_terminal() {
        let mut pager = Pager::new("exit 1".into(), 10);
        assert_eq!(pager.take(b"1\n").unwrap(), b"1\n");
        pager.finish();
    }
}
