//! Where results go when not to standard output: a file or a command (`\o`), the pager.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::fault::Fault;
use super::render::{OutputFormat, Target};
use crate::error::{Error, Result};

/// A file or a command.
#[derive(Debug)]
pub struct Destination {
    name: String,
    /// How results are written into it.
    pub target: Target,
    writer: Writer,
}

#[derive(Debug)]
enum Writer {
    File(File),
    Command(Pipe),
}

/// A command that reads what is written.
#[derive(Debug)]
pub struct Pipe {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Pipe {
    /// Starts a command with the shell. A command in the background is in its own process group: Ctrl-C is
    /// for the query and not for it.
    pub fn start(command: &str, background: bool) -> io::Result<Self> {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).stdin(Stdio::piped());
        if background {
            shell.process_group(0);
        }
        let mut child = shell.spawn()?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin })
    }

    /// Writes; a broken pipe when the command has gone.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stdin {
            Some(stdin) => stdin.write_all(bytes).and_then(|()| stdin.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Whether the command has ended.
    pub fn is_gone(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Closes its input and waits for its end.
    pub fn finish(&mut self) -> io::Result<std::process::ExitStatus> {
        self.stdin.take();
        self.child.wait()
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // What it does after its input has ended is its own affair, but it is not left as a zombie.
        let _ = self.finish();
    }
}

impl Destination {
    /// What `\o` names: a file whose suffix gives the format, or a command after `|`. A command gets what
    /// `-o` asks for, JSON lines without it.
    pub fn open(text: &str, asked: Option<OutputFormat>) -> Result<Self> {
        let text = text.trim();
        if let Some(command) = text.strip_prefix('|') {
            let command = command.trim();
            if command.is_empty() {
                return Err(Error::syntax("\\o | needs a command").with_hint("\\o | sort -u"));
            }
            let pipe = Pipe::start(command, true)
                .map_err(|e| Error::io(format!("cannot run '{command}'")).with_detail(e.to_string()))?;
            return Ok(Self {
                name: format!("| {command}"),
                target: plain(asked.unwrap_or(OutputFormat::Json)),
                writer: Writer::Command(pipe),
            });
        }
        let name = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')).unwrap_or(text);
        let suffix = Path::new(name).extension().and_then(|s| s.to_str()).unwrap_or_default();
        let lower = suffix.to_ascii_lowercase();
        if ["parquet", "orc", "avro", "arrow", "feather", "xlsx", "gz", "zst", "db", "sqlite"]
            .contains(&&*lower)
        {
            return Err(Error::unsupported(format!("results are not written as .{lower}"))
                .with_detail("known endings: .json .jsonl .ndjson .csv .txt")
                .with_hint("INSERT INTO a table writes the formats of its connector"));
        }
        let format = match lower.as_str() {
            "json" | "jsonl" | "ndjson" => OutputFormat::Json,
            "csv" => OutputFormat::Csv,
            _ => match asked {
                Some(format @ (OutputFormat::Json | OutputFormat::Csv | OutputFormat::Vertical)) => format,
                _ => OutputFormat::Tableau,
            },
        };
        let file = File::create(name)
            .map_err(|e| Error::io(format!("cannot write '{name}'")).with_detail(e.to_string()))?;
        Ok(Self { name: name.to_string(), target: plain(format), writer: Writer::File(file) })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes results. [`Fault::Closed`]: the command has gone.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let written = match &mut self.writer {
            Writer::File(file) => file.write_all(bytes),
            Writer::Command(pipe) => pipe.write(bytes),
        };
        written.map_err(|e| match e.kind() {
            io::ErrorKind::BrokenPipe => Fault::Closed,
            _ => Fault::Error(Error::io(e.to_string()).context(&self.name)),
        })
    }

    /// Ends it; a command is waited for. What it says about its end, if that is not good.
    pub fn close(mut self) -> Option<String> {
        let Writer::Command(pipe) = &mut self.writer else { return None };
        match pipe.finish() {
            Ok(status) if status.success() => None,
            Ok(status) => Some(format!("'{}': {status}", self.name)),
            Err(e) => Some(format!("'{}': {e}", self.name)),
        }
    }
}

/// Not on a terminal.
fn plain(format: OutputFormat) -> Target {
    Target { format, terminal: false, width: None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_suffix_gives_the_format() {
        let folder = tempfile::tempdir().unwrap();
        for (name, asked, format) in [
            ("a.json", None, OutputFormat::Json),
            ("a.CSV", Some(OutputFormat::Json), OutputFormat::Csv),
            ("a.txt", None, OutputFormat::Tableau),
            ("a", Some(OutputFormat::Csv), OutputFormat::Csv),
        ] {
            let path = folder.path().join(name);
            let mut to = Destination::open(&format!("'{}'", path.display()), asked).unwrap();
            assert_eq!(to.target.format, format, "{name}");
            assert!(to.write(b"x\n").is_ok());
            assert_eq!(to.close(), None);
            assert_eq!(std::fs::read(path).unwrap(), b"x\n");
        }
        assert!(Destination::open("/no/such/folder/x.json", None).is_err());
        assert!(Destination::open("|", None).is_err());
    }

    #[test]
    fn a_command_that_has_gone_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut to = Destination::open(&format!("| sort > {}", path.display()), None).unwrap();
        assert_eq!(to.target.format, OutputFormat::Json);
        assert!(to.write(b"b\na\n").is_ok());
        assert_eq!(to.close(), None);
        assert_eq!(std::fs::read(path).unwrap(), b"a\nb\n");
        let mut to = Destination::open("| exit 3", None).unwrap();
        let Writer::Command(pipe) = &mut to.writer else { return };
        pipe.child.wait().unwrap();
        assert!(matches!(to.write(b"x"), Err(Fault::Closed)));
        assert!(to.close().is_some_and(|text| text.contains("exit status: 3")));
    }
}
