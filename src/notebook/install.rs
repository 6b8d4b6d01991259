//! `affluent kernel install`: the folder by which Jupyter finds the kernel.
//!
//! ```text
//! <data>/kernels/<name>/kernel.json      how it is started
//!                       logo-svg.svg, logo-64x64.png, logo-32x32.png
//! ```
//! `<data>` is where Jupyter puts kernels of its own: the user's data folder, or `share/jupyter` below a prefix.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::{Error, Result};

/// Name of the folder, and what notebooks call the kernel.
pub const NAME: &str = "affluent";

/// What people see.
pub const DISPLAY_NAME: &str = "Affluent SQL";

const LOGOS: &[(&str, &[u8])] = &[
    ("logo-svg.svg", include_bytes!("logo.svg")),
    ("logo-32x32.png", include_bytes!("logo-32x32.png")),
    ("logo-64x64.png", include_bytes!("logo-64x64.png")),
];

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The user's own folder.
    User,
    /// Below a prefix such as `/usr/local`.
    Prefix(PathBuf),
    /// The Python environment that is active.
    SysPrefix,
}

impl Place {
    /// The folder that holds kernels.
    pub fn kernels(&self) -> Result<PathBuf> {
        let data = match self {
            Self::User => user_data(&|name| std::env::var_os(name).map(PathBuf::from))?,
            Self::Prefix(prefix) => prefix.join("share").join("jupyter"),
            Self::SysPrefix => sys_prefix()?.join("share").join("jupyter"),
        };
        Ok(data.join("kernels"))
    }
}

/// Jupyter's data folder of the user, as `jupyter --data-dir` prints it.
fn user_data(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    let set = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    if let Some(folder) = set("JUPYTER_DATA_DIR") {
        return Ok(folder);
    }
    let home = || {
        set("HOME").ok_or_else(|| {
            Error::option("HOME is not set: where the user's kernels are is not known")
                .with_hint("affluent kernel install --prefix /usr/local")
        })
    };
    if cfg!(target_os = "macos") {
        return Ok(home()?.join("Library").join("Jupyter"));
    }
    match set("XDG_DATA_HOME") {
        Some(folder) => Ok(folder.join("jupyter")),
        None => Ok(home()?.join(".local").join("share").join("jupyter")),
    }
}

/// The prefix of the active Python: of a virtual or conda environment, else of `python3`.
fn sys_prefix() -> Result<PathBuf> {
    for name in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        if let Some(prefix) = std::env::var_os(name).filter(|p| !p.is_empty()) {
            return Ok(prefix.into());
        }
    }
    let failed = |detail: String| {
        Error::option("python3 does not tell its prefix")
            .with_detail(detail)
            .with_hint("activate the environment of Jupyter, or name it: affluent kernel install --prefix P")
    };
    let asked = std::process::Command::new("python3").args(["-c", "import sys; print(sys.prefix)"]).output();
    let output = asked.map_err(|e| failed(e.to_string()))?;
    let prefix = String::from_utf8_lossy(&output.stdout).trim().to_string();
    match output.status.success() && !prefix.is_empty() {
        true => Ok(prefix.into()),
        false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_string())),
    }
}

/// Writes the folder and returns its path. `arguments` are given to the program before its command.
pub fn install(
    kernels: &Path,
    name: &str,
    display_name: &str,
    program: &Path,
    arguments: &[String],
) -> Result<PathBuf> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || !name.chars().all(allowed) || name.chars().all(|c| c == '.') {
        return Err(Error::option(format!("'{name}' cannot be the name of a kernel"))
            .with_detail("Jupyter allows letters, digits, '.', '_' and '-'"));
    }
    let program = program
        .to_str()
        .ok_or_else(|| Error::option(format!("the path '{}' is not UTF-8", program.display())))?;
    let folder = kernels.join(name);
    let write = |file: &str, bytes: &[u8]| {
        let path = folder.join(file);
        std::fs::write(&path, bytes)
            .map_err(|e| Error::io(format!("cannot write '{}'", path.display())).with_detail(e.to_string()))
    };
    std::fs::create_dir_all(&folder).map_err(|e| {
        Error::io(format!("cannot create '{}'", folder.display()))
            .with_detail(e.to_string())
            .with_hint("without --prefix, the kernel is installed for the user alone")
    })?;
    let mut argv = vec![program.to_string()];
    argv.extend(arguments.iter().cloned());
    argv.extend(["kernel", "run", "--connection-file", "{connection_file}"].map(String::from));
    let spec = json!({
        "argv": argv,
        "display_name": display_name,
        "language": "sql",
        "interrupt_mode": "message",
        "metadata": {"debugger": false},
    });
    for (file, bytes) in LOGOS {
        write(file, bytes)?;
    }
    // Last: a folder without it is no kernel.
    write("kernel.json", format!("{spec:#}\n").as_bytes())?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_folder_is_whole() {
        let prefix = tempfile::tempdir().unwrap();
        let kernels = Place::Prefix(prefix.path().to_path_buf()).kernels().unwrap();
        let settings = ["--set".to_string(), "parallelism.default=2".to_string()];
        let folder = install(&kernels, "a.b-1", "A", Path::new("/bin/affluent"), &settings).unwrap();
        assert_eq!(folder, prefix.path().join("share/jupyter/kernels/a.b-1"));
        let spec: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("kernel.json")).unwrap()).unwrap();
        let argv = [
            "/bin/affluent",
            "--set",
            "parallelism.default=2",
            "kernel",
            "run",
            "--connection-file",
            "{connection_file}",
        ];
        assert_eq!(spec["argv"], json!(argv));
        assert_eq!((&spec["language"], &spec["interrupt_mode"]), (&json!("sql"), &json!("message")));
        assert!(std::fs::read(folder.join("logo-64x64.png")).unwrap().starts_with(b"\x89PNG"));
        // Again: it is replaced.
        install(&kernels, "a.b-1", "B", Path::new("/bin/affluent"), &[]).unwrap();
        for name in ["", "a b", "..", "a/b", "ä"] {
            assert!(install(&kernels, name, "A", Path::new("/x"), &[]).is_err(), "{name}");
        }
    }

    #[test]
    fn the_users_folder() {
        let folder = |set: &'static [(&'static str, &'static str)]| {
            user_data(&move |name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into()))
        };
        assert_eq!(folder(&[("JUPYTER_DATA_DIR", "/j"), ("HOME", "/h")]).unwrap(), PathBuf::from("/j"));
        if !cfg!(target_os = "macos") {
            assert_eq!(
                folder(&[("XDG_DATA_HOME", "/x"), ("HOME", "/h")]).unwrap(),
                PathBuf::from("/x/jupyter")
            );
            assert_eq!(folder(&[("HOME", "/h")]).unwrap(), PathBuf::from("/h/.local/share/jupyter"));
        }
        assert!(folder(&[]).is_err());
    }
}
