// SPDX-License-Identifier: MIT
//! The sites of a version's tree, read once per folder content.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Result;
use git2::{ObjectType, Oid, Repository};
use serde::{Deserialize, Serialize};

use super::scan::scan;
use super::{Site, Sites};
use crate::atomic;
use crate::fault::Fault;
use crate::rebase::Content;

/// To be raised with every change of what the scanner finds or where it looks.
const ALGORITHM: u32 = 1;

/// PID 1 and the executor: the programs that make control groups and mounts at boot.
const FOLDER: &str = "src/core";
/// What they use of the shared code. Calls inside of cgroup-setup.c are reached through theirs.
const FILE: &str = "src/shared/mount-setup.c";

/// Reads sites of trees. What it finds depends on content alone, and is kept in a file.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    memo: Memo,
    /// By blob: the versions share most files.
    blobs: HashMap<(Oid, String), Vec<Site>>,
    changed: bool,
}

/// The file, by git object id.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memo {
    algorithm: u32,
    /// Most trees have the same sites, so these are named by their index.
    sites: Vec<Site>,
    trees: BTreeMap<String, Vec<usize>>,
}

impl Reader {
    /// A reader that keeps what it finds in `path`; a file that cannot be used is written anew.
    pub fn open(path: &Path) -> Self {
        let memo = std::fs::read(path).ok().and_then(|b| serde_json::from_slice::<Memo>(&b).ok());
        let sound = |m: &Memo| {
            m.algorithm == ALGORITHM && m.trees.values().flatten().all(|i| *i < m.sites.len())
        };
        let memo = memo.filter(sound);
        Reader {
            path: path.to_owned(),
            memo: memo.unwrap_or(Memo { algorithm: ALGORITHM, ..Memo::default() }),
            blobs: HashMap::new(),
            changed: false,
        }
    }

    /// The sites of a version whose root tree is `tree`.
    ///
    /// # Errors
    /// An object is missing.
    pub fn sites(&mut self, repo: &Repository, tree: Oid) -> Result<Sites> {
        let root = repo.find_tree(tree).map_err(|e| missing(tree, "the root", &e))?;
        let mut sites = Sites::new();
        for path in [FOLDER, FILE] {
            let Ok(entry) = root.get_path(Path::new(path)) else { continue };
            let key = entry.id().to_string();
            if let Some(known) = self.memo.trees.get(&key) {
                sites.extend(known.iter().map(|i| self.memo.sites[*i].clone()));
                continue;
            }
            let found = match entry.kind() {
                Some(ObjectType::Tree) => self.folder(repo, path, entry.id())?,
                _ => self.file(repo, path, entry.id())?,
            };
            self.keep(key, &found);
            sites.extend(found);
        }
        Ok(sites)
    }

    /// Writes what was found, for the next run.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn close(self) -> Result<()> {
        if self.changed {
            atomic::write(&self.path, &serde_json::to_vec(&self.memo)?)?;
        }
        Ok(())
    }

    fn folder(&mut self, repo: &Repository, path: &str, tree: Oid) -> Result<Vec<Site>> {
        let tree = repo.find_tree(tree).map_err(|e| missing(tree, path, &e))?;
        let mut found = Vec::new();
        for entry in &tree {
            let Ok(name) = entry.name() else { continue };
            if entry.kind() == Some(ObjectType::Blob) && name.ends_with(".c") {
                found.extend(self.file(repo, &format!("{path}/{name}"), entry.id())?);
            }
        }
        Ok(found)
    }

    fn file(&mut self, repo: &Repository, path: &str, oid: Oid) -> Result<Vec<Site>> {
        let key = (oid, path.to_owned());
        if let Some(known) = self.blobs.get(&key) {
            return Ok(known.clone());
        }
        let blob = repo.find_blob(oid).map_err(|e| missing(oid, path, &e))?;
        let content = Content::with_oid(oid, blob.content().to_vec());
        let found: Vec<Site> = scan(path, &content).into_iter().map(|(site, _)| site).collect();
        self.blobs.insert(key, found.clone());
        Ok(found)
    }

    fn keep(&mut self, key: String, found: &[Site]) {
        let unique: BTreeSet<&Site> = found.iter().collect();
        let mut indices = Vec::with_capacity(unique.len());
        for site in unique {
            let known = self.memo.sites.iter().position(|s| s == site);
            indices.push(known.unwrap_or_else(|| {
                self.memo.sites.push(site.clone());
                self.memo.sites.len() - 1
            }));
        }
        self.memo.trees.insert(key, indices);
        self.changed = true;
    }
}

/// The line of a site in a tree, from 1; `None` if it is not there.
pub fn line_of(repo: &Repository, tree: Oid, site: &Site) -> Option<usize> {
    let entry = repo.find_tree(tree).ok()?.get_path(Path::new(&site.file)).ok()?;
    let content =
        Content::with_oid(entry.id(), repo.find_blob(entry.id()).ok()?.content().to_vec());
    scan(&site.file, &content).into_iter().find(|(s, _)| s == site).map(|(_, line)| line)
}

fn missing(oid: Oid, path: &str, error: &git2::Error) -> Fault {
    Fault::new(format!("{path}: object {oid} cannot be read: {}", error.message()))
        .hint("get the version from another place: --systemd-git PATH-OR-URL")
}
