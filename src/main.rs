//! The command line: everything is in the library's `cli`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// After how many milliseconds the allocator gives back what is free, instead of a second. What is free already keeps its
/// time, so this holds from the start.
#[cfg(target_os = "linux")]
const PURGE_MILLIS: std::ffi::c_long = 100;
/// The same where memory is limited.
#[cfg(target_os = "linux")]
const LIMITED_PURGE_MILLIS: std::ffi::c_long = 10;

#[cfg(target_os = "linux")]
fn purge_after(millis: std::ffi::c_long) {
    use std::ffi::{c_int, c_long};

    unsafe extern "C" {
        fn mi_option_set(option: c_int, value: c_long);
    }
    const PURGE_DELAY: c_int = 15;
    // SAFETY: it sets a number, and a thread that reads it meanwhile sees the old or the new one.
    unsafe { mi_option_set(PURGE_DELAY, millis) }
}

/// Has the allocator give back what is free soon, and in small pages: state that has gone to disk takes no memory any more
/// then. That costs time, and is done where memory was limited.
#[cfg(target_os = "linux")]
fn give_memory_back() {
    use std::ffi::{c_int, c_ulong};

    unsafe extern "C" {
        fn prctl(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int;
    }
    const PR_SET_THP_DISABLE: c_int = 41;
    purge_after(LIMITED_PURGE_MILLIS);
    // SAFETY: it touches no memory, and may fail.
    unsafe {
        prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

#[cfg(not(target_os = "linux"))]
fn give_memory_back() {}

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    purge_after(PURGE_MILLIS);
    affluent::state::memory::at_a_limit(give_memory_back);
    affluent::cli::main()
}
