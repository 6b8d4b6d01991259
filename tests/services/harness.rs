//! What tests with servers share: ports, folders, processes that end with the test, the program itself.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Nothing here takes longer.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A port that is free now.
pub fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Says once that the tests of a server are left out.
pub fn left_out(server: &str, why: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap().insert(server.to_string()) {
        eprintln!("tests with {server} are left out: {why}");
    }
}

/// Whether a program is installed.
pub fn installed(program: &str) -> bool {
    let found =
        Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a port takes connections.
pub fn wait_for_port(port: u16) {
    // A connection from a port to itself is none: the kernel may choose the port that nobody has yet.
    let other = |s: TcpStream| s.local_addr().ok() != s.peer_addr().ok();
    until(&format!("port {port}"), || TcpStream::connect(("127.0.0.1", port)).is_ok_and(other));
}

/// A server that ends with this process, however that ends: a shell holds it until its standard input is closed, and is
/// there until the server has left its port.
pub struct Server {
    child: Child,
}

impl Server {
    pub fn start(program: &str, arguments: &[&str], folder: &Path) -> Self {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let line: Vec<String> =
            std::iter::once(program).chain(arguments.iter().copied()).map(quoted).collect();
        let script =
            format!("{} >server.log 2>&1 </dev/null & p=$!; read _; kill -9 $p; wait $p", line.join(" "));
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::null());
        Self { child: command.stderr(Stdio::null()).spawn().unwrap() }
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program, with a home of its own in a folder.
pub fn affluent(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env("HOME", folder).env("XDG_STATE_HOME", folder.join("state"));
    command
}

/// Runs a script to its end; what it prints.
pub fn run(folder: &Path, script: &str, more: &[&str]) -> Output {
    let path = write(folder, script);
    let mut arguments = vec!["run", path.to_str().unwrap()];
    arguments.extend(more);
    let mut running = Running::start(affluent(folder, &arguments));
    running.finish()
}

/// Runs a script that must end well; its standard output.
pub fn run_well(folder: &Path, script: &str, more: &[&str]) -> String {
    let output = run(folder, script, more);
    let errors = String::from_utf8_lossy(&output.stderr).to_string();
    assert!(output.status.success(), "{script}\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a script that must fail; its standard error.
pub fn run_badly(folder: &Path, script: &str) -> String {
    let output = run(folder, script, &[]);
    assert!(!output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// What `affluent check --connect` says of a script, and whether all is well.
pub fn check(folder: &Path, script: &str) -> (bool, String) {
    let path = write(folder, script);
    let output = affluent(folder, &["check", "--connect", path.to_str().unwrap()]).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// A script as a file whose name is a matter of its text.
pub fn write(folder: &Path, script: &str) -> PathBuf {
    let name = script.bytes().fold(0_u64, |hash, b| hash.wrapping_mul(31).wrapping_add(b.into()));
    let path = folder.join(format!("{name:016x}.sql"));
    std::fs::write(&path, script).unwrap();
    path
}

/// A running program.
pub struct Running {
    child: Option<Child>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { child: Some(command.spawn().unwrap()) }
    }

    /// The same without anybody who reads what it prints.
    pub fn start_quietly(mut command: Command, errors: &Path) -> Self {
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(errors).unwrap();
        command.stdout(Stdio::null()).stderr(errors);
        Self { child: Some(command.spawn().unwrap()) }
    }

    /// Waits for its end.
    pub fn finish(&mut self) -> Output {
        let child = self.child.take().unwrap();
        let id = child.id();
        let (sender, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        match ended.recv_timeout(PATIENCE * 2) {
            Ok(output) => output.unwrap(),
            Err(_) => {
                signal(id, "-KILL");
                let output = ended.recv().unwrap().unwrap();
                panic!("it hangs: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().unwrap())
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// As Ctrl-C does.
    pub fn interrupt(&mut self) -> Output {
        signal(self.child.as_ref().unwrap().id(), "-INT");
        self.finish()
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.as_ref().unwrap().id(), name);
    }
}

fn signal(id: u32, name: &str) {
    let _ = Command::new("kill").args([name, &id.to_string()]).status();
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
