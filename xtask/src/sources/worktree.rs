// SPDX-License-Identifier: MIT
//! A tree of the repository as a folder, kept up to date by rewriting only what differs.
//!
//! ninja goes by modification times, so a file whose content is already right must not be touched.
//! A manifest beside the folder says what was written and how the file looked afterwards; a file
//! that looks the same is not read again. The folder belongs to plainboot: whatever is in it and
//! not in the tree is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use git2::{ErrorCode, ObjectType, Oid};
use serde::{Deserialize, Serialize};

use super::model::TreeId;
use crate::atomic;
use crate::exec;
use crate::fault::Fault;

/// Folders that no program is built from: a blob that a damaged clone lacks there is left out.
const EXPENDABLE: [&str; 3] = ["test/", "docs/", "hwdb.d/"];

const EXECUTABLE: i32 = 0o100755;
const LINK: i32 = 0o120000;
const SUBMODULE: i32 = 0o160000;

/// A blob that the repository, or the clone it reads from, does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingBlob {
    pub path: String,
    pub oid: String,
}

/// What [`write_tree`] did.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Paths whose content, kind or mode changed, relative to the folder.
    pub written: Vec<String>,
    /// How many files were right already.
    pub kept: usize,
    /// Paths that were removed.
    pub removed: Vec<String>,
    /// Files that are empty for want of their content, all below `test/`, `docs/` or `hwdb.d/`.
    pub missing: Vec<MissingBlob>,
}

/// How a file looked after it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    oid: String,
    mode: i32,
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl Seen {
    fn new(oid: Oid, mode: i32, file: &Metadata) -> Self {
        Seen {
            oid: oid.to_string(),
            mode,
            size: file.len(),
            mtime: (file.mtime(), file.mtime_nsec()),
            // A file replaced by hand can keep its size and time, as `cp -p` does, but not this.
            ctime: (file.ctime(), file.ctime_nsec()),
        }
    }
}

type Manifest = BTreeMap<String, Seen>;

/// Makes the folder `dir` hold exactly `tree`.
///
/// # Errors
/// A blob that is needed is missing (path and id are named); `dir` holds files and was not made by
/// this function; the disk. An interrupted call is completed by the next.
pub fn write_tree(repository: &git2::Repository, tree: &TreeId, dir: &Path) -> Result<Report> {
    let manifest_path = manifest_path(dir);
    let mut old = open_folder(dir, &manifest_path)?;
    let wanted = list(repository, tree)?;
    let mut report = Report::default();
    let mut new = Manifest::new();
    remove_others(dir, &wanted, &mut report)?;
    let outcome = (|| -> Result<()> {
        let mut folders = BTreeSet::new();
        for (path, &(oid, mode)) in &wanted {
            exec::check_interrupt()?;
            let file = dir.join(OsStr::from_bytes(path));
            let name = String::from_utf8_lossy(path).into_owned();
            if let Some(seen) = old.remove(&name)
                && fs::symlink_metadata(&file).is_ok_and(|m| Seen::new(oid, mode, &m) == seen)
            {
                report.kept += 1;
                new.insert(name, seen);
                continue;
            }
            let at = || format!("cannot write {}", file.display());
            if let Some(parent) = file.parent()
                && folders.insert(parent.to_owned())
            {
                fs::create_dir_all(parent).with_context(at)?;
            }
            let blob = match repository.find_blob(oid) {
                Ok(blob) => blob,
                Err(e) if e.code() == ErrorCode::NotFound => {
                    let missing = MissingBlob { path: name, oid: oid.to_string() };
                    if !EXPENDABLE.iter().any(|dir| missing.path.starts_with(dir)) {
                        return Err(lacking(&missing).into());
                    }
                    // Empty rather than absent: meson insists on the names it knows.
                    put(&file, b"", mode).with_context(at)?;
                    report.missing.push(missing);
                    continue;
                }
                Err(e) => return Err(unreadable(&name, oid, &e).into()),
            };
            if put(&file, blob.content(), mode).with_context(at)? {
                report.written.push(name.clone());
            } else {
                report.kept += 1;
            }
            new.insert(name, Seen::new(oid, mode, &fs::symlink_metadata(&file).with_context(at)?));
        }
        Ok(())
    })();
    // Also after an error: what was written is known, and need not be read again.
    if outcome.is_err() {
        new.append(&mut old);
    }
    atomic::write(&manifest_path, &serde_json::to_vec(&new)?)?;
    outcome.map(|()| report)
}

fn manifest_path(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".manifest.json");
    PathBuf::from(name)
}

/// The manifest of a folder made here; an empty one for a new folder.
fn open_folder(dir: &Path, manifest: &Path) -> Result<Manifest> {
    if let Ok(text) = fs::read(manifest) {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        // A manifest that cannot be read costs reading every file once.
        return Ok(serde_json::from_slice(&text).unwrap_or_default());
    }
    let is_used = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if is_used {
        return Err(Fault::new(format!(
            "{} holds files and was not made by plainboot",
            dir.display()
        ))
        .hint(format!("look into it, then: rm -r {}", dir.display()))
        .into());
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    atomic::write(manifest, b"{}")?;
    Ok(Manifest::new())
}

type Wanted = BTreeMap<Vec<u8>, (Oid, i32)>;

/// Every file of a tree with its blob and mode.
fn list(repository: &git2::Repository, tree: &TreeId) -> Result<Wanted> {
    let mut wanted = Wanted::new();
    let mut open = vec![(Vec::new(), tree.oid()?)];
    while let Some((prefix, oid)) = open.pop() {
        let tree = repository.find_tree(oid).map_err(|e| {
            let path = String::from_utf8_lossy(&prefix);
            match e.code() {
                ErrorCode::NotFound => lacking(&MissingBlob {
                    path: if path.is_empty() { "the top folder".into() } else { path.into() },
                    oid: oid.to_string(),
                }),
                _ => unreadable(&path, oid, &e),
            }
        })?;
        for entry in &tree {
            let name = entry.name_bytes();
            if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
                let shown = String::from_utf8_lossy(name);
                return Err(Fault::new(format!("tree {oid} has the name {shown:?}")).into());
            }
            let mut path = prefix.clone();
            path.extend_from_slice(name);
            match entry.kind() {
                Some(ObjectType::Tree) => {
                    path.push(b'/');
                    open.push((path, entry.id()));
                }
                _ if entry.filemode() == SUBMODULE => {}
                _ => {
                    wanted.insert(path, (entry.id(), entry.filemode()));
                }
            }
        }
    }
    Ok(wanted)
}

fn lacking(missing: &MissingBlob) -> Fault {
    Fault::new(format!("the source is incomplete: {} ({}) is missing", missing.path, missing.oid))
        .hint(
            "the clone is partial or damaged: in it, run `git fetch --refetch`, or give another \
             clone with --systemd-git PATH-OR-URL",
        )
}

fn unreadable(path: &str, oid: Oid, error: &git2::Error) -> Fault {
    Fault::new(format!("cannot read {path} ({oid}): {}", error.message()))
        .hint("run `git fsck` in the clone, or give another with --systemd-git PATH-OR-URL")
}

/// Removes what is in the folder and not in the tree, also where a file stands in a folder's place.
fn remove_others(dir: &Path, wanted: &Wanted, report: &mut Report) -> Result<()> {
    let mut folders: BTreeSet<&[u8]> = BTreeSet::new();
    for path in wanted.keys() {
        for (i, _) in path.iter().enumerate().filter(|(_, b)| **b == b'/') {
            folders.insert(&path[..i]);
        }
    }
    let mut open = vec![Vec::new()];
    while let Some(prefix) = open.pop() {
        let folder = dir.join(OsStr::from_bytes(&prefix));
        let at = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(at)? {
            let entry = entry.with_context(at)?;
            let mut path = prefix.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(entry.file_name().as_bytes());
            let is_folder = entry.file_type()?.is_dir();
            if is_folder && folders.contains(path.as_slice()) {
                open.push(path);
                continue;
            }
            if !is_folder && wanted.contains_key(&path) {
                continue;
            }
            let gone = entry.path();
            if is_folder { fs::remove_dir_all(&gone) } else { fs::remove_file(&gone) }
                .with_context(|| format!("cannot remove {}", gone.display()))?;
            report.removed.push(String::from_utf8_lossy(&path).into_owned());
        }
    }
    report.removed.sort();
    Ok(())
}

/// Writes one file or link. Returns false if it was right already.
fn put(file: &Path, content: &[u8], mode: i32) -> std::io::Result<bool> {
    let there = fs::symlink_metadata(file).ok();
    if mode == LINK {
        let target = OsStr::from_bytes(content);
        if fs::read_link(file).is_ok_and(|t| t == target) {
            return Ok(false);
        }
        if there.is_some() {
            fs::remove_file(file)?;
        }
        symlink(target, file)?;
        return Ok(true);
    }
    let bits = if mode == EXECUTABLE { 0o755 } else { 0o644 };
    if let Some(old) = there.filter(|m| m.is_file() && m.nlink() == 1) {
        let same = old.len() == content.len() as u64 && fs::read(file)? == content;
        if same && old.mode() & 0o777 == bits {
            return Ok(false);
        }
        if same {
            fs::set_permissions(file, fs::Permissions::from_mode(bits))?;
            return Ok(true);
        }
    }
    // A link must not be written through, and a hard link not into its other name.
    if fs::symlink_metadata(file).is_ok() {
        fs::remove_file(file)?;
    }
    fs::write(file, content)?;
    fs::set_permissions(file, fs::Permissions::from_mode(bits))?;
    Ok(true)
}

#[cfg(test)]
#[path = "worktree_tests.rs"]
mod tests;
