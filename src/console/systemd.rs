//! Notifies a service manager by systemd's protocol of datagrams (`sd_notify`), if `NOTIFY_SOCKET` names a socket.
//!
//! | when | message |
//! |---|---|
//! | the jobs have started | `READY=1` |
//! | half of the time that `WATCHDOG_USEC` allows has passed, and the session answers | `WATCHDOG=1` |
//! | a signal asked to stop | `STOPPING=1` |

use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::flow::JobState;
use crate::session::Session;

/// Sends a message, if a service manager listens. One that has gone is no failure of ours.
fn notify(message: &str) {
    if let Some(address) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(e) = send(&address, message)
    {
        log::debug!("NOTIFY_SOCKET: {e}");
    }
}

fn send(address: &std::ffi::OsStr, message: &str) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold us.
    socket.set_nonblocking(true)?;
    let bytes = address.as_bytes();
    #[cfg(target_os = "linux")]
    if let Some(name) = bytes.strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return socket.send_to_addr(message.as_bytes(), &address).map(drop);
    }
    if !bytes.starts_with(b"/") {
        return Err(std::io::Error::other("it is neither a path nor an abstract name"));
    }
    socket.send_to(message.as_bytes(), address).map(drop)
}

/// How often a watchdog wants to hear of this process.
fn watchdog(of: impl Fn(&str) -> Option<String>, pid: u32) -> Option<Duration> {
    let other = of("WATCHDOG_PID").is_some_and(|text| text.trim().parse() != Ok(pid));
    let micros: u64 = of("WATCHDOG_USEC")?.trim().parse().ok().filter(|micros| *micros > 0)?;
    (!other).then(|| Duration::from_micros(micros) / 2)
}

/// The jobs have started; from now on the watchdog hears of the session.
pub(super) fn ready(session: &Arc<Session>) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    notify("READY=1\nSTATUS=running");
    let Some(every) = watchdog(|name| std::env::var(name).ok(), std::process::id()) else { return };
    let session = Arc::downgrade(session);
    let watched =
        std::thread::Builder::new().name("affluent-watchdog".into()).spawn(move || watch(&session, every));
    if let Err(e) = watched {
        log::warn!("the watchdog of the service manager will not hear of this process: {e}");
    }
}

fn watch(session: &Weak<Session>, every: Duration) {
    loop {
        let Some(session) = session.upgrade() else { return };
        // Waits for the session's lock: a process that is stuck says nothing.
        let jobs = session.jobs();
        let running = jobs.iter().filter(|job| job.state() == JobState::Running).count();
        drop((jobs, session));
        notify(&format!("WATCHDOG=1\nSTATUS={running} jobs run"));
        std::thread::sleep(every);
    }
}

/// A signal asked to stop.
pub(super) fn stopping() {
    notify("STOPPING=1\nSTATUS=stopping");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_watchdog_of_another_process_is_none() {
        let of = |all: &'static [(&'static str, &'static str)]| {
            watchdog(move |name| all.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string()), 7)
        };
        assert_eq!(of(&[("WATCHDOG_USEC", "30000000")]), Some(Duration::from_secs(15)));
        assert_eq!(
            of(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "7")]),
            Some(Duration::from_secs(15))
        );
        assert_eq!(of(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "8")]), None);
        assert_eq!((of(&[]), of(&[("WATCHDOG_USEC", "0")])), (None, None));
    }

    #[test]
    fn messages_arrive_by_path_and_by_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        let mut bytes = [0; 64];
        let length = listener.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"READY=1");
        #[cfg(target_os = "linux")]
        {
            use std::os::linux::net::SocketAddrExt;
            let name = format!("affluent-test-{}", std::process::id());
            let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
            let listener = UnixDatagram::bind_addr(&address).unwrap();
            send(std::ffi::OsStr::new(&format!("@{name}")), "STOPPING=1").unwrap();
            let length = listener.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..length], b"STOPPING=1");
        }
        assert!(send(std::ffi::OsStr::new("relative"), "x").is_err());
    }
}
