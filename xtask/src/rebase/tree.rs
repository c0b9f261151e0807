// SPDX-License-Identifier: MIT
//! A version's tree with the touched files on top: read by path, never checked out.

use std::collections::BTreeMap;
use std::sync::Arc;

use git2::{FileMode, Oid, Repository};

use super::content::Content;
use super::objects::{self, Blobs, Entry, MissingTree};
use crate::version::SystemdVersion;

/// A file with its git mode.
pub type FileEntry = (i32, Arc<Content>);

/// A version as the patches so far have left it.
#[derive(Debug, Clone)]
pub struct State {
    pub version: SystemdVersion,
    /// Upstream's tree.
    pub tree: Oid,
    /// The patched files.
    pub touched: BTreeMap<String, FileEntry>,
}

/// An object that the repository should have and has not.
#[derive(Debug, Clone)]
pub struct Unreadable {
    pub version: SystemdVersion,
    pub path: String,
    pub why: String,
}

impl State {
    pub fn new(version: SystemdVersion, tree: Oid) -> Self {
        State { version, tree, touched: BTreeMap::new() }
    }

    /// The file at `path` as it is now; `None` if there is none.
    pub fn file(
        &self,
        repo: &Repository,
        blobs: &Blobs,
        path: &str,
    ) -> Result<Option<FileEntry>, Unreadable> {
        if let Some(entry) = self.touched.get(path) {
            return Ok(Some(entry.clone()));
        }
        let unreadable =
            |why: String| Unreadable { version: self.version, path: path.to_owned(), why };
        match blobs.entry(repo, self.tree, path) {
            Ok(Some(entry)) if entry.is_regular() => match blobs.get(repo, entry.oid) {
                Ok(content) => Ok(Some((entry.mode, content))),
                Err(why) => Err(unreadable(format!("blob {} is missing: {why}", entry.oid))),
            },
            Ok(_) => Ok(None),
            Err(why) => Err(unreadable(why.to_string())),
        }
    }

    /// The first path at which two states on top of the same tree differ.
    pub fn differs<'a>(&'a self, other: &'a State) -> Option<&'a str> {
        let paths = self.touched.keys().chain(other.touched.keys());
        let id = |s: &State, p: &str| s.touched.get(p).map(|(mode, c)| (*mode, c.oid));
        paths.map(String::as_str).find(|p| id(self, p) != id(other, p))
    }

    /// Writes the patched blobs and trees into the repository and returns the root tree.
    pub fn write(&self, repo: &Repository) -> Result<Oid, git2::Error> {
        let mut update = git2::build::TreeUpdateBuilder::new();
        for (path, (mode, content)) in &self.touched {
            let oid = repo.blob(&content.bytes)?;
            let mode = match *mode {
                0o100_755 => FileMode::BlobExecutable,
                _ => FileMode::Blob,
            };
            update.upsert(path.as_str(), oid, mode);
        }
        update.create_updated(repo, &repo.find_tree(self.tree)?)
    }

    /// The id of the tree with the patched files, without writing anything.
    ///
    /// # Errors
    /// A folder on the way is missing.
    pub fn tree_id(&self, repo: &Repository, blobs: &Blobs) -> Result<Oid, Unreadable> {
        let files: Vec<(&str, Entry)> = self
            .touched
            .iter()
            .map(|(path, (mode, file))| (path.as_str(), Entry { mode: *mode, oid: file.oid }))
            .collect();
        with_files(repo, blobs, Some(self.tree), &files).map_err(|missing| Unreadable {
            version: self.version,
            path: "/".into(),
            why: missing.to_string(),
        })
    }

    /// Where the file `path` of another version has gone: a file of the same name, or the most
    /// alike of those in its folder, that the other version (`base`) did not have.
    pub fn find_moved(
        &self,
        repo: &Repository,
        blobs: &Blobs,
        base: Oid,
        path: &str,
        content: &Content,
    ) -> Option<String> {
        /// Share of equal lines from which a file counts as the same, as git's renames.
        const ALIKE: f64 = 0.5;
        let key = (self.tree, base, path.to_owned());
        let candidates = blobs.moved.get(key, || {
            // A folder that cannot be read holds no candidate.
            Arc::new(newcomers(repo, blobs, self.tree, base, path).unwrap_or_default())
        });
        candidates
            .iter()
            .filter_map(|p| {
                let (_, here) = self.file(repo, blobs, p).ok()??;
                Some((blobs.alike(content, &here), p))
            })
            .filter(|(share, _)| *share >= ALIKE)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, p)| p.clone())
    }
}

/// The files that `tree` has and `base` has not, called as `path` or beside it and of its kind.
fn newcomers(
    repo: &Repository,
    blobs: &Blobs,
    tree: Oid,
    base: Oid,
    path: &str,
) -> Result<Vec<String>, MissingTree> {
    /// All of upstream's sources are in this folder.
    const SOURCES: &str = "src";
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut found: Vec<String> = Vec::new();
    let mut folders = vec![(String::new(), tree)];
    while let Some((at, oid)) = folders.pop() {
        let tree = blobs.folder(repo, oid)?;
        for (leaf, entry) in objects::entries(&tree) {
            let Ok(leaf) = std::str::from_utf8(leaf) else { continue };
            let full = if at.is_empty() { leaf.to_owned() } else { format!("{at}/{leaf}") };
            if entry.is_folder() {
                if !at.is_empty() || leaf == SOURCES {
                    folders.push((full, entry.oid));
                }
            } else if (leaf == name || (at == folder && same_kind(leaf, name)))
                && blobs.entry(repo, base, &full)?.is_none()
            {
                found.push(full);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn same_kind(a: &str, b: &str) -> bool {
    a.rsplit_once('.').map(|x| x.1) == b.rsplit_once('.').map(|x| x.1)
}

/// The id of the folder `root` (of none: a new one) with `files`, sorted by path, put into it.
fn with_files(
    repo: &Repository,
    blobs: &Blobs,
    root: Option<Oid>,
    files: &[(&str, Entry)],
) -> Result<Oid, MissingTree> {
    let old = match root {
        Some(oid) => blobs.folder(repo, oid)?,
        None => Vec::new().into(),
    };
    let mut put: Vec<(&str, Entry)> = Vec::new();
    let top = |path: &str| path.split('/').next().unwrap_or_default().len();
    for group in files.chunk_by(|a, b| a.0[..top(a.0)] == b.0[..top(b.0)]) {
        let name = &group[0].0[..top(group[0].0)];
        let entry = if group[0].0.len() == name.len() {
            group[0].1
        } else {
            let below: Vec<(&str, Entry)> =
                group.iter().map(|(path, e)| (&path[name.len() + 1..], *e)).collect();
            let folder = objects::find(&old, name.as_bytes()).filter(|e| e.is_folder());
            let oid = with_files(repo, blobs, folder.map(|e| e.oid), &below)?;
            Entry { mode: FileMode::Tree.into(), oid }
        };
        put.push((name, entry));
    }
    Ok(objects::tree_with(&old, &put))
}
