//! The notebook as people use it: Jupyter's own client, nbconvert, and JupyterLab in a browser.
//!
//! The checks are Python programs, because that is what Jupyter is. They run where `JUPYTER_PYTHON` (or
//! `python3`) has the packages; where `JUPYTER_PYTHON` is set they must be there, as `.ci/run` sees to.
#![cfg(feature = "kernel")]
#![allow(clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

/// Runs a check, if its Python packages are there.
fn check(program: &str, packages: &str) {
    let required = std::env::var_os("JUPYTER_PYTHON");
    let python = required.clone().unwrap_or_else(|| "python3".into());
    let found = Command::new(&python).args(["-c", &format!("import {packages}")]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        assert!(required.is_none(), "JUPYTER_PYTHON cannot import {packages}");
        eprintln!("left out: python3 cannot import {packages}");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(&python)
        .arg(root.join("tests/notebook").join(program))
        .arg(env!("CARGO_BIN_EXE_affluent"))
        .arg(root.join("sql"))
        .output()
        .expect("python runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} failed\n{out}\n{err}");
    println!("{out}{err}");
}

#[test]
fn jupyter_client_and_nbconvert() {
    check("kernel.py", "jupyter_client, nbclient, nbconvert, nbformat, pyarrow");
}

#[test]
fn jupyterlab_in_a_browser() {
    check("lab.py", "jupyterlab, playwright, nbformat");
}
