// SPDX-License-Identifier: MIT
//! The folder of the checkout that is laid over a guest's root.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

/// A file of the folder that is laid over the root.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// Relative.
    pub path: PathBuf,
    pub kind: EntryKind,
}

#[derive(Debug, Serialize)]
pub enum EntryKind {
    File(Vec<u8>),
    Link(PathBuf),
}

/// Reads a folder, in a fixed order.
pub fn read(dir: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let listed = fs::read_dir(dir.join(&folder))
            .with_context(|| format!("cannot read {}", dir.join(&folder).display()))?;
        for entry in listed {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_symlink() {
                entries.push(Entry { path, kind: EntryKind::Link(fs::read_link(entry.path())?) });
            } else {
                entries.push(Entry { path, kind: EntryKind::File(fs::read(entry.path())?) });
            }
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// Writes the entries with fixed modes: the checkout's umask does not show in the guest.
pub fn write(entries: &[Entry], dir: &Path) -> Result<()> {
    for entry in entries {
        let path = dir.join(&entry.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match &entry.kind {
            EntryKind::File(bytes) => {
                let mut file =
                    fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path)?;
                file.write_all(bytes)?;
            }
            EntryKind::Link(target) => std::os::unix::fs::symlink(target, &path)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_s_own_files_are_units_that_exist_and_links_to_them() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../vm-tests/debian");
        let entries = read(Path::new(root)).unwrap();
        assert!(entries.len() > 3);
        for entry in &entries {
            if let EntryKind::Link(target) = &entry.kind {
                let folder = Path::new(root).join(entry.path.parent().unwrap());
                assert!(folder.join(target).is_file(), "{}", entry.path.display());
            }
        }
        let dir = tempfile::tempdir().unwrap();
        write(&entries, dir.path()).unwrap();
        let again = read(dir.path()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{entries:?}"));
    }
}
