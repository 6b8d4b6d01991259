//! Files of columns that become one: their groups of rows are copied as they are.

use std::path::{Path, PathBuf};

use crate::error::Result;

/// Whether a file says that these parts were joined into it.
#[cfg(feature = "parquet")]
pub(super) fn holds(path: &Path, parts: &str) -> Result<bool> {
    if !path.exists() {
        return Ok(false);
    }
    let (name, file) = opened(path)?;
    crate::format::parquet::holds_parts(&file, &name, parts)
}

/// Writes a file with the rows of all of these, which says that it holds the parts.
#[cfg(feature = "parquet")]
pub(super) fn join(files: &[PathBuf], parts: &str, target: &Path) -> Result<()> {
    use super::part::failed;
    use std::fs::File;
    use std::io::{BufWriter, Write as _};
    let files = files.iter().map(|path| opened(path)).collect::<Result<Vec<_>>>()?;
    let mut out = File::create(target).map(BufWriter::new).map_err(|e| failed("created", target, &e))?;
    crate::format::parquet::joined(&files, parts, &mut out)?;
    let synced = out.flush().and_then(|()| out.get_ref().sync_all());
    synced.map_err(|e| failed("written", target, &e))
}

#[cfg(feature = "parquet")]
type Opened = (String, std::sync::Arc<dyn crate::format::parquet::RandomAccess>);

#[cfg(feature = "parquet")]
fn opened(path: &Path) -> Result<Opened> {
    let file = super::columns::LocalFile::at(path)?;
    Ok((format!("file {}", path.display()), std::sync::Arc::new(file)))
}

#[cfg(not(feature = "parquet"))]
pub(super) fn holds(_path: &Path, _parts: &str) -> Result<bool> {
    Ok(false)
}

#[cfg(not(feature = "parquet"))]
pub(super) fn join(_files: &[PathBuf], _parts: &str, _target: &Path) -> Result<()> {
    Err(crate::error::Error::internal("this build has no format of files"))
}
