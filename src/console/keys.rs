//! Keys while a result is repainted: `q` leaves it, as in a pager, beside Ctrl-C.
//!
//! The terminal gives each key at once and does not echo it meanwhile; signals stay signals. Other keys are kept for
//! the prompt that follows. A process in the background leaves the terminal alone.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};

/// How the terminal is given back, while it is taken.
static TAKEN: Mutex<Option<Termios>> = Mutex::new(None);
static ACTIVE: AtomicBool = AtomicBool::new(false);
/// What was typed for the prompt.
static AHEAD: Mutex<String> = Mutex::new(String::new());

/// Bytes that are kept for the prompt.
const MOST: usize = 64 << 10;

/// The keys of the terminal, until it is dropped.
#[derive(Debug)]
pub struct Keys(());

impl Keys {
    /// Takes the keys of standard input, if that is the terminal of this process.
    pub fn take() -> Option<Self> {
        let input = std::io::stdin();
        let before = rustix::termios::tcgetattr(&input).ok()?;
        let own = rustix::process::getpgrp();
        if rustix::termios::tcgetpgrp(&input).ok()? != own {
            return None;
        }
        let mut taken = TAKEN.lock();
        if taken.is_some() {
            return None;
        }
        let mut keys = before.clone();
        keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        keys.special_codes[SpecialCodeIndex::VMIN] = 0;
        keys.special_codes[SpecialCodeIndex::VTIME] = 0;
        rustix::termios::tcsetattr(&input, OptionalActions::Now, &keys).ok()?;
        *taken = Some(before);
        ACTIVE.store(true, Ordering::Relaxed);
        Some(Self(()))
    }

    /// Whether `q` was typed since the last look; it does not wait.
    pub fn quits(&self) -> bool {
        let mut bytes = [0; 256];
        let mut quits = false;
        while let Ok(count @ 1..) = rustix::io::read(std::io::stdin(), &mut bytes) {
            let typed = String::from_utf8_lossy(&bytes[..count]);
            // Keys such as arrows are sequences, in which letters mean nothing.
            if typed.starts_with('\u{1b}') {
                continue;
            }
            let mut ahead = AHEAD.lock();
            for c in typed.chars() {
                match c {
                    'q' | 'Q' if ahead.is_empty() => quits = true,
                    _ if ahead.len() < MOST => ahead.push(c),
                    _ => {}
                }
            }
        }
        quits
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        restore();
    }
}

/// Whether `q` leaves what is shown.
pub fn active() -> bool {
    ACTIVE.load(Ordering::Relaxed)
}

/// Gives the terminal back as it was, also when the process ends at once.
pub fn restore() {
    if let Some(before) = TAKEN.lock().take() {
        let _ = rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
    }
    ACTIVE.store(false, Ordering::Relaxed);
}

/// What was typed meanwhile and is for the prompt, in one line.
pub fn typed_ahead() -> String {
    std::mem::take(&mut *AHEAD.lock()).replace(['\r', '\n'], " ")
}
