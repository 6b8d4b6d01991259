//! Where the history is kept: `$XDG_STATE_HOME/affluent/history`, else `~/.local/state/affluent/history`.

use std::fs::OpenOptions;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

/// The history file, created for its owner alone; `None` where that is not possible: then there is no
/// history, which is no reason to fail.
pub fn file() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|h| h.join(".local/state")))?;
    create(state)
}

fn create(state: PathBuf) -> Option<PathBuf> {
    let folder = state.join("affluent");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    let path = folder.join("history");
    OpenOptions::new().append(true).create(true).mode(0o600).open(&path).ok()?;
    Some(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = create(folder.path().join("state")).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(create(folder.path().join("state")), Some(path.clone()), "found again");
        assert_eq!(create(path), None, "a file where a folder should be");
    }
}
