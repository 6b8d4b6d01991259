//! The command line: everything is in the library's `cli`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Has the allocator give back what is free after some milliseconds instead of a second, and in small pages: state that
/// has gone to disk takes no memory any more then. That costs time, and is done where memory was limited.
#[cfg(target_os = "linux")]
fn give_memory_back() {
    use std::ffi::{c_int, c_long, c_ulong};

    unsafe extern "C" {
        fn mi_option_set(option: c_int, value: c_long);
        fn prctl(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int;
    }
    const PURGE_DELAY: c_int = 15;
    const MILLIS: c_long = 10;
    const PR_SET_THP_DISABLE: c_int = 41;
    // SAFETY: the first sets a number, and a thread that reads it meanwhile sees the old or the new one; the second
    // touches no memory, and may fail.
    unsafe {
        mi_option_set(PURGE_DELAY, MILLIS);
        prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

#[cfg(not(target_os = "linux"))]
fn give_memory_back() {}

fn main() -> ExitCode {
    affluent::state::memory::at_a_limit(give_memory_back);
    affluent::cli::main()
}
