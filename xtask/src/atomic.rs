// SPDX-License-Identifier: MIT
//! Files written whole or not at all.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// Writes `content` to `path`: a temporary file beside it, synced, then renamed over it. A reader
/// or a crash sees the old file or the new one, never a part. Returns whether anything changed; an
/// unchanged file keeps its modification time, so that incremental builds stay incremental.
pub fn write(path: &Path, content: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    stream(path, |out| out.write_all(content).map_err(Into::into))?;
    Ok(true)
}

/// The same for what is made while it is written, and too much to be held in memory.
pub fn stream(path: &Path, content: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let part = tempfile::Builder::new()
        .prefix(".plainboot-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(dir)
        .with_context(|| format!("cannot write in {}", dir.display()))?;
    let said = || format!("cannot write {}", path.display());
    let mut out = std::io::BufWriter::new(part.as_file());
    content(&mut out).with_context(said)?;
    out.flush().with_context(said)?;
    drop(out);
    // Not what the umask made of it.
    part.as_file()
        .set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .with_context(said)?;
    part.as_file().sync_all().with_context(said)?;
    part.persist(path).with_context(|| format!("cannot replace {}", path.display()))?;
    Ok(())
}

/// One change of several files, applied together at the end of a step.
#[derive(Debug, Default)]
#[must_use = "a change set does nothing until `apply` or `drift` is called"]
pub struct ChangeSet {
    /// Absolute paths with their new content; `None` removes the file.
    files: Vec<(std::path::PathBuf, Option<Vec<u8>>)>,
}

impl ChangeSet {
    pub fn put(&mut self, path: impl Into<std::path::PathBuf>, content: impl Into<Vec<u8>>) {
        self.files.push((path.into(), Some(content.into())));
    }

    pub fn remove(&mut self, path: impl Into<std::path::PathBuf>) {
        self.files.push((path.into(), None));
    }

    pub fn append(&mut self, mut other: ChangeSet) {
        self.files.append(&mut other.files);
    }

    /// Reads a file as it will be once the change is applied.
    pub fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        match self.files.iter().rev().find(|(p, _)| p == path) {
            Some((_, Some(content))) => Ok(content.clone()),
            Some((_, None)) => Err(std::io::ErrorKind::NotFound.into()),
            None => fs::read(path),
        }
    }

    /// The files whose content on disk is not what this change would write (`--check`).
    pub fn drift(&self) -> Vec<&Path> {
        let differs = |path: &Path, new: &Option<Vec<u8>>| match new {
            Some(new) => !fs::read(path).is_ok_and(|old| &old == new),
            None => path.exists(),
        };
        self.files.iter().filter(|(p, new)| differs(p, new)).map(|(p, _)| p.as_path()).collect()
    }

    /// Writes all files, then removes those to be removed. Returns the paths that changed.
    pub fn apply(self) -> Result<Vec<std::path::PathBuf>> {
        let mut changed = Vec::new();
        for (path, new) in &self.files {
            if let Some(new) = new
                && write(path, new)?
            {
                changed.push(path.clone());
            }
        }
        for (path, _) in self.files.iter().filter(|(_, new)| new.is_none()) {
            if path.exists() {
                fs::remove_file(path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
                changed.push(path.clone());
            }
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_and_apply_are_the_same_judgement() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("sub/b"));
        fs::write(&a, "old").unwrap();
        let change = || {
            let mut c = ChangeSet::default();
            c.put(&b, "new");
            c.remove(&a);
            c
        };
        assert_eq!(change().drift(), [b.as_path(), a.as_path()]);
        assert_eq!(change().apply().unwrap(), [b.clone(), a.clone()]);
        assert!(change().drift().is_empty());
        assert!(change().apply().unwrap().is_empty());
        assert!(!a.exists());
    }
}
