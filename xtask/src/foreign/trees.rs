// SPDX-License-Identifier: MIT
//! Revisions of any repository, as the engine takes them.
//!
//! The engine writes and reads objects. So that nothing is written into somebody's repository, it
//! works in a temporary one that has theirs as an alternate.

use std::path::{Path, PathBuf};

use anyhow::Result;
use git2::{ErrorCode, Oid, Repository};

use crate::fault::Fault;
use crate::sources;
use crate::version::SystemdVersion;

/// A named revision.
#[derive(Debug, Clone)]
pub struct Place {
    /// As the user wrote it.
    pub name: String,
    /// How the engine calls it.
    pub label: SystemdVersion,
    /// `None` if the revision is a tree.
    pub commit: Option<Oid>,
    pub tree: Oid,
}

/// The release of systemd that a revision is by its name: `v257.13`, `refs/tags/v257.13`.
pub fn release(name: &str) -> Option<SystemdVersion> {
    SystemdVersion::from_tag(name.rsplit('/').next().unwrap_or(name))
}

/// Somebody's repository, and a temporary one that reads it.
pub struct Trees {
    path: PathBuf,
    theirs: Repository,
    scratch: tempfile::TempDir,
    ours: Repository,
}

impl std::fmt::Debug for Trees {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trees").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Trees {
    /// Opens the repository at `path`: bare or not, shallow, partial or damaged.
    ///
    /// # Errors
    /// There is none.
    pub fn open(path: &Path) -> Result<Self> {
        sources::prepare_libgit2();
        let path = std::path::absolute(path)?;
        let theirs = Repository::open(&path).map_err(|e| {
            Fault::new(format!("--repo {}: {}", path.display(), e.message()))
                .hint("give the folder of a git repository (with .git in it, or bare)")
        })?;
        let scratch = tempfile::Builder::new().prefix("plainboot-series-").tempdir()?;
        let bare = scratch.path().join("scratch.git");
        let objects = theirs.commondir().join("objects");
        sources::attach(&bare, &objects.canonicalize().unwrap_or(objects))?;
        let ours = Repository::open_bare(&bare)?;
        Ok(Trees { path, theirs, scratch, ours })
    }

    /// Where the engine is to work.
    pub fn scratch(&self) -> PathBuf {
        self.scratch.path().join("scratch.git")
    }

    /// The temporary repository.
    pub fn ours(&self) -> &Repository {
        &self.ours
    }

    /// The user's repository.
    pub fn theirs(&self) -> &Repository {
        &self.theirs
    }

    /// The revisions `names`, in this order. Releases of systemd keep their versions, so that they
    /// can name variants; if one is something else, all are called by name. So they are if they
    /// are to be kept `apart` although one may be there twice.
    ///
    /// # Errors
    /// A name means nothing or several things here, or an object is missing.
    pub fn places(&self, names: &[String], apart: bool) -> Result<Vec<Place>> {
        let releases: Vec<SystemdVersion> = names.iter().filter_map(|n| release(n)).collect();
        let all = releases.len() == names.len() && !apart;
        let mut places = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let (commit, tree) = self.resolve(name)?;
            let named = || Ok::<_, anyhow::Error>(SystemdVersion::named(index.try_into()?, name));
            let label = match releases.get(index) {
                Some(release) if all => *release,
                _ => named()?,
            };
            places.push(Place { name: name.clone(), label, commit, tree });
        }
        Ok(places)
    }

    fn resolve(&self, name: &str) -> Result<(Option<Oid>, Oid)> {
        let shown = self.path.display();
        let object = self.theirs.revparse_single(name).map_err(|e| {
            let hint = match e.code() {
                ErrorCode::Ambiguous => "write more of it, or the whole reference (refs/tags/…)",
                _ if self.theirs.is_shallow() => {
                    "the clone is shallow; `git fetch --unshallow --tags` brings the rest"
                }
                _ => "`git tag` and `git branch -a` list what is there",
            };
            Fault::new(format!("{shown}: `{name}`: {}", e.message())).hint(hint)
        })?;
        let missing = |what: &str, e: &git2::Error| {
            Fault::new(format!("{shown}: `{name}`: {what} cannot be read: {}", e.message())).hint(
                "the clone lacks objects; `git fsck` names them, `git fetch --refetch` mends it",
            )
        };
        let commit = object.peel_to_commit().ok().map(|c| c.id());
        let tree = object.peel_to_tree().map_err(|e| missing("its tree", &e))?;
        Ok((commit, tree.id()))
    }
}
