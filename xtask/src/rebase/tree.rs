// SPDX-License-Identifier: MIT
//! A version's tree with the touched files on top: read by path, never checked out.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};

use git2::{FileMode, ObjectType, Oid, Repository, TreeWalkMode, TreeWalkResult};

use super::content::Content;
use crate::patch;
use crate::version::SystemdVersion;

/// Files that versions have in common, read once by whichever thread comes first.
#[derive(Debug, Default)]
pub struct Blobs(Mutex<HashMap<Oid, Arc<Content>>>);

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

impl Blobs {
    /// The content of a blob.
    pub fn get(&self, repo: &Repository, oid: Oid) -> Result<Arc<Content>, git2::Error> {
        if let Some(known) = self.0.lock().ok().and_then(|map| map.get(&oid).cloned()) {
            return Ok(known);
        }
        let blob = repo.find_blob(oid)?;
        let content = Arc::new(Content::with_oid(oid, blob.content().to_vec()));
        if let Ok(mut map) = self.0.lock() {
            return Ok(map.entry(oid).or_insert(content).clone());
        }
        Ok(content)
    }
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
        let tree = repo
            .find_tree(self.tree)
            .map_err(|e| unreadable(format!("tree {} is missing: {}", self.tree, e.message())))?;
        let entry = match tree.get_path(Path::new(path)) {
            Ok(entry) => entry,
            // Also said of a folder's tree that is missing: look closer before saying "no file".
            Err(e) if e.code() == git2::ErrorCode::NotFound => {
                return match missing_folder(repo, &tree, path) {
                    Some(oid) => Err(unreadable(format!("tree {oid} is missing"))),
                    None => Ok(None),
                };
            }
            Err(e) => return Err(unreadable(e.message().to_owned())),
        };
        let regular =
            entry.kind() == Some(ObjectType::Blob) && entry.filemode() != i32::from(FileMode::Link);
        if !regular {
            return Ok(None);
        }
        match blobs.get(repo, entry.id()) {
            Ok(content) => Ok(Some((entry.filemode(), content))),
            Err(e) => Err(unreadable(format!("blob {} is missing: {}", entry.id(), e.message()))),
        }
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
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let tree = repo.find_tree(self.tree).ok()?;
        let base = repo.find_tree(base).ok()?;
        let mut candidates: Vec<String> = Vec::new();
        tree.walk(TreeWalkMode::PreOrder, |root, entry| {
            let Ok(leaf) = entry.name() else { return TreeWalkResult::Skip };
            if entry.kind() == Some(ObjectType::Tree) {
                let wanted = root.is_empty() && leaf != "src";
                return if wanted { TreeWalkResult::Skip } else { TreeWalkResult::Ok };
            }
            let same_folder = root.trim_end_matches('/') == folder && same_kind(leaf, name);
            if leaf == name || same_folder {
                candidates.push(format!("{root}{leaf}"));
            }
            TreeWalkResult::Ok
        })
        .ok()?;
        candidates
            .into_iter()
            .filter(|p| p != path && base.get_path(Path::new(p)).is_err())
            .filter_map(|p| {
                let (_, here) = self.file(repo, blobs, &p).ok()??;
                Some((alike(content, &here), p))
            })
            .filter(|(share, _)| *share >= ALIKE)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, p)| p)
    }
}

fn same_kind(a: &str, b: &str) -> bool {
    a.rsplit_once('.').map(|x| x.1) == b.rsplit_once('.').map(|x| x.1)
}

/// The share of lines that two files have in common, empty ones left out.
fn alike(a: &Content, b: &Content) -> f64 {
    let mut counts: HashMap<&[u8], isize> = HashMap::new();
    let lines = |c: &Content| patch::split_lines(&c.bytes).filter(|l| l.len() > 1).count();
    patch::split_lines(&a.bytes)
        .filter(|l| l.len() > 1)
        .for_each(|l| *counts.entry(l).or_default() += 1);
    let mut common = 0_usize;
    for line in patch::split_lines(&b.bytes).filter(|l| l.len() > 1) {
        if let Some(left) = counts.get_mut(line).filter(|left| **left > 0) {
            *left -= 1;
            common += 1;
        }
    }
    let longest = lines(a).max(lines(b)).max(1);
    common as f64 / longest as f64
}

/// The first folder on the way to `path` that is named in its parent but has no object.
fn missing_folder(repo: &Repository, root: &git2::Tree<'_>, path: &str) -> Option<Oid> {
    let mut at = root.id();
    for part in path.split('/') {
        let tree = match repo.find_tree(at) {
            Ok(tree) => tree,
            Err(_) => return Some(at),
        };
        let entry = tree.get_name(part).filter(|e| e.kind() == Some(ObjectType::Tree))?.id();
        at = entry;
    }
    None
}
