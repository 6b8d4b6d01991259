//! A worker process: how it is started, how frames come and go, and what is known when it ends.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use super::PythonFunction;

/// What runs in it.
const WORKER: &str = include_str!("worker.py");
/// PyFlink's names, for files of functions that import them.
pub(super) const SHIM: &str = include_str!("shim.py");
/// To start and to load the code, which may import a lot.
const LOADING: Duration = Duration::from_secs(120);
/// Lines that are kept of what it printed.
const LINES: usize = 20;
/// A frame, at most.
const LARGEST: u64 = 1 << 31;

pub(super) const INIT: u32 = 1;
pub(super) const CALL: u32 = 2;
pub(super) const CANCEL: u32 = 3;
pub(super) const STEP: u32 = 4;
pub(super) const READY: u32 = 1;
pub(super) const RESULT: u32 = 2;

/// What came: its kind, the call, the payload.
pub(super) type Frame = (u32, u32, Vec<u8>);

/// Length, kind and call of a frame.
pub(super) fn header(size: usize, kind: u32, call: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[..8].copy_from_slice(&(size as u64).to_le_bytes());
    header[8..12].copy_from_slice(&kind.to_le_bytes());
    header[12..].copy_from_slice(&call.to_le_bytes());
    header
}

/// What a header says; `None` for one that no worker of ours sends.
pub(super) fn parse_header(header: [u8; 16]) -> Option<(usize, u32, u32)> {
    let (size, rest) = header.split_at(8);
    let (kind, call) = rest.split_at(4);
    let size = u64::from_le_bytes(size.try_into().ok()?);
    let size = usize::try_from(size).ok().filter(|_| size <= LARGEST)?;
    Some((size, u32::from_le_bytes(kind.try_into().ok()?), u32::from_le_bytes(call.try_into().ok()?)))
}

/// Why code was not loaded.
#[derive(Debug)]
pub(super) enum LoadError {
    /// There is no interpreter.
    Start(String),
    /// The worker ended.
    Ended(String),
    /// The code is wrong.
    Code { message: String, line: Option<u32>, column: Option<u32> },
}

/// A worker.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) stream: UnixStream,
    pub(super) life: Life,
}

/// Its process, which ends with this.
#[derive(Debug)]
pub(super) struct Life {
    child: Mutex<Child>,
    lines: Arc<Mutex<VecDeque<String>>>,
    /// Reads what it prints, until nobody can print any more.
    reader: std::thread::JoinHandle<()>,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Life {
    /// Ends it.
    pub(super) fn kill(&self) {
        let mut child = self.child.lock();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// How it ended, with the last lines that it printed.
    pub(super) fn epitaph(&self) -> String {
        use std::os::unix::process::ExitStatusExt;
        let mut child = self.child.lock();
        // What closed its socket is about to end.
        let mut status = child.try_wait().ok().flatten();
        for _ in 0..500 {
            if status.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
            status = child.try_wait().ok().flatten();
        }
        drop(child);
        let how = match status {
            None => "it closed its connection".to_string(),
            Some(status) => match (status.signal(), status.code()) {
                (Some(11), _) => "segmentation fault (signal 11)".to_string(),
                (Some(9), _) => "killed (signal 9), perhaps for want of memory".to_string(),
                (Some(signal), _) => format!("signal {signal}"),
                (_, Some(75)) => {
                    "a row took longer than its 'timeout' and could not be interrupted".to_string()
                }
                (_, Some(code)) => format!("it ended with code {code}"),
                _ => "it ended".to_string(),
            },
        };
        // Its last words are on their way; a process that it left behind may hold the line open.
        for _ in 0..250 {
            if status.is_none() || self.reader.is_finished() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let lines = self.lines.lock();
        let last: Vec<&str> = lines.iter().rev().take(3).rev().map(String::as_str).collect();
        if last.is_empty() { how } else { format!("{how}; it printed: {}", last.join(" | ")) }
    }
}

impl Process {
    /// Starts a worker and has it load its function; what it says about it comes second. Blocks.
    pub(super) fn start(
        name: &str,
        function: &PythonFunction,
        init: &Value,
    ) -> Result<(Self, Value), LoadError> {
        let io = |e: std::io::Error| LoadError::Start(e.to_string());
        let (ours, theirs) = UnixStream::pair().map_err(io)?;
        let (printed, prints) = UnixStream::pair().map_err(io)?;
        let errors = prints.try_clone().map_err(io)?;
        let mut command = Command::new(&function.source.interpreter);
        command.args(["-I", "-u", "-c", WORKER]).env_clear();
        let kept = ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ"].map(str::to_string);
        for variable in kept.iter().chain(&function.env) {
            if let Some(value) = std::env::var_os(variable) {
                command.env(variable, value);
            }
        }
        if function.source.folder.is_dir() {
            command.current_dir(&function.source.folder);
        }
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        command.stdout(Stdio::from(OwnedFd::from(prints)));
        command.stderr(Stdio::from(OwnedFd::from(errors)));
        let child = command.spawn().map_err(io)?;
        // What the command holds of the sockets would keep them open.
        drop(command);
        let lines: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let (kept, who) = (lines.clone(), name.to_string());
        let reader = std::thread::Builder::new()
            .name(format!("py {name}"))
            .spawn(move || {
                for line in BufReader::new(printed).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).trim_end().to_string();
                    log::info!("function '{who}': {line}");
                    let mut kept = kept.lock();
                    if kept.len() == LINES {
                        kept.pop_front();
                    }
                    kept.push_back(line);
                }
            })
            .map_err(io)?;
        let life = Life { child: Mutex::new(child), lines, reader };
        let mut process = Self { stream: ours, life };
        let payload = init.to_string();
        let said = process.exchange(INIT, 0, payload.as_bytes(), LOADING);
        let Ok((kind, _, payload)) = said else {
            return Err(LoadError::Ended(process.life.epitaph()));
        };
        let said: Value = serde_json::from_slice(&payload).unwrap_or_default();
        if kind == READY {
            return Ok((process, said));
        }
        let number = |key: &str| said.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        let message = said.get("message").and_then(Value::as_str).unwrap_or("it did not load").to_string();
        Err(LoadError::Code { message, line: number("line"), column: number("column") })
    }

    /// Sends a frame and waits for the answer. Blocks.
    pub(super) fn exchange(
        &mut self,
        kind: u32,
        call: u32,
        payload: &[u8],
        within: Duration,
    ) -> std::io::Result<Frame> {
        self.stream.set_read_timeout(Some(within))?;
        self.stream.write_all(&header(payload.len(), kind, call))?;
        self.stream.write_all(payload)?;
        let mut head = [0; 16];
        self.stream.read_exact(&mut head)?;
        let (size, kind, call) = parse_header(head).ok_or(std::io::ErrorKind::InvalidData)?;
        let mut payload = vec![0; size];
        self.stream.read_exact(&mut payload)?;
        self.stream.set_read_timeout(None)?;
        Ok((kind, call, payload))
    }
}
